# SPDX-License-Identifier: BSD-2-Clause
"""Random worlds: endpoints, documents, packets. See oracle.py for their form.

A case to run is {"phases": [world, ...]}, each world with "probes": packets to send while
it is in force. A phase follows the one before in the same instance: what differs is
changed, in one transaction. Beside what oracle.py reads, a probe has

  via    "from_endpoint" (device of the source), "to_endpoint" (device of the
         destination: "host" makes the packet, "world" sends it in by the uplink), or
         "from_netdev" (device: the uplink)
  sport  source port, or identifier of an ICMP echo
  flow   a number: probes of the same number in later phases belong to the same flow
  reply  also send the answer, which must go the same way
  service  [address, port] of a service to send to, whose only back end is the destination

"documents first" says that a phase's documents come before its endpoints, "writing" how they
are written: {"how": of texts.py, "yaml": true}.

What is drawn is a list of features, as an older library may not have all of them.
"""
import ipaddress
import random

import oracle
import texts

FEATURES = ("clusterwide", "specs", "network policies", "lists", "streams", "rule arrays",
            "named ports", "requires", "services", "enforcement", "localhost", "audit")

KEYS = {"app": ["a", "b", "c"], "tier": ["front", "back"], "env": ["prod", "dev"],
        "io.x/y-z": ["", "1"]}
SOURCES = ["k8s", "k8s", "k8s", "container", ""]
NAMESPACES = ["red", "blue", "default"]
NAMESPACE_KEYS = {"team": ["x", "y"], "kubernetes.io/metadata.name": NAMESPACES}
PORT_NAMES = ["http", "dns", "web-2", "x"]
SERVICES = ["red/db", "blue/db", "default/api", "api", "red/cache"]
VIP = {4: "10.96.0.", 6: "fd00:96::"}
RESERVED = ["remote-node", "health", "unmanaged", "ingress", "kube-apiserver"]
PORTS = [0, 1, 22, 53, 79, 80, 81, 443, 1024, 8000, 8080, 32767, 65534, 65535]
ICMP_TYPES = {"IPv4": [0, 3, 8, 11, 13, 42, 255], "IPv6": [1, 2, 3, 4, 128, 129, 130, 255]}
# The datapath answers or passes these on its own, without policy.
NEIGHBOUR_DISCOVERY = (135, 136)
POOLS = {4: ["10.0.0.0/8", "198.51.100.0/24", "203.0.113.0/24"],
         6: ["fd00::/16", "2001:db8::/32"]}
# Of addresses of these nobody may be a peer.
SPECIAL = [ipaddress.ip_network(n) for n in (
    "10.96.0.0/24", "fd00:96::/64", "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/16", "fe80::/10",
    "ff00::/8")]
HOST = ["10.1.2.1", "192.0.2.1", "fd00:1:2::1", "2001:db8:ffff::1"]
ENDPOINTS_MAX = 8


class Generator:
    def __init__(self, seed, features=FEATURES):
        self.r = random.Random(seed)
        r = self.r
        self.features = set(features)
        self.namespaced = r.random() < 0.5
        self.with_services = self.has("services", 0.3)
        self.with_requires = self.has("requires", 0.2)
        self.with_names = self.has("named ports", 0.5)
        self.with_modes = r.random() < 0.3
        self.with_deny = r.random() < 0.8
        self.with_reserved = r.random() < 0.3
        self.cidrs = {4: self.prefixes(4), 6: self.prefixes(6)}
        self.flows = 0
        self.used = set()

    def chance(self, p):
        return self.r.random() < p

    def has(self, feature, p):
        return self.chance(p) and feature in self.features

    def some(self, values, most):
        return [self.r.choice(values) for _ in range(self.r.randint(1, most))]

    # ---- addresses -----------------------------------------------------------

    def prefixes(self, version):
        """Prefixes inside prefixes, and beside them."""
        r = self.r
        bits = 32 if version == 4 else 128
        found = [ipaddress.ip_network(p) for p in POOLS[version]]
        found.append(ipaddress.ip_network("10.1.2.0/24" if version == 4 else "fd00:1:2::/48"))
        for _ in range(r.randint(4, 10)):
            outer = r.choice(found)
            if outer.prefixlen == bits:
                continue
            length = min(bits, outer.prefixlen + r.choice([1, 1, 2, 4, 8, 8, 16, 24, 64, 128]))
            base = int(outer.network_address) | r.getrandbits(bits) & int(outer.hostmask)
            base = base >> (bits - length) << (bits - length)
            found.append(ipaddress.ip_network((base, length)))
        if self.chance(0.3):
            found.append(ipaddress.ip_network("0.0.0.0/0" if version == 4 else "::/0"))
        return found

    def usable(self, ip, taken):
        return (str(ip) not in taken and str(ip) not in HOST
                and not any(ip.version == n.version and ip in n for n in SPECIAL))

    def address(self, version, taken):
        """Somewhere inside a prefix, at its ends, or just beside it."""
        r = self.r
        bits = 32 if version == 4 else 128
        for _ in range(100):
            net = r.choice(self.cidrs[version])
            kind = r.randrange(6)
            value = int(net.network_address) | r.getrandbits(bits) & int(net.hostmask)
            if kind == 0:
                value = int(net.network_address)
            elif kind == 1:
                value = int(net.broadcast_address)
            elif kind == 2:
                value = int(net.network_address) - 1
            elif kind == 3:
                value = int(net.broadcast_address) + 1
            if not 0 < value < 1 << bits:
                continue
            ip = ipaddress.ip_address(value) if version == 4 else ipaddress.IPv6Address(value)
            if self.usable(ip, taken):
                return str(ip)
        raise RuntimeError("no address")

    # ---- endpoints -----------------------------------------------------------

    def labels(self):
        if self.chance(0.04):
            return []
        labels = {}
        for key, values in KEYS.items():
            if not self.chance(0.75):
                continue
            for _ in range(2 if self.chance(0.06) else 1):
                source = self.r.choice(SOURCES)
                labels[source, key] = self.r.choice(values)
        if self.namespaced and self.chance(0.9):
            namespace = self.r.choice(NAMESPACES)
            labels["k8s", oracle.NAMESPACE] = namespace
            if self.chance(0.9):
                labels["k8s", oracle.NAMESPACE_LABELS + "kubernetes.io/metadata.name"] = namespace
            if self.chance(0.7):
                labels["k8s", oracle.NAMESPACE_LABELS + "team"] = \
                    "x" if namespace == "red" else self.r.choice(NAMESPACE_KEYS["team"])
        if not labels:
            labels["k8s", "app"] = "a"
        return sorted(f"{s}:{k}={v}" if s else f"{k}={v}" for (s, k), v in labels.items())

    def endpoint(self, i, taken):
        e = {"name": f"e{i}", "labels": self.labels()}
        both = self.chance(0.8)
        if both or self.chance(0.5):
            e["ipv4"] = self.address(4, taken)
            taken.add(e["ipv4"])
        if both or "ipv4" not in e:
            e["ipv6"] = self.address(6, taken)
            taken.add(e["ipv6"])
        if self.with_names and self.chance(0.7):
            e["ports"] = self.endpoint_ports()
        return e

    def endpoint_ports(self):
        """A name may stand for a port of each protocol."""
        r = self.r
        ports = {}
        for _ in range(r.choice([1, 2, 2, 3])):
            protocol = r.choice(["tcp", "tcp", "tcp", "udp", "sctp"])
            ports[r.choice(PORT_NAMES), protocol] = r.choice(PORTS[1:])
        return [f"{name.upper() if self.chance(0.1) else name}={number}"
                + ("" if protocol == "tcp" and self.chance(0.5) else "/" + protocol)
                for (name, protocol), number in sorted(ports.items())]

    def remote(self, endpoints):
        if self.chance(0.6):
            return {"identity": self.r.choice(RESERVED)}
        return {"labels of": self.r.choice(endpoints)["name"]}

    # ---- selectors -----------------------------------------------------------

    def key(self, endpoints):
        """A selector's key and a value for it, mostly one that some endpoint has."""
        r = self.r
        if self.chance(0.75):
            labels = r.choice(endpoints)["labels"]
            if labels:
                source, key, value = oracle.parse_label(r.choice(labels))
                if key == oracle.NAMESPACE:
                    return "k8s:" + key, value
                prefix = r.choice(["", "", "any:", source + ":", r.choice(["k8s:", "container:"])])
                return prefix + key, value
        key = r.choice(sorted(KEYS))
        return r.choice(["", "any:", "k8s:", "container:"]) + key, r.choice(KEYS[key] + ["none"])

    def expression(self, endpoints):
        key, value = self.key(endpoints)
        op = self.r.choice(["In", "NotIn", "Exists", "DoesNotExist"])
        e = {"key": key, "operator": op}
        if op in ("In", "NotIn"):
            known = KEYS.get(oracle.parse_key(key)[1], NAMESPACES + ["x"])
            e["values"] = sorted({value} | set(self.some(known, 2)))
        return e

    def selector(self, endpoints, subject=False):
        r = self.r
        s = {}
        if self.chance(0.12):
            return s
        if not subject and self.with_reserved and self.chance(0.1):
            name = r.choice(["host", "init", "world", "world-ipv4", "world-ipv6"] + RESERVED)
            if self.chance(0.5):
                return {"matchLabels": {"reserved:" + name: ""}}
            return {"matchExpressions": [{"key": "reserved:" + name, "operator": "Exists"}]}
        if self.chance(0.6):
            s["matchLabels"] = dict(self.key(endpoints) for _ in range(r.choice([1, 1, 1, 2])))
        if "matchLabels" not in s or self.chance(0.25):
            s["matchExpressions"] = [self.expression(endpoints)
                                     for _ in range(r.choice([1, 1, 2]))]
        if subject:
            # A policy of a namespace may not name another.
            for key in [k for k in s.get("matchLabels", {}) if k.endswith(oracle.NAMESPACE)]:
                del s["matchLabels"][key]
            if "matchExpressions" in s:
                s["matchExpressions"] = [e for e in s["matchExpressions"]
                                         if not e["key"].endswith(oracle.NAMESPACE)]
        return s

    # ---- rules ---------------------------------------------------------------

    def cidr(self):
        version = self.r.choice([4, 4, 6])
        net = self.r.choice(self.cidrs[version])
        if net.prefixlen == net.max_prefixlen and self.chance(0.3):
            return str(net.network_address)
        return str(net)

    def cidr_set(self):
        r = self.r
        cidr = self.cidr()
        outer = ipaddress.ip_network(cidr)
        entry = {"cidr": cidr}
        if self.chance(0.7):
            within = [n for n in self.cidrs[outer.version] if n.subnet_of(outer)]
            entry["except"] = [str(n) for n in self.some(within, 3)] if within else []
            if outer.prefixlen < outer.max_prefixlen - 1 and self.chance(0.3):
                half = r.choice(list(outer.subnets(1)))
                entry["except"].append(str(half))
            entry["except"] = sorted(set(entry["except"]))
        return entry

    def peers(self, direction, endpoints, element):
        to = "from" if direction == oracle.INGRESS else "to"
        services = ["Services"] * 4 if self.with_services and to == "to" else []
        kind = self.r.choice(["Endpoints"] * 6 + ["CIDR"] * 2 + ["CIDRSet"] * 3 + ["Entities"] * 3
                             + ["none"] * 2 + services)
        if self.with_requires and kind in ("Endpoints", "none") and self.chance(0.25):
            element[to + "Requires"] = [self.selector(endpoints)
                                        for _ in range(self.r.choice([1, 1, 2]))]
        if kind == "none":
            return
        make = {"Endpoints": lambda: self.selector(endpoints), "CIDR": self.cidr,
                "CIDRSet": self.cidr_set, "Entities": self.entity,
                "Services": self.to_service}[kind]
        most = 3 if kind != "Entities" else 2
        element[to + kind] = [] if self.chance(0.05) else \
            [make() for _ in range(self.r.randint(1, most))]

    def entity(self):
        if self.with_reserved:
            return self.r.choice(oracle.ENTITIES)
        return self.r.choice(["all", "world", "world", "host", "host", "cluster", "world-ipv4",
                              "world-ipv6", "init", "none"])

    def to_service(self):
        r = self.r
        namespace, _, name = r.choice(SERVICES).rpartition("/")
        where = {} if self.chance(0.25) else {"namespace": namespace or "default"}
        if self.chance(0.5):
            return {"k8sService": {"serviceName": name, **where}}
        if self.chance(0.6):
            where = {}
        selector = {"matchLabels": {r.choice(["", "any:", "k8s:"]) + "app": r.choice(KEYS["app"])}}
        if self.chance(0.4):
            key = r.choice(["app", "tier"])
            operator = r.choice(["In", "NotIn", "Exists", "DoesNotExist"])
            e = {"key": key, "operator": operator}
            if operator in ("In", "NotIn"):
                e["values"] = sorted(set(self.some(KEYS[key], 2)))
            selector = {"matchExpressions": [e]}
        return {"k8sServiceSelector": {"selector": {} if self.chance(0.1) else selector, **where}}

    def port(self):
        r = self.r
        if self.with_names and self.chance(0.3):
            name = r.choice(PORT_NAMES + ["none"])
            p = {"port": name.upper() if self.chance(0.1) else name}
            if self.chance(0.7):
                p["protocol"] = r.choice(["TCP", "TCP", "TCP", "UDP", "SCTP", "ANY"])
            return p
        p = {"port": str(0 if self.chance(0.15) else r.choice(PORTS))}
        if p["port"] != "0" and self.chance(0.3):
            p["endPort"] = r.choice([n for n in PORTS if n >= int(p["port"])])
        if self.chance(0.85):
            p["protocol"] = r.choice(["TCP"] * 5 + ["UDP"] * 3 + ["SCTP"] * 2 + ["ANY"] * 2)
        return p

    def icmp(self):
        r = self.r
        family = r.choice(["IPv4", "IPv6"])
        field = {"type": r.choice(ICMP_TYPES[family])}
        if self.chance(0.3):
            field["type"] = r.choice(sorted(oracle.ICMP_NAMES[family]))
        elif self.chance(0.1):
            field["type"] = r.randrange(256)
        if family == "IPv6" or self.chance(0.7):
            field["family"] = family
        return field

    def ports(self, element):
        kind = self.r.choice(["all"] * 4 + ["ports"] * 7 + ["icmps"] * 2)
        if kind == "ports":
            element["toPorts"] = [] if self.chance(0.04) else \
                [{"ports": [self.port() for _ in range(self.r.choice([1, 1, 2, 4]))]}
                 for _ in range(self.r.choice([1, 1, 2]))]
        elif kind == "icmps":
            element["icmps"] = [{"fields": [self.icmp() for _ in range(self.r.choice([1, 2]))]}
                                for _ in range(self.r.choice([1, 1, 2]))]

    def element(self, direction, endpoints):
        element = {}
        if self.chance(0.05):
            return element
        self.peers(direction, endpoints, element)
        self.ports(element)
        return element

    def rule(self, endpoints):
        r = self.r
        rule = {"endpointSelector": self.selector(endpoints, subject=True)}
        keys = ["ingress", "ingress", "egress", "egress"]
        if self.with_deny:
            keys += ["ingressDeny", "egressDeny"]
        for key in set(self.some(keys, 3)):
            direction = key.removesuffix("Deny")
            rule[key] = [] if self.chance(0.05) else \
                [self.element(direction, endpoints) for _ in range(r.choice([1, 1, 2, 3]))]
        if self.chance(0.2):
            rule["enableDefaultDeny"] = {
                d: self.chance(0.4) for d in (oracle.INGRESS, oracle.EGRESS) if self.chance(0.7)}
        return rule

    def document(self, number, endpoints):
        if self.namespaced and self.has("network policies", 0.4):
            return self.network_policy(number, endpoints)
        if self.has("rule arrays", 0.1):
            return self.rule_array(number, endpoints)
        doc = {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
               "metadata": {"name": f"p{number}"}}
        if self.namespaced and self.chance(0.7):
            doc["metadata"]["namespace"] = self.r.choice(NAMESPACES)
        elif self.has("clusterwide", 0.4):
            doc["kind"] = "CiliumClusterwideNetworkPolicy"
        if self.has("specs", 0.2):
            doc["specs"] = [self.rule(endpoints) for _ in range(self.r.randint(1, 3))]
        if "specs" not in doc or self.chance(0.2):
            doc["spec"] = self.rule(endpoints)
        return doc

    def rule_array(self, number, endpoints):
        doc = {"name": f"p{number}",
               "rules": [self.rule(endpoints) for _ in range(self.r.choice([1, 1, 2, 3]))]}
        if self.chance(0.5):
            doc["rules"][0]["labels"] = [{"key": "name", "value": doc["name"]}]
        return doc

    # ---- Kubernetes' documents -----------------------------------------------

    def plain_selector(self, keys):
        """A LabelSelector of Kubernetes': keys have no source."""
        r = self.r
        s = {}
        if self.chance(0.15):
            return s
        if self.chance(0.65):
            pairs = [(k, r.choice(keys[k])) for k in self.some(sorted(keys), 2)]
            s["matchLabels"] = dict(pairs[:1] if self.chance(0.7) else pairs)
        if not s or self.chance(0.2):
            key = r.choice(sorted(keys))
            e = {"key": key, "operator": r.choice(["In", "NotIn", "Exists", "DoesNotExist"])}
            if e["operator"] in ("In", "NotIn"):
                e["values"] = sorted(set(self.some(keys[key], 2)))
            s["matchExpressions"] = [e]
        return s

    def pod_peer(self):
        kind = self.r.randrange(10)
        if kind < 4:
            return {"podSelector": self.plain_selector(KEYS)}
        if kind < 6:
            return {"namespaceSelector": self.plain_selector(NAMESPACE_KEYS)}
        if kind < 8:
            return {"namespaceSelector": self.plain_selector(NAMESPACE_KEYS),
                    "podSelector": self.plain_selector(KEYS)}
        block = self.cidr_set()
        block["cidr"] = str(ipaddress.ip_network(block["cidr"]))  # with a length
        return {"ipBlock": block}

    def pod_port(self):
        r = self.r
        p = {}
        if self.chance(0.7):
            p["protocol"] = r.choice(["TCP", "TCP", "TCP", "UDP", "SCTP"])
        if self.with_names and self.chance(0.4):
            p["port"] = r.choice(PORT_NAMES + ["none"])
        elif self.chance(0.9):
            p["port"] = r.choice(PORTS[1:])
            if self.chance(0.3):
                p["endPort"] = r.choice([n for n in PORTS if n >= p["port"]])
        return p

    def network_rule(self, peers_key):
        r = self.r
        rule = {}
        if self.chance(0.8):
            rule[peers_key] = [] if self.chance(0.08) else \
                [self.pod_peer() for _ in range(r.choice([1, 1, 2, 3]))]
        if self.chance(0.6):
            rule["ports"] = [] if self.chance(0.08) else \
                [self.pod_port() for _ in range(r.choice([1, 1, 2, 3]))]
        return rule

    def network_policy(self, number, endpoints):
        r = self.r
        doc = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
               "metadata": {"name": f"p{number}"}, "spec": {}}
        spec = doc["spec"]
        namespaces = [v for e in endpoints for v in oracle.namespaces_of(oracle.endpoint_labels(e))]
        if self.chance(0.8):
            doc["metadata"]["namespace"] = r.choice(namespaces or NAMESPACES)
        if self.chance(0.95):
            spec["podSelector"] = {} if self.chance(0.3) else self.plain_selector(KEYS)
        for direction, peers_key in ((oracle.INGRESS, "from"), (oracle.EGRESS, "to")):
            if self.chance(0.55):
                spec[direction] = [] if self.chance(0.12) else \
                    [self.network_rule(peers_key) for _ in range(r.choice([1, 1, 2]))]
        if self.chance(0.6):
            spec["policyTypes"] = r.choice([[], ["Ingress"], ["Ingress"], ["Egress"], ["Egress"],
                                            ["Ingress", "Egress"], ["Egress", "Ingress"]])
        return doc

    # ---- packets -------------------------------------------------------------

    @staticmethod
    def cilium_ports(rule, ports, types):
        for key in ("ingress", "ingressDeny", "egress", "egressDeny"):
            for e in rule.get(key) or []:
                for p in (p for t in e.get("toPorts") or [] for p in t["ports"]):
                    if not oracle.is_port_name(p["port"]):
                        ports.update((int(p["port"]), p.get("endPort", int(p["port"]))))
                for f in (f for t in e.get("icmps") or [] for f in t["fields"]):
                    family, kind = f.get("family", "IPv4"), f["type"]
                    types[family].add(oracle.ICMP_NAMES[family][kind]
                                      if isinstance(kind, str) else kind)

    def interesting(self, world):
        """Ports and types of ICMP that documents name, and those beside them; the protocols and
        ports that have names, by address."""
        ports, types = set(), {"IPv4": set(), "IPv6": set()}
        for doc in world["documents"]:
            for _, rule in oracle.rules_of(doc):
                self.cilium_ports(rule, ports, types)
            if doc.get("kind") != "NetworkPolicy":
                continue
            for direction in (oracle.INGRESS, oracle.EGRESS):
                for p in (p for e in doc["spec"].get(direction) or [] for p in e.get("ports") or []):
                    if isinstance(p.get("port"), int):
                        ports.update((p["port"], p.get("endPort", p["port"])))
        called = {e[own]: [oracle.parse_port_name(text)[1:] for text in e["ports"]]
                  for e in world["endpoints"] if "ports" in e for own in ("ipv4", "ipv6")
                  if own in e}
        beside = [p + d for p in ports for d in (-1, 0, 1) if 0 <= p + d <= 65535]
        return (sorted(beside) or [80],
                {f: sorted({t + d for t in v for d in (-1, 0, 1) if 0 <= t + d <= 255}) or [8]
                 for f, v in types.items()}, called)

    def layer4(self, probe, version, named):
        r = self.r
        ports, types, called = named
        protocol = r.choice(["TCP"] * 5 + ["UDP"] * 3 + ["SCTP"] * 2 + ["ICMP"] * 3)
        probe["sport"] = self.flows % 60000 + 1025
        if probe["destination"] in called and self.chance(0.4):
            probe["protocol"], probe["port"] = r.choice(called[probe["destination"]])
            return
        if protocol != "ICMP":
            probe["protocol"] = protocol
            probe["port"] = r.choice(ports if self.chance(0.6) else PORTS)
            if self.chance(0.05):
                probe["port"] = r.randrange(65536)
            return
        family = "IPv4" if version == 4 else "IPv6"
        probe["protocol"] = "ICMP" if version == 4 else "ICMPv6"
        probe["type"] = r.choice(types[family] if self.chance(0.6) else ICMP_TYPES[family])
        if probe["type"] in NEIGHBOUR_DISCOVERY and version == 6:
            probe["type"] = 128

    def probe(self, world, named):
        r = self.r
        outside = sorted(world.get("remotes", {}))
        for _ in range(50):
            version = r.choice([4, 4, 6])
            own = f"ipv{version}"
            locals_ = [e[own] for e in world["endpoints"] if own in e]
            if not locals_:
                continue
            taken = self.taken(world)
            there = [a for a in outside if ipaddress.ip_address(a).version == version]
            one, far = r.choice(locals_), self.address(version, taken)
            if there and self.chance(0.4):
                far = r.choice(there)
            backends = [a for s in world.get("services", []) for a, _ in s["backends"]
                        if a not in taken and a not in HOST
                        and ipaddress.ip_address(a).version == version]
            if backends and self.chance(0.4):
                far = r.choice(backends)
            kind = r.choice(["local"] * 5 + ["out"] * 4 + ["in"] * 4 + ["to-host"] + ["from-host"]
                            + ["service"] * 2 * bool(world.get("services")))
            host = r.choice([a for a in HOST if ipaddress.ip_address(a).version == version])
            if kind == "local":
                others = [a for a in locals_ if a != one]
                if not others:
                    continue
                ends = one, r.choice(others), "from_endpoint"
            elif kind == "service":
                service = self.service_probe(world, version, one)
                if service:
                    return service
                continue
            elif kind == "out":
                ends = one, far, "from_endpoint"
            elif kind == "to-host":
                ends = one, host, "from_endpoint"
            elif kind == "from-host":
                ends = host, one, "to_endpoint"
            else:
                ends = far, one, r.choice(["to_endpoint", "from_netdev"])
            self.flows += 1
            probe = {"source": ends[0], "destination": ends[1], "via": ends[2],
                     "flow": self.flows}
            self.layer4(probe, version, named)
            if probe["protocol"] in oracle.PORT_PROTOCOLS or probe["type"] == (
                    8 if version == 4 else 128):
                probe["reply"] = self.chance(0.25)
            return probe
        return None

    def service_probe(self, world, version, source):
        """To a service that has one back end: it is known who gets it."""
        some = [s for s in world["services"]
                if ipaddress.ip_address(s["address"]).version == version
                and len(s["backends"]) == 1 and s["backends"][0][0] not in (source, *HOST)]
        if not some:
            return None
        s = self.r.choice(some)
        self.flows += 1
        return {"source": source, "destination": s["backends"][0][0], "via": "from_endpoint",
                "flow": self.flows, "sport": self.flows % 60000 + 1025,
                "protocol": s["protocol"], "port": s["backends"][0][1],
                "service": [s["address"], s["port"]], "reply": self.chance(0.25)}

    def taken(self, world):
        return {e[k] for e in world["endpoints"] for k in ("ipv4", "ipv6") if k in e}

    # ---- services and settings -----------------------------------------------

    def backends(self, world, version, port):
        found = {}
        for _ in range(self.r.choice([0, 1, 1, 1, 1, 2, 3])):
            own = [e[f"ipv{version}"] for e in world["endpoints"] if f"ipv{version}" in e]
            taken = self.taken(world) | set(world["remotes"])
            address = self.address(version, taken)
            if own and self.chance(0.6):
                address = self.r.choice(own)
            elif self.chance(0.1):
                address = self.r.choice([a for a in HOST
                                         if ipaddress.ip_address(a).version == version])
            found[address] = port if self.chance(0.5) else self.r.choice(PORTS[1:])
        return [[a, p] for a, p in found.items()]

    def service(self, i, world):
        r = self.r
        version = r.choice([4, 4, 6])
        s = {"name": SERVICES[i], "address": f"{VIP[version]}{i + 1}",
             "port": r.choice(PORTS[1:]), "protocol": r.choice(["TCP", "TCP", "UDP"])}
        s["labels"] = sorted(f"{r.choice(['', 'k8s:'])}{k}={r.choice(KEYS[k])}"
                             for k in ("app", "tier") if self.chance(0.7))
        s["backends"] = self.backends(world, version, s["port"])
        return s

    def services(self, world, before):
        if not self.with_services:
            return []
        return [before[i] if i in before and self.chance(0.7) else self.service(i, world)
                for i in range(len(SERVICES)) if self.chance(0.7)]

    def settings(self, world, before):
        """Modes of the instance and of endpoints."""
        if not self.with_modes:
            return
        config = dict(before.get("config", {}))
        if self.has("enforcement", 0.3):
            config["enforcement"] = self.r.choice(["default", "default", "always", "always",
                                                   "never"])
        if self.has("localhost", 0.4):
            config["allow localhost"] = self.chance(0.6)
        if self.has("audit", 0.2):
            config["audit"] = self.chance(0.3)
        world["config"] = config
        if "audit" in self.features:
            world["audited"] = [e["name"] for e in world["endpoints"] if self.chance(0.15)]

    # ---- worlds --------------------------------------------------------------

    def first(self):
        r = self.r
        taken = set()
        world = {"host": list(HOST), "remotes": {}}
        world["endpoints"] = [self.endpoint(i, taken) for i in range(r.randint(2, ENDPOINTS_MAX))]
        if self.with_reserved:
            for _ in range(r.randint(1, 4)):
                address = self.address(r.choice([4, 6]), taken)
                taken.add(address)
                world["remotes"][address] = self.remote(world["endpoints"])
        self.avoid_exact(world)
        world["services"] = self.services(world, {})
        self.settings(world, {})
        world["documents"] = [self.document(i, world["endpoints"])
                              for i in range(r.choice([1, 1, 2, 2, 3, 4, 6]))]
        return world

    def avoid_exact(self, world):
        """What an address is that both a policy and the user name is not documented."""
        for address in list(world["remotes"]):
            net = ipaddress.ip_network(address)
            for version in (4, 6):
                if net in self.cidrs[version]:
                    del world["remotes"][address]
                    break

    def next(self, before):
        """Some documents go, come, change; an endpoint gets other labels."""
        r = self.r
        world = {"host": before["host"], "remotes": dict(before["remotes"]),
                 "endpoints": list(before["endpoints"]), "documents": list(before["documents"])}
        if self.chance(0.3):
            i = r.randrange(len(world["endpoints"]))
            world["endpoints"][i] = {**world["endpoints"][i], "labels": self.labels()}
        if len(world["endpoints"]) > 2 and self.chance(0.15):
            gone = world["endpoints"].pop(r.randrange(len(world["endpoints"])))
            world["remotes"] = {a: w for a, w in world["remotes"].items()
                                if w.get("labels of") != gone["name"]}
        elif len(world["endpoints"]) < ENDPOINTS_MAX and self.chance(0.2):
            names = {e["name"] for e in world["endpoints"]}
            free = [i for i in range(ENDPOINTS_MAX) if f"e{i}" not in names]
            taken = self.taken(world) | set(world["remotes"])
            world["endpoints"].append(self.endpoint(free[0], taken))
        world["services"] = self.services(
            world, {SERVICES.index(s["name"]): s for s in before["services"]})
        self.settings(world, before)
        docs = world["documents"]
        for _ in range(r.choice([0, 1, 1, 2])):
            what = r.choice(["add", "drop", "change", "change"])
            if what == "add" or not docs:
                numbers = {self.number(d) for d in docs}
                number = next(i for i in range(1000) if i not in numbers)
                docs.append(self.document(number, world["endpoints"]))
            elif what == "drop":
                docs.pop(r.randrange(len(docs)))
            else:
                i = r.randrange(len(docs))
                docs[i] = self.document(self.number(docs[i]), world["endpoints"])
        return world

    @staticmethod
    def number(document):
        return int(oracle.policy_name(document).rpartition("/")[2][1:])

    def writing(self):
        how = self.r.choice(texts.HOW)
        if ("streams" if how == "stream" else "lists") not in self.features:
            how = "each"
        return {"how": how, "yaml": self.chance(0.5)}

    def again(self, before, world):
        """Probes of the phase before whose flows go on."""
        known = {oracle.peer_at(world, a).address for a in self.taken(world)}
        for probe in before["probes"]:
            here = probe["source"] if probe["via"] == "from_endpoint" else probe["destination"]
            if "service" in probe and before["services"] != world["services"]:
                continue
            if ipaddress.ip_address(here) in known and self.chance(0.2) \
                    and {probe["source"], probe["destination"]}.isdisjoint(
                        self.taken(world) ^ self.taken(before)):
                yield dict(probe)

    def telling(self, world, named):
        """A probe; more often than by chance one that a rule is about, or one that is denied."""
        probe = self.probe(world, named)
        for _ in range(self.r.choice([0, 4, 12])):
            if probe and any(r and (r.allows or r.denies) for r in oracle.judge(world, probe)[1:]):
                break
            probe = self.probe(world, named)
        return probe

    def case(self, phases, probes):
        worlds = []
        for _ in range(phases):
            world = self.next(worlds[-1]) if worlds else self.first()
            named = self.interesting(world)
            world["documents first"] = self.chance(0.3)
            world["writing"] = self.writing()
            world["probes"] = list(self.again(worlds[-1], world)) if worlds else []
            while len(world["probes"]) < probes:
                probe = self.telling(world, named)
                if probe:
                    world["probes"].append(probe)
            self.r.shuffle(world["probes"])
            worlds.append(world)
        return {"phases": worlds}


def case(seed, phases=4, probes=64, features=FEATURES):
    return Generator(seed, features).case(phases, probes)


def feature_case(feature):
    """A world of one phase that has the feature, to see whether the library does."""
    def rules(**more):
        return {"endpointSelector": {}, "ingress": [{"fromEntities": ["all"]}], **more}

    doc = {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
           "metadata": {"name": "p"}, "spec": rules()}
    other = {**doc, "metadata": {"name": "q"}}
    endpoint = {"name": "e0", "labels": ["k8s:app=a"], "ipv4": "10.0.0.1"}
    world = {"host": list(HOST), "endpoints": [endpoint], "documents": [doc], "probes": []}
    if feature == "clusterwide":
        doc["kind"] = "CiliumClusterwideNetworkPolicy"
    elif feature == "specs":
        doc["specs"] = [doc.pop("spec")]
    elif feature == "network policies":
        doc.update(apiVersion="networking.k8s.io/v1", kind="NetworkPolicy",
                   spec={"podSelector": {}, "ingress": [{}]})
    elif feature in ("lists", "streams"):
        world["documents"].append(other)
        world["writing"] = {"how": feature[:-1]}
    elif feature == "rule arrays":
        world["documents"] = [{"name": "p", "rules": [rules()]}]
    elif feature == "named ports":
        endpoint["ports"] = ["http=80/tcp"]
        doc["spec"]["ingress"] = [{"toPorts": [{"ports": [{"port": "http"}]}]}]
    elif feature == "requires":
        doc["spec"]["ingress"] = [{"fromRequires": [{"matchLabels": {"app": "a"}}]}]
    elif feature == "services":
        world["services"] = [{"name": "a/b", "labels": ["app=a"], "address": "10.96.0.1",
                              "port": 80, "protocol": "TCP", "backends": [["10.0.0.1", 80]]}]
        doc["spec"]["egress"] = [{"toServices": [{"k8sService": {"serviceName": "b"}}]}]
    elif feature == "audit":
        world["audited"] = ["e0"]
    else:
        world["config"] = {"enforcement": "always"} if feature == "enforcement" else \
            {"allow localhost": True}
    return {"phases": [world]}
