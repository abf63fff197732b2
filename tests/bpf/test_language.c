/* SPDX-License-Identifier: BSD-2-Clause */
/* What policies say by name, in the kernel: ports of endpoints, services; and what
 * they narrow down, or cannot have. */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define SYN 2
#define VIP "10.96.0.1"
#define POLICY(name, subject, rest)                                              \
	"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: " name \
	"}, spec: {endpointSelector: {matchLabels: {app: " subject "}}, " rest "}}"

static uint16_t sport = 1000;

/* The drop reason of a new flow from A; 0: it passes. */
static uint32_t verdict(const char *to, uint8_t protocol, uint16_t port)
{
	struct packet p = packet_make(host_a, strchr(to, ':') ? A6 : A4, to, protocol, sport++, port,
				      SYN);

	return from_a(&p) == ACT_DROP ? dropped() : 0;
}

/* B again, with other names for its ports. */
static void b_with_ports(const char *const *ports)
{
	static const char *const labels[] = { "k8s:app=b", NULL };
	struct clite_endpoint_opts o = {
		.sz = sizeof(o), .ipv4 = B4, .ipv6 = B6, .labels = labels, .ports = ports,
	};

	if (ep_b)
		ck_assert_int_eq(clite_endpoint_remove(ctx, ep_b), 0);
	ep_b = 0;
	ck_assert_msg(clite_endpoint_add(ctx, "vb", &o, &ep_b) == 0, "%s", clite_error(ctx));
}

#define PORTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* On ingress the subject's own names count. */
START_TEST(ports_of_the_subject)
{
	const struct clite_endpoint_info *info;

	b_with_ports(PORTS("WEB=80", "dns=53/udp", "dns=5353/tcp"));
	ck_assert_int_eq(clite_endpoint_get(ctx, ep_b, &info), 0);
	ck_assert_str_eq(info->ports[0], "dns=53/udp");
	ck_assert_str_eq(info->ports[1], "dns=5353/tcp");
	ck_assert_str_eq(info->ports[2], "web=80/tcp");
	ck_assert_ptr_null(info->ports[3]);

	import(POLICY("p", "b", "ingress: [{toPorts: [{ports: [{port: web, protocol: TCP}, "
				"{port: Dns, protocol: UDP}, {port: none}, {port: '90'}]}]}]"));
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 80), 0);
	ck_assert_uint_eq(verdict(B6, IPPROTO_TCP, 80), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_UDP, 53), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 90), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_UDP, 80), 133);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 53), 133);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 5353), 133);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 81), 133);

	b_with_ports(PORTS("web=81"));
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 81), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 80), 133);
	ck_assert_uint_eq(verdict(B4, IPPROTO_UDP, 53), 133);
	b_with_ports(NULL);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 81), 133);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 90), 0);
}
END_TEST

/* On egress those of the peer, for that peer only. */
START_TEST(ports_of_the_peer)
{
	b_with_ports(PORTS("web=80"));
	import(POLICY("p", "a", "egress: [{toPorts: [{ports: [{port: web, protocol: TCP}]}]}]"));
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 80), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 81), 133);
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, 80), 133);
	b_with_ports(PORTS("web=81"));
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 81), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 80), 133);

	import(POLICY("p", "a", "egress: [{toEntities: [all]}], egressDeny: [{toEndpoints: [{}], "
				"toPorts: [{ports: [{port: web}]}]}]"));
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 81), 181);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 80), 0);
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, 81), 0);
	/* nobody has the name: nothing is denied, nothing of A's own counts */
	ck_assert_int_eq(clite_endpoint_remove(ctx, ep_b), 0);
	ep_b = 0;
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 81), 0);
}
END_TEST

/* ---- services ---------------------------------------------------------------- */

static uint32_t service(const char *name, const char *label, const char *address,
			const char *backend)
{
	struct clite_backend b = { .address = backend, .port = 8080 };
	const char *labels[] = { label, NULL };
	struct clite_service_opts o = {
		.sz = sizeof(o),
		.address = address,
		.port = 80,
		.name = name,
		.labels = labels,
		.backends = &b,
		.nbackends = backend ? 1 : 0,
	};
	uint32_t id;

	ck_assert_msg(clite_service_update(ctx, &o, &id) == 0, "%s", clite_error(ctx));
	return id;
}

/* Its back ends may be sent to: endpoints, and addresses outside. */
START_TEST(services_by_name)
{
	const struct clite_service_info *info;
	uint32_t id = service("shop/web", "app=x", VIP, B4);

	ck_assert_int_eq(clite_service_get(ctx, id, &info), 0);
	ck_assert_str_eq(info->labels[0], "unspec:app=x");
	import(POLICY("p", "a", "egress: [{toServices: [{k8sService: {serviceName: web, namespace: "
				"shop}}]}]"));
	ck_assert_uint_eq(verdict(VIP, IPPROTO_TCP, 80), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 8080), 0);
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, 8080), 133);
	service("shop/web", "app=x", VIP, W4);
	ck_assert_uint_eq(verdict(VIP, IPPROTO_TCP, 80), 0);
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, 8080), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 8080), 133);
	/* another name, another namespace */
	service("web", "app=x", VIP, W4);
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, 8080), 133);
	import(POLICY("p", "a", "egress: [{toServices: [{k8sService: {serviceName: web, namespace: "
				"default}}], toPorts: [{ports: [{port: '8080'}]}]}]"));
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, 8080), 0);
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, 8081), 133);
	ck_assert_int_eq(clite_service_delete(ctx, id), 0);
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, 8080), 133);
}
END_TEST

START_TEST(services_by_selector)
{
	uint32_t one = service("one", "app=x", VIP, B4);
	uint32_t two = service("ns/two", "app=x", "10.96.0.2", W4);

	import(POLICY("p", "a", "egressDeny: [{toServices: [{k8sServiceSelector: {selector: "
				"{matchLabels: {app: x}}}}]}], egress: [{toEntities: [all]}]"));
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 1), 181);
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, 1), 181);
	ck_assert_uint_eq(verdict("192.0.2.10", IPPROTO_TCP, 1), 0);
	service("ns/two", "app=y", "10.96.0.2", W4);
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, 1), 0);
	import(POLICY("p", "a", "egressDeny: [{toServices: [{k8sServiceSelector: {selector: "
				"{}, namespace: ns}}]}], egress: [{toEntities: [all]}]"));
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, 1), 181);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 1), 0);
	/* a back end that becomes an endpoint, and is none any more */
	service("ns/two", "app=y", "10.96.0.2", B4);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 1), 181);
	ck_assert_int_eq(clite_endpoint_remove(ctx, ep_b), 0);
	ep_b = 0;
	b_with_ports(NULL);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 1), 181);
	ck_assert_int_eq(clite_service_delete(ctx, one), 0);
	ck_assert_int_eq(clite_service_delete(ctx, two), 0);
}
END_TEST

/* ---- requirements ---------------------------------------------------------------- */

START_TEST(required)
{
	import(POLICY("p", "b", "ingress: [{fromRequires: [{matchLabels: {app: c}}]}]"));
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 80), 133);
	import(POLICY("q", "b", "ingress: [{fromEndpoints: [{}]}]"));
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 80), 133);
	import(POLICY("p", "b", "ingress: [{fromRequires: [{matchLabels: {app: a}}]}]"));
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 80), 0);
	/* denying is not narrowed by what allowing requires */
	import(POLICY("p", "b", "ingress: [{fromRequires: [{matchLabels: {app: c}}]}], "
				"ingressDeny: [{fromEndpoints: [{}]}]"));
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 80), 181);
	ck_assert_int_eq(clite_policy_delete(ctx, "q"), 0);
}
END_TEST

/* ---- what is not there -------------------------------------------------------------- */

static const struct {
	const char *rest;
	const char *error;
} beyond[] = {
	{ "ingress: [{toPorts: [{ports: [{port: '80'}], rules: {http: []}}]}]", "a proxy for HTTP" },
	{ "ingress: [{toPorts: [{ports: [{port: '80'}], rules: {kafka: []}}]}]",
	  "a proxy for Kafka" },
	{ "egress: [{toPorts: [{ports: [{port: '53'}], rules: {dns: []}}]}]", "a proxy for DNS" },
	{ "egress: [{toFQDNs: [{matchName: x.org}]}]",
	  "a proxy for DNS that learns the addresses of names" },
	{ "egress: [{toPorts: [{ports: [{port: '80'}], serverNames: [x.org]}]}]",
	  "a proxy for TLS" },
	{ "ingress: [{toPorts: [{ports: [{port: '80'}], listener: {name: l, envoyConfig: {name: "
	  "e}}}]}]",
	  "a listener of an Envoy proxy" },
	{ "ingress: [{fromEndpoints: [{}], authentication: {mode: required}}]",
	  "mutual authentication" },
	{ "ingress: [{fromNodes: [{}]}]", "labels of nodes" },
	{ "ingress: [{fromCIDRSet: [{cidrGroupRef: x}]}]", "CIDR groups" },
	{ "ingress: [{fromGroups: [{aws: {}}]}]", "the API of a cloud provider" },
};

/* It is read, but does not come into force, and nothing of it does. */
START_TEST(refused_at_commit)
{
	struct clite_import_opts o = { .sz = sizeof(o), .filename = "f.yaml" };
	struct clite_txn *txn;
	char text[1024], error[256];

	import(POLICY("p", "b", "ingress: [{fromEndpoints: [{matchLabels: {app: c}}]}]"));
	ck_assert_int_eq(clite_txn_new(ctx, &txn), 0);
	snprintf(text, sizeof(text), "%s\n---\n" POLICY("q", "a", "%s"),
		 POLICY("p", "b", "ingress: [{fromEndpoints: [{}]}]"), beyond[_i].rest);
	ck_assert_msg(clite_txn_policy_import(txn, text, strlen(text), &o) == 2, "%s",
		      clite_error(ctx));
	ck_assert_int_eq(clite_txn_commit(txn), -CLITE_EUNSUPPORTED);
	snprintf(error, sizeof(error), "f.yaml:3: policy 'q' needs %s, which is not present",
		 beyond[_i].error);
	ck_assert_str_eq(clite_error(ctx), error);
	clite_txn_free(txn);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, 80), 133);
	ck_assert_int_eq(clite_policy_list(ctx, NULL, NULL), -EINVAL);
}
END_TEST

static void make(void)
{
	world_make(0);
}

static void reset(void)
{
	world_reset();
	b_with_ports(NULL);
}

int main(void)
{
	Suite *s = suite_create("language");
	TCase *t = tcase_create("names");
	SRunner *r;
	int failed;

	if (geteuid()) {
		puts("needs root");
		return 77;
	}
	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, make, world_remove);
	tcase_add_checked_fixture(t, reset, NULL);
	tcase_add_test(t, ports_of_the_subject);
	tcase_add_test(t, services_by_name);
	tcase_add_test(t, services_by_selector);
	tcase_add_test(t, required);
	tcase_add_loop_test(t, refused_at_commit, 0, (int)(sizeof(beyond) / sizeof(beyond[0])));
	tcase_add_test(t, ports_of_the_peer);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_set_fork_status(r, CK_NOFORK);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
