/* SPDX-License-Identifier: BSD-2-Clause */
/* What a change of policies would do to the flows that are there. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "policy.h"

struct rehearse {
	struct cli *cli;
	struct strings deletes;
	const char *flows; /* a file of saved flows; NULL: those that come */
	uint32_t seconds;
	bool commit;
	int policies;			       /* that the candidate brings or deletes */
	struct clite_flow_reader_counts lines; /* of the file */
	const struct clite_flow *flow;	       /* of it, that is judged */
};

/* ---- a flow that would change ---------------------------------------------------- */

static char *side_text(uint32_t reason, const struct clite_rule_info *rule)
{
	_cleanup_free_ char *place = NULL;

	if (!rule)
		return xstrdup(reason ? "no rule allows it" : "nothing forbids it");
	if (*rule->filename)
		place = xprintf(" %s:%u", rule->filename, rule->line);
	return xprintf("%s %s[%u]%s", rule->action == CLITE_DENY ? "deny" : "allow", rule->policy,
		       rule->index, place ? place : "");
}

static const char *verdict_text(uint32_t verdict)
{
	return verdict == CLITE_VERDICT_DROPPED ? "DROPPED" :
	       verdict == CLITE_VERDICT_AUDIT	? "AUDIT" :
						  "FORWARDED";
}

static json_t *side_json(uint32_t verdict, uint32_t reason, uint32_t direction,
			 const struct clite_rule_info *rule)
{
	json_t *side = json_new_object();

	json_put_text(side, "verdict", verdict_text(verdict));
	json_put_number(side, "drop_reason", reason);
	if (direction)
		json_put_text(side, "direction", direction == CLITE_INGRESS ? "INGRESS" : "EGRESS");
	if (rule) {
		json_put_text(side, "policy", rule->policy);
		json_put_text(side, "file", rule->filename);
		json_put_number(side, "line", rule->line);
		json_put_text(side, "action", rule->action == CLITE_DENY ? "deny" : "allow");
		json_put_number(side, "index", rule->index);
	}
	return side;
}

/* The event as the library writes it; a saved flow with the names it has, since the
 * numbers of its endpoints may be others' here. NULL: it cannot. */
static char *event_line(struct rehearse *h, const struct clite_event *e)
{
	struct clite_ctx *ctx = h->cli->ctx;
	char *line = NULL;
	size_t size = 1024;

	for (;;) {
		int n;

		line = xrealloc(line, size, 1);
		if (h->flow)
			n = h->cli->json ? clite_flow_json(h->flow, line, size) :
					   clite_flow_text(h->flow, line, size);
		else
			n = h->cli->json ? clite_event_json(ctx, e, line, size) :
					   clite_event_text(ctx, e, line, size);
		if (n >= 0 && (size_t)n < size)
			return line;
		if (n < 0) {
			free(line);
			return NULL;
		}
		size = (size_t)n + 1;
	}
}

static int on_flow(const struct clite_rehearsal_flow *f, void *userdata)
{
	struct rehearse *h = userdata;
	struct cli *cli = h->cli;
	_cleanup_free_ char *line = event_line(h, f->event);

	if (cli->json) {
		json_t *object = json_new_object(), *event = json_loads(line ? line : "", 0, NULL);

		json_put(object, "flow",
			 event ? json_incref(json_object_get(event, "flow")) : json_new_object());
		json_decref(event);
		json_put(object, "live", side_json(f->live_verdict, f->live_reason,
						   f->live_direction, f->live_rule));
		json_put(object, "candidate",
			 side_json(f->candidate_verdict, f->candidate_reason,
				   f->candidate_direction, f->candidate_rule));
		json_print_line(object);
	} else {
		_cleanup_free_ char *live = side_text(f->live_reason, f->live_rule);
		_cleanup_free_ char *candidate = side_text(f->candidate_reason, f->candidate_rule);

		const char *then = f->candidate_verdict == CLITE_VERDICT_DROPPED ? "DROPPED" :
				   f->candidate_verdict == CLITE_VERDICT_AUDIT	 ? "AUDITED" :
										   "ALLOWED";

		printf("would be %s: %s; now: %s; then: %s\n", then, line ? line : "?", live,
		       candidate);
	}
	return ferror(stdout) ? -ECANCELED : 0;
}

/* ---- saved flows --------------------------------------------------------------------- */

static int wrong_line(struct rehearse *h, struct clite_flow_reader *reader, int err)
{
	const char *why = clite_flow_reader_error(reader);
	_cleanup_free_ char *text = NULL;

	if (err != -CLITE_EDOCUMENT)
		return fail_text(h->cli, err, why);
	text = xprintf("%s; expected a line of JSON as 'clite -o json monitor' writes it", why);
	return fail_text(h->cli, err, text);
}

static int feed_flows(struct rehearse *h, struct clite_rehearsal *r,
		      struct clite_flow_reader *reader)
{
	int n;

	while ((n = clite_flow_reader_next(reader, &h->flow)) > 0) {
		n = clite_rehearsal_feed(r, h->flow->event);
		if (n < 0)
			return fail(h->cli, n);
	}
	return n < 0 ? wrong_line(h, reader, n) : CLI_OK;
}

static int feed_file(struct rehearse *h, struct clite_rehearsal *r)
{
	struct clite_flow_reader *reader;
	int code = clite_flow_reader_new(&reader);

	if (code < 0)
		return fail(h->cli, code);
	if (strcmp(h->flows, "-") != 0)
		code = clite_flow_reader_open(reader, h->flows);
	else
		code = clite_flow_reader_fd(reader, STDIN_FILENO, "standard input");
	code = code < 0 ? wrong_line(h, reader, code) : feed_flows(h, r, reader);
	clite_flow_reader_counts(reader, &h->lines);
	clite_flow_reader_free(reader);
	return code;
}

/* ---- the command ------------------------------------------------------------------ */

static void report(struct rehearse *h, struct clite_rehearsal *r)
{
	struct clite_rehearsal_counts c = { .sz = sizeof(c) };

	if (clite_rehearsal_counts(r, &c) < 0)
		return;
	if (h->cli->json) {
		json_t *object = json_new_object(), *summary = json_new_object();

		json_put_number(summary, "flows", c.flows);
		json_put_number(summary, "would_be_dropped", c.denied);
		json_put_number(summary, "would_be_allowed", c.allowed);
		json_put_number(summary, "lost", c.lost);
		if (h->flows) {
			json_put_number(summary, "lines", h->lines.lines);
			json_put_number(summary, "no_flows", h->lines.others);
		}
		json_put(object, "summary", summary);
		json_print_line(object);
	} else {
		printf("%llu flow%s: %llu would be dropped, %llu would be allowed\n",
		       (unsigned long long)c.flows, c.flows == 1 ? "" : "s",
		       (unsigned long long)c.denied, (unsigned long long)c.allowed);
	}
	if (h->lines.others)
		complain(h->cli, "%s: %llu of %llu lines are no flows: passed over", h->flows,
			 (unsigned long long)h->lines.others, (unsigned long long)h->lines.lines);
	if (c.lost)
		complain(h->cli, "%llu events lost: flows may have been missed",
			 (unsigned long long)c.lost);
}

static int bring(struct rehearse *h, struct clite_rehearsal *r)
{
	int revision = clite_rehearsal_commit(r);

	if (revision < 0)
		return fail(h->cli, revision);
	if (!h->cli->json)
		printf("%d %s in force\nRevision: %d\n", h->policies,
		       h->policies == 1 ? "policy" : "policies", revision);
	return CLI_OK;
}

static int watch(struct rehearse *h)
{
	struct cli *cli = h->cli;
	int r = follow_begin(cli);

	if (r)
		return r;
	fprintf(stderr, "Rehearsing on instance '%s', %s\n", cli->instance,
		h->seconds ? "Ctrl-C to end sooner" : "Ctrl-C to end");
	r = follow(cli, h->seconds);
	follow_end();
	return r < 0 ? fail(cli, r) : CLI_OK;
}

static int rehearse(struct rehearse *h, struct clite_txn *txn)
{
	struct clite_rehearse_opts opts = {
		.sz = sizeof(opts),
		.flags = h->flows ? CLITE_REHEARSE_FED : 0,
	};
	struct clite_rehearsal *r;
	int code = clite_policy_rehearse(txn, &opts, on_flow, h, &r);

	if (code < 0)
		return fail(h->cli, code);
	setvbuf(stdout, NULL, _IOLBF, 0);
	code = h->flows ? feed_file(h, r) : watch(h);
	if (!code)
		report(h, r);
	if (!code && h->commit && follow_was_killed()) {
		complain(h->cli, "terminated: the candidate is not committed");
		code = CLI_FAILED;
	} else if (!code && h->commit) {
		code = bring(h, r);
	}
	clite_rehearsal_free(r);
	return code;
}

static uint32_t seconds_arg(const struct cli *cli)
{
	return number_arg(cli, "--for", cli->value, 1, 86400 * 365);
}

int cmd_policy_rehearse(struct cli *cli)
{
	struct rehearse h = { .cli = cli, .lines.sz = sizeof(h.lines) };
	struct clite_txn *txn = NULL;
	int key, r;

	while ((key = cli_option(cli))) {
		switch (key) {
		case OPT_FLOWS:
			h.flows = cli->value;
			break;
		case OPT_FOR:
			h.seconds = seconds_arg(cli);
			break;
		case OPT_DELETE:
			strings_add(&h.deletes, cli->value);
			break;
		case OPT_COMMIT:
			h.commit = true;
			break;
		}
	}
	if (!cli->nargs && !h.deletes.n)
		usage_error(cli, "a candidate is missing: files, --delete or both");
	if (h.flows && h.seconds)
		usage_error(cli, "--for is for flows that come, not for --flows");
	r = cli_open(cli);
	if (!r) {
		r = clite_txn_new(cli->ctx, &txn);
		r = r < 0 ? fail(cli, r) : policy_files(cli, txn, &h.policies);
	}
	for (size_t i = 0; !r && i < h.deletes.n; i++) {
		r = clite_txn_policy_delete(txn, h.deletes.items[i]);
		r = r < 0 ? fail(cli, r) : CLI_OK;
		h.policies++;
	}
	if (!r)
		r = rehearse(&h, txn);
	clite_txn_free(txn);
	strings_clear(&h.deletes);
	return r;
}
