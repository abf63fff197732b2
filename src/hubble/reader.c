/* SPDX-License-Identifier: BSD-2-Clause */
/* Hubble's meaning of number, first, since, until and follow (its observer's
 * newRingReader() and eventsReader). */
#include "hubble/reader.h"

#define LOOKS 2048    /* at entries, then others have their turn */
#define LOOKS_LEAST 4 /* also when time is short: filters can be long */

struct reader {
	const struct event_log *log;
	struct request request;
	uint64_t pos;
	uint64_t end;	/* not to follow: what was there when it began */
	uint64_t count; /* that it found on its way back, then that were sent */
	bool rewinding;
};

static void reader_free(void *state)
{
	struct reader *r = state;

	request_clear(&r->request);
	free(r);
}

/* ---- where to begin ---------------------------------------------------------------- */

static void reader_place(const struct clite_hubble *h, struct reader *r)
{
	const struct request *q = &r->request;
	uint64_t oldest = r->log->oldest(h);

	r->end = r->pos = r->log->head(h);
	if (q->first)
		r->pos = oldest;
	else if (q->has_since || (q->number && q->number < r->end - oldest))
		r->rewinding = true;
	else if (q->number)
		r->pos = oldest;
	else if (!q->follow)
		r->pos = oldest;
}

/* One entry back; what was overwritten meanwhile is the end of that, see overtaken(). */
static void rewind_one(const struct clite_hubble *h, struct reader *r)
{
	const struct request *q = &r->request;
	uint64_t oldest = r->log->oldest(h), pos = r->pos - 1;

	if (r->pos <= oldest) {
		r->rewinding = false;
	} else if (r->log->is_lost(h, pos)) {
		r->pos = pos;
	} else if (q->has_since) {
		r->rewinding = r->log->time(h, pos) >= q->since;
		r->pos = r->rewinding ? pos : r->pos;
	} else {
		r->pos = pos;
		r->count += r->log->passes(h, q, pos);
		r->rewinding = r->count < q->number;
	}
	if (!r->rewinding)
		r->count = 0;
}

/* ---- reading ------------------------------------------------------------------------- */

static enum more failed(struct stream *s)
{
	stream_fail(s, GRPC_RESOURCE_EXHAUSTED, "no memory");
	return MORE_END;
}

static enum more read_one(struct stream *s, struct reader *r)
{
	const struct clite_hubble *h = s->hub;
	const struct request *q = &r->request;
	uint64_t pos = r->pos++;

	if (r->log->is_lost(h, pos))
		return r->log->put(s, q, pos) ? failed(s) : MORE_FULL;
	if (q->has_until && r->log->time(h, pos) > q->until)
		return MORE_END;
	if ((q->has_since && r->log->time(h, pos) < q->since) || !r->log->passes(h, q, pos))
		return MORE_FULL;
	if (r->log->put(s, q, pos))
		return failed(s);
	r->count++;
	return !q->follow && q->number && r->count == q->number ? MORE_END : MORE_FULL;
}

/* Others wrote more than there is room for while it was slow: once, with the number. */
static int overtaken(struct stream *s, struct reader *r)
{
	uint64_t oldest = r->log->oldest(s->hub), stop = r->request.follow ? oldest : r->end;
	uint64_t lost;

	if (r->pos >= oldest)
		return 0;
	lost = (oldest < stop ? oldest : stop) - r->pos;
	r->pos += lost;
	return lost ? r->log->put_overtaken(s, lost) : 0;
}

static enum more read_more(struct stream *s, size_t room)
{
	struct reader *r = s->state;
	size_t want = bytes_left(&s->out) + room;
	enum more more = MORE_FULL;

	for (size_t looks = 0; looks < LOOKS && more == MORE_FULL; looks++) {
		if (looks && looks % LOOKS_LEAST == 0 && hub_is_late(s->hub))
			break;
		if (r->rewinding) {
			rewind_one(s->hub, r);
			continue;
		}
		if (bytes_left(&s->out) >= want)
			return MORE_FULL;
		if (overtaken(s, r))
			return failed(s);
		if (r->pos >= (r->request.follow ? r->log->head(s->hub) : r->end))
			return r->request.follow ? MORE_WAIT : MORE_END;
		more = read_one(s, r);
	}
	return more == MORE_FULL ? MORE_AGAIN : more;
}

/* Events come a little later than they happened. */
static uint64_t until_mono(uint64_t until)
{
	uint64_t now = now_real(), ahead = until > now ? until - now : 0;

	return ahead > NEVER / 2 ? NEVER : now_mono() + ahead + NS;
}

enum grpc_code reader_start(struct stream *s, const struct event_log *log, struct request *request)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (!r) {
		request_clear(request);
		return stream_fail(s, GRPC_RESOURCE_EXHAUSTED, "no memory");
	}
	r->log = log;
	r->request = *request;
	s->state = r;
	s->release = reader_free;
	s->more = read_more;
	reader_place(s->hub, r);
	if (request->follow && request->has_until) {
		s->end_at = until_mono(request->until);
		hub_timer(s->hub, s->end_at);
	}
	return GRPC_OK;
}
