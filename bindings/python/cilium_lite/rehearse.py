# SPDX-License-Identifier: BSD-2-Clause
"""Rehearsals: what a change of policies would do to the flows that are there."""
from __future__ import annotations

import ctypes
import dataclasses
import itertools
import weakref
from ctypes import POINTER, byref
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from . import _native
from ._core import named, snapshot, unsigned
from ._errors import invalid
from .enums import Direction, Verdict
from .event import Event, _make_event
from .policy import RuleInfo, _make_rule

if TYPE_CHECKING:
    from .policy import Transaction

@dataclasses.dataclass(frozen=True)
class RehearsedFlow:
    """A flow that the candidate would treat differently."""

    event: Event  # by which it was seen
    live_verdict: Union[Verdict, int]  # of the policies in force
    candidate_verdict: Union[Verdict, int]
    live_reason: int  # drop reason 133 or 181, also if audited; 0: nothing denies it
    candidate_reason: int
    live_direction: Union[Direction, int]  # where it was decided; 0: nothing is enforced
    candidate_direction: Union[Direction, int]
    live_rule: Optional[RuleInfo]  # None: no rule decides
    candidate_rule: Optional[RuleInfo]


@dataclasses.dataclass(frozen=True)
class RehearsalCounts:
    """What a rehearsal has seen."""

    events: int  # that were judged
    flows: int  # distinct ones
    allowed: int  # of them: dropped now, would pass
    denied: int  # of them: pass now, would be dropped
    lost: int  # events that came too fast


def _rule(pointer: Any) -> Optional[RuleInfo]:
    return _make_rule(snapshot(pointer, _native.clite_rule_info)) if pointer else None


_tokens = itertools.count(1)
_rehearsals: weakref.WeakValueDictionary[int, Rehearsal] = weakref.WeakValueDictionary()


def _deliver(pointer: Any, token: Any) -> int:
    rehearsal = _rehearsals.get(token)
    return rehearsal._deliver(pointer) if rehearsal else 0


_on_flow = _native.list_callback(_native.clite_rehearsal_flow)(_deliver)


class Rehearsal:
    """Judges flows by the policies in force and by a candidate; made by txn.rehearse().

    Calls a function with a RehearsedFlow for each flow that would change, from ctx.dispatch()
    or feed(). It is a context manager.
    """

    def __init__(self, transaction: Transaction, callback: Callable[[RehearsedFlow], Any], *,
                 fed: bool = False, ring_bytes: int = 0) -> None:
        if not callable(callback):
            raise TypeError("callback must be something to call")
        context = transaction.context
        core, ret, token = context._core, POINTER(_native.clite_rehearsal)(), next(_tokens)
        opts = _native.clite_rehearse_opts(
            sz=ctypes.sizeof(_native.clite_rehearse_opts), flags=_native.CLITE_REHEARSE_FED if fed else 0,
            ring_bytes=unsigned(ring_bytes, 32, "ring_bytes"))
        self._callback = callback
        self.context = context
        with core:
            transaction._call(core.lib.clite_policy_rehearse, byref(opts), _on_flow, token,
                              byref(ret))
            self._finalizer = weakref.finalize(self, core.release, core.lib.clite_rehearsal_free,
                                               ret)
            _rehearsals[token] = self
        self._pointer = ret
        context._children.add(self)

    def _deliver(self, pointer: Any) -> int:
        if self.closed:
            return 0
        try:
            c = snapshot(pointer, _native.clite_rehearsal_flow)
            self._callback(RehearsedFlow(
                event=_make_event(c.event, self.context),
                live_verdict=named(c.live_verdict, Verdict),
                candidate_verdict=named(c.candidate_verdict, Verdict),
                live_reason=c.live_reason,
                candidate_reason=c.candidate_reason,
                live_direction=named(c.live_direction, Direction),
                candidate_direction=named(c.candidate_direction, Direction),
                live_rule=_rule(c.live_rule),
                candidate_rule=_rule(c.candidate_rule)))
        except BaseException as e:
            self.context._core.raised = e
            return -1
        return 0

    def _call(self, function: Any, *arguments: Any) -> int:
        core = self.context._core
        with core:
            if self.closed:
                raise invalid("the rehearsal is over")
            return core.check(function(self._pointer, *arguments))

    def feed(self, event: Event) -> bool:
        """Judge an event that was kept: would its flow change?"""
        raw = ctypes.cast(ctypes.c_char_p(event._raw), POINTER(_native.clite_event))
        core = self.context._core
        try:
            return self._call(core.lib.clite_rehearsal_feed, raw) > 0
        except Exception:
            raised, core.raised = core.raised, None
            if raised is not None:
                raise raised from None
            raise

    @property
    def counts(self) -> RehearsalCounts:
        """What it has seen up to now."""
        c = _native.clite_rehearsal_counts(sz=ctypes.sizeof(_native.clite_rehearsal_counts))
        self._call(self.context._core.lib.clite_rehearsal_counts, byref(c))
        return RehearsalCounts(events=c.events, flows=c.flows, allowed=c.allowed,
                               denied=c.denied, lost=c.lost)

    def commit(self) -> int:
        """Bring exactly what was rehearsed into force; the new revision. It fails if the
        policies in force are others now than when the rehearsal began."""
        return self._call(self.context._core.lib.clite_rehearsal_commit)

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        """End it."""
        self._finalizer()
        self.context._children.discard(self)

    def __enter__(self) -> Rehearsal:
        return self

    def __exit__(self, *_exception: Any) -> None:
        self.close()
