/* SPDX-License-Identifier: BSD-2-Clause */
/* The policy model: what documents and the structs of the API become. Plain
 * data; numbers are those of <cilium-lite/policy.h>. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

struct requirement {
	char *source; /* NULL: any */
	char *key;
	uint32_t op; /* CLITE_OP_* */
	char **values;
	size_t nvalues;
};

struct selector {
	struct requirement *reqs;
	size_t nreqs;
	size_t nrequired; /* the last of them: what fromRequires adds, which only narrows */
};

enum entity {
	ENTITY_ALL,
	ENTITY_WORLD,
	ENTITY_WORLD_IPV4,
	ENTITY_WORLD_IPV6,
	ENTITY_CLUSTER,
	ENTITY_HOST,
	ENTITY_INIT,
	ENTITY_INGRESS,
	ENTITY_UNMANAGED,
	ENTITY_REMOTE_NODE,
	ENTITY_HEALTH,
	ENTITY_NONE,
	ENTITY_KUBE_APISERVER,
	ENTITY_COUNT_,
};

/* Cilium's name of an entity, and back (-EINVAL). */
const char *entity_name(enum entity e);
int entity_parse(const char *s, enum entity *ret);

/* What the language can ask for and L3 and L4 cannot do: the part of the library
 * that does it has to be there, else a commit refuses the policy. */
enum need {
	NEED_NONE,
	NEED_HTTP,
	NEED_KAFKA,
	NEED_DNS,
	NEED_L7, /* a parser by its name */
	NEED_TLS,
	NEED_LISTENER,
	NEED_AUTH,
	NEED_FQDN,
	NEED_HOST, /* a part for hosts, by nodeSelector */
	NEED_NODES,
	NEED_GROUPS,
	NEED_CIDR_GROUPS,
	NEED_COUNT_,
};

/* "a proxy for HTTP": what is needed. */
const char *need_name(enum need need);

/* Kinds of peers that only documents have, after CLITE_PEER_*. */
#define PEER_SERVICE 4u /* the back ends of services: see resolve.h */
#define PEER_OTHER 5u	/* found by the part that is needed */
#define PEER_IDENTITY 6u /* one identity: in resolved rules only */

struct peer {
	uint32_t kind; /* CLITE_PEER_*, PEER_* */
	struct selector selector; /* of endpoints; of services, by their labels */
	struct prefix cidr;
	struct prefix *except;
	size_t nexcept;
	enum entity entity;
	char *service;	 /* its name; NULL: by selector */
	char *namespace; /* of services; NULL: any */
	uint32_t identity;
	enum need need;	 /* of PEER_OTHER... */
	char *json;	 /* ...and the document's element */
};

/* Ports of TCP, UDP, SCTP; types of ICMP. first..last, inclusive. */
struct port_range {
	uint8_t protocol; /* IPPROTO_*; 0: TCP, UDP and SCTP; with 0..65535: every packet, ICMP too */
	uint16_t first;
	uint16_t last;
	uint32_t redirect; /* index of the rule's redirects, + 1; 0: goes on as it is */
	char *name;	   /* a named port: first and last are 0; see resolve.h */
};

/* Cilium's priorities of listeners (pkg/policy, 1.18): the higher wins. Of a
 * document's priority 1..100 it is 128 less that. */
#define REDIRECT_PRIORITY_NONE 1
#define REDIRECT_PRIORITY_HTTP 101
#define REDIRECT_PRIORITY_KAFKA 106
#define REDIRECT_PRIORITY_L7 111
#define REDIRECT_PRIORITY_TLS 116
#define REDIRECT_PRIORITY_DNS 121
#define REDIRECT_PRIORITY_CRD 126

/* What is allowed goes to a listener, which does what L3 and L4 cannot. */
struct redirect {
	uint32_t needs;	   /* 1 << NEED_* */
	uint32_t priority; /* REDIRECT_PRIORITY_*, or the document's */
	char *listener;	   /* its name; NULL: that of the parser */
	char *json;	   /* the element of toPorts without its ports, checked */
};

enum auth { AUTH_UNSAID, AUTH_DISABLED, AUTH_REQUIRED, AUTH_FAIL };

struct rule {
	uint32_t direction; /* CLITE_INGRESS, CLITE_EGRESS */
	uint32_t action;    /* CLITE_ALLOW, CLITE_DENY */
	bool any_peer;	    /* no peers named: everybody */
	bool any_port;	    /* no ports named: every packet */
	struct peer *peers; /* any of them */
	size_t npeers;	    /* 0 without any_peer: nobody */
	struct port_range *ports;
	size_t nports; /* 0 without any_port: nothing */
	struct redirect *redirects;
	size_t nredirects;
	struct selector *requires; /* fromRequires, toRequires: all of them hold for every endpoint peer */
	size_t nrequires;
	uint32_t auth; /* AUTH_* */
	/* What follows is of resolved rules (resolve.h) and is not encoded. */
	bool resolved;
	const uint32_t *only; /* identities, sorted: no others; NULL: any */
	size_t nonly;
	uint32_t line; /* in the document, 0: none */
	uint32_t index; /* among the rules of its part's direction and action */
	uint32_t cookie; /* set when the policy is committed; never used twice */
};

struct part {
	struct selector subject; /* no requirement: every endpoint */
	bool nodes;		 /* the subject is of hosts, not of endpoints: NEED_HOST */
	char *description;	 /* these are as the document has them, NULL: not there */
	char *labels;		 /* JSON */
	char *log;		 /* what log.value says */
	uint32_t default_deny[3]; /* CLITE_DEFAULT_DENY_*, by direction (1, 2) */
	struct rule *rules;
	size_t nrules;
};

/* What it came from. Documents of different kinds are different policies to those who write
 * them, and have one name here: one does not replace the other. */
enum policy_kind {
	POLICY_STRUCTS, /* of the API: may replace any, and be replaced */
	POLICY_CNP,
	POLICY_CCNP,
	POLICY_K8S,
	POLICY_RULES,
	POLICY_KIND_COUNT_,
};
const char *policy_kind_name(enum policy_kind kind);
/* May one of a kind take the place of one of another? */
bool policy_kind_replaces(enum policy_kind kind, enum policy_kind old);

struct policy {
	enum policy_kind kind;
	char *name;	/* "namespace/name" or "name" */
	char *filename; /* NULL: came by structs */
	char *text;	/* the document; NULL until it is written */
	struct part *parts;
	size_t nparts;
	uint64_t revision;
	uint32_t id; /* of its blob in the store; not encoded */
};

/* Frees what the policy owns and itself. NULL is accepted. Returns NULL. */
struct policy *policy_free(struct policy *p);
void policy_freep(struct policy **p);
size_t policy_rules(const struct policy *p); /* how many */
/* Number the rules from first on, in order of parts and rules. */
void policy_number(struct policy *p, uint32_t first);

/* The first of what a policy needs that is not among those present (1 << NEED_*);
 * *ret_line is that of the rule, 0 of none. NEED_NONE: it can be enforced. */
enum need policy_lacks(const struct policy *p, uint32_t present, uint32_t *ret_line);

/* The helpers that free parts of it; safe on zeroed structs. */
void selector_clear(struct selector *s);
void peer_clear(struct peer *p);
void port_clear(struct port_range *p);
void rule_clear(struct rule *r);
void part_clear(struct part *p);

/* Split "source:key" at the first colon into a requirement's source and key; no
 * source, or "any", is NULL. -EINVAL: an empty source or key, blanks, control
 * characters. */
int requirement_set_key(struct requirement *r, const char *text);

#define NAMESPACE_KEY "io.kubernetes.pod.namespace"
#define NAMESPACE_LABELS_PREFIX "io.cilium.k8s.namespace.labels."

/* Is it about the label that names a namespace? */
bool requirement_is_namespace(const struct requirement *r);
/* Does a selector of peers say by itself which namespaces it means, also by labels of
 * namespaces? If not, that of its document is added to it on reading. */
bool selector_names_namespace(const struct selector *s);
/* Does a subject select nobody of another namespace? One that must have a reserved label is
 * no workload of any. If not, the namespace of its document is added to it. */
bool selector_is_in_namespace(const struct selector *s, const char *namespace);

/* Has the part a say in a direction: rules, or CLITE_DEFAULT_DENY_ON? */
bool part_enforces(const struct part *p, uint32_t direction);
/* Does it put its subject under default deny there? (AUTO is resolved: if it has
 * rules of that direction.) */
bool part_default_deny(const struct part *p, uint32_t direction);

/* ---- blobs: how a policy is kept in a map ------------------------------- */

/* Serialise everything but text; -ENOMEM. */
int policy_encode(const struct policy *p, struct buf *out);
/* -EBADMSG for bytes that are none of policy_encode()'s. Safe on hostile bytes. */
int policy_decode(const void *data, size_t len, struct policy **ret);

/* Write a policy as a CiliumNetworkPolicy in JSON, such that reading it gives
 * the same model, but for lines, text and file name. What only structs can say is
 * written as rules that mean the same: a rule with peers of several kinds, or with
 * ICMP and ports, becomes several; one for everybody and every packet gets port 0
 * of protocol ANY. -ENOMEM; -EINVAL for ports that no document can name. */
int policy_write(const struct policy *p, struct buf *out);
