/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Flow events: what the datapath did to which packet, and why.
 *
 * Each subscription has a ring of its own: subscribers, also in other processes,
 * do not take events from each other, and a slow one loses only its own. One that does not
 * call clite_dispatch() for 10 s gets nothing, and nothing is counted as lost, until it does.
 *
 * Thread class of this group: strict, unless a function says safe.
 */
#ifndef CILIUM_LITE_EVENT_H
#define CILIUM_LITE_EVENT_H

#include <cilium-lite/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** \name Event types, numbers of Cilium's monitor.
 * @{ */
#define CLITE_EVENT_DROP 1u
#define CLITE_EVENT_TRACE 4u
#define CLITE_EVENT_POLICY_VERDICT 5u
/** @} */

/** \name Verdicts, numbers of Hubble's (api/v1/flow/flow.proto).
 * @{ */
#define CLITE_VERDICT_FORWARDED 1u
#define CLITE_VERDICT_DROPPED 2u
#define CLITE_VERDICT_AUDIT 4u /**< policy denies it, but audit mode lets it pass */
/** @} */

/** \name Levels of aggregation, numbers of Cilium's --monitor-aggregation.
 * @{ */
#define CLITE_AGGREGATE_NONE 0u	  /**< an event for every packet */
#define CLITE_AGGREGATE_MEDIUM 3u /**< first packet of a flow and direction, new TCP flags, every 5 s; drops always */
/** @} */

/** An event. @since 0.1 */
struct clite_event {
	size_t sz;
	uint64_t time;		     /**< ns since 1970 (CLOCK_REALTIME) */
	uint32_t type;		     /**< CLITE_EVENT_* */
	uint32_t subtype;	     /**< drop: reason; trace: observation point; verdict: match type; Cilium's numbers */
	uint32_t verdict;	     /**< CLITE_VERDICT_* */
	uint32_t drop_reason;	     /**< 0 unless dropped; clite_drop_reason_text() */
	uint32_t trace_reason;	     /**< trace: Cilium's number: 0 new, 1 established, 2 reply, 3 related */
	uint32_t direction;	     /**< CLITE_INGRESS, CLITE_EGRESS, 0: not known; of a denial: by which policy */
	uint32_t is_reply;	     /**< 0 no, 1 yes, 2 not known */
	uint32_t family;	     /**< 4 or 6 */
	uint32_t protocol;	     /**< IPPROTO_* */
	uint32_t has_ports;	     /**< 1: source_port and destination_port, or the ICMP fields, are valid */
	uint8_t source[16];	     /**< network byte order; IPv4: the first 4 bytes; after translation, but an endpoint whose packets are masqueraded is told by its own address */
	uint8_t destination[16];
	uint8_t original[16];	     /**< the address of the service, if service_port is not 0 */
	uint16_t source_port;	     /**< host byte order */
	uint16_t destination_port;
	uint16_t service_port;	     /**< 0: not translated */
	uint8_t icmp_type;
	uint8_t icmp_code;
	uint32_t tcp_flags;	     /**< of the packet, as in the TCP header */
	uint32_t source_endpoint;    /**< 0: outside */
	uint32_t destination_endpoint;
	uint32_t source_identity;
	uint32_t destination_identity;
	uint32_t egress_rule;	     /**< cookie of the rule that decided (clite_rule_get()); 0: none */
	uint32_t ingress_rule;
	uint32_t ifindex;	     /**< where it was seen */
	uint32_t length;	     /**< of the packet, bytes */
	uint32_t source_line;	     /**< drop: line of the datapath's source that dropped it */
	const char *source_file;     /**< drop: and the file; static; "" otherwise */
	uint64_t packets;	     /**< of the flow in this direction up to now */
	uint64_t bytes;
	const uint8_t *packet;	     /**< its first bytes, from the Ethernet header on, before translation; borrowed as the event; NULL unless capture_bytes asked for them */
	uint32_t packet_bytes;	     /**< how many there are */
	uint32_t reserved;
};

/** See cilium-lite/filter.h. */
struct clite_filters;

/** A subscription. A child of its context. @since 0.1 */
struct clite_subscription;

/** What to get. @since 0.1 */
struct clite_subscribe_opts {
	size_t sz;	      /**< sizeof(struct clite_subscribe_opts) */
	uint32_t types;	      /**< bits 1 << CLITE_EVENT_*; 0: all */
	uint32_t aggregation; /**< CLITE_AGGREGATE_* + 1; 0: medium */
	uint32_t ring_bytes;  /**< a power of two and a multiple of the page size; 0: 1 MiB */
	uint32_t capture_bytes; /**< first bytes of each packet that are wanted, up to 16384; the ring must hold at least 4 such events; 0: none */
	void (*destroy)(void *userdata); /**< called once, when no callback comes any more; may be NULL */
	struct clite_filters *filters; /**< events that pass them (cilium-lite/filter.h); what can be decided from a packet's numbers the datapath decides, and the others never reach the ring; a reference is taken, and the set does not change any more; NULL: all */
};

/** Subscribe to events: clite_dispatch() calls cb for each.
 *
 * \param cb  gets a borrowed event, valid during the call. May call functions of
 *	      this context that read (clite_event_text(), clite_rule_get(), ...) and
 *	      clite_unsubscribe(); not clite_dispatch(). A negative return ends the
 *	      dispatch and is returned by it; nothing is lost.
 * \param ret drop it with clite_unsubscribe()
 * \retval -EINVAL a bad argument or option
 * \retval -ENOSPC all 8 subscriber slots of the instance are in use
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * \retval -ENOMEM no memory for the ring
 * On failure destroy is not called.
 * @since 0.1
 */
CLITE_API int clite_subscribe(struct clite_ctx *ctx, const struct clite_subscribe_opts *opts,
			      int (*cb)(const struct clite_event *event, void *userdata),
			      void *userdata, struct clite_subscription **ret);

/** End a subscription; its destroy is called. NULL is accepted.
 * \return NULL. @since 0.1 */
CLITE_API struct clite_subscription *clite_unsubscribe(struct clite_subscription *sub);

/** Events that the datapath could not write because the ring was full, since
 * the subscription began.
 * \retval -EINVAL a NULL argument
 * @since 0.1
 */
CLITE_API int clite_subscription_lost(struct clite_subscription *sub, uint64_t *ret);

/** Write an event as one line of text, as "hubble observe" prints it (compact),
 * with names of endpoints and the rule that decided. No newline.
 *
 * \param buf   gets the text, ended with NUL, cut off if it is longer; may be NULL with size 0
 * \retval -EINVAL a NULL argument, or an event with another sz
 * \retval -ECHILD, -ESTALE as above
 * \return length of the whole text, as snprintf(3)
 * @since 0.1
 */
CLITE_API int clite_event_text(struct clite_ctx *ctx, const struct clite_event *event, char *buf,
			       size_t size);

/** Write an event as Hubble's JSON: an object with a member "flow" as "hubble
 * observe -o json" prints it. As clite_event_text() otherwise. @since 0.1 */
CLITE_API int clite_event_json(struct clite_ctx *ctx, const struct clite_event *event, char *buf,
			       size_t size);

/** Cilium's text for a drop reason, such as "Policy denied" for 133; NULL for a
 * number that is none. Thread class: safe. Source: pkg/monitor/api/drop.go.
 * @since 0.1 */
CLITE_API const char *clite_drop_reason_text(uint32_t reason);

/** Hubble's name for a drop reason, such as "POLICY_DENIED" for 133; NULL for a
 * number that has none. Thread class: safe. Source: api/v1/flow/flow.proto.
 * @since 0.1 */
CLITE_API const char *clite_drop_reason_name(uint32_t reason);

/** Cilium's text for a trace observation point, such as "to-endpoint" for 0;
 * NULL for a number that is none. Thread class: safe. @since 0.1 */
CLITE_API const char *clite_trace_point_text(uint32_t point);

#ifdef __cplusplus
}
#endif

#endif
