# SPDX-License-Identifier: BSD-2-Clause
"""The oracle against tables made by hand, and whether a wrong one would be noticed."""
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import generate  # noqa: E402
import oracle  # noqa: E402
import run  # noqa: E402
import shrink  # noqa: E402
from oracle import ALLOW, DENIED, DENIED_BY_RULE  # noqa: E402

ENDPOINTS = [
    {"name": "web", "labels": ["k8s:app=web", "k8s:env=prod"], "ipv4": "10.0.0.1",
     "ipv6": "fd00::1"},
    {"name": "client", "labels": ["k8s:app=client", "k8s:env=prod"], "ipv4": "10.0.0.2",
     "ipv6": "fd00::2"},
    {"name": "other", "labels": ["container:app=client"], "ipv4": "10.0.0.3", "ipv6": "fd00::3"},
    {"name": "new", "labels": [], "ipv4": "10.0.0.4", "ipv6": "fd00::4"},
]
AT = {e["name"]: e["ipv4"] for e in ENDPOINTS}
AT.update(host="192.0.2.1", world="203.0.113.7", near="198.51.100.7", node="198.51.100.9",
          world6="2001:db8::7", web6="fd00::1", client6="fd00::2")


def policy(spec, name="p", **metadata):
    return {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
            "metadata": {"name": name, **metadata},
            "spec": {"endpointSelector": {"matchLabels": {"app": "web"}}, **spec}}


class VerdictTest(unittest.TestCase):
    def verdict(self, documents, source, destination="web", port=80, protocol="TCP", kind=8):
        world = {"endpoints": ENDPOINTS, "host": ["192.0.2.1"], "documents": documents,
                 "remotes": {AT["node"]: {"identity": "remote-node"}}}
        packet = {"source": AT[source], "destination": AT[destination], "protocol": protocol}
        packet.update({"type": kind} if protocol.startswith("ICMP") else {"port": port})
        return oracle.verdict(world, packet)

    def table(self, spec, rows):
        documents = spec if isinstance(spec, list) else [policy(spec)]
        for row in rows:
            *arguments, expected = row
            with self.subTest(row):
                options = arguments.pop() if isinstance(arguments[-1], dict) else {}
                self.assertEqual(self.verdict(documents, *arguments, **options), expected)

    def test_nothing_is_enforced(self):
        self.table([], [("client", ALLOW), ("world", ALLOW), ("host", ALLOW),
                        ("web", "client", ALLOW), ("new", DENIED), ("client", "new", DENIED)])

    def test_peers(self):
        self.table({"ingress": [{"fromEndpoints": [{"matchLabels": {"app": "client"}}]}]},
                   [("client", ALLOW), ("other", ALLOW), ("host", DENIED), ("world", DENIED),
                    ("web", "client", ALLOW), ("client6", "web6", ALLOW)])
        self.table({"ingress": [{"fromEndpoints": [{"matchLabels": {"k8s:app": "client"}}]}]},
                   [("client", ALLOW), ("other", DENIED)])
        self.table({"ingress": [{"fromEndpoints": [{}]}]},
                   [("client", ALLOW), ("other", ALLOW), ("host", DENIED), ("world", DENIED)])
        self.table({"ingress": [{"fromEndpoints": []}]}, [("client", DENIED), ("world", DENIED)])

    def test_expressions(self):
        def peers(operator, *values):
            e = {"key": "env", "operator": operator}
            return {"ingress": [{"fromEndpoints": [{"matchExpressions": [
                {**e, "values": list(values)} if values else e]}]}]}

        self.table(peers("In", "prod", "test"), [("client", ALLOW), ("other", DENIED)])
        self.table(peers("NotIn", "prod"), [("client", DENIED), ("other", ALLOW),
                                            ("world", DENIED)])
        self.table(peers("Exists"), [("client", ALLOW), ("other", DENIED), ("host", DENIED)])
        self.table(peers("DoesNotExist"), [("client", DENIED), ("other", ALLOW),
                                           ("host", DENIED)])

    def test_deny_wins(self):
        self.table({"ingress": [{"fromEntities": ["all"]}],
                    "ingressDeny": [{"fromEndpoints": [{"matchLabels": {"app": "client"}}],
                                     "toPorts": [{"ports": [{"port": "80"}]}]}]},
                   [("client", DENIED_BY_RULE), ("client", {"port": 81}, ALLOW),
                    ("world", ALLOW)])

    def test_deny_of_another_document(self):
        self.table([policy({"ingress": [{"fromEntities": ["all"]}]}, "allow"),
                    policy({"ingressDeny": [{"fromEntities": ["world"]}]}, "deny")],
                   [("world", DENIED_BY_RULE), ("host", ALLOW), ("client", ALLOW)])

    def test_default_deny_switched_off(self):
        off = {"enableDefaultDeny": {"ingress": False}}
        rule = {"ingress": [{"fromEntities": ["host"]}]}
        self.table({**rule, **off}, [("host", ALLOW), ("world", ALLOW)])
        self.table([policy({**rule, **off}, "a"), policy(rule, "b")],
                   [("host", ALLOW), ("world", DENIED)])
        self.table({"ingressDeny": [{"fromEntities": ["world"]}], **off},
                   [("host", ALLOW), ("world", DENIED_BY_RULE)])

    def test_both_ends(self):
        out = {"endpointSelector": {"matchLabels": {"app": "client"}},
               "egress": [{"toEndpoints": [{"matchLabels": {"app": "web"}}],
                           "toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}]}]}]}
        self.table([policy(out, "out"), policy({"ingress": [{"fromEntities": ["host"]}]}, "in")],
                   [("client", DENIED), ("host", ALLOW)])
        self.table([policy(out)], [("client", ALLOW), ("client", {"port": 81}, DENIED),
                                   ("client", {"protocol": "UDP"}, DENIED),
                                   ("client", "host", DENIED)])

    def test_cidr(self):
        self.table({"ingress": [{"fromCIDRSet": [{"cidr": "203.0.113.0/24",
                                                  "except": ["203.0.113.0/29"]}]}]},
                   [("world", DENIED), ("near", DENIED)])
        self.table({"ingress": [{"fromCIDR": ["203.0.113.0/29", "198.51.100.0/24"]}]},
                   [("world", ALLOW), ("near", ALLOW), ("node", DENIED), ("client", DENIED)])
        self.table({"ingress": [{"fromCIDR": ["0.0.0.0/0"]}]},
                   [("world", ALLOW), ("world6", "web6", DENIED), ("host", DENIED),
                    ("client", DENIED)])

    def test_entities(self):
        for entity, allowed in (("all", {"client", "host", "world", "node"}),
                                ("world", {"world"}), ("host", {"host"}),
                                ("cluster", {"client", "host", "node"}),
                                ("remote-node", {"node"}), ("none", set())):
            self.table({"ingress": [{"fromEntities": [entity]}]},
                       [(p, ALLOW if p in allowed else DENIED)
                        for p in ("client", "host", "world", "node")])
        self.table({"ingress": [{"fromEntities": ["world-ipv6"]}]},
                   [("world6", "web6", ALLOW), ("world", DENIED)])

    def test_ports(self):
        def ports(*entries):
            return {"ingress": [{"toPorts": [{"ports": list(entries)}]}]}

        self.table(ports({"port": "8000", "endPort": 8999, "protocol": "UDP"}),
                   [("world", {"port": p, "protocol": q}, ALLOW if (p, q) in
                     ((8000, "UDP"), (8999, "UDP")) else DENIED)
                    for p in (7999, 8000, 8999, 9000) for q in ("TCP", "UDP", "SCTP")])
        self.table(ports({"port": "80"}),
                   [("world", {"protocol": q}, ALLOW) for q in ("TCP", "UDP", "SCTP")]
                   + [("world", {"protocol": "ICMP"}, DENIED)])

    def test_icmp(self):
        self.table({"ingress": [{"icmps": [{"fields": [{"type": 8},
                                                       {"type": "EchoRequest",
                                                        "family": "IPv6"}]}]}]},
                   [("world", {"protocol": "ICMP"}, ALLOW),
                    ("world", {"protocol": "ICMP", "kind": 13}, DENIED),
                    ("world6", "web6", {"protocol": "ICMPv6", "kind": 128}, ALLOW),
                    ("world", DENIED)])

    def test_namespace(self):
        documents = [policy({"ingress": [{"fromEntities": ["host"]}]}, namespace="default")]
        self.table(documents, [("world", ALLOW)])  # it is about endpoints of the namespace only


class GeneratorTest(unittest.TestCase):
    def test_same_seed_same_case(self):
        self.assertEqual(generate.case("x:1", 3, 20), generate.case("x:1", 3, 20))
        self.assertNotEqual(generate.case("x:1", 3, 20), generate.case("x:2", 3, 20))

    def test_everything_is_drawn(self):
        """All of the language, and packets of each verdict."""
        text, verdicts = "", set()
        for i in range(60):
            case = generate.case(f"all:{i}", 2, 40)
            text += repr(case)
            for world in case["phases"]:
                verdicts |= {oracle.verdict(world, p) for p in world["probes"]}
        self.assertEqual(verdicts, {ALLOW, DENIED, DENIED_BY_RULE})
        for word in ("ingress", "egress", "ingressDeny", "egressDeny", "fromEndpoints",
                     "toEndpoints", "matchLabels", "matchExpressions", "NotIn", "Exists",
                     "DoesNotExist", "fromCIDR", "toCIDR", "fromCIDRSet", "toCIDRSet", "except",
                     "fromEntities", "toEntities", "toPorts", "endPort", "SCTP", "icmps",
                     "enableDefaultDeny", "from_netdev", "to_endpoint", "from_endpoint"):
            self.assertIn(f"'{word}'", text)


class ShrinkTest(unittest.TestCase):
    def test_what_is_not_needed_goes(self):
        def fails(case):
            probes = [p for world in case["phases"] for p in world["probes"]]
            if any(p["port"] == 666 for p in probes):
                return {"kind": "verdict", "expected": 0, "got": 133}
            return None

        case = {"phases": [{"host": [], "endpoints": [], "documents": [policy({}), policy({})],
                            "probes": [{"port": n} for n in (1, 666, 2)]} for _ in range(3)]}
        small = shrink.Shrinker(fails, fails(case), 20).run(case, fails(case))
        self.assertTrue(fails(small))
        self.assertEqual([world["probes"] for world in small["phases"]], [[{"port": 666}]])
        self.assertEqual(small["phases"][0]["documents"], [])


@unittest.skipUnless(os.geteuid() == 0, "needs root: runs the programs")
class NoticeTest(unittest.TestCase):
    """With an oracle that is wrong the comparison fails: it can."""

    def first_failure(self):
        from worker import Worker

        worker = Worker()
        try:
            for i in range(20):
                worker.post({"seed": f"wrong:{i}", "phases": 2, "probes": 40})
                failure = worker.result()["failure"]
                if failure:
                    return failure
        finally:
            worker.stop()
        return None

    def wrong(self, name, function):
        right = getattr(oracle, name)
        setattr(oracle, name, function(right))
        self.addCleanup(setattr, oracle, name, right)

    def setUp(self):
        os.environ["CILIUM_LITE_LIBRARY"] = run.find_library(None)
        sys.path.insert(1, run.BINDINGS)

    def test_wrong_about_ports(self):
        self.wrong("port_matches", lambda right: lambda port, packet: right(
            {k: v for k, v in port.items() if k != "endPort"}, packet))
        self.assertIn(self.first_failure()["kind"], ("verdict", "rule"))

    def test_wrong_about_exceptions(self):
        self.wrong("cidr_selects", lambda right: lambda cidr, _, peer: right(cidr, [], peer))
        self.assertIn(self.first_failure()["kind"], ("verdict", "rule"))

    def test_wrong_about_default_deny(self):
        self.wrong("wants_default_deny", lambda right: lambda rule, direction:
                   bool(rule.get(direction)))
        self.assertIn(self.first_failure()["kind"], ("verdict", "rule"))


if __name__ == "__main__":
    unittest.main()
