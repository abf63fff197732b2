/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets and bytes that each rule has decided, exactly. */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define SYN 2
#define ACK 16
#define POLICY(name, subject, rest)                                              \
	"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: " name \
	"}, spec: {endpointSelector: {matchLabels: {app: " subject "}}, " rest "}}"

static uint64_t packets[8], bytes[8];

static int note(const struct clite_rule_hits *h, void *userdata)
{
	int *n = userdata;

	ck_assert_int_lt(*n, 8);
	packets[*n] = h->packets;
	bytes[*n] = h->bytes;
	++*n;
	return 0;
}

static void hits(const char *name, int expected)
{
	int n = 0;

	ck_assert_int_eq(clite_policy_hits(ctx, name, note, &n), expected);
	ck_assert_int_eq(n, expected);
}

static size_t size;

static void from_a_n(int n, uint16_t sport, uint16_t port)
{
	for (int i = 0; i < n; i++) {
		struct packet p = packet_make(host_a, A4, B4, IPPROTO_TCP, sport, port, i ? ACK : SYN);

		from_a(&p);
		size = p.len;
	}
}

/* Both ends' rules, denying ones, and one that nobody needs. */
START_TEST(exact)
{
	import(POLICY("pa", "a", "egress: [{toEndpoints: [{}]}]"));
	import(POLICY("pb", "b", "ingress: [{toPorts: [{ports: [{port: '80'}]}]}, {toPorts: [{ports: "
				 "[{port: '90'}]}]}], ingressDeny: [{toPorts: [{ports: [{port: "
				 "'81'}]}]}]"));
	hits(NULL, 4);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(packets[i], 0);
	from_a_n(7, 1000, 80);
	from_a_n(5, 1001, 80);
	from_a_n(3, 1002, 81);
	from_a_n(2, 1003, 82); /* no rule */
	hits("pb", 3);
	ck_assert_uint_eq(packets[0], 12);
	ck_assert_uint_eq(bytes[0], 12 * size);
	ck_assert_uint_eq(packets[1], 0);
	ck_assert_uint_eq(packets[2], 3);
	ck_assert_uint_eq(bytes[2], 3 * size);
	hits("pa", 1);
	ck_assert_uint_eq(packets[0], 12);
}
END_TEST

/* A change of other policies leaves the counts; a rule that is put anew begins anew. */
START_TEST(changes)
{
	import(POLICY("pa", "a", "egress: [{toEndpoints: [{}]}]"));
	import(POLICY("pb", "b", "ingress: [{toPorts: [{ports: [{port: '80'}]}]}]"));
	from_a_n(7, 2000, 80);
	import(POLICY("pb", "b", "ingress: [{fromEndpoints: [{}]}]"));
	from_a_n(4, 2000, 80);
	hits("pa", 1);
	ck_assert_uint_eq(packets[0], 11);
	hits("pb", 1);
	ck_assert_uint_eq(packets[0], 4);
	ck_assert_uint_eq(bytes[0], 4 * size);
	ck_assert_int_eq(clite_policy_delete(ctx, "pb"), 0);
	from_a_n(2, 2000, 80);
	hits("pa", 1);
	ck_assert_uint_eq(packets[0], 13);
	ck_assert_int_eq(clite_policy_hits(ctx, "pb", note, NULL), -ENOENT);
	ck_assert_int_eq(clite_policy_hits(ctx, NULL, NULL, NULL), -EINVAL);
}
END_TEST

/* Replies are nobody's. */
START_TEST(replies)
{
	struct packet answer = packet_make(host_b, B4, A4, IPPROTO_TCP, 80, 3000, ACK);

	import(POLICY("pb", "b", "ingress: [{toPorts: [{ports: [{port: '80'}]}]}]"));
	from_a_n(3, 3000, 80);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(from_b(&answer), ACT_REDIRECT);
	hits("pb", 1);
	ck_assert_uint_eq(packets[0], 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hits");
	TCase *t = tcase_create("hits");
	SRunner *r = srunner_create(s);
	int failed;

	if (geteuid()) {
		puts("needs root: skipped");
		return 77;
	}
	tcase_add_checked_fixture(t, world_reset, NULL);
	tcase_add_test(t, exact);
	tcase_add_test(t, changes);
	tcase_add_test(t, replies);
	suite_add_tcase(s, t);
	srunner_set_fork_status(r, CK_NOFORK);
	world_make(0);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	world_remove();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
