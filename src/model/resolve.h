/* SPDX-License-Identifier: BSD-2-Clause */
/* What rules say by name: ports of endpoints, back ends of services, requirements
 * of other rules. Resolved when a rule set is built, from the world as it is then;
 * who changes the world builds the rule sets anew. */
#pragma once

#include "model/identity.h"

/* A port that an endpoint gives a name to. */
struct named_port {
	char *name; /* in lower case */
	uint8_t protocol;
	uint16_t port;
};

struct named_ports {
	struct named_port *v; /* by name */
	size_t n;
	char **text; /* "name=port/protocol" of each, then NULL; NULL: n is 0 */
};

/* Read one "name=port/protocol" ("http=80/tcp"); -EINVAL with text, -ENOMEM. */
int named_ports_add(struct named_ports *p, const char *text, struct errtext *err);
void named_ports_clear(struct named_ports *p);

struct world_endpoint {
	const struct identity *identity;
	const struct named_ports *ports;
	struct prefix v4, v6; /* family 0: none */
};

struct world_service {
	const char *name; /* "namespace/name"; without a namespace it is in "default" */
	const struct labels *labels;
	const struct prefix *backends;
	size_t nbackends;
};

/* Borrows everything but its arrays. Zeroes: policies are enforced where they select,
 * also on what the host sends, and deny. */
struct world {
	uint32_t enforcement; /* CLITE_ENFORCE_* */
	bool localhost;	      /* what the host sends to an endpoint is allowed */
	bool audit;	      /* what is denied passes, and is told */
	struct prefix *addresses; /* of all services' back ends */
	struct world_endpoint *eps;
	size_t neps;
	struct world_service *services;
	size_t nservices;
};

void world_clear(struct world *w);

/* Does the rule say something by name? */
bool rule_is_symbolic(const struct rule *r);
bool policy_is_symbolic(const struct policy *p);
/* Does the service's peer mean this service? */
bool peer_means_service(const struct peer *p, const struct world_service *s);
/* The endpoint of an address; NULL: none of ours. */
const struct world_endpoint *world_endpoint_of(const struct world *w, const struct prefix *address);

/* Memory of resolved rules: they borrow all strings of those that they come from. */
struct resolved {
	void **v;
	size_t n, cap;
};

void resolved_clear(struct resolved *mem);

/* Replace the symbolic rules in rules (*n of *cap) by what they mean for a subject
 * with these ports, in order. NULL as world: names mean nothing. -ENOMEM. */
int rules_resolve(const struct rule ***rules, size_t *n, size_t *cap,
		  const struct named_ports *own, const struct world *w, struct resolved *mem);
/* Do two rules of one cookie mean the same? */
bool resolved_same(const struct rule *a, const struct rule *b);
