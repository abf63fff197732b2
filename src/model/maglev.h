/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables from slot to back end. */
#pragma once

#include <stdint.h>

#include "util/util.h"

struct maglev_backend {
	uint32_t id;	   /* what is written into the table */
	uint32_t weight;   /* 1 and up */
	const char *name;  /* "address:port/proto": positions depend on it alone, not on the id or order */
};

/* A prime for n back ends: of a few of Cilium's (1021, 8191, 65521, 131071) the first
 * that is at least 100 * n. */
uint32_t maglev_size(size_t n);
/* Fill m slots. -ENOMEM; -EINVAL for no back end. */
int maglev_fill(const struct maglev_backend *b, size_t n, uint32_t *table, uint32_t m);
/* Slots for a choice at random: each back end weight / gcd(weights) times, at
 * most 4096 slots. *table is malloc'ed. */
int random_fill(const struct maglev_backend *b, size_t n, uint32_t **ret_table, uint32_t *ret_slots);
