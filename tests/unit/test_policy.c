/* SPDX-License-Identifier: BSD-2-Clause */
#include <check.h>
#include <cilium-lite/policy.h>
#include <netinet/in.h>

#include "../policy_same.h"

/* ---- a policy with one of everything ------------------------------------- */

static char *copy(const char *s)
{
	char *d = strdup(s);

	ck_assert_ptr_nonnull(d);
	return d;
}

static void *zeroed(size_t n, size_t size)
{
	void *p = calloc(n, size);

	ck_assert_ptr_nonnull(p);
	return p;
}

static struct prefix prefix(const char *s)
{
	struct prefix p;

	ck_assert_int_eq(prefix_parse(s, &p), 0);
	return p;
}

/* key=value, op with one value */
static struct selector selector(const char *key, uint32_t op, const char *value)
{
	struct selector s = { .reqs = zeroed(1, sizeof(*s.reqs)), .nreqs = 1 };

	ck_assert_int_eq(requirement_set_key(&s.reqs[0], key), 0);
	s.reqs[0].op = op;
	if (value) {
		s.reqs[0].values = zeroed(1, sizeof(char *));
		s.reqs[0].values[0] = copy(value);
		s.reqs[0].nvalues = 1;
	}
	return s;
}

static void fill_ingress(struct rule *r)
{
	*r = (struct rule){
		.direction = CLITE_INGRESS,
		.action = CLITE_ALLOW,
		.peers = zeroed(3, sizeof(struct peer)),
		.npeers = 3,
		.ports = zeroed(2, sizeof(struct port_range)),
		.nports = 2,
		.line = 300,
		.index = 1,
		.cookie = 70000,
	};
	r->peers[0].kind = CLITE_PEER_ENDPOINTS;
	r->peers[0].selector = selector("k8s:app", CLITE_OP_NOT_IN, "web");
	r->peers[1].kind = CLITE_PEER_CIDR;
	r->peers[1].cidr = prefix("fd00::/9");
	r->peers[1].except = zeroed(2, sizeof(struct prefix));
	r->peers[1].except[0] = prefix("fd00::/64");
	r->peers[1].except[1] = prefix("fd01::1");
	r->peers[1].nexcept = 2;
	r->peers[2].kind = CLITE_PEER_ENTITY;
	r->peers[2].entity = ENTITY_REMOTE_NODE;
	r->ports[0] = (struct port_range){ IPPROTO_TCP, 80, 443, 0, NULL };
	r->ports[1] = (struct port_range){ 0, 0, 65535, 0, NULL };
}

static struct policy *sample(void)
{
	struct policy *p = zeroed(1, sizeof(*p));

	p->name = copy("ns/web");
	p->filename = copy("dir/web.yaml");
	p->revision = UINT64_MAX;
	p->parts = zeroed(2, sizeof(struct part));
	p->nparts = 2;
	p->parts[0].subject = selector("app", CLITE_OP_EXISTS, NULL);
	p->parts[0].default_deny[CLITE_INGRESS] = CLITE_DEFAULT_DENY_OFF;
	p->parts[0].default_deny[CLITE_EGRESS] = CLITE_DEFAULT_DENY_ON;
	p->parts[0].rules = zeroed(2, sizeof(struct rule));
	p->parts[0].nrules = 2;
	fill_ingress(&p->parts[0].rules[0]);
	p->parts[0].rules[1] = (struct rule){
		.direction = CLITE_EGRESS,
		.action = CLITE_DENY,
		.any_peer = true,
		.any_port = true,
	};
	p->parts[1].rules = zeroed(1, sizeof(struct rule));
	p->parts[1].nrules = 1;
	p->parts[1].rules[0] = (struct rule){ .direction = CLITE_INGRESS, .any_port = true };
	return p;
}

/* ---- model ---------------------------------------------------------------- */

START_TEST(freeing)
{
	struct policy *p = sample();

	ck_assert_ptr_null(policy_free(NULL));
	policy_freep(&p);
	ck_assert_ptr_null(p);
}
END_TEST

START_TEST(clearing_zeroed_things)
{
	struct part part = {};
	struct rule rule = {};
	struct peer peer = {};
	struct selector s = {};

	part_clear(&part);
	rule_clear(&rule);
	peer_clear(&peer);
	selector_clear(&s);

	s = selector("app", CLITE_OP_IN, "web");
	selector_clear(&s);
	ck_assert_ptr_null(s.reqs);
	ck_assert_uint_eq(s.nreqs, 0);
	selector_clear(&s);
}
END_TEST

START_TEST(numbering)
{
	_cleanup_(policy_freep) struct policy *p = sample();

	ck_assert_uint_eq(policy_rules(p), 3);
	policy_number(p, 41);
	ck_assert_uint_eq(p->parts[0].rules[0].cookie, 41);
	ck_assert_uint_eq(p->parts[0].rules[1].cookie, 42);
	ck_assert_uint_eq(p->parts[1].rules[0].cookie, 43);
}
END_TEST

START_TEST(entities)
{
	static const char *const names[] = {
		"all",	  "world", "world-ipv4",     "world-ipv6", "cluster",
		"host",	  "init",  "ingress",	     "unmanaged",  "remote-node",
		"health", "none",  "kube-apiserver",
	};
	enum entity e;

	ck_assert_uint_eq(ARRAY_SIZE(names), ENTITY_COUNT_);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		ck_assert_int_eq(entity_parse(names[i], &e), 0);
		ck_assert_str_eq(entity_name(e), names[i]);
	}
	ck_assert_int_eq(entity_parse("World", &e), -EINVAL);
	ck_assert_int_eq(entity_parse("", &e), -EINVAL);
	ck_assert_str_eq(entity_name(ENTITY_COUNT_), "unknown");
}
END_TEST

static const struct {
	uint32_t setting;
	bool rules, enforces, denies;
} default_deny[] = {
	{ CLITE_DEFAULT_DENY_AUTO, false, false, false },
	{ CLITE_DEFAULT_DENY_AUTO, true, true, true },
	{ CLITE_DEFAULT_DENY_ON, false, true, true },
	{ CLITE_DEFAULT_DENY_ON, true, true, true },
	{ CLITE_DEFAULT_DENY_OFF, false, false, false },
	{ CLITE_DEFAULT_DENY_OFF, true, true, false },
};

START_TEST(default_deny_by_direction)
{
	struct rule rules[] = { { .direction = CLITE_EGRESS, .action = CLITE_DENY } };
	struct part p = { .rules = rules, .nrules = default_deny[_i].rules };

	p.default_deny[CLITE_EGRESS] = default_deny[_i].setting;
	ck_assert_int_eq(part_enforces(&p, CLITE_EGRESS), default_deny[_i].enforces);
	ck_assert_int_eq(part_default_deny(&p, CLITE_EGRESS), default_deny[_i].denies);
	/* the other direction has no rules and says nothing */
	ck_assert(!part_enforces(&p, CLITE_INGRESS));
	ck_assert(!part_default_deny(&p, CLITE_INGRESS));
}
END_TEST

static const struct {
	const char *text, *source, *key; /* key NULL: refused */
} keys[] = {
	{ "app", NULL, "app" },
	{ "any:app", NULL, "app" },
	{ "k8s:app", "k8s", "app" },
	{ "k8s:io.kubernetes.pod.namespace", "k8s", "io.kubernetes.pod.namespace" },
	{ "k8s:example.com/role", "k8s", "example.com/role" },
	{ "example.com/role", NULL, "example.com/role" },
	{ "cidr:10.0.0.0/8", "cidr", "10.0.0.0/8" },
	{ "cidr:fd00::/8", "cidr", "fd00::/8" },
	{ "any:a:b", NULL, "a:b" },
	{ "", NULL, NULL },
	{ ":", NULL, NULL },
	{ ":app", NULL, NULL },
	{ "k8s:", NULL, NULL },
	{ "my app", NULL, NULL },
	{ "app\n", NULL, NULL },
	{ "app\x7f", NULL, NULL },
};

START_TEST(requirement_keys)
{
	struct selector s = { .reqs = zeroed(1, sizeof(*s.reqs)), .nreqs = 1 };
	int r = requirement_set_key(&s.reqs[0], keys[_i].text);

	if (keys[_i].key) {
		ck_assert_int_eq(r, 0);
		ck_assert_pstr_eq(s.reqs[0].source, keys[_i].source);
		ck_assert_pstr_eq(s.reqs[0].key, keys[_i].key);
	} else {
		ck_assert_int_eq(r, -EINVAL);
	}
	selector_clear(&s);
}
END_TEST

static const struct {
	const char *key;
	bool in_red; /* with "In (red)" it is a subject of namespace red */
	bool peer;
} namespaces[] = {
	{ "app", false, false },
	{ "io.kubernetes.pod.namespace", false, true },
	{ "k8s:io.kubernetes.pod.namespace", true, true },
	{ "container:io.kubernetes.pod.namespace", false, false },
	{ "reserved:init", true, true },
	{ "k8s:io.cilium.k8s.namespace.labels.team", false, true },
	{ "io.cilium.k8s.namespace.labels.team", false, true },
	{ "container:io.cilium.k8s.namespace.labels.team", false, false },
};

START_TEST(selectors_that_name_namespaces)
{
	struct selector s = selector(namespaces[_i].key, CLITE_OP_EXISTS, NULL);

	ck_assert_int_eq(selector_names_namespace(&s), namespaces[_i].peer);
	selector_clear(&s);
	ck_assert(!selector_names_namespace(&s));
	s = selector(namespaces[_i].key, CLITE_OP_IN, "red");
	ck_assert_int_eq(selector_is_in_namespace(&s, "red"), namespaces[_i].in_red);
	s.reqs[0].op = CLITE_OP_NOT_IN;
	ck_assert(!selector_is_in_namespace(&s, "red"));
	selector_clear(&s);
}
END_TEST

/* ---- blobs ---------------------------------------------------------------- */

static void encode(const struct policy *p, struct buf *b)
{
	ck_assert_int_eq(policy_encode(p, b), 0);
}

START_TEST(blob_round_trip)
{
	_cleanup_(policy_freep) struct policy *p = sample(), *q = NULL;
	_cleanup_buf_ struct buf a = {}, b = {};
	const struct peer *peer;
	const struct rule *r;

	encode(p, &a);
	ck_assert_int_eq(policy_decode(a.data, a.len, &q), 0);
	encode(q, &b);
	ck_assert_uint_eq(a.len, b.len);
	ck_assert_int_eq(memcmp(a.data, b.data, a.len), 0);

	/* not only what the encoder knows of */
	ck_assert_str_eq(q->name, "ns/web");
	ck_assert_str_eq(q->filename, "dir/web.yaml");
	ck_assert_ptr_null(q->text);
	ck_assert_uint_eq(q->revision, UINT64_MAX);
	ck_assert_uint_eq(q->nparts, 2);
	ck_assert_uint_eq(q->parts[0].default_deny[CLITE_INGRESS], CLITE_DEFAULT_DENY_OFF);
	ck_assert_uint_eq(q->parts[0].default_deny[CLITE_EGRESS], CLITE_DEFAULT_DENY_ON);
	ck_assert_uint_eq(q->parts[0].subject.nreqs, 1);
	ck_assert_ptr_null(q->parts[0].subject.reqs[0].source);
	ck_assert_uint_eq(q->parts[0].subject.reqs[0].op, CLITE_OP_EXISTS);

	r = &q->parts[0].rules[0];
	ck_assert_uint_eq(r->line, 300);
	ck_assert_uint_eq(r->index, 1);
	ck_assert_uint_eq(r->cookie, 70000);
	ck_assert(!r->any_peer && !r->any_port);
	peer = &r->peers[0];
	ck_assert_str_eq(peer->selector.reqs[0].source, "k8s");
	ck_assert_str_eq(peer->selector.reqs[0].key, "app");
	ck_assert_str_eq(peer->selector.reqs[0].values[0], "web");
	peer = &r->peers[1];
	ck_assert_uint_eq(peer->nexcept, 2);
	ck_assert_int_eq(prefix_cmp(&peer->except[1], &p->parts[0].rules[0].peers[1].except[1]), 0);
	ck_assert_int_eq(r->peers[2].entity, ENTITY_REMOTE_NODE);
	ck_assert_uint_eq(r->ports[0].last, 443);
	r = &q->parts[0].rules[1];
	ck_assert(r->any_peer && r->any_port);
	ck_assert_uint_eq(r->action, CLITE_DENY);
	ck_assert(policy_same(p, q));
}
END_TEST

START_TEST(blob_without_filename)
{
	_cleanup_(policy_freep) struct policy *p = sample(), *q = NULL;
	_cleanup_buf_ struct buf a = {};

	free(p->filename);
	p->filename = NULL;
	encode(p, &a);
	ck_assert_int_eq(policy_decode(a.data, a.len, &q), 0);
	ck_assert_ptr_null(q->filename);
}
END_TEST

START_TEST(blob_cut_anywhere_is_refused)
{
	_cleanup_(policy_freep) struct policy *p = sample(), *q = NULL;
	_cleanup_buf_ struct buf a = {};

	encode(p, &a);
	for (size_t len = 0; len < a.len; len++) {
		/* a copy of exactly that length, so that a sanitizer sees reads beyond it */
		_cleanup_free_ char *cut = len ? malloc(len) : NULL;

		if (len)
			memcpy(cut, a.data, len);
		ck_assert_int_eq(policy_decode(cut, len, &q), -EBADMSG);
		ck_assert_ptr_null(q);
	}
	buf_put(&a, "", 1);
	ck_assert_int_eq(policy_decode(a.data, a.len, &q), -EBADMSG);
}
END_TEST

/* Any byte may be wrong: refused, or another policy in its one encoding. */
START_TEST(blob_with_any_byte_changed)
{
	_cleanup_(policy_freep) struct policy *p = sample();
	_cleanup_buf_ struct buf a = {};
	size_t refused = 0;

	encode(p, &a);
	for (size_t i = 0; i < a.len; i++) {
		for (unsigned int flip = 1; flip < 256; flip++) {
			_cleanup_(policy_freep) struct policy *q = NULL;
			_cleanup_buf_ struct buf b = {};
			int r;

			a.data[i] ^= (char)flip;
			r = policy_decode(a.data, a.len, &q);
			if (r < 0) {
				ck_assert_int_eq(r, -EBADMSG);
				refused++;
			} else {
				encode(q, &b);
				ck_assert_uint_eq(a.len, b.len);
				ck_assert_int_eq(memcmp(a.data, b.data, a.len), 0);
			}
			a.data[i] ^= (char)flip;
		}
	}
	ck_assert_uint_gt(refused, a.len);
}
END_TEST

#define HEAD "CLP\3\0\2n\0\0" /* of structs, name "n", no filename, revision 0; then parts */
/* one part: no subject, no default deny, no remarks; one rule, whose direction, action,
 * flags, peers, redirects and ports follow */
#define RULE "\1\0\0\0\0\0\0\0\1"
#define TAIL "\0\0\0\0\0" /* no requires, no auth; line, index, cookie */

static const struct {
	const char *what;
	const char *bytes;
	size_t len;
} lies[] = {
#define LIE(what_, bytes_)                                  \
	{                                                   \
		what_, HEAD bytes_, sizeof(HEAD bytes_) - 1 \
	}
	LIE("more parts than bytes", "\xff\xff\xff\xff\x0f"),
	LIE("a number of 70 bits", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
	LIE("a number that does not end", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
	LIE("a number not in its shortest form", "\x80\x00"),
	LIE("a string beyond the end", "\1\1\0\x7f"
				       "ab\0\0\0\0\0\0"),
	LIE("a NUL in a string", "\1\1\0\3"
				 "a\0\2\0\0\0\0\0"),
	LIE("a requirement without a key", "\1\1\0\0\2\0\0\0\0\0"),
	LIE("an operator that is none", "\1\1\0\2"
					"a\4\0\0\0\0\0"),
	LIE("a default deny that is none", "\1\0\3\0\0"),
	LIE("a flag of nodes that is none", "\1\0\0\0\2\0\0\0\0"),
	LIE("direction 0", RULE "\0\0\3\0\0\0" TAIL),
	LIE("direction 3", RULE "\3\0\3\0\0\0" TAIL),
	LIE("an action that is none", RULE "\1\2\3\0\0\0" TAIL),
	LIE("flags that are none", RULE "\1\0\4\0\0\0" TAIL),
	LIE("a kind of peer that is none", RULE "\1\0\0\1\0\0\0\0" TAIL),
	LIE("a kind of peer of resolved rules", RULE "\1\0\0\1\6\0\0\0" TAIL),
	LIE("an entity that is none", RULE "\1\0\0\1\3\x0d\0\0" TAIL),
	LIE("a need that is none", RULE "\1\0\0\1\5\0\2x\0\0" TAIL),
	LIE("a need of later", RULE "\1\0\0\1\5\x20\2x\0\0" TAIL),
	LIE("a family that is none", RULE "\1\0\0\1\2\5\0\0\0\0" TAIL),
	LIE("33 bits of IPv4", RULE "\1\0\0\1\2\4\x21\x0a\0\0\0\0\0\0\0" TAIL),
	LIE("bits beyond the length", RULE "\1\0\0\1\2\4\7\x0b\0\0\0" TAIL),
	LIE("an except outside", RULE "\1\0\0\1\2\4\x08\x0a\1\4\x08\x0b\0\0" TAIL),
	LIE("a range that ends before it begins", RULE "\1\0\1\0\0\1\6\2\1\0\0" TAIL),
	LIE("port 65536", RULE "\1\0\1\0\0\1\6\0\x80\x80\4\0\0" TAIL),
	LIE("a redirect that is not there", RULE "\1\0\1\0\0\1\6\1\2\1\0" TAIL),
	LIE("a named port with a number", RULE "\1\0\1\0\0\1\6\1\2\0\2x" TAIL),
	LIE("an authentication that is none", RULE "\1\0\3\0\0\0" "\0\4\0\0\0"),
};

START_TEST(blob_lies_are_refused)
{
	struct policy *q = NULL;

	ck_assert_msg(policy_decode(lies[_i].bytes, lies[_i].len, &q) == -EBADMSG, "%s",
		      lies[_i].what);
	ck_assert_ptr_null(q);
}
END_TEST

/* The same bytes without the lie, so that the cases above test what they say. */
START_TEST(blob_by_hand)
{
	static const char truth[] =
		HEAD RULE "\1\0\0\1\2\4\x08\x0a\1\4\x0c\x0a\x10\0\1\6\1\2\0\0" TAIL;
	_cleanup_(policy_freep) struct policy *q = NULL;
	char text[PREFIX_STR];

	ck_assert_int_eq(policy_decode(truth, sizeof(truth) - 1, &q), 0);
	ck_assert_str_eq(q->name, "n");
	ck_assert_uint_eq(policy_rules(q), 1);
	ck_assert_str_eq(prefix_format(&q->parts[0].rules[0].peers[0].except[0], text),
			 "10.16.0.0/12");
	ck_assert_uint_eq(q->parts[0].rules[0].ports[0].last, 2);
}
END_TEST

/* ---- writing -------------------------------------------------------------- */

START_TEST(write_as_people_would)
{
	struct rule rules[2] = {
		{ .direction = CLITE_INGRESS, .action = CLITE_ALLOW, .any_port = true },
		{ .direction = CLITE_EGRESS, .action = CLITE_DENY, .any_peer = true },
	};
	struct port_range ports[] = { { IPPROTO_UDP, 53, 53, 0, NULL } };
	struct part part = { .rules = rules, .nrules = 2 };
	struct policy p = { .name = (char[]){ "a \"name\"" }, .parts = &part, .nparts = 1 };
	_cleanup_buf_ struct buf b = {};

	rules[1].ports = ports;
	rules[1].nports = 1;
	part.default_deny[CLITE_EGRESS] = CLITE_DEFAULT_DENY_OFF;
	ck_assert_int_eq(policy_write(&p, &b), 0);
	ck_assert_str_eq(b.data, "{\n"
				 "  \"apiVersion\": \"cilium.io/v2\",\n"
				 "  \"kind\": \"CiliumNetworkPolicy\",\n"
				 "  \"metadata\": {\n"
				 "    \"name\": \"a \\\"name\\\"\"\n"
				 "  },\n"
				 "  \"spec\": {\n"
				 "    \"endpointSelector\": {},\n"
				 "    \"enableDefaultDeny\": {\n"
				 "      \"egress\": false\n"
				 "    },\n"
				 "    \"ingress\": [\n"
				 "      {}\n"
				 "    ],\n"
				 "    \"egressDeny\": [\n"
				 "      {\n"
				 "        \"toPorts\": [\n"
				 "          {\n"
				 "            \"ports\": [\n"
				 "              {\n"
				 "                \"port\": \"53\",\n"
				 "                \"protocol\": \"UDP\"\n"
				 "              }\n"
				 "            ]\n"
				 "          }\n"
				 "        ]\n"
				 "      }\n"
				 "    ]\n"
				 "  }\n"
				 "}\n");
}
END_TEST

static const struct port_range unwritable[] = {
	{ 47, 0, 65535, 0, NULL },	  /* GRE has no name there */
	{ IPPROTO_TCP, 0, 0, 0, NULL },	  /* 0 stands for all */
	{ IPPROTO_TCP, 2, 1, 0, NULL },	  /* no range */
	{ IPPROTO_ICMP, 0, 256, 0, NULL }, /* no type */
};

START_TEST(write_refuses_what_no_document_can_say)
{
	struct port_range ports[] = { unwritable[_i] };
	struct rule rule = {
		.direction = CLITE_INGRESS, .any_peer = true, .ports = ports, .nports = 1
	};
	struct part part = { .rules = &rule, .nrules = 1 };
	struct policy p = { .name = (char[]){ "p" }, .parts = &part, .nparts = 1 };
	_cleanup_buf_ struct buf b = {};

	ck_assert_int_eq(policy_write(&p, &b), -EINVAL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("policy");
	TCase *t = tcase_create("model");

	tcase_add_test(t, freeing);
	tcase_add_test(t, clearing_zeroed_things);
	tcase_add_test(t, numbering);
	tcase_add_test(t, entities);
	tcase_add_loop_test(t, default_deny_by_direction, 0, ARRAY_SIZE(default_deny));
	tcase_add_loop_test(t, requirement_keys, 0, ARRAY_SIZE(keys));
	tcase_add_loop_test(t, selectors_that_name_namespaces, 0, ARRAY_SIZE(namespaces));
	suite_add_tcase(s, t);

	t = tcase_create("blob");
	tcase_set_timeout(t, 30);
	tcase_add_test(t, blob_round_trip);
	tcase_add_test(t, blob_without_filename);
	tcase_add_test(t, blob_cut_anywhere_is_refused);
	tcase_add_test(t, blob_with_any_byte_changed);
	tcase_add_loop_test(t, blob_lies_are_refused, 0, ARRAY_SIZE(lies));
	tcase_add_test(t, blob_by_hand);
	suite_add_tcase(s, t);

	t = tcase_create("write");
	tcase_add_test(t, write_as_people_would);
	tcase_add_loop_test(t, write_refuses_what_no_document_can_say, 0, ARRAY_SIZE(unwritable));
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	int failed;

	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
