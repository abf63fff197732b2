/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs beside those that every instance has. They come in objects of their own, which
 * are loaded when something first asks for them: an instance that needs none pays for none.
 * They share the instance's maps. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>

#include "datapath/dp.h"

static int map_share(struct dp *dp, struct bpf_map *map)
{
	if (bpf_map__is_internal(map))
		return 0; /* .rodata and the like: each object's own */
	for (int i = 0; i < MAP_COUNT_; i++)
		if (!strcmp(bpf_map__name(map), dp_map_name(i)))
			return bpf_map__reuse_fd(map, dp->map_fd[i]);
	/* Memory of one call, which no two objects share. */
	return !strcmp(bpf_map__name(map), "scratch") ? 0 : -ENOENT;
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

static int prog_pin(struct dp *dp, enum dp_prog prog)
{
	_cleanup_free_ char *pin = NULL;

	if (!dp->path)
		return 0;
	if (asprintf(&pin, "%s/programs/%s", dp->path, dp_prog_name(prog)) < 0)
		return -ENOMEM;
	/* One of a process that was killed while it loaded these. */
	unlink(pin);
	return bpf_obj_pin(dp->prog_fd[prog], pin) < 0 ? -errno : 0;
}

static int prog_take(struct dp *dp, struct bpf_object *obj, enum dp_prog prog)
{
	_cleanup_free_ char *name = NULL;
	struct bpf_program *p;

	if (asprintf(&name, "clite_%s", dp_prog_name(prog)) < 0)
		return -ENOMEM;
	p = bpf_object__find_program_by_name(obj, name);
	dp->prog_fd[prog] = p ? fcntl(bpf_program__fd(p), F_DUPFD_CLOEXEC, 3) : -1;
	return dp->prog_fd[prog] < 0 ? -EBADF : prog_pin(dp, prog);
}

int dp_object_take(struct dp *dp, struct bpf_object *obj, enum dp_prog first, enum dp_prog last,
		   struct errtext *err)
{
	for (unsigned int i = first; i <= last; i++) {
		int r = prog_take(dp, obj, i);

		if (!r)
			continue;
		for (unsigned int k = first; k <= last; k++)
			closep(&dp->prog_fd[k]);
		return err_set(err, -r, "cannot keep program '%s': %s", dp_prog_name(i),
			       strerror(-r));
	}
	return 0;
}
