/* SPDX-License-Identifier: BSD-2-Clause */
/* Filters as the datapath reads them. */
#pragma once

#include "clite_layout.h"
#include "model/filter.h"

/* Alternatives, of which one must hold, and the types of events (1 << DP_EV_*) that any of
 * them can hold for. Returns how many; 0: there is nothing to ask, the types say all. */
size_t filters_layout(const struct filters *fs, struct dp_filters *ret, uint32_t *ret_types);
