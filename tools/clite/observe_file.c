/* SPDX-License-Identifier: BSD-2-Clause */
/* "clite observe --input-file": flows that were saved. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <cilium-lite/flow_file.h>

#include "observe_run.h"

/* Flows that are kept for --last until the end of the file is seen. */
#define LAST_MAX 1000000

/* The last flows so far, as JSON: a ring. */
struct kept {
	char **texts;
	size_t cap, n, next;
};

static void kept_clear(struct kept *kept)
{
	for (size_t i = 0; i < kept->n; i++)
		free(kept->texts[i]);
	free(kept->texts);
}
#define _cleanup_kept_ _cleanup_(kept_clear)

static int keep(struct kept *kept, const struct clite_flow *flow)
{
	int n = clite_flow_json(flow, NULL, 0);
	char *text;

	if (n < 0)
		return n;
	text = xrealloc(NULL, (size_t)n + 1, 1);
	clite_flow_json(flow, text, (size_t)n + 1);
	if (kept->n < kept->cap) {
		kept->texts = xrealloc(kept->texts, kept->n + 1, sizeof(*kept->texts));
		kept->n++;
	} else {
		free(kept->texts[kept->next]);
	}
	kept->texts[kept->next] = text;
	kept->next = (kept->next + 1) % kept->cap;
	return 0;
}

static int print_kept(struct observe *o, struct clite_flow_reader *reader, const struct kept *kept)
{
	size_t first = kept->n < kept->cap ? 0 : kept->next;

	for (size_t i = 0; i < kept->n; i++) {
		const char *text = kept->texts[(first + i) % kept->n];
		const struct clite_flow *flow;
		int r = clite_flow_reader_line(reader, text, strlen(text), &flow);

		if (r > 0)
			r = observe_flow(o, flow);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool in_time(const struct observe *o, const struct clite_flow *flow)
{
	return flow->event->time >= o->since && (!o->until || flow->event->time <= o->until);
}

static int take(struct observe *o, struct kept *kept, const struct clite_flow *flow)
{
	int r;

	if (!in_time(o, flow))
		return 0;
	r = clite_filters_match(o->filters, flow);
	if (r <= 0)
		return r;
	return o->last ? keep(kept, flow) : observe_flow(o, flow);
}

/* Every flow. A line that is none is told, and the rest is read. */
static int read_all(struct observe *o, struct clite_flow_reader *reader, struct kept *kept)
{
	const struct clite_flow *flow;
	int r;

	while (!follow_stopped() && (r = clite_flow_reader_next(reader, &flow)) != 0) {
		if (r == -CLITE_EDOCUMENT || r == -E2BIG) {
			complain(o->cli, "%s", clite_flow_reader_error(reader));
			continue;
		}
		if (r == -EINTR)
			continue;
		r = r < 0 ? r : take(o, kept, flow);
		if (r < 0)
			return r;
	}
	return o->last ? print_kept(o, reader, kept) : 0;
}

static int open_input(struct observe *o, struct clite_flow_reader *reader)
{
	if (!strcmp(o->input, "-"))
		return clite_flow_reader_fd(reader, STDIN_FILENO, "<stdin>");
	return clite_flow_reader_open(reader, o->input);
}

static int run(struct observe *o, struct clite_flow_reader *reader)
{
	struct clite_flow_reader_counts counts = { .sz = sizeof(counts) };
	_cleanup_kept_ struct kept kept = { .cap = o->last };
	int r = open_input(o, reader);

	if (!r)
		r = read_all(o, reader, &kept);
	if (r < 0 && r != -ECANCELED)
		return fail_text(o->cli, r, clite_flow_reader_error(reader));
	clite_flow_reader_counts(reader, &counts);
	return counts.wrong ? CLI_FAILED : CLI_OK;
}

int observe_file(struct observe *o)
{
	struct clite_flow_reader *reader;
	int r;

	if (o->follow)
		usage_error(o->cli, "--follow: a file has an end");
	if (o->last > LAST_MAX)
		usage_error(o->cli, "--last: at most %u of a file", LAST_MAX);
	r = clite_flow_reader_new(&reader);
	if (r < 0)
		return fail(o->cli, r);
	r = run(o, reader);
	clite_flow_reader_free(reader);
	return r;
}
