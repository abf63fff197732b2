/* SPDX-License-Identifier: BSD-2-Clause */
/* Nobody sleeps while events wait for him: packets on several CPUs, one reader. CLITE_WAKE_SECONDS
 * says for how long each case runs. */
#include <bpf/bpf.h>
#include <check.h>
#include <cilium-lite/sys/bpf.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

#define PRODUCERS 2
#define SUBSCRIBERS_MAX 3

static const struct {
	const char *name;
	uint32_t budget;
	uint32_t ring_bytes;
	uint32_t capture;
	unsigned int subscribers;
	bool edge;     /* the reader's own epoll is edge-triggered */
	bool lockstep; /* the next packet waits until the last one was seen */
	bool guests;   /* others come and go */
} cases[] = {
	{ .name = "one", .subscribers = 1, .lockstep = true },
	{ .name = "one, free", .subscribers = 1 },
	{ .name = "budget 1", .budget = 1, .subscribers = 2, .lockstep = true },
	{ .name = "budget 3, free", .budget = 3, .subscribers = 3 },
	{ .name = "edge", .subscribers = 2, .edge = true, .lockstep = true },
	{ .name = "edge, budget 2, free", .budget = 2, .subscribers = 2, .edge = true },
	{ .name = "small ring", .ring_bytes = 4096, .subscribers = 2 },
	{ .name = "captures", .ring_bytes = 8192, .capture = 1000, .subscribers = 2 },
	{ .name = "guests", .subscribers = 1, .lockstep = true, .guests = true },
};

static struct {
	atomic_bool stop;
	atomic_ulong produced; /* packets that were there before it grew */
	atomic_ulong seen;     /* by the one who has seen the fewest */
	int prog_fd;
	bool lockstep;
} all;

static struct reader {
	struct clite_subscription *sub;
	unsigned long n;
} readers[SUBSCRIBERS_MAX];

static int count(const struct clite_event *e, void *userdata)
{
	struct reader *r = userdata;

	(void)e;
	r->n++;
	return 0;
}

static void pause_for(unsigned int *seed)
{
	static const unsigned int longest[] = { 1, 50, 1000, 20000, 200000, 4000000 };
	unsigned int ns = (unsigned int)rand_r(seed) % longest[rand_r(seed) % 6];
	struct timespec t = { .tv_nsec = ns };

	if (ns > 20000)
		nanosleep(&t, NULL);
	else
		for (volatile unsigned int i = 0; i < ns; i++)
			;
}

static void *produce(void *arg)
{
	unsigned long which = (unsigned long)arg;
	unsigned int seed = (unsigned int)which + 1;
	struct packet p = packet_make(host_a, A4, B4, IPPROTO_UDP, (uint16_t)(4000 + which), 80, 0);
	struct __sk_buff skb = { .ifindex = if_a };
	static __thread uint8_t result[PACKET_MAX];
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(which % (unsigned long)sysconf(_SC_NPROCESSORS_ONLN), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	while (!all.stop) {
		LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p.data, .data_size_in = p.len,
			    .data_out = result, .data_size_out = sizeof(result), .ctx_in = &skb,
			    .ctx_size_in = sizeof(skb), .repeat = 1);

		if (bpf_prog_test_run_opts(all.prog_fd, &o))
			abort();
		all.produced++;
		while (all.lockstep && !all.stop && all.seen + PRODUCERS <= all.produced)
			sched_yield();
		pause_for(&seed);
	}
	return NULL;
}

static void note_seen(unsigned int n)
{
	unsigned long fewest = ~0ul;

	for (unsigned int i = 0; i < n; i++) {
		uint64_t lost = 0;

		ck_assert_int_eq(clite_subscription_lost(readers[i].sub, &lost), 0);
		if (readers[i].n + lost < fewest)
			fewest = readers[i].n + lost;
	}
	all.seen = fewest;
}

static bool wait_for(int epoll_fd, int ms)
{
	struct pollfd p = { .fd = clite_fd(ctx), .events = POLLIN };
	struct epoll_event ev;

	return epoll_fd >= 0 ? epoll_wait(epoll_fd, &ev, 1, ms) == 1 : poll(&p, 1, ms) == 1;
}

static int edge_fd(void)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int fd = epoll_create1(EPOLL_CLOEXEC);

	ck_assert_int_eq(epoll_ctl(fd, EPOLL_CTL_ADD, clite_fd(ctx), &ev), 0);
	return fd;
}

static void read_for(unsigned int seconds, int i, int epoll_fd)
{
	const struct clite_subscribe_opts guest = { .sz = sizeof(guest), .ring_bytes = 4096 };
	time_t end = time(NULL) + seconds;
	struct clite_subscription *sub;
	struct reader r = {};

	while (time(NULL) < end) {
		unsigned long before = all.produced;

		/* one that is over before the wait began must not have to wait for its end */
		if (!wait_for(epoll_fd, 1000))
			ck_assert_msg(all.seen >= before, "%s: asleep at %lu of %lu", cases[i].name,
				      all.seen, before);
		ck_assert_int_ge(clite_dispatch(ctx, cases[i].budget), 0);
		note_seen(cases[i].subscribers);
		if (cases[i].guests && !(before % 64)) {
			ck_assert_int_eq(clite_subscribe(ctx, &guest, count, &r, &sub), 0);
			clite_unsubscribe(sub);
		}
	}
}

START_TEST(nobody_sleeps)
{
	const char *text = getenv("CLITE_WAKE_SECONDS");
	struct clite_subscribe_opts o = {
		.sz = sizeof(o),
		.types = 1u << CLITE_EVENT_TRACE,
		.aggregation = CLITE_AGGREGATE_NONE + 1,
		.ring_bytes = cases[_i].ring_bytes,
		.capture_bytes = cases[_i].capture,
	};
	int epoll_fd = cases[_i].edge ? edge_fd() : -1;
	pthread_t threads[PRODUCERS];

	memset(readers, 0, sizeof(readers));
	all.stop = false;
	all.produced = all.seen = 0;
	all.lockstep = cases[_i].lockstep;
	all.prog_fd = clite_sys_prog_fd(ctx, "from_endpoint");
	for (unsigned int i = 0; i < cases[_i].subscribers; i++)
		ck_assert_msg(!clite_subscribe(ctx, &o, count, &readers[i], &readers[i].sub), "%s",
			      clite_error(ctx));
	for (unsigned long i = 0; i < PRODUCERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, produce, (void *)i), 0);
	read_for(text ? (unsigned int)atoi(text) : 2, _i, epoll_fd);
	all.stop = true;
	for (unsigned long i = 0; i < PRODUCERS; i++)
		pthread_join(threads[i], NULL);
	/* and what came last is told, too */
	while (all.seen < all.produced) {
		ck_assert_msg(wait_for(epoll_fd, 1000), "%s: %lu of %lu", cases[_i].name, all.seen,
			      all.produced);
		ck_assert_int_ge(clite_dispatch(ctx, cases[_i].budget), 0);
		note_seen(cases[_i].subscribers);
	}
	ck_assert_uint_eq(all.seen, all.produced);
	printf("%s: %lu\n", cases[_i].name, all.produced);
	for (unsigned int i = 0; i < cases[_i].subscribers; i++)
		clite_unsubscribe(readers[i].sub);
	if (epoll_fd >= 0)
		close(epoll_fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wake");
	TCase *t = tcase_create("wake");
	SRunner *r = srunner_create(s);
	int failed;

	if (geteuid()) {
		puts("needs root: skipped");
		return 77;
	}
	tcase_add_checked_fixture(t, world_reset, NULL);
	tcase_add_loop_test(t, nobody_sleeps, 0, (int)(sizeof(cases) / sizeof(*cases)));
	suite_add_tcase(s, t);
	srunner_set_fork_status(r, CK_NOFORK);
	world_make(0);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	world_remove();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
