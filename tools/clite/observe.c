/* SPDX-License-Identifier: BSD-2-Clause */
/* Flows, from an instance, a file, or a server of Hubble's API. */
#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <time.h>

#include "observe_run.h"

/* ---- options ---------------------------------------------------------------------- */

static uint64_t count_arg(const struct cli *cli, const char *name)
{
	uint64_t n;

	if (!parse_number(cli->value, UINT64_MAX, &n) || !n)
		usage_error(cli, "--%s: '%s' is not a number from 1", name, cli->value);
	return n;
}

static uint64_t time_arg(const struct cli *cli, const char *name)
{
	uint64_t t;

	if (!time_parse(cli->value, &t))
		usage_error(cli,
			    "--%s: '%s' is not a time: 3s or 1h30m (ago), 2024-05-04, "
			    "2024-05-04T10:00:00Z",
			    name, cli->value);
	return t;
}

static void print_option(struct observe *o, int key)
{
	struct printer *p = &o->printer;
	const char *value = o->cli->value;

	switch (key) {
	case 'o':
		if (!output_find(value, &p->output))
			usage_error(o->cli, "--output: '%s' is none of compact, dict, json, table",
				    value);
		break;
	case OBS_PRINT_NODE_NAME:
		p->node_names = true;
		break;
	case OBS_PRINT_POLICY_NAMES:
		p->policy_names = true;
		break;
	case OBS_TIME_FORMAT:
		if (!time_format_find(value, &p->time_format))
			usage_error(o->cli,
				    "--time-format: '%s' is none of StampMilli, YearMonthDay, "
				    "YearMonthDayHour, YearMonthDayHourMinute, RFC3339, "
				    "RFC3339Milli, RFC3339Micro, RFC3339Nano, RFC1123Z",
				    value);
		break;
	case OBS_NUMERIC:
		p->numeric = true;
		break;
	case OBS_IP_TRANSLATION:
		if (value && strcmp(value, "true") && strcmp(value, "false"))
			usage_error(o->cli, "--ip-translation: '%s' is neither true nor false",
				    value);
		p->numeric = value && !strcmp(value, "false");
		break;
	case OBS_COLOR:
		if (!color_find(value, &p->color))
			usage_error(o->cli, "--color: '%s' is none of auto, always, never", value);
		break;
	}
}

static void select_option(struct observe *o, int key)
{
	switch (key) {
	case OBS_ALL:
		o->all = true;
		break;
	case OBS_FIRST:
		o->first = count_arg(o->cli, "first");
		break;
	case OBS_LAST:
		o->last = count_arg(o->cli, "last");
		break;
	case 'f':
		o->follow = true;
		break;
	case OBS_SINCE:
		o->since = time_arg(o->cli, "since");
		break;
	case OBS_UNTIL:
		o->until = time_arg(o->cli, "until");
		break;
	case OBS_INPUT_FILE:
		o->input = o->cli->value;
		break;
	case OBS_NO_AGGREGATION:
		o->aggregation = CLITE_AGGREGATE_NONE + 1;
		break;
	case OBS_FIELD_MASK:
		strings_split(&o->mask, o->cli->value);
		break;
	case OBS_PRINT_RAW_FILTERS:
		o->print_filters = true;
		break;
	case 's':
		o->silent = true;
		break;
	case 'D':
		o->debug = true;
		break;
	}
}

/* The argument: what to observe. */
static void read_what(struct observe *o)
{
	const char *what = o->cli->nargs ? o->cli->args[0] : "flows";

	if (!strcmp(what, "flows"))
		o->what = OBSERVE_FLOWS;
	else if (!strcmp(what, "agent-events"))
		o->what = OBSERVE_AGENT_EVENTS;
	else if (!strcmp(what, "debug-events"))
		o->what = OBSERVE_DEBUG_EVENTS;
	else
		usage_error(o->cli, "'%s' is none of flows, agent-events, debug-events", what);
}

/* Events of agents come from servers, and have no filters. */
static void check_events(const struct observe *o)
{
	const char *what = o->cli->nargs ? o->cli->args[0] : "";

	if (o->what == OBSERVE_FLOWS)
		return;
	if (o->input || !server_address(&o->server))
		usage_error(o->cli, "%s: only a server has them: give --server", what);
	if (json_array_size(o->allow_json) || json_array_size(o->deny_json))
		usage_error(o->cli, "%s: there are no filters for them", what);
}

static void check_options(const struct observe *o)
{
	const struct cli *cli = o->cli;

	if (o->first && (o->last || o->all || o->follow))
		usage_error(cli, "--first and --%s cannot be combined",
			    o->last ? "last" :
			    o->all  ? "all" :
				      "follow");
	if (o->last && o->all)
		usage_error(cli, "--last and --all cannot be combined");
	if (o->mask.n &&
	    (o->printer.output != OUTPUT_JSON || o->input || !server_address(&o->server)))
		usage_error(cli, "--field-mask is for JSON of a server: give -o json and --server");
	if (o->printer.output == OUTPUT_TABLE && o->follow)
		usage_error(cli, "a table has an end; --follow has none");
}

static void read_options(struct observe *o)
{
	int key;

	color_find("auto", &o->printer.color);
	o->printer.output = o->cli->json ? OUTPUT_JSON : OUTPUT_COMPACT;
	while ((key = cli_option(o->cli))) {
		if (filter_option(&o->options, key, o->cli->value) ||
		    server_option(o->cli, &o->server, key, o->cli->value))
			continue;
		print_option(o, key);
		select_option(o, key);
	}
	read_what(o);
	check_options(o);
}

/* ---- filters ------------------------------------------------------------------------ */

static void read_list(struct observe *o, struct flow_filters *filters, const json_t *list,
		      const char *name)
{
	char *error = flow_filters_read(filters, list);

	if (error)
		usage_error(o->cli, "--%s: %s", name, error);
}

static void read_filters(struct observe *o)
{
	filter_options_end(&o->options, &o->allow_json, &o->deny_json);
	read_list(o, &o->allow, o->allow_json, "allowlist");
	read_list(o, &o->deny, o->deny_json, "denylist");
}

/* As YAML that the configuration of "hubble observe" takes. */
static void print_filters(const char *name, const json_t *list)
{
	if (!json_array_size(list))
		return;
	printf("%s:\n", name);
	for (size_t i = 0; i < json_array_size(list); i++) {
		char *text =
			json_dumps(json_array_get(list, i), JSON_COMPACT | JSON_PRESERVE_ORDER);

		if (!text)
			out_of_memory();
		printf("    - '");
		for (const char *c = text; *c; c++)
			printf(*c == '\'' ? "''" : "%c", *c);
		printf("'\n");
		free(text);
	}
}

static int add_filters(struct observe *o, uint32_t list, const struct flow_filters *filters)
{
	for (size_t i = 0; i < filters->n; i++) {
		int r = clite_filters_add(o->filters, list, &filters->items[i]);

		if (r == -EINVAL)
			usage_error(o->cli, "%s", clite_filters_error(o->filters));
		if (r < 0)
			return fail_text(o->cli, r, clite_filters_error(o->filters));
	}
	return CLI_OK;
}

/* For flows that no server filters. */
static int make_filters(struct observe *o)
{
	int r = clite_filters_new(&o->filters);

	if (r < 0)
		return fail(o->cli, r);
	r = add_filters(o, CLITE_FILTER_ALLOW, &o->allow);
	return r ? r : add_filters(o, CLITE_FILTER_DENY, &o->deny);
}

/* ---- a flow ------------------------------------------------------------------------- */

int observe_printed(struct observe *o, int r)
{
	if (r < 0)
		return r;
	if (ferror(stdout)) {
		o->write_error = errno;
		return -ECANCELED;
	}
	return o->first && o->printer.count >= o->first ? -ECANCELED : 0;
}

int observe_flow(struct observe *o, const struct clite_flow *flow)
{
	return observe_printed(o, print_flow(&o->printer, flow));
}

/* A signal cut a line in two because nobody read: nor will they now. */
static void end_output(struct observe *o)
{
	print_end(&o->printer);
	if (o->write_error == EINTR) {
		__fpurge(stdout);
		clearerr(stdout);
	}
}

/* ---- from an instance --------------------------------------------------------------- */

static int on_event(const struct clite_event *e, void *userdata)
{
	struct observe *o = userdata;
	const struct clite_flow *flow;
	int r;

	if (o->until && e->time > o->until)
		return -ECANCELED;
	r = clite_flow_resolve(o->cli->ctx, e, &flow);
	if (r < 0)
		return r;
	return observe_flow(o, flow);
}

static void report_lost(struct observe *o, struct clite_subscription *sub)
{
	uint64_t lost;

	if (o->silent || clite_subscription_lost(sub, &lost) < 0 || !lost)
		return;
	complain(o->cli, "%llu event%s lost: they came faster than they were printed",
		 (unsigned long long)lost, lost == 1 ? "" : "s");
}

/* Rings have no past: what asks for one is told who has. */
static void check_instance(const struct observe *o, uint64_t now)
{
	const char *wanted = o->last ? "last" : o->all ? "all" : o->since ? "since" : NULL;

	if (wanted)
		usage_error(o->cli,
			    "--%s: an instance keeps no flows, it only tells new ones; --server "
			    "asks a server that does, --input-file reads saved ones",
			    wanted);
	if (o->until && o->until <= now)
		usage_error(o->cli, "--until: that time is over, and an instance only tells new "
				    "flows; -10s is in ten seconds");
	if (o->printer.output == OUTPUT_TABLE && !o->first && !o->until)
		usage_error(o->cli, "a table has an end: give --first or --until");
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Seconds to wait at most, rounded up; 0: no limit. */
static uint32_t seconds_left(const struct observe *o, uint64_t now)
{
	uint64_t left = o->until ? (o->until - now + 999999999) / 1000000000 : 0;

	return left > UINT32_MAX / 1000 ? UINT32_MAX / 1000 : (uint32_t)left;
}

static int observe_instance(struct observe *o)
{
	struct cli *cli = o->cli;
	struct clite_subscription *sub;
	struct clite_subscribe_opts opts = {
		.sz = sizeof(opts),
		.aggregation = o->aggregation,
		.filters = o->filters,
	};
	uint64_t now = now_ns();
	int code = CLI_OK, r;

	check_instance(o, now);
	code = cli_open(cli);
	if (code)
		return code;
	r = clite_subscribe(cli->ctx, &opts, on_event, o, &sub);
	if (r < 0)
		return fail(cli, r);
	fprintf(stderr, "Listening for flows of instance '%s', Ctrl-C to quit\n", cli->instance);
	r = follow(cli, seconds_left(o, now));
	if (r < 0 && r != -ECANCELED)
		code = fail(cli, r);
	report_lost(o, sub);
	clite_unsubscribe(sub);
	return code;
}

/* ---- the command -------------------------------------------------------------------- */

static int observe_source(struct observe *o)
{
	if (o->input)
		return observe_file(o);
	if (server_address(&o->server))
		return observe_server(o);
	return observe_instance(o);
}

/* Then lines need not come out one by one. */
static bool has_end(const struct observe *o)
{
	return o->input || (server_address(&o->server) && !o->follow);
}

static int run(struct observe *o)
{
	bool server = !o->input && server_address(&o->server);
	int r = server ? CLI_OK : make_filters(o);

	if (!r)
		r = follow_begin(o->cli);
	if (r)
		return r;
	setvbuf(stdout, NULL, has_end(o) ? _IOFBF : _IOLBF, 0);
	r = observe_source(o);
	end_output(o);
	follow_end();
	return r;
}

static void observe_clear(struct observe *o)
{
	filter_options_clear(&o->options);
	json_decref(o->allow_json);
	json_decref(o->deny_json);
	flow_filters_clear(&o->allow);
	flow_filters_clear(&o->deny);
	clite_filters_unref(o->filters);
	strings_clear(&o->mask);
	server_clear(&o->server);
	printer_clear(&o->printer);
}

int cmd_observe(struct cli *cli)
{
	struct observe o = {
		.cli = cli,
		.options = { .cli = cli },
		.printer = { .cli = cli },
	};
	int r = CLI_OK;

	read_options(&o);
	read_filters(&o);
	check_events(&o);
	if (o.print_filters) {
		print_filters("allowlist", o.allow_json);
		print_filters("denylist", o.deny_json);
	} else {
		r = run(&o);
	}
	observe_clear(&o);
	return r;
}
