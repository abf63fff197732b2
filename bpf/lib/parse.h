/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From bytes to struct pkt, for every packet that the fast path does not take.
 * Reads by offset with bpf_skb_load_bytes(): fragments of an skb and any header
 * chain are alike then. */
#pragma once

#include "frag.h"
#include "maps.h"

#define L3 ETH_HLEN

/* The walk over the options of an IPv4 header. */
struct options {
	struct __sk_buff *skb;
	u32 at;
	u32 end;
	u32 dsr; /* where that one is, 0: nowhere */
	int bad;
};

static long option_next(u32 i, struct options *o)
{
	u8 h[2];

	(void)i;
	if (o->at >= o->end)
		return 1;
	if (bpf_skb_load_bytes(o->skb, o->at, h, 1))
		goto bad;
	if (h[0] == IPOPT_END)
		return 1;
	if (h[0] == IPOPT_NOOP) {
		o->at++;
		return 0;
	}
	/* Source routes let somebody else than the destination address decide where
	 * a packet goes: judged by its destination it would not be what it says. */
	if (h[0] == IPOPT_LSRR || h[0] == IPOPT_SSRR)
		goto bad;
	if (bpf_skb_load_bytes(o->skb, o->at, h, 2) || h[1] < 2 || o->at + h[1] > o->end)
		goto bad;
	if (h[0] == DSR_IPV4_OPTION) {
		if (h[1] != DSR_IPV4_LEN)
			goto bad;
		o->dsr = o->dsr ?: o->at;
	}
	o->at += h[1];
	return 0;
bad:
	o->bad = 1;
	return 1;
}

static __always_inline int parse_ipv4_options(struct __sk_buff *skb, struct pkt *p, u32 hlen)
{
	struct options o = { .skb = skb, .at = L3 + sizeof(struct iphdr), .end = L3 + hlen };

	bpf_loop(40, option_next, &o, 0);
	p->dsr = o.dsr;
	return o.bad;
}

static __always_inline int parse_ipv4(struct __sk_buff *skb, struct pkt *p, u32 *l4_len)
{
	struct iphdr ip;
	u32 hlen, tot;
	u16 off;

	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)))
		return DROP(p, FILE_PARSE, DROP_INVALID);
	hlen = ip.ihl * 4;
	tot = bpf_ntohs(ip.tot_len);
	/* A packet of segmentation offload that is longer than the field says 0. */
	if (!tot && skb->len > 65535 + L3)
		tot = skb->len - L3;
	if (ip.version != 4 || hlen < sizeof(ip) || tot < hlen || tot > skb->len - L3)
		return DROP(p, FILE_PARSE, DROP_INVALID);
	if (hlen > sizeof(ip) && parse_ipv4_options(skb, p, hlen))
		return DROP(p, FILE_PARSE, DROP_INVALID);
	p->family = 4;
	p->proto = ip.protocol;
	p->saddr.v4 = ip.saddr;
	p->daddr.v4 = ip.daddr;
	p->l4 = L3 + hlen;
	*l4_len = tot - hlen;
	off = bpf_ntohs(ip.frag_off);
	if (off & IP_OFFSET) {
		p->frag = FRAG_LATER;
		/* The second eight bytes of a TCP header as a fragment of their own
		 * would replace flags that were looked at (RFC 3128). */
		if ((off & IP_OFFSET) == 1 && ip.protocol == IPPROTO_TCP)
			return DROP(p, FILE_PARSE, DROP_INVALID);
		return frag_find(p, bpf_ntohs(ip.id));
	}
	if (off & IP_MF)
		p->frag = FRAG_FIRST;
	return 0;
}

#define EXTHDRS 8

static __always_inline int parse_ipv6(struct __sk_buff *skb, struct pkt *p, u32 *l4_len,
				      u32 *frag_id)
{
	struct ipv6hdr ip;
	u32 off = L3 + sizeof(ip), end;
	int i, fragmented = 0;
	u8 next;

	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)))
		return DROP(p, FILE_PARSE, DROP_INVALID);
	end = off + bpf_ntohs(ip.payload_len);
	if (!ip.payload_len && skb->len > 65535 + off)
		end = skb->len;
	if (ip.version != 6 || end > skb->len)
		return DROP(p, FILE_PARSE, DROP_INVALID);
	p->family = 6;
	__builtin_memcpy(&p->saddr, &ip.saddr, 16);
	__builtin_memcpy(&p->daddr, &ip.daddr, 16);
	next = ip.nexthdr;

	for (i = 0; i < EXTHDRS; i++) {
		u8 h[8];

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
		    next != IPPROTO_FRAGMENT && next != IPPROTO_DSTOPTS && next != IPPROTO_AH)
			break;
		if (off + sizeof(h) > end || bpf_skb_load_bytes(skb, off, h, sizeof(h)))
			return DROP(p, FILE_PARSE, DROP_INVALID_EXTHDR);
		/* Segments left: the destination is not where it goes. */
		if (next == IPPROTO_ROUTING && h[3])
			return DROP(p, FILE_PARSE, DROP_INVALID_EXTHDR);
		if (next == IPPROTO_DSTOPTS && h[2] == DSR_IPV6_OPTION) {
			if (h[3] != DSR_IPV6_LEN || h[1] != (DSR_IPV6_LEN + 4) / 8 - 1)
				return DROP(p, FILE_PARSE, DROP_INVALID_EXTHDR);
			p->dsr = p->dsr ?: off;
		}
		if (next == IPPROTO_FRAGMENT) {
			u16 fo = (u16)h[2] << 8 | h[3];

			if (fragmented++)
				return DROP(p, FILE_PARSE, DROP_INVALID_EXTHDR);
			__builtin_memcpy(frag_id, h + 4, 4);
			if (fo & 0xfff8) {
				p->frag = FRAG_LATER;
				p->proto = h[0];
				if (fo >> 3 == 1 && h[0] == IPPROTO_TCP)
					return DROP(p, FILE_PARSE, DROP_INVALID);
				return frag_find(p, *frag_id);
			}
			if (fo & 1)
				p->frag = FRAG_FIRST;
			off += 8;
		} else if (next == IPPROTO_AH) {
			off += ((u32)h[1] + 2) * 4;
		} else {
			off += ((u32)h[1] + 1) * 8;
		}
		next = h[0];
	}
	if (i == EXTHDRS || off > end || off > 0xff00)
		return DROP(p, FILE_PARSE, DROP_INVALID_EXTHDR);
	p->proto = next;
	p->l4 = off;
	*l4_len = end - off;
	return 0;
}

/* Ports of ICMP: an echo request has its identifier as source, a reply as
 * destination and a bit of its own in the key, so that a request never looks
 * like the answer to another. Other types: type and code as destination. */
static __always_inline void icmp_ports(struct pkt *p, u8 type, u8 code, __be16 id)
{
	int request = p->family == 4 ? type == ICMP_ECHO : type == ICMPV6_ECHO_REQUEST;
	int reply = p->family == 4 ? type == ICMP_ECHOREPLY : type == ICMPV6_ECHO_REPLY;

	p->icmp = (u16)type << 8 | code;
	p->sport = p->dport = 0;
	if (request) {
		p->sport = id;
	} else if (reply) {
		p->dport = id;
		p->scope |= DP_SCOPE_REPLY;
	} else {
		p->dport = bpf_htons(p->icmp);
	}
}

static __always_inline int is_icmp_error(const struct pkt *p)
{
	u8 type = p->icmp >> 8;

	if (p->family == 4)
		return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
		       type == ICMP_PARAMETERPROB || type == ICMP_SOURCE_QUENCH;
	return type < 128;
}

/* Ports of the header at p->l4, of which l4_len bytes are the packet's. */
static __always_inline int parse_l4(struct __sk_buff *skb, struct pkt *p, u32 l4_len)
{
	u8 h[16] = {};

	if (is_icmp(p)) {
		if (l4_len < 8 || bpf_skb_load_bytes(skb, p->l4, h, 8))
			return DROP(p, FILE_PARSE, DROP_CT_INVALID_HDR);
		icmp_ports(p, h[0], h[1], *(__be16 *)(h + 4));
		return 0;
	}
	switch (p->proto) {
	case IPPROTO_TCP:
		if (l4_len < sizeof(struct tcphdr) || bpf_skb_load_bytes(skb, p->l4, h, 16))
			return DROP(p, FILE_PARSE, DROP_CT_INVALID_HDR);
		if (h[12] >> 4 < 5 || (p->frag == FRAG_NONE && (u32)(h[12] >> 4) * 4 > l4_len))
			return DROP(p, FILE_PARSE, DROP_CT_INVALID_HDR);
		p->tcp_flags = h[13];
		break;
	case IPPROTO_UDP:
		if (l4_len < sizeof(struct udphdr) || bpf_skb_load_bytes(skb, p->l4, h, 8))
			return DROP(p, FILE_PARSE, DROP_CT_INVALID_HDR);
		break;
	case IPPROTO_SCTP:
		if (l4_len < 12 || bpf_skb_load_bytes(skb, p->l4, h, 12))
			return DROP(p, FILE_PARSE, DROP_CT_INVALID_HDR);
		break;
	default:
		return DROP(p, FILE_PARSE, DROP_CT_UNKNOWN_PROTO);
	}
	p->sport = *(__be16 *)h;
	p->dport = *(__be16 *)(h + 2);
	return 0;
}

/* Fill p, of which scope, ifindex and hook_ifindex are set. proto: the
 * EtherType. 0 or a drop reason. */
__noinline int parse(struct __sk_buff *skb, struct pkt *p)
{
	u32 l4_len = 0, frag_id = 0;
	int ret;

	if (!p)
		return -DROP_INVALID;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		ret = parse_ipv4(skb, p, &l4_len);
		if (!ret && p->frag == FRAG_FIRST) {
			__be16 id = 0;

			bpf_skb_load_bytes(skb, L3 + offsetof(struct iphdr, id), &id, 2);
			frag_id = bpf_ntohs(id);
		}
	} else {
		ret = parse_ipv6(skb, p, &l4_len, &frag_id);
	}
	if (ret || p->frag == FRAG_LATER)
		return ret;
	ret = parse_l4(skb, p, l4_len);
	if (!ret && p->frag == FRAG_FIRST)
		ret = frag_remember(p, frag_id);
	return ret;
}
