/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Direct server return: a packet to a service goes to its back end on another node with
 * another destination only, and tells that node the service's address and port in an IP
 * option. The node takes the option out, and its endpoint answers the client with them.
 *
 * Layout as Cilium's: the option stands first, right behind the header without options;
 * IPv4 has its values with the last byte first (so Cilium writes them on little-endian
 * machines), IPv6 as usual. Elsewhere, or on an uplink that may not say such things, it is
 * an option like any other. */
#pragma once

#include "flow.h"
#include "nat.h"
#include "scratch.h"
#include "service.h"
#include "tunnel.h"

struct dsr4 {
	u8 type;
	u8 len;
	u16 port;
	u32 ip;
};

struct dsr6 {
	u8 next;
	u8 words; /* of eight bytes, after the first */
	u8 type;
	u8 len;
	__be32 ip[4];
	__be16 port;
	u16 pad;
};

_Static_assert(sizeof(struct dsr4) == DSR_IPV4_LEN, "the option is not the whole");
_Static_assert(sizeof(struct dsr6) == 4 + DSR_IPV6_LEN, "the option is not the whole");

/* As a packet gets longer or shorter its segments do, and its sums stay what they are. */
#define DSR_ROOM (BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET)

/* ---- the node of the back end ------------------------------------------------ */

static __always_inline u32 base_len(u8 family)
{
	return family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

/* A packet has the option: is it to be believed? What it says comes into s->dsr_*.
 * Endpoints may not say it to anybody. */
__noinline int dsr_read(struct __sk_buff *skb, struct scratch *s, u32 hook)
{
	u32 key = skb->ifindex;
	struct dp_uplink *up;

	if (!s)
		return -DROP_INVALID;
	if (hook == HOOK_FROM_ENDPOINT)
		return DROP(&s->p, FILE_DSR, DROP_INVALID);
	if (hook != HOOK_FROM_NETDEV || !has_ports(s->p.proto) ||
	    s->p.dsr != L3 + base_len(s->p.family))
		return 0;
	up = bpf_map_lookup_elem(&uplinks, &key);
	if (!up || !(up->flags & DP_UPLINK_DSR))
		return 0;
	__builtin_memset(&s->dsr_ip, 0, sizeof(s->dsr_ip));
	if (s->p.family == 4) {
		struct dsr4 opt;

		if (bpf_skb_load_bytes(skb, L3 + sizeof(struct iphdr), &opt, sizeof(opt)))
			return DROP(&s->p, FILE_DSR, DROP_INVALID);
		s->dsr_ip.v4 = __builtin_bswap32(opt.ip);
		s->dsr_port = __builtin_bswap16(opt.port);
	} else {
		struct dsr6 opt;

		if (bpf_skb_load_bytes(skb, L3 + sizeof(struct ipv6hdr), &opt, sizeof(opt)))
			return DROP(&s->p, FILE_DSR, DROP_INVALID);
		__builtin_memcpy(&s->dsr_ip, opt.ip, sizeof(opt.ip));
		s->dsr_port = opt.port;
	}
	s->dsr = 1;
	return 0;
}

/* Does it say of an endpoint's flow what its entry does not? The balancer knows better:
 * the entry was another flow's, or one without the option came first. Not of a flow that
 * the endpoint began. */
static __always_inline int dsr_differs(const struct scratch *s, const struct dp_flow *f)
{
	if (!s->dsr || s->p.frag == FRAG_LATER || !f->dst_ep ||
	    f->flags & (DP_FLOW_REPLY | DP_FLOW_NAT))
		return 0;
	return !(f->dsr & DP_DSR_BACK) || !ip_equal(&f->nat_daddr, &s->dsr_ip) ||
	       f->nat_dport != s->dsr_port;
}

/* Where answers to the client leave: by the routing table, else by the uplink that it
 * came by. */
__noinline int dsr_way(struct __sk_buff *skb, struct scratch *s)
{
	struct bpf_fib_lookup fib;
	long ret;

	if (!s)
		return 0;
	fib_fill(&fib, skb->ifindex, s->p.family, &s->p.saddr);
	if (s->p.family == 4)
		fib.ipv4_src = s->dsr_ip.v4;
	else
		__builtin_memcpy(fib.ipv6_src, &s->dsr_ip, 16);
	ret = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	return ret == BPF_FIB_LKUP_RET_SUCCESS || ret == BPF_FIB_LKUP_RET_NO_NEIGH ? fib.ifindex :
										     skb->ifindex;
}

/* Can a service have it? */
static __always_inline int dsr_address_ok(const union dp_ip *ip, u8 family)
{
	u8 first;

	if (is_multicast(ip, family))
		return 0;
	if (family == 4) {
		first = ip->b[0];
		return first && first != 127;
	}
	if ((ip->w[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000))
		return 0; /* of a link */
	/* ::, ::1, and IPv4 in IPv6 */
	return ip->w[0] | ip->w[1] || (ip->w[2] && ip->w[2] != bpf_htonl(0xffff));
}

/* A new flow to an endpoint: it will answer with what the option says. Never with another
 * endpoint's address, whoever says so. */
static __always_inline int dsr_admit(struct __sk_buff *skb, struct scratch *s)
{
	struct dp_flow *f = &s->f;
	u32 identity;

	if (!s->dsr_port || !dsr_address_ok(&s->dsr_ip, s->p.family))
		return DROP(&s->p, FILE_DSR, DROP_INVALID);
	/* The sum of another port would have to be made anew. */
	if (s->p.proto == IPPROTO_SCTP && s->dsr_port != s->p.dport)
		return DROP(&s->p, FILE_DSR, DROP_INVALID);
	if (address_find(&s->dsr_ip, s->p.family, &identity))
		return DROP(&s->p, FILE_DSR, DROP_INVALID_SIP);
	f->dsr = DP_DSR_BACK;
	f->nat_daddr = s->dsr_ip;
	f->nat_dport = s->dsr_port;
	f->oif = dsr_way(skb, s);
	return 0;
}

/* Make of what the request's entry says, or has said, the one for answers: to is a copy
 * of from. p: the packet that from is for. */
static __always_inline void dsr_pair(const struct pkt *p, const struct dp_flow *from,
				     struct dp_flow *to)
{
	union dp_ip ip = from->flags & DP_FLOW_NAT ? from->nat_saddr : from->nat_daddr;
	__be16 port = from->flags & DP_FLOW_NAT ? from->nat_sport : from->nat_dport;

	if (from->flags & DP_FLOW_NAT) {
		to->flags &= ~(DP_FLOW_NAT | DP_FLOW_NEIGH);
		__builtin_memset(&to->nat_saddr, 0, sizeof(to->nat_saddr));
		to->nat_sport = 0;
		to->nat_daddr = ip;
		to->nat_dport = port;
	} else {
		to->flags |= DP_FLOW_NAT | DP_FLOW_NEIGH;
		to->nat_saddr = ip;
		to->nat_sport = port;
		to->nat_daddr = p->saddr;
		to->nat_dport = p->sport;
	}
	to->dsr = DP_DSR_BACK;
	to->oif = from->oif;
}

static __always_inline int dsr_remove4(struct __sk_buff *skb)
{
	struct {
		struct iphdr ip;
		u32 opt[2];
	} h;
	u32 word;

	if (bpf_skb_load_bytes(skb, L3, &h, sizeof(h)) || h.ip.ihl < 7)
		return -1;
	word = *(u32 *)&h.ip;
	h.ip.ihl -= sizeof(struct dsr4) / 4;
	if (h.ip.tot_len)
		h.ip.tot_len = bpf_htons(bpf_ntohs(h.ip.tot_len) - sizeof(struct dsr4));
	h.ip.check = csum_add16(h.ip.check, csum_diff32(word, *(u32 *)&h.ip));
	h.ip.check = csum_add16(h.ip.check, csum_diff32(h.opt[0], 0));
	h.ip.check = csum_add16(h.ip.check, csum_diff32(h.opt[1], 0));
	if (bpf_skb_adjust_room(skb, -(int)sizeof(struct dsr4), BPF_ADJ_ROOM_NET, DSR_ROOM))
		return -1;
	return bpf_skb_store_bytes(skb, L3, &h.ip, sizeof(h.ip), BPF_F_RECOMPUTE_CSUM) ? -1 : 0;
}

static __always_inline int dsr_remove6(struct __sk_buff *skb)
{
	struct ipv6hdr ip;
	u8 next;

	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) ||
	    bpf_skb_load_bytes(skb, L3 + sizeof(ip), &next, 1))
		return -1;
	ip.nexthdr = next;
	if (ip.payload_len)
		ip.payload_len = bpf_htons(bpf_ntohs(ip.payload_len) - sizeof(struct dsr6));
	if (bpf_skb_adjust_room(skb, -(int)sizeof(struct dsr6), BPF_ADJ_ROOM_NET, DSR_ROOM))
		return -1;
	return bpf_skb_store_bytes(skb, L3, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM) ? -1 : 0;
}

/* Workloads do not see it: what they make of an option that they do not know is theirs,
 * and none of it is their business. */
__noinline int dsr_remove(struct __sk_buff *skb, struct scratch *s)
{
	if (!s)
		return -1;
	s->dsr = 0;
	s->p.dsr = 0;
	s->p.l4 -= s->p.family == 4 ? sizeof(struct dsr4) : sizeof(struct dsr6);
	return s->p.family == 4 ? dsr_remove4(skb) : dsr_remove6(skb);
}

/* ---- the balancer ------------------------------------------------------------- */

/* A connection begins where there was one, of which one direction only is seen here: it
 * goes to the same back end unless that is to get no new ones. */
static __always_inline int dsr_reopened(const struct pkt *p, const struct dp_flow *f)
{
	struct dp_backend *b;

	if (!(f->dsr & DP_DSR_OUT) || !(f->flags & DP_FLOW_TCP_OPEN) ||
	    (p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return 0;
	b = backend_get(f->backend);
	return !b || b->state & DP_BACKEND_STATE;
}

/* By how much the packet gets longer. */
static __always_inline u32 dsr_room(const struct scratch *s, const struct dp_flow *f)
{
	if (!(f->dsr & DP_DSR_OUT) || s->p.frag == FRAG_LATER)
		return 0;
	if (!(s->p.tcp_flags & TCP_SYN) && !dsr_due(f, s->now))
		return 0;
	return s->p.family == 4 ? sizeof(struct dsr4) : sizeof(struct dsr6);
}

/* Does the back end's node know the service already? It was told, or this is the middle of a
 * connection: its packets must not be too long for that. */
static __always_inline int dsr_can_wait(const struct pkt *p, const struct dp_flow *f)
{
	return f->dsr_told || (p->proto == IPPROTO_TCP && !(p->tcp_flags & TCP_SYN));
}

/* Is it too long then? The MTU of its way, or 0. */
static __always_inline u32 dsr_too_long(struct __sk_buff *skb, const struct pkt *p,
					const struct dp_flow *f, u32 room)
{
	u32 mtu = 0, len;
	long ret = bpf_check_mtu(skb, f->oif, &mtu, room, 0);

	if (skb->gso_size) {
		len = p->l4 - L3 + (p->proto == IPPROTO_UDP ? sizeof(struct udphdr) : 60);
		ret = len + skb->gso_size + room > mtu || skb->len - L3 + room > 0xffff;
	}
	return ret > 0 ? mtu ?: 1 : 0;
}

static __always_inline int dsr_add4(struct __sk_buff *skb, const struct pkt *p)
{
	struct dsr4 opt = {
		.type = DSR_IPV4_OPTION,
		.len = sizeof(opt),
		.port = __builtin_bswap16(p->dport),
		.ip = __builtin_bswap32(p->daddr.v4),
	};
	struct iphdr ip;
	u32 word;

	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) || ip.ihl > 13)
		return -1;
	word = *(u32 *)&ip;
	ip.ihl += sizeof(opt) / 4;
	if (ip.tot_len)
		ip.tot_len = bpf_htons(bpf_ntohs(ip.tot_len) + sizeof(opt));
	ip.check = csum_add16(ip.check, csum_diff32(word, *(u32 *)&ip));
	ip.check = csum_add16(ip.check, sum32(*(u32 *)&opt));
	ip.check = csum_add16(ip.check, sum32(opt.ip));
	if (bpf_skb_adjust_room(skb, sizeof(opt), BPF_ADJ_ROOM_NET, DSR_ROOM) ||
	    bpf_skb_store_bytes(skb, L3, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM))
		return -1;
	return bpf_skb_store_bytes(skb, L3 + sizeof(ip), &opt, sizeof(opt), BPF_F_RECOMPUTE_CSUM) ?
		       -1 :
		       0;
}

static __always_inline int dsr_add6(struct __sk_buff *skb, const struct pkt *p)
{
	struct dsr6 opt = {
		.words = sizeof(opt) / 8 - 1,
		.type = DSR_IPV6_OPTION,
		.len = DSR_IPV6_LEN,
		.port = p->dport,
	};
	struct ipv6hdr ip;

	/* Hop-by-hop options stand first, or nowhere. */
	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) || ip.nexthdr == IPPROTO_HOPOPTS)
		return -1;
	__builtin_memcpy(opt.ip, &p->daddr, sizeof(opt.ip));
	opt.next = ip.nexthdr;
	ip.nexthdr = IPPROTO_DSTOPTS;
	if (ip.payload_len)
		ip.payload_len = bpf_htons(bpf_ntohs(ip.payload_len) + sizeof(opt));
	if (bpf_skb_adjust_room(skb, sizeof(opt), BPF_ADJ_ROOM_NET, DSR_ROOM) ||
	    bpf_skb_store_bytes(skb, L3, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM))
		return -1;
	return bpf_skb_store_bytes(skb, L3 + sizeof(ip), &opt, sizeof(opt), BPF_F_RECOMPUTE_CSUM) ?
		       -1 :
		       0;
}

/* Tell the node of the back end: s->p says what the packet was. */
__noinline int dsr_add(struct __sk_buff *skb, struct scratch *s)
{
	if (!s)
		return -1;
	return s->p.family == 4 ? dsr_add4(skb, &s->p) : dsr_add6(skb, &s->p);
}
