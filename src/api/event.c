/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "api/ctx.h"
#include "api/filter.h"
#include "model/filter_layout.h"

struct clite_subscription {
	struct clite_ctx *ctx; /* a reference */
	struct clite_subscription *next;
	struct ring *ring; /* NULL: ended, or the instance is gone */
	int (*cb)(const struct clite_event *event, void *userdata);
	void (*destroy)(void *userdata);
	void *userdata;
	bool dead;	   /* ended inside its callback: freed after the dispatch */
	struct clite_filters *filters; /* a reference; NULL: all */
	uint32_t budget;   /* records that it may take, 0: any number */
	uint32_t seen;	   /* in this dispatch: records */
	uint32_t taken;	   /* and those that were wanted */
	bool stopped;	   /* and there may be more */
	uint32_t ring_bytes;
	bool capture;
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

/* Does an event that the datapath has let through really pass? */
static bool wanted(struct clite_subscription *s, const struct clite_event *e)
{
	const struct clite_flow numbers = { .sz = sizeof(numbers), .event = e }, *flow = &numbers;

	if (!s->filters)
		return true;
	/* What is new has a name, too. Where names cannot be had: rather one too many. */
	if (s->filters->filters.names &&
	    (state_refresh(&s->ctx->st, NULL) || ctx_flow(s->ctx, e, &flow)))
		return true;
	return filters_pass(&s->filters->filters, flow);
}

static int on_record(void *data, const void *record, size_t len)
{
	struct clite_subscription *s = data;
	struct clite_event e;
	int r;

	/* No user of the ring but the kernel writes to it; what is no record is not
	 * shown to anybody. */
	if (!s->capture && len > sizeof(struct dp_event_rec))
		return 0;
	if (event_decode(record, len, s->boot_to_real, &e))
		return 0;
	s->seen++;
	if (wanted(s, &e)) {
		s->taken++;
		r = s->cb(&e, s->userdata);
		if (r < 0)
			return r;
	}
	return s->dead || (s->budget && s->seen >= s->budget) ? STOP : 0;
}

/* ---- subscribe ------------------------------------------------------------------ */

/* Looks again at rings that were busy. */
#define SOON_NS 2000000

static int timer_set(struct clite_ctx *ctx, bool on)
{
	struct itimerspec t = { .it_interval.tv_sec = on ? RING_RENEW : 0,
				.it_value.tv_sec = on ? RING_RENEW : 0 };

	return timerfd_settime(ctx->timer_fd, 0, &t, NULL) < 0 ? -errno : 0;
}

static void soon_set(struct clite_ctx *ctx)
{
	struct itimerspec t = { .it_value.tv_nsec = SOON_NS };

	if (!ctx->soon)
		ctx->soon = !timerfd_settime(ctx->soon_fd, 0, &t, NULL);
}

/* Packets that a ring must have room for, and bytes of each beside what is captured. */
#define CAPTURE_ROOM 4
#define RECORD_ROOM 144

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
	if (o->capture_bytes > DP_CAPTURE_MAX)
		return err_set(&ctx->err, EINVAL, "capture_bytes %u: at most %u",
			       o->capture_bytes, DP_CAPTURE_MAX);
	if (o->capture_bytes && o->ring_bytes < CAPTURE_ROOM * (o->capture_bytes + RECORD_ROOM))
		return err_set(&ctx->err, EINVAL,
			       "ring_bytes %u: too few for capture_bytes %u, at least %u",
			       o->ring_bytes, o->capture_bytes,
			       CAPTURE_ROOM * (o->capture_bytes + RECORD_ROOM));
	return 0;
}

/* As much as possible of the filters is the datapath's: what nobody wants is never in a
 * ring, and types that nobody wants cost it nothing. */
static int subscription_open(struct clite_ctx *ctx, struct clite_subscription *s,
			     const struct clite_subscribe_opts *o)
{
	struct dp_filters filters;
	struct ring_opts ring = {
		.types = o->types,
		.bytes = o->ring_bytes,
		.capture = o->capture_bytes,
		.every = o->aggregation == CLITE_AGGREGATE_NONE + 1,
		.filters = &filters,
	};
	uint32_t types;

	if (o->filters) {
		ring.nfilters = (uint32_t)filters_layout(&o->filters->filters, &filters, &types);
		ring.types &= types;
	}
	return ring_open(ctx->dp, &ring, on_record, s, &s->ring, &ctx->err);
}

int clite_subscribe(struct clite_ctx *ctx, const struct clite_subscribe_opts *opts,
		    int (*cb)(const struct clite_event *event, void *userdata), void *userdata,
		    struct clite_subscription **ret)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
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
	s->ring_bytes = o.ring_bytes;
	s->capture = o.capture_bytes;
	r = subscription_open(ctx, s, &o);
	if (!r) {
		ring_wait(s->ring, 0);
		ev.data.fd = ring_fd(s->ring);
	}
	if (!r && epoll_ctl(ctx->epoll_fd, EPOLL_CTL_ADD, ring_fd(s->ring), &ev) < 0)
		r = err_set(&ctx->err, errno, "cannot wait for the ring: %s", strerror(errno));
	/* one that runs is left alone: it would never ring for who subscribes often */
	if (!r && !ctx->subs)
		r = timer_set(ctx, true);
	if (r) {
		ring_close(s->ring);
		free(s);
		return r;
	}
	s->destroy = o.destroy;
	s->filters = clite_filters_ref(o.filters);
	if (s->filters)
		s->filters->used = true;
	s->ctx = clite_ref(ctx);
	/* Who had the place before may just be woken in our stead: look once. */
	soon_set(ctx);
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
	clite_filters_unref(s->filters);
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

/* What has made the fd readable is seen to now. */
static void timers_read(struct clite_ctx *ctx)
{
	struct epoll_event ev[DP_SUBSCRIBERS + 2];
	int n = epoll_wait(ctx->epoll_fd, ev, ARRAY_SIZE(ev), 0);
	uint64_t ticks;

	for (int i = 0; i < n; i++) {
		if (ev[i].data.fd == ctx->soon_fd && read(ctx->soon_fd, &ticks, sizeof(ticks)) > 0)
			ctx->soon = false;
		if (ev[i].data.fd != ctx->timer_fd || read(ctx->timer_fd, &ticks, sizeof(ticks)) < 0)
			continue;
		for (struct clite_subscription *s = ctx->subs; s; s = s->next)
			if (s->ring)
				ring_renew(s->ring);
	}
}

/* When is this one's turn again? Wakes are dear, for the datapath too. Where events have just
 * come there will be more: it is looked at soon, or when a quarter of the ring is full. Where
 * none have come, the next one wakes. */
static void wait_next(struct clite_subscription *s)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.fd = ring_fd(s->ring) };
	bool busy = s->seen && !s->stopped;

	if (!ring_wait(s->ring, busy ? s->ring_bytes / 4 : 0))
		epoll_ctl(s->ctx->epoll_fd, EPOLL_CTL_MOD, ring_fd(s->ring), &ev);
	else if (busy)
		soon_set(s->ctx);
}

static void reap(struct clite_ctx *ctx)
{
	struct clite_subscription *s = ctx->subs, *next;

	clite_ref(ctx);
	for (; s; s = next) {
		next = s->next;
		if (!s->dead)
			continue;
		subscription_free(s);
		/* its destroy may have ended others, too */
		next = ctx->subs;
	}
	clite_close(ctx);
}

/* Whose turn did not come is asked first the next time. */
static void ask_first(struct clite_ctx *ctx, struct clite_subscription *first)
{
	struct clite_subscription **last = &first->next, **before = &ctx->subs;

	while (*before != first)
		before = &(*before)->next;
	*before = NULL;
	while (*last)
		last = &(*last)->next;
	*last = ctx->subs;
	ctx->subs = first;
}

/* One ring's turn: returns records taken, or the callback's negative value. */
static int take_turn(struct clite_subscription *s, uint32_t budget, uint64_t boot_to_real)
{
	int r;

	s->budget = budget;
	s->boot_to_real = boot_to_real;
	ring_wait_not(s->ring);
	r = ring_consume(s->ring);
	s->stopped = r < 0;
	return r < 0 && r != STOP ? r : 0;
}

int clite_dispatch(struct clite_ctx *ctx, uint32_t budget)
{
	struct clite_subscription *s;
	uint64_t boot_to_real;
	uint32_t seen = 0, taken = 0;
	int r = 0;

	if (!ctx)
		return -EINVAL;
	if (ctx->pid != getpid())
		return -ECHILD;
	if (ctx->dispatching || ctx->walking)
		return -EDEADLK;
	boot_to_real = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME);
	timers_read(ctx);
	for (s = ctx->subs; s; s = s->next)
		s->seen = s->taken = 0;
	ctx->dispatching = true;
	for (s = ctx->subs; s && !r; s = s->next) {
		if (budget && seen >= budget)
			break;
		if (!s->ring || s->dead)
			continue;
		r = take_turn(s, budget ? budget - seen : 0, boot_to_real);
		seen += s->seen;
		taken += s->taken;
	}
	ctx->dispatching = false;
	if (s)
		ask_first(ctx, s);
	for (s = ctx->subs; s; s = s->next)
		if (s->ring && !s->dead)
			wait_next(s);
	reap(ctx);
	return r ?: (int)(taken & INT32_MAX);
}
