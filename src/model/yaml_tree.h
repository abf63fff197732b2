/* SPDX-License-Identifier: BSD-2-Clause */
/* YAML (and so JSON) as trees of nodes that know their lines. */
#pragma once

#include <yaml.h>

#include "util/util.h"

enum ynode_kind {
	YNODE_SCALAR,
	YNODE_LIST,
	YNODE_MAP,
};

/* What a scalar is to a reader of Kubernetes documents. */
enum ynode_type {
	YTYPE_STRING,
	YTYPE_NUMBER,
	YTYPE_BOOL,
	YTYPE_NULL,
	YTYPE_AMBIGUOUS, /* yes, no, on, off, ...: a boolean to some, a string to others */
};

struct ynode {
	enum ynode_kind kind;
	enum ynode_type type; /* of a scalar; a quoted one is a string */
	uint32_t line;
	uint32_t key_line;
	char *key;		    /* in a map: its name there */
	char *text;		    /* of a scalar */
	struct ynode *first, *last; /* of a list or map */
	struct ynode *next;	    /* in the list or map that it is in */
	size_t n;		    /* how many are in it */
};

struct ydoc {
	struct ynode *root;
	size_t begin, end; /* its bytes in the stream, without its markers */
};

void ydoc_clear(struct ydoc *d);

/* How much of it is read. */
struct ylimits {
	size_t bytes;
	size_t nodes; /* values, in a whole stream */
	size_t depth; /* lists and maps inside of each other */
};

struct ystream {
	struct ylimits limits;
	yaml_parser_t parser;
	bool open;
	const char *text;
	size_t len;
	size_t skipped; /* bytes before what the parser sees: a byte order mark */
	const char *filename;
	struct errtext *err;
	size_t nodes;
	size_t at_line, at_byte; /* a line, from 0, and where it begins */
	size_t previous_end;	 /* of the document before */
};

/* The text must outlive the stream. -E2BIG, -CLITE_EDOCUMENT, -ENOMEM. */
int ystream_open(struct ystream *s, const char *text, size_t len, const struct ylimits *limits,
		 const char *filename, struct errtext *err);
void ystream_close(struct ystream *s);
/* The next document: 1; 0 at the end; errors as above. */
int ystream_next(struct ystream *s, struct ydoc *ret);
