/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as what a client asks for: refused with a text, or a request that can be
 * applied to a flow. The same bytes as a flow of another server: a record that is whole,
 * and that says the same after it was a message again. Link it with -fsanitize=fuzzer, or
 * with replay.c. */
#include <stdio.h>

#include "hubble/flow_pb.h"
#include "hubble/request.h"
#include "hubble/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_hubble: %s\n", what);
	abort();
}

/* JSON of a flow, to be freed. */
static char *json(const struct clite_flow *f)
{
	int n = clite_flow_json(f, NULL, 0);
	char *s = n >= 0 ? malloc((size_t)n + 1) : NULL;

	check(s && clite_flow_json(f, s, (size_t)n + 1) == n, "a flow that has no JSON");
	return s;
}

static void check_applied(const struct request *r, const struct clite_flow *f, struct flow_pb *pb)
{
	uint8_t *packed;

	check(!r->filters || clite_filters_match(r->filters, f) >= 0, "filters fail on a flow");
	check(!flow_to_pb(f, pb), "no memory");
	if (r->mask)
		mask_apply(r->mask, &pb->flow.base);
	packed = malloc(flow__flow__get_packed_size(&pb->flow) + 1);
	check(packed, "no memory");
	flow__flow__pack(&pb->flow, packed);
	free(packed);
}

static void request(const uint8_t *data, size_t size, const struct clite_flow *f)
{
	Observer__GetFlowsRequest *m = observer__get_flows_request__unpack(NULL, size, data);
	struct request r = {};
	struct flow_pb pb = {};
	char *error = NULL;
	int code;

	if (!m)
		return;
	code = request_read(m, &r, &error);
	check(code == 0 || (code == -EINVAL && error && *error), "refused without a reason");
	observer__get_flows_request__free_unpacked(m, NULL);
	if (!code)
		check_applied(&r, f, &pb);
	request_clear(&r);
	flow_pb_clear(&pb);
	free(error);
}

/* The record again as a message, and that as a record. */
static void check_same(const struct clite_flow *f)
{
	struct flow_record again = {};
	struct flow_pb pb = {};
	char *before, *after;

	check(!flow_to_pb(f, &pb) && !flow_from_pb(&pb.flow, &again), "no memory");
	before = json(f);
	after = json(&again.flow);
	check(!strcmp(before, after), "a flow is not what it was");
	free(before);
	free(after);
	flow_record_clear(&again);
	flow_pb_clear(&pb);
}

static void flow(const uint8_t *data, size_t size)
{
	Flow__Flow *m = flow__flow__unpack(NULL, size, data);
	struct flow_record r = {};

	if (m) {
		check(!flow_from_pb(m, &r) && flow_valid(&r.flow), "a message is no flow");
		flow__flow__free_unpacked(m, NULL);
		check_same(&r.flow);
	} else {
		m = flow__flow__unpack(NULL, 0, NULL);
		check(m && !flow_from_pb(m, &r), "an empty message is no flow");
		flow__flow__free_unpacked(m, NULL);
	}
	request(data, size, &r.flow);
	flow_record_clear(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	flow(data, size);
	return 0;
}
