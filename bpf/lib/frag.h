/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Fragments: only the first has ports; the others are found by datagram.
 *
 * Only a fragment with offset 0 can hold ports, and each of those is judged by
 * what it holds itself, so overlapping fragments win nothing. */
#pragma once

#include "maps.h"

static __always_inline void frag_key(const struct pkt *p, u32 id, struct dp_frag_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->saddr = p->saddr;
	key->daddr = p->daddr;
	key->id = id;
	key->ifindex = p->ifindex;
	key->proto = p->proto;
	key->scope = p->scope & ~DP_SCOPE_REPLY;
	key->family = p->family;
}

static __always_inline int frag_remember(struct pkt *p, u32 id)
{
	struct dp_frag val = { .sport = p->sport, .dport = p->dport };
	struct dp_frag_key key;

	val.scope = p->scope & DP_SCOPE_REPLY;
	frag_key(p, id, &key);
	if (bpf_map_update_elem(&frags, &key, &val, BPF_ANY))
		return DROP(p, FILE_FRAG, DROP_CT_CREATE_FAILED);
	return 0;
}

static __always_inline int frag_find(struct pkt *p, u32 id)
{
	struct dp_frag_key key;
	struct dp_frag *val;

	frag_key(p, id, &key);
	val = bpf_map_lookup_elem(&frags, &key);
	if (!val)
		return DROP(p, FILE_FRAG, DROP_FRAG_NOT_FOUND);
	p->sport = val->sport;
	p->dport = val->dport;
	p->scope |= val->scope;
	/* The type of an ICMP message follows from the ports: icmp_ports(). */
	if (val->scope)
		p->icmp = (p->family == 4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY) << 8;
	else if (!val->dport)
		p->icmp = (p->family == 4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST) << 8;
	else
		p->icmp = bpf_ntohs(val->dport);
	return 0;
}
