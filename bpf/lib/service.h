/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Services: from an address and port to a back end. */
#pragma once

#include "maps.h"

static __always_inline u32 mix(u32 h, u32 v)
{
	h ^= v;
	h *= 0x9e3779b1;
	return h ^ h >> 15;
}

/* by_client: all flows of a client are one. */
static __always_inline u32 flow_hash(const struct pkt *p, u32 by_client)
{
	u32 h = mix(p->proto, p->saddr.w[0]);

	h = mix(h, p->saddr.w[1]);
	h = mix(h, p->saddr.w[2]);
	h = mix(h, p->saddr.w[3]);
	h = mix(h, p->daddr.w[0]);
	h = mix(h, p->daddr.w[3]);
	return mix(h, (u32)(by_client ? 0 : p->sport) << 16 | p->dport);
}

static __always_inline struct dp_service *service_find(const struct pkt *p)
{
	struct dp_service_key key = {
		.ip = p->daddr,
		.port = p->dport,
		.proto = p->proto,
		.family = p->family,
	};
	struct dp_service *svc = bpf_map_lookup_elem(&services, &key);

	/* Being changed, it may be missed once: see flow_lookup_again(). */
	return svc ? svc : bpf_map_lookup_elem(&services, &key);
}

static __always_inline struct dp_backend *backend_get(u32 id)
{
	return bpf_map_lookup_elem(&backends, &id);
}

/* May clients with this address use the service from outside? */
static __always_inline int service_source_ok(const struct pkt *p, const struct dp_service *svc)
{
	struct dp_source_key key = {
		.prefixlen = 96 + (p->family == 4 ? 32 : 128),
		.service = svc->id,
		.gen = svc->gen,
		.family = p->family,
		.ip = p->saddr,
	};
	int found;

	if (!(svc->flags & DP_SVC_SOURCES))
		return 1;
	found = bpf_map_lookup_elem(&sources, &key) != NULL;
	return svc->flags & DP_SVC_SOURCES_DENY ? !found : found;
}

/* Where the client was sent before; 0: nowhere, or that is not to have new flows. */
static __always_inline u32 affinity_find(const struct dp_affinity_key *key,
					 const struct dp_service *svc, int outside, u64 now)
{
	int local = svc->flags & (outside ? DP_SVC_EXT_LOCAL : DP_SVC_INT_LOCAL);
	struct dp_affinity *a = bpf_map_lookup_elem(&affinity, key);
	struct dp_backend *b;

	if (!a || (long)(now - a->seen) > (long)svc->affinity * cfg_hz)
		return 0;
	b = backend_get(a->backend);
	if (!b || b->service != svc->id || b->state & DP_BACKEND_STATE ||
	    (local && !(b->state & DP_BACKEND_LOCAL)))
		return 0;
	a->seen = now;
	return a->backend;
}

static __always_inline void affinity_set(const struct dp_affinity_key *key, u32 backend, u64 now)
{
	struct dp_affinity val = { .seen = now, .backend = backend };

	if (backend)
		bpf_map_update_elem(&affinity, key, &val, BPF_ANY);
}

/* Are only back ends on this host wanted? outside: the client is. */
static __always_inline int service_is_local(const struct dp_service *svc, int outside)
{
	return svc->flags & (outside ? DP_SVC_EXT_LOCAL : DP_SVC_INT_LOCAL);
}

static __always_inline u32 service_slots(const struct dp_service *svc, int outside)
{
	return service_is_local(svc, outside) ? svc->local_nslots : svc->nslots;
}

/* A back end by a hash; its number, 0: there is none. */
static __always_inline u32 service_pick(const struct dp_service *svc, int outside, u32 hash)
{
	u32 n = service_slots(svc, outside), slot, *id;

	if (!n)
		return 0;
	slot = (service_is_local(svc, outside) ? svc->local_table : svc->table) + hash % n;
	id = bpf_map_lookup_elem(&slots, &slot);
	return id ? *id : 0;
}

/* Whatever the algorithm, by the hash of the flow: where an outer packet carries it all
 * balancers of a group choose alike, and one that knows nothing of a flow sends it the right
 * way. */
static __always_inline u32 service_hash(const struct pkt *p, const struct dp_service *svc)
{
	return service_pick(svc, 1, flow_hash(p, svc->affinity));
}

/* What a new flow is sent by. */
static __always_inline u32 service_number(const struct pkt *p, const struct dp_service *svc)
{
	return svc->alg == DP_ALG_MAGLEV ? flow_hash(p, svc->affinity) : bpf_get_prandom_u32();
}

/* The same for a new flow, or the one that its client has. */
static __always_inline u32 service_choose(const struct pkt *p, const struct dp_service *svc,
					  int outside, u64 now)
{
	struct dp_affinity_key key;
	u32 id;

	if (!svc->affinity)
		return service_pick(svc, outside, service_number(p, svc));
	__builtin_memset(&key, 0, sizeof(key));
	key.client = p->saddr;
	key.service = svc->id;
	id = affinity_find(&key, svc, outside, now);
	if (id)
		return id;
	id = service_pick(svc, outside, service_number(p, svc));
	affinity_set(&key, id, now);
	return id;
}
