# SPDX-License-Identifier: BSD-2-Clause
"""Saved flows, masks and logs from Python. Needs no root but for real events."""
import glob
import gzip
import os
import socket
import tempfile
import unittest

import cilium_lite as cl

from support import PATIENCE, RootTestCase

LINE = ('{"flow":{"time":"2026-11-23T15:50:41.123456789Z","verdict":"DROPPED",'
        '"drop_reason":133,"IP":{"source":"10.0.0.1","destination":"10.0.0.2",'
        '"ipVersion":"IPv4"},"l4":{"TCP":{"source_port":44010,"destination_port":80,'
        '"flags":{"SYN":true}}},"source":{"ID":12,"identity":256,"namespace":"default",'
        '"labels":["k8s:app=client"],"pod_name":"client"},"destination":{"identity":2},'
        '"Type":"L3_L4","node_name":"n1","event_type":{"type":1,"sub_type":133},'
        '"traffic_direction":"INGRESS","file":{"name":"policy.h","line":7},'
        '"drop_reason_desc":"POLICY_DENIED","Summary":"TCP Flags: SYN"},'
        '"node_name":"n1","time":"2026-11-23T15:50:41.123456789Z"}')


class FilesTestCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = os.path.join(folder.name, "flows.log")

    def write(self, text, name="in.json"):
        path = os.path.join(self.folder, name)
        with (gzip.open if name.endswith(".gz") else open)(path, "wt") as f:
            f.write(text)
        return path


class ReaderTest(FilesTestCase):
    def test_a_flow(self):
        flow = cl.FlowReader().parse(LINE)
        self.assertEqual(flow.event.verdict, cl.Verdict.DROPPED)
        self.assertEqual(flow.event.source_file, "policy.h")
        self.assertEqual(str(flow.event.source), "10.0.0.1")
        self.assertEqual(flow.source.pod, "client")
        self.assertEqual(flow.source.labels, ("k8s:app=client",))
        self.assertEqual((flow.node, flow.kind), ("n1", cl.FlowKind.L3_L4))
        self.assertIsNone(flow.event.context)
        self.assertIn("10.0.0.1", str(flow.event))
        self.assertIn("Policy denied DROPPED (TCP Flags: SYN)", str(flow))

    def test_flows_outlive_their_line(self):
        reader = cl.FlowReader()
        flow = reader.parse(LINE)
        other = reader.parse('{"flow":{"Summary":"other","file":{"name":"xxxxxxxx"}}}')
        reader.close()
        self.assertEqual(flow.json_text(), LINE)
        self.assertEqual(other.event.source_file, "xxxxxxxx")

    def test_files(self):
        for name in ("flows.json", "flows.json.gz"):
            path = self.write(f'{LINE}\n{{"lost_events":{{}}}}\nx\n\n{LINE}\n', name)
            with cl.FlowReader(path) as reader:
                self.assertEqual(next(reader).json_text(), LINE)
                with self.assertRaisesRegex(cl.DocumentError, f"{path}:3: byte 1: 'x' where an object"):
                    next(reader)
                self.assertEqual([f.json_text() for f in reader], [LINE])
                self.assertEqual(reader.counts, cl.FlowReaderCounts(lines=4, flows=2, others=1, wrong=1))
            with self.assertRaises(cl.InvalidArgument):
                next(reader)
            self.assertTrue(reader.closed)

    def test_a_descriptor(self):
        with open(self.write(LINE + "\n")) as f:
            self.assertEqual(len(list(cl.FlowReader(f.fileno()))), 1)
            self.assertEqual(os.lseek(f.fileno(), 0, os.SEEK_CUR), len(LINE) + 1)

    def test_what_is_none(self):
        reader = cl.FlowReader()
        self.assertIsNone(reader.parse(""))
        self.assertIsNone(reader.parse(b'{"x":1}'))
        with self.assertRaisesRegex(cl.DocumentError, "flow.verdict: byte"):
            reader.parse('{"flow":{"verdict":[]}}')
        with self.assertRaises(cl.NotFound):
            cl.FlowReader(os.path.join(self.folder, "none"))
        with self.assertRaises(cl.InvalidArgument):
            next(reader)

    def test_filters_take_saved_flows(self):
        flow = cl.FlowReader().parse(LINE)
        self.assertTrue(cl.Filters(allow={"source_pod": ["default/client"]}).match(flow))
        self.assertFalse(cl.Filters(allow={"source_pod": ["default/server"]}).match(flow))


class MaskTest(unittest.TestCase):
    def test_a_mask(self):
        flow = cl.FlowReader().parse(LINE)
        mask = cl.FlowMask(["source.pod_name", "l4.TCP.destination_port", "node_name"])
        self.assertEqual(mask.json(flow), {
            "flow": {"source": {"pod_name": "client"}, "l4": {"TCP": {"destination_port": 80}},
                     "node_name": "n1"}, "node_name": "n1"})

    def test_what_is_none(self):
        for paths, text in (([], "no path"), (["sauce"], "'sauce': a flow has no such member"),
                            (["source.pod"], "there are: ID, identity, cluster_name")):
            with self.assertRaisesRegex(cl.InvalidArgument, text):
                cl.FlowMask(paths)
        with self.assertRaises(TypeError):
            cl.FlowMask("time")


class LogTest(FilesTestCase):
    def setUp(self):
        super().setUp()
        self.flow = cl.FlowReader().parse(LINE)

    def read(self, path):
        return [flow.json_text() for flow in cl.FlowReader(path)]

    def test_what_is_written_is_read(self):
        with cl.FlowLog(self.path) as log:
            self.assertTrue(log.write(self.flow))
            self.assertEqual(log.counts.buffered, 1)
            self.assertFalse(log.flush())
            self.assertEqual((log.counts.written, log.counts.buffered), (1, 0))
            log.write(self.flow)
            log.lost(1, 5)
        self.assertEqual(self.read(self.path), [LINE, LINE])
        with self.assertRaises(cl.InvalidArgument):
            log.write(self.flow)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)

    def test_mask_and_filters(self):
        only = cl.Filters(allow={"verdict": ["FORWARDED"]})
        with cl.FlowLog(self.path, mask=["verdict"]) as log:
            log.write(self.flow)
        with cl.FlowLog(self.path, filters=only, mask=cl.FlowMask(["time"])) as log:
            self.assertFalse(log.write(self.flow))
            self.assertEqual(log.counts.filtered, 1)
        with open(self.path) as f:
            self.assertEqual(f.read(), '{"flow":{"verdict":"DROPPED"}}\n')

    def test_rotation(self):
        with cl.FlowLog(self.path, max_bytes=10000, max_files=None, compress=True) as log:
            for _ in range(500):
                log.write(self.flow)
            while log.flush():
                pass
            rotated = log.counts.rotated
        olds = glob.glob(os.path.join(self.folder, "flows-*.log.gz"))
        self.assertEqual(len(olds), rotated)
        self.assertGreater(rotated, 20)
        self.assertEqual(sum(len(self.read(path)) for path in [*olds, self.path]), 500)

    def test_reopen(self):
        with cl.FlowLog(self.path, max_files=1, mode=0o640) as log:
            log.write(self.flow)
            os.rename(self.path, self.path + ".1")
            log.reopen()
            log.write(self.flow)
        self.assertEqual(self.read(self.path + ".1"), [LINE])
        self.assertEqual(self.read(self.path), [LINE])

    def test_what_cannot_be_opened(self):
        with self.assertRaisesRegex(cl.NotFound, "its directory '.*/none/': No such file"):
            cl.FlowLog(os.path.join(self.folder, "none", "flows.log"))
        os.symlink("victim", self.path)
        with self.assertRaisesRegex(cl.Error, "is a symbolic link"):
            cl.FlowLog(self.path)
        with self.assertRaises(cl.InvalidArgument):
            cl.FlowLog(self.path + "2", max_files=-1)


class EventsTest(RootTestCase):
    def test_real_events_through_a_log(self):
        ctx = self.context()
        a, b = self.workload("a", 1), self.workload("b", 2)
        for workload in (a, b):
            ctx.endpoints.add(workload.device, ipv4=workload.ipv4,
                              labels=[f"k8s:app={workload.device}"],
                              name=f"test/{workload.device}")
        with a.entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stack.callback(sender.close)
        path = os.path.join(self.stack.enter_context(tempfile.TemporaryDirectory()), "flows.log")
        with ctx.events(types="trace", aggregation="none") as events, cl.FlowLog(path) as log:
            sender.sendto(b"hello", (b.ipv4, 7))
            flow = events.get(PATIENCE).flow()
            log.write(flow)
        [saved] = cl.FlowReader(path)
        self.assertEqual(saved.text(), flow.text().split(" rule=")[0])
        self.assertEqual(saved.json(), flow.json())
        self.assertEqual((saved.source, saved.destination), (flow.source, flow.destination))


if __name__ == "__main__":
    unittest.main()
