/* SPDX-License-Identifier: BSD-2-Clause */
/* Services at the socket: the programs of bpf/prog/sock.bpf.c on cgroups, by links that
 * are pinned for a named instance. A cgroup is known by its number, which the kernel
 * gives to no other; the path is for people, and to find it again. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "datapath/state.h"
#include "sock.skel.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define PIN_PREFIX "cgroup-"

static const enum bpf_attach_type attach_types[] = {
	[PROG_SOCK_GETPEERNAME4 - PROG_SOCK_FIRST] = BPF_CGROUP_INET4_GETPEERNAME,
	[PROG_SOCK_GETPEERNAME6 - PROG_SOCK_FIRST] = BPF_CGROUP_INET6_GETPEERNAME,
	[PROG_SOCK_RECVMSG4 - PROG_SOCK_FIRST] = BPF_CGROUP_UDP4_RECVMSG,
	[PROG_SOCK_RECVMSG6 - PROG_SOCK_FIRST] = BPF_CGROUP_UDP6_RECVMSG,
	[PROG_SOCK_RELEASE - PROG_SOCK_FIRST] = BPF_CGROUP_INET_SOCK_RELEASE,
	[PROG_SOCK_POST_BIND4 - PROG_SOCK_FIRST] = BPF_CGROUP_INET4_POST_BIND,
	[PROG_SOCK_POST_BIND6 - PROG_SOCK_FIRST] = BPF_CGROUP_INET6_POST_BIND,
	[PROG_SOCK_SENDMSG4 - PROG_SOCK_FIRST] = BPF_CGROUP_UDP4_SENDMSG,
	[PROG_SOCK_SENDMSG6 - PROG_SOCK_FIRST] = BPF_CGROUP_UDP6_SENDMSG,
	[PROG_SOCK_CONNECT4 - PROG_SOCK_FIRST] = BPF_CGROUP_INET4_CONNECT,
	[PROG_SOCK_CONNECT6 - PROG_SOCK_FIRST] = BPF_CGROUP_INET6_CONNECT,
};

static void sock_bpf_freep(struct sock_bpf **skel)
{
	sock_bpf__destroy(*skel);
}

/* ---- the programs ------------------------------------------------------------------ */

static int netns_cookie(uint64_t *ret)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*ret);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret, &len) < 0)
		return -errno;
	return 0;
}

static int sock_load(struct dp *dp, struct errtext *err)
{
	_cleanup_(sock_bpf_freep) struct sock_bpf *skel = NULL;
	uint64_t netns = 0;
	int r;

	if (dp_object_find(dp, PROG_SOCK_FIRST, PROG_SOCK_LAST))
		return 0;
	skel = sock_bpf__open();
	if (!skel)
		return err_set(err, errno, "cannot open the built-in programs of sockets: %s",
			       strerror(errno));
	r = netns_cookie(&netns);
	if (!r)
		r = dp_object_share(dp, skel->obj);
	if (!r) {
		skel->rodata->cfg_retval = dp_have_retval();
		skel->rodata->cfg_netns = netns;
		r = sock_bpf__load(skel);
	}
	if (r)
		return err_set(err, -r, "the kernel does not take the programs of sockets: %s",
			       strerror(-r));
	return dp_object_take(dp, skel->obj, PROG_SOCK_FIRST, PROG_SOCK_LAST, err);
}

/* ---- links ---------------------------------------------------------------------------- */

static char *pin_path(const struct dp *dp, uint64_t id, enum dp_prog prog)
{
	char *path;

	if (asprintf(&path, "%s/links/" PIN_PREFIX "%" PRIu64 "-%s", dp->path, id,
		     dp_prog_name(prog)) < 0)
		return NULL;
	return path;
}

static struct dp_cgroup_link *link_find(struct dp *dp, uint64_t id, enum dp_prog prog)
{
	for (size_t i = 0; i < dp->ncgroup_links; i++)
		if (dp->cgroup_links[i].prog == prog && dp->cgroup_links[i].id == id)
			return &dp->cgroup_links[i];
	return NULL;
}

/* The link of a program, to be closed by the caller; negative: there is none. */
static int link_open(struct dp *dp, uint64_t id, enum dp_prog prog)
{
	_cleanup_free_ char *path = NULL;
	struct dp_cgroup_link *l;
	int fd;

	if (!dp->path) {
		l = link_find(dp, id, prog);
		return l ? fcntl(l->fd, F_DUPFD_CLOEXEC, 3) : -ENOENT;
	}
	path = pin_path(dp, id, prog);
	fd = path ? bpf_obj_get(path) : -1;
	return fd < 0 ? -errno : fd;
}

/* It ends with its cgroup; the pin stays. */
static bool link_alive(struct dp *dp, uint64_t id, enum dp_prog prog)
{
	_cleanup_close_ int fd = link_open(dp, id, prog);
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	return fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) && info.cgroup.cgroup_id == id;
}

static bool links_alive(struct dp *dp, uint64_t id)
{
	for (int i = PROG_SOCK_FIRST; i <= PROG_SOCK_LAST; i++)
		if (!link_alive(dp, id, i))
			return false;
	return true;
}

static void link_remove(struct dp *dp, uint64_t id, enum dp_prog prog)
{
	_cleanup_close_ int fd = link_open(dp, id, prog);
	struct dp_cgroup_link *l = link_find(dp, id, prog);

	/* Also while somebody else holds the link open. */
	if (fd >= 0)
		bpf_link_detach(fd);
	if (dp->path) {
		_cleanup_free_ char *path = pin_path(dp, id, prog);

		if (path)
			unlink(path);
	} else if (l) {
		close(l->fd);
		*l = dp->cgroup_links[--dp->ncgroup_links];
	}
}

static int link_add(struct dp *dp, int cgroup_fd, uint64_t id, enum dp_prog prog)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *path = NULL;

	if (!dp->path && !array_grow(&dp->cgroup_links, &dp->cgroup_links_cap, dp->ncgroup_links))
		return -ENOMEM;
	if (dp->path && !(path = pin_path(dp, id, prog)))
		return -ENOMEM;
	fd = bpf_link_create(dp->prog_fd[prog], cgroup_fd, attach_types[prog - PROG_SOCK_FIRST],
			     NULL);
	if (fd < 0)
		return -errno;
	if (!path) {
		dp->cgroup_links[dp->ncgroup_links++] =
			(struct dp_cgroup_link){ id, prog, TAKE_FD(fd) };
		return 0;
	}
	return bpf_obj_pin(fd, path) < 0 ? -errno : 0;
}

/* The other way round than they are attached: what was translated forth is translated
 * back as long as anything is. */
void dp_cgroup_detach(struct dp *dp, uint64_t id)
{
	for (int i = PROG_SOCK_LAST; i >= PROG_SOCK_FIRST; i--)
		link_remove(dp, id, i);
}

/* Those that are missing. */
static int links_add(struct dp *dp, int cgroup_fd, uint64_t id, const char *path,
		     struct errtext *err)
{
	int r = sock_load(dp, err);

	for (int i = PROG_SOCK_FIRST; !r && i <= PROG_SOCK_LAST; i++) {
		if (link_alive(dp, id, i))
			continue;
		link_remove(dp, id, i);
		r = link_add(dp, cgroup_fd, id, i);
		if (r)
			err_set(err, -r, "cannot attach program '%s' to cgroup '%s': %s%s",
				dp_prog_name(i), path, strerror(-r),
				r == -EPERM ?
					" (a program of another kind may be attached there, or "
					"above it, so that it allows no other)" :
					"");
	}
	return r;
}

/* ---- cgroups ------------------------------------------------------------------------- */

/* An fd of the directory, with its number. */
static int cgroup_open(const char *path, uint64_t *ret_id, struct errtext *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;
	struct stat st;

	if (fd < 0)
		return err_set(err, errno, "cannot open cgroup '%s': %s", path, strerror(errno));
	if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
		return err_set(err, errno, "cannot look at '%s': %s", path, strerror(errno));
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return err_set(
			err, EINVAL,
			"'%s' is no cgroup of version 2: give a directory below a mount of type cgroup2",
			path);
	*ret_id = st.st_ino;
	return TAKE_FD(fd);
}

static int cgroup_store(struct state *st, const struct cgroup *c, struct errtext *err)
{
	_cleanup_buf_ struct buf b = {};

	buf_put(&b, &c->id, sizeof(c->id));
	buf_puts(&b, c->path);
	if (b.failed)
		return -ENOMEM;
	return store_put(st->dp, STORE_CGROUP, c->number, b.data, b.len, err);
}

int cgroup_load(struct state *st, uint32_t number, const char *data, size_t len)
{
	struct cgroup c = { .number = number };

	if (len <= sizeof(c.id))
		return -EBADMSG;
	if (!array_grow(&st->cgroups, &st->cgroups_cap, st->ncgroups))
		return -ENOMEM;
	memcpy(&c.id, data, sizeof(c.id));
	c.path = strndup(data + sizeof(c.id), len - sizeof(c.id));
	if (!c.path)
		return -ENOMEM;
	st->cgroups[st->ncgroups++] = c;
	return 0;
}

static void forget(struct state *st, size_t i)
{
	store_delete(st->dp, STORE_CGROUP, st->cgroups[i].number);
	dp_cgroup_detach(st->dp, st->cgroups[i].id);
	free(st->cgroups[i].path);
	memmove(&st->cgroups[i], &st->cgroups[i + 1], (--st->ncgroups - i) * sizeof(*st->cgroups));
}

static uint32_t free_number(const struct state *st)
{
	for (uint32_t n = 1;; n++) {
		bool taken = false;

		for (size_t i = 0; i < st->ncgroups && !taken; i++)
			taken = st->cgroups[i].number == n;
		if (!taken)
			return n;
	}
}

int cgroup_add(struct state *st, const char *path, struct errtext *err)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	_cleanup_close_ int fd = -1;
	struct cgroup c = { .number = 0 };
	int r;

	if (!real)
		return err_set(err, errno, "cannot open cgroup '%s': %s", path, strerror(errno));
	fd = cgroup_open(real, &c.id, err);
	if (fd < 0)
		return fd;
	for (size_t i = st->ncgroups; i-- > 0;) {
		bool alive = links_alive(st->dp, st->cgroups[i].id);

		if (alive && st->cgroups[i].id == c.id)
			return err_set(err, EEXIST, "cgroup '%s' is attached already", real);
		if (!alive) /* the cgroup is gone */
			forget(st, i);
	}
	if (!array_grow(&st->cgroups, &st->cgroups_cap, st->ncgroups))
		return -ENOMEM;
	c.number = free_number(st);
	c.path = real;
	r = links_add(st->dp, fd, c.id, real, err);
	if (!r)
		r = cgroup_store(st, &c, err);
	if (r) {
		dp_cgroup_detach(st->dp, c.id);
		return r;
	}
	TAKE_PTR(real);
	st->cgroups[st->ncgroups++] = c;
	return 0;
}

/* By its number where the path leads to one, else by the path as it was: the cgroup may be
 * gone. */
int cgroup_remove(struct state *st, const char *path, struct errtext *err)
{
	_cleanup_close_ int fd = -1;
	uint64_t id = 0;

	fd = cgroup_open(path, &id, NULL);
	for (size_t i = 0; i < st->ncgroups; i++)
		if (fd >= 0 ? st->cgroups[i].id == id : !strcmp(st->cgroups[i].path, path)) {
			forget(st, i);
			return 0;
		}
	return err_set(err, ENOENT, "cgroup '%s' is not attached", path);
}

/* ---- repair ----------------------------------------------------------------------------- */

static bool known(const struct state *st, uint64_t id)
{
	for (size_t i = 0; i < st->ncgroups; i++)
		if (st->cgroups[i].id == id)
			return true;
	return false;
}

/* Links of a cgroup whose addition or removal did not get to its end. */
static int pins_prune(struct state *st)
{
	_cleanup_free_ char *path = NULL;
	struct dirent *e;
	DIR *d;

	if (!st->dp->path)
		return 0;
	if (asprintf(&path, "%s/links", st->dp->path) < 0)
		return -ENOMEM;
	d = opendir(path);
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		uint64_t id;

		if (strncmp(e->d_name, PIN_PREFIX, strlen(PIN_PREFIX)))
			continue;
		id = strtoull(e->d_name + strlen(PIN_PREFIX), NULL, 10);
		if (!known(st, id))
			dp_cgroup_detach(st->dp, id);
	}
	closedir(d);
	return 0;
}

int cgroups_restore(struct state *st, struct errtext *err)
{
	int r = pins_prune(st);

	for (size_t i = 0; !r && i < st->ncgroups; i++) {
		const struct cgroup *c = &st->cgroups[i];
		_cleanup_close_ int fd = -1;
		uint64_t id;

		if (links_alive(st->dp, c->id))
			continue;
		fd = cgroup_open(c->path, &id, NULL);
		if (fd >= 0 && id == c->id)
			r = links_add(st->dp, fd, id, c->path, err);
	}
	return r;
}
