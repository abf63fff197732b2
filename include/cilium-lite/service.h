/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Services: one address and port in front of many back ends.
 *
 * Packets to a service's address go to one of its back ends, replies come back from the
 * service's address: those of endpoints, and, if its kind is not CLITE_KIND_CLUSTER_IP, what
 * the world sends to an uplink (clite_device_attach()). A flow keeps its back end as long as
 * that is there. A back end elsewhere that is reached for the world sees the address of the
 * uplink that leads to it, so that its answers come back (but see CLITE_MODE_DSR);
 * net.ipv4.ip_forward and net.ipv6.conf.all.forwarding must be on for that.
 *
 * Thread class of this group: strict.
 */
#ifndef CILIUM_LITE_SERVICE_H
#define CILIUM_LITE_SERVICE_H

#include <cilium-lite/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** \name How a back end is chosen; numbers of Cilium's load balancer.
 * @{ */
#define CLITE_LB_RANDOM 1u
#define CLITE_LB_MAGLEV 2u /**< by a hash of the flow: consistent when back ends change */
/** @} */

/** \name How packets get to the back end.
 * @{ */
#define CLITE_MODE_SNAT 0u /**< translated, and the answers translated back */
/** From an uplink: only the destination is translated, and a back end on another node sees the
 * client. That node runs the datapath too, has the back end as an endpoint and the uplink
 * attached with CLITE_DEVICE_DSR; it is told the service in an IP option of a flow's first
 * packets (and of one every 5 s) and answers the client itself, past the balancer. Back ends
 * on this host, and flows of endpoints, are as with SNAT. TCP by DSR and UDP by SNAT
 * (Cilium's "hybrid") are two services with a mode each. @since 0.1 */
#define CLITE_MODE_DSR 1u
#define CLITE_MODE_IPIP 2u /**< from an uplink in an outer packet: IPv4 in IPv4, IPv6 in IPv6 */
#define CLITE_MODE_GUE 3u  /**< the same behind a UDP header: GUE, variant 1 */
/** @} */

/** \name States of a back end; numbers of Cilium's.
 * @{ */
#define CLITE_BACKEND_ACTIVE 0u
#define CLITE_BACKEND_TERMINATING 1u /**< keeps its flows, gets new ones only if none is active */
#define CLITE_BACKEND_QUARANTINED 2u /**< keeps its flows, gets no new ones */
#define CLITE_BACKEND_MAINTENANCE 3u /**< keeps its flows, gets no new ones */
/** @} */

/** \name For whom a service is, in Kubernetes' terms. To the datapath all but CLUSTER_IP are
 * alike: addresses and ports that the world may use, too.
 * @{ */
#define CLITE_KIND_CLUSTER_IP 0u /**< for endpoints, and processes in cgroups. A packet of the world to it that comes in by an uplink is dropped with Cilium's reason 174. (With another mode than SNAT: STANDALONE) */
#define CLITE_KIND_NODE_PORT 1u	 /**< a port of an address of this host */
#define CLITE_KIND_EXTERNAL_IP 2u
#define CLITE_KIND_LOAD_BALANCER 3u
#define CLITE_KIND_HOST_PORT 4u
#define CLITE_KIND_STANDALONE 5u /**< nothing of Kubernetes' */
/** @} */

/** \name What a service does.
 * @{ */
/** For the world only back ends on this host: endpoints of the instance, and the host itself
 * (Kubernetes: externalTrafficPolicy Local). */
#define CLITE_SERVICE_EXTERNAL_LOCAL 1u
/** The same for endpoints (internalTrafficPolicy Local). */
#define CLITE_SERVICE_INTERNAL_LOCAL 2u
/** sources are those who may not use it, not those who may. */
#define CLITE_SERVICE_SOURCES_DENY 4u
/** Without a back end its TCP, UDP and SCTP packets are answered with "port unreachable" (ICMP),
 * so that connecting fails at once. Both ways they are dropped with reason 158. (Cilium:
 * service-no-backend-response=reject.) */
#define CLITE_SERVICE_REJECT 8u
/** @} */

/** A back end. @since 0.1 */
struct clite_backend {
	const char *address; /**< of the service's family */
	uint16_t port;	     /**< 0: the service's */
	uint16_t weight;     /**< share of new flows; 0: 1 */
	uint32_t state;	     /**< CLITE_BACKEND_* */
};

/** A service to make or to change. @since 0.1 */
struct clite_service_opts {
	size_t sz;		/**< sizeof(struct clite_service_opts) */
	const char *address;	/**< IPv4 or IPv6 */
	const char *name;	/**< for people, events and policies (toServices), "namespace/name"; without a namespace it is in "default"; NULL: none */
	const struct clite_backend *backends;
	size_t nbackends;	/**< 0: packets are dropped with Cilium's reason 158; see CLITE_SERVICE_REJECT */
	uint32_t protocol;	/**< IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP; 0: TCP. Ports of SCTP are not translated: those of back ends must be the service's */
	uint32_t algorithm;	/**< CLITE_LB_*; 0: random */
	uint16_t port;		/**< 1 to 65535 */
	uint16_t reserved;	/**< must be 0 */
	uint32_t id;		/**< number wanted for a new service; 0: the next free one */
	const char *const *labels; /**< "source:key=value", for selectors of services in policies; ends with NULL; NULL: none */
	const char *const *sources; /**< prefixes of clients in the world that may use it (or may not: SOURCES_DENY), of either family; ends with NULL; NULL: all may. A new flow from elsewhere is dropped with Cilium's reason 177 */
	uint32_t flags;		/**< CLITE_SERVICE_* */
	uint32_t affinity;	/**< seconds after its last flow that a client (an address) keeps its back end, at most 86400; 0: no affinity */
	uint32_t mode;		/**< CLITE_MODE_*: with IPIP and GUE, back ends have the service's port and address, answer clients themselves, and are chosen by a hash of the flow */
	uint32_t kind;		/**< CLITE_KIND_*: for whom it is */
};

/** A service as it is. @since 0.1 */
struct clite_service_info {
	size_t sz;
	uint32_t id;	    /**< 1 and up */
	uint32_t protocol;
	uint32_t algorithm;
	uint16_t port;
	uint16_t reserved;
	const char *address;
	const char *name;   /**< "" if none */
	const struct clite_backend *backends;
	size_t nbackends;
	const char *const *labels; /**< sorted, with sources; ends with NULL */
	const char *const *sources; /**< ends with NULL */
	uint32_t flags;
	uint32_t affinity;  /**< seconds */
	uint32_t mode;	    /**< CLITE_MODE_* */
	uint32_t kind;	    /**< CLITE_KIND_* */
};

/** Make a service, or change the one of this address, port and protocol: at
 * once and whole. Flows of back ends that are gone are given up; the others
 * stay.
 *
 * \param ret_id  its number; may be NULL
 * \retval -EINVAL a bad address, port, protocol, state, prefix or option; families mixed
 * \retval -EEXIST the wanted number is another service's
 * \retval -ENOSPC a map is full: the text names it and its size
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * \retval -EBUSY another process is changing the instance and did not end within 5 s
 * @since 0.1
 */
CLITE_API int clite_service_update(struct clite_ctx *ctx, const struct clite_service_opts *opts,
				   uint32_t *ret_id);

/** Options of an import of services. @since 0.1 */
struct clite_service_import_opts {
	size_t sz;	      /**< sizeof(struct clite_service_import_opts) */
	const char *filename; /**< for messages; NULL: "<memory>" */
	const char *source;   /**< what was imported is remembered under this name; NULL: filename */
	const char *node;     /**< name of this node, for policies that are Local and for what is near; NULL: they are not looked at */
	const char *zone;     /**< zone of this node; NULL: zones are not looked at */
	const char *const *node_addresses; /**< where ports of nodes (NodePort) are, IPv4 and IPv6; ends with NULL; NULL: nowhere */
	size_t max_bytes;     /**< larger texts are refused with -E2BIG; 0: 16 MiB */
	size_t max_values;    /**< so are those with more values (scalars, lists, maps), or that make more than four services and back ends for each; 0: 1,000,000 */
	size_t max_depth;     /**< and those nested deeper; at most 1024; 0: 64 */
};

/** Make services of Kubernetes' documents, in YAML or JSON, several in a stream: Service,
 * EndpointSlice, Endpoints, lists of them (kind List, or an array), or the file of
 * Cilium's standalone load balancer (services, endpoints).
 *
 * Each address and port of a Service is a service here: cluster IPs, ports of nodes,
 * external IPs, addresses of a load balancer. What an earlier import of the same source
 * brought and is not in the text any more is removed; what has not changed is not
 * touched. So an empty text removes all that the source brought.
 *
 * Headless services and those of type ExternalName have no address and make nothing.
 * Each service changes at once and whole, one after the other; when one fails, those
 * before it have changed, and the next import of the source completes it.
 *
 * Of a Service the addresses, ports, name, labels, session affinity, source ranges (with
 * Cilium's annotation src-ranges-policy), Cilium's annotations lb-algorithm and
 * forwarding-mode (snat, dsr), what is Local and what is near are heeded; without a back
 * end it rejects, as kube-proxy does; loadBalancerClass and health check ports are not.
 *
 * \param text  len bytes
 * \retval -CLITE_EDOCUMENT not a document: clite_error() names file, line, field; nothing
 *	   has changed
 * \retval -CLITE_EUNSUPPORTED a kind or a part of a Service that this library does not
 *	   know; or it was built without libyaml; nothing has changed
 * \retval -E2BIG beyond the limits of opts
 * \retval -EEXIST an address and port is that of a service that the source did not bring;
 *	   nothing has changed
 * \retval -EINVAL no text; a bad option or address of a node
 * \retval -ENOSPC a map is full: the text names it and its size
 * \retval -ECHILD, -ESTALE, -EBUSY as above
 * \return number of services that the source has now
 * @since 0.1
 */
CLITE_API int clite_service_import(struct clite_ctx *ctx, const char *text, size_t len,
				   const struct clite_service_import_opts *opts);

/** Remove a service.
 * \retval -ENOENT no such service
 * \retval -EINVAL, -ECHILD, -ESTALE, -EBUSY as above
 * @since 0.1
 */
CLITE_API int clite_service_delete(struct clite_ctx *ctx, uint32_t id);

/** Look at one service.
 * \param ret  borrowed, valid until the next call on ctx
 * \retval -ENOENT no such service
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * @since 0.1
 */
CLITE_API int clite_service_get(struct clite_ctx *ctx, uint32_t id,
				const struct clite_service_info **ret);

/** Call cb for each service, by number.
 * \param cb  gets a borrowed struct, valid during the call; must not use ctx; a
 *	      negative return ends the walk and is returned
 * \retval -EINVAL, -ECHILD, -ESTALE as above
 * \return number of services
 * @since 0.1
 */
CLITE_API int clite_service_list(struct clite_ctx *ctx,
				 int (*cb)(const struct clite_service_info *info, void *userdata),
				 void *userdata);

#ifdef __cplusplus
}
#endif

#endif
