# SPDX-License-Identifier: BSD-2-Clause
"""Flows: events with names, and filters of them."""
from __future__ import annotations

import ctypes
import dataclasses
import json
import weakref
from ctypes import POINTER, byref, c_char
from typing import TYPE_CHECKING, Any, Dict, Iterable, Mapping, Optional, Tuple, Union

from . import _native
from ._core import Arena, check, decode, decode_strings, encode, named, snapshot
from ._errors import failure
from .enums import Action, Direction, FlowKind
from .policy import RuleInfo, _make_rule

if TYPE_CHECKING:
    from .event import Event

FilterLike = Union[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class FlowEnd:
    """One end of a flow. What is not known is "" or empty."""

    namespace: str
    pod: str  # name of the endpoint, without a namespace
    service: str  # without a namespace
    service_namespace: str
    cluster: str
    workload: str
    workload_kind: str
    labels: Tuple[str, ...]  # "source:key=value"
    names: Tuple[str, ...]  # of DNS


@dataclasses.dataclass(frozen=True)
class FlowPolicy:
    """A policy that a flow was decided by."""

    name: str
    namespace: str
    kind: str  # "CiliumNetworkPolicy"; "" if it may be of any kind
    direction: Union[Direction, int]
    action: Union[Action, int]
    revision: int  # 0: not known
    rule: Optional[RuleInfo]  # None: no rule of this instance


@dataclasses.dataclass(frozen=True, eq=False)
class ResolvedFlow:
    """An event with the names that it had when it was asked for them. Needs no context.

    str(flow) is the line that "hubble observe" prints, flow.json() its JSON.
    """

    event: Event
    source: FlowEnd
    destination: FlowEnd
    policies: Tuple[FlowPolicy, ...]
    node: str  # where it was seen
    summary: str  # "TCP Flags: SYN"
    kind: Union[FlowKind, int]
    interface: str = ""  # name of the device where it was seen

    def text(self) -> str:
        """One line, as "hubble observe" prints it."""
        return self._write(_native.lib().clite_flow_text)

    def json_text(self) -> str:
        """Hubble's JSON, one line, as "hubble observe -o json" prints it."""
        return self._write(_native.lib().clite_flow_json)

    def json(self) -> Dict[str, Any]:
        """The same as a dict."""
        value: Dict[str, Any] = json.loads(self.json_text())
        return value

    def _write(self, function: Any) -> str:
        arena = Arena()
        flow = _to_c(self, arena)
        size = 1024
        while True:
            buffer = (c_char * size)()
            length = check(function(flow, buffer, size))
            if length < size:
                return decode(buffer.value)
            size = length + 1

    def __str__(self) -> str:
        return self.text()


# ---- C to Python --------------------------------------------------------------------------


def _make_end(pointer: Any) -> FlowEnd:
    c = snapshot(pointer, _native.clite_flow_end)
    return FlowEnd(namespace=decode(c.ns), pod=decode(c.pod), service=decode(c.service),
                   service_namespace=decode(c.service_ns), cluster=decode(c.cluster),
                   workload=decode(c.workload), workload_kind=decode(c.workload_kind),
                   labels=decode_strings(c.labels), names=decode_strings(c.names))


def _make_policy(pointer: Any) -> FlowPolicy:
    c = snapshot(pointer, _native.clite_flow_policy)
    rule = snapshot(c.rule, _native.clite_rule_info) if c.rule else None
    return FlowPolicy(name=decode(c.name), namespace=decode(c.ns), kind=decode(c.kind),
                      direction=named(c.direction, Direction), action=named(c.action, Action),
                      revision=c.revision, rule=_make_rule(rule) if rule else None)


def _make_flow(c: Any, event: Event) -> ResolvedFlow:
    policies = []
    while c.policies[len(policies)]:
        policies.append(_make_policy(c.policies[len(policies)]))
    return ResolvedFlow(event=event, source=_make_end(c.source),
                        destination=_make_end(c.destination), policies=tuple(policies),
                        node=decode(c.node), summary=decode(c.summary),
                        kind=named(c.kind, FlowKind), interface=decode(c.interface))


# ---- Python to C --------------------------------------------------------------------------


def _end_to_c(end: FlowEnd, arena: Arena) -> Any:
    return arena.keep(_native.clite_flow_end(
        sz=ctypes.sizeof(_native.clite_flow_end),
        ns=encode(end.namespace, "namespace"), pod=encode(end.pod, "pod"),
        service=encode(end.service, "service"),
        service_ns=encode(end.service_namespace, "service_namespace"),
        cluster=encode(end.cluster, "cluster"), workload=encode(end.workload, "workload"),
        workload_kind=encode(end.workload_kind, "workload_kind"),
        labels=arena.strings(encode(label, "a label") for label in end.labels),
        names=arena.strings(encode(name, "a name") for name in end.names)))


def _rule_to_c(rule: RuleInfo, arena: Arena) -> Any:
    return ctypes.pointer(arena.keep(_native.clite_rule_info(
        sz=ctypes.sizeof(_native.clite_rule_info), policy=encode(rule.policy, "policy"),
        filename=encode(rule.filename, "filename"), cookie=rule.cookie, line=rule.line,
        direction=rule.direction, action=rule.action, index=rule.index)))


def _policy_to_c(policy: FlowPolicy, arena: Arena) -> Any:
    return ctypes.pointer(arena.keep(_native.clite_flow_policy(
        sz=ctypes.sizeof(_native.clite_flow_policy), name=encode(policy.name, "name"),
        ns=encode(policy.namespace, "namespace"), kind=encode(policy.kind, "kind"),
        direction=policy.direction, action=policy.action, revision=policy.revision,
        rule=_rule_to_c(policy.rule, arena) if policy.rule else None)))


def _to_c(flow: ResolvedFlow, arena: Arena) -> Any:
    policies = [_policy_to_c(policy, arena) for policy in flow.policies]
    return byref(arena.keep(_native.clite_flow(
        sz=ctypes.sizeof(_native.clite_flow), event=flow.event._pointer(),
        source=ctypes.pointer(_end_to_c(flow.source, arena)),
        destination=ctypes.pointer(_end_to_c(flow.destination, arena)),
        policies=arena.array(POINTER(_native.clite_flow_policy),
                             [*policies, POINTER(_native.clite_flow_policy)()]),
        node=encode(flow.node, "node"), summary=encode(flow.summary, "summary"),
        kind=flow.kind, interface=encode(flow.interface, "interface"))))


# ---- filters ------------------------------------------------------------------------------


class Filters:
    """Filters with the meaning of Hubble's: a flow passes if one of allow matches it, or there
    is none, and none of deny does.

        Filters(allow=[{"source_pod": ["kube-system/"], "verdict": ["DROPPED"]}],
                deny=['{"reply": [true]}'])

    A filter is a dict, or JSON, with the fields of FlowFilter (api/v1/flow/flow.proto). Needs
    no context. InvalidArgument says which field and value is wrong.
    """

    def __init__(self, allow: Union[FilterLike, Iterable[FilterLike]] = (),
                 deny: Union[FilterLike, Iterable[FilterLike]] = ()) -> None:
        self._lib = _native.lib()
        self._pointer = POINTER(_native.clite_filters)()
        check(self._lib.clite_filters_new(byref(self._pointer)))
        weakref.finalize(self, self._lib.clite_filters_unref, self._pointer)
        self._add(_native.CLITE_FILTER_ALLOW, allow)
        self._add(_native.CLITE_FILTER_DENY, deny)

    def _add(self, number: int, filters: Union[FilterLike, Iterable[FilterLike]]) -> None:
        for one in [filters] if isinstance(filters, (str, Mapping)) else filters:
            text = one if isinstance(one, str) else json.dumps(dict(one))
            r = self._lib.clite_filters_add_json(self._pointer, number, encode(text, "a filter"))
            if r < 0:
                raise failure(r, decode(self._lib.clite_filters_error(self._pointer)))

    def match(self, flow: ResolvedFlow) -> bool:
        """Does a flow pass?"""
        arena = Arena()
        return bool(check(self._lib.clite_filters_match(self._pointer, _to_c(flow, arena))))
