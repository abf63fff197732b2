/* SPDX-License-Identifier: BSD-2-Clause */
#include "api/rules.h"

#include <ctype.h>
#include <netinet/in.h>

bool policy_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > 255)
		return false;
	for (size_t i = 0; i < n; i++)
		if (iscntrl((unsigned char)name[i]))
			return false;
	return true;
}

/* ---- selectors --------------------------------------------------------------- */

static int strings_read(const char *const *from, size_t n, char ***ret, size_t *ret_n)
{
	char **v = calloc(n ?: 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	*ret = v; /* owned by the model from here on, also when it fails */
	for (size_t i = 0; i < n; i++) {
		if (!from[i])
			return -EINVAL;
		v[i] = strdup(from[i]);
		if (!v[i])
			return -ENOMEM;
		++*ret_n;
	}
	return 0;
}

static int requirement_read(const struct clite_requirement *from, struct requirement *q,
			    struct errtext *err)
{
	const char *colon = from->key ? strchr(from->key, ':') : NULL;
	const char *key = colon ? colon + 1 : from->key;
	bool valued = from->op == CLITE_OP_IN || from->op == CLITE_OP_NOT_IN;
	int r;

	if (!key || !*key || colon == from->key)
		return err_set(err, EINVAL, "key '%s': write it as 'key' or 'source:key'",
			       from->key ?: "(null)");
	if (from->op > CLITE_OP_DOES_NOT_EXIST)
		return err_set(err, EINVAL, "key '%s': operator %u is none", from->key, from->op);
	if (valued != !!from->nvalues || (from->nvalues && !from->values))
		return err_set(err, EINVAL, "key '%s': %s", from->key,
			       valued ? "In and NotIn need values" :
					"Exists and DoesNotExist take no values");
	q->op = from->op;
	q->key = strdup(key);
	if (!q->key)
		return -ENOMEM;
	if (colon && strncmp(from->key, "any:", 4)) {
		q->source = strndup(from->key, colon - from->key);
		if (!q->source)
			return -ENOMEM;
	}
	r = strings_read(from->values, from->nvalues, &q->values, &q->nvalues);
	return r == -EINVAL ? err_set(err, EINVAL, "key '%s': a value is NULL", from->key) : r;
}

static int selector_read(const struct clite_selector *from, struct selector *s, struct errtext *err)
{
	if (!from || !from->nrequirements)
		return 0;
	if (!from->requirements)
		return err_set(err, EINVAL, "selector: requirements is NULL");
	s->reqs = calloc(from->nrequirements, sizeof(*s->reqs));
	if (!s->reqs)
		return -ENOMEM;
	for (size_t i = 0; i < from->nrequirements; i++) {
		int r;

		s->nreqs++;
		r = requirement_read(&from->requirements[i], &s->reqs[i], err);
		if (r)
			return err_prefix(err, r, "requirements[%zu]", i);
	}
	return 0;
}

/* ---- peers -------------------------------------------------------------------- */

static int cidr_read(const struct clite_peer *from, struct peer *p, struct errtext *err)
{
	size_t n = 0;

	if (!from->cidr || prefix_parse(from->cidr, &p->cidr))
		return err_set(err, EINVAL, "cidr '%s' is no prefix (or has bits beyond its length)",
			       from->cidr ?: "(null)");
	while (from->except && from->except[n])
		n++;
	p->except = calloc(n ?: 1, sizeof(*p->except));
	if (!p->except)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (prefix_parse(from->except[i], &p->except[i]) ||
		    !prefix_contains(&p->cidr, &p->except[i]))
			return err_set(err, EINVAL, "except '%s' is no prefix inside %s",
				       from->except[i], from->cidr);
		p->nexcept++;
	}
	return 0;
}

static int peer_read(const struct clite_peer *from, struct peer *p, struct errtext *err)
{
	p->kind = from->kind;
	if (from->reserved)
		return err_set(err, EINVAL, "reserved is not 0");
	switch (from->kind) {
	case CLITE_PEER_ENDPOINTS:
		return selector_read(from->selector, &p->selector, err);
	case CLITE_PEER_CIDR:
		return cidr_read(from, p, err);
	case CLITE_PEER_ENTITY:
		if (!from->entity || entity_parse(from->entity, &p->entity))
			return err_set(err, EINVAL, "entity '%s' is none",
				       from->entity ?: "(null)");
		return 0;
	}
	return err_set(err, EINVAL, "kind %u is none", from->kind);
}

static int peers_read(const struct clite_rule *from, struct rule *rule, struct errtext *err)
{
	rule->any_peer = !from->peers;
	if (!from->peers && from->npeers)
		return err_set(err, EINVAL, "peers is NULL, npeers %zu", from->npeers);
	rule->peers = calloc(from->npeers ?: 1, sizeof(*rule->peers));
	if (!rule->peers)
		return -ENOMEM;
	for (size_t i = 0; i < from->npeers; i++) {
		int r;

		rule->npeers++;
		r = peer_read(&from->peers[i], &rule->peers[i], err);
		if (r)
			return err_prefix(err, r, "peers[%zu]", i);
	}
	return 0;
}

/* ---- ports -------------------------------------------------------------------- */

static int port_read(const struct clite_port *from, struct port_range *p, struct errtext *err)
{
	bool icmp = from->protocol == IPPROTO_ICMP || from->protocol == IPPROTO_ICMPV6;

	switch (from->protocol) {
	case 0:
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		break;
	default:
		return err_set(err, EINVAL, "protocol %u: only TCP, UDP, SCTP, ICMP, ICMPv6 or 0",
			       from->protocol);
	}
	if (icmp && (from->port > 255 || from->end_port))
		return err_set(err, EINVAL, "ICMP type %u: 0 to 255, without end_port", from->port);
	if (from->end_port && (!from->port || from->end_port < from->port))
		return err_set(err, EINVAL, "end_port %u does not follow port %u", from->end_port,
			       from->port);
	p->protocol = from->protocol;
	p->first = from->port;
	p->last = icmp ? from->port : !from->port ? 65535 : from->end_port ?: from->port;
	return 0;
}

static int ports_read(const struct clite_rule *from, struct rule *rule, struct errtext *err)
{
	rule->any_port = !from->ports;
	if (!from->ports && from->nports)
		return err_set(err, EINVAL, "ports is NULL, nports %zu", from->nports);
	rule->ports = calloc(from->nports ?: 1, sizeof(*rule->ports));
	if (!rule->ports)
		return -ENOMEM;
	for (size_t i = 0; i < from->nports; i++) {
		int r = port_read(&from->ports[i], &rule->ports[rule->nports++], err);

		if (r)
			return err_prefix(err, r, "ports[%zu]", i);
	}
	return 0;
}

/* ---- rules, parts ---------------------------------------------------------------- */

static int rule_read(const struct clite_rule *from, struct rule *rule, struct errtext *err)
{
	struct clite_rule copy;
	int r;

	if (!from || opts_copy(&copy, sizeof(copy), from))
		return err_set(err, EINVAL, "NULL, or not a struct clite_rule of this library");
	if (copy.direction != CLITE_INGRESS && copy.direction != CLITE_EGRESS)
		return err_set(err, EINVAL, "direction %u is neither ingress nor egress",
			       copy.direction);
	if (copy.action > CLITE_DENY)
		return err_set(err, EINVAL, "action %u is neither allow nor deny", copy.action);
	rule->direction = copy.direction;
	rule->action = copy.action;
	r = peers_read(&copy, rule, err);
	return r ?: ports_read(&copy, rule, err);
}

static int part_read(const struct clite_policy_part *from, struct part *part, struct errtext *err)
{
	uint32_t seen[3][2] = {};
	struct clite_policy_part p;
	int r;

	if (!from || opts_copy(&p, sizeof(p), from))
		return err_set(err, EINVAL, "NULL, or not a struct clite_policy_part of this library");
	if (p.default_deny_ingress > CLITE_DEFAULT_DENY_OFF ||
	    p.default_deny_egress > CLITE_DEFAULT_DENY_OFF)
		return err_set(err, EINVAL, "default_deny: 0, 1 or 2");
	if (p.nrules && !p.rules)
		return err_set(err, EINVAL, "rules is NULL, nrules %zu", p.nrules);
	part->default_deny[CLITE_INGRESS] = p.default_deny_ingress;
	part->default_deny[CLITE_EGRESS] = p.default_deny_egress;
	r = selector_read(p.subject, &part->subject, err);
	if (r)
		return err_prefix(err, r, "subject");
	part->rules = calloc(p.nrules ?: 1, sizeof(*part->rules));
	if (!part->rules)
		return -ENOMEM;
	for (size_t i = 0; i < p.nrules; i++) {
		struct rule *rule = &part->rules[part->nrules++];

		r = rule_read(p.rules[i], rule, err);
		if (r)
			return err_prefix(err, r, "rules[%zu]", i);
		rule->index = seen[rule->direction][rule->action]++;
	}
	return 0;
}

int rules_read(const char *name, const struct clite_policy_part *const *parts, size_t nparts,
	       struct policy **ret, struct errtext *err)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	_cleanup_buf_ struct buf text = {};
	int r;

	if (!policy_name_ok(name))
		return err_set(err, EINVAL,
			       "policy name: 1 to 255 bytes without control characters");
	if (!parts || !nparts)
		return err_set(err, EINVAL, "policy '%s' has no parts", name);
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->name = strdup(name);
	p->parts = calloc(nparts, sizeof(*p->parts));
	if (!p->name || !p->parts)
		return -ENOMEM;
	for (size_t i = 0; i < nparts; i++) {
		r = part_read(parts[i], &p->parts[p->nparts++], err);
		if (r)
			return err_prefix(err, r, "parts[%zu]", i);
	}
	r = policy_write(p, &text);
	if (r)
		return r;
	p->text = strdup(text.data ?: "");
	if (!p->text)
		return -ENOMEM;
	*ret = TAKE_PTR(p);
	return 0;
}
