/* SPDX-License-Identifier: BSD-2-Clause */
/* One rule of Cilium's API ("spec", an element of "specs" or of an older array):
 * a part of our model. */
#pragma once

#include "model/document_field.h"

/* What an element of ingress, egress, ingressDeny or egressDeny may hold. Those up to
 * E_FQDNS are kinds of peers. */
enum element {
	E_ENDPOINTS,
	E_CIDR,
	E_CIDR_SET,
	E_ENTITIES,
	E_GROUPS,
	E_NODES,
	E_SERVICES,
	E_FQDNS,
	E_REQUIRES,
	E_PORTS,
	E_ICMPS,
	E_AUTH,
	E_COUNT,
};

/* A selector (of a subject or of peers), with the document's namespace. */
int document_selector(const struct reader *r, const struct ynode *n, const struct path *p,
		      bool subject, struct selector *s);
/* A list of peers: E_ENDPOINTS to E_FQDNS. */
int document_peers(const struct reader *r, const struct ynode *list, const struct path *p,
		   enum element kind, struct rule *rule);
/* A list of lists of ports: E_PORTS, E_ICMPS. Takes any_port away if it says more
 * than nothing. */
int document_ports(const struct reader *r, const struct ynode *list, const struct path *p,
		   enum element kind, struct rule *rule);

/* A prefix (field cidr) with what is excepted (except), into a zeroed peer. */
int document_block(const struct reader *r, const struct ynode *n, const struct path *p,
		   struct peer *peer);
/* fromRequires, toRequires. */
int document_requires(const struct reader *r, const struct ynode *list, const struct path *p,
		      struct rule *rule);
int document_auth(const struct reader *r, const struct ynode *n, const struct path *p,
		  struct rule *rule);
/* { matchName: x } or { matchPattern: x } */
int document_name_match(const struct reader *r, const struct ynode *n, const struct path *p);

/* What an element of toPorts has beside its ports, in this order: rules,
 * terminatingTLS, originatingTLS, serverNames, listener; each NULL if it is not there.
 * *ret is the new redirect of the rule, as port_range.redirect has it. */
#define DOCUMENT_REDIRECT_FIELDS 5
int document_redirect(const struct reader *r, const struct path *p, const struct ynode *const *got,
		      struct rule *rule, uint32_t *ret);
/* May what comes to the port go there? */
int document_check_l7_port(const struct reader *r, uint32_t line, const struct path *p,
			   const struct redirect *to, const struct port_range *port);
/* A name of a port, as IANA's names of services are (RFC 6335); not a number. */
bool document_is_port_name(const char *s);
/* Keep it as endpoints' names are kept, in lower case; -ENOMEM. */
int document_port_name(struct port_range *range, const char *name);

/* Fill a zeroed part; the caller clears it, also on failure. *ret_labels is the
 * rule's list of labels, checked, or NULL. */
int document_part(const struct reader *r, const struct ynode *n, const struct path *p,
		  struct part *ret, const struct ynode **ret_labels);
/* The value of the label with a key in such a list; NULL if there is none. */
const char *document_label(const struct ynode *labels, const char *key);
