/* SPDX-License-Identifier: BSD-2-Clause */
/* A packet of one's own through the loaded programs (BPF_PROG_TEST_RUN). */
#pragma once

#include "datapath/state.h"

/* The first packet of a flow. */
struct traced {
	struct prefix from, to; /* family 0: not known; to: before translation */
	uint8_t protocol;
	uint16_t sport, dport; /* ICMP: dport is the type */
};

struct live_result {
	uint32_t reason; /* 0: it passed */
	bool translated; /* addresses and ports that came out */
	struct prefix to;
	uint16_t dport;
};

/* Run it from the endpoint src; NULL: from the host to the endpoint dst. Its flow is
 * taken away again. -ENODEV: a device is not in this network namespace. */
int live_run(struct dp *dp, const struct traced *t, const struct endpoint *src,
	     const struct endpoint *dst, struct live_result *ret, struct errtext *err);
