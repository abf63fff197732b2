/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Identities and verdicts: three look-ups for a new flow and direction. */
#pragma once

#include "maps.h"

/* One end of a flow. */
struct side {
	u32 ep; /* 0: outside */
	u32 gen;
	u32 identity;
	u32 egress; /* policies, 0: not enforced */
	u32 ingress;
};

/* What was decided for a flow, in its original direction. */
struct ruling {
	u32 egress_rule;
	u32 ingress_rule;
	u8 egress_verdict;
	u8 ingress_verdict;
	u8 egress_match;
	u8 ingress_match;
	u8 egress_audit; /* denied, but it passes */
	u8 ingress_audit;
	u16 pad;
};

static __always_inline void side_endpoint(struct side *s, u32 id, u32 epoch)
{
	struct dp_ep *ep = ep_get(id);

	s->ep = id;
	if (!ep)
		return;
	s->gen = ep->slot[epoch & 1].gen;
	s->identity = ep->slot[epoch & 1].identity;
	s->egress = ep->slot[epoch & 1].egress;
	s->ingress = ep->slot[epoch & 1].ingress;
}

/* The endpoint that has an address, or 0; *identity when the address is known
 * but no endpoint's. */
static __always_inline u32 address_find(const union dp_ip *ip, u8 family, u32 *identity)
{
	struct dp_addr_key key = { .ip = *ip, .family = family };
	struct dp_addr *a = bpf_map_lookup_elem(&addresses, &key);

	if (!a)
		return 0;
	*identity = a->identity;
	return a->ep;
}

static __always_inline u32 ipcache_find(const union dp_ip *ip, u8 family)
{
	struct dp_ipcache_key key = { .family = family, .ip = *ip };
	u32 *id;

	key.prefixlen = 32 + (family == 4 ? 32 : 128);
	id = bpf_map_lookup_elem(&ipcache, &key);
	if (id)
		return *id;
	return family == 4 ? 9 : 10; /* world-ipv4, world-ipv6 */
}

/* Is the address one of this host's? Asked of the routing table: nothing has
 * to be kept up to date when the host's addresses change. Where forwarding is
 * off a packet can reach nobody but the host. */
static __always_inline int is_host(struct __sk_buff *skb, const struct pkt *p,
				   const union dp_ip *dst)
{
	struct bpf_fib_lookup fib = {};
	long ret;

	fib.ifindex = skb->ifindex;
	fib.l4_protocol = p->proto;
	if (p->family == 4) {
		fib.family = 2; /* AF_INET */
		fib.ipv4_src = p->saddr.v4;
		fib.ipv4_dst = dst->v4;
	} else {
		fib.family = 10; /* AF_INET6 */
		__builtin_memcpy(fib.ipv6_src, &p->saddr, 16);
		__builtin_memcpy(fib.ipv6_dst, dst, 16);
	}
	ret = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	return ret == BPF_FIB_LKUP_RET_NOT_FWDED || ret == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

static __always_inline u32 policy_port(const struct pkt *p, __be16 port)
{
	switch (p->proto) {
	case IPPROTO_TCP:
		return DP_PP_TCP << 16 | bpf_ntohs(port);
	case IPPROTO_UDP:
		return DP_PP_UDP << 16 | bpf_ntohs(port);
	case IPPROTO_SCTP:
		return DP_PP_SCTP << 16 | bpf_ntohs(port);
	case IPPROTO_ICMP:
		return DP_PP_ICMP << 16 | p->icmp >> 8;
	default:
		return DP_PP_ICMPV6 << 16 | p->icmp >> 8;
	}
}

/* The interval that holds a port: the last that starts at or before it. */
static __always_inline u32 port_class(const struct dp_policy *pol, u32 port)
{
	u32 first = pol->ports, n = pol->nports, class = 0;
	struct dp_port_interval *iv;
	int i;

	for (i = 0; i < 20; i++) {
		u32 half = n >> 1, mid = first + half;

		if (!n)
			break;
		iv = bpf_map_lookup_elem(&ports, &mid);
		if (!iv)
			break;
		if (iv->start <= port) {
			class = iv->class;
			first = mid + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return class;
}

/* The verdict of one policy. */
__noinline int policy_lookup(u32 policy, u32 identity, u32 port, struct dp_verdict *ret)
{
	struct dp_peer_key pk = { .policy = policy, .identity = identity };
	struct dp_verdict_key vk = { .policy = policy };
	struct dp_policy *pol;
	struct dp_verdict *v;
	u32 *class;

	if (!ret)
		return -1;
	pol = bpf_map_lookup_elem(&policies, &policy);
	if (!pol)
		return -1;
	class = bpf_map_lookup_elem(&peers, &pk);
	vk.peer_class = class ? *class : 0;
	vk.port_class = port_class(pol, port);
	v = bpf_map_lookup_elem(&verdicts, &vk);
	if (v) {
		*ret = *v;
	} else {
		ret->verdict = pol->verdict;
		ret->match = pol->verdict == DP_VERDICT_DENY ? DP_MATCH_NONE : DP_MATCH_ALL;
		ret->rule = pol->rule;
		ret->listener = 0;
	}
	ret->audit = pol->audit;
	return 0;
}

/* Both ends have their say: egress of the source, ingress of the destination. */
static __always_inline int judge(struct pkt *p, const struct side *src, const struct side *dst,
				 u32 port, struct ruling *r)
{
	struct dp_verdict v = {};

	r->egress_verdict = r->ingress_verdict = DP_VERDICT_ALLOW;
	r->egress_audit = r->ingress_audit = 0;
	if (src->egress) {
		if (policy_lookup(src->egress, dst->identity, port, &v))
			return DROP(p, FILE_POLICY, DROP_EP_NOT_READY);
		r->egress_verdict = v.verdict;
		r->egress_match = v.match;
		r->egress_rule = v.rule;
		if (v.verdict != DP_VERDICT_ALLOW) {
			if (!v.audit)
				goto deny;
			r->egress_audit = 1;
		} else if (v.listener) {
			goto listen;
		}
	}
	if (dst->ingress) {
		if (policy_lookup(dst->ingress, src->identity, port, &v))
			return DROP(p, FILE_POLICY, DROP_EP_NOT_READY);
		r->ingress_verdict = v.verdict;
		r->ingress_match = v.match;
		r->ingress_rule = v.rule;
		if (v.verdict != DP_VERDICT_ALLOW) {
			if (!v.audit)
				goto deny;
			r->ingress_audit = 1;
		} else if (v.listener) {
			goto listen;
		}
	}
	return 0;
listen:
	/* No listener is attached: what only it may let through does not pass. */
	return DROP(p, FILE_POLICY, DROP_NO_PROXY);
deny:
	return DROP(p, FILE_POLICY, v.verdict == DP_VERDICT_DENIED ? DROP_POLICY_DENY : DROP_POLICY);
}
