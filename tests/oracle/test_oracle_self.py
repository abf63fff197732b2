# SPDX-License-Identifier: BSD-2-Clause
"""The oracle against tables made by hand, and whether a wrong one would be noticed."""
import argparse
import json
import os
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import generate  # noqa: E402
import oracle  # noqa: E402
import run  # noqa: E402
import shrink  # noqa: E402
import texts  # noqa: E402
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


def pod(name, namespace, address, *labels, team=None, ports=()):
    more = [f"k8s:io.cilium.k8s.namespace.labels.team={team}"] if team else []
    return {"name": name, "ipv4": address, "ports": list(ports),
            "labels": [f"k8s:io.kubernetes.pod.namespace={namespace}",
                       *(f"k8s:{label}" for label in labels), *more]}


PODS = [
    pod("web", "red", "10.0.0.1", "app=web", team="x", ports=["http=8080", "dns=53/udp"]),
    pod("web2", "red", "10.0.0.2", "app=web", team="x", ports=["http=8081"]),
    pod("client", "red", "10.0.0.3", "app=client", team="x", ports=["HTTP=80/tcp"]),
    pod("far", "blue", "10.0.0.4", "app=client", team="y"),
    pod("bare", "default", "10.0.0.5", "app=client"),
    {"name": "vm", "labels": ["container:app=client"], "ipv4": "10.0.0.6"},
]
POD_AT = {p["name"]: p["ipv4"] for p in PODS}
POD_AT.update(host="192.0.2.1", world="203.0.113.7", near="203.0.113.200", node="198.51.100.9")
WEB = {"matchLabels": {"app": "web"}}
EVERYBODY = {"client", "far", "bare", "vm", "host", "world", "near", "node"}


def network_policy(spec, namespace="red", name="np"):
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta,
            "spec": spec}


class PodTest(unittest.TestCase):
    """Kubernetes' documents, named ports, services, requirements, modes."""

    def judge(self, documents, source, destination, port=80, protocol="TCP", **world):
        world = {"endpoints": PODS, "host": ["192.0.2.1"], "documents": documents,
                 "remotes": {POD_AT["node"]: {"identity": "remote-node"}}, **world}
        packet = {"source": POD_AT[source], "destination": POD_AT[destination],
                  "protocol": protocol, "port": port}
        return oracle.judge(world, packet)

    def verdict(self, *arguments, **options):
        return self.judge(*arguments, **options)[0]

    def allowed_to_web(self, documents, allowed, **options):
        documents = documents if isinstance(documents, list) else [documents]
        got = {p for p in EVERYBODY if self.verdict(documents, p, "web", **options) == ALLOW}
        self.assertEqual(got, allowed)

    def allowed_from_web(self, documents, allowed, **options):
        documents = documents if isinstance(documents, list) else [documents]
        got = {p for p in EVERYBODY if self.verdict(documents, "web", p, **options) == ALLOW}
        self.assertEqual(got, allowed)

    # ---- Kubernetes: which directions --------------------------------------------

    def test_policy_types(self):
        every, none = EVERYBODY, set()
        for spec, into, out_of in (
                ({"podSelector": WEB}, none, every),
                ({"podSelector": WEB, "ingress": []}, none, every),
                ({"podSelector": WEB, "egress": []}, none, every),
                ({"podSelector": WEB, "policyTypes": []}, none, every),
                ({"podSelector": WEB, "policyTypes": ["Egress"]}, every, none),
                ({"podSelector": WEB, "policyTypes": ["Ingress", "Egress"]}, none, none),
                ({"podSelector": WEB, "ingress": [{}]}, every, every),
                ({"podSelector": WEB, "egress": [{}]}, none, every),
                ({"podSelector": WEB, "egress": [{"to": [{"podSelector": {}}]}]}, none,
                 {"client"}),
                ({"podSelector": WEB, "ingress": [{"from": [{"podSelector": {}}]}],
                  "policyTypes": ["Egress"]}, every, none)):
            with self.subTest(spec):
                self.allowed_to_web(network_policy(spec), into)
                self.allowed_from_web(network_policy(spec), out_of)

    def test_pods_of_a_policy(self):
        def into(document, destination):
            return self.verdict([document], "world", destination)

        self.assertEqual(into(network_policy({}), "client"), DENIED)
        self.assertEqual(into(network_policy({}), "far"), ALLOW)
        self.assertEqual(into(network_policy({}, None), "bare"), DENIED)  # in "default"
        self.assertEqual(into(network_policy({}, None), "vm"), ALLOW)
        one = network_policy({"podSelector": {"matchLabels": {"app": "web"}}})
        self.assertEqual(into(one, "web"), DENIED)
        self.assertEqual(into(one, "client"), ALLOW)
        other = network_policy({"podSelector": {"matchExpressions": [
            {"key": "app", "operator": "NotIn", "values": ["web"]}]}})
        self.assertEqual(into(other, "client"), DENIED)
        self.assertEqual(into(other, "web"), ALLOW)

    def test_pod_peers(self):
        for entry, allowed in (
                ({"podSelector": {}}, {"client"}),
                ({"podSelector": {"matchLabels": {"app": "web"}}}, set()),
                ({"namespaceSelector": {}}, {"client", "far", "bare"}),
                ({"namespaceSelector": {"matchExpressions": []}}, {"client", "far", "bare"}),
                ({"namespaceSelector": {"matchLabels": {"team": "y"}}}, {"far"}),
                ({"namespaceSelector": {"matchExpressions": [
                    {"key": "team", "operator": "NotIn", "values": ["x"]}]}}, {"far", "bare"}),
                ({"namespaceSelector": {"matchExpressions": [
                    {"key": "team", "operator": "DoesNotExist"}]}}, {"bare"}),
                ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "client"}}},
                 {"client", "far", "bare"}),
                ({"namespaceSelector": {"matchLabels": {"team": "y"}},
                  "podSelector": {"matchLabels": {"app": "web"}}}, set()),
                ({"ipBlock": {"cidr": "203.0.113.0/24"}}, {"world", "near"}),
                ({"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.128/25"]}},
                 {"world"}),
                ({"ipBlock": {"cidr": "0.0.0.0/0"}}, {"world", "near"})):
            with self.subTest(entry):
                document = network_policy({"podSelector": WEB, "ingress": [{"from": [entry]}]})
                self.allowed_to_web(document, allowed)
                document = network_policy({"podSelector": WEB, "egress": [{"to": [entry]}]})
                self.allowed_from_web(document, allowed)
        both = network_policy({"podSelector": WEB, "ingress": [
            {"from": [{"podSelector": {}}, {"ipBlock": {"cidr": "203.0.113.7/32"}}]}]})
        self.allowed_to_web(both, {"client", "world"})
        self.allowed_to_web(network_policy({"podSelector": WEB,
                                             "ingress": [{"from": []}]}), EVERYBODY)

    def test_pod_ports(self):
        def allows(ports, port, protocol="TCP"):
            document = network_policy({"ingress": [{"ports": ports}]})
            return self.verdict([document], "world", "web", port=port,
                                protocol=protocol) == ALLOW

        for ports, yes, no in (
                ([], [(1, "TCP"), (1, "UDP")], []),
                ([{}], [(1, "TCP"), (65535, "TCP")], [(1, "UDP")]),
                ([{"protocol": "UDP"}], [(7, "UDP")], [(7, "TCP"), (7, "SCTP")]),
                ([{"port": 80}], [(80, "TCP")], [(81, "TCP"), (80, "UDP")]),
                ([{"port": 80, "endPort": 82, "protocol": "SCTP"}], [(80, "SCTP"), (82, "SCTP")],
                 [(83, "SCTP"), (79, "SCTP"), (80, "TCP")]),
                ([{"port": "http"}], [(8080, "TCP")], [(80, "TCP"), (8081, "TCP"), (8080, "UDP")]),
                ([{"port": "dns"}], [], [(53, "UDP"), (53, "TCP")]),
                ([{"port": "dns", "protocol": "UDP"}, {"port": 1}], [(53, "UDP"), (1, "TCP")],
                 [(53, "TCP")]),
                ([{"port": "nobody"}], [], [(80, "TCP")])):
            for port, protocol in yes:
                self.assertTrue(allows(ports, port, protocol), (ports, port, protocol))
            for port, protocol in no:
                self.assertFalse(allows(ports, port, protocol), (ports, port, protocol))
        everything = network_policy({"ingress": [{}]})
        world = {"endpoints": PODS, "host": [], "documents": [everything]}
        ping = {"source": POD_AT["world"], "destination": POD_AT["web"], "protocol": "ICMP",
                "type": 8}
        self.assertEqual(oracle.verdict(world, ping), ALLOW)
        everything["spec"]["ingress"] = [{"ports": [{}]}]
        self.assertEqual(oracle.verdict(world, ping), DENIED)

    def test_each_peer_is_a_rule(self):
        document = network_policy({"ingress": [
            {"from": [{"podSelector": {}}, {"ipBlock": {"cidr": "203.0.113.0/24"}}]},
            {"ports": [{"port": 80}]}]})
        _, _, ingress = self.judge([document], "world", "web")
        self.assertEqual({(m.policy, m.index) for m in ingress.allows},
                         {("red/np", 1), ("red/np", 2)})
        self.assertEqual({m.place for m in ingress.allows},
                         {("spec", "ingress", 0, "from", 1), ("spec", "ingress", 1)})

    # ---- names of ports --------------------------------------------------------------

    def test_names_on_ingress_are_the_subjects(self):
        document = policy({"ingress": [{"toPorts": [{"ports": [{"port": "HTTP"}]}]}]})
        self.allowed_to_web(document, EVERYBODY, port=8080)
        self.allowed_to_web(document, set(), port=80)
        self.allowed_to_web(document, set(), port=8081)

    def test_names_on_egress_are_the_peers(self):
        document = policy({"egress": [{"toPorts": [{"ports": [{"port": "http",
                                                               "protocol": "TCP"}]}]}]})
        self.allowed_from_web(document, {"client"}, port=80)
        self.allowed_from_web(document, set(), port=8080)
        # two endpoints of the same labels are one peer
        for port in (8080, 8081):
            self.assertEqual(self.verdict([document], "web", "web2", port=port), ALLOW)
        self.assertEqual(self.verdict([document], "web", "web2", port=8082), DENIED)
        document["spec"]["egress"][0]["toPorts"][0]["ports"][0]["protocol"] = "UDP"
        self.allowed_from_web(document, set(), port=80)

    # ---- requirements ------------------------------------------------------------------

    def test_requirements(self):
        requires = policy({"ingress": [{"fromRequires": [{"matchLabels": {"team": "x"}}]}]}, "r")
        requires["spec"]["ingress"][0]["fromRequires"][0]["matchLabels"] = {
            "k8s:io.cilium.k8s.namespace.labels.team": "x"}
        peers = policy({"ingress": [{"fromEndpoints": [{"matchLabels": {"app": "client"}}]}]}, "p")
        self.allowed_to_web([peers], {"client", "far", "bare", "vm"})
        self.allowed_to_web([requires], set())
        self.allowed_to_web([requires, peers], {"client"})
        # about endpoints that are named, and not about what is denied
        self.allowed_to_web([requires, policy({"ingress": [{"fromEntities": ["world"]}]}, "q")],
                            {"world", "near"})
        deny = policy({"ingress": [{"fromEntities": ["all"]}],
                       "ingressDeny": [{"fromEndpoints": [{"matchLabels": {"app": "client"}}]}]})
        self.allowed_to_web([requires, deny], {"host", "world", "near", "node"})
        # with ports it is still not a rule that allows
        requires["spec"]["ingress"][0]["toPorts"] = [{"ports": [{"port": "80"}]}]
        self.allowed_to_web([requires], set())

    # ---- services ------------------------------------------------------------------------

    def services(self, entry, backends, allowed, labels=("app=db", "k8s:tier=back"), **options):
        document = policy({"egress": [{"toServices": [entry]}]})
        self.allowed_from_web(document, allowed, services=[
            {"name": "red/db", "labels": list(labels), "address": "10.96.0.1", "port": 80,
             "protocol": "TCP", "backends": [[POD_AT[b], 80] for b in backends]}], **options)

    def test_services(self):
        def by_name(name, **where):
            return {"k8sService": {"serviceName": name, **where}}

        def by_selector(selector, **where):
            return {"k8sServiceSelector": {"selector": selector, **where}}

        self.services(by_name("db"), ["client", "world"], {"client", "world"})
        self.services(by_name("db"), ["client"], {"client"}, port=9)
        self.services(by_name("db", namespace="red"), ["client"], {"client"})
        self.services(by_name("db", namespace="blue"), ["client"], set())
        self.services(by_name("x"), ["client"], set())
        # prefixes do not mean what is in the cluster
        self.services(by_name("db"), ["node", "host"], set())
        for selector in ({}, {"matchLabels": {"app": "db"}}, {"matchLabels": {"k8s:tier": "back"}},
                         {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}):
            self.services(by_selector(selector), ["client"], {"client"})
        self.services(by_selector({"matchLabels": {"k8s:app": "db"}}), ["client"], set())
        self.services(by_selector({}, namespace="blue"), ["client"], set())

    def test_back_ends_of_the_same_labels(self):
        document = policy({"egress": [{"toServices": [{"k8sService": {"serviceName": "s"}}]}]})
        twin = {**PODS[5], "name": "twin", "ipv4": "10.0.0.7"}
        world = {"endpoints": PODS + [twin], "host": [], "documents": [document],
                 "services": [{"name": "s", "labels": [], "backends": [["10.0.0.7", 1]]}]}
        packet = {"source": "10.0.0.1", "destination": "10.0.0.6", "protocol": "TCP", "port": 80}
        self.assertEqual(oracle.verdict(world, packet), ALLOW)
        packet["destination"] = "10.0.0.3"
        self.assertEqual(oracle.verdict(world, packet), DENIED)

    # ---- modes ----------------------------------------------------------------------------

    def test_enforcement(self):
        document = policy({"ingressDeny": [{"fromEntities": ["world"]}]})
        for mode, documents, source, destination, expected in (
                ("always", [], "client", "far", DENIED),
                ("always", [document], "world", "web", DENIED_BY_RULE),
                ("always", [policy({"ingress": [{"fromEntities": ["all"]}]})], "world", "web",
                 ALLOW),
                ("always", [policy({"ingress": [{"fromEntities": ["all"]}]})], "client", "web",
                 DENIED),  # as the client may send nothing
                ("never", [document], "world", "web", ALLOW),
                ("default", [document], "world", "web", DENIED_BY_RULE)):
            with self.subTest((mode, source, destination)):
                self.assertEqual(self.verdict(documents, source, destination,
                                              config={"enforcement": mode}), expected)

    def test_localhost(self):
        always = {"config": {"allow localhost": True}}
        document = policy({"ingress": [{"fromEntities": ["world"]}]})
        self.allowed_to_web(document, {"world", "near"})
        self.allowed_to_web(document, {"world", "near", "host"}, **always)
        document["spec"]["ingressDeny"] = [{"fromEntities": ["host"]}]
        self.assertEqual(self.verdict([document], "host", "web", **always), DENIED_BY_RULE)
        out = policy({"egress": [{"toEntities": ["world"]}]})
        self.allowed_from_web(out, {"world", "near"}, **always)

    def test_audit(self):
        deny = policy({"ingressDeny": [{"fromEntities": ["world"]}]})
        self.assertEqual(self.verdict([deny], "world", "web", audited=["web"]), ALLOW)
        self.assertEqual(self.verdict([deny], "world", "web", audited=["client"]), DENIED_BY_RULE)
        self.assertEqual(self.verdict([deny], "world", "web", config={"audit": True}), ALLOW)
        _, _, ingress = self.judge([deny], "world", "web", audited=["web"])
        self.assertEqual((ingress.verdict, ingress.audited), (DENIED_BY_RULE, True))
        # the other end has its say
        out = policy({"endpointSelector": {"matchLabels": {"app": "client"}}, "egress": [{}]}, "o")
        self.assertEqual(self.verdict([deny, out], "client", "web", audited=["web"]), DENIED)
        self.assertEqual(self.verdict([out], "client", "web", audited=["client"]), ALLOW)

    # ---- documents ------------------------------------------------------------------------

    def test_kinds_of_documents(self):
        rule = policy({"ingress": [{"fromEntities": ["host"]}]})["spec"]
        head = {"apiVersion": "cilium.io/v2", "metadata": {"name": "p"}}
        other = {"endpointSelector": {}, "ingress": [{"fromEntities": ["world"]}]}
        for document, allowed in (
                ({**head, "kind": "CiliumClusterwideNetworkPolicy", "spec": rule}, {"host"}),
                ({**head, "kind": "CiliumNetworkPolicy", "specs": [rule, other]},
                 {"host", "world", "near"}),
                ({**head, "kind": "CiliumNetworkPolicy", "spec": rule, "specs": [other]},
                 {"host", "world", "near"}),
                ({"name": "p", "rules": [rule]}, {"host"}),
                ({"name": "p", "rules": [rule, other]}, {"host", "world", "near"})):
            with self.subTest(document):
                self.allowed_to_web(document, allowed)

    def test_default_deny_of_each_direction(self):
        rule = {"ingress": [{"fromEntities": ["host"]}], "egressDeny": [{"toEntities": ["host"]}]}
        others = EVERYBODY - {"host"}
        for said, into, out_of in (({}, {"host"}, set()),
                                   ({"ingress": False}, EVERYBODY, set()),
                                   ({"egress": False}, {"host"}, others),
                                   ({"ingress": False, "egress": False}, EVERYBODY, others),
                                   ({"ingress": True, "egress": True}, {"host"}, set())):
            with self.subTest(said):
                document = policy({**rule, "enableDefaultDeny": said})
                self.allowed_to_web(document, into)
                self.allowed_from_web(document, out_of)
        only = policy({"ingress": [{"fromEntities": ["all"]}], "enableDefaultDeny": {
            "egress": True}})
        self.allowed_from_web(only, set())


class TextTest(unittest.TestCase):
    TREES = [policy({"ingress": [{}, {"fromEntities": ["all"]}]}, "a"),
             policy({"egress": [{"toCIDR": ["::/0"]}]}, "b"),
             {"name": "r", "rules": [policy({})["spec"]]}]

    def test_lines(self):
        """A place is where the line says that it is."""
        for yaml in (False, True):
            for how in texts.HOW:
                for text, _, written in texts.write(self.TREES, how, yaml):
                    lines = text.splitlines()
                    for document, known in written:
                        if "rules" in document:
                            continue
                        name = document["metadata"]["name"]
                        line = lines[known["metadata", "name"] - 1]
                        self.assertIn(name, line.split()[-1], (how, yaml))

    def test_groups(self):
        def sizes(how):
            return [len(written) for _, _, written in texts.write(self.TREES, how)]

        self.assertEqual(sizes("each"), [1, 1, 1])
        self.assertEqual(sizes("list"), [2, 1])
        self.assertEqual(sizes("array"), [2, 1])
        self.assertEqual(sizes("stream"), [2, 1])  # the rules have no name of their own
        named = [*self.TREES[:2], {"name": "r", "rules": [
            {**policy({})["spec"], "labels": [{"key": "name", "value": "r"}]}]}]
        self.assertEqual([len(w) for *_, w in texts.write(named, "stream")], [3])

    def test_json(self):
        for text, _, written in texts.write(self.TREES):
            self.assertEqual(json.loads(text), texts.content(written[0][0]))

    def test_scalars(self):
        self.assertEqual([texts.Text.scalar(v) for v in ("web", "80", "no", "k8s:app", 80, "")],
                         ["web", '"80"', '"no"', '"k8s:app"', "80", '""'])


class ProgressTest(unittest.TestCase):
    def test_goes_on(self):
        with tempfile.TemporaryDirectory() as directory:
            args = argparse.Namespace(state=os.path.join(directory, "s"), seed="x", phases=1,
                                      probes=2, world=None)
            p = run.Progress(args, ["lists"])
            p.done(1, 10)
            p.done(0, 10)
            p.done(3, 10)
            p.save()
            args.seed = None
            again = run.Progress(args, ["lists"])
            self.assertEqual((again.seed, again.next, again.beyond, again.packets, again.worlds),
                             ("x", 2, [3], 30, 3))
            args.seed = "y"
            with self.assertRaises(SystemExit):
                run.Progress(args, ["lists"])


class GeneratorTest(unittest.TestCase):
    def test_same_seed_same_case(self):
        self.assertEqual(generate.case("x:1", 3, 20), generate.case("x:1", 3, 20))
        self.assertNotEqual(generate.case("x:1", 3, 20), generate.case("x:2", 3, 20))

    def test_what_is_not_supported_is_not_drawn(self):
        words = {"clusterwide": "CiliumClusterwideNetworkPolicy", "specs": "'specs'",
                 "network policies": "'NetworkPolicy'", "rule arrays": "'rules'",
                 "named ports": "'http'", "requires": "Requires", "services": "toServices",
                 "enforcement": "'enforcement'", "localhost": "localhost", "audit": "audit",
                 "lists": "'list'", "streams": "'stream'"}
        self.assertEqual(set(words), set(generate.FEATURES))
        for feature, word in words.items():
            others = [f for f in generate.FEATURES if f != feature]
            drawn = "".join(repr(generate.case(f"no:{i}", 2, 2, others)) for i in range(30))
            drawn = drawn.replace("'audited': []", "")
            self.assertNotIn(word, drawn)
            tiny = generate.feature_case(feature)
            self.assertEqual(len(tiny["phases"]), 1)

    def test_everything_is_drawn(self):
        """All of the language, and packets of each verdict."""
        text, verdicts = "", set()
        for i in range(60):
            case = generate.case(f"all:{i}", 2, 40)
            text += repr(case)
            for world in case["phases"]:
                verdicts |= {oracle.verdict(world, p) for p in world["probes"]}
        self.assertEqual(verdicts, {ALLOW, DENIED, DENIED_BY_RULE})
        for how in texts.HOW:
            self.assertIn(f"'how': '{how}'", text)
        for word in ("ingress", "egress", "ingressDeny", "egressDeny", "fromEndpoints",
                     "toEndpoints", "matchLabels", "matchExpressions", "NotIn", "Exists",
                     "DoesNotExist", "fromCIDR", "toCIDR", "fromCIDRSet", "toCIDRSet", "except",
                     "fromEntities", "toEntities", "toPorts", "endPort", "SCTP", "icmps",
                     "enableDefaultDeny", "from_netdev", "to_endpoint", "from_endpoint",
                     "CiliumClusterwideNetworkPolicy", "specs", "NetworkPolicy", "podSelector",
                     "namespaceSelector", "ipBlock", "policyTypes", "rules", "toServices",
                     "k8sService", "k8sServiceSelector", "fromRequires", "toRequires", "audited",
                     "always", "never", "allow localhost", "audit", "service"):
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

    def first_failure(self, worlds=20):
        from worker import Worker

        worker = Worker()
        try:
            for i in range(worlds):
                worker.post({"seed": f"wrong:{i}", "phases": 2, "probes": 40,
                             "features": generate.FEATURES})
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

    def notices(self, name, function):
        self.wrong(name, function)
        failure = self.first_failure(60)
        self.assertIsNotNone(failure)
        self.assertIn(failure["kind"], ("verdict", "rule", "entry", "trace", "verdict event"))

    def test_wrong_about_ports(self):
        self.notices("port_matches", lambda right: lambda port, packet, names: right(
            {k: v for k, v in port.items() if k != "endPort"}, packet, names))

    def test_wrong_about_exceptions(self):
        self.notices("cidr_selects", lambda right: lambda cidr, _, peer: right(cidr, [], peer))

    def test_wrong_about_default_deny(self):
        self.notices("wants_default_deny", lambda right: lambda rule, direction:
                     bool(rule.get(direction)))

    def test_wrong_about_names_of_ports(self):
        self.notices("named_ports", lambda right: lambda direction, endpoint, peer, world:
                     right(oracle.INGRESS, endpoint, peer, world))

    def test_wrong_about_policy_types(self):
        self.notices("is_about", lambda right: lambda spec, direction:
                     bool(spec.get(direction)) or right(spec, direction))

    def test_wrong_about_namespaces(self):
        self.notices("pod_peer_selects", lambda right: lambda entry, namespace, peer: right(
            {"namespaceSelector": {}, **entry}, namespace, peer))

    def test_wrong_about_requirements(self):
        self.notices("required_by", lambda right: lambda rules, key, direction: [])

    def test_wrong_about_services(self):
        self.notices("service_selects", lambda right: lambda entry, peer, world:
                     peer.kind == "endpoint" and right(entry, peer, world))

    def test_wrong_about_modes(self):
        self.notices("rule_on", lambda right: lambda world, *rest: right(
            {**world, "config": {}}, *rest))

    def test_wrong_about_audit(self):
        self.notices("rule_on", lambda right: lambda world, *rest: right(
            {**world, "audited": []}, *rest))


if __name__ == "__main__":
    unittest.main()
