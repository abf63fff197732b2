/* SPDX-License-Identifier: BSD-2-Clause */
/* The event loop: epoll, and a heap of timers. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "clited.h"

/* Events in succession before timers get their turn. */
#define BURST 256

int loop_init(struct loop *l)
{
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	return l->epoll < 0 ? -errno : 0;
}

void loop_clear(struct loop *l)
{
	closep(&l->epoll);
	free(l->heap);
	*l = (struct loop){ .epoll = -1 };
}

void loop_stop(struct loop *l, int code)
{
	if (!l->stop)
		l->code = code;
	l->stop = true;
}

/* ---- descriptors ---------------------------------------------------------- */

static int control(struct loop *l, int op, struct watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	return epoll_ctl(l->epoll, op, w->fd, &e) ? -errno : 0;
}

int loop_watch(struct loop *l, struct watch *w, uint32_t events)
{
	return control(l, EPOLL_CTL_ADD, w, events);
}

int loop_change(struct loop *l, struct watch *w, uint32_t events)
{
	return control(l, EPOLL_CTL_MOD, w, events);
}

void loop_forget(struct loop *l, struct watch *w)
{
	if (w->fd >= 0)
		control(l, EPOLL_CTL_DEL, w, 0);
	w->fd = -1;
}

void loop_unwatch(struct loop *l, struct watch *w)
{
	int fd = w->fd;

	loop_forget(l, w);
	closep(&fd);
}

/* ---- timers --------------------------------------------------------------- */

static void put(struct loop *l, size_t place, struct timer *t)
{
	l->heap[place] = t;
	t->place = place;
}

static void sift_up(struct loop *l, size_t i, struct timer *t)
{
	for (; i > 1 && l->heap[i / 2]->due > t->due; i /= 2)
		put(l, i, l->heap[i / 2]);
	put(l, i, t);
}

static void sift_down(struct loop *l, size_t i, struct timer *t)
{
	for (size_t child; (child = i * 2) <= l->ntimers; i = child) {
		if (child < l->ntimers && l->heap[child + 1]->due < l->heap[child]->due)
			child++;
		if (l->heap[child]->due >= t->due)
			break;
		put(l, i, l->heap[child]);
	}
	put(l, i, t);
}

void loop_untimer(struct loop *l, struct timer *t)
{
	struct timer *last;
	size_t place = t->place;

	if (!place)
		return;
	t->place = 0;
	last = l->heap[l->ntimers--];
	if (last == t)
		return;
	if (place > 1 && l->heap[place / 2]->due > last->due)
		sift_up(l, place, last);
	else
		sift_down(l, place, last);
}

void loop_timer(struct loop *l, struct timer *t, uint64_t due)
{
	loop_untimer(l, t);
	if (l->ntimers + 2 > l->cap) {
		l->cap = l->cap ? l->cap * 2 : 64;
		l->heap = xrealloc(l->heap, l->cap, sizeof(struct timer *));
	}
	t->due = due;
	sift_up(l, ++l->ntimers, t);
}

/* Those that are due now; what they set anew for now waits for the next round. */
static void fire_timers(struct loop *l)
{
	uint64_t now = now_ms();

	for (size_t n = l->ntimers; n && l->ntimers && !l->stop && l->heap[1]->due <= now; n--) {
		struct timer *t = l->heap[1];

		loop_untimer(l, t);
		t->fire(t);
	}
}

static int wait_ms(const struct loop *l)
{
	uint64_t now = now_ms();

	if (!l->ntimers)
		return -1;
	if (l->heap[1]->due <= now)
		return 0;
	return l->heap[1]->due - now > INT32_MAX ? INT32_MAX : (int)(l->heap[1]->due - now);
}

/* One event at a time: whoever handles it may take other watches away. What is ready
 * comes before timers, so that an answer that came while a call on the instance took
 * long is not taken for none. */
static int handle_ready(struct loop *l)
{
	struct epoll_event e;

	for (int n = 0; n < BURST && !l->stop; n++) {
		int r = epoll_wait(l->epoll, &e, 1, n ? 0 : wait_ms(l));

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r <= 0)
			break;
		((struct watch *)e.data.ptr)->ready(e.data.ptr, e.events);
	}
	return 0;
}

int loop_run(struct loop *l)
{
	while (!l->stop) {
		int r = handle_ready(l);

		if (r < 0) {
			log_error("epoll_wait: %s", strerror(-r));
			return EXIT_FAILED;
		}
		fire_timers(l);
	}
	return l->code;
}
