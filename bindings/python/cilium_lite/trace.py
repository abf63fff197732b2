# SPDX-License-Identifier: BSD-2-Clause
"""Traces: what would become of a packet, and why."""
from __future__ import annotations

import ctypes
import dataclasses
from typing import TYPE_CHECKING, Any, Optional, Tuple, Union

from . import _native
from ._core import (AddressLike, IPAddress, decode, decode_address, encode_address_optional,
                    enumerated, named, snapshot, unsigned)
from .endpoint import Endpoint
from .enums import Direction, Protocol, Verdict, Way
from .policy import RuleInfo, _make_rule
from .service import Backend, _make_backend

if TYPE_CHECKING:
    from .context import Context


@dataclasses.dataclass(frozen=True)
class TraceStep:
    """What the policies of one end say."""

    direction: Union[Direction, int]
    endpoint: int  # whose policies
    peer: int  # identity of the other end
    enforced: bool  # False: no policy is in force
    reason: int  # drop reason 133 or 181; 0: it passes
    audited: bool  # audit mode lets pass what the reason says
    match: int  # Cilium's match type
    rule: Optional[RuleInfo]  # that decides; None: no rule
    rules: Tuple[RuleInfo, ...]  # all that match peer and port


@dataclasses.dataclass(frozen=True)
class Trace:
    """What would become of a packet."""

    verdict: Union[Verdict, int]
    reason: int  # drop reason; 0: it passes
    live_verdict: Union[Verdict, int, None]  # of the loaded programs; None: not asked
    live_reason: int
    agree: bool  # live and worked out are the same
    source: Optional[IPAddress]
    source_port: int  # 0: any
    source_endpoint: int  # 0: none of the instance's
    source_identity: int
    destination: Optional[IPAddress]  # after translation
    destination_port: int
    destination_endpoint: int
    destination_identity: int
    protocol: Union[Protocol, int]
    service: int  # that is translated; 0: none
    service_name: str
    backends: Tuple[Backend, ...]  # its active ones, of which one was traced
    chosen: bool  # the flow gets the one that was traced; False: any of them
    way: Union[Way, int]
    ifindex: int
    egress: Optional[TraceStep]  # None: the source is no endpoint
    ingress: Optional[TraceStep]  # None: the destination is none, or it was dropped before

    @property
    def allowed(self) -> bool:
        """Would it pass?"""
        return not self.reason


def _step(pointer: Any) -> Optional[TraceStep]:
    if not pointer:
        return None
    c = snapshot(pointer, _native.clite_trace_step)

    def rule(p: Any) -> RuleInfo:
        return _make_rule(snapshot(p, _native.clite_rule_info))

    return TraceStep(
        direction=named(c.direction, Direction), endpoint=c.endpoint, peer=c.peer,
        enforced=bool(c.enforced), reason=c.reason, audited=bool(c.audited), match=c.match,
        rule=rule(c.rule) if c.rule else None,
        rules=tuple(rule(c.rules[i]) for i in range(c.nrules)))


def _make_trace(c: Any) -> Trace:
    return Trace(
        verdict=named(c.verdict, Verdict), reason=c.reason,
        live_verdict=named(c.live_verdict, Verdict) if c.live else None,
        live_reason=c.live_reason, agree=bool(c.agree),
        source=decode_address(c.source), source_port=c.source_port,
        source_endpoint=c.source_endpoint, source_identity=c.source_identity,
        destination=decode_address(c.destination), destination_port=c.destination_port,
        destination_endpoint=c.destination_endpoint,
        destination_identity=c.destination_identity, protocol=named(c.protocol, Protocol),
        service=c.service, service_name=decode(c.service_name),
        backends=tuple(_make_backend(c.choices[i]) for i in range(c.backends)),
        chosen=bool(c.chosen),
        way=named(c.way, Way), ifindex=c.ifindex, egress=_step(c.egress),
        ingress=_step(c.ingress))


End = Union[AddressLike, Endpoint, None]


def _end(end: End, endpoint: int, what: str) -> Tuple[Optional[bytes], int]:
    """Address and endpoint of an end."""
    if isinstance(end, Endpoint):
        if endpoint:
            raise TypeError(f"{what}: an endpoint and {what}_endpoint")
        return None, end.id
    return encode_address_optional(end, what), unsigned(endpoint, 32, f"{what}_endpoint")


def trace(context: Context, source: End = None, destination: End = None, port: int = 0,
          protocol: Union[Protocol, int, str] = Protocol.TCP, *, source_port: int = 0,
          source_endpoint: int = 0, destination_endpoint: int = 0,
          source_identity: int = 0, destination_identity: int = 0, backend: int = 0,
          packet: Optional[bytes] = None, live: bool = False) -> Trace:
    """As ctx.trace()."""
    core = context._core
    source_address, source_endpoint = _end(source, source_endpoint, "source")
    destination_address, destination_endpoint = _end(destination, destination_endpoint,
                                                     "destination")
    opts = _native.clite_trace_opts(
        sz=ctypes.sizeof(_native.clite_trace_opts),
        flags=_native.CLITE_TRACE_LIVE if live else 0,
        protocol=enumerated(protocol, Protocol, "protocol"),
        source=source_address, destination=destination_address,
        source_endpoint=source_endpoint, destination_endpoint=destination_endpoint,
        source_identity=unsigned(source_identity, 32, "source_identity"),
        destination_identity=unsigned(destination_identity, 32, "destination_identity"),
        source_port=unsigned(source_port, 16, "source_port"),
        destination_port=unsigned(port, 16, "port"),
        backend=unsigned(backend, 32, "backend"),
        packet=ctypes.cast(ctypes.c_char_p(packet), ctypes.c_void_p),
        packet_len=len(packet or b""))
    return core.get(core.lib.clite_trace, _native.clite_trace, _make_trace, ctypes.byref(opts))
