/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Policies: who may talk to whom.
 *
 * A policy has a name and one or more parts; a part selects endpoints (its
 * subject) and holds rules for what comes to them and what they send. The
 * meaning is Cilium's: an endpoint that no part selects for a direction may do
 * everything in it; one that is selected may do what some rule allows and no
 * rule denies. Replies of an allowed flow are allowed.
 *
 * Documents (CiliumNetworkPolicy and others, in YAML or JSON) are a front end to the
 * same model. What is said by name (ports of endpoints, services) only documents say.
 *
 * Every change is atomic: a packet sees all of it or none of it.
 *
 * Thread class of this group: strict, unless a function says safe.
 */
#ifndef CILIUM_LITE_POLICY_H
#define CILIUM_LITE_POLICY_H

#include <cilium-lite/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** \name Directions, as Cilium and Hubble number them.
 * @{ */
#define CLITE_INGRESS 1u /**< what comes to the endpoint */
#define CLITE_EGRESS 2u	 /**< what it sends */
/** @} */

/** \name Actions of a rule.
 * @{ */
#define CLITE_ALLOW 0u
#define CLITE_DENY 1u /**< wins over every allow */
/** @} */

/** \name Operators of a requirement, as in matchExpressions.
 * @{ */
#define CLITE_OP_IN 0u		   /**< the label is there with one of the values */
#define CLITE_OP_NOT_IN 1u	   /**< it is not there, or with none of the values */
#define CLITE_OP_EXISTS 2u	   /**< it is there */
#define CLITE_OP_DOES_NOT_EXIST 3u /**< it is not there */
/** @} */

/** One requirement on a label. @since 0.1 */
struct clite_requirement {
	const char *key;	   /**< "source:key"; without a source any source matches */
	const char *const *values; /**< for IN and NOT_IN */
	uint32_t nvalues;
	uint32_t op;		   /**< CLITE_OP_* */
};

/** Requirements that must all hold. None at all: every endpoint. @since 0.1 */
struct clite_selector {
	const struct clite_requirement *requirements;
	size_t nrequirements;
};

/** \name Kinds of peers.
 * @{ */
#define CLITE_PEER_ENDPOINTS 1u /**< those that the selector selects */
#define CLITE_PEER_CIDR 2u	/**< addresses outside: a prefix, less the excepted ones */
#define CLITE_PEER_ENTITY 3u	/**< "all", "world", "host", "cluster", ... */
/** @} */

/** Whom a rule is about. @since 0.1 */
struct clite_peer {
	uint32_t kind;			       /**< CLITE_PEER_* */
	uint32_t reserved;		       /**< must be 0 */
	const struct clite_selector *selector; /**< ENDPOINTS */
	const char *cidr;		       /**< CIDR: "10.0.0.0/8" */
	const char *const *except;	       /**< CIDR: prefixes inside it; ends with NULL; may be NULL */
	const char *entity;		       /**< ENTITY: Cilium's name */
};

/** Which packets a rule is about. @since 0.1 */
struct clite_port {
	uint32_t protocol; /**< IPPROTO_TCP, _UDP, _SCTP, _ICMP, _ICMPV6; 0: TCP, UDP and SCTP (and, with port 0, everything) */
	uint16_t port;	   /**< 0: all; ICMP: the type */
	uint16_t end_port; /**< last of a range; 0: only port */
};

/** One rule. @since 0.1 */
struct clite_rule {
	size_t sz;		       /**< sizeof(struct clite_rule) */
	uint32_t direction;	       /**< CLITE_INGRESS, CLITE_EGRESS */
	uint32_t action;	       /**< CLITE_ALLOW, CLITE_DENY */
	const struct clite_peer *peers; /**< any of them; NULL: everybody */
	size_t npeers;		       /**< 0 with peers not NULL: nobody */
	const struct clite_port *ports; /**< any of them; NULL: every packet */
	size_t nports;
};

/** \name Does a part deny what no rule allows?
 * @{ */
#define CLITE_DEFAULT_DENY_AUTO 0u /**< in the directions for which it has rules */
#define CLITE_DEFAULT_DENY_ON 1u
#define CLITE_DEFAULT_DENY_OFF 2u
/** @} */

/** One part of a policy: a subject and its rules. @since 0.1 */
struct clite_policy_part {
	size_t sz;			      /**< sizeof(struct clite_policy_part) */
	const struct clite_selector *subject; /**< NULL: every endpoint */
	const struct clite_rule *const *rules;
	size_t nrules;
	uint32_t default_deny_ingress;	      /**< CLITE_DEFAULT_DENY_* */
	uint32_t default_deny_egress;
};

/** A transaction: changes that come into force together. A child of its
 * context. @since 0.1 */
struct clite_txn;

/** Begin a transaction.
 * \param ret  free it with clite_txn_free()
 * \retval -EINVAL a NULL argument
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * \retval -ENOMEM no memory
 * @since 0.1
 */
CLITE_API int clite_txn_new(struct clite_ctx *ctx, struct clite_txn **ret);

/** Put a policy under a name, in place of what is there. Everything is copied.
 * Takes effect with clite_txn_commit().
 *
 * \param name   1 to 255 bytes without control characters
 * \param parts  nparts pointers, at least one
 * \retval -EINVAL a bad name, struct or value: clite_error() names it; the
 *	   transaction is as before
 * \retval -CLITE_EUNSUPPORTED something that the datapath cannot serve
 * \retval -ENOMEM, -ECHILD as above
 * @since 0.1
 */
CLITE_API int clite_txn_policy_put(struct clite_txn *txn, const char *name,
				   const struct clite_policy_part *const *parts, size_t nparts);

/** Delete a policy.
 * \retval -ENOENT there is none of that name, also counting the changes of the transaction
 * \retval -EINVAL, -ENOMEM, -ECHILD as above
 * @since 0.1
 */
CLITE_API int clite_txn_policy_delete(struct clite_txn *txn, const char *name);

/** Options of an import. @since 0.1 */
struct clite_import_opts {
	size_t sz;	      /**< sizeof(struct clite_import_opts) */
	const char *filename; /**< for messages; NULL: "<memory>" */
	const char *name;     /**< name of rules that have none; NULL: their label "name", else the file's base name */
	size_t max_bytes;     /**< larger texts are refused with -E2BIG; 0: 16 MiB */
	size_t max_values;    /**< so are those with more values (scalars, lists, maps); 0: 1,000,000 */
	size_t max_depth;     /**< and those nested deeper; at most 1024; 0: 64 */
};

/** Read documents, in YAML or JSON, several in a stream: CiliumNetworkPolicy,
 * CiliumClusterwideNetworkPolicy, Kubernetes' NetworkPolicy, lists of them (kind
 * List, or an array), or Cilium's older JSON array of rules. A document replaces the
 * policy of its name ("namespace/name", or "name" without a namespace; a
 * NetworkPolicy without one is in "default"), if that is of its kind or came by structs;
 * another kind of that name is not replaced in silence, see clite_txn_commit().
 *
 * A CiliumNetworkPolicy with a namespace is about endpoints of it (those with the label
 * k8s:io.kubernetes.pod.namespace), and so are its peers unless they name one; one
 * without is about all endpoints, as one has no namespaces outside of Kubernetes (in
 * Cilium it is in "default").
 *
 * The whole language of Cilium 1.18 is read. What layers 3 and 4 cannot do (rules for
 * HTTP, Kafka and DNS, toFQDNs, TLS, listeners, authentication, nodeSelector, labels of
 * nodes, groups of a cloud provider, CIDR groups) is checked and kept, and the commit
 * refuses the policy with what it needs.
 *
 * \param text  len bytes
 * \retval -CLITE_EDOCUMENT not a document: clite_error() names file, line, field;
 *	   nothing of the stream is in the transaction
 * \retval -CLITE_EUNSUPPORTED a kind that this library does not know; or it was built without libyaml
 * \retval -E2BIG beyond the limits of opts: the text names the limit
 * \retval -EEXIST another import has put a policy of this name into the transaction
 * \retval -EINVAL, -ENOMEM, -ECHILD as above
 * \return number of policies read
 * @since 0.1
 */
CLITE_API int clite_txn_policy_import(struct clite_txn *txn, const char *text, size_t len,
				      const struct clite_import_opts *opts);

/** Bring everything in the transaction into force, or nothing. On success the
 * transaction is empty and may be used again.
 *
 * \retval -CLITE_EUNSUPPORTED a policy needs what is not present: the text says what, and where
 * \retval -ENOSPC a map is full: the text names it and its size
 * \retval -EEXIST a policy would replace one from another kind of document that the transaction does not delete
 * \retval -ECHILD, -ESTALE, -ENOMEM as above
 * \retval -EBUSY another process is changing the instance and did not end within 5 s
 * \return the new revision's low 31 bits
 * @since 0.1
 */
CLITE_API int clite_txn_commit(struct clite_txn *txn);

/** \name What a policy says that is hardly meant.
 * @{ */
#define CLITE_WARNING_SELECTS_NOBODY 1u /**< a selector (of a subject or of peers) selects nobody who is there now */
#define CLITE_WARNING_PORT_NAME 2u	/**< a port name that no endpoint defines */
#define CLITE_WARNING_CIDR_SHADOWED 3u	/**< a prefix that adds nothing: it is inside another one, or denied as a whole */
#define CLITE_WARNING_CIDR_ENDPOINTS 4u /**< a prefix with addresses of endpoints, which prefixes do not select */
#define CLITE_WARNING_NO_SERVICE 5u	/**< toServices means no service of the instance */
#define CLITE_WARNING_NEEDS 6u		/**< it needs what is not present: clite_txn_commit() refuses it */
/** @} */

/** A warning. @since 0.1 */
struct clite_warning {
	size_t sz;
	uint32_t code;	      /**< CLITE_WARNING_* */
	uint32_t line;	      /**< in the file; 0: of a whole part, or it came by structs */
	uint32_t direction;   /**< of the rule; 0: of a whole part */
	uint32_t action;
	uint32_t index;	      /**< of the rule, as in struct clite_rule_info */
	uint32_t reserved;
	const char *policy;   /**< name */
	const char *filename; /**< "" if it came by structs */
	const char *text;     /**< for people, without the place */
};

/** Call cb for each warning on the policies that a transaction puts, as endpoints,
 * identities and services are now.
 *
 * \param cb  gets a borrowed struct, valid during the call; must not use the context; a
 *	      negative return ends the walk and is returned
 * \retval -EINVAL, -ECHILD, -ESTALE, -ENOMEM as above
 * \return number of warnings
 * @since 0.1
 */
CLITE_API int clite_txn_warnings(struct clite_txn *txn,
				 int (*cb)(const struct clite_warning *warning, void *userdata),
				 void *userdata);

/** The same for policies in force.
 * \param name  of one policy; NULL: all of them
 * \retval -ENOENT no policy of that name
 * \retval others as clite_txn_warnings()
 * \return number of warnings
 * @since 0.1
 */
CLITE_API int clite_policy_warnings(struct clite_ctx *ctx, const char *name,
				    int (*cb)(const struct clite_warning *warning, void *userdata),
				    void *userdata);

/** Drop a transaction and what is not committed of it. NULL is accepted.
 * \return NULL. @since 0.1 */
CLITE_API struct clite_txn *clite_txn_free(struct clite_txn *txn);

/** One clite_txn_policy_put() in a transaction of its own. Errors of both.
 * \return 0 @since 0.1 */
CLITE_API int clite_policy_put(struct clite_ctx *ctx, const char *name,
			       const struct clite_policy_part *const *parts, size_t nparts);

/** One clite_txn_policy_import() in a transaction of its own. Errors of both.
 * \return number of policies read @since 0.1 */
CLITE_API int clite_policy_import(struct clite_ctx *ctx, const char *text, size_t len,
				  const struct clite_import_opts *opts);

/** One clite_txn_policy_delete() in a transaction of its own. Errors of both.
 * \return 0 @since 0.1 */
CLITE_API int clite_policy_delete(struct clite_ctx *ctx, const char *name);

/** Read documents as clite_txn_policy_import() does, and do nothing. Needs no
 * instance and no privileges.
 *
 * Thread class: safe.
 *
 * \param errbuf  gets the details on failure; may be NULL
 * \retval as clite_txn_policy_import()
 * \return number of policies read
 * @since 0.1
 */
CLITE_API int clite_policy_validate(const char *text, size_t len,
				    const struct clite_import_opts *opts, char *errbuf,
				    size_t errbuf_size);

/** A policy as it is in force. @since 0.1 */
struct clite_policy_info {
	size_t sz;
	const char *name;
	const char *text;     /**< the document as it was imported, or one written from the structs (JSON) */
	const char *filename; /**< "" if it came by structs */
	uint64_t revision;    /**< of the instance when it was put */
	uint32_t rules;	      /**< number of its rules */
	uint32_t endpoints;   /**< endpoints that it selects now */
};

/** Look at one policy.
 * \param ret  borrowed, valid until the next call on ctx
 * \retval -ENOENT no policy of that name
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * @since 0.1
 */
CLITE_API int clite_policy_get(struct clite_ctx *ctx, const char *name,
			       const struct clite_policy_info **ret);

/** Call cb for each policy, by name.
 * \param cb  gets a borrowed struct, valid during the call; must not use ctx; a
 *	      negative return ends the walk and is returned
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * \return number of policies
 * @since 0.1
 */
CLITE_API int clite_policy_list(struct clite_ctx *ctx,
				int (*cb)(const struct clite_policy_info *info, void *userdata),
				void *userdata);

/** What a cookie in an event stands for. @since 0.1 */
struct clite_rule_info {
	size_t sz;
	const char *policy;   /**< name */
	const char *filename; /**< "" if it came by structs */
	uint32_t cookie;
	uint32_t line;	      /**< in the file, 0 if it came by structs */
	uint32_t direction;
	uint32_t action;
	uint32_t index;	      /**< which of the rules of its direction and action, from 0 */
	uint32_t reserved;
};

/** Find the rule that a cookie stands for.
 * \param ret  borrowed, valid until the next call on ctx
 * \retval -ENOENT the rule is not there any more
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * @since 0.1
 */
CLITE_API int clite_rule_get(struct clite_ctx *ctx, uint32_t cookie,
			     const struct clite_rule_info **ret);

/** What a rule has decided since it is in force. @since 0.1 */
struct clite_rule_hits {
	size_t sz;
	const struct clite_rule_info *rule;
	uint64_t packets; /**< that it let pass (in the direction in which the flow was begun; replies are not counted) or dropped; 0: it is unused */
	uint64_t bytes;	  /**< of them, with their link layer headers */
};

/** Call cb for each rule of a policy in force with what it has decided. Only the rule
 * that decides counts (clite_policy_entries(), events), and 32,768 rules at most. Counts of flows that the kernel
 * evicts from a full flow table, or clite_conntrack_flush() removes, are lost.
 *
 * \param name  of one policy; NULL: all of them
 * \param cb  gets a borrowed struct, valid during the call; must not use ctx; a
 *	      negative return ends the walk and is returned
 * \retval -ENOENT no policy of that name
 * \retval -EINVAL, -ECHILD, -ESTALE, -ENOMEM as above
 * \return number of rules
 * @since 0.1
 */
CLITE_API int clite_policy_hits(struct clite_ctx *ctx, const char *name,
				int (*cb)(const struct clite_rule_hits *hits, void *userdata),
				void *userdata);

/** A verdict of a compiled policy, as it is in the kernel. @since 0.1 */
struct clite_policy_entry {
	size_t sz;
	uint32_t table;	      /**< number of the compiled policy */
	uint32_t endpoint;    /**< an endpoint for which it is in force */
	uint32_t direction;
	uint32_t identity;    /**< of the peer; 0: any that has no entry of its own */
	uint32_t protocol;    /**< IPPROTO_*, 0: any */
	uint16_t port;	      /**< first of the interval; with end_port 65535 and port 0: all */
	uint16_t end_port;    /**< last */
	uint32_t action;      /**< CLITE_ALLOW, CLITE_DENY */
	uint32_t rule;	      /**< cookie of what decides, 0: nothing allows it */
};

/** Call cb for each verdict in force at an endpoint, read from the maps.
 * \param endpoint  its number, 0: all endpoints
 * \retval -ENOENT no such endpoint
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * \return number of entries
 * @since 0.1
 */
CLITE_API int clite_policy_entries(struct clite_ctx *ctx, uint32_t endpoint,
				   int (*cb)(const struct clite_policy_entry *entry, void *userdata),
				   void *userdata);

#ifdef __cplusplus
}
#endif

#endif
