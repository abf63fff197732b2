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

static __always_inline u32 flow_hash(const struct pkt *p)
{
	u32 h = mix(p->proto, p->saddr.w[0]);

	h = mix(h, p->saddr.w[1]);
	h = mix(h, p->saddr.w[2]);
	h = mix(h, p->saddr.w[3]);
	h = mix(h, p->daddr.w[0]);
	h = mix(h, p->daddr.w[3]);
	return mix(h, (u32)p->sport << 16 | p->dport);
}

static __always_inline struct dp_service *service_find(const struct pkt *p)
{
	struct dp_service_key key = {
		.ip = p->daddr,
		.port = p->dport,
		.proto = p->proto,
		.family = p->family,
	};

	return bpf_map_lookup_elem(&services, &key);
}

/* A back end for a new flow; its number, 0: there is none. */
static __always_inline u32 service_choose(const struct pkt *p, const struct dp_service *svc)
{
	u32 n = svc->nslots, slot, *id;

	if (!n)
		return 0;
	if (svc->alg == DP_ALG_MAGLEV)
		slot = flow_hash(p);
	else
		slot = bpf_get_prandom_u32();
	slot = svc->table + slot % n;
	id = bpf_map_lookup_elem(&slots, &slot);
	return id ? *id : 0;
}

static __always_inline struct dp_backend *backend_get(u32 id)
{
	return bpf_map_lookup_elem(&backends, &id);
}
