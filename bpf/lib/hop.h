/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The way to a back end, as the routing table says. */
#pragma once

#include "balance.h"

static __always_inline struct dp_hop *hop_get(u32 backend)
{
	return bpf_map_lookup_elem(&hops, &backend);
}

static __always_inline int hop_current(const struct dp_hop *hop, const struct dp_cached *to)
{
	return hop->service == to->service && hop->gen == to->gen &&
	       (u32)bpf_jiffies64() - hop->resolved < cfg_hz;
}

/* The neighbour is not known: the stack asks for it when the program at tc sends this
 * packet. It is told which back end has been chosen. */
static __always_inline int hop_unknown(struct xdp_md *ctx, const struct balance *b)
{
	struct dp_cached *meta;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		return XDP_PASS; /* a driver that has none: chosen there by the hash */
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return XDP_PASS;
	*meta = b->to;
	return XDP_PASS;
}

/* Ask the routing table. Other CPUs may read meanwhile: an entry that is written counts
 * for nobody until its service stands there again; the rest is the same as before unless
 * the back end or its route is another, which costs these a packet at most. */
__noinline int hop_resolve(struct xdp_md *ctx, struct balance *b, u32 mode)
{
	struct dp_control *ctl = control_get();
	struct bpf_fib_lookup fib;
	struct dp_backend *be;
	struct dp_hop *hop;
	union dp_ip src;
	u32 ret;

	if (!b || !ctl)
		return XDP_DROP;
	be = backend_get(b->to.backend);
	hop = hop_get(b->to.backend);
	if (!be || !hop || be->service != b->to.service)
		return DROP(&b->p, FILE_HOP, DROP_NO_SERVICE);
	ret = outer_route(ctx, &fib, ctx->ingress_ifindex, be->family, &be->ip);
	if (is_endpoint(fib.ifindex, be->family, &be->ip)) {
		b->fresh = 0;
		return XDP_PASS;
	}
	if (ret == BPF_FIB_LKUP_RET_NO_NEIGH)
		return hop_unknown(ctx, b);
	if (ret != BPF_FIB_LKUP_RET_SUCCESS || outer_source(ctl, &fib, be->family, &src))
		return DROP(&b->p, FILE_HOP, DROP_NO_FIB);
	WRITE_ONCE(hop->service, 0);
	hop->gen = b->to.gen;
	hop->resolved = (u32)bpf_jiffies64();
	hop->ifindex = fib.ifindex;
	hop->src = src;
	hop->dst = be->ip;
	__builtin_memcpy(hop->dmac, fib.dmac, ETH_ALEN);
	__builtin_memcpy(hop->smac, fib.smac, ETH_ALEN);
	hop->mtu = fib.tot_len; /* mtu_result, of kernels that tell it */
	hop->mode = mode;
	WRITE_ONCE(hop->service, b->to.service);
	return 0;
}
