/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <cilium-lite/event.h>
#include <cilium-lite/identity.h>
#include <cilium-lite/service.h>
#include <cilium-lite/trace.h>
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
	struct clite_backend *choices;
	char (*choice_names)[PREFIX_STR];
	struct end src, dst;
	bool spoofed;
	bool outside;	 /* from the world, by an uplink */
	uint32_t choosable; /* state of back ends for new flows */
	uint32_t refused; /* why the service is not for who sends it; 0: it is */
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
	free(g->choices);
	free(g->choice_names);
	free(g);
}

/* ---- what is asked -------------------------------------------------------------- */

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static size_t l4_min(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? 20 : protocol == IPPROTO_SCTP ? 12 : 8;
}

static int parse_ports(const uint8_t *p, size_t len, struct traced *t)
{
	if (t->protocol == IPPROTO_ICMP || t->protocol == IPPROTO_ICMPV6) {
		if (len < 8)
			return -EINVAL;
		t->dport = p[0];
		t->sport = get16(p + 4);
		return 0;
	}
	/* The datapath drops what has no whole header. */
	if (len < l4_min(t->protocol) || (t->protocol == IPPROTO_TCP && len < (size_t)(p[12] >> 4) * 4))
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
	uint8_t family;
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
			       "and a whole header of layer 4, no fragment, no extension headers",
			       o->packet_len);
	t->frame = o->packet;
	t->frame_len = o->packet_len;
	if (o->protocol > 255 || pp_of(t->protocol) < 0)
		return err_set(&ctx->err, EINVAL,
			       "protocol %u: only TCP, UDP, SCTP, ICMP and ICMPv6",
			       o->packet ? t->protocol : o->protocol);
	family = t->from.family ?: t->to.family;
	if (family && t->protocol == (family == 4 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return err_set(&ctx->err, EINVAL, "protocol %u is not of IPv%u: there it is %s",
			       t->protocol, family,
			       family == 4 ? "ICMP (1)" : "ICMPv6 (58)");
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

static bool has_address(const struct endpoint *e, const struct prefix *address)
{
	return !prefix_cmp(&e->v4, address) || !prefix_cmp(&e->v6, address);
}

/* Of an address: the host's first, as in the datapath. from: the endpoint that sends to
 * it; NULL: it is the sender's. */
static void end_of_address(const struct state *st, const struct prefix *address,
			   uint32_t identity, const struct endpoint *from, struct end *ret)
{
	end_find(st, address, identity, ret);
	if (ret->ep || identity)
		return;
	if (from ? nl_is_host(from->ifindex, address) : nl_is_local(address))
		*ret = (struct end){ .identity = identities_get(&st->ids, CLITE_ID_HOST) };
}

/* By address, which may be found of an endpoint; else by identity. */
static int end_read(struct clite_ctx *ctx, const char *which, uint32_t endpoint, uint32_t identity,
		    const struct prefix *address, const struct endpoint *from, struct end *ret)
{
	const struct state *st = &ctx->st;
	const struct endpoint *ep = endpoint ? state_endpoint(st, endpoint) : NULL;

	if (endpoint && !ep)
		return err_set(&ctx->err, ENOENT, "there is no endpoint %u", endpoint);
	if (ep) {
		*ret = (struct end){ .ep = ep, .identity = ep->identity };
		return 0;
	}
	if (address->family) {
		end_of_address(st, address, identity, from, ret);
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
static bool is_local_only(const struct tracing *g)
{
	return g->service->flags &
	       (g->outside ? CLITE_SERVICE_EXTERNAL_LOCAL : CLITE_SERVICE_INTERNAL_LOCAL);
}

static bool is_choice(const struct tracing *g, const struct backend *b)
{
	return b->state == g->choosable && (!is_local_only(g) || b->local);
}

/* Those that are active; if there are none, those that are terminating. */
static void choosable_find(struct tracing *g)
{
	g->choosable = CLITE_BACKEND_ACTIVE;
	for (size_t i = 0; i < g->service->nbackends; i++)
		if (is_choice(g, &g->service->backends[i]))
			return;
	g->choosable = CLITE_BACKEND_TERMINATING;
}

static const struct backend *backend_of(const struct tracing *g, uint32_t n,
					const struct prefix *to, uint16_t port, uint32_t *count)
{
	const struct service *s = g->service;
	const struct backend *found = NULL;

	*count = 0;
	for (size_t i = 0; i < s->nbackends; i++) {
		const struct backend *b = &s->backends[i];

		if (!is_choice(g, b))
			continue;
		if (to ? !prefix_cmp(&b->ip, to) && b->port == port : *count == n)
			found = b;
		++*count;
	}
	return found;
}

/* The active back ends, for him who wants to know which there are. */
static int choices_list(struct tracing *g)
{
	const struct service *s = g->service;
	size_t n = 0;

	g->choices = calloc(s->nbackends + 1, sizeof(*g->choices));
	g->choice_names = calloc(s->nbackends + 1, sizeof(*g->choice_names));
	if (!g->choices || !g->choice_names)
		return -ENOMEM;
	for (size_t i = 0; i < s->nbackends; i++) {
		const struct backend *b = &s->backends[i];

		if (!is_choice(g, b))
			continue;
		g->choices[n].address = addr_format(b->ip.ip, b->ip.family, g->choice_names[n]);
		g->choices[n].port = b->port;
		g->choices[n].weight = b->weight;
		n++;
	}
	g->trace.choices = g->choices;
	return 0;
}

/* What is chosen at random only the programs know; what a hash chooses is worked out,
 * and compared. */
static void backend_choose(struct tracing *g, const struct clite_trace_opts *o,
			   const struct live_result *live)
{
	struct clite_trace *t = &g->trace;
	const struct backend *b = NULL;

	g->backend = backend_of(g, o->backend, NULL, 0, &t->backends);
	/* With affinity it is also a matter of who came before. */
	if (g->packet.sport && !o->backend && !g->service->affinity && !is_local_only(g))
		b = service_choice(&g->ctx->st, g->service, &g->packet.from, g->packet.sport);
	if (!b && live)
		b = backend_of(g, 0, &live->to, live->dport, &t->backends);
	if (b)
		g->backend = b;
	t->chosen = b || t->backends == 1;
}

/* Who in the world may use it: 0 or a drop reason. */
static uint32_t refuses(const struct service *s, const struct prefix *from)
{
	bool deny = s->flags & CLITE_SERVICE_SOURCES_DENY, found = false;

	if (s->kind == CLITE_KIND_CLUSTER_IP)
		return 174;
	for (size_t i = 0; i < s->nsources && !found; i++)
		found = prefix_contains(&s->sources[i], from);
	return s->nsources && found == deny ? 177 : 0;
}

/* Endpoints' packets are translated, and those that the world sends to an uplink; the host's
 * are not. */
static int translate(struct tracing *g, const struct clite_trace_opts *o,
		     const struct live_result *live)
{
	struct clite_trace *t = &g->trace;

	g->outside = !g->src.ep && g->src.identity->id != CLITE_ID_HOST && g->ctx->st.ndevices;
	if ((!g->src.ep && !g->outside) || !g->packet.to.family || g->spoofed)
		return 0;
	g->service = service_at(&g->ctx->st, &g->packet);
	/* What goes whole, in an outer packet, is not translated. */
	if (g->service && g->outside && g->service->mode >= CLITE_MODE_IPIP)
		g->service = NULL;
	if (!g->service)
		return 0;
	t->service = g->service->id;
	choosable_find(g);
	g->refused = g->outside ? refuses(g->service, &g->packet.from) : 0;
	if (g->refused)
		return choices_list(g);
	backend_choose(g, o, live);
	if (!g->backend && t->backends)
		return err_set(&g->ctx->err, EINVAL, "backend %u: service %u has %u active ones",
			       o->backend, g->service->id, t->backends);
	return choices_list(g);
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

	if (g->spoofed) {
		t->reason = 132;
		return 0;
	}
	if (g->service && !g->backend) {
		t->reason = g->refused ?: 158; /* no back end */
		return 0;
	}
	if (g->backend && g->src.ep == g->dst.ep)
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

static int run_live(struct tracing *g, const struct clite_trace_opts *o, struct live_result *ret)
{
	struct clite_ctx *ctx = g->ctx;
	struct traced *t = &g->packet;
	enum live_from from = g->src.ep				   ? LIVE_FROM_ENDPOINT :
			      g->src.identity->id == CLITE_ID_HOST ? LIVE_FROM_HOST :
								     LIVE_FROM_WORLD;

	if (!t->from.family || !t->to.family || (!g->src.ep && !g->dst.ep))
		return err_set(&ctx->err, EINVAL,
			       "a live trace needs addresses of both ends, one of which is an "
			       "endpoint's");
	if ((o->source_identity && from != LIVE_FROM_HOST) || o->destination_identity ||
	    o->backend)
		return err_set(&ctx->err, EINVAL,
			       "in a live trace the programs find identities and the back end: only "
			       "source_identity 1, the host, can be said");
	return live_run(ctx->dp, t, g->src.ep ?: g->dst.ep, g->dst.ep, from, ret, &ctx->err);
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
		t->way = g->dst.identity->id == CLITE_ID_HOST ? CLITE_WAY_HOST :
			 g->outside && g->backend		      ? CLITE_WAY_NETWORK :
								CLITE_WAY_STACK;
	}
}

/* Do the programs say the same? Verdict, reason, translation, and the way. */
static bool agrees(const struct tracing *g, const struct live_result *live)
{
	const struct prefix *to = g->backend ? &g->backend->ip : &g->packet.to;
	uint16_t port = g->backend ? g->backend->port : g->packet.dport;
	bool device = g->trace.way == CLITE_WAY_ENDPOINT && g->src.ep;

	if (live->reason != g->trace.reason || prefix_cmp(&live->to, to) || live->dport != port)
		return false;
	/* to the world it may be either */
	return !live->passed || g->trace.way == CLITE_WAY_STACK || live->redirected == device;
}

static void fill(struct tracing *g, const struct live_result *live)
{
	const struct prefix *to = g->backend ? &g->backend->ip : &g->packet.to;
	struct clite_trace *t = &g->trace;

	t->sz = sizeof(*t);
	t->verdict = t->reason ? CLITE_VERDICT_DROPPED : CLITE_VERDICT_FORWARDED;
	t->agree = 1;
	way_out(g);
	if (live) {
		t->live = 1;
		t->live_reason = live->reason;
		t->live_verdict = live->passed ? CLITE_VERDICT_FORWARDED : CLITE_VERDICT_DROPPED;
		t->agree = agrees(g, live);
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
}

/* What an endpoint is said to be, and what it is. */
static int check_ends(struct tracing *g, const struct clite_trace_opts *o)
{
	const struct traced *t = &g->packet;
	char text[PREFIX_STR];

	if (t->from.family && t->to.family && t->from.family != t->to.family)
		return err_set(&g->ctx->err, EINVAL, "source is IPv%u, destination IPv%u",
			       t->from.family, t->to.family);
	if (o->destination_endpoint && t->to.family && !has_address(g->dst.ep, &t->to))
		return err_set(&g->ctx->err, EINVAL,
			       "destination: '%s' is no address of endpoint %u",
			       addr_format(t->to.ip, t->to.family, text), g->dst.ep->id);
	/* The datapath answers these itself; they are not anybody's to judge. */
	if (t->protocol == IPPROTO_ICMPV6 && (t->dport == 135 || t->dport == 136))
		return err_set(&g->ctx->err, EINVAL,
			       "ICMPv6 type %u: neighbour discovery is not subject to policy",
			       t->dport);
	g->spoofed = g->src.ep && t->from.family && !has_address(g->src.ep, &t->from);
	return 0;
}

static int ends(struct tracing *g, const struct clite_trace_opts *o)
{
	int r;

	addresses_of_endpoints(g, o);
	r = end_read(g->ctx, "source", o->source_endpoint, o->source_identity, &g->packet.from,
		     NULL, &g->src);
	if (!r)
		r = end_read(g->ctx, "destination", o->destination_endpoint,
			     o->destination_identity, &g->packet.to, g->src.ep, &g->dst);
	return r ?: check_ends(g, o);
}

static int trace(struct tracing *g, const struct clite_trace_opts *o)
{
	struct live_result live = {};
	bool is_live = o->flags & CLITE_TRACE_LIVE;
	int r = read_packet(g, o);

	if (!r)
		r = ends(g, o);
	if (!r && is_live)
		r = run_live(g, o, &live);
	if (!r)
		r = translate(g, o, is_live ? &live : NULL);
	if (!r && g->backend)
		end_of_address(&g->ctx->st, &g->backend->ip, 0, g->src.ep, &g->dst);
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
