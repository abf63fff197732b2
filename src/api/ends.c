/* SPDX-License-Identifier: BSD-2-Clause */
#include "api/ends.h"

#include <cilium-lite/identity.h>

static const struct endpoint *endpoint_at(const struct state *st, const struct prefix *address)
{
	for (size_t i = 0; i < st->neps; i++)
		if (!prefix_cmp(&st->eps[i]->v4, address) || !prefix_cmp(&st->eps[i]->v6, address))
			return st->eps[i];
	return NULL;
}

/* What the user says of an address, by the longest prefix. */
static const struct identity *user_says(const struct state *st, const struct prefix *address,
					uint8_t *len)
{
	const struct ipcache_user *best = NULL;

	for (size_t i = 0; i < st->nuser; i++)
		if (prefix_contains(&st->user[i].prefix, address) &&
		    (!best || st->user[i].prefix.len > best->prefix.len))
			best = &st->user[i];
	if (!best)
		return NULL;
	*len = best->prefix.len;
	return identities_get(&st->ids, best->identity);
}

/* The longest prefix of an address that a policy in force names. */
static const struct identity *cidr_of(const struct state *st, const struct prefix *address)
{
	const struct identity *best = NULL;

	for (size_t i = 0; i < st->ids.n; i++) {
		const struct identity *id = st->ids.v[i];

		if (id->cidr.family && prefix_contains(&id->cidr, address) &&
		    (!best || id->cidr.len > best->cidr.len))
			best = id;
	}
	return best;
}

static bool is_outside(uint32_t identity)
{
	return !identity || identity == CLITE_ID_WORLD || identity == CLITE_ID_WORLD_IPV4 ||
	       identity == CLITE_ID_WORLD_IPV6 || identity >= 1u << 24;
}

/* The candidate may name prefixes that nobody has named yet. So somebody outside is
 * the prefix of his own address: that is inside of the same prefixes. */
void end_find(const struct state *st, const struct prefix *address, uint32_t said,
	      struct end *ret)
{
	const struct identity *user, *cidr;
	uint8_t len = 0;

	*ret = (struct end){ .ep = endpoint_at(st, address) };
	if (ret->ep) {
		ret->identity = ret->ep->identity;
		return;
	}
	user = user_says(st, address, &len);
	cidr = cidr_of(st, address);
	if (user && (!cidr || len >= cidr->cidr.len)) {
		ret->identity = user;
		return;
	}
	if (!is_outside(said)) {
		ret->identity = identities_get(&st->ids, said);
		if (ret->identity)
			return;
	}
	if (!cidr)
		cidr = identities_get(&st->ids, address->family == 4 ? CLITE_ID_WORLD_IPV4 :
								       CLITE_ID_WORLD_IPV6);
	ret->outside = *cidr;
	ret->outside.cidr = *address;
	ret->identity = &ret->outside;
}
