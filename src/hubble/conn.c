/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/conn.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#define READ_SIZE (32u << 10)
#define READS 8			    /* in a turn, then others are served */
#define OUT_FULL (256u << 10)	    /* bytes that wait for the socket */
#define FRAMES_FULL 1000	    /* that wait behind them */
#define TURN_BYTES (1u << 20)	    /* sent in a turn */
#define GREETING_PATIENCE (10 * NS) /* until it speaks HTTP/2 */

void conn_close(struct conn *c)
{
	if (c->closed)
		return;
	c->closed = true;
	c->hub->nclosed++;
	if (!c->greeted)
		c->hub->refused++;
}

/* ---- sending --------------------------------------------------------------------- */

/* Who does not read what its bytes make us answer is not listened to either. */
static bool is_full(const struct conn *c)
{
	return bytes_left(&c->out) >= 2 * OUT_FULL ||
	       (bytes_left(&c->out) &&
		nghttp2_session_get_outbound_queue_size(c->session) >= FRAMES_FULL);
}

static void set_events(struct conn *c)
{
	uint32_t events = (is_full(c) ? 0u : (uint32_t)EPOLLIN) |
			  (bytes_left(&c->out) ? (uint32_t)EPOLLOUT : 0);
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (events == c->events)
		return;
	c->events = events;
	epoll_ctl(c->hub->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

/* Frames until there are enough. */
static int fill(struct conn *c)
{
	const uint8_t *data;
	ssize_t n;
	int r;

	while (bytes_left(&c->out) < OUT_FULL) {
		n = nghttp2_session_mem_send(c->session, &data);
		if (n < 0)
			return -EPROTO;
		if (n == 0)
			return 0;
		if (!c->ssl) {
			if (!bytes_put(&c->out, data, (size_t)n))
				return -ENOMEM;
			continue;
		}
		r = tls_write(c->ssl, data, (size_t)n) ?: tls_output(c->ssl, &c->out);
		if (r)
			return r;
	}
	return 0;
}

/* Bytes sent; 0: the socket is full, or there are none. */
static ssize_t flush(struct conn *c)
{
	size_t left = bytes_left(&c->out);
	ssize_t n = left ? send(c->fd, c->out.data + c->out.off, left, MSG_NOSIGNAL) : 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	bytes_take(&c->out, (size_t)n);
	return n;
}

static void conn_send(struct conn *c)
{
	size_t sent = 0;
	ssize_t n;

	while (!c->closed) {
		if (c->ready && fill(c) < 0)
			return conn_close(c);
		n = flush(c);
		if (n < 0)
			return conn_close(c);
		if (!n)
			break;
		sent += (size_t)n;
		if (sent < TURN_BYTES)
			continue;
		c->turn = true; /* others first */
		hub_wake(c->hub);
		break;
	}
	if (c->closed)
		return;
	if (c->ready && !bytes_left(&c->out) && !nghttp2_session_want_read(c->session) &&
	    !nghttp2_session_want_write(c->session))
		return conn_close(c);
	set_events(c);
}

void conn_serve(struct conn *c)
{
	struct stream *s;

	if (c->closed)
		return;
	LIST_FOREACH(s, &c->streams, entry)
	if (s->deferred)
		stream_resume(s);
	conn_send(c);
}

/* ---- receiving ------------------------------------------------------------------- */

static int http2_input(struct conn *c, const uint8_t *data, size_t n)
{
	ssize_t used = nghttp2_session_mem_recv(c->session, data, n);

	return used == (ssize_t)n ? 0 : -EPROTO;
}

static int tls_received(struct conn *c, const uint8_t *data, size_t n)
{
	uint8_t plain[16384]; /* a record */
	int r = tls_input(c->ssl, data, n);

	if (!r && !c->ready) {
		r = tls_handshake(c->ssl);
		c->ready = r == 1;
		r = r > 0 ? 0 : r;
	}
	while (!r && c->ready) {
		int got = tls_read(c->ssl, plain, sizeof(plain));

		if (got <= 0) {
			r = got;
			break;
		}
		r = http2_input(c, plain, (size_t)got);
	}
	/* also when it failed: an alert tells the client why */
	return tls_output(c->ssl, &c->out) ?: r;
}

/* 1: there may be more, 0: not now. */
static int receive(struct conn *c)
{
	uint8_t data[READ_SIZE];
	ssize_t n = recv(c->fd, data, sizeof(data), 0);
	int r;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	r = c->ssl ? tls_received(c, data, (size_t)n) : http2_input(c, data, (size_t)n);
	return r ?: n == sizeof(data);
}

void conn_ready(struct conn *c, uint32_t events)
{
	int r = 1;

	if (c->closed)
		return;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		for (int i = 0; r > 0 && i < READS && !is_full(c); i++)
			r = receive(c);
	if (r >= 0 && !hub_is_late(c->hub))
		return conn_send(c);
	if (r >= 0) {
		c->turn = true;
		return hub_wake(c->hub);
	}
	/* what explains it to the client */
	if (c->ready && r == -EPROTO)
		fill(c);
	flush(c);
	conn_close(c);
}

/* ---- time ------------------------------------------------------------------------ */

uint64_t conn_timers(struct conn *c, uint64_t now)
{
	uint64_t next = LIST_EMPTY(&c->streams) ? c->patience : NEVER;
	struct stream *s, *after;

	if (c->closed)
		return NEVER;
	if (next <= now) {
		conn_close(c);
		return NEVER;
	}
	for (s = LIST_FIRST(&c->streams); s; s = after) {
		uint64_t at = stream_timers(s, now);

		after = LIST_NEXT(s, entry);
		next = at < next ? at : next;
	}
	c->turn = true; /* in this dispatch */
	return next;
}

/* ---- coming and going -------------------------------------------------------------- */

void conn_free(struct conn *c, bool alive)
{
	struct clite_hubble *h = c->hub;

	grpc_streams_free(c);
	if (alive && c->fd >= 0)
		epoll_ctl(h->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	closep(&c->fd);
	nghttp2_session_del(c->session);
	SSL_free(c->ssl);
	bytes_clear(&c->out);
	TAILQ_REMOVE(&h->conns, c, entry);
	h->nconns--;
	h->nclosed -= c->closed;
	free(c);
}

static int set_up(struct conn *c, struct listener *l)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

	c->events = e.events;
	c->ready = !l->tls;
	if (l->tls) {
		c->ssl = tls_accept(l->tls);
		if (!c->ssl)
			return -ENOMEM;
	}
	return grpc_session(c, &c->session)				  ?:
		       epoll_ctl(c->hub->epoll, EPOLL_CTL_ADD, c->fd, &e) ? -errno :
									    0;
}

void conn_open(struct clite_hubble *h, struct listener *l, int fd)
{
	struct conn *c = h->nconns < h->nconns_max ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		h->refused++;
		close(fd);
		return;
	}
	c->watch = WATCH_CONN;
	c->fd = fd;
	c->hub = h;
	c->patience = now_mono() + GREETING_PATIENCE;
	LIST_INIT(&c->streams);
	TAILQ_INSERT_TAIL(&h->conns, c, entry);
	h->nconns++;
	hub_timer(h, c->patience);
	if (set_up(c, l) < 0) {
		h->refused++;
		conn_free(c, true);
	}
}
