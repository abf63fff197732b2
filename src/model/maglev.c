/* SPDX-License-Identifier: BSD-2-Clause */
/* Maglev hashing (Eisenbud et al., NSDI 2016): each back end walks the table in an
 * order of its own, given by its name, and takes the next free slot in turn; a
 * weight is how often its turn comes. */
#include "model/maglev.h"

uint32_t maglev_size(size_t n)
{
	/* Few steps: in a table of another size nearly every flow gets another back end. */
	static const uint32_t primes[] = { 1021, 8191, 65521, 131071 };

	for (size_t i = 0; i < ARRAY_SIZE(primes); i++)
		if (primes[i] >= 100 * n)
			return primes[i];
	return primes[ARRAY_SIZE(primes) - 1];
}

/* FNV-1a with a finalizer that spreads what short names leave alike. */
static uint64_t hash(const char *s, uint64_t h)
{
	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3;
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccd;
	return h ^ h >> 33;
}

struct walker {
	const struct maglev_backend *b;
	uint32_t at;
	uint32_t skip;
	uint64_t credit;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct walker *)a)->b->name, ((const struct walker *)b)->b->name);
}

int maglev_fill(const struct maglev_backend *b, size_t n, uint32_t *table, uint32_t m)
{
	_cleanup_free_ struct walker *w = calloc(n ?: 1, sizeof(*w));
	_cleanup_free_ bool *taken = calloc(m, sizeof(*taken));
	uint32_t left = m, max = 0;

	if (!n)
		return -EINVAL;
	if (!w || !taken)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		w[i].b = &b[i];
		w[i].at = hash(b[i].name, 0xcbf29ce484222325) % m;
		w[i].skip = hash(b[i].name, 0x9ae16a3b2f90404f) % (m - 1) + 1;
		if (b[i].weight > max)
			max = b[i].weight;
	}
	/* The order of turns must not follow from the caller's order. */
	qsort(w, n, sizeof(*w), by_name);
	while (left)
		for (size_t i = 0; i < n && left; i++) {
			w[i].credit += w[i].b->weight;
			if (w[i].credit < max)
				continue;
			w[i].credit -= max;
			while (taken[w[i].at])
				w[i].at = (w[i].at + w[i].skip) % m;
			taken[w[i].at] = true;
			table[w[i].at] = w[i].b->id;
			left--;
		}
	return 0;
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
	return b ? gcd(b, a % b) : a;
}

#define RANDOM_SLOTS 4096

int random_fill(const struct maglev_backend *b, size_t n, uint32_t **ret_table, uint32_t *ret_slots)
{
	uint32_t divisor = 0, *table, at = 0;
	uint64_t total = 0, slots = 0;

	if (!n)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		divisor = gcd(divisor, b[i].weight);
		total += b[i].weight;
	}
	/* Shares that do not fit are rounded; nobody goes without a slot. */
	if (total / divisor > RANDOM_SLOTS && total > n)
		divisor = (total + RANDOM_SLOTS - 1) / RANDOM_SLOTS;
	for (size_t i = 0; i < n; i++)
		slots += b[i].weight / divisor ?: 1;
	table = calloc(slots, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		for (uint32_t k = b[i].weight / divisor ?: 1; k; k--)
			table[at++] = b[i].id;
	*ret_table = table;
	*ret_slots = slots;
	return 0;
}
