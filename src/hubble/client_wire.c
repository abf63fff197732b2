/* SPDX-License-Identifier: BSD-2-Clause */
/* Connecting to a server, and bytes to and from it. */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "hubble/client.h"
#include "hubble/tls.h"

#define DEFAULT_PORT "4245"
/* Of what comes from the socket at once. */
#define CHUNK 65536
#define OUT_FULL (1u << 20) /* bytes that wait for the socket */

/* ---- addresses ---------------------------------------------------------------------- */

static bool starts(const char **s, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(*s, prefix, n))
		return false;
	*s += n;
	return true;
}

/* "host:port", "[::1]:port", "host", "::1". */
static int split_host(const char *s, char **ret_host, char **ret_port)
{
	const char *close = *s == '[' ? strchr(s, ']') : NULL;
	const char *colon = close ? (close[1] == ':' ? close + 1 : NULL) : strrchr(s, ':');
	size_t len;

	if (*s == '[' && (!close || (close[1] && !colon)))
		return -EINVAL;
	if (!close && colon && memchr(s, ':', (size_t)(colon - s)))
		colon = NULL; /* an IPv6 address alone */
	len = colon ? (size_t)(colon - s) : strlen(s);
	*ret_host = close ? strndup(s + 1, (size_t)(close - s) - 1) : strndup(s, len);
	*ret_port = strdup(colon ? colon + 1 : DEFAULT_PORT);
	if (!*ret_host || !*ret_port)
		return -ENOMEM;
	return **ret_host && **ret_port ? 0 : -EINVAL;
}

static int find_host(struct wire *w, const char *s, struct failure *f)
{
	static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	_cleanup_free_ char *port = NULL;
	int r = split_host(s, &w->host, &port);

	if (r == -EINVAL)
		return failure_set(f, EINVAL,
				   "server '%s': an address is unix:///PATH, HOST:PORT or "
				   "tls://HOST:PORT",
				   w->target);
	if (r < 0)
		return r;
	r = getaddrinfo(w->host, port, &hints, &w->addresses);
	if (r == EAI_MEMORY)
		return -ENOMEM;
	if (r)
		return failure_set(f, EHOSTUNREACH, "server '%s': %s", w->target, gai_strerror(r));
	w->next = w->addresses;
	return 0;
}

static int find_path(struct wire *w, const char *path, struct failure *f)
{
	if (!*path || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return failure_set(f, EINVAL,
				   "server '%s': the path of a socket has 1 to %zu bytes",
				   w->target, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	w->path = strdup(path);
	w->host = strdup("localhost");
	return w->path && w->host ? 0 : -ENOMEM;
}

/* Whether the address asks for TLS: "tls://". */
static int find_address(struct wire *w, const char *address, bool *ret_tls, struct failure *f)
{
	w->target = strdup(address);
	if (!w->target)
		return -ENOMEM;
	*ret_tls = false;
	if (starts(&address, "unix://") || starts(&address, "unix:") || *address == '/')
		return find_path(w, address, f);
	*ret_tls = starts(&address, "tls://");
	if (!*ret_tls)
		starts(&address, "tcp://");
	return find_host(w, address, f);
}

/* ---- connecting --------------------------------------------------------------------- */

static int connect_failed(struct wire *w, int err, struct failure *f)
{
	return failure_set(f, err, "server '%s': %s", w->target, strerror(err));
}

/* A socket that is connecting, or connected. */
static int connect_to(struct wire *w, int family, const struct sockaddr *addr, socklen_t len)
{
	_cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	/* A Unix socket whose queue is full says EAGAIN: as good as nobody. */
	if (connect(fd, addr, len) < 0 && errno != EINPROGRESS)
		return -errno;
	w->fd = TAKE_FD(fd);
	return 0;
}

static int connect_path(struct wire *w, struct failure *f)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int r;

	memcpy(sun.sun_path, w->path, strlen(w->path) + 1);
	r = connect_to(w, AF_UNIX, (struct sockaddr *)&sun, sizeof(sun));
	return r < 0 ? connect_failed(w, -r, f) : 0;
}

/* The next of the host's addresses that takes it. */
static int connect_next(struct wire *w, int err, struct failure *f)
{
	while (w->next) {
		const struct addrinfo *ai = w->next;

		w->next = ai->ai_next;
		err = -connect_to(w, ai->ai_family, ai->ai_addr, ai->ai_addrlen);
		if (!err)
			return 0;
	}
	return connect_failed(w, err, f);
}

int wire_open(struct wire *w, const char *address, const struct clite_hubble_client_opts *opts,
	      struct failure *f)
{
	bool insecure = opts->tls == CLITE_HUBBLE_TLS_INSECURE, tls = false;
	int r = find_address(w, address, &tls, f);

	if (opts->tls == CLITE_HUBBLE_TLS_AUTO)
		tls = tls || opts->ca || opts->cert || opts->key || opts->server_name;
	else
		tls = opts->tls != CLITE_HUBBLE_TLS_OFF;
	if (!r && tls)
		r = client_tls_init(w, opts, insecure, f);
	return r;
}

/* Is the connection there? A refusal shows here; then the next address is tried. */
static int connect_done(struct wire *w, struct failure *f)
{
	socklen_t len = sizeof(int);
	struct sockaddr_storage peer;
	socklen_t peer_len = sizeof(peer);
	int err = 0;

	getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (!err && getpeername(w->fd, (struct sockaddr *)&peer, &peer_len) < 0)
		return 0; /* not yet */
	if (!err) {
		w->connected = true;
		return w->tls ? client_tls_start(w, f) : 0;
	}
	close(w->fd);
	w->fd = -1;
	return w->path ? connect_failed(w, err, f) : connect_next(w, err, f);
}

int wire_advance(struct wire *w, struct failure *f)
{
	int r = 0;

	if (w->fd < 0)
		r = w->path ? connect_path(w, f) : connect_next(w, EADDRNOTAVAIL, f);
	if (!r && !w->connected)
		r = connect_done(w, f);
	if (r < 0 || !w->connected)
		return r;
	if (w->tls && !w->up) {
		uint8_t none;

		/* what came is for the handshake */
		r = (int)wire_read(w, &none, 0, f);
		if (!r)
			r = client_tls_handshake(w, f);
		if (r <= 0)
			return r;
	}
	w->up = true;
	return 1;
}

/* ---- bytes -------------------------------------------------------------------------- */

static ssize_t receive(struct wire *w, void *buf, size_t size, struct failure *f)
{
	ssize_t n = recv(w->fd, buf, size, 0);

	if (n > 0)
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return connect_failed(w, errno, f);
	return failure_set(f, ECONNRESET, "server '%s' closed the connection", w->target);
}

ssize_t wire_read(struct wire *w, void *buf, size_t size, struct failure *f)
{
	uint8_t chunk[CHUNK];
	ssize_t n;
	int r;

	if (!w->tls)
		return receive(w, buf, size, f);
	n = w->up ? client_tls_read(w, buf, size, f) : 0;
	if (n)
		return n;
	n = receive(w, chunk, sizeof(chunk), f);
	if (n <= 0)
		return n;
	r = tls_input(w->ssl, chunk, (size_t)n);
	if (r < 0)
		return r;
	return w->up ? client_tls_read(w, buf, size, f) : 0;
}

int wire_write(struct wire *w, const void *data, size_t len, struct failure *f)
{
	if (w->tls)
		return client_tls_write(w, data, len, f);
	return bytes_put(&w->out, data, len) ? 0 : -ENOMEM;
}

int wire_flush(struct wire *w, struct failure *f)
{
	while (bytes_left(&w->out)) {
		ssize_t n =
			send(w->fd, w->out.data + w->out.off, bytes_left(&w->out), MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0)
			return connect_failed(w, errno, f);
		bytes_take(&w->out, (size_t)n);
	}
	return 0;
}

bool wire_wants_write(const struct wire *w)
{
	return !w->connected || bytes_left(&w->out);
}

bool wire_is_full(const struct wire *w)
{
	return bytes_left(&w->out) >= OUT_FULL;
}

void wire_close(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	SSL_free(w->ssl);
	SSL_CTX_free(w->tls);
	if (w->addresses)
		freeaddrinfo(w->addresses);
	bytes_clear(&w->out);
	free(w->target);
	free(w->host);
	free(w->path);
	*w = (struct wire){ .fd = -1 };
}
