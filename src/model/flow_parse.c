/* SPDX-License-Identifier: BSD-2-Clause */
/* The other way round than flow_json.c; beside what is written there this reads what
 * protobuf's JSON allows: names in camel case, enums as numbers, numbers as texts. What
 * is not known (of a newer Hubble) is skipped, an enum's unknown name is 0. */
#include "model/flow_parse.h"

#include <netinet/in.h>

#include "model/event_parts.h"
#include "model/flow.h"
#include "model/json.h"
#include "model/names.h"

#define TRACE_REASON_UNKNOWN 5u

static const char *const no_texts[] = { NULL };

struct parser {
	struct json j;
	struct flow_parsed *p;
};

/* Reads the value that comes into what begins at base. */
struct field {
	const char *name; /* as in flow.proto */
	int (*read)(struct parser *p, const struct field *f, void *base);
	size_t offset; /* from base */
	size_t size;   /* of a number, bytes */
	uint32_t arg;
	const void *more;
};

/* ---- objects ---------------------------------------------------------------------- */

/* "pod_name", or "podName". */
static bool is_name(const char *key, const char *name)
{
	for (; *name; key++, name++) {
		if (*key == *name)
			continue;
		if (*name != '_' || *++name < 'a' || *name > 'z' || *key != *name - 'a' + 'A')
			return false;
	}
	return !*key;
}

static const struct field *find(const struct field *fields, const char *key)
{
	for (; fields->name; fields++)
		if (is_name(key, fields->name))
			return fields;
	return NULL;
}

/* null is as if it were not there. */
static int read_member(struct parser *p, const struct field *f, void *base)
{
	return f && json_kind(&p->j) != 'n' ? f->read(p, f, base) : json_skip(&p->j);
}

static int read_fields(struct parser *p, const struct field *fields, void *base)
{
	int r = json_open(&p->j, '{');

	while (!r) {
		const char *key;

		r = json_member(&p->j, &key);
		if (r <= 0)
			return r;
		r = read_member(p, find(fields, key), base);
	}
	return r;
}

static int read_object(struct parser *p, const struct field *f, void *base)
{
	return read_fields(p, f->more, (char *)base + f->offset);
}

/* ---- scalars ------------------------------------------------------------------------ */

static int read_text(struct parser *p, const struct field *f, void *base)
{
	return json_text(&p->j, (const char **)((char *)base + f->offset));
}

static int parse_number(const char *s, size_t len, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (!len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		uint64_t digit = (uint64_t)(s[i] - '0');

		if (s[i] < '0' || s[i] > '9' || n > (max - digit) / 10)
			return -EINVAL;
		n = n * 10 + digit;
	}
	*ret = n;
	return 0;
}

static int number(struct json *j, uint64_t max, uint64_t *ret)
{
	const char *s;
	size_t len;
	int r;

	if (json_kind(j) == '"') {
		r = json_text(j, &s);
		len = r ? 0 : strlen(s);
	} else {
		r = json_number(j, &s, &len);
	}
	if (r < 0)
		return r;
	if (parse_number(s, len, max, ret) < 0)
		return json_wrong(j, "'%.*s' is not a number from 0 to %llu",
				  len < 64 ? (int)len : 64, s, (unsigned long long)max);
	return 0;
}

static int read_number(struct parser *p, const struct field *f, void *base)
{
	void *to = (char *)base + f->offset;
	uint64_t n = 0;
	int r = number(&p->j, UINT64_MAX >> (64 - 8 * f->size), &n);

	if (r < 0)
		return r;
	switch (f->size) {
	case sizeof(uint8_t):
		*(uint8_t *)to = (uint8_t)n;
		break;
	case sizeof(uint16_t):
		*(uint16_t *)to = (uint16_t)n;
		break;
	case sizeof(uint32_t):
		*(uint32_t *)to = (uint32_t)n;
		break;
	default:
		*(uint64_t *)to = n;
	}
	return 0;
}

static int read_bool(struct parser *p, const struct field *f, void *base)
{
	return json_bool(&p->j, (bool *)((char *)base + f->offset));
}

static int read_reply(struct parser *p, const struct field *f, void *base)
{
	bool yes;
	int r = json_bool(&p->j, &yes);

	if (!r)
		*(uint32_t *)((char *)base + f->offset) = yes;
	return r;
}

/* ---- enums ---------------------------------------------------------------------------- */

/* Names of an enum's values; all of them are below n. */
struct names {
	uint32_t n;
	const char *(*name)(uint32_t value);
};

static int enum_value(struct parser *p, const struct names *names, uint32_t unknown, uint32_t *ret)
{
	const char *s;
	uint64_t n;
	int r;

	if (json_kind(&p->j) != '"') {
		r = number(&p->j, UINT32_MAX, &n);
		if (!r)
			*ret = (uint32_t)n;
		return r ?: 1;
	}
	r = json_text(&p->j, &s);
	*ret = unknown;
	for (uint32_t i = 0; !r && i < names->n; i++) {
		const char *name = names->name(i);

		if (name && !strcmp(name, s)) {
			*ret = i;
			break;
		}
	}
	return r;
}

static int read_enum(struct parser *p, const struct field *f, void *base)
{
	int r = enum_value(p, f->more, 0, (uint32_t *)((char *)base + f->offset));

	return r < 0 ? r : 0;
}

/* Cilium's numbers of these two are not Hubble's. */
static int read_trace_point(struct parser *p, const struct field *f, void *base)
{
	int r = enum_value(p, f->more, 0, &p->p->trace_point);

	(void)base;
	if (r == 1 && p->p->trace_point == 101)
		p->p->trace_point = 0;
	return r < 0 ? r : 0;
}

static int read_trace_reason(struct parser *p, const struct field *f, void *base)
{
	uint32_t *reason = &p->p->event.trace_reason;
	int r = enum_value(p, f->more, TRACE_REASON_UNKNOWN, reason);

	(void)base;
	if (r == 1 && *reason <= 5)
		*reason = *reason ? *reason - 1 : TRACE_REASON_UNKNOWN;
	return r < 0 ? r : 0;
}

#define PICK(table, i) ((i) < ARRAY_SIZE(table) ? (table)[i] : NULL)

static const char *ip_version_name(uint32_t n)
{
	static const char *const names[] = { "IP_NOT_USED", "IPv4", "IPv6" };

	return PICK(names, n);
}

static const char *direction_name(uint32_t n)
{
	static const char *const names[] = { "TRAFFIC_DIRECTION_UNKNOWN", "INGRESS", "EGRESS" };

	_Static_assert(CLITE_INGRESS == 1 && CLITE_EGRESS == 2, "Hubble's numbers");
	return PICK(names, n);
}

static const struct names verdicts = { 8, flow_verdict_name };
static const struct names kinds = { 4, flow_kind_name };
static const struct names ip_versions = { 3, ip_version_name };
static const struct names directions = { 3, direction_name };
static const struct names drop_reasons = { DROP_REASON_MAX + 1, clite_drop_reason_name };
static const struct names trace_points = { TRACE_POINT_MAX + 1, trace_point_name };
static const struct names trace_reasons = { TRACE_REASON_MAX + 1, trace_reason_name };

/* ---- times ------------------------------------------------------------------------------- */

/* n digits; returns the number, -1 for what is none. */
static int digits(const char **s, int n)
{
	int value = 0;

	for (; n > 0; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return -1;
		value = value * 10 + (**s - '0');
	}
	return value;
}

static bool take(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

/* Days since 1970 of a date from then on. */
static int64_t days(int year, int month, int day)
{
	static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	int leaps = month > 2 ? year : year - 1;

	return (year - 1970) * 365LL + (leaps / 4 - leaps / 100 + leaps / 400) -
	       (1969 / 4 - 1969 / 100 + 1969 / 400) + before[month - 1] + day - 1;
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int month_length(int year, int month)
{
	if (month == 2)
		return is_leap(year) ? 29 : 28;
	return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

static bool parse_date(const char **s, int64_t *ret)
{
	int year, month, day;

	year = digits(s, 4);
	if (year < 1970 || !take(s, '-'))
		return false;
	month = digits(s, 2);
	if (month < 1 || month > 12 || !take(s, '-'))
		return false;
	day = digits(s, 2);
	if (day < 1 || day > month_length(year, month))
		return false;
	*ret = days(year, month, day) * 86400;
	return true;
}

static bool parse_clock(const char **s, int64_t *ret)
{
	int hour, minute, second;

	hour = digits(s, 2);
	if (hour < 0 || hour > 23 || !take(s, ':'))
		return false;
	minute = digits(s, 2);
	if (minute < 0 || minute > 59 || !take(s, ':'))
		return false;
	second = digits(s, 2);
	if (second < 0 || second > 59)
		return false;
	*ret = hour * 3600 + minute * 60 + second;
	return true;
}

static bool parse_fraction(const char **s, uint32_t *ret)
{
	uint32_t unit = 100000000;

	if (!take(s, '.'))
		return true;
	if (**s < '0' || **s > '9')
		return false;
	for (; **s >= '0' && **s <= '9' && unit; (*s)++, unit /= 10)
		*ret += unit * (uint32_t)(**s - '0');
	return true;
}

/* "Z", "+02:00": seconds to take away. */
static bool parse_zone(const char **s, int64_t *ret)
{
	int sign = **s == '-' ? -1 : 1, hour, minute;

	if (take(s, 'Z'))
		return true;
	if (!take(s, '+') && !take(s, '-'))
		return false;
	hour = digits(s, 2);
	if (hour < 0 || hour > 23 || !take(s, ':'))
		return false;
	minute = digits(s, 2);
	if (minute < 0 || minute > 59)
		return false;
	*ret = sign * (hour * 3600 + minute * 60);
	return true;
}

/* RFC 3339, 1970 to 2554. */
static bool parse_time(const char *s, uint64_t *ret)
{
	int64_t date = 0, clock = 0, zone = 0, seconds;
	uint32_t ns = 0;

	if (!parse_date(&s, &date) || !take(&s, 'T') || !parse_clock(&s, &clock) ||
	    !parse_fraction(&s, &ns) || !parse_zone(&s, &zone) || *s)
		return false;
	seconds = date + clock - zone;
	if (seconds < 0 || __builtin_mul_overflow((uint64_t)seconds, 1000000000ull, ret))
		return false;
	return !__builtin_add_overflow(*ret, ns, ret);
}

static int read_time(struct parser *p, const struct field *f, void *base)
{
	uint64_t time = 0;
	const char *s;
	int r = json_text(&p->j, &s);

	if (r < 0)
		return r;
	if (!parse_time(s, &time))
		return json_wrong(&p->j,
				  "'%.64s' is not a time such as 2026-01-31T12:00:00.123456789Z, "
				  "from 1970 to 2554",
				  s);
	*(uint64_t *)((char *)base + f->offset) = time;
	return 0;
}

/* ---- lists ---------------------------------------------------------------------------------- */

static int texts_add(struct texts *t, const char *s)
{
	if (!array_grow(&t->items, &t->cap, t->n + 1))
		return -ENOMEM;
	t->items[t->n++] = s;
	t->items[t->n] = NULL;
	return 0;
}

static int read_texts(struct parser *p, const struct field *f, void *base)
{
	struct texts *t = (struct texts *)((char *)base + f->offset);
	int r = json_open(&p->j, '[');

	t->n = 0;
	while (!r) {
		const char *s;

		r = json_item(&p->j);
		if (r <= 0)
			return r;
		r = json_text(&p->j, &s);
		if (!r)
			r = texts_add(t, s);
	}
	return r;
}

/* An end has one workload here: the first. */
static int read_workloads(struct parser *p, const struct field *f, void *base)
{
	int r = json_open(&p->j, '[');
	bool first = true;

	while (!r) {
		r = json_item(&p->j);
		if (r <= 0)
			return r;
		r = first ? read_fields(p, f->more, base) : json_skip(&p->j);
		first = false;
	}
	return r;
}

static int policy_add(struct flow_parsed *p, uint32_t arg, struct clite_flow_policy **ret)
{
	if (!array_grow(&p->policies, &p->policies_cap, p->npolicies))
		return -ENOMEM;
	*ret = &p->policies[p->npolicies++];
	**ret = (struct clite_flow_policy){
		.sz = sizeof(**ret),
		.name = "",
		.ns = "",
		.kind = "",
		.direction = arg >> 8,
		.action = arg & 0xff,
	};
	return 0;
}

#define POLICIES(direction, action) ((direction) << 8 | (action))

/* Those that were read are in the order of the line. */
static int read_policies(struct parser *p, const struct field *f, void *base)
{
	int r = json_open(&p->j, '[');

	(void)base;
	while (!r) {
		struct clite_flow_policy *policy;

		r = json_item(&p->j);
		if (r <= 0)
			return r;
		r = policy_add(p->p, f->arg, &policy);
		if (!r)
			r = read_fields(p, f->more, policy);
	}
	return r;
}

/* ---- addresses and ports ---------------------------------------------------------------------- */

static int read_address(struct parser *p, const struct field *f, void *base)
{
	struct clite_event *e = &p->p->event;
	struct prefix address = {};
	const char *s;
	int r = json_text(&p->j, &s);

	if (r < 0 || !*s)
		return r;
	if (addr_parse(s, &address) < 0)
		return json_wrong(&p->j, "'%.64s' is not an address", s);
	if (e->family && e->family != address.family)
		return json_wrong(&p->j, "'%.64s' is of another family than the other address", s);
	e->family = address.family;
	memcpy((char *)base + f->offset, address.ip, sizeof(address.ip));
	return 0;
}

#define AT(member) offsetof(struct flow_parsed, member)
#define SIZE(member) sizeof(((struct flow_parsed *)NULL)->member)
#define NUMBER(name, member)                                         \
	{                                                            \
		name, read_number, AT(member), SIZE(member), 0, NULL \
	}
#define TEXT(name, member)                              \
	{                                               \
		name, read_text, AT(member), 0, 0, NULL \
	}
#define ENUM(name, member, names)                        \
	{                                                \
		name, read_enum, AT(member), 0, 0, names \
	}
#define OBJECT(name, fields)                       \
	{                                          \
		name, read_object, 0, 0, 0, fields \
	}

static const struct field ip_fields[] = {
	{ "source", read_address, AT(event.source), 0, 0, NULL },
	{ "destination", read_address, AT(event.destination), 0, 0, NULL },
	ENUM("ipVersion", ip_version, &ip_versions),
	{},
};

static int read_ip(struct parser *p, const struct field *f, void *base)
{
	int r = read_fields(p, ip_fields, base);
	uint32_t family = p->p->ip_version == 1 ? 4 : p->p->ip_version == 2 ? 6 : 0;

	(void)f;
	if (r < 0 || !family)
		return r;
	if (p->p->event.family && p->p->event.family != family)
		return json_wrong(&p->j, "ipVersion is IPv%u, the addresses are not", family);
	p->p->event.family = family;
	return 0;
}

/* Both ports, or the ICMP fields, are there as soon as the protocol is. */
static int read_l4(struct parser *p, const struct field *f, void *base)
{
	p->p->event.protocol = f->arg;
	p->p->event.has_ports = f->more != NULL;
	return f->more ? read_fields(p, f->more, base) : json_skip(&p->j);
}

static int read_tcp_flag(struct parser *p, const char *key)
{
	uint32_t *flags = &p->p->event.tcp_flags;
	size_t i = 0;
	bool set;
	int r;

	while (i < TCP_FLAGS && strcmp(tcp_flag_names[i], key) != 0)
		i++;
	if (i == TCP_FLAGS || json_kind(&p->j) == 'n')
		return json_skip(&p->j);
	r = json_bool(&p->j, &set);
	if (!r)
		*flags = set ? *flags | 1u << i : *flags & ~(1u << i);
	return r;
}

static int read_tcp_flags(struct parser *p, const struct field *f, void *base)
{
	int r = json_open(&p->j, '{');

	(void)f;
	(void)base;
	while (!r) {
		const char *key;

		r = json_member(&p->j, &key);
		if (r <= 0)
			return r;
		r = read_tcp_flag(p, key);
	}
	return r;
}

static const struct field port_fields[] = {
	NUMBER("source_port", event.source_port),
	NUMBER("destination_port", event.destination_port),
	{ "flags", read_tcp_flags, 0, 0, 0, NULL },
	{},
};

static const struct field icmp_fields[] = {
	NUMBER("type", event.icmp_type),
	NUMBER("code", event.icmp_code),
	{},
};

static const struct field l4_fields[] = {
	{ "TCP", read_l4, 0, 0, IPPROTO_TCP, port_fields },
	{ "UDP", read_l4, 0, 0, IPPROTO_UDP, port_fields },
	{ "ICMPv4", read_l4, 0, 0, IPPROTO_ICMP, icmp_fields },
	{ "ICMPv6", read_l4, 0, 0, IPPROTO_ICMPV6, icmp_fields },
	{ "SCTP", read_l4, 0, 0, IPPROTO_SCTP, port_fields },
	{ "VRRP", read_l4, 0, 0, 112, NULL },
	{ "IGMP", read_l4, 0, 0, IPPROTO_IGMP, NULL },
	{},
};

/* ---- the fields of a flow --------------------------------------------------------------------- */

#define END_AT(member) offsetof(struct parsed_end, member)

static const struct field workload_fields[] = {
	{ "name", read_text, END_AT(end.workload), 0, 0, NULL },
	{ "kind", read_text, END_AT(end.workload_kind), 0, 0, NULL },
	{},
};

static const struct field end_fields[] = {
	{ "ID", read_number, END_AT(id), sizeof(uint32_t), 0, NULL },
	{ "identity", read_number, END_AT(identity), sizeof(uint32_t), 0, NULL },
	{ "cluster_name", read_text, END_AT(end.cluster), 0, 0, NULL },
	{ "namespace", read_text, END_AT(end.ns), 0, 0, NULL },
	{ "labels", read_texts, END_AT(labels), 0, 0, NULL },
	{ "pod_name", read_text, END_AT(end.pod), 0, 0, NULL },
	{ "workloads", read_workloads, 0, 0, 0, workload_fields },
	{},
};

static const struct field service_fields[] = {
	{ "name", read_text, END_AT(end.service), 0, 0, NULL },
	{ "namespace", read_text, END_AT(end.service_ns), 0, 0, NULL },
	{},
};

static const struct field event_type_fields[] = {
	NUMBER("type", event.type),
	NUMBER("sub_type", event.subtype),
	{},
};

static const struct field file_fields[] = {
	TEXT("name", event.source_file),
	NUMBER("line", event.source_line),
	{},
};

static const struct field interface_fields[] = {
	NUMBER("index", event.ifindex),
	TEXT("name", flow.interface),
	{},
};

#define POLICY_AT(member) offsetof(struct clite_flow_policy, member)

static const struct field policy_fields[] = {
	{ "name", read_text, POLICY_AT(name), 0, 0, NULL },
	{ "namespace", read_text, POLICY_AT(ns), 0, 0, NULL },
	{ "revision", read_number, POLICY_AT(revision), sizeof(uint64_t), 0, NULL },
	{ "kind", read_text, POLICY_AT(kind), 0, 0, NULL },
	{},
};

#define POLICY_LIST(name, direction, action)                                          \
	{                                                                             \
		name, read_policies, 0, 0, POLICIES(direction, action), policy_fields \
	}

static const struct field flow_fields[] = {
	{ "time", read_time, AT(event.time), 0, 0, NULL },
	ENUM("verdict", event.verdict, &verdicts),
	NUMBER("drop_reason", event.drop_reason),
	{ "IP", read_ip, 0, 0, 0, NULL },
	OBJECT("l4", l4_fields),
	{ "source", read_object, AT(ends[0]), 0, 0, end_fields },
	{ "destination", read_object, AT(ends[1]), 0, 0, end_fields },
	ENUM("Type", flow.kind, &kinds),
	TEXT("node_name", flow.node),
	{ "source_names", read_texts, AT(ends[0].names), 0, 0, NULL },
	{ "destination_names", read_texts, AT(ends[1].names), 0, 0, NULL },
	{ "reply", read_bool, AT(reply), 0, 0, NULL },
	OBJECT("event_type", event_type_fields),
	{ "source_service", read_object, AT(ends[0]), 0, 0, service_fields },
	{ "destination_service", read_object, AT(ends[1]), 0, 0, service_fields },
	ENUM("traffic_direction", event.direction, &directions),
	NUMBER("policy_match_type", match_type),
	{ "trace_observation_point", read_trace_point, 0, 0, 0, &trace_points },
	{ "trace_reason", read_trace_reason, 0, 0, 0, &trace_reasons },
	OBJECT("file", file_fields),
	ENUM("drop_reason_desc", drop_reason_desc, &drop_reasons),
	{ "is_reply", read_reply, AT(event.is_reply), 0, 0, NULL },
	OBJECT("interface", interface_fields),
	TEXT("Summary", flow.summary),
	POLICY_LIST("egress_allowed_by", CLITE_EGRESS, CLITE_ALLOW),
	POLICY_LIST("egress_denied_by", CLITE_EGRESS, CLITE_DENY),
	POLICY_LIST("ingress_allowed_by", CLITE_INGRESS, CLITE_ALLOW),
	POLICY_LIST("ingress_denied_by", CLITE_INGRESS, CLITE_DENY),
	{},
};

/* ---- the whole --------------------------------------------------------------------------------- */

static void begin(struct flow_parsed *p)
{
	p->flow = (struct clite_flow){ .node = "", .summary = "", .interface = "" };
	p->event = (struct clite_event){
		.sz = sizeof(p->event),
		.trace_reason = TRACE_REASON_UNKNOWN,
		.is_reply = 2,
		.source_file = "",
	};
	for (size_t i = 0; i < 2; i++) {
		struct parsed_end *x = &p->ends[i];

		x->end = (struct clite_flow_end){
			.sz = sizeof(x->end),
			.ns = "",
			.pod = "",
			.service = "",
			.service_ns = "",
			.cluster = "",
			.workload = "",
			.workload_kind = "",
		};
		x->labels.n = x->names.n = 0;
		x->id = x->identity = 0;
	}
	p->npolicies = 0;
	p->ip_version = p->match_type = p->trace_point = p->drop_reason_desc = 0;
	p->reply = false;
}

/* What several fields of the JSON say together. */
static void settle_event(struct flow_parsed *p)
{
	struct clite_event *e = &p->event;

	e->source_endpoint = p->ends[0].id;
	e->destination_endpoint = p->ends[1].id;
	e->source_identity = p->ends[0].identity;
	e->destination_identity = p->ends[1].identity;
	e->time = e->time ?: p->outer_time;
	e->drop_reason = e->drop_reason ?: p->drop_reason_desc;
	if (e->is_reply == 2 && p->reply)
		e->is_reply = 1;
	if (e->type == CLITE_EVENT_POLICY_VERDICT)
		e->subtype = p->match_type;
	if (e->type != CLITE_EVENT_TRACE) {
		e->trace_reason = 0;
		return;
	}
	e->subtype = e->subtype ?: p->trace_point;
	/* Hubble's is the direction of the connection. */
	if (e->trace_reason == TRACE_REASON_REPLY && e->direction)
		e->direction = e->direction == CLITE_INGRESS ? CLITE_EGRESS : CLITE_INGRESS;
}

static int settle_lists(struct flow_parsed *p)
{
	for (size_t i = 0; i < 2; i++) {
		struct parsed_end *x = &p->ends[i];

		x->end.labels = x->labels.n ? x->labels.items : no_texts;
		x->end.names = x->names.n ? x->names.items : no_texts;
	}
	while (p->list_cap <= p->npolicies)
		if (!array_grow(&p->list, &p->list_cap, p->list_cap))
			return -ENOMEM;
	for (size_t i = 0; i < p->npolicies; i++)
		p->list[i] = &p->policies[i];
	p->list[p->npolicies] = NULL;
	return 0;
}

static int settle(struct flow_parsed *p)
{
	settle_event(p);
	p->flow.sz = sizeof(p->flow);
	p->flow.event = &p->event;
	p->flow.source = &p->ends[0].end;
	p->flow.destination = &p->ends[1].end;
	if (!*p->flow.node)
		p->flow.node = p->outer_node;
	if (settle_lists(p) < 0)
		return -ENOMEM;
	p->flow.policies = p->list;
	return 1;
}

enum line_kind { LINE_OTHER, LINE_BARE, LINE_FLOW };

static const struct field outer_fields[] = {
	{ "node_name", read_text, AT(outer_node), 0, 0, NULL },
	{ "time", read_time, AT(outer_time), 0, 0, NULL },
	{},
};

/* A member of {"flow":{...},"node_name":"...","time":"..."}, or of a flow that stands
 * alone. Node and time alone do not make one. */
static int read_outer(struct parser *p, const char *key, enum line_kind *kind)
{
	const struct field *f = find(outer_fields, key);

	if (!strcmp(key, "flow") && json_kind(&p->j) == '{') {
		begin(p->p);
		*kind = LINE_FLOW;
		return read_fields(p, flow_fields, p->p);
	}
	if (!f && *kind != LINE_FLOW) {
		f = find(flow_fields, key);
		if (f)
			*kind = LINE_BARE;
	}
	return read_member(p, f, p->p);
}

int flow_parse(struct flow_parsed *p, char *line, size_t len, struct errtext *err)
{
	enum line_kind kind = LINE_OTHER;
	struct parser parser = { .p = p };
	int r;

	begin(p);
	p->outer_time = 0;
	p->outer_node = "";
	json_begin(&parser.j, line, len, err);
	r = json_open(&parser.j, '{');
	while (!r) {
		const char *key;

		r = json_member(&parser.j, &key);
		if (r <= 0)
			break;
		r = read_outer(&parser, key, &kind);
	}
	if (!r)
		r = json_finish(&parser.j);
	if (r < 0)
		return r;
	return kind == LINE_OTHER ? 0 : settle(p);
}

void flow_parsed_clear(struct flow_parsed *p)
{
	for (size_t i = 0; i < 2; i++) {
		free(p->ends[i].labels.items);
		free(p->ends[i].names.items);
	}
	free(p->policies);
	free(p->list);
	*p = (struct flow_parsed){};
}
