/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/metric.h>
#include <cilium-lite/service.h>
#include <stdio.h>

#include "api/ctx.h"
#include "model/names.h"

struct report {
	struct clite_ctx *ctx;
	int (*cb)(const struct clite_metric *metric, void *userdata);
	void *userdata;
	struct dp_counter counters[DP_METRICS];
	int n;
};

#define COUNTER CLITE_METRIC_COUNTER
#define GAUGE CLITE_METRIC_GAUGE

static int tell(struct report *r, const char *name, const char *help, uint32_t type, double value,
		const struct clite_metric_label *labels, uint32_t nlabels)
{
	struct clite_metric m = {
		.sz = sizeof(m),
		.name = name,
		.help = help,
		.labels = labels,
		.nlabels = nlabels,
		.type = type,
		.value = value,
	};
	int ret = CTX_CALL(r->ctx, r->cb(&m, r->userdata));

	if (ret < 0)
		return ret;
	r->n++;
	return 0;
}

static int tell_gauge(struct report *r, const char *name, const char *help, double value)
{
	return tell(r, name, help, GAUGE, value, NULL, 0);
}

/* One with a label. */
static int tell_for(struct report *r, const char *name, const char *help, uint32_t type,
		    double value, const char *label, const char *of)
{
	const struct clite_metric_label l = { .name = label, .value = of };

	return tell(r, name, help, type, value, &l, 1);
}

/* ---- packets ------------------------------------------------------------------- */

static const char *const directions[] = { "UNKNOWN", "INGRESS", "EGRESS", "SERVICE" };

/* The first of Cilium's reasons that mean a drop. */
#define DROP_FIRST 130u

/* Both directions are told from the beginning: a rate needs a first value. */
static int tell_forwarded(struct report *r, const char *name, const char *help, bool bytes)
{
	int ret = 0;

	for (uint32_t dir = 0; !ret && dir < ARRAY_SIZE(directions); dir++) {
		const struct dp_counter *c = &r->counters[dir];

		if (c->packets || dir == CLITE_INGRESS || dir == CLITE_EGRESS)
			ret = tell_for(r, name, help, COUNTER, bytes ? c->bytes : c->packets,
				       "direction", directions[dir]);
	}
	return ret;
}

static int tell_dropped(struct report *r, const char *name, const char *help, bool bytes)
{
	int ret = 0;

	for (uint32_t key = DROP_FIRST << 2; !ret && key < DP_METRICS; key++) {
		const struct dp_counter *c = &r->counters[key];
		const char *text = clite_drop_reason_text(key >> 2);
		char number[16];

		if (!c->packets)
			continue;
		snprintf(number, sizeof(number), "%u", key >> 2);
		const struct clite_metric_label labels[] = {
			{ .name = "direction", .value = directions[key & 3] },
			{ .name = "reason", .value = text ?: number },
		};

		ret = tell(r, name, help, COUNTER, bytes ? c->bytes : c->packets, labels,
			   ARRAY_SIZE(labels));
	}
	return ret;
}

static int packets(struct report *r)
{
	int ret = dp_metrics(r->ctx->dp, r->counters);

	if (!ret)
		ret = tell_dropped(r, "cilium_drop_bytes_total",
				   "Total dropped bytes, by drop reason and direction", true);
	if (!ret)
		ret = tell_dropped(r, "cilium_drop_count_total",
				   "Total dropped packets, by drop reason and direction", false);
	if (!ret)
		ret = tell_forwarded(r, "cilium_forward_bytes_total",
				     "Total forwarded bytes, by direction", true);
	if (!ret)
		ret = tell_forwarded(r, "cilium_forward_count_total",
				     "Total forwarded packets, by direction", false);
	return ret;
}

/* ---- endpoints, identities, policies ---------------------------------------------- */

/* Cilium's names: bit 0 ingress, bit 1 egress, bit 2 audited. */
static const char *const enforcements[] = {
	[0] = "none",	       [1] = "ingress",	     [2] = "egress",	 [3] = "both",
	[5] = "audit-ingress", [6] = "audit-egress", [7] = "audit-both",
};

static uint32_t enforcement_of(const struct clite_ctx *ctx, const struct endpoint *e)
{
	const struct dp_ep_slot *live = &ctx->dp->eps[e->id].slot[ctx->dp->control->epoch & 1];
	uint32_t i = (live->ingress ? 1 : 0) | (live->egress ? 2 : 0);

	return i && (e->audit || ctx->st.settings.audit) ? i | 4 : i;
}

static int tell_enforcement(struct report *r)
{
	uint32_t n[ARRAY_SIZE(enforcements)] = {};
	int ret = 0;

	for (size_t i = 0; i < r->ctx->st.neps; i++)
		n[enforcement_of(r->ctx, r->ctx->st.eps[i])]++;
	for (size_t i = 0; !ret && i < ARRAY_SIZE(enforcements); i++)
		if (enforcements[i])
			ret = tell_for(r, "cilium_policy_endpoint_enforcement_status",
				       "Number of endpoints by policy enforcement status", GAUGE,
				       n[i], "enforcement", enforcements[i]);
	return ret;
}

static int tell_identities(struct report *r)
{
	static const char *const types[] = { "cluster_local", "node_local", "reserved" };
	const struct identities *ids = &r->ctx->st.ids;
	uint32_t n[ARRAY_SIZE(types)] = {};
	int ret = 0;

	for (size_t i = 0; i < ids->n; i++)
		n[ids->v[i]->id < 256 ? 2 : ids->v[i]->id >= 1 << 24 ? 1 : 0]++;
	for (size_t i = 0; !ret && i < ARRAY_SIZE(types); i++)
		ret = tell_for(r, "cilium_identity", "Number of identities currently allocated",
			       GAUGE, n[i], "type", types[i]);
	return ret;
}

static int objects(struct report *r)
{
	const struct clite_ctx *ctx = r->ctx;
	int ret = tell_gauge(r, "cilium_endpoint", "Number of endpoints of the instance",
			     ctx->st.neps);

	/* One that is there is policed: there is no other state. */
	if (!ret)
		ret = tell_for(r, "cilium_endpoint_state", "Number of endpoints by state", GAUGE,
			       ctx->st.neps, "endpoint_state", "ready");
	if (!ret)
		ret = tell_identities(r);
	if (!ret)
		ret = tell_gauge(r, "cilium_policy", "Number of policies in force",
				 ctx->st.npolicies);
	if (!ret)
		ret = tell_enforcement(r);
	if (!ret)
		ret = tell_gauge(r, "cilium_policy_max_revision",
				 "Revision of the instance's state, which policies are a part of",
				 ctx->dp->control->revision);
	return ret;
}

/* ---- services ------------------------------------------------------------------ */

static int tell_backends(struct report *r)
{
	static const char *const states[] = {
		[CLITE_BACKEND_ACTIVE] = "active",
		[CLITE_BACKEND_TERMINATING] = "terminating",
		[CLITE_BACKEND_QUARANTINED] = "quarantined",
		[CLITE_BACKEND_MAINTENANCE] = "maintenance",
	};
	const struct state *st = &r->ctx->st;
	uint32_t n[ARRAY_SIZE(states)] = {};
	int ret = 0;

	for (size_t i = 0; i < st->nservices; i++)
		for (size_t j = 0; j < st->services[i]->nbackends; j++)
			n[st->services[i]->backends[j].state]++;
	for (size_t i = 0; !ret && i < ARRAY_SIZE(states); i++)
		ret = tell_for(r, "cilium_lite_backends",
			       "Number of back ends of all services by state", GAUGE, n[i], "state",
			       states[i]);
	return ret;
}

static int services(struct report *r)
{
	int ret = tell_backends(r);

	return ret   ?:
		       tell_gauge(r, "cilium_lite_services", "Number of services",
				  r->ctx->st.nservices);
}

/* ---- maps ---------------------------------------------------------------------- */

/* Elements of a hash that are counted at most, before the rest is estimated: off by less
 * than 3 %, and done in 5 ms. */
#define SAMPLE 16384

static int count_entry(const void *key, const void *value, void *data)
{
	(void)key;
	(void)value;
	++*(uint64_t *)data;
	return 0;
}

static int entries_estimate(struct clite_ctx *ctx, enum dp_map map, double *ret)
{
	uint64_t n = 0;
	double share;
	int r = dp_sample(ctx->dp, map, SAMPLE, count_entry, &n, &share);

	if (!r)
		*ret = (double)n / share;
	return r;
}

static uint64_t addresses_used(const struct state *st)
{
	uint64_t n = 0;

	for (size_t i = 0; i < st->neps; i++)
		n += (st->eps[i]->v4.family != 0) + (st->eps[i]->v6.family != 0);
	return n;
}

/* An entry of the user's stands for that of the prefix's own identity. */
static uint64_t prefixes_used(const struct state *st)
{
	uint64_t n = st->nuser;

	for (size_t i = 0; i < st->ids.n; i++)
		n += st->ids.v[i]->id >= 1 << 24;
	for (size_t i = 0; i < st->nuser; i++)
		n -= identities_find_cidr(&st->ids, &st->user[i].prefix) != NULL;
	return n;
}

static uint64_t services_sum(const struct state *st, uint64_t (*of)(const struct service *s))
{
	uint64_t n = 0;

	for (size_t i = 0; i < st->nservices; i++)
		n += of(st->services[i]);
	return n;
}

static uint64_t backends_of(const struct service *s)
{
	return s->nbackends;
}

static uint64_t slots_of(const struct service *s)
{
	return s->all.n + s->local.n;
}

static uint64_t sources_of(const struct service *s)
{
	return s->nsources;
}

/* Policies that are in force, or the intervals of ports that they have. */
static uint64_t policies_used(const struct dp *dp, bool ports)
{
	uint64_t n = 0;

	for (uint32_t i = 1; i < dp->map_max[MAP_POLICIES]; i++)
		n += ports ? dp->policies[i].nports : dp->policies[i].nports != 0;
	return n;
}

/* Of the flow tables the entries whose lifetime is not over count: others are written over
 * when there is no room, so in the end all are in use. */
static int entries(struct clite_ctx *ctx, enum dp_map map, double *ret)
{
	const struct state *st = &ctx->st;

	switch (map) {
	case MAP_ADDRESSES:
		*ret = addresses_used(st);
		return 0;
	case MAP_IPCACHE:
		*ret = prefixes_used(st);
		return 0;
	case MAP_ENDPOINTS:
		*ret = st->neps;
		return 0;
	case MAP_SERVICES:
		*ret = st->nservices;
		return 0;
	case MAP_BACKENDS:
		*ret = services_sum(st, backends_of);
		return 0;
	case MAP_SLOTS:
		*ret = services_sum(st, slots_of);
		return 0;
	case MAP_SOURCES:
		*ret = services_sum(st, sources_of) + st->masquerade.n;
		return 0;
	case MAP_POLICIES:
	case MAP_PORTS:
		*ret = policies_used(ctx->dp, map == MAP_PORTS);
		return 0;
	case MAP_FLOW4:
	case MAP_FLOW6:
		return ctx_flows_estimate(ctx, map, SAMPLE, ret);
	default:
		return entries_estimate(ctx, map, ret);
	}
}

/* An estimate may say that there are more than there is room for. */
static int pressure(struct clite_ctx *ctx, enum dp_map map, double *ret)
{
	/* number 0 is nobody's */
	bool from1 = map == MAP_ENDPOINTS || map == MAP_BACKENDS || map == MAP_POLICIES;
	uint32_t max = ctx->dp->map_max[map] - from1;
	double n;
	int r = entries(ctx, map, &n);

	if (!r)
		*ret = n < max ? n / max : 1;
	return r;
}

/* Those that can be full. */
static const enum dp_map bounded[] = {
	MAP_ADDRESSES, MAP_BACKENDS, MAP_ENDPOINTS, MAP_FLOW4,	  MAP_FLOW6,
	MAP_HITS,      MAP_IPCACHE,  MAP_PEERS,	    MAP_POLICIES, MAP_PORTS,
	MAP_SERVICES,  MAP_SLOTS,    MAP_SOURCES,   MAP_STORE,	  MAP_VERDICTS,
};

static int tell_pressure(struct report *r)
{
	double full;
	int ret = 0;

	for (size_t i = 0; !ret && i < ARRAY_SIZE(bounded); i++) {
		ret = pressure(r->ctx, bounded[i], &full);
		if (!ret)
			ret = tell_for(
				r, "cilium_bpf_map_pressure",
				"Entries of a map in use, of those that it has room for; in flow tables those that are alive",
				GAUGE, full, "map_name", dp_map_name(bounded[i]));
	}
	return ret;
}

static int tell_capacity(struct report *r)
{
	struct dp *dp = r->ctx->dp;
	int ret = 0;

	for (int i = 0; !ret && i < MAP_COUNT_; i++)
		if (i < MAP_ALWAYS_ || dp_map_find(dp, i))
			ret = tell_for(r, "cilium_bpf_map_capacity",
				       "Entries that a map has room for", GAUGE, dp->map_max[i],
				       "map_group", dp_map_name(i));
	return ret;
}

static int maps(struct report *r)
{
	int ret = tell_capacity(r);

	if (!ret)
		ret = tell_pressure(r);
	if (!ret)
		ret = tell_gauge(r, "cilium_bpf_maps_virtual_memory_max_bytes",
				 "Kernel memory of the instance's maps, bytes",
				 dp_map_bytes(r->ctx->dp));
	if (!ret)
		ret = tell_gauge(r, "cilium_bpf_progs_virtual_memory_max_bytes",
				 "Kernel memory of the instance's programs, bytes",
				 dp_prog_bytes(r->ctx->dp));
	return ret;
}

/* ---- the rest ------------------------------------------------------------------- */

static int tell_lost(struct report *r)
{
	char slot[16];
	uint64_t n;
	int ret = 0;

	for (uint32_t i = 0; !ret && i < DP_SUBSCRIBERS; i++) {
		snprintf(slot, sizeof(slot), "%u", i);
		ret = dp_lost(r->ctx->dp, i, &n) ?:
						   tell_for(
							   r, "cilium_lite_lost_events_total",
							   "Events that found no room in a subscriber's ring, by its slot",
							   COUNTER, n, "slot", slot);
	}
	return ret;
}

static const char *architecture(void)
{
	/* Cilium's are Go's names. */
#if defined(__x86_64__)
	return "amd64";
#elif defined(__aarch64__)
	return "arm64";
#elif defined(__riscv) && __riscv_xlen == 64
	return "riscv64";
#else
	return "unknown";
#endif
}

static int tell_instance(struct report *r)
{
	const struct dp_control *control = r->ctx->dp->control;
	char layout[16];

	snprintf(layout, sizeof(layout), "%u", control->layout);
	const struct clite_metric_label labels[] = {
		{ .name = "attach",
		  .value = control->flags & DP_CONTROL_CLSACT ? "clsact" : "tcx" },
		{ .name = "layout", .value = layout },
		{ .name = "name", .value = r->ctx->dp->name },
	};

	return tell(r, "cilium_lite_instance_info",
		    "The instance: how it is attached, the layout of its maps, its name", GAUGE, 1,
		    labels, ARRAY_SIZE(labels));
}

static int instance(struct report *r)
{
	const struct clite_metric_label version[] = {
		{ .name = "arch", .value = architecture() },
		{ .name = "version", .value = clite_version_string() },
	};
	int ret = tell_gauge(r, "cilium_lite_cgroups", "Cgroups whose sockets find services",
			     r->ctx->st.ncgroups);

	if (!ret)
		ret = tell_gauge(r, "cilium_lite_devices", "Uplinks that are attached",
				 r->ctx->st.ndevices);
	if (!ret)
		ret = tell_instance(r);
	if (!ret)
		ret = tell_lost(r);
	if (!ret)
		ret = tell_gauge(r, "cilium_lite_subscribers", "Live subscribers to events",
				 ring_count(r->ctx->dp));
	return ret   ?:
		       tell(r, "cilium_version", "Version of the library", GAUGE, 1, version,
			    ARRAY_SIZE(version));
}

int clite_metric_list(struct clite_ctx *ctx,
		      int (*cb)(const struct clite_metric *metric, void *userdata), void *userdata)
{
	static int (*const parts[])(struct report * r) = { packets, objects, services, maps,
							   instance };
	struct report r = { .ctx = ctx, .cb = cb, .userdata = userdata };
	int ret = cb ? ctx_read(ctx) : -EINVAL;

	for (size_t i = 0; !ret && i < ARRAY_SIZE(parts); i++)
		ret = parts[i](&r);
	return ret ?: r.n;
}
