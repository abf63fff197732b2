/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Other sources for what leaves by an uplink: of clients whose back end is elsewhere, so
 * that its answers come back here, and of endpoints that go to the world.
 *
 * There is no table of ports: a port is taken when the flow table has an entry for the
 * answers to it, so allocating one is inserting that entry, and it is free again when the
 * entry is over. */
#pragma once

#include "flow.h"
#include "scratch.h"
#include "service.h"

/* Cilium's SNAT_COLLISION_RETRIES. */
#define SNAT_TRIES 32

/* Does the entry for answers belong to the flow that s->f stands for already? Its own
 * entry was evicted. s->f is what would be written. */
static __always_inline int snat_is_ours(const struct dp_flow *f, const struct dp_flow *want)
{
	return f->flags & DP_FLOW_SNAT && ip_equal(&f->nat_saddr, &want->nat_saddr) &&
	       ip_equal(&f->nat_daddr, &want->nat_daddr) && f->nat_sport == want->nat_sport &&
	       f->nat_dport == want->nat_dport;
}

/* Does a socket of the host's own use the port with this peer? */
static __always_inline int snat_host_has(struct __sk_buff *skb, const struct pkt *q)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	u32 size, taken;

	if (q->family == 4) {
		t.ipv4.saddr = q->saddr.v4;
		t.ipv4.daddr = q->daddr.v4;
		t.ipv4.sport = q->sport;
		t.ipv4.dport = q->dport;
		size = sizeof(t.ipv4);
	} else {
		__builtin_memcpy(t.ipv6.saddr, &q->saddr, 16);
		__builtin_memcpy(t.ipv6.daddr, &q->daddr, 16);
		t.ipv6.sport = q->sport;
		t.ipv6.dport = q->dport;
		size = sizeof(t.ipv6);
	}
	if (q->proto == IPPROTO_TCP)
		sk = bpf_sk_lookup_tcp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	else if (q->proto == IPPROTO_UDP)
		sk = bpf_sk_lookup_udp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	else
		return 0;
	if (!sk)
		return 0;
	taken = sk->state != BPF_TCP_LISTEN;
	bpf_sk_release(sk);
	return taken;
}

/* Take the port that s->q, a packet that answers, goes to. s->f: the entry to write.
 * 0: it is ours. */
__noinline long snat_take(struct __sk_buff *skb, struct scratch *s)
{
	struct dp_flow *f;
	u64 seen;

	if (!s)
		return -1;
	f = flow_lookup(&s->q);
	if (!f)
		return snat_host_has(skb, &s->q) ? -1 : flow_insert(&s->q, &s->f, BPF_NOEXIST);
	if (!snat_is_ours(f, &s->f)) {
		if (flow_alive(f, s->now))
			return -1;
		/* Over: of all that see this at once, one gets it. */
		seen = f->seen;
		if (seen == s->now || __sync_val_compare_and_swap(&f->seen, seen, s->now) != seen)
			return -1;
	}
	return flow_insert(&s->q, &s->f, BPF_ANY);
}

struct snat_search {
	struct __sk_buff *skb;
	u32 start;
	u32 found;
};

/* bpf_loop(): 1 ends it. */
static long snat_try(u32 i, void *data)
{
	u32 zero = 0, range = cfg_snat_last - cfg_snat_first + 1;
	struct scratch *s = bpf_map_lookup_elem(&scratch, &zero);
	struct snat_search *x = data;

	if (!s)
		return 1;
	s->q.dport = bpf_htons(cfg_snat_first + (x->start + i) % range);
	x->found = !snat_take(x->skb, s);
	return x->found;
}

/* Find a port for the flow of s->p: the one that it has, if that may be; else, from a place
 * that the flow's hash tells, the next free one. Returns it in network byte order, or
 * a negative drop reason. */
__noinline int snat_port(struct __sk_buff *skb, struct scratch *s)
{
	struct snat_search x = { .skb = skb };
	u32 own;

	if (!s)
		return -DROP_NAT_NO_MAPPING;
	own = bpf_ntohs(s->p.sport);
	s->q.dport = s->p.sport;
	/* SCTP's sum would have to be made anew for another port. */
	if ((s->p.proto == IPPROTO_SCTP || (own >= cfg_snat_first && own <= cfg_snat_last)) &&
	    !snat_take(skb, s))
		return s->q.dport;
	if (s->p.proto == IPPROTO_SCTP)
		return DROP(&s->p, FILE_SNAT, DROP_NAT_NO_MAPPING);
	x.start = flow_hash(&s->p, 0);
	bpf_loop(SNAT_TRIES, snat_try, &x, 0);
	return x.found ? s->q.dport : DROP(&s->p, FILE_SNAT, DROP_NAT_NO_MAPPING);
}

static __always_inline int is_zero(const union dp_ip *ip)
{
	return !(ip->w[0] | ip->w[1] | ip->w[2] | ip->w[3]);
}

/* Is the address one that endpoints' packets go to as they are? */
static __always_inline int masquerade_excluded(const union dp_ip *ip, u8 family)
{
	struct dp_source_key key = {
		.prefixlen = 96 + (family == 4 ? 32 : 128),
		.family = family,
		.ip = *ip,
	};

	return bpf_map_lookup_elem(&sources, &key) != NULL;
}

static __always_inline int masquerades(const struct dp_control *ctl, u8 family)
{
	return ctl->flags & (family == 4 ? DP_CONTROL_MASQ_V4 : DP_CONTROL_MASQ_V6);
}

/* The flow leaves by an uplink with its address. Only what has ports, or an identifier
 * like one, can come back. */
static __always_inline int snat_begin(struct pkt *p, struct dp_flow *f, const struct dp_uplink *up)
{
	if (!(f->flags & DP_FLOW_PAIR) || p->scope & DP_SCOPE_REPLY)
		return DROP(p, FILE_SNAT, DROP_NAT_UNSUPP_PROTO);
	if (!(f->flags & DP_FLOW_NAT)) {
		f->nat_daddr = p->daddr;
		f->nat_sport = p->sport;
		f->nat_dport = p->dport;
	}
	__builtin_memset(&f->nat_saddr, 0, sizeof(f->nat_saddr));
	if (p->family == 4)
		f->nat_saddr.v4 = up->v4;
	else
		f->nat_saddr = up->v6;
	if (is_zero(&f->nat_saddr))
		return DROP(p, FILE_SNAT, DROP_NO_EGRESS_IP);
	f->flags |= DP_FLOW_NAT | DP_FLOW_SNAT;
	return 0;
}
