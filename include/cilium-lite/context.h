/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Instances: a datapath with its state, and the context through which a process
 * uses it.
 *
 * A named instance is pinned under the bpf file system: its programs go on
 * without any process, and any process may open it again. An ephemeral instance
 * belongs to one process and vanishes with it (attached by clsact, a process that
 * is killed leaves its filters on the devices, until an endpoint is added there
 * again). Several of both may live on a host and in a process.
 *
 * Thread class of this group: strict, unless a function says safe.
 */
#ifndef CILIUM_LITE_CONTEXT_H
#define CILIUM_LITE_CONTEXT_H

#include <cilium-lite/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A context: an open instance. Reference counted. @since 0.1 */
struct clite_ctx;

/** \name Flags of clite_open().
 * @{ */
#define CLITE_OPEN_CREATE 0x1u	    /**< make the instance if it is not there */
#define CLITE_OPEN_EXCLUSIVE 0x2u   /**< with CREATE: -EEXIST if it is there */
#define CLITE_OPEN_EPHEMERAL 0x4u   /**< pin nothing; name may be NULL */
#define CLITE_OPEN_CLSACT 0x8u	    /**< attach by clsact even where the kernel has TCX */
#define CLITE_OPEN_MOUNT_BPFFS 0x10u /**< mount the bpf file system if it is missing */
#define CLITE_OPEN_NEIGH 0x20u	    /**< a new instance sends to the world by neighbour redirect, past the host's netfilter, instead of through its stack */
/** @} */

/** \name How policies are enforced; Cilium's --enable-policy.
 * @{ */
#define CLITE_ENFORCE_DEFAULT 0u /**< endpoints that a policy selects, in the directions that it has rules for */
#define CLITE_ENFORCE_ALWAYS 1u	 /**< every endpoint, both ways: without a policy nothing passes */
#define CLITE_ENFORCE_NEVER 2u	 /**< nobody: policies are kept, everything passes */
/** @} */

/** Settings of an instance, the same for all processes that open it. All are 0 unless
 * struct clite_open_opts brings others. @since 0.1 */
struct clite_config {
	size_t sz;		  /**< sizeof(struct clite_config) */
	uint32_t enforcement;	  /**< CLITE_ENFORCE_* */
	uint32_t allow_localhost; /**< 1: what the host itself sends to an endpoint is allowed unless a rule denies it (Cilium's --allow-localhost=always); 0: by policy */
	uint32_t audit;		  /**< 1: audit mode for every endpoint, see clite_endpoint_set_audit() (Cilium's --policy-audit-mode) */
	uint32_t reserved;	  /**< must be 0 */
};

/** Options of clite_open(). Sizes and settings are read when an instance is made and
 * ignored when it is opened again. @since 0.1 */
struct clite_open_opts {
	size_t sz;		/**< sizeof(struct clite_open_opts) */
	uint32_t flags;		/**< CLITE_OPEN_* */
	uint32_t flows4;	/**< IPv4 flow table entries, two for a flow; 0: 131072 */
	uint32_t flows6;	/**< IPv6 flow table entries, two for a flow; 0: 65536 */
	uint32_t endpoints;	/**< endpoints at most; 0: 4095; at most 65535 */
	uint32_t services;	/**< services at most; 0: 16384 */
	uint32_t policies;	/**< distinct compiled policies at most; 0: 8192 */
	const char *bpffs;	/**< mount point of the bpf file system; NULL: /sys/fs/bpf */
	char *errbuf;		/**< gets the details when clite_open() fails; may be NULL */
	size_t errbuf_size;	/**< bytes in errbuf */
	const struct clite_config *config; /**< settings of a new instance, there from its first moment; NULL: all 0 */
	uint32_t backends;	/**< back ends of all services at most; 0: 65535, or four for each of services if that is more */
	uint16_t snat_first;	/**< ports for translated sources (services' clients, masquerading), inclusive; both 0: 32768 to 65535, Cilium's. Ports that the host's own connections use (net.ipv4.ip_local_port_range) are skipped as long as they do; a range apart from theirs is best */
	uint16_t snat_last;
};

/** Open an instance, or make it.
 *
 * \param name  1 to 63 characters of [A-Za-z0-9_-];
 *		NULL only with CLITE_OPEN_EPHEMERAL
 * \param opts  options, or NULL for all defaults
 * \param ret   the context; drop it with clite_close()
 *
 * Needs CAP_BPF and CAP_NET_ADMIN (CAP_PERFMON too), or root.
 *
 * \retval -EPERM a capability is missing: the text names it
 * \retval -ENOENT no such instance, and no CLITE_OPEN_CREATE
 * \retval -EEXIST it is there, and CLITE_OPEN_EXCLUSIVE was given
 * \retval -EINVAL a bad name, option or flag
 * \retval -CLITE_ENOBPFFS no bpf file system there: the text says how to mount it
 * \retval -CLITE_ELAYOUT the instance has a layout that this library does not know
 * \retval -CLITE_EUNSUPPORTED the kernel lacks a feature: the text names it
 * \retval -ENOMEM no memory, or above the limit of locked memory
 * @since 0.1
 */
CLITE_API int clite_open(const char *name, const struct clite_open_opts *opts,
			 struct clite_ctx **ret);

/** Take another reference. \return ctx, or NULL for NULL. @since 0.1 */
CLITE_API struct clite_ctx *clite_ref(struct clite_ctx *ctx);

/** Drop a reference; with the last one the context is closed. The state of a
 * named instance and its attached programs stay. NULL is accepted.
 * \return NULL. @since 0.1 */
CLITE_API struct clite_ctx *clite_close(struct clite_ctx *ctx);

/** Take the instance away: detach all its programs, remove its pins. The context
 * is still to be closed; every other call on it returns -ESTALE then.
 *
 * \retval -EINVAL ctx is NULL
 * \retval -ECHILD called in a child after fork(2)
 * \retval -EBUSY another process is changing the instance
 * \retval -ESTALE the instance is gone already
 * @since 0.1
 */
CLITE_API int clite_destroy(struct clite_ctx *ctx);

/** Details of the last failure on this context: borrowed, valid until the next
 * call on it. Never NULL; "" when nothing failed. @since 0.1 */
CLITE_API const char *clite_error(struct clite_ctx *ctx);

/** Name of the instance: borrowed, valid as long as the context. For an
 * ephemeral instance opened without one: "". @since 0.1 */
CLITE_API const char *clite_name(struct clite_ctx *ctx);

/** What an instance is and holds. @since 0.1 */
struct clite_status {
	size_t sz;
	const char *name;	 /**< borrowed */
	const char *path;	 /**< pin directory; "" for an ephemeral instance */
	const char *attach;	 /**< "tcx" or "clsact" */
	uint32_t ephemeral;	 /**< 1 if so */
	uint32_t layout;	 /**< version of the map layout */
	uint64_t revision;	 /**< grows with every change of state */
	uint32_t endpoints;	 /**< how many there are */
	uint32_t identities;	 /**< allocated ones: label sets and CIDRs */
	uint32_t policies;	 /**< named policies */
	uint32_t policy_tables;	 /**< distinct compiled policies in force */
	uint32_t services;
	uint32_t subscribers;	 /**< live subscriber slots */
	uint64_t map_bytes;	 /**< kernel memory of the maps, bytes */
	uint64_t forwarded;	 /**< packets, since the instance was made */
	uint64_t dropped;	 /**< packets */
	uint32_t flows4_max;	 /**< size of the IPv4 flow table, entries */
	uint32_t flows6_max;
	uint32_t devices;	 /**< uplinks attached with clite_device_attach() */
	uint32_t neigh;		 /**< 1 if CLITE_OPEN_NEIGH */
	uint32_t cgroups;	 /**< attached with clite_cgroup_attach() */
	uint32_t xdp_native;	 /**< uplinks whose driver runs the balancer: CLITE_DEVICE_XDP */
	uint32_t xdp_generic;	 /**< uplinks for which the stack runs it */
	uint32_t reserved;
};

/** Ask an instance how it is.
 *
 * \param ret  borrowed, valid until the next call on ctx
 * \retval -EINVAL a NULL argument
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * @since 0.1
 */
CLITE_API int clite_status(struct clite_ctx *ctx, const struct clite_status **ret);

/** Packets counted by reason and direction. @since 0.1 */
struct clite_counter_info {
	size_t sz;
	uint32_t reason;    /**< 0 forwarded, else Cilium's drop reason (clite_drop_reason_text()) */
	uint32_t direction; /**< CLITE_INGRESS, CLITE_EGRESS */
	uint64_t packets;
	uint64_t bytes;
};

/** Call cb for each counter that is not zero.
 *
 * \param cb  gets a borrowed struct, valid during the call; must not use ctx;
 *	      a negative return ends the walk and is returned
 * \retval -EINVAL ctx or cb is NULL
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * \return number of counters
 * @since 0.1
 */
CLITE_API int clite_counter_list(struct clite_ctx *ctx,
				 int (*cb)(const struct clite_counter_info *info, void *userdata),
				 void *userdata);

/** A kernel feature that the library looks for. @since 0.1 */
struct clite_feature {
	size_t sz;
	const char *name;   /**< such as "tcx"; static */
	const char *reason; /**< why it is there or not, for people; static or valid during the callback */
	uint32_t present;   /**< 1 if the kernel has it */
	uint32_t required;  /**< 1 if nothing works without it */
};

/** Try what this kernel can do by doing it. Needs the capabilities of clite_open().
 *
 * Thread class: safe. Leaves nothing behind.
 *
 * \param cb  as for clite_counter_list()
 * \retval -EINVAL cb is NULL
 * \return number of features
 * @since 0.1
 */
CLITE_API int clite_probe(int (*cb)(const struct clite_feature *feature, void *userdata),
			  void *userdata);

/** Call cb with the name of each pinned instance.
 *
 * Thread class: safe.
 *
 * \param bpffs  mount point, NULL: /sys/fs/bpf
 * \retval -EINVAL cb is NULL
 * \retval -CLITE_ENOBPFFS no bpf file system there
 * \retval -EPERM it may not be read
 * \return number of instances
 * @since 0.1
 */
CLITE_API int clite_instance_list(const char *bpffs, int (*cb)(const char *name, void *userdata),
				  void *userdata);

/** One file descriptor for an event loop: readable (poll, epoll) when
 * clite_dispatch() has something to do. Borrowed: do not close it.
 *
 * \retval -EINVAL ctx is NULL
 * \retval -ECHILD called in a child after fork(2)
 * @since 0.1
 */
CLITE_API int clite_fd(struct clite_ctx *ctx);

/** Deliver events to the subscriptions of this context and renew their leases.
 * Never blocks.
 *
 * \param budget  records at most, also those that filters keep back; 0: as many as are there
 *		  now, of each subscription up to what its ring holds
 * \return number of records delivered, or the negative value that a callback
 *	   returned (the record counts as delivered, the rest stays)
 * \retval -EINVAL ctx is NULL
 * \retval -EDEADLK called from a callback of the same context
 * \retval -ECHILD called in a child after fork(2)
 * @since 0.1
 */
CLITE_API int clite_dispatch(struct clite_ctx *ctx, uint32_t budget);

/** Read the settings.
 * \param ret  its sz must be set
 * \retval -EINVAL a NULL argument or a wrong sz
 * \retval -ECHILD, -ESTALE as for clite_destroy()
 * @since 0.1
 */
CLITE_API int clite_config_get(struct clite_ctx *ctx, struct clite_config *ret);

/** Change the settings: all of them, for all endpoints at once, also for running
 * flows.
 * \retval -EINVAL a NULL argument or a bad value: clite_error() names it
 * \retval -ENOSPC a map is full: the text names it and its size; nothing has changed
 * \retval -ECHILD, -ESTALE, -EBUSY as for clite_destroy()
 * @since 0.1
 */
CLITE_API int clite_config_set(struct clite_ctx *ctx, const struct clite_config *config);

/** Attach the datapath to an uplink: packets from the world to endpoints are
 * policed there and delivered past the host's stack, those to services go to their
 * back ends. Without it packets to endpoints come through the stack, and
 * services are for endpoints only.
 *
 * Back ends elsewhere, and what endpoints reach by masquerading, see the first address of
 * each family that the device has now (of IPv6 a global one): attach it again after a change.
 *
 * \param device  name of the network device
 * \retval -EINVAL a NULL argument
 * \retval -ENODEV no such device in the network namespace of the caller
 * \retval -EEXIST it is attached, or an endpoint's
 * \retval -ECHILD, -ESTALE, -EBUSY as for clite_destroy()
 * @since 0.1
 */
CLITE_API int clite_device_attach(struct clite_ctx *ctx, const char *device);

/** \name Flags of clite_device_attach_opts().
 * @{ */
#define CLITE_DEVICE_XDP 0x1u	      /**< load balancing at XDP, by the driver if it can, else by the stack: clite_status() tells */
#define CLITE_DEVICE_XDP_GENERIC 0x2u /**< at XDP, by the stack */
/** Balancers with services of CLITE_MODE_DSR are behind this uplink: an IP option in a packet
 * of a new flow to an endpoint names the service that the endpoint answers as. Whoever can
 * send such packets to the uplink decides what address and port the answers to him have, any
 * but another endpoint's; so the network before it must drop from outside what has the
 * option: IPv4 type 0x9a, IPv6 destination option 0x1b. Policies judge the client as ever.
 * Without this flag the option says nothing. */
#define CLITE_DEVICE_DSR 0x4u
/** @} */

/** Options of clite_device_attach_opts(). What is not about the device is the instance's:
 * 0 or NULL leaves it as it is. Sizes and new_flows are read when the first uplink is
 * attached with XDP. @since 0.1 */
struct clite_device_opts {
	size_t sz;	     /**< sizeof(struct clite_device_opts) */
	uint32_t flags;	     /**< CLITE_DEVICE_* */
	uint32_t flows4;     /**< IPv4 flows that XDP remembers, on all CPUs together, 32 bytes each; 0: 262144 */
	uint32_t flows6;     /**< IPv6 flows, 64 bytes each; 0: 32768 */
	uint32_t new_flows;  /**< that each CPU remembers in a second at most; what is beyond is sent on all the same; 0: 125000 */
	uint16_t gue_port;   /**< UDP port of back ends for CLITE_MODE_GUE; at first 6080 */
	uint16_t reserved;   /**< must be 0 */
	uint32_t reserved2;  /**< must be 0 */
	const char *source4; /**< source of outer packets, or a prefix: of that an address for each flow, so that back ends spread them over their receive queues; at first what the routing table says */
	const char *source6;
};

/** Attach the datapath to an uplink with options. Besides what clite_device_attach()
 * says, packets to services of CLITE_MODE_IPIP and CLITE_MODE_GUE go to their back ends from
 * there. With XDP that happens before the stack sees them; what XDP cannot do (a next
 * hop that is not known yet, IP options, fragments) is done at tc.
 *
 * \param opts  options, or NULL for all defaults
 * \retval -EINVAL also: a bad option
 * \retval -EBUSY also: another XDP program is there
 * \retval -EOPNOTSUPP the device takes no XDP program
 * \retval -EINVAL, -ENODEV, -EEXIST, -ECHILD, -ESTALE as for clite_device_attach()
 * @since 0.1
 */
CLITE_API int clite_device_attach_opts(struct clite_ctx *ctx, const char *device,
				       const struct clite_device_opts *opts);

/** Undo clite_device_attach() and clite_device_attach_opts().
 * \retval -ENOENT it is not attached
 * \retval -EINVAL, -ECHILD, -ESTALE, -EBUSY as above
 * @since 0.1
 */
CLITE_API int clite_device_detach(struct clite_ctx *ctx, const char *device);

#ifdef __cplusplus
}
#endif

#endif
