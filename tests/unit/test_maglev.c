/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/maglev.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>

#define MAX_BACKENDS 1200

static struct maglev_backend backends[MAX_BACKENDS];
static char names[MAX_BACKENDS][40];
static uint32_t table[131071], other[131071];

static void make(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "10.0.%zu.%zu:80/6", i / 250, i % 250 + 1);
		backends[i] = (struct maglev_backend){ .id = i + 1, .weight = 1, .name = names[i] };
	}
}

static uint32_t fill(size_t n, uint32_t *ret)
{
	uint32_t m = maglev_size(n);

	ck_assert_int_eq(maglev_fill(backends, n, ret, m), 0);
	return m;
}

static void count(const uint32_t *t, uint32_t m, uint32_t *slots, size_t n)
{
	memset(slots, 0, (n + 1) * sizeof(*slots));
	for (uint32_t i = 0; i < m; i++) {
		ck_assert_uint_ge(t[i], 1);
		ck_assert_uint_le(t[i], n);
		slots[t[i]]++;
	}
}

static bool is_prime(uint32_t m)
{
	for (uint32_t d = 2; d * d <= m; d++)
		if (m % d == 0)
			return false;
	return m > 1;
}

START_TEST(sizes)
{
	uint32_t before = 0;

	for (size_t n = 1; n < 1310; n++) {
		uint32_t m = maglev_size(n);

		ck_assert_uint_ge(m, 100 * n);
		ck_assert_uint_ge(m, before);
		ck_assert(m == before || is_prime(m));
		before = m;
	}
	ck_assert_uint_eq(maglev_size(1000000), maglev_size(1310));
}
END_TEST

START_TEST(even)
{
	static const size_t sizes[] = { 1, 2, 3, 7, 10, 100, 1000 };
	uint32_t slots[MAX_BACKENDS + 1];

	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
		size_t n = sizes[k];
		uint32_t m;

		make(n);
		m = fill(n, table);
		count(table, m, slots, n);
		for (size_t i = 1; i <= n; i++)
			ck_assert_uint_le(slots[i], m / n + 1);
	}
}
END_TEST

START_TEST(weights)
{
	uint32_t slots[5], m;

	make(4);
	for (size_t i = 0; i < 4; i++)
		backends[i].weight = (uint32_t)(i + 1) * 7;
	m = fill(4, table);
	count(table, m, slots, 4);
	for (uint32_t i = 1; i <= 4; i++)
		ck_assert_uint_le(labs((long)slots[i] - (long)(m * i / 10)), m / 100);
}
END_TEST

/* The one that goes gives up its slots; of the others' few change hands. */
START_TEST(little_moves)
{
	uint32_t m, moved = 0, kept = 0;

	make(100);
	m = fill(100, table);
	ck_assert_uint_eq(maglev_size(99), m);
	backends[40] = backends[99];
	fill(99, other);
	for (uint32_t i = 0; i < m; i++) {
		if (table[i] == 41)
			continue;
		kept++;
		moved += table[i] != other[i];
	}
	ck_assert_uint_gt(moved, 0);
	ck_assert_uint_lt(moved * 100, kept * 2);
}
END_TEST

/* Positions follow from names alone. */
START_TEST(order_and_numbers_do_not_matter)
{
	uint32_t m;

	make(20);
	m = fill(20, table);
	for (size_t i = 0; i < 10; i++) {
		struct maglev_backend b = backends[i];

		backends[i] = backends[19 - i];
		backends[19 - i] = b;
	}
	fill(20, other);
	ck_assert_mem_eq(table, other, m * sizeof(*table));
	for (size_t i = 0; i < 20; i++)
		backends[i].id += 1000;
	fill(20, other);
	for (uint32_t i = 0; i < m; i++)
		ck_assert_uint_eq(table[i] + 1000, other[i]);
}
END_TEST

START_TEST(nobody)
{
	uint32_t *t = NULL, n = 7;

	ck_assert_int_eq(maglev_fill(NULL, 0, table, 1021), -EINVAL);
	ck_assert_int_eq(random_fill(NULL, 0, &t, &n), -EINVAL);
	ck_assert_ptr_null(t);
	ck_assert_uint_eq(n, 7);
}
END_TEST

static uint32_t random_slots(size_t n, uint32_t *slots)
{
	_cleanup_free_ uint32_t *t = NULL;
	uint32_t m;

	ck_assert_int_eq(random_fill(backends, n, &t, &m), 0);
	count(t, m, slots, n);
	return m;
}

START_TEST(at_random)
{
	uint32_t slots[MAX_BACKENDS + 1];

	make(3);
	ck_assert_uint_eq(random_slots(3, slots), 3);
	backends[0].weight = 10;
	backends[1].weight = 20;
	backends[2].weight = 30;
	ck_assert_uint_eq(random_slots(3, slots), 6);
	ck_assert_uint_eq(slots[1], 1);
	ck_assert_uint_eq(slots[2], 2);
	ck_assert_uint_eq(slots[3], 3);
}
END_TEST

/* Weights that no table of a sensible size can hold are rounded; nobody goes out. */
START_TEST(at_random_with_odd_weights)
{
	uint32_t slots[MAX_BACKENDS + 1], m;

	make(2);
	backends[0].weight = UINT32_MAX;
	backends[1].weight = 1;
	m = random_slots(2, slots);
	ck_assert_uint_le(m, 4097);
	ck_assert_uint_eq(slots[2], 1);
	make(1000);
	for (size_t i = 0; i < 1000; i++)
		backends[i].weight = 1000003 + (uint32_t)i;
	m = random_slots(1000, slots);
	for (size_t i = 1; i <= 1000; i++)
		ck_assert_uint_ge(slots[i], 1);
	ck_assert_uint_le(m, 4096 + 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("maglev");
	TCase *t = tcase_create("tables");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_add_test(t, sizes);
	tcase_add_test(t, even);
	tcase_add_test(t, weights);
	tcase_add_test(t, little_moves);
	tcase_add_test(t, order_and_numbers_do_not_matter);
	tcase_add_test(t, nobody);
	tcase_add_test(t, at_random);
	tcase_add_test(t, at_random_with_odd_weights);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
