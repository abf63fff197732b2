# SPDX-License-Identifier: BSD-2-Clause
"""What a policy means: slow, obvious, and written from the documentation of the
language, not from the compiler, with which it shares no code.

A world is a dict:

  endpoints  [{"name", "labels": ["source:key=value"], "ipv4", "ipv6",
               "ports": ["name=port/protocol"]}]
  remotes    {address: {"identity": NAME} or {"labels of": NAME OF AN ENDPOINT}}: addresses
             elsewhere of which somebody has said what they are
  host       [address]
  documents  [CiliumNetworkPolicy, or NetworkPolicy of Kubernetes]
  settings   {"enforcement": "default", "always" or "never", "allow_localhost", "audit"}

and a packet is a dict with "source", "destination" (addresses), "protocol" and
"port" (the destination's), or "type" for ICMP and ICMPv6.

Whatever is at an address is a Peer: an endpoint, the host, something that has a
reserved identity of its own (a node of the cluster elsewhere, ...), or outside.
"""
import collections
import functools
import ipaddress

to_address = functools.lru_cache(maxsize=4096)(ipaddress.ip_address)
to_network = functools.lru_cache(maxsize=4096)(ipaddress.ip_network)

ALLOW = 0
DENIED = 133  # Cilium: "Policy denied": nothing allows it
DENIED_BY_RULE = 181  # Cilium: "Policy denied by denylist": a deny rule matches

INGRESS = "ingress"
EGRESS = "egress"

PORT_PROTOCOLS = ("TCP", "UDP", "SCTP")

NAMESPACE = "io.kubernetes.pod.namespace"
NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels."

ENTITIES = ("all", "world", "world-ipv4", "world-ipv6", "cluster", "host", "init", "ingress",
            "unmanaged", "remote-node", "health", "none", "kube-apiserver")

# Names that the documentation gives to types of ICMP (RFC 792, RFC 4443, IANA).
ICMP_NAMES = {
    "IPv4": {"EchoReply": 0, "DestinationUnreachable": 3, "Redirect": 5, "Echo": 8,
             "EchoRequest": 8, "RouterAdvertisement": 9, "RouterSelection": 10,
             "TimeExceeded": 11, "ParameterProblem": 12, "Timestamp": 13, "TimestampReply": 14,
             "Photuris": 40},
    "IPv6": {"DestinationUnreachable": 1, "PacketTooBig": 2, "TimeExceeded": 3,
             "ParameterProblem": 4, "EchoRequest": 128, "EchoReply": 129,
             "MulticastListenerQuery": 130, "MulticastListenerReport": 131,
             "MulticastListenerDone": 132, "RouterSolicitation": 133, "RouterAdvertisement": 134,
             "RedirectMessage": 137, "RouterRenumbering": 138},
}


# ---- labels ------------------------------------------------------------------

@functools.lru_cache(maxsize=4096)
def parse_label(text):
    """"source:key=value" -> (source, key, value)."""
    source, colon, rest = text.partition(":")
    if not colon or "=" in source:
        source, rest = "unspec", text
    key, _, value = rest.partition("=")
    return source, key, value


def parse_key(text):
    """A selector's key: (source or None for any, key)."""
    source, colon, key = text.partition(":")
    if not colon:
        return None, text
    return (None if source == "any" else source), key


def values_of(labels, key_text):
    """The values under a selector's key; several where several sources have it."""
    source, key = parse_key(key_text)
    return [v for s, k, v in labels if k == key and source in (None, s)]


def parse_port_name(text):
    """"http=80/tcp" -> ("http", "TCP", 80)."""
    name, _, rest = text.partition("=")
    number, _, protocol = rest.partition("/")
    return name.lower(), (protocol or "tcp").upper(), int(number)


class Peer:
    """What is at an address.

    kind: "endpoint" (also one that lives elsewhere but has an endpoint's labels),
    "host", "outside", or "reserved"."""

    def __init__(self, kind, labels, address, name=None, known_as=None):
        self.kind = kind
        self.labels = labels
        self.address = to_address(address)
        self.name = name  # of a local endpoint
        self.known_as = known_as  # "init", "remote-node", ...


def endpoint_labels(endpoint):
    """An endpoint without labels is one that is not known yet: reserved:init."""
    return [parse_label(text) for text in endpoint["labels"]] or [("reserved", "init", "")]


def peer_at(world, address):
    ip = to_address(address)
    for e in world["endpoints"]:
        for own in (e.get("ipv4"), e.get("ipv6")):
            if own and to_address(own) == ip:
                known = None if e["labels"] else "init"
                return Peer("endpoint", endpoint_labels(e), ip, e["name"], known)
    for own in world["host"]:
        if to_address(own) == ip:
            return Peer("host", [("reserved", "host", "")], ip, known_as="host")
    for own, what in world.get("remotes", {}).items():
        if to_address(own) != ip:
            continue
        if "identity" in what:
            name = what["identity"]
            node = [("reserved", "remote-node", "")] if name == "kube-apiserver" else []
            return Peer("reserved", [("reserved", name, "")] + node, ip, known_as=name)
        for e in world["endpoints"]:
            if e["name"] == what["labels of"]:
                return Peer("endpoint", endpoint_labels(e), ip,
                            known_as=None if e["labels"] else "init")
    return Peer("outside", [("reserved", "world", ""), ("reserved", f"world-ipv{ip.version}", "")],
                ip)


# ---- selectors ---------------------------------------------------------------

def requirements(selector):
    """(key, operator, values) of a LabelSelector: all must hold."""
    reqs = [(key, "In", [value]) for key, value in (selector.get("matchLabels") or {}).items()]
    for e in selector.get("matchExpressions") or []:
        reqs.append((e["key"], e["operator"], e.get("values") or []))
    return reqs


def holds(requirement, labels):
    key, operator, wanted = requirement
    have = values_of(labels, key)
    if operator == "In":
        return any(v in wanted for v in have)
    if operator == "NotIn":
        return not any(v in wanted for v in have)
    if operator == "Exists":
        return bool(have)
    if operator == "DoesNotExist":
        return not have
    raise ValueError(operator)


def in_namespace(reqs, namespace, subject):
    """A policy of a namespace is about its endpoints (and those that are not known yet, if it
    says so), and so are its peers unless they name a namespace, or something reserved,
    themselves."""
    if not namespace:
        return reqs
    for key, operator, _ in reqs:
        source, name = parse_key(key)
        if source == "reserved" and (not subject or operator in ("In", "Exists")):
            return reqs
        if not subject and source in (None, "k8s") \
                and (name == NAMESPACE or name.startswith(NAMESPACE_LABELS)):
            return reqs
    return reqs + [("k8s:" + NAMESPACE, "In", [namespace])]


def selects(selector, peer, namespace=None, subject=False):
    reqs = in_namespace(requirements(selector), namespace, subject)
    # What names no label that must be there means endpoints: "{}" is every
    # endpoint, "app not in (a)" every other endpoint, but neither host nor world.
    if peer.kind != "endpoint" and not any(op in ("In", "Exists") for _, op, _ in reqs):
        return False
    return all(holds(r, peer.labels) for r in reqs)


def namespaces_of(labels):
    return values_of(labels, "k8s:" + NAMESPACE)


# ---- peers of a rule ----------------------------------------------------------

def inside(address, cidr):
    """Also "192.0.2.1", without a length."""
    net = to_network(cidr)
    return address.version == net.version and address in net


def cidr_selects(cidr, excepted, peer):
    """CIDRs are about addresses outside: never an endpoint, the host, or a node, whatever its
    address is."""
    return (peer.kind == "outside" and inside(peer.address, cidr)
            and not any(inside(peer.address, e) for e in excepted))


def entity_selects(entity, peer):
    if entity == "all":
        return True
    if entity == "none":
        return False
    if entity == "world":
        return peer.kind == "outside"
    if entity in ("world-ipv4", "world-ipv6"):
        return peer.kind == "outside" and peer.address.version == int(entity[-1])
    if entity == "cluster":
        return peer.kind != "outside"
    if entity == "remote-node":  # those with the API server, too
        return peer.known_as in ("remote-node", "kube-apiserver")
    if entity in ENTITIES:
        return peer.known_as == entity
    raise ValueError(entity)


def service_means(entry, service):
    """Does an entry of toServices mean a service? One without a namespace is in "default";
    a reference without one means services of any."""
    namespace, slash, name = service["name"].partition("/")
    if not slash:
        namespace, name = "default", service["name"]
    by_name, by_selector = entry.get("k8sService"), entry.get("k8sServiceSelector")
    if (by_name or by_selector).get("namespace") not in (None, namespace):
        return False
    if by_name:
        return by_name["serviceName"] == name
    labels = [parse_label(text) for text in service.get("labels") or []]
    return all(holds(r, labels) for r in requirements(by_selector["selector"]))


def service_selects(entry, peer, world):
    """A service's back ends: of endpoints whoever has their labels; other addresses are
    as CIDRs, which never mean what is in the cluster."""
    for service in world.get("services") or []:
        if not service_means(entry, service):
            continue
        for address, _ in service["backends"]:
            behind = peer_at(world, address)
            if behind.name is not None:
                if peer.kind == "endpoint" and sorted(peer.labels) == sorted(behind.labels):
                    return True
            elif cidr_selects(address, [], peer):
                return True
    return False


PEER_KINDS = ("Endpoints", "CIDR", "CIDRSet", "Entities", "Services")


def element_selects(element, direction, peer, namespace, required, world):
    """Does an element of ingress, ingressDeny, egress or egressDeny mean this peer?
    required: what fromRequires or toRequires of any rule demand; they are about endpoints
    that rules name, and allow nothing on their own."""
    to = "from" if direction == INGRESS else "to"
    lists = [element.get(to + kind) for kind in PEER_KINDS]
    endpoints, cidrs, cidr_sets, entities, services = lists
    if all(part is None for part in lists):
        # Whom it is about is not said: everybody; but an element that says nothing
        # at all, or only what it requires, is about nobody.
        return bool(element.get("toPorts") or element.get("icmps")) \
            and element.get(to + "Requires") is None
    return (any(selects(s, peer, namespace) for s in endpoints or [])
            and all(holds(r, peer.labels) for r in required)
            or any(cidr_selects(c, [], peer) for c in cidrs or [])
            or any(cidr_selects(c["cidr"], c.get("except") or [], peer) for c in cidr_sets or [])
            or any(entity_selects(e, peer) for e in entities or [])
            or any(service_selects(s, peer, world) for s in services or []))


# ---- ports --------------------------------------------------------------------

def names_of(labels, world):
    """What endpoints with these labels call their ports. (A peer is known by its labels: two
    endpoints that have the same are one to a policy.)"""
    return [parse_port_name(text) for e in world["endpoints"]
            if sorted(endpoint_labels(e)) == sorted(labels) for text in e.get("ports") or []]


def named_ports(direction, endpoint, peer, world):
    """What a name of a port stands for: on ingress what the subject calls so, on egress what
    the peer does."""
    if direction == EGRESS:
        return names_of(peer.labels, world) if peer.kind == "endpoint" else []
    return [parse_port_name(text) for e in world["endpoints"] if e["name"] == endpoint.name
            for text in e.get("ports") or []]


def is_port_name(port):
    return isinstance(port, str) and not port.isdigit()


def port_is_called(name, protocol, packet, names):
    return any(n == name.lower() and p == packet["protocol"] and protocol in ("ANY", p)
               and number == packet["port"] for n, p, number in names
               if packet["protocol"] in PORT_PROTOCOLS)


def port_matches(port, packet, names):
    protocol = port.get("protocol", "ANY").upper()
    if is_port_name(port["port"]):
        return port_is_called(port["port"], protocol, packet, names)
    first = int(port["port"])
    if first == 0 and "endPort" not in port:
        # every port; of any protocol: every packet, also of those that have no ports
        return protocol in ("ANY", packet["protocol"])
    if packet["protocol"] not in PORT_PROTOCOLS or protocol not in ("ANY", packet["protocol"]):
        return False
    return first <= packet["port"] <= port.get("endPort", first)


def icmp_matches(field, packet):
    family = field.get("family", "IPv4")
    kind = field["type"]
    if isinstance(kind, str):
        kind = int(kind) if kind.isdigit() else ICMP_NAMES[family][kind]
    return packet["protocol"] == ("ICMP" if family == "IPv4" else "ICMPv6") \
        and packet["type"] == kind


def element_matches_ports(element, packet, names):
    to_ports, icmps = element.get("toPorts"), element.get("icmps")
    if not to_ports and not icmps:
        return True
    return (any(port_matches(p, packet, names) for r in to_ports or [] for p in r.get("ports") or [])
            or any(icmp_matches(f, packet) for r in icmps or [] for f in r.get("fields") or []))


# ---- Cilium's documents -----------------------------------------------------------

# A rule that matches: of which policy, where in the document, and which one of its part's
# rules of that direction and action.
Match = collections.namedtuple("Match", "policy place index")


def policy_name(document):
    """As the policy is called that a document becomes."""
    if "rules" in document:
        return document["name"]
    meta = document["metadata"]
    namespace = meta.get("namespace")
    if document["kind"] == "NetworkPolicy":
        namespace = namespace or "default"
    return f"{namespace}/{meta['name']}" if namespace else meta["name"]


def rules_of(document):
    """The rules of a document of Cilium's (type Rule), each with its place: its spec, and each
    of its specs, or those of an array."""
    if "rules" in document:
        return [((i,), rule) for i, rule in enumerate(document["rules"])]
    if document["kind"] == "NetworkPolicy":
        return []
    return ([(("spec",), document["spec"])] if "spec" in document else []) \
        + [(("specs", i), rule) for i, rule in enumerate(document.get("specs") or [])]


def wants_default_deny(rule, direction):
    """In the directions for which it has elements, unless it says otherwise."""
    said = (rule.get("enableDefaultDeny") or {}).get(direction)
    if said is not None:
        return said
    return bool(rule.get(direction) or rule.get(direction + "Deny"))


def rules_on(world, endpoint):
    """(document, namespace, place, rule) of those that select an endpoint."""
    for document in world["documents"]:
        namespace = document.get("metadata", {}).get("namespace")
        for place, rule in rules_of(document):
            if selects(rule["endpointSelector"], endpoint, namespace, subject=True):
                yield document, namespace, place, rule


def required_by(rules, key, direction):
    """What any element under a key demands of the endpoints that the others name."""
    requires = ("from" if direction == INGRESS else "to") + "Requires"
    return [r for _, namespace, _, rule in rules for element in rule.get(key) or []
            for selector in element.get(requires) or []
            for r in in_namespace(requirements(selector), namespace, subject=False)]


class Ruling:
    """One policy direction of one endpoint for one packet.

    allows, denies: what matches; default_deny: whether what nothing allows is denied; host:
    it comes from the host, which may send without a rule; audited: nothing is denied really.
    """

    def __init__(self):
        self.allows = set()
        self.denies = set()
        self.default_deny = False
        self.host = False
        self.audited = False

    @property
    def verdict(self):
        """Of the policies alone."""
        if self.denies:
            return DENIED_BY_RULE
        if self.default_deny and not self.allows and not self.host:
            return DENIED
        return ALLOW

    @property
    def outcome(self):
        return ALLOW if self.audited else self.verdict


def apply_cilium(ruling, world, direction, endpoint, peer, packet):
    rules = list(rules_on(world, endpoint))
    names = named_ports(direction, endpoint, peer, world)
    for key, found in ((direction, ruling.allows), (direction + "Deny", ruling.denies)):
        required = required_by(rules, key, direction)
        for document, namespace, place, rule in rules:
            for i, element in enumerate(rule.get(key) or []):
                if element_selects(element, direction, peer, namespace, required, world) \
                        and element_matches_ports(element, packet, names):
                    found.add(Match(policy_name(document), place + (key, i), i))
    if any(wants_default_deny(rule, direction) for *_, rule in rules):
        ruling.default_deny = True


# ---- Kubernetes' documents ----------------------------------------------------------

def pods_have(selector, labels, prefix=""):
    """A selector of Kubernetes': its keys are those of Kubernetes' labels."""
    return all(holds(("k8s:" + prefix + key, operator, values), labels)
               for key, operator, values in requirements(selector))


def is_about(spec, direction):
    """Without types it is about ingress, and about egress if it has rules for that."""
    types = spec.get("policyTypes")
    if types:
        return direction.capitalize() in types
    return direction == INGRESS or bool(spec.get(EGRESS))


def pod_peer_selects(entry, namespace, peer):
    """Pods: of the policy's namespace, or of those that are selected."""
    if peer.kind != "endpoint" or not namespaces_of(peer.labels):
        return False
    if "namespaceSelector" in entry:
        if not pods_have(entry["namespaceSelector"], peer.labels, NAMESPACE_LABELS):
            return False
    elif namespace not in namespaces_of(peer.labels):
        return False
    return pods_have(entry.get("podSelector") or {}, peer.labels)


def network_policy_peer_selects(entry, namespace, peer, required):
    """To Cilium pods are endpoints, of which fromRequires of its own rules demands the same."""
    block = entry.get("ipBlock")
    if block:
        return cidr_selects(block["cidr"], block.get("except") or [], peer)
    return pod_peer_selects(entry, namespace, peer) \
        and all(holds(r, peer.labels) for r in required)


def network_policy_port_matches(port, packet, names):
    protocol = port.get("protocol", "TCP")
    if "port" not in port:
        return packet["protocol"] == protocol
    if is_port_name(port["port"]):
        return port_is_called(port["port"], protocol, packet, names)
    return packet["protocol"] == protocol \
        and port["port"] <= packet["port"] <= port.get("endPort", port["port"])


def network_policy_matches(document, direction, peer, packet, names, required):
    """The matches of the rules of one direction. Each peer counts as a rule of its own."""
    namespace = document["metadata"].get("namespace") or "default"
    peers_key, index = ("from" if direction == INGRESS else "to"), 0
    for i, rule in enumerate(document["spec"].get(direction) or []):
        place = ("spec", direction, i)
        ports = rule.get("ports")
        matches = not ports or any(network_policy_port_matches(p, packet, names) for p in ports)
        entries = rule.get(peers_key)
        if not entries:  # everybody
            if matches:
                yield Match(policy_name(document), place, index)
            index += 1
        for j, entry in enumerate(entries or []):
            if matches and network_policy_peer_selects(entry, namespace, peer, required):
                yield Match(policy_name(document), place + (peers_key, j), index)
            index += 1


def apply_kubernetes(ruling, world, direction, endpoint, peer, packet):
    names = named_ports(direction, endpoint, peer, world)
    required = required_by(list(rules_on(world, endpoint)), direction, direction)
    for document in world["documents"]:
        if document.get("kind") != "NetworkPolicy":
            continue
        spec = document["spec"]
        namespace = document["metadata"].get("namespace") or "default"
        if namespace not in namespaces_of(endpoint.labels) \
                or not pods_have(spec.get("podSelector") or {}, endpoint.labels) \
                or not is_about(spec, direction):
            continue
        ruling.default_deny = True
        ruling.allows.update(
            network_policy_matches(document, direction, peer, packet, names, required))


# ---- verdicts ---------------------------------------------------------------------------

def rule_on(world, direction, endpoint, peer, packet):
    """What all documents together say about a packet that enters (ingress) or leaves
    (egress) an endpoint; peer is at the other end."""
    config = world.get("config") or {}
    enforcement = config.get("enforcement", "default")
    ruling = Ruling()
    ruling.audited = bool(config.get("audit")) or endpoint.name in world.get("audited", [])
    if enforcement == "never":
        return ruling
    # An endpoint of which nothing is known may do nothing but what is allowed.
    ruling.default_deny = enforcement == "always" or endpoint.known_as == "init"
    ruling.host = bool(config.get("allow localhost")) and direction == INGRESS \
        and peer.kind == "host"
    apply_cilium(ruling, world, direction, endpoint, peer, packet)
    apply_kubernetes(ruling, world, direction, endpoint, peer, packet)
    return ruling


def judge(world, packet):
    """(verdict, egress ruling or None, ingress ruling or None): the sender's policy first,
    then, if that lets it pass, the receiver's."""
    source = peer_at(world, packet["source"])
    destination = peer_at(world, packet["destination"])
    egress = ingress = None
    verdict = ALLOW
    if source.name is not None:
        egress = rule_on(world, EGRESS, source, destination, packet)
        verdict = egress.outcome
    if verdict == ALLOW and destination.name is not None:
        ingress = rule_on(world, INGRESS, destination, source, packet)
        verdict = ingress.outcome
    return verdict, egress, ingress


def verdict(world, packet):
    return judge(world, packet)[0]
