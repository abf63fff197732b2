/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <time.h>

#include "model/flow.h"
#include "model/flow_parse.h"
#include "model/names.h"

/* 2026-11-23 15:50:41.123456789 UTC */
#define NOW 1795449041123456789ull
#define BOOT_TO_REAL 1795000000000000000ull

/* ---- names ----------------------------------------------------------------- */

static const char *endpoint(void *data, uint32_t id)
{
	(void)data;
	switch (id) {
	case 12:
		return "default/client";
	case 13:
		return "default/server";
	case 14:
		return "lonely";
	case 15:
		return "bad\nname\x1b/\"x\"";
	default:
		return NULL;
	}
}

static const char *const *labels(void *data, uint32_t id)
{
	static const char *const client[] = { "k8s:app=client",
					      "k8s:io.kubernetes.pod.namespace=default", NULL };
	static const char *const server[] = { "k8s:app=server", "k8s:expr=a=b=", NULL };
	static const char *const world[] = { "reserved:world=", NULL };
	static const char *const cidr[] = { "cidr:10.0.0.0/8=", "reserved:world=", NULL };

	(void)data;
	switch (id) {
	case 256:
		return client;
	case 257:
		return server;
	case 2:
		return world;
	case 16777217:
		return cidr;
	default:
		return NULL;
	}
}

static const char *service(void *data, uint32_t family, const uint8_t addr[16], uint16_t port,
			   uint32_t protocol)
{
	static const uint8_t web[16] = { 10, 96, 0, 10 };

	(void)data;
	if (family == 4 && memcmp(addr, web, 16) == 0 && port == 80 && protocol == IPPROTO_TCP)
		return "default/web";
	return NULL;
}

static const struct clite_rule_info *rule(void *data, uint32_t cookie)
{
	static const struct clite_rule_info rules[] = {
		{ .cookie = 7,
		  .policy = "default/allow-client",
		  .filename = "net/policy.yaml",
		  .line = 14,
		  .direction = CLITE_INGRESS },
		{ .cookie = 8,
		  .policy = "no-world",
		  .filename = "",
		  .direction = CLITE_EGRESS,
		  .action = CLITE_DENY,
		  .index = 2 },
		{ .cookie = 9,
		  .policy = "default/out/web",
		  .filename = "out.yaml",
		  .line = 3,
		  .direction = CLITE_EGRESS,
		  .index = 1 },
		{ .cookie = 10,
		  .policy = "default/not-you",
		  .filename = "a\nb\x7f.yaml",
		  .line = 5,
		  .direction = CLITE_INGRESS,
		  .action = CLITE_DENY },
	};

	(void)data;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].cookie == cookie)
			return &rules[i];
	return NULL;
}

/* The devices of this machine: 4 alone. */
static const char *interface(void *data, uint32_t ifindex)
{
	(void)data;
	return ifindex == 4 ? "lxc\"4" : NULL;
}

static const struct event_names names = {
	.interface = interface,
	.endpoint = endpoint,
	.labels = labels,
	.service = service,
	.rule = rule,
	.node_name = "node1",
};

/* ---- writing ------------------------------------------------------------------- */

static void event_write(const struct clite_event *e, const struct event_names *names,
			struct buf *out, void (*write)(const struct clite_flow *, struct buf *))
{
	struct flow_record r = {};

	ck_assert_int_eq(flow_resolve(&r, e, names), 0);
	ck_assert(flow_valid(&r.flow));
	write(&r.flow, out);
	flow_record_clear(&r);
}

static void event_text(const struct clite_event *e, const struct event_names *names,
		       struct buf *out)
{
	event_write(e, names, out, flow_text);
}

static void event_json(const struct clite_event *e, const struct event_names *names,
		       struct buf *out)
{
	event_write(e, names, out, flow_json);
}

/* ---- samples ----------------------------------------------------------------- */

struct sample {
	const char *what;
	const char *saddr, *daddr, *orig;
	uint16_t sport, dport, orig_port;
	struct dp_event_rec rec; /* all but time, addresses, ports */
	const char *text;
	const char *json;
};

#define L4 DP_EVF_L4
#define KNOWN (DP_EVF_L4 | DP_EVF_REPLY_KNOWN)
#define REPLY (KNOWN | DP_EVF_REPLY)
#define ICMP(type, code) ((type) << 8 | (code))

#define TIME_JSON "\"time\":\"2026-11-23T15:50:41.123456789Z\""
#define TIME_TEXT "Nov 23 15:50:41.123: "
#define CLIENT_JSON                                                         \
	"{\"ID\":12,\"identity\":256,\"namespace\":\"default\",\"labels\":" \
	"[\"k8s:app=client\",\"k8s:io.kubernetes.pod.namespace=default\"]," \
	"\"pod_name\":\"client\"}"
#define SERVER_JSON                                                         \
	"{\"ID\":13,\"identity\":257,\"namespace\":\"default\",\"labels\":" \
	"[\"k8s:app=server\",\"k8s:expr=a=b=\"],\"pod_name\":\"server\"}"
#define WORLD_JSON "{\"identity\":2,\"labels\":[\"reserved:world\"]}"
#define POLICY_JSON(name) \
	"[{\"name\":\"" name "\",\"namespace\":\"default\",\"kind\":\"CiliumNetworkPolicy\"}]"
#define OUT_WEB_JSON POLICY_JSON("out/web")
#define ALLOW_CLIENT_JSON POLICY_JSON("allow-client")
#define NOT_YOU_JSON POLICY_JSON("not-you")
#define END_JSON "},\"node_name\":\"node1\"," TIME_JSON "}"

static const struct sample samples[] = {
	{ "trace of a new flow, both directions ruled",
	  "10.0.0.1",
	  "10.0.0.2",
	  NULL,
	  44010,
	  80,
	  0,
	  { .type = DP_EV_TRACE,
	    .dir = 1,
	    .proto = IPPROTO_TCP,
	    .tcp_flags = 2,
	    .flags = KNOWN,
	    .src_ep = 12,
	    .dst_ep = 13,
	    .src_identity = 256,
	    .dst_identity = 257,
	    .egress_rule = 9,
	    .ingress_rule = 7,
	    .ifindex = 4,
	    .len = 74,
	    .packets = 1,
	    .bytes = 74 },
	  TIME_TEXT "default/client:44010 (ID:256) -> default/server:80 (ID:257) to-endpoint "
		    "FORWARDED (TCP Flags: SYN) rule=default/out/web egress[1] out.yaml:3 "
		    "rule=default/allow-client ingress[0] net/policy.yaml:14",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"FORWARDED\",\"IP\":{\"source\":\"10.0.0.1\","
	  "\"destination\":\"10.0.0.2\",\"ipVersion\":\"IPv4\"},\"l4\":{\"TCP\":"
	  "{\"source_port\":44010,\"destination_port\":80,\"flags\":{\"SYN\":true}}},"
	  "\"source\":" CLIENT_JSON ",\"destination\":" SERVER_JSON ",\"Type\":\"L3_L4\","
	  "\"node_name\":\"node1\",\"event_type\":{\"type\":4},\"traffic_direction\":\"INGRESS\","
	  "\"trace_observation_point\":\"TO_ENDPOINT\",\"trace_reason\":\"NEW\","
	  "\"is_reply\":false,\"interface\":{\"index\":4,\"name\":\"lxc\\\"4\"},\"Summary\":\"TCP Flags: SYN\","
	  "\"egress_allowed_by\":" OUT_WEB_JSON
	  ",\"ingress_allowed_by\":" ALLOW_CLIENT_JSON END_JSON },

	{ "a reply is turned round; no rule lets it pass",
	  "10.0.0.2",
	  "10.0.0.1",
	  NULL,
	  80,
	  44010,
	  0,
	  { .type = DP_EV_TRACE,
	    .reason = 2,
	    .dir = 1,
	    .proto = IPPROTO_TCP,
	    .tcp_flags = 0x12,
	    .flags = REPLY,
	    .src_ep = 13,
	    .dst_ep = 12,
	    .src_identity = 257,
	    .dst_identity = 256,
	    .egress_rule = 9,
	    .ingress_rule = 7 },
	  TIME_TEXT "default/client:44010 (ID:256) <- default/server:80 (ID:257) to-endpoint "
		    "FORWARDED (TCP Flags: SYN, ACK)",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"FORWARDED\",\"IP\":{\"source\":\"10.0.0.2\","
	  "\"destination\":\"10.0.0.1\",\"ipVersion\":\"IPv4\"},\"l4\":{\"TCP\":"
	  "{\"source_port\":80,\"destination_port\":44010,\"flags\":{\"SYN\":true,"
	  "\"ACK\":true}}},\"source\":" SERVER_JSON ",\"destination\":" CLIENT_JSON
	  ",\"Type\":\"L3_L4\",\"node_name\":\"node1\",\"reply\":true,\"event_type\":{\"type\":4},"
	  "\"traffic_direction\":\"EGRESS\",\"trace_observation_point\":\"TO_ENDPOINT\","
	  "\"trace_reason\":\"REPLY\",\"is_reply\":true,"
	  "\"Summary\":\"TCP Flags: SYN, ACK\"" END_JSON },

	{ "an allowed policy verdict",
	  "10.0.1.2",
	  "10.0.0.2",
	  NULL,
	  44010,
	  80,
	  0,
	  { .type = DP_EV_VERDICT,
	    .reason = DP_MATCH_L3_L4,
	    .dir = 1,
	    .verdict = DP_VERDICT_ALLOW,
	    .proto = IPPROTO_TCP,
	    .tcp_flags = 2,
	    .flags = L4,
	    .dst_ep = 13,
	    .src_identity = 2,
	    .dst_identity = 257,
	    .egress_rule = 9,
	    .ingress_rule = 7 },
	  TIME_TEXT "10.0.1.2:44010 (world) <> default/server:80 (ID:257) policy-verdict:L3-L4 "
		    "INGRESS ALLOWED (TCP Flags: SYN) rule=default/allow-client ingress[0] "
		    "net/policy.yaml:14",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"FORWARDED\",\"IP\":{\"source\":\"10.0.1.2\","
	  "\"destination\":\"10.0.0.2\",\"ipVersion\":\"IPv4\"},\"l4\":{\"TCP\":"
	  "{\"source_port\":44010,\"destination_port\":80,\"flags\":{\"SYN\":true}}},"
	  "\"source\":" WORLD_JSON ",\"destination\":" SERVER_JSON ",\"Type\":\"L3_L4\","
	  "\"node_name\":\"node1\",\"event_type\":{\"type\":5},\"traffic_direction\":\"INGRESS\","
	  "\"policy_match_type\":2,\"Summary\":\"TCP Flags: SYN\",\"ingress_allowed_by\":" ALLOW_CLIENT_JSON
		  END_JSON },

	{ "a verdict that nothing allows",
	  "10.0.1.2",
	  "10.0.0.2",
	  NULL,
	  44010,
	  80,
	  0,
	  { .type = DP_EV_VERDICT,
	    .dir = 1,
	    .verdict = DP_VERDICT_DENY,
	    .proto = IPPROTO_TCP,
	    .tcp_flags = 2,
	    .flags = L4,
	    .dst_ep = 13,
	    .src_identity = 2,
	    .dst_identity = 257,
	    .egress_rule = 9 },
	  TIME_TEXT "10.0.1.2:44010 (world) <> default/server:80 (ID:257) policy-verdict:none "
		    "INGRESS DENIED (TCP Flags: SYN)",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"DROPPED\",\"drop_reason\":133,\"IP\":"
	  "{\"source\":\"10.0.1.2\",\"destination\":\"10.0.0.2\",\"ipVersion\":\"IPv4\"},"
	  "\"l4\":{\"TCP\":{\"source_port\":44010,\"destination_port\":80,"
	  "\"flags\":{\"SYN\":true}}},\"source\":" WORLD_JSON ",\"destination\":" SERVER_JSON
	  ",\"Type\":\"L3_L4\",\"node_name\":\"node1\",\"event_type\":{\"type\":5},"
	  "\"traffic_direction\":\"INGRESS\",\"drop_reason_desc\":\"POLICY_DENIED\","
	  "\"Summary\":\"TCP Flags: SYN\"" END_JSON },

	{ "a verdict of a deny rule that came by structs",
	  "10.0.0.1",
	  "203.0.113.9",
	  NULL,
	  5353,
	  53,
	  0,
	  { .type = DP_EV_VERDICT,
	    .reason = DP_MATCH_PROTO,
	    .dir = 2,
	    .verdict = DP_VERDICT_DENIED,
	    .proto = IPPROTO_UDP,
	    .flags = KNOWN,
	    .src_ep = 12,
	    .src_identity = 256,
	    .dst_identity = 9,
	    .egress_rule = 8 },
	  TIME_TEXT "default/client:5353 (ID:256) -> 203.0.113.9:53 (world-ipv4) "
		    "policy-verdict:Proto-Only EGRESS DENIED (UDP) rule=no-world egressDeny[2]",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"DROPPED\",\"drop_reason\":181,\"IP\":"
	  "{\"source\":\"10.0.0.1\",\"destination\":\"203.0.113.9\",\"ipVersion\":\"IPv4\"},"
	  "\"l4\":{\"UDP\":{\"source_port\":5353,\"destination_port\":53}},"
	  "\"source\":" CLIENT_JSON ",\"destination\":{\"identity\":9},\"Type\":\"L3_L4\","
	  "\"node_name\":\"node1\",\"event_type\":{\"type\":5},\"traffic_direction\":\"EGRESS\","
	  "\"policy_match_type\":6,\"drop_reason_desc\":\"POLICY_DENY\",\"is_reply\":false,"
	  "\"Summary\":\"UDP\",\"egress_denied_by\":[{\"name\":\"no-world\"}]" END_JSON },

	{ "a drop without a rule",
	  "10.0.1.2",
	  "10.0.0.2",
	  NULL,
	  44010,
	  80,
	  0,
	  { .type = DP_EV_DROP,
	    .subtype = 133,
	    .dir = 1,
	    .proto = IPPROTO_TCP,
	    .tcp_flags = 2,
	    .flags = KNOWN,
	    .dst_ep = 13,
	    .src_identity = 2,
	    .dst_identity = 257,
	    .ingress_rule = 7,
	    .file = 4,
	    .line = 185,
	    .ifindex = 9 },
	  TIME_TEXT "10.0.1.2:44010 (world) -> default/server:80 (ID:257) Policy denied DROPPED "
		    "(TCP Flags: SYN)",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"DROPPED\",\"drop_reason\":133,\"IP\":"
	  "{\"source\":\"10.0.1.2\",\"destination\":\"10.0.0.2\",\"ipVersion\":\"IPv4\"},"
	  "\"l4\":{\"TCP\":{\"source_port\":44010,\"destination_port\":80,"
	  "\"flags\":{\"SYN\":true}}},\"source\":" WORLD_JSON ",\"destination\":" SERVER_JSON
	  ",\"Type\":\"L3_L4\",\"node_name\":\"node1\",\"event_type\":{\"type\":1,"
	  "\"sub_type\":133},\"traffic_direction\":\"INGRESS\",\"file\":{\"name\":\"policy.h\","
	  "\"line\":185},\"drop_reason_desc\":\"POLICY_DENIED\",\"is_reply\":false,"
	  "\"interface\":{\"index\":9},\"Summary\":\"TCP Flags: SYN\"" END_JSON },

	{ "a drop by a deny rule",
	  "10.1.2.3",
	  "10.0.0.2",
	  NULL,
	  1,
	  2,
	  0,
	  { .type = DP_EV_DROP,
	    .subtype = 181,
	    .dir = 1,
	    .proto = IPPROTO_SCTP,
	    .flags = L4,
	    .dst_ep = 13,
	    .src_identity = 16777217,
	    .dst_identity = 257,
	    .egress_rule = 9,
	    .ingress_rule = 10,
	    .file = 4,
	    .line = 1 },
	  TIME_TEXT "10.1.2.3:1 (ID:16777217) <> default/server:2 (ID:257) Policy denied by "
		    "denylist DROPPED (SCTP)",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"DROPPED\",\"drop_reason\":181,\"IP\":"
	  "{\"source\":\"10.1.2.3\",\"destination\":\"10.0.0.2\",\"ipVersion\":\"IPv4\"},"
	  "\"l4\":{\"SCTP\":{\"source_port\":1,\"destination_port\":2}},\"source\":"
	  "{\"identity\":16777217,\"labels\":[\"cidr:10.0.0.0/8\",\"reserved:world\"]},"
	  "\"destination\":" SERVER_JSON ",\"Type\":\"L3_L4\",\"node_name\":\"node1\","
	  "\"event_type\":{\"type\":1,\"sub_type\":181},\"traffic_direction\":\"INGRESS\","
	  "\"file\":{\"name\":\"policy.h\",\"line\":1},\"drop_reason_desc\":\"POLICY_DENY\","
	  "\"Summary\":\"SCTP\",\"ingress_denied_by\":" NOT_YOU_JSON END_JSON },

	{ "a request to a service, established",
	  "10.0.0.1",
	  "10.0.0.2",
	  "10.96.0.10",
	  44010,
	  8080,
	  80,
	  { .type = DP_EV_TRACE,
	    .reason = 1,
	    .dir = 1,
	    .proto = IPPROTO_TCP,
	    .tcp_flags = 0x18,
	    .flags = KNOWN | DP_EVF_XLATED,
	    .src_ep = 12,
	    .dst_ep = 13,
	    .src_identity = 256,
	    .dst_identity = 257,
	    .egress_rule = 9,
	    .ingress_rule = 7 },
	  TIME_TEXT "default/client:44010 (ID:256) -> default/server:8080 (ID:257) to-endpoint "
		    "FORWARDED (TCP Flags: ACK, PSH) service=default/web:80 "
		    "rule=default/allow-client ingress[0] net/policy.yaml:14",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"FORWARDED\",\"IP\":{\"source\":\"10.0.0.1\","
	  "\"destination\":\"10.0.0.2\",\"ipVersion\":\"IPv4\"},\"l4\":{\"TCP\":"
	  "{\"source_port\":44010,\"destination_port\":8080,\"flags\":{\"PSH\":true,"
	  "\"ACK\":true}}},\"source\":" CLIENT_JSON ",\"destination\":" SERVER_JSON
	  ",\"Type\":\"L3_L4\",\"node_name\":\"node1\",\"event_type\":{\"type\":4},"
	  "\"destination_service\":{\"name\":\"web\",\"namespace\":\"default\"},"
	  "\"traffic_direction\":\"INGRESS\",\"trace_observation_point\":\"TO_ENDPOINT\","
	  "\"trace_reason\":\"ESTABLISHED\",\"is_reply\":false,"
	  "\"Summary\":\"TCP Flags: ACK, PSH\",\"ingress_allowed_by\":" ALLOW_CLIENT_JSON
		  END_JSON },

	{ "a reply of a service",
	  "10.0.0.2",
	  "10.0.0.1",
	  "10.96.0.10",
	  8080,
	  44010,
	  80,
	  { .type = DP_EV_TRACE,
	    .reason = 2,
	    .dir = 1,
	    .proto = IPPROTO_TCP,
	    .tcp_flags = 0x11,
	    .flags = REPLY | DP_EVF_XLATED | DP_EVF_END,
	    .src_ep = 13,
	    .dst_ep = 12,
	    .src_identity = 257,
	    .dst_identity = 256 },
	  TIME_TEXT "default/client:44010 (ID:256) <- default/server:8080 (ID:257) to-endpoint "
		    "FORWARDED (TCP Flags: ACK, FIN) service=default/web:80",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"FORWARDED\",\"IP\":{\"source\":\"10.0.0.2\","
	  "\"destination\":\"10.0.0.1\",\"ipVersion\":\"IPv4\"},\"l4\":{\"TCP\":"
	  "{\"source_port\":8080,\"destination_port\":44010,\"flags\":{\"FIN\":true,"
	  "\"ACK\":true}}},\"source\":" SERVER_JSON ",\"destination\":" CLIENT_JSON
	  ",\"Type\":\"L3_L4\",\"node_name\":\"node1\",\"reply\":true,\"event_type\":{\"type\":4},"
	  "\"source_service\":{\"name\":\"web\",\"namespace\":\"default\"},"
	  "\"traffic_direction\":\"EGRESS\",\"trace_observation_point\":\"TO_ENDPOINT\","
	  "\"trace_reason\":\"REPLY\",\"is_reply\":true,"
	  "\"Summary\":\"TCP Flags: ACK, FIN\"" END_JSON },

	{ "a service without a name, IPv6",
	  "fd00::1",
	  "fd00::2",
	  "fd00:96::10",
	  1024,
	  5353,
	  53,
	  { .type = DP_EV_TRACE,
	    .subtype = 11,
	    .dir = 2,
	    .proto = IPPROTO_UDP,
	    .flags = KNOWN | DP_EVF_XLATED | DP_EVF_IPV6,
	    .src_ep = 14,
	    .src_identity = 256,
	    .dst_identity = 10,
	    .egress_rule = 99 },
	  TIME_TEXT "default/lonely:1024 (ID:256) -> [fd00::2]:5353 (world-ipv6) to-network FORWARDED "
		    "(UDP) service=[fd00:96::10]:53 rule=99",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"FORWARDED\",\"IP\":{\"source\":\"fd00::1\","
	  "\"destination\":\"fd00::2\",\"ipVersion\":\"IPv6\"},\"l4\":{\"UDP\":"
	  "{\"source_port\":1024,\"destination_port\":5353}},\"source\":{\"ID\":14,"
	  "\"identity\":256,\"namespace\":\"default\",\"labels\":[\"k8s:app=client\","
	  "\"k8s:io.kubernetes.pod.namespace=default\"],\"pod_name\":\"lonely\"},"
	  "\"destination\":{\"identity\":10},\"Type\":\"L3_L4\",\"node_name\":\"node1\","
	  "\"event_type\":{\"type\":4,\"sub_type\":11},\"traffic_direction\":\"EGRESS\","
	  "\"trace_observation_point\":\"TO_NETWORK\",\"trace_reason\":\"NEW\","
	  "\"is_reply\":false,\"Summary\":\"UDP\"" END_JSON },

	{ "no back end: the destination is the service itself",
	  "10.0.0.1",
	  "10.96.0.10",
	  NULL,
	  44010,
	  80,
	  0,
	  { .type = DP_EV_DROP,
	    .subtype = 158,
	    .dir = 2,
	    .proto = IPPROTO_TCP,
	    .tcp_flags = 2,
	    .flags = KNOWN,
	    .src_ep = 12,
	    .src_identity = 256,
	    .file = 5,
	    .line = 455 },
	  TIME_TEXT "default/client:44010 (ID:256) -> default/web:80 (unknown) Service backend "
		    "not found DROPPED (TCP Flags: SYN)",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"DROPPED\",\"drop_reason\":158,\"IP\":"
	  "{\"source\":\"10.0.0.1\",\"destination\":\"10.96.0.10\",\"ipVersion\":\"IPv4\"},"
	  "\"l4\":{\"TCP\":{\"source_port\":44010,\"destination_port\":80,"
	  "\"flags\":{\"SYN\":true}}},\"source\":" CLIENT_JSON ",\"destination\":{},"
	  "\"Type\":\"L3_L4\",\"node_name\":\"node1\",\"event_type\":{\"type\":1,"
	  "\"sub_type\":158},\"destination_service\":{\"name\":\"web\","
	  "\"namespace\":\"default\"},\"traffic_direction\":\"EGRESS\",\"file\":{\"name\":\"service.h\","
	  "\"line\":455},\"drop_reason_desc\":\"SERVICE_BACKEND_NOT_FOUND\",\"is_reply\":false,"
	  "\"Summary\":\"TCP Flags: SYN\"" END_JSON },

	{ "ping",
	  "10.0.0.1",
	  "10.0.0.254",
	  NULL,
	  77,
	  ICMP(8, 0),
	  0,
	  { .type = DP_EV_TRACE,
	    .subtype = 2,
	    .dir = 2,
	    .proto = IPPROTO_ICMP,
	    .flags = KNOWN,
	    .src_ep = 12,
	    .src_identity = 256,
	    .dst_identity = 1 },
	  TIME_TEXT "default/client (ID:256) -> 10.0.0.254 (host) to-host FORWARDED "
		    "(ICMPv4 EchoRequest)",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"FORWARDED\",\"IP\":{\"source\":\"10.0.0.1\","
	  "\"destination\":\"10.0.0.254\",\"ipVersion\":\"IPv4\"},\"l4\":{\"ICMPv4\":"
	  "{\"type\":8}},\"source\":" CLIENT_JSON ",\"destination\":{\"identity\":1},"
	  "\"Type\":\"L3_L4\",\"node_name\":\"node1\",\"event_type\":{\"type\":4,"
	  "\"sub_type\":2},\"traffic_direction\":\"EGRESS\","
	  "\"trace_observation_point\":\"TO_HOST\",\"trace_reason\":\"NEW\","
	  "\"is_reply\":false,\"Summary\":\"ICMPv4 EchoRequest\"" END_JSON },

	{ "an ICMP error",
	  "10.0.0.2",
	  "10.0.0.1",
	  NULL,
	  ICMP(3, 3),
	  ICMP(3, 3),
	  0,
	  { .type = DP_EV_TRACE,
	    .reason = 3,
	    .dir = 1,
	    .proto = IPPROTO_ICMP,
	    .flags = REPLY,
	    .src_ep = 13,
	    .dst_ep = 12,
	    .src_identity = 257,
	    .dst_identity = 256 },
	  TIME_TEXT "default/client (ID:256) <- default/server (ID:257) to-endpoint FORWARDED "
		    "(ICMPv4 DestinationUnreachable(Port))",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"FORWARDED\",\"IP\":{\"source\":\"10.0.0.2\","
	  "\"destination\":\"10.0.0.1\",\"ipVersion\":\"IPv4\"},\"l4\":{\"ICMPv4\":"
	  "{\"type\":3,\"code\":3}},\"source\":" SERVER_JSON ",\"destination\":" CLIENT_JSON
	  ",\"Type\":\"L3_L4\",\"node_name\":\"node1\",\"reply\":true,\"event_type\":{\"type\":4},"
	  "\"traffic_direction\":\"INGRESS\",\"trace_observation_point\":\"TO_ENDPOINT\","
	  "\"trace_reason\":\"RELATED\",\"is_reply\":true,"
	  "\"Summary\":\"ICMPv4 DestinationUnreachable(Port)\"" END_JSON },

	{ "neighbour discovery",
	  "fe80::1",
	  "ff02::1:ff00:2",
	  NULL,
	  0,
	  ICMP(135, 0),
	  0,
	  { .type = DP_EV_DROP,
	    .subtype = 176,
	    .dir = 2,
	    .proto = IPPROTO_ICMPV6,
	    .flags = L4 | DP_EVF_IPV6,
	    .src_ep = 12,
	    .src_identity = 256,
	    .file = 7,
	    .line = 30 },
	  TIME_TEXT "default/client (ID:256) <> ff02::1:ff00:2 (unknown) Forbidden ICMPv6 message "
		    "DROPPED (ICMPv6 NeighborSolicitation)",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"DROPPED\",\"drop_reason\":176,\"IP\":"
	  "{\"source\":\"fe80::1\",\"destination\":\"ff02::1:ff00:2\",\"ipVersion\":\"IPv6\"},"
	  "\"l4\":{\"ICMPv6\":{\"type\":135}},\"source\":" CLIENT_JSON ",\"destination\":{},"
	  "\"Type\":\"L3_L4\",\"node_name\":\"node1\",\"event_type\":{\"type\":1,"
	  "\"sub_type\":176},\"traffic_direction\":\"EGRESS\",\"file\":{\"name\":\"nd.h\","
	  "\"line\":30},\"drop_reason_desc\":\"FORBIDDEN_ICMPV6_MESSAGE\","
	  "\"Summary\":\"ICMPv6 NeighborSolicitation\"" END_JSON },

	{ "a protocol without ports, a reason without a name",
	  "10.0.0.1",
	  "10.0.0.2",
	  NULL,
	  0,
	  0,
	  0,
	  { .type = DP_EV_DROP,
	    .subtype = 159,
	    .proto = IPPROTO_GRE,
	    .flags = KNOWN,
	    .src_ep = 15 },
	  TIME_TEXT "bad?name?/\"x\" (unknown) -> 10.0.0.2 (unknown) 159 DROPPED (IPv4)",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"DROPPED\",\"drop_reason\":159,\"IP\":"
	  "{\"source\":\"10.0.0.1\",\"destination\":\"10.0.0.2\",\"ipVersion\":\"IPv4\"},"
	  "\"source\":{\"ID\":15,\"namespace\":\"bad\\nname\\u001b\",\"pod_name\":\"\\\"x\\\"\"},"
	  "\"destination\":{},\"Type\":\"L3_L4\",\"node_name\":\"node1\",\"event_type\":"
	  "{\"type\":1,\"sub_type\":159},\"drop_reason_desc\":159,\"is_reply\":false,"
	  "\"Summary\":\"IPv4\"" END_JSON },

	{ "a rule whose file has a strange name; IPv6 without ports",
	  "2001:db8::1",
	  "fd00::2",
	  NULL,
	  0,
	  0,
	  0,
	  { .type = DP_EV_VERDICT,
	    .reason = DP_MATCH_ALL,
	    .dir = 1,
	    .verdict = DP_VERDICT_DENIED,
	    .flags = DP_EVF_IPV6,
	    .dst_ep = 99,
	    .src_identity = 6,
	    .dst_identity = 300,
	    .ingress_rule = 10 },
	  TIME_TEXT "2001:db8::1 (remote-node) <> fd00::2 (ID:300) policy-verdict:all INGRESS "
		    "DENIED (IPv6) rule=default/not-you ingressDeny[0] a?b?.yaml:5",
	  "{\"flow\":{" TIME_JSON ",\"verdict\":\"DROPPED\",\"drop_reason\":181,\"IP\":"
	  "{\"source\":\"2001:db8::1\",\"destination\":\"fd00::2\",\"ipVersion\":\"IPv6\"},"
	  "\"source\":{\"identity\":6},\"destination\":{\"ID\":99,\"identity\":300},"
	  "\"Type\":\"L3_L4\",\"node_name\":\"node1\",\"event_type\":{\"type\":5},"
	  "\"traffic_direction\":\"INGRESS\",\"policy_match_type\":4,"
	  "\"drop_reason_desc\":\"POLICY_DENY\",\"Summary\":\"IPv6\","
	  "\"ingress_denied_by\":" NOT_YOU_JSON END_JSON },
};

static void set_addr(struct dp_event_rec *r, union dp_ip *ip, const char *text)
{
	if (text)
		ck_assert_int_eq(
			inet_pton(r->flags & DP_EVF_IPV6 ? AF_INET6 : AF_INET, text, ip->b), 1);
}

static struct dp_event_rec record(const struct sample *s)
{
	struct dp_event_rec r = s->rec;

	r.time = NOW - BOOT_TO_REAL;
	r.sport = htons(s->sport);
	r.dport = htons(s->dport);
	r.orig_port = htons(s->orig_port);
	set_addr(&r, &r.saddr, s->saddr);
	set_addr(&r, &r.daddr, s->daddr);
	set_addr(&r, &r.orig_addr, s->orig);
	return r;
}

static struct clite_event decode(const struct sample *s)
{
	struct dp_event_rec r = record(s);
	struct clite_event e;

	ck_assert_msg(event_decode(&r, sizeof(r), BOOT_TO_REAL, &e) == 0, "not decoded: %s",
		      s->what);
	return e;
}

START_TEST(text_is_as_expected)
{
	struct clite_event e = decode(&samples[_i]);
	_cleanup_buf_ struct buf b = {};

	event_text(&e, &names, &b);
	ck_assert(!b.failed);
	ck_assert_str_eq(b.data, samples[_i].text);
}
END_TEST

START_TEST(json_is_as_expected)
{
	struct clite_event e = decode(&samples[_i]);
	_cleanup_buf_ struct buf b = {};

	event_json(&e, &names, &b);
	ck_assert(!b.failed);
	ck_assert_str_eq(b.data, samples[_i].json);
}
END_TEST

/* ---- decoding ------------------------------------------------------------------ */

START_TEST(every_member_is_decoded)
{
	struct dp_event_rec r = {
		.time = 5,
		.type = DP_EV_TRACE,
		.subtype = 3,
		.reason = 1,
		.dir = 2,
		.proto = IPPROTO_TCP,
		.tcp_flags = 0x18,
		.flags = DP_EVF_L4 | DP_EVF_XLATED | DP_EVF_IPV6 | DP_EVF_REPLY_KNOWN,
		.src_ep = 65535,
		.dst_ep = 2,
		.src_identity = 3,
		.dst_identity = 4,
		.egress_rule = 5,
		.ingress_rule = 6,
		.ifindex = 7,
		.len = 8,
		.sport = htons(1000),
		.dport = htons(2000),
		.orig_port = htons(3000),
		.packets = 1ull << 40,
		.bytes = 1ull << 50,
	};
	struct clite_event e;

	memset(r.saddr.b, 0x11, 16);
	memset(r.daddr.b, 0x22, 16);
	memset(r.orig_addr.b, 0x33, 16);
	memset(&e, 0xff, sizeof(e));
	e.sz = sizeof(e);
	ck_assert_int_eq(event_decode(&r, sizeof(r), 100, &e), 0);
	ck_assert_uint_eq(e.sz, sizeof(e));
	ck_assert_uint_eq(e.time, 105);
	ck_assert_uint_eq(e.type, CLITE_EVENT_TRACE);
	ck_assert_uint_eq(e.subtype, 3);
	ck_assert_uint_eq(e.verdict, CLITE_VERDICT_FORWARDED);
	ck_assert_uint_eq(e.drop_reason, 0);
	ck_assert_uint_eq(e.trace_reason, 1);
	ck_assert_uint_eq(e.direction, CLITE_EGRESS);
	ck_assert_uint_eq(e.is_reply, 0);
	ck_assert_uint_eq(e.family, 6);
	ck_assert_uint_eq(e.protocol, IPPROTO_TCP);
	ck_assert_uint_eq(e.has_ports, 1);
	ck_assert_mem_eq(e.source, r.saddr.b, 16);
	ck_assert_mem_eq(e.destination, r.daddr.b, 16);
	ck_assert_mem_eq(e.original, r.orig_addr.b, 16);
	ck_assert_uint_eq(e.source_port, 1000);
	ck_assert_uint_eq(e.destination_port, 2000);
	ck_assert_uint_eq(e.service_port, 3000);
	ck_assert_uint_eq(e.icmp_type, 0);
	ck_assert_uint_eq(e.icmp_code, 0);
	ck_assert_uint_eq(e.tcp_flags, 0x18);
	ck_assert_uint_eq(e.source_endpoint, 65535);
	ck_assert_uint_eq(e.destination_endpoint, 2);
	ck_assert_uint_eq(e.source_identity, 3);
	ck_assert_uint_eq(e.destination_identity, 4);
	ck_assert_uint_eq(e.egress_rule, 5);
	ck_assert_uint_eq(e.ingress_rule, 6);
	ck_assert_uint_eq(e.ifindex, 7);
	ck_assert_uint_eq(e.length, 8);
	ck_assert_uint_eq(e.source_line, 0);
	ck_assert_str_eq(e.source_file, "");
	ck_assert_uint_eq(e.packets, 1ull << 40);
	ck_assert_uint_eq(e.bytes, 1ull << 50);
}
END_TEST

START_TEST(icmp_fields)
{
	struct dp_event_rec r = {
		.type = DP_EV_TRACE,
		.proto = IPPROTO_ICMP,
		.flags = DP_EVF_L4,
		.sport = htons(0x1234),
		.dport = htons(ICMP(0, 5)),
	};
	struct clite_event e;

	/* an echo has an identifier */
	ck_assert_int_eq(event_decode(&r, sizeof(r), 0, &e), 0);
	ck_assert_uint_eq(e.has_ports, 1);
	ck_assert_uint_eq(e.icmp_type, 0);
	ck_assert_uint_eq(e.icmp_code, 5);
	ck_assert_uint_eq(e.source_port, 0x1234);
	ck_assert_uint_eq(e.destination_port, 0);
	ck_assert_uint_eq(e.is_reply, 2);

	/* nothing else has */
	r.dport = htons(ICMP(11, 1));
	ck_assert_int_eq(event_decode(&r, sizeof(r), 0, &e), 0);
	ck_assert_uint_eq(e.icmp_type, 11);
	ck_assert_uint_eq(e.icmp_code, 1);
	ck_assert_uint_eq(e.source_port, 0);

	/* the ICMP of the other family is none */
	r.flags |= DP_EVF_IPV6;
	ck_assert_int_eq(event_decode(&r, sizeof(r), 0, &e), 0);
	ck_assert_uint_eq(e.has_ports, 0);
	ck_assert_uint_eq(e.icmp_type, 0);
	r.proto = IPPROTO_ICMPV6;
	r.dport = htons(ICMP(129, 0));
	ck_assert_int_eq(event_decode(&r, sizeof(r), 0, &e), 0);
	ck_assert_uint_eq(e.icmp_type, 129);
	ck_assert_uint_eq(e.source_port, 0x1234);
}
END_TEST

START_TEST(only_tcp_has_flags)
{
	struct dp_event_rec r = {
		.type = DP_EV_TRACE, .proto = IPPROTO_UDP, .flags = DP_EVF_L4, .tcp_flags = 2
	};
	struct clite_event e;

	ck_assert_int_eq(event_decode(&r, sizeof(r), 0, &e), 0);
	ck_assert_uint_eq(e.tcp_flags, 0);
}
END_TEST

/* Records that differ from a good one in one thing. */
static const struct {
	const char *what;
	size_t at;
	uint8_t value;
	uint8_t type;
} bad[] = {
#define AT(member) offsetof(struct dp_event_rec, member)
	{ "type 0", AT(type), 0, DP_EV_TRACE },
	{ "type 2", AT(type), 2, DP_EV_TRACE },
	{ "type 129", AT(type), 129, DP_EV_TRACE },
	{ "trace point", AT(subtype), TRACE_POINT_MAX + 1, DP_EV_TRACE },
	{ "trace reason", AT(reason), TRACE_REASON_MAX + 1, DP_EV_TRACE },
	{ "trace with a verdict", AT(verdict), 1, DP_EV_TRACE },
	{ "trace with a file", AT(file), 1, DP_EV_TRACE },
	{ "trace with a line", AT(line), 1, DP_EV_TRACE },
	{ "drop reason 0", AT(subtype), 0, DP_EV_DROP },
	{ "drop reason 129", AT(subtype), DROP_REASON_MIN - 1, DP_EV_DROP },
	{ "drop reason 206", AT(subtype), DROP_REASON_MAX + 1, DP_EV_DROP },
	{ "drop with a match type", AT(reason), 1, DP_EV_DROP },
	{ "drop with a verdict", AT(verdict), 1, DP_EV_DROP },
	{ "no such file", AT(file), DATAPATH_FILE_MAX + 1, DP_EV_DROP },
	{ "verdict with a subtype", AT(subtype), 1, DP_EV_VERDICT },
	{ "match type", AT(reason), MATCH_TYPE_MAX + 1, DP_EV_VERDICT },
	{ "verdict", AT(verdict), DP_VERDICT_DENIED + 1, DP_EV_VERDICT },
	{ "verdict without direction", AT(dir), 0, DP_EV_VERDICT },
	{ "verdict with a file", AT(file), 1, DP_EV_VERDICT },
	{ "verdict with a line", AT(line) + 1, 1, DP_EV_VERDICT },
	{ "direction", AT(dir), 3, DP_EV_TRACE },
	{ "unknown flag", AT(flags), DP_EVF_L4 | 64, DP_EV_TRACE },
	{ "reply, not known", AT(flags), DP_EVF_L4 | DP_EVF_REPLY, DP_EV_TRACE },
	{ "ports without the flag", AT(flags), DP_EVF_REPLY_KNOWN, DP_EV_TRACE },
	{ "translated to nothing", AT(flags), DP_EVF_L4 | DP_EVF_XLATED, DP_EV_TRACE },
	{ "original address without the flag", AT(orig_addr), 1, DP_EV_TRACE },
	{ "original port without the flag", AT(orig_port), 1, DP_EV_TRACE },
	{ "long IPv4 source", AT(saddr) + 4, 1, DP_EV_TRACE },
	{ "long IPv4 destination", AT(daddr) + 15, 1, DP_EV_TRACE },
	{ "padding", AT(pad) + 2, 1, DP_EV_TRACE },
#undef AT
};

static struct dp_event_rec good(uint8_t type)
{
	return (struct dp_event_rec){
		.type = type,
		.subtype = type == DP_EV_DROP ? DROP_REASON_MIN : 0,
		.dir = 1,
		.proto = IPPROTO_TCP,
		.flags = DP_EVF_L4,
		.sport = htons(1),
		.dport = htons(2),
		.saddr.v4 = htonl(0x0a000001),
		.daddr.v4 = htonl(0x0a000002),
	};
}

START_TEST(what_is_no_record_is_refused)
{
	struct dp_event_rec r = good(bad[_i].type);
	struct clite_event e = { .sz = 1 };
	_Alignas(struct dp_event_rec) uint8_t bytes[sizeof(r)];

	memcpy(bytes, &r, sizeof(r));
	ck_assert_int_eq(event_decode(bytes, sizeof(r), 0, &(struct clite_event){}), 0);
	ck_assert_msg(bytes[bad[_i].at] != bad[_i].value, "no difference: %s", bad[_i].what);
	bytes[bad[_i].at] = bad[_i].value;
	ck_assert_msg(event_decode(bytes, sizeof(r), 0, &e) == -EBADMSG, "taken: %s", bad[_i].what);
	ck_assert_uint_eq(e.sz, 1);
}
END_TEST

START_TEST(translated_records)
{
	struct dp_event_rec r = good(DP_EV_TRACE);
	struct clite_event e;

	r.flags |= DP_EVF_XLATED;
	r.orig_port = htons(80);
	r.orig_addr.v4 = htonl(0x0a600001);
	ck_assert_int_eq(event_decode(&r, sizeof(r), 0, &e), 0);
	r.orig_addr.b[4] = 1; /* long IPv4 address */
	ck_assert_int_eq(event_decode(&r, sizeof(r), 0, &e), -EBADMSG);
	r.orig_addr.b[4] = 0;
	r.flags &= ~DP_EVF_L4; /* nothing to translate */
	r.sport = r.dport = 0;
	ck_assert_int_eq(event_decode(&r, sizeof(r), 0, &e), -EBADMSG);
}
END_TEST

START_TEST(wrong_length_is_refused)
{
	struct dp_event_rec r[2] = { good(DP_EV_TRACE), good(DP_EV_TRACE) };
	struct clite_event e;

	r[0].len = 0; /* and so there are no bytes of the packet */
	for (size_t n = 0; n <= sizeof(r); n++)
		ck_assert_int_eq(event_decode(r, n, 0, &e), n == sizeof(r[0]) ? 0 : -EBADMSG);
}
END_TEST

START_TEST(bytes_of_the_packet)
{
	struct {
		struct dp_event_rec rec;
		uint8_t packet[DP_CAPTURE_MAX + 8];
	} *r = calloc(1, sizeof(*r));
	const size_t len = sizeof(r->rec);
	struct clite_event e;

	ck_assert_ptr_nonnull(r);
	r->rec = good(DP_EV_TRACE);
	r->rec.len = 60;
	ck_assert_int_eq(event_decode(r, len, 0, &e), 0);
	ck_assert_ptr_null(e.packet);
	ck_assert_uint_eq(e.packet_bytes, 0);
	ck_assert_int_eq(event_decode(r, len + 1, 0, &e), 0);
	ck_assert_uint_eq(e.packet_bytes, 1);
	ck_assert_int_eq(event_decode(r, len + 60, 0, &e), 0);
	ck_assert_ptr_eq(e.packet, r->packet);
	ck_assert_uint_eq(e.packet_bytes, 60);
	/* more than it has, more than anybody asks for */
	ck_assert_int_eq(event_decode(r, len + 61, 0, &e), -EBADMSG);
	r->rec.len = 65535;
	ck_assert_int_eq(event_decode(r, len + DP_CAPTURE_MAX, 0, &e), 0);
	ck_assert_int_eq(event_decode(r, len + DP_CAPTURE_MAX + 1, 0, &e), -EBADMSG);
	ck_assert_int_eq(event_decode(r, SIZE_MAX, 0, &e), -EBADMSG);
	free(r);
}
END_TEST

/* ---- times, summaries ------------------------------------------------------------ */

static const struct {
	uint64_t time;
	const char *text;
	const char *json;
} times[] = {
	{ 0, "Jan  1 00:00:00.000: ", "\"1970-01-01T00:00:00Z\"" },
	{ 1795449041000000000ull, "Nov 23 15:50:41.000: ", "\"2026-11-23T15:50:41Z\"" },
	{ 1795449041120000000ull, "Nov 23 15:50:41.120: ", "\"2026-11-23T15:50:41.120Z\"" },
	{ 1795449041000045000ull, "Nov 23 15:50:41.000: ", "\"2026-11-23T15:50:41.000045Z\"" },
	{ 1795449041999999999ull, "Nov 23 15:50:41.999: ", "\"2026-11-23T15:50:41.999999999Z\"" },
	{ UINT64_MAX, "Jul 21 23:34:33.709: ", "\"2554-07-21T23:34:33.709551615Z\"" },
};

START_TEST(json_is_read_back)
{
	const char *json = samples[_i].json;
	_cleanup_free_ char *line = strdup(json);
	_cleanup_buf_ struct buf again = {};
	struct clite_event e = decode(&samples[_i]);
	struct flow_parsed p = {};
	struct errtext err = {};

	ck_assert_msg(flow_parse(&p, line, strlen(line), &err) == 1, "%s", err.text);
	ck_assert(flow_valid(&p.flow));
	flow_json(&p.flow, &again);
	ck_assert_str_eq(again.data, json);
	/* What is in no line is not compared. */
	ck_assert_uint_eq(p.event.time, e.time);
	ck_assert_uint_eq(p.event.type, e.type);
	ck_assert_uint_eq(p.event.subtype, e.subtype);
	ck_assert_uint_eq(p.event.trace_reason, e.trace_reason);
	ck_assert_uint_eq(p.event.direction, e.direction);
	ck_assert_uint_eq(p.event.is_reply, e.is_reply);
	ck_assert_mem_eq(p.event.source, e.source, 16);
	flow_parsed_clear(&p);
}
END_TEST

START_TEST(times_are_as_expected)
{
	struct clite_event e = decode(&samples[0]);
	_cleanup_buf_ struct buf text = {}, json = {};
	const char *t;

	e.time = times[_i].time;
	event_text(&e, &names, &text);
	ck_assert_int_eq(strncmp(text.data, times[_i].text, strlen(times[_i].text)), 0);
	event_json(&e, &names, &json);
	t = strstr(json.data, "\"time\":");
	ck_assert_ptr_nonnull(t);
	t += strlen("\"time\":");
	ck_assert_int_eq(strncmp(t, times[_i].json, strlen(times[_i].json)), 0);
	/* and again at the end, beside the node's name */
	t = strstr(json.data, "},\"node_name\":\"node1\",\"time\":");
	ck_assert_ptr_nonnull(t);
	t += strlen("},\"node_name\":\"node1\",\"time\":");
	ck_assert_int_eq(strncmp(t, times[_i].json, strlen(times[_i].json)), 0);
	ck_assert_str_eq(t + strlen(times[_i].json), "}");
}
END_TEST

START_TEST(text_has_local_time_json_has_not)
{
	struct clite_event e = decode(&samples[0]);
	_cleanup_buf_ struct buf text = {}, json = {};

	setenv("TZ", "XYZ-9:30", 1);
	tzset();
	event_text(&e, &names, &text);
	event_json(&e, &names, &json);
	setenv("TZ", "UTC", 1);
	tzset();
	ck_assert_int_eq(strncmp(text.data, "Nov 24 01:20:41.123: ", 21), 0);
	ck_assert_str_eq(json.data, samples[0].json);
}
END_TEST

static const struct {
	uint8_t family, proto, type, code;
	const char *summary;
} icmp[] = {
	{ 4, IPPROTO_ICMP, 0, 0, "ICMPv4 EchoReply" },
	{ 4, IPPROTO_ICMP, 8, 1, "ICMPv4 EchoRequest(Code: 1)" },
	{ 4, IPPROTO_ICMP, 3, 0, "ICMPv4 DestinationUnreachable(Net)" },
	{ 4, IPPROTO_ICMP, 3, 15, "ICMPv4 DestinationUnreachable(PrecedenceCutoff)" },
	{ 4, IPPROTO_ICMP, 3, 16, "ICMPv4 DestinationUnreachable(Code: 16)" },
	{ 4, IPPROTO_ICMP, 11, 0, "ICMPv4 TimeExceeded(TTLExceeded)" },
	{ 4, IPPROTO_ICMP, 5, 3, "ICMPv4 Redirect(TOS+Host)" },
	{ 4, IPPROTO_ICMP, 5, 4, "ICMPv4 Redirect(Code: 4)" },
	{ 4, IPPROTO_ICMP, 1, 0, "ICMPv4 1(0)" },
	{ 4, IPPROTO_ICMP, 255, 255, "ICMPv4 255(255)" },
	{ 6, IPPROTO_ICMPV6, 128, 0, "ICMPv6 EchoRequest" },
	{ 6, IPPROTO_ICMPV6, 129, 0, "ICMPv6 EchoReply" },
	{ 6, IPPROTO_ICMPV6, 136, 0, "ICMPv6 NeighborAdvertisement" },
	{ 6, IPPROTO_ICMPV6, 2, 0, "ICMPv6 PacketTooBig" },
	{ 6, IPPROTO_ICMPV6, 1, 4, "ICMPv6 DestinationUnreachable(PortUnreachable)" },
	{ 6, IPPROTO_ICMPV6, 3, 0, "ICMPv6 TimeExceeded(HopLimitExceeded)" },
	{ 6, IPPROTO_ICMPV6, 143, 0, "ICMPv6 143(0)" },
};

START_TEST(icmp_summaries)
{
	struct clite_event e = decode(&samples[0]);
	_cleanup_buf_ struct buf text = {};
	char *summary;

	e.family = icmp[_i].family;
	e.protocol = icmp[_i].proto;
	e.icmp_type = icmp[_i].type;
	e.icmp_code = icmp[_i].code;
	e.egress_rule = e.ingress_rule = 0;
	event_text(&e, &names, &text);
	summary = strchr(text.data, '>');
	ck_assert_ptr_nonnull(summary);
	summary = strstr(summary, "FORWARDED (");
	ck_assert_ptr_nonnull(summary);
	summary += strlen("FORWARDED (");
	summary[strlen(summary) - 1] = '\0';
	ck_assert_str_eq(summary, icmp[_i].summary);
}
END_TEST

START_TEST(every_tcp_flag)
{
	struct clite_event e = decode(&samples[0]);
	_cleanup_buf_ struct buf text = {}, json = {};

	e.tcp_flags = 0x1ff;
	event_text(&e, &names, &text);
	ck_assert_ptr_nonnull(
		strstr(text.data, "(TCP Flags: SYN, ACK, RST, FIN, PSH, URG, ECE, CWR, NS)"));
	event_json(&e, &names, &json);
	ck_assert_ptr_nonnull(strstr(json.data,
				     "\"flags\":{\"FIN\":true,\"SYN\":true,\"RST\":true,"
				     "\"PSH\":true,\"ACK\":true,\"URG\":true,\"ECE\":true,"
				     "\"CWR\":true,\"NS\":true}"));
}
END_TEST

START_TEST(rules_of_a_new_flow_in_any_direction)
{
	struct clite_event e = decode(&samples[0]);

	for (e.direction = 0; e.direction <= CLITE_EGRESS; e.direction++) {
		_cleanup_buf_ struct buf text = {};

		event_text(&e, &names, &text);
		ck_assert_str_eq(text.data, samples[0].text);
	}
}
END_TEST

START_TEST(translated_to_the_outside)
{
	struct clite_event e = decode(&samples[0]);
	_cleanup_buf_ struct buf text = {};

	e.destination_endpoint = 0;
	e.egress_rule = e.ingress_rule = 0;
	e.service_port = 80;
	memcpy(e.original, (uint8_t[]){ 10, 96, 0, 10 }, 4);
	event_text(&e, &names, &text);
	ck_assert_str_eq(text.data,
			 TIME_TEXT "default/client:44010 (ID:256) -> 10.0.0.2:80 (ID:257) "
				   "to-endpoint FORWARDED (TCP Flags: SYN) "
				   "service=default/web:80");
}
END_TEST

START_TEST(terminals_are_left_alone)
{
	struct clite_event e = decode(&samples[0]);
	_cleanup_buf_ struct buf text = {};
	struct flow_record r = {};

	ck_assert_int_eq(flow_resolve(&r, &e, &names), 0);
	r.ends[0].pod = "a\x1b[31mb\xc2\x9b" "31m\xc3\xa9";
	flow_text(&r.flow, &text);
	ck_assert_ptr_nonnull(strstr(text.data, "a?[31mb?31m\xc3\xa9"));
	flow_record_clear(&r);
}
END_TEST

/* An event need not come from event_decode(): callers may fill one in. */
START_TEST(any_event_can_be_written)
{
	struct clite_event e;
	_cleanup_buf_ struct buf text = {}, json = {};
	struct event_names nameless = names;

	memset(&e, 0xff, sizeof(e));
	e.sz = sizeof(e);
	e.source_file = NULL;
	e.time = NOW;
	nameless.node_name = NULL;
	event_text(&e, &nameless, &text);
	ck_assert_str_eq(text.data, TIME_TEXT "255.255.255.255 (ID:4294967295) <> 255.255.255.255 "
					      "(ID:4294967295) UNKNOWN VERDICT_UNKNOWN (IPv4) "
					      "service=255.255.255.255:65535");
	event_json(&e, &nameless, &json);
	ck_assert_str_eq(json.data,
			 "{\"flow\":{" TIME_JSON ",\"verdict\":4294967295,"
			 "\"drop_reason\":4294967295,\"IP\":{\"source\":\"255.255.255.255\","
			 "\"destination\":\"255.255.255.255\",\"ipVersion\":\"IPv4\"},"
			 "\"source\":{\"ID\":4294967295,\"identity\":4294967295},"
			 "\"destination\":{\"ID\":4294967295,\"identity\":4294967295},"
			 "\"Type\":\"L3_L4\",\"event_type\":{\"type\":4294967295,"
			 "\"sub_type\":4294967295},\"drop_reason_desc\":4294967295,"
			 "\"interface\":{\"index\":4294967295},\"Summary\":\"IPv4\"}," TIME_JSON
			 "}");
}
END_TEST

START_TEST(output_is_appended)
{
	struct clite_event e = decode(&samples[0]);
	_cleanup_buf_ struct buf b = {};

	buf_puts(&b, "> ");
	event_json(&e, &names, &b);
	ck_assert_int_eq(strncmp(b.data, "> {\"flow\":{\"time\"", 17), 0);
	ck_assert_str_eq(b.data + 2, samples[0].json);
}
END_TEST

/* ---- names ------------------------------------------------------------------------ */

START_TEST(drop_reasons)
{
	size_t texts = 0, drop_names = 0;

	ck_assert_str_eq(clite_drop_reason_text(133), "Policy denied");
	ck_assert_str_eq(clite_drop_reason_name(133), "POLICY_DENIED");
	ck_assert_str_eq(clite_drop_reason_text(136), "Fragmentation needed");
	ck_assert_str_eq(clite_drop_reason_name(136), "CT_MISSING_TCP_ACK_FLAG");
	ck_assert_str_eq(clite_drop_reason_text(205), "Punt to proxy");
	ck_assert_str_eq(clite_drop_reason_text(0), "Success");
	ck_assert_str_eq(clite_drop_reason_text(15), "MTU error message");
	ck_assert_ptr_null(clite_drop_reason_name(15));
	ck_assert_ptr_null(clite_drop_reason_text(1));
	ck_assert_ptr_null(clite_drop_reason_text(16));
	ck_assert_ptr_null(clite_drop_reason_text(129));
	ck_assert_ptr_null(clite_drop_reason_text(159));
	ck_assert_ptr_null(clite_drop_reason_text(206));
	ck_assert_ptr_null(clite_drop_reason_name(206));
	ck_assert_ptr_null(clite_drop_reason_text(UINT32_MAX));
	for (uint32_t i = DROP_REASON_MIN; i <= DROP_REASON_MAX; i++) {
		texts += clite_drop_reason_text(i) != NULL;
		drop_names += clite_drop_reason_name(i) != NULL;
	}
	ck_assert_uint_eq(texts, 75);
	ck_assert_uint_eq(drop_names, 75);
}
END_TEST

START_TEST(other_names)
{
	ck_assert_str_eq(clite_trace_point_text(0), "to-endpoint");
	ck_assert_str_eq(clite_trace_point_text(13), "to-crypto");
	ck_assert_ptr_null(clite_trace_point_text(14));
	ck_assert_str_eq(trace_point_name(5), "FROM_ENDPOINT");
	ck_assert_ptr_null(trace_point_name(14));
	ck_assert_str_eq(trace_reason_name(3), "RELATED");
	ck_assert_ptr_null(trace_reason_name(5));
	ck_assert_str_eq(trace_reason_name(8), "ENCRYPT_OVERLAY");
	ck_assert_ptr_null(trace_reason_name(9));
	ck_assert_str_eq(match_type_text(3), "L4-Only");
	ck_assert_ptr_null(match_type_text(7));
	ck_assert_str_eq(reserved_identity_name(7), "kube-apiserver");
	ck_assert_ptr_null(reserved_identity_name(12));
	ck_assert_str_eq(datapath_file_name(0), "");
	ck_assert_str_eq(datapath_file_name(8), "endpoint.bpf.c");
	ck_assert_str_eq(datapath_file_name(DATAPATH_FILE_MAX), "dsr.h");
	ck_assert_ptr_null(datapath_file_name(DATAPATH_FILE_MAX + 1));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("event");
	TCase *t = tcase_create("decode");

	tcase_add_test(t, every_member_is_decoded);
	tcase_add_test(t, icmp_fields);
	tcase_add_test(t, only_tcp_has_flags);
	tcase_add_loop_test(t, what_is_no_record_is_refused, 0, ARRAY_SIZE(bad));
	tcase_add_test(t, translated_records);
	tcase_add_test(t, wrong_length_is_refused);
	tcase_add_test(t, bytes_of_the_packet);
	suite_add_tcase(s, t);

	t = tcase_create("write");
	tcase_add_loop_test(t, text_is_as_expected, 0, ARRAY_SIZE(samples));
	tcase_add_loop_test(t, json_is_as_expected, 0, ARRAY_SIZE(samples));
	tcase_add_loop_test(t, json_is_read_back, 0, ARRAY_SIZE(samples));
	tcase_add_loop_test(t, times_are_as_expected, 0, ARRAY_SIZE(times));
	tcase_add_test(t, text_has_local_time_json_has_not);
	tcase_add_loop_test(t, icmp_summaries, 0, ARRAY_SIZE(icmp));
	tcase_add_test(t, every_tcp_flag);
	tcase_add_test(t, rules_of_a_new_flow_in_any_direction);
	tcase_add_test(t, translated_to_the_outside);
	tcase_add_test(t, terminals_are_left_alone);
	tcase_add_test(t, any_event_can_be_written);
	tcase_add_test(t, output_is_appended);
	suite_add_tcase(s, t);

	t = tcase_create("names");
	tcase_add_test(t, drop_reasons);
	tcase_add_test(t, other_names);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr;
	int failed;

	setenv("TZ", "UTC", 1);
	tzset();
	sr = srunner_create(suite());
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
