/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which back end a flow has, at XDP: a set-associative array, one part for each CPU.
 *
 * The kernel's LRU hash costs 300 ns for one of 64,000 flows at random, an array a
 * tenth of that. There are no locks: a flow's packets stay on a CPU, and one that moves
 * is only not found there. */
#pragma once

#include "service.h"

/* A flow's hash under keys that nobody knows: top halves of sums of products (pairwise
 * multiply-shift) collide with probability 2^-32, whatever flows somebody chooses. */
static __always_inline u64 pair_product(u32 a, u32 b, u32 key)
{
	return ((u64)a + cfg_keys[key]) * ((u64)b + cfg_keys[key + 1]);
}

static __always_inline u32 cache_hash4(__be32 saddr, __be32 daddr, u32 ports, u8 proto)
{
	return (pair_product(saddr, daddr, 0) + pair_product(ports, proto, 2)) >> 32;
}

static __always_inline u32 cache_hash6(const __be32 *saddr, const __be32 *daddr, u32 ports,
				       u8 proto)
{
	return (pair_product(saddr[0], saddr[1], 0) + pair_product(saddr[2], saddr[3], 2) +
		pair_product(daddr[0], daddr[1], 4) + pair_product(daddr[2], daddr[3], 6) +
		pair_product(ports, proto, 8)) >> 32;
}

static __always_inline struct dp_set4 *cache_set4(u32 hash)
{
	u32 cpu = bpf_get_smp_processor_id(), at = cpu * (cfg_sets4_mask + 1) +
						   (hash & cfg_sets4_mask);

	return cpu < cfg_cache_cpus ? bpf_map_lookup_elem(&cache4, &at) : NULL;
}

static __always_inline struct dp_set6 *cache_set6(u32 hash)
{
	u32 cpu = bpf_get_smp_processor_id(), at = cpu * (cfg_sets6_mask + 1) +
						   (hash & cfg_sets6_mask);

	return cpu < cfg_cache_cpus ? bpf_map_lookup_elem(&cache6, &at) : NULL;
}

/* Entries are looked at, and filled, from another end by half of the flows: the first
 * cache line is nearly always enough. */
static __always_inline u32 first_way4(u32 hash)
{
	return hash >> 31 << 1;
}

static __always_inline u32 first_way6(u32 hash)
{
	return hash >> 31;
}

static __always_inline struct dp_cache4 *cache_find4(struct dp_set4 *set, u32 hash, __be32 saddr,
						     __be32 daddr, u32 ports, u8 proto)
{
	u32 first = first_way4(hash);

#pragma unroll
	for (u32 i = 0; i < DP_WAYS4; i++) {
		struct dp_cache4 *e = &set->way[i ^ first];

		if (e->saddr == saddr && e->ports == ports && e->daddr == daddr &&
		    e->to.proto == proto)
			return e;
	}
	return NULL;
}

static __always_inline struct dp_cache6 *cache_find6(struct dp_set6 *set, u32 hash,
						     const __be32 *saddr, const __be32 *daddr,
						     u32 ports, u8 proto)
{
	u32 first = first_way6(hash);

#pragma unroll
	for (u32 i = 0; i < DP_WAYS6; i++) {
		struct dp_cache6 *e = &set->way[i ^ first];

		if (e->saddr.w[0] == saddr[0] && e->saddr.w[1] == saddr[1] &&
		    e->saddr.w[2] == saddr[2] && e->saddr.w[3] == saddr[3] &&
		    e->ports == ports && e->daddr.w[0] == daddr[0] &&
		    e->daddr.w[1] == daddr[1] && e->daddr.w[2] == daddr[2] &&
		    e->daddr.w[3] == daddr[3] && e->to.proto == proto)
			return e;
	}
	return NULL;
}

/* Which entry a new flow takes: a free one, else one that was not found again since it
 * was written. So a flood of SYNs overwrites itself, not connections. */
#define CACHE_VICTIM(set, ways, first)                                \
	({                                                            \
		typeof(&(set)->way[0]) victim_ = NULL;                \
		_Pragma("unroll") for (u32 i = 0; i < (ways); i++) {  \
			typeof(victim_) e_ = &(set)->way[i ^ (first)]; \
			if (!e_->to.proto) {                             \
				victim_ = e_;                         \
				break;                                \
			}                                             \
			if (!e_->to.used && !victim_)                    \
				victim_ = e_;                         \
			if (e_->to.used && i + 1 == (ways) && !victim_)  \
				victim_ = e_;                         \
		}                                                     \
		victim_;                                              \
	})

/* All have been found again: they have to be once more, to stay. */
#define CACHE_AGE(set, ways)                                          \
	do {                                                          \
		_Pragma("unroll") for (u32 i = 0; i < (ways); i++)    \
			(set)->way[i].to.used = 0;                       \
	} while (0)

static __always_inline void cache_put4(const struct pkt *p, u32 hash, const struct dp_cached *to)
{
	struct dp_set4 *set = cache_set4(hash);
	struct dp_cache4 *e;

	if (!set)
		return;
	e = CACHE_VICTIM(set, DP_WAYS4, first_way4(hash));
	if (!e)
		return;
	if (e->to.proto && e->to.used)
		CACHE_AGE(set, DP_WAYS4);
	e->saddr = p->saddr.v4;
	e->daddr = p->daddr.v4;
	e->ports = *(const u32 *)&p->sport;
	e->to = *to;
}

static __always_inline void cache_put6(const struct pkt *p, u32 hash, const struct dp_cached *to)
{
	struct dp_set6 *set = cache_set6(hash);
	struct dp_cache6 *e;

	if (!set)
		return;
	e = CACHE_VICTIM(set, DP_WAYS6, first_way6(hash));
	if (!e)
		return;
	if (e->to.proto && e->to.used)
		CACHE_AGE(set, DP_WAYS6);
	e->saddr = p->saddr;
	e->daddr = p->daddr;
	e->ports = *(const u32 *)&p->sport;
	e->to = *to;
}

static __always_inline struct dp_cached *cache_get(const struct pkt *p, u32 hash)
{
	u32 ports = *(const u32 *)&p->sport;

	if (p->family == 4) {
		struct dp_set4 *set = cache_set4(hash);
		struct dp_cache4 *e = set ? cache_find4(set, hash, p->saddr.v4, p->daddr.v4, ports,
							p->proto) : NULL;

		return e ? &e->to : NULL;
	} else {
		struct dp_set6 *set = cache_set6(hash);
		struct dp_cache6 *e = set ? cache_find6(set, hash, p->saddr.w, p->daddr.w, ports,
							p->proto) : NULL;

		return e ? &e->to : NULL;
	}
}

/* Back ends' numbers are used again: whose is it now? */
static __always_inline u32 backend_who(const struct dp_backend *b)
{
	return mix(mix(mix(b->ip.w[0], b->ip.w[1]), b->ip.w[2]), b->ip.w[3]);
}

/* Nothing of the service has changed since. */
static __always_inline int cached_current(const struct dp_cached *to)
{
	u32 id = to->service, *gen = bpf_map_lookup_elem(&service_gens, &id);

	return gen && *gen == to->gen;
}
