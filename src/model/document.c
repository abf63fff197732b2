/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/document.h"

#include <cilium-lite/policy.h>

#include "model/document_rule.h"

#define NAME_MAX_BYTES 255

/* A document whose policy is being read. */
struct document {
	const struct ydoc *doc;
	const char *default_name;
	struct policy *policy;
	size_t parts_cap;
	uint32_t name_line;
};

/* ---- names -------------------------------------------------------------- */

static const char *bad_name(const char *name)
{
	if (!*name)
		return "is empty: a policy needs a name";
	if (strlen(name) > NAME_MAX_BYTES)
		return "is longer than 255 bytes, with its namespace";
	for (const char *c = name; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return "holds a control character";
	return NULL;
}

/* Take a name for the policy, "namespace/name" with a namespace. */
static int set_name(const struct reader *r, struct document *d, uint32_t line, const struct path *p,
		    const char *namespace, const char *name)
{
	_cleanup_buf_ struct buf full = {}, shown = {};
	const char *bad;

	if (namespace)
		buf_printf(&full, "%s/", namespace);
	buf_puts(&full, name);
	if (full.failed)
		return -ENOMEM;

	bad = *name ? bad_name(full.data) : bad_name(name);
	if (bad) {
		buf_excerpt(&shown, full.data);
		return doc_fail(r, line, p, CLITE_EDOCUMENT, "the name '%s' %s",
				shown.data ? shown.data : "", bad);
	}
	d->name_line = line;
	d->policy->name = TAKE_PTR(full.data);
	return 0;
}

/* "dir/web.yaml": "web". */
static char *base_name(const char *filename)
{
	static const char *const endings[] = { ".yaml", ".yml", ".json" };
	const char *slash = strrchr(filename, '/');
	const char *base = slash ? slash + 1 : filename;
	size_t n = strlen(base);

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		size_t e = strlen(endings[i]);

		if (n > e && strcmp(base + n - e, endings[i]) == 0) {
			n -= e;
			break;
		}
	}
	return strndup(base, n);
}

/* ---- parts -------------------------------------------------------------- */

static int read_part(const struct reader *r, struct document *d, const struct ynode *n,
		     const struct path *p, const struct ynode **ret_labels)
{
	struct policy *policy = d->policy;

	if (!array_grow(&policy->parts, &d->parts_cap, policy->nparts))
		return -ENOMEM;
	policy->parts[policy->nparts] = (struct part){};
	return document_part(r, n, p, &policy->parts[policy->nparts++], ret_labels);
}

static int read_specs(const struct reader *r, struct document *d, const struct ynode *list)
{
	struct path p = { .key = "specs" };
	const struct ynode *labels;
	size_t i = 0;
	int res = doc_list(r, list, &p);

	if (res < 0)
		return res;
	if (list->n == 0)
		return doc_fail(r, list->line, &p, CLITE_EDOCUMENT, "needs at least one rule");
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = &p, .index = i++ };

		res = read_part(r, d, n, &here, &labels);
		if (res < 0)
			return res;
	}
	return 0;
}

/* ---- older arrays of rules ---------------------------------------------- */

static int name_rules(const struct reader *r, struct document *d, const struct ynode *list,
		      const struct ynode *labels, const char *filename)
{
	const char *label = document_label(labels, "name");
	_cleanup_free_ char *base = NULL;

	if (label && *label) {
		struct path rule = { .index = 0 };
		struct path p = { .up = &rule, .key = "labels" };

		return set_name(r, d, labels->line, &p, NULL, label);
	}
	if (d->default_name)
		return set_name(r, d, list->line, NULL, NULL, d->default_name);
	if (!filename)
		return doc_fail(r, list->line, NULL, CLITE_EDOCUMENT,
				"these rules have no name: give the first one a label 'name'");
	base = base_name(filename);
	if (!base)
		return -ENOMEM;
	return set_name(r, d, list->line, NULL, NULL, base);
}

static int read_rules(const struct reader *r, struct document *d, const char *filename)
{
	const struct ynode *list = d->doc->root, *labels = NULL;
	size_t i = 0;

	if (list->n == 0)
		return doc_fail(r, list->line, NULL, CLITE_EDOCUMENT,
				"an empty list: expected rules");
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .index = i++ };
		const struct ynode *of_this = NULL;
		int res = read_part(r, d, n, &here, &of_this);

		if (res < 0)
			return res;
		if (n == list->first)
			labels = of_this;
	}
	return name_rules(r, d, list, labels, filename);
}

/* ---- CiliumNetworkPolicy ------------------------------------------------- */

enum top_field { T_API_VERSION, T_KIND, T_METADATA, T_SPEC, T_SPECS, T_STATUS, T_COUNT };

static const struct field top_fields[T_COUNT] = {
	[T_API_VERSION] = { .name = "apiVersion" },
	[T_KIND] = { .name = "kind" },
	[T_METADATA] = { .name = "metadata" },
	[T_SPEC] = { .name = "spec" },
	[T_SPECS] = { .name = "specs" },
	[T_STATUS] = { .name = "status" }, /* what a cluster said about it */
};

static const struct ynode *find(const struct ynode *map, const char *key)
{
	for (const struct ynode *n = map->first; n; n = n->next)
		if (strcmp(n->key, key) == 0)
			return n;
	return NULL;
}

/* Before all other fields: those of another kind would be called unknown. */
static int read_kind(const struct reader *r, const struct ynode *root, bool *ret_clusterwide)
{
	const struct ynode *kind = find(root, "kind"), *api = find(root, "apiVersion");
	struct path kind_path = { .key = "kind" }, api_path = { .key = "apiVersion" };
	const char *s;
	int res;

	if (!kind)
		return doc_fail(r, root->line, NULL, CLITE_EDOCUMENT,
				"needs 'kind: CiliumNetworkPolicy' (or a list of rules)");
	res = doc_string(r, kind, &kind_path, &s);
	if (res < 0)
		return res;
	*ret_clusterwide = strcmp(s, "CiliumClusterwideNetworkPolicy") == 0;
	if (!*ret_clusterwide && strcmp(s, "CiliumNetworkPolicy") != 0)
		return doc_fail_value(r, kind, &kind_path, CLITE_EUNSUPPORTED,
				      "is not supported: CiliumNetworkPolicy and "
				      "CiliumClusterwideNetworkPolicy are");

	if (!api)
		return doc_fail(r, root->line, NULL, CLITE_EDOCUMENT,
				"needs 'apiVersion: cilium.io/v2'");
	res = doc_string(r, api, &api_path, &s);
	if (res < 0)
		return res;
	if (strcmp(s, "cilium.io/v2") != 0)
		return doc_fail_value(r, api, &api_path, CLITE_EDOCUMENT,
				      "is not the version: write cilium.io/v2");
	return 0;
}

/* Everything but the name and the namespace is Kubernetes' own business. */
static int read_metadata(const struct reader *r, struct document *d, const struct ynode *n,
			 bool clusterwide, const char **ret_namespace)
{
	enum { NAME, NAMESPACE };
	static const struct field fields[] = {
		[NAME] = { .name = "name" },
		[NAMESPACE] = { .name = "namespace" },
		{ .name = "labels" },
		{ .name = "annotations" },
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
	struct path p = { .key = "metadata" };
	struct path name_path = { .up = &p, .key = "name" };
	struct path namespace_path = { .up = &p, .key = "namespace" };
	const struct ynode *got[ARRAY_SIZE(fields)];
	const char *name;
	int res;

	res = doc_fields(r, n, &p, fields, ARRAY_SIZE(fields), got);
	if (res < 0)
		return res;
	if (!got[NAME])
		return doc_fail(r, n->line, &p, CLITE_EDOCUMENT, "needs a name");
	res = doc_string(r, got[NAME], &name_path, &name);
	if (res < 0)
		return res;
	if (got[NAMESPACE] && clusterwide)
		return doc_fail(r, got[NAMESPACE]->key_line, &namespace_path, CLITE_EDOCUMENT,
				"a CiliumClusterwideNetworkPolicy has no namespace: leave it away");
	if (got[NAMESPACE]) {
		res = doc_string(r, got[NAMESPACE], &namespace_path, ret_namespace);
		if (res < 0)
			return res;
		if (!**ret_namespace || strchr(*ret_namespace, '/'))
			return doc_fail_value(r, got[NAMESPACE], &namespace_path, CLITE_EDOCUMENT,
					      "is no name of a namespace");
	}
	return set_name(r, d, got[NAME]->line, &name_path, *ret_namespace, name);
}

static int read_object(const struct reader *r, struct document *d)
{
	const struct ynode *root = d->doc->root, *got[T_COUNT], *labels;
	struct path spec = { .key = "spec" };
	struct reader within = *r;
	bool clusterwide = false;
	int res;

	res = read_kind(r, root, &clusterwide);
	if (res < 0)
		return res;
	res = doc_fields(r, root, NULL, top_fields, T_COUNT, got);
	if (res < 0)
		return res;
	if (!got[T_METADATA])
		return doc_fail(r, root->line, NULL, CLITE_EDOCUMENT, "needs metadata with a name");
	res = read_metadata(r, d, got[T_METADATA], clusterwide, &within.namespace);
	if (res < 0)
		return res;
	if (!got[T_SPEC] && !got[T_SPECS])
		return doc_fail(r, root->line, NULL, CLITE_EDOCUMENT, "needs a spec, or specs");

	if (got[T_SPEC]) {
		res = read_part(&within, d, got[T_SPEC], &spec, &labels);
		if (res < 0)
			return res;
	}
	return got[T_SPECS] ? read_specs(&within, d, got[T_SPECS]) : 0;
}

/* ---- streams ------------------------------------------------------------ */

struct named {
	struct policy *policy;
	uint32_t line; /* of its name */
	size_t begin, end;
};

struct policies {
	struct named *v;
	size_t n, cap;
};

static void policies_clear(struct policies *l)
{
	for (size_t i = 0; i < l->n; i++)
		policy_free(l->v[i].policy);
	free(l->v);
	*l = (struct policies){};
}

static int read_document(const struct reader *r, const struct ydoc *doc, const char *filename,
			 const char *default_name, struct named *ret)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	struct document d = { .doc = doc, .default_name = default_name };
	int res;

	policy = d.policy = calloc(1, sizeof(*policy));
	if (!policy)
		return -ENOMEM;
	policy->filename = strdup(r->filename);
	if (!policy->filename)
		return -ENOMEM;

	if (doc->root->kind == YNODE_MAP)
		res = read_object(r, &d);
	else if (doc->root->kind == YNODE_LIST)
		res = read_rules(r, &d, filename);
	else
		res = doc_fail_type(r, doc->root, NULL, "a CiliumNetworkPolicy or a list of rules");
	if (res < 0)
		return res;

	*ret = (struct named){
		.policy = TAKE_PTR(policy),
		.line = d.name_line,
		.begin = doc->begin,
		.end = doc->end,
	};
	return 0;
}

static bool is_nothing(const struct ynode *n)
{
	return !n || (n->kind == YNODE_SCALAR && n->type == YTYPE_NULL);
}

static int read_stream(const struct reader *r, struct ystream *s, const char *filename,
		       const char *default_name, struct policies *list)
{
	for (;;) {
		_cleanup_(ydoc_clear) struct ydoc doc = {};
		int res = ystream_next(s, &doc);

		if (res <= 0)
			return res;
		if (is_nothing(doc.root))
			continue;
		if (!array_grow(&list->v, &list->cap, list->n))
			return -ENOMEM;
		res = read_document(r, &doc, filename, default_name, &list->v[list->n]);
		if (res < 0)
			return res;
		list->n++;
	}
}

static int cmp_names(const void *a, const void *b)
{
	const struct named *x = *(struct named *const *)a, *y = *(struct named *const *)b;
	int r = strcmp(x->policy->name, y->policy->name);

	return r ? r : (x > y) - (x < y);
}

static int check_names(const struct reader *r, struct policies *list)
{
	_cleanup_free_ struct named **sorted = malloc(list->n * sizeof(struct named *));
	_cleanup_buf_ struct buf shown = {};

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < list->n; i++)
		sorted[i] = &list->v[i];
	qsort(sorted, list->n, sizeof(struct named *), cmp_names);

	for (size_t i = 1; i < list->n; i++) {
		const struct named *a = sorted[i - 1], *b = sorted[i];

		if (strcmp(a->policy->name, b->policy->name) != 0)
			continue;
		buf_excerpt(&shown, b->policy->name);
		return doc_fail(
			r, b->line, NULL, CLITE_EDOCUMENT,
			"the policy '%s' is there already, in line %u: one name, one policy",
			shown.data ? shown.data : "", a->line);
	}
	return 0;
}

static int set_texts(struct policies *list, const char *text, size_t len)
{
	if (list->n == 1) {
		list->v[0].begin = 0;
		list->v[0].end = len;
	}
	for (size_t i = 0; i < list->n; i++) {
		struct named *d = &list->v[i];

		d->policy->text = strndup(text + d->begin, d->end - d->begin);
		if (!d->policy->text)
			return -ENOMEM;
	}
	return 0;
}

static int hand_over(struct policies *list, struct policy ***ret_policies, size_t *ret_n)
{
	struct policy **v = malloc(list->n * sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < list->n; i++)
		v[i] = TAKE_PTR(list->v[i].policy);
	*ret_policies = v;
	*ret_n = list->n;
	return 0;
}

int document_read(const char *text, size_t len, const char *filename, const char *default_name,
		  struct policy ***ret_policies, size_t *ret_n, struct errtext *err)
{
	_cleanup_(policies_clear) struct policies list = {};
	_cleanup_(ystream_close) struct ystream s = {};
	struct reader r = { .filename = filename ? filename : "<memory>", .err = err };
	int res;

	res = ystream_open(&s, text ? text : "", text ? len : 0, r.filename, err);
	if (res < 0)
		return res;
	res = read_stream(&r, &s, filename, default_name, &list);
	if (res < 0)
		return res;
	if (list.n == 0)
		return err_set(err, CLITE_EDOCUMENT, "%s: there is no document in it", r.filename);

	res = check_names(&r, &list);
	if (res < 0)
		return res;
	res = set_texts(&list, text, len);
	if (res < 0)
		return res;
	return hand_over(&list, ret_policies, ret_n);
}
