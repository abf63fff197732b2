/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "config_read.h"

#define DURATION_MIN 10u
#define DURATION_MAX 3600000u

/* ---- what is wrong ------------------------------------------------------------- */

bool wrong(const struct reader *r, const yaml_node_t *node, const char *fmt, ...)
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

void *at(void *base, const struct key *key)
{
	return (char *)base + key->offset;
}

const char *text_of(struct reader *r, const char *what, yaml_node_t *node)
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

bool read_text(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);

	if (!s)
		return false;
	*(char **)at(into, key) = xstrdup(s);
	return true;
}

bool read_number(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
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

bool read_port(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	struct key number = { key->name, NULL, 0, 1, 65535 };
	uint32_t n;

	if (!read_number(r, &number, node, &n))
		return false;
	*(uint16_t *)at(into, key) = (uint16_t)n;
	return true;
}

bool read_bool(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
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

bool read_duration(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);

	if (!s)
		return false;
	return parse_duration(s, at(into, key)) ||
	       wrong(r, node, "%s: '%s' is not a time from 10ms to 60m: a number with ms, s or m, such as 5s",
		     key->name, s);
}

bool read_address(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
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

bool read_mode(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);
	uint32_t mode;

	if (!s)
		return false;
	if (strspn(s, "01234567") != strlen(s) || strlen(s) > 4)
		mode = 0;
	else
		mode = (uint32_t)strtoul(s, NULL, 8);
	if (!(mode & 0200) || mode > 0777)
		return wrong(r, node, "%s: '%s' is not a mode such as 0640", key->name, s);
	*(uint32_t *)at(into, key) = mode;
	return true;
}

bool read_level(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);

	if (!s)
		return false;
	if (strcmp(s, "medium") != 0 && strcmp(s, "none") != 0)
		return wrong(r, node, "%s: '%s' is neither medium nor none", key->name, s);
	*(uint32_t *)at(into, key) = *s == 'm' ? LEVEL_MEDIUM : LEVEL_NONE;
	return true;
}

/* ---- lists, maps --------------------------------------------------------------- */

bool each(struct reader *r, const char *what, yaml_node_t *node,
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

bool read_map(struct reader *r, const char *what, yaml_node_t *node,
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
