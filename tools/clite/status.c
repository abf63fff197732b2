/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "output.h"

/* ---- features of the kernel ----------------------------------------------- */

static const char *const feature_headings[] = { "FEATURE", "PRESENT", "REQUIRED", "REASON" };

struct features {
	struct listing list;
	bool missing; /* a required one */
};

static int collect_feature(const struct clite_feature *f, void *userdata)
{
	struct features *all = userdata;
	struct table *t = &all->list.table;
	json_t *object;

	if (f->required && !f->present)
		all->missing = true;
	if (!all->list.json) {
		table_cell(t, "%s", f->name);
		table_cell(t, "%s", f->present ? "yes" : "no");
		table_cell(t, "%s", f->required ? "yes" : "no");
		table_cell(t, "%s", f->reason);
		return 0;
	}
	object = json_new_object();
	json_put_text(object, "name", f->name);
	json_put_bool(object, "present", f->present);
	json_put_bool(object, "required", f->required);
	json_put_text(object, "reason", f->reason);
	json_add(all->list.json, object);
	return 0;
}

static int show_features(struct cli *cli)
{
	struct features all = { 0 };
	int r;

	listing_begin(&all.list, cli, feature_headings, ARRAY_SIZE(feature_headings));
	r = listing_end(&all.list, clite_probe(collect_feature, &all));
	listing_clear(&all.list);
	if (r || !all.missing)
		return r;
	complain(cli, "this kernel lacks a feature that is required");
	return CLI_FAILED;
}

/* ---- counters ------------------------------------------------------------- */

struct counters {
	struct clite_counter_info *items;
	size_t n, cap;
};

static int collect_counter(const struct clite_counter_info *counter, void *userdata)
{
	struct counters *c = userdata;

	if (c->n == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 16;
		c->items = xrealloc(c->items, c->cap, sizeof(*c->items));
	}
	c->items[c->n++] = *counter;
	return 0;
}

/* Most packets first. */
static int counter_order(const void *x, const void *y)
{
	const struct clite_counter_info *a = x, *b = y;

	return a->packets > b->packets ? -1 : a->packets < b->packets;
}

/* One counter for each drop reason, both directions together. */
static struct counters drops_by_reason(const struct counters *all)
{
	struct counters sums = { 0 };

	for (size_t i = 0; i < all->n; i++) {
		const struct clite_counter_info *c = &all->items[i];
		size_t j = 0;

		if (!c->reason)
			continue;
		while (j < sums.n && sums.items[j].reason != c->reason)
			j++;
		if (j == sums.n) {
			collect_counter(c, &sums);
		} else {
			sums.items[j].packets += c->packets;
			sums.items[j].bytes += c->bytes;
		}
	}
	if (sums.n)
		qsort(sums.items, sums.n, sizeof(*sums.items), counter_order);
	return sums;
}

/* ---- text ----------------------------------------------------------------- */

static void line(struct table *t, const char *key, uint64_t n)
{
	table_cell(t, "%s", key);
	table_cell(t, "%llu", (unsigned long long)n);
}

static void lines_verbose(struct table *t, const struct clite_status *s)
{
	table_cell(t, "Path:");
	table_cell(t, "%s", *s->path ? s->path : "none (ephemeral)");
	line(t, "Map layout:", s->layout);
	line(t, "Revision:", s->revision);
	line(t, "Policy tables:", s->policy_tables);
	table_cell(t, "Flow table:");
	table_cell(t, "%u IPv4, %u IPv6 entries at most", s->flows4_max, s->flows6_max);
	table_cell(t, "To the world:");
	table_cell(t, "%s", s->neigh ? "neighbour redirect" : "the host's stack");
}

static void lines_drops(struct table *t, const struct counters *drops)
{
	for (size_t i = 0; i < drops->n; i++) {
		_cleanup_free_ char *reason = reason_text(drops->items[i].reason);

		table_cell(t, "  %s:", reason);
		table_cell(t, "%llu", (unsigned long long)drops->items[i].packets);
	}
}

/* By reason and direction, with bytes: what "bpf metrics list" prints. */
static void lines_counters(struct table *t, const struct counters *all)
{
	if (!all->n)
		return;
	table_cell(t, "Counters:");
	for (size_t i = 0; i < all->n; i++) {
		const struct clite_counter_info *c = &all->items[i];
		_cleanup_free_ char *reason = reason_text(c->reason);

		if (i)
			table_skip(t, 1);
		table_cell(t, "%s, %s: %llu packets, %llu bytes", reason,
			   direction_text(c->direction), (unsigned long long)c->packets,
			   (unsigned long long)c->bytes);
	}
}

static void print_status(const struct clite_status *s, const struct counters *all,
			 const struct counters *drops, bool verbose)
{
	_cleanup_table_ struct table t;

	table_init(&t, 2);
	table_cell(&t, "Instance:");
	table_cell(&t, "%s", s->name);
	table_cell(&t, "Attach mode:");
	table_cell(&t, "%s", s->attach);
	if (verbose)
		lines_verbose(&t, s);
	line(&t, "Endpoints:", s->endpoints);
	line(&t, "Identities:", s->identities);
	line(&t, "Policies:", s->policies);
	line(&t, "Services:", s->services);
	line(&t, "Uplinks:", s->devices);
	line(&t, "Cgroups:", s->cgroups);
	if (s->xdp_native || s->xdp_generic) {
		table_cell(&t, "Uplinks at XDP:");
		table_cell(&t, "%u by the driver, %u by the stack", s->xdp_native, s->xdp_generic);
	}
	line(&t, "Subscribers:", s->subscribers);
	table_cell(&t, "Map memory:");
	table_cell(&t, "%.1f MB", (double)s->map_bytes / 1e6);
	line(&t, "Forwarded:", s->forwarded);
	line(&t, "Dropped:", s->dropped);
	lines_drops(&t, drops);
	if (verbose)
		lines_counters(&t, all);
	table_print(&t);
}

/* ---- JSON ----------------------------------------------------------------- */

static json_t *drops_json(const struct counters *drops)
{
	json_t *array = json_new_array();

	for (size_t i = 0; i < drops->n; i++) {
		const struct clite_counter_info *c = &drops->items[i];
		_cleanup_free_ char *reason = reason_text(c->reason);
		json_t *object = json_new_object();

		json_put_text(object, "reason", reason);
		json_put_number(object, "code", c->reason);
		json_put_number(object, "packets", c->packets);
		json_put_number(object, "bytes", c->bytes);
		json_add(array, object);
	}
	return array;
}

static json_t *status_json(const struct clite_status *s, const struct counters *drops)
{
	json_t *object = json_new_object();

	json_put_text(object, "instance", s->name);
	json_put_text(object, "path", s->path);
	json_put_text(object, "attach-mode", s->attach);
	json_put_bool(object, "ephemeral", s->ephemeral);
	json_put_bool(object, "neigh", s->neigh);
	json_put_number(object, "layout", s->layout);
	json_put_number(object, "revision", s->revision);
	json_put_number(object, "endpoints", s->endpoints);
	json_put_number(object, "identities", s->identities);
	json_put_number(object, "policies", s->policies);
	json_put_number(object, "policy-tables", s->policy_tables);
	json_put_number(object, "services", s->services);
	json_put_number(object, "devices", s->devices);
	json_put_number(object, "cgroups", s->cgroups);
	json_put_number(object, "xdp-native", s->xdp_native);
	json_put_number(object, "xdp-generic", s->xdp_generic);
	json_put_number(object, "subscribers", s->subscribers);
	json_put_number(object, "map-bytes", s->map_bytes);
	json_put_number(object, "flows4-max", s->flows4_max);
	json_put_number(object, "flows6-max", s->flows6_max);
	json_put_number(object, "forwarded", s->forwarded);
	json_put_number(object, "dropped", s->dropped);
	json_put(object, "drop-reasons", drops_json(drops));
	return object;
}

/* ---- the command ---------------------------------------------------------- */

static int show_status(struct cli *cli, bool verbose)
{
	struct counters all = { 0 }, drops = { 0 };
	const struct clite_status *status = NULL;
	/* The status last: it is borrowed until the next call. */
	int r = clite_counter_list(cli->ctx, collect_counter, &all);

	if (r >= 0)
		r = clite_status(cli->ctx, &status);
	if (r >= 0) {
		drops = drops_by_reason(&all);
		if (cli->json)
			json_print(status_json(status, &drops));
		else
			print_status(status, &all, &drops, verbose);
	}
	free(all.items);
	free(drops.items);
	return r < 0 ? fail(cli, r) : CLI_OK;
}

int cmd_status(struct cli *cli)
{
	bool features = false, verbose = false;
	int key, r;

	while ((key = cli_option(cli))) {
		features = features || key == OPT_FEATURES;
		verbose = verbose || key == 'v';
	}
	if (features)
		return show_features(cli);
	r = cli_open(cli);
	return r ? r : show_status(cli, verbose);
}
