/* SPDX-License-Identifier: BSD-2-Clause */
/* A strict reader of JSON (RFC 8259) that makes no tree: the caller asks for what it
 * expects, and skips the rest. Texts are decoded where they stand, so the line is the
 * only memory. */
#pragma once

#include "util/util.h"

#define JSON_DEPTH 32 /* objects and lists inside of each other */

struct json {
	char *begin, *at, *end;
	unsigned int depth;
	bool first;			  /* nothing was read yet of what was opened last */
	const char *keys[JSON_DEPTH + 1]; /* where it is; NULL for lists */
	struct errtext *err;
};

/* Functions below return -CLITE_EDOCUMENT for what is no JSON, or not what was asked
 * for; the text says where. */

/* len bytes that are written to, with a NUL behind them; they must outlive what is read. */
void json_begin(struct json *j, char *text, size_t len, struct errtext *err);
/* Is that all? */
int json_finish(struct json *j);

/* What a value begins with: '{', '[', '"', '0' (a number), 't' (true or false),
 * 'n' (null); 0 for what begins none. */
char json_kind(const struct json *j);
/* Enter an object or a list. */
int json_open(struct json *j, char bracket);
/* The next member: 1; 0 when the object is over, and left. ret_key may be NULL. */
int json_member(struct json *j, const char **ret_key);
/* The same for a list. */
int json_item(struct json *j);

int json_text(struct json *j, const char **ret);
int json_bool(struct json *j, bool *ret);
/* As it is written, not ended with NUL. */
int json_number(struct json *j, const char **ret, size_t *ret_len);
/* Any value; what it says is left as it is. */
int json_skip(struct json *j);

/* "flow.source.identity: ..." */
int json_wrong(struct json *j, const char *fmt, ...) _printf_(2, 3);
