/* SPDX-License-Identifier: BSD-2-Clause */
/* Flow logs: the instance's events, with their names, into the files of the
 * configuration. There is a subscription for each level of aggregation that one of them
 * has; where it is only one, it has that log's filters, so that the datapath does not even
 * write what nobody wants. */
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
	struct clite_filters *filters; /* a reference; NULL: none */
	uint64_t missed;	       /* flows that came while it could not be opened */
	char *said;		       /* what was wrong, as it was logged; NULL: nothing is */
};

/* A subscription. When another one takes its place both are there for a while: an event
 * is the one's or the other's by its time. */
struct source {
	struct flowlogs *logs;
	uint32_t level;
	struct clite_filters *filters; /* a reference; NULL: all */
	struct clite_subscription *sub;
	uint64_t from, until; /* ns since 1970; until 0: on and on */
	uint64_t lost;	      /* that the logs know of */
};

struct flowlogs {
	struct clited *d;
	struct flowlog *items;
	size_t n;
	struct source *now[LEVELS]; /* NULL: nobody wants it */
	struct source *before[LEVELS];
	bool failed[LEVELS]; /* to subscribe, and it was logged */
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
	clite_filters_unref(l->filters);
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

	if (event->time < s->from || (s->until && event->time >= s->until))
		return 0;
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

/* What the ring had no room for is said in the logs, as Hubble does. */
static void tell_lost(struct source *s)
{
	uint64_t lost;

	if (clite_subscription_lost(s->sub, &lost) < 0 || lost == s->lost)
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

/* What is in its ring already is read, then it goes. */
static void source_end(struct source **s)
{
	if (!*s)
		return;
	clite_dispatch((*s)->logs->d->ctx, BUDGET);
	tell_lost(*s);
	clite_unsubscribe((*s)->sub);
	clite_filters_unref((*s)->filters);
	free(*s);
	*s = NULL;
}

static struct source *source_new(struct flowlogs *f, uint32_t level, struct clite_filters *filters)
{
	struct source *s = xcalloc(1, sizeof(*s));
	struct clite_subscribe_opts opts = {
		.sz = sizeof(opts),
		.aggregation = level_aggregation(level),
		.filters = filters,
	};
	int r;

	s->logs = f;
	s->level = level;
	r = clite_subscribe(f->d->ctx, &opts, on_event, s, &s->sub);
	if (r >= 0) {
		s->filters = clite_filters_ref(filters);
		f->failed[level] = false;
		return s;
	}
	if (!f->failed[level]) /* it is tried again and again */
		f->failed[level] = !clited_ok(f->d, r, "cannot get events for flow logs");
	free(s);
	return NULL;
}

/* How many logs are of this level, and what the datapath may leave away. */
static size_t wanted(const struct flowlogs *f, uint32_t level, struct clite_filters **ret)
{
	size_t n = 0;

	*ret = NULL;
	for (size_t i = 0; i < f->n; i++) {
		if (f->items[i].level != level)
			continue;
		*ret = n++ ? NULL : f->items[i].filters;
	}
	return n;
}

/* Subscribe to what the logs want and to nothing else; those that stay lose nothing. */
static void subscribe(struct flowlogs *f, uint32_t level)
{
	struct source **now = &f->now[level], *next;
	struct clite_filters *filters;

	if (!wanted(f, level, &filters)) {
		source_end(now);
		return;
	}
	if (*now && (*now)->filters == filters)
		return;
	next = source_new(f, level, filters);
	if (!next)
		return;
	source_end(&f->before[level]);
	if (*now)
		(*now)->until = next->from = real_ns();
	f->before[level] = *now;
	*now = next;
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
		source_end(&f->before[level]);
		subscribe(f, level);
		if (f->now[level])
			tell_lost(f->now[level]);
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
		items[i].filters = clite_filters_ref(c->filters);
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
	d->flowlogs = f;
	flowlogs_reload(d, d->config);
}

void flowlogs_stop(struct clited *d)
{
	struct flowlogs *f = d->flowlogs;

	if (!f)
		return;
	loop_untimer(&d->loop, &f->tick);
	for (uint32_t level = 0; level < LEVELS; level++) {
		source_end(&f->before[level]);
		source_end(&f->now[level]);
	}
	for (size_t i = 0; i < f->n; i++)
		flowlog_clear(&f->items[i]);
	free(f->items);
	free(f);
	d->flowlogs = NULL;
}
