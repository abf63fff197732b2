/* SPDX-License-Identifier: BSD-2-Clause */
/* Cgroups whose processes find services at the socket. */
#include <stdio.h>

#include "output.h"

static int change(struct cli *cli, int (*how)(struct clite_ctx *, const char *), const char *done)
{
	json_t *object;
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (r)
		return r;
	r = how(cli->ctx, cli->args[0]);
	if (r < 0)
		return fail(cli, r);
	if (!cli->json) {
		printf("cgroup '%s' %s\n", cli->args[0], done);
		return CLI_OK;
	}
	object = json_new_object();
	json_put_text(object, "path", cli->args[0]);
	json_print(object);
	return CLI_OK;
}

int cmd_cgroup_attach(struct cli *cli)
{
	return change(cli, clite_cgroup_attach, "attached");
}

int cmd_cgroup_detach(struct cli *cli)
{
	return change(cli, clite_cgroup_detach, "detached");
}

static const char *const headings[] = { "PATH", "ID" };

static int collect(const struct clite_cgroup_info *info, void *userdata)
{
	struct listing *l = userdata;
	json_t *object;

	if (!l->json) {
		table_cell(&l->table, "%s", info->path);
		table_cell(&l->table, "%llu", (unsigned long long)info->id);
		return 0;
	}
	object = json_new_object();
	json_put_text(object, "path", info->path);
	json_put_number(object, "id", info->id);
	json_add(l->json, object);
	return 0;
}

int cmd_cgroup_list(struct cli *cli)
{
	_cleanup_listing_ struct listing l = { 0 };
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (r)
		return r;
	listing_begin(&l, cli, headings, ARRAY_SIZE(headings));
	return listing_end(&l, clite_cgroup_list(cli->ctx, collect, &l));
}
