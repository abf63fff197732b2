/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Filters of flows, with the meaning of Hubble's FlowFilter (api/v1/flow/flow.proto).
 *
 * A set of filters has two lists. A flow passes if a filter of the allow list matches it,
 * or that list is empty, and no filter of the deny list does. A filter matches if each of
 * its fields does that is not empty; a field matches if one of its values does. A filter
 * without any field matches everything.
 *
 * Filters often come from somebody else, so there are limits: 128 filters in a list, 4096
 * values in all filters of a set, 1024 bytes in a value, 65,536 in all of them.
 *
 * Thread class of this group: strict per set while filters are added, then safe. Several
 * sets are independent; references may be taken and dropped by any thread.
 */
#ifndef CILIUM_LITE_FILTER_H
#define CILIUM_LITE_FILTER_H

#include <cilium-lite/flow.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A type of events, and perhaps a subtype. @since 0.1 */
struct clite_filter_event_type {
	int32_t type;		/**< CLITE_EVENT_*, or another of Cilium's (129: layer 7); 0: any */
	uint32_t match_subtype; /**< 1: subtype must be that, too */
	int32_t subtype;	/**< drop: reason; trace: observation point; policy verdict: 0 */
};

/** What a pod is part of. @since 0.1 */
struct clite_filter_workload {
	const char *name; /**< NULL or "": any */
	const char *kind; /**< NULL or "": any */
};

/** One filter. Lists of texts end with NULL; a list that is NULL is empty.
 *
 * - Pods and services: "namespace/prefix of the name", "namespace/" for all that it has;
 *   without a namespace: of "default", and what has none.
 * - Patterns: '*' stands for any letters, digits, '-' and '.'.
 * - Selectors are those of Kubernetes: "app=web,tier in (a, b), !old"; a key may have a
 *   source ("k8s:app"). "cidr:10.0.0.0/8" is each network of that source that lies in it,
 *   with '-' for ':' ("cidr:2001-db8--0/32"). Flows tell no labels of their node.
 * - Regular expressions have RE2's syntax. What is of layer 7 is checked, and matches no
 *   flow: none tells of layer 7 yet.
 * - reply: what is not known to be a reply or none matches neither, but 0 if it was dropped.
 *
 * @since 0.1
 */
struct clite_flow_filter {
	size_t sz;
	const char *const *source_ip; /**< address or prefix */
	const char *const *destination_ip;
	const char *const *source_ip_xlated; /**< no flow of this instance has one */
	const char *const *source_pod;
	const char *const *destination_pod;
	const char *const *source_fqdn; /**< patterns */
	const char *const *destination_fqdn;
	const char *const *source_label; /**< selectors */
	const char *const *destination_label;
	const char *const *source_service;
	const char *const *destination_service;
	const char *const *source_port; /**< numbers */
	const char *const *destination_port;
	/** icmp, icmpv4, icmpv6, tcp, udp, sctp, vrrp, igmp, dns, http, kafka */
	const char *const *protocol;
	const char *const *node_name;	   /**< patterns: "node", "cluster/node" */
	const char *const *node_labels;	   /**< selectors */
	const char *const *source_cluster; /**< names */
	const char *const *destination_cluster;
	const char *const *dns_query;	     /**< regular expressions */
	const char *const *http_status_code; /**< "200"; "5+": its beginning */
	const char *const *http_method;
	const char *const *http_path;	/**< regular expressions */
	const char *const *http_url;	/**< regular expressions */
	const char *const *http_header; /**< "key:value", either may be empty */
	const char *const *trace_id;	/**< no flow of this instance has one */
	const char *const *uuid;	/**< nor this */
	const char *const *interface;	/**< "number", "name", "number/name" */
	const struct clite_filter_workload *source_workload;
	const struct clite_filter_workload *destination_workload;
	const struct clite_filter_event_type *event_type;
	const uint32_t *verdict;     /**< CLITE_VERDICT_* */
	const uint32_t *drop_reason; /**< Cilium's numbers; of dropped packets */
	const uint32_t *source_identity;
	const uint32_t *destination_identity;
	const uint32_t *tcp_flags;  /**< as in the TCP header: a packet has all of a value's */
	const uint32_t *ip_version; /**< 4, 6 */
	const uint32_t
		*direction;    /**< CLITE_INGRESS, CLITE_EGRESS of the connection; 0: not known */
	const uint32_t *reply; /**< 1: replies, 0: what is none */
	const uint32_t *encrypted; /**< 1, 0; no flow of this instance is */
	size_t nsource_workload;   /**< how many values there are */
	size_t ndestination_workload;
	size_t nevent_type;
	size_t nverdict;
	size_t ndrop_reason;
	size_t nsource_identity;
	size_t ndestination_identity;
	size_t ntcp_flags;
	size_t nip_version;
	size_t ndirection;
	size_t nreply;
	size_t nencrypted;
	const uint64_t *ip_trace_id; /**< no flow of this instance has one */
	size_t nip_trace_id;
};

/** \name Lists of a set.
 * @{ */
#define CLITE_FILTER_ALLOW 0u
#define CLITE_FILTER_DENY 1u
/** @} */

/** A set of filters. Reference counted. @since 0.1 */
struct clite_filters;

/** Make an empty set: everything passes.
 * \param ret drop it with clite_filters_unref()
 * \retval -EINVAL ret is NULL
 * \retval -ENOMEM no memory
 * @since 0.1
 */
CLITE_API int clite_filters_new(struct clite_filters **ret);

/** Take another reference. \return filters, or NULL for NULL. @since 0.1 */
CLITE_API struct clite_filters *clite_filters_ref(struct clite_filters *filters);

/** Drop a reference. NULL is accepted. \return NULL. @since 0.1 */
CLITE_API struct clite_filters *clite_filters_unref(struct clite_filters *filters);

/** Add a filter. What it points to is copied.
 *
 * \param list    CLITE_FILTER_ALLOW or CLITE_FILTER_DENY
 * \retval -EINVAL a NULL argument, no such list, too many filters, or a value that is
 *	   none: clite_filters_error() names field and value. The set is as before.
 * \retval -EBUSY a subscription has the set: it does not change any more
 * \retval -ENOMEM no memory
 * @since 0.1
 */
CLITE_API int clite_filters_add(struct clite_filters *filters, uint32_t list,
				const struct clite_flow_filter *filter);

/** Add a filter in the JSON of Hubble's exporter and of "hubble observe --allowlist", such
 * as {"source_pod":["kube-system/"],"verdict":["DROPPED"],"event_type":[{"type":1}]}.
 * Field names are those of flow.proto, or in camel case. Otherwise as clite_filters_add().
 * \retval -CLITE_EUNSUPPORTED the library was built without libyaml, which reads it
 * @since 0.1
 */
CLITE_API int clite_filters_add_json(struct clite_filters *filters, uint32_t list,
				     const char *json);

/** Details of the last failure on this set: borrowed, valid until the next call that
 * changes it. Never NULL. @since 0.1 */
CLITE_API const char *clite_filters_error(struct clite_filters *filters);

/** Does a flow pass?
 * \retval -EINVAL a NULL argument, or a flow, event or end with another sz
 * \return 1 if it does, 0 if not
 * @since 0.1
 */
CLITE_API int clite_filters_match(const struct clite_filters *filters,
				  const struct clite_flow *flow);

#ifdef __cplusplus
}
#endif

#endif
