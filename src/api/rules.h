/* SPDX-License-Identifier: BSD-2-Clause */
/* From the structs of the API to the policy model. */
#pragma once

#include <cilium-lite/policy.h>

#include "model/policy.h"

/* Copy and check. -EINVAL with the place of what is wrong ("parts[0].rules[2]:
 * ..."), -ENOMEM. */
int rules_read(const char *name, const struct clite_policy_part *const *parts, size_t nparts,
	       struct policy **ret, struct errtext *err);
bool policy_name_ok(const char *name);
