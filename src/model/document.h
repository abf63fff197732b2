/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading policy documents. The only user of libyaml; built only with
 * -Dyaml=enabled. */
#pragma once

#include "model/policy.h"

struct document_limits {
	size_t bytes, nodes, depth;
};

/* What is read if nobody says otherwise. */
#define DOCUMENT_MAX_BYTES (16u << 20)
#define DOCUMENT_MAX_DEPTH 64
#define DOCUMENT_MAX_NODES 1000000
#define DOCUMENT_DEPTH_CEILING 1024 /* trees are walked recursively: nobody may say more */

/* Read a stream of documents: CiliumNetworkPolicy in YAML or JSON, or an array of
 * Cilium's older rules.
 *
 * default_name names rules that have no name (see clite_import_opts.name).
 * filename is for messages, and is kept in the policies.
 *
 * On success *ret_policies is a malloc'ed array of *ret_n policies, in order of
 * the stream; each has its own text. On failure nothing is returned, err says
 * file, line and field; -CLITE_EDOCUMENT, -CLITE_EUNSUPPORTED, -E2BIG, -ENOMEM. */
int document_read(const char *text, size_t len, const char *filename, const char *default_name,
		  struct policy ***ret_policies, size_t *ret_n, struct errtext *err);
/* The same with other limits; 0: the one above. A depth beyond the ceiling is
 * -EINVAL. */
int document_read_limited(const char *text, size_t len, const struct document_limits *limits,
			  const char *filename, const char *default_name,
			  struct policy ***ret_policies, size_t *ret_n, struct errtext *err);
