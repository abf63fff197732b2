/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>

#include <cilium-lite/policy.h>

#include "model/filter.h"
#include "model/filter_parts.h"
#include "model/flow.h"
#include "../filter_has.h"

/* ---- flows -------------------------------------------------------------------------- */

static const char *const none[] = { NULL };
static const char *const web_labels[] = { "k8s:app=web", "k8s:tier=7", "k8s:io.cilium/x=y",
					  "container:app=other", NULL };
static const char *const db_labels[] = { "k8s:app=db", "k8s:old", NULL };
static const char *const world_labels[] = { "cidr:198.51.100.0/24=", "cidr:2001:db8:7::/48=",
					    "reserved:world=", NULL };
static const char *const world_names[] = { "api.example.com", "cdn_1.example.net", NULL };
static const struct clite_flow_policy *const no_policies[] = { NULL };

/* clang-format off */
static const struct clite_flow_end web = {
	.sz = sizeof(web), .ns = "shop", .pod = "web-1", .service = "", .service_ns = "",
	.cluster = "", .workload = "web", .workload_kind = "Deployment",
	.labels = web_labels, .names = none,
};
static const struct clite_flow_end db = {
	.sz = sizeof(db), .ns = "default", .pod = "db-0", .service = "sql", .service_ns = "default",
	.cluster = "east", .workload = "db", .workload_kind = "StatefulSet",
	.labels = db_labels, .names = none,
};
static const struct clite_flow_end world = {
	.sz = sizeof(world), .ns = "", .pod = "", .service = "", .service_ns = "", .cluster = "",
	.workload = "", .workload_kind = "", .labels = world_labels, .names = world_names,
};
static const struct clite_flow_end bare = {
	.sz = sizeof(bare), .ns = "", .pod = "lonely", .service = "", .service_ns = "",
	.cluster = "", .workload = "", .workload_kind = "", .labels = none, .names = none,
};
/* clang-format on */

/* One bit each, for the table. */
enum {
	TCP = 1 << 0,	  /* web -> db, a SYN that is delivered */
	REPLY = 1 << 1,	  /* db -> web, SYN and ACK */
	DROP = 1 << 2,	  /* world -> web by UDP in IPv6, dropped by policy */
	PING = 1 << 3,	  /* lonely -> web, an echo */
	VERDICT = 1 << 4, /* lonely -> db, SCTP, allowed by L3-L4 */
	IGMP = 1 << 5,	  /* web -> world, without ports; nothing is known */
	ALL = (1 << 6) - 1,
};
#define FLOWS 6

static struct clite_event events[FLOWS];
static struct clite_flow flows[FLOWS];

static void addresses(struct clite_event *e, const char *source, const char *destination)
{
	struct prefix s, d;

	ck_assert_int_eq(addr_parse(source, &s), 0);
	ck_assert_int_eq(addr_parse(destination, &d), 0);
	e->sz = sizeof(*e);
	e->family = s.family;
	memcpy(e->source, s.ip, sizeof(e->source));
	memcpy(e->destination, d.ip, sizeof(e->destination));
}

static void make_events(void)
{
	/* clang-format off */
	events[0] = (struct clite_event){
		.type = CLITE_EVENT_TRACE, .subtype = 0, .verdict = CLITE_VERDICT_FORWARDED,
		.direction = CLITE_INGRESS, .is_reply = 0, .protocol = IPPROTO_TCP, .has_ports = 1,
		.source_port = 40000, .destination_port = 5432, .tcp_flags = 0x02,
		.source_identity = 1000, .destination_identity = 2000, .ifindex = 7,
	};
	events[1] = (struct clite_event){
		.type = CLITE_EVENT_TRACE, .subtype = 3, .verdict = CLITE_VERDICT_FORWARDED,
		.trace_reason = 2, .direction = CLITE_EGRESS, .is_reply = 1,
		.protocol = IPPROTO_TCP, .has_ports = 1, .source_port = 5432,
		.destination_port = 40000, .tcp_flags = 0x12,
		.source_identity = 2000, .destination_identity = 1000,
	};
	events[2] = (struct clite_event){
		.type = CLITE_EVENT_DROP, .subtype = 133, .drop_reason = 133,
		.verdict = CLITE_VERDICT_DROPPED, .direction = CLITE_INGRESS, .is_reply = 2,
		.protocol = IPPROTO_UDP, .has_ports = 1, .source_port = 53, .destination_port = 53,
		.source_identity = 2, .destination_identity = 1000, .ifindex = 8,
	};
	events[3] = (struct clite_event){
		.type = CLITE_EVENT_TRACE, .subtype = 4, .verdict = CLITE_VERDICT_FORWARDED,
		.direction = CLITE_EGRESS, .is_reply = 0, .protocol = IPPROTO_ICMP, .has_ports = 1,
		.icmp_type = 8, .source_identity = 3000, .destination_identity = 1000,
	};
	events[4] = (struct clite_event){
		.type = CLITE_EVENT_POLICY_VERDICT, .subtype = 4,
		.verdict = CLITE_VERDICT_AUDIT, .direction = CLITE_EGRESS, .is_reply = 2,
		.protocol = IPPROTO_SCTP, .has_ports = 1, .source_port = 1, .destination_port = 80,
		.source_identity = 3000, .destination_identity = 2000,
	};
	events[5] = (struct clite_event){
		.type = CLITE_EVENT_TRACE, .subtype = 11, .verdict = CLITE_VERDICT_FORWARDED,
		.is_reply = 2, .protocol = IPPROTO_IGMP, .source_identity = 1000,
		.destination_identity = 2,
	};
	/* clang-format on */
	addresses(&events[0], "10.0.1.1", "10.0.2.2");
	addresses(&events[1], "10.0.2.2", "10.0.1.1");
	addresses(&events[2], "2001:db8::5", "fd00::1");
	addresses(&events[3], "10.0.3.3", "10.0.1.1");
	addresses(&events[4], "10.0.3.3", "10.0.2.2");
	addresses(&events[5], "10.0.1.1", "224.0.0.22");
}

static void make_flows(void)
{
	static const struct clite_flow_end *const ends[FLOWS][2] = {
		{ &web, &db },	 { &db, &web },	 { &world, &web },
		{ &bare, &web }, { &bare, &db }, { &web, &world },
	};

	make_events();
	for (size_t i = 0; i < FLOWS; i++)
		flows[i] = (struct clite_flow){
			.sz = sizeof(flows[i]),
			.event = &events[i],
			.source = ends[i][0],
			.destination = ends[i][1],
			.policies = no_policies,
			.interface = i == 2 ? "eth0" :
				     i == 0 ? "" :
					      NULL,
			.node = i == 1 ? "east/node-2.example.com" :
				i == 5 ? "" :
					 "node-1",
			.summary = "",
			.kind = CLITE_FLOW_L3_L4,
		};
}

static uint32_t passed(const struct filters *fs)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < FLOWS; i++) {
		ck_assert(flow_valid(&flows[i]));
		bits |= (uint32_t)filters_pass(fs, &flows[i]) << i;
	}
	return bits;
}

/* ---- structs ------------------------------------------------------------------------- */

static void add_ok(struct filters *fs, uint32_t list, const struct clite_flow_filter *f)
{
	struct errtext err = {};
	int r = filters_add(fs, list, f, &err);

	ck_assert_msg(!r, "%d: %s", r, err.text ?: "");
	err_clear(&err);
}

static void add_fails(struct filters *fs, uint32_t list, const struct clite_flow_filter *f,
		      const char *text)
{
	struct filters before = *fs;
	struct errtext err = {};

	ck_assert_int_eq(filters_add(fs, list, f, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, text) != NULL, "'%s' is not in '%s'", text, err.text);
	ck_assert_mem_eq(&before, fs, sizeof(before));
	err_clear(&err);
}

START_TEST(lists)
{
	const uint32_t dropped[] = { CLITE_VERDICT_DROPPED }, replies[] = { 1 };
	const char *const ports[] = { "40000", "53", NULL };
	const struct clite_flow_filter all = { .sz = sizeof(all) };
	const struct clite_flow_filter drops = { .sz = sizeof(drops),
						 .verdict = dropped,
						 .nverdict = 1 };
	const struct clite_flow_filter reply = { .sz = sizeof(reply),
						 .reply = replies,
						 .nreply = 1 };
	const struct clite_flow_filter from = { .sz = sizeof(from), .source_port = ports };
	struct filters fs = {};

	ck_assert_uint_eq(passed(&fs), ALL);
	add_ok(&fs, CLITE_FILTER_DENY, &reply);
	ck_assert_uint_eq(passed(&fs), ALL & ~REPLY);
	add_ok(&fs, CLITE_FILTER_ALLOW, &drops);
	ck_assert_uint_eq(passed(&fs), DROP);
	add_ok(&fs, CLITE_FILTER_ALLOW, &from);
	ck_assert_uint_eq(passed(&fs), DROP | TCP);
	add_ok(&fs, CLITE_FILTER_ALLOW, &all);
	ck_assert_uint_eq(passed(&fs), ALL & ~REPLY);
	add_ok(&fs, CLITE_FILTER_DENY, &drops);
	ck_assert_uint_eq(passed(&fs), ALL & ~REPLY & ~DROP);
	add_ok(&fs, CLITE_FILTER_DENY, &all);
	ck_assert_uint_eq(passed(&fs), 0);
	filters_clear(&fs);
	ck_assert_uint_eq(passed(&fs), ALL);
}
END_TEST

START_TEST(structs)
{
	const uint32_t numbers[] = { 7 };
	const uint64_t trace[] = { 1 };
	struct clite_flow_filter f = { .sz = sizeof(f) };
	struct {
		struct clite_flow_filter f;
		uint64_t tail;
	} longer = {};
	struct filters fs = {};

	add_fails(&fs, 2, &f, "list 2");
	f.nverdict = 1;
	add_fails(&fs, 0, &f, "verdict: NULL, but");
	f.nverdict = 0;
	f.verdict = numbers;
	f.nip_version = 1;
	f.ip_version = numbers;
	add_fails(&fs, 0, &f, "ip_version: 7: 4 or 6");
	f.nip_version = 0;
	f.direction = numbers;
	f.ndirection = 1;
	add_fails(&fs, 0, &f, "traffic_direction: 7: 0 to 2");
	f.ndirection = 0;

	/* of a newer program */
	longer.f = f;
	longer.f.sz = sizeof(longer);
	add_ok(&fs, 0, &longer.f);
	filters_clear(&fs);
	longer.tail = 1;
	add_fails(&fs, 0, &longer.f, "of this library");

	/* of an older program, without the fields that came later */
	f.sz = offsetof(struct clite_flow_filter, ip_trace_id);
	f.ip_trace_id = trace;
	f.nip_trace_id = 1;
	add_ok(&fs, 0, &f);
	ck_assert_uint_eq(passed(&fs), ALL);
	filters_clear(&fs);
	f.sz = sizeof(f);
	add_ok(&fs, 0, &f);
	ck_assert_uint_eq(passed(&fs), 0);
	filters_clear(&fs);
}
END_TEST

START_TEST(limits)
{
	static const char *texts[FILTER_VALUES_MAX + 2];
	static char longest[FILTER_TEXT_MAX + 2];
	struct clite_flow_filter f = { .sz = sizeof(f) };
	struct filters fs = {};

	for (size_t i = 0; i < FILTERS_MAX; i++)
		add_ok(&fs, CLITE_FILTER_DENY, &f);
	add_fails(&fs, CLITE_FILTER_DENY, &f, "more than 128 filters");
	add_ok(&fs, CLITE_FILTER_ALLOW, &f);

	f.source_port = texts;
	for (size_t i = 0; i <= FILTER_VALUES_MAX; i++)
		texts[i] = "1";
	add_fails(&fs, 0, &f, "source_port: all filters have more than 4096 values");
	texts[FILTER_VALUES_MAX] = NULL;
	add_ok(&fs, CLITE_FILTER_ALLOW, &f);
	texts[1] = NULL;
	add_fails(&fs, 0, &f, "more than 4096 values");
	filters_clear(&fs);

	memset(longest, 'a', FILTER_TEXT_MAX + 1);
	f.source_port = NULL;
	f.source_pod = texts;
	texts[0] = longest;
	add_fails(&fs, 0, &f, "source_pod: a value is longer than 1024 bytes");
	longest[FILTER_TEXT_MAX] = '\0';
	for (size_t i = 0; i < FILTER_TEXTS_MAX / FILTER_TEXT_MAX; i++)
		add_ok(&fs, 0, &f);
	texts[0] = "a";
	add_fails(&fs, 0, &f, "longer than 65536 bytes");
	filters_clear(&fs);
}
END_TEST

#ifdef HAVE_YAML

/* ---- what the kernel gets ---------------------------------------------------------------- */

static uint32_t kernel_passed(const struct filters *fs, size_t max)
{
	struct filter_kernel k[64];
	uint32_t bits = 0;
	size_t n = filters_kernel(fs, k, max);

	ck_assert_uint_le(n, max);
	for (size_t i = 0; i < FLOWS; i++)
		for (size_t j = 0; j < n; j++)
			bits |= (uint32_t)filter_has(&k[j], &events[i]) << i;
	return bits;
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct {
	const char *json;
	uint32_t passes;
	int same; /* 1: the kernel's alternatives decide just the same */
} table[] = {
	{ "{}", ALL, 1 },
	{ "{\"verdict\":[]}", ALL, 1 },
	{ "{\"verdict\":null}", ALL, 1 },
	/* verdict */
	{ "{\"verdict\":[\"DROPPED\"]}", DROP, 1 },
	{ "{\"verdict\":[2]}", DROP, 1 },
	{ "{\"verdict\":[\"FORWARDED\",\"AUDIT\"]}", ALL & ~DROP, 1 },
	{ "{\"verdict\":[\"TRANSLATED\"]}", 0, 1 },
	/* event types */
	{ "{\"event_type\":[{\"type\":1}]}", DROP, 1 },
	{ "{\"eventType\":[{\"type\":5}]}", VERDICT, 1 },
	{ "{\"event_type\":[{}]}", ALL, 1 },
	{ "{\"event_type\":[{\"type\":129}]}", 0, 1 },
	{ "{\"event_type\":[{\"type\":4,\"match_sub_type\":true}]}", TCP, 0 },
	{ "{\"event_type\":[{\"type\":4,\"matchSubType\":true,\"subType\":3},{\"type\":1}]}",
	  REPLY | DROP, 0 },
	{ "{\"event_type\":[{\"type\":4,\"sub_type\":3}]}", TCP | REPLY | PING | IGMP, 1 },
	{ "{\"event_type\":[{\"type\":5,\"match_sub_type\":true,\"sub_type\":4}]}", 0, 0 },
	{ "{\"event_type\":[{\"type\":5,\"match_sub_type\":true,\"sub_type\":0}]}", VERDICT, 0 },
	/* drop reasons */
	{ "{\"drop_reason_desc\":[\"POLICY_DENIED\"]}", DROP, 1 },
	{ "{\"dropReasonDesc\":[133,181]}", DROP, 1 },
	{ "{\"drop_reason_desc\":[\"POLICY_DENY\"]}", 0, 1 },
	{ "{\"drop_reason_desc\":[0]}", 0, 0 },
	/* reply: not known, but dropped, is none */
	{ "{\"reply\":[true]}", REPLY, 1 },
	{ "{\"reply\":[false]}", TCP | PING | DROP, 0 },
	{ "{\"reply\":[true,false]}", TCP | PING | DROP | REPLY, 0 },
	{ "{\"encrypted\":[false]}", ALL, 1 },
	{ "{\"encrypted\":[true]}", 0, 0 },
	/* direction is the connection's */
	{ "{\"traffic_direction\":[\"INGRESS\"]}", TCP | REPLY | DROP, 1 },
	{ "{\"traffic_direction\":[\"EGRESS\"]}", PING | VERDICT, 1 },
	{ "{\"trafficDirection\":[\"TRAFFIC_DIRECTION_UNKNOWN\",2]}", PING | VERDICT | IGMP, 1 },
	/* addresses */
	{ "{\"ip_version\":[\"IPv6\"]}", DROP, 1 },
	{ "{\"ip_version\":[1]}", ALL & ~DROP, 1 },
	{ "{\"ip_version\":[0]}", 0, 1 },
	{ "{\"source_ip\":[\"10.0.1.1\"]}", TCP | IGMP, 1 },
	{ "{\"source_ip\":[\"10.0.1.1/32\",\"2001:db8::/32\"]}", TCP | IGMP | DROP, 1 },
	{ "{\"source_ip\":[\"10.0.0.7/16\"]}", ALL & ~DROP, 1 },
	{ "{\"source_ip\":[\"0.0.0.0/0\"]}", ALL & ~DROP, 1 },
	{ "{\"destination_ip\":[\"FD00:0::1\"]}", DROP, 1 },
	{ "{\"source_ip\":[\"10.0.3.3\"],\"destination_ip\":[\"10.0.2.0/24\"]}", VERDICT, 1 },
	{ "{\"source_ip_xlated\":[\"10.0.1.1\"]}", 0, 1 },
	/* protocols and ports */
	{ "{\"protocol\":[\"tcp\"]}", TCP | REPLY, 1 },
	{ "{\"protocol\":[\"UDP\",\"sctp\"]}", DROP | VERDICT, 1 },
	{ "{\"protocol\":[\"icmp\"]}", PING, 1 },
	{ "{\"protocol\":[\"ICMPv4\"]}", PING, 1 },
	{ "{\"protocol\":[\"icmpv6\",\"http\"]}", 0, 1 },
	{ "{\"protocol\":[\"igmp\"]}", IGMP, 1 },
	{ "{\"protocol\":[\"vrrp\"]}", 0, 1 },
	{ "{\"protocol\":[\"http\",\"dns\",\"kafka\"]}", 0, 1 },
	{ "{\"source_port\":[\"53\"]}", DROP, 1 },
	{ "{\"destination_port\":[\"5432\",\"00080\"]}", TCP | VERDICT, 1 },
	{ "{\"destination_port\":[\"0\"]}", 0, 1 },
	{ "{\"tcp_flags\":[{\"SYN\":true}]}", TCP | REPLY, 1 },
	{ "{\"tcp_flags\":[{\"SYN\":true,\"ACK\":true,\"RST\":false}]}", REPLY, 1 },
	{ "{\"tcp_flags\":[{\"FIN\":true},{\"ACK\":true}]}", REPLY, 1 },
	{ "{\"tcp_flags\":[{}]}", TCP | REPLY, 0 },
	/* identities */
	{ "{\"source_identity\":[1000,2]}", TCP | IGMP | DROP, 1 },
	{ "{\"destination_identity\":[\"2000\"]}", TCP | VERDICT, 1 },
	{ "{\"destination_identity\":[0]}", 0, 1 },
	/* pods */
	{ "{\"source_pod\":[\"shop/web\"]}", TCP | IGMP, 0 },
	{ "{\"source_pod\":[\"shop/\"]}", TCP | IGMP, 0 },
	{ "{\"source_pod\":[\"shop/eb\"]}", 0, 0 },
	{ "{\"source_pod\":[\"web\"]}", 0, 0 },
	{ "{\"source_pod\":[\"db\"]}", REPLY, 0 },
	{ "{\"source_pod\":[\"default/db-0\"]}", REPLY, 0 },
	{ "{\"source_pod\":[\"lone\"]}", PING | VERDICT, 0 },
	{ "{\"source_pod\":[\"default/lone\"]}", 0, 0 },
	{ "{\"source_pod\":[\"/lone\"]}", PING | VERDICT, 0 },
	{ "{\"destination_pod\":[\"shop/web-1\",\"default/\"]}",
	  TCP | REPLY | DROP | PING | VERDICT, 0 },
	{ "{\"source_pod\":[\"shop/\"],\"destination_pod\":[\"default/\"]}", TCP, 0 },
	/* services, workloads, clusters */
	{ "{\"destination_service\":[\"sql\"]}", TCP | VERDICT, 0 },
	{ "{\"destination_service\":[\"default/s\"]}", TCP | VERDICT, 0 },
	{ "{\"destination_service\":[\"shop/\"]}", 0, 0 },
	{ "{\"source_service\":[\"default/\"]}", REPLY, 0 },
	{ "{\"source_workload\":[{\"name\":\"web\"}]}", TCP | IGMP, 0 },
	{ "{\"source_workload\":[{\"kind\":\"StatefulSet\"}]}", REPLY, 0 },
	{ "{\"source_workload\":[{\"name\":\"web\",\"kind\":\"StatefulSet\"}]}", 0, 0 },
	{ "{\"source_workload\":[{}]}", TCP | IGMP | REPLY, 0 },
	{ "{\"destination_cluster_name\":[\"east\"]}", TCP | VERDICT, 0 },
	{ "{\"sourceClusterName\":[\"west\"]}", 0, 0 },
	/* names */
	{ "{\"source_fqdn\":[\"*.example.com\"]}", DROP, 0 },
	{ "{\"source_fqdn\":[\" API.example.com. \"]}", DROP, 0 },
	{ "{\"source_fqdn\":[\"example.com\"]}", 0, 0 },
	{ "{\"destination_fqdn\":[\"*\"]}", IGMP, 0 },
	{ "{\"destination_fqdn\":[\"cdn_1.*\"]}", IGMP, 0 },
	{ "{\"destination_fqdn\":[\"cdn*net\"]}", 0, 0 }, /* '*' is no '_' */
	{ "{\"node_name\":[\"node-1\"]}", TCP | DROP | PING | VERDICT, 0 },
	{ "{\"node_name\":[\"default/\"]}", TCP | DROP | PING | VERDICT, 0 },
	{ "{\"node_name\":[\"node-*\"]}", ALL & ~IGMP, 0 },
	{ "{\"node_name\":[\"east/\"]}", REPLY, 0 },
	{ "{\"node_name\":[\"e*/*.com\"]}", REPLY, 0 },
	{ "{\"node_name\":[\"/node-2.*\"]}", REPLY, 0 },
	{ "{\"nodeLabels\":[\"!gpu\"]}", ALL, 1 },
	{ "{\"nodeLabels\":[\"gpu\"]}", 0, 0 },
	/* labels */
	{ "{\"source_label\":[\"app=web\"]}", TCP | IGMP, 0 },
	{ "{\"source_label\":[\"app == web , tier\"]}", TCP | IGMP, 0 },
	{ "{\"source_label\":[\"k8s:app=web\",\"old\"]}", TCP | IGMP | REPLY, 0 },
	{ "{\"source_label\":[\"any:app=web\"]}", TCP | IGMP, 0 },
	{ "{\"source_label\":[\"container:app=web\"]}", 0, 0 },
	{ "{\"source_label\":[\"container:app\"]}", TCP | IGMP, 0 },
	{ "{\"source_label\":[\"app=other\"]}", 0, 0 }, /* the first of the key */
	{ "{\"source_label\":[\"app in (web, db),!old\"]}", TCP | IGMP, 0 },
	{ "{\"source_label\":[\"app notin (web)\"]}", ALL & ~TCP & ~IGMP, 0 },
	{ "{\"source_label\":[\"app!=web,app\"]}", REPLY, 0 },
	{ "{\"source_label\":[\"old in ()\"]}", REPLY, 0 },
	{ "{\"source_label\":[\"old=\"]}", REPLY, 0 },
	{ "{\"source_label\":[\"old in (a,)\"]}", REPLY, 0 },
	{ "{\"source_label\":[\"\"]}", ALL, 0 },
	{ "{\"source_label\":[\"reserved:world\"]}", DROP, 0 },
	{ "{\"source_label\":[\"cidr:198.51.100.0/24\"]}", DROP, 0 },
	{ "{\"source_label\":[\"cidr:198.51.0.0/16\"]}", DROP, 0 }, /* lies in it */
	{ "{\"source_label\":[\"cidr:0.0.0.0/0,reserved:world\"]}", DROP, 0 },
	{ "{\"source_label\":[\"!cidr:198.0.0.0/8\"]}", ALL & ~DROP, 0 },
	{ "{\"source_label\":[\"cidr:198.51.100.0/25\"]}", 0, 0 },
	{ "{\"source_label\":[\"cidr:198.52.0.0/16\"]}", 0, 0 },
	{ "{\"source_label\":[\"198.51.0.0/16\"]}", 0, 0 }, /* of any source: the key itself */
	{ "{\"source_label\":[\"cidr:2001-db8--0/32\"]}", DROP, 0 },
	{ "{\"source_label\":[\"cidr:2001-db8-7--/48\"]}", DROP, 0 },
	{ "{\"source_label\":[\"cidr:2001-db8-8--0/48\"]}", 0, 0 },
	{ "{\"source_label\":[\"tier>6,tier < 8\"]}", TCP | IGMP, 0 },
	{ "{\"source_label\":[\"tier>7\"]}", 0, 0 },
	{ "{\"source_label\":[\"app>7\"]}", 0, 0 },
	{ "{\"source_label\":[\"io.cilium/x=y\"]}", TCP | IGMP, 0 },
	{ "{\"source_label\":[\"k8s.app=web\"]}", 0, 0 },
	{ "{\"source_label\":[\"in=x,notin\"]}", 0, 0 },
	{ "{\"destination_label\":[\"app=db\"]}", TCP | VERDICT, 0 },
	/* interfaces */
	{ "{\"interface\":[{\"index\":7}]}", TCP, 0 },
	{ "{\"interface\":[{}]}", TCP | DROP, 0 },
	{ "{\"interface\":[{\"name\":\"eth0\"}]}", DROP, 0 },
	{ "{\"interface\":[{\"index\":8,\"name\":\"eth0\"}]}", DROP, 0 },
	{ "{\"interface\":[{\"index\":7,\"name\":\"eth0\"},{\"name\":\"eth\"}]}", 0, 0 },
	/* what no flow has */
	{ "{\"uuid\":[\"a\"]}", 0, 0 },
	{ "{\"uuid\":[\"\"]}", ALL, 0 },
	{ "{\"traceId\":[\"a\"]}", 0, 0 },
	{ "{\"ip_trace_id\":[\"18446744073709551615\",1]}", 0, 1 },
	{ "{\"dns_query\":[\"^a\\\\.b$\"]}", 0, 1 },
	{ "{\"http_status_code\":[\"200\",\"5+\",\"40+\"]}", 0, 1 },
	{ "{\"http_method\":[\"get\"],\"event_type\":[{\"type\":1},{\"type\":129}]}", 0, 1 },
	{ "{\"http_path\":[\"/a(b|c)*\"],\"http_url\":[\"x\"]}", 0, 1 },
	{ "{\"http_header\":[{\"key\":\"a\"}]}", 0, 1 },
};

START_TEST(json)
{
	struct filters allow = {}, deny = {};
	struct errtext err = {};
	int r;

	r = filters_add_json(&allow, CLITE_FILTER_ALLOW, table[_i].json, &err);
	ck_assert_msg(!r, "%s: %d %s", table[_i].json, r, err.text ?: "");
	ck_assert_int_eq(filters_add_json(&deny, CLITE_FILTER_DENY, table[_i].json, &err), 0);
	ck_assert_msg(passed(&allow) == table[_i].passes, "%s: 0x%x passed, 0x%x should",
		      table[_i].json, passed(&allow), table[_i].passes);
	ck_assert_uint_eq(passed(&deny), ALL & ~table[_i].passes);

	for (size_t max = 1; max <= 64; max *= 2)
		ck_assert_msg(!(table[_i].passes & ~kernel_passed(&allow, max)),
			      "%s: %zu alternatives are too narrow: 0x%x", table[_i].json, max,
			      kernel_passed(&allow, max));
	if (table[_i].same)
		ck_assert_msg(kernel_passed(&allow, 64) == table[_i].passes,
			      "%s: the kernel lets 0x%x through", table[_i].json,
			      kernel_passed(&allow, 64));
	filters_clear(&allow);
	filters_clear(&deny);
}
END_TEST

static const struct {
	const char *json;
	const char *error;
} wrong[] = {
	{ "", "nothing but blanks" },
	{ "null", "expected an object" },
	{ "[]", "expected an object" },
	{ "{} {}", "filter:1: not YAML" },
	{ "{}\n---\n{}", "more than one object" },
	{ "{", "not YAML" },
	{ "{\"verdict\":\"DROPPED\"}", "verdict: expected a list" },
	{ "{\"verdict\":[\"DROP\"]}",
	  "verdict[0]: expected a name of flow.proto, or its number, found 'DROP'" },
	{ "{\"verdict\":[1,-1]}", "verdict[1]: expected a number, found '-1'" },
	{ "{\"verdict\":[1],\"verdict\":[1]}", "the key 'verdict' is there already" },
	{ "{\"source_ip\":[],\"sourceIp\":[\"10.0.0.1\"]}", "source_ip: is there twice" },
	{ "{\"sourceip\":[]}", "'sourceip': no field of a filter" },
	{ "{\"source_IP\":[]}", "'source_IP': no field of a filter" },
	{ "{\"frobnicate\":[\"x\\u001b[2J\"]}", "'frobnicate': no field" },
	{ "{\"experimental\":{\"cel_expression\":[\"true\"]}}", "CEL" },
	{ "{\"source_ip\":[\"10.0.0\"]}", "source_ip: '10.0.0': an address such as" },
	{ "{\"source_ip\":[\"10.0.0.1/33\"]}", "source_ip: '10.0.0.1/33'" },
	{ "{\"source_ip\":[10]}", "source_ip[0]: expected a string, found '10'" },
	{ "{\"destination_ip\":[\"a\",\"b\\nc\\u001b\"]}", "destination_ip: 'a'" },
	{ "{\"destination_ip\":[\"b\\nc\\u001b\"]}", "destination_ip: 'b?c?'" },
	{ "{\"source_ip_xlated\":[\"x\"]}", "source_ip_xlated: 'x'" },
	{ "{\"source_pod\":[\"\"]}", "source_pod: ''" },
	{ "{\"source_pod\":[\"/\"]}", "source_pod: '/'" },
	{ "{\"source_pod\":[\"a/b/c\"]}", "source_pod: 'a/b/c'" },
	{ "{\"source_service\":[\"\"]}", "source_service: ''" },
	{ "{\"source_port\":[\"65536\"]}", "source_port: '65536': a port is a number" },
	{ "{\"source_port\":[\"99999999999999999999999\"]}", "source_port: '9" },
	{ "{\"source_port\":[\"http\"]}", "source_port: 'http'" },
	{ "{\"source_port\":[\"\"]}", "source_port: ''" },
	{ "{\"source_port\":[\"+1\"]}", "source_port: '+1'" },
	{ "{\"source_port\":[80]}", "source_port[0]: expected a string" },
	{ "{\"protocol\":[\"tcpp\"]}", "protocol: 'tcpp': icmp, icmpv4" },
	{ "{\"source_fqdn\":[\"a b\"]}", "source_fqdn: 'a b'" },
	{ "{\"source_fqdn\":[\" \"]}", "source_fqdn: ' '" },
	{ "{\"source_fqdn\":[\"a..\"]}", "source_fqdn: 'a..'" },
	{ "{\"node_name\":[\"\"]}", "node_name: ''" },
	{ "{\"node_name\":[\"a/b/c\"]}", "node_name: 'a/b/c'" },
	{ "{\"node_name\":[\"a?/b\"]}", "node_name: 'a?'" },
	{ "{\"source_cluster_name\":[\"\"]}", "source_cluster_name: ''" },
	{ "{\"source_label\":[\"=\"]}", "source_label: '=': byte 1: a key" },
	{ "{\"source_label\":[\"()\"]}", "source_label: '()'" },
	{ "{\"source_label\":[\"a,\"]}", "byte 3: a key" },
	{ "{\"source_label\":[\"a b\"]}", "byte 3: =, ==" },
	{ "{\"source_label\":[\"a=b c\"]}", "byte 5" },
	{ "{\"source_label\":[\"a in b\"]}", "byte 6: values in" },
	{ "{\"source_label\":[\"a in (b\"]}", "byte 8: ',' or ')'" },
	{ "{\"source_label\":[\"a in (b) c\"]}", "byte 10: ','" },
	{ "{\"source_label\":[\"!a=b\"]}", "byte 3: ','" },
	{ "{\"source_label\":[\"any:k8s:bla\"]}", "byte 1: a key is [source:]" },
	{ "{\"source_label\":[\":a\"]}", "byte 1: a key is" },
	{ "{\"source_label\":[\"a>b\"]}", "a number" },
	{ "{\"source_label\":[\"a=b:c\"]}", "byte 4" },
	{ "{\"node_labels\":[\"a==\\\"b\\\"\"]}", "node_labels: " },
	{ "{\"event_type\":[1]}", "event_type[0]: expected an object, found '1'" },
	{ "{\"event_type\":[{\"typ\":1}]}", "event_type[0]: no field 'typ'" },
	{ "{\"event_type\":[{\"type\":4294967296}]}", "event_type[0]: expected a smaller number" },
	{ "{\"event_type\":[{\"subType\":1,\"sub_type\":1}]}", "field 'sub_type' twice" },
	{ "{\"event_type\":[{\"match_sub_type\":1}]}", "expected true or false" },
	{ "{\"reply\":[0]}", "reply[0]: expected true or false, found '0'" },
	{ "{\"tcp_flags\":[{\"syn\":true}]}", "tcp_flags[0]: no field 'syn'" },
	{ "{\"ip_version\":[3]}", "ip_version[0]: expected IPv4 or IPv6" },
	{ "{\"ip_version\":[\"IPv5\"]}", "ip_version[0]" },
	{ "{\"traffic_direction\":[3]}", "traffic_direction: 3: 0 to 2" },
	{ "{\"source_identity\":[1.5]}", "source_identity[0]: expected a number" },
	{ "{\"source_identity\":[4294967296]}", "source_identity[0]: expected a smaller number" },
	{ "{\"interface\":[\"eth0\"]}", "interface[0]: expected an object" },
	{ "{\"source_workload\":[{\"name\":[]}]}", "expected a string, found a list" },
	{ "{\"http_status_code\":[\"600\"]}", "http_status_code: '600'" },
	{ "{\"http_status_code\":[\"20\"]}", "http_status_code: '20'" },
	{ "{\"http_status_code\":[\"200+\"]}", "http_status_code: '200+'" },
	{ "{\"http_status_code\":[\"+\"]}", "http_status_code: '+'" },
	{ "{\"http_path\":[\"(\"]}", "http_path: '(': no regular expression of RE2: byte 2" },
	{ "{\"dns_query\":[\"a**\"]}", "dns_query: 'a**'" },
	{ "{\"http_method\":[\"GET\"],\"event_type\":[{\"type\":1}]}",
	  "http_method: only events of" },
	{ "{\"source_ip\":[*a]}", "aliases" },
	{ "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}}", "nested deeper" },
};

START_TEST(json_wrong)
{
	struct filters fs = {};
	struct errtext err = {};
	int r = filters_add_json(&fs, CLITE_FILTER_ALLOW, wrong[_i].json, &err);

	ck_assert_msg(r == -EINVAL, "%s: %d", wrong[_i].json, r);
	ck_assert_msg(strstr(err.text, wrong[_i].error) != NULL, "%s: '%s' is not in '%s'",
		      wrong[_i].json, wrong[_i].error, err.text);
	for (const char *c = err.text; *c; c++)
		ck_assert_int_ge((unsigned char)*c, ' ');
	ck_assert_uint_eq(passed(&fs), ALL);
	ck_assert_uint_eq(fs.n[0] + fs.n[1] + fs.values + fs.text, 0);
	err_clear(&err);
}
END_TEST

/* A filter with more combinations than there is room for says less. */
START_TEST(kernel_room)
{
	struct filter_kernel k[4];
	struct filters fs = {};

	ck_assert_int_eq(filters_add_json(&fs, 0,
					  "{\"protocol\":[\"tcp\",\"udp\"],"
					  "\"source_port\":[\"1\",\"2\",\"3\"],"
					  "\"reply\":[true]}",
					  NULL),
			 0);
	ck_assert_uint_eq(filters_kernel(&fs, k, 4), 2);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(k[i].protocol, i ? IPPROTO_UDP : IPPROTO_TCP);
		ck_assert(!k[i].has_source_port);
		ck_assert_uint_eq(k[i].replies, 1u << 1);
	}
	ck_assert_uint_eq(filters_kernel(&fs, k, 1), 1);
	ck_assert_uint_eq(k[0].protocol, 0);
	ck_assert_uint_eq(k[0].replies, 1u << 1);
	ck_assert_int_eq(filters_add_json(&fs, 0, "{}", NULL), 0);
	ck_assert_uint_eq(filters_kernel(&fs, k, 1), 1);
	ck_assert_uint_eq(k[0].replies, 0);
	filters_clear(&fs);
}
END_TEST

#else

START_TEST(json_unsupported)
{
	struct errtext err = {};
	struct filters fs = {};

	ck_assert_int_eq(filters_add_json(&fs, 0, "{}", &err), -CLITE_EUNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(err.text, "libyaml"));
	err_clear(&err);
}
END_TEST

#endif

/* ---- patterns, regular expressions --------------------------------------------------------- */

START_TEST(patterns)
{
	static const struct {
		const char *pattern, *name;
		bool matches;
	} t[] = {
		{ "a*b*c", "aXbYc", true }, { "a*b*c", "abcbc", true },	 { "a*b*c", "abcb", false },
		{ "*a_*b", "a_ab", true },  { "*a_*b", "a_a_b", false }, { "*", "", true },
		{ "**", "a.b", true },	    { "*a", "a_a", false },	 { "a", "ab", false },
		{ "ab", "a", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		ck_assert_msg(pattern_matches(t[i].pattern, t[i].name) == t[i].matches, "%s %s",
			      t[i].pattern, t[i].name);
}
END_TEST

static const char *const regex_right[] = {
	"",
	"a",
	"^a$",
	"a|b|",
	"()",
	"(a|b)*c+?d??",
	"a{2}{",
	"a{2,3}?",
	"a{,5}",
	"a{05}",
	"{",
	"{a",
	"a{1000}",
	"(a{10}){100}",
	"(a{10}){100}|b{1000}",
	"(a{1000}){0}",
	"(a{5}b{6}){100}",
	"[a-z]",
	"[]a]",
	"[^]a]",
	"[a-]",
	"[-a]",
	"[[:alpha:][:^digit:]]",
	"[\\d\\-\\]]",
	"[[:a]",
	"\\d\\D\\s\\S\\w\\W\\b\\B\\A\\z",
	"\\pL\\PN\\p{Greek}\\p{^Lu}\\p{Old_Italic}[\\pL]",
	"\\Q(*\\E+",
	"\\Qa",
	"\\Q",
	"\\x41\\x{10FFFF}\\101\\0\\n\\.\\_\\@",
	"(?i)a",
	"(?i-s:a)",
	"(?:a)",
	"(?P<n>a)(?<m>b)",
	"(?ims-U)",
	"(?)",
	"a(?i)*",
	"\xc3\xa4+[\xc3\xa4-\xc3\xb6]",
	"^*",
	"$+",
	"(((((((((((((((((((((((((((((a)))))))))))))))))))))))))))))",
	".*.*.*.*.*=.*",
};

static const char *const regex_bad[] = {
	"(",
	")",
	"a)",
	"(a",
	"*",
	"+a",
	"?",
	"|*",
	"(*)",
	"(?i)*",
	"{1}",
	"a**",
	"a+*",
	"a{2}{3}",
	"a??*",
	"a{1001}",
	"a{0,1001}",
	"a{1001,}",
	"a{3,2}",
	"a{99999999999999999999}",
	"(a{10}){101}",
	"((a{10}){10}){11}",
	"(b|(a{500,}){3})",
	"((((((a{7}){7}){7}){7}){7}){7}){7}",
	"(a{1000})*{2}",
	"(a{501}|b){2}",
	"[",
	"[a",
	"[]",
	"[^]",
	"[z-a]",
	"[a-\\d]",
	"[[:nope:]]",
	"[\\",
	"[a-",
	"\\",
	"\\8",
	"\\1",
	"(a)\\1",
	"\\c",
	"\\C",
	"\\Z",
	"\\x",
	"\\x4",
	"\\x{}",
	"\\x{110000}",
	"\\x{4",
	"\\\xc3\xa4",
	"\\p",
	"\\p{",
	"\\p{}",
	"\\p{Nope9}",
	"\\pX",
	"\\p{^}",
	"(?",
	"(?a)",
	"(?i",
	"(?-)",
	"(?i-:a)",
	"(?P<>a)",
	"(?P<a",
	"(?P<a>b)(?P<a>c)",
	"(?P=a)",
	"(?<=a)",
	"(?=a)",
	"(?!a)",
	"(?#a)",
	"(?>a)",
	"\xff",
	"a\xc3",
	"\xed\xa0\x80",
	"[\xc0\x80]",
};

START_TEST(regexes)
{
	struct errtext err = {};

	for (size_t i = 0; i < ARRAY_SIZE(regex_right); i++)
		ck_assert_msg(!regex_check(regex_right[i], &err), "%s: %s", regex_right[i],
			      err.text ?: "");
	for (size_t i = 0; i < ARRAY_SIZE(regex_bad); i++) {
		ck_assert_msg(regex_check(regex_bad[i], &err) == -EINVAL, "%s", regex_bad[i]);
		ck_assert_ptr_nonnull(strstr(err.text, "no regular expression of RE2: byte "));
	}
	err_clear(&err);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("filter");
	TCase *c = tcase_create("filter");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(c, make_flows, NULL);
	tcase_add_test(c, lists);
	tcase_add_test(c, structs);
	tcase_add_test(c, limits);
	tcase_add_test(c, patterns);
	tcase_add_test(c, regexes);
#ifdef HAVE_YAML
	tcase_add_loop_test(c, json, 0, ARRAY_SIZE(table));
	tcase_add_loop_test(c, json_wrong, 0, ARRAY_SIZE(wrong));
	tcase_add_test(c, kernel_room);
#else
	tcase_add_test(c, json_unsupported);
#endif
	suite_add_tcase(s, c);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
