/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/identity.h>
#include <cilium-lite/policy.h>

#include "model/identity.h"

static bool has_value(const struct requirement *q, const char *value)
{
	for (size_t i = 0; i < q->nvalues; i++)
		if (!strcmp(q->values[i], value))
			return true;
	return false;
}

/* Is there a label of the requirement's key (and source), and, with values, one
 * with one of the values? */
static bool has_label(const struct requirement *q, const struct labels *l, bool values)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct label *label = &l->l[i];

		if (strcmp(label->key, q->key) || (q->source && strcmp(label->source, q->source)))
			continue;
		if (!values || has_value(q, label->value))
			return true;
	}
	return false;
}

static bool requirement_holds(const struct requirement *q, const struct labels *l)
{
	switch (q->op) {
	case CLITE_OP_IN:
		return has_label(q, l, true);
	case CLITE_OP_NOT_IN:
		return !has_label(q, l, true);
	case CLITE_OP_EXISTS:
		return has_label(q, l, false);
	case CLITE_OP_DOES_NOT_EXIST:
		return !has_label(q, l, false);
	}
	return false;
}

bool selector_matches(const struct selector *s, const struct labels *l)
{
	for (size_t i = 0; i < s->nreqs; i++)
		if (!requirement_holds(&s->reqs[i], l))
			return false;
	return true;
}

/* ---- peers ------------------------------------------------------------------- */

static bool is_endpoint(const struct identity *id)
{
	return id->id == CLITE_ID_INIT || (id->id >= CLITE_ID_FIRST && !id->cidr.family);
}

static bool is_world(const struct identity *id)
{
	return id->cidr.family || id->id == CLITE_ID_WORLD || id->id == CLITE_ID_WORLD_IPV4 ||
	       id->id == CLITE_ID_WORLD_IPV6;
}

static bool is_positive(const struct selector *s)
{
	for (size_t i = 0; i < s->nreqs - s->nrequired; i++)
		if (s->reqs[i].op == CLITE_OP_IN || s->reqs[i].op == CLITE_OP_EXISTS)
			return true;
	return false;
}

/* Nobody from outside is selected by what he is not. */
static bool endpoints_select(const struct selector *s, const struct identity *id)
{
	return (is_endpoint(id) || is_positive(s)) && selector_matches(s, &id->labels);
}

static bool cidr_selects(const struct peer *p, const struct identity *id)
{
	if (!id->cidr.family)
		return !p->cidr.len &&
		       (id->id == CLITE_ID_WORLD ||
			id->id == (p->cidr.family == 4 ? CLITE_ID_WORLD_IPV4 : CLITE_ID_WORLD_IPV6));
	if (!prefix_contains(&p->cidr, &id->cidr))
		return false;
	for (size_t i = 0; i < p->nexcept; i++)
		if (prefix_contains(&p->except[i], &id->cidr))
			return false;
	return true;
}

static bool entity_selects(enum entity e, const struct identity *id)
{
	switch (e) {
	case ENTITY_ALL:
		return true;
	case ENTITY_WORLD:
		return is_world(id);
	case ENTITY_WORLD_IPV4:
		return id->id == CLITE_ID_WORLD_IPV4 || id->cidr.family == 4;
	case ENTITY_WORLD_IPV6:
		return id->id == CLITE_ID_WORLD_IPV6 || id->cidr.family == 6;
	case ENTITY_CLUSTER:
		return id->id && !is_world(id);
	case ENTITY_HOST:
		return id->id == CLITE_ID_HOST;
	case ENTITY_INIT:
		return id->id == CLITE_ID_INIT;
	case ENTITY_INGRESS:
		return id->id == CLITE_ID_INGRESS;
	case ENTITY_UNMANAGED:
		return id->id == CLITE_ID_UNMANAGED;
	case ENTITY_REMOTE_NODE:
		return id->id == CLITE_ID_REMOTE_NODE || id->id == CLITE_ID_KUBE_APISERVER;
	case ENTITY_HEALTH:
		return id->id == CLITE_ID_HEALTH;
	case ENTITY_KUBE_APISERVER:
		return id->id == CLITE_ID_KUBE_APISERVER;
	case ENTITY_NONE:
	case ENTITY_COUNT_:
		return false;
	}
	return false;
}

bool peer_selects(const struct peer *p, const struct identity *id)
{
	switch (p->kind) {
	case CLITE_PEER_ENDPOINTS:
		return endpoints_select(&p->selector, id);
	case CLITE_PEER_CIDR:
		return cidr_selects(p, id);
	case CLITE_PEER_ENTITY:
		return entity_selects(p->entity, id);
	case PEER_IDENTITY:
		return p->identity == id->id;
	}
	return false;
}

static bool is_among(const uint32_t *ids, size_t n, uint32_t id)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (ids[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && ids[lo] == id;
}

bool rule_admits(const struct rule *r, const struct identity *id)
{
	return !r->only || is_among(r->only, r->nonly, id->id);
}

bool rule_selects(const struct rule *r, const struct identity *id)
{
	if (!rule_admits(r, id))
		return false;
	if (r->any_peer)
		return true;
	for (size_t i = 0; i < r->npeers; i++)
		if (peer_selects(&r->peers[i], id))
			return true;
	return false;
}
