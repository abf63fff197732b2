/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects of any size in one hash map. A blob lies in pieces under a generation
 * of its own; its head record says which generation is the valid one, so writing
 * the head is the one step that puts, and deleting it the one that deletes. */
#include <bpf/bpf.h>

#include "datapath/dp.h"

struct head {
	uint32_t gen;
	uint32_t len;
};

static uint32_t pieces(uint32_t len)
{
	return (len + DP_STORE_PIECE - 1) / DP_STORE_PIECE;
}

static void delete_pieces(struct dp *dp, enum store_kind kind, uint32_t id, const struct head *h)
{
	for (uint32_t i = 0; i < pieces(h->len); i++) {
		struct dp_store_key key = { kind, id, h->gen, i };

		dp_delete(dp, MAP_STORE, &key);
	}
}

static int get_head(struct dp *dp, enum store_kind kind, uint32_t id, struct head *ret)
{
	struct dp_store_key key = { kind, id, 0, 0 };
	struct dp_store_value v;
	int r = dp_lookup(dp, MAP_STORE, &key, &v);

	if (!r)
		memcpy(ret, v.bytes, sizeof(*ret));
	return r;
}

int store_put(struct dp *dp, enum store_kind kind, uint32_t id, const void *data, size_t len,
	      struct errtext *err)
{
	struct head old = {}, new = { .len = len };
	struct dp_store_key key = { kind, id, 0, 0 };
	struct dp_store_value v;
	int r;

	if (len > UINT32_MAX)
		return err_set(err, E2BIG, "an object of %zu bytes is too large", len);
	get_head(dp, kind, id, &old);
	new.gen = old.gen + 1 ?: 1;
	for (uint32_t i = 0; i < pieces(len); i++) {
		struct dp_store_key pk = { kind, id, new.gen, i };
		size_t at = (size_t)i * DP_STORE_PIECE, n = len - at;

		memset(&v, 0, sizeof(v));
		memcpy(v.bytes, (const char *)data + at, n < DP_STORE_PIECE ? n : DP_STORE_PIECE);
		r = dp_update(dp, MAP_STORE, &pk, &v, err);
		if (r) {
			new.len = i * DP_STORE_PIECE;
			delete_pieces(dp, kind, id, &new);
			return r;
		}
	}
	memset(&v, 0, sizeof(v));
	memcpy(v.bytes, &new, sizeof(new));
	r = dp_update(dp, MAP_STORE, &key, &v, err);
	delete_pieces(dp, kind, id, r ? &new : &old);
	return r;
}

int store_delete(struct dp *dp, enum store_kind kind, uint32_t id)
{
	struct dp_store_key key = { kind, id, 0, 0 };
	struct head h;
	int r = get_head(dp, kind, id, &h);

	if (r)
		return r == -ENOENT ? 0 : r;
	r = dp_delete(dp, MAP_STORE, &key);
	if (!r)
		delete_pieces(dp, kind, id, &h);
	return r;
}

/* ---- loading: all pieces at once, put together in memory ---------------- */

struct item {
	struct dp_store_key key;
	struct dp_store_value value;
};

struct items {
	struct item *v;
	size_t n, cap;
};

static int collect(const void *key, const void *value, void *data)
{
	struct items *it = data;

	if (!array_grow(&it->v, &it->cap, it->n))
		return -ENOMEM;
	memcpy(&it->v[it->n].key, key, sizeof(struct dp_store_key));
	memcpy(&it->v[it->n].value, value, sizeof(struct dp_store_value));
	it->n++;
	return 0;
}

static int item_cmp(const void *a, const void *b)
{
	const uint32_t *x = (const uint32_t *)&((const struct item *)a)->key;
	const uint32_t *y = (const uint32_t *)&((const struct item *)b)->key;

	for (int i = 0; i < 4; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

/* One object: items[0..n) share kind and id, the head comes first (gen 0). */
static int load_one(struct dp *dp, bool repair, const struct item *it, size_t n,
		    int (*cb)(enum store_kind, uint32_t, const char *, size_t, void *), void *arg)
{
	_cleanup_free_ char *blob = NULL;
	struct head h = {};
	size_t have = 0;

	if (it[0].key.gen == 0)
		memcpy(&h, it[0].value.bytes, sizeof(h));
	if (h.gen && h.len <= n * DP_STORE_PIECE) {
		blob = calloc(1, (size_t)pieces(h.len) * DP_STORE_PIECE + 1);
		if (!blob)
			return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		const struct dp_store_key *k = &it[i].key;

		if (k->gen == 0 && k->piece == 0)
			continue;
		if (blob && k->gen == h.gen && k->piece < pieces(h.len)) {
			memcpy(blob + (size_t)k->piece * DP_STORE_PIECE, it[i].value.bytes,
			       DP_STORE_PIECE);
			have++;
		} else if (repair) {
			dp_delete(dp, MAP_STORE, k);
		}
	}
	if (!blob || have != pieces(h.len))
		return 0; /* being written, or being deleted, by another */
	return cb(it[0].key.kind, it[0].key.id, blob, h.len, arg);
}

int store_load(struct dp *dp, bool repair,
	       int (*cb)(enum store_kind kind, uint32_t id, const char *data, size_t len, void *arg),
	       void *arg)
{
	struct items it = {};
	int r = dp_walk(dp, MAP_STORE, collect, &it);

	if (!r && it.n)
		qsort(it.v, it.n, sizeof(*it.v), item_cmp);
	for (size_t i = 0, j; !r && i < it.n; i = j) {
		for (j = i + 1; j < it.n && it.v[j].key.kind == it.v[i].key.kind &&
				it.v[j].key.id == it.v[i].key.id;
		     j++)
			;
		r = load_one(dp, repair, &it.v[i], j - i, cb, arg);
	}
	free(it.v);
	return r < 0 ? r : 0;
}
