/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <time.h>

#include "api/ctx.h"

/* ---- names ------------------------------------------------------------------------ */

static const char *name_endpoint(void *data, uint32_t id)
{
	const struct endpoint *e = state_endpoint(&((struct clite_ctx *)data)->st, id);

	return e ? e->name : NULL;
}

static const char *const *name_labels(void *data, uint32_t id)
{
	const struct identity *i = identities_get(&((struct clite_ctx *)data)->st.ids, id);

	return i ? (const char *const *)i->labels.text : NULL;
}

static const char *name_service(void *data, uint32_t family, const uint8_t addr[16], uint16_t port,
				uint32_t protocol)
{
	const struct service *s =
		lookup_service(&((struct clite_ctx *)data)->st, family, addr, port, protocol);

	return s && *s->name ? s->name : NULL;
}

/* Names of devices may change, and asking takes some system calls: once a second. */
static const char *name_interface(void *data, uint32_t ifindex)
{
	struct clite_ctx *ctx = data;
	struct device_name *d = &ctx->device_names[ifindex % ARRAY_SIZE(ctx->device_names)];
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (d->ifindex != ifindex || d->asked != now.tv_sec) {
		d->ifindex = ifindex;
		d->asked = now.tv_sec;
		if (!if_indextoname(ifindex, d->name))
			*d->name = '\0';
	}
	return d->name;
}

static const struct clite_rule_info *name_rule(void *data, uint32_t cookie)
{
	return ctx_rule(data, cookie);
}

int ctx_flow(struct clite_ctx *ctx, const struct clite_event *event, const struct clite_flow **ret)
{
	const struct event_names names = {
		.data = ctx,
		.endpoint = name_endpoint,
		.labels = name_labels,
		.service = name_service,
		.rule = name_rule,
		.interface = name_interface,
		.node_name = ctx->node,
	};
	int r;

	if (!*ctx->node)
		gethostname(ctx->node, sizeof(ctx->node) - 1);
	r = flow_resolve(&ctx->flow, event, &names);
	if (!r)
		*ret = &ctx->flow.flow;
	return r;
}

int clite_flow_resolve(struct clite_ctx *ctx, const struct clite_event *event,
		       const struct clite_flow **ret)
{
	int r;

	if (!event || event->sz != sizeof(*event) || !ret)
		return -EINVAL;
	r = ctx_read(ctx);
	return r ?: ctx_flow(ctx, event, ret);
}

/* ---- text and JSON ---------------------------------------------------------------- */

static int flow_write(const struct clite_flow *f, char *buf, size_t size,
		      void (*write)(const struct clite_flow *, struct buf *))
{
	_cleanup_buf_ struct buf out = {};

	if (!flow_valid(f) || (!buf && size))
		return -EINVAL;
	write(f, &out);
	if (out.failed)
		return -ENOMEM;
	if (size)
		snprintf(buf, size, "%s", out.data ?: "");
	return (int)out.len;
}

int clite_flow_text(const struct clite_flow *flow, char *buf, size_t size)
{
	return flow_write(flow, buf, size, flow_text);
}

int clite_flow_json(const struct clite_flow *flow, char *buf, size_t size)
{
	return flow_write(flow, buf, size, flow_json);
}

/* ---- events ----------------------------------------------------------------------- */

static int event_write(struct clite_ctx *ctx, const struct clite_event *event, char *buf,
		       size_t size, void (*write)(const struct clite_flow *, struct buf *))
{
	const struct clite_flow *f;
	int r;

	if (!buf && size)
		return -EINVAL;
	r = clite_flow_resolve(ctx, event, &f);
	return r ?: flow_write(f, buf, size, write);
}

int clite_event_text(struct clite_ctx *ctx, const struct clite_event *event, char *buf, size_t size)
{
	return event_write(ctx, event, buf, size, flow_text);
}

int clite_event_json(struct clite_ctx *ctx, const struct clite_event *event, char *buf, size_t size)
{
	return event_write(ctx, event, buf, size, flow_json);
}
