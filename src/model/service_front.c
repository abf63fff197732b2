/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/service_front.h"

#include <cilium-lite/service.h>

const char *front_kind_name(enum front_kind kind)
{
	static const char *const names[] = {
		[FRONT_CLUSTER_IP] = "ClusterIP",
		[FRONT_LOAD_BALANCER] = "LoadBalancer",
		[FRONT_EXTERNAL_IP] = "ExternalIP",
		[FRONT_NODE_PORT] = "NodePort",
	};

	return names[kind];
}

/* ---- near and far ---------------------------------------------------------------- */

static bool names(const char *const *list, const char *name)
{
	for (; list && *list; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

static bool is_at(const char *place, const char *wanted)
{
	return place && strcmp(place, wanted) == 0;
}

static bool on_node(const struct service_backend *b, const char *node, bool hints)
{
	return hints ? names(b->nodes, node) : is_at(b->node, node);
}

static bool in_zone(const struct service_backend *b, const char *zone, bool hints)
{
	return hints ? names(b->zones, zone) : is_at(b->zone, zone);
}

typedef bool (*near_fn)(const struct service_backend *b, const char *place, bool hints);

/* Keep those that are near; false, and nothing is changed, if no active one is. */
static bool keep_near(const struct service_backend **v, size_t *n, near_fn near, const char *place,
		      bool hints)
{
	bool any = false;
	size_t kept = 0;

	for (size_t i = 0; i < *n && !any; i++)
		any = v[i]->state == CLITE_BACKEND_ACTIVE && near(v[i], place, hints);
	if (!any)
		return false;
	for (size_t i = 0; i < *n; i++)
		if (near(v[i], place, hints))
			v[kept++] = v[i];
	*n = kept;
	return true;
}

/* Hints mean something only if every active back end has them: else those without
 * would get nothing from anybody. */
static bool all_hinted(const struct service_backend *const *v, size_t n, bool nodes)
{
	for (size_t i = 0; i < n; i++)
		if (v[i]->state == CLITE_BACKEND_ACTIVE && !(nodes ? v[i]->nodes : v[i]->zones))
			return false;
	return true;
}

size_t service_front_select(const struct service_front *f, const char *node, const char *zone,
			    const struct service_backend **ret)
{
	bool local = (f->ext_local || f->int_local) && node;
	size_t n = 0;
	bool hints;

	for (size_t i = 0; i < f->nbackends; i++)
		if (!local || on_node(&f->backends[i], node, false))
			ret[n++] = &f->backends[i];
	if (local)
		return n;
	if (f->prefer_node && node && keep_near(ret, &n, on_node, node, all_hinted(ret, n, true)))
		return n;
	hints = all_hinted(ret, n, false);
	if (f->prefer_zone && zone && (hints || !f->hints_only))
		keep_near(ret, &n, in_zone, zone, hints);
	return n;
}

/* ---- changes --------------------------------------------------------------------- */

struct service_key service_front_key(const struct service_front *f)
{
	return (struct service_key){
		.address = f->address,
		.family = f->family,
		.protocol = f->protocol,
		.port = f->port,
	};
}

int service_key_cmp(const struct service_key *a, const struct service_key *b)
{
	int r;

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	r = prefix_cmp(&a->address, &b->address);
	if (r)
		return r;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return (a->protocol > b->protocol) - (a->protocol < b->protocol);
}

/* Equal keys: those of now first, then by index. */
static int change_cmp(const void *a, const void *b)
{
	const struct service_change *x = a, *y = b;
	int r = service_key_cmp(&x->key, &y->key);

	if (r)
		return r;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

int service_changes(const struct service_key *now, size_t nnow, const struct service_key *before,
		    size_t nbefore, struct service_change **ret, size_t *ret_n)
{
	size_t all = nnow + nbefore, n = 0;
	struct service_change *v = calloc(all ? all : 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < nnow; i++)
		v[i] = (struct service_change){ now[i], SERVICE_ADD, i };
	for (size_t i = 0; i < nbefore; i++)
		v[nnow + i] = (struct service_change){ before[i], SERVICE_REMOVE, i };
	qsort(v, all, sizeof(*v), change_cmp);

	for (size_t i = 0; i < all; i++) {
		if (n == 0 || service_key_cmp(&v[n - 1].key, &v[i].key) != 0)
			v[n++] = v[i];
		else if (v[i].kind == SERVICE_REMOVE && v[n - 1].kind == SERVICE_ADD)
			v[n - 1].kind = SERVICE_KEEP;
	}
	*ret = v;
	*ret_n = n;
	return 0;
}
