/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Packets of the world to a service, before they are an skb: in an outer packet to a
 * back end, which answers the client itself. What is not to such a service passes as
 * it is. */
#pragma once

#include "hop.h"
#include "toobig.h"

#define XDP_GO (-1) /* not an action of the kernel's: send it by its hop */

/* ---- sending ------------------------------------------------------------------ */

static __always_inline int hop_takes(const struct dp_hop *hop, u8 family, u32 len)
{
	return !hop->mtu || len + outer_size(family, hop->mode) <= hop->mtu;
}

static __always_inline int hop_send(struct xdp_md *ctx, const struct dp_hop *hop, u32 len)
{
	count(0, 2, len);
	if (hop->ifindex == ctx->ingress_ifindex)
		return XDP_TX;
	return bpf_redirect(hop->ifindex, 0);
}

static __always_inline void eth_write(struct ethhdr *eth, const struct dp_hop *hop, u16 proto)
{
	const u32 *from = (const u32 *)hop->dmac;
	u32 *to = (u32 *)eth;

	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	eth->h_proto = bpf_htons(proto);
}

/* len: of the packet without Ethernet. */
static __always_inline int send4(struct xdp_md *ctx, const struct dp_control *ctl,
				 const struct dp_hop *hop, u8 tos, u32 len, u32 hash)
{
	u32 room = outer_size(4, hop->mode);
	struct ethhdr *eth;
	struct outer4 *o;

	if (bpf_xdp_adjust_head(ctx, -(int)room))
		return XDP_PASS; /* no room before the frame: tc makes some */
	eth = (void *)(long)ctx->data;
	o = (void *)(eth + 1);
	/* with the UDP header, or that of the packet inside */
	if ((void *)(o + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	eth_write(eth, hop, ETH_P_IP);
	outer4_write(o, ctl, hop, tos, len, hash);
	return hop_send(ctx, hop, len + ETH_HLEN);
}

static __always_inline int send6(struct xdp_md *ctx, const struct dp_control *ctl,
				 const struct dp_hop *hop, u32 word, u8 proto, u8 hop_limit,
				 u32 len, u32 hash)
{
	u32 room = outer_size(6, hop->mode);
	struct ethhdr *eth;
	struct outer6 *o;

	if (bpf_xdp_adjust_head(ctx, -(int)room))
		return XDP_PASS; /* no room before the frame: tc makes some */
	eth = (void *)(long)ctx->data;
	o = (void *)(eth + 1);
	if ((void *)(o + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	eth_write(eth, hop, ETH_P_IPV6);
	outer6_write(o, ctl, hop, word, proto, hop_limit, len, hash);
	return hop_send(ctx, hop, len + ETH_HLEN);
}

/* ---- what the cache does not know --------------------------------------------- */

static __always_inline int flow_is_new(const struct pkt *p)
{
	return p->proto == IPPROTO_TCP && p->tcp_flags & TCP_SYN;
}

/* A service has changed: a flow stays with its back end while that is there. A SYN is a
 * new flow. */
static __always_inline int cached_kept(const struct dp_cached *to, const struct dp_service *svc,
				       const struct pkt *p)
{
	struct dp_backend *be;

	if (flow_is_new(p) || to->service != svc->id)
		return 0;
	be = backend_get(to->backend);
	return be && be->service == svc->id && backend_who(be) == to->who;
}

/* Choose, and remember that: 0 or a drop reason. */
static __always_inline int balance_new(struct balance *b, const struct dp_service *svc,
				       struct dp_cached *old)
{
	struct dp_backend *be;
	struct dp_pace *pace;

	if (!service_source_ok(&b->p, svc))
		return DROP(&b->p, FILE_XDP, DROP_NOT_IN_SRC_RANGE);
	b->to.backend = service_hash(&b->p, svc);
	be = backend_get(b->to.backend);
	if (!b->to.backend || !be || be->service != svc->id)
		return DROP(&b->p, FILE_XDP, DROP_NO_SERVICE);
	b->to.who = backend_who(be);
	/* a SYN that comes again, and nothing in between */
	if (old && !old->used && old->gen == b->to.gen && old->service == b->to.service &&
	    old->backend == b->to.backend)
		return 0;
	pace = pace_get();
	b->fresh = !(b->p.tcp_flags & TCP_RST) && pace && ++pace->flows <= cfg_new_flows;
	if (old)
		*old = b->to;
	else if (!b->fresh)
		return 0;
	else if (b->p.family == 4)
		cache_put4(&b->p, b->hash, &b->to);
	else
		cache_put6(&b->p, b->hash, &b->to);
	return 0;
}

/* XDP_GO, with b->to, or an action. */
__noinline int balance(struct xdp_md *ctx, struct balance *b)
{
	struct dp_control *ctl = control_get();
	struct dp_service *svc;
	struct dp_cached *old;
	struct dp_hop *hop;
	int ret = 0;

	if (!b || !ctl)
		return XDP_PASS;
	svc = service_find(&b->p);
	if (!svc || svc->mode < DP_MODE_IPIP)
		return XDP_PASS;
	/* There is nobody: tc says so to the client. */
	if (svc->flags & DP_SVC_REJECT && !service_slots(svc, 1))
		return XDP_PASS;
	b->to.proto = b->p.proto;
	b->to.service = svc->id;
	b->to.gen = svc->gen;
	old = cache_get(&b->p, b->hash);
	if (old && cached_kept(old, svc, &b->p)) {
		old->gen = svc->gen;
		old->used = 1;
		b->to = *old;
	} else {
		ret = balance_new(b, svc, old);
		if (ret)
			return xdp_drop(ctx, b, -ret);
	}
	hop = hop_get(b->to.backend);
	if (!hop || !hop_current(hop, &b->to))
		ret = hop_resolve(ctx, b, svc->mode);
	if (ret < 0)
		return xdp_drop(ctx, b, -ret);
	if (ctl->slots && (b->fresh || ctl->every))
		xdp_trace(ctx, b);
	return ret ? ret : XDP_GO;
}

/* ---- packets ------------------------------------------------------------------- */

/* The hop of a flow that the cache knows and that nothing has changed for. */
static __always_inline struct dp_hop *hop_cached(const struct dp_control *ctl, struct dp_cached *to)
{
	struct dp_hop *hop;

	if (!cached_current(to) || ctl->every)
		return NULL;
	hop = hop_get(to->backend);
	if (!hop || !hop_current(hop, to))
		return NULL;
	if (!to->used)
		to->used = 1;
	return hop;
}

/* How long the header of layer 4 is at least that a packet of this length must have; 0:
 * not one of those that are balanced. flags: of TCP. */
static __always_inline u32 l4_size(void *l4, void *end, u8 proto, u8 *flags)
{
	struct tcphdr *tcp = l4;

	*flags = 0;
	if (proto == IPPROTO_UDP)
		return sizeof(struct udphdr);
	if (proto != IPPROTO_TCP || (void *)(tcp + 1) > end || tcp->doff < 5)
		return 0;
	*flags = ((u8 *)tcp)[13];
	return tcp->doff * 4;
}

static __always_inline void balance_fill(struct balance *b, struct xdp_md *ctx, u8 family, u8 proto,
					 u8 flags, u32 ports, u32 hash, u32 len)
{
	__builtin_memset(b, 0, sizeof(*b));
	b->p.family = family;
	b->p.proto = proto;
	b->p.tcp_flags = flags;
	*(u32 *)&b->p.sport = ports;
	b->p.hook_ifindex = ctx->ingress_ifindex;
	b->hash = hash;
	b->len = len + ETH_HLEN;
}

static __always_inline int balance4(struct xdp_md *ctx, void *data, void *end)
{
	struct iphdr *ip = data + ETH_HLEN;
	struct dp_control *ctl = control_get();
	u32 ports, len, l4, hash;
	struct dp_hop *hop = NULL;
	struct dp_cache4 *e;
	struct dp_set4 *set;
	u8 proto, flags, tos;
	struct balance b;
	int ret;

	if ((void *)(ip + 1) + sizeof(struct udphdr) > end || !ctl)
		return XDP_PASS;
	/* Options and fragments are the stack's, or tc's. */
	if (*(u8 *)ip != 0x45 || ip->frag_off & bpf_htons(IP_MF | IP_OFFSET))
		return XDP_PASS;
	proto = ip->protocol;
	l4 = l4_size(ip + 1, end, proto, &flags);
	len = bpf_ntohs(ip->tot_len);
	if (!l4 || len < sizeof(*ip) + l4 || len > end - data - ETH_HLEN)
		return XDP_PASS;
	ports = *(u32 *)(ip + 1);
	tos = ip->tos;
	hash = cache_hash4(ip->saddr, ip->daddr, ports, proto);
	set = cache_set4(hash);
	if (likely(set && !(flags & TCP_SYN))) {
		e = cache_find4(set, hash, ip->saddr, ip->daddr, ports, proto);
		if (likely(e))
			hop = hop_cached(ctl, &e->to);
	}
	if (unlikely(!hop)) {
		balance_fill(&b, ctx, 4, proto, flags, ports, hash, len);
		b.p.saddr.v4 = ip->saddr;
		b.p.daddr.v4 = ip->daddr;
		ret = balance(ctx, &b);
		if (ret != XDP_GO)
			return ret;
		hop = hop_get(b.to.backend);
		if (!hop)
			return XDP_DROP;
	}
	if (unlikely(!hop_takes(hop, 4, len))) {
		balance_fill(&b, ctx, 4, proto, flags, ports, hash, len);
		return too_big(ctx, &b, hop->mtu - outer_size(4, hop->mode));
	}
	return send4(ctx, ctl, hop, tos, len, hash);
}

static __always_inline int balance6(struct xdp_md *ctx, void *data, void *end)
{
	struct ipv6hdr *ip = data + ETH_HLEN;
	const __be32 *saddr = ip->saddr.in6_u.u6_addr32, *daddr = ip->daddr.in6_u.u6_addr32;
	struct dp_control *ctl = control_get();
	u32 ports, len, l4, hash, word;
	struct dp_hop *hop = NULL;
	struct dp_cache6 *e;
	struct dp_set6 *set;
	u8 proto, flags, hop_limit;
	struct balance b;
	int ret;

	if ((void *)(ip + 1) + sizeof(struct udphdr) > end || !ctl)
		return XDP_PASS;
	if (*(u8 *)ip >> 4 != 6)
		return XDP_PASS;
	proto = ip->nexthdr;
	hop_limit = ip->hop_limit;
	l4 = l4_size(ip + 1, end, proto, &flags);
	len = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (!l4 || len < sizeof(*ip) + l4 || len > end - data - ETH_HLEN)
		return XDP_PASS;
	ports = *(u32 *)(ip + 1);
	word = *(u32 *)ip;
	hash = cache_hash6(saddr, daddr, ports, proto);
	set = cache_set6(hash);
	if (likely(set && !(flags & TCP_SYN))) {
		e = cache_find6(set, hash, saddr, daddr, ports, proto);
		if (likely(e))
			hop = hop_cached(ctl, &e->to);
	}
	if (unlikely(!hop)) {
		balance_fill(&b, ctx, 6, proto, flags, ports, hash, len);
		__builtin_memcpy(&b.p.saddr, saddr, 16);
		__builtin_memcpy(&b.p.daddr, daddr, 16);
		ret = balance(ctx, &b);
		if (ret != XDP_GO)
			return ret;
		hop = hop_get(b.to.backend);
		if (!hop)
			return XDP_DROP;
	}
	if (unlikely(!hop_takes(hop, 6, len))) {
		balance_fill(&b, ctx, 6, proto, flags, ports, hash, len);
		return too_big(ctx, &b, hop->mtu - outer_size(6, hop->mode));
	}
	return send6(ctx, ctl, hop, word, proto, hop_limit, len, hash);
}

static __always_inline int xdp_packet(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return balance4(ctx, data, end);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return balance6(ctx, data, end);
	return XDP_PASS;
}
