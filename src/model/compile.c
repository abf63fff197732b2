/* SPDX-License-Identifier: BSD-2-Clause */
/* How it goes: each identity has a set of rules that name it, each port has one;
 * equal sets are classes. Rules that name no peer (or no port) are in no set:
 * they belong to all. A verdict is worked out for those pairs of classes that
 * some rule makes differ from the default. */
#include "model/compile.h"

#include <cilium-lite/context.h>
#include <cilium-lite/policy.h>
#include <netinet/in.h>

#include "model/judge.h"
#include "model/peer_index.h"

/* ---- sets of rules: sorted indices, numbered in order of appearance ----------- */

struct set {
	uint32_t *v;
	size_t n;
	uint32_t class;
	size_t next; /* in its bucket, + 1 */
};

struct sets {
	struct set *v;
	size_t n, cap;
	size_t *bucket; /* index + 1 */
	size_t nbuckets;
	uint32_t next_class;
};

struct compiled_state {
	const struct rule **rules; /* the rule set's */
	uint8_t *match;		   /* DP_MATCH_* of each */
	bool *any_peer, *any_port;
	size_t n;
	uint32_t *everybody; /* the rules that name no peer */
	size_t neverybody;
	struct sets peers, ports;
	struct peer_index index;
	size_t **port_classes; /* of each rule: indices into ports.v */
	size_t *nport_classes;
	uint32_t *mark; /* of each rule: in the peer class that is looked at */
	uint32_t *paired; /* of each set of ports: with the peer class that is looked at */
	uint32_t stamp;
	bool deny; /* what no rule allows is denied */
};

static uint32_t set_hash(const uint32_t *v, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ v[i]) * 16777619u;
	return h ^ h >> 15;
}

static int sets_grow(struct sets *s)
{
	size_t n = s->nbuckets ? s->nbuckets * 2 : 64;
	size_t *bucket = calloc(n, sizeof(*bucket));

	if (!bucket)
		return -ENOMEM;
	free(s->bucket);
	s->bucket = bucket;
	s->nbuckets = n;
	for (size_t i = 0; i < s->n; i++) {
		size_t *b = &bucket[set_hash(s->v[i].v, s->v[i].n) % n];

		s->v[i].next = *b;
		*b = i + 1;
	}
	return 0;
}

static struct set *set_find(const struct sets *s, const uint32_t *v, size_t n)
{
	size_t i = s->nbuckets ? s->bucket[set_hash(v, n) % s->nbuckets] : 0;

	for (; i; i = s->v[i - 1].next)
		if (s->v[i - 1].n == n && !memcmp(s->v[i - 1].v, v, n * sizeof(*v)))
			return &s->v[i - 1];
	return NULL;
}

/* The class of a set, a new one if need be; its index comes back. */
static int set_get(struct sets *s, const uint32_t *v, size_t n, size_t *ret)
{
	struct set *found = set_find(s, v, n);
	size_t *b;

	if (found) {
		*ret = found - s->v;
		return 0;
	}
	if (s->n >= s->nbuckets && sets_grow(s))
		return -ENOMEM;
	if (!array_grow(&s->v, &s->cap, s->n))
		return -ENOMEM;
	found = &s->v[s->n];
	found->v = malloc(n ? n * sizeof(*v) : 1);
	if (!found->v)
		return -ENOMEM;
	if (n)
		memcpy(found->v, v, n * sizeof(*v));
	found->n = n;
	found->class = s->next_class++;
	b = &s->bucket[set_hash(v, n) % s->nbuckets];
	found->next = *b;
	*b = ++s->n;
	*ret = s->n - 1;
	return 0;
}

static void sets_clear(struct sets *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].v);
	free(s->v);
	free(s->bucket);
}

/* ---- rule sets ------------------------------------------------------------------ */

void ruleset_clear(struct ruleset *rs)
{
	free(rs->rules);
	resolved_clear(&rs->mem);
	memset(rs, 0, sizeof(*rs));
}

static int by_cookie(const void *a, const void *b)
{
	const struct rule *x = *(const struct rule *const *)a, *y = *(const struct rule *const *)b;

	return x->cookie < y->cookie ? -1 : x->cookie > y->cookie;
}

static int ruleset_add(struct ruleset *rs, const struct part *part, uint32_t direction)
{
	for (size_t i = 0; i < part->nrules; i++) {
		if (part->rules[i].direction != direction)
			continue;
		if (!array_grow(&rs->rules, &rs->cap, rs->n))
			return -ENOMEM;
		rs->rules[rs->n++] = &part->rules[i];
	}
	rs->enforced |= part_enforces(part, direction);
	rs->default_deny |= part_default_deny(part, direction);
	return 0;
}

/* Nothing is known of it yet. */
static bool is_init(const struct labels *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->l[i].source, "reserved") && !strcmp(l->l[i].key, "init"))
			return true;
	return false;
}

/* As if somebody had written it, for every endpoint: deny rules win over it. */
static int ruleset_allow_localhost(struct ruleset *rs)
{
	static const struct peer host = { .kind = CLITE_PEER_ENTITY, .entity = ENTITY_HOST };
	static const struct rule rule = {
		.direction = CLITE_INGRESS,
		.action = CLITE_ALLOW,
		.peers = (struct peer *)&host,
		.npeers = 1,
		.any_port = true,
	};

	if (!array_grow(&rs->rules, &rs->cap, rs->n))
		return -ENOMEM;
	memmove(&rs->rules[1], &rs->rules[0], rs->n * sizeof(*rs->rules));
	rs->rules[0] = &rule;
	rs->n++;
	return 0;
}

int ruleset_build(struct policy *const *policies, size_t npolicies, const struct subject *subject,
		  uint32_t direction, const struct world *world, struct ruleset *ret)
{
	uint32_t mode = world ? world->enforcement : CLITE_ENFORCE_DEFAULT;
	bool always = is_init(subject->labels) || mode == CLITE_ENFORCE_ALWAYS;
	struct ruleset rs = { .enforced = always, .default_deny = always };

	if (mode == CLITE_ENFORCE_NEVER) {
		*ret = (struct ruleset){};
		return 0;
	}

	for (size_t i = 0; i < npolicies; i++)
		for (size_t j = 0; j < policies[i]->nparts; j++) {
			const struct part *part = &policies[i]->parts[j];

			if (part->nodes || !selector_matches(&part->subject, subject->labels))
				continue;
			if (ruleset_add(&rs, part, direction)) {
				ruleset_clear(&rs);
				return -ENOMEM;
			}
		}
	/* Policies mostly come in the order in which they were made. */
	for (size_t i = 1; i < rs.n; i++)
		if (rs.rules[i - 1]->cookie > rs.rules[i]->cookie) {
			qsort(rs.rules, rs.n, sizeof(*rs.rules), by_cookie);
			break;
		}
	rs.audit = rs.enforced && (subject->audit || (world && world->audit));
	if (rs.enforced && world && world->localhost && direction == CLITE_INGRESS &&
	    ruleset_allow_localhost(&rs)) {
		ruleset_clear(&rs);
		return -ENOMEM;
	}
	if (rules_resolve(&rs.rules, &rs.n, &rs.cap, subject->ports, world, &rs.mem)) {
		ruleset_clear(&rs);
		return -ENOMEM;
	}
	*ret = rs;
	return 0;
}

int ruleset_cmp(const struct ruleset *a, const struct ruleset *b)
{
	if (a->enforced != b->enforced)
		return a->enforced ? 1 : -1;
	if (a->default_deny != b->default_deny)
		return a->default_deny ? 1 : -1;
	if (a->audit != b->audit)
		return a->audit ? 1 : -1;
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	for (size_t i = 0; i < a->n; i++)
		if (a->rules[i]->cookie != b->rules[i]->cookie)
			return a->rules[i]->cookie < b->rules[i]->cookie ? -1 : 1;
	for (size_t i = 0; i < a->n; i++)
		if (!resolved_same(a->rules[i], b->rules[i]))
			return 1;
	return 0;
}

/* ---- port classes: a sweep over the ends of all ranges ------------------------------- */

struct edge {
	uint32_t at; /* DP_PP_* << 16 | port */
	uint32_t rule;
	bool open;
};

struct edges {
	struct edge *v;
	size_t n, cap;
};

#define PORTS_END ((DP_PP_ICMPV6 + 1u) << 16)

static int edge_add(struct edges *e, uint32_t rule, uint32_t pp, uint16_t first, uint16_t last)
{
	uint32_t from = pp << 16 | first, to = (pp << 16 | last) + 1;

	if (!array_grow(&e->v, &e->cap, e->n))
		return -ENOMEM;
	e->v[e->n++] = (struct edge){ from, rule, true };
	if (!array_grow(&e->v, &e->cap, e->n))
		return -ENOMEM;
	e->v[e->n++] = (struct edge){ to, rule, false };
	return 0;
}

static int edges_of(struct edges *e, uint32_t rule, const struct port_range *p)
{
	static const struct {
		uint8_t protocol;
		uint32_t pp;
	} known[] = {
		{ IPPROTO_TCP, DP_PP_TCP },	{ IPPROTO_UDP, DP_PP_UDP },
		{ IPPROTO_SCTP, DP_PP_SCTP },	{ IPPROTO_ICMP, DP_PP_ICMP },
		{ IPPROTO_ICMPV6, DP_PP_ICMPV6 },
	};
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(known); i++)
		if (p->protocol ? p->protocol == known[i].protocol : known[i].pp <= DP_PP_SCTP)
			r = edge_add(e, rule, known[i].pp, p->first, p->last);
	return r;
}

static int edge_cmp(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	return (int)y->open - (int)x->open;
}

struct sweep {
	uint32_t *open;	  /* of each rule: ranges that hold the port */
	uint32_t *active; /* the rules with one, sorted */
	size_t n;
};

static void sweep_edge(struct sweep *s, const struct edge *e)
{
	size_t at = 0;

	if (e->open ? s->open[e->rule]++ : --s->open[e->rule])
		return;
	while (at < s->n && s->active[at] < e->rule)
		at++;
	if (e->open) {
		memmove(&s->active[at + 1], &s->active[at], (s->n - at) * sizeof(*s->active));
		s->active[at] = e->rule;
		s->n++;
	} else {
		memmove(&s->active[at], &s->active[at + 1], (--s->n - at) * sizeof(*s->active));
	}
}

static int interval_add(struct compiled *c, size_t *cap, uint32_t start, uint32_t class)
{
	if (c->nports && c->ports[c->nports - 1].start == start)
		c->nports--; /* nothing lies between */
	if (c->nports && c->ports[c->nports - 1].class == class)
		return 0;
	if (!array_grow(&c->ports, cap, c->nports))
		return -ENOMEM;
	c->ports[c->nports++] = (struct dp_port_interval){ start, class };
	return 0;
}

static int ports_sweep(struct compiled *c, const struct edges *e, struct sweep *s)
{
	size_t cap = 0, index;
	int r = interval_add(c, &cap, 0, 0);

	for (size_t i = 0; !r && i < e->n;) {
		uint32_t at = e->v[i].at;

		for (; i < e->n && e->v[i].at == at; i++)
			sweep_edge(s, &e->v[i]);
		r = set_get(&c->state->ports, s->active, s->n, &index);
		if (!r && at < PORTS_END)
			r = interval_add(c, &cap, at, c->state->ports.v[index].class);
	}
	return r;
}

static int port_classes_index(struct compiled_state *st)
{
	for (size_t i = 0; i < st->ports.n; i++)
		for (size_t j = 0; j < st->ports.v[i].n; j++)
			st->nport_classes[st->ports.v[i].v[j]]++;
	for (size_t i = 0; i < st->n; i++) {
		st->port_classes[i] = calloc(st->nport_classes[i] ?: 1, sizeof(size_t));
		if (!st->port_classes[i])
			return -ENOMEM;
		st->nport_classes[i] = 0;
	}
	for (size_t i = 0; i < st->ports.n; i++)
		for (size_t j = 0; j < st->ports.v[i].n; j++) {
			uint32_t rule = st->ports.v[i].v[j];

			st->port_classes[rule][st->nport_classes[rule]++] = i;
		}
	return 0;
}

static int compile_ports(struct compiled *c)
{
	struct compiled_state *st = c->state;
	struct edges e = {};
	struct sweep s = {
		.open = calloc(st->n + 1, sizeof(*s.open)),
		.active = calloc(st->n + 1, sizeof(*s.active)),
	};
	size_t zero;
	int r = s.open && s.active ? set_get(&st->ports, NULL, 0, &zero) : -ENOMEM;

	for (size_t i = 0; !r && i < st->n; i++)
		for (size_t j = 0; !r && !st->any_port[i] && j < st->rules[i]->nports; j++)
			r = edges_of(&e, i, &st->rules[i]->ports[j]);
	if (!r && e.n)
		qsort(e.v, e.n, sizeof(*e.v), edge_cmp);
	if (!r)
		r = ports_sweep(c, &e, &s);
	if (!r)
		r = port_classes_index(st);
	if (!r) {
		st->paired = calloc(st->ports.n, sizeof(*st->paired));
		r = st->paired ? 0 : -ENOMEM;
	}
	free(e.v);
	free(s.open);
	free(s.active);
	return r;
}

/* ---- verdicts ------------------------------------------------------------------------- */

struct best {
	uint32_t rule[2]; /* by action; index + 1 */
};

static void best_try(const struct compiled_state *st, struct best *b, uint32_t rule)
{
	uint32_t *best = &b->rule[st->rules[rule]->action];
	int a = *best ? match_rank(st->match[*best - 1]) : 0, n = match_rank(st->match[rule]);

	/* Of equals the one with the smaller cookie; the rules are sorted by it. */
	if (n > a || (n == a && rule < *best - 1))
		*best = rule + 1;
}

static struct dp_verdict best_verdict(const struct compiled_state *st, const struct best *b)
{
	uint32_t rule = b->rule[CLITE_DENY] ?: b->rule[CLITE_ALLOW];
	struct dp_verdict v = {};

	if (!rule) {
		v.verdict = st->deny ? DP_VERDICT_DENY : DP_VERDICT_ALLOW;
		v.match = st->deny ? DP_MATCH_NONE : DP_MATCH_ALL;
		return v;
	}
	v.verdict = b->rule[CLITE_DENY] ? DP_VERDICT_DENIED : DP_VERDICT_ALLOW;
	v.match = st->match[rule - 1];
	v.rule = st->rules[rule - 1]->cookie;
	return v;
}

static int verdict_add(struct compiled *c, uint32_t peer, uint32_t port, struct dp_verdict v)
{
	/* The array grows by doubling: its room follows from its length. */
	if (!(c->nverdicts & (c->nverdicts - 1))) {
		size_t room = c->nverdicts ? c->nverdicts * 2 : 1;
		void *p = reallocarray(c->verdicts, room, sizeof(*c->verdicts));

		if (!p)
			return -ENOMEM;
		c->verdicts = p;
	}
	c->verdicts[c->nverdicts++] = (struct compiled_verdict){ peer, port, v };
	return 0;
}

struct pairing {
	struct compiled *c;
	const struct set *peer; /* NULL: class 0 */
	struct best all;	/* of its rules that name no port */
};

static int pair(struct pairing *p, size_t port)
{
	struct compiled *c = p->c;
	const struct set *q = &c->state->ports.v[port];
	struct best b = p->all;
	struct dp_verdict v;

	if (c->state->paired[port] == c->state->stamp)
		return 0;
	c->state->paired[port] = c->state->stamp;
	for (size_t i = 0; i < q->n; i++)
		if (c->state->any_peer[q->v[i]] || c->state->mark[q->v[i]] == c->state->stamp)
			best_try(c->state, &b, q->v[i]);
	v = best_verdict(c->state, &b);
	if (v.verdict == c->verdict && v.rule == c->rule)
		return 0;
	return verdict_add(c, p->peer ? p->peer->class : 0, q->class, v);
}

/* All verdicts of a peer class that differ from the default. */
static int pair_all(struct compiled *c, const struct set *peer)
{
	struct compiled_state *st = c->state;
	struct pairing p = { .c = c, .peer = peer };
	bool everywhere = false;
	int r = 0;

	st->stamp++;
	for (size_t i = 0; peer && i < peer->n; i++) {
		st->mark[peer->v[i]] = st->stamp;
		if (st->any_port[peer->v[i]]) {
			best_try(st, &p.all, peer->v[i]);
			everywhere = true;
		}
	}
	for (size_t i = 0; i < st->neverybody; i++)
		if (st->any_port[st->everybody[i]])
			best_try(st, &p.all, st->everybody[i]);
	/* Where it may differ: at the ports of its rules and of everybody's. */
	for (size_t q = 0; !r && everywhere && q < st->ports.n; q++)
		r = pair(&p, q);
	for (size_t i = 0; !r && peer && i < peer->n; i++)
		for (size_t k = 0; !r && k < st->nport_classes[peer->v[i]]; k++)
			r = pair(&p, st->port_classes[peer->v[i]][k]);
	for (size_t i = 0; !r && i < st->neverybody; i++)
		for (size_t k = 0; !r && k < st->nport_classes[st->everybody[i]]; k++)
			r = pair(&p, st->port_classes[st->everybody[i]][k]);
	return r;
}

/* ---- peers ------------------------------------------------------------------------------ */

/* The rules that name an identity; *ret is the caller's. */
static int peer_set(const struct compiled_state *st, const struct identity *id, uint32_t **ret,
		    size_t *ret_n)
{
	return peer_index_find(&st->index, st->rules, id, ret, ret_n);
}

static int peer_insert(struct compiled *c, uint32_t identity, uint32_t class)
{
	size_t lo = 0, hi = c->npeers;

	if (!(c->npeers & (c->npeers - 1))) {
		size_t room = c->npeers ? c->npeers * 2 : 1;
		void *p = reallocarray(c->peers, room, sizeof(*c->peers));

		if (!p)
			return -ENOMEM;
		c->peers = p;
	}
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c->peers[mid].identity < identity)
			lo = mid + 1;
		else
			hi = mid;
	}
	memmove(&c->peers[lo + 1], &c->peers[lo], (c->npeers - lo) * sizeof(*c->peers));
	c->peers[lo] = (struct compiled_peer){ identity, class };
	c->npeers++;
	return 0;
}

static int compile_peers(struct compiled *c, const struct identities *ids)
{
	struct compiled_state *st = c->state;
	size_t zero, index;
	int r = set_get(&st->peers, NULL, 0, &zero);

	for (size_t i = 0; !r && i < ids->n; i++) {
		_cleanup_free_ uint32_t *set = NULL;
		size_t n;

		r = peer_set(st, ids->v[i], &set, &n);
		if (r || !n)
			continue;
		r = set_get(&st->peers, set, n, &index);
		if (!r)
			r = peer_insert(c, ids->v[i]->id, st->peers.v[index].class);
	}
	return r;
}

/* ---- compile ------------------------------------------------------------------------------ */

static int state_new(const struct ruleset *rs, struct compiled_state **ret)
{
	struct compiled_state *st = calloc(1, sizeof(*st));

	if (!st)
		return -ENOMEM;
	*ret = st;
	st->n = rs->n;
	st->deny = rs->default_deny;
	st->rules = calloc(rs->n + 1, sizeof(*st->rules));
	st->match = calloc(rs->n + 1, sizeof(*st->match));
	st->any_peer = calloc(rs->n + 1, sizeof(*st->any_peer));
	st->any_port = calloc(rs->n + 1, sizeof(*st->any_port));
	st->port_classes = calloc(rs->n + 1, sizeof(*st->port_classes));
	st->nport_classes = calloc(rs->n + 1, sizeof(*st->nport_classes));
	st->mark = calloc(rs->n + 1, sizeof(*st->mark));
	st->everybody = calloc(rs->n + 1, sizeof(*st->everybody));
	if (!st->rules || !st->match || !st->any_peer || !st->any_port || !st->port_classes ||
	    !st->nport_classes || !st->mark || !st->everybody)
		return -ENOMEM;
	for (size_t i = 0; i < rs->n; i++) {
		st->rules[i] = rs->rules[i];
		st->match[i] = rule_match(rs->rules[i]);
		st->any_peer[i] = rs->rules[i]->any_peer;
		st->any_port[i] = rule_any_port(rs->rules[i]);
		if (st->any_peer[i])
			st->everybody[st->neverybody++] = (uint32_t)i;
		if (peer_index_add(&st->index, (uint32_t)i, rs->rules[i]))
			return -ENOMEM;
	}
	return peer_index_sort(&st->index);
}

static void state_free(struct compiled_state *st)
{
	if (!st)
		return;
	for (size_t i = 0; st->port_classes && i < st->n; i++)
		free(st->port_classes[i]);
	sets_clear(&st->peers);
	sets_clear(&st->ports);
	peer_index_clear(&st->index);
	free(st->rules);
	free(st->match);
	free(st->any_peer);
	free(st->any_port);
	free(st->port_classes);
	free(st->nport_classes);
	free(st->mark);
	free(st->everybody);
	free(st->paired);
	free(st);
}

struct compiled *compiled_free(struct compiled *c)
{
	if (!c)
		return NULL;
	state_free(c->state);
	free(c->ports);
	free(c->peers);
	free(c->verdicts);
	free(c);
	return NULL;
}

int compile(const struct ruleset *rs, const struct identities *ids, struct compiled **ret)
{
	struct compiled *c = calloc(1, sizeof(*c));
	struct best all = {};
	struct dp_verdict v;
	int r;

	if (!c)
		return -ENOMEM;
	r = state_new(rs, &c->state);
	if (!r)
		r = compile_ports(c);
	if (!r)
		r = compile_peers(c, ids);
	if (r) {
		compiled_free(c);
		return r;
	}
	for (size_t i = 0; i < c->state->n; i++)
		if (c->state->any_peer[i] && c->state->any_port[i])
			best_try(c->state, &all, i);
	v = best_verdict(c->state, &all);
	c->verdict = v.verdict;
	c->rule = v.rule;
	r = pair_all(c, NULL);
	for (size_t i = 1; !r && i < c->state->peers.n; i++)
		r = pair_all(c, &c->state->peers.v[i]);
	if (r) {
		compiled_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

/* ---- identities that come and go ----------------------------------------------------------- */

/* Take the last set away again. */
static void set_drop(struct sets *s)
{
	struct set *last = &s->v[s->n - 1];

	s->bucket[set_hash(last->v, last->n) % s->nbuckets] = last->next;
	s->next_class--;
	s->n--;
	free(last->v);
}

int compiled_add_identity(struct compiled *c, const struct identity *id, uint32_t *ret_class,
			  size_t *ret_new_verdicts)
{
	struct compiled_state *st = c->state;
	_cleanup_free_ uint32_t *set = NULL;
	size_t before = c->nverdicts, classes = st->peers.n, n, index;
	int r = peer_set(st, id, &set, &n);

	if (r)
		return r;
	if (!n) {
		*ret_class = 0;
		*ret_new_verdicts = before;
		return 0;
	}
	r = set_get(&st->peers, set, n, &index);
	if (r)
		return r;
	if (st->peers.n > classes)
		r = pair_all(c, &st->peers.v[index]);
	if (!r)
		r = peer_insert(c, id->id, st->peers.v[index].class);
	if (r) {
		if (st->peers.n > classes)
			set_drop(&st->peers);
		c->nverdicts = before;
		return r;
	}
	*ret_class = st->peers.v[index].class;
	*ret_new_verdicts = before;
	return 0;
}

static size_t peer_find(const struct compiled *c, uint32_t identity)
{
	size_t lo = 0, hi = c->npeers;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c->peers[mid].identity < identity)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->npeers && c->peers[lo].identity == identity ? lo : SIZE_MAX;
}

void compiled_remove_identity(struct compiled *c, uint32_t identity)
{
	size_t i = peer_find(c, identity);

	if (i != SIZE_MAX)
		memmove(&c->peers[i], &c->peers[i + 1], (--c->npeers - i) * sizeof(*c->peers));
}

uint32_t compiled_next_class(const struct compiled *c)
{
	return c->state->peers.next_class;
}

static int number_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The numbers differ; sorts them. */
static bool distinct(uint32_t *v, size_t n)
{
	qsort(v, n, sizeof(*v), number_cmp);
	for (size_t i = 1; i < n; i++)
		if (v[i - 1] == v[i])
			return false;
	return true;
}

/* Classes of compile() become those of the kernel: a map from one to the other. */
int compiled_adopt(struct compiled *c, const struct compiled_peer *kernel, size_t n,
		   uint32_t next_class)
{
	struct sets *s = &c->state->peers;
	_cleanup_free_ uint32_t *to = calloc(s->n ?: 1, sizeof(*to)); /* 0: not named yet */
	_cleanup_free_ uint32_t *sorted = calloc(s->n ?: 1, sizeof(*sorted));

	if (!to || !sorted)
		return -ENOMEM;
	/* The same identities in classes of their own... */
	if (n != c->npeers)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		size_t at = peer_find(c, kernel[i].identity);
		uint32_t class;

		if (at == SIZE_MAX || !kernel[i].class || kernel[i].class >= next_class)
			return -EBADMSG;
		class = c->peers[at].class;
		/* ...each of which has one number there... */
		if (to[class] && to[class] != kernel[i].class)
			return -EBADMSG;
		to[class] = kernel[i].class;
	}
	/* ...and no two the same. */
	memcpy(sorted, to, s->n * sizeof(*sorted));
	if (s->n > 1 && !distinct(sorted + 1, s->n - 1))
		return -EBADMSG;
	for (size_t i = 1; i < s->n; i++)
		s->v[i].class = to[s->v[i].class];
	for (size_t i = 0; i < c->npeers; i++)
		c->peers[i].class = to[c->peers[i].class];
	for (size_t i = 0; i < c->nverdicts; i++)
		if (c->verdicts[i].peer_class)
			c->verdicts[i].peer_class = to[c->verdicts[i].peer_class];
	s->next_class = next_class;
	return 0;
}

struct dp_verdict compiled_lookup(const struct compiled *c, uint32_t identity, uint32_t pp,
				  uint16_t port)
{
	size_t peer = peer_find(c, identity), lo = 0, hi = c->nports;
	uint32_t peer_class = peer == SIZE_MAX ? 0 : c->peers[peer].class, key = pp << 16 | port;

	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;

		if (c->ports[mid].start <= key)
			lo = mid;
		else
			hi = mid;
	}
	for (size_t i = 0; i < c->nverdicts; i++)
		if (c->verdicts[i].peer_class == peer_class &&
		    c->verdicts[i].port_class == c->ports[lo].class)
			return c->verdicts[i].verdict;
	return (struct dp_verdict){
		.verdict = c->verdict,
		.match = c->verdict == DP_VERDICT_DENY ? DP_MATCH_NONE : DP_MATCH_ALL,
		.rule = c->rule,
	};
}
