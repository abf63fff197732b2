/* SPDX-License-Identifier: BSD-2-Clause */
/* What a frame costs that XDP sends to a back end in an outer packet: one service, ten
 * back ends, by test run, beside a program that does nothing with the same frame. */
#include "bench.h"

#include <bpf/bpf.h>
#include <cilium-lite/cilium-lite.h>
#include <cilium-lite/sys/bpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "packet.h"
#include "xdp_bench.skel.h"

#define VIP4 "203.0.113.80"
#define VIP6 "2001:db8:80::80"
#define CLIENT4 "100.64.0.0"
#define CLIENT6 "2001:db8:7::"
#define PORT 80
#define BACKENDS 10
#define MANY 1000000
#define UNKNOWN (1u << 30) /* flows at random of which hardly one comes twice */

static struct clite_ctx *ctx;
static struct xdp_bench_bpf *bpf;
static uint32_t ifindex;
static double memory; /* of the maps, without the balancer's */

static double map_bytes(void)
{
	const struct clite_status *st;

	NEED(clite_status(ctx, &st) == 0, "%s", clite_error(ctx));
	return (double)st->map_bytes;
}

static uint64_t forwarded(void)
{
	const struct clite_status *st;

	NEED(clite_status(ctx, &st) == 0, "%s", clite_error(ctx));
	return st->forwarded;
}

static void service(const char *address, const char *backends, uint32_t mode)
{
	char text[BACKENDS][64];
	struct clite_backend b[BACKENDS] = {};
	struct clite_service_opts o = {
		.sz = sizeof(o), .address = address, .port = PORT, .backends = b,
		.nbackends = BACKENDS, .algorithm = CLITE_LB_MAGLEV, .mode = mode,
	};

	for (int i = 0; i < BACKENDS; i++) {
		snprintf(text[i], sizeof(text[i]), "%s%d", backends, 10 + i);
		b[i].address = text[i];
	}
	NEED(clite_service_update(ctx, &o, NULL) == 0, "service: %s", clite_error(ctx));
}

static void instance_begin(uint32_t flows4, uint32_t flows6, uint32_t new_flows)
{
	struct clite_device_opts o = {
		.sz = sizeof(o), .flags = CLITE_DEVICE_XDP_GENERIC, .flows4 = flows4,
		.flows6 = flows6, .new_flows = new_flows,
	};
	uint32_t zero = 0;
	int fd;

	ctx = instance_open(NULL, 0);
	memory = map_bytes();
	NEED(clite_device_attach_opts(ctx, "uplink", &o) == 0, "uplink: %s", clite_error(ctx));
	memory = map_bytes() - memory;
	service(VIP4, "192.0.2.", CLITE_MODE_IPIP);
	service(VIP6, "2001:db8::", CLITE_MODE_IPIP);
	fd = clite_sys_prog_fd(ctx, "from_xdp");
	NEED(bpf_map_update_elem(bpf_map__fd(bpf->maps.target), &zero, &fd, BPF_ANY) == 0,
	     "cannot call the datapath's program: %m");
}

static double run(const struct bpf_program *prog, const struct packet *p, uint32_t repeat,
		  int expect)
{
	struct xdp_md md = { .data_end = p->len, .ingress_ifindex = ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p->data, .data_size_in = p->len,
		    .ctx_in = &md, .ctx_size_in = sizeof(md), .repeat = repeat);
	uint32_t saddr;

	bpf->bss->len = p->len;
	memcpy(bpf->bss->eth, p->data, 12);
	memcpy(&bpf->bss->proto, p->data + 12, 2);
	memcpy(&saddr, p->data + (p->family == 4 ? 26 : 34), 4);
	bpf->bss->saddr = ntohl(saddr);
	memcpy(&bpf->bss->dport, p->data + p->l4 + 2, 2);
	NEED(bpf_prog_test_run_opts(bpf_program__fd(prog), &o) == 0, "test run: %m");
	NEED((int)o.retval == expect, "%s returned %d and not %d", bpf_program__name(prog),
	     (int)o.retval, expect);
	return o.duration;
}

struct xdp_row {
	const char *name;
	double target; /* 0: none */
	const struct bpf_program *prog, *empty;
	uint32_t flows;
	struct packet p;
	struct row *row;
};

static struct packet packet(bool v6, uint8_t flags)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 1, 1 };

	return packet_make(mac, v6 ? CLIENT6 : CLIENT4, v6 ? VIP6 : VIP4, IPPROTO_TCP, 0, PORT,
			   flags);
}

static void sample(const struct xdp_row *x, uint32_t repeat)
{
	uint64_t before;
	double e, v;

	if (!x->row)
		return;
	bpf->data->flows = x->flows;
	e = run(x->empty, &x->p, repeat, XDP_PASS);
	before = forwarded();
	v = run(x->prog, &x->p, repeat, XDP_TX);
	NEED(forwarded() - before == repeat, "%s: not every frame was forwarded", x->name);
	row_sample(x->row, v, e);
}

/* warm: so many frames first, that the flows are known. */
static void rows(struct xdp_row *x, size_t n, uint32_t repeat, uint32_t warm)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		x[i].row = row_add(x[i].name, "", x[i].target ? ABOVE_EMPTY : NO_TARGET,
				   x[i].target);
		any |= x[i].row != NULL;
		bpf->data->flows = x[i].flows;
		if (x[i].row && warm)
			run(x[i].prog, &x[i].p, warm, XDP_TX);
	}
	for (size_t r = 0; any && r < options.rounds; r++)
		for (size_t i = 0; i < n; i++)
			sample(&x[i], repeat);
}

#define ACK 0x10
#define SYN 0x02
#define PROGS(name) .prog = bpf->progs.name, .empty = bpf->progs.name##_empty

static void bench_known(uint32_t repeat)
{
	struct xdp_row one[] = {
		{ .name = "xdp/established", .target = 88, PROGS(keep4), .flows = 1,
		  .p = packet(false, ACK) },
		{ .name = "xdp/ipv6/established", PROGS(keep6), .flows = 1,
		  .p = packet(true, ACK) },
	};
	struct xdp_row gue[] = {
		{ .name = "xdp/gue", PROGS(keep4), .flows = 1, .p = packet(false, ACK) },
		{ .name = "xdp/ipv6/gue", PROGS(keep6), .flows = 1, .p = packet(true, ACK) },
	};
	struct xdp_row random[] = {
		{ .name = "xdp/random-64k", .target = 260, PROGS(random4), .flows = 65536,
		  .p = packet(false, ACK) },
	};

	rows(one, 2, repeat, 100);
	rows(random, 1, repeat, 1000000);
	service(VIP4, "192.0.2.", CLITE_MODE_GUE);
	service(VIP6, "2001:db8::", CLITE_MODE_GUE);
	rows(gue, 2, repeat, 100);
}

static void bench_unknown(const char *data, double target, const char *syn, uint32_t repeat)
{
	struct xdp_row x[] = {
		{ .name = data, .target = target, PROGS(random4), .flows = UNKNOWN,
		  .p = packet(false, ACK) },
		{ .name = syn, PROGS(random4), .flows = UNKNOWN, .p = packet(false, SYN) },
	};

	rows(x, 2, repeat, 0);
}

static void memory_row(const char *name)
{
	row_sample(row_add(name, "MB", NO_TARGET, 0), memory / 1e6, 0);
}

void bench_xdp(void)
{
	uint32_t repeat = options.quick ? 200000 : 1000000;
	struct xdp_row many = { .name = "xdp/random-1M", .flows = MANY };
	struct row *row;

	pin_cpu(1);
	sh("ip link add uplink address 02:00:00:00:01:01 type veth peer name wire");
	sh("ip link set uplink up && ip link set wire up && ip addr add 192.0.2.1/24 dev uplink");
	sh("ip -6 addr add 2001:db8::1/64 dev uplink nodad");
	for (int i = 10; i < 10 + BACKENDS; i++)
		sh("ip neigh add 192.0.2.%d lladdr 02:00:00:00:02:%d dev uplink &&"
		   " ip -6 neigh add 2001:db8::%d lladdr 02:00:00:00:02:%d dev uplink", i, i, i, i);
	ifindex = if_nametoindex("uplink");
	bpf = xdp_bench_bpf__open_and_load();
	NEED(bpf, "cannot load the programs of the benchmark: %m");

	instance_begin(0, 0, UINT32_MAX);
	memory_row("xdp/memory");
	row = row_add("xdp/empty", "", NO_TARGET, 0);
	for (size_t r = 0; row && r < options.rounds; r++) {
		struct packet p = packet(false, ACK);
		double v = run(bpf->progs.empty, &p, repeat, XDP_PASS);

		row_sample(row, v, v);
	}
	bench_known(repeat);
	service(VIP4, "192.0.2.", CLITE_MODE_IPIP);
	bench_unknown("xdp/unknown-insert", 680, "xdp/syn-insert", repeat);
	clite_close(ctx);

	instance_begin(0, 0, 1);
	bench_unknown("xdp/unknown", 290, "xdp/syn", repeat);
	clite_close(ctx);

	/* A test run is on one CPU, which has a part of the cache only. */
	instance_begin(4 * MANY, 1, UINT32_MAX);
	many.prog = bpf->progs.random4;
	many.empty = bpf->progs.random4_empty;
	many.p = packet(false, ACK);
	rows(&many, 1, repeat, 5 * MANY);
	memory_row("xdp/memory-1M");
	clite_close(ctx);
	xdp_bench_bpf__destroy(bpf);
}
