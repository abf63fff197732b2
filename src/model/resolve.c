/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/resolve.h"

#include <cilium-lite/policy.h>

#include <netinet/in.h>
#include <stdlib.h>

/* ---- names of ports -------------------------------------------------------- */

void named_ports_clear(struct named_ports *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].name);
		free(p->text[i]);
	}
	free(p->v);
	free(p->text);
	*p = (struct named_ports){};
}

static const struct {
	const char *name;
	uint8_t protocol;
} protocols[] = { { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "sctp", IPPROTO_SCTP } };

static int port_number(const char *s, char **end, uint16_t *ret)
{
	unsigned long v;

	if (*s < '1' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoul(s, end, 10);
	if (errno || v > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t)v;
	return 0;
}

static int protocol_number(const char *s, uint8_t *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (strcasecmp(s, protocols[i].name) == 0) {
			*ret = protocols[i].protocol;
			return 0;
		}
	return -EINVAL;
}

/* As IANA has it (RFC 6335): 1 to 15 letters, digits and '-', one letter at least. */
static bool name_ok(const char *s, size_t n)
{
	bool letter = false;

	if (n < 1 || n > 15)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool alpha = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z');

		if (!alpha && s[i] != '-' && (s[i] < '0' || s[i] > '9'))
			return false;
		letter = letter || alpha;
	}
	return letter;
}

static int named_port_parse(const char *text, struct named_port *ret)
{
	const char *equals = strchr(text, '=');
	char *end = NULL;

	if (!equals || !name_ok(text, (size_t)(equals - text)) ||
	    port_number(equals + 1, &end, &ret->port))
		return -EINVAL;
	ret->protocol = IPPROTO_TCP;
	if (*end && (*end != '/' || protocol_number(end + 1, &ret->protocol)))
		return -EINVAL;
	ret->name = strndup(text, (size_t)(equals - text));
	if (!ret->name)
		return -ENOMEM;
	for (char *c = ret->name; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c += 'a' - 'A';
	return 0;
}

static char *named_port_text(const struct named_port *p)
{
	_cleanup_buf_ struct buf b = {};

	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].protocol == p->protocol)
			buf_printf(&b, "%s=%u/%s", p->name, p->port, protocols[i].name);
	return b.failed ? NULL : TAKE_PTR(b.data);
}

/* Takes the name over, on success. */
static int named_port_insert(struct named_ports *p, const struct named_port *new)
{
	struct named_port *v = reallocarray(p->v, p->n + 1, sizeof(*v));
	char **texts, *text;
	size_t at = p->n;

	if (!v)
		return -ENOMEM;
	p->v = v;
	texts = reallocarray(p->text, p->n + 2, sizeof(*texts));
	if (!texts)
		return -ENOMEM;
	p->text = texts;
	text = named_port_text(new);
	if (!text)
		return -ENOMEM;
	for (; at > 0 && strcmp(v[at - 1].name, new->name) > 0; at--) {
		v[at] = v[at - 1];
		texts[at] = texts[at - 1];
	}
	v[at] = *new;
	texts[at] = text;
	texts[++p->n] = NULL;
	return 0;
}

int named_ports_add(struct named_ports *p, const char *text, struct errtext *err)
{
	struct named_port new = {};
	int r = named_port_parse(text, &new);

	if (r == -EINVAL)
		return err_set(err, EINVAL,
			       "port '%s': write it as 'name=80' or 'name=80/udp'; names have 1 to "
			       "15 letters, digits and '-', protocols are tcp, udp and sctp",
			       text);
	for (size_t i = 0; !r && i < p->n; i++)
		if (!strcmp(p->v[i].name, new.name) && p->v[i].protocol == new.protocol)
			r = err_set(err, EINVAL, "port '%s': the name is port %u's already", text,
				    p->v[i].port);
	if (!r)
		r = named_port_insert(p, &new);
	if (r)
		free(new.name);
	return r;
}

/* ---- the world --------------------------------------------------------------- */

void world_clear(struct world *w)
{
	free(w->addresses);
	free(w->eps);
	free(w->services);
	*w = (struct world){};
}

const struct world_endpoint *world_endpoint_of(const struct world *w, const struct prefix *address)
{
	for (size_t i = 0; i < w->neps; i++)
		if (!prefix_cmp(&w->eps[i].v4, address) || !prefix_cmp(&w->eps[i].v6, address))
			return &w->eps[i];
	return NULL;
}

bool peer_means_service(const struct peer *p, const struct world_service *s)
{
	const char *slash = strchr(s->name, '/');
	const char *namespace = slash ? s->name : "default";
	size_t n = slash ? (size_t)(slash - s->name) : strlen(namespace);

	if (p->namespace && (strlen(p->namespace) != n || strncmp(p->namespace, namespace, n) != 0))
		return false;
	if (p->service)
		return strcmp(p->service, slash ? slash + 1 : s->name) == 0;
	return selector_matches(&p->selector, s->labels);
}

bool rule_is_symbolic(const struct rule *r)
{
	for (size_t i = 0; i < r->npeers; i++)
		if (r->peers[i].kind == PEER_SERVICE)
			return true;
	for (size_t i = 0; i < r->nports; i++)
		if (r->ports[i].name)
			return true;
	return false;
}

bool policy_is_symbolic(const struct policy *p)
{
	for (size_t i = 0; i < p->nparts; i++)
		for (size_t j = 0; j < p->parts[i].nrules; j++)
			if (rule_is_symbolic(&p->parts[i].rules[j]))
				return true;
	return false;
}

/* ---- memory -------------------------------------------------------------------- */

void resolved_clear(struct resolved *mem)
{
	for (size_t i = 0; i < mem->n; i++)
		free(mem->v[i]);
	free(mem->v);
	*mem = (struct resolved){};
}

static void *allocate(struct resolved *mem, size_t n, size_t size)
{
	void *p;

	if (!array_grow(&mem->v, &mem->cap, mem->n))
		return NULL;
	p = calloc(n ? n : 1, size);
	if (p)
		mem->v[mem->n++] = p;
	return p;
}

/* ---- peers ----------------------------------------------------------------------- */

struct resolving {
	const struct world *w;
	const struct named_ports *own;
	const struct selector *const *requires; /* of the rule's action */
	size_t nrequires;
	struct resolved *mem;
	const struct rule **out;
	size_t n, cap;
};

struct peer_list {
	struct peer *v;
	size_t n, cap;
};

static int backend_peer(const struct world *w, const struct prefix *address, struct peer_list *out)
{
	const struct world_endpoint *e = world_endpoint_of(w, address);

	if (!array_grow(&out->v, &out->cap, out->n))
		return -ENOMEM;
	out->v[out->n++] = e ? (struct peer){ .kind = PEER_IDENTITY, .identity = e->identity->id } :
			       (struct peer){ .kind = CLITE_PEER_CIDR, .cidr = *address };
	return 0;
}

static int service_peers(const struct resolving *x, const struct peer *p, struct peer_list *out)
{
	int r = 0;

	for (size_t i = 0; x->w && !r && i < x->w->nservices; i++) {
		const struct world_service *s = &x->w->services[i];

		for (size_t b = 0; !r && peer_means_service(p, s) && b < s->nbackends; b++)
			r = backend_peer(x->w, &s->backends[b], out);
	}
	return r;
}

/* A selector of endpoints, with all that other rules require of them. */
static int narrowed(const struct resolving *x, struct peer *p)
{
	size_t n = p->selector.nreqs;
	struct requirement *all;

	for (size_t i = 0; i < x->nrequires; i++)
		n += x->requires[i]->nreqs;
	all = allocate(x->mem, n, sizeof(*all));
	if (!all)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < p->selector.nreqs; i++)
		all[n++] = p->selector.reqs[i];
	for (size_t i = 0; i < x->nrequires; i++)
		for (size_t k = 0; k < x->requires[i]->nreqs; k++)
			all[n++] = x->requires[i]->reqs[k];
	p->selector = (struct selector){
		.reqs = all,
		.nreqs = n,
		.nrequired = n - p->selector.nreqs,
	};
	return 0;
}

static int peers_resolve(const struct resolving *x, struct rule *rule)
{
	struct peer_list list = {};
	struct peer *v = NULL;
	int r = 0;

	for (size_t i = 0; !r && i < rule->npeers; i++) {
		const struct peer *p = &rule->peers[i];

		if (p->kind == PEER_SERVICE) {
			r = service_peers(x, p, &list);
			continue;
		}
		if (!array_grow(&list.v, &list.cap, list.n)) {
			r = -ENOMEM;
			break;
		}
		list.v[list.n++] = *p;
		if (p->kind == CLITE_PEER_ENDPOINTS && x->nrequires)
			r = narrowed(x, &list.v[list.n - 1]);
	}
	if (!r) {
		v = allocate(x->mem, list.n, sizeof(*v));
		if (!v)
			r = -ENOMEM;
		else if (list.n)
			memcpy(v, list.v, list.n * sizeof(*v));
	}
	rule->peers = v;
	rule->npeers = r ? 0 : list.n;
	free(list.v);
	return r;
}

/* ---- ports ----------------------------------------------------------------------- */

static bool port_means(const struct port_range *p, const struct named_port *named)
{
	return (!p->protocol || p->protocol == named->protocol) && !strcmp(p->name, named->name);
}

static int emit(struct resolving *x, const struct rule *rule)
{
	struct rule *copy = allocate(x->mem, 1, sizeof(*copy));

	if (!copy || !array_grow(&x->out, &x->cap, x->n))
		return -ENOMEM;
	*copy = *rule;
	copy->resolved = true;
	x->out[x->n++] = copy;
	return 0;
}

/* Ports with numbers, and, on ingress, what the subject calls by the names. */
static int ports_plain(struct resolving *x, struct rule *rule, const struct rule *from)
{
	size_t most = from->nports * ((x->own ? x->own->n : 0) + 1);
	struct port_range *v = allocate(x->mem, most, sizeof(*v));

	if (!v)
		return -ENOMEM;
	rule->ports = v;
	rule->nports = 0;
	for (size_t i = 0; i < from->nports; i++) {
		const struct port_range *p = &from->ports[i];

		if (!p->name) {
			v[rule->nports++] = *p;
			continue;
		}
		for (size_t k = 0; from->direction == CLITE_INGRESS && x->own && k < x->own->n;
		     k++) {
			const struct named_port *named = &x->own->v[k];

			if (port_means(p, named))
				v[rule->nports++] = (struct port_range){
					.protocol = named->protocol,
					.first = named->port,
					.last = named->port,
					.redirect = p->redirect,
				};
		}
	}
	return emit(x, rule);
}

static int number_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool endpoint_names(const struct world_endpoint *e, const struct port_range *p,
			   const struct named_port *like)
{
	for (size_t i = 0; i < e->ports->n; i++) {
		const struct named_port *named = &e->ports->v[i];

		if (port_means(p, named) && named->protocol == like->protocol &&
		    named->port == like->port)
			return true;
	}
	return false;
}

/* One port, to the identities whose endpoints call it by the name. */
static int port_named(struct resolving *x, const struct rule *rule, const struct port_range *p,
		      const struct named_port *named)
{
	static const struct peer everybody = { .kind = CLITE_PEER_ENTITY, .entity = ENTITY_ALL };
	struct port_range *range = allocate(x->mem, 1, sizeof(*range));
	uint32_t *only = allocate(x->mem, x->w->neps, sizeof(*only));
	struct rule one = *rule;
	size_t n = 0, k = 0;

	if (!range || !only)
		return -ENOMEM;
	for (size_t i = 0; i < x->w->neps; i++)
		if (endpoint_names(&x->w->eps[i], p, named))
			only[n++] = x->w->eps[i].identity->id;
	qsort(only, n, sizeof(*only), number_cmp);
	for (size_t i = 0; i < n; i++)
		if (!k || only[k - 1] != only[i])
			only[k++] = only[i];
	*range = (struct port_range){
		.protocol = named->protocol,
		.first = named->port,
		.last = named->port,
		.redirect = p->redirect,
	};
	one.ports = range;
	one.nports = 1;
	one.only = only;
	one.nonly = k;
	if (one.any_peer) {
		one.any_peer = false;
		one.peers = (struct peer *)&everybody;
		one.npeers = 1;
	}
	return emit(x, &one);
}

static bool seen_before(const struct resolving *x, const struct port_range *p, size_t ep,
			const struct named_port *named)
{
	for (size_t i = 0; i < ep; i++)
		if (endpoint_names(&x->w->eps[i], p, named))
			return true;
	return false;
}

/* On egress a name means what each peer calls so. */
static int ports_of_peers(struct resolving *x, const struct rule *rule, const struct rule *from)
{
	int r = 0;

	if (from->direction == CLITE_INGRESS || !x->w)
		return 0;
	for (size_t i = 0; !r && i < from->nports; i++) {
		const struct port_range *p = &from->ports[i];

		for (size_t e = 0; !r && p->name && e < x->w->neps; e++) {
			const struct named_ports *named = x->w->eps[e].ports;

			for (size_t k = 0; !r && k < named->n; k++)
				if (port_means(p, &named->v[k]) &&
				    !seen_before(x, p, e, &named->v[k]))
					r = port_named(x, rule, p, &named->v[k]);
		}
	}
	return r;
}

/* ---- rules ------------------------------------------------------------------------- */

static bool has_requires(const struct rule *const *rules, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rules[i]->nrequires)
			return true;
	return false;
}

static bool has_endpoints(const struct rule *r)
{
	for (size_t i = 0; i < r->npeers; i++)
		if (r->peers[i].kind == CLITE_PEER_ENDPOINTS)
			return true;
	return false;
}

static int rule_resolve(struct resolving *x, const struct rule *rule)
{
	struct rule copy = *rule;
	int r = peers_resolve(x, &copy);

	if (!r)
		r = ports_plain(x, &copy, rule);
	return r ?: ports_of_peers(x, &copy, rule);
}

/* What the rules of an action require of the endpoints that they name. */
static int requires_collect(const struct rule *const *rules, size_t n, uint32_t action,
			    struct resolved *mem, const struct selector *const **ret, size_t *ret_n)
{
	const struct selector **v;
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += rules[i]->action == action ? rules[i]->nrequires : 0;
	v = allocate(mem, k, sizeof(*v));
	if (!v)
		return -ENOMEM;
	k = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; rules[i]->action == action && j < rules[i]->nrequires; j++)
			v[k++] = &rules[i]->requires[j];
	*ret = v;
	*ret_n = k;
	return 0;
}

static bool need_resolving(const struct rule *const *rules, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rule_is_symbolic(rules[i]))
			return true;
	return has_requires(rules, n);
}

int rules_resolve(const struct rule ***rules, size_t *n, size_t *cap,
		  const struct named_ports *own, const struct world *w, struct resolved *mem)
{
	struct resolving x = { .w = w, .own = own, .mem = mem };
	const struct selector *const *requires[2];
	size_t nrequires[2];
	int r = 0;

	if (!need_resolving(*rules, *n))
		return 0;
	for (uint32_t a = CLITE_ALLOW; !r && a <= CLITE_DENY; a++)
		r = requires_collect(*rules, *n, a, mem, &requires[a], &nrequires[a]);
	for (size_t i = 0; !r && i < *n; i++) {
		const struct rule *rule = (*rules)[i];

		x.requires = requires[rule->action];
		x.nrequires = nrequires[rule->action];
		if (rule_is_symbolic(rule) || (x.nrequires && has_endpoints(rule))) {
			r = rule_resolve(&x, rule);
		} else if (!array_grow(&x.out, &x.cap, x.n)) {
			r = -ENOMEM;
		} else {
			x.out[x.n++] = rule;
		}
	}
	if (r) {
		free(x.out);
		return r;
	}
	free(*rules);
	*rules = x.out;
	*n = x.n;
	*cap = x.cap;
	return 0;
}

/* ---- comparing ------------------------------------------------------------------------- */

static bool peer_same(const struct peer *a, const struct peer *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case PEER_IDENTITY:
		return a->identity == b->identity;
	case CLITE_PEER_CIDR:
		/* what a document excepts is the same in all that come from it */
		return !prefix_cmp(&a->cidr, &b->cidr) && a->nexcept == b->nexcept;
	case CLITE_PEER_ENDPOINTS:
		if (a->selector.nreqs != b->selector.nreqs)
			return false;
		/* Strings are borrowed from rules of a cookie each: the same are the same. */
		for (size_t i = 0; i < a->selector.nreqs; i++)
			if (a->selector.reqs[i].key != b->selector.reqs[i].key)
				return false;
		return true;
	}
	return true;
}

static bool port_same(const struct port_range *a, const struct port_range *b)
{
	return a->protocol == b->protocol && a->first == b->first && a->last == b->last &&
	       a->redirect == b->redirect;
}

bool resolved_same(const struct rule *a, const struct rule *b)
{
	if (!a->resolved && !b->resolved)
		return true;
	if (a->resolved != b->resolved || a->npeers != b->npeers || a->nports != b->nports ||
	    a->any_peer != b->any_peer || a->nonly != b->nonly || !a->only != !b->only)
		return false;
	for (size_t i = 0; i < a->npeers; i++)
		if (!peer_same(&a->peers[i], &b->peers[i]))
			return false;
	for (size_t i = 0; i < a->nports; i++)
		if (!port_same(&a->ports[i], &b->ports[i]))
			return false;
	for (size_t i = 0; i < a->nonly; i++)
		if (a->only[i] != b->only[i])
			return false;
	return true;
}
