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

/* The kernel's map is the index of services by address and port. */
static struct service *find(struct state *st, const struct service *like)
{
	struct dp_service_key key = service_key(like);
	struct dp_service val;

	return dp_lookup(st->dp, MAP_SERVICES, &key, &val) ? NULL : state_service(st, val.id);
}

struct service *service_copy(const struct service *s)
{
	struct service *copy = calloc(1, sizeof(*copy));
	int r = 0;

	if (!copy)
		return NULL;
	*copy = *s;
	copy->labels = (struct labels){};
	copy->name = strdup(s->name);
	copy->backends = memdup(s->backends, s->nbackends * sizeof(*s->backends));
	copy->sources = memdup(s->sources, s->nsources * sizeof(*s->sources));
	if (s->labels.n)
		r = labels_parse((const char *const *)s->labels.text, &copy->labels, NULL);
	if (!r && copy->name && copy->backends && copy->sources)
		return copy;
	service_free(copy);
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
	while (!st->service_free || (st->service_free < max && state_service(st, st->service_free)))
		st->service_free++;
	if (st->service_free >= max)
		return err_set(err, ENOSPC, "map 'services' is full: it holds %u entries", max - 1);
	s->id = st->service_free;
	return 0;
}

static bool same_backend(const struct backend *a, const struct backend *b)
{
	return a->port == b->port && !prefix_cmp(&a->ip, &b->ip);
}

static uint32_t backend_number(struct state *st)
{
	uint32_t max = st->dp->map_max[MAP_BACKENDS];

	for (uint32_t n = 1; n < max; n++) {
		st->backend_last = st->backend_last + 1 < max ? st->backend_last + 1 : 1;
		if (!st->dp->backends[st->backend_last].service)
			return st->backend_last;
	}
	return 0;
}

/* A back end that was there keeps its number, and with it its flows. */
static int backends_number(struct state *st, struct service *s, const struct service *old,
			   struct errtext *err)
{
	uint32_t first = 0; /* that is given out here: nothing in the map says so yet */

	for (size_t i = 0; i < s->nbackends; i++) {
		struct backend *b = &s->backends[i];

		b->id = 0;
		for (size_t j = 0; old && !b->id && j < old->nbackends; j++)
			if (same_backend(b, &old->backends[j]))
				b->id = old->backends[j].id;
		if (b->id)
			continue;
		b->id = backend_number(st);
		/* They are given out in a circle: once around, none is left. */
		if (b->id == first)
			b->id = 0;
		first = first ?: b->id;
		if (!b->id)
			return err_set(err, ENOSPC, "map 'backends' is full: it holds %u entries",
				       st->dp->map_max[MAP_BACKENDS] - 1);
	}
	return 0;
}

static void backend_write(struct state *st, const struct service *s, const struct backend *b)
{
	struct dp_backend *d = &st->dp->backends[b->id];

	memcpy(d->ip.b, b->ip.ip, sizeof(d->ip.b));
	d->port = htons(b->port);
	d->family = b->ip.family;
	d->state = b->state | (b->local ? DP_BACKEND_LOCAL : 0);
	__atomic_store_n(&d->service, s->id, __ATOMIC_RELEASE);
}

/* Those of one list that are not in the other. Was there any? */
static bool backends_free(struct state *st, const struct service *from, const struct service *except)
{
	bool any = false;

	for (size_t i = 0; from && i < from->nbackends; i++) {
		bool kept = false;

		for (size_t j = 0; except && !kept && j < except->nbackends; j++)
			kept = except->backends[j].id == from->backends[i].id;
		if (kept)
			continue;
		any = true;
		__atomic_store_n(&st->dp->backends[from->backends[i].id].service, 0,
				 __ATOMIC_RELEASE);
	}
	return any;
}

static void slots_mark(struct state *st, const struct slots *s, bool used)
{
	memset(st->slots_used + s->first, used, s->n);
}

/* Which slots services have: made when it is first asked for. */
static int slots_load(struct state *st)
{
	if (st->slots_used)
		return 0;
	st->slots_used = calloc(st->dp->map_max[MAP_SLOTS], sizeof(bool));
	if (!st->slots_used)
		return -ENOMEM;
	for (size_t i = 0; i < st->nservices; i++) {
		slots_mark(st, &st->services[i]->all, true);
		slots_mark(st, &st->services[i]->local, true);
	}
	return 0;
}

/* The first hole after the last one given out that n slots fit into. */
static int slots_alloc(struct state *st, uint32_t n, struct slots *ret, struct errtext *err)
{
	uint32_t max = st->dp->map_max[MAP_SLOTS], run = 0;

	for (uint64_t k = 0; n <= max && k < (uint64_t)max + n; k++) {
		uint32_t at = (st->slots_next + k) % max;

		/* A table does not go on at the beginning. */
		if (!at)
			run = 0;
		run = st->slots_used[at] ? 0 : run + 1;
		if (run < n)
			continue;
		*ret = (struct slots){ at + 1 - n, n };
		slots_mark(st, ret, true);
		st->slots_next = (at + 1) % max;
		return 0;
	}
	return err_set(err, ENOSPC, "map 'slots' is full: it holds %u entries", max);
}

typedef char backend_name[PREFIX_STR + 32];

/* The back ends in a state that a table is for. */
static size_t backends_in(const struct service *s, uint32_t state, bool local,
			  struct maglev_backend *ret, backend_name *names)
{
	char ip[PREFIX_STR];
	size_t n = 0;

	for (size_t i = 0; i < s->nbackends; i++) {
		const struct backend *b = &s->backends[i];

		if (b->state != state || (local && !b->local))
			continue;
		snprintf(names[n], sizeof(names[n]), "%s:%u/%u",
			 addr_format(b->ip.ip, b->ip.family, ip), b->port, s->protocol);
		ret[n] = (struct maglev_backend){ b->id, b->weight, names[n] };
		n++;
	}
	return n;
}

/* Choose the slots for the active back ends, and write them where nobody looks. */
static int table_fill(struct state *st, const struct service *s, bool local, struct slots *ret,
		      struct errtext *err)
{
	_cleanup_free_ struct maglev_backend *active = calloc(s->nbackends ?: 1, sizeof(*active));
	_cleanup_free_ backend_name *names = calloc(s->nbackends ?: 1, sizeof(*names));
	_cleanup_free_ uint32_t *table = NULL;
	uint32_t size = 0;
	size_t n;
	int r = 0;

	*ret = (struct slots){};
	if (!active || !names)
		return -ENOMEM;
	n = backends_in(s, CLITE_BACKEND_ACTIVE, local, active, names);
	/* Better one that is about to go than none, as with kube-proxy and Cilium. */
	if (!n)
		n = backends_in(s, CLITE_BACKEND_TERMINATING, local, active, names);
	if (n && s->algorithm == CLITE_LB_MAGLEV) {
		size = maglev_size(n);
		table = malloc(size * sizeof(*table));
		r = table ? maglev_fill(active, n, table, size) : -ENOMEM;
	} else if (n) {
		r = random_fill(active, n, &table, &size);
	}
	if (!r && size)
		r = slots_alloc(st, size, ret, err);
	for (uint32_t i = 0; !r && i < size; i++)
		st->dp->slots[ret->first + i].v = table[i];
	return r;
}

#define LOCAL_FLAGS (CLITE_SERVICE_EXTERNAL_LOCAL | CLITE_SERVICE_INTERNAL_LOCAL)

static bool is_local(const struct state *st, const struct prefix *ip)
{
	for (size_t i = 0; i < st->neps; i++)
		if (!prefix_cmp(&st->eps[i]->v4, ip) || !prefix_cmp(&st->eps[i]->v6, ip))
			return true;
	return nl_is_local(ip);
}

static int tables_fill(struct state *st, struct service *s, struct errtext *err)
{
	int r = slots_load(st);

	s->all = s->local = (struct slots){};
	if (!r)
		r = table_fill(st, s, false, &s->all, err);
	if (r || !(s->flags & LOCAL_FLAGS))
		return r;
	for (size_t i = 0; i < s->nbackends; i++)
		s->backends[i].local = is_local(st, &s->backends[i].ip);
	return table_fill(st, s, true, &s->local, err);
}

static void tables_give_back(struct state *st, const struct service *s)
{
	if (!st->slots_used)
		return;
	slots_mark(st, &s->all, false);
	slots_mark(st, &s->local, false);
}

/* ---- who may use it ------------------------------------------------------------- */

static struct dp_source_key source_key(const struct service *s, const struct prefix *p)
{
	struct dp_source_key k;

	memset(&k, 0, sizeof(k));
	k.prefixlen = 96 + p->len;
	k.service = s->id;
	k.gen = s->gen;
	k.family = p->family;
	memcpy(k.ip.b, p->ip, sizeof(k.ip.b));
	return k;
}

static void sources_erase(struct state *st, const struct service *s)
{
	for (size_t i = 0; i < s->nsources; i++) {
		struct dp_source_key key = source_key(s, &s->sources[i]);

		dp_delete(st->dp, MAP_SOURCES, &key);
	}
}

static int sources_write(struct state *st, const struct service *s, struct errtext *err)
{
	uint32_t one = 1;

	for (size_t i = 0; i < s->nsources; i++) {
		struct dp_source_key key = source_key(s, &s->sources[i]);
		int r = dp_update(st->dp, MAP_SOURCES, &key, &one, err);

		if (r) {
			sources_erase(st, s);
			return r;
		}
	}
	return 0;
}

/* ---- set ------------------------------------------------------------------------ */

static uint16_t entry_flags(const struct service *s)
{
	return (s->kind != CLITE_KIND_CLUSTER_IP ? DP_SVC_ROUTABLE : 0) |
	       (s->flags & CLITE_SERVICE_EXTERNAL_LOCAL ? DP_SVC_EXT_LOCAL : 0) |
	       (s->flags & CLITE_SERVICE_INTERNAL_LOCAL ? DP_SVC_INT_LOCAL : 0) |
	       (s->nsources ? DP_SVC_SOURCES : 0) |
	       (s->flags & CLITE_SERVICE_SOURCES_DENY ? DP_SVC_SOURCES_DENY : 0) |
	       (s->flags & CLITE_SERVICE_REJECT ? DP_SVC_REJECT : 0);
}

static int entry_write(struct state *st, const struct service *s, struct errtext *err)
{
	struct dp_service_key key = service_key(s);
	struct dp_service val = {
		.mode = s->mode,
		.id = s->id,
		.gen = s->gen,
		.table = s->all.first,
		.nslots = s->all.n,
		.local_table = s->local.first,
		.local_nslots = s->local.n,
		.affinity = s->affinity,
		.alg = s->algorithm,
		.flags = entry_flags(s),
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

/* What must be there before the service's entry names it. */
static int service_prepare(struct state *st, struct service *s, struct service *old,
			   struct errtext *err)
{
	int r = 0;

	if (!old) {
		r = service_number(st, s, err);
		if (!r && !array_grow(&st->services, &st->services_cap, st->nservices))
			r = -ENOMEM;
	} else if (s->id && s->id != old->id) {
		r = err_set(err, EEXIST, "this address and port is service %u's", old->id);
	}
	if (r)
		return r;
	if (old)
		s->id = old->id;
	/* The number may have been another service's: its generations go on. */
	s->gen = st->dp->service_gens[s->id].v + 1 ?: 1;
	r = backends_number(st, s, old, err);
	if (!r)
		r = tables_fill(st, s, err);
	if (!r)
		r = policies_lead(st, s, old, err);
	return r ?: sources_write(st, s, err);
}

/* Its entry switches to what was prepared. A failure leaves what was there. */
static int service_switch(struct state *st, struct service *s, struct service *old,
			  struct errtext *err)
{
	int r;

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
		sources_erase(st, s);
		policies_follow(st, NULL);
	}
	return r;
}

static int service_put(struct state *st, struct service *s, struct service *old,
		       struct errtext *err)
{
	int r = service_prepare(st, s, old, err);
	bool gone;

	if (!r)
		r = service_switch(st, s, old, err);
	if (r) {
		tables_give_back(st, s);
		service_free(s);
		return r;
	}
	gone = backends_free(st, old, s);
	__atomic_store_n(&st->dp->service_gens[s->id].v, s->gen, __ATOMIC_RELEASE);
	if (old) {
		/* Nobody may choose from the old slots when they are given to others. */
		dp_synchronize(st->dp);
		tables_give_back(st, old);
		sources_erase(st, old);
		if (gone && s->protocol == IPPROTO_UDP)
			sockets_end(st);
	} else {
		/* Flows to its address went somewhere else until now. */
		outside_changed(st);
	}
	return replace(st, s, old);
}

int service_set(struct state *st, struct service *s, struct errtext *err)
{
	return service_put(st, s, find(st, s), err);
}

int service_restore(struct state *st, struct service *s, struct errtext *err)
{
	struct service *copy = service_copy(s);

	return copy ? service_put(st, copy, s, err) : -ENOMEM;
}

int services_follow(struct state *st, const struct endpoint *e, struct errtext *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < st->nservices; i++) {
		struct service *s = st->services[i];
		bool concerned = false;

		for (size_t j = 0; s->flags & LOCAL_FLAGS && !concerned && j < s->nbackends; j++)
			concerned = !prefix_cmp(&s->backends[j].ip, &e->v4) ||
				    !prefix_cmp(&s->backends[j].ip, &e->v6);
		if (concerned)
			r = service_restore(st, s, err);
	}
	return r;
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
	tables_give_back(st, s);
	sources_erase(st, s);
	if (id < st->service_free)
		st->service_free = id;
	if (s->protocol == IPPROTO_UDP)
		sockets_end(st);
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
	return mix(h, (uint32_t)htons(s->affinity ? 0 : sport) << 16 | htons(s->port));
}

const struct backend *service_choice(const struct state *st, const struct service *s,
				     const struct prefix *from, uint16_t sport)
{
	struct dp_service_key key = service_key(s);
	struct dp_service val;
	uint32_t id;

	if ((s->algorithm != CLITE_LB_MAGLEV && s->mode < CLITE_MODE_IPIP) ||
	    dp_lookup(st->dp, MAP_SERVICES, &key, &val) < 0 ||
	    !val.nslots || val.table > st->dp->map_max[MAP_SLOTS] ||
	    val.nslots > st->dp->map_max[MAP_SLOTS] - val.table)
		return NULL;
	id = st->dp->slots[val.table + flow_hash(s, from, sport) % val.nslots].v;
	for (size_t i = 0; i < s->nbackends; i++)
		if (s->backends[i].id == id)
			return &s->backends[i];
	return NULL;
}
