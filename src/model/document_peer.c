/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/document_rule.h"
#include "model/identity.h"

#include <cilium-lite/policy.h>

/* ---- selectors ---------------------------------------------------------- */

static int check_label_value(const struct reader *r, const struct ynode *n, const struct path *p,
			     const char **ret)
{
	int res = doc_string(r, n, p, ret);

	if (res < 0)
		return res;
	for (const char *c = *ret; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return doc_fail_value(
				r, n, p, CLITE_EDOCUMENT,
				"is no value of a label: it holds a control character");
	return 0;
}

static int set_key(const struct reader *r, uint32_t line, const struct path *p,
		   struct requirement *q, const char *key)
{
	_cleanup_buf_ struct buf shown = {};
	int res = requirement_set_key(q, key);

	if (res != -EINVAL)
		return res;
	buf_excerpt(&shown, key);
	return doc_fail(r, line, p, CLITE_EDOCUMENT,
			"'%s' is no key of a label: expected 'key' or 'source:key', without blanks",
			shown.data ? shown.data : "");
}

/* Append a zeroed requirement. */
static struct requirement *add_requirement(struct selector *s, size_t *cap)
{
	if (!array_grow(&s->reqs, cap, s->nreqs))
		return NULL;
	s->reqs[s->nreqs] = (struct requirement){};
	return &s->reqs[s->nreqs++];
}

static int add_value(struct requirement *q, size_t *cap, const char *value)
{
	if (!array_grow(&q->values, cap, q->nvalues))
		return -ENOMEM;
	q->values[q->nvalues] = strdup(value);
	if (!q->values[q->nvalues])
		return -ENOMEM;
	q->nvalues++;
	return 0;
}

static int read_match_labels(const struct reader *r, const struct ynode *map, const struct path *p,
			     struct selector *s, size_t *cap)
{
	if (map->kind != YNODE_MAP)
		return doc_fail_type(r, map, p, "a map of labels");

	for (const struct ynode *n = map->first; n; n = n->next) {
		struct path here = { .up = p, .key = n->key };
		struct requirement *q;
		size_t values_cap = 0;
		const char *value;
		int res;

		res = check_label_value(r, n, &here, &value);
		if (res < 0)
			return res;
		q = add_requirement(s, cap);
		if (!q)
			return -ENOMEM;
		q->op = CLITE_OP_IN;
		res = set_key(r, n->key_line, &here, q, n->key);
		if (res < 0)
			return res;
		res = add_value(q, &values_cap, value);
		if (res < 0)
			return res;
	}
	return 0;
}

static int read_operator(const struct reader *r, const struct ynode *n, const struct path *p,
			 uint32_t *ret)
{
	static const char *const operators[] = {
		[CLITE_OP_IN] = "In",
		[CLITE_OP_NOT_IN] = "NotIn",
		[CLITE_OP_EXISTS] = "Exists",
		[CLITE_OP_DOES_NOT_EXIST] = "DoesNotExist",
	};
	const char *s;
	int res = doc_string(r, n, p, &s);

	if (res < 0)
		return res;
	for (uint32_t i = 0; i < ARRAY_SIZE(operators); i++) {
		if (strcmp(s, operators[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return doc_fail_value(r, n, p, CLITE_EDOCUMENT,
			      "is no operator: In, NotIn, Exists and DoesNotExist are");
}

static int read_values(const struct reader *r, const struct ynode *list, const struct path *p,
		       struct requirement *q)
{
	size_t cap = 0, i = 0;
	int res = doc_list(r, list, p);

	if (res < 0)
		return res;
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = p, .index = i++ };
		const char *value;

		res = check_label_value(r, n, &here, &value);
		if (res < 0)
			return res;
		res = add_value(q, &cap, value);
		if (res < 0)
			return res;
	}
	return 0;
}

static int read_expression(const struct reader *r, const struct ynode *n, const struct path *p,
			   struct requirement *q)
{
	enum { KEY, OPERATOR, VALUES, COUNT };
	static const struct field fields[COUNT] = {
		[KEY] = { .name = "key" },
		[OPERATOR] = { .name = "operator" },
		[VALUES] = { .name = "values" },
	};
	struct path key_path = { .up = p, .key = "key" };
	struct path op_path = { .up = p, .key = "operator" };
	struct path values_path = { .up = p, .key = "values" };
	const struct ynode *got[COUNT];
	bool wants_values;
	const char *key;
	int res;

	res = doc_fields(r, n, p, fields, COUNT, got);
	if (res < 0)
		return res;
	if (!got[KEY] || !got[OPERATOR])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs a key and an operator");
	res = doc_string(r, got[KEY], &key_path, &key);
	if (res < 0)
		return res;
	res = set_key(r, got[KEY]->line, &key_path, q, key);
	if (res < 0)
		return res;
	res = read_operator(r, got[OPERATOR], &op_path, &q->op);
	if (res < 0)
		return res;

	if (got[VALUES]) {
		res = read_values(r, got[VALUES], &values_path, q);
		if (res < 0)
			return res;
	}
	wants_values = q->op == CLITE_OP_IN || q->op == CLITE_OP_NOT_IN;
	if (wants_values && q->nvalues == 0)
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"operator '%s' needs a list of values", got[OPERATOR]->text);
	if (!wants_values && q->nvalues > 0)
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"operator '%s' takes no values: leave them away",
				got[OPERATOR]->text);
	return 0;
}

static int read_expressions(const struct reader *r, const struct ynode *list, const struct path *p,
			    struct selector *s, size_t *cap)
{
	size_t i = 0;
	int res = doc_list(r, list, p);

	if (res < 0)
		return res;
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = p, .index = i++ };
		struct requirement *q = add_requirement(s, cap);

		if (!q)
			return -ENOMEM;
		res = read_expression(r, n, &here, q);
		if (res < 0)
			return res;
	}
	return 0;
}

/* A policy of a namespace is about its endpoints and nobody else's. */
static int check_subject(const struct reader *r, const struct ynode *n, const struct path *p,
			 const struct selector *s)
{
	struct label own = { .source = "k8s", .key = NAMESPACE_KEY, .value = (char *)r->namespace };
	const struct labels labels = { .l = &own, .n = 1 };

	for (size_t i = 0; i < s->nreqs; i++) {
		const struct selector one = { .reqs = &s->reqs[i], .nreqs = 1 };

		if (requirement_is_namespace(&s->reqs[i]) && !selector_matches(&one, &labels))
			return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
					"selects endpoints of another namespace, and the policy is in '%s': a policy is about endpoints of its own namespace (for all namespaces: a CiliumClusterwideNetworkPolicy)",
					r->namespace);
	}
	return 0;
}

static int add_namespace(const struct reader *r, struct selector *s, size_t *cap, bool subject)
{
	struct requirement *q;
	size_t values_cap = 0;
	int res;

	if (!r->namespace || (subject ? selector_is_in_namespace(s, r->namespace) :
					selector_names_namespace(s)))
		return 0;
	q = add_requirement(s, cap);
	if (!q)
		return -ENOMEM;
	res = requirement_set_key(q, "k8s:" NAMESPACE_KEY);
	if (res < 0)
		return res;
	q->op = CLITE_OP_IN;
	return add_value(q, &values_cap, r->namespace);
}

int document_selector(const struct reader *r, const struct ynode *n, const struct path *p,
		      bool subject, struct selector *s)
{
	enum { LABELS, EXPRESSIONS, COUNT };
	static const struct field fields[COUNT] = {
		[LABELS] = { .name = "matchLabels" },
		[EXPRESSIONS] = { .name = "matchExpressions" },
	};
	struct path labels = { .up = p, .key = "matchLabels" };
	struct path expressions = { .up = p, .key = "matchExpressions" };
	const struct ynode *got[COUNT];
	size_t cap = 0;
	int res;

	res = doc_fields(r, n, p, fields, COUNT, got);
	if (res < 0)
		return res;
	if (got[LABELS]) {
		res = read_match_labels(r, got[LABELS], &labels, s, &cap);
		if (res < 0)
			return res;
	}
	if (got[EXPRESSIONS]) {
		res = read_expressions(r, got[EXPRESSIONS], &expressions, s, &cap);
		if (res < 0)
			return res;
	}
	if (subject && r->namespace) {
		res = check_subject(r, n, p, s);
		if (res < 0)
			return res;
	}
	return add_namespace(r, s, &cap, subject);
}

/* ---- peers -------------------------------------------------------------- */

static int read_endpoints(const struct reader *r, const struct ynode *n, const struct path *p,
			  struct peer *peer)
{
	peer->kind = CLITE_PEER_ENDPOINTS;
	return document_selector(r, n, p, false, &peer->selector);
}

static int read_prefix(const struct reader *r, const struct ynode *n, const struct path *p,
		       struct prefix *ret)
{
	const char *s;
	int res = doc_string(r, n, p, &s);

	if (res < 0)
		return res;
	/* To Cilium and Kubernetes 10.1.2.3/8 is the network that it is in. */
	if (network_parse(s, ret) < 0)
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT,
				      "is no address or prefix: expected such as '10.0.0.0/8' or "
				      "'fd00::/64'");
	prefix_mask(ret);
	return 0;
}

static int read_cidr(const struct reader *r, const struct ynode *n, const struct path *p,
		     struct peer *peer)
{
	peer->kind = CLITE_PEER_CIDR;
	return read_prefix(r, n, p, &peer->cidr);
}

static int read_except(const struct reader *r, const struct ynode *list, const struct path *p,
		       struct peer *peer)
{
	char text[PREFIX_STR];
	size_t cap = 0;
	int res = doc_list(r, list, p);

	if (res < 0)
		return res;
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = p, .index = peer->nexcept };
		struct prefix except;

		res = read_prefix(r, n, &here, &except);
		if (res < 0)
			return res;
		if (!prefix_contains(&peer->cidr, &except))
			return doc_fail(r, n->line, &here, CLITE_EDOCUMENT,
					"'%s' is outside of the cidr '%s'", n->text,
					prefix_format(&peer->cidr, text));
		if (!array_grow(&peer->except, &cap, peer->nexcept))
			return -ENOMEM;
		peer->except[peer->nexcept++] = except;
	}
	return 0;
}

/* A peer that somebody else finds: the element is kept as it is. */
static int keep_peer(const struct ynode *n, enum need need, struct peer *peer)
{
	peer->kind = PEER_OTHER;
	peer->need = need;
	return doc_json_dup(n, &peer->json);
}

enum cidr_set { S_CIDR, S_EXCEPT, S_GROUP, S_GROUP_SELECTOR, S_COUNT };

static int read_cidr_group(const struct reader *r, const struct ynode *n, const struct path *p,
			   const struct ynode *const *got, struct peer *peer)
{
	const struct ynode *of = got[S_GROUP] ? got[S_GROUP] : got[S_GROUP_SELECTOR];
	struct path here = { .up = p, .key = of->key };
	_cleanup_(selector_clear) struct selector ignored = {};
	struct reader anywhere = { .filename = r->filename, .err = r->err };
	const char *name;
	int res;

	if (got[S_CIDR] || (got[S_GROUP] && got[S_GROUP_SELECTOR]))
		return doc_fail(r, of->key_line, p, CLITE_EDOCUMENT,
				"one of cidr, cidrGroupRef and cidrGroupSelector may stand here");
	if (got[S_EXCEPT])
		return doc_fail(r, got[S_EXCEPT]->key_line, p, CLITE_EDOCUMENT,
				"combining except and %s is not allowed", of->key);
	res = got[S_GROUP] ? doc_string(r, of, &here, &name) :
			     document_selector(&anywhere, of, &here, false, &ignored);
	return res < 0 ? res : keep_peer(n, NEED_CIDR_GROUPS, peer);
}

/* A prefix and what is excepted of it. */
static int read_prefixes(const struct reader *r, const struct ynode *n, const struct path *p,
			 const struct ynode *cidr, const struct ynode *except, struct peer *peer)
{
	struct path cidr_path = { .up = p, .key = "cidr" };
	struct path except_path = { .up = p, .key = "except" };
	int res;

	peer->kind = CLITE_PEER_CIDR;
	if (!cidr)
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs a cidr");
	res = read_prefix(r, cidr, &cidr_path, &peer->cidr);
	if (res < 0)
		return res;
	return except ? read_except(r, except, &except_path, peer) : 0;
}

int document_block(const struct reader *r, const struct ynode *n, const struct path *p,
		   struct peer *peer)
{
	static const struct field fields[S_GROUP] = {
		[S_CIDR] = { .name = "cidr" },
		[S_EXCEPT] = { .name = "except" },
	};
	const struct ynode *got[S_GROUP];
	int res = doc_fields(r, n, p, fields, S_GROUP, got);

	return res < 0 ? res : read_prefixes(r, n, p, got[S_CIDR], got[S_EXCEPT], peer);
}

static int read_cidr_set(const struct reader *r, const struct ynode *n, const struct path *p,
			 struct peer *peer)
{
	static const struct field fields[S_COUNT] = {
		[S_CIDR] = { .name = "cidr" },
		[S_EXCEPT] = { .name = "except" },
		[S_GROUP] = { .name = "cidrGroupRef" },
		[S_GROUP_SELECTOR] = { .name = "cidrGroupSelector" },
	};
	const struct ynode *got[S_COUNT];
	int res;

	res = doc_fields(r, n, p, fields, S_COUNT, got);
	if (res < 0)
		return res;
	if (got[S_GROUP] || got[S_GROUP_SELECTOR])
		return read_cidr_group(r, n, p, got, peer);
	return read_prefixes(r, n, p, got[S_CIDR], got[S_EXCEPT], peer);
}

static int read_entity(const struct reader *r, const struct ynode *n, const struct path *p,
		       struct peer *peer)
{
	_cleanup_buf_ struct buf known = {};
	const char *s;
	int res;

	peer->kind = CLITE_PEER_ENTITY;
	res = doc_string(r, n, p, &s);
	if (res < 0)
		return res;
	if (entity_parse(s, &peer->entity) == 0)
		return 0;

	buf_puts(&known, "is no entity; these are: all");
	for (unsigned int e = ENTITY_ALL + 1; e < ENTITY_COUNT_; e++)
		buf_printf(&known, ", %s", entity_name((enum entity)e));
	return known.failed ? -ENOMEM : doc_fail_value(r, n, p, CLITE_EDOCUMENT, known.data);
}

static int check_strings(const struct reader *r, const struct ynode *list, const struct path *p)
{
	size_t i = 0;
	int res = doc_list(r, list, p);

	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next) {
		struct path here = { .up = p, .index = i++ };
		const char *s;

		res = doc_string(r, n, &here, &s);
	}
	return res;
}

static int read_group(const struct reader *r, const struct ynode *n, const struct path *p,
		      struct peer *peer)
{
	enum { LABELS, IDS, NAMES, REGION, COUNT };
	static const struct field provider[] = { { .name = "aws" } };
	static const struct field fields[COUNT] = {
		[LABELS] = { .name = "labels" },
		[IDS] = { .name = "securityGroupsIds" },
		[NAMES] = { .name = "securityGroupsNames" },
		[REGION] = { .name = "region" },
	};
	struct path aws = { .up = p, .key = "aws" };
	const struct ynode *group[1], *got[COUNT];
	int res = doc_fields(r, n, p, provider, 1, group);

	if (res < 0)
		return res;
	if (!group[0])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs a provider: aws");
	res = doc_fields(r, group[0], &aws, fields, COUNT, got);
	for (size_t i = LABELS; res >= 0 && i < COUNT; i++) {
		struct path here = { .up = &aws, .key = fields[i].name };
		const char *s;

		if (!got[i])
			continue;
		if (i == REGION)
			res = doc_string(r, got[i], &here, &s);
		else if (i != LABELS)
			res = check_strings(r, got[i], &here);
		else if (got[i]->kind != YNODE_MAP)
			res = doc_fail_type(r, got[i], &here, "a map of labels");
	}
	return res < 0 ? res : keep_peer(n, NEED_GROUPS, peer);
}

static int read_nodes(const struct reader *r, const struct ynode *n, const struct path *p,
		      struct peer *peer)
{
	_cleanup_(selector_clear) struct selector ignored = {};
	struct reader anywhere = { .filename = r->filename, .err = r->err };
	int res = document_selector(&anywhere, n, p, false, &ignored);

	return res < 0 ? res : keep_peer(n, NEED_NODES, peer);
}

static int read_fqdn(const struct reader *r, const struct ynode *n, const struct path *p,
		     struct peer *peer)
{
	int res = document_name_match(r, n, p);

	return res < 0 ? res : keep_peer(n, NEED_FQDN, peer);
}

/* ---- services ----------------------------------------------------------- */

/* None, or an empty one: any. */
static int read_service_namespace(const struct reader *r, const struct ynode *n,
				  const struct path *p, struct peer *peer)
{
	struct path here = { .up = p, .key = "namespace" };
	const char *s;
	int res = n ? doc_string(r, n, &here, &s) : 0;

	return res < 0 || !n || !*s ? res : doc_strdup(r, n, &here, &peer->namespace);
}

static int read_service_name(const struct reader *r, const struct ynode *n, const struct path *p,
			     struct peer *peer)
{
	enum { NAME, NAMESPACE, COUNT };
	static const struct field fields[COUNT] = {
		[NAME] = { .name = "serviceName" },
		[NAMESPACE] = { .name = "namespace" },
	};
	struct path name = { .up = p, .key = "serviceName" };
	const struct ynode *got[COUNT];
	int res = doc_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[NAME])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs a serviceName");
	res = doc_strdup(r, got[NAME], &name, &peer->service);
	if (res >= 0 && !*peer->service)
		return doc_fail(r, got[NAME]->line, &name, CLITE_EDOCUMENT, "is empty");
	return res < 0 ? res : read_service_namespace(r, got[NAMESPACE], p, peer);
}

static int read_service_selector(const struct reader *r, const struct ynode *n,
				 const struct path *p, struct peer *peer)
{
	enum { SELECTOR, NAMESPACE, COUNT };
	static const struct field fields[COUNT] = {
		[SELECTOR] = { .name = "selector" },
		[NAMESPACE] = { .name = "namespace" },
	};
	struct reader anywhere = { .filename = r->filename, .err = r->err };
	struct path selector = { .up = p, .key = "selector" };
	const struct ynode *got[COUNT];
	int res = doc_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[SELECTOR])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"needs a selector; '{}' selects every service");
	res = document_selector(&anywhere, got[SELECTOR], &selector, false, &peer->selector);
	return res < 0 ? res : read_service_namespace(r, got[NAMESPACE], p, peer);
}

static int read_service(const struct reader *r, const struct ynode *n, const struct path *p,
			struct peer *peer)
{
	enum { BY_NAME, BY_SELECTOR, COUNT };
	static const struct field fields[COUNT] = {
		[BY_NAME] = { .name = "k8sService" },
		[BY_SELECTOR] = { .name = "k8sServiceSelector" },
	};
	const struct ynode *got[COUNT];
	int res = doc_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[BY_NAME] == !got[BY_SELECTOR])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"needs one of k8sService and k8sServiceSelector");
	peer->kind = PEER_SERVICE;
	if (got[BY_NAME]) {
		struct path here = { .up = p, .key = "k8sService" };

		return read_service_name(r, got[BY_NAME], &here, peer);
	}
	return read_service_selector(
		r, got[BY_SELECTOR], &(struct path){ .up = p, .key = "k8sServiceSelector" }, peer);
}

/* ---- lists -------------------------------------------------------------- */

int document_requires(const struct reader *r, const struct ynode *list, const struct path *p,
		      struct rule *rule)
{
	size_t cap = 0;
	int res = doc_list(r, list, p);

	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next) {
		struct path here = { .up = p, .index = rule->nrequires };

		if (!array_grow(&rule->requires, &cap, rule->nrequires))
			return -ENOMEM;
		rule->requires[rule->nrequires] = (struct selector){};
		res = document_selector(r, n, &here, false, &rule->requires[rule->nrequires++]);
	}
	return res;
}

typedef int (*peer_fn)(const struct reader *r, const struct ynode *n, const struct path *p,
		       struct peer *peer);

int document_peers(const struct reader *r, const struct ynode *list, const struct path *p,
		   enum element kind, struct rule *rule)
{
	static const peer_fn read[] = {
		[E_ENDPOINTS] = read_endpoints,
		[E_CIDR] = read_cidr,
		[E_CIDR_SET] = read_cidr_set,
		[E_ENTITIES] = read_entity,
		[E_GROUPS] = read_group,
		[E_NODES] = read_nodes,
		[E_SERVICES] = read_service,
		[E_FQDNS] = read_fqdn,
	};
	size_t cap = 0;
	int res = doc_list(r, list, p);

	if (res < 0)
		return res;
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = p, .index = rule->npeers };

		if (!array_grow(&rule->peers, &cap, rule->npeers))
			return -ENOMEM;
		rule->peers[rule->npeers] = (struct peer){};
		res = read[kind](r, n, &here, &rule->peers[rule->npeers++]);
		if (res < 0)
			return res;
	}
	return 0;
}
