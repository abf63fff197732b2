/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/document_rule.h"

#include <cilium-lite/policy.h>

/* ---- elements of ingress, egress, ingressDeny, egressDeny ---------------- */

#define NEEDS_NODES "needs labels of nodes" LACKS ": write CIDRs or entities"
#define NEEDS_CLOUD "needs the API of a cloud provider" LACKS ": write CIDRs"
#define DEPRECATED "is deprecated by Cilium and not supported: write a deny rule"
#define NEEDS_AUTH "needs mutual authentication" LACKS

/* Those that Cilium knows only in lists that allow stand at the end. */
static const struct field ingress_fields[] = {
	[E_ENDPOINTS] = { .name = "fromEndpoints" },
	[E_CIDR] = { .name = "fromCIDR" },
	[E_CIDR_SET] = { .name = "fromCIDRSet" },
	[E_ENTITIES] = { .name = "fromEntities" },
	[E_PORTS] = { .name = "toPorts" },
	[E_ICMPS] = { .name = "icmps" },
	[E_SUPPORTED] = { "fromRequires", DEPRECATED },
	{ "fromGroups", NEEDS_CLOUD },
	{ "fromNodes", NEEDS_NODES },
	{ "authentication", NEEDS_AUTH },
};
#define INGRESS_ALLOW_ONLY 1

static const struct field egress_fields[] = {
	[E_ENDPOINTS] = { .name = "toEndpoints" },
	[E_CIDR] = { .name = "toCIDR" },
	[E_CIDR_SET] = { .name = "toCIDRSet" },
	[E_ENTITIES] = { .name = "toEntities" },
	[E_PORTS] = { .name = "toPorts" },
	[E_ICMPS] = { .name = "icmps" },
	[E_SUPPORTED] = { "toRequires", DEPRECATED },
	{ "toGroups", NEEDS_CLOUD },
	{ "toNodes", NEEDS_NODES },
	{ "toServices", "needs Kubernetes services" LACKS ": write endpoints or CIDRs" },
	{ "toFQDNs", "needs a proxy for DNS" LACKS ": write CIDRs" },
	{ "authentication", NEEDS_AUTH },
};
#define EGRESS_ALLOW_ONLY 2

_Static_assert(ARRAY_SIZE(ingress_fields) <= DOCUMENT_MAX_FIELDS, "got[] is too small");
_Static_assert(ARRAY_SIZE(egress_fields) <= DOCUMENT_MAX_FIELDS, "got[] is too small");

/* One kind of peers only, and not both kinds of ports. */
static int check_combination(const struct reader *r, const struct path *p,
			     const struct field *fields, const struct ynode *const *got)
{
	const struct ynode *seen = NULL;

	for (size_t i = 0; i <= E_ENTITIES; i++) {
		if (!got[i])
			continue;
		if (seen)
			return doc_fail(r, got[i]->key_line, p, CLITE_EDOCUMENT,
					"combining %s and %s in one rule is not allowed: write two "
					"rules",
					seen->key, fields[i].name);
		seen = got[i];
	}
	if (got[E_PORTS] && got[E_ICMPS])
		return doc_fail(r, got[E_ICMPS]->key_line, p, CLITE_EDOCUMENT,
				"combining toPorts and icmps in one rule is not allowed: write two "
				"rules");
	return 0;
}

static int read_element_peers(const struct reader *r, const struct path *p,
			      const struct ynode *const *got, struct rule *rule)
{
	for (enum element i = E_ENDPOINTS; i <= E_ENTITIES; i++) {
		struct path here;

		if (!got[i])
			continue;
		here = (struct path){ .up = p, .key = got[i]->key };
		return document_peers(r, got[i], &here, i, rule);
	}
	/* Without peers an element means everybody, but an element with nothing in it
	 * means nobody. */
	rule->any_peer = !rule->any_port;
	return 0;
}

static int read_element(const struct reader *r, const struct ynode *n, const struct path *p,
			struct rule *rule)
{
	bool in = rule->direction == CLITE_INGRESS, deny = rule->action == CLITE_DENY;
	const struct field *fields = in ? ingress_fields : egress_fields;
	size_t nfields = in ? ARRAY_SIZE(ingress_fields) : ARRAY_SIZE(egress_fields);
	const struct ynode *got[DOCUMENT_MAX_FIELDS];
	struct path ports = { .up = p, .key = "toPorts" };
	struct path icmps = { .up = p, .key = "icmps" };
	int res;

	if (deny)
		nfields -= in ? INGRESS_ALLOW_ONLY : EGRESS_ALLOW_ONLY;
	res = doc_fields(r, n, p, fields, nfields, got);
	if (res < 0)
		return res;
	res = check_combination(r, p, fields, got);
	if (res < 0)
		return res;

	rule->any_port = true;
	if (got[E_PORTS])
		res = document_ports(r, got[E_PORTS], &ports, E_PORTS, rule);
	else if (got[E_ICMPS])
		res = document_ports(r, got[E_ICMPS], &icmps, E_ICMPS, rule);
	if (res < 0)
		return res;
	return read_element_peers(r, p, got, rule);
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
	P_SUPPORTED,
};

static const struct field part_fields[] = {
	[P_SELECTOR] = { .name = "endpointSelector" },
	[P_INGRESS] = { .name = "ingress" },
	[P_INGRESS_DENY] = { .name = "ingressDeny" },
	[P_EGRESS] = { .name = "egress" },
	[P_EGRESS_DENY] = { .name = "egressDeny" },
	[P_DEFAULT_DENY] = { .name = "enableDefaultDeny" },
	[P_LABELS] = { .name = "labels" },
	[P_DESCRIPTION] = { .name = "description" },
	[P_SUPPORTED] = { "nodeSelector", "selects hosts, which have no policy in this library" },
	{ "log", "is not supported: events name the rule that decided" },
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

static int check_part(const struct reader *r, const struct ynode *n, const struct path *p,
		      const struct ynode *const *got)
{
	struct path description = { .up = p, .key = "description" };
	struct path labels = { .up = p, .key = "labels" };
	const char *text;
	int res;

	if (!got[P_SELECTOR])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"needs an endpointSelector; '{}' selects every endpoint");
	if (!got[P_INGRESS] && !got[P_INGRESS_DENY] && !got[P_EGRESS] && !got[P_EGRESS_DENY])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"needs at least one of ingress, ingressDeny, egress, egressDeny");
	if (got[P_DESCRIPTION]) {
		res = doc_string(r, got[P_DESCRIPTION], &description, &text);
		if (res < 0)
			return res;
	}
	return got[P_LABELS] ? check_labels(r, got[P_LABELS], &labels) : 0;
}

int document_part(const struct reader *r, const struct ynode *n, const struct path *p,
		  struct part *ret, const struct ynode **ret_labels)
{
	struct path selector = { .up = p, .key = "endpointSelector" };
	struct path default_deny = { .up = p, .key = "enableDefaultDeny" };
	const struct ynode *got[ARRAY_SIZE(part_fields)];
	int res;

	res = doc_fields(r, n, p, part_fields, ARRAY_SIZE(part_fields), got);
	if (res < 0)
		return res;
	res = check_part(r, n, p, got);
	if (res < 0)
		return res;
	res = document_selector(r, got[P_SELECTOR], &selector, true, &ret->subject);
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
