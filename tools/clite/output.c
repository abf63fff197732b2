/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "output.h"

#define GAP 3
#define MIN_WIDTH 5

/* ---- tables --------------------------------------------------------------- */

void table_init(struct table *t, size_t ncols)
{
	*t = (struct table){ .ncols = ncols };
}

void table_clear(struct table *t)
{
	for (size_t i = 0; i < t->ncells; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){ 0 };
}

static void table_push(struct table *t, char *text)
{
	if (t->ncells == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->cells = xrealloc(t->cells, t->cap, sizeof(*t->cells));
	}
	t->cells[t->ncells++] = text;
}

void table_cell(struct table *t, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	plain_text(text);
	table_push(t, text);
}

void table_skip(struct table *t, size_t n)
{
	while (n--)
		table_push(t, xstrdup(""));
}

void table_row_end(struct table *t)
{
	size_t over = t->ncells % t->ncols;

	if (over)
		table_skip(t, t->ncols - over);
}

void table_headings(const struct cli *cli, struct table *t, const char *const *headings)
{
	if (cli->no_headers)
		return;
	for (size_t i = 0; i < t->ncols; i++)
		table_cell(t, "%s", headings[i]);
}

void table_more_labels(struct table *t, size_t col, const char *const *labels)
{
	if (!*labels)
		return;
	for (labels++; *labels; labels++) {
		table_skip(t, col);
		table_cell(t, "%s", *labels);
		table_row_end(t);
	}
}

/* Characters, not bytes: every byte but the continuations of UTF-8. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* Cells up to the last one of the row that is not empty. */
static size_t used_cells(const struct table *t, size_t row)
{
	size_t n = t->ncols;

	while (n && !*t->cells[row * t->ncols + n - 1])
		n--;
	return n;
}

void table_print(const struct table *t)
{
	size_t rows = t->ncells / t->ncols;
	_cleanup_free_ size_t *widths = xrealloc(NULL, t->ncols, sizeof(*widths));

	for (size_t col = 0; col < t->ncols; col++) {
		widths[col] = MIN_WIDTH - GAP;
		for (size_t row = 0; row < rows; row++) {
			size_t n = width(t->cells[row * t->ncols + col]);

			if (n > widths[col])
				widths[col] = n;
		}
	}
	for (size_t row = 0; row < rows; row++) {
		size_t used = used_cells(t, row);

		for (size_t col = 0; col < used; col++) {
			const char *cell = t->cells[row * t->ncols + col];
			int pad = col + 1 < used ? (int)(widths[col] - width(cell) + GAP) : 0;

			printf("%s%*s", cell, pad, "");
		}
		putchar('\n');
	}
}

/* ---- JSON ----------------------------------------------------------------- */

static json_t *made(json_t *value)
{
	if (!value)
		out_of_memory();
	return value;
}

json_t *json_new_object(void)
{
	return made(json_object());
}

json_t *json_new_array(void)
{
	return made(json_array());
}

/* Length of the valid UTF-8 character at s, 0 if there is none. Asking jansson
 * character by character keeps one idea of what is valid. */
static size_t utf8_length(const char *s)
{
	size_t max = strnlen(s, 4);

	for (size_t n = 1; n <= max; n++) {
		json_t *probe = json_stringn(s, n);

		if (probe) {
			json_decref(probe);
			return n;
		}
	}
	return 0;
}

static json_t *json_repaired(const char *s)
{
	_cleanup_free_ char *text = xrealloc(NULL, strlen(s) * 3 + 1, 1);
	char *p = text;

	while (*s) {
		size_t n = utf8_length(s);

		if (n) {
			memcpy(p, s, n);
			p += n;
			s += n;
		} else {
			memcpy(p, "\xef\xbf\xbd", 3);
			p += 3;
			s++;
		}
	}
	*p = '\0';
	return made(json_string(text));
}

json_t *json_text(const char *s)
{
	json_t *value = json_string(s);

	return value ? value : json_repaired(s);
}

json_t *json_strings(const char *const *labels)
{
	json_t *array = json_new_array();

	for (; *labels; labels++)
		json_add(array, json_text(*labels));
	return array;
}

void json_put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, made(value)) < 0)
		out_of_memory();
}

void json_put_text(json_t *object, const char *key, const char *s)
{
	json_put(object, key, json_text(s));
}

void json_put_number(json_t *object, const char *key, uint64_t n)
{
	json_put(object, key, json_integer((json_int_t)n));
}

void json_put_bool(json_t *object, const char *key, bool b)
{
	json_put(object, key, json_boolean(b));
}

void json_add(json_t *array, json_t *value)
{
	if (json_array_append_new(array, made(value)) < 0)
		out_of_memory();
}

void json_print(json_t *value)
{
	/* A failed write shows in ferror(), which main() looks at. */
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(value);
}

void json_print_line(json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(value);
}

/* ---- lists ---------------------------------------------------------------- */

void listing_begin(struct listing *l, struct cli *cli, const char *const *headings, size_t ncols)
{
	*l = (struct listing){ .cli = cli, .json = cli->json ? json_new_array() : NULL };
	table_init(&l->table, ncols);
	table_headings(cli, &l->table, headings);
}

int listing_end(struct listing *l, int r)
{
	if (r < 0)
		return fail(l->cli, r);
	if (l->json) {
		json_print(l->json);
		l->json = NULL;
	} else {
		table_print(&l->table);
	}
	return CLI_OK;
}

void listing_clear(struct listing *l)
{
	json_decref(l->json);
	table_clear(&l->table);
}

int say_deleted(struct cli *cli, const char *noun, uint32_t id, json_t *done)
{
	json_t *object;

	if (!cli->json) {
		printf("%s %u deleted\n", noun, id);
		return CLI_OK;
	}
	object = json_new_object();
	json_put_number(object, "id", id);
	json_add(done, object);
	return CLI_OK;
}
