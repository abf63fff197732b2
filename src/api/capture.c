/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/capture.h>
#include <cilium-lite/version.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "clite_layout.h"
#include "model/flow.h"
#include "model/pcapng.h"

#define FILE_MIN 4096
#define FILES_MAX 1000
#define INTERFACES_MAX 65536
#define PATIENCE_MS 500
#define STATISTICS_ROOM 192 /* bytes that the end of the file needs for an interface */

struct interface {
	uint32_t ifindex;
	uint64_t delivered;
};

struct clite_capture {
	char *path; /* NULL: somebody else's file */
	char *application;
	int fd;
	bool regular;
	bool finished; /* or broken: what was written cannot be gone on with */
	uint64_t max_bytes;
	uint32_t max_files;
	uint32_t snaplen;
	uint64_t written;
	uint64_t time; /* of the last packet */
	uint64_t lost;
	uint64_t lost_told; /* in files before */
	struct interface *interfaces;
	size_t n, cap;
	struct buf block, comment;
};

/* ---- writing ----------------------------------------------------------------- */

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		struct pollfd ready = { .fd = fd, .events = POLLOUT };
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EAGAIN && poll(&ready, 1, -1) > 0)
			continue;
		/* A signal ends the wait for somebody who does not read, but no block of
		 * somebody who does. */
		if (n < 0 && errno == EINTR && poll(&ready, 1, PATIENCE_MS) > 0)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Blocks are whole, or not there. */
static int block_write(struct clite_capture *c)
{
	int r = c->block.failed ? -ENOMEM : write_all(c->fd, c->block.data, c->block.len);

	if (!r) {
		c->written += c->block.len;
		return 0;
	}
	if (r == -ENOMEM && c->block.failed)
		return r;
	if (!c->regular || ftruncate(c->fd, (off_t)c->written) < 0 ||
	    lseek(c->fd, (off_t)c->written, SEEK_SET) < 0)
		c->finished = true;
	return r;
}

static void buf_empty(struct buf *b)
{
	b->len = 0;
	if (b->failed)
		buf_clear(b);
}

static int section_write(struct clite_capture *c)
{
	buf_empty(&c->block);
	pcapng_section(&c->block, c->application);
	return block_write(c);
}

static const char *interface_name(uint32_t ifindex, char name[IF_NAMESIZE + 16])
{
	if (!ifindex || !if_indextoname(ifindex, name))
		snprintf(name, IF_NAMESIZE + 16, "ifindex %u", ifindex);
	return name;
}

/* Losses are those of the whole subscription; they stand at the first interface. */
static void statistics_put(struct clite_capture *c, size_t i, uint64_t lost)
{
	pcapng_statistics(&c->block, (uint32_t)i, c->time,
			  i < c->n ? c->interfaces[i].delivered : 0, i ? 0 : lost,
			  !i && lost ? "lost at all interfaces together" : NULL);
}

int clite_capture_finish(struct clite_capture *c)
{
	uint64_t lost;

	if (!c)
		return -EINVAL;
	if (c->finished)
		return 0;
	lost = c->lost - c->lost_told;
	buf_empty(&c->block);
	if (!c->n && lost)
		pcapng_interface(&c->block, "any", c->snaplen);
	for (size_t i = 0; i < c->n || (!i && lost); i++)
		statistics_put(c, i, lost);
	c->finished = true;
	c->lost_told = c->lost;
	return c->block.len ? block_write(c) : 0;
}

/* ---- files --------------------------------------------------------------------- */

static int file_open(struct clite_capture *c)
{
	struct stat st;

	c->fd = open(c->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY,
		     0600);
	if (c->fd < 0 || fstat(c->fd, &st) < 0)
		return -errno;
	c->regular = S_ISREG(st.st_mode);
	/* One that was there may have had readers. */
	if (c->regular && fchmod(c->fd, 0600) < 0)
		return -errno;
	c->written = 0;
	c->n = 0;
	c->finished = false;
	return section_write(c);
}

/* FILE becomes FILE.1, that FILE.2, and the last one goes. */
static int files_shift(const struct clite_capture *c)
{
	for (uint32_t i = c->max_files - 1; i; i--) {
		_cleanup_free_ char *from = NULL, *to = NULL;

		if (asprintf(&to, "%s.%u", c->path, i) < 0)
			return -ENOMEM;
		if (i > 1 && asprintf(&from, "%s.%u", c->path, i - 1) < 0)
			return -ENOMEM;
		if (rename(from ?: c->path, to) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

static int file_next(struct clite_capture *c)
{
	int r;

	if (c->max_files < 2 || !c->regular)
		return -EFBIG;
	r = clite_capture_finish(c);
	if (!r)
		r = files_shift(c);
	if (r)
		return r;
	closep(&c->fd);
	c->fd = -1;
	return file_open(c);
}

/* ---- open, close ---------------------------------------------------------------- */

static int capture_new(const struct clite_capture_opts *opts, struct clite_capture **ret)
{
	struct clite_capture_opts o;
	struct clite_capture *c;

	if (opts_copy(&o, sizeof(o), opts))
		return -EINVAL;
	if ((o.max_bytes && o.max_bytes < FILE_MIN) || o.max_files > FILES_MAX ||
	    (o.max_files > 1 && !o.max_bytes) || o.snaplen > DP_CAPTURE_MAX)
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct clite_capture){
		.fd = -1,
		.max_bytes = o.max_bytes,
		.max_files = o.max_files,
		.snaplen = o.snaplen ?: DP_CAPTURE_MAX,
		.application = strdup(o.application ?: "libcilium-lite"),
	};
	if (!c->application) {
		free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

struct clite_capture *clite_capture_free(struct clite_capture *c)
{
	if (!c)
		return NULL;
	if (c->fd >= 0)
		clite_capture_finish(c);
	closep(&c->fd);
	free(c->path);
	free(c->application);
	free(c->interfaces);
	buf_clear(&c->block);
	buf_clear(&c->comment);
	free(c);
	return NULL;
}

int clite_capture_open(const char *path, const struct clite_capture_opts *opts,
		       struct clite_capture **ret)
{
	struct clite_capture *c;
	int r = path && *path && ret ? capture_new(opts, &c) : -EINVAL;

	if (r)
		return r;
	c->path = strdup(path);
	r = c->path ? file_open(c) : -ENOMEM;
	if (r) {
		c->finished = true;
		clite_capture_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int clite_capture_open_fd(int fd, const struct clite_capture_opts *opts, struct clite_capture **ret)
{
	struct clite_capture *c;
	int r = ret ? capture_new(opts, &c) : -EINVAL;

	if (r)
		return r;
	if (c->max_files > 1)
		r = -EINVAL;
	/* Where it stands is the owner's business: what was written is not taken back. */
	if (!r) {
		c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		r = c->fd < 0 ? -errno : section_write(c);
	}
	if (r) {
		c->finished = true;
		clite_capture_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int clite_capture_lost(struct clite_capture *c, uint64_t lost)
{
	if (!c)
		return -EINVAL;
	if (lost > c->lost)
		c->lost = lost;
	return 0;
}

/* ---- packets ---------------------------------------------------------------------- */

static size_t interface_find(const struct clite_capture *c, uint32_t ifindex)
{
	size_t i = 0;

	while (i < c->n && c->interfaces[i].ifindex != ifindex)
		i++;
	return i;
}

/* The packet in c->block, with its interface if that is new; which one it is. */
static int packet_put(struct clite_capture *c, const struct clite_event *e, size_t *ret)
{
	size_t i = interface_find(c, e->ifindex);
	struct pcapng_packet p = {
		.interface = (uint32_t)i,
		.time = e->time,
		.data = e->packet,
		.captured = e->packet ? e->packet_bytes : 0,
		.length = e->length,
		.direction = e->direction == CLITE_INGRESS ? PCAPNG_INBOUND :
			     e->direction == CLITE_EGRESS  ? PCAPNG_OUTBOUND :
							     0,
		.comment = c->comment.data,
	};
	char name[IF_NAMESIZE + 16];

	if (i == INTERFACES_MAX)
		return -EMFILE;
	if (!array_grow(&c->interfaces, &c->cap, i))
		return -ENOMEM;
	if (p.captured > DP_CAPTURE_MAX)
		p.captured = DP_CAPTURE_MAX;
	if (p.captured > p.length)
		p.captured = p.length;
	buf_empty(&c->block);
	if (i == c->n)
		pcapng_interface(&c->block, interface_name(e->ifindex, name), c->snaplen);
	pcapng_packet(&c->block, &p);
	*ret = i;
	return c->block.failed ? -ENOMEM : 0;
}

static bool fits(const struct clite_capture *c)
{
	return !c->max_bytes ||
	       c->written + c->block.len + (c->n + 1) * STATISTICS_ROOM <= c->max_bytes;
}

int clite_capture_write(struct clite_capture *c, const struct clite_flow *flow)
{
	size_t i = 0;
	int r;

	if (!c || !flow || !flow_valid(flow) || c->finished)
		return -EINVAL;
	buf_empty(&c->comment);
	flow_comment(flow, &c->comment);
	r = c->comment.failed ? -ENOMEM : packet_put(c, flow->event, &i);
	if (!r && !fits(c)) {
		r = file_next(c);
		if (!r)
			r = packet_put(c, flow->event, &i);
		if (!r && !fits(c))
			r = -EFBIG;
	}
	if (!r)
		r = block_write(c);
	if (r)
		return r;
	if (i == c->n)
		c->interfaces[c->n++] = (struct interface){ .ifindex = flow->event->ifindex };
	c->interfaces[i].delivered++;
	c->time = flow->event->time;
	return 0;
}
