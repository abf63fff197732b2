/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The flow table: conntrack, translation, policy cache and route cache in one. */
#pragma once

#include "maps.h"

/* The keys, as the words that the kernel compares: a load that spans several stores
 * has to wait until these have left the store buffer. Worth 10 ns of an IPv6
 * packet's 64. */
struct flow4_words {
	u64 addrs;
	u64 ports;
	u32 proto;
};

struct flow6_words {
	u64 saddr[2];
	u64 daddr[2];
	u64 ports;
	u32 proto;
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define WORD64(first, second) ((u64)(second) << 32 | (u32)(first))
#define WORD32(first, second) ((u32)(second) << 16 | (u16)(first))
#define PROTO_WORD(proto, scope) ((u32)(scope) << 8 | (proto))
#else
#define WORD64(first, second) ((u64)(first) << 32 | (u32)(second))
#define WORD32(first, second) ((u32)(first) << 16 | (u16)(second))
#define PROTO_WORD(proto, scope) ((u32)(proto) << 24 | (u32)(scope) << 16)
#endif

#define SAME_PLACE(words, word, key, member)                                               \
	_Static_assert(__builtin_offsetof(struct words, word) ==                           \
			       __builtin_offsetof(struct key, member), "a word is elsewhere")

SAME_PLACE(flow4_words, ports, dp_flow4_key, sport);
SAME_PLACE(flow4_words, proto, dp_flow4_key, proto);
SAME_PLACE(flow6_words, daddr, dp_flow6_key, daddr);
SAME_PLACE(flow6_words, ports, dp_flow6_key, sport);
SAME_PLACE(flow6_words, proto, dp_flow6_key, proto);

/* ports: source and destination as they lie in the packet. */
static __always_inline void flow4_key(struct flow4_words *key, __be32 saddr, __be32 daddr,
				      u32 ports, u32 ifindex, u8 proto, u8 scope)
{
	key->addrs = WORD64(saddr, daddr);
	key->ports = WORD64(ports, ifindex);
	key->proto = PROTO_WORD(proto, scope);
}

static __always_inline void flow6_key(struct flow6_words *key, const __be32 *saddr,
				      const __be32 *daddr, u32 ports, u32 ifindex, u8 proto,
				      u8 scope)
{
	key->saddr[0] = WORD64(saddr[0], saddr[1]);
	key->saddr[1] = WORD64(saddr[2], saddr[3]);
	key->daddr[0] = WORD64(daddr[0], daddr[1]);
	key->daddr[1] = WORD64(daddr[2], daddr[3]);
	key->ports = WORD64(ports, ifindex);
	key->proto = PROTO_WORD(proto, scope);
}

static __always_inline void pkt4_key(const struct pkt *p, struct flow4_words *key)
{
	flow4_key(key, p->saddr.v4, p->daddr.v4, WORD32(p->sport, p->dport), p->ifindex, p->proto,
		  p->scope);
}

static __always_inline void pkt6_key(const struct pkt *p, struct flow6_words *key)
{
	flow6_key(key, p->saddr.w, p->daddr.w, WORD32(p->sport, p->dport), p->ifindex, p->proto,
		  p->scope);
}

static __always_inline struct dp_flow *flow_lookup(const struct pkt *p)
{
	if (p->family == 4) {
		struct flow4_words key;

		pkt4_key(p, &key);
		return bpf_map_lookup_elem(&flow4, &key);
	} else {
		struct flow6_words key;

		pkt6_key(p, &key);
		return bpf_map_lookup_elem(&flow6, &key);
	}
}

/* One that must be there. A hash writes over an element by putting another one at the head
 * of its list before it takes the old one out: who is on his way through the list then
 * finds neither. Whoever looks again finds it. */
static __always_inline struct dp_flow *flow_lookup_again(const struct pkt *p)
{
	struct dp_flow *f = flow_lookup(p);

	return f ? f : flow_lookup(p);
}

/* how: BPF_ANY, BPF_NOEXIST */
static __always_inline long flow_insert(const struct pkt *p, const struct dp_flow *f, u64 how)
{
	if (p->family == 4) {
		struct flow4_words key;

		pkt4_key(p, &key);
		return bpf_map_update_elem(&flow4, &key, f, how);
	} else {
		struct flow6_words key;

		pkt6_key(p, &key);
		return bpf_map_update_elem(&flow6, &key, f, how);
	}
}

static __always_inline void flow_delete(const struct pkt *p)
{
	if (p->family == 4) {
		struct flow4_words key;

		pkt4_key(p, &key);
		bpf_map_delete_elem(&flow4, &key);
	} else {
		struct flow6_words key;

		pkt6_key(p, &key);
		bpf_map_delete_elem(&flow6, &key);
	}
}

/* An entry carries its own end; what is over is not there. */
static __always_inline int flow_alive(const struct dp_flow *f, u64 now)
{
	/* seen may be a tick ahead, written by another CPU */
	return (long)(now - f->seen) <= (long)f->lifetime;
}

/* Was the end of a flow that has this number another endpoint then? Generation 0
 * says nothing: that entry is to be judged again. */
static __always_inline int flow_end_gone(u32 id, u32 gen)
{
	struct dp_ep *ep = ep_get(id);

	return !ep || (id && gen && (int)(gen - ep->born) < 0);
}

/* The entry is a flow of those that are there now. */
static __always_inline int flow_there(const struct dp_flow *f, u64 now)
{
	return flow_alive(f, now) && !flow_end_gone(f->src_ep, f->src_gen) &&
	       !flow_end_gone(f->dst_ep, f->dst_gen);
}

/* Do the policies that admitted the flow still stand? epoch: read once for a
 * packet, so that it sees one commit at both of its ends. */
static __always_inline int flow_current(const struct dp_flow *f, u32 epoch)
{
	struct dp_ep *src = ep_get(f->src_ep), *dst = ep_get(f->dst_ep);

	if (!src || !dst)
		return 0;
	return src->slot[epoch & 1].gen == f->src_gen && dst->slot[epoch & 1].gen == f->dst_gen;
}

static __always_inline int flow_service_current(const struct dp_flow *f)
{
	u32 id = f->service, *gen;

	if (likely(!id))
		return 1;
	gen = bpf_map_lookup_elem(&service_gens, &id);
	return gen && *gen == f->service_gen;
}

/* Every packet that passes: exact also when several CPUs carry one flow. */
static __always_inline void flow_count(struct dp_flow *f, u32 len, u64 now)
{
	__sync_fetch_and_add(&f->packets, 1);
	__sync_fetch_and_add(&f->bytes, len);
	if (f->seen != now)
		f->seen = now;
}

/* Subscribers hear of a flow that goes on every few seconds. */
static __always_inline int report_due(const struct dp_flow *f, u64 now)
{
	return (u32)now - f->reported >= REPORT_INTERVAL * cfg_hz;
}

/* Direct server return: is the back end's node to be told the flow's service? */
static __always_inline int dsr_due(const struct dp_flow *f, u64 now)
{
	if (!(f->dsr & DP_DSR_OUT))
		return 0;
	return !f->dsr_told || (u32)now - f->dsr_told >= DSR_AGAIN * cfg_hz ||
	       (f->packets < DSR_FIRST && !(f->flags & DP_FLOW_TCP_OPEN));
}

static __always_inline u32 flow_lifetime(u8 proto, u8 flags)
{
	u32 s = CT_ANY;

	if (proto == IPPROTO_TCP)
		s = flags & DP_FLOW_TCP_OPEN ? CT_TCP_ESTABLISHED : CT_TCP_SYN;
	return s * cfg_hz;
}

/* The packet as the other direction of the flow sends it: what it becomes by
 * translation, swapped. */
static __always_inline void flow_pair(const struct pkt *p, const struct dp_flow *f,
				      struct pkt *pair)
{
	struct dp_ep *dst;

	*pair = *p;
	if (f->flags & DP_FLOW_NAT && !(f->dsr & DP_DSR_BACK)) {
		pair->saddr = f->nat_daddr;
		pair->daddr = f->nat_saddr;
		pair->sport = f->nat_dport;
		pair->dport = f->nat_sport;
	} else {
		pair->saddr = p->daddr;
		pair->daddr = p->saddr;
		pair->sport = p->dport;
		pair->dport = p->sport;
	}
	pair->scope = f->pair_scope;
	if (is_icmp(p) && !(p->scope & DP_SCOPE_REPLY))
		pair->scope |= DP_SCOPE_REPLY;
	pair->ifindex = 0;
	if (f->pair_scope == DP_SCOPE_ENDPOINT) {
		dst = ep_get(f->dst_ep);
		if (dst)
			pair->ifindex = dst->ifindex;
	}
}

/* Of a flow whose other direction is never seen. What follows a FIN are acknowledgements,
 * as long as the other side sends: the entry lives on by them. */
static __always_inline void flow_tcp_oneway(struct dp_flow *f, u8 flags)
{
	if (flags & TCP_SYN)
		f->flags &= ~DP_FLOW_TCP_OPEN;
	if (flags & (TCP_FIN | TCP_RST))
		f->flags |= DP_FLOW_CLOSING;
	f->lifetime = f->flags & DP_FLOW_CLOSING ? CT_TCP_SYN * cfg_hz :
						   flow_lifetime(IPPROTO_TCP, f->flags);
}

/* TCP state after a packet with these flags. Both entries of a flow look after
 * their own direction; the other one is asked only when a flow closes. q: for
 * the pair's packet. */
static __always_inline void flow_tcp(const struct pkt *p, struct dp_flow *f, struct pkt *q)
{
	u8 flags = p->tcp_flags;
	struct dp_flow *pair;

	f->tcp_seen |= flags;
	if (!(flags & TCP_SYN))
		f->flags |= DP_FLOW_TCP_OPEN;
	if (f->dsr & DP_DSR_OUT) {
		flow_tcp_oneway(f, flags);
		return;
	}
	if (flags & (TCP_FIN | TCP_RST) && f->flags & DP_FLOW_PAIR) {
		f->flags |= DP_FLOW_CLOSING;
		flow_pair(p, f, q);
		pair = flow_lookup(q);
		if (pair && flags & TCP_RST &&
		    !(f->tcp_seen & TCP_SYN && pair->tcp_seen & TCP_SYN))
			pair->flags |= DP_FLOW_CLOSING;
		if (pair && pair->flags & DP_FLOW_CLOSING)
			pair->lifetime = f->lifetime = CT_TCP_CLOSE * cfg_hz;
		return;
	}
	if (!(f->flags & DP_FLOW_CLOSING))
		f->lifetime = flow_lifetime(IPPROTO_TCP, f->flags);
}

/* A SYN where either side has begun to close opens another connection. */
static __always_inline int flow_reopened(const struct pkt *p, const struct dp_flow *f,
					 struct pkt *q)
{
	struct dp_flow *pair;

	if (p->proto != IPPROTO_TCP || (p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return 0;
	if (f->flags & DP_FLOW_CLOSING)
		return 1;
	if (!(f->flags & DP_FLOW_PAIR))
		return 0;
	flow_pair(p, f, q);
	pair = flow_lookup(q);
	return pair && pair->flags & DP_FLOW_CLOSING;
}
