/* SPDX-License-Identifier: BSD-2-Clause */
#include <net/if.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "api/ctx.h"

/* ---- entering ------------------------------------------------------------- */

int ctx_enter(struct clite_ctx *ctx)
{
	struct stat st;

	if (!ctx)
		return -EINVAL;
	if (ctx->pid != getpid())
		return -ECHILD;
	if (ctx->walking)
		return -EDEADLK;
	err_clear(&ctx->err);
	if (!ctx->gone && ctx->dp->lock_fd >= 0 && !fstat(ctx->dp->lock_fd, &st) && !st.st_nlink)
		ctx->gone = true;
	if (ctx->gone)
		return err_set(&ctx->err, ESTALE, "instance '%s' was destroyed", ctx->dp->name);
	return 0;
}

int ctx_read(struct clite_ctx *ctx)
{
	int r = ctx_enter(ctx);

	return r ?: state_refresh(&ctx->st, &ctx->err);
}

int ctx_begin(struct clite_ctx *ctx)
{
	int r = ctx_enter(ctx);

	return r ?: state_begin(&ctx->st, &ctx->err);
}

int ctx_end(struct clite_ctx *ctx, int ret)
{
	state_end(&ctx->st, ret >= 0);
	if (ret == -ENOMEM && !ctx->err.text)
		err_set(&ctx->err, ENOMEM, "no memory");
	return ret;
}

static void lent_clear(struct clite_ctx *ctx)
{
	if (ctx->lent)
		ctx->lent_free(ctx->lent);
	ctx->lent = NULL;
}

int ctx_lend_whole(struct clite_ctx *ctx, void *memory, void (*destroy)(void *memory))
{
	if (!memory)
		return -ENOMEM;
	lent_clear(ctx);
	ctx->lent = memory;
	ctx->lent_free = destroy;
	return 0;
}

int ctx_lend(struct clite_ctx *ctx, void *memory)
{
	return ctx_lend_whole(ctx, memory, free);
}

/* ---- lists of prefixes --------------------------------------------------------- */

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

int prefixes_parse(const char *const *texts, const char *what, struct prefix **ret, size_t *ret_n,
		   struct errtext *err)
{
	_cleanup_free_ struct prefix *p = NULL;
	size_t n = 0, kept = 0;

	while (texts && texts[n])
		n++;
	p = calloc(n ?: 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (prefix_parse(texts[i], &p[i]))
			return err_set(err, EINVAL, "%s '%s': not a prefix (ADDRESS/LENGTH without bits beyond the length)",
				       what, texts[i]);
	qsort(p, n, sizeof(*p), by_prefix);
	for (size_t i = 0; i < n; i++)
		if (!i || prefix_cmp(&p[kept - 1], &p[i]))
			p[kept++] = p[i];
	*ret = TAKE_PTR(p);
	*ret_n = kept;
	return 0;
}

/* ---- what settings may be ----------------------------------------------------- */

static int config_check(const struct clite_config *c, struct settings *ret, struct errtext *err)
{
	if (c->enforcement > CLITE_ENFORCE_NEVER)
		return err_set(err, EINVAL, "enforcement %u: 0 default, 1 always or 2 never",
			       c->enforcement);
	if (c->allow_localhost > 1 || c->audit > 1)
		return err_set(err, EINVAL, "%s %u is neither 0 nor 1",
			       c->audit > 1 ? "audit" : "allow_localhost",
			       c->audit > 1 ? c->audit : c->allow_localhost);
	if (c->reserved)
		return err_set(err, EINVAL, "reserved is not 0");
	*ret = (struct settings){
		.enforcement = c->enforcement,
		.localhost = c->allow_localhost,
		.audit = c->audit,
	};
	return 0;
}

/* ---- open, close ------------------------------------------------------------ */

/* Cilium's: above the NodePorts. */
#define SNAT_FIRST 32768
#define SNAT_LAST 65535

#define OPEN_FLAGS                                                                                \
	(CLITE_OPEN_CREATE | CLITE_OPEN_EXCLUSIVE | CLITE_OPEN_EPHEMERAL | CLITE_OPEN_CLSACT |    \
	 CLITE_OPEN_MOUNT_BPFFS | CLITE_OPEN_NEIGH)

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= 63 &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

static int size_check(uint32_t *n, uint32_t preset, uint32_t max, const char *what,
		      struct errtext *err)
{
	if (!*n)
		*n = preset;
	if (*n > max)
		return err_set(err, EINVAL, "%s: %u is too many, at most %u", what, *n, max);
	return 0;
}

static int params_fill(const char *name, struct clite_open_opts *o, struct settings *s,
		       struct dp_params *p, struct errtext *err)
{
	struct clite_config config;
	int r;

	if (o->flags & ~OPEN_FLAGS)
		return err_set(err, EINVAL, "unknown flags 0x%x", o->flags & ~OPEN_FLAGS);
	if (!name && !(o->flags & CLITE_OPEN_EPHEMERAL))
		return err_set(err, EINVAL, "an instance that is not ephemeral needs a name");
	if (name && !name_ok(name))
		return err_set(err, EINVAL,
			       "'%s' is no name for an instance: 1 to 63 of A-Z a-z 0-9 _ - (the bpf file system takes no dots)",
			       name);
	if (o->flags & CLITE_OPEN_EPHEMERAL &&
	    o->flags & (CLITE_OPEN_EXCLUSIVE | CLITE_OPEN_MOUNT_BPFFS))
		return err_set(err, EINVAL,
			       "an ephemeral instance is always new and pins nothing: neither EXCLUSIVE nor MOUNT_BPFFS fits");
	r = size_check(&o->flows4, 131072, 1 << 26, "flows4", err);
	if (!r)
		r = size_check(&o->flows6, 65536, 1 << 26, "flows6", err);
	if (!r)
		r = size_check(&o->endpoints, 4095, 65535, "endpoints", err);
	if (!r)
		r = size_check(&o->services, 16384, 1 << 20, "services", err);
	if (!r)
		r = size_check(&o->backends, o->services > 16384 ? 4 * o->services : 65535,
			       1 << 24, "backends", err);
	if (!r)
		r = size_check(&o->policies, 8192, 1 << 20, "policies", err);
	if (!o->snat_first && !o->snat_last) {
		o->snat_first = SNAT_FIRST;
		o->snat_last = SNAT_LAST;
	}
	if (!r && (!o->snat_first || o->snat_last < o->snat_first))
		r = err_set(err, EINVAL, "ports %u to %u for translated sources: not a range",
			    o->snat_first, o->snat_last);
	if (!r && opts_copy(&config, sizeof(config), o->config))
		r = err_set(err, EINVAL, "config: its sz is wrong, or it says what is not known");
	if (!r)
		r = config_check(&config, s, err);
	*p = (struct dp_params){
		.name = name,
		.bpffs = o->bpffs,
		.create = o->flags & CLITE_OPEN_CREATE,
		.exclusive = o->flags & CLITE_OPEN_EXCLUSIVE,
		.ephemeral = o->flags & CLITE_OPEN_EPHEMERAL,
		.clsact = o->flags & CLITE_OPEN_CLSACT,
		.mount = o->flags & CLITE_OPEN_MOUNT_BPFFS,
		.neigh = o->flags & CLITE_OPEN_NEIGH,
		.flows4 = o->flows4,
		.flows6 = o->flows6,
		.endpoints = o->endpoints,
		.services = o->services,
		.backends = o->backends,
		.snat_first = o->snat_first,
		.snat_last = o->snat_last,
		.policies = o->policies,
		.settings = s,
		.settings_size = sizeof(*s),
	};
	return r;
}

static int loop_open(struct clite_ctx *ctx, struct errtext *err)
{
	struct epoll_event ev = { .events = EPOLLIN }, soon = { .events = EPOLLIN };

	ctx->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ev.data.fd = ctx->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	soon.data.fd = ctx->soon_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (ctx->epoll_fd < 0 || ctx->timer_fd < 0 || ctx->soon_fd < 0 ||
	    epoll_ctl(ctx->epoll_fd, EPOLL_CTL_ADD, ctx->timer_fd, &ev) < 0 ||
	    epoll_ctl(ctx->epoll_fd, EPOLL_CTL_ADD, ctx->soon_fd, &soon) < 0)
		return err_set(err, errno, "cannot make an event loop: %s", strerror(errno));
	return 0;
}

static int ctx_open(const char *name, struct clite_open_opts *o, struct clite_ctx **ret,
		    struct errtext *err)
{
	struct clite_ctx *ctx = calloc(1, sizeof(*ctx));
	struct settings settings;
	struct dp_params p;
	int r;

	if (!ctx)
		return -ENOMEM;
	ctx->refs = 1;
	ctx->pid = getpid();
	ctx->epoll_fd = ctx->timer_fd = ctx->soon_fd = -1;
	r = params_fill(name, o, &settings, &p, err);
	if (!r)
		r = dp_open(&p, &ctx->dp, err);
	if (!r) {
		ctx->st.dp = ctx->dp;
		r = loop_open(ctx, err);
	}
	if (!r)
		r = state_refresh(&ctx->st, err);
	if (r) {
		clite_close(ctx);
		return r;
	}
	*ret = ctx;
	return 0;
}

int clite_open(const char *name, const struct clite_open_opts *opts, struct clite_ctx **ret)
{
	struct clite_open_opts o;
	struct errtext err = {};
	int r = opts_copy(&o, sizeof(o), opts);

	if (r || !ret)
		return -EINVAL;
	r = ctx_open(name, &o, ret, &err);
	if (r && o.errbuf && o.errbuf_size)
		snprintf(o.errbuf, o.errbuf_size, "%s", err.text ?: clite_strerror(r));
	err_clear(&err);
	return r;
}

struct clite_ctx *clite_ref(struct clite_ctx *ctx)
{
	if (ctx)
		ctx->refs++;
	return ctx;
}

struct clite_ctx *clite_close(struct clite_ctx *ctx)
{
	if (!ctx || --ctx->refs)
		return NULL;
	if (ctx->dp) {
		state_clear(&ctx->st);
		/* In a child the attachments are the parent's. */
		if (ctx->pid != getpid())
			ctx->dp->nlinks = ctx->dp->ncgroup_links = 0;
		dp_close(ctx->dp);
	}
	closep(&ctx->epoll_fd);
	closep(&ctx->timer_fd);
	closep(&ctx->soon_fd);
	lent_clear(ctx);
	err_clear(&ctx->err);
	flow_record_clear(&ctx->flow);
	free(ctx);
	return NULL;
}

int clite_destroy(struct clite_ctx *ctx)
{
	int r = ctx_begin(ctx);

	if (r)
		return r;
	for (size_t i = 0; i < ctx->st.neps; i++) {
		dp_detach(ctx->dp, PROG_FROM_ENDPOINT, ctx->st.eps[i]->ifindex);
		dp_detach(ctx->dp, PROG_TO_ENDPOINT, ctx->st.eps[i]->ifindex);
	}
	for (size_t i = 0; i < ctx->st.ndevices; i++)
		uplink_detach(ctx->dp, ctx->st.devices[i].ifindex);
	for (size_t i = 0; i < ctx->st.ncgroups; i++)
		dp_cgroup_detach(ctx->dp, ctx->st.cgroups[i].id);
	subscriptions_orphan(ctx);
	r = dp_destroy(ctx->dp, &ctx->err);
	if (r)
		return ctx_end(ctx, r);
	ctx->gone = true;
	dp_unlock(ctx->dp);
	state_clear(&ctx->st);
	return 0;
}

const char *clite_error(struct clite_ctx *ctx)
{
	return ctx && ctx->err.text ? ctx->err.text : "";
}

const char *clite_name(struct clite_ctx *ctx)
{
	return ctx ? ctx->dp->name : "";
}

int clite_fd(struct clite_ctx *ctx)
{
	if (!ctx)
		return -EINVAL;
	return ctx->pid != getpid() ? -ECHILD : ctx->epoll_fd;
}

/* ---- status ------------------------------------------------------------------- */

static uint32_t tables_in_force(struct clite_ctx *ctx)
{
	struct dp *dp = ctx->dp;
	uint32_t n = 0;

	for (uint32_t i = 1; i < dp->map_max[MAP_POLICIES]; i++)
		if (dp->policies[i].nports)
			n++;
	return n;
}

static void device_count(struct clite_ctx *ctx, uint32_t ifindex, struct clite_status *s)
{
	if (!dp_attached(ctx->dp, PROG_FROM_XDP, ifindex))
		return;
	if (dp_xdp_generic(ifindex))
		s->xdp_generic++;
	else
		s->xdp_native++;
}

int clite_status(struct clite_ctx *ctx, const struct clite_status **ret)
{
	struct dp_counter metrics[DP_METRICS] = {};
	struct clite_status *s;
	int r;

	if (!ctx || !ret)
		return -EINVAL;
	r = ctx_read(ctx) ?: dp_metrics(ctx->dp, metrics);
	if (r)
		return r;
	s = &ctx->status;
	*s = (struct clite_status){
		.sz = sizeof(*s),
		.name = ctx->dp->name,
		.path = ctx->dp->path ?: "",
		.attach = ctx->dp->control->flags & DP_CONTROL_CLSACT ? "clsact" : "tcx",
		.ephemeral = !ctx->dp->path,
		.layout = ctx->dp->control->layout,
		.revision = ctx->dp->control->revision,
		.endpoints = ctx->st.neps,
		.policies = ctx->st.npolicies,
		.policy_tables = tables_in_force(ctx),
		.services = ctx->st.nservices,
		.subscribers = ring_count(ctx->dp),
		.map_bytes = dp_map_bytes(ctx->dp),
		.flows4_max = ctx->dp->map_max[MAP_FLOW4],
		.flows6_max = ctx->dp->map_max[MAP_FLOW6],
		.devices = ctx->st.ndevices,
		.neigh = !!(ctx->dp->control->flags & DP_CONTROL_NEIGH),
		.cgroups = ctx->st.ncgroups,
	};
	for (size_t i = 0; i < ctx->st.ndevices; i++)
		device_count(ctx, ctx->st.devices[i].ifindex, s);
	for (size_t i = 0; i < ctx->st.ids.n; i++)
		if (ctx->st.ids.v[i]->id >= 256)
			s->identities++;
	for (uint32_t key = 0; key < DP_METRICS; key++)
		*(key >> 2 ? &s->dropped : &s->forwarded) += metrics[key].packets;
	*ret = s;
	return 0;
}

int clite_counter_list(struct clite_ctx *ctx,
		       int (*cb)(const struct clite_counter_info *info, void *userdata),
		       void *userdata)
{
	struct dp_counter metrics[DP_METRICS] = {};
	int r = cb ? ctx_enter(ctx) : -EINVAL, n = 0;

	if (r)
		return r;
	r = dp_metrics(ctx->dp, metrics);
	if (r)
		return r;
	for (uint32_t key = 0; key < DP_METRICS; key++) {
		struct clite_counter_info info = {
			.sz = sizeof(info),
			.reason = key >> 2,
			.direction = key & 3,
			.packets = metrics[key].packets,
			.bytes = metrics[key].bytes,
		};

		if (!info.packets)
			continue;
		r = CTX_CALL(ctx, cb(&info, userdata));
		if (r < 0)
			return r;
		n++;
	}
	return n;
}

/* ---- without a context ---------------------------------------------------------- */

int clite_probe(int (*cb)(const struct clite_feature *feature, void *userdata), void *userdata)
{
	struct probe_result p[PROBE_MAX];
	size_t n;
	int r = 0;

	if (!cb)
		return -EINVAL;
	n = probe_all(p);
	for (size_t i = 0; i < n; i++) {
		struct clite_feature f = {
			.sz = sizeof(f),
			.name = p[i].name,
			.reason = p[i].reason ?: "",
			.present = p[i].present,
			.required = p[i].required,
		};

		if (r >= 0)
			r = cb(&f, userdata);
		free(p[i].reason);
	}
	return r < 0 ? r : (int)n;
}

int clite_instance_list(const char *bpffs, int (*cb)(const char *name, void *userdata),
			void *userdata)
{
	return cb ? dp_instances(bpffs, cb, userdata, NULL) : -EINVAL;
}

/* ---- uplinks ---------------------------------------------------------------------- */

static int device_begin(struct clite_ctx *ctx, const char *device, uint32_t *ret_ifindex)
{
	int r = ctx && device ? ctx_begin(ctx) : -EINVAL;

	if (r)
		return r;
	*ret_ifindex = if_nametoindex(device);
	if (*ret_ifindex)
		return 0;
	return ctx_end(ctx, err_set(&ctx->err, ENODEV, "there is no device '%s' here", device));
}

static int source_fill(const char *text, uint8_t family, struct prefix *ret, struct errtext *err)
{
	if (!text)
		return 0;
	if (prefix_parse(text, ret) || ret->family != family || !ret->len)
		return err_set(err, EINVAL, "source%u '%s': an IPv%u address, or a prefix for many",
			       family, text, family);
	return 0;
}

#define DEVICE_XDP (CLITE_DEVICE_XDP | CLITE_DEVICE_XDP_GENERIC)
#define DEVICE_FLAGS (DEVICE_XDP | CLITE_DEVICE_DSR)

static int xdp_fill(struct clite_ctx *ctx, const struct clite_device_opts *o, struct dp_xdp *ret)
{
	struct errtext *err = &ctx->err;
	int r;

	if (o->flags & ~DEVICE_FLAGS)
		return err_set(err, EINVAL, "unknown flags 0x%x", o->flags & ~DEVICE_FLAGS);
	if (o->flows4 > 1 << 26 || o->flows6 > 1 << 26)
		return err_set(err, EINVAL, "flows%s: %u is too many, at most %u",
			       o->flows4 > 1 << 26 ? "4" : "6",
			       o->flows4 > 1 << 26 ? o->flows4 : o->flows6, 1u << 26);
	if (o->reserved || o->reserved2)
		return err_set(err, EINVAL, "reserved is not 0");
	*ret = (struct dp_xdp){
		.generic = o->flags & CLITE_DEVICE_XDP_GENERIC,
		.dsr = o->flags & CLITE_DEVICE_DSR,
		.flows4 = o->flows4,
		.flows6 = o->flows6,
		.new_flows = o->new_flows,
		.gue_port = o->gue_port,
	};
	r = source_fill(o->source4, 4, &ret->source4, err);
	return r ?: source_fill(o->source6, 6, &ret->source6, err);
}

int clite_device_attach_opts(struct clite_ctx *ctx, const char *device,
			     const struct clite_device_opts *opts)
{
	struct clite_device_opts o;
	struct dp_xdp xdp;
	uint32_t ifindex;
	int r;

	if (opts_copy(&o, sizeof(o), opts))
		return -EINVAL;
	r = device_begin(ctx, device, &ifindex);
	if (r)
		return r;
	r = xdp_fill(ctx, &o, &xdp);
	if (!r)
		r = device_add(&ctx->st, ifindex, &xdp, o.flags & DEVICE_XDP, &ctx->err);
	return ctx_end(ctx, r);
}

int clite_device_attach(struct clite_ctx *ctx, const char *device)
{
	return clite_device_attach_opts(ctx, device, NULL);
}

int clite_device_detach(struct clite_ctx *ctx, const char *device)
{
	uint32_t ifindex;
	int r = device_begin(ctx, device, &ifindex);

	return r ?: ctx_end(ctx, device_remove(&ctx->st, ifindex, &ctx->err));
}

/* ---- settings --------------------------------------------------------------------- */

int clite_config_get(struct clite_ctx *ctx, struct clite_config *ret)
{
	struct clite_config now;
	int r = ret && ret->sz >= sizeof(size_t) && ret->sz <= sizeof(now) ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	now = (struct clite_config){
		.sz = ret->sz,
		.enforcement = ctx->st.settings.enforcement,
		.allow_localhost = ctx->st.settings.localhost,
		.audit = ctx->st.settings.audit,
	};
	/* A caller of an older header knows fewer of them. */
	memcpy(ret, &now, ret->sz);
	return 0;
}

int clite_config_set(struct clite_ctx *ctx, const struct clite_config *config)
{
	struct clite_config c;
	struct settings s;
	int r;

	if (!ctx || !config || opts_copy(&c, sizeof(c), config))
		return -EINVAL;
	r = ctx_begin(ctx);
	if (r)
		return r;
	r = config_check(&c, &s, &ctx->err);
	if (!r)
		r = settings_commit(&ctx->st, &s, &ctx->err);
	return ctx_end(ctx, r);
}
