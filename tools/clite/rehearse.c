/* SPDX-License-Identifier: BSD-2-Clause */
/* What a change of policies would do to the flows that are there. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "output.h"
#include "policy.h"

struct rehearse {
	struct cli *cli;
	struct strings deletes;
	const char *flows; /* a file of saved flows; NULL: those that come */
	uint32_t seconds;
	bool commit;
	int policies; /* that the candidate brings or deletes */
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

/* The event as the library writes it. NULL: it cannot. */
static char *event_line(struct cli *cli, const struct clite_event *e, bool json)
{
	char *line = NULL;
	size_t size = 1024;

	for (;;) {
		int n;

		line = xrealloc(line, size, 1);
		n = json ? clite_event_json(cli->ctx, e, line, size) :
			   clite_event_text(cli->ctx, e, line, size);
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
	_cleanup_free_ char *line = event_line(cli, f->event, cli->json);

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

/* ---- saved flows: lines of JSON as "clite -o json monitor" and Hubble write them -- */

static uint32_t number_of(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return json_is_integer(v) ? (uint32_t)json_integer_value(v) : 0;
}

static int addresses(const json_t *flow, struct clite_event *e)
{
	const json_t *ip = json_object_get(flow, "IP");
	const char *from = json_string_value(json_object_get(ip, "source"));
	const char *to = json_string_value(json_object_get(ip, "destination"));
	int af = from && strchr(from, ':') ? AF_INET6 : AF_INET;

	if (!from || !to || inet_pton(af, from, e->source) != 1 ||
	    inet_pton(af, to, e->destination) != 1)
		return -EINVAL;
	e->family = af == AF_INET ? 4 : 6;
	return 0;
}

static int ports(const json_t *flow, struct clite_event *e)
{
	static const struct {
		const char *name;
		uint32_t protocol;
		bool icmp;
	} known[] = {
		{ "TCP", IPPROTO_TCP, false },	     { "UDP", IPPROTO_UDP, false },
		{ "SCTP", IPPROTO_SCTP, false },     { "ICMPv4", IPPROTO_ICMP, true },
		{ "ICMPv6", IPPROTO_ICMPV6, true },
	};
	const json_t *l4 = json_object_get(flow, "l4");

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		const json_t *v = json_object_get(l4, known[i].name);

		if (!v)
			continue;
		e->protocol = known[i].protocol;
		e->has_ports = 1;
		if (known[i].icmp) {
			e->icmp_type = (uint8_t)number_of(v, "type");
			e->icmp_code = (uint8_t)number_of(v, "code");
		} else {
			e->source_port = (uint16_t)number_of(v, "source_port");
			e->destination_port = (uint16_t)number_of(v, "destination_port");
		}
		return 0;
	}
	return -EINVAL;
}

/* "2026-01-31T12:00:00.123456789Z"; 0: not said. */
static uint64_t time_of(const json_t *flow)
{
	const char *text = json_string_value(json_object_get(flow, "time"));
	uint64_t ns = 0, unit = 100000000;
	struct tm tm = { 0 };
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

	if (!rest)
		return 0;
	if (*rest == '.')
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			ns += unit * (uint64_t)(*rest - '0');
	return (uint64_t)timegm(&tm) * 1000000000 + ns;
}

/* -EINVAL: it is none. */
static int flow_parse(const json_t *line, struct clite_event *e)
{
	const json_t *flow = json_object_get(line, "flow");

	if (!flow)
		flow = line;
	*e = (struct clite_event){
		.sz = sizeof(*e),
		.time = time_of(flow),
		.type = CLITE_EVENT_TRACE,
		.verdict = CLITE_VERDICT_FORWARDED,
		.drop_reason = number_of(flow, "drop_reason"),
		.source_identity = number_of(json_object_get(flow, "source"), "identity"),
		.destination_identity = number_of(json_object_get(flow, "destination"), "identity"),
		.source_file = "",
	};
	if (e->drop_reason) {
		e->type = CLITE_EVENT_DROP;
		e->verdict = CLITE_VERDICT_DROPPED;
	}
	e->is_reply = json_is_true(json_object_get(flow, "is_reply")) ||
		      json_is_true(json_object_get(flow, "reply"));
	return addresses(flow, e) || ports(flow, e) ? -EINVAL : 0;
}

static int feed_line(struct rehearse *h, struct clite_rehearsal *r, const char *line, size_t number)
{
	json_t *object = json_loads(line, 0, NULL);
	struct clite_event e;
	int ret;

	if (!object) {
		_cleanup_free_ char *text =
			xprintf("%s:%zu: is no flow: expected a line of JSON as 'clite -o json "
				"monitor' writes it",
				h->flows, number);

		return fail_text(h->cli, -EINVAL, text);
	}
	ret = flow_parse(object, &e);
	json_decref(object);
	/* What has no ports (lost events, layer 7) is not for policies of L3 and L4. */
	if (ret)
		return CLI_OK;
	ret = clite_rehearsal_feed(r, &e);
	return ret < 0 ? fail(h->cli, ret) : CLI_OK;
}

static int feed_file(struct rehearse *h, struct clite_rehearsal *r)
{
	FILE *f = strcmp(h->flows, "-") ? fopen(h->flows, "re") : stdin;
	_cleanup_free_ char *line = NULL;
	size_t size = 0, number = 0;
	int code = CLI_OK;

	if (!f) {
		_cleanup_free_ char *text = xprintf("%s: %s", h->flows, strerror(errno));

		return fail_text(h->cli, -errno, text);
	}
	while (!code && getline(&line, &size, f) >= 0) {
		number++;
		if (line[strspn(line, " \t\r\n")])
			code = feed_line(h, r, line, number);
	}
	if (f != stdin)
		fclose(f);
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
		json_put(object, "summary", summary);
		json_print_line(object);
	} else {
		printf("%llu flow%s: %llu would be dropped, %llu would be allowed\n",
		       (unsigned long long)c.flows, c.flows == 1 ? "" : "s",
		       (unsigned long long)c.denied, (unsigned long long)c.allowed);
	}
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
	struct rehearse h = { .cli = cli };
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
