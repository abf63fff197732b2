/* SPDX-License-Identifier: BSD-2-Clause */
/* Flow logs: the instance's events, with their names, into the files of the
 * configuration. There is a subscription for each level of aggregation that one of them
 * has. */
#include <string.h>
#include <time.h>

#include "clited.h"

/* How long a flow waits for the others before it is written, ms. */
#define TICK 1000u
/* At the end what is in the rings already is read, at most so many records. */
#define BUDGET 65536

struct flowlog {
	struct clite_flow_log *log; /* NULL: it cannot be opened */
	char *path, *text;	    /* as configured */
	uint32_t level;
	uint64_t missed; /* flows that came while it could not be opened */
	char *said;	 /* what was wrong, as it was logged; NULL: nothing is */
};

struct source {
	struct flowlogs *logs;
	uint32_t level;
	struct clite_subscription *sub; /* NULL: nobody wants it */
	uint64_t lost;			/* that the logs know of */
	bool failed;			/* to subscribe, and it was logged */
};

struct flowlogs {
	struct clited *d;
	struct flowlog *items;
	size_t n;
	struct source sources[LEVELS];
	struct timer tick;
};

/* ---- one log ------------------------------------------------------------------------ */

/* What goes wrong again and again is logged once. */
static void complain(struct flowlog *l, const char *why)
{
	if (l->said && !strcmp(l->said, why))
		return;
	log_error("flow log %s", why);
	free(l->said);
	l->said = xstrdup(why);
}

static void recovered(struct flowlog *l)
{
	struct clite_flow_log_counts c = { .sz = sizeof(c) };

	if (!l->said)
		return;
	clite_flow_log_counts(l->log, &c);
	log_notice("flow log %s: all is well again; %llu flows were lost", l->path,
		   (unsigned long long)(c.lost + l->missed));
	free(l->said);
	l->said = NULL;
}

static uint64_t real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void flowlog_open(struct flowlog *l, const struct log_config *c)
{
	char error[1024] = "";
	struct clite_flow_log_opts opts = {
		.sz = sizeof(opts),
		.max_bytes = c->max_bytes,
		.max_files = c->max_files,
		.mode = c->mode,
		.flags = c->compress ? CLITE_FLOW_LOG_COMPRESS : 0,
		.mask = c->mask,
		.filters = c->filters,
		.errbuf = error,
		.errbuf_size = sizeof(error),
	};

	int r = clite_flow_log_open(c->path, &opts, &l->log);

	if (r < 0) {
		complain(l, *error ? error : clite_strerror(r));
		return;
	}
	recovered(l);
	clite_flow_log_lost(l->log, real_ns(), l->missed);
	l->missed = 0;
}

static void flowlog_flush(struct flowlog *l)
{
	int r = clite_flow_log_flush(l->log);

	if (r < 0 || *clite_flow_log_error(l->log))
		complain(l, *clite_flow_log_error(l->log) ? clite_flow_log_error(l->log) :
							    clite_strerror(r));
	else
		recovered(l);
}

static void flowlog_clear(struct flowlog *l)
{
	struct clite_flow_log_counts c = { .sz = sizeof(c) };

	if (l->log) {
		flowlog_flush(l);
		clite_flow_log_counts(l->log, &c);
		l->log = clite_flow_log_close(l->log);
	}
	if (c.buffered)
		log_error("flow log %s: %llu flows could not be written, and are lost", l->path,
			  (unsigned long long)c.buffered);
	free(l->path);
	free(l->text);
	free(l->said);
	*l = (struct flowlog){ 0 };
}

/* ---- events -------------------------------------------------------------------------- */

/* Never negative: that would end the dispatch for all others, too. */
static int on_event(const struct clite_event *event, void *userdata)
{
	struct source *s = userdata;
	const struct clite_flow *flow;

	if (!clited_ok(s->logs->d, clite_flow_resolve(s->logs->d->ctx, event, &flow),
		       "names of a flow"))
		return 0;
	for (size_t i = 0; i < s->logs->n; i++) {
		struct flowlog *l = &s->logs->items[i];

		if (l->level != s->level)
			continue;
		if (!l->log) {
			l->missed++;
			continue;
		}
		/* Also what is not lost, but had to wait for room, has a text. */
		clite_flow_log_write(l->log, flow);
		if (*clite_flow_log_error(l->log))
			complain(l, clite_flow_log_error(l->log));
	}
	return 0;
}

static bool is_wanted(const struct flowlogs *f, uint32_t level)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->items[i].level == level)
			return true;
	}
	return false;
}

/* Subscribe to what a log wants and to nothing else. */
static void subscribe(struct flowlogs *f, uint32_t level)
{
	struct source *s = &f->sources[level];
	struct clite_subscribe_opts opts = {
		.sz = sizeof(opts),
		.aggregation = level_aggregation(level),
	};
	bool wanted = is_wanted(f, level);
	int r;

	if (!wanted)
		s->sub = clite_unsubscribe(s->sub);
	if (!wanted || s->sub)
		return;
	s->lost = 0;
	r = clite_subscribe(f->d->ctx, &opts, on_event, s, &s->sub);
	if (r < 0 && s->failed) /* it is tried again and again */
		return;
	s->failed = !clited_ok(f->d, r, "cannot get events for flow logs");
}

/* What the ring had no room for is said in the logs, as Hubble does. */
static void tell_lost(struct source *s)
{
	uint64_t lost;

	if (!s->sub || clite_subscription_lost(s->sub, &lost) < 0 || lost == s->lost)
		return;
	log_warning("flow logs: %llu events came too fast, and are lost",
		    (unsigned long long)(lost - s->lost));
	for (size_t i = 0; i < s->logs->n; i++) {
		struct flowlog *l = &s->logs->items[i];

		if (l->level == s->level && l->log)
			clite_flow_log_lost(l->log, real_ns(), lost - s->lost);
	}
	s->lost = lost;
}

static const struct log_config *config_of(const struct config *c, const char *path)
{
	for (size_t i = 0; i < c->nlogs; i++) {
		if (!strcmp(c->logs[i].path, path))
			return &c->logs[i];
	}
	return NULL;
}

static void on_tick(struct timer *t)
{
	struct flowlogs *f = container_of(t, struct flowlogs, tick);

	for (uint32_t level = 0; level < LEVELS; level++) {
		subscribe(f, level);
		tell_lost(&f->sources[level]);
	}
	for (size_t i = 0; i < f->n; i++) {
		struct flowlog *l = &f->items[i];

		if (l->log)
			flowlog_flush(l);
		else
			flowlog_open(l, config_of(f->d->config, l->path));
	}
	loop_timer(&f->d->loop, t, now_ms() + TICK);
}

/* ---- start, reload, stop --------------------------------------------------------------- */

static struct flowlog *find(struct flowlogs *f, const struct log_config *c)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->items[i].path && !strcmp(f->items[i].path, c->path))
			return &f->items[i];
	}
	return NULL;
}

/* One that is the same goes on, in a file that is opened anew: somebody may have renamed
 * the old one. */
static bool take_over(struct flowlogs *f, const struct log_config *c, struct flowlog *ret)
{
	struct flowlog *old = find(f, c);

	if (!old || strcmp(old->text, c->text) != 0)
		return false;
	*ret = *old;
	*old = (struct flowlog){ 0 };
	if (ret->log && clite_flow_log_reopen(ret->log) < 0)
		complain(ret, clite_flow_log_error(ret->log));
	return true;
}

static void use(struct flowlogs *f, const struct config *next)
{
	struct flowlog *items = xcalloc(next->nlogs, sizeof(*items));

	for (size_t i = 0; i < next->nlogs; i++) {
		const struct log_config *c = &next->logs[i];
		struct flowlog *old = find(f, c);

		if (take_over(f, c, &items[i]))
			continue;
		/* The old one writes what it has before the new one goes on in the file. */
		if (old)
			flowlog_clear(old);
		items[i].path = xstrdup(c->path);
		items[i].text = xstrdup(c->text);
		items[i].level = c->level;
		flowlog_open(&items[i], c);
	}
	for (size_t i = 0; i < f->n; i++)
		flowlog_clear(&f->items[i]);
	free(f->items);
	f->items = items;
	f->n = next->nlogs;
}

void flowlogs_reload(struct clited *d, const struct config *next)
{
	struct flowlogs *f = d->flowlogs;

	use(f, next);
	for (uint32_t level = 0; level < LEVELS; level++)
		subscribe(f, level);
	loop_untimer(&d->loop, &f->tick);
	if (f->n)
		loop_timer(&d->loop, &f->tick, now_ms() + TICK);
}

void flowlogs_start(struct clited *d)
{
	struct flowlogs *f = xcalloc(1, sizeof(*f));

	f->d = d;
	f->tick.fire = on_tick;
	for (uint32_t level = 0; level < LEVELS; level++)
		f->sources[level] = (struct source){ .logs = f, .level = level };
	d->flowlogs = f;
	flowlogs_reload(d, d->config);
}

void flowlogs_stop(struct clited *d)
{
	struct flowlogs *f = d->flowlogs;

	if (!f)
		return;
	loop_untimer(&d->loop, &f->tick);
	if (f->n)
		clite_dispatch(d->ctx, BUDGET);
	for (uint32_t level = 0; level < LEVELS; level++) {
		tell_lost(&f->sources[level]);
		clite_unsubscribe(f->sources[level].sub);
	}
	for (size_t i = 0; i < f->n; i++)
		flowlog_clear(&f->items[i]);
	free(f->items);
	free(f);
	d->flowlogs = NULL;
}
