/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Everything that is not the plain packet of an established flow: what a packet
 * is, which steps it takes, and TCP state and events on its way. */
#pragma once

#include "admit.h"
#include "deliver.h"
#include "icmp.h"
#include "nd.h"
#include "outer.h"

/* The entry of the other direction may have been evicted alone. */
static __always_inline void pair_restore(struct scratch *s, const struct dp_flow *f, u32 hook)
{
	flow_pair(&s->p, f, &s->q);
	if (flow_lookup(&s->q))
		return;
	s->f = *f;
	s->f.packets = s->f.bytes = 0;
	s->f.reported = 0;
	s->f.tcp_seen = 0;
	s->f.flags = f->flags ^ DP_FLOW_REPLY;
	s->f.pair_scope = s->p.scope & ~DP_SCOPE_REPLY;
	s->f.src_ep = f->dst_ep;
	s->f.dst_ep = f->src_ep;
	s->f.src_gen = 0; /* judged again when it is used: also finds the way out */
	s->f.dst_gen = 0;
	s->f.src_identity = f->dst_identity;
	s->f.dst_identity = f->src_identity;
	s->f.nat_saddr = s->p.daddr;
	s->f.nat_daddr = s->p.saddr;
	s->f.nat_sport = s->p.dport;
	s->f.nat_dport = s->p.sport;
	if (f->dsr & DP_DSR_BACK)
		dsr_pair(&s->p, f, &s->f);
	else
		way_back(&s->p, &s->f, hook);
	flow_insert(&s->q, &s->f, BPF_NOEXIST);
}

static __always_inline int translate(struct __sk_buff *skb, struct pkt *p, const struct dp_flow *f)
{
	if (p->family == 4)
		return nat_ipv4(skb, p->proto, p->l4, p->frag, f->nat_saddr.v4, f->nat_daddr.v4,
				f->nat_sport, f->nat_dport);
	return nat_ipv6(skb, p->proto, p->l4, p->frag, &f->nat_saddr, &f->nat_daddr, f->nat_sport,
			f->nat_dport);
}

/* Send a packet on by its entry. */
__noinline int forward(struct __sk_buff *skb, struct scratch *s, u32 hook)
{
	struct dp_control *ctl = control_get();
	struct dp_flow *f;
	int report, ret;
	struct pkt *p;
	u32 reason, room;

	if (!s || !ctl)
		return -DROP_EP_NOT_READY;
	p = &s->p;
	reason = s->reason;
	f = flow_lookup_again(reason == 3 ? &s->q : p);
	if (!f)
		return DROP(p, FILE_FLOW, DROP_CT_CREATE_FAILED);
	/* A balancer is believed: nobody names services by way of it. */
	if (p->dsr && hook == HOOK_FROM_NETDEV && f->flags & DP_FLOW_NAT)
		return DROP(p, FILE_DSR, DROP_INVALID);
	s->reply = f->flags & DP_FLOW_REPLY;
	report = !f->reported || report_due(f, s->now) || reason == 3;
	if (p->proto == IPPROTO_TCP && p->frag != FRAG_LATER) {
		report |= p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST) & ~f->tcp_seen;
		flow_tcp(p, f, &s->q);
	}
	if (reason != 3) {
		flow_count(f, skb->len, s->now);
		if (report && f->flags & DP_FLOW_PAIR)
			pair_restore(s, f, hook);
	}
	count(0, hook_dir(hook), skb->len);
	if (ctl->slots && (report || ctl->every)) {
		if (report)
			f->reported = (u32)s->now ?: 1;
		event_trace(skb, s, f, reason, report);
	}
	room = reason == 3 ? 0 : dsr_room(s, f);
	s->mtu = room ? dsr_too_long(skb, p, f, room) : too_long(skb, f, is_egress(hook));
	if (s->mtu && room && dsr_can_wait(p, f)) {
		room = 0;
		f->dsr_told = (u32)s->now ?: 1;
		s->mtu = too_long(skb, f, is_egress(hook));
	}
	if (s->mtu) {
		s->mtu -= room;
		/* The stack says so to the sender, if it is one that it takes packets from. */
		if (!(f->flags & DP_FLOW_NAT))
			return ACT_PASS;
		s->answer = ANSWER_TOO_BIG;
		return DROP(p, FILE_DELIVER, DROP_FRAG_NEEDED);
	}
	if (f->flags & DP_FLOW_NAT) {
		if (reason == 3)
			ret = icmp_translate(skb, p, &s->q, f);
		else
			ret = translate(skb, p, f);
		if (ret)
			return DROP(p, FILE_NAT, DROP_WRITE_ERROR);
	}
	if (room) {
		if (dsr_add(skb, s))
			return DROP(p, FILE_DSR, DROP_WRITE_ERROR);
		f->dsr_told = (u32)s->now ?: 1;
	}
	if (s->dsr && f->dst_ep && !(f->flags & DP_FLOW_NAT) && dsr_remove(skb, s))
		return DROP(p, FILE_DSR, DROP_WRITE_ERROR);
	ret = deliver(skb, f, p->family, f->flags & DP_FLOW_NAT ? &f->nat_daddr : &p->daddr,
		      is_egress(hook));
	if (ret < 0)
		DROP(p, FILE_DELIVER, 0);
	return ret;
}

/* ---- the slow path ------------------------------------------------------ */

/* An ICMP error that quotes a packet of a known flow belongs to that flow.
 * NEXT_ADMIT when it is none. */
static __always_inline int classify_error(struct __sk_buff *skb, struct scratch *s, u32 hook)
{
	struct dp_flow *f;
	int ret;

	if (icmp_quoted(skb, &s->p, &s->q))
		return NEXT_ADMIT;
	f = flow_lookup(&s->q);
	if (!f || !flow_there(f, s->now) || !(flow_service_current(f) || service_kept(&s->q, f)))
		return NEXT_ADMIT;
	/* A commit has touched the flow and no packet of it has come since: what
	 * is to become of it is not known. */
	if (!flow_current(f, s->epoch))
		return DROP(&s->p, FILE_ICMP, DROP_POLICY);
	ret = source_side(skb, s, hook);
	if (ret)
		return ret;
	s->reason = 3;
	return NEXT_FORWARD;
}

/* An answer of a back end that is gone, to what was asked before it went: until the
 * client's next packet, which goes elsewhere, the flow is still that back end's. */
static __always_inline int answer_under_way(struct scratch *s, const struct dp_flow *f)
{
	const struct pkt *p = &s->p;
	struct dp_flow *asked;

	if (!(f->flags & DP_FLOW_REPLY))
		return 0;
	flow_pair(p, f, &s->q);
	asked = flow_lookup(&s->q);
	return asked && flow_there(asked, s->now) && !(asked->flags & DP_FLOW_REPLY) &&
	       asked->service == f->service && asked->backend == f->backend &&
	       asked->nat_dport == p->sport && ip_equal(&asked->nat_daddr, &p->saddr);
}

/* What a parsed packet is. */
__noinline int classify(struct __sk_buff *skb, struct scratch *s, u32 hook)
{
	struct dp_control *ctl = control_get();
	struct dp_flow *f;
	struct pkt *p;

	if (!s || !ctl)
		return -DROP_EP_NOT_READY;
	p = &s->p;
	s->epoch = READ_ONCE(ctl->epoch);
	s->now = bpf_jiffies64();
	if (is_icmp(p) && is_icmp_error(p) && p->frag != FRAG_LATER)
		return classify_error(skb, s, hook);
	f = flow_lookup(p);
	if (!f || !flow_there(f, s->now) || flow_reopened(p, f, &s->q) || dsr_reopened(p, f) ||
	    dsr_differs(s, f) ||
	    !(flow_service_current(f) || service_kept(p, f) || answer_under_way(s, f)))
		return NEXT_ADMIT;
	s->reason = f->flags & DP_FLOW_REPLY ? 2 : 1;
	return flow_current(f, s->epoch) ? NEXT_FORWARD : NEXT_JUDGE;
}

/* What a link's hosts tell each other of groups and routers: it ends here, the
 * datapath is the link. Not worth an event for each interface that comes up. */
static __always_inline int is_link_chatter(const struct pkt *p)
{
	u8 type = p->icmp >> 8;

	if (p->family != 6 || p->proto != IPPROTO_ICMPV6 || p->daddr.b[0] != 0xff ||
	    p->daddr.b[1] != 2)
		return 0;
	if ((p->saddr.w[0] & bpf_htonl(0xffc00000)) != bpf_htonl(0xfe800000) &&
	    (p->saddr.w[0] | p->saddr.w[1] | p->saddr.w[2] | p->saddr.w[3]))
		return 0;
	return (type >= 130 && type <= 133) || type == 143; /* MLD, router solicitation */
}

static __always_inline int is_nd(const struct pkt *p)
{
	return p->family == 6 && p->proto == IPPROTO_ICMPV6 &&
	       (p->icmp >> 8 == ND_NS || p->icmp >> 8 == ND_NA);
}

static __always_inline int nd_packet(struct __sk_buff *skb, struct pkt *p, u32 hook)
{
	u32 key = skb->ifindex, *id;
	int ret;

	/* Between neighbours: the hop limit says so, and the kernel checks it. */
	if (hook != HOOK_FROM_ENDPOINT)
		return ACT_PASS;
	id = bpf_map_lookup_elem(&devices, &key);
	ret = id ? nd_answer(skb, ep_get(*id), p) : -DROP_EP_NOT_READY;
	return ret < 0 ? DROP(p, FILE_ND, -ret) : ret;
}

static __always_inline int arp_packet(struct __sk_buff *skb, struct pkt *p)
{
	u32 key = skb->ifindex, *id = bpf_map_lookup_elem(&devices, &key);
	int ret = id ? arp_answer(skb, ep_get(*id)) : -DROP_EP_NOT_READY;

	return ret < 0 ? DROP(p, FILE_ND, -ret) : ret;
}

/* Headers are written directly: they must lie in one piece. */
static __always_inline void pull_headers(struct __sk_buff *skb)
{
	u32 need = L3 + sizeof(struct ipv6hdr) + sizeof(u32);

	if (skb->len < need)
		need = skb->len;
	if (skb->data_end - skb->data < need)
		bpf_skb_pull_data(skb, need);
}

static __always_inline int slow_path(struct __sk_buff *skb, struct scratch *s, u32 hook)
{
	int ret;

	pull_headers(skb);
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return arp_packet(skb, &s->p);
	ret = parse(skb, &s->p);
	/* What the host has with the world is its own business: tunnels, routing... To an
	 * endpoint it gets no further than that one's device. */
	if (ret && (hook == HOOK_FROM_NETDEV || hook == HOOK_TO_NETDEV))
		return ACT_PASS;
	if (ret)
		return ret;
	if (s->p.dsr) {
		ret = dsr_read(skb, s, hook);
		if (ret)
			return ret;
	}
	if (is_nd(&s->p))
		return nd_packet(skb, &s->p, hook);
	if (is_link_chatter(&s->p))
		return ACT_CONSUMED;
	ret = hook == HOOK_FROM_NETDEV ? outer(skb, s) : NEXT_ADMIT;
	if (ret != NEXT_ADMIT)
		return ret;
	ret = classify(skb, s, hook);
	if (ret == NEXT_ADMIT && hook == HOOK_TO_NETDEV)
		return ACT_PASS; /* the host's own */
	if (ret == NEXT_ADMIT)
		ret = admit(skb, s, hook);
	else if (ret == NEXT_JUDGE)
		ret = revalidate(skb, s, hook);
	if (ret == NEXT_FORWARD)
		ret = forward(skb, s, hook);
	return ret;
}
