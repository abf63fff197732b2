/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the steps of the slow path know of a packet. */
#pragma once

#include "policy.h"

/* Which program a packet is in. */
#define HOOK_FROM_ENDPOINT 0
#define HOOK_TO_ENDPOINT 1
#define HOOK_FROM_NETDEV 2
#define HOOK_TO_NETDEV 3

#define ANSWER_REJECT 1
#define ANSWER_TOO_BIG 2

/* Too large for the stack. Programs on one CPU do not interrupt each other. */
struct scratch {
	struct pkt p;
	struct pkt q; /* the same flow's other direction, or the one quoted */
	struct side src;
	struct side dst;
	struct ruling r;
	struct dp_flow f;
	struct dp_event_rec rec;
	struct dp_hop hop; /* of an outer packet */
	u32 epoch;
	u32 reply;  /* the packet answers */
	u32 reason; /* Cilium's trace reason */
	u32 hook;   /* HOOK_* */
	u32 drop;   /* the fast path's reason to drop, 0: none */
	u32 xlated; /* f says what the packet becomes, and events tell that */
	u32 answer; /* ANSWER_*: when it is dropped, who sent it is told */
	u32 mtu;    /* of the way out: ANSWER_TOO_BIG */
	u32 dsr;    /* the packet names a service, and is believed: */
	union dp_ip dsr_ip;
	u8 quote[64];
	__be16 dsr_port;
	u64 now;
};

/* The slow path is a chain of steps, called one after the other and not out of
 * each other: the stack is 512 bytes for all of them. A step returns a drop
 * reason, an ACT_*, or which comes next. */
#define NEXT_ADMIT 16
#define NEXT_JUDGE 17
#define NEXT_FORWARD 18

MAP_HASH(scratch, BPF_MAP_TYPE_PERCPU_ARRAY, 0, __u32, struct scratch, 1);

/* Is the packet on its way out of a device? */
static __always_inline int is_egress(u32 hook)
{
	return hook == HOOK_TO_ENDPOINT || hook == HOOK_TO_NETDEV;
}

static __always_inline u8 hook_dir(int hook)
{
	return hook == HOOK_FROM_ENDPOINT || hook == HOOK_TO_NETDEV ? 2 : 1;
}
