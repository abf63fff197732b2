# SPDX-License-Identifier: BSD-2-Clause
"""Filters: against a second, slow opinion on the JSON of flows, and with real packets."""
import copy
import ctypes
import ipaddress
import json
import random
import re
import socket
import unittest

import cilium_lite as cl
from cilium_lite import _native
from cilium_lite.event import _make_event

from support import PATIENCE, RootTestCase

NAMES = ["", "web", "web-1", "db", "db-0", "x"]
SPACES = ["", "default", "shop", "kube-system"]
LABELS = ["k8s:app=web", "k8s:app=db", "k8s:tier=7", "k8s:old=", "container:app=web",
          "reserved:world=", "k8s:io.kubernetes.pod.namespace=shop", "cidr:10.0.0.0/8=",
          "cidr:10.1.0.0/16=", "cidr:2001:db8::/32="]
KEYS = ["app", "k8s:app", "any:app", "container:app", "tier", "old", "reserved:world",
        "io.kubernetes.pod.namespace", "nothing", "cidr:10.0.0.0/8", "cidr:10.0.0.0/12",
        "cidr:10.1.0.0/24", "cidr:2001-db8--0/16", "10.0.0.0/8"]
DNS = ["example.com", "api.example.com", "cdn_1.example.net", "a.b.c"]
ADDRESSES = ["10.0.0.1", "10.0.1.1", "192.0.2.7", "fd00::1", "2001:db8::5"]
FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS"]


def make_event(**values):
    """An event, as a callback would get it."""
    c = _native.clite_event(sz=ctypes.sizeof(_native.clite_event), source_file=b"", **values)
    return _make_event(ctypes.pointer(c), None)


def octets(address):
    packed = ipaddress.ip_address(address).packed
    return (ctypes.c_uint8 * 16)(*packed)


def random_event(r):
    kind = r.choice([cl.EventType.DROP, cl.EventType.TRACE, cl.EventType.POLICY_VERDICT])
    dropped = kind == cl.EventType.DROP
    family = r.choice([4, 6])
    addresses = [a for a in ADDRESSES if (":" in a) == (family == 6)]
    protocol = r.choice([6, 17, 132, 1, 58, 2, 112])
    return make_event(
        time=1, type=kind, subtype=r.choice([130, 133, 181] if dropped else range(5)),
        verdict=2 if dropped else r.choice([1, 4] if kind == 5 else [1]),
        drop_reason=r.choice([130, 133, 181]) if dropped else 0,
        trace_reason=r.randrange(4) if kind == 4 else 0,
        direction=r.randrange(3), is_reply=r.randrange(3), family=family, protocol=protocol,
        has_ports=0 if protocol in (2, 112) else r.choice([0, 1, 1, 1]),
        source=octets(r.choice(addresses)), destination=octets(r.choice(addresses)),
        source_port=r.choice([1, 53, 40000]), destination_port=r.choice([53, 80, 443]),
        tcp_flags=r.choice([0, 2, 0x12, 0x10, 0x11, 0x1ff]) if protocol == 6 else 0,
        source_identity=r.choice([1, 2, 1000]), destination_identity=r.choice([2, 1000, 2000]),
        ifindex=r.randrange(4))


def random_end(r):
    return cl.FlowEnd(
        namespace=r.choice(SPACES), pod=r.choice(NAMES), service=r.choice(NAMES),
        service_namespace=r.choice(SPACES), cluster=r.choice(["", "east"]),
        workload=r.choice(["", "web"]), workload_kind=r.choice(["", "Deployment"]),
        labels=tuple(r.sample(LABELS, r.randrange(4))),
        names=tuple(r.sample(DNS, r.randrange(3))))


def random_flow(r):
    return cl.ResolvedFlow(
        event=random_event(r), source=random_end(r), destination=random_end(r), policies=(),
        node=r.choice(["", "node-1", "node-2.example.com", "east/node-1"]), summary="",
        kind=cl.FlowKind.L3_L4, interface=r.choice(["", "eth0", "eth1"]))


# ---- the second opinion: what the definitions say, on Hubble's JSON of a flow ---------------


def l4(flow, name):
    return flow.get("l4", {}).get(name)


def port_of(flow, key):
    for name in ("TCP", "UDP", "SCTP"):
        if l4(flow, name) is not None:
            return str(l4(flow, name).get(key, 0))
    return None


def in_network(flow, key, value):
    address = flow.get("IP", {}).get(key)
    if address is None:
        return False
    return ipaddress.ip_address(address) in ipaddress.ip_network(value, strict=False)


def named_so(end, name_key, value):
    """The prefix of a name in a namespace."""
    space, name = end.get("namespace", ""), end.get(name_key, "")
    if not space and not name:
        return False
    if "/" in value:
        wanted, prefix = value.split("/")
        return space == wanted and name.startswith(prefix)
    return space in ("", "default") and name.startswith(value)


def pattern_of(value):
    return value.strip().removesuffix(".").lower().replace(".", r"\.").replace("*", "[-.0-9a-z]*")


def node_is(flow, value):
    node = flow.get("node_name", "")
    if not node:
        return False
    if "/" not in node:
        node = "default/" + node
    cluster, _, name = value.rpartition("/")
    anything = r"[-0-9_a-z]+(\.[-0-9_a-z]+)*"
    return re.fullmatch((pattern_of(cluster) if cluster else anything) + "/" +
                        (pattern_of(name) if name else anything), node) is not None


def lies_in(name, other):
    """Is the network of a label in another?"""
    network, outer = (ipaddress.ip_network(n.replace("-", ":"), strict=False)
                      for n in (name, other))
    return network.version == outer.version and network.subnet_of(outer)


def label_of(labels, key):
    """The value of the first label of a key; None: there is none."""
    source, colon, name = key.partition(":")
    if not colon:
        source, name = "any", key
    for label in labels:
        its_source, _, rest = label.partition(":")
        its_name, _, value = rest.partition("=")
        if its_name == name and source in ("any", its_source):
            return value
        if source == its_source == "cidr" and lies_in(its_name, name):
            return value
    return None


def requirement_holds(labels, requirement):
    key, operator, values = requirement
    value = label_of(labels, key)
    return {"exists": value is not None,
            "not": value is None,
            "in": value is not None and value in values,
            "notin": value is None or value not in values}[operator]


def selector_text(selector):
    def one(key, operator, values):
        if operator in ("exists", "not"):
            return key if operator == "exists" else f"! {key}"
        if len(values) == 1:
            return f"{key}{'=' if operator == 'in' else '!='}{values[0]}"
        return f"{key} {operator} ({', '.join(values)})"

    return ",".join(one(*requirement) for requirement in selector)


def protocol_is(flow, value):
    names = {"icmp": ("ICMPv4", "ICMPv6"), "icmpv4": ("ICMPv4",), "icmpv6": ("ICMPv6",),
             "tcp": ("TCP",), "udp": ("UDP",), "sctp": ("SCTP",)}
    return any(l4(flow, name) is not None for name in names.get(value.lower(), ()))


def workload_is(end, value):
    return any((not value.get("name") or value["name"] == w.get("name", "")) and
               (not value.get("kind") or value["kind"] == w.get("kind", ""))
               for w in end.get("workloads", []))


def type_is(flow, value):
    event = flow.get("event_type", {})
    return ((not value.get("type") or value["type"] == event.get("type", 0)) and
            (not value.get("match_sub_type") or
             value.get("sub_type", 0) == event.get("sub_type", 0)))


def reply_is(flow, value):
    if "is_reply" not in flow:
        return flow["verdict"] == "DROPPED" and value is False
    return flow["is_reply"] == value


def flags_are(flow, value):
    flags = (l4(flow, "TCP") or {}).get("flags", {})
    return l4(flow, "TCP") is not None and all(flags.get(name) for name, on in value.items() if on)


def ends(test):
    """For the two fields of a kind."""
    return {"source": lambda f, v: test(f.get("source", {}), v),
            "destination": lambda f, v: test(f.get("destination", {}), v)}


FIELDS = {
    "verdict": lambda f, v: f["verdict"] == v,
    "event_type": type_is,
    "reply": reply_is,
    "drop_reason_desc": lambda f, v: f["verdict"] == "DROPPED" and f.get("drop_reason_desc") == v,
    "traffic_direction": lambda f, v: f.get("traffic_direction", "TRAFFIC_DIRECTION_UNKNOWN") == v,
    "ip_version": lambda f, v: f.get("IP", {}).get("ipVersion") == v,
    "tcp_flags": flags_are,
    "protocol": protocol_is,
    "node_name": node_is,
    "interface": lambda f, v: "interface" in f and all(
        f["interface"].get(key, "") == wanted for key, wanted in v.items()),
    "source_port": lambda f, v: port_of(f, "source_port") == v,
    "destination_port": lambda f, v: port_of(f, "destination_port") == v,
    "source_ip": lambda f, v: in_network(f, "source", v),
    "destination_ip": lambda f, v: in_network(f, "destination", v),
    "source_service": lambda f, v: named_so(f.get("source_service", {}), "name", v),
    "destination_service": lambda f, v: named_so(f.get("destination_service", {}), "name", v),
    "source_fqdn": lambda f, v: any(re.fullmatch(pattern_of(v), n)
                                    for n in f.get("source_names", [])),
    "destination_fqdn": lambda f, v: any(re.fullmatch(pattern_of(v), n)
                                         for n in f.get("destination_names", [])),
}
for field, test in {
        "identity": lambda e, v: e.get("identity", 0) == v,
        "pod": lambda e, v: named_so(e, "pod_name", v),
        "workload": workload_is,
        "cluster_name": lambda e, v: e.get("cluster_name", "") == v,
        "label": lambda e, v: all(requirement_holds(e.get("labels", []), q) for q in v)}.items():
    for side, both in ends(test).items():
        FIELDS[f"{side}_{field}"] = both


def random_selector(r):
    return [(r.choice(KEYS), r.choice(["exists", "not", "in", "in", "notin"]),
             r.sample(["web", "db", "7", ""], r.randrange(1, 3))) for _ in range(r.randrange(1, 3))]


VALUES = {
    "verdict": lambda r: r.choice(["FORWARDED", "DROPPED", "AUDIT", "ERROR"]),
    "event_type": lambda r: r.choice([{}, {"type": 1}, {"type": 4}, {"type": 5}, {"type": 129}, {
        "type": r.choice([1, 4, 5]), "match_sub_type": True,
        "sub_type": r.choice([0, 1, 2, 3, 133])}]),
    "reply": lambda r: r.choice([True, False]),
    "drop_reason_desc": lambda r: r.choice(["POLICY_DENIED", "POLICY_DENY"]),
    "traffic_direction": lambda r: r.choice(["INGRESS", "EGRESS", "TRAFFIC_DIRECTION_UNKNOWN"]),
    "ip_version": lambda r: r.choice(["IPv4", "IPv6"]),
    "tcp_flags": lambda r: {name: r.choice([True, True, False]) for name in r.sample(FLAGS, 2)},
    "protocol": lambda r: r.choice(["tcp", "UDP", "sctp", "icmp", "icmpv4", "icmpv6", "http"]),
    "node_name": lambda r: r.choice(["node-1", "node-*", "*", "east/", "/node-1", "default/*",
                                     "e*/node-1", "*.example.com"]),
    "interface": lambda r: r.choice([{"index": 1}, {"index": 2, "name": "eth0"}, {},
                                     {"name": "eth0"}]),
    "port": lambda r: r.choice(["1", "53", "80", "443", "40000"]),
    "ip": lambda r: r.choice([*ADDRESSES, "10.0.0.0/8", "10.0.1.9/24", "fd00::/8", "0.0.0.0/0"]),
    "service": lambda r: r.choice(["web", "default/", "shop/db", "x", "kube-system/"]),
    "fqdn": lambda r: r.choice(["*.example.com", "example.com", "*", "cdn_1.*", "A.b.C.", "*1*"]),
    "identity": lambda r: r.choice([1, 2, 1000, 2000]),
    "pod": lambda r: r.choice(["web", "we", "shop/", "shop/web-", "default/db", "/x", "kube-system/"]),
    "workload": lambda r: r.choice([{"name": "web"}, {"kind": "Deployment"}, {},
                                    {"name": "web", "kind": "Deployment"}, {"name": "x"}]),
    "cluster_name": lambda r: r.choice(["east", "west"]),
    "label": random_selector,
}


def random_filter(r):
    """A filter as its fields' values are here, and as JSON has them."""
    ours = {}
    for name in r.sample(sorted(FIELDS), r.choice([1, 1, 1, 2, 2, 3])):
        value = VALUES.get(name) or VALUES[name.split("_", 1)[1]]
        ours[name] = [value(r) for _ in range(r.choice([1, 2, 3]))]
    theirs = copy.deepcopy(ours)
    for name, values in theirs.items():
        if name.endswith("_label"):
            theirs[name] = [selector_text(selector) for selector in values]
    return ours, theirs


def filter_holds(flow, one):
    return all(any(FIELDS[name](flow, value) for value in values) for name, values in one.items())


def passes(flow, allow, deny):
    return ((not allow or any(filter_holds(flow, one) for one in allow)) and
            not any(filter_holds(flow, one) for one in deny))


class SecondOpinionTest(unittest.TestCase):
    SEED = 1
    FLOWS = 150
    SETS = 1500

    def test_random(self):
        r = random.Random(self.SEED)
        flows = [random_flow(r) for _ in range(self.FLOWS)]
        texts = [flow.json()["flow"] for flow in flows]
        seen = {name: set() for name in FIELDS}
        for _ in range(self.SETS):
            allow = [random_filter(r) for _ in range(r.choice([0, 1, 1, 2]))]
            deny = [random_filter(r) for _ in range(r.choice([0, 0, 1]))]
            filters = cl.Filters([theirs for _, theirs in allow], [theirs for _, theirs in deny])
            for i in r.sample(range(self.FLOWS), 10):
                expected = passes(texts[i], [ours for ours, _ in allow], [ours for ours, _ in deny])
                self.assertEqual(filters.match(flows[i]), expected,
                                 (allow, deny, json.dumps(texts[i])))
                if len(allow) == 1 and not deny and len(allow[0][0]) == 1:
                    seen[next(iter(allow[0][0]))].add(expected)
        # Each field has been seen to match, and not to.
        self.assertEqual({name for name, results in seen.items() if len(results) < 2}, set())


class FiltersTest(unittest.TestCase):
    def test_forms(self):
        flow = random_flow(random.Random(2))
        self.assertTrue(cl.Filters().match(flow))
        self.assertTrue(cl.Filters("{}").match(flow))
        self.assertTrue(cl.Filters({}).match(flow))
        self.assertFalse(cl.Filters(deny={}).match(flow))
        self.assertFalse(cl.Filters(allow=["{}"], deny=[{}]).match(flow))
        same = {"verdict": [flow.event.verdict], "sourceIdentity": [flow.event.source_identity]}
        self.assertTrue(cl.Filters(same).match(flow))
        self.assertFalse(cl.Filters(deny=[json.dumps(same)]).match(flow))

    def test_errors(self):
        for wrong, text in (({"source_ip": ["x"]}, "source_ip: 'x'"),
                            ({"nothing": []}, "'nothing'"),
                            ("{", "not YAML"),
                            ({"http_path": ["("]}, "http_path: '('"),
                            ("{}\0", "NUL")):
            with self.subTest(wrong):
                with self.assertRaisesRegex(cl.InvalidArgument, re.escape(text)):
                    cl.Filters(wrong)
        self.assertRaises(TypeError, cl.Filters, 1)
        with self.assertRaisesRegex(cl.InvalidArgument, "more than 128 filters"):
            cl.Filters([{}] * 129)

    def test_text_of_a_flow(self):
        """A flow that was taken apart says the same as before."""
        flow = random_flow(random.Random(3))
        rule = cl.RuleInfo(policy="shop/p", filename="p.yaml", cookie=7, line=3,
                           direction=cl.Direction.INGRESS, action=cl.Action.DENY, index=1)
        policy = cl.FlowPolicy(name="p", namespace="shop", kind="CiliumNetworkPolicy",
                               direction=cl.Direction.INGRESS, action=cl.Action.DENY, revision=5,
                               rule=rule)
        event = make_event(type=5, verdict=2, subtype=4, drop_reason=181, direction=1, family=4,
                           protocol=17, has_ports=1, ingress_rule=7)
        flow = cl.ResolvedFlow(event=event, source=flow.source, destination=flow.destination,
                               policies=(policy,), node="n", summary="s" * 3000, kind=flow.kind)
        self.assertIn("rule=shop/p ingressDeny[1] p.yaml:3", flow.text())
        self.assertEqual(str(flow), flow.text())
        self.assertEqual(flow.json()["flow"]["Summary"], "s" * 3000)
        self.assertEqual(flow.json()["flow"]["ingress_denied_by"],
                         [{"name": "p", "namespace": "shop", "revision": "5",
                           "kind": "CiliumNetworkPolicy"}])


class SubscriptionTest(RootTestCase):
    def setUp(self):
        super().setUp()
        self.ctx = self.context()
        self.a, self.b = self.workload("a", 1), self.workload("b", 2)
        for workload in (self.a, self.b):
            self.ctx.endpoints.add(workload.device, ipv4=workload.ipv4,
                                   labels=[f"k8s:app={workload.device}"],
                                   name=f"test/{workload.device}")
        with self.a.entered():
            self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stack.callback(self.sender.close)

    def test_filters(self):
        def stream(**lists):
            return self.ctx.events(types="trace", aggregation="none", filters=cl.Filters(**lists))

        wanted = {"destination_pod": ["test/b"], "destination_port": ["7"]}
        streams = {"names": stream(allow=wanted), "not names": stream(deny=wanted),
                   "numbers": stream(allow={"destination_port": ["8"]}),
                   "nothing": stream(allow={"source_pod": ["other/"]}),
                   "all": stream()}
        for port in (7, 8, 9):
            self.sender.sendto(b"hello", (self.b.ipv4, port))
        got = {name: set() for name in streams}
        while not {7, 8, 9} <= got["all"]:
            got["all"].add(streams["all"].get(PATIENCE).destination_port)
        for name, s in streams.items():
            event = s.get(0)
            while event:
                got[name].add(event.destination_port)
                event = s.get(0)
            got[name].discard(None)  # ICMP: nobody listens on the ports
        self.assertEqual(got, {"all": {7, 8, 9}, "names": {7}, "not names": {8, 9},
                               "numbers": {8}, "nothing": set()})

    def test_flow(self):
        with self.ctx.events(types="trace") as events:
            self.sender.sendto(b"hello", (self.b.ipv4, 7))
            event = events.get(PATIENCE)
        flow = event.flow()
        self.assertIs(flow.event, event)
        self.assertEqual((flow.source.namespace, flow.source.pod, flow.destination.pod),
                         ("test", "a", "b"))
        self.assertEqual(flow.source.labels, ("k8s:app=a",))
        self.assertEqual((flow.summary, flow.node, flow.kind),
                         ("UDP", socket.gethostname(), cl.FlowKind.L3_L4))
        self.assertEqual(flow.interface, socket.if_indextoname(event.ifindex))
        self.assertEqual(flow.text(), event.text())
        self.assertEqual(flow.json(), event.json())
        # It keeps its names; the event has those of now.
        self.ctx.endpoints.remove(self.ctx.endpoints.find("a").id)
        self.assertIn("test/a", flow.text())
        self.assertNotIn("test/a", event.text())
        self.assertTrue(cl.Filters({"source_pod": ["test/a"]}).match(flow))
        self.assertFalse(cl.Filters({"source_pod": ["test/a"]}).match(event.flow()))
        self.ctx.close()
        self.assertIn("test/a", flow.text())

    def test_set_in_use(self):
        filters = cl.Filters({"verdict": ["DROPPED"]})
        with self.ctx.subscribe(lambda _event: None, filters=filters):
            with self.assertRaises(cl.Busy):
                filters._add(0, "{}")


if __name__ == "__main__":
    unittest.main()
