/* SPDX-License-Identifier: BSD-2-Clause */
/* Instances and their uplinks. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "output.h"

static void say(const struct cli *cli, const char *kind, const char *name, const char *done)
{
	json_t *object;

	if (!cli->json) {
		printf("%s '%s' %s\n", kind, name, done);
		return;
	}
	object = json_new_object();
	json_put_text(object, "name", name);
	json_print(object);
}

/* ---- instance ------------------------------------------------------------- */

static void snat_ports_arg(const struct cli *cli, struct clite_open_opts *opts)
{
	_cleanup_free_ char *first = xstrdup(cli->value);
	char *last = strchr(first, '-');

	if (!last)
		usage_error(cli, "--snat-ports: '%s' is not FIRST-LAST", cli->value);
	*last++ = '\0';
	opts->snat_first = number_arg(cli, "--snat-ports", first, 1, 65535);
	opts->snat_last = number_arg(cli, "--snat-ports", last, opts->snat_first, 65535);
}

static void create_options(struct cli *cli, struct clite_open_opts *opts,
			   struct clite_config *config)
{
	int key;

	opts->flags = CLITE_OPEN_CREATE | CLITE_OPEN_EXCLUSIVE | CLITE_OPEN_MOUNT_BPFFS;
	while ((key = cli_option(cli))) {
		switch (key) {
		case OPT_FLOWS4:
			opts->flows4 = number_arg(cli, "--flows4", cli->value, 1, UINT32_MAX);
			break;
		case OPT_FLOWS6:
			opts->flows6 = number_arg(cli, "--flows6", cli->value, 1, UINT32_MAX);
			break;
		case OPT_ENDPOINTS:
			opts->endpoints = number_arg(cli, "--endpoints", cli->value, 1, 65535);
			break;
		case OPT_SERVICES:
			opts->services = number_arg(cli, "--services", cli->value, 1, UINT32_MAX);
			break;
		case OPT_MAX_BACKENDS:
			opts->backends = number_arg(cli, "--backends", cli->value, 1, UINT32_MAX);
			break;
		case OPT_SNAT_PORTS:
			snat_ports_arg(cli, opts);
			break;
		case OPT_POLICIES:
			opts->policies = number_arg(cli, "--policies", cli->value, 1, UINT32_MAX);
			break;
		case OPT_CLSACT:
			opts->flags |= CLITE_OPEN_CLSACT;
			break;
		case OPT_NEIGH:
			opts->flags |= CLITE_OPEN_NEIGH;
			break;
		case OPT_CONFIG:
			config_arg(cli, cli->value, config);
			break;
		case OPT_IF_ABSENT:
			opts->flags &= ~CLITE_OPEN_EXCLUSIVE;
			break;
		}
	}
}

int cmd_instance_create(struct cli *cli)
{
	char errbuf[ERRBUF_SIZE] = "";
	struct clite_config config = { .sz = sizeof(config) };
	struct clite_open_opts opts = {
		.sz = sizeof(opts),
		.errbuf = errbuf,
		.errbuf_size = sizeof(errbuf),
		.config = &config,
	};
	const char *name;
	int r;

	create_options(cli, &opts, &config);
	opts.bpffs = cli->bpffs;
	name = cli->nargs ? cli->args[0] : cli->instance;
	r = clite_open(name, &opts, &cli->ctx);
	if (r < 0)
		return fail_text(cli, r, errbuf);
	say(cli, "instance", name, opts.flags & CLITE_OPEN_EXCLUSIVE ? "created" : "is there");
	return CLI_OK;
}

int cmd_instance_delete(struct cli *cli)
{
	int r;

	cli_arguments(cli);
	cli->instance = cli->args[0];
	r = cli_open(cli);
	if (r)
		return r;
	r = clite_destroy(cli->ctx);
	if (r < 0)
		return fail(cli, r);
	say(cli, "instance", cli->instance, "deleted");
	return CLI_OK;
}

static const char *const headings[] = { "NAME" };

static int collect(const char *name, void *userdata)
{
	struct listing *l = userdata;
	json_t *object;

	if (!l->json) {
		table_cell(&l->table, "%s", name);
		return 0;
	}
	object = json_new_object();
	json_put_text(object, "name", name);
	json_add(l->json, object);
	return 0;
}

int cmd_instance_list(struct cli *cli)
{
	_cleanup_listing_ struct listing l = { 0 };
	int r;

	cli_arguments(cli);
	listing_begin(&l, cli, headings, ARRAY_SIZE(headings));
	r = clite_instance_list(cli->bpffs, collect, &l);
	if (r == -CLITE_ENOBPFFS) {
		complain(cli, "no bpf file system at %s: 'clite instance create' mounts it",
			 cli->bpffs ? cli->bpffs : "/sys/fs/bpf");
		return CLI_FAILED;
	}
	return listing_end(&l, r);
}

/* ---- device --------------------------------------------------------------- */

static void device_options(struct cli *cli, struct clite_device_opts *opts)
{
	int key;

	while ((key = cli_option(cli))) {
		switch (key) {
		case OPT_XDP:
			opts->flags |= CLITE_DEVICE_XDP;
			break;
		case OPT_XDP_GENERIC:
			opts->flags |= CLITE_DEVICE_XDP_GENERIC;
			break;
		case OPT_DSR:
			opts->flags |= CLITE_DEVICE_DSR;
			break;
		case OPT_FLOWS4:
			opts->flows4 = number_arg(cli, "--flows4", cli->value, 1, UINT32_MAX);
			break;
		case OPT_FLOWS6:
			opts->flows6 = number_arg(cli, "--flows6", cli->value, 1, UINT32_MAX);
			break;
		case OPT_NEW_FLOWS:
			opts->new_flows = number_arg(cli, "--new-flows", cli->value, 1, UINT32_MAX);
			break;
		case OPT_GUE_PORT:
			opts->gue_port =
				(uint16_t)number_arg(cli, "--gue-port", cli->value, 1, 65535);
			break;
		case OPT_SOURCE4:
			opts->source4 = cli->value;
			break;
		case OPT_SOURCE6:
			opts->source6 = cli->value;
			break;
		}
	}
}

int cmd_device_attach(struct cli *cli)
{
	struct clite_device_opts opts = { .sz = sizeof(opts) };
	int r;

	device_options(cli, &opts);
	r = cli_open(cli);
	if (r)
		return r;
	r = clite_device_attach_opts(cli->ctx, cli->args[0], &opts);
	if (r < 0)
		return fail(cli, r);
	say(cli, "device", cli->args[0], "attached");
	return CLI_OK;
}

int cmd_device_detach(struct cli *cli)
{
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (r)
		return r;
	r = clite_device_detach(cli->ctx, cli->args[0]);
	if (r < 0)
		return fail(cli, r);
	say(cli, "device", cli->args[0], "detached");
	return CLI_OK;
}
