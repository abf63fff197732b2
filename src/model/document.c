/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/document.h"

#include <cilium-lite/policy.h>

#include "model/document_k8s.h"
#include "model/document_object.h"
#include "model/document_rule.h"

/* A document whose policy is being read. */
struct document {
	const struct ydoc *doc;
	const char *default_name;
	const char *filename;
	struct policy *policy;
	size_t parts_cap;
	uint32_t name_line;
};

/* ---- names -------------------------------------------------------------- */

static const char *bad_name(const char *name)
{
	return *name ? object_bad_name(name) : "is empty: a policy needs a name";
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

static int read_specs(const struct reader *r, struct document *d, const struct ynode *list,
		      const struct path *p)
{
	const struct ynode *labels;
	size_t i = 0;
	int res = doc_list(r, list, p);

	if (res < 0)
		return res;
	if (list->n == 0)
		return doc_fail(r, list->line, p, CLITE_EDOCUMENT, "needs at least one rule");
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = p, .index = i++ };

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

	d->policy->kind = POLICY_RULES;
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

enum kind { KIND_NAMESPACED, KIND_CLUSTERWIDE, KIND_K8S };

static const struct kind_name kinds[] = {
	{ "CiliumNetworkPolicy", "cilium.io/v2", KIND_NAMESPACED },
	{ "CiliumClusterwideNetworkPolicy", "cilium.io/v2", KIND_CLUSTERWIDE },
	{ "NetworkPolicy", "networking.k8s.io/v1", KIND_K8S },
	{ "List", "v1", KIND_LIST },
	{ "CiliumNetworkPolicyList", "cilium.io/v2", KIND_LIST },
	{ "CiliumClusterwideNetworkPolicyList", "cilium.io/v2", KIND_LIST },
	{ "NetworkPolicyList", "networking.k8s.io/v1", KIND_LIST },
};

static int read_metadata(const struct reader *r, struct document *d, const struct ynode *n,
			 const struct path *up, enum kind kind, const char **ret_namespace)
{
	struct path p = { .up = up, .key = "metadata" };
	struct path name_path = { .up = &p, .key = "name" };
	struct path namespace_path = { .up = &p, .key = "namespace" };
	const struct ynode *got[META_COUNT];
	const char *name;
	int res;

	res = object_metadata(r, n, &p, got);
	if (res < 0)
		return res;
	if (!got[META_NAME])
		return doc_fail(r, n->line, &p, CLITE_EDOCUMENT, "needs a name");
	res = doc_string(r, got[META_NAME], &name_path, &name);
	if (res < 0)
		return res;
	if (got[META_NAMESPACE] && kind == KIND_CLUSTERWIDE)
		return doc_fail(r, got[META_NAMESPACE]->key_line, &namespace_path, CLITE_EDOCUMENT,
				"a CiliumClusterwideNetworkPolicy has no namespace: leave it away");
	if (got[META_NAMESPACE]) {
		res = object_namespace(r, got[META_NAMESPACE], &namespace_path, ret_namespace);
		if (res < 0)
			return res;
	} else if (kind == KIND_K8S) {
		*ret_namespace = "default"; /* as in Kubernetes */
	}
	return set_name(r, d, got[META_NAME]->line, &name_path, *ret_namespace, name);
}

static int read_spec(const struct reader *r, struct document *d, const struct ynode *n,
		     const struct path *p, enum kind kind)
{
	struct policy *policy = d->policy;
	const struct ynode *labels;

	if (kind != KIND_K8S)
		return read_part(r, d, n, p, &labels);
	if (!array_grow(&policy->parts, &d->parts_cap, policy->nparts))
		return -ENOMEM;
	policy->parts[policy->nparts] = (struct part){};
	return document_network_policy(r, n, p, &policy->parts[policy->nparts++]);
}

static int read_object(const struct reader *r, struct document *d, const struct ynode *root,
		       const struct path *p, enum kind kind)
{
	struct path spec = { .up = p, .key = "spec" }, specs = { .up = p, .key = "specs" };
	const struct ynode *got[T_COUNT];
	struct field fields[T_COUNT];
	struct reader within = *r;
	int res;

	d->policy->kind = kind == KIND_K8S	  ? POLICY_K8S :
			  kind == KIND_CLUSTERWIDE ? POLICY_CCNP :
						     POLICY_CNP;
	memcpy(fields, top_fields, sizeof(fields));
	if (kind == KIND_K8S)
		fields[T_SPECS] = (struct field){};
	res = doc_fields(r, root, p, fields, T_COUNT, got);
	if (res < 0)
		return res;
	if (!got[T_METADATA])
		return doc_fail(r, root->line, p, CLITE_EDOCUMENT, "needs metadata with a name");
	res = read_metadata(r, d, got[T_METADATA], p, kind, &within.namespace);
	if (res < 0)
		return res;
	if (!got[T_SPEC] && !got[T_SPECS])
		return doc_fail(r, root->line, p, CLITE_EDOCUMENT,
				kind == KIND_K8S ? "needs a spec" : "needs a spec, or specs");

	if (got[T_SPEC]) {
		res = read_spec(&within, d, got[T_SPEC], &spec, kind);
		if (res < 0)
			return res;
	}
	return got[T_SPECS] ? read_specs(&within, d, got[T_SPECS], &specs) : 0;
}

/* ---- streams ------------------------------------------------------------ */

struct named {
	struct policy *policy;
	uint32_t line; /* of its name */
	size_t begin, end;
	bool item; /* of a list: its text is written anew */
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

/* What a document, or an item of a list, is to be read as. */
typedef int (*read_fn)(const struct reader *r, struct document *d, const struct ynode *root,
		       const struct path *p, enum kind kind);

static int read_as_rules(const struct reader *r, struct document *d, const struct ynode *root,
			 const struct path *p, enum kind kind)
{
	(void)root, (void)p, (void)kind;
	return read_rules(r, d, d->filename);
}

static int add_policy(const struct reader *r, const struct document *of, const struct ynode *root,
		      const struct path *p, enum kind kind, read_fn read, struct policies *list)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	struct document d = *of;
	int res;

	if (!array_grow(&list->v, &list->cap, list->n))
		return -ENOMEM;
	policy = d.policy = calloc(1, sizeof(*policy));
	if (!policy)
		return -ENOMEM;
	policy->filename = strdup(r->filename);
	if (!policy->filename)
		return -ENOMEM;
	res = read(r, &d, root, p, kind);
	if (res < 0)
		return res;
	list->v[list->n++] = (struct named){
		.policy = TAKE_PTR(policy),
		.line = d.name_line,
		.begin = of->doc->begin,
		.end = of->doc->end,
		.item = p != NULL,
	};
	return 0;
}

/* Where the documents of a stream go to. */
struct reading {
	const char *filename, *default_name;
	struct policies list;
};

static void reading_clear(struct reading *g)
{
	policies_clear(&g->list);
}

static int read_one(const struct reader *r, const struct ydoc *doc, const struct ynode *root,
		    const struct path *p, int kind, void *data)
{
	struct reading *g = data;
	const struct document d = { .doc = doc };

	return add_policy(r, &d, root, p, (enum kind)kind, read_object, &g->list);
}

/* A list of something that is no object: Cilium's older rules. */
static int read_array(const struct reader *r, const struct ydoc *doc, void *data)
{
	struct reading *g = data;
	const struct document d = { .doc = doc,
				    .default_name = g->default_name,
				    .filename = g->filename };
	int res;

	if (doc->root->kind != YNODE_LIST)
		return 0;
	res = add_policy(r, &d, doc->root, NULL, KIND_NAMESPACED, read_as_rules, &g->list);
	return res < 0 ? res : 1;
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

static int write_text(struct policy *p)
{
	_cleanup_buf_ struct buf b = {};
	int res = policy_write(p, &b);

	if (res < 0)
		return res;
	p->text = TAKE_PTR(b.data);
	return 0;
}

static int set_texts(struct policies *list, const char *text, size_t len)
{
	if (list->n == 1 && !list->v[0].item) {
		list->v[0].begin = 0;
		list->v[0].end = len;
	}
	for (size_t i = 0; i < list->n; i++) {
		struct named *d = &list->v[i];

		if (d->item) {
			int res = write_text(d->policy);

			if (res < 0)
				return res;
			continue;
		}
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
	static const struct document_limits usual;

	return document_read_limited(text, len, &usual, filename, default_name, ret_policies, ret_n,
				     err);
}

int document_read_limited(const char *text, size_t len, const struct document_limits *limits,
			  const char *filename, const char *default_name,
			  struct policy ***ret_policies, size_t *ret_n, struct errtext *err)
{
	_cleanup_(reading_clear) struct reading g = { .filename = filename,
						      .default_name = default_name };
	struct reader r = { .filename = filename ? filename : "<memory>", .err = err };
	const struct object_reader objects = {
		.kinds = kinds,
		.nkinds = ARRAY_SIZE(kinds),
		.lacks = "needs 'kind: CiliumNetworkPolicy' (or a list of rules)",
		.others = "is not supported: CiliumNetworkPolicy, "
			  "CiliumClusterwideNetworkPolicy, NetworkPolicy and lists of them are",
		.item = "a policy",
		.document = "a CiliumNetworkPolicy or a list of rules",
		.read = read_one,
		.other = read_array,
		.data = &g,
	};
	int res = objects_read(text, len, limits, r.filename, &objects, err);

	if (res < 0)
		return res;
	if (g.list.n == 0)
		return err_set(err, CLITE_EDOCUMENT, "%s: there is no document in it", r.filename);

	res = check_names(&r, &g.list);
	if (res < 0)
		return res;
	res = set_texts(&g.list, text, len);
	if (res < 0)
		return res;
	return hand_over(&g.list, ret_policies, ret_n);
}
