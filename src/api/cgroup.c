/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/cgroup.h>

#include "api/ctx.h"

static int change(struct clite_ctx *ctx, const char *path,
		  int (*how)(struct state *, const char *, struct errtext *))
{
	int r = ctx && path ? ctx_begin(ctx) : -EINVAL;

	return r ?: ctx_end(ctx, how(&ctx->st, path, &ctx->err));
}

int clite_cgroup_attach(struct clite_ctx *ctx, const char *path)
{
	return change(ctx, path, cgroup_add);
}

int clite_cgroup_detach(struct clite_ctx *ctx, const char *path)
{
	return change(ctx, path, cgroup_remove);
}

int clite_cgroup_list(struct clite_ctx *ctx,
		      int (*cb)(const struct clite_cgroup_info *info, void *userdata),
		      void *userdata)
{
	int r = cb ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	for (size_t i = 0; i < ctx->st.ncgroups; i++) {
		struct clite_cgroup_info info = {
			.sz = sizeof(info),
			.path = ctx->st.cgroups[i].path,
			.id = ctx->st.cgroups[i].id,
		};

		r = CTX_CALL(ctx, cb(&info, userdata));
		if (r < 0)
			return r;
	}
	return ctx->st.ncgroups;
}
