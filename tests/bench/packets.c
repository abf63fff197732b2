/* SPDX-License-Identifier: BSD-2-Clause */
/* What a packet costs: by test run, beside a program that does nothing with the
 * same packet. Two endpoints, policies of both in force, one service. */
#include "bench.h"

#include <bpf/bpf.h>
#include <cilium-lite/cilium-lite.h>
#include <cilium-lite/sys/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "bench.skel.h"
#include "packet.h"

#define A4 "10.0.0.1"
#define A6 "fd00::1"
#define B4 "10.0.0.2"
#define B6 "fd00::2"
#define S4 "10.1.0.1" /* the service */
#define S6 "fd01::1"
#define PORT 80
#define BACKEND 8080
#define CLIENT 40000

#define FLOWS 64000 /* what fits into the table of default size */
#define SYN 0x02
#define ACK 0x10
#define SYNACK 0x12
#define REDIRECT 7
#define PASS (-1)
#define DROP 2

static struct clite_ctx *ctx;
static struct bench_bpf *bpf;
static uint32_t if_a, if_b;
static uint8_t host_mac[] = { 2, 0, 0, 0, 0, 0xa0 };
static uint64_t events;

static const char policy[] =
	"[{\"endpointSelector\": {\"matchLabels\": {\"app\": \"b\"}},"
	"  \"ingress\": [{\"fromEndpoints\": [{\"matchLabels\": {\"app\": \"a\"}}],"
	"    \"toPorts\": [{\"ports\": [{\"port\": \"80\", \"protocol\": \"TCP\"},"
	"                           {\"port\": \"8080\", \"protocol\": \"TCP\"}]}]}],"
	"  \"labels\": [{\"key\": \"name\", \"value\": \"b\"}]},"
	" {\"endpointSelector\": {\"matchLabels\": {\"app\": \"a\"}},"
	"  \"egress\": [{\"toEndpoints\": [{\"matchLabels\": {\"app\": \"b\"}}]}],"
	"  \"labels\": [{\"key\": \"name\", \"value\": \"a\"}]}]";

/* ---- the world ------------------------------------------------------------- */

static void service(const char *address, const char *backend)
{
	struct clite_backend b = { .address = backend, .port = BACKEND };
	struct clite_service_opts o = {
		.sz = sizeof(o), .address = address, .port = PORT, .backends = &b, .nbackends = 1,
	};

	NEED(clite_service_update(ctx, &o, NULL) == 0, "service: %s", clite_error(ctx));
}

static void program_load(void)
{
	uint32_t zero = 0;
	int fd = clite_sys_prog_fd(ctx, "from_endpoint");

	bpf = bench_bpf__open();
	NEED(bpf && bpf_map__reuse_fd(bpf->maps.flow4, clite_sys_map_fd(ctx, "flow4")) == 0 &&
		     bench_bpf__load(bpf) == 0,
	     "cannot load the programs of the benchmark: %m");
	bpf->bss->ifindex = if_a;
	bpf->data->flows = FLOWS;
	NEED(bpf_map_update_elem(bpf_map__fd(bpf->maps.target), &zero, &fd, BPF_ANY) == 0,
	     "cannot call the datapath's program: %m");
}

/* n: several of them have other devices. */
static void world_fill(unsigned int n)
{
	const char *a[] = { "k8s:app=a", NULL }, *b[] = { "k8s:app=b", NULL };
	pid_t inside = netns_hold();
	char va[16], vb[16];

	snprintf(va, sizeof(va), "va%u", n);
	snprintf(vb, sizeof(vb), "vb%u", n);
	sh("ip link add %s address 02:00:00:00:00:a0 type veth peer name eth0 netns %d", va, inside);
	sh("ip link add %s address 02:00:00:00:00:b0 type veth peer name eth1 netns %d", vb, inside);
	sh("ip link set %s up && ip link set %s up", va, vb);
	if_a = if_nametoindex(va);
	if_b = if_nametoindex(vb);
	endpoint(ctx, va, A4, A6, a);
	endpoint(ctx, vb, B4, B6, b);
	import(ctx, policy);
	service(S4, B4);
	service(S6, B6);
	program_load();
}

static void world_make(uint32_t flags)
{
	ctx = instance_open(NULL, flags);
	world_fill(0);
}

static int on_event(const struct clite_event *event, void *userdata)
{
	(void)event;
	(void)userdata;
	events++;
	return 0;
}

static struct clite_subscription *subscribe(void)
{
	struct clite_subscription *sub;

	NEED(clite_subscribe(ctx, NULL, on_event, NULL, &sub) == 0, "%s", clite_error(ctx));
	return sub;
}

/* ---- runs ------------------------------------------------------------------ */

/* One packet to the datapath itself. */
static void send_one(uint32_t ifindex, const struct packet *p, int expect)
{
	uint8_t out[PACKET_MAX];
	struct __sk_buff skb = { .ifindex = ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p->data, .data_size_in = p->len,
		    .data_out = out, .data_size_out = sizeof(out), .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb), .repeat = 1);

	NEED(bpf_prog_test_run_opts(clite_sys_prog_fd(ctx, "from_endpoint"), &o) == 0,
	     "test run: %m");
	NEED((int)o.retval == expect, "a packet got %d and not %d", (int)o.retval, expect);
}

static void packet_tell(const struct packet *p)
{
	if (p->family == 4) {
		memcpy(&bpf->bss->saddr, p->data + 26, 4);
		memcpy(&bpf->bss->daddr, p->data + 30, 4);
		memcpy(&bpf->bss->ip_check, p->data + 24, 2);
		bpf->bss->ttl = p->data[22];
	} else {
		memcpy(&bpf->bss->saddr, p->data + 22, 16);
		memcpy(&bpf->bss->daddr, p->data + 38, 16);
		bpf->bss->ttl = p->data[21];
	}
	memcpy(&bpf->bss->ports, p->data + p->l4, 4);
	memcpy(&bpf->bss->tcp_check, p->data + p->l4 + 16, 2);
}

static double run(const struct bpf_program *prog, uint32_t ifindex, const struct packet *p,
		  uint32_t repeat, int expect)
{
	struct __sk_buff skb = { .ifindex = ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p->data, .data_size_in = p->len,
		    .ctx_in = &skb, .ctx_size_in = sizeof(skb), .repeat = repeat);

	packet_tell(p);
	NEED(bpf_prog_test_run_opts(bpf_program__fd(prog), &o) == 0, "test run: %m");
	NEED((int)o.retval == expect, "%s returned %d and not %d", bpf_program__name(prog),
	     (int)o.retval, expect);
	return o.duration;
}

static uint64_t forwarded(void)
{
	const struct clite_status *st;

	NEED(clite_status(ctx, &st) == 0, "%s", clite_error(ctx));
	return st->forwarded;
}

static struct packet packet(const char *from, const char *to, uint16_t sport, uint16_t dport,
			    uint8_t flags)
{
	return packet_make(host_mac, from, to, IPPROTO_TCP, sport, dport, flags);
}

/* A connection from A to an address that B answers, and a little of its data. */
static void connection(const char *a, const char *to, const char *b, uint16_t port, uint16_t bport)
{
	struct packet syn = packet(a, to, CLIENT, port, SYN);
	struct packet synack = packet(b, a, bport, CLIENT, SYNACK);
	struct packet ack = packet(a, to, CLIENT, port, ACK);
	struct packet data = packet(b, a, bport, CLIENT, ACK);

	send_one(if_a, &syn, REDIRECT);
	send_one(if_b, &synack, REDIRECT);
	send_one(if_a, &ack, REDIRECT);
	send_one(if_b, &data, REDIRECT);
}

/* ---- established flows ------------------------------------------------------ */

struct flow_row {
	const char *name;
	enum target kind;
	double target;
	const struct bpf_program *prog, *empty;
	uint32_t ifindex;
	struct packet p;
	int expect;	 /* 0: that it is sent on */
	uint32_t repeat; /* 0: as the others */
	struct row *row;
};

/* One sample: every packet must have passed. */
static void sample(const struct flow_row *f, uint32_t repeat)
{
	int expect = f->expect ?: REDIRECT;
	uint64_t before;
	double e, v;

	if (!f->row)
		return;
	repeat = f->repeat ?: repeat;
	clite_dispatch(ctx, 0);
	e = run(f->empty, f->ifindex, &f->p, repeat, PASS);
	before = forwarded();
	v = run(f->prog, f->ifindex, &f->p, repeat, expect);
	NEED(expect != REDIRECT || forwarded() - before == repeat,
	     "%s: not every packet was forwarded", f->name);
	row_sample(f->row, v, e);
}

static void flow_rows(struct flow_row *f, size_t n, uint32_t repeat)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		f[i].row = row_add(f[i].name, "", f[i].kind, f[i].target);
		any |= f[i].row != NULL;
	}
	for (size_t r = 0; any && r < options.rounds; r++)
		for (size_t i = 0; i < n; i++)
			sample(&f[i], repeat);
}

static void bench_established(void)
{
	struct packet denied = packet(A4, B4, CLIENT, PORT + 1, SYN);
	uint32_t repeat = options.quick ? 50000 : 500000;
	struct flow_row f[] = {
		{ .name = "packet/established", .kind = ABOVE_EMPTY, .target = 110,
		  .prog = bpf->progs.keep4, .empty = bpf->progs.keep4_empty, .ifindex = if_a,
		  .p = packet(A4, B4, CLIENT, PORT, ACK) },
		{ .name = "packet/reply", .kind = ABOVE_EMPTY, .target = 110,
		  .prog = bpf->progs.keep4, .empty = bpf->progs.keep4_empty, .ifindex = if_b,
		  .p = packet(B4, A4, PORT, CLIENT, ACK) },
		{ .name = "packet/service", .kind = ABOVE_EMPTY, .target = 150,
		  .prog = bpf->progs.nat4, .empty = bpf->progs.nat4_empty, .ifindex = if_a,
		  .p = packet(A4, S4, CLIENT, PORT, ACK) },
		{ .name = "packet/service-reply", .kind = ABOVE_EMPTY, .target = 150,
		  .prog = bpf->progs.nat4, .empty = bpf->progs.nat4_empty, .ifindex = if_b,
		  .p = packet(B4, A4, BACKEND, CLIENT, ACK) },
		{ .name = "packet/ipv6/established",
		  .prog = bpf->progs.keep6, .empty = bpf->progs.keep6_empty, .ifindex = if_a,
		  .p = packet(A6, B6, CLIENT, PORT, ACK) },
		{ .name = "packet/ipv6/reply",
		  .prog = bpf->progs.keep6, .empty = bpf->progs.keep6_empty, .ifindex = if_b,
		  .p = packet(B6, A6, PORT, CLIENT, ACK) },
		{ .name = "packet/ipv6/service",
		  .prog = bpf->progs.nat6, .empty = bpf->progs.nat6_empty, .ifindex = if_a,
		  .p = packet(A6, S6, CLIENT, PORT, ACK) },
		{ .name = "packet/ipv6/service-reply",
		  .prog = bpf->progs.nat6, .empty = bpf->progs.nat6_empty, .ifindex = if_b,
		  .p = packet(B6, A6, BACKEND, CLIENT, ACK) },
	};

	/* The policies are in force: what they do not allow is dropped. */
	send_one(if_a, &denied, DROP);
	connection(A4, B4, B4, PORT, PORT);
	connection(A4, S4, B4, PORT, BACKEND);
	connection(A6, B6, B6, PORT, PORT);
	connection(A6, S6, B6, PORT, BACKEND);
	flow_rows(f, sizeof(f) / sizeof(*f), repeat);
}

/* With and without somebody who listens: rounds of both by turns. */
static void bench_subscriber(struct clite_subscription **sub)
{
	uint32_t repeat = options.quick ? 200000 : 500000;
	struct packet p = packet(A4, B4, CLIENT, PORT, ACK);
	struct row *row = row_add("packet/subscriber-cost", "ns", AT_MOST, 5);
	double with, without;

	for (size_t r = 0; row && r < options.rounds; r++) {
		clite_dispatch(ctx, 0);
		with = run(bpf->progs.keep4, if_a, &p, repeat, REDIRECT);
		*sub = clite_unsubscribe(*sub);
		without = run(bpf->progs.keep4, if_a, &p, repeat, REDIRECT);
		*sub = subscribe();
		row_sample(row, with - without, 0);
	}
}

/* ---- many flows ------------------------------------------------------------- */

static void flush(void)
{
	clite_dispatch(ctx, 0);
	NEED(clite_conntrack_flush(ctx, 0) >= 0, "%s", clite_error(ctx));
	bpf->bss->next = 0;
}

/* A packet of each flow in each direction. The numbers come one after the other. */
static void flows_begin(void)
{
	struct packet ack = packet(A4, B4, 0, PORT, ACK);
	struct packet p = packet(B4, A4, PORT, 0, ACK);

	flush();
	run(bpf->progs.next4, if_a, &ack, FLOWS, REDIRECT);
	clite_dispatch(ctx, 0);
	for (uint32_t port = 0; port < FLOWS; port++) {
		p.data[p.l4 + 2] = port >> 8;
		p.data[p.l4 + 3] = port;
		send_one(if_b, &p, REDIRECT);
		if (!(port % 4096))
			clite_dispatch(ctx, 0);
	}
}

/* And the look-up alone: the rest is the datapath's. It is asked less often: the
 * longer a round, the more of the packets are due for their event of each 5 s. */
static void bench_random(void)
{
	uint32_t repeat = options.quick ? 100000 : 500000;
	struct packet p = packet(A4, B4, 0, PORT, ACK);
	struct flow_row f[] = {
		{ .name = "packet/random-64k", .kind = ABOVE_EMPTY, .target = 200,
		  .prog = bpf->progs.random4, .p = p, .expect = REDIRECT },
		{ .name = "packet/random-64k-lookup", .prog = bpf->progs.look_up, .p = p,
		  .expect = PASS, .repeat = repeat / 5 },
	};

	for (size_t i = 0; i < 2; i++) {
		f[i].empty = bpf->progs.random4_empty;
		f[i].ifindex = if_a;
	}
	flows_begin();
	flow_rows(f, 2, repeat);
}

/* ---- first packets ---------------------------------------------------------- */

/* Rules about A: some about B's port that is used, others about prefixes outside
 * and other ports. */
void first_rules(size_t n)
{
	struct clite_requirement is_a = { "k8s:app", (const char *[]){ "a" }, 1, CLITE_OP_IN };
	struct clite_requirement is_b = { "k8s:app", (const char *[]){ "b" }, 1, CLITE_OP_IN };
	struct clite_selector sel_a = { &is_a, 1 }, sel_b = { &is_b, 1 };
	struct clite_rule *rules = calloc(n, sizeof(*rules));
	const struct clite_rule **list = calloc(n, sizeof(*list));
	struct clite_peer *peers = calloc(n, sizeof(*peers));
	struct clite_port *ports = calloc(n, sizeof(*ports));
	char (*cidrs)[64] = calloc(n, sizeof(*cidrs));
	struct clite_policy_part part = {
		.sz = sizeof(part), .subject = &sel_a, .rules = list, .nrules = n,
	};
	const struct clite_policy_part *parts[] = { &part };

	NEED(rules && list && peers && ports && cidrs, "no memory");
	for (size_t i = 0; i < n; i++) {
		peers[i] = (struct clite_peer){ .kind = CLITE_PEER_ENDPOINTS, .selector = &sel_b };
		if (i % 2) {
			snprintf(cidrs[i], sizeof(cidrs[i]), "172.%zu.%zu.0/24", 16 + i / 512,
				 i / 2 % 256);
			peers[i] = (struct clite_peer){ .kind = CLITE_PEER_CIDR, .cidr = cidrs[i] };
		}
		ports[i] = (struct clite_port){ .protocol = IPPROTO_TCP,
						.port = i ? 1000 + 2 * i : PORT };
		rules[i] = (struct clite_rule){
			.sz = sizeof(rules[i]), .direction = CLITE_EGRESS,
			.peers = &peers[i], .npeers = 1, .ports = &ports[i], .nports = 1,
		};
		list[i] = &rules[i];
	}
	NEED(clite_policy_put(ctx, "a", parts, 1) == 0, "%zu rules: %s", n, clite_error(ctx));
	free(rules);
	free(list);
	free(peers);
	free(ports);
	free(cidrs);
}

double first_packet(uint32_t repeat, double *ret_empty)
{
	struct packet p = packet(A4, B4, 0, PORT, SYN);
	double v;

	flush();
	*ret_empty = run(bpf->progs.next4_empty, if_a, &p, repeat, PASS);
	bpf->bss->next = 0;
	v = run(bpf->progs.next4, if_a, &p, repeat, REDIRECT);
	flush();
	return v;
}

struct clite_ctx *first_begin(void)
{
	pin_cpu(1);
	world_make(CLITE_OPEN_CLSACT);
	return ctx;
}

void first_end(void)
{
	bench_bpf__destroy(bpf);
	clite_close(ctx);
}

/* ---- services among many ------------------------------------------------------ */

struct service_world {
	struct clite_ctx *ctx;
	struct bench_bpf *bpf;
	uint32_t if_a, if_b;
};

static void service_world_enter(const struct service_world *w)
{
	ctx = w->ctx;
	bpf = w->bpf;
	if_a = w->if_a;
	if_b = w->if_b;
}

struct service_world *service_world_make(uint32_t services, uint32_t backends,
					 struct clite_ctx **ret)
{
	static unsigned int n;
	char err[4096] = "";
	struct clite_open_opts o = {
		.sz = sizeof(o), .flags = CLITE_OPEN_EPHEMERAL | CLITE_OPEN_CLSACT,
		.services = services, .backends = backends,
		.errbuf = err, .errbuf_size = sizeof(err),
	};
	struct service_world *w = malloc(sizeof(*w));

	NEED(w && clite_open(NULL, &o, &ctx) == 0, "clite_open: %s", err);
	pin_cpu(1);
	world_fill(n++);
	connection(A4, S4, B4, PORT, BACKEND);
	*w = (struct service_world){ ctx, bpf, if_a, if_b };
	*ret = ctx;
	return w;
}

double service_packet(const struct service_world *w, double *ret_empty)
{
	uint32_t repeat = options.quick ? 50000 : 500000;
	struct packet p = packet(A4, S4, CLIENT, PORT, ACK);

	service_world_enter(w);
	connection(A4, S4, B4, PORT, BACKEND);
	*ret_empty = run(bpf->progs.nat4_empty, if_a, &p, repeat, PASS);
	return run(bpf->progs.nat4, if_a, &p, repeat, REDIRECT);
}

double service_first(const struct service_world *w, uint32_t repeat, double *ret_empty)
{
	struct packet p = packet(A4, S4, 0, PORT, SYN);
	double v;

	service_world_enter(w);
	flush();
	*ret_empty = run(bpf->progs.next_nat4_empty, if_a, &p, repeat, PASS);
	bpf->bss->next = 0;
	v = run(bpf->progs.next_nat4, if_a, &p, repeat, REDIRECT);
	flush();
	return v;
}

void service_world_free(struct service_world *w)
{
	bench_bpf__destroy(w->bpf);
	clite_close(w->ctx);
	free(w);
}

/* Rounds of both numbers of rules by turns, all flows new in each. */
static void bench_first(void)
{
	static const size_t rules[] = { 10, 10000 };
	uint32_t repeat = 20000;
	size_t rounds = options.rounds;
	struct row *row[2], *ratio;

	row[0] = row_add("packet/first-10-rules", "", NO_TARGET, 0);
	row[1] = row_add("packet/first-10000-rules", "", NO_TARGET, 0);
	ratio = row_add("packet/first-ratio", "x", AT_MOST, 1.2);
	for (size_t r = 0; (row[0] || row[1] || ratio) && r < rounds; r++) {
		double above[2];

		for (size_t i = 0; i < 2; i++) {
			double e, v;

			first_rules(rules[i]);
			v = first_packet(repeat, &e);
			row_sample(row[i], v, e);
			above[i] = v - e;
		}
		row_sample(ratio, above[1] / above[0], 0);
	}
}

void bench_packets(void)
{
	struct clite_subscription *sub;

	pin_cpu(1);
	world_make(0);
	sub = subscribe();
	bench_established();
	bench_subscriber(&sub);
	bench_random();
	bench_first();
	clite_unsubscribe(sub);
	bench_bpf__destroy(bpf);
	clite_close(ctx);
}
