/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading policy documents. The only user of libyaml; built only with
 * -Dyaml=enabled. */
#pragma once

#include "model/policy.h"

#define DOCUMENT_MAX_BYTES (16u << 20)
#define DOCUMENT_MAX_DEPTH 64
#define DOCUMENT_MAX_NODES 1000000

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
