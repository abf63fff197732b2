/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include <bpf/bpf.h>
#include <check.h>
#include <cilium-lite/sys/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct clite_ctx *ctx;
uint32_t ep_a, ep_b, if_a, if_b, if_up;
uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 0xa1 }, mac_b[6] = { 2, 0, 0, 0, 0, 0xb1 };
uint8_t host_a[6] = { 2, 0, 0, 0, 0, 0xa0 }, host_b[6] = { 2, 0, 0, 0, 0, 0xb0 };
uint8_t out[PACKET_MAX];
size_t out_len;

static uint64_t drops[256]; /* by reason, before the last run */
static uint32_t last_drop;

/* For what runs outside of a test, where Check has no place to report to. */
#define NEED(cond, ...)                  \
	do {                             \
		if (!(cond)) {           \
			printf(__VA_ARGS__); \
			puts("");        \
			exit(1);         \
		}                        \
	} while (0)

static void sh(const char *command)
{
	NEED(system(command) == 0, "%s failed", command);
}

/* Programs by test run see packets on these devices; nothing is sent on them. */
static void devices_make(void)
{
	NEED(unshare(CLONE_NEWNET) == 0, "unshare: %m");
	sh("ip link set lo up");
	sh("ip link add va address 02:00:00:00:00:a0 type veth peer name pa address 02:00:00:00:00:a1");
	sh("ip link add vb address 02:00:00:00:00:b0 type veth peer name pb address 02:00:00:00:00:b1");
	sh("ip link add uplink type veth peer name wire");
	sh("for d in va pa vb pb uplink wire; do ip link set $d up; done");
	sh("cd /proc/sys/net && echo 1 >ipv4/ip_forward && echo 1 >ipv6/conf/all/forwarding");
	sh("ip addr add " HOST4 "/32 dev lo");
	sh("ip addr add 192.0.2.1/24 dev uplink && ip -6 addr add 2001:db8::1/64 dev uplink nodad");
	if_a = if_nametoindex("va");
	if_b = if_nametoindex("vb");
	if_up = if_nametoindex("uplink");
}

static uint32_t add(const char *device, const char *v4, const char *v6, const char *label)
{
	const char *labels[] = { label, NULL };
	struct clite_endpoint_opts o = {
		.sz = sizeof(o), .ipv4 = v4, .ipv6 = v6, .labels = labels,
	};
	uint32_t id;
	int r = clite_endpoint_add(ctx, device, &o, &id);

	NEED(r == 0, "endpoint: %s", clite_error(ctx));
	return id;
}

void world_make(uint32_t flags)
{
	char err[16384] = "";
	struct clite_open_opts o = {
		.sz = sizeof(o),
		.flags = CLITE_OPEN_EPHEMERAL | flags,
		.errbuf = err,
		.errbuf_size = sizeof(err),
	};

	devices_make();
	NEED(clite_open(NULL, &o, &ctx) == 0, "open: %s", err);
	ep_a = add("va", A4, A6, "k8s:app=a");
	ep_b = add("vb", B4, B6, "k8s:app=b");
}

void world_remove(void)
{
	ctx = clite_close(ctx);
	/* The namespace and its devices go with the process. */
}

static int policy_name(const struct clite_policy_info *info, void *userdata)
{
	char (*name)[256] = userdata;

	snprintf(*name, sizeof(*name), "%s", info->name);
	return -1;
}

static int service_id(const struct clite_service_info *info, void *userdata)
{
	*(uint32_t *)userdata = info->id;
	return -1;
}

void world_reset(void)
{
	char name[256];
	uint32_t id;

	while (clite_policy_list(ctx, policy_name, &name) < 0)
		ck_assert_int_eq(clite_policy_delete(ctx, name), 0);
	while (clite_service_list(ctx, service_id, &id) < 0)
		ck_assert_int_eq(clite_service_delete(ctx, id), 0);
	ck_assert_int_ge(clite_conntrack_flush(ctx, 0), 0);
}

void import(const char *document)
{
	int r = clite_policy_import(ctx, document, strlen(document), NULL);

	ck_assert_msg(r > 0, "import: %s", clite_error(ctx));
}

/* ---- test runs ---------------------------------------------------------------- */

static int find_drop(const struct clite_counter_info *info, void *userdata)
{
	uint64_t *now = userdata;

	now[info->reason & 255] += info->packets;
	return 0;
}

static void note_drops(void)
{
	uint64_t now[256] = {};

	ck_assert_int_ge(clite_counter_list(ctx, find_drop, now), 0);
	last_drop = 0;
	for (uint32_t i = 1; i < 256; i++)
		if (now[i] != drops[i])
			last_drop = i;
	memcpy(drops, now, sizeof(drops));
}

int run(const char *prog, uint32_t ifindex, uint32_t in_ifindex, const struct packet *p)
{
	struct __sk_buff skb = { .ifindex = ifindex, .ingress_ifindex = in_ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p->data, .data_size_in = p->len,
		    .data_out = out, .data_size_out = sizeof(out), .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb), .repeat = 1);

	note_drops();
	ck_assert_msg(bpf_prog_test_run_opts(clite_sys_prog_fd(ctx, prog), &o) == 0,
		      "test run of %zu bytes: %m", p->len);
	out_len = o.data_size_out;
	note_drops();
	return (int)o.retval;
}

int run_xdp(uint32_t ifindex, const struct packet *p)
{
	struct xdp_md md = { .data_end = p->len, .ingress_ifindex = ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p->data, .data_size_in = p->len,
		    .data_out = out, .data_size_out = sizeof(out), .ctx_in = &md,
		    .ctx_size_in = sizeof(md), .repeat = 1);

	note_drops();
	ck_assert_msg(bpf_prog_test_run_opts(clite_sys_prog_fd(ctx, "from_xdp"), &o) == 0,
		      "test run of %zu bytes: %m", p->len);
	out_len = o.data_size_out;
	note_drops();
	return (int)o.retval;
}

uint32_t dropped(void)
{
	return last_drop;
}

int from_a(const struct packet *p)
{
	return run("from_endpoint", if_a, 0, p);
}

int from_b(const struct packet *p)
{
	return run("from_endpoint", if_b, 0, p);
}

int host_to_b(const struct packet *p)
{
	return run("to_endpoint", if_b, 0, p);
}

int world_to_b(const struct packet *p)
{
	return run("to_endpoint", if_b, if_up, p);
}
