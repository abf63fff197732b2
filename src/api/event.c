/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "api/ctx.h"

struct clite_subscription {
	struct clite_ctx *ctx; /* a reference */
	struct clite_subscription *next;
	struct ring *ring; /* NULL: ended, or the instance is gone */
	int (*cb)(const struct clite_event *event, void *userdata);
	void (*destroy)(void *userdata);
	void *userdata;
	bool dead;	   /* ended inside its callback: freed after the dispatch */
	uint32_t budget;   /* records that it may take, 0: any number */
	uint32_t taken;
	uint64_t lost;     /* of a ring that is closed */
	uint64_t boot_to_real;
};

/* Stops a ring without being the callback's own value. */
#define STOP (-4999)

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int on_record(void *data, void *record, size_t len)
{
	struct clite_subscription *s = data;
	struct clite_event e;
	int r;

	/* No user of the ring but the kernel writes to it; what is no record is not
	 * shown to anybody. */
	if (event_decode(record, len, s->boot_to_real, &e))
		return 0;
	s->taken++;
	r = s->cb(&e, s->userdata);
	if (r < 0)
		return r;
	return s->dead || (s->budget && s->taken >= s->budget) ? STOP : 0;
}

/* ---- subscribe ------------------------------------------------------------------ */

static int timer_set(struct clite_ctx *ctx, bool on)
{
	struct itimerspec t = { .it_interval.tv_sec = on ? RING_RENEW : 0,
				.it_value.tv_sec = on ? RING_RENEW : 0 };

	return timerfd_settime(ctx->timer_fd, 0, &t, NULL) < 0 ? -errno : 0;
}

static int opts_check(struct clite_ctx *ctx, struct clite_subscribe_opts *o)
{
	const uint32_t all = 1u << CLITE_EVENT_DROP | 1u << CLITE_EVENT_TRACE |
			     1u << CLITE_EVENT_POLICY_VERDICT;

	if (!o->types)
		o->types = all;
	if (o->types & ~all)
		return err_set(&ctx->err, EINVAL, "types 0x%x: no such event types",
			       o->types & ~all);
	if (!o->aggregation)
		o->aggregation = CLITE_AGGREGATE_MEDIUM + 1;
	if (o->aggregation != CLITE_AGGREGATE_MEDIUM + 1 &&
	    o->aggregation != CLITE_AGGREGATE_NONE + 1)
		return err_set(&ctx->err, EINVAL, "aggregation %u: no such level",
			       o->aggregation - 1);
	if (!o->ring_bytes)
		o->ring_bytes = 1 << 20;
	if (o->ring_bytes & (o->ring_bytes - 1) || o->ring_bytes < (uint32_t)getpagesize())
		return err_set(&ctx->err, EINVAL,
			       "ring_bytes %u: not a power of two and a multiple of %d",
			       o->ring_bytes, getpagesize());
	if (o->reserved)
		return err_set(&ctx->err, EINVAL, "reserved is not 0");
	return 0;
}

int clite_subscribe(struct clite_ctx *ctx, const struct clite_subscribe_opts *opts,
		    int (*cb)(const struct clite_event *event, void *userdata), void *userdata,
		    struct clite_subscription **ret)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct clite_subscription *s;
	struct clite_subscribe_opts o;
	int r;

	if (!cb || !ret || opts_copy(&o, sizeof(o), opts))
		return -EINVAL;
	r = ctx_enter(ctx);
	if (!r)
		r = opts_check(ctx, &o);
	if (r)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->cb = cb;
	s->userdata = userdata;
	r = ring_open(ctx->dp, o.types, o.aggregation == CLITE_AGGREGATE_NONE + 1, o.ring_bytes,
		      on_record, s, &s->ring, &ctx->err);
	if (!r && epoll_ctl(ctx->epoll_fd, EPOLL_CTL_ADD, ring_fd(s->ring), &ev) < 0)
		r = err_set(&ctx->err, errno, "cannot wait for the ring: %s", strerror(errno));
	if (!r)
		r = timer_set(ctx, true);
	if (r) {
		ring_close(s->ring);
		free(s);
		return r;
	}
	s->destroy = o.destroy;
	s->ctx = clite_ref(ctx);
	s->next = ctx->subs;
	ctx->subs = s;
	*ret = s;
	return 0;
}

static void ring_end(struct clite_subscription *s)
{
	if (!s->ring)
		return;
	s->lost = ring_lost(s->ring);
	epoll_ctl(s->ctx->epoll_fd, EPOLL_CTL_DEL, ring_fd(s->ring), NULL);
	s->ring = ring_close(s->ring);
}

static void subscription_free(struct clite_subscription *s)
{
	struct clite_ctx *ctx = s->ctx;

	for (struct clite_subscription **p = &ctx->subs; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	/* After fork() slot and ring are the parent's. */
	if (ctx->pid == getpid()) {
		ring_end(s);
		if (!ctx->subs)
			timer_set(ctx, false);
		if (s->destroy)
			s->destroy(s->userdata);
	}
	free(s);
	clite_close(ctx);
}

struct clite_subscription *clite_unsubscribe(struct clite_subscription *s)
{
	if (!s)
		return NULL;
	if (s->ctx->dispatching)
		s->dead = true;
	else
		subscription_free(s);
	return NULL;
}

void subscriptions_orphan(struct clite_ctx *ctx)
{
	for (struct clite_subscription *s = ctx->subs; s; s = s->next)
		if (!ctx->dispatching)
			ring_end(s);
}

int clite_subscription_lost(struct clite_subscription *s, uint64_t *ret)
{
	if (!s || !ret)
		return -EINVAL;
	*ret = s->ring ? ring_lost(s->ring) : s->lost;
	return 0;
}

/* ---- dispatch ------------------------------------------------------------------- */

static void reap(struct clite_ctx *ctx)
{
	struct clite_subscription *s = ctx->subs, *next;

	clite_ref(ctx);
	for (; s; s = next) {
		next = s->next;
		if (s->dead)
			subscription_free(s);
	}
	clite_close(ctx);
}

/* One ring's turn: returns records taken, or the callback's negative value. */
static int take_turn(struct clite_subscription *s, uint32_t budget, uint64_t boot_to_real,
		     uint32_t *taken)
{
	int r;

	s->budget = budget;
	s->taken = 0;
	s->boot_to_real = boot_to_real;
	r = ring_consume(s->ring);
	*taken += s->taken;
	return r < 0 && r != STOP ? r : 0;
}

int clite_dispatch(struct clite_ctx *ctx, uint32_t budget)
{
	struct clite_subscription *s;
	uint64_t boot_to_real, ticks;
	uint32_t taken = 0;
	int r = 0;

	if (!ctx)
		return -EINVAL;
	if (ctx->pid != getpid())
		return -ECHILD;
	if (ctx->dispatching || ctx->walking)
		return -EDEADLK;
	boot_to_real = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME);
	if (read(ctx->timer_fd, &ticks, sizeof(ticks)) == sizeof(ticks))
		for (s = ctx->subs; s; s = s->next)
			if (s->ring)
				ring_renew(s->ring);
	ctx->dispatching = true;
	for (s = ctx->subs; s && !r; s = s->next) {
		if (budget && taken >= budget)
			break;
		if (s->ring && !s->dead)
			r = take_turn(s, budget ? budget - taken : 0, boot_to_real, &taken);
	}
	ctx->dispatching = false;
	reap(ctx);
	return r ?: (int)(taken & INT32_MAX);
}
