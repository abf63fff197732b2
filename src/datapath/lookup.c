/* SPDX-License-Identifier: BSD-2-Clause */
/* What each event asks the state for, found without going through all of it. Made when
 * first asked for, dropped with each change. */
#include "datapath/state.h"

/* Rules of a part are numbered in a row. */
struct span {
	const struct policy *policy;
	const struct part *part;
	uint32_t first;
};

struct lookup {
	struct service **services; /* by hash of what they are reached by; NULL: free */
	size_t mask;
	struct span *spans; /* by first number */
	size_t nspans;
};

void lookup_drop(struct state *st)
{
	if (!st->lookup)
		return;
	free(st->lookup->services);
	free(st->lookup->spans);
	free(st->lookup);
	st->lookup = NULL;
}

/* ---- services ------------------------------------------------------------------------ */

static size_t hash_of(const uint8_t ip[16], uint16_t port, uint8_t protocol)
{
	uint64_t halves[2], h;

	memcpy(halves, ip, sizeof(halves));
	h = (halves[0] ^ (uint64_t)port << 16 ^ protocol) * 0x9e3779b97f4a7c15ull;
	h = (h ^ h >> 32 ^ halves[1]) * 0x9e3779b97f4a7c15ull;
	return (size_t)(h >> 32);
}

static int hash_services(const struct state *st, struct lookup *l)
{
	size_t size = 1;

	while (size < 2 * st->nservices + 1)
		size *= 2;
	l->mask = size - 1;
	l->services = calloc(size, sizeof(*l->services));
	if (!l->services)
		return -ENOMEM;
	for (size_t i = 0; i < st->nservices; i++) {
		struct service *s = st->services[i];
		size_t at = hash_of(s->ip.ip, s->port, s->protocol);

		while (l->services[at & l->mask])
			at++;
		l->services[at & l->mask] = s;
	}
	return 0;
}

/* ---- rules --------------------------------------------------------------------------- */

static int by_first(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static int sort_rules(const struct state *st, struct lookup *l)
{
	size_t cap = 0;

	for (size_t i = 0; i < st->npolicies; i++)
		for (size_t j = 0; j < st->policies[i]->nparts; j++) {
			const struct part *part = &st->policies[i]->parts[j];

			if (!part->nrules)
				continue;
			if (!array_grow(&l->spans, &cap, l->nspans))
				return -ENOMEM;
			l->spans[l->nspans++] = (struct span){
				.policy = st->policies[i],
				.part = part,
				.first = part->rules[0].cookie,
			};
		}
	if (l->nspans)
		qsort(l->spans, l->nspans, sizeof(*l->spans), by_first);
	return 0;
}

/* ---- asking -------------------------------------------------------------------------- */

/* NULL: no memory. */
static const struct lookup *lookup_get(struct state *st)
{
	if (st->lookup)
		return st->lookup;
	st->lookup = calloc(1, sizeof(*st->lookup));
	if (st->lookup && (hash_services(st, st->lookup) || sort_rules(st, st->lookup)))
		lookup_drop(st);
	return st->lookup;
}

const struct service *lookup_service(struct state *st, uint32_t family, const uint8_t ip[16],
				     uint16_t port, uint32_t protocol)
{
	const struct lookup *l = lookup_get(st);
	size_t at = hash_of(ip, port, (uint8_t)protocol);
	const struct service *s;

	if (!l)
		return NULL;
	while ((s = l->services[at++ & l->mask]))
		if (s->port == port && s->protocol == protocol && s->ip.family == family &&
		    !memcmp(s->ip.ip, ip, sizeof(s->ip.ip)))
			return s;
	return NULL;
}

const struct rule *lookup_rule(struct state *st, uint32_t cookie, const struct policy **ret_policy)
{
	const struct lookup *l = lookup_get(st);
	size_t lo = 0, hi = l ? l->nspans : 0;
	const struct span *s;

	/* the last that begins at or before it */
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (l->spans[mid].first <= cookie)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!cookie || !lo)
		return NULL;
	s = &l->spans[lo - 1];
	if (cookie - s->first >= s->part->nrules)
		return NULL;
	*ret_policy = s->policy;
	return &s->part->rules[cookie - s->first];
}
