# SPDX-License-Identifier: BSD-2-Clause
"""The probes of test_conformance.sh, and what each policy should let pass.

What is expected is written down here for each policy, not taken from the library. A probe that
should pass is waited for; one that should not is waited for among the drops of the datapath.
"""
import ctypes
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time

PATIENCE = 20
NAMESPACES, PODS, PORTS = "xyz", "abc", (80, 81)
NAMES = [n + p for n in NAMESPACES for p in PODS]
ADDRESS = {name: f"10.77.0.{i + 1}" for i, name in enumerate(NAMES)}
PROTOCOLS = ("TCP", "UDP", "SCTP")
IPPROTO_SCTP = 132
CLITE = os.environ["CLITE"]
libc = ctypes.CDLL(None, use_errno=True)


def enter(name):
    with open(f"/run/netns/{name}", "rb") as f:
        if libc.setns(f.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")


def in_namespace(name, make):
    """A socket stays in the namespace in which it was made."""
    enter(name)
    return make()


def drops():
    out = subprocess.run([CLITE, "-o", "json", "bpf", "metrics", "list"], check=True,
                         stdout=subprocess.PIPE).stdout
    return sum(packets(m) for m in json.loads(out)
               if "policy denied" in json.dumps(m).lower())


def packets(metric):
    values = metric.get("values")
    if isinstance(values, dict):
        return sum(v["packets"] for v in values.values())
    return metric["packets"] if "packets" in metric else metric["count"]


# ---- servers --------------------------------------------------------------------------------


def listener(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", port))
    s.listen(256)
    return s


def datagrams(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    s.bind(("0.0.0.0", port))
    return s


def raw_sctp():
    return socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, IPPROTO_SCTP)


class Servers:
    def __init__(self):
        self.tcp, self.udp, self.sctp = [], [], {}
        for name in NAMES:
            for port in PORTS:
                self.tcp.append(in_namespace(name, lambda port=port: listener(port)))
                self.udp.append(in_namespace(name, lambda port=port: datagrams(port)))
            self.sctp[name] = in_namespace(name, raw_sctp)


# ---- probes ----------------------------------------------------------------------------------

PROBES = [(s, d, port) for s in NAMES for d in NAMES for port in PORTS]


def wait(passed, expected, before, step):
    """Until all that should pass have passed, and as many have been dropped as should not."""
    denied = sum(1 for p in PROBES if p not in expected)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        step(0.02)
        if expected <= passed and drops() - before >= denied:
            break
    step(0.02)  # what came together with the last drop


def probe_tcp(servers, expected):
    passed, clients, before = set(), {}, drops()
    for probe in PROBES:
        source, destination, port = probe
        s = in_namespace(source, lambda: socket.socket(
            socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.connect_ex((ADDRESS[destination], port))
        clients[s] = probe

    def step(timeout):
        waiting = [s for s in clients if clients[s] not in passed]
        poll = select.poll()
        for s in waiting:
            poll.register(s, select.POLLOUT)
        by_fd = {s.fileno(): s for s in waiting}
        for fd, _ in poll.poll(timeout * 1000):
            if not by_fd[fd].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                passed.add(clients[by_fd[fd]])

    wait(passed, expected, before, step)
    for s in clients:
        s.close()
    for s in servers.tcp:
        try:
            while True:
                s.accept()[0].close()
        except BlockingIOError:
            pass
    return passed


def probe_udp(servers, expected):
    """There and back."""
    passed, clients, before = set(), {}, drops()
    for probe in PROBES:
        source, destination, port = probe
        s = in_namespace(source, lambda: socket.socket(
            socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
        s.connect((ADDRESS[destination], port))
        s.send(b"probe")
        clients[s] = probe

    def step(timeout):
        time.sleep(0)
        for s in servers.udp:
            try:
                while True:
                    data, peer = s.recvfrom(64)
                    s.sendto(data, peer)
            except OSError:
                pass
        ready, _, _ = select.select(list(clients), [], [], timeout)
        for s in ready:
            try:
                s.recv(64)
                passed.add(clients[s])
            except OSError:
                pass

    wait(passed, expected, before, step)
    for s in clients:
        s.close()
    return passed


def probe_sctp(servers, expected, numbers=[20000]):
    """INIT by hand: a kernel may have no SCTP. What arrives has passed."""
    passed, by_port, before = set(), {}, drops()
    senders = {name: in_namespace(name, raw_sctp) for name in NAMES}
    for probe in PROBES:
        source, destination, port = probe
        numbers[0] = numbers[0] + 1 if numbers[0] < 60000 else 20001
        by_port[numbers[0]] = probe
        init = struct.pack("!HHII", numbers[0], port, 0, 0) + struct.pack(
            "!BBHIIHHI", 1, 0, 20, 1, 65536, 1, 1, 1)
        senders[source].sendto(init, (ADDRESS[destination], 0))

    def step(timeout):
        select.select(list(servers.sctp.values()), [], [], timeout)
        for name, s in servers.sctp.items():
            try:
                while True:
                    data = s.recv(256)
                    header = (data[0] & 15) * 4
                    port = struct.unpack_from("!H", data, header)[0]
                    probe = by_port.get(port)
                    if probe and probe[1] == name:
                        passed.add(probe)
            except BlockingIOError:
                pass

    wait(passed, expected, before, step)
    for s in senders.values():
        s.close()
    return passed


RUN = {"TCP": probe_tcp, "UDP": probe_udp, "SCTP": probe_sctp}


def table(protocol, port, passed, expected):
    lines = [f"{protocol} {port}: rows from, columns to; . passes, X does not, ! is wrong",
             "     " + "  ".join(NAMES)]
    for s in NAMES:
        cells = []
        for d in NAMES:
            is_in = (s, d, port) in passed
            wrong = is_in != ((s, d, port) in expected)
            cells.append((("." if is_in else "X") + ("!" if wrong else " ")).ljust(3))
        lines.append(f"{s}   " + " ".join(cells))
    return "\n".join(lines)


def clite(*arguments, text=None):
    return subprocess.run([CLITE, *arguments], input=text, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)


def check(servers, what, allowed):
    """allowed(source, destination, port, protocol); who talks to himself always may."""
    wrong = []
    for protocol in PROTOCOLS:
        expected = {p for p in PROBES if p[0] == p[1] or allowed(*p, protocol)}
        passed = RUN[protocol](servers, expected)
        for port in PORTS:
            at = {p for p in PROBES if p[2] == port}
            if passed & at != expected & at:
                wrong.append(table(protocol, port, passed, expected))
    print(("not ok " if wrong else "ok ") + what, flush=True)
    for text in wrong:
        print("\n".join("    " + line for line in text.split("\n")))
    return not wrong


# ---- policies ----------------------------------------------------------------------------------


def k8s(name, spec, namespace="x"):
    return ("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
            f"metadata: {{name: {name}, namespace: '{namespace}'}}\nspec: {spec}\n")


def cnp(name, spec, namespace="x"):
    return ("apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
            f"metadata: {{name: {name}, namespace: '{namespace}'}}\nspec: {spec}\n")


def into(pod, rule):
    """What comes to a pod is allowed by the rule; all else is free."""
    return lambda s, d, port, protocol: d != pod or rule(s, d, port, protocol)


def into_x(rule):
    return lambda s, d, port, protocol: d[0] != "x" or rule(s, d, port, protocol)


def out_of(pod, rule):
    return lambda s, d, port, protocol: s != pod or rule(s, d, port, protocol)


A = "podSelector: {matchLabels: {pod: a}}"
CASES = [
    ("no policy", "", lambda *_: True),
    ("deny all ingress", k8s("p", "{podSelector: {}}"), into_x(lambda *_: False)),
    ("deny all egress", k8s("p", "{podSelector: {}, policyTypes: [Egress]}"),
     lambda s, d, *_: s[0] != "x"),
    ("deny all both ways", k8s("p", "{podSelector: {}, policyTypes: [Ingress, Egress]}"),
     lambda s, d, *_: s[0] != "x" and d[0] != "x"),
    ("allow all ingress", k8s("p", "{podSelector: {}, ingress: [{}]}"), lambda *_: True),
    ("allow all egress", k8s("p", "{podSelector: {}, policyTypes: [Egress], egress: [{}]}"),
     lambda *_: True),
    ("empty from is everybody", k8s("p", "{podSelector: {}, ingress: [{from: []}]}"),
     lambda *_: True),
    ("a pod by label", k8s("p", f"{{{A}, ingress: [{{from: [{{podSelector: {{matchLabels: "
                                "{pod: b}}}]}]}"), into("xa", lambda s, *_: s == "xb")),
    ("pods by expression",
     k8s("p", f"{{{A}, ingress: [{{from: [{{podSelector: {{matchExpressions: [{{key: pod, "
              "operator: In, values: [b, c]}]}}]}]}"),
     into("xa", lambda s, *_: s in ("xb", "xc"))),
    ("all pods of one's namespace", k8s("p", f"{{{A}, ingress: [{{from: [{{podSelector: {{}}}}]}}]}}"),
     into("xa", lambda s, *_: s[0] == "x")),
    ("a namespace", k8s("p", f"{{{A}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: "
                             "{ns: 'y'}}}]}]}"), into("xa", lambda s, *_: s[0] == "y")),
    ("namespaces by expression",
     k8s("p", f"{{{A}, ingress: [{{from: [{{namespaceSelector: {{matchExpressions: [{{key: ns, "
              "operator: NotIn, values: [x]}]}}]}]}"), into("xa", lambda s, *_: s[0] != "x")),
    ("every namespace", k8s("p", f"{{{A}, ingress: [{{from: [{{namespaceSelector: {{}}}}]}}]}}"),
     lambda *_: True),
    ("a pod in a namespace: and",
     k8s("p", f"{{{A}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{ns: 'y'}}}}, "
              "podSelector: {matchLabels: {pod: a}}}]}]}"), into("xa", lambda s, *_: s == "ya")),
    ("a pod or a namespace: or",
     k8s("p", f"{{{A}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{ns: 'y'}}}}}}, "
              "{podSelector: {matchLabels: {pod: b}}}]}]}"),
     into("xa", lambda s, *_: s[0] == "y" or s == "xb")),
    ("a port: TCP is meant", k8s("p", f"{{{A}, ingress: [{{ports: [{{port: 80}}]}}]}}"),
     into("xa", lambda s, d, port, protocol: (port, protocol) == (80, "TCP"))),
    ("a port of UDP", k8s("p", f"{{{A}, ingress: [{{ports: [{{port: 81, protocol: UDP}}]}}]}}"),
     into("xa", lambda s, d, port, protocol: (port, protocol) == (81, "UDP"))),
    ("a port of SCTP", k8s("p", f"{{{A}, ingress: [{{ports: [{{port: 80, protocol: SCTP}}]}}]}}"),
     into("xa", lambda s, d, port, protocol: (port, protocol) == (80, "SCTP"))),
    ("a protocol", k8s("p", f"{{{A}, ingress: [{{ports: [{{protocol: UDP}}]}}]}}"),
     into("xa", lambda s, d, port, protocol: protocol == "UDP")),
    ("a range of ports", k8s("p", f"{{{A}, ingress: [{{ports: [{{port: 80, endPort: 90}}]}}]}}"),
     into("xa", lambda s, d, port, protocol: protocol == "TCP")),
    ("a named port", k8s("p", f"{{{A}, ingress: [{{ports: [{{port: serve-81-tcp}}]}}]}}"),
     into("xa", lambda s, d, port, protocol: (port, protocol) == (81, "TCP"))),
    ("a named port of another protocol",
     k8s("p", f"{{{A}, ingress: [{{ports: [{{port: serve-81-udp, protocol: TCP}}]}}]}}"),
     into("xa", lambda *_: False)),
    ("a named port on egress",
     k8s("p", f"{{{A}, policyTypes: [Egress], egress: [{{ports: [{{port: serve-80-sctp, "
              "protocol: SCTP}]}]}"),
     out_of("xa", lambda s, d, port, protocol: (port, protocol) == (80, "SCTP"))),
    ("ports and peers: and",
     k8s("p", f"{{{A}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{ns: z}}}}}}], "
              "ports: [{port: 80}]}]}"),
     into("xa", lambda s, d, port, protocol: s[0] == "z" and (port, protocol) == (80, "TCP"))),
    ("two rules: or",
     k8s("p", f"{{{A}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{ns: z}}}}}}]}}, "
              "{ports: [{port: 80}]}]}"),
     into("xa", lambda s, d, port, protocol: s[0] == "z" or (port, protocol) == (80, "TCP"))),
    ("two policies on one pod: their union",
     k8s("p", f"{{{A}, ingress: [{{ports: [{{port: 80}}]}}]}}") + "---\n" +
     k8s("q", f"{{{A}, ingress: [{{ports: [{{port: 81, protocol: UDP}}]}}]}}"),
     into("xa", lambda s, d, port, protocol: (port, protocol) in ((80, "TCP"), (81, "UDP")))),
    ("egress to a pod",
     k8s("p", f"{{{A}, policyTypes: [Egress], egress: [{{to: [{{podSelector: {{matchLabels: "
              "{pod: b}}}]}]}"), out_of("xa", lambda s, d, *_: d == "xb")),
    ("egress and ingress",
     k8s("p", f"{{{A}, policyTypes: [Ingress, Egress], ingress: [{{from: [{{namespaceSelector: "
              "{matchLabels: {ns: 'y'}}}]}], egress: [{to: [{namespaceSelector: {matchLabels: "
              "{ns: z}}}]}]}"),
     lambda s, d, *_: (d != "xa" or s[0] == "y") and (s != "xa" or d[0] == "z")),
    ("both ends must agree",
     k8s("p", f"{{{A}, policyTypes: [Egress], egress: [{{to: [{{namespaceSelector: {{}}}}]}}]}}") +
     "---\n" + k8s("q", f"{{{A}, ingress: []}}", "y"),
     lambda s, d, *_: d != "ya"),
    ("ipBlock never means pods",
     k8s("p", f"{{{A}, ingress: [{{from: [{{ipBlock: {{cidr: 10.77.0.0/24}}}}]}}]}}"),
     into("xa", lambda *_: False)),
    ("ingress rules that policyTypes leaves out",
     k8s("p", f"{{{A}, policyTypes: [Egress], ingress: [{{}}], egress: [{{}}]}}"), lambda *_: True),
    ("Cilium: deny over allow",
     cnp("p", "{endpointSelector: {matchLabels: {pod: a}}, ingress: [{fromEntities: [all]}], "
              "ingressDeny: [{fromEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': "
              "'y'}}], toPorts: [{ports: [{port: '80', protocol: ANY}]}]}]}"),
     into("xa", lambda s, d, port, protocol: s[0] != "y" or port != 80)),
    ("Cilium: deny without default deny",
     cnp("p", "{endpointSelector: {}, enableDefaultDeny: {egress: false}, egressDeny: "
              "[{toEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': z, pod: c}}]}]}"),
     lambda s, d, *_: s[0] != "x" or d != "zc"),
]


def main():
    servers = Servers()
    failed = 0
    for what, text, allowed in CASES:
        if text:
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
                f.write(text)
                f.flush()
                done = clite("policy", "import", f.name)
            if done.returncode:
                print(f"not ok {what}\n    {done.stdout}")
                failed += 1
                continue
        failed += not check(servers, what, allowed)
        if text:
            clite("policy", "delete", "--all")
    failed += not check(servers, "nothing is left of them", lambda *_: True)
    sys.exit(bool(failed))


main()
