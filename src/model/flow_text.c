/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/flow.h"

#include <time.h>

#include "model/event_parts.h"
#include "model/names.h"

/* How many bytes of a control character s begins with, of ASCII or of UTF-8 (U+0080 to
 * U+009F); 0: none. */
static size_t control_len(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;

	if (*u == 0xc2 && u[1] >= 0x80 && u[1] < 0xa0)
		return 2;
	return *u < ' ' || *u == 0x7f;
}

/* A name from outside: what would break the line, or write to the terminal, is
 * shown as '?'. */
static void put_clean(struct buf *out, const char *s)
{
	for (size_t n; *s; s += n) {
		for (n = 0; s[n] && !control_len(s + n); n++)
			;
		buf_put(out, s, n);
		if (s[n]) {
			buf_puts(out, "?");
			n += control_len(s + n);
		}
	}
}

static void put_time(const struct clite_event *e, struct buf *out)
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t t = (time_t)(e->time / 1000000000);
	struct tm tm = {};

	localtime_r(&t, &tm);
	buf_printf(out, "%s %2d %02d:%02d:%02d.%03u", months[tm.tm_mon], tm.tm_mday, tm.tm_hour,
		   tm.tm_min, tm.tm_sec, (unsigned int)(e->time / 1000000 % 1000));
}

static void put_number_or(struct buf *out, const char *text, uint32_t number)
{
	if (text)
		buf_puts(out, text);
	else
		buf_printf(out, "%u", number);
}

static void put_identity(struct buf *out, uint32_t identity)
{
	const char *name = reserved_identity_name(identity);

	if (name)
		buf_printf(out, " (%s)", name);
	else
		buf_printf(out, " (ID:%u)", identity);
}

/* "namespace/name", or a name alone. */
static void put_name(struct buf *out, const char *ns, const char *name)
{
	put_clean(out, ns);
	buf_puts(out, *ns ? "/" : "");
	put_clean(out, name);
}

static void put_port(struct buf *out, uint16_t port)
{
	if (port)
		buf_printf(out, ":%u", port);
}

static void put_address(const struct clite_event *e, const uint8_t *ip, uint16_t port,
			struct buf *out)
{
	bool brackets = port && e->family == 6;
	char addr[PREFIX_STR];

	buf_puts(out, brackets ? "[" : "");
	buf_puts(out, addr_format(ip, e->family == 6 ? 6 : 4, addr));
	buf_puts(out, brackets ? "]" : "");
	put_port(out, port);
}

static void put_side(const struct clite_flow *f, bool source, struct buf *out)
{
	const struct clite_flow_end *x = source ? f->source : f->destination;
	const struct clite_event *e = f->event;
	uint16_t port = source ? e->source_port : e->destination_port;

	if (!event_has_ports(e))
		port = 0;
	/* A translated event has a back end here, not the service. */
	if (*x->pod) {
		put_name(out, x->ns, x->pod);
		put_port(out, port);
	} else if (!e->service_port && *x->service) {
		put_name(out, x->service_ns, x->service);
		put_port(out, port);
	} else {
		put_address(e, source ? e->source : e->destination, port, out);
	}
	put_identity(out, source ? e->source_identity : e->destination_identity);
}

static const char *direction_name(uint32_t direction)
{
	return direction == CLITE_INGRESS ? "INGRESS" :
	       direction == CLITE_EGRESS  ? "EGRESS" :
					    "TRAFFIC_DIRECTION_UNKNOWN";
}

static void put_type(const struct clite_event *e, struct buf *out)
{
	switch (e->type) {
	case CLITE_EVENT_DROP:
		put_number_or(out, clite_drop_reason_text(e->subtype), e->subtype);
		break;
	case CLITE_EVENT_TRACE:
		put_number_or(out, clite_trace_point_text(e->subtype), e->subtype);
		break;
	case CLITE_EVENT_POLICY_VERDICT:
		buf_printf(out, "policy-verdict:%s %s", match_type_text(e->subtype) ?: "unknown",
			   direction_name(e->direction));
		break;
	default:
		buf_puts(out, "UNKNOWN");
	}
}

static const char *verdict_text(const struct clite_event *e)
{
	bool policy = e->type == CLITE_EVENT_POLICY_VERDICT;

	switch (e->verdict) {
	case CLITE_VERDICT_FORWARDED:
		return policy ? "ALLOWED" : "FORWARDED";
	case CLITE_VERDICT_DROPPED:
		return policy ? "DENIED" : "DROPPED";
	case CLITE_VERDICT_AUDIT:
		return "AUDITED";
	default:
		return "VERDICT_UNKNOWN";
	}
}

static void put_service(const struct clite_flow *f, struct buf *out)
{
	const struct clite_event *e = f->event;
	const struct clite_flow_end *x = e->is_reply == 1 ? f->source : f->destination;

	if (!e->service_port)
		return;
	buf_puts(out, " service=");
	if (*x->service) {
		put_name(out, x->service_ns, x->service);
		put_port(out, e->service_port);
	} else {
		put_address(e, e->original, e->service_port, out);
	}
}

static void put_place(const struct clite_rule_info *rule, struct buf *out)
{
	buf_printf(out, "[%u]", rule->index);
	if (!rule->filename || !*rule->filename)
		return;
	buf_puts(out, " ");
	put_clean(out, rule->filename);
	if (rule->line)
		buf_printf(out, ":%u", rule->line);
}

/* Of a rule that is not there any more, or of another program, nothing but the number
 * or the policy is known. */
static void put_rule(const struct clite_flow *f, uint32_t direction, uint32_t cookie,
		     struct buf *out)
{
	bool found = false;

	for (size_t i = 0; f->policies[i]; i++) {
		const struct clite_flow_policy *p = f->policies[i];

		if (p->direction != direction)
			continue;
		found = true;
		buf_puts(out, " rule=");
		put_name(out, p->ns, p->name);
		buf_printf(out, " %s%s", direction == CLITE_EGRESS ? "egress" : "ingress",
			   p->action == CLITE_DENY ? "Deny" : "");
		if (p->rule)
			put_place(p->rule, out);
	}
	if (!found && cookie)
		buf_printf(out, " rule=%u", cookie);
}

void flow_text(const struct clite_flow *f, struct buf *out)
{
	const struct clite_event *e = f->event;
	/* The client stays on the left: replies are turned round. */
	bool turned = e->is_reply == 1;
	struct event_rules rules = event_rules(e);

	put_time(e, out);
	buf_puts(out, ": ");
	put_side(f, !turned, out);
	buf_puts(out, turned ? " <- " : e->is_reply == 0 ? " -> " : " <> ");
	put_side(f, turned, out);
	buf_puts(out, " ");
	put_type(e, out);
	buf_printf(out, " %s (", verdict_text(e));
	put_clean(out, f->summary);
	buf_puts(out, ")");

	if (e->type == CLITE_EVENT_DROP)
		return;
	put_service(f, out);
	put_rule(f, CLITE_EGRESS, rules.egress, out);
	put_rule(f, CLITE_INGRESS, rules.ingress, out);
}

/* "at policy.h:88", of the datapath. */
static void put_drop(const struct clite_event *e, struct buf *out)
{
	buf_printf(out, " reason=%u", e->drop_reason);
	if (e->source_file && *e->source_file) {
		buf_puts(out, " at ");
		put_clean(out, e->source_file);
		buf_printf(out, ":%u", e->source_line);
	}
}

void flow_comment(const struct clite_flow *f, struct buf *out)
{
	struct event_rules rules = event_rules(f->event);

	put_type(f->event, out);
	buf_printf(out, " %s", verdict_text(f->event));
	if (f->event->type == CLITE_EVENT_DROP)
		put_drop(f->event, out);
	put_service(f, out);
	put_rule(f, CLITE_EGRESS, rules.egress, out);
	put_rule(f, CLITE_INGRESS, rules.ingress, out);
	buf_puts(out, ": ");
	put_side(f, true, out);
	buf_puts(out, " -> ");
	put_side(f, false, out);
}
