/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Writing to packets: translation, TTL, addresses of layer 2.
 *
 * The IP header is written directly with an incremental sum: helpers cost seven
 * times as much. The sum of layer 4 goes through bpf_l4_csum_replace(), because
 * only the kernel knows whether it is complete or, on its way to a device that
 * would finish it, only the pseudo header's. */
#pragma once

#include "parse.h"

static __always_inline u16 csum_add16(u16 csum, u32 diff)
{
	u32 s = (u16)~csum + diff;

	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return ~s;
}

/* Difference of two words as a sum of 16-bit words. */
static __always_inline u32 csum_diff32(__be32 from, __be32 to)
{
	u32 f = ~from;

	return (f & 0xffff) + (f >> 16) + (to & 0xffff) + (to >> 16);
}

/* Where the sum of layer 4 is; 0: there is none. */
static __always_inline u32 csum_offset(u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		return offsetof(struct udphdr, check);
	default:
		return 0;
	}
}

/* The identifier of an echo stands where other protocols have their ports: of a
 * request it is the source's, of a reply the destination's. diff: what the pseudo header
 * has changed by. */
static __always_inline int nat_echo(struct __sk_buff *skb, u32 l4, u32 diff, __be16 id)
{
	__be16 old;

	if (bpf_skb_load_bytes(skb, l4 + 4, &old, 2) || bpf_skb_store_bytes(skb, l4 + 4, &id, 2, 0))
		return -1;
	if (diff && bpf_l4_csum_replace(skb, l4 + 2, 0, diff, BPF_F_PSEUDO_HDR))
		return -1;
	return bpf_l4_csum_replace(skb, l4 + 2, old, id, 2) ? -1 : 0;
}

/* Translate the IPv4 header and what is behind it; l4: offset of that header; later
 * fragments have none. SCTP's sum does not cover addresses, and its ports stay as they
 * are: nobody allocates others. */
static __always_inline int nat_ipv4(struct __sk_buff *skb, u8 proto, u32 l4, u8 frag,
				    __be32 saddr, __be32 daddr, __be16 sport, __be16 dport)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + L3;
	__be32 old_saddr, old_daddr;
	__be32 old_ports = 0, new_ports = (u32)dport << 16 | sport;
	u32 mangled = proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	u32 off, diff;

	if ((void *)(ip + 1) > end)
		return -1;
	old_saddr = ip->saddr;
	old_daddr = ip->daddr;
	ip->check = csum_add16(csum_add16(ip->check, csum_diff32(old_saddr, saddr)),
			       csum_diff32(old_daddr, daddr));
	ip->saddr = saddr;
	ip->daddr = daddr;
	if (frag == FRAG_LATER)
		return 0;
	if (proto == IPPROTO_ICMP)
		return nat_echo(skb, l4, 0, sport | dport);

	if (l4 == L3 + sizeof(*ip)) {
		__be32 *ports_ = data + L3 + sizeof(*ip);

		if ((void *)(ports_ + 1) > end)
			return -1;
		old_ports = *ports_;
		*ports_ = new_ports;
	} else {
		if (bpf_skb_load_bytes(skb, l4, &old_ports, 4) ||
		    bpf_skb_store_bytes(skb, l4, &new_ports, 4, 0))
			return -1;
	}
	off = csum_offset(proto);
	if (!off)
		return 0;
	diff = csum_diff32(old_saddr, saddr) + csum_diff32(old_daddr, daddr);
	if (bpf_l4_csum_replace(skb, l4 + off, 0, diff, BPF_F_PSEUDO_HDR | mangled))
		return -1;
	if (old_ports != new_ports &&
	    bpf_l4_csum_replace(skb, l4 + off, old_ports, new_ports, 4 | mangled))
		return -1;
	return 0;
}

static __always_inline int nat_ipv6(struct __sk_buff *skb, u8 proto, u32 l4, u8 frag,
				    const union dp_ip *saddr, const union dp_ip *daddr,
				    __be16 sport, __be16 dport)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + L3;
	__be32 old_ports = 0, new_ports = (u32)dport << 16 | sport;
	u32 mangled = proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	u32 off, diff = 0;
	__be32 *w;
	int i;

	if ((void *)(ip + 1) > end)
		return -1;
	w = (__be32 *)&ip->saddr;
#pragma unroll
	for (i = 0; i < 4; i++) {
		diff += csum_diff32(w[i], saddr->w[i]);
		w[i] = saddr->w[i];
	}
	w = (__be32 *)&ip->daddr;
#pragma unroll
	for (i = 0; i < 4; i++) {
		diff += csum_diff32(w[i], daddr->w[i]);
		w[i] = daddr->w[i];
	}
	if (frag == FRAG_LATER)
		return 0;
	if (proto == IPPROTO_ICMPV6)
		return nat_echo(skb, l4, diff, sport | dport);
	if (l4 == L3 + sizeof(*ip)) {
		__be32 *ports_ = data + L3 + sizeof(*ip);

		if ((void *)(ports_ + 1) > end)
			return -1;
		old_ports = *ports_;
		*ports_ = new_ports;
	} else {
		if (bpf_skb_load_bytes(skb, l4, &old_ports, 4) ||
		    bpf_skb_store_bytes(skb, l4, &new_ports, 4, 0))
			return -1;
	}
	off = csum_offset(proto);
	if (!off)
		return 0;
	if (bpf_l4_csum_replace(skb, l4 + off, 0, diff, BPF_F_PSEUDO_HDR | mangled))
		return -1;
	if (old_ports != new_ports &&
	    bpf_l4_csum_replace(skb, l4 + off, old_ports, new_ports, 4 | mangled))
		return -1;
	return 0;
}

/* What a router does: one hop less. */
static __always_inline int ttl_decrement(struct __sk_buff *skb, u8 family)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (family == 4) {
		struct iphdr *ip = data + L3;

		if ((void *)(ip + 1) > end)
			return -DROP_INVALID;
		if (ip->ttl <= 1)
			return -DROP_TTL_EXCEEDED;
		ip->check = csum_add16(ip->check, (u16)~bpf_htons(0x0100));
		ip->ttl--;
	} else {
		struct ipv6hdr *ip = data + L3;

		if ((void *)(ip + 1) > end)
			return -DROP_INVALID;
		if (ip->hop_limit <= 1)
			return -DROP_TTL_EXCEEDED;
		ip->hop_limit--;
	}
	return 0;
}
