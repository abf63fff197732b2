/* SPDX-License-Identifier: BSD-2-Clause */
/* NetworkPolicy of networking.k8s.io/v1, as Cilium translates it. */
#pragma once

#include "model/document_rule.h"

/* Read a spec into a zeroed part; the caller clears it, also on failure. r's namespace
 * is that of the policy. */
int document_network_policy(const struct reader *r, const struct ynode *spec, const struct path *p,
			    struct part *ret);
/* "TCP", "UDP", "SCTP". */
int document_protocol(const struct reader *r, const struct ynode *n, const struct path *p,
		      uint8_t *ret);
/* 1 to 65535, quoted or not. */
int document_port(const struct reader *r, const struct ynode *n, const struct path *p,
		  uint16_t *ret);
