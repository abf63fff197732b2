/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: do two policies mean the same, rule by rule? Lines, cookies, revision,
 * file names and kinds of documents do not count. */
#pragma once

#include "model/policy.h"

static inline int policy_bare_bytes(const struct policy *p, struct buf *out)
{
	_cleanup_(policy_freep) struct policy *copy = NULL;
	_cleanup_buf_ struct buf b = {};

	if (policy_encode(p, &b) < 0 || policy_decode(b.data, b.len, &copy) < 0)
		return -EBADMSG;
	policy_number(copy, 0);
	for (size_t i = 0; i < copy->nparts; i++) {
		for (size_t r = 0; r < copy->parts[i].nrules; r++) {
			copy->parts[i].rules[r].line = 0;
			copy->parts[i].rules[r].cookie = 0;
		}
	}
	copy->revision = 0;
	copy->kind = POLICY_STRUCTS;
	free(copy->filename);
	copy->filename = NULL;
	return policy_encode(copy, out);
}

static inline bool policy_same(const struct policy *a, const struct policy *b)
{
	_cleanup_buf_ struct buf ab = {}, bb = {};

	return policy_bare_bytes(a, &ab) == 0 && policy_bare_bytes(b, &bb) == 0 &&
	       ab.len == bb.len && memcmp(ab.data, bb.data, ab.len) == 0;
}
