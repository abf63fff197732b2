/* SPDX-License-Identifier: BSD-2-Clause */
/* What of an allow list numbers can decide: each filter becomes alternatives of single
 * values. Whatever is left out only lets more through. */
#include <netinet/in.h>

#include "model/filter_parts.h"

#define SINGLE_MAX 9	   /* fields of which an alternative has one value */
#define SINGLE_PROTOCOLS 7 /* numbers of protocols that filters know */

/* Values of a field that narrow an alternative, one each. */
struct choice {
	const struct filter_value *v;
	size_t n;
	bool source;
	void (*narrow)(struct filter_kernel *k, const struct filter_value *v, bool source);
};

struct plan {
	struct filter_kernel all; /* of every alternative */
	struct choice choices[SINGLE_MAX];
	size_t n;
	struct filter_value protocols[SINGLE_PROTOCOLS];
	size_t nprotocols;
	bool never; /* no event passes */
};

static bool is_field(const struct filter_test *t, const char *name)
{
	return !strcmp(t->field->name, name);
}

/* ---- fields that are sets of bits ------------------------------------------------------ */

static void add_bits(struct plan *p, const struct filter_test *t, uint32_t *bits)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].number < 32)
			*bits |= 1u << t->v[i].number;
	p->never |= !*bits;
}

static void add_types(struct plan *p, const struct filter_test *t)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < t->n; i++) {
		uint32_t type = (uint32_t)t->v[i].type.type;

		if (!type)
			return;
		if (type < 32)
			bits |= 1u << type;
	}
	p->all.types = bits;
	p->never |= !bits;
}

/* What is not known counts as none if it was dropped. */
static void add_replies(struct plan *p, const struct filter_test *t)
{
	for (size_t i = 0; i < t->n; i++)
		p->all.replies |= t->v[i].number ? 1u << 1 : 1u << 0 | 1u << 2;
}

/* ---- fields of which each value is an alternative ----------------------------------------- */

static void add_choice(struct plan *p, const struct filter_value *v, size_t n, bool source,
		       void (*narrow)(struct filter_kernel *k, const struct filter_value *v,
				      bool source))
{
	p->choices[p->n++] = (struct choice){ .v = v, .n = n, .source = source, .narrow = narrow };
}

static void narrow_drop(struct filter_kernel *k, const struct filter_value *v, bool source)
{
	(void)source;
	k->drop_reason = (uint32_t)v->number;
}

static void narrow_identity(struct filter_kernel *k, const struct filter_value *v, bool source)
{
	if (source) {
		k->source_identity = (uint32_t)v->number;
		k->has_source_identity = true;
	} else {
		k->destination_identity = (uint32_t)v->number;
		k->has_destination_identity = true;
	}
}

static void narrow_flags(struct filter_kernel *k, const struct filter_value *v, bool source)
{
	(void)source;
	k->tcp_flags = (uint32_t)v->number;
}

static void narrow_port(struct filter_kernel *k, const struct filter_value *v, bool source)
{
	if (source) {
		k->source_port = (uint16_t)v->number;
		k->has_source_port = true;
	} else {
		k->destination_port = (uint16_t)v->number;
		k->has_destination_port = true;
	}
}

static void narrow_ip(struct filter_kernel *k, const struct filter_value *v, bool source)
{
	*(source ? &k->source : &k->destination) = v->prefix;
}

static void narrow_protocol(struct filter_kernel *k, const struct filter_value *v, bool source)
{
	(void)source;
	k->protocol = (uint8_t)v->number;
}

/* The protocol's numbers: "icmp" is two, what is of layer 7 has none. */
static void add_protocols(struct plan *p, const struct filter_test *t)
{
	static const uint8_t numbers[][2] = {
		[FILTER_ICMP] = { IPPROTO_ICMP, IPPROTO_ICMPV6 },
		[FILTER_ICMP4] = { IPPROTO_ICMP },
		[FILTER_ICMP6] = { IPPROTO_ICMPV6 },
		[FILTER_TCP] = { IPPROTO_TCP },
		[FILTER_UDP] = { IPPROTO_UDP },
		[FILTER_SCTP] = { IPPROTO_SCTP },
		[FILTER_VRRP] = { FILTER_IPPROTO_VRRP },
		[FILTER_IGMP] = { IPPROTO_IGMP },
		[FILTER_KAFKA] = { 0 },
	};
	bool seen[UINT8_MAX + 1] = {};

	for (size_t i = 0; i < t->n * 2; i++) {
		uint8_t number = numbers[t->v[i / 2].number][i % 2];

		if (!number || seen[number])
			continue;
		seen[number] = true;
		p->protocols[p->nprotocols++].number = number;
	}
	p->never |= !p->nprotocols;
	add_choice(p, p->protocols, p->nprotocols, false, narrow_protocol);
}

/* ---- the whole -------------------------------------------------------------------------- */

static void add_test(struct plan *p, const struct filter_test *t)
{
	static const struct {
		const char *field;
		void (*narrow)(struct filter_kernel *k, const struct filter_value *v, bool source);
	} single[] = {
		{ "drop_reason_desc", narrow_drop },
		{ "tcp_flags", narrow_flags },
		{ "source_identity", narrow_identity },
		{ "destination_identity", narrow_identity },
		{ "source_port", narrow_port },
		{ "destination_port", narrow_port },
		{ "source_ip", narrow_ip },
		{ "destination_ip", narrow_ip },
	};

	_Static_assert(ARRAY_SIZE(single) + 1 == SINGLE_MAX, "the protocol beside");
	p->never |= !t->field->holds;
	if (is_field(t, "event_type"))
		add_types(p, t);
	else if (is_field(t, "verdict"))
		add_bits(p, t, &p->all.verdicts);
	else if (is_field(t, "traffic_direction"))
		add_bits(p, t, &p->all.directions);
	else if (is_field(t, "ip_version"))
		add_bits(p, t, &p->all.families);
	else if (is_field(t, "reply"))
		add_replies(p, t);
	else if (is_field(t, "protocol"))
		add_protocols(p, t);
	for (size_t i = 0; i < ARRAY_SIZE(single); i++)
		if (is_field(t, single[i].field))
			add_choice(p, t->v, t->n, t->field->source, single[i].narrow);
}

static size_t combinations(const struct plan *p)
{
	size_t n = 1;

	/* no product of such numbers overflows before it is too many */
	for (size_t i = 0; i < p->n && n <= FILTER_VALUES_MAX; i++)
		n *= p->choices[i].n;
	return n;
}

/* Let the field with the most values say nothing. */
static void drop_choice(struct plan *p)
{
	size_t most = 0;

	for (size_t i = 1; i < p->n; i++)
		if (p->choices[i].n > p->choices[most].n)
			most = i;
	p->choices[most] = p->choices[--p->n];
}

static size_t filter_kernel(const struct filter *f, struct filter_kernel *ret, size_t max)
{
	struct plan p = {};
	size_t n;

	for (size_t i = 0; i < f->n; i++)
		add_test(&p, &f->tests[i]);
	if (p.never)
		return 0;
	while (combinations(&p) > max)
		drop_choice(&p);
	n = combinations(&p);
	for (size_t i = 0; i < n; i++) {
		size_t which = i;

		ret[i] = p.all;
		for (size_t c = 0; c < p.n; c++) {
			const struct choice *choice = &p.choices[c];

			choice->narrow(&ret[i], &choice->v[which % choice->n], choice->source);
			which /= choice->n;
		}
	}
	return n;
}

size_t filters_kernel(const struct filters *fs, struct filter_kernel *ret, size_t max)
{
	size_t filters = fs->n[CLITE_FILTER_ALLOW], n = 0;

	if (!filters || filters > max) {
		*ret = (struct filter_kernel){};
		return 1;
	}
	for (size_t i = 0; i < filters; i++)
		n += filter_kernel(fs->list[CLITE_FILTER_ALLOW][i], ret + n, max / filters);
	return n;
}
