# SPDX-License-Identifier: BSD-2-Clause
"""Numbers with names. Numbers are Cilium's and Hubble's."""
from __future__ import annotations

import enum
import socket

from . import _native as n


class Direction(enum.IntEnum):
    """Which way, seen from the endpoint."""

    INGRESS = n.CLITE_INGRESS
    EGRESS = n.CLITE_EGRESS


class Action(enum.IntEnum):
    """What a rule does. DENY wins over every ALLOW."""

    ALLOW = n.CLITE_ALLOW
    DENY = n.CLITE_DENY


class Operator(enum.IntEnum):
    """How a requirement compares, as in matchExpressions."""

    IN = n.CLITE_OP_IN
    NOT_IN = n.CLITE_OP_NOT_IN
    EXISTS = n.CLITE_OP_EXISTS
    DOES_NOT_EXIST = n.CLITE_OP_DOES_NOT_EXIST


class PeerKind(enum.IntEnum):
    """What a peer is told by."""

    ENDPOINTS = n.CLITE_PEER_ENDPOINTS
    CIDR = n.CLITE_PEER_CIDR
    ENTITY = n.CLITE_PEER_ENTITY


class DefaultDeny(enum.IntEnum):
    """Does a part deny what no rule allows? AUTO: in the directions for which it has rules."""

    AUTO = n.CLITE_DEFAULT_DENY_AUTO
    ON = n.CLITE_DEFAULT_DENY_ON
    OFF = n.CLITE_DEFAULT_DENY_OFF


class Protocol(enum.IntEnum):
    """IP protocols. ANY in a rule: TCP, UDP and SCTP, and everything if no port is given."""

    ANY = 0
    ICMP = socket.IPPROTO_ICMP
    TCP = socket.IPPROTO_TCP
    UDP = socket.IPPROTO_UDP
    ICMPV6 = socket.IPPROTO_ICMPV6
    SCTP = 132


class ReservedIdentity(enum.IntEnum):
    """Identities that are always there."""

    UNKNOWN = n.CLITE_ID_UNKNOWN
    HOST = n.CLITE_ID_HOST
    WORLD = n.CLITE_ID_WORLD
    UNMANAGED = n.CLITE_ID_UNMANAGED
    HEALTH = n.CLITE_ID_HEALTH
    INIT = n.CLITE_ID_INIT
    REMOTE_NODE = n.CLITE_ID_REMOTE_NODE
    KUBE_APISERVER = n.CLITE_ID_KUBE_APISERVER
    INGRESS = n.CLITE_ID_INGRESS
    WORLD_IPV4 = n.CLITE_ID_WORLD_IPV4
    WORLD_IPV6 = n.CLITE_ID_WORLD_IPV6
    ENCRYPTED_OVERLAY = n.CLITE_ID_ENCRYPTED_OVERLAY


class IpcacheSource(enum.IntEnum):
    """Where an entry of the ipcache comes from."""

    ENDPOINT = n.CLITE_IPCACHE_ENDPOINT
    CIDR = n.CLITE_IPCACHE_CIDR
    USER = n.CLITE_IPCACHE_USER


class Algorithm(enum.IntEnum):
    """How a service chooses a back end. MAGLEV: consistent when back ends change."""

    RANDOM = n.CLITE_LB_RANDOM
    MAGLEV = n.CLITE_LB_MAGLEV


class Mode(enum.IntEnum):
    """How packets get to a back end. DSR: its node answers the client itself, as the service;
    IPIP and GUE: whole, in an outer packet, from uplinks."""

    SNAT = n.CLITE_MODE_SNAT
    DSR = n.CLITE_MODE_DSR
    IPIP = n.CLITE_MODE_IPIP
    GUE = n.CLITE_MODE_GUE


class ServiceKind(enum.IntEnum):
    """For whom a service is. All but CLUSTER_IP: for the world, too."""

    CLUSTER_IP = n.CLITE_KIND_CLUSTER_IP
    NODE_PORT = n.CLITE_KIND_NODE_PORT
    EXTERNAL_IP = n.CLITE_KIND_EXTERNAL_IP
    LOAD_BALANCER = n.CLITE_KIND_LOAD_BALANCER
    HOST_PORT = n.CLITE_KIND_HOST_PORT
    STANDALONE = n.CLITE_KIND_STANDALONE


class BackendState(enum.IntEnum):
    """Only ACTIVE back ends get new flows."""

    ACTIVE = n.CLITE_BACKEND_ACTIVE
    TERMINATING = n.CLITE_BACKEND_TERMINATING
    QUARANTINED = n.CLITE_BACKEND_QUARANTINED
    MAINTENANCE = n.CLITE_BACKEND_MAINTENANCE


class ConntrackFlags(enum.IntFlag):
    """What is known of a flow."""

    REPLY = n.CLITE_CT_REPLY
    NAT = n.CLITE_CT_NAT
    SEEN_NON_SYN = n.CLITE_CT_SEEN_NON_SYN
    CLOSING = n.CLITE_CT_CLOSING
    STALE = n.CLITE_CT_STALE
    DSR = n.CLITE_CT_DSR


class EventType(enum.IntEnum):
    """Kinds of events, as Cilium's monitor numbers them."""

    DROP = n.CLITE_EVENT_DROP
    TRACE = n.CLITE_EVENT_TRACE
    POLICY_VERDICT = n.CLITE_EVENT_POLICY_VERDICT


class Enforcement(enum.IntEnum):
    """Whom policies hold."""

    DEFAULT = n.CLITE_ENFORCE_DEFAULT
    ALWAYS = n.CLITE_ENFORCE_ALWAYS
    NEVER = n.CLITE_ENFORCE_NEVER


class FlowKind(enum.IntEnum):
    """What a flow tells of."""

    L3_L4 = n.CLITE_FLOW_L3_L4
    L7 = n.CLITE_FLOW_L7
    SOCK = n.CLITE_FLOW_SOCK


class MetricType(enum.IntEnum):
    """What may become of a figure."""

    COUNTER = n.CLITE_METRIC_COUNTER  # only grows
    GAUGE = n.CLITE_METRIC_GAUGE


class Way(enum.IntEnum):
    """Where a packet goes."""

    NONE = n.CLITE_WAY_NONE  # it is dropped
    ENDPOINT = n.CLITE_WAY_ENDPOINT
    HOST = n.CLITE_WAY_HOST
    STACK = n.CLITE_WAY_STACK  # to the world, by the host's routes
    NETWORK = n.CLITE_WAY_NETWORK  # to a back end elsewhere, past the stack


class WarningCode(enum.IntEnum):
    """What a policy says that is hardly meant."""

    SELECTS_NOBODY = n.CLITE_WARNING_SELECTS_NOBODY
    PORT_NAME = n.CLITE_WARNING_PORT_NAME
    CIDR_SHADOWED = n.CLITE_WARNING_CIDR_SHADOWED
    CIDR_ENDPOINTS = n.CLITE_WARNING_CIDR_ENDPOINTS
    NO_SERVICE = n.CLITE_WARNING_NO_SERVICE
    NEEDS = n.CLITE_WARNING_NEEDS


class Verdict(enum.IntEnum):
    """What became of a packet, as Hubble numbers it."""

    FORWARDED = n.CLITE_VERDICT_FORWARDED
    DROPPED = n.CLITE_VERDICT_DROPPED
    AUDIT = n.CLITE_VERDICT_AUDIT  # policy denies it, but audit mode lets it pass


class Aggregation(enum.IntEnum):
    """Which packets make events. NONE: every one. MEDIUM: the first of a flow and direction,
    new TCP flags, every 5 s; drops always."""

    NONE = n.CLITE_AGGREGATE_NONE
    MEDIUM = n.CLITE_AGGREGATE_MEDIUM
