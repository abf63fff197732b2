/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/document_rule.h"

#include <cilium-lite/policy.h>

#define LOG_MAX 32 /* Cilium's limit of log.value */

/* ---- elements of ingress, egress, ingressDeny, egressDeny ---------------- */

static const struct field ingress_fields[E_COUNT] = {
	[E_ENDPOINTS] = { .name = "fromEndpoints" },
	[E_CIDR] = { .name = "fromCIDR" },
	[E_CIDR_SET] = { .name = "fromCIDRSet" },
	[E_ENTITIES] = { .name = "fromEntities" },
	[E_GROUPS] = { .name = "fromGroups" },
	[E_NODES] = { .name = "fromNodes" },
	[E_REQUIRES] = { .name = "fromRequires" },
	[E_PORTS] = { .name = "toPorts" },
	[E_ICMPS] = { .name = "icmps" },
	[E_AUTH] = { .name = "authentication" },
};

static const struct field egress_fields[E_COUNT] = {
	[E_ENDPOINTS] = { .name = "toEndpoints" },
	[E_CIDR] = { .name = "toCIDR" },
	[E_CIDR_SET] = { .name = "toCIDRSet" },
	[E_ENTITIES] = { .name = "toEntities" },
	[E_GROUPS] = { .name = "toGroups" },
	[E_NODES] = { .name = "toNodes" },
	[E_SERVICES] = { .name = "toServices" },
	[E_FQDNS] = { .name = "toFQDNs" },
	[E_REQUIRES] = { .name = "toRequires" },
	[E_PORTS] = { .name = "toPorts" },
	[E_ICMPS] = { .name = "icmps" },
	[E_AUTH] = { .name = "authentication" },
};

_Static_assert(E_COUNT <= DOCUMENT_MAX_FIELDS, "got[] is too small");

/* An empty list names nobody; beside one that names somebody it says nothing. */
static bool is_empty(const struct ynode *n)
{
	return n->kind == YNODE_LIST && !n->n;
}

/* One kind of peers only, and not both kinds of ports. */
static int check_combination(const struct reader *r, const struct path *p,
			     const struct field *fields, const struct ynode *const *got)
{
	const struct ynode *seen = NULL;

	for (size_t i = 0; i <= E_FQDNS; i++) {
		if (!got[i] || is_empty(got[i]))
			continue;
		if (seen)
			return doc_fail(r, got[i]->key_line, p, CLITE_EDOCUMENT,
					"combining %s and %s in one rule is not allowed: write two "
					"rules",
					seen->key, fields[i].name);
		seen = got[i];
	}
	if (got[E_PORTS] && !is_empty(got[E_PORTS]) && got[E_ICMPS] && !is_empty(got[E_ICMPS]))
		return doc_fail(r, got[E_ICMPS]->key_line, p, CLITE_EDOCUMENT,
				"combining toPorts and icmps in one rule is not allowed: write two "
				"rules");
	return 0;
}

static int read_element_peers(const struct reader *r, const struct path *p,
			      const struct ynode *const *got, struct rule *rule)
{
	enum element kind = E_FQDNS + 1;

	for (enum element i = E_ENDPOINTS; i <= E_FQDNS; i++)
		if (got[i] && (kind > E_FQDNS || !is_empty(got[i])))
			kind = i;
	if (kind <= E_FQDNS) {
		struct path here = { .up = p, .key = got[kind]->key };

		return document_peers(r, got[kind], &here, kind, rule);
	}
	/* Without peers an element means everybody. But with nothing in it it means
	 * nobody, and so does one that only narrows down what others allow. */
	rule->any_peer = !rule->any_port && !got[E_REQUIRES];
	return 0;
}

static int read_element(const struct reader *r, const struct ynode *n, const struct path *p,
			struct rule *rule)
{
	const struct ynode *got[DOCUMENT_MAX_FIELDS];
	struct field fields[E_COUNT];
	int res;

	memcpy(fields, rule->direction == CLITE_INGRESS ? ingress_fields : egress_fields,
	       sizeof(fields));
	if (rule->action == CLITE_DENY) /* Cilium knows them only where rules allow */
		fields[E_FQDNS] = fields[E_AUTH] = (struct field){};
	res = doc_fields(r, n, p, fields, E_COUNT, got);
	if (res >= 0)
		res = check_combination(r, p, fields, got);
	if (res < 0)
		return res;

	rule->any_port = true;
	for (enum element i = E_REQUIRES; res >= 0 && i <= E_AUTH; i++) {
		struct path here = { .up = p, .key = fields[i].name };

		if (!got[i])
			continue;
		if (i == E_REQUIRES)
			res = document_requires(r, got[i], &here, rule);
		else if (i == E_AUTH)
			res = document_auth(r, got[i], &here, rule);
		else
			res = document_ports(r, got[i], &here, i, rule);
	}
	return res < 0 ? res : read_element_peers(r, p, got, rule);
}

/* ---- rules -------------------------------------------------------------- */

enum part_field {
	P_SELECTOR,
	P_INGRESS,
	P_INGRESS_DENY,
	P_EGRESS,
	P_EGRESS_DENY,
	P_DEFAULT_DENY,
	P_LABELS,
	P_DESCRIPTION,
	P_NODE_SELECTOR,
	P_LOG,
	P_COUNT,
};

static const struct field part_fields[P_COUNT] = {
	[P_SELECTOR] = { .name = "endpointSelector" },
	[P_INGRESS] = { .name = "ingress", .null_ok = true },
	[P_INGRESS_DENY] = { .name = "ingressDeny", .null_ok = true },
	[P_EGRESS] = { .name = "egress", .null_ok = true },
	[P_EGRESS_DENY] = { .name = "egressDeny", .null_ok = true },
	[P_DEFAULT_DENY] = { .name = "enableDefaultDeny", .null_ok = true },
	[P_LABELS] = { .name = "labels", .null_ok = true },
	[P_DESCRIPTION] = { .name = "description", .null_ok = true },
	[P_NODE_SELECTOR] = { .name = "nodeSelector" },
	[P_LOG] = { .name = "log" },
};

static int read_list(const struct reader *r, const struct ynode *list, const struct path *p,
		     uint32_t direction, uint32_t action, struct part *part, size_t *cap)
{
	uint32_t i = 0;
	int res = doc_list(r, list, p);

	if (res < 0)
		return res;
	for (const struct ynode *n = list->first; n; n = n->next, i++) {
		struct path here = { .up = p, .index = i };

		if (!array_grow(&part->rules, cap, part->nrules))
			return -ENOMEM;
		part->rules[part->nrules] = (struct rule){
			.direction = direction,
			.action = action,
			.line = n->line,
			.index = i,
		};
		res = read_element(r, n, &here, &part->rules[part->nrules++]);
		if (res < 0)
			return res;
	}
	return 0;
}

static int read_lists(const struct reader *r, const struct path *p, const struct ynode *const *got,
		      struct part *part)
{
	static const struct {
		uint32_t direction, action;
	} lists[] = {
		[P_INGRESS] = { CLITE_INGRESS, CLITE_ALLOW },
		[P_INGRESS_DENY] = { CLITE_INGRESS, CLITE_DENY },
		[P_EGRESS] = { CLITE_EGRESS, CLITE_ALLOW },
		[P_EGRESS_DENY] = { CLITE_EGRESS, CLITE_DENY },
	};
	size_t cap = 0;

	for (size_t i = P_INGRESS; i <= P_EGRESS_DENY; i++) {
		struct path here = { .up = p, .key = part_fields[i].name };
		int res;

		if (!got[i])
			continue;
		res = read_list(r, got[i], &here, lists[i].direction, lists[i].action, part, &cap);
		if (res < 0)
			return res;
	}
	return 0;
}

static int read_default_deny(const struct reader *r, const struct ynode *n, const struct path *p,
			     struct part *part)
{
	enum { INGRESS, EGRESS, COUNT };
	static const struct field fields[COUNT] = {
		[INGRESS] = { .name = "ingress" },
		[EGRESS] = { .name = "egress" },
	};
	static const uint32_t directions[COUNT] = { CLITE_INGRESS, CLITE_EGRESS };
	const struct ynode *got[COUNT];
	int res;

	res = doc_fields(r, n, p, fields, COUNT, got);
	if (res < 0)
		return res;
	for (size_t i = 0; i < COUNT; i++) {
		struct path here = { .up = p, .key = fields[i].name };
		bool on;

		if (!got[i])
			continue;
		res = doc_bool(r, got[i], &here, &on);
		if (res < 0)
			return res;
		part->default_deny[directions[i]] = on ? CLITE_DEFAULT_DENY_ON :
							 CLITE_DEFAULT_DENY_OFF;
	}
	return 0;
}

static int check_label(const struct reader *r, const struct ynode *n, const struct path *p)
{
	static const struct field fields[] = {
		{ .name = "key" },
		{ .name = "value" },
		{ .name = "source" },
	};
	const struct ynode *got[ARRAY_SIZE(fields)];
	const char *text;
	int res;

	if (n->kind == YNODE_SCALAR)
		return doc_string(r, n, p, &text);
	res = doc_fields(r, n, p, fields, ARRAY_SIZE(fields), got);
	if (res < 0)
		return res;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		struct path here = { .up = p, .key = fields[i].name };

		if (!got[i])
			continue;
		res = doc_string(r, got[i], &here, &text);
		if (res < 0)
			return res;
	}
	return 0;
}

static int check_labels(const struct reader *r, const struct ynode *list, const struct path *p)
{
	size_t i = 0;
	int res = doc_list(r, list, p);

	if (res < 0)
		return res;
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = p, .index = i++ };

		res = check_label(r, n, &here);
		if (res < 0)
			return res;
	}
	return 0;
}

/* "source:key=value", as a label may be written, too: the value if it is that key. */
static const char *label_text_value(const char *text, const char *key)
{
	const char *equals = strchr(text, '=');
	const char *colon = strchr(text, ':');

	if (!equals)
		return NULL;
	if (colon && colon < equals)
		text = colon + 1;
	if ((size_t)(equals - text) != strlen(key) || strncmp(text, key, strlen(key)) != 0)
		return NULL;
	return equals + 1;
}

const char *document_label(const struct ynode *labels, const char *key)
{
	for (const struct ynode *n = labels ? labels->first : NULL; n; n = n->next) {
		const char *k = NULL, *value = NULL;

		if (n->kind == YNODE_SCALAR) {
			value = label_text_value(n->text, key);
			if (value)
				return value;
			continue;
		}
		for (const struct ynode *f = n->first; f; f = f->next) {
			if (strcmp(f->key, "key") == 0)
				k = f->text;
			else if (strcmp(f->key, "value") == 0)
				value = f->text;
		}
		if (k && value && strcmp(k, key) == 0)
			return value;
	}
	return NULL;
}

static int read_log(const struct reader *r, const struct ynode *n, const struct path *p,
		    struct part *part)
{
	static const struct field fields[] = { { .name = "value" } };
	struct path value = { .up = p, .key = "value" };
	const struct ynode *got[1];
	int res = doc_fields(r, n, p, fields, 1, got);

	if (res < 0 || !got[0])
		return res;
	res = doc_strdup(r, got[0], &value, &part->log);
	if (res < 0)
		return res;
	if (strlen(part->log) > LOG_MAX)
		return doc_fail(r, got[0]->line, &value, CLITE_EDOCUMENT,
				"is longer than %d bytes", LOG_MAX);
	for (const char *c = part->log; *c; c++)
		if (*c < ' ' || *c > '~')
			return doc_fail(r, got[0]->line, &value, CLITE_EDOCUMENT,
					"holds what is not printable ASCII");
	return 0;
}

static int check_part(const struct reader *r, const struct ynode *n, const struct path *p,
		      const struct ynode *const *got)
{
	if (!got[P_SELECTOR] && !got[P_NODE_SELECTOR])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"needs an endpointSelector; '{}' selects every endpoint");
	if (got[P_SELECTOR] && got[P_NODE_SELECTOR])
		return doc_fail(r, got[P_NODE_SELECTOR]->key_line, p, CLITE_EDOCUMENT,
				"combining endpointSelector and nodeSelector is not allowed: write "
				"two rules");
	if (got[P_NODE_SELECTOR] && r->namespace)
		return doc_fail(r, got[P_NODE_SELECTOR]->key_line, p, CLITE_EDOCUMENT,
				"nodeSelector is for a CiliumClusterwideNetworkPolicy: hosts have no "
				"namespace");
	if (!got[P_INGRESS] && !got[P_INGRESS_DENY] && !got[P_EGRESS] && !got[P_EGRESS_DENY])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"needs at least one of ingress, ingressDeny, egress, egressDeny");
	return 0;
}

/* What says nothing of packets, but is kept. */
static int read_remarks(const struct reader *r, const struct path *p,
			const struct ynode *const *got, struct part *part)
{
	struct path description = { .up = p, .key = "description" };
	struct path labels = { .up = p, .key = "labels" };
	struct path log = { .up = p, .key = "log" };
	int res = 0;

	if (got[P_DESCRIPTION])
		res = doc_strdup(r, got[P_DESCRIPTION], &description, &part->description);
	if (res >= 0 && got[P_LABELS])
		res = check_labels(r, got[P_LABELS], &labels);
	if (res >= 0 && got[P_LABELS])
		res = doc_json_dup(got[P_LABELS], &part->labels);
	if (res >= 0 && got[P_LOG])
		res = read_log(r, got[P_LOG], &log, part);
	return res;
}

int document_part(const struct reader *r, const struct ynode *n, const struct path *p,
		  struct part *ret, const struct ynode **ret_labels)
{
	struct path default_deny = { .up = p, .key = "enableDefaultDeny" };
	const struct ynode *got[P_COUNT], *subject;
	struct path selector = { .up = p };
	int res;

	res = doc_fields(r, n, p, part_fields, P_COUNT, got);
	if (res >= 0)
		res = check_part(r, n, p, got);
	if (res >= 0)
		res = read_remarks(r, p, got, ret);
	if (res < 0)
		return res;
	ret->nodes = !got[P_SELECTOR];
	subject = ret->nodes ? got[P_NODE_SELECTOR] : got[P_SELECTOR];
	selector.key = subject->key;
	res = document_selector(r, subject, &selector, true, &ret->subject);
	if (res < 0)
		return res;
	if (got[P_DEFAULT_DENY]) {
		res = read_default_deny(r, got[P_DEFAULT_DENY], &default_deny, ret);
		if (res < 0)
			return res;
	}
	*ret_labels = got[P_LABELS];
	return read_lists(r, p, got, ret);
}
