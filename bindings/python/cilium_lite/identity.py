# SPDX-License-Identifier: BSD-2-Clause
"""Identities: numbers for label sets, and the ipcache from addresses to numbers."""
from __future__ import annotations

import dataclasses
import ipaddress
from typing import TYPE_CHECKING, Any, Iterator, List, Optional, Tuple, Union

from . import _native
from ._core import (AddressLike, IPNetwork, PrefixLike, decode, decode_strings, encode_address,
                    enumerated, named, unsigned)
from ._errors import NotFound
from .enums import IpcacheSource, ReservedIdentity

if TYPE_CHECKING:
    from .context import Context


@dataclasses.dataclass(frozen=True)
class Identity:
    """A number and the label set for which it stands."""

    id: int
    labels: Tuple[str, ...]  # sorted, with sources
    endpoints: int  # how many endpoints have it


class Identities:
    """The identities of a context, reserved ones too."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @staticmethod
    def _make(c: Any) -> Identity:
        return Identity(id=c.id, labels=decode_strings(c.labels), endpoints=c.endpoints)

    def get(self, id: int) -> Optional[Identity]:
        """The identity of that number, or None."""
        try:
            return self[id]
        except NotFound:
            return None

    def list(self) -> List[Identity]:
        """All of them, by number."""
        core = self._context._core
        return core.list(core.lib.clite_identity_list, _native.clite_identity_info, self._make)

    def __getitem__(self, id: int) -> Identity:
        core = self._context._core
        return core.get(core.lib.clite_identity_get, _native.clite_identity_info, self._make,
                        unsigned(id, 32, "id"))

    def __contains__(self, id: object) -> bool:
        return self.get(id) is not None  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Identity]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())


@dataclasses.dataclass(frozen=True)
class IpcacheEntry:
    """Which identity a prefix has, and why."""

    prefix: IPNetwork
    identity: int
    source: Union[IpcacheSource, int]
    endpoint: int  # 0 unless it is an endpoint's address


class Ipcache:
    """Identities of addresses: `ctx.ipcache["192.0.2.1"]` looks one up,
    `ctx.ipcache["192.0.2.0/24"] = "remote-node"` sets one, `del` undoes that."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @staticmethod
    def _make(c: Any) -> IpcacheEntry:
        return IpcacheEntry(prefix=ipaddress.ip_network(decode(c.prefix)), identity=c.identity,
                            source=named(c.source, IpcacheSource), endpoint=c.endpoint)

    def set(self, prefix: PrefixLike, identity: Union[Identity, int, str]) -> None:
        """Say which identity an address or prefix has: its number, the name of a reserved one
        ("host", "world", "remote-node", ...), or an Identity. Longer prefixes win."""
        core = self._context._core
        number = identity.id if isinstance(identity, Identity) else enumerated(
            identity, ReservedIdentity, "identity")
        core.call(core.lib.clite_ipcache_set, encode_address(prefix, "prefix"), number)

    def unset(self, prefix: PrefixLike) -> None:
        """Undo set()."""
        core = self._context._core
        core.call(core.lib.clite_ipcache_unset, encode_address(prefix, "prefix"))

    def lookup(self, address: AddressLike) -> int:
        """The identity of an address, as the datapath would find it."""
        core = self._context._core
        return core.number(core.lib.clite_ipcache_get, encode_address(address, "address"))

    def list(self) -> List[IpcacheEntry]:
        """All entries."""
        core = self._context._core
        return core.list(core.lib.clite_ipcache_list, _native.clite_ipcache_info, self._make)

    __getitem__ = lookup
    __setitem__ = set
    __delitem__ = unset

    def __iter__(self) -> Iterator[IpcacheEntry]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())
