/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams of Kubernetes objects: documents that are an object, a list of objects, or
 * an object that is a list. What the readers of policies and of services share. */
#pragma once

#include "model/document.h"
#include "model/document_field.h"

#define KIND_LIST (-1)

struct kind_name {
	const char *name;
	const char *api;
	int kind; /* the reader's own number, or KIND_LIST */
};

struct object_reader {
	const struct kind_name *kinds;
	size_t nkinds;
	const char *lacks;    /* the error of an object without a kind */
	const char *others;   /* what is said of a kind that is none of these */
	const char *item;     /* "a policy": what a list holds */
	const char *document; /* what a document may be */
	/* One object; p is NULL if it is the document, else where in it. */
	int (*read)(const struct reader *r, const struct ydoc *doc, const struct ynode *root,
		    const struct path *p, int kind, void *data);
	/* A document of another form: 1 if it was one and is read, 0 if it is none.
	 * May be NULL. */
	int (*other)(const struct reader *r, const struct ydoc *doc, void *data);
	void *data;
};

/* Read all objects of a stream, in their order; those that are nothing are skipped.
 * Errors as document_read_limited(). */
int objects_read(const char *text, size_t len, const struct document_limits *limits,
		 const char *filename, const struct object_reader *o, struct errtext *err);

/* What the limits say, with the usual ones where they say 0. */
struct ylimits object_limits(const struct document_limits *limits);

/* An object inside of another document, of one of the kinds that are no lists; if it
 * names its kind, it has to be that one. */
int object_check_kind(const struct reader *r, const struct ynode *root, const struct path *p,
		      const struct kind_name *kind);

/* The field of a map with a key; NULL: none. */
const struct ynode *object_find(const struct ynode *map, const char *key);

/* The fields of metadata: everything but these is Kubernetes' own business. */
enum { META_NAME, META_NAMESPACE, META_LABELS, META_ANNOTATIONS, META_COUNT = 15 };

int object_metadata(const struct reader *r, const struct ynode *n, const struct path *p,
		    const struct ynode *got[META_COUNT]);
int object_namespace(const struct reader *r, const struct ynode *n, const struct path *p,
		     const char **ret);
/* What is wrong with a name ("namespace/name") that is not empty; NULL: nothing. */
const char *object_bad_name(const char *name);
