/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets of chosen flows into a pcapng file, drops if nothing else is said. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define RING_BYTES (8u << 20)
#define SNAPLEN_MAX 16384

struct capturing {
	struct cli *cli;
	const char *path;
	bool all;
	struct strings from, to, protocols, ports, allow, deny;
	uint32_t snaplen, seconds;
	uint64_t max_bytes;
	uint32_t max_files;
	uint64_t count; /* still to write; 0: no limit */
	bool limited;
	struct clite_filters *flags;   /* of the options; NULL: there are none */
	struct clite_filters *filters; /* those in JSON */
	struct clite_capture *file;
	uint64_t written;
	int write_error;
};

static void capturing_clear(struct capturing *c)
{
	strings_clear(&c->from);
	strings_clear(&c->to);
	strings_clear(&c->protocols);
	strings_clear(&c->ports);
	strings_clear(&c->allow);
	strings_clear(&c->deny);
	clite_filters_unref(c->flags);
	clite_filters_unref(c->filters);
	clite_capture_free(c->file);
}
#define _cleanup_capturing_ _cleanup_(capturing_clear)

/* ---- options ----------------------------------------------------------------- */

static uint64_t large_arg(const struct cli *cli, const char *what, uint64_t min)
{
	uint64_t n;

	if (!parse_number(cli->value, UINT64_MAX, &n) || n < min)
		usage_error(cli, "%s: '%s' is not a number from %llu", what, cli->value,
			    (unsigned long long)min);
	return n;
}

static void read_option(struct cli *cli, struct capturing *c, int key)
{
	switch (key) {
	case 'w':
		c->path = cli->value;
		break;
	case OPT_ALL:
		c->all = true;
		break;
	case OPT_DROPS:
		c->all = false;
		break;
	case OPT_FROM:
		strings_add(&c->from, cli->value);
		break;
	case OPT_TO:
		strings_add(&c->to, cli->value);
		break;
	case OPT_PROTOCOL:
		strings_add(&c->protocols, cli->value);
		break;
	case OPT_PORT:
		strings_add(&c->ports, cli->value);
		break;
	case OPT_ALLOWLIST:
		strings_add(&c->allow, cli->value);
		break;
	case OPT_DENYLIST:
		strings_add(&c->deny, cli->value);
		break;
	case OPT_SNAPLEN:
		c->snaplen = number_arg(cli, "--snaplen", cli->value, 1, SNAPLEN_MAX);
		break;
	case OPT_FOR:
		c->seconds = number_arg(cli, "--for", cli->value, 1, INT32_MAX);
		break;
	case OPT_MAX_BYTES:
		c->max_bytes = large_arg(cli, "--max-bytes", 4096);
		break;
	case OPT_MAX_FILES:
		c->max_files = number_arg(cli, "--max-files", cli->value, 1, 1000);
		break;
	case 'n':
		c->count = large_arg(cli, "--count", 1);
		c->limited = true;
		break;
	}
}

static void read_options(struct cli *cli, struct capturing *c)
{
	int key;

	while ((key = cli_option(cli)))
		read_option(cli, c, key);
	if (!c->path)
		usage_error(cli, "-w FILE is missing: where to write; '-' for standard output");
	if (!strcmp(c->path, "-") && isatty(STDOUT_FILENO))
		usage_error(cli, "-w -: standard output is a terminal, and a capture is no text");
	if (c->max_files > 1 && !c->max_bytes)
		usage_error(cli, "--max-files: how large each is --max-bytes says");
	if (c->max_files > 1 && !strcmp(c->path, "-"))
		usage_error(cli, "--max-files: standard output is one file");
}

/* ---- filters ----------------------------------------------------------------- */

static bool is_address(const char *text)
{
	char address[INET6_ADDRSTRLEN];
	size_t n = strcspn(text, "/");
	struct in6_addr ip;

	if (n >= sizeof(address))
		return false;
	memcpy(address, text, n);
	address[n] = '\0';
	return inet_pton(AF_INET, address, &ip) == 1 || inet_pton(AF_INET6, address, &ip) == 1;
}

/* The addresses that an end is: its own, or those of the endpoint that it names. */
static int end_addresses(struct cli *cli, const struct strings *ends, struct strings *ret)
{
	const struct clite_endpoint_info *ep;
	uint32_t id;
	int r;

	for (size_t i = 0; i < ends->n; i++) {
		if (is_address(ends->items[i])) {
			strings_add(ret, ends->items[i]);
			continue;
		}
		r = endpoint_number(cli, ends->items[i], &id);
		if (r)
			return r;
		r = clite_endpoint_get(cli->ctx, id, &ep);
		if (r < 0)
			return fail(cli, r);
		if (*ep->ipv4)
			strings_add(ret, ep->ipv4);
		if (*ep->ipv6)
			strings_add(ret, ep->ipv6);
	}
	return CLI_OK;
}

static int filter_add(struct capturing *c, const struct clite_flow_filter *f)
{
	int r = clite_filters_add(c->flags, CLITE_FILTER_ALLOW, f);

	return r < 0 ? fail_text(c->cli, r, clite_filters_error(c->flags)) : CLI_OK;
}

/* A port is that of either end: two filters. */
static int flags_make(struct capturing *c)
{
	_cleanup_strings_ struct strings from = { 0 }, to = { 0 };
	struct clite_flow_filter f = { .sz = sizeof(f) };
	int r;

	if (!c->from.n && !c->to.n && !c->protocols.n && !c->ports.n)
		return CLI_OK;
	r = end_addresses(c->cli, &c->from, &from);
	if (!r)
		r = end_addresses(c->cli, &c->to, &to);
	if (r)
		return r;
	r = clite_filters_new(&c->flags);
	if (r < 0)
		return fail(c->cli, r);
	f.source_ip = (const char *const *)from.items;
	f.destination_ip = (const char *const *)to.items;
	f.protocol = (const char *const *)c->protocols.items;
	f.destination_port = (const char *const *)c->ports.items;
	r = filter_add(c, &f);
	if (r || !c->ports.n)
		return r;
	f.source_port = f.destination_port;
	f.destination_port = NULL;
	return filter_add(c, &f);
}

static int lists_add(struct capturing *c, uint32_t list, const struct strings *json)
{
	for (size_t i = 0; i < json->n; i++) {
		int r = clite_filters_add_json(c->filters, list, json->items[i]);

		if (r < 0)
			return fail_text(c->cli, r, clite_filters_error(c->filters));
	}
	return CLI_OK;
}

static int lists_make(struct capturing *c)
{
	int r;

	if (!c->allow.n && !c->deny.n)
		return CLI_OK;
	r = clite_filters_new(&c->filters);
	if (r < 0)
		return fail(c->cli, r);
	r = lists_add(c, CLITE_FILTER_ALLOW, &c->allow);
	return r ?: lists_add(c, CLITE_FILTER_DENY, &c->deny);
}

/* ---- one packet ---------------------------------------------------------------- */

/* Any end that is not an error of the library itself is -ECANCELED. */
static int on_event(const struct clite_event *e, void *userdata)
{
	struct capturing *c = userdata;
	const struct clite_flow *flow;
	int r = clite_flow_resolve(c->cli->ctx, e, &flow);

	if (r < 0)
		return r;
	/* What the options say the subscription sees to. */
	if (c->flags && c->filters && clite_filters_match(c->filters, flow) != 1)
		return 0;
	r = clite_capture_write(c->file, flow);
	if (r < 0) {
		c->write_error = r;
		return -ECANCELED;
	}
	c->written++;
	return c->limited && !--c->count ? -ECANCELED : 0;
}

/* ---- the loop ------------------------------------------------------------------ */

static int file_open(struct capturing *c)
{
	struct clite_capture_opts o = {
		.sz = sizeof(o),
		.max_bytes = c->max_bytes,
		.max_files = c->max_files,
		.snaplen = c->snaplen,
		.application = "clite capture",
	};
	int r = strcmp(c->path, "-") ? clite_capture_open(c->path, &o, &c->file) :
				       clite_capture_open_fd(STDOUT_FILENO, &o, &c->file);

	if (r >= 0)
		return CLI_OK;
	complain(c->cli, "%s: %s%s", c->path, strerror(-r),
		 r == -ELOOP ? ": it is a symbolic link, which is not followed" : "");
	return CLI_FAILED;
}

static int file_end(struct capturing *c, uint64_t lost)
{
	int r = c->write_error;

	clite_capture_lost(c->file, lost);
	if (!r || r == -EFBIG)
		r = clite_capture_finish(c->file) ?: r;
	if (r == -EFBIG)
		complain(c->cli, "%s has reached --max-bytes", c->path);
	/* Who reads a pipe may end it, and so may Ctrl-C. */
	if (!r || r == -EFBIG || r == -EPIPE || r == -EINTR)
		return CLI_OK;
	complain(c->cli, "%s: %s", c->path, strerror(-r));
	return CLI_FAILED;
}

static int subscribe_and_run(struct capturing *c)
{
	struct cli *cli = c->cli;
	struct clite_subscription *sub;
	struct clite_subscribe_opts opts = {
		.sz = sizeof(opts),
		.types = 1u << CLITE_EVENT_DROP | (c->all ? 1u << CLITE_EVENT_TRACE : 0),
		.aggregation = CLITE_AGGREGATE_NONE + 1,
		.ring_bytes = RING_BYTES,
		.capture_bytes = c->snaplen,
		.filters = c->flags ?: c->filters,
	};
	uint64_t lost = 0;
	int code = CLI_OK, r = clite_subscribe(cli->ctx, &opts, on_event, c, &sub);

	if (r < 0)
		return fail(cli, r);
	fprintf(stderr, "Capturing %s of instance '%s', Ctrl-C to quit\n",
		c->all ? "packets" : "drops", cli->instance);
	r = follow(cli, c->seconds);
	if (r < 0 && r != -ECANCELED)
		code = fail(cli, r);
	clite_subscription_lost(sub, &lost);
	clite_unsubscribe(sub);
	r = file_end(c, lost);
	fprintf(stderr, "%llu packet%s written, %llu lost\n", (unsigned long long)c->written,
		c->written == 1 ? "" : "s", (unsigned long long)lost);
	return code ?: r;
}

int cmd_capture(struct cli *cli)
{
	_cleanup_capturing_ struct capturing c = { .cli = cli, .snaplen = SNAPLEN_MAX };
	int r;

	read_options(cli, &c);
	r = cli_open(cli);
	if (!r)
		r = flags_make(&c);
	if (!r)
		r = lists_make(&c);
	if (!r)
		r = file_open(&c);
	if (!r)
		r = follow_begin(cli);
	if (r)
		return r;
	r = subscribe_and_run(&c);
	follow_end();
	return r;
}
