/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Flows: events with names. What an event tells in numbers (endpoints, identities,
 * rules, addresses of services) a flow tells in words as well. It may come from an
 * event of this instance, from a file, or from another program; all that prints,
 * filters, saves or serves flows takes them in this form.
 *
 * Thread class of this group: strict, unless a function says safe.
 */
#ifndef CILIUM_LITE_FLOW_H
#define CILIUM_LITE_FLOW_H

#include <cilium-lite/event.h>
#include <cilium-lite/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/** \name Kinds of flows, numbers of Hubble's FlowType (api/v1/flow/flow.proto).
 * @{ */
#define CLITE_FLOW_L3_L4 1u
#define CLITE_FLOW_L7 2u
#define CLITE_FLOW_SOCK 3u
/** @} */

/** One end of a flow. No text is NULL: what is not known is "". @since 0.1 */
struct clite_flow_end {
	size_t sz;
	const char *ns;		   /**< namespace: of an endpoint "namespace/name" the first part, else that of its labels */
	const char *pod;	   /**< name of the endpoint, without a namespace */
	const char *service;	   /**< name of the service, without a namespace */
	const char *service_ns;	   /**< and its namespace */
	const char *cluster;	   /**< name of the cluster; "" for this instance's own */
	const char *workload;	   /**< name of what the pod is part of; "" for this instance's own */
	const char *workload_kind; /**< such as "Deployment" */
	const char *const *labels; /**< of its identity, "source:key=value", ends with NULL */
	const char *const *names;  /**< DNS names, ends with NULL; none for this instance's own */
};

/** A policy that a flow was decided by. @since 0.1 */
struct clite_flow_policy {
	size_t sz;
	const char *name;	  /**< without the namespace */
	const char *ns;		  /**< namespace, or "" */
	const char *kind;	  /**< such as "CiliumNetworkPolicy", or "" */
	uint32_t direction;	  /**< CLITE_INGRESS, CLITE_EGRESS: of the rule */
	uint32_t action;	  /**< CLITE_ALLOW, CLITE_DENY */
	uint64_t revision;	  /**< 0: not known */
	const struct clite_rule_info *rule; /**< NULL: not a rule of this instance */
};

/** A flow. @since 0.1 */
struct clite_flow {
	size_t sz;
	const struct clite_event *event; /**< its numbers */
	const struct clite_flow_end *source;
	const struct clite_flow_end *destination;
	const struct clite_flow_policy *const *policies; /**< ends with NULL */
	const char *node;    /**< where it was seen; this host's name for this instance's own */
	const char *summary; /**< "TCP Flags: SYN", "UDP": Hubble's */
	uint32_t kind;	     /**< CLITE_FLOW_* */
	uint32_t reserved;
	const char *interface; /**< name of the device where it was seen; "" or NULL: not known */
};

/** Find the names of an event, as they are now.
 *
 * \param event as a callback of clite_subscribe() gets it
 * \param ret   borrowed, valid until the next call on ctx; it points to event
 * \retval -EINVAL a NULL argument, or an event with another sz
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * \retval -ENOMEM no memory
 * @since 0.1
 */
CLITE_API int clite_flow_resolve(struct clite_ctx *ctx, const struct clite_event *event,
				 const struct clite_flow **ret);

/** Write a flow as one line of text, as "hubble observe" prints it (compact), with
 * service and rule that decided. No newline. Bytes that would write to a terminal
 * are shown as '?'. Thread class: safe.
 *
 * \param buf   gets the text, ended with NUL, cut off if it is longer; may be NULL with size 0
 * \retval -EINVAL a NULL argument, or a flow, event or end with another sz
 * \retval -ENOMEM no memory
 * \return length of the whole text, as snprintf(3)
 * @since 0.1
 */
CLITE_API int clite_flow_text(const struct clite_flow *flow, char *buf, size_t size);

/** Write a flow as Hubble's JSON: an object with a member "flow" as "hubble observe
 * -o json" prints it and Hubble's exporter writes it. As clite_flow_text()
 * otherwise. @since 0.1 */
CLITE_API int clite_flow_json(const struct clite_flow *flow, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif
