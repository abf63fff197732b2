/* SPDX-License-Identifier: BSD-2-Clause */
/* From services and slices to front ends with their back ends. */
#include <cilium-lite/service.h>
#include <cilium-lite/version.h>
#include <netinet/in.h>

#include "model/service_object.h"

#define MADE_PER_VALUE 4
#define WORK_PER_VALUE 64

/* What a slice has for a port of a service; or (port NULL), that there is a slice. */
struct offer {
	const char *namespace, *service;
	bool legacy;
	const char *port;
	uint8_t protocol;
	uint16_t number;
	const struct slice_object *slice;
};

/* Back ends of a port, of one family. */
struct set {
	struct service_backend *v;
	size_t n, cap;
};

struct resolver {
	const struct reader *r;
	struct service_document *d;
	struct offer *offers; /* sorted */
	size_t noffers;
	size_t values; /* how many may be read */
	size_t left;   /* of the front ends and back ends that they may make... */
	size_t work;   /* ...and of the endpoints that are looked at for it */
	size_t fronts_cap;
	/* the service at hand */
	const struct service_object *service;
	bool legacy;
};

static void resolver_clear(struct resolver *x)
{
	free(x->offers);
}

static void set_clear(struct set *s)
{
	free(s->v);
}

/* ---- names once ------------------------------------------------------------------ */

static int cmp_services(const void *a, const void *b)
{
	const struct service_object *x = *(struct service_object *const *)a;
	const struct service_object *y = *(struct service_object *const *)b;
	int r = strcmp(x->full, y->full);

	return r ? r : (x > y) - (x < y);
}

static int fail_twice(const struct reader *r, const char *what, const char *name, uint32_t line,
		      uint32_t first)
{
	_cleanup_buf_ struct buf shown = {};

	buf_excerpt(&shown, name);
	return doc_fail(r, line, NULL, CLITE_EDOCUMENT,
			"the %s '%s' is there already, in line %u: one name, one %s", what,
			shown.data ? shown.data : "", first, what);
}

static int check_services(const struct reader *r, struct service_objects *o)
{
	_cleanup_free_ struct service_object **sorted = calloc(o->nservices + 1, sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < o->nservices; i++)
		sorted[i] = &o->services[i];
	qsort(sorted, o->nservices, sizeof(*sorted), cmp_services);
	for (size_t i = 1; i < o->nservices; i++)
		if (strcmp(sorted[i - 1]->full, sorted[i]->full) == 0)
			return fail_twice(r, "service", sorted[i]->full, sorted[i]->line,
					  sorted[i - 1]->line);
	return 0;
}

static int cmp_slices(const void *a, const void *b)
{
	const struct slice_object *x = *(struct slice_object *const *)a;
	const struct slice_object *y = *(struct slice_object *const *)b;
	int r = strcmp(x->name, y->name);

	if (r)
		return r;
	if (x->legacy != y->legacy)
		return x->legacy ? 1 : -1;
	return (x > y) - (x < y);
}

/* A slice need not have a name: those of Cilium's file are found by their label. */
static int check_slices(const struct reader *r, struct service_objects *o)
{
	_cleanup_free_ struct slice_object **sorted = calloc(o->nslices + 1, sizeof(*sorted));
	size_t n = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < o->nslices; i++)
		if (o->slices[i].name && !o->slices[i].subset)
			sorted[n++] = &o->slices[i];
	qsort(sorted, n, sizeof(*sorted), cmp_slices);
	for (size_t i = 1; i < n; i++) {
		const struct slice_object *a = sorted[i - 1], *b = sorted[i];

		if (a->legacy == b->legacy && strcmp(a->name, b->name) == 0)
			return fail_twice(r, a->legacy ? "Endpoints" : "EndpointSlice", b->name,
					  b->line, a->line);
	}
	return 0;
}

/* ---- offers ---------------------------------------------------------------------- */

static int offer_cmp(const void *a, const void *b)
{
	const struct offer *x = a, *y = b;
	int r = strcmp(x->namespace, y->namespace);

	if (!r)
		r = strcmp(x->service, y->service);
	if (!r)
		r = x->legacy - y->legacy;
	if (!r)
		r = !!x->port - !!y->port;
	if (!r && x->port)
		r = strcmp(x->port, y->port);
	if (!r)
		r = x->protocol - y->protocol;
	return r;
}

static int offers_init(struct resolver *x)
{
	const struct service_objects *o = x->d->objects;
	size_t all = o->nslices;

	for (size_t i = 0; i < o->nslices; i++)
		all += o->slices[i].nports;
	x->offers = calloc(all + 1, sizeof(*x->offers));
	if (!x->offers)
		return -ENOMEM;
	for (size_t i = 0; i < o->nslices; i++) {
		const struct slice_object *s = &o->slices[i];
		struct offer of = { .namespace = s->namespace,
				    .service = s->service,
				    .legacy = s->legacy,
				    .slice = s };

		x->offers[x->noffers++] = of;
		for (size_t j = 0; j < s->nports; j++) {
			of.port = s->ports[j].name;
			of.protocol = s->ports[j].protocol;
			of.number = s->ports[j].port;
			x->offers[x->noffers++] = of;
		}
	}
	qsort(x->offers, x->noffers, sizeof(*x->offers), offer_cmp);
	return 0;
}

/* The first offer that is not before a key. */
static size_t offer_bound(const struct resolver *x, const struct offer *key)
{
	size_t lo = 0, hi = x->noffers;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (offer_cmp(&x->offers[mid], key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool has_slices(const struct resolver *x)
{
	const struct offer key = { .namespace = x->service->namespace,
				   .service = x->service->name };
	size_t at = offer_bound(x, &key);

	return at < x->noffers && offer_cmp(&x->offers[at], &key) == 0;
}

/* ---- back ends ------------------------------------------------------------------- */

/* A few lists may each be for each of another: what they make is counted, and what is
 * looked at to make it. */
static int spend(struct resolver *x, size_t *of, size_t n)
{
	if (*of < n)
		return err_set(x->r->err, E2BIG,
			       "%s: the service '%s' and those before it make more front ends and "
			       "back ends than a limit of %zu values allows",
			       x->r->filename, x->service->full, x->values);
	*of -= n;
	return 0;
}

static bool is_used(const struct resolver *x, const struct slice_endpoint *e)
{
	return e->readiness != ENDPOINT_NOT_READY || x->service->publish_not_ready;
}

static uint32_t state_of(const struct slice_object *s, const struct slice_endpoint *e)
{
	if (e->readiness == ENDPOINT_DRAINING)
		return CLITE_BACKEND_TERMINATING;
	return s->maintenance ? CLITE_BACKEND_MAINTENANCE : CLITE_BACKEND_ACTIVE;
}

static int add_endpoint(struct resolver *x, const struct offer *o, const struct slice_endpoint *e,
			uint8_t family, struct set *set)
{
	for (size_t i = 0; i < e->addresses.n; i++) {
		int res;

		if (e->addresses.v[i].family != family)
			continue;
		res = spend(x, &x->left, 1);
		if (res < 0)
			return res;
		if (!array_grow(&set->v, &set->cap, set->n))
			return -ENOMEM;
		set->v[set->n++] = (struct service_backend){
			.address = e->addresses.v[i],
			.port = o->number,
			.weight = o->slice->weight,
			.state = state_of(o->slice, e),
			.node = e->node,
			.zone = e->zone,
			.zones = e->zones,
			.nodes = e->nodes,
		};
	}
	return 0;
}

static int add_slice(struct resolver *x, const struct offer *o, uint8_t family, struct set *set)
{
	const struct slice_object *s = o->slice;
	int res;

	if (s->family && s->family != family)
		return 0;
	res = spend(x, &x->work, s->nendpoints);
	for (size_t i = 0; res >= 0 && i < s->nendpoints; i++)
		if (is_used(x, &s->endpoints[i]))
			res = add_endpoint(x, o, &s->endpoints[i], family, set);
	return res;
}

static int backend_cmp(const struct service_backend *a, const struct service_backend *b)
{
	int r = prefix_cmp(&a->address, &b->address);

	return r ? r : a->port - b->port;
}

static int cmp_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

/* While an endpoint moves from one slice to another it may be in both: the one that
 * is of more use counts. What is left is there so that the order is always the same. */
static int cmp_backends(const void *a, const void *b)
{
	const struct service_backend *x = a, *y = b;
	int r = backend_cmp(x, y);

	if (!r && x->state != y->state)
		r = x->state < y->state ? -1 : 1;
	if (!r)
		r = y->weight - x->weight;
	if (!r)
		r = cmp_text(x->node, y->node);
	return r ? r : cmp_text(x->zone, y->zone);
}

/* Sort, and leave one of each. */
static void set_finish(struct set *s)
{
	size_t n = 0;

	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), cmp_backends);
	for (size_t i = 0; i < s->n; i++)
		if (!n || backend_cmp(&s->v[n - 1], &s->v[i]) != 0)
			s->v[n++] = s->v[i];
	s->n = n;
}

static int set_keep(struct resolver *x, const struct service_port *port, const struct set *s,
		    const struct service_backend **ret, size_t *ret_n)
{
	struct service_backend *v;

	if (s->n > SERVICE_MAX_BACKENDS)
		return doc_fail(x->r, port->line, NULL, E2BIG,
				"the service '%s' has %zu back ends at port %u: at most %d",
				x->service->full, s->n, port->port, SERVICE_MAX_BACKENDS);
	v = arena_alloc(&x->d->objects->arena, s->n, sizeof(*v));
	if (!v)
		return -ENOMEM;
	if (s->n)
		memcpy(v, s->v, s->n * sizeof(*v));
	*ret = v;
	*ret_n = s->n;
	return 0;
}

/* A port of a slice is that of a service by name and protocol, as kube-proxy has it. */
static int find_backends(struct resolver *x, const struct service_port *port, uint8_t family,
			 const struct service_backend **ret, size_t *ret_n)
{
	const struct offer key = { .namespace = x->service->namespace,
				   .service = x->service->name,
				   .legacy = x->legacy,
				   .port = port->name,
				   .protocol = port->protocol };
	_cleanup_(set_clear) struct set set = {};
	int res = 0;

	for (size_t i = offer_bound(x, &key);
	     res >= 0 && i < x->noffers && offer_cmp(&x->offers[i], &key) == 0; i++)
		res = add_slice(x, &x->offers[i], family, &set);
	if (res < 0)
		return res;
	set_finish(&set);
	return set_keep(x, port, &set, ret, ret_n);
}

/* ---- front ends ------------------------------------------------------------------ */

/* What a front end of a kind has of its service. */
static struct service_front front_of(const struct service_object *s,
				     const struct service_port *port, enum front_kind kind)
{
	bool external = kind != FRONT_CLUSTER_IP;
	struct service_front f = {
		.name = s->full,
		.line = s->line,
		.labels = &s->labels,
		.kind = kind,
		.protocol = port->protocol,
		.port = kind == FRONT_NODE_PORT ? port->node_port : port->port,
		.port_name = port->name,
		.affinity = s->affinity,
		.algorithm = s->algorithm,
		.forwarding = s->forwarding,
		.health_check_port = s->balanced && s->local_ext ? s->health_check_port : 0,
		.ext_local = external && s->local_ext,
		.int_local = !external && s->local_int,
		.of = port,
	};

	if (!f.ext_local && !f.int_local) {
		f.prefer_zone = s->prefer_zone;
		f.prefer_node = s->prefer_node;
		f.hints_only = s->prefer_zone && s->hints_only;
	}
	if (kind == FRONT_LOAD_BALANCER) {
		f.ranges = s->ranges.v;
		f.nranges = s->ranges.n;
		f.ranges_deny = s->ranges_deny;
	}
	return f;
}

/* A port of the service at hand. Its back ends are looked for once for each family that
 * has a front end; all front ends share them. */
struct port_state {
	const struct service_port *port;
	const struct service_backend *backends[2];
	size_t nbackends[2];
	bool found[2];
};

static int add_front(struct resolver *x, struct port_state *p, enum front_kind kind,
		     const struct prefix *address, uint8_t family)
{
	struct service_front f = front_of(x->service, p->port, kind);
	size_t i = family == 6;
	int res = spend(x, &x->left, 1);

	if (res >= 0 && !p->found[i])
		res = find_backends(x, p->port, family, &p->backends[i], &p->nbackends[i]);
	if (res < 0)
		return res;
	p->found[i] = true;
	if (address)
		f.address = *address;
	f.family = family;
	f.backends = p->backends[i];
	f.nbackends = p->nbackends[i];
	if (!array_grow(&x->d->fronts, &x->fronts_cap, x->d->nfronts))
		return -ENOMEM;
	x->d->fronts[x->d->nfronts++] = f;
	return 0;
}

static int add_fronts(struct resolver *x, struct port_state *p, enum front_kind kind,
		      const struct address_list *l)
{
	int res = 0;

	if (!x->service->shows[kind])
		return 0;
	for (size_t i = 0; res >= 0 && i < l->n; i++)
		res = add_front(x, p, kind, &l->v[i], l->v[i].family);
	return res;
}

/* Which families a node's port has: those that the service says it has, else those of
 * its addresses, else IPv4. */
static void node_families(const struct service_object *s, bool ret[2])
{
	ret[0] = s->ipv4;
	ret[1] = s->ipv6;
	for (size_t i = 0; !s->ipv4 && !s->ipv6 && i < s->cluster.n; i++)
		ret[s->cluster.v[i].family == 6] = true;
	if (!ret[0] && !ret[1])
		ret[0] = true;
}

static int add_node_port(struct resolver *x, struct port_state *p)
{
	const struct service_object *s = x->service;
	bool has[2];
	int res = 0;

	if (!s->node_ports || !s->shows[FRONT_NODE_PORT] || !p->port->node_port)
		return 0;
	node_families(s, has);
	if (has[0])
		res = add_front(x, p, FRONT_NODE_PORT, NULL, 4);
	if (res >= 0 && has[1])
		res = add_front(x, p, FRONT_NODE_PORT, NULL, 6);
	return res;
}

static int resolve_service(struct resolver *x, const struct service_object *s)
{
	int res = 0;

	x->service = s;
	x->legacy = !has_slices(x);
	for (size_t i = 0; res >= 0 && i < s->nports; i++) {
		struct port_state p = { .port = &s->ports[i] };

		res = add_fronts(x, &p, FRONT_CLUSTER_IP, &s->cluster);
		if (res >= 0 && s->balanced)
			res = add_fronts(x, &p, FRONT_LOAD_BALANCER, &s->balancer);
		if (res >= 0)
			res = add_fronts(x, &p, FRONT_EXTERNAL_IP, &s->external);
		if (res >= 0)
			res = add_node_port(x, &p);
	}
	return res;
}

/* ---- each key once --------------------------------------------------------------- */

static int cmp_fronts(const void *a, const void *b)
{
	const struct service_front *x = a, *y = b;
	struct service_key kx = service_front_key(x), ky = service_front_key(y);
	int r = service_key_cmp(&kx, &ky);

	if (r)
		return r;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	r = strcmp(x->name, y->name);
	return r ? r : (int)x->kind - (int)y->kind;
}

static const char *protocol_name(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? "TCP" : protocol == IPPROTO_UDP ? "UDP" : "SCTP";
}

static int fail_taken(const struct reader *r, const struct service_front *a,
		      const struct service_front *b)
{
	_cleanup_buf_ struct buf mine = {}, theirs = {}, what = {};
	char text[PREFIX_STR];

	buf_excerpt(&theirs, a->name);
	buf_excerpt(&mine, b->name);
	addr_format(b->address.ip, b->address.family, text);
	if (b->address.family == 0)
		buf_puts(&what, "port of nodes ");
	else
		buf_printf(&what, b->family == 6 ? "address [%s]:" : "address %s:", text);
	buf_printf(&what, "%u/%s", b->port, protocol_name(b->protocol));
	if (mine.failed || theirs.failed || what.failed)
		return -ENOMEM;
	return doc_fail(r, b->line, NULL, CLITE_EDOCUMENT,
			"the service '%s' has the %s, as '%s' in line %u has: one of them has to "
			"give it up",
			mine.data, what.data, theirs.data, a->line);
}

/* A service may have an address in two ways, and then has it once. */
static int check_fronts(const struct reader *r, struct service_document *d)
{
	size_t n = 0;

	if (d->nfronts)
		qsort(d->fronts, d->nfronts, sizeof(*d->fronts), cmp_fronts);
	for (size_t i = 0; i < d->nfronts; i++) {
		struct service_front *f = &d->fronts[i], *last = n ? &d->fronts[n - 1] : NULL;
		struct service_key a, b = service_front_key(f);

		if (last)
			a = service_front_key(last);
		if (!last || service_key_cmp(&a, &b) != 0)
			d->fronts[n++] = *f;
		else if (last->of != f->of)
			return fail_taken(r, last, f);
	}
	d->nfronts = n;
	return 0;
}

/* a * b, or as much as there is. */
static size_t times(size_t a, size_t b)
{
	size_t r;

	return __builtin_mul_overflow(a, b, &r) ? SIZE_MAX : r;
}

int service_resolve(const struct reader *r, struct service_document *d, size_t values)
{
	_cleanup_(resolver_clear) struct resolver x = { .r = r,
							.d = d,
							.values = values,
							.left = times(values, MADE_PER_VALUE),
							.work = times(values, WORK_PER_VALUE) };
	struct service_objects *o = d->objects;
	int res = check_services(r, o);

	if (res >= 0)
		res = check_slices(r, o);
	if (res >= 0)
		res = offers_init(&x);
	for (size_t i = 0; res >= 0 && i < o->nservices; i++)
		res = resolve_service(&x, &o->services[i]);
	d->nservices = o->nservices;
	return res < 0 ? res : check_fronts(r, d);
}
