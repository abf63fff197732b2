# SPDX-License-Identifier: BSD-2-Clause
"""The story of tools/demo.sh, told in Python: two clients, two web servers, a policy, a service."""
import collections
import os
import pathlib
import socket
import unittest

import cilium_lite as cl

from support import PATIENCE, RootTestCase, run, wait_for

POLICY_DENIED = 133
SERVICE4, SERVICE6 = "10.96.0.80", "fd96::80"

POLICY = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: web
spec:
  endpointSelector:
    matchLabels:
      app: web
  ingress:
  - fromEndpoints:
    - matchLabels:
        app: {client}
    toPorts:
    - ports:
      - port: "80"
        protocol: TCP
"""


class DemoTest(RootTestCase):
    def setUp(self):
        super().setUp()
        self.client = self.workload("client", 1)
        self.other = self.workload("other", 2)
        self.servers = [self.workload("server1", 11), self.workload("server2", 12)]
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.py")
        for server in self.servers:
            self.assertEqual(
                self.python(server, program, server.device).stdout.readline(), "ready\n")

        self.bpf = self.bpffs()
        self.ctx = self.context("demo", create=True, bpffs=self.bpf)
        self.stack.callback(self.destroy)
        for workload, app in ((self.client, "client"), (self.other, "other"),
                              (self.servers[0], "web"), (self.servers[1], "web")):
            self.ctx.endpoints.add(workload.device, ipv4=workload.ipv4, ipv6=workload.ipv6,
                                   labels=[f"k8s:app={app}"], name=f"default/{workload.device}")

    def destroy(self):
        if not self.ctx.closed:
            self.ctx.destroy()

    def curl(self, workload, address, times=1, seconds=5):
        """(exit status, lines) of as many requests, each on a connection of its own."""
        host = f"[{address}]" if ":" in address else address
        done = run(*workload.command(
            "curl", "--silent", "--globoff", "--noproxy", "*", "--max-time", str(seconds),
            *[f"http://{host}/"] * times), check=False)
        return done.returncode, done.stdout.splitlines()

    def test_allowed_and_denied(self):
        self.assertEqual(self.ctx.policy.load(POLICY.format(client="client")), 1)
        seen = []
        self.ctx.subscribe(seen.append, types=["drop", "policy_verdict"])
        for family in ("ipv4", "ipv6"):
            server = getattr(self.servers[0], family)
            with self.subTest(family), self.ctx.events(types="drop") as events:
                source = getattr(self.client, family)
                self.assertEqual(self.curl(self.client, server), (0, [f"server1 {source}"]))
                # 28: nothing came back.
                self.assertEqual(self.curl(self.other, server, seconds=1), (28, []))

                drop = events.get(timeout=PATIENCE)
                self.assertIsNotNone(drop)
                self.assertEqual(
                    (drop.type, drop.verdict, drop.drop_reason, str(drop.source),
                     str(drop.destination), drop.destination_port, drop.protocol),
                    (cl.EventType.DROP, cl.Verdict.DROPPED, POLICY_DENIED,
                     getattr(self.other, family), server, 80, cl.Protocol.TCP))
                self.assertEqual(self.ctx.endpoints[drop.source_endpoint].device, "other")
                self.assertEqual(self.ctx.identities[drop.source_identity].labels,
                                 ("k8s:app=other",))
                self.assertIn("default/other", str(drop))
                self.assertIn("DROPPED", str(drop))
                self.assertEqual(drop.json()["flow"]["drop_reason_desc"], "POLICY_DENIED")

        # The same by the callback, and who let the allowed ones in.
        self.ctx.dispatch()
        drops = [e for e in seen if e.drop_reason == POLICY_DENIED]
        self.assertEqual({e.family for e in drops}, {4, 6})
        self.assertEqual({e.source_endpoint for e in drops},
                         {self.ctx.endpoints.find("other").id})
        allowed = [e for e in seen if e.type == cl.EventType.POLICY_VERDICT
                   and e.verdict == cl.Verdict.FORWARDED and e.ingress_rule]
        self.assertEqual({e.family for e in allowed}, {4, 6})
        rule = allowed[0].rule()
        self.assertEqual((rule.policy, rule.direction, rule.action, rule.index),
                         ("web", cl.Direction.INGRESS, cl.Action.ALLOW, 0))

    def test_service(self):
        for address, family in ((SERVICE4, "ipv4"), (SERVICE6, "ipv6")):
            self.ctx.services.update(address, 80, name="default/web", backends=[
                (getattr(server, family), 80) for server in self.servers])
        for address, family in ((SERVICE4, "ipv4"), (SERVICE6, "ipv6")):
            with self.subTest(family), self.ctx.events(types="trace") as events:
                status, lines = self.curl(self.client, address, 40, seconds=30)
                self.assertEqual(status, 0, lines)
                count = collections.Counter(line.split()[0] for line in lines)
                # One of 2^39 runs fails without a reason.
                self.assertEqual(set(count), {"server1", "server2"})
                self.assertEqual(sum(count.values()), 40)
                self.assertEqual({line.split()[1] for line in lines},
                                 {getattr(self.client, family)})
                translated = wait_for(
                    lambda: next((e for e in iter(lambda: events.get(0), None)
                                  if e.service_port), None), "an event with the service")
                self.assertEqual((str(translated.service_address), translated.service_port),
                                 (address, 80))

        # A change of back ends is in force at once.
        service = self.ctx.services.find(SERVICE4, 80)
        self.ctx.services.update(SERVICE4, 80, algorithm="maglev",
                                 backends=[(self.servers[1].ipv4, 80)])
        self.assertEqual(service.refresh().algorithm, cl.Algorithm.MAGLEV)
        status, lines = self.curl(self.client, SERVICE4, 10, seconds=30)
        self.assertEqual(set(lines), {f"server2 {self.client.ipv4}"})

    def test_policy_cuts_a_transfer(self):
        allow, deny = POLICY.format(client="client"), POLICY.format(client="nobody")
        self.ctx.policy.load(allow)
        for family in ("ipv4", "ipv6"):
            with self.subTest(family), self.ctx.events(types="drop") as events:
                transfer = self.stream(getattr(self.servers[0], family))
                self.assertTrue(receive(transfer))

                self.ctx.policy.load(deny)
                # Each retransmission is dropped. What had come before the change is
                # in the socket by the time of the first drop; nothing comes after it.
                self.await_drop(events, family)
                drain(transfer)
                self.await_drop(events, family)
                self.await_drop(events, family)
                self.assertEqual(drain(transfer), 0)

                self.ctx.policy.load(allow)
                self.assertTrue(receive(transfer))
                transfer.close()

    def stream(self, address):
        """A connection of the client on which bytes come without end."""
        with self.client.entered():
            connection = socket.create_connection((address, 80), timeout=PATIENCE)
        self.stack.callback(connection.close)
        connection.sendall(b"GET /stream HTTP/1.0\r\n\r\n")
        return connection

    def await_drop(self, events, family):
        def of_the_transfer():
            event = events.get(timeout=PATIENCE)
            self.assertIsNotNone(event, "nothing was dropped")
            client = getattr(self.client, family)
            return (event.drop_reason == POLICY_DENIED
                    and client in (str(event.source), str(event.destination)))

        # Only what is dropped from now on.
        while events.get(0):
            pass
        wait_for(of_the_transfer, "a drop of the transfer")

    def test_objects_instead_of_documents(self):
        web = cl.Part("app=web", [cl.Rule.ingress([cl.Peer.of_endpoints("app=client")],
                                                  [cl.Port(80)])])
        self.ctx.policy.put("web", web)
        self.assertEqual(self.curl(self.client, self.servers[0].ipv4)[0], 0)
        self.assertEqual(self.curl(self.other, self.servers[0].ipv4, seconds=1)[0], 28)
        text = self.ctx.policy["web"].text

        # The same as a document, in one step with a policy that lets the other one in.
        with self.ctx.transaction() as txn:
            txn.delete("web")
            txn.load(text, name="web")
            txn.put("more", cl.Part("app=web", [cl.Rule.ingress(
                [cl.Peer.of_endpoints("app=other")])]))
        self.assertEqual([p.name for p in self.ctx.policy], ["more", "web"])
        self.assertEqual(self.curl(self.client, self.servers[0].ipv4)[0], 0)
        self.assertEqual(self.curl(self.other, self.servers[0].ipv4)[0], 0)

        path = pathlib.Path(self.folder(), "deny.json")
        path.write_text('{"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",'
                        ' "metadata": {"name": "deny"}, "spec": {"endpointSelector": {},'
                        ' "ingressDeny": [{"fromEndpoints": [{}]}]}}', encoding="utf-8")
        self.ctx.policy.load(path)
        self.assertEqual(self.ctx.policy["deny"].filename, str(path))
        self.assertEqual(self.curl(self.client, self.servers[0].ipv4, seconds=1)[0], 28)
        self.ctx.policy["deny"].delete()
        self.assertEqual(self.curl(self.client, self.servers[0].ipv4)[0], 0)

    def test_goes_on_without_the_process(self):
        self.ctx.policy.load(POLICY.format(client="client"))
        before = self.ctx.status()
        self.ctx.close()
        self.assertEqual(self.curl(self.client, self.servers[0].ipv4)[0], 0)
        self.assertEqual(self.curl(self.other, self.servers[0].ipv4, seconds=1)[0], 28)
        self.ctx = self.context("demo", bpffs=self.bpf)
        after = self.ctx.status()
        self.assertEqual((after.revision, after.endpoints, after.policies),
                         (before.revision, before.endpoints, before.policies))
        self.assertGreater(after.forwarded, before.forwarded)
        self.assertGreater(after.dropped, before.dropped)
        self.ctx.destroy()
        self.ctx.close()
        self.assertEqual(cl.instances(self.bpf), [])


def receive(connection, size=200_000):
    """Whether so many bytes come."""
    connection.settimeout(PATIENCE)
    while size > 0:
        data = connection.recv(65536)
        if not data:
            return False
        size -= len(data)
    return True


def drain(connection):
    """How many bytes are there already."""
    connection.setblocking(False)
    size = 0
    try:
        while True:
            size += len(connection.recv(65536)) or 1 << 30
    except BlockingIOError:
        return size


if __name__ == "__main__":
    unittest.main()
