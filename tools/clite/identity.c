/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "output.h"

static json_t *identity_json(const struct clite_identity_info *identity)
{
	json_t *object = json_new_object();

	json_put_number(object, "id", identity->id);
	json_put(object, "labels", json_strings(identity->labels));
	json_put_number(object, "endpoints", identity->endpoints);
	return object;
}

static void identity_row(struct table *t, const struct clite_identity_info *identity)
{
	table_cell(t, "%u", identity->id);
	table_cell(t, "%s", *identity->labels ? *identity->labels : "no labels");
	table_more_labels(t, 1, identity->labels);
}

/* ---- which identities ----------------------------------------------------- */

/* Where the source of a label ends: at the first ':' of its key. */
static const char *after_source(const char *label)
{
	size_t n = strcspn(label, ":=");

	return label[n] == ':' ? label + n + 1 : label;
}

/* "app=web" is a label of any source, as is "any:app=web"; a key without a
 * value has the empty one. */
static bool label_is(const char *label, const char *wanted)
{
	const char *key = after_source(wanted);
	bool any = key == wanted || !strncmp(wanted, "any:", 4);
	size_t n;

	wanted = any ? key : wanted;
	label = any ? after_source(label) : label;
	n = strlen(wanted);
	if (!strchr(wanted, '=') && !strncmp(label, wanted, n))
		return !label[n] || !strcmp(label + n, "=");
	return !strcmp(label, wanted);
}

static bool has_labels(const struct clite_identity_info *identity, char *const *wanted)
{
	for (; *wanted; wanted++) {
		const char *const *label = identity->labels;

		while (*label && !label_is(*label, *wanted))
			label++;
		if (!*label)
			return false;
	}
	return true;
}

/* ---- commands ------------------------------------------------------------- */

static const char *const headings[] = { "ID", "LABELS" };

struct search {
	char *const *wanted;
	struct listing list;
};

static int collect(const struct clite_identity_info *identity, void *userdata)
{
	struct search *s = userdata;

	if (!has_labels(identity, s->wanted))
		return 0;
	if (s->list.json)
		json_add(s->list.json, identity_json(identity));
	else
		identity_row(&s->list.table, identity);
	return 0;
}

int cmd_identity_list(struct cli *cli)
{
	struct search s = { 0 };
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (r)
		return r;
	s.wanted = cli->args;
	listing_begin(&s.list, cli, headings, ARRAY_SIZE(headings));
	r = listing_end(&s.list, clite_identity_list(cli->ctx, collect, &s));
	listing_clear(&s.list);
	return r;
}

/* As a list of one, like Cilium's tools. */
int cmd_identity_get(struct cli *cli)
{
	struct search s = { .wanted = (char *[]){ NULL } };
	const struct clite_identity_info *identity;
	uint32_t id;
	int r;

	cli_arguments(cli);
	id = number_arg(cli, "identity", cli->args[0], 0, UINT32_MAX);
	r = cli_open(cli);
	if (r)
		return r;
	listing_begin(&s.list, cli, headings, ARRAY_SIZE(headings));
	r = clite_identity_get(cli->ctx, id, &identity);
	if (r >= 0)
		collect(identity, &s);
	r = listing_end(&s.list, r);
	listing_clear(&s.list);
	return r;
}
