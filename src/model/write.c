/* SPDX-License-Identifier: BSD-2-Clause */
/* Policies as CiliumNetworkPolicy documents in JSON. */
#include "model/policy.h"

#include <cilium-lite/policy.h>

#include <netinet/in.h>
#include <stdio.h>

#define PORTS_MAX 40	    /* Cilium takes no more in one list */
#define MATCH_LABELS_MAX 64 /* more requirements than that are written as expressions, */
#define KEY_MAX 250	    /* and longer keys, which YAML does not take before a colon */

/* ---- JSON --------------------------------------------------------------- */

struct json {
	struct buf *b;
	unsigned int depth;
	bool first; /* nothing stands in the innermost object or array yet */
};

static void json_next(struct json *j)
{
	if (j->depth == 0)
		return;
	buf_puts(j->b, j->first ? "\n" : ",\n");
	for (unsigned int i = 0; i < j->depth; i++)
		buf_puts(j->b, "  ");
	j->first = false;
}

static void json_open(struct json *j, const char *key, const char *bracket)
{
	json_next(j);
	if (key) {
		buf_json(j->b, key);
		buf_puts(j->b, ": ");
	}
	buf_puts(j->b, bracket);
	j->depth++;
	j->first = true;
}

static void json_close(struct json *j, const char *bracket)
{
	bool empty = j->first;

	j->depth--;
	if (!empty) {
		buf_puts(j->b, "\n");
		for (unsigned int i = 0; i < j->depth; i++)
			buf_puts(j->b, "  ");
	}
	j->first = false;
	buf_puts(j->b, bracket);
}

static void json_str(struct json *j, const char *key, const char *value)
{
	json_next(j);
	if (key) {
		buf_json(j->b, key);
		buf_puts(j->b, ": ");
	}
	buf_json(j->b, value);
}

static void json_num(struct json *j, const char *key, unsigned int value)
{
	json_next(j);
	buf_json(j->b, key);
	buf_printf(j->b, ": %u", value);
}

static void json_bool(struct json *j, const char *key, bool value)
{
	json_next(j);
	buf_json(j->b, key);
	buf_puts(j->b, value ? ": true" : ": false");
}

/* A value that is JSON already. */
static void json_raw(struct json *j, const char *key, const char *value)
{
	json_next(j);
	if (key) {
		buf_json(j->b, key);
		buf_puts(j->b, ": ");
	}
	buf_puts(j->b, value);
}

/* ---- selectors ---------------------------------------------------------- */

/* "source:key" as documents have it. */
static void requirement_key(const struct requirement *r, struct buf *key)
{
	if (r->source && *r->source)
		buf_printf(key, "%s:", r->source);
	else if (strchr(r->key, ':'))
		buf_puts(key, "any:");
	buf_puts(key, r->key);
}

static bool key_is_long(const struct requirement *r)
{
	return strlen(r->key) + (r->source ? strlen(r->source) : 0) > KEY_MAX;
}

static bool same_key(const struct requirement *a, const struct requirement *b)
{
	const char *as = a->source ? a->source : "", *bs = b->source ? b->source : "";

	return strcmp(a->key, b->key) == 0 && strcmp(as, bs) == 0;
}

/* How many of the first requirements can stand in matchLabels? That is read before
 * matchExpressions, and a key stands in it once. */
static size_t match_labels(const struct selector *s)
{
	size_t n;

	for (n = 0; n < s->nreqs && n < MATCH_LABELS_MAX; n++) {
		const struct requirement *r = &s->reqs[n];

		if (r->op != CLITE_OP_IN || r->nvalues != 1 || key_is_long(r))
			return n;
		for (size_t i = 0; i < n; i++)
			if (same_key(&s->reqs[i], r))
				return n;
	}
	return n;
}

static void write_expression(struct json *j, const struct requirement *r)
{
	static const char *const operators[] = {
		[CLITE_OP_IN] = "In",
		[CLITE_OP_NOT_IN] = "NotIn",
		[CLITE_OP_EXISTS] = "Exists",
		[CLITE_OP_DOES_NOT_EXIST] = "DoesNotExist",
	};
	_cleanup_buf_ struct buf key = {};

	requirement_key(r, &key);
	if (key.failed) {
		j->b->failed = true;
		return;
	}

	json_open(j, NULL, "{");
	json_str(j, "key", key.data);
	json_str(j, "operator", operators[r->op]);
	if (r->nvalues > 0) {
		json_open(j, "values", "[");
		for (size_t i = 0; i < r->nvalues; i++)
			json_str(j, NULL, r->values[i]);
		json_close(j, "]");
	}
	json_close(j, "}");
}

static void write_match_labels(struct json *j, const struct selector *s, size_t n)
{
	json_open(j, "matchLabels", "{");
	for (size_t i = 0; i < n; i++) {
		_cleanup_buf_ struct buf key = {};

		requirement_key(&s->reqs[i], &key);
		if (key.failed)
			j->b->failed = true;
		else
			json_str(j, key.data, s->reqs[i].values[0]);
	}
	json_close(j, "}");
}

static void write_selector(struct json *j, const char *name, const struct selector *s)
{
	size_t n = match_labels(s);

	json_open(j, name, "{");
	if (n > 0)
		write_match_labels(j, s, n);
	if (n < s->nreqs) {
		json_open(j, "matchExpressions", "[");
		for (size_t i = n; i < s->nreqs; i++)
			write_expression(j, &s->reqs[i]);
		json_close(j, "]");
	}
	json_close(j, "}");
}

/* ---- peers -------------------------------------------------------------- */

static void write_cidr_set(struct json *j, const struct peer *p)
{
	char text[PREFIX_STR];

	json_open(j, NULL, "{");
	json_str(j, "cidr", prefix_format(&p->cidr, text));
	if (p->nexcept > 0) {
		json_open(j, "except", "[");
		for (size_t i = 0; i < p->nexcept; i++)
			json_str(j, NULL, prefix_format(&p->except[i], text));
		json_close(j, "]");
	}
	json_close(j, "}");
}

static void write_service(struct json *j, const struct peer *p)
{
	json_open(j, NULL, "{");
	json_open(j, p->service ? "k8sService" : "k8sServiceSelector", "{");
	if (p->service)
		json_str(j, "serviceName", p->service);
	else
		write_selector(j, "selector", &p->selector);
	if (p->namespace)
		json_str(j, "namespace", p->namespace);
	json_close(j, "}");
	json_close(j, "}");
}

/* The lists that peers stand in, one kind in each. */
enum list { LIST_NONE, LIST_ENDPOINTS, LIST_CIDR, LIST_ENTITIES, LIST_SERVICES, LIST_FQDNS,
	    LIST_NODES, LIST_GROUPS, LIST_COUNT_ };

static enum list list_of(const struct peer *p)
{
	switch (p->kind) {
	case CLITE_PEER_ENDPOINTS:
		return LIST_ENDPOINTS;
	case CLITE_PEER_CIDR:
		return LIST_CIDR;
	case CLITE_PEER_ENTITY:
		return LIST_ENTITIES;
	case PEER_SERVICE:
		return LIST_SERVICES;
	}
	switch (p->need) {
	case NEED_FQDN:
		return LIST_FQDNS;
	case NEED_NODES:
		return LIST_NODES;
	case NEED_GROUPS:
		return LIST_GROUPS;
	default:
		return LIST_CIDR;
	}
}

static void write_peer(struct json *j, const struct peer *p, bool cidr_set)
{
	char text[PREFIX_STR];

	if (p->kind == CLITE_PEER_ENDPOINTS)
		write_selector(j, NULL, &p->selector);
	else if (p->kind == CLITE_PEER_ENTITY)
		json_str(j, NULL, entity_name(p->entity));
	else if (p->kind == PEER_SERVICE)
		write_service(j, p);
	else if (p->kind == PEER_OTHER)
		json_raw(j, NULL, p->json);
	else if (cidr_set)
		write_cidr_set(j, p);
	else
		json_str(j, NULL, prefix_format(&p->cidr, text));
}

/* The list of the rule's peers of one kind: "fromEndpoints", "toCIDRSet", ... */
static void write_peers(struct json *j, const struct rule *r, enum list list)
{
	static const char *const names[LIST_COUNT_][2] = {
		[LIST_ENDPOINTS] = { "fromEndpoints", "toEndpoints" },
		[LIST_CIDR] = { "fromCIDR", "toCIDR" },
		[LIST_ENTITIES] = { "fromEntities", "toEntities" },
		[LIST_SERVICES] = { "toServices", "toServices" },
		[LIST_FQDNS] = { "toFQDNs", "toFQDNs" },
		[LIST_NODES] = { "fromNodes", "toNodes" },
		[LIST_GROUPS] = { "fromGroups", "toGroups" },
	};
	static const char *const sets[] = { "fromCIDRSet", "toCIDRSet" };
	bool to = r->direction == CLITE_EGRESS, cidr_set = false;

	for (size_t i = 0; i < r->npeers; i++)
		if (list == LIST_CIDR && list_of(&r->peers[i]) == list &&
		    (r->peers[i].nexcept > 0 || r->peers[i].kind == PEER_OTHER))
			cidr_set = true;

	json_open(j, cidr_set ? sets[to] : names[list][to], "[");
	for (size_t i = 0; i < r->npeers; i++)
		if (list_of(&r->peers[i]) == list)
			write_peer(j, &r->peers[i], cidr_set);
	json_close(j, "]");
}

/* ---- ports -------------------------------------------------------------- */

static bool is_icmp(const struct port_range *p)
{
	return p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6;
}

static const char *protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case 0:
		return "ANY";
	case IPPROTO_TCP:
		return "TCP";
	case IPPROTO_UDP:
		return "UDP";
	case IPPROTO_SCTP:
		return "SCTP";
	default:
		return NULL;
	}
}

/* Port 0 alone cannot be named: it stands for all ports. */
static bool port_writable(const struct port_range *p)
{
	if (p->first > p->last)
		return false;
	if (p->name)
		return protocol_name(p->protocol);
	return is_icmp(p) ? p->last <= UINT8_MAX : protocol_name(p->protocol) && p->last > 0;
}

static void write_port(struct json *j, const struct port_range *p)
{
	char text[8];

	snprintf(text, sizeof(text), "%u", p->first);
	json_open(j, NULL, "{");
	json_str(j, "port", p->name ? p->name : text);
	if (p->last != p->first && !(p->first == 0 && p->last == UINT16_MAX))
		json_num(j, "endPort", p->last);
	json_str(j, "protocol", protocol_name(p->protocol));
	json_close(j, "}");
}

/* A list of lists ("toPorts" of "ports", "icmps" of "fields") whose inner ones may
 * not be longer than PORTS_MAX, and are for one redirect each. */
struct chunks {
	struct json *j;
	const char *inner;
	const struct redirect *redirect; /* of the one that is open; NULL: none */
	size_t n;			 /* in the one that is open */
	bool open;
};

static void chunk_close(struct chunks *c)
{
	if (!c->open)
		return;
	json_close(c->j, "]");
	if (c->redirect) {
		_cleanup_buf_ struct buf fields = {};

		/* the object's fields, without its braces */
		buf_put(&fields, c->redirect->json + 1, strlen(c->redirect->json) - 2);
		if (fields.failed)
			c->j->b->failed = true;
		else
			json_raw(c->j, NULL, fields.data);
	}
	json_close(c->j, "}");
	c->open = false;
}

static void chunk_open(struct chunks *c, const struct redirect *redirect)
{
	json_open(c->j, NULL, "{");
	json_open(c->j, c->inner, "[");
	c->redirect = redirect;
	c->n = 0;
	c->open = true;
}

static void chunk_element(struct chunks *c, const struct redirect *redirect)
{
	if (c->open && (c->n == PORTS_MAX || c->redirect != redirect))
		chunk_close(c);
	if (!c->open)
		chunk_open(c, redirect);
	c->n++;
}

static void chunks_end(struct chunks *c, bool any)
{
	if (!any)
		chunk_open(c, NULL); /* a list with nothing in it: no port at all */
	chunk_close(c);
	json_close(c->j, "]");
}

static void write_ports(struct json *j, const struct rule *r)
{
	static const struct port_range all = { .last = UINT16_MAX };
	struct chunks c = { .j = j, .inner = "ports" };

	json_open(j, "toPorts", "[");
	if (r->any_port) {
		chunk_element(&c, NULL);
		write_port(j, &all);
	}
	for (size_t i = 0; i < r->nports && !r->any_port; i++) {
		const struct port_range *p = &r->ports[i];

		if (is_icmp(p))
			continue;
		chunk_element(&c, p->redirect ? &r->redirects[p->redirect - 1] : NULL);
		write_port(j, p);
	}
	chunks_end(&c, c.open);
}

static void write_icmps(struct json *j, const struct rule *r)
{
	struct chunks c = { .j = j, .inner = "fields" };

	json_open(j, "icmps", "[");
	for (size_t i = 0; i < r->nports; i++) {
		const struct port_range *p = &r->ports[i];

		if (!is_icmp(p))
			continue;
		for (unsigned int type = p->first; type <= p->last; type++) {
			chunk_element(&c, NULL);
			json_open(j, NULL, "{");
			json_str(j, "family", p->protocol == IPPROTO_ICMP ? "IPv4" : "IPv6");
			json_num(j, "type", type);
			json_close(j, "}");
		}
	}
	chunks_end(&c, c.open);
}

/* ---- rules -------------------------------------------------------------- */

enum ports_kind { PORTS_NONE, PORTS_PORTS, PORTS_ICMP };

static void write_requires(struct json *j, const struct rule *r)
{
	json_open(j, r->direction == CLITE_INGRESS ? "fromRequires" : "toRequires", "[");
	for (size_t i = 0; i < r->nrequires; i++)
		write_selector(j, NULL, &r->requires[i]);
	json_close(j, "]");
}

static void write_auth(struct json *j, uint32_t auth)
{
	static const char *const modes[] = {
		[AUTH_DISABLED] = "disabled",
		[AUTH_REQUIRED] = "required",
		[AUTH_FAIL] = "test-always-fail",
	};

	json_open(j, "authentication", "{");
	json_str(j, "mode", modes[auth]);
	json_close(j, "}");
}

/* One element of a direction's list. */
static void write_element(struct json *j, const struct rule *r, enum list list,
			  enum ports_kind ports)
{
	json_open(j, NULL, "{");
	if (list)
		write_peers(j, r, list);
	if (r->nrequires)
		write_requires(j, r);
	if (ports == PORTS_PORTS)
		write_ports(j, r);
	else if (ports == PORTS_ICMP)
		write_icmps(j, r);
	if (r->auth)
		write_auth(j, r->auth);
	json_close(j, "}");
}

static void write_with_peers(struct json *j, const struct rule *r, enum ports_kind ports)
{
	/* {} alone would be nobody, too: there is no need for a list then */
	enum list nobody = ports == PORTS_NONE ? LIST_NONE : LIST_ENDPOINTS;
	bool lists[LIST_COUNT_] = {};

	if (r->any_peer) {
		/* but {} is nobody: everybody needs a list of ports */
		write_element(j, r, LIST_NONE, ports == PORTS_NONE ? PORTS_PORTS : ports);
		return;
	}
	if (r->npeers == 0) {
		write_element(j, r, nobody, ports);
		return;
	}

	for (size_t i = 0; i < r->npeers; i++)
		lists[list_of(&r->peers[i])] = true;
	for (enum list list = LIST_ENDPOINTS; list < LIST_COUNT_; list++)
		if (lists[list])
			write_element(j, r, list, ports);
}

static void write_rule(struct json *j, const struct rule *r)
{
	bool icmp = false, other = r->nports == 0;

	if (r->any_port) {
		write_with_peers(j, r, PORTS_NONE);
		return;
	}
	for (size_t i = 0; i < r->nports; i++) {
		icmp = icmp || is_icmp(&r->ports[i]);
		other = other || !is_icmp(&r->ports[i]);
	}
	if (other)
		write_with_peers(j, r, PORTS_PORTS);
	if (icmp)
		write_with_peers(j, r, PORTS_ICMP);
}

/* Writes a list if the part has such rules, or if one is asked for. */
static void write_list(struct json *j, const char *name, const struct part *p, uint32_t direction,
		       uint32_t action, bool always)
{
	bool open = false;

	for (size_t i = 0; i < p->nrules; i++) {
		const struct rule *r = &p->rules[i];

		if (r->direction != direction || r->action != action)
			continue;
		if (!open)
			json_open(j, name, "[");
		open = true;
		write_rule(j, r);
	}
	if (!open && always)
		json_open(j, name, "[");
	if (open || always)
		json_close(j, "]");
}

static void write_default_deny(struct json *j, const struct part *p)
{
	const uint32_t *dd = p->default_deny;

	if (dd[CLITE_INGRESS] == CLITE_DEFAULT_DENY_AUTO &&
	    dd[CLITE_EGRESS] == CLITE_DEFAULT_DENY_AUTO)
		return;

	json_open(j, "enableDefaultDeny", "{");
	if (dd[CLITE_INGRESS] != CLITE_DEFAULT_DENY_AUTO)
		json_bool(j, "ingress", dd[CLITE_INGRESS] == CLITE_DEFAULT_DENY_ON);
	if (dd[CLITE_EGRESS] != CLITE_DEFAULT_DENY_AUTO)
		json_bool(j, "egress", dd[CLITE_EGRESS] == CLITE_DEFAULT_DENY_ON);
	json_close(j, "}");
}

static void write_part(struct json *j, const char *name, const struct part *p)
{
	json_open(j, name, "{");
	if (p->description)
		json_str(j, "description", p->description);
	if (p->labels)
		json_raw(j, "labels", p->labels);
	if (p->log) {
		json_open(j, "log", "{");
		json_str(j, "value", p->log);
		json_close(j, "}");
	}
	write_selector(j, p->nodes ? "nodeSelector" : "endpointSelector", &p->subject);
	write_default_deny(j, p);
	/* a part must have a list, be it empty */
	write_list(j, "ingress", p, CLITE_INGRESS, CLITE_ALLOW, p->nrules == 0);
	write_list(j, "ingressDeny", p, CLITE_INGRESS, CLITE_DENY, false);
	write_list(j, "egress", p, CLITE_EGRESS, CLITE_ALLOW, false);
	write_list(j, "egressDeny", p, CLITE_EGRESS, CLITE_DENY, false);
	json_close(j, "}");
}

/* ---- documents ---------------------------------------------------------- */

static bool peers_name_namespace(const struct rule *r)
{
	for (size_t i = 0; i < r->npeers; i++)
		if (r->peers[i].kind == CLITE_PEER_ENDPOINTS &&
		    !selector_names_namespace(&r->peers[i].selector))
			return false;
	for (size_t i = 0; i < r->nrequires; i++)
		if (!selector_names_namespace(&r->requires[i]))
			return false;
	return true;
}

/* Reading a document with a namespace adds it to each selector that names none. So
 * a namespace can be written only where nothing would be added. */
static bool has_namespace(const struct policy *p)
{
	const char *slash = strchr(p->name, '/');
	_cleanup_free_ char *namespace = NULL;

	if (!slash || slash == p->name || !slash[1])
		return false;
	namespace = strndup(p->name, (size_t)(slash - p->name));
	if (!namespace)
		return false; /* its name is written whole, which is as good */
	for (size_t i = 0; i < p->nparts; i++) {
		const struct part *part = &p->parts[i];

		if (part->nodes || !selector_is_in_namespace(&part->subject, namespace))
			return false;
		for (size_t r = 0; r < part->nrules; r++)
			if (!peers_name_namespace(&part->rules[r]))
				return false;
	}
	return true;
}

static void write_metadata(struct json *j, const struct policy *p)
{
	json_open(j, "metadata", "{");
	if (has_namespace(p)) {
		const char *slash = strchr(p->name, '/');
		_cleanup_free_ char *namespace = strndup(p->name, (size_t)(slash - p->name));

		if (!namespace) {
			j->b->failed = true;
			return;
		}
		json_str(j, "name", slash + 1);
		json_str(j, "namespace", namespace);
	} else {
		json_str(j, "name", p->name);
	}
	json_close(j, "}");
}

static bool writable(const struct policy *p)
{
	for (size_t i = 0; i < p->nparts; i++)
		for (size_t r = 0; r < p->parts[i].nrules; r++)
			for (size_t k = 0; k < p->parts[i].rules[r].nports; k++)
				if (!port_writable(&p->parts[i].rules[r].ports[k]))
					return false;
	return true;
}

int policy_write(const struct policy *p, struct buf *out)
{
	struct json j = { .b = out };

	if (!writable(p))
		return -EINVAL;

	json_open(&j, NULL, "{");
	json_str(&j, "apiVersion", "cilium.io/v2");
	json_str(&j, "kind", "CiliumNetworkPolicy");
	write_metadata(&j, p);
	if (p->nparts == 1) {
		write_part(&j, "spec", &p->parts[0]);
	} else {
		json_open(&j, "specs", "[");
		for (size_t i = 0; i < p->nparts; i++)
			write_part(&j, NULL, &p->parts[i]);
		json_close(&j, "]");
	}
	json_close(&j, "}");
	buf_puts(out, "\n");
	return out->failed ? -ENOMEM : 0;
}
