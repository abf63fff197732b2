/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Rehearsals: what a change of policies would do to the flows that are there.
 *
 * A transaction that is not committed is the candidate. From the start of the
 * rehearsal on each flow that is seen is judged by the policies in force and by
 * the candidate; flows that the candidate would treat differently are told.
 * Traffic is not touched. Then clite_rehearsal_commit() commits exactly that
 * candidate.
 *
 * Thread class of this group: strict.
 */
#ifndef CILIUM_LITE_REHEARSE_H
#define CILIUM_LITE_REHEARSE_H

#include <cilium-lite/event.h>
#include <cilium-lite/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A rehearsal. A child of its context. @since 0.1 */
struct clite_rehearsal;

/** Options of a rehearsal. @since 0.1 */
struct clite_rehearse_opts {
	size_t sz;	      /**< sizeof(struct clite_rehearse_opts) */
	uint32_t flags;	      /**< CLITE_REHEARSE_* */
	uint32_t ring_bytes;  /**< as in struct clite_subscribe_opts */
};

/** \name Flags of a rehearsal.
 * @{ */
#define CLITE_REHEARSE_FED (1u << 0) /**< do not subscribe: judge only what clite_rehearsal_feed() brings */
/** @} */

/** A flow that the candidate would treat differently. @since 0.1 */
struct clite_rehearsal_flow {
	size_t sz;
	const struct clite_event *event; /**< by which it was seen */
	uint32_t live_verdict;		 /**< CLITE_VERDICT_* of the policies in force: FORWARDED, DROPPED, or AUDIT, denied but audited */
	uint32_t candidate_verdict;	 /**< CLITE_VERDICT_* of the candidate */
	uint32_t live_reason;		 /**< drop reason 133 or 181 (Cilium's numbers), also of what is audited; 0: nothing denies it */
	uint32_t candidate_reason;
	uint32_t live_direction;	 /**< where it was decided: CLITE_INGRESS, CLITE_EGRESS; 0: nothing is enforced */
	uint32_t candidate_direction;
	const struct clite_rule_info *live_rule;      /**< the rule that decides; NULL: none */
	const struct clite_rule_info *candidate_rule; /**< its cookie is that of no rule yet if the candidate brings it */
};

/** What a rehearsal has seen. @since 0.1 */
struct clite_rehearsal_counts {
	size_t sz;
	uint64_t events;  /**< that were judged */
	uint64_t flows;	  /**< distinct ones; those beyond 65536 may count again */
	uint64_t allowed; /**< of them: denied now, would be allowed; or dropped now, would be audited */
	uint64_t denied;  /**< of them: allowed now, would be denied; or audited now, would be dropped */
	uint64_t lost;	  /**< events that came too fast: flows may have been missed */
};

/** Begin a rehearsal of what is in a transaction.
 *
 * Events come while clite_dispatch() runs. The rehearsal sees new flows and, at
 * their next packet, old ones (medium aggregation); replies and what is dropped
 * for other reasons than policy are not judged. A flow is judged by both of its
 * ends, as far as they are endpoints.
 *
 * \param txn   may be changed, committed or freed while the rehearsal goes on; the
 *		rehearsal is about what is in it now
 * \param opts  may be NULL
 * \param cb    called once for each flow that would change; gets a borrowed
 *		struct, valid during the call; may call what a callback of
 *		clite_subscribe() may. A negative return ends the dispatch, as there
 * \param ret   end it with clite_rehearsal_free()
 * \retval -EINVAL a NULL argument or a bad option
 * \retval -CLITE_EUNSUPPORTED the candidate could not be committed: clite_error()
 *	   names what it needs
 * \retval -ENOSPC all 8 subscriber slots of the instance are in use
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * \retval -ENOMEM no memory
 * @since 0.1
 */
CLITE_API int clite_policy_rehearse(struct clite_txn *txn, const struct clite_rehearse_opts *opts,
				    int (*cb)(const struct clite_rehearsal_flow *flow,
					      void *userdata),
				    void *userdata, struct clite_rehearsal **ret);

/** Judge a flow that was saved. Its identities are found anew by its addresses;
 * only where this instance does not know those the event's identities count.
 *
 * \param event  needs family, protocol, addresses, ports or ICMP type; is_reply and
 *		 drop_reason as they were
 * \retval -EINVAL a NULL argument, or an event with another sz
 * \retval -ECHILD, -ESTALE, -ENOMEM as above
 * \return 1: it would change (the callback was called); 0: it would not, or is
 *	   not judged; or what the callback returned, if negative
 * @since 0.1
 */
CLITE_API int clite_rehearsal_feed(struct clite_rehearsal *rehearsal,
				   const struct clite_event *event);

/** What was seen up to now.
 * \param ret  its sz must be set
 * \retval -EINVAL a NULL argument or a wrong sz
 * @since 0.1
 */
CLITE_API int clite_rehearsal_counts(struct clite_rehearsal *rehearsal,
				     struct clite_rehearsal_counts *ret);

/** Bring exactly what was rehearsed into force. The transaction that it began with
 * is not needed any more, and stays as it is.
 *
 * \retval -EAGAIN the policies in force are not those any more with which the rehearsal
 *	   began: nothing was changed; begin another one
 * \retval others as clite_txn_commit()
 * \return the new revision's low 31 bits
 * @since 0.1
 */
CLITE_API int clite_rehearsal_commit(struct clite_rehearsal *rehearsal);

/** End a rehearsal. NULL is accepted.
 * \return NULL. @since 0.1 */
CLITE_API struct clite_rehearsal *clite_rehearsal_free(struct clite_rehearsal *rehearsal);

#ifdef __cplusplus
}
#endif

#endif
