/* SPDX-License-Identifier: BSD-2-Clause */
/* The compiler, by hand-made cases of each precedence rule, and against a slow
 * evaluation of the same rules: for random rules, identities and ports both name
 * the same verdict and the same rule. */
#include "model/judge.h"
#include "model/peer_index.h"

#include <check.h>
#include <cilium-lite/identity.h>
#include <cilium-lite/policy.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <time.h>

/* ---- random numbers that can be had again ----------------------------------------- */

static uint64_t seed;

static uint32_t draw(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((seed >> 33) % n);
}

static bool one_in(uint32_t n)
{
	return !draw(n);
}

/* ---- rules and identities ------------------------------------------------------------ */

static struct prefix prefix(const char *text)
{
	struct prefix p;

	ck_assert_int_eq(prefix_parse(text, &p), 0);
	return p;
}

static struct labels labels(const char *text)
{
	const char *texts[] = { text, NULL };
	struct labels l;

	ck_assert_int_eq(labels_parse(texts, &l, NULL), 0);
	return l;
}

static struct identity *add(struct identities *t, uint32_t id, const char *text)
{
	struct labels l = labels(text);
	struct identity *ret;

	ck_assert_int_eq(identities_add(t, id, &l, NULL, &ret), 0);
	return ret;
}

static struct identity *add_cidr(struct identities *t, uint32_t id, const struct prefix *p)
{
	struct identity *ret;
	struct labels l;

	ck_assert_int_eq(cidr_labels(p, &l), 0);
	ck_assert_int_eq(identities_add(t, id, &l, p, &ret), 0);
	return ret;
}

static struct selector app(uint32_t op, const char *value)
{
	struct selector s = { .reqs = calloc(1, sizeof(*s.reqs)), .nreqs = 1 };
	struct requirement *q = s.reqs;

	ck_assert_int_eq(requirement_set_key(q, "app"), 0);
	q->op = op;
	q->values = calloc(1, sizeof(char *));
	q->values[0] = strdup(value);
	q->nvalues = 1;
	return s;
}

/* A rule for ingress: "a", "!a" (apps), "10.0.0.0/8", "@host" (entities), NULL for
 * everybody; protocol, first, last: -1 for every packet. */
static struct rule rule(uint32_t cookie, uint32_t action, const char *peer, int protocol,
			uint16_t first, uint16_t last)
{
	struct rule r = { .direction = CLITE_INGRESS, .action = action, .cookie = cookie,
			  .any_peer = !peer, .any_port = protocol < 0 };

	if (peer) {
		r.peers = calloc(1, sizeof(*r.peers));
		r.npeers = 1;
		if (*peer == '@') {
			r.peers->kind = CLITE_PEER_ENTITY;
			ck_assert_int_eq(entity_parse(peer + 1, &r.peers->entity), 0);
		} else if (strchr(peer, '/')) {
			r.peers->kind = CLITE_PEER_CIDR;
			r.peers->cidr = prefix(peer);
		} else {
			r.peers->kind = CLITE_PEER_ENDPOINTS;
			r.peers->selector = *peer == '!' ? app(CLITE_OP_NOT_IN, peer + 1) :
							   app(CLITE_OP_IN, peer);
		}
	}
	if (protocol >= 0) {
		r.ports = calloc(1, sizeof(*r.ports));
		r.nports = 1;
		r.ports[0] = (struct port_range){ (uint8_t)protocol, first, last, 0, NULL };
	}
	return r;
}

static int by_cookie(const void *a, const void *b)
{
	const struct rule *x = *(const struct rule *const *)a, *y = *(const struct rule *const *)b;

	return x->cookie < y->cookie ? -1 : x->cookie > y->cookie;
}

static struct ruleset ruleset_of(struct rule *rules, size_t n, bool deny)
{
	struct ruleset rs = { .rules = calloc(n ?: 1, sizeof(*rs.rules)), .n = n, .enforced = true,
			      .default_deny = deny };

	for (size_t i = 0; i < n; i++)
		rs.rules[i] = &rules[i];
	qsort(rs.rules, n, sizeof(*rs.rules), by_cookie);
	return rs;
}

/* ---- the slow evaluation ---------------------------------------------------------------- */

static const uint8_t protocol_of[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP,
				       IPPROTO_ICMPV6 };

static bool is_everything(const struct port_range *p)
{
	return !p->protocol && !p->first && p->last == 65535;
}

static bool port_in(const struct port_range *p, uint32_t pp, uint16_t port)
{
	if (is_everything(p))
		return true;
	if (p->protocol ? p->protocol != protocol_of[pp] : pp > DP_PP_SCTP)
		return false;
	return p->first <= port && port <= p->last;
}

static bool packet_in(const struct rule *r, uint32_t pp, uint16_t port)
{
	bool in = r->any_port;

	for (size_t i = 0; i < r->nports; i++)
		in |= port_in(&r->ports[i], pp, port);
	return in;
}

static uint8_t match_of(const struct rule *r)
{
	bool every = r->any_port, whole = true;

	for (size_t i = 0; i < r->nports; i++) {
		every |= is_everything(&r->ports[i]);
		whole &= !r->ports[i].first && r->ports[i].last == 65535;
	}
	if (every)
		return r->any_peer ? DP_MATCH_ALL : DP_MATCH_L3;
	if (whole)
		return r->any_peer ? DP_MATCH_PROTO : DP_MATCH_L3_PROTO;
	return r->any_peer ? DP_MATCH_L4 : DP_MATCH_L3_L4;
}

/* The more specific, then the smaller cookie. */
static const struct rule *better(const struct rule *a, const struct rule *b)
{
	static const uint8_t order[] = { DP_MATCH_L3_L4, DP_MATCH_L3_PROTO, DP_MATCH_L3,
					 DP_MATCH_L4,	 DP_MATCH_PROTO,    DP_MATCH_ALL };

	if (!a)
		return b;
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		if (match_of(a) == order[i] && match_of(b) == order[i])
			return a->cookie < b->cookie ? a : b;
		if (match_of(a) == order[i])
			return a;
		if (match_of(b) == order[i])
			return b;
	}
	return a;
}

static struct dp_verdict slowly(const struct ruleset *rs, const struct identity *id, uint32_t pp,
				uint16_t port)
{
	const struct rule *allow = NULL, *deny = NULL;

	for (size_t i = 0; i < rs->n; i++) {
		const struct rule *r = rs->rules[i];

		if (!rule_selects(r, id) || !packet_in(r, pp, port))
			continue;
		if (r->action == CLITE_DENY)
			deny = better(deny, r);
		else
			allow = better(allow, r);
	}
	if (deny)
		return (struct dp_verdict){ .verdict = DP_VERDICT_DENIED, .match = match_of(deny),
					    .rule = deny->cookie };
	if (allow)
		return (struct dp_verdict){ .verdict = DP_VERDICT_ALLOW, .match = match_of(allow),
					    .rule = allow->cookie };
	if (rs->default_deny)
		return (struct dp_verdict){ .verdict = DP_VERDICT_DENY, .match = DP_MATCH_NONE };
	return (struct dp_verdict){ .verdict = DP_VERDICT_ALLOW, .match = DP_MATCH_ALL };
}

static void same(const struct compiled *c, const struct ruleset *rs, const struct identity *id,
		 uint32_t pp, uint16_t port)
{
	struct dp_verdict a = compiled_lookup(c, id->id, pp, port), b = slowly(rs, id, pp, port);
	struct dp_verdict j = judge(rs, id, pp, port, NULL, NULL);

	ck_assert(j.verdict == b.verdict && j.rule == b.rule && j.match == b.match);

	ck_assert_msg(a.verdict == b.verdict && a.rule == b.rule && a.match == b.match,
		      "identity %u, protocol %u, port %u: verdict %u by rule %u (%u), expected %u by %u (%u)",
		      id->id, pp, port, a.verdict, a.rule, a.match, b.verdict, b.rule, b.match);
}

/* ---- by hand ------------------------------------------------------------------------------ */

struct row {
	uint32_t identity, pp;
	uint16_t port;
	uint8_t verdict, match;
	uint32_t rule;
};

static void people(struct identities *t)
{
	struct prefix ten = prefix("10.0.0.0/8"), one = prefix("10.1.0.0/16");

	ck_assert_int_eq(identities_init(t), 0);
	add(t, 256, "app=a");
	add(t, 257, "app=b");
	add_cidr(t, CLITE_ID_FIRST_CIDR, &ten);
	add_cidr(t, CLITE_ID_FIRST_CIDR + 1, &one);
}

static void expect(struct rule *rules, size_t n, bool deny, const struct row *rows, size_t nrows)
{
	struct ruleset rs = ruleset_of(rules, n, deny);
	struct compiled *c;
	struct identities t;

	people(&t);
	ck_assert_int_eq(compile(&rs, &t, &c), 0);
	for (size_t i = 0; i < nrows; i++) {
		struct dp_verdict v = compiled_lookup(c, rows[i].identity, rows[i].pp, rows[i].port);

		ck_assert_msg(v.verdict == rows[i].verdict && v.match == rows[i].match &&
				      v.rule == rows[i].rule,
			      "row %zu: verdict %u, match %u, rule %u", i, v.verdict, v.match, v.rule);
		same(c, &rs, identities_get(&t, rows[i].identity), rows[i].pp, rows[i].port);
	}
	compiled_free(c);
	ruleset_clear(&rs);
	for (size_t i = 0; i < n; i++)
		rule_clear(&rules[i]);
	identities_clear(&t);
}

#define EXPECT(rules, deny, ...)                                         \
	expect(rules, ARRAY_SIZE(rules), deny, (const struct row[]){ __VA_ARGS__ }, \
	       sizeof((const struct row[]){ __VA_ARGS__ }) / sizeof(struct row))

START_TEST(no_rules)
{
	expect(NULL, 0, true, &(struct row){ 256, DP_PP_TCP, 80, DP_VERDICT_DENY, DP_MATCH_NONE, 0 }, 1);
	expect(NULL, 0, false, &(struct row){ 256, DP_PP_TCP, 80, DP_VERDICT_ALLOW, DP_MATCH_ALL, 0 }, 1);
}
END_TEST

START_TEST(deny_over_allow)
{
	struct rule rules[] = {
		rule(1, CLITE_ALLOW, "a", IPPROTO_TCP, 80, 80),
		rule(2, CLITE_DENY, NULL, IPPROTO_TCP, 0, 65535),
		rule(3, CLITE_ALLOW, NULL, -1, 0, 0),
	};

	EXPECT(rules, true,
	       { 256, DP_PP_TCP, 80, DP_VERDICT_DENIED, DP_MATCH_PROTO, 2 },
	       { 257, DP_PP_UDP, 80, DP_VERDICT_ALLOW, DP_MATCH_ALL, 3 });
}
END_TEST

START_TEST(deny_without_default_deny)
{
	struct rule rules[] = { rule(1, CLITE_DENY, "b", -1, 0, 0) };

	EXPECT(rules, false, { 257, DP_PP_SCTP, 1, DP_VERDICT_DENIED, DP_MATCH_L3, 1 },
	       { 256, DP_PP_SCTP, 1, DP_VERDICT_ALLOW, DP_MATCH_ALL, 0 });
}
END_TEST

START_TEST(credit)
{
	struct rule rules[] = {
		rule(1, CLITE_ALLOW, NULL, -1, 0, 0),
		rule(2, CLITE_ALLOW, NULL, IPPROTO_TCP, 0, 65535),
		rule(3, CLITE_ALLOW, NULL, IPPROTO_TCP, 80, 80),
		rule(4, CLITE_ALLOW, "a", -1, 0, 0),
		rule(5, CLITE_ALLOW, "a", IPPROTO_TCP, 0, 65535),
		rule(7, CLITE_ALLOW, "a", IPPROTO_TCP, 80, 80),
		rule(6, CLITE_ALLOW, "a", IPPROTO_TCP, 80, 81),
	};

	EXPECT(rules, true,
	       { 256, DP_PP_TCP, 80, DP_VERDICT_ALLOW, DP_MATCH_L3_L4, 6 },
	       { 256, DP_PP_TCP, 82, DP_VERDICT_ALLOW, DP_MATCH_L3_PROTO, 5 },
	       { 256, DP_PP_UDP, 80, DP_VERDICT_ALLOW, DP_MATCH_L3, 4 },
	       { 257, DP_PP_TCP, 80, DP_VERDICT_ALLOW, DP_MATCH_L4, 3 },
	       { 257, DP_PP_TCP, 81, DP_VERDICT_ALLOW, DP_MATCH_PROTO, 2 },
	       { 257, DP_PP_UDP, 81, DP_VERDICT_ALLOW, DP_MATCH_ALL, 1 });
}
END_TEST

START_TEST(prefixes_inside_prefixes)
{
	struct rule rules[] = {
		rule(1, CLITE_ALLOW, "10.0.0.0/8", IPPROTO_TCP, 80, 80),
		rule(2, CLITE_ALLOW, "10.1.0.0/16", IPPROTO_TCP, 443, 443),
	};

	EXPECT(rules, true,
	       { CLITE_ID_FIRST_CIDR, DP_PP_TCP, 80, DP_VERDICT_ALLOW, DP_MATCH_L3_L4, 1 },
	       { CLITE_ID_FIRST_CIDR, DP_PP_TCP, 443, DP_VERDICT_DENY, DP_MATCH_NONE, 0 },
	       { CLITE_ID_FIRST_CIDR + 1, DP_PP_TCP, 80, DP_VERDICT_ALLOW, DP_MATCH_L3_L4, 1 },
	       { CLITE_ID_FIRST_CIDR + 1, DP_PP_TCP, 443, DP_VERDICT_ALLOW, DP_MATCH_L3_L4, 2 },
	       { CLITE_ID_WORLD_IPV4, DP_PP_TCP, 80, DP_VERDICT_DENY, DP_MATCH_NONE, 0 });
}
END_TEST

START_TEST(any_protocol)
{
	struct rule rules[] = {
		rule(1, CLITE_ALLOW, "a", 0, 0, 65535),
		rule(2, CLITE_ALLOW, "b", 0, 53, 53),
		rule(3, CLITE_ALLOW, "b", IPPROTO_ICMPV6, 128, 128),
	};

	EXPECT(rules, true,
	       { 256, DP_PP_ICMP, 8, DP_VERDICT_ALLOW, DP_MATCH_L3, 1 },
	       { 257, DP_PP_SCTP, 53, DP_VERDICT_ALLOW, DP_MATCH_L3_L4, 2 },
	       { 257, DP_PP_ICMP, 53, DP_VERDICT_DENY, DP_MATCH_NONE, 0 },
	       { 257, DP_PP_ICMPV6, 128, DP_VERDICT_ALLOW, DP_MATCH_L3_L4, 3 },
	       { 257, DP_PP_ICMP, 128, DP_VERDICT_DENY, DP_MATCH_NONE, 0 });
}
END_TEST

START_TEST(ports_that_touch)
{
	struct rule rules[] = {
		rule(1, CLITE_ALLOW, NULL, IPPROTO_TCP, 0, 99),
		rule(2, CLITE_ALLOW, NULL, IPPROTO_TCP, 100, 199),
		rule(3, CLITE_DENY, NULL, IPPROTO_TCP, 99, 100),
		rule(4, CLITE_ALLOW, NULL, IPPROTO_TCP, 65535, 65535),
	};

	EXPECT(rules, true,
	       { 256, DP_PP_TCP, 98, DP_VERDICT_ALLOW, DP_MATCH_L4, 1 },
	       { 256, DP_PP_TCP, 99, DP_VERDICT_DENIED, DP_MATCH_L4, 3 },
	       { 256, DP_PP_TCP, 100, DP_VERDICT_DENIED, DP_MATCH_L4, 3 },
	       { 256, DP_PP_TCP, 101, DP_VERDICT_ALLOW, DP_MATCH_L4, 2 },
	       { 256, DP_PP_TCP, 200, DP_VERDICT_DENY, DP_MATCH_NONE, 0 },
	       { 256, DP_PP_TCP, 65535, DP_VERDICT_ALLOW, DP_MATCH_L4, 4 },
	       { 256, DP_PP_UDP, 0, DP_VERDICT_DENY, DP_MATCH_NONE, 0 });
}
END_TEST

/* ---- rule sets ------------------------------------------------------------------------------ */

static struct part part(uint32_t ingress, struct rule *rules, size_t n)
{
	struct part p = { .rules = rules, .nrules = n };

	p.default_deny[CLITE_INGRESS] = ingress;
	return p;
}

static struct ruleset build(struct part *parts, size_t n, const char *subject, uint32_t direction)
{
	struct policy p = { .parts = parts, .nparts = n }, *list = &p;
	_cleanup_(labels_clear) struct labels l = labels(subject);
	struct subject s = { .labels = &l };
	struct ruleset rs;

	ck_assert_int_eq(ruleset_build(&list, 1, &s, direction, NULL, &rs), 0);
	return rs;
}

static void ruled(struct part *parts, size_t n, const char *subject, uint32_t direction,
		  bool enforced, bool deny, size_t rules)
{
	struct ruleset rs = build(parts, n, subject, direction);

	ck_assert_int_eq(rs.enforced, enforced);
	ck_assert_int_eq(rs.default_deny, deny);
	ck_assert_uint_eq(rs.n, rules);
	for (size_t i = 1; i < rs.n; i++)
		ck_assert_uint_lt(rs.rules[i - 1]->cookie, rs.rules[i]->cookie);
	ruleset_clear(&rs);
}

START_TEST(rulesets)
{
	struct rule in[] = { rule(5, CLITE_ALLOW, "a", -1, 0, 0),
			     rule(3, CLITE_DENY, "b", -1, 0, 0) };
	struct part parts[] = { part(CLITE_DEFAULT_DENY_AUTO, in, 2),
				part(CLITE_DEFAULT_DENY_OFF, in, 1),
				part(CLITE_DEFAULT_DENY_ON, NULL, 0) };

	ruled(parts, 0, "app=x", CLITE_INGRESS, false, false, 0);
	ruled(parts, 1, "app=x", CLITE_INGRESS, true, true, 2);
	ruled(parts, 1, "app=x", CLITE_EGRESS, false, false, 0);
	ruled(parts + 1, 1, "app=x", CLITE_INGRESS, true, false, 1);
	ruled(parts + 1, 2, "app=x", CLITE_INGRESS, true, true, 1);
	ruled(parts + 2, 1, "app=x", CLITE_INGRESS, true, true, 0);
	parts[0].subject = app(CLITE_OP_IN, "y");
	ruled(parts, 1, "app=x", CLITE_INGRESS, false, false, 0);
	ruled(parts, 1, "app=y", CLITE_INGRESS, true, true, 2);
	/* Of whom nothing is known yet: both ways, whatever is said. */
	ruled(parts, 0, "reserved:init", CLITE_EGRESS, true, true, 0);
	ruled(parts + 1, 1, "reserved:init", CLITE_INGRESS, true, true, 1);
	selector_clear(&parts[0].subject);
	rule_clear(&in[0]);
	rule_clear(&in[1]);
}
END_TEST

START_TEST(rulesets_are_compared)
{
	struct rule in[] = { rule(5, CLITE_ALLOW, "a", -1, 0, 0),
			     rule(6, CLITE_ALLOW, "a", -1, 0, 0) };
	struct ruleset both = ruleset_of(in, 2, true), one = ruleset_of(in, 1, true);
	struct ruleset again = ruleset_of(in, 2, true), open = ruleset_of(in, 2, false);

	ck_assert_int_eq(ruleset_cmp(&both, &again), 0);
	ck_assert_int_ne(ruleset_cmp(&both, &one), 0);
	ck_assert_int_ne(ruleset_cmp(&both, &open), 0);
	ck_assert_int_eq(ruleset_cmp(&both, &one) < 0, ruleset_cmp(&one, &both) > 0);
	ruleset_clear(&both);
	ruleset_clear(&one);
	ruleset_clear(&again);
	ruleset_clear(&open);
	rule_clear(&in[0]);
	rule_clear(&in[1]);
}
END_TEST

/* What the settings of an instance and of an endpoint make of it. */
static struct ruleset build_in(struct part *parts, size_t n, const char *subject, bool audit,
			       uint32_t direction, const struct world *world)
{
	struct policy p = { .parts = parts, .nparts = n }, *list = &p;
	_cleanup_(labels_clear) struct labels l = labels(subject);
	struct subject s = { .labels = &l, .audit = audit };
	struct ruleset rs;

	ck_assert_int_eq(ruleset_build(&list, 1, &s, direction, world, &rs), 0);
	return rs;
}

static void ruled_in(struct part *parts, size_t n, const char *subject, uint32_t direction,
		     const struct world *world, bool enforced, bool deny, size_t rules)
{
	struct ruleset rs = build_in(parts, n, subject, false, direction, world);

	ck_assert_int_eq(rs.enforced, enforced);
	ck_assert_int_eq(rs.default_deny, deny);
	ck_assert_uint_eq(rs.n, rules);
	ruleset_clear(&rs);
}

START_TEST(enforcement_modes)
{
	struct rule in[] = { rule(5, CLITE_ALLOW, "a", -1, 0, 0) };
	struct part parts[] = { part(CLITE_DEFAULT_DENY_OFF, in, 1),
				part(CLITE_DEFAULT_DENY_AUTO, in, 1) };
	struct world usual = {}, always = { .enforcement = CLITE_ENFORCE_ALWAYS },
		     never = { .enforcement = CLITE_ENFORCE_NEVER, .audit = true, .localhost = true };

	ruled_in(parts, 0, "app=x", CLITE_INGRESS, &usual, false, false, 0);
	ruled_in(parts, 1, "app=x", CLITE_INGRESS, &usual, true, false, 1);
	/* both ways, without a policy, and whatever enableDefaultDeny says */
	ruled_in(parts, 0, "app=x", CLITE_INGRESS, &always, true, true, 0);
	ruled_in(parts, 0, "app=x", CLITE_EGRESS, &always, true, true, 0);
	ruled_in(parts, 1, "app=x", CLITE_INGRESS, &always, true, true, 1);
	ruled_in(parts + 1, 1, "app=x", CLITE_EGRESS, &always, true, true, 0);
	/* nobody, not even of whom nothing is known */
	ruled_in(parts + 1, 1, "app=x", CLITE_INGRESS, &never, false, false, 0);
	ruled_in(parts + 1, 1, "reserved:init", CLITE_INGRESS, &never, false, false, 0);
	rule_clear(&in[0]);
}
END_TEST

START_TEST(audit_mode)
{
	struct rule in[] = { rule(5, CLITE_ALLOW, "a", -1, 0, 0) };
	struct part parts[] = { part(CLITE_DEFAULT_DENY_AUTO, in, 1) };
	struct world usual = {}, all = { .audit = true };
	struct ruleset of_one = build_in(parts, 1, "app=x", true, CLITE_INGRESS, &usual);
	struct ruleset of_all = build_in(parts, 1, "app=x", false, CLITE_INGRESS, &all);
	struct ruleset of_none = build_in(parts, 1, "app=x", false, CLITE_INGRESS, &usual);
	struct ruleset open = build_in(parts, 1, "app=x", true, CLITE_EGRESS, &all);

	ck_assert(of_one.audit && of_all.audit && !of_none.audit);
	/* Still a denial: only what becomes of the packet is another. */
	ck_assert(of_one.enforced && of_one.default_deny);
	ck_assert_int_eq(ruleset_cmp(&of_one, &of_all), 0);
	ck_assert_int_gt(ruleset_cmp(&of_one, &of_none), 0);
	ck_assert_int_lt(ruleset_cmp(&of_none, &of_one), 0);
	ck_assert(!open.enforced && !open.audit); /* where nothing is denied */
	ruleset_clear(&of_one);
	ruleset_clear(&of_all);
	ruleset_clear(&of_none);
	ruleset_clear(&open);
	rule_clear(&in[0]);
}
END_TEST

static struct dp_verdict asked(const struct ruleset *rs, uint32_t identity, uint16_t port)
{
	_cleanup_(identities_clear) struct identities ids = {};
	struct dp_verdict v;

	ck_assert_int_eq(identities_init(&ids), 0);
	v = judge(rs, identities_get(&ids, identity), DP_PP_TCP, port, NULL, NULL);
	return v;
}

START_TEST(the_host_is_allowed)
{
	struct rule in[] = { rule(5, CLITE_ALLOW, "a", -1, 0, 0),
			     rule(6, CLITE_DENY, "@host", IPPROTO_TCP, 81, 81) };
	struct part parts[] = { part(CLITE_DEFAULT_DENY_AUTO, in, 2) };
	struct world usual = {}, world = { .localhost = true };
	struct world strict = { .localhost = true, .enforcement = CLITE_ENFORCE_ALWAYS };
	struct ruleset rs = build_in(parts, 1, "app=x", false, CLITE_INGRESS, &world);
	struct ruleset plain = build_in(parts, 1, "app=x", false, CLITE_INGRESS, &usual);
	struct dp_verdict v = asked(&rs, CLITE_ID_HOST, 80);

	ck_assert_uint_eq(rs.n, 3);
	ck_assert_uint_eq(v.verdict, DP_VERDICT_ALLOW);
	ck_assert_uint_eq(v.match, DP_MATCH_L3);
	ck_assert_uint_eq(v.rule, 0); /* by nobody's */
	v = asked(&rs, CLITE_ID_HOST, 81); /* a deny rule wins */
	ck_assert_uint_eq(v.verdict, DP_VERDICT_DENIED);
	ck_assert_uint_eq(v.rule, 6);
	/* Nobody else: not the world, not other hosts. */
	ck_assert_uint_eq(asked(&rs, CLITE_ID_WORLD_IPV4, 80).verdict, DP_VERDICT_DENY);
	ck_assert_uint_eq(asked(&rs, CLITE_ID_REMOTE_NODE, 80).verdict, DP_VERDICT_DENY);
	ck_assert_uint_eq(asked(&plain, CLITE_ID_HOST, 80).verdict, DP_VERDICT_DENY);
	ck_assert_int_ne(ruleset_cmp(&rs, &plain), 0);
	/* Only what comes to it, and only where something is enforced. */
	ruled_in(parts, 1, "app=x", CLITE_EGRESS, &strict, true, true, 0);
	ruled_in(parts, 0, "app=x", CLITE_INGRESS, &world, false, false, 0);
	ruled_in(parts, 0, "app=x", CLITE_INGRESS, &strict, true, true, 1);
	ruleset_clear(&rs);
	ruleset_clear(&plain);
	rule_clear(&in[0]);
	rule_clear(&in[1]);
}
END_TEST

/* ---- at random --------------------------------------------------------------------------------- */

#define RULES 24
#define APPS 6
#define PREFIXES 8

static const uint16_t ports[] = { 0, 1, 53, 80, 81, 443, 8000, 8999, 65534, 65535 };

static const char *app_name(uint32_t i)
{
	static const char *const names[APPS] = { "a", "b", "c", "d", "e", "f" };

	return names[i % APPS];
}

/* Of both families, many inside others. */
static struct prefix random_prefix(void)
{
	static const uint8_t lengths[] = { 0, 7, 8, 9, 16, 17, 24, 32 };
	struct prefix p = { .family = one_in(3) ? 6 : 4, .ip = { 10 } };

	p.len = lengths[draw(ARRAY_SIZE(lengths))];
	p.ip[1] = (uint8_t)(draw(2) << 7);
	p.ip[2] = (uint8_t)(draw(2) << 7);
	p.ip[3] = (uint8_t)draw(2);
	for (uint32_t bit = p.len; bit < 128; bit++)
		p.ip[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	return p;
}

static struct peer random_peer(void)
{
	struct peer p = { .kind = CLITE_PEER_ENDPOINTS };

	switch (draw(4)) {
	case 0:
		p.kind = CLITE_PEER_ENTITY;
		p.entity = (enum entity)draw(ENTITY_COUNT_);
		break;
	case 1:
		p.kind = CLITE_PEER_CIDR;
		p.cidr = random_prefix();
		p.nexcept = draw(3);
		p.except = calloc(p.nexcept ?: 1, sizeof(*p.except));
		for (size_t i = 0; i < p.nexcept; i++)
			p.except[i] = random_prefix();
		break;
	case 2:
		p.selector = app(CLITE_OP_NOT_IN, app_name(draw(APPS)));
		break;
	default:
		p.selector = app(CLITE_OP_IN, app_name(draw(APPS)));
	}
	return p;
}

static struct port_range random_range(void)
{
	static const uint8_t protocols[] = { 0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP,
					     IPPROTO_ICMP, IPPROTO_ICMPV6 };
	uint16_t a = ports[draw(ARRAY_SIZE(ports))], b = ports[draw(ARRAY_SIZE(ports))];
	uint8_t protocol = protocols[draw(ARRAY_SIZE(protocols))];

	if (one_in(6))
		return (struct port_range){ protocol, 0, 65535, 0, NULL };
	if (one_in(2))
		b = a;
	return (struct port_range){ protocol, a < b ? a : b, a < b ? b : a, 0, NULL };
}

static struct rule random_rule(uint32_t cookie)
{
	struct rule r = {
		.direction = CLITE_INGRESS,
		.action = one_in(4) ? CLITE_DENY : CLITE_ALLOW,
		.cookie = cookie,
		.any_peer = one_in(6),
		.any_port = one_in(4),
	};

	r.npeers = r.any_peer ? 0 : draw(4);
	r.peers = calloc(r.npeers ?: 1, sizeof(*r.peers));
	for (size_t i = 0; i < r.npeers; i++)
		r.peers[i] = random_peer();
	r.nports = r.any_port ? 0 : draw(4);
	r.ports = calloc(r.nports ?: 1, sizeof(*r.ports));
	for (size_t i = 0; i < r.nports; i++)
		r.ports[i] = random_range();
	return r;
}

struct universe {
	struct identities ids;
	struct rule rules[RULES];
	struct ruleset rs;
	uint32_t next_app, next_cidr;
};

static struct identity *grow(struct universe *w)
{
	char text[64];

	if (one_in(2)) {
		struct prefix p = random_prefix();

		if (!identities_find_cidr(&w->ids, &p))
			return add_cidr(&w->ids, CLITE_ID_FIRST_CIDR + w->next_cidr++, &p);
	}
	if (w->next_app < APPS)
		snprintf(text, sizeof(text), "app=%s", app_name(w->next_app));
	else
		snprintf(text, sizeof(text), "other=%u", w->next_app);
	return add(&w->ids, 256 + w->next_app++, text);
}

static void world_make(struct universe *w)
{
	size_t n = 1 + draw(RULES);

	memset(w, 0, sizeof(*w));
	ck_assert_int_eq(identities_init(&w->ids), 0);
	for (uint32_t i = draw(APPS + PREFIXES); i; i--)
		grow(w);
	/* Numbers in another order than they are listed in. */
	for (size_t i = 0; i < n; i++)
		w->rules[i] = random_rule((uint32_t)(i * 7 % RULES) + 1);
	w->rs = ruleset_of(w->rules, n, one_in(2));
}

static void universe_clear(struct universe *w)
{
	ruleset_clear(&w->rs);
	for (size_t i = 0; i < RULES; i++)
		rule_clear(&w->rules[i]);
	identities_clear(&w->ids);
}

static void world_check(struct universe *w, const struct compiled *c, uint32_t packets)
{
	for (uint32_t i = 0; i < packets; i++) {
		uint16_t port = one_in(4) ? (uint16_t)draw(65536) :
					    (uint16_t)(ports[draw(ARRAY_SIZE(ports))] + draw(3) - 1);

		same(c, &w->rs, w->ids.v[draw((uint32_t)w->ids.n)], draw(5), port);
	}
}

static void world_grows(struct universe *w, struct compiled *c)
{
	struct identity *id = grow(w);
	size_t before = c->nverdicts, from = 0;
	uint32_t class = 77, next = compiled_next_class(c);

	ck_assert_int_eq(compiled_add_identity(c, id, &class, &from), 0);
	ck_assert_uint_eq(from, before);
	ck_assert_uint_le(class, next);
	/* Only a class that was not there brings verdicts. */
	if (class < next)
		ck_assert_uint_eq(c->nverdicts, before);
	for (size_t i = from; i < c->nverdicts; i++)
		ck_assert_uint_eq(c->verdicts[i].peer_class, class);
}

static void world_shrinks(struct universe *w, struct compiled *c)
{
	uint32_t id = w->ids.v[draw((uint32_t)w->ids.n)]->id;

	if (id < 256)
		return;
	compiled_remove_identity(c, id);
	identities_remove(&w->ids, id);
}

/* What another process finds: compile() anew gets the old numbers. */
static void world_adopts(struct universe *w, struct compiled **c)
{
	_cleanup_free_ struct compiled_peer *kernel = calloc((*c)->npeers + 1, sizeof(*kernel));
	uint32_t next = compiled_next_class(*c);
	size_t n = (*c)->npeers;
	struct compiled *new;

	if (n)
		memcpy(kernel, (*c)->peers, n * sizeof(*kernel));
	ck_assert_int_eq(compile(&w->rs, &w->ids, &new), 0);
	if (n) { /* contradictions are seen */
		kernel[0].class += next;
		ck_assert_int_eq(compiled_adopt(new, kernel, n, next), -EBADMSG);
		kernel[0].class -= next;
		ck_assert_int_eq(compiled_adopt(new, kernel, n - 1, next), -EBADMSG);
	}
	ck_assert_int_eq(compiled_adopt(new, kernel, n, next), 0);
	ck_assert_uint_eq(compiled_next_class(new), next);
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_eq(new->peers[i].identity, kernel[i].identity);
		ck_assert_uint_eq(new->peers[i].class, kernel[i].class);
	}
	ck_assert_uint_eq(new->nports, (*c)->nports);
	ck_assert_mem_eq(new->ports, (*c)->ports, new->nports * sizeof(*new->ports));
	compiled_free(*c);
	*c = new;
}

static void one_world(void)
{
	struct compiled *c;
	struct universe w;

	world_make(&w);
	ck_assert_int_eq(compile(&w.rs, &w.ids, &c), 0);
	ck_assert_uint_eq(c->ports[0].start, 0);
	for (size_t i = 1; i < c->nports; i++)
		ck_assert_uint_lt(c->ports[i - 1].start, c->ports[i].start);
	world_check(&w, c, 40);
	for (uint32_t i = 0; i < 6; i++) {
		world_grows(&w, c);
		if (one_in(3))
			world_shrinks(&w, c);
		world_check(&w, c, 10);
		if (one_in(3)) {
			world_adopts(&w, &c);
			world_check(&w, c, 10);
		}
	}
	compiled_free(c);
	universe_clear(&w);
}

static void worlds(uint64_t from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		seed = from + i;
		draw(1);
		one_world();
	}
}

START_TEST(at_random_always_the_same)
{
	worlds(1, 1000);
}
END_TEST

/* CLITE_TEST_SEED repeats one. */
START_TEST(at_random)
{
	const char *given = getenv("CLITE_TEST_SEED");
	uint64_t from = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 1000003;

	printf("seed %llu\n", (unsigned long long)from);
	fflush(stdout);
	worlds(from, 1000);
}
END_TEST

/* ---- the index of peers, against asking every rule -------------------------------------- */

#define INDEX_RULES 60
#define INDEX_IDENTITIES 80

static const char *const index_keys[] = { "app", "tier", "ns" };
static const char *const index_sources[] = { "k8s", "any", "unspec" };

static struct requirement random_requirement(void)
{
	static const uint32_t ops[] = { CLITE_OP_IN, CLITE_OP_IN, CLITE_OP_NOT_IN, CLITE_OP_EXISTS,
					CLITE_OP_DOES_NOT_EXIST };
	struct requirement q = { .op = ops[draw(ARRAY_SIZE(ops))] };
	uint32_t op = q.op;
	char key[32];

	snprintf(key, sizeof(key), "%s:%s", index_sources[draw(3)], index_keys[draw(3)]);
	ck_assert_int_eq(requirement_set_key(&q, key), 0);
	q.op = op;
	q.nvalues = op == CLITE_OP_IN || op == CLITE_OP_NOT_IN ? draw(4) : 0; /* 0: nobody */
	q.values = calloc(q.nvalues ?: 1, sizeof(char *));
	for (size_t i = 0; i < q.nvalues; i++)
		q.values[i] = strdup(app_name(draw(APPS)));
	return q;
}

static struct peer index_peer(void)
{
	struct peer p = { .kind = CLITE_PEER_ENDPOINTS };

	if (one_in(3))
		return random_peer();
	if (one_in(8)) {
		p.kind = PEER_IDENTITY;
		p.identity = one_in(2) ? 256 + draw(INDEX_IDENTITIES) : 1 + draw(10);
		return p;
	}
	p.selector.nreqs = draw(4);
	p.selector.reqs = calloc(p.selector.nreqs ?: 1, sizeof(*p.selector.reqs));
	for (size_t i = 0; i < p.selector.nreqs; i++)
		p.selector.reqs[i] = random_requirement();
	return p;
}

static void index_identities(struct identities *t)
{
	for (uint32_t i = 0; i < INDEX_IDENTITIES; i++) {
		char text[4][32];
		const char *texts[5] = { text[0], text[1], text[2], text[3], NULL };
		struct prefix p = random_prefix();
		struct labels l;

		for (size_t k = 0; k < 3; k++)
			snprintf(text[k], sizeof(text[k]), "%s:%s=%s", index_sources[draw(2) * 2],
				 index_keys[k], app_name(draw(APPS)));
		snprintf(text[3], sizeof(text[3]), "k8s:number=%u", i);
		if (one_in(3) && !identities_find_cidr(t, &p)) {
			add_cidr(t, CLITE_ID_FIRST_CIDR + i, &p);
			continue;
		}
		/* Not all labels, but the one that makes it another. */
		ck_assert_int_eq(labels_parse(texts + draw(4), &l, NULL), 0);
		ck_assert_int_eq(identities_add(t, 256 + i, &l, NULL, NULL), 0);
	}
}

/* How many rules were found. */
static size_t index_same(const struct peer_index *x, const struct rule *const *rules, size_t n,
			 const struct identity *id)
{
	_cleanup_free_ uint32_t *found = NULL;
	size_t nfound, k = 0;

	ck_assert_int_eq(peer_index_find(x, rules, id, &found, &nfound), 0);
	for (uint32_t i = 0; i < n; i++) {
		if (rules[i]->any_peer || !rule_selects(rules[i], id))
			continue;
		ck_assert_msg(k < nfound && found[k] == i,
			      "rule %u selects %s, and the index does not say so", i,
			      id->labels.text[0]);
		k++;
	}
	ck_assert_uint_eq(k, nfound);
	return nfound;
}

static size_t one_index(void)
{
	static const uint32_t some[] = { 1, 2, 9, 256, 258, 260, 270, CLITE_ID_FIRST_CIDR + 3 };
	struct rule rules[INDEX_RULES] = {};
	const struct rule *list[INDEX_RULES];
	struct peer_index x = {};
	struct identities ids;
	size_t sum = 0;

	ck_assert_int_eq(identities_init(&ids), 0);
	index_identities(&ids);
	for (uint32_t i = 0; i < INDEX_RULES; i++) {
		struct rule *r = &rules[i];

		list[i] = r;
		r->any_peer = one_in(10);
		r->npeers = r->any_peer ? 0 : draw(4);
		r->peers = calloc(r->npeers ?: 1, sizeof(*r->peers));
		for (size_t k = 0; k < r->npeers; k++)
			r->peers[k] = index_peer();
		if (!r->any_peer && one_in(6)) {
			r->only = some;
			r->nonly = ARRAY_SIZE(some);
		}
		ck_assert_int_eq(peer_index_add(&x, i, r), 0);
	}
	ck_assert_int_eq(peer_index_sort(&x), 0);
	for (size_t i = 0; i < ids.n; i++)
		sum += index_same(&x, list, INDEX_RULES, ids.v[i]);
	peer_index_clear(&x);
	for (size_t i = 0; i < INDEX_RULES; i++)
		rule_clear(&rules[i]);
	identities_clear(&ids);
	return sum;
}

START_TEST(index_asks_who_matters)
{
	size_t sum = 0;

	for (seed = 1; seed <= 300; seed++) {
		uint64_t this = seed;

		printf("index: seed %llu\n", (unsigned long long)this);
		fflush(stdout);
		draw(1);
		sum += one_index();
		seed = this;
	}
	/* Neither nobody nor everybody was found. */
	ck_assert_uint_gt(sum, 300 * INDEX_IDENTITIES);
	ck_assert_uint_lt(sum, (size_t)300 * INDEX_IDENTITIES * INDEX_RULES);
}
END_TEST

/* A label that all rules name is not what their rules are found by. */
START_TEST(index_chooses_what_is_rare)
{
	struct rule rules[INDEX_RULES] = {};
	struct requirement reqs[INDEX_RULES][2];
	struct peer peers[INDEX_RULES] = {};
	struct peer_index x = {};

	for (uint32_t i = 0; i < INDEX_RULES; i++) {
		static char *same[] = { "default" };
		static char value[INDEX_RULES][16], *values[INDEX_RULES];

		snprintf(value[i], sizeof(value[i]), "app-%u", i);
		values[i] = value[i];
		reqs[i][i % 2] = (struct requirement){ .key = "ns", .op = CLITE_OP_IN,
						       .values = same, .nvalues = 1 };
		reqs[i][!(i % 2)] = (struct requirement){ .key = "app", .op = CLITE_OP_IN,
							  .values = &values[i], .nvalues = 1 };
		peers[i] = (struct peer){ .kind = CLITE_PEER_ENDPOINTS,
					  .selector = { .reqs = reqs[i], .nreqs = 2 } };
		rules[i] = (struct rule){ .peers = &peers[i], .npeers = 1 };
		ck_assert_int_eq(peer_index_add(&x, i, &rules[i]), 0);
	}
	ck_assert_int_eq(peer_index_sort(&x), 0);
	ck_assert_uint_eq(x.n, INDEX_RULES);
	for (size_t i = 1; i < x.n; i++)
		ck_assert_uint_lt(x.v[i - 1].hash, x.v[i].hash);
	peer_index_clear(&x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("compile");
	TCase *hand = tcase_create("by hand"), *random = tcase_create("at random");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, hand);
	tcase_add_test(hand, no_rules);
	tcase_add_test(hand, deny_over_allow);
	tcase_add_test(hand, deny_without_default_deny);
	tcase_add_test(hand, credit);
	tcase_add_test(hand, prefixes_inside_prefixes);
	tcase_add_test(hand, any_protocol);
	tcase_add_test(hand, ports_that_touch);
	tcase_add_test(hand, rulesets);
	tcase_add_test(hand, rulesets_are_compared);
	tcase_add_test(hand, enforcement_modes);
	tcase_add_test(hand, audit_mode);
	tcase_add_test(hand, the_host_is_allowed);
	tcase_add_test(hand, index_chooses_what_is_rare);
	suite_add_tcase(s, random);
	tcase_set_timeout(random, 100);
	tcase_add_test(random, index_asks_who_matters);
	tcase_add_test(random, at_random_always_the_same);
	tcase_add_test(random, at_random);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
