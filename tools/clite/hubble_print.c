/* SPDX-License-Identifier: BSD-2-Clause */
/* What a server of Hubble's API says, as "hubble" prints it. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "hubble_print.h"

#define SECOND 1000000000ull

static char *plain(const char *text)
{
	return plain_text(xstrdup(text));
}

/* ---- JSON ---------------------------------------------------------------------------- */

static char *answer_text(const struct clite_hubble_answer *answer)
{
	int n = clite_hubble_answer_json(answer, NULL, 0);
	char *text;

	if (n < 0)
		out_of_memory();
	text = xrealloc(NULL, (size_t)n + 1, 1);
	clite_hubble_answer_json(answer, text, (size_t)n + 1);
	return text;
}

int print_answer_json(struct printer *p, const struct clite_hubble_answer *answer)
{
	_cleanup_free_ char *text = answer_text(answer);

	puts(text);
	p->count++;
	return 0;
}

static json_t *answer_json(const struct clite_hubble_answer *answer)
{
	_cleanup_free_ char *text = answer_text(answer);
	json_t *json = json_loads(text, 0, NULL);

	if (!json)
		out_of_memory();
	return json;
}

/* ---- what is missing ---------------------------------------------------------------- */

static void table_lost(struct printer *p, const struct clite_hubble_lost *lost)
{
	print_table_begin(p);
	table_skip(&p->table, p->node_names ? 2 : 1);
	table_cell(&p->table, "%s", lost->source);
	table_skip(&p->table, 1);
	table_cell(&p->table, "EVENTS LOST");
	table_skip(&p->table, 1);
	table_cell(&p->table, "CPU(%u) - %llu", lost->cpu, (unsigned long long)lost->count);
	print_full_table(p);
}

static void dict_lost(const struct printer *p, const struct clite_hubble_lost *lost)
{
	printf("%s  TIMESTAMP: \n%s     SOURCE: %s\n       TYPE: EVENTS LOST\n"
	       "    VERDICT: \n    SUMMARY: CPU(%u) - %llu\n",
	       p->count ? "------------\n" : "", p->node_names ? "       NODE: \n" : "",
	       lost->source, lost->cpu, (unsigned long long)lost->count);
}

void print_lost(struct printer *p, const struct clite_hubble_lost *lost)
{
	if (p->output == OUTPUT_TABLE)
		table_lost(p, lost);
	else if (p->output == OUTPUT_DICT)
		dict_lost(p, lost);
	else
		printf("EVENTS LOST: %s CPU(%u) %llu\n", lost->source, lost->cpu,
		       (unsigned long long)lost->count);
	p->count++;
}

/* ---- events ---------------------------------------------------------------------------- */

struct event_line {
	char *time, *node, *details, *source, *mark, *cpu;
	const char *type;
};

static void line_fill(struct event_line *line, const struct printer *p,
		      const struct clite_hubble_answer *answer)
{
	const struct clite_hubble_event *e = answer->event;

	*line = (struct event_line){
		.time = answer->time ? time_text(p->time_format, answer->time) : xstrdup("N/A"),
		.node = plain(answer->node),
		.details = plain(e->details),
		.source = plain(e->source),
		.mark = e->has_hash ? xprintf("0x%x", e->hash) : xstrdup("N/A"),
		.cpu = e->has_cpu ? xprintf("%02u", e->cpu) : xstrdup("N/A"),
		.type = e->type,
	};
}

static void line_clear(struct event_line *line)
{
	free(line->time);
	free(line->node);
	free(line->details);
	free(line->source);
	free(line->mark);
	free(line->cpu);
}

static void compact_event(const struct printer *p, const struct event_line *line, bool debug)
{
	printf("%s", line->time);
	if (p->node_names)
		printf(" [%s]", line->node);
	if (debug)
		printf(": %s %s MARK: %s CPU: %s (%s)\n", line->source, line->type, line->mark,
		       line->cpu, line->details);
	else
		printf(": %s (%s)\n", line->type, line->details);
}

static void dict_event(const struct printer *p, const struct event_line *line, bool debug)
{
	if (p->count)
		puts("------------");
	printf("  TIMESTAMP: %s\n", line->time);
	if (p->node_names)
		printf("       NODE: %s\n", line->node);
	printf("       TYPE: %s\n", line->type);
	if (debug)
		printf("       FROM: %s\n       MARK: %s\n        CPU: %s\n    MESSAGE: %s\n",
		       line->source, line->mark, line->cpu, line->details);
	else
		printf("    DETAILS: %s\n", line->details);
}

static void event_headings(struct printer *p, bool debug)
{
	table_init(&p->table, (debug ? 5 : 3) + (p->node_names ? 1 : 0));
	if (p->headed || p->cli->no_headers)
		return;
	table_cell(&p->table, "TIMESTAMP");
	if (p->node_names)
		table_cell(&p->table, "NODE");
	if (debug)
		table_cell(&p->table, "FROM");
	table_cell(&p->table, "TYPE");
	if (debug)
		table_cell(&p->table, "CPU/MARK");
	table_cell(&p->table, debug ? "MESSAGE" : "DETAILS");
	p->headed = true;
}

static void table_event(struct printer *p, const struct event_line *line, bool debug)
{
	if (!p->table.ncols)
		event_headings(p, debug);
	table_cell(&p->table, "%s", line->time);
	if (p->node_names)
		table_cell(&p->table, "%s", line->node);
	if (debug)
		table_cell(&p->table, "%s", line->source);
	table_cell(&p->table, "%s", line->type);
	if (debug)
		table_cell(&p->table, "%s %s", line->cpu, line->mark);
	table_cell(&p->table, "%s", line->details);
	print_full_table(p);
}

int print_event(struct printer *p, const struct clite_hubble_answer *answer)
{
	bool debug = answer->type == CLITE_HUBBLE_ANSWER_DEBUG_EVENT;
	struct event_line line;

	if (p->output == OUTPUT_JSON)
		return print_answer_json(p, answer);
	line_fill(&line, p, answer);
	if (p->output == OUTPUT_COMPACT)
		compact_event(p, &line, debug);
	else if (p->output == OUTPUT_DICT)
		dict_event(p, &line, debug);
	else
		table_event(p, &line, debug);
	line_clear(&line);
	p->count++;
	return 0;
}

/* ---- nodes of a relay ------------------------------------------------------------------- */

static char *joined(const char *const *names, const char *between)
{
	char *text = xstrdup("");

	for (; *names; names++) {
		char *longer = xprintf("%s%s%s", text, *text ? between : "", *names);

		free(text);
		text = longer;
	}
	return text;
}

static size_t length(const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

void print_node_state(const struct observe *o, const struct clite_hubble_answer *answer)
{
	const struct clite_hubble_node_state *s = answer->node_state;
	bool bad = s->state == CLITE_HUBBLE_NODE_UNAVAILABLE || s->state == CLITE_HUBBLE_NODE_ERROR;
	_cleanup_free_ char *names = joined(s->nodes, ", ");
	_cleanup_free_ char *shown = plain(names);
	_cleanup_free_ char *message = plain(s->message);
	size_t n = length(s->nodes);

	if (o->silent || (!bad && !o->debug))
		return;
	switch (s->state) {
	case CLITE_HUBBLE_NODE_CONNECTED:
		complain(o->cli, "receiving flows from %zu nodes: %s", n, shown);
		break;
	case CLITE_HUBBLE_NODE_UNAVAILABLE:
		complain(o->cli, "%zu nodes are unavailable: %s", n, shown);
		break;
	case CLITE_HUBBLE_NODE_GONE:
		complain(o->cli, "%zu nodes left the cluster: %s", n, shown);
		break;
	default:
		complain(o->cli, "error '%s' on %zu nodes: %s", message, n, shown);
	}
}

/* ---- numbers as Hubble prints them -------------------------------------------------------- */

/* "4,095" */
static char *grouped(uint64_t n)
{
	_cleanup_free_ char *digits = xprintf("%llu", (unsigned long long)n);
	size_t len = strlen(digits);
	char *text = xrealloc(NULL, len + len / 3 + 1, 1), *at = text;

	for (size_t i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*at++ = ',';
		*at++ = digits[i];
	}
	*at = '\0';
	return text;
}

/* "2h46m40s", "1.5s"; below a second as Go has it. */
static char *duration(uint64_t ns)
{
	uint64_t s = ns / SECOND, h = s / 3600, m = s / 60 % 60;
	double seconds = (double)(s % 60) + (double)(ns % SECOND) / SECOND;

	if (ns && ns < 1000)
		return xprintf("%lluns", (unsigned long long)ns);
	if (ns && ns < 1000000)
		return xprintf("%.6gµs", (double)ns / 1e3);
	if (ns && ns < SECOND)
		return xprintf("%.9gms", (double)ns / 1e6);
	if (h)
		return xprintf("%lluh%llum%.11gs", (unsigned long long)h, (unsigned long long)m,
			       seconds);
	return m ? xprintf("%llum%.11gs", (unsigned long long)m, seconds) :
		   xprintf("%.11gs", seconds);
}

static char *rate_text(double rate)
{
	return rate > 0 && isfinite(rate) ? xprintf("%.2f", rate) : xstrdup("N/A");
}

/* ---- status -------------------------------------------------------------------------------- */

int show_health(const struct shown *s, const char *output, const char *address)
{
	static const char *const states[] = { "UNKNOWN", "SERVING", "NOT_SERVING",
					      "SERVICE_UNKNOWN" };
	const char *state = states[s->health < ARRAY_SIZE(states) ? s->health : 0];
	bool well = s->health == 1;

	if (!strcmp(output, "compact"))
		printf("Healthcheck (via %s): %s%s\n", address,
		       well ? "Ok" : "Unavailable: ", well ? "" : state);
	if (well)
		return CLI_OK;
	complain(s->cli, "the server is not healthy: %s", state);
	return CLI_FAILED;
}

static void compact_nodes(const struct clite_hubble_server_status *st)
{
	size_t named = length(st->unavailable);

	if (st->has_nodes) {
		printf("Connected Nodes: %u", st->nodes_connected);
		if (st->has_unavailable)
			printf("/%llu",
			       (unsigned long long)st->nodes_connected + st->nodes_unavailable);
		putchar('\n');
	}
	if (!st->has_unavailable || !st->nodes_unavailable)
		return;
	printf("Unavailable Nodes: %u\n", st->nodes_unavailable);
	for (size_t i = 0; i < named; i++) {
		_cleanup_free_ char *name = plain(st->unavailable[i]);

		printf("  - %s\n", name);
	}
	if (named && st->nodes_unavailable > named)
		printf("  - and %zu more...\n", st->nodes_unavailable - named);
}

static void compact_status(const struct clite_hubble_server_status *st)
{
	_cleanup_free_ char *flows = grouped(st->flows);
	_cleanup_free_ char *max = grouped(st->flows_max);
	double uptime = (double)st->uptime / SECOND;
	_cleanup_free_ char *rate =
		rate_text(st->rate > 0 || uptime <= 0 ? st->rate : (double)st->seen / uptime);

	printf("Current/Max Flows: %s/%s", flows, max);
	if (st->flows_max)
		printf(" (%.2f%%)", (double)st->flows / (double)st->flows_max * 100);
	/* a server that saw none has a rate, too */
	printf("\nFlows/s: %s\n", uptime > 0 && !st->seen ? "0.00" : rate);
	compact_nodes(st);
}

static void long_status(struct shown *s, bool table, const struct clite_hubble_server_status *st)
{
	static const char *const headings[] = { "NUM FLOWS",
						"MAX FLOWS",
						"SEEN FLOWS",
						"FLOWS PER SECOND",
						"UPTIME",
						"NUM CONNECTED NODES",
						"NUM UNAVAILABLE NODES",
						"VERSION" };
	static const char *const keys[] = {
		"NUM FLOWS", "MAX FLOWS",	    "SEEN FLOWS",	  "FLOWS PER SECOND",
		"UPTIME",    "NUM CONNECTED NODES", "NUM UNAVAIL. NODES", "VERSION"
	};
	char *values[] = {
		grouped(st->flows),
		grouped(st->flows_max),
		grouped(st->seen),
		rate_text(st->rate),
		duration(st->uptime),
		st->has_nodes ? xprintf("%u", st->nodes_connected) : xstrdup("N/A"),
		st->has_unavailable ? xprintf("%u", st->nodes_unavailable) : xstrdup("N/A"),
		plain(st->version),
	};

	if (table) {
		table_init(&s->table, ARRAY_SIZE(values));
		table_headings(s->cli, &s->table, headings);
	}
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		if (table)
			table_cell(&s->table, "%s", values[i]);
		else
			printf("%19s: %s\n", keys[i], values[i]);
		free(values[i]);
	}
	if (table)
		table_print(&s->table);
}

void show_status(struct shown *s, const char *output, const struct clite_hubble_answer *answer)
{
	_cleanup_free_ char *json = NULL;

	if (!strcmp(output, "compact")) {
		compact_status(answer->status);
	} else if (!strncmp(output, "json", 4)) {
		json = answer_text(answer);
		puts(json);
	} else {
		long_status(s, !strncmp(output, "tab", 3), answer->status);
	}
}

/* ---- lists ---------------------------------------------------------------------------------- */

void show_begin(struct shown *s, const char *output, const char *const *headings, size_t ncols)
{
	s->headings = headings;
	if (!strcmp(output, "json"))
		s->json = json_new_array();
	else
		table_init(&s->table, ncols);
}

static const char *node_state(uint32_t state)
{
	static const char *const names[] = { "Unknown", "Connected", "Unavailable", "Gone",
					     "Error" };

	return names[state < ARRAY_SIZE(names) ? state : 0];
}

static void node_figures(struct table *t, const struct clite_hubble_node *n)
{
	uint64_t seconds = (n->uptime + SECOND / 2) / SECOND;
	_cleanup_free_ char *age = duration(seconds * SECOND);

	if (seconds && n->uptime < UINT64_MAX - SECOND) {
		table_cell(t, "%s", age);
		table_cell(t, "%.2f", (double)n->seen / (double)seconds);
	} else {
		table_cell(t, "N/A");
		table_cell(t, "N/A");
	}
	if (n->flows_max)
		table_cell(t, "%llu/%llu (%6.2f%%)", (unsigned long long)n->flows,
			   (unsigned long long)n->flows_max,
			   (double)n->flows / (double)n->flows_max * 100);
	else
		table_cell(t, "N/A");
}

void show_node(struct shown *s, const struct clite_hubble_answer *answer)
{
	static const char *const tls[] = { "Disabled", "Enabled", "N/A" };
	const struct clite_hubble_node *n = answer->node_info;

	if (s->json) {
		json_add(s->json, answer_json(answer));
		return;
	}
	table_cell(&s->table, "%s", n->name);
	table_cell(&s->table, "%s", node_state(n->state));
	node_figures(&s->table, n);
	if (s->table.ncols == 5)
		return;
	table_cell(&s->table, "%s", *n->version ? n->version : "N/A");
	table_cell(&s->table, "%s", n->address);
	table_cell(&s->table, "%s", tls[n->tls]);
}

void show_namespace(struct shown *s, const struct clite_hubble_answer *answer)
{
	if (s->json) {
		json_add(s->json, answer_json(answer));
		return;
	}
	table_cell(&s->table, "%s", answer->ns->name);
	if (s->table.ncols == 2)
		table_cell(&s->table, "%s", answer->ns->cluster);
}

/* By the first column, as the server may have them in any order. */
static int by_name(const void *a, const void *b)
{
	return strcmp(**(char **const *)a, **(char **const *)b);
}

static void print_sorted(const struct shown *s)
{
	const struct table *t = &s->table;
	size_t n = t->ncells / t->ncols;
	_cleanup_free_ char ***rows = xrealloc(NULL, n, sizeof(*rows));
	_cleanup_table_ struct table sorted;

	for (size_t i = 0; i < n; i++)
		rows[i] = &t->cells[i * t->ncols];
	qsort(rows, n, sizeof(*rows), by_name);
	table_init(&sorted, t->ncols);
	table_headings(s->cli, &sorted, s->headings);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < t->ncols; k++)
			table_cell(&sorted, "%s", rows[i][k]);
	}
	table_print(&sorted);
}

void show_end(struct shown *s)
{
	if (s->json) {
		json_print(s->json);
		s->json = NULL;
	} else {
		print_sorted(s);
	}
}

/* ---- peers ---------------------------------------------------------------------------------- */

void show_peer(struct shown *s, const char *output, const struct clite_hubble_answer *answer)
{
	const struct clite_hubble_peer *peer = answer->peer;
	_cleanup_free_ char *text = NULL, *shown = NULL;

	(void)s;
	if (!strcmp(output, "json")) {
		text = answer_text(answer);
		puts(text);
		return;
	}
	text = xprintf("%-12s %s %s%s%s%s", peer->change, peer->address, peer->name,
		       peer->tls ? " (TLS.ServerName: " : "", peer->tls_name, peer->tls ? ")" : "");
	shown = plain(text);
	puts(shown);
}

void shown_clear(struct shown *s)
{
	table_clear(&s->table);
	json_decref(s->json);
}
