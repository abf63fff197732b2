/* SPDX-License-Identifier: BSD-2-Clause */
/* EndpointSlice and Endpoints: what stands behind services. */
#include <cilium-lite/version.h>

#include "model/document_k8s.h"
#include "model/service_field.h"

#define SERVICE_NAME_LABEL "kubernetes.io/service-name"

/* ---- EndpointSlice ---------------------------------------------------------------- */

/* [{name: a}, {name: b}] as {"a", "b", NULL}; NULL if it is empty. */
static int read_hints(const struct reader *r, struct service_document *d, const struct ynode *list,
		      const struct path *p, const char *const **ret)
{
	static const struct field fields[] = { { .name = "name" } };
	const char **v;
	size_t i = 0;
	int res = doc_list(r, list, p);

	if (res < 0 || !list->n)
		return res;
	v = arena_alloc(&d->objects->arena, list->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	*ret = v;
	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next, i++) {
		struct path here = { .up = p, .index = i };
		struct path name = { .up = &here, .key = "name" };
		const struct ynode *got;

		res = service_fields(r, n, &here, fields, 1, &got);
		if (res >= 0 && !got)
			return doc_fail(r, n->line, &here, CLITE_EDOCUMENT, "needs a name");
		if (res >= 0)
			res = service_string(r, d, got, &name, &v[i]);
	}
	return res;
}

static int read_all_hints(const struct reader *r, struct service_document *d, const struct ynode *n,
			  const struct path *up, struct slice_endpoint *e)
{
	static const struct field fields[] = { { .name = "forZones" }, { .name = "forNodes" } };
	struct path p = { .up = up, .key = "hints" };
	struct path zones = { .up = &p, .key = "forZones" };
	struct path nodes = { .up = &p, .key = "forNodes" };
	const struct ynode *got[2] = {};
	int res = n ? service_fields(r, n, &p, fields, 2, got) : 0;

	if (res >= 0 && got[0])
		res = read_hints(r, d, got[0], &zones, &e->zones);
	if (res >= 0 && got[1])
		res = read_hints(r, d, got[1], &nodes, &e->nodes);
	return res;
}

/* What is not said: it is ready, serves if it is ready, and does not end. */
static int read_conditions(const struct reader *r, const struct ynode *n, const struct path *up,
			   enum readiness *ret)
{
	enum { READY, SERVING, TERMINATING, COUNT };
	static const struct field fields[COUNT] = {
		[READY] = { .name = "ready" },
		[SERVING] = { .name = "serving" },
		[TERMINATING] = { .name = "terminating" },
	};
	struct path p = { .up = up, .key = "conditions" };
	const struct ynode *got[COUNT] = {};
	bool is[COUNT] = { [READY] = true };
	int res = n ? service_fields(r, n, &p, fields, COUNT, got) : 0;

	for (size_t i = 0; res >= 0 && i < COUNT; i++) {
		struct path here = { .up = &p, .key = fields[i].name };

		if (i == SERVING)
			is[SERVING] = is[READY];
		if (got[i])
			res = doc_bool(r, got[i], &here, &is[i]);
	}
	if (is[READY])
		*ret = ENDPOINT_READY;
	else
		*ret = is[SERVING] && is[TERMINATING] ? ENDPOINT_DRAINING : ENDPOINT_NOT_READY;
	return res;
}

/* Where it is: its own field, else that of the older topology. */
static int read_place(const struct reader *r, struct service_document *d, const struct ynode *n,
		      const struct ynode *topology, const struct path *up, const char *key,
		      const char *topology_key, const char **ret)
{
	struct path p = { .up = up, .key = n ? key : "deprecatedTopology" };

	if (!n)
		n = service_peek(topology, topology_key);
	return n ? service_string(r, d, n, &p, ret) : 0;
}

static int check_family(const struct reader *r, const struct ynode *list, const struct path *p,
			const struct address_list *got, uint8_t family)
{
	const struct ynode *n = list->first;

	for (size_t i = 0; i < got->n; i++, n = n->next) {
		struct path here = { .up = p, .index = i };

		if (got->v[i].family != family)
			return doc_fail_value(r, n, &here, CLITE_EDOCUMENT,
					      family == 4 ?
						      "is no IPv4 address, as addressType says" :
						      "is no IPv6 address, as addressType says");
	}
	return 0;
}

static int read_endpoint(const struct reader *r, struct service_document *d, const struct ynode *n,
			 const struct path *p, uint8_t family, struct slice_endpoint *e)
{
	enum { ADDRESSES, CONDITIONS, HOSTNAME, TARGET, TOPOLOGY, NODE, ZONE, HINTS, COUNT };
	static const struct field fields[COUNT] = {
		[ADDRESSES] = { .name = "addresses" },
		[CONDITIONS] = { .name = "conditions" },
		[HOSTNAME] = { .name = "hostname" },
		[TARGET] = { .name = "targetRef" },
		[TOPOLOGY] = { .name = "deprecatedTopology" },
		[NODE] = { .name = "nodeName" },
		[ZONE] = { .name = "zone" },
		[HINTS] = { .name = "hints" },
	};
	struct path addresses = { .up = p, .key = "addresses" };
	const struct ynode *got[COUNT];
	int res = service_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[ADDRESSES])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs addresses");
	res = service_addresses(r, d, got[ADDRESSES], &addresses, service_address, &e->addresses);
	if (res >= 0)
		res = check_family(r, got[ADDRESSES], &addresses, &e->addresses, family);
	if (res >= 0)
		res = read_conditions(r, got[CONDITIONS], p, &e->readiness);
	if (res >= 0)
		res = read_place(r, d, got[NODE], got[TOPOLOGY], p, "nodeName",
				 "kubernetes.io/hostname", &e->node);
	if (res >= 0)
		res = read_place(r, d, got[ZONE], got[TOPOLOGY], p, "zone",
				 "topology.kubernetes.io/zone", &e->zone);
	return res >= 0 ? read_all_hints(r, d, got[HINTS], p, e) : res;
}

static int read_endpoints(const struct reader *r, struct service_document *d,
			  const struct ynode *list, const struct path *up, uint8_t family,
			  struct slice_object *s)
{
	struct path p = { .up = up, .key = "endpoints" };
	int res = doc_list(r, list, &p);

	if (res < 0)
		return res;
	s->endpoints = arena_alloc(&d->objects->arena, list->n, sizeof(*s->endpoints));
	if (!s->endpoints)
		return -ENOMEM;
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = &p, .index = s->nendpoints };

		res = read_endpoint(r, d, n, &here, family, &s->endpoints[s->nendpoints]);
		if (res < 0)
			return res;
		s->nendpoints++;
	}
	return 0;
}

/* A port without a number is every port, to some; there is nothing to send to. */
static int read_slice_port(const struct reader *r, struct service_document *d,
			   const struct ynode *n, const struct path *p, struct slice_object *s)
{
	enum { NAME, PROTOCOL, PORT, APP_PROTOCOL, COUNT };
	static const struct field fields[COUNT] = {
		[NAME] = { .name = "name" },
		[PROTOCOL] = { .name = "protocol" },
		[PORT] = { .name = "port" },
		[APP_PROTOCOL] = { .name = "appProtocol" },
	};
	struct path name = { .up = p, .key = "name" }, port = { .up = p, .key = "port" };
	struct slice_port *to = &s->ports[s->nports];
	const struct ynode *got[COUNT];
	int res = service_fields(r, n, p, fields, COUNT, got);

	if (res >= 0)
		res = service_port_name(r, d, got[NAME], &name, &to->name);
	if (res >= 0)
		res = service_protocol(r, got[PROTOCOL], p, &to->protocol);
	if (res < 0)
		return res;
	if (!got[PORT])
		return service_warn(r, d, n->line, p, "is a port without a number: it is not used");
	res = document_port(r, got[PORT], &port, &to->port);
	if (res >= 0)
		s->nports++;
	return res;
}

static int read_slice_ports(const struct reader *r, struct service_document *d,
			    const struct ynode *list, const struct path *up, struct slice_object *s)
{
	struct path p = { .up = up, .key = "ports" };
	size_t i = 0;
	int res = doc_list(r, list, &p);

	if (res < 0)
		return res;
	s->ports = arena_alloc(&d->objects->arena, list->n, sizeof(*s->ports));
	if (!s->ports)
		return -ENOMEM;
	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next) {
		struct path here = { .up = &p, .index = i++ };

		res = read_slice_port(r, d, n, &here, s);
	}
	return res;
}

/* Cilium's weight of all back ends of a slice; 0 takes them out of service. */
static int read_weight(const struct reader *r, const struct service_meta *m, struct slice_object *s)
{
	static const char key[] = "service.cilium.io/weight";
	struct path p = { .up = &m->annotations_path, .key = key };
	const struct ynode *n = service_peek(m->annotations, key);
	unsigned int v = 1;
	int res = n ? doc_number(r, n, &p, UINT16_MAX, &v) : 0;

	s->maintenance = v == 0;
	s->weight = v ? (uint16_t)v : 1;
	return res;
}

enum slice_field { L_API_VERSION, L_KIND, L_METADATA, L_TYPE, L_ENDPOINTS, L_PORTS, L_COUNT };

static int read_slice_parts(const struct reader *r, struct service_document *d,
			    const struct ynode *const *got, const struct path *p,
			    const struct service_meta *m, uint8_t family, struct slice_object *s)
{
	int res = read_weight(r, m, s);

	s->family = family;
	if (res >= 0 && got[L_PORTS])
		res = read_slice_ports(r, d, got[L_PORTS], p, s);
	if (res >= 0 && got[L_ENDPOINTS])
		res = read_endpoints(r, d, got[L_ENDPOINTS], p, family, s);
	return res;
}

/* Append one; -ENOMEM. */
static struct slice_object *add_slice(struct service_document *d, const struct service_meta *m,
				      const char *service)
{
	struct service_objects *o = d->objects;

	if (!array_grow(&o->slices, &o->slices_cap, o->nslices))
		return NULL;
	o->slices[o->nslices] = (struct slice_object){ .namespace = m->namespace,
						       .service = service,
						       .name = m->full,
						       .line = m->line,
						       .weight = 1 };
	return &o->slices[o->nslices++];
}

/* *ret is 4 or 6; 0 of a slice that is not for us. */
static int read_address_type(const struct reader *r, struct service_document *d,
			     const struct ynode *root, const struct ynode *n, const struct path *up,
			     uint8_t *ret)
{
	static const char *const words[] = { "", "FQDN", "IPv4", "IPv6" };
	static const uint8_t families[] = { 0, 0, 4, 6 };
	struct path p = { .up = up, .key = "addressType" };
	unsigned int v = 0;
	int res = service_word(r, n, &p, words, ARRAY_SIZE(words),
			       "is no type of addresses: IPv4 and IPv6 are", &v);

	if (res < 0)
		return res;
	if (!v)
		return doc_fail(r, root->line, up, CLITE_EDOCUMENT,
				"needs 'addressType: IPv4' or 'addressType: IPv6'");
	*ret = families[v];
	return *ret ? 0 : service_warn(r, d, n->line, &p, "is FQDN: the slice is not used");
}

int service_slice_read(const struct reader *r, struct service_document *d, const struct ynode *root,
		       const struct path *p)
{
	static const struct field fields[L_COUNT] = {
		[L_API_VERSION] = { .name = "apiVersion" }, [L_KIND] = { .name = "kind" },
		[L_METADATA] = { .name = "metadata" },	    [L_TYPE] = { .name = "addressType" },
		[L_ENDPOINTS] = { .name = "endpoints" },    [L_PORTS] = { .name = "ports" },
	};
	const struct ynode *got[L_COUNT];
	struct slice_object *s;
	const char *service;
	uint8_t family = 0;
	struct service_meta m = {};
	int res = service_fields(r, root, p, fields, L_COUNT, got);

	if (res < 0)
		return res;
	if (!got[L_METADATA])
		return doc_fail(r, root->line, p, CLITE_EDOCUMENT,
				"needs metadata with the label " SERVICE_NAME_LABEL);
	res = service_meta(r, d, got[L_METADATA], p, &m);
	if (res >= 0)
		res = service_meta_value(r, m.labels, &m.labels_path, SERVICE_NAME_LABEL, &service);
	if (res >= 0)
		res = read_address_type(r, d, root, got[L_TYPE], p, &family);
	if (res < 0 || !family)
		return res;
	if (!service || !*service)
		return service_warn(r, d, m.line, p,
				    "has no label " SERVICE_NAME_LABEL ": the slice is not used");
	service = arena_strdup(&d->objects->arena, service);
	s = service ? add_slice(d, &m, service) : NULL;
	return s ? read_slice_parts(r, d, got, p, &m, family, s) : -ENOMEM;
}

/* ---- Endpoints -------------------------------------------------------------------- */

static int read_old_address(const struct reader *r, struct service_document *d,
			    const struct ynode *n, const struct path *p, struct slice_endpoint *e)
{
	enum { IP, HOSTNAME, NODE, TARGET, COUNT };
	static const struct field fields[COUNT] = {
		[IP] = { .name = "ip" },
		[HOSTNAME] = { .name = "hostname" },
		[NODE] = { .name = "nodeName" },
		[TARGET] = { .name = "targetRef" },
	};
	struct path ip = { .up = p, .key = "ip" }, node = { .up = p, .key = "nodeName" };
	const struct ynode *got[COUNT];
	int res = service_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (service_is_empty(got[IP]))
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs an ip");
	res = service_one_address(r, d, got[IP], &ip, &e->addresses);
	return res >= 0 && got[NODE] ? service_string(r, d, got[NODE], &node, &e->node) : res;
}

static int read_old_addresses(const struct reader *r, struct service_document *d,
			      const struct ynode *list, const struct path *p,
			      enum readiness readiness, struct slice_object *s)
{
	size_t i = 0;
	int res = 0;

	for (const struct ynode *n = list ? list->first : NULL; res >= 0 && n; n = n->next) {
		struct path here = { .up = p, .index = i++ };
		struct slice_endpoint *e = &s->endpoints[s->nendpoints++];

		e->readiness = readiness;
		res = read_old_address(r, d, n, &here, e);
	}
	return res;
}

static int read_subset(const struct reader *r, struct service_document *d, const struct ynode *n,
		       const struct path *p, struct slice_object *s)
{
	enum { ADDRESSES, NOT_READY, PORTS, COUNT };
	static const struct field fields[COUNT] = {
		[ADDRESSES] = { .name = "addresses" },
		[NOT_READY] = { .name = "notReadyAddresses" },
		[PORTS] = { .name = "ports" },
	};
	struct path ready = { .up = p, .key = "addresses" };
	struct path not_ready = { .up = p, .key = "notReadyAddresses" };
	const struct ynode *got[COUNT];
	int res = service_fields(r, n, p, fields, COUNT, got);

	if (res >= 0 && got[ADDRESSES])
		res = doc_list(r, got[ADDRESSES], &ready);
	if (res >= 0 && got[NOT_READY])
		res = doc_list(r, got[NOT_READY], &not_ready);
	if (res >= 0 && got[PORTS])
		res = read_slice_ports(r, d, got[PORTS], p, s);
	if (res < 0)
		return res;
	s->endpoints = arena_alloc(&d->objects->arena,
				   (got[ADDRESSES] ? got[ADDRESSES]->n : 0) +
					   (got[NOT_READY] ? got[NOT_READY]->n : 0),
				   sizeof(*s->endpoints));
	if (!s->endpoints)
		return -ENOMEM;
	res = read_old_addresses(r, d, got[ADDRESSES], &ready, ENDPOINT_READY, s);
	if (res >= 0)
		res = read_old_addresses(r, d, got[NOT_READY], &not_ready, ENDPOINT_NOT_READY, s);
	return res;
}

static int read_subsets(const struct reader *r, struct service_document *d,
			const struct ynode *list, const struct path *up,
			const struct service_meta *m)
{
	struct path p = { .up = up, .key = "subsets" };
	size_t i = 0;
	int res = doc_list(r, list, &p);

	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next) {
		struct path here = { .up = &p, .index = i };
		struct slice_object *s = add_slice(d, m, m->name);

		if (!s)
			return -ENOMEM;
		s->legacy = true;
		s->subset = i++ > 0;
		res = read_subset(r, d, n, &here, s);
	}
	return res;
}

int service_endpoints_read(const struct reader *r, struct service_document *d,
			   const struct ynode *root, const struct path *p)
{
	enum { API_VERSION, KIND, METADATA, SUBSETS, COUNT };
	static const struct field fields[COUNT] = {
		[API_VERSION] = { .name = "apiVersion" },
		[KIND] = { .name = "kind" },
		[METADATA] = { .name = "metadata" },
		[SUBSETS] = { .name = "subsets" },
	};
	const struct ynode *got[COUNT];
	struct service_meta m = {};
	int res = service_fields(r, root, p, fields, COUNT, got);

	if (res < 0)
		return res;
	res = service_named_meta(r, d, root, got[METADATA], p, &m);
	if (res < 0)
		return res;
	return got[SUBSETS] ? read_subsets(r, d, got[SUBSETS], p, &m) : 0;
}
