/* SPDX-License-Identifier: BSD-2-Clause */
/* Front ends of services, as documents say them, and what is done with lists of them.
 * Plain data; numbers are those of <cilium-lite/service.h>. */
#pragma once

#include "model/identity.h"

/* In the order of who stands in front if two of one service have the same address. */
enum front_kind {
	FRONT_CLUSTER_IP,
	FRONT_LOAD_BALANCER,
	FRONT_EXTERNAL_IP,
	FRONT_NODE_PORT,
};

/* "ClusterIP" and so on. */
const char *front_kind_name(enum front_kind kind);

enum front_forwarding { FORWARDING_UNSAID, FORWARDING_SNAT, FORWARDING_DSR };

struct service_backend {
	struct prefix address; /* of the front end's family */
	uint16_t port;
	uint16_t weight;	  /* 1 and up */
	uint32_t state;		  /* CLITE_BACKEND_* */
	const char *node, *zone;  /* where it is; NULL: not said */
	const char *const *zones; /* hints: who should use it; end with NULL; NULL: none */
	const char *const *nodes;
};

#define SERVICE_MAX_BACKENDS 65535 /* of one front end */

struct service_front {
	const char *name;	     /* of the service, "namespace/name" */
	uint32_t line;		     /* of that name */
	const struct labels *labels; /* of the source k8s; n may be 0 */
	enum front_kind kind;
	struct prefix address; /* family 0: every address of the node, of the family below */
	uint8_t family;	       /* 4 or 6 */
	uint8_t protocol;      /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	uint16_t port;
	const char *port_name; /* "": none */
	uint32_t affinity;     /* seconds; 0: none */
	uint32_t algorithm;    /* CLITE_LB_*; 0: not said */
	enum front_forwarding forwarding;
	uint16_t health_check_port; /* 0: none */
	bool ext_local;		    /* only back ends of this node; not of FRONT_CLUSTER_IP */
	bool int_local;		    /* the same; only of FRONT_CLUSTER_IP */
	bool prefer_zone;	    /* back ends that are near, if there are any */
	bool prefer_node;	    /* back ends of this node, if there are any */
	bool hints_only;  /* with prefer_zone: near is what hints say, never the zone itself */
	bool ranges_deny; /* clients in ranges are denied; else only they are allowed */
	/* Only of FRONT_LOAD_BALANCER. Of both families: if there are any and none of
	 * the front end's, an allow list allows nobody. */
	const struct prefix *ranges;
	size_t nranges;
	/* By address and port, each once. Shared between front ends. */
	const struct service_backend *backends;
	size_t nbackends;
	const void *of; /* which port of which service: for the reader of documents */
};

/* The back ends that this node uses, by its name and zone (NULL: not known, then
 * nothing is kept away for it), into an array with room for all of them. Returns
 * how many. */
size_t service_front_select(const struct service_front *f, const char *node, const char *zone,
			    const struct service_backend **ret);

/* ---- what came, stayed, went --------------------------------------------------- */

struct service_key {
	struct prefix address; /* family 0: every address of the node */
	uint8_t family;
	uint8_t protocol;
	uint16_t port;
};

struct service_key service_front_key(const struct service_front *f);
/* By family, address, port, protocol. */
int service_key_cmp(const struct service_key *a, const struct service_key *b);

enum service_change_kind {
	SERVICE_ADD,
	SERVICE_KEEP, /* was there before; what it says may be new */
	SERVICE_REMOVE,
};

struct service_change {
	struct service_key key;
	enum service_change_kind kind;
	size_t index; /* in the list of now; of SERVICE_REMOVE: in that of before */
};

/* Compare what is there now with what an earlier import left. The lists need no order;
 * a key that is twice in one counts once, the first. *ret is malloc'ed, by key; -ENOMEM. */
int service_changes(const struct service_key *now, size_t nnow, const struct service_key *before,
		    size_t nbefore, struct service_change **ret, size_t *ret_n);
