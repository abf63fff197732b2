/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/event.h"

#include <time.h>

#include "model/event_parts.h"
#include "model/names.h"

/* A name from outside: what would break the line, or write to the terminal, is
 * shown as '?'. */
static void put_clean(struct buf *out, const char *s)
{
	for (size_t n; *s; s += n) {
		for (n = 0; (unsigned char)s[n] >= ' ' && s[n] != 0x7f; n++)
			;
		buf_put(out, s, n);
		if (s[n]) {
			buf_puts(out, "?");
			n++;
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

static void put_host(struct buf *out, const char *host, uint16_t port)
{
	bool brackets = port && strchr(host, ':');

	buf_puts(out, brackets ? "[" : "");
	put_clean(out, host);
	buf_puts(out, brackets ? "]" : "");
	if (port)
		buf_printf(out, ":%u", port);
}

static void put_identity(struct buf *out, uint32_t identity)
{
	const char *name = reserved_identity_name(identity);

	if (name)
		buf_printf(out, " (%s)", name);
	else
		buf_printf(out, " (ID:%u)", identity);
}

static void put_side(const struct clite_event *e, const struct event_names *names, bool source,
		     struct buf *out)
{
	const char *host = event_endpoint(e, names, source);
	uint16_t port = source ? e->source_port : e->destination_port;
	char addr[PREFIX_STR];

	/* A translated event has a back end here, not the service. */
	if (!host && !e->service_port)
		host = event_service(e, names, source);
	if (!host)
		host = addr_format(source ? e->source : e->destination, e->family == 6 ? 6 : 4,
				   addr);
	put_host(out, host, event_has_ports(e) ? port : 0);
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

static void put_service(const struct clite_event *e, const struct event_names *names,
			struct buf *out)
{
	char addr[PREFIX_STR];
	const char *host;

	if (!e->service_port)
		return;
	host = event_service(e, names, e->is_reply == 1);
	if (!host)
		host = addr_format(e->original, e->family == 6 ? 6 : 4, addr);
	buf_puts(out, " service=");
	put_host(out, host, e->service_port);
}

static void put_rule(const struct event_names *names, uint32_t cookie, struct buf *out)
{
	const struct clite_rule_info *rule;

	if (!cookie)
		return;
	buf_puts(out, " rule=");
	rule = names->rule(names->data, cookie);
	if (!rule) {
		buf_printf(out, "%u", cookie);
		return;
	}
	put_clean(out, rule->policy);
	buf_printf(out, " %s%s[%u]", rule->direction == CLITE_EGRESS ? "egress" : "ingress",
		   rule->action == CLITE_DENY ? "Deny" : "", rule->index);
	if (!rule->filename || !*rule->filename)
		return;
	buf_puts(out, " ");
	put_clean(out, rule->filename);
	if (rule->line)
		buf_printf(out, ":%u", rule->line);
}

void event_text(const struct clite_event *e, const struct event_names *names, struct buf *out)
{
	/* The client stays on the left: replies are turned round. */
	bool turned = e->is_reply == 1;
	struct event_rules rules = event_rules(e);

	put_time(e, out);
	buf_puts(out, ": ");
	put_side(e, names, !turned, out);
	buf_puts(out, turned ? " <- " : e->is_reply == 0 ? " -> " : " <> ");
	put_side(e, names, turned, out);
	buf_puts(out, " ");
	put_type(e, out);
	buf_printf(out, " %s (", verdict_text(e));
	event_summary(e, out);
	buf_puts(out, ")");

	if (e->type == CLITE_EVENT_DROP)
		return;
	put_service(e, names, out);
	put_rule(names, rules.egress, out);
	put_rule(names, rules.ingress, out);
}
