/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/flow.h"

#include "model/event_parts.h"

static const char *const no_texts[] = { NULL };

/* ---- texts ------------------------------------------------------------------- */

/* The text may move while it grows: a field is an offset until all are there. */
static void begin(struct flow_record *r, const char **field)
{
	*field = (const char *)(uintptr_t)r->text.len;
	r->fields[r->nfields++] = field;
}

static void end(struct flow_record *r)
{
	buf_put(&r->text, "", 1);
}

static void keep(struct flow_record *r, const char **field, const char *s, size_t len)
{
	if (!len) {
		*field = "";
		return;
	}
	begin(r, field);
	buf_put(&r->text, s, len);
	end(r);
}

/* Of "namespace/name", or of a name alone. */
static void keep_name(struct flow_record *r, const char **ns, const char **name, const char *whole)
{
	const char *slash = whole ? strchr(whole, '/') : NULL;

	keep(r, ns, whole, slash ? (size_t)(slash - whole) : 0);
	if (slash)
		whole = slash + 1;
	keep(r, name, whole, whole ? strlen(whole) : 0);
}

static void settle(struct flow_record *r)
{
	for (size_t i = 0; i < r->nfields; i++)
		*r->fields[i] = r->text.data + (uintptr_t)*r->fields[i];
}

/* ---- ends and policies --------------------------------------------------------- */

/* Where Kubernetes' workloads say their namespace. */
static const char *label_namespace(const char *const *labels)
{
	static const char key[] = "k8s:io.kubernetes.pod.namespace=";

	for (; *labels; labels++)
		if (!strncmp(*labels, key, sizeof(key) - 1))
			return *labels + sizeof(key) - 1;
	return "";
}

static void resolve_end(struct flow_record *r, const struct clite_event *e,
			const struct event_names *names, bool source)
{
	uint32_t identity = source ? e->source_identity : e->destination_identity;
	const char *name = event_endpoint(e, names, source), *ns;
	struct clite_flow_end *x = &r->ends[!source];
	bool named = name && strchr(name, '/');

	*x = (struct clite_flow_end){
		.sz = sizeof(*x),
		.cluster = "",
		.workload = "",
		.workload_kind = "",
		.labels = names->labels(names->data, identity) ?: no_texts,
		.names = no_texts,
	};
	keep_name(r, &x->ns, &x->pod, name);
	if (!named) {
		ns = label_namespace(x->labels);
		keep(r, &x->ns, ns, strlen(ns));
	}
	keep_name(r, &x->service_ns, &x->service, event_service(e, names, source));
}

static void resolve_policy(struct flow_record *r, const struct event_names *names, uint32_t cookie,
			   bool denied, size_t *n)
{
	const struct clite_rule_info *rule = cookie ? names->rule(names->data, cookie) : NULL;
	struct clite_flow_policy *p = &r->policies[*n];

	if (!rule)
		return;
	r->rules[*n] = *rule;
	*p = (struct clite_flow_policy){
		.sz = sizeof(*p),
		/* What has no namespace may be of any kind. */
		.kind = strchr(rule->policy, '/') ? "CiliumNetworkPolicy" : "",
		.direction = rule->direction,
		.action = denied ? CLITE_DENY : CLITE_ALLOW,
		.rule = &r->rules[*n],
	};
	keep_name(r, &p->ns, &p->name, rule->policy);
	r->list[(*n)++] = p;
}

int flow_resolve(struct flow_record *r, const struct clite_event *e,
		 const struct event_names *names)
{
	struct event_rules rules = event_rules(e);
	const char *ifname;
	size_t n = 0;

	r->text.len = 0;
	r->nfields = 0;
	resolve_end(r, e, names, true);
	resolve_end(r, e, names, false);
	resolve_policy(r, names, rules.egress, rules.denied, &n);
	resolve_policy(r, names, rules.ingress, rules.denied, &n);
	r->list[n] = NULL;
	r->flow = (struct clite_flow){
		.sz = sizeof(r->flow),
		.event = e,
		.source = &r->ends[0],
		.destination = &r->ends[1],
		.policies = r->list,
		.node = names->node_name ?: "",
		.kind = CLITE_FLOW_L3_L4,
	};
	ifname = e->ifindex && names->interface ? names->interface(names->data, e->ifindex) : NULL;
	keep(r, &r->flow.interface, ifname, ifname ? strlen(ifname) : 0);
	begin(r, &r->flow.summary);
	event_summary(e, &r->text);
	end(r);
	if (r->text.failed)
		return -ENOMEM;
	settle(r);
	return 0;
}

void flow_record_clear(struct flow_record *r)
{
	buf_clear(&r->text);
}

static bool end_valid(const struct clite_flow_end *x)
{
	return x && x->sz == sizeof(*x) && x->ns && x->pod && x->service && x->service_ns &&
	       x->cluster && x->workload && x->workload_kind && x->labels && x->names;
}

bool flow_valid(const struct clite_flow *f)
{
	if (!f || f->sz != sizeof(*f) || !f->event || f->event->sz != sizeof(*f->event) ||
	    !end_valid(f->source) || !end_valid(f->destination) || !f->policies || !f->node ||
	    !f->summary)
		return false;
	for (size_t i = 0; f->policies[i]; i++) {
		const struct clite_flow_policy *p = f->policies[i];

		if (p->sz != sizeof(*p) || !p->name || !p->ns || !p->kind)
			return false;
	}
	return true;
}
