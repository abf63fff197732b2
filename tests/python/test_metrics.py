# SPDX-License-Identifier: BSD-2-Clause
"""Metrics against what they are about: real packets, endpoints, policies, services. Needs root."""
import shutil
import subprocess
import unittest

import cilium_lite as cl

from exposition import Exposition, FormatError
from support import RootTestCase, run

DENY = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web}
spec:
  endpointSelector: {matchLabels: {app: b}}
  ingress: [{fromEndpoints: [{matchLabels: {app: a}}]}]
  ingressDeny: [{fromEndpoints: [{matchLabels: {app: c}}]}]
"""


class ReaderTest(unittest.TestCase):
    """The reader would notice."""

    HEAD = "# HELP a A\n# TYPE a gauge\n"

    def test_good(self):
        text = Exposition(self.HEAD + 'a{l="x\\"\\\\\\n}",m=""} 1.5e+3\na 2\n')
        self.assertEqual(text.value("a", l='x"\\\n}', m=""), 1500)
        self.assertEqual(text.sum("a"), 1502)

    def test_bad(self):
        for text in ("a 1\n", self.HEAD + "a 1", self.HEAD, self.HEAD + "a 1\na 1\n",
                     self.HEAD + "a 1\n" + self.HEAD, self.HEAD + "a one\n", self.HEAD + "\na 1\n",
                     self.HEAD + 'a{l="\\x"} 1\n', self.HEAD + 'a{l="1",l="2"} 1\n',
                     self.HEAD + "a{l=1} 1\n", "# TYPE a thing\na 1\n",
                     self.HEAD + "a 1\n# HELP b B\n# TYPE b gauge\nb 1\n" + 'a{l="2"} 1\n'):
            with self.subTest(text):
                self.assertRaises(FormatError, Exposition, text)


class MetricsTest(RootTestCase):
    def setUp(self):
        super().setUp()
        self.ctx = cl.Context(ephemeral=True)
        self.addCleanup(self.ctx.close)

    def read(self):
        """What the text says, which is what the list says."""
        listed, text = self.ctx.metrics(), self.ctx.metrics_text()
        found = Exposition(text)
        self.assertEqual(len(listed), len(found.samples))
        self.assertEqual(
            {m.name: (m.type.name.lower(), m.help) for m in listed},
            {name: (kind, found.helps[name]) for name, kind in found.types.items()})
        self.assertEqual({(m.name, tuple(sorted(m.labels.items()))) for m in listed},
                         set(found.samples))
        return found, text

    def test_names(self):
        """Those of Cilium, and its linter has nothing to say."""
        found, text = self.read()
        for name in found.types:
            self.assertRegex(name, "^cilium_")
            self.assertEqual(found.types[name] == "counter", name.endswith("_total"), name)
        self.assertEqual(found.value("cilium_forward_count_total", direction="INGRESS"), 0)
        self.assertEqual(found.sum("cilium_version", version=cl.version()), 1)
        self.assertEqual(found.value("cilium_bpf_maps_virtual_memory_max_bytes"),
                         self.ctx.status().map_bytes)
        self.assertGreater(found.value("cilium_bpf_progs_virtual_memory_max_bytes"), 4096)
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_objects(self):
        a = self.workload("a", 1)
        ctx = self.ctx
        ctx.endpoints.add(a.device, ipv4=a.ipv4, ipv6=a.ipv6, labels=["k8s:app=b"])
        ctx.policy.load(DENY)
        ctx.ipcache.set("192.0.2.0/24", 2)
        backends = [cl.Backend("10.0.0.1", 80), cl.Backend("10.0.0.2", 80, state="quarantined")]
        ctx.services.update("10.96.0.1", 80, backends=backends, sources=["10.0.0.0/8", "192.0.2.0/24"])
        found, _ = self.read()
        for expected, name, labels in (
                (1, "cilium_endpoint", {}),
                (1, "cilium_endpoint_state", {"endpoint_state": "ready"}),
                (1, "cilium_identity", {"type": "cluster_local"}),
                (0, "cilium_identity", {"type": "node_local"}),
                (1, "cilium_policy", {}),
                (ctx.status().revision, "cilium_policy_max_revision", {}),
                (1, "cilium_policy_endpoint_enforcement_status", {"enforcement": "ingress"}),
                (0, "cilium_policy_endpoint_enforcement_status", {"enforcement": "none"}),
                (1, "cilium_lite_services", {}),
                (1, "cilium_lite_backends", {"state": "active"}),
                (1, "cilium_lite_backends", {"state": "quarantined"}),
                (1 / 4095, "cilium_bpf_map_pressure", {"map_name": "endpoints"}),
                (2 / 65536, "cilium_bpf_map_pressure", {"map_name": "addresses"}),
                (2 / 65536, "cilium_bpf_map_pressure", {"map_name": "sources"}),
                (1 / 131072, "cilium_bpf_map_pressure", {"map_name": "ipcache"}),
                (2 / 65535, "cilium_bpf_map_pressure", {"map_name": "backends"}),
                (131072, "cilium_bpf_map_capacity", {"map_group": "flow4"})):
            with self.subTest(name, **labels):
                self.assertAlmostEqual(found.value(name, **labels), expected, places=15)
        ctx.endpoints.set_audit(ctx.endpoints.find("a"), True)
        found, _ = self.read()
        self.assertEqual(found.value("cilium_policy_endpoint_enforcement_status",
                                     enforcement="audit-ingress"), 1)

    def test_subscribers(self):
        with self.ctx.subscribe(print):
            found, _ = self.read()
            self.assertEqual(found.value("cilium_lite_subscribers"), 1)
            self.assertEqual(found.value("cilium_lite_lost_events_total", slot="0"), 0)

    def test_packets(self):
        a, b, c = (self.workload(name, i) for i, name in enumerate("abc", 1))
        for workload in (a, b, c):
            self.ctx.endpoints.add(workload.device, ipv4=workload.ipv4, ipv6=workload.ipv6,
                                   labels=["k8s:app=" + workload.device])
        self.ctx.policy.load(DENY)
        before, _ = self.read()
        run(*a.command("ping", "-c", "3", "-i", "0.05", "-W", "5", b.ipv4))
        with self.assertRaises(AssertionError):  # no answer
            run(*c.command("ping", "-c", "4", "-i", "0.05", "-W", "1", b.ipv4))
        after, _ = self.read()
        self.assertEqual(after.sum("cilium_drop_count_total"), 4)
        self.assertEqual(after.value("cilium_drop_count_total", reason="Policy denied by denylist",
                                     direction="INGRESS"), 4)
        self.assertEqual(after.value("cilium_drop_bytes_total", reason="Policy denied by denylist",
                                     direction="INGRESS"), 4 * 98)
        # what the namespaces say for themselves (neighbours) is answered, not forwarded
        self.assertEqual(after.sum("cilium_forward_count_total")
                         - before.sum("cilium_forward_count_total"), 6)
        self.assertEqual(after.sum("cilium_forward_bytes_total")
                         - before.sum("cilium_forward_bytes_total"), 6 * 98)
        for (name, labels), value in before.samples.items():
            if before.types[name] == "counter":
                self.assertGreaterEqual(after.samples[name, labels], value)
        self.assertAlmostEqual(after.value("cilium_bpf_map_pressure", map_name="flow4"), 2 / 131072)

    def test_pressure_of_large_tables(self):
        """Half a table of flows, of which half are over: estimated within 3 %."""
        ctx = cl.Context(ephemeral=True, flows4=1 << 18)
        self.addCleanup(ctx.close)
        self.fill(ctx, 1 << 17)
        pressure = {m.labels["map_name"]: m.value for m in ctx.metrics()
                    if m.name == "cilium_bpf_map_pressure"}
        self.assertAlmostEqual(pressure["flow4"], 0.25, delta=0.0075)
        self.assertEqual(pressure["flow6"], 0)

    @staticmethod
    def fill(ctx, n):
        import ctypes
        bpf = ctypes.CDLL("libbpf.so.1")
        keys, values, count = bytearray(), bytearray(), ctypes.c_uint32(n)
        for i in range(n):
            keys += i.to_bytes(20, "little")  # struct dp_flow4_key
            value = bytearray(120)  # struct dp_flow: seen, lifetime
            value[16:24] = (1 << 62 if i % 2 else 0).to_bytes(8, "little")
            values += value
        r = bpf.bpf_map_update_batch(ctx.map_fd("flow4"), bytes(keys), bytes(values),
                                     ctypes.byref(count), None)
        assert r == 0, r


if __name__ == "__main__":
    unittest.main()
