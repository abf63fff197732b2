# SPDX-License-Identifier: BSD-2-Clause
"""Every method of the server, on a Unix socket and on TCP, without an instance: flows are fed."""
import json
import os
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import grpc

import client
from client import Client, Server, as_json, flow, nanoseconds, observer, wait_for

FILTER = flow.FlowFilter
UINT64_MAX = 2**64 - 1


class ServerTestCase(unittest.TestCase):
    OPTIONS = {}

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="clite-hubble")
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, "hubble.sock")
        self.server = self.start(**self.OPTIONS)
        self.address = self.server.listen("unix://" + self.path)
        self.client = self.connect(self.address)

    def start(self, **options):
        server = Server(**{"node": "node-1", **options})
        self.addCleanup(self.end, server)
        return server

    def end(self, server):
        """It goes in peace, also with clients, and has released all that it had."""
        if server.process.poll() is None:
            try:
                self.assertEqual(server.close(), 0)
            except subprocess.TimeoutExpired:
                server.kill()
                raise

    def connect(self, *arguments, **options):
        c = Client(*arguments, **options)
        self.addCleanup(c.close)
        return c

    def fails(self, code, call, text=""):
        with self.assertRaises(grpc.RpcError) as e:
            response = call()
            if hasattr(response, "__next__"):
                list(response)
        self.assertEqual(e.exception.code(), code, e.exception)
        self.assertIn(text, e.exception.details())
        return e.exception.details()


class Following:
    """A stream that is read by a thread of its own."""

    def __init__(self, call):
        self.call = call
        self.got = []
        self.error = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            for r in self.call:
                self.got.append(r)
        except grpc.RpcError as e:
            self.error = e

    def wait(self, n):
        wait_for(lambda: len(self.got) >= n or self.error, f"{n} messages, got {len(self.got)}")
        if self.error:
            raise self.error
        return self.got


class Methods(ServerTestCase):
    OPTIONS = {"flows": 100, "version": "1.2.3"}

    def test_status(self):
        self.server.flows(150)
        s = self.client.server_status()
        self.assertEqual((s.num_flows, s.max_flows, s.seen_flows, s.version), (100, 100, 150, "1.2.3"))
        self.assertEqual((s.num_connected_nodes.value, s.num_unavailable_nodes.value), (1, 0))
        self.assertGreater(s.uptime_ns, 0)
        self.assertEqual(s.flows_rate, 0)  # they are of 1970

    def test_rate(self):
        self.server.flows(50, time.time_ns())
        s = self.client.server_status()
        self.assertAlmostEqual(s.flows_rate, 50 / (s.uptime_ns / 1e9), delta=s.flows_rate / 2)

    def test_nodes(self):
        self.server.flows(3)
        node, = self.client.nodes()
        self.assertEqual((node.name, node.version, node.state, node.address),
                         ("node-1", "1.2.3", 1, self.address))
        self.assertEqual((node.num_flows, node.max_flows, node.seen_flows, node.tls.enabled),
                         (3, 100, 3, False))

    def test_namespaces(self):
        self.assertEqual(len(self.client.namespaces()), 0)
        self.server.flow(sns="b", dns="a")
        self.server.flow(sns="b", dns="c", dcluster="east")
        self.assertEqual([(n.cluster, n.namespace) for n in self.client.namespaces()],
                         [("", "a"), ("", "b"), ("east", "c")])

    def test_health(self):
        for service in ("", "hubble.server.Observer"):
            self.assertEqual(self.client.check(service).status, 1)
        self.fails(grpc.StatusCode.NOT_FOUND, lambda: self.client.check("x"))
        watch = self.client.watch("hubble.server.Observer")
        self.assertEqual(next(watch).status, 1)
        self.assertTrue(watch.is_active())
        self.assertEqual(next(self.client.watch("x")).status, 3)

    def test_peers(self):
        notify = self.client.notify()
        first = next(notify)
        self.assertEqual((first.name, first.address, first.type), ("node-1", self.address, 1))
        self.assertFalse(first.HasField("tls"))
        self.assertTrue(notify.is_active())
        self.server.listen("127.0.0.1:0", announce="10.9.9.9:4244")
        self.assertEqual(next(self.client.notify()).address, "10.9.9.9:4244")

    def test_debug_events(self):
        self.assertEqual(list(self.client.get_debug_events(number=20)), [])
        follow = self.client.get_debug_events(follow=True)
        wait_for(lambda: self.server.status()["streams"] == 1, "the stream")
        self.assertTrue(follow.is_active())
        follow.cancel()

    def test_agent_events(self):
        event, = self.client.get_agent_events(number=20)
        self.assertEqual((event.agent_event.type, event.node_name), (2, "node-1"))
        self.assertEqual(event.agent_event.agent_start.time.seconds, event.time.seconds)
        self.assertEqual(len(list(self.client.get_agent_events(first=True))), 1)
        self.fails(grpc.StatusCode.INVALID_ARGUMENT,
                   lambda: self.client.get_agent_events(first=True, follow=True))

    def test_unknown(self):
        for path in ("/observer.Observer/Nothing", "/x/y", "/grpc.reflection.v1alpha.ServerReflection/"
                     "ServerReflectionInfo"):
            self.fails(grpc.StatusCode.UNIMPLEMENTED,
                       lambda p=path: self.client.unary(p, observer.GetNodesRequest(),
                                                        observer.GetNodesResponse), path)

    def test_unknown_before_the_end(self):
        """Who asks by a stream and never ends it is answered, too (hubble reflect)."""
        stop = threading.Event()
        self.addCleanup(stop.set)

        def requests():
            stop.wait()
            yield b""

        call = self.client.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/x")
        self.fails(grpc.StatusCode.UNIMPLEMENTED, lambda: call(requests(), timeout=client.PATIENCE))

    def test_compressed(self):
        self.fails(grpc.StatusCode.UNIMPLEMENTED, lambda: self.client.unary(
            "/observer.Observer/GetNodes", observer.GetNodesRequest(), observer.GetNodesResponse,
            compression=grpc.Compression.Gzip), "identity")

    def test_too_long(self):
        long = ["x" * 1000] * 300
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED,
                   lambda: self.client.get_flows(whitelist=[FILTER(source_pod=long)]), "262144")
        # two bytes each, that become much memory
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED,
                   lambda: self.client.get_flows(whitelist=[FILTER()] * 100000), "memory")

    def test_bad_message(self):
        call = self.client.channel.unary_unary("/observer.Observer/GetFlows")
        self.fails(grpc.StatusCode.INTERNAL, lambda: call(b"\xff\xff", timeout=client.PATIENCE))

    def test_deadline(self):
        self.fails(grpc.StatusCode.DEADLINE_EXCEEDED,
                   lambda: self.client.get_flows(follow=True, options={"timeout": 0.3}))
        wait_for(lambda: self.server.status()["streams"] == 0, "the stream's end")

    def test_cancel(self):
        calls = [self.client.get_flows(follow=True) for _ in range(10)]
        wait_for(lambda: self.server.status()["streams"] == 10, "ten streams")
        for c in calls:
            c.cancel()
        wait_for(lambda: self.server.status()["streams"] == 0, "no streams")
        self.assertEqual(self.client.check().status, 1)


class Flows(ServerTestCase):
    OPTIONS = {"flows": 1000}

    def test_number(self):
        self.server.flows(100)
        everything = list(range(1, 101))
        self.assertEqual(self.client.times(), everything)
        self.assertEqual(self.client.times(number=UINT64_MAX), everything)
        self.assertEqual(self.client.times(number=20), everything[-20:])
        self.assertEqual(self.client.times(number=20, first=True), everything[:20])
        self.assertEqual(self.client.times(number=100), everything)
        self.assertEqual(self.client.times(first=True), everything)

    def test_empty(self):
        self.assertEqual(self.client.times(number=20), [])
        self.assertEqual(self.client.times(first=True), [])

    def test_overwritten(self):
        self.server.flows(2500)
        self.assertEqual(self.client.times(), list(range(1501, 2501)))
        self.assertEqual(self.client.times(number=3, first=True), [1501, 1502, 1503])

    def test_time(self):
        self.server.flows(100)

        def t(n):
            return {"nanos": n}

        self.assertEqual(self.client.times(since=t(91)), list(range(91, 101)))
        self.assertEqual(self.client.times(until=t(5)), [1, 2, 3, 4, 5])
        self.assertEqual(self.client.times(since=t(10), until=t(12)), [10, 11, 12])
        # since decides where to begin, number where to end
        self.assertEqual(self.client.times(since=t(10), number=2), [10, 11])
        self.assertEqual(self.client.times(since=t(99), number=20), [99, 100])
        self.assertEqual(self.client.times(since=t(99), first=True), [99, 100])
        self.assertEqual(self.client.times(since={"seconds": 5}), [])
        self.fails(grpc.StatusCode.INVALID_ARGUMENT,
                   lambda: self.client.get_flows(since={"nanos": -1}), "since")

    def test_follow(self):
        self.server.flows(100)
        new = Following(self.client.get_flows(follow=True))
        some = Following(self.client.get_flows(follow=True, number=5))
        since = Following(self.client.get_flows(follow=True, since={"nanos": 50}))
        some.wait(5)
        since.wait(51)
        wait_for(lambda: self.server.status()["streams"] == 3, "three streams")
        self.server.flows(10, 1000)
        news = list(range(1000, 1010))
        for following, before in ((new, []), (some, list(range(96, 101))),
                                  (since, list(range(50, 101)))):
            got = following.wait(len(before) + 10)
            self.assertEqual([nanoseconds(r.time) for r in got], before + news)
        self.fails(grpc.StatusCode.INVALID_ARGUMENT,
                   lambda: self.client.get_flows(follow=True, first=True),
                   "first cannot be specified with follow")

    def test_follow_until(self):
        """It ends by a flow that is later, and by the clock."""
        now = time.time_ns()
        calls = [Following(self.client.get_flows(follow=True, until={
            "seconds": s, "nanos": 0})) for s in (now // 10**9 + 1000, now // 10**9 + 1)]
        wait_for(lambda: self.server.status()["streams"] == 2, "two streams")
        calls[1].thread.join(client.PATIENCE)
        self.assertFalse(calls[1].thread.is_alive())
        self.assertIsNone(calls[1].error)
        self.assertTrue(calls[0].thread.is_alive())
        self.server.flow(time=now + 2000 * 10**9)
        calls[0].thread.join(client.PATIENCE)
        self.assertIsNone(calls[0].error)
        self.assertEqual(calls[0].got, [])

    def test_filtered_number(self):
        """number counts flows that pass."""
        for i in range(30):
            self.server.flow(time=i + 1, dport=80 if i % 3 == 0 else 443)
        allow = [FILTER(destination_port=["80"])]
        self.assertEqual(self.client.times(whitelist=allow, number=3), [22, 25, 28])
        self.assertEqual(self.client.times(whitelist=allow, number=3, first=True), [1, 4, 7])
        self.assertEqual(self.client.times(whitelist=allow, since={"nanos": 20}), [22, 25, 28])
        self.assertEqual(len(self.client.times(blacklist=allow)), 20)

    def test_fields(self):
        """The message says what the core's JSON says."""
        full = {"time": 1700000000123456789, "src": "10.0.0.1", "dst": "10.0.0.2", "sport": 1234,
                "dport": 80, "flags": 0x12, "sep": 7, "dep": 9, "sid": 1000, "did": 2, "ifindex": 3,
                "direction": 1, "reply": 1, "trace": 2, "subtype": 0, "sns": "red", "spod": "web-1",
                "slabels": "k8s:app=web,reserved:host=", "swork": "web", "skind": "Deployment",
                "dsvc": "db", "dsvcns": "blue", "dcluster": "east", "dnames": "a.example,b.example",
                "policy": "allow", "policyns": "red", "revision": 2**33, "summary": "TCP Flags: SYN, ACK",
                "node": "other", "interface": "eth0"}
        flows = [full,
                 {"type": 1, "subtype": 133, "drop": 133, "verdict": 2, "src": "fd00::1",
                  "dst": "fd00::2", "protocol": 17, "sport": 53, "dport": 5353, "file": "bpf_lxc.c",
                  "line": 42, "direction": 2, "reply": 2, "paction": 2, "policy": "deny"},
                 {"type": 5, "subtype": 4, "src": "10.0.0.1", "dst": "10.0.0.2", "protocol": 1,
                  "icmp": 8, "direction": 1},
                 {"src": "fd00::1", "dst": "fd00::2", "protocol": 58, "icmp": 128, "trace": 5},
                 {"src": "10.0.0.1", "dst": "10.0.0.2", "protocol": 132, "sport": 1, "dport": 2,
                  "subtype": 10, "trace": 1},
                 {"ports": 0, "protocol": 47, "src": "1.1.1.1", "dst": "2.2.2.2"},
                 {"ports": 0, "protocol": 0, "verdict": 9, "subtype": 77, "drop": 255}]
        expected = [json.loads(self.server.flow(json=1, **{"node": "n", **f})) for f in flows]
        got = [as_json(r) for r in self.client.get_flows()]
        for e, g in zip(expected, got):
            self.assertEqual(g, e)
        self.assertEqual(len(got), len(flows))

    def test_not_utf8(self):
        """A name that is no text costs itself, not the stream."""
        self.server.process.stdin.flush()
        os.write(self.server.process.stdin.fileno(), b"flow\tspod=a\xffb\xc3\tsns=\xe2\x82\xac\n")
        self.server.answer()
        r, = self.client.get_flows()
        self.assertEqual((r.flow.source.pod_name, r.flow.source.namespace), ("a\ufffdb\ufffd", "\u20ac"))

    def test_node(self):
        self.server.flow()
        self.server.flow(node="other")
        self.assertEqual([(r.node_name, r.flow.node_name) for r in self.client.get_flows()],
                         [("node-1", "node-1"), ("other", "other")])

    def test_mask(self):
        self.server.flow(time=5, src="10.0.0.1", dst="10.0.0.2", sport=1, dport=2, flags=2, sns="a",
                         spod="b", slabels="k8s:x=y", summary="s")

        def masked(*paths):
            r, = self.client.get_flows(field_mask={"paths": paths})
            self.assertEqual((r.node_name, nanoseconds(r.time)), ("node-1", 5))
            return as_json(r.flow)

        self.assertEqual(masked("source.pod_name", "verdict"),
                         {"source": {"pod_name": "b"}, "verdict": "FORWARDED"})
        self.assertEqual(masked("l4.TCP.destination_port"), {"l4": {"TCP": {"destination_port": 2}}})
        self.assertEqual(masked("l4.UDP"), {"l4": {}})
        self.assertEqual(masked("source.labels", "source", "source.pod_name")["source"],
                         {"namespace": "a", "labels": ["k8s:x=y"], "pod_name": "b"})
        self.assertEqual(masked("is_reply", "event_type.type"), {"is_reply": False, "event_type": {"type": 4}})
        # what 1.19 sends for compact, dict and table output
        everything = masked("time", "source.identity", "source.namespace", "source.pod_name",
                            "destination.identity", "destination.namespace", "destination.pod_name",
                            "source_service", "destination_service", "l4", "IP", "ethernet", "l7",
                            "Type", "node_name", "is_reply", "event_type", "verdict", "Summary")
        self.assertEqual(everything["Summary"], "s")
        for bad in ("nothing", "source.nothing", "source_names.x", "", "source.", "time.x", "x" * 100):
            self.fails(grpc.StatusCode.INVALID_ARGUMENT,
                       lambda b=bad: self.client.get_flows(field_mask={"paths": [b]}), f"'{bad}'")

    def test_lost(self):
        """A reader that is too slow is told once, exactly, and goes on with what there is."""
        slow = self.connect(self.address, options=[("grpc.http2.lookahead_bytes", 1024),
                                                   ("grpc.http2.bdp_probe", 0)])
        stream = slow.get_flows(follow=True)
        wait_for(lambda: self.server.status()["streams"] == 1, "the stream")
        fast = Following(self.client.get_flows(follow=True, whitelist=[
            FILTER(destination_port=["9"])]))
        wait_for(lambda: self.server.status()["streams"] == 2, "the other stream")
        n, next_time = 0, 1
        while self.server.status()["seen"] - self.server.status()["sent"] < 5000:
            self.server.flows(1000, next_time)
            n, next_time = n + 1000, next_time + 1000
            self.assertLess(n, 10**6)
        self.server.flow(time=next_time, dport=9)
        fast.wait(1)  # others do not wait for it
        got, lost, last = 0, [], 0
        while last != next_time:
            r = next(stream)
            if r.HasField("lost_events"):
                self.assertEqual(r.lost_events.source, 3)
                lost.append(r.lost_events.num_events_lost)
                continue
            last = nanoseconds(r.time)
            got += 1
        self.assertEqual(len(lost), 1)
        self.assertEqual(got + lost[0], n + 1)
        self.assertEqual(self.server.status()["overwritten"], lost[0])
        stream.cancel()

    def test_many_clients(self):
        clients = [self.connect(self.address) for _ in range(50)]
        streams = [Following(c.get_flows(follow=True)) for c in clients]
        wait_for(lambda: self.server.status()["streams"] == 50, "50 streams")
        for i in range(10):
            self.server.flows(100, 1 + 100 * i)
        for s in streams:
            self.assertEqual([nanoseconds(r.time) for r in s.wait(1000)], list(range(1, 1001)))
        self.assertEqual(self.server.status()["sent"], 50 * 1000)
        self.assertEqual(self.server.status()["connections"], 50)


class Filters(ServerTestCase):
    def check(self, field, *cases):
        """Each case: a value of the field, and which of the flows fed it lets pass."""
        for value, expected in cases:
            with self.subTest(field=field, value=value):
                self.assertEqual(self.client.times(whitelist=[FILTER(**{field: value})]), expected)

    def test_fields(self):
        s = self.server
        s.flow(time=1, src="10.0.0.1", dst="10.1.0.1", sport=1000, dport=80, flags=2, sns="red",
               spod="web-1", slabels="k8s:app=web", sid=1001, did=2, sep=1, direction=2)
        s.flow(time=2, src="fd00::1", dst="fd00::2", protocol=17, sport=53, dport=5353, sns="kube-system",
               spod="dns", dsvc="db", dsvcns="blue", reply=1, direction=1, type=5, subtype=1,
               dnames="www.example.com", ifindex=4, interface="eth0", node="node-2")
        s.flow(time=3, src="10.0.0.2", dst="10.1.0.1", protocol=1, icmp=8, type=1, subtype=133, drop=133,
               verdict=2, swork="job", skind="Job", scluster="east", reply=2)
        self.check("source_ip", (["10.0.0.1"], [1]), (["10.0.0.0/8"], [1, 3]), (["fd00::/16"], [2]),
                   (["10.0.0.1", "fd00::1"], [1, 2]))
        self.check("destination_ip", (["10.1.0.1"], [1, 3]))
        self.check("source_pod", (["red/web"], [1]), (["kube-system/"], [2]), (["red/dns"], []))
        self.check("source_label", (["app=web"], [1]), (["app in (x, web)"], [1]))
        self.check("destination_service", (["blue/db"], [2]))
        self.check("destination_fqdn", (["*.example.com"], [2]))
        self.check("source_port", (["1000"], [1]), (["53", "1000"], [1, 2]))
        self.check("destination_port", (["80"], [1]))
        self.check("protocol", (["tcp"], [1]), (["udp", "icmp"], [2, 3]), (["icmpv6"], []))
        self.check("verdict", ([2], [3]), ([1], [1, 2]))
        self.check("event_type", ([{"type": 4}], [1]), ([{"type": 5}], [2]),
                   ([{"type": 1, "match_sub_type": True, "sub_type": 133}], [3]),
                   ([{"type": 1, "match_sub_type": True, "sub_type": 134}], []),
                   ([{"type": 4, "match_sub_type": True, "sub_type": 0}], [1]))
        self.check("reply", ([True], [2]), ([False], [1, 3]))  # dropped ones are no replies
        self.check("source_identity", ([1001], [1]))
        self.check("destination_identity", ([2], [1]))
        self.check("tcp_flags", ([{"SYN": True}], [1]), ([{"ACK": True}], []))
        self.check("ip_version", ([1], [1, 3]), ([2], [2]))
        self.check("traffic_direction", ([2], [1]), ([1], [2]))
        self.check("drop_reason_desc", ([133], [3]))
        self.check("source_workload", ([{"name": "job"}], [3]), ([{"name": "job", "kind": "Pod"}], []))
        self.check("interface", ([{"index": 4}], [2]), ([{"name": "eth0"}], [2]), ([{"name": "eth"}], []))
        self.check("node_name", (["node-2"], [2]), (["node-*"], [1, 2, 3]))
        self.check("source_cluster_name", (["east"], [3]))

    def test_lists(self):
        for i, (pod, port) in enumerate((("a", 1), ("a", 2), ("b", 1), ("b", 2))):
            self.server.flow(time=i + 1, spod=pod, sns="x", dport=port)
        a, one = {"source_pod": ["x/a"]}, {"destination_port": ["1"]}
        for allow, deny, expected in (
                ([], [], [1, 2, 3, 4]), ([{**a, **one}], [], [1]), ([a, one], [], [1, 2, 3]),
                ([], [a, one], [4]), ([a], [one], [2]), ([{}], [], [1, 2, 3, 4]), ([], [{}], [])):
            self.assertEqual(self.client.times(whitelist=[FILTER(**f) for f in allow],
                                               blacklist=[FILTER(**f) for f in deny]), expected)

    def test_errors(self):
        for field, value, text in (
                ("source_ip", ["10.0.0.300"], "10.0.0.300"), ("protocol", ["xyz"], "xyz"),
                ("source_label", ["a in ("], "a in ("), ("destination_port", ["http"], "http"),
                ("dns_query", ["("], "("), ("experimental", {"cel_expression": ["true"]}, "CEL")):
            for side in ("whitelist", "blacklist"):
                self.fails(grpc.StatusCode.INVALID_ARGUMENT,
                           lambda s=side: self.client.get_flows(**{s: [FILTER(**{field: value})]}), text)
        new = FILTER()
        new.ParseFromString(bytes([0xf2, 0x06, 1, 65]))  # field 110, which nobody knows
        self.fails(grpc.StatusCode.INVALID_ARGUMENT,
                   lambda: self.client.get_flows(whitelist=[new]), "110")

    def test_slow_filter(self):
        """Who looks for what is not there does not hold up the others."""
        server = self.start(flows=1 << 20)
        address = server.listen("unix://" + self.path + "2")
        server.flows(1 << 20)
        none = [FILTER(source_pod=["nowhere/"])]
        streams = [Following(self.connect(address).get_flows(whitelist=none)) for _ in range(5)]
        c = self.connect(address)
        for _ in range(20):
            self.assertEqual(c.check().status, 1)
        for s in streams:
            s.thread.join(120)
            self.assertFalse(s.thread.is_alive())
            self.assertEqual((s.got, s.error), ([], None))


class Sockets(ServerTestCase):
    def test_unix(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o660)
        self.server.listen(self.path + "2", mode=0o600, uid=os.getuid(), gid=os.getgid())
        self.assertEqual(stat.S_IMODE(os.stat(self.path + "2").st_mode), 0o600)
        other = self.start()
        with self.assertRaisesRegex(AssertionError, "another server listens"):
            other.listen(self.path)
        with open(self.path + "3", "w", encoding="ascii"):
            pass
        with self.assertRaisesRegex(AssertionError, "not a socket"):
            other.listen(self.path + "3")
        self.assertEqual(self.server.close(), 0)
        self.assertEqual(os.listdir(self.folder), ["hubble.sock3"])

    def test_unix_of_a_dead_server(self):
        self.server.process.kill()
        self.server.process.wait()
        self.assertTrue(os.path.exists(self.path))
        other = self.start()
        other.listen(self.path)
        self.assertEqual(self.connect("unix://" + self.path).check().status, 1)

    def test_somebody_elses(self):
        """A path that another server has taken over stays."""
        os.unlink(self.path)
        other = self.start()
        other.listen(self.path)
        self.assertEqual(self.server.close(), 0)
        self.assertEqual(self.connect("unix://" + self.path).check().status, 1)

    def test_tcp(self):
        addresses = ["127.0.0.1:0", ":0"]
        if os.path.exists("/proc/net/if_inet6"):
            addresses.append("[::1]:0")
        for a in addresses:
            server = self.start()
            real = server.listen(a)
            port = real.rsplit(":", 1)[1]
            target = f"127.0.0.1:{port}" if a == ":0" else real
            self.assertEqual(self.connect(target).check().status, 1)
            with self.assertRaisesRegex(AssertionError, "in use"):
                self.start().listen(target)

    def test_unlisten(self):
        self.assertEqual(self.client.check().status, 1)
        self.server.command("unlisten", "unix://" + self.path)
        self.assertFalse(os.path.exists(self.path))
        self.assertEqual(self.client.check().status, 1)  # who is there stays
        with self.assertRaisesRegex(AssertionError, "nobody listens"):
            self.server.command("unlisten", "unix://" + self.path)
        self.server.listen("unix://" + self.path)
        self.assertEqual(self.connect(self.address).check().status, 1)

    def test_bad_addresses(self):
        for a in ("", "x", "localhost:http", "1.2.3.4:99999", "::1:4244", "unix://relative",
                  "/" + "x" * 200, "no.such.host.invalid:1"):
            with self.assertRaises(AssertionError, msg=a) as e:
                self.server.listen(a)
            self.assertRegex(str(e.exception), r"error \d+ .{10}")

    def test_connections(self):
        server = self.start(connections=3)
        address = server.listen(self.path + "2")
        good = [self.connect(address) for _ in range(3)]
        for c in good:
            self.assertEqual(c.check().status, 1)
        with self.assertRaises(grpc.RpcError):
            self.connect(address).unary("/grpc.health.v1.Health/Check", client.health.HealthCheckRequest(),
                                        client.health.HealthCheckResponse, timeout=2)
        self.assertGreaterEqual(server.status()["refused"], 1)
        good[0].close()
        wait_for(lambda: server.status()["connections"] == 2, "one that leaves")
        self.assertEqual(self.connect(address).check().status, 1)


class Hostile(ServerTestCase):
    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    def raw(self, *parts):
        """Bytes to the server; what it answers until it closes."""
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.settimeout(client.PATIENCE)
        s.connect(self.path)
        try:
            for p in parts:
                s.sendall(p)
        except BrokenPipeError:
            pass
        return s

    @staticmethod
    def frame(kind, flags, stream, payload=b""):
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload

    def closes(self, s):
        try:
            while s.recv(65536):
                pass
        except ConnectionResetError:
            pass

    def test_garbage(self):
        for garbage in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(range(256)) * 100, b"\0" * 100000,
                        self.PREFACE + b"\xff" * 1000, self.PREFACE + self.frame(1, 4, 1, b"\xff" * 50),
                        self.PREFACE + self.frame(4, 0, 0, b"12345"),
                        self.PREFACE + self.frame(4, 0, 0) + self.frame(0, 0, 1, b"data"),
                        self.PREFACE + self.frame(4, 0, 0) + self.frame(9, 4, 1, b"x"),
                        b"\x16\x03\x01\x00\x05hello"):
            self.closes(self.raw(garbage))
        self.assertEqual(self.client.check().status, 1)
        self.assertEqual(self.server.status()["connections"], 1)

    def test_random(self):
        state = 12345
        for _ in range(200):
            data = bytearray(self.PREFACE + self.frame(4, 0, 0))
            for _ in range(60):
                state = (state * 1103515245 + 12345) % 2**31
                kind, length = (state >> 8) % 10, (state >> 12) % 40
                payload = bytes((state >> (i % 16)) % 256 for i in range(length))
                data += self.frame(kind, (state >> 5) % 64, (state >> 3) % 4, payload)
            self.raw(bytes(data)).close()
        self.assertEqual(self.client.check().status, 1)
        wait_for(lambda: self.server.status()["connections"] == 1, "the others to be gone")
        self.assertEqual(self.server.status()["streams"], 0)

    def test_pings(self):
        """Many that nobody reads the answers of: the server does not keep them."""
        s = self.raw(self.PREFACE + self.frame(4, 0, 0))
        s.setblocking(False)
        ping, sent = self.frame(6, 0, 0, b"12345678") * 1000, 0
        deadline = time.monotonic() + client.PATIENCE
        try:
            while sent < 100 * len(ping) and time.monotonic() < deadline:
                try:
                    sent += s.send(ping)
                except BlockingIOError:
                    time.sleep(0.01)
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertEqual(self.client.check().status, 1)
        self.assertLess(self.server.rss(), 64 << 20)

    def test_ping(self):
        s = self.raw(self.PREFACE + self.frame(4, 0, 0) + self.frame(6, 0, 0, b"12345678"))
        got = b""
        while self.frame(6, 1, 0, b"12345678") not in got:
            got += s.recv(4096)

    def test_streams(self):
        """A connection has a hundred at a time; who comes next waits."""
        calls = [Following(self.client.get_flows(follow=True)) for _ in range(101)]
        wait_for(lambda: self.server.status()["streams"] == 100, "100 streams")
        self.server.flows(1)
        wait_for(lambda: sum(len(c.got) for c in calls) == 100, "100 flows")
        next(c for c in calls if c.got).call.cancel()
        waiting = next(c for c in calls if not c.got)
        wait_for(lambda: self.server.status()["requests"] == 101, "the last request")
        self.server.flows(1)
        waiting.wait(1)

    def test_nobody_reads(self):
        """Clients that open their windows and never read: little is kept for each."""
        server = self.start(flows=100000)
        server.listen(self.path + "2")
        before = server.rss()
        settings = self.frame(4, 0, 0, struct.pack(">HI", 4, 2**31 - 1))
        window = self.frame(8, 0, 0, struct.pack(">I", 2**30))
        headers = b"\x83\x86\x44\x1b/observer.Observer/GetFlows\x41\x01x\x5f\x10application/grpc"
        request = self.frame(1, 4, 1, headers) + self.frame(0, 1, 1, b"\0\0\0\0\x02\x18\x01")
        path, self.path = self.path, self.path + "2"
        clients = [self.raw(self.PREFACE + settings + window + request) for _ in range(40)]
        self.path = path
        wait_for(lambda: server.status()["streams"] == 40, "40 streams")
        server.flows(300000)
        self.assertEqual(server.status()["seen"], 300000)
        status = server.status()
        self.assertLess(server.rss() - before, status["ring_bytes"] + 40 * (2 << 20))
        self.assertLess(status["sent"], 40 * 10000)
        for c in clients:
            c.close()
        wait_for(lambda: server.status()["connections"] == 0, "no connections")

    def test_unfinished(self):
        """A request that never ends costs its own stream."""
        s = self.raw(self.PREFACE + self.frame(4, 0, 0))
        s.sendall(self.frame(1, 4, 1, b"\x83\x86" + b"\x44\x1b" + b"/observer.Observer/GetFlows"[:27]
                             + b"\x41\x01x" + b"\x5f\x10application/grpc"))
        wait_for(lambda: self.server.status()["streams"] == 1, "the stream")
        self.assertEqual(self.client.check().status, 1)
        s.close()
        wait_for(lambda: self.server.status()["streams"] == 0, "its end")


class Memory(ServerTestCase):
    def test_a_million(self):
        server = self.start(flows=1 << 20)
        address = server.listen(self.path + "2")
        before = server.rss()
        server.flows(1 << 20)
        status = server.status()
        self.assertEqual(status["flows"], 1 << 20)
        grown = server.rss() - before
        self.assertLess(grown, status["ring_bytes"] + status["name_bytes"] + (8 << 20))
        self.assertLess(status["ring_bytes"] / status["flows_max"], 300)
        c = self.connect(address)
        n = sum(1 for _ in c.get_flows(options={"timeout": 120}, whitelist=[FILTER(source_port=["7"])]))
        self.assertEqual(n, 16)
        self.assertEqual(c.times(number=2), [(1 << 20) - 1, 1 << 20])
        print(f"# {status['ring_bytes']} bytes of ring, {status['name_bytes']} of names, "
              f"{grown} resident")

    def test_names_go(self):
        """Names that no flow has any more are forgotten."""
        server = self.start(flows=10)
        server.flows(10)
        before = server.status()["name_bytes"]
        for i in range(2000):
            server.flow(spod=f"pod-{i}", slabels=f"a=b{i}")
        server.flows(10)
        self.assertLess(server.status()["name_bytes"], before + 32768)
        self.assertEqual(server.close(), 0)


class Tls(ServerTestCase):
    def setUp(self):
        super().setUp()
        self.authority("ca")
        self.authority("other")
        self.sign("server", "ca", "node-1.hubble")
        self.sign("client", "ca", "client")
        self.sign("stranger", "other", "client")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-days", "1", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")

    def sign(self, name, ca, subject):
        with open(self.file(name + ".ext"), "w", encoding="ascii") as f:
            f.write(f"subjectAltName=DNS:{subject}\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                     f"/CN={subject}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key",
                     "-CAcreateserial", "-days", "1", "-extfile", f"{name}.ext", "-out", f"{name}.crt")

    def file(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.file(name), "rb") as f:
            return f.read()

    def tls(self, address, ca="ca", pair=None):
        credentials = grpc.ssl_channel_credentials(
            self.read(ca + ".crt"), *((self.read(pair + ".key"), self.read(pair + ".crt")) if pair else ()))
        return self.connect(address, credentials=credentials,
                            options=[("grpc.ssl_target_name_override", "node-1.hubble")])

    def listen(self, server, name="server", address="127.0.0.1:0"):
        return server.listen(address, cert=self.file(name + ".crt"), key=self.file(name + ".key"))

    def refused(self, c):
        with self.assertRaises(grpc.RpcError):
            c.unary("/grpc.health.v1.Health/Check", client.health.HealthCheckRequest(),
                    client.health.HealthCheckResponse, timeout=3)

    def test_server(self):
        server = self.start(flows=100000)
        address = server.listen("127.0.0.1:0", cert=self.file("server.crt"),
                                key=self.file("server.key"), name="node-1.hubble")
        c = self.tls(address)
        self.assertEqual(c.check().status, 1)
        self.assertEqual(next(c.notify()).tls.server_name, "node-1.hubble")
        node, = c.nodes()
        self.assertEqual((node.tls.enabled, node.tls.server_name), (True, "node-1.hubble"))
        server.flows(100000)  # many records
        self.assertEqual(c.times(), list(range(1, 100001)))
        self.refused(self.tls(address, ca="other"))
        self.refused(self.connect(address))

    def test_versions(self):
        """h2 by ALPN, TLS 1.2 or later, or nothing."""
        address = self.listen(self.start())

        def protocol(*arguments):
            r = subprocess.run(["openssl", "s_client", "-connect", address, "-CAfile", "ca.crt", *arguments],
                               cwd=self.folder, input=b"", capture_output=True, check=False)
            return r.stdout.decode()

        self.assertIn("ALPN protocol: h2", protocol("-alpn", "h2,http/1.1"))
        self.assertIn("ALPN protocol: h2", protocol("-tls1_2", "-alpn", "http/1.1,h2"))
        self.assertNotIn("ALPN protocol:", protocol("-alpn", "http/1.1"))
        self.assertIn("no peer certificate available",
                      protocol("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", "-alpn", "h2"))

    def test_mutual(self):
        server = self.start()
        address = server.listen("127.0.0.1:0", cert=self.file("server.crt"), key=self.file("server.key"),
                                ca=self.file("ca.crt"))
        self.assertEqual(self.tls(address, pair="client").check().status, 1)
        self.refused(self.tls(address))
        self.refused(self.tls(address, pair="stranger"))
        self.assertEqual(self.tls(address, pair="client").check().status, 1)
        wait_for(lambda: server.status()["refused"] >= 2, "those that were refused")

    def test_reload(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{s.getsockname()[1]}"
        server = self.start()
        self.listen(server, address=address)
        old = self.tls(address)
        stream = Following(old.get_flows(follow=True))
        self.sign("renewed", "other", "node-1.hubble")
        self.assertEqual(old.check().status, 1)
        self.listen(server, "renewed", address)
        self.refused(self.tls(address))
        self.assertEqual(self.tls(address, ca="other").check().status, 1)
        server.flows(1)
        stream.wait(1)  # a connection keeps what it has

    def test_bad_files(self):
        self.openssl("ec", "-in", "server.key", "-aes128", "-passout", "pass:x", "-out", "locked.key")
        for options, text in (({"cert": self.file("server.crt"), "key": self.file("locked.key")},
                               "locked.key"),
                              ({"cert": self.file("none.crt"), "key": self.file("server.key")}, "none.crt"),
                              ({"cert": self.file("server.crt"), "key": self.file("client.key")}, "client.key"),
                              ({"cert": self.file("server.crt")}, "key"),
                              ({"ca": self.file("ca.crt")}, "certificate"),
                              ({"cert": self.file("server.crt"), "key": self.file("server.key"),
                                "ca": self.file("server.key")}, "server.key")):
            with self.assertRaisesRegex(AssertionError, text):
                self.server.listen("127.0.0.1:0", **options)

    def test_garbage(self):
        server = self.start()
        host, port = self.listen(server).split(":")
        for garbage in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\0" * 1000):
            with socket.create_connection((host, int(port)), client.PATIENCE) as s:
                try:
                    s.sendall(garbage)
                    while s.recv(65536):
                        pass
                except (ConnectionResetError, BrokenPipeError):
                    pass
        self.assertEqual(self.tls(f"{host}:{port}").check().status, 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
