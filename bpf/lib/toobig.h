/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Frames that are too large for an outer packet: ICMP to the client. */
#pragma once

#include "balance.h"

/* What an ICMP error quotes: the IP header and the ports. */
struct too_big4 {
	struct ethhdr eth;
	struct iphdr ip;
	struct {
		u8 type;
		u8 code;
		u16 check;
		u16 unused;
		__be16 mtu;
		struct iphdr ip;
		u8 l4[8];
	} icmp;
} __attribute__((packed));

struct too_big6 {
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct {
		u8 type;
		u8 code;
		u16 check;
		__be32 mtu;
		struct ipv6hdr ip;
		u8 l4[8];
	} icmp;
} __attribute__((packed));

static __always_inline u32 sum_words(const void *data, u32 words)
{
	const u16 *w = data;
	u32 s = 0;

#pragma unroll
	for (u32 i = 0; i < words; i++)
		s += w[i];
	return s;
}

static __always_inline void eth_swap(struct ethhdr *eth, const struct ethhdr *from)
{
	__builtin_memcpy(eth->h_dest, from->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, from->h_dest, ETH_ALEN);
	eth->h_proto = from->h_proto;
}

/* Cut the frame to what is quoted, make room before it. */
static __always_inline int icmp_frame(struct xdp_md *ctx, u32 head, u32 size, struct ethhdr *eth)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u32 len = end - data;

	if (data + sizeof(*eth) > end || len < size - head)
		return -1;
	*eth = *(struct ethhdr *)data;
	return bpf_xdp_adjust_tail(ctx, -(int)(len - (size - head))) ||
	       bpf_xdp_adjust_head(ctx, -(int)head);
}

static __always_inline int too_big4(struct xdp_md *ctx, u32 mtu)
{
	struct too_big4 *t;
	struct ethhdr eth;

	if (icmp_frame(ctx, sizeof(t->ip) + 8, sizeof(*t), &eth))
		return XDP_DROP;
	t = (void *)(long)ctx->data;
	if ((void *)(t + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	eth_swap(&t->eth, &eth);
	__builtin_memset(&t->ip, 0, sizeof(t->ip));
	*(u8 *)&t->ip = 0x45;
	t->ip.tot_len = bpf_htons(sizeof(t->ip) + sizeof(t->icmp));
	t->ip.frag_off = bpf_htons(0x4000);
	t->ip.ttl = OUTER_TTL;
	t->ip.protocol = IPPROTO_ICMP;
	t->ip.saddr = t->icmp.ip.daddr;
	t->ip.daddr = t->icmp.ip.saddr;
	t->ip.check = sum_fold(sum_words(&t->ip, sizeof(t->ip) / 2));
	t->icmp.type = ICMP_DEST_UNREACH;
	t->icmp.code = 4;
	t->icmp.check = 0;
	t->icmp.unused = 0;
	t->icmp.mtu = bpf_htons(mtu);
	t->icmp.check = sum_fold(sum_words(&t->icmp, sizeof(t->icmp) / 2));
	return XDP_TX;
}

static __always_inline int too_big6(struct xdp_md *ctx, u32 mtu)
{
	struct too_big6 *t;
	struct ethhdr eth;
	u32 sum;

	if (icmp_frame(ctx, sizeof(t->ip) + 8, sizeof(*t), &eth))
		return XDP_DROP;
	t = (void *)(long)ctx->data;
	if ((void *)(t + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	eth_swap(&t->eth, &eth);
	__builtin_memset(&t->ip, 0, sizeof(t->ip));
	*(u8 *)&t->ip = 0x60;
	t->ip.payload_len = bpf_htons(sizeof(t->icmp));
	t->ip.nexthdr = IPPROTO_ICMPV6;
	t->ip.hop_limit = OUTER_TTL;
	__builtin_memcpy(&t->ip.saddr, &t->icmp.ip.daddr, 16);
	__builtin_memcpy(&t->ip.daddr, &t->icmp.ip.saddr, 16);
	t->icmp.type = 2; /* packet too big */
	t->icmp.code = 0;
	t->icmp.check = 0;
	t->icmp.mtu = bpf_htonl(mtu < 1280 ? 1280 : mtu);
	sum = sum_words(&t->ip.saddr, 16) + bpf_htons(IPPROTO_ICMPV6) + t->ip.payload_len;
	t->icmp.check = sum_fold(sum + sum_words(&t->icmp, sizeof(t->icmp) / 2));
	return XDP_TX;
}

static __always_inline struct dp_pace *pace_get(void)
{
	u32 zero = 0, now = (u32)bpf_jiffies64();
	struct dp_pace *pace = bpf_map_lookup_elem(&paces, &zero);

	if (pace && now - pace->since >= cfg_hz) {
		pace->since = now;
		pace->flows = pace->icmp = 0;
	}
	return pace;
}

static __always_inline void addresses_fill(struct xdp_md *ctx, struct pkt *p)
{
	void *ip = (void *)(long)ctx->data + ETH_HLEN, *end = (void *)(long)ctx->data_end;

	if (p->family == 4 && ip + sizeof(struct iphdr) <= end) {
		p->saddr.v4 = ((struct iphdr *)ip)->saddr;
		p->daddr.v4 = ((struct iphdr *)ip)->daddr;
	} else if (p->family == 6 && ip + sizeof(struct ipv6hdr) <= end) {
		__builtin_memcpy(&p->saddr, &((struct ipv6hdr *)ip)->saddr, 16);
		__builtin_memcpy(&p->daddr, &((struct ipv6hdr *)ip)->daddr, 16);
	}
}

/* Longer than the way to its back end takes, in its outer packet: tell the client. */
__noinline int too_big(struct xdp_md *ctx, struct balance *b, u32 mtu)
{
	struct dp_pace *pace = pace_get();

	if (!b)
		return XDP_DROP;
	addresses_fill(ctx, &b->p);
	DROP(&b->p, FILE_TOOBIG, 0);
	xdp_drop(ctx, b, DROP_FRAG_NEEDED);
	if (!pace || ++pace->icmp > ICMP_PACE)
		return XDP_DROP;
	return b->p.family == 4 ? too_big4(ctx, mtu) : too_big6(ctx, mtu);
}
