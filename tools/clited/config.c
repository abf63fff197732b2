/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration as a whole. */
#include <string.h>

#include "config_read.h"

#define CONFIG_MAX (1u << 20)

/* ---- service files --------------------------------------------------------------- */

static bool add_file(struct reader *r, const char *what, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, what, node);
	struct config *config = into;

	if (!s)
		return false;
	if (*s != '/')
		return wrong(r, node, "%s: '%s' is not an absolute path", what, s);
	for (size_t i = 0; i < config->files.n; i++) {
		if (!strcmp(config->files.items[i], s))
			return wrong(r, node, "%s: '%s' is there twice", what, s);
	}
	strings_add(&config->files, s);
	return true;
}

static bool read_files(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	return each(r, key->name, node, add_file, into);
}

static bool add_node_address(struct reader *r, const char *what, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, what, node);
	struct config *config = into;
	struct place ignored;

	if (!s)
		return false;
	if (!parse_address(s, &ignored))
		return wrong(r, node, "%s: '%s' is not an address", what, s);
	strings_add(&config->node_addresses, s);
	return true;
}

static bool read_node_addresses(struct reader *r, const struct key *key, yaml_node_t *node,
				void *into)
{
	return each(r, key->name, node, add_node_address, into);
}

static bool read_listen(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);

	if (!s)
		return false;
	if (!listen_valid(s))
		return wrong(r, node, "%s: '%s' is none of " LISTEN_FORMS, key->name, s);
	*(char **)at(into, key) = xstrdup(s);
	return true;
}

static bool add_text(struct reader *r, const char *what, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, what, node);

	if (s)
		strings_add(into, s);
	return s;
}

static bool read_hubble_metrics(struct reader *r, const struct key *key, yaml_node_t *node,
				void *into)
{
	struct clite_hubble_metrics *tried = NULL;
	struct strings *names = at(into, key);
	char errbuf[512] = "";
	int err;

	if (!each(r, key->name, node, add_text, names))
		return false;
	if (!names->n)
		return true;
	err = flow_metrics_new(NULL, names, errbuf, sizeof(errbuf), &tried);
	flow_metrics_free(tried);
	return !err || wrong(r, node, "%s: %s", key->name, *errbuf ? errbuf : clite_strerror(err));
}

static const struct key config_keys[] = {
	{ "health-checks", read_checks, 0, 0, 0 },
	{ "services", read_files, 0, 0, 0 },
	{ "flow-logs", read_logs, 0, 0, 0 },
	{ "node", read_text, offsetof(struct config, node), 0, 0 },
	{ "zone", read_text, offsetof(struct config, zone), 0, 0 },
	{ "node-addresses", read_node_addresses, 0, 0, 0 },
	{ "hubble", read_hubble, offsetof(struct config, hubble), 0, 0 },
	{ "metrics", read_listen, offsetof(struct config, metrics), 0, 0 },
	{ "hubble-metrics", read_hubble_metrics, offsetof(struct config, hubble_metrics), 0, 0 },
	{ 0 },
};

/* ---- the whole ------------------------------------------------------------------- */

static void freep_config(struct config **c)
{
	config_free(*c);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->nchecks; i++)
		check_clear(&c->checks[i]);
	free(c->checks);
	hubble_config_clear(&c->hubble);
	for (size_t i = 0; i < c->nlogs; i++)
		log_config_clear(&c->logs[i]);
	free(c->logs);
	strings_clear(&c->files);
	strings_clear(&c->node_addresses);
	free(c->node);
	free(c->zone);
	free(c->metrics);
	strings_clear(&c->hubble_metrics);
	free(c);
}

static bool parser_wrong(const char *path, const yaml_parser_t *p)
{
	log_error("%s:%zu: not YAML: %s", path, p->problem_mark.line + 1,
		  p->problem ? p->problem : "it cannot be read");
	return false;
}

static bool read_document(const char *path, yaml_parser_t *parser, yaml_document_t *doc,
			  struct config *c)
{
	struct reader r = { path, doc };
	yaml_document_t more;
	yaml_node_t *node = yaml_document_get_root_node(doc);
	bool one = true;

	if (!node) {
		log_error("%s: it is empty: health-checks, services or flow-logs are wanted", path);
		return false;
	}
	if (!read_map(&r, "the configuration", node, config_keys, c))
		return false;
	if (!yaml_parser_load(parser, &more))
		return parser_wrong(path, parser);
	node = yaml_document_get_root_node(&more);
	if (node)
		one = wrong(&r, node, "a second document: one is wanted");
	yaml_document_delete(&more);
	return one;
}

static bool parse(const char *path, yaml_parser_t *parser, struct config *c)
{
	yaml_document_t doc;
	bool good;

	if (!yaml_parser_load(parser, &doc))
		return parser_wrong(path, parser);
	good = read_document(path, parser, &doc, c);
	yaml_document_delete(&doc);
	return good;
}

struct config *config_load(const char *path)
{
	_cleanup_(freep_config) struct config *c = xcalloc(1, sizeof(*c));
	_cleanup_(yaml_parser_delete) yaml_parser_t parser;
	_cleanup_free_ char *text = NULL;
	struct config *ret;
	size_t len = 0;
	int r;

	if (!yaml_parser_initialize(&parser))
		out_of_memory();
	r = read_file(path, CONFIG_MAX, &text, &len);
	if (r < 0) {
		log_error("%s: %s", path, strerror(-r));
		return NULL;
	}
	yaml_parser_set_input_string(&parser, (unsigned char *)text, len);
	if (!parse(path, &parser, c))
		return NULL;
	ret = c;
	c = NULL;
	return ret;
}
