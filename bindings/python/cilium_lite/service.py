# SPDX-License-Identifier: BSD-2-Clause
"""Services: one address and port in front of many back ends."""
from __future__ import annotations

import ctypes
import dataclasses
import ipaddress
from typing import TYPE_CHECKING, Any, Iterable, Iterator, List, Optional, Tuple, Union

from . import _native
from ._core import (AddressLike, Arena, IPAddress, LabelsLike, decode, decode_strings, encode,
                    encode_address, encode_optional, enumerated, label_list, named, unsigned)
from ._errors import NotFound
from .enums import Algorithm, BackendState, Mode, Protocol, ServiceKind
from .masquerade import Network
from .policy import Limits, Source, _read

if TYPE_CHECKING:
    from .context import Context


@dataclasses.dataclass(frozen=True)
class Backend:
    """A back end of a service."""

    address: AddressLike
    port: int = 0  # 0: the service's
    weight: int = 1  # share of new flows
    state: Union[BackendState, int, str] = BackendState.ACTIVE

    def _fill(self) -> Any:
        return _native.clite_backend(
            address=encode_address(self.address, "the address of a back end"),
            port=unsigned(self.port, 16, "the port of a back end"),
            weight=unsigned(self.weight, 16, "the weight of a back end"),
            state=enumerated(self.state, BackendState, "the state of a back end"))


def _make_backend(c: Any) -> Backend:
    return Backend(ipaddress.ip_address(decode(c.address)), c.port, c.weight,
                   named(c.state, BackendState))


BackendLike = Union[Backend, AddressLike, Tuple[Any, ...]]


def _backend(value: BackendLike) -> Backend:
    if isinstance(value, Backend):
        return value
    return Backend(*value) if isinstance(value, tuple) else Backend(value)


@dataclasses.dataclass(frozen=True)
class Service:
    """A service as it was when it was looked at."""

    id: int
    name: str  # "" if none
    address: IPAddress
    port: int
    protocol: Union[Protocol, int]
    algorithm: Union[Algorithm, int]
    backends: Tuple[Backend, ...]
    labels: Tuple[str, ...]  # sorted, with sources
    sources: Tuple[Network, ...]  # who in the world may use it; none: all
    sources_deny: bool  # or who may not
    external_local: bool  # for the world only back ends on this host
    internal_local: bool  # for endpoints
    affinity: int  # seconds that a client keeps its back end; 0: none
    reject: bool  # without a back end its packets are answered, not only dropped
    mode: Union[Mode, int]
    kind: Union[ServiceKind, int]
    context: Context = dataclasses.field(repr=False, compare=False)

    def delete(self) -> None:
        """Remove the service."""
        self.context.services.delete(self.id)

    def refresh(self) -> Service:
        """The service as it is now."""
        return self.context.services[self.id]


class Services:
    """The services of a context: `for service in ctx.services`, `ctx.services[id]`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def _make(self, c: Any) -> Service:
        return Service(
            id=c.id,
            name=decode(c.name),
            address=ipaddress.ip_address(decode(c.address)),
            port=c.port,
            protocol=named(c.protocol, Protocol),
            algorithm=named(c.algorithm, Algorithm),
            backends=tuple(_make_backend(b) for b in c.backends[:c.nbackends])
            if c.nbackends else (),
            labels=decode_strings(c.labels),
            sources=tuple(ipaddress.ip_network(p) for p in decode_strings(c.sources)),
            sources_deny=bool(c.flags & _native.CLITE_SERVICE_SOURCES_DENY),
            external_local=bool(c.flags & _native.CLITE_SERVICE_EXTERNAL_LOCAL),
            internal_local=bool(c.flags & _native.CLITE_SERVICE_INTERNAL_LOCAL),
            affinity=c.affinity,
            reject=bool(c.flags & _native.CLITE_SERVICE_REJECT),
            mode=named(c.mode, Mode),
            kind=named(c.kind, ServiceKind),
            context=self._context)

    def update(self, address: AddressLike, port: int,
               protocol: Union[Protocol, int, str] = Protocol.TCP, *,
               backends: Iterable[BackendLike] = (),
               algorithm: Union[Algorithm, int, str] = Algorithm.RANDOM,
               name: Optional[str] = None, id: int = 0, labels: LabelsLike = (),
               sources: Iterable[Union[Network, str]] = (), sources_deny: bool = False,
               external_local: bool = False, internal_local: bool = False,
               affinity: int = 0, reject: bool = False,
               mode: Union[Mode, int, str] = Mode.SNAT,
               kind: Union[ServiceKind, int, str] = ServiceKind.CLUSTER_IP) -> Service:
        """Make a service, or change the one of this address, port and protocol: at once and whole.

        backends   Backend objects, tuples of its members such as ("10.0.0.2", 8080), or
                   plain addresses; none: packets are dropped
        algorithm  "random" or "maglev"
        name       for people, events and policies: "namespace/name"
        id         wanted number of a new service; 0: the next free one
        labels     for selectors of services in policies; as those of endpoints
        sources    prefixes of clients in the world that may use it (sources_deny: that may
                   not); none: all may
        external_local, internal_local
                   for the world, or for endpoints, only back ends on this host
        affinity   seconds after its last flow that a client keeps its back end; 0: none
        reject     without a back end packets are answered with ICMP, not only dropped
        mode       "snat", "dsr", "ipip" or "gue"
        kind       "cluster_ip": for endpoints; "node_port", "external_ip", "load_balancer",
                   "host_port", "standalone": for the world, too
        """
        arena = Arena()
        flags = 0
        for wanted, flag in ((sources_deny, _native.CLITE_SERVICE_SOURCES_DENY),
                             (external_local, _native.CLITE_SERVICE_EXTERNAL_LOCAL),
                             (internal_local, _native.CLITE_SERVICE_INTERNAL_LOCAL),
                             (reject, _native.CLITE_SERVICE_REJECT)):
            flags |= flag if wanted else 0
        array = [_backend(b)._fill() for b in backends]
        opts = _native.clite_service_opts(
            sz=ctypes.sizeof(_native.clite_service_opts),
            address=encode_address(address, "address"),
            name=encode_optional(name, "name"),
            backends=arena.array(_native.clite_backend, array),
            nbackends=len(array),
            protocol=enumerated(protocol, Protocol, "protocol"),
            algorithm=enumerated(algorithm, Algorithm, "algorithm"),
            port=unsigned(port, 16, "port"),
            id=unsigned(id, 32, "id"),
            labels=arena.strings([encode(label, "a label") for label in label_list(labels)]),
            sources=arena.strings([encode(str(p), "a source") for p in sources]),
            flags=flags, affinity=unsigned(affinity, 32, "affinity"),
            mode=enumerated(mode, Mode, "mode"),
            kind=enumerated(kind, ServiceKind, "kind"))
        core = self._context._core
        return self[core.number(core.lib.clite_service_update, ctypes.byref(opts))]

    def load(self, document: Source, *, filename: Optional[str] = None,
             source: Optional[str] = None, node: Optional[str] = None,
             zone: Optional[str] = None, node_addresses: Iterable[AddressLike] = (),
             limits: Limits = Limits()) -> int:
        """Make services of Kubernetes' documents (Service, EndpointSlice, Endpoints, lists of them)
        or of the file of Cilium's standalone load balancer; how many there are of this source now.

        source          what an earlier load of this name brought and is not in the document any
                        more is removed; None: the name of the file
        node, zone      where this is, for policies that are Local and for what is near
        node_addresses  where ports of nodes are
        """
        arena = Arena()
        text, filename = _read(document, filename)
        opts = _native.clite_service_import_opts(
            sz=ctypes.sizeof(_native.clite_service_import_opts),
            filename=encode_optional(filename, "filename"),
            source=encode_optional(source, "source"),
            node=encode_optional(node, "node"),
            zone=encode_optional(zone, "zone"),
            node_addresses=arena.strings([encode_address(a, "the address of a node")
                                          for a in node_addresses]),
            max_bytes=unsigned(limits.bytes, 64, "limits.bytes"),
            max_values=unsigned(limits.values, 64, "limits.values"),
            max_depth=unsigned(limits.depth, 64, "limits.depth"))
        core = self._context._core
        return core.call(core.lib.clite_service_import, text, len(text), ctypes.byref(opts))

    def delete(self, service: Union[Service, int]) -> None:
        """Remove a service."""
        core = self._context._core
        id = service.id if isinstance(service, Service) else service
        core.call(core.lib.clite_service_delete, unsigned(id, 32, "id"))

    def get(self, id: int) -> Optional[Service]:
        """The service of that number, or None."""
        try:
            return self[id]
        except NotFound:
            return None

    def find(self, address: AddressLike, port: int,
             protocol: Union[Protocol, int, str] = Protocol.TCP) -> Optional[Service]:
        """The service of this address, port and protocol, or None."""
        wanted = (ipaddress.ip_address(str(address)), port,
                  enumerated(protocol, Protocol, "protocol"))
        for service in self.list():
            if (service.address, service.port, service.protocol) == wanted:
                return service
        return None

    def list(self) -> List[Service]:
        """All of them, by number."""
        core = self._context._core
        return core.list(core.lib.clite_service_list, _native.clite_service_info, self._make)

    def __getitem__(self, id: int) -> Service:
        core = self._context._core
        return core.get(core.lib.clite_service_get, _native.clite_service_info, self._make,
                        unsigned(id, 32, "id"))

    def __contains__(self, id: object) -> bool:
        return self.get(id) is not None  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Service]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())
