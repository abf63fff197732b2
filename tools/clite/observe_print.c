/* SPDX-License-Identifier: BSD-2-Clause */
/* Flows as "hubble observe" prints them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "observe.h"

/* Rows that are aligned with one another: more would not fit into memory if a server
 * sends without end. */
#define TABLE_ROWS 10000

bool output_find(const char *name, enum output *ret)
{
	static const struct {
		const char *name;
		enum output output;
	} outputs[] = {
		{ "compact", OUTPUT_COMPACT }, { "text", OUTPUT_COMPACT }, { "dict", OUTPUT_DICT },
		{ "json", OUTPUT_JSON },       { "jsonpb", OUTPUT_JSON },  { "tab", OUTPUT_TABLE },
		{ "table", OUTPUT_TABLE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(outputs); i++) {
		if (!strcmp(outputs[i].name, name)) {
			*ret = outputs[i].output;
			return true;
		}
	}
	return false;
}

bool color_find(const char *when, bool *ret)
{
	const char *term = getenv("TERM");

	if (!strcmp(when, "always"))
		*ret = true;
	else if (!strcmp(when, "never"))
		*ret = false;
	else if (!strcmp(when, "auto"))
		*ret = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") &&
		       !(term && !strcmp(term, "dumb"));
	else
		return false;
	return true;
}

/* ---- parts of a flow --------------------------------------------------------------- */

enum color {
	RED = 31,
	GREEN = 32,
	YELLOW = 33,
	MAGENTA = 35,
	CYAN = 36,
};

/* Takes the text. */
static char *colored(const struct printer *p, enum color color, char *text)
{
	char *result;

	if (!p->color || p->output == OUTPUT_TABLE)
		return text;
	result = xprintf("\033[%dm%s\033[0m", color, text);
	free(text);
	return result;
}

static char *joined(const char *const *names)
{
	char *text = xstrdup("");

	for (; *names; names++) {
		char *longer = xprintf("%s%s%s", text, *text ? "," : "", *names);

		free(text);
		text = longer;
	}
	return text;
}

static char *full_name(const char *ns, const char *name)
{
	return xprintf("%s%s%s", ns, *ns ? "/" : "", name);
}

static char *address(const struct clite_event *e, bool source)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (e->family)
		inet_ntop(e->family == 6 ? AF_INET6 : AF_INET, source ? e->source : e->destination,
			  text, sizeof(text));
	return xstrdup(text);
}

/* The pod, the service, the names in DNS, or the address. A translated packet has a
 * back end here, not the service. */
static char *host(const struct printer *p, const struct clite_flow *flow, bool source)
{
	const struct clite_flow_end *end = source ? flow->source : flow->destination;

	if (p->numeric)
		return address(flow->event, source);
	if (*end->pod)
		return full_name(end->ns, end->pod);
	if (*end->service && !flow->event->service_port)
		return full_name(end->service_ns, end->service);
	if (*end->names)
		return joined(end->names);
	return address(flow->event, source);
}

static bool has_ports(const struct clite_event *e)
{
	return e->has_ports && (e->protocol == IPPROTO_TCP || e->protocol == IPPROTO_UDP ||
				e->protocol == IPPROTO_SCTP);
}

/* "default/web:80", "[fd00::1]:80", "10.0.0.1". */
static char *side(const struct printer *p, const struct clite_flow *flow, bool source)
{
	const struct clite_event *e = flow->event;
	uint16_t number = source ? e->source_port : e->destination_port;
	_cleanup_free_ char *name = plain_text(host(p, flow, source));
	_cleanup_free_ char *port = NULL;
	bool brackets = strchr(name, ':');

	if (!has_ports(e) || !number)
		return colored(p, CYAN, xstrdup(name));
	port = colored(p, YELLOW, xprintf("%u", number));
	return colored(p, CYAN,
		       xprintf("%s%s%s:%s", brackets ? "[" : "", name, brackets ? "]" : "", port));
}

static char *identity(const struct printer *p, uint32_t number)
{
	const char *name = reserved_identity_name(number);

	return colored(p, MAGENTA, name ? xprintf("(%s)", name) : xprintf("(ID:%u)", number));
}

static const char *match_text(uint32_t match)
{
	static const char *const names[] = { "none", "L3-Only",	 "L3-L4",     "L4-Only",
					     "all",  "L3-Proto", "Proto-Only" };

	return match < ARRAY_SIZE(names) ? names[match] : "unknown";
}

static const char *direction_name(uint32_t direction)
{
	return direction == CLITE_INGRESS ? "INGRESS" :
	       direction == CLITE_EGRESS  ? "EGRESS" :
					    "TRAFFIC_DIRECTION_UNKNOWN";
}

static char *text_or_number(const char *text, uint32_t number)
{
	return text ? xstrdup(text) : xprintf("%u", number);
}

static char *type_text(const struct clite_flow *flow)
{
	const struct clite_event *e = flow->event;

	switch (e->type) {
	case CLITE_EVENT_DROP:
		return text_or_number(clite_drop_reason_text(e->subtype), e->subtype);
	case CLITE_EVENT_TRACE:
		return text_or_number(clite_trace_point_text(e->subtype), e->subtype);
	case CLITE_EVENT_POLICY_VERDICT:
		return xprintf("policy-verdict:%s %s", match_text(e->subtype),
			       direction_name(e->direction));
	default:
		return xstrdup(flow->kind == CLITE_FLOW_L7 ? "l7" : "UNKNOWN");
	}
}

/* " BY web (CiliumNetworkPolicy), ..."; "" if none is known. */
static char *policy_names(const struct printer *p, const struct clite_flow *flow, uint32_t action)
{
	char *text = xstrdup("");

	for (size_t i = 0; p->policy_names && flow->policies[i]; i++) {
		const struct clite_flow_policy *policy = flow->policies[i];
		char *longer;

		if (policy->direction != flow->event->direction || policy->action != action)
			continue;
		longer = xprintf("%s%s%s%s%s%s", text, *text ? ", " : " BY ", policy->name,
				 *policy->kind ? " (" : "", policy->kind, *policy->kind ? ")" : "");
		free(text);
		text = longer;
	}
	return text;
}

static char *verdict(const struct printer *p, const struct clite_flow *flow)
{
	static const struct {
		const char *of_policy; /* what a policy verdict is called; NULL: the same */
		uint32_t action;
		enum color color;
	} kinds[] = {
		{ NULL, 0, 0 },
		{ "ALLOWED", CLITE_ALLOW, GREEN },
		{ "DENIED", CLITE_DENY, RED },
		{ "DENIED", CLITE_DENY, RED },
		{ "AUDITED", CLITE_DENY, YELLOW },
		{ "ALLOWED", CLITE_ALLOW, GREEN },
		{ NULL, 0, YELLOW },
		{ NULL, 0, YELLOW },
	};
	uint32_t n = flow->event->verdict < ARRAY_SIZE(kinds) ? flow->event->verdict : 0;
	_cleanup_free_ char *by = NULL;
	char *text;

	if (flow->event->type != CLITE_EVENT_POLICY_VERDICT || !kinds[n].of_policy) {
		text = xstrdup(verdict_name(n));
	} else {
		by = policy_names(p, flow, kinds[n].action);
		text = plain_text(xprintf("%s%s", kinds[n].of_policy, by));
	}
	return kinds[n].color ? colored(p, kinds[n].color, text) : text;
}

/* What all forms but JSON show of a flow. */
struct line {
	char *time, *node, *source, *destination, *type, *verdict, *summary;
};

static void line_fill(struct line *line, const struct printer *p, const struct clite_flow *flow)
{
	*line = (struct line){
		.time = flow->event->time ? time_text(p->time_format, flow->event->time) :
					    xstrdup("N/A"),
		.node = plain_text(xstrdup(flow->node)),
		.source = side(p, flow, true),
		.destination = side(p, flow, false),
		.type = type_text(flow),
		.verdict = verdict(p, flow),
		.summary = plain_text(xstrdup(flow->summary)),
	};
}

static void line_clear(struct line *line)
{
	free(line->time);
	free(line->node);
	free(line->source);
	free(line->destination);
	free(line->type);
	free(line->verdict);
	free(line->summary);
}
#define _cleanup_line_ _cleanup_(line_clear)

/* ---- forms ----------------------------------------------------------------------- */

static void print_compact(const struct printer *p, const struct clite_flow *flow,
			  const struct line *line)
{
	const struct clite_event *e = flow->event;
	/* The client stays on the left: replies are turned round. */
	bool turned = e->is_reply == 1;
	_cleanup_free_ char *left =
		identity(p, turned ? e->destination_identity : e->source_identity);
	_cleanup_free_ char *right =
		identity(p, turned ? e->source_identity : e->destination_identity);

	printf("%s", line->time);
	if (p->node_names)
		printf(" [%s]", line->node);
	printf(": %s %s %s %s %s %s %s (%s)\n", turned ? line->destination : line->source, left,
	       turned		? "<-" :
	       e->is_reply == 0 ? "->" :
				  "<>",
	       turned ? line->source : line->destination, right, line->type, line->verdict,
	       line->summary);
}

static void print_dict(const struct printer *p, const struct line *line)
{
	if (p->count)
		puts("------------");
	printf("  TIMESTAMP: %s\n", line->time);
	if (p->node_names)
		printf("       NODE: %s\n", line->node);
	printf("     SOURCE: %s\n"
	       "DESTINATION: %s\n"
	       "       TYPE: %s\n"
	       "    VERDICT: %s\n"
	       "    SUMMARY: %s\n",
	       line->source, line->destination, line->type, line->verdict, line->summary);
}

void print_full_table(struct printer *p)
{
	if (p->table.ncells >= TABLE_ROWS * p->table.ncols)
		print_end(p);
}

void print_table_begin(struct printer *p)
{
	if (!p->table.ncols)
		table_init(&p->table, p->node_names ? 7 : 6);
	if (p->headed || p->cli->no_headers)
		return;
	table_cell(&p->table, "TIMESTAMP");
	if (p->node_names)
		table_cell(&p->table, "NODE");
	table_cell(&p->table, "SOURCE");
	table_cell(&p->table, "DESTINATION");
	table_cell(&p->table, "TYPE");
	table_cell(&p->table, "VERDICT");
	table_cell(&p->table, "SUMMARY");
	p->headed = true;
}

static void table_line(struct printer *p, const struct line *line)
{
	print_table_begin(p);
	table_cell(&p->table, "%s", line->time);
	if (p->node_names)
		table_cell(&p->table, "%s", line->node);
	table_cell(&p->table, "%s", line->source);
	table_cell(&p->table, "%s", line->destination);
	table_cell(&p->table, "%s", line->type);
	table_cell(&p->table, "%s", line->verdict);
	table_cell(&p->table, "%s", line->summary);
	print_full_table(p);
}

static int print_json(struct printer *p, const struct clite_flow *flow)
{
	for (;;) {
		int n = clite_flow_json(flow, p->json, p->size);

		if (n < 0)
			return n;
		if ((size_t)n < p->size)
			break;
		p->size = (size_t)n + 256;
		p->json = xrealloc(p->json, p->size, 1);
	}
	puts(p->json);
	return 0;
}

int print_flow(struct printer *p, const struct clite_flow *flow)
{
	_cleanup_line_ struct line line = { 0 };
	int r = 0;

	if (p->output == OUTPUT_JSON) {
		r = print_json(p, flow);
		p->count++;
		return r;
	}
	line_fill(&line, p, flow);
	if (p->output == OUTPUT_COMPACT)
		print_compact(p, flow, &line);
	else if (p->output == OUTPUT_DICT)
		print_dict(p, &line);
	else
		table_line(p, &line);
	p->count++;
	return 0;
}

void print_end(struct printer *p)
{
	if (p->table.ncols)
		table_print(&p->table);
	table_clear(&p->table);
}

void printer_clear(struct printer *p)
{
	table_clear(&p->table);
	free(p->json);
}
