/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/sys/bpf.h>

#include "api/ctx.h"

int clite_sys_prog_fd(struct clite_ctx *ctx, const char *name)
{
	int r = name ? ctx_enter(ctx) : -EINVAL;

	if (r)
		return r;
	for (int i = 0; i < PROG_COUNT_; i++)
		if (!strcmp(dp_prog_name(i), name) && ctx->dp->prog_fd[i] >= 0)
			return ctx->dp->prog_fd[i];
	return err_set(&ctx->err, ENOENT, "there is no program '%s' in this instance", name);
}

int clite_sys_map_fd(struct clite_ctx *ctx, const char *name)
{
	int r = name ? ctx_enter(ctx) : -EINVAL;

	if (r)
		return r;
	for (int i = 0; i < MAP_COUNT_; i++)
		if (!strcmp(dp_map_name(i), name) && (i < MAP_ALWAYS_ || dp_map_find(ctx->dp, i)))
			return ctx->dp->map_fd[i];
	return err_set(&ctx->err, ENOENT, "there is no map '%s' in this instance", name);
}
