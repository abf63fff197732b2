/* SPDX-License-Identifier: BSD-2-Clause */
/* What would become of a packet, and why. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "output.h"

struct trace {
	struct cli *cli;
	struct clite_trace_opts opts;
	const char *src, *dst, *frame;
	uint8_t *packet;
};

static bool is_address(const char *s)
{
	struct in6_addr a;

	return inet_pton(AF_INET, s, &a) == 1 || inet_pton(AF_INET6, s, &a) == 1;
}

/* "identity:N", "ip:ADDRESS", "endpoint:E"; or without such a word an address, or an
 * endpoint by whatever it is called. */
static int read_end(struct cli *cli, const char *text, const char **address, uint32_t *endpoint,
		    uint32_t *identity)
{
	if (!strncmp(text, "identity:", 9)) {
		*identity = number_arg(cli, "an identity", text + 9, 1, UINT32_MAX);
		return CLI_OK;
	}
	if (!strncmp(text, "ip:", 3) && !is_address(text + 3))
		usage_error(cli, "'%s' is no address: ip:10.0.0.1 or ip:fd00::1 is", text);
	if (!strncmp(text, "ip:", 3))
		text += 3;
	if (is_address(text)) {
		*address = text;
		return CLI_OK;
	}
	return endpoint_number(cli, strncmp(text, "endpoint:", 9) ? text : text + 9, endpoint);
}

/* "80/tcp"; of ICMP the type. */
static void read_dport(struct cli *cli, struct clite_trace_opts *o)
{
	_cleanup_free_ char *copy = xstrdup(cli->value);
	char *slash = strchr(copy, '/');
	uint64_t port;

	if (slash)
		*slash++ = '\0';
	if (!parse_number(copy, 65535, &port) ||
	    (slash && (!parse_protocol(slash, &o->protocol) || !o->protocol)))
		usage_error(cli, "--dport: '%s' is not PORT[/PROTOCOL], such as 80/tcp or 8/icmp",
			    cli->value);
	o->destination_port = (uint16_t)port;
}

static int nibble(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Is it a frame in hex, not the name of a file? Blanks and colons do not matter. */
static bool is_hex(const char *s)
{
	size_t digits = 0;

	for (; *s; s++)
		if (nibble(*s) >= 0)
			digits++;
		else if (!strchr(" :\n\t", *s))
			return false;
	return digits >= 28 && digits % 2 == 0;
}

static void read_hex(struct trace *t, const char *s)
{
	int high = -1;

	t->packet = xrealloc(NULL, strlen(s) / 2 + 1, 1);
	for (; *s; s++) {
		int n = nibble(*s);

		if (n < 0)
			continue;
		if (high >= 0)
			t->packet[t->opts.packet_len++] = (uint8_t)(high << 4 | n);
		high = high >= 0 ? -1 : n;
	}
}

#define FRAME_MAX 65536

/* The bytes themselves. */
static void read_file(struct trace *t)
{
	FILE *f = strcmp(t->frame, "-") ? fopen(t->frame, "re") : stdin;

	if (!f)
		usage_error(t->cli,
			    "--packet: '%s' is neither a frame in hex (from 14 bytes up) nor a file "
			    "of its bytes: %s",
			    t->frame, strerror(errno));
	t->packet = xrealloc(NULL, FRAME_MAX, 1);
	t->opts.packet_len = fread(t->packet, 1, FRAME_MAX, f);
	if (ferror(f))
		usage_error(t->cli, "--packet: cannot read '%s': %s", t->frame, strerror(errno));
	if (f != stdin)
		fclose(f);
}

static void read_packet(struct trace *t)
{
	if (t->dst || t->opts.destination_port || t->opts.source_port)
		usage_error(t->cli, "--packet says what --dst, --dport and --sport say");
	if (is_hex(t->frame))
		read_hex(t, t->frame);
	else
		read_file(t);
	t->opts.packet = t->packet;
}

/* ---- text ---------------------------------------------------------------------- */

static const char *drop_text(uint32_t reason)
{
	const char *text = clite_drop_reason_text(reason);

	return text ? text : "dropped";
}

/* Cilium's match types, as its monitor names them. */
static const char *match_text(uint32_t match)
{
	static const char *const names[] = { "none",	"L3-Only",  "L3-L4",	 "L4-Only",
					     "all", "L3-Proto", "Proto-Only" };

	return match < ARRAY_SIZE(names) ? names[match] : "unknown";
}

static void print_step(const struct clite_trace_step *s, const char *what)
{
	printf("%s policy of endpoint %u, peer identity %u: ", what, s->endpoint, s->peer);
	if (!s->enforced) {
		puts("none is in force, allowed");
		return;
	}
	if (!s->reason)
		printf("allowed, match %s\n", match_text(s->match));
	else
		printf("%s (%u)%s\n", drop_text(s->reason), s->reason,
		       s->audited ? ", but audit mode lets it pass" : "");
	for (size_t i = 0; i < s->nrules; i++) {
		const struct clite_rule_info *r = s->rules[i];

		printf("  %s %s[%u] of policy '%s'", r->action == CLITE_DENY ? "deny " : "allow",
		       r->direction == CLITE_INGRESS ? "ingress" : "egress", r->index, r->policy);
		if (*r->filename)
			printf(" %s:%u", r->filename, r->line);
		printf(" (cookie %u)%s\n", r->cookie, r == s->rule ? "  <- decides" : "");
	}
	if (!s->nrules)
		puts("  no rule matches");
}

static const char *way_text(uint32_t way)
{
	static const char *const ways[] = { "dropped", "to endpoint", "to the host",
					    "to the world, by the host's routes",
					    "to another host, out of an uplink" };

	return way < ARRAY_SIZE(ways) ? ways[way] : "unknown";
}

static void print_end(const char *name, const char *address, uint32_t port, uint32_t endpoint,
		      uint32_t identity)
{
	_cleanup_free_ char *at = address_text(*address ? address : "any", port, NULL);

	printf("%-12s %s, identity %u", name, at, identity);
	if (endpoint)
		printf(", endpoint %u", endpoint);
	putchar('\n');
}

static void print_service(const struct clite_trace *t)
{
	printf("%-12s %u", "Service:", t->service);
	if (*t->service_name)
		printf(" '%s'", t->service_name);
	printf(", %u active back end%s", t->backends, t->backends == 1 ? "" : "s");
	if (t->backends > 1)
		fputs(t->chosen ? ": the flow gets this one" : ": any may be chosen, this one is traced",
		      stdout);
	putchar('\n');
	for (uint32_t i = 0; i < t->backends && t->backends > 1; i++) {
		const struct clite_backend *b = &t->choices[i];
		_cleanup_free_ char *at = address_text(b->address, b->port, NULL);

		printf("  %s%s\n", at,
		       b->port == t->destination_port && !strcmp(b->address, t->destination) ?
			       "  <- traced" :
			       "");
	}
}

static void print_live(const struct clite_trace *t)
{
	printf("Live:        %s", t->live_reason ? drop_text(t->live_reason) : "forwarded");
	if (t->live_reason)
		printf(" (%u)", t->live_reason);
	puts(t->agree ? ", as worked out" : ": NOT AS WORKED OUT");
}

static void print_text(const struct clite_trace *t)
{
	print_end("Source:", t->source, t->source_port, t->source_endpoint, t->source_identity);
	if (t->service)
		print_service(t);
	print_end("Destination:", t->destination, t->destination_port, t->destination_endpoint,
		  t->destination_identity);
	if (t->egress)
		print_step(t->egress, "Egress");
	if (t->ingress)
		print_step(t->ingress, "Ingress");
	printf("Way:         %s", way_text(t->way));
	if (t->way == CLITE_WAY_ENDPOINT)
		printf(" %u, device %u", t->destination_endpoint, t->ifindex);
	putchar('\n');
	if (t->live)
		print_live(t);
	if (t->reason)
		printf("Verdict:     DENIED, %s (%u)\n", drop_text(t->reason), t->reason);
	else
		puts("Verdict:     ALLOWED");
}

/* ---- JSON ------------------------------------------------------------------------ */

static json_t *rule_json(const struct clite_rule_info *r)
{
	json_t *object = json_new_object();

	json_put_text(object, "policy", r->policy);
	json_put_text(object, "file", r->filename);
	json_put_number(object, "line", r->line);
	json_put_text(object, "direction", r->direction == CLITE_INGRESS ? "ingress" : "egress");
	json_put_text(object, "action", r->action == CLITE_DENY ? "deny" : "allow");
	json_put_number(object, "index", r->index);
	json_put_number(object, "cookie", r->cookie);
	return object;
}

static json_t *step_json(const struct clite_trace_step *s)
{
	json_t *object = json_new_object(), *rules = json_new_array();

	json_put_number(object, "endpoint", s->endpoint);
	json_put_number(object, "peer", s->peer);
	json_put_bool(object, "enforced", s->enforced);
	json_put_number(object, "reason", s->reason);
	json_put_bool(object, "audited", s->audited);
	json_put_text(object, "match", match_text(s->match));
	if (s->rule)
		json_put(object, "rule", rule_json(s->rule));
	for (size_t i = 0; i < s->nrules; i++)
		json_add(rules, rule_json(s->rules[i]));
	json_put(object, "rules", rules);
	return object;
}

static json_t *end_json(const char *address, uint32_t port, uint32_t endpoint, uint32_t identity)
{
	json_t *object = json_new_object();

	json_put_text(object, "address", address);
	json_put_number(object, "port", port);
	json_put_number(object, "endpoint", endpoint);
	json_put_number(object, "identity", identity);
	return object;
}

static json_t *choices_json(const struct clite_trace *t)
{
	json_t *list = json_new_array();

	for (uint32_t i = 0; i < t->backends; i++) {
		json_t *b = json_new_object();

		json_put_text(b, "address", t->choices[i].address);
		json_put_number(b, "port", t->choices[i].port);
		json_put_number(b, "weight", t->choices[i].weight);
		json_add(list, b);
	}
	return list;
}

static void print_json(const struct clite_trace *t)
{
	static const char *const ways[] = { "none", "endpoint", "host", "stack" };
	json_t *object = json_new_object();

	json_put_text(object, "verdict", t->reason ? "DROPPED" : "FORWARDED");
	json_put_number(object, "reason", t->reason);
	json_put(object, "source",
		 end_json(t->source, t->source_port, t->source_endpoint, t->source_identity));
	json_put(object, "destination", end_json(t->destination, t->destination_port,
						 t->destination_endpoint, t->destination_identity));
	json_put_number(object, "protocol", t->protocol);
	if (t->service) {
		json_put_number(object, "service", t->service);
		json_put_text(object, "service_name", t->service_name);
		json_put(object, "backends", choices_json(t));
		json_put_bool(object, "chosen", t->chosen);
	}
	if (t->egress)
		json_put(object, "egress", step_json(t->egress));
	if (t->ingress)
		json_put(object, "ingress", step_json(t->ingress));
	json_put_text(object, "way", t->way < ARRAY_SIZE(ways) ? ways[t->way] : "unknown");
	json_put_number(object, "ifindex", t->ifindex);
	if (t->live) {
		json_put_number(object, "live_reason", t->live_reason);
		json_put_bool(object, "agree", t->agree);
	}
	json_print(object);
}

/* ---- the command ------------------------------------------------------------------- */

static void read_options(struct trace *t)
{
	struct cli *cli = t->cli;
	int key;

	while ((key = cli_option(cli))) {
		switch (key) {
		case OPT_SRC:
			t->src = cli->value;
			break;
		case OPT_DST:
			t->dst = cli->value;
			break;
		case OPT_DPORT:
			read_dport(cli, &t->opts);
			break;
		case OPT_SPORT:
			t->opts.source_port = (uint16_t)number_arg(cli, "--sport", cli->value, 1, 65535);
			break;
		case OPT_BACKEND:
			t->opts.backend = number_arg(cli, "--backend", cli->value, 0, 65535);
			break;
		case OPT_PACKET:
			t->frame = cli->value;
			break;
		case OPT_LIVE:
			t->opts.flags |= CLITE_TRACE_LIVE;
			break;
		}
	}
	if (t->frame)
		read_packet(t);
	else if (!t->src || !t->dst)
		usage_error(cli, "--src and --dst are missing, or --packet");
}

static int ask(struct trace *t)
{
	struct clite_trace_opts *o = &t->opts;
	const struct clite_trace *answer;
	struct cli *cli = t->cli;
	int r = cli_open(cli);

	if (!r && t->src)
		r = read_end(cli, t->src, &o->source, &o->source_endpoint, &o->source_identity);
	if (!r && t->dst)
		r = read_end(cli, t->dst, &o->destination, &o->destination_endpoint,
			     &o->destination_identity);
	if (r)
		return r;
	if (o->packet && (o->source || o->source_identity))
		usage_error(cli, "--packet says who sends it: --src may only name the endpoint");
	r = clite_trace(cli->ctx, o, &answer);
	if (r < 0)
		return fail(cli, r);
	if (cli->json)
		print_json(answer);
	else
		print_text(answer);
	if (answer->agree)
		return CLI_OK;
	complain(cli,
		 "what is worked out (drop reason %u) and what the programs did (%u) differ in verdict, "
		 "translation or way: unless policies or services have just been changed this is a bug",
		 answer->reason, answer->live_reason);
	return CLI_FAILED;
}

int cmd_policy_trace(struct cli *cli)
{
	struct trace t = { .cli = cli, .opts = { .sz = sizeof(t.opts) } };
	int r;

	read_options(&t);
	r = ask(&t);
	free(t.packet);
	return r;
}
