# SPDX-License-Identifier: BSD-2-Clause
"""Cgroups whose processes find services at the socket."""
from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, Iterator, List, Union

from . import _native
from ._core import decode, encode

if TYPE_CHECKING:
    from .context import Context

PathLike = Union[str, "os.PathLike[str]"]


@dataclasses.dataclass(frozen=True)
class Cgroup:
    """A cgroup as it was when it was attached."""

    path: str  # absolute
    id: int  # the kernel's number of it
    context: Context = dataclasses.field(repr=False, compare=False)

    def detach(self) -> None:
        """Its processes find no services at the socket any more. Connections stay."""
        self.context.cgroups.detach(self.path)


class Cgroups:
    """The attached cgroups of a context."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def _make(self, c: Any) -> Cgroup:
        return Cgroup(path=decode(c.path), id=c.id, context=self._context)

    def attach(self, path: PathLike) -> None:
        """Have the sockets of all processes in a cgroup, and in those below it, connect and
        send straight to the back ends of services.

        path  a directory of cgroup2
        """
        core = self._context._core
        core.call(core.lib.clite_cgroup_attach, encode(os.fspath(path), "path"))

    def detach(self, path: PathLike) -> None:
        """Undo attach()."""
        core = self._context._core
        core.call(core.lib.clite_cgroup_detach, encode(os.fspath(path), "path"))

    def list(self) -> List[Cgroup]:
        """All of them."""
        core = self._context._core
        return core.list(core.lib.clite_cgroup_list, _native.clite_cgroup_info, self._make)

    def __iter__(self) -> Iterator[Cgroup]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())
