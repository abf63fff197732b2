# SPDX-License-Identifier: BSD-2-Clause
"""Masquerading: what endpoints send to the world leaves with the address of the uplink."""
from __future__ import annotations

import ctypes
import dataclasses
import ipaddress
from typing import Any, Tuple, Union

from . import _native
from ._core import decode_strings

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


@dataclasses.dataclass(frozen=True)
class Masquerade:
    """What is masqueraded: context.masquerade, which can be set."""

    ipv4: bool = False
    ipv6: bool = False
    exclude: Tuple[Union[Network, str], ...] = ()  # where endpoints go with their own addresses

    def _fill(self, arena: Any) -> Any:
        flags = (_native.CLITE_MASQUERADE_IPV4 if self.ipv4 else 0) \
            | (_native.CLITE_MASQUERADE_IPV6 if self.ipv6 else 0)
        return _native.clite_masquerade(
            sz=ctypes.sizeof(_native.clite_masquerade), flags=flags,
            exclude=arena.strings([str(p).encode() for p in self.exclude]))


def make_masquerade(c: Any) -> Masquerade:
    return Masquerade(bool(c.flags & _native.CLITE_MASQUERADE_IPV4),
                      bool(c.flags & _native.CLITE_MASQUERADE_IPV6),
                      tuple(ipaddress.ip_network(p) for p in decode_strings(c.exclude)))
