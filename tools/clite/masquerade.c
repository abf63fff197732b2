/* SPDX-License-Identifier: BSD-2-Clause */
/* What endpoints send to the world with the address of the uplink. */
#include <stdio.h>
#include <string.h>

#include "output.h"

static void show_text(const struct clite_masquerade *m)
{
	printf("%-8s : %s\n", "IPv4", m->flags & CLITE_MASQUERADE_IPV4 ? "Enabled" : "Disabled");
	printf("%-8s : %s\n", "IPv6", m->flags & CLITE_MASQUERADE_IPV6 ? "Enabled" : "Disabled");
	printf("%-8s :", "Excluded");
	for (size_t i = 0; m->exclude[i]; i++)
		printf("%s %s", i ? "," : "", m->exclude[i]);
	puts(m->exclude[0] ? "" : " none");
}

static int show(struct cli *cli)
{
	const struct clite_masquerade *m;
	int r = clite_masquerade_get(cli->ctx, &m);
	json_t *object;

	if (r < 0)
		return fail(cli, r);
	if (!cli->json) {
		show_text(m);
		return CLI_OK;
	}
	object = json_new_object();
	json_put(object, "ipv4", json_boolean(m->flags & CLITE_MASQUERADE_IPV4));
	json_put(object, "ipv6", json_boolean(m->flags & CLITE_MASQUERADE_IPV6));
	json_put(object, "exclude", json_strings(m->exclude));
	json_print(object);
	return CLI_OK;
}

static void family_arg(const struct cli *cli, const char *option, uint32_t bit, uint32_t *flags)
{
	if (!strcmp(cli->value, "on"))
		*flags |= bit;
	else if (!strcmp(cli->value, "off"))
		*flags &= ~bit;
	else
		usage_error(cli, "%s: '%s' is neither on nor off", option, cli->value);
}

/* What is not said stays as it is. */
struct change {
	uint32_t on, off; /* bits of flags */
	struct strings exclude;
	bool exclude_given;
};

static bool change_parse(struct cli *cli, struct change *c)
{
	uint32_t flags[2] = { 0, UINT32_MAX }; /* once from nothing, once from everything */
	bool any = false;
	int key;

	while ((key = cli_option(cli))) {
		uint32_t bit = key == OPT_IPV4 ? CLITE_MASQUERADE_IPV4 : CLITE_MASQUERADE_IPV6;

		any = true;
		if (key == OPT_EXCLUDE) {
			c->exclude_given = true;
			strings_split(&c->exclude, cli->value);
			continue;
		}
		for (int i = 0; i < 2; i++)
			family_arg(cli, key == OPT_IPV4 ? "--ipv4" : "--ipv6", bit, &flags[i]);
	}
	c->on = flags[0];
	c->off = ~flags[1];
	return any;
}

int cmd_masquerade(struct cli *cli)
{
	struct clite_masquerade opts = { .sz = sizeof(opts) };
	const struct clite_masquerade *now;
	struct change c = { 0 };
	bool any = change_parse(cli, &c);
	int r = cli_open(cli);

	if (!r && any) {
		r = clite_masquerade_get(cli->ctx, &now);
		for (size_t i = 0; !r && !c.exclude_given && now->exclude[i]; i++)
			strings_add(&c.exclude, now->exclude[i]);
		if (!r) {
			opts.flags = (now->flags | c.on) & ~c.off;
			opts.exclude = (const char *const *)c.exclude.items;
			r = clite_masquerade_set(cli->ctx, &opts);
		}
		if (r < 0)
			r = fail(cli, r);
	}
	strings_clear(&c.exclude);
	return r ? r : show(cli);
}
