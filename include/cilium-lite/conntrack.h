/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * The flow table: what is established, with what was decided for it.
 *
 * Thread class of this group: strict.
 */
#ifndef CILIUM_LITE_CONNTRACK_H
#define CILIUM_LITE_CONNTRACK_H

#include <cilium-lite/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** \name Flags of an entry.
 * @{ */
#define CLITE_CT_REPLY 1u      /**< the answering direction */
#define CLITE_CT_NAT 2u	       /**< addresses are rewritten: nat_* */
#define CLITE_CT_SEEN_NON_SYN 4u
#define CLITE_CT_CLOSING 8u    /**< a FIN or RST was seen */
#define CLITE_CT_STALE 16u     /**< policy or service changed: evaluated again at the next packet */
#define CLITE_CT_DSR 32u       /**< of CLITE_MODE_DSR: on a balancer the only entry of its flow, on the back end's node the answering one tells by nat_source which service it is */
/** @} */

/** One direction of a flow. Addresses are text and borrowed. @since 0.1 */
struct clite_ct_info {
	size_t sz;
	const char *source;	     /**< as the packets come */
	const char *destination;
	const char *nat_source;	     /**< as they leave; "" unless CLITE_CT_NAT */
	const char *nat_destination;
	uint32_t protocol;	     /**< IPPROTO_* */
	uint16_t source_port;	     /**< ICMP echo: the identifier, or 0 */
	uint16_t destination_port;
	uint16_t nat_source_port;
	uint16_t nat_destination_port;
	uint32_t flags;		     /**< CLITE_CT_* */
	uint32_t tcp_flags;	     /**< seen in this direction, ORed */
	uint32_t source_endpoint;    /**< 0: outside */
	uint32_t destination_endpoint;
	uint32_t source_identity;
	uint32_t destination_identity;
	uint32_t egress_rule;	     /**< cookie of the rule by which it passes (clite_rule_get()); 0: none */
	uint32_t ingress_rule;
	uint32_t service;	     /**< 0: none */
	uint32_t expires;	     /**< seconds from now, without another packet */
	uint64_t packets;	     /**< in this direction: exact */
	uint64_t bytes;
};

/** Call cb for each live entry. The table changes meanwhile: an entry may be
 * missed or come twice.
 * \param cb  gets a borrowed struct, valid during the call; must not use ctx; a
 *	      negative return ends the walk and is returned
 * \retval -EINVAL ctx or cb is NULL
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * \return number of entries
 * @since 0.1
 */
CLITE_API int clite_conntrack_list(struct clite_ctx *ctx,
				   int (*cb)(const struct clite_ct_info *info, void *userdata),
				   void *userdata);

/** Forget all flows, or those of one endpoint: the next packet of each is judged
 * as a new flow's.
 * \param endpoint  its number, 0: all
 * \retval -ENOENT no such endpoint
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * \return number of entries removed
 * @since 0.1
 */
CLITE_API int clite_conntrack_flush(struct clite_ctx *ctx, uint32_t endpoint);

#ifdef __cplusplus
}
#endif

#endif
