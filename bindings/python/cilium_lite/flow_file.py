# SPDX-License-Identifier: BSD-2-Clause
"""Saved flows: lines of JSON, masks of their members, and rotating logs of them."""
from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import threading
import weakref
from ctypes import POINTER, byref, c_char
from typing import Any, Dict, Iterable, Iterator, Optional, Union

from . import _native
from ._core import Arena, check, decode, encode, snapshot, unsigned
from ._errors import failure, invalid
from .event import _make_event
from .flow import Filters, ResolvedFlow, _make_flow, _to_c

PathLike = Union[str, "os.PathLike[str]"]


class _Handle:
    """A handle of C that one thread at a time may use."""

    def __init__(self, pointer: Any, error: Any, free: Any) -> None:
        self._pointer = pointer
        self._error = error
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, free, pointer)

    def _call(self, function: Any, *arguments: Any) -> int:
        with self._lock:
            if self.closed:
                raise invalid("it is closed")
            return self._check(function(self._pointer, *arguments))

    def _check(self, r: int) -> int:
        if r < 0:
            raise failure(r, decode(self._error(self._pointer)))
        return r

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        """Give back what it holds. Again does nothing."""
        with self._lock:
            self._finalizer()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_exception: Any) -> None:
        self.close()


# ---- reading ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class FlowReaderCounts:
    """What a reader has seen."""

    lines: int  # without empty ones
    flows: int  # of them
    others: int  # of them: JSON, but no flow
    wrong: int  # of them: those that were an error


def _saved_flow(pointer: Any) -> ResolvedFlow:
    flow = snapshot(pointer, _native.clite_flow)
    c = snapshot(flow.event, _native.clite_event)
    # The event outlives the line: so must the text that it points to.
    c.source_file = source_file = c.source_file or b""
    event = _make_event(ctypes.pointer(c), None)  # type: ignore[arg-type]
    object.__setattr__(event, "_source_file", source_file)
    return _make_flow(flow, event)


class FlowReader(_Handle):
    """Reads saved flows: those of Hubble's exporter, "hubble observe -o json", a FlowLog, ...

        for flow in FlowReader("flows.log.gz"):
            print(flow)

    A source is a path, or a file descriptor that stays the caller's; without one read lines
    by parse(). A line that is wrong raises DocumentError, which names line and member; after it
    the reader goes on with the next line. It is a context manager. An event of a saved flow has
    no context: its numbers are those of the instance that made it.
    """

    def __init__(self, source: Union[None, PathLike, int] = None) -> None:
        lib = self._lib = _native.lib()
        pointer = POINTER(_native.clite_flow_reader)()
        check(lib.clite_flow_reader_new(byref(pointer)))
        super().__init__(pointer, lib.clite_flow_reader_error, lib.clite_flow_reader_free)
        if isinstance(source, int):
            self._call(lib.clite_flow_reader_fd, source, None)
        elif source is not None:
            self._call(lib.clite_flow_reader_open, encode(os.fspath(source), "source"))

    def _flow(self, function: Any, *arguments: Any) -> Optional[ResolvedFlow]:
        ret = POINTER(_native.clite_flow)()
        with self._lock:
            if self.closed:
                raise invalid("the reader is closed")
            if not self._check(function(self._pointer, *arguments, byref(ret))):
                return None
            return _saved_flow(ret)

    def parse(self, line: Union[str, bytes]) -> Optional[ResolvedFlow]:
        """Read one line: None if it is empty, or JSON that is no flow."""
        text = line.encode("utf-8", "surrogateescape") if isinstance(line, str) else line
        return self._flow(self._lib.clite_flow_reader_line, text, len(text))

    def __iter__(self) -> Iterator[ResolvedFlow]:
        return self

    def __next__(self) -> ResolvedFlow:
        flow = self._flow(self._lib.clite_flow_reader_next)
        if flow is None:
            raise StopIteration
        return flow

    @property
    def counts(self) -> FlowReaderCounts:
        """What it has seen up to now."""
        c = _native.clite_flow_reader_counts(sz=ctypes.sizeof(_native.clite_flow_reader_counts))
        self._call(self._lib.clite_flow_reader_counts, byref(c))
        return FlowReaderCounts(lines=c.lines, flows=c.flows, others=c.others, wrong=c.wrong)


# ---- masks ----------------------------------------------------------------------------------


class FlowMask:
    """Which members of a flow are written, as Hubble's fieldMask: paths such as "time" or
    "source.pod_name". InvalidArgument says which path is wrong, and what would be right.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        if isinstance(paths, (str, bytes)):
            raise TypeError(f"paths must be a list of paths, not one {paths!r}")
        self._lib = _native.lib()
        self._pointer = POINTER(_native.clite_flow_mask)()
        arena, error = Arena(), (c_char * 1024)()
        r = self._lib.clite_flow_mask_new(arena.strings(encode(p, "a path") for p in paths),
                                          error, len(error), byref(self._pointer))
        if r < 0:
            raise failure(r, decode(error.value))
        weakref.finalize(self, self._lib.clite_flow_mask_unref, self._pointer)

    def json_text(self, flow: ResolvedFlow) -> str:
        """A flow as flow.json_text(), with what the mask has."""
        arena = Arena()
        c = _to_c(flow, arena)
        size = 1024
        while True:
            buffer = (c_char * size)()
            length = check(self._lib.clite_flow_mask_json(self._pointer, c, buffer, size))
            if length < size:
                return decode(buffer.value)
            size = length + 1

    def json(self, flow: ResolvedFlow) -> Dict[str, Any]:
        """The same as a dict."""
        value: Dict[str, Any] = json.loads(self.json_text(flow))
        return value


# ---- logs -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class FlowLogCounts:
    """What a log has done."""

    written: int  # lines that are in a file
    buffered: int  # lines that are not yet
    filtered: int  # flows that the filters did not let pass
    lost: int  # flows that found no room
    bytes: int  # that were written
    errors: int  # failed tries to write, rotate, remove or compress
    rotated: int  # files


class FlowLog(_Handle):
    """A rotating file of flows, in the format and with the names of Hubble's exporter.

        with FlowLog("/var/log/flows.log", mask=["time", "source", "verdict"]) as log:
            for event in ctx.events():
                log.write(event.flow())

    Lines are collected: call flush() from time to time. What the file does not take is kept
    as far as there is room, and tried again. "-" is standard output. max_files is how many old
    files stay (None: all of them); 0 stands for the default of max_bytes (10 MiB), max_files
    (5) and mode (0o600). It is a context manager.
    """

    def __init__(self, path: PathLike, *, max_bytes: int = 0, max_files: Optional[int] = 0,
                 mode: int = 0, compress: bool = False,
                 mask: Union[None, FlowMask, Iterable[str]] = None,
                 filters: Optional[Filters] = None) -> None:
        lib = self._lib = _native.lib()
        keep = _native.CLITE_FLOW_LOG_KEEP_ALL if max_files is None else max_files
        mask = FlowMask(mask) if mask is not None and not isinstance(mask, FlowMask) else mask
        pointer, error = POINTER(_native.clite_flow_log)(), (c_char * 1024)()
        opts = _native.clite_flow_log_opts(
            sz=ctypes.sizeof(_native.clite_flow_log_opts),
            max_bytes=unsigned(max_bytes, 64, "max_bytes"),
            max_files=unsigned(keep, 32, "max_files"), mode=unsigned(mode, 32, "mode"),
            flags=_native.CLITE_FLOW_LOG_COMPRESS if compress else 0,
            mask=mask._pointer if mask else None,
            filters=filters._pointer if filters else None,
            errbuf=ctypes.cast(error, POINTER(c_char)), errbuf_size=len(error))
        r = lib.clite_flow_log_open(encode(os.fspath(path), "path"), byref(opts), byref(pointer))
        if r < 0:
            raise failure(r, decode(error.value))
        super().__init__(pointer, lib.clite_flow_log_error, lib.clite_flow_log_close)

    def write(self, flow: ResolvedFlow) -> bool:
        """Write a flow: False if the filters do not let it pass. An error means that it is lost,
        because nothing more finds room; it is counted."""
        arena = Arena()
        return self._call(self._lib.clite_flow_log_write, _to_c(flow, arena)) > 0

    def lost(self, time: int, n: int) -> None:
        """Write that n flows did not reach the log; time is in ns since 1970."""
        self._call(self._lib.clite_flow_log_lost, unsigned(time, 64, "time"),
                   unsigned(n, 64, "n"))

    def flush(self) -> bool:
        """Write what was collected. Is there more to compress?"""
        return self._call(self._lib.clite_flow_log_flush) > 0

    def reopen(self) -> None:
        """Open the file anew, as after somebody else has renamed it."""
        self._call(self._lib.clite_flow_log_reopen)

    @property
    def counts(self) -> FlowLogCounts:
        """What it has done up to now."""
        c = _native.clite_flow_log_counts(sz=ctypes.sizeof(_native.clite_flow_log_counts))
        self._call(self._lib.clite_flow_log_counts, byref(c))
        return FlowLogCounts(written=c.written, buffered=c.buffered, filtered=c.filtered,
                             lost=c.lost, bytes=c.bytes, errors=c.errors, rotated=c.rotated)
