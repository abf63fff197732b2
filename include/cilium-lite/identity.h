/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Identities: numbers for label sets, and the ipcache from address to number.
 *
 * Numbers are Cilium's: reserved ones below 256, label sets from 256, prefixes
 * (local CIDR identities) from 1 << 24. Source: Cilium
 * pkg/identity/numericidentity.go.
 *
 * Thread class of this group: strict, unless a function says safe.
 */
#ifndef CILIUM_LITE_IDENTITY_H
#define CILIUM_LITE_IDENTITY_H

#include <cilium-lite/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** \name Reserved identities.
 * @{ */
#define CLITE_ID_UNKNOWN 0u
#define CLITE_ID_HOST 1u
#define CLITE_ID_WORLD 2u
#define CLITE_ID_UNMANAGED 3u
#define CLITE_ID_HEALTH 4u
#define CLITE_ID_INIT 5u
#define CLITE_ID_REMOTE_NODE 6u
#define CLITE_ID_KUBE_APISERVER 7u
#define CLITE_ID_INGRESS 8u
#define CLITE_ID_WORLD_IPV4 9u
#define CLITE_ID_WORLD_IPV6 10u
#define CLITE_ID_ENCRYPTED_OVERLAY 11u
#define CLITE_ID_FIRST 256u	      /**< first allocated for a label set */
#define CLITE_ID_FIRST_CIDR (1u << 24) /**< first allocated for a prefix */
/** @} */

/** An identity. @since 0.1 */
struct clite_identity_info {
	size_t sz;
	uint32_t id;
	uint32_t endpoints;	   /**< endpoints of this instance that have it */
	const char *const *labels; /**< sorted, with sources; ends with NULL */
};

/** Look at one identity.
 * \param ret  borrowed, valid until the next call on ctx
 * \retval -ENOENT no such identity
 * \retval -EINVAL a NULL argument
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * @since 0.1
 */
CLITE_API int clite_identity_get(struct clite_ctx *ctx, uint32_t id,
				 const struct clite_identity_info **ret);

/** Call cb for each identity, reserved ones too, by number. Rules as for
 * clite_endpoint_list().
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * \return number of identities
 * @since 0.1
 */
CLITE_API int clite_identity_list(struct clite_ctx *ctx,
				  int (*cb)(const struct clite_identity_info *info, void *userdata),
				  void *userdata);

/** Where an ipcache entry comes from. */
#define CLITE_IPCACHE_ENDPOINT 1u /**< an endpoint's address */
#define CLITE_IPCACHE_CIDR 2u	  /**< a prefix that a policy names */
#define CLITE_IPCACHE_USER 3u	  /**< clite_ipcache_set() */

/** An entry of the ipcache. @since 0.1 */
struct clite_ipcache_info {
	size_t sz;
	const char *prefix; /**< with its length: "10.0.0.0/8", "fd00::1/128" */
	uint32_t identity;
	uint32_t endpoint;  /**< 0 unless source is CLITE_IPCACHE_ENDPOINT */
	uint32_t source;    /**< CLITE_IPCACHE_* */
	uint32_t reserved;
};

/** Say which identity an address or prefix has: a reserved one, or one that
 * exists. Longer prefixes win; an endpoint's address is always its own. Sources of packets from outside
 * and destinations of packets to outside are looked up here; what is not found
 * is the host's own, or the world's.
 *
 * \param prefix  "192.0.2.1", "192.0.2.0/24", "2001:db8::/32"
 * \retval -EINVAL no prefix, bits beyond its length, or an identity of a CIDR
 * \retval -ENOENT no such identity
 * \retval -EEXIST the address is an endpoint's
 * \retval -ENOSPC the map is full: the text names it and its size
 * \retval -ECHILD, -ESTALE, -EBUSY as for clite_endpoint_add()
 * @since 0.1
 */
CLITE_API int clite_ipcache_set(struct clite_ctx *ctx, const char *prefix, uint32_t identity);

/** Undo clite_ipcache_set().
 * \retval -ENOENT there is no such entry of clite_ipcache_set()
 * \retval -EINVAL, -ECHILD, -ESTALE, -EBUSY as above
 * @since 0.1
 */
CLITE_API int clite_ipcache_unset(struct clite_ctx *ctx, const char *prefix);

/** Identity of an address, as the datapath would find it: exact, then longest prefix,
 * then world.
 * \retval -EINVAL not an address
 * \retval -ECHILD, -ESTALE as above
 * @since 0.1
 */
CLITE_API int clite_ipcache_get(struct clite_ctx *ctx, const char *address, uint32_t *ret_identity);

/** Call cb for each entry. Rules as for clite_endpoint_list().
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * \return number of entries
 * @since 0.1
 */
CLITE_API int clite_ipcache_list(struct clite_ctx *ctx,
				 int (*cb)(const struct clite_ipcache_info *info, void *userdata),
				 void *userdata);

#ifdef __cplusplus
}
#endif

#endif
