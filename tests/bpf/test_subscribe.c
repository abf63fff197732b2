/* SPDX-License-Identifier: BSD-2-Clause */
/* What a subscriber gets: when it is woken, only what it wants, and packets' bytes. */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

#define SYN 2
#define ACK 16
#define DENY                                                                                 \
	"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: p}, "        \
	"spec: {endpointSelector: {matchLabels: {app: b}}, ingress: [{fromEndpoints: [{}], " \
	"toPorts: [{ports: [{port: '80'}]}]}]}}"

static struct {
	unsigned int n, drops, traces, verdicts;
	struct clite_event last;
	uint8_t packet[PACKET_MAX];
} seen;

static int note(const struct clite_event *e, void *userdata)
{
	(void)userdata;
	seen.n++;
	seen.drops += e->type == CLITE_EVENT_DROP;
	seen.traces += e->type == CLITE_EVENT_TRACE;
	seen.verdicts += e->type == CLITE_EVENT_POLICY_VERDICT;
	seen.last = *e;
	ck_assert_uint_le(e->packet_bytes, sizeof(seen.packet));
	if (e->packet_bytes)
		memcpy(seen.packet, e->packet, e->packet_bytes);
	return 0;
}

static struct clite_subscription *subscribe(uint32_t types, uint32_t bytes,
					    struct clite_filters *filters)
{
	struct clite_subscribe_opts o = {
		.sz = sizeof(o),
		.types = types,
		.aggregation = CLITE_AGGREGATE_NONE + 1,
		.capture_bytes = bytes,
		.filters = filters,
	};
	struct clite_subscription *sub;

	ck_assert_msg(!clite_subscribe(ctx, &o, note, NULL, &sub), "%s", clite_error(ctx));
	memset(&seen, 0, sizeof(seen));
	return sub;
}

static int look(void)
{
	int r;

	memset(&seen, 0, sizeof(seen));
	r = clite_dispatch(ctx, 0);
	ck_assert_int_ge(r, 0);
	return r;
}

static bool readable(int ms)
{
	struct pollfd p = { .fd = clite_fd(ctx), .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* Nothing comes any more, and it says so. */
static void settle(void)
{
	for (int i = 0; i < 100 && readable(20); i++)
		clite_dispatch(ctx, 0);
}

static struct packet udp(const char *from, const char *to, uint16_t port, size_t more)
{
	static const uint8_t data[1400] = { 0xab, 0xcd };
	struct packet p = packet_make(host_a, from, to, IPPROTO_UDP, 4000, port, 0);

	packet_data(&p, data, more);
	packet_finish(&p);
	return p;
}

/* ---- waking ---------------------------------------------------------------------------- */

START_TEST(the_first_event_wakes)
{
	struct packet p = udp(A4, B4, 80, 0);
	struct clite_subscription *sub = subscribe(1u << CLITE_EVENT_TRACE, 0, NULL);

	for (int i = 0; i < 50; i++) {
		settle();
		ck_assert(!readable(0));
		from_a(&p);
		ck_assert_msg(readable(0), "event %d", i);
		ck_assert_int_eq(look(), 1);
		/* once woken, the next one comes without a wake of its own, but it comes */
		from_a(&p);
		ck_assert_msg(readable(1000), "the one after event %d", i);
		ck_assert_int_eq(look(), 1);
	}
	clite_unsubscribe(sub);
}
END_TEST

START_TEST(nothing_wakes_who_waits)
{
	struct clite_subscription *sub = subscribe(0, 0, NULL);

	settle();
	ck_assert_msg(!readable(600), "woken without an event");
	clite_unsubscribe(sub);
}
END_TEST

/* What a budget leaves is there at once. */
START_TEST(budget)
{
	struct packet p = udp(A4, B4, 80, 0);
	struct clite_subscription *sub = subscribe(1u << CLITE_EVENT_TRACE, 0, NULL);
	int n = 0;

	for (int i = 0; i < 100; i++)
		from_a(&p);
	while (n < 100) {
		int r;

		ck_assert_msg(readable(0), "after %d", n);
		r = clite_dispatch(ctx, 7);
		ck_assert_int_ge(r, 1);
		ck_assert_int_le(r, 7);
		n += r;
	}
	ck_assert_int_eq(n, 100);
	settle();
	ck_assert(!readable(0));
	clite_unsubscribe(sub);
}
END_TEST

/* Each has its own ring and its own wake. */
START_TEST(two_of_them)
{
	struct packet p = udp(A4, B4, 80, 0);
	struct clite_subscription *drops = subscribe(1u << CLITE_EVENT_DROP, 0, NULL);
	struct clite_subscription *traces = subscribe(1u << CLITE_EVENT_TRACE, 0, NULL);

	import(DENY);
	settle();
	from_a(&p);
	look();
	ck_assert_uint_eq(seen.n, 1); /* port 80: UDP passes, too */
	ck_assert_uint_eq(seen.traces, 1);
	p = udp(A4, B4, 81, 0);
	settle();
	from_a(&p);
	ck_assert(readable(0));
	look();
	ck_assert_uint_eq(seen.drops, 1);
	clite_unsubscribe(drops);
	clite_unsubscribe(traces);
}
END_TEST

static uint32_t subscribers(void)
{
	const struct clite_status *s;

	ck_assert_int_eq(clite_status(ctx, &s), 0);
	return s->subscribers;
}

static int count(const struct clite_event *e, void *userdata)
{
	(void)e;
	(*(unsigned int *)userdata)++;
	return 0;
}

/* Who was away for so long that another has his place goes on in one of his own, and
 * neither takes the other's away, asleep or at the end. */
START_TEST(late_for_the_lease)
{
	struct clite_subscribe_opts o = { .sz = sizeof(o),
					  .aggregation = CLITE_AGGREGATE_NONE + 1 };
	struct clite_subscription *late, *next;
	unsigned int nlate = 0, nnext = 0;
	struct packet p = udp(A4, B4, 80, 0);

	ck_assert_int_eq(clite_subscribe(ctx, &o, count, &nlate, &late), 0);
	settle();
	for (int i = 0; i < 300 && subscribers(); i++)
		usleep(100000);
	ck_assert_uint_eq(subscribers(), 0);
	ck_assert_int_eq(clite_subscribe(ctx, &o, count, &nnext, &next), 0);
	for (int i = 0; i < 10 && subscribers() != 2; i++) {
		ck_assert(readable(10000));
		ck_assert_int_ge(clite_dispatch(ctx, 0), 0);
	}
	ck_assert_uint_eq(subscribers(), 2);
	settle();
	for (unsigned int i = 1; i <= 10; i++) {
		from_a(&p);
		ck_assert(readable(1000));
		ck_assert_int_ge(clite_dispatch(ctx, 0), 0);
		ck_assert_uint_eq(nlate, i);
		ck_assert_uint_eq(nnext, i);
		settle();
	}
	clite_unsubscribe(late);
	ck_assert_uint_eq(subscribers(), 1);
	from_a(&p);
	ck_assert(readable(1000));
	ck_assert_int_ge(clite_dispatch(ctx, 0), 0);
	ck_assert_uint_eq(nnext, 11);
	clite_unsubscribe(next);
	ck_assert_uint_eq(subscribers(), 0);
}
END_TEST

/* Others that come and go do not keep one from renewing its lease. */
START_TEST(lease_among_others)
{
	struct clite_subscribe_opts o = { .sz = sizeof(o) };
	struct clite_subscription *stays, *guest;
	unsigned int n = 0;

	ck_assert_int_eq(clite_subscribe(ctx, &o, count, &n, &stays), 0);
	/* for longer than a lease is */
	for (int i = 0; i < 60; i++) {
		ck_assert_int_eq(clite_subscribe(ctx, &o, count, &n, &guest), 0);
		usleep(200000);
		ck_assert_int_ge(clite_dispatch(ctx, 0), 0);
		clite_unsubscribe(guest);
		ck_assert_uint_eq(subscribers(), 1);
	}
	clite_unsubscribe(stays);
}
END_TEST

/* One that always has something does not keep the others from their turn. */
START_TEST(turns)
{
	struct clite_subscribe_opts o = { .sz = sizeof(o),
					  .aggregation = CLITE_AGGREGATE_NONE + 1 };
	struct packet p = udp(A4, B4, 80, 0);
	struct clite_subscription *sub[3];
	unsigned int n[3] = {};

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(clite_subscribe(ctx, &o, count, &n[i], &sub[i]), 0);
	for (int i = 0; i < 50; i++)
		from_a(&p);
	for (int i = 0; i < 30; i++)
		ck_assert_int_eq(clite_dispatch(ctx, 2), 2);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(n[i], 20);
		clite_unsubscribe(sub[i]);
	}
}
END_TEST

static struct clite_subscription *pair[2];

static int end_first(const struct clite_event *e, void *userdata)
{
	(void)e;
	(*(unsigned int *)userdata)++;
	pair[0] = clite_unsubscribe(pair[0]);
	return 0;
}

static void end_second(void *userdata)
{
	(void)userdata;
	pair[1] = clite_unsubscribe(pair[1]);
}

/* A destroy ends another one, which is the next in the list, and that one the last. */
START_TEST(destroy_ends_another)
{
	struct clite_subscribe_opts o = { .sz = sizeof(o),
					  .aggregation = CLITE_AGGREGATE_NONE + 1 };
	struct packet p = udp(A4, B4, 80, 0);
	unsigned int n = 0, others = 0;

	ck_assert_int_eq(clite_subscribe(ctx, &o, count, &others, &pair[1]), 0);
	o.destroy = end_second;
	ck_assert_int_eq(clite_subscribe(ctx, &o, end_first, &n, &pair[0]), 0);
	for (int i = 0; i < 3; i++)
		from_a(&p);
	ck_assert_int_eq(clite_dispatch(ctx, 0), 4);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(others, 3);
	ck_assert_ptr_null(pair[0]);
	ck_assert_ptr_null(pair[1]);
	ck_assert_uint_eq(subscribers(), 0);
}
END_TEST

/* ---- bytes ------------------------------------------------------------------------------ */

static void is_packet(const struct packet *p, uint32_t bytes)
{
	ck_assert_uint_eq(seen.last.length, p->len);
	ck_assert_uint_eq(seen.last.packet_bytes, bytes < p->len ? bytes : p->len);
	ck_assert_mem_eq(seen.packet, p->data, seen.last.packet_bytes);
}

/* Of IPv4 and IPv6, by the slow path, by the fast one, and dropped. */
START_TEST(bytes_of_packets)
{
	static const uint32_t sizes[] = { 1, 14, 60, 1500, 16384 };
	const char *from = _i ? A6 : A4, *to = _i ? B6 : B4;

	import(DENY);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct packet p = udp(from, to, 80, i % 2 ? 1200 : 0);
		struct clite_subscription *sub = subscribe(0, sizes[i], NULL);

		ck_assert_int_ge(clite_conntrack_flush(ctx, 0), 0);
		for (int k = 0; k < 3; k++) {
			from_a(&p);
			look();
			ck_assert_uint_eq(seen.traces, 1);
			ck_assert_uint_eq(seen.last.trace_reason, k ? 1 : 0);
			is_packet(&p, sizes[i]);
		}
		p = udp(from, to, 81, 100);
		from_a(&p);
		look();
		ck_assert_uint_eq(seen.drops, 1);
		ck_assert_uint_eq(seen.verdicts, 1);
		is_packet(&p, sizes[i]);
		clite_unsubscribe(sub);
	}
}
END_TEST

/* Who does not ask for them does not get them, beside somebody who does. */
START_TEST(bytes_are_asked_for)
{
	struct packet p = udp(A4, B4, 80, 200);
	struct clite_subscription *some = subscribe(1u << CLITE_EVENT_TRACE, 100, NULL);
	struct clite_subscription *none = subscribe(1u << CLITE_EVENT_TRACE, 0, NULL);

	from_a(&p);
	/* the one who came last is asked first */
	ck_assert_int_eq(clite_dispatch(ctx, 1), 1);
	ck_assert_ptr_null(seen.last.packet);
	ck_assert_uint_eq(seen.last.packet_bytes, 0);
	ck_assert_int_eq(clite_dispatch(ctx, 1), 1);
	is_packet(&p, 100);
	clite_unsubscribe(some);
	clite_unsubscribe(none);
}
END_TEST

/* ---- filters ------------------------------------------------------------------------------ */

static struct clite_filters *filters(const char *allow, const char *deny)
{
	struct clite_filters *fs;

	ck_assert_int_eq(clite_filters_new(&fs), 0);
	ck_assert_msg(!clite_filters_add_json(fs, CLITE_FILTER_ALLOW, allow), "%s",
		      clite_filters_error(fs));
	ck_assert(!deny || !clite_filters_add_json(fs, CLITE_FILTER_DENY, deny));
	return fs;
}

/* Events of a packet to an open port and of one to another, by filter. */
static const struct {
	const char *allow, *deny;
	unsigned int traces, verdicts, drops;
} filtered[] = {
	{ "{}", NULL, 1, 2, 1 },
	{ "{\"verdict\":[\"DROPPED\"]}", NULL, 0, 1, 1 },
	{ "{\"event_type\":[{\"type\":4}]}", NULL, 1, 0, 0 },
	{ "{\"destination_port\":[\"81\"]}", NULL, 0, 1, 1 },
	{ "{\"destination_port\":[\"80\"],\"event_type\":[{\"type\":5}]}", NULL, 0, 1, 0 },
	{ "{\"source_ip\":[\"10.0.0.0/30\"],\"protocol\":[\"udp\"]}", NULL, 1, 2, 1 },
	{ "{\"source_ip\":[\"10.0.0.2\"]}", NULL, 0, 0, 0 },
	{ "{\"protocol\":[\"tcp\"]}", NULL, 0, 0, 0 },
	{ "{\"ip_version\":[\"IPv6\"]}", NULL, 0, 0, 0 },
	{ "{\"drop_reason_desc\":[\"POLICY_DENIED\"],\"traffic_direction\":[\"INGRESS\"]}", NULL, 0,
	  1, 1 },
	{ "{\"traffic_direction\":[\"EGRESS\"]}", NULL, 0, 0, 0 },
	/* what only the library knows */
	{ "{\"source_label\":[\"app=a\"]}", NULL, 1, 2, 1 },
	{ "{\"source_label\":[\"app=b\"]}", NULL, 0, 0, 0 },
	{ "{\"destination_label\":[\"app=b\"],\"verdict\":[\"DROPPED\"]}", NULL, 0, 1, 1 },
	{ "{}", "{\"verdict\":[\"DROPPED\"]}", 1, 1, 0 },
	{ "{}", "{\"source_label\":[\"app=a\"]}", 0, 0, 0 },
	{ "{\"protocol\":[\"http\"]}", NULL, 0, 0, 0 },
};

START_TEST(filters_decide)
{
	struct clite_filters *fs = filters(filtered[_i].allow, filtered[_i].deny);
	struct packet open = udp(A4, B4, 80, 0), closed = udp(A4, B4, 81, 0);
	struct clite_subscription *sub;
	uint64_t lost;
	int r;

	import(DENY);
	sub = subscribe(0, 0, fs);
	clite_filters_unref(fs); /* the subscription has its own reference */
	from_a(&open);
	from_a(&closed);
	r = look();
	ck_assert_msg(seen.traces == filtered[_i].traces &&
			      seen.verdicts == filtered[_i].verdicts &&
			      seen.drops == filtered[_i].drops,
		      "%u traces, %u verdicts, %u drops", seen.traces, seen.verdicts, seen.drops);
	ck_assert_int_eq(r, (int)seen.n);
	ck_assert_int_eq(clite_subscription_lost(sub, &lost), 0);
	ck_assert_uint_eq(lost, 0);
	clite_unsubscribe(sub);
}
END_TEST

/* What nobody wants is not in the ring: one of a page would be full of it. */
START_TEST(unwanted_events_take_no_room)
{
	struct clite_filters *fs = filters("{\"destination_port\":[\"81\"]}", NULL);
	struct packet other = udp(A4, B4, 80, 0), wanted = udp(A4, B4, 81, 0);
	struct clite_subscribe_opts o = {
		.sz = sizeof(o),
		.types = 1u << CLITE_EVENT_TRACE,
		.aggregation = CLITE_AGGREGATE_NONE + 1,
		.ring_bytes = 4096,
		.filters = fs,
	};
	struct clite_subscription *sub;
	uint64_t lost;

	ck_assert_int_eq(clite_subscribe(ctx, &o, note, NULL, &sub), 0);
	settle();
	for (int i = 0; i < 1000; i++)
		from_a(&other);
	ck_assert(!readable(0));
	from_a(&wanted);
	ck_assert(readable(0));
	ck_assert_int_eq(look(), 1);
	ck_assert_int_eq(clite_subscription_lost(sub, &lost), 0);
	ck_assert_uint_eq(lost, 0);
	clite_unsubscribe(sub);
	clite_filters_unref(fs);
}
END_TEST

static void reset(void)
{
	world_reset();
}

int main(void)
{
	Suite *s = suite_create("subscribe");
	TCase *t = tcase_create("subscribe");
	SRunner *r = srunner_create(s);
	int failed;

	if (geteuid()) {
		puts("needs root: skipped");
		return 77;
	}
	tcase_add_checked_fixture(t, reset, NULL);
	tcase_add_test(t, the_first_event_wakes);
	tcase_add_test(t, nothing_wakes_who_waits);
	tcase_add_test(t, budget);
	tcase_add_test(t, two_of_them);
	tcase_add_test(t, late_for_the_lease);
	tcase_add_test(t, lease_among_others);
	tcase_add_test(t, turns);
	tcase_add_test(t, destroy_ends_another);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, bytes_of_packets, 0, 2);
	tcase_add_test(t, bytes_are_asked_for);
	tcase_add_loop_test(t, filters_decide, 0, (int)(sizeof(filtered) / sizeof(*filtered)));
	tcase_add_test(t, unwanted_events_take_no_room);
	suite_add_tcase(s, t);
	srunner_set_fork_status(r, CK_NOFORK);
	world_make(0);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	world_remove();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
