/* SPDX-License-Identifier: BSD-2-Clause */
/* Policies as bytes. Numbers are little-endian base 128 in their shortest form,
 * strings have their length before them: each model has one encoding only, so
 * bytes that decode also encode to themselves. */
#include "model/policy.h"

#include <cilium-lite/policy.h>

#include <netinet/in.h>

#define MAGIC "CLP\3"
#define MAGIC_LEN 4

/* ---- encoding ----------------------------------------------------------- */

static void put_num(struct buf *b, uint64_t v)
{
	uint8_t bytes[10];
	size_t n = 0;

	do {
		bytes[n] = (uint8_t)(v & 0x7f);
		v >>= 7;
		if (v)
			bytes[n] |= 0x80;
		n++;
	} while (v);
	buf_put(b, bytes, n);
}

/* NULL is 0, else the length is one more. */
static void put_str(struct buf *b, const char *s)
{
	size_t n = s ? strlen(s) : 0;

	put_num(b, s ? (uint64_t)n + 1 : 0);
	if (s)
		buf_put(b, s, n);
}

static void put_prefix(struct buf *b, const struct prefix *p)
{
	put_num(b, p->family);
	put_num(b, p->len);
	buf_put(b, p->ip, (p->len + 7u) / 8);
}

static void put_selector(struct buf *b, const struct selector *s)
{
	put_num(b, s->nreqs);
	for (size_t i = 0; i < s->nreqs; i++) {
		const struct requirement *r = &s->reqs[i];

		put_str(b, r->source);
		put_str(b, r->key);
		put_num(b, r->op);
		put_num(b, r->nvalues);
		for (size_t v = 0; v < r->nvalues; v++)
			put_str(b, r->values[v]);
	}
}

static void put_peer(struct buf *b, const struct peer *p)
{
	put_num(b, p->kind);
	switch (p->kind) {
	case CLITE_PEER_ENDPOINTS:
		put_selector(b, &p->selector);
		break;
	case CLITE_PEER_CIDR:
		put_prefix(b, &p->cidr);
		put_num(b, p->nexcept);
		for (size_t i = 0; i < p->nexcept; i++)
			put_prefix(b, &p->except[i]);
		break;
	case PEER_SERVICE:
		put_str(b, p->service);
		put_str(b, p->namespace);
		put_selector(b, &p->selector);
		break;
	case PEER_OTHER:
		put_num(b, p->need);
		put_str(b, p->json);
		break;
	default:
		put_num(b, p->entity);
		break;
	}
}

static void put_redirects(struct buf *b, const struct rule *r)
{
	put_num(b, r->nredirects);
	for (size_t i = 0; i < r->nredirects; i++) {
		put_num(b, r->redirects[i].needs);
		put_num(b, r->redirects[i].priority);
		put_str(b, r->redirects[i].listener);
		put_str(b, r->redirects[i].json);
	}
}

static void put_rule(struct buf *b, const struct rule *r)
{
	put_num(b, r->direction);
	put_num(b, r->action);
	put_num(b, (r->any_peer ? 1u : 0) | (r->any_port ? 2u : 0));
	put_num(b, r->npeers);
	for (size_t i = 0; i < r->npeers; i++)
		put_peer(b, &r->peers[i]);
	put_redirects(b, r);
	put_num(b, r->nports);
	for (size_t i = 0; i < r->nports; i++) {
		put_num(b, r->ports[i].protocol);
		put_num(b, r->ports[i].first);
		put_num(b, r->ports[i].last);
		put_num(b, r->ports[i].redirect);
		put_str(b, r->ports[i].name);
	}
	put_num(b, r->nrequires);
	for (size_t i = 0; i < r->nrequires; i++)
		put_selector(b, &r->requires[i]);
	put_num(b, r->auth);
	put_num(b, r->line);
	put_num(b, r->index);
	put_num(b, r->cookie);
}

int policy_encode(const struct policy *p, struct buf *out)
{
	buf_put(out, MAGIC, MAGIC_LEN);
	put_num(out, p->kind);
	put_str(out, p->name);
	put_str(out, p->filename);
	put_num(out, p->revision);
	put_num(out, p->nparts);
	for (size_t i = 0; i < p->nparts; i++) {
		const struct part *part = &p->parts[i];

		put_selector(out, &part->subject);
		put_num(out, part->default_deny[CLITE_INGRESS]);
		put_num(out, part->default_deny[CLITE_EGRESS]);
		put_num(out, part->nodes);
		put_str(out, part->description);
		put_str(out, part->labels);
		put_str(out, part->log);
		put_num(out, part->nrules);
		for (size_t r = 0; r < part->nrules; r++)
			put_rule(out, &part->rules[r]);
	}
	return out->failed ? -ENOMEM : 0;
}

/* ---- decoding ----------------------------------------------------------- */

struct cursor {
	const uint8_t *p, *end;
};

static size_t left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

static int get_num(struct cursor *c, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint64_t bits;
		uint8_t byte;

		if (c->p == c->end)
			return -EBADMSG;
		byte = *c->p++;
		bits = byte & 0x7f;
		if (bits << shift >> shift != bits)
			return -EBADMSG;
		v |= bits << shift;

		if (!(byte & 0x80)) {
			/* a last byte of nothing: not the shortest form */
			if ((bits == 0 && shift > 0) || v > max)
				return -EBADMSG;
			*ret = v;
			return 0;
		}
	}
	return -EBADMSG;
}

static int get_u32(struct cursor *c, uint32_t max, uint32_t *ret)
{
	uint64_t v = 0;
	int r = get_num(c, max, &v);

	*ret = (uint32_t)v;
	return r;
}

static int get_u16(struct cursor *c, uint16_t *ret)
{
	uint64_t v = 0;
	int r = get_num(c, UINT16_MAX, &v);

	*ret = (uint16_t)v;
	return r;
}

/* Make an array of as many elements as are said to come. Each takes at least least
 * bytes, so that a lie cannot make us allocate more than a small multiple of the
 * input. *ret_n counts those that are filled in: the caller's loop raises it. */
static int get_array(struct cursor *c, size_t least, size_t size, void *ret_array, uint64_t *ret_n)
{
	void *array = NULL;
	int r;

	r = get_num(c, left(c) / least, ret_n);
	if (r < 0)
		return r;
	if (*ret_n > 0) {
		array = calloc(*ret_n, size);
		if (!array)
			return -ENOMEM;
	}
	memcpy(ret_array, &array, sizeof(array));
	return 0;
}

static int get_str(struct cursor *c, char **ret)
{
	uint64_t n;
	int r;

	r = get_num(c, (uint64_t)left(c) + 1, &n);
	if (r < 0)
		return r;
	if (n == 0)
		return 0;

	n--;
	if (n > left(c) || memchr(c->p, '\0', n))
		return -EBADMSG;
	*ret = malloc(n + 1);
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, c->p, n);
	(*ret)[n] = '\0';
	c->p += n;
	return 0;
}

static int get_str_required(struct cursor *c, char **ret)
{
	int r = get_str(c, ret);

	return r < 0 ? r : *ret ? 0 : -EBADMSG;
}

static int get_prefix(struct cursor *c, struct prefix *ret)
{
	uint32_t family, len;
	size_t bytes;
	int r;

	r = get_u32(c, 6, &family);
	if (r < 0)
		return r;
	if (family != 4 && family != 6)
		return -EBADMSG;
	r = get_u32(c, family == 4 ? 32 : 128, &len);
	if (r < 0)
		return r;

	bytes = (len + 7) / 8;
	if (bytes > left(c))
		return -EBADMSG;
	if (len % 8 && (c->p[bytes - 1] & (0xff >> (len % 8))))
		return -EBADMSG;

	*ret = (struct prefix){ .family = (uint8_t)family, .len = (uint8_t)len };
	memcpy(ret->ip, c->p, bytes);
	c->p += bytes;
	return 0;
}

static int get_requirement(struct cursor *c, struct requirement *q)
{
	uint64_t n;
	int r;

	r = get_str(c, &q->source);
	if (r < 0)
		return r;
	r = get_str_required(c, &q->key);
	if (r < 0)
		return r;
	r = get_u32(c, CLITE_OP_DOES_NOT_EXIST, &q->op);
	if (r < 0)
		return r;
	r = get_array(c, 1, sizeof(*q->values), &q->values, &n);
	for (; r >= 0 && q->nvalues < n; q->nvalues++) {
		r = get_str_required(c, &q->values[q->nvalues]);
		if (r < 0)
			return r;
	}
	return r;
}

static int get_selector(struct cursor *c, struct selector *s)
{
	uint64_t n = 0;
	int r;

	r = get_array(c, 4, sizeof(*s->reqs), &s->reqs, &n);
	while (r >= 0 && s->nreqs < n)
		r = get_requirement(c, &s->reqs[s->nreqs++]);
	return r;
}

static int get_cidr(struct cursor *c, struct peer *p)
{
	uint64_t n;
	int r;

	r = get_prefix(c, &p->cidr);
	if (r < 0)
		return r;
	r = get_array(c, 2, sizeof(*p->except), &p->except, &n);
	while (r >= 0 && p->nexcept < n) {
		struct prefix *except = &p->except[p->nexcept++];

		r = get_prefix(c, except);
		if (r >= 0 && !prefix_contains(&p->cidr, except))
			return -EBADMSG;
	}
	return r;
}

static int get_service(struct cursor *c, struct peer *p)
{
	int r = get_str(c, &p->service);

	if (r >= 0)
		r = get_str(c, &p->namespace);
	return r < 0 ? r : get_selector(c, &p->selector);
}

static int get_other(struct cursor *c, struct peer *p)
{
	uint32_t need;
	int r = get_u32(c, NEED_COUNT_ - 1, &need);

	if (r < 0)
		return r;
	p->need = (enum need)need;
	return need == NEED_NONE ? -EBADMSG : get_str_required(c, &p->json);
}

static int get_peer(struct cursor *c, struct peer *p)
{
	uint32_t entity = 0;
	int r;

	r = get_u32(c, PEER_OTHER, &p->kind);
	if (r < 0)
		return r;

	switch (p->kind) {
	case CLITE_PEER_ENDPOINTS:
		return get_selector(c, &p->selector);
	case CLITE_PEER_CIDR:
		return get_cidr(c, p);
	case CLITE_PEER_ENTITY:
		r = get_u32(c, ENTITY_COUNT_ - 1, &entity);
		p->entity = (enum entity)entity;
		return r;
	case PEER_SERVICE:
		return get_service(c, p);
	case PEER_OTHER:
		return get_other(c, p);
	default:
		return -EBADMSG;
	}
}

static int get_redirect(struct cursor *c, struct redirect *to)
{
	int r = get_u32(c, (1u << NEED_COUNT_) - 1, &to->needs);

	if (r >= 0)
		r = get_u32(c, 127, &to->priority);
	if (r >= 0)
		r = get_str(c, &to->listener);
	return r < 0 ? r : get_str_required(c, &to->json);
}

static int get_redirects(struct cursor *c, struct rule *rule)
{
	uint64_t n = 0;
	int r;

	r = get_array(c, 4, sizeof(*rule->redirects), &rule->redirects, &n);
	while (r >= 0 && rule->nredirects < n)
		r = get_redirect(c, &rule->redirects[rule->nredirects++]);
	return r;
}

static int get_requires(struct cursor *c, struct rule *rule)
{
	uint64_t n = 0;
	int r;

	r = get_array(c, 1, sizeof(*rule->requires), &rule->requires, &n);
	while (r >= 0 && rule->nrequires < n)
		r = get_selector(c, &rule->requires[rule->nrequires++]);
	return r;
}

static int get_port(struct cursor *c, const struct rule *rule, struct port_range *p)
{
	uint32_t protocol;
	int r;

	r = get_u32(c, UINT8_MAX, &protocol);
	if (r < 0)
		return r;
	p->protocol = (uint8_t)protocol;
	r = get_u16(c, &p->first);
	if (r < 0)
		return r;
	r = get_u16(c, &p->last);
	if (r < 0)
		return r;
	r = get_u32(c, (uint32_t)rule->nredirects, &p->redirect);
	if (r < 0)
		return r;
	r = get_str(c, &p->name);
	if (r < 0)
		return r;
	if (p->name && (p->first || p->last))
		return -EBADMSG;
	return p->first <= p->last ? 0 : -EBADMSG;
}

static int get_peers(struct cursor *c, struct rule *rule)
{
	uint64_t n;
	int r;

	r = get_array(c, 2, sizeof(*rule->peers), &rule->peers, &n);
	while (r >= 0 && rule->npeers < n)
		r = get_peer(c, &rule->peers[rule->npeers++]);
	return r;
}

static int get_ports(struct cursor *c, struct rule *rule)
{
	uint64_t n = 0;
	int r;

	r = get_array(c, 5, sizeof(*rule->ports), &rule->ports, &n);
	while (r >= 0 && rule->nports < n)
		r = get_port(c, rule, &rule->ports[rule->nports++]);
	return r;
}

static int get_rule(struct cursor *c, struct rule *rule)
{
	uint32_t flags;
	int r;

	r = get_u32(c, CLITE_EGRESS, &rule->direction);
	if (r < 0)
		return r;
	if (rule->direction == 0)
		return -EBADMSG;
	r = get_u32(c, CLITE_DENY, &rule->action);
	if (r < 0)
		return r;
	r = get_u32(c, 3, &flags);
	if (r < 0)
		return r;
	rule->any_peer = flags & 1;
	rule->any_port = flags & 2;

	r = get_peers(c, rule);
	if (r < 0)
		return r;
	r = get_redirects(c, rule);
	if (r < 0)
		return r;
	r = get_ports(c, rule);
	if (r < 0)
		return r;
	r = get_requires(c, rule);
	if (r < 0)
		return r;
	r = get_u32(c, AUTH_FAIL, &rule->auth);
	if (r < 0)
		return r;

	r = get_u32(c, UINT32_MAX, &rule->line);
	if (r < 0)
		return r;
	r = get_u32(c, UINT32_MAX, &rule->index);
	if (r < 0)
		return r;
	return get_u32(c, UINT32_MAX, &rule->cookie);
}

static int get_remarks(struct cursor *c, struct part *part)
{
	uint32_t nodes;
	int r = get_u32(c, 1, &nodes);

	if (r < 0)
		return r;
	part->nodes = nodes;
	r = get_str(c, &part->description);
	if (r >= 0)
		r = get_str(c, &part->labels);
	return r < 0 ? r : get_str(c, &part->log);
}

static int get_part(struct cursor *c, struct part *part)
{
	uint64_t n;
	int r;

	r = get_selector(c, &part->subject);
	if (r < 0)
		return r;
	r = get_u32(c, CLITE_DEFAULT_DENY_OFF, &part->default_deny[CLITE_INGRESS]);
	if (r < 0)
		return r;
	r = get_u32(c, CLITE_DEFAULT_DENY_OFF, &part->default_deny[CLITE_EGRESS]);
	if (r < 0)
		return r;
	r = get_remarks(c, part);
	if (r < 0)
		return r;

	r = get_array(c, 8, sizeof(*part->rules), &part->rules, &n);
	while (r >= 0 && part->nrules < n)
		r = get_rule(c, &part->rules[part->nrules++]);
	return r;
}

static int get_policy(struct cursor *c, struct policy *p)
{
	uint64_t n = 0, kind;
	int r;

	if (left(c) < MAGIC_LEN || memcmp(c->p, MAGIC, MAGIC_LEN) != 0)
		return -EBADMSG;
	c->p += MAGIC_LEN;

	r = get_num(c, POLICY_KIND_COUNT_ - 1, &kind);
	if (r < 0)
		return r;
	p->kind = kind;
	r = get_str_required(c, &p->name);
	if (r < 0)
		return r;
	r = get_str(c, &p->filename);
	if (r < 0)
		return r;
	r = get_num(c, UINT64_MAX, &p->revision);
	if (r < 0)
		return r;

	r = get_array(c, 4, sizeof(*p->parts), &p->parts, &n);
	while (r >= 0 && p->nparts < n)
		r = get_part(c, &p->parts[p->nparts++]);
	if (r < 0)
		return r;
	return c->p == c->end ? 0 : -EBADMSG;
}

int policy_decode(const void *data, size_t len, struct policy **ret)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	struct cursor c = { .p = data, .end = (const uint8_t *)data + len };
	int r;

	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	r = get_policy(&c, p);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}
