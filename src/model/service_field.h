/* SPDX-License-Identifier: BSD-2-Clause */
/* What the readers of services and of slices share. */
#pragma once

#include "model/document_object.h"
#include "model/service_object.h"

/* As doc_fields(), and what is nothing ("endpoints: null", as kubectl writes it) is
 * not there. */
int service_fields(const struct reader *r, const struct ynode *map, const struct path *p,
		   const struct field *fields, size_t nfields, const struct ynode **got);
/* A field of a map that Kubernetes fills in, and where others may stand. */
const struct ynode *service_peek(const struct ynode *map, const char *key);
int service_warn(const struct reader *r, struct service_document *d, uint32_t line,
		 const struct path *p, const char *text);
int service_string(const struct reader *r, struct service_document *d, const struct ynode *n,
		   const struct path *p, const char **ret);
/* One of some words, by its index. Without a field, or with "": *ret stays. */
int service_word(const struct reader *r, const struct ynode *n, const struct path *p,
		 const char *const *words, size_t nwords, const char *others, unsigned int *ret);
/* The name of a port: *ret is "" without one. */
int service_port_name(const struct reader *r, struct service_document *d, const struct ynode *n,
		      const struct path *p, const char **ret);
int service_protocol(const struct reader *r, const struct ynode *n, const struct path *up,
		     uint8_t *ret);

typedef int (*address_fn)(const struct reader *r, const struct ynode *n, const struct path *p,
			  struct prefix *ret);

int service_address(const struct reader *r, const struct ynode *n, const struct path *p,
		    struct prefix *ret);
/* Append a list of addresses or prefixes. */
int service_addresses(const struct reader *r, struct service_document *d, const struct ynode *list,
		      const struct path *p, address_fn read, struct address_list *ret);
bool service_is_empty(const struct ynode *n);
/* One address, as a list of one. */
int service_one_address(const struct reader *r, struct service_document *d, const struct ynode *n,
			const struct path *p, struct address_list *ret);

struct service_meta {
	const char *namespace, *name, *full; /* of the arena; name: NULL if there is none */
	uint32_t line;
	const struct ynode *labels, *annotations; /* maps, or NULL */
	struct path path, labels_path, annotations_path;
};

/* m is used where it is: its paths point to each other. */
int service_meta(const struct reader *r, struct service_document *d, const struct ynode *n,
		 const struct path *up, struct service_meta *m);
/* The same of an object that must have it, with a name. */
int service_named_meta(const struct reader *r, struct service_document *d,
		       const struct ynode *object, const struct ynode *n, const struct path *up,
		       struct service_meta *m);
/* A label or an annotation; *ret is NULL if it is not there. */
int service_meta_value(const struct reader *r, const struct ynode *map, const struct path *up,
		       const char *key, const char **ret);

/* One object of each kind, into d; p is NULL if it is the document. */
int service_read(const struct reader *r, struct service_document *d, const struct ynode *root,
		 const struct path *p);
int service_slice_read(const struct reader *r, struct service_document *d, const struct ynode *root,
		       const struct path *p);
int service_endpoints_read(const struct reader *r, struct service_document *d,
			   const struct ynode *root, const struct path *p);
