/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration: YAML (so JSON, too), read by tables of keys. The first thing that
 * is wrong is logged with file, line, and what would be right. */
#include <errno.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <yaml.h>

#include "clited.h"

#define CONFIG_MAX (1u << 20)

#define INTERVAL_DEFAULT 5000u
#define TIMEOUT_DEFAULT 2000u
#define DURATION_MIN 10u
#define DURATION_MAX 3600000u

struct reader {
	const char *file;
	yaml_document_t *doc;
};

/* A key of a map, and who reads its value into what. */
struct key {
	const char *name;
	bool (*read)(struct reader *r, const struct key *key, yaml_node_t *node, void *into);
	size_t offset;
	uint32_t min, max;
};

/* ---- what is wrong ------------------------------------------------------------- */

static bool wrong(const struct reader *r, const yaml_node_t *node, const char *fmt, ...)
	_printf_(3, 4);

static bool wrong(const struct reader *r, const yaml_node_t *node, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	log_error("%s:%zu: %s", r->file, node->start_mark.line + 1, text);
	return false;
}

static bool unknown_key(const struct reader *r, const yaml_node_t *node, const char *name,
			const struct key *keys)
{
	_cleanup_free_ char *known = xstrdup("");

	for (; keys->name; keys++) {
		char *longer = xprintf("%s%s%s", known, *known ? ", " : "", keys->name);

		free(known);
		known = longer;
	}
	return wrong(r, node, "unknown key '%s'; there are: %s", name, known);
}

/* ---- scalars ------------------------------------------------------------------- */

static void *at(void *base, const struct key *key)
{
	return (char *)base + key->offset;
}

/* A text without NUL and control characters, or NULL, which was logged. */
static const char *text_of(struct reader *r, const char *what, yaml_node_t *node)
{
	const char *s;

	if (node->type != YAML_SCALAR_NODE) {
		wrong(r, node, "%s: a single value is wanted, not a %s", what,
		      node->type == YAML_SEQUENCE_NODE ? "list" : "map");
		return NULL;
	}
	s = (const char *)node->data.scalar.value;
	if (strlen(s) != node->data.scalar.length || !*s) {
		wrong(r, node, "%s: it is empty, or has a NUL in it", what);
		return NULL;
	}
	for (const char *p = s; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f) {
			wrong(r, node, "%s: it has a control character in it", what);
			return NULL;
		}
	}
	return s;
}

static bool read_text(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);

	if (!s)
		return false;
	*(char **)at(into, key) = xstrdup(s);
	return true;
}

static bool read_number(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);
	uint64_t n;

	if (!s)
		return false;
	if (!parse_number(s, key->max, &n) || n < key->min)
		return wrong(r, node, "%s: '%s' is not a number from %u to %u", key->name, s,
			     key->min, key->max);
	*(uint32_t *)at(into, key) = (uint32_t)n;
	return true;
}

static bool read_port(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	struct key number = { key->name, NULL, 0, 1, 65535 };
	uint32_t n;

	if (!read_number(r, &number, node, &n))
		return false;
	*(uint16_t *)at(into, key) = (uint16_t)n;
	return true;
}

static bool read_bool(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);

	if (!s)
		return false;
	if (strcmp(s, "true") != 0 && strcmp(s, "false") != 0)
		return wrong(r, node, "%s: '%s' is neither true nor false", key->name, s);
	*(bool *)at(into, key) = *s == 't';
	return true;
}

static bool parse_duration(const char *s, uint32_t *ret)
{
	size_t digits = strspn(s, "0123456789");
	_cleanup_free_ char *number = xprintf("%.*s", (int)digits, s);
	const char *unit = s + digits;
	uint64_t n, factor = !strcmp(unit, "ms") ? 1 : !strcmp(unit, "s") ? 1000 : 60000;

	if ((factor == 60000 && strcmp(unit, "m") != 0) ||
	    !parse_number(number, DURATION_MAX, &n))
		return false;
	n *= factor;
	*ret = (uint32_t)n;
	return n >= DURATION_MIN && n <= DURATION_MAX;
}

static bool read_duration(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);

	if (!s)
		return false;
	return parse_duration(s, at(into, key)) ||
	       wrong(r, node, "%s: '%s' is not a time from 10ms to 60m: a number with ms, s or m, such as 5s",
		     key->name, s);
}

static bool read_address(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);
	struct place *p = at(into, key);

	if (!s)
		return false;
	if (!parse_address(s, p) || p->family != key->min)
		return wrong(r, node, "%s: '%s' is not an IPv%c address", key->name, s,
			     key->min == AF_INET ? '4' : '6');
	return true;
}

/* ---- lists, maps --------------------------------------------------------------- */

/* Call one() for each item of a list. */
static bool each(struct reader *r, const char *what, yaml_node_t *node,
		 bool (*one)(struct reader *r, const char *what, yaml_node_t *item, void *into),
		 void *into)
{
	yaml_node_item_t *i;

	if (node->type != YAML_SEQUENCE_NODE)
		return wrong(r, node, "%s: a list is wanted, such as '%s: [A, B]'", what, what);
	for (i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
		if (!one(r, what, yaml_document_get_node(r->doc, *i), into))
			return false;
	}
	return true;
}

static const struct key *key_find(const struct key *keys, const char *name, size_t *ret_index)
{
	for (size_t i = 0; keys[i].name; i++) {
		*ret_index = i;
		if (!strcmp(keys[i].name, name))
			return &keys[i];
	}
	return NULL;
}

/* Read a map by a table of at most 32 keys. */
static bool read_map(struct reader *r, const char *what, yaml_node_t *node,
		     const struct key *keys, void *into)
{
	yaml_node_pair_t *p;
	uint32_t seen = 0;

	if (node->type != YAML_MAPPING_NODE)
		return wrong(r, node, "%s: a map of keys and values is wanted", what);
	for (p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
		yaml_node_t *name_node = yaml_document_get_node(r->doc, p->key);
		yaml_node_t *value = yaml_document_get_node(r->doc, p->value);
		const char *name = text_of(r, "a key", name_node);
		const struct key *key;
		size_t i;

		if (!name)
			return false;
		key = key_find(keys, name, &i);
		if (!key)
			return unknown_key(r, name_node, name, keys);
		if (seen & (1u << i))
			return wrong(r, name_node, "the key '%s' is there twice", name);
		seen |= 1u << i;
		if (!key->read(r, key, value, into))
			return false;
	}
	return true;
}

/* ---- checks --------------------------------------------------------------------- */

static void check_clear(struct check *c)
{
	for (size_t i = 0; i < c->nselectors; i++)
		free(c->selectors[i].pattern);
	free(c->selectors);
	free(c->path);
	free(c->host);
}

static bool add_selector(struct reader *r, const char *what, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, what, node);
	struct selector selector = { 0 };
	struct check *c = into;

	if (!s)
		return false;
	if (!parse_frontend(s, &selector.at, &selector.protocol)) {
		if (strpbrk(s, ":[") && !strpbrk(s, "*?"))
			return wrong(r, node,
				     "%s: '%s' is neither a name, a pattern, nor ADDRESS[:PORT[/PROTOCOL]]",
				     what, s);
		selector.pattern = xstrdup(s);
	}
	c->selectors = xrealloc(c->selectors, c->nselectors + 1, sizeof(*c->selectors));
	c->selectors[c->nselectors++] = selector;
	return true;
}

static bool read_selectors(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	return each(r, key->name, node, add_selector, into);
}

static bool read_kind(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);

	if (!s)
		return false;
	if (strcmp(s, "tcp") != 0 && strcmp(s, "http") != 0)
		return wrong(r, node, "%s: '%s' is neither tcp nor http", key->name, s);
	*(enum check_kind *)at(into, key) = *s == 't' ? CHECK_TCP : CHECK_HTTP;
	return true;
}

/* "200", "200-399" */
static bool read_status(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);
	struct check *c = into;
	unsigned int first, last;
	int n = 0;

	if (!s)
		return false;
	if (sscanf(s, "%3u-%3u%n", &first, &last, &n) != 2 || s[n]) {
		n = 0;
		if (sscanf(s, "%3u%n", &first, &n) != 1 || s[n])
			first = last = 0;
		last = first;
	}
	if (first < 100 || last > 599 || first > last)
		return wrong(r, node,
			     "%s: '%s' is not a status or a range of them from 100 to 599, such as 200-299",
			     key->name, s);
	c->status_first = (uint16_t)first;
	c->status_last = (uint16_t)last;
	return true;
}

/* What goes into the request must not end its line. */
static bool read_word(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	if (!read_text(r, key, node, into))
		return false;
	if (strchr(*(char **)at(into, key), ' '))
		return wrong(r, node, "%s: it has a blank in it", key->name);
	return true;
}

static bool read_path(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	if (!read_word(r, key, node, into))
		return false;
	if (**(char **)at(into, key) != '/')
		return wrong(r, node, "%s: '%s' does not begin with /", key->name,
			     *(char **)at(into, key));
	return true;
}

static const struct key check_keys[] = {
	{ "services", read_selectors, 0, 0, 0 },
	{ "kind", read_kind, offsetof(struct check, kind), 0, 0 },
	{ "interval", read_duration, offsetof(struct check, interval), 0, 0 },
	{ "timeout", read_duration, offsetof(struct check, timeout), 0, 0 },
	{ "rise", read_number, offsetof(struct check, rise), 1, 1000 },
	{ "fall", read_number, offsetof(struct check, fall), 1, 1000 },
	{ "port", read_port, offsetof(struct check, port), 0, 0 },
	{ "path", read_path, offsetof(struct check, path), 0, 0 },
	{ "host", read_word, offsetof(struct check, host), 0, 0 },
	{ "status", read_status, 0, 0, 0 },
	{ "source4", read_address, offsetof(struct check, source4), AF_INET, 0 },
	{ "source6", read_address, offsetof(struct check, source6), AF_INET6, 0 },
	{ "fail-open", read_bool, offsetof(struct check, fail_open), 0, 0 },
	{ 0 },
};

/* What depends on several keys; defaults. */
static bool check_finish(struct reader *r, yaml_node_t *node, struct check *c)
{
	if (!c->nselectors)
		return wrong(r, node, "a health check without services: which? [\"*\"] is all");
	if (c->kind == CHECK_TCP && (c->path || c->host || c->status_first))
		return wrong(r, node, "path, host and status are for 'kind: http'");
	c->interval = c->interval ? c->interval : INTERVAL_DEFAULT;
	if (!c->timeout)
		c->timeout = c->interval < TIMEOUT_DEFAULT ? c->interval : TIMEOUT_DEFAULT;
	if (c->timeout > c->interval)
		return wrong(r, node, "the timeout, %u ms, is longer than the interval, %u ms",
			     c->timeout, c->interval);
	c->rise = c->rise ? c->rise : 2;
	c->fall = c->fall ? c->fall : 3;
	if (!c->status_first) {
		c->status_first = 200;
		c->status_last = 399;
	}
	if (!c->path)
		c->path = xstrdup("/");
	return true;
}

static bool add_check(struct reader *r, const char *what, yaml_node_t *node, void *into)
{
	struct config *config = into;
	struct check *c;

	config->checks = xrealloc(config->checks, config->nchecks + 1, sizeof(*c));
	c = &config->checks[config->nchecks++];
	*c = (struct check){ 0 };
	return read_map(r, what, node, check_keys, c) && check_finish(r, node, c);
}

static bool read_checks(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	return each(r, key->name, node, add_check, into);
}

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

static const struct key config_keys[] = {
	{ "health-checks", read_checks, 0, 0, 0 },
	{ "services", read_files, 0, 0, 0 },
	{ "node", read_text, offsetof(struct config, node), 0, 0 },
	{ "zone", read_text, offsetof(struct config, zone), 0, 0 },
	{ "node-addresses", read_node_addresses, 0, 0, 0 },
	{ "metrics", read_listen, offsetof(struct config, metrics), 0, 0 },
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
	strings_clear(&c->files);
	strings_clear(&c->node_addresses);
	free(c->node);
	free(c->zone);
	free(c->metrics);
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
		log_error("%s: it is empty: health-checks or services are wanted", path);
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

/* ---- which check ----------------------------------------------------------------- */

/* A name without a namespace is one in "default". */
static bool name_matches(const char *pattern, const char *name)
{
	_cleanup_free_ char *whole = NULL;

	if (!strcmp(pattern, "*"))
		return true;
	if (!*name)
		return false;
	if (!fnmatch(pattern, name, 0))
		return true;
	whole = strchr(name, '/') ? xstrdup(strncmp(name, "default/", 8) ? name : name + 8) :
				    xprintf("default/%s", name);
	return !fnmatch(pattern, whole, 0);
}

static bool selects(const struct selector *s, const struct clite_service_info *svc)
{
	struct place p;

	if (s->pattern)
		return name_matches(s->pattern, svc->name);
	return (!s->protocol || s->protocol == svc->protocol) &&
	       (!s->at.port || s->at.port == svc->port) && parse_address(svc->address, &p) &&
	       p.family == s->at.family && !memcmp(p.ip, s->at.ip, sizeof(p.ip));
}

const struct check *config_check(const struct config *c, const struct clite_service_info *svc)
{
	for (size_t i = 0; i < c->nchecks; i++) {
		const struct check *check = &c->checks[i];

		/* Who answers UDP or SCTP need not listen at TCP, unless it is said where. */
		if (svc->protocol != IPPROTO_TCP && !check->port)
			continue;
		for (size_t j = 0; j < check->nselectors; j++) {
			if (selects(&check->selectors[j], svc))
				return check;
		}
	}
	return NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

bool check_alike(const struct check *a, const struct check *b)
{
	return a->kind == b->kind && a->interval == b->interval && a->timeout == b->timeout &&
	       a->rise == b->rise && a->fall == b->fall && a->port == b->port &&
	       a->status_first == b->status_first && a->status_last == b->status_last &&
	       same_text(a->path, b->path) && same_text(a->host, b->host) &&
	       !place_cmp(&a->source4, &b->source4) && !place_cmp(&a->source6, &b->source6);
}
