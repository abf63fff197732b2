/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/masquerade.h>

#include "api/ctx.h"

#define MASQUERADE_FLAGS (CLITE_MASQUERADE_IPV4 | CLITE_MASQUERADE_IPV6)

int clite_masquerade_set(struct clite_ctx *ctx, const struct clite_masquerade *opts)
{
	_cleanup_free_ struct prefix *exclude = NULL;
	struct masquerade m = {};
	struct clite_masquerade o;
	int r;

	if (!ctx || !opts || opts_copy(&o, sizeof(o), opts))
		return -EINVAL;
	r = ctx_begin(ctx);
	if (r)
		return r;
	if (o.flags & ~MASQUERADE_FLAGS || o.reserved)
		r = err_set(&ctx->err, EINVAL, "flags 0x%x: only 0x%x are known, and reserved is 0",
			    o.flags, MASQUERADE_FLAGS);
	if (!r)
		r = prefixes_parse(o.exclude, "exclusion", &exclude, &m.n, &ctx->err);
	if (!r) {
		m.exclude = exclude;
		m.v4 = o.flags & CLITE_MASQUERADE_IPV4;
		m.v6 = o.flags & CLITE_MASQUERADE_IPV6;
		r = masquerade_set(&ctx->st, &m, &ctx->err);
		if (!r)
			exclude = NULL; /* the state's now */
	}
	return ctx_end(ctx, r);
}

/* With all that it points to, in one piece of memory. */
struct masquerade_lent {
	struct clite_masquerade info;
	const char *exclude[];
};

int clite_masquerade_get(struct clite_ctx *ctx, const struct clite_masquerade **ret)
{
	const struct masquerade *m;
	struct masquerade_lent *l;
	char *texts;
	int r = ret ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	m = &ctx->st.masquerade;
	l = calloc(1, sizeof(*l) + (m->n + 1) * sizeof(*l->exclude) + m->n * PREFIX_STR);
	r = ctx_lend(ctx, l);
	if (r)
		return r;
	texts = (char *)&l->exclude[m->n + 1];
	for (size_t i = 0; i < m->n; i++)
		l->exclude[i] = prefix_format(&m->exclude[i], texts + i * PREFIX_STR);
	l->info = (struct clite_masquerade){
		.sz = sizeof(l->info),
		.flags = (m->v4 ? CLITE_MASQUERADE_IPV4 : 0) | (m->v6 ? CLITE_MASQUERADE_IPV6 : 0),
		.exclude = l->exclude,
	};
	*ret = &l->info;
	return 0;
}
