/* SPDX-License-Identifier: BSD-2-Clause */
/* Hubble's API in the configuration. */
#include <string.h>

#include "config_read.h"

#define FLOWS_MAX (1u << 28) /* the library's own limit */

static void listener_clear(struct hubble_listener *l)
{
	free(l->address);
	free(l->cert);
	free(l->key);
	free(l->client_ca);
	free(l->server_name);
	free(l->announce);
}

void hubble_config_clear(struct hubble_config *c)
{
	for (size_t i = 0; i < c->nlisteners; i++)
		listener_clear(&c->listeners[i]);
	free(c->listeners);
}

static bool listener_finish(struct reader *r, yaml_node_t *node, const struct hubble_listener *l)
{
	if (!l->address)
		return wrong(r, node, "listen: an address is missing");
	if (!l->cert != !l->key)
		return wrong(r, node, "listen: '%s' has a %s and no %s", l->address,
			     l->cert ? "cert" : "key", l->cert ? "key" : "cert");
	if (l->client_ca && !l->cert)
		return wrong(r, node, "listen: '%s' has a client-ca, but neither cert nor key",
			     l->address);
	return true;
}

static bool add_listener(struct reader *r, const char *what, yaml_node_t *node, void *into)
{
	static const struct key keys[] = {
		{ "address", read_text, offsetof(struct hubble_listener, address), 0, 0 },
		{ "cert", read_text, offsetof(struct hubble_listener, cert), 0, 0 },
		{ "key", read_text, offsetof(struct hubble_listener, key), 0, 0 },
		{ "client-ca", read_text, offsetof(struct hubble_listener, client_ca), 0, 0 },
		{ "server-name", read_text, offsetof(struct hubble_listener, server_name), 0, 0 },
		{ "announce", read_text, offsetof(struct hubble_listener, announce), 0, 0 },
		{ "mode", read_mode, offsetof(struct hubble_listener, mode), 0, 0 },
		{ 0 },
	};
	struct hubble_config *c = into;
	struct hubble_listener *l;

	c->listeners = xrealloc(c->listeners, c->nlisteners + 1, sizeof(*c->listeners));
	l = &c->listeners[c->nlisteners++];
	*l = (struct hubble_listener){ 0 };
	if (node->type == YAML_SCALAR_NODE)
		return read_text(r, &keys[0], node, l);
	return read_map(r, what, node, keys, l) && listener_finish(r, node, l);
}

static bool read_listeners(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	struct hubble_config *c = into;

	if (!each(r, key->name, node, add_listener, c))
		return false;
	for (size_t i = 0; i < c->nlisteners; i++) {
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(c->listeners[i].address, c->listeners[j].address))
				return wrong(r, node, "%s: '%s' is there twice", key->name,
					     c->listeners[i].address);
		}
	}
	return true;
}

bool read_hubble(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	static const struct key keys[] = {
		{ "listen", read_listeners, 0, 0, 0 },
		{ "flows", read_number, offsetof(struct hubble_config, flows), 1, FLOWS_MAX },
		{ "aggregation", read_level, offsetof(struct hubble_config, level), 0, 0 },
		{ 0 },
	};

#ifndef HAVE_HUBBLE
	return wrong(r, node, "%s: " NO_HUBBLE, key->name);
#endif
	return read_map(r, key->name, node, keys, at(into, key));
}
