# SPDX-License-Identifier: BSD-2-Clause
"""What all objects share: the open context with its lock, and conversions in both directions.

The library's functions are strict: one thread at a time for a context. _Core holds a lock during
each call, so that a Python program with threads cannot break it. An object may be dropped by
the garbage collector at any moment, also inside a call on the same context; what has to be
released is then put aside until the call is over.
"""
from __future__ import annotations

import collections
import ctypes
import enum
import errno
import ipaddress
import operator
import os
import threading
from ctypes import POINTER, byref, c_char_p, c_size_t, c_uint32
from typing import (Any, Callable, Deque, Iterable, List, Mapping, Optional, Tuple, Type, TypeVar,
                    Union)

from . import _native
from ._errors import failure, invalid

T = TypeVar("T")
E = TypeVar("E", bound=enum.IntEnum)

IPAddress = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
IPNetwork = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
AddressLike = Union[str, IPAddress]
PrefixLike = Union[str, IPAddress, IPNetwork]
LabelsLike = Union[Iterable[str], Mapping[str, str]]

# ---- Python to C --------------------------------------------------------------------------


def encode(value: Union[str, bytes], what: str) -> bytes:
    """Text for a C string. What is not UTF-8 passes through both ways."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    elif not isinstance(value, bytes):
        raise TypeError(f"{what} must be str or bytes, not {type(value).__name__}")
    if b"\0" in value:
        raise invalid(f"{what} holds a NUL character: {value!r}")
    return value


def encode_optional(value: Union[str, bytes, None], what: str) -> Optional[bytes]:
    return None if value is None else encode(value, what)


_ADDRESSES = (ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network,
              ipaddress.IPv6Network)


def encode_address(value: Any, what: str) -> bytes:
    """An address or prefix: text, or an object of the module ipaddress."""
    return encode(str(value) if isinstance(value, _ADDRESSES) else value, what)


def encode_address_optional(value: Any, what: str) -> Optional[bytes]:
    return None if value is None else encode_address(value, what)


def unsigned(value: Any, bits: int, what: str) -> int:
    """A number that fits: ctypes would cut it off in silence."""
    number = operator.index(value)
    if not 0 <= number < 1 << bits:
        raise invalid(f"{what} is {number}: it must be 0 to {(1 << bits) - 1}")
    return number


def enumerated(value: Any, names: Type[E], what: str) -> int:
    """A number by its name in any case, by a member, or plain."""
    if not isinstance(value, str):
        return unsigned(value, 32, what)
    try:
        return names[value.upper().replace("-", "_")].value
    except KeyError:
        known = ", ".join(m.name.lower() for m in names)
        raise invalid(f"{what} is {value!r}: it must be one of {known}") from None


def label_list(labels: LabelsLike, what: str = "labels") -> List[str]:
    if isinstance(labels, (str, bytes)):
        raise TypeError(f"{what} must be a list of labels or a dict, not one {labels!r}")
    if isinstance(labels, Mapping):
        return [f"{key}={value}" if value else key for key, value in labels.items()]
    return list(labels)


class Arena:
    """Owns the C memory of the arguments of one call."""

    def __init__(self) -> None:
        self._keep: List[Any] = []

    def keep(self, thing: T) -> T:
        self._keep.append(thing)
        return thing

    def array(self, cls: Any, items: List[Any]) -> Any:
        """An array of structs or pointers; never NULL, also if it is empty."""
        array = (cls * max(1, len(items)))()
        for i, item in enumerate(items):
            array[i] = item
        self._keep.append(items)
        return ctypes.cast(self.keep(array), POINTER(cls))

    def strings(self, items: Iterable[bytes]) -> Any:
        """An array of strings that ends with NULL."""
        return self.array(c_char_p, [*items, None])


# ---- C to Python --------------------------------------------------------------------------


def decode(value: Optional[bytes]) -> str:
    return value.decode("utf-8", "surrogateescape") if value else ""


def decode_strings(array: Any) -> Tuple[str, ...]:
    """A borrowed array of strings that ends with NULL."""
    strings: List[str] = []
    while array and array[len(strings)] is not None:
        strings.append(decode(array[len(strings)]))
    return tuple(strings)


def decode_address(value: Optional[bytes]) -> Optional[IPAddress]:
    return ipaddress.ip_address(decode(value)) if value else None


def named(number: int, names: Type[E]) -> Union[E, int]:
    """A member, or the plain number if a newer library has more of them."""
    try:
        return names(number)
    except ValueError:
        return number


def name_of(number: int) -> str:
    """What people call a number: "FORWARDED", or "7" if it has no name here."""
    return number.name if isinstance(number, enum.Enum) else str(number)


def snapshot(pointer: Any, cls: Type[T]) -> T:
    """Copy a struct that the library lends. It may be longer or shorter than we know it."""
    copy = cls()
    size = c_size_t.from_address(ctypes.addressof(pointer.contents)).value
    ctypes.memmove(byref(copy), pointer, min(size, ctypes.sizeof(cls)))  # type: ignore[arg-type]
    return copy


def check(r: int) -> int:
    """Pass on what is no failure, of a function without a context."""
    if r < 0:
        raise failure(r)
    return r


def walk(function: Any, argument: Any, convert: Callable[[Any], T], *before: Any,
         check: Callable[[int], int] = check) -> List[T]:
    """Call one of the library's list functions; what convert() makes of each item."""
    items: List[T] = []
    raised: List[BaseException] = []

    def on_item(pointer: Any, _userdata: Any) -> int:
        try:
            items.append(convert(pointer))
        except BaseException as e:
            raised.append(e)
            return -1
        return 0

    r = function(*before, _native.callback_type(argument)(on_item), None)
    if raised:
        raise raised.pop()
    check(r)
    return items


# ---- the open context -----------------------------------------------------------------------


class Core:
    """An open context of C. `with core as pointer:` is how to use it."""

    def __init__(self, pointer: Any) -> None:
        self.lib = _native.lib()
        self.pid = os.getpid()
        self.closed = False
        self.raised: Optional[BaseException] = None  # by a callback of dispatch()
        self._pointer = pointer
        self._lock = threading.RLock()
        self._depth = 0
        self._pending: Deque[Tuple[Any, Any]] = collections.deque()

    def __enter__(self) -> Any:
        # Before the lock: in a child another thread may have held it at the fork.
        if os.getpid() != self.pid:
            raise failure(errno.ECHILD, f"the context was opened by process {self.pid}: open one "
                          f"after the fork in process {os.getpid()}")
        self._lock.acquire()
        self._depth += 1
        if self.closed:
            self.__exit__()
            raise invalid("the context is closed")
        return self._pointer

    def __exit__(self, *_exception: Any) -> None:
        self._depth -= 1
        self._drain()
        self._lock.release()
        # Somebody may have put something aside between the last two steps.
        self._release_pending()

    def check(self, r: int) -> int:
        """Pass on what is no failure. To be used inside of `with core`."""
        if r < 0:
            raise failure(r, decode(self.lib.clite_error(self._pointer)))
        return r

    def list(self, function: Any, struct: Any, convert: Callable[[Any], T],
             *arguments: Any) -> List[T]:
        """Copies of all items of a list function, through convert()."""
        with self as pointer:
            return walk(function, POINTER(struct), lambda p: convert(snapshot(p, struct)),
                        pointer, *arguments, check=self.check)

    def get(self, function: Any, struct: Any, convert: Callable[[Any], T], *arguments: Any) -> T:
        """A copy of one lent struct, through convert()."""
        ret = POINTER(struct)()
        with self as pointer:
            self.check(function(pointer, *arguments, byref(ret)))
            return convert(snapshot(ret, struct))

    def number(self, function: Any, *arguments: Any) -> int:
        """The number that a function returns through its last parameter."""
        ret = c_uint32()
        with self as pointer:
            self.check(function(pointer, *arguments, byref(ret)))
        return ret.value

    def call(self, function: Any, *arguments: Any) -> int:
        """Call a function that returns 0, a count, or a failure."""
        with self as pointer:
            return self.check(function(pointer, *arguments))

    def release(self, function: Any, pointer: Any) -> None:
        """Drop a handle of this context with function(), now or when the call in which we
        are is over. Never waits and never fails: the garbage collector may be who calls."""
        self._pending.append((function, pointer))
        self._release_pending()

    def _release_pending(self) -> None:
        while self._pending and self._lock.acquire(blocking=False):
            busy = self._depth > 0
            self._drain()
            self._lock.release()
            if busy:  # the call in which we are will do it
                return

    def _drain(self) -> None:
        while self._depth == 0 and self._pending:
            try:
                function, pointer = self._pending.popleft()
            except IndexError:  # the collector came in between
                return
            function(pointer)


def release_context(core: Core) -> None:
    """The finalizer of a context."""
    if not core.closed:
        core.closed = True
        core.release(core.lib.clite_close, core._pointer)
