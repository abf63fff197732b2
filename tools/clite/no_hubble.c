/* SPDX-License-Identifier: BSD-2-Clause */
/* What the commands say when clite was built without libcilium-lite-hubble. */
#include "observe_run.h"

static int missing(const struct cli *cli)
{
	complain(cli, "this clite was built without libcilium-lite-hubble, which talks to servers "
		      "(meson option \"hubble\")");
	return CLI_FAILED;
}

int observe_server(struct observe *o)
{
	return missing(o->cli);
}

/* --help and wrong options are answered as ever. */
static int command(struct cli *cli)
{
	while (cli_option(cli))
		;
	return missing(cli);
}

int cmd_hubble_status(struct cli *cli)
{
	return command(cli);
}

int cmd_hubble_list_nodes(struct cli *cli)
{
	return command(cli);
}

int cmd_hubble_list_namespaces(struct cli *cli)
{
	return command(cli);
}

int cmd_hubble_watch_peers(struct cli *cli)
{
	return command(cli);
}
