/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Everything that is not the plain packet of an established flow: parse in full,
 * admit new flows, judge again after a change, TCP state, events. */
#pragma once

#include "deliver.h"
#include "event.h"
#include "icmp.h"
#include "nd.h"
#include "policy.h"
#include "service.h"

/* Which program a packet is in. */
#define HOOK_FROM_ENDPOINT 0
#define HOOK_TO_ENDPOINT 1
#define HOOK_FROM_NETDEV 2

/* Too large for the stack. Programs on one CPU do not interrupt each other. */
struct scratch {
	struct pkt p;
	struct pkt q; /* the same flow's other direction, or the one quoted */
	struct side src;
	struct side dst;
	struct ruling r;
	struct dp_flow f;
	struct dp_event_rec rec;
	u32 epoch;
	u32 reply;  /* the packet answers */
	u32 reason; /* Cilium's trace reason */
	u32 hook;   /* HOOK_* */
	u32 drop;   /* the fast path's reason to drop, 0: none */
	u32 xlated; /* f says what the packet becomes, and events tell that */
	u64 now;
};

/* The slow path is a chain of steps, called one after the other and not out of
 * each other: the stack is 512 bytes for all of them. A step returns a drop
 * reason, an ACT_*, or which comes next. */
#define NEXT_ADMIT 16
#define NEXT_JUDGE 17
#define NEXT_FORWARD 18

MAP_HASH(scratch, BPF_MAP_TYPE_PERCPU_ARRAY, 0, __u32, struct scratch, 1);

static __always_inline u8 hook_dir(int hook)
{
	return hook == HOOK_FROM_ENDPOINT ? 2 : 1;
}

/* ---- events ------------------------------------------------------------ */

static __always_inline void event_sides(struct scratch *s)
{
	struct dp_event_rec *rec = &s->rec;

	if (s->xlated) {
		rec->flags |= DP_EVF_XLATED;
		rec->orig_addr = s->p.daddr;
		rec->orig_port = s->p.dport;
		rec->saddr = s->f.nat_saddr;
		rec->daddr = s->f.nat_daddr;
		rec->sport = s->f.nat_sport;
		rec->dport = s->f.nat_dport;
	}

	rec->src_ep = s->src.ep;
	rec->dst_ep = s->dst.ep;
	rec->src_identity = s->src.identity;
	rec->dst_identity = s->dst.identity;
	rec->egress_rule = s->r.egress_rule;
	rec->ingress_rule = s->r.ingress_rule;
}

/* The one way to drop a packet. */
__noinline int drop(struct __sk_buff *skb, struct scratch *s, u32 reason, u32 dir)
{
	struct dp_control *ctl = control_get();

	if (!s)
		return TC_ACT_SHOT;
	count(reason & 255, dir & 3, skb->len);
	if (!ctl || !ctl->slots)
		return TC_ACT_SHOT;
	event_fill(&s->rec, skb, &s->p);
	event_sides(s);
	s->rec.type = DP_EV_DROP;
	s->rec.subtype = reason;
	s->rec.dir = dir;
	s->rec.line = s->p.line;
	s->rec.file = s->p.file;
	s->rec.flags |= DP_EVF_REPLY_KNOWN;
	if (s->reply)
		s->rec.flags |= DP_EVF_REPLY;
	event_send(&s->rec, 1);
	return TC_ACT_SHOT;
}

/* What the policies of both ends said of a new flow. */
__noinline int event_verdicts(struct __sk_buff *skb, struct scratch *s)
{
	if (!s)
		return 0;
	event_fill(&s->rec, skb, &s->p);
	event_sides(s);
	s->rec.type = DP_EV_VERDICT;
	if (s->src.egress) {
		s->rec.dir = 2;
		s->rec.verdict = s->r.egress_verdict;
		if (s->r.egress_verdict == DP_VERDICT_ALLOW)
			s->rec.flags |= DP_EVF_REPLY_KNOWN;
		s->rec.reason = s->r.egress_match;
		event_send(&s->rec, 1);
	}
	if (s->dst.ingress && s->r.egress_verdict == DP_VERDICT_ALLOW) {
		s->rec.dir = 1;
		s->rec.verdict = s->r.ingress_verdict;
		if (s->r.ingress_verdict == DP_VERDICT_ALLOW)
			s->rec.flags |= DP_EVF_REPLY_KNOWN;
		else
			s->rec.flags &= ~DP_EVF_REPLY_KNOWN;
		s->rec.reason = s->r.ingress_match;
		event_send(&s->rec, 1);
	}
	return 0;
}

/* A packet that goes its way. f: its entry; reason: Cilium's trace reason. */
__noinline int event_trace(struct __sk_buff *skb, struct scratch *s, struct dp_flow *f,
				  u32 reason, u32 aggregated)
{
	struct dp_event_rec *rec;

	if (!s || !f)
		return 0;
	rec = &s->rec;
	event_fill(rec, skb, &s->p);
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
	if (f->flags & DP_FLOW_NAT && reason != 3) {
		/* of a request the destination was the service, of a reply the source is */
		int reply = f->flags & DP_FLOW_REPLY;

		rec->flags |= DP_EVF_XLATED;
		rec->orig_addr = reply ? f->nat_saddr : s->p.daddr;
		rec->orig_port = reply ? f->nat_sport : s->p.dport;
		rec->saddr = f->nat_saddr;
		rec->daddr = f->nat_daddr;
		rec->sport = f->nat_sport;
		rec->dport = f->nat_dport;
		if (reply) {
			/* as the back end sent it: who really answered */
			rec->saddr = s->p.saddr;
			rec->sport = s->p.sport;
		}
	}
	event_send(rec, aggregated);
	return 0;
}

/* ---- established ------------------------------------------------------- */

/* The entry of the other direction may have been evicted alone. */
static __always_inline void pair_restore(struct scratch *s, const struct dp_flow *f)
{
	flow_pair(&s->p, f, &s->q);
	if (flow_lookup(&s->q))
		return;
	s->f = *f;
	s->f.packets = s->f.bytes = 0;
	s->f.reported = 0;
	s->f.tcp_seen = 0;
	s->f.flags = (f->flags ^ DP_FLOW_REPLY) & ~DP_FLOW_NEIGH;
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
	flow_insert(&s->q, &s->f);
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
	u32 reason;

	if (!s || !ctl)
		return -DROP_EP_NOT_READY;
	p = &s->p;
	reason = s->reason;
	f = flow_lookup(reason == 3 ? &s->q : p);
	if (!f)
		return DROP(p, FILE_FLOW, DROP_CT_CREATE_FAILED);
	s->reply = f->flags & DP_FLOW_REPLY;
	report = !f->reported || s->now - f->reported >= (u64)REPORT_INTERVAL * cfg_hz ||
		 reason == 3;
	if (p->proto == IPPROTO_TCP && p->frag != FRAG_LATER) {
		report |= p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST) & ~f->tcp_seen;
		flow_tcp(p, f, &s->q);
	}
	if (reason != 3) {
		flow_count(f, skb->len, s->now);
		if (report && f->flags & DP_FLOW_PAIR)
			pair_restore(s, f);
	}
	count(0, hook_dir(hook), skb->len);
	if (ctl->slots && (report || ctl->every)) {
		if (report)
			f->reported = s->now;
		event_trace(skb, s, f, reason, report);
	}
	if (f->flags & DP_FLOW_NAT) {
		if (reason == 3)
			ret = icmp_translate(skb, p, &s->q, f);
		else
			ret = translate(skb, p, f);
		if (ret)
			return DROP(p, FILE_NAT, DROP_WRITE_ERROR);
	}
	ret = deliver(skb, f, p->family, f->flags & DP_FLOW_NAT ? &f->nat_daddr : &p->daddr,
		      hook == HOOK_TO_ENDPOINT);
	if (ret < 0)
		DROP(p, FILE_DELIVER, 0);
	return ret;
}

/* ---- admission --------------------------------------------------------- */

/* The end that a packet comes from. */
static __always_inline int source_side(struct __sk_buff *skb, struct scratch *s, u32 hook)
{
	struct pkt *p = &s->p;
	u32 ep, identity = 0, key;
	struct dp_ep *e;
	u32 *id;

	if (hook == HOOK_FROM_ENDPOINT) {
		key = skb->ifindex;
		id = bpf_map_lookup_elem(&devices, &key);
		if (!id || !*id)
			return DROP(p, FILE_SLOW, DROP_EP_NOT_READY);
		side_endpoint(&s->src, *id, s->epoch);
		e = ep_get(*id);
		if (!e || !(e->flags & DP_EP_USED))
			return DROP(p, FILE_SLOW, DROP_EP_NOT_READY);
		if (p->family == 4 ? !(e->flags & DP_EP_V4) || e->v4 != p->saddr.v4 :
				     !(e->flags & DP_EP_V6) || !ip_equal(&e->v6, &p->saddr))
			return DROP(p, FILE_SLOW, DROP_INVALID_SIP);
		if (e->flags & DP_EP_LEARN) {
			u8 mac[ETH_ALEN];

			if (!bpf_skb_load_bytes(skb, ETH_ALEN, mac, ETH_ALEN))
				mac_learn(e, mac);
		}
		return 0;
	}
	side_endpoint(&s->src, 0, s->epoch);
	if (p->scope & DP_SCOPE_HOST) {
		s->src.identity = 1;
		return 0;
	}
	ep = address_find(&p->saddr, p->family, &identity);
	if (ep) {
		/* An endpoint's address from outside: its packets come here only by way
		 * of the stack, and then from its own device. */
		key = skb->ingress_ifindex;
		id = bpf_map_lookup_elem(&devices, &key);
		if (hook != HOOK_TO_ENDPOINT || !id || *id != ep)
			return DROP(p, FILE_SLOW, DROP_INVALID_SIP);
		side_endpoint(&s->src, ep, s->epoch);
		return 0;
	}
	s->src.identity = identity ?: ipcache_find(&p->saddr, p->family);
	/* Nor does the host write to itself over the wire. */
	if (s->src.identity == 1)
		return DROP(p, FILE_SLOW, DROP_INVALID_SIP);
	return 0;
}

static __always_inline int is_multicast(const union dp_ip *ip, u8 family)
{
	return family == 4 ? ip->b[0] >= 224 : ip->b[0] == 0xff;
}

/* The end that an address belongs to. */
static __always_inline void dest_side(struct __sk_buff *skb, struct scratch *s,
				      const union dp_ip *ip, u32 hook)
{
	u32 identity = 0, key = skb->ifindex;
	u32 ep = address_find(ip, s->p.family, &identity), *id;

	/* To everybody on the link: that is the endpoint behind the device. */
	if (hook == HOOK_TO_ENDPOINT && is_multicast(ip, s->p.family)) {
		id = bpf_map_lookup_elem(&devices, &key);
		ep = id ? *id : 0;
	}

	side_endpoint(&s->dst, ep, s->epoch);
	if (ep)
		return;
	if (!identity && hook == HOOK_FROM_ENDPOINT && is_host(skb, &s->p, ip))
		identity = 1;
	s->dst.identity = identity ?: ipcache_find(ip, s->p.family);
}

/* Swap the sides: policy is about the direction in which a flow was begun. */
static __always_inline int judge_flow(struct scratch *s, u32 reply, __be16 port)
{
	struct side tmp;
	int ret;

	if (!reply)
		return judge(&s->p, &s->src, &s->dst, policy_port(&s->p, port), &s->r);
	tmp = s->src;
	s->src = s->dst;
	s->dst = tmp;
	if (is_icmp(&s->p)) {
		/* what was asked, not what is answered */
		u16 icmp = s->p.icmp;

		s->p.icmp = (s->p.family == 4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST) << 8;
		ret = judge(&s->p, &s->src, &s->dst, policy_port(&s->p, 0), &s->r);
		s->p.icmp = icmp;
	} else {
		ret = judge(&s->p, &s->src, &s->dst, policy_port(&s->p, port), &s->r);
	}
	tmp = s->src;
	s->src = s->dst;
	s->dst = tmp;
	return ret;
}

static __always_inline void flow_ruled(struct scratch *s, struct dp_flow *f)
{
	f->src_ep = s->src.ep;
	f->dst_ep = s->dst.ep;
	f->src_gen = s->src.gen;
	f->dst_gen = s->dst.gen;
	f->src_identity = s->src.identity;
	f->dst_identity = s->dst.identity;
	f->egress_rule = s->r.egress_rule;
	f->ingress_rule = s->r.ingress_rule;
}

/* The way to the world past the stack, where that is wanted. */
static __always_inline void find_way(struct __sk_buff *skb, struct pkt *p, struct dp_flow *f,
				     u32 hook)
{
	const union dp_ip *dst = f->flags & DP_FLOW_NAT ? &f->nat_daddr : &p->daddr;
	struct bpf_fib_lookup fib = {};

	if (!cfg_neigh || f->dst_ep || f->dst_identity == 1 || hook != HOOK_FROM_ENDPOINT)
		return;
	fib.ifindex = skb->ifindex;
	if (p->family == 4) {
		fib.family = 2;
		fib.ipv4_src = p->saddr.v4;
		fib.ipv4_dst = dst->v4;
	} else {
		fib.family = 10;
		__builtin_memcpy(fib.ipv6_src, &p->saddr, 16);
		__builtin_memcpy(fib.ipv6_dst, dst, 16);
	}
	switch (bpf_fib_lookup(skb, &fib, sizeof(fib), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		f->oif = fib.ifindex;
		f->flags |= DP_FLOW_NEIGH;
	}
}

/* A commit has touched a flow: judge it again. A flow that is denied now keeps
 * its entry, so that it goes on when it is allowed again. */
__noinline int revalidate(struct __sk_buff *skb, struct scratch *s, u32 hook)
{
	struct dp_flow *f;
	u32 reply;
	int ret;

	if (!s)
		return -DROP_EP_NOT_READY;
	f = flow_lookup(&s->p);
	if (!f)
		return DROP(&s->p, FILE_FLOW, DROP_CT_CREATE_FAILED);
	reply = f->flags & DP_FLOW_REPLY;
	ret = source_side(skb, s, hook);
	if (ret)
		return ret;
	dest_side(skb, s, f->flags & DP_FLOW_NAT ? &f->nat_daddr : &s->p.daddr, hook);
	if (!(f->flags & DP_FLOW_HAIRPIN)) {
		__be16 port = reply ? s->p.sport : f->flags & DP_FLOW_NAT ? f->nat_dport : s->p.dport;

		ret = judge_flow(s, reply, port);
		if (ret) {
			s->reply = reply;
			return ret;
		}
	}
	flow_ruled(s, f);
	find_way(skb, &s->p, f, hook);
	return NEXT_FORWARD;
}

/* A service has changed: a flow stays with its back end while that is there. */
static __always_inline int service_kept(const struct pkt *p, struct dp_flow *f)
{
	int reply = f->flags & DP_FLOW_REPLY;
	struct dp_backend *b = backend_get(f->backend);
	u32 id = f->service, *gen = bpf_map_lookup_elem(&service_gens, &id);

	if (!b || !gen || b->service != id)
		return 0;
	/* Numbers are used again: is it still the one that was chosen? */
	if (!ip_equal(&b->ip, reply ? &p->saddr : &f->nat_daddr) ||
	    b->port != (reply ? p->sport : f->nat_dport))
		return 0;
	f->service_gen = *gen;
	return 1;
}

static __always_inline void hairpin_addr(u8 family, union dp_ip *ip)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	if (family == 4) {
		ip->v4 = HAIRPIN_IPV4;
	} else {
		ip->w[0] = HAIRPIN_IPV6_0;
		ip->w[3] = HAIRPIN_IPV6_3;
	}
}

/* Choose a back end for a packet to a service. 0 also when there is none to
 * choose for; s->f is the entry. */
static __always_inline int admit_service(struct scratch *s)
{
	struct pkt *p = &s->p;
	struct dp_service *svc;
	struct dp_backend *b;
	u32 id;

	if (!is_tcp_or_udp(p->proto))
		return 0;
	svc = service_find(p);
	if (!svc)
		return 0;
	id = service_choose(p, svc);
	b = id ? backend_get(id) : NULL;
	if (!b || b->service != svc->id)
		return DROP(p, FILE_SERVICE, DROP_NO_SERVICE);
	s->f.service = svc->id;
	s->f.service_gen = svc->gen;
	s->f.backend = id;
	s->f.flags |= DP_FLOW_NAT;
	s->f.nat_saddr = p->saddr;
	s->f.nat_sport = p->sport;
	s->f.nat_daddr = b->ip;
	s->f.nat_dport = b->port;
	s->xlated = 1;
	if (ip_equal(&b->ip, &p->saddr)) {
		s->f.flags |= DP_FLOW_HAIRPIN;
		hairpin_addr(p->family, &s->f.nat_saddr);
	}
	return 0;
}

/* Does the packet answer (or continue) a flow of which only the other entry is
 * left? Then it is that flow's, whatever policy says of this direction. Returns
 * that entry. Translated flows are not found this way: pair_restore() keeps
 * them complete. */
static __always_inline struct dp_flow *pair_find(struct scratch *s)
{
	struct dp_ep *dst = ep_get(s->dst.ep);
	struct dp_flow *f;

	s->q = s->p;
	s->q.saddr = s->p.daddr;
	s->q.daddr = s->p.saddr;
	s->q.sport = s->p.dport;
	s->q.dport = s->p.sport;
	s->q.ifindex = 0;
	s->q.scope = 0;
	if (is_icmp(&s->p) && !(s->p.scope & DP_SCOPE_REPLY))
		s->q.scope |= DP_SCOPE_REPLY;
	if (s->dst.ep && dst) {
		s->q.ifindex = dst->ifindex;
		f = flow_lookup(&s->q);
	} else {
		s->q.scope |= DP_SCOPE_WORLD;
		f = flow_lookup(&s->q);
		if (!f) {
			s->q.scope ^= DP_SCOPE_WORLD | DP_SCOPE_HOST;
			f = flow_lookup(&s->q);
		}
	}
	if (!f || !flow_alive(f, s->now) || !(f->flags & DP_FLOW_PAIR) || f->flags & DP_FLOW_NAT)
		return NULL;
	/* A SYN begins, it does not answer. */
	if (s->p.proto == IPPROTO_TCP && (s->p.tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return NULL;
	return f;
}

/* Flows of these have packets both ways. */
static __always_inline int has_pair(const struct pkt *p)
{
	u8 type = p->icmp >> 8;

	if (!is_icmp(p))
		return 1;
	if (p->family == 4)
		return type == ICMP_ECHO || type == ICMP_ECHOREPLY;
	return type == ICMPV6_ECHO_REQUEST || type == ICMPV6_ECHO_REPLY;
}

/* Write the entry of the other direction of the flow that s->f begins. */
static __always_inline long admit_pair(struct scratch *s)
{
	struct dp_flow *f = &s->f;
	union dp_ip nat_saddr = f->nat_saddr, nat_daddr = f->nat_daddr;
	__be16 nat_sport = f->nat_sport, nat_dport = f->nat_dport;
	u8 flags = f->flags, scope = f->pair_scope;
	long ret;

	flow_pair(&s->p, f, &s->q);
	f->flags = (flags ^ DP_FLOW_REPLY) & ~DP_FLOW_NEIGH;
	f->pair_scope = s->p.scope & ~DP_SCOPE_REPLY;
	f->src_ep = s->dst.ep;
	f->dst_ep = s->src.ep;
	f->src_gen = s->dst.gen;
	f->dst_gen = s->src.gen;
	f->src_identity = s->dst.identity;
	f->dst_identity = s->src.identity;
	f->nat_saddr = s->p.daddr;
	f->nat_daddr = s->p.saddr;
	f->nat_sport = s->p.dport;
	f->nat_dport = s->p.sport;
	if (cfg_neigh && !f->dst_ep && f->dst_identity != 1)
		f->src_gen = 0; /* the way out is found when the first reply is judged */
	ret = flow_insert(&s->q, f);
	f->flags = flags;
	f->pair_scope = scope;
	f->nat_saddr = nat_saddr;
	f->nat_daddr = nat_daddr;
	f->nat_sport = nat_sport;
	f->nat_dport = nat_dport;
	flow_ruled(s, f);
	return ret;
}

/* A packet that no entry is there for. */
__noinline int admit(struct __sk_buff *skb, struct scratch *s, u32 hook)
{
	struct dp_flow *f, *pair;
	struct pkt *p;
	u32 reply = 0;
	int ret;

	if (!s)
		return -DROP_EP_NOT_READY;
	p = &s->p;
	f = &s->f;
	ret = source_side(skb, s, hook);
	if (ret)
		return ret;
	__builtin_memset(f, 0, sizeof(*f));
	if (hook == HOOK_FROM_ENDPOINT) {
		ret = admit_service(s);
		if (ret)
			return ret;
	}
	dest_side(skb, s, f->flags & DP_FLOW_NAT ? &f->nat_daddr : &p->daddr, hook);
	if (hook == HOOK_FROM_NETDEV && !s->dst.ep)
		return ACT_PASS; /* not ours */
	if (hook == HOOK_TO_ENDPOINT) {
		struct dp_ep *e = ep_get(s->dst.ep);

		if (!s->dst.ep || !e || e->ifindex != skb->ifindex)
			return DROP(p, FILE_SLOW, DROP_UNKNOWN_TARGET);
	}
	if (has_pair(p))
		f->flags |= DP_FLOW_PAIR;
	if (f->flags & DP_FLOW_PAIR && !(f->flags & DP_FLOW_NAT)) {
		pair = pair_find(s);
		if (pair)
			reply = !(pair->flags & DP_FLOW_REPLY);
	} else {
		pair = NULL;
	}
	if (!(f->flags & DP_FLOW_HAIRPIN)) {
		ret = judge_flow(s, reply,
				 reply ? p->sport : f->flags & DP_FLOW_NAT ? f->nat_dport : p->dport);
		if (!pair) {
			struct dp_control *ctl = control_get();

			if (ctl && ctl->slots)
				event_verdicts(skb, s);
		}
		if (ret)
			return ret;
	}
	f->seen = s->now;
	f->created = s->now;
	f->lifetime = flow_lifetime(p->proto, 0);
	if (reply)
		f->flags |= DP_FLOW_REPLY;
	f->pair_scope = s->dst.ep	      ? DP_SCOPE_ENDPOINT :
			s->dst.identity == 1 ? DP_SCOPE_HOST :
					       DP_SCOPE_WORLD;
	flow_ruled(s, f);
	find_way(skb, p, f, hook);
	if (f->flags & DP_FLOW_PAIR && !pair && admit_pair(s))
		return DROP(p, FILE_FLOW, DROP_CT_CREATE_FAILED);
	if (flow_insert(p, f))
		return DROP(p, FILE_FLOW, DROP_CT_CREATE_FAILED);
	s->reason = reply ? 2 : pair ? 1 : 0;
	return NEXT_FORWARD;
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
	if (!f || !flow_alive(f, s->now) || !(flow_service_current(f) || service_kept(&s->q, f)))
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
	if (!f || !flow_alive(f, s->now) || flow_reopened(p, f, &s->q) ||
	    !(flow_service_current(f) || service_kept(p, f)))
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

static __always_inline int slow_path(struct __sk_buff *skb, struct scratch *s, u32 hook)
{
	int ret;

	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return arp_packet(skb, &s->p);
	ret = parse(skb, &s->p);
	if (ret)
		return ret;
	if (is_nd(&s->p))
		return nd_packet(skb, &s->p, hook);
	if (is_link_chatter(&s->p))
		return ACT_CONSUMED;
	ret = classify(skb, s, hook);
	if (ret == NEXT_ADMIT)
		ret = admit(skb, s, hook);
	else if (ret == NEXT_JUDGE)
		ret = revalidate(skb, s, hook);
	if (ret == NEXT_FORWARD)
		ret = forward(skb, s, hook);
	return ret;
}
