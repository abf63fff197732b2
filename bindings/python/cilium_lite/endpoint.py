# SPDX-License-Identifier: BSD-2-Clause
"""Endpoints: workloads behind a host-side device."""
from __future__ import annotations

import ctypes
import dataclasses
import ipaddress
from typing import TYPE_CHECKING, Any, Iterator, List, Optional, Sequence, Tuple, Union

from . import _native
from ._core import (AddressLike, Arena, LabelsLike, decode, decode_address, decode_strings, encode,
                    encode_address, encode_address_optional, encode_optional, label_list,
                    unsigned)
from ._errors import NotFound

if TYPE_CHECKING:
    from .context import Context


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """An endpoint as it was when it was looked at."""

    id: int
    name: str
    identity: int
    device: str  # "" if the device is gone
    ifindex: int
    ipv4: Optional[ipaddress.IPv4Address]
    ipv6: Optional[ipaddress.IPv6Address]
    mac: str  # "" if it is not known yet
    labels: Tuple[str, ...]  # sorted, with sources
    ports: Tuple[str, ...]  # names of its ports for policies: "http=80/tcp"
    ingress_enforced: bool  # some policy is in force for what comes to it
    egress_enforced: bool  # some policy is in force for what it sends
    audit: bool  # what policies deny passes, and is told
    context: Context = dataclasses.field(repr=False, compare=False)

    def remove(self) -> None:
        """Police it no more. Its device stays."""
        self.context.endpoints.remove(self.id)

    def refresh(self) -> Endpoint:
        """The endpoint as it is now."""
        return self.context.endpoints[self.id]


class Endpoints:
    """The endpoints of a context: `for endpoint in ctx.endpoints`, `ctx.endpoints[id]`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def _make(self, c: Any) -> Endpoint:
        return Endpoint(
            id=c.id,
            name=decode(c.name),
            identity=c.identity,
            device=decode(c.device),
            ifindex=c.ifindex,
            ipv4=decode_address(c.ipv4),  # type: ignore[arg-type]
            ipv6=decode_address(c.ipv6),  # type: ignore[arg-type]
            mac=decode(c.mac),
            labels=decode_strings(c.labels),
            ports=decode_strings(c.ports),
            ingress_enforced=bool(c.ingress_enforced),
            egress_enforced=bool(c.egress_enforced),
            audit=bool(c.audit),
            context=self._context)

    def add(self, device: str, *, ipv4: Optional[AddressLike] = None,
            ipv6: Optional[AddressLike] = None, labels: LabelsLike = (),
            name: Optional[str] = None, mac: Optional[str] = None, id: int = 0,
            ports: Sequence[str] = ()) -> Endpoint:
        """Add the workload behind a device: from the return on its packets are policed.

        device  name of the host-side device (veth, tap) in this network namespace
        ipv4, ipv6  addresses of the workload, at least one
        labels  "source:key=value", the source may be left out; or a dict. Without labels
                it is reserved:init, which may do only what a policy allows it
        name    for people and events; default: the device's
        mac     hardware address inside the workload; default: found or learned
        id      wanted number; 0: the next free one
        ports   names of its ports for policies, such as "http=80" or "dns=53/udp"
        """
        if isinstance(ports, (str, bytes)):
            raise TypeError(f"ports must be a list of names, not one {ports!r}")
        arena = Arena()
        texts = [encode(label, "a label") for label in label_list(labels)]
        opts = _native.clite_endpoint_opts(
            sz=ctypes.sizeof(_native.clite_endpoint_opts),
            name=encode_optional(name, "name"),
            ipv4=encode_address_optional(ipv4, "ipv4"),
            ipv6=encode_address_optional(ipv6, "ipv6"),
            labels=arena.strings(texts),
            mac=encode_optional(mac, "mac"),
            id=unsigned(id, 32, "id"),
            ports=arena.strings([encode(port, "a port") for port in ports]))
        core = self._context._core
        return self[core.number(core.lib.clite_endpoint_add, encode(device, "device"),
                                ctypes.byref(opts))]

    def remove(self, endpoint: Union[Endpoint, int]) -> None:
        """Remove an endpoint: its programs, addresses, flows. Its device stays."""
        core = self._context._core
        core.call(core.lib.clite_endpoint_remove, self._id(endpoint))

    def set_audit(self, endpoint: Union[Endpoint, int], on: bool) -> None:
        """Audit mode: what policies deny passes, and verdict events tell it."""
        core = self._context._core
        core.call(core.lib.clite_endpoint_set_audit, self._id(endpoint), int(bool(on)))

    def get(self, id: int) -> Optional[Endpoint]:
        """The endpoint of that number, or None."""
        try:
            return self[id]
        except NotFound:
            return None

    def find(self, what: AddressLike) -> Endpoint:
        """The endpoint with this name, address or device."""
        core = self._context._core
        return self[core.number(core.lib.clite_endpoint_find, encode_address(what, "what"))]

    def list(self) -> List[Endpoint]:
        """All of them, by number."""
        core = self._context._core
        return core.list(core.lib.clite_endpoint_list, _native.clite_endpoint_info, self._make)

    @staticmethod
    def _id(endpoint: Union[Endpoint, int]) -> int:
        return unsigned(endpoint.id if isinstance(endpoint, Endpoint) else endpoint, 32, "id")

    def __getitem__(self, id: int) -> Endpoint:
        core = self._context._core
        return core.get(core.lib.clite_endpoint_get, _native.clite_endpoint_info, self._make,
                        unsigned(id, 32, "id"))

    def __contains__(self, what: object) -> bool:
        try:
            if isinstance(what, Endpoint):
                return self[what.id] is not None
            if isinstance(what, int):
                return self[what] is not None
            return self.find(what) is not None  # type: ignore[arg-type]
        except NotFound:
            return False

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())
