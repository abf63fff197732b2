/* SPDX-License-Identifier: BSD-2-Clause */
/* After a writer was killed: the store says what is; the maps are made to say
 * the same. Traffic goes on meanwhile: policies are built beside the live ones
 * and switched to, as in any commit. */
#include <arpa/inet.h>
#include <cilium-lite/policy.h>

#include "datapath/state.h"

/* Keys of a map that are not wanted, collected first: a walk that deletes may
 * miss some. */
struct doomed {
	struct state *st;
	bool (*keep)(struct state *st, const void *key, const void *value);
	size_t key_size;
	char *keys;
	size_t n, cap;
};

static int doomed_collect(const void *key, const void *value, void *data)
{
	struct doomed *d = data;

	if (d->keep(d->st, key, value))
		return 0;
	if (!array_grow_((void **)&d->keys, &d->cap, d->n, d->key_size))
		return -ENOMEM;
	memcpy(d->keys + d->n++ * d->key_size, key, d->key_size);
	return 0;
}

static int prune(struct state *st, enum dp_map map, size_t key_size,
		 bool (*keep)(struct state *st, const void *key, const void *value))
{
	struct doomed d = { .st = st, .keep = keep, .key_size = key_size };
	int r = dp_walk(st->dp, map, doomed_collect, &d);

	for (size_t i = 0; !r && i < d.n; i++)
		dp_delete(st->dp, map, d.keys + i * key_size);
	free(d.keys);
	return r;
}

static bool keep_device(struct state *st, const void *key, const void *value)
{
	const struct endpoint *e = state_endpoint(st, *(const uint32_t *)value);

	return e && e->ifindex == *(const uint32_t *)key;
}

static bool keep_address(struct state *st, const void *key, const void *value)
{
	const struct dp_addr_key *k = key;
	const struct dp_addr *a = value;
	const struct endpoint *e = state_endpoint(st, a->ep);
	const struct prefix *p;

	if (!e)
		return false;
	p = k->family == 4 ? &e->v4 : &e->v6;
	return p->family == k->family && !memcmp(p->ip, k->ip.b, sizeof(p->ip));
}

static bool keep_peer(struct state *st, const void *key, const void *value)
{
	const struct dp_peer_key *k = key;

	(void)value;
	return state_table(st, k->policy);
}

static bool keep_verdict(struct state *st, const void *key, const void *value)
{
	const struct dp_verdict_key *k = key;

	(void)value;
	return state_table(st, k->policy);
}

static bool keep_ipcache(struct state *st, const void *key, const void *value)
{
	const struct dp_ipcache_key *k = key;
	struct prefix p = { .family = k->family, .len = k->prefixlen - 32 };

	(void)value;
	memcpy(p.ip, k->ip.b, sizeof(p.ip));
	for (size_t i = 0; i < st->nuser; i++)
		if (!prefix_cmp(&st->user[i].prefix, &p))
			return true;
	return identities_find_cidr(&st->ids, &p);
}

static bool keep_service(struct state *st, const void *key, const void *value)
{
	const struct dp_service_key *k = key;
	const struct dp_service *v = value;
	const struct service *s = state_service(st, v->id);

	return s && s->protocol == k->proto && s->ip.family == k->family &&
	       ntohs(k->port) == s->port && !memcmp(s->ip.ip, k->ip.b, sizeof(k->ip.b));
}

static bool keep_source(struct state *st, const void *key, const void *value)
{
	const struct dp_source_key *k = key;
	const struct service *s = state_service(st, k->service);

	(void)value;
	if (!k->service) {
		struct prefix p = { .family = k->family, .len = k->prefixlen - 96 };

		memcpy(p.ip, k->ip.b, sizeof(p.ip));
		return masquerade_excludes(&st->masquerade, &p);
	}
	return s && s->gen == k->gen;
}

static int services_restore(struct state *st)
{
	int r = prune(st, MAP_SERVICES, sizeof(struct dp_service_key), keep_service);

	for (uint32_t i = 1; i < st->dp->map_max[MAP_BACKENDS]; i++) {
		struct dp_backend *b = &st->dp->backends[i];
		const struct service *s = b->service ? state_service(st, b->service) : NULL;
		bool used = false;

		for (size_t j = 0; s && !used && j < s->nbackends; j++)
			used = s->backends[j].id == i;
		if (!used)
			b->service = 0;
	}
	for (size_t i = 0; !r && i < st->nservices; i++)
		r = service_restore(st, st->services[i], NULL);
	/* of generations that are over */
	return r ?: prune(st, MAP_SOURCES, sizeof(struct dp_source_key), keep_source);
}

static int ipcache_restore(struct state *st, struct errtext *err)
{
	int r = prune(st, MAP_IPCACHE, sizeof(struct dp_ipcache_key), keep_ipcache);

	for (size_t i = 0; !r && i < st->ids.n; i++)
		if (st->ids.v[i]->cidr.family)
			r = ipcache_write(st, &st->ids.v[i]->cidr, st->ids.v[i]->id, err);
	for (size_t i = 0; !r && i < st->nuser; i++)
		r = ipcache_write(st, &st->user[i].prefix, st->user[i].identity, err);
	return r;
}

/* Label sets that no endpoint has: their endpoint was not added, or is gone. */
static void identities_prune(struct state *st)
{
	for (size_t i = 0; i < st->ids.n;) {
		const struct identity *id = st->ids.v[i];

		if (id->id < 256 || id->cidr.family || id->refs) {
			i++;
			continue;
		}
		store_delete(st->dp, STORE_IDENTITY, id->id);
		identities_remove(&st->ids, id->id);
	}
}

int state_repair(struct state *st, struct errtext *err)
{
	int r;

	endpoints_prune(st);
	identities_prune(st);
	r = prune(st, MAP_DEVICES, sizeof(uint32_t), keep_device);
	if (!r)
		r = prune(st, MAP_ADDRESSES, sizeof(struct dp_addr_key), keep_address);
	/* Begin with no table known: all are compiled under new numbers, and the
	 * numbers in force are given up with the switch. */
	tables_clear(st);
	st->tables_loaded = true;
	st->ports_next = 0;
	if (!r)
		r = policies_commit(st, st->policies, st->npolicies, err);
	for (uint32_t i = 1; !r && i < st->dp->map_max[MAP_POLICIES]; i++)
		if (st->dp->policies[i].nports && !state_table(st, i))
			st->dp->policies[i] = (struct dp_policy){};
	if (!r)
		r = prune(st, MAP_PEERS, sizeof(struct dp_peer_key), keep_peer);
	if (!r)
		r = prune(st, MAP_VERDICTS, sizeof(struct dp_verdict_key), keep_verdict);
	for (size_t i = 0; !r && i < st->neps; i++)
		r = endpoint_restore(st, st->eps[i], err);
	if (!r)
		r = ipcache_restore(st, err);
	if (!r)
		r = services_restore(st);
	if (!r)
		r = masquerade_apply(st, &st->masquerade, err);
	if (!r)
		r = cgroups_restore(st, err);
	if (!r)
		sockets_end(st);
	if (r && err && !err->text)
		err_set(err, -r, "cannot repair the maps: %s", strerror(-r));
	return r;
}
