/* SPDX-License-Identifier: BSD-2-Clause */
/* A change of policy comes into force with one store.
 *
 * Everything new is built beside what is live: prefixes get identities, which the
 * live policies learn of first; rule sets get tables under numbers that nobody
 * uses; each endpoint's other slot gets the new numbers. Then the blobs are
 * written, and the epoch that names the live slot is switched. When no packet
 * that began before is left, the old tables go. A failure before the switch
 * takes everything new away again. */
#include <cilium-lite/policy.h>

#include "datapath/blob.h"
#include "datapath/state.h"

struct commit {
	struct state *st;
	struct policy **policies; /* the list to be in force */
	size_t npolicies;
	struct world world;
	struct prefix *prefixes; /* of all its rules, sorted, once each */
	size_t nprefixes, cap;
	struct choice {
		struct table *egress, *ingress;
		bool changed;
	} *choice; /* for each endpoint */
	uint32_t *added;    /* numbers of CIDR identities made */
	size_t nadded, added_cap;
	const struct settings *settings; /* that change with it, NULL: none */
	const struct endpoint *audit;	 /* whose audit mode does, NULL: nobody's */
};

/* ---- prefixes ---------------------------------------------------------------- */

static int prefix_order(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

static int prefix_put(struct commit *c, const struct prefix *p)
{
	if (!array_grow(&c->prefixes, &c->cap, c->nprefixes))
		return -ENOMEM;
	c->prefixes[c->nprefixes++] = *p;
	return 0;
}

/* Back ends that are no endpoints of ours are outside: they need identities. */
static int prefixes_of_service(struct commit *c, const struct peer *p)
{
	int r = 0;

	for (size_t i = 0; !r && i < c->world.nservices; i++) {
		const struct world_service *s = &c->world.services[i];

		if (!peer_means_service(p, s))
			continue;
		for (size_t b = 0; !r && b < s->nbackends; b++)
			if (!world_endpoint_of(&c->world, &s->backends[b]))
				r = prefix_put(c, &s->backends[b]);
	}
	return r;
}

static int prefixes_of_rule(struct commit *c, const struct rule *rule)
{
	int r = 0;

	for (size_t i = 0; !r && i < rule->npeers; i++) {
		const struct peer *p = &rule->peers[i];

		if (p->kind == PEER_SERVICE)
			r = prefixes_of_service(c, p);
		if (p->kind != CLITE_PEER_CIDR)
			continue;
		r = prefix_put(c, &p->cidr);
		for (size_t j = 0; !r && j < p->nexcept; j++)
			r = prefix_put(c, &p->except[j]);
	}
	return r;
}

static int prefixes_collect(struct commit *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->npolicies; i++)
		for (size_t j = 0; j < c->policies[i]->nparts; j++) {
			const struct part *part = &c->policies[i]->parts[j];

			for (size_t k = 0; k < part->nrules; k++) {
				int r = prefixes_of_rule(c, &part->rules[k]);

				if (r)
					return r;
			}
		}
	if (c->nprefixes)
		qsort(c->prefixes, c->nprefixes, sizeof(*c->prefixes), prefix_order);
	for (size_t i = 0; i < c->nprefixes; i++)
		if (!n || prefix_cmp(&c->prefixes[n - 1], &c->prefixes[i]))
			c->prefixes[n++] = c->prefixes[i];
	c->nprefixes = n;
	return 0;
}

static int prefixes_add(struct commit *c, struct errtext *err)
{
	for (size_t i = 0; i < c->nprefixes; i++) {
		const struct identity *id;
		int r;

		if (identities_find_cidr(&c->st->ids, &c->prefixes[i]))
			continue;
		if (!array_grow(&c->added, &c->added_cap, c->nadded))
			return -ENOMEM;
		r = cidr_add(c->st, &c->prefixes[i], err);
		if (r)
			return r;
		id = identities_find_cidr(&c->st->ids, &c->prefixes[i]);
		c->added[c->nadded++] = id->id;
	}
	return 0;
}

/* CIDR identities that no policy names any more. */
static void prefixes_sweep(struct commit *c)
{
	_cleanup_free_ uint32_t *gone = NULL;
	size_t n = 0, cap = 0;

	for (size_t i = 0; i < c->st->ids.n; i++) {
		const struct identity *id = c->st->ids.v[i];

		if (!id->cidr.family ||
		    (c->nprefixes && bsearch(&id->cidr, c->prefixes, c->nprefixes,
					     sizeof(*c->prefixes), prefix_order)))
			continue;
		if (!array_grow(&gone, &cap, n))
			return; /* the next commit sweeps again */
		gone[n++] = id->id;
	}
	cidrs_remove(c->st, gone, n);
}

/* ---- tables -------------------------------------------------------------------- */

static struct table *live_table(struct state *st, const struct endpoint *e, uint32_t direction)
{
	const struct dp_ep_slot *s = &st->dp->eps[e->id].slot[st->dp->control->epoch & 1];
	uint32_t number = direction == CLITE_EGRESS ? s->egress : s->ingress;

	return number ? state_table(st, number) : NULL;
}

/* Endpoints with one identity share their tables, unless they name ports or are
 * audited: look up each identity once. */
static int choose(struct commit *c, struct errtext *err)
{
	struct state *st = c->st;
	_cleanup_free_ struct choice **of = calloc(st->ids.n ?: 1, sizeof(struct choice *));

	c->choice = calloc(st->neps ?: 1, sizeof(*c->choice));
	if (!of || !c->choice)
		return -ENOMEM;
	for (size_t i = 0; i < st->neps; i++) {
		const struct endpoint *e = st->eps[i];
		struct choice *ch = &c->choice[i];
		struct choice *same = e->ports.n || e->audit ? NULL : of[e->identity->index];
		int r;

		if (same) {
			*ch = *same;
		} else {
			r = table_get(st, c->policies, c->npolicies, e, CLITE_EGRESS, &c->world,
				      &ch->egress, err);
			if (!r)
				r = table_get(st, c->policies, c->npolicies, e, CLITE_INGRESS,
					      &c->world, &ch->ingress, err);
			if (r)
				return r;
			if (!e->ports.n && !e->audit)
				of[e->identity->index] = ch;
		}
		ch->changed = ch->egress != live_table(st, e, CLITE_EGRESS) ||
			      ch->ingress != live_table(st, e, CLITE_INGRESS);
	}
	return 0;
}

/* Fill the slots that are not live. No packet reads them: the last commit has
 * waited for those. */
static void slots_write(struct commit *c)
{
	struct dp *dp = c->st->dp;
	uint32_t live = dp->control->epoch & 1;

	dp->eps[0].slot[!live] = dp->eps[0].slot[live];
	for (size_t i = 0; i < c->st->neps; i++) {
		struct dp_ep *ep = &dp->eps[c->st->eps[i]->id];
		const struct choice *ch = &c->choice[i];

		ep->slot[!live] = ep->slot[live];
		if (!ch->changed)
			continue;
		ep->slot[!live].gen = ep->slot[live].gen + 1 ?: 1;
		ep->slot[!live].egress = ch->egress ? ch->egress->number : 0;
		ep->slot[!live].ingress = ch->ingress ? ch->ingress->number : 0;
	}
}

static void slots_switch(struct commit *c)
{
	struct dp *dp = c->st->dp;
	uint32_t epoch = dp->control->epoch + 1;

	for (size_t i = 0; i < c->st->neps; i++) {
		const struct endpoint *e = c->st->eps[i];
		struct table *old[] = { live_table(c->st, e, CLITE_EGRESS),
					live_table(c->st, e, CLITE_INGRESS) };

		for (int k = 0; k < 2; k++)
			if (old[k])
				old[k]->refs--;
		if (c->choice[i].egress)
			c->choice[i].egress->refs++;
		if (c->choice[i].ingress)
			c->choice[i].ingress->refs++;
	}
	__atomic_store_n(&dp->control->epoch, epoch, __ATOMIC_RELEASE);
	dp_synchronize(dp);
	/* Both slots alike: what writes one of them later (an endpoint that goes)
	 * need not think of the other. */
	epoch &= 1;
	for (size_t i = 0; i < c->st->neps; i++) {
		struct dp_ep *ep = &dp->eps[c->st->eps[i]->id];

		ep->slot[!epoch] = ep->slot[epoch];
	}
}

/* ---- blobs --------------------------------------------------------------------- */

/* Numbers of blobs that are in use. The list and the state have so many policies that
 * one above them is free. */
struct numbers {
	bool *taken;
	uint32_t n, next;
};

static int numbers_make(const struct commit *c, struct numbers *ret)
{
	struct policy *const *lists[] = { c->st->policies, c->policies };
	size_t n[] = { c->st->npolicies, c->npolicies };
	struct numbers x = { .n = (uint32_t)(n[0] + n[1] + 2), .next = 1 };

	x.taken = calloc(x.n, sizeof(*x.taken));
	if (!x.taken)
		return -ENOMEM;
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < n[k]; i++)
			if (lists[k][i]->id < x.n)
				x.taken[lists[k][i]->id] = true;
	*ret = x;
	return 0;
}

/* A new policy gets the numbers of its rules and its blob. */
static int policy_store(struct commit *c, struct policy *p, struct numbers *x,
			struct errtext *err)
{
	_cleanup_buf_ struct buf b = {};
	int r;

	while (x->taken[x->next])
		x->next++;
	r = blob_policy_write(p, &b);
	if (!r)
		r = store_put(c->st->dp, STORE_POLICY, x->next, b.data, b.len, err);
	if (!r)
		p->id = x->next++;
	return r;
}

static bool is_old(const struct commit *c, const struct policy *p)
{
	for (size_t i = 0; i < c->st->npolicies; i++)
		if (c->st->policies[i] == p)
			return true;
	return false;
}

static int policies_store(struct commit *c, struct errtext *err)
{
	_cleanup_free_ uint32_t *list = calloc(c->npolicies ?: 1, sizeof(*list));
	struct numbers numbers = {};
	int r = list ? numbers_make(c, &numbers) : -ENOMEM;

	for (size_t i = 0; !r && i < c->npolicies; i++) {
		if (!c->policies[i]->id)
			r = policy_store(c, c->policies[i], &numbers, err);
		list[i] = c->policies[i]->id;
	}
	if (!r)
		r = store_put(c->st->dp, STORE_POLICIES, 0, list, c->npolicies * sizeof(*list),
			      err);
	free(numbers.taken);
	return r;
}

static void policies_unstore(struct commit *c)
{
	for (size_t i = 0; i < c->npolicies; i++)
		if (c->policies[i]->id && !is_old(c, c->policies[i])) {
			store_delete(c->st->dp, STORE_POLICY, c->policies[i]->id);
			c->policies[i]->id = 0;
		}
}

static int by_address(const void *a, const void *b)
{
	const struct policy *x = *(struct policy *const *)a, *y = *(struct policy *const *)b;

	return (uintptr_t)x < (uintptr_t)y ? -1 : (uintptr_t)x > (uintptr_t)y;
}

/* The state takes the new list; what is not in it any more goes. */
static void policies_replace(struct commit *c, struct policy **list)
{
	struct state *st = c->st;

	/* By address for the search: nothing may fail any more here. */
	memcpy(list, c->policies, c->npolicies * sizeof(*list));
	qsort(list, c->npolicies, sizeof(*list), by_address);
	for (size_t i = 0; i < st->npolicies; i++) {
		if (!bsearch(&st->policies[i], list, c->npolicies, sizeof(*list), by_address)) {
			store_delete(st->dp, STORE_POLICY, st->policies[i]->id);
			policy_free(st->policies[i]);
		}
	}
	memcpy(list, c->policies, c->npolicies * sizeof(*list));
	free(st->policies);
	st->policies = list;
	st->npolicies = c->npolicies;
}

static void take_back(struct commit *c)
{
	policies_unstore(c);
	tables_sweep(c->st);
	cidrs_remove(c->st, c->added, c->nadded);
}

/* A policy that L3 and L4 alone cannot enforce is no policy half enforced: it is none. */
int policies_check(const struct state *st, struct policy *const *policies, size_t n,
		   struct errtext *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct policy *p = policies[i];
		uint32_t line;
		enum need need = policy_lacks(p, st->parts, &line);

		if (need == NEED_NONE)
			continue;
		if (!line)
			return err_set(err, CLITE_EUNSUPPORTED,
				       "%s%spolicy '%s' needs %s, which is not present",
				       p->filename ?: "", p->filename ? ": " : "", p->name,
				       need_name(need));
		return err_set(err, CLITE_EUNSUPPORTED,
			       "%s:%u: policy '%s' needs %s, which is not present",
			       p->filename ?: "", line, p->name, need_name(need));
	}
	return 0;
}

bool policies_symbolic(const struct state *st)
{
	for (size_t i = 0; i < st->npolicies; i++)
		if (policy_is_symbolic(st->policies[i]))
			return true;
	return false;
}

static int commit(struct commit *c, struct errtext *err);

/* The same policies, in a world that is another. */
static int commit_again(struct commit *c, struct errtext *err)
{
	const struct state *st = c->st;
	_cleanup_free_ struct policy **list = calloc(st->npolicies ?: 1, sizeof(struct policy *));

	if (!list)
		return -ENOMEM;
	memcpy(list, st->policies, st->npolicies * sizeof(*list));
	c->policies = list;
	c->npolicies = st->npolicies;
	return commit(c, err);
}

int policies_follow(struct state *st, struct errtext *err)
{
	struct commit c = { .st = st };

	return policies_symbolic(st) ? commit_again(&c, err) : 0;
}

int settings_commit(struct state *st, const struct settings *s, struct errtext *err)
{
	struct commit c = { .st = st, .settings = s };
	struct settings old = st->settings;
	int r = tables_load(st, err); /* those in force are of the old ones */

	if (r)
		return r;
	st->settings = *s;
	r = commit_again(&c, err);
	if (r)
		st->settings = old;
	return r;
}

int endpoint_audit(struct state *st, uint32_t id, bool audit, struct errtext *err)
{
	struct commit c = { .st = st };
	struct endpoint *e = state_endpoint(st, id);
	bool old;
	int r;

	if (!e)
		return err_set(err, ENOENT, "there is no endpoint %u", id);
	r = tables_load(st, err);
	if (r)
		return r;
	old = e->audit;
	e->audit = audit;
	c.audit = e;
	r = commit_again(&c, err);
	if (r)
		e->audit = old;
	return r;
}

/* What others read, and a repair restores: nothing can fail between this and the
 * switch. Settings come with policies that are there already, which need no taking
 * back. */
static int all_store(struct commit *c, struct errtext *err)
{
	int r = policies_store(c, err);

	if (!r && c->settings)
		r = store_put(c->st->dp, STORE_SETTINGS, 0, c->settings, sizeof(*c->settings), err);
	if (!r && c->audit)
		r = endpoint_store(c->st, c->audit, err);
	return r;
}

static int commit(struct commit *c, struct errtext *err)
{
	struct policy **list = calloc(c->npolicies ?: 1, sizeof(struct policy *));
	struct dp_control *ctl = c->st->dp->control;
	int r = list ? policies_check(c->st, c->policies, c->npolicies, err) : -ENOMEM;

	if (!r)
		r = tables_load(c->st, err);
	if (!r)
		r = world_make(c->st, &c->world);
	for (size_t i = 0; !r && i < c->npolicies; i++)
		if (!c->policies[i]->id) {
			policy_number(c->policies[i], ctl->next_rule);
			ctl->next_rule += policy_rules(c->policies[i]);
			c->policies[i]->revision = ctl->revision + 1;
		}
	if (!r)
		r = prefixes_collect(c);
	if (!r)
		r = prefixes_add(c, err);
	if (!r)
		r = choose(c, err);
	if (!r) {
		slots_write(c);
		r = all_store(c, err);
	}
	if (r) {
		take_back(c);
		free(list);
	} else {
		slots_switch(c);
		tables_sweep(c->st);
		policies_replace(c, list);
		prefixes_sweep(c);
	}
	world_clear(&c->world);
	free(c->prefixes);
	free(c->choice);
	free(c->added);
	return r;
}

int policies_commit(struct state *st, struct policy **policies, size_t n, struct errtext *err)
{
	struct commit c = { .st = st, .policies = policies, .npolicies = n };

	return commit(&c, err);
}
