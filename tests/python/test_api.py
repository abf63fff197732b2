# SPDX-License-Identifier: BSD-2-Clause
"""What the Python package promises, object by object: contexts, endpoints, identities, policies,
services. Events: test_events.py."""
import contextlib
import errno
import gc
import io
import ipaddress
import itertools
import os
import pathlib
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import weakref

import cilium_lite as cl

from support import PATIENCE, RootTestCase, run, wait_for

DOCUMENT = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - fromEndpoints:
    - matchLabels: {app: client}
    toPorts:
    - ports:
      - {port: "80", protocol: TCP}
"""
WEB = cl.Part("app=web", [cl.Rule.ingress([cl.Peer.of_endpoints("app=client")], [cl.Port(80)])])


class NoRootTest(unittest.TestCase):
    """What needs no instance."""

    def test_version(self):
        self.assertRegex(cl.version(), r"^\d+\.\d+\.\d+$")

    def test_reasons(self):
        self.assertEqual(cl.drop_reason_text(133), "Policy denied")
        self.assertEqual(cl.drop_reason_name(133), "POLICY_DENIED")
        self.assertEqual(cl.trace_point_text(0), "to-endpoint")
        for lookup in (cl.drop_reason_text, cl.drop_reason_name, cl.trace_point_text):
            self.assertIsNone(lookup(0xffffffff))
            for wrong in (-1, 1 << 32):
                self.assertRaises(cl.InvalidArgument, lookup, wrong)

    def test_validate(self):
        self.assertEqual(cl.validate(DOCUMENT), 1)
        self.assertEqual(cl.validate(DOCUMENT.encode()), 1)
        self.assertEqual(cl.validate(DOCUMENT + "---\n" + DOCUMENT.replace("web}", "two}")), 2)
        self.assertEqual(cl.validate(io.StringIO(DOCUMENT)), 1)
        self.assertEqual(cl.validate({
            "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
            "metadata": {"name": "web"}, "spec": {"endpointSelector": {}, "ingress": [{}]}}), 1)

    def test_validate_says_where(self):
        for old, new, error, code in (
                ("fromEndpoints", "fromNowhere", cl.DocumentError, 4501),
                ("kind: CiliumNetworkPolicy", "kind: CiliumEgressGatewayPolicy", cl.Unsupported,
                 4502)):
            with self.subTest(new), self.assertRaises(error) as caught:
                cl.validate(DOCUMENT.replace(old, new), filename="web.yaml")
            self.assertEqual((caught.exception.errno, caught.exception.code), (code, code))
            self.assertRegex(str(caught.exception), rf"^web\.yaml:\d+: .*{new.split()[-1]}")
        for text in (b"spec: [", b"spec: {a: \x00}", b"\xff\xfe\xff", ""):
            with self.subTest(text), self.assertRaises(cl.DocumentError) as caught:
                cl.validate(text, filename="x.yaml")
            self.assertIsInstance(caught.exception, (OSError, ValueError))
            self.assertIn("x.yaml", str(caught.exception))
        with self.assertRaises(cl.TooBig):
            cl.validate("[" * 100_000)
        for limits in (cl.Limits(bytes=20), cl.Limits(values=5), cl.Limits(depth=2)):
            with self.subTest(limits), self.assertRaises(cl.TooBig):
                cl.validate(DOCUMENT, limits=limits)
        self.assertEqual(cl.validate(DOCUMENT, limits=cl.Limits(depth=1024)), 1)
        with self.assertRaises(cl.InvalidArgument):
            cl.validate(DOCUMENT, limits=cl.Limits(depth=1025))
        with self.assertRaises(TypeError):
            cl.validate(7)
        with self.assertRaises(FileNotFoundError):
            cl.validate(pathlib.Path("/nowhere/web.yaml"))

    def test_open_checks_arguments(self):
        for options in ({"flows4": 1 << 32}, {"endpoints": -1}, {"name": "a\0b"},
                        {"name": "no/slash"}, {"name": ".dot"}, {"name": "x" * 64}, {}):
            with self.subTest(options), self.assertRaises(cl.InvalidArgument) as caught:
                cl.Context(**options)
            self.assertIsInstance(caught.exception, ValueError)
            self.assertTrue(caught.exception.detail)
        with self.assertRaises(TypeError):
            cl.Context(7)

    def test_objects_are_checked_before_the_call(self):
        arena = cl.policy.Arena()
        for part, expected in (
                (cl.Part(rules=[cl.Rule("sideways")]), "ingress, egress"),
                (cl.Part(rules=[cl.Rule.ingress(ports=[cl.Port(65616)])]), "port is 65616"),
                (cl.Part(rules=[cl.Rule.ingress(ports=[cl.Port(80, "tpc")])]), "tcp"),
                (cl.Part("app\0=web"), "NUL")):
            with self.subTest(expected), self.assertRaises(cl.InvalidArgument) as caught:
                part._fill(arena)
            self.assertIn(expected, str(caught.exception))
        for part in (cl.Part(rules=[cl.Rule.ingress(ports=[cl.Port("80")])]),
                     cl.Part(cl.Selector([cl.Requirement("app", "in", "web")])),
                     cl.Part(rules=[cl.Rule.egress([cl.Peer.of_cidr("10.0.0.0/8", "10.1/16")])])):
            with self.subTest(part), self.assertRaises(TypeError):
                part._fill(arena)

    def test_errors(self):
        not_found = cl._errors.failure(-errno.ENOENT, "there is no x")
        self.assertIsInstance(not_found, (cl.NotFound, KeyError, OSError))
        self.assertEqual(str(not_found), "there is no x")
        self.assertEqual(not_found.strerror, os.strerror(errno.ENOENT))
        again = pickle.loads(pickle.dumps(not_found))
        self.assertEqual((type(again), again.errno, again.detail),
                         (cl.NotFound, errno.ENOENT, "there is no x"))
        plain = cl._errors.failure(-errno.EIO)
        self.assertEqual((type(plain), str(plain)), (cl.Error, os.strerror(errno.EIO)))
        self.assertTrue(issubclass(cl.Exists, FileExistsError))
        self.assertTrue(issubclass(cl.NotPermitted, PermissionError))
        self.assertTrue(issubclass(cl.Forked, ChildProcessError))


class ContextTest(RootTestCase):
    def test_ephemeral(self):
        with cl.Context(ephemeral=True, flows4=1024, flows6=2048) as ctx:
            status = ctx.status()
            self.assertTrue(status.ephemeral)
            self.assertEqual((status.name, status.path, ctx.name), ("", "", ""))
            self.assertEqual((status.flows4_max, status.flows6_max), (1024, 2048))
            self.assertIn(status.attach, ("tcx", "clsact"))
            self.assertGreater(status.map_bytes, 0)
            self.assertEqual(ctx.counters, [])
            self.assertFalse(ctx.closed)
        self.assertTrue(ctx.closed)

    def test_named(self):
        bpf = self.bpffs()
        with self.assertRaises(cl.NotFound):
            cl.Context("one", bpffs=bpf)
        self.assertEqual(cl.instances(bpf), [])
        with cl.Context("one", create=True, bpffs=bpf) as ctx:
            self.assertEqual((ctx.name, ctx.status().name), ("one", "one"))
            self.assertTrue(ctx.status().path.startswith(bpf))
            ctx.services.update("10.96.0.1", 80, name="web")
        with self.assertRaises(cl.Exists):
            cl.Context("one", exclusive=True, bpffs=bpf)
        with cl.Context("two", exclusive=True, bpffs=pathlib.Path(bpf)) as two, \
                cl.Context("one", bpffs=bpf) as ctx:
            self.assertEqual(sorted(cl.instances(pathlib.Path(bpf))), ["one", "two"])
            self.assertEqual([s.name for s in ctx.services], ["web"])
            self.assertEqual(len(two.services), 0)
            with cl.Context("one", bpffs=bpf) as same:
                same.services.update("10.96.0.2", 80)
                self.assertEqual(len(ctx.services), 2)
                two.destroy()
                ctx.destroy()
                for destroyed in (two, ctx, same):
                    self.assertRaises(cl.Stale, destroyed.status)
                    self.assertRaises(cl.Stale, destroyed.destroy)
        self.assertEqual(cl.instances(bpf), [])

    def test_no_bpffs(self):
        folder = self.folder()
        with self.assertRaises(cl.NoBpffs) as caught:
            cl.Context("one", create=True, bpffs=folder)
        self.assertEqual(caught.exception.code, 4504)
        self.assertIn("mount", str(caught.exception))
        self.assertRaises(cl.NoBpffs, cl.instances, folder)

    def test_closed(self):
        ctx = self.context()
        txn, stream = ctx.transaction(), ctx.events()
        subscription = ctx.subscribe(print)
        ctx.close()
        ctx.close()
        self.assertIn("closed", repr(ctx))
        self.assertTrue(txn.closed and stream.closed and subscription.closed)
        for call in self.calls(ctx, txn, stream, subscription):
            with self.assertRaises(cl.InvalidArgument) as caught:
                call()
            self.assertIn("closed", str(caught.exception))
        txn.close()
        stream.close()
        subscription.close()
        ctx.close()

    @staticmethod
    def calls(ctx, txn, stream, subscription):
        """Every strict call."""
        return [
            ctx.status, ctx.destroy, ctx.fileno, ctx.dispatch, ctx.wait, ctx.transaction, ctx.events,
            lambda: ctx.name, lambda: ctx.counters, ctx.metrics, ctx.metrics_text,
            lambda: ctx.subscribe(print),
            lambda: ctx.attach_device("lo"), lambda: ctx.detach_device("lo"),
            lambda: ctx.cgroups.attach("/"), lambda: ctx.cgroups.detach("/"), ctx.cgroups.list,
            lambda: ctx.prog_fd("from_endpoint"), lambda: ctx.map_fd("flow4"),
            lambda: ctx.endpoints.add("lo", ipv4="10.0.0.1"), lambda: ctx.endpoints.remove(1),
            lambda: ctx.endpoints[1], lambda: ctx.endpoints.find("x"), ctx.endpoints.list,
            lambda: ctx.identities[1], ctx.identities.list,
            lambda: ctx.ipcache.set("10.0.0.0/8", 2), lambda: ctx.ipcache.unset("10.0.0.0/8"),
            lambda: ctx.ipcache["10.0.0.1"], ctx.ipcache.list,
            lambda: ctx.policy.put("x", WEB), lambda: ctx.policy.load(DOCUMENT),
            lambda: ctx.policy.delete("x"), lambda: ctx.policy["x"], ctx.policy.list,
            lambda: ctx.policy.rule(1), ctx.policy.entries,
            lambda: ctx.services.update("10.0.0.1", 80), lambda: ctx.services.delete(1),
            lambda: ctx.services[1], ctx.services.list,
            ctx.conntrack.list, ctx.conntrack.flush,
            lambda: txn.put("x", WEB), lambda: txn.load(DOCUMENT), lambda: txn.delete("x"),
            txn.commit, stream.get, lambda: stream.lost, lambda: subscription.lost,
        ]

    def test_fork(self):
        ctx = self.context()
        txn, stream = ctx.transaction(), ctx.events()
        subscription = ctx.subscribe(print)
        child = os.fork()
        if not child:
            self.in_child(ctx, txn, stream, subscription)
        deadline = time.monotonic() + PATIENCE
        pid, status = os.waitpid(child, os.WNOHANG)
        while not pid and time.monotonic() < deadline:
            time.sleep(0.01)
            pid, status = os.waitpid(child, os.WNOHANG)
        if not pid:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            self.fail("the child hangs")
        self.assertEqual(os.WEXITSTATUS(status) if os.WIFEXITED(status) else -status, 0)
        # And here all goes on.
        self.assertEqual(ctx.status().subscribers, 2)
        self.assertEqual(ctx.dispatch(), 0)
        txn.put("x", WEB)
        txn.commit()

    def in_child(self, *objects):
        """Every call raises; 0 if so, else the number of the call that did not."""
        code = 200
        try:
            for code, call in enumerate(self.calls(*objects), 1):
                try:
                    call()
                except cl.Forked as e:
                    if e.errno == errno.ECHILD:
                        continue
                os._exit(code)
            code = 201
            for thing in objects:
                thing.close()
                thing.close()
            code = 202
            # The child may open contexts of its own.
            with cl.Context(ephemeral=True) as ctx:
                ctx.status()
            code = 0
        finally:
            os._exit(code)

    def test_released_in_any_order(self):
        """Close, or drop for the garbage collector, in every order; twice is once."""
        slots = self.context().status().subscribers
        for order in itertools.permutations(range(4)):
            for release in ("close", "drop"):
                ctx = cl.Context(ephemeral=True, flows4=1024, flows6=1024)
                things = [ctx, ctx.transaction(), ctx.subscribe(print), ctx.events()]
                things[1].put("x", WEB)
                alive = [weakref.ref(t) for t in things]
                del ctx
                for i in order:
                    if release == "close":
                        things[i].close()
                    things[i] = None
                gc.collect()
                self.assertEqual([t() for t in alive], [None] * 4, (order, release))
        self.assertEqual(self.context().status().subscribers, slots)

    def test_children_keep_their_context(self):
        txn = cl.Context(ephemeral=True).transaction()
        gc.collect()
        txn.put("x", WEB)
        txn.commit()
        self.assertEqual(len(txn.context.policy), 1)
        service = cl.Context(ephemeral=True).services.update("10.96.0.1", 80)
        gc.collect()
        service.delete()

    def test_left_open_at_exit(self):
        """Nothing is printed and nothing breaks when a program just ends."""
        program = (
            "import cilium_lite as cl, sys, threading\n"
            "a = cl.Context(ephemeral=True); b = cl.Context(ephemeral=True)\n"
            "t = a.transaction(); s = a.subscribe(lambda e: a.status()); i = iter(b.events())\n"
            "cycle = [a, b, t, s, i]; cycle.append(cycle)\n"
            "sys.a = a\n")
        for end in ("", "sys.exit(0)\n", "raise KeyboardInterrupt\n"):
            done = subprocess.run([sys.executable, "-c", program + end], timeout=60, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if end.startswith("raise"):
                self.assertEqual(done.returncode, -signal.SIGINT)
                self.assertEqual(done.stdout.splitlines()[-1], "KeyboardInterrupt")
            else:
                self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_threads(self):
        """Threads on one context wait for each other, also the garbage collector in them."""
        ctx, failures, end = self.context(), [], time.monotonic() + 1

        def work(number):
            try:
                while time.monotonic() < end:
                    name = f"policy-{number}"
                    ctx.policy.put(name, WEB)
                    garbage = [ctx.transaction(), ctx.events(ring_bytes=4096)]
                    garbage.append(garbage)
                    del garbage
                    self.assertIn(name, [p.name for p in ctx.policy])
                    ctx.dispatch()
                    gc.collect()
                    ctx.policy.delete(name)
            except BaseException as e:
                failures.append(e)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE * 3)
            self.assertFalse(thread.is_alive())
        self.assertEqual(failures, [])
        gc.collect()
        self.assertEqual(ctx.status().subscribers, 0)

    def test_probe(self):
        features = {f.name: f for f in cl.probe()}
        self.assertGreater(len(features), 3)
        for feature in features.values():
            self.assertTrue(feature.present or not feature.required, feature)
            self.assertTrue(feature.reason, feature)

    def test_sys(self):
        ctx = self.context()
        for fd in (ctx.prog_fd("from_endpoint"), ctx.map_fd("flow4")):
            self.assertIn("bpf", os.readlink(f"/proc/self/fd/{fd}"))
        self.assertRaises(cl.NotFound, ctx.prog_fd, "nothing")

    def test_devices(self):
        ctx = self.context()
        self.veth("uplink")
        with self.assertRaises(cl.NoDevice):
            ctx.attach_device("nothing")
        ctx.attach_device("uplink")
        self.assertRaises(cl.Exists, ctx.attach_device, "uplink")
        self.assertEqual(ctx.status().devices, 1)
        ctx.detach_device("uplink")
        self.assertRaises(cl.NotFound, ctx.detach_device, "uplink")

    def test_cgroups(self):
        ctx = self.context()
        mount, above = self.cgroup()
        inside = pathlib.Path(above, "inside")
        inside.mkdir()
        self.stack.callback(inside.rmdir)
        self.assertRaises(cl.NotFound, ctx.cgroups.attach, inside / "nothing")
        self.assertRaises(cl.InvalidArgument, ctx.cgroups.attach, "/proc")
        self.assertRaises(cl.NotFound, ctx.cgroups.detach, inside)
        ctx.cgroups.attach(inside)
        self.assertRaises(cl.Exists, ctx.cgroups.attach, str(inside))
        self.assertEqual(ctx.status().cgroups, 1)
        [cgroup] = ctx.cgroups
        self.assertEqual((cgroup.path, cgroup.id), (str(inside), inside.stat().st_ino))
        self.assertTrue(cgroup.path.startswith(mount))
        ctx.services.update("127.0.0.1", 81, backends=[("127.0.0.1", 82)])
        with socket.socket() as server:
            server.bind(("127.0.0.1", 82))
            server.listen()
            program = ("import socket, sys; open(sys.argv[1], 'w').write('0'); "
                       "print(socket.create_connection(('127.0.0.1', 81)).getpeername())")
            said = run(sys.executable, "-c", program, str(inside / "cgroup.procs")).stdout
            self.assertEqual(said, "('127.0.0.1', 81)\n")
        cgroup.detach()
        self.assertEqual(len(ctx.cgroups), 0)
    def test_xdp(self):
        ctx = self.context()
        device = self.veth("a")
        self.assertRaises(cl.InvalidArgument, ctx.attach_device, device, source4="fd00::1")
        ctx.attach_device(device, xdp_generic=True, dsr=True, flows4=64, flows6=64, source4="10.0.0.0/8")
        self.assertEqual((ctx.status().xdp_native, ctx.status().xdp_generic), (0, 1))
        self.assertGreater(ctx.prog_fd("from_xdp"), 0)
        ctx.detach_device(device)
        self.assertEqual(ctx.status().xdp_generic, 0)

    def test_clsact(self):
        ctx = self.context(clsact=True)
        self.assertEqual(ctx.status().attach, "clsact")
        ctx.endpoints.add(self.veth("a"), ipv4="10.0.0.1")
        self.assertIn("clsact", run("tc", "qdisc", "show", "dev", "a").stdout)


class EndpointTest(RootTestCase):
    def setUp(self):
        super().setUp()
        self.ctx = self.context()

    def test_life(self):
        web = self.ctx.endpoints.add(
            self.veth("a"), ipv4="10.0.0.1", ipv6=ipaddress.ip_address("fd00::1"),
            labels=["k8s:app=web", "env=test"], name="default/web", mac="02:00:00:00:00:01",
            id=77)
        self.assertEqual(
            (web.id, web.name, web.device, web.ipv4, web.ipv6, web.mac, web.labels),
            (77, "default/web", "a", ipaddress.ip_address("10.0.0.1"),
             ipaddress.ip_address("fd00::1"), "02:00:00:00:00:01",
             ("k8s:app=web", "unspec:env=test")))
        self.assertEqual(web.ifindex, socket.if_nametoindex("a"))
        self.assertGreaterEqual(web.identity, 256)
        self.assertFalse(web.ingress_enforced or web.egress_enforced)
        client = self.ctx.endpoints.add(self.veth("b"), ipv6="fd00::2", labels={"app": "client"})
        self.assertEqual((client.name, client.ipv4, client.labels),
                         ("b", None, ("unspec:app=client",)))

        self.assertEqual(len(self.ctx.endpoints), 2)
        self.assertEqual(sorted(e.id for e in self.ctx.endpoints), sorted([77, client.id]))
        self.assertEqual(self.ctx.endpoints[77], web)
        self.assertEqual(self.ctx.endpoints.get(77), web)
        for what in ("default/web", "10.0.0.1", ipaddress.ip_address("fd00::1"), "a"):
            self.assertEqual(self.ctx.endpoints.find(what), web, what)
            self.assertIn(what, self.ctx.endpoints)
        self.assertIn(77, self.ctx.endpoints)
        self.assertIn(web, self.ctx.endpoints)

        self.ctx.policy.put("web", cl.Part("env=test", [cl.Rule.ingress()]))
        self.assertFalse(web.ingress_enforced)
        self.assertTrue(web.refresh().ingress_enforced)

        web.remove()
        client.remove()
        self.assertEqual(list(self.ctx.endpoints), [])
        self.assertNotIn(77, self.ctx.endpoints)
        self.assertNotIn(web, self.ctx.endpoints)
        self.assertNotIn("a", self.ctx.endpoints)
        self.assertIsNone(self.ctx.endpoints.get(77))
        for missing in (web.remove, web.refresh, lambda: self.ctx.endpoints.find("a")):
            self.assertRaises(cl.NotFound, missing)
        with self.assertRaises(KeyError):
            self.ctx.endpoints[77]

    def test_refused(self):
        add = self.ctx.endpoints.add
        self.veth("a")
        self.veth("b")
        first = add("a", ipv4="10.0.0.1")
        for error, device, options in (
                (cl.NoDevice, "nothing", {"ipv4": "10.0.0.2"}),
                (cl.Exists, "a", {"ipv4": "10.0.0.2"}),
                (cl.Exists, "b", {"ipv4": "10.0.0.1"}),
                (cl.Exists, "b", {"ipv4": "10.0.0.2", "id": first.id}),
                (cl.InvalidArgument, "b", {}),
                (cl.InvalidArgument, "b", {"ipv4": "10.0.0.2/24"}),
                (cl.InvalidArgument, "b", {"ipv4": "fd00::1"}),
                (cl.InvalidArgument, "b", {"ipv4": "10.0.0.2", "mac": "02:00"}),
                (cl.InvalidArgument, "b", {"ipv4": "10.0.0.2", "id": 65536}),
                (cl.InvalidArgument, "b", {"ipv4": "10.0.0.2", "id": 1 << 32}),
                (cl.InvalidArgument, "b", {"ipv4": "10.0.0.2", "labels": ["a\0=b"]}),
                (TypeError, "b", {"ipv4": "10.0.0.2", "labels": "app=web"}),
                (TypeError, "b", {"ipv4": 7})):
            with self.subTest(options, device=device), self.assertRaises(error) as caught:
                add(device, **options)
            self.assertTrue(str(caught.exception))
        self.assertEqual([e.id for e in self.ctx.endpoints], [first.id])

    def test_identities(self):
        names = {i.id: i.labels for i in self.ctx.identities}
        for identity in cl.ReservedIdentity:
            if identity:
                self.assertTrue(names[identity][0].startswith("reserved:"), names[identity])
        a = self.ctx.endpoints.add(self.veth("a"), ipv4="10.0.0.1", labels=["app=web"])
        b = self.ctx.endpoints.add(self.veth("b"), ipv4="10.0.0.2", labels=["app=web"])
        self.assertEqual(a.identity, b.identity)
        self.assertEqual(self.ctx.identities[a.identity],
                         cl.Identity(a.identity, ("unspec:app=web",), 2))
        self.assertIn(a.identity, self.ctx.identities)
        self.assertIsNone(self.ctx.identities.get(60000))
        self.assertRaises(cl.NotFound, lambda: self.ctx.identities[60000])

    def test_ipcache(self):
        cache = self.ctx.ipcache
        web = self.ctx.endpoints.add(self.veth("a"), ipv4="10.0.0.1", labels=["app=web"])
        self.assertEqual(cache["10.0.0.1"], web.identity)
        # cl.ReservedIdentity.WORLD, or that of the family
        self.assertIn(cache[ipaddress.ip_address("192.0.2.1")], (2, 9))
        cache["192.0.2.0/24"] = "remote-node"
        cache.set(ipaddress.ip_network("192.0.2.128/25"), self.ctx.identities[web.identity])
        self.assertEqual(cache["192.0.2.1"], cl.ReservedIdentity.REMOTE_NODE)
        self.assertEqual(cache["192.0.2.200"], web.identity)
        entries = {str(e.prefix): e for e in cache}
        self.assertEqual(len(cache), len(entries))
        self.assertEqual((entries["192.0.2.0/24"].identity, entries["192.0.2.0/24"].source),
                         (6, cl.IpcacheSource.USER))
        self.assertEqual(
            (entries["10.0.0.1/32"].source, entries["10.0.0.1/32"].endpoint),
            (cl.IpcacheSource.ENDPOINT, web.id))
        del cache["192.0.2.0/24"]
        self.assertIn(cache["192.0.2.1"], (2, 9))
        self.assertRaises(cl.NotFound, cache.unset, "192.0.2.0/24")
        self.assertRaises(cl.NotFound, cache.set, "192.0.2.0/24", 60000)
        self.assertRaises(cl.Exists, cache.set, "10.0.0.1", 2)
        for wrong in ("192.0.2.1/24", "nowhere", "192.0.2.0/33"):
            self.assertRaises(cl.InvalidArgument, cache.set, wrong, 2)
        self.assertRaises(cl.InvalidArgument, cache.set, "192.0.2.0/24", "nobody")


class PolicyTest(RootTestCase):
    def setUp(self):
        super().setUp()
        self.ctx = self.context()

    def test_settings(self):
        web = self.ctx.endpoints.add(self.veth("a"), ipv4="10.0.0.1", labels=["app=web"])
        self.assertEqual(self.ctx.config(),
                         cl.Config(cl.Enforcement.DEFAULT, allow_localhost=False, audit=False))
        self.assertFalse(web.ingress_enforced)
        self.assertEqual(self.ctx.configure(enforcement="always", audit=True),
                         cl.Config(cl.Enforcement.ALWAYS, allow_localhost=False, audit=True))
        self.assertTrue(web.refresh().ingress_enforced)
        self.assertTrue(self.ctx.configure(allow_localhost=True).audit)
        with self.assertRaises(cl.InvalidArgument):
            self.ctx.configure(enforcement=7)
        self.assertFalse(web.audit)
        self.ctx.endpoints.set_audit(web, True)
        self.assertTrue(web.refresh().audit)
        with self.assertRaises(cl.NotFound):
            self.ctx.endpoints.set_audit(4000, True)

    def test_settings_of_a_new_instance(self):
        config = cl.Config(cl.Enforcement.ALWAYS, audit=True)
        ctx = self.context(config=config)
        self.assertEqual(ctx.config(), config)
        self.assertEqual(ctx.configure(audit=False), cl.Config(cl.Enforcement.ALWAYS))
        web = ctx.endpoints.add(self.veth("b"), ipv4="10.0.0.9", labels=["app=web"])
        self.assertTrue(web.ingress_enforced and web.egress_enforced)
        with self.assertRaisesRegex(cl.InvalidArgument, "enforcement 9"):
            self.context(config=cl.Config(9))

    def test_names(self):
        web = self.ctx.endpoints.add(self.veth("a"), ipv4="10.0.0.1", labels=["app=web"],
                                     ports=["HTTP=80", "dns=53/udp"])
        self.assertEqual(web.ports, ("dns=53/udp", "http=80/tcp"))
        for wrong in ("80", "http=0", "http=80/icmp", "=80", "much-too-long-a-name=80"):
            with self.subTest(wrong), self.assertRaises(cl.InvalidArgument):
                self.ctx.endpoints.add(self.veth("b"), ipv4="10.0.0.2", ports=[wrong])
        with self.assertRaises(TypeError):
            self.ctx.endpoints.add("b", ipv4="10.0.0.2", ports="http=80")
        service = self.ctx.services.update("10.96.0.1", 80, name="shop/web", labels={"k8s:a": "b"})
        self.assertEqual(service.labels, ("k8s:a=b",))
        self.ctx.policy.load({
            "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
            "metadata": {"name": "web"}, "spec": {
                "endpointSelector": {"matchLabels": {"app": "web"}},
                "ingress": [{"toPorts": [{"ports": [{"port": "http"}]}]}]}})
        self.assertIn((80, 80), [(e.port, e.end_port) for e in self.ctx.policy.entries(web)])

    def test_trace(self):
        web = self.ctx.endpoints.add(self.veth("a"), ipv4="10.0.0.1", labels=["app=web"])
        self.ctx.policy.load(DOCUMENT, filename="web.yaml")
        client = self.ctx.endpoints.add(self.veth("b"), ipv4="10.0.0.2", labels=["app=client"])
        t = self.ctx.trace(client, web, 80, live=True)
        self.assertTrue(t.allowed and t.agree)
        self.assertEqual((t.verdict, t.live_verdict, t.way), (
            cl.Verdict.FORWARDED, cl.Verdict.FORWARDED, cl.Way.ENDPOINT))
        self.assertEqual((str(t.source), str(t.destination), t.destination_endpoint),
                         ("10.0.0.2", "10.0.0.1", web.id))
        self.assertEqual((t.ingress.rule.policy, t.ingress.rules), ("web", (t.ingress.rule,)))
        self.assertFalse(t.egress.enforced)
        self.assertEqual([(h.rule.policy, h.rule.line > 0, h.packets) for h in self.ctx.policy.hits()],
                         [("web", True, 0)])
        t = self.ctx.trace(source_identity=2, destination="10.0.0.1", port=80)
        self.assertEqual((t.reason, t.way, t.source, t.live_verdict), (133, cl.Way.NONE, None, None))
        t = self.ctx.trace("10.9.9.9", "10.0.0.1", 80, source_endpoint=client.id, live=True)
        self.assertEqual((t.reason, t.live_reason, t.agree, t.egress), (132, 132, True, None))
        self.ctx.services.update("10.96.0.1", 80, algorithm="maglev",
                                 backends=[("10.0.0.1", 80), ("10.0.0.1", 81)])
        for sport in range(1000, 1020):
            said = self.ctx.trace(client, "10.96.0.1", 80, source_port=sport)
            t = self.ctx.trace(client, "10.96.0.1", 80, source_port=sport, live=True)
            self.assertTrue(said.chosen and t.chosen and t.agree)
            self.assertEqual((t.destination_port, t.reason), (said.destination_port, said.reason))
            self.assertEqual([(str(b.address), b.port) for b in t.backends],
                             [("10.0.0.1", 80), ("10.0.0.1", 81)])
        self.assertFalse(self.ctx.trace(client, "10.96.0.1", 80).chosen)
        self.assertEqual(len(self.ctx.conntrack), 0)
        with self.assertRaises(cl.InvalidArgument):
            self.ctx.trace(packet=b"short")
        with self.assertRaises(cl.NotFound):
            self.ctx.trace(source_identity=4000, destination=web, port=1)

    def test_warnings_and_rehearsal(self):
        self.ctx.endpoints.add(self.veth("a"), ipv4="10.0.0.1", labels=["app=web"])
        with self.ctx.transaction() as txn:
            txn.load(DOCUMENT, filename="web.yaml")
            warnings = txn.warnings()
            self.assertEqual([w.code for w in warnings], [cl.WarningCode.SELECTS_NOBODY])
            self.assertRegex(str(warnings[0]), r"^web\.yaml:\d+: policy 'web': peer 0 selects nobody")
            flows = []
            with txn.rehearse(flows.append) as rehearsal:
                self.ctx.dispatch()
                self.assertEqual((rehearsal.counts, flows), (cl.RehearsalCounts(0, 0, 0, 0, 0), []))
                rehearsal.commit()
                self.assertIn("web", self.ctx.policy)
            self.assertTrue(rehearsal.closed)
            with self.assertRaises(cl.InvalidArgument):
                rehearsal.counts
            rehearsal = txn.rehearse(flows.append, fed=True)
            self.ctx.policy.delete("web")
            with self.assertRaises(cl.Error) as caught:
                rehearsal.commit()
            self.assertIn("rehearse again", str(caught.exception))
        self.assertEqual(len(self.ctx.policy.warnings()), 1)
        with self.assertRaises(cl.NotFound):
            self.ctx.policy.warnings("none")
        with self.assertRaises(TypeError):
            self.ctx.transaction().rehearse(None)

    def test_document(self):
        path = pathlib.Path(self.folder(), "web.yaml")
        path.write_text(DOCUMENT, encoding="utf-8")
        self.ctx.endpoints.add(self.veth("a"), ipv4="10.0.0.1", labels=["app=web"])
        self.assertEqual(self.ctx.policy.load(path), 1)
        web = self.ctx.policy["web"]
        self.assertEqual((web.name, web.text, web.filename, web.rules, web.endpoints),
                         ("web", DOCUMENT, str(path), 1, 1))
        self.assertEqual(web.revision, self.ctx.status().revision)
        self.assertEqual([p.name for p in self.ctx.policy], ["web"])
        self.assertIn("web", self.ctx.policy)
        with open(path, encoding="utf-8") as f:
            self.assertEqual(self.ctx.policy.load(f), 1)
        self.assertEqual(len(self.ctx.policy), 1)
        web.delete()
        self.assertNotIn("web", self.ctx.policy)
        self.assertRaises(cl.NotFound, web.delete)
        self.assertIsNone(self.ctx.policy.get("web"))

    def test_document_that_is_wrong(self):
        self.ctx.policy.load(DOCUMENT)
        revision = self.ctx.status().revision
        broken = DOCUMENT.replace("name: web", "name: two") + "---\nkind: [\n"
        with self.assertRaises(cl.DocumentError) as caught:
            self.ctx.policy.load(broken, filename="two.yaml")
        self.assertRegex(str(caught.exception), r"two\.yaml:\d+")
        # Nothing of the stream came into force.
        self.assertEqual([p.name for p in self.ctx.policy], ["web"])
        self.assertEqual(self.ctx.status().revision, revision)

    def test_every_kind_of_rule(self):
        selector = cl.Selector([
            cl.Requirement("app", cl.Operator.IN, ["web", "api"]),
            cl.Requirement("k8s:env", "not-in", ["test"]),
            cl.Requirement("tier"),
            cl.Requirement("old", cl.Operator.DOES_NOT_EXIST)])
        parts = [
            cl.Part(selector, [
                cl.Rule.ingress([cl.Peer.of_endpoints("app=client"),
                                 cl.Peer.of_endpoints(selector=selector)],
                                [cl.Port(80), cl.Port(8000, end_port=8999), cl.Port(53, "udp"),
                                 cl.Port(0, "any")]),
                cl.Rule.egress([cl.Peer.of_cidr("10.0.0.0/8", ["10.1.0.0/16"]),
                                cl.Peer.of_cidr(ipaddress.ip_network("fd00::/16")),
                                cl.Peer.of_entity("world")]),
                cl.Rule.egress(ports=[cl.Port(8, "icmp"), cl.Port(128, "icmpv6")]),
                cl.Rule.ingress([cl.Peer.of_endpoints("app=bad")], action=cl.Action.DENY)]),
            cl.Part({"app": "silent"}, [cl.Rule.ingress(peers=[])],
                    default_deny_egress=cl.DefaultDeny.ON),
            cl.Part(rules=[cl.Rule.ingress()], default_deny_ingress="off")]
        self.ctx.policy["all"] = parts
        policy = self.ctx.policy["all"]
        self.assertEqual((policy.name, policy.filename, policy.rules), ("all", "", 6))
        # The text that is written from the objects means the same.
        document = policy.text
        for word in ("10.1.0.0/16", "fd00::/16", "DoesNotExist", "NotIn", "world", "8999",
                     "ingressDeny", "enableDefaultDeny", "silent"):
            self.assertIn(word, document)
        self.assertEqual(cl.validate(document, name="again"), 1)
        del self.ctx.policy["all"]
        self.assertEqual(len(self.ctx.policy), 0)

    def test_peers_none_and_nobody(self):
        web = self.ctx.endpoints.add(self.veth("a"), ipv4="10.0.0.1", labels=["app=web"])
        self.ctx.policy.put("x", cl.Part(rules=[cl.Rule.ingress()]))
        self.assertTrue(any(e.action == cl.Action.ALLOW for e in self.entries(web)))
        self.ctx.policy.put("x", cl.Part(rules=[cl.Rule.ingress([])]))
        self.assertTrue(web.refresh().ingress_enforced)
        self.assertFalse(any(e.action == cl.Action.ALLOW for e in self.entries(web)))

    def entries(self, endpoint):
        return [e for e in self.ctx.policy.entries(endpoint)
                if e.direction == cl.Direction.INGRESS]

    def test_entries_and_rules(self):
        web = self.ctx.endpoints.add(self.veth("a"), ipv4="10.0.0.1", labels=["app=web"])
        client = self.ctx.endpoints.add(self.veth("b"), ipv4="10.0.0.2", labels=["app=client"])
        self.ctx.policy.load(DOCUMENT, filename="web.yaml")
        allowed = [e for e in self.entries(web)
                   if e.action == cl.Action.ALLOW and e.identity == client.identity]
        self.assertEqual([(e.endpoint, e.protocol, e.port, e.end_port) for e in allowed],
                         [(web.id, cl.Protocol.TCP, 80, 80)])
        rule = self.ctx.policy.rule(allowed[0].rule)
        self.assertEqual(
            (rule.policy, rule.filename, rule.cookie, rule.direction, rule.action, rule.index),
            ("web", "web.yaml", allowed[0].rule, cl.Direction.INGRESS, cl.Action.ALLOW, 0))
        self.assertEqual(DOCUMENT.splitlines()[rule.line - 1].strip(), "- fromEndpoints:")
        self.assertRaises(cl.NotFound, self.ctx.policy.entries, 99)
        self.assertRaises(cl.NotFound, self.ctx.policy.rule, 0x7fffffff)

    def test_transaction(self):
        revision = self.ctx.status().revision
        with self.ctx.transaction() as txn:
            txn.put("a", WEB)
            self.assertEqual(txn.load(DOCUMENT), 1)
            txn.put("b", [WEB])
            txn.delete("b")
            self.assertRaises(cl.NotFound, txn.delete, "b")
            self.assertEqual(len(self.ctx.policy), 0)
        self.assertEqual([p.name for p in self.ctx.policy], ["a", "web"])
        self.assertEqual(txn.revision, self.ctx.status().revision)
        self.assertGreater(txn.revision, revision)
        self.assertTrue(txn.closed)

        # An exception drops it, and nothing to do is nothing done.
        revision = self.ctx.status().revision
        with self.assertRaises(ZeroDivisionError), self.ctx.transaction() as txn:
            txn.delete("a")
            raise ZeroDivisionError
        with self.ctx.transaction() as txn:
            pass
        self.assertIsNone(txn.revision)
        self.assertEqual(len(self.ctx.policy), 2)
        self.assertEqual(self.ctx.status().revision, revision)

        txn = self.ctx.transaction()
        txn.delete("a")
        txn.commit()
        txn.delete("web")
        txn.commit()
        self.assertEqual(len(self.ctx.policy), 0)
        # A change that fails leaves the rest of the transaction.
        txn.put("c", WEB)
        self.assertRaises(cl.InvalidArgument, txn.put, "d", [])
        self.assertRaises(cl.DocumentError, txn.load, "{")
        txn.commit()
        self.assertEqual([p.name for p in self.ctx.policy], ["c"])

    def test_names(self):
        for name in ("", "x" * 256, "a\nb", "a\0b"):
            with self.subTest(name):
                self.assertRaises(cl.InvalidArgument, self.ctx.policy.put, name, WEB)
        self.ctx.policy.put("näme/ü", WEB)
        self.assertEqual([p.name for p in self.ctx.policy], ["näme/ü"])
        self.ctx.policy.delete("näme/ü")


class ServiceTest(RootTestCase):
    def setUp(self):
        super().setUp()
        self.ctx = self.context()

    def test_load(self):
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
                   "spec": {"type": "NodePort", "clusterIP": "10.96.0.1",
                            "ports": [{"port": 80, "nodePort": 30080}]}}
        slices = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                  "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
                  "addressType": "IPv4", "ports": [{"port": 8080}],
                  "endpoints": [{"addresses": ["10.0.0.2"], "nodeName": "n1"}]}
        n = self.ctx.services.load([service, slices], source="test", node="n1", zone="a",
                                   node_addresses=["192.0.2.1"])
        self.assertEqual(n, 2)
        found = self.ctx.services.find("192.0.2.1", 30080)
        self.assertEqual([(str(b.address), b.port) for b in found.backends], [("10.0.0.2", 8080)])
        with self.assertRaisesRegex(cl.DocumentError, r"f.yaml:1: .*needs"):
            self.ctx.services.load("{}", filename="f.yaml", source="test")
        with self.assertRaises(cl.TooBig):
            self.ctx.services.load([service], limits=cl.Limits(values=3))
        self.assertEqual(self.ctx.services.load("", source="test"), 0)
        self.assertEqual(len(self.ctx.services), 0)

    def test_clients(self):
        web = self.ctx.services.update(
            "10.96.0.1", 80, "sctp", backends=["10.0.0.2"], external_local=True, affinity=60,
            sources=["198.51.100.0/24", ipaddress.ip_network("10.0.0.0/8")], sources_deny=True)
        self.assertEqual((web.protocol, web.affinity, web.external_local, web.internal_local,
                          web.sources_deny, [str(p) for p in web.sources]),
                         (cl.Protocol.SCTP, 60, True, False, True,
                          ["10.0.0.0/8", "198.51.100.0/24"]))
        with self.assertRaisesRegex(cl.InvalidArgument, "ports of SCTP are not translated"):
            self.ctx.services.update("10.96.0.1", 80, "sctp", backends=[("10.0.0.2", 81)])
        with self.assertRaisesRegex(cl.InvalidArgument, "source '10.0.0.1/8': not a prefix"):
            self.ctx.services.update("10.96.0.1", 80, sources=["10.0.0.1/8"])
        with self.assertRaisesRegex(cl.InvalidArgument, "SOURCES_DENY without sources"):
            self.ctx.services.update("10.96.0.1", 80, sources_deny=True)
        with self.assertRaisesRegex(cl.InvalidArgument, "affinity of 86401 s: at most 86400"):
            self.ctx.services.update("10.96.0.1", 80, affinity=86401)

    def test_masquerade(self):
        self.assertEqual(self.ctx.masquerade, cl.Masquerade())
        wanted = cl.Masquerade(ipv6=True, exclude=(ipaddress.ip_network("10.0.0.0/8"),
                                                   ipaddress.ip_network("fd00::/16")))
        self.ctx.masquerade = wanted
        self.assertEqual(self.ctx.masquerade, wanted)
        with self.assertRaisesRegex(cl.InvalidArgument, "exclusion 'x': not a prefix"):
            self.ctx.masquerade = cl.Masquerade(exclude=("x",))
        self.assertEqual(self.ctx.masquerade, wanted)

    def test_life(self):
        web = self.ctx.services.update(
            "10.96.0.1", 80, backends=[
                ("10.0.0.2", 8080), ipaddress.ip_address("10.0.0.3"),
                cl.Backend("10.0.0.4", 81, 7, "terminating")],
            algorithm="maglev", name="default/web", id=42)
        self.assertEqual(
            (web.id, web.name, str(web.address), web.port, web.protocol, web.algorithm),
            (42, "default/web", "10.96.0.1", 80, cl.Protocol.TCP, cl.Algorithm.MAGLEV))
        self.assertEqual(
            [(str(b.address), b.port, b.weight, b.state) for b in web.backends],
            [("10.0.0.2", 8080, 1, cl.BackendState.ACTIVE),
             ("10.0.0.3", 80, 1, cl.BackendState.ACTIVE),
             ("10.0.0.4", 81, 7, cl.BackendState.TERMINATING)])
        dns = self.ctx.services.update(ipaddress.ip_address("fd96::1"), 53, "udp")
        self.assertEqual((dns.name, dns.backends, dns.protocol, dns.algorithm),
                         ("", (), cl.Protocol.UDP, cl.Algorithm.RANDOM))
        self.assertEqual(dns.mode, cl.Mode.SNAT)
        dns = self.ctx.services.update("fd96::1", 53, "udp", mode="gue")
        self.assertEqual(dns.mode, cl.Mode.GUE)
        dns = self.ctx.services.update("fd96::1", 53, "udp", backends=[("fd00::9", 5353)],
                                       mode=cl.Mode.DSR)
        self.assertEqual(dns.mode, cl.Mode.DSR)
        self.assertEqual({s.id for s in self.ctx.services}, {42, dns.id})
        self.assertEqual(len(self.ctx.services), 2)
        self.assertEqual(self.ctx.services.find("fd96::1", 53, "udp"), dns)
        self.assertIsNone(self.ctx.services.find("fd96::1", 53))
        self.assertIn(42, self.ctx.services)

        again = self.ctx.services.update("10.96.0.1", 80, backends=web.backends[:1])
        self.assertEqual((again.id, again.backends), (42, web.backends[:1]))
        self.assertEqual(web.refresh(), again)
        web.delete()
        self.ctx.services.delete(dns)
        self.assertRaises(cl.NotFound, web.delete)
        self.assertIsNone(self.ctx.services.get(42))
        self.assertEqual(list(self.ctx.services), [])

    def test_refused(self):
        update = self.ctx.services.update
        first = update("10.96.0.1", 80)
        for error, arguments, options in (
                (cl.InvalidArgument, ("10.96.0.2", 0), {}),
                (cl.InvalidArgument, ("10.96.0.2", 65616), {}),
                (cl.InvalidArgument, ("10.96.0.2", 80, "icmp"), {}),
                (cl.InvalidArgument, ("10.96.0.2", 80, "tpc"), {}),
                (cl.InvalidArgument, ("10.96.0.2", 80), {"algorithm": 9}),
                (cl.InvalidArgument, ("10.96.0.2", 80), {"mode": 4}),
                (cl.InvalidArgument, ("10.96.0.2", 80), {"backends": ["fd00::1"]}),
                (cl.InvalidArgument, ("10.96.0.2", 80), {"backends": [("10.0.0.1", 70000)]}),
                (cl.InvalidArgument, ("nowhere", 80), {}),
                (cl.Exists, ("10.96.0.2", 80), {"id": first.id}),
                (TypeError, ("10.96.0.2", "80"), {})):
            with self.subTest(arguments, **options):
                self.assertRaises(error, update, *arguments, **options)
        self.assertEqual([s.id for s in self.ctx.services], [first.id])

    def test_many_backends(self):
        backends = [f"10.1.{i // 250}.{i % 250 + 1}" for i in range(1000)]
        web = self.ctx.services.update("10.96.0.1", 80, backends=backends)
        self.assertEqual([str(b.address) for b in web.backends], backends)


class FullTest(RootTestCase):
    def test_no_space(self):
        """The text names what is full and how large it is; the state is as before."""
        ctx = self.context(services=4)
        with self.assertRaises(cl.NoSpace) as caught:
            for i in itertools.count(1):
                ctx.services.update(f"10.96.0.{i}", 80)
        self.assertRegex(str(caught.exception), r"\b4\b")
        count = len(ctx.services)
        self.assertEqual(count, i - 1)
        with contextlib.suppress(cl.NoSpace):
            ctx.services.update("10.96.9.9", 80)
        self.assertEqual(len(ctx.services), count)


class ConntrackTest(RootTestCase):
    def test_flows(self):
        ctx = self.context()
        a, b = self.workload("a", 1), self.workload("b", 2)
        for workload in (a, b):
            ctx.endpoints.add(workload.device, ipv4=workload.ipv4, ipv6=workload.ipv6,
                              labels=["app=any"])
        self.assertEqual(ctx.conntrack.list(), [])
        for address in (b.ipv4, b.ipv6):
            run(*a.command("ping", "-c", "1", "-W", "5", address))
        flows = wait_for(lambda: len(ctx.conntrack) >= 4 and ctx.conntrack.list(), "flows")
        for source, destination, protocol in ((a.ipv4, b.ipv4, cl.Protocol.ICMP),
                                              (a.ipv6, b.ipv6, cl.Protocol.ICMPV6)):
            request = [f for f in flows if (str(f.source), str(f.destination), f.protocol)
                       == (source, destination, protocol)]
            reply = [f for f in flows if (str(f.source), str(f.destination), f.protocol)
                     == (destination, source, protocol)]
            self.assertEqual((len(request), len(reply)), (1, 1), flows)
            request, reply = request[0], reply[0]
            self.assertFalse(request.flags & cl.ConntrackFlags.REPLY)
            self.assertTrue(reply.flags & cl.ConntrackFlags.REPLY)
            self.assertEqual((request.packets, reply.packets), (1, 1))
            self.assertEqual(request.source_endpoint, ctx.endpoints.find("a").id)
            self.assertEqual(request.destination_identity, ctx.endpoints.find("b").identity)
            self.assertIsNone(request.nat_source)
            self.assertGreater(request.expires, 0)
        counters = {(c.reason, c.direction): c for c in ctx.counters}
        self.assertGreaterEqual(sum(c.packets for c in counters.values() if not c.reason), 4)
        self.assertTrue(all(re.match(r"[A-Z]", c.reason_text) for c in counters.values()))
        self.assertEqual(ctx.status().forwarded,
                         sum(c.packets for c in ctx.counters if not c.reason))
        self.assertRaises(cl.NotFound, ctx.conntrack.flush, 99)
        self.assertEqual(ctx.conntrack.flush(ctx.endpoints.find("a")), 4)
        self.assertEqual(ctx.conntrack.flush(), 0)


if __name__ == "__main__":
    unittest.main()
