/* SPDX-License-Identifier: BSD-2-Clause */
/* Services from Kubernetes' documents. */
#include <stdio.h>
#include <string.h>

#include "output.h"

static int import_file(struct cli *cli, const char *path, struct clite_service_import_opts *opts)
{
	_cleanup_document_ struct document doc = { 0 };
	int r = document_load(path, &doc);

	if (r < 0) {
		_cleanup_free_ char *text = xprintf("%s: %s", doc.name, strerror(-r));

		return -fail_text(cli, r, text);
	}
	opts->filename = doc.name;
	r = clite_service_import(cli->ctx, doc.text ? doc.text : "", doc.len, opts);
	return r < 0 ? -fail(cli, r) : r;
}

int cmd_service_import(struct cli *cli)
{
	struct clite_service_import_opts opts = { .sz = sizeof(opts) };
	_cleanup_strings_ struct strings addresses = { 0 };
	int key, r, services = 0;

	while ((key = cli_option(cli))) {
		switch (key) {
		case OPT_SOURCE:
			opts.source = cli->value;
			break;
		case OPT_NODE:
			opts.node = cli->value;
			break;
		case OPT_ZONE:
			opts.zone = cli->value;
			break;
		case OPT_NODE_ADDRESS:
			strings_split(&addresses, cli->value);
			break;
		}
	}
	if (opts.source && cli->nargs > 1)
		usage_error(cli, "--source is the name of one file: each of several has its own");
	opts.node_addresses = (const char *const *)addresses.items;
	r = cli_open(cli);
	if (r)
		return r;
	for (int i = 0; i < cli->nargs; i++) {
		r = import_file(cli, cli->args[i], &opts);
		if (r < 0)
			return -r;
		services += r;
	}
	if (cli->json) {
		json_t *object = json_new_object();

		json_put_number(object, "services", (uint64_t)services);
		json_print(object);
	} else {
		printf("%d %s imported\n", services, services == 1 ? "service" : "services");
	}
	return CLI_OK;
}
