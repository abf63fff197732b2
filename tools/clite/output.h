/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables and JSON on standard output. */
#pragma once

#include <jansson.h>

#include "cli.h"

/* ---- tables --------------------------------------------------------------- */

/* Left-aligned columns as wide as they must be, three spaces apart, at least
 * five wide: as Cilium's tools print them. */
struct table {
	size_t ncols;
	size_t ncells;
	size_t cap;
	char **cells;
};

void table_init(struct table *t, size_t ncols);
/* Next cell of the row. Control characters become '?'. */
void table_cell(struct table *t, const char *fmt, ...) _printf_(2, 3);
/* Leave n cells empty. */
void table_skip(struct table *t, size_t n);
/* Fill the row up. */
void table_row_end(struct table *t);
void table_print(const struct table *t);
void table_clear(struct table *t);
#define _cleanup_table_ _cleanup_(table_clear)

/* A row of headings, unless --no-headers. */
void table_headings(const struct cli *cli, struct table *t, const char *const *headings);

/* One label a line, in column col; the rest of further lines stays empty. The
 * row is begun up to col and goes on with table_cell() after the first label. */
void table_more_labels(struct table *t, size_t col, const char *const *labels);

/* ---- JSON ----------------------------------------------------------------- */

json_t *json_new_object(void);
json_t *json_new_array(void);
/* Bytes that are not UTF-8 become U+FFFD. */
json_t *json_text(const char *s);
json_t *json_strings(const char *const *labels);
/* All take the reference to value and end the process when memory is out. */
void json_put(json_t *object, const char *key, json_t *value);
void json_put_text(json_t *object, const char *key, const char *s);
void json_put_number(json_t *object, const char *key, uint64_t n);
void json_put_bool(json_t *object, const char *key, bool b);
void json_add(json_t *array, json_t *value);
/* Print it with a newline and drop it. */
void json_print(json_t *value);
void json_print_line(json_t *value); /* the same on one line */

static inline void json_dropp(json_t **value)
{
	json_decref(*value);
}
#define _cleanup_json_ _cleanup_(json_dropp)

/* ---- lists ---------------------------------------------------------------- */

/* What a command lists, while it is collected: an array, or a table. */
struct listing {
	struct cli *cli;
	struct table table;
	json_t *json; /* NULL: text is wanted */
};

void listing_begin(struct listing *l, struct cli *cli, const char *const *headings, size_t ncols);
/* Print it, or say why the library could not list it (r < 0). Returns the exit code. */
int listing_end(struct listing *l, int r);
void listing_clear(struct listing *l);
#define _cleanup_listing_ _cleanup_(listing_clear)

/* Say that one is gone: in a line, or as an element of done. Returns CLI_OK. */
int say_deleted(struct cli *cli, const char *noun, uint32_t id, json_t *done);
