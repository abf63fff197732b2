/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the daemon listens: an address and port, or a path. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "clited.h"

#define BACKLOG 64

union name {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

/* The path of "unix:///run/x", "unix:/run/x" and "/run/x"; NULL for what is none. */
static const char *path_of(const char *text)
{
	if (!strncmp(text, "unix:", 5)) {
		text += 5;
		if (!strncmp(text, "//", 2))
			text += 2;
	}
	return *text == '/' ? text : NULL;
}

/* ":9962": every address, of both families if there are both. */
static bool any_port(const char *text, uint64_t *ret)
{
	return *text == ':' && parse_number(text + 1, 65535, ret) && *ret;
}

bool listen_valid(const char *text)
{
	const char *path = path_of(text);
	uint32_t protocol;
	struct place at;
	uint64_t port;

	if (path)
		return path[1] && strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path);
	return any_port(text, &port) ||
	       (!strchr(text, '/') && parse_frontend(text, &at, &protocol) && at.port);
}

static int try_bind(const union name *name, socklen_t len, bool share)
{
	int one = 1, zero = 0, fd;

	fd = socket(name->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (name->sa.sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (share && name->sa.sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (name->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, &name->sa, len) || listen(fd, BACKLOG)) {
		int code = errno;

		close(fd);
		return -code;
	}
	return fd;
}

static int bind_place(const struct place *at, bool share)
{
	union name name = { 0 };

	if (at->family == AF_INET) {
		name.in =
			(struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(at->port) };
		memcpy(&name.in.sin_addr, at->ip, 4);
		return try_bind(&name, sizeof(name.in), share);
	}
	name.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(at->port) };
	memcpy(&name.in6.sin6_addr, at->ip, 16);
	return try_bind(&name, sizeof(name.in6), share);
}

static int bind_any(uint16_t port, bool share)
{
	struct place at = { .family = AF_INET6, .port = port };
	int r = bind_place(&at, share);

	if (r != -EAFNOSUPPORT && r != -EADDRNOTAVAIL)
		return r;
	at.family = AF_INET; /* a host without IPv6 */
	return bind_place(&at, share);
}

/* A socket that a process which was killed has left. */
static bool is_left_over(const union name *name)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	return fd >= 0 && !lstat(name->un.sun_path, &st) && S_ISSOCK(st.st_mode) &&
	       connect(fd, &name->sa, sizeof(name->un)) && errno == ECONNREFUSED;
}

static int bind_path(const char *path)
{
	union name name = { .un.sun_family = AF_UNIX };
	int r;

	snprintf(name.un.sun_path, sizeof(name.un.sun_path), "%s", path);
	r = try_bind(&name, sizeof(name.un), false);
	if (r != -EADDRINUSE || !is_left_over(&name))
		return r;
	unlink(path);
	return try_bind(&name, sizeof(name.un), false);
}

int listen_open(const char *text, bool share)
{
	const char *path = path_of(text);
	uint32_t protocol;
	struct place at;
	uint64_t port;

	if (path)
		return bind_path(path);
	if (any_port(text, &port))
		return bind_any((uint16_t)port, share);
	return parse_frontend(text, &at, &protocol) ? bind_place(&at, share) : -EINVAL;
}

void listen_forget(const char *text)
{
	const char *path = path_of(text);

	if (path && unlink(path) && errno != ENOENT)
		log_warning("cannot remove '%s': %s", path, strerror(errno));
}
