# SPDX-License-Identifier: BSD-2-Clause
"""Instances, and the context through which a process uses one."""
from __future__ import annotations

import ctypes
import dataclasses
import os
import select
import weakref
from ctypes import POINTER, byref, c_char_p
from typing import Any, Callable, List, Optional, Set, Tuple, Union

from . import _native
from ._core import (Arena, Core, decode, encode, encode_optional, enumerated, named, release_context,
                    snapshot, unsigned, walk)
from ._errors import failure, invalid
from .cgroup import Cgroups
from .conntrack import Conntrack
from .endpoint import Endpoints
from .enums import Aggregation, Direction, Enforcement, Protocol
from .event import Event, EventStream, Subscription, Types, drop_reason_text
from .flow import Filters
from .identity import Identities, Ipcache
from .masquerade import Masquerade, make_masquerade
from .metric import Metric, metrics, metrics_text
from .policy import Policies, Transaction
from .service import Services
from .trace import End, Trace, trace


@dataclasses.dataclass(frozen=True)
class Status:
    """What an instance is and holds."""

    name: str
    path: str  # pin directory; "" if ephemeral
    attach: str  # "tcx" or "clsact"
    ephemeral: bool
    layout: int
    revision: int  # grows with every change of state
    endpoints: int
    identities: int  # allocated ones: label sets and CIDRs
    policies: int
    policy_tables: int  # distinct compiled policies in force
    services: int
    subscribers: int
    map_bytes: int  # kernel memory of the maps
    forwarded: int  # packets since the instance was made
    dropped: int
    flows4_max: int  # sizes of the flow tables, entries
    flows6_max: int
    devices: int  # uplinks attached
    neigh: bool  # past the host's netfilter
    cgroups: int  # attached
    xdp_native: int  # uplinks that balance at XDP: by the driver
    xdp_generic: int  # by the stack


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of an instance, the same for all processes that open it."""

    enforcement: Union[Enforcement, int] = Enforcement.DEFAULT  # whom policies hold
    allow_localhost: bool = False  # the host may always talk to endpoints, unless a rule denies it
    audit: bool = False  # what policies deny passes, and is told


def _native_config(enforcement: Union[Enforcement, int, str], allow_localhost: bool,
                   audit: bool) -> _native.clite_config:
    return _native.clite_config(
        sz=ctypes.sizeof(_native.clite_config),
        enforcement=enumerated(enforcement, Enforcement, "enforcement"),
        allow_localhost=int(bool(allow_localhost)), audit=int(bool(audit)))


@dataclasses.dataclass(frozen=True)
class Counter:
    """Packets of one outcome and direction."""

    reason: int  # 0: forwarded, else why dropped
    direction: Union[Direction, int]
    packets: int
    bytes: int

    @property
    def reason_text(self) -> str:
        """"Forwarded", "Policy denied", ..."""
        if not self.reason:
            return "Forwarded"
        return drop_reason_text(self.reason) or str(self.reason)


@dataclasses.dataclass(frozen=True)
class Feature:
    """A kernel feature that the library looks for."""

    name: str
    present: bool
    required: bool  # nothing works without it
    reason: str  # why it is there or not


class Context:
    """An open instance.

        with cilium_lite.Context("edge", create=True) as ctx:
            ctx.endpoints.add("veth0", ipv4="10.0.0.1", labels=["app=web"])

    A named instance is pinned and goes on without any process; an ephemeral one ends with its
    context. Leaving the block, close(), and dropping the object are the same: they end the
    context and its subscriptions and transactions, not a named instance.

    May be used from several threads; they wait for each other. After a fork only the process
    that opened it may use it.
    """

    def __init__(self, name: Optional[str] = None, *, create: bool = False,
                 exclusive: bool = False, ephemeral: bool = False, clsact: bool = False,
                 mount_bpffs: bool = False, neigh: bool = False, flows4: int = 0,
                 flows6: int = 0, endpoints: int = 0, services: int = 0, backends: int = 0,
                 policies: int = 0, snat_ports: Optional[Tuple[int, int]] = None,
                 bpffs: Union[str, os.PathLike[str], None] = None,
                 config: Optional[Config] = None) -> None:
        """Open an instance, or make it.

        name         1 to 63 characters of A-Z a-z 0-9 _ -; may be left out if ephemeral
        create       make it if it is not there
        exclusive    make it, and fail if it is there
        ephemeral    pin nothing
        clsact       attach by clsact even where the kernel has TCX
        mount_bpffs  mount the bpf file system if it is missing
        neigh        a new instance sends to the world past the host's netfilter
        flows4, flows6, endpoints, services, backends, policies
                     sizes of a new instance; 0: the library's
        snat_ports   first and last port for translated sources; default: 32768 to 65535
        bpffs        mount point of the bpf file system; default: /sys/fs/bpf
        config       settings of a new instance; default: Config()
        """
        flags = 0
        for wanted, flag in ((create or exclusive, _native.CLITE_OPEN_CREATE),
                             (exclusive, _native.CLITE_OPEN_EXCLUSIVE),
                             (ephemeral, _native.CLITE_OPEN_EPHEMERAL),
                             (clsact, _native.CLITE_OPEN_CLSACT),
                             (mount_bpffs, _native.CLITE_OPEN_MOUNT_BPFFS),
                             (neigh, _native.CLITE_OPEN_NEIGH)):
            flags |= flag if wanted else 0
        errors = ctypes.create_string_buffer(16384)
        settings = config or Config()
        native = _native_config(settings.enforcement, settings.allow_localhost, settings.audit)
        opts = _native.clite_open_opts(
            sz=ctypes.sizeof(_native.clite_open_opts), flags=flags,
            flows4=unsigned(flows4, 32, "flows4"), flows6=unsigned(flows6, 32, "flows6"),
            endpoints=unsigned(endpoints, 32, "endpoints"),
            services=unsigned(services, 32, "services"),
            policies=unsigned(policies, 32, "policies"),
            bpffs=None if bpffs is None else encode(os.fspath(bpffs), "bpffs"),
            errbuf=ctypes.cast(errors, POINTER(ctypes.c_char)), errbuf_size=len(errors),
            config=ctypes.pointer(native), backends=unsigned(backends, 32, "backends"))
        if snat_ports:
            opts.snat_first, opts.snat_last = (unsigned(p, 16, "snat_ports") for p in snat_ports)
        ret = POINTER(_native.clite_ctx)()
        r = _native.lib().clite_open(encode_optional(name, "name"), byref(opts), byref(ret))
        if r < 0:
            raise failure(r, decode(errors.value))
        self._core = Core(ret)
        self._finalizer = weakref.finalize(self, release_context, self._core)
        self._children: weakref.WeakSet[Any] = weakref.WeakSet()
        self._kept: Set[Subscription] = set()

    # -- its life

    def close(self) -> None:
        """End the context with its subscriptions and transactions. A named instance stays as
        it is. More than once is allowed."""
        for child in list(self._children):
            child.close()
        self._finalizer()

    @property
    def closed(self) -> bool:
        return self._core.closed

    def destroy(self) -> None:
        """Take the instance away: detach all its programs, remove its pins. Every call but
        close() raises Stale then."""
        self._core.call(self._core.lib.clite_destroy)

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_exception: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<cilium_lite.Context closed>"
        if os.getpid() != self._core.pid:
            return f"<cilium_lite.Context of process {self._core.pid}>"
        return f"<cilium_lite.Context {self.name!r}>"

    # -- what it is

    @property
    def name(self) -> str:
        """Name of the instance; "" for an ephemeral one without."""
        with self._core as pointer:
            return decode(self._core.lib.clite_name(pointer))

    def status(self) -> Status:
        """How the instance is."""
        return self._core.get(self._core.lib.clite_status, _native.clite_status, _make_status)

    def config(self) -> Config:
        """The settings of the instance."""
        c = _native.clite_config(sz=ctypes.sizeof(_native.clite_config))
        self._core.call(self._core.lib.clite_config_get, byref(c))
        return Config(enforcement=named(c.enforcement, Enforcement),
                      allow_localhost=bool(c.allow_localhost), audit=bool(c.audit))

    def configure(self, *, enforcement: Union[Enforcement, int, str, None] = None,
                  allow_localhost: Optional[bool] = None, audit: Optional[bool] = None) -> Config:
        """Change settings, for all endpoints at once; what is None stays. The new ones."""
        now = self.config()
        c = _native_config(
            now.enforcement if enforcement is None else enforcement,
            now.allow_localhost if allow_localhost is None else allow_localhost,
            now.audit if audit is None else audit)
        self._core.call(self._core.lib.clite_config_set, byref(c))
        return self.config()

    def trace(self, source: End = None, destination: End = None, port: int = 0,
              protocol: Union[Protocol, int, str] = Protocol.TCP, *, source_port: int = 0,
              source_endpoint: int = 0, destination_endpoint: int = 0,
              source_identity: int = 0, destination_identity: int = 0, backend: int = 0,
              packet: Optional[bytes] = None, live: bool = False) -> Trace:
        """What would become of the first packet of a flow, and why. Nothing is sent.

        source, destination  an address (also a service's), an Endpoint, or None with an identity
        port     of the destination; of ICMP the type
        source_endpoint  with an address: who sends it; spoofed if it is not its own
        backend  which of a service's active back ends, from 0
        packet   an Ethernet frame that says addresses, protocol and ports instead
        live     also run it through the loaded programs, and compare
        """
        return trace(self, source, destination, port, protocol, source_port=source_port,
                     source_endpoint=source_endpoint,
                     destination_endpoint=destination_endpoint,
                     source_identity=source_identity,
                     destination_identity=destination_identity, backend=backend, packet=packet,
                     live=live)

    @property
    def counters(self) -> List[Counter]:
        """Packets by outcome and direction; only what is not zero."""
        return self._core.list(
            self._core.lib.clite_counter_list, _native.clite_counter_info,
            lambda c: Counter(c.reason, named(c.direction, Direction), c.packets, c.bytes))

    def metrics(self) -> List[Metric]:
        """Figures under the names that Cilium's have."""
        return metrics(self)

    def metrics_text(self) -> str:
        """The same in the text format of Prometheus."""
        return metrics_text(self)

    # -- what it holds

    @property
    def endpoints(self) -> Endpoints:
        """Workloads behind host-side devices."""
        return Endpoints(self)

    @property
    def identities(self) -> Identities:
        """Numbers for label sets."""
        return Identities(self)

    @property
    def ipcache(self) -> Ipcache:
        """Which identity an address has."""
        return Ipcache(self)

    @property
    def policy(self) -> Policies:
        """Who may talk to whom."""
        return Policies(self)

    @property
    def services(self) -> Services:
        """Addresses in front of many back ends."""
        return Services(self)

    @property
    def cgroups(self) -> Cgroups:
        """Cgroups whose processes find services at the socket."""
        return Cgroups(self)

    @property
    def conntrack(self) -> Conntrack:
        """The flow table."""
        return Conntrack(self)

    @property
    def masquerade(self) -> Masquerade:
        """What endpoints send to the world with the address of the uplink; can be set."""
        return self._core.get(self._core.lib.clite_masquerade_get, _native.clite_masquerade,
                              make_masquerade)

    @masquerade.setter
    def masquerade(self, value: Masquerade) -> None:
        native = value._fill(Arena())
        self._core.call(self._core.lib.clite_masquerade_set, byref(native))

    def transaction(self) -> Transaction:
        """Changes of policy that come into force together."""
        return Transaction(self)

    def attach_device(self, device: str, *, xdp: bool = False, xdp_generic: bool = False,
                      dsr: bool = False, flows4: int = 0, flows6: int = 0, new_flows: int = 0, gue_port: int = 0,
                      source4: Optional[str] = None, source6: Optional[str] = None) -> None:
        """Attach the datapath to an uplink: what comes from the world is policed there and
        delivered past the host's stack, packets to services go to their back ends.

        xdp          balance at XDP, by the driver if it can, else by the stack
        xdp_generic  by the stack
        dsr          believe the options by which balancers with services of Mode.DSR name
                     them: the network before the uplink must drop such from outside
        The rest is the instance's, 0 or None: as it is.
        flows4, flows6, new_flows  what XDP remembers, and how much of it new in a second on
                     each CPU; read when the first uplink is attached with XDP
        gue_port     UDP port of back ends for Mode.GUE
        source4, source6  source of outer packets, or a prefix: an address for each flow
        """
        opts = _native.clite_device_opts(
            sz=ctypes.sizeof(_native.clite_device_opts),
            flags=(_native.CLITE_DEVICE_XDP if xdp else 0)
            | (_native.CLITE_DEVICE_XDP_GENERIC if xdp_generic else 0)
            | (_native.CLITE_DEVICE_DSR if dsr else 0),
            flows4=unsigned(flows4, 32, "flows4"), flows6=unsigned(flows6, 32, "flows6"),
            new_flows=unsigned(new_flows, 32, "new_flows"),
            gue_port=unsigned(gue_port, 16, "gue_port"),
            source4=encode_optional(source4, "source4"),
            source6=encode_optional(source6, "source6"))
        self._core.call(self._core.lib.clite_device_attach_opts, encode(device, "device"),
                        ctypes.byref(opts))

    def detach_device(self, device: str) -> None:
        """Undo attach_device()."""
        self._core.call(self._core.lib.clite_device_detach, encode(device, "device"))

    # -- events

    def subscribe(self, callback: Callable[[Event], Any], *, types: Types = None,
                  aggregation: Union[Aggregation, int, str, None] = None,
                  ring_bytes: int = 0, capture_bytes: int = 0,
                  filters: Optional[Filters] = None) -> Subscription:
        """Have callback(event) called for each event, from dispatch(). An exception in it
        comes out of dispatch(). It may read from the context, and end the subscription.

        types        such as ["drop", "policy_verdict"]; default: all
        aggregation  "medium" (the default) or "none": an event for every packet
        ring_bytes   a power of two and a multiple of the page size; default: 1 MiB
        capture_bytes  of each packet, that event.packet has at most; default: none
        filters      only events that pass them; default: all. The datapath looks at numbers,
                     so that what it can decide costs nothing here
        """
        subscription = Subscription(self, callback, types=types, aggregation=aggregation,
                                    ring_bytes=ring_bytes, capture_bytes=capture_bytes, filters=filters)
        self._kept.add(subscription)
        return subscription

    def events(self, *, timeout: Optional[float] = None, types: Types = None,
               aggregation: Union[Aggregation, int, str, None] = None,
               ring_bytes: int = 0, capture_bytes: int = 0,
               filters: Optional[Filters] = None) -> EventStream:
        """Events to iterate over, from now on; ends when none came in timeout seconds
        (None: never). The rest as for subscribe()."""
        return EventStream(self, timeout=timeout, types=types, aggregation=aggregation,
                           ring_bytes=ring_bytes, capture_bytes=capture_bytes, filters=filters)

    def fileno(self) -> int:
        """A descriptor for poll, select, or asyncio's add_reader(): readable when dispatch()
        has something to do. It stays the context's."""
        return self._core.call(self._core.lib.clite_fd)

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait until dispatch() has something to do; False: not in so many seconds."""
        if timeout is not None and timeout < 0:
            raise invalid(f"timeout is {timeout}: it must not be negative")
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def dispatch(self, budget: int = 0) -> int:
        """Deliver events to the subscriptions; how many. Never blocks.

        budget  events at most; 0: as many as are there now
        """
        budget = unsigned(budget, 32, "budget")
        core = self._core
        with core as pointer:
            r = core.lib.clite_dispatch(pointer, budget)
            raised, core.raised = core.raised, None
            if raised is None:
                return core.check(r)
        try:
            raise raised
        finally:
            raised = None  # its traceback refers to this frame

    # -- below

    def prog_fd(self, name: str) -> int:
        """File descriptor of a program, such as "from_endpoint": for test benches, without a
        promise across versions. It stays the context's."""
        return self._core.call(self._core.lib.clite_sys_prog_fd, encode(name, "name"))

    def map_fd(self, name: str) -> int:
        """File descriptor of a map, such as "flow4"; as prog_fd()."""
        return self._core.call(self._core.lib.clite_sys_map_fd, encode(name, "name"))


def _make_status(c: Any) -> Status:
    values = {f.name: getattr(c, f.name) for f in dataclasses.fields(Status)}
    values.update(name=decode(c.name), path=decode(c.path), attach=decode(c.attach),
                  ephemeral=bool(c.ephemeral), neigh=bool(c.neigh))
    return Status(**values)


def _make_feature(pointer: Any) -> Feature:
    c = snapshot(pointer, _native.clite_feature)
    return Feature(name=decode(c.name), present=bool(c.present), required=bool(c.required),
                   reason=decode(c.reason))


def probe() -> List[Feature]:
    """What this kernel can do, found out by doing it. Leaves nothing behind."""
    return walk(_native.lib().clite_probe, POINTER(_native.clite_feature), _make_feature)


def instances(bpffs: Union[str, os.PathLike[str], None] = None) -> List[str]:
    """Names of the pinned instances."""
    return walk(_native.lib().clite_instance_list, c_char_p, decode,
                None if bpffs is None else encode(os.fspath(bpffs), "bpffs"))


def version() -> str:
    """Version of the library that is loaded, such as "0.1.0"."""
    return decode(_native.lib().clite_version_string())
