/* SPDX-License-Identifier: BSD-2-Clause */
/* Kubernetes' NetworkPolicy: what it means, written as Cilium's. And lists. */
#include <check.h>
#include <cilium-lite/policy.h>
#include <stdio.h>
#include <stdlib.h>

#include "../policy_same.h"
#include "model/document.h"

static struct policy *read_one(const char *text)
{
	_cleanup_(err_clear) struct errtext err = {};
	struct policy **v, *p;
	size_t n;
	int r = document_read(text, strlen(text), "t.yaml", NULL, &v, &n, &err);

	ck_assert_msg(r == 0, "%s\n%s", err.text ? err.text : "", text);
	ck_assert_uint_eq(n, 1);
	p = v[0];
	free(v);
	return p;
}

static char *text_of(const struct policy *p)
{
	_cleanup_buf_ struct buf b = {};

	ck_assert_int_eq(policy_write(p, &b), 0);
	return TAKE_PTR(b.data);
}

/* ---- meaning --------------------------------------------------------------------- */

#define K8S(spec)                                                                        \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: x}\n" \
	"spec: {" spec "}\n"
#define CILIUM(spec)                                                                     \
	"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: x/p}\n"     \
	"spec: {" spec "}\n"
#define NS "'k8s:io.kubernetes.pod.namespace'"
#define IN_X "{key: " NS ", operator: In, values: [x]}"
#define ALL_OF_X "endpointSelector: {matchLabels: {" NS ": x}}, "
#define DENY(in, eg) "enableDefaultDeny: {" in eg "}, "
#define DENY_IN "enableDefaultDeny: {ingress: true}, "
#define DENY_EG "enableDefaultDeny: {egress: true}, "
#define DENY_BOTH "enableDefaultDeny: {ingress: true, egress: true}, "

static const struct {
	const char *k8s, *cilium;
} same[] = {
	/* policyTypes, and what is not there */
	{ K8S("podSelector: {}"), CILIUM(ALL_OF_X DENY_IN "ingress: []") },
	{ K8S("podSelector: {}, policyTypes: []"), CILIUM(ALL_OF_X DENY_IN "ingress: []") },
	{ K8S("podSelector: {}, ingress: []"), CILIUM(ALL_OF_X DENY_IN "ingress: []") },
	{ K8S("podSelector: {}, policyTypes: [Ingress]"), CILIUM(ALL_OF_X DENY_IN "ingress: []") },
	{ K8S("podSelector: {}, policyTypes: [Egress]"), CILIUM(ALL_OF_X DENY_EG "ingress: []") },
	{ K8S("podSelector: {}, policyTypes: [Egress, Ingress]"),
	  CILIUM(ALL_OF_X DENY_BOTH "ingress: []") },
	{ K8S("podSelector: {}, egress: []"), CILIUM(ALL_OF_X DENY_IN "ingress: []") },
	{ K8S("podSelector: {}, egress: [{}]"),
	  CILIUM(ALL_OF_X DENY_BOTH "egress: [{toPorts: [{ports: [{port: '0'}]}]}]") },
	{ K8S("podSelector: {}, egress: [{}], policyTypes: [Ingress]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: []") },
	{ K8S("podSelector: {}, ingress: [{}], policyTypes: [Egress]"),
	  CILIUM(ALL_OF_X DENY_EG "egress: []") },
	/* everybody */
	{ K8S("podSelector: {}, ingress: [{}]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: [{toPorts: [{ports: [{port: '0'}]}]}]") },
	{ K8S("podSelector: {}, ingress: [{from: [], ports: []}]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: [{toPorts: [{ports: [{port: '0'}]}]}]") },
	/* the subject */
	{ K8S("podSelector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: "
	      "NotIn, values: [a, b]}, {key: c, operator: Exists}]}"),
	  CILIUM("endpointSelector: {matchLabels: {'k8s:app': web}, matchExpressions: [{key: "
		 "'k8s:tier', operator: NotIn, values: [a, b]}, {key: 'k8s:c', operator: Exists}, " IN_X
		 "]}, " DENY_IN "ingress: []") },
	/* peers */
	{ K8S("podSelector: {}, ingress: [{from: [{podSelector: {}}]}]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: [{fromEndpoints: [{matchLabels: {" NS ": x}}]}]") },
	{ K8S("podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {a: b}}}]}]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: [{fromEndpoints: [{matchLabels: {'k8s:a': b, " NS ": x}}]}]") },
	{ K8S("podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: [{fromEndpoints: [{matchExpressions: [{key: " NS
				  ", operator: Exists}]}]}]") },
	{ K8S("podSelector: {}, egress: [{to: [{namespaceSelector: {matchLabels: {team: t}}}]}]"),
	  CILIUM(ALL_OF_X DENY_BOTH "egress: [{toEndpoints: [{matchLabels: "
				    "{'k8s:io.cilium.k8s.namespace.labels.team': t}}]}]") },
	{ K8S("podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {a: b}}, "
	      "namespaceSelector: {matchLabels: {team: t}}}]}]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: [{fromEndpoints: [{matchLabels: {'k8s:a': b, "
				  "'k8s:io.cilium.k8s.namespace.labels.team': t}}]}]") },
	{ K8S("podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {a: b}}, "
	      "namespaceSelector: {}}]}]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: [{fromEndpoints: [{matchExpressions: [{key: 'k8s:a', "
				  "operator: In, values: [b]}, {key: " NS ", operator: Exists}]}]}]") },
	/* nothing is asked for, or only what must not be there: still pods of namespaces */
	{ K8S("podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: []}}]}]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: [{fromEndpoints: [{matchExpressions: [{key: " NS
				  ", operator: Exists}]}]}]") },
	{ K8S("podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: "
	      "[{key: team, operator: NotIn, values: [t]}]}}]}]"),
	  CILIUM(ALL_OF_X DENY_IN
		 "ingress: [{fromEndpoints: [{matchExpressions: [{key: "
		 "'k8s:io.cilium.k8s.namespace.labels.team', operator: NotIn, values: [t]}, {key: " NS
		 ", operator: Exists}]}]}]") },
	{ K8S("podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: "
	      "[10.1.0.0/16]}}]}]"),
	  CILIUM(ALL_OF_X DENY_BOTH "egress: [{toCIDRSet: [{cidr: 10.0.0.0/8, except: "
				    "[10.1.0.0/16]}]}]") },
	/* a rule for each peer, the ports with each */
	{ K8S("podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: "
	      "'fd00::/8'}}], ports: [{port: 80}, {port: 53, protocol: UDP}]}]"),
	  CILIUM(ALL_OF_X DENY_IN
		 "ingress: [{fromCIDR: [10.0.0.0/8], toPorts: [{ports: [{port: '80', protocol: TCP}, "
		 "{port: '53', protocol: UDP}]}]}, {fromCIDR: ['fd00::/8'], toPorts: [{ports: "
		 "[{port: '80', protocol: TCP}, {port: '53', protocol: UDP}]}]}]") },
	/* ports */
	{ K8S("podSelector: {}, ingress: [{ports: [{port: 32000, endPort: 32768, protocol: SCTP}]}]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: [{toPorts: [{ports: [{port: '32000', endPort: 32768, "
				  "protocol: SCTP}]}]}]") },
	{ K8S("podSelector: {}, ingress: [{ports: [{protocol: UDP}, {}]}]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: [{toPorts: [{ports: [{port: '0', protocol: UDP}, {port: "
				  "'0', protocol: TCP}]}]}]") },
	{ K8S("podSelector: {}, ingress: [{ports: [{port: HTTP}]}]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: [{toPorts: [{ports: [{port: http, protocol: TCP}]}]}]") },
	{ K8S("podSelector: {}, ingress: [{ports: [{port: http}]}]"),
	  CILIUM(ALL_OF_X DENY_IN "ingress: [{toPorts: [{ports: [{port: http, protocol: TCP}]}]}]") },
};

START_TEST(means)
{
	_cleanup_(policy_freep) struct policy *k8s = read_one(same[_i].k8s);
	_cleanup_(policy_freep) struct policy *cilium = read_one(same[_i].cilium);
	_cleanup_free_ char *a = text_of(k8s), *b = text_of(cilium);
	_cleanup_(policy_freep) struct policy *again = read_one(a);

	ck_assert_str_eq(k8s->name, "x/p");
	ck_assert_str_eq(k8s->text, same[_i].k8s);
	ck_assert_str_eq(a, b);
	ck_assert(policy_same(k8s, cilium));
	ck_assert(policy_same(k8s, again));
}
END_TEST

START_TEST(namespace_default)
{
	_cleanup_(policy_freep) struct policy *p = read_one(
		"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n"
		"spec: {podSelector: {}}\n");

	ck_assert_str_eq(p->name, "default/p");
	ck_assert_str_eq(p->parts[0].subject.reqs[0].values[0], "default");
}
END_TEST

START_TEST(lines_of_peers)
{
	_cleanup_(policy_freep) struct policy *p =
		read_one("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n"
			 "spec:\n  podSelector: {}\n  ingress:\n  - from:\n    - podSelector: {}\n"
			 "    - namespaceSelector: {}\n  - {}\n");

	ck_assert_uint_eq(p->parts[0].nrules, 3);
	ck_assert_uint_eq(p->parts[0].rules[0].line, 8);
	ck_assert_uint_eq(p->parts[0].rules[1].line, 9);
	ck_assert_uint_eq(p->parts[0].rules[1].index, 1);
	ck_assert_uint_eq(p->parts[0].rules[2].line, 10);
}
END_TEST

/* ---- errors ----------------------------------------------------------------------- */

static const struct {
	const char *text, *error;
} wrong[] = {
	{ "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n",
	  "t.yaml:1: needs a spec" },
	{ "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspecs: []\n",
	  "t.yaml:4: specs: unknown field" },
	{ K8S("endpointSelector: {}"),
	  "t.yaml:4: spec.endpointSelector: unknown field; here may stand: podSelector, " },
	{ K8S("podSelector: {}, policyTypes: [ingress]"),
	  "t.yaml:4: spec.policyTypes[0]: 'ingress' is no type: Ingress and Egress are" },
	{ K8S("podSelector: {matchLabels: {'k8s:a': b}}"),
	  "t.yaml:4: spec.podSelector: 'k8s:a' is no key of a label of Kubernetes" },
	{ K8S("podSelector: {}, ingress: [{to: []}]"), "spec.ingress[0].to: unknown field" },
	{ K8S("podSelector: {}, egress: [{from: []}]"), "spec.egress[0].from: unknown field" },
	{ K8S("podSelector: {}, ingress: [{from: [{}]}]"),
	  "spec.ingress[0].from[0]: needs a podSelector, a namespaceSelector or an ipBlock" },
	{ K8S("podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 1.0.0.0/8}, podSelector: {}}]}]"),
	  "from[0]: combining ipBlock and a selector is not allowed" },
	{ K8S("podSelector: {}, ingress: [{from: [{ipBlock: {}}]}]"), "ipBlock: needs a cidr" },
	{ K8S("podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 1.2.3.4/80}}]}]"),
	  "from[0].ipBlock.cidr: '1.2.3.4/80' is no address or prefix" },
	{ K8S("podSelector: {}, ingress: [{ports: [{protocol: tcp}]}]"),
	  "ports[0].protocol: 'tcp' is no protocol: TCP, UDP and SCTP are" },
	{ K8S("podSelector: {}, ingress: [{ports: [{port: 0}]}]"), "ports[0].port: 0 is no port" },
	{ K8S("podSelector: {}, ingress: [{ports: [{endPort: 9}]}]"),
	  "ports[0].endPort: needs a port that is a number beside it" },
	{ K8S("podSelector: {}, ingress: [{ports: [{port: http, endPort: 9}]}]"),
	  "ports[0].endPort: needs a port that is a number beside it" },
	{ K8S("podSelector: {}, ingress: [{ports: [{port: 10, endPort: 9}]}]"),
	  "ports[0].endPort: 9 is below the port 10" },
};

START_TEST(refused)
{
	_cleanup_(err_clear) struct errtext err = {};
	struct policy **v = NULL;
	size_t n = 0;

	ck_assert_int_eq(document_read(wrong[_i].text, strlen(wrong[_i].text), "t.yaml", NULL, &v, &n,
				       &err),
			 -CLITE_EDOCUMENT);
	ck_assert_msg(strstr(err.text, wrong[_i].error) != NULL, "expected: %s\nfound: %s",
		      wrong[_i].error, err.text);
}
END_TEST

/* ---- lists ------------------------------------------------------------------------- */

#define ITEM(name) "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: " name \
		   "}, spec: {podSelector: {}}}"
#define CNP(name) "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: " name \
		  "}, spec: {endpointSelector: {}, ingress: [{}]}}"

static const char *const lists[] = {
	"apiVersion: v1\nkind: List\nmetadata: {}\nitems:\n- " CNP("a") "\n- " ITEM("b") "\n",
	"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicyList\nitems: [" CNP("a") ", " ITEM("b") "]\n",
	"[" CNP("a") ", " ITEM("b") "]",
	"apiVersion: v1\nkind: List\nitems: [" CNP("a") "]\n---\n" ITEM("b") "\n",
};

/* Each item is a policy of its own, whose text says just that. */
START_TEST(lists_are_read)
{
	_cleanup_(err_clear) struct errtext err = {};
	struct policy **v = NULL;
	size_t n = 0;

	ck_assert_msg(document_read(lists[_i], strlen(lists[_i]), "t.yaml", NULL, &v, &n, &err) == 0,
		      "%s", err.text);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(v[0]->name, "a");
	ck_assert_str_eq(v[1]->name, "default/b");
	for (size_t i = 0; i < n; i++) {
		_cleanup_(policy_freep) struct policy *again = read_one(v[i]->text);

		ck_assert_str_eq(again->name, v[i]->name);
		ck_assert_uint_eq(policy_rules(again), policy_rules(v[i]));
		policy_free(v[i]);
	}
	free(v);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("k8s");
	TCase *t = tcase_create("k8s");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, means, 0, ARRAY_SIZE(same));
	tcase_add_test(t, namespace_default);
	tcase_add_test(t, lines_of_peers);
	tcase_add_loop_test(t, refused, 0, ARRAY_SIZE(wrong));
	tcase_add_loop_test(t, lists_are_read, 0, ARRAY_SIZE(lists));
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
