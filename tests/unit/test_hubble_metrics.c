/* SPDX-License-Identifier: BSD-2-Clause */
/* Hubble's metrics of flows that are made here: what is counted, under which labels. */
#include <check.h>
#include <cilium-lite/hubble_metrics.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct clite_hubble_metrics *metrics;
static char errbuf[512];

/* ---- a flow ------------------------------------------------------------------------ */

static const char *const none[] = { NULL };
static const struct clite_flow_policy *const no_policies[] = { NULL };
static struct clite_flow_end source, destination;
static struct clite_event event;
static struct clite_flow flow;

static struct clite_flow_end end_of(const char *ns, const char *pod, const char *const *labels)
{
	return (struct clite_flow_end){ .sz = sizeof(struct clite_flow_end),
					.ns = ns,
					.pod = pod,
					.service = "",
					.service_ns = "",
					.cluster = "",
					.workload = "",
					.workload_kind = "",
					.labels = labels,
					.names = none };
}

/* From shop/web-6c9f7d5b4-x2x4z to the world: a SYN to port 443 that passed. */
static void setup(void)
{
	static const char *const web[] = { "k8s:app=web", "k8s:flag=", "k8s:k8s-app=", NULL };
	static const char *const world[] = { "cidr:192.0.2.0/24=", "reserved:world=", NULL };

	source = end_of("shop", "web-6c9f7d5b4-x2x4z", web);
	destination = end_of("", "", world);
	event = (struct clite_event){ .sz = sizeof(event),
				      .type = CLITE_EVENT_TRACE,
				      .subtype = 3,
				      .verdict = CLITE_VERDICT_FORWARDED,
				      .direction = CLITE_EGRESS,
				      .family = 4,
				      .protocol = IPPROTO_TCP,
				      .has_ports = 1,
				      .source = { 10, 0, 0, 1 },
				      .destination = { 192, 0, 2, 1 },
				      .source_port = 40000,
				      .destination_port = 443,
				      .tcp_flags = 2,
				      .source_identity = 300,
				      .destination_identity = 1 << 24,
				      .source_file = "" };
	flow = (struct clite_flow){ .sz = sizeof(flow),
				    .event = &event,
				    .source = &source,
				    .destination = &destination,
				    .policies = no_policies,
				    .node = "node",
				    .summary = "TCP Flags: SYN",
				    .kind = CLITE_FLOW_L3_L4 };
}

static void teardown(void)
{
	metrics = clite_hubble_metrics_free(metrics);
	ck_assert_ptr_null(metrics);
}

static int begin_with(const char *const *names, uint32_t series)
{
	struct clite_hubble_metrics_opts opts = {
		.sz = sizeof(opts),
		.metrics = names,
		.series = series,
		.errbuf = errbuf,
		.errbuf_size = sizeof(errbuf),
	};

	return clite_hubble_metrics_new(NULL, &opts, &metrics);
}

static void begin(const char *name)
{
	const char *const names[] = { name, NULL };

	errbuf[0] = '\0';
	if (begin_with(names, 0))
		ck_abort_msg("%s: %s", name, errbuf);
}

static void feed(void)
{
	ck_assert_int_eq(clite_hubble_metrics_feed(metrics, &flow), 0);
}

/* ---- what was counted ---------------------------------------------------------------- */

/* Lines of the text with samples, but for the folded ones. Freed by the caller. */
static char *samples(void)
{
	struct clite_metric_page *page;
	char *lines = calloc(1, 1 << 20);
	const char *text;

	ck_assert_int_eq(clite_metric_page_new(&page), 0);
	ck_assert_int_ge(clite_hubble_metrics_list(metrics, clite_metric_page_add, page), 0);
	ck_assert_int_eq(clite_metric_page_text(page, &text, NULL), 0);
	while (*text) {
		size_t len = strcspn(text, "\n") + 1;

		if (!strncmp(text, "hubble_", 7))
			strncat(lines, text, len);
		text += len;
	}
	clite_metric_page_free(page);
	return lines;
}

static void counted(const char *expected)
{
	char *lines = samples();

	ck_assert_str_eq(lines, expected);
	free(lines);
}

static void drop(uint32_t reason)
{
	event.type = CLITE_EVENT_DROP;
	event.verdict = CLITE_VERDICT_DROPPED;
	event.drop_reason = event.subtype = reason;
}

START_TEST(drops)
{
	begin("drop");
	feed(); /* passed */
	drop(133);
	feed();
	feed();
	event.protocol = IPPROTO_UDP;
	feed();
	event.has_ports = 0;
	feed();
	drop(255);
	feed();
	/* a verdict that denies, too */
	event.type = CLITE_EVENT_POLICY_VERDICT;
	event.drop_reason = 133;
	event.has_ports = 1;
	feed();
	counted("hubble_drop_total{protocol=\"TCP\",reason=\"POLICY_DENIED\"} 2\n"
		"hubble_drop_total{protocol=\"UDP\",reason=\"POLICY_DENIED\"} 2\n"
		"hubble_drop_total{protocol=\"Unknown L4\",reason=\"DROP_REASON_UNKNOWN\"} 1\n"
		"hubble_drop_total{protocol=\"Unknown L4\",reason=\"POLICY_DENIED\"} 1\n");
}
END_TEST

START_TEST(flows)
{
	begin("flow");
	feed();
	event.subtype = 0;
	event.protocol = IPPROTO_ICMPV6;
	feed();
	event.type = CLITE_EVENT_POLICY_VERDICT;
	event.verdict = CLITE_VERDICT_AUDIT;
	feed();
	drop(133);
	feed();
	event.type = 129;
	feed();
	event.type = 2;
	event.verdict = 77;
	feed();
	counted("hubble_flows_processed_total{protocol=\"ICMPv6\",subtype=\"\",type=\"Drop\",verdict=\"DROPPED\"} 1\n"
		"hubble_flows_processed_total{protocol=\"ICMPv6\",subtype=\"\",type=\"PolicyVerdict\",verdict=\"AUDIT\"} 1\n"
		"hubble_flows_processed_total{protocol=\"ICMPv6\",subtype=\"to-endpoint\",type=\"Trace\",verdict=\"FORWARDED\"} 1\n"
		"hubble_flows_processed_total{protocol=\"TCP\",subtype=\"to-stack\",type=\"Trace\",verdict=\"FORWARDED\"} 1\n"
		"hubble_flows_processed_total{protocol=\"Unknown L7\",subtype=\"\",type=\"L7\",verdict=\"DROPPED\"} 1\n"
		"hubble_flows_processed_total{protocol=\"Unknown flow\",subtype=\"2\",type=\"Unknown\",verdict=\"VERDICT_UNKNOWN\"} 1\n");
}
END_TEST

START_TEST(to_world)
{
	static const char *const not_world[] = { "reserved:world-ipv5=", "reserved:worldly", NULL };
	static const char *const ipv6[] = { "reserved:world-ipv6", NULL };

	begin("flows-to-world");
	feed();
	event.is_reply = 1;
	feed(); /* a reply */
	event.is_reply = 2;
	feed();
	drop(134);
	feed(); /* not by a policy */
	drop(133);
	event.is_reply = 1;
	feed();
	event.has_ports = 0;
	feed(); /* its protocol is not known */
	event.has_ports = 1;
	destination.labels = not_world;
	feed();
	destination.labels = ipv6;
	feed();
	counted("hubble_flows_to_world_total{protocol=\"TCP\",verdict=\"DROPPED\"} 2\n"
		"hubble_flows_to_world_total{protocol=\"TCP\",verdict=\"FORWARDED\"} 2\n");
}
END_TEST

START_TEST(to_world_options)
{
	begin("flows-to-world:any-drop;port;syn-only;destinationContext=dns|ip");
	feed();
	event.tcp_flags = 0x10;
	feed(); /* no SYN */
	event.tcp_flags = 2;
	drop(134);
	feed();
	event.protocol = IPPROTO_UDP;
	feed(); /* neither */
	counted("hubble_flows_to_world_total{destination=\"192.0.2.1\",port=\"443\",protocol=\"TCP\",verdict=\"DROPPED\"} 1\n"
		"hubble_flows_to_world_total{destination=\"192.0.2.1\",port=\"443\",protocol=\"TCP\",verdict=\"FORWARDED\"} 1\n");
}
END_TEST

START_TEST(icmp)
{
	begin("icmp");
	feed(); /* TCP */
	event.protocol = IPPROTO_ICMP;
	flow.summary = "ICMPv4 DestinationUnreachable(Port)";
	feed();
	event.protocol = IPPROTO_ICMPV6;
	event.family = 6;
	flow.summary = "ICMPv6 EchoRequest";
	feed();
	feed();
	/* of a file without it */
	flow.summary = "";
	event.icmp_type = 128;
	event.icmp_code = 3;
	feed();
	counted("hubble_icmp_total{family=\"IPv4\",type=\"DestinationUnreachable(Port)\"} 1\n"
		"hubble_icmp_total{family=\"IPv6\",type=\"128(3)\"} 1\n"
		"hubble_icmp_total{family=\"IPv6\",type=\"EchoRequest\"} 2\n");
}
END_TEST

START_TEST(policy)
{
	begin("policy");
	feed(); /* a trace */
	event.type = CLITE_EVENT_POLICY_VERDICT;
	event.subtype = 1;
	feed();
	event.direction = CLITE_INGRESS;
	event.subtype = 0;
	event.verdict = CLITE_VERDICT_DROPPED;
	feed();
	event.source_identity = 1;
	feed(); /* the host */
	event.source_identity = 2;
	event.direction = 0;
	event.subtype = 99;
	event.verdict = CLITE_VERDICT_AUDIT;
	feed();
	counted("hubble_policy_verdicts_total{action=\"audit\",direction=\"traffic_direction_unknown\",match=\"unknown\"} 1\n"
		"hubble_policy_verdicts_total{action=\"dropped\",direction=\"ingress\",match=\"none\"} 1\n"
		"hubble_policy_verdicts_total{action=\"forwarded\",direction=\"egress\",match=\"l3-only\"} 1\n");
}
END_TEST

START_TEST(ports)
{
	begin("port-distribution");
	feed();
	event.protocol = IPPROTO_SCTP;
	event.destination_port = 65535;
	feed();
	event.protocol = IPPROTO_ICMP;
	feed();
	event.is_reply = 2;
	feed(); /* perhaps a reply */
	event.is_reply = 0;
	event.verdict = CLITE_VERDICT_AUDIT;
	feed();
	counted("hubble_port_distribution_total{port=\"0\",protocol=\"ICMPv4\"} 1\n"
		"hubble_port_distribution_total{port=\"443\",protocol=\"TCP\"} 1\n"
		"hubble_port_distribution_total{port=\"65535\",protocol=\"SCTP\"} 1\n");
}
END_TEST

START_TEST(tcp)
{
	begin("tcp");
	feed();
	event.tcp_flags = 0x12;
	feed();
	event.tcp_flags = 0x15;
	event.family = 6;
	feed();
	event.tcp_flags = 0x10;
	feed(); /* nothing of note */
	event.tcp_flags = 2;
	event.protocol = IPPROTO_UDP;
	feed();
	event.protocol = IPPROTO_TCP;
	drop(133);
	feed();
	counted("hubble_tcp_flags_total{family=\"IPv4\",flag=\"SYN\"} 1\n"
		"hubble_tcp_flags_total{family=\"IPv4\",flag=\"SYN-ACK\"} 1\n"
		"hubble_tcp_flags_total{family=\"IPv6\",flag=\"FIN\"} 1\n"
		"hubble_tcp_flags_total{family=\"IPv6\",flag=\"RST\"} 1\n");
}
END_TEST

/* ---- contexts --------------------------------------------------------------------------- */

static const struct {
	const char *context, *source, *destination;
} contexts[] = {
	{ "identity", "k8s:app=web,k8s:flag,k8s:k8s-app", "cidr:192.0.2.0/24,reserved:world" },
	{ "namespace", "shop", "" },
	{ "pod", "shop/web-6c9f7d5b4-x2x4z", "" },
	{ "pod-short", "shop/web", "" },
	{ "pod-name", "web-6c9f7d5b4-x2x4z", "" },
	{ "dns", "", "a.example.,b.example." },
	{ "IP", "10.0.0.1", "192.0.2.1" },
	{ "reserved-identity", "", "reserved:world" },
	{ "workload", "shop/web", "" },
	{ "workload-name", "web", "" },
	{ "app", "web", "" },
	{ "reserved-identity|pod|ip", "shop/web-6c9f7d5b4-x2x4z", "reserved:world" },
	{ "pod|dns|ip", "shop/web-6c9f7d5b4-x2x4z", "a.example.,b.example." },
};

START_TEST(context)
{
	static const char *const names[] = { "a.example.", "b.example.", NULL };
	char option[128], expected[256];

	source.workload = "web";
	source.workload_kind = "Deployment";
	destination.names = names;
	snprintf(option, sizeof(option), "tcp:sourceContext=%s;DESTINATIONCONTEXT=%s",
		 contexts[_i].context, contexts[_i].context);
	snprintf(
		expected, sizeof(expected),
		"hubble_tcp_flags_total{destination=\"%s\",family=\"IPv4\",flag=\"SYN\",source=\"%s\"} 1\n",
		contexts[_i].destination, contexts[_i].source);
	begin(option);
	feed();
	counted(expected);
}
END_TEST

static const char *const shorts[][2] = {
	{ "web", "web" },	    { "web-1", "web" },	      { "a-b-c-d", "a-b" },
	{ "web-Abc", "web-Abc" },   { "a_b-X-abc", "a_b-X" }, { "-abc", "-abc" },
	{ "web--x", "web-" },	    { "web-", "web-" },	      { "", "" },
	{ "web-abc-", "web-abc-" }, { "x-1-2", "x" },	      { "-a-b", "-a" },
};

START_TEST(pod_short)
{
	char expected[128];

	source.ns = "";
	source.pod = shorts[_i][0];
	snprintf(expected, sizeof(expected),
		 "hubble_tcp_flags_total{family=\"IPv4\",flag=\"SYN\",source=\"%s\"} 1\n",
		 shorts[_i][1]);
	begin("tcp:sourceContext=pod-short");
	feed();
	counted(expected);
}
END_TEST

START_TEST(kube_apiserver)
{
	static const char *const labels[] = { "reserved:host=", "reserved:kube-apiserver=", NULL };

	source.labels = labels;
	begin("tcp:sourceContext=reserved-identity");
	feed();
	counted("hubble_tcp_flags_total{family=\"IPv4\",flag=\"SYN\",source=\"reserved:kube-apiserver\"} 1\n");
}
END_TEST

START_TEST(by_direction)
{
	begin("tcp:sourceContext=ip;sourceEgressContext=pod-name;destinationIngressContext=ip");
	feed();
	event.direction = CLITE_INGRESS;
	feed();
	event.direction = 0;
	feed();
	counted("hubble_tcp_flags_total{destination=\"\",family=\"IPv4\",flag=\"SYN\",source=\"10.0.0.1\"} 1\n"
		"hubble_tcp_flags_total{destination=\"\",family=\"IPv4\",flag=\"SYN\",source=\"web-6c9f7d5b4-x2x4z\"} 1\n"
		"hubble_tcp_flags_total{destination=\"192.0.2.1\",family=\"IPv4\",flag=\"SYN\",source=\"10.0.0.1\"} 1\n");
}
END_TEST

START_TEST(labels)
{
	begin("tcp:labelsContext=traffic_direction,source_ip,source_pod,source_namespace,source_workload,source_app,destination_ip,destination_app");
	feed();
	counted("hubble_tcp_flags_total{destination_app=\"\",destination_ip=\"192.0.2.1\",family=\"IPv4\",flag=\"SYN\",source_app=\"web\",source_ip=\"10.0.0.1\",source_namespace=\"shop\",source_pod=\"web-6c9f7d5b4-x2x4z\",source_workload=\"\",traffic_direction=\"egress\"} 1\n");
}
END_TEST

/* A name of any length, with any bytes, is a label's value. */
START_TEST(long_names)
{
	char name[5000], *lines;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memcpy(name, "a\"\n\xff", 4);
	source.pod = name;
	begin("tcp:sourceContext=pod-name");
	feed();
	lines = samples();
	ck_assert_ptr_nonnull(strstr(lines, "source=\"a\\\"\\n\xef\xbf\xbdxxx"));
	ck_assert_uint_lt(strlen(lines), 1200);
	free(lines);
}
END_TEST

/* ---- bounds ------------------------------------------------------------------------------- */

static double total, folded;

static int sum(const struct clite_metric *m, void *data)
{
	int *n = data;

	if (!strcmp(m->name, "hubble_port_distribution_total")) {
		total += m->value;
		++*n;
	} else if (!strcmp(m->name, "cilium_lite_hubble_metrics_folded_total")) {
		folded += m->value;
		ck_assert_str_eq(m->labels->value, "hubble_port_distribution_total");
	}
	return 0;
}

/* A scan of all ports: sums stay right, series do not grow without end. */
START_TEST(folding)
{
	const char *const names[] = { "port-distribution", NULL };
	char *lines;
	int n = 0;

	total = folded = 0;
	ck_assert_int_eq(begin_with(names, 100), 0);
	for (int round = 0; round < 2; round++) {
		for (unsigned int port = 0; port < 65536; port++) {
			event.destination_port = (uint16_t)port;
			feed();
		}
	}
	ck_assert_int_gt(clite_hubble_metrics_list(metrics, sum, &n), 0);
	ck_assert_int_eq(n, 101);
	ck_assert_double_eq(total, 2 * 65536);
	ck_assert_double_eq(folded, 2 * (65536 - 100));
	lines = samples();
	ck_assert_ptr_nonnull(strstr(lines, "{port=\"99\",protocol=\"TCP\"} 2\n"));
	ck_assert_ptr_nonnull(strstr(lines, "{port=\"other\",protocol=\"other\"} 130872\n"));
	free(lines);
}
END_TEST

/* As many as there may be are all found again. */
START_TEST(many)
{
	const char *const names[] = { "port-distribution", NULL };
	int n = 0;

	total = folded = 0;
	ck_assert_int_eq(begin_with(names, 65536), 0);
	for (int round = 0; round < 3; round++) {
		for (unsigned int port = 0; port < 65536; port++) {
			event.destination_port = (uint16_t)port;
			feed();
		}
	}
	ck_assert_int_gt(clite_hubble_metrics_list(metrics, sum, &n), 0);
	ck_assert_int_eq(n, 65536);
	ck_assert_double_eq(total, 3 * 65536);
	ck_assert_double_eq(folded, 0);
}
END_TEST

/* Long labels count as several. */
START_TEST(long_labels_are_bounded)
{
	const char *const names[] = { "port-distribution:sourceContext=pod-name", NULL };
	char name[1000];
	int n = 0;

	total = folded = 0;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	source.pod = name;
	ck_assert_int_eq(begin_with(names, 1000), 0);
	for (unsigned int port = 0; port < 1000; port++) {
		event.destination_port = (uint16_t)port;
		feed();
	}
	ck_assert_int_gt(clite_hubble_metrics_list(metrics, sum, &n), 0);
	ck_assert_int_lt(n, 260);
	ck_assert_double_eq(total, 1000);
	ck_assert_double_eq(folded, 1000 - (n - 1));
}
END_TEST

/* ---- what is wrong -------------------------------------------------------------------------- */

static const char *const wrong[][2] = {
	{ "drops",
	  "metric 'drops' is none of drop, flow, flows-to-world, icmp, policy, port-distribution, tcp" },
	{ "", "metric '' is none of drop" },
	{ "dro:", "metric 'dro' is none of" },
	{ "http", "metric 'http' needs what flows here do not tell: layer 7" },
	{ "httpV2:exemplars=true", "metric 'httpV2' needs" },
	{ "drop:sourceContext=pood",
	  "metric 'drop': sourceContext: 'pood' is none of identity, namespace, pod, pod-short, pod-name, dns, ip, reserved-identity, workload, workload-name, app" },
	{ "drop:sourceContext=pod|", "sourceContext: '' is none of" },
	{ "drop:sourceContext", "sourceContext: '' is none of" },
	{ "drop:sourcecontext=pod,ip", "'pod,ip' is none of" },
	{ "drop:context=pod", "metric 'drop': unknown option 'context'; there are: sourceContext" },
	{ "drop:port", "metric 'drop': unknown option 'port'" },
	{ "flows-to-world:ports", "labelsContext, any-drop, port, syn-only" },
	{ "flow:labelsContext=source_pod,source",
	  "labelsContext: 'source' is none of source_ip, source_pod, source_namespace, source_workload, source_app, destination_ip, destination_pod, destination_namespace, destination_workload, destination_app, traffic_direction" },
};

START_TEST(refused)
{
	const char *const names[] = { "tcp", wrong[_i][0], NULL };

	errbuf[0] = '\0';
	ck_assert_int_eq(begin_with(names, 0), -EINVAL);
	ck_assert_ptr_null(metrics);
	ck_assert_msg(strstr(errbuf, wrong[_i][1]), "%s: %s", names[1], errbuf);
}
END_TEST

START_TEST(twice)
{
	const char *const names[] = { "drop", "tcp", "drop:sourceContext=pod", NULL };

	ck_assert_int_eq(begin_with(names, 0), -EINVAL);
	ck_assert_str_eq(errbuf, "metric 'drop' is there twice");
	ck_assert_int_eq(begin_with(NULL, 1000001), -EINVAL);
	ck_assert_str_eq(errbuf, "series: 1000001 is too many, at most 1000000");
}
END_TEST

START_TEST(arguments)
{
	struct clite_hubble_metrics_opts opts = { .sz = sizeof(opts), .reserved = 1 };
	struct clite_flow bad = flow;
	int n = 0;

	ck_assert_int_eq(clite_hubble_metrics_new(NULL, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_hubble_metrics_new(NULL, &opts, &metrics), -EINVAL);
	opts.sz = 4;
	ck_assert_int_eq(clite_hubble_metrics_new(NULL, &opts, &metrics), -EINVAL);
	/* all presets, by an older header */
	opts = (struct clite_hubble_metrics_opts){ .sz = sizeof(size_t) };
	ck_assert_int_eq(clite_hubble_metrics_new(NULL, &opts, &metrics), 0);
	ck_assert_int_eq(clite_hubble_metrics_feed(NULL, &flow), -EINVAL);
	ck_assert_int_eq(clite_hubble_metrics_feed(metrics, NULL), -EINVAL);
	bad.sz--;
	ck_assert_int_eq(clite_hubble_metrics_feed(metrics, &bad), -EINVAL);
	source.sz--;
	ck_assert_int_eq(clite_hubble_metrics_feed(metrics, &flow), -EINVAL);
	source.sz++;
	feed();
	ck_assert_int_eq(clite_hubble_metrics_list(NULL, sum, &n), -EINVAL);
	ck_assert_int_eq(clite_hubble_metrics_list(metrics, NULL, &n), -EINVAL);
	/* six that are folded; a flow, a port, a flag */
	ck_assert_int_eq(clite_hubble_metrics_list(metrics, clite_metric_page_add, NULL), -EINVAL);
	counted("hubble_flows_processed_total{protocol=\"TCP\",subtype=\"to-stack\",type=\"Trace\",verdict=\"FORWARDED\"} 1\n"
		"hubble_port_distribution_total{port=\"443\",protocol=\"TCP\"} 1\n"
		"hubble_tcp_flags_total{family=\"IPv4\",flag=\"SYN\"} 1\n");
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*(array)))

int main(void)
{
	Suite *s = suite_create("hubble metrics");
	TCase *t = tcase_create("flows");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, drops);
	tcase_add_test(t, flows);
	tcase_add_test(t, to_world);
	tcase_add_test(t, to_world_options);
	tcase_add_test(t, icmp);
	tcase_add_test(t, policy);
	tcase_add_test(t, ports);
	tcase_add_test(t, tcp);
	tcase_add_loop_test(t, context, 0, COUNT(contexts));
	tcase_add_loop_test(t, pod_short, 0, COUNT(shorts));
	tcase_add_test(t, kube_apiserver);
	tcase_add_test(t, by_direction);
	tcase_add_test(t, labels);
	tcase_add_test(t, long_names);
	tcase_add_test(t, folding);
	tcase_add_test(t, many);
	tcase_add_test(t, long_labels_are_bounded);
	tcase_add_loop_test(t, refused, 0, COUNT(wrong));
	tcase_add_test(t, twice);
	tcase_add_test(t, arguments);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
