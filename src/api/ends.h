/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is at the end of a flow, as the datapath would find out. */
#pragma once

#include "api/ctx.h"

struct end {
	const struct endpoint *ep; /* NULL: none of ours */
	const struct identity *identity;
	struct identity outside; /* what identity points to if nobody has its address */
};

/* Of an address. said: an identity that somebody has told of it, 0: none; it counts
 * where the instance knows nothing. The end must not be moved. */
void end_find(const struct state *st, const struct prefix *address, uint32_t said,
	      struct end *ret);
