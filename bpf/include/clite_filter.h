/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Does a subscriber want an event? Decided by the datapath, from numbers; compiled for the
 * library's tests as well. It says what model/event.c makes of a record. */
#ifndef CLITE_FILTER_BPF_H
#define CLITE_FILTER_BPF_H

#include "clite_layout.h"

#define FILTER_INLINE static inline __attribute__((always_inline))

/* What filters ask for and a record does not say as such: one bit of each. */
struct dp_facts {
	__u8 type;
	__u8 verdict;
	__u8 reply;
	__u8 direction;
	__u8 family;
	__u8 drop_reason;
	__u8 ports; /* 1: the ports are some */
};

#define FACT_FORWARDED 1 /* Hubble's verdicts */
#define FACT_DROPPED 2
#define FACT_AUDIT 4

FILTER_INLINE void facts_verdict(const struct dp_event_rec *r, struct dp_facts *f)
{
	__u8 verdict = FACT_FORWARDED;

	f->drop_reason = 0;
	if (r->type == DP_EV_DROP) {
		verdict = FACT_DROPPED;
		f->drop_reason = r->subtype;
	} else if (r->type == DP_EV_VERDICT && r->verdict & DP_VERDICT_AUDITED) {
		verdict = FACT_AUDIT;
	} else if (r->type == DP_EV_VERDICT && r->verdict != DP_VERDICT_ALLOW) {
		verdict = FACT_DROPPED;
		f->drop_reason = r->verdict == DP_VERDICT_DENIED ? 181 : 133;
	}
	f->verdict = 1 << verdict;
}

FILTER_INLINE void facts_fill(const struct dp_event_rec *r, struct dp_facts *f)
{
	__u8 dir = r->dir & 3;

	facts_verdict(r, f);
	f->type = 1 << (r->type & 7);
	f->reply = !(r->flags & DP_EVF_REPLY_KNOWN) ? 4 : r->flags & DP_EVF_REPLY ? 2 : 1;
	/* Of a reply's trace Hubble tells the direction of what it answers. */
	if (dir && r->type == DP_EV_TRACE && r->reason == 2)
		dir = 3 - dir;
	f->direction = 1 << dir;
	f->family = r->flags & DP_EVF_IPV6 ? 1 << 6 : 1 << 4;
	f->ports = r->flags & DP_EVF_L4 &&
		   (r->proto == 6 || r->proto == 17 || r->proto == 132); /* TCP, UDP, SCTP */
}

FILTER_INLINE int filter_address(const union dp_ip *ip, const union dp_ip *want,
				 const union dp_ip *mask)
{
	return !(((ip->w[0] ^ want->w[0]) & mask->w[0]) | ((ip->w[1] ^ want->w[1]) & mask->w[1]) |
		 ((ip->w[2] ^ want->w[2]) & mask->w[2]) | ((ip->w[3] ^ want->w[3]) & mask->w[3]));
}

FILTER_INLINE int filter_ends(const struct dp_filter *w, const struct dp_event_rec *r, int ports)
{
	if (w->fields & DP_FILTER_SOURCE_IDENTITY && r->src_identity != w->source_identity)
		return 0;
	if (w->fields & DP_FILTER_DESTINATION_IDENTITY &&
	    r->dst_identity != w->destination_identity)
		return 0;
	if (w->fields & DP_FILTER_SOURCE_PORT && (!ports || r->sport != w->source_port))
		return 0;
	if (w->fields & DP_FILTER_DESTINATION_PORT && (!ports || r->dport != w->destination_port))
		return 0;
	return filter_address(&r->saddr, &w->source, &w->source_mask) &&
	       filter_address(&r->daddr, &w->destination, &w->destination_mask);
}

/* Does one alternative hold? */
FILTER_INLINE int filter_holds(const struct dp_filter *w, const struct dp_event_rec *r,
			       const struct dp_facts *f)
{
	if (!(w->types & f->type) || !(w->verdicts & f->verdict) || !(w->replies & f->reply) ||
	    !(w->directions & f->direction) || !(w->families & f->family))
		return 0;
	if ((r->tcp_flags & w->tcp_flags) != w->tcp_flags)
		return 0;
	if (w->fields & DP_FILTER_PROTOCOL && r->proto != w->protocol)
		return 0;
	if (w->fields & DP_FILTER_DROP_REASON && f->drop_reason != w->drop_reason)
		return 0;
	return filter_ends(w, r, f->ports);
}

#endif
