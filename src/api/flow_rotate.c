/* SPDX-License-Identifier: BSD-2-Clause */
#include "api/flow_rotate.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define STAMP "dddd-dd-ddTdd-dd-dd.ddd" /* d: a digit */
#define STAMP_LEN (sizeof(STAMP) - 1)
#define PACKED ".gz"
#define PART ".gz.part" /* while it is compressed */
#define PIECE 131072

/* ---- names ----------------------------------------------------------------------- */

static const char *extension(const struct rotation *r)
{
	return r->name + r->stem;
}

/* The time in a name, between stem and extension; NULL: it is none of ours. */
static const char *stamp_of(const struct rotation *r, const char *name)
{
	const char *stamp, *rest;

	if (strncmp(name, r->name, r->stem) != 0 || name[r->stem] != '-')
		return NULL;
	stamp = name + r->stem + 1;
	for (size_t i = 0; i < STAMP_LEN; i++)
		if (STAMP[i] == 'd' ? stamp[i] < '0' || stamp[i] > '9' : stamp[i] != STAMP[i])
			return NULL;
	rest = stamp + STAMP_LEN;
	if (strncmp(rest, extension(r), strlen(extension(r))) != 0)
		return NULL;
	rest += strlen(extension(r));
	return !*rest || !strcmp(rest, PACKED) ? stamp : NULL;
}

static bool is_packed(const char *name)
{
	size_t len = strlen(name), packed = strlen(PACKED);

	return len > packed && !strcmp(name + len - packed, PACKED);
}

static char *old_name(const struct rotation *r, uint64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm = {};
	char *name;

	gmtime_r(&t, &tm);
	if (asprintf(&name, "%.*s-%04d-%02d-%02dT%02d-%02d-%02d.%03u%s", (int)r->stem, r->name,
		     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		     (unsigned int)(ms % 1000), extension(r)) < 0)
		return NULL;
	return name;
}

static char *with(const char *name, const char *more)
{
	char *s;

	return asprintf(&s, "%s%s", name, more) < 0 ? NULL : s;
}

static int wrong(int code, const char *name, const char *what, struct errtext *err)
{
	return err_set(err, code, "%s %s: %s", name, what, strerror(code));
}

static int pack_begin(struct rotation *r, const char *name, struct errtext *err);
static void pack_abandon(struct rotation *r);

/* ---- the directory ------------------------------------------------------------------ */

int rotation_reopen(struct rotation *r, const char *path, struct errtext *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd;

	if (!dir)
		return -ENOMEM;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "its directory '%s': %s", dir, strerror(errno));
	if (r->packing)
		pack_abandon(r);
	closep(&r->dir);
	r->dir = fd;
	return 0;
}

int rotation_open(struct rotation *r, const char *path, struct errtext *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot;

	r->dir = r->in = r->out = -1;
	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return err_set(err, EISDIR, "a file is wanted, not a directory");
	dot = strrchr(name, '.');
	r->stem = dot ? (size_t)(dot - name) : strlen(name);
	r->name = strdup(name);
	return r->name ? rotation_reopen(r, path, err) : -ENOMEM;
}

/* ---- renaming ------------------------------------------------------------------------- */

static bool is_there(const struct rotation *r, const char *name)
{
	struct stat st;

	return !fstatat(r->dir, name, &st, AT_SYMLINK_NOFOLLOW);
}

/* -EEXIST: there is one of that name, perhaps compressed. */
static int rename_to(const struct rotation *r, const char *name)
{
	_cleanup_free_ char *packed = with(name, PACKED);

	if (!packed)
		return -ENOMEM;
	if (is_there(r, packed))
		return -EEXIST;
	if (!renameat2(r->dir, r->name, r->dir, name, RENAME_NOREPLACE))
		return 0;
	/* a file system that cannot do it in one step */
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (is_there(r, name))
		return -EEXIST;
	return renameat(r->dir, r->name, r->dir, name) ? -errno : 0;
}

int rotation_rename(struct rotation *r, struct errtext *err)
{
	struct timespec now;
	uint64_t ms;
	int ret;

	clock_gettime(CLOCK_REALTIME, &now);
	ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	/* Several within a millisecond get times that follow each other. */
	do {
		_cleanup_free_ char *name = old_name(r, ms++);

		ret = name ? rename_to(r, name) : -ENOMEM;
	} while (ret == -EEXIST);
	if (ret < 0 && ret != -ENOMEM)
		return wrong(-ret, r->name, "cannot be renamed", err);
	return ret;
}

/* ---- which stay ------------------------------------------------------------------------- */

struct olds {
	char **names;
	size_t n, cap;
};

static void olds_clear(struct olds *o)
{
	for (size_t i = 0; i < o->n; i++)
		free(o->names[i]);
	free(o->names);
}

static int add_old(const struct rotation *r, struct olds *o, const char *name)
{
	if (!stamp_of(r, name))
		return 0;
	if (!array_grow(&o->names, &o->cap, o->n))
		return -ENOMEM;
	o->names[o->n] = strdup(name);
	return o->names[o->n] ? (o->n++, 0) : -ENOMEM;
}

/* Times are written so that the order of texts is theirs: the newest first. */
static int newer(const void *a, const void *b)
{
	return -strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_olds(const struct rotation *r, struct olds *o)
{
	int fd = openat(r->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;
	struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (!ret && (entry = readdir(dir)))
		ret = add_old(r, o, entry->d_name);
	closedir(dir);
	if (!ret && o->n)
		qsort(o->names, o->n, sizeof(*o->names), newer);
	return ret;
}

/* Both forms of a file, if one was killed between them, count once. */
static bool same_time(const struct rotation *r, const char *a, const char *b)
{
	return !memcmp(stamp_of(r, a), stamp_of(r, b), STAMP_LEN);
}

static int remove_old(struct rotation *r, const char *name, struct errtext *err)
{
	if (r->packing && !strcmp(name, r->packing))
		pack_abandon(r);
	if (unlinkat(r->dir, name, 0) && errno != ENOENT)
		return wrong(errno, name, "cannot be removed", err);
	return 0;
}

/* Newest first: those beyond the number to keep go; the oldest of the others that is not
 * compressed is begun. */
static int tidy(struct rotation *r, const struct olds *o, struct errtext *err)
{
	const char *unpacked = NULL;
	uint32_t times = 0;
	int ret = 0;

	for (size_t i = 0; i < o->n; i++) {
		const char *name = o->names[i];

		if (!i || !same_time(r, name, o->names[i - 1]))
			times++;
		if (r->keep != UINT32_MAX && times > r->keep) {
			ret = remove_old(r, name, err) ?: ret;
		} else if (!is_packed(name)) {
			unpacked = name;
		}
	}
	if (!ret && unpacked && r->compress && !r->packing)
		ret = pack_begin(r, unpacked, err);
	return ret;
}

int rotation_tidy(struct rotation *r, struct errtext *err)
{
	struct olds olds = {};
	int ret = list_olds(r, &olds);

	ret = ret < 0 ? err_set(err, -ret, "its directory cannot be read: %s", strerror(-ret)) :
			tidy(r, &olds, err);
	olds_clear(&olds);
	return ret;
}

/* ---- compressing ---------------------------------------------------------------------------- */

static void pack_end(struct rotation *r)
{
	deflateEnd(&r->z);
	closep(&r->in);
	closep(&r->out);
	r->in = r->out = -1;
	free(TAKE_PTR(r->packing));
}

static void pack_abandon(struct rotation *r)
{
	_cleanup_free_ char *part = with(r->packing, PART);

	if (part)
		unlinkat(r->dir, part, 0);
	pack_end(r);
}

static int pack_failed(struct rotation *r, int code, struct errtext *err)
{
	int ret = wrong(code, r->packing, "cannot be compressed", err);

	pack_abandon(r);
	return ret;
}

static int pack_open(struct rotation *r, const char *name)
{
	_cleanup_free_ char *part = with(name, PART);
	struct stat st;

	if (!part)
		return -ENOMEM;
	r->in = openat(r->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (r->in < 0 || fstat(r->in, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	/* one that was left when it was killed */
	unlinkat(r->dir, part, 0);
	r->out = openat(r->dir, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (r->out < 0 || fchmod(r->out, st.st_mode & 0777))
		return -errno;
	return 0;
}

static int pack_begin(struct rotation *r, const char *name, struct errtext *err)
{
	int ret;

	r->z = (z_stream){};
	r->packing = strdup(name);
	if (!r->packing)
		return -ENOMEM;
	if (deflateInit2(&r->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		free(TAKE_PTR(r->packing));
		return -ENOMEM;
	}
	ret = pack_open(r, name);
	return ret < 0 ? pack_failed(r, -ret, err) : 0;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int deflate_piece(struct rotation *r, uint8_t *data, size_t len, int flush)
{
	uint8_t out[16384];
	int ret = 0;

	r->z.next_in = data;
	r->z.avail_in = (uInt)len;
	do {
		r->z.next_out = out;
		r->z.avail_out = sizeof(out);
		deflate(&r->z, flush);
		ret = write_all(r->out, out, sizeof(out) - r->z.avail_out);
	} while (!ret && !r->z.avail_out);
	return ret;
}

static int pack_finish(struct rotation *r)
{
	_cleanup_free_ char *part = with(r->packing, PART), *packed = with(r->packing, PACKED);

	if (!part || !packed)
		return -ENOMEM;
	if (renameat(r->dir, part, r->dir, packed) || unlinkat(r->dir, r->packing, 0))
		return -errno;
	return 0;
}

int rotation_pack(struct rotation *r, struct errtext *err)
{
	_cleanup_free_ uint8_t *data = NULL;
	ssize_t n;
	int ret;

	if (!r->packing)
		return 0;
	data = malloc(PIECE);
	if (!data)
		return -ENOMEM;
	n = read(r->in, data, PIECE);
	if (n < 0)
		return errno == EINTR ? 1 : pack_failed(r, errno, err);
	ret = deflate_piece(r, data, (size_t)n, n ? Z_NO_FLUSH : Z_FINISH);
	if (!ret && n)
		return 1;
	if (!ret)
		ret = pack_finish(r);
	if (ret < 0)
		return pack_failed(r, -ret, err);
	pack_end(r);
	/* there may be another one */
	ret = rotation_tidy(r, err);
	return ret < 0 ? ret : !!r->packing;
}

void rotation_close(struct rotation *r)
{
	if (r->packing)
		pack_abandon(r);
	free(r->name);
	closep(&r->dir);
}
