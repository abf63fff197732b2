# SPDX-License-Identifier: BSD-2-Clause
"""Runs cases on the real programs: one process with a network namespace, in it devices
that no packet ever crosses, and for each case an ephemeral instance, whose programs get
packets by BPF_PROG_TEST_RUN."""
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import traceback

import generate
import native
import oracle
import packets

ACT_OK, ACT_PASS, ACT_DROP, ACT_REDIRECT = 0, -1, 2, 7
UPLINK = "up"


def device(i):
    return f"v{i}"


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def make_devices():
    """The devices of endpoints stay down: nothing but what is tested may pass them."""
    lines = ["link set lo up", f"link add {UPLINK} type veth peer name wire"]
    lines += [f"link add {device(i)} type veth peer name w{i}"
              for i in range(generate.ENDPOINTS_MAX)]
    lines += [f"addr add {a}/{128 if ':' in a else 32} dev lo" for a in generate.HOST]
    batch(lines)
    for dev in (UPLINK, "wire"):
        write(f"/proc/sys/net/ipv6/conf/{dev}/addr_gen_mode", "1")
    write("/proc/sys/net/ipv4/ip_forward", "1")
    write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
    batch([f"link set {UPLINK} up", "link set wire up", f"route add default dev {UPLINK}",
           f"-6 route add default dev {UPLINK}"])


def batch(lines):
    for family in ("-6", ""):
        mine = [line.removeprefix("-6 ") for line in lines if line.startswith("-6") == bool(family)]
        if mine:
            subprocess.run(["ip"] + ([family] if family else []) + ["-batch", "-"],
                           input="\n".join(mine) + "\n", text=True, check=True)


class Failure(Exception):
    """What is wrong; found: what tells one fault from another."""

    def __init__(self, kind, expected, got, why):
        super().__init__(why)
        self.found = {"kind": kind, "expected": expected, "got": got}
        self.why = why


class Case:
    """One case in one instance."""

    def __init__(self, lib, phases):
        self.phases = phases
        self.instance = native.Instance(lib)
        self.instance.device_attach(UPLINK)
        self.endpoints = {}  # name: (number, endpoint, device)
        self.remotes = {}
        self.documents = {}  # name: text
        self.flows = {}  # number: the endpoints' numbers while it was allowed
        self.replied = set()
        self.world = None
        self.packets = 0

    # ---- change from one world to the next -------------------------------------

    def enter(self, world):
        self.world = world
        self.remotes_unset(world)
        if world.get("documents first"):
            self.documents_change(world)
        self.endpoints_change(world)
        for address, what in world.get("remotes", {}).items():
            if address not in self.remotes:
                self.remote_set(address, what)
        self.documents_change(world)

    def remotes_unset(self, world):
        changed = {name for name, (_, e, _) in self.endpoints.items()
                   if e not in world["endpoints"]}
        for address, what in list(self.remotes.items()):
            if world.get("remotes", {}).get(address) != what or what.get("labels of") in changed:
                self.instance.ipcache_unset(address)
                del self.remotes[address]

    def remote_set(self, address, what):
        if "identity" in what:
            identity = native.RESERVED[what["identity"]]
        else:
            identity = self.instance.endpoint_identity(self.endpoints[what["labels of"]][0])
        self.instance.ipcache_set(address, identity)
        self.remotes[address] = what

    def endpoints_change(self, world):
        for name, (number, e, _) in list(self.endpoints.items()):
            if e not in world["endpoints"]:
                self.instance.endpoint_remove(number)
                del self.endpoints[name]
        for e in world["endpoints"]:
            if e["name"] in self.endpoints:
                continue
            used = {dev for _, _, dev in self.endpoints.values()}
            dev = next(d for d in map(device, range(generate.ENDPOINTS_MAX)) if d not in used)
            number = self.instance.endpoint_add(dev, e["name"], e["labels"], e.get("ipv4"),
                                                e.get("ipv6"))
            self.endpoints[e["name"]] = number, e, dev

    def documents_change(self, world):
        texts = {oracle.policy_name(d): json.dumps(d) for d in world["documents"]}
        put = [text for name, text in texts.items() if self.documents.get(name) != text]
        gone = [name for name in self.documents if name not in texts]
        if put or gone:
            self.instance.commit(put, gone)
        self.documents = texts

    # ---- packets ----------------------------------------------------------------

    def at(self, address):
        """(number, device) of the endpoint with an address, or None."""
        peer = oracle.peer_at(self.world, address)
        if peer.name is None:
            return None
        number, _, dev = self.endpoints[peer.name]
        return number, dev

    def send(self, probe, reply, new):
        """Returns (verdict, event)."""
        source, destination = probe["source"], probe["destination"]
        if reply:
            source, destination = destination, source
        via, coming = probe["via"], 0
        if reply:
            via = "from_endpoint" if self.at(source) else \
                "to_endpoint" if oracle.peer_at(self.world, source).kind == "host" else \
                "from_netdev"
        dev = UPLINK
        if via == "from_endpoint":
            dev = self.at(source)[1]
        elif via == "to_endpoint":
            dev = self.at(destination)[1]
            if oracle.peer_at(self.world, source).kind != "host":
                coming = socket.if_nametoindex(UPLINK)
        self.packets += 1
        action = native.test_run(self.instance.programs[via],
                                 packets.build(probe, reply, new),
                                 socket.if_nametoindex(dev), coming)
        return self.read(via, action, source, destination)

    def read(self, via, action, source, destination):
        events = self.instance.take_events()
        drops = [e for e in events if e["type"] == native.EVENT_DROP]
        traces = [e for e in events if e["type"] == native.EVENT_TRACE]
        if action == ACT_DROP:
            if len(drops) != 1 or traces:
                raise Failure("events", "one drop", [len(drops), len(traces)],
                              f"a dropped packet made the events {events}")
            return drops[0]["drop_reason"], drops[0]
        if drops:
            raise Failure("events", "no drop", action, f"{via} returned {action} and {drops}")
        local = self.at(destination) and via != "to_endpoint"
        way = [ACT_REDIRECT] if local else [ACT_PASS, ACT_OK]
        if action not in way:
            raise Failure("way", way, action, f"{via} returned {action} for a packet to "
                          f"{destination}, expected one of {way}")
        return oracle.ALLOW, traces[0] if traces else None

    def check_rule(self, cookie, ruling, direction):
        """Is the rule that is said to have decided one that may have?"""
        verdict = ruling.verdict
        if not cookie:
            if verdict == oracle.DENIED_BY_RULE or (verdict == oracle.ALLOW
                                                    and ruling.default_deny):
                raise Failure("rule", "a rule", None, f"no rule is named for {direction}")
            return
        rule = self.instance.rule(cookie)
        number = {oracle.INGRESS: 1, oracle.EGRESS: 2}[direction]
        may = ruling.denies if verdict == oracle.DENIED_BY_RULE else ruling.allows
        action = 1 if verdict == oracle.DENIED_BY_RULE else 0
        if verdict == oracle.DENIED or (rule["policy"], rule["index"]) not in may \
                or rule["direction"] != number or rule["action"] != action:
            raise Failure("rule", sorted(map(str, may)), "another",
                          f"{rule} is named for {direction}, expected one of {sorted(may)}")

    def check_event(self, event, egress, ingress):
        if egress:
            self.check_rule(event["egress_rule"], egress, oracle.EGRESS)
        if ingress:
            self.check_rule(event["ingress_rule"], ingress, oracle.INGRESS)

    def ends(self, probe):
        return [self.at(probe[end]) for end in ("source", "destination")]

    def probe(self, probe):
        expected, egress, ingress = oracle.judge(self.world, probe)
        flow, ends = probe["flow"], self.ends(probe)
        goes_on = self.flows.get(flow) == ends
        got, event = self.send(probe, False, not goes_on)
        if got != expected:
            raise Failure("verdict", expected, got, f"expected {expected}, got {got}")
        if event and not goes_on:
            self.check_event(event, egress, ingress)
        elif not goes_on and probe["protocol"] in oracle.PORT_PROTOCOLS:
            raise Failure("events", "trace", None, "the first packet of a flow made no event")
        if expected == oracle.ALLOW:
            self.flows[flow] = ends
        if probe.get("reply") and (expected == oracle.ALLOW
                                   or goes_on and flow in self.replied):
            self.replied.add(flow)
            got, _ = self.send(probe, True, not goes_on)
            if got != expected:
                raise Failure("reply", expected, got,
                              f"the answer: expected {expected}, got {got}")

    def expectation(self, probe):
        if "expect" in probe and oracle.verdict(self.world, probe) != probe["expect"]:
            raise Failure("oracle", probe["expect"], oracle.verdict(self.world, probe),
                          "the oracle is not of the opinion of who wrote the case")

    def run(self):
        """None, or the first failure."""
        for i, world in enumerate(self.phases):
            at = {"phase": i}
            try:
                self.enter(world)
                for j, probe in enumerate(world["probes"]):
                    at["probe"] = j
                    self.expectation(probe)
                    self.probe(probe)
                at.pop("probe", None)
                if self.instance.lost():
                    raise Failure("events", 0, self.instance.lost(), "events were lost")
            except Failure as e:
                return {**at, **e.found, "why": e.why}
            except native.LibraryError as e:
                return {**at, "kind": "call", "expected": None, "got": e.code, "why": str(e)}
        return None


def run_case(lib, case):
    try:
        run = Case(lib, case["phases"])
    except native.LibraryError as e:
        return {"failure": {"kind": "call", "expected": None, "got": e.code, "why": str(e)},
                "packets": 0}
    try:
        return {"failure": run.run(), "packets": run.packets}
    except Exception:  # a fault of the test: tell it, and do not blame the library
        return {"failure": {"kind": "test", "expected": None, "got": None,
                            "why": traceback.format_exc()}, "packets": run.packets}
    finally:
        run.instance.close()


def serve(pipe, path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lib = native.library(path)
    native.own_network()
    make_devices()
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        case = job.get("case") or generate.case(job["seed"], job["phases"], job["probes"])
        pipe.send({**run_case(lib, case), "job": job})


class Worker:
    """The process, seen from outside."""

    def __init__(self, path):
        self.path = path
        self.start()

    def start(self):
        self.pipe, theirs = multiprocessing.Pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid:
            theirs.close()
            return
        self.pipe.close()
        status = 1
        try:
            serve(theirs, self.path)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def stop(self):
        self.pipe.close()
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return os.waitpid(self.pid, 0)[1]

    def post(self, job):
        self.job = job
        self.pipe.send(job)

    def result(self, seconds=120):
        """Of the job that was posted. A worker that died or hangs is replaced."""
        try:
            if self.pipe.poll(seconds):
                return self.pipe.recv()
            got = "hangs"
        except EOFError:
            got = "died"
        status = self.stop()
        self.start()
        return {"job": self.job, "packets": 0, "failure": {
            "kind": got, "expected": None, "got": got,
            "why": f"the process {got} (wait status {status})"}}

    def run(self, case):
        self.post({"case": case})
        return self.result()["failure"]
