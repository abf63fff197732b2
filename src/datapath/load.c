/* SPDX-License-Identifier: BSD-2-Clause */
/* Instances: made, opened, destroyed.
 *
 * A named instance is a directory of pins: maps/, programs/, links/. It is built
 * under a name that begins with '~' (bpffs takes no dots) and renamed when it is
 * whole; it is taken away the other way round. What a killed process left under such a name is
 * swept by the next. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/param.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include <cilium-lite/version.h>

#include "datapath/dp.h"
#include "endpoint.skel.h"

#define LOCK_TRIES 500
#define LOCK_WAIT_NS (10 * 1000 * 1000)

static const char *const subdirs[] = { "maps", "programs", "links" };

static void endpoint_bpf_freep(struct endpoint_bpf **skel)
{
	endpoint_bpf__destroy(*skel);
}

static void dir_closep(DIR **d)
{
	if (*d)
		closedir(*d);
}

static _printf_(1, 2) char *format(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return s;
}

/* The kernel answers a change of a map of maps when no program is left that may
 * see the old element. So one of ours that nobody looks at is written. */
void dp_synchronize(struct dp *dp)
{
	uint32_t last = DP_SUBSCRIBERS;

	bpf_map_update_elem(dp->map_fd[MAP_RINGS], &last, &dp->sync_fd, BPF_ANY);
}

/* ---- an open instance ---------------------------------------------------- */

static struct dp *dp_new(const char *name)
{
	struct dp *dp = calloc(1, sizeof(*dp));
	struct timespec res;

	if (!dp)
		return NULL;
	dp->lock_fd = -1;
	dp->sync_fd = -1;
	for (int i = 0; i < MAP_COUNT_; i++)
		dp->map_fd[i] = -1;
	for (int i = 0; i < PROG_COUNT_; i++)
		dp->prog_fd[i] = -1;
	/* The coarse clock moves with each tick. */
	clock_getres(CLOCK_MONOTONIC_COARSE, &res);
	dp->hz = res.tv_nsec ? (1000000000 + res.tv_nsec / 2) / res.tv_nsec : 1;
	dp->ncpus = libbpf_num_possible_cpus();
	dp->name = strdup(name ?: "");
	if (!dp->name)
		return dp_close(dp);
	return dp;
}

static void *map_memory(struct dp *dp, enum dp_map map, size_t size)
{
	void *p = mmap(NULL, (size_t)dp->map_max[map] * size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       dp->map_fd[map], 0);

	return p == MAP_FAILED ? NULL : p;
}

static void unmap_memory(struct dp *dp, enum dp_map map, void *p, size_t size)
{
	if (p)
		munmap(p, (size_t)dp->map_max[map] * size);
}

static int dp_map_all(struct dp *dp)
{
	for (int i = 0; i < MAP_ALWAYS_; i++) {
		struct bpf_map_info info = {};
		__u32 len = sizeof(info);

		if (dp->map_fd[i] < 0)
			continue;
		if (bpf_obj_get_info_by_fd(dp->map_fd[i], &info, &len) < 0)
			return -errno;
		dp->map_max[i] = info.max_entries;
	}
	dp->control = map_memory(dp, MAP_CONTROL, sizeof(*dp->control));
	dp->eps = map_memory(dp, MAP_ENDPOINTS, sizeof(*dp->eps));
	dp->policies = map_memory(dp, MAP_POLICIES, sizeof(*dp->policies));
	dp->ports = map_memory(dp, MAP_PORTS, sizeof(*dp->ports));
	dp->service_gens = map_memory(dp, MAP_SERVICE_GENS, sizeof(*dp->service_gens));
	dp->backends = map_memory(dp, MAP_BACKENDS, sizeof(*dp->backends));
	dp->slots = map_memory(dp, MAP_SLOTS, sizeof(*dp->slots));
	if (!dp->control || !dp->eps || !dp->policies || !dp->ports || !dp->service_gens ||
	    !dp->backends || !dp->slots)
		return -errno;
	dp->sync_fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "clite_sync", 0, 0,
				     (uint32_t)sysconf(_SC_PAGESIZE), NULL);
	return dp->sync_fd < 0 ? -errno : 0;
}

struct dp *dp_close(struct dp *dp)
{
	if (!dp)
		return NULL;
	if (!dp->path)
		while (dp->nlinks)
			dp_detach(dp, dp->links[0].prog, dp->links[0].ifindex);
	while (dp->ncgroup_links)
		dp_cgroup_detach(dp, dp->cgroup_links[0].id);
	unmap_memory(dp, MAP_CONTROL, dp->control, sizeof(*dp->control));
	unmap_memory(dp, MAP_ENDPOINTS, dp->eps, sizeof(*dp->eps));
	unmap_memory(dp, MAP_POLICIES, dp->policies, sizeof(*dp->policies));
	unmap_memory(dp, MAP_PORTS, dp->ports, sizeof(*dp->ports));
	unmap_memory(dp, MAP_SERVICE_GENS, dp->service_gens, sizeof(*dp->service_gens));
	unmap_memory(dp, MAP_BACKENDS, dp->backends, sizeof(*dp->backends));
	unmap_memory(dp, MAP_SLOTS, dp->slots, sizeof(*dp->slots));
	for (int i = 0; i < MAP_COUNT_; i++)
		closep(&dp->map_fd[i]);
	for (int i = 0; i < PROG_COUNT_; i++)
		closep(&dp->prog_fd[i]);
	closep(&dp->sync_fd);
	closep(&dp->lock_fd);
	free(dp->links);
	free(dp->cgroup_links);
	free(dp->name);
	free(dp->path);
	free(dp);
	return NULL;
}

/* ---- locks --------------------------------------------------------------- */

static int lock_fd(int fd)
{
	struct timespec wait = { .tv_nsec = LOCK_WAIT_NS };

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		nanosleep(&wait, NULL);
	}
	return -EBUSY;
}

int dp_lock(struct dp *dp, struct errtext *err)
{
	struct stat st;
	int ret;

	if (dp->lock_fd < 0)
		return 0;
	ret = lock_fd(dp->lock_fd);
	if (ret)
		return err_set(err, -ret, "instance '%s' is being changed by another process",
			       dp->name);
	/* Destroyed by another process meanwhile: the directory has no name left. One that a
	 * process may not see since it became another user is there. */
	if (fstat(dp->lock_fd, &st) < 0 || !st.st_nlink ||
	    (access(dp->path, F_OK) < 0 && errno != EACCES)) {
		dp_unlock(dp);
		return err_set(err, ESTALE, "instance '%s' was destroyed", dp->name);
	}
	return 0;
}

void dp_unlock(struct dp *dp)
{
	if (dp->lock_fd >= 0)
		flock(dp->lock_fd, LOCK_UN);
}

/* ---- the bpf file system ------------------------------------------------- */

static bool is_bpffs(const char *path)
{
	struct statfs st;

	return !statfs(path, &st) && st.f_type == BPF_FS_MAGIC;
}

static int bpffs_check(const char *bpffs, bool mount_it, struct errtext *err)
{
	if (is_bpffs(bpffs))
		return 0;
	if (!mount_it)
		return err_set(err, CLITE_ENOBPFFS,
			       "no bpf file system at %s: mount it with 'mount -t bpf bpf %s'",
			       bpffs, bpffs);
	if (mount("bpf", bpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return err_set(err, CLITE_ENOBPFFS, "cannot mount a bpf file system at %s: %s",
			       bpffs, strerror(errno));
	return 0;
}

/* Open (and make) the directory of all instances. */
static int parent_open(const char *parent, bool create)
{
	int fd;

	if (create && mkdir(parent, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Remove a directory of pins and what is in it: one level, as we make them. */
static void remove_tree(const char *path, int depth)
{
	_cleanup_(dir_closep) DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *sub = NULL;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		sub = format("%s/%s", path, e->d_name);
		if (!sub)
			return;
		if (unlink(sub) < 0 && depth)
			remove_tree(sub, depth - 1);
	}
	rmdir(path);
}

/* What killed processes left half made or half removed; the parent is locked. */
static void sweep(const char *parent)
{
	_cleanup_(dir_closep) DIR *d = opendir(parent);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *path = NULL;

		if (e->d_name[0] != '~')
			continue;
		path = format("%s/%s", parent, e->d_name);
		if (path)
			remove_tree(path, 2);
	}
}

/* ---- make ---------------------------------------------------------------- */

/* The sizes of maps.h; where more services are wanted, these grow with them. */
#define DP_SERVICES 16384u
#define DP_SLOTS 524288u
#define DP_STORE 262144u

struct size {
	const char *map;
	uint32_t n;
};

static int load_skeleton(struct endpoint_bpf *skel, const struct dp_params *p, struct dp *dp)
{
	struct size sizes[] = {
		{ "flow4", p->flows4 },	      { "flow6", p->flows6 },
		{ "endpoints", p->endpoints + 1 }, { "devices", p->endpoints + 64 },
		{ "services", p->services },  { "service_gens", p->services + 1 },
		{ "policies", p->policies + 1 }, { "backends", p->backends + 1 },
		{ "slots", MAX(DP_SLOTS, 2 * p->backends) },
		{ "store", DP_STORE + 8 * (p->services > DP_SERVICES ? p->services : 0) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(skel->obj, sizes[i].map);
		int ret = m ? bpf_map__set_max_entries(m, sizes[i].n) : -ENOENT;

		if (ret)
			return ret;
	}
	skel->rodata->cfg_hz = dp->hz;
	skel->rodata->cfg_neigh = p->neigh;
	skel->rodata->cfg_snat_first = p->snat_first;
	skel->rodata->cfg_snat_last = p->snat_last;
	if (getrandom((void *)&skel->rodata->cfg_mark, sizeof(skel->rodata->cfg_mark), 0) < 0)
		return -errno;
	skel->rodata->cfg_mark |= 1; /* never 0 */
	return endpoint_bpf__load(skel);
}

static int take_fds(struct endpoint_bpf *skel, struct dp *dp)
{
	for (int i = 0; i < MAP_ALWAYS_; i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(skel->obj, dp_map_name(i));

		dp->map_fd[i] = m ? fcntl(bpf_map__fd(m), F_DUPFD_CLOEXEC, 3) : -1;
		if (dp->map_fd[i] < 0)
			return -EBADF;
	}
	for (int i = 0; i < PROG_ALWAYS_; i++) {
		_cleanup_free_ char *name = format("clite_%s", dp_prog_name(i));
		struct bpf_program *prog =
			name ? bpf_object__find_program_by_name(skel->obj, name) : NULL;

		dp->prog_fd[i] = prog ? fcntl(bpf_program__fd(prog), F_DUPFD_CLOEXEC, 3) : -1;
		if (dp->prog_fd[i] < 0)
			return -EBADF;
	}
	return 0;
}

static int pin_all(struct dp *dp, const char *path)
{
	for (int i = 0; i < MAP_ALWAYS_; i++) {
		_cleanup_free_ char *pin = format("%s/maps/%s", path, dp_map_name(i));

		if (!pin || bpf_obj_pin(dp->map_fd[i], pin) < 0)
			return pin ? -errno : -ENOMEM;
	}
	for (int i = 0; i < PROG_ALWAYS_; i++) {
		_cleanup_free_ char *pin = format("%s/programs/%s", path, dp_prog_name(i));

		if (!pin || bpf_obj_pin(dp->prog_fd[i], pin) < 0)
			return pin ? -errno : -ENOMEM;
	}
	return 0;
}

/* Load the programs and fill in what an empty instance has. */
static int dp_make(const struct dp_params *p, struct dp *dp, struct errtext *err)
{
	_cleanup_(endpoint_bpf_freep) struct endpoint_bpf *skel = endpoint_bpf__open();
	int ret;

	if (!skel)
		return err_set(err, errno, "cannot open the built-in programs: %s",
			       strerror(errno));
	ret = load_skeleton(skel, p, dp);
	if (ret && probe_missing(err))
		return -CLITE_EUNSUPPORTED;
	if (ret)
		return err_set(err, -ret, "the kernel does not take the programs: %s%s",
			       strerror(-ret),
			       ret == -EPERM || ret == -ENOMEM ?
				       " (check the limit of locked memory, 'ulimit -l')" :
				       "");
	ret = take_fds(skel, dp);
	if (!ret)
		ret = dp_map_all(dp);
	if (ret)
		return err_set(err, -ret, "cannot use the maps: %s", strerror(-ret));
	dp->control->layout = DP_LAYOUT;
	dp->control->flags = (p->clsact || !dp_have_tcx() ? DP_CONTROL_CLSACT : 0) |
			     (p->neigh ? DP_CONTROL_NEIGH : 0);
	dp->control->next_rule = 1;
	dp->eps[0].slot[0].gen = dp->eps[0].slot[1].gen = 1;
	return store_put(dp, STORE_SETTINGS, 0, p->settings, p->settings_size, err);
}

static int dp_create(const struct dp_params *p, const char *parent, const char *path,
		     struct dp **ret, struct errtext *err)
{
	_cleanup_free_ char *tmp = format("%s/~new-%s", parent, p->name);
	struct dp *dp = dp_new(p->name);
	int r = -ENOMEM;

	if (!dp || !tmp)
		goto fail;
	sweep(parent);
	r = dp_make(p, dp, err);
	if (r)
		goto fail;
	if (mkdir(tmp, 0700) < 0)
		goto fail_errno;
	for (size_t i = 0; i < ARRAY_SIZE(subdirs); i++) {
		_cleanup_free_ char *sub = format("%s/%s", tmp, subdirs[i]);

		if (!sub || mkdir(sub, 0700) < 0)
			goto fail_errno;
	}
	r = pin_all(dp, tmp);
	if (r) {
		errno = -r;
		goto fail_errno;
	}
	if (rename(tmp, path) < 0)
		goto fail_errno;
	dp->path = strdup(path);
	dp->lock_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!dp->path || dp->lock_fd < 0)
		goto fail_errno;
	*ret = dp;
	return 0;
fail_errno:
	r = err_set(err, errno ?: ENOMEM, "cannot pin instance '%s' under %s: %s", p->name, parent,
		    strerror(errno));
	remove_tree(tmp, 2);
fail:
	dp_close(dp);
	return r;
}

/* ---- open ---------------------------------------------------------------- */

static int open_pins(struct dp *dp)
{
	for (int i = 0; i < MAP_ALWAYS_; i++) {
		_cleanup_free_ char *pin = format("%s/maps/%s", dp->path, dp_map_name(i));

		dp->map_fd[i] = pin ? bpf_obj_get(pin) : -1;
		if (dp->map_fd[i] < 0 && errno == ENOENT && i >= MAP_ALWAYS_)
			continue;
		if (dp->map_fd[i] < 0)
			return -errno;
		/* Of the layout the first map tells; nothing else is touched before. */
		if (i == MAP_CONTROL) {
			struct dp_control c;
			uint32_t zero = 0;
			struct bpf_map_info info = {};
			__u32 len = sizeof(info);

			if (bpf_obj_get_info_by_fd(dp->map_fd[i], &info, &len) < 0)
				return -errno;
			if (info.value_size != sizeof(c))
				return -CLITE_ELAYOUT;
			if (bpf_map_lookup_elem(dp->map_fd[i], &zero, &c) < 0)
				return -errno;
			if (c.layout != DP_LAYOUT)
				return -CLITE_ELAYOUT;
		}
	}
	for (int i = 0; i < PROG_COUNT_; i++) {
		_cleanup_free_ char *pin = format("%s/programs/%s", dp->path, dp_prog_name(i));

		dp->prog_fd[i] = pin ? bpf_obj_get(pin) : -1;
		if (dp->prog_fd[i] < 0 && (errno != ENOENT || i < PROG_ALWAYS_))
			return -errno;
	}
	return 0;
}

static int dp_reopen(const struct dp_params *p, const char *path, struct dp **ret,
		     struct errtext *err)
{
	struct dp *dp = dp_new(p->name);
	int r;

	if (!dp)
		return -ENOMEM;
	dp->path = strdup(path);
	dp->lock_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!dp->path || dp->lock_fd < 0) {
		r = err_set(err, errno, "cannot open %s: %s", path, strerror(errno));
		goto fail;
	}
	r = open_pins(dp);
	/* A pin that is missing is a layout that we do not know, too. */
	if (r == -ENOENT)
		r = -CLITE_ELAYOUT;
	if (r == -CLITE_ELAYOUT) {
		err_set(err, CLITE_ELAYOUT,
			"instance '%s' has a map layout that this library (layout %u) does not know: use the library that made it, or destroy it",
			p->name, DP_LAYOUT);
		goto fail;
	}
	if (!r)
		r = dp_map_all(dp);
	if (r) {
		err_set(err, -r, "cannot open instance '%s': %s", p->name, strerror(-r));
		goto fail;
	}
	*ret = dp;
	return 0;
fail:
	dp_close(dp);
	return r;
}

static int open_named(const struct dp_params *p, const char *bpffs, struct dp **ret,
		      struct errtext *err)
{
	_cleanup_free_ char *parent = format("%s/" DP_DIR, bpffs);
	_cleanup_free_ char *path = format("%s/" DP_DIR "/%s", bpffs, p->name);
	_cleanup_close_ int fd = -1;
	int r;

	if (!parent || !path)
		return -ENOMEM;
	r = bpffs_check(bpffs, p->mount, err);
	if (r)
		return r;
	fd = parent_open(parent, p->create);
	if (fd < 0 && fd != -ENOENT)
		return err_set(err, -fd, "cannot open %s: %s", parent, strerror(-fd));
	if (p->create) {
		r = lock_fd(fd); /* released when fd is closed */
		if (r)
			return err_set(err, -r, "%s is locked by another process", parent);
	}
	if (fd >= 0 && access(path, F_OK) == 0) {
		if (p->create && p->exclusive)
			return err_set(err, EEXIST, "there is an instance '%s' already", p->name);
		return dp_reopen(p, path, ret, err);
	}
	if (!p->create)
		return err_set(err, ENOENT, "there is no instance '%s' under %s", p->name, bpffs);
	return dp_create(p, parent, path, ret, err);
}

int dp_open(const struct dp_params *p, struct dp **ret, struct errtext *err)
{
	struct dp *dp = NULL;
	int r = probe_capabilities(err);

	if (r)
		return r;
	if (p->ephemeral) {
		dp = dp_new(p->name);
		if (!dp)
			return -ENOMEM;
		r = dp_make(p, dp, err);
	} else {
		r = open_named(p, p->bpffs ?: DP_BPFFS, &dp, err);
	}
	if (!r) {
		r = dp_clock(dp);
		if (r)
			err_set(err, -r, "cannot run a program: %s", strerror(-r));
	}
	if (r) {
		dp_close(dp);
		return r;
	}
	*ret = dp;
	return 0;
}

/* ---- destroy, list ------------------------------------------------------- */

int dp_destroy(struct dp *dp, struct errtext *err)
{
	_cleanup_free_ char *parent = NULL, *tmp = NULL;
	char *slash;

	if (!dp->path)
		return 0;
	parent = strdup(dp->path);
	slash = parent ? strrchr(parent, '/') : NULL;
	if (!slash)
		return -ENOMEM;
	*slash = '\0';
	tmp = format("%s/~gone-%s", parent, dp->name);
	if (!tmp)
		return -ENOMEM;
	remove_tree(tmp, 2);
	if (rename(dp->path, tmp) < 0)
		return err_set(err, errno, "cannot remove instance '%s': %s", dp->name,
			       strerror(errno));
	remove_tree(tmp, 2);
	rmdir(parent); /* unless there are others */
	return 0;
}

int dp_instances(const char *bpffs, int (*cb)(const char *name, void *data), void *data,
		 struct errtext *err)
{
	_cleanup_free_ char *parent = format("%s/" DP_DIR, bpffs ?: DP_BPFFS);
	_cleanup_(dir_closep) DIR *d = NULL;
	struct dirent *e;
	int n = 0;

	if (!parent)
		return -ENOMEM;
	if (!is_bpffs(bpffs ?: DP_BPFFS))
		return err_set(err, CLITE_ENOBPFFS, "no bpf file system at %s", bpffs ?: DP_BPFFS);
	d = opendir(parent);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d))) {
		int r;

		if (e->d_name[0] == '.' || e->d_name[0] == '~')
			continue;
		r = cb(e->d_name, data);
		if (r < 0)
			return r;
		n++;
	}
	return n;
}
