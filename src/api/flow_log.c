/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/flow_log.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "api/filter.h"
#include "api/flow_mask.h"
#include "api/flow_rotate.h"
#include "model/flow.h"

#define MAX_BYTES_DEFAULT (10u << 20) /* as Hubble's exporter: these two */
#define MAX_FILES_DEFAULT 5u
#define WRITE_AT 65536u	    /* bytes of lines */
#define HELD_MAX (1u << 20) /* bytes of lines that are kept when the file takes none */

struct clite_flow_log {
	pid_t owner;
	char *path;
	struct rotation rotation;
	bool is_stdout;
	int fd; /* -1: to be opened */
	uint64_t size, max_bytes;
	mode_t mode;
	bool cut; /* the file ends in the middle of a line */

	struct clite_flow_mask *mask;
	struct clite_filters *filters;
	struct buf lines; /* not yet in the file */
	size_t try_at;	  /* how many bytes there must be for the next try */
	struct buf line, spare;
	uint64_t unsaid; /* flows that were lost, and no line says so yet */
	char node[64];

	struct clite_flow_log_counts counts;
	struct errtext err;
};

static int failed(struct clite_flow_log *log, int ret)
{
	if (ret >= 0)
		return ret;
	log->counts.errors++;
	return err_prefix(&log->err, ret, "%s", log->path);
}

static int system_error(struct clite_flow_log *log)
{
	return err_set(&log->err, errno, "%s", strerror(errno));
}

/* ---- the file --------------------------------------------------------------------- */

static int open_error(struct clite_flow_log *log)
{
	if (errno == ELOOP)
		return err_set(&log->err, ELOOP,
			       "is a symbolic link: the path of the file itself is wanted");
	return system_error(log);
}

/* Does it end with a whole line? One that is cut off is left of a process that was killed. */
static int look_at(struct clite_flow_log *log, int fd)
{
	struct stat st;
	char last = '\n';

	if (fstat(fd, &st))
		return system_error(log);
	if (!S_ISREG(st.st_mode))
		return err_set(&log->err, EINVAL, "is not a regular file");
	if (st.st_size && pread(fd, &last, 1, st.st_size - 1) < 0)
		return system_error(log);
	log->size = (uint64_t)st.st_size;
	log->cut = last != '\n';
	return 0;
}

static int open_file(struct clite_flow_log *log)
{
	int fd =
		openat(log->rotation.dir, log->rotation.name,
		       O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC,
		       log->mode);
	int r;

	if (fd < 0)
		return open_error(log);
	r = look_at(log, fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	closep(&log->fd);
	log->fd = fd;
	return 0;
}

/* The directory may have been removed, and made again. */
static int open_again(struct clite_flow_log *log)
{
	int r = open_file(log);

	if (r != -ENOENT)
		return r;
	r = rotation_reopen(&log->rotation, log->path, &log->err);
	return r ?: open_file(log);
}

/* Is the file under the name still the one that is written? */
static bool is_ours(struct clite_flow_log *log)
{
	struct stat ours, there;

	return !fstat(log->fd, &ours) &&
	       !fstatat(log->rotation.dir, log->rotation.name, &there, AT_SYMLINK_NOFOLLOW) &&
	       ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

static int rotate(struct clite_flow_log *log)
{
	int r;

	if (is_ours(log)) {
		r = rotation_rename(&log->rotation, &log->err);
		if (r < 0)
			return r;
		log->counts.rotated++;
	}
	closep(&log->fd);
	log->fd = -1;
	r = open_again(log);
	if (r < 0)
		return r;
	/* What cannot be tidied is told, and stops nothing. */
	failed(log, rotation_tidy(&log->rotation, &log->err));
	return 0;
}

/* ---- writing ----------------------------------------------------------------------- */

static size_t count_lines(const char *data, size_t len)
{
	const char *end = data + len;
	size_t n = 0;

	for (; data < end && (data = memchr(data, '\n', (size_t)(end - data))); data++)
		n++;
	return n;
}

/* Length of the whole lines at the beginning that are not longer than max together. */
static size_t whole_lines(const char *data, size_t len, uint64_t max)
{
	const char *last;

	if (len > max)
		len = (size_t)max;
	last = memrchr(data, '\n', len);
	return last ? (size_t)(last - data) + 1 : 0;
}

static void taken(struct clite_flow_log *log, size_t len)
{
	log->counts.written += count_lines(log->lines.data, len);
	log->counts.bytes += len;
	log->size += len;
	log->lines.len -= len;
	memmove(log->lines.data, log->lines.data + len, log->lines.len);
}

/* A disk that is full may take half a line: it is taken back. */
static void take_back(struct clite_flow_log *log, size_t len)
{
	struct stat st;

	if (!len)
		return;
	if (fstat(log->fd, &st) || ftruncate(log->fd, st.st_size - (off_t)len))
		log->cut = true;
}

/* Up to the error, if there is one: it is in *ret_error then. */
static size_t write_all(int fd, const char *data, size_t len, int *ret_error)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, data + done, len - done);

		if (n < 0 && errno != EINTR) {
			*ret_error = errno;
			break;
		}
		done += n > 0 ? (size_t)n : 0;
	}
	return done;
}

/* The first len bytes, which are whole lines. */
static int write_lines(struct clite_flow_log *log, size_t len)
{
	int error = 0;
	size_t n, whole;

	if (log->cut && !write_all(log->fd, "\n", 1, &error))
		return err_set(&log->err, error, "%s", strerror(error));
	log->size += log->cut;
	log->cut = false;
	n = write_all(log->fd, log->lines.data, len, &error);
	whole = log->is_stdout ? n : whole_lines(log->lines.data, n, len);
	take_back(log, n - whole);
	taken(log, whole);
	return error ? err_set(&log->err, error, "%s", strerror(error)) : 0;
}

/* How much of the lines goes into this file; 0: it is full. */
static size_t fitting(struct clite_flow_log *log)
{
	uint64_t room = log->size < log->max_bytes ? log->max_bytes - log->size : 0;
	size_t len = log->is_stdout ? log->lines.len :
				      whole_lines(log->lines.data, log->lines.len, room);
	const char *newline;

	if (len || log->size)
		return len;
	newline = memchr(log->lines.data, '\n', log->lines.len);
	return (size_t)(newline - log->lines.data) + 1;
}

static int write_out(struct clite_flow_log *log)
{
	int r = 0;

	if (getpid() != log->owner)
		return -ECHILD;
	while (!r && log->lines.len) {
		size_t len;

		if (log->fd < 0)
			r = open_again(log);
		if (r < 0)
			break;
		len = fitting(log);
		r = len ? write_lines(log, len) : rotate(log);
	}
	log->try_at = log->lines.len + WRITE_AT;
	return failed(log, r);
}

/* ---- lines -------------------------------------------------------------------------- */

static bool has_room(const struct clite_flow_log *log)
{
	return log->lines.len + log->line.len <= HELD_MAX;
}

/* Put log->line to the others. 1, or why it found no room. */
static int hold(struct clite_flow_log *log)
{
	int r = 0;

	buf_puts(&log->line, "\n");
	if (log->line.failed || log->spare.failed) {
		log->line.failed = log->spare.failed = false;
		return -ENOMEM;
	}
	if (!has_room(log))
		r = write_out(log);
	if (!has_room(log))
		return r ?: failed(log, err_set(&log->err, E2BIG, "a line is too long"));
	buf_put(&log->lines, log->line.data, log->line.len);
	if (log->lines.failed) {
		log->lines.failed = false;
		return -ENOMEM;
	}
	/* Twice as much is compressed as is written, so that it comes to an end. */
	if (log->lines.len >= log->try_at && !write_out(log))
		failed(log, rotation_pack(&log->rotation, &log->err));
	return 1;
}

static int hold_lost(struct clite_flow_log *log, const char *source, uint64_t time, uint64_t n)
{
	if (!*log->node)
		gethostname(log->node, sizeof(log->node) - 1);
	log->line.len = 0;
	flow_lost_json(source, n, log->node, time, &log->line);
	return hold(log);
}

/* What was lost here, as soon as there is room again. */
static void say_lost(struct clite_flow_log *log)
{
	struct timespec now;
	uint64_t ns;

	if (!log->unsaid || log->lines.len > HELD_MAX / 2)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	if (hold_lost(log, "OBSERVER_EVENTS_QUEUE", ns, log->unsaid) == 1)
		log->unsaid = 0;
}

static int hold_flow(struct clite_flow_log *log, const struct clite_flow *flow)
{
	log->line.len = 0;
	if (log->mask)
		flow_json_masked(flow, log->mask->nodes, &log->spare, &log->line);
	else
		flow_json(flow, &log->line);
	return hold(log);
}

int clite_flow_log_write(struct clite_flow_log *log, const struct clite_flow *flow)
{
	int r;

	if (!log || !flow_valid(flow))
		return -EINVAL;
	err_clear(&log->err);
	if (log->filters && !filters_pass(&log->filters->filters, flow)) {
		log->counts.filtered++;
		return 0;
	}
	say_lost(log);
	r = hold_flow(log, flow);
	if (r < 0) {
		log->counts.lost++;
		log->unsaid++;
	}
	return r;
}

int clite_flow_log_lost(struct clite_flow_log *log, uint64_t time, uint64_t n)
{
	int r;

	if (!log)
		return -EINVAL;
	err_clear(&log->err);
	if (!n)
		return 0;
	r = hold_lost(log, "PERF_EVENT_RING_BUFFER", time, n);
	if (r < 0)
		log->unsaid += n;
	return r;
}

int clite_flow_log_flush(struct clite_flow_log *log)
{
	int r;

	if (!log)
		return -EINVAL;
	err_clear(&log->err);
	r = write_out(log);
	if (!r && log->unsaid) {
		say_lost(log);
		r = write_out(log);
	}
	if (r < 0)
		return r;
	return failed(log, rotation_pack(&log->rotation, &log->err)) == 1;
}

/* ---- the log -------------------------------------------------------------------------- */

static int open_first(struct clite_flow_log *log, const char *path)
{
	int r;

	if (log->is_stdout) {
		log->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		return log->fd < 0 ? system_error(log) : 0;
	}
	r = rotation_open(&log->rotation, path, &log->err);
	if (!r)
		r = open_file(log);
	if (!r) /* what cannot be tidied is told, and stops nothing */
		failed(log, rotation_tidy(&log->rotation, &log->err));
	return r;
}

static int take_options(struct clite_flow_log *log, const struct clite_flow_log_opts *o)
{
	if (o->flags & ~CLITE_FLOW_LOG_COMPRESS)
		return err_set(&log->err, EINVAL, "flags: there is nothing but CLITE_FLOW_LOG_*");
	if (o->mode & ~0777u)
		return err_set(&log->err, EINVAL, "mode: 0%o is not from 0 to 0777", o->mode);
	if (o->reserved)
		return err_set(&log->err, EINVAL, "reserved: must be 0");
	log->max_bytes = o->max_bytes ?: MAX_BYTES_DEFAULT;
	log->mode = o->mode ?: 0600;
	log->rotation.keep = o->max_files ?: MAX_FILES_DEFAULT;
	log->rotation.compress = o->flags & CLITE_FLOW_LOG_COMPRESS;
	log->mask = clite_flow_mask_ref(o->mask);
	log->filters = clite_filters_ref(o->filters);
	return 0;
}

static void log_free(struct clite_flow_log *log)
{
	rotation_close(&log->rotation);
	closep(&log->fd);
	clite_flow_mask_unref(log->mask);
	clite_filters_unref(log->filters);
	buf_clear(&log->lines);
	buf_clear(&log->line);
	buf_clear(&log->spare);
	err_clear(&log->err);
	free(log->path);
	free(log);
}

static int log_new(const char *path, const struct clite_flow_log_opts *o,
		   struct clite_flow_log **ret)
{
	struct clite_flow_log *log = calloc(1, sizeof(*log));
	int r;

	if (!log)
		return -ENOMEM;
	log->owner = getpid();
	log->is_stdout = !strcmp(path, "-");
	log->path = strdup(log->is_stdout ? "standard output" : path);
	log->fd = log->rotation.dir = log->rotation.in = log->rotation.out = -1;
	log->try_at = WRITE_AT;
	r = log->path ? take_options(log, o) : -ENOMEM;
	if (!r)
		r = open_first(log, path);
	if (r < 0) {
		failed(log, r);
		if (o->errbuf_size)
			snprintf(o->errbuf, o->errbuf_size, "%s", log->err.text ?: "");
		log_free(log);
		return r;
	}
	*ret = log;
	return 0;
}

int clite_flow_log_open(const char *path, const struct clite_flow_log_opts *opts,
			struct clite_flow_log **ret)
{
	struct clite_flow_log_opts o;
	int r = opts_copy(&o, sizeof(o), opts);

	if (r < 0)
		return r;
	if (!path || !*path || !ret || (!o.errbuf && o.errbuf_size))
		return -EINVAL;
	return log_new(path, &o, ret);
}

int clite_flow_log_reopen(struct clite_flow_log *log)
{
	int r;

	if (!log)
		return -EINVAL;
	err_clear(&log->err);
	r = write_out(log); /* what it does not take goes into the new file */
	if (r == -ECHILD || log->is_stdout)
		return r;
	r = rotation_reopen(&log->rotation, log->path, &log->err);
	if (!r)
		r = open_file(log);
	if (r < 0)
		return failed(log, r);
	failed(log, rotation_tidy(&log->rotation, &log->err));
	return 0;
}

int clite_flow_log_counts(struct clite_flow_log *log, struct clite_flow_log_counts *ret)
{
	if (!log || !ret || ret->sz != sizeof(*ret))
		return -EINVAL;
	*ret = log->counts;
	ret->sz = sizeof(*ret);
	ret->buffered = count_lines(log->lines.data, log->lines.len);
	return 0;
}

const char *clite_flow_log_error(struct clite_flow_log *log)
{
	return log && log->err.text ? log->err.text : "";
}

struct clite_flow_log *clite_flow_log_close(struct clite_flow_log *log)
{
	if (!log)
		return NULL;
	if (getpid() == log->owner)
		while (clite_flow_log_flush(log) > 0)
			;
	log_free(log);
	return NULL;
}
