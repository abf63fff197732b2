/* SPDX-License-Identifier: BSD-2-Clause */
/* One rule of Cilium's API ("spec", an element of "specs" or of an older array):
 * a part of our model. */
#pragma once

#include "model/document_field.h"

/* For texts that say what is not supported. */
#define LACKS ", which this library does not have"

/* What an element of ingress, egress, ingressDeny or egressDeny may hold. */
enum element { E_ENDPOINTS, E_CIDR, E_CIDR_SET, E_ENTITIES, E_PORTS, E_ICMPS, E_SUPPORTED };

/* A selector (of a subject or of peers), with the document's namespace. */
int document_selector(const struct reader *r, const struct ynode *n, const struct path *p,
		      bool subject, struct selector *s);
/* A list of peers: E_ENDPOINTS to E_ENTITIES. */
int document_peers(const struct reader *r, const struct ynode *list, const struct path *p,
		   enum element kind, struct rule *rule);
/* A list of lists of ports: E_PORTS, E_ICMPS. Takes any_port away if it says more
 * than nothing. */
int document_ports(const struct reader *r, const struct ynode *list, const struct path *p,
		   enum element kind, struct rule *rule);

/* Fill a zeroed part; the caller clears it, also on failure. *ret_labels is the
 * rule's list of labels, checked, or NULL. */
int document_part(const struct reader *r, const struct ynode *n, const struct path *p,
		  struct part *ret, const struct ynode **ret_labels);
/* The value of the label with a key in such a list; NULL if there is none. */
const char *document_label(const struct ynode *labels, const char *key);
