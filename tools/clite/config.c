/* SPDX-License-Identifier: BSD-2-Clause */
/* Settings of the instance and of endpoints, by Cilium's names for them. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "output.h"

struct setting {
	const char *name;
	const char *const *values; /* by number; ends with NULL */
	uint32_t *at;
};

static const char *const switches[] = { "Disabled", "Enabled", NULL };
static const char *const enforcements[] = { "default", "always", "never", NULL };
static const char *const localhosts[] = { "policy", "always", NULL };

/* "KEY=VALUE"; what is wrong is a usage error. */
static void set(const struct cli *cli, const char *text, const struct setting *settings, size_t n)
{
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text), i = 0;
	uint32_t value = 0;

	while (i < n && (strlen(settings[i].name) != len ||
			 strncasecmp(settings[i].name, text, len) != 0))
		i++;
	if (i == n)
		usage_error(cli, "'%.*s' is no setting: see the help", (int)len, text);
	if (!equals)
		usage_error(cli, "write it as %s=VALUE", settings[i].name);
	while (settings[i].values[value] && strcasecmp(settings[i].values[value], equals + 1) != 0)
		value++;
	if (!settings[i].values[value])
		usage_error(cli, "%s: '%s' is none of %s, %s%s%s", settings[i].name, equals + 1,
			    settings[i].values[0], settings[i].values[1],
			    settings[i].values[2] ? ", " : "",
			    settings[i].values[2] ? settings[i].values[2] : "");
	*settings[i].at = value;
}

#define SETTINGS 3

static void settings_of(struct clite_config *c, struct setting ret[SETTINGS])
{
	ret[0] = (struct setting){ "PolicyEnforcement", enforcements, &c->enforcement };
	ret[1] = (struct setting){ "PolicyAuditMode", switches, &c->audit };
	ret[2] = (struct setting){ "AllowLocalhost", localhosts, &c->allow_localhost };
}

void config_arg(const struct cli *cli, const char *text, struct clite_config *config)
{
	struct setting settings[SETTINGS];

	settings_of(config, settings);
	set(cli, text, settings, SETTINGS);
}

static void show(struct cli *cli, const struct setting *settings, size_t n)
{
	json_t *object = cli->json ? json_new_object() : NULL;

	for (size_t i = 0; i < n; i++) {
		const char *value = settings[i].values[*settings[i].at];

		if (object)
			json_put_text(object, settings[i].name, value);
		else
			printf("%-18s : %s\n", settings[i].name, value);
	}
	if (object)
		json_print(object);
}

int cmd_config(struct cli *cli)
{
	struct clite_config config = { .sz = sizeof(config) };
	struct setting settings[SETTINGS];
	int r;

	cli_arguments(cli);
	for (int i = 0; i < cli->nargs; i++) /* mistakes are told before anything is done */
		config_arg(cli, cli->args[i], &config);
	r = cli_open(cli);
	if (r)
		return r;
	r = clite_config_get(cli->ctx, &config);
	if (r < 0)
		return fail(cli, r);
	for (int i = 0; i < cli->nargs; i++)
		config_arg(cli, cli->args[i], &config);
	if (cli->nargs) {
		r = clite_config_set(cli->ctx, &config);
		if (r < 0)
			return fail(cli, r);
	}
	settings_of(&config, settings);
	show(cli, settings, SETTINGS);
	return CLI_OK;
}

int cmd_endpoint_config(struct cli *cli)
{
	const struct clite_endpoint_info *info;
	uint32_t audit = 0, id;
	const struct setting settings[] = { { "PolicyAuditMode", switches, &audit } };
	int r;

	cli_arguments(cli);
	for (int i = 1; i < cli->nargs; i++)
		set(cli, cli->args[i], settings, ARRAY_SIZE(settings));
	r = cli_open(cli);
	if (!r)
		r = endpoint_number(cli, cli->args[0], &id);
	if (r)
		return r;
	r = cli->nargs > 1 ? clite_endpoint_set_audit(cli->ctx, id, audit) : 0;
	if (!r)
		r = clite_endpoint_get(cli->ctx, id, &info);
	if (r < 0)
		return fail(cli, r);
	audit = info->audit;
	show(cli, settings, ARRAY_SIZE(settings));
	return CLI_OK;
}
