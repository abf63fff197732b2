/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Field masks: which members of a flow are written, as Hubble's fieldMask.
 *
 * Thread class of this group: safe; a mask does not change.
 */
#ifndef CILIUM_LITE_FLOW_MASK_H
#define CILIUM_LITE_FLOW_MASK_H

#include <cilium-lite/flow.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A field mask. Needs no context. Reference counted. @since 0.1 */
struct clite_flow_mask;

/** Make a mask.
 *
 * \param paths  members of a Flow with the names of flow.proto, such as "time", "source",
 *		 "destination.pod_name", "l4.TCP.destination_port"; ends with NULL. One that
 *		 is part of another adds nothing. Into lists no path leads
 * \param errbuf gets what is wrong with a path, and what would be right; may be NULL
 *		 with size 0
 * \param ret    drop it with clite_flow_mask_unref()
 * \retval -EINVAL a NULL argument, no path at all, or one that a Flow does not have
 * \retval -ENOMEM no memory
 * @since 0.1
 */
CLITE_API int clite_flow_mask_new(const char *const *paths, char *errbuf, size_t errbuf_size,
				  struct clite_flow_mask **ret);

/** Take another reference. \return mask, or NULL for NULL. @since 0.1 */
CLITE_API struct clite_flow_mask *clite_flow_mask_ref(struct clite_flow_mask *mask);

/** Drop a reference. NULL is accepted. \return NULL. @since 0.1 */
CLITE_API struct clite_flow_mask *clite_flow_mask_unref(struct clite_flow_mask *mask);

/** Write a flow as clite_flow_json(), with those members only that a mask has. As in
 * Hubble's exporter this holds also for node and time beside the flow.
 *
 * \param mask  NULL: all of them
 * \retval -EINVAL, -ENOMEM as clite_flow_json()
 * \return length of the whole text, as snprintf(3)
 * @since 0.1
 */
CLITE_API int clite_flow_mask_json(const struct clite_flow_mask *mask,
				   const struct clite_flow *flow, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif
