/* SPDX-License-Identifier: BSD-2-Clause */
/* Flows from lines of JSON. That what clite_flow_json() writes is read back as it was is
 * tested in test_event.c, with its samples. */
#include <check.h>
#include <cilium-lite/flow_file.h>
#include <cilium-lite/version.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <zlib.h>

#include "util/util.h"

/* What "hubble observe -o json" 1.19 prints, with fields that are not kept here. */
#define HUBBLE                                                                                          \
	"{\"flow\":{\"time\":\"2026-11-23T15:50:41.1234Z\",\"uuid\":\"b3b5\","                          \
	"\"emitter\":{\"name\":\"Hubble\",\"version\":\"1.19.4\"},\"verdict\":\"REDIRECTED\","          \
	"\"ethernet\":{\"source\":\"02:00:00:00:00:01\",\"destination\":\"02:00:00:00:00:02\"},"        \
	"\"IP\":{\"source\":\"fd00::1\",\"source_xlated\":\"fd00::3\",\"destination\":\"fd00::2\","     \
	"\"ipVersion\":\"IPv6\",\"encrypted\":true},\"l4\":{\"TCP\":{\"source_port\":44010,"            \
	"\"destination_port\":80,\"flags\":{\"PSH\":true,\"ACK\":true,\"FIN\":false}}},"                \
	"\"source\":{\"ID\":12,\"identity\":256,\"cluster_name\":\"blue\",\"namespace\":\"prod\","      \
	"\"labels\":[\"k8s:app=client\",\"reserved:\\u00fc\"],\"pod_name\":\"client-0\","               \
	"\"workloads\":[{\"name\":\"client\",\"kind\":\"StatefulSet\"},{\"name\":\"other\"}]},"         \
	"\"destination\":{\"identity\":257,\"labels\":[]},\"Type\":\"L7\",\"node_name\":\"blue/n1\","   \
	"\"source_names\":[],\"destination_names\":[\"a.example\",\"b.example\"],"                      \
	"\"l7\":{\"type\":\"REQUEST\",\"http\":{\"method\":\"GET\",\"headers\":[{\"key\":\"Host\"}]}}," \
	"\"event_type\":{\"type\":129},\"source_service\":null,"                                        \
	"\"destination_service\":{\"name\":\"web\",\"namespace\":\"prod\"},"                            \
	"\"traffic_direction\":\"EGRESS\",\"is_reply\":false,"                                          \
	"\"interface\":{\"index\":7,\"name\":\"eth0\"},\"Summary\":\"HTTP/1.1 GET\","                   \
	"\"egress_allowed_by\":[{\"name\":\"a\",\"namespace\":\"prod\",\"labels\":[\"k8s:x=y\"],"       \
	"\"revision\":\"18446744073709551615\",\"kind\":\"CiliumNetworkPolicy\"},{\"name\":\"b\"}],"    \
	"\"ingress_denied_by\":[{\"name\":\"c\",\"revision\":3}],"                                      \
	"\"new_of_2030\":{\"deep\":[[{},1.5e-3,null,\"\\ud83d\\ude00\"]]}},"                            \
	"\"node_name\":\"outer\",\"time\":\"2026-11-23T15:50:42Z\"}"

static struct clite_flow_reader *reader;

static void set_up(void)
{
	ck_assert_int_eq(clite_flow_reader_new(&reader), 0);
}

static void tear_down(void)
{
	reader = clite_flow_reader_free(reader);
	ck_assert_ptr_null(reader);
}

static int line(const char *text, const struct clite_flow **ret)
{
	return clite_flow_reader_line(reader, text, strlen(text), ret);
}

static const struct clite_flow *flow_of(const char *text)
{
	const struct clite_flow *f = NULL;
	int r = line(text, &f);

	ck_assert_msg(r == 1, "%d: %s", r, clite_flow_reader_error(reader));
	ck_assert_ptr_nonnull(f);
	return f;
}

/* ---- fields -------------------------------------------------------------------- */

START_TEST(every_field)
{
	const struct clite_flow *f = flow_of(HUBBLE);
	const struct clite_event *e = f->event;
	const uint8_t one[16] = { 0xfd, [15] = 1 }, two[16] = { 0xfd, [15] = 2 };

	ck_assert_uint_eq(f->sz, sizeof(*f));
	ck_assert_uint_eq(f->kind, CLITE_FLOW_L7);
	ck_assert_str_eq(f->node, "blue/n1");
	ck_assert_str_eq(f->summary, "HTTP/1.1 GET");

	ck_assert_uint_eq(e->sz, sizeof(*e));
	ck_assert_uint_eq(e->time, 1795449041123400000ull);
	ck_assert_uint_eq(e->type, 129);
	ck_assert_uint_eq(e->verdict, 5);
	ck_assert_uint_eq(e->drop_reason, 0);
	ck_assert_uint_eq(e->direction, CLITE_EGRESS);
	ck_assert_uint_eq(e->is_reply, 0);
	ck_assert_uint_eq(e->family, 6);
	ck_assert_uint_eq(e->protocol, IPPROTO_TCP);
	ck_assert_uint_eq(e->has_ports, 1);
	ck_assert_mem_eq(e->source, one, 16);
	ck_assert_mem_eq(e->destination, two, 16);
	ck_assert_uint_eq(e->source_port, 44010);
	ck_assert_uint_eq(e->destination_port, 80);
	ck_assert_uint_eq(e->tcp_flags, 0x18);
	ck_assert_uint_eq(e->source_endpoint, 12);
	ck_assert_uint_eq(e->destination_endpoint, 0);
	ck_assert_uint_eq(e->source_identity, 256);
	ck_assert_uint_eq(e->destination_identity, 257);
	ck_assert_uint_eq(e->ifindex, 7);
	ck_assert_str_eq(f->interface, "eth0");

	ck_assert_str_eq(f->source->cluster, "blue");
	ck_assert_str_eq(f->source->ns, "prod");
	ck_assert_str_eq(f->source->pod, "client-0");
	ck_assert_str_eq(f->source->workload, "client");
	ck_assert_str_eq(f->source->workload_kind, "StatefulSet");
	ck_assert_str_eq(f->source->labels[0], "k8s:app=client");
	ck_assert_str_eq(f->source->labels[1], "reserved:\xc3\xbc");
	ck_assert_ptr_null(f->source->labels[2]);
	ck_assert_ptr_null(f->source->names[0]);
	ck_assert_str_eq(f->source->service, "");
	ck_assert_ptr_null(f->destination->labels[0]);
	ck_assert_str_eq(f->destination->names[0], "a.example");
	ck_assert_str_eq(f->destination->names[1], "b.example");
	ck_assert_ptr_null(f->destination->names[2]);
	ck_assert_str_eq(f->destination->service, "web");
	ck_assert_str_eq(f->destination->service_ns, "prod");

	ck_assert_str_eq(f->policies[0]->name, "a");
	ck_assert_uint_eq(f->policies[0]->revision, UINT64_MAX);
	ck_assert_uint_eq(f->policies[0]->direction, CLITE_EGRESS);
	ck_assert_uint_eq(f->policies[0]->action, CLITE_ALLOW);
	ck_assert_str_eq(f->policies[0]->kind, "CiliumNetworkPolicy");
	ck_assert_str_eq(f->policies[1]->name, "b");
	ck_assert_str_eq(f->policies[1]->ns, "");
	ck_assert_str_eq(f->policies[2]->name, "c");
	ck_assert_uint_eq(f->policies[2]->revision, 3);
	ck_assert_uint_eq(f->policies[2]->direction, CLITE_INGRESS);
	ck_assert_uint_eq(f->policies[2]->action, CLITE_DENY);
	ck_assert_ptr_null(f->policies[2]->rule);
	ck_assert_ptr_null(f->policies[3]);
}
END_TEST

/* Nothing of the line before is left. */
START_TEST(a_flow_of_nothing)
{
	const struct clite_flow *f;
	char buf[256];

	flow_of(HUBBLE);
	f = flow_of("{\"flow\":{}}");
	ck_assert_int_gt(clite_flow_json(f, buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "{\"flow\":{\"time\":\"1970-01-01T00:00:00Z\",\"source\":{},"
			      "\"destination\":{},\"event_type\":{}},"
			      "\"time\":\"1970-01-01T00:00:00Z\"}");
	ck_assert_uint_eq(f->event->is_reply, 2);
	ck_assert_uint_eq(f->event->has_ports, 0);
	ck_assert_uint_eq(f->event->family, 0);
	ck_assert_str_eq(f->event->source_file, "");
}
END_TEST

#define EVENT(member) offsetof(struct clite_event, member)

/* One member of a flow, and what the event has then. */
static const struct {
	const char *json;
	size_t offset;
	uint64_t value;
	size_t size; /* 0: 4 bytes */
} members[] = {
	{ "\"verdict\":\"AUDIT\"", EVENT(verdict), 4, 0 },
	{ "\"verdict\":2", EVENT(verdict), 2, 0 },
	{ "\"verdict\":\"2\"", EVENT(verdict), 0, 0 },
	{ "\"verdict\":\"OF_2030\"", EVENT(verdict), 0, 0 },
	{ "\"verdict\":99", EVENT(verdict), 99, 0 },
	{ "\"verdict\":null", EVENT(verdict), 0, 0 },
	{ "\"verdict\":\"DROPPED\",\"verdict\":\"FORWARDED\"", EVENT(verdict), 1, 0 },
	{ "\"drop_reason\":133", EVENT(drop_reason), 133, 0 },
	{ "\"dropReason\":\"133\"", EVENT(drop_reason), 133, 0 },
	{ "\"drop_reason_desc\":\"POLICY_DENY\"", EVENT(drop_reason), 181, 0 },
	{ "\"dropReasonDesc\":181", EVENT(drop_reason), 181, 0 },
	{ "\"drop_reason\":133,\"drop_reason_desc\":\"POLICY_DENY\"", EVENT(drop_reason), 133, 0 },
	{ "\"drop_reason\":4294967295", EVENT(drop_reason), 4294967295, 0 },
	{ "\"traffic_direction\":\"INGRESS\"", EVENT(direction), CLITE_INGRESS, 0 },
	{ "\"trafficDirection\":2", EVENT(direction), CLITE_EGRESS, 0 },
	{ "\"is_reply\":true", EVENT(is_reply), 1, 0 },
	{ "\"isReply\":false", EVENT(is_reply), 0, 0 },
	{ "\"is_reply\":null", EVENT(is_reply), 2, 0 },
	{ "\"reply\":true", EVENT(is_reply), 1, 0 },
	{ "\"reply\":false", EVENT(is_reply), 2, 0 },
	{ "\"reply\":true,\"is_reply\":false", EVENT(is_reply), 0, 0 },
	{ "\"event_type\":{\"type\":4,\"sub_type\":3}", EVENT(subtype), 3, 0 },
	{ "\"eventType\":{\"type\":4,\"subType\":3}", EVENT(subtype), 3, 0 },
	{ "\"event_type\":{\"type\":4},\"trace_observation_point\":\"TO_STACK\"", EVENT(subtype), 3,
	  0 },
	{ "\"event_type\":{\"type\":4},\"trace_observation_point\":101", EVENT(subtype), 0, 0 },
	{ "\"policy_match_type\":2,\"event_type\":{\"type\":5}", EVENT(subtype), 2, 0 },
	{ "\"trace_reason\":\"RELATED\",\"event_type\":{\"type\":4}", EVENT(trace_reason), 3, 0 },
	{ "\"trace_reason\":1,\"event_type\":{\"type\":4}", EVENT(trace_reason), 0, 0 },
	{ "\"trace_reason\":0,\"event_type\":{\"type\":4}", EVENT(trace_reason), 5, 0 },
	{ "\"trace_reason\":8,\"event_type\":{\"type\":4}", EVENT(trace_reason), 8, 0 },
	{ "\"event_type\":{\"type\":4}", EVENT(trace_reason), 5, 0 },
	{ "\"trace_reason\":\"REPLY\",\"traffic_direction\":\"EGRESS\",\"event_type\":{\"type\":4}",
	  EVENT(direction), CLITE_INGRESS, 0 },
	{ "\"trace_reason\":\"REPLY\",\"traffic_direction\":\"EGRESS\",\"event_type\":{\"type\":5}",
	  EVENT(direction), CLITE_EGRESS, 0 },
	{ "\"IP\":{\"ipVersion\":\"IPv6\"}", EVENT(family), 6, 0 },
	{ "\"IP\":{\"ipVersion\":1}", EVENT(family), 4, 0 },
	{ "\"IP\":{\"source\":\"\",\"destination\":\"10.0.0.1\"}", EVENT(family), 4, 0 },
	{ "\"IP\":{\"destination\":\"::\"}", EVENT(family), 6, 0 },
	{ "\"l4\":{\"UDP\":{}}", EVENT(protocol), IPPROTO_UDP, 0 },
	{ "\"l4\":{\"UDP\":{}}", EVENT(has_ports), 1, 0 },
	{ "\"l4\":{\"SCTP\":{\"destinationPort\":\"65535\"}}", EVENT(destination_port), 65535, 2 },
	{ "\"l4\":{\"ICMPv4\":{\"type\":3,\"code\":1}}", EVENT(icmp_code), 1, 1 },
	{ "\"l4\":{\"ICMPv6\":{\"type\":128}}", EVENT(icmp_type), 128, 1 },
	{ "\"l4\":{\"ICMPv6\":{\"type\":128}}", EVENT(protocol), IPPROTO_ICMPV6, 0 },
	{ "\"l4\":{\"VRRP\":{\"vrid\":1}}", EVENT(protocol), 112, 0 },
	{ "\"l4\":{\"IGMP\":{\"type\":1}}", EVENT(has_ports), 0, 0 },
	{ "\"file\":{\"name\":\"bpf_lxc.c\",\"line\":12}", EVENT(source_line), 12, 0 },
	{ "\"time\":\"1970-01-01T00:00:00Z\"", EVENT(time), 0, 8 },
	{ "\"time\":\"2000-02-29T23:59:59.5Z\"", EVENT(time), 951868799500000000ull, 8 },
	{ "\"time\":\"2026-11-23T17:50:41.000000001+02:00\"", EVENT(time), 1795449041000000001ull,
	  8 },
	{ "\"time\":\"2026-11-23T10:20:41-05:30\"", EVENT(time), 1795449041000000000ull, 8 },
	{ "\"time\":\"2554-07-21T23:34:33.709551615Z\"", EVENT(time), UINT64_MAX, 8 },
};

START_TEST(members_one_by_one)
{
	_cleanup_buf_ struct buf whole = {}, bare = {};
	size_t size = members[_i].size ?: 4;
	uint64_t value = 0;

	buf_printf(&whole, "{\"flow\":{%s},\"node_name\":\"n\"}", members[_i].json);
	memcpy(&value, (const char *)flow_of(whole.data)->event + members[_i].offset, size);
	ck_assert_uint_eq(value, members[_i].value);

	/* and where the flow stands alone */
	buf_printf(&bare, " { %s , \"Summary\" : \"n\" }\r\n", members[_i].json);
	memcpy(&value, (const char *)flow_of(bare.data)->event + members[_i].offset, size);
	ck_assert_uint_eq(value, members[_i].value);
}
END_TEST

START_TEST(node_and_time_of_the_outside)
{
	const struct clite_flow *f =
		flow_of("{\"time\":\"2026-11-23T15:50:41Z\",\"nodeName\":\"n1\","
			"\"flow\":{\"Summary\":\"x\"}}");

	ck_assert_str_eq(f->node, "n1");
	ck_assert_uint_eq(f->event->time, 1795449041000000000ull);
	f = flow_of("{\"flow\":{\"node_name\":\"n2\"},\"node_name\":\"n1\"}");
	ck_assert_str_eq(f->node, "n2");
}
END_TEST

/* ---- what is no flow ---------------------------------------------------------------- */

static const char *const others[] = {
	("{\"lost_events\":{\"source\":\"HUBBLE_RING_BUFFER\",\"num_events_lost\":\"5\"},"
	 "\"node_name\":\"n\",\"time\":\"2026-11-23T15:50:41Z\"}"),
	"{\"node_status\":{\"state_change\":\"NODE_CONNECTED\",\"node_names\":[\"n\"]}}",
	"{\"agent_event\":{\"type\":\"POLICY_UPDATED\"},\"node_name\":\"n\"}",
	"{}",
	"{\"x\":1}",
	"{\"flow\":null}",
};

START_TEST(others_are_counted)
{
	struct clite_flow_reader_counts c = { .sz = sizeof(c) };
	const struct clite_flow *f = NULL;

	ck_assert_int_eq(line(others[_i], &f), 0);
	ck_assert_int_eq(line(" \r\n", &f), 0);
	ck_assert_int_eq(line("", &f), 0);
	ck_assert_ptr_null(f);
	ck_assert_int_eq(clite_flow_reader_counts(reader, &c), 0);
	ck_assert_uint_eq(c.lines, 1);
	ck_assert_uint_eq(c.others, 1);
	ck_assert_uint_eq(c.flows, 0);
	ck_assert_uint_eq(c.wrong, 0);
}
END_TEST

static const struct {
	const char *json, *error;
} wrong[] = {
	{ "x", "line 1: byte 1: 'x' where an object should be" },
	{ "[]", "line 1: byte 1: '[' where an object should be" },
	{ "{", "line 1: the line ends where the name of a member should be" },
	{ "{\"flow\":{\"verdict\":\"FORWARDED\"}", "the line ends where ',' or '}' should be" },
	{ "{\"flow\":{}} x", "byte 13: 'x' where the end of the line should be" },
	{ "{\"flow\":{}}{\"flow\":{}}", "byte 12: '{' where the end" },
	{ "{\"flow\":{},}", "byte 12: '}' where the name of a member should be" },
	{ "{,}", "byte 2: ',' where the name of a member should be" },
	{ "{\"a\" 1}", "byte 6: '1' where ':' should be" },
	{ "{\"a\":}", "a: byte 6: '}' where a value should be" },
	{ "{\"a\":[1,]}", "a: byte 9: ']' where a value should be" },
	{ "{\"a\":[1 2]}", "a: byte 9: '2' where ',' or ']' should be" },
	{ "{\"a\":nul}", "where a value should be" },
	{ "{\"a\":truE}", "where true or false should be" },
	{ "{\"a\":01}", "line 1: byte 7: '1' where ',' or '}' should be" },
	{ "{\"a\":1.}", "where a number should be" },
	{ "{\"a\":-}", "where a number should be" },
	{ "{\"a\":1e+}", "where a number should be" },
	{ "{\"a\":\"\t\"}", "a: byte 7: 0x09 where text without controls should be" },
	{ "{\"a\":\"\\x\"}", "where an escape of JSON" },
	{ "{\"a\":\"\\u00g0\"}", "where an escape of JSON" },
	{ "{\"a\":\"\\ud83d\"}", "where an escape of JSON" },
	{ "{\"a\":\"\\ud83d\\u0041\"}", "where an escape of JSON" },
	{ "{\"a\":\"\\ude00\"}", "where an escape of JSON" },
	{ "{\"a\":\"\\u0000\"}",
	  "a: byte 7: '\\' where an escape of JSON (none of NUL) should be" },
	{ "{\"a\":\"\xc0\xaf\"}", "a: byte 7: 0xc0 where UTF-8 should be" },
	{ "{\"a\":\"\xff\"}", "where UTF-8 should be" },
	{ "{\"a\":\"open", "a: the line ends where the end of a text should be" },
	{ "{\"flow\":[]}", NULL },
	{ "{\"flow\":{\"source\":[]}}", "flow.source: byte 19: '[' where an object should be" },
	{ "{\"flow\":{\"source\":{\"labels\":\"x\"}}}",
	  "flow.source.labels: byte 29: '\"' where a list" },
	{ "{\"flow\":{\"source\":{\"labels\":[1]}}}",
	  "flow.source.labels: byte 30: '1' where a text" },
	{ "{\"flow\":{\"source\":{\"identity\":-1}}}",
	  "flow.source.identity: '-1' is not a number from 0 to 4294967295" },
	{ "{\"flow\":{\"source\":{\"identity\":4294967296}}}",
	  "flow.source.identity: '4294967296'" },
	{ "{\"flow\":{\"source\":{\"identity\":1.5}}}", "flow.source.identity: '1.5'" },
	{ "{\"flow\":{\"source\":{\"identity\":\"\"}}}", "flow.source.identity: ''" },
	{ "{\"flow\":{\"source\":{\"identity\":{}}}}", "flow.source.identity: byte 31" },
	{ "{\"flow\":{\"l4\":{\"TCP\":{\"source_port\":65536}}}}",
	  "flow.l4.TCP.source_port: '65536' is not a number from 0 to 65535" },
	{ "{\"flow\":{\"l4\":{\"ICMPv4\":{\"type\":256}}}}", "flow.l4.ICMPv4.type: '256'" },
	{ "{\"flow\":{\"l4\":{\"TCP\":{\"flags\":{\"SYN\":1}}}}}", "flow.l4.TCP.flags.SYN: byte" },
	{ "{\"flow\":{\"IP\":{\"source\":\"10.0.0\"}}}",
	  "flow.IP.source: '10.0.0' is not an address" },
	{ "{\"flow\":{\"IP\":{\"source\":\"10.0.0.1\",\"destination\":\"fd00::1\"}}}",
	  "flow.IP.destination: 'fd00::1' is of another family" },
	{ "{\"flow\":{\"IP\":{\"source\":\"10.0.0.1\",\"ipVersion\":\"IPv6\"}}}",
	  "flow.IP: ipVersion is IPv6, the addresses are not" },
	{ "{\"flow\":{\"is_reply\":1}}", "flow.is_reply: byte" },
	{ "{\"flow\":{\"verdict\":true}}", "flow.verdict: byte" },
	{ "{\"flow\":{\"verdict\":-1}}", "flow.verdict: '-1'" },
	{ "{\"flow\":{\"egress_allowed_by\":[{\"revision\":\"18446744073709551616\"}]}}",
	  "flow.egress_allowed_by.revision: '18446744073709551616'" },
	{ "{\"flow\":{\"time\":1}}", "flow.time: byte" },
	{ "{\"flow\":{\"time\":\"now\"}}", "flow.time: 'now' is not a time such as 2026-01-31T12" },
	{ "{\"flow\":{\"time\":\"1969-12-31T23:59:59Z\"}}", "flow.time" },
	{ "{\"flow\":{\"time\":\"1970-01-01T00:00:00+00:01\"}}", "flow.time" },
	{ "{\"flow\":{\"time\":\"2026-02-29T00:00:00Z\"}}", "flow.time" },
	{ "{\"flow\":{\"time\":\"2026-13-01T00:00:00Z\"}}", "flow.time" },
	{ "{\"flow\":{\"time\":\"2026-01-01T24:00:00Z\"}}", "flow.time" },
	{ "{\"flow\":{\"time\":\"2026-01-01T00:00:00\"}}", "flow.time" },
	{ "{\"flow\":{\"time\":\"2026-01-01T00:00:00.Z\"}}", "flow.time" },
	{ "{\"flow\":{\"time\":\"2026-01-01T00:00:00.1234567890Z\"}}", "flow.time" },
	{ "{\"flow\":{\"time\":\"2026-01-01T00:00:00Zz\"}}", "flow.time" },
	{ "{\"flow\":{\"time\":\"2554-07-21T23:34:33.709551616Z\"}}", "flow.time" },
	{ "{\"flow\":{\"time\":\"9999-12-31T23:59:59Z\"}}", "flow.time" },
};

START_TEST(what_is_wrong_is_named)
{
	struct clite_flow_reader_counts c = { .sz = sizeof(c) };
	const struct clite_flow *f = NULL;
	int r = line(wrong[_i].json, &f);

	if (!wrong[_i].error) { /* JSON, but no flow */
		ck_assert_int_eq(r, 0);
		return;
	}
	ck_assert_int_eq(r, -CLITE_EDOCUMENT);
	ck_assert_ptr_null(f);
	ck_assert_msg(strstr(clite_flow_reader_error(reader), wrong[_i].error) != NULL, "%s",
		      clite_flow_reader_error(reader));
	ck_assert_int_eq(clite_flow_reader_counts(reader, &c), 0);
	ck_assert_uint_eq(c.wrong, 1);
	flow_of(HUBBLE);
	ck_assert_str_eq(clite_flow_reader_error(reader), "");
}
END_TEST

static void add_nested(struct buf *b, size_t depth)
{
	buf_puts(b, "{\"flow\":{\"x\":");
	for (size_t i = 2; i < depth; i++)
		buf_puts(b, "[");
	for (size_t i = 2; i < depth; i++)
		buf_puts(b, "]");
	buf_puts(b, "}}");
}

START_TEST(limits)
{
	_cleanup_buf_ struct buf good = {}, deep = {}, longest = {};
	const struct clite_flow *f;

	add_nested(&good, 32);
	flow_of(good.data);
	add_nested(&deep, 33);
	ck_assert_int_eq(line(deep.data, &f), -CLITE_EDOCUMENT);
	ck_assert_str_eq(clite_flow_reader_error(reader),
			 "line 2: flow.x: more than 32 objects and lists inside of each other");

	buf_puts(&longest, "{\"flow\":{}}");
	while (longest.len < 1 << 20)
		buf_puts(&longest, " ");
	flow_of(longest.data);
	buf_puts(&longest, " ");
	ck_assert_int_eq(line(longest.data, &f), -E2BIG);
	ck_assert_str_eq(clite_flow_reader_error(reader),
			 "line 4: the line is longer than 1048576 bytes");

	/* a NUL in the middle */
	ck_assert_int_eq(clite_flow_reader_line(reader, "{\"flow\":\0{}}", 12, &f),
			 -CLITE_EDOCUMENT);
	ck_assert_int_eq(clite_flow_reader_line(reader, "{\"flow\":{}}\0", 12, &f),
			 -CLITE_EDOCUMENT);
	ck_assert_int_eq(clite_flow_reader_line(reader, "{\"x\":\"\0\"}", 9, &f), -CLITE_EDOCUMENT);
}
END_TEST

START_TEST(bad_arguments)
{
	struct clite_flow_reader_counts c = { .sz = sizeof(c) - 1 };
	const struct clite_flow *f;

	ck_assert_int_eq(clite_flow_reader_new(NULL), -EINVAL);
	ck_assert_int_eq(clite_flow_reader_line(NULL, "", 0, &f), -EINVAL);
	ck_assert_int_eq(clite_flow_reader_line(reader, NULL, 0, &f), -EINVAL);
	ck_assert_int_eq(clite_flow_reader_line(reader, "", 0, NULL), -EINVAL);
	ck_assert_int_eq(clite_flow_reader_next(reader, &f), -EINVAL);
	ck_assert_int_eq(clite_flow_reader_next(NULL, &f), -EINVAL);
	ck_assert_int_eq(clite_flow_reader_open(reader, NULL), -EINVAL);
	ck_assert_int_eq(clite_flow_reader_fd(reader, -1, NULL), -EINVAL);
	ck_assert_int_eq(clite_flow_reader_counts(reader, &c), -EINVAL);
	ck_assert_int_eq(clite_flow_reader_counts(reader, NULL), -EINVAL);
	ck_assert_str_eq(clite_flow_reader_error(NULL), "");
	ck_assert_ptr_null(clite_flow_reader_free(NULL));
}
END_TEST

/* ---- files --------------------------------------------------------------------------- */

#define FLOW(n) "{\"flow\":{\"Summary\":\"" n "\"}}"

/* A file of the calling test's with this text: its path. */
static char *file_of(const char *text, size_t len)
{
	char *path = strdup("/tmp/clite-flows-XXXXXX");
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	close(fd);
	return path;
}

static void next_is(const char *summary)
{
	const struct clite_flow *f;
	int r = clite_flow_reader_next(reader, &f);

	ck_assert_msg(r == 1, "%d: %s", r, clite_flow_reader_error(reader));
	ck_assert_str_eq(f->summary, summary);
}

static void next_fails(int code, const char *fmt, const char *path)
{
	_cleanup_buf_ struct buf text = {};
	const struct clite_flow *f;

	buf_printf(&text, fmt, path);
	ck_assert_int_eq(clite_flow_reader_next(reader, &f), -code);
	ck_assert_str_eq(clite_flow_reader_error(reader), text.data);
}

static void next_ends(void)
{
	const struct clite_flow *f;

	ck_assert_int_eq(clite_flow_reader_next(reader, &f), 0);
	ck_assert_int_eq(clite_flow_reader_next(reader, &f), 0);
}

START_TEST(a_file)
{
	static const char text[] = FLOW("1") "\n\n{\"x\":1}\nnot JSON\n" FLOW("2") "\r\n" FLOW("3");
	_cleanup_free_ char *path = file_of(text, sizeof(text) - 1);
	struct clite_flow_reader_counts c = { .sz = sizeof(c) };

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(clite_flow_reader_open(reader, path), 0);
		next_is("1");
		next_fails(CLITE_EDOCUMENT, "%s:4: byte 1: 'n' where an object should be", path);
		next_is("2");
		next_is("3");
		next_ends();
		ck_assert_int_eq(clite_flow_reader_counts(reader, &c), 0);
		ck_assert_uint_eq(c.lines, 5);
		ck_assert_uint_eq(c.flows, 3);
		ck_assert_uint_eq(c.others, 1);
		ck_assert_uint_eq(c.wrong, 1);
	}
	unlink(path);
	ck_assert_int_eq(clite_flow_reader_open(reader, path), -ENOENT);
	ck_assert_ptr_nonnull(strstr(clite_flow_reader_error(reader), path));
}
END_TEST

START_TEST(what_is_cut_off_is_wrong)
{
	static const char text[] = FLOW("1") "\n{\"flow\":{\"Summ";
	_cleanup_free_ char *path = file_of(text, sizeof(text) - 1);

	ck_assert_int_eq(clite_flow_reader_open(reader, path), 0);
	next_is("1");
	next_fails(CLITE_EDOCUMENT, "%s:2: flow: the line ends where the end of a text should be",
		   path);
	next_ends();
	unlink(path);
}
END_TEST

START_TEST(a_directory)
{
	ck_assert_int_eq(clite_flow_reader_open(reader, "/tmp"), 0);
	next_fails(EISDIR, "%s: Is a directory", "/tmp");
}
END_TEST

/* Lines of all lengths around those of the buffers, and one beyond the limit. */
START_TEST(long_lines)
{
	_cleanup_buf_ struct buf text = {};
	_cleanup_free_ char *path = NULL, *pad = NULL;
	const size_t lens[] = { 65535, 65536, 65537, 1 << 20, (1 << 20) + 1, 3 << 20, 100 };

	pad = malloc((3 << 20) + 1);
	memset(pad, ' ', 3 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		buf_puts(&text, FLOW("x"));
		buf_put(&text, pad, lens[i] - (sizeof(FLOW("x")) - 1));
		buf_puts(&text, "\n");
	}
	path = file_of(text.data, text.len);
	ck_assert_int_eq(clite_flow_reader_open(reader, path), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		if (lens[i] <= 1 << 20)
			next_is("x");
		else
			next_fails(E2BIG,
				   i == 4 ? "%s:5: the line is longer than 1048576 bytes" :
					    "%s:6: the line is longer than 1048576 bytes",
				   path);
	}
	next_ends();
	unlink(path);
}
END_TEST

static size_t gzip(const char *text, unsigned char *out, size_t size)
{
	z_stream z = {};

	ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)text;
	z.avail_in = (uInt)strlen(text);
	z.next_out = out;
	z.avail_out = (uInt)size;
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return size - z.avail_out;
}

START_TEST(compressed)
{
	char packed[1024];
	_cleanup_free_ char *path = NULL, *cut = NULL, *damaged = NULL;
	size_t n, m;

	/* two members, as of "cat a.gz b.gz" */
	n = gzip(FLOW("1") "\n" FLOW("2") "\n", (unsigned char *)packed, sizeof(packed));
	m = gzip(FLOW("3") "\n", (unsigned char *)packed + n, sizeof(packed) - n);
	path = file_of(packed, n + m);
	ck_assert_int_eq(clite_flow_reader_open(reader, path), 0);
	next_is("1");
	next_is("2");
	next_is("3");
	next_ends();

	cut = file_of(packed, n + m - 1);
	ck_assert_int_eq(clite_flow_reader_open(reader, cut), 0);
	next_is("1");
	next_is("2");
	next_is("3");
	next_fails(EBADMSG, "%s: the compressed file is cut off", cut);

	packed[n + 1] = 'x';
	damaged = file_of(packed, n + m);
	ck_assert_int_eq(clite_flow_reader_open(reader, damaged), 0);
	next_is("1");
	next_is("2");
	next_fails(EBADMSG, "%s: the compressed file is damaged", damaged);
	unlink(path);
	unlink(cut);
	unlink(damaged);
}
END_TEST

/* A pipe gives what there is, in any pieces; what is not whole stays. */
START_TEST(a_pipe)
{
	const char text[] = FLOW("1") "\n" FLOW("2") "\n";
	char packed[1024];
	size_t len = sizeof(text) - 1;
	const char *bytes = text;
	int fds[2], found = 0;

	if (_i) {
		len = gzip(text, (unsigned char *)packed, sizeof(packed));
		bytes = packed;
	}
	ck_assert_int_eq(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	ck_assert_int_eq(clite_flow_reader_fd(reader, fds[0], NULL), 0);
	for (size_t i = 0; i <= len; i++) {
		const struct clite_flow *f;
		int r;

		while ((r = clite_flow_reader_next(reader, &f)) == 1)
			ck_assert_int_eq(*f->summary, '0' + ++found);
		ck_assert_int_eq(r, -EAGAIN);
		ck_assert_str_eq(clite_flow_reader_error(reader), "");
		if (i < len)
			ck_assert_int_eq(write(fds[1], bytes + i, 1), 1);
	}
	ck_assert_int_eq(found, 2);
	close(fds[1]);
	next_ends();
	close(fds[0]);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("flow_file");
	TCase *t = tcase_create("lines");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, every_field);
	tcase_add_test(t, a_flow_of_nothing);
	tcase_add_loop_test(t, members_one_by_one, 0, ARRAY_SIZE(members));
	tcase_add_test(t, node_and_time_of_the_outside);
	tcase_add_loop_test(t, others_are_counted, 0, ARRAY_SIZE(others));
	tcase_add_loop_test(t, what_is_wrong_is_named, 0, ARRAY_SIZE(wrong));
	tcase_add_test(t, limits);
	tcase_add_test(t, bad_arguments);
	suite_add_tcase(s, t);

	t = tcase_create("files");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_file);
	tcase_add_test(t, what_is_cut_off_is_wrong);
	tcase_add_test(t, a_directory);
	tcase_add_test(t, long_lines);
	tcase_add_test(t, compressed);
	tcase_add_loop_test(t, a_pipe, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	int failed;

	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
