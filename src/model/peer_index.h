/* SPDX-License-Identifier: BSD-2-Clause */
/* Which rules select an identity: found by its labels, prefixes, entities, not by asking
 * every peer of every rule. It leaves out only who cannot; peer_selects() decides. */
#pragma once

#include "model/identity.h"

struct peer_index {
	struct peer_index_entry {
		uint32_t hash; /* of a label, prefix, entity, identity */
		uint32_t rule, peer;
		uint32_t req; /* of several that a selector has, the one with these values */
	} *v; /* sorted */
	size_t n, cap;
	struct peer_index_entry *always; /* that no hash finds: they say what somebody is not */
	size_t nalways, always_cap;
	bool lengths[2][129]; /* of prefixes, by family */
};

/* Note rules under numbers, in order; then sort it once. -ENOMEM. */
int peer_index_add(struct peer_index *x, uint32_t number, const struct rule *r);
int peer_index_sort(struct peer_index *x);
void peer_index_clear(struct peer_index *x);

/* The numbers of the rules that select an identity, in order, each once; *ret is the
 * caller's. rules: by their numbers. -ENOMEM. */
int peer_index_find(const struct peer_index *x, const struct rule *const *rules,
		    const struct identity *id, uint32_t **ret, size_t *ret_n);
