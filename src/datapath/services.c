/* SPDX-License-Identifier: BSD-2-Clause */
/* Services in the kernel. A change builds another table of slots beside the one in
 * use; writing the service's entry switches to it. */
#include <arpa/inet.h>
#include <cilium-lite/service.h>
#include <stdio.h>

#include "datapath/blob.h"
#include "datapath/state.h"
#include "model/maglev.h"

static struct dp_service_key service_key(const struct service *s)
{
	struct dp_service_key k;

	memset(&k, 0, sizeof(k));
	memcpy(k.ip.b, s->ip.ip, sizeof(k.ip.b));
	k.port = htons(s->port);
	k.proto = s->protocol;
	k.family = s->ip.family;
	return k;
}

static struct service *find(struct state *st, const struct service *like)
{
	for (size_t i = 0; i < st->nservices; i++) {
		struct service *s = st->services[i];

		if (s->port == like->port && s->protocol == like->protocol &&
		    !prefix_cmp(&s->ip, &like->ip))
			return s;
	}
	return NULL;
}

/* ---- numbers, back ends, slots ------------------------------------------------ */

static int service_number(struct state *st, struct service *s, struct errtext *err)
{
	uint32_t max = st->dp->map_max[MAP_SERVICE_GENS];

	if (s->id >= max)
		return err_set(err, EINVAL,
			       "service number %u is too large: this instance has room for 1 to %u",
			       s->id, max - 1);
	if (s->id)
		return state_service(st, s->id) ?
			       err_set(err, EEXIST, "there is a service %u already", s->id) :
			       0;
	for (uint32_t i = 1, k = 0; i < max; i++) {
		while (k < st->nservices && st->services[k]->id < i)
			k++;
		if (k == st->nservices || st->services[k]->id != i) {
			s->id = i;
			return 0;
		}
	}
	return err_set(err, ENOSPC, "map 'services' is full: it holds %u entries", max - 1);
}

static bool same_backend(const struct backend *a, const struct backend *b)
{
	return a->port == b->port && !prefix_cmp(&a->ip, &b->ip);
}

/* A back end that was there keeps its number, and with it its flows. */
static int backends_number(struct state *st, struct service *s, const struct service *old,
			   struct errtext *err)
{
	uint32_t max = st->dp->map_max[MAP_BACKENDS], next = 1;

	for (size_t i = 0; i < s->nbackends; i++) {
		struct backend *b = &s->backends[i];

		for (size_t j = 0; old && !b->id && j < old->nbackends; j++)
			if (same_backend(b, &old->backends[j]))
				b->id = old->backends[j].id;
		if (b->id)
			continue;
		while (next < max && st->dp->backends[next].service)
			next++;
		if (next >= max)
			return err_set(err, ENOSPC, "map 'backends' is full: it holds %u entries",
				       max - 1);
		b->id = next++;
	}
	return 0;
}

static void backend_write(struct state *st, const struct service *s, const struct backend *b)
{
	struct dp_backend *d = &st->dp->backends[b->id];

	memcpy(d->ip.b, b->ip.ip, sizeof(d->ip.b));
	d->port = htons(b->port);
	d->family = b->ip.family;
	d->state = b->state;
	__atomic_store_n(&d->service, s->id, __ATOMIC_RELEASE);
}

/* Those of one list that are not in the other. */
static void backends_free(struct state *st, const struct service *from, const struct service *except)
{
	for (size_t i = 0; from && i < from->nbackends; i++) {
		bool kept = false;

		for (size_t j = 0; except && !kept && j < except->nbackends; j++)
			kept = except->backends[j].id == from->backends[i].id;
		if (!kept)
			__atomic_store_n(&st->dp->backends[from->backends[i].id].service, 0,
					 __ATOMIC_RELEASE);
	}
}

static int by_table(const void *a, const void *b)
{
	const struct service *x = *(struct service *const *)a, *y = *(struct service *const *)b;

	return x->table < y->table ? -1 : x->table > y->table;
}

/* The first hole that n slots fit into. */
static int slots_alloc(struct state *st, uint32_t n, uint32_t *ret, struct errtext *err)
{
	uint32_t max = st->dp->map_max[MAP_SLOTS], at = 0;
	_cleanup_free_ struct service **s = calloc(st->nservices ?: 1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	if (st->nservices)
		memcpy(s, st->services, st->nservices * sizeof(*s));
	qsort(s, st->nservices, sizeof(*s), by_table);
	for (size_t i = 0; i <= st->nservices; i++) {
		uint32_t end = i < st->nservices ? s[i]->table : max;

		if (end > at && end - at >= n) {
			*ret = at;
			return 0;
		}
		if (i < st->nservices && s[i]->table + s[i]->nslots > at)
			at = s[i]->table + s[i]->nslots;
	}
	return err_set(err, ENOSPC, "map 'slots' is full: it holds %u entries", max);
}

/* Choose the slots for the active back ends, and write them where nobody looks. */
static int table_fill(struct state *st, struct service *s, struct errtext *err)
{
	_cleanup_free_ struct maglev_backend *active = calloc(s->nbackends ?: 1, sizeof(*active));
	_cleanup_free_ uint32_t *table = NULL;
	char (*names)[PREFIX_STR + 32] = calloc(s->nbackends ?: 1, sizeof(*names));
	char ip[PREFIX_STR];
	size_t n = 0;
	int r = 0;

	if (!active || !names) {
		free(names);
		return -ENOMEM;
	}
	for (size_t i = 0; i < s->nbackends; i++) {
		const struct backend *b = &s->backends[i];

		if (b->state != CLITE_BACKEND_ACTIVE)
			continue;
		snprintf(names[n], sizeof(names[n]), "%s:%u/%u",
			 addr_format(b->ip.ip, b->ip.family, ip), b->port, s->protocol);
		active[n] = (struct maglev_backend){ b->id, b->weight, names[n] };
		n++;
	}
	s->nslots = 0;
	if (n && s->algorithm == CLITE_LB_MAGLEV) {
		s->nslots = maglev_size(n);
		table = malloc(s->nslots * sizeof(*table));
		r = table ? maglev_fill(active, n, table, s->nslots) : -ENOMEM;
	} else if (n) {
		r = random_fill(active, n, &table, &s->nslots);
	}
	free(names);
	if (!r && s->nslots)
		r = slots_alloc(st, s->nslots, &s->table, err);
	if (r)
		return r;
	for (uint32_t i = 0; i < s->nslots; i++)
		st->dp->slots[s->table + i].v = table[i];
	return 0;
}

/* ---- set ------------------------------------------------------------------------ */

static int entry_write(struct state *st, const struct service *s, struct errtext *err)
{
	struct dp_service_key key = service_key(s);
	struct dp_service val = {
		.id = s->id,
		.gen = s->gen,
		.table = s->table,
		.nslots = s->nslots,
		.alg = s->algorithm,
	};

	return dp_update(st->dp, MAP_SERVICES, &key, &val, err);
}

static int service_store(struct state *st, const struct service *s, struct errtext *err)
{
	_cleanup_buf_ struct buf b = {};
	int r = blob_service_write(s, &b);

	return r ?: store_put(st->dp, STORE_SERVICE, s->id, b.data, b.len, err);
}

static int replace(struct state *st, struct service *s, struct service *old)
{
	size_t at = st->nservices;

	for (size_t i = 0; old && i < st->nservices; i++)
		if (st->services[i] == old) {
			st->services[i] = s;
			service_free(old);
			return 0;
		}
	if (!array_grow(&st->services, &st->services_cap, st->nservices))
		return -ENOMEM;
	while (at && st->services[at - 1]->id > s->id) {
		st->services[at] = st->services[at - 1];
		at--;
	}
	st->services[at] = s;
	st->nservices++;
	return 0;
}

/* Policies that name services allow the new back ends before packets go to them. */
static int policies_lead(struct state *st, struct service *s, struct service *old,
			 struct errtext *err)
{
	size_t at = 0;
	int r;

	if (!policies_symbolic(st))
		return 0;
	r = tables_load(st, err);
	if (r)
		return r;
	while (at < st->nservices && st->services[at] != old)
		at++;
	st->services[at] = s;
	st->nservices += !old;
	r = policies_follow(st, err);
	st->services[at] = old;
	st->nservices -= !old;
	return r;
}

int service_set(struct state *st, struct service *s, struct errtext *err)
{
	struct service *old = find(st, s);
	int r = 0;

	if (!old) {
		r = service_number(st, s, err);
		if (!r && !array_grow(&st->services, &st->services_cap, st->nservices))
			r = -ENOMEM;
	} else if (s->id && s->id != old->id) {
		r = err_set(err, EEXIST, "this address and port is service %u's", old->id);
	}
	if (!r && old)
		s->id = old->id;
	/* The number may have been another service's: its generations go on. */
	if (!r)
		s->gen = st->dp->service_gens[s->id].v + 1 ?: 1;
	if (!r)
		r = backends_number(st, s, old, err);
	if (!r)
		r = table_fill(st, s, err);
	if (!r)
		r = policies_lead(st, s, old, err);
	if (r) {
		service_free(s);
		return r;
	}
	for (size_t i = 0; i < s->nbackends; i++)
		backend_write(st, s, &s->backends[i]);
	r = service_store(st, s, err);
	if (!r) {
		r = entry_write(st, s, err);
		if (r && old)
			service_store(st, old, NULL);
		else if (r)
			store_delete(st->dp, STORE_SERVICE, s->id);
	}
	if (r) {
		for (size_t i = 0; old && i < old->nbackends; i++)
			backend_write(st, old, &old->backends[i]);
		backends_free(st, s, old);
		service_free(s);
		policies_follow(st, NULL);
		return r;
	}
	backends_free(st, old, s);
	__atomic_store_n(&st->dp->service_gens[s->id].v, s->gen, __ATOMIC_RELEASE);
	/* Nobody may choose from the old slots when they are given to others. */
	if (old)
		dp_synchronize(st->dp);
	else
		/* Flows to its address went somewhere else until now. */
		outside_changed(st);
	return replace(st, s, old);
}

int service_remove(struct state *st, uint32_t id, struct errtext *err)
{
	struct service *s = state_service(st, id);
	struct dp_service_key key;
	int r;

	if (!s)
		return err_set(err, ENOENT, "there is no service %u", id);
	r = policies_symbolic(st) ? tables_load(st, err) : 0;
	if (!r)
		r = store_delete(st->dp, STORE_SERVICE, id);
	if (r)
		return r;
	key = service_key(s);
	dp_delete(st->dp, MAP_SERVICES, &key);
	backends_free(st, s, NULL);
	__atomic_store_n(&st->dp->service_gens[id].v, s->gen + 1 ?: 1, __ATOMIC_RELEASE);
	dp_synchronize(st->dp);
	for (size_t i = 0; i < st->nservices; i++)
		if (st->services[i] == s) {
			memmove(&st->services[i], &st->services[i + 1],
				(--st->nservices - i) * sizeof(*st->services));
			break;
		}
	service_free(s);
	return policies_follow(st, err);
}

/* ---- choose, as bpf/lib/service.h does ----------------------------------------- */

static uint32_t mix(uint32_t h, uint32_t v)
{
	h ^= v;
	h *= 0x9e3779b1;
	return h ^ h >> 15;
}

static uint32_t flow_hash(const struct service *s, const struct prefix *from, uint16_t sport)
{
	union dp_ip src = {}, dst = {};
	uint32_t h;

	memcpy(src.b, from->ip, from->family == 4 ? 4 : 16);
	memcpy(dst.b, s->ip.ip, s->ip.family == 4 ? 4 : 16);
	h = mix(s->protocol, src.w[0]);
	for (int i = 1; i < 4; i++)
		h = mix(h, src.w[i]);
	h = mix(h, dst.w[0]);
	h = mix(h, dst.w[3]);
	return mix(h, (uint32_t)htons(sport) << 16 | htons(s->port));
}

const struct backend *service_choice(const struct state *st, const struct service *s,
				     const struct prefix *from, uint16_t sport)
{
	struct dp_service_key key = service_key(s);
	struct dp_service val;
	uint32_t id;

	if (s->algorithm != CLITE_LB_MAGLEV || dp_lookup(st->dp, MAP_SERVICES, &key, &val) < 0 ||
	    !val.nslots || val.table > st->dp->map_max[MAP_SLOTS] ||
	    val.nslots > st->dp->map_max[MAP_SLOTS] - val.table)
		return NULL;
	id = st->dp->slots[val.table + flow_hash(s, from, sport) % val.nslots].v;
	for (size_t i = 0; i < s->nbackends; i++)
		if (s->backends[i].id == id)
			return &s->backends[i];
	return NULL;
}
