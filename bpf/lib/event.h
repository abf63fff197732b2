/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Counters for everybody, and what an event says. */
#pragma once

#include "maps.h"

static __always_inline void count(u32 reason, u32 dir, u32 len)
{
	u32 key = reason << 2 | dir;
	struct dp_counter *c = bpf_map_lookup_elem(&metrics, &key);

	if (c) {
		c->packets++;
		c->bytes += len;
	}
}

static __always_inline void rule_hit(u32 rule, u64 packets, u64 bytes)
{
	struct dp_counter none = {}, *c;

	if (!rule || !packets)
		return;
	c = bpf_map_lookup_elem(&hits, &rule);
	if (!c) {
		bpf_map_update_elem(&hits, &rule, &none, BPF_NOEXIST);
		c = bpf_map_lookup_elem(&hits, &rule);
		if (!c)
			return;
	}
	__sync_fetch_and_add(&c->packets, packets);
	__sync_fetch_and_add(&c->bytes, bytes);
}

/* The rules that have let an entry's packets pass get its counts: others will, or it is
 * over. What is counted meanwhile stays in it. */
static __always_inline void flow_retire(struct dp_flow *f)
{
	u64 packets = f->packets, bytes = f->bytes;

	if (f->flags & DP_FLOW_REPLY)
		return;
	rule_hit(f->egress_rule, packets, bytes);
	rule_hit(f->ingress_rule, packets, bytes);
	__sync_fetch_and_add(&f->packets, -packets);
	__sync_fetch_and_add(&f->bytes, -bytes);
}

/* What an event says of a packet that was not translated (yet). The time comes when
 * somebody wants it: that clock is dear. */
static __always_inline void event_fill(struct dp_event_rec *rec, u32 len, const struct pkt *p)
{
	__builtin_memset(rec, 0, sizeof(*rec));
	rec->proto = p->proto;
	rec->tcp_flags = p->tcp_flags;
	rec->flags = p->family == 6 ? DP_EVF_IPV6 : 0;
	if (p->proto) {
		rec->flags |= DP_EVF_L4;
		rec->sport = p->sport;
		rec->dport = p->dport;
		if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6) {
			/* of an echo the identifier, wherever it stands */
			rec->sport = p->scope & DP_SCOPE_REPLY ? p->dport : p->sport;
			rec->dport = bpf_htons(p->icmp);
		}
	}
	rec->saddr = p->saddr;
	rec->daddr = p->daddr;
	rec->ifindex = p->hook_ifindex;
	rec->len = len;
}
