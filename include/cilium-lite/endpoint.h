/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Endpoints: workloads behind a host-side device (veth, tap).
 *
 * The library sets up nothing on the device but its programs: links, addresses
 * and routes inside the workload are the caller's. The datapath answers the
 * workload's ARP requests and neighbour solicitations for every address but its
 * own, so any gateway address works.
 *
 * Thread class of this group: strict.
 */
#ifndef CILIUM_LITE_ENDPOINT_H
#define CILIUM_LITE_ENDPOINT_H

#include <cilium-lite/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What clite_endpoint_add() can be told. @since 0.1 */
struct clite_endpoint_opts {
	size_t sz;		   /**< sizeof(struct clite_endpoint_opts) */
	const char *name;	   /**< for people and events, such as "default/web-1"; NULL: the device's */
	const char *ipv4;	   /**< its IPv4 address; NULL: none */
	const char *ipv6;	   /**< its IPv6 address; NULL: none; one of the two must be given */
	const char *const *labels; /**< "source:key=value"; source "unspec" if left out; the array ends with NULL; may be NULL: then the endpoint is reserved:init, which may do only what a policy allows it (as in Cilium) */
	const char *mac;	   /**< hardware address inside the workload, "02:00:00:00:00:01"; NULL: found or learned */
	uint32_t id;		   /**< wanted endpoint number, 0: the next free one */
	uint32_t reserved;	   /**< must be 0 */
	const char *const *ports;  /**< names of its ports for policies: "http=80/tcp" (tcp, udp, sctp; tcp if left out); a name has 1 to 15 letters, digits and '-' (RFC 6335), case does not matter; ends with NULL; NULL: none */
};

/** An endpoint as it is. @since 0.1 */
struct clite_endpoint_info {
	size_t sz;
	uint32_t id;		   /**< 1 to 65535 */
	uint32_t identity;	   /**< number of its label set */
	uint32_t ifindex;	   /**< of the host-side device */
	uint32_t ingress_enforced; /**< 1: some policy is in force for what comes to it */
	uint32_t egress_enforced;  /**< 1: some policy is in force for what it sends */
	const char *name;
	const char *device;	   /**< name of the host-side device now; "" if it is gone */
	const char *ipv4;	   /**< "" if none */
	const char *ipv6;	   /**< "" if none */
	const char *mac;	   /**< "" if not known yet */
	const char *const *labels; /**< sorted, with sources; ends with NULL */
	const char *const *ports;  /**< sorted by name, as "http=80/tcp"; ends with NULL */
	uint32_t audit;		   /**< 1: clite_endpoint_set_audit() is on */
	uint32_t reserved;
};

/** Add an endpoint: from the return of this call its packets are policed.
 *
 * \param device  name of the host-side device, in the caller's network namespace
 * \param opts    at least one address
 * \param ret_id  its number; may be NULL
 *
 * \retval -EINVAL bad address, label, MAC or option
 * \retval -ENODEV no such device
 * \retval -EEXIST the device, an address or the wanted number is in use in this instance
 * \retval -ENOSPC a map is full: the text names it and its size
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * \retval -EBUSY another process is changing the instance and did not end within 5 s
 * @since 0.1
 */
CLITE_API int clite_endpoint_add(struct clite_ctx *ctx, const char *device,
				 const struct clite_endpoint_opts *opts, uint32_t *ret_id);

/** Remove an endpoint: its programs, addresses, flows. Its device stays and is
 * not policed any more.
 *
 * \retval -ENOENT no such endpoint
 * \retval -EINVAL, -ECHILD, -ESTALE, -EBUSY as above
 * @since 0.1
 */
CLITE_API int clite_endpoint_remove(struct clite_ctx *ctx, uint32_t id);

/** Switch audit mode of an endpoint: what policies deny to it or from it passes, and
 * verdict events tell it with CLITE_VERDICT_AUDIT and the rule. At once and for
 * running flows, too. Each end of a flow has its say: a denial by the other end's
 * policy still holds.
 *
 * \param on  1: audit, 0: enforce
 * \retval -ENOENT no such endpoint
 * \retval -EINVAL, -ENOSPC, -ECHILD, -ESTALE, -EBUSY as above
 * @since 0.1
 */
CLITE_API int clite_endpoint_set_audit(struct clite_ctx *ctx, uint32_t id, uint32_t on);

/** Look at one endpoint.
 * \param ret  borrowed, valid until the next call on ctx
 * \retval -ENOENT no such endpoint
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * @since 0.1
 */
CLITE_API int clite_endpoint_get(struct clite_ctx *ctx, uint32_t id,
				 const struct clite_endpoint_info **ret);

/** Number of the endpoint with this name, address or device.
 * \retval -ENOENT no such endpoint
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * @since 0.1
 */
CLITE_API int clite_endpoint_find(struct clite_ctx *ctx, const char *what, uint32_t *ret_id);

/** Call cb for each endpoint, by number.
 * \param cb  gets a borrowed struct, valid during the call; must not use ctx; a
 *	      negative return ends the walk and is returned
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * \return number of endpoints
 * @since 0.1
 */
CLITE_API int clite_endpoint_list(struct clite_ctx *ctx,
				  int (*cb)(const struct clite_endpoint_info *info, void *userdata),
				  void *userdata);

#ifdef __cplusplus
}
#endif

#endif
