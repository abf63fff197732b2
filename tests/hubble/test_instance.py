# SPDX-License-Identifier: BSD-2-Clause
"""Real flows. test_instance.sh has made the world: endpoints shop/red-1 (1) and shop/blue-1 (2),
which serves, a workload green (3) that is none yet, and a policy "web" that lets red to blue.
"""
import os
import signal
import subprocess
import unittest

import client
from client import Client, Server, flow, wait_for
from test_server import Following

CLITE = os.path.join(client.BUILD, "tools", "clite", "clite")
FILTER = flow.FlowFilter
BLUE = "10.77.0.2"


def run(*command, check=True, **options):
    return subprocess.run(command, check=check, timeout=client.PATIENCE, capture_output=True, **options)


def clite(*arguments, text=""):
    run(CLITE, *arguments, input=text.encode())


def get(name, address=BLUE):
    """Fetch a page from a workload; was there one?"""
    return run("nsenter", f"--net=/run/netns/{name}", "curl", "-sf", "-m", "0.5", f"http://{address}/",
               check=False).returncode == 0


def add_green():
    clite("endpoint", "add", "green", "--ipv4", "10.77.0.3", "-l", "k8s:app=green", "--id", "3",
          "--name", "other/green-1")


class Instance(unittest.TestCase):
    def start(self, **options):
        server = Server(**{"instance": "default", "node": "here", **options})
        self.addCleanup(server.kill)
        c = Client(server.listen("127.0.0.1:0"))
        self.addCleanup(c.close)
        return server, c

    def green(self):
        add_green()
        self.addCleanup(clite, "endpoint", "delete", "3")

    def test_forwarded(self):
        server, c = self.start()
        everything = Following(c.get_flows(follow=True))
        wait_for(lambda: server.status()["streams"] == 1, "the stream")
        self.assertTrue(get("red"))
        flows = [r.flow for r in everything.wait(4)]
        to_blue = [f for f in flows if f.destination.pod_name == "blue-1"]
        self.assertTrue(to_blue)
        for f in to_blue:
            self.assertEqual((f.source.namespace, f.source.pod_name, f.destination.namespace),
                             ("shop", "red-1", "shop"))
            self.assertIn("k8s:app=red", f.source.labels)
            self.assertEqual((f.IP.source, f.IP.destination, f.l4.TCP.destination_port),
                             ("10.77.0.1", BLUE, 80))
            self.assertEqual((f.verdict, f.node_name, f.source.ID, f.destination.ID), (1, "here", 1, 2))
        self.assertTrue([f for f in to_blue if [p.name for p in f.ingress_allowed_by] == ["web"]])
        self.assertTrue([f for f in flows if f.is_reply.value and f.source.pod_name == "blue-1"])
        self.assertEqual([n.namespace for n in c.namespaces()], ["shop"])

    def test_dropped(self):
        self.green()
        server, c = self.start()
        drops = Following(c.get_flows(follow=True, whitelist=[
            FILTER(verdict=[2], event_type=[{"type": 1}])]))
        label = Following(c.get_flows(follow=True, whitelist=[FILTER(source_label=["app=green"])],
                                      blacklist=[FILTER(event_type=[{"type": 5}])]))
        wait_for(lambda: server.status()["streams"] == 2, "two streams")
        self.assertTrue(get("red"))
        self.assertFalse(get("green"))
        f = drops.wait(1)[0].flow
        self.assertEqual((f.source.pod_name, f.destination.pod_name, f.drop_reason_desc, f.event_type.type),
                         ("green-1", "blue-1", 133, 1))
        self.assertTrue(f.file.name and f.file.line)
        label.wait(1)
        for r in label.got:
            self.assertEqual(r.flow.source.namespace, "other")
            self.assertNotEqual(r.flow.event_type.type, 5)
        self.assertTrue(all(r.flow.verdict == 2 for r in drops.got))

    def test_agent_events(self):
        server, c = self.start()
        events = Following(c.get_agent_events(follow=True))
        wait_for(lambda: server.status()["streams"] == 1, "the stream")

        def got(kind):
            def find():
                return [r.agent_event for r in events.got if r.agent_event.type == kind]
            wait_for(find, f"an event {kind}")
            return find()[-1]

        add_green()
        e = got(7).endpoint_update
        self.assertEqual((e.id, e.pod_name, e.namespace), (3, "green-1", "other"))
        self.assertIn("k8s:app=green", e.labels)
        clite("policy", "import", "-", text="""
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: extra}
spec:
  endpointSelector: {matchLabels: {app: green}}
  ingress: [{}]
""")
        e = got(3).policy_update
        self.assertEqual((list(e.labels), e.rule_count), (["extra"], 1))
        clite("policy", "delete", "extra")
        self.assertEqual(list(got(4).policy_update.labels), ["extra"])
        clite("service", "update", "--frontend", "10.96.0.1:80", "--backends", f"{BLUE}:80", "--name",
              "shop/web")
        e = got(11).service_upsert
        self.assertEqual((e.name, e.namespace, e.frontend_address.ip, e.frontend_address.port,
                          [(b.ip, b.port) for b in e.backend_addresses]),
                         ("web", "shop", "10.96.0.1", 80, [(BLUE, 80)]))
        clite("service", "delete", str(e.id))
        self.assertEqual(got(12).service_delete.id, e.id)
        clite("endpoint", "delete", "3")
        self.assertEqual(got(8).endpoint_update.id, 3)
        self.assertEqual([r.agent_event.type for r in c.get_agent_events(number=6)], [7, 3, 4, 11, 12, 8])
        self.assertEqual(next(c.get_agent_events(first=True)).agent_event.type, 2)

    def test_lost(self):
        """What the kernel had no room for is counted, and told once."""
        server, c = self.start(aggregation=1, ring=4096)
        everything = Following(c.get_flows(follow=True))
        wait_for(lambda: server.status()["streams"] == 1, "the stream")
        os.kill(server.process.pid, signal.SIGSTOP)
        for _ in range(20):
            self.assertTrue(get("red"))
        os.kill(server.process.pid, signal.SIGCONT)

        def lost():
            return [r.lost_events for r in everything.got if r.HasField("lost_events")]

        # a connection that ends late may lose some more, which are told later
        wait_for(lambda: server.status()["lost"] == sum(w.num_events_lost for w in lost()) > 0,
                 "word of all lost events")
        self.assertLess(len(lost()), 4)
        for word in lost():
            self.assertEqual(word.source, 1)
            self.assertGreater(word.num_events_lost, 0)
            self.assertGreaterEqual(client.nanoseconds(word.last), client.nanoseconds(word.first))

    def test_readme(self):
        """The program in README.md does what it says there."""
        with subprocess.Popen([os.environ["SERVE"], "default", "unix:///run/hubble.sock"]) as program:
            self.addCleanup(program.kill)
            wait_for(lambda: os.path.exists("/run/hubble.sock"), "the socket")
            c = Client("unix:///run/hubble.sock")
            self.addCleanup(c.close)
            flows = Following(c.get_flows(follow=True, whitelist=[FILTER(destination_pod=["shop/blue"])]))
            self.assertEqual(c.check("hubble.server.Observer").status, 1)
            wait_for(lambda: get("red") and flows.got, "a flow")
            self.assertEqual(flows.got[0].flow.source.pod_name, "red-1")
            program.terminate()
        self.assertEqual(run(os.environ["SERVE"], check=False).stderr, b"usage: INSTANCE ADDRESS\n")

    def test_end(self):
        """When the server ends the instance goes on, and its place is free again."""
        for _ in range(12):  # there are 8 places
            server, c = self.start()
            self.assertEqual(c.check().status, 1)
            self.assertEqual(server.close(), 0)
        self.assertTrue(get("red"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
