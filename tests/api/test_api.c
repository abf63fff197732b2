/* SPDX-License-Identifier: BSD-2-Clause */
/* What the public headers promise of every call: arguments, sized structs,
 * closed, destroyed and forked contexts, ownership. Not what the datapath does. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cilium-lite/cilium-lite.h>
#include <cilium-lite/sys/bpf.h>

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))

/* Never what a call returns: shows that a result was left alone. */
#define UNTOUCHED ((void *)0x1234)
#define UNTOUCHED_ID 0xdeadbeefu

static char bpffs[64]; /* of this process alone */

/* ---- callbacks ------------------------------------------------------------ */

#define CALLBACK(name, type)                                 \
	static int name(const struct type *info, void *data) \
	{                                                    \
		ck_assert_uint_ge(info->sz, sizeof(*info));  \
		if (data)                                    \
			++*(int *)data;                      \
		return 0;                                    \
	}
CALLBACK(on_counter, clite_counter_info)
CALLBACK(on_cgroup, clite_cgroup_info)
CALLBACK(on_ct, clite_ct_info)
CALLBACK(on_endpoint, clite_endpoint_info)
CALLBACK(on_event, clite_event)
CALLBACK(on_feature, clite_feature)
CALLBACK(on_identity, clite_identity_info)
CALLBACK(on_ipcache, clite_ipcache_info)
CALLBACK(on_metric, clite_metric)
CALLBACK(on_policy, clite_policy_info)
CALLBACK(on_policy_entry, clite_policy_entry)
CALLBACK(on_service, clite_service_info)

static int on_name(const char *name, void *data)
{
	ck_assert_ptr_nonnull(name);
	if (data)
		++*(int *)data;
	return 0;
}

/* ---- good arguments -------------------------------------------------------- */

static const char *const no_labels[] = { NULL };
static const struct clite_endpoint_opts endpoint_opts = {
	.sz = sizeof(endpoint_opts),
	.name = "client",
	.ipv4 = "10.9.0.1",
	.ipv6 = "fd09::1",
	.labels = (const char *const[]){ "k8s:app=client", NULL },
};
static const struct clite_rule allow_all = {
	.sz = sizeof(allow_all),
	.direction = CLITE_INGRESS,
};
static const struct clite_policy_part part = {
	.sz = sizeof(part),
	.rules = (const struct clite_rule *const[]){ &allow_all },
	.nrules = 1,
};
static const struct clite_policy_part *const parts[] = { &part };
static const struct clite_backend backends[] = { { .address = "10.9.0.1", .port = 8080 } };
static const struct clite_service_opts service_opts = {
	.sz = sizeof(service_opts),
	.address = "10.96.0.1",
	.port = 80,
	.backends = backends,
	.nbackends = 1,
};
static const char document[] =
	"{\"apiVersion\": \"cilium.io/v2\", \"kind\": \"CiliumNetworkPolicy\","
	" \"metadata\": {\"name\": \"document\"},"
	" \"spec\": {\"endpointSelector\": {}, \"ingress\": [{}]}}";

/* ---- every strict call on a context ----------------------------------------- */

#define CALL(name, expr)                       \
	static int name(struct clite_ctx *ctx) \
	{                                      \
		return expr;                   \
	}
#define CALL_RET(name, type, init, expr)              \
	static int name(struct clite_ctx *ctx)        \
	{                                             \
		type ret = init;                      \
		int r = expr;                         \
                                                      \
		if (r < 0)                            \
			ck_assert(ret == (type)init); \
		return r;                             \
	}

CALL_RET(call_status, const struct clite_status *, UNTOUCHED, clite_status(ctx, &ret))
CALL(call_counter_list, clite_counter_list(ctx, on_counter, NULL))
CALL(call_metric_list, clite_metric_list(ctx, on_metric, NULL))
CALL(call_fd, clite_fd(ctx))
CALL(call_dispatch, clite_dispatch(ctx, 0))
CALL(call_device_attach, clite_device_attach(ctx, "lo"))
CALL(call_device_attach_opts, clite_device_attach_opts(ctx, "lo", NULL))
CALL(call_device_detach, clite_device_detach(ctx, "lo"))
CALL(call_cgroup_attach, clite_cgroup_attach(ctx, "/"))
CALL(call_cgroup_detach, clite_cgroup_detach(ctx, "/"))
CALL(call_cgroup_list, clite_cgroup_list(ctx, on_cgroup, NULL))
CALL(call_conntrack_list, clite_conntrack_list(ctx, on_ct, NULL))
CALL(call_conntrack_flush, clite_conntrack_flush(ctx, 0))
CALL_RET(call_endpoint_add, uint32_t, UNTOUCHED_ID,
	 clite_endpoint_add(ctx, "lo", &endpoint_opts, &ret))
CALL(call_endpoint_remove, clite_endpoint_remove(ctx, 1))
CALL_RET(call_endpoint_get, const struct clite_endpoint_info *, UNTOUCHED,
	 clite_endpoint_get(ctx, 1, &ret))
CALL_RET(call_endpoint_find, uint32_t, UNTOUCHED_ID, clite_endpoint_find(ctx, "client", &ret))
CALL(call_endpoint_list, clite_endpoint_list(ctx, on_endpoint, NULL))
CALL_RET(call_identity_get, const struct clite_identity_info *, UNTOUCHED,
	 clite_identity_get(ctx, CLITE_ID_WORLD, &ret))
CALL(call_identity_list, clite_identity_list(ctx, on_identity, NULL))
CALL(call_ipcache_set, clite_ipcache_set(ctx, "192.0.2.1", CLITE_ID_HOST))
CALL(call_ipcache_unset, clite_ipcache_unset(ctx, "192.0.2.1"))
CALL_RET(call_ipcache_get, uint32_t, UNTOUCHED_ID, clite_ipcache_get(ctx, "192.0.2.1", &ret))
CALL(call_ipcache_list, clite_ipcache_list(ctx, on_ipcache, NULL))
CALL_RET(call_txn_new, struct clite_txn *, UNTOUCHED, clite_txn_new(ctx, &ret))
CALL(call_policy_put, clite_policy_put(ctx, "put", parts, 1))
#ifdef HAVE_YAML
CALL(call_policy_import, clite_policy_import(ctx, document, sizeof(document) - 1, NULL))
CALL(call_service_import, clite_service_import(ctx, "", 0, NULL))
#endif
CALL(call_policy_delete, clite_policy_delete(ctx, "put"))
CALL_RET(call_policy_get, const struct clite_policy_info *, UNTOUCHED,
	 clite_policy_get(ctx, "put", &ret))
CALL(call_policy_list, clite_policy_list(ctx, on_policy, NULL))
CALL_RET(call_rule_get, const struct clite_rule_info *, UNTOUCHED, clite_rule_get(ctx, 1, &ret))
CALL(call_policy_entries, clite_policy_entries(ctx, 0, on_policy_entry, NULL))
CALL_RET(call_service_update, uint32_t, UNTOUCHED_ID,
	 clite_service_update(ctx, &service_opts, &ret))
CALL(call_service_delete, clite_service_delete(ctx, 1))
CALL_RET(call_service_get, const struct clite_service_info *, UNTOUCHED,
	 clite_service_get(ctx, 1, &ret))
CALL(call_service_list, clite_service_list(ctx, on_service, NULL))
CALL_RET(call_subscribe, struct clite_subscription *, UNTOUCHED,
	 clite_subscribe(ctx, NULL, on_event, NULL, &ret))
CALL(call_sys_prog_fd, clite_sys_prog_fd(ctx, "from_endpoint"))
CALL(call_sys_map_fd, clite_sys_map_fd(ctx, "flow4"))

static int call_event_text(struct clite_ctx *ctx)
{
	const struct clite_event e = { .sz = sizeof(e), .family = 4 };

	return clite_event_text(ctx, &e, NULL, 0);
}

static int call_event_json(struct clite_ctx *ctx)
{
	const struct clite_event e = { .sz = sizeof(e), .family = 4 };

	return clite_event_json(ctx, &e, NULL, 0);
}

static const struct {
	const char *name;
	int (*call)(struct clite_ctx *ctx);
} calls[] = {
#define ROW(name)                  \
	{                          \
#name, call_##name \
	}
	ROW(status),
	ROW(counter_list),
	ROW(metric_list),
	ROW(dispatch),
	ROW(device_attach),
	ROW(device_attach_opts),
	ROW(device_detach),
	ROW(cgroup_attach),
	ROW(cgroup_detach),
	ROW(cgroup_list),
	ROW(conntrack_list),
	ROW(conntrack_flush),
	ROW(endpoint_add),
	ROW(endpoint_remove),
	ROW(endpoint_get),
	ROW(endpoint_find),
	ROW(endpoint_list),
	ROW(identity_get),
	ROW(identity_list),
	ROW(ipcache_set),
	ROW(ipcache_unset),
	ROW(ipcache_get),
	ROW(ipcache_list),
	ROW(txn_new),
	ROW(policy_put),
	ROW(policy_delete),
	ROW(policy_get),
	ROW(policy_list),
	ROW(rule_get),
	ROW(policy_entries),
	ROW(service_update),
	ROW(service_delete),
	ROW(service_get),
	ROW(service_list),
	ROW(subscribe),
	ROW(event_text),
	ROW(event_json),
	ROW(sys_prog_fd),
	ROW(sys_map_fd),
#ifdef HAVE_YAML
	ROW(policy_import),
	ROW(service_import),
#endif
	ROW(fd),
#undef ROW
};

static void expect_all(struct clite_ctx *ctx, int expected)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		int r;

		/* An event loop may still turn. */
		if (expected == -ESTALE &&
		    (calls[i].call == call_fd || calls[i].call == call_dispatch))
			continue;
		r = calls[i].call(ctx);

		ck_assert_msg(r == expected, "clite_%s returned %d (%s), not %d", calls[i].name, r,
			      clite_strerror(r), expected);
	}
}

/* ---- without privileges ------------------------------------------------------ */

START_TEST(version_and_texts)
{
	char text[32];

	snprintf(text, sizeof(text), "%d.%d.%d", CLITE_VERSION_MAJOR, CLITE_VERSION_MINOR,
		 CLITE_VERSION_PATCH);
	ck_assert_str_eq(clite_version_string(), text);
	ck_assert_uint_eq(clite_version(), CLITE_VERSION_MAJOR << 16 | CLITE_VERSION_MINOR << 8 |
						   CLITE_VERSION_PATCH);

	ck_assert_str_eq(clite_strerror(0), "Success");
	ck_assert_str_eq(clite_strerror(-ENOENT), clite_strerror(ENOENT));
	ck_assert_str_eq(clite_strerror(99999), "Unknown error");
	ck_assert_str_eq(clite_strerror(-99999), "Unknown error");
	ck_assert_str_eq(clite_strerror(INT32_MIN), "Unknown error");
	for (int code = CLITE_EDOCUMENT; code <= CLITE_ENOBPFFS; code++) {
		ck_assert_str_ne(clite_strerror(-code), "Unknown error");
		ck_assert_str_eq(clite_strerror(-code), clite_strerror(code));
	}
	ck_assert_str_eq(clite_strerror(-(CLITE_ENOBPFFS + 1)), "Unknown error");

	ck_assert_str_eq(clite_drop_reason_text(133), "Policy denied");
	ck_assert_str_eq(clite_drop_reason_name(133), "POLICY_DENIED");
	ck_assert_ptr_null(clite_drop_reason_text(UINT32_MAX));
	ck_assert_ptr_null(clite_drop_reason_name(UINT32_MAX));
	ck_assert_str_eq(clite_trace_point_text(0), "to-endpoint");
	ck_assert_ptr_null(clite_trace_point_text(UINT32_MAX));
}
END_TEST

START_TEST(null_context)
{
	expect_all(NULL, -EINVAL);
	ck_assert_int_eq(clite_destroy(NULL), -EINVAL);
	ck_assert_ptr_null(clite_ref(NULL));
	ck_assert_ptr_null(clite_close(NULL));
	ck_assert_str_eq(clite_error(NULL), "");
	ck_assert_str_eq(clite_name(NULL), "");

	ck_assert_int_eq(clite_txn_policy_put(NULL, "a", parts, 1), -EINVAL);
	ck_assert_int_eq(clite_txn_policy_delete(NULL, "a"), -EINVAL);
#ifdef HAVE_YAML
	ck_assert_int_eq(clite_txn_policy_import(NULL, document, sizeof(document) - 1, NULL),
			 -EINVAL);
#endif
	ck_assert_int_eq(clite_txn_commit(NULL), -EINVAL);
	ck_assert_ptr_null(clite_txn_free(NULL));
	ck_assert_ptr_null(clite_unsubscribe(NULL));
	ck_assert_int_eq(clite_subscription_lost(NULL, &(uint64_t){ 0 }), -EINVAL);
}
END_TEST

START_TEST(open_arguments)
{
	static const char *const bad[] = { "",	  ".",	 "..",	     ".hidden",
					   "a/b", "a b", "\xc3\xa4", "a\nb" };
	struct clite_open_opts opts = { .sz = sizeof(opts), .flags = CLITE_OPEN_CREATE };
	struct clite_ctx *ctx = UNTOUCHED;
	char name[65], text[256];

	opts.bpffs = bpffs;
	opts.errbuf = text;
	opts.errbuf_size = sizeof(text);
	ck_assert_int_eq(clite_open("x", &opts, NULL), -EINVAL);
	ck_assert_int_eq(clite_open(NULL, &opts, &ctx), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		text[0] = '\0';
		ck_assert_int_eq(clite_open(bad[i], &opts, &ctx), -EINVAL);
		ck_assert_str_ne(text, "");
	}
	memset(name, 'n', 64);
	name[64] = '\0';
	ck_assert_int_eq(clite_open(name, &opts, &ctx), -EINVAL);

	opts.flags = 1u << 31;
	text[0] = '\0';
	ck_assert_int_eq(clite_open("x", &opts, &ctx), -EINVAL);
	ck_assert_str_ne(text, "");
	opts.flags = CLITE_OPEN_EPHEMERAL;
	opts.sz = 0;
	ck_assert_int_eq(clite_open("x", &opts, &ctx), -EINVAL);
	opts.sz = sizeof(opts);
	opts.endpoints = 65536;
	ck_assert_int_eq(clite_open("x", &opts, &ctx), -EINVAL);
	ck_assert_ptr_eq(ctx, UNTOUCHED);
}
END_TEST

/* A buffer of any size is ended with NUL and not written beyond. */
START_TEST(open_error_buffer)
{
	struct clite_open_opts opts = { .sz = sizeof(opts), .flags = CLITE_OPEN_CREATE };
	struct clite_ctx *ctx = NULL;
	char text[8];

	opts.errbuf = text;
	memset(text, 'x', sizeof(text));
	opts.errbuf_size = 0;
	ck_assert_int_eq(clite_open("a/b", &opts, &ctx), -EINVAL);
	ck_assert_int_eq(text[0], 'x');
	opts.errbuf_size = 4;
	ck_assert_int_eq(clite_open("a/b", &opts, &ctx), -EINVAL);
	ck_assert_uint_eq(strlen(text), 3);
	ck_assert_int_eq(text[4], 'x');
	opts.errbuf = NULL;
	ck_assert_int_eq(clite_open("a/b", &opts, &ctx), -EINVAL);
	ck_assert_int_eq(clite_open("a/b", NULL, &ctx), -EINVAL);
}
END_TEST

START_TEST(safe_calls)
{
	ck_assert_int_eq(clite_probe(NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_instance_list(bpffs, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_instance_list("/proc", on_name, NULL), -CLITE_ENOBPFFS);
	ck_assert_int_eq(clite_instance_list("/nonexistent", on_name, NULL), -CLITE_ENOBPFFS);
}
END_TEST

/* A flow without any names. */
static const struct clite_flow *nameless(const struct clite_event *e)
{
	static const struct clite_flow_policy *const no_policies[] = { NULL };
	static const struct clite_flow_end end = {
		.sz = sizeof(end),
		.ns = "",
		.pod = "",
		.service = "",
		.service_ns = "",
		.cluster = "",
		.workload = "",
		.workload_kind = "",
		.labels = no_labels,
		.names = no_labels,
	};
	static struct clite_flow flow;

	flow = (struct clite_flow){
		.sz = sizeof(flow),
		.event = e,
		.source = &end,
		.destination = &end,
		.policies = no_policies,
		.node = "",
		.summary = "",
		.kind = CLITE_FLOW_L3_L4,
	};
	return &flow;
}

START_TEST(filters)
{
	const char *const ports[] = { "53", NULL }, *const bad[] = { "53", "dns", NULL };
	struct {
		struct clite_flow_filter filter;
		uint64_t tail;
	} longer = { .filter = { .sz = sizeof(longer), .destination_port = bad } };
	struct clite_event e = {
		.sz = sizeof(e), .family = 4, .protocol = 17, .has_ports = 1, .destination_port = 53
	};
	struct clite_filters *fs = UNTOUCHED;
	struct clite_flow flow = *nameless(&e);

	ck_assert_int_eq(clite_filters_new(NULL), -EINVAL);
	ck_assert_int_eq(clite_filters_add(NULL, 0, &longer.filter), -EINVAL);
	ck_assert_int_eq(clite_filters_add_json(NULL, 0, "{}"), -EINVAL);
	ck_assert_int_eq(clite_filters_match(NULL, &flow), -EINVAL);
	ck_assert_str_eq(clite_filters_error(NULL), "");
	ck_assert_ptr_null(clite_filters_ref(NULL));
	ck_assert_ptr_null(clite_filters_unref(NULL));

	ck_assert_int_eq(clite_filters_new(&fs), 0);
	ck_assert_str_eq(clite_filters_error(fs), "");
	ck_assert_int_eq(clite_filters_add(fs, 0, NULL), -EINVAL);
	ck_assert_int_eq(clite_filters_add_json(fs, 0, NULL), -EINVAL);
	ck_assert_str_eq(clite_filters_error(fs), "json is NULL");
	ck_assert_int_eq(clite_filters_add(fs, CLITE_FILTER_ALLOW, &longer.filter), -EINVAL);
	ck_assert_ptr_nonnull(strstr(clite_filters_error(fs), "destination_port: 'dns'"));
	longer.filter.destination_port = ports;
	longer.tail = 1;
	ck_assert_int_eq(clite_filters_add(fs, CLITE_FILTER_ALLOW, &longer.filter), -EINVAL);
	longer.tail = 0;
	ck_assert_int_eq(clite_filters_add(fs, CLITE_FILTER_ALLOW, &longer.filter), 0);
	ck_assert_str_eq(clite_filters_error(fs), "");

	ck_assert_int_eq(clite_filters_match(fs, &flow), 1);
	e.destination_port = 54;
	ck_assert_int_eq(clite_filters_match(fs, &flow), 0);
	ck_assert_int_eq(clite_filters_match(fs, NULL), -EINVAL);
	flow.sz--;
	ck_assert_int_eq(clite_filters_match(fs, &flow), -EINVAL);
	flow.sz++;
	e.sz--;
	ck_assert_int_eq(clite_filters_match(fs, &flow), -EINVAL);
	e.sz++;

	ck_assert_ptr_eq(clite_filters_ref(fs), fs);
	ck_assert_ptr_null(clite_filters_unref(fs));
	ck_assert_int_eq(clite_filters_match(fs, &flow), 0);
#ifndef HAVE_YAML
	ck_assert_int_eq(clite_filters_add_json(fs, CLITE_FILTER_ALLOW, "{}"), -CLITE_EUNSUPPORTED);
#else
	ck_assert_int_eq(clite_filters_add_json(fs, 2, "{}"), -EINVAL);
	ck_assert_int_eq(clite_filters_add_json(fs, CLITE_FILTER_ALLOW, "{}"), 0);
	ck_assert_int_eq(clite_filters_match(fs, &flow), 1);
	ck_assert_int_eq(clite_filters_add_json(fs, CLITE_FILTER_DENY, "{}"), 0);
	ck_assert_int_eq(clite_filters_match(fs, &flow), 0);
#endif
	ck_assert_ptr_null(clite_filters_unref(fs));
}
END_TEST

START_TEST(validate)
{
	struct {
		struct clite_import_opts opts;
		uint64_t tail;
	} longer = { .opts = { .sz = sizeof(longer), .filename = "f.json" } };
	char text[256] = "";
	size_t len = sizeof(document) - 1;

#ifdef HAVE_YAML
	ck_assert_int_eq(clite_policy_validate(document, len, NULL, NULL, 0), 1);
	ck_assert_int_eq(clite_policy_validate(document, len, &longer.opts, text, sizeof(text)), 1);
	longer.opts.sz = offsetof(struct clite_import_opts, filename);
	ck_assert_int_eq(clite_policy_validate(document, len, &longer.opts, text, sizeof(text)), 1);
	longer.opts.sz = sizeof(longer);
	longer.tail = 1;
	ck_assert_int_eq(clite_policy_validate(document, len, &longer.opts, text, sizeof(text)),
			 -EINVAL);
	ck_assert_str_ne(text, "");
	longer.opts.sz = 0;
	ck_assert_int_eq(clite_policy_validate(document, len, &longer.opts, NULL, 0), -EINVAL);
	ck_assert_int_eq(clite_policy_validate(NULL, 1, NULL, NULL, 0), -EINVAL);
	ck_assert_int_eq(clite_policy_validate("{", 1, NULL, text, sizeof(text)), -CLITE_EDOCUMENT);
	ck_assert_msg(strstr(text, "<memory>:") != NULL, "%s", text);
	memset(text, 'x', sizeof(text));
	ck_assert_int_eq(clite_policy_validate("{", 1, NULL, text, 4), -CLITE_EDOCUMENT);
	ck_assert_uint_eq(strlen(text), 3);
#else
	(void)longer;
	ck_assert_int_eq(clite_policy_validate(document, len, NULL, text, sizeof(text)),
			 -CLITE_EUNSUPPORTED);
	ck_assert_msg(strstr(text, "libyaml") != NULL, "%s", text);
#endif
}
END_TEST

/* ---- with privileges: fixtures ----------------------------------------------- */

static struct clite_ctx *open_ephemeral(void)
{
	struct clite_open_opts opts = { .sz = sizeof(opts), .flags = CLITE_OPEN_EPHEMERAL };
	struct clite_ctx *ctx = NULL;
	char text[1024] = "";
	int r;

	opts.flows4 = opts.flows6 = 1024;
	opts.errbuf = text;
	opts.errbuf_size = sizeof(text);
	r = clite_open(NULL, &opts, &ctx);
	ck_assert_msg(r == 0, "%s: %s", clite_strerror(r), text);
	ck_assert_ptr_nonnull(ctx);
	return ctx;
}

static int open_named(const char *name, uint32_t flags, struct clite_ctx **ret)
{
	struct clite_open_opts opts = { .sz = sizeof(opts), .flags = flags, .bpffs = bpffs };

	opts.flows4 = opts.flows6 = 1024;
	return clite_open(name, &opts, ret);
}

static void command(const char *line)
{
	ck_assert_msg(system(line) == 0, "%s", line);
}

/* A network namespace of this test alone, with a veth pair: host, work. */
static void setup_devices(void)
{
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	command("ip link add host type veth peer name work");
	command("ip link set host up && ip link set work up");
}

static struct clite_ctx *ctx; /* of the fixture below */

static void setup(void)
{
	setup_devices();
	ctx = open_ephemeral();
}

static void teardown(void)
{
	ctx = clite_close(ctx);
}

static uint32_t add_endpoint(void)
{
	uint32_t id = 0;
	int r = clite_endpoint_add(ctx, "host", &endpoint_opts, &id);

	ck_assert_msg(r == 0, "%s: %s", clite_strerror(r), clite_error(ctx));
	ck_assert_uint_ge(id, 1);
	return id;
}

/* A UDP packet as the workload sends it. */
static void send_packet(void)
{
	static const uint8_t packet[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0,   0,   0,	  1,	8,  0, /* Ethernet */
		0x45, 0,    0,	  32,	0,    0,    0, 0, 64,  17,  0x66, 0x7d, 10, 9, 0,
		1,    10,   9,	  0,	99,				       /* IPv4 */
		4,    0,    0,	  53,	0,    12,   0, 0, 'd', 'a', 't',  'a', /* UDP, no checksum */
	};
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	to.sll_ifindex = (int)if_nametoindex("work");
	ck_assert_int_eq(sendto(fd, packet, sizeof(packet), 0, (void *)&to, sizeof(to)),
			 sizeof(packet));
	close(fd);
}

static int wait_and_dispatch(void)
{
	struct pollfd p = { .fd = clite_fd(ctx), .events = POLLIN };

	ck_assert_int_eq(poll(&p, 1, 5000), 1);
	return clite_dispatch(ctx, 0);
}

/* What a failed call leaves: a text that names the thing. */
#define ck_assert_error(call, code, word)                                                      \
	do {                                                                                   \
		int r_ = (call);                                                               \
		ck_assert_msg(r_ == -(code), "%s: %d (%s: %s)", #call, r_, clite_strerror(r_), \
			      clite_error(ctx));                                               \
		ck_assert_msg(strstr(clite_error(ctx), word) != NULL, "%s: '%s' lacks '%s'",   \
			      #call, clite_error(ctx), word);                                  \
	} while (0)

#define ck_assert_done(call)                                                                       \
	do {                                                                                       \
		int r_ = (call);                                                                   \
		ck_assert_msg(r_ >= 0, "%s: %s: %s", #call, clite_strerror(r_), clite_error(ctx)); \
	} while (0)

/* ---- contexts ------------------------------------------------------------------ */

START_TEST(open_options_of_other_sizes)
{
	struct {
		struct clite_open_opts opts;
		uint64_t tail;
	} longer = { .opts = { .sz = sizeof(longer), .flags = CLITE_OPEN_EPHEMERAL } };
	struct clite_ctx *c = UNTOUCHED;

	longer.tail = 1;
	ck_assert_int_eq(clite_open(NULL, &longer.opts, &c), -EINVAL);
	ck_assert_ptr_eq(c, UNTOUCHED);
	longer.tail = 0;
	ck_assert_int_eq(clite_open(NULL, &longer.opts, &c), 0);
	ck_assert_ptr_null(clite_close(c));

	/* An older program knew only the flags; what is behind is not read. */
	memset((char *)&longer + offsetof(struct clite_open_opts, flows4), 0xff,
	       sizeof(longer) - offsetof(struct clite_open_opts, flows4));
	longer.opts.sz = offsetof(struct clite_open_opts, flows4);
	ck_assert_int_eq(clite_open(NULL, &longer.opts, &c), 0);
	clite_close(c);
}
END_TEST

START_TEST(status_of_an_ephemeral_instance)
{
	const struct clite_status *s = NULL;

	ck_assert_str_eq(clite_name(ctx), "");
	ck_assert_str_eq(clite_error(ctx), "");
	ck_assert_done(clite_status(ctx, &s));
	ck_assert_uint_eq(s->sz, sizeof(*s));
	ck_assert_str_eq(s->path, "");
	ck_assert_uint_eq(s->ephemeral, 1);
	ck_assert_uint_eq(s->endpoints, 0);
	ck_assert_uint_ge(s->flows4_max, 1024);
	ck_assert_uint_gt(s->map_bytes, 0);
	ck_assert(!strcmp(s->attach, "tcx") || !strcmp(s->attach, "clsact"));
}
END_TEST

START_TEST(null_arguments)
{
	uint32_t id;

	ck_assert_int_eq(clite_status(ctx, NULL), -EINVAL);
	ck_assert_int_eq(clite_counter_list(ctx, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_metric_list(ctx, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_device_attach(ctx, NULL), -EINVAL);
	ck_assert_int_eq(clite_device_attach_opts(ctx, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_device_detach(ctx, NULL), -EINVAL);
	ck_assert_int_eq(clite_cgroup_attach(ctx, NULL), -EINVAL);
	ck_assert_int_eq(clite_cgroup_detach(ctx, NULL), -EINVAL);
	ck_assert_int_eq(clite_cgroup_list(ctx, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_conntrack_list(ctx, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_endpoint_add(ctx, NULL, &endpoint_opts, &id), -EINVAL);
	ck_assert_int_eq(clite_endpoint_add(ctx, "host", NULL, &id), -EINVAL);
	ck_assert_int_eq(clite_endpoint_get(ctx, 1, NULL), -EINVAL);
	ck_assert_int_eq(clite_endpoint_find(ctx, NULL, &id), -EINVAL);
	ck_assert_int_eq(clite_endpoint_find(ctx, "x", NULL), -EINVAL);
	ck_assert_int_eq(clite_endpoint_list(ctx, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_identity_get(ctx, 1, NULL), -EINVAL);
	ck_assert_int_eq(clite_identity_list(ctx, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_ipcache_set(ctx, NULL, 1), -EINVAL);
	ck_assert_int_eq(clite_ipcache_unset(ctx, NULL), -EINVAL);
	ck_assert_int_eq(clite_ipcache_get(ctx, NULL, &id), -EINVAL);
	ck_assert_int_eq(clite_ipcache_get(ctx, "192.0.2.1", NULL), -EINVAL);
	ck_assert_int_eq(clite_ipcache_list(ctx, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_txn_new(ctx, NULL), -EINVAL);
	ck_assert_int_eq(clite_policy_put(ctx, NULL, parts, 1), -EINVAL);
	ck_assert_int_eq(clite_policy_put(ctx, "a", NULL, 1), -EINVAL);
	ck_assert_int_eq(clite_policy_put(ctx, "a", parts, 0), -EINVAL);
	ck_assert_int_eq(
		clite_policy_put(ctx, "a", (const struct clite_policy_part *[]){ NULL }, 1),
		-EINVAL);
	ck_assert_int_eq(clite_policy_delete(ctx, NULL), -EINVAL);
	ck_assert_int_eq(clite_policy_get(ctx, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_policy_get(ctx, "a", NULL), -EINVAL);
	ck_assert_int_eq(clite_policy_list(ctx, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_rule_get(ctx, 1, NULL), -EINVAL);
	ck_assert_int_eq(clite_policy_entries(ctx, 0, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_service_update(ctx, NULL, &id), -EINVAL);
	ck_assert_int_eq(clite_service_get(ctx, 1, NULL), -EINVAL);
	ck_assert_int_eq(clite_service_list(ctx, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_subscribe(ctx, NULL, NULL, NULL, UNTOUCHED), -EINVAL);
	ck_assert_int_eq(clite_subscribe(ctx, NULL, on_event, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_event_text(ctx, NULL, NULL, 0), -EINVAL);
	ck_assert_int_eq(clite_event_json(ctx, NULL, NULL, 0), -EINVAL);
	ck_assert_int_eq(clite_sys_prog_fd(ctx, NULL), -EINVAL);
	ck_assert_int_eq(clite_sys_map_fd(ctx, NULL), -EINVAL);
#ifdef HAVE_YAML
	ck_assert_int_eq(clite_policy_import(ctx, NULL, 1, NULL), -EINVAL);
	ck_assert_int_eq(clite_service_import(ctx, NULL, 1, NULL), -EINVAL);
#endif
}
END_TEST

START_TEST(destroyed_context)
{
	struct clite_txn *txn = NULL;

	ck_assert_done(clite_txn_new(ctx, &txn));
	ck_assert_done(clite_txn_policy_put(txn, "a", parts, 1));
	ck_assert_done(clite_destroy(ctx));
	expect_all(ctx, -ESTALE);
	ck_assert_int_eq(clite_destroy(ctx), -ESTALE);
	ck_assert_int_eq(clite_txn_commit(txn), -ESTALE);
	ck_assert_str_ne(clite_error(ctx), "");
	clite_txn_free(txn);
}
END_TEST

/* In a child only closing works, and takes nothing from the parent. */
START_TEST(forked_context)
{
	struct clite_subscription *sub = NULL;
	struct clite_txn *txn = NULL;
	uint32_t id = add_endpoint();
	int status;
	pid_t pid;

	ck_assert_done(clite_txn_new(ctx, &txn));
	ck_assert_done(clite_subscribe(ctx, NULL, on_event, NULL, &sub));
	pid = fork();
	if (pid == 0) {
		uint64_t lost;

		for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
			if (calls[i].call(ctx) != -ECHILD)
				_exit(1 + (int)i);
		if (clite_destroy(ctx) != -ECHILD || clite_txn_commit(txn) != -ECHILD ||
		    clite_txn_policy_put(txn, "a", parts, 1) != -ECHILD ||
		    clite_txn_policy_delete(txn, "a") != -ECHILD)
			_exit(200);
		(void)lost;
		clite_unsubscribe(sub);
		clite_txn_free(txn);
		_exit(clite_close(ctx) ? 201 : 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_msg(WEXITSTATUS(status) == 0, "in the child: %s",
		      WEXITSTATUS(status) <= (int)ARRAY_SIZE(calls) ?
			      calls[WEXITSTATUS(status) - 1].name :
			      "destroy, transaction or close");

	/* The parent's is as before. */
	send_packet();
	ck_assert_int_ge(wait_and_dispatch(), 1);
	ck_assert_done(clite_endpoint_remove(ctx, id));
	clite_unsubscribe(sub);
	clite_txn_free(txn);
}
END_TEST

static int destroyed;

static void on_destroy(void *userdata)
{
	ck_assert_ptr_eq(userdata, &destroyed);
	destroyed++;
}

/* A child holds a reference on its parent. */
START_TEST(any_order_of_release)
{
	struct clite_subscribe_opts opts = { .sz = sizeof(opts), .destroy = on_destroy };
	struct clite_subscription *sub = NULL;
	struct clite_txn *txn = NULL;

	ck_assert_done(clite_txn_new(ctx, &txn));
	ck_assert_done(clite_subscribe(ctx, &opts, on_event, &destroyed, &sub));
	ck_assert_ptr_eq(clite_ref(ctx), ctx);
	ck_assert_ptr_null(clite_close(ctx));
	ck_assert_ptr_null(clite_close(ctx));
	ctx = NULL; /* the children still have it */
	ck_assert_int_eq(clite_txn_policy_put(txn, "a", parts, 1), 0);
	ck_assert_int_ge(clite_txn_commit(txn), 0);
	ck_assert_ptr_null(clite_txn_free(txn));
	ck_assert_int_eq(destroyed, 0);
	ck_assert_ptr_null(clite_unsubscribe(sub));
	ck_assert_int_eq(destroyed, 1);
}
END_TEST

START_TEST(two_contexts_side_by_side)
{
	struct clite_ctx *other = open_ephemeral();
	const struct clite_endpoint_info *info;
	uint32_t id = add_endpoint(), same = 0;

	ck_assert_int_eq(clite_endpoint_get(other, id, &info), -ENOENT);
	ck_assert_int_eq(clite_endpoint_add(other, "work", &endpoint_opts, &same), 0);
	ck_assert_str_eq(clite_error(ctx), "");
	ck_assert_int_eq(clite_destroy(other), 0);
	clite_close(other);
	ck_assert_done(clite_endpoint_get(ctx, id, &info));
}
END_TEST

START_TEST(probe_has_reasons)
{
	int n = 0;

	ck_assert_int_ge(clite_probe(on_feature, &n), 1);
	ck_assert_int_ge(n, 1);
}
END_TEST

START_TEST(sys_fds)
{
	ck_assert_int_ge(clite_sys_prog_fd(ctx, "from_endpoint"), 0);
	ck_assert_int_ge(clite_sys_prog_fd(ctx, "to_endpoint"), 0);
	ck_assert_int_ge(clite_sys_prog_fd(ctx, "from_netdev"), 0);
	ck_assert_int_ge(clite_sys_map_fd(ctx, "flow4"), 0);
	ck_assert_error(clite_sys_prog_fd(ctx, "nothing"), ENOENT, "nothing");
	ck_assert_error(clite_sys_map_fd(ctx, "nothing"), ENOENT, "nothing");
}
END_TEST

/* ---- named instances --------------------------------------------------------------- */

START_TEST(named_instance)
{
	struct clite_ctx *again = NULL;
	const struct clite_status *s;
	const struct clite_endpoint_info *info;
	int n = 0, status;
	pid_t pid;

	ck_assert_int_eq(open_named("api-test", 0, &ctx), -ENOENT);
	ck_assert_int_eq(open_named("api-test", CLITE_OPEN_CREATE | CLITE_OPEN_EXCLUSIVE, &ctx), 0);
	ck_assert_str_eq(clite_name(ctx), "api-test");
	ck_assert_int_eq(open_named("api-test", CLITE_OPEN_CREATE | CLITE_OPEN_EXCLUSIVE, &again),
			 -EEXIST);
	ck_assert_int_eq(clite_instance_list(bpffs, on_name, &n), 1);
	ck_assert_int_eq(n, 1);

	/* Another process, then another context of this one, see the same. */
	setup_devices();
	pid = fork();
	if (pid == 0) {
		if (open_named("api-test", 0, &again))
			_exit(1);
		if (clite_endpoint_add(again, "host", &endpoint_opts, NULL))
			_exit(2);
		clite_close(again);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_done(clite_endpoint_get(ctx, 1, &info));
	ck_assert_str_eq(info->name, "client");

	ctx = clite_close(ctx);
	ck_assert_int_eq(open_named("api-test", 0, &ctx), 0);
	ck_assert_int_eq(open_named("api-test", CLITE_OPEN_CREATE, &again), 0);
	ck_assert_done(clite_status(ctx, &s));
	ck_assert_uint_eq(s->endpoints, 1);
	ck_assert_uint_eq(s->ephemeral, 0);
	ck_assert_msg(strstr(s->path, bpffs) == s->path, "%s", s->path);

	ck_assert_done(clite_destroy(ctx));
	expect_all(ctx, -ESTALE);
	expect_all(again, -ESTALE);
	ctx = clite_close(ctx);
	clite_close(again);
	ck_assert_int_eq(clite_instance_list(bpffs, on_name, NULL), 0);
	ck_assert_int_eq(open_named("api-test", 0, &ctx), -ENOENT);
}
END_TEST

static struct clite_config config_of(struct clite_ctx *c)
{
	struct clite_config config = { .sz = sizeof(config) };

	ck_assert_int_eq(clite_config_get(c, &config), 0);
	return config;
}

/* Settings come with a new instance; one that is there keeps its own. */
START_TEST(settings_of_a_new_instance)
{
	struct clite_config config = { .sz = sizeof(config), .allow_localhost = 1, .audit = 1 };
	struct clite_open_opts opts = { .sz = sizeof(opts), .bpffs = bpffs, .config = &config };
	struct clite_ctx *again = NULL;
	const struct clite_endpoint_info *info;
	char text[256] = "";

	setup_devices();
	opts.flows4 = opts.flows6 = 1024;
	opts.flags = CLITE_OPEN_CREATE;
	opts.errbuf = text;
	opts.errbuf_size = sizeof(text);
	config.enforcement = 3;
	ck_assert_int_eq(clite_open("api-settings", &opts, &ctx), -EINVAL);
	ck_assert_str_eq(text, "enforcement 3: 0 default, 1 always or 2 never");
	config.enforcement = CLITE_ENFORCE_ALWAYS;
	config.sz = 3;
	ck_assert_int_eq(clite_open("api-settings", &opts, &ctx), -EINVAL);
	ck_assert_msg(strstr(text, "config: ") == text, "%s", text);
	config.sz = sizeof(config);
	ck_assert_int_eq(clite_instance_list(bpffs, on_name, NULL), 0);

	ck_assert_int_eq(clite_open("api-settings", &opts, &ctx), 0);
	ck_assert_mem_eq(&(struct clite_config[]){ config_of(ctx) }, &config, sizeof(config));
	ck_assert_done(clite_endpoint_add(ctx, "host", &endpoint_opts, &(uint32_t){ 0 }));
	ck_assert_done(clite_endpoint_get(ctx, 1, &info));
	ck_assert_uint_eq(info->egress_enforced + info->ingress_enforced, 2);

	config.enforcement = CLITE_ENFORCE_NEVER;
	ck_assert_int_eq(clite_open("api-settings", &opts, &again), 0);
	ck_assert_uint_eq(config_of(again).enforcement, CLITE_ENFORCE_ALWAYS);
	/* What one changes the other sees. */
	ck_assert_int_eq(clite_config_set(again, &config), 0);
	ck_assert_uint_eq(config_of(ctx).enforcement, CLITE_ENFORCE_NEVER);
	ck_assert_done(clite_endpoint_get(ctx, 1, &info));
	ck_assert_uint_eq(info->egress_enforced + info->ingress_enforced, 0);
	ck_assert_int_eq(clite_endpoint_set_audit(again, 1, 1), 0);
	clite_close(again);
	ctx = clite_close(ctx);
	ck_assert_int_eq(open_named("api-settings", 0, &ctx), 0);
	ck_assert_mem_eq(&(struct clite_config[]){ config_of(ctx) }, &config, sizeof(config));
	ck_assert_done(clite_endpoint_get(ctx, 1, &info));
	ck_assert_uint_eq(info->audit, 1);
	ck_assert_done(clite_destroy(ctx));
	ctx = clite_close(ctx);
}
END_TEST

/* A change that does not fit is none, here and for others. */
START_TEST(settings_that_do_not_fit)
{
	struct clite_config config = { .sz = sizeof(config), .enforcement = CLITE_ENFORCE_ALWAYS };
	struct clite_open_opts opts = { .sz = sizeof(opts), .bpffs = bpffs, .policies = 1 };
	const struct clite_endpoint_info *info;
	struct clite_ctx *again = NULL;

	setup_devices();
	opts.flags = CLITE_OPEN_CREATE;
	ck_assert_int_eq(clite_open("api-full", &opts, &ctx), 0);
	ck_assert_int_eq(clite_open("api-full", &opts, &again), 0);
	ck_assert_done(clite_endpoint_add(ctx, "host", &endpoint_opts, &(uint32_t){ 0 }));
	ck_assert_error(clite_config_set(ctx, &config), ENOSPC, "policies");
	ck_assert_uint_eq(config_of(ctx).enforcement, CLITE_ENFORCE_DEFAULT);
	ck_assert_uint_eq(config_of(again).enforcement, CLITE_ENFORCE_DEFAULT);
	ck_assert_done(clite_endpoint_get(again, 1, &info));
	ck_assert_uint_eq(info->egress_enforced + info->ingress_enforced, 0);
	config = (struct clite_config){ .sz = sizeof(config), .audit = 1 };
	ck_assert_done(clite_config_set(again, &config));
	ck_assert_uint_eq(config_of(ctx).enforcement, CLITE_ENFORCE_DEFAULT);
	ck_assert_uint_eq(config_of(ctx).audit, 1);
	clite_close(again);
	ck_assert_done(clite_destroy(ctx));
	ctx = clite_close(ctx);
}
END_TEST

START_TEST(unknown_layout)
{
	struct clite_open_opts opts = { .sz = sizeof(opts), .bpffs = bpffs };
	struct clite_ctx *again = UNTOUCHED;
	uint32_t *layout;
	uint32_t known;
	char text[256] = "";
	int fd;

	ck_assert_int_eq(open_named("api-layout", CLITE_OPEN_CREATE, &ctx), 0);
	fd = clite_sys_map_fd(ctx, "control");
	ck_assert_int_ge(fd, 0);
	layout = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(layout, MAP_FAILED);
	known = *layout;
	*layout = 4242;
	opts.errbuf = text;
	opts.errbuf_size = sizeof(text);
	ck_assert_int_eq(clite_open("api-layout", &opts, &again), -CLITE_ELAYOUT);
	ck_assert_ptr_eq(again, UNTOUCHED);
	ck_assert_msg(strstr(text, "layout") != NULL, "%s", text);
	*layout = known;
	munmap(layout, 4096);
	ck_assert_done(clite_destroy(ctx));
	ctx = clite_close(ctx);
}
END_TEST

START_TEST(no_bpffs)
{
	struct clite_open_opts opts = { .sz = sizeof(opts), .flags = CLITE_OPEN_CREATE };
	char text[256] = "";

	opts.bpffs = "/proc";
	opts.errbuf = text;
	opts.errbuf_size = sizeof(text);
	ck_assert_int_eq(clite_open("x", &opts, &ctx), -CLITE_ENOBPFFS);
	ck_assert_msg(strstr(text, "mount -t bpf") && strstr(text, "/proc"), "%s", text);
	ck_assert_ptr_null(ctx);
}
END_TEST

/* ---- endpoints, identities, ipcache -------------------------------------------------- */

START_TEST(endpoint_arguments)
{
	static const char *const bad_labels[] = { "=x", NULL };
	struct {
		struct clite_endpoint_opts opts;
		uint64_t tail;
	} longer = { .opts = endpoint_opts };
	struct clite_endpoint_opts *opts = &longer.opts;
	uint32_t id = UNTOUCHED_ID;

#define REFUSED(code, word) ck_assert_error(clite_endpoint_add(ctx, "host", opts, &id), code, word)
	longer.tail = 1;
	opts->sz = sizeof(longer);
	REFUSED(EINVAL, "");
	longer.tail = 0;
	opts->sz = 0;
	REFUSED(EINVAL, "");
	*opts = endpoint_opts;
	opts->ipv4 = opts->ipv6 = NULL;
	REFUSED(EINVAL, "address");
	opts->ipv4 = "10.9.0.300";
	REFUSED(EINVAL, "10.9.0.300");
	opts->ipv4 = "fd09::1";
	REFUSED(EINVAL, "fd09::1");
	opts->ipv4 = "10.9.0.1/24";
	REFUSED(EINVAL, "10.9.0.1/24");
	*opts = endpoint_opts;
	opts->ipv6 = "10.9.0.1";
	REFUSED(EINVAL, "10.9.0.1");
	*opts = endpoint_opts;
	opts->mac = "02:00:00";
	REFUSED(EINVAL, "02:00:00");
	*opts = endpoint_opts;
	opts->labels = bad_labels;
	REFUSED(EINVAL, "=x");
	*opts = endpoint_opts;
	opts->reserved = 1;
	REFUSED(EINVAL, "reserved");
	*opts = endpoint_opts;
	opts->id = 70000;
	REFUSED(EINVAL, "70000");
#undef REFUSED
	ck_assert_error(clite_endpoint_add(ctx, "nodevice0", &endpoint_opts, &id), ENODEV,
			"nodevice0");
	ck_assert_error(
		clite_endpoint_add(ctx, "a-name-much-too-long-for-a-device", &endpoint_opts, &id),
		ENODEV, "a-name-much-too-long");
	ck_assert_uint_eq(id, UNTOUCHED_ID);
	ck_assert_int_eq(clite_endpoint_list(ctx, on_endpoint, NULL), 0);

	/* A longer struct with a tail of zeros is a newer program's. */
	*opts = endpoint_opts;
	opts->sz = sizeof(longer);
	ck_assert_done(clite_endpoint_add(ctx, "host", opts, &id));
	ck_assert_uint_eq(id, 1);
}
END_TEST

START_TEST(endpoint_short_options)
{
	struct clite_endpoint_opts opts = endpoint_opts;
	const struct clite_endpoint_info *info;

	opts.sz = offsetof(struct clite_endpoint_opts, ipv6);
	opts.ipv6 = UNTOUCHED;
	opts.labels = UNTOUCHED;
	opts.mac = UNTOUCHED;
	opts.id = 77;
	ck_assert_done(clite_endpoint_add(ctx, "host", &opts, NULL));
	ck_assert_done(clite_endpoint_get(ctx, 1, &info));
	ck_assert_str_eq(info->ipv4, "10.9.0.1");
	ck_assert_str_eq(info->ipv6, "");
	ck_assert_str_eq(info->labels[0], "reserved:init");
}
END_TEST

static int stop_at_two(const struct clite_endpoint_info *info, void *data)
{
	++*(int *)data;
	return info->id == 2 ? -EINTR : 0;
}

START_TEST(endpoint_life)
{
	const struct clite_endpoint_info *info = UNTOUCHED;
	struct clite_endpoint_opts opts = { .sz = sizeof(opts), .ipv4 = "10.9.0.2" };
	uint32_t id = add_endpoint(), found = 0;
	int n = 0;

	ck_assert_done(clite_endpoint_get(ctx, id, &info));
	ck_assert_uint_ge(info->sz, sizeof(*info));
	ck_assert_str_eq(info->name, "client");
	ck_assert_str_eq(info->device, "host");
	ck_assert_str_eq(info->ipv4, "10.9.0.1");
	ck_assert_str_eq(info->ipv6, "fd09::1");
	ck_assert_str_eq(info->labels[0], "k8s:app=client");
	ck_assert_ptr_null(info->labels[1]);
	ck_assert_uint_ge(info->identity, CLITE_ID_FIRST);
	ck_assert_uint_eq(info->ifindex, if_nametoindex("host"));

	ck_assert_error(clite_endpoint_add(ctx, "host", &opts, NULL), EEXIST, "host");
	opts.ipv4 = "10.9.0.1";
	ck_assert_error(clite_endpoint_add(ctx, "work", &opts, NULL), EEXIST, "10.9.0.1");
	opts.ipv4 = "10.9.0.2";
	opts.id = id;
	ck_assert_error(clite_endpoint_add(ctx, "work", &opts, NULL), EEXIST, "1");
	opts.id = 0;
	opts.labels = no_labels;
	ck_assert_done(clite_endpoint_add(ctx, "work", &opts, NULL));

	ck_assert_done(clite_endpoint_find(ctx, "client", &found));
	ck_assert_uint_eq(found, id);
	ck_assert_done(clite_endpoint_find(ctx, "fd09::1", &found));
	ck_assert_uint_eq(found, id);
	ck_assert_done(clite_endpoint_find(ctx, "work", &found));
	ck_assert_uint_eq(found, 2);
	found = UNTOUCHED_ID;
	ck_assert_error(clite_endpoint_find(ctx, "stranger", &found), ENOENT, "stranger");
	ck_assert_uint_eq(found, UNTOUCHED_ID);

	ck_assert_int_eq(clite_endpoint_list(ctx, on_endpoint, &n), 2);
	ck_assert_int_eq(n, 2);
	n = 0;
	ck_assert_int_eq(clite_endpoint_list(ctx, stop_at_two, &n), -EINTR);
	ck_assert_int_eq(n, 2);

	ck_assert_done(clite_endpoint_remove(ctx, id));
	ck_assert_error(clite_endpoint_remove(ctx, id), ENOENT, "1");
	info = UNTOUCHED;
	ck_assert_int_eq(clite_endpoint_get(ctx, id, &info), -ENOENT);
	ck_assert_ptr_eq(info, UNTOUCHED);
	ck_assert_int_eq(clite_endpoint_get(ctx, 0, &info), -ENOENT);
	ck_assert_int_eq(clite_endpoint_get(ctx, UINT32_MAX, &info), -ENOENT);
}
END_TEST

START_TEST(identities)
{
	const struct clite_identity_info *info = UNTOUCHED;
	const struct clite_endpoint_info *e;
	uint32_t endpoint = add_endpoint(), identity;
	int n = 0;

	ck_assert_done(clite_endpoint_get(ctx, endpoint, &e));
	identity = e->identity;
	ck_assert_done(clite_identity_get(ctx, identity, &info));
	ck_assert_uint_eq(info->endpoints, 1);
	ck_assert_str_eq(info->labels[0], "k8s:app=client");
	ck_assert_done(clite_identity_get(ctx, CLITE_ID_WORLD, &info));
	ck_assert_str_eq(info->labels[0], "reserved:world");
	info = UNTOUCHED;
	ck_assert_error(clite_identity_get(ctx, 4000000, &info), ENOENT, "4000000");
	ck_assert_ptr_eq(info, UNTOUCHED);
	ck_assert_int_ge(clite_identity_list(ctx, on_identity, &n), 11);
	ck_assert_int_ge(n, 11);
}
END_TEST

START_TEST(ipcache)
{
	uint32_t identity = 0;
	int before, n = 0;

	add_endpoint();
	before = clite_ipcache_list(ctx, on_ipcache, NULL);
	ck_assert_int_ge(before, 2);
	ck_assert_error(clite_ipcache_set(ctx, "nonsense", CLITE_ID_HOST), EINVAL, "nonsense");
	ck_assert_error(clite_ipcache_set(ctx, "192.0.2.1/24", CLITE_ID_HOST), EINVAL,
			"192.0.2.1/24");
	ck_assert_error(clite_ipcache_set(ctx, "192.0.2.0/24", 99999), ENOENT, "99999");
	ck_assert_error(clite_ipcache_set(ctx, "10.9.0.1", CLITE_ID_HOST), EEXIST, "10.9.0.1");
	ck_assert_error(clite_ipcache_unset(ctx, "192.0.2.0/24"), ENOENT, "192.0.2.0/24");
	ck_assert_int_eq(clite_ipcache_list(ctx, on_ipcache, &n), before);
	ck_assert_int_eq(n, before);

	ck_assert_done(clite_ipcache_set(ctx, "192.0.2.0/24", CLITE_ID_REMOTE_NODE));
	ck_assert_done(clite_ipcache_get(ctx, "192.0.2.77", &identity));
	ck_assert_uint_eq(identity, CLITE_ID_REMOTE_NODE);
	ck_assert_done(clite_ipcache_unset(ctx, "192.0.2.0/24"));
	ck_assert_done(clite_ipcache_get(ctx, "192.0.2.77", &identity));
	ck_assert_uint_ne(identity, CLITE_ID_REMOTE_NODE);
	identity = UNTOUCHED_ID;
	ck_assert_error(clite_ipcache_get(ctx, "192.0.2.0/24", &identity), EINVAL, "192.0.2.0/24");
	ck_assert_uint_eq(identity, UNTOUCHED_ID);
}
END_TEST

START_TEST(devices)
{
	ck_assert_error(clite_device_attach(ctx, "nodevice0"), ENODEV, "nodevice0");
	ck_assert_error(clite_device_detach(ctx, "host"), ENOENT, "host");
	add_endpoint();
	ck_assert_error(clite_device_attach(ctx, "host"), EEXIST, "host");
	ck_assert_done(clite_device_attach(ctx, "work"));
	ck_assert_error(clite_device_attach(ctx, "work"), EEXIST, "work");
	ck_assert_done(clite_device_detach(ctx, "work"));
	ck_assert_error(clite_device_detach(ctx, "work"), ENOENT, "work");
}
END_TEST

/* Attached ones are in tests/integration. */
START_TEST(cgroups)
{
	ck_assert_error(clite_cgroup_attach(ctx, "/nothing"), ENOENT, "/nothing");
	ck_assert_error(clite_cgroup_attach(ctx, "/dev/null"), ENOTDIR, "/dev/null");
	ck_assert_error(clite_cgroup_attach(ctx, "/proc"), EINVAL, "version 2");
	ck_assert_error(clite_cgroup_detach(ctx, "/nothing"), ENOENT, "/nothing");
	ck_assert_int_eq(clite_cgroup_list(ctx, on_cgroup, NULL), 0);
}
END_TEST

START_TEST(device_options)
{
	static const struct clite_device_opts good = {
		.sz = sizeof(good), .flags = CLITE_DEVICE_XDP_GENERIC, .flows4 = 64, .flows6 = 64,
		.source4 = "10.0.0.0/8", .source6 = "fd00::1",
	};
	struct clite_device_opts opts = { .sz = sizeof(opts), .flags = 8 };
	const struct clite_status *s;
	uint64_t bytes;

#define REFUSED(code, word) ck_assert_error(clite_device_attach_opts(ctx, "host", &opts), code, word)
	REFUSED(EINVAL, "0x8");
	opts = good;
	opts.sz = 1;
	REFUSED(EINVAL, "");
	opts = good;
	opts.flows4 = UINT32_MAX;
	REFUSED(EINVAL, "flows4");
	opts = good;
	opts.flows6 = UINT32_MAX;
	REFUSED(EINVAL, "flows6");
	opts = good;
	opts.reserved = 1;
	REFUSED(EINVAL, "reserved");
	opts = good;
	opts.source4 = "fd00::1";
	REFUSED(EINVAL, "source4");
	opts = good;
	opts.source4 = "10.0.0.1/8";
	REFUSED(EINVAL, "source4");
	opts = good;
	opts.source6 = "nowhere";
	REFUSED(EINVAL, "source6");
#undef REFUSED
	ck_assert_error(clite_sys_prog_fd(ctx, "from_xdp"), ENOENT, "from_xdp");
	ck_assert_error(clite_sys_map_fd(ctx, "cache4"), ENOENT, "cache4");
	ck_assert_done(clite_status(ctx, &s));
	ck_assert_uint_eq(s->devices, 0);
	bytes = s->map_bytes;

	ck_assert_done(clite_device_attach_opts(ctx, "host", &good));
	ck_assert_error(clite_device_attach_opts(ctx, "host", &good), EEXIST, "host");
	opts = (struct clite_device_opts){ .sz = sizeof(opts), .flags = CLITE_DEVICE_XDP };
	ck_assert_done(clite_device_attach_opts(ctx, "work", &opts));
	ck_assert_int_ge(clite_sys_prog_fd(ctx, "from_xdp"), 0);
	ck_assert_done(clite_status(ctx, &s));
	ck_assert_uint_eq(s->devices, 2);
	ck_assert_uint_eq(s->xdp_generic, 1);
	ck_assert_uint_eq(s->xdp_native, 1);
	ck_assert_uint_gt(s->map_bytes, bytes);
	ck_assert_done(clite_device_detach(ctx, "host"));
	ck_assert_done(clite_device_detach(ctx, "work"));
	ck_assert_done(clite_device_attach_opts(ctx, "work", NULL));
	ck_assert_done(clite_status(ctx, &s));
	ck_assert_uint_eq(s->devices, 1);
	ck_assert_uint_eq(s->xdp_generic + s->xdp_native, 0);
}
END_TEST

/* ---- policies ------------------------------------------------------------------------ */

/* Put a policy of one rule that is wrong. */
static int put_rule(const struct clite_rule *rule)
{
	const struct clite_rule *const rules[] = { rule };
	struct clite_policy_part p = part;
	const struct clite_policy_part *const list[] = { &p };

	p.rules = rules;
	return clite_policy_put(ctx, "wrong", list, 1);
}

START_TEST(policy_arguments)
{
	static const struct clite_requirement requirement = { .key = "", .op = CLITE_OP_EXISTS };
	static const struct clite_requirement op = { .key = "app", .op = 99 };
	static const struct clite_selector no_key = { &requirement, 1 }, bad_op = { &op, 1 };
	struct {
		struct clite_rule rule;
		uint64_t tail;
	} longer = { .rule = { .sz = sizeof(longer), .direction = CLITE_INGRESS } };
	struct clite_rule *rule = &longer.rule;
	struct clite_peer peer = { .kind = CLITE_PEER_CIDR, .cidr = "10.0.0.0/8" };
	struct clite_port port = { .protocol = IPPROTO_TCP, .port = 80 };
	struct clite_policy_part p = part;
	const struct clite_policy_part *const list[] = { &p };
	char name[257];

	longer.tail = 1;
	ck_assert_error(put_rule(rule), EINVAL, "");
	longer.tail = 0;
	rule->direction = 3;
	ck_assert_error(put_rule(rule), EINVAL, "direction");
	rule->direction = CLITE_EGRESS;
	rule->action = 2;
	ck_assert_error(put_rule(rule), EINVAL, "action");
	rule->action = CLITE_DENY;

	rule->peers = &peer;
	rule->npeers = 1;
	peer.cidr = "10.0.0.1/8";
	ck_assert_error(put_rule(rule), EINVAL, "10.0.0.1/8");
	peer.cidr = NULL;
	ck_assert_error(put_rule(rule), EINVAL, "");
	peer.cidr = "10.0.0.0/8";
	peer.except = (const char *const[]){ "192.0.2.0/24", NULL };
	ck_assert_error(put_rule(rule), EINVAL, "192.0.2.0/24");
	peer.except = NULL;
	peer.reserved = 1;
	ck_assert_error(put_rule(rule), EINVAL, "");
	peer.reserved = 0;
	peer.kind = 9;
	ck_assert_error(put_rule(rule), EINVAL, "");
	peer.kind = CLITE_PEER_ENTITY;
	peer.cidr = NULL;
	peer.entity = "martians";
	ck_assert_error(put_rule(rule), EINVAL, "martians");
	peer.kind = CLITE_PEER_ENDPOINTS;
	peer.entity = NULL;
	peer.selector = &no_key;
	ck_assert_error(put_rule(rule), EINVAL, "");
	peer.selector = &bad_op;
	ck_assert_error(put_rule(rule), EINVAL, "");
	rule->peers = NULL;
	rule->npeers = 1;
	ck_assert_error(put_rule(rule), EINVAL, "");
	rule->npeers = 0;

	rule->ports = &port;
	rule->nports = 1;
	port.end_port = 79;
	ck_assert_error(put_rule(rule), EINVAL, "79");
	port.end_port = 0;
	port.protocol = 47;
	ck_assert_error(put_rule(rule), EINVAL, "47");
	rule->ports = NULL;
	ck_assert_error(put_rule(rule), EINVAL, "");

	p.default_deny_ingress = 3;
	ck_assert_error(clite_policy_put(ctx, "wrong", list, 1), EINVAL, "");
	p = part;
	p.sz = 3;
	ck_assert_error(clite_policy_put(ctx, "wrong", list, 1), EINVAL, "");
	ck_assert_error(clite_policy_put(ctx, "", parts, 1), EINVAL, "name");
	ck_assert_error(clite_policy_put(ctx, "a\nb", parts, 1), EINVAL, "name");
	memset(name, 'n', 256);
	name[256] = '\0';
	ck_assert_error(clite_policy_put(ctx, name, parts, 1), EINVAL, "name");
	ck_assert_int_eq(clite_policy_list(ctx, on_policy, NULL), 0);
	name[255] = '\0';
	ck_assert_done(clite_policy_put(ctx, name, parts, 1));
}
END_TEST

START_TEST(policy_life)
{
	const struct clite_policy_info *info = UNTOUCHED;
	uint32_t endpoint = add_endpoint();
	const struct clite_endpoint_info *e;
	int n = 0;

	ck_assert_done(clite_policy_put(ctx, "b", parts, 1));
	ck_assert_done(clite_policy_put(ctx, "a", parts, 1));
	ck_assert_done(clite_policy_put(ctx, "b", parts, 1));
	ck_assert_int_eq(clite_policy_list(ctx, on_policy, &n), 2);
	ck_assert_int_eq(n, 2);
	ck_assert_done(clite_policy_get(ctx, "a", &info));
	ck_assert_str_eq(info->name, "a");
	ck_assert_str_eq(info->filename, "");
	ck_assert_uint_eq(info->rules, 1);
	ck_assert_uint_eq(info->endpoints, 1);
	ck_assert_int_eq(info->text[0], '{');
	ck_assert_done(clite_endpoint_get(ctx, endpoint, &e));
	ck_assert_uint_eq(e->ingress_enforced, 1);
	ck_assert_uint_eq(e->egress_enforced, 0);
	ck_assert_int_ge(clite_policy_entries(ctx, endpoint, on_policy_entry, NULL), 1);
	ck_assert_error(clite_policy_entries(ctx, 4000, on_policy_entry, NULL), ENOENT, "4000");

	ck_assert_done(clite_policy_delete(ctx, "a"));
	ck_assert_error(clite_policy_delete(ctx, "a"), ENOENT, "a");
	info = UNTOUCHED;
	ck_assert_error(clite_policy_get(ctx, "a", &info), ENOENT, "a");
	ck_assert_ptr_eq(info, UNTOUCHED);
}
END_TEST

START_TEST(transaction)
{
	const struct clite_policy_info *info;
	struct clite_txn *txn = NULL;

	ck_assert_done(clite_txn_new(ctx, &txn));
	ck_assert_done(clite_txn_policy_put(txn, "a", parts, 1));
	ck_assert_done(clite_txn_policy_put(txn, "b", parts, 1));
	ck_assert_done(clite_txn_policy_delete(txn, "a"));
	ck_assert_error(clite_txn_policy_delete(txn, "a"), ENOENT, "a");
	ck_assert_error(clite_txn_policy_put(txn, "", parts, 1), EINVAL, "name");
	/* Nothing before the commit. */
	ck_assert_int_eq(clite_policy_get(ctx, "b", &info), -ENOENT);
	ck_assert_int_gt(clite_txn_commit(txn), 0);
	ck_assert_int_eq(clite_policy_get(ctx, "a", &info), -ENOENT);
	ck_assert_done(clite_policy_get(ctx, "b", &info));

	/* It is empty now and may be used again; what is not committed is dropped. */
	ck_assert_done(clite_txn_policy_delete(txn, "b"));
	clite_txn_free(txn);
	ck_assert_done(clite_policy_get(ctx, "b", &info));
}
END_TEST

#ifdef HAVE_YAML
START_TEST(import)
{
	struct clite_import_opts opts = { .sz = sizeof(opts), .filename = "net.json" };
	const struct clite_policy_info *info;
	const struct clite_rule_info *rule;
	static const char two[] =
		"{\"kind\": \"CiliumNetworkPolicy\", \"apiVersion\": \"cilium.io/v2\","
		" \"metadata\": {\"name\": \"x\"}, \"spec\": {\"ingress\": [{}],"
		" \"endpointSelector\": {}}}\n---\n"
		"{\"kind\": \"Pod\"}\n";

	ck_assert_int_eq(clite_policy_import(ctx, document, sizeof(document) - 1, &opts), 1);
	ck_assert_done(clite_policy_get(ctx, "document", &info));
	ck_assert_str_eq(info->filename, "net.json");
	ck_assert_msg(strstr(info->text, "endpointSelector") != NULL, "%s", info->text);
	ck_assert_done(clite_rule_get(ctx, 1, &rule));
	ck_assert_str_eq(rule->policy, "document");
	ck_assert_uint_eq(rule->direction, CLITE_INGRESS);
	ck_assert_uint_eq(rule->line, 1);

	/* A stream is read whole or not at all. */
	ck_assert_int_lt(clite_policy_import(ctx, two, sizeof(two) - 1, &opts), 0);
	ck_assert_msg(strstr(clite_error(ctx), "net.json:3") != NULL, "%s", clite_error(ctx));
	ck_assert_int_eq(clite_policy_get(ctx, "x", &info), -ENOENT);
	opts.sz = 1;
	ck_assert_error(clite_policy_import(ctx, document, sizeof(document) - 1, &opts), EINVAL,
			"");
}
END_TEST

/* A NetworkPolicy and a CiliumNetworkPolicy of one name are two objects in Kubernetes. Here
 * one would be lost: that is said. */
START_TEST(kinds_do_not_replace_each_other)
{
	static const char k8s[] =
		"{kind: NetworkPolicy, apiVersion: networking.k8s.io/v1,"
		" metadata: {name: web, namespace: shop}, spec: {podSelector: {}}}";
	static const char cnp[] =
		"{kind: CiliumNetworkPolicy, apiVersion: cilium.io/v2,"
		" metadata: {name: web, namespace: shop},"
		" spec: {endpointSelector: {}, egress: [{}]}}";
	struct clite_import_opts opts = { .sz = sizeof(opts), .filename = "a.yaml" };
	const struct clite_policy_info *info;
	struct clite_txn *txn;

	ck_assert_int_eq(clite_policy_import(ctx, k8s, strlen(k8s), &opts), 1);
	opts.filename = "b.yaml";
	ck_assert_error(clite_policy_import(ctx, cnp, strlen(cnp), &opts), EEXIST,
			"b.yaml: the CiliumNetworkPolicy 'shop/web' would replace the NetworkPolicy of that name (a.yaml)");
	ck_assert_done(clite_policy_get(ctx, "shop/web", &info));
	ck_assert_str_eq(info->filename, "a.yaml");
	/* the same kind is an update; and what is deleted is not lost by mistake */
	ck_assert_int_eq(clite_policy_import(ctx, k8s, strlen(k8s), &opts), 1);
	ck_assert_done(clite_txn_new(ctx, &txn));
	ck_assert_done(clite_txn_policy_delete(txn, "shop/web"));
	ck_assert_int_eq(clite_txn_policy_import(txn, cnp, strlen(cnp), &opts), 1);
	ck_assert_error(clite_txn_policy_import(txn, k8s, strlen(k8s), &opts), EEXIST,
			"is in the transaction already as the CiliumNetworkPolicy of b.yaml");
	ck_assert_int_gt(clite_txn_commit(txn), 0);
	clite_txn_free(txn);
	ck_assert_done(clite_policy_get(ctx, "shop/web", &info));
	ck_assert_ptr_nonnull(strstr(info->text, "CiliumNetworkPolicy"));
}
END_TEST
#else
START_TEST(import)
{
	ck_assert_error(clite_policy_import(ctx, document, sizeof(document) - 1, NULL),
			CLITE_EUNSUPPORTED, "libyaml");
}
END_TEST
#endif

/* ---- services ------------------------------------------------------------------------- */

START_TEST(service_arguments)
{
	struct clite_backend b[2] = { { .address = "10.9.0.1", .port = 80 },
				      { .address = "10.9.0.2", .port = 80 } };
	struct {
		struct clite_service_opts opts;
		uint64_t tail;
	} longer = { .opts = service_opts };
	struct clite_service_opts *opts = &longer.opts;
	uint32_t id = UNTOUCHED_ID;

#define REFUSED(code, word) ck_assert_error(clite_service_update(ctx, opts, &id), code, word)
	longer.tail = 1;
	opts->sz = sizeof(longer);
	REFUSED(EINVAL, "");
	longer.tail = 0;
	opts->sz = 1;
	REFUSED(EINVAL, "");
	*opts = service_opts;
	opts->address = NULL;
	REFUSED(EINVAL, "address");
	opts->address = "10.96.0.0/16";
	REFUSED(EINVAL, "10.96.0.0/16");
	*opts = service_opts;
	opts->port = 0;
	REFUSED(EINVAL, "port");
	*opts = service_opts;
	opts->protocol = 1;
	REFUSED(EINVAL, "protocol");
	*opts = service_opts;
	opts->algorithm = 9;
	REFUSED(EINVAL, "algorithm");
	*opts = service_opts;
	opts->mode = CLITE_MODE_GUE + 1;
	REFUSED(EINVAL, "mode");
	opts->mode = CLITE_MODE_IPIP; /* the back end has another port */
	REFUSED(EINVAL, "8080");
	*opts = service_opts;
	opts->kind = 6;
	REFUSED(EINVAL, "kind 6 is none");
	*opts = service_opts;
	opts->reserved = 1;
	REFUSED(EINVAL, "reserved");
	*opts = service_opts;
	opts->backends = NULL;
	REFUSED(EINVAL, "");
	opts->backends = b;
	opts->nbackends = 2;
	b[1].address = "fd09::1";
	REFUSED(EINVAL, "fd09::1");
	b[1].address = NULL;
	REFUSED(EINVAL, "");
	b[1].address = "10.9.0.2";
	b[1].state = 9;
	REFUSED(EINVAL, "state");
#undef REFUSED
	ck_assert_uint_eq(id, UNTOUCHED_ID);
	ck_assert_int_eq(clite_service_list(ctx, on_service, NULL), 0);
}
END_TEST

START_TEST(service_life)
{
	struct clite_service_opts opts = service_opts;
	const struct clite_service_info *info = UNTOUCHED;
	uint32_t id = 0, again = 0;
	int n = 0;

	opts.name = "default/web";
	ck_assert_done(clite_service_update(ctx, &opts, &id));
	ck_assert_uint_eq(id, 1);
	ck_assert_done(clite_service_get(ctx, id, &info));
	ck_assert_str_eq(info->address, "10.96.0.1");
	ck_assert_str_eq(info->name, "default/web");
	ck_assert_uint_eq(info->protocol, IPPROTO_TCP);
	ck_assert_uint_eq(info->algorithm, CLITE_LB_RANDOM);
	ck_assert_uint_eq(info->port, 80);
	ck_assert_uint_eq(info->nbackends, 1);
	ck_assert_str_eq(info->backends[0].address, "10.9.0.1");
	ck_assert_uint_eq(info->backends[0].port, 8080);

	/* The same front end is the same service. */
	opts.algorithm = CLITE_LB_MAGLEV;
	opts.nbackends = 0;
	ck_assert_done(clite_service_update(ctx, &opts, &again));
	ck_assert_uint_eq(again, id);
	ck_assert_done(clite_service_get(ctx, id, &info));
	ck_assert_uint_eq(info->algorithm, CLITE_LB_MAGLEV);
	ck_assert_uint_eq(info->nbackends, 0);
	opts.port = 81;
	opts.id = id;
	ck_assert_error(clite_service_update(ctx, &opts, &again), EEXIST, "1");
	opts.id = 9;
	ck_assert_done(clite_service_update(ctx, &opts, &again));
	ck_assert_uint_eq(again, 9);
	ck_assert_int_eq(clite_service_list(ctx, on_service, &n), 2);
	ck_assert_int_eq(n, 2);

	ck_assert_done(clite_service_delete(ctx, id));
	ck_assert_error(clite_service_delete(ctx, id), ENOENT, "1");
	info = UNTOUCHED;
	ck_assert_int_eq(clite_service_get(ctx, id, &info), -ENOENT);
	ck_assert_ptr_eq(info, UNTOUCHED);
}
END_TEST

/* ---- events ---------------------------------------------------------------------------- */

START_TEST(subscribe_arguments)
{
	struct {
		struct clite_subscribe_opts opts;
		uint64_t tail;
	} longer = { .opts = { .sz = sizeof(longer), .destroy = on_destroy } };
	struct clite_subscribe_opts *opts = &longer.opts;
	struct clite_subscription *sub = UNTOUCHED;

#define REFUSED ck_assert_error(clite_subscribe(ctx, opts, on_event, &destroyed, &sub), EINVAL, "")
	longer.tail = 1;
	REFUSED;
	longer.tail = 0;
	opts->sz = 2;
	REFUSED;
	opts->sz = sizeof(longer);
	opts->ring_bytes = 5000;
	REFUSED;
	opts->ring_bytes = 2048;
	REFUSED;
	opts->ring_bytes = 0;
	opts->aggregation = 2;
	REFUSED;
	opts->aggregation = 0;
	opts->types = 1u << 30;
	REFUSED;
	opts->types = 0;
	opts->capture_bytes = 16385;
	REFUSED;
	opts->capture_bytes = 1500;
	opts->ring_bytes = 4096;
	REFUSED;
	opts->ring_bytes = 8192;
#undef REFUSED
	ck_assert_ptr_eq(sub, UNTOUCHED);
	ck_assert_int_eq(destroyed, 0);
	ck_assert_done(clite_subscribe(ctx, opts, on_event, &destroyed, &sub));
	clite_unsubscribe(sub);
	ck_assert_int_eq(destroyed, 1);
}
END_TEST

START_TEST(subscriber_slots)
{
	struct clite_subscription *subs[8], *more = UNTOUCHED;
	const struct clite_status *s;
	uint64_t lost = 1;

	for (size_t i = 0; i < ARRAY_SIZE(subs); i++)
		ck_assert_done(clite_subscribe(ctx, NULL, on_event, NULL, &subs[i]));
	ck_assert_error(clite_subscribe(ctx, NULL, on_event, NULL, &more), ENOSPC, "8");
	ck_assert_ptr_eq(more, UNTOUCHED);
	ck_assert_done(clite_status(ctx, &s));
	ck_assert_uint_eq(s->subscribers, 8);
	ck_assert_int_eq(clite_subscription_lost(subs[0], NULL), -EINVAL);
	ck_assert_int_eq(clite_subscription_lost(subs[0], &lost), 0);
	ck_assert_uint_eq(lost, 0);
	clite_unsubscribe(subs[3]);
	ck_assert_done(clite_subscribe(ctx, NULL, on_event, NULL, &subs[3]));
	for (size_t i = 0; i < ARRAY_SIZE(subs); i++)
		clite_unsubscribe(subs[i]);
	ck_assert_done(clite_status(ctx, &s));
	ck_assert_uint_eq(s->subscribers, 0);
}
END_TEST

/* May do what the header says, and may not dispatch. */
static int busy_callback(const struct clite_event *e, void *data)
{
	char text[16];
	int n = clite_event_text(ctx, e, text, sizeof(text));

	++*(int *)data;
	ck_assert_int_gt(n, 0);
	ck_assert_uint_eq(strlen(text), sizeof(text) - 1);
	ck_assert_int_eq(clite_event_text(ctx, e, NULL, 0), n);
	ck_assert_int_gt(clite_event_json(ctx, e, NULL, 0), n);
	ck_assert_int_eq(clite_dispatch(ctx, 0), -EDEADLK);
	return -EINTR;
}

START_TEST(dispatch)
{
	struct clite_subscribe_opts opts = { .sz = sizeof(opts),
					     .aggregation = CLITE_AGGREGATE_NONE + 1 };
	struct clite_subscription *busy = NULL, *quiet = NULL;
	int nbusy = 0, nquiet = 0, r;

	add_endpoint();
	ck_assert_int_ge(clite_fd(ctx), 0);
	ck_assert_int_eq(clite_dispatch(ctx, 0), 0);
	ck_assert_done(clite_subscribe(ctx, &opts, busy_callback, &nbusy, &busy));
	ck_assert_done(clite_subscribe(ctx, &opts, on_event, &nquiet, &quiet));
	ck_assert_int_eq(clite_dispatch(ctx, 0), 0);

	for (int i = 0; i < 3; i++)
		send_packet();
	/* A negative return comes out; the record counts, the rest stays. */
	ck_assert_int_eq(wait_and_dispatch(), -EINTR);
	ck_assert_int_eq(nbusy, 1);
	while ((r = clite_dispatch(ctx, 1)) != 0)
		ck_assert(r == 1 || r == -EINTR);
	ck_assert_int_ge(nbusy, 3);
	ck_assert_int_eq(nquiet, nbusy);
	clite_unsubscribe(busy);
	clite_unsubscribe(quiet);
}
END_TEST

/* A set with one filter in one of the lists. */
static struct clite_filters *filters_of(uint32_t list, const struct clite_flow_filter *filter)
{
	struct clite_filters *fs = NULL;

	ck_assert_int_eq(clite_filters_new(&fs), 0);
	ck_assert_msg(clite_filters_add(fs, list, filter) == 0, "%s", clite_filters_error(fs));
	return fs;
}

/* Each subscription gets what passes its filters, also by names that came after it. */
START_TEST(subscribe_filters)
{
	const char *const client[] = { "client", NULL }, *const other[] = { "other", NULL };
	const char *const port[] = { "53", NULL }, *const label[] = { "k8s:app=client", NULL };
	const uint32_t ingress[] = { CLITE_INGRESS };
	const struct clite_flow_filter filters[] = {
		{ .sz = sizeof(*filters), .source_pod = client, .destination_port = port },
		{ .sz = sizeof(*filters), .source_label = label },
		{ .sz = sizeof(*filters), .source_pod = other },
		{ .sz = sizeof(*filters), .direction = ingress, .ndirection = 1 },
		{ .sz = sizeof(*filters) },
	};
	struct clite_subscribe_opts opts = { .sz = sizeof(opts),
					     .types = 1u << CLITE_EVENT_TRACE,
					     .aggregation = CLITE_AGGREGATE_NONE + 1 };
	struct clite_subscription *subs[ARRAY_SIZE(filters)][2];
	int n[ARRAY_SIZE(filters)][2] = {};
	struct clite_ctx *again = NULL;

	setup_devices();
	ck_assert_int_eq(open_named("filters", CLITE_OPEN_CREATE, &ctx), 0);
	for (size_t i = 0; i < 3; i++)
		for (uint32_t list = 0; list < 2; list++) {
			opts.filters = filters_of(list, &filters[i]);
			ck_assert_done(
				clite_subscribe(ctx, &opts, on_event, &n[i][list], &subs[i][list]));
			/* The subscription has a reference, and the set does not change. */
			ck_assert_int_eq(clite_filters_add(opts.filters, 0, &filters[4]), -EBUSY);
			clite_filters_unref(opts.filters);
		}
	opts.filters = filters_of(CLITE_FILTER_ALLOW, &filters[3]);
	ck_assert_done(clite_subscribe(ctx, &opts, on_event, &n[3][0], &subs[3][0]));
	clite_filters_unref(opts.filters);
	opts.filters = NULL;
	ck_assert_done(clite_subscribe(ctx, &opts, on_event, &n[4][0], &subs[4][0]));

	ck_assert_int_eq(open_named("filters", 0, &again), 0);
	ck_assert_int_eq(clite_endpoint_add(again, "host", &endpoint_opts, NULL), 0);
	for (int i = 0; i < 3; i++)
		send_packet();
	while (n[4][0] < 3)
		wait_and_dispatch();
	while (clite_dispatch(ctx, 0) > 0)
		;
	ck_assert_int_eq(n[0][0], n[4][0]);
	ck_assert_int_eq(n[0][1], 0);
	ck_assert_int_eq(n[1][0], n[4][0]);
	ck_assert_int_eq(n[1][1], 0);
	ck_assert_int_eq(n[2][0], 0);
	ck_assert_int_eq(n[2][1], n[4][0]);
	ck_assert_int_eq(n[3][0], 0);
	for (size_t i = 0; i < 3; i++)
		for (size_t list = 0; list < 2; list++)
			clite_unsubscribe(subs[i][list]);
	clite_unsubscribe(subs[3][0]);
	clite_unsubscribe(subs[4][0]);
	clite_close(again);
	ck_assert_done(clite_destroy(ctx));
}
END_TEST

/* Names of a flow are those of now: what finds them follows each change. */
START_TEST(names_follow)
{
	struct clite_event e = {
		.sz = sizeof(e),
		.type = CLITE_EVENT_TRACE,
		.family = 4,
		.protocol = 6,
		.has_ports = 1,
		.destination = { 10, 96, 0, 1 },
		.destination_port = 80,
		.direction = CLITE_INGRESS,
		.source_file = "",
		.verdict = CLITE_VERDICT_FORWARDED,
	};
	struct clite_service_opts opts = service_opts;
	const struct clite_rule_info *rule;
	const struct clite_flow *f;
	uint32_t id, cookie = 1;

	ck_assert_done(clite_flow_resolve(ctx, &e, &f));
	ck_assert_str_eq(f->destination->service, "");
	opts.name = "shop/web";
	ck_assert_done(clite_service_update(ctx, &opts, &id));
	ck_assert_done(clite_flow_resolve(ctx, &e, &f));
	ck_assert_str_eq(f->destination->service, "web");
	ck_assert_str_eq(f->destination->service_ns, "shop");
	opts.name = "shop/other";
	opts.id = id;
	ck_assert_done(clite_service_update(ctx, &opts, &id));
	ck_assert_done(clite_flow_resolve(ctx, &e, &f));
	ck_assert_str_eq(f->destination->service, "other");
	e.destination_port = 81;
	ck_assert_done(clite_flow_resolve(ctx, &e, &f));
	ck_assert_str_eq(f->destination->service, "");
	e.destination_port = 80;
	e.protocol = 17;
	ck_assert_done(clite_flow_resolve(ctx, &e, &f));
	ck_assert_str_eq(f->destination->service, "");
	ck_assert_done(clite_service_delete(ctx, id));
	e.protocol = 6;
	ck_assert_done(clite_flow_resolve(ctx, &e, &f));
	ck_assert_str_eq(f->destination->service, "");

	ck_assert_done(clite_policy_put(ctx, "first", parts, 1));
	while (clite_rule_get(ctx, cookie, &rule))
		ck_assert_uint_lt(++cookie, 1000);
	ck_assert_str_eq(rule->policy, "first");
	ck_assert_done(clite_policy_put(ctx, "second", parts, 1));
	e.ingress_rule = cookie + 1;
	ck_assert_done(clite_flow_resolve(ctx, &e, &f));
	ck_assert_str_eq(f->policies[0]->name, "second");
	e.ingress_rule = cookie;
	ck_assert_done(clite_flow_resolve(ctx, &e, &f));
	ck_assert_str_eq(f->policies[0]->name, "first");
	ck_assert_done(clite_policy_delete(ctx, "first"));
	ck_assert_done(clite_flow_resolve(ctx, &e, &f));
	ck_assert_ptr_null(f->policies[0]);
	ck_assert_int_eq(clite_rule_get(ctx, cookie, &rule), -ENOENT);
	ck_assert_done(clite_rule_get(ctx, cookie + 1, &rule));
	ck_assert_int_eq(clite_rule_get(ctx, cookie + 2, &rule), -ENOENT);
}
END_TEST

static int leave(const struct clite_event *e, void *data)
{
	struct clite_subscription **sub = data;

	(void)e;
	*sub = clite_unsubscribe(*sub);
	return 0;
}

START_TEST(unsubscribe_in_callback)
{
	struct clite_subscription *sub = NULL;

	add_endpoint();
	ck_assert_done(clite_subscribe(ctx, NULL, leave, &sub, &sub));
	send_packet();
	ck_assert_int_eq(wait_and_dispatch(), 1);
	ck_assert_ptr_null(sub);
	send_packet();
	ck_assert_int_eq(clite_dispatch(ctx, 0), 0);
}
END_TEST

START_TEST(event_of_another_size)
{
	struct clite_event e = { .sz = sizeof(e) - 1, .family = 4 };

	ck_assert_int_eq(clite_event_text(ctx, &e, NULL, 0), -EINVAL);
	ck_assert_int_eq(clite_event_json(ctx, &e, NULL, 0), -EINVAL);
	e.sz = sizeof(e);
	ck_assert_int_eq(clite_event_text(ctx, &e, NULL, 1), -EINVAL);
	ck_assert_int_gt(clite_event_text(ctx, &e, NULL, 0), 0);
}
END_TEST

START_TEST(conntrack)
{
	struct clite_subscription *sub = NULL;
	uint32_t id = add_endpoint();
	int n = 0;

	ck_assert_done(clite_subscribe(ctx, NULL, on_event, NULL, &sub));
	ck_assert_int_eq(clite_conntrack_list(ctx, on_ct, NULL), 0);
	send_packet();
	ck_assert_int_ge(wait_and_dispatch(), 1);
	ck_assert_int_ge(clite_conntrack_list(ctx, on_ct, &n), 1);
	ck_assert_int_ge(n, 1);
	ck_assert_error(clite_conntrack_flush(ctx, 4000), ENOENT, "4000");
	ck_assert_int_eq(clite_conntrack_flush(ctx, id), n);
	ck_assert_int_eq(clite_conntrack_list(ctx, on_ct, NULL), 0);
	clite_unsubscribe(sub);
}
END_TEST

/* ---- main -------------------------------------------------------------------------------- */

#define ADD(tcase, ...)                                          \
	do {                                                     \
		const TTest *const all_[] = { __VA_ARGS__ };     \
		for (size_t i_ = 0; i_ < ARRAY_SIZE(all_); i_++) \
			tcase_add_test(tcase, all_[i_]);         \
	} while (0)

static Suite *suite(bool root)
{
	Suite *s = suite_create("api");
	TCase *t = tcase_create("without privileges");

	ADD(t, version_and_texts, null_context, open_arguments, open_error_buffer, safe_calls,
	    filters, validate);
	suite_add_tcase(s, t);
	if (!root)
		return s;

	t = tcase_create("instances");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, NULL, teardown);
	ADD(t, open_options_of_other_sizes, probe_has_reasons, named_instance, unknown_layout,
	    settings_of_a_new_instance, settings_that_do_not_fit, no_bpffs, subscribe_filters);
	suite_add_tcase(s, t);

	t = tcase_create("in an instance");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	ADD(t, status_of_an_ephemeral_instance, null_arguments, destroyed_context, forked_context,
	    any_order_of_release, two_contexts_side_by_side, sys_fds, endpoint_arguments,
	    endpoint_short_options, endpoint_life, identities, ipcache, devices, cgroups,
	    device_options, policy_arguments, policy_life, transaction, import, service_arguments,
	    service_life, subscribe_arguments, subscriber_slots, dispatch, unsubscribe_in_callback,
	    event_of_another_size, names_follow, conntrack);
#ifdef HAVE_YAML
	tcase_add_test(t, kinds_do_not_replace_each_other);
#endif
	suite_add_tcase(s, t);
	return s;
}

/* A bpf file system that only this process and its children see. */
static bool mount_bpffs(void)
{
	strcpy(bpffs, "/tmp/clite-api-XXXXXX");
	return mkdtemp(bpffs) && !unshare(CLONE_NEWNS) &&
	       !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("bpf", bpffs, "bpf", 0, NULL);
}

int main(void)
{
	bool root = geteuid() == 0 && mount_bpffs();
	SRunner *sr = srunner_create(suite(root));
	int failed;

	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	if (root)
		umount2(bpffs, MNT_DETACH);
	else
		printf("skip: needs root: all that needs an instance\n");
	if (bpffs[0])
		rmdir(bpffs);
	return failed ? 1 : 0;
}
