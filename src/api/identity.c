/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/identity.h>

#include "api/ctx.h"

static struct clite_identity_info info_of(struct clite_ctx *ctx, const struct identity *id)
{
	uint32_t n = 0;

	for (size_t i = 0; i < ctx->st.neps; i++)
		n += ctx->st.eps[i]->identity == id;
	return (struct clite_identity_info){
		.sz = sizeof(struct clite_identity_info),
		.id = id->id,
		.endpoints = n,
		.labels = (const char *const *)id->labels.text,
	};
}

int clite_identity_get(struct clite_ctx *ctx, uint32_t id, const struct clite_identity_info **ret)
{
	const struct identity *found;
	struct clite_identity_info *l;
	int r = ret ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	found = identities_get(&ctx->st.ids, id);
	if (!found)
		return err_set(&ctx->err, ENOENT, "there is no identity %u", id);
	l = calloc(1, sizeof(*l));
	r = ctx_lend(ctx, l);
	if (r)
		return r;
	*l = info_of(ctx, found);
	*ret = l;
	return 0;
}

int clite_identity_list(struct clite_ctx *ctx,
			int (*cb)(const struct clite_identity_info *info, void *userdata),
			void *userdata)
{
	int r = cb ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	for (size_t i = 0; i < ctx->st.ids.n; i++) {
		struct clite_identity_info info = info_of(ctx, ctx->st.ids.v[i]);

		r = CTX_CALL(ctx, cb(&info, userdata));
		if (r < 0)
			return r;
	}
	return ctx->st.ids.n;
}

/* ---- ipcache ------------------------------------------------------------------ */

static const struct endpoint *endpoint_at(const struct state *st, const struct prefix *p)
{
	for (size_t i = 0; i < st->neps; i++)
		if (!prefix_cmp(&st->eps[i]->v4, p) || !prefix_cmp(&st->eps[i]->v6, p))
			return st->eps[i];
	return NULL;
}

static int prefix_arg(struct clite_ctx *ctx, const char *text, struct prefix *ret)
{
	if (prefix_parse(text, ret))
		return err_set(&ctx->err, EINVAL,
			       "'%s' is no address or prefix (or has bits beyond its length)", text);
	return 0;
}

static int user_set(struct clite_ctx *ctx, const char *text, uint32_t identity)
{
	const struct endpoint *e;
	struct prefix p;
	int r = prefix_arg(ctx, text, &p);

	if (r)
		return r;
	if (identity >= CLITE_ID_FIRST_CIDR)
		return err_set(&ctx->err, EINVAL,
			       "identity %u is a prefix's own: name a reserved one or a label set's",
			       identity);
	if (!identity || !identities_get(&ctx->st.ids, identity))
		return err_set(&ctx->err, ENOENT, "there is no identity %u", identity);
	e = endpoint_at(&ctx->st, &p);
	if (e)
		return err_set(&ctx->err, EEXIST, "%s is endpoint %u's", text, e->id);
	return ipcache_set(&ctx->st, &p, identity, &ctx->err);
}

int clite_ipcache_set(struct clite_ctx *ctx, const char *prefix, uint32_t identity)
{
	int r = ctx && prefix ? ctx_begin(ctx) : -EINVAL;

	return r ?: ctx_end(ctx, user_set(ctx, prefix, identity));
}

int clite_ipcache_unset(struct clite_ctx *ctx, const char *prefix)
{
	int r = ctx && prefix ? ctx_begin(ctx) : -EINVAL;
	struct prefix p;

	if (r)
		return r;
	r = prefix_arg(ctx, prefix, &p);
	return ctx_end(ctx, r ?: ipcache_unset(&ctx->st, &p, &ctx->err));
}

int clite_ipcache_get(struct clite_ctx *ctx, const char *address, uint32_t *ret_identity)
{
	const struct endpoint *e;
	struct dp_ipcache_key key;
	struct prefix p;
	uint32_t id;
	int r = ctx && address && ret_identity ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	if (addr_parse(address, &p))
		return err_set(&ctx->err, EINVAL, "'%s' is no address", address);
	e = endpoint_at(&ctx->st, &p);
	if (e) {
		*ret_identity = e->identity->id;
		return 0;
	}
	memset(&key, 0, sizeof(key));
	key.prefixlen = 32 + p.len;
	key.family = p.family;
	memcpy(key.ip.b, p.ip, sizeof(key.ip.b));
	if (dp_lookup(ctx->dp, MAP_IPCACHE, &key, &id))
		id = p.family == 4 ? CLITE_ID_WORLD_IPV4 : CLITE_ID_WORLD_IPV6;
	*ret_identity = id;
	return 0;
}

struct listing {
	struct clite_ctx *ctx;
	int (*cb)(const struct clite_ipcache_info *info, void *userdata);
	void *userdata;
	int n;
};

static int list_one(struct listing *l, const struct prefix *p, uint32_t identity, uint32_t endpoint,
		    uint32_t source)
{
	char text[PREFIX_STR];
	struct clite_ipcache_info info = {
		.sz = sizeof(info),
		.prefix = prefix_format(p, text),
		.identity = identity,
		.endpoint = endpoint,
		.source = source,
	};

	l->n++;
	return CTX_CALL(l->ctx, l->cb(&info, l->userdata));
}

static int list_prefix(const void *key, const void *value, void *data)
{
	const struct dp_ipcache_key *k = key;
	struct listing *l = data;
	struct prefix p = { .family = k->family, .len = k->prefixlen - 32 };
	uint32_t id;

	memcpy(p.ip, k->ip.b, sizeof(p.ip));
	memcpy(&id, value, sizeof(id));
	return list_one(l, &p, id, 0,
			id >= CLITE_ID_FIRST_CIDR ? CLITE_IPCACHE_CIDR : CLITE_IPCACHE_USER);
}

int clite_ipcache_list(struct clite_ctx *ctx,
		       int (*cb)(const struct clite_ipcache_info *info, void *userdata),
		       void *userdata)
{
	struct listing l = { ctx, cb, userdata, 0 };
	int r = cb ? ctx_read(ctx) : -EINVAL;

	for (size_t i = 0; !r && i < ctx->st.neps; i++) {
		const struct endpoint *e = ctx->st.eps[i];
		const struct prefix *p[] = { &e->v4, &e->v6 };

		for (int k = 0; r >= 0 && k < 2; k++)
			if (p[k]->family)
				r = list_one(&l, p[k], e->identity->id, e->id,
					     CLITE_IPCACHE_ENDPOINT);
		r = r < 0 ? r : 0;
	}
	if (!r)
		r = dp_walk(ctx->dp, MAP_IPCACHE, list_prefix, &l);
	return r < 0 ? r : l.n;
}
