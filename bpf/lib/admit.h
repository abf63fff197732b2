/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The first packet of a flow, and the first after a change: who sends it, to
 * whom, through which service, and what the policies of both say. */
#pragma once

#include "dsr.h"
#include "flow.h"
#include "nd.h"
#include "report.h"
#include "service.h"
#include "snat.h"

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
			return DROP(p, FILE_ADMIT, DROP_EP_NOT_READY);
		side_endpoint(&s->src, *id, s->epoch);
		e = ep_get(*id);
		if (!e || !(e->flags & DP_EP_USED))
			return DROP(p, FILE_ADMIT, DROP_EP_NOT_READY);
		if (p->family == 4 ? !(e->flags & DP_EP_V4) || e->v4 != p->saddr.v4 :
				     !(e->flags & DP_EP_V6) || !ip_equal(&e->v6, &p->saddr))
			return DROP(p, FILE_ADMIT, DROP_INVALID_SIP);
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
			return DROP(p, FILE_ADMIT, DROP_INVALID_SIP);
		side_endpoint(&s->src, ep, s->epoch);
		return 0;
	}
	s->src.identity = identity ?: ipcache_find(&p->saddr, p->family);
	/* Nor does the host write to itself over the wire. */
	if (s->src.identity == 1)
		return DROP(p, FILE_ADMIT, DROP_INVALID_SIP);
	return 0;
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
	if (!identity &&
	    (hook == HOOK_FROM_ENDPOINT || (hook == HOOK_FROM_NETDEV && s->f.flags & DP_FLOW_NAT)) &&
	    is_host(skb, &s->p, ip))
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

/* By which rules a flow passes: what denies it, audited, is not why. */
static __always_inline u32 passing_egress(const struct ruling *r)
{
	return r->egress_audit ? 0 : r->egress_rule;
}

static __always_inline u32 passing_ingress(const struct ruling *r)
{
	return r->ingress_audit ? 0 : r->ingress_rule;
}

static __always_inline void flow_ruled(struct scratch *s, struct dp_flow *f)
{
	f->src_ep = s->src.ep;
	f->dst_ep = s->dst.ep;
	f->src_gen = s->src.gen;
	f->dst_gen = s->dst.gen;
	f->src_identity = s->src.identity;
	f->dst_identity = s->dst.identity;
	f->egress_rule = passing_egress(&s->r);
	f->ingress_rule = passing_ingress(&s->r);
}

/* The device that a flow's packets leave by; 0: there is no route. */
static __always_inline u32 route(struct __sk_buff *skb, const struct pkt *p,
				 const struct dp_flow *f)
{
	const union dp_ip *dst = f->flags & DP_FLOW_NAT ? &f->nat_daddr : &p->daddr;
	struct bpf_fib_lookup fib = {};
	long ret;

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
	ret = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	return ret == BPF_FIB_LKUP_RET_SUCCESS || ret == BPF_FIB_LKUP_RET_NO_NEIGH ? fib.ifindex :
										     0;
}

/* The way to the world past the stack, where that is wanted. */
static __always_inline void find_way(struct __sk_buff *skb, struct pkt *p, struct dp_flow *f,
				     u32 hook)
{
	u32 oif;

	if (!cfg_neigh || f->dst_ep || f->dst_identity == 1 || hook != HOOK_FROM_ENDPOINT ||
	    f->flags & DP_FLOW_SNAT)
		return;
	oif = route(skb, p, f);
	if (oif) {
		f->oif = oif;
		f->flags |= DP_FLOW_NEIGH;
	}
}

/* A new flow to the world: does it need another source? Such a one, and any from an uplink
 * to a back end elsewhere, leaves past the stack, which takes nothing from its own addresses. */
static __always_inline int find_exit(struct __sk_buff *skb, struct scratch *s, u32 hook)
{
	struct dp_control *ctl = control_get();
	struct dp_flow *f = &s->f;
	struct pkt *p = &s->p;
	struct dp_uplink *up;
	u32 oif;

	if (f->dst_ep || f->dst_identity == 1 || !ctl)
		return 0;
	if (hook == HOOK_FROM_ENDPOINT ? !masquerades(ctl, p->family) : hook != HOOK_FROM_NETDEV) {
		find_way(skb, p, f, hook);
		return 0;
	}
	oif = route(skb, p, f);
	up = bpf_map_lookup_elem(&uplinks, &oif);
	if (hook == HOOK_FROM_NETDEV) {
		if (!oif)
			return DROP(p, FILE_SNAT, DROP_NO_FIB);
		if (f->dsr & DP_DSR_OUT) {
			f->oif = oif;
			f->flags |= DP_FLOW_NEIGH;
			f->flags &= ~DP_FLOW_PAIR;
			return 0;
		}
		if (!up)
			return DROP(p, FILE_SNAT, DROP_NO_EGRESS_IP);
	} else if (!up ||
		   masquerade_excluded(f->flags & DP_FLOW_NAT ? &f->nat_daddr : &p->daddr,
				       p->family)) {
		find_way(skb, p, f, hook);
		return 0;
	}
	f->oif = oif;
	f->flags |= DP_FLOW_NEIGH;
	return snat_begin(p, f, up);
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
	f = flow_lookup_again(&s->p);
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
	if (f->egress_rule != passing_egress(&s->r) ||
	    f->ingress_rule != passing_ingress(&s->r))
		flow_retire(f);
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
static __always_inline int admit_service(struct scratch *s, u32 hook)
{
	int outside = hook == HOOK_FROM_NETDEV;
	struct pkt *p = &s->p;
	struct dp_service *svc;
	struct dp_backend *b;
	u32 id;

	if (!has_ports(p->proto))
		return 0;
	svc = service_find(p);
	if (!svc)
		return 0;
	if (outside && !(svc->flags & DP_SVC_ROUTABLE))
		return DROP(p, FILE_SERVICE, DROP_IS_CLUSTER_IP);
	if (outside && !service_source_ok(p, svc))
		return DROP(p, FILE_SERVICE, DROP_NOT_IN_SRC_RANGE);
	id = service_choose(p, svc, outside, s->now);
	b = id ? backend_get(id) : NULL;
	if (!b || b->service != svc->id) {
		if (svc->flags & DP_SVC_REJECT)
			s->answer = ANSWER_REJECT;
		return DROP(p, FILE_SERVICE, DROP_NO_SERVICE);
	}
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
	} else if (outside && svc->mode == DP_MODE_DSR) {
		s->f.dsr = DP_DSR_OUT;
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
	if (!f || !flow_there(f, s->now) || !(f->flags & DP_FLOW_PAIR) ||
	    (f->flags & DP_FLOW_NAT && !(f->dsr & DP_DSR_BACK)))
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

/* What comes back of a flow that an uplink brought, and that was translated, leaves by the
 * uplink, past the stack: its source is then an address that the stack takes from nobody.
 * f: the entry for it. */
static __always_inline void way_back(const struct pkt *p, struct dp_flow *f, u32 hook)
{
	f->flags &= ~DP_FLOW_NEIGH;
	if (hook == HOOK_FROM_NETDEV && f->flags & DP_FLOW_NAT && !f->dst_ep &&
	    f->src_identity != 1) {
		f->flags |= DP_FLOW_NEIGH;
		f->oif = p->hook_ifindex;
	}
}

/* Has the end that s->q comes from begun a translated flow itself, whose entry the one for
 * answers would overwrite? Its packets went by another address, so nobody answers this one. */
static __always_inline int flow_is_own(struct scratch *s)
{
	struct dp_flow *f = flow_lookup(&s->q);

	return f && f->flags & DP_FLOW_NAT && !(f->flags & (DP_FLOW_REPLY | DP_FLOW_CLOSING)) &&
	       flow_there(f, s->now);
}

/* Write the entry of the other direction of the flow that s->f begins. */
static __always_inline long admit_pair(struct __sk_buff *skb, struct scratch *s, u32 hook)
{
	struct dp_flow *f = &s->f;
	union dp_ip nat_saddr = f->nat_saddr, nat_daddr = f->nat_daddr;
	__be16 nat_sport = f->nat_sport, nat_dport = f->nat_dport;
	u8 flags = f->flags, scope = f->pair_scope;
	u32 oif = f->oif;
	long ret;

	flow_pair(&s->p, f, &s->q);
	f->flags = flags ^ DP_FLOW_REPLY;
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
	if (f->dsr & DP_DSR_BACK) {
		f->flags |= DP_FLOW_NAT | DP_FLOW_NEIGH;
		f->nat_saddr = nat_daddr;
		f->nat_sport = nat_dport;
	} else {
		way_back(&s->p, f, hook);
		f->oif = f->flags & DP_FLOW_NEIGH ? s->p.hook_ifindex : 0;
	}
	if (cfg_neigh && !f->dst_ep && f->dst_identity != 1 && !(f->flags & DP_FLOW_NEIGH))
		f->src_gen = 0; /* the way out is found when the first reply is judged */
	if (flags & DP_FLOW_SNAT) {
		ret = snat_port(skb, s);
		nat_sport = ret < 0 ? 0 : ret;
	} else if (f->flags & DP_FLOW_REPLY && flow_is_own(s)) {
		ret = DROP(&s->p, FILE_FLOW, DROP_CT_CREATE_FAILED);
	} else {
		ret = flow_insert(&s->q, f, BPF_ANY);
		if (ret)
			ret = DROP(&s->p, FILE_FLOW, DROP_CT_CREATE_FAILED);
	}
	f->oif = oif;
	f->flags = flags;
	f->pair_scope = scope;
	f->nat_saddr = nat_saddr;
	f->nat_daddr = nat_daddr;
	f->nat_sport = nat_sport;
	f->nat_dport = nat_dport;
	flow_ruled(s, f);
	return ret < 0 ? ret : 0;
}

/* A packet that no entry is there for. */
__noinline int admit(struct __sk_buff *skb, struct scratch *s, u32 hook)
{
	struct dp_flow *f, *pair, *old;
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
	if (hook == HOOK_FROM_ENDPOINT || hook == HOOK_FROM_NETDEV) {
		ret = admit_service(s, hook);
		if (ret)
			return ret;
	}
	dest_side(skb, s, f->flags & DP_FLOW_NAT ? &f->nat_daddr : &p->daddr, hook);
	if (hook == HOOK_FROM_NETDEV && !s->dst.ep && !(f->flags & DP_FLOW_NAT))
		return ACT_PASS; /* not ours */
	if (s->dst.ep || s->dst.identity == 1)
		f->dsr = 0; /* here nobody is to be told */
	if (hook == HOOK_TO_ENDPOINT) {
		struct dp_ep *e = ep_get(s->dst.ep);

		if (!s->dst.ep || !e || e->ifindex != skb->ifindex)
			return DROP(p, FILE_ADMIT, DROP_UNKNOWN_TARGET);
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
	if (s->dsr && s->dst.ep && !reply && !(f->flags & DP_FLOW_NAT) && p->frag != FRAG_LATER) {
		pair = NULL; /* another flow, whatever was there */
		ret = dsr_admit(skb, s);
		if (ret)
			return ret;
	} else if (pair && pair->dsr & DP_DSR_BACK) {
		dsr_pair(&s->q, pair, f);
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
	f->lifetime = flow_lifetime(p->proto, 0);
	if (reply)
		f->flags |= DP_FLOW_REPLY;
	f->pair_scope = s->dst.ep	      ? DP_SCOPE_ENDPOINT :
			s->dst.identity == 1 ? DP_SCOPE_HOST :
					       DP_SCOPE_WORLD;
	flow_ruled(s, f);
	if (pair) {
		find_way(skb, p, f, hook);
	} else {
		ret = find_exit(skb, s, hook);
		if (!ret && f->flags & DP_FLOW_PAIR)
			ret = admit_pair(skb, s, hook);
		if (ret)
			return ret;
	}
	old = flow_lookup(p);
	if (old)
		flow_retire(old);
	if (flow_insert(p, f, BPF_ANY))
		return DROP(p, FILE_FLOW, DROP_CT_CREATE_FAILED);
	s->reason = reply ? 2 : pair ? 1 : 0;
	return NEXT_FORWARD;
}
