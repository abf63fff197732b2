/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The way out of a packet that may pass. */
#pragma once

#include "flow.h"
#include "nat.h"

/* To an endpoint whose hardware address is not known yet: let the stack ask. */
__noinline int deliver_unknown(u32 ifindex, u32 family, const union dp_ip *daddr)
{
	struct bpf_redir_neigh nh = {};

	if (!daddr)
		return -DROP_UNKNOWN_TARGET;
	if (family == 4) {
		nh.nh_family = 2; /* AF_INET */
		nh.ipv4_nh = daddr->v4;
	} else {
		nh.nh_family = 10; /* AF_INET6 */
		__builtin_memcpy(nh.ipv6_nh, daddr, 16);
	}
	bpf_redirect_neigh(ifindex, &nh, sizeof(nh), 0);
	return ACT_REDIRECT;
}

/* To an endpoint, from an ingress hook: into its namespace at once where the
 * device is one of a pair, else out of the device. */
static __always_inline int deliver_endpoint(struct __sk_buff *skb, const struct dp_ep *dst,
					    u8 family, const union dp_ip *daddr)
{
	void *data, *end;
	struct ethhdr *eth;
	int ret = ttl_decrement(skb, family);

	if (unlikely(ret))
		return ret;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	eth = data;
	if ((void *)(eth + 1) > end)
		return -DROP_INVALID;
	__builtin_memcpy(eth->h_dest, dst->mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, dst->host_mac, ETH_ALEN);
	if (likely(dst->flags & DP_EP_PEER)) {
		bpf_redirect_peer(dst->ifindex, 0);
		return ACT_REDIRECT;
	}
	skb->mark = cfg_mark;
	if (!(*(u16 *)dst->mac | *(u16 *)(dst->mac + 2) | *(u16 *)(dst->mac + 4)))
		return deliver_unknown(dst->ifindex, family, daddr);
	bpf_redirect(dst->ifindex, 0);
	return ACT_REDIRECT;
}

/* Is the packet, as it is, too long for the way that it goes past the stack? The MTU, or 0.
 * Asked before it is translated: who sent it must know it again. */
static __always_inline u32 too_long(struct __sk_buff *skb, const struct dp_flow *f, int from_stack)
{
	u32 mtu = 0;

	if (f->dst_ep || !(f->flags & DP_FLOW_NEIGH) || from_stack)
		return 0;
	return bpf_check_mtu(skb, f->oif, &mtu, 0, BPF_MTU_CHK_SEGS) > 0 ? mtu ?: 1 : 0;
}

/* Does an established flow's packet need more than its entry says? */
static __always_inline int odd_way(struct __sk_buff *skb, const struct dp_flow *f, int from_stack,
				   u64 now)
{
	if (f->dst_ep || !(f->flags & DP_FLOW_NEIGH) || from_stack)
		return 0;
	return dsr_due(f, now) || too_long(skb, f, from_stack);
}

/* from_stack: the packet is on its way out of the endpoint's device already. */
static __always_inline int deliver(struct __sk_buff *skb, const struct dp_flow *f, u8 family,
				   const union dp_ip *daddr, int from_stack)
{
	if (f->dst_ep) {
		struct dp_ep *dst = ep_get(f->dst_ep);

		if (!dst)
			return -DROP_UNKNOWN_TARGET;
		if (!from_stack)
			return deliver_endpoint(skb, dst, family, daddr);
		/* Routed to another endpoint's device by mistake. */
		if (dst->ifindex != skb->ifindex)
			return -DROP_UNKNOWN_TARGET;
		return ACT_PASS;
	}
	if (f->flags & DP_FLOW_NEIGH && !from_stack) {
		int ret = ttl_decrement(skb, family);

		if (ret)
			return ret;
		bpf_redirect_neigh(f->oif, NULL, 0, 0);
		return ACT_REDIRECT;
	}
	return ACT_PASS;
}
