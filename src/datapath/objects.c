/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs beside those that every instance has. They come in objects of their own, which
 * are loaded when something first asks for them: an instance that needs none pays for none.
 * They share the instance's maps. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>

#include "datapath/dp.h"

static int map_number(const struct bpf_map *map)
{
	for (int i = 0; i < MAP_COUNT_; i++)
		if (!strcmp(bpf_map__name(map), dp_map_name(i)))
			return i;
	return -ENOENT;
}

static int map_share(struct dp *dp, struct bpf_map *map)
{
	int i = map_number(map);

	if (bpf_map__is_internal(map))
		return 0; /* .rodata and the like: each object's own */
	/* Memory of one call, which no two objects share. */
	if (!strcmp(bpf_map__name(map), "scratch") || !strcmp(bpf_map__name(map), "capture"))
		return 0;
	if (i < 0)
		return i;
	if (i >= MAP_ALWAYS_ && !dp_map_find(dp, i))
		return 0; /* comes with this object */
	return bpf_map__reuse_fd(map, dp->map_fd[i]);
}

int dp_object_share(struct dp *dp, struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) {
		int r = map_share(dp, map);

		if (r)
			return r;
	}
	return 0;
}

bool dp_object_find(struct dp *dp, enum dp_prog first, enum dp_prog last)
{
	for (unsigned int i = first; i <= last; i++) {
		_cleanup_free_ char *pin = NULL;

		if (dp->prog_fd[i] >= 0)
			continue;
		if (!dp->path ||
		    asprintf(&pin, "%s/programs/%s", dp->path, dp_prog_name(i)) < 0)
			return false;
		dp->prog_fd[i] = bpf_obj_get(pin);
		if (dp->prog_fd[i] < 0)
			return false;
	}
	return true;
}

static int object_pin(struct dp *dp, int fd, const char *dir, const char *name)
{
	_cleanup_free_ char *pin = NULL;

	if (!dp->path)
		return 0;
	if (asprintf(&pin, "%s/%s/%s", dp->path, dir, name) < 0)
		return -ENOMEM;
	/* One of a process that was killed while it loaded these. */
	unlink(pin);
	return bpf_obj_pin(fd, pin) < 0 ? -errno : 0;
}

static int prog_take(struct dp *dp, struct bpf_object *obj, enum dp_prog prog)
{
	_cleanup_free_ char *name = NULL;
	struct bpf_program *p;

	if (asprintf(&name, "clite_%s", dp_prog_name(prog)) < 0)
		return -ENOMEM;
	p = bpf_object__find_program_by_name(obj, name);
	closep(&dp->prog_fd[prog]);
	dp->prog_fd[prog] = p ? fcntl(bpf_program__fd(p), F_DUPFD_CLOEXEC, 3) : -1;
	if (dp->prog_fd[prog] < 0)
		return -EBADF;
	return object_pin(dp, dp->prog_fd[prog], "programs", dp_prog_name(prog));
}

void dp_map_forget(struct dp *dp, enum dp_map map)
{
	_cleanup_free_ char *pin = NULL;

	closep(&dp->map_fd[map]);
	dp->map_fd[map] = -1;
	if (dp->path && asprintf(&pin, "%s/maps/%s", dp->path, dp_map_name(map)) >= 0)
		unlink(pin);
}

/* Before the programs: who finds those finds it. */
static int map_take(struct dp *dp, struct bpf_map *map)
{
	int i = map_number(map);

	if (i < MAP_ALWAYS_ || dp->map_fd[i] >= 0)
		return 0;
	dp->map_fd[i] = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3);
	if (dp->map_fd[i] < 0)
		return -EBADF;
	dp->map_max[i] = bpf_map__max_entries(map);
	return object_pin(dp, dp->map_fd[i], "maps", dp_map_name(i));
}

static int maps_take(struct dp *dp, struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) {
		int r = map_take(dp, map);

		if (r)
			return r;
	}
	return 0;
}

int dp_object_take(struct dp *dp, struct bpf_object *obj, enum dp_prog first, enum dp_prog last,
		   struct errtext *err)
{
	int r = maps_take(dp, obj);

	if (r)
		return err_set(err, -r, "cannot keep the maps of '%s': %s", dp_prog_name(first),
			       strerror(-r));
	for (unsigned int i = first; i <= last; i++) {
		r = prog_take(dp, obj, i);
		if (!r)
			continue;
		for (unsigned int k = first; k <= last; k++) {
			closep(&dp->prog_fd[k]);
			dp->prog_fd[k] = -1;
		}
		return err_set(err, -r, "cannot keep program '%s': %s", dp_prog_name(i),
			       strerror(-r));
	}
	return 0;
}
