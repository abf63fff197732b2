/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/document_k8s.h"

#include <cilium-lite/policy.h>

#include <netinet/in.h>

/* ---- selectors: labels of pods and of namespaces have the source k8s ----------- */

static int add_prefix(const struct reader *r, const struct ynode *n, const struct path *p,
		      struct requirement *q, const char *prefix)
{
	_cleanup_buf_ struct buf key = {};

	if (q->source)
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"'%s:%s' is no key of a label of Kubernetes: it holds a colon",
				q->source, q->key);
	q->source = strdup("k8s");
	if (!*prefix)
		return q->source ? 0 : -ENOMEM;
	buf_printf(&key, "%s%s", prefix, q->key);
	if (key.failed || !q->source)
		return -ENOMEM;
	free(q->key);
	q->key = TAKE_PTR(key.data);
	return 0;
}

/* Append the requirements of a LabelSelector. */
static int read_selector(const struct reader *r, const struct ynode *n, const struct path *p,
			 const char *prefix, struct selector *s)
{
	struct reader anywhere = { .filename = r->filename, .err = r->err };
	_cleanup_(selector_clear) struct selector own = {};
	struct requirement *all;
	int res = document_selector(&anywhere, n, p, true, &own);

	for (size_t i = 0; res >= 0 && i < own.nreqs; i++)
		res = add_prefix(r, n, p, &own.reqs[i], prefix);
	if (res < 0 || !own.nreqs)
		return res;
	all = reallocarray(s->reqs, s->nreqs + own.nreqs, sizeof(*all));
	if (!all)
		return -ENOMEM;
	s->reqs = all;
	memcpy(all + s->nreqs, own.reqs, own.nreqs * sizeof(*all));
	s->nreqs += own.nreqs;
	free(own.reqs);
	own = (struct selector){};
	return 0;
}

/* "k8s:io.kubernetes.pod.namespace" is the given one, or (NULL) is there. */
static int add_namespace(struct selector *s, const char *namespace)
{
	struct requirement *all = reallocarray(s->reqs, s->nreqs + 1, sizeof(*all)), *q;

	if (!all)
		return -ENOMEM;
	s->reqs = all;
	q = &all[s->nreqs++];
	*q = (struct requirement){ .op = namespace ? CLITE_OP_IN : CLITE_OP_EXISTS };
	q->source = strdup("k8s");
	q->key = strdup(NAMESPACE_KEY);
	if (!q->source || !q->key)
		return -ENOMEM;
	if (!namespace)
		return 0;
	q->values = calloc(1, sizeof(*q->values));
	if (!q->values)
		return -ENOMEM;
	q->values[0] = strdup(namespace);
	if (!q->values[0])
		return -ENOMEM;
	q->nvalues = 1;
	return 0;
}

/* ---- peers -------------------------------------------------------------------------- */

/* Does a requirement from the first on ask for a label that is there? */
static bool names_label(const struct selector *s, size_t first)
{
	for (size_t i = first; i < s->nreqs; i++)
		if (s->reqs[i].op == CLITE_OP_IN || s->reqs[i].op == CLITE_OP_EXISTS)
			return true;
	return false;
}

static int read_pods(const struct reader *r, const struct path *p, const struct ynode *pods,
		     const struct ynode *namespaces, struct peer *peer)
{
	struct path pod_path = { .up = p, .key = "podSelector" };
	struct path namespace_path = { .up = p, .key = "namespaceSelector" };
	size_t first;
	int res = 0;

	peer->kind = CLITE_PEER_ENDPOINTS;
	if (pods)
		res = read_selector(r, pods, &pod_path, "", &peer->selector);
	if (res < 0)
		return res;
	if (!namespaces)
		return add_namespace(&peer->selector, r->namespace);
	first = peer->selector.nreqs;
	res = read_selector(r, namespaces, &namespace_path, NAMESPACE_LABELS_PREFIX,
			    &peer->selector);
	if (res < 0 || names_label(&peer->selector, first))
		return res;
	/* It is about pods of namespaces, whatever labels those must not have. */
	return add_namespace(&peer->selector, NULL);
}

static int read_peer(const struct reader *r, const struct ynode *n, const struct path *p,
		     struct rule *rule)
{
	enum { PODS, NAMESPACES, BLOCK, COUNT };
	static const struct field fields[COUNT] = {
		[PODS] = { .name = "podSelector" },
		[NAMESPACES] = { .name = "namespaceSelector" },
		[BLOCK] = { .name = "ipBlock" },
	};
	struct path block = { .up = p, .key = "ipBlock" };
	const struct ynode *got[COUNT];
	int res = doc_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (got[BLOCK] && (got[PODS] || got[NAMESPACES]))
		return doc_fail(r, got[BLOCK]->key_line, p, CLITE_EDOCUMENT,
				"combining ipBlock and a selector is not allowed: write two peers");
	if (!got[BLOCK] && !got[PODS] && !got[NAMESPACES])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"needs a podSelector, a namespaceSelector or an ipBlock");
	rule->peers = calloc(1, sizeof(*rule->peers));
	if (!rule->peers)
		return -ENOMEM;
	rule->npeers = 1;
	if (got[BLOCK])
		return document_block(r, got[BLOCK], &block, rule->peers);
	return read_pods(r, p, got[PODS], got[NAMESPACES], rule->peers);
}

/* ---- ports -------------------------------------------------------------------------- */

int document_protocol(const struct reader *r, const struct ynode *n, const struct path *p,
		      uint8_t *ret)
{
	static const struct {
		const char *name;
		uint8_t protocol;
	} known[] = { { "TCP", IPPROTO_TCP }, { "UDP", IPPROTO_UDP }, { "SCTP", IPPROTO_SCTP } };
	const char *s;
	int res = doc_string(r, n, p, &s);

	if (res < 0)
		return res;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(s, known[i].name) == 0) {
			*ret = known[i].protocol;
			return 0;
		}
	return doc_fail_value(r, n, p, CLITE_EDOCUMENT, "is no protocol: TCP, UDP and SCTP are");
}

int document_port(const struct reader *r, const struct ynode *n, const struct path *p,
		  uint16_t *ret)
{
	unsigned int v;
	int res = doc_number(r, n, p, UINT16_MAX, &v);

	if (res >= 0 && v == 0)
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "0 is no port: 1 to 65535 are");
	*ret = res < 0 ? 0 : (uint16_t)v;
	return res;
}

static int read_end(const struct reader *r, const struct ynode *n, const struct path *p,
		    struct port_range *range)
{
	int res;

	if (range->name || !range->first)
		return doc_fail(r, n->key_line, p, CLITE_EDOCUMENT,
				"needs a port that is a number beside it");
	res = document_port(r, n, p, &range->last);
	if (res >= 0 && range->last < range->first)
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "%u is below the port %u",
				range->last, range->first);
	return res;
}

/* Without a port: all of the protocol. */
static int read_port(const struct reader *r, const struct ynode *n, const struct path *p,
		     struct port_range *ret)
{
	enum { PROTOCOL, PORT, END, COUNT };
	static const struct field fields[COUNT] = {
		[PROTOCOL] = { .name = "protocol" },
		[PORT] = { .name = "port" },
		[END] = { .name = "endPort" },
	};
	struct path protocol = { .up = p, .key = "protocol" }, port = { .up = p, .key = "port" };
	struct path end = { .up = p, .key = "endPort" };
	const struct ynode *got[COUNT];
	int res = doc_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	*ret = (struct port_range){ .protocol = IPPROTO_TCP, .last = UINT16_MAX };
	if (got[PROTOCOL])
		res = document_protocol(r, got[PROTOCOL], &protocol, &ret->protocol);
	if (res >= 0 && got[PORT]) {
		ret->last = 0;
		if (got[PORT]->kind == YNODE_SCALAR && got[PORT]->type == YTYPE_STRING &&
		    document_is_port_name(got[PORT]->text)) {
			res = document_port_name(ret, got[PORT]->text);
		} else {
			res = document_port(r, got[PORT], &port, &ret->first);
			ret->last = ret->first;
		}
	}
	if (res >= 0 && got[END])
		res = read_end(r, got[END], &end, ret);
	return res;
}

static int read_ports(const struct reader *r, const struct ynode *list, const struct path *p,
		      struct rule *rule)
{
	int res = doc_list(r, list, p);

	if (res < 0 || !list->n)
		return res;
	rule->any_port = false;
	rule->ports = calloc(list->n, sizeof(*rule->ports));
	if (!rule->ports)
		return -ENOMEM;
	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next) {
		struct path here = { .up = p, .index = rule->nports };

		res = read_port(r, n, &here, &rule->ports[rule->nports++]);
	}
	return res;
}

/* ---- rules --------------------------------------------------------------------------- */

struct rules {
	struct part *part;
	size_t cap;
	uint32_t direction;
	uint32_t index;
};

/* Everybody and everything, as Cilium's documents say it: all ports of any protocol. */
static int every_packet(struct rule *rule)
{
	rule->ports = calloc(1, sizeof(*rule->ports));
	if (!rule->ports)
		return -ENOMEM;
	rule->ports[0].last = UINT16_MAX;
	rule->nports = 1;
	rule->any_port = false;
	return 0;
}

/* A rule for one peer (NULL: for everybody), with the ports of all. */
static int add_rule(const struct reader *r, struct rules *rules, const struct ynode *peer,
		    const struct path *peer_path, uint32_t line, const struct ynode *ports,
		    const struct path *ports_path)
{
	struct part *part = rules->part;
	struct rule *rule;
	int res = 0;

	if (!array_grow(&part->rules, &rules->cap, part->nrules))
		return -ENOMEM;
	rule = &part->rules[part->nrules++];
	*rule = (struct rule){
		.direction = rules->direction,
		.line = line,
		.index = rules->index++,
		.any_peer = !peer,
		.any_port = true,
	};
	if (peer)
		res = read_peer(r, peer, peer_path, rule);
	if (res >= 0 && ports)
		res = read_ports(r, ports, ports_path, rule);
	return res < 0 || peer || !rule->any_port ? res : every_packet(rule);
}

static int read_rule(const struct reader *r, const struct ynode *n, const struct path *p,
		     struct rules *rules)
{
	enum { PEERS, PORTS, COUNT };
	const struct field fields[COUNT] = {
		[PEERS] = { .name = rules->direction == CLITE_INGRESS ? "from" : "to" },
		[PORTS] = { .name = "ports" },
	};
	struct path peers = { .up = p, .key = fields[PEERS].name };
	struct path ports = { .up = p, .key = "ports" };
	const struct ynode *got[COUNT];
	size_t i = 0;
	int res = doc_fields(r, n, p, fields, COUNT, got);

	if (res >= 0 && got[PEERS])
		res = doc_list(r, got[PEERS], &peers);
	if (res < 0)
		return res;
	if (!got[PEERS] || !got[PEERS]->n)
		return add_rule(r, rules, NULL, NULL, n->line, got[PORTS], &ports);
	for (const struct ynode *peer = got[PEERS]->first; res >= 0 && peer; peer = peer->next) {
		struct path here = { .up = &peers, .index = i++ };

		res = add_rule(r, rules, peer, &here, peer->line, got[PORTS], &ports);
	}
	return res;
}

static int read_list(const struct reader *r, const struct ynode *list, const struct path *p,
		     struct rules *rules)
{
	size_t i = 0;
	int res = doc_list(r, list, p);

	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next) {
		struct path here = { .up = p, .index = i++ };

		res = read_rule(r, n, &here, rules);
	}
	return res;
}

/* ---- the spec -------------------------------------------------------------------------- */

enum { S_PODS, S_INGRESS, S_EGRESS, S_TYPES, S_COUNT };

/* Which directions it is about: those listed; else ingress, and egress if there are
 * rules for it. */
static int read_types(const struct reader *r, const struct ynode *n, const struct path *p,
		      bool egress_rules, bool about[3])
{
	size_t i = 0;
	int res = n ? doc_list(r, n, p) : 0;

	if (res < 0)
		return res;
	if (!n || !n->n) {
		about[CLITE_INGRESS] = true;
		about[CLITE_EGRESS] = egress_rules;
		return 0;
	}
	for (const struct ynode *e = n->first; e; e = e->next) {
		struct path here = { .up = p, .index = i++ };
		const char *s;

		res = doc_string(r, e, &here, &s);
		if (res < 0)
			return res;
		if (strcmp(s, "Ingress") == 0)
			about[CLITE_INGRESS] = true;
		else if (strcmp(s, "Egress") == 0)
			about[CLITE_EGRESS] = true;
		else
			return doc_fail_value(r, e, &here, CLITE_EDOCUMENT,
					      "is no type: Ingress and Egress are");
	}
	return 0;
}

/* The rules of a direction that it is not about are checked, and say nothing. */
static void drop_rules(struct part *part, uint32_t direction)
{
	size_t n = 0;

	for (size_t i = 0; i < part->nrules; i++)
		if (part->rules[i].direction == direction)
			rule_clear(&part->rules[i]);
		else
			part->rules[n++] = part->rules[i];
	part->nrules = n;
}

int document_network_policy(const struct reader *r, const struct ynode *spec, const struct path *p,
			    struct part *ret)
{
	static const struct field fields[S_COUNT] = {
		[S_PODS] = { .name = "podSelector", .null_ok = true },
		[S_INGRESS] = { .name = "ingress", .null_ok = true },
		[S_EGRESS] = { .name = "egress", .null_ok = true },
		[S_TYPES] = { .name = "policyTypes", .null_ok = true },
	};
	struct path pods = { .up = p, .key = "podSelector" };
	struct path ingress = { .up = p, .key = "ingress" }, egress = { .up = p, .key = "egress" };
	struct path types = { .up = p, .key = "policyTypes" };
	struct rules rules = { .part = ret, .direction = CLITE_INGRESS };
	const struct ynode *got[S_COUNT];
	bool about[3] = {};
	int res = doc_fields(r, spec, p, fields, S_COUNT, got);

	if (res >= 0 && got[S_PODS])
		res = read_selector(r, got[S_PODS], &pods, "", &ret->subject);
	if (res >= 0)
		res = add_namespace(&ret->subject, r->namespace);
	if (res >= 0 && got[S_INGRESS])
		res = read_list(r, got[S_INGRESS], &ingress, &rules);
	rules.direction = CLITE_EGRESS;
	rules.index = 0;
	if (res >= 0 && got[S_EGRESS])
		res = read_list(r, got[S_EGRESS], &egress, &rules);
	if (res >= 0)
		res = read_types(r, got[S_TYPES], &types, got[S_EGRESS] && got[S_EGRESS]->n, about);
	if (res < 0)
		return res;
	for (uint32_t d = CLITE_INGRESS; d <= CLITE_EGRESS; d++) {
		if (about[d])
			ret->default_deny[d] = CLITE_DEFAULT_DENY_ON;
		else
			drop_rules(ret, d);
	}
	return 0;
}
