/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/ring.h"

int ring_init(struct ring *ring, uint64_t max)
{
	ring->entries = calloc(max, sizeof(*ring->entries));
	ring->max = max;
	return ring->entries ? 0 : -ENOMEM;
}

/* ---- what is a flow ------------------------------------------------------------- */

static bool end_valid(const struct clite_flow_end *x)
{
	return x && x->sz == sizeof(*x) && x->ns && x->pod && x->service && x->service_ns &&
	       x->cluster && x->workload && x->workload_kind && x->labels && x->names;
}

bool flow_valid(const struct clite_flow *f)
{
	if (!f || f->sz != sizeof(*f) || !f->event || f->event->sz != sizeof(*f->event) ||
	    !end_valid(f->source) || !end_valid(f->destination) || !f->policies || !f->node ||
	    !f->summary)
		return false;
	for (const struct clite_flow_policy *const *p = f->policies; *p; p++)
		if ((*p)->sz != sizeof(**p) || !(*p)->name || !(*p)->ns || !(*p)->kind)
			return false;
	return true;
}

/* ---- entries -------------------------------------------------------------------- */

static void entry_release(struct ring *ring, struct ring_entry *e)
{
	names_unref(&ring->names, e->source);
	names_unref(&ring->names, e->destination);
	names_unref(&ring->names, e->policies);
	names_unref(&ring->names, e->node);
	names_unref(&ring->names, e->summary);
	names_unref(&ring->names, e->interface);
	names_unref(&ring->names, e->file);
}

static struct ring_entry *next(struct ring *ring)
{
	struct ring_entry *e = &ring->entries[ring->head % ring->max];

	if (e->source)
		entry_release(ring, e);
	*e = (struct ring_entry){};
	return e;
}

int ring_put(struct ring *ring, const struct clite_flow *f, const char *node)
{
	const char *file = f->event->source_file ?: "";
	struct ring_entry e = {
		.event = *f->event,
		.source = names_end(&ring->names, f->source),
		.destination = names_end(&ring->names, f->destination),
		.policies = names_policies(&ring->names, f->policies),
		.node = names_text(&ring->names, *f->node ? f->node : node),
		.summary = names_text(&ring->names, f->summary),
		.interface = names_text(&ring->names, f->interface ?: ""),
		.file = names_text(&ring->names, file),
		.kind = f->kind,
	};

	if (!e.source || !e.destination || !e.policies || !e.node || !e.summary || !e.interface ||
	    !e.file) {
		entry_release(ring, &e);
		return -ENOMEM;
	}
	e.event.source_file = e.file->text;
	e.event.packet = NULL; /* only borrowed */
	e.event.packet_bytes = 0;
	*next(ring) = e;
	ring->head++;
	return 0;
}

void ring_put_lost(struct ring *ring, uint64_t lost, uint64_t since, uint64_t time)
{
	*next(ring) = (struct ring_entry){
		.event = { .sz = sizeof(struct clite_event), .time = time },
		.lost = lost,
		.lost_since = since,
	};
	ring->head++;
}

struct clite_flow ring_flow(const struct ring_entry *e)
{
	return (struct clite_flow){
		.sz = sizeof(struct clite_flow),
		.event = &e->event,
		.source = &e->source->end,
		.destination = &e->destination->end,
		.policies = e->policies->policies,
		.node = e->node->text,
		.summary = e->summary->text,
		.interface = e->interface->text,
		.kind = e->kind,
	};
}

void ring_clear(struct ring *ring)
{
	names_clear(&ring->names);
	free(ring->entries);
	*ring = (struct ring){};
}
