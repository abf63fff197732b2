/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a record of the ring, with any bytes as names: refused, or written
 * as one line and as an object that is JSON and is read back. The same bytes are also
 * taken for the public struct, which callers may fill in as they like. Link it with
 * -fsanitize=fuzzer, or with replay.c. */
#include "model/flow.h"

#include <stdio.h>

#include "model/flow_parse.h"

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_event: %s\n", what);
	abort();
}

/* ---- JSON -------------------------------------------------------------------- */

/* Read one value; returns what follows, or NULL. */
static const char *json_value(const char *s, int depth);

static const char *json_string(const char *s)
{
	if (*s++ != '"')
		return NULL;
	for (; *s != '"'; s++) {
		if ((unsigned char)*s < 0x20)
			return NULL;
		if (*s != '\\')
			continue;
		s++;
		if (*s == 'u')
			for (int i = 0; i < 4; i++) {
				s++;
				if (!*s || !strchr("0123456789abcdef", *s))
					return NULL;
			}
		else if (!*s || !strchr("\"\\/bfnrt", *s))
			return NULL;
	}
	return s + 1;
}

static const char *json_members(const char *s, bool object, int depth)
{
	char end = object ? '}' : ']';

	if (*s == end)
		return s + 1;
	for (;;) {
		if (object) {
			s = json_string(s);
			if (!s || *s++ != ':')
				return NULL;
		}
		s = json_value(s, depth - 1);
		if (!s)
			return NULL;
		if (*s == end)
			return s + 1;
		if (*s++ != ',')
			return NULL;
	}
}

static const char *json_value(const char *s, int depth)
{
	size_t digits;

	if (depth == 0)
		return NULL;
	if (*s == '{' || *s == '[')
		return json_members(s + 1, *s == '{', depth);
	if (*s == '"')
		return json_string(s);
	if (strncmp(s, "true", 4) == 0)
		return s + 4;
	if (strncmp(s, "false", 5) == 0)
		return s + 5;
	/* zero is left away everywhere */
	digits = strspn(s, "0123456789");
	return digits > 0 && *s != '0' ? s + digits : NULL;
}

/* ---- names --------------------------------------------------------------------- */

struct fuzz_names {
	const char *text;
	const char *labels[3];
	struct clite_rule_info rule;
};

/* Every other number has a name. */
static const char *endpoint(void *data, uint32_t id)
{
	return id & 1 ? ((struct fuzz_names *)data)->text : NULL;
}

static const char *const *labels(void *data, uint32_t id)
{
	return id & 1 ? ((struct fuzz_names *)data)->labels : NULL;
}

static const char *service(void *data, uint32_t family, const uint8_t addr[16], uint16_t port,
			   uint32_t protocol)
{
	(void)family;
	(void)protocol;
	return (port ^ addr[0]) & 1 ? ((struct fuzz_names *)data)->text : NULL;
}

static const struct clite_rule_info *rule(void *data, uint32_t cookie)
{
	struct fuzz_names *n = data;

	n->rule = (struct clite_rule_info){
		.sz = sizeof(n->rule),
		.policy = n->text,
		.filename = cookie & 2 ? n->text : "",
		.cookie = cookie,
		.line = cookie >> 8,
		.direction = cookie & 4 ? CLITE_INGRESS : CLITE_EGRESS,
		.action = cookie & 8 ? CLITE_DENY : CLITE_ALLOW,
		.index = cookie >> 4,
	};
	return cookie & 1 ? &n->rule : NULL;
}

/* ---- reading it back ---------------------------------------------------------------- */

static void check_read_back(struct buf *json)
{
	_cleanup_buf_ struct buf line = {}, again = {};
	struct flow_parsed p = {};

	buf_put(&line, json->data, json->len);
	check(flow_parse(&p, line.data, line.len, NULL) == 1, "the JSON is not read as a flow");
	flow_json(&p.flow, &again);
	check(!strcmp(again.data, json->data), "the JSON is read as another flow");
	flow_parsed_clear(&p);
}

/* ---- the target ------------------------------------------------------------------ */

static void check_written(const struct clite_event *e, struct fuzz_names *n)
{
	const struct event_names names = {
		.data = n,
		.endpoint = endpoint,
		.labels = labels,
		.service = service,
		.rule = rule,
		.interface = endpoint,
		.node_name = n->text,
	};
	_cleanup_buf_ struct buf text = {}, json = {};
	struct flow_record r = {};
	const char *end;

	check(!flow_resolve(&r, e, &names), "names");
	check(flow_valid(&r.flow), "a flow of a decoded event is none");
	flow_text(&r.flow, &text);
	check(!text.failed && text.len == strlen(text.data), "the text is not whole");
	for (const char *s = text.data; *s; s++)
		check((unsigned char)*s >= ' ' && *s != 0x7f, "a control character in the text");

	flow_json(&r.flow, &json);
	flow_record_clear(&r);
	check(!json.failed && json.len == strlen(json.data), "the JSON is not whole");
	end = json_value(json.data, 8);
	check(end && !*end, "what should be JSON is none");
	check_read_back(&json);
}

static void check_decoded(const struct clite_event *e)
{
	check(e->sz == sizeof(*e), "sz");
	check(e->family == 4 || e->family == 6, "family");
	check(e->direction <= CLITE_EGRESS, "direction");
	check(e->is_reply <= 2, "is_reply");
	check(e->has_ports <= 1, "has_ports");
	check(e->source_file, "source_file");
	check((e->verdict == CLITE_VERDICT_DROPPED) == (e->drop_reason != 0), "drop_reason");
}

/* Records lie aligned in the ring. */
static void check_record(const uint8_t *data, size_t size, struct fuzz_names *names)
{
	_cleanup_free_ uint64_t *record = calloc(1, size + sizeof(*record));
	struct clite_event e;

	check(record, "no memory");
	memcpy(record, data, size);
	if (event_decode(record, size, 1, &e))
		return;
	check_decoded(&e);
	check(e.packet_bytes == size - sizeof(struct dp_event_rec) && e.packet_bytes <= e.length,
	      "bytes of the packet");
	check(!e.packet_bytes == !e.packet, "a packet without bytes");
	check(!e.packet || !memcmp(e.packet, data + size - e.packet_bytes, e.packet_bytes),
	      "other bytes");
	check_written(&e, names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t len = sizeof(struct dp_event_rec);
	_cleanup_free_ char *text = NULL;
	struct fuzz_names names = {};
	struct clite_event e;

	/* what follows the record is the name of everything, and the packet */
	text = size > len ? strndup((const char *)data + len, size - len) : strdup("a/b");
	check(text, "no memory");
	names.text = text;
	names.labels[0] = names.labels[1] = text;

	check_record(data, size, &names);
	if (size < len)
		return 0;
	check_record(data, len, &names);

	memset(&e, 0, sizeof(e));
	memcpy(&e, data, size < sizeof(e) ? size : sizeof(e));
	e.sz = sizeof(e);
	e.packet = NULL;
	e.packet_bytes = 0;
	e.source_file = size & 1 ? text : NULL;
	check_written(&e, &names);
	return 0;
}
