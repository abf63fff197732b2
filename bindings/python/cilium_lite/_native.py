# SPDX-License-Identifier: BSD-2-Clause
"""The public headers for ctypes: constants, structs, prototypes, and the library itself.

Names are those of C. tests/python/test_native.py compares everything here with the headers.
"""
from __future__ import annotations

import ctypes
import ctypes.util
import os
import threading
from ctypes import (CFUNCTYPE, POINTER, Structure, c_char, c_char_p, c_double, c_int, c_int32,
                    c_size_t, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p)
from typing import Any, Dict, Optional, Tuple

SONAME = "libcilium-lite.so.0"

# ---- constants ------------------------------------------------------------------------

CLITE_VERSION_MAJOR = 0
CLITE_VERSION_MINOR = 1
CLITE_VERSION_PATCH = 0

CLITE_EDOCUMENT = 4501
CLITE_EUNSUPPORTED = 4502
CLITE_ELAYOUT = 4503
CLITE_ENOBPFFS = 4504

CLITE_OPEN_CREATE = 0x1
CLITE_OPEN_EXCLUSIVE = 0x2
CLITE_OPEN_EPHEMERAL = 0x4
CLITE_OPEN_CLSACT = 0x8
CLITE_OPEN_MOUNT_BPFFS = 0x10
CLITE_OPEN_NEIGH = 0x20

CLITE_DEVICE_XDP = 0x1
CLITE_DEVICE_XDP_GENERIC = 0x2
CLITE_DEVICE_DSR = 0x4

CLITE_INGRESS = 1
CLITE_EGRESS = 2

CLITE_ALLOW = 0
CLITE_DENY = 1

CLITE_OP_IN = 0
CLITE_OP_NOT_IN = 1
CLITE_OP_EXISTS = 2
CLITE_OP_DOES_NOT_EXIST = 3

CLITE_PEER_ENDPOINTS = 1
CLITE_PEER_CIDR = 2
CLITE_PEER_ENTITY = 3

CLITE_DEFAULT_DENY_AUTO = 0
CLITE_DEFAULT_DENY_ON = 1
CLITE_DEFAULT_DENY_OFF = 2

CLITE_ID_UNKNOWN = 0
CLITE_ID_HOST = 1
CLITE_ID_WORLD = 2
CLITE_ID_UNMANAGED = 3
CLITE_ID_HEALTH = 4
CLITE_ID_INIT = 5
CLITE_ID_REMOTE_NODE = 6
CLITE_ID_KUBE_APISERVER = 7
CLITE_ID_INGRESS = 8
CLITE_ID_WORLD_IPV4 = 9
CLITE_ID_WORLD_IPV6 = 10
CLITE_ID_ENCRYPTED_OVERLAY = 11
CLITE_ID_FIRST = 256
CLITE_ID_FIRST_CIDR = 1 << 24

CLITE_IPCACHE_ENDPOINT = 1
CLITE_IPCACHE_CIDR = 2
CLITE_IPCACHE_USER = 3

CLITE_LB_RANDOM = 1
CLITE_LB_MAGLEV = 2

CLITE_KIND_CLUSTER_IP = 0
CLITE_KIND_NODE_PORT = 1
CLITE_KIND_EXTERNAL_IP = 2
CLITE_KIND_LOAD_BALANCER = 3
CLITE_KIND_HOST_PORT = 4
CLITE_KIND_STANDALONE = 5

CLITE_SERVICE_EXTERNAL_LOCAL = 1
CLITE_SERVICE_INTERNAL_LOCAL = 2
CLITE_SERVICE_SOURCES_DENY = 4
CLITE_SERVICE_REJECT = 8

CLITE_MASQUERADE_IPV4 = 1
CLITE_MASQUERADE_IPV6 = 2

CLITE_METRIC_COUNTER = 1
CLITE_METRIC_GAUGE = 2

CLITE_MODE_SNAT = 0
CLITE_MODE_DSR = 1
CLITE_MODE_IPIP = 2
CLITE_MODE_GUE = 3

CLITE_BACKEND_ACTIVE = 0
CLITE_BACKEND_TERMINATING = 1
CLITE_BACKEND_QUARANTINED = 2
CLITE_BACKEND_MAINTENANCE = 3

CLITE_CT_REPLY = 1
CLITE_CT_NAT = 2
CLITE_CT_SEEN_NON_SYN = 4
CLITE_CT_CLOSING = 8
CLITE_CT_STALE = 16
CLITE_CT_DSR = 32

CLITE_WARNING_SELECTS_NOBODY = 1
CLITE_WARNING_PORT_NAME = 2
CLITE_WARNING_CIDR_SHADOWED = 3
CLITE_WARNING_CIDR_ENDPOINTS = 4
CLITE_WARNING_NO_SERVICE = 5
CLITE_WARNING_NEEDS = 6

CLITE_REHEARSE_FED = 1

CLITE_TRACE_LIVE = 1

CLITE_WAY_NONE = 0
CLITE_WAY_ENDPOINT = 1
CLITE_WAY_HOST = 2
CLITE_WAY_STACK = 3
CLITE_WAY_NETWORK = 4

CLITE_ENFORCE_DEFAULT = 0
CLITE_ENFORCE_ALWAYS = 1
CLITE_ENFORCE_NEVER = 2

CLITE_EVENT_DROP = 1
CLITE_EVENT_TRACE = 4
CLITE_EVENT_POLICY_VERDICT = 5

CLITE_VERDICT_FORWARDED = 1
CLITE_VERDICT_DROPPED = 2
CLITE_VERDICT_AUDIT = 4

CLITE_FLOW_LOG_COMPRESS = 1
CLITE_FLOW_LOG_KEEP_ALL = 0xFFFFFFFF

CLITE_AGGREGATE_NONE = 0
CLITE_AGGREGATE_MEDIUM = 3

CLITE_FLOW_L3_L4 = 1
CLITE_FLOW_L7 = 2
CLITE_FLOW_SOCK = 3

CLITE_FILTER_ALLOW = 0
CLITE_FILTER_DENY = 1

CLITE_FLOW_LOG_COMPRESS = 0x1
CLITE_FLOW_LOG_KEEP_ALL = 0xffffffff

# ---- handles: a class each, so that one cannot be passed for another ---------------------


class clite_ctx(Structure):
    """Opaque."""


class clite_txn(Structure):
    """Opaque."""


class clite_subscription(Structure):
    """Opaque."""


class clite_filters(Structure):
    """Opaque."""


class clite_flow_reader(Structure):
    """Opaque."""


class clite_flow_mask(Structure):
    """Opaque."""


class clite_flow_log(Structure):
    """Opaque."""


class clite_capture(Structure):
    """Opaque."""


class clite_metric_page(Structure):
    """Opaque."""


class clite_rehearsal(Structure):
    """Opaque."""


# ---- structs ----------------------------------------------------------------------------


class clite_config(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("enforcement", c_uint32),
        ("allow_localhost", c_uint32),
        ("audit", c_uint32),
        ("reserved", c_uint32),
    ]


class clite_open_opts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("flags", c_uint32),
        ("flows4", c_uint32),
        ("flows6", c_uint32),
        ("endpoints", c_uint32),
        ("services", c_uint32),
        ("policies", c_uint32),
        ("bpffs", c_char_p),
        ("errbuf", POINTER(c_char)),
        ("errbuf_size", c_size_t),
        ("config", POINTER(clite_config)),
        ("backends", c_uint32),
        ("snat_first", c_uint16),
        ("snat_last", c_uint16),
    ]


class clite_status(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("name", c_char_p),
        ("path", c_char_p),
        ("attach", c_char_p),
        ("ephemeral", c_uint32),
        ("layout", c_uint32),
        ("revision", c_uint64),
        ("endpoints", c_uint32),
        ("identities", c_uint32),
        ("policies", c_uint32),
        ("policy_tables", c_uint32),
        ("services", c_uint32),
        ("subscribers", c_uint32),
        ("map_bytes", c_uint64),
        ("forwarded", c_uint64),
        ("dropped", c_uint64),
        ("flows4_max", c_uint32),
        ("flows6_max", c_uint32),
        ("devices", c_uint32),
        ("neigh", c_uint32),
        ("cgroups", c_uint32),
        ("xdp_native", c_uint32),
        ("xdp_generic", c_uint32),
        ("reserved", c_uint32),
    ]


class clite_cgroup_info(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("path", c_char_p),
        ("id", c_uint64),
    ]


class clite_device_opts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("flags", c_uint32),
        ("flows4", c_uint32),
        ("flows6", c_uint32),
        ("new_flows", c_uint32),
        ("gue_port", c_uint16),
        ("reserved", c_uint16),
        ("reserved2", c_uint32),
        ("source4", c_char_p),
        ("source6", c_char_p),
    ]


class clite_counter_info(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("reason", c_uint32),
        ("direction", c_uint32),
        ("packets", c_uint64),
        ("bytes", c_uint64),
    ]


class clite_metric_label(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("value", c_char_p),
    ]


class clite_metric(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("name", c_char_p),
        ("help", c_char_p),
        ("labels", POINTER(clite_metric_label)),
        ("nlabels", c_uint32),
        ("type", c_uint32),
        ("value", c_double),
    ]


class clite_feature(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("name", c_char_p),
        ("reason", c_char_p),
        ("present", c_uint32),
        ("required", c_uint32),
    ]


class clite_endpoint_opts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("name", c_char_p),
        ("ipv4", c_char_p),
        ("ipv6", c_char_p),
        ("labels", POINTER(c_char_p)),
        ("mac", c_char_p),
        ("id", c_uint32),
        ("reserved", c_uint32),
        ("ports", POINTER(c_char_p)),
    ]


class clite_endpoint_info(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("id", c_uint32),
        ("identity", c_uint32),
        ("ifindex", c_uint32),
        ("ingress_enforced", c_uint32),
        ("egress_enforced", c_uint32),
        ("name", c_char_p),
        ("device", c_char_p),
        ("ipv4", c_char_p),
        ("ipv6", c_char_p),
        ("mac", c_char_p),
        ("labels", POINTER(c_char_p)),
        ("ports", POINTER(c_char_p)),
        ("audit", c_uint32),
        ("reserved", c_uint32),
    ]


class clite_identity_info(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("id", c_uint32),
        ("endpoints", c_uint32),
        ("labels", POINTER(c_char_p)),
    ]


class clite_ipcache_info(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("prefix", c_char_p),
        ("identity", c_uint32),
        ("endpoint", c_uint32),
        ("source", c_uint32),
        ("reserved", c_uint32),
    ]


class clite_requirement(Structure):
    _fields_ = [
        ("key", c_char_p),
        ("values", POINTER(c_char_p)),
        ("nvalues", c_uint32),
        ("op", c_uint32),
    ]


class clite_selector(Structure):
    _fields_ = [
        ("requirements", POINTER(clite_requirement)),
        ("nrequirements", c_size_t),
    ]


class clite_peer(Structure):
    _fields_ = [
        ("kind", c_uint32),
        ("reserved", c_uint32),
        ("selector", POINTER(clite_selector)),
        ("cidr", c_char_p),
        ("except", POINTER(c_char_p)),
        ("entity", c_char_p),
    ]


class clite_port(Structure):
    _fields_ = [
        ("protocol", c_uint32),
        ("port", c_uint16),
        ("end_port", c_uint16),
    ]


class clite_rule(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("direction", c_uint32),
        ("action", c_uint32),
        ("peers", POINTER(clite_peer)),
        ("npeers", c_size_t),
        ("ports", POINTER(clite_port)),
        ("nports", c_size_t),
    ]


class clite_policy_part(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("subject", POINTER(clite_selector)),
        ("rules", POINTER(POINTER(clite_rule))),
        ("nrules", c_size_t),
        ("default_deny_ingress", c_uint32),
        ("default_deny_egress", c_uint32),
    ]


class clite_import_opts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("filename", c_char_p),
        ("name", c_char_p),
        ("max_bytes", c_size_t),
        ("max_values", c_size_t),
        ("max_depth", c_size_t),
    ]


class clite_policy_info(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("name", c_char_p),
        ("text", c_char_p),
        ("filename", c_char_p),
        ("revision", c_uint64),
        ("rules", c_uint32),
        ("endpoints", c_uint32),
    ]


class clite_rule_info(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("policy", c_char_p),
        ("filename", c_char_p),
        ("cookie", c_uint32),
        ("line", c_uint32),
        ("direction", c_uint32),
        ("action", c_uint32),
        ("index", c_uint32),
        ("reserved", c_uint32),
    ]


class clite_policy_entry(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("table", c_uint32),
        ("endpoint", c_uint32),
        ("direction", c_uint32),
        ("identity", c_uint32),
        ("protocol", c_uint32),
        ("port", c_uint16),
        ("end_port", c_uint16),
        ("action", c_uint32),
        ("rule", c_uint32),
    ]


class clite_backend(Structure):
    _fields_ = [
        ("address", c_char_p),
        ("port", c_uint16),
        ("weight", c_uint16),
        ("state", c_uint32),
    ]


class clite_service_opts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("address", c_char_p),
        ("name", c_char_p),
        ("backends", POINTER(clite_backend)),
        ("nbackends", c_size_t),
        ("protocol", c_uint32),
        ("algorithm", c_uint32),
        ("port", c_uint16),
        ("reserved", c_uint16),
        ("id", c_uint32),
        ("labels", POINTER(c_char_p)),
        ("sources", POINTER(c_char_p)),
        ("flags", c_uint32),
        ("affinity", c_uint32),
        ("mode", c_uint32),
        ("kind", c_uint32),
    ]


class clite_service_import_opts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("filename", c_char_p),
        ("source", c_char_p),
        ("node", c_char_p),
        ("zone", c_char_p),
        ("node_addresses", POINTER(c_char_p)),
        ("max_bytes", c_size_t),
        ("max_values", c_size_t),
        ("max_depth", c_size_t),
    ]


class clite_service_info(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("id", c_uint32),
        ("protocol", c_uint32),
        ("algorithm", c_uint32),
        ("port", c_uint16),
        ("reserved", c_uint16),
        ("address", c_char_p),
        ("name", c_char_p),
        ("backends", POINTER(clite_backend)),
        ("nbackends", c_size_t),
        ("labels", POINTER(c_char_p)),
        ("sources", POINTER(c_char_p)),
        ("flags", c_uint32),
        ("affinity", c_uint32),
        ("mode", c_uint32),
        ("kind", c_uint32),
    ]


class clite_masquerade(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("flags", c_uint32),
        ("reserved", c_uint32),
        ("exclude", POINTER(c_char_p)),
    ]


class clite_ct_info(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("source", c_char_p),
        ("destination", c_char_p),
        ("nat_source", c_char_p),
        ("nat_destination", c_char_p),
        ("protocol", c_uint32),
        ("source_port", c_uint16),
        ("destination_port", c_uint16),
        ("nat_source_port", c_uint16),
        ("nat_destination_port", c_uint16),
        ("flags", c_uint32),
        ("tcp_flags", c_uint32),
        ("source_endpoint", c_uint32),
        ("destination_endpoint", c_uint32),
        ("source_identity", c_uint32),
        ("destination_identity", c_uint32),
        ("egress_rule", c_uint32),
        ("ingress_rule", c_uint32),
        ("service", c_uint32),
        ("expires", c_uint32),
        ("packets", c_uint64),
        ("bytes", c_uint64),
    ]


class clite_event(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("time", c_uint64),
        ("type", c_uint32),
        ("subtype", c_uint32),
        ("verdict", c_uint32),
        ("drop_reason", c_uint32),
        ("trace_reason", c_uint32),
        ("direction", c_uint32),
        ("is_reply", c_uint32),
        ("family", c_uint32),
        ("protocol", c_uint32),
        ("has_ports", c_uint32),
        ("source", c_uint8 * 16),
        ("destination", c_uint8 * 16),
        ("original", c_uint8 * 16),
        ("source_port", c_uint16),
        ("destination_port", c_uint16),
        ("service_port", c_uint16),
        ("icmp_type", c_uint8),
        ("icmp_code", c_uint8),
        ("tcp_flags", c_uint32),
        ("source_endpoint", c_uint32),
        ("destination_endpoint", c_uint32),
        ("source_identity", c_uint32),
        ("destination_identity", c_uint32),
        ("egress_rule", c_uint32),
        ("ingress_rule", c_uint32),
        ("ifindex", c_uint32),
        ("length", c_uint32),
        ("source_line", c_uint32),
        ("source_file", c_char_p),
        ("packets", c_uint64),
        ("bytes", c_uint64),
        ("packet", POINTER(c_uint8)),
        ("packet_bytes", c_uint32),
        ("reserved", c_uint32),
    ]


DESTROY = CFUNCTYPE(None, c_void_p)


class clite_subscribe_opts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("types", c_uint32),
        ("aggregation", c_uint32),
        ("ring_bytes", c_uint32),
        ("capture_bytes", c_uint32),
        ("destroy", DESTROY),
        ("filters", POINTER(clite_filters)),
    ]


class clite_flow_end(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("ns", c_char_p),
        ("pod", c_char_p),
        ("service", c_char_p),
        ("service_ns", c_char_p),
        ("cluster", c_char_p),
        ("workload", c_char_p),
        ("workload_kind", c_char_p),
        ("labels", POINTER(c_char_p)),
        ("names", POINTER(c_char_p)),
    ]


class clite_flow_policy(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("name", c_char_p),
        ("ns", c_char_p),
        ("kind", c_char_p),
        ("direction", c_uint32),
        ("action", c_uint32),
        ("revision", c_uint64),
        ("rule", POINTER(clite_rule_info)),
    ]


class clite_flow(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("event", POINTER(clite_event)),
        ("source", POINTER(clite_flow_end)),
        ("destination", POINTER(clite_flow_end)),
        ("policies", POINTER(POINTER(clite_flow_policy))),
        ("node", c_char_p),
        ("summary", c_char_p),
        ("kind", c_uint32),
        ("reserved", c_uint32),
        ("interface", c_char_p),
    ]


class clite_filter_event_type(Structure):
    _fields_ = [
        ("type", c_int32),
        ("match_subtype", c_uint32),
        ("subtype", c_int32),
    ]


class clite_filter_workload(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("kind", c_char_p),
    ]


class clite_flow_filter(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("source_ip", POINTER(c_char_p)),
        ("destination_ip", POINTER(c_char_p)),
        ("source_ip_xlated", POINTER(c_char_p)),
        ("source_pod", POINTER(c_char_p)),
        ("destination_pod", POINTER(c_char_p)),
        ("source_fqdn", POINTER(c_char_p)),
        ("destination_fqdn", POINTER(c_char_p)),
        ("source_label", POINTER(c_char_p)),
        ("destination_label", POINTER(c_char_p)),
        ("source_service", POINTER(c_char_p)),
        ("destination_service", POINTER(c_char_p)),
        ("source_port", POINTER(c_char_p)),
        ("destination_port", POINTER(c_char_p)),
        ("protocol", POINTER(c_char_p)),
        ("node_name", POINTER(c_char_p)),
        ("node_labels", POINTER(c_char_p)),
        ("source_cluster", POINTER(c_char_p)),
        ("destination_cluster", POINTER(c_char_p)),
        ("dns_query", POINTER(c_char_p)),
        ("http_status_code", POINTER(c_char_p)),
        ("http_method", POINTER(c_char_p)),
        ("http_path", POINTER(c_char_p)),
        ("http_url", POINTER(c_char_p)),
        ("http_header", POINTER(c_char_p)),
        ("trace_id", POINTER(c_char_p)),
        ("uuid", POINTER(c_char_p)),
        ("interface", POINTER(c_char_p)),
        ("source_workload", POINTER(clite_filter_workload)),
        ("destination_workload", POINTER(clite_filter_workload)),
        ("event_type", POINTER(clite_filter_event_type)),
        ("verdict", POINTER(c_uint32)),
        ("drop_reason", POINTER(c_uint32)),
        ("source_identity", POINTER(c_uint32)),
        ("destination_identity", POINTER(c_uint32)),
        ("tcp_flags", POINTER(c_uint32)),
        ("ip_version", POINTER(c_uint32)),
        ("direction", POINTER(c_uint32)),
        ("reply", POINTER(c_uint32)),
        ("encrypted", POINTER(c_uint32)),
        ("nsource_workload", c_size_t),
        ("ndestination_workload", c_size_t),
        ("nevent_type", c_size_t),
        ("nverdict", c_size_t),
        ("ndrop_reason", c_size_t),
        ("nsource_identity", c_size_t),
        ("ndestination_identity", c_size_t),
        ("ntcp_flags", c_size_t),
        ("nip_version", c_size_t),
        ("ndirection", c_size_t),
        ("nreply", c_size_t),
        ("nencrypted", c_size_t),
        ("ip_trace_id", POINTER(c_uint64)),
        ("nip_trace_id", c_size_t),
    ]


class clite_flow_reader_counts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("lines", c_uint64),
        ("flows", c_uint64),
        ("others", c_uint64),
        ("wrong", c_uint64),
    ]


class clite_flow_log_opts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("max_bytes", c_uint64),
        ("max_files", c_uint32),
        ("mode", c_uint32),
        ("flags", c_uint32),
        ("reserved", c_uint32),
        ("mask", POINTER(clite_flow_mask)),
        ("filters", POINTER(clite_filters)),
        ("errbuf", POINTER(c_char)),
        ("errbuf_size", c_size_t),
    ]


class clite_flow_log_counts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("written", c_uint64),
        ("buffered", c_uint64),
        ("filtered", c_uint64),
        ("lost", c_uint64),
        ("bytes", c_uint64),
        ("errors", c_uint64),
        ("rotated", c_uint64),
    ]


class clite_capture_opts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("max_bytes", c_uint64),
        ("max_files", c_uint32),
        ("snaplen", c_uint32),
        ("application", c_char_p),
    ]


class clite_rule_hits(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("rule", POINTER(clite_rule_info)),
        ("packets", c_uint64),
        ("bytes", c_uint64),
    ]


class clite_warning(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("code", c_uint32),
        ("line", c_uint32),
        ("direction", c_uint32),
        ("action", c_uint32),
        ("index", c_uint32),
        ("reserved", c_uint32),
        ("policy", c_char_p),
        ("filename", c_char_p),
        ("text", c_char_p),
    ]


class clite_rehearse_opts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("flags", c_uint32),
        ("ring_bytes", c_uint32),
    ]


class clite_rehearsal_flow(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("event", POINTER(clite_event)),
        ("live_verdict", c_uint32),
        ("candidate_verdict", c_uint32),
        ("live_reason", c_uint32),
        ("candidate_reason", c_uint32),
        ("live_direction", c_uint32),
        ("candidate_direction", c_uint32),
        ("live_rule", POINTER(clite_rule_info)),
        ("candidate_rule", POINTER(clite_rule_info)),
    ]


class clite_rehearsal_counts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("events", c_uint64),
        ("flows", c_uint64),
        ("allowed", c_uint64),
        ("denied", c_uint64),
        ("lost", c_uint64),
    ]


class clite_trace_opts(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("flags", c_uint32),
        ("protocol", c_uint32),
        ("source", c_char_p),
        ("destination", c_char_p),
        ("source_endpoint", c_uint32),
        ("destination_endpoint", c_uint32),
        ("source_identity", c_uint32),
        ("destination_identity", c_uint32),
        ("source_port", c_uint16),
        ("destination_port", c_uint16),
        ("backend", c_uint32),
        ("packet", c_void_p),
        ("packet_len", c_size_t),
    ]


class clite_trace_step(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("direction", c_uint32),
        ("endpoint", c_uint32),
        ("peer", c_uint32),
        ("enforced", c_uint32),
        ("reason", c_uint32),
        ("audited", c_uint32),
        ("match", c_uint32),
        ("reserved", c_uint32),
        ("rule", POINTER(clite_rule_info)),
        ("rules", POINTER(POINTER(clite_rule_info))),
        ("nrules", c_size_t),
    ]


class clite_trace(Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("verdict", c_uint32),
        ("reason", c_uint32),
        ("live", c_uint32),
        ("live_verdict", c_uint32),
        ("live_reason", c_uint32),
        ("agree", c_uint32),
        ("source_endpoint", c_uint32),
        ("destination_endpoint", c_uint32),
        ("source_identity", c_uint32),
        ("destination_identity", c_uint32),
        ("protocol", c_uint32),
        ("source_port", c_uint16),
        ("destination_port", c_uint16),
        ("source", c_char_p),
        ("destination", c_char_p),
        ("service", c_uint32),
        ("backends", c_uint32),
        ("service_name", c_char_p),
        ("way", c_uint32),
        ("ifindex", c_uint32),
        ("egress", POINTER(clite_trace_step)),
        ("ingress", POINTER(clite_trace_step)),
        ("choices", POINTER(clite_backend)),
        ("chosen", c_uint32),
        ("reserved", c_uint32),
    ]


# ---- prototypes ---------------------------------------------------------------------------


def callback_type(argument: Any) -> Any:
    """int (*cb)(argument, void *userdata)"""
    return CFUNCTYPE(c_int, argument, c_void_p)


def list_callback(struct: Any) -> Any:
    """int (*cb)(const struct *, void *userdata)"""
    return callback_type(POINTER(struct))


_ctx = POINTER(clite_ctx)
_txn = POINTER(clite_txn)
_sub = POINTER(clite_subscription)
_page = POINTER(clite_metric_page)
_filters = POINTER(clite_filters)
_flow = POINTER(clite_flow)
_reader = POINTER(clite_flow_reader)
_mask = POINTER(clite_flow_mask)
_log = POINTER(clite_flow_log)
_capture = POINTER(clite_capture)
_rehearsal = POINTER(clite_rehearsal)
_parts = POINTER(POINTER(clite_policy_part))

# name: (result, argument, ...)
PROTOTYPES: Dict[str, Tuple[Any, ...]] = {
    # version.h
    "clite_version": (c_uint32,),
    "clite_version_string": (c_char_p,),
    "clite_strerror": (c_char_p, c_int),
    # context.h
    "clite_open": (c_int, c_char_p, POINTER(clite_open_opts), POINTER(_ctx)),
    "clite_ref": (_ctx, _ctx),
    "clite_close": (_ctx, _ctx),
    "clite_destroy": (c_int, _ctx),
    "clite_error": (c_char_p, _ctx),
    "clite_name": (c_char_p, _ctx),
    "clite_status": (c_int, _ctx, POINTER(POINTER(clite_status))),
    "clite_counter_list": (c_int, _ctx, list_callback(clite_counter_info), c_void_p),
    "clite_probe": (c_int, list_callback(clite_feature), c_void_p),
    "clite_instance_list": (c_int, c_char_p, callback_type(c_char_p), c_void_p),
    "clite_fd": (c_int, _ctx),
    "clite_dispatch": (c_int, _ctx, c_uint32),
    "clite_device_attach": (c_int, _ctx, c_char_p),
    "clite_device_attach_opts": (c_int, _ctx, c_char_p, POINTER(clite_device_opts)),
    "clite_device_detach": (c_int, _ctx, c_char_p),
    # metric.h
    "clite_metric_list": (c_int, _ctx, list_callback(clite_metric), c_void_p),
    "clite_metric_page_new": (c_int, POINTER(_page)),
    "clite_metric_page_free": (_page, _page),
    "clite_metric_page_add": (c_int, POINTER(clite_metric), c_void_p),
    "clite_metric_page_text": (c_int, _page, POINTER(c_char_p), POINTER(c_size_t)),
    # cgroup.h
    "clite_cgroup_attach": (c_int, _ctx, c_char_p),
    "clite_cgroup_detach": (c_int, _ctx, c_char_p),
    "clite_cgroup_list": (c_int, _ctx, list_callback(clite_cgroup_info), c_void_p),
    # endpoint.h
    "clite_endpoint_add": (c_int, _ctx, c_char_p, POINTER(clite_endpoint_opts),
                           POINTER(c_uint32)),
    "clite_endpoint_remove": (c_int, _ctx, c_uint32),
    "clite_endpoint_get": (c_int, _ctx, c_uint32, POINTER(POINTER(clite_endpoint_info))),
    "clite_endpoint_find": (c_int, _ctx, c_char_p, POINTER(c_uint32)),
    "clite_config_get": (c_int, _ctx, POINTER(clite_config)),
    "clite_config_set": (c_int, _ctx, POINTER(clite_config)),
    "clite_endpoint_set_audit": (c_int, _ctx, c_uint32, c_uint32),
    "clite_endpoint_list": (c_int, _ctx, list_callback(clite_endpoint_info), c_void_p),
    # identity.h
    "clite_identity_get": (c_int, _ctx, c_uint32, POINTER(POINTER(clite_identity_info))),
    "clite_identity_list": (c_int, _ctx, list_callback(clite_identity_info), c_void_p),
    "clite_ipcache_set": (c_int, _ctx, c_char_p, c_uint32),
    "clite_ipcache_unset": (c_int, _ctx, c_char_p),
    "clite_ipcache_get": (c_int, _ctx, c_char_p, POINTER(c_uint32)),
    "clite_ipcache_list": (c_int, _ctx, list_callback(clite_ipcache_info), c_void_p),
    # policy.h
    "clite_txn_new": (c_int, _ctx, POINTER(_txn)),
    "clite_txn_policy_put": (c_int, _txn, c_char_p, _parts, c_size_t),
    "clite_txn_policy_delete": (c_int, _txn, c_char_p),
    "clite_txn_policy_import": (c_int, _txn, c_char_p, c_size_t, POINTER(clite_import_opts)),
    "clite_txn_commit": (c_int, _txn),
    "clite_txn_warnings": (c_int, _txn, list_callback(clite_warning), c_void_p),
    "clite_txn_free": (_txn, _txn),
    "clite_policy_put": (c_int, _ctx, c_char_p, _parts, c_size_t),
    "clite_policy_import": (c_int, _ctx, c_char_p, c_size_t, POINTER(clite_import_opts)),
    "clite_policy_delete": (c_int, _ctx, c_char_p),
    "clite_policy_validate": (c_int, c_char_p, c_size_t, POINTER(clite_import_opts),
                              POINTER(c_char), c_size_t),
    "clite_policy_get": (c_int, _ctx, c_char_p, POINTER(POINTER(clite_policy_info))),
    "clite_policy_list": (c_int, _ctx, list_callback(clite_policy_info), c_void_p),
    "clite_policy_hits": (c_int, _ctx, c_char_p, list_callback(clite_rule_hits), c_void_p),
    "clite_policy_warnings": (c_int, _ctx, c_char_p, list_callback(clite_warning), c_void_p),
    "clite_rule_get": (c_int, _ctx, c_uint32, POINTER(POINTER(clite_rule_info))),
    "clite_policy_entries": (c_int, _ctx, c_uint32, list_callback(clite_policy_entry), c_void_p),
    # masquerade.h
    "clite_masquerade_set": (c_int, _ctx, POINTER(clite_masquerade)),
    "clite_masquerade_get": (c_int, _ctx, POINTER(POINTER(clite_masquerade))),
    # service.h
    "clite_service_update": (c_int, _ctx, POINTER(clite_service_opts), POINTER(c_uint32)),
    "clite_service_import": (c_int, _ctx, c_char_p, c_size_t,
                             POINTER(clite_service_import_opts)),
    "clite_service_delete": (c_int, _ctx, c_uint32),
    "clite_service_get": (c_int, _ctx, c_uint32, POINTER(POINTER(clite_service_info))),
    "clite_service_list": (c_int, _ctx, list_callback(clite_service_info), c_void_p),
    # conntrack.h
    "clite_conntrack_list": (c_int, _ctx, list_callback(clite_ct_info), c_void_p),
    "clite_conntrack_flush": (c_int, _ctx, c_uint32),
    # event.h
    "clite_subscribe": (c_int, _ctx, POINTER(clite_subscribe_opts), list_callback(clite_event),
                        c_void_p, POINTER(_sub)),
    "clite_unsubscribe": (_sub, _sub),
    "clite_subscription_lost": (c_int, _sub, POINTER(c_uint64)),
    "clite_event_text": (c_int, _ctx, POINTER(clite_event), POINTER(c_char), c_size_t),
    "clite_event_json": (c_int, _ctx, POINTER(clite_event), POINTER(c_char), c_size_t),
    "clite_drop_reason_text": (c_char_p, c_uint32),
    "clite_drop_reason_name": (c_char_p, c_uint32),
    "clite_trace_point_text": (c_char_p, c_uint32),
    # flow.h
    "clite_flow_resolve": (c_int, _ctx, POINTER(clite_event), POINTER(_flow)),
    "clite_flow_text": (c_int, _flow, POINTER(c_char), c_size_t),
    "clite_flow_json": (c_int, _flow, POINTER(c_char), c_size_t),
    # filter.h
    "clite_filters_new": (c_int, POINTER(_filters)),
    "clite_filters_ref": (_filters, _filters),
    "clite_filters_unref": (_filters, _filters),
    "clite_filters_add": (c_int, _filters, c_uint32, POINTER(clite_flow_filter)),
    "clite_filters_add_json": (c_int, _filters, c_uint32, c_char_p),
    "clite_filters_error": (c_char_p, _filters),
    "clite_filters_match": (c_int, _filters, _flow),
    # flow_file.h
    "clite_flow_reader_new": (c_int, POINTER(_reader)),
    "clite_flow_reader_line": (c_int, _reader, c_char_p, c_size_t, POINTER(_flow)),
    "clite_flow_reader_open": (c_int, _reader, c_char_p),
    "clite_flow_reader_fd": (c_int, _reader, c_int, c_char_p),
    "clite_flow_reader_next": (c_int, _reader, POINTER(_flow)),
    "clite_flow_reader_counts": (c_int, _reader, POINTER(clite_flow_reader_counts)),
    "clite_flow_reader_error": (c_char_p, _reader),
    "clite_flow_reader_free": (_reader, _reader),
    # flow_mask.h
    "clite_flow_mask_new": (c_int, POINTER(c_char_p), POINTER(c_char), c_size_t, POINTER(_mask)),
    "clite_flow_mask_ref": (_mask, _mask),
    "clite_flow_mask_unref": (_mask, _mask),
    "clite_flow_mask_json": (c_int, _mask, _flow, POINTER(c_char), c_size_t),
    # flow_log.h
    "clite_flow_log_open": (c_int, c_char_p, POINTER(clite_flow_log_opts), POINTER(_log)),
    "clite_flow_log_write": (c_int, _log, _flow),
    "clite_flow_log_lost": (c_int, _log, c_uint64, c_uint64),
    "clite_flow_log_flush": (c_int, _log),
    "clite_flow_log_reopen": (c_int, _log),
    "clite_flow_log_counts": (c_int, _log, POINTER(clite_flow_log_counts)),
    "clite_flow_log_error": (c_char_p, _log),
    "clite_flow_log_close": (_log, _log),
    # capture.h
    "clite_capture_open": (c_int, c_char_p, POINTER(clite_capture_opts), POINTER(_capture)),
    "clite_capture_open_fd": (c_int, c_int, POINTER(clite_capture_opts), POINTER(_capture)),
    "clite_capture_write": (c_int, _capture, _flow),
    "clite_capture_lost": (c_int, _capture, c_uint64),
    "clite_capture_finish": (c_int, _capture),
    "clite_capture_free": (_capture, _capture),
    # rehearse.h
    "clite_policy_rehearse": (c_int, _txn, POINTER(clite_rehearse_opts),
                              list_callback(clite_rehearsal_flow), c_void_p,
                              POINTER(_rehearsal)),
    "clite_rehearsal_feed": (c_int, _rehearsal, POINTER(clite_event)),
    "clite_rehearsal_counts": (c_int, _rehearsal, POINTER(clite_rehearsal_counts)),
    "clite_rehearsal_commit": (c_int, _rehearsal),
    "clite_rehearsal_free": (_rehearsal, _rehearsal),
    # trace.h
    "clite_trace": (c_int, _ctx, POINTER(clite_trace_opts), POINTER(POINTER(clite_trace))),
    # sys/bpf.h
    "clite_sys_prog_fd": (c_int, _ctx, c_char_p),
    "clite_sys_map_fd": (c_int, _ctx, c_char_p),
}

# ---- the library ----------------------------------------------------------------------------

_lock = threading.Lock()
_library: Optional[ctypes.CDLL] = None


def _open() -> ctypes.CDLL:
    path = os.environ.get("CILIUM_LITE_LIBRARY")
    if path:
        try:
            return ctypes.CDLL(path)
        except OSError as e:
            raise ImportError(f"CILIUM_LITE_LIBRARY={path}: {e}") from None
    try:
        return ctypes.CDLL(SONAME)
    except OSError as e:
        first = e
    found = ctypes.util.find_library("cilium-lite")
    if not found:
        raise ImportError(
            f"{first}; install libcilium-lite where the loader finds it, or set "
            "CILIUM_LITE_LIBRARY to the path of libcilium-lite.so")
    return ctypes.CDLL(found)


def _prepare(library: ctypes.CDLL) -> None:
    wanted = CLITE_VERSION_MAJOR, CLITE_VERSION_MINOR
    for name, (result, *arguments) in PROTOTYPES.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(
                f"{library._name} has no function {name}: this package needs libcilium-lite "
                f"{wanted[0]}.{wanted[1]} or newer") from None
        function.restype = result
        function.argtypes = arguments
    version = library.clite_version()
    if (version >> 16, version >> 8 & 0xff) < wanted:
        raise ImportError(
            f"{library._name} is version {version >> 16}.{version >> 8 & 0xff}: this package "
            f"needs {wanted[0]}.{wanted[1]} or newer")


def lib() -> ctypes.CDLL:
    """The library, loaded at the first call."""
    global _library
    if _library is None:
        with _lock:
            if _library is None:
                library = _open()
                _prepare(library)
                _library = library
    return _library
