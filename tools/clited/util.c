/* SPDX-License-Identifier: BSD-2-Clause */
/* Time, addresses, files. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "clited.h"

/* ---- memory --------------------------------------------------------------- */

void out_of_memory(void)
{
	fputs("clited: error: out of memory\n", stderr);
	_exit(EXIT_FAILED);
}

/* ---- time ----------------------------------------------------------------- */

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- addresses ------------------------------------------------------------ */

bool parse_address(const char *text, struct place *ret)
{
	struct place p = { 0 };

	if (inet_pton(AF_INET, text, p.ip) == 1)
		p.family = AF_INET;
	else if (inet_pton(AF_INET6, text, p.ip) == 1)
		p.family = AF_INET6;
	else
		return false;
	*ret = p;
	return true;
}

const char *place_text(const struct place *p, char buf[PLACE_TEXT])
{
	char address[INET6_ADDRSTRLEN] = "";

	inet_ntop(p->family, p->ip, address, sizeof(address));
	if (!p->port)
		snprintf(buf, PLACE_TEXT, "%s", address);
	else
		snprintf(buf, PLACE_TEXT, p->family == AF_INET6 ? "[%s]:%u" : "%s:%u", address,
			 p->port);
	return buf;
}

int place_cmp(const struct place *a, const struct place *b)
{
	_Static_assert(sizeof(*a) == 20, "memcmp() would see padding");
	return memcmp(a, b, sizeof(*a));
}

static bool parse_protocol(const char *text, uint32_t *ret)
{
	if (!strcasecmp(text, "tcp"))
		*ret = IPPROTO_TCP;
	else if (!strcasecmp(text, "udp"))
		*ret = IPPROTO_UDP;
	else if (!strcasecmp(text, "sctp"))
		*ret = IPPROTO_SCTP;
	else
		return false;
	return true;
}

/* Cut what follows the last sep off, NULL if it is not there. */
static char *cut(char *s, char sep)
{
	char *p = strrchr(s, sep);

	if (p)
		*p++ = '\0';
	return p;
}

/* The address of text, and what follows it as "port" (NULL: nothing). */
static char *cut_port(char *text, char **port)
{
	struct place ignored;
	char *end;

	*port = NULL;
	if (*text != '[') {
		if (!parse_address(text, &ignored))
			*port = cut(text, ':');
		return text;
	}
	end = strchr(text, ']');
	if (!end || (end[1] && end[1] != ':'))
		return NULL;
	*end = '\0';
	*port = end[1] ? end + 2 : NULL;
	return strchr(text + 1, ':') ? text + 1 : NULL;
}

bool parse_frontend(const char *text, struct place *ret, uint32_t *ret_protocol)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *protocol = cut(copy, '/'), *port, *address = cut_port(copy, &port);
	struct place p;
	uint64_t n = 0;

	*ret_protocol = 0;
	if (!address || !parse_address(address, &p) ||
	    (port && (!parse_number(port, 65535, &n) || !n)) ||
	    (protocol && !parse_protocol(protocol, ret_protocol)))
		return false;
	p.port = (uint16_t)n;
	*ret = p;
	return true;
}

/* ---- files ---------------------------------------------------------------- */

int read_file(const char *path, size_t max, char **ret, size_t *ret_len)
{
	/* Not blocking: a FIFO under that name must not stop the loop. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_free_ char *text = NULL;
	size_t len = 0, cap = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		if (len + 1 >= cap) {
			cap = cap ? cap * 2 : 65536;
			text = xrealloc(text, cap, 1);
		}
		n = read(fd, text + len, cap - len - 1);
		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
		if (len > max)
			return -EFBIG;
	} while (n);
	text[len] = '\0';
	*ret = text;
	*ret_len = len;
	text = NULL;
	return 0;
}
