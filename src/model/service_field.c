/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/service_field.h"

#include <cilium-lite/version.h>
#include <netinet/in.h>

#include "model/document_k8s.h"

#define PORT_NAME_MAX 63

/* ---- fields ---------------------------------------------------------------------- */

int service_fields(const struct reader *r, const struct ynode *map, const struct path *p,
		   const struct field *fields, size_t nfields, const struct ynode **got)
{
	int res = doc_fields(r, map, p, fields, nfields, got);

	for (size_t i = 0; res >= 0 && i < nfields; i++)
		if (got[i] && got[i]->kind == YNODE_SCALAR && got[i]->type == YTYPE_NULL)
			got[i] = NULL;
	return res;
}

const struct ynode *service_peek(const struct ynode *map, const char *key)
{
	const struct ynode *n = map && map->kind == YNODE_MAP ? object_find(map, key) : NULL;

	return n && n->kind == YNODE_SCALAR && n->type == YTYPE_NULL ? NULL : n;
}

int service_warn(const struct reader *r, struct service_document *d, uint32_t line,
		 const struct path *p, const char *text)
{
	struct errtext said = {};
	struct reader to_us = { .filename = r->filename, .err = &said };

	if (!array_grow(&d->warnings, &d->objects->warnings_cap, d->nwarnings))
		return -ENOMEM;
	if (doc_fail(&to_us, line, p, 0, "%s", text) < 0 || !said.text) {
		err_clear(&said);
		return -ENOMEM;
	}
	d->warnings[d->nwarnings++] = said.text;
	return 0;
}

int service_string(const struct reader *r, struct service_document *d, const struct ynode *n,
		   const struct path *p, const char **ret)
{
	const char *s;
	int res = doc_string(r, n, p, &s);

	if (res < 0)
		return res;
	*ret = arena_strdup(&d->objects->arena, s);
	return *ret ? 0 : -ENOMEM;
}

int service_word(const struct reader *r, const struct ynode *n, const struct path *p,
		 const char *const *words, size_t nwords, const char *others, unsigned int *ret)
{
	const char *s;
	int res = n ? doc_string(r, n, p, &s) : 0;

	if (!n || res < 0 || !*s)
		return res;
	for (unsigned int i = 0; i < nwords; i++)
		if (strcmp(s, words[i]) == 0) {
			*ret = i;
			return 0;
		}
	return doc_fail_value(r, n, p, CLITE_EDOCUMENT, others);
}

int service_port_name(const struct reader *r, struct service_document *d, const struct ynode *n,
		      const struct path *p, const char **ret)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t len;
	int res = 0;

	*ret = "";
	if (n)
		res = service_string(r, d, n, p, ret);
	if (res < 0)
		return res;
	len = strlen(*ret);
	if (len > PORT_NAME_MAX || (*ret)[strspn(*ret, letters)])
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT,
				      "is no name of a port: at most 63 of a-z, 0-9 and '-'");
	return 0;
}

int service_protocol(const struct reader *r, const struct ynode *n, const struct path *up,
		     uint8_t *ret)
{
	struct path p = { .up = up, .key = "protocol" };

	*ret = IPPROTO_TCP;
	return n ? document_protocol(r, n, &p, ret) : 0;
}

/* ---- addresses ------------------------------------------------------------------- */

int service_address(const struct reader *r, const struct ynode *n, const struct path *p,
		    struct prefix *ret)
{
	static const uint8_t nothing[sizeof(ret->ip)];
	const char *s;
	int res = doc_string(r, n, p, &s);

	if (res < 0)
		return res;
	if (addr_parse(s, ret) < 0)
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT, "is no IPv4 or IPv6 address");
	if (memcmp(ret->ip, nothing, sizeof(nothing)) == 0)
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT,
				      "is the address of nothing: no service and no back end "
				      "has it");
	return 0;
}

int service_addresses(const struct reader *r, struct service_document *d, const struct ynode *list,
		      const struct path *p, address_fn read, struct address_list *ret)
{
	size_t i = 0;
	int res = doc_list(r, list, p);

	if (res < 0)
		return res;
	ret->v = arena_alloc(&d->objects->arena, list->n, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next) {
		struct path here = { .up = p, .index = i++ };

		res = read(r, n, &here, &ret->v[ret->n]);
		if (res >= 0)
			ret->n++;
	}
	return res;
}

bool service_is_empty(const struct ynode *n)
{
	return !n || (n->kind == YNODE_SCALAR && n->type == YTYPE_STRING && !*n->text);
}

int service_one_address(const struct reader *r, struct service_document *d, const struct ynode *n,
			const struct path *p, struct address_list *ret)
{
	int res;

	if (service_is_empty(n))
		return 0;
	ret->v = arena_alloc(&d->objects->arena, 1, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	res = service_address(r, n, p, ret->v);
	if (res >= 0)
		ret->n = 1;
	return res;
}

/* ---- metadata -------------------------------------------------------------------- */

static int read_full_name(const struct reader *r, struct service_document *d, const struct ynode *n,
			  const struct path *p, struct service_meta *m)
{
	_cleanup_buf_ struct buf full = {}, shown = {};
	const char *bad;
	int res = service_string(r, d, n, p, &m->name);

	if (res < 0)
		return res;
	buf_printf(&full, "%s/%s", m->namespace, m->name);
	if (full.failed)
		return -ENOMEM;
	bad = *m->name ? object_bad_name(full.data) : "is empty";
	if (!bad && strchr(m->name, '/'))
		bad = "holds a slash: a namespace has its own field";
	if (bad) {
		buf_excerpt(&shown, *m->name ? full.data : "");
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "the name '%s' %s",
				shown.data ? shown.data : "", bad);
	}
	m->line = n->line;
	m->full = arena_strdup(&d->objects->arena, full.data);
	return m->full ? 0 : -ENOMEM;
}

static int check_map(const struct reader *r, const struct ynode **n, const struct path *p)
{
	if (*n && (*n)->kind == YNODE_SCALAR && (*n)->type == YTYPE_NULL)
		*n = NULL;
	return *n && (*n)->kind != YNODE_MAP ? doc_fail_type(r, *n, p, "a map") : 0;
}

int service_meta(const struct reader *r, struct service_document *d, const struct ynode *n,
		 const struct path *up, struct service_meta *m)
{
	struct path name = { .up = &m->path, .key = "name" };
	struct path namespace = { .up = &m->path, .key = "namespace" };
	const struct ynode *got[META_COUNT];
	const char *said = "default"; /* as in Kubernetes */
	int res;

	m->path = (struct path){ .up = up, .key = "metadata" };
	m->labels_path = (struct path){ .up = &m->path, .key = "labels" };
	m->annotations_path = (struct path){ .up = &m->path, .key = "annotations" };
	res = object_metadata(r, n, &m->path, got);
	if (res >= 0 && got[META_NAMESPACE])
		res = object_namespace(r, got[META_NAMESPACE], &namespace, &said);
	if (res < 0)
		return res;
	m->line = n->line;
	m->labels = got[META_LABELS];
	m->annotations = got[META_ANNOTATIONS];
	m->namespace = arena_strdup(&d->objects->arena, said);
	if (!m->namespace)
		return -ENOMEM;
	if (got[META_NAME])
		res = read_full_name(r, d, got[META_NAME], &name, m);
	if (res >= 0)
		res = check_map(r, &m->labels, &m->labels_path);
	if (res >= 0)
		res = check_map(r, &m->annotations, &m->annotations_path);
	return res;
}

int service_named_meta(const struct reader *r, struct service_document *d,
		       const struct ynode *object, const struct ynode *n, const struct path *up,
		       struct service_meta *m)
{
	int res;

	if (!n)
		return doc_fail(r, object->line, up, CLITE_EDOCUMENT, "needs metadata with a name");
	res = service_meta(r, d, n, up, m);
	if (res >= 0 && !m->name)
		return doc_fail(r, m->line, &m->path, CLITE_EDOCUMENT, "needs a name");
	return res;
}

int service_meta_value(const struct reader *r, const struct ynode *map, const struct path *up,
		       const char *key, const char **ret)
{
	const struct ynode *n = service_peek(map, key);
	struct path p = { .up = up, .key = key };

	*ret = NULL;
	return n ? doc_string(r, n, &p, ret) : 0;
}
