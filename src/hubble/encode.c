/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/encode.h"

#include "hubble/grpc.h"
#include "hubble/mask.h"

static void begin(struct encoder *e, uint64_t time, const char *node)
{
	observer__get_flows_response__init(&e->response);
	time_to_pb(time, &e->time);
	e->response.time = &e->time;
	e->response.node_name = (char *)(uintptr_t)node;
}

static void set_lost(struct encoder *e, Flow__LostEventSource source, uint64_t lost)
{
	flow__lost_event__init(&e->lost);
	e->lost.source = source;
	e->lost.num_events_lost = lost;
	e->response.lost_events = &e->lost;
	e->response.response_types_case = OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_LOST_EVENTS;
}

static int set_entry(struct encoder *e, const struct ring_entry *entry, const char *node)
{
	struct clite_flow flow;
	int r;

	begin(e, entry->event.time, node);
	if (!entry->source) {
		set_lost(e, FLOW__LOST_EVENT_SOURCE__PERF_EVENT_RING_BUFFER, entry->lost);
		time_to_pb(entry->lost_since, &e->first);
		time_to_pb(entry->event.time, &e->last);
		e->lost.first = &e->first;
		e->lost.last = &e->last;
		return 0;
	}
	flow = ring_flow(entry);
	r = flow_to_pb(&flow, &e->flow);
	e->response.node_name = e->flow.flow.node_name;
	e->response.flow = &e->flow.flow;
	e->response.response_types_case = OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_FLOW;
	return r;
}

const struct bytes *encode_entry(struct encoder *e, const struct ring *ring, uint64_t pos,
				 const char *node)
{
	struct bytes *message = &e->cache[pos % ENCODED].message;
	uint64_t *of = &e->cache[pos % ENCODED].pos;

	if (*of == pos + 1)
		return message;
	*of = 0;
	message->len = 0;
	if (set_entry(e, ring_at(ring, pos), node) || message_frame(message, &e->response.base))
		return NULL;
	*of = pos + 1;
	return message;
}

int encode_masked(struct encoder *e, const struct ring *ring, uint64_t pos, const char *node,
		  const struct mask *mask, struct bytes *out)
{
	int r = set_entry(e, ring_at(ring, pos), node);

	if (r)
		return r;
	if (e->response.response_types_case == OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_FLOW)
		mask_apply(mask, &e->flow.flow.base);
	return message_frame(out, &e->response.base);
}

int encode_overtaken(struct encoder *e, const char *node, uint64_t lost, struct bytes *out)
{
	begin(e, now_real(), node);
	set_lost(e, FLOW__LOST_EVENT_SOURCE__HUBBLE_RING_BUFFER, lost);
	return message_frame(out, &e->response.base);
}

void encoder_clear(struct encoder *e)
{
	for (size_t i = 0; i < ENCODED; i++)
		bytes_clear(&e->cache[i].message);
	flow_pb_clear(&e->flow);
}
