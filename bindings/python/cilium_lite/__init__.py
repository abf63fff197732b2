# SPDX-License-Identifier: BSD-2-Clause
"""libcilium-lite: Cilium's eBPF datapath and Hubble's flows for any program.

    import cilium_lite as cl

    with cl.Context(ephemeral=True) as ctx:
        ctx.endpoints.add("veth0", ipv4="10.0.0.1", labels=["app=web"])
        ctx.policy.load(pathlib.Path("web.yaml"))
        for event in ctx.events():
            print(event)

Opening an instance needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or root. The library is
looked for under the path in CILIUM_LITE_LIBRARY, then where the loader looks.
"""
from ._errors import (Busy, Deadlock, DocumentError, Error, Exists, Forked, InvalidArgument,
                      LayoutError, NoBpffs, NoDevice, NoSpace, NotFound, NotPermitted, Stale,
                      TooBig, Unsupported)
from .capture import Capture
from .cgroup import Cgroup, Cgroups
from .conntrack import Conntrack, Flow
from .context import Config, Context, Counter, Feature, Status, instances, probe, version
from .endpoint import Endpoint, Endpoints
from .enums import (Action, Aggregation, Algorithm, BackendState, ConntrackFlags, DefaultDeny,
                    Direction, Enforcement, EventType, FlowKind, IpcacheSource, MetricType, Mode, Operator,
                    PeerKind, Protocol, ReservedIdentity, ServiceKind, Verdict, WarningCode, Way)
from .event import (Event, EventStream, Subscription, drop_reason_name, drop_reason_text,
                    trace_point_text)
from .flow import Filters, FlowEnd, FlowPolicy, ResolvedFlow
from .flow_file import FlowLog, FlowLogCounts, FlowMask, FlowReader, FlowReaderCounts
from .identity import Identities, Identity, Ipcache, IpcacheEntry
from .masquerade import Masquerade
from .metric import Metric
from .policy import (Limits, Part, Peer, Policies, Policy, PolicyEntry, Port, Requirement, Rule,
                     RuleHits, RuleInfo, Selector, Transaction, Warning, validate)
from .rehearse import Rehearsal, RehearsalCounts, RehearsedFlow
from .service import Backend, Service, Services
from .trace import Trace, TraceStep

__version__ = "0.1.0"

__all__ = [
    "Action", "Aggregation", "Algorithm", "Backend", "BackendState", "Busy", "Capture", "Cgroup",
    "Cgroups", "Config", "Conntrack", "ConntrackFlags", "Context", "Counter", "Deadlock",
    "DefaultDeny", "Direction", "DocumentError", "Endpoint", "Endpoints", "Enforcement",
    "Error", "Event", "EventStream", "EventType", "Exists", "Feature", "Filters", "Flow",
    "FlowEnd", "FlowKind", "FlowLog", "FlowLogCounts", "FlowMask", "FlowPolicy", "FlowReader",
    "FlowReaderCounts", "Forked", "Identities", "Identity", "InvalidArgument",
    "Ipcache", "IpcacheEntry", "IpcacheSource", "LayoutError", "Limits", "Masquerade", "Metric",
    "MetricType", "Mode", "NoBpffs", "NoDevice", "NoSpace", "NotFound", "NotPermitted",
    "Operator", "Part", "Peer", "PeerKind", "Policies", "Policy", "PolicyEntry", "Port",
    "Protocol", "Rehearsal", "RehearsalCounts", "RehearsedFlow", "Requirement",
    "ReservedIdentity", "ResolvedFlow", "Rule", "RuleHits", "RuleInfo", "Selector", "Service",
    "ServiceKind", "Services", "Stale", "Status", "Subscription", "TooBig", "Trace",
    "TraceStep", "Transaction", "Unsupported", "Verdict", "Warning", "WarningCode", "Way",
    "drop_reason_name", "drop_reason_text", "instances", "probe", "trace_point_text",
    "validate", "version",
]
