/* SPDX-License-Identifier: BSD-2-Clause */
/* Service files: imported at the start and whenever they change. */
#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "clited.h"

/* How often files are looked at, whatever inotify says (a file system that has none, a
 * symbolic link whose target changes, a folder that comes later), ms. */
#define TICK 1000u
/* The library's own limit; it says so itself if it gets one byte more. */
#define DOCUMENT_MAX (16u << 20)
/* Changes that mean that a file is whole: closed after writing, or moved here. */
#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO)

/* What tells one content of a file from another, without reading it. */
struct version {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
	int err; /* errno of stat() */
};

struct file {
	char *path;
	const char *base;
	int watch; /* of its folder; -1: none */
	struct version imported, seen;
	bool again; /* another writer was busy */
};

struct files {
	struct clited *d;
	struct watch inotify;
	struct timer tick;
	struct file *items;
	size_t n;
};

/* ---- importing ------------------------------------------------------------------- */

static int import(struct clited *d, const char *path, const char *text, size_t len)
{
	struct clite_service_import_opts opts = {
		.sz = sizeof(opts),
		.filename = path,
		.node = d->config->node,
		.zone = d->config->zone,
		.node_addresses = (const char *const *)d->config->node_addresses.items,
	};

	return clite_service_import(d->ctx, text, len, &opts);
}

static struct version version_of(const char *path)
{
	struct version v = { 0 };
	struct stat st;

	if (stat(path, &st)) {
		v.err = errno;
		return v;
	}
	v.dev = st.st_dev;
	v.ino = st.st_ino;
	v.size = st.st_size;
	v.mtime = st.st_mtim;
	return v;
}

static bool same_version(const struct version *a, const struct version *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->err == b->err &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* A file that is gone or bad takes nothing away. */
static void file_import(struct files *f, struct file *file)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r;

	file->imported = file->seen = version_of(file->path);
	file->again = false;
	r = read_file(file->path, DOCUMENT_MAX, &text, &len);
	if (r < 0) {
		log_error("%s: %s; the services that it brought stay", file->path, strerror(-r));
		return;
	}
	r = import(f->d, file->path, text, len);
	file->again = r == -EBUSY;
	if (!clited_ok(f->d, r, "%s: not imported, what was there stays", file->path))
		return;
	log_info("%s: %d service%s imported", file->path, r, r == 1 ? "" : "s");
	/* An import makes back ends active that its file says nothing of: at once back. */
	if (f->d->health)
		health_sync(f->d);
}

/* ---- looking --------------------------------------------------------------------- */

static void file_watch(struct files *f, struct file *file)
{
	_cleanup_free_ char *folder = xstrdup(file->path);

	folder[file->base - file->path] = '\0';
	file->watch = inotify_add_watch(f->inotify.fd, folder, EVENTS | IN_ONLYDIR);
}

/* Without an event there may be somebody who still writes: only what is the same in two
 * looks is taken for whole. */
static void file_look(struct files *f, struct file *file)
{
	struct version now = version_of(file->path);
	bool still = same_version(&now, &file->seen);

	file->seen = now;
	if (file->watch < 0)
		file_watch(f, file);
	if ((still && !same_version(&now, &file->imported)) || file->again)
		file_import(f, file);
}

static void on_tick(struct timer *t)
{
	struct files *f = container_of(t, struct files, tick);

	for (size_t i = 0; i < f->n && !f->d->loop.stop; i++)
		file_look(f, &f->items[i]);
	loop_timer(&f->d->loop, t, now_ms() + TICK);
}

static void on_event(struct files *f, const struct inotify_event *e)
{
	for (size_t i = 0; i < f->n && !f->d->loop.stop; i++) {
		struct file *file = &f->items[i];

		if (file->watch != e->wd)
			continue;
		/* The folder is gone or another one: looks find out. */
		if (e->mask & IN_IGNORED)
			file->watch = -1;
		else if (e->len && !strcmp(e->name, file->base))
			file_import(f, file);
	}
}

static void on_inotify(struct watch *w, uint32_t events)
{
	struct files *f = container_of(w, struct files, inotify);
	_Alignas(struct inotify_event) char buf[16384];
	ssize_t n = read(w->fd, buf, sizeof(buf));
	const struct inotify_event *e;

	(void)events;
	for (char *p = buf; n > 0 && p < buf + n; p += sizeof(*e) + e->len) {
		e = (const struct inotify_event *)p;
		on_event(f, e);
	}
}

/* ---- start, reload, stop ------------------------------------------------------------ */

static void files_free(struct files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->items[i].path);
	free(f->items);
	f->items = NULL;
	f->n = 0;
}

static void files_import(struct files *f)
{
	const struct strings *paths = &f->d->config->files;

	f->items = xcalloc(paths->n, sizeof(*f->items));
	for (size_t i = 0; i < paths->n && !f->d->loop.stop; i++) {
		struct file *file = &f->items[f->n++];

		file->path = xstrdup(paths->items[i]);
		file->base = strrchr(file->path, '/') + 1;
		/* First the watch: what changes while it is read is read again. */
		file_watch(f, file);
		file_import(f, file);
	}
}

static bool has(const struct strings *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++) {
		if (!strcmp(list->items[i], s))
			return true;
	}
	return false;
}

/* The files that we have are still those of the last configuration. */
static void remove_gone(struct files *f, const struct config *next)
{
	for (size_t i = 0; i < f->n && !f->d->loop.stop; i++) {
		const char *path = f->items[i].path;

		if (has(&next->files, path))
			continue;
		if (clited_ok(f->d, import(f->d, path, "", 0), "%s: cannot remove its services",
			      path))
			log_info("%s: its services were removed", path);
	}
}

void files_reload(struct clited *d, const struct config *next)
{
	struct files *f = d->files;

	remove_gone(f, next);
	for (size_t i = 0; i < f->n; i++) {
		if (f->items[i].watch >= 0)
			inotify_rm_watch(f->inotify.fd, f->items[i].watch);
	}
	files_free(f);
	files_import(f);
}

void files_start(struct clited *d)
{
	struct files *f = xcalloc(1, sizeof(*f));
	int r;

	f->d = d;
	f->inotify = (struct watch){ inotify_init1(IN_CLOEXEC | IN_NONBLOCK), on_inotify };
	f->tick.fire = on_tick;
	d->files = f;
	r = f->inotify.fd < 0 ? -errno : loop_watch(&d->loop, &f->inotify, EPOLLIN);
	if (r < 0)
		log_warning("inotify: %s; changes of files are seen later", strerror(-r));
	files_import(f);
	loop_timer(&d->loop, &f->tick, now_ms() + TICK);
}

void files_stop(struct clited *d)
{
	struct files *f = d->files;

	if (!f)
		return;
	loop_untimer(&d->loop, &f->tick);
	loop_unwatch(&d->loop, &f->inotify);
	files_free(f);
	free(f);
	d->files = NULL;
}
