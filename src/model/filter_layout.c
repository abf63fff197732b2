/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/filter_layout.h"

#include <arpa/inet.h>

/* Of what says nothing, everything holds. */
static uint8_t bits(uint32_t wanted)
{
	return wanted ? (uint8_t)wanted : 0xff;
}

static void put_prefix(const struct prefix *p, union dp_ip *ip, union dp_ip *mask)
{
	if (!p->family)
		return;
	for (unsigned int i = 0; i < p->len; i++)
		mask->b[i / 8] |= (uint8_t)(0x80 >> i % 8);
	for (size_t i = 0; i < sizeof(ip->b); i++)
		ip->b[i] = p->ip[i] & mask->b[i];
}

static void put_ends(const struct filter_kernel *k, struct dp_filter *w)
{
	put_prefix(&k->source, &w->source, &w->source_mask);
	put_prefix(&k->destination, &w->destination, &w->destination_mask);
	if (k->source.family)
		w->families &= (uint8_t)(1 << k->source.family);
	if (k->destination.family)
		w->families &= (uint8_t)(1 << k->destination.family);
	if (k->has_source_identity)
		w->fields |= DP_FILTER_SOURCE_IDENTITY;
	if (k->has_destination_identity)
		w->fields |= DP_FILTER_DESTINATION_IDENTITY;
	if (k->has_source_port)
		w->fields |= DP_FILTER_SOURCE_PORT;
	if (k->has_destination_port)
		w->fields |= DP_FILTER_DESTINATION_PORT;
	w->source_identity = k->source_identity;
	w->destination_identity = k->destination_identity;
	w->source_port = htons(k->source_port);
	w->destination_port = htons(k->destination_port);
}

static void put_alternative(const struct filter_kernel *k, struct dp_filter *w)
{
	*w = (struct dp_filter){
		.types = bits(k->types),
		.verdicts = bits(k->verdicts),
		.replies = bits(k->replies),
		.directions = bits(k->directions),
		.families = bits(k->families),
		.tcp_flags = (uint8_t)k->tcp_flags,
		.protocol = k->protocol,
		.drop_reason = (uint8_t)k->drop_reason,
	};
	if (k->protocol)
		w->fields |= DP_FILTER_PROTOCOL;
	if (k->drop_reason && k->drop_reason <= UINT8_MAX)
		w->fields |= DP_FILTER_DROP_REASON;
	put_ends(k, w);
}

/* Is there more to ask than the type of an event? */
static bool asks(const struct dp_filter *w)
{
	struct dp_filter none = {
		.types = w->types,
		.verdicts = 0xff,
		.replies = 0xff,
		.directions = 0xff,
		.families = 0xff,
	};

	return memcmp(w, &none, sizeof(none)) != 0;
}

/* Only drops and denied verdicts are dropped. */
static uint32_t types_of(const struct dp_filter *w)
{
	uint32_t types = w->types;

	if (!(w->verdicts & 1u << CLITE_VERDICT_FORWARDED) || w->fields & DP_FILTER_DROP_REASON)
		types &= ~(1u << DP_EV_TRACE);
	if (!(w->verdicts & 1u << CLITE_VERDICT_DROPPED))
		types &= ~(1u << DP_EV_DROP);
	return types;
}

size_t filters_layout(const struct filters *fs, struct dp_filters *ret, uint32_t *ret_types)
{
	struct filter_kernel k[DP_FILTERS] = {};
	size_t n = filters_kernel(fs, k, DP_FILTERS);
	bool more = false;

	*ret_types = 0;
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < n; i++) {
		put_alternative(&k[i], &ret->v[i]);
		*ret_types |= types_of(&ret->v[i]);
		more |= asks(&ret->v[i]);
	}
	return more ? n : 0;
}
