/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of front ends: what came, stayed and went; which back ends are near. */
#include "model/service_front.h"

#include <check.h>
#include <cilium-lite/service.h>
#include <netinet/in.h>
#include <stdlib.h>

/* ---- changes --------------------------------------------------------------------- */

static struct service_key key(const char *address, uint16_t port, uint8_t protocol)
{
	struct service_key k = { .family = 4, .port = port, .protocol = protocol };

	ck_assert_int_eq(addr_parse(address, &k.address), 0);
	k.family = k.address.family;
	return k;
}

static void expect(const struct service_change *c, struct service_key k,
		   enum service_change_kind kind, size_t index)
{
	ck_assert_int_eq(service_key_cmp(&c->key, &k), 0);
	ck_assert_int_eq(c->kind, kind);
	ck_assert_uint_eq(c->index, index);
}

START_TEST(changes)
{
	const struct service_key now[] = {
		key("fd00::1", 80, IPPROTO_TCP), key("10.0.0.2", 80, IPPROTO_TCP),
		key("10.0.0.1", 80, IPPROTO_UDP),
		key("10.0.0.2", 80, IPPROTO_TCP), /* twice: the first counts */
	};
	const struct service_key before[] = {
		key("10.0.0.1", 81, IPPROTO_UDP), key("10.0.0.2", 80, IPPROTO_TCP),
		key("10.0.0.1", 80, IPPROTO_TCP), key("10.0.0.1", 81, IPPROTO_UDP), /* twice */
		key("10.0.0.2", 80, IPPROTO_TCP), /* twice, and still there */
	};
	struct service_change *v;
	size_t n;

	ck_assert_int_eq(service_changes(now, ARRAY_SIZE(now), before, ARRAY_SIZE(before), &v, &n),
			 0);
	ck_assert_uint_eq(n, 5);
	expect(&v[0], key("10.0.0.1", 80, IPPROTO_TCP), SERVICE_REMOVE, 2);
	expect(&v[1], key("10.0.0.1", 80, IPPROTO_UDP), SERVICE_ADD, 2);
	expect(&v[2], key("10.0.0.1", 81, IPPROTO_UDP), SERVICE_REMOVE, 0);
	expect(&v[3], key("10.0.0.2", 80, IPPROTO_TCP), SERVICE_KEEP, 1);
	expect(&v[4], key("fd00::1", 80, IPPROTO_TCP), SERVICE_ADD, 0);
	free(v);
}
END_TEST

START_TEST(changes_of_nothing)
{
	const struct service_key one = key("10.0.0.1", 80, IPPROTO_TCP);
	struct service_change *v;
	size_t n;

	ck_assert_int_eq(service_changes(NULL, 0, NULL, 0, &v, &n), 0);
	ck_assert_uint_eq(n, 0);
	free(v);

	/* the file is empty now: all goes */
	ck_assert_int_eq(service_changes(NULL, 0, &one, 1, &v, &n), 0);
	ck_assert_uint_eq(n, 1);
	expect(&v[0], one, SERVICE_REMOVE, 0);
	free(v);

	ck_assert_int_eq(service_changes(&one, 1, NULL, 0, &v, &n), 0);
	ck_assert_uint_eq(n, 1);
	expect(&v[0], one, SERVICE_ADD, 0);
	free(v);
}
END_TEST

/* A port of every node is one key of each family, and none of an address. */
START_TEST(node_ports_are_keys)
{
	struct service_front f = { .kind = FRONT_NODE_PORT, .port = 30080, .protocol = 6 };
	struct service_key v4, v6;

	f.family = 4;
	v4 = service_front_key(&f);
	f.family = 6;
	v6 = service_front_key(&f);
	ck_assert_int_lt(service_key_cmp(&v4, &v6), 0);
	ck_assert_int_eq(service_key_cmp(&v6, &v6), 0);
	ck_assert_int_gt(service_key_cmp(&v6, &v4), 0);
}
END_TEST

/* ---- near and far ---------------------------------------------------------------- */

static const char *const a_zone[] = { "a", NULL }, *const b_zone[] = { "b", "c", NULL };
static const char *const one[] = { "n1", NULL };

/* The numbers of those selected, "0 2". */
static char *selected(const struct service_front *f, const char *node, const char *zone)
{
	const struct service_backend *v[8];
	size_t n = service_front_select(f, node, zone, v);
	struct buf b = {};

	buf_puts(&b, "");
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s%zu", i ? " " : "", (size_t)(v[i] - f->backends));
	return b.data;
}

static void expect_selected(const struct service_front *f, const char *node, const char *zone,
			    const char *wanted)
{
	_cleanup_free_ char *got = selected(f, node, zone);

	ck_assert_str_eq(got, wanted);
}

START_TEST(local_only)
{
	const struct service_backend v[] = {
		{ .node = "n1" },
		{ .node = "n2" },
		{ .node = "n1", .state = CLITE_BACKEND_TERMINATING },
		{ .node = NULL },
	};
	struct service_front f = { .backends = v, .nbackends = 4 };

	expect_selected(&f, "n1", NULL, "0 1 2 3");
	f.ext_local = true;
	expect_selected(&f, "n1", NULL, "0 2");
	expect_selected(&f, "n3", NULL, ""); /* never those of others */
	expect_selected(&f, NULL, NULL, "0 1 2 3");
	f.ext_local = false;
	f.int_local = true;
	expect_selected(&f, "n2", NULL, "1");
}
END_TEST

START_TEST(near_by_zone)
{
	const struct service_backend v[] = {
		{ .zone = "a" },
		{ .zone = "b" },
		{ .zone = "a", .state = CLITE_BACKEND_TERMINATING },
		{ .zone = "c", .state = CLITE_BACKEND_TERMINATING },
	};
	struct service_front f = { .backends = v, .nbackends = 4 };

	expect_selected(&f, NULL, "a", "0 1 2 3");
	f.prefer_zone = true;
	expect_selected(&f, NULL, "a", "0 2");
	expect_selected(&f, NULL, "c", "0 1 2 3"); /* nobody there is active */
	expect_selected(&f, NULL, "d", "0 1 2 3");
	expect_selected(&f, NULL, NULL, "0 1 2 3");
	f.hints_only = true;
	expect_selected(&f, NULL, "a", "0 1 2 3");
}
END_TEST

START_TEST(near_by_hints)
{
	const struct service_backend v[] = {
		{ .zone = "a", .zones = b_zone },
		{ .zone = "b", .zones = a_zone },
		{ .zone = "a", .state = CLITE_BACKEND_TERMINATING },
	};
	const struct service_backend gap[] = {
		{ .zone = "a", .zones = b_zone },
		{ .zone = "b" },
	};
	struct service_front f = {
		.backends = v, .nbackends = 3, .prefer_zone = true, .hints_only = true
	};

	expect_selected(&f, NULL, "a", "1");
	expect_selected(&f, NULL, "c", "0");
	expect_selected(&f, NULL, "d", "0 1 2");
	/* one without a hint would get nothing: hints are not looked at */
	f.backends = gap;
	f.nbackends = 2;
	expect_selected(&f, NULL, "b", "0 1");
	f.hints_only = false;
	expect_selected(&f, NULL, "b", "1");
}
END_TEST

START_TEST(near_by_node)
{
	const struct service_backend v[] = {
		{ .node = "n1", .zone = "a" },
		{ .node = "n2", .zone = "a" },
		{ .node = "n3", .zone = "b" },
	};
	const struct service_backend hinted[] = { { .node = "n2", .nodes = one },
						  { .node = "n3", .nodes = one } };
	struct service_front f = { .backends = v, .nbackends = 3, .prefer_node = true };

	expect_selected(&f, "n2", "a", "1");
	expect_selected(&f, "n4", "a", "0 1 2");
	f.prefer_zone = true;
	expect_selected(&f, "n4", "a", "0 1");
	f.backends = hinted;
	f.nbackends = 2;
	expect_selected(&f, "n1", NULL, "0 1");
	expect_selected(&f, "n2", NULL, "0 1");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("service_front");
	TCase *t = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(t, changes);
	tcase_add_test(t, changes_of_nothing);
	tcase_add_test(t, node_ports_are_keys);
	tcase_add_test(t, local_only);
	tcase_add_test(t, near_by_zone);
	tcase_add_test(t, near_by_hints);
	tcase_add_test(t, near_by_node);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
