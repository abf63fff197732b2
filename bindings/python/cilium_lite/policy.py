# SPDX-License-Identifier: BSD-2-Clause
"""Policies: who may talk to whom, by documents or by objects."""
from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import weakref
from ctypes import POINTER, byref
from typing import (IO, TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Mapping,
                    Optional, Sequence, Tuple, Union)

from . import _native
from ._core import (Arena, PrefixLike, decode, encode, encode_address, encode_optional,
                    enumerated, label_list, named, snapshot, unsigned, walk)
from ._errors import NotFound, failure, invalid
from .endpoint import Endpoint, Endpoints
from .enums import (Action, DefaultDeny, Direction, Operator, PeerKind, Protocol,
                    WarningCode)

if TYPE_CHECKING:
    from .context import Context
    from .rehearse import RehearsedFlow, Rehearsal

# ---- the model: what the structs of policy.h say -----------------------------------------


@dataclasses.dataclass(frozen=True)
class Requirement:
    """One requirement on a label. key: "source:key"; without a source any source matches."""

    key: str
    op: Union[Operator, int, str] = Operator.EXISTS
    values: Sequence[str] = ()  # for IN and NOT_IN

    def _fill(self, arena: Arena) -> Any:
        if isinstance(self.values, (str, bytes)):
            raise TypeError(f"values must be a list, not one {self.values!r}")
        values = [encode(value, "a value") for value in self.values]
        return _native.clite_requirement(
            key=encode(self.key, "key"), values=arena.strings(values), nvalues=len(values),
            op=enumerated(self.op, Operator, "op"))


@dataclasses.dataclass(frozen=True)
class Selector:
    """Requirements that must all hold. None at all: every endpoint."""

    requirements: Sequence[Requirement] = ()

    @classmethod
    def of(cls, *labels: str) -> Selector:
        """The endpoints that have all these labels: Selector.of("app=web", "k8s:env=test")."""
        pairs = (label.partition("=") for label in labels)
        return cls(tuple(Requirement(key, Operator.IN, (value,)) for key, _, value in pairs))

    def _fill(self, arena: Arena) -> Any:
        array = [r._fill(arena) for r in self.requirements]
        return arena.keep(_native.clite_selector(
            requirements=arena.array(_native.clite_requirement, array), nrequirements=len(array)))


SelectorLike = Union[Selector, str, Iterable[str], Mapping[str, str]]


def _selector(value: SelectorLike) -> Selector:
    """A selector, one label, several labels, or a dict of labels."""
    if isinstance(value, Selector):
        return value
    return Selector.of(*([value] if isinstance(value, str) else label_list(value, "a selector")))


@dataclasses.dataclass(frozen=True)
class Peer:
    """Whom a rule is about; made by Peer.of_endpoints(), of_cidr() or of_entity()."""

    kind: Union[PeerKind, int, str]
    selector: Optional[SelectorLike] = None  # ENDPOINTS
    cidr: Optional[PrefixLike] = None  # CIDR
    except_: Sequence[PrefixLike] = ()  # CIDR: prefixes inside of it
    entity: Optional[str] = None  # ENTITY

    @classmethod
    def of_endpoints(cls, *labels: str, selector: Optional[SelectorLike] = None) -> Peer:
        """The endpoints with all these labels, or those that a selector selects."""
        if labels and selector is not None:
            raise TypeError("give labels or a selector, not both")
        return cls(PeerKind.ENDPOINTS, selector=Selector.of(*labels) if selector is None
                   else selector)

    @classmethod
    def of_cidr(cls, cidr: PrefixLike, except_: Sequence[PrefixLike] = ()) -> Peer:
        """Addresses outside: a prefix, less the excepted ones."""
        return cls(PeerKind.CIDR, cidr=cidr, except_=except_)

    @classmethod
    def of_entity(cls, entity: str) -> Peer:
        """"all", "world", "host", "cluster", ..."""
        return cls(PeerKind.ENTITY, entity=entity)

    def _fill(self, arena: Arena) -> Any:
        c = _native.clite_peer(kind=enumerated(self.kind, PeerKind, "kind"),
                               entity=encode_optional(self.entity, "entity"))
        if self.selector is not None:
            c.selector = ctypes.pointer(_selector(self.selector)._fill(arena))
        if self.cidr is not None:
            c.cidr = encode_address(self.cidr, "cidr")
        if isinstance(self.except_, (str, bytes)):
            raise TypeError(f"except_ must be a list, not one {self.except_!r}")
        if self.except_:
            setattr(c, "except", arena.strings([encode_address(p, "except_")
                                                for p in self.except_]))
        return c


@dataclasses.dataclass(frozen=True)
class Port:
    """Which packets a rule is about: Port(80), Port(53, "udp"), Port(8000, end_port=8999).

    port 0: all. For ICMP and ICMPv6 the port is the type.
    """

    port: int = 0
    protocol: Union[Protocol, int, str] = Protocol.TCP
    end_port: int = 0  # last of a range; 0: only port

    def _fill(self) -> Any:
        return _native.clite_port(
            protocol=enumerated(self.protocol, Protocol, "protocol"),
            port=unsigned(self.port, 16, "port"),
            end_port=unsigned(self.end_port, 16, "end_port"))


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule. peers and ports: any of them; None: everybody, every packet."""

    direction: Union[Direction, int, str]
    action: Union[Action, int, str] = Action.ALLOW
    peers: Optional[Sequence[Peer]] = None  # []: nobody
    ports: Optional[Sequence[Port]] = None

    @classmethod
    def ingress(cls, peers: Optional[Sequence[Peer]] = None,
                ports: Optional[Sequence[Port]] = None,
                action: Union[Action, int, str] = Action.ALLOW) -> Rule:
        """A rule for what comes to the subject."""
        return cls(Direction.INGRESS, action, peers, ports)

    @classmethod
    def egress(cls, peers: Optional[Sequence[Peer]] = None,
               ports: Optional[Sequence[Port]] = None,
               action: Union[Action, int, str] = Action.ALLOW) -> Rule:
        """A rule for what the subject sends."""
        return cls(Direction.EGRESS, action, peers, ports)

    def _fill(self, arena: Arena) -> Any:
        c = _native.clite_rule(
            sz=ctypes.sizeof(_native.clite_rule),
            direction=enumerated(self.direction, Direction, "direction"),
            action=enumerated(self.action, Action, "action"))
        if self.peers is not None:
            peers = [p._fill(arena) for p in self.peers]
            c.peers, c.npeers = arena.array(_native.clite_peer, peers), len(peers)
        if self.ports is not None:
            ports = [p._fill() for p in self.ports]
            c.ports, c.nports = arena.array(_native.clite_port, ports), len(ports)
        return arena.keep(c)


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of a policy: a subject and its rules. subject None: every endpoint."""

    subject: Optional[SelectorLike] = None
    rules: Sequence[Rule] = ()
    default_deny_ingress: Union[DefaultDeny, int, str] = DefaultDeny.AUTO
    default_deny_egress: Union[DefaultDeny, int, str] = DefaultDeny.AUTO

    def _fill(self, arena: Arena) -> Any:
        rules = [ctypes.pointer(r._fill(arena)) for r in self.rules]
        c = _native.clite_policy_part(
            sz=ctypes.sizeof(_native.clite_policy_part),
            rules=arena.array(POINTER(_native.clite_rule), rules), nrules=len(rules),
            default_deny_ingress=enumerated(self.default_deny_ingress, DefaultDeny,
                                            "default_deny_ingress"),
            default_deny_egress=enumerated(self.default_deny_egress, DefaultDeny,
                                           "default_deny_egress"))
        if self.subject is not None:
            c.subject = ctypes.pointer(_selector(self.subject)._fill(arena))
        return arena.keep(c)


PartsLike = Union[Part, Iterable[Part]]


def _fill_parts(parts: PartsLike, arena: Arena) -> Tuple[Any, int]:
    if isinstance(parts, Part):
        parts = [parts]
    pointers = [ctypes.pointer(part._fill(arena)) for part in parts]
    return arena.array(POINTER(_native.clite_policy_part), pointers), len(pointers)


# ---- documents ----------------------------------------------------------------------------

# str and bytes are the text itself; a path is a pathlib.Path.
Source = Union[str, bytes, "os.PathLike[str]", IO[Any], Mapping[str, Any], Sequence[Any]]


def _read(source: Source, filename: Optional[str]) -> Tuple[bytes, Optional[str]]:
    """The bytes of a document, and what to call it in messages."""
    name: Optional[str] = None
    if isinstance(source, os.PathLike):
        name = os.fspath(source)
        with open(name, "rb") as f:
            source = f.read()
    elif isinstance(source, (Mapping, list, tuple)):
        source = json.dumps(source)
    elif hasattr(source, "read"):
        name = getattr(source, "name", None)
        source = source.read()
    if isinstance(source, str):
        source = source.encode("utf-8", "surrogateescape")
    if not isinstance(source, (bytes, bytearray)):
        raise TypeError("a document must be text, bytes, a pathlib.Path, an open file, a dict or "
                        f"a list, not {type(source).__name__}")
    return bytes(source), filename or (name if isinstance(name, str) else None)


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much of a document is read; what is larger raises TooBig. 0: as usual."""

    bytes: int = 0  # 16 MiB
    values: int = 0  # a million
    depth: int = 0  # 64; at most 1024


def _import_arguments(source: Source, filename: Optional[str], name: Optional[str],
                      limits: Limits) -> Any:
    text, filename = _read(source, filename)
    opts = _native.clite_import_opts(
        sz=ctypes.sizeof(_native.clite_import_opts),
        filename=encode_optional(filename, "filename"),
        name=encode_optional(name, "name"),
        max_bytes=unsigned(limits.bytes, 64, "limits.bytes"),
        max_values=unsigned(limits.values, 64, "limits.values"),
        max_depth=unsigned(limits.depth, 64, "limits.depth"))
    return text, len(text), byref(opts)


def validate(source: Source, *, filename: Optional[str] = None,
             name: Optional[str] = None, limits: Limits = Limits()) -> int:
    """Read documents as ctx.policy.load() does, and do nothing; how many policies they hold.
    Needs no instance and no privileges. DocumentError and Unsupported say what is wrong where.
    """
    errors = ctypes.create_string_buffer(16384)
    r: int = _native.lib().clite_policy_validate(*_import_arguments(source, filename, name,
                                                                   limits),
                                                 errors, len(errors))
    if r < 0:
        raise failure(r, decode(errors.value))
    return r


# ---- what is in force -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Policy:
    """A policy as it was when it was looked at."""

    name: str
    text: str  # as it was imported, or JSON written from the objects
    filename: str  # "" if it came by objects
    revision: int  # of the instance when it was put
    rules: int
    endpoints: int  # how many it selects
    context: Context = dataclasses.field(repr=False, compare=False)

    def delete(self) -> None:
        """Delete the policy."""
        self.context.policy.delete(self.name)


@dataclasses.dataclass(frozen=True)
class RuleInfo:
    """The rule that a cookie in an event stands for."""

    policy: str
    filename: str  # "" if it came by objects
    cookie: int
    line: int  # 0 if it came by objects
    direction: Union[Direction, int]
    action: Union[Action, int]
    index: int  # which of the rules of its direction and action, from 0


@dataclasses.dataclass(frozen=True)
class PolicyEntry:
    """A verdict of a compiled policy, as it is in the kernel."""

    table: int
    endpoint: int
    direction: Union[Direction, int]
    identity: int  # of the peer; 0: any that has no entry of its own
    protocol: Union[Protocol, int]
    port: int  # first; 0 to 65535: all
    end_port: int  # last
    action: Union[Action, int]
    rule: int  # cookie of what decides; 0: nothing allows it


@dataclasses.dataclass(frozen=True)
class RuleHits:
    """What a rule has decided since it is in force."""

    rule: RuleInfo
    packets: int  # that it let pass or dropped; replies are not counted; 0: it is unused
    bytes: int


def _make_hits(c: Any) -> RuleHits:
    return RuleHits(rule=_make_rule(snapshot(c.rule, _native.clite_rule_info)),
                    packets=c.packets, bytes=c.bytes)


@dataclasses.dataclass(frozen=True)
class Warning:
    """What a policy says that is hardly meant."""

    code: Union[WarningCode, int]
    policy: str
    filename: str  # "" if it came by objects
    line: int  # 0: of a whole part, or it came by objects
    direction: Union[Direction, int]  # of the rule; 0: of a whole part
    action: Union[Action, int]
    index: int  # which of the rules of its direction and action, from 0
    text: str  # for people, without the place

    def __str__(self) -> str:
        place = f"{self.filename}:{self.line}: " if self.line else ""
        return f"{place}policy '{self.policy}': {self.text}"


def _make_warning(c: Any) -> Warning:
    return Warning(code=named(c.code, WarningCode), policy=decode(c.policy),
                   filename=decode(c.filename), line=c.line,
                   direction=named(c.direction, Direction), action=named(c.action, Action),
                   index=c.index, text=decode(c.text))


class Policies:
    """The policies of a context: `ctx.policy["name"].text`, `for policy in ctx.policy`.

    Every change is atomic: a packet sees all of it or none of it. Several changes together:
    ctx.transaction().
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def _make(self, c: Any) -> Policy:
        return Policy(name=decode(c.name), text=decode(c.text), filename=decode(c.filename),
                      revision=c.revision, rules=c.rules, endpoints=c.endpoints,
                      context=self._context)

    def load(self, source: Source, *, filename: Optional[str] = None,
             name: Optional[str] = None, limits: Limits = Limits()) -> int:
        """Load documents (CiliumNetworkPolicy in YAML or JSON); how many policies they hold.

        source    text, a pathlib.Path, an open file, or what json.load() returns
        filename  for messages; default: the file's
        name      name of rules that have none
        """
        core = self._context._core
        return core.call(core.lib.clite_policy_import,
                         *_import_arguments(source, filename, name, limits))

    def put(self, name: str, parts: PartsLike) -> None:
        """Put a policy of objects under a name, in place of what is there."""
        core, arena = self._context._core, Arena()
        core.call(core.lib.clite_policy_put, encode(name, "name"), *_fill_parts(parts, arena))

    def delete(self, name: str) -> None:
        """Delete a policy."""
        core = self._context._core
        core.call(core.lib.clite_policy_delete, encode(name, "name"))

    def get(self, name: str) -> Optional[Policy]:
        """The policy of that name, or None."""
        try:
            return self[name]
        except NotFound:
            return None

    def list(self) -> List[Policy]:
        """All of them, by name."""
        core = self._context._core
        return core.list(core.lib.clite_policy_list, _native.clite_policy_info, self._make)

    def rule(self, cookie: int) -> RuleInfo:
        """The rule that a cookie stands for. NotFound: it is not there any more."""
        core = self._context._core
        return core.get(core.lib.clite_rule_get, _native.clite_rule_info, _make_rule,
                        unsigned(cookie, 32, "cookie"))

    def hits(self, name: Optional[str] = None) -> List[RuleHits]:
        """What each rule of a policy in force, or of all of them, has decided."""
        core = self._context._core
        return core.list(core.lib.clite_policy_hits, _native.clite_rule_hits, _make_hits,
                         encode_optional(name, "name"))

    def warnings(self, name: Optional[str] = None) -> List[Warning]:
        """What is hardly meant in a policy in force, or in all of them."""
        core = self._context._core
        return core.list(core.lib.clite_policy_warnings, _native.clite_warning, _make_warning,
                         encode_optional(name, "name"))

    def entries(self, endpoint: Union[Endpoint, int] = 0) -> List[PolicyEntry]:
        """Each verdict in force at an endpoint, or at all of them, read from the kernel."""
        core = self._context._core
        return core.list(core.lib.clite_policy_entries, _native.clite_policy_entry, _make_entry,
                         Endpoints._id(endpoint))

    def __getitem__(self, name: str) -> Policy:
        core = self._context._core
        return core.get(core.lib.clite_policy_get, _native.clite_policy_info, self._make,
                        encode(name, "name"))

    __delitem__ = delete
    __setitem__ = put

    def __contains__(self, name: object) -> bool:
        return self.get(name) is not None  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Policy]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())


def _make_rule(c: Any) -> RuleInfo:
    return RuleInfo(policy=decode(c.policy), filename=decode(c.filename), cookie=c.cookie,
                    line=c.line, direction=named(c.direction, Direction),
                    action=named(c.action, Action), index=c.index)


def _make_entry(c: Any) -> PolicyEntry:
    values: Dict[str, Any] = {f.name: getattr(c, f.name) for f in dataclasses.fields(PolicyEntry)}
    values.update(direction=named(c.direction, Direction), protocol=named(c.protocol, Protocol),
                  action=named(c.action, Action))
    return PolicyEntry(**values)


# ---- transactions -----------------------------------------------------------------------------


class Transaction:
    """Changes that come into force together.

        with ctx.transaction() as txn:
            txn.delete("old")
            txn.load(text)

    The end of the block commits; an exception in it drops everything.
    """

    def __init__(self, context: Context) -> None:
        core, ret = context._core, POINTER(_native.clite_txn)()
        with core as pointer:
            core.check(core.lib.clite_txn_new(pointer, byref(ret)))
            self._finalizer = weakref.finalize(self, core.release, core.lib.clite_txn_free, ret)
        self._pointer = ret
        self._changed = False
        self.context = context
        self.revision: Optional[int] = None  # of the last commit, its low 31 bits
        context._children.add(self)

    def _call(self, function: Any, *arguments: Any) -> int:
        core = self.context._core
        with core:
            if not self._finalizer.alive:
                raise invalid("the transaction is over")
            return core.check(function(self._pointer, *arguments))

    def load(self, source: Source, *, filename: Optional[str] = None,
             name: Optional[str] = None, limits: Limits = Limits()) -> int:
        """As ctx.policy.load()."""
        r = self._call(self.context._core.lib.clite_txn_policy_import,
                       *_import_arguments(source, filename, name, limits))
        self._changed = True
        return r

    def put(self, name: str, parts: PartsLike) -> None:
        """As ctx.policy.put()."""
        arena = Arena()
        self._call(self.context._core.lib.clite_txn_policy_put, encode(name, "name"),
                   *_fill_parts(parts, arena))
        self._changed = True

    def delete(self, name: str) -> None:
        """As ctx.policy.delete(), also of what the transaction has put."""
        self._call(self.context._core.lib.clite_txn_policy_delete, encode(name, "name"))
        self._changed = True

    def warnings(self) -> List[Warning]:
        """What is hardly meant in the policies that the transaction puts."""
        core = self.context._core
        with core:
            if self.closed:
                raise invalid("the transaction is over")
            return walk(core.lib.clite_txn_warnings, POINTER(_native.clite_warning),
                        lambda p: _make_warning(snapshot(p, _native.clite_warning)),
                        self._pointer, check=core.check)

    def rehearse(self, callback: Callable[[RehearsedFlow], Any], *, fed: bool = False,
                 ring_bytes: int = 0) -> Rehearsal:
        """Judge each flow from now on by what is in the transaction, too; callback gets those
        that it would treat differently. Traffic is not touched.

        fed  see no traffic, judge only what rehearsal.feed() is given
        """
        from .rehearse import Rehearsal
        return Rehearsal(self, callback, fed=fed, ring_bytes=ring_bytes)

    def commit(self) -> int:
        """Bring everything into force, or nothing; the new revision. The transaction is empty
        then and may be used again."""
        self.revision = self._call(self.context._core.lib.clite_txn_commit)
        self._changed = False
        return self.revision

    def close(self) -> None:
        """Drop the transaction and what is not committed of it."""
        self._finalizer()

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: Any, *_exception: Any) -> None:
        try:
            if kind is None and self._changed:
                self.commit()
        finally:
            self.close()
