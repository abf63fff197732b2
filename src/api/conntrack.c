/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <cilium-lite/conntrack.h>
#include <stdio.h>

#include "api/ctx.h"

/* A key of either family, read as IPv6's. */
static void key_read(const void *key, uint8_t family, struct dp_flow6_key *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (family == 6) {
		memcpy(ret, key, sizeof(*ret));
	} else {
		struct dp_flow4_key k;

		memcpy(&k, key, sizeof(k));
		ret->saddr.v4 = k.saddr;
		ret->daddr.v4 = k.daddr;
		ret->sport = k.sport;
		ret->dport = k.dport;
		ret->ifindex = k.ifindex;
		ret->proto = k.proto;
		ret->scope = k.scope;
	}
}

struct listing {
	struct clite_ctx *ctx;
	uint8_t family;
	uint64_t now;
	int (*cb)(const struct clite_ct_info *info, void *userdata);
	void *userdata;
	int n;
};

static bool is_stale(const struct dp *dp, const struct dp_flow *f)
{
	uint32_t live = dp->control->epoch & 1;

	return dp->eps[f->src_ep].slot[live].gen != f->src_gen ||
	       dp->eps[f->dst_ep].slot[live].gen != f->dst_gen ||
	       (f->service && dp->service_gens[f->service].v != f->service_gen);
}

static bool end_gone(const struct dp_ep *ep, uint32_t gen)
{
	return !(ep->flags & DP_EP_USED) || (gen && (int32_t)(gen - ep->born) < 0);
}

/* A flow of an endpoint that is no more, as the datapath sees it. */
static bool is_gone(const struct dp *dp, const struct dp_flow *f)
{
	if (f->src_ep >= dp->map_max[MAP_ENDPOINTS] || f->dst_ep >= dp->map_max[MAP_ENDPOINTS] ||
	    f->service >= dp->map_max[MAP_SERVICE_GENS])
		return true;
	return (f->src_ep && end_gone(&dp->eps[f->src_ep], f->src_gen)) ||
	       (f->dst_ep && end_gone(&dp->eps[f->dst_ep], f->dst_gen));
}

static uint32_t flags_of(const struct dp *dp, const struct dp_flow *f)
{
	return (f->flags & DP_FLOW_REPLY ? CLITE_CT_REPLY : 0) |
	       (f->flags & DP_FLOW_NAT ? CLITE_CT_NAT : 0) |
	       (f->flags & DP_FLOW_TCP_OPEN ? CLITE_CT_SEEN_NON_SYN : 0) |
	       (f->flags & DP_FLOW_CLOSING ? CLITE_CT_CLOSING : 0) |
	       (f->dsr ? CLITE_CT_DSR : 0) |
	       (is_stale(dp, f) ? CLITE_CT_STALE : 0);
}

/* The datapath would treat it as absent. */
static bool is_over(const struct dp *dp, const struct dp_flow *f, uint64_t now)
{
	return (int64_t)(now - f->seen) > (int64_t)f->lifetime || is_gone(dp, f);
}

static int list_one(const void *key, const void *value, void *data)
{
	char text[4][PREFIX_STR] = {};
	struct listing *l = data;
	const struct dp *dp = l->ctx->dp;
	struct dp_flow6_key k;
	struct dp_flow f;
	int64_t idle;

	key_read(key, l->family, &k);
	memcpy(&f, value, sizeof(f));
	if (is_over(dp, &f, l->now))
		return 0;
	idle = (int64_t)(l->now - f.seen);
	addr_format(k.saddr.b, l->family, text[0]);
	addr_format(k.daddr.b, l->family, text[1]);
	if (f.flags & DP_FLOW_NAT) {
		addr_format(f.nat_saddr.b, l->family, text[2]);
		addr_format(f.nat_daddr.b, l->family, text[3]);
	}
	struct clite_ct_info info = {
		.sz = sizeof(info),
		.source = text[0],
		.destination = text[1],
		.nat_source = text[2],
		.nat_destination = text[3],
		.protocol = k.proto,
		.source_port = ntohs(k.sport),
		.destination_port = ntohs(k.dport),
		.nat_source_port = f.flags & DP_FLOW_NAT ? ntohs(f.nat_sport) : 0,
		.nat_destination_port = f.flags & DP_FLOW_NAT ? ntohs(f.nat_dport) : 0,
		.flags = flags_of(dp, &f),
		.tcp_flags = f.tcp_seen,
		.source_endpoint = f.src_ep,
		.destination_endpoint = f.dst_ep,
		.source_identity = f.src_identity,
		.destination_identity = f.dst_identity,
		.egress_rule = f.egress_rule,
		.ingress_rule = f.ingress_rule,
		.service = f.service,
		.expires = ((int64_t)f.lifetime - (idle > 0 ? idle : 0)) / dp->hz,
		.packets = f.packets,
		.bytes = f.bytes,
	};
	l->n++;
	return CTX_CALL(l->ctx, l->cb(&info, l->userdata));
}

int clite_conntrack_list(struct clite_ctx *ctx,
			 int (*cb)(const struct clite_ct_info *info, void *userdata),
			 void *userdata)
{
	struct listing l = { .ctx = ctx, .family = 4, .cb = cb, .userdata = userdata };
	int r = cb ? ctx_enter(ctx) : -EINVAL;

	if (r)
		return r;
	l.now = dp_jiffies(ctx->dp);
	r = dp_walk(ctx->dp, MAP_FLOW4, list_one, &l);
	l.family = 6;
	if (!r)
		r = dp_walk(ctx->dp, MAP_FLOW6, list_one, &l);
	return r < 0 ? r : l.n;
}

/* ---- count ---------------------------------------------------------------------- */

struct counting {
	const struct dp *dp;
	uint64_t now, n;
};

static int count_one(const void *key, const void *value, void *data)
{
	struct counting *c = data;
	struct dp_flow f;

	(void)key;
	memcpy(&f, value, sizeof(f));
	if (!is_over(c->dp, &f, c->now))
		c->n++;
	return 0;
}

int ctx_flows_estimate(struct clite_ctx *ctx, enum dp_map map, uint64_t sample, double *ret)
{
	struct counting c = { .dp = ctx->dp, .now = dp_jiffies(ctx->dp) };
	double share;
	int r = dp_sample(ctx->dp, map, sample, count_one, &c, &share);

	if (!r)
		*ret = (double)c.n / share;
	return r;
}

/* ---- flush -------------------------------------------------------------------- */

struct flushing {
	uint32_t endpoint;
	size_t key_size;
	char *keys;
	size_t n, cap;
};

static int flush_collect(const void *key, const void *value, void *data)
{
	struct flushing *fl = data;
	struct dp_flow f;

	memcpy(&f, value, sizeof(f));
	if (fl->endpoint && f.src_ep != fl->endpoint && f.dst_ep != fl->endpoint)
		return 0;
	if (!array_grow_((void **)&fl->keys, &fl->cap, fl->n, fl->key_size))
		return -ENOMEM;
	memcpy(fl->keys + fl->n++ * fl->key_size, key, fl->key_size);
	return 0;
}

static int flush(struct clite_ctx *ctx, enum dp_map map, size_t key_size, uint32_t endpoint)
{
	struct flushing fl = { .endpoint = endpoint, .key_size = key_size };
	int r = dp_walk(ctx->dp, map, flush_collect, &fl);

	if (!r) {
		dp_delete_batch(ctx->dp, map, fl.keys, fl.n);
		r = fl.n;
	}
	free(fl.keys);
	return r;
}

int clite_conntrack_flush(struct clite_ctx *ctx, uint32_t endpoint)
{
	int r = ctx_read(ctx), n;

	if (r)
		return r;
	if (endpoint && !state_endpoint(&ctx->st, endpoint))
		return err_set(&ctx->err, ENOENT, "there is no endpoint %u", endpoint);
	n = flush(ctx, MAP_FLOW4, sizeof(struct dp_flow4_key), endpoint);
	if (n < 0)
		return n;
	r = flush(ctx, MAP_FLOW6, sizeof(struct dp_flow6_key), endpoint);
	return r < 0 ? r : n + r;
}
