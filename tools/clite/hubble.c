/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that ask a server of Hubble's API. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hubble_print.h"

/* ---- a call --------------------------------------------------------------------------- */

struct run {
	int (*cb)(const struct clite_hubble_answer *answer, void *userdata);
	void *userdata;
	bool over;
	int error;
	char *message;
};

static int connect_to(struct cli *cli, const struct server *server,
		      struct clite_hubble_client **ret)
{
	const char *address = server_address(server);
	char errbuf[ERRBUF_SIZE] = "";
	struct clite_hubble_client_opts opts = {
		.sz = sizeof(opts),
		.ca = (const char *const *)server->ca.items,
		.cert = server->cert,
		.key = server->key,
		.server_name = server->name,
		.connect_timeout = server->timeout,
		.request_timeout = server->request_timeout,
		.tls = server->insecure ? CLITE_HUBBLE_TLS_INSECURE :
		       server->tls	? CLITE_HUBBLE_TLS_ON :
					  CLITE_HUBBLE_TLS_AUTO,
		.errbuf = errbuf,
		.errbuf_size = sizeof(errbuf),
	};
	int r;

	if (!address)
		usage_error(cli, "which server? --server unix:///run/cilium/hubble.sock, or "
				 "$CLITE_HUBBLE_SERVER, or $HUBBLE_SERVER");
	r = clite_hubble_client_new(address, &opts, ret);
	return r < 0 ? fail_text(cli, r, errbuf) : CLI_OK;
}

static int on_answer(const struct clite_hubble_answer *answer, void *userdata)
{
	struct run *run = userdata;

	if (answer->type != CLITE_HUBBLE_ANSWER_END)
		return run->cb(answer, run->userdata);
	run->over = true;
	run->error = answer->error;
	run->message = xstrdup(answer->message);
	return -ECANCELED;
}

static int dispatch(void *userdata, uint32_t budget)
{
	return clite_hubble_client_dispatch(userdata, budget);
}

/* Call, until it is over, enough was seen, or somebody has had enough. An exit code. */
static int call(struct cli *cli, struct clite_hubble_client *client, uint32_t method,
		const struct clite_hubble_request *request, struct run *run)
{
	struct source source = {
		.fd = clite_hubble_client_fd(client),
		.dispatch = dispatch,
		.userdata = client,
	};
	struct clite_hubble_call *call;
	int code = CLI_OK;
	int r = clite_hubble_client_call(client, method, request, on_answer, run, &call);

	if (r < 0)
		return fail_text(cli, r, clite_hubble_client_error(client));
	r = follow_source(&source, 0);
	if (run->error)
		code = fail_text(cli, run->error, run->message);
	else if (r < 0 && r != -ECANCELED)
		code = fail_text(cli, r, clite_hubble_client_error(client));
	clite_hubble_call_end(call);
	free(run->message);
	return code;
}

/* ---- observe ------------------------------------------------------------------------------ */

static int on_observed(const struct clite_hubble_answer *answer, void *userdata)
{
	struct observe *o = userdata;

	switch (answer->type) {
	case CLITE_HUBBLE_ANSWER_NODE_STATE:
		print_node_state(o, answer);
		return 0;
	case CLITE_HUBBLE_ANSWER_LOST:
		if (o->silent)
			return 0;
		if (o->printer.output != OUTPUT_JSON) {
			print_lost(&o->printer, answer->lost);
			return observe_printed(o, 0);
		}
		return observe_printed(o, print_answer_json(&o->printer, answer));
	case CLITE_HUBBLE_ANSWER_FLOW:
		if (o->printer.output != OUTPUT_JSON)
			return observe_flow(o, answer->flow);
		return observe_printed(o, print_answer_json(&o->printer, answer));
	default:
		return observe_printed(o, print_event(&o->printer, answer));
	}
}

/* What is printed of a flow, so that the server need not send the rest. */
static const char *const printed_fields[] = {
	"time",
	"verdict",
	"IP",
	"l4",
	"l7",
	"source.identity",
	"source.namespace",
	"source.pod_name",
	"destination.identity",
	"destination.namespace",
	"destination.pod_name",
	"Type",
	"node_name",
	"source_names",
	"destination_names",
	"event_type",
	"source_service",
	"destination_service",
	"traffic_direction",
	"policy_match_type",
	"is_reply",
	"Summary",
	/* of --print-policy-names: */
	"egress_allowed_by",
	"ingress_allowed_by",
	"egress_denied_by",
	"ingress_denied_by",
	NULL,
};

/* As "hubble observe": the last 20, unless something else is said. */
static uint64_t number(const struct observe *o)
{
	if (o->all)
		return UINT64_MAX;
	if (o->first || o->last)
		return o->first ? o->first : o->last;
	return o->since || o->until || o->follow ? 0 : 20;
}

static int observe_call(struct observe *o, struct clite_hubble_client *client)
{
	static const uint32_t methods[] = {
		[OBSERVE_FLOWS] = CLITE_HUBBLE_CALL_FLOWS,
		[OBSERVE_AGENT_EVENTS] = CLITE_HUBBLE_CALL_AGENT_EVENTS,
		[OBSERVE_DEBUG_EVENTS] = CLITE_HUBBLE_CALL_DEBUG_EVENTS,
	};
	struct run run = { .cb = on_observed, .userdata = o };
	struct clite_hubble_request request = {
		.sz = sizeof(request),
		.number = number(o),
		.since = o->since,
		.until = o->follow ? 0 : o->until,
		.follow = o->follow,
		.first = o->first != 0,
		.allow = o->allow.items,
		.deny = o->deny.items,
		.nallow = o->allow.n,
		.ndeny = o->deny.n,
		.field_mask = o->printer.output == OUTPUT_JSON ?
				      (const char *const *)o->mask.items :
				      printed_fields,
	};

	return call(o->cli, client, methods[o->what], &request, &run);
}

int observe_server(struct observe *o)
{
	struct clite_hubble_client *client;
	int code = connect_to(o->cli, &o->server, &client);

	if (code)
		return code;
	if (o->debug)
		complain(o->cli, "asking server '%s'", server_address(&o->server));
	code = observe_call(o, client);
	clite_hubble_client_free(client);
	return code;
}

/* ---- commands with a server and a form of output --------------------------------------------- */

struct ask {
	struct cli *cli;
	struct server server;
	struct clite_hubble_client *client;
	const char *output;
	struct shown shown;
};

static void ask_options(struct ask *ask, const char *const *outputs)
{
	int key;
	size_t i;

	ask->output = ask->cli->json ? "json" : outputs[0];
	while ((key = cli_option(ask->cli))) {
		if (key == 'o')
			ask->output = ask->cli->value;
		else
			server_option(ask->cli, &ask->server, key, ask->cli->value);
	}
	for (i = 0; outputs[i] && strcmp(outputs[i], ask->output); i++)
		;
	if (!outputs[i])
		usage_error(ask->cli, "--output: '%s' is none of %s, %s%s%s", ask->output,
			    outputs[0], outputs[1], outputs[2] ? ", " : "",
			    outputs[2] ? outputs[2] : "");
}

static int ask_begin(struct ask *ask)
{
	int code = follow_begin(ask->cli);

	if (!code)
		code = connect_to(ask->cli, &ask->server, &ask->client);
	return code;
}

static int ask_call(struct ask *ask, uint32_t method,
		    int (*cb)(const struct clite_hubble_answer *answer, void *userdata))
{
	struct run run = { .cb = cb, .userdata = ask };

	return call(ask->cli, ask->client, method, NULL, &run);
}

static int ask_end(struct ask *ask, int code)
{
	clite_hubble_client_free(ask->client);
	server_clear(&ask->server);
	shown_clear(&ask->shown);
	follow_end();
	return code;
}

/* ---- status ----------------------------------------------------------------------------------- */

static int on_health(const struct clite_hubble_answer *answer, void *userdata)
{
	struct ask *ask = userdata;

	ask->shown.health = answer->health;
	return 0;
}

static int on_status(const struct clite_hubble_answer *answer, void *userdata)
{
	struct ask *ask = userdata;

	show_status(&ask->shown, ask->output, answer);
	return 0;
}

int cmd_hubble_status(struct cli *cli)
{
	static const char *const outputs[] = { "compact", "dict",   "json", "table",
					       "tab",	  "jsonpb", NULL };
	struct ask ask = { .cli = cli, .shown = { .cli = cli } };
	int code;

	ask_options(&ask, outputs);
	code = ask_begin(&ask);
	if (!code)
		code = ask_call(&ask, CLITE_HUBBLE_CALL_HEALTH, on_health);
	if (!code && !follow_stopped())
		code = show_health(&ask.shown, ask.output, server_address(&ask.server));
	if (!code && !follow_stopped())
		code = ask_call(&ask, CLITE_HUBBLE_CALL_STATUS, on_status);
	return ask_end(&ask, code);
}

/* ---- lists ------------------------------------------------------------------------------------ */

static int on_node(const struct clite_hubble_answer *answer, void *userdata)
{
	struct ask *ask = userdata;

	show_node(&ask->shown, answer);
	return 0;
}

static int on_namespace(const struct clite_hubble_answer *answer, void *userdata)
{
	struct ask *ask = userdata;

	show_namespace(&ask->shown, answer);
	return 0;
}

static int list(struct cli *cli, uint32_t method, const char *const *headings, size_t ncols,
		size_t nwide, int (*cb)(const struct clite_hubble_answer *answer, void *userdata))
{
	static const char *const outputs[] = { "table", "wide", "json", NULL };
	struct ask ask = { .cli = cli, .shown = { .cli = cli } };
	int code;

	ask_options(&ask, outputs);
	show_begin(&ask.shown, ask.output, headings, strcmp(ask.output, "wide") ? ncols : nwide);
	code = ask_begin(&ask);
	if (!code)
		code = ask_call(&ask, method, cb);
	if (!code && !follow_stopped())
		show_end(&ask.shown);
	return ask_end(&ask, code);
}

int cmd_hubble_list_nodes(struct cli *cli)
{
	static const char *const headings[] = {
		"NAME", "STATUS", "AGE", "FLOWS/S", "CURRENT/MAX-FLOWS", "VERSION", "ADDRESS", "TLS"
	};

	return list(cli, CLITE_HUBBLE_CALL_NODES, headings, 5, 8, on_node);
}

int cmd_hubble_list_namespaces(struct cli *cli)
{
	static const char *const headings[] = { "NAMESPACE", "CLUSTER" };

	return list(cli, CLITE_HUBBLE_CALL_NAMESPACES, headings, 1, 2, on_namespace);
}

/* ---- peers ------------------------------------------------------------------------------------ */

static int on_peer(const struct clite_hubble_answer *answer, void *userdata)
{
	struct ask *ask = userdata;

	show_peer(&ask->shown, ask->output, answer);
	return ferror(stdout) ? -ECANCELED : 0;
}

int cmd_hubble_watch_peers(struct cli *cli)
{
	static const char *const outputs[] = { "text", "json", NULL };
	struct ask ask = { .cli = cli, .shown = { .cli = cli } };
	int code;

	ask_options(&ask, outputs);
	code = ask_begin(&ask);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!code)
		code = ask_call(&ask, CLITE_HUBBLE_CALL_PEERS, on_peer);
	return ask_end(&ask, code);
}
