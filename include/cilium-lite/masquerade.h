/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Masquerading: what endpoints send to the world leaves with the address of the uplink.
 *
 * It is for endpoints whose addresses the world does not know. New flows of endpoints to
 * addresses that are neither endpoints' nor the host's, and whose route leads to a device
 * that was given to clite_device_attach(), get that device's address as their source and
 * a port of the range that clite_open() was told; answers find their way back. TCP, UDP and
 * ICMP echo only, and SCTP as far as its ports need no change; other packets of a flow to be
 * masqueraded are dropped with Cilium's reason 168. When no port is free the reason is 167.
 *
 * Thread class of this group: strict.
 */
#ifndef CILIUM_LITE_MASQUERADE_H
#define CILIUM_LITE_MASQUERADE_H

#include <cilium-lite/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** \name For which family.
 * @{ */
#define CLITE_MASQUERADE_IPV4 1u
#define CLITE_MASQUERADE_IPV6 2u
/** @} */

/** What is masqueraded. @since 0.1 */
struct clite_masquerade {
	size_t sz;		    /**< sizeof(struct clite_masquerade) */
	uint32_t flags;		    /**< CLITE_MASQUERADE_*; 0: nothing is, as in a new instance */
	uint32_t reserved;	    /**< must be 0 */
	const char *const *exclude; /**< prefixes to which endpoints go with their own addresses; ends with NULL; NULL: none */
};

/** Say what is masqueraded: new flows follow, those that run stay as they are.
 *
 * \retval -EINVAL a NULL argument, a bad flag or prefix: clite_error() names it
 * \retval -ENOSPC a map is full: the text names it and its size; nothing has changed
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * \retval -EBUSY another process is changing the instance and did not end within 5 s
 * @since 0.1
 */
CLITE_API int clite_masquerade_set(struct clite_ctx *ctx, const struct clite_masquerade *opts);

/** What is masqueraded now.
 * \param ret  borrowed, valid until the next call on ctx; exclude is sorted and never NULL
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * @since 0.1
 */
CLITE_API int clite_masquerade_get(struct clite_ctx *ctx, const struct clite_masquerade **ret);

#ifdef __cplusplus
}
#endif

#endif
