/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/document_field.h"

#include <cilium-lite/version.h>

#include <limits.h>
#include <stdio.h>

static void put_path(struct buf *b, const struct path *p)
{
	if (!p)
		return;
	put_path(b, p->up);
	if (!p->key)
		buf_printf(b, "[%zu]", p->index);
	else if (p->up)
		buf_puts(b, ".");
	if (p->key)
		buf_excerpt(b, p->key);
}

int doc_fail(const struct reader *r, uint32_t line, const struct path *p, int code, const char *fmt,
	     ...)
{
	_cleanup_buf_ struct buf where = {};
	_cleanup_free_ char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return -ENOMEM;
	}

	buf_printf(&where, "%s:%u: ", r->filename, line);
	if (p) {
		put_path(&where, p);
		buf_puts(&where, ": ");
	}
	if (where.failed)
		return -ENOMEM;
	return err_set(r->err, code, "%s%s", where.data, text);
}

static const char *type_name(const struct ynode *n)
{
	static const char *const scalars[] = {
		[YTYPE_STRING] = "a string",
		[YTYPE_NUMBER] = "a number",
		[YTYPE_BOOL] = "a boolean",
		[YTYPE_NULL] = "nothing",
		[YTYPE_AMBIGUOUS] = "a word that YAML may take for a boolean",
	};

	if (n->kind == YNODE_LIST)
		return "a list";
	if (n->kind == YNODE_MAP)
		return "a map";
	return scalars[n->type];
}

int doc_fail_type(const struct reader *r, const struct ynode *n, const struct path *p,
		  const char *expected)
{
	return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "expected %s, found %s", expected,
			type_name(n));
}

int doc_fail_value(const struct reader *r, const struct ynode *n, const struct path *p, int code,
		   const char *text)
{
	_cleanup_buf_ struct buf shown = {};

	buf_excerpt(&shown, n->text);
	return doc_fail(r, n->line, p, code, "'%s' %s", shown.data ? shown.data : "", text);
}

/* ---- maps --------------------------------------------------------------- */

static int fail_unknown(const struct reader *r, const struct ynode *n, const struct path *p,
			const struct field *fields, size_t nfields)
{
	struct path here = { .up = p, .key = n->key };
	_cleanup_buf_ struct buf known = {};

	for (size_t i = 0; i < nfields; i++) {
		if (!fields[i].name || fields[i].unsupported)
			continue;
		if (strcasecmp(fields[i].name, n->key) == 0)
			return doc_fail(r, n->key_line, &here, CLITE_EDOCUMENT,
					"unknown field: it is spelled '%s'", fields[i].name);
		if (known.len > 0)
			buf_puts(&known, ", ");
		buf_puts(&known, fields[i].name);
	}
	if (!known.data)
		return doc_fail(r, n->key_line, &here, CLITE_EDOCUMENT, "unknown field");
	return doc_fail(r, n->key_line, &here, CLITE_EDOCUMENT, "unknown field; here may stand: %s",
			known.data);
}

static size_t find_field(const struct field *fields, size_t nfields, const char *name)
{
	size_t i = 0;

	while (i < nfields && (!fields[i].name || strcmp(fields[i].name, name) != 0))
		i++;
	return i;
}

int doc_fields(const struct reader *r, const struct ynode *map, const struct path *p,
	       const struct field *fields, size_t nfields, const struct ynode **got)
{
	memset(got, 0, nfields * sizeof(*got));
	if (map->kind != YNODE_MAP)
		return doc_fail_type(r, map, p, "a map");

	for (const struct ynode *n = map->first; n; n = n->next) {
		size_t i = find_field(fields, nfields, n->key);
		struct path here = { .up = p, .key = n->key };

		if (i == nfields)
			return fail_unknown(r, n, p, fields, nfields);
		if (fields[i].unsupported)
			return doc_fail(r, n->key_line, &here, CLITE_EUNSUPPORTED, "%s",
					fields[i].unsupported);
		if (n->kind != YNODE_SCALAR || n->type != YTYPE_NULL || !fields[i].null_ok)
			got[i] = n;
	}
	return 0;
}

/* ---- values ------------------------------------------------------------- */

int doc_list(const struct reader *r, const struct ynode *n, const struct path *p)
{
	if (n->kind == YNODE_LIST)
		return 0;
	if (n->kind == YNODE_SCALAR && n->type == YTYPE_NULL)
		return doc_fail_type(r, n, p, "a list (an empty one is '[]')");
	return doc_fail_type(r, n, p, "a list");
}

int doc_string(const struct reader *r, const struct ynode *n, const struct path *p,
	       const char **ret)
{
	if (n->kind != YNODE_SCALAR)
		return doc_fail_type(r, n, p, "a string");
	if (n->type == YTYPE_NULL)
		return doc_fail_type(r, n, p, "a string (an empty one is \"\")");
	if (n->type != YTYPE_STRING)
		return doc_fail_type(r, n, p, "a string (put it in quotes)");
	*ret = n->text;
	return 0;
}

int doc_bool(const struct reader *r, const struct ynode *n, const struct path *p, bool *ret)
{
	if (n->kind != YNODE_SCALAR || n->type != YTYPE_BOOL)
		return doc_fail_type(r, n, p, "true or false");
	*ret = n->text[0] == 't' || n->text[0] == 'T';
	return 0;
}

bool is_decimal(const char *s)
{
	return *s && s[strspn(s, "0123456789")] == '\0' && (s[0] != '0' || !s[1]);
}

int doc_number(const struct reader *r, const struct ynode *n, const struct path *p,
	       unsigned int max, unsigned int *ret)
{
	char expected[64];
	unsigned long v;

	snprintf(expected, sizeof(expected), "a decimal number from 0 to %u", max);
	if (n->kind != YNODE_SCALAR || (n->type != YTYPE_NUMBER && n->type != YTYPE_STRING))
		return doc_fail_type(r, n, p, expected);

	v = is_decimal(n->text) && strlen(n->text) <= 9 ? strtoul(n->text, NULL, 10) : ULONG_MAX;
	if (v > max) {
		snprintf(expected, sizeof(expected), "is not a decimal number from 0 to %u", max);
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT, expected);
	}
	*ret = (unsigned int)v;
	return 0;
}

int doc_strdup(const struct reader *r, const struct ynode *n, const struct path *p, char **ret)
{
	const char *s = NULL;
	int res = doc_string(r, n, p, &s);

	if (res < 0)
		return res;
	free(*ret);
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

/* ---- as JSON ------------------------------------------------------------ */

/* A number of YAML that JSON knows, too: decimal, without a leading zero or plus. */
static bool is_json_number(const char *s)
{
	size_t n;

	if (*s == '-')
		s++;
	n = strspn(s, "0123456789");
	if (n == 0 || (n > 1 && s[0] == '0'))
		return false;
	s += n;
	if (*s == '.') {
		n = strspn(++s, "0123456789");
		if (n == 0)
			return false;
		s += n;
	}
	return !*s;
}

static void scalar_json(const struct ynode *n, struct buf *out)
{
	if (n->type == YTYPE_NULL)
		buf_puts(out, "null");
	else if (n->type == YTYPE_BOOL)
		buf_puts(out, n->text[0] == 't' || n->text[0] == 'T' ? "true" : "false");
	else if (n->type == YTYPE_NUMBER && is_json_number(n->text))
		buf_puts(out, n->text);
	else
		buf_json(out, n->text);
}

void doc_json(const struct ynode *n, struct buf *out)
{
	if (n->kind == YNODE_SCALAR) {
		scalar_json(n, out);
		return;
	}
	buf_puts(out, n->kind == YNODE_LIST ? "[" : "{");
	for (const struct ynode *e = n->first; e; e = e->next) {
		if (e != n->first)
			buf_puts(out, ", ");
		if (n->kind == YNODE_MAP) {
			buf_json(out, e->key);
			buf_puts(out, ": ");
		}
		doc_json(e, out);
	}
	buf_puts(out, n->kind == YNODE_LIST ? "]" : "}");
}

int doc_json_dup(const struct ynode *n, char **ret)
{
	_cleanup_buf_ struct buf b = {};

	doc_json(n, &b);
	if (b.failed)
		return -ENOMEM;
	free(*ret);
	*ret = TAKE_PTR(b.data);
	return 0;
}
