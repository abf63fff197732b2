/* SPDX-License-Identifier: BSD-2-Clause */
/* Slow and obvious: does what the kernel is told of a filter let an event through? */
#pragma once

#include <netinet/in.h>

#include "model/filter.h"

static inline bool filter_has_bit(uint32_t bits, uint32_t bit)
{
	return !bits || (bit < 32 && bits >> bit & 1);
}

static inline bool filter_has_prefix(const struct prefix *p, const struct clite_event *e,
				     const uint8_t ip[16])
{
	struct prefix whole = { .family = (uint8_t)e->family, .len = e->family == 4 ? 32 : 128 };

	memcpy(whole.ip, ip, sizeof(whole.ip));
	return !p->family || (p->family == e->family && prefix_contains(p, &whole));
}

static inline bool filter_has(const struct filter_kernel *k, const struct clite_event *e)
{
	bool turned = e->type == CLITE_EVENT_TRACE && e->trace_reason == 2 && e->direction;
	bool ports = e->has_ports && (e->protocol == IPPROTO_TCP || e->protocol == IPPROTO_UDP ||
				      e->protocol == IPPROTO_SCTP);

	return filter_has_bit(k->types, e->type) && filter_has_bit(k->verdicts, e->verdict) &&
	       filter_has_bit(k->replies, e->is_reply) &&
	       filter_has_bit(k->directions, turned ? 3 - e->direction : e->direction) &&
	       filter_has_bit(k->families, e->family) &&
	       (!k->drop_reason || k->drop_reason == e->drop_reason) &&
	       (e->tcp_flags & k->tcp_flags) == k->tcp_flags &&
	       (!k->has_source_identity || k->source_identity == e->source_identity) &&
	       (!k->has_destination_identity ||
		k->destination_identity == e->destination_identity) &&
	       (!k->has_source_port || (ports && k->source_port == e->source_port)) &&
	       (!k->has_destination_port ||
		(ports && k->destination_port == e->destination_port)) &&
	       (!k->protocol || k->protocol == e->protocol) &&
	       filter_has_prefix(&k->source, e, e->source) &&
	       filter_has_prefix(&k->destination, e, e->destination);
}
