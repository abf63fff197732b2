/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/policy.h>
#include <netinet/in.h>
#include <stdio.h>

#include "api/ctx.h"
#include "api/rules.h"
#include "api/txn.h"
#include "model/lint.h"
#ifdef HAVE_YAML
#include "model/document.h"
#endif

/* ---- transactions: a list of changes, applied to the policies of the moment --- */

struct change {
	char *name;
	struct policy *policy; /* NULL: delete */
};

struct clite_txn {
	struct clite_ctx *ctx; /* a reference */
	struct change *changes; /* the last of a name counts */
	size_t n, cap;
};

static int txn_enter(struct clite_txn *txn)
{
	return txn ? ctx_enter(txn->ctx) : -EINVAL;
}

int clite_txn_new(struct clite_ctx *ctx, struct clite_txn **ret)
{
	int r = ret ? ctx_enter(ctx) : -EINVAL;
	struct clite_txn *txn;

	if (r)
		return r;
	txn = calloc(1, sizeof(*txn));
	if (!txn)
		return -ENOMEM;
	txn->ctx = clite_ref(ctx);
	*ret = txn;
	return 0;
}

static void changes_clear(struct clite_txn *txn)
{
	for (size_t i = 0; i < txn->n; i++) {
		free(txn->changes[i].name);
		policy_free(txn->changes[i].policy);
	}
	txn->n = 0;
}

struct clite_txn *clite_txn_free(struct clite_txn *txn)
{
	if (!txn)
		return NULL;
	changes_clear(txn);
	free(txn->changes);
	clite_close(txn->ctx);
	free(txn);
	return NULL;
}

/* Takes the policy over on success. */
static int change_add(struct clite_txn *txn, const char *name, struct policy *policy)
{
	char *copy;

	if (!array_grow(&txn->changes, &txn->cap, txn->n))
		return -ENOMEM;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	txn->changes[txn->n++] = (struct change){ copy, policy };
	return 0;
}

static const struct change *change_find(const struct clite_txn *txn, const char *name)
{
	for (size_t i = txn->n; i--;)
		if (!strcmp(txn->changes[i].name, name))
			return &txn->changes[i];
	return NULL;
}

int clite_txn_policy_put(struct clite_txn *txn, const char *name,
			 const struct clite_policy_part *const *parts, size_t nparts)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	int r = name ? txn_enter(txn) : -EINVAL;

	if (r)
		return r;
	r = rules_read(name, parts, nparts, &p, &txn->ctx->err);
	if (!r)
		r = change_add(txn, name, p);
	if (!r)
		p = NULL;
	return r;
}

int clite_txn_policy_delete(struct clite_txn *txn, const char *name)
{
	const struct change *c;
	int r = txn && name ? ctx_read(txn->ctx) : -EINVAL;

	if (r)
		return r;
	c = change_find(txn, name);
	if (c ? !c->policy : !state_policy(&txn->ctx->st, name))
		return err_set(&txn->ctx->err, ENOENT, "there is no policy '%s'", name);
	return change_add(txn, name, NULL);
}

/* ---- import --------------------------------------------------------------------- */

#ifdef HAVE_YAML
static char *default_name(const struct clite_import_opts *o)
{
	const char *base, *dot;

	if (o->name)
		return strdup(o->name);
	if (!o->filename)
		return strdup("memory");
	base = strrchr(o->filename, '/');
	base = base ? base + 1 : o->filename;
	dot = strrchr(base, '.');
	return dot && dot != base ? strndup(base, dot - base) : strdup(base);
}

static int documents(const char *text, size_t len, const struct clite_import_opts *opts,
		     struct policy ***ret, size_t *ret_n, struct errtext *err)
{
	_cleanup_free_ char *name = NULL;
	struct document_limits limits;
	struct clite_import_opts o;

	if (opts_copy(&o, sizeof(o), opts))
		return err_set(err, EINVAL, "not a struct clite_import_opts of this library");
	name = default_name(&o);
	if (!name)
		return -ENOMEM;
	limits = (struct document_limits){ o.max_bytes, o.max_values, o.max_depth };
	return document_read_limited(text, len, &limits, o.filename ?: "<memory>", name, ret, ret_n,
				     err);
}
#else
static int documents(const char *text, size_t len, const struct clite_import_opts *opts,
		     struct policy ***ret, size_t *ret_n, struct errtext *err)
{
	(void)text, (void)len, (void)opts, (void)ret, (void)ret_n;
	return err_set(err, CLITE_EUNSUPPORTED,
		       "this library was built without libyaml and reads no documents");
}
#endif

/* Two documents of a name, one of which would be lost without a word. */
static int check_again(struct clite_txn *txn, size_t n, const struct policy *p)
{
	for (size_t i = n; i--;) {
		const struct policy *other = txn->changes[i].policy;

		if (strcmp(txn->changes[i].name, p->name))
			continue;
		if (!other || other->kind == POLICY_STRUCTS)
			return 0;
		return err_set(&txn->ctx->err, EEXIST,
			       "%s: the %s '%s' is in the transaction already as the %s of %s: one name, one policy",
			       p->filename, policy_kind_name(p->kind), p->name,
			       policy_kind_name(other->kind), other->filename);
	}
	return 0;
}

int clite_txn_policy_import(struct clite_txn *txn, const char *text, size_t len,
			    const struct clite_import_opts *opts)
{
	struct policy **policies = NULL;
	size_t n = 0, before;
	int r = text ? txn_enter(txn) : -EINVAL;

	if (r)
		return r;
	before = txn->n;
	r = documents(text, len, opts, &policies, &n, &txn->ctx->err);
	for (size_t i = 0; !r && i < n; i++)
		r = check_again(txn, before, policies[i]);
	for (size_t i = 0; i < n; i++) {
		if (!r)
			r = change_add(txn, policies[i]->name, policies[i]);
		if (!r)
			policies[i] = NULL;
		policy_free(policies[i]);
	}
	free(policies);
	if (r)
		while (txn->n > before) {
			txn->n--;
			free(txn->changes[txn->n].name);
			policy_free(txn->changes[txn->n].policy);
		}
	return r ?: (int)n;
}

int clite_policy_validate(const char *text, size_t len, const struct clite_import_opts *opts,
			  char *errbuf, size_t errbuf_size)
{
	struct policy **policies = NULL;
	struct errtext err = {};
	size_t n = 0;
	int r;

	if (!text || (!errbuf && errbuf_size))
		return -EINVAL;
	r = documents(text, len, opts, &policies, &n, &err);
	if (r && errbuf_size)
		snprintf(errbuf, errbuf_size, "%s", err.text ?: clite_strerror(r));
	for (size_t i = 0; i < n; i++)
		policy_free(policies[i]);
	free(policies);
	err_clear(&err);
	return r ?: (int)n;
}

/* ---- commit --------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct policy *const *)a)->name, (*(struct policy *const *)b)->name);
}

struct clite_ctx *txn_ctx(const struct clite_txn *txn)
{
	return txn->ctx;
}

static int change_order(const void *a, const void *b)
{
	const struct change *x = *(const struct change *const *)a;
	const struct change *y = *(const struct change *const *)b;
	int r = strcmp(x->name, y->name);

	return r ? r : (x > y) - (x < y);
}

/* The change of each name that counts, by name. */
static int last_changes(const struct clite_txn *txn, const struct change ***ret, size_t *ret_n)
{
	const struct change **v = calloc(txn->n ?: 1, sizeof(struct change *));
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < txn->n; i++)
		v[i] = &txn->changes[i];
	qsort(v, txn->n, sizeof(*v), change_order);
	for (size_t i = 0; i < txn->n; i++) {
		if (n && !strcmp(v[n - 1]->name, v[i]->name))
			n--;
		v[n++] = v[i];
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

static bool last_find(const struct change *const *v, size_t n, const char *name)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int r = strcmp(v[mid]->name, name);

		if (!r)
			return true;
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

int txn_list(const struct clite_txn *txn, struct policy ***ret, size_t *ret_n)
{
	_cleanup_free_ const struct change **last = NULL;
	const struct state *st = &txn->ctx->st;
	struct policy **list;
	size_t n = 0, nlast;
	int r = last_changes(txn, &last, &nlast);

	if (r)
		return r;
	list = calloc(st->npolicies + nlast ?: 1, sizeof(struct policy *));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < st->npolicies; i++)
		if (!last_find(last, nlast, st->policies[i]->name))
			list[n++] = st->policies[i];
	for (size_t i = 0; i < nlast; i++)
		if (last[i]->policy)
			list[n++] = last[i]->policy;
	if (n)
		qsort(list, n, sizeof(*list), by_name);
	*ret = list;
	*ret_n = n;
	return 0;
}

/* Was what a change replaces deleted before, in the same transaction? */
static bool deletes(const struct clite_txn *txn, const char *name)
{
	for (size_t i = 0; i < txn->n; i++)
		if (!txn->changes[i].policy && !strcmp(txn->changes[i].name, name))
			return true;
	return false;
}

static int check_kinds(struct clite_txn *txn, const struct change *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct policy *p = v[i]->policy, *old;

		old = p ? state_policy(&txn->ctx->st, p->name) : NULL;
		if (old && !policy_kind_replaces(p->kind, old->kind) && !deletes(txn, p->name))
			return err_set(&txn->ctx->err, EEXIST,
				       "%s: the %s '%s' would replace the %s of that name (%s): delete that first, or give one of them another name",
				       p->filename, policy_kind_name(p->kind), p->name,
				       policy_kind_name(old->kind), old->filename);
	}
	return 0;
}

int clite_txn_commit(struct clite_txn *txn)
{
	_cleanup_free_ const struct change **last = NULL;
	_cleanup_free_ struct policy **list = NULL;
	size_t n, nlast = 0;
	int r = txn ? ctx_begin(txn->ctx) : -EINVAL;

	if (r)
		return r;
	r = txn_list(txn, &list, &n);
	if (!r)
		r = last_changes(txn, &last, &nlast);
	if (!r)
		r = check_kinds(txn, last, nlast);
	if (!r)
		r = policies_commit(&txn->ctx->st, list, n, &txn->ctx->err);
	r = ctx_end(txn->ctx, r);
	if (r)
		return r;
	/* Those that count belong to the state now. */
	for (size_t i = 0; i < nlast; i++)
		((struct change *)last[i])->policy = NULL;
	changes_clear(txn);
	return (int)(txn->ctx->dp->control->revision & INT32_MAX);
}

/* ---- warnings --------------------------------------------------------------------- */

struct warnings {
	struct clite_ctx *ctx;
	const struct policy *policy;
	int (*cb)(const struct clite_warning *warning, void *userdata);
	void *userdata;
	int n;
};

static int warn(const struct remark *r, void *data)
{
	struct warnings *w = data;
	struct clite_warning warning = {
		.sz = sizeof(warning),
		.code = r->code,
		.policy = w->policy->name,
		.filename = w->policy->filename ?: "",
		.text = r->text,
	};
	int ret;

	if (r->rule) {
		warning.line = r->rule->line;
		warning.direction = r->rule->direction;
		warning.action = r->rule->action;
		warning.index = r->rule->index;
	}
	w->n++;
	ret = CTX_CALL(w->ctx, w->cb(&warning, w->userdata));
	return ret < 0 ? ret : 0;
}

static int warn_all(struct warnings *w, struct policy *const *policies, size_t n)
{
	_cleanup_(world_clear) struct world world = {};
	const struct state *st = &w->ctx->st;
	int r = world_make(st, &world);

	for (size_t i = 0; !r && i < n; i++) {
		w->policy = policies[i];
		r = policy_lint(w->policy, &world, &st->ids, st->parts, warn, w);
	}
	return r ?: w->n;
}

int clite_txn_warnings(struct clite_txn *txn,
		       int (*cb)(const struct clite_warning *warning, void *userdata),
		       void *userdata)
{
	_cleanup_free_ struct policy **list = NULL;
	struct warnings w = { .cb = cb, .userdata = userdata };
	int r = txn && cb ? ctx_read(txn->ctx) : -EINVAL;
	size_t n = 0;

	if (r)
		return r;
	w.ctx = txn->ctx;
	list = calloc(txn->n ?: 1, sizeof(struct policy *));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < txn->n; i++)
		if (txn->changes[i].policy &&
		    change_find(txn, txn->changes[i].name) == &txn->changes[i])
			list[n++] = txn->changes[i].policy;
	return warn_all(&w, list, n);
}

int clite_policy_warnings(struct clite_ctx *ctx, const char *name,
			  int (*cb)(const struct clite_warning *warning, void *userdata),
			  void *userdata)
{
	struct warnings w = { .ctx = ctx, .cb = cb, .userdata = userdata };
	struct policy *p;
	int r = ctx && cb ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	if (!name)
		return warn_all(&w, ctx->st.policies, ctx->st.npolicies);
	p = state_policy(&ctx->st, name);
	if (!p)
		return err_set(&ctx->err, ENOENT, "there is no policy '%s'", name);
	return warn_all(&w, &p, 1);
}

/* ---- one change in a transaction of its own ---------------------------------------- */

static int txn_end(struct clite_txn *txn, int ret)
{
	int r = ret < 0 ? ret : clite_txn_commit(txn);

	clite_txn_free(txn);
	return r < 0 ? r : ret;
}

int clite_policy_put(struct clite_ctx *ctx, const char *name,
		     const struct clite_policy_part *const *parts, size_t nparts)
{
	struct clite_txn *txn;
	int r = clite_txn_new(ctx, &txn);

	return r ?: txn_end(txn, clite_txn_policy_put(txn, name, parts, nparts));
}

int clite_policy_import(struct clite_ctx *ctx, const char *text, size_t len,
			const struct clite_import_opts *opts)
{
	struct clite_txn *txn;
	int r = clite_txn_new(ctx, &txn);

	return r ?: txn_end(txn, clite_txn_policy_import(txn, text, len, opts));
}

int clite_policy_delete(struct clite_ctx *ctx, const char *name)
{
	struct clite_txn *txn;
	int r = clite_txn_new(ctx, &txn);

	return r ?: txn_end(txn, clite_txn_policy_delete(txn, name));
}

/* ---- looking ----------------------------------------------------------------------- */

static bool policy_selects(const struct policy *p, const struct labels *l)
{
	for (size_t i = 0; i < p->nparts; i++)
		if (selector_matches(&p->parts[i].subject, l))
			return true;
	return false;
}

static struct clite_policy_info info_of(struct clite_ctx *ctx, const struct policy *p)
{
	struct clite_policy_info info = {
		.sz = sizeof(info),
		.name = p->name,
		.text = p->text,
		.filename = p->filename ?: "",
		.revision = p->revision,
		.rules = policy_rules(p),
	};

	for (size_t i = 0; i < ctx->st.neps; i++)
		info.endpoints += policy_selects(p, &ctx->st.eps[i]->identity->labels);
	return info;
}

int clite_policy_get(struct clite_ctx *ctx, const char *name, const struct clite_policy_info **ret)
{
	struct clite_policy_info *l;
	const struct policy *p;
	int r = ctx && name && ret ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	p = state_policy(&ctx->st, name);
	if (!p)
		return err_set(&ctx->err, ENOENT, "there is no policy '%s'", name);
	l = calloc(1, sizeof(*l));
	r = ctx_lend(ctx, l);
	if (r)
		return r;
	*l = info_of(ctx, p);
	*ret = l;
	return 0;
}

int clite_policy_list(struct clite_ctx *ctx,
		      int (*cb)(const struct clite_policy_info *info, void *userdata),
		      void *userdata)
{
	int r = cb ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	for (size_t i = 0; i < ctx->st.npolicies; i++) {
		struct clite_policy_info info = info_of(ctx, ctx->st.policies[i]);

		r = CTX_CALL(ctx, cb(&info, userdata));
		if (r < 0)
			return r;
	}
	return ctx->st.npolicies;
}

static const struct rule *rule_in(const struct policy *p, uint32_t cookie)
{
	for (size_t i = 0; i < p->nparts; i++) {
		const struct part *part = &p->parts[i];

		/* Numbered in a row. */
		if (part->nrules && cookie >= part->rules[0].cookie &&
		    cookie - part->rules[0].cookie < part->nrules)
			return &part->rules[cookie - part->rules[0].cookie];
	}
	return NULL;
}

static void rule_info(const struct policy *p, const struct rule *rule, struct clite_rule_info *ret)
{
	*ret = (struct clite_rule_info){
		.sz = sizeof(*ret),
		.policy = p->name,
		.filename = p->filename ?: "",
		.cookie = rule->cookie,
		.line = rule->line,
		.direction = rule->direction,
		.action = rule->action,
		.index = rule->index,
	};
}

bool rule_info_find(struct policy *const *policies, size_t n, uint32_t cookie,
		    struct clite_rule_info *ret)
{
	for (size_t i = 0; cookie && i < n; i++) {
		const struct rule *rule = rule_in(policies[i], cookie);

		if (!rule)
			continue;
		rule_info(policies[i], rule, ret);
		return true;
	}
	return false;
}

const struct clite_rule_info *ctx_rule(struct clite_ctx *ctx, uint32_t cookie)
{
	const struct policy *policy;
	const struct rule *rule = lookup_rule(&ctx->st, cookie, &policy);

	if (!rule)
		return NULL;
	rule_info(policy, rule, &ctx->rule);
	return &ctx->rule;
}

int clite_rule_get(struct clite_ctx *ctx, uint32_t cookie, const struct clite_rule_info **ret)
{
	const struct clite_rule_info *info;
	int r = ret ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	info = ctx_rule(ctx, cookie);
	if (!info)
		return err_set(&ctx->err, ENOENT, "there is no rule with cookie %u", cookie);
	*ret = info;
	return 0;
}
