/* SPDX-License-Identifier: BSD-2-Clause */
/* Services from documents: what is new is made, what has changed is changed, what is
 * gone is removed. */
#include <cilium-lite/service.h>
#include <cilium-lite/version.h>
#include <netinet/in.h>

#include "api/ctx.h"
#ifdef HAVE_YAML
#include "model/service_document.h"

/* A front end at an address: a port of nodes has several. */
struct wanted {
	const struct service_front *front;
	struct prefix address;
};

/* What is to be done to one service. */
struct task {
	struct service *set; /* NULL: as it is already, or it goes */
	uint32_t remove;     /* its number; 0: it stays */
};

struct importer {
	struct clite_ctx *ctx;
	const struct clite_service_import_opts *o;
	const char *source;
	struct prefix *nodes;
	size_t nnodes;
	struct wanted *wanted;
	size_t nwanted, wanted_cap;
	struct service_key *keys; /* of what is wanted */
	struct service_change *changes;
	size_t nchanges;
	struct service **now; /* those of the instance, by key */
	struct task *tasks;   /* one for each change */
	bool touched;	      /* others have to load the state again */
};

static void importer_clear(struct importer *m)
{
	for (size_t i = 0; m->tasks && i < m->nchanges; i++)
		service_free(m->tasks[i].set);
	free(m->nodes);
	free(m->wanted);
	free(m->keys);
	free(m->changes);
	free(m->now);
	free(m->tasks);
}

/* ---- what is wanted -------------------------------------------------------------- */

static int read_nodes(struct importer *m)
{
	const char *const *v = m->o->node_addresses;
	size_t n = 0;

	while (v && v[n])
		n++;
	m->nodes = calloc(n ?: 1, sizeof(*m->nodes));
	if (!m->nodes)
		return -ENOMEM;
	for (; m->nnodes < n; m->nnodes++)
		if (addr_parse(v[m->nnodes], &m->nodes[m->nnodes]))
			return err_set(&m->ctx->err, EINVAL, "node address '%s': not an address",
				       v[m->nnodes]);
	return 0;
}

static int want(struct importer *m, const struct service_front *f, const struct prefix *address)
{
	if (!array_grow(&m->wanted, &m->wanted_cap, m->nwanted))
		return -ENOMEM;
	m->wanted[m->nwanted++] = (struct wanted){ f, *address };
	return 0;
}

static int want_all(struct importer *m, const struct service_document *d)
{
	int r = 0;

	for (size_t i = 0; !r && i < d->nfronts; i++) {
		const struct service_front *f = &d->fronts[i];

		if (f->address.family)
			r = want(m, f, &f->address);
		for (size_t j = 0; !r && !f->address.family && j < m->nnodes; j++)
			if (m->nodes[j].family == f->family)
				r = want(m, f, &m->nodes[j]);
	}
	m->keys = calloc(m->nwanted ?: 1, sizeof(*m->keys));
	if (!m->keys)
		return -ENOMEM;
	for (size_t i = 0; i < m->nwanted; i++) {
		m->keys[i] = service_front_key(m->wanted[i].front);
		m->keys[i].address = m->wanted[i].address;
	}
	return r;
}

/* ---- services as they are --------------------------------------------------------- */

static struct service_key key_of(const struct service *s)
{
	return (struct service_key){
		.address = s->ip, .family = s->ip.family, .protocol = s->protocol, .port = s->port
	};
}

static int cmp_services(const void *a, const void *b)
{
	struct service_key x = key_of(*(struct service *const *)a);
	struct service_key y = key_of(*(struct service *const *)b);

	return service_key_cmp(&x, &y);
}

static int cmp_key(const void *key, const void *element)
{
	struct service_key y = key_of(*(struct service *const *)element);

	return service_key_cmp(key, &y);
}

static int index_services(struct importer *m)
{
	const struct state *st = &m->ctx->st;

	m->now = calloc(st->nservices ?: 1, sizeof(struct service *));
	if (!m->now)
		return -ENOMEM;
	if (st->nservices)
		memcpy(m->now, st->services, st->nservices * sizeof(struct service *));
	qsort(m->now, st->nservices, sizeof(struct service *), cmp_services);
	return 0;
}

static const struct service *find(const struct importer *m, const struct service_key *key)
{
	struct service **at =
		bsearch(key, m->now, m->ctx->st.nservices, sizeof(struct service *), cmp_key);

	return at ? *at : NULL;
}

/* ---- from the document to the datapath -------------------------------------------- */

static int cmp_prefixes(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

static int fail_unsupported(struct importer *m, const struct service_front *f, const char *what)
{
	return err_set(&m->ctx->err, CLITE_EUNSUPPORTED, "%s:%u: the service '%s' %s",
		       m->o->filename ?: "<memory>", f->line, f->name, what);
}

static int map_sources(const struct service_front *f, struct service *s)
{
	s->sources = memdup(f->ranges, f->nranges * sizeof(*f->ranges));
	if (!s->sources)
		return -ENOMEM;
	/* Each once: what is written for one is removed once. */
	qsort(s->sources, f->nranges, sizeof(*s->sources), cmp_prefixes);
	for (size_t i = 0; i < f->nranges; i++)
		if (!i || prefix_cmp(&s->sources[s->nsources - 1], &s->sources[i]))
			s->sources[s->nsources++] = s->sources[i];
	if (s->nsources && f->ranges_deny)
		s->flags |= CLITE_SERVICE_SOURCES_DENY;
	return 0;
}

static uint8_t map_kind(enum front_kind kind)
{
	switch (kind) {
	case FRONT_LOAD_BALANCER:
		return CLITE_KIND_LOAD_BALANCER;
	case FRONT_EXTERNAL_IP:
		return CLITE_KIND_EXTERNAL_IP;
	case FRONT_NODE_PORT:
		return CLITE_KIND_NODE_PORT;
	case FRONT_CLUSTER_IP:
		break;
	}
	return CLITE_KIND_CLUSTER_IP;
}

/* The one place where a front end's properties become those of a service. The port of
 * health checks has none to become. */
static int map_front(struct importer *m, const struct service_front *f, struct service *s)
{
	int r = map_sources(f, s);

	if (r)
		return r;
	s->affinity = f->affinity;
	s->flags |= CLITE_SERVICE_REJECT;
	s->kind = map_kind(f->kind);
	s->mode = f->forwarding == FORWARDING_DSR ? CLITE_MODE_DSR : CLITE_MODE_SNAT;
	s->port = f->port;
	s->protocol = f->protocol;
	s->algorithm = f->algorithm ?: CLITE_LB_RANDOM;
	s->name = strdup(f->name);
	if (!s->name)
		return -ENOMEM;
	return f->labels->n ? labels_parse((const char *const *)f->labels->text, &s->labels,
					   &m->ctx->err) :
			      0;
}

static int map_backends(struct importer *m, const struct service_front *f, struct service *s)
{
	_cleanup_free_ const struct service_backend **v = calloc(f->nbackends + 1, sizeof(*v));
	size_t n;

	if (!v)
		return -ENOMEM;
	n = service_front_select(f, m->o->node, m->o->zone, v);
	s->backends = calloc(n ?: 1, sizeof(*s->backends));
	if (!s->backends)
		return -ENOMEM;
	for (; s->nbackends < n; s->nbackends++) {
		if (f->protocol == IPPROTO_SCTP && v[s->nbackends]->port != f->port)
			return fail_unsupported(m, f,
						"is of SCTP and has back ends on other ports: ports of SCTP are not translated");
		s->backends[s->nbackends] = (struct backend){
			.ip = v[s->nbackends]->address,
			.port = v[s->nbackends]->port,
			.weight = v[s->nbackends]->weight,
			.state = v[s->nbackends]->state,
		};
	}
	return 0;
}

static int service_make(struct importer *m, const struct wanted *w, struct service **ret)
{
	struct service *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->ip = w->address;
	r = map_front(m, w->front, s);
	if (!r)
		r = map_backends(m, w->front, s);
	if (r)
		service_free(s);
	else
		*ret = s;
	return r;
}

static bool is_same(const struct service *a, const struct service *b)
{
	if (a->algorithm != b->algorithm || a->nbackends != b->nbackends ||
	    a->flags != b->flags || a->kind != b->kind || a->mode != b->mode ||
	    a->affinity != b->affinity || a->nsources != b->nsources ||
	    strcmp(a->name, b->name) != 0 || labels_cmp(&a->labels, &b->labels) != 0)
		return false;
	for (size_t i = 0; i < a->nbackends; i++) {
		const struct backend *x = &a->backends[i], *y = &b->backends[i];

		if (prefix_cmp(&x->ip, &y->ip) != 0 || x->port != y->port ||
		    x->weight != y->weight || x->state != y->state)
			return false;
	}
	for (size_t i = 0; i < a->nsources; i++)
		if (prefix_cmp(&a->sources[i], &b->sources[i]) != 0)
			return false;
	return true;
}

/* ---- what is to be done ------------------------------------------------------------ */

static int fail_taken(struct importer *m, const struct wanted *w, const struct service *s)
{
	return err_set(&m->ctx->err, EEXIST,
		       "%s:%u: the service '%s' has the address and port of service %u ('%s'), "
		       "which did not come from '%s'",
		       m->o->filename ?: "<memory>", w->front->line, w->front->name, s->id, s->name,
		       m->source);
}

static int plan_one(struct importer *m, const struct service_change *c, struct task *t)
{
	const struct service *old = find(m, &c->key);
	const struct wanted *w = &m->wanted[c->kind == SERVICE_REMOVE ? 0 : c->index];
	int r;

	if (c->kind == SERVICE_REMOVE) {
		t->remove = old ? old->id : 0;
		return 0;
	}
	if (c->kind == SERVICE_ADD && old)
		return fail_taken(m, w, old);
	r = service_make(m, w, &t->set);
	if (!r && old && is_same(old, t->set)) {
		service_free(t->set);
		t->set = NULL;
	}
	return r;
}

/* An address of a node may also be said to be external: then it has one port twice. */
static int check_twice(struct importer *m)
{
	for (size_t i = 0, j = 0; i < m->nwanted; i++) {
		struct service_key *k = &m->keys[i];
		const struct service_front *f;
		size_t lo = 0, hi = m->nchanges;

		while (lo < hi) {
			j = (lo + hi) / 2;
			if (service_key_cmp(&m->changes[j].key, k) < 0)
				lo = j + 1;
			else
				hi = j;
		}
		f = m->wanted[m->changes[lo].index].front;
		if (f != m->wanted[i].front)
			return err_set(&m->ctx->err, EINVAL,
				       "the services '%s' and '%s' both have port %u of an address "
				       "of the node",
				       f->name, m->wanted[i].front->name, k->port);
	}
	return 0;
}

static int plan(struct importer *m)
{
	const struct import *before = import_find(&m->ctx->st, m->source);
	int r = index_services(m);

	if (!r)
		r = service_changes(m->keys, m->nwanted, before ? before->keys : NULL,
				    before ? before->nkeys : 0, &m->changes, &m->nchanges);
	if (!r)
		r = check_twice(m);
	if (r)
		return r;
	m->tasks = calloc(m->nchanges ?: 1, sizeof(*m->tasks));
	if (!m->tasks)
		return -ENOMEM;
	for (size_t i = 0; !r && i < m->nchanges; i++)
		r = plan_one(m, &m->changes[i], &m->tasks[i]);
	return r;
}

/* ---- doing it ---------------------------------------------------------------------- */

/* Remember the keys of all changes, or of what stays. */
static int remember(struct importer *m, bool all)
{
	_cleanup_free_ struct service_key *keys = calloc(m->nchanges ?: 1, sizeof(*keys));
	size_t n = 0;

	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < m->nchanges; i++)
		if (all || m->changes[i].kind != SERVICE_REMOVE)
			keys[n++] = m->changes[i].key;
	m->touched = true;
	return import_set(&m->ctx->st, m->source, keys, n, &m->ctx->err);
}

static int set_one(struct importer *m, size_t i)
{
	const char *name = m->wanted[m->changes[i].index].front->name;
	struct errtext *err = &m->ctx->err;
	int r;

	m->touched = true;
	r = service_set(&m->ctx->st, TAKE_PTR(m->tasks[i].set), err);
	return r ? err_prefix(err, r, "service '%s'", name) : 0;
}

static int carry_out(struct importer *m)
{
	int r = 0;

	for (size_t i = 0; !r && i < m->nchanges; i++)
		if (m->tasks[i].set)
			r = set_one(m, i);
	for (size_t i = 0; !r && i < m->nchanges; i++)
		if (m->tasks[i].remove)
			r = service_remove(&m->ctx->st, m->tasks[i].remove, &m->ctx->err);
	return r;
}

static size_t count(const struct importer *m, enum service_change_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < m->nchanges; i++)
		n += m->changes[i].kind == kind;
	return n;
}

/* Whatever happens in between, what the source may have brought is remembered. */
static int import(struct importer *m)
{
	int r = plan(m);

	if (!r && count(m, SERVICE_ADD))
		r = remember(m, true);
	if (!r)
		r = carry_out(m);
	if (!r && count(m, SERVICE_REMOVE))
		r = remember(m, false);
	return r ?: (int)(m->nchanges - count(m, SERVICE_REMOVE));
}

static int import_text(struct clite_ctx *ctx, const char *text, size_t len,
		       const struct clite_service_import_opts *o)
{
	const struct document_limits limits = { o->max_bytes, o->max_values, o->max_depth };
	_cleanup_(service_document_freep) struct service_document *d = NULL;
	const char *filename = o->filename ?: "<memory>";
	_cleanup_(importer_clear) struct importer m = { .ctx = ctx,
							.o = o,
							.source = o->source ?: filename };
	int r = service_document_read(text, len, &limits, filename, &d, &ctx->err);

	if (!r)
		r = read_nodes(&m);
	if (!r)
		r = want_all(&m, d);
	if (!r)
		r = ctx_begin(ctx);
	if (r)
		return r;
	r = import(&m);
	state_end(&ctx->st, m.touched);
	return r;
}
#else
static int import_text(struct clite_ctx *ctx, const char *text, size_t len,
		       const struct clite_service_import_opts *o)
{
	(void)text, (void)len, (void)o;
	return err_set(&ctx->err, CLITE_EUNSUPPORTED,
		       "this library was built without libyaml and reads no documents");
}
#endif

int clite_service_import(struct clite_ctx *ctx, const char *text, size_t len,
			 const struct clite_service_import_opts *opts)
{
	struct clite_service_import_opts o;
	int r = text ? ctx_enter(ctx) : -EINVAL;

	if (r)
		return r;
	if (opts_copy(&o, sizeof(o), opts))
		return err_set(&ctx->err, EINVAL,
			       "not a struct clite_service_import_opts of this library");
	r = import_text(ctx, text, len, &o);
	if (r == -ENOMEM && !ctx->err.text)
		err_set(&ctx->err, ENOMEM, "no memory");
	return r;
}
