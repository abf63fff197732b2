/* SPDX-License-Identifier: BSD-2-Clause */
/* Events, one line each, until somebody has had enough. */
#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>

#include "cli.h"

/* ---- what to show --------------------------------------------------------- */

/* Endpoint numbers; none: all. */
struct set {
	uint32_t *items;
	size_t n;
};

struct monitor {
	struct cli *cli;
	bool verbose;
	uint32_t types;	      /* bits, 0: all */
	uint32_t aggregation; /* as in clite_subscribe_opts */
	struct strings from_args, to_args, related_args;
	struct set from, to, related;
	uint64_t count; /* still to print; 0: no limit */
	bool limited;
	int write_error;
	char *line; /* grows to the longest event */
	size_t size;
};

static void monitor_clear(struct monitor *m)
{
	strings_clear(&m->from_args);
	strings_clear(&m->to_args);
	strings_clear(&m->related_args);
	free(m->from.items);
	free(m->to.items);
	free(m->related.items);
	free(m->line);
}
#define _cleanup_monitor_ _cleanup_(monitor_clear)

static bool set_has(const struct set *set, uint32_t a, uint32_t b)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->items[i] == a || set->items[i] == b)
			return true;
	}
	return !set->n;
}

static bool wanted(const struct monitor *m, const struct clite_event *e)
{
	return set_has(&m->from, e->source_endpoint, e->source_endpoint) &&
	       set_has(&m->to, e->destination_endpoint, e->destination_endpoint) &&
	       set_has(&m->related, e->source_endpoint, e->destination_endpoint);
}

static const struct {
	const char *name;
	uint32_t type;
} types[] = {
	{ "drop", CLITE_EVENT_DROP },
	{ "trace", CLITE_EVENT_TRACE },
	{ "policy-verdict", CLITE_EVENT_POLICY_VERDICT },
};

static uint32_t one_type(const struct cli *cli, const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strlen(types[i].name) == len && !strncmp(types[i].name, name, len))
			return 1u << types[i].type;
	}
	usage_error(cli, "--type: '%.*s' is none of drop, trace, policy-verdict", (int)len, name);
}

static void add_types(struct monitor *m, const char *value)
{
	for (;;) {
		size_t n = strcspn(value, ",");

		m->types |= one_type(m->cli, value, n);
		if (!value[n])
			return;
		value += n + 1;
	}
}

static uint64_t count_arg(const struct cli *cli)
{
	uint64_t n;

	if (!parse_number(cli->value, UINT64_MAX, &n) || !n)
		usage_error(cli, "--count: '%s' is not a number from 1", cli->value);
	return n;
}

static void read_options(struct cli *cli, struct monitor *m)
{
	int key;

	while ((key = cli_option(cli))) {
		switch (key) {
		case 'v':
			m->verbose = true;
			break;
		case 't':
			add_types(m, cli->value);
			break;
		case 'j':
			cli->json = true;
			break;
		case 'n':
			m->count = count_arg(cli);
			m->limited = true;
			break;
		case OPT_FROM:
			strings_add(&m->from_args, cli->value);
			break;
		case OPT_TO:
			strings_add(&m->to_args, cli->value);
			break;
		case OPT_RELATED:
			strings_add(&m->related_args, cli->value);
			break;
		case OPT_NO_AGGREGATION:
			m->aggregation = CLITE_AGGREGATE_NONE + 1;
			break;
		}
	}
}

static int resolve(struct cli *cli, const struct strings *args, struct set *set)
{
	set->items = xrealloc(NULL, args->n, sizeof(*set->items));
	for (size_t i = 0; i < args->n; i++) {
		int r = endpoint_number(cli, args->items[i], &set->items[i]);

		if (r)
			return r;
		set->n++;
	}
	return CLI_OK;
}

/* ---- one event ------------------------------------------------------------ */

static void print_rule(struct cli *cli, const char *direction, uint32_t cookie)
{
	_cleanup_free_ char *rule = rule_text(cli, cookie, true);

	if (cookie)
		printf("; %s rule: %s", direction, rule);
}

/* What -v adds: where it was dropped, by which rules, how much there was. */
static void print_details(struct cli *cli, const struct clite_event *e)
{
	if (e->source_file && *e->source_file)
		printf("; dropped at %s:%u", e->source_file, e->source_line);
	print_rule(cli, "egress", e->egress_rule);
	print_rule(cli, "ingress", e->ingress_rule);
	printf("; length %u", e->length);
	if (e->packets)
		printf("; flow %llu packets %llu bytes", (unsigned long long)e->packets,
		       (unsigned long long)e->bytes);
}

/* The event as text in m->line. Returns a negative errno if it has none. */
static int format(struct monitor *m, const struct clite_event *e)
{
	for (;;) {
		int n = m->cli->json ? clite_event_json(m->cli->ctx, e, m->line, m->size) :
				       clite_event_text(m->cli->ctx, e, m->line, m->size);

		if (n < 0 || (size_t)n < m->size)
			return n;
		m->size = (size_t)n + 256;
		m->line = xrealloc(m->line, m->size, 1);
	}
}

/* Any end that is not an error of the library itself is -ECANCELED. */
static int on_event(const struct clite_event *e, void *userdata)
{
	struct monitor *m = userdata;
	int r;

	if (!wanted(m, e))
		return 0;
	r = format(m, e);
	if (r < 0)
		return r;
	fputs(m->line, stdout);
	if (m->verbose && !m->cli->json)
		print_details(m->cli, e);
	putchar('\n');
	if (ferror(stdout)) {
		m->write_error = errno;
		return -ECANCELED;
	}
	return m->limited && !--m->count ? -ECANCELED : 0;
}

/* ---- the loop ------------------------------------------------------------- */

static void report_lost(struct cli *cli, struct clite_subscription *sub)
{
	uint64_t lost;

	if (clite_subscription_lost(sub, &lost) < 0 || !lost)
		return;
	complain(cli, "%llu event%s lost: they came faster than they were printed",
		 (unsigned long long)lost, lost == 1 ? "" : "s");
}

static int subscribe_and_run(struct monitor *m)
{
	struct cli *cli = m->cli;
	struct clite_subscription *sub;
	struct clite_subscribe_opts opts = {
		.sz = sizeof(opts),
		.types = m->types,
		.aggregation = m->aggregation,
	};
	int code = CLI_OK;
	int r = clite_subscribe(cli->ctx, &opts, on_event, m, &sub);

	if (r < 0)
		return fail(cli, r);
	fprintf(stderr, "Listening for events of instance '%s', Ctrl-C to quit\n", cli->instance);
	r = follow(cli, 0);
	if (r < 0 && r != -ECANCELED)
		code = fail(cli, r);
	report_lost(cli, sub);
	clite_unsubscribe(sub);
	/* A signal cut a line in two because nobody read: nor will they now. */
	if (m->write_error == EINTR) {
		__fpurge(stdout);
		clearerr(stdout);
	}
	return code;
}

int cmd_monitor(struct cli *cli)
{
	_cleanup_monitor_ struct monitor m = { .cli = cli };
	int r;

	read_options(cli, &m);
	r = cli_open(cli);
	if (!r)
		r = resolve(cli, &m.from_args, &m.from);
	if (!r)
		r = resolve(cli, &m.to_args, &m.to);
	if (!r)
		r = resolve(cli, &m.related_args, &m.related);
	if (!r)
		r = follow_begin(cli);
	if (r)
		return r;
	setvbuf(stdout, NULL, _IOLBF, 0);
	r = subscribe_and_run(&m);
	follow_end();
	return r;
}
