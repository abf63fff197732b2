/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <cilium-lite/event.h>
#include <cilium-lite/identity.h>
#include <cilium-lite/service.h>
#include <cilium-lite/trace.h>
#include <ifaddrs.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "api/ends.h"
#include "api/txn.h"
#include "datapath/live.h"
#include "model/judge.h"

/* A step with all that it points to. */
struct step {
	struct clite_trace_step step;
	struct clite_rule_info *infos;
	const struct clite_rule_info **rules;
	size_t n, cap;
	const struct rule **matched;
	size_t matched_cap;
	bool failed;
};

/* What is lent. */
struct tracing {
	struct clite_trace trace;
	struct clite_ctx *ctx;
	struct traced packet;
	const struct service *service;
	const struct backend *backend;
	struct end src, dst;
	struct world world;
	struct step egress, ingress;
	char source[PREFIX_STR], destination[PREFIX_STR];
};

static void step_clear(struct step *s)
{
	free(s->infos);
	free(s->rules);
	free(s->matched);
}

static void tracing_free(void *memory)
{
	struct tracing *g = memory;

	world_clear(&g->world);
	step_clear(&g->egress);
	step_clear(&g->ingress);
	free(g);
}

/* ---- what is asked -------------------------------------------------------------- */

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static int parse_ports(const uint8_t *p, size_t len, struct traced *t)
{
	if (t->protocol == IPPROTO_ICMP || t->protocol == IPPROTO_ICMPV6) {
		if (len < 8)
			return -EINVAL;
		t->dport = p[0];
		return 0;
	}
	if (len < 4)
		return -EINVAL;
	t->sport = get16(p);
	t->dport = get16(p + 2);
	return 0;
}

/* A whole first packet: no fragments, no extension headers, which have no ports here. */
static int parse_packet(const uint8_t *p, size_t len, struct traced *t)
{
	size_t ip;

	if (len < ETH_HLEN + 20)
		return -EINVAL;
	if (get16(p + 12) == ETH_P_IP) {
		const uint8_t *h = p + ETH_HLEN;

		ip = (size_t)(h[0] & 15) * 4;
		if (h[0] >> 4 != 4 || ip < 20 || len < ETH_HLEN + ip || get16(h + 6) & 0x3fff)
			return -EINVAL;
		t->from.family = t->to.family = 4;
		t->from.len = t->to.len = 32;
		t->protocol = h[9];
		memcpy(t->from.ip, h + 12, 4);
		memcpy(t->to.ip, h + 16, 4);
	} else if (get16(p + 12) == ETH_P_IPV6 && len >= ETH_HLEN + 40) {
		const uint8_t *h = p + ETH_HLEN;

		ip = 40;
		t->from.family = t->to.family = 6;
		t->from.len = t->to.len = 128;
		t->protocol = h[6];
		memcpy(t->from.ip, h + 8, 16);
		memcpy(t->to.ip, h + 24, 16);
	} else {
		return -EINVAL;
	}
	return parse_ports(p + ETH_HLEN + ip, len - ETH_HLEN - ip, t);
}

static int pp_of(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return DP_PP_TCP;
	case IPPROTO_UDP:
		return DP_PP_UDP;
	case IPPROTO_SCTP:
		return DP_PP_SCTP;
	case IPPROTO_ICMP:
		return DP_PP_ICMP;
	case IPPROTO_ICMPV6:
		return DP_PP_ICMPV6;
	default:
		return -EINVAL;
	}
}

static int read_address(struct clite_ctx *ctx, const char *text, struct prefix *ret)
{
	if (text && addr_parse(text, ret))
		return err_set(&ctx->err, EINVAL, "'%s' is no address", text);
	return 0;
}

static int read_packet(struct tracing *g, const struct clite_trace_opts *o)
{
	struct traced *t = &g->packet;
	struct clite_ctx *ctx = g->ctx;
	int r;

	t->protocol = (uint8_t)(o->protocol ? o->protocol : IPPROTO_TCP);
	t->sport = o->source_port;
	t->dport = o->destination_port;
	r = read_address(ctx, o->source, &t->from);
	if (!r)
		r = read_address(ctx, o->destination, &t->to);
	if (r)
		return r;
	if (o->packet && parse_packet(o->packet, o->packet_len, t))
		return err_set(&ctx->err, EINVAL,
			       "packet of %zu bytes: expected an Ethernet frame with IPv4 or IPv6 "
			       "and ports, no fragment, no extension headers",
			       o->packet_len);
	if (o->protocol > 255 || pp_of(t->protocol) < 0)
		return err_set(&ctx->err, EINVAL,
			       "protocol %u: only TCP, UDP, SCTP, ICMP and ICMPv6",
			       o->packet ? t->protocol : o->protocol);
	if (t->protocol == IPPROTO_ICMP || t->protocol == IPPROTO_ICMPV6) {
		if (t->dport > 255)
			return err_set(&ctx->err, EINVAL, "ICMP type %u: 0 to 255", t->dport);
	} else if (!t->dport) {
		return err_set(&ctx->err, EINVAL, "destination_port is missing");
	}
	return 0;
}

/* ---- who it is ------------------------------------------------------------------- */

/* Of an end that is an endpoint: the address of the other's family. */
static struct prefix address_like(const struct endpoint *e, const struct prefix *other)
{
	if (other->family == 6 || (!other->family && !e->v4.family))
		return e->v6;
	return e->v4;
}

static bool is_local(const struct prefix *address)
{
	struct ifaddrs *all, *a;
	bool found = false;

	if (getifaddrs(&all) < 0)
		return false;
	for (a = all; a && !found; a = a->ifa_next) {
		const void *ip;

		if (!a->ifa_addr ||
		    a->ifa_addr->sa_family != (address->family == 4 ? AF_INET : AF_INET6))
			continue;
		ip = address->family == 4 ?
			     (void *)&((struct sockaddr_in *)a->ifa_addr)->sin_addr :
			     (void *)&((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr;
		found = !memcmp(ip, address->ip, address->family == 4 ? 4 : 16);
	}
	freeifaddrs(all);
	return found;
}

/* By address, which may be found of an endpoint; else by identity. */
static int end_read(struct clite_ctx *ctx, const char *which, uint32_t endpoint, uint32_t identity,
		    struct prefix *address, struct end *ret)
{
	const struct state *st = &ctx->st;

	if (address->family) {
		if (!identity && is_local(address))
			identity = CLITE_ID_HOST;
		end_find(st, address, identity, ret);
		return 0;
	}
	if (endpoint) {
		ret->ep = state_endpoint(st, endpoint);
		if (!ret->ep)
			return err_set(&ctx->err, ENOENT, "there is no endpoint %u", endpoint);
		ret->identity = ret->ep->identity;
		return 0;
	}
	if (!identity)
		return err_set(&ctx->err, EINVAL,
			       "%s is missing: an address, an endpoint or an identity", which);
	ret->identity = identities_get(&st->ids, identity);
	return ret->identity ? 0 :
			       err_set(&ctx->err, ENOENT, "there is no identity %u", identity);
}

static void addresses_of_endpoints(struct tracing *g, const struct clite_trace_opts *o)
{
	const struct endpoint *src = state_endpoint(&g->ctx->st, o->source_endpoint);
	const struct endpoint *dst = state_endpoint(&g->ctx->st, o->destination_endpoint);
	struct traced *t = &g->packet;

	if (!t->from.family && src)
		t->from = address_like(src, t->to.family || !dst ? &t->to : &dst->v4);
	if (!t->to.family && dst)
		t->to = address_like(dst, &t->from);
}

/* ---- services ---------------------------------------------------------------------- */

static const struct service *service_at(const struct state *st, const struct traced *t)
{
	for (size_t i = 0; i < st->nservices; i++) {
		const struct service *s = st->services[i];

		if (s->port == t->dport && s->protocol == t->protocol &&
		    !prefix_cmp(&s->ip, &t->to))
			return s;
	}
	return NULL;
}

/* The n-th active back end, or (to != NULL) that with an address and port. */
static const struct backend *backend_of(const struct service *s, uint32_t n,
					const struct prefix *to, uint16_t port, uint32_t *count)
{
	const struct backend *found = NULL;

	*count = 0;
	for (size_t i = 0; i < s->nbackends; i++) {
		const struct backend *b = &s->backends[i];

		if (b->state != CLITE_BACKEND_ACTIVE)
			continue;
		if (to ? !prefix_cmp(&b->ip, to) && b->port == port : *count == n)
			found = b;
		++*count;
	}
	return found;
}

/* Endpoints' packets are translated; others' are not. */
static int translate(struct tracing *g, const struct clite_trace_opts *o,
		     const struct live_result *live)
{
	struct clite_trace *t = &g->trace;
	bool chosen = live && live->translated;

	if (!g->src.ep || !g->packet.to.family)
		return 0;
	g->service = service_at(&g->ctx->st, &g->packet);
	if (!g->service)
		return 0;
	t->service = g->service->id;
	g->backend = backend_of(g->service, o->backend, chosen ? &live->to : NULL,
				chosen ? live->dport : 0, &t->backends);
	if (!g->backend && t->backends)
		return err_set(&g->ctx->err, EINVAL, "backend %u: service %u has %u active ones",
			       o->backend, g->service->id, t->backends);
	return 0;
}

/* ---- the steps --------------------------------------------------------------------- */

static void note_rule(const struct rule *r, void *data)
{
	struct step *s = data;

	if (!array_grow(&s->matched, &s->matched_cap, s->n))
		s->failed = true;
	else if (!s->n || !r->cookie || s->matched[s->n - 1]->cookie != r->cookie)
		s->matched[s->n++] = r;
}

static int step_infos(struct step *s, const struct state *st, uint32_t deciding)
{
	size_t n = 0;

	s->infos = calloc(s->n + 1, sizeof(*s->infos));
	s->rules = calloc(s->n + 1, sizeof(*s->rules));
	if (!s->infos || !s->rules)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++) {
		if (!rule_info_find(st->policies, st->npolicies, s->matched[i]->cookie,
				    &s->infos[n]))
			continue; /* nobody's: that of allow-localhost */
		s->rules[n] = &s->infos[n];
		if (s->matched[i]->cookie == deciding)
			s->step.rule = s->rules[n];
		n++;
	}
	s->step.rules = s->rules;
	s->step.nrules = n;
	return 0;
}

static int step_judge(struct tracing *g, struct step *s, uint32_t direction, const struct end *subject,
		      const struct end *peer, uint16_t port)
{
	_cleanup_(ruleset_clear) struct ruleset rs = {};
	const struct state *st = &g->ctx->st;
	struct subject who = { &subject->ep->identity->labels, &subject->ep->ports,
			       subject->ep->audit };
	struct dp_verdict v;
	int r = ruleset_build(st->policies, st->npolicies, &who, direction, &g->world, &rs);

	if (r)
		return r;
	s->step = (struct clite_trace_step){
		.sz = sizeof(s->step),
		.direction = direction,
		.endpoint = subject->ep->id,
		.peer = peer->identity->id,
		.enforced = rs.enforced,
	};
	v = judge(&rs, peer->identity, (uint32_t)pp_of(g->packet.protocol), port, note_rule, s);
	if (s->failed)
		return -ENOMEM;
	s->step.match = v.match;
	if (rs.enforced && v.verdict != DP_VERDICT_ALLOW) {
		s->step.reason = v.verdict == DP_VERDICT_DENIED ? 181 : 133;
		s->step.audited = rs.audit;
	}
	return step_infos(s, st, v.rule);
}

static bool drops(const struct step *s)
{
	return s->step.reason && !s->step.audited;
}

static int judge_both(struct tracing *g)
{
	uint16_t port = g->backend ? g->backend->port : g->packet.dport;
	struct clite_trace *t = &g->trace;
	int r = 0;

	if (g->service && !g->backend) {
		t->reason = 158; /* no back end */
		return 0;
	}
	if (g->src.ep && g->src.ep == g->dst.ep)
		return 0; /* by way of a service to itself: nobody is asked */
	if (g->src.ep) {
		r = step_judge(g, &g->egress, CLITE_EGRESS, &g->src, &g->dst, port);
		t->egress = &g->egress.step;
	}
	if (!r && drops(&g->egress)) {
		t->reason = g->egress.step.reason;
		return 0;
	}
	if (!r && g->dst.ep) {
		r = step_judge(g, &g->ingress, CLITE_INGRESS, &g->dst, &g->src, port);
		t->ingress = &g->ingress.step;
	}
	if (!r && drops(&g->ingress))
		t->reason = g->ingress.step.reason;
	return r;
}

/* ---- the whole ----------------------------------------------------------------------- */

static int run_live(struct tracing *g, struct live_result *ret)
{
	struct traced t = g->packet;

	if (!t.from.family || !t.to.family || (!g->src.ep && !g->dst.ep))
		return err_set(&g->ctx->err, EINVAL,
			       "a live trace needs addresses of both ends, one of which is an "
			       "endpoint's");
	if (!g->src.ep && g->src.identity->id != CLITE_ID_HOST)
		return err_set(&g->ctx->err, EINVAL,
			       "a live trace begins at an endpoint or at the host: '%s' is neither",
			       addr_format(t.from.ip, t.from.family, g->source));
	/* Above what the kernel gives out by itself (ip_local_port_range). */
	if (!t.sport)
		t.sport = 65533;
	return live_run(g->ctx->dp, &t, g->src.ep, g->dst.ep, ret, &g->ctx->err);
}

static void way_out(struct tracing *g)
{
	struct clite_trace *t = &g->trace;

	if (t->reason) {
		t->way = CLITE_WAY_NONE;
	} else if (g->dst.ep) {
		t->way = CLITE_WAY_ENDPOINT;
		t->ifindex = g->dst.ep->ifindex;
	} else {
		t->way = g->dst.identity->id == CLITE_ID_HOST ? CLITE_WAY_HOST : CLITE_WAY_STACK;
	}
}

static void fill(struct tracing *g, const struct live_result *live)
{
	const struct prefix *to = g->backend ? &g->backend->ip : &g->packet.to;
	struct clite_trace *t = &g->trace;

	t->sz = sizeof(*t);
	t->verdict = t->reason ? CLITE_VERDICT_DROPPED : CLITE_VERDICT_FORWARDED;
	t->agree = 1;
	if (live) {
		t->live = 1;
		t->live_reason = live->reason;
		t->live_verdict = live->reason ? CLITE_VERDICT_DROPPED : CLITE_VERDICT_FORWARDED;
		t->agree = live->reason == t->reason;
	}
	t->source_endpoint = g->src.ep ? g->src.ep->id : 0;
	t->destination_endpoint = g->dst.ep ? g->dst.ep->id : 0;
	/* an address that no policy names yet has no number but the world's */
	t->source_identity = g->src.identity->id;
	t->destination_identity = g->dst.identity->id;
	t->protocol = g->packet.protocol;
	t->source_port = g->packet.sport;
	t->destination_port = g->backend ? g->backend->port : g->packet.dport;
	t->source = t->destination = t->service_name = "";
	if (g->packet.from.family)
		t->source = addr_format(g->packet.from.ip, g->packet.from.family, g->source);
	if (to->family)
		t->destination = addr_format(to->ip, to->family, g->destination);
	if (g->service)
		t->service_name = g->service->name;
	way_out(g);
}

static int ends(struct tracing *g, const struct clite_trace_opts *o)
{
	struct clite_ctx *ctx = g->ctx;
	int r;

	addresses_of_endpoints(g, o);
	if (g->packet.from.family && g->packet.to.family &&
	    g->packet.from.family != g->packet.to.family)
		return err_set(&ctx->err, EINVAL, "source is IPv%u, destination IPv%u",
			       g->packet.from.family, g->packet.to.family);
	r = end_read(ctx, "source", o->source_endpoint, o->source_identity, &g->packet.from,
		     &g->src);
	return r ?: end_read(ctx, "destination", o->destination_endpoint, o->destination_identity,
			     &g->packet.to, &g->dst);
}

static int trace(struct tracing *g, const struct clite_trace_opts *o)
{
	struct live_result live = {};
	bool is_live = o->flags & CLITE_TRACE_LIVE;
	int r = read_packet(g, o);

	if (!r)
		r = ends(g, o);
	if (!r && is_live)
		r = run_live(g, &live);
	if (!r)
		r = translate(g, o, is_live ? &live : NULL);
	if (!r && g->backend) {
		struct prefix to = g->backend->ip;

		r = end_read(g->ctx, "backend", 0, 0, &to, &g->dst);
	}
	if (!r)
		r = world_make(&g->ctx->st, &g->world);
	if (!r)
		r = judge_both(g);
	if (!r)
		fill(g, is_live ? &live : NULL);
	return r;
}

int clite_trace(struct clite_ctx *ctx, const struct clite_trace_opts *opts,
		const struct clite_trace **ret)
{
	struct clite_trace_opts o;
	struct tracing *g;
	int r;

	if (!ctx || !opts || !ret || opts_copy(&o, sizeof(o), opts))
		return -EINVAL;
	r = ctx_read(ctx);
	if (r)
		return r;
	if (o.flags & ~CLITE_TRACE_LIVE)
		return err_set(&ctx->err, EINVAL, "flags 0x%x: no such flags", o.flags);
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->ctx = ctx;
	r = trace(g, &o);
	if (r) {
		tracing_free(g);
		return r;
	}
	*ret = &g->trace;
	return ctx_lend_whole(ctx, g, tracing_free);
}
