/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/service_document.h"

#include "model/document_object.h"
#include "model/service_field.h"

/* ---- memory ---------------------------------------------------------------------- */

struct arena_block {
	struct arena_block *next;
	_Alignas(max_align_t) char data[];
};

void *arena_alloc(struct arena *a, size_t n, size_t size)
{
	struct arena_block *b;
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) ||
	    __builtin_add_overflow(bytes, sizeof(*b), &bytes))
		return NULL;
	b = calloc(1, bytes);
	if (!b)
		return NULL;
	b->next = a->blocks;
	a->blocks = b;
	return b->data;
}

char *arena_strdup(struct arena *a, const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy = arena_alloc(a, n, 1);

	return copy ? memcpy(copy, s, n) : NULL;
}

static void arena_clear(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *next = a->blocks->next;

		free(a->blocks);
		a->blocks = next;
	}
}

struct service_document *service_document_free(struct service_document *d)
{
	if (!d)
		return NULL;
	if (d->objects) {
		for (size_t i = 0; i < d->objects->nservices; i++)
			labels_clear(&d->objects->services[i].labels);
		arena_clear(&d->objects->arena);
		free(d->objects->services);
		free(d->objects->slices);
		free(d->objects);
	}
	for (size_t i = 0; i < d->nwarnings; i++)
		free(d->warnings[i]);
	free(d->warnings);
	free(d->fronts);
	free(d);
	return NULL;
}

void service_document_freep(struct service_document **d)
{
	service_document_free(*d);
}

/* ---- streams ---------------------------------------------------------------------- */

enum kind { KIND_SERVICE, KIND_SLICE, KIND_ENDPOINTS };

static const struct kind_name kinds[] = {
	[KIND_SERVICE] = { "Service", "v1", KIND_SERVICE },
	[KIND_SLICE] = { "EndpointSlice", "discovery.k8s.io/v1", KIND_SLICE },
	[KIND_ENDPOINTS] = { "Endpoints", "v1", KIND_ENDPOINTS },
	{ "List", "v1", KIND_LIST },
	{ "ServiceList", "v1", KIND_LIST },
	{ "EndpointSliceList", "discovery.k8s.io/v1", KIND_LIST },
	{ "EndpointsList", "v1", KIND_LIST },
};

static int read_object(const struct reader *r, const struct ydoc *doc, const struct ynode *root,
		       const struct path *p, int kind, void *data)
{
	(void)doc;
	if (kind == KIND_SERVICE)
		return service_read(r, data, root, p);
	return kind == KIND_SLICE ? service_slice_read(r, data, root, p) :
				    service_endpoints_read(r, data, root, p);
}

static int read_state_list(const struct reader *r, struct service_document *d,
			   const struct ynode *list, const char *key, enum kind kind)
{
	struct path p = { .key = key };
	size_t i = 0;
	int res = list ? doc_list(r, list, &p) : 0;

	for (const struct ynode *n = list ? list->first : NULL; res >= 0 && n; n = n->next) {
		struct path here = { .up = &p, .index = i++ };

		res = object_check_kind(r, n, &here, &kinds[kind]);
		if (res >= 0)
			res = read_object(r, NULL, n, &here, kind, d);
	}
	return res;
}

/* The file of Cilium's standalone load balancer: two lists of objects that need not
 * say what they are. */
static int read_state_file(const struct reader *r, const struct ydoc *doc, void *data)
{
	static const struct field fields[] = { { .name = "services" }, { .name = "endpoints" } };
	const struct ynode *root = doc->root, *got[2];
	int res;

	if (root->kind != YNODE_MAP || object_find(root, "kind") ||
	    !(object_find(root, "services") || object_find(root, "endpoints")))
		return 0;
	res = service_fields(r, root, NULL, fields, 2, got);
	if (res >= 0)
		res = read_state_list(r, data, got[0], "services", KIND_SERVICE);
	if (res >= 0)
		res = read_state_list(r, data, got[1], "endpoints", KIND_SLICE);
	return res < 0 ? res : 1;
}

int service_document_read(const char *text, size_t len, const struct document_limits *limits,
			  const char *filename, struct service_document **ret, struct errtext *err)
{
	static const struct document_limits usual;
	_cleanup_(service_document_freep) struct service_document *d = calloc(1, sizeof(*d));
	const struct reader r = { .filename = filename ? filename : "<memory>", .err = err };
	const struct object_reader objects = {
		.kinds = kinds,
		.nkinds = ARRAY_SIZE(kinds),
		.lacks = "needs 'kind: Service' or 'kind: EndpointSlice'",
		.others = "is not supported: Service, EndpointSlice, Endpoints and lists of them "
			  "are",
		.item = "a Service or an EndpointSlice",
		.document = "a Service, an EndpointSlice or a list of them",
		.read = read_object,
		.other = read_state_file,
		.data = d,
	};
	int res;

	if (!d)
		return -ENOMEM;
	d->objects = calloc(1, sizeof(*d->objects));
	if (!d->objects)
		return -ENOMEM;
	res = objects_read(text, len, limits ? limits : &usual, r.filename, &objects, err);
	if (res >= 0)
		res = service_resolve(&r, d, object_limits(limits ? limits : &usual).nodes);
	if (res < 0)
		return res;
	*ret = TAKE_PTR(d);
	return 0;
}
