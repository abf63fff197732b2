/* SPDX-License-Identifier: BSD-2-Clause */
/* The last flows. Each entry has a position that is never used again; readers keep theirs
 * and find out themselves that they were overtaken. */
#pragma once

#include "hubble/names.h"

/* A flow, or word of events that were lost. */
struct ring_entry {
	struct clite_event event; /* word: only its time */
	struct name *source;	  /* NULL: this is word */
	union {
		struct {
			struct name *destination, *policies, *node, *summary, *interface, *file;
		};
		struct {
			uint64_t lost;
			uint64_t lost_since; /* time of the first of them, ns */
		};
	};
	uint32_t kind;
};

struct ring {
	struct ring_entry *entries;
	uint64_t max;
	uint64_t head; /* position of the next entry */
	struct names names;
};

int ring_init(struct ring *ring, uint64_t max); /* -ENOMEM */
void ring_clear(struct ring *ring);

/* Is it a flow, of this version, with all that it must point to? */
bool flow_valid(const struct clite_flow *f);
/* node: of flows that do not say where they were seen. -ENOMEM: the flow is not there. */
int ring_put(struct ring *ring, const struct clite_flow *f, const char *node);
void ring_put_lost(struct ring *ring, uint64_t lost, uint64_t since, uint64_t time);

static inline uint64_t ring_oldest(const struct ring *ring)
{
	return ring->head > ring->max ? ring->head - ring->max : 0;
}

/* From ring_oldest() up to, not including, head. */
static inline const struct ring_entry *ring_at(const struct ring *ring, uint64_t pos)
{
	return &ring->entries[pos % ring->max];
}

/* The flow of an entry, as long as the entry stays. */
struct clite_flow ring_flow(const struct ring_entry *e);
