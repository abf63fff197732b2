/* SPDX-License-Identifier: BSD-2-Clause */
/* How to reach a server of Hubble's API: options and environment. */
#include <string.h>

#include "hubble.h"

static uint64_t duration_arg(const struct cli *cli, const char *name, const char *text)
{
	uint64_t ns;

	if (!duration_parse(text, &ns) || !ns)
		usage_error(cli, "--%s: '%s' is not a time, such as 5s or 1m30s", name, text);
	return ns;
}

bool server_option(const struct cli *cli, struct server *server, int key, const char *value)
{
	switch (key) {
	case OBS_SERVER:
		server->address = value;
		return true;
	case OBS_TIMEOUT:
		server->timeout = duration_arg(cli, "timeout", value);
		return true;
	case OBS_REQUEST_TIMEOUT:
		server->request_timeout = duration_arg(cli, "request-timeout", value);
		return true;
	case OBS_TLS:
		server->tls = true;
		return true;
	case OBS_TLS_ALLOW_INSECURE:
		server->insecure = true;
		return true;
	case OBS_TLS_CA:
		strings_split(&server->ca, value);
		return true;
	case OBS_TLS_CERT:
		server->cert = value;
		return true;
	case OBS_TLS_KEY:
		server->key = value;
		return true;
	case OBS_TLS_NAME:
		server->name = value;
		return true;
	default:
		return false;
	}
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* --server '' means the instance, whatever the environment says. */
const char *server_address(const struct server *server)
{
	if (server->address)
		return *server->address ? server->address : NULL;
	return variable("CLITE_HUBBLE_SERVER") ?: variable("HUBBLE_SERVER");
}

void server_clear(struct server *server)
{
	strings_clear(&server->ca);
}
