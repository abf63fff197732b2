/* SPDX-License-Identifier: BSD-2-Clause */
#include <check.h>
#include <cilium-lite/metric.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static struct clite_metric_page *page;

static void begin(void)
{
	ck_assert_int_eq(clite_metric_page_new(&page), 0);
}

static void end(void)
{
	page = clite_metric_page_free(page);
	ck_assert_ptr_null(page);
}

static struct clite_metric gauge(const char *name, double value)
{
	return (struct clite_metric){ .sz = sizeof(struct clite_metric),
				      .name = name,
				      .help = "Help",
				      .type = CLITE_METRIC_GAUGE,
				      .value = value };
}

static void add(const struct clite_metric *m)
{
	ck_assert_int_eq(clite_metric_page_add(m, page), 0);
}

static void add_labelled(const char *name, const char *label, const char *value)
{
	const struct clite_metric_label l = { .name = label, .value = value };
	struct clite_metric m = gauge(name, 1);

	m.labels = &l;
	m.nlabels = 1;
	add(&m);
}

static const char *text(void)
{
	const char *s;
	size_t len;

	ck_assert_int_eq(clite_metric_page_text(page, &s, &len), 0);
	ck_assert_uint_eq(len, strlen(s));
	return s;
}

#define HEAD(name) "# HELP " name " Help\n# TYPE " name " gauge\n"

START_TEST(empty)
{
	ck_assert_str_eq(text(), "");
}
END_TEST

/* Names that come mixed stand together, each with one head. */
START_TEST(families)
{
	struct clite_metric c = gauge("a_total", 7);

	c.type = CLITE_METRIC_COUNTER;
	add_labelled("b", "l", "2");
	add(&c);
	add_labelled("b", "l", "1");
	add_labelled("a_b", "l", "1");
	ck_assert_str_eq(
		text(), HEAD("a_b") "a_b{l=\"1\"} 1\n"
				    "# HELP a_total Help\n# TYPE a_total counter\na_total 7\n" HEAD(
					    "b") "b{l=\"1\"} 1\nb{l=\"2\"} 1\n");
	/* and more may follow */
	add_labelled("b", "l", "3");
	ck_assert_ptr_nonnull(strstr(text(), "b{l=\"2\"} 1\nb{l=\"3\"} 1\n"));
}
END_TEST

START_TEST(labels_by_name)
{
	const struct clite_metric_label l[] = { { .name = "reason", .value = "r" },
						{ .name = "direction", .value = "d" } };
	struct clite_metric m = gauge("m", 1);
	const char *s;

	m.labels = l;
	m.nlabels = 2;
	add(&m);
	ck_assert_str_eq(text(), HEAD("m") "m{direction=\"d\",reason=\"r\"} 1\n");
	/* The same in another order is the same. */
	m.labels = (const struct clite_metric_label[]){ l[1], l[0] };
	add(&m);
	ck_assert_int_eq(clite_metric_page_text(page, &s, NULL), -EEXIST);
}
END_TEST

START_TEST(escapes)
{
	struct clite_metric m = gauge("z", 1);

	m.help = "one\ntwo \\ \"three\"";
	add(&m);
	add_labelled("m", "l",
		     "a\"b\\c\nd\xff"
		     "e\xc3\xa9");
	ck_assert_str_eq(text(),
			 HEAD("m") "m{l=\"a\\\"b\\\\c\\nd\xef\xbf\xbd"
				   "e\xc3\xa9\"} 1\n"
				   "# HELP z one\\ntwo \\\\ \"three\"\n# TYPE z gauge\nz 1\n");
}
END_TEST

static const struct {
	double value;
	const char *text;
} values[] = {
	{ 0, "0" },
	{ -1.5, "-1.5" },
	{ 0.1, "0.1" },
	{ 1.0 / 3, "0.3333333333333333" },
	{ 123456789012345, "123456789012345" },
	{ 9007199254740992.0, "9007199254740992" },
	{ 1e300, "1e+300" },
	{ INFINITY, "+Inf" },
	{ -INFINITY, "-Inf" },
	{ NAN, "NaN" },
};

START_TEST(numbers)
{
	struct clite_metric m = gauge("m", values[_i].value);
	char expected[64];

	snprintf(expected, sizeof(expected), HEAD("m") "m %s\n", values[_i].text);
	add(&m);
	ck_assert_str_eq(text(), expected);
}
END_TEST

START_TEST(conflicts)
{
	struct clite_metric m = gauge("m", 1);
	const struct clite_metric_label l = { .name = "l", .value = "" };

	add(&m);
	m.labels = &l;
	m.nlabels = 1;
	m.type = CLITE_METRIC_COUNTER;
	ck_assert_int_eq(clite_metric_page_add(&m, page), -EINVAL);
	m.type = CLITE_METRIC_GAUGE;
	m.help = "Other";
	ck_assert_int_eq(clite_metric_page_add(&m, page), -EINVAL);
	m.help = "Help";
	add(&m);
	ck_assert_str_eq(text(), HEAD("m") "m 1\nm{l=\"\"} 1\n");
}
END_TEST

static const char *const bad_names[] = { NULL, "", "1a", "a-b", "a b", "\xc3\xa9", "a{" };
static const char *const bad_labels[] = { NULL, "", "1a", "a:b", "__name", "a=" };

static void refused(const struct clite_metric *m)
{
	ck_assert_int_eq(clite_metric_page_add(m, page), -EINVAL);
	ck_assert_str_eq(text(), "");
}

START_TEST(refuses)
{
	struct clite_metric m = gauge("m", 1);
	struct clite_metric_label l[2] = { { .name = "l", .value = "v" },
					   { .name = "l", .value = "w" } };

	ck_assert_int_eq(clite_metric_page_add(NULL, page), -EINVAL);
	ck_assert_int_eq(clite_metric_page_add(&m, NULL), -EINVAL);
	ck_assert_int_eq(clite_metric_page_new(NULL), -EINVAL);
	ck_assert_int_eq(clite_metric_page_text(page, NULL, NULL), -EINVAL);
	for (size_t i = 0; i < sizeof(bad_names) / sizeof(*bad_names); i++) {
		m.name = bad_names[i];
		refused(&m);
	}
	m = gauge("m", 1);
	m.help = NULL;
	refused(&m);
	m = gauge("m", 1);
	m.type = 3;
	refused(&m);
	m.type = 0;
	refused(&m);
	m = gauge("m", 1);
	m.sz--;
	refused(&m);
	m = gauge("m", 1);
	m.nlabels = 2;
	refused(&m);
	m.labels = l;
	refused(&m);
	m.nlabels = 1;
	l[0].value = NULL;
	refused(&m);
	l[0].value = "v";
	for (size_t i = 0; i < sizeof(bad_labels) / sizeof(*bad_labels); i++) {
		l[0].name = bad_labels[i];
		refused(&m);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("metric");
	TCase *t = tcase_create("page");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, empty);
	tcase_add_test(t, families);
	tcase_add_test(t, labels_by_name);
	tcase_add_test(t, escapes);
	tcase_add_loop_test(t, numbers, 0, sizeof(values) / sizeof(*values));
	tcase_add_test(t, conflicts);
	tcase_add_test(t, refuses);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
