/* SPDX-License-Identifier: BSD-2-Clause */
/* What each rule has decided: drops and flows that are over are counted by cookie in a
 * map of their own, those of running flows in the flow table. */
#include "api/ctx.h"
#include "api/txn.h"

struct hit {
	uint32_t cookie;
	struct dp_counter count;
	struct clite_rule_info info;
};

struct hits {
	struct hit *v; /* by cookie, one for each rule in force */
	size_t n, cap;
	uint32_t *dead; /* cookies of rules that are no more */
	size_t ndead, dead_cap;
};

static int hit_cmp(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;

	return x->cookie < y->cookie ? -1 : x->cookie > y->cookie;
}

static struct hit *hit_find(const struct hits *h, uint32_t cookie)
{
	struct hit key = { .cookie = cookie };

	return h->n ? bsearch(&key, h->v, h->n, sizeof(*h->v), hit_cmp) : NULL;
}

static void hit_add(struct hits *h, uint32_t cookie, uint64_t packets, uint64_t bytes)
{
	struct hit *hit = cookie ? hit_find(h, cookie) : NULL;

	if (!hit)
		return;
	hit->count.packets += packets;
	hit->count.bytes += bytes;
}

static int add_counted(const void *key, const void *value, void *data)
{
	const struct dp_counter *c = value;
	uint32_t cookie = *(const uint32_t *)key;
	struct hits *h = data;

	hit_add(h, cookie, c->packets, c->bytes);
	if (hit_find(h, cookie))
		return 0;
	if (!array_grow(&h->dead, &h->dead_cap, h->ndead))
		return -ENOMEM;
	h->dead[h->ndead++] = cookie;
	return 0;
}

static int add_flow(const void *key, const void *value, void *data)
{
	struct hits *h = data;
	struct dp_flow f;

	(void)key;
	memcpy(&f, value, sizeof(f));
	if (f.flags & DP_FLOW_REPLY)
		return 0;
	hit_add(h, f.egress_rule, f.packets, f.bytes);
	hit_add(h, f.ingress_rule, f.packets, f.bytes);
	return 0;
}

static int rules_collect(const struct state *st, struct hits *h)
{
	for (size_t i = 0; i < st->npolicies; i++) {
		const struct policy *p = st->policies[i];

		for (size_t j = 0; j < p->nparts; j++)
			for (size_t k = 0; k < p->parts[j].nrules; k++) {
				if (!array_grow(&h->v, &h->cap, h->n))
					return -ENOMEM;
				h->v[h->n++] = (struct hit){ .cookie = p->parts[j].rules[k].cookie };
			}
	}
	if (h->n)
		qsort(h->v, h->n, sizeof(*h->v), hit_cmp);
	return 0;
}

static void hits_clear(struct hits *h)
{
	free(h->v);
	free(h->dead);
}

static int call_for(struct clite_ctx *ctx, const struct hits *h, const struct policy *p,
		    int (*cb)(const struct clite_rule_hits *hits, void *userdata), void *userdata)
{
	struct policy *list[] = { (struct policy *)p };
	int n = 0;

	for (size_t j = 0; j < p->nparts; j++)
		for (size_t k = 0; k < p->parts[j].nrules; k++) {
			uint32_t cookie = p->parts[j].rules[k].cookie;
			const struct hit *hit = hit_find(h, cookie);
			struct clite_rule_info info;
			struct clite_rule_hits out = { .sz = sizeof(out), .rule = &info };
			int r;

			rule_info_find(list, 1, cookie, &info);
			if (hit) {
				out.packets = hit->count.packets;
				out.bytes = hit->count.bytes;
			}
			r = CTX_CALL(ctx, cb(&out, userdata));
			if (r < 0)
				return r;
			n++;
		}
	return n;
}

int clite_policy_hits(struct clite_ctx *ctx, const char *name,
		      int (*cb)(const struct clite_rule_hits *hits, void *userdata), void *userdata)
{
	_cleanup_(hits_clear) struct hits h = {};
	const struct policy *one = NULL;
	int r = ctx && cb ? ctx_read(ctx) : -EINVAL, n = 0;

	if (r)
		return r;
	if (name) {
		one = state_policy(&ctx->st, name);
		if (!one)
			return err_set(&ctx->err, ENOENT, "there is no policy '%s'", name);
	}
	r = rules_collect(&ctx->st, &h);
	if (!r)
		r = dp_walk(ctx->dp, MAP_FLOW4, add_flow, &h);
	if (!r)
		r = dp_walk(ctx->dp, MAP_FLOW6, add_flow, &h);
	if (!r)
		r = dp_walk(ctx->dp, MAP_HITS, add_counted, &h);
	if (r)
		return err_set(&ctx->err, -r, "cannot read the counts: %s", strerror(-r));
	/* Cookies are never used twice: nobody asks for these any more. */
	for (size_t i = 0; i < h.ndead; i++)
		dp_delete(ctx->dp, MAP_HITS, &h.dead[i]);
	for (size_t i = 0; i < ctx->st.npolicies; i++) {
		if (one && ctx->st.policies[i] != one)
			continue;
		r = call_for(ctx, &h, ctx->st.policies[i], cb, userdata);
		if (r < 0)
			return r;
		n += r;
	}
	return n;
}
