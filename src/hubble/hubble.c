/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions of cilium-lite/hubble.h, and the loop. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>

#include "hubble/conn.h"
#include "hubble/hub.h"
#include "hubble/listen.h"

#define FLOWS_DEFAULT 4095 /* Hubble's */
#define FLOWS_MAX (1u << 28)
#define CONNECTIONS_DEFAULT 256
#define EVENTS 64	 /* of the epoll set at a time */
#define LATE (NS / 100)	 /* of serving: others wait for this thread, too */
#define ACCEPTS 32	 /* of a listener at a time */
#define ACCEPT_AGAIN NS	 /* without file descriptors */
#define LOOK_INTERVAL NS /* at what has changed in the instance */
#define LOST_INTERVAL NS /* between words of lost events: no flood */

/* ---- time, errors, waking ------------------------------------------------------------ */

static uint64_t now_of(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

uint64_t now_mono(void)
{
	return now_of(CLOCK_MONOTONIC);
}

uint64_t now_real(void)
{
	return now_of(CLOCK_REALTIME);
}

int hub_error(struct clite_hubble *h, int code, const char *fmt, ...)
{
	va_list ap;

	free(h->error);
	va_start(ap, fmt);
	if (vasprintf(&h->error, fmt, ap) < 0)
		h->error = NULL;
	va_end(ap);
	return -code;
}

void hub_wake(struct clite_hubble *h)
{
	const uint64_t one = 1;

	if (!h->woken)
		h->woken = write(h->wake, &one, sizeof(one)) == sizeof(one);
}

bool hub_is_late(const struct clite_hubble *h)
{
	return now_mono() >= h->late;
}

void hub_timer(struct clite_hubble *h, uint64_t at)
{
	struct itimerspec t = {};

	if (at >= h->timer_at)
		return;
	h->timer_at = at;
	t.it_value.tv_sec = (time_t)(at / NS);
	t.it_value.tv_nsec = (long)(at % NS);
	timerfd_settime(h->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

void hub_news(struct clite_hubble *h)
{
	if (h->nfollowers)
		hub_wake(h);
}

/* ---- flows that come --------------------------------------------------------------------- */

/* What the kernel had no room for: counted always, told once in a while. */
static void check_lost(struct clite_hubble *h, uint64_t now)
{
	uint64_t since = h->lost_checked;

	if (!h->sub || now - since < LOST_INTERVAL)
		return;
	h->lost_checked = now;
	if (clite_subscription_lost(h->sub, &h->lost) < 0 || h->lost == h->lost_told)
		return;
	ring_put_lost(&h->ring, h->lost - h->lost_told, since ?: now, now);
	h->lost_told = h->lost;
	hub_news(h);
}

static int put_flow(struct clite_hubble *h, const struct clite_flow *flow)
{
	int r = ring_put(&h->ring, flow, h->node);
	uint64_t now;

	if (r)
		return r;
	h->seen++;
	now = now_of(CLOCK_MONOTONIC_COARSE);
	namespaces_see(&h->namespaces, flow->source->cluster, flow->source->ns, now);
	namespaces_see(&h->namespaces, flow->destination->cluster, flow->destination->ns, now);
	hub_news(h);
	return 0;
}

/* Without memory a flow is lost; the others go on. */
static int on_event(const struct clite_event *event, void *userdata)
{
	struct clite_hubble *h = userdata;
	const struct clite_flow *flow;
	struct clite_flow named;

	if (clite_flow_resolve(h->ctx, event, &flow) < 0)
		return 0;
	check_lost(h, event->time);
	named = *flow;
	named.node = h->node;
	put_flow(h, &named);
	return 0;
}

int clite_hubble_feed(struct clite_hubble *hubble, const struct clite_flow *flow)
{
	if (!hubble || !flow_valid(flow))
		return -EINVAL;
	if (hubble->pid != getpid())
		return -ECHILD;
	return put_flow(hubble, flow);
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void accept_all(struct clite_hubble *h, struct listener *l)
{
	for (int i = 0; i < ACCEPTS; i++) {
		int fd = listener_accept(l);

		if (fd >= 0) {
			conn_open(h, l, fd);
			continue;
		}
		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS) {
			/* it would tell of this client for ever */
			listener_watch(h, l, false);
			h->deaf = true;
			hub_timer(h, now_mono() + ACCEPT_AGAIN);
		}
		if (fd != -ECONNABORTED && fd != -EINTR)
			return;
	}
}

static void listen_again(struct clite_hubble *h)
{
	struct listener *l;

	if (!h->deaf)
		return;
	h->deaf = false;
	TAILQ_FOREACH(l, &h->listeners, entry)
		listener_watch(h, l, true); /* those that are watched stay so */
}

static void timers(struct clite_hubble *h)
{
	uint64_t expired, now = now_mono(), next = NEVER;
	struct conn *c;

	if (read(h->timer, &expired, sizeof(expired)) < 0)
		return;
	h->timer_at = NEVER;
	listen_again(h);
	if (h->ctx) {
		agent_look(h);
		check_lost(h, now_real()); /* no event may follow for long */
		next = now + LOOK_INTERVAL;
	}
	TAILQ_FOREACH(c, &h->conns, entry) {
		uint64_t at = conn_timers(c, now);

		next = at < next ? at : next;
	}
	hub_timer(h, next);
}

/* Everybody may have something to do now. */
static void woken(struct clite_hubble *h)
{
	uint64_t count;
	struct conn *c;

	if (read(h->wake, &count, sizeof(count)) < 0)
		return;
	h->woken = false;
	TAILQ_FOREACH(c, &h->conns, entry)
		c->turn = true;
}

static void ready(struct clite_hubble *h, const struct epoll_event *e, uint32_t *served)
{
	switch (*(enum watch *)e->data.ptr) {
	case WATCH_WAKE:
		return woken(h);
	case WATCH_TIMER:
		return timers(h);
	case WATCH_LISTENER:
		return accept_all(h, e->data.ptr);
	case WATCH_CONN:
		(*served)++;
		return conn_ready(e->data.ptr, e->events);
	}
}

/* Those whose turn it is. Who was served goes behind the others. */
static void turns(struct clite_hubble *h, uint32_t budget, uint32_t *served)
{
	uint32_t n = h->nconns;
	bool any = false;
	struct conn *c;

	h->late = now_mono() + LATE; /* also when sockets took all of it */
	while (n-- && (c = TAILQ_FIRST(&h->conns))) {
		if (c->turn && ((budget && *served >= budget) || (any && hub_is_late(h))))
			return hub_wake(h);
		TAILQ_REMOVE(&h->conns, c, entry);
		TAILQ_INSERT_TAIL(&h->conns, c, entry);
		if (!c->turn)
			continue;
		c->turn = false;
		any = true;
		conn_serve(c);
		(*served)++;
	}
}

static void bury(struct clite_hubble *h)
{
	struct conn *c, *next;

	if (!h->nclosed)
		return;
	for (c = TAILQ_FIRST(&h->conns); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->closed)
			conn_free(c, true);
	}
}

int clite_hubble_dispatch(struct clite_hubble *hubble, uint32_t budget)
{
	struct epoll_event events[EVENTS];
	uint32_t served = 0;
	int n, max = budget && budget < EVENTS ? (int)budget : EVENTS;

	if (!hubble)
		return -EINVAL;
	if (hubble->pid != getpid())
		return -ECHILD;
	if (hubble->dispatching)
		return -EDEADLK;
	hubble->dispatching = true;
	hubble->late = now_mono() + LATE;
	n = epoll_wait(hubble->epoll, events, max, 0);
	for (int i = 0; i < n; i++)
		ready(hubble, &events[i], &served);
	turns(hubble, budget, &served);
	bury(hubble);
	hubble->dispatching = false;
	return (int)served;
}

int clite_hubble_fd(struct clite_hubble *hubble)
{
	if (!hubble)
		return -EINVAL;
	return hubble->pid == getpid() ? hubble->epoll : -ECHILD;
}

/* ---- asking --------------------------------------------------------------------------------- */

int clite_hubble_status(struct clite_hubble *hubble, const struct clite_hubble_status **ret)
{
	struct clite_hubble *h = hubble;
	const struct listener *first;

	if (!h || !ret)
		return -EINVAL;
	if (h->pid != getpid())
		return -ECHILD;
	if (h->sub)
		clite_subscription_lost(h->sub, &h->lost);
	first = TAILQ_FIRST(&h->listeners);
	h->status = (struct clite_hubble_status){
		.sz = sizeof(h->status),
		.node = h->node,
		.address = first ? first->address : "",
		.flows = h->ring.head - ring_oldest(&h->ring),
		.flows_max = h->ring.max,
		.seen = h->seen,
		.lost = h->lost,
		.overwritten = h->overwritten,
		.sent = h->sent,
		.uptime = now_mono() - h->started,
		.ring_bytes = h->ring.max * sizeof(*h->ring.entries),
		.name_bytes = h->ring.names.bytes,
		.connections = h->nconns,
		.streams = h->nstreams,
		.requests = h->requests,
		.refused = h->refused,
	};
	*ret = &h->status;
	return 0;
}

const char *clite_hubble_error(struct clite_hubble *hubble)
{
	return hubble && hubble->error ? hubble->error : "";
}

/* ---- listening -------------------------------------------------------------------------------- */

int clite_hubble_listen(struct clite_hubble *hubble, const char *address,
			const struct clite_hubble_listen_opts *opts)
{
	struct clite_hubble_listen_opts o;

	if (!hubble || !address)
		return -EINVAL;
	if (hubble->pid != getpid())
		return -ECHILD;
	hub_error(hubble, 0, "%s", "");
	if (opts_copy(&o, sizeof(o), opts) || o.mode > 0777 || o.set_owner > 1)
		return hub_error(hubble, EINVAL, "bad option");
	if (!o.cert != !o.key)
		return hub_error(hubble, EINVAL, "TLS needs a certificate and its key");
	if (o.client_ca && !o.cert)
		return hub_error(hubble, EINVAL,
				 "a CA of clients is of use only with a certificate and its key");
	return listener_open(hubble, address, &o);
}

int clite_hubble_unlisten(struct clite_hubble *hubble, const char *address)
{
	if (!hubble || !address)
		return -EINVAL;
	if (hubble->pid != getpid())
		return -ECHILD;
	return listener_close(hubble, address);
}

/* ---- coming and going -------------------------------------------------------------------------- */

struct clite_hubble *clite_hubble_free(struct clite_hubble *hubble)
{
	struct clite_hubble *h = hubble;
	bool alive = h && h->pid == getpid();

	if (!h)
		return NULL;
	while (!TAILQ_EMPTY(&h->conns))
		conn_free(TAILQ_FIRST(&h->conns), alive);
	while (!TAILQ_EMPTY(&h->listeners))
		listener_free(h, TAILQ_FIRST(&h->listeners), alive);
	clite_unsubscribe(h->sub);
	clite_close(h->ctx);
	agent_clear(&h->agent);
	namespaces_clear(&h->namespaces);
	encoder_clear(&h->encoder);
	ring_clear(&h->ring);
	closep(&h->epoll);
	closep(&h->wake);
	closep(&h->timer);
	free(h->node);
	free(h->version);
	free(h->error);
	free(h);
	return NULL;
}

static int set_names(struct clite_hubble *h, const struct clite_hubble_opts *o)
{
	char host[256] = "";
	struct arena a = {};

	if (!o->node)
		gethostname(host, sizeof(host) - 1);
	h->node = strdup(text_utf8(&a, o->node ?: host));
	if (o->version)
		h->version = strdup(text_utf8(&a, o->version));
	else if (asprintf(&h->version, "cilium-lite %s", clite_version_string()) < 0)
		h->version = NULL;
	arena_clear(&a);
	return h->node && h->version ? 0 : -ENOMEM;
}

static int set_descriptors(struct clite_hubble *h)
{
	struct epoll_event wake = { .events = EPOLLIN, .data.ptr = &h->watch_wake };
	struct epoll_event timer = { .events = EPOLLIN, .data.ptr = &h->watch_timer };

	h->watch_wake = WATCH_WAKE;
	h->watch_timer = WATCH_TIMER;
	h->epoll = epoll_create1(EPOLL_CLOEXEC);
	h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (h->epoll < 0 || h->wake < 0 || h->timer < 0 ||
	    epoll_ctl(h->epoll, EPOLL_CTL_ADD, h->wake, &wake) ||
	    epoll_ctl(h->epoll, EPOLL_CTL_ADD, h->timer, &timer))
		return hub_error(h, errno, "cannot make an epoll set: %s", strerror(errno));
	return 0;
}

static int set_source(struct clite_hubble *h, struct clite_ctx *ctx,
		      const struct clite_hubble_opts *o)
{
	struct clite_subscribe_opts s = {
		.sz = sizeof(s),
		.aggregation = o->aggregation,
		.ring_bytes = o->ring_bytes,
	};
	int r;

	if (!ctx)
		return 0;
	r = clite_subscribe(ctx, &s, on_event, h, &h->sub);
	if (r)
		return hub_error(h, -r, "cannot subscribe to events: %s", clite_error(ctx));
	h->ctx = clite_ref(ctx);
	hub_timer(h, now_mono() + LOOK_INTERVAL);
	return 0;
}

static int hub_init(struct clite_hubble *h, struct clite_ctx *ctx,
		    const struct clite_hubble_opts *o)
{
	int r;

	h->epoll = h->wake = h->timer = -1;
	h->timer_at = NEVER;
	h->pid = getpid();
	h->started = now_mono();
	h->nconns_max = o->connections ?: CONNECTIONS_DEFAULT;
	TAILQ_INIT(&h->conns);
	TAILQ_INIT(&h->listeners);
	if (o->flows > FLOWS_MAX)
		return hub_error(h, EINVAL, "%u flows: a ring keeps %u at most", o->flows,
				 FLOWS_MAX);
	r = set_names(h, o) ?: set_descriptors(h);
	if (r)
		return r;
	r = ring_init(&h->ring, o->flows ?: FLOWS_DEFAULT);
	if (r)
		return hub_error(h, -r, "no memory for a ring of %u flows", o->flows);
	r = set_source(h, ctx, o);
	return r ?: agent_init(h);
}

int clite_hubble_new(struct clite_ctx *ctx, const struct clite_hubble_opts *opts,
		     struct clite_hubble **ret)
{
	struct clite_hubble_opts o;
	struct clite_hubble *h;
	int r;

	if (!ret || opts_copy(&o, sizeof(o), opts))
		return -EINVAL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	r = hub_init(h, ctx, &o);
	if (!r) {
		*ret = h;
		return 0;
	}
	if (o.errbuf && o.errbuf_size)
		snprintf(o.errbuf, o.errbuf_size, "%s", h->error ?: clite_strerror(r));
	clite_hubble_free(h);
	return r;
}
