/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What subscribers are told: drops, verdicts, packets on their way. */
#pragma once

#include "scratch.h"
#include "send.h"

static __always_inline void event_sides(struct scratch *s)
{
	struct dp_event_rec *rec = &s->rec;

	if (s->xlated) {
		rec->flags |= DP_EVF_XLATED;
		rec->orig_addr = s->p.daddr;
		rec->orig_port = s->p.dport;
		rec->daddr = s->f.nat_daddr;
		rec->dport = s->f.nat_dport;
		if (!(s->f.flags & DP_FLOW_SNAT)) {
			rec->saddr = s->f.nat_saddr;
			rec->sport = s->f.nat_sport;
		}
	}

	rec->src_ep = s->src.ep;
	rec->dst_ep = s->dst.ep;
	rec->src_identity = s->src.identity;
	rec->dst_identity = s->dst.identity;
	rec->egress_rule = s->r.egress_rule;
	rec->ingress_rule = s->r.ingress_rule;
}

/* Policies of both ends are asked where a packet comes in: a denial is that of the end
 * that denies, whose rule is named. */
static __always_inline u32 denied_dir(const struct ruling *r, u32 dir)
{
	if (r->egress_verdict != DP_VERDICT_ALLOW && !r->egress_audit)
		return 2;
	return r->ingress_verdict != DP_VERDICT_ALLOW && !r->ingress_audit ? 1 : dir;
}

/* The one way to drop a packet. */
__noinline int drop(struct __sk_buff *skb, struct scratch *s, u32 reason, u32 dir)
{
	struct dp_control *ctl = control_get();

	if (!s)
		return TC_ACT_SHOT;
	if (reason == DROP_POLICY || reason == DROP_POLICY_DENY)
		dir = denied_dir(&s->r, dir);
	count(reason & 255, dir & 3, skb->len);
	if (reason == DROP_POLICY_DENY)
		rule_hit(dir == 2 ? s->r.egress_rule : s->r.ingress_rule, 1, skb->len);
	if (!ctl || !ctl->slots)
		return TC_ACT_SHOT;
	event_fill(&s->rec, skb->len, &s->p);
	event_sides(s);
	s->rec.type = DP_EV_DROP;
	s->rec.subtype = reason;
	s->rec.dir = dir;
	s->rec.line = s->p.line;
	s->rec.file = s->p.file;
	s->rec.flags |= DP_EVF_REPLY_KNOWN;
	if (s->reply)
		s->rec.flags |= DP_EVF_REPLY;
	event_send(skb, &s->rec, 1);
	return TC_ACT_SHOT;
}

/* What the policies of both ends said of a new flow. */
__noinline int event_verdicts(struct __sk_buff *skb, struct scratch *s)
{
	if (!s)
		return 0;
	event_fill(&s->rec, skb->len, &s->p);
	event_sides(s);
	s->rec.type = DP_EV_VERDICT;
	if (s->src.egress) {
		s->rec.dir = 2;
		s->rec.verdict = s->r.egress_verdict;
		if (s->r.egress_audit)
			s->rec.verdict |= DP_VERDICT_AUDITED;
		if (s->r.egress_verdict == DP_VERDICT_ALLOW || s->r.egress_audit)
			s->rec.flags |= DP_EVF_REPLY_KNOWN;
		s->rec.reason = s->r.egress_match;
		event_send(skb, &s->rec, 1);
	}
	if (s->dst.ingress && (s->r.egress_verdict == DP_VERDICT_ALLOW || s->r.egress_audit)) {
		s->rec.dir = 1;
		s->rec.verdict = s->r.ingress_verdict;
		if (s->r.ingress_audit)
			s->rec.verdict |= DP_VERDICT_AUDITED;
		if (s->r.ingress_verdict == DP_VERDICT_ALLOW || s->r.ingress_audit)
			s->rec.flags |= DP_EVF_REPLY_KNOWN;
		else
			s->rec.flags &= ~DP_EVF_REPLY_KNOWN;
		s->rec.reason = s->r.ingress_match;
		event_send(skb, &s->rec, 1);
	}
	return 0;
}

/* Who an endpoint's packet is from and to, whatever its addresses are on the way: of a
 * request the destination was the service, of a reply the source is. */
static __always_inline void event_translated(struct dp_event_rec *rec, const struct pkt *p,
					     const struct dp_flow *f)
{
	int reply = f->flags & DP_FLOW_REPLY, masked = f->flags & DP_FLOW_SNAT;

	if (!masked || f->service) {
		rec->flags |= DP_EVF_XLATED;
		rec->orig_addr = reply ? f->nat_saddr : p->daddr;
		rec->orig_port = reply ? f->nat_sport : p->dport;
	}
	/* a request to the world is the endpoint's, not the uplink's */
	if (!reply && !masked) {
		rec->saddr = f->nat_saddr;
		rec->sport = f->nat_sport;
	}
	rec->daddr = f->nat_daddr;
	if (!is_icmp(p))
		rec->dport = f->nat_dport;
	else if (reply)
		rec->sport = f->nat_dport; /* the identifier */
}

/* A packet that goes its way. f: its entry; reason: Cilium's trace reason. */
__noinline int event_trace(struct __sk_buff *skb, struct scratch *s, struct dp_flow *f,
				  u32 reason, u32 aggregated)
{
	struct dp_event_rec *rec;

	if (!s || !f)
		return 0;
	rec = &s->rec;
	event_fill(rec, skb->len, &s->p);
	rec->type = DP_EV_TRACE;
	rec->reason = reason;
	rec->src_ep = f->src_ep;
	rec->dst_ep = f->dst_ep;
	rec->src_identity = f->src_identity;
	rec->dst_identity = f->dst_identity;
	rec->egress_rule = f->egress_rule;
	rec->ingress_rule = f->ingress_rule;
	rec->packets = f->packets;
	rec->bytes = f->bytes;
	rec->flags |= DP_EVF_REPLY_KNOWN;
	if (f->flags & DP_FLOW_REPLY)
		rec->flags |= DP_EVF_REPLY;
	if (f->dst_ep) {
		rec->subtype = 0; /* to-endpoint */
		rec->dir = 1;
	} else {
		rec->subtype = f->flags & DP_FLOW_NEIGH ? 11 : /* to-network */
			       f->dst_identity == 1	? 2 :  /* to-host */
							  3;   /* to-stack */
		rec->dir = 2;
	}
	if (f->flags & DP_FLOW_NAT && reason != 3)
		event_translated(rec, &s->p, f);
	else if (f->flags & DP_FLOW_SNAT && f->flags & DP_FLOW_REPLY)
		rec->daddr = f->nat_daddr; /* an error for the endpoint */
	event_send(skb, rec, aggregated);
	return 0;
}
