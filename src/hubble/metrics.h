/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of Hubble's metrics share. */
#pragma once

#include <cilium-lite/hubble_metrics.h>

#include "hubble/base.h"

/* ---- metrics_series.c: counters by the values of their labels -------------------- */

struct series_slot {
	uint64_t hash; /* 0: free */
	uint64_t count;
	uint32_t at; /* in keys */
	uint32_t len;
};

struct series {
	struct series_slot *slots; /* a power of two */
	size_t cap, n, max;
	struct bytes keys; /* values of labels, each ended with NUL */
	uint64_t seed;
	uint64_t folded;
};

void series_init(struct series *s, size_t max, uint64_t seed);
void series_clear(struct series *s);
/* One more with these values. What is one too many is counted in that of other. -ENOMEM. */
int series_count(struct series *s, const struct bytes *key, const struct bytes *other);

/* ---- metrics_context.c: who an end is ---------------------------------------------- */

enum context {
	CONTEXT_IDENTITY,
	CONTEXT_NAMESPACE,
	CONTEXT_POD,
	CONTEXT_POD_SHORT,
	CONTEXT_POD_NAME,
	CONTEXT_DNS,
	CONTEXT_IP,
	CONTEXT_RESERVED_IDENTITY,
	CONTEXT_WORKLOAD,
	CONTEXT_WORKLOAD_NAME,
	CONTEXT_APP,
	CONTEXT_COUNT_,
};

/* The first that gives a text. */
struct context_list {
	uint8_t v[CONTEXT_COUNT_];
	uint8_t n; /* 0: not asked for */
};

/* By direction: [0] any. */
enum { CONTEXT_ANY, CONTEXT_INGRESS, CONTEXT_EGRESS, CONTEXT_DIRECTIONS };

struct contexts {
	struct context_list source[CONTEXT_DIRECTIONS];
	struct context_list destination[CONTEXT_DIRECTIONS];
	uint32_t labels; /* bits: the order of their names */
};

/* One option, such as "sourceContext=pod|ip". 0, 1: it is none of these; -EINVAL: *why is
 * allocated, NULL without memory. */
int contexts_read(struct contexts *c, const char *option, char **why);
/* Names of the labels, into names (room for CONTEXTS_LABELS). Returns how many. */
#define CONTEXTS_LABELS 13
size_t contexts_names(const struct contexts *c, const char **names);
/* Their values, each ended with NUL. False: no memory. */
bool contexts_put(const struct contexts *c, const struct clite_flow *f, struct bytes *key);

bool key_put(struct bytes *key, const char *value);
bool flow_to_world(const struct clite_flow *f);
