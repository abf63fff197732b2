/* SPDX-License-Identifier: BSD-2-Clause */
/* GetFlows. */
#include "hubble/services.h"

#include "hubble/reader.h"

static uint64_t flows_head(const struct clite_hubble *h)
{
	return h->ring.head;
}

static uint64_t flows_oldest(const struct clite_hubble *h)
{
	return ring_oldest(&h->ring);
}

static uint64_t flows_time(const struct clite_hubble *h, uint64_t pos)
{
	return ring_at(&h->ring, pos)->event.time;
}

static bool flows_is_lost(const struct clite_hubble *h, uint64_t pos)
{
	return !ring_at(&h->ring, pos)->source;
}

static bool flows_passes(const struct clite_hubble *h, const struct request *r, uint64_t pos)
{
	struct clite_flow flow;

	if (!r->filters)
		return true;
	flow = ring_flow(ring_at(&h->ring, pos));
	return clite_filters_match(r->filters, &flow) == 1;
}

static int flows_put(struct stream *s, const struct request *r, uint64_t pos)
{
	struct clite_hubble *h = s->hub;
	const struct bytes *message;

	h->sent += !flows_is_lost(h, pos);
	if (r->mask)
		return encode_masked(&h->encoder, &h->ring, pos, h->node, r->mask, &s->out);
	message = encode_entry(&h->encoder, &h->ring, pos, h->node);
	return message && bytes_put(&s->out, message->data, message->len) ? 0 : -ENOMEM;
}

static int flows_put_overtaken(struct stream *s, uint64_t n)
{
	s->hub->overwritten += n;
	return encode_overtaken(&s->hub->encoder, s->hub->node, n, &s->out);
}

static const struct event_log flows_log = {
	.head = flows_head,
	.oldest = flows_oldest,
	.time = flows_time,
	.is_lost = flows_is_lost,
	.passes = flows_passes,
	.put = flows_put,
	.put_overtaken = flows_put_overtaken,
};

enum grpc_code serve_flows(struct stream *s, const ProtobufCMessage *message)
{
	_cleanup_free_ char *error = NULL;
	struct request request = {};
	int r = request_read((const Observer__GetFlowsRequest *)message, &request, &error);

	if (r == -ENOMEM)
		return stream_fail(s, GRPC_RESOURCE_EXHAUSTED, "no memory");
	if (r)
		return stream_fail(s, GRPC_INVALID_ARGUMENT, "%s", error ?: "bad request");
	return reader_start(s, &flows_log, &request);
}
