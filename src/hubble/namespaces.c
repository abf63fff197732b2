/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/namespaces.h"

#define SEEN_FOR (3600 * NS)
#define NAMESPACES_MAX 65536 /* flows of other programs may have any */

static int compare(const struct namespace_seen *a, const char *cluster, const char *ns)
{
	return strcmp(a->cluster, cluster) ?: strcmp(a->ns, ns);
}

/* Where it is, or belongs. */
static size_t find(const struct namespaces *s, const char *cluster, const char *ns)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (compare(&s->list[mid], cluster, ns) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Without memory it is not there until it is seen again. */
static void insert(struct namespaces *s, size_t i, struct namespace_seen seen)
{
	size_t cap = s->cap ? s->cap * 2 : 16;
	struct namespace_seen *list;

	if (s->n == s->cap) {
		list = reallocarray(s->list, cap, sizeof(*list));
		if (!list) {
			free(seen.cluster);
			free(seen.ns);
			return;
		}
		s->list = list;
		s->cap = cap;
	}
	memmove(s->list + i + 1, s->list + i, (s->n - i) * sizeof(*s->list));
	s->list[i] = seen;
	s->n++;
}

void namespaces_see(struct namespaces *s, const char *cluster, const char *ns, uint64_t now)
{
	struct namespace_seen seen = { .time = now };
	size_t i;

	if (!*ns)
		return;
	i = find(s, cluster, ns);
	if (i < s->n && compare(&s->list[i], cluster, ns) == 0) {
		s->list[i].time = now;
		return;
	}
	if (s->n >= NAMESPACES_MAX)
		return;
	seen.cluster = strdup(cluster);
	seen.ns = strdup(ns);
	if (!seen.cluster || !seen.ns) {
		free(seen.cluster);
		free(seen.ns);
		return;
	}
	insert(s, i, seen);
}

void namespaces_expire(struct namespaces *s, uint64_t now)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (now - s->list[i].time < SEEN_FOR) {
			s->list[kept++] = s->list[i];
			continue;
		}
		free(s->list[i].cluster);
		free(s->list[i].ns);
	}
	s->n = kept;
}

void namespaces_clear(struct namespaces *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->list[i].cluster);
		free(s->list[i].ns);
	}
	free(s->list);
	*s = (struct namespaces){};
}
