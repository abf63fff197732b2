/* SPDX-License-Identifier: BSD-2-Clause */
/* Entries of the ring as messages for clients, each made once for all that follow. */
#pragma once

#include "hubble/flow_pb.h"
#include "hubble/ring.h"
#include "observer.pb-c.h"

#define ENCODED 256 /* that are kept: clients that follow are about as far */

/* Zero-initialised is empty. */
struct encoder {
	struct {
		uint64_t pos; /* plus 1; 0: none */
		struct bytes message;
	} cache[ENCODED];
	struct flow_pb flow;
	/* the message around it */
	Observer__GetFlowsResponse response;
	Google__Protobuf__Timestamp time;
	Flow__LostEvent lost;
	Google__Protobuf__Timestamp first, last;
};

struct mask;

/* The message of a ring's entry with its frame, valid until the next call; NULL: no memory. */
const struct bytes *encode_entry(struct encoder *e, const struct ring *ring, uint64_t pos,
				 const char *node);
/* Append the same with only what a mask leaves. -ENOMEM. */
int encode_masked(struct encoder *e, const struct ring *ring, uint64_t pos, const char *node,
		  const struct mask *mask, struct bytes *out);
/* Append word of what a reader has lost. -ENOMEM. */
int encode_overtaken(struct encoder *e, const char *node, uint64_t lost, struct bytes *out);
void encoder_clear(struct encoder *e);
