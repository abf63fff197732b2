/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Answers to an endpoint that asks who has its gateway: ARP and neighbour
 * discovery. Every address but its own is at the host-side device. */
#pragma once

#include "parse.h"

#define ND_NS 135
#define ND_NA 136
#define ND_OPT_SLLA 1
#define ND_OPT_TLLA 2
#define NA_FLAGS 0xe0 /* router, solicited, override */

struct arp {
	__be16 hrd;
	__be16 pro;
	u8 hln;
	u8 pln;
	__be16 op;
	u8 sha[ETH_ALEN];
	u8 spa[4];
	u8 tha[ETH_ALEN];
	u8 tpa[4];
} __attribute__((packed));

struct nd {
	u8 type;
	u8 code;
	__be16 csum;
	u8 flags[4];
	union dp_ip target;
	u8 opt_type;
	u8 opt_len;
	u8 lladdr[ETH_ALEN];
};

static __always_inline void mac_learn(struct dp_ep *ep, const u8 *mac)
{
	/* CPUs may write this at once: they write the same. */
	if (ep->flags & DP_EP_LEARN && !(mac[0] & 1))
		__builtin_memcpy(ep->mac, mac, ETH_ALEN);
}

static __always_inline int bounce(struct __sk_buff *skb, const struct dp_ep *ep, const u8 *dest)
{
	if (bpf_skb_store_bytes(skb, 0, dest, ETH_ALEN, 0) ||
	    bpf_skb_store_bytes(skb, ETH_ALEN, ep->host_mac, ETH_ALEN, 0))
		return -DROP_WRITE_ERROR;
	skb->mark = cfg_mark;
	bpf_redirect(skb->ifindex, 0);
	return ACT_REDIRECT;
}

__noinline int arp_answer(struct __sk_buff *skb, struct dp_ep *ep)
{
	__be32 own;
	struct arp a;
	__be32 t;

	if (!ep)
		return -DROP_EP_NOT_READY;
	if (bpf_skb_load_bytes(skb, L3, &a, sizeof(a)))
		return -DROP_INVALID;
	if (a.hrd != bpf_htons(ARPHRD_ETHER) || a.pro != bpf_htons(ETH_P_IP) ||
	    a.hln != ETH_ALEN || a.pln != 4)
		return -DROP_INVALID;
	own = ep->v4;
	__builtin_memcpy(&t, a.spa, 4);
	/* Who claims another's address is a liar, towards the stack too. */
	if (t && (t != own || !(ep->flags & DP_EP_V4)))
		return -DROP_INVALID_SIP;
	if (t)
		mac_learn(ep, a.sha);
	if (a.op == bpf_htons(ARPOP_REPLY))
		return ACT_PASS; /* the stack has asked */
	if (a.op != bpf_htons(ARPOP_REQUEST))
		return -DROP_INVALID;
	__builtin_memcpy(&t, a.tpa, 4);
	/* A probe for duplicates, or an announcement: nobody else has it. */
	if (t == own)
		return ACT_CONSUMED;
	a.op = bpf_htons(ARPOP_REPLY);
	__builtin_memcpy(a.tpa, a.spa, 4);
	__builtin_memcpy(a.tha, a.sha, ETH_ALEN);
	__builtin_memcpy(a.spa, &t, 4);
	__builtin_memcpy(a.sha, ep->host_mac, ETH_ALEN);
	if (bpf_skb_store_bytes(skb, L3, &a, sizeof(a), 0))
		return -DROP_WRITE_ERROR;
	return bounce(skb, ep, a.tha);
}

static __always_inline u16 csum_fold64(u64 s)
{
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return ~s;
}

/* A neighbour solicitation or advertisement of the endpoint's; p is parsed. */
__noinline int nd_answer(struct __sk_buff *skb, struct dp_ep *ep, struct pkt *p)
{
	struct {
		__be32 len;
		__be32 next;
	} pseudo = { bpf_htonl(sizeof(struct nd)), bpf_htonl(IPPROTO_ICMPV6) };
	struct ipv6hdr ip;
	struct nd nd;
	u8 mac[ETH_ALEN];
	int linklocal, own;
	long sum;

	if (!ep || !p)
		return -DROP_EP_NOT_READY;
	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) || ip.hop_limit != 255 ||
	    p->l4 != L3 + sizeof(ip))
		return -DROP_INVALID;
	linklocal = (p->saddr.w[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
	own = ep->flags & DP_EP_V6 && ip_equal(&p->saddr, &ep->v6);
	if (p->icmp >> 8 == ND_NA) {
		/* For the stack, which has asked; only for its own address. */
		if (bpf_skb_load_bytes(skb, p->l4, &nd, 24))
			return -DROP_CT_INVALID_HDR;
		if (!own && !linklocal)
			return -DROP_INVALID_SIP;
		if (!(ep->flags & DP_EP_V6 && ip_equal(&nd.target, &ep->v6)) &&
		    !(linklocal && ip_equal(&nd.target, &p->saddr)))
			return -DROP_INVALID_SIP;
		if (!bpf_skb_load_bytes(skb, ETH_ALEN, mac, ETH_ALEN))
			mac_learn(ep, mac);
		return ACT_PASS;
	}
	/* From ::, a probe for duplicates: there are none. */
	if (!(p->saddr.w[0] | p->saddr.w[1] | p->saddr.w[2] | p->saddr.w[3]))
		return ACT_CONSUMED;
	if (!own && !linklocal)
		return -DROP_INVALID_SIP;
	__builtin_memset(&nd, 0, sizeof(nd));
	if (skb->len == L3 + sizeof(ip) + 24) {
		/* Without its own address: it knows ours and asks whether we live. */
		if (bpf_skb_load_bytes(skb, p->l4, &nd, 24) ||
		    bpf_skb_load_bytes(skb, ETH_ALEN, nd.lladdr, ETH_ALEN) ||
		    bpf_skb_change_tail(skb, L3 + sizeof(ip) + sizeof(nd), 0))
			return -DROP_CT_INVALID_HDR;
		nd.opt_len = 1;
		ip.payload_len = bpf_htons(sizeof(nd));
	} else if (skb->len != L3 + sizeof(ip) + sizeof(nd) ||
		   bpf_skb_load_bytes(skb, p->l4, &nd, sizeof(nd)) ||
		   nd.opt_type != ND_OPT_SLLA || nd.opt_len != 1) {
		return -DROP_CT_INVALID_HDR;
	}
	if ((ep->flags & DP_EP_V6 && ip_equal(&nd.target, &ep->v6)) ||
	    ip_equal(&nd.target, &p->saddr))
		return ACT_CONSUMED;
	if (own)
		mac_learn(ep, nd.lladdr);
	__builtin_memcpy(mac, nd.lladdr, ETH_ALEN);
	nd.type = ND_NA;
	nd.csum = 0;
	nd.flags[0] = NA_FLAGS;
	nd.flags[1] = nd.flags[2] = nd.flags[3] = 0;
	nd.opt_type = ND_OPT_TLLA;
	__builtin_memcpy(nd.lladdr, ep->host_mac, ETH_ALEN);
	__builtin_memcpy(&ip.daddr, &p->saddr, 16);
	__builtin_memcpy(&ip.saddr, &nd.target, 16);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&nd, sizeof(nd), 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&ip.saddr, 32, sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), sum);
	nd.csum = csum_fold64(sum);
	if (bpf_skb_store_bytes(skb, L3, &ip, sizeof(ip), 0) ||
	    bpf_skb_store_bytes(skb, L3 + sizeof(ip), &nd, sizeof(nd), 0))
		return -DROP_WRITE_ERROR;
	return bounce(skb, ep, mac);
}
