/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Hubble's metrics: flows counted by what they are. Names, labels and options are those of
 * Hubble, so that its dashboards show them. Of libcilium-lite-hubble.so; needs no server.
 *
 * Each metric keeps a bounded number of series (sets of labels). Flows of further ones are
 * counted in the series whose labels are all "other", so that sums stay right, and
 * "cilium_lite_hubble_metrics_folded_total" tells how many there were.
 *
 * Thread class of this group: strict, per object; one with a context and that context belong
 * to the same thread.
 */
#ifndef CILIUM_LITE_HUBBLE_METRICS_H
#define CILIUM_LITE_HUBBLE_METRICS_H

#include <cilium-lite/flow.h>
#include <cilium-lite/metric.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Metrics that are being counted. @since 0.1 */
struct clite_hubble_metrics;

/** Options of clite_hubble_metrics_new().
 *
 * A metric is named as in Hubble's configuration, with options behind a colon, which
 * semicolons part: "drop", "flow:sourceContext=namespace;destinationContext=pod|ip".
 *
 * Metrics, and what is counted in which series besides what options ask for:
 * - drop: hubble_drop_total {reason, protocol}; as in Hubble also policies' verdicts that deny
 * - flow: hubble_flows_processed_total {protocol, type, subtype, verdict}
 * - flows-to-world: hubble_flows_to_world_total {protocol, verdict}; its options: any-drop (not
 *   only those by policies), port (a label), syn-only (of TCP)
 * - icmp: hubble_icmp_total {family, type}
 * - policy: hubble_policy_verdicts_total {direction, match, action}
 * - port-distribution: hubble_port_distribution_total {protocol, port}; no replies
 * - tcp: hubble_tcp_flags_total {flag, family}
 *
 * Options of all:
 * - sourceContext, destinationContext: labels "source" and "destination": the first of some
 *   ways to name an end ("pod|dns|ip") that gives a text: identity, namespace, pod, pod-short,
 *   pod-name, dns, ip, reserved-identity, workload, workload-name, app
 * - sourceEgressContext, sourceIngressContext, destinationEgressContext,
 *   destinationIngressContext: the same for flows of a direction
 * - labelsContext: labels of these names ("source_pod,traffic_direction"): source_ip, source_pod,
 *   source_namespace, source_workload, source_app, the same with destination, traffic_direction
 * @since 0.1
 */
struct clite_hubble_metrics_opts {
	size_t sz;		    /**< sizeof(struct clite_hubble_metrics_opts) */
	const char *const *metrics; /**< ends with NULL; NULL: drop, flow, icmp, policy, port-distribution and tcp, without options */
	uint32_t series;	    /**< of each metric at most, with 256 bytes of labels each; 0: 10000; at most 1000000 */
	uint32_t aggregation;	    /**< as in struct clite_subscribe_opts */
	uint32_t ring_bytes;	    /**< as in struct clite_subscribe_opts */
	uint32_t reserved;	    /**< must be 0 */
	char *errbuf;		    /**< gets the details when clite_hubble_metrics_new() fails; may be NULL */
	size_t errbuf_size;	    /**< bytes in errbuf */
};

/** Begin to count.
 *
 * \param ctx   it subscribes to this instance's events: they are counted while the caller runs
 *		clite_dispatch(). The object holds a reference. NULL: flows come by
 *		clite_hubble_metrics_feed() only
 * \param opts  options, or NULL for all defaults
 * \param ret   end it with clite_hubble_metrics_free()
 * \retval -EINVAL ret is NULL, or a bad option: the text names it
 * \retval -ENOMEM no memory
 * \retval -ENOSPC, -ECHILD, -ESTALE as for clite_subscribe()
 * @since 0.1
 */
CLITE_API int clite_hubble_metrics_new(struct clite_ctx *ctx,
				       const struct clite_hubble_metrics_opts *opts,
				       struct clite_hubble_metrics **ret);

/** End counting. NULL is accepted. \return NULL. @since 0.1 */
CLITE_API struct clite_hubble_metrics *
clite_hubble_metrics_free(struct clite_hubble_metrics *metrics);

/** Count a flow that is not of the context: of a file, of another program.
 * \retval -EINVAL a NULL argument, or a flow, event or end with another sz
 * \retval -ENOMEM no memory: it was not counted by all metrics
 * @since 0.1
 */
CLITE_API int clite_hubble_metrics_feed(struct clite_hubble_metrics *metrics,
					const struct clite_flow *flow);

/** Call cb for each series of each metric: those of a name come one after the other.
 * \param cb  as for clite_metric_list(), such as clite_metric_page_add(); must not use metrics
 * \retval -EINVAL metrics or cb is NULL
 * \retval -ENOMEM no memory
 * \return number of series
 * @since 0.1
 */
CLITE_API int clite_hubble_metrics_list(struct clite_hubble_metrics *metrics,
					int (*cb)(const struct clite_metric *metric,
						  void *userdata),
					void *userdata);

#ifdef __cplusplus
}
#endif

#endif
