/* SPDX-License-Identifier: BSD-2-Clause */
/* Of libcilium-lite-hubble what needs no client: flows as messages and back, names, the
 * ring, masks. */
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>

#include "hubble/flow_pb.h"
#include "hubble/mask.h"
#include "hubble/ring.h"

static const char *const no_texts[] = { NULL };
static const struct clite_flow_policy *const no_policies[] = { NULL };

static struct clite_flow_end end_of(const char *ns, const char *pod)
{
	return (struct clite_flow_end){
		.sz = sizeof(struct clite_flow_end),
		.ns = ns,
		.pod = pod,
		.service = "",
		.service_ns = "",
		.cluster = "",
		.workload = "",
		.workload_kind = "",
		.labels = no_texts,
		.names = no_texts,
	};
}

static struct clite_event event_of(uint32_t type)
{
	return (struct clite_event){
		.sz = sizeof(struct clite_event),
		.time = 1700000000000000001,
		.type = type,
		.family = 4,
		.source = { 10, 0, 0, 1 },
		.destination = { 10, 0, 0, 2 },
		.source_file = "",
	};
}

static struct clite_flow flow_of(const struct clite_event *e, const struct clite_flow_end ends[2])
{
	return (struct clite_flow){
		.sz = sizeof(struct clite_flow),
		.event = e,
		.source = &ends[0],
		.destination = &ends[1],
		.policies = no_policies,
		.node = "node",
		.summary = "",
		.kind = CLITE_FLOW_L3_L4,
		.interface = "eth0",
	};
}

/* ---- flows as messages --------------------------------------------------------- */

static struct flow_record record;

/* The flow as it comes back. */
static const struct clite_flow *back(const struct clite_event *e,
				     const struct clite_flow_end ends[2])
{
	const struct clite_flow f = flow_of(e, ends);
	char before[2048], after[2048];
	struct flow_pb pb = {};

	ck_assert_int_eq(flow_to_pb(&f, &pb), 0);
	ck_assert_int_eq(flow_from_pb(&pb.flow, &record), 0);
	flow_pb_clear(&pb);
	ck_assert(flow_valid(&record.flow));
	clite_flow_json(&f, before, sizeof(before));
	clite_flow_json(&record.flow, after, sizeof(after));
	ck_assert_str_eq(before, after);
	return &record.flow;
}

START_TEST(test_numbers_come_back)
{
	const struct clite_flow_end ends[] = { end_of("a", "b"), end_of("", "") };

	for (uint32_t point = 0; point <= 13; point++) {
		for (uint32_t reason = 0; reason <= 8; reason++) {
			for (uint32_t direction = 0; direction <= CLITE_EGRESS; direction++) {
				struct clite_event e = event_of(CLITE_EVENT_TRACE);
				const struct clite_event *b;

				e.subtype = point;
				e.trace_reason = reason;
				e.direction = direction;
				e.is_reply = reason % 3;
				b = back(&e, ends)->event;
				ck_assert_uint_eq(b->subtype, point);
				ck_assert_uint_eq(b->trace_reason, reason);
				ck_assert_uint_eq(b->direction, direction);
				ck_assert_uint_eq(b->is_reply, reason % 3);
				ck_assert_uint_eq(b->time, e.time);
			}
		}
	}
	flow_record_clear(&record);
}
END_TEST

START_TEST(test_protocols_come_back)
{
	static const uint32_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP,
					      IPPROTO_ICMPV6 };
	const struct clite_flow_end ends[] = { end_of("a", "b"), end_of("", "") };

	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		struct clite_event e = event_of(CLITE_EVENT_POLICY_VERDICT);
		const struct clite_event *b;

		e.family = protocols[i] == IPPROTO_ICMPV6 ? 6 : 4;
		e.protocol = protocols[i];
		e.has_ports = 1;
		e.subtype = 4;
		if (i < 3) {
			e.source_port = 65535;
			e.destination_port = 1;
		} else {
			e.icmp_type = 128;
		}
		e.tcp_flags = i ? 0 : 0x1ff;
		b = back(&e, ends)->event;
		ck_assert_uint_eq(b->protocol, protocols[i]);
		ck_assert_uint_eq(b->source_port, e.source_port);
		ck_assert_uint_eq(b->icmp_type, e.icmp_type);
		ck_assert_uint_eq(b->tcp_flags, e.tcp_flags);
		ck_assert_uint_eq(b->subtype, 4);
		ck_assert_mem_eq(b->source, e.source, 16);
	}
	flow_record_clear(&record);
}
END_TEST

START_TEST(test_names_come_back)
{
	static const char *const labels[] = { "k8s:app=web", "reserved:host=", NULL };
	static const char *const names[] = { "a.example", "b.example", NULL };
	struct clite_flow_end ends[] = { end_of("ns", "pod"), end_of("", "") };
	const struct clite_event e = event_of(CLITE_EVENT_DROP);
	const struct clite_flow_end *b;

	ends[0].labels = labels;
	ends[0].workload = "web";
	ends[0].workload_kind = "Deployment";
	ends[0].cluster = "east";
	ends[0].service = "svc";
	ends[0].names = names;
	b = back(&e, ends)->source;
	ck_assert_str_eq(b->labels[0], "k8s:app=web");
	ck_assert_str_eq(b->labels[1], "reserved:host=");
	ck_assert_ptr_null(b->labels[2]);
	ck_assert_str_eq(b->names[1], "b.example");
	ck_assert_str_eq(b->workload_kind, "Deployment");
	ck_assert_str_eq(b->service, "svc");
	flow_record_clear(&record);
}
END_TEST

START_TEST(test_times)
{
	static const struct {
		int64_t seconds;
		int32_t nanos;
		uint64_t ns;
	} cases[] = {
		{ 0, 0, 0 },   { 1, 5, NS + 5 },      { -1, 5, 0 },
		{ 1, -5, NS }, { 1, 2000000000, NS }, { INT64_MAX, 0, UINT64_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;

		t.seconds = cases[i].seconds;
		t.nanos = cases[i].nanos;
		ck_assert_uint_eq(time_from_pb(&t), cases[i].ns);
	}
}
END_TEST

START_TEST(test_utf8)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "abc \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
		  "abc \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xff", "\xef\xbf\xbd" },
		{ "a\xc3", "a\xef\xbf\xbd" },
		{ "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd" }, /* too long for what it says */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* a surrogate */
		{ "\xf5\x80\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};
	struct arena a = {};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_str_eq(text_utf8(&a, cases[i].in), cases[i].out);
	arena_clear(&a);
}
END_TEST

/* ---- names and the ring ---------------------------------------------------------- */

START_TEST(test_names_are_shared)
{
	const struct clite_flow_end a = end_of("ns", "a"), b = end_of("nsa", "");
	struct names names = {};
	struct name *one = names_end(&names, &a), *two = names_end(&names, &a);
	struct name *other = names_end(&names, &b);
	size_t bytes = names.bytes;

	ck_assert_ptr_eq(one, two);
	ck_assert_ptr_ne(one, other);
	ck_assert_uint_eq(names.n, 2);
	ck_assert_str_eq(one->end.pod, "a");
	ck_assert_str_eq(other->end.pod, "");
	names_unref(&names, one);
	ck_assert_uint_eq(names.n, 2);
	names_unref(&names, two);
	names_unref(&names, other);
	ck_assert_uint_eq(names.n, 0);
	ck_assert_uint_lt(names.bytes, bytes);
	names_clear(&names);
}
END_TEST

START_TEST(test_many_names)
{
	struct names names = {};
	struct name *kept[5000];
	char text[16];

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		snprintf(text, sizeof(text), "%zu", i);
		kept[i] = names_text(&names, text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		snprintf(text, sizeof(text), "%zu", i);
		ck_assert_ptr_eq(names_text(&names, text), kept[i]);
		ck_assert_str_eq(kept[i]->text, text);
		names_unref(&names, kept[i]);
		names_unref(&names, kept[i]);
	}
	ck_assert_uint_eq(names.n, 0);
	names_clear(&names);
}
END_TEST

START_TEST(test_ring)
{
	const struct clite_flow_end ends[] = { end_of("a", "b"), end_of("c", "d") };
	struct clite_event e = event_of(CLITE_EVENT_TRACE);
	const struct clite_flow f = flow_of(&e, ends);
	struct clite_flow got;
	struct ring ring = {};

	ck_assert_int_eq(ring_init(&ring, 3), 0);
	for (uint64_t i = 0; i < 5; i++) {
		e.time = i;
		ck_assert_int_eq(ring_put(&ring, &f, ""), 0);
	}
	ring_put_lost(&ring, 7, 1, 2);
	ck_assert_uint_eq(ring_oldest(&ring), 3);
	got = ring_flow(ring_at(&ring, 4));
	ck_assert(flow_valid(&got));
	ck_assert_uint_eq(got.event->time, 4);
	ck_assert_str_eq(got.destination->pod, "d");
	ck_assert_ptr_null(ring_at(&ring, 5)->source);
	ck_assert_uint_eq(ring_at(&ring, 5)->lost, 7);
	for (uint64_t i = 0; i < 3; i++)
		ring_put_lost(&ring, 1, 1, 2);
	ck_assert_uint_eq(ring.names.n, 0);
	ring_clear(&ring);
}
END_TEST

/* ---- masks ------------------------------------------------------------------------- */

START_TEST(test_mask)
{
	char *paths[] = { "source.namespace", "l4.TCP.source_port", "summary" };
	const struct clite_flow_end ends[] = { end_of("a", "b"), end_of("c", "d") };
	struct clite_event e = event_of(CLITE_EVENT_TRACE);
	const struct clite_flow f = flow_of(&e, ends);
	struct mask *mask;
	struct flow_pb pb = {};
	const char *bad = NULL;

	ck_assert_int_eq(mask_new(&flow__flow__descriptor, 3, paths, &mask, &bad), -EINVAL);
	ck_assert_str_eq(bad, "summary"); /* it is "Summary" */
	ck_assert_int_eq(mask_new(&flow__flow__descriptor, 2, paths, &mask, &bad), 0);
	e.protocol = IPPROTO_TCP;
	e.has_ports = 1;
	e.source_port = 1;
	e.destination_port = 2;
	ck_assert_int_eq(flow_to_pb(&f, &pb), 0);
	mask_apply(mask, &pb.flow.base);
	ck_assert_str_eq(pb.flow.source->namespace_, "a");
	ck_assert(!pb.flow.source->pod_name || !*pb.flow.source->pod_name);
	ck_assert_ptr_null(pb.flow.destination);
	ck_assert_uint_eq(pb.flow.l4->tcp->source_port, 1);
	ck_assert_uint_eq(pb.flow.l4->tcp->destination_port, 0);
	ck_assert_ptr_null(pb.flow.l4->tcp->flags);
	mask_free(mask);
	flow_pb_clear(&pb);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hubble");
	TCase *c = tcase_create("hubble");
	SRunner *runner;
	int failed;

	tcase_add_test(c, test_numbers_come_back);
	tcase_add_test(c, test_protocols_come_back);
	tcase_add_test(c, test_names_come_back);
	tcase_add_test(c, test_times);
	tcase_add_test(c, test_utf8);
	tcase_add_test(c, test_names_are_shared);
	tcase_add_test(c, test_many_names);
	tcase_add_test(c, test_ring);
	tcase_add_test(c, test_mask);
	suite_add_tcase(s, c);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
