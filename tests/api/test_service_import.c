/* SPDX-License-Identifier: BSD-2-Clause */
/* Services from documents, through the public API: what is in the text is there, what is
 * gone from it goes, and what others made stays. */
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cilium-lite/cilium-lite.h>

static struct clite_ctx *ctx;

static void open_it(const char *name, const char *bpffs, uint32_t flags)
{
	char text[4096] = "";
	const struct clite_open_opts opts = {
		.sz = sizeof(opts),
		.flags = flags,
		.bpffs = bpffs,
		.flows4 = 1024,
		.flows6 = 1024,
		.errbuf = text,
		.errbuf_size = sizeof(text),
	};
	int r = clite_open(name, &opts, &ctx);

	ck_assert_msg(r == 0, "%s: %s", clite_strerror(r), text);
}

static void setup(void)
{
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	open_it(NULL, NULL, CLITE_OPEN_EPHEMERAL);
}

static void teardown(void)
{
	ctx = clite_close(ctx);
}

/* ---- documents ------------------------------------------------------------------- */

#define SVC(name, spec)                                                             \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", labels: {app: " \
	name "}}\nspec: {" spec "}\n"
#define SLICE(of, endpoints)                                                                  \
	"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " of     \
	"-1, labels: {kubernetes.io/service-name: " of "}}\naddressType: IPv4\nports: [{port: " \
	"8080}]\nendpoints: [" endpoints "]\n"
#define WEB SVC("web", "clusterIP: 10.96.0.1, ports: [{port: 80}]")
#define API SVC("api", "clusterIP: 10.96.0.2, ports: [{port: 80}]")

static int import_with(const char *text, struct clite_service_import_opts opts)
{
	opts.sz = sizeof(opts);
	return clite_service_import(ctx, text, strlen(text), &opts);
}

static int import(const char *text)
{
	return import_with(text, (struct clite_service_import_opts){ .filename = "a.yaml" });
}

#define ck_assert_done(call, wanted)                                                           \
	do {                                                                                   \
		int r_ = (call);                                                               \
		ck_assert_msg(r_ == (wanted), "%d: %s: %s", r_, clite_strerror(r_), clite_error(ctx)); \
	} while (0)
#define ck_assert_error(call, code, text)                                                  \
	do {                                                                               \
		int r_ = (call);                                                           \
		ck_assert_msg(r_ == -(code), "%d: %s", r_, clite_error(ctx));              \
		ck_assert_str_eq(clite_error(ctx), text);                                  \
	} while (0)

/* ---- services as one text: "address:port name backend..." ------------------------- */

static int append(const struct clite_service_info *s, void *data)
{
	char *to = data;

	sprintf(to + strlen(to), "%s:%u %s", s->address, s->port, s->name);
	for (size_t i = 0; i < s->nbackends; i++)
		sprintf(to + strlen(to), " %s:%u%s", s->backends[i].address, s->backends[i].port,
			s->backends[i].state == CLITE_BACKEND_ACTIVE ? "" : "!");
	strcat(to, "\n");
	return 0;
}

static void expect(const char *wanted)
{
	static char text[65536];

	text[0] = '\0';
	ck_assert_int_ge(clite_service_list(ctx, append, text), 0);
	ck_assert_str_eq(text, wanted);
}

/* ---- tests ----------------------------------------------------------------------- */

START_TEST(comes_and_goes)
{
	const struct clite_service_info *info;

	ck_assert_done(import(WEB API SLICE("web", "{addresses: [10.1.0.2, 10.1.0.1]}")), 2);
	expect("10.96.0.1:80 default/web 10.1.0.1:8080 10.1.0.2:8080\n"
	       "10.96.0.2:80 default/api\n");
	ck_assert_done(clite_service_get(ctx, 1, &info), 0);
	ck_assert_str_eq(info->labels[0], "k8s:app=web");
	ck_assert_uint_eq(info->algorithm, CLITE_LB_RANDOM);

	/* another back end, and one that ends */
	ck_assert_done(import(WEB API SLICE("web", "{addresses: [10.1.0.2], conditions: {ready: "
						   "false, serving: true, terminating: true}}, "
						   "{addresses: [10.1.0.3]}")),
		       2);
	expect("10.96.0.1:80 default/web 10.1.0.2:8080! 10.1.0.3:8080\n"
	       "10.96.0.2:80 default/api\n");

	/* gone from the text, gone from the datapath */
	ck_assert_done(import(API), 1);
	expect("10.96.0.2:80 default/api\n");
	ck_assert_done(import(""), 0);
	expect("");
	ck_assert_done(import(""), 0);
}
END_TEST

START_TEST(sources_are_apart)
{
	const struct clite_service_import_opts other = { .filename = "a.yaml", .source = "b" };

	ck_assert_done(import(WEB), 1);
	ck_assert_done(import_with(API, other), 1);
	expect("10.96.0.1:80 default/web\n10.96.0.2:80 default/api\n");
	ck_assert_error(import_with(API WEB, other), EEXIST,
			"a.yaml:9: the service 'default/web' has the address and port of service 1 "
			"('default/web'), which did not come from 'b'");
	ck_assert_done(import_with("", other), 0);
	expect("10.96.0.1:80 default/web\n");
}
END_TEST

START_TEST(others_are_left_alone)
{
	const struct clite_service_opts own = {
		.sz = sizeof(own), .address = "10.96.0.1", .port = 80, .name = "mine"
	};

	ck_assert_done(clite_service_update(ctx, &own, NULL), 0);
	ck_assert_error(import(WEB), EEXIST,
			"a.yaml:4: the service 'default/web' has the address and port of service 1 "
			"('mine'), which did not come from 'a.yaml'");
	ck_assert_done(import(API), 1);
	ck_assert_done(import(""), 0);
	expect("10.96.0.1:80 mine\n");
}
END_TEST

/* What did not change is not written again, and what somebody removed comes back. */
START_TEST(again)
{
	ck_assert_done(import(WEB API), 2);
	ck_assert_done(import(WEB API), 2);
	expect("10.96.0.1:80 default/web\n10.96.0.2:80 default/api\n");
	ck_assert_done(clite_service_delete(ctx, 1), 0);
	ck_assert_done(import(WEB API), 2);
	expect("10.96.0.1:80 default/web\n10.96.0.2:80 default/api\n");
	ck_assert_done(clite_service_delete(ctx, 1), 0);
	ck_assert_done(import(API), 1);
	expect("10.96.0.2:80 default/api\n");
}
END_TEST

#define NODE_PORT SVC("web", "type: NodePort, ports: [{port: 80, nodePort: 30080}]")

START_TEST(node_ports)
{
	static const char *const both[] = { "192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.1", NULL };
	static const char *const one[] = { "192.0.2.2", NULL }, *const bad[] = { "here", NULL };
	struct clite_service_import_opts opts = { .filename = "a.yaml", .node_addresses = both };

	ck_assert_done(import_with(NODE_PORT SLICE("web", "{addresses: [10.1.0.1]}"), opts), 2);
	expect("192.0.2.1:30080 default/web 10.1.0.1:8080\n"
	       "192.0.2.2:30080 default/web 10.1.0.1:8080\n");
	opts.node_addresses = one;
	ck_assert_done(import_with(NODE_PORT, opts), 1);
	expect("192.0.2.2:30080 default/web\n");
	ck_assert_error(import_with(NODE_PORT SVC("api", "externalIPs: [192.0.2.2], ports: [{port: "
							 "30080}]"),
				    opts),
			EINVAL,
			"the services 'default/web' and 'default/api' both have port 30080 of an "
			"address of the node");
	opts.node_addresses = bad;
	ck_assert_error(import_with(NODE_PORT, opts), EINVAL, "node address 'here': not an address");
	expect("192.0.2.2:30080 default/web\n");
	ck_assert_done(import(NODE_PORT), 0);
	expect("");
}
END_TEST

START_TEST(local_and_near)
{
	const char *const text =
		SVC("web", "clusterIP: 10.96.0.1, externalIPs: [192.0.2.1], externalTrafficPolicy: "
			   "Local, trafficDistribution: PreferClose, ports: [{port: 80}]")
			SLICE("web", "{addresses: [10.1.0.1], nodeName: n1, zone: a}, {addresses: "
				     "[10.1.0.2], nodeName: n2, zone: b}");
	struct clite_service_import_opts opts = { .node = "n1", .zone = "b" };

	ck_assert_done(import_with(text, opts), 2);
	expect("10.96.0.1:80 default/web 10.1.0.2:8080\n192.0.2.1:80 default/web 10.1.0.1:8080\n");
	opts.zone = NULL;
	ck_assert_done(import_with(text, opts), 2);
	expect("10.96.0.1:80 default/web 10.1.0.1:8080 10.1.0.2:8080\n"
	       "192.0.2.1:80 default/web 10.1.0.1:8080\n");
}
END_TEST

/* What a Service says of its clients. */
START_TEST(clients)
{
	static const char text[] =
		SVC("web", "type: LoadBalancer, loadBalancerIP: 192.0.2.1, sessionAffinity: ClientIP, "
			   "loadBalancerSourceRanges: [198.51.100.0/24, 10.0.0.0/8, 10.0.0.0/8], "
			   "ports: [{port: 80}]");
	const struct clite_service_info *info;

	ck_assert_done(import(text), 1);
	ck_assert_done(clite_service_get(ctx, 1, &info), 0);
	ck_assert_str_eq(info->address, "192.0.2.1");
	ck_assert_uint_eq(info->affinity, 10800);
	ck_assert_uint_eq(info->flags, CLITE_SERVICE_REJECT);
	ck_assert_str_eq(info->sources[0], "10.0.0.0/8");
	ck_assert_str_eq(info->sources[1], "198.51.100.0/24");
	ck_assert_ptr_null(info->sources[2]);
	ck_assert_done(import(text), 1); /* is what is there */
}
END_TEST

/* How packets get to the back ends, as the annotation says; a change of it alone is one. */
START_TEST(forwarding)
{
#define ANNOTATED(a)                                                                        \
	"apiVersion: v1\nkind: Service\nmetadata: {name: web, annotations: {" a "}}\n"       \
	"spec: {type: LoadBalancer, loadBalancerIP: 192.0.2.1, ports: [{port: 80}]}\n"
	static const struct {
		const char *text;
		uint32_t mode;
	} v[] = {
		{ ANNOTATED("service.cilium.io/forwarding-mode: dsr"), CLITE_MODE_DSR },
		{ ANNOTATED("service.cilium.io/forwarding-mode: snat"), CLITE_MODE_SNAT },
		{ ANNOTATED("service.cilium.io/forwarding-mode: dsr"), CLITE_MODE_DSR },
		{ ANNOTATED(""), CLITE_MODE_SNAT },
	};
	const struct clite_service_info *info;

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		ck_assert_done(import(v[i].text), 1);
		ck_assert_done(clite_service_get(ctx, 1, &info), 0);
		ck_assert_uint_eq(info->mode, v[i].mode);
	}
}
END_TEST

/* Of a text that is refused nothing is done. */
START_TEST(refused)
{
	ck_assert_done(import(WEB), 1);
	ck_assert_error(import(API SVC("bad", "colour: red, type: Magic")), CLITE_EDOCUMENT,
			"a.yaml:10: spec.colour: unknown field; here may stand: type, ports, "
			"clusterIP, clusterIPs, externalIPs, loadBalancerIP, loadBalancerSourceRanges, "
			"sessionAffinity, sessionAffinityConfig, externalTrafficPolicy, "
			"internalTrafficPolicy, trafficDistribution, healthCheckNodePort, "
			"publishNotReadyAddresses, ipFamilies, selector, externalName, ipFamilyPolicy, "
			"loadBalancerClass, allocateLoadBalancerNodePorts");
	ck_assert_error(import(API SVC("s", "clusterIP: 10.96.0.3, ports: [{port: 1, protocol: "
					    "SCTP}]") "---\napiVersion: discovery.k8s.io/v1\n"
				   "kind: EndpointSlice\nmetadata: {name: s-1, labels: "
				   "{kubernetes.io/service-name: s}}\naddressType: IPv4\nports: "
				   "[{port: 8080, protocol: SCTP}]\nendpoints: [{addresses: [10.1.0.9]}]\n"),
			CLITE_EUNSUPPORTED,
			"a.yaml:9: the service 'default/s' is of SCTP and has back ends on other "
			"ports: ports of SCTP are not translated");
	ck_assert_error(import_with(API, (struct clite_service_import_opts){ .max_bytes = 9 }), E2BIG,
			"<memory>: 125 bytes: at most 9 are read");
	expect("10.96.0.1:80 default/web\n");
}
END_TEST

/* What a source brought is known to processes that come later. */
START_TEST(remembered)
{
	char dir[] = "/tmp/clite-import-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("bpf", dir, "bpf", 0, NULL), 0);
	clite_close(ctx);

	open_it("x", dir, CLITE_OPEN_CREATE);
	ck_assert_done(import(WEB API), 2);
	clite_close(ctx);
	open_it("x", dir, 0);
	expect("10.96.0.1:80 default/web\n10.96.0.2:80 default/api\n");
	ck_assert_done(import(API), 1);
	expect("10.96.0.2:80 default/api\n");
	clite_close(ctx);
	open_it("x", dir, 0);
	ck_assert_done(import(""), 0);
	expect("");
	ck_assert_done(clite_destroy(ctx), 0);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}
END_TEST

START_TEST(options)
{
	struct {
		struct clite_service_import_opts opts;
		uint64_t tail;
	} longer = { .opts.sz = sizeof(longer), .tail = 1 };

	ck_assert_int_eq(clite_service_import(ctx, WEB, strlen(WEB), &longer.opts), -EINVAL);
	longer.tail = 0;
	ck_assert_done(clite_service_import(ctx, WEB, strlen(WEB), &longer.opts), 1);
	ck_assert_done(clite_service_import(ctx, "", 0, NULL), 0);
	ck_assert_int_eq(clite_service_import(NULL, "", 0, NULL), -EINVAL);
	ck_assert_int_eq(clite_service_import(ctx, NULL, 0, NULL), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("service_import");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	if (geteuid() != 0) {
		printf("skip: needs root\n");
		return 77;
	}
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, comes_and_goes);
	tcase_add_test(t, sources_are_apart);
	tcase_add_test(t, others_are_left_alone);
	tcase_add_test(t, again);
	tcase_add_test(t, node_ports);
	tcase_add_test(t, clients);
	tcase_add_test(t, forwarding);
	tcase_add_test(t, local_and_near);
	tcase_add_test(t, refused);
	tcase_add_test(t, remembered);
	tcase_add_test(t, options);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
