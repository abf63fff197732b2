/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/identity.h"

#include <check.h>
#include <cilium-lite/identity.h>
#include <cilium-lite/policy.h>
#include <errno.h>
#include <stdio.h>

#define LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static struct labels parse(const char *const *texts)
{
	struct errtext err = {};
	struct labels l;

	ck_assert_msg(labels_parse(texts, &l, &err) == 0, "%s", err.text);
	return l;
}

static struct prefix prefix(const char *text)
{
	struct prefix p;

	ck_assert_int_eq(prefix_parse(text, &p), 0);
	return p;
}

/* ---- labels ------------------------------------------------------------------- */

START_TEST(labels_are_read)
{
	static const struct {
		const char *text, *source, *key, *value, *printed;
	} rows[] = {
		{ "app=web", "unspec", "app", "web", "unspec:app=web" },
		{ "k8s:app=web", "k8s", "app", "web", "k8s:app=web" },
		{ "k8s:app", "k8s", "app", "", "k8s:app" },
		{ "app", "unspec", "app", "", "unspec:app" },
		{ "k8s:app=", "k8s", "app", "", "k8s:app" },
		{ "url=http://x:1/?a=b", "unspec", "url", "http://x:1/?a=b",
		  "unspec:url=http://x:1/?a=b" },
		{ "k8s:a:b=c", "k8s", "a:b", "c", "k8s:a:b=c" },
		{ "reserved:host", "reserved", "host", "", "reserved:host" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(labels_clear) struct labels l = parse(LABELS(rows[i].text));

		ck_assert_uint_eq(l.n, 1);
		ck_assert_str_eq(l.l[0].source, rows[i].source);
		ck_assert_str_eq(l.l[0].key, rows[i].key);
		ck_assert_str_eq(l.l[0].value, rows[i].value);
		ck_assert_str_eq(l.text[0], rows[i].printed);
		ck_assert_ptr_null(l.text[1]);
	}
}
END_TEST

START_TEST(labels_that_are_none)
{
	static const char *const texts[] = { "", "=web", "k8s:=web", ":app=web", "k8s:" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct labels l = { .n = 77 };
		struct errtext err = {};

		ck_assert_int_eq(labels_parse(LABELS("good=1", texts[i]), &l, &err), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err.text, texts[i]));
		ck_assert_uint_eq(l.n, 77);
		err_clear(&err);
	}
}
END_TEST

START_TEST(labels_twice)
{
	struct errtext err = {};
	struct labels l;

	ck_assert_int_eq(labels_parse(LABELS("k8s:a=1", "b=2", "k8s:a=2"), &l, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "k8s:a"));
	err_clear(&err);
	l = parse(LABELS("k8s:a=1", "container:a=2"));
	ck_assert_uint_eq(l.n, 2);
	labels_clear(&l);
}
END_TEST

START_TEST(no_labels_are_init)
{
	const char *const none[] = { NULL };
	_cleanup_(labels_clear) struct labels a = parse(NULL), b = parse(none);

	ck_assert_str_eq(a.text[0], "reserved:init");
	ck_assert_int_eq(labels_cmp(&a, &b), 0);
}
END_TEST

START_TEST(labels_have_an_order)
{
	_cleanup_(labels_clear) struct labels a = parse(LABELS("z=1", "k8s:b=2", "a=3", "any:b=4"));
	_cleanup_(labels_clear) struct labels b = parse(LABELS("any:b=4", "a=3", "z=1", "k8s:b=2"));
	_cleanup_(labels_clear) struct labels less = parse(LABELS("any:b=4", "a=3", "z=1"));

	ck_assert_str_eq(a.text[0], "unspec:a=3");
	ck_assert_str_eq(a.text[1], "any:b=4");
	ck_assert_str_eq(a.text[2], "k8s:b=2");
	ck_assert_str_eq(a.text[3], "unspec:z=1");
	ck_assert_int_eq(labels_cmp(&a, &b), 0);
	ck_assert_int_ne(labels_cmp(&a, &less), 0);
	ck_assert_int_eq(labels_cmp(&a, &less) < 0, labels_cmp(&less, &a) > 0);
}
END_TEST

START_TEST(labels_of_prefixes)
{
	struct prefix v4 = prefix("10.1.0.0/16"), v6 = prefix("2001:db8::/32");
	struct labels l;

	ck_assert_int_eq(cidr_labels(&v4, &l), 0);
	ck_assert_uint_eq(l.n, 3);
	ck_assert_str_eq(l.text[0], "cidr:10.1.0.0/16");
	ck_assert_str_eq(l.text[1], "reserved:world");
	ck_assert_str_eq(l.text[2], "reserved:world-ipv4");
	labels_clear(&l);
	ck_assert_int_eq(cidr_labels(&v6, &l), 0);
	ck_assert_str_eq(l.text[0], "cidr:2001:db8::/32");
	ck_assert_str_eq(l.text[2], "reserved:world-ipv6");
	labels_clear(&l);
}
END_TEST

/* ---- the table ------------------------------------------------------------------ */

static struct identity *add(struct identities *t, uint32_t id, const char *const *texts)
{
	struct labels l = parse(texts);
	struct identity *ret;

	ck_assert_int_eq(identities_add(t, id, &l, NULL, &ret), 0);
	ck_assert_uint_eq(l.n, 0);
	return ret;
}

START_TEST(table)
{
	_cleanup_(identities_clear) struct identities t;
	struct prefix p = prefix("10.0.0.0/8"), q = prefix("10.0.0.0/9");
	struct labels l;
	struct identity *web;

	ck_assert_int_eq(identities_init(&t), 0);
	ck_assert_uint_eq(t.n, 11);
	ck_assert_str_eq(identities_get(&t, CLITE_ID_WORLD_IPV4)->labels.text[0], "reserved:world");
	ck_assert_str_eq(identities_get(&t, CLITE_ID_WORLD_IPV4)->labels.text[1],
			 "reserved:world-ipv4");
	ck_assert_uint_eq(identities_get(&t, CLITE_ID_KUBE_APISERVER)->labels.n, 2);
	ck_assert_ptr_null(identities_get(&t, 0));
	add(&t, 300, LABELS("app=c"));
	web = add(&t, 256, LABELS("app=web"));
	add(&t, 299, LABELS("app=b"));
	ck_assert_int_eq(cidr_labels(&p, &l), 0);
	ck_assert_int_eq(identities_add(&t, CLITE_ID_FIRST_CIDR, &l, &p, NULL), 0);

	ck_assert_ptr_eq(identities_get(&t, 256), web);
	for (size_t i = 0; i < t.n; i++) {
		ck_assert_uint_eq(t.v[i]->index, i);
		ck_assert(!i || t.v[i - 1]->id < t.v[i]->id);
	}
	l = parse(LABELS("app=web"));
	ck_assert_ptr_eq(identities_find_labels(&t, &l), web);
	ck_assert_int_eq(identities_add(&t, 256, &l, NULL, NULL), -EEXIST);
	ck_assert_uint_eq(l.n, 1);
	labels_clear(&l);
	ck_assert_uint_eq(identities_find_cidr(&t, &p)->id, CLITE_ID_FIRST_CIDR);
	ck_assert_ptr_null(identities_find_cidr(&t, &q));

	identities_remove(&t, 256);
	identities_remove(&t, 256);
	ck_assert_ptr_null(identities_get(&t, 256));
	ck_assert_uint_eq(identities_get(&t, 299)->index, identities_get(&t, 300)->index - 1);
}
END_TEST

START_TEST(numbers_go_round)
{
	_cleanup_(identities_clear) struct identities t;
	uint32_t next = 0;

	ck_assert_int_eq(identities_init(&t), 0);
	ck_assert_uint_eq(identities_next(&t, false, &next), 256);
	ck_assert_uint_eq(identities_next(&t, false, &next), 257);
	add(&t, 258, LABELS("a=1"));
	ck_assert_uint_eq(identities_next(&t, false, &next), 259);
	next = 65535;
	ck_assert_uint_eq(identities_next(&t, false, &next), 65535);
	ck_assert_uint_eq(identities_next(&t, false, &next), 256);
	next = 0;
	ck_assert_uint_eq(identities_next(&t, true, &next), CLITE_ID_FIRST_CIDR);
	next = CLITE_ID_FIRST_CIDR + 65536;
	ck_assert_uint_eq(identities_next(&t, true, &next), CLITE_ID_FIRST_CIDR);
}
END_TEST

START_TEST(numbers_run_out)
{
	_cleanup_(identities_clear) struct identities t;
	uint32_t next = 1000;

	ck_assert_int_eq(identities_init(&t), 0);
	for (uint32_t id = 256; id <= 65535; id++) {
		char text[16];

		snprintf(text, sizeof(text), "n=%u", id);
		add(&t, id, LABELS(text));
	}
	ck_assert_uint_eq(identities_next(&t, false, &next), 0);
	identities_remove(&t, 700);
	ck_assert_uint_eq(identities_next(&t, false, &next), 700);
}
END_TEST

/* ---- selectors -------------------------------------------------------------------- */

static struct requirement requirement(const char *key, uint32_t op, const char *a, const char *b)
{
	struct requirement q = { .op = op, .values = calloc(2, sizeof(char *)) };

	ck_assert_int_eq(requirement_set_key(&q, key), 0);
	if (a)
		q.values[q.nvalues++] = strdup(a);
	if (b)
		q.values[q.nvalues++] = strdup(b);
	return q;
}

static struct selector selector(const struct requirement *reqs, size_t n)
{
	struct selector s = { .reqs = calloc(n ?: 1, sizeof(*reqs)), .nreqs = n };

	if (n)
		memcpy(s.reqs, reqs, n * sizeof(*reqs));
	return s;
}

static bool matches(const char *key, uint32_t op, const char *a, const char *b,
		    const char *const *texts)
{
	struct requirement q = requirement(key, op, a, b);
	_cleanup_(selector_clear) struct selector s = selector(&q, 1);
	_cleanup_(labels_clear) struct labels l = parse(texts);

	return selector_matches(&s, &l);
}

START_TEST(operators)
{
	const char *const *web = LABELS("k8s:app=web", "container:app=old", "env=prod");

	ck_assert(matches("app", CLITE_OP_IN, "web", NULL, web));
	ck_assert(matches("app", CLITE_OP_IN, "x", "old", web));
	ck_assert(matches("any:app", CLITE_OP_IN, "old", NULL, web));
	ck_assert(matches("k8s:app", CLITE_OP_IN, "web", NULL, web));
	ck_assert(!matches("k8s:app", CLITE_OP_IN, "old", NULL, web));
	ck_assert(!matches("app", CLITE_OP_IN, "we", "webb", web));
	ck_assert(!matches("ap", CLITE_OP_IN, "web", NULL, web));
	ck_assert(!matches("app", CLITE_OP_NOT_IN, "x", "old", web));
	ck_assert(matches("k8s:app", CLITE_OP_NOT_IN, "x", "old", web));
	ck_assert(matches("nothing", CLITE_OP_NOT_IN, "x", NULL, web));
	ck_assert(matches("env", CLITE_OP_EXISTS, NULL, NULL, web));
	ck_assert(!matches("k8s:env", CLITE_OP_EXISTS, NULL, NULL, web));
	ck_assert(matches("k8s:env", CLITE_OP_DOES_NOT_EXIST, NULL, NULL, web));
	ck_assert(!matches("app", CLITE_OP_DOES_NOT_EXIST, NULL, NULL, web));
}
END_TEST

START_TEST(all_requirements_hold)
{
	struct requirement q[] = { requirement("app", CLITE_OP_IN, "web", NULL),
				   requirement("env", CLITE_OP_NOT_IN, "test", NULL) };
	_cleanup_(selector_clear) struct selector s = selector(q, 2), all = {};
	_cleanup_(labels_clear) struct labels prod = parse(LABELS("app=web", "env=prod"));
	_cleanup_(labels_clear) struct labels test = parse(LABELS("app=web", "env=test"));

	ck_assert(selector_matches(&s, &prod));
	ck_assert(!selector_matches(&s, &test));
	ck_assert(selector_matches(&all, &test));
}
END_TEST

/* ---- peers -------------------------------------------------------------------------- */

struct people {
	struct identities t;
	struct identity *web, *ten, *ten_one, *v6;
};

static struct identity *add_cidr(struct identities *t, uint32_t id, const char *text)
{
	struct prefix p = prefix(text);
	struct identity *ret;
	struct labels l;

	ck_assert_int_eq(cidr_labels(&p, &l), 0);
	ck_assert_int_eq(identities_add(t, id, &l, &p, &ret), 0);
	return ret;
}

static void people_make(struct people *p)
{
	ck_assert_int_eq(identities_init(&p->t), 0);
	p->web = add(&p->t, 256, LABELS("app=web"));
	p->ten = add_cidr(&p->t, CLITE_ID_FIRST_CIDR, "10.0.0.0/8");
	p->ten_one = add_cidr(&p->t, CLITE_ID_FIRST_CIDR + 1, "10.1.0.0/16");
	p->v6 = add_cidr(&p->t, CLITE_ID_FIRST_CIDR + 2, "2001:db8::/32");
}

/* Exactly these numbers are selected. */
static void selects(const struct people *p, const struct peer *peer, const uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < p->t.n; i++) {
		bool expected = false;

		for (size_t j = 0; j < n; j++)
			expected |= p->t.v[i]->id == ids[j];
		ck_assert_msg(peer_selects(peer, p->t.v[i]) == expected, "identity %u",
			      p->t.v[i]->id);
	}
}

#define SELECTS(people, peer, ...)                                    \
	selects(people, peer, (const uint32_t[]){ __VA_ARGS__ },      \
		sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

START_TEST(endpoints_as_peers)
{
	struct requirement not = requirement("app", CLITE_OP_NOT_IN, "x", NULL);
	struct requirement host = requirement("reserved:host", CLITE_OP_EXISTS, NULL, NULL);
	struct peer peer = { .kind = CLITE_PEER_ENDPOINTS };
	struct people p;

	people_make(&p);
	SELECTS(&p, &peer, 256, CLITE_ID_INIT);
	peer.selector = selector(&not, 1);
	SELECTS(&p, &peer, 256, CLITE_ID_INIT);
	selector_clear(&peer.selector);
	peer.selector = selector(&host, 1);
	SELECTS(&p, &peer, CLITE_ID_HOST);
	selector_clear(&peer.selector);
	identities_clear(&p.t);
}
END_TEST

START_TEST(prefixes_as_peers)
{
	struct prefix except = prefix("10.1.0.0/16"), wide = prefix("10.0.0.0/7");
	struct peer peer = { .kind = CLITE_PEER_CIDR, .cidr = prefix("10.0.0.0/8") };
	struct people p;

	people_make(&p);
	SELECTS(&p, &peer, p.ten->id, p.ten_one->id);
	peer.except = &except;
	peer.nexcept = 1;
	SELECTS(&p, &peer, p.ten->id);
	peer.except = &wide;
	SELECTS(&p, &peer, 0);
	peer.nexcept = 0;
	peer.cidr = prefix("10.1.0.0/16");
	SELECTS(&p, &peer, p.ten_one->id);
	peer.cidr = prefix("10.1.2.0/24");
	SELECTS(&p, &peer, 0);
	peer.cidr = prefix("0.0.0.0/0");
	SELECTS(&p, &peer, p.ten->id, p.ten_one->id, CLITE_ID_WORLD, CLITE_ID_WORLD_IPV4);
	peer.cidr = prefix("::/0");
	SELECTS(&p, &peer, p.v6->id, CLITE_ID_WORLD, CLITE_ID_WORLD_IPV6);
	identities_clear(&p.t);
}
END_TEST

START_TEST(entities_as_peers)
{
	struct peer peer = { .kind = CLITE_PEER_ENTITY, .entity = ENTITY_WORLD };
	struct people p;

	people_make(&p);
	SELECTS(&p, &peer, 2, 9, 10, p.ten->id, p.ten_one->id, p.v6->id);
	peer.entity = ENTITY_WORLD_IPV6;
	SELECTS(&p, &peer, 10, p.v6->id);
	peer.entity = ENTITY_HOST;
	SELECTS(&p, &peer, 1);
	peer.entity = ENTITY_CLUSTER;
	SELECTS(&p, &peer, 1, 3, 4, 5, 6, 7, 8, 11, 256);
	peer.entity = ENTITY_NONE;
	SELECTS(&p, &peer, 0);
	peer.entity = ENTITY_ALL;
	for (size_t i = 0; i < p.t.n; i++)
		ck_assert(peer_selects(&peer, p.t.v[i]));
	identities_clear(&p.t);
}
END_TEST

START_TEST(rules_without_peers)
{
	struct rule everybody = { .any_peer = true }, nobody = {};
	struct people p;

	people_make(&p);
	for (size_t i = 0; i < p.t.n; i++) {
		ck_assert(rule_selects(&everybody, p.t.v[i]));
		ck_assert(!rule_selects(&nobody, p.t.v[i]));
	}
	identities_clear(&p.t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("identity");
	TCase *t = tcase_create("identity");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, labels_are_read);
	tcase_add_test(t, labels_that_are_none);
	tcase_add_test(t, labels_twice);
	tcase_add_test(t, no_labels_are_init);
	tcase_add_test(t, labels_have_an_order);
	tcase_add_test(t, labels_of_prefixes);
	tcase_add_test(t, table);
	tcase_add_test(t, numbers_go_round);
	tcase_add_test(t, numbers_run_out);
	tcase_add_test(t, operators);
	tcase_add_test(t, all_requirements_hold);
	tcase_add_test(t, endpoints_as_peers);
	tcase_add_test(t, prefixes_as_peers);
	tcase_add_test(t, entities_as_peers);
	tcase_add_test(t, rules_without_peers);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
