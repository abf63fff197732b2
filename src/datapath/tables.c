/* SPDX-License-Identifier: BSD-2-Clause */
/* Compiled policies in the kernel. */
#include <cilium-lite/policy.h>

#include "datapath/state.h"

static void table_free(struct table *t)
{
	if (!t)
		return;
	compiled_free(t->compiled);
	ruleset_clear(&t->rules);
	free(t);
}

void tables_clear(struct state *st)
{
	for (size_t i = 0; i < st->ntables; i++)
		table_free(st->tables[i]);
	free(st->tables);
	st->tables = NULL;
	st->ntables = st->tables_cap = 0;
	st->tables_loaded = false;
}

static struct table *table_find(const struct state *st, uint32_t direction,
				const struct ruleset *rules)
{
	for (size_t i = 0; i < st->ntables; i++)
		if (st->tables[i]->direction == direction &&
		    !ruleset_cmp(&st->tables[i]->rules, rules))
			return st->tables[i];
	return NULL;
}

/* Takes the rule set over, on success. */
static int table_new(struct state *st, uint32_t direction, uint32_t number, struct ruleset *rules,
		     struct table **ret)
{
	struct table *t;
	int r;

	if (!array_grow(&st->tables, &st->tables_cap, st->ntables))
		return -ENOMEM;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	r = compile(rules, &st->ids, &t->compiled);
	if (r) {
		free(t);
		return r;
	}
	t->direction = direction;
	t->number = number;
	t->rules = *rules;
	*rules = (struct ruleset){};
	st->tables[st->ntables++] = t;
	*ret = t;
	return 0;
}

/* ---- numbers and room for intervals --------------------------------------- */

static uint32_t number_free(const struct state *st)
{
	uint32_t max = st->dp->map_max[MAP_POLICIES];
	_cleanup_free_ bool *used = calloc(max, sizeof(*used));

	if (!used)
		return 0;
	for (size_t i = 0; i < st->ntables; i++)
		if (st->tables[i]->number < max)
			used[st->tables[i]->number] = true;
	/* What endpoints name is in use even when it is not in our list: see repair. */
	for (uint32_t i = 1; i < st->dp->map_max[MAP_ENDPOINTS]; i++) {
		const struct dp_ep *ep = &st->dp->eps[i];

		if (!(ep->flags & DP_EP_USED))
			continue;
		for (int s = 0; s < 2; s++) {
			if (ep->slot[s].egress < max)
				used[ep->slot[s].egress] = true;
			if (ep->slot[s].ingress < max)
				used[ep->slot[s].ingress] = true;
		}
	}
	/* One that nobody names may be a killed writer's, with entries of its own: repair
	 * clears those of all numbers that are not given out again. */
	for (uint32_t i = 1; i < max; i++)
		if (!used[i] && !st->dp->policies[i].nports)
			return i;
	return 0;
}

struct range {
	uint32_t first, n;
};

static int range_cmp(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Room for n intervals: behind the last ones, else in the first hole. */
static int ports_alloc(struct state *st, uint32_t n, uint32_t *ret)
{
	uint32_t max = st->dp->map_max[MAP_PORTS], at = 0;
	_cleanup_free_ struct range *used = NULL;
	uint32_t npol = st->dp->map_max[MAP_POLICIES];
	size_t k = 0;

	if (st->ports_next && st->ports_next <= max && max - st->ports_next >= n) {
		*ret = st->ports_next;
		st->ports_next += n;
		return 0;
	}
	used = calloc(npol, sizeof(*used));
	if (!used)
		return -ENOMEM;
	for (uint32_t i = 0; i < npol; i++)
		if (st->dp->policies[i].nports)
			used[k++] = (struct range){ st->dp->policies[i].ports,
						    st->dp->policies[i].nports };
	qsort(used, k, sizeof(*used), range_cmp);
	if (!st->ports_next) { /* nothing known yet: begin behind the last */
		for (size_t i = 0; i < k; i++)
			if (used[i].first + used[i].n > st->ports_next)
				st->ports_next = used[i].first + used[i].n;
		if (st->ports_next <= max && max - st->ports_next >= n) {
			*ret = st->ports_next;
			st->ports_next += n;
			return 0;
		}
	}
	for (size_t i = 0; i <= k; i++) {
		uint32_t end = i < k ? used[i].first : max;

		if (end > at && end - at >= n) {
			*ret = at;
			return 0;
		}
		if (i < k && used[i].first + used[i].n > at)
			at = used[i].first + used[i].n;
	}
	return -ENOSPC;
}

/* ---- writing -------------------------------------------------------------- */

static int write_verdicts(struct state *st, const struct table *t, size_t from, struct errtext *err)
{
	const struct compiled *c = t->compiled;
	size_t n = c->nverdicts - from;
	_cleanup_free_ struct dp_verdict_key *keys = calloc(n ?: 1, sizeof(*keys));
	_cleanup_free_ struct dp_verdict *values = calloc(n ?: 1, sizeof(*values));

	if (!keys || !values)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct compiled_verdict *v = &c->verdicts[from + i];

		keys[i] = (struct dp_verdict_key){ t->number, v->peer_class, v->port_class };
		values[i] = v->verdict;
	}
	return dp_update_batch(st->dp, MAP_VERDICTS, keys, values, n, err);
}

static void delete_verdicts(struct state *st, const struct table *t)
{
	const struct compiled *c = t->compiled;
	_cleanup_free_ struct dp_verdict_key *keys = calloc(c->nverdicts ?: 1, sizeof(*keys));

	if (!keys)
		return; /* left over in a map: found by nobody, overwritten by the next */
	for (size_t i = 0; i < c->nverdicts; i++)
		keys[i] = (struct dp_verdict_key){ t->number, c->verdicts[i].peer_class,
						   c->verdicts[i].port_class };
	dp_delete_batch(st->dp, MAP_VERDICTS, keys, c->nverdicts);
}

static int write_peers(struct state *st, const struct table *t, bool remove, struct errtext *err)
{
	const struct compiled *c = t->compiled;
	_cleanup_free_ struct dp_peer_key *keys = calloc(c->npeers ?: 1, sizeof(*keys));
	_cleanup_free_ uint32_t *values = calloc(c->npeers ?: 1, sizeof(*values));

	if (!keys || !values)
		return -ENOMEM;
	for (size_t i = 0; i < c->npeers; i++) {
		keys[i] = (struct dp_peer_key){ t->number, c->peers[i].identity };
		values[i] = c->peers[i].class;
	}
	if (remove) {
		dp_delete_batch(st->dp, MAP_PEERS, keys, c->npeers);
		return 0;
	}
	return dp_update_batch(st->dp, MAP_PEERS, keys, values, c->npeers, err);
}

static void table_erase(struct state *st, struct table *t)
{
	write_peers(st, t, true, NULL);
	delete_verdicts(st, t);
	st->dp->policies[t->number] = (struct dp_policy){};
}

static int table_write(struct state *st, struct table *t, struct errtext *err)
{
	const struct compiled *c = t->compiled;
	uint32_t ports;
	int r = ports_alloc(st, c->nports, &ports);

	if (r == -ENOSPC)
		return err_set(err, ENOSPC, "map 'ports' is full: it holds %u entries",
			       st->dp->map_max[MAP_PORTS]);
	if (r)
		return r;
	memcpy(&st->dp->ports[ports], c->ports, c->nports * sizeof(*c->ports));
	st->dp->policies[t->number] = (struct dp_policy){
		.ports = ports,
		.nports = c->nports,
		.verdict = c->verdict,
		.audit = t->rules.audit,
		.rule = c->rule,
		.peer_classes = compiled_next_class(c),
	};
	r = write_verdicts(st, t, 0, err);
	if (!r)
		r = write_peers(st, t, false, err);
	if (r)
		table_erase(st, t);
	return r;
}

static void table_remove(struct state *st, struct table *t)
{
	for (size_t i = 0; i < st->ntables; i++)
		if (st->tables[i] == t) {
			st->tables[i] = st->tables[--st->ntables];
			break;
		}
	table_free(t);
}

int world_make(const struct state *st, struct world *ret)
{
	size_t backends = 0;
	struct world w = {
		.enforcement = st->settings.enforcement,
		.localhost = st->settings.localhost,
		.audit = st->settings.audit,
	};

	for (size_t i = 0; i < st->nservices; i++)
		backends += st->services[i]->nbackends;
	w.eps = calloc(st->neps ?: 1, sizeof(*w.eps));
	w.services = calloc(st->nservices ?: 1, sizeof(*w.services));
	w.addresses = calloc(backends ?: 1, sizeof(*w.addresses));
	if (!w.eps || !w.services || !w.addresses) {
		world_clear(&w);
		return -ENOMEM;
	}
	backends = 0;
	for (size_t i = 0; i < st->neps; i++) {
		const struct endpoint *e = st->eps[i];

		w.eps[w.neps++] = (struct world_endpoint){ e->identity, &e->ports, e->v4, e->v6 };
	}
	for (size_t i = 0; i < st->nservices; i++) {
		const struct service *s = st->services[i];

		w.services[w.nservices++] = (struct world_service){
			s->name, &s->labels, &w.addresses[backends], s->nbackends
		};
		for (size_t b = 0; b < s->nbackends; b++)
			w.addresses[backends++] = s->backends[b].ip;
	}
	*ret = w;
	return 0;
}

static int rules_of(struct policy *const *policies, size_t n, const struct endpoint *e,
		    uint32_t direction, const struct world *world, struct ruleset *ret)
{
	struct subject subject = { &e->identity->labels, &e->ports, e->audit };

	return ruleset_build(policies, n, &subject, direction, world, ret);
}

int table_get(struct state *st, struct policy *const *policies, size_t n,
	      const struct endpoint *subject, uint32_t direction, const struct world *world,
	      struct table **ret, struct errtext *err)
{
	_cleanup_(ruleset_clear) struct ruleset rules = {};
	struct table *t;
	uint32_t number;
	int r = rules_of(policies, n, subject, direction, world, &rules);

	if (r)
		return r;
	if (!rules.enforced) {
		*ret = NULL;
		return 0;
	}
	t = table_find(st, direction, &rules);
	if (!t) {
		number = number_free(st);
		if (!number)
			return err_set(err, ENOSPC, "map 'policies' is full: it holds %u entries",
				       st->dp->map_max[MAP_POLICIES] - 1);
		r = table_new(st, direction, number, &rules, &t);
		if (!r) {
			r = table_write(st, t, err);
			if (r)
				table_remove(st, t);
		}
		if (r)
			return r;
	}
	*ret = t;
	return 0;
}

void tables_sweep(struct state *st)
{
	for (size_t i = 0; i < st->ntables;) {
		struct table *t = st->tables[i];

		if (t->refs) {
			i++;
			continue;
		}
		table_erase(st, t);
		table_remove(st, t);
	}
}

/* ---- identities that come and go ------------------------------------------ */

static int table_add_identity(struct state *st, struct table *t, const struct identity *id,
			      struct errtext *err)
{
	struct dp_peer_key key = { t->number, id->id };
	uint32_t class;
	size_t from;
	int r = compiled_add_identity(t->compiled, id, &class, &from);

	if (r)
		return r;
	st->dp->policies[t->number].peer_classes = compiled_next_class(t->compiled);
	r = write_verdicts(st, t, from, err);
	/* No entry is class 0. */
	if (!r && class)
		r = dp_update(st->dp, MAP_PEERS, &key, &class, err);
	return r;
}

int tables_add_identity(struct state *st, const struct identity *id, struct errtext *err)
{
	int r = tables_load(st, err);

	for (size_t i = 0; !r && i < st->ntables; i++) {
		r = table_add_identity(st, st->tables[i], id, err);
		if (r) {
			tables_remove_identity(st, id->id);
			/* A class may be known here and not in the kernel: forget all,
			 * the kernel knows. */
			tables_clear(st);
		}
	}
	return r;
}

void tables_remove_identity(struct state *st, uint32_t id)
{
	for (size_t i = 0; i < st->ntables; i++) {
		struct dp_peer_key key = { st->tables[i]->number, id };

		dp_delete(st->dp, MAP_PEERS, &key);
		compiled_remove_identity(st->tables[i]->compiled, id);
	}
}

/* ---- taking over what is in the kernel -------------------------------------- */

struct kernel_peer {
	uint32_t policy;
	struct compiled_peer peer;
};

struct kernel_peers {
	struct kernel_peer *v;
	size_t n, cap;
};

static int peer_collect(const void *key, const void *value, void *data)
{
	const struct dp_peer_key *k = key;
	struct kernel_peers *p = data;

	if (!array_grow(&p->v, &p->cap, p->n))
		return -ENOMEM;
	p->v[p->n++] = (struct kernel_peer){ k->policy, { k->identity, *(const uint32_t *)value } };
	return 0;
}

static int kernel_peer_cmp(const void *a, const void *b)
{
	const struct kernel_peer *x = a, *y = b;

	if (x->policy != y->policy)
		return x->policy < y->policy ? -1 : 1;
	return x->peer.identity < y->peer.identity ? -1 : x->peer.identity > y->peer.identity;
}

static int adopt(struct state *st, struct table *t, const struct kernel_peers *all)
{
	_cleanup_free_ struct compiled_peer *mine = NULL;
	size_t first = 0, last, i;

	while (first < all->n && all->v[first].policy < t->number)
		first++;
	for (last = first; last < all->n && all->v[last].policy == t->number; last++)
		;
	mine = calloc(last - first ?: 1, sizeof(*mine));
	if (!mine)
		return -ENOMEM;
	for (i = first; i < last; i++)
		mine[i - first] = all->v[i].peer;
	return compiled_adopt(t->compiled, mine, last - first,
			      st->dp->policies[t->number].peer_classes);
}

/* Which table an endpoint uses, from the numbers in its live slot. */
static int table_of(struct state *st, const struct endpoint *e, uint32_t direction,
		    const struct world *world, uint32_t number)
{
	_cleanup_(ruleset_clear) struct ruleset rules = {};
	struct table *t;
	int r;

	if (!number)
		return 0;
	t = state_table(st, number);
	if (!t) {
		r = rules_of(st->policies, st->npolicies, e, direction, world, &rules);
		if (r)
			return r;
		if (!rules.enforced)
			return -EBADMSG;
		r = table_new(st, direction, number, &rules, &t);
		if (r)
			return r;
	}
	t->refs++;
	return 0;
}

int tables_load(struct state *st, struct errtext *err)
{
	_cleanup_(world_clear) struct world world = {};
	struct kernel_peers all = {};
	uint32_t live = st->dp->control->epoch & 1;
	int r;

	if (st->tables_loaded)
		return 0;
	tables_clear(st);
	r = world_make(st, &world);
	for (size_t i = 0; !r && i < st->neps; i++) {
		const struct dp_ep_slot *s = &st->dp->eps[st->eps[i]->id].slot[live];

		r = table_of(st, st->eps[i], CLITE_EGRESS, &world, s->egress);
		if (!r)
			r = table_of(st, st->eps[i], CLITE_INGRESS, &world, s->ingress);
	}
	if (!r && st->ntables)
		r = dp_walk(st->dp, MAP_PEERS, peer_collect, &all);
	if (!r && all.n)
		qsort(all.v, all.n, sizeof(*all.v), kernel_peer_cmp);
	for (size_t i = 0; !r && i < st->ntables; i++)
		r = adopt(st, st->tables[i], &all);
	free(all.v);
	if (r) {
		tables_clear(st);
		/* Not what the rules say: the maps are written anew. */
		return r == -EBADMSG ? state_repair(st, err) :
				       err_set(err, -r, "cannot read the policies in the kernel: %s",
					       strerror(-r));
	}
	st->tables_loaded = true;
	return 0;
}
