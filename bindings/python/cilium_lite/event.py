# SPDX-License-Identifier: BSD-2-Clause
"""Flow events: what the datapath did to which packet, and why."""
from __future__ import annotations

import collections
import ctypes
import dataclasses
import datetime
import ipaddress
import itertools
import json
import time
import weakref
from ctypes import POINTER, byref, c_char, c_size_t, c_uint64
from typing import (TYPE_CHECKING, Any, Callable, Deque, Dict, Iterable, Iterator, Optional,
                    Union)

from . import _native
from ._core import IPAddress, decode, enumerated, name_of, named, snapshot, unsigned
from ._errors import Error, invalid
from .enums import Aggregation, Direction, EventType, Protocol, Verdict
from .flow import Filters, ResolvedFlow, _make_flow

if TYPE_CHECKING:
    from .context import Context
    from .policy import RuleInfo

bytes_ = bytes  # a field of events has that name
Types = Union[None, EventType, int, str, Iterable[Union[EventType, int, str]]]


def _text(value: Optional[bytes]) -> Optional[str]:
    return None if value is None else decode(value)


def drop_reason_text(reason: int) -> Optional[str]:
    """Cilium's text for a drop reason, "Policy denied" for 133; None if it is none."""
    return _text(_native.lib().clite_drop_reason_text(unsigned(reason, 32, "reason")))


def drop_reason_name(reason: int) -> Optional[str]:
    """Hubble's name for a drop reason, "POLICY_DENIED" for 133; None if it has none."""
    return _text(_native.lib().clite_drop_reason_name(unsigned(reason, 32, "reason")))


def trace_point_text(point: int) -> Optional[str]:
    """Cilium's text for a trace observation point, "to-endpoint" for 0; None if it is none."""
    return _text(_native.lib().clite_trace_point_text(unsigned(point, 32, "point")))


@dataclasses.dataclass(frozen=True, eq=False)
class Event:
    """An event: a copy that outlives the callback.

    str(event) is the line that "hubble observe" prints, event.json() its JSON; both look up
    names as they are now, and need the context still to be open.
    """

    time: int  # ns since 1970
    type: Union[EventType, int]
    subtype: int  # drop: reason; trace: observation point; verdict: match type
    verdict: Union[Verdict, int]
    drop_reason: int  # 0 unless dropped
    trace_reason: int  # trace: 0 new, 1 established, 2 reply, 3 related
    direction: Union[Direction, int]  # 0: not known
    is_reply: Optional[bool]  # None: not known
    family: int  # 4 or 6
    protocol: Union[Protocol, int]
    source: Optional[IPAddress]
    destination: Optional[IPAddress]  # after translation
    source_port: Optional[int]
    destination_port: Optional[int]
    icmp_type: Optional[int]
    icmp_code: Optional[int]
    service_address: Optional[IPAddress]  # what the packet was sent to, if it was translated
    service_port: Optional[int]
    tcp_flags: int  # as in the TCP header
    source_endpoint: int  # 0: outside
    destination_endpoint: int
    source_identity: int
    destination_identity: int
    egress_rule: int  # cookie of the rule that decided; 0: none
    ingress_rule: int
    ifindex: int
    length: int  # of the packet, bytes
    source_file: str  # drop: where in the datapath's source it was dropped
    source_line: int
    packets: int  # of the flow in this direction up to then
    bytes: int
    packet: bytes_ = dataclasses.field(repr=False)  # its first bytes, if capture_bytes asked for them
    context: Context = dataclasses.field(repr=False)
    _raw: Any = dataclasses.field(repr=False)

    @property
    def timestamp(self) -> datetime.datetime:
        """Its time, to the microsecond, in UTC."""
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        return epoch + datetime.timedelta(microseconds=self.time // 1000)

    @property
    def dropped(self) -> bool:
        return self.verdict == Verdict.DROPPED

    @property
    def type_name(self) -> str:
        """"DROP", "TRACE" or "POLICY_VERDICT"."""
        return name_of(self.type)

    @property
    def verdict_name(self) -> str:
        """"FORWARDED" or "DROPPED"."""
        return name_of(self.verdict)

    @property
    def direction_name(self) -> str:
        """"INGRESS", "EGRESS"; "" if it is not known."""
        return name_of(self.direction) if self.direction else ""

    @property
    def protocol_name(self) -> str:
        """"TCP", "UDP", ..., or the number."""
        return name_of(self.protocol)

    @property
    def drop_reason_text(self) -> str:
        """"Policy denied", ...; "" unless dropped."""
        return (drop_reason_text(self.drop_reason) or "") if self.drop_reason else ""

    @property
    def drop_reason_name(self) -> str:
        """"POLICY_DENIED", ...; "" unless dropped."""
        return (drop_reason_name(self.drop_reason) or "") if self.drop_reason else ""

    def rule(self) -> Optional[RuleInfo]:
        """The rule that decided, in the event's direction if there are two; None: no rule.
        NotFound: it is not there any more."""
        cookies = [self.egress_rule, self.ingress_rule]
        if self.direction == Direction.INGRESS:
            cookies.reverse()
        cookie = cookies[0] or cookies[1]
        return self.context.policy.rule(cookie) if cookie else None

    def flow(self) -> ResolvedFlow:
        """It with the names that it has now."""
        core = self.context._core
        return core.get(core.lib.clite_flow_resolve, _native.clite_flow,
                        lambda c: _make_flow(c, self), self._pointer())

    def _pointer(self) -> Any:
        # A copy whose packet is ours: the ring's is gone.
        event = ctypes.cast(ctypes.create_string_buffer(self._raw, len(self._raw)),
                            POINTER(_native.clite_event))
        if len(self._raw) >= ctypes.sizeof(_native.clite_event):
            event.contents.packet = ctypes.cast(self.packet or None, POINTER(ctypes.c_uint8))
            event.contents.packet_bytes = len(self.packet)
        return event

    def text(self) -> str:
        """One line, as "hubble observe" prints it."""
        return self._write(self.context._core.lib.clite_event_text)

    def json_text(self) -> str:
        """Hubble's JSON, one line, as "hubble observe -o json" prints it."""
        return self._write(self.context._core.lib.clite_event_json)

    def json(self) -> Dict[str, Any]:
        """The same as a dict."""
        value: Dict[str, Any] = json.loads(self.json_text())
        return value

    def _write(self, function: Any) -> str:
        event = self._pointer()
        size = 1024
        while True:
            buffer = (c_char * size)()
            length = self.context._core.call(function, event, buffer, size)
            if length < size:
                return decode(buffer.value)
            size = length + 1

    def __str__(self) -> str:
        if self.context is None:  # of a saved flow, which has the names
            return repr(self)
        try:
            return self.text()
        except Error:  # closed, destroyed, forked: without the names then
            return repr(self)


def _make_event(pointer: Any, context: Context) -> Event:
    c = snapshot(pointer, _native.clite_event)
    icmp = c.protocol in (Protocol.ICMP, Protocol.ICMPV6)
    ports = bool(c.has_ports) and not icmp
    return Event(
        time=c.time,
        type=named(c.type, EventType),
        subtype=c.subtype,
        verdict=named(c.verdict, Verdict),
        drop_reason=c.drop_reason,
        trace_reason=c.trace_reason,
        direction=named(c.direction, Direction),
        is_reply={0: False, 1: True}.get(c.is_reply),
        family=c.family,
        protocol=named(c.protocol, Protocol),
        source=_address(c.family, c.source),
        destination=_address(c.family, c.destination),
        source_port=c.source_port if ports else None,
        destination_port=c.destination_port if ports else None,
        icmp_type=c.icmp_type if icmp and c.has_ports else None,
        icmp_code=c.icmp_code if icmp and c.has_ports else None,
        service_address=_address(c.family, c.original) if c.service_port else None,
        service_port=c.service_port or None,
        tcp_flags=c.tcp_flags,
        source_endpoint=c.source_endpoint,
        destination_endpoint=c.destination_endpoint,
        source_identity=c.source_identity,
        destination_identity=c.destination_identity,
        egress_rule=c.egress_rule,
        ingress_rule=c.ingress_rule,
        ifindex=c.ifindex,
        length=c.length,
        source_file=decode(c.source_file),
        source_line=c.source_line,
        packets=c.packets,
        bytes=c.bytes,
        packet=ctypes.string_at(c.packet, c.packet_bytes) if c.packet else b"",
        context=context,
        # Whole, as long as this library makes it: that is what it wants back.
        _raw=ctypes.string_at(pointer, c_size_t.from_address(
            ctypes.addressof(pointer.contents)).value))


def _address(family: int, octets: Any) -> Optional[IPAddress]:
    if family == 4:
        return ipaddress.IPv4Address(bytes(octets[:4]))
    return ipaddress.IPv6Address(bytes(octets)) if family == 6 else None


# ---- subscriptions ----------------------------------------------------------------------

_tokens = itertools.count(1)
# The library holds a number, not an object: an event that comes late finds nothing.
_subscriptions: weakref.WeakValueDictionary[int, Subscription] = weakref.WeakValueDictionary()


def _deliver(pointer: Any, token: Any) -> int:
    subscription = _subscriptions.get(token)
    return subscription._deliver(pointer) if subscription else 0


_on_event = _native.list_callback(_native.clite_event)(_deliver)


def _type_bits(types: Types) -> int:
    if types is None:
        return 0
    if isinstance(types, (int, str)):
        types = [types]
    numbers = [enumerated(t, EventType, "a type of events") for t in types]
    if not numbers:
        raise invalid("types is empty: give None for all")
    for number in numbers:
        if not 0 < number < 32:
            raise invalid(f"{number} is no type of events")
    return sum(1 << number for number in set(numbers))


class Subscription:
    """Calls a function for each event, from ctx.dispatch().

    The context keeps it until close(). It is a context manager.
    """

    def __init__(self, context: Context, callback: Callable[[Event], Any], *,
                 types: Types = None, aggregation: Union[Aggregation, int, str, None] = None,
                 ring_bytes: int = 0, capture_bytes: int = 0,
                 filters: Optional[Filters] = None) -> None:
        if not callable(callback):
            raise TypeError("callback must be something to call")
        core, ret, token = context._core, POINTER(_native.clite_subscription)(), next(_tokens)
        level = 0 if aggregation is None else 1 + enumerated(aggregation, Aggregation,
                                                             "aggregation")
        opts = _native.clite_subscribe_opts(
            sz=ctypes.sizeof(_native.clite_subscribe_opts), types=_type_bits(types),
            aggregation=unsigned(level, 32, "aggregation"),
            ring_bytes=unsigned(ring_bytes, 32, "ring_bytes"),
            capture_bytes=unsigned(capture_bytes, 32, "capture_bytes"),
            filters=filters._pointer if filters is not None else None)
        self._callback = callback
        self.context = context
        with core as pointer:
            core.check(core.lib.clite_subscribe(pointer, byref(opts), _on_event, token,
                                                byref(ret)))
            self._finalizer = weakref.finalize(self, core.release, core.lib.clite_unsubscribe,
                                               ret)
            _subscriptions[token] = self
        self._pointer = ret
        context._children.add(self)

    def _deliver(self, pointer: Any) -> int:
        if self.closed:
            return 0
        try:
            self._callback(_make_event(pointer, self.context))
        except BaseException as e:
            self.context._core.raised = e
            return -1
        return 0

    @property
    def lost(self) -> int:
        """Events that did not fit into the ring since the subscription began."""
        core, ret = self.context._core, c_uint64()
        with core:
            if self.closed:
                raise invalid("the subscription is over")
            core.check(core.lib.clite_subscription_lost(self._pointer, byref(ret)))
        return ret.value

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        """End it: the function is called no more. Allowed inside of it, and more than once."""
        self._finalizer()
        self.context._kept.discard(self)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_exception: Any) -> None:
        self.close()


class EventStream:
    """Events to iterate over: `for event in ctx.events(timeout=10): ...`

    Holds the events from its making on. Iterating waits for the next one, at most timeout
    seconds, and ends when none came; to iterate again goes on. Events of other subscriptions of
    the context are delivered meanwhile. It ends with close(), with its `with` block, or when
    nobody refers to it any more.
    """

    QUEUE = 65536

    def __init__(self, context: Context, *, timeout: Optional[float] = None, types: Types = None,
                 aggregation: Union[Aggregation, int, str, None] = None,
                 ring_bytes: int = 0, capture_bytes: int = 0,
                 filters: Optional[Filters] = None) -> None:
        self.timeout = timeout
        self.context = context
        self._queue = queue = _Queue(self.QUEUE)
        self._subscription = Subscription(context, queue.put, types=types,
                                          aggregation=aggregation, ring_bytes=ring_bytes,
                                          capture_bytes=capture_bytes, filters=filters)

    @property
    def lost(self) -> int:
        """Events that fitted neither into the ring nor into the queue here."""
        return self._subscription.lost + self._queue.lost

    def get(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event; None if none came in so many seconds. None: wait for ever."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._queue.events:
            # In case another thread has dispatched our events in the very moment: look again.
            left = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
            if self._subscription.closed:
                raise invalid("the stream of events is closed")
            self.context.wait(max(0.0, left))
            self.context.dispatch(256)
            if left <= 0 and not self._queue.events:
                return None
        return self._queue.events.popleft()

    def __iter__(self) -> Iterator[Event]:
        while self._queue.events or not self.closed:
            event = self.get(self.timeout)
            if event is None:
                return
            yield event

    @property
    def closed(self) -> bool:
        return self._subscription.closed

    def close(self) -> None:
        """End it. More than once is allowed."""
        self._subscription.close()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_exception: Any) -> None:
        self.close()


class _Queue:
    """What was delivered and not yet asked for; apart from the stream, so that the
    subscription does not refer to it."""

    def __init__(self, limit: int) -> None:
        self.events: Deque[Event] = collections.deque()
        self.limit = limit
        self.lost = 0

    def put(self, event: Event) -> None:
        if len(self.events) < self.limit:
            self.events.append(event)
        else:
            self.lost += 1
