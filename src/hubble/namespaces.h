/* SPDX-License-Identifier: BSD-2-Clause */
/* Namespaces that flows had in the last hour, as Hubble tells them. */
#pragma once

#include "hubble/base.h"

struct namespace_seen {
	char *cluster, *ns;
	uint64_t time; /* of now_mono() */
};

/* By cluster and name. Zero-initialised is empty. */
struct namespaces {
	struct namespace_seen *list;
	size_t n, cap;
};

void namespaces_see(struct namespaces *s, const char *cluster, const char *ns, uint64_t now);
void namespaces_expire(struct namespaces *s, uint64_t now);
void namespaces_clear(struct namespaces *s);
