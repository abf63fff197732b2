/* SPDX-License-Identifier: BSD-2-Clause */
/* What is not wrong in a policy, but hardly meant. */
#pragma once

#include "model/resolve.h"

struct remark {
	uint32_t code; /* CLITE_WARNING_* */
	const struct rule *rule; /* NULL: of a part */
	const char *text;
};

/* Call note for each remark, in order of parts and rules; a negative return ends it and
 * is returned. ids: the identities there are. present: what policies may need. -ENOMEM. */
int policy_lint(const struct policy *p, const struct world *w, const struct identities *ids,
		uint32_t present, int (*note)(const struct remark *r, void *data), void *data);
