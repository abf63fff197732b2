/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Events to those who have asked for them. */
#pragma once

#include "clite_filter.h"
#include "event.h"

#ifdef CLITE_XDP
typedef struct xdp_md ctx_t;
#define ctx_load_bytes bpf_xdp_load_bytes
#else
typedef struct __sk_buff ctx_t;
#define ctx_load_bytes bpf_skb_load_bytes
#endif

struct captured {
	struct dp_event_rec rec;
	u8 bytes[DP_CAPTURE_MAX];
};

/* Programs on one CPU do not interrupt each other. */
MAP_HASH(capture, BPF_MAP_TYPE_PERCPU_ARRAY, 0, __u32, struct captured, 1);

static __always_inline struct captured *captured_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&capture, &zero);
}

/* The record, and behind it up to max bytes of the packet as it is now. */
static __always_inline long capture_output(ctx_t *ctx, void *ring, const struct dp_event_rec *rec,
					   u32 max)
{
	u32 n = rec->len < max ? rec->len : max;
	struct captured *c = captured_get();

	if (!c)
		return -1;
	c->rec = *rec; /* which may be this one */
	if (!n)
		return bpf_ringbuf_output(ring, c, sizeof(*rec), BPF_RB_NO_WAKEUP);
	/* for the verifier: 1 to DP_CAPTURE_MAX */
	n = ((n - 1) & (DP_CAPTURE_MAX - 1)) + 1;
	if (ctx_load_bytes(ctx, 0, c->bytes, n))
		n = 0;
	return bpf_ringbuf_output(ring, c, sizeof(*rec) + n, BPF_RB_NO_WAKEUP);
}

/* Wake a subscriber that has asked for it. He asks, and then looks at the ring; here it is
 * written to (a full barrier), and then asked: one of both sees the other. An empty record
 * wakes, because the one that was written is gone. */
static __always_inline void ring_wake(struct dp_slot *slot, void *ring)
{
	u64 wake = READ_ONCE(slot->wake);
	void *empty;

	if (likely(wake == DP_WAKE_NOT) || bpf_ringbuf_query(ring, BPF_RB_PROD_POS) <= wake)
		return;
	if (__sync_val_compare_and_swap(&slot->wake, wake, DP_WAKE_NOT) != wake)
		return;
	empty = bpf_ringbuf_reserve(ring, sizeof(u64), 0);
	if (empty)
		bpf_ringbuf_discard(empty, BPF_RB_FORCE_WAKEUP);
	else
		WRITE_ONCE(slot->wake, wake); /* no room: whoever writes next tries again */
}

static __always_inline void slot_send(ctx_t *ctx, struct dp_slot *slot, u32 key,
				      struct dp_event_rec *rec)
{
	void *ring = bpf_map_lookup_elem(&rings, &key);
	long ret;

	if (!ring)
		return;
	if (!rec->time)
		rec->time = bpf_ktime_get_boot_ns();
	if (unlikely(slot->capture))
		ret = capture_output(ctx, ring, rec, slot->capture);
	else
		ret = bpf_ringbuf_output(ring, rec, sizeof(*rec), BPF_RB_NO_WAKEUP);
	if (ret) {
		u64 *n = bpf_map_lookup_elem(&lost, &key);

		if (n)
			(*n)++;
	}
	ring_wake(slot, ring);
}

/* Does a subscriber with filters want it? */
__noinline int filters_pass(const struct dp_event_rec *rec, u32 slot, u32 n)
{
	struct dp_filters *of = bpf_map_lookup_elem(&filters, &slot);
	struct dp_facts facts;
	u32 i;

	if (!of || !rec)
		return 0;
	facts_fill(rec, &facts);
	for (i = 0; i < DP_FILTERS; i++)
		if (i < n && filter_holds(&of->v[i], rec, &facts))
			return 1;
	return 0;
}

/* Hand a record to each subscriber that wants it. aggregated: it also goes to
 * those who do not want every packet. */
__noinline int event_send(ctx_t *ctx, struct dp_event_rec *rec, u32 aggregated)
{
	struct dp_control *ctl = control_get();
	u64 now = bpf_jiffies64();
	u32 i;

	if (!ctl || !rec)
		return 0;
	for (i = 0; i < DP_SUBSCRIBERS; i++) {
		struct dp_slot *slot = &ctl->slot[i];

		if (!(ctl->slots & 1U << i))
			continue;
		if ((long)(slot->lease - now) < 0) {
			/* The owner is gone: nobody pays for it any more. It sets
			 * the bits again when it renews its lease after all. */
			__sync_fetch_and_and(&ctl->slots, ~(1U << i));
			__sync_fetch_and_and(&ctl->every, ~(1U << i));
			continue;
		}
		if (!(slot->types & 1U << (rec->type & 31)))
			continue;
		if (!aggregated && slot->aggregation != DP_AGG_NONE)
			continue;
		if (slot->filters && !filters_pass(rec, i, slot->filters))
			continue;
		slot_send(ctx, slot, i, rec);
	}
	return 0;
}
