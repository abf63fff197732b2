/* SPDX-License-Identifier: BSD-2-Clause */
/* Names that flows have, each kept once however many flows have it. */
#pragma once

#include <cilium-lite/flow.h>

#include "hubble/base.h"

enum name_kind {
	NAME_TEXT,
	NAME_END,
	NAME_POLICIES,
};

struct name {
	struct name *next; /* of the same bucket */
	uint64_t hash;
	uint32_t refs;
	uint32_t kind;
	size_t size;	    /* of all of it, bytes */
	const uint8_t *key; /* all of its texts; what is below points there */
	size_t key_len;
	union {
		const char *text;
		struct clite_flow_end end;
		const struct clite_flow_policy *const *policies;
	};
};

/* Zero-initialised is empty. */
struct names {
	struct name **buckets;
	size_t nbuckets, n;
	size_t bytes;
	uint64_t seed[2]; /* so that nobody can choose names that meet in one bucket */
	struct bytes key;
};

/* A reference: drop it with names_unref(). NULL: no memory. */
struct name *names_text(struct names *names, const char *text);
struct name *names_end(struct names *names, const struct clite_flow_end *end);
struct name *names_policies(struct names *names, const struct clite_flow_policy *const *policies);
void names_unref(struct names *names, struct name *name);
void names_clear(struct names *names);
