/* SPDX-License-Identifier: BSD-2-Clause */
/* Health checks. What is asked is a target: a place, and how to ask; the back ends of
 * several services may share it. What is done about its verdict is done to a service as it
 * is at that moment, whatever we remember of it: it is read, and written at once if one of
 * its back ends is not in the state that it should be in. */
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "clited.h"

/* How often to look whether somebody changed the instance, ms. */
#define TICK 500u
/* Descriptors that are left for everything else. */
#define FILES_KEPT 64u
#define PROBES_MAX 4096u

enum verdict { UNKNOWN, UP, DOWN };

/* A back end of a service that has a check. */
struct backend {
	struct place at;
	bool ours;	       /* we quarantined it, or took it over */
	bool presumed;	       /* down, as long as its target has no verdict: it was when that began */
	struct target *target; /* NULL: it is not checked as it is now */
	struct service *service;
	struct backend *next; /* of the target */
};

struct service {
	struct place front;
	uint32_t protocol;
	uint32_t id;
	const struct check *check;
	struct backend *backends; /* sorted by place */
	size_t n;
	bool due; /* it may have to be written */
};

struct target {
	struct probe probe;
	struct timer timer; /* the next check */
	struct health *health;
	enum verdict verdict;
	uint32_t run; /* equal results in succession */
	bool good;    /* which ones */
	bool asking, waiting;
	struct backend *backends;
	STAILQ_ENTRY(target) queue;
};

struct health {
	struct clited *d;
	struct timer tick, write;
	struct service *services; /* sorted by front end */
	size_t n, cap;
	size_t cursor; /* no service before it is due */
	void *targets; /* tsearch(3), by check and place */
	STAILQ_HEAD(, target) queue; /* due, but there are as many probes as may be */
	size_t probes, probes_max;
	uint64_t revision; /* of the instance, when we looked last */
	bool started, late_told;
};

/* ---- targets: asking ---------------------------------------------------------- */

static void judge(struct target *t, bool good, const char *text);

static void on_done(struct probe *p, bool good, const char *text)
{
	struct target *t = container_of(p, struct target, probe);

	t->asking = false;
	t->health->probes--;
	judge(t, good, text);
}

static void ask(struct target *t)
{
	struct health *h = t->health;
	char buf[PLACE_TEXT];
	int r = probe_start(&t->probe);

	loop_timer(&h->d->loop, &t->timer, now_ms() + t->probe.check->interval);
	if (r < 0) {
		log_error("cannot check %s: %s; this says nothing of the back end",
			  place_text(&t->probe.at, buf), strerror(-r));
		return;
	}
	t->asking = true;
	h->probes++;
}

static void ask_waiting(struct health *h)
{
	while (h->probes < h->probes_max && !STAILQ_EMPTY(&h->queue)) {
		struct target *t = STAILQ_FIRST(&h->queue);

		STAILQ_REMOVE_HEAD(&h->queue, queue);
		t->waiting = false;
		ask(t);
	}
}

static void on_due(struct timer *timer)
{
	struct target *t = container_of(timer, struct target, timer);
	struct health *h = t->health;

	/* The loop came late, and the end of the last one has not been told yet. */
	if (t->asking) {
		loop_timer(&h->d->loop, timer, now_ms() + 1);
		return;
	}
	if (h->probes < h->probes_max) {
		ask(t);
		return;
	}
	if (!h->late_told)
		log_warning("more than %zu health checks are due at once: some come late; see LimitNOFILE",
			    h->probes_max);
	h->late_told = true;
	t->waiting = true;
	STAILQ_INSERT_TAIL(&h->queue, t, queue);
}

static int cmp_targets(const void *a, const void *b)
{
	const struct target *x = a, *y = b;

	if (x->probe.check != y->probe.check)
		return x->probe.check < y->probe.check ? -1 : 1;
	return place_cmp(&x->probe.at, &y->probe.at);
}

/* The first checks are spread over an interval, so that they stay apart. */
static struct target *target_get(struct health *h, const struct check *check,
				 const struct place *at)
{
	struct target key = { .probe = { .check = check, .at = *at } }, **found, *t;

	found = tfind(&key, &h->targets, cmp_targets);
	if (found)
		return *found;
	t = xcalloc(1, sizeof(*t));
	t->health = h;
	t->probe = (struct probe){ .watch.fd = -1, .loop = &h->d->loop, .check = check,
				   .at = *at, .done = on_done };
	t->timer.fire = on_due;
	loop_timer(&h->d->loop, &t->timer, now_ms() + (uint64_t)random() % check->interval);
	if (!tsearch(t, &h->targets, cmp_targets))
		out_of_memory();
	return t;
}

/* It must not be in the tree any more. */
static void target_free(struct target *t)
{
	struct health *h = t->health;

	if (t->asking) {
		probe_cancel(&t->probe);
		h->probes--;
	}
	if (t->waiting)
		STAILQ_REMOVE(&h->queue, t, target, queue);
	loop_untimer(&h->d->loop, &t->timer);
	free(t);
}

/* All targets, in memory of their own: the tree may change then. */
struct list {
	struct target **items;
	size_t n, cap;
};

static void collect_target(const void *node, VISIT which, void *closure)
{
	struct list *l = closure;

	if (which != postorder && which != leaf)
		return;
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 64;
		l->items = xrealloc(l->items, l->cap, sizeof(struct target *));
	}
	l->items[l->n++] = *(struct target *const *)node;
}

static struct list targets_of(struct health *h)
{
	struct list l = { 0 };

	twalk_r(h->targets, collect_target, &l);
	return l;
}

/* Those that no back end has any more go; with all set, all. */
static void targets_sweep(struct health *h, bool all)
{
	struct list l = targets_of(h);

	for (size_t i = 0; i < l.n; i++) {
		if (!all && l.items[i]->backends)
			continue;
		tdelete(l.items[i], &h->targets, cmp_targets);
		target_free(l.items[i]);
	}
	free(l.items);
	ask_waiting(h);
}

/* ---- services: what they should be ----------------------------------------------- */

static int cmp_backends(const void *a, const void *b)
{
	return place_cmp(&((const struct backend *)a)->at, &((const struct backend *)b)->at);
}

static struct backend *backend_find(const struct service *s, const struct place *at)
{
	struct backend key = { .at = *at };

	return s->n ? bsearch(&key, s->backends, s->n, sizeof(key), cmp_backends) : NULL;
}

/* One that we may change: ours, as the instance has it now. */
static struct backend *backend_ours(const struct service *s, const struct clite_service_info *info,
				    size_t i)
{
	const struct clite_backend *be = &info->backends[i];
	struct backend *b;
	struct place at;

	if (be->state != CLITE_BACKEND_ACTIVE && be->state != CLITE_BACKEND_QUARANTINED)
		return NULL;
	if (!parse_address(be->address, &at))
		return NULL;
	at.port = be->port ? be->port : info->port;
	b = backend_find(s, &at);
	if (!b || !b->target || (be->state == CLITE_BACKEND_QUARANTINED && !b->ours))
		return NULL;
	return b;
}

static enum verdict verdict_of(const struct backend *b)
{
	return b->target->verdict == UNKNOWN && b->presumed ? DOWN : b->target->verdict;
}

/* Without a single one that may be up, there is nothing to choose from. */
static bool all_down(const struct service *s, const struct clite_service_info *info)
{
	for (size_t i = 0; i < info->nbackends; i++) {
		const struct backend *b = backend_ours(s, info, i);

		if (b ? verdict_of(b) != DOWN :
			info->backends[i].state == CLITE_BACKEND_ACTIVE)
			return false;
	}
	return true;
}

static uint32_t state_wanted(const struct backend *b, uint32_t now, bool open)
{
	if (open || verdict_of(b) == UP)
		return CLITE_BACKEND_ACTIVE;
	return verdict_of(b) == DOWN ? CLITE_BACKEND_QUARANTINED : now;
}

/* The states that the back ends should have, NULL if they have them. */
static struct clite_backend *states_wanted(const struct service *s,
					   const struct clite_service_info *info)
{
	bool open = s->check->fail_open && all_down(s, info), differ = false;
	struct clite_backend *copy = xcalloc(info->nbackends, sizeof(*copy));

	for (size_t i = 0; i < info->nbackends; i++) {
		const struct backend *b = backend_ours(s, info, i);

		copy[i] = info->backends[i];
		if (b)
			copy[i].state = state_wanted(b, copy[i].state, open);
		differ |= copy[i].state != info->backends[i].state;
	}
	if (differ)
		return copy;
	free(copy);
	return NULL;
}

/* ---- services: writing ------------------------------------------------------------ */

static bool same_front(const struct service *s, const struct clite_service_info *info)
{
	struct place p;

	if (!parse_address(info->address, &p))
		return false;
	p.port = info->port;
	return !place_cmp(&p, &s->front) && info->protocol == s->protocol;
}

static char *service_text(const struct service *s, const char *name)
{
	char buf[PLACE_TEXT];

	return xprintf("service %u (%s%s%s)", s->id, name, *name ? ", " : "",
		       place_text(&s->front, buf));
}

/* Those whose state a write changes, at their places, else NULL; the write ends the loan of
 * the info. */
static struct backend **changed_by(const struct service *s, const struct clite_service_info *info,
				   const struct clite_backend *wanted)
{
	struct backend **changed = xcalloc(info->nbackends, sizeof(struct backend *));

	for (size_t i = 0; i < info->nbackends; i++) {
		if (wanted[i].state != info->backends[i].state)
			changed[i] = backend_ours(s, info, i);
	}
	return changed;
}

static void tell_changes(struct backend **changed, const struct clite_backend *now, size_t n,
			 const char *name)
{
	for (size_t i = 0; i < n; i++) {
		bool down = now[i].state == CLITE_BACKEND_QUARANTINED;
		char buf[PLACE_TEXT];

		if (!changed[i])
			continue;
		changed[i]->ours = down;
		log_notice("%s: back end %s is %s", name, place_text(&changed[i]->at, buf),
			   down ? "quarantined" : "active");
	}
}

/* Everything else stays as it is. A property that a later library adds must come here, or
 * this would take it away. */
static int write_states(struct clite_ctx *ctx, const struct clite_service_info *info,
			const struct clite_backend *backends)
{
	struct clite_service_opts opts = {
		.sz = sizeof(opts),
		.address = info->address,
		.name = *info->name ? info->name : NULL,
		.backends = backends,
		.nbackends = info->nbackends,
		.protocol = info->protocol,
		.algorithm = info->algorithm,
		.port = info->port,
		.labels = info->labels,
		.sources = info->sources,
		.flags = info->flags,
		.affinity = info->affinity,
		.mode = info->mode,
	};

	return clite_service_update(ctx, &opts, NULL);
}

/* Write the service back with the states that it should have. Between the look and the
 * write lie microseconds, but they are not one: who writes just then is written over, which
 * the revision tells, and another look is taken. */
static void service_write(struct health *h, struct service *s,
			  const struct clite_service_info *info, const struct clite_backend *backends)
{
	_cleanup_free_ struct backend **changed = changed_by(s, info, backends);
	_cleanup_free_ char *name = service_text(s, info->name);
	size_t n = info->nbackends;
	uint64_t now;
	int r = write_states(h->d->ctx, info, backends);

	/* Any other failure lasts until somebody changes the instance, which is seen. */
	s->due = r == -EBUSY;
	if (!clited_ok(h->d, r, "%s", name))
		return;
	tell_changes(changed, backends, n, name);
	now = clited_revision(h->d);
	/* Our own change alone is nothing to look at. */
	if (now == h->revision + 1)
		h->revision = now;
}

/* Returns whether it was written, or should have been. */
static bool service_settle(struct health *h, struct service *s)
{
	_cleanup_free_ struct clite_backend *backends = NULL;
	const struct clite_service_info *info;
	int r = clite_service_get(h->d->ctx, s->id, &info);

	s->due = false;
	if (!s->check || r == -ENOENT)
		return false;
	if (!clited_ok(h->d, r, "service %u", s->id) || !same_front(s, info))
		return false;
	backends = states_wanted(s, info);
	if (backends)
		service_write(h, s, info, backends);
	return backends;
}

/* A write waits until no packet uses what was there before, for some ten milliseconds. So
 * there is one in each turn of the loop, and what happens to the other back ends of the
 * service until its turn comes goes into the same. */
static void on_write(struct timer *t)
{
	struct health *h = container_of(t, struct health, write);
	struct service *s = NULL;

	for (; h->cursor < h->n && !h->d->loop.stop; h->cursor++) {
		s = &h->services[h->cursor];
		if (s->due && service_settle(h, s))
			break;
	}
	/* If it failed, another writer had the instance for seconds: let it. */
	if (h->cursor < h->n)
		loop_timer(&h->d->loop, t, now_ms() + (s && s->due ? TICK : 0));
}

static void service_due(struct health *h, struct service *s)
{
	size_t i = (size_t)(s - h->services);

	s->due = true;
	if (i < h->cursor)
		h->cursor = i;
	if (!h->write.place)
		loop_timer(&h->d->loop, &h->write, now_ms());
}

/* ---- verdicts --------------------------------------------------------------------- */

static void judge(struct target *t, bool good, const char *text)
{
	const struct check *c = t->probe.check;
	enum verdict before = t->verdict;
	char buf[PLACE_TEXT];

	t->run = good == t->good && t->run < UINT32_MAX ? t->run + 1 : 1;
	t->good = good;
	log_debug("%s: %s: %s", place_text(&t->probe.at, buf), good ? "good" : "bad", text);
	if (t->run >= (good ? c->rise : c->fall))
		t->verdict = good ? UP : DOWN;
	if (t->verdict != before) {
		log_at(t->verdict == DOWN ? LOG_WARNING : LOG_INFO, "%s is %s: %s",
		       place_text(&t->probe.at, buf), good ? "up" : "down", text);
		for (struct backend *b = t->backends; b; b = b->next) {
			b->presumed = false;
			service_due(t->health, b->service);
		}
	}
	ask_waiting(t->health);
}

/* ---- looking at the instance --------------------------------------------------------- */

struct look {
	struct health *h;
	struct service *old;
	size_t nold;
};

static int cmp_services(const void *a, const void *b)
{
	const struct service *x = a, *y = b;
	int r = place_cmp(&x->front, &y->front);

	return r ? r : (x->protocol > y->protocol) - (x->protocol < y->protocol);
}

/* Whose is a quarantined one? Ours is what we know to be, and, at the start, all. */
static void fill_owner(const struct look *l, const struct service *old, struct backend *b,
		       bool quarantined)
{
	const struct backend *before = old ? backend_find(old, &b->at) : NULL;

	b->ours = quarantined && (before ? before->ours : !l->h->started);
	b->presumed = before ? before->presumed : b->ours;
}

/* The first of the checks that ask the same: targets go by that one. */
static const struct check *find_alike(const struct config *c, const struct check *check)
{
	for (size_t i = 0; i < c->nchecks; i++) {
		if (check_alike(&c->checks[i], check))
			return &c->checks[i];
	}
	return NULL;
}

static void fill_backend(const struct look *l, const struct service *old, struct service *s,
			 const struct clite_backend *be, uint16_t port)
{
	struct backend b = { 0 };

	if (!parse_address(be->address, &b.at))
		return;
	b.at.port = be->port ? be->port : port;
	fill_owner(l, old, &b, be->state == CLITE_BACKEND_QUARANTINED);
	if (s->check && (be->state == CLITE_BACKEND_ACTIVE || b.ours)) {
		struct place asked = b.at;

		asked.port = s->check->port ? s->check->port : asked.port;
		b.target = target_get(l->h, find_alike(l->h->d->config, s->check), &asked);
	}
	s->backends[s->n++] = b;
}

static int look_at(const struct clite_service_info *info, void *userdata)
{
	struct look *l = userdata;
	struct health *h = l->h;
	struct service s = { .id = info->id, .protocol = info->protocol }, *old;

	if (!parse_address(info->address, &s.front))
		return 0;
	s.front.port = info->port;
	s.check = config_check(h->d->config, info);
	old = l->nold ? bsearch(&s, l->old, l->nold, sizeof(s), cmp_services) : NULL;
	if (!s.check && !old)
		return 0;
	s.due = s.check;
	s.backends = xcalloc(info->nbackends, sizeof(*s.backends));
	for (size_t i = 0; i < info->nbackends; i++)
		fill_backend(l, old, &s, &info->backends[i], info->port);
	if (h->n == h->cap) {
		h->cap = h->cap ? h->cap * 2 : 64;
		h->services = xrealloc(h->services, h->cap, sizeof(s));
	}
	h->services[h->n++] = s;
	return 0;
}

static void services_free(struct service *services, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(services[i].backends);
	free(services);
}

/* Services lie still now: tell back ends and targets of each other. */
static void link_all(struct health *h)
{
	struct list l = targets_of(h);

	for (size_t i = 0; i < l.n; i++)
		l.items[i]->backends = NULL;
	free(l.items);
	if (h->n)
		qsort(h->services, h->n, sizeof(*h->services), cmp_services);
	for (size_t i = 0; i < h->n; i++) {
		struct service *s = &h->services[i];

		if (s->n)
			qsort(s->backends, s->n, sizeof(*s->backends), cmp_backends);
		for (size_t j = 0; j < s->n; j++) {
			struct backend *b = &s->backends[j];

			b->service = s;
			if (!b->target)
				continue;
			b->next = b->target->backends;
			b->target->backends = b;
		}
	}
}

void health_sync(struct clited *d)
{
	struct health *h = d->health;
	struct look l = { h, h->services, h->n };
	int r;

	h->services = NULL;
	h->n = h->cap = 0;
	/* Before the look: a change during it is seen by the next one. */
	h->revision = clited_revision(d);
	r = clite_service_list(d->ctx, look_at, &l);
	services_free(l.old, l.nold);
	link_all(h);
	targets_sweep(h, false);
	/* Whoever is started next takes over what is quarantined; we would know no more. */
	if (!clited_ok(d, r, "cannot list services")) {
		loop_stop(&d->loop, EXIT_FAILED);
		return;
	}
	h->started = true;
	h->cursor = 0;
	loop_timer(&d->loop, &h->write, now_ms());
}

static void on_tick(struct timer *t)
{
	struct health *h = container_of(t, struct health, tick);

	h->late_told &= !STAILQ_EMPTY(&h->queue);
	if (clited_revision(h->d) != h->revision)
		health_sync(h->d);
	loop_timer(&h->d->loop, t, now_ms() + TICK);
}

/* ---- start, reload, stop ------------------------------------------------------------- */

void health_start(struct clited *d)
{
	struct health *h = xcalloc(1, sizeof(*h));
	size_t files = raise_file_limit();

	srandom((unsigned int)now_ms() ^ (unsigned int)getpid());
	h->d = d;
	h->tick.fire = on_tick;
	h->write.fire = on_write;
	h->probes_max = files > FILES_KEPT * 2 ? files - FILES_KEPT : files / 2;
	if (h->probes_max > PROBES_MAX)
		h->probes_max = PROBES_MAX;
	STAILQ_INIT(&h->queue);
	d->health = h;
	health_sync(d);
	loop_timer(&d->loop, &h->tick, now_ms() + TICK);
}

/* What is down stays so until the next checks say more. */
static void service_presume(struct service *s)
{
	s->check = NULL;
	for (size_t i = 0; i < s->n; i++) {
		s->backends[i].presumed = s->backends[i].ours;
		s->backends[i].target = NULL;
	}
}

/* The tree is sorted by checks, so targets that stay come out of it and in again. */
void health_reload(struct clited *d, const struct config *next)
{
	struct health *h = d->health;
	struct list l = targets_of(h);

	for (size_t i = 0; i < l.n; i++)
		tdelete(l.items[i], &h->targets, cmp_targets);
	for (size_t i = 0; i < l.n; i++) {
		struct target *t = l.items[i], **found;

		t->probe.check = find_alike(next, t->probe.check);
		found = t->probe.check ? tsearch(t, &h->targets, cmp_targets) : NULL;
		if (t->probe.check && !found)
			out_of_memory();
		/* Two that were alike are one now. */
		if (!found || *found != t)
			target_free(t);
	}
	free(l.items);
	for (size_t i = 0; i < h->n; i++)
		service_presume(&h->services[i]);
}

void health_stop(struct clited *d)
{
	struct health *h = d->health;

	if (!h)
		return;
	loop_untimer(&d->loop, &h->tick);
	loop_untimer(&d->loop, &h->write);
	targets_sweep(h, true);
	services_free(h->services, h->n);
	free(h);
	d->health = NULL;
}
