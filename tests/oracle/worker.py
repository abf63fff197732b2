# SPDX-License-Identifier: BSD-2-Clause
"""Runs cases on the real programs: one process with a network namespace, in it devices
that no packet ever crosses, and for each case an ephemeral instance, whose programs get
packets by BPF_PROG_TEST_RUN."""
import collections
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import traceback

import cilium_lite as cl

import generate
import native
import oracle
import packets
import texts

ACT_OK, ACT_PASS, ACT_DROP, ACT_REDIRECT = 0, -1, 2, 7
UPLINK = "uplink"  # ("up" would be a word of ip(8))


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
    batch([f"link set {UPLINK} up", "link set wire up", f"route add default dev {UPLINK}"])
    batch([f"route add default dev {UPLINK}"], "-6")


def batch(lines, *options):
    subprocess.run(["ip", *options, "-batch", "-"], input="\n".join(lines) + "\n", text=True,
                   check=True)


class Failure(Exception):
    """What is wrong; found: what tells one fault from another."""

    def __init__(self, kind, expected, got, why):
        super().__init__(why)
        self.found = {"kind": kind, "expected": expected, "got": got}
        self.why = why


CONFIG = {"enforcement": "default", "allow localhost": False, "audit": False}
AUDITED = {False: cl.Verdict.DROPPED, True: cl.Verdict.AUDIT}


class Case:
    """One case in one instance."""

    def __init__(self, phases):
        self.phases = phases
        # (clsact: no packet crosses the devices, and TCX takes longer to attach)
        self.context = cl.Context(ephemeral=True, clsact=True, flows4=8192, flows6=8192,
                                  endpoints=64, services=16, policies=1024)
        self.context.attach_device(UPLINK)
        self.programs = {name: self.context.prog_fd(name)
                         for name in ("from_endpoint", "to_endpoint", "from_netdev")}
        self.uplink = socket.if_nametoindex(UPLINK)
        self.events = []
        self.subscription = self.context.subscribe(self.events.append)
        self.endpoints = {}  # name: (cl.Endpoint, as it is in the world)
        self.remotes = {}
        self.documents = {}  # name: document
        self.lines = {}  # name: {place in the document: line of the text it came in}
        self.services = {}  # name: (cl.Service, as it is in the world)
        self.audited = set()  # names of endpoints
        self.config = CONFIG
        self.entries = {}  # number of an endpoint: what the compiler made for it
        self.flows = {}  # number: its endpoints' numbers when it was allowed
        self.answered = set()  # flows that have sent answers
        self.world = None
        self.packets = 0

    # ---- change from one world to the next -------------------------------------

    def enter(self, world):
        self.world = world
        self.entries = {}
        self.remotes_unset(world)
        self.config_change(world)
        if world.get("documents first"):
            self.documents_change(world)
        self.endpoints_change(world)
        for address, what in world.get("remotes", {}).items():
            if address not in self.remotes:
                self.remote_set(address, what)
        self.services_change(world)
        self.documents_change(world)

    def config_change(self, world):
        config = {**CONFIG, **(world.get("config") or {})}
        if config != self.config:
            self.context.configure(enforcement=config["enforcement"], audit=config["audit"],
                                   allow_localhost=config["allow localhost"])
            self.config = config

    def remotes_unset(self, world):
        changed = {name for name, (_, e) in self.endpoints.items() if e not in world["endpoints"]}
        for address, what in list(self.remotes.items()):
            if world.get("remotes", {}).get(address) != what or what.get("labels of") in changed:
                self.context.ipcache.unset(address)
                del self.remotes[address]

    def remote_set(self, address, what):
        identity = what.get("identity") or self.endpoints[what["labels of"]][0].identity
        self.context.ipcache.set(address, identity)
        self.remotes[address] = what

    def endpoints_change(self, world):
        for name, (endpoint, e) in list(self.endpoints.items()):
            if e not in world["endpoints"]:
                endpoint.remove()
                del self.endpoints[name]
        for e in world["endpoints"]:
            if e["name"] in self.endpoints:
                continue
            used = {endpoint.device for endpoint, _ in self.endpoints.values()}
            free = next(d for d in map(device, range(generate.ENDPOINTS_MAX)) if d not in used)
            more = {"ports": e["ports"]} if e.get("ports") else {}
            self.endpoints[e["name"]] = self.context.endpoints.add(
                free, name=e["name"], labels=e["labels"], ipv4=e.get("ipv4"),
                ipv6=e.get("ipv6"), **more), e
        self.audit_change(set(world.get("audited") or []) & set(self.endpoints))

    def audit_change(self, audited):
        for name, (endpoint, _) in self.endpoints.items():
            endpoint = self.context.endpoints[endpoint.id]
            if endpoint.audit != (name in audited):
                self.context.endpoints.set_audit(endpoint, name in audited)

    def services_change(self, world):
        services = {s["name"]: s for s in world.get("services") or []}
        for name, (service, s) in list(self.services.items()):
            now = services.get(name)
            if not now or any(now[k] != s[k] for k in ("address", "port", "protocol")):
                service.delete()
                del self.services[name]
        for name, s in services.items():
            if name not in self.services or self.services[name][1] != s:
                self.services[name] = self.context.services.update(
                    s["address"], s["port"], s["protocol"].lower(), name=name,
                    labels=s.get("labels") or [],
                    backends=[tuple(b) for b in s["backends"]]), s

    def documents_change(self, world):
        documents = {oracle.policy_name(d): d for d in world["documents"]}
        changed = [d for name, d in documents.items() if self.documents.get(name) != d]
        with self.context.transaction() as txn:
            for name, document in self.documents.items():
                # one of another kind is not replaced
                if name not in documents or documents[name].get("kind") != document.get("kind"):
                    txn.delete(name)
            for text, name, written in texts.write(changed, **world.get("writing") or {}):
                options = {"name": name} if name else {}
                read = txn.load(text, filename="oracle.yaml", **options)
                if read != len(written):
                    raise Failure("read", len(written), read, "documents were not all read")
                for document, lines in written:
                    self.lines[oracle.policy_name(document)] = lines
        self.documents = documents

    # ---- packets ----------------------------------------------------------------

    def at(self, address):
        """The endpoint with an address, or None."""
        name = oracle.peer_at(self.world, address).name
        return None if name is None else self.endpoints[name][0]

    def send(self, probe, reply, new):
        """Returns (verdict, event)."""
        source, destination, via = probe["source"], probe["destination"], probe["via"]
        from_host = oracle.peer_at(self.world, source).kind == "host"
        if reply:
            source, destination = destination, source
            from_host = oracle.peer_at(self.world, source).kind == "host"
            via = ("from_endpoint" if self.at(source) else
                   "to_endpoint" if from_host else "from_netdev")
        ifindex, coming = self.uplink, 0
        if via == "from_endpoint":
            ifindex = self.at(source).ifindex
        elif via == "to_endpoint":
            ifindex = self.at(destination).ifindex
            coming = 0 if from_host else self.uplink
        self.packets += 1
        sent = probe
        if "service" in probe and not reply:
            sent = {**probe, "destination": probe["service"][0], "port": probe["service"][1]}
        action = native.test_run(self.programs[via], packets.build(sent, reply, new), ifindex,
                                 coming)
        return self.read(via, action, destination)

    def read(self, via, action, destination):
        self.context.dispatch()
        self.verdicts = [e for e in self.events if e.type == cl.EventType.POLICY_VERDICT]
        events = [e for e in self.events if e.type != cl.EventType.POLICY_VERDICT]
        drops = [e for e in events if e.type == cl.EventType.DROP]
        self.events.clear()
        if action == ACT_DROP:
            if len(drops) != 1 or len(events) != 1:
                raise Failure("events", "one drop", len(events),
                              f"a dropped packet made the events {list(map(str, events))}")
            return drops[0].drop_reason, drops[0]
        if drops:
            raise Failure("events", "no drop", action,
                          f"{via} returned {action} and told of {list(map(str, drops))}")
        local = self.at(destination) and via != "to_endpoint"
        way = [ACT_REDIRECT] if local else [ACT_PASS, ACT_OK]
        if action not in way:
            raise Failure("way", way, action, f"{via} returned {action} for a packet to "
                          f"{destination}, expected one of {way}")
        return oracle.ALLOW, events[0] if events else None

    def named(self, rule):
        """What the library says of a rule, as what can be compared."""
        return rule.policy, rule.line, rule.index, rule.direction.name.lower(), rule.action

    def matching(self, ruling, direction):
        """Rules that match, by action, in the same form."""
        return {action: {(m.policy, self.lines[m.policy][m.place], m.index, direction, action)
                         for m in matches}
                for action, matches in ((cl.Action.ALLOW, ruling.allows),
                                        (cl.Action.DENY, ruling.denies))}

    def check_rule(self, cookie, ruling, direction):
        """Is the rule that is said to have decided one that may have?"""
        verdict = ruling.verdict
        if not cookie:
            # what the host may send anyhow needs no rule
            if ruling.denies or ruling.default_deny and ruling.allows and not ruling.host:
                raise Failure("rule", "a rule", None, f"no rule is named for {direction}")
            return
        rule = self.context.policy.rule(cookie)
        denied = verdict == oracle.DENIED_BY_RULE
        may = self.matching(ruling, direction)[cl.Action.DENY if denied else cl.Action.ALLOW]
        if self.named(rule) not in may:
            raise Failure("rule", "one that matches", "another",
                          f"{rule} is named for {direction}, expected one of {sorted(may)}")

    def check_event(self, event, egress, ingress):
        for ruling, cookie, direction in (
                (egress, event.egress_rule, oracle.EGRESS),
                (ingress, event.ingress_rule, oracle.INGRESS)):
            # it is audit mode that lets pass what policies deny, no rule
            if ruling and not (ruling.verdict and ruling.audited):
                self.check_rule(cookie, ruling, direction)

    def check_verdicts(self, probe, egress, ingress):
        """A new flow tells what each end's policies say of it. (One of ICMP may not be new: two
        probes may differ in nothing that is seen.)"""
        new = probe["protocol"] in oracle.PORT_PROTOCOLS
        told = {e.direction.name.lower(): e for e in self.verdicts}
        for direction, ruling in ((oracle.EGRESS, egress), (oracle.INGRESS, ingress)):
            event = told.pop(direction, None)
            if not event:
                if new and ruling and (ruling.verdict or ruling.default_deny):
                    raise Failure("verdict event", direction, None,
                                  f"the {direction} policies' verdict is not told")
                continue
            if not ruling:
                raise Failure("verdict event", None, direction, "a verdict of nobody is told")
            expected = AUDITED[ruling.audited] if ruling.verdict else cl.Verdict.FORWARDED
            if event.verdict != expected:
                raise Failure("verdict event", expected.name, event.verdict_name,
                              f"the {direction} policies' verdict is told as "
                              f"{event.verdict_name}, expected {expected.name}")
            cookie = event.egress_rule if direction == oracle.EGRESS else event.ingress_rule
            self.check_rule(cookie, ruling, direction)
        if told:
            raise Failure("verdict event", None, sorted(told), f"{self.verdicts} were told")

    # ---- the compiler, and the explanation ----------------------------------------

    def entries_of(self, endpoint):
        """{(direction, identity): [entry]} as the kernel has them."""
        if endpoint.id not in self.entries:
            found = collections.defaultdict(list)
            for e in self.context.policy.entries(endpoint):
                found[e.direction.name.lower(), e.identity].append(e)
            self.entries[endpoint.id] = found
        return self.entries[endpoint.id]

    def check_entry(self, endpoint, direction, identity, probe, ruling):
        """What the compiler made of all documents for this packet."""
        entries = self.entries_of(endpoint)
        number = packets.NUMBERS[probe["protocol"]]
        port = probe.get("port", probe.get("type"))
        everybody = entries.get((direction, 0), [])
        meant = [e for e in entries.get((direction, identity)) or everybody
                 if e.protocol == number and e.port <= port <= e.end_port] \
            or [e for e in everybody if e.protocol == 0]
        if len(meant) > 1:
            raise Failure("entry", 1, len(meant), f"{direction}: several entries: {meant}")
        got = oracle.ALLOW
        if meant and meant[0].action == cl.Action.DENY:
            got = oracle.DENIED_BY_RULE if meant[0].rule else oracle.DENIED
        if got != ruling.verdict:
            raise Failure("entry", ruling.verdict, got, f"{direction}: expected "
                          f"{ruling.verdict}, the compiled policy says {got}: {meant}")
        if meant:
            self.check_rule(meant[0].rule, ruling, direction)

    def check_step(self, step, ruling, direction):
        if (step is None) != (ruling is None):
            raise Failure("trace", ruling is not None, step is not None,
                          f"trace: {direction} is {'not ' if step is None else ''}explained")
        if step is None:
            return
        got = step.reason, step.audited
        expected = ruling.verdict, bool(ruling.verdict and ruling.audited)
        if got != expected:
            raise Failure("trace", expected, got, f"trace: {direction}: reason and audited are "
                          f"{got}, expected {expected}")
        rules = {self.named(r) for r in step.rules}
        match = self.matching(ruling, direction)
        may = match[cl.Action.ALLOW] | match[cl.Action.DENY]
        if rules != may:
            raise Failure("trace", "rules that match", "others",
                          f"trace: {direction}: {sorted(rules)}, expected {sorted(may)}")

    def check_trace(self, probe, expected, egress, ingress):
        """The explanation names all the rules that match."""
        if not probe.get("port", 1):
            return  # (a trace takes port 0 for one that is missing)
        to = probe.get("service") or [probe["destination"], probe.get("port", probe.get("type"))]
        trace = self.context.trace(probe["source"], to[0], to[1], probe["protocol"].lower())
        if trace.reason != expected:
            raise Failure("trace", expected, trace.reason,
                          f"trace: expected {expected}, got {trace.reason}")
        self.check_step(trace.egress, egress, oracle.EGRESS)
        self.check_step(trace.ingress, ingress, oracle.INGRESS)
        for step, direction, ruling in ((trace.egress, oracle.EGRESS, egress),
                                        (trace.ingress, oracle.INGRESS, ingress)):
            if step:
                self.check_entry(self.context.endpoints[step.endpoint], direction, step.peer,
                                 probe, ruling)

    def ends(self, probe):
        """Numbers of its endpoints: others if one was removed meanwhile."""
        ends = [self.at(probe[end]) for end in ("source", "destination")]
        return [e and (e.id, e.labels) for e in ends]

    def probe(self, probe):
        at = "source" if probe["via"] == "from_endpoint" else "destination"
        if not self.at(probe[at]):
            raise Failure("test", at, None, "there is no endpoint for this probe")
        expected, egress, ingress = oracle.judge(self.world, probe)
        flow, ends = probe["flow"], self.ends(probe)
        goes_on = self.flows.get(flow) == ends
        got, event = self.send(probe, False, not goes_on)
        if got != expected:
            raise Failure("verdict", expected, got, f"expected {expected}, got {got}")
        if not goes_on:
            self.check_verdicts(probe, egress, ingress)
            self.check_trace(probe, expected, egress, ingress)
        if event and not goes_on:
            self.check_event(event, egress, ingress)
        elif not goes_on and probe["protocol"] in oracle.PORT_PROTOCOLS:
            raise Failure("events", "trace", None, "the first packet of a flow made no event")
        if expected == oracle.ALLOW:
            self.flows[flow] = ends
        if probe.get("reply") and (expected == oracle.ALLOW
                                   or goes_on and flow in self.answered):
            self.answered.add(flow)
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
                if self.subscription.lost:
                    raise Failure("events", 0, self.subscription.lost, "events were lost")
            except Failure as e:
                return {**at, **e.found, "why": e.why}
            except cl.Error as e:
                return {**at, **failed_call(e)}
        return None


def failed_call(e):
    return {"kind": "call", "expected": None, "got": e.code, "why": f"{e.strerror}: {e}"}


def run_case(case):
    run = None
    try:
        run = Case(case["phases"])
        return {"failure": run.run(), "packets": run.packets}
    except cl.Error as e:
        return {"failure": failed_call(e), "packets": 0}
    except Exception:  # a fault of the test: tell it, and do not blame the library
        return {"failure": {"kind": "test", "expected": None, "got": None,
                            "why": traceback.format_exc()}, "packets": 0}
    finally:
        if run:
            run.context.close()


def missing_features(features):
    """[(feature, why)] of those that the library does not have."""
    missing = []
    for feature in features:
        run = None
        try:
            run = Case(generate.feature_case(feature)["phases"])
            run.enter(run.phases[0])
        except (cl.Unsupported, AttributeError, TypeError) as e:
            missing.append((feature, str(e)))
        finally:
            if run:
                run.context.close()
    return missing


def serve(pipe):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    native.own_network()
    make_devices()
    pipe.send("ready")
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        if "features" in job and "seed" not in job:
            pipe.send(missing_features(job["features"]))
            continue
        case = job.get("case") or generate.case(job["seed"], job["phases"], job["probes"],
                                                job["features"])
        pipe.send({**run_case(case), "job": job})


class Worker:
    """The process, seen from outside."""

    def __init__(self):
        self.start()

    def start(self):
        self.pipe, theirs = multiprocessing.Pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid:
            theirs.close()
            try:
                self.pipe.recv()
            except (EOFError, OSError):
                raise RuntimeError("the worker could not make its namespace") from None
            return
        self.pipe.close()
        status = 1
        try:
            serve(theirs)
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
        except (EOFError, OSError):
            got = "died"
        status = self.stop()
        self.start()
        return {"job": self.job, "packets": 0, "failure": {
            "kind": got, "expected": None, "got": got,
            "why": f"the process {got} (wait status {status})"}}

    def missing(self, features):
        """Of features those that the library does not have, with the reason."""
        self.pipe.send({"features": list(features)})
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            raise RuntimeError("the worker ended instead of telling what is supported") from None

    def run(self, case):
        self.post({"case": case})
        return self.result()["failure"]
