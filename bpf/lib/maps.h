/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps of an instance. Sizes here are defaults; the library sets them. */
#pragma once

#include "common.h"

#define MAP_MMAPABLE(name_, value_, n)                     \
	struct {                                           \
		__uint(type, BPF_MAP_TYPE_ARRAY);          \
		__uint(map_flags, BPF_F_MMAPABLE);         \
		__uint(max_entries, n);                    \
		__type(key, __u32);                        \
		__type(value, value_);                     \
	} name_ SEC(".maps")

#define MAP_HASH(name_, type_, flags_, key_, value_, n)    \
	struct {                                           \
		__uint(type, type_);                       \
		__uint(map_flags, flags_);                 \
		__uint(max_entries, n);                    \
		__type(key, key_);                         \
		__type(value, value_);                     \
	} name_ SEC(".maps")

/* instance and endpoints */
MAP_MMAPABLE(control, struct dp_control, 1);
MAP_MMAPABLE(endpoints, struct dp_ep, 4096);
MAP_HASH(devices, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, __u32, __u32, 4096);

/* addresses */
MAP_HASH(addresses, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, struct dp_addr_key, struct dp_addr,
	 65536);
MAP_HASH(ipcache, BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC, struct dp_ipcache_key, __u32, 131072);

/* policy */
MAP_MMAPABLE(policies, struct dp_policy, 8192);
MAP_MMAPABLE(ports, struct dp_port_interval, 131072);
MAP_HASH(peers, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, struct dp_peer_key, __u32, 262144);
MAP_HASH(verdicts, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, struct dp_verdict_key, struct dp_verdict,
	 131072);

/* what rules have decided, by cookie: drops, and the counts of flows that are over (those
 * of the others stand in the flow table) */
MAP_HASH(hits, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, __u32, struct dp_counter, 32768);

/* services */
MAP_HASH(services, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, struct dp_service_key, struct dp_service,
	 16384);
MAP_MMAPABLE(service_gens, __u32, 16384);
MAP_MMAPABLE(backends, struct dp_backend, 65536);
MAP_MMAPABLE(slots, __u32, 524288);
MAP_HASH(affinity, BPF_MAP_TYPE_LRU_HASH, 0, struct dp_affinity_key, struct dp_affinity, 16384);
MAP_HASH(sources, BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC, struct dp_source_key, __u32, 65536);
MAP_HASH(uplinks, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, __u32, struct dp_uplink, 64);

/* flows */
MAP_HASH(flow4, BPF_MAP_TYPE_LRU_HASH, 0, struct dp_flow4_key, struct dp_flow, 131072);
MAP_HASH(flow6, BPF_MAP_TYPE_LRU_HASH, 0, struct dp_flow6_key, struct dp_flow, 65536);
MAP_HASH(frags, BPF_MAP_TYPE_LRU_HASH, 0, struct dp_frag_key, struct dp_frag, 8192);

/* events: a ring per subscriber, made by the subscriber */
struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, DP_SUBSCRIBERS + 1); /* the last: see dp_synchronize() */
	__type(key, __u32);
	__array(values, struct ring);
} rings SEC(".maps");

/* of each subscriber: alternatives */
MAP_HASH(filters, BPF_MAP_TYPE_ARRAY, 0, __u32, struct dp_filters, DP_SUBSCRIBERS);
MAP_HASH(lost, BPF_MAP_TYPE_PERCPU_ARRAY, 0, __u32, __u64, DP_SUBSCRIBERS);
MAP_HASH(metrics, BPF_MAP_TYPE_PERCPU_ARRAY, 0, __u32, struct dp_counter, DP_METRICS);

/* load balancing at XDP: only in the object that holds its programs */
#ifdef CLITE_XDP
MAP_MMAPABLE(cache4, struct dp_set4, 65536);
MAP_MMAPABLE(cache6, struct dp_set6, 16384);
MAP_MMAPABLE(hops, struct dp_hop, 65536);
MAP_HASH(paces, BPF_MAP_TYPE_PERCPU_ARRAY, 0, __u32, struct dp_pace, 1);
#endif

/* the library's own: the programs never look at it */
MAP_HASH(store, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, struct dp_store_key, struct dp_store_value,
	 262144);

static __always_inline struct dp_control *control_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline struct dp_ep *ep_get(u32 id)
{
	return bpf_map_lookup_elem(&endpoints, &id);
}
