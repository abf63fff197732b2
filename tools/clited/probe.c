/* SPDX-License-Identifier: BSD-2-Clause */
/* One check of one back end: connect, and with HTTP ask and read the status. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "clited.h"

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static socklen_t to_sockaddr(const struct place *p, union address *ret)
{
	*ret = (union address){ 0 };
	if (p->family == AF_INET) {
		ret->in.sin_family = AF_INET;
		ret->in.sin_port = htons(p->port);
		memcpy(&ret->in.sin_addr, p->ip, sizeof(ret->in.sin_addr));
		return sizeof(ret->in);
	}
	ret->in6.sin6_family = AF_INET6;
	ret->in6.sin6_port = htons(p->port);
	memcpy(&ret->in6.sin6_addr, p->ip, sizeof(ret->in6.sin6_addr));
	return sizeof(ret->in6);
}

/* ---- the end ---------------------------------------------------------------- */

void probe_cancel(struct probe *p)
{
	loop_untimer(p->loop, &p->timer);
	loop_unwatch(p->loop, &p->watch);
}

static void finish(struct probe *p, bool good, const char *text)
{
	probe_cancel(p);
	p->done(p, good, text);
}

/* If the loop was late the answer may lie there already: that is no timeout. What it leads
 * to gets its time again, which can happen only as often as there is something new. */
static void on_timeout(struct timer *t)
{
	struct probe *p = container_of(t, struct probe, timer);
	struct pollfd fd = { .fd = p->watch.fd, .events = p->asked ? POLLIN : POLLOUT };
	_cleanup_free_ char *text = NULL;

	if (poll(&fd, 1, 0) > 0) {
		loop_timer(p->loop, t, now_ms() + p->check->timeout);
		p->watch.ready(&p->watch, 0);
		return;
	}
	text = xprintf("no answer within %u ms", p->check->timeout);
	finish(p, false, text);
}

/* ---- HTTP -------------------------------------------------------------------- */

/* "HTTP/1.1 200" is all that counts. */
static void judge_answer(struct probe *p)
{
	unsigned int minor, status;
	_cleanup_free_ char *text = NULL;

	p->answer[p->len] = '\0';
	if (sscanf(p->answer, "HTTP/1.%1u %3u", &minor, &status) != 2 || status < 100) {
		finish(p, false, "what answers does not speak HTTP/1.x");
		return;
	}
	text = xprintf("status %u, expected %u-%u", status, p->check->status_first,
		       p->check->status_last);
	finish(p, status >= p->check->status_first && status <= p->check->status_last, text);
}

static void on_answer(struct watch *w, uint32_t events)
{
	static const size_t enough = sizeof("HTTP/1.1 200") - 1;
	struct probe *p = container_of(w, struct probe, watch);
	ssize_t n = read(w->fd, p->answer + p->len, sizeof(p->answer) - 1 - p->len);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		finish(p, false, strerror(errno));
		return;
	}
	p->len += (size_t)n;
	if (p->len >= enough)
		judge_answer(p);
	else if (!n)
		finish(p, false, "it closed the connection before it answered");
}

static char *make_request(const struct probe *p)
{
	char buf[PLACE_TEXT];

	return xprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: clited/%s\r\nAccept: */*\r\n"
		       "Connection: close\r\n\r\n",
		       p->check->path, p->check->host ? p->check->host : place_text(&p->at, buf),
		       clite_version_string());
}

static void ask(struct probe *p)
{
	_cleanup_free_ char *request = make_request(p);
	size_t len = strlen(request);
	/* A new connection has room for more than a request. */
	ssize_t n = send(p->watch.fd, request, len, MSG_NOSIGNAL);

	if (n != (ssize_t)len) {
		finish(p, false, n < 0 ? strerror(errno) : "it does not take the request");
		return;
	}
	p->len = 0;
	p->asked = true;
	p->watch.ready = on_answer;
	loop_change(p->loop, &p->watch, EPOLLIN);
}

/* ---- connect ----------------------------------------------------------------- */

/* Nobody listens on a port of this host that connections from it may get: TCP then
 * connects the socket with itself. */
static bool is_myself(int fd)
{
	union address a = { 0 }, b = { 0 };
	socklen_t x = sizeof(a), y = sizeof(b);

	return !getsockname(fd, &a.any, &x) && !getpeername(fd, &b.any, &y) && x == y &&
	       !memcmp(&a, &b, x);
}

static void on_connected(struct watch *w, uint32_t events)
{
	struct probe *p = container_of(w, struct probe, watch);
	int err = 0;
	socklen_t len = sizeof(err);

	(void)events;
	getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (!err && is_myself(w->fd))
		err = ECONNREFUSED;
	if (err)
		finish(p, false, strerror(err));
	else if (p->check->kind == CHECK_HTTP)
		ask(p);
	else
		finish(p, true, "connected");
}

static int bind_source(int fd, const struct check *check, uint16_t family)
{
	const struct place *source = family == AF_INET ? &check->source4 : &check->source6;
	union address a;
	socklen_t len;

	if (!source->family)
		return 0;
	/* The port is chosen when it connects: then many may have the same. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
	len = to_sockaddr(source, &a);
	return bind(fd, &a.any, len) ? -errno : 0;
}

/* Errors that say nothing of the back end. */
static bool is_local(int err)
{
	return err == EADDRNOTAVAIL || err == EAGAIN || err == ENOBUFS || err == ENOMEM ||
	       err == EMFILE || err == ENFILE;
}

static int connect_to(int fd, const struct place *at)
{
	union address a;
	socklen_t len = to_sockaddr(at, &a);

	return connect(fd, &a.any, len) && errno != EINPROGRESS ? -errno : 0;
}

/* What connect() says at once is told later as well, as the answer that it is. */
static void on_refused(struct timer *t)
{
	struct probe *p = container_of(t, struct probe, timer);

	finish(p, false, p->answer);
}

int probe_start(struct probe *p)
{
	_cleanup_close_ int fd =
		socket(p->at.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct linger reset = { .l_onoff = 1 };
	int r;

	if (fd < 0)
		return -errno;
	r = bind_source(fd, p->check, p->at.family);
	if (r < 0)
		return r;
	/* No TIME_WAIT: a port for each check would be taken for a minute. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	r = connect_to(fd, &p->at);
	if (r < 0 && is_local(-r))
		return r;
	p->watch.fd = -1;
	p->asked = false;
	p->timer.fire = r < 0 ? on_refused : on_timeout;
	if (r < 0) {
		snprintf(p->answer, sizeof(p->answer), "%s", strerror(-r));
		loop_timer(p->loop, &p->timer, now_ms());
		return 0;
	}
	p->watch = (struct watch){ .fd = fd, .ready = on_connected };
	r = loop_watch(p->loop, &p->watch, EPOLLOUT);
	if (r < 0) {
		p->watch.fd = -1;
		return r;
	}
	fd = -1;
	loop_timer(p->loop, &p->timer, now_ms() + p->check->timeout);
	return 0;
}
