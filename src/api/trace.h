/* SPDX-License-Identifier: BSD-2-Clause */
/* A trace on its way. (trace.c, trace_live.c) */
#pragma once

#include "api/ends.h"

/* The packet that is traced: addresses of family 0 are not known. */
struct traced {
	struct prefix from, to; /* to: before translation */
	uint8_t protocol;
	uint16_t sport, dport; /* ICMP: dport is the type */
};

struct live_result {
	uint32_t reason; /* 0: it passed */
	bool translated; /* addresses and ports that came out */
	struct prefix to;
	uint16_t dport;
};

/* Run it through the programs: from the endpoint src, else to the endpoint dst. */
int trace_live(struct clite_ctx *ctx, const struct traced *t, const struct endpoint *src,
	       const struct endpoint *dst, struct live_result *ret);
