# SPDX-License-Identifier: BSD-2-Clause
"""What a policy means: slow, obvious, and written from the documentation of the
language, not from the compiler, with which it shares no code.

A world is a dict:

  endpoints  [{"name", "labels": ["source:key=value"], "ipv4", "ipv6"}]
  remotes    {address: {"identity": NAME} or {"labels of": NAME OF AN ENDPOINT}}: addresses
             elsewhere of which somebody has said what they are
  host       [address]
  documents  [CiliumNetworkPolicy]

and a packet is a dict with "source", "destination" (addresses), "protocol" and
"port" (the destination's), or "type" for ICMP and ICMPv6.

Whatever is at an address is a Peer: an endpoint, the host, something that has a
reserved identity of its own (a node of the cluster elsewhere, ...), or outside.
"""
import ipaddress

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


class Peer:
    """What is at an address.

    kind: "endpoint" (also one that lives elsewhere but has an endpoint's labels),
    "host", "outside", or "reserved"."""

    def __init__(self, kind, labels, address, name=None, known_as=None):
        self.kind = kind
        self.labels = labels
        self.address = ipaddress.ip_address(address)
        self.name = name  # of a local endpoint
        self.known_as = known_as  # "init", "remote-node", ...


def endpoint_labels(endpoint):
    """An endpoint without labels is one that is not known yet: reserved:init."""
    return [parse_label(text) for text in endpoint["labels"]] or [("reserved", "init", "")]


def peer_at(world, address):
    ip = ipaddress.ip_address(address)
    for e in world["endpoints"]:
        for own in (e.get("ipv4"), e.get("ipv6")):
            if own and ipaddress.ip_address(own) == ip:
                known = None if e["labels"] else "init"
                return Peer("endpoint", endpoint_labels(e), ip, e["name"], known)
    for own in world["host"]:
        if ipaddress.ip_address(own) == ip:
            return Peer("host", [("reserved", "host", "")], ip, known_as="host")
    for own, what in world.get("remotes", {}).items():
        if ipaddress.ip_address(own) != ip:
            continue
        if "identity" in what:
            name = what["identity"]
            return Peer("reserved", [("reserved", name, "")], ip, known_as=name)
        for e in world["endpoints"]:
            if e["name"] == what["labels of"]:
                return Peer("endpoint", endpoint_labels(e), ip,
                            known_as=None if e["labels"] else "init")
    return Peer("outside", [("reserved", "world", "")], ip)


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
    """A policy of a namespace is about its endpoints, and so are its peers unless they
    name a namespace, or something reserved, themselves."""
    if not namespace:
        return reqs
    for key, _, _ in reqs:
        source, name = parse_key(key)
        if name == NAMESPACE and source in (None, "k8s"):
            return reqs
        if source == "reserved":
            return reqs
        if not subject and name.startswith(NAMESPACE_LABELS) and source in (None, "k8s"):
            return reqs
    return reqs + [("k8s:" + NAMESPACE, "In", [namespace])]


def selects(selector, peer, namespace=None, subject=False):
    reqs = in_namespace(requirements(selector), namespace, subject)
    # What names no label that must be there means endpoints: "{}" is every
    # endpoint, "app not in (a)" every other endpoint, but neither host nor world.
    if peer.kind != "endpoint" and not any(op in ("In", "Exists") for _, op, _ in reqs):
        return False
    return all(holds(r, peer.labels) for r in reqs)


# ---- peers of a rule ----------------------------------------------------------

def inside(address, cidr):
    """Also "192.0.2.1", without a length."""
    net = ipaddress.ip_network(cidr)
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
    if entity in ENTITIES:
        return peer.known_as == entity
    raise ValueError(entity)


def element_selects(element, direction, peer, namespace):
    """Does an element of ingress, ingressDeny, egress or egressDeny mean this peer?"""
    to = "from" if direction == INGRESS else "to"
    lists = [element.get(to + kind) for kind in ("Endpoints", "CIDR", "CIDRSet", "Entities")]
    endpoints, cidrs, cidr_sets, entities = lists
    if all(part is None for part in lists):
        # Whom it is about is not said: everybody; but an element that says nothing
        # at all is about nobody.
        return bool(element.get("toPorts") or element.get("icmps"))
    return (any(selects(s, peer, namespace) for s in endpoints or [])
            or any(cidr_selects(c, [], peer) for c in cidrs or [])
            or any(cidr_selects(c["cidr"], c.get("except") or [], peer) for c in cidr_sets or [])
            or any(entity_selects(e, peer) for e in entities or []))


# ---- ports --------------------------------------------------------------------

def port_matches(port, packet):
    protocol = port.get("protocol", "ANY").upper()
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


def element_matches_ports(element, packet):
    to_ports, icmps = element.get("toPorts"), element.get("icmps")
    if not to_ports and not icmps:
        return True
    return (any(port_matches(p, packet) for r in to_ports or [] for p in r.get("ports") or [])
            or any(icmp_matches(f, packet) for r in icmps or [] for f in r.get("fields") or []))


# ---- documents ----------------------------------------------------------------

def policy_name(document):
    """As the policy is called that a document becomes."""
    meta = document["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else meta["name"]


def rules_of(document):
    """The rules of a document (Cilium: type Rule): its spec, and each of its specs."""
    return ([document["spec"]] if "spec" in document else []) + list(document.get("specs") or [])


def wants_default_deny(rule, direction):
    """In the directions for which it has elements, unless it says otherwise."""
    said = (rule.get("enableDefaultDeny") or {}).get(direction)
    if said is not None:
        return said
    return bool(rule.get(direction) or rule.get(direction + "Deny"))


class Ruling:
    """One policy direction of one endpoint for one packet.

    allows, denies: (policy, index) of the elements that match; default_deny: whether
    what nothing allows is denied."""

    def __init__(self):
        self.allows = set()
        self.denies = set()
        self.default_deny = False

    @property
    def verdict(self):
        if self.denies:
            return DENIED_BY_RULE
        if self.default_deny and not self.allows:
            return DENIED
        return ALLOW


def rule_on(world, direction, endpoint, peer, packet):
    """What all documents together say about a packet that enters (ingress) or leaves
    (egress) an endpoint; peer is at the other end."""
    ruling = Ruling()
    # An endpoint of which nothing is known may do nothing but what is allowed.
    ruling.default_deny = endpoint.known_as == "init"
    for document in world["documents"]:
        namespace = document["metadata"].get("namespace")
        for rule in rules_of(document):
            if not selects(rule["endpointSelector"], endpoint, namespace, subject=True):
                continue
            if wants_default_deny(rule, direction):
                ruling.default_deny = True
            for key, found in ((direction, ruling.allows), (direction + "Deny", ruling.denies)):
                for i, element in enumerate(rule.get(key) or []):
                    if element_selects(element, direction, peer, namespace) \
                            and element_matches_ports(element, packet):
                        found.add((policy_name(document), i))
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
        verdict = egress.verdict
    if verdict == ALLOW and destination.name is not None:
        ingress = rule_on(world, INGRESS, destination, source, packet)
        verdict = ingress.verdict
    return verdict, egress, ingress


def verdict(world, packet):
    return judge(world, packet)[0]
