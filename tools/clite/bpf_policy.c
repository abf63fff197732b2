/* SPDX-License-Identifier: BSD-2-Clause */
/* Compiled verdicts, and the rules behind them. */
#include <stdio.h>
#include <string.h>

#include "output.h"

struct verdicts {
	struct clite_policy_entry *items;
	size_t n, cap;
};

static void verdicts_clear(struct verdicts *v)
{
	free(v->items);
	*v = (struct verdicts){ 0 };
}
#define _cleanup_verdicts_ _cleanup_(verdicts_clear)

/* The callback may not ask for labels and rules: that comes afterwards. */
static int verdicts_collect(const struct clite_policy_entry *entry, void *userdata)
{
	struct verdicts *v = userdata;

	if (v->n == v->cap) {
		v->cap = v->cap ? v->cap * 2 : 64;
		v->items = xrealloc(v->items, v->cap, sizeof(*v->items));
	}
	v->items[v->n++] = *entry;
	return 0;
}

static int order(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int verdict_order(const void *x, const void *y)
{
	const struct clite_policy_entry *a = x, *b = y;
	int r = order(a->direction, b->direction);

	r = r ? r : order(a->identity, b->identity);
	r = r ? r : order(a->protocol, b->protocol);
	return r ? r : order(a->port, b->port);
}

static int verdicts_read(struct cli *cli, uint32_t endpoint, struct verdicts *v)
{
	int r = clite_policy_entries(cli->ctx, endpoint, verdicts_collect, v);

	if (r < 0)
		return fail(cli, r);
	if (v->n)
		qsort(v->items, v->n, sizeof(*v->items), verdict_order);
	return CLI_OK;
}

static char *port_text(const struct clite_policy_entry *e)
{
	_cleanup_free_ char *protocol = protocol_text(e->protocol);

	if (!e->port && e->end_port == UINT16_MAX)
		return e->protocol ? xprintf("ANY/%s", protocol) : xstrdup("ANY");
	if (e->end_port > e->port)
		return xprintf("%u-%u/%s", e->port, e->end_port, protocol);
	return xprintf("%u/%s", e->port, protocol);
}

static const char *action_text(uint32_t action)
{
	return action == CLITE_DENY ? "Deny" : "Allow";
}

/* Borrowed: until the next call on the context. */
static const char *const *verdict_labels(struct cli *cli, uint32_t identity)
{
	static const char *const any[] = { "ANY", NULL };
	const struct clite_identity_info *info;

	if (!identity)
		return any;
	return clite_identity_get(cli->ctx, identity, &info) < 0 ? NULL : info->labels;
}

static const char *const verdict_headings[] = {
	"POLICY", "DIRECTION", "LABELS (source:key[=value])", "PORT/PROTO", "RULE",
};

static const char *const numeric_headings[] = {
	"POLICY", "DIRECTION", "IDENTITY", "PORT/PROTO", "RULE",
};

#define LABELS_COLUMN 2

static void verdict_row(struct cli *cli, struct table *t, const struct clite_policy_entry *e,
			bool numeric)
{
	_cleanup_free_ char *rule = rule_text(cli, e->rule, false), *port = port_text(e);
	const char *const *labels = numeric ? NULL : verdict_labels(cli, e->identity);

	table_cell(t, "%s", action_text(e->action));
	table_cell(t, "%s", direction_text(e->direction));
	if (labels && *labels)
		table_cell(t, "%s", *labels);
	else
		table_cell(t, "%u", e->identity);
	table_cell(t, "%s", port);
	table_cell(t, "%s", rule);
	if (labels)
		table_more_labels(t, LABELS_COLUMN, labels);
}

static json_t *rule_json(struct cli *cli, uint32_t cookie)
{
	const struct clite_rule_info *rule;
	json_t *object;

	if (!cookie || clite_rule_get(cli->ctx, cookie, &rule) < 0)
		return json_null();
	object = json_new_object();
	json_put_text(object, "policy", rule->policy);
	json_put_number(object, "index", rule->index);
	json_put_text(object, "filename", rule->filename);
	json_put_number(object, "line", rule->line);
	return object;
}

static json_t *verdict_json(struct cli *cli, uint32_t endpoint, const struct clite_policy_entry *e)
{
	_cleanup_free_ char *protocol = protocol_text(e->protocol);
	const char *const *labels = verdict_labels(cli, e->identity);
	json_t *object = json_new_object();

	json_put_number(object, "endpoint", endpoint);
	json_put_text(object, "policy", action_text(e->action));
	json_put_text(object, "direction", direction_text(e->direction));
	json_put_number(object, "identity", e->identity);
	json_put(object, "labels", labels ? json_strings(labels) : json_new_array());
	json_put_text(object, "protocol", protocol);
	json_put_number(object, "port", e->port);
	json_put_number(object, "end-port", e->end_port);
	json_put(object, "rule", rule_json(cli, e->rule));
	return object;
}

struct policy_listing {
	bool numeric;
	bool headers; /* several endpoints: say which */
	json_t *json;
};

static int policy_show(struct cli *cli, const struct policy_listing *l, uint32_t endpoint)
{
	_cleanup_verdicts_ struct verdicts v = { 0 };
	_cleanup_table_ struct table t;
	int r = verdicts_read(cli, endpoint, &v);

	table_init(&t, ARRAY_SIZE(verdict_headings));
	if (r)
		return r;
	for (size_t i = 0; l->json && i < v.n; i++)
		json_add(l->json, verdict_json(cli, endpoint, &v.items[i]));
	if (l->json)
		return CLI_OK;
	table_headings(cli, &t, l->numeric ? numeric_headings : verdict_headings);
	for (size_t i = 0; i < v.n; i++)
		verdict_row(cli, &t, &v.items[i], l->numeric);
	if (l->headers)
		printf("Endpoint ID: %u\n\n", endpoint);
	table_print(&t);
	if (l->headers)
		puts("\n");
	return CLI_OK;
}

struct numbers {
	uint32_t *items;
	size_t n, cap;
};

static int collect_endpoint(const struct clite_endpoint_info *ep, void *userdata)
{
	struct numbers *list = userdata;

	if (list->n == list->cap) {
		list->cap = list->cap ? list->cap * 2 : 64;
		list->items = xrealloc(list->items, list->cap, sizeof(*list->items));
	}
	list->items[list->n++] = ep->id;
	return 0;
}

static int policy_show_all(struct cli *cli, const struct policy_listing *l)
{
	struct numbers list = { 0 };
	int r = clite_endpoint_list(cli->ctx, collect_endpoint, &list);

	r = r < 0 ? fail(cli, r) : CLI_OK;
	for (size_t i = 0; !r && i < list.n; i++)
		r = policy_show(cli, l, list.items[i]);
	free(list.items);
	return r;
}

int cmd_bpf_policy_get(struct cli *cli)
{
	_cleanup_json_ json_t *array = json_new_array();
	struct policy_listing l = { 0 };
	bool all = false;
	uint32_t endpoint;
	int key, r;

	while ((key = cli_option(cli))) {
		all = all || key == OPT_ALL;
		l.numeric = l.numeric || key == 'n';
	}
	if (all && cli->nargs)
		usage_error(cli, "give an endpoint or --all, not both");
	r = cli_open(cli);
	if (r)
		return r;
	l.json = cli->json ? array : NULL;
	l.headers = !cli->nargs;
	if (cli->nargs) {
		r = endpoint_number(cli, cli->args[0], &endpoint);
		r = r ? r : policy_show(cli, &l, endpoint);
	} else {
		r = policy_show_all(cli, &l);
	}
	if (!r && cli->json)
		json_print(json_incref(array));
	return r;
}
