/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/policy.h"

#include <cilium-lite/policy.h>

static const char *const entity_names[ENTITY_COUNT_] = {
	[ENTITY_ALL] = "all",
	[ENTITY_WORLD] = "world",
	[ENTITY_WORLD_IPV4] = "world-ipv4",
	[ENTITY_WORLD_IPV6] = "world-ipv6",
	[ENTITY_CLUSTER] = "cluster",
	[ENTITY_HOST] = "host",
	[ENTITY_INIT] = "init",
	[ENTITY_INGRESS] = "ingress",
	[ENTITY_UNMANAGED] = "unmanaged",
	[ENTITY_REMOTE_NODE] = "remote-node",
	[ENTITY_HEALTH] = "health",
	[ENTITY_NONE] = "none",
	[ENTITY_KUBE_APISERVER] = "kube-apiserver",
};

const char *entity_name(enum entity e)
{
	return (unsigned int)e < ENTITY_COUNT_ ? entity_names[e] : "unknown";
}

int entity_parse(const char *s, enum entity *ret)
{
	for (unsigned int e = 0; e < ENTITY_COUNT_; e++) {
		if (strcmp(s, entity_names[e]) == 0) {
			*ret = (enum entity)e;
			return 0;
		}
	}
	return -EINVAL;
}

static const char *const need_names[NEED_COUNT_] = {
	[NEED_NONE] = "nothing",
	[NEED_HTTP] = "a proxy for HTTP",
	[NEED_KAFKA] = "a proxy for Kafka",
	[NEED_DNS] = "a proxy for DNS",
	[NEED_L7] = "a proxy for its protocol",
	[NEED_TLS] = "a proxy for TLS",
	[NEED_LISTENER] = "a listener of an Envoy proxy",
	[NEED_AUTH] = "mutual authentication",
	[NEED_FQDN] = "a proxy for DNS that learns the addresses of names",
	[NEED_HOST] = "a policy for hosts",
	[NEED_NODES] = "labels of nodes",
	[NEED_GROUPS] = "the API of a cloud provider",
	[NEED_CIDR_GROUPS] = "CIDR groups",
};

const char *need_name(enum need need)
{
	return (unsigned int)need < NEED_COUNT_ ? need_names[need] : "unknown";
}

static void requirement_clear(struct requirement *r)
{
	free(r->source);
	free(r->key);
	for (size_t i = 0; i < r->nvalues; i++)
		free(r->values[i]);
	free(r->values);
	*r = (struct requirement){};
}

static bool key_char_ok(unsigned char c)
{
	return c > ' ' && c != 0x7f;
}

int requirement_set_key(struct requirement *r, const char *text)
{
	const char *colon = strchr(text, ':');
	const char *key = colon ? colon + 1 : text;
	_cleanup_free_ char *source = NULL;

	if (colon == text || !*key)
		return -EINVAL;
	for (const char *c = text; *c; c++)
		if (!key_char_ok((unsigned char)*c))
			return -EINVAL;

	if (colon) {
		source = strndup(text, (size_t)(colon - text));
		if (!source)
			return -ENOMEM;
		if (strcmp(source, "any") == 0) {
			free(source);
			source = NULL;
		}
	}
	r->key = strdup(key);
	if (!r->key)
		return -ENOMEM;
	r->source = TAKE_PTR(source);
	return 0;
}

const char *policy_kind_name(enum policy_kind kind)
{
	static const char *const names[POLICY_KIND_COUNT_] = {
		[POLICY_STRUCTS] = "policy of structs",
		[POLICY_CNP] = "CiliumNetworkPolicy",
		[POLICY_CCNP] = "CiliumClusterwideNetworkPolicy",
		[POLICY_K8S] = "NetworkPolicy",
		[POLICY_RULES] = "list of rules",
	};

	return names[kind];
}

bool policy_kind_replaces(enum policy_kind kind, enum policy_kind old)
{
	return kind == POLICY_STRUCTS || old == POLICY_STRUCTS || kind == old;
}

static bool is_reserved(const struct requirement *r)
{
	return r->source && strcmp(r->source, "reserved") == 0;
}

bool requirement_is_namespace(const struct requirement *r)
{
	return (!r->source || strcmp(r->source, "k8s") == 0) && strcmp(r->key, NAMESPACE_KEY) == 0;
}

static bool requirement_names_namespace(const struct requirement *r)
{
	if (is_reserved(r) || requirement_is_namespace(r))
		return true;
	return (!r->source || strcmp(r->source, "k8s") == 0) &&
	       strncmp(r->key, NAMESPACE_LABELS_PREFIX, strlen(NAMESPACE_LABELS_PREFIX)) == 0;
}

bool selector_names_namespace(const struct selector *s)
{
	for (size_t i = 0; i < s->nreqs; i++)
		if (requirement_names_namespace(&s->reqs[i]))
			return true;
	return false;
}

bool selector_is_in_namespace(const struct selector *s, const char *namespace)
{
	for (size_t i = 0; i < s->nreqs; i++) {
		const struct requirement *r = &s->reqs[i];

		if (is_reserved(r) && (r->op == CLITE_OP_IN || r->op == CLITE_OP_EXISTS))
			return true;
		if (requirement_is_namespace(r) && r->source && r->op == CLITE_OP_IN &&
		    r->nvalues == 1 && strcmp(r->values[0], namespace) == 0)
			return true;
	}
	return false;
}

void selector_clear(struct selector *s)
{
	for (size_t i = 0; i < s->nreqs; i++)
		requirement_clear(&s->reqs[i]);
	free(s->reqs);
	*s = (struct selector){};
}

void peer_clear(struct peer *p)
{
	selector_clear(&p->selector);
	free(p->except);
	free(p->service);
	free(p->namespace);
	free(p->json);
	*p = (struct peer){};
}

void port_clear(struct port_range *p)
{
	free(p->name);
	*p = (struct port_range){};
}

static void redirect_clear(struct redirect *r)
{
	free(r->listener);
	free(r->json);
	*r = (struct redirect){};
}

void rule_clear(struct rule *r)
{
	for (size_t i = 0; i < r->npeers; i++)
		peer_clear(&r->peers[i]);
	free(r->peers);
	for (size_t i = 0; i < r->nports; i++)
		port_clear(&r->ports[i]);
	free(r->ports);
	for (size_t i = 0; i < r->nredirects; i++)
		redirect_clear(&r->redirects[i]);
	free(r->redirects);
	for (size_t i = 0; i < r->nrequires; i++)
		selector_clear(&r->requires[i]);
	free(r->requires);
	*r = (struct rule){};
}

void part_clear(struct part *p)
{
	selector_clear(&p->subject);
	for (size_t i = 0; i < p->nrules; i++)
		rule_clear(&p->rules[i]);
	free(p->rules);
	free(p->description);
	free(p->labels);
	free(p->log);
	*p = (struct part){};
}

struct policy *policy_free(struct policy *p)
{
	if (!p)
		return NULL;

	for (size_t i = 0; i < p->nparts; i++)
		part_clear(&p->parts[i]);
	free(p->parts);
	free(p->name);
	free(p->filename);
	free(p->text);
	free(p);
	return NULL;
}

void policy_freep(struct policy **p)
{
	*p = policy_free(*p);
}

size_t policy_rules(const struct policy *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->nparts; i++)
		n += p->parts[i].nrules;
	return n;
}

void policy_number(struct policy *p, uint32_t first)
{
	for (size_t i = 0; i < p->nparts; i++)
		for (size_t j = 0; j < p->parts[i].nrules; j++)
			p->parts[i].rules[j].cookie = first++;
}

static enum need first_need(uint32_t needs)
{
	return needs ? (enum need)__builtin_ctz(needs) : NEED_NONE;
}

static uint32_t rule_needs(const struct rule *r)
{
	uint32_t needs = 0;

	for (size_t i = 0; i < r->npeers; i++)
		if (r->peers[i].kind == PEER_OTHER)
			needs |= 1u << r->peers[i].need;
	for (size_t i = 0; i < r->nredirects; i++)
		needs |= r->redirects[i].needs;
	if (r->auth > AUTH_DISABLED)
		needs |= 1u << NEED_AUTH;
	return needs;
}

enum need policy_lacks(const struct policy *p, uint32_t present, uint32_t *ret_line)
{
	*ret_line = 0;
	for (size_t i = 0; i < p->nparts; i++) {
		const struct part *part = &p->parts[i];

		if (part->nodes && !(present & 1u << NEED_HOST))
			return NEED_HOST;
		for (size_t j = 0; j < part->nrules; j++) {
			enum need need = first_need(rule_needs(&part->rules[j]) & ~present);

			if (need == NEED_NONE)
				continue;
			*ret_line = part->rules[j].line;
			return need;
		}
	}
	return NEED_NONE;
}

static bool part_has_rules(const struct part *p, uint32_t direction)
{
	for (size_t i = 0; i < p->nrules; i++)
		if (p->rules[i].direction == direction)
			return true;
	return false;
}

bool part_enforces(const struct part *p, uint32_t direction)
{
	return p->default_deny[direction] == CLITE_DEFAULT_DENY_ON || part_has_rules(p, direction);
}

bool part_default_deny(const struct part *p, uint32_t direction)
{
	switch (p->default_deny[direction]) {
	case CLITE_DEFAULT_DENY_ON:
		return true;
	case CLITE_DEFAULT_DENY_OFF:
		return false;
	default:
		return part_has_rules(p, direction);
	}
}
