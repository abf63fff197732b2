/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/listen.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BACKLOG 128
#define UNIX_MODE 0660

/* ---- Unix sockets ---------------------------------------------------------------- */

/* Does somebody listen there? */
static bool unix_alive(const struct sockaddr_un *sa)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ||
			   (errno != ECONNREFUSED && errno != ENOENT));
}

/* What a server that was killed left there goes. */
static int unix_clear(struct clite_hubble *h, const struct sockaddr_un *sa)
{
	struct stat st;

	if (lstat(sa->sun_path, &st) != 0)
		return errno == ENOENT ?
			       0 :
			       hub_error(h, errno, "%s: %s", sa->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return hub_error(h, EEXIST, "%s is there and is not a socket", sa->sun_path);
	if (unix_alive(sa))
		return hub_error(h, EADDRINUSE, "%s: another server listens there", sa->sun_path);
	if (unlink(sa->sun_path) != 0 && errno != ENOENT)
		return hub_error(h, errno, "%s: cannot remove what a dead server left: %s",
				 sa->sun_path, strerror(errno));
	return 0;
}

/* Nobody connects before it has its owner and mode: until then only we may. */
static int unix_bind(struct clite_hubble *h, struct listener *l, const struct sockaddr_un *sa,
		     const struct clite_hubble_listen_opts *o)
{
	struct stat st;

	if (fchmod(l->fd, 0600) != 0 || bind(l->fd, (const struct sockaddr *)sa, sizeof(*sa)) != 0)
		return hub_error(h, errno, "%s: cannot bind: %s", sa->sun_path, strerror(errno));
	l->path = strdup(sa->sun_path);
	if (!l->path) {
		unlink(sa->sun_path);
		return -ENOMEM;
	}
	if (lstat(l->path, &st) == 0) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	if (o->set_owner && lchown(l->path, o->uid, o->gid) != 0)
		return hub_error(h, errno, "%s: cannot give it to %u:%u: %s", l->path, o->uid,
				 o->gid, strerror(errno));
	if (chmod(l->path, o->mode ?: UNIX_MODE) != 0)
		return hub_error(h, errno, "%s: cannot set its mode: %s", l->path, strerror(errno));
	return 0;
}

static int unix_open(struct clite_hubble *h, struct listener *l, const char *path,
		     const struct clite_hubble_listen_opts *o)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return hub_error(h, EINVAL, "'%s': a path of a socket has %zu bytes at most", path,
				 sizeof(sa.sun_path) - 1);
	strcpy(sa.sun_path, path);
	r = unix_clear(h, &sa);
	if (r)
		return r;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return hub_error(h, errno, "cannot make a Unix socket: %s", strerror(errno));
	if (asprintf(&l->address, "unix://%s", path) < 0) {
		l->address = NULL;
		return -ENOMEM;
	}
	return unix_bind(h, l, &sa, o);
}

/* ---- TCP ------------------------------------------------------------------------- */

/* "host:port": both parts, copied. */
static int split(struct clite_hubble *h, const char *name, char **host, char **port)
{
	const char *colon = strrchr(name, ':'), *from = name, *to = colon;
	char *end;
	unsigned long n;

	if (!colon)
		return hub_error(h, EINVAL,
				 "address '%s' has no port; such as \":4244\", \"[::1]:4244\" or "
				 "\"unix:///run/hubble.sock\" would be right",
				 name);
	n = strtoul(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end || n > 65535)
		return hub_error(h, EINVAL, "address '%s': '%s' is not a port", name, colon + 1);
	if (*from == '[' && to > from + 1 && to[-1] == ']') {
		from++;
		to--;
	} else if (memchr(from, ':', (size_t)(to - from))) {
		return hub_error(h, EINVAL,
				 "address '%s': an IPv6 address needs brackets: \"[::1]:4244\"",
				 name);
	}
	*host = strndup(from, (size_t)(to - from));
	*port = strdup(colon + 1);
	return *host && *port ? 0 : -ENOMEM;
}

static int tcp_address(struct clite_hubble *h, struct listener *l)
{
	struct sockaddr_storage sa = {};
	socklen_t len = sizeof(sa);
	char host[INET6_ADDRSTRLEN];
	bool v6;
	int n;

	if (getsockname(l->fd, (struct sockaddr *)&sa, &len) != 0)
		return hub_error(h, errno, "%s: %s", l->name, strerror(errno));
	v6 = sa.ss_family == AF_INET6;
	inet_ntop(sa.ss_family,
		  v6 ? (void *)&((struct sockaddr_in6 *)&sa)->sin6_addr :
		       (void *)&((struct sockaddr_in *)&sa)->sin_addr,
		  host, sizeof(host));
	l->wildcard = !strcmp(host, "::") || !strcmp(host, "0.0.0.0");
	/* the port is at the same place in both */
	n = asprintf(&l->address, v6 ? "[%s]:%u" : "%s:%u", host,
		     ntohs(((struct sockaddr_in *)&sa)->sin_port));
	if (n < 0)
		l->address = NULL;
	return n < 0 ? -ENOMEM : 0;
}

static int tcp_bind(struct listener *l, const struct addrinfo *a)
{
	const int on = 1, off = 0;
	_cleanup_close_ int fd =
		socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->ai_family == AF_INET6) /* "all addresses" are those of IPv4, too */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, a->ai_addr, a->ai_addrlen) != 0)
		return -errno;
	l->fd = TAKE_FD(fd);
	return 0;
}

static int tcp_open(struct clite_hubble *h, struct listener *l)
{
	_cleanup_free_ char *host = NULL, *port = NULL;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *list, *a;
	int r = split(h, l->name, &host, &port), e;

	if (r)
		return r;
	e = getaddrinfo(*host ? host : NULL, port, &hints, &list);
	if (e)
		return hub_error(h, EINVAL, "address '%s': %s", l->name, gai_strerror(e));
	r = -EADDRNOTAVAIL;
	for (int v6 = 1; r && v6 >= 0; v6--) /* that of IPv6 first: it can be both */
		for (a = list; r && a; a = a->ai_next)
			if ((a->ai_family == AF_INET6) == v6)
				r = tcp_bind(l, a);
	freeaddrinfo(list);
	if (r)
		return hub_error(h, -r, "%s: cannot bind: %s", l->name, strerror(-r));
	return tcp_address(h, l);
}

/* ---- both ------------------------------------------------------------------------ */

static int copy_text(char **to, const char *from)
{
	char *copy = from ? strdup(from) : NULL;

	if (from && !copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int set_opts(struct clite_hubble *h, struct listener *l,
		    const struct clite_hubble_listen_opts *o)
{
	SSL_CTX *tls = NULL;
	int r = o->cert ? tls_context(h, o, &tls) : 0;

	if (r)
		return r;
	r = copy_text(&l->announce, o->announce) ?: copy_text(&l->server_name, o->server_name);
	if (r) {
		SSL_CTX_free(tls);
		return r;
	}
	SSL_CTX_free(l->tls);
	l->tls = tls;
	return 0;
}

static const char *unix_path(const char *name)
{
	if (!strncmp(name, "unix://", 7))
		return name + 7;
	if (!strncmp(name, "unix:", 5))
		return name + 5;
	return *name == '/' ? name : NULL;
}

static int start(struct clite_hubble *h, struct listener *l,
		 const struct clite_hubble_listen_opts *o)
{
	const char *path = unix_path(l->name);
	int r;

	if (path && *path != '/')
		return hub_error(h, EINVAL, "address '%s': a path begins with '/'", l->name);
	r = set_opts(h, l, o);
	if (!r)
		r = path ? unix_open(h, l, path, o) : tcp_open(h, l);
	if (r)
		return r;
	if (listen(l->fd, BACKLOG) != 0)
		return hub_error(h, errno, "%s: cannot listen: %s", l->name, strerror(errno));
	listener_watch(h, l, true);
	return 0;
}

static struct listener *find(struct clite_hubble *h, const char *name)
{
	struct listener *l;

	TAILQ_FOREACH(l, &h->listeners, entry) {
		if (!strcmp(l->name, name))
			return l;
	}
	return NULL;
}

int listener_open(struct clite_hubble *h, const char *name,
		  const struct clite_hubble_listen_opts *o)
{
	struct listener *l = find(h, name);
	int r;

	if (l)
		return set_opts(h, l, o);
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	TAILQ_INSERT_TAIL(&h->listeners, l, entry);
	l->watch = WATCH_LISTENER;
	l->fd = -1;
	l->name = strdup(name);
	r = l->name ? start(h, l, o) : -ENOMEM;
	if (r)
		listener_free(h, l, true);
	return r;
}

int listener_close(struct clite_hubble *h, const char *name)
{
	struct listener *l = find(h, name);

	if (!l)
		return hub_error(h, ENOENT, "nobody listens at '%s'", name);
	listener_free(h, l, true);
	return 0;
}

void listener_free(struct clite_hubble *h, struct listener *l, bool remove)
{
	struct stat st;

	TAILQ_REMOVE(&h->listeners, l, entry);
	if (remove && l->fd >= 0)
		listener_watch(h, l, false);
	if (remove && l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlink(l->path);
	closep(&l->fd);
	SSL_CTX_free(l->tls);
	free(l->name);
	free(l->address);
	free(l->announce);
	free(l->server_name);
	free(l->path);
	free(l);
}

int listener_accept(struct listener *l)
{
	const int on = 1, idle = 60, interval = 15, count = 4;
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (l->path)
		return fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* who follows and has vanished is found out in two minutes */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	return fd;
}

void listener_watch(struct clite_hubble *h, struct listener *l, bool on)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = l };

	epoll_ctl(h->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, l->fd, &e);
}
