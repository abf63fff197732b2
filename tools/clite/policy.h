/* SPDX-License-Identifier: BSD-2-Clause */
/* Policies from files, for the commands that take such. (policy.c) */
#pragma once

#include "cli.h"

/* Read all files that the arguments name into a transaction, and say what in them is
 * hardly meant; *policies is raised by how many they hold. An exit code. */
int policy_files(struct cli *cli, struct clite_txn *txn, int *policies);
