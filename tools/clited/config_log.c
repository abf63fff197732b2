/* SPDX-License-Identifier: BSD-2-Clause */
/* Flow logs in the configuration. What masks and filters mean is the library's: they are
 * made here, so that what is wrong with them is told with its line. */
#include <string.h>

#include "config_read.h"

/* ---- a node as JSON --------------------------------------------------------------- */

#define TEXT_MAX 65536
#define DEPTH_MAX 16

struct text {
	char *s;
	size_t len;
	unsigned int depth;
	bool too_long; /* aliases can make much of little, or go in circles */
};

static void put(struct text *t, const char *s, size_t len)
{
	if (t->len + len > TEXT_MAX || t->depth > DEPTH_MAX) {
		t->too_long = true;
		return;
	}
	t->s = xrealloc(t->s, t->len + len + 1, 1);
	memcpy(t->s + t->len, s, len);
	t->len += len;
	t->s[t->len] = '\0';
}

static void puts_to(struct text *t, const char *s)
{
	put(t, s, strlen(s));
}

static void put_quoted(struct text *t, const char *s, size_t len)
{
	puts_to(t, "\"");
	for (size_t i = 0; i < len; i++) {
		_cleanup_free_ char *escape = NULL;
		unsigned char c = (unsigned char)s[i];

		if (c >= ' ' && c != '"' && c != '\\') {
			put(t, s + i, 1);
			continue;
		}
		escape = xprintf("\\u%04x", c);
		puts_to(t, escape);
	}
	puts_to(t, "\"");
}

/* What is a number, a boolean or null in JSON is written as that, if it is not quoted. */
static bool is_plain(const yaml_node_t *node)
{
	const char *s = (const char *)node->data.scalar.value;
	size_t digits = strspn(s + (*s == '-'), "0123456789");

	if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	return (digits && !s[(*s == '-') + digits]) || !strcmp(s, "true") || !strcmp(s, "false") ||
	       !strcmp(s, "null");
}

static void put_node(struct reader *r, struct text *t, yaml_node_t *node);

static void put_list(struct reader *r, struct text *t, yaml_node_t *node)
{
	yaml_node_item_t *i;

	puts_to(t, "[");
	for (i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
		if (i > node->data.sequence.items.start)
			puts_to(t, ",");
		put_node(r, t, yaml_document_get_node(r->doc, *i));
	}
	puts_to(t, "]");
}

static void put_map(struct reader *r, struct text *t, yaml_node_t *node)
{
	yaml_node_pair_t *p;

	puts_to(t, "{");
	for (p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
		yaml_node_t *key = yaml_document_get_node(r->doc, p->key);

		if (p > node->data.mapping.pairs.start)
			puts_to(t, ",");
		if (key->type == YAML_SCALAR_NODE)
			put_quoted(t, (const char *)key->data.scalar.value,
				   key->data.scalar.length);
		else
			puts_to(t, "\"\"");
		puts_to(t, ":");
		put_node(r, t, yaml_document_get_node(r->doc, p->value));
	}
	puts_to(t, "}");
}

static void put_node(struct reader *r, struct text *t, yaml_node_t *node)
{
	if (t->too_long)
		return;
	t->depth++;
	if (node->type == YAML_SEQUENCE_NODE)
		put_list(r, t, node);
	else if (node->type == YAML_MAPPING_NODE)
		put_map(r, t, node);
	else if (is_plain(node))
		puts_to(t, (const char *)node->data.scalar.value);
	else
		put_quoted(t, (const char *)node->data.scalar.value, node->data.scalar.length);
	t->depth--;
}

/* NULL, which was logged: it is too much. */
static char *node_json(struct reader *r, const char *what, yaml_node_t *node)
{
	struct text t = { 0 };

	puts_to(&t, "");
	put_node(r, &t, node);
	if (!t.too_long)
		return t.s;
	free(t.s);
	wrong(r, node, "%s: it is longer than %d bytes, or deeper than %d lists and maps", what,
	      TEXT_MAX, DEPTH_MAX);
	return NULL;
}

/* ---- the keys of a log ------------------------------------------------------------- */

static bool read_path(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);
	char **path = at(into, key);

	if (!s)
		return false;
	if (!strcmp(s, "stdout"))
		s = "-";
	else if (*s != '/')
		return wrong(r, node, "%s: '%s' is neither an absolute path nor stdout", key->name,
			     s);
	*path = xstrdup(s);
	return true;
}

/* "4096", "10M" */
static bool read_size(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	static const char units[] = "KMG";
	const char *s = text_of(r, key->name, node), *unit;
	_cleanup_free_ char *digits = NULL;
	uint64_t n;

	if (!s)
		return false;
	digits = xstrdup(s);
	unit = *s ? strchr(units, s[strlen(s) - 1]) : NULL;
	if (unit)
		digits[strlen(s) - 1] = '\0';
	if (!parse_number(digits, 1u << 30, &n) || !n)
		return wrong(r, node, "%s: '%s' is not a size such as 4096, 512K, 10M or 1G",
			     key->name, s);
	*(uint64_t *)at(into, key) = unit ? n << (10 * (unit - units + 1)) : n;
	return true;
}

static bool add_path(struct reader *r, const char *what, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, what, node);

	if (s)
		strings_add(into, s);
	return s != NULL;
}

/* An empty list is none, as in Hubble's configuration. */
static bool read_mask(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	struct log_config *c = into;
	struct strings paths = { 0 };
	char error[1024];
	bool good = each(r, key->name, node, add_path, &paths);

	if (good && paths.n &&
	    clite_flow_mask_new((const char *const *)paths.items, error, sizeof(error), &c->mask) <
		    0)
		good = wrong(r, node, "%s: %s", key->name, error);
	strings_clear(&paths);
	return good;
}

static bool add_filter(struct reader *r, const char *what, yaml_node_t *node, void *into)
{
	_cleanup_free_ char *json = node_json(r, what, node);
	struct log_config *c = into;
	uint32_t list = *what == 'i' ? CLITE_FILTER_ALLOW : CLITE_FILTER_DENY;
	int ret;

	if (!json)
		return false;
	if (!c->filters && clite_filters_new(&c->filters) < 0)
		out_of_memory();
	ret = clite_filters_add_json(c->filters, list, json);
	if (ret < 0)
		return wrong(r, node, "%s: %s", what,
			     *clite_filters_error(c->filters) ? clite_filters_error(c->filters) :
								clite_strerror(ret));
	return true;
}

static bool read_filters(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	return each(r, key->name, node, add_filter, into);
}

static const struct key log_keys[] = {
	{ "path", read_path, offsetof(struct log_config, path), 0, 0 },
	{ "max-size", read_size, offsetof(struct log_config, max_bytes), 0, 0 },
	{ "max-files", read_number, offsetof(struct log_config, max_files), 1, 1000000 },
	{ "mode", read_mode, offsetof(struct log_config, mode), 0, 0 },
	{ "compress", read_bool, offsetof(struct log_config, compress), 0, 0 },
	{ "aggregation", read_level, offsetof(struct log_config, level), 0, 0 },
	{ "field-mask", read_mask, 0, 0, 0 },
	{ "include-filters", read_filters, 0, 0, 0 },
	{ "exclude-filters", read_filters, 0, 0, 0 },
	{ 0 },
};

/* ---- the list ------------------------------------------------------------------------ */

void log_config_clear(struct log_config *c)
{
	free(c->path);
	free(c->text);
	clite_flow_mask_unref(c->mask);
	clite_filters_unref(c->filters);
}

static bool add_log(struct reader *r, const char *what, yaml_node_t *node, void *into)
{
	struct config *config = into;
	struct log_config *c;

	config->logs = xrealloc(config->logs, config->nlogs + 1, sizeof(*c));
	c = &config->logs[config->nlogs++];
	*c = (struct log_config){ 0 };
	if (!read_map(r, what, node, log_keys, c))
		return false;
	if (!c->path)
		return wrong(r, node, "a flow log without a path");
	for (size_t i = 0; i + 1 < config->nlogs; i++) {
		if (!strcmp(config->logs[i].path, c->path))
			return wrong(r, node, "%s: '%s' is there twice", what, c->path);
	}
	c->text = node_json(r, what, node);
	return c->text != NULL;
}

bool read_logs(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	return each(r, key->name, node, add_log, into);
}
