/* SPDX-License-Identifier: BSD-2-Clause */
/* A filter in the JSON form of protobuf: names of fields as in flow.proto or in camel
 * case, enums by name or number. libyaml reads it, as YAML is JSON and more. */
#include "model/event_parts.h"
#include "model/filter_parts.h"
#include "model/names.h"
#include "model/yaml_tree.h"

#include <cilium-lite/policy.h>
#include <stdio.h>

struct builder {
	struct clite_flow_filter filter;
	const struct filter_field *field; /* that is being read */
	size_t index;			  /* of its value */
	struct errtext *err;
	void **owned; /* memory that the filter points to */
	size_t nowned, owned_cap;
};

static void builder_clear(struct builder *b)
{
	for (size_t i = 0; i < b->nowned; i++)
		free(b->owned[i]);
	free(b->owned);
}

/* NULL stays NULL; both for want of memory. */
static void *own(struct builder *b, void *memory)
{
	if (!memory)
		return NULL;
	if (!array_grow(&b->owned, &b->owned_cap, b->nowned)) {
		free(memory);
		return NULL;
	}
	return b->owned[b->nowned++] = memory;
}

static int refuse(struct builder *b, const struct ynode *n, const char *expected)
{
	static const char *const kinds[] = {
		[YNODE_SCALAR] = "a value",
		[YNODE_LIST] = "a list",
		[YNODE_MAP] = "an object",
	};
	_cleanup_buf_ struct buf shown = {};

	if (n->kind != YNODE_SCALAR)
		return err_set(b->err, EINVAL, "%s[%zu]: expected %s, found %s", b->field->name,
			       b->index, expected, kinds[n->kind]);
	buf_excerpt(&shown, n->text);
	return err_set(b->err, EINVAL, "%s[%zu]: expected %s, found '%s'", b->field->name, b->index,
		       expected, shown.data ?: "");
}

/* ---- scalars ------------------------------------------------------------------------- */

static int read_text(struct builder *b, const struct ynode *n, const char **ret)
{
	if (n->kind != YNODE_SCALAR || (n->type != YTYPE_STRING && n->type != YTYPE_AMBIGUOUS))
		return refuse(b, n, "a string");
	*ret = n->text;
	return 0;
}

static int read_bool(struct builder *b, const struct ynode *n, uint32_t *ret)
{
	if (n->kind != YNODE_SCALAR || n->type != YTYPE_BOOL)
		return refuse(b, n, "true or false");
	*ret = *n->text == 't' || *n->text == 'T';
	return 0;
}

/* Decimal digits, also in quotes, as protobuf has it. */
static int read_number(struct builder *b, const struct ynode *n, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;
	const char *c;

	if (n->kind != YNODE_SCALAR)
		return refuse(b, n, "a number");
	for (c = n->text; *c >= '0' && *c <= '9'; c++) {
		uint64_t digit = (uint64_t)(*c - '0');

		if (value > (max - digit) / 10)
			return refuse(b, n, "a smaller number");
		value = value * 10 + digit;
	}
	if (c == n->text || *c)
		return refuse(b, n, "a number");
	*ret = value;
	return 0;
}

static int read_u32(struct builder *b, const struct ynode *n, uint32_t *ret)
{
	uint64_t value = 0;
	int r = read_number(b, n, UINT32_MAX, &value);

	*ret = (uint32_t)value;
	return r;
}

static int read_i32(struct builder *b, const struct ynode *n, int32_t *ret)
{
	uint64_t value = 0;
	int r = read_number(b, n, INT32_MAX, &value);

	*ret = (int32_t)value;
	return r;
}

/* ---- enums ---------------------------------------------------------------------------- */

static const char *name_of_verdict(uint32_t i)
{
	static const char *const names[] = { "VERDICT_UNKNOWN", "FORWARDED", "DROPPED",
					     "ERROR",		"AUDIT",     "REDIRECTED",
					     "TRACED",		"TRANSLATED" };

	return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static const char *name_of_direction(uint32_t i)
{
	static const char *const names[] = { "TRAFFIC_DIRECTION_UNKNOWN", "INGRESS", "EGRESS" };

	_Static_assert(CLITE_INGRESS == 1 && CLITE_EGRESS == 2, "as in flow.proto");
	return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static const char *name_of_version(uint32_t i)
{
	static const char *const names[] = { "IP_NOT_USED", "IPv4", "IPv6" };

	return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static const char *name_of_drop(uint32_t i)
{
	return i ? clite_drop_reason_name(i) : "DROP_REASON_UNKNOWN";
}

static int read_enum(struct builder *b, const struct ynode *n, const char *(*name_of)(uint32_t),
		     uint32_t *ret)
{
	if (n->kind == YNODE_SCALAR && n->type == YTYPE_NUMBER)
		return read_u32(b, n, ret);
	if (n->kind == YNODE_SCALAR)
		for (uint32_t i = 0; i <= UINT8_MAX; i++)
			if (name_of(i) && !strcmp(name_of(i), n->text)) {
				*ret = i;
				return 0;
			}
	return refuse(b, n, "a name of flow.proto, or its number");
}

/* ---- objects ---------------------------------------------------------------------------- */

/* Is key "match_sub_type", or "matchSubType"? */
static bool name_is(const char *name, const char *key)
{
	if (!strcmp(name, key))
		return true;
	for (; *name; name++, key++) {
		if (*name == '_')
			name++;
		else if (*name == *key)
			continue;
		else
			return false;
		if (*name < 'a' || *name - ('a' - 'A') != *key)
			return false;
	}
	return !*key;
}

static bool is_null(const struct ynode *n)
{
	return n->kind == YNODE_SCALAR && n->type == YTYPE_NULL;
}

/* The members of an object: got[i] is that of names[i], or NULL. */
static int read_object(struct builder *b, const struct ynode *n, const char *const *names,
		       size_t nnames, const struct ynode **got)
{
	if (n->kind != YNODE_MAP)
		return refuse(b, n, "an object");
	for (const struct ynode *m = n->first; m; m = m->next) {
		_cleanup_buf_ struct buf shown = {};
		size_t i = 0;

		while (i < nnames && !name_is(names[i], m->key))
			i++;
		buf_excerpt(&shown, m->key);
		if (i == nnames)
			return err_set(b->err, EINVAL, "%s[%zu]: no field '%s'", b->field->name,
				       b->index, shown.data ?: "");
		if (got[i])
			return err_set(b->err, EINVAL, "%s[%zu]: field '%s' twice", b->field->name,
				       b->index, shown.data ?: "");
		if (!is_null(m))
			got[i] = m;
	}
	return 0;
}

static int read_event_type(struct builder *b, const struct ynode *n,
			   struct clite_filter_event_type *ret)
{
	static const char *const names[] = { "type", "match_sub_type", "sub_type" };
	const struct ynode *got[ARRAY_SIZE(names)] = {};
	int r = read_object(b, n, names, ARRAY_SIZE(names), got);

	if (!r && got[0])
		r = read_i32(b, got[0], &ret->type);
	if (!r && got[1])
		r = read_bool(b, got[1], &ret->match_subtype);
	if (!r && got[2])
		r = read_i32(b, got[2], &ret->subtype);
	return r;
}

/* Two texts; what is not there is "". */
static int read_pair(struct builder *b, const struct ynode *n, const char *const names[2],
		     const char *ret[2])
{
	const struct ynode *got[2] = {};
	int r = read_object(b, n, names, 2, got);

	ret[0] = ret[1] = "";
	if (!r && got[0])
		r = read_text(b, got[0], &ret[0]);
	if (!r && got[1])
		r = read_text(b, got[1], &ret[1]);
	return r;
}

static int read_workload(struct builder *b, const struct ynode *n,
			 struct clite_filter_workload *ret)
{
	static const char *const names[] = { "name", "kind" };
	const char *got[2];
	int r = read_pair(b, n, names, got);

	ret->name = got[0];
	ret->kind = got[1];
	return r;
}

static int read_flags(struct builder *b, const struct ynode *n, uint32_t *ret)
{
	const struct ynode *got[TCP_FLAGS] = {};
	int r = read_object(b, n, tcp_flag_names, TCP_FLAGS, got);

	for (size_t i = 0; i < TCP_FLAGS && !r; i++) {
		uint32_t set = 0;

		if (got[i])
			r = read_bool(b, got[i], &set);
		*ret |= set << i;
	}
	return r;
}

static int joined(struct builder *b, const char *before, char between, const char *after,
		  const char **ret)
{
	char *text;

	if (asprintf(&text, "%s%c%s", before, between, after) < 0)
		return -ENOMEM;
	*ret = own(b, text);
	return *ret ? 0 : -ENOMEM;
}

static int read_header(struct builder *b, const struct ynode *n, const char **ret)
{
	static const char *const names[] = { "key", "value" };
	const char *got[2];
	int r = read_pair(b, n, names, got);

	return r ?: joined(b, got[0], ':', got[1], ret);
}

static int read_interface(struct builder *b, const struct ynode *n, const char **ret)
{
	static const char *const names[] = { "index", "name" };
	const struct ynode *got[2] = {};
	const char *name = "";
	uint32_t index = 0;
	char number[12];
	int r = read_object(b, n, names, 2, got);

	if (!r && got[0])
		r = read_u32(b, got[0], &index);
	if (!r && got[1])
		r = read_text(b, got[1], &name);
	snprintf(number, sizeof(number), "%u", index);
	return r ?: joined(b, number, '/', name, ret);
}

/* ---- fields ----------------------------------------------------------------------------- */

static int read_ip_version(struct builder *b, const struct ynode *n, uint32_t *ret)
{
	int r = read_enum(b, n, name_of_version, ret);

	if (!r && *ret > 2)
		return refuse(b, n, "IPv4 or IPv6");
	*ret = *ret ? 2 + 2 * *ret : 0;
	return r;
}

static bool is_field(struct builder *b, const char *name)
{
	return !strcmp(b->field->name, name);
}

static int read_number_value(struct builder *b, const struct ynode *n, uint32_t *ret)
{
	if (is_field(b, "verdict"))
		return read_enum(b, n, name_of_verdict, ret);
	if (is_field(b, "drop_reason_desc"))
		return read_enum(b, n, name_of_drop, ret);
	if (is_field(b, "traffic_direction"))
		return read_enum(b, n, name_of_direction, ret);
	if (is_field(b, "ip_version"))
		return read_ip_version(b, n, ret);
	if (is_field(b, "reply") || is_field(b, "encrypted"))
		return read_bool(b, n, ret);
	if (is_field(b, "tcp_flags"))
		return read_flags(b, n, ret);
	return read_u32(b, n, ret);
}

static int read_value(struct builder *b, const struct ynode *n, void *ret)
{
	switch (b->field->form) {
	case FORM_TEXT:
		if (is_field(b, "http_header"))
			return read_header(b, n, ret);
		if (is_field(b, "interface"))
			return read_interface(b, n, ret);
		return read_text(b, n, ret);
	case FORM_NUMBER:
		return read_number_value(b, n, ret);
	case FORM_LONG:
		return read_number(b, n, UINT64_MAX, ret);
	case FORM_EVENT_TYPE:
		return read_event_type(b, n, ret);
	case FORM_WORKLOAD:
		return read_workload(b, n, ret);
	}
	return -EINVAL;
}

static int read_values(struct builder *b, const struct ynode *list)
{
	size_t size = filter_form_size(b->field->form);
	char *values = own(b, calloc(list->n + 1, size));
	int r = 0;

	if (!values)
		return -ENOMEM;
	*(const void **)((char *)&b->filter + b->field->list) = values;
	if (b->field->form != FORM_TEXT)
		*(size_t *)((char *)&b->filter + b->field->count) = list->n;
	b->index = 0;
	for (const struct ynode *n = list->first; n && !r; n = n->next, b->index++)
		r = read_value(b, n, values + b->index * size);
	return r;
}

static const struct filter_field *find_field(const char *key)
{
	for (size_t i = 0; i < nfilter_fields; i++)
		if (name_is(filter_fields[i].name, key))
			return &filter_fields[i];
	return NULL;
}

static int read_field(struct builder *b, const struct ynode *n)
{
	_cleanup_buf_ struct buf shown = {};

	buf_excerpt(&shown, n->key);
	b->field = find_field(n->key);
	if (!b->field && !strcmp(n->key, "experimental"))
		return err_set(b->err, EINVAL, "experimental: CEL expressions are not supported");
	if (!b->field)
		return err_set(b->err, EINVAL, "'%s': no field of a filter", shown.data ?: "");
	if (is_null(n))
		return 0;
	if (n->kind != YNODE_LIST)
		return err_set(b->err, EINVAL, "%s: expected a list, as in [\"...\"]",
			       b->field->name);
	if (*(const void **)((char *)&b->filter + b->field->list))
		return err_set(b->err, EINVAL, "%s: is there twice", b->field->name);
	return read_values(b, n);
}

static int read_filter(struct builder *b, const struct ynode *root)
{
	int r = 0;

	if (!root || root->kind != YNODE_MAP)
		return err_set(b->err, EINVAL,
			       "expected an object, as in {\"verdict\":[\"DROPPED\"]}");
	b->filter.sz = sizeof(b->filter);
	for (const struct ynode *n = root->first; n && !r; n = n->next)
		r = read_field(b, n);
	return r;
}

/* The only document; of the parser's codes, what the caller knows. */
static int read_tree(struct ystream *s, const char *json, struct ydoc *ret, struct errtext *err)
{
	static const struct ylimits limits = {
		.bytes = 4 * FILTER_TEXTS_MAX,
		.nodes = 4 * FILTER_VALUES_MAX,
		.depth = 8,
	};
	struct ydoc more = {};
	int r = ystream_open(s, json, strlen(json), &limits, "filter", err);

	if (!r)
		r = ystream_next(s, ret);
	if (!r)
		return err_set(err, EINVAL, "nothing but blanks: expected an object");
	if (r > 0)
		r = ystream_next(s, &more);
	ydoc_clear(&more);
	if (r > 0)
		return err_set(err, EINVAL, "more than one object: add each by itself");
	return r && r != -ENOMEM ? -EINVAL : r;
}

int filters_add_json(struct filters *fs, uint32_t list, const char *json, struct errtext *err)
{
	_cleanup_(builder_clear) struct builder b = { .err = err };
	_cleanup_(ystream_close) struct ystream s = {};
	_cleanup_(ydoc_clear) struct ydoc doc = {};
	int r = read_tree(&s, json, &doc, err);

	if (!r)
		r = read_filter(&b, doc.root);
	return r ?: filters_add(fs, list, &b.filter, err);
}
