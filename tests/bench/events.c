/* SPDX-License-Identifier: BSD-2-Clause */
/* Events of the datapath's own programs, one for each packet that a thread runs through
 * them, taken by this one: through the public callback, and by a bare ring of libbpf's. */
#include "bench.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cilium-lite/cilium-lite.h>
#include <cilium-lite/sys/bpf.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench.skel.h"
#include "clite_layout.h"
#include "packet.h"

#define RING_BYTES (16u << 20)
#define BARE_SLOT 7 /* the last one: the library takes the first that is free */

static struct clite_ctx *ctx;
static struct bench_bpf *bpf;
static struct dp_control *control;
static uint32_t if_a;

/* ---- the producer ---------------------------------------------------------------- */

static struct packet packet;
static atomic_bool stop;
static uint64_t produced;

static void run(int prog, uint32_t repeat, uint32_t *ret_ns)
{
	struct __sk_buff skb = { .ifindex = if_a };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = packet.data,
		    .data_size_in = (uint32_t)packet.len, .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb), .repeat = (int)repeat);

	NEED(bpf_prog_test_run_opts(prog, &o) == 0, "test run: %m");
	if (ret_ns)
		*ret_ns = o.duration;
	else
		produced += repeat;
}

static void *produce(void *arg)
{
	int prog = bpf_program__fd(bpf->progs.keep4);

	(void)arg;
	pin_cpu(0);
	while (!stop)
		run(prog, 1000, NULL);
	return NULL;
}

static pthread_t producer_begin(void)
{
	pthread_t thread;

	produced = 0;
	stop = false;
	NEED(pthread_create(&thread, NULL, produce, NULL) == 0, "no thread");
	return thread;
}

static void world_make(void)
{
	const char *labels[] = { "k8s:app=a", NULL };
	pid_t inside = netns_hold();
	uint32_t zero = 0;
	int fd;

	sh("ip link add va type veth peer name eth0 netns %d", inside);
	sh("ip link add vb type veth peer name eth1 netns %d", inside);
	if_a = if_nametoindex("va");
	ctx = instance_open(NULL, 0);
	endpoint(ctx, "va", "10.0.0.1", NULL, labels);
	endpoint(ctx, "vb", "10.0.0.2", NULL, labels);
	packet = packet_make(NULL, "10.0.0.1", "10.0.0.2", IPPROTO_TCP, 1, 2, 0x10);
	bpf = bench_bpf__open_and_load();
	NEED(bpf, "cannot load the programs of the benchmark: %m");
	fd = clite_sys_prog_fd(ctx, "from_endpoint");
	NEED(bpf_map_update_elem(bpf_map__fd(bpf->maps.target), &zero, &fd, BPF_ANY) == 0,
	     "cannot call the datapath's program: %m");
	bpf->bss->ttl = packet.data[22];
	memcpy(&bpf->bss->ip_check, packet.data + 24, 2);
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED,
		       clite_sys_map_fd(ctx, "control"), 0);
	NEED(control != MAP_FAILED, "cannot map the instance's control: %m");
}

/* ---- the public callback ------------------------------------------------------------ */

static struct {
	uint64_t n;
	uint64_t time; /* of the last one */
} got;

static int on_event(const struct clite_event *event, void *userdata)
{
	(void)userdata;
	got.n += event->length ? 1 : 0;
	got.time = event->time;
	return 0;
}

static struct clite_subscription *subscribe(uint32_t level, struct clite_filters *filters)
{
	struct clite_subscribe_opts o = {
		.sz = sizeof(o),
		.types = 1u << CLITE_EVENT_TRACE,
		.aggregation = level + 1,
		.ring_bytes = RING_BYTES,
		.filters = filters,
	};
	struct clite_subscription *sub;

	NEED(clite_subscribe(ctx, &o, on_event, NULL, &sub) == 0, "%s", clite_error(ctx));
	got.n = 0;
	return sub;
}

static uint64_t lost(struct clite_subscription *sub)
{
	uint64_t n;

	NEED(clite_subscription_lost(sub, &n) == 0, "lost");
	return n;
}

static void dispatch_all(void)
{
	int r;

	while ((r = clite_dispatch(ctx, 0)))
		NEED(r > 0, "%s", clite_error(ctx));
}

/* Both at once: how many come, how many are lost, and that there are no others. */
static void sample_delivered(struct row *rate, struct row *missed)
{
	struct clite_subscription *sub = subscribe(CLITE_AGGREGATE_NONE, NULL);
	struct pollfd ready = { .fd = clite_fd(ctx), .events = POLLIN };
	double seconds = options.quick ? 0.2 : 0.5, t = now_s();
	pthread_t thread = producer_begin();

	while (now_s() - t < seconds) {
		poll(&ready, 1, 100);
		NEED(clite_dispatch(ctx, 0) >= 0, "%s", clite_error(ctx));
	}
	t = now_s() - t;
	row_sample(rate, (double)got.n / t / 1e6, 0);
	row_sample(missed, (double)lost(sub) / t / 1e6, 0);
	stop = true;
	pthread_join(thread, NULL);
	dispatch_all();
	NEED(got.n + lost(sub) == produced, "%llu events and %llu lost of %llu packets",
	     (unsigned long long)got.n, (unsigned long long)lost(sub),
	     (unsigned long long)produced);
	clite_unsubscribe(sub);
}

static void fill(void)
{
	run(bpf_program__fd(bpf->progs.keep4), RING_BYTES / 128 - 1, NULL);
}

/* A ring that is full: what this thread can take. */
static void sample_drained(struct row *row)
{
	struct clite_subscription *sub = subscribe(CLITE_AGGREGATE_NONE, NULL);
	double t;

	fill();
	t = now_s();
	dispatch_all();
	row_sample(row, (double)got.n / (now_s() - t) / 1e6, 0);
	NEED(got.n == RING_BYTES / 128 - 1 && !lost(sub), "%llu events", (unsigned long long)got.n);
	clite_unsubscribe(sub);
}

/* ---- a bare reader ------------------------------------------------------------------- */

static int on_bare(void *data, void *record, size_t len)
{
	struct dp_event_rec *r = record;

	(void)data;
	got.n += len >= sizeof(*r) && r->len ? 1 : 0;
	return 0;
}

struct bare {
	int fd;
	struct ring_buffer *rb;
};

static struct bare bare_begin(void)
{
	struct bare b = { .fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "bare", 0, 0, RING_BYTES,
					       NULL) };
	struct dp_slot *slot = &control->slot[BARE_SLOT];
	uint32_t key = BARE_SLOT;

	b.rb = b.fd < 0 ? NULL : ring_buffer__new(b.fd, on_bare, NULL, NULL);
	NEED(b.rb, "cannot make a ring: %m");
	NEED(bpf_map_update_elem(clite_sys_map_fd(ctx, "rings"), &key, &b.fd, BPF_ANY) == 0,
	     "cannot place a ring: %m");
	*slot = (struct dp_slot){ .lease = INT64_MAX,
				  .wake = DP_WAKE_NOT,
				  .types = 1u << DP_EV_TRACE,
				  .aggregation = DP_AGG_NONE };
	got.n = 0;
	control->every = control->slots = 1u << BARE_SLOT;
	return b;
}

static void bare_end(struct bare *b)
{
	uint32_t key = BARE_SLOT;

	control->every = control->slots = 0;
	control->slot[BARE_SLOT].lease = 0;
	bpf_map_delete_elem(clite_sys_map_fd(ctx, "rings"), &key);
	ring_buffer__free(b->rb);
	close(b->fd);
}

static void sample_bare(struct row *rate, struct row *drained)
{
	double seconds = options.quick ? 0.2 : 0.5, t;
	struct bare b = bare_begin();
	pthread_t thread;

	fill();
	t = now_s();
	ring_buffer__consume(b.rb);
	row_sample(drained, (double)got.n / (now_s() - t) / 1e6, 0);
	got.n = 0;
	t = now_s();
	thread = producer_begin();
	while (now_s() - t < seconds)
		ring_buffer__consume(b.rb);
	row_sample(rate, (double)got.n / (now_s() - t) / 1e6, 0);
	stop = true;
	pthread_join(thread, NULL);
	bare_end(&b);
}

/* ---- somebody who waits --------------------------------------------------------------- */

static double cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static uint64_t real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void idle_wait(double seconds)
{
	struct pollfd ready = { .fd = clite_fd(ctx), .events = POLLIN };
	double end = now_s() + seconds;

	while (now_s() < end)
		if (poll(&ready, 1, (int)((end - now_s()) * 1000) + 1) > 0)
			NEED(clite_dispatch(ctx, 0) >= 0, "%s", clite_error(ctx));
}

static void *one_by_one(void *arg)
{
	(void)arg;
	pin_cpu(0);
	while (!stop) {
		sleep_s(0.02);
		run(bpf_program__fd(bpf->progs.keep4), 1, NULL);
	}
	return NULL;
}

/* From the event's own time to the callback. */
static double latency_us(void)
{
	struct pollfd ready = { .fd = clite_fd(ctx), .events = POLLIN };
	uint64_t before = got.n;

	while (got.n == before) {
		poll(&ready, 1, 1000);
		NEED(clite_dispatch(ctx, 0) >= 0, "%s", clite_error(ctx));
	}
	return (double)(real_ns() - got.time) / 1e3;
}

static void rows_idle(void)
{
	struct row *cpu = row_add("event/idle-cpu", "ms/s", AT_MOST, 0.1);
	struct row *latency = row_add("event/latency", "us", AT_MOST, 10000);
	double seconds = options.quick ? 2 : 5, before;
	struct clite_subscription *sub;
	pthread_t thread;

	if (!cpu && !latency)
		return;
	sub = subscribe(CLITE_AGGREGATE_NONE, NULL);
	idle_wait(0.1);
	before = cpu_ms();
	idle_wait(seconds);
	row_sample(cpu, (cpu_ms() - before) / seconds, 0);
	stop = false;
	NEED(pthread_create(&thread, NULL, one_by_one, NULL) == 0, "no thread");
	for (int i = 0; i < (options.quick ? 20 : 60); i++)
		row_sample(latency, latency_us(), 0);
	stop = true;
	pthread_join(thread, NULL);
	clite_unsubscribe(sub);
}

/* ---- what the packets pay --------------------------------------------------------------- */

static double packet_ns(void)
{
	uint32_t ns;

	run(bpf_program__fd(bpf->progs.keep4), options.quick ? 200000 : 500000, &ns);
	return ns;
}

static struct clite_filters *filters(const char *json)
{
	struct clite_filters *fs;

	NEED(clite_filters_new(&fs) == 0 &&
		     clite_filters_add_json(fs, CLITE_FILTER_ALLOW, json) == 0,
	     "%s", clite_filters_error(fs));
	return fs;
}

/* A subscriber to every packet of a kind, which these are not, beside none. */
static void sample_filtered(struct row *row, const char *json)
{
	struct clite_filters *fs = row ? filters(json) : NULL;
	struct clite_subscription *sub;
	double with, without;

	if (!row)
		return;
	without = packet_ns();
	sub = subscribe(CLITE_AGGREGATE_NONE, fs);
	with = packet_ns();
	dispatch_all();
	NEED(!got.n && !lost(sub), "the filter lets events through");
	row_sample(row, with - without, 0);
	clite_unsubscribe(sub);
	clite_filters_unref(fs);
}

static void sample_every(struct row *row)
{
	struct clite_subscription *sub;
	double with, without;

	if (!row)
		return;
	without = packet_ns();
	sub = subscribe(CLITE_AGGREGATE_NONE, NULL);
	with = packet_ns();
	dispatch_all();
	row_sample(row, with - without, 0);
	clite_unsubscribe(sub);
}

static void rows_cost(void)
{
	struct row *every = row_add("event/every-cost", "ns", NO_TARGET, 0);
	struct row *by_verdict = row_add("event/filtered-verdict", "ns", AT_MOST, 5);
	struct row *by_address = row_add("event/filtered-address", "ns", NO_TARGET, 0);

	for (size_t r = 0; r < options.rounds; r++) {
		sample_every(every);
		sample_filtered(by_verdict, "{\"verdict\":[\"DROPPED\"]}");
		sample_filtered(by_address, "{\"source_ip\":[\"10.9.9.9\"]}");
	}
}

void bench_events(void)
{
	struct row *rate = row_add("event/delivered", "M/s", AT_LEAST, 8);
	struct row *missed = row_add("event/lost", "M/s", NO_TARGET, 0);
	struct row *bare = row_add("event/bare-delivered", "M/s", NO_TARGET, 0);
	struct row *drained = row_add("event/drained", "M/s", AT_LEAST, 8);
	struct row *bare_drained = row_add("event/bare-drained", "M/s", NO_TARGET, 0);

	world_make();
	pin_cpu(1);
	for (size_t r = 0; r < options.rounds; r++) {
		if (rate || missed)
			sample_delivered(rate, missed);
		if (drained)
			sample_drained(drained);
		if (bare || bare_drained)
			sample_bare(bare, bare_drained);
	}
	rows_idle();
	rows_cost();
	bench_bpf__destroy(bpf);
	clite_close(ctx);
}
