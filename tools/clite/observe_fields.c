/* SPDX-License-Identifier: BSD-2-Clause */
/* Hubble's FlowFilter: from JSON, with the names of flow.proto, to what the library takes. */
#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "observe.h"

/* ---- names --------------------------------------------------------------------- */

static const char *const verdicts[] = {
	"VERDICT_UNKNOWN", "FORWARDED",	 "DROPPED", "ERROR",
	"AUDIT",	   "REDIRECTED", "TRACED",  "TRANSLATED",
};

static const char *const identities[] = {
	"unknown",     "host",		 "world",   "unmanaged",  "health",	"init",
	"remote-node", "kube-apiserver", "ingress", "world-ipv4", "world-ipv6", "encrypted-overlay",
};

static const char *const tcp_flags[] = {
	"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS",
};

static bool find_name(const char *const *names, size_t n, const char *name, uint32_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcasecmp(names[i], name)) {
			*ret = (uint32_t)i;
			return true;
		}
	}
	return false;
}

bool verdict_number(const char *name, uint32_t *ret)
{
	return find_name(verdicts, ARRAY_SIZE(verdicts), name, ret);
}

const char *verdict_name(uint32_t verdict)
{
	return verdicts[verdict < ARRAY_SIZE(verdicts) ? verdict : 0];
}

const char *reserved_identity_name(uint32_t identity)
{
	return identity < ARRAY_SIZE(identities) ? identities[identity] : NULL;
}

uint32_t tcp_flag_bit(const char *name)
{
	uint32_t i;

	return find_name(tcp_flags, ARRAY_SIZE(tcp_flags), name, &i) ? 1u << i : 0;
}

bool drop_reason_number(const char *name, uint32_t *ret)
{
	for (uint32_t reason = 0; reason < 256; reason++) {
		const char *its = clite_drop_reason_name(reason);

		if (its && !strcasecmp(its, name)) {
			*ret = reason;
			return true;
		}
	}
	return false;
}

/* ---- the fields ---------------------------------------------------------------- */

enum kind {
	TEXTS,
	NUMBERS,
	BOOLS,
	VERDICTS,
	REASONS,
	DIRECTIONS,
	VERSIONS,
	FLAGS,
	HEADERS,
	INTERFACES,
	TYPES,
	WORKLOADS,
};

struct field {
	const char *name;
	enum kind kind;
	size_t offset; /* of the list in struct clite_flow_filter */
	size_t count;  /* of its number of values; lists of texts end with NULL instead */
};

#define TEXT_FIELD(name, kind, member)                                    \
	{                                                                 \
		name, kind, offsetof(struct clite_flow_filter, member), 0 \
	}
#define LIST_FIELD(name, kind, member)                                  \
	{                                                               \
		name, kind, offsetof(struct clite_flow_filter, member), \
			offsetof(struct clite_flow_filter, n##member)   \
	}

/* In the order of flow.proto. */
static const struct field fields[] = {
	TEXT_FIELD("uuid", TEXTS, uuid),
	TEXT_FIELD("source_ip", TEXTS, source_ip),
	TEXT_FIELD("source_ip_xlated", TEXTS, source_ip_xlated),
	TEXT_FIELD("source_pod", TEXTS, source_pod),
	TEXT_FIELD("source_fqdn", TEXTS, source_fqdn),
	TEXT_FIELD("source_label", TEXTS, source_label),
	TEXT_FIELD("source_service", TEXTS, source_service),
	LIST_FIELD("source_workload", WORKLOADS, source_workload),
	TEXT_FIELD("source_cluster_name", TEXTS, source_cluster),
	TEXT_FIELD("destination_ip", TEXTS, destination_ip),
	TEXT_FIELD("destination_pod", TEXTS, destination_pod),
	TEXT_FIELD("destination_fqdn", TEXTS, destination_fqdn),
	TEXT_FIELD("destination_label", TEXTS, destination_label),
	TEXT_FIELD("destination_service", TEXTS, destination_service),
	LIST_FIELD("destination_workload", WORKLOADS, destination_workload),
	TEXT_FIELD("destination_cluster_name", TEXTS, destination_cluster),
	LIST_FIELD("traffic_direction", DIRECTIONS, direction),
	LIST_FIELD("verdict", VERDICTS, verdict),
	LIST_FIELD("drop_reason_desc", REASONS, drop_reason),
	TEXT_FIELD("interface", INTERFACES, interface),
	LIST_FIELD("event_type", TYPES, event_type),
	TEXT_FIELD("http_status_code", TEXTS, http_status_code),
	TEXT_FIELD("protocol", TEXTS, protocol),
	TEXT_FIELD("source_port", TEXTS, source_port),
	TEXT_FIELD("destination_port", TEXTS, destination_port),
	LIST_FIELD("reply", BOOLS, reply),
	TEXT_FIELD("dns_query", TEXTS, dns_query),
	LIST_FIELD("source_identity", NUMBERS, source_identity),
	LIST_FIELD("destination_identity", NUMBERS, destination_identity),
	TEXT_FIELD("http_method", TEXTS, http_method),
	TEXT_FIELD("http_path", TEXTS, http_path),
	TEXT_FIELD("http_url", TEXTS, http_url),
	TEXT_FIELD("http_header", HEADERS, http_header),
	LIST_FIELD("tcp_flags", FLAGS, tcp_flags),
	TEXT_FIELD("node_name", TEXTS, node_name),
	TEXT_FIELD("node_labels", TEXTS, node_labels),
	LIST_FIELD("ip_version", VERSIONS, ip_version),
	TEXT_FIELD("trace_id", TEXTS, trace_id),
	LIST_FIELD("encrypted", BOOLS, encrypted),
};

char *snake_case(const char *name)
{
	char *snake = xrealloc(NULL, strlen(name) * 2 + 1, 1), *at = snake;

	for (; *name; name++) {
		if (isupper((unsigned char)*name) && at != snake)
			*at++ = '_';
		*at++ = (char)tolower((unsigned char)*name);
	}
	*at = '\0';
	return snake;
}

static const struct field *find_field(const char *key)
{
	_cleanup_free_ char *name = snake_case(key);

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!strcmp(fields[i].name, name))
			return &fields[i];
	}
	return NULL;
}

json_t *filter_in_order(const json_t *filter)
{
	json_t *ordered = json_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		json_t *value = json_object_get(filter, fields[i].name);

		if (value)
			json_put(ordered, fields[i].name, json_incref(value));
	}
	return ordered;
}

/* ---- one value ------------------------------------------------------------------ */

/* A name of an enumeration, or its number. */
static bool enumerated(const json_t *v, bool (*find)(const char *name, uint32_t *ret),
		       uint32_t *ret)
{
	if (json_is_string(v))
		return find(json_string_value(v), ret);
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT32_MAX)
		return false;
	*ret = (uint32_t)json_integer_value(v);
	return true;
}

static bool no_name(const char *name, uint32_t *ret)
{
	uint64_t n;

	/* protobuf's JSON takes numbers in quotes as well */
	if (!parse_number(name, UINT32_MAX, &n))
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool direction_number(const char *name, uint32_t *ret)
{
	static const char *const names[] = { "TRAFFIC_DIRECTION_UNKNOWN", "INGRESS", "EGRESS" };

	return find_name(names, ARRAY_SIZE(names), name, ret);
}

static bool direction_value(const json_t *v, uint32_t *ret)
{
	uint32_t n;

	if (!enumerated(v, direction_number, &n) || n > 2)
		return false;
	*ret = n == 1 ? CLITE_INGRESS : n == 2 ? CLITE_EGRESS : 0;
	return true;
}

static bool version_number(const char *name, uint32_t *ret)
{
	static const char *const names[] = { "IP_NOT_USED", "IPv4", "IPv6" };

	return find_name(names, ARRAY_SIZE(names), name, ret);
}

static bool version_value(const json_t *v, uint32_t *ret)
{
	uint32_t n;

	if (!enumerated(v, version_number, &n) || n > 2)
		return false;
	*ret = n ? 2 + 2 * n : 0;
	return true;
}

static bool flags_value(const json_t *v, uint32_t *ret)
{
	const char *key;
	json_t *set;

	if (!json_is_object(v))
		return false;
	*ret = 0;
	json_object_foreach((json_t *)v, key, set)
	{
		if (!tcp_flag_bit(key) || !json_is_boolean(set))
			return false;
		if (json_is_true(set))
			*ret |= tcp_flag_bit(key);
	}
	return true;
}

static bool number_value(enum kind kind, const json_t *v, uint32_t *ret)
{
	switch (kind) {
	case NUMBERS:
		return enumerated(v, no_name, ret);
	case BOOLS:
		*ret = json_is_true(v);
		return json_is_boolean(v);
	case VERDICTS:
		return enumerated(v, verdict_number, ret);
	case REASONS:
		return enumerated(v, drop_reason_number, ret);
	case DIRECTIONS:
		return direction_value(v, ret);
	case VERSIONS:
		return version_value(v, ret);
	case FLAGS:
		return flags_value(v, ret);
	default:
		return false;
	}
}

/* A text, kept by the filters; NULL: it is none. */
static const char *keep(struct flow_filters *filters, const char *text)
{
	if (!text)
		return NULL;
	strings_add(&filters->texts, text);
	return filters->texts.items[filters->texts.n - 1];
}

static const char *member(const json_t *v, const char *key)
{
	return json_string_value(json_object_get(v, key));
}

static const char *text_value(struct flow_filters *filters, enum kind kind, const json_t *v)
{
	_cleanup_free_ char *text = NULL;

	switch (kind) {
	case HEADERS:
		if (!member(v, "key"))
			return NULL;
		text = xprintf("%s:%s", member(v, "key"), member(v, "value") ?: "");
		return keep(filters, text);
	case INTERFACES:
		if (member(v, "name"))
			return keep(filters, member(v, "name"));
		if (!json_is_integer(json_object_get(v, "index")))
			return NULL;
		text = xprintf("%lld", (long long)json_integer_value(json_object_get(v, "index")));
		return keep(filters, text);
	default:
		return keep(filters, json_string_value(v));
	}
}

static bool int32_member(const json_t *v, const char *key, int32_t *ret)
{
	json_t *n = json_object_get(v, key);

	if (!n)
		return true;
	if (!json_is_integer(n) || json_integer_value(n) < INT32_MIN ||
	    json_integer_value(n) > INT32_MAX)
		return false;
	*ret = (int32_t)json_integer_value(n);
	return true;
}

static bool type_value(const json_t *v, struct clite_filter_event_type *ret)
{
	json_t *match = json_object_get(v, "match_sub_type") ?: json_object_get(v, "matchSubType");

	*ret = (struct clite_filter_event_type){ .match_subtype = json_is_true(match) };
	return json_is_object(v) && int32_member(v, "type", &ret->type) &&
	       int32_member(v, "sub_type", &ret->subtype) &&
	       int32_member(v, "subType", &ret->subtype);
}

static bool workload_value(struct flow_filters *filters, const json_t *v,
			   struct clite_filter_workload *ret)
{
	ret->name = keep(filters, member(v, "name"));
	ret->kind = keep(filters, member(v, "kind"));
	return json_is_object(v);
}

/* ---- one field ------------------------------------------------------------------ */

static size_t value_size(enum kind kind)
{
	switch (kind) {
	case TEXTS:
	case HEADERS:
	case INTERFACES:
		return sizeof(const char *);
	case TYPES:
		return sizeof(struct clite_filter_event_type);
	case WORKLOADS:
		return sizeof(struct clite_filter_workload);
	default:
		return sizeof(uint32_t);
	}
}

static bool read_value(struct flow_filters *filters, enum kind kind, const json_t *v, void *to)
{
	const char **text = to;

	switch (kind) {
	case TEXTS:
	case HEADERS:
	case INTERFACES:
		*text = text_value(filters, kind, v);
		return *text;
	case TYPES:
		return type_value(v, to);
	case WORKLOADS:
		return workload_value(filters, v, to);
	default:
		return number_value(kind, v, to);
	}
}

static char *read_field(struct flow_filters *filters, struct clite_flow_filter *filter,
			const struct field *f, const json_t *array)
{
	size_t n = json_array_size(array), size = value_size(f->kind);
	char *values;

	if (!json_is_array(array))
		return xprintf("%s: a list is needed", f->name);
	values = xrealloc(NULL, n + 1, size);
	memset(values, 0, (n + 1) * size);
	free(*(void **)((char *)filter + f->offset)); /* both snake_case and camelCase */
	*(void **)((char *)filter + f->offset) = values;
	if (f->count)
		*(size_t *)((char *)filter + f->count) = n;
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(array, i);
		_cleanup_free_ char *shown = NULL;

		if (read_value(filters, f->kind, v, values + i * size))
			continue;
		shown = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
		return xprintf("%s: '%s' is no such value", f->name, shown ?: "");
	}
	return NULL;
}

static char *read_filter(struct flow_filters *filters, const json_t *object)
{
	struct clite_flow_filter *filter = &filters->items[filters->n];
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return xstrdup(
			"a filter is an object, such as {\"source_pod\":[\"kube-system/\"]}");
	*filter = (struct clite_flow_filter){ .sz = sizeof(*filter) };
	filters->n++;
	json_object_foreach((json_t *)object, key, value)
	{
		const struct field *f = find_field(key);
		char *error;

		if (!f)
			return xprintf("'%s' is no field of a filter that is known here", key);
		error = read_field(filters, filter, f, value);
		if (error)
			return error;
	}
	return NULL;
}

char *flow_filters_read(struct flow_filters *filters, const json_t *array)
{
	size_t n = json_array_size(array);

	*filters = (struct flow_filters){ 0 };
	filters->items = xrealloc(NULL, n, sizeof(*filters->items));
	for (size_t i = 0; i < n; i++) {
		char *error = read_filter(filters, json_array_get(array, i));

		if (error)
			return error;
	}
	return NULL;
}

void flow_filters_clear(struct flow_filters *filters)
{
	for (size_t i = 0; i < filters->n; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(fields); k++)
			free(*(void **)((char *)&filters->items[i] + fields[k].offset));
	}
	free(filters->items);
	strings_clear(&filters->texts);
	*filters = (struct flow_filters){ 0 };
}
