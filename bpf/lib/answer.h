/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the datapath answers itself: ICMP errors to whom a packet came from.
 *
 * The packet becomes the error: cut down to the headers that are quoted, with new ones in
 * front, and back out of the device that it came in by. One packet for one, and a shorter
 * one mostly: nothing to gain for those who lie about where they are. */
#pragma once

#include "deliver.h"
#include "scratch.h"

#define ICMP_PORT_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PKT_TOOBIG 2
#define ICMPV6_PORT_UNREACH 4

struct icmp_head {
	u8 type;
	u8 code;
	__sum16 check;
	__be32 mtu; /* of "fragmentation needed" and "too big" */
};

/* The headers of the packet that it is about; 0: it is none to quote. */
static __always_inline u32 quote_len(const struct pkt *p)
{
	u32 ip = p->l4 - L3; /* with what options and extension headers there are */

	if (p->l4 < L3 + sizeof(struct iphdr) || p->frag == FRAG_LATER)
		return 0;
	switch (p->proto) {
	case IPPROTO_TCP:
		return ip + sizeof(struct tcphdr);
	case IPPROTO_UDP:
		return ip + sizeof(struct udphdr);
	case IPPROTO_SCTP:
		return ip + 12;
	default:
		return 0;
	}
}

static __always_inline int macs_swap(struct __sk_buff *skb)
{
	u8 mac[2 * ETH_ALEN], swapped[2 * ETH_ALEN];

	if (bpf_skb_load_bytes(skb, 0, mac, sizeof(mac)))
		return -1;
	__builtin_memcpy(swapped, mac + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(swapped + ETH_ALEN, mac, ETH_ALEN);
	return bpf_skb_store_bytes(skb, 0, swapped, sizeof(swapped), 0) ? -1 : 0;
}

static __always_inline int answer_ipv4(struct __sk_buff *skb, struct scratch *s, u32 quoted)
{
	struct icmp_head icmp = { .type = ICMP_DEST_UNREACH };
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = bpf_htons(sizeof(ip) + sizeof(icmp) + quoted),
		.ttl = 64,
		.protocol = IPPROTO_ICMP,
		.saddr = s->p.daddr.v4,
		.daddr = s->p.saddr.v4,
	};

	icmp.code = s->answer == ANSWER_TOO_BIG ? ICMP_FRAG_NEEDED : ICMP_PORT_UNREACH;
	if (s->answer == ANSWER_TOO_BIG)
		icmp.mtu = bpf_htonl(s->mtu & 0xffff);
	icmp.check = sum_fold(bpf_csum_diff(NULL, 0, (__be32 *)s->quote, quoted,
					    bpf_csum_diff(NULL, 0, (__be32 *)&icmp, sizeof(icmp), 0)));
	ip.check = sum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
	if (bpf_skb_change_tail(skb, L3 + quoted, 0) ||
	    bpf_skb_adjust_room(skb, sizeof(ip) + sizeof(icmp), BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_store_bytes(skb, L3, &ip, sizeof(ip), 0) ||
	    bpf_skb_store_bytes(skb, L3 + sizeof(ip), &icmp, sizeof(icmp), 0))
		return -1;
	return macs_swap(skb);
}

static __always_inline int answer_ipv6(struct __sk_buff *skb, struct scratch *s, u32 quoted)
{
	struct icmp_head icmp = { .type = ICMPV6_DEST_UNREACH, .code = ICMPV6_PORT_UNREACH };
	struct ipv6hdr ip = {
		.version = 6,
		.payload_len = bpf_htons(sizeof(icmp) + quoted),
		.nexthdr = IPPROTO_ICMPV6,
		.hop_limit = 64,
	};
	struct {
		__be32 len, next;
	} pseudo = { bpf_htonl(sizeof(icmp) + quoted), bpf_htonl(IPPROTO_ICMPV6) };
	s64 sum;

	__builtin_memcpy(&ip.saddr, &s->p.daddr, 16);
	__builtin_memcpy(&ip.daddr, &s->p.saddr, 16);
	if (s->answer == ANSWER_TOO_BIG) {
		icmp.type = ICMPV6_PKT_TOOBIG;
		icmp.code = 0;
		/* Less than this is no IPv6. */
		icmp.mtu = bpf_htonl(s->mtu < 1280 ? 1280 : s->mtu);
	}
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&ip.saddr, 32, 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&icmp, sizeof(icmp), sum);
	icmp.check = sum_fold(bpf_csum_diff(NULL, 0, (__be32 *)s->quote, quoted, sum));
	if (bpf_skb_change_tail(skb, L3 + quoted, 0) ||
	    bpf_skb_adjust_room(skb, sizeof(ip) + sizeof(icmp), BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_store_bytes(skb, L3, &ip, sizeof(ip), 0) ||
	    bpf_skb_store_bytes(skb, L3 + sizeof(ip), &icmp, sizeof(icmp), 0))
		return -1;
	return macs_swap(skb);
}

/* Answer a packet that was dropped. */
__noinline int answer(struct __sk_buff *skb, struct scratch *s)
{
	u32 quoted;

	if (!s)
		return TC_ACT_SHOT;
	quoted = quote_len(&s->p);
	if (!quoted || quoted > sizeof(s->quote) || is_multicast(&s->p.daddr, s->p.family) ||
	    bpf_skb_load_bytes(skb, L3, s->quote, quoted))
		return TC_ACT_SHOT;
	if (s->p.family == 4 ? answer_ipv4(skb, s, quoted) : answer_ipv6(skb, s, quoted))
		return TC_ACT_SHOT;
	/* To an endpoint it passes the hook of its device. */
	skb->mark = cfg_mark;
	bpf_redirect(skb->ifindex, 0);
	return TC_ACT_REDIRECT;
}
