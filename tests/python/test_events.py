# SPDX-License-Identifier: BSD-2-Clause
"""Subscriptions as callback and as iterator, with packets of two real workloads."""
import asyncio
import gc
import json
import select
import socket
import threading
import time
import traceback
import unittest

import cilium_lite as cl

from support import PATIENCE, RootTestCase, wait_for


class TrafficTestCase(RootTestCase):
    """Two workloads that talk."""

    def setUp(self):
        super().setUp()
        self.ctx = self.context()
        self.a, self.b = self.workload("a", 1), self.workload("b", 2)
        for workload in (self.a, self.b):
            self.ctx.endpoints.add(workload.device, ipv4=workload.ipv4, ipv6=workload.ipv6,
                                   labels=[f"app={workload.device}"],
                                   name=f"test/{workload.device}")
        self.sockets = {}
        for workload in (self.a, self.b):
            with workload.entered():
                for family in (socket.AF_INET, socket.AF_INET6):
                    s = socket.socket(family, socket.SOCK_DGRAM)
                    self.stack.callback(s.close)
                    s.settimeout(PATIENCE)
                    s.bind((workload.ipv4 if family == socket.AF_INET else workload.ipv6, 5000))
                    self.sockets[workload.device, family] = s

    def send(self, family=socket.AF_INET, count=1):
        """Datagrams from a to b, each awaited there."""
        for _ in range(count):
            self.sockets["a", family].sendto(
                b"hello", (self.b.ipv4 if family == socket.AF_INET else self.b.ipv6, 5000))
            self.assertEqual(self.sockets["b", family].recv(100), b"hello")

    def send_blocked(self):
        """A datagram that is dropped."""
        self.sockets["a", socket.AF_INET].sendto(b"hello", (self.b.ipv4, 5001))

    def block(self):
        self.ctx.policy.put("block", cl.Part("app=b", [cl.Rule.ingress(
            [cl.Peer.of_endpoints("app=a")], [cl.Port(5000, "udp")])]))

    def dispatch_until(self, condition, what):
        def step():
            self.ctx.wait(0.1)
            self.ctx.dispatch()
            return condition()

        return wait_for(step, what)


class EventTest(TrafficTestCase):
    # -- callbacks

    def test_callback(self):
        seen = []
        before = time.time_ns()
        with self.ctx.subscribe(seen.append) as subscription:
            self.assertEqual(self.ctx.status().subscribers, 1)
            self.send()
            self.send(socket.AF_INET6)
            self.dispatch_until(lambda: {e.family for e in seen} == {4, 6}, "events")
            self.assertEqual(subscription.lost, 0)
        count = len(seen)
        self.assertEqual(self.ctx.status().subscribers, 0)
        self.send()
        self.assertEqual(self.ctx.dispatch(), 0)
        self.assertEqual(len(seen), count)

        # The events are copies: they are all still there.
        for family, workload_a, workload_b in ((4, self.a.ipv4, self.b.ipv4),
                                               (6, self.a.ipv6, self.b.ipv6)):
            event = next(e for e in seen if e.family == family)
            self.assertEqual(
                (str(event.source), event.source_port, str(event.destination),
                 event.destination_port, event.protocol, event.protocol_name),
                (workload_a, 5000, workload_b, 5000, cl.Protocol.UDP, "UDP"))
            self.assertEqual(
                (event.verdict, event.verdict_name, event.dropped, event.drop_reason,
                 event.drop_reason_text, event.drop_reason_name),
                (cl.Verdict.FORWARDED, "FORWARDED", False, 0, "", ""))
            self.assertEqual(event.source_endpoint, self.ctx.endpoints.find("a").id)
            self.assertEqual(event.destination_identity, self.ctx.endpoints.find("b").identity)
            self.assertIsNone(event.service_port)
            self.assertIsNone(event.icmp_type)
            self.assertIsNone(event.rule())
            self.assertGreaterEqual(event.packets, 1)
            self.assertGreater(event.length, 28)
            self.assertLess(abs(event.timestamp.timestamp() - before / 1e9), PATIENCE * 3)
            line = str(event)
            for word in ("test/a", "test/b", "5000", "FORWARDED", "UDP"):
                self.assertIn(word, line)
            self.assertNotIn("\n", line)
            self.assertEqual(event.json(), json.loads(event.json_text()))
            flow = event.json()["flow"]
            self.assertEqual((flow["verdict"], flow["IP"]["source"], flow["l4"]["UDP"]["source_port"]),
                             ("FORWARDED", workload_a, 5000))

        # Without its context it has no names any more, but all the rest.
        event = seen[0]
        self.ctx.close()
        self.assertIn("destination_port=5000", str(event))
        self.assertRaises(cl.InvalidArgument, event.text)

    def test_drop_and_rule(self):
        self.block()
        with self.ctx.events(types=["drop", "policy-verdict"]) as events:
            self.send()
            allowed = events.get(PATIENCE)
            while allowed and not allowed.ingress_rule:
                allowed = events.get(PATIENCE)
            self.assertEqual((allowed.type_name, allowed.direction_name),
                             ("POLICY_VERDICT", "INGRESS"))
            self.assertEqual(allowed.rule().policy, "block")
            self.send_blocked()
            dropped = events.get(PATIENCE)
            while dropped and dropped.type != cl.EventType.DROP:
                self.assertIsNot(dropped.verdict, None)
                dropped = events.get(PATIENCE)
            self.assertEqual(
                (dropped.dropped, dropped.drop_reason, dropped.drop_reason_text,
                 dropped.drop_reason_name, dropped.subtype, dropped.destination_port),
                (True, 133, "Policy denied", "POLICY_DENIED", 133, 5001))
            self.assertTrue(dropped.source_file)
            self.assertGreater(dropped.source_line, 0)

    def test_exception_comes_out_of_dispatch(self):
        seen = []

        def picky(event):
            if event.destination_port == 5001:
                raise ZeroDivisionError("this one")
            seen.append(event)

        self.block()
        self.ctx.subscribe(picky, types="drop")
        self.send_blocked()
        self.assertTrue(self.ctx.wait(PATIENCE))
        try:  # assertRaises() would take the traceback away
            self.dispatch_until(lambda: False, "an exception")
        except ZeroDivisionError as error:
            self.assertEqual(str(error), "this one")
            frames = traceback.extract_tb(error.__traceback__)
        self.assertEqual(frames[-1].name, "picky")
        # The event counts as delivered, and the subscription lives on.
        self.assertEqual(self.ctx.dispatch(), 0)
        self.sockets["a", socket.AF_INET].sendto(b"hello", (self.b.ipv4, 5002))
        self.dispatch_until(lambda: seen, "the next event")
        self.assertEqual(seen[0].destination_port, 5002)

    def test_exceptions_that_end_programs(self):
        def leave(_event):
            raise SystemExit(3)

        self.ctx.subscribe(leave)
        self.send()
        with self.assertRaises(SystemExit):
            self.dispatch_until(lambda: False, "an exception")

    def test_callback_may_read_and_end(self):
        seen = []

        def once(event):
            seen.append((str(event), self.ctx.status().endpoints,
                         self.ctx.endpoints[event.source_endpoint].name))
            subscription.close()
            self.assertTrue(subscription.closed)

        subscription = self.ctx.subscribe(once, aggregation="none")
        self.send(count=5)
        self.dispatch_until(lambda: seen, "an event")
        self.ctx.dispatch()
        self.assertEqual([s[1:] for s in seen], [(2, "test/a")])
        self.assertEqual(self.ctx.status().subscribers, 0)

    def test_callback_may_close_the_context(self):
        seen = []

        def last(event):
            seen.append(event)
            self.ctx.close()

        self.ctx.subscribe(last, aggregation="none")
        self.send(count=3)
        self.assertTrue(self.ctx.wait(PATIENCE))
        while not seen:
            self.ctx.dispatch()
        self.assertEqual(len(seen), 1)
        self.assertTrue(self.ctx.closed)

    def test_callback_may_not_dispatch(self):
        self.ctx.subscribe(lambda _event: self.ctx.dispatch())
        self.send()
        with self.assertRaises(cl.Deadlock):
            self.dispatch_until(lambda: False, "an exception")

    def test_budget(self):
        seen = []
        self.ctx.subscribe(seen.append, aggregation="none", types="trace")
        self.send(count=10)
        self.assertTrue(self.ctx.wait(PATIENCE))
        self.assertEqual(self.ctx.dispatch(3), 3)
        self.assertEqual(len(seen), 3)
        self.dispatch_until(lambda: len(seen) >= 10, "the rest")
        self.assertRaises(cl.InvalidArgument, self.ctx.dispatch, -1)

    def test_dropped_without_close(self):
        """The context keeps a callback; nobody but its user keeps a stream."""
        seen = []
        self.ctx.subscribe(seen.append)
        gc.collect()
        self.send()
        self.dispatch_until(lambda: seen, "an event")
        for _event in self.ctx.events(aggregation="none", timeout=0):
            break
        gc.collect()
        self.assertEqual(self.ctx.status().subscribers, 1)

    def test_two_subscriptions(self):
        """Each gets everything, in this context and in another of the same instance."""
        first, second = [], []
        self.ctx.subscribe(first.append, types="trace", aggregation="none")
        self.ctx.subscribe(second.append, types="trace", aggregation="none")
        self.send(count=4)
        self.dispatch_until(lambda: len(first) >= 4 and len(first) == len(second), "events")
        self.assertEqual([str(e) for e in first], [str(e) for e in second])

    def test_filter_and_aggregation(self):
        every, few, drops = [], [], []
        self.ctx.subscribe(every.append, aggregation=cl.Aggregation.NONE)
        self.ctx.subscribe(few.append, aggregation="medium")
        self.ctx.subscribe(drops.append, types=cl.EventType.DROP)
        self.send(count=20)
        self.dispatch_until(lambda: len(every) >= 20, "an event for every packet")
        self.assertTrue(few)
        self.assertLess(len(few), 20)
        self.assertEqual(drops, [])

    def test_refused(self):
        subscribe = self.ctx.subscribe
        for options in ({"types": []}, {"types": "flow"}, {"types": [31]}, {"types": 0},
                        {"types": 32}, {"aggregation": "some"}, {"aggregation": 1 << 32},
                        {"aggregation": 7}, {"ring_bytes": 1000}, {"ring_bytes": -1}):
            with self.subTest(options):
                self.assertRaises(cl.InvalidArgument, subscribe, print, **options)
        self.assertRaises(TypeError, subscribe, None)
        self.assertEqual(self.ctx.status().subscribers, 0)
        for _ in range(8):
            subscribe(print, ring_bytes=4096)
        with self.assertRaises(cl.NoSpace) as caught:
            subscribe(print)
        self.assertIn("8", str(caught.exception))

    def test_lost(self):
        with self.ctx.events(aggregation="none", types="trace", ring_bytes=4096) as events:
            self.send(count=100)
            lost = wait_for(lambda: events.lost, "lost events")
            there = sum(1 for _ in iter(lambda: events.get(0), None))
            self.assertGreater(there, 0)
            self.assertGreaterEqual(there + lost, 100)
            self.assertEqual(events.lost, lost)

    # -- iterators and event loops

    def test_iterator(self):
        seen = []
        with self.ctx.events(timeout=0.2) as events:
            self.send()
            for event in events:
                seen.append(event)
            count = len(seen)
            self.assertGreaterEqual(count, 1)
            self.send(socket.AF_INET6)
            for event in events:
                seen.append(event)
            self.assertEqual({e.family for e in seen[:count]}, {4})
            self.assertEqual({e.family for e in seen[count:]}, {6})
            # To end it inside the loop ends the loop.
            self.send(socket.AF_INET6)
            events.close()
            self.assertEqual(list(events), [])
        self.assertRaises(cl.InvalidArgument, events.get)

    def test_iterator_delivers_to_callbacks(self):
        seen = []
        self.ctx.subscribe(seen.append)
        with self.ctx.events() as events:
            self.send()
            self.assertIsNotNone(events.get(PATIENCE))
            self.dispatch_until(lambda: seen, "an event")

    def test_get_waits(self):
        with self.ctx.events(types="drop") as events:
            start = time.monotonic()
            self.assertIsNone(events.get(timeout=0.2))
            self.assertGreaterEqual(time.monotonic() - start, 0.2)
            self.block()
            sender = threading.Timer(0.1, self.send_blocked)
            sender.start()
            self.addCleanup(sender.join)
            self.assertEqual(events.get(timeout=PATIENCE).destination_port, 5001)

    def test_queue_is_bounded(self):
        class Small(cl.EventStream):
            QUEUE = 5

        events = Small(self.ctx, aggregation="none", types="trace")
        self.send(count=20)
        self.dispatch_until(lambda: events.lost >= 15, "everything to be delivered")
        self.assertEqual(len(events._queue.events), 5)
        self.assertEqual(sum(1 for _ in iter(lambda: events.get(0), None)), 5)

    def test_poll(self):
        poll = select.poll()
        poll.register(self.ctx, select.POLLIN)
        self.ctx.subscribe(lambda _event: None)
        self.send()
        self.assertEqual(poll.poll(PATIENCE * 1000), [(self.ctx.fileno(), select.POLLIN)])
        self.assertTrue(self.ctx.wait(0))
        self.assertGreater(self.ctx.dispatch(), 0)
        self.assertRaises(cl.InvalidArgument, self.ctx.wait, -1)

    def test_asyncio(self):
        async def main():
            first = asyncio.get_running_loop().create_future()
            self.ctx.subscribe(lambda e: first.done() or first.set_result(e))
            loop = asyncio.get_running_loop()
            loop.add_reader(self.ctx.fileno(), self.ctx.dispatch)
            try:
                self.send()
                return await asyncio.wait_for(first, PATIENCE)
            finally:
                loop.remove_reader(self.ctx.fileno())

        self.assertEqual(asyncio.run(main()).destination_port, 5000)


class InstanceTest(RootTestCase):
    def test_two_contexts_of_an_instance(self):
        bpf = self.bpffs()
        one = self.context("shared", create=True, bpffs=bpf)
        two = self.context("shared", bpffs=bpf)
        a, b = self.workload("a", 1), self.workload("b", 2)
        for workload in (a, b):
            one.endpoints.add(workload.device, ipv4=workload.ipv4, labels=["app=any"])
        streams = [one.events(types="trace"), two.events(types="trace")]
        self.assertEqual(two.status().subscribers, 2)
        with a.entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stack.callback(sender.close)
        sender.sendto(b"hello", (b.ipv4, 9))
        for stream in streams:
            event = stream.get(PATIENCE)
            self.assertEqual(str(event.destination), b.ipv4)
        # Streams of an instance that is gone can still be closed.
        one.destroy()
        self.assertRaises(cl.Stale, two.status)
        for stream in streams:
            stream.close()


if __name__ == "__main__":
    unittest.main()
