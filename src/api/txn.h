/* SPDX-License-Identifier: BSD-2-Clause */
/* Transactions, for those who look into them. (policy.c) */
#pragma once

#include "api/ctx.h"

struct clite_ctx *txn_ctx(const struct clite_txn *txn);
/* The list of policies that would be in force, by name: those of the state, less what
 * the transaction replaces or deletes, plus what it puts. Only the array is the
 * caller's. -ENOMEM. */
int txn_list(const struct clite_txn *txn, struct policy ***ret, size_t *ret_n);

/* Fill in what a cookie stands for among policies. */
bool rule_info_find(struct policy *const *policies, size_t n, uint32_t cookie,
		    struct clite_rule_info *ret);
