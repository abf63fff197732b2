/* SPDX-License-Identifier: BSD-2-Clause */
/* A packet of one's own through the loaded programs (BPF_PROG_TEST_RUN). */
#pragma once

#include "datapath/state.h"

/* The first packet of a flow. */
struct traced {
	struct prefix from, to; /* family 0: not known; to: before translation */
	uint8_t protocol;
	uint16_t sport, dport; /* ICMP: dport is the type, of an echo sport is the identifier */
	const void *frame;     /* as it is to be run; NULL: the shortest that is one */
	size_t frame_len;
};

/* Where it comes from. */
enum live_from {
	LIVE_FROM_ENDPOINT, /* near sends it, to far (NULL: to none of the instance's) */
	LIVE_FROM_HOST,	    /* to near, made by the host */
	LIVE_FROM_WORLD,    /* to near, by way of the host's stack */
};

struct live_result {
	bool passed;
	bool redirected;  /* to a device; else it went to the stack */
	uint32_t reason;  /* why it did not pass */
	struct prefix to; /* after translation */
	uint16_t dport;
};

/* Run it; its flow is taken away again. A source port of 0 becomes one that no flow of
 * these ends has.
 * -EEXIST: there is such a flow. -EAGAIN: it was dropped, and the event that says why
 * was lost. -ENODEV: the device is not in this network namespace. */
int live_run(struct dp *dp, struct traced *t, const struct endpoint *near,
	     const struct endpoint *far, enum live_from from, struct live_result *ret,
	     struct errtext *err);
