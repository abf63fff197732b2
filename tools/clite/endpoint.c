/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "output.h"

int endpoint_number(struct cli *cli, const char *what, uint32_t *ret)
{
	uint64_t n;
	int r;

	if (parse_number(what, UINT32_MAX, &n)) {
		*ret = number_arg(cli, "endpoint", what, 1, 65535);
		return CLI_OK;
	}
	r = clite_endpoint_find(cli->ctx, what, ret);
	return r < 0 ? fail(cli, r) : CLI_OK;
}

static const char *enforcement(uint32_t enforced)
{
	return enforced ? "Enabled" : "Disabled";
}

static const char *state(const struct clite_endpoint_info *ep)
{
	return *ep->device ? "ready" : "disconnected";
}

/* ---- JSON, keys of Cilium's endpoint model -------------------------------- */

static const char *policy_enabled(const struct clite_endpoint_info *ep)
{
	if (ep->ingress_enforced)
		return ep->egress_enforced ? "both" : "ingress";
	return ep->egress_enforced ? "egress" : "none";
}

static json_t *networking_json(const struct clite_endpoint_info *ep)
{
	json_t *networking = json_new_object();
	json_t *addressing = json_new_array();
	json_t *pair = json_new_object();

	if (*ep->ipv4)
		json_put_text(pair, "ipv4", ep->ipv4);
	if (*ep->ipv6)
		json_put_text(pair, "ipv6", ep->ipv6);
	json_add(addressing, pair);
	json_put(networking, "addressing", addressing);
	json_put_number(networking, "interface-index", ep->ifindex);
	json_put_text(networking, "interface-name", ep->device);
	json_put_text(networking, "mac", ep->mac);
	return networking;
}

/* As Cilium's agent shows them. */
static json_t *ports_json(const struct clite_endpoint_info *ep)
{
	json_t *list = json_new_array();

	for (size_t i = 0; ep->ports[i]; i++) {
		const char *equals = strchr(ep->ports[i], '='), *slash = strchr(ep->ports[i], '/');
		_cleanup_free_ char *name = xstrdup(ep->ports[i]);
		_cleanup_free_ char *protocol = xstrdup(slash + 1);
		json_t *port = json_new_object();

		name[equals - ep->ports[i]] = '\0';
		for (char *c = protocol; *c; c++)
			*c = (char)toupper((unsigned char)*c);
		json_put_text(port, "name", name);
		json_put_number(port, "port", strtoul(equals + 1, NULL, 10));
		json_put_text(port, "protocol", protocol);
		json_add(list, port);
	}
	return list;
}

static json_t *endpoint_json(const struct clite_endpoint_info *ep)
{
	json_t *endpoint = json_new_object(), *status = json_new_object();
	json_t *identity = json_new_object(), *labels = json_new_object();
	json_t *policy = json_new_object(), *realized = json_new_object();
	json_t *external = json_new_object();

	json_put_number(endpoint, "id", ep->id);
	json_put_text(external, "name", ep->name);
	json_put(status, "external-identifiers", external);
	json_put_number(identity, "id", ep->identity);
	json_put(identity, "labels", json_strings(ep->labels));
	json_put(status, "identity", identity);
	json_put(labels, "security-relevant", json_strings(ep->labels));
	json_put(status, "labels", labels);
	json_put(status, "networking", networking_json(ep));
	json_put(status, "namedPorts", ports_json(ep));
	json_put_text(realized, "policy-enabled", policy_enabled(ep));
	json_put(policy, "realized", realized);
	json_put(status, "policy", policy);
	json_put_text(status, "state", state(ep));
	json_put(endpoint, "status", status);
	return endpoint;
}

/* ---- list ----------------------------------------------------------------- */

static const char *const headings[] = {
	"ENDPOINT",
	"POLICY (ingress)",
	"POLICY (egress)",
	"IDENTITY",
	"LABELS (source:key[=value])",
	"IPv6",
	"IPv4",
	"STATUS",
};

static const char *const more_headings[] = {
	"", "ENFORCEMENT", "ENFORCEMENT", "", "", "", "", "",
};

#define LABELS_COLUMN 4

static void endpoint_row(struct table *t, const struct clite_endpoint_info *ep)
{
	table_cell(t, "%u", ep->id);
	table_cell(t, "%s", enforcement(ep->ingress_enforced));
	table_cell(t, "%s", enforcement(ep->egress_enforced));
	table_cell(t, "%u", ep->identity);
	table_cell(t, "%s", *ep->labels ? *ep->labels : "no labels");
	table_cell(t, "%s", ep->ipv6);
	table_cell(t, "%s", ep->ipv4);
	table_cell(t, "%s", state(ep));
	table_more_labels(t, LABELS_COLUMN, ep->labels);
}

static int collect(const struct clite_endpoint_info *ep, void *userdata)
{
	struct listing *l = userdata;

	if (l->json)
		json_add(l->json, endpoint_json(ep));
	else
		endpoint_row(&l->table, ep);
	return 0;
}

int cmd_endpoint_list(struct cli *cli)
{
	_cleanup_listing_ struct listing l = { 0 };
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (r)
		return r;
	listing_begin(&l, cli, headings, ARRAY_SIZE(headings));
	table_headings(cli, &l.table, more_headings);
	return listing_end(&l, clite_endpoint_list(cli->ctx, collect, &l));
}

/* ---- get ------------------------------------------------------------------ */

static void print_endpoint(const struct clite_endpoint_info *ep)
{
	_cleanup_table_ struct table t;

	table_init(&t, 2);
	table_cell(&t, "Endpoint:");
	table_cell(&t, "%u", ep->id);
	table_cell(&t, "Name:");
	table_cell(&t, "%s", ep->name);
	table_cell(&t, "Status:");
	table_cell(&t, "%s", state(ep));
	table_cell(&t, "Device:");
	table_cell(&t, "%s (ifindex %u)", *ep->device ? ep->device : "gone", ep->ifindex);
	table_cell(&t, "MAC:");
	table_cell(&t, "%s", *ep->mac ? ep->mac : "not known yet");
	table_cell(&t, "IPv4:");
	table_cell(&t, "%s", *ep->ipv4 ? ep->ipv4 : "none");
	table_cell(&t, "IPv6:");
	table_cell(&t, "%s", *ep->ipv6 ? ep->ipv6 : "none");
	table_cell(&t, "Policy (ingress):");
	table_cell(&t, "%s", enforcement(ep->ingress_enforced));
	table_cell(&t, "Policy (egress):");
	table_cell(&t, "%s", enforcement(ep->egress_enforced));
	table_cell(&t, "Identity:");
	table_cell(&t, "%u", ep->identity);
	table_cell(&t, "Labels:");
	table_cell(&t, "%s", *ep->labels ? *ep->labels : "no labels");
	table_more_labels(&t, 1, ep->labels);
	table_print(&t);
}

/* Print endpoint id; JSON as an array of one, as Cilium's tools do. */
static int show(struct cli *cli, uint32_t id)
{
	const struct clite_endpoint_info *ep;
	int r = clite_endpoint_get(cli->ctx, id, &ep);

	if (r < 0)
		return fail(cli, r);
	if (cli->json) {
		json_t *array = json_new_array();

		json_add(array, endpoint_json(ep));
		json_print(array);
	} else {
		print_endpoint(ep);
	}
	return CLI_OK;
}

int cmd_endpoint_get(struct cli *cli)
{
	uint32_t id;
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (!r)
		r = endpoint_number(cli, cli->args[0], &id);
	return r ? r : show(cli, id);
}

/* ---- add ------------------------------------------------------------------ */

int cmd_endpoint_add(struct cli *cli)
{
	_cleanup_strings_ struct strings labels = { 0 }, ports = { 0 };
	struct clite_endpoint_opts opts = { .sz = sizeof(opts) };
	const struct clite_endpoint_info *ep;
	uint32_t id;
	int key, r;

	while ((key = cli_option(cli))) {
		switch (key) {
		case OPT_IPV4:
			opts.ipv4 = cli->value;
			break;
		case OPT_IPV6:
			opts.ipv6 = cli->value;
			break;
		case OPT_NAME:
			opts.name = cli->value;
			break;
		case OPT_MAC:
			opts.mac = cli->value;
			break;
		case OPT_ID:
			opts.id = number_arg(cli, "--id", cli->value, 1, 65535);
			break;
		case 'l':
			strings_add(&labels, cli->value);
			break;
		case OPT_PORT:
			strings_add(&ports, cli->value);
			break;
		}
	}
	if (!opts.ipv4 && !opts.ipv6)
		usage_error(cli, "an address is missing: --ipv4, --ipv6 or both");
	opts.labels = (const char *const *)labels.items;
	opts.ports = (const char *const *)ports.items;
	r = cli_open(cli);
	if (r)
		return r;
	r = clite_endpoint_add(cli->ctx, cli->args[0], &opts, &id);
	if (r < 0)
		return fail(cli, r);
	if (cli->json)
		return show(cli, id);
	r = clite_endpoint_get(cli->ctx, id, &ep);
	if (r < 0)
		return fail(cli, r);
	printf("endpoint %u added, identity %u\n", ep->id, ep->identity);
	return CLI_OK;
}

/* ---- delete --------------------------------------------------------------- */

static int delete_one(struct cli *cli, const char *what, json_t *done)
{
	uint32_t id;
	int r = endpoint_number(cli, what, &id);

	if (r)
		return r;
	r = clite_endpoint_remove(cli->ctx, id);
	if (r < 0)
		return fail(cli, r);
	return say_deleted(cli, "endpoint", id, done);
}

int cmd_endpoint_delete(struct cli *cli)
{
	_cleanup_json_ json_t *done = json_new_array();
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	for (int i = 0; !r && i < cli->nargs; i++)
		r = delete_one(cli, cli->args[i], done);
	if (cli->json && cli->ctx)
		json_print(json_incref(done));
	return r;
}
