/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/flow_file.h>
#include <cilium-lite/version.h>
#include <fcntl.h>
#include <zlib.h>

#include "model/flow_parse.h"

#define LINE_BYTES (1u << 20)
#define CHUNK 65536

enum packing { PACKING_UNKNOWN, PACKING_NONE, PACKING_GZIP };

struct clite_flow_reader {
	struct flow_parsed parsed;
	struct clite_flow_reader_counts counts;
	struct errtext err;
	struct buf line; /* the parser writes into it */

	char *name;
	int fd; /* -1: none */
	bool owned;
	bool skipping; /* the rest of a line that is too long */
	bool end;
	uint64_t number; /* of the line */
	enum packing packing;
	z_stream z;
	bool member;	 /* inside of a member of a gzip file */
	char raw[CHUNK]; /* as it is in a compressed file */
	char in[CHUNK];	 /* what comes next */
	size_t at, len;
};

/* ---- lines --------------------------------------------------------------------- */

static int failed(struct clite_flow_reader *r, int ret)
{
	if (ret == -ENOMEM)
		return ret;
	r->counts.wrong++;
	if (r->name)
		return err_prefix(&r->err, ret, "%s:%llu", r->name, (unsigned long long)r->number);
	return err_prefix(&r->err, ret, "line %llu", (unsigned long long)r->number);
}

static int too_long(struct clite_flow_reader *r)
{
	r->counts.lines++;
	return failed(r, err_set(&r->err, E2BIG, "the line is longer than %u bytes", LINE_BYTES));
}

static bool is_blank(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n')
			return false;
	return true;
}

/* Of what is in r->line. */
static int parse_line(struct clite_flow_reader *r, const struct clite_flow **ret)
{
	int n;

	if (is_blank(r->line.data, r->line.len))
		return 0;
	r->counts.lines++;
	n = flow_parse(&r->parsed, r->line.data, r->line.len, &r->err);
	if (n < 0)
		return failed(r, n);
	if (!n) {
		r->counts.others++;
		return 0;
	}
	r->counts.flows++;
	*ret = &r->parsed.flow;
	return 1;
}

int clite_flow_reader_line(struct clite_flow_reader *reader, const char *text, size_t len,
			   const struct clite_flow **ret)
{
	if (!reader || !text || !ret)
		return -EINVAL;
	err_clear(&reader->err);
	reader->number++;
	if (len > LINE_BYTES)
		return too_long(reader);
	reader->line.len = 0;
	reader->line.failed = false;
	buf_put(&reader->line, text, len);
	return reader->line.failed ? -ENOMEM : parse_line(reader, ret);
}

/* ---- bytes ------------------------------------------------------------------------ */

static void close_source(struct clite_flow_reader *r)
{
	if (r->packing == PACKING_GZIP)
		inflateEnd(&r->z);
	if (r->owned)
		close(r->fd);
	free(TAKE_PTR(r->name));
	r->packing = PACKING_UNKNOWN;
	r->fd = -1;
	r->owned = r->skipping = r->end = r->member = false;
	r->number = 0;
	r->at = r->len = 0;
	r->line.len = 0;
	r->counts = (struct clite_flow_reader_counts){};
}

static int read_error(struct clite_flow_reader *r, int code, const char *what)
{
	if (code == EAGAIN || code == EINTR)
		return -code;
	return err_set(&r->err, code, "%s%s%s", r->name ?: "", r->name ? ": " : "", what);
}

static ssize_t read_raw(struct clite_flow_reader *r, char *to, size_t size)
{
	ssize_t n = read(r->fd, to, size);

	return n < 0 ? read_error(r, errno, strerror(errno)) : n;
}

static int gzip_begin(struct clite_flow_reader *r)
{
	r->z = (z_stream){};
	if (inflateInit2(&r->z, 15 + 16) != Z_OK)
		return -ENOMEM;
	memcpy(r->raw, r->in, r->len);
	r->z.next_in = (Bytef *)r->raw;
	r->z.avail_in = (uInt)r->len;
	r->packing = PACKING_GZIP;
	r->member = true;
	return 0;
}

/* Fills r->in from a compressed file, which may have several members. */
static ssize_t read_gzip(struct clite_flow_reader *r)
{
	r->z.next_out = (Bytef *)r->in;
	r->z.avail_out = sizeof(r->in);
	while (r->z.avail_out == sizeof(r->in)) {
		int z;

		if (!r->z.avail_in) {
			ssize_t n = read_raw(r, r->raw, sizeof(r->raw));

			if (n < 0 || (!n && !r->member))
				return n;
			if (!n)
				return read_error(r, EBADMSG, "the compressed file is cut off");
			r->z.next_in = (Bytef *)r->raw;
			r->z.avail_in = (uInt)n;
		}
		r->member = true;
		z = inflate(&r->z, Z_NO_FLUSH);
		if (z == Z_STREAM_END) {
			r->member = false;
			inflateReset(&r->z);
		} else if (z != Z_OK && z != Z_BUF_ERROR) {
			return z == Z_MEM_ERROR ?
				       -ENOMEM :
				       read_error(r, EBADMSG, "the compressed file is damaged");
		}
	}
	return (ssize_t)(sizeof(r->in) - r->z.avail_out);
}

/* How a file begins says what it is; no line of JSON begins so. */
static ssize_t read_first(struct clite_flow_reader *r)
{
	static const char magic[] = "\x1f\x8b";
	ssize_t n = read_raw(r, r->in + r->len, sizeof(r->in) - r->len);
	int ret;

	if (n < 0)
		return n;
	r->len += (size_t)n;
	if (r->len == 1 && n && r->in[0] == magic[0])
		return read_first(r);
	if (r->len < 2 || memcmp(r->in, magic, 2) != 0) {
		r->packing = PACKING_NONE;
		return (ssize_t)r->len;
	}
	ret = gzip_begin(r);
	return ret ?: read_gzip(r);
}

/* More bytes: 1; 0 at the end. */
static int fill(struct clite_flow_reader *r)
{
	ssize_t n;

	r->at = 0;
	if (r->packing == PACKING_UNKNOWN)
		n = read_first(r);
	else if (r->packing == PACKING_GZIP)
		n = read_gzip(r);
	else
		n = read_raw(r, r->in, sizeof(r->in));
	if (n < 0) {
		/* what was read to know the packing is kept */
		r->at = r->packing == PACKING_UNKNOWN ? r->len : 0;
		r->len = r->at;
		return (int)n;
	}
	r->len = (size_t)n;
	return n > 0;
}

/* The next line into r->line: 1; 0 at the end; -E2BIG. What there is of a line stays
 * if more is to come. */
static int take_line(struct clite_flow_reader *r)
{
	while (!r->end) {
		const char *begin = r->in + r->at, *newline;
		size_t n = r->len - r->at;
		int ret;

		newline = memchr(begin, '\n', n);
		if (newline)
			n = (size_t)(newline - begin);
		if (!r->skipping)
			buf_put(&r->line, begin, n);
		if (r->line.failed) {
			r->line.failed = false;
			return -ENOMEM;
		}
		r->at += n + !!newline;
		if (r->line.len > LINE_BYTES) {
			r->line.len = 0;
			r->skipping = !newline;
			return -E2BIG;
		}
		if (newline && !r->skipping)
			return 1;
		if (newline) {
			r->skipping = false;
			continue;
		}
		ret = fill(r);
		if (ret < 0)
			return ret;
		r->end = !ret;
	}
	return r->line.len > 0 && !r->skipping;
}

int clite_flow_reader_next(struct clite_flow_reader *reader, const struct clite_flow **ret)
{
	int n;

	if (!reader || !ret || reader->fd < 0)
		return -EINVAL;
	err_clear(&reader->err);
	do {
		n = take_line(reader);
		if (n == -E2BIG || n == 1)
			reader->number++;
		if (n == -E2BIG)
			return too_long(reader);
		if (n <= 0)
			return n;
		n = parse_line(reader, ret);
		reader->line.len = 0;
	} while (!n);
	return n;
}

/* ---- the reader ---------------------------------------------------------------------- */

int clite_flow_reader_new(struct clite_flow_reader **ret)
{
	struct clite_flow_reader *r;

	if (!ret)
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->fd = -1;
	*ret = r;
	return 0;
}

static int begin(struct clite_flow_reader *r, int fd, bool owned, const char *name)
{
	char *copy = name ? strdup(name) : NULL;

	if (name && !copy) {
		if (owned)
			close(fd);
		return -ENOMEM;
	}
	close_source(r);
	r->fd = fd;
	r->owned = owned;
	r->name = copy;
	return 0;
}

int clite_flow_reader_open(struct clite_flow_reader *reader, const char *path)
{
	int fd;

	if (!reader || !path)
		return -EINVAL;
	err_clear(&reader->err);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_set(&reader->err, errno, "%s: %s", path, strerror(errno));
	return begin(reader, fd, true, path);
}

int clite_flow_reader_fd(struct clite_flow_reader *reader, int fd, const char *name)
{
	if (!reader || fd < 0)
		return -EINVAL;
	err_clear(&reader->err);
	return begin(reader, fd, false, name);
}

int clite_flow_reader_counts(struct clite_flow_reader *reader, struct clite_flow_reader_counts *ret)
{
	if (!reader || !ret || ret->sz != sizeof(*ret))
		return -EINVAL;
	*ret = reader->counts;
	ret->sz = sizeof(*ret);
	return 0;
}

const char *clite_flow_reader_error(struct clite_flow_reader *reader)
{
	return reader && reader->err.text ? reader->err.text : "";
}

struct clite_flow_reader *clite_flow_reader_free(struct clite_flow_reader *reader)
{
	if (!reader)
		return NULL;
	close_source(reader);
	flow_parsed_clear(&reader->parsed);
	buf_clear(&reader->line);
	err_clear(&reader->err);
	free(reader);
	return NULL;
}
