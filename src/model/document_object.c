/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/document_object.h"

#include <cilium-lite/version.h>

#define NAME_MAX_BYTES 255

const struct ynode *object_find(const struct ynode *map, const char *key)
{
	for (const struct ynode *n = map->first; n; n = n->next)
		if (strcmp(n->key, key) == 0)
			return n;
	return NULL;
}

/* ---- metadata ------------------------------------------------------------ */

const char *object_bad_name(const char *name)
{
	if (strlen(name) > NAME_MAX_BYTES)
		return "is longer than 255 bytes, with its namespace";
	for (const char *c = name; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return "holds a control character";
	return NULL;
}

int object_metadata(const struct reader *r, const struct ynode *n, const struct path *p,
		    const struct ynode *got[META_COUNT])
{
	static const struct field fields[META_COUNT] = {
		[META_NAME] = { .name = "name" },
		[META_NAMESPACE] = { .name = "namespace" },
		[META_LABELS] = { .name = "labels" },
		[META_ANNOTATIONS] = { .name = "annotations" },
		{ .name = "creationTimestamp" },
		{ .name = "deletionGracePeriodSeconds" },
		{ .name = "deletionTimestamp" },
		{ .name = "finalizers" },
		{ .name = "generateName" },
		{ .name = "generation" },
		{ .name = "managedFields" },
		{ .name = "ownerReferences" },
		{ .name = "resourceVersion" },
		{ .name = "selfLink" },
		{ .name = "uid" },
	};

	return doc_fields(r, n, p, fields, META_COUNT, got);
}

int object_namespace(const struct reader *r, const struct ynode *n, const struct path *p,
		     const char **ret)
{
	int res = doc_string(r, n, p, ret);

	if (res < 0)
		return res;
	if (!**ret || strchr(*ret, '/'))
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT, "is no name of a namespace");
	return 0;
}

/* ---- kinds --------------------------------------------------------------- */

static int check_api(const struct reader *r, const struct ynode *root, const struct path *p,
		     const char *wanted)
{
	const struct ynode *api = object_find(root, "apiVersion");
	struct path here = { .up = p, .key = "apiVersion" };
	_cleanup_buf_ struct buf text = {};
	const char *s;
	int res;

	if (!api)
		return doc_fail(r, root->line, p, CLITE_EDOCUMENT, "needs 'apiVersion: %s'",
				wanted);
	res = doc_string(r, api, &here, &s);
	if (res < 0 || strcmp(s, wanted) == 0)
		return res;
	buf_printf(&text, "is not the version: write %s", wanted);
	return text.failed ? -ENOMEM : doc_fail_value(r, api, &here, CLITE_EDOCUMENT, text.data);
}

/* Before all other fields: those of another kind would be called unknown. */
static int read_kind(const struct reader *r, const struct object_reader *o,
		     const struct ynode *root, const struct path *p, int *ret)
{
	const struct ynode *kind = object_find(root, "kind");
	struct path here = { .up = p, .key = "kind" };
	const char *s;
	int res;

	if (!kind)
		return doc_fail(r, root->line, p, CLITE_EDOCUMENT, "%s", o->lacks);
	res = doc_string(r, kind, &here, &s);
	if (res < 0)
		return res;
	for (size_t i = 0; i < o->nkinds; i++)
		if (strcmp(o->kinds[i].name, s) == 0) {
			*ret = o->kinds[i].kind;
			return check_api(r, root, p, o->kinds[i].api);
		}
	return doc_fail_value(r, kind, &here, CLITE_EUNSUPPORTED, o->others);
}

int object_check_kind(const struct reader *r, const struct ynode *root, const struct path *p,
		      const struct kind_name *wanted)
{
	const struct ynode *kind = root->kind == YNODE_MAP ? object_find(root, "kind") : NULL;
	struct path here = { .up = p, .key = "kind" };
	_cleanup_buf_ struct buf text = {};
	const char *s;
	int res;

	if (!kind)
		return 0;
	res = doc_string(r, kind, &here, &s);
	if (res < 0)
		return res;
	if (strcmp(s, wanted->name) == 0)
		return check_api(r, root, p, wanted->api);
	buf_printf(&text, "is not what stands here: %s", wanted->name);
	return text.failed ? -ENOMEM : doc_fail_value(r, kind, &here, CLITE_EDOCUMENT, text.data);
}

/* ---- documents ----------------------------------------------------------- */

static int read_map(const struct reader *r, const struct object_reader *o, const struct ydoc *doc,
		    const struct ynode *root, const struct path *p);

static int read_items(const struct reader *r, const struct object_reader *o, const struct ydoc *doc,
		      const struct ynode *items, const struct path *p)
{
	size_t i = 0;
	int res = doc_list(r, items, p);

	for (const struct ynode *n = items->first; res >= 0 && n; n = n->next) {
		struct path here = { .up = p, .index = i++ };

		if (n->kind != YNODE_MAP)
			return doc_fail_type(r, n, &here, o->item);
		res = read_map(r, o, doc, n, &here);
	}
	return res;
}

static int read_list_object(const struct reader *r, const struct object_reader *o,
			    const struct ydoc *doc, const struct ynode *root, const struct path *p)
{
	enum { API_VERSION, KIND, METADATA, ITEMS, COUNT };
	static const struct field fields[COUNT] = {
		[API_VERSION] = { .name = "apiVersion" },
		[KIND] = { .name = "kind" },
		[METADATA] = { .name = "metadata" }, /* of the list: nothing for us */
		[ITEMS] = { .name = "items" },
	};
	struct path items = { .up = p, .key = "items" };
	const struct ynode *got[COUNT];
	int res = doc_fields(r, root, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[ITEMS])
		return doc_fail(r, root->line, p, CLITE_EDOCUMENT, "needs items");
	return read_items(r, o, doc, got[ITEMS], &items);
}

static int read_map(const struct reader *r, const struct object_reader *o, const struct ydoc *doc,
		    const struct ynode *root, const struct path *p)
{
	int kind = 0;
	int res = read_kind(r, o, root, p, &kind);

	if (res < 0)
		return res;
	if (kind != KIND_LIST)
		return o->read(r, doc, root, p, kind, o->data);
	if (p)
		return doc_fail(r, root->line, p, CLITE_EDOCUMENT, "is a list in a list");
	return read_list_object(r, o, doc, root, p);
}

/* Objects with a kind, as "kubectl get -o json" may be cut to. */
static bool is_objects(const struct ynode *list)
{
	return list->kind == YNODE_LIST && list->first && list->first->kind == YNODE_MAP &&
	       object_find(list->first, "kind");
}

static int read_document(const struct reader *r, const struct object_reader *o,
			 const struct ydoc *doc)
{
	int res = 0;

	if (is_objects(doc->root))
		return read_items(r, o, doc, doc->root, NULL);
	if (o->other)
		res = o->other(r, doc, o->data);
	if (res != 0)
		return res;
	if (doc->root->kind == YNODE_MAP)
		return read_map(r, o, doc, doc->root, NULL);
	return doc_fail_type(r, doc->root, NULL, o->document);
}

static bool is_nothing(const struct ynode *n)
{
	return !n || (n->kind == YNODE_SCALAR && n->type == YTYPE_NULL);
}

struct ylimits object_limits(const struct document_limits *limits)
{
	return (struct ylimits){
		.bytes = limits->bytes ? limits->bytes : DOCUMENT_MAX_BYTES,
		.nodes = limits->nodes ? limits->nodes : DOCUMENT_MAX_NODES,
		.depth = limits->depth ? limits->depth : DOCUMENT_MAX_DEPTH,
	};
}

int objects_read(const char *text, size_t len, const struct document_limits *limits,
		 const char *filename, const struct object_reader *o, struct errtext *err)
{
	const struct ylimits l = object_limits(limits);
	_cleanup_(ystream_close) struct ystream s = {};
	struct reader r = { .filename = filename, .err = err };
	int res;

	if (l.depth > DOCUMENT_DEPTH_CEILING)
		return err_set(err, EINVAL, "max_depth %zu: at most %d", l.depth,
			       DOCUMENT_DEPTH_CEILING);
	res = ystream_open(&s, text ? text : "", text ? len : 0, &l, filename, err);
	while (res >= 0) {
		_cleanup_(ydoc_clear) struct ydoc doc = {};

		res = ystream_next(&s, &doc);
		if (res == 0)
			return 0;
		if (res > 0 && !is_nothing(doc.root))
			res = read_document(&r, o, &doc);
	}
	return res;
}
