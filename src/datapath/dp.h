/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel side of an instance: its maps, programs, pins. */
#pragma once

#include "clite_layout.h"
#include "util/util.h"

enum dp_map {
	MAP_CONTROL,
	MAP_ENDPOINTS,
	MAP_DEVICES,
	MAP_ADDRESSES,
	MAP_IPCACHE,
	MAP_POLICIES,
	MAP_PORTS,
	MAP_PEERS,
	MAP_VERDICTS,
	MAP_HITS,
	MAP_SERVICES,
	MAP_SERVICE_GENS,
	MAP_BACKENDS,
	MAP_SLOTS,
	MAP_AFFINITY,
	MAP_SOURCES,
	MAP_UPLINKS,
	MAP_FLOW4,
	MAP_FLOW6,
	MAP_FRAGS,
	MAP_RINGS,
	MAP_FILTERS,
	MAP_LOST,
	MAP_METRICS,
	MAP_PROGRAMS,
	MAP_STORE,
	MAP_ALWAYS_, /* what follows comes with the programs that use it: objects.c */
	MAP_SOCKETS = MAP_ALWAYS_,
	MAP_CACHE4,
	MAP_CACHE6,
	MAP_HOPS,
	MAP_PACES,
	MAP_COUNT_,
};

enum dp_prog {
	PROG_FROM_ENDPOINT,
	PROG_TO_ENDPOINT,
	PROG_FROM_NETDEV,
	PROG_TO_NETDEV,
	PROG_SLOW,
	PROG_CLOCK,
	PROG_ALWAYS_, /* what follows is loaded when it is first needed: objects.c */

	/* on cgroups, in the order in which they are attached: what translates back first */
	PROG_SOCK_FIRST = PROG_ALWAYS_,
	PROG_SOCK_GETPEERNAME4 = PROG_SOCK_FIRST,
	PROG_SOCK_GETPEERNAME6,
	PROG_SOCK_RECVMSG4,
	PROG_SOCK_RECVMSG6,
	PROG_SOCK_RELEASE,
	PROG_SOCK_POST_BIND4,
	PROG_SOCK_POST_BIND6,
	PROG_SOCK_SENDMSG4,
	PROG_SOCK_SENDMSG6,
	PROG_SOCK_CONNECT4,
	PROG_SOCK_CONNECT6,
	PROG_SOCK_LAST = PROG_SOCK_CONNECT6,

	PROG_FROM_XDP,
	PROG_COUNT_,
};

/* An element of an array map of __u32: the kernel rounds it up to eight. */
struct dp_u32 {
	uint32_t v;
	uint32_t pad;
};

/* Attachment of an ephemeral instance: lives as long as the fd (TCX), or until
 * it is detached (clsact). */
struct dp_link {
	uint32_t ifindex;
	enum dp_prog prog;
	int fd; /* -1: clsact */
};

/* The same on a cgroup. */
struct dp_cgroup_link {
	uint64_t id;
	enum dp_prog prog;
	int fd;
};

struct dp {
	char *name;
	char *path;  /* pin directory; NULL: ephemeral */
	int lock_fd; /* the directory, -1: ephemeral */
	int sync_fd; /* see dp_synchronize() */
	int map_fd[MAP_COUNT_];
	uint32_t map_max[MAP_COUNT_];
	int prog_fd[PROG_COUNT_];
	uint32_t hz; /* of jiffies64 */
	int64_t jiffies_offset; /* jiffies64 less CLOCK_MONOTONIC in ticks */
	uint32_t ncpus;

	/* maps that are memory */
	struct dp_control *control;
	struct dp_ep *eps;
	struct dp_policy *policies;
	struct dp_port_interval *ports;
	struct dp_u32 *service_gens;
	struct dp_backend *backends;
	struct dp_u32 *slots;

	struct dp_link *links; /* ephemeral only */
	size_t nlinks, links_cap;
	struct dp_cgroup_link *cgroup_links; /* ephemeral only */
	size_t ncgroup_links, cgroup_links_cap;
};

struct dp_params {
	const char *name; /* NULL or "": ephemeral without one */
	const char *bpffs;
	bool create, exclusive, ephemeral, clsact, mount, neigh;
	uint32_t flows4, flows6, endpoints, services, backends, policies;
	uint16_t snat_first, snat_last;
	const void *settings; /* of a new instance, for the store */
	size_t settings_size;
};

#define DP_BPFFS "/sys/fs/bpf"
#define DP_DIR "cilium-lite"

/* load.c */
int dp_open(const struct dp_params *params, struct dp **ret, struct errtext *err);
struct dp *dp_close(struct dp *dp); /* an ephemeral one is gone then; returns NULL */
int dp_destroy(struct dp *dp, struct errtext *err);
int dp_instances(const char *bpffs, int (*cb)(const char *name, void *data), void *data,
		 struct errtext *err);
/* Hold the instance against other writers; -EBUSY after five seconds. */
int dp_lock(struct dp *dp, struct errtext *err);
void dp_unlock(struct dp *dp);
/* Wait until no packet is in a program that began before now. */
void dp_synchronize(struct dp *dp);

/* objects.c: programs that not every instance needs, loaded with its maps when
 * something first asks for them, and pinned beside the others */
struct bpf_object;
/* Are they there, loaded by this process or by another since it opened the instance? */
bool dp_object_open(struct dp *dp, enum dp_prog first, enum dp_prog last);
/* Before an object is loaded: its maps are those of the instance. -ENOENT for one that
 * the instance does not have. */
/* A map that comes with an object, and was left without its programs. */
void dp_map_forget(struct dp *dp, enum dp_map map);
int dp_object_share(struct dp *dp, struct bpf_object *obj);
/* Has this process, or another one, loaded programs first to last (PROG_*)? Then they and
 * the maps that came with them are the instance's, for this process too. */
bool dp_object_find(struct dp *dp, enum dp_prog first, enum dp_prog last);
/* After the load: they become so. */
int dp_object_take(struct dp *dp, struct bpf_object *obj, enum dp_prog first, enum dp_prog last,
		   struct errtext *err);

/* attach.c */
int dp_attach(struct dp *dp, enum dp_prog prog, uint32_t ifindex, struct errtext *err);
/* -ENOENT when it is not attached. The device may be gone. */
int dp_detach(struct dp *dp, enum dp_prog prog, uint32_t ifindex);
bool dp_attached(struct dp *dp, enum dp_prog prog, uint32_t ifindex);
bool dp_have_tcx(void);

/* cgroups.c */
void dp_cgroup_detach(struct dp *dp, uint64_t id);

/* sockets.c */
bool dp_have_destroy(void);
/* xdp.c: the balancer. All but generic is the instance's, whatever the device. */
struct dp_xdp {
	bool generic;	       /* also where the driver could */
	bool dsr;	       /* options that name services are believed; not XDP's */
	uint32_t flows4, flows6; /* in the cache; read when it is made; 0: as usual */
	uint32_t new_flows;    /* that a CPU puts there in a second; read then; 0: as usual */
	uint16_t gue_port;     /* 0: leave it */
	struct prefix source4, source6; /* of outer packets; no family: leave it */
};
int dp_xdp_load(struct dp *dp, const struct dp_xdp *p, struct errtext *err);
/* What outer packets look like, from an uplink. */
void dp_outer_set(struct dp *dp, const struct dp_xdp *p, uint32_t ifindex);
/* Is it the stack that runs a device's XDP program, not the driver? */
bool dp_xdp_generic(uint32_t ifindex);
int dp_attach_xdp(struct dp *dp, uint32_t ifindex, bool generic, struct errtext *err);

/* maps.c: errors name the map and its size */
const char *dp_map_name(enum dp_map map);
const char *dp_prog_name(enum dp_prog prog);
int dp_update(struct dp *dp, enum dp_map map, const void *key, const void *value,
	      struct errtext *err);
int dp_delete(struct dp *dp, enum dp_map map, const void *key); /* -ENOENT is 0 */
int dp_lookup(struct dp *dp, enum dp_map map, const void *key, void *value);
/* Is a map there that not every instance has? */
bool dp_map_find(struct dp *dp, enum dp_map map);
/* Many at once; on failure what was written is taken back where it was new. */
int dp_update_batch(struct dp *dp, enum dp_map map, const void *keys, const void *values, size_t n,
		    struct errtext *err);
void dp_delete_batch(struct dp *dp, enum dp_map map, const void *keys, size_t n);
/* Call cb for all elements; a negative return ends the walk and is returned. */
int dp_walk(struct dp *dp, enum dp_map map, int (*cb)(const void *key, const void *value, void *data),
	    void *data);
/* The same for n elements of a hash, or a few more, that its keys' hashes have chosen: where
 * the hash begins. *ret_share: how much of it was seen, 1 is all. */
int dp_sample(struct dp *dp, enum dp_map map, uint64_t n,
	      int (*cb)(const void *key, const void *value, void *data), void *data,
	      double *ret_share);
/* Kernel memory of the maps, of the programs. */
uint64_t dp_map_bytes(struct dp *dp);
uint64_t dp_prog_bytes(struct dp *dp);
/* Sums over all CPUs: of the metrics, of what a subscriber's place has lost. */
int dp_metrics(struct dp *dp, struct dp_counter ret[DP_METRICS]);
int dp_lost(struct dp *dp, uint32_t slot, uint64_t *ret);
int dp_clock(struct dp *dp); /* calibrates dp_jiffies() */
uint64_t dp_jiffies(struct dp *dp);

/* store.c: objects as blobs; putting and deleting one is atomic */
enum store_kind {
	STORE_IDENTITY = 1,
	STORE_ENDPOINT,
	STORE_POLICY,
	STORE_POLICIES, /* the one list of the policies that are in force */
	STORE_SERVICE,
	STORE_IPCACHE,
	STORE_DEVICE,
	STORE_SETTINGS, /* the one */
	STORE_MASQUERADE, /* the one; none: nothing is masqueraded */
	STORE_IMPORT,	/* which services an import brought */
	STORE_CGROUP,
};
int store_put(struct dp *dp, enum store_kind kind, uint32_t id, const void *data, size_t len,
	      struct errtext *err);
int store_delete(struct dp *dp, enum store_kind kind, uint32_t id);
/* Everything, in no order. repair: remove pieces that belong to nothing. */
int store_load(struct dp *dp, bool repair,
	       int (*cb)(enum store_kind kind, uint32_t id, const char *data, size_t len, void *arg),
	       void *arg);

/* netlink.c */
struct nl_link {
	char *name;
	uint8_t mac[6];
	bool has_mac;
	bool veth;	  /* with its peer in another namespace: redirect_peer works */
	uint8_t peer_mac[6];
	bool has_peer_mac; /* found in the namespace of its peer */
};
/* -ENODEV. */
int nl_link_get(uint32_t ifindex, struct nl_link *ret);
void nl_link_clear(struct nl_link *l);
int nl_clsact_add(uint32_t ifindex); /* 0 also when it is there */
int nl_filter_add(uint32_t ifindex, bool ingress, int prog_fd, const char *name);
int nl_filter_delete(uint32_t ifindex, bool ingress); /* -ENOENT */
bool nl_filter_exists(uint32_t ifindex, bool ingress);
/* The device's first address of a family that is not only its link's. */
bool nl_address_get(uint32_t ifindex, uint8_t family, struct prefix *ret);
/* Is it an address of this host? */
bool nl_is_local(const struct prefix *address);
/* Does a packet from a device to this address end at the host? Also where there is no
 * route, and where the device forwards nothing. */
bool nl_is_host(uint32_t ifindex, const struct prefix *address);

/* probe.c */
struct probe_result {
	const char *name;
	bool required;
	bool present;
	char *reason;
};
#define PROBE_MAX 16
/* Returns how many; free each reason. */
size_t probe_all(struct probe_result ret[PROBE_MAX]);
/* -CLITE_EUNSUPPORTED with the first required feature that is not there; 0: all are. */
int probe_missing(struct errtext *err);
int probe_capabilities(struct errtext *err); /* -EPERM, with what is missing */
bool dp_have_retval(void); /* programs of cgroups can set the errno of a call */
