/* SPDX-License-Identifier: BSD-2-Clause */
/* What is in the maps: load balancing, addresses, counters. */
#include <stdio.h>
#include <string.h>

#include "output.h"

/* ---- bpf lb list ---------------------------------------------------------- */

static const char *const lb_headings[] = {
	"SERVICE ADDRESS",
	"BACKEND ADDRESS (REVNAT_ID) (SLOT)",
};

static const char *lb_algorithm(const struct clite_service_info *svc)
{
	return svc->algorithm == CLITE_LB_MAGLEV ? "maglev" : "random";
}

/* Slot 0 stands for the service, the others for its back ends. */
static void lb_rows(struct table *t, const struct clite_service_info *svc)
{
	_cleanup_free_ char *protocol = protocol_text(svc->protocol);
	_cleanup_free_ char *frontend = address_text(svc->address, svc->port, protocol);

	table_cell(t, "%s (0)", frontend);
	table_cell(t, "%s:0 (%u) (0) [ClusterIP, %s]",
		   strchr(svc->address, ':') ? "[::]" : "0.0.0.0", svc->id, lb_algorithm(svc));
	for (size_t i = 0; i < svc->nbackends; i++) {
		const struct clite_backend *be = &svc->backends[i];
		_cleanup_free_ char *backend =
			address_text(be->address, be->port ? be->port : svc->port, protocol);

		table_cell(t, "%s (%zu)", frontend, i + 1);
		if (be->state == CLITE_BACKEND_ACTIVE)
			table_cell(t, "%s (%u) (%zu)", backend, svc->id, i + 1);
		else
			table_cell(t, "%s (%u) (%zu) [%s]", backend, svc->id, i + 1,
				   backend_state_text(be->state));
	}
}

static json_t *lb_json(const struct clite_service_info *svc, const char *protocol,
		       const struct clite_backend *be, size_t slot)
{
	_cleanup_free_ char *frontend = address_text(svc->address, svc->port, protocol);
	_cleanup_free_ char *backend =
		address_text(be->address, be->port ? be->port : svc->port, protocol);
	json_t *object = json_new_object();

	json_put_text(object, "service-address", frontend);
	json_put_text(object, "backend-address", backend);
	json_put_number(object, "revnat-id", svc->id);
	json_put_number(object, "slot", slot);
	json_put_text(object, "state", backend_state_text(be->state));
	json_put_number(object, "weight", be->weight ? be->weight : 1);
	json_put_text(object, "algorithm", lb_algorithm(svc));
	return object;
}

static int lb_collect(const struct clite_service_info *svc, void *userdata)
{
	_cleanup_free_ char *protocol = protocol_text(svc->protocol);
	struct listing *l = userdata;

	if (!l->json)
		lb_rows(&l->table, svc);
	for (size_t i = 0; l->json && i < svc->nbackends; i++)
		json_add(l->json, lb_json(svc, protocol, &svc->backends[i], i + 1));
	return 0;
}

int cmd_bpf_lb_list(struct cli *cli)
{
	_cleanup_listing_ struct listing l = { 0 };
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (r)
		return r;
	listing_begin(&l, cli, lb_headings, ARRAY_SIZE(lb_headings));
	return listing_end(&l, clite_service_list(cli->ctx, lb_collect, &l));
}

/* ---- bpf ipcache ---------------------------------------------------------- */

static const char *const ipcache_headings[] = { "IP PREFIX/ADDRESS", "IDENTITY" };

static const char *ipcache_source(uint32_t source)
{
	switch (source) {
	case CLITE_IPCACHE_ENDPOINT:
		return "endpoint";
	case CLITE_IPCACHE_CIDR:
		return "policy";
	case CLITE_IPCACHE_USER:
		return "user";
	default:
		return "unknown";
	}
}

static void ipcache_row(struct table *t, const struct clite_ipcache_info *entry)
{
	const char *source = ipcache_source(entry->source);

	table_cell(t, "%s", entry->prefix);
	if (entry->endpoint)
		table_cell(t, "identity=%u source=%s endpoint=%u", entry->identity, source,
			   entry->endpoint);
	else
		table_cell(t, "identity=%u source=%s", entry->identity, source);
}

static json_t *ipcache_json(const struct clite_ipcache_info *entry)
{
	json_t *object = json_new_object();

	json_put_text(object, "cidr", entry->prefix);
	json_put_number(object, "identity", entry->identity);
	json_put_text(object, "source", ipcache_source(entry->source));
	if (entry->endpoint)
		json_put_number(object, "endpoint", entry->endpoint);
	return object;
}

static int ipcache_collect(const struct clite_ipcache_info *entry, void *userdata)
{
	struct listing *l = userdata;

	if (l->json)
		json_add(l->json, ipcache_json(entry));
	else
		ipcache_row(&l->table, entry);
	return 0;
}

int cmd_bpf_ipcache_list(struct cli *cli)
{
	_cleanup_listing_ struct listing l = { 0 };
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (r)
		return r;
	listing_begin(&l, cli, ipcache_headings, ARRAY_SIZE(ipcache_headings));
	return listing_end(&l, clite_ipcache_list(cli->ctx, ipcache_collect, &l));
}

/* Say what an address or prefix has: what get found, and what set made. */
static void ipcache_say(const struct cli *cli, const char *what, uint32_t identity)
{
	json_t *object;

	if (!cli->json) {
		printf("%s maps to identity %u\n", what, identity);
		return;
	}
	object = json_new_object();
	json_put_text(object, "cidr", what);
	json_put_number(object, "identity", identity);
	json_print(object);
}

int cmd_bpf_ipcache_get(struct cli *cli)
{
	uint32_t identity;
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (r)
		return r;
	r = clite_ipcache_get(cli->ctx, cli->args[0], &identity);
	if (r < 0)
		return fail(cli, r);
	ipcache_say(cli, cli->args[0], identity);
	return CLI_OK;
}

int cmd_bpf_ipcache_set(struct cli *cli)
{
	uint32_t identity;
	int r;

	cli_arguments(cli);
	identity = number_arg(cli, "identity", cli->args[1], 1, UINT32_MAX);
	r = cli_open(cli);
	if (r)
		return r;
	r = clite_ipcache_set(cli->ctx, cli->args[0], identity);
	if (r < 0)
		return fail(cli, r);
	ipcache_say(cli, cli->args[0], identity);
	return CLI_OK;
}

int cmd_bpf_ipcache_delete(struct cli *cli)
{
	json_t *object;
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (r)
		return r;
	r = clite_ipcache_unset(cli->ctx, cli->args[0]);
	if (r < 0)
		return fail(cli, r);
	if (cli->json) {
		object = json_new_object();
		json_put_text(object, "cidr", cli->args[0]);
		json_print(object);
	} else {
		printf("%s deleted\n", cli->args[0]);
	}
	return CLI_OK;
}

/* ---- bpf metrics ---------------------------------------------------------- */

static const char *const metrics_headings[] = { "REASON", "DIRECTION", "PACKETS", "BYTES" };

static const struct {
	const char *text, *json;
} metrics_directions[] = {
	{ "UNKNOWN", "unknown" },
	[CLITE_INGRESS] = { "INGRESS", "ingress" },
	[CLITE_EGRESS] = { "EGRESS", "egress" },
};

static int metrics_collect(const struct clite_counter_info *counter, void *userdata)
{
	uint32_t direction =
		counter->direction < ARRAY_SIZE(metrics_directions) ? counter->direction : 0;
	_cleanup_free_ char *reason = reason_text(counter->reason);
	struct listing *l = userdata;
	json_t *object;

	if (!l->json) {
		table_cell(&l->table, "%s", reason);
		table_cell(&l->table, "%s", metrics_directions[direction].text);
		table_cell(&l->table, "%llu", (unsigned long long)counter->packets);
		table_cell(&l->table, "%llu", (unsigned long long)counter->bytes);
		return 0;
	}
	object = json_new_object();
	json_put_text(object, "reason", reason);
	json_put_number(object, "code", counter->reason);
	json_put_text(object, "direction", metrics_directions[direction].json);
	json_put_number(object, "packets", counter->packets);
	json_put_number(object, "bytes", counter->bytes);
	json_add(l->json, object);
	return 0;
}

int cmd_bpf_metrics_list(struct cli *cli)
{
	_cleanup_listing_ struct listing l = { 0 };
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (r)
		return r;
	listing_begin(&l, cli, metrics_headings, ARRAY_SIZE(metrics_headings));
	return listing_end(&l, clite_counter_list(cli->ctx, metrics_collect, &l));
}
