/* SPDX-License-Identifier: BSD-2-Clause */
/* Label sets, prefixes, and their numbers. */
#pragma once

#include "model/policy.h"

struct label {
	char *source;
	char *key;
	char *value;
};

/* Sorted by key, then source; no two with the same source and key. */
struct labels {
	struct label *l;
	size_t n;
	char **text; /* "source:key=value" of each, then NULL ("source:key" without a value, as Cilium prints it) */
};

/* Parse "source:key=value" strings (NULL: none). An empty set becomes
 * reserved:init, as in Cilium. -EINVAL (with text), -ENOMEM. */
int labels_parse(const char *const *texts, struct labels *ret, struct errtext *err);
void labels_clear(struct labels *l);
int labels_cmp(const struct labels *a, const struct labels *b);

struct identity {
	uint32_t id;
	struct labels labels;
	struct prefix cidr; /* family 0: not a CIDR identity */
	uint32_t refs;	    /* endpoints, or policies' uses of the prefix */
	size_t index;	    /* in the table */
};

/* All identities of an instance, reserved ones included, sorted by number. */
struct identities {
	struct identity **v;
	size_t n, cap;
	struct identity **by_what; /* the same by label sets, then by prefixes */
	size_t what_cap;
};

int identities_init(struct identities *t); /* fills in the reserved ones */
void identities_clear(struct identities *t);
struct identity *identities_get(const struct identities *t, uint32_t id);
struct identity *identities_find_labels(const struct identities *t, const struct labels *l);
struct identity *identities_find_cidr(const struct identities *t, const struct prefix *p);
/* Add with a given number; labels are taken over on success. -EEXIST, -ENOMEM. */
int identities_add(struct identities *t, uint32_t id, struct labels *labels,
		   const struct prefix *cidr, struct identity **ret);
void identities_remove(struct identities *t, uint32_t id);
/* The next free number, from *next on, wrapping around; *next moves behind it.
 * Label sets: 256 to 65535; prefixes: 1 << 24 to (1 << 24) + 65535. 0: none. */
uint32_t identities_next(const struct identities *t, bool cidr, uint32_t *next);

/* Labels of a CIDR identity, as Cilium gives them: "cidr:<prefix>=" of itself
 * and "reserved:world" (one family: "reserved:world-ipv4"/"-ipv6" beside). */
int cidr_labels(const struct prefix *p, struct labels *ret);

/* ---- matching ----------------------------------------------------------- */

/* Do the labels of an endpoint satisfy a selector? (subject of a part) */
bool selector_matches(const struct selector *s, const struct labels *l);
/* Is the identity one of the peer's? A selector without requirements selects
 * every endpoint (label sets, reserved:init), but not host, world, CIDRs. A CIDR
 * selects identities of prefixes inside it and not inside an except; /0 also
 * selects world and the world of its family. */
bool peer_selects(const struct peer *p, const struct identity *id);
/* Is it among those that a resolved rule is only about? */
bool rule_admits(const struct rule *r, const struct identity *id);
/* any_peer or any of the peers. */
bool rule_selects(const struct rule *r, const struct identity *id);
