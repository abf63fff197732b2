/* SPDX-License-Identifier: BSD-2-Clause */
/* NetworkPolicy of networking.k8s.io/v1, as Cilium translates it. */
#pragma once

#include "model/document_rule.h"

/* Read a spec into a zeroed part; the caller clears it, also on failure. r's namespace
 * is that of the policy. */
int document_network_policy(const struct reader *r, const struct ynode *spec, const struct path *p,
			    struct part *ret);
