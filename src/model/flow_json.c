/* SPDX-License-Identifier: BSD-2-Clause */
/* Hubble's GetFlowsResponse in the JSON form of protobuf, with the names of the
 * definitions (flow.proto, observer.proto) and in their order. What is zero or
 * empty is left away; enums are names, 64-bit numbers would be strings. */
#include "model/flow.h"

#include <stdio.h>
#include <time.h>

#include "model/event_parts.h"
#include "model/names.h"

/* ---- writing ---------------------------------------------------------------- */

static void comma(struct buf *b)
{
	char last = b->len > 0 ? b->data[b->len - 1] : '{';

	if (last != '{' && last != '[')
		buf_puts(b, ",");
}

static void put_key(struct buf *b, const char *key)
{
	comma(b);
	buf_put(b, "\"", 1);
	buf_puts(b, key);
	buf_put(b, "\":", 2);
}

static void put_object(struct buf *b, const char *key)
{
	put_key(b, key);
	buf_puts(b, "{");
}

static void put_text(struct buf *b, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	put_key(b, key);
	buf_json(b, value);
}

/* Leading zeros up to n digits; the C library would be half of the whole cost. */
static void put_digits(struct buf *b, uint64_t value, size_t n)
{
	char digits[20], *s = digits + sizeof(digits);

	for (; value || n; value /= 10, n -= n > 0)
		*--s = (char)('0' + value % 10);
	buf_put(b, s, (size_t)(digits + sizeof(digits) - s));
}

static void put_number(struct buf *b, const char *key, uint32_t value)
{
	if (!value)
		return;
	put_key(b, key);
	put_digits(b, value, 1);
}

/* A value of an enum that has no name is a number, as in protobuf. */
static void put_enum(struct buf *b, const char *key, const char *name, uint32_t value)
{
	if (name)
		put_text(b, key, name);
	else
		put_number(b, key, value);
}

static void put_part(struct buf *b, const char *before, int value)
{
	buf_puts(b, before);
	put_digits(b, (uint64_t)value, 2);
}

/* As protobuf writes times: UTC, with no, three, six or nine digits. */
static void put_time(struct buf *b, const char *key, uint64_t ns)
{
	uint32_t fraction = (uint32_t)(ns % 1000000000);
	time_t t = (time_t)(ns / 1000000000);
	struct tm tm = {};

	gmtime_r(&t, &tm);
	put_key(b, key);
	buf_puts(b, "\"");
	put_digits(b, (uint64_t)tm.tm_year + 1900, 4);
	put_part(b, "-", tm.tm_mon + 1);
	put_part(b, "-", tm.tm_mday);
	put_part(b, "T", tm.tm_hour);
	put_part(b, ":", tm.tm_min);
	put_part(b, ":", tm.tm_sec);
	if (fraction)
		buf_puts(b, ".");
	if (fraction % 1000)
		put_digits(b, fraction, 9);
	else if (fraction % 1000000)
		put_digits(b, fraction / 1000, 6);
	else if (fraction)
		put_digits(b, fraction / 1000000, 3);
	buf_puts(b, "Z\"");
}

/* ---- parts of a flow -------------------------------------------------------- */

static void put_ip(const struct clite_event *e, struct buf *b)
{
	uint8_t family = e->family == 6 ? 6 : 4;
	char addr[PREFIX_STR];

	if (!e->family) /* of another program, and not said */
		return;

	put_object(b, "IP");
	put_text(b, "source", addr_format(e->source, family, addr));
	put_text(b, "destination", addr_format(e->destination, family, addr));
	put_text(b, "ipVersion", family == 6 ? "IPv6" : "IPv4");
	buf_puts(b, "}");
}

static void put_tcp_flags(const struct clite_event *e, struct buf *b)
{
	put_object(b, "flags");
	for (size_t i = 0; i < TCP_FLAGS; i++) {
		if (!(e->tcp_flags & 1u << i))
			continue;
		put_key(b, tcp_flag_names[i]);
		buf_puts(b, "true");
	}
	buf_puts(b, "}");
}

static void put_l4(const struct clite_event *e, struct buf *b)
{
	static const char *const names[] = {
		[L4_TCP] = "TCP",      [L4_UDP] = "UDP",      [L4_SCTP] = "SCTP",
		[L4_ICMP4] = "ICMPv4", [L4_ICMP6] = "ICMPv6",
	};
	enum event_l4 l4 = event_l4(e);

	if (l4 == L4_NONE)
		return;
	put_object(b, "l4");
	put_object(b, names[l4]);
	if (event_has_ports(e)) {
		put_number(b, "source_port", e->source_port);
		put_number(b, "destination_port", e->destination_port);
	} else {
		put_number(b, "type", e->icmp_type);
		put_number(b, "code", e->icmp_code);
	}
	if (l4 == L4_TCP)
		put_tcp_flags(e, b);
	buf_puts(b, "}}");
}

/* "source:key=value"; without a value Hubble prints no '='. */
static void put_label(struct buf *b, const char *label)
{
	const char *equals = strchr(label, '=');
	_cleanup_free_ char *bare = NULL;

	comma(b);
	if (!equals || equals[1]) {
		buf_json(b, label);
		return;
	}
	bare = strndup(label, (size_t)(equals - label));
	if (bare)
		buf_json(b, bare);
	else
		b->failed = true;
}

static void put_labels(const char *const *labels, struct buf *b)
{
	if (!*labels)
		return;
	put_key(b, "labels");
	buf_puts(b, "[");
	for (; *labels; labels++)
		put_label(b, *labels);
	buf_puts(b, "]");
}

static void put_end(const struct clite_flow *f, bool source, struct buf *b)
{
	const struct clite_flow_end *x = source ? f->source : f->destination;
	const struct clite_event *e = f->event;

	put_object(b, source ? "source" : "destination");
	put_number(b, "ID", source ? e->source_endpoint : e->destination_endpoint);
	put_number(b, "identity", source ? e->source_identity : e->destination_identity);
	put_text(b, "cluster_name", x->cluster);
	put_text(b, "namespace", x->ns);
	put_labels(x->labels, b);
	put_text(b, "pod_name", x->pod);
	if (*x->workload) {
		put_key(b, "workloads");
		buf_puts(b, "[{");
		put_text(b, "name", x->workload);
		put_text(b, "kind", x->workload_kind);
		buf_puts(b, "}]");
	}
	buf_puts(b, "}");
}

static void put_service(const struct clite_flow *f, bool source, struct buf *b)
{
	const struct clite_flow_end *x = source ? f->source : f->destination;

	if (!*x->service)
		return;
	put_object(b, source ? "source_service" : "destination_service");
	put_text(b, "name", x->service);
	put_text(b, "namespace", x->service_ns);
	buf_puts(b, "}");
}

static void put_names(const char *key, const char *const *names, struct buf *b)
{
	if (!*names)
		return;
	put_key(b, key);
	buf_puts(b, "[");
	for (; *names; names++) {
		comma(b);
		buf_json(b, *names);
	}
	buf_puts(b, "]");
}

static void put_event_type(const struct clite_event *e, struct buf *b)
{
	put_object(b, "event_type");
	put_number(b, "type", e->type);
	put_number(b, "sub_type", event_subtype(e));
	buf_puts(b, "}");
}

static void put_direction(const struct clite_event *e, struct buf *b)
{
	uint32_t direction = event_direction(e);

	if (direction)
		put_text(b, "traffic_direction", direction == CLITE_INGRESS ? "INGRESS" : "EGRESS");
}

static void put_is_reply(const struct clite_event *e, struct buf *b)
{
	if (e->is_reply > 1)
		return;
	put_key(b, "is_reply");
	buf_puts(b, e->is_reply ? "true" : "false");
}

static void put_file(const struct clite_event *e, struct buf *b)
{
	if (!e->source_file || !*e->source_file)
		return;
	put_object(b, "file");
	put_text(b, "name", e->source_file);
	put_number(b, "line", e->source_line);
	buf_puts(b, "}");
}

static void put_interface(const struct clite_flow *f, struct buf *b)
{
	if (!f->event->ifindex)
		return;
	put_object(b, "interface");
	put_number(b, "index", f->event->ifindex);
	put_text(b, "name", f->interface);
	buf_puts(b, "}");
}

static void put_policy(const struct clite_flow_policy *p, struct buf *b)
{
	comma(b);
	buf_puts(b, "{");
	put_text(b, "name", p->name);
	put_text(b, "namespace", p->ns);
	if (p->revision) {
		put_key(b, "revision");
		buf_printf(b, "\"%llu\"", (unsigned long long)p->revision);
	}
	put_text(b, "kind", p->kind);
	buf_puts(b, "}");
}

static void put_policies(const struct clite_flow *f, const char *key, uint32_t direction,
			 uint32_t action, struct buf *b)
{
	bool any = false;

	for (size_t i = 0; f->policies[i]; i++) {
		const struct clite_flow_policy *p = f->policies[i];

		if (p->direction != direction || p->action != action)
			continue;
		if (!any) {
			put_key(b, key);
			buf_puts(b, "[");
			any = true;
		}
		put_policy(p, b);
	}
	if (any)
		buf_puts(b, "]");
}

const char *flow_verdict_name(uint32_t verdict)
{
	static const char *const names[] = { NULL,    "FORWARDED",  "DROPPED", "ERROR",
					     "AUDIT", "REDIRECTED", "TRACED",  "TRANSLATED" };

	return verdict < ARRAY_SIZE(names) ? names[verdict] : NULL;
}

/* ---- the whole --------------------------------------------------------------- */

static void put_decision(const struct clite_event *e, struct buf *b)
{
	if (e->type == CLITE_EVENT_POLICY_VERDICT)
		put_number(b, "policy_match_type", e->subtype);
	if (e->type == CLITE_EVENT_TRACE) {
		put_enum(b, "trace_observation_point", trace_point_name(e->subtype), e->subtype);
		put_text(b, "trace_reason", trace_reason_name(e->trace_reason));
	}
	put_file(e, b);
	if (e->drop_reason)
		put_enum(b, "drop_reason_desc", clite_drop_reason_name(e->drop_reason),
			 e->drop_reason);
}

const char *flow_kind_name(uint32_t kind)
{
	static const char *const names[] = { NULL, "L3_L4", "L7", "SOCK" };

	return kind < ARRAY_SIZE(names) ? names[kind] : NULL;
}

static void put_flow(const struct clite_flow *f, struct buf *b)
{
	const struct clite_event *e = f->event;

	put_time(b, "time", e->time);
	put_enum(b, "verdict", flow_verdict_name(e->verdict), e->verdict);
	put_number(b, "drop_reason", e->drop_reason);
	put_ip(e, b);
	put_l4(e, b);
	put_end(f, true, b);
	put_end(f, false, b);
	put_enum(b, "Type", flow_kind_name(f->kind), f->kind);
	put_text(b, "node_name", f->node);
	put_names("source_names", f->source->names, b);
	put_names("destination_names", f->destination->names, b);
	if (e->is_reply == 1) { /* deprecated, but Hubble sets it */
		put_key(b, "reply");
		buf_puts(b, "true");
	}
	put_event_type(e, b);
	put_service(f, true, b);
	put_service(f, false, b);
	put_direction(e, b);
	put_decision(e, b);
	put_is_reply(e, b);
	put_interface(f, b);
	put_text(b, "Summary", f->summary);
	put_policies(f, "egress_allowed_by", CLITE_EGRESS, CLITE_ALLOW, b);
	put_policies(f, "egress_denied_by", CLITE_EGRESS, CLITE_DENY, b);
	put_policies(f, "ingress_allowed_by", CLITE_INGRESS, CLITE_ALLOW, b);
	put_policies(f, "ingress_denied_by", CLITE_INGRESS, CLITE_DENY, b);
}

void flow_json(const struct clite_flow *f, struct buf *out)
{
	buf_puts(out, "{\"flow\":{");
	put_flow(f, out);
	buf_puts(out, "}");
	put_text(out, "node_name", f->node);
	put_time(out, "time", f->event->time);
	buf_puts(out, "}");
}

void flow_lost_json(const char *source, uint64_t n, const char *node, uint64_t time,
		    struct buf *out)
{
	buf_puts(out, "{\"lost_events\":{");
	put_text(out, "source", source);
	put_key(out, "num_events_lost");
	buf_printf(out, "\"%llu\"}", (unsigned long long)n);
	put_text(out, "node_name", node);
	put_time(out, "time", time);
	buf_puts(out, "}");
}
