/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures of the instance: a table, JSON, or Prometheus' text. */
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "output.h"

static const char *const headings[] = { "METRIC", "LABELS", "VALUE" };

struct wanted {
	regex_t pattern;
	bool all;
};

struct metrics {
	struct listing l;
	struct wanted wanted;
	struct clite_metric_page *page; /* NULL: a list is wanted */
};

static void metrics_clear(struct metrics *m)
{
	if (!m->wanted.all)
		regfree(&m->wanted.pattern);
	listing_clear(&m->l);
	clite_metric_page_free(m->page);
}

static void set_pattern(const struct cli *cli, struct wanted *w, const char *text)
{
	char why[256];
	int r;

	if (!w->all)
		usage_error(cli, "--match-pattern: once is enough: A|B is either");
	r = regcomp(&w->pattern, text, REG_EXTENDED | REG_NOSUB);
	if (r) {
		regerror(r, &w->pattern, why, sizeof(why));
		usage_error(cli, "--match-pattern: '%s' is no regular expression: %s", text, why);
	}
	w->all = false;
}

static bool matches(const struct wanted *w, const char *name)
{
	return w->all || !regexec(&w->pattern, name, 0, NULL, 0);
}

static char *labels_text(const struct clite_metric *metric)
{
	char *text = xstrdup("");

	for (uint32_t i = 0; i < metric->nlabels; i++) {
		char *longer = xprintf("%s%s%s=\"%s\"", text, i ? " " : "", metric->labels[i].name,
				       metric->labels[i].value);

		free(text);
		text = longer;
	}
	return text;
}

/* Can it be shown without a point? */
static bool is_whole(double value)
{
	return fabs(value) < 9007199254740992.0 && value == floor(value);
}

static json_t *metric_json(const struct clite_metric *metric)
{
	json_t *object = json_new_object(), *labels = json_new_object();

	json_put_text(object, "name", metric->name);
	for (uint32_t i = 0; i < metric->nlabels; i++)
		json_put_text(labels, metric->labels[i].name, metric->labels[i].value);
	json_put(object, "labels", labels);
	json_put_text(object, "type", metric->type == CLITE_METRIC_COUNTER ? "counter" : "gauge");
	json_put(object, "value",
		 is_whole(metric->value) ? json_integer((json_int_t)metric->value) :
					   json_real(metric->value));
	return object;
}

static int collect(const struct clite_metric *metric, void *userdata)
{
	struct metrics *m = userdata;
	_cleanup_free_ char *labels = NULL;

	if (!matches(&m->wanted, metric->name))
		return 0;
	if (m->page)
		return clite_metric_page_add(metric, m->page);
	if (m->l.json) {
		json_add(m->l.json, metric_json(metric));
		return 0;
	}
	labels = labels_text(metric);
	table_cell(&m->l.table, "%s", metric->name);
	table_cell(&m->l.table, "%s", labels);
	table_cell(&m->l.table, is_whole(metric->value) ? "%.0f" : "%.6f", metric->value);
	return 0;
}

static void read_options(struct cli *cli, struct metrics *m)
{
	int key;

	while ((key = cli_option(cli))) {
		if (key == 'p')
			set_pattern(cli, &m->wanted, cli->value);
		else if (!m->page && clite_metric_page_new(&m->page))
			out_of_memory();
	}
	if (m->page && cli->json)
		usage_error(cli, "--prometheus and -o json: which?");
}

static int print_page(struct metrics *m, int r)
{
	const char *text;

	if (r < 0)
		return fail(m->l.cli, r);
	r = clite_metric_page_text(m->page, &text, NULL);
	if (r < 0)
		return fail(m->l.cli, r);
	fputs(text, stdout);
	return CLI_OK;
}

int cmd_metrics_list(struct cli *cli)
{
	_cleanup_(metrics_clear) struct metrics m = { .l.cli = cli, .wanted.all = true };
	int r;

	read_options(cli, &m);
	r = cli_open(cli);
	if (r)
		return r;
	if (!m.page)
		listing_begin(&m.l, cli, headings, ARRAY_SIZE(headings));
	r = clite_metric_list(cli->ctx, collect, &m);
	return m.page ? print_page(&m, r) : listing_end(&m.l, r);
}
