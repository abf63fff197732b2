# SPDX-License-Identifier: BSD-2-Clause
"""Errors: a class for each code on which a program may want to act."""
from __future__ import annotations

import errno
import os
from typing import Dict, Type

from . import _native


class Error(OSError):
    """A call failed.

    errno     code of the failure, positive: an errno, or one of CLITE_E* (4501 and up)
    strerror  what the code means
    detail    what was wrong, where, and what would be right; "" if there is nothing to add
    """

    detail: str = ""

    @property
    def code(self) -> int:
        """The same as errno."""
        return self.errno or 0

    def __str__(self) -> str:
        return self.detail or self.strerror or f"error {self.errno}"

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return _make, (type(self), self.errno, self.strerror, self.detail)


class NotFound(Error, KeyError):
    """There is no such object (ENOENT)."""


class Exists(Error, FileExistsError):
    """It is there already, or in use (EEXIST)."""


class NotPermitted(Error, PermissionError):
    """A capability is missing (EPERM, EACCES)."""


class InvalidArgument(Error, ValueError):
    """A value that cannot be, or an object that is closed (EINVAL)."""


class NoDevice(Error):
    """There is no such network device in this network namespace (ENODEV)."""


class NoSpace(Error):
    """A table is full: the text names it and its size (ENOSPC)."""


class Busy(Error):
    """Another process is changing the instance (EBUSY)."""


class Stale(Error):
    """The instance was destroyed (ESTALE)."""


class Forked(Error, ChildProcessError):
    """The context belongs to the process that this one was forked from (ECHILD)."""


class Deadlock(Error):
    """A callback calls what it may not call (EDEADLK)."""


class TooBig(Error):
    """A document is larger or deeper than the library reads (E2BIG)."""


class DocumentError(Error, ValueError):
    """Not a document: the text names file, line and field."""


class Unsupported(Error):
    """A field or a kernel feature that this build cannot serve."""


class LayoutError(Error):
    """The instance was made by a library with another map layout."""


class NoBpffs(Error):
    """There is no bpf file system where the instance should be pinned."""


_CLASSES: Dict[int, Type[Error]] = {
    errno.ENOENT: NotFound,
    errno.EEXIST: Exists,
    errno.EPERM: NotPermitted,
    errno.EACCES: NotPermitted,
    errno.EINVAL: InvalidArgument,
    errno.ENODEV: NoDevice,
    errno.ENOSPC: NoSpace,
    errno.EBUSY: Busy,
    errno.ESTALE: Stale,
    errno.ECHILD: Forked,
    errno.EDEADLK: Deadlock,
    errno.E2BIG: TooBig,
    _native.CLITE_EDOCUMENT: DocumentError,
    _native.CLITE_EUNSUPPORTED: Unsupported,
    _native.CLITE_ELAYOUT: LayoutError,
    _native.CLITE_ENOBPFFS: NoBpffs,
}


def _make(cls: Type[Error], code: int, strerror: str, detail: str) -> Error:
    e = cls(code, strerror)
    e.detail = detail
    return e


def failure(code: int, detail: str = "") -> Error:
    """The error for a code that the library returned, of either sign."""
    code = abs(code)
    text = _native.lib().clite_strerror(-code).decode()
    return _make(_CLASSES.get(code, Error), code, text, detail)


def invalid(detail: str) -> InvalidArgument:
    """The error for a value that does not even get to the library."""
    e = InvalidArgument(errno.EINVAL, os.strerror(errno.EINVAL))
    e.detail = detail
    return e
