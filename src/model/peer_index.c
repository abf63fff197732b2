/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/peer_index.h"

#include <cilium-lite/policy.h>

#include <stdlib.h>

/* ---- hashes (FNV-1a); two of one value cost a look at a rule, no more ---------- */

enum tag { TAG_LABEL, TAG_KEY, TAG_PREFIX, TAG_ENTITY, TAG_IDENTITY };

static uint32_t hash_begin(enum tag tag)
{
	return (2166136261u ^ (uint32_t)tag) * 16777619u;
}

static uint32_t hash_bytes(uint32_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

static uint32_t hash_label(const char *key, const char *value)
{
	return hash_bytes(hash_bytes(hash_begin(TAG_LABEL), key, strlen(key) + 1), value,
			  strlen(value));
}

static uint32_t hash_key(const char *key)
{
	return hash_bytes(hash_begin(TAG_KEY), key, strlen(key));
}

/* The first len bits of an address. */
static uint32_t hash_prefix(uint8_t family, const uint8_t ip[16], uint8_t len)
{
	uint8_t bytes[18] = { family, len };

	memcpy(bytes + 2, ip, len / 8);
	if (len % 8)
		bytes[2 + len / 8] = ip[len / 8] & (uint8_t)(0xff << (8 - len % 8));
	return hash_bytes(hash_begin(TAG_PREFIX), bytes, sizeof(bytes));
}

static uint32_t hash_number(enum tag tag, uint32_t v)
{
	return hash_bytes(hash_begin(tag), &v, sizeof(v));
}

/* ---- rules ----------------------------------------------------------------------- */

/* Where a peer stands. */
struct place {
	uint32_t rule, peer, req;
};

static int add(struct peer_index *x, uint32_t hash, struct place at)
{
	if (!array_grow(&x->v, &x->cap, x->n))
		return -ENOMEM;
	x->v[x->n++] = (struct peer_index_entry){ hash, at.rule, at.peer, at.req };
	return 0;
}

static int add_always(struct peer_index *x, struct place at)
{
	if (!array_grow(&x->always, &x->always_cap, x->nalways))
		return -ENOMEM;
	x->always[x->nalways++] = (struct peer_index_entry){ 0, at.rule, at.peer, 0 };
	return 0;
}

/* One requirement that names what must be there is enough to find it by: which one is
 * chosen when all are there. */
static int add_selector(struct peer_index *x, struct place at, const struct selector *s)
{
	const struct requirement *exists = NULL;
	bool in = false;

	for (size_t i = 0; i < s->nreqs; i++) {
		const struct requirement *q = &s->reqs[i];
		int r = 0;

		if (q->op == CLITE_OP_EXISTS)
			exists = q;
		if (q->op != CLITE_OP_IN)
			continue;
		in = true;
		at.req = (uint32_t)i;
		for (size_t k = 0; !r && k < q->nvalues; k++)
			r = add(x, hash_label(q->key, q->values[k]), at);
		if (r)
			return r;
	}
	if (in)
		return 0;
	return exists ? add(x, hash_key(exists->key), at) : add_always(x, at);
}

static int add_peer(struct peer_index *x, struct place at, const struct peer *p)
{
	switch (p->kind) {
	case CLITE_PEER_ENDPOINTS:
		return add_selector(x, at, &p->selector);
	case CLITE_PEER_CIDR:
		if (!p->cidr.len) /* the world, too */
			return add_always(x, at);
		x->lengths[p->cidr.family == 6][p->cidr.len] = true;
		return add(x, hash_prefix(p->cidr.family, p->cidr.ip, p->cidr.len), at);
	case CLITE_PEER_ENTITY:
		return add(x, hash_number(TAG_ENTITY, p->entity), at);
	case PEER_IDENTITY:
		return add(x, hash_number(TAG_IDENTITY, p->identity), at);
	}
	return 0; /* nobody is selected by it */
}

int peer_index_add(struct peer_index *x, uint32_t number, const struct rule *r)
{
	int ret = 0;

	if (r->any_peer)
		return 0;
	for (size_t i = 0; !ret && i < r->npeers; i++)
		ret = add_peer(x, (struct place){ number, (uint32_t)i, 0 }, &r->peers[i]);
	return ret;
}

static int entry_cmp(const void *a, const void *b)
{
	const struct peer_index_entry *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	return x->peer < y->peer ? -1 : x->peer > y->peer;
}

static int number_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The first that is not less. */
static size_t bound(const uint32_t *hashes, size_t n, uint64_t hash)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (hashes[mid] < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool one_peer(const struct peer_index_entry *a, const struct peer_index_entry *b)
{
	return a->rule == b->rule && a->peer == b->peer;
}

/* Of each selector's requirements keep the one whose values the fewest others name: a
 * namespace that all rules name finds nobody in particular. Entries still stand in the
 * order in which they came. */
static void choose(struct peer_index *x, const uint32_t *hashes)
{
	size_t n = x->n, kept = 0, i = 0;

	while (i < n) {
		struct peer_index_entry peer = x->v[i];
		size_t best = i, end = i, least = SIZE_MAX;

		while (i < n && one_peer(&x->v[i], &peer)) {
			size_t from = i, others = 0;
			uint32_t req = x->v[i].req;

			for (; i < n && one_peer(&x->v[i], &peer) && x->v[i].req == req; i++)
				others += bound(hashes, n, (uint64_t)x->v[i].hash + 1) -
					  bound(hashes, n, x->v[i].hash);
			if (others < least) {
				least = others;
				best = from;
				end = i;
			}
		}
		memmove(&x->v[kept], &x->v[best], (end - best) * sizeof(*x->v));
		kept += end - best;
	}
	x->n = kept;
}

int peer_index_sort(struct peer_index *x)
{
	_cleanup_free_ uint32_t *hashes = NULL;

	if (!x->n)
		return 0;
	hashes = calloc(x->n, sizeof(*hashes));
	if (!hashes)
		return -ENOMEM;
	for (size_t i = 0; i < x->n; i++)
		hashes[i] = x->v[i].hash;
	qsort(hashes, x->n, sizeof(*hashes), number_cmp);
	choose(x, hashes);
	qsort(x->v, x->n, sizeof(*x->v), entry_cmp);
	return 0;
}

void peer_index_clear(struct peer_index *x)
{
	free(x->v);
	free(x->always);
	*x = (struct peer_index){};
}

/* ---- identities -------------------------------------------------------------------- */

struct found {
	const struct rule *const *rules;
	const struct identity *id;
	uint32_t *v;
	size_t n, cap;
	bool failed;
};

static void ask(struct found *f, const struct peer_index_entry *e)
{
	const struct rule *r = f->rules[e->rule];

	/* one peer is enough */
	if (f->n && f->v[f->n - 1] == e->rule)
		return;
	if (!peer_selects(&r->peers[e->peer], f->id) || !rule_admits(r, f->id))
		return;
	if (!array_grow(&f->v, &f->cap, f->n))
		f->failed = true;
	else
		f->v[f->n++] = e->rule;
}

static void look(const struct peer_index *x, uint32_t hash, struct found *f)
{
	size_t lo = 0, hi = x->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (x->v[mid].hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < x->n && x->v[lo].hash == hash; lo++)
		ask(f, &x->v[lo]);
}

int peer_index_find(const struct peer_index *x, const struct rule *const *rules,
		    const struct identity *id, uint32_t **ret, size_t *ret_n)
{
	const struct prefix *p = &id->cidr;
	struct found f = { .rules = rules, .id = id };
	size_t n = 0;

	for (size_t i = 0; i < x->nalways; i++)
		ask(&f, &x->always[i]);
	for (size_t i = 0; i < id->labels.n; i++) {
		look(x, hash_label(id->labels.l[i].key, id->labels.l[i].value), &f);
		look(x, hash_key(id->labels.l[i].key), &f);
	}
	for (unsigned int len = 1; p->family && len <= p->len; len++)
		if (x->lengths[p->family == 6][len])
			look(x, hash_prefix(p->family, p->ip, (uint8_t)len), &f);
	for (unsigned int e = 0; e < ENTITY_COUNT_; e++)
		look(x, hash_number(TAG_ENTITY, e), &f);
	look(x, hash_number(TAG_IDENTITY, id->id), &f);
	if (f.failed) {
		free(f.v);
		return -ENOMEM;
	}
	if (f.n)
		qsort(f.v, f.n, sizeof(*f.v), number_cmp);
	for (size_t i = 0; i < f.n; i++)
		if (!n || f.v[n - 1] != f.v[i])
			f.v[n++] = f.v[i];
	*ret = f.v;
	*ret_n = n;
	return 0;
}
