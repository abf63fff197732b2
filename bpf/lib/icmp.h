/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* ICMP errors: they belong to the flow whose packet they quote. */
#pragma once

#include "flow.h"
#include "nat.h"

/* The packet that would answer the quoted one, as it would have come the way of
 * the error: the entry of that is the entry for the error. 0, or -1 when the
 * quotation has no ports. p->addr is set to its offset. */
static __always_inline int icmp_quoted(struct __sk_buff *skb, struct pkt *p, struct pkt *q)
{
	u32 off = p->l4 + 8, l4;
	u8 h[8] = {};

	*q = *p;
	q->scope &= ~DP_SCOPE_REPLY;
	if (p->family == 4) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)))
			return -1;
		if (ip.version != 4 || ip.ihl < 5 || ip.frag_off & bpf_htons(IP_OFFSET))
			return -1;
		q->saddr.v4 = ip.daddr;
		q->daddr.v4 = ip.saddr;
		q->proto = ip.protocol;
		l4 = off + ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)) || ip.version != 6)
			return -1;
		__builtin_memcpy(&q->saddr, &ip.daddr, 16);
		__builtin_memcpy(&q->daddr, &ip.saddr, 16);
		q->proto = ip.nexthdr;
		l4 = off + sizeof(ip);
	}
	/* Who is told must have sent what is quoted. */
	if (!ip_equal(&q->daddr, &p->daddr))
		return -1;
	if (bpf_skb_load_bytes(skb, l4, h, 8))
		return -1;
	p->addr = off;
	q->l4 = l4;
	if (is_icmp(q)) {
		int request = h[0] == (p->family == 4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST);
		int reply = h[0] == (p->family == 4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY);

		q->sport = q->dport = 0;
		if (request) {
			q->dport = *(__be16 *)(h + 4);
			q->scope |= DP_SCOPE_REPLY;
		} else if (reply) {
			q->sport = *(__be16 *)(h + 4);
		} else {
			return -1;
		}
		return 0;
	}
	if (!is_tcp_or_udp(q->proto) && q->proto != IPPROTO_SCTP)
		return -1;
	q->sport = *(__be16 *)(h + 2);
	q->dport = *(__be16 *)h;
	return 0;
}

/* Write an address inside the IP header at off, with the header's own sum where
 * it has one, and the sums that cover it: csum, of an ICMPv6 message (pseudo:
 * as part of its pseudo header). */
static __always_inline int icmp_put_addr(struct __sk_buff *skb, u8 family, u32 off, int is_dst,
					 const union dp_ip *old, const union dp_ip *new, u32 csum,
					 u64 pseudo)
{
	long diff;

	if (family == 4) {
		u32 at = off + (is_dst ? offsetof(struct iphdr, daddr) :
					 offsetof(struct iphdr, saddr));

		if (bpf_l3_csum_replace(skb, off + offsetof(struct iphdr, check), old->v4, new->v4,
					4))
			return -1;
		/* Sum and address cancel out in everything that covers both. */
		return bpf_skb_store_bytes(skb, at, &new->v4, 4, 0) ? -1 : 0;
	}
	diff = bpf_csum_diff((__be32 *)old, 16, (__be32 *)new, 16, 0);
	if (bpf_skb_store_bytes(skb,
				off + (is_dst ? offsetof(struct ipv6hdr, daddr) :
						offsetof(struct ipv6hdr, saddr)),
				new, 16, 0))
		return -1;
	return bpf_l4_csum_replace(skb, csum, 0, diff, pseudo) ? -1 : 0;
}

/* Translate an error of a translated flow: f is the entry for packets that go the
 * error's way, q such a packet. */
__noinline int icmp_translate(struct __sk_buff *skb, struct pkt *p, struct pkt *q,
				     struct dp_flow *f)
{
	u32 csum, l4;
	__be16 port;

	if (!p || !q || !f)
		return -1;
	csum = p->l4 + 2; /* in ICMP and ICMPv6 alike */
	l4 = q->l4;
	/* quoted: its source is where this packet goes, its destination is q's */
	if (icmp_put_addr(skb, p->family, p->addr, 0, &q->daddr, &f->nat_daddr, csum, 0) ||
	    icmp_put_addr(skb, p->family, p->addr, 1, &q->saddr, &f->nat_saddr, csum, 0))
		return -1;
	if (is_icmp(q)) {
		/* an echo of which the identifier was translated */
		port = f->nat_sport | f->nat_dport;
		if (bpf_l4_csum_replace(skb, csum, q->sport | q->dport, port, 2) ||
		    bpf_skb_store_bytes(skb, l4 + 4, &port, 2, 0))
			return -1;
		goto outer;
	}
	port = f->nat_dport;
	if (bpf_l4_csum_replace(skb, csum, q->dport, port, 2) ||
	    bpf_skb_store_bytes(skb, l4, &port, 2, 0))
		return -1;
	port = f->nat_sport;
	if (bpf_l4_csum_replace(skb, csum, q->sport, port, 2) ||
	    bpf_skb_store_bytes(skb, l4 + 2, &port, 2, 0))
		return -1;
outer:
	if (icmp_put_addr(skb, p->family, L3, 1, &p->daddr, &f->nat_daddr, csum, BPF_F_PSEUDO_HDR))
		return -1;
	/* A router between them keeps its own address. */
	if (ip_equal(&p->saddr, &q->saddr) &&
	    icmp_put_addr(skb, p->family, L3, 0, &p->saddr, &f->nat_saddr, csum, BPF_F_PSEUDO_HDR))
		return -1;
	return 0;
}
