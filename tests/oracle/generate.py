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

"documents first" says that a phase's documents come before its endpoints.
"""
import ipaddress
import random

import oracle

KEYS = {"app": ["a", "b", "c"], "tier": ["front", "back"], "env": ["prod", "dev"],
        "io.x/y-z": ["", "1"]}
SOURCES = ["k8s", "k8s", "k8s", "container", ""]
NAMESPACES = ["red", "blue"]
RESERVED = ["remote-node", "health", "unmanaged", "ingress", "kube-apiserver"]
PORTS = [0, 1, 22, 53, 79, 80, 81, 443, 1024, 8000, 8080, 32767, 65534, 65535]
ICMP_TYPES = {"IPv4": [0, 3, 8, 11, 13, 42, 255], "IPv6": [1, 2, 3, 4, 128, 129, 130, 255]}
# The datapath answers or passes these on its own, without policy.
NEIGHBOUR_DISCOVERY = (135, 136)
POOLS = {4: ["10.0.0.0/8", "198.51.100.0/24", "203.0.113.0/24"],
         6: ["fd00::/16", "2001:db8::/32"]}
# Of addresses of these nobody may be a peer.
SPECIAL = [ipaddress.ip_network(n) for n in (
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/16", "fe80::/10",
    "ff00::/8")]
HOST = ["10.1.2.1", "192.0.2.1", "fd00:1:2::1", "2001:db8:ffff::1"]
ENDPOINTS_MAX = 8


class Generator:
    def __init__(self, seed):
        self.r = random.Random(seed)
        r = self.r
        self.namespaced = r.random() < 0.25
        self.with_deny = r.random() < 0.8
        self.with_reserved = r.random() < 0.3
        self.cidrs = {4: self.prefixes(4), 6: self.prefixes(6)}
        self.flows = 0
        self.used = set()

    def chance(self, p):
        return self.r.random() < p

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
            labels["k8s", oracle.NAMESPACE] = self.r.choice(NAMESPACES)
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
        return e

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
                if self.namespaced and key == oracle.NAMESPACE:
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
            known = KEYS.get(oracle.parse_key(key)[1], NAMESPACES)
            e["values"] = sorted({value} | set(self.some(known, 2)))
        return e

    def selector(self, endpoints, subject=False):
        r = self.r
        s = {}
        if self.chance(0.12):
            return s
        if not subject and self.with_reserved and self.chance(0.1):
            name = r.choice(["host", "init"] + RESERVED)
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
        kind = self.r.choice(["Endpoints"] * 6 + ["CIDR"] * 2 + ["CIDRSet"] * 3 + ["Entities"] * 3
                             + ["none"] * 2)
        if kind == "none":
            return
        make = {"Endpoints": lambda: self.selector(endpoints), "CIDR": self.cidr,
                "CIDRSet": self.cidr_set, "Entities": self.entity}[kind]
        most = 3 if kind != "Entities" else 2
        element[to + kind] = [] if self.chance(0.05) else \
            [make() for _ in range(self.r.randint(1, most))]

    def entity(self):
        if self.with_reserved:
            return self.r.choice(oracle.ENTITIES)
        return self.r.choice(["all", "world", "world", "host", "host", "cluster", "world-ipv4",
                              "world-ipv6", "init", "none"])

    def port(self):
        r = self.r
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
        doc = {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
               "metadata": {"name": f"p{number}"}}
        if self.namespaced and self.chance(0.7):
            doc["metadata"]["namespace"] = self.r.choice(NAMESPACES)
        elif self.chance(0.2):
            doc["kind"] = "CiliumClusterwideNetworkPolicy"
        if self.chance(0.2):
            doc["specs"] = [self.rule(endpoints) for _ in range(self.r.randint(1, 3))]
        if "specs" not in doc or self.chance(0.2):
            doc["spec"] = self.rule(endpoints)
        return doc

    # ---- packets -------------------------------------------------------------

    def named_ports(self, documents):
        """Ports and types of ICMP that documents name, and those beside them."""
        ports, types = set(), {"IPv4": set(), "IPv6": set()}
        for doc in documents:
            for rule in oracle.rules_of(doc):
                for key in ("ingress", "ingressDeny", "egress", "egressDeny"):
                    for e in rule.get(key) or []:
                        for p in (p for t in e.get("toPorts") or [] for p in t["ports"]):
                            for n in (int(p["port"]), p.get("endPort", int(p["port"]))):
                                ports |= {n - 1, n, n + 1}
                        for f in (f for t in e.get("icmps") or [] for f in t["fields"]):
                            family, kind = f.get("family", "IPv4"), f["type"]
                            if isinstance(kind, str):
                                kind = oracle.ICMP_NAMES[family][kind]
                            types[family] |= {kind - 1, kind, kind + 1}
        return ([p for p in ports if 0 <= p <= 65535] or [80],
                {f: [t for t in sorted(v) if 0 <= t <= 255] or [8] for f, v in types.items()})

    def layer4(self, probe, version, named):
        r = self.r
        ports, types = named
        protocol = r.choice(["TCP"] * 5 + ["UDP"] * 3 + ["SCTP"] * 2 + ["ICMP"] * 3)
        probe["sport"] = self.flows % 60000 + 1025
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
            kind = r.choice(["local"] * 5 + ["out"] * 4 + ["in"] * 4 + ["to-host"] + ["from-host"])
            host = r.choice([a for a in HOST if ipaddress.ip_address(a).version == version])
            if kind == "local":
                others = [a for a in locals_ if a != one]
                if not others:
                    continue
                ends = one, r.choice(others), "from_endpoint"
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

    def taken(self, world):
        return {e[k] for e in world["endpoints"] for k in ("ipv4", "ipv6") if k in e}

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
        docs = world["documents"]
        for _ in range(r.choice([0, 1, 1, 2])):
            what = r.choice(["add", "drop", "change", "change"])
            if what == "add" or not docs:
                names = {d["metadata"]["name"] for d in docs}
                number = next(i for i in range(1000) if f"p{i}" not in names)
                docs.append(self.document(number, world["endpoints"]))
            elif what == "drop":
                docs.pop(r.randrange(len(docs)))
            else:
                i = r.randrange(len(docs))
                number = int(docs[i]["metadata"]["name"][1:])
                docs[i] = self.document(number, world["endpoints"])
        return world

    def again(self, before, world):
        """Probes of the phase before whose flows go on."""
        known = {oracle.peer_at(world, a).address for a in self.taken(world)}
        for probe in before["probes"]:
            here = probe["source"] if probe["via"] == "from_endpoint" else probe["destination"]
            if ipaddress.ip_address(here) in known and self.chance(0.2) \
                    and {probe["source"], probe["destination"]}.isdisjoint(
                        self.taken(world) ^ self.taken(before)):
                yield dict(probe)

    def case(self, phases, probes):
        worlds = []
        for _ in range(phases):
            world = self.next(worlds[-1]) if worlds else self.first()
            named = self.named_ports(world["documents"])
            world["documents first"] = self.chance(0.3)
            world["probes"] = list(self.again(worlds[-1], world)) if worlds else []
            while len(world["probes"]) < probes:
                probe = self.probe(world, named)
                if probe:
                    world["probes"].append(probe)
            self.r.shuffle(world["probes"])
            worlds.append(world)
        return {"phases": worlds}


def case(seed, phases=4, probes=64):
    return Generator(seed).case(phases, probes)
