# SPDX-License-Identifier: BSD-2-Clause
"""Captures: pcapng files of packets, with what the datapath did to each as its comment."""
from __future__ import annotations

import ctypes
import os
import weakref
from ctypes import POINTER, byref
from typing import Any, Optional, Union

from . import _native
from ._core import Arena, check, encode, encode_optional, unsigned
from ._errors import invalid
from .event import Event
from .flow import ResolvedFlow, _to_c


class Capture:
    """A file of packets for Wireshark, tshark and tcpdump. It is a context manager.

        with cl.Capture("drops.pcapng") as capture, \\
                ctx.events(types="drop", capture_bytes=1500, timeout=10) as events:
            for event in events:
                capture.write(event)

    file         a path: only the owner may read it; or the number of an open file
    snaplen      what capture_bytes is, for the file's readers; default: 16384
    max_bytes    of a file; default: no limit
    max_files    that are kept: FILE, which is written, FILE.1, the one before it...
    application  who writes it
    """

    def __init__(self, file: Union[str, bytes, os.PathLike[Any], int], *, snaplen: int = 0,
                 max_bytes: int = 0, max_files: int = 0,
                 application: Optional[str] = None) -> None:
        self._lib = _native.lib()
        ret = POINTER(_native.clite_capture)()
        opts = _native.clite_capture_opts(
            sz=ctypes.sizeof(_native.clite_capture_opts),
            max_bytes=unsigned(max_bytes, 64, "max_bytes"),
            max_files=unsigned(max_files, 32, "max_files"),
            snaplen=unsigned(snaplen, 32, "snaplen"),
            application=encode_optional(application, "application"))
        if isinstance(file, int):
            check(self._lib.clite_capture_open_fd(file, byref(opts), byref(ret)))
        else:
            check(self._lib.clite_capture_open(encode(os.fspath(file), "file"), byref(opts),
                                               byref(ret)))
        self._pointer = ret
        self._finalizer = weakref.finalize(self, self._lib.clite_capture_free, ret)

    def _open(self) -> Any:
        if self.closed:
            raise invalid("the capture is closed")
        return self._pointer

    def write(self, what: Union[Event, ResolvedFlow]) -> None:
        """Write the packet of an event, with the names that it has now, or of a flow."""
        flow = what.flow() if isinstance(what, Event) else what
        arena = Arena()
        check(self._lib.clite_capture_write(self._open(), _to_c(flow, arena)))

    def lost(self, count: int) -> None:
        """So many could not be captured up to now (Subscription.lost): the file's end tells."""
        check(self._lib.clite_capture_lost(self._open(), unsigned(count, 64, "count")))

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        """Write the end of the file. More than once is allowed."""
        if self.closed:
            return
        try:
            check(self._lib.clite_capture_finish(self._pointer))
        finally:
            self._finalizer()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_exception: Any) -> None:
        self.close()
