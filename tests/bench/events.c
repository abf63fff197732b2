/* SPDX-License-Identifier: BSD-2-Clause */
/* Events through the public callback: a thread makes one for each packet, this
 * one takes them. */
#include "bench.h"

#include <bpf/bpf.h>
#include <cilium-lite/cilium-lite.h>
#include <cilium-lite/sys/bpf.h>
#include <netinet/in.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "bench.skel.h"
#include "packet.h"

static atomic_bool stop;
static int prog_fd;
static uint32_t if_a;

static int on_event(const struct clite_event *event, void *userdata)
{
	*(uint64_t *)userdata += event->length ? 1 : 0;
	return 0;
}

static void *produce(void *arg)
{
	struct packet p = packet_make(NULL, "10.0.0.1", "10.0.0.2", IPPROTO_TCP, 1, 2, 0x10);
	struct bench_bpf *bpf = bench_bpf__open_and_load();
	struct __sk_buff skb = { .ifindex = if_a };
	uint32_t zero = 0;

	(void)arg;
	pin_cpu(0);
	NEED(bpf, "cannot load the programs of the benchmark: %m");
	NEED(bpf_map_update_elem(bpf_map__fd(bpf->maps.target), &zero, &prog_fd, BPF_ANY) == 0,
	     "cannot call the datapath's program: %m");
	bpf->bss->ttl = p.data[22];
	memcpy(&bpf->bss->ip_check, p.data + 24, 2);
	while (!stop) {
		LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p.data, .data_size_in = p.len,
			    .ctx_in = &skb, .ctx_size_in = sizeof(skb), .repeat = 10000);

		NEED(bpf_prog_test_run_opts(bpf_program__fd(bpf->progs.keep4), &o) == 0,
		     "test run: %m");
	}
	bench_bpf__destroy(bpf);
	return NULL;
}

static void sample(struct clite_ctx *ctx, struct clite_subscription *sub, uint64_t *n,
		   struct row *rate, struct row *lost)
{
	double seconds = options.quick ? 0.2 : 0.5, t = now_s();
	struct pollfd ready = { .fd = clite_fd(ctx), .events = POLLIN };
	uint64_t before = *n, lost_before, lost_now;

	clite_subscription_lost(sub, &lost_before);
	while (now_s() - t < seconds) {
		poll(&ready, 1, 100);
		NEED(clite_dispatch(ctx, 0) >= 0, "%s", clite_error(ctx));
	}
	t = now_s() - t;
	clite_subscription_lost(sub, &lost_now);
	row_sample(rate, (double)(*n - before) / t / 1e6, 0);
	row_sample(lost, (double)(lost_now - lost_before) / t / 1e6, 0);
}

void bench_events(void)
{
	struct row *rate = row_add("event/delivered", "M/s", NO_TARGET, 0);
	struct row *lost = row_add("event/lost", "M/s", NO_TARGET, 0);
	struct clite_subscribe_opts o = {
		.sz = sizeof(o), .aggregation = CLITE_AGGREGATE_NONE + 1, .ring_bytes = 16 << 20,
	};
	const char *labels[] = { "k8s:app=a", NULL };
	struct clite_subscription *sub;
	pid_t inside = netns_hold();
	struct clite_ctx *ctx;
	pthread_t thread;
	uint64_t n = 0;

	sh("ip link add va type veth peer name eth0 netns %d", inside);
	sh("ip link add vb type veth peer name eth1 netns %d", inside);
	if_a = if_nametoindex("va");
	ctx = instance_open(NULL, 0);
	endpoint(ctx, "va", "10.0.0.1", NULL, labels);
	endpoint(ctx, "vb", "10.0.0.2", NULL, labels);
	prog_fd = clite_sys_prog_fd(ctx, "from_endpoint");
	NEED(clite_subscribe(ctx, &o, on_event, &n, &sub) == 0, "%s", clite_error(ctx));
	pin_cpu(1);
	NEED(pthread_create(&thread, NULL, produce, NULL) == 0, "no thread");
	for (size_t r = 0; r < options.rounds; r++)
		sample(ctx, sub, &n, rate, lost);
	stop = true;
	pthread_join(thread, NULL);
	clite_unsubscribe(sub);
	clite_close(ctx);
}
