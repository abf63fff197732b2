/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/document.h"

#include <check.h>
#include <cilium-lite/policy.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>

#include "../policy_same.h"

/* ---- helpers -------------------------------------------------------------- */

struct result {
	struct policy **v;
	size_t n;
};

static void result_clear(struct result *r)
{
	for (size_t i = 0; i < r->n; i++)
		policy_free(r->v[i]);
	free(r->v);
	*r = (struct result){};
}
#define _cleanup_result_ _cleanup_(result_clear)

static void errtext_clear(struct errtext *e)
{
	err_clear(e);
}
#define _cleanup_err_ _cleanup_(errtext_clear)

static void read_named(const char *text, const char *filename, const char *name, struct result *ret)
{
	_cleanup_err_ struct errtext err = {};
	int r = document_read(text, strlen(text), filename, name, &ret->v, &ret->n, &err);

	ck_assert_msg(r == 0, "%d: %s", r, err.text ? err.text : "");
}

static void read_ok(const char *text, struct result *ret)
{
	read_named(text, "t.yaml", NULL, ret);
}

static void expect_error(const char *text, size_t len, int code, const char *fragment)
{
	_cleanup_err_ struct errtext err = {};
	struct result got = {};
	int r = document_read(text, len, "t.yaml", NULL, &got.v, &got.n, &err);

	ck_assert_msg(r == -code, "%d instead of %d for: %s", r, -code, fragment);
	ck_assert_ptr_null(got.v);
	ck_assert_uint_eq(got.n, 0);
	ck_assert_msg(err.text && strstr(err.text, fragment), "expected: %s\nfound: %s", fragment,
		      err.text ? err.text : "nothing");
}

/* model -> JSON -> model */
static void expect_round_trip(const struct policy *p)
{
	_cleanup_buf_ struct buf json = {};
	_cleanup_result_ struct result again = {};

	ck_assert_int_eq(policy_write(p, &json), 0);
	read_ok(json.data, &again);
	ck_assert_uint_eq(again.n, 1);
	ck_assert_str_eq(again.v[0]->name, p->name);
	ck_assert_msg(policy_same(p, again.v[0]), "other meaning: %s", json.data);
}

#define HEAD                          \
	"apiVersion: cilium.io/v2\n"  \
	"kind: CiliumNetworkPolicy\n" \
	"metadata: {name: web}\n"     \
	"spec:\n"                     \
	"  endpointSelector: {}\n"

/* What a list of ingress rules, from line 6 on, becomes. */
static void read_ingress(const char *list, struct result *ret)
{
	_cleanup_buf_ struct buf b = {};

	buf_printf(&b, HEAD "  ingress:\n%s", list);
	read_ok(b.data, ret);
	ck_assert_uint_eq(ret->n, 1);
	expect_round_trip(ret->v[0]);
}

static struct rule *rule(struct result *r, size_t i)
{
	ck_assert_uint_lt(i, r->v[0]->parts[0].nrules);
	return &r->v[0]->parts[0].rules[i];
}

static void expect_requirement(const struct requirement *q, const char *source, const char *key,
			       uint32_t op, const char *const *values)
{
	size_t n = 0;

	ck_assert_pstr_eq(q->source, source);
	ck_assert_str_eq(q->key, key);
	ck_assert_uint_eq(q->op, op);
	for (; values && values[n]; n++) {
		ck_assert_uint_lt(n, q->nvalues);
		ck_assert_str_eq(q->values[n], values[n]);
	}
	ck_assert_uint_eq(q->nvalues, n);
}

static void expect_prefix(const struct prefix *p, const char *expected)
{
	char text[PREFIX_STR];

	ck_assert_str_eq(prefix_format(p, text), expected);
}

/* ---- what documents mean --------------------------------------------------- */

START_TEST(yaml_document)
{
	static const char text[] = "# a comment\n"
				   "apiVersion: \"cilium.io/v2\"\n"
				   "kind: CiliumNetworkPolicy\n"
				   "metadata:\n"
				   "  name: web\n"
				   "  labels: {team: a, version: 1}\n"
				   "  annotations: {x: [1, 2]}\n"
				   "  creationTimestamp: null\n"
				   "spec:\n"
				   "  description: 'who may come'\n"
				   "  labels:\n"
				   "  - key: name\n"
				   "    value: not-this\n"
				   "  endpointSelector:\n"
				   "    matchLabels:\n"
				   "      app: web\n"
				   "  ingress:\n"
				   "  - fromEndpoints:\n"
				   "    - matchLabels:\n"
				   "        app: client\n"
				   "  - fromEntities: [host]\n"
				   "  ingressDeny:\n"
				   "  - fromCIDR: [10.0.0.0/8]\n"
				   "  egress:\n"
				   "  - toEntities: [world]\n"
				   "  egressDeny:\n"
				   "  - toCIDR: [192.0.2.1]\n"
				   "status: {conditions: []}\n";
	static const struct {
		uint32_t direction, action, index, line;
	} expected[] = {
		{ CLITE_INGRESS, CLITE_ALLOW, 0, 18 }, { CLITE_INGRESS, CLITE_ALLOW, 1, 21 },
		{ CLITE_INGRESS, CLITE_DENY, 0, 23 },  { CLITE_EGRESS, CLITE_ALLOW, 0, 25 },
		{ CLITE_EGRESS, CLITE_DENY, 0, 27 },
	};
	_cleanup_result_ struct result r = {};
	const struct part *part;

	read_ok(text, &r);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_str_eq(r.v[0]->name, "web");
	ck_assert_str_eq(r.v[0]->filename, "t.yaml");
	ck_assert_str_eq(r.v[0]->text, text);
	ck_assert_uint_eq(r.v[0]->nparts, 1);
	part = &r.v[0]->parts[0];
	ck_assert_uint_eq(part->subject.nreqs, 1);
	expect_requirement(&part->subject.reqs[0], NULL, "app", CLITE_OP_IN,
			   (const char *[]){ "web", NULL });

	ck_assert_uint_eq(part->nrules, ARRAY_SIZE(expected));
	for (size_t i = 0; i < part->nrules; i++) {
		ck_assert_uint_eq(part->rules[i].direction, expected[i].direction);
		ck_assert_uint_eq(part->rules[i].action, expected[i].action);
		ck_assert_uint_eq(part->rules[i].index, expected[i].index);
		ck_assert_uint_eq(part->rules[i].line, expected[i].line);
		ck_assert(!part->rules[i].any_peer);
		ck_assert(part->rules[i].any_port);
		ck_assert_uint_eq(part->rules[i].npeers, 1);
	}
	expect_prefix(&part->rules[4].peers[0].cidr, "192.0.2.1/32");
	expect_round_trip(r.v[0]);
}
END_TEST

START_TEST(json_document)
{
	static const char text[] =
		"{\"apiVersion\":\"cilium.io/v2\",\"kind\":\"CiliumNetworkPolicy\",\n"
		"\t\"metadata\":{\"name\":\"w\\u0065b\"},\n"
		"\t\"spec\":{\"endpointSelector\":{\"matchLabels\":{\"k8s:app\":\"a\\/b\"}},\n"
		"\t\t\"egress\":[\n"
		"\t\t\t{\"toPorts\":[{\"ports\":[{\"port\":\"80\",\"protocol\":\"TCP\"}]}]}]}}";
	_cleanup_result_ struct result r = {};

	read_ok(text, &r);
	ck_assert_str_eq(r.v[0]->name, "web");
	ck_assert_str_eq(r.v[0]->text, text);
	expect_requirement(&r.v[0]->parts[0].subject.reqs[0], "k8s", "app", CLITE_OP_IN,
			   (const char *[]){ "a/b", NULL });
	ck_assert_uint_eq(rule(&r, 0)->line, 5);
	ck_assert(rule(&r, 0)->any_peer);
	ck_assert_uint_eq(rule(&r, 0)->ports[0].first, 80);
	expect_round_trip(r.v[0]);
}
END_TEST

START_TEST(specs_and_spec)
{
	_cleanup_result_ struct result r = {};

	read_ok("apiVersion: cilium.io/v2\n"
		"kind: CiliumClusterwideNetworkPolicy\n"
		"metadata: {name: two}\n"
		"specs:\n"
		"- endpointSelector: {matchLabels: {'reserved:init': ''}}\n"
		"  ingress: [{fromEntities: [host]}]\n"
		"- endpointSelector: {}\n"
		"  egress: [{toEntities: [all]}]\n"
		"spec:\n"
		"  endpointSelector: {}\n"
		"  ingressDeny: [{fromEntities: [none]}]\n",
		&r);
	ck_assert_uint_eq(r.v[0]->nparts, 3);
	ck_assert_uint_eq(r.v[0]->parts[0].rules[0].action, CLITE_DENY);
	expect_requirement(&r.v[0]->parts[1].subject.reqs[0], "reserved", "init", CLITE_OP_IN,
			   (const char *[]){ "", NULL });
	ck_assert_uint_eq(r.v[0]->parts[2].rules[0].direction, CLITE_EGRESS);
	expect_round_trip(r.v[0]);
}
END_TEST

START_TEST(match_expressions)
{
	_cleanup_result_ struct result r = {};
	const struct selector *s;

	read_ingress("  - fromEndpoints:\n"
		     "    - matchExpressions:\n"
		     "      - {key: k8s:env, operator: In, values: [prod, 'dev']}\n"
		     "      - {key: 'any:example.com/tier', operator: NotIn, values: ['80']}\n"
		     "      - {key: app, operator: Exists}\n"
		     "      - {key: cidr:fd00::/8, operator: DoesNotExist, values: []}\n"
		     "      matchLabels: {z: '1', a: ''}\n",
		     &r);
	s = &rule(&r, 0)->peers[0].selector;
	ck_assert_uint_eq(s->nreqs, 6);
	/* matchLabels come first, in their order */
	expect_requirement(&s->reqs[0], NULL, "z", CLITE_OP_IN, (const char *[]){ "1", NULL });
	expect_requirement(&s->reqs[1], NULL, "a", CLITE_OP_IN, (const char *[]){ "", NULL });
	expect_requirement(&s->reqs[2], "k8s", "env", CLITE_OP_IN,
			   (const char *[]){ "prod", "dev", NULL });
	expect_requirement(&s->reqs[3], NULL, "example.com/tier", CLITE_OP_NOT_IN,
			   (const char *[]){ "80", NULL });
	expect_requirement(&s->reqs[4], NULL, "app", CLITE_OP_EXISTS, NULL);
	expect_requirement(&s->reqs[5], "cidr", "fd00::/8", CLITE_OP_DOES_NOT_EXIST, NULL);
}
END_TEST

/* Not in quotes, and no numbers all the same. */
START_TEST(strings_that_begin_with_digits)
{
	static const char *const values[] = { "1.2.3", "v1",	   "1a",  "0x",
					      "1e",    "10.0.0.1", "1-2", "." };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		_cleanup_result_ struct result r = {};
		_cleanup_buf_ struct buf b = {};

		buf_printf(&b, "  - fromEndpoints: [{matchLabels: {v: %s }}]\n", values[i]);
		read_ingress(b.data, &r);
		ck_assert_str_eq(rule(&r, 0)->peers[0].selector.reqs[0].values[0], values[i]);
	}
}
END_TEST

START_TEST(cidr_sets)
{
	_cleanup_result_ struct result r = {};
	const struct peer *p;

	read_ingress("  - fromCIDRSet:\n"
		     "    - cidr: 10.0.0.0/8\n"
		     "      except: [10.96.0.0/12, 10.1.2.3]\n"
		     "    - cidr: '::/0'\n",
		     &r);
	ck_assert_uint_eq(rule(&r, 0)->npeers, 2);
	p = rule(&r, 0)->peers;
	ck_assert_uint_eq(p[0].kind, CLITE_PEER_CIDR);
	expect_prefix(&p[0].cidr, "10.0.0.0/8");
	ck_assert_uint_eq(p[0].nexcept, 2);
	expect_prefix(&p[0].except[0], "10.96.0.0/12");
	expect_prefix(&p[0].except[1], "10.1.2.3/32");
	expect_prefix(&p[1].cidr, "::/0");
	ck_assert_uint_eq(p[1].nexcept, 0);
}
END_TEST

START_TEST(all_entities)
{
	_cleanup_result_ struct result r = {};

	read_ingress("  - fromEntities: [all, world, world-ipv4, world-ipv6, cluster, host, init,\n"
		     "      ingress, unmanaged, remote-node, health, none, kube-apiserver]\n",
		     &r);
	ck_assert_uint_eq(rule(&r, 0)->npeers, ENTITY_COUNT_);
	for (size_t i = 0; i < ENTITY_COUNT_; i++) {
		ck_assert_uint_eq(rule(&r, 0)->peers[i].kind, CLITE_PEER_ENTITY);
		ck_assert_int_eq(rule(&r, 0)->peers[i].entity, (int)i);
	}
}
END_TEST

static const struct {
	const char *port;
	struct port_range range;
} ports[] = {
	{ "{port: '80', protocol: TCP}", { IPPROTO_TCP, 80, 80, 0, NULL } },
	{ "{port: 80, protocol: tcp}", { IPPROTO_TCP, 80, 80, 0, NULL } },
	{ "{port: \"65535\", protocol: Udp}", { IPPROTO_UDP, 65535, 65535, 0, NULL } },
	{ "{port: 1, endPort: 65535, protocol: SCTP}", { IPPROTO_SCTP, 1, 65535, 0, NULL } },
	{ "{port: '80', endPort: 80, protocol: TCP}", { IPPROTO_TCP, 80, 80, 0, NULL } },
	{ "{port: 53, protocol: ANY}", { 0, 53, 53, 0, NULL } },
	{ "{port: 53}", { 0, 53, 53, 0, NULL } },
	{ "{port: 0, protocol: TCP}", { IPPROTO_TCP, 0, 65535, 0, NULL } },
	{ "{port: '0', protocol: UDP}", { IPPROTO_UDP, 0, 65535, 0, NULL } },
	{ "{port: 0, endPort: 1023, protocol: UDP}", { IPPROTO_UDP, 0, 1023, 0, NULL } },
	{ "{port: 0, protocol: ANY}", { 0, 0, 65535, 0, NULL } },
	{ "{port: 0}", { 0, 0, 65535, 0, NULL } },
};

START_TEST(port_ranges)
{
	_cleanup_result_ struct result r = {};
	_cleanup_buf_ struct buf b = {};
	const struct port_range *range;

	buf_printf(&b, "  - toPorts:\n    - ports:\n      - %s\n", ports[_i].port);
	read_ingress(b.data, &r);
	ck_assert(rule(&r, 0)->any_peer);
	ck_assert(!rule(&r, 0)->any_port);
	ck_assert_uint_eq(rule(&r, 0)->nports, 1);
	range = &rule(&r, 0)->ports[0];
	ck_assert_uint_eq(range->protocol, ports[_i].range.protocol);
	ck_assert_uint_eq(range->first, ports[_i].range.first);
	ck_assert_uint_eq(range->last, ports[_i].range.last);
}
END_TEST

START_TEST(several_lists_of_ports)
{
	_cleanup_result_ struct result r = {};

	read_ingress("  - toPorts:\n"
		     "    - ports: [{port: 1}, {port: 2}]\n"
		     "      rules: {}\n"
		     "    - ports: [{port: 3}]\n",
		     &r);
	ck_assert_uint_eq(rule(&r, 0)->nports, 3);
	ck_assert_uint_eq(rule(&r, 0)->ports[2].first, 3);
}
END_TEST

static const struct {
	const char *field;
	uint8_t protocol, type;
} icmp[] = {
	{ "{type: 8}", IPPROTO_ICMP, 8 },
	{ "{type: '8'}", IPPROTO_ICMP, 8 },
	{ "{type: 0, family: IPv4}", IPPROTO_ICMP, 0 },
	{ "{type: 255, family: IPv6}", IPPROTO_ICMPV6, 255 },
	{ "{type: Echo}", IPPROTO_ICMP, 8 },
	{ "{type: EchoRequest}", IPPROTO_ICMP, 8 },
	{ "{type: EchoReply}", IPPROTO_ICMP, 0 },
	{ "{type: DestinationUnreachable}", IPPROTO_ICMP, 3 },
	{ "{type: TimeExceeded}", IPPROTO_ICMP, 11 },
	{ "{type: EchoRequest, family: IPv6}", IPPROTO_ICMPV6, 128 },
	{ "{type: EchoReply, family: IPv6}", IPPROTO_ICMPV6, 129 },
	{ "{type: DestinationUnreachable, family: IPv6}", IPPROTO_ICMPV6, 1 },
	{ "{type: PacketTooBig, family: IPv6}", IPPROTO_ICMPV6, 2 },
	{ "{type: NeighborSolicitation, family: IPv6}", IPPROTO_ICMPV6, 135 },
	{ "{type: ExtendedEchoReply, family: IPv6}", IPPROTO_ICMPV6, 161 },
};

START_TEST(icmp_types)
{
	_cleanup_result_ struct result r = {};
	_cleanup_buf_ struct buf b = {};

	buf_printf(&b, "  - icmps:\n    - fields: [%s]\n", icmp[_i].field);
	read_ingress(b.data, &r);
	ck_assert(rule(&r, 0)->any_peer);
	ck_assert(!rule(&r, 0)->any_port);
	ck_assert_uint_eq(rule(&r, 0)->nports, 1);
	ck_assert_uint_eq(rule(&r, 0)->ports[0].protocol, icmp[_i].protocol);
	ck_assert_uint_eq(rule(&r, 0)->ports[0].first, icmp[_i].type);
	ck_assert_uint_eq(rule(&r, 0)->ports[0].last, icmp[_i].type);
}
END_TEST

/* Who and what an element means, by what stands in it. */
static const struct {
	const char *element;
	bool any_peer, any_port;
	size_t npeers, nports;
} elements[] = {
	{ "{}", false, true, 0, 0 },		      /* nobody */
	{ "{fromEndpoints: []}", false, true, 0, 0 }, /* nobody */
	{ "{fromCIDR: []}", false, true, 0, 0 },
	{ "{fromEntities: []}", false, true, 0, 0 },
	{ "{fromEndpoints: [{}]}", false, true, 1, 0 }, /* every endpoint */
	{ "{toPorts: []}", false, true, 0, 0 },		/* as {} */
	{ "{icmps: []}", false, true, 0, 0 },
	{ "{toPorts: [{}]}", true, false, 0, 0 }, /* everybody, no packet */
	{ "{toPorts: [{ports: []}]}", true, false, 0, 0 },
	{ "{icmps: [{}]}", true, false, 0, 0 },
	{ "{toPorts: [{ports: [{port: 1}]}]}", true, false, 0, 1 },
	{ "{fromEndpoints: [], toPorts: [{ports: [{port: 1}]}]}", false, false, 0, 1 },
	{ "{fromEndpoints: [{}, {}], toPorts: []}", false, true, 2, 0 },
};

START_TEST(elements_mean)
{
	_cleanup_result_ struct result r = {};
	_cleanup_buf_ struct buf b = {};

	buf_printf(&b, "  - %s\n", elements[_i].element);
	read_ingress(b.data, &r);
	ck_assert_int_eq(rule(&r, 0)->any_peer, elements[_i].any_peer);
	ck_assert_int_eq(rule(&r, 0)->any_port, elements[_i].any_port);
	ck_assert_uint_eq(rule(&r, 0)->npeers, elements[_i].npeers);
	ck_assert_uint_eq(rule(&r, 0)->nports, elements[_i].nports);
	for (size_t i = 0; i < rule(&r, 0)->npeers; i++)
		ck_assert_uint_eq(rule(&r, 0)->peers[i].selector.nreqs, 0);
}
END_TEST

START_TEST(default_deny)
{
	_cleanup_result_ struct result r = {};
	const struct part *p;

	read_ok(HEAD "  enableDefaultDeny: {egress: false, ingress: true}\n"
		     "  ingress: []\n",
		&r);
	p = &r.v[0]->parts[0];
	ck_assert_uint_eq(p->nrules, 0);
	ck_assert_uint_eq(p->default_deny[CLITE_INGRESS], CLITE_DEFAULT_DENY_ON);
	ck_assert_uint_eq(p->default_deny[CLITE_EGRESS], CLITE_DEFAULT_DENY_OFF);
	expect_round_trip(r.v[0]);
	result_clear(&r);

	read_ok(HEAD "  egress: [{}]\n", &r);
	p = &r.v[0]->parts[0];
	ck_assert_uint_eq(p->default_deny[CLITE_INGRESS], CLITE_DEFAULT_DENY_AUTO);
	ck_assert_uint_eq(p->default_deny[CLITE_EGRESS], CLITE_DEFAULT_DENY_AUTO);
	ck_assert(part_default_deny(p, CLITE_EGRESS));
	ck_assert(!part_default_deny(p, CLITE_INGRESS));
	expect_round_trip(r.v[0]);
}
END_TEST

START_TEST(namespaces)
{
	_cleanup_result_ struct result r = {};
	const struct selector *s;
	const struct part *p;

	read_ok("apiVersion: cilium.io/v2\n"
		"kind: CiliumNetworkPolicy\n"
		"metadata: {name: web, namespace: shop}\n"
		"specs:\n"
		"- endpointSelector: {matchLabels: {app: web}}\n"
		"  ingress:\n"
		"  - fromEndpoints:\n"
		"    - {}\n"
		"    - matchLabels: {'k8s:io.kubernetes.pod.namespace': other, app: db}\n"
		"    - matchExpressions: [{key: io.kubernetes.pod.namespace, operator: Exists}]\n"
		"    - matchLabels: {'reserved:host': ''}\n"
		"    - matchLabels: {'k8s:io.cilium.k8s.namespace.labels.team': x}\n"
		"    - matchLabels: {'x:io.kubernetes.pod.namespace': z}\n"
		"- endpointSelector: {matchExpressions: [{key: app, operator: Exists}]}\n"
		"  egress: [{toEndpoints: [{matchLabels: {app: db}}]}]\n",
		&r);
	ck_assert_str_eq(r.v[0]->name, "shop/web");
	p = r.v[0]->parts;

	ck_assert_uint_eq(p[0].subject.nreqs, 2);
	expect_requirement(&p[0].subject.reqs[1], "k8s", "io.kubernetes.pod.namespace", CLITE_OP_IN,
			   (const char *[]){ "shop", NULL });
	s = &p[0].rules[0].peers[0].selector;
	ck_assert_uint_eq(s->nreqs, 1);
	expect_requirement(&s->reqs[0], "k8s", "io.kubernetes.pod.namespace", CLITE_OP_IN,
			   (const char *[]){ "shop", NULL });
	ck_assert_uint_eq(p[0].rules[0].peers[1].selector.nreqs, 2);
	ck_assert_uint_eq(p[0].rules[0].peers[2].selector.nreqs, 1);
	ck_assert_uint_eq(p[0].rules[0].peers[3].selector.nreqs, 1);
	ck_assert_uint_eq(p[0].rules[0].peers[4].selector.nreqs, 1);
	ck_assert_uint_eq(p[0].rules[0].peers[5].selector.nreqs, 2);
	ck_assert_uint_eq(p[1].subject.nreqs, 2);
	ck_assert_uint_eq(p[1].rules[0].peers[0].selector.nreqs, 2);
	expect_round_trip(r.v[0]);
}
END_TEST

/* A policy of a namespace is about its endpoints, whatever its subject says. */
static const struct {
	const char *subject;
	size_t nreqs; /* 0: refused */
} subjects[] = {
	{ "{}", 1 },
	{ "{matchLabels: {'k8s:io.kubernetes.pod.namespace': shop}}", 1 },
	{ "{matchLabels: {'io.kubernetes.pod.namespace': shop}}", 2 },
	{ "{matchLabels: {'k8s:io.kubernetes.pod.namespace': other}}", 0 },
	{ "{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: Exists}]}", 2 },
	{ "{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: In, values: [other, shop]}]}", 2 },
	{ "{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: NotIn, values: [shop]}]}", 0 },
	{ "{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: DoesNotExist}]}", 0 },
	{ "{matchExpressions: [{key: 'reserved:init', operator: Exists}]}", 1 },
	{ "{matchExpressions: [{key: 'reserved:init', operator: DoesNotExist}]}", 2 },
};

START_TEST(subjects_stay_in_their_namespace)
{
	_cleanup_result_ struct result r = {};
	_cleanup_buf_ struct buf b = {};

	buf_printf(&b,
		   "apiVersion: cilium.io/v2\n"
		   "kind: CiliumNetworkPolicy\n"
		   "metadata: {name: web, namespace: shop}\n"
		   "spec:\n"
		   "  endpointSelector: %s\n"
		   "  ingress: [{}]\n",
		   subjects[_i].subject);
	if (!subjects[_i].nreqs) {
		expect_error(b.data, b.len, CLITE_EDOCUMENT,
			     "t.yaml:5: spec.endpointSelector: selects endpoints of another namespace, and the policy is in 'shop'");
		return;
	}
	read_ok(b.data, &r);
	ck_assert_uint_eq(r.v[0]->parts[0].subject.nreqs, subjects[_i].nreqs);
	ck_assert_int_eq(r.v[0]->kind, POLICY_CNP);
	expect_round_trip(r.v[0]);
}
END_TEST

/* Host bits, empty lists beside others, null: as Kubernetes and Cilium read them. */
START_TEST(lenient)
{
	_cleanup_result_ struct result r = {};
	const struct rule *rules;
	char text[PREFIX_STR];

	read_ok("apiVersion: cilium.io/v2\n"
		"kind: CiliumClusterwideNetworkPolicy\n"
		"metadata: {name: web}\n"
		"spec:\n"
		"  endpointSelector: {}\n"
		"  description:\n"
		"  egress:\n"
		"  ingress:\n"
		"  - fromEndpoints: []\n"
		"    fromCIDR: [10.1.2.3/8, fd00::1/15]\n"
		"    toPorts: []\n"
		"    icmps: [{fields: [{type: 8}]}]\n",
		&r);
	rules = r.v[0]->parts[0].rules;
	ck_assert_uint_eq(r.v[0]->parts[0].nrules, 1);
	ck_assert_uint_eq(rules[0].npeers, 2);
	ck_assert_str_eq(prefix_format(&rules[0].peers[0].cidr, text), "10.0.0.0/8");
	ck_assert_str_eq(prefix_format(&rules[0].peers[1].cidr, text), "fd00::/15");
	ck_assert_uint_eq(rules[0].nports, 1);
	ck_assert(!rules[0].any_port);
	ck_assert_int_eq(r.v[0]->kind, POLICY_CCNP);
}
END_TEST

START_TEST(no_namespace_adds_nothing)
{
	static const char *const kinds[] = { "CiliumNetworkPolicy",
					     "CiliumClusterwideNetworkPolicy" };
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_result_ struct result r = {};
		_cleanup_buf_ struct buf b = {};

		buf_printf(&b,
			   "apiVersion: cilium.io/v2\n"
			   "kind: %s\n"
			   "metadata: {name: web}\n"
			   "spec:\n"
			   "  endpointSelector: {}\n"
			   "  ingress: [{fromEndpoints: [{}]}]\n",
			   kinds[i]);
		read_ok(b.data, &r);
		ck_assert_str_eq(r.v[0]->name, "web");
		ck_assert_uint_eq(r.v[0]->parts[0].subject.nreqs, 0);
		ck_assert_uint_eq(rule(&r, 0)->peers[0].selector.nreqs, 0);
		expect_round_trip(r.v[0]);
	}
}
END_TEST

/* A name with a slash that is no namespace must not become one by writing. */
START_TEST(slash_without_namespace)
{
	_cleanup_result_ struct result r = {};

	read_ok("apiVersion: cilium.io/v2\n"
		"kind: CiliumNetworkPolicy\n"
		"metadata: {name: shop/web}\n"
		"spec: {endpointSelector: {}, ingress: [{fromEndpoints: [{}]}]}\n",
		&r);
	ck_assert_str_eq(r.v[0]->name, "shop/web");
	ck_assert_uint_eq(r.v[0]->parts[0].subject.nreqs, 0);
	expect_round_trip(r.v[0]);
}
END_TEST

/* ---- older rules ------------------------------------------------------------ */

#define RULE "{\"endpointSelector\": {}, \"ingress\": [{\"fromEntities\": [\"host\"]}]}"

static const struct {
	const char *text, *filename, *name, *expected;
} older[] = {
	{ "[{\"labels\": [{\"key\": \"x\", \"value\": \"y\"}, {\"key\": \"name\", \"value\": \"n\"}],"
	  " \"endpointSelector\": {}, \"ingress\": []}, " RULE "]",
	  "f.json", "default", "n" },
	{ "[{\"labels\": [\"k8s:name=n2\"], \"endpointSelector\": {}, \"ingress\": []}]", "f.json",
	  NULL, "n2" },
	{ "[{\"labels\": [\"k8s:name2=n2\"], \"endpointSelector\": {}, \"ingress\": []}]", "f.json",
	  NULL, "f" },
	{ "[" RULE ", " RULE "]", "f.json", "default", "default" },
	{ "[" RULE "]", "dir/sub.d/rules.json", NULL, "rules" },
	{ "- endpointSelector: {}\n  egress: []\n", "/x/web.v1.yaml", NULL, "web.v1" },
	{ "[" RULE "]", "policy", NULL, "policy" },
	{ "[" RULE "]", NULL, "default", "default" },
};

START_TEST(older_rules)
{
	_cleanup_result_ struct result r = {};

	read_named(older[_i].text, older[_i].filename, older[_i].name, &r);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_str_eq(r.v[0]->name, older[_i].expected);
	ck_assert_str_eq(r.v[0]->text, older[_i].text);
	ck_assert_str_eq(r.v[0]->filename, older[_i].filename ? older[_i].filename : "<memory>");
	expect_round_trip(r.v[0]);
}
END_TEST

START_TEST(older_rules_are_parts)
{
	_cleanup_result_ struct result r = {};

	read_named("[" RULE ",\n" RULE "]", "f.json", NULL, &r);
	ck_assert_uint_eq(r.v[0]->nparts, 2);
	ck_assert_uint_eq(r.v[0]->parts[1].rules[0].line, 2);
	ck_assert_uint_eq(r.v[0]->parts[1].rules[0].index, 0);
}
END_TEST

/* ---- streams ----------------------------------------------------------------- */

#define ONE(name)                      \
	"apiVersion: cilium.io/v2\n"   \
	"kind: CiliumNetworkPolicy\n"  \
	"metadata: {name: " name "}\n" \
	"spec: {endpointSelector: {}, ingress: [{}]} # \xc3\xa4\n"

#define FLOW(name)                                                                            \
	"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: " name "},\n" \
	"spec: {endpointSelector: {}, ingress: [{}]}}\n"

START_TEST(stream_of_documents)
{
	static const char text[] = "# first\n" ONE("a") "---   \n" ONE(
		"b") "# behind b\n"
		     "---\n"
		     "--- # nothing\n"
		     "---\r\n" ONE("c") "...\n# of d\n---\n" ONE("d") "--- " FLOW("e") "---\n";
	static const char *const texts[] = {
		"# first\n" ONE("a"), ONE("b") "# behind b\n", ONE("c"), ONE("d"), " " FLOW("e"),
	};
	static const uint32_t lines[] = { 5, 10, 18, 25, 27 };
	_cleanup_result_ struct result r = {};

	read_ok(text, &r);
	ck_assert_uint_eq(r.n, ARRAY_SIZE(texts));
	for (size_t i = 0; i < r.n; i++) {
		_cleanup_result_ struct result again = {};

		ck_assert_str_eq(r.v[i]->text, texts[i]);
		ck_assert_uint_eq(r.v[i]->name[0], 'a' + i);
		ck_assert_uint_eq(r.v[i]->parts[0].rules[0].line, lines[i]);
		read_ok(texts[i], &again);
		ck_assert(policy_same(r.v[i], again.v[0]));
	}
}
END_TEST

START_TEST(stream_with_crlf_and_long_texts)
{
	/* several lines in one scalar, with CR LF: the parser's own offsets go wrong there */
	static const char first[] = "apiVersion: cilium.io/v2\r\n"
				    "kind: CiliumNetworkPolicy\r\n"
				    "metadata: {name: a}\r\n"
				    "spec:\r\n"
				    "  description: |\r\n"
				    "    one\r\n"
				    "    two \xe2\x82\xac\r\n"
				    "\r\n"
				    "  endpointSelector: {}\r\n"
				    "  ingress: [{}]\r\n";
	_cleanup_result_ struct result r = {};
	_cleanup_buf_ struct buf b = {};

	buf_printf(&b, "\xef\xbb\xbf%s---\r\n%s", first, ONE("b"));
	read_ok(b.data, &r);
	ck_assert_uint_eq(r.n, 2);
	ck_assert_str_eq(r.v[0]->text, first);
	ck_assert_str_eq(r.v[1]->text, ONE("b"));
	ck_assert_uint_eq(r.v[1]->parts[0].rules[0].line, 15);
}
END_TEST

START_TEST(single_document_keeps_the_whole_text)
{
	static const char text[] = "# licence\n---\n" ONE("a") "...\n";
	_cleanup_result_ struct result r = {};

	read_ok(text, &r);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_str_eq(r.v[0]->text, text);
}
END_TEST

/* ---- what is refused ------------------------------------------------------------ */

struct wrong {
	const char *text;
	int code;
	const char *fragment;
};

static const struct wrong wrong_streams[] = {
	{ "", CLITE_EDOCUMENT, "t.yaml: there is no document" },
	{ "# nothing\n---\n", CLITE_EDOCUMENT, "t.yaml: there is no document" },
	{ "hello\n", CLITE_EDOCUMENT,
	  "t.yaml:1: expected a CiliumNetworkPolicy or a list of rules, found a string" },
	{ "a: b: c\n", CLITE_EDOCUMENT, "t.yaml:1: not YAML: mapping values are not allowed" },
	{ "a: [1,\n 2\nb: 3\n", CLITE_EDOCUMENT, "t.yaml:3: not YAML:" },
	{ "a:\n\t- b\n", CLITE_EDOCUMENT, "a tab cannot indent, use spaces" },
	{ "a: b\na: c\n", CLITE_EDOCUMENT, "t.yaml:2: the key 'a' is there already, in line 1" },
	{ "a: &x {b: c}\nd: *x\n", CLITE_EDOCUMENT, "t.yaml:2: aliases" },
	{ "a: !!str b\n", CLITE_EDOCUMENT, "t.yaml:1: tags" },
	{ "%TAG !a! tag:x\n---\n", CLITE_EDOCUMENT, "t.yaml:1: %TAG" },
	{ "? {a: b}\n: c\n", CLITE_EDOCUMENT, "t.yaml:1: a key must be a string" },
	{ "yes: c\n", CLITE_EDOCUMENT, "t.yaml:1: the key 'yes' is no string" },
	{ "a: \"\\0\"\n", CLITE_EDOCUMENT, "t.yaml:1: a text may not hold a NUL" },
	{ "a: \"\\ud83d\\ude00\"\n", CLITE_EDOCUMENT, "write the character itself" },
	{ "a: b\nc: \xff\n", CLITE_EDOCUMENT, "t.yaml:2: not UTF-8" },
	{ "a: b\n\nc: \x01\n", CLITE_EDOCUMENT, "t.yaml:3: not UTF-8 text: control characters" },
	{ "{}\n", CLITE_EDOCUMENT, "t.yaml:1: needs 'kind: CiliumNetworkPolicy'" },
	{ "[]\n", CLITE_EDOCUMENT, "t.yaml:1: an empty list" },
	{ "[1]\n", CLITE_EDOCUMENT, "t.yaml:1: [0]: expected a map, found a number" },
	{ "- endpointSelector: {}\n", CLITE_EDOCUMENT, "t.yaml:1: [0]: needs at least one of" },
	{ ONE("a") "---\n" ONE("b") "---\n" ONE("a"), CLITE_EDOCUMENT,
	  "t.yaml:13: the policy 'a' is there already, in line 3" },
	{ ONE("a") "---\nx: y: z\n", CLITE_EDOCUMENT, "t.yaml:6:" },
};

static const struct wrong wrong_objects[] = {
	{ "kind: Ingress\napiVersion: networking.k8s.io/v1\n", CLITE_EUNSUPPORTED,
	  "t.yaml:1: kind: 'Ingress' is not supported: CiliumNetworkPolicy, " },
	{ "kind: NetworkPolicy\napiVersion: extensions/v1beta1\n", CLITE_EDOCUMENT,
	  "t.yaml:2: apiVersion: 'extensions/v1beta1' is not the version: write "
	  "networking.k8s.io/v1" },
	{ "kind: List\nitems: []\n", CLITE_EDOCUMENT, "t.yaml:1: needs 'apiVersion: v1'" },
	{ "apiVersion: v1\nkind: List\nitems: []\n", CLITE_EDOCUMENT,
	  "t.yaml: there is no document in it" },
	{ "apiVersion: v1\nkind: List\n", CLITE_EDOCUMENT, "t.yaml:1: needs items" },
	{ "apiVersion: v1\nkind: List\nitems: [x]\n", CLITE_EDOCUMENT,
	  "t.yaml:3: items[0]: expected a policy" },
	{ "apiVersion: v1\nkind: List\nitems: [{kind: List, apiVersion: v1, items: []}]\n",
	  CLITE_EDOCUMENT, "t.yaml:3: items[0]: is a list in a list" },
	{ "apiVersion: v1\nkind: List\nitems:\n- kind: CiliumNetworkPolicy\n  apiVersion: cilium.io/v2\n"
	  "  metadata: {name: a}\n  spec: {endpointSelector: {}, ingres: []}\n",
	  CLITE_EDOCUMENT, "t.yaml:7: items[0].spec.ingres: unknown field" },
	{ "kind: [x]\n", CLITE_EDOCUMENT, "t.yaml:1: kind: expected a string, found a list" },
	{ "kind: CiliumNetworkPolicy\n", CLITE_EDOCUMENT, "needs 'apiVersion: cilium.io/v2'" },
	{ "apiVersion: cilium.io/v1\nkind: CiliumNetworkPolicy\n", CLITE_EDOCUMENT,
	  "t.yaml:1: apiVersion: 'cilium.io/v1' is not the version: write cilium.io/v2" },
	{ "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nSpec: {}\n", CLITE_EDOCUMENT,
	  "t.yaml:3: Spec: unknown field: it is spelled 'spec'" },
	{ "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nspec: {}\n", CLITE_EDOCUMENT,
	  "needs metadata with a name" },
	{ "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {}\n", CLITE_EDOCUMENT,
	  "t.yaml:3: metadata: needs a name" },
	{ "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata:\n  name: ''\n",
	  CLITE_EDOCUMENT, "t.yaml:4: metadata.name: the name '' is empty" },
	{ "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata:\n  name: 12\n",
	  CLITE_EDOCUMENT,
	  "t.yaml:4: metadata.name: expected a string (put it in quotes), found a number" },
	{ "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata:\n  name: \"a\\nb\"\n",
	  CLITE_EDOCUMENT, "metadata.name: the name 'a?b' holds a control character" },
	{ "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata:\n  name: a\n"
	  "  namespace: b/c\n",
	  CLITE_EDOCUMENT, "t.yaml:5: metadata.namespace: 'b/c' is no name of a namespace" },
	{ "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata:\n"
	  "  name: a\n  namespace: b\n",
	  CLITE_EDOCUMENT,
	  "t.yaml:5: metadata.namespace: a CiliumClusterwideNetworkPolicy has no" },
	{ "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a, nam: b}\n",
	  CLITE_EDOCUMENT,
	  "t.yaml:3: metadata.nam: unknown field; here may stand: name, namespace" },
	{ "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\n",
	  CLITE_EDOCUMENT, "t.yaml:1: needs a spec, or specs" },
	{ "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\nspecs: []\n",
	  CLITE_EDOCUMENT, "t.yaml:4: specs: needs at least one rule" },
	{ "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\n"
	  "specs:\n- endpointSelector: {}\n  ingress: []\n- ingress: []\n",
	  CLITE_EDOCUMENT, "t.yaml:7: specs[1]: needs an endpointSelector; '{}' selects every" },
};

/* Behind HEAD, from line 6 on. */
static const struct wrong wrong_specs[] = {
	{ "", CLITE_EDOCUMENT, "t.yaml:5: spec: needs at least one of ingress, ingressDeny" },
	{ "  ingress:\n", CLITE_EDOCUMENT,
	  "t.yaml:5: spec: needs at least one of ingress" },
	{ "  ingress: {}\n", CLITE_EDOCUMENT,
	  "t.yaml:6: spec.ingress: expected a list, found a map" },
	{ "  nodeSelector: {}\n  ingress: []\n", CLITE_EDOCUMENT,
	  "t.yaml:6: spec: combining endpointSelector and nodeSelector is not allowed" },
	{ "  log: {value: 123456789012345678901234567890123}\n  ingress: []\n", CLITE_EDOCUMENT,
	  "t.yaml:6: spec.log.value: expected a string" },
	{ "  log: {value: x23456789012345678901234567890123}\n  ingress: []\n", CLITE_EDOCUMENT,
	  "t.yaml:6: spec.log.value: is longer than 32 bytes" },
	{ "  log: {value: \"a\\tb\"}\n  ingress: []\n", CLITE_EDOCUMENT,
	  "spec.log.value: holds what is not printable ASCII" },
	{ "  egres: []\n", CLITE_EDOCUMENT,
	  "t.yaml:6: spec.egres: unknown field; here may stand: " },
	{ "  description: [x]\n  ingress: []\n", CLITE_EDOCUMENT, "t.yaml:6: spec.description: " },
	{ "  labels: x\n  ingress: []\n", CLITE_EDOCUMENT,
	  "t.yaml:6: spec.labels: expected a list" },
	{ "  labels: [{key: 1}]\n  ingress: []\n", CLITE_EDOCUMENT,
	  "spec.labels[0].key: expected" },
	{ "  enableDefaultDeny: {ingress: yes}\n  ingress: []\n", CLITE_EDOCUMENT,
	  "t.yaml:6: spec.enableDefaultDeny.ingress: expected true or false" },
	{ "  enableDefaultDeny: {ingress: 'true'}\n  ingress: []\n", CLITE_EDOCUMENT,
	  "expected true or false, found a string" },
	{ "  enableDefaultDeny: {both: true}\n  ingress: []\n", CLITE_EDOCUMENT,
	  "spec.enableDefaultDeny.both: unknown field" },
	{ "  ingress:\n  - fromEndpoints: [{}]\n    fromCIDR: [10.0.0.0/8]\n", CLITE_EDOCUMENT,
	  "t.yaml:8: spec.ingress[0]: combining fromEndpoints and fromCIDR in one rule is not "
	  "allowed: write two rules" },
	{ "  egress:\n  - toPorts: [{ports: [{port: 1}]}]\n    icmps: [{fields: [{type: 8}]}]\n",
	  CLITE_EDOCUMENT,
	  "t.yaml:8: spec.egress[0]: combining toPorts and icmps in one rule is not allowed" },
	{ "  egress:\n  - fromEntities: [host]\n", CLITE_EDOCUMENT,
	  "t.yaml:7: spec.egress[0].fromEntities: unknown field; here may stand: toEndpoints" },
	{ "  ingress: [null]\n", CLITE_EDOCUMENT,
	  "t.yaml:6: spec.ingress[0]: expected a map, found nothing" },
};

#define L7(text) "  - toPorts: [{ports: [{port: 80}], " text "}]\n"

/* Behind HEAD "  ingress:\n", from line 7 on; or lists of their own behind that. */
static const struct wrong wrong_rules[] = {
	/* layer 7, and what else is done beside ports */
	{ L7("rules: {http: {}}"), CLITE_EDOCUMENT, "rules.http: expected a list" },
	{ L7("rules: {http: [{paht: /}]}"), CLITE_EDOCUMENT,
	  "t.yaml:7: spec.ingress[0].toPorts[0].rules.http[0].paht: unknown field" },
	{ L7("rules: {http: [{method: 1}]}"), CLITE_EDOCUMENT, "http[0].method: expected a string" },
	{ L7("rules: {http: [{headers: [1]}]}"), CLITE_EDOCUMENT, "headers[0]: expected a string" },
	{ L7("rules: {http: [{headerMatches: [{}]}]}"), CLITE_EDOCUMENT,
	  "headerMatches[0]: needs the name of a header" },
	{ L7("rules: {http: [{headerMatches: [{name: x, mismatch: drop}]}]}"), CLITE_EDOCUMENT,
	  "'drop' is no action: LOG, ADD, DELETE and REPLACE are" },
	{ L7("rules: {http: [], kafka: []}"), CLITE_EDOCUMENT,
	  "toPorts[0].rules: combining http and kafka is not allowed: rules are of one protocol" },
	{ L7("rules: {kafka: [{role: produce, apiKey: fetch}]}"), CLITE_EDOCUMENT,
	  "combining role and apiKey is not allowed" },
	{ L7("rules: {kafka: [{role: write}]}"), CLITE_EDOCUMENT, "'write' is no role" },
	{ L7("rules: {dns: [{matchName: x}]}"), CLITE_EDOCUMENT,
	  "rules: dns is not allowed on ingress" },
	{ L7("rules: {dns: [{}]}"), CLITE_EDOCUMENT, "needs one of matchName and matchPattern" },
	{ L7("rules: {l7: []}"), CLITE_EDOCUMENT, "l7 needs l7proto" },
	{ L7("rules: {l7proto: x, l7: [{a: [b]}]}"), CLITE_EDOCUMENT, "l7[0].a: expected a string" },
	{ L7("rules: {tcp: []}"), CLITE_EDOCUMENT, "rules.tcp: unknown field" },
	{ L7("terminatingTLS: {}"), CLITE_EDOCUMENT, "terminatingTLS: needs a secret" },
	{ L7("originatingTLS: {secret: {namespace: x}}"), CLITE_EDOCUMENT, "secret: needs a name" },
	{ L7("serverNames: ['']"), CLITE_EDOCUMENT, "serverNames[0]: is empty" },
	{ L7("listener: {name: x}"), CLITE_EDOCUMENT, "listener: needs an envoyConfig and a name" },
	{ L7("listener: {name: x, envoyConfig: {name: e, kind: z}}"), CLITE_EDOCUMENT,
	  "'z' is no kind" },
	{ L7("listener: {name: x, envoyConfig: {name: e}, priority: 0}"), CLITE_EDOCUMENT,
	  "'0' is no priority: 1, the first, to 100" },
	{ L7("listener: {name: x, envoyConfig: {name: e}, priority: 101}"), CLITE_EDOCUMENT,
	  "is not a decimal number from 0 to 100" },
	{ "  - toPorts: [{rules: {http: []}}]\n", CLITE_EDOCUMENT,
	  "toPorts[0]: needs ports: what stands beside them is done for their packets" },
	{ "  - toPorts: [{ports: [{port: 0}], rules: {http: []}}]\n", CLITE_EDOCUMENT,
	  "ports[0]: port 0, all of them, is not allowed beside rules of layer 7" },
	{ "  - toPorts: [{ports: [{port: 80, protocol: UDP}], rules: {http: []}}]\n",
	  CLITE_EDOCUMENT, "is for TCP only" },
	/* peers that others find */
	{ "  - fromGroups: [{}]\n", CLITE_EDOCUMENT, "fromGroups[0]: needs a provider: aws" },
	{ "  - fromGroups: [{aws: {region: [x]}}]\n", CLITE_EDOCUMENT, "aws.region: expected" },
	{ "  - fromNodes: [x]\n", CLITE_EDOCUMENT, "fromNodes[0]: expected a map" },
	{ "  - fromRequires: [x]\n", CLITE_EDOCUMENT, "fromRequires[0]: expected a map" },
	{ "  - authentication: {}\n", CLITE_EDOCUMENT, "authentication: needs a mode" },
	{ "  - authentication: {mode: maybe}\n", CLITE_EDOCUMENT, "'maybe' is no mode" },
	{ "  - fromCIDRSet: [{cidrGroupRef: x, cidr: 10.0.0.0/8}]\n", CLITE_EDOCUMENT,
	  "one of cidr, cidrGroupRef and cidrGroupSelector may stand here" },
	{ "  - fromCIDRSet: [{cidrGroupRef: x, except: []}]\n", CLITE_EDOCUMENT,
	  "combining except and cidrGroupRef is not allowed" },
	{ "  egress:\n  - toFQDNs: [{}]\n", CLITE_EDOCUMENT,
	  "toFQDNs[0]: needs one of matchName and matchPattern" },
	{ "  egress:\n  - toFQDNs: [{matchName: 'a*'}]\n", CLITE_EDOCUMENT, "is no DNS name" },
	{ "  egress:\n  - toFQDNs: [{matchPattern: 'a b'}]\n", CLITE_EDOCUMENT, "is no pattern" },
	{ "  egress:\n  - toFQDNs: [{matchName: a.b}]\n    toCIDR: [10.0.0.0/8]\n", CLITE_EDOCUMENT, "combining toCIDR and" },
	{ "  egress:\n  - toServices: [{}]\n", CLITE_EDOCUMENT,
	  "toServices[0]: needs one of k8sService and k8sServiceSelector" },
	{ "  egress:\n  - toServices: [{k8sService: {namespace: [x]}}]\n", CLITE_EDOCUMENT,
	  "k8sService" },
	{ "  egress:\n  - toServices: [{k8sService: {serviceName: x, namespace: [x]}}]\n",
	  CLITE_EDOCUMENT, "k8sService.namespace: expected a string" },
	{ "  egress:\n  - toServices: [{k8sServiceSelector: {}}]\n", CLITE_EDOCUMENT,
	  "needs a selector" },
	/* what it has only where rules allow */
	{ "  egressDeny:\n  - toFQDNs: []\n", CLITE_EDOCUMENT,
	  "t.yaml:8: spec.egressDeny[0].toFQDNs: unknown field" },
	{ "  ingressDeny:\n  - toPorts: [{rules: {}}]\n", CLITE_EDOCUMENT, "rules: unknown field" },
	{ "  ingressDeny:\n  - authentication: {}\n", CLITE_EDOCUMENT, "unknown field" },
	/* what it has not */
	{ "  - toPorts: [{rules: {smtp: []}}]\n", CLITE_EDOCUMENT,
	  "spec.ingress[0].toPorts[0].rules.smtp: unknown field" },
	{ "  - toPorts: [{ports: [{port: 1, proto: TCP}]}]\n", CLITE_EDOCUMENT,
	  "spec.ingress[0].toPorts[0].ports[0].proto: unknown field; here may stand: port, endPort" },
	/* selectors */
	{ "  - fromEndpoints: {}\n", CLITE_EDOCUMENT,
	  "fromEndpoints: expected a list, found a map" },
	{ "  - fromEndpoints: [x]\n", CLITE_EDOCUMENT, "fromEndpoints[0]: expected a map" },
	{ "  - fromEndpoints: [{app: web}]\n", CLITE_EDOCUMENT,
	  "spec.ingress[0].fromEndpoints[0].app: unknown field; here may stand: matchLabels" },
	{ "  - fromEndpoints: [{matchLabels: [app]}]\n", CLITE_EDOCUMENT,
	  "expected a map of labels" },
	{ "  - fromEndpoints: [{matchLabels: {app: 1.0}}]\n", CLITE_EDOCUMENT,
	  "matchLabels.app: expected a string (put it in quotes), found a number" },
	{ "  - fromEndpoints: [{matchLabels: {app: -.5}}]\n", CLITE_EDOCUMENT, "found a number" },
	{ "  - fromEndpoints: [{matchLabels: {app: 0b1}}]\n", CLITE_EDOCUMENT, "found a number" },
	{ "  - fromEndpoints: [{matchLabels: {app: 1_000}}]\n", CLITE_EDOCUMENT, "found a number" },
	{ "  - fromEndpoints: [{matchLabels: {app: .inf}}]\n", CLITE_EDOCUMENT, "found a number" },
	{ "  - fromEndpoints: [{matchLabels: {app: 12e4567}}]\n", CLITE_EDOCUMENT,
	  "found a number" },
	{ "  - fromEndpoints: [{matchLabels: {app: true}}]\n", CLITE_EDOCUMENT, "found a boolean" },
	{ "  - fromEndpoints: [{matchLabels: {app: on}}]\n", CLITE_EDOCUMENT,
	  "found a word that YAML may take for a boolean" },
	{ "  - fromEndpoints: [{matchLabels: {app: }}]\n", CLITE_EDOCUMENT,
	  "expected a string (an empty one is \"\"), found nothing" },
	{ "  - fromEndpoints:\n    - matchLabels:\n        a: b\n        a: b\n", CLITE_EDOCUMENT,
	  "t.yaml:10: the key 'a' is there already, in line 9" },
	{ "  - fromEndpoints: [{matchLabels: {':app': x}}]\n", CLITE_EDOCUMENT,
	  "is no key of a label" },
	{ "  - fromEndpoints: [{matchLabels: {'my app': x}}]\n", CLITE_EDOCUMENT,
	  "without blanks" },
	{ "  - fromEndpoints: [{matchLabels: {a: \"x\\ny\"}}]\n", CLITE_EDOCUMENT,
	  "'x?y' is no value of a label" },
	{ "  - fromEndpoints: [{matchExpressions: {}}]\n", CLITE_EDOCUMENT, "expected a list" },
	{ "  - fromEndpoints: [{matchExpressions: [{key: a}]}]\n", CLITE_EDOCUMENT,
	  "matchExpressions[0]: needs a key and an operator" },
	{ "  - fromEndpoints: [{matchExpressions: [{key: a, operator: in, values: [x]}]}]\n",
	  CLITE_EDOCUMENT,
	  "operator: 'in' is no operator: In, NotIn, Exists and DoesNotExist are" },
	{ "  - fromEndpoints: [{matchExpressions: [{key: a, operator: In}]}]\n", CLITE_EDOCUMENT,
	  "operator 'In' needs a list of values" },
	{ "  - fromEndpoints: [{matchExpressions: [{key: a, operator: NotIn, values: []}]}]\n",
	  CLITE_EDOCUMENT, "operator 'NotIn' needs a list of values" },
	{ "  - fromEndpoints: [{matchExpressions: [{key: a, operator: Exists, values: [x]}]}]\n",
	  CLITE_EDOCUMENT, "operator 'Exists' takes no values" },
	{ "  - fromEndpoints: [{matchExpressions: [{key: a, operator: In, values: [1]}]}]\n",
	  CLITE_EDOCUMENT, "values[0]: expected a string (put it in quotes), found a number" },
	/* CIDRs and entities */
	{ "  - fromCIDR: [10.0.0.0/33]\n", CLITE_EDOCUMENT,
	  "t.yaml:7: spec.ingress[0].fromCIDR[0]: '10.0.0.0/33' is no address or prefix" },
	{ "  - fromCIDR: [10.0.0.1/33]\n", CLITE_EDOCUMENT, "is no address or prefix" },
	{ "  - fromCIDR: 10.0.0.0/8\n", CLITE_EDOCUMENT,
	  "fromCIDR: expected a list, found a string" },
	{ "  - fromCIDR: [{cidr: 10.0.0.0/8}]\n", CLITE_EDOCUMENT,
	  "expected a string, found a map" },
	{ "  - fromCIDRSet: [10.0.0.0/8]\n", CLITE_EDOCUMENT, "expected a map, found a string" },
	{ "  - fromCIDRSet: [{except: []}]\n", CLITE_EDOCUMENT, "fromCIDRSet[0]: needs a cidr" },
	{ "  - fromCIDRSet:\n    - cidr: 10.0.0.0/8\n      except:\n      - 10.1.0.0/16\n"
	  "      - 11.0.0.0/8\n",
	  CLITE_EDOCUMENT,
	  "t.yaml:11: spec.ingress[0].fromCIDRSet[0].except[1]: '11.0.0.0/8' is outside of the "
	  "cidr '10.0.0.0/8'" },
	{ "  - fromCIDRSet: [{cidr: 10.0.0.0/8, except: ['::/0']}]\n", CLITE_EDOCUMENT,
	  "is outside" },
	{ "  - fromEntities: [moon]\n", CLITE_EDOCUMENT,
	  "spec.ingress[0].fromEntities[0]: 'moon' is no entity; these are: all, world, " },
	/* ports */
	{ "  - toPorts: [{ports: [{port: http, endPort: 90}]}]\n", CLITE_EDOCUMENT,
	  "t.yaml:7: spec.ingress[0].toPorts[0].ports[0].endPort: 'http' is a name, with which no "
	  "range begins" },
	{ "  - toPorts: [{ports: [{port: much-too-long-a-name}]}]\n", CLITE_EDOCUMENT,
	  "is not a decimal number" },
	{ "  - toPorts: [{ports: [{port: 99999}]}]\n", CLITE_EDOCUMENT,
	  "port: '99999' is not a decimal number from 0 to 65535" },
	{ "  - toPorts: [{ports: [{port: 65536}]}]\n", CLITE_EDOCUMENT, "is not a decimal number" },
	{ "  - toPorts: [{ports: [{port: -1}]}]\n", CLITE_EDOCUMENT,
	  "'-1' is not a decimal number" },
	{ "  - toPorts: [{ports: [{port: 1e999}]}]\n", CLITE_EDOCUMENT,
	  "'1e999' is not a decimal" },
	{ "  - toPorts: [{ports: [{port: 0x50}]}]\n", CLITE_EDOCUMENT, "'0x50' is not a decimal" },
	{ "  - toPorts: [{ports: [{port: '0x50'}]}]\n", CLITE_EDOCUMENT,
	  "'0x50' is not a decimal" },
	{ "  - toPorts: [{ports: [{port: 080}]}]\n", CLITE_EDOCUMENT, "'080' is not a decimal" },
	{ "  - toPorts: [{ports: [{port: 80.0}]}]\n", CLITE_EDOCUMENT, "'80.0' is not a decimal" },
	{ "  - toPorts: [{ports: [{port: 18446744073709551696}]}]\n", CLITE_EDOCUMENT,
	  "is not a dec" },
	{ "  - toPorts: [{ports: [{port: ''}]}]\n", CLITE_EDOCUMENT, "'' is not a decimal number" },
	{ "  - toPorts: [{ports: [{port: ' 80'}]}]\n", CLITE_EDOCUMENT, "' 80' is not a decimal" },
	{ "  - toPorts: [{ports: [{port: true}]}]\n", CLITE_EDOCUMENT, "found a boolean" },
	{ "  - toPorts: [{ports: [{port: }]}]\n", CLITE_EDOCUMENT, "found nothing" },
	{ "  - toPorts: [{ports: [{protocol: TCP}]}]\n", CLITE_EDOCUMENT,
	  "ports[0]: needs a port; port 0 stands for all" },
	{ "  - toPorts: [{ports: [{port: 80, endPort: 79}]}]\n", CLITE_EDOCUMENT,
	  "t.yaml:7: spec.ingress[0].toPorts[0].ports[0].endPort: 79 is below the port 80" },
	{ "  - toPorts: [{ports: [{port: 0, endPort: 0}]}]\n", CLITE_EDOCUMENT, "0 ends no range" },
	{ "  - toPorts: [{ports: [{port: 80, protocol: GRE}]}]\n", CLITE_EDOCUMENT,
	  "protocol: 'GRE' is no protocol: TCP, UDP, SCTP and ANY are" },
	{ "  - toPorts: [{ports: [{port: 8, protocol: ICMP}]}]\n", CLITE_EDOCUMENT,
	  "'ICMP' has no ports: write an icmps list" },
	{ "  - toPorts: [{ports: {port: 80}}]\n", CLITE_EDOCUMENT, "ports: expected a list" },
	/* ICMP */
	{ "  - icmps: [{fields: [{}]}]\n", CLITE_EDOCUMENT, "icmps[0].fields[0]: needs a type" },
	{ "  - icmps: [{fields: [{type: 256}]}]\n", CLITE_EDOCUMENT,
	  "fields[0].type: '256' is not a decimal number from 0 to 255" },
	{ "  - icmps: [{fields: [{type: Ping}]}]\n", CLITE_EDOCUMENT,
	  "'Ping' is no type of ICMP: expected 0 to 255, or a name such as EchoRequest" },
	{ "  - icmps: [{fields: [{type: PacketTooBig}]}]\n", CLITE_EDOCUMENT,
	  "is a type of family IPv6 only: write 'family: IPv6'" },
	{ "  - icmps: [{fields: [{type: Redirect, family: IPv6}]}]\n", CLITE_EDOCUMENT,
	  "is a type of family IPv4 only" },
	{ "  - icmps: [{fields: [{type: 8, family: ipv4}]}]\n", CLITE_EDOCUMENT,
	  "family: 'ipv4' is no family: IPv4 and IPv6 are" },
	{ "  - icmps: [{fields: [{type: 8, code: 0}]}]\n", CLITE_EDOCUMENT, "code: unknown field" },
};

START_TEST(refuse_stream)
{
	const struct wrong *w = &wrong_streams[_i];

	expect_error(w->text, strlen(w->text), w->code, w->fragment);
}
END_TEST

START_TEST(refuse_object)
{
	const struct wrong *w = &wrong_objects[_i];

	expect_error(w->text, strlen(w->text), w->code, w->fragment);
}
END_TEST

START_TEST(refuse_spec)
{
	_cleanup_buf_ struct buf b = {};

	buf_printf(&b, HEAD "%s", wrong_specs[_i].text);
	expect_error(b.data, b.len, wrong_specs[_i].code, wrong_specs[_i].fragment);
}
END_TEST

START_TEST(refuse_rule)
{
	const struct wrong *w = &wrong_rules[_i];
	bool elements_only = strncmp(w->text, "  - ", 4) == 0;
	_cleanup_buf_ struct buf b = {};

	buf_printf(&b, HEAD "  ingress:%s\n%s", elements_only ? "" : " []", w->text);
	expect_error(b.data, b.len, w->code, w->fragment);
}
END_TEST

/* n elements, each one the same */
static void put_many(struct buf *b, const char *before, const char *element, size_t n,
		     const char *after)
{
	buf_puts(b, before);
	for (size_t i = 0; i < n; i++)
		buf_puts(b, element);
	buf_puts(b, after);
}

START_TEST(forty_ports_at_most)
{
	_cleanup_buf_ struct buf many = {}, too_many = {};
	_cleanup_result_ struct result r = {};
	const char *before = HEAD "  ingress:\n  - toPorts:\n    - ports: [";

	put_many(&many, before, "{port: 1},", 40, "]\n    - ports: [{port: 2}]\n");
	read_ok(many.data, &r);
	ck_assert_uint_eq(rule(&r, 0)->nports, 41);
	expect_round_trip(r.v[0]);

	put_many(&too_many, before, "{port: 1},", 41, "]\n");
	expect_error(too_many.data, too_many.len, CLITE_EDOCUMENT,
		     "t.yaml:8: spec.ingress[0].toPorts[0].ports: 41 ports, at most 40");
}
END_TEST

START_TEST(forty_icmp_types_at_most)
{
	_cleanup_buf_ struct buf many = {}, too_many = {};
	_cleanup_result_ struct result r = {};
	const char *before = HEAD "  egressDeny:\n  - icmps:\n    - fields: [";

	put_many(&many, before, "{type: 1},", 40, "]\n    - fields: [{type: 2}]\n");
	read_ok(many.data, &r);
	ck_assert_uint_eq(rule(&r, 0)->nports, 41);
	expect_round_trip(r.v[0]);

	put_many(&too_many, before, "{type: 1},", 41, "]\n");
	expect_error(too_many.data, too_many.len, CLITE_EDOCUMENT,
		     "t.yaml:8: spec.egressDeny[0].icmps[0].fields: 41 types, at most 40");
}
END_TEST

/* ---- limits ---------------------------------------------------------------------- */

START_TEST(too_large)
{
	size_t len = (size_t)DOCUMENT_MAX_BYTES + 1;
	_cleanup_free_ char *text = malloc(len);

	ck_assert_ptr_nonnull(text);
	memset(text, ' ', len);
	expect_error(text, len, E2BIG, "t.yaml: 16777217 bytes: at most 16777216");
	expect_error(text, len - 1, CLITE_EDOCUMENT, "there is no document");
}
END_TEST

START_TEST(too_deep)
{
	static const char *const openings[] = { "[", "{a: ", "- ", "[{a: " };

	for (size_t i = 0; i < ARRAY_SIZE(openings); i++) {
		_cleanup_buf_ struct buf b = {};

		put_many(&b, "", openings[i], 65, "");
		expect_error(b.data, b.len, E2BIG, "t.yaml:1: nested deeper than 64 levels");
	}
}
END_TEST

START_TEST(deep_nesting_fails_fast)
{
	size_t len = (size_t)100 << 20;
	_cleanup_free_ char *text = malloc(len);

	ck_assert_ptr_nonnull(text);
	memset(text, '[', len);
	expect_error(text, len, E2BIG, "104857600 bytes");
	expect_error(text, DOCUMENT_MAX_BYTES, E2BIG, "t.yaml:1: nested deeper than 64 levels");
}
END_TEST

START_TEST(too_many_values)
{
	_cleanup_buf_ struct buf b = {};

	put_many(&b, "[", "a,\n", DOCUMENT_MAX_NODES, "]\n");
	expect_error(b.data, b.len, E2BIG, "t.yaml:1000000: more than 1000000 values");
}
END_TEST

START_TEST(nul_bytes)
{
	static const char text[] = HEAD "  ingress: []\n\0\n";

	expect_error(text, sizeof(text) - 1, CLITE_EDOCUMENT, "t.yaml:7: a NUL byte is no text");
	expect_error("\0", 1, CLITE_EDOCUMENT, "t.yaml:1: a NUL byte is no text");
	expect_error(NULL, 0, CLITE_EDOCUMENT, "there is no document");
}
END_TEST

START_TEST(long_texts_are_cut_in_messages)
{
	_cleanup_err_ struct errtext err = {};
	_cleanup_buf_ struct buf b = {};
	struct result r = {};

	put_many(&b, HEAD "  ingress: [{fromEntities: ['", "\xc3\xa4", 100000, "']}]\n");
	ck_assert_int_eq(document_read(b.data, b.len, "t.yaml", NULL, &r.v, &r.n, &err),
			 -CLITE_EDOCUMENT);
	ck_assert_uint_lt(strlen(err.text), 500);
	ck_assert_ptr_nonnull(strstr(err.text, "\xc3\xa4...' is no entity"));
}
END_TEST

START_TEST(errors_without_a_place_for_them)
{
	struct result r = {};

	ck_assert_int_eq(document_read("{}", 2, NULL, NULL, &r.v, &r.n, NULL), -CLITE_EDOCUMENT);
	ck_assert_ptr_null(r.v);
}
END_TEST

/* Every beginning of a document: read, or refused with a text; nothing leaks. */
START_TEST(cut_anywhere)
{
	static const char text[] = HEAD
		"  enableDefaultDeny: {ingress: true}\n"
		"  ingress:\n"
		"  - fromEndpoints:\n"
		"    - matchExpressions: [{key: 'k8s:a', operator: In, values: [\"b\", c]}]\n"
		"    toPorts: [{ports: [{port: 80, endPort: 90, protocol: TCP}]}]\n"
		"  - fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.0.0.0/9]}]\n"
		"    icmps: [{fields: [{type: EchoRequest, family: IPv6}]}]\n"
		"---\n" ONE("b");

	for (size_t len = 0; len < sizeof(text); len++) {
		_cleanup_err_ struct errtext err = {};
		_cleanup_result_ struct result r = {};
		int code = document_read(text, len, "t.yaml", NULL, &r.v, &r.n, &err);

		if (code < 0)
			ck_assert_msg(err.text && strncmp(err.text, "t.yaml:", 7) == 0, "%zu: %s",
				      len, err.text ? err.text : "no text");
		else
			expect_round_trip(r.v[0]);
	}
}
END_TEST

/* ---- what structs can say and documents cannot ------------------------------------ */

START_TEST(mixed_rules_are_split)
{
	struct peer peers[] = {
		{ .kind = CLITE_PEER_ENTITY, .entity = ENTITY_HOST },
		{ .kind = CLITE_PEER_ENDPOINTS },
		{ .kind = CLITE_PEER_ENTITY, .entity = ENTITY_HEALTH },
	};
	struct port_range ports[] = {
		{ IPPROTO_ICMP, 0, 45, 0, NULL },
		{ IPPROTO_TCP, 80, 80, 0, NULL },
	};
	struct rule one = {
		.direction = CLITE_EGRESS, .peers = peers, .npeers = 3, .ports = ports, .nports = 2
	};
	struct part part = { .rules = &one, .nrules = 1 };
	struct policy p = { .name = (char[]){ "mixed" }, .parts = &part, .nparts = 1 };
	_cleanup_result_ struct result r = {};
	_cleanup_buf_ struct buf b = {};

	ck_assert_int_eq(policy_write(&p, &b), 0);
	read_ok(b.data, &r);
	ck_assert_uint_eq(r.v[0]->parts[0].nrules, 4);
	ck_assert_uint_eq(rule(&r, 0)->npeers, 1);
	ck_assert_uint_eq(rule(&r, 0)->nports, 1);
	ck_assert_uint_eq(rule(&r, 1)->npeers, 2);
	ck_assert_uint_eq(rule(&r, 1)->peers[1].entity, ENTITY_HEALTH);
	ck_assert_uint_eq(rule(&r, 2)->nports, 46);
	ck_assert_uint_eq(rule(&r, 3)->ports[45].first, 45);
	expect_round_trip(r.v[0]);
}
END_TEST

START_TEST(everybody_and_everything)
{
	struct rule one = { .direction = CLITE_INGRESS, .any_peer = true, .any_port = true };
	struct part part = { .rules = &one, .nrules = 1 };
	struct policy p = { .name = (char[]){ "all" }, .parts = &part, .nparts = 1 };
	_cleanup_result_ struct result r = {};
	_cleanup_buf_ struct buf b = {};

	ck_assert_int_eq(policy_write(&p, &b), 0);
	read_ok(b.data, &r);
	ck_assert(rule(&r, 0)->any_peer);
	ck_assert_uint_eq(rule(&r, 0)->nports, 1);
	ck_assert_uint_eq(rule(&r, 0)->ports[0].protocol, 0);
	ck_assert_uint_eq(rule(&r, 0)->ports[0].first, 0);
	ck_assert_uint_eq(rule(&r, 0)->ports[0].last, 65535);
}
END_TEST

/* ---- what L3 and L4 cannot do is kept ------------------------------------------------ */

static const struct {
	const char *text; /* behind HEAD */
	enum need need;
	uint32_t line;
} beyond[] = {
	{ "  ingress:\n" L7("rules: {http: [{method: GET, path: '/a$', host: x, headers: ['A: b'], "
			    "headerMatches: [{name: x, value: v, mismatch: ADD, secret: {name: z, "
			    "namespace: m}}]}]}"),
	  NEED_HTTP, 7 },
	{ "  ingress:\n" L7("rules: {http: []}"), NEED_HTTP, 7 },
	{ "  ingress:\n  - {}\n" L7("rules: {kafka: [{role: consume, topic: t, clientID: c, "
				     "apiVersion: '0'}]}"),
	  NEED_KAFKA, 8 },
	{ "  ingress:\n" L7("rules: {l7proto: r2d2, l7: [{cmd: READ}]}"), NEED_L7, 7 },
	{ "  egress:\n" L7("rules: {dns: [{matchPattern: '*.x.org'}]}"), NEED_DNS, 7 },
	{ "  egress:\n" L7("serverNames: [x.org]"), NEED_TLS, 7 },
	{ "  egress:\n" L7("originatingTLS: {secret: {name: s, namespace: m}, trustedCA: c}"),
	  NEED_TLS, 7 },
	{ "  egress:\n" L7("terminatingTLS: {secret: {name: s}, certificate: c, privateKey: k}, "
			   "rules: {http: [{}]}"),
	  NEED_HTTP, 7 },
	{ "  egress:\n" L7("listener: {name: l, priority: 7, envoyConfig: {name: e, kind: "
			   "CiliumEnvoyConfig}}"),
	  NEED_LISTENER, 7 },
	{ "  egress:\n  - toPorts:\n    - ports: [{port: 80}, {port: 81}]\n      rules: {http: [{}]}\n"
	  "    - ports: [{port: 443}]\n    - ports: [{port: 90}]\n      rules: {kafka: []}\n",
	  NEED_HTTP, 7 },
	{ "  ingress:\n  - authentication: {mode: required}\n    fromEndpoints: [{}]\n", NEED_AUTH,
	  7 },
	{ "  ingress:\n  - authentication: {mode: test-always-fail}\n", NEED_AUTH, 7 },
	{ "  ingress:\n  - authentication: {mode: disabled}\n    fromEndpoints: [{}]\n", NEED_NONE,
	  0 },
	{ "  egress:\n  - toFQDNs: [{matchName: x.org}, {matchPattern: '*'}]\n", NEED_FQDN, 7 },
	{ "  egress:\n  - toNodes: [{matchLabels: {a: b}}]\n", NEED_NODES, 7 },
	{ "  ingress:\n  - fromGroups: [{aws: {labels: {a: b}, securityGroupsIds: [sg], region: r, "
	  "securityGroupsNames: [m]}}]\n",
	  NEED_GROUPS, 7 },
	{ "  ingress:\n  - fromCIDRSet: [{cidr: 10.0.0.0/8}, {cidrGroupRef: g}, {cidr: 1.0.0.0/8}]\n",
	  NEED_CIDR_GROUPS, 7 },
	{ "  egress:\n  - toCIDRSet: [{cidrGroupSelector: {matchLabels: {a: b}}}]\n",
	  NEED_CIDR_GROUPS, 7 },
	/* these are done here */
	{ "  egress:\n  - toServices: [{k8sService: {serviceName: a, namespace: b}}, {k8sService: "
	  "{serviceName: a}}, {k8sServiceSelector: {selector: {matchLabels: {a: b}}, namespace: c}}, "
	  "{k8sServiceSelector: {selector: {}}}]\n    toPorts: [{ports: [{port: 1}]}]\n",
	  NEED_NONE, 0 },
	{ "  ingress:\n  - fromRequires: [{matchLabels: {a: b}}]\n  - fromEndpoints: [{}]\n"
	  "    fromRequires: [{matchLabels: {c: d}}]\n",
	  NEED_NONE, 0 },
	{ "  ingressDeny:\n  - toPorts: [{ports: [{port: HTTP}, {port: dns, protocol: UDP}]}]\n",
	  NEED_NONE, 0 },
	{ "  description: some\n  labels: [{key: a, value: b}, 'x:y=z']\n  log: {value: hey}\n"
	  "  ingress: []\n",
	  NEED_NONE, 0 },
};

START_TEST(kept)
{
	_cleanup_result_ struct result r = {};
	_cleanup_buf_ struct buf b = {};
	uint32_t line;

	buf_printf(&b, "%s%s", HEAD, beyond[_i].text);
	read_ok(b.data, &r);
	ck_assert_int_eq(policy_lacks(r.v[0], 0, &line), beyond[_i].need);
	ck_assert_uint_eq(line, beyond[_i].line);
	/* with everything there it can be enforced */
	ck_assert_int_eq(policy_lacks(r.v[0], UINT32_MAX, &line), NEED_NONE);
	expect_round_trip(r.v[0]);
}
END_TEST

START_TEST(limits)
{
	static const struct {
		struct document_limits limits;
		int code;
		const char *error;
	} rows[] = {
		{ { 0, 0, 0 }, 0, NULL },
		{ { 115, 0, 0 }, 0, NULL },
		{ { 114, 0, 0 }, -E2BIG, "t.yaml: 115 bytes: at most 114 are read" },
		{ { 0, 15, 0 }, 0, NULL },
		{ { 0, 14, 0 }, -E2BIG, "t.yaml:5: more than 14 values: split the document" },
		{ { 0, 0, 3 }, 0, NULL },
		{ { 0, 0, 2 }, -E2BIG, "t.yaml:5: nested deeper than 2 levels" },
		{ { 0, 0, 1024 }, 0, NULL },
		{ { 0, 0, 1025 }, -EINVAL, "max_depth 1025: at most 1024" },
	};
	static const char text[] = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: "
				   "{name: p}\nspec:\n  {endpointSelector: {}, ingress: []}\n";

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_err_ struct errtext err = {};
		_cleanup_result_ struct result r = {};
		int code = document_read_limited(text, sizeof(text) - 1, &rows[i].limits, "t.yaml",
						 NULL, &r.v, &r.n, &err);

		ck_assert_msg(code == rows[i].code, "%zu: %d: %s", i, code, err.text ?: "");
		if (rows[i].error)
			ck_assert_str_eq(err.text, rows[i].error);
	}
}
END_TEST

/* As deep as anybody may allow it: nothing overflows. */
START_TEST(deepest)
{
	static const struct document_limits limits = { 0, 0, 1024 };
	_cleanup_buf_ struct buf b = {};
	_cleanup_err_ struct errtext err = {};
	_cleanup_result_ struct result r = {};

	for (int i = 0; i < 1024; i++)
		buf_puts(&b, "[");
	for (int i = 0; i < 1024; i++)
		buf_puts(&b, "]");
	ck_assert_int_eq(document_read_limited(b.data, b.len, &limits, "t.yaml", NULL, &r.v, &r.n,
					       &err),
			 -CLITE_EDOCUMENT);
	ck_assert_ptr_nonnull(strstr(err.text, "expected a map, found a list"));
}
END_TEST

/* A thousand documents, one of them wrong: nothing is read, and it is named. */
START_TEST(one_of_a_thousand)
{
	_cleanup_buf_ struct buf b = {};
	_cleanup_err_ struct errtext err = {};
	_cleanup_result_ struct result r = {};

	for (int i = 0; i < 1000; i++)
		buf_printf(&b,
			   "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: "
			   "{name: p%d}\nspec:\n  endpointSelector: {}\n  %s: [{}]\n",
			   i, i == 617 ? "igress" : "ingress");
	ck_assert_int_eq(document_read(b.data, b.len, "many.yaml", NULL, &r.v, &r.n, &err),
			 -CLITE_EDOCUMENT);
	ck_assert_uint_eq(r.n, 0);
	ck_assert_ptr_null(r.v);
	ck_assert_ptr_nonnull(
		strstr(err.text, "many.yaml:4326: spec.igress: unknown field; here may stand: "));
}
END_TEST

START_TEST(kept_values)
{
	_cleanup_result_ struct result r = {};
	const struct rule *one;

	read_ok(HEAD "  egress:\n"
		     "  - toPorts:\n    - ports: [{port: Web}, {port: 81}]\n"
		     "      rules: {http: [{path: \"/\\\"\", method: GET}]}\n"
		     "      listener: {name: l, priority: 100, envoyConfig: {name: e}}\n"
		     "    - ports: [{port: 443}]\n"
		     "  - toFQDNs: [{matchName: x.org}]\n",
		&r);
	one = rule(&r, 0);
	ck_assert_uint_eq(one->nredirects, 1);
	ck_assert_uint_eq(one->redirects[0].needs, 1u << NEED_HTTP | 1u << NEED_LISTENER);
	ck_assert_uint_eq(one->redirects[0].priority, 28);
	ck_assert_str_eq(one->redirects[0].listener, "l");
	ck_assert_str_eq(one->redirects[0].json,
			 "{\"rules\": {\"http\": [{\"path\": \"/\\\"\", \"method\": \"GET\"}]}, "
			 "\"listener\": {\"name\": \"l\", \"priority\": 100, "
			 "\"envoyConfig\": {\"name\": \"e\"}}}");
	ck_assert_uint_eq(one->ports[0].redirect, 1);
	ck_assert_str_eq(one->ports[0].name, "web");
	ck_assert_uint_eq(one->ports[1].redirect, 1);
	ck_assert_uint_eq(one->ports[2].redirect, 0);
	ck_assert_str_eq(rule(&r, 1)->peers[0].json, "{\"matchName\": \"x.org\"}");
}
END_TEST

/* ---- documents of the Cilium project ----------------------------------------------- */

static const struct {
	const char *file;
	enum need need; /* what must be there for it to be enforced */
	size_t policies;
} samples[] = {
	{ "getting-started-l3-l4-policy.yaml", NEED_NONE, 1 },
	{ "host-demo-host-policy.yaml", NEED_HOST, 1 },
	{ "kubernetes-clusterwide-wildcard-from-endpoints.yaml", NEED_NONE, 1 },
	{ "kubernetes-namespace-isolate-namespaces.yaml", NEED_NONE, 2 },
	{ "kubernetes-namespace-namespace-policy.yaml", NEED_NONE, 1 },
	{ "l3-cidr-cidr.yaml", NEED_NONE, 1 },
	{ "l3-egress-default-deny-egress-default-deny.yaml", NEED_NONE, 1 },
	{ "l3-entities-from_world_deny.yaml", NEED_NONE, 1 },
	{ "l3-entities-host.yaml", NEED_NONE, 1 },
	{ "l3-entities-world.yaml", NEED_NONE, 1 },
	{ "l3-fqdn-fqdn.yaml", NEED_DNS, 1 },
	{ "l3-ingress-allow-all-ingress-allow-all.yaml", NEED_NONE, 1 },
	{ "l3-match-expressions-or-statement.yaml", NEED_NONE, 1 },
	{ "l3-requires-requires.yaml", NEED_NONE, 1 },
	{ "l3-service-service.yaml", NEED_NONE, 1 },
	{ "l3-simple-l3.yaml", NEED_NONE, 1 },
	{ "l3-simple-l3_egress.yaml", NEED_NONE, 1 },
	{ "l4-icmp.yaml", NEED_NONE, 1 },
	{ "l4-init.yaml", NEED_NONE, 1 },
	{ "l4-l3_l4_combined.yaml", NEED_NONE, 1 },
	{ "l4-l4.yaml", NEED_NONE, 1 },
	{ "l4-l4_port_range.yaml", NEED_NONE, 1 },
	{ "l7-dns-dns.yaml", NEED_DNS, 1 },
	{ "l7-http-http.yaml", NEED_HTTP, 1 },
	{ "l7-kafka-kafka.yaml", NEED_KAFKA, 1 },
	{ "rules-and-statement.json", NEED_NONE, 1 },
	{ "rules-l4.json", NEED_NONE, 1 },
};

static void read_file(const char *dir, const char *file, struct buf *b)
{
	_cleanup_free_ char *path = NULL;
	char chunk[4096];
	size_t n;
	FILE *f;

	ck_assert_int_gt(asprintf(&path, "%s/%s", dir, file), 0);
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "%s cannot be opened", path);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_put(b, chunk, n);
	fclose(f);
	ck_assert(b->data && !b->failed);
}

START_TEST(sample)
{
	_cleanup_err_ struct errtext err = {};
	_cleanup_result_ struct result r = {};
	_cleanup_buf_ struct buf b = {};
	int code;

	read_file(getenv("CLITE_POLICY_SAMPLES"), samples[_i].file, &b);
	code = document_read(b.data, b.len, samples[_i].file, NULL, &r.v, &r.n, &err);
	ck_assert_msg(code == 0, "%s: %d: %s", samples[_i].file, code, err.text ? err.text : "");
	ck_assert_uint_eq(r.n, samples[_i].policies);
	for (size_t i = 0; i < r.n; i++) {
		uint32_t line;

		ck_assert_int_eq(policy_lacks(r.v[i], 0, &line), samples[_i].need);
		expect_round_trip(r.v[i]);
	}
}
END_TEST

/* No sample without an expectation. */
START_TEST(samples_are_all_known)
{
	DIR *dir = opendir(getenv("CLITE_POLICY_SAMPLES"));
	struct dirent *e;

	ck_assert_ptr_nonnull(dir);
	while ((e = readdir(dir))) {
		const char *ending = strrchr(e->d_name, '.');
		bool known = false;

		if (!ending || (strcmp(ending, ".yaml") && strcmp(ending, ".json")))
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
			known = known || strcmp(samples[i].file, e->d_name) == 0;
		ck_assert_msg(known, "%s", e->d_name);
	}
	closedir(dir);
}
END_TEST

static void add_meaning(Suite *s)
{
	TCase *t = tcase_create("meaning");

	tcase_add_test(t, yaml_document);
	tcase_add_test(t, json_document);
	tcase_add_test(t, specs_and_spec);
	tcase_add_test(t, match_expressions);
	tcase_add_test(t, strings_that_begin_with_digits);
	tcase_add_test(t, cidr_sets);
	tcase_add_test(t, all_entities);
	tcase_add_loop_test(t, port_ranges, 0, ARRAY_SIZE(ports));
	tcase_add_test(t, several_lists_of_ports);
	tcase_add_loop_test(t, icmp_types, 0, ARRAY_SIZE(icmp));
	tcase_add_loop_test(t, elements_mean, 0, ARRAY_SIZE(elements));
	tcase_add_test(t, default_deny);
	tcase_add_test(t, namespaces);
	tcase_add_loop_test(t, subjects_stay_in_their_namespace, 0, ARRAY_SIZE(subjects));
	tcase_add_test(t, lenient);
	tcase_add_test(t, no_namespace_adds_nothing);
	tcase_add_test(t, slash_without_namespace);
	tcase_add_loop_test(t, older_rules, 0, ARRAY_SIZE(older));
	tcase_add_test(t, older_rules_are_parts);
	tcase_add_test(t, stream_of_documents);
	tcase_add_test(t, stream_with_crlf_and_long_texts);
	tcase_add_test(t, single_document_keeps_the_whole_text);
	tcase_add_test(t, mixed_rules_are_split);
	tcase_add_test(t, everybody_and_everything);
	tcase_add_loop_test(t, kept, 0, ARRAY_SIZE(beyond));
	tcase_add_test(t, kept_values);
	tcase_add_test(t, limits);
	tcase_add_test(t, deepest);
	tcase_add_test(t, one_of_a_thousand);
	suite_add_tcase(s, t);
}

static void add_errors(Suite *s)
{
	TCase *t = tcase_create("errors");

	tcase_add_loop_test(t, refuse_stream, 0, ARRAY_SIZE(wrong_streams));
	tcase_add_loop_test(t, refuse_object, 0, ARRAY_SIZE(wrong_objects));
	tcase_add_loop_test(t, refuse_spec, 0, ARRAY_SIZE(wrong_specs));
	tcase_add_loop_test(t, refuse_rule, 0, ARRAY_SIZE(wrong_rules));
	tcase_add_test(t, forty_ports_at_most);
	tcase_add_test(t, forty_icmp_types_at_most);
	tcase_add_test(t, nul_bytes);
	tcase_add_test(t, long_texts_are_cut_in_messages);
	tcase_add_test(t, errors_without_a_place_for_them);
	tcase_add_test(t, cut_anywhere);
	suite_add_tcase(s, t);

	t = tcase_create("limits");
	tcase_set_timeout(t, 60); /* sanitizers are slow with a million nodes */
	tcase_add_test(t, too_large);
	tcase_add_test(t, too_deep);
	tcase_add_test(t, deep_nesting_fails_fast);
	tcase_add_test(t, too_many_values);
	suite_add_tcase(s, t);
}

static void add_samples(Suite *s)
{
	TCase *t;

	if (!getenv("CLITE_POLICY_SAMPLES")) {
		printf("CLITE_POLICY_SAMPLES is not set: Cilium's example policies are not read\n");
		return;
	}
	t = tcase_create("samples");
	tcase_add_loop_test(t, sample, 0, ARRAY_SIZE(samples));
	tcase_add_test(t, samples_are_all_known);
	suite_add_tcase(s, t);
}

int main(void)
{
	Suite *s = suite_create("document");
	SRunner *sr;
	int failed;

	add_meaning(s);
	add_errors(s);
	add_samples(s);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
