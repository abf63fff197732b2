/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/lint.h"

#include <cilium-lite/policy.h>

#include <stdarg.h>
#include <stdio.h>

#include "model/judge.h"

struct lint {
	const struct world *w;
	const struct identities *ids;
	const struct part *part;
	const struct rule *rule;
	int (*note)(const struct remark *r, void *data);
	void *data;
};

static int say(struct lint *l, uint32_t code, const char *fmt, ...) _printf_(3, 4);

static int say(struct lint *l, uint32_t code, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	struct remark r = { .code = code, .rule = l->rule };
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return -ENOMEM;
	}
	r.text = text;
	return l->note(&r, l->data);
}

/* ---- selectors ---------------------------------------------------------------- */

static bool is_subject(const struct lint *l, const struct world_endpoint *e)
{
	return selector_matches(&l->part->subject, &e->identity->labels);
}

static bool has_subject(const struct lint *l)
{
	for (size_t i = 0; i < l->w->neps; i++)
		if (is_subject(l, &l->w->eps[i]))
			return true;
	return false;
}

static bool selects_somebody(const struct lint *l, const struct peer *p)
{
	for (size_t i = 0; i < l->ids->n; i++)
		if (peer_selects(p, l->ids->v[i]))
			return true;
	return false;
}

static bool means_a_service(const struct lint *l, const struct peer *p)
{
	for (size_t i = 0; i < l->w->nservices; i++)
		if (peer_means_service(p, &l->w->services[i]))
			return true;
	return false;
}

/* ---- prefixes ------------------------------------------------------------------- */

static bool overlap(const struct prefix *a, const struct prefix *b)
{
	return prefix_contains(a, b) || prefix_contains(b, a);
}

/* Is everything that one means meant by the other, too? */
static bool covers(const struct peer *by, const struct peer *p)
{
	if (by->kind != CLITE_PEER_CIDR || !prefix_contains(&by->cidr, &p->cidr))
		return false;
	for (size_t i = 0; i < by->nexcept; i++) {
		bool left_out = false;

		for (size_t j = 0; j < p->nexcept; j++)
			left_out = left_out || prefix_contains(&p->except[j], &by->except[i]);
		if (!left_out && overlap(&by->except[i], &p->cidr))
			return false;
	}
	return true;
}

static const struct peer *covered_in_rule(const struct rule *r, const struct peer *p)
{
	for (size_t i = 0; i < r->npeers; i++) {
		const struct peer *by = &r->peers[i];

		/* of two alike the later is too much */
		if (by == p || !covers(by, p) || (covers(p, by) && by > p))
			continue;
		return by;
	}
	return NULL;
}

/* A rule of the part that denies everything that an allowed prefix means. */
static const struct rule *denied_by(const struct lint *l, const struct peer *p)
{
	for (size_t i = 0; i < l->part->nrules; i++) {
		const struct rule *r = &l->part->rules[i];

		if (r->action != CLITE_DENY || r->direction != l->rule->direction ||
		    !rule_any_port(r))
			continue;
		if (r->any_peer)
			return r;
		for (size_t k = 0; k < r->npeers; k++)
			if (covers(&r->peers[k], p))
				return r;
	}
	return NULL;
}

static bool means_address(const struct peer *p, const struct prefix *address)
{
	if (!address->family || !p->cidr.len || !prefix_contains(&p->cidr, address))
		return false;
	for (size_t i = 0; i < p->nexcept; i++)
		if (prefix_contains(&p->except[i], address))
			return false;
	return true;
}

static size_t endpoints_in(const struct lint *l, const struct peer *p)
{
	size_t n = 0;

	for (size_t i = 0; i < l->w->neps; i++)
		n += means_address(p, &l->w->eps[i].v4) || means_address(p, &l->w->eps[i].v6);
	return n;
}

static int lint_cidr(struct lint *l, const struct peer *p)
{
	const struct peer *by = covered_in_rule(l->rule, p);
	const struct rule *deny = l->rule->action == CLITE_ALLOW ? denied_by(l, p) : NULL;
	char text[PREFIX_STR], other[PREFIX_STR];
	size_t n = endpoints_in(l, p);
	int r = 0;

	prefix_format(&p->cidr, text);
	if (by)
		r = say(l, CLITE_WARNING_CIDR_SHADOWED,
			"%s is inside of %s in the same list: it adds nothing", text,
			prefix_format(&by->cidr, other));
	if (!r && deny)
		r = say(l, CLITE_WARNING_CIDR_SHADOWED,
			"%s is denied by the rule in line %u: it is never allowed", text, deny->line);
	if (!r && n)
		r = say(l, CLITE_WARNING_CIDR_ENDPOINTS,
			"%s holds addresses of %zu endpoint%s: prefixes never select endpoints, "
			"write a selector of labels for them",
			text, n, n == 1 ? "" : "s");
	return r;
}

/* ---- rules ------------------------------------------------------------------------ */

static int lint_peer(struct lint *l, const struct peer *p, size_t i)
{
	switch (p->kind) {
	case CLITE_PEER_CIDR:
		return lint_cidr(l, p);
	case CLITE_PEER_ENDPOINTS:
		return selects_somebody(l, p) ? 0 :
						say(l, CLITE_WARNING_SELECTS_NOBODY,
						    "peer %zu selects nobody who is here now", i);
	case PEER_SERVICE:
		if (means_a_service(l, p))
			return 0;
		return p->service ? say(l, CLITE_WARNING_NO_SERVICE,
					"there is no service '%s%s%s' here", p->namespace ?: "",
					p->namespace ? "/" : "", p->service) :
				    say(l, CLITE_WARNING_NO_SERVICE,
					"peer %zu selects no service that is here now", i);
	}
	return 0;
}

static bool has_port_name(const struct named_ports *ports, const struct port_range *p)
{
	for (size_t i = 0; i < ports->n; i++)
		if (!strcmp(ports->v[i].name, p->name) &&
		    (!p->protocol || p->protocol == ports->v[i].protocol))
			return true;
	return false;
}

static int lint_port(struct lint *l, const struct port_range *p)
{
	bool own = l->rule->direction == CLITE_INGRESS;

	for (size_t i = 0; i < l->w->neps; i++)
		if ((!own || is_subject(l, &l->w->eps[i])) &&
		    has_port_name(l->w->eps[i].ports, p))
			return 0;
	return say(l, CLITE_WARNING_PORT_NAME, "no %sendpoint has a port named '%s'",
		   own ? "selected " : "", p->name);
}

static int lint_rule(struct lint *l, const struct rule *rule)
{
	int r = 0;

	l->rule = rule;
	for (size_t i = 0; !r && i < rule->npeers; i++)
		r = lint_peer(l, &rule->peers[i], i);
	for (size_t i = 0; !r && i < rule->nports; i++)
		if (rule->ports[i].name)
			r = lint_port(l, &rule->ports[i]);
	return r;
}

int policy_lint(const struct policy *p, const struct world *w, const struct identities *ids,
		uint32_t present, int (*note)(const struct remark *r, void *data), void *data)
{
	struct lint l = { .w = w, .ids = ids, .note = note, .data = data };
	uint32_t line;
	enum need need = policy_lacks(p, present, &line);
	int r = 0;

	for (size_t i = 0; !r && i < p->nparts; i++) {
		l.part = &p->parts[i];
		l.rule = NULL;
		if (l.part->nodes && need == NEED_HOST)
			r = say(&l, CLITE_WARNING_NEEDS,
				"needs %s, which is not present: it cannot come into force",
				need_name(need));
		if (!r && !l.part->nodes && !has_subject(&l))
			r = say(&l, CLITE_WARNING_SELECTS_NOBODY,
				"no endpoint that is here now is selected");
		for (size_t j = 0; !r && j < l.part->nrules; j++) {
			l.rule = &l.part->rules[j];
			if (need != NEED_NONE && line && l.rule->line == line)
				r = say(&l, CLITE_WARNING_NEEDS,
					"needs %s, which is not present: it cannot come into force",
					need_name(need));
			if (!r)
				r = lint_rule(&l, l.rule);
		}
	}
	return r;
}
