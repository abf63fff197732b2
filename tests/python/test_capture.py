# SPDX-License-Identifier: BSD-2-Clause
"""Bytes of packets of two real workloads, in events and in files."""
import json
import os
import socket
import subprocess
import sys
import tempfile

import cilium_lite as cl

from headers import ROOT
from test_events import TrafficTestCase

READER = os.path.join(ROOT, "tests/integration/pcapng.py")


def read(path):
    out = subprocess.run([sys.executable, READER, path], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(out)


class CaptureTest(TrafficTestCase):
    def captured(self, **options):
        """Events of a datagram that is dropped and of one that arrives."""
        seen = []
        self.block()
        self.ctx.conntrack.flush()
        with self.ctx.subscribe(seen.append, types=["drop", "trace"], **options):
            self.send_blocked()
            self.send()
            self.dispatch_until(lambda: {e.type for e in seen} >= {cl.EventType.DROP,
                                                                   cl.EventType.TRACE}, "events")
        return seen

    def test_bytes(self):
        for event in self.captured(capture_bytes=1500):
            self.assertEqual(len(event.packet), event.length)
            self.assertEqual(event.packet[12:14], b"\x08\x00")
            self.assertTrue(event.packet.endswith(b"hello"), event.packet)
            self.assertEqual(event.packet[26:30], socket.inet_aton(self.a.ipv4))
            # what it is handed back with is its own copy
            self.assertIn("test/a", event.text())

    def test_cut_off_and_none(self):
        for event in self.captured(capture_bytes=20):
            self.assertEqual((len(event.packet), event.length), (20, 47))
        for event in self.captured():
            self.assertEqual(event.packet, b"")

    def test_too_many(self):
        with self.assertRaisesRegex(cl.InvalidArgument, "capture_bytes 20000"):
            self.ctx.subscribe(print, capture_bytes=20000)
        with self.assertRaisesRegex(cl.InvalidArgument, "ring_bytes 4096: too few"):
            self.ctx.subscribe(print, capture_bytes=1500, ring_bytes=4096)

    def test_file(self):
        path = os.path.join(self.stack.enter_context(self.folder()), "file")
        events = self.captured(capture_bytes=1500)
        with cl.Capture(path, application="a test") as capture:
            for event in events:
                capture.write(event)
            capture.write(events[0].flow())
            capture.lost(3)
        self.assertTrue(capture.closed)
        with self.assertRaises(cl.InvalidArgument):
            capture.write(events[0])
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        found = read(path)
        self.assertEqual(found["application"], "a test")
        self.assertEqual([bytes.fromhex(p["data"]) for p in found["packets"]],
                         [e.packet for e in events] + [events[0].packet])
        self.assertEqual([p["time"] for p in found["packets"][:-1]], [e.time for e in events])
        self.assertEqual(sum(s["delivered"] for s in found["statistics"]), len(events) + 1)
        self.assertEqual(found["statistics"][0]["lost"], 3)
        drop = next(p for p, e in zip(found["packets"], events) if e.dropped)
        self.assertIn("DROPPED reason=133", drop["comment"])
        self.assertIn("test/a:5000", drop["comment"])

    def test_descriptor(self):
        path = os.path.join(self.stack.enter_context(self.folder()), "file")
        events = self.captured(capture_bytes=64)
        with open(path, "wb") as file, cl.Capture(file.fileno(), snaplen=64) as capture:
            capture.write(events[0])
        found = read(path)
        self.assertEqual([(p["length"], len(p["data"]) // 2) for p in found["packets"]],
                         [(events[0].length, len(events[0].packet))])
        self.assertEqual(found["interfaces"][0]["snaplen"], 64)

    def test_refused(self):
        with self.assertRaises(cl.NotFound):
            cl.Capture("/nonexistent/file")
        with self.assertRaises(cl.InvalidArgument):
            cl.Capture(1, max_files=2, max_bytes=4096)
        with self.assertRaises(cl.InvalidArgument):
            cl.Capture("/dev/null", max_bytes=10)

    @staticmethod
    def folder():
        return tempfile.TemporaryDirectory()
