/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs on devices: by a TCX link, pinned for a named instance, or by a clsact
 * filter at a place of our own. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/stat.h>

#include "datapath/dp.h"

/* Linux 6.6; not in the headers of Debian 12. */
#define TCX_INGRESS 46
#define TCX_EGRESS 47

static bool is_ingress(enum dp_prog prog)
{
	return prog != PROG_TO_ENDPOINT && prog != PROG_TO_NETDEV;
}

static bool uses_clsact(const struct dp *dp, enum dp_prog prog)
{
	return prog != PROG_FROM_XDP && dp->control->flags & DP_CONTROL_CLSACT;
}

bool dp_have_tcx(void)
{
	/* A link to no device: the kernel that knows TCX looks for it first. */
	struct bpf_insn insns[] = {
		{ .code = 0xb7 },		/* r0 = 0 */
		{ .code = 0x95 },		/* exit */
	};
	_cleanup_close_ int prog = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "clite_probe", "GPL",
						 insns, ARRAY_SIZE(insns), NULL);
	int link;

	if (prog < 0)
		return false;
	link = bpf_link_create(prog, INT32_MAX, TCX_INGRESS, NULL);
	if (link >= 0) {
		close(link);
		return true;
	}
	return errno == ENODEV;
}

static char *link_path(const struct dp *dp, enum dp_prog prog, uint32_t ifindex)
{
	char *path;

	if (asprintf(&path, "%s/links/%u-%s", dp->path, ifindex, dp_prog_name(prog)) < 0)
		return NULL;
	return path;
}

static struct dp_link *link_find(struct dp *dp, enum dp_prog prog, uint32_t ifindex)
{
	for (size_t i = 0; i < dp->nlinks; i++)
		if (dp->links[i].prog == prog && dp->links[i].ifindex == ifindex)
			return &dp->links[i];
	return NULL;
}

/* A device may be gone and its number have come back: a pinned link to nothing
 * is not in the way. */
static bool pin_is_dead(const char *path)
{
	_cleanup_close_ int fd = bpf_obj_get(path);
	struct {
		__u32 type, id, prog_id, pad;
		__u32 ifindex, attach_type;
		char rest[64];
	} info = {};
	__u32 len = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.ifindex == 0;
}

/* flags: XDP_FLAGS_* */
static int attach_link(struct dp *dp, enum dp_prog prog, uint32_t ifindex, uint32_t flags,
		       int *ret_fd)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	enum bpf_attach_type where = prog == PROG_FROM_XDP ? BPF_XDP :
				     is_ingress(prog)	   ? TCX_INGRESS :
							     TCX_EGRESS;
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;

	if (dp->path) {
		path = link_path(dp, prog, ifindex);
		if (!path)
			return -ENOMEM;
		if (pin_is_dead(path))
			unlink(path);
	}
	fd = bpf_link_create(dp->prog_fd[prog], ifindex, where, &opts);
	if (fd < 0)
		return -errno;
	if (path && bpf_obj_pin(fd, path) < 0)
		return -errno;
	*ret_fd = path ? -1 : TAKE_FD(fd);
	return 0;
}

int dp_attach(struct dp *dp, enum dp_prog prog, uint32_t ifindex, struct errtext *err)
{
	char device[IF_NAMESIZE] = "?";
	int fd = -1, ret;

	if_indextoname(ifindex, device);
	if (!dp->path && !array_grow(&dp->links, &dp->links_cap, dp->nlinks))
		return -ENOMEM;
	if (uses_clsact(dp, prog)) {
		ret = nl_clsact_add(ifindex);
		if (!ret)
			ret = nl_filter_add(ifindex, is_ingress(prog), dp->prog_fd[prog],
					    dp_prog_name(prog));
	} else {
		ret = attach_link(dp, prog, ifindex, 0, &fd);
	}
	if (ret)
		return err_set(err, -ret, "cannot attach program '%s' to device '%s' by %s: %s",
			       dp_prog_name(prog), device, uses_clsact(dp, prog) ? "clsact" : "TCX",
			       strerror(-ret));
	if (!dp->path)
		dp->links[dp->nlinks++] = (struct dp_link){ ifindex, prog, fd };
	return 0;
}

/* By the driver, or else, or if generic, by the stack. */
int dp_attach_xdp(struct dp *dp, uint32_t ifindex, bool generic, struct errtext *err)
{
	char device[IF_NAMESIZE] = "?";
	int fd = -1, ret = -EOPNOTSUPP, native = 0;

	if_indextoname(ifindex, device);
	if (!dp->path && !array_grow(&dp->links, &dp->links_cap, dp->nlinks))
		return -ENOMEM;
	if (!generic)
		native = ret = attach_link(dp, PROG_FROM_XDP, ifindex, XDP_FLAGS_DRV_MODE, &fd);
	if (ret && ret != -EBUSY && ret != -EEXIST)
		ret = attach_link(dp, PROG_FROM_XDP, ifindex, XDP_FLAGS_SKB_MODE, &fd);
	if (ret)
		return err_set(err, -ret,
			       "cannot attach program 'from_xdp' to device '%s': %s (by the driver: %s)",
			       device, strerror(-ret), generic ? "not tried" : strerror(-native));
	if (!dp->path)
		dp->links[dp->nlinks++] = (struct dp_link){ ifindex, PROG_FROM_XDP, fd };
	return 0;
}

int dp_detach(struct dp *dp, enum dp_prog prog, uint32_t ifindex)
{
	struct dp_link *l = link_find(dp, prog, ifindex);
	int ret = 0;

	if (!dp->path && !l)
		return -ENOENT;
	if (uses_clsact(dp, prog)) {
		ret = nl_filter_delete(ifindex, is_ingress(prog));
	} else if (dp->path) {
		_cleanup_free_ char *path = link_path(dp, prog, ifindex);
		_cleanup_close_ int fd = -1;

		if (!path)
			return -ENOMEM;
		fd = bpf_obj_get(path);
		if (fd < 0)
			return -errno;
		/* Also while somebody else holds the link open. */
		bpf_link_detach(fd);
		ret = unlink(path) < 0 ? -errno : 0;
	} else {
		bpf_link_detach(l->fd);
	}
	if (l) {
		if (l->fd >= 0)
			close(l->fd);
		*l = dp->links[--dp->nlinks];
	}
	return ret;
}

bool dp_attached(struct dp *dp, enum dp_prog prog, uint32_t ifindex)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	if (!dp->path)
		return link_find(dp, prog, ifindex);
	if (uses_clsact(dp, prog))
		return nl_filter_exists(ifindex, is_ingress(prog));
	path = link_path(dp, prog, ifindex);
	return path && !stat(path, &st) && !pin_is_dead(path);
}
