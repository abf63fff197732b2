/* SPDX-License-Identifier: BSD-2-Clause */
/* Events of real packets: every one is delivered or counted as lost, at once, to
 * every subscriber, whatever happens to the others. */
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stage.h"

#define DROPS (1u << CLITE_EVENT_DROP)
#define TRACES (1u << CLITE_EVENT_TRACE)
#define POLICY_DENIED 133
#define SLOTS 8

static struct workload red = { .name = "red", .number = 1 };
static struct workload blue = { .name = "blue", .number = 2 };
static struct clite_ctx *ctx;
static int red_fd, blue_fd;

static const char *const deny =
	"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: web}\n"
	"spec:\n  endpointSelector: {matchLabels: {app: blue}}\n"
	"  ingress:\n  - fromEndpoints: [{matchLabels: {app: nobody}}]\n";

static void nobody_may(void)
{
	ck_assert_msg(clite_policy_import(ctx, deny, strlen(deny), NULL) == 1, "%s", clite_error(ctx));
}

static void setup(void)
{
	char buf[16];

	ctx = instance_open(NULL, CLITE_OPEN_EPHEMERAL);
	ck_assert_msg(!workload_add(ctx, &red) && !workload_add(ctx, &blue), "%s", clite_error(ctx));
	while (recv(blue_fd, buf, sizeof(buf), 0) >= 0)
		;
}

static void teardown(void)
{
	ctx = clite_close(ctx);
}

/* ---- subscribers --------------------------------------------------------------------- */

struct reader {
	struct clite_subscription *sub;
	uint64_t events, destroyed;
	struct clite_event last;
};

static int count_event(const struct clite_event *event, void *userdata)
{
	struct reader *r = userdata;

	r->events++;
	r->last = *event;
	return 0;
}

static void gone(void *userdata)
{
	struct reader *r = userdata;

	r->destroyed++;
}

static int try_subscribe(struct clite_ctx *c, struct reader *r, uint32_t types, uint32_t level,
			 uint32_t ring)
{
	struct clite_subscribe_opts o = {
		.sz = sizeof(o),
		.types = types,
		.aggregation = level + 1,
		.ring_bytes = ring,
		.destroy = gone,
	};

	*r = (struct reader){};
	return clite_subscribe(c, &o, count_event, r, &r->sub);
}

static void subscribe(struct reader *r, uint32_t types, uint32_t level, uint32_t ring)
{
	ck_assert_msg(!try_subscribe(ctx, r, types, level, ring), "%s", clite_error(ctx));
}

static void unsubscribe(struct reader *r)
{
	clite_unsubscribe(r->sub);
	ck_assert_int_eq(r->destroyed, 1);
}

static uint64_t lost(struct reader *r)
{
	uint64_t n;

	ck_assert_int_eq(clite_subscription_lost(r->sub, &n), 0);
	return n;
}

/* Read until nothing comes any more. */
static void drain(void)
{
	int r;

	while ((r = clite_dispatch(ctx, 0)))
		ck_assert_int_gt(r, 0);
}

static void send_many(uint32_t n)
{
	char buf[16];

	for (uint32_t i = 0; i < n; i++) {
		ck_assert_int_eq(send(red_fd, "?", 1, 0), 1);
		while (recv(blue_fd, buf, sizeof(buf), 0) > 0)
			;
	}
}

/* What red sends is judged before send() returns or soon after it. */
static void await_drops(uint64_t n)
{
	uint64_t end = now_ms() + 5000;

	while (drops(ctx, POLICY_DENIED) < n)
		ck_assert_msg(now_ms() < end, "%llu drops of %llu",
			      (unsigned long long)drops(ctx, POLICY_DENIED), (unsigned long long)n);
}

/* ---- tests ---------------------------------------------------------------------------- */

START_TEST(flood_of_drops)
{
	struct reader small, large;

	nobody_may();
	subscribe(&small, DROPS, CLITE_AGGREGATE_MEDIUM, 4096);
	subscribe(&large, DROPS, CLITE_AGGREGATE_MEDIUM, 4 << 20);
	send_many(5000);
	await_drops(5000);
	drain();
	ck_assert_uint_eq(drops(ctx, POLICY_DENIED), 5000);
	ck_assert_uint_gt(small.events, 0);
	ck_assert_uint_gt(lost(&small), 0);
	ck_assert_uint_eq(small.events + lost(&small), 5000);
	ck_assert_uint_eq(large.events, 5000);
	ck_assert_uint_eq(lost(&large), 0);
	ck_assert_uint_eq(large.last.drop_reason, POLICY_DENIED);

	/* Room again: nothing more is lost. */
	uint64_t before = lost(&small), events = small.events;

	send_many(10);
	await_drops(5010);
	drain();
	ck_assert_uint_eq(small.events, events + 10);
	ck_assert_uint_eq(lost(&small), before);
	unsubscribe(&small);
	unsubscribe(&large);
}
END_TEST

START_TEST(flood_while_it_is_read)
{
	struct reader r;

	nobody_may();
	subscribe(&r, DROPS, CLITE_AGGREGATE_MEDIUM, 8192);
	for (int i = 0; i < 50; i++) {
		send_many(100);
		ck_assert_int_ge(clite_dispatch(ctx, 7), 0);
	}
	await_drops(5000);
	drain();
	ck_assert_uint_eq(r.events + lost(&r), 5000);
	ck_assert_uint_gt(r.events, 350);
	unsubscribe(&r);
}
END_TEST

START_TEST(aggregation)
{
	struct reader all, some;

	subscribe(&all, TRACES, CLITE_AGGREGATE_NONE, 4 << 20);
	subscribe(&some, TRACES, CLITE_AGGREGATE_MEDIUM, 4 << 20);
	send_many(1000);
	drain();
	ck_assert_uint_eq(all.events, 1000);
	ck_assert_uint_eq(all.last.packets, 1000);
	ck_assert_uint_eq(all.last.bytes, 1000 * 43);
	ck_assert_uint_ge(some.events, 1);
	ck_assert_uint_le(some.events, 3);
	ck_assert_uint_eq(lost(&all) + lost(&some), 0);

	/* The one who wanted everything goes: the other's share is as before. */
	unsubscribe(&all);
	send_many(1000);
	drain();
	ck_assert_uint_le(some.events, 4);
	unsubscribe(&some);
}
END_TEST

START_TEST(readable_at_once)
{
	struct reader r;
	uint64_t worst = 0;

	nobody_may();
	subscribe(&r, DROPS, CLITE_AGGREGATE_MEDIUM, 65536);
	drain();
	for (uint64_t i = 1; i <= 50; i++) {
		struct pollfd p = { .fd = clite_fd(ctx), .events = POLLIN };
		uint64_t begin = now_ms(), took;

		send_many(1);
		/* The fd has timers as well: go on until the event is there. */
		while (r.events < i) {
			ck_assert_msg(poll(&p, 1, 5000) == 1, "event %u does not come", (unsigned int)i);
			ck_assert_int_ge(clite_dispatch(ctx, 0), 0);
		}
		took = now_ms() - begin;
		worst = took > worst ? took : worst;
	}
	printf("worst of 50: %u ms\n", (unsigned int)worst);
	/* Promised are 10 ms; the machine may be busy. */
	ck_assert_uint_le(worst, 250);
	unsubscribe(&r);
}
END_TEST

static uint32_t subscribers(struct clite_ctx *c)
{
	const struct clite_status *s;

	ck_assert_int_eq(clite_status(c, &s), 0);
	return s->subscribers;
}

/* A process that subscribes until it is killed. */
static pid_t victim(const char *name, int n)
{
	int ready[2];
	char c;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		struct clite_ctx *own = instance_open(name, 0);
		struct reader *readers = calloc((size_t)n, sizeof(*readers));

		for (int i = 0; i < n; i++)
			NEED(!try_subscribe(own, &readers[i], 0, CLITE_AGGREGATE_NONE, 4096),
			     "subscribe: %s", clite_error(own));
		NEED(write(ready[1], "!", 1) == 1, "write: %m");
		for (;;)
			pause();
	}
	close(ready[1]);
	ck_assert_msg(read(ready[0], &c, 1) == 1, "the victim is no subscriber");
	close(ready[0]);
	return pid;
}

/* Those of the dead take no place for long, and no packet from the living. */
START_TEST(dead_subscribers)
{
	struct reader own, more;
	uint64_t end;
	pid_t pid;
	int r;

	ctx = clite_close(ctx);
	ctx = instance_open("events", CLITE_OPEN_CREATE | CLITE_OPEN_EXCLUSIVE);
	ck_assert_msg(!workload_add(ctx, &red) && !workload_add(ctx, &blue), "%s", clite_error(ctx));
	subscribe(&own, TRACES, CLITE_AGGREGATE_NONE, 1 << 20);
	pid = victim("events", SLOTS - 1);
	ck_assert_uint_eq(subscribers(ctx), SLOTS);
	r = try_subscribe(ctx, &more, 0, CLITE_AGGREGATE_NONE, 4096);
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_msg(strstr(clite_error(ctx), "8"), "%s", clite_error(ctx));
	send_many(100);
	drain();
	ck_assert_uint_eq(own.events, 100);

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	end = now_ms() + 30000;
	while (try_subscribe(ctx, &more, TRACES, CLITE_AGGREGATE_NONE, 1 << 20)) {
		ck_assert_msg(now_ms() < end, "the places of the dead are not free: %s", clite_error(ctx));
		ck_assert_int_ge(clite_dispatch(ctx, 0), 0);
		usleep(20000);
	}
	while (subscribers(ctx) != 2) {
		ck_assert_msg(now_ms() < end, "%u subscribers", subscribers(ctx));
		ck_assert_int_ge(clite_dispatch(ctx, 0), 0);
		usleep(20000);
	}
	drain();
	ck_assert_uint_eq(own.events, 100);
	send_many(100);
	drain();
	ck_assert_uint_eq(own.events, 200);
	ck_assert_uint_eq(more.events, 100);
	ck_assert_uint_eq(lost(&own) + lost(&more), 0);
	unsubscribe(&own);
	unsubscribe(&more);
	ck_assert_uint_eq(subscribers(ctx), 0);
	ck_assert_int_eq(clite_destroy(ctx), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("events");
	TCase *t = tcase_create("events");
	SRunner *sr;
	int failed;

	stage_make();
	workload_make(&red);
	workload_make(&blue);
	blue_fd = udp_socket(&blue, 53, NULL, 0);
	red_fd = udp_socket(&red, 5000, &blue, 53);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, flood_of_drops);
	tcase_add_test(t, flood_while_it_is_read);
	tcase_add_test(t, aggregation);
	tcase_add_test(t, readable_at_once);
	tcase_add_test(t, dead_subscribers);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_set_fork_status(sr, CK_NOFORK);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
