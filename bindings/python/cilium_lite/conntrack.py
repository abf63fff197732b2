# SPDX-License-Identifier: BSD-2-Clause
"""The flow table: what is established, with what was decided for it."""
from __future__ import annotations

import dataclasses
import ipaddress
from typing import TYPE_CHECKING, Any, Iterator, List, Optional, Union

from . import _native
from ._core import IPAddress, decode, decode_address, named
from .endpoint import Endpoint, Endpoints
from .enums import ConntrackFlags, Protocol

if TYPE_CHECKING:
    from .context import Context


@dataclasses.dataclass(frozen=True)
class Flow:
    """One direction of a flow."""

    source: IPAddress  # as the packets come
    destination: IPAddress
    nat_source: Optional[IPAddress]  # as they leave, if that is something else
    nat_destination: Optional[IPAddress]
    protocol: Union[Protocol, int]
    source_port: int  # ICMP echo: the identifier, or 0
    destination_port: int
    nat_source_port: int
    nat_destination_port: int
    flags: ConntrackFlags
    tcp_flags: int  # seen in this direction
    source_endpoint: int  # 0: outside
    destination_endpoint: int
    source_identity: int
    destination_identity: int
    egress_rule: int  # cookie for ctx.policy.rule(); 0: none
    ingress_rule: int
    service: int  # 0: none
    expires: int  # seconds from then, without another packet
    packets: int
    bytes: int


class Conntrack:
    """The flow table of a context."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @staticmethod
    def _make(c: Any) -> Flow:
        values = {f.name: getattr(c, f.name) for f in dataclasses.fields(Flow)}
        values.update(
            source=ipaddress.ip_address(decode(c.source)),
            destination=ipaddress.ip_address(decode(c.destination)),
            nat_source=decode_address(c.nat_source),
            nat_destination=decode_address(c.nat_destination),
            protocol=named(c.protocol, Protocol),
            flags=ConntrackFlags(c.flags))
        return Flow(**values)

    def list(self) -> List[Flow]:
        """All live entries. The table changes meanwhile: an entry may be missed or come twice."""
        core = self._context._core
        return core.list(core.lib.clite_conntrack_list, _native.clite_ct_info, self._make)

    def flush(self, endpoint: Union[Endpoint, int] = 0) -> int:
        """Forget all flows, or those of one endpoint; how many entries that were."""
        core = self._context._core
        return core.call(core.lib.clite_conntrack_flush, Endpoints._id(endpoint))

    def __iter__(self) -> Iterator[Flow]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())
