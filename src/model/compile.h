/* SPDX-License-Identifier: BSD-2-Clause */
/* Policies compiled to classes: what the kernel looks up for a new flow.
 *
 * The unit is a rule set: the rules in force for a subject and direction.
 * Endpoints with the same rule set share one compiled policy. Identities with
 * the same matching rules are one peer class, ports with the same matching rules
 * one port class; a verdict stands for a pair of classes. All precedence is
 * resolved here:
 *   deny over allow; without default deny, what no rule denies is allowed.
 *   Among rules of the deciding action the one with the smallest cookie is
 *   credited, the more specific match type first (L3+L4, L3, L4, all).
 */
#pragma once

#include "clite_layout.h"
#include "model/resolve.h"

struct ruleset {
	const struct rule **rules; /* sorted by cookie */
	size_t n, cap;
	struct resolved mem; /* of those among them that say something by name */
	bool enforced;	   /* false: n is 0 and everything is allowed */
	bool default_deny; /* what no rule allows is denied */
	bool audit;	   /* what is denied passes, and is told */
};

/* Whom rules are for. */
struct subject {
	const struct labels *labels;
	const struct named_ports *ports; /* NULL: none */
	bool audit;
};

void ruleset_clear(struct ruleset *rs);
/* Rules for a subject in a direction, and what they mean in the world (NULL: names
 * mean nothing). A part with the AUTO
 * setting enforces the directions it has rules for (deny rules too). Enforced
 * with every such part at CLITE_DEFAULT_DENY_OFF: default_deny is false. For
 * reserved:init both are enforced and denied in any case, as in Cilium. -ENOMEM. */
int ruleset_build(struct policy *const *policies, size_t npolicies, const struct subject *subject,
		  uint32_t direction, const struct world *world, struct ruleset *ret);
/* Same rules (by cookie and meaning), same flags? For sharing. */
int ruleset_cmp(const struct ruleset *a, const struct ruleset *b);

struct compiled_peer {
	uint32_t identity;
	uint32_t class;
};

struct compiled_verdict {
	uint32_t peer_class;
	uint32_t port_class;
	struct dp_verdict verdict;
};

struct compiled {
	uint8_t verdict; /* DP_VERDICT_* where no entry says otherwise */
	uint32_t rule;	 /* cookie of that, 0: none */
	struct dp_port_interval *ports; /* sorted by start; covers all; at least one */
	size_t nports;
	struct compiled_peer *peers; /* only classes other than 0, sorted by identity */
	size_t npeers;
	struct compiled_verdict *verdicts; /* only those that differ from the default */
	size_t nverdicts;
	struct compiled_state *state; /* what compiled_add_identity() needs: rules of each class */
};

/* Compile a rule set over all identities. The rules must outlive the result.
 * -ENOMEM. */
int compile(const struct ruleset *rs, const struct identities *ids, struct compiled **ret);
struct compiled *compiled_free(struct compiled *c); /* returns NULL */

/* Tell which class an identity has that was not there at compile time. When it
 * needs a new class, *ret_new_verdicts (first element's index in c->verdicts;
 * they are appended) up to c->nverdicts are the entries to write first. The peer
 * is inserted into c->peers when its class is not 0. -ENOMEM: nothing changed. */
int compiled_add_identity(struct compiled *c, const struct identity *id, uint32_t *ret_class,
			  size_t *ret_new_verdicts);
void compiled_remove_identity(struct compiled *c, uint32_t identity);

/* After reading an instance that other processes made: take over the numbers of
 * peer classes in the kernel, given as pairs. The identities must be in ids.
 * Renumbers c so that later compiled_add_identity() calls fit the kernel's maps.
 * Port classes are numbered deterministically by compile(): the first interval
 * with a rule set gets the next number, the one without any rule is 0.
 * next_class: the first number that was never given out there; verdicts of
 * classes that nobody has any more may still lie under those below.
 * -EBADMSG when the kernel's classes contradict the rules (then compile anew). */
int compiled_adopt(struct compiled *c, const struct compiled_peer *kernel, size_t n,
		   uint32_t next_class);
/* The first number of a peer class that was never given out. */
uint32_t compiled_next_class(const struct compiled *c);

/* The verdict of the compiled tables, by the look-ups of the kernel: for tests
 * and clite_policy_entries(). pp is DP_PP_*. */
struct dp_verdict compiled_lookup(const struct compiled *c, uint32_t identity, uint32_t pp,
				  uint16_t port);
