/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is known, and told, of a frame at XDP. */
#pragma once

#include "cache.h"
#include "send.h"
#include "tunnel.h"

/* What the steps after the fast path know of a packet. */
struct balance {
	struct pkt p;
	struct dp_cached to;
	u32 hash;
	u32 len;   /* of the frame */
	u32 fresh; /* the first packet of a flow, as far as is known here */
};

/* The stack has no room for it. */
static __always_inline struct dp_event_rec *record_get(void)
{
	struct captured *c = captured_get();

	return c ? &c->rec : NULL;
}

/* The one way to drop a packet here. */
__noinline int xdp_drop(struct xdp_md *ctx, struct balance *b, u32 reason)
{
	struct dp_control *ctl = control_get();
	struct dp_event_rec *rec = record_get();

	if (!b)
		return XDP_DROP;
	count(reason & 255, 1, b->len);
	if (!ctl || !ctl->slots || !rec)
		return XDP_DROP;
	event_fill(rec, b->len, &b->p);
	rec->type = DP_EV_DROP;
	rec->subtype = reason;
	rec->dir = 1;
	rec->line = b->p.line;
	rec->file = b->p.file;
	rec->src_identity = b->p.family == 4 ? 9 : 10; /* world */
	rec->flags |= DP_EVF_REPLY_KNOWN;
	event_send(ctx, rec, 1);
	return XDP_DROP;
}

__noinline int xdp_trace(struct xdp_md *ctx, struct balance *b)
{
	struct dp_event_rec *rec = record_get();
	struct dp_backend *be;

	if (!b || !rec)
		return 0;
	be = backend_get(b->to.backend);
	if (!be)
		return 0;
	event_fill(rec, b->len, &b->p);
	rec->type = DP_EV_TRACE;
	rec->subtype = TRACE_TO_OVERLAY;
	rec->dir = 2;
	rec->reason = b->fresh ? 0 : 1; /* new, established */
	rec->flags |= DP_EVF_REPLY_KNOWN | DP_EVF_XLATED;
	rec->src_identity = b->p.family == 4 ? 9 : 10;
	rec->dst_identity = rec->src_identity;
	rec->orig_addr = b->p.daddr;
	rec->orig_port = b->p.dport;
	rec->daddr = be->ip;
	event_send(ctx, rec, b->fresh);
	return 0;
}
