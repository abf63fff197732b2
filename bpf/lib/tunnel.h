/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Outer packets: a client's packet goes to its back end whole, inside another. */
#pragma once

#include "service.h"

/* GUE: which way the next packet of a flow takes follows from the source port. */
#define GUE_SPORT 0xc000
#define GUE_SPORT_MASK 0x3fff
#define OUTER_TTL 64

#define TRACE_TO_OVERLAY 4 /* Cilium's trace point */

/* Not in all headers. */
#define FIB_OUTPUT (1U << 1)
#define FIB_SRC (1U << 4)
#define EINVAL_ 22

struct outer4 {
	struct iphdr ip;
	struct udphdr udp;
};

struct outer6 {
	struct ipv6hdr ip;
	struct udphdr udp;
};

static __always_inline u32 outer_size(u8 family, u8 mode)
{
	return (family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) +
	       (mode == DP_MODE_GUE ? sizeof(struct udphdr) : 0);
}

/* One's complement sums, of 16-bit words as they lie in memory. */
static __always_inline u32 sum32(u32 v)
{
	return (v & 0xffff) + (v >> 16);
}

static __always_inline u32 sum_ip6(const union dp_ip *ip)
{
	return sum32(ip->w[0]) + sum32(ip->w[1]) + sum32(ip->w[2]) + sum32(ip->w[3]);
}

static __always_inline void outer_udp(struct udphdr *udp, __be16 port, u32 len, u32 hash)
{
	udp->source = bpf_htons(GUE_SPORT | (hash >> 17 & GUE_SPORT_MASK));
	udp->dest = port;
	udp->len = bpf_htons(len);
	udp->check = 0; /* IPv4: the packet inside has one */
}

/* len: of the packet inside, which has this tos. Never in fragments, so the
 * identification says nothing (RFC 6864). */
static __always_inline void outer4_write(struct outer4 *o, const struct dp_control *ctl,
					 const struct dp_hop *hop, u8 tos, u32 len, u32 hash)
{
	u32 gue = hop->mode == DP_MODE_GUE;
	u16 tot = bpf_htons(sizeof(o->ip) + (gue ? sizeof(o->udp) : 0) + len);
	__be32 saddr = hop->src.v4 ^ (hash & ctl->outer4_vary), daddr = hop->dst.v4;
	u16 first = bpf_htons(0x4500 | tos);
	u16 proto = bpf_htons(OUTER_TTL << 8 | (gue ? IPPROTO_UDP : IPPROTO_IPIP));

	*(u16 *)&o->ip = first;
	o->ip.tot_len = tot;
	*(u32 *)&o->ip.id = bpf_htonl(0x4000);
	*(u16 *)&o->ip.ttl = proto;
	o->ip.check = sum_fold((u32)first + tot + bpf_htons(0x4000) + proto + sum32(saddr) +
			       sum32(daddr));
	o->ip.saddr = saddr;
	o->ip.daddr = daddr;
	if (gue)
		outer_udp(&o->udp, ctl->gue_port, sizeof(o->udp) + len, hash);
}

/* IPv6's UDP must have a sum. All that it covers is known: the segment inside and its
 * pseudo header sum up to nothing, so only the rest of the inner header is left. */
static __always_inline u16 outer6_sum(const struct outer6 *o, const union dp_ip *saddr,
				      const union dp_ip *daddr, u32 word, u8 proto, u8 hops)
{
	u32 s = sum_ip6(saddr) + sum_ip6(daddr) + bpf_htons(IPPROTO_UDP) + o->udp.source +
		o->udp.dest + 2 * (u32)o->udp.len;

	s += sum32(word) + bpf_htons((u16)proto << 8 | hops) + (u16)~bpf_htons(proto);
	return sum_fold(s) ?: 0xffff;
}

/* len: of the packet inside; word, proto, hops: of its header. */
static __always_inline void outer6_write(struct outer6 *o, const struct dp_control *ctl,
					 const struct dp_hop *hop, u32 word, u8 proto, u8 hops,
					 u32 len, u32 hash)
{
	u32 gue = hop->mode == DP_MODE_GUE;
	union dp_ip saddr = hop->src;

	saddr.w[3] ^= hash & ctl->outer6_vary;
	/* Traffic class from inside, flow label from the hash: routers and receive queues
	 * tell flows apart by it. */
	*(u32 *)&o->ip = (word & bpf_htonl(0xfff00000)) | (hash & bpf_htonl(0x000fffff));
	o->ip.payload_len = bpf_htons(len + (gue ? sizeof(o->udp) : 0));
	*(u16 *)&o->ip.nexthdr = bpf_htons((gue ? IPPROTO_UDP : IPPROTO_IPV6) << 8 | OUTER_TTL);
	((union dp_ip *)&o->ip.saddr)->w[0] = saddr.w[0];
	((union dp_ip *)&o->ip.saddr)->w[1] = saddr.w[1];
	((union dp_ip *)&o->ip.saddr)->w[2] = saddr.w[2];
	((union dp_ip *)&o->ip.saddr)->w[3] = saddr.w[3];
	((union dp_ip *)&o->ip.daddr)->w[0] = hop->dst.w[0];
	((union dp_ip *)&o->ip.daddr)->w[1] = hop->dst.w[1];
	((union dp_ip *)&o->ip.daddr)->w[2] = hop->dst.w[2];
	((union dp_ip *)&o->ip.daddr)->w[3] = hop->dst.w[3];
	if (gue) {
		outer_udp(&o->udp, ctl->gue_port, sizeof(o->udp) + len, hash);
		o->udp.check = outer6_sum(o, &saddr, &hop->dst, word, proto, hops);
	}
}

static __always_inline void fib_fill(struct bpf_fib_lookup *fib, u32 ifindex, u32 family,
				     const union dp_ip *dst)
{
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->ifindex = ifindex;
	fib->tot_len = 1; /* any length: else at tc the device's MTU is told, not the route's */
	if (family == 4) {
		fib->family = 2; /* AF_INET */
		fib->ipv4_dst = dst->v4;
	} else {
		fib->family = 10; /* AF_INET6 */
		__builtin_memcpy(fib->ipv6_dst, dst, 16);
	}
}

/* Where a packet to a back end leaves this host that came in by ifindex, and by what
 * source: BPF_FIB_LKUP_RET_*. */
static __always_inline long outer_route(void *ctx, struct bpf_fib_lookup *fib, u32 ifindex,
					u32 family, const union dp_ip *dst)
{
	u32 src = FIB_SRC;
	long ret;

	fib_fill(fib, ifindex, family, dst);
	ret = bpf_fib_lookup(ctx, fib, sizeof(*fib), src);
	if (ret == -EINVAL_) {
		src = 0; /* a kernel that does not know the flag */
		fib_fill(fib, ifindex, family, dst);
		ret = bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	}
	if (ret == BPF_FIB_LKUP_RET_FWD_DISABLED) {
		/* No router, but a balancer that has one arm. */
		fib_fill(fib, ifindex, family, dst);
		ret = bpf_fib_lookup(ctx, fib, sizeof(*fib), src | FIB_OUTPUT);
	}
	return ret;
}

/* Endpoints are delivered to by their policies, and never in outer packets, which say
 * nothing of what is inside. */
static __always_inline int is_endpoint(u32 ifindex, u8 family, const union dp_ip *ip)
{
	struct dp_addr_key key = { .ip = *ip, .family = family };
	struct dp_addr *a;

	if (bpf_map_lookup_elem(&devices, &ifindex))
		return 1;
	a = bpf_map_lookup_elem(&addresses, &key);
	return a && a->ep;
}

/* -1: the host has no address for it. */
static __always_inline int outer_source(const struct dp_control *ctl,
					const struct bpf_fib_lookup *fib, u32 family,
					union dp_ip *src)
{
	__builtin_memset(src, 0, sizeof(*src));
	if (family == 4) {
		src->v4 = ctl->outer4 ?: fib->ipv4_src ?: ctl->own4;
		return src->v4 ? 0 : -1;
	}
	__builtin_memcpy(src, fib->ipv6_src, 16);
	if (ctl->outer6.w[0])
		*src = ctl->outer6;
	else if (!src->w[0])
		*src = ctl->own6;
	return src->w[0] ? 0 : -1;
}
