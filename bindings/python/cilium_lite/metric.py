# SPDX-License-Identifier: BSD-2-Clause
"""Metrics: figures of an instance under Cilium's names."""
from __future__ import annotations

import ctypes
import dataclasses
from ctypes import POINTER, byref, c_char_p, c_size_t
from typing import TYPE_CHECKING, Any, Dict, List, Union

from . import _native
from ._core import check, decode, named
from .enums import MetricType

if TYPE_CHECKING:
    from .context import Context


@dataclasses.dataclass(frozen=True)
class Metric:
    """One figure."""

    name: str  # "cilium_drop_count_total"
    labels: Dict[str, str]  # {"reason": "Policy denied", "direction": "INGRESS"}
    value: float
    type: Union[MetricType, int]
    help: str


def _make(m: _native.clite_metric) -> Metric:
    labels = {decode(m.labels[i].name): decode(m.labels[i].value) for i in range(m.nlabels)}
    return Metric(decode(m.name), labels, m.value, named(m.type, MetricType), decode(m.help))


def metrics(ctx: Context) -> List[Metric]:
    core = ctx._core
    return core.list(core.lib.clite_metric_list, _native.clite_metric, _make)


def metrics_text(ctx: Context) -> str:
    lib = ctx._core.lib
    page: Any = POINTER(_native.clite_metric_page)()
    text, size = c_char_p(), c_size_t()
    check(lib.clite_metric_page_new(byref(page)))
    try:
        add = ctypes.cast(lib.clite_metric_page_add, _native.list_callback(_native.clite_metric))
        ctx._core.call(lib.clite_metric_list, add, page)
        check(lib.clite_metric_page_text(page, byref(text), byref(size)))
        return decode(text.value)
    finally:
        lib.clite_metric_page_free(page)
