/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Traces: what would become of a packet, and why.
 *
 * A trace is worked out from the state of the instance, without traffic: who the two
 * ends are, which service is translated, which rules match, and where the packet
 * goes. A live one also runs the packet through the loaded programs
 * (BPF_PROG_TEST_RUN) and compares.
 *
 * Thread class of this group: strict.
 */
#ifndef CILIUM_LITE_TRACE_H
#define CILIUM_LITE_TRACE_H

#include <cilium-lite/policy.h>
#include <cilium-lite/service.h>

#ifdef __cplusplus
extern "C" {
#endif

/** \name Flags of a trace.
 * @{ */
#define CLITE_TRACE_LIVE (1u << 0) /**< run it through the programs, too; needs the addresses of both ends, one of which is an endpoint's */
/** @} */

/** What to trace: a packet that begins a flow. Each end is an address, the number of
 * an endpoint, or an identity. An address and an endpoint together: of the source, the
 * endpoint sends with that address, and it is spoofed (132) if it is not its own; of the
 * destination, it must be its own. @since 0.1 */
struct clite_trace_opts {
	size_t sz;			/**< sizeof(struct clite_trace_opts) */
	uint32_t flags;			/**< CLITE_TRACE_* */
	uint32_t protocol;		/**< IPPROTO_TCP, _UDP, _SCTP, _ICMP, _ICMPV6; 0: TCP */
	const char *source;		/**< address; NULL: by the following */
	const char *destination;	/**< address, also of a service; NULL: by the following */
	uint32_t source_endpoint;	/**< 0: found by address, or by identity */
	uint32_t destination_endpoint;	/**< 0: found by address, or by identity */
	uint32_t source_identity;	/**< also of an address that the instance does not know; 0: found. Live: only 1, the host */
	uint32_t destination_identity;	/**< the same; live: 0 */
	uint16_t source_port;		/**< 0: any; live: one that is free */
	uint16_t destination_port;	/**< of ICMP: the type */
	uint32_t backend;		/**< which of a service's active back ends, from 0; 0: what a hash chooses for the source port, else the first; live: 0 */
	const void *packet;		/**< an Ethernet frame with IPv4 or IPv6: addresses, protocol and ports are taken from it, and a live trace runs it; NULL: none */
	size_t packet_len;		/**< bytes */
};

/** \name Where a packet goes.
 * @{ */
#define CLITE_WAY_NONE 0u     /**< nowhere: it is dropped */
#define CLITE_WAY_ENDPOINT 1u /**< to an endpoint's device */
#define CLITE_WAY_HOST 2u     /**< to the host itself */
#define CLITE_WAY_STACK 3u    /**< to the world, by the host's routes */
#define CLITE_WAY_NETWORK 4u  /**< to a back end elsewhere, out of an uplink past the stack */
/** @} */

/** What the policies of one end say. @since 0.1 */
struct clite_trace_step {
	size_t sz;
	uint32_t direction;	/**< CLITE_EGRESS of the source, CLITE_INGRESS of the destination */
	uint32_t endpoint;	/**< whose policies */
	uint32_t peer;		/**< identity of the other end */
	uint32_t enforced;	/**< 0: no policy is in force: it passes */
	uint32_t reason;	/**< drop reason 133 (no rule allows) or 181 (a rule denies); 0: it passes */
	uint32_t audited;	/**< 1: audit mode lets pass what the reason says */
	uint32_t match;		/**< Cilium's match type of the verdict */
	uint32_t reserved;
	const struct clite_rule_info *rule;	    /**< the rule that decides; NULL: none */
	const struct clite_rule_info *const *rules; /**< all that match peer and port */
	size_t nrules;
};

/** A trace. @since 0.1 */
struct clite_trace {
	size_t sz;
	uint32_t verdict;	   /**< CLITE_VERDICT_FORWARDED, _DROPPED */
	uint32_t reason;	   /**< drop reason, Cilium's number: 132 (spoofed), 133, 158 (no back end), 181; 0: it passes */
	uint32_t live;		   /**< 1: the following two are there */
	uint32_t live_verdict;	   /**< of the loaded programs */
	uint32_t live_reason;
	uint32_t agree;		   /**< 1: verdict, reason, translation and way are the same live (also: not live) */
	uint32_t source_endpoint;  /**< 0: none of the instance's */
	uint32_t destination_endpoint;
	uint32_t source_identity;
	uint32_t destination_identity; /**< of whom it goes to, after translation */
	uint32_t protocol;
	uint16_t source_port;	   /**< 0: any */
	uint16_t destination_port; /**< after translation */
	const char *source;	   /**< address; "" if not known */
	const char *destination;   /**< after translation */
	uint32_t service;	   /**< number of the service that is translated; 0: none */
	uint32_t backends;	   /**< how many active back ends it has; one of them was traced */
	const char *service_name;  /**< "" if none */
	uint32_t way;		   /**< CLITE_WAY_* */
	uint32_t ifindex;	   /**< of the endpoint's device, 0: none */
	const struct clite_trace_step *egress;	/**< NULL: the source is no endpoint */
	const struct clite_trace_step *ingress; /**< NULL: the destination is none, or it was dropped before */
	const struct clite_backend *choices;	/**< the active back ends of the service; NULL: no service */
	uint32_t chosen;	   /**< 1: the one traced is the one that the flow gets: the only one, by hash, or live; 0: any of choices may be it */
	uint32_t reserved;
};

/** Trace a packet.
 *
 * Call it in the network namespace of the endpoints' devices: what the host's own
 * addresses are, its routes say.
 *
 * A live trace makes the events that a real packet would, and is counted in the
 * instance's counters and, if a rule denies it, in the hits of that rule. The entries of
 * its flow are taken away again; flows that are there stay. It holds one of the 8
 * places of subscribers while it runs. The frame is made anew, the shortest there is of
 * its protocol; to an endpoint it comes from the host or by way of the host's stack.
 *
 * \param ret  borrowed, valid until the next call on ctx
 * \retval -EINVAL a NULL argument, a bad address, protocol or option, families mixed, or
 *	   too little said for a live trace: clite_error() names it
 * \retval -ENOENT no such endpoint or identity
 * \retval -ENODEV live: a device is not in the network namespace of the caller
 * \retval -EEXIST live: there is such a flow with this source port
 * \retval -EAGAIN live: it was dropped, and the event that says why was lost among others
 * \retval -ENOSPC live: all 8 places of subscribers are in use
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * \retval -ENOMEM no memory
 * @since 0.1
 */
CLITE_API int clite_trace(struct clite_ctx *ctx, const struct clite_trace_opts *opts,
			  const struct clite_trace **ret);

#ifdef __cplusplus
}
#endif

#endif
