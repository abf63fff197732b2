/* SPDX-License-Identifier: BSD-2-Clause */
#include <check.h>
#include <fcntl.h>

#include "util/util.h"

/* ---- error text ---------------------------------------------------------- */

START_TEST(err_set_returns_the_code_negated)
{
	struct errtext err = {};

	ck_assert_int_eq(err_set(&err, EINVAL, "port '%s' is not a number", "x"), -EINVAL);
	ck_assert_str_eq(err.text, "port 'x' is not a number");
	ck_assert_int_eq(err_set(NULL, ENOENT, "nobody reads %d", 1), -ENOENT);
	err_clear(&err);
	ck_assert_ptr_null(err.text);
	err_clear(NULL);
}
END_TEST

START_TEST(err_set_takes_the_old_text_as_argument)
{
	struct errtext err = {};

	err_set(&err, EINVAL, "inner");
	err_set(&err, EINVAL, "outer(%s)", err.text);
	ck_assert_str_eq(err.text, "outer(inner)");
	err_clear(&err);
}
END_TEST

START_TEST(err_prefix_goes_before)
{
	struct errtext err = {};

	ck_assert_int_eq(err_prefix(&err, -EIO, "endpoint %d", 3), -EIO);
	ck_assert_str_eq(err.text, "endpoint 3");
	ck_assert_int_eq(err_prefix(&err, -EIO, "map '%s'", "ct"), -EIO);
	ck_assert_str_eq(err.text, "map 'ct': endpoint 3");
	ck_assert_int_eq(err_prefix(NULL, -EPERM, "nobody"), -EPERM);
	err_clear(&err);
}
END_TEST

/* ---- buffer --------------------------------------------------------------- */

START_TEST(buf_grows_and_ends_with_nul)
{
	_cleanup_buf_ struct buf b = {};

	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%03d,", i);
	ck_assert(!b.failed);
	ck_assert_uint_eq(b.len, 4000);
	ck_assert_uint_eq(strlen(b.data), 4000);
	ck_assert(strncmp(b.data + 4 * 999, "999,", 4) == 0);
	ck_assert(b.cap > b.len);
}
END_TEST

START_TEST(buf_keeps_nul_bytes)
{
	_cleanup_buf_ struct buf b = {};

	buf_put(&b, "a\0b", 3);
	buf_put(&b, NULL, 0);
	buf_puts(&b, "");
	ck_assert_uint_eq(b.len, 3);
	ck_assert(memcmp(b.data, "a\0b", 4) == 0);
}
END_TEST

START_TEST(buf_remembers_failure)
{
	struct buf b = {};

	buf_puts(&b, "before");
	buf_put(&b, "x", SIZE_MAX - 1);
	ck_assert(b.failed);
	buf_puts(&b, "after");
	ck_assert_str_eq(b.data, "before");
	buf_clear(&b);
	ck_assert(!b.failed);
	ck_assert_ptr_null(b.data);
}
END_TEST

static const struct {
	const char *in, *out;
} json[] = {
	{ "", "\"\"" },
	{ "k8s:app=web", "\"k8s:app=web\"" },
	{ "a\"b\\c/d", "\"a\\\"b\\\\c/d\"" },
	{ "\b\t\n\f\r", "\"\\b\\t\\n\\f\\r\"" },
	{ "\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"" },
	{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
	{ "\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf", "\"\\u0085\\u2028\\u2029\\ufeff\"" },
	/* no UTF-8: a lone continuation byte, a cut sequence, overlong, surrogate, too large */
	{ "\x80", "\"\xef\xbf\xbd\"" },
	{ "\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "a\xff"
	  "b",
	  "\"a\xef\xbf\xbd"
	  "b\"" },
};

START_TEST(buf_json_escapes)
{
	_cleanup_buf_ struct buf b = {};

	buf_json(&b, json[_i].in);
	ck_assert_str_eq(b.data, json[_i].out);
}
END_TEST

/* ---- arrays --------------------------------------------------------------- */

START_TEST(array_grows)
{
	_cleanup_free_ uint64_t *a = NULL;
	size_t cap = 0;

	for (size_t n = 0; n < 10000; n++) {
		ck_assert(array_grow(&a, &cap, n));
		ck_assert_uint_gt(cap, n);
		a[n] = n * n;
	}
	for (size_t n = 0; n < 10000; n++)
		ck_assert_uint_eq(a[n], n * n);
}
END_TEST

START_TEST(array_refuses_the_impossible)
{
	uint64_t *a = NULL;
	size_t cap = SIZE_MAX / 2;

	ck_assert(!array_grow(&a, &cap, SIZE_MAX / 2));
	ck_assert_ptr_null(a);
	ck_assert_uint_eq(cap, SIZE_MAX / 2);
}
END_TEST

START_TEST(taken_things_are_not_cleaned_up)
{
	char *p = strdup("x"), *q = TAKE_PTR(p);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), taken = TAKE_FD(fd);

	ck_assert_ptr_null(p);
	ck_assert_str_eq(q, "x");
	ck_assert_int_eq(fd, -1);
	closep(&fd);
	ck_assert_int_ge(fcntl(taken, F_GETFD), 0);
	closep(&taken);
	ck_assert_int_eq(fcntl(taken, F_GETFD), -1);
	free(q);
}
END_TEST

/* ---- options -------------------------------------------------------------- */

struct opts_old {
	size_t sz;
	uint32_t a;
	uint32_t b;
};

struct opts {
	size_t sz;
	uint32_t a;
	uint32_t b;
	const char *c;
};

struct opts_new {
	size_t sz;
	uint32_t a;
	uint32_t b;
	const char *c;
	uint64_t d;
};

START_TEST(opts_null_is_defaults)
{
	struct opts o;

	memset(&o, 0xff, sizeof(o));
	ck_assert_int_eq(opts_copy(&o, sizeof(o), NULL), 0);
	ck_assert_uint_eq(o.sz, sizeof(o));
	ck_assert_uint_eq(o.a, 0);
	ck_assert_ptr_null(o.c);
}
END_TEST

START_TEST(opts_of_any_age)
{
	struct opts_old old = { .sz = sizeof(old), .a = 1, .b = 2 };
	struct opts same = { .sz = sizeof(same), .a = 3, .c = "c" };
	struct opts_new newer = { .sz = sizeof(newer), .a = 4, .c = "n" };
	struct opts o;

	memset(&o, 0xff, sizeof(o));
	ck_assert_int_eq(opts_copy(&o, sizeof(o), &old), 0);
	ck_assert_uint_eq(o.sz, sizeof(o));
	ck_assert_uint_eq(o.a, 1);
	ck_assert_uint_eq(o.b, 2);
	ck_assert_ptr_null(o.c);

	ck_assert_int_eq(opts_copy(&o, sizeof(o), &same), 0);
	ck_assert_uint_eq(o.a, 3);
	ck_assert_str_eq(o.c, "c");

	ck_assert_int_eq(opts_copy(&o, sizeof(o), &newer), 0);
	ck_assert_uint_eq(o.sz, sizeof(o));
	ck_assert_uint_eq(o.a, 4);
	ck_assert_str_eq(o.c, "n");
}
END_TEST

START_TEST(opts_refused_leave_ours_alone)
{
	struct opts_new tail = { .sz = sizeof(tail), .d = 1 };
	struct opts none = { .sz = 0 }, small = { .sz = sizeof(size_t) - 1 };
	struct opts garbage = { .sz = SIZE_MAX };
	struct opts o = { .a = 7 };

	ck_assert_int_eq(opts_copy(&o, sizeof(o), &tail), -EINVAL);
	ck_assert_int_eq(opts_copy(&o, sizeof(o), &none), -EINVAL);
	ck_assert_int_eq(opts_copy(&o, sizeof(o), &small), -EINVAL);
	ck_assert_int_eq(opts_copy(&o, sizeof(o), &garbage), -EINVAL);
	ck_assert_uint_eq(o.a, 7);
}
END_TEST

/* ---- addresses ------------------------------------------------------------ */

static const struct {
	const char *in, *out; /* out NULL: refused */
} prefixes[] = {
	{ "10.0.0.0/8", "10.0.0.0/8" },
	{ "0.0.0.0/0", "0.0.0.0/0" },
	{ "::/0", "::/0" },
	{ "192.0.2.1", "192.0.2.1/32" },
	{ "192.0.2.1/32", "192.0.2.1/32" },
	{ "2001:DB8::/32", "2001:db8::/32" },
	{ "fd00::1", "fd00::1/128" },
	{ "fd00:0:0:8000::/49", "fd00:0:0:8000::/49" },
	{ "::ffff:10.0.0.1", "::ffff:10.0.0.1/128" },
	{ "10.0.0.128/25", "10.0.0.128/25" },
	{ "", NULL },
	{ "/", NULL },
	{ "/8", NULL },
	{ "10.0.0.0/", NULL },
	{ "10.0.0.0/33", NULL },
	{ "10.0.0.0/-1", NULL },
	{ "10.0.0.0/+8", NULL },
	{ "10.0.0.0/08", NULL },
	{ "10.0.0.0/8 ", NULL },
	{ "10.0.0.0/8/8", NULL },
	{ "10.0.0.0/4294967304", NULL },
	{ " 10.0.0.0/8", NULL },
	{ "10.0.0.1/8", NULL },
	{ "10.0.0.129/25", NULL },
	{ "fd00::1/64", NULL },
	{ "::/129", NULL },
	{ "10.0.0", NULL },
	{ "10.0.0.256", NULL },
	{ "010.0.0.1", NULL },
	{ "fe80::1%eth0", NULL },
	{ "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/0", NULL },
	{ "host", NULL },
};

START_TEST(prefix_round_trip)
{
	struct prefix p = { .family = 9 };
	int r = prefix_parse(prefixes[_i].in, &p);
	char text[PREFIX_STR];

	if (prefixes[_i].out) {
		ck_assert_int_eq(r, 0);
		ck_assert_str_eq(prefix_format(&p, text), prefixes[_i].out);
	} else {
		ck_assert_int_eq(r, -EINVAL);
		ck_assert_uint_eq(p.family, 9);
	}
}
END_TEST

START_TEST(addresses)
{
	struct prefix p;
	char text[PREFIX_STR];

	ck_assert_int_eq(addr_parse("10.1.2.3", &p), 0);
	ck_assert_uint_eq(p.family, 4);
	ck_assert_uint_eq(p.len, 32);
	ck_assert(memcmp(p.ip, "\x0a\x01\x02\x03\0\0\0\0\0\0\0\0\0\0\0\0", 16) == 0);
	ck_assert_str_eq(addr_format(p.ip, p.family, text), "10.1.2.3");

	ck_assert_int_eq(addr_parse("fd00::2", &p), 0);
	ck_assert_uint_eq(p.family, 6);
	ck_assert_uint_eq(p.len, 128);
	ck_assert_str_eq(addr_format(p.ip, p.family, text), "fd00::2");

	ck_assert_int_eq(addr_parse("10.1.2.3/32", &p), -EINVAL);
	ck_assert_int_eq(addr_parse("", &p), -EINVAL);
	ck_assert_str_eq(addr_format(p.ip, 0, text), "");
}
END_TEST

static struct prefix prefix(const char *s)
{
	struct prefix p;

	ck_assert_int_eq(prefix_parse(s, &p), 0);
	return p;
}

static bool contains(const char *outer, const char *inner)
{
	struct prefix o = prefix(outer), i = prefix(inner);

	return prefix_contains(&o, &i);
}

static int cmp(const char *a, const char *b)
{
	struct prefix x = prefix(a), y = prefix(b);

	ck_assert_int_eq(prefix_cmp(&x, &y), -prefix_cmp(&y, &x));
	return prefix_cmp(&x, &y);
}

START_TEST(containment)
{
	ck_assert(contains("10.0.0.0/8", "10.96.0.0/12"));
	ck_assert(contains("10.0.0.0/8", "10.0.0.0/8"));
	ck_assert(contains("0.0.0.0/0", "255.255.255.255"));
	ck_assert(contains("::/0", "fd00::1"));
	ck_assert(contains("10.0.0.128/25", "10.0.0.200"));
	ck_assert(contains("fd00:0:0:8000::/49", "fd00:0:0:ffff::/64"));
	ck_assert(!contains("10.96.0.0/12", "10.0.0.0/8"));
	ck_assert(!contains("10.0.0.0/8", "11.0.0.0/8"));
	ck_assert(!contains("10.0.0.128/25", "10.0.0.127"));
	ck_assert(!contains("fd00:0:0:8000::/49", "fd00:0:0:7000::/64"));
	ck_assert(!contains("0.0.0.0/0", "::/0"));
	ck_assert(!contains("::/0", "10.0.0.0/8"));
}
END_TEST

START_TEST(order)
{
	ck_assert_int_eq(cmp("10.0.0.0/8", "10.0.0.0/8"), 0);
	ck_assert_int_lt(cmp("10.0.0.0/8", "10.0.0.0/9"), 0);
	ck_assert_int_lt(cmp("10.0.0.0/9", "11.0.0.0/8"), 0);
	ck_assert_int_lt(cmp("255.0.0.0/8", "::/0"), 0);
}
END_TEST

START_TEST(macs)
{
	static const char *const bad[] = {
		"",
		"02:00:00:00:00",
		"02:00:00:00:00:01:02",
		"2:0:0:0:0:1",
		"02-00-00-00-00-01",
		"02:00:00:00:00:0g",
		"02:00:00:00:00:01 ",
		"02:00:00:00:00:",
	};
	uint8_t mac[6] = {};

	ck_assert_int_eq(mac_parse("02:0a:fF:00:00:01", mac), 0);
	ck_assert(memcmp(mac, "\x02\x0a\xff\x00\x00\x01", 6) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(mac_parse(bad[i], mac) == -EINVAL, "'%s'", bad[i]);
	ck_assert(memcmp(mac, "\x02\x0a\xff\x00\x00\x01", 6) == 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("util");
	TCase *t = tcase_create("error");

	tcase_add_test(t, err_set_returns_the_code_negated);
	tcase_add_test(t, err_set_takes_the_old_text_as_argument);
	tcase_add_test(t, err_prefix_goes_before);
	suite_add_tcase(s, t);

	t = tcase_create("buf");
	tcase_add_test(t, buf_grows_and_ends_with_nul);
	tcase_add_test(t, buf_keeps_nul_bytes);
	tcase_add_test(t, buf_remembers_failure);
	tcase_add_loop_test(t, buf_json_escapes, 0, ARRAY_SIZE(json));
	suite_add_tcase(s, t);

	t = tcase_create("memory");
	tcase_add_test(t, array_grows);
	tcase_add_test(t, array_refuses_the_impossible);
	tcase_add_test(t, taken_things_are_not_cleaned_up);
	suite_add_tcase(s, t);

	t = tcase_create("opts");
	tcase_add_test(t, opts_null_is_defaults);
	tcase_add_test(t, opts_of_any_age);
	tcase_add_test(t, opts_refused_leave_ours_alone);
	suite_add_tcase(s, t);

	t = tcase_create("addr");
	tcase_add_loop_test(t, prefix_round_trip, 0, ARRAY_SIZE(prefixes));
	tcase_add_test(t, addresses);
	tcase_add_test(t, containment);
	tcase_add_test(t, order);
	tcase_add_test(t, macs);
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
