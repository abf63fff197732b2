/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/endpoint.h>
#include <net/if.h>
#include <stdio.h>

#include "api/ctx.h"

/* ---- add, remove ------------------------------------------------------------- */

static int address(struct clite_ctx *ctx, const char *text, uint8_t family, struct prefix *ret)
{
	if (!text)
		return 0;
	if (addr_parse(text, ret) || ret->family != family)
		return err_set(&ctx->err, EINVAL, "'%s' is no IPv%u address", text, family);
	return 0;
}

static int spec_fill(struct clite_ctx *ctx, const char *device, const struct clite_endpoint_opts *o,
		     uint8_t mac[6], struct endpoint_spec *spec)
{
	int r = address(ctx, o->ipv4, 4, &spec->v4);

	if (!r)
		r = address(ctx, o->ipv6, 6, &spec->v6);
	if (r)
		return r;
	if (!spec->v4.family && !spec->v6.family)
		return err_set(&ctx->err, EINVAL,
			       "an endpoint needs an address: give ipv4, ipv6 or both");
	if (o->mac && mac_parse(o->mac, mac))
		return err_set(&ctx->err, EINVAL,
			       "'%s' is no hardware address: write it as 02:00:00:00:00:01",
			       o->mac);
	if (o->reserved)
		return err_set(&ctx->err, EINVAL, "reserved is not 0");
	spec->ifindex = if_nametoindex(device);
	if (!spec->ifindex)
		return err_set(&ctx->err, ENODEV, "there is no device '%s' here", device);
	spec->mac = o->mac ? mac : NULL;
	spec->name = o->name && *o->name ? o->name : device;
	spec->id = o->id;
	for (size_t i = 0; o->ports && o->ports[i]; i++) {
		r = named_ports_add(&spec->ports, o->ports[i], &ctx->err);
		if (r)
			return r;
	}
	return labels_parse(o->labels, &spec->labels, &ctx->err);
}

int clite_endpoint_add(struct clite_ctx *ctx, const char *device,
		       const struct clite_endpoint_opts *opts, uint32_t *ret_id)
{
	struct clite_endpoint_opts o;
	struct endpoint_spec spec = {};
	uint8_t mac[6];
	uint32_t id;
	int r;

	if (!ctx || !device || opts_copy(&o, sizeof(o), opts))
		return -EINVAL;
	r = ctx_begin(ctx);
	if (r)
		return r;
	r = spec_fill(ctx, device, &o, mac, &spec);
	if (!r)
		r = endpoint_add(&ctx->st, &spec, &id, &ctx->err);
	labels_clear(&spec.labels);
	named_ports_clear(&spec.ports);
	if (!r && ret_id)
		*ret_id = id;
	return ctx_end(ctx, r);
}

int clite_endpoint_remove(struct clite_ctx *ctx, uint32_t id)
{
	int r = ctx_begin(ctx);

	return r ?: ctx_end(ctx, endpoint_remove(&ctx->st, id, &ctx->err));
}

int clite_endpoint_set_audit(struct clite_ctx *ctx, uint32_t id, uint32_t on)
{
	int r = ctx_begin(ctx);

	if (r)
		return r;
	r = on > 1 ? err_set(&ctx->err, EINVAL, "audit %u is neither 0 nor 1", on) :
		     endpoint_audit(&ctx->st, id, on, &ctx->err);
	return ctx_end(ctx, r);
}

/* ---- looking ------------------------------------------------------------------- */

struct endpoint_lent {
	struct clite_endpoint_info info;
	char device[IF_NAMESIZE];
	char ipv4[PREFIX_STR];
	char ipv6[PREFIX_STR];
	char mac[18];
};

static void info_fill(struct clite_ctx *ctx, const struct endpoint *e, struct endpoint_lent *l)
{
	const struct dp_ep *ep = &ctx->dp->eps[e->id];
	const struct dp_ep_slot *live = &ep->slot[ctx->dp->control->epoch & 1];
	static const char *const none[] = { NULL };
	static const uint8_t unknown[6];

	if (!if_indextoname(e->ifindex, l->device))
		l->device[0] = '\0';
	l->ipv4[0] = l->ipv6[0] = l->mac[0] = '\0';
	if (e->v4.family)
		addr_format(e->v4.ip, 4, l->ipv4);
	if (e->v6.family)
		addr_format(e->v6.ip, 6, l->ipv6);
	if (memcmp(ep->mac, unknown, sizeof(unknown)))
		snprintf(l->mac, sizeof(l->mac), "%02x:%02x:%02x:%02x:%02x:%02x", ep->mac[0],
			 ep->mac[1], ep->mac[2], ep->mac[3], ep->mac[4], ep->mac[5]);
	l->info = (struct clite_endpoint_info){
		.sz = sizeof(l->info),
		.id = e->id,
		.identity = e->identity->id,
		.ifindex = e->ifindex,
		.ingress_enforced = live->ingress != 0,
		.egress_enforced = live->egress != 0,
		.name = e->name,
		.device = l->device,
		.ipv4 = l->ipv4,
		.ipv6 = l->ipv6,
		.mac = l->mac,
		.labels = (const char *const *)e->identity->labels.text,
		.ports = e->ports.n ? (const char *const *)e->ports.text : none,
		.audit = e->audit,
	};
}

int clite_endpoint_get(struct clite_ctx *ctx, uint32_t id, const struct clite_endpoint_info **ret)
{
	const struct endpoint *e;
	struct endpoint_lent *l;
	int r = ret ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	e = state_endpoint(&ctx->st, id);
	if (!e)
		return err_set(&ctx->err, ENOENT, "there is no endpoint %u", id);
	l = calloc(1, sizeof(*l));
	r = ctx_lend(ctx, l);
	if (r)
		return r;
	info_fill(ctx, e, l);
	*ret = &l->info;
	return 0;
}

static bool is_called(const struct endpoint *e, const char *what, const struct prefix *addr,
		      uint32_t ifindex)
{
	if (addr->family)
		return !prefix_cmp(&e->v4, addr) || !prefix_cmp(&e->v6, addr);
	return !strcmp(e->name, what) || (ifindex && e->ifindex == ifindex);
}

int clite_endpoint_find(struct clite_ctx *ctx, const char *what, uint32_t *ret_id)
{
	struct prefix addr = {};
	int r = what && ret_id ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	if (addr_parse(what, &addr))
		addr.family = 0;
	for (size_t i = 0; i < ctx->st.neps; i++)
		if (is_called(ctx->st.eps[i], what, &addr, if_nametoindex(what))) {
			*ret_id = ctx->st.eps[i]->id;
			return 0;
		}
	return err_set(&ctx->err, ENOENT, "there is no endpoint with name, address or device '%s'",
		       what);
}

int clite_endpoint_list(struct clite_ctx *ctx,
			int (*cb)(const struct clite_endpoint_info *info, void *userdata),
			void *userdata)
{
	struct endpoint_lent l;
	int r = cb ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	for (size_t i = 0; i < ctx->st.neps; i++) {
		info_fill(ctx, ctx->st.eps[i], &l);
		r = CTX_CALL(ctx, cb(&l.info, userdata));
		if (r < 0)
			return r;
	}
	return ctx->st.neps;
}
