/* SPDX-License-Identifier: BSD-2-Clause */
/* Fields of documents: finding them in a tree, checking their types, and saying
 * where something is wrong. */
#pragma once

#include "model/policy.h"
#include "model/yaml_tree.h"

/* Cilium's limits of one list. */
#define DOCUMENT_MAX_PORTS 40
#define DOCUMENT_MAX_FIELDS 24 /* names in one table below */

struct reader {
	const char *filename;
	const char *namespace; /* added to selectors; NULL: nothing is */
	struct errtext *err;
};

/* "spec.ingress[0]": a chain of steps on the stack. NULL: the document itself. */
struct path {
	const struct path *up;
	const char *key; /* NULL: index in a list */
	size_t index;
};

/* A name that may stand in a map; NULL: a gap in a table. */
struct field {
	const char *name;
	const char *unsupported; /* why not: Cilium knows it, we do not. NULL: we do */
	bool null_ok; /* null is as if it were not there, as in Kubernetes. Not where that would
		       * mean everybody: nobody writes null for that */
};

/* Set "file:line: path: text" and return -code. */
int doc_fail(const struct reader *r, uint32_t line, const struct path *p, int code, const char *fmt,
	     ...) _printf_(5, 6);
/* "expected X, found Y" */
int doc_fail_type(const struct reader *r, const struct ynode *n, const struct path *p,
		  const char *expected);
/* "'value': text"; the value is cut short. */
int doc_fail_value(const struct reader *r, const struct ynode *n, const struct path *p, int code,
		   const char *text);

/* Sort the fields of a map by a table of nfields: got[i] is that of fields[i], or
 * NULL. Anything else in the map is an error. */
int doc_fields(const struct reader *r, const struct ynode *map, const struct path *p,
	       const struct field *fields, size_t nfields, const struct ynode **got);

/* The types. n may not be NULL. */
int doc_list(const struct reader *r, const struct ynode *n, const struct path *p);
int doc_string(const struct reader *r, const struct ynode *n, const struct path *p,
	       const char **ret);
int doc_bool(const struct reader *r, const struct ynode *n, const struct path *p, bool *ret);
/* Decimal digits, quoted or not. */
int doc_number(const struct reader *r, const struct ynode *n, const struct path *p,
	       unsigned int max, unsigned int *ret);
bool is_decimal(const char *s);
/* A string for the model: -ENOMEM. */
int doc_strdup(const struct reader *r, const struct ynode *n, const struct path *p, char **ret);
/* Any value as JSON, on one line: what is a number or a boolean to YAML stays one. */
void doc_json(const struct ynode *n, struct buf *out);
int doc_json_dup(const struct ynode *n, char **ret);
