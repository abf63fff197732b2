/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/identity.h>
#include <cilium-lite/rehearse.h>
#include <netinet/in.h>

#include "api/ends.h"
#include "api/txn.h"
#include "model/judge.h"

#define SEEN 65536 /* flows that are remembered */

struct flow_key {
	uint8_t source[16], destination[16];
	uint32_t protocol;
	uint16_t source_port, destination_port;
};

/* The rule sets of an endpoint, made when its first flow comes. */
struct judged {
	uint32_t endpoint;
	struct ruleset live[3], candidate[3]; /* by direction */
};

struct clite_rehearsal {
	struct clite_ctx *ctx; /* a reference */
	struct clite_subscription *sub;
	int (*cb)(const struct clite_rehearsal_flow *flow, void *userdata);
	void *userdata;
	struct clite_rehearsal_counts counts;

	struct policy **candidate; /* copies; those that are in force have their numbers */
	size_t ncandidate;
	uint64_t *base; /* revisions of the policies in force at the beginning, by name */
	size_t nbase;

	uint64_t revision; /* of the instance, for which the following holds */
	struct world world;
	struct judged **judged;
	size_t njudged, judged_cap;

	struct flow_key *seen; /* a flow's place is its hash */
	struct clite_rule_info live_rule, candidate_rule;
};

/* ---- the candidate ------------------------------------------------------------- */

static int policy_copy(const struct policy *p, struct policy **ret)
{
	_cleanup_buf_ struct buf b = {};
	int r = policy_encode(p, &b);

	if (!r)
		r = policy_decode(b.data, b.len, ret);
	if (r)
		return r;
	(*ret)->id = p->id;
	(*ret)->text = strdup(p->text ?: "");
	return (*ret)->text ? 0 : -ENOMEM;
}

/* New rules get the numbers that a commit at this moment would give them. */
static int candidate_make(struct clite_rehearsal *h, struct policy *const *list, size_t n)
{
	uint32_t next = h->ctx->dp->control->next_rule;
	int r = 0;

	h->candidate = calloc(n ?: 1, sizeof(*h->candidate));
	if (!h->candidate)
		return -ENOMEM;
	for (size_t i = 0; !r && i < n; i++) {
		r = policy_copy(list[i], &h->candidate[i]);
		if (h->candidate[i])
			h->ncandidate++;
		if (r || list[i]->id)
			continue;
		policy_number(h->candidate[i], next);
		next += policy_rules(h->candidate[i]);
	}
	return r;
}

static int base_note(struct clite_rehearsal *h)
{
	const struct state *st = &h->ctx->st;

	h->base = calloc(st->npolicies ?: 1, sizeof(*h->base));
	if (!h->base)
		return -ENOMEM;
	for (size_t i = 0; i < st->npolicies; i++)
		h->base[h->nbase++] = st->policies[i]->revision;
	return 0;
}

/* Each commit gives its policies a revision of their own. */
static bool base_stands(const struct clite_rehearsal *h)
{
	const struct state *st = &h->ctx->st;

	if (st->npolicies != h->nbase)
		return false;
	for (size_t i = 0; i < h->nbase; i++)
		if (st->policies[i]->revision != h->base[i])
			return false;
	return true;
}

/* ---- rule sets ------------------------------------------------------------------- */

static void judged_clear(struct clite_rehearsal *h)
{
	for (size_t i = 0; i < h->njudged; i++) {
		for (uint32_t d = CLITE_INGRESS; d <= CLITE_EGRESS; d++) {
			ruleset_clear(&h->judged[i]->live[d]);
			ruleset_clear(&h->judged[i]->candidate[d]);
		}
		free(h->judged[i]);
	}
	h->njudged = 0;
	world_clear(&h->world);
}

/* Endpoints, services or policies are others: what was worked out is forgotten. */
static int refresh(struct clite_rehearsal *h)
{
	const struct state *st = &h->ctx->st;
	int r;

	if (h->revision == st->revision)
		return 0;
	judged_clear(h);
	r = world_make(st, &h->world);
	if (!r)
		h->revision = st->revision;
	return r;
}

static int judged_get(struct clite_rehearsal *h, const struct endpoint *e, struct judged **ret)
{
	const struct state *st = &h->ctx->st;
	struct subject subject = { &e->identity->labels, &e->ports, e->audit };
	struct judged *j;
	int r = 0;

	for (size_t i = 0; i < h->njudged; i++)
		if (h->judged[i]->endpoint == e->id) {
			*ret = h->judged[i];
			return 0;
		}
	if (!array_grow(&h->judged, &h->judged_cap, h->njudged))
		return -ENOMEM;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	h->judged[h->njudged++] = j;
	j->endpoint = e->id;
	for (uint32_t d = CLITE_INGRESS; !r && d <= CLITE_EGRESS; d++) {
		r = ruleset_build(st->policies, st->npolicies, &subject, d, &h->world, &j->live[d]);
		if (!r)
			r = ruleset_build(h->candidate, h->ncandidate, &subject, d, &h->world,
					  &j->candidate[d]);
	}
	*ret = j;
	return r;
}

static struct prefix address_of(const struct clite_event *e, const uint8_t ip[16])
{
	struct prefix p = { .family = (uint8_t)e->family, .len = e->family == 4 ? 32 : 128 };

	memcpy(p.ip, ip, e->family == 4 ? 4 : 16);
	return p;
}

/* ---- judging ---------------------------------------------------------------------- */

/* What both ends say, in the order of the datapath. */
struct outcome {
	uint32_t direction; /* 0: nothing is enforced */
	struct dp_verdict verdict;
	bool audited; /* denied, but it passes */
};

static int port_of(const struct clite_event *e, uint32_t *pp, uint16_t *port)
{
	switch (e->protocol) {
	case IPPROTO_TCP:
		*pp = DP_PP_TCP;
		break;
	case IPPROTO_UDP:
		*pp = DP_PP_UDP;
		break;
	case IPPROTO_SCTP:
		*pp = DP_PP_SCTP;
		break;
	case IPPROTO_ICMP:
		*pp = DP_PP_ICMP;
		break;
	case IPPROTO_ICMPV6:
		*pp = DP_PP_ICMPV6;
		break;
	default:
		return -EINVAL;
	}
	*port = *pp < DP_PP_ICMP ? e->destination_port : e->icmp_type;
	return e->has_ports ? 0 : -EINVAL;
}

static int outcomes(struct clite_rehearsal *h, const struct end *src, const struct end *dst,
		    uint32_t pp, uint16_t port, struct outcome *live, struct outcome *candidate)
{
	const struct end *subject[] = { [CLITE_EGRESS] = src, [CLITE_INGRESS] = dst };
	const struct end *peer[] = { [CLITE_EGRESS] = dst, [CLITE_INGRESS] = src };

	live->verdict.verdict = candidate->verdict.verdict = DP_VERDICT_ALLOW;
	for (uint32_t d = CLITE_EGRESS; d >= CLITE_INGRESS; d--) {
		struct outcome *o[] = { live, candidate };
		struct judged *j;
		int r;

		if (!subject[d]->ep)
			continue;
		r = judged_get(h, subject[d]->ep, &j);
		if (r)
			return r;
		for (int k = 0; k < 2; k++) {
			const struct ruleset *rs = k ? &j->candidate[d] : &j->live[d];
			bool denied = o[k]->verdict.verdict != DP_VERDICT_ALLOW;
			struct dp_verdict v;

			if (!rs->enforced || (denied && !o[k]->audited))
				continue;
			v = judge(rs, peer[d]->identity, pp, port, NULL, NULL);
			/* An audited denial is told unless the other end really drops it. */
			if (denied && (v.verdict == DP_VERDICT_ALLOW || rs->audit))
				continue;
			denied = v.verdict != DP_VERDICT_ALLOW;
			*o[k] = (struct outcome){ d, v, denied && rs->audit };
		}
	}
	return 0;
}

static uint32_t reason_of(const struct outcome *o)
{
	switch (o->verdict.verdict) {
	case DP_VERDICT_ALLOW:
		return 0;
	case DP_VERDICT_DENIED:
		return 181;
	default:
		return 133;
	}
}

static uint32_t verdict_of(const struct outcome *o)
{
	if (o->verdict.verdict == DP_VERDICT_ALLOW)
		return CLITE_VERDICT_FORWARDED;
	return o->audited ? CLITE_VERDICT_AUDIT : CLITE_VERDICT_DROPPED;
}

/* Was it there already? Notes it. */
static bool seen(struct clite_rehearsal *h, const struct clite_event *e, uint16_t port)
{
	struct flow_key k, *place;
	uint32_t hash = 2166136261u;

	memset(&k, 0, sizeof(k));
	memcpy(k.source, e->source, sizeof(k.source));
	memcpy(k.destination, e->destination, sizeof(k.destination));
	k.protocol = e->protocol;
	k.source_port = e->source_port;
	k.destination_port = port;
	for (size_t i = 0; i < sizeof(k); i++)
		hash = (hash ^ ((const uint8_t *)&k)[i]) * 16777619u;
	place = &h->seen[(hash ^ hash >> 16) % SEEN];
	if (!memcmp(place, &k, sizeof(k)))
		return true;
	*place = k;
	return false;
}

static const struct clite_rule_info *rule_of(struct policy *const *policies, size_t n,
					     uint32_t cookie, struct clite_rule_info *info)
{
	return rule_info_find(policies, n, cookie, info) ? info : NULL;
}

static int tell(struct clite_rehearsal *h, const struct clite_event *e, const struct outcome *live,
		const struct outcome *candidate)
{
	const struct state *st = &h->ctx->st;
	struct clite_rehearsal_flow flow = {
		.sz = sizeof(flow),
		.event = e,
		.live_reason = reason_of(live),
		.candidate_reason = reason_of(candidate),
		.live_direction = live->direction,
		.candidate_direction = candidate->direction,
	};

	flow.live_verdict = verdict_of(live);
	flow.candidate_verdict = verdict_of(candidate);
	flow.live_rule = rule_of(st->policies, st->npolicies, live->verdict.rule, &h->live_rule);
	flow.candidate_rule = rule_of(h->candidate, h->ncandidate, candidate->verdict.rule,
				      &h->candidate_rule);
	if (!flow.candidate_reason || flow.live_verdict == CLITE_VERDICT_DROPPED)
		h->counts.allowed++;
	else
		h->counts.denied++;
	return h->cb(&flow, h->userdata);
}

/* Only what asks policy: not what answers, nor what never got there. */
static bool asks_policy(const struct clite_event *e)
{
	if (e->is_reply == 1 || (e->family != 4 && e->family != 6))
		return false;
	return !e->drop_reason || e->drop_reason == 133 || e->drop_reason == 181;
}

static int judge_event(struct clite_rehearsal *h, const struct clite_event *e)
{
	struct outcome live = {}, candidate = {};
	struct prefix from, to;
	struct end src, dst;
	uint16_t port;
	uint32_t pp;
	int r;

	if (!asks_policy(e) || port_of(e, &pp, &port))
		return 0;
	from = address_of(e, e->source);
	to = address_of(e, e->destination);
	h->counts.events++;
	if (seen(h, e, port))
		return 0;
	r = refresh(h);
	if (r)
		return r;
	end_find(&h->ctx->st, &from, e->source_identity, &src);
	end_find(&h->ctx->st, &to, e->destination_identity, &dst);
	h->counts.flows++;
	if (src.ep && src.ep == dst.ep)
		return 0; /* whoever talks to himself needs no leave */
	r = outcomes(h, &src, &dst, pp, port, &live, &candidate);
	if (r || verdict_of(&live) == verdict_of(&candidate))
		return r;
	r = tell(h, e, &live, &candidate);
	return r < 0 ? r : 1;
}

static int on_event(const struct clite_event *event, void *userdata)
{
	struct clite_rehearsal *h = userdata;
	int r = ctx_read(h->ctx);

	if (!r)
		r = judge_event(h, event);
	return r < 0 ? r : 0;
}

/* ---- the API --------------------------------------------------------------------------- */

struct clite_rehearsal *clite_rehearsal_free(struct clite_rehearsal *h)
{
	if (!h)
		return NULL;
	clite_unsubscribe(h->sub);
	judged_clear(h);
	free(h->judged);
	for (size_t i = 0; i < h->ncandidate; i++)
		policy_free(h->candidate[i]);
	free(h->candidate);
	free(h->base);
	free(h->seen);
	clite_close(h->ctx);
	free(h);
	return NULL;
}

static int candidate_take(struct clite_rehearsal *h, const struct clite_txn *txn)
{
	_cleanup_free_ struct policy **list = NULL;
	size_t n;
	int r = txn_list(txn, &list, &n);

	if (!r)
		r = policies_check(&h->ctx->st, list, n, &h->ctx->err);
	if (!r)
		r = candidate_make(h, list, n);
	return r ?: base_note(h);
}

static int subscribe(struct clite_rehearsal *h, const struct clite_rehearse_opts *o)
{
	struct clite_subscribe_opts s = { .sz = sizeof(s), .ring_bytes = o->ring_bytes };

	return clite_subscribe(h->ctx, &s, on_event, h, &h->sub);
}

int clite_policy_rehearse(struct clite_txn *txn, const struct clite_rehearse_opts *opts,
			  int (*cb)(const struct clite_rehearsal_flow *flow, void *userdata),
			  void *userdata, struct clite_rehearsal **ret)
{
	struct clite_rehearse_opts o;
	struct clite_rehearsal *h;
	struct clite_ctx *ctx;
	int r;

	if (!txn || !cb || !ret || opts_copy(&o, sizeof(o), opts))
		return -EINVAL;
	ctx = txn_ctx(txn);
	r = ctx_read(ctx);
	if (r)
		return r;
	if (o.flags & ~CLITE_REHEARSE_FED)
		return err_set(&ctx->err, EINVAL, "flags 0x%x: no such flags", o.flags);
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->ctx = clite_ref(ctx);
	h->cb = cb;
	h->userdata = userdata;
	h->seen = calloc(SEEN, sizeof(*h->seen));
	r = h->seen ? candidate_take(h, txn) : -ENOMEM;
	if (!r && !(o.flags & CLITE_REHEARSE_FED))
		r = subscribe(h, &o);
	if (r) {
		clite_rehearsal_free(h);
		return r;
	}
	*ret = h;
	return 0;
}

int clite_rehearsal_feed(struct clite_rehearsal *h, const struct clite_event *event)
{
	int r;

	if (!h || !event || event->sz != sizeof(*event))
		return -EINVAL;
	r = ctx_read(h->ctx);
	return r ?: judge_event(h, event);
}

int clite_rehearsal_counts(struct clite_rehearsal *h, struct clite_rehearsal_counts *ret)
{
	if (!h || !ret || ret->sz != sizeof(*ret))
		return -EINVAL;
	h->counts.sz = sizeof(h->counts);
	if (h->sub)
		clite_subscription_lost(h->sub, &h->counts.lost);
	*ret = h->counts;
	return 0;
}

/* The candidate's list: what is in force of it, and copies of what it brings. */
static int commit_list(struct clite_rehearsal *h, struct policy ***ret)
{
	const struct state *st = &h->ctx->st;
	struct policy **list = calloc(h->ncandidate ?: 1, sizeof(*list));
	int r = list ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < h->ncandidate; i++) {
		const struct policy *p = h->candidate[i];

		if (p->id)
			list[i] = state_policy(st, p->name);
		else
			r = policy_copy(p, &list[i]);
	}
	*ret = list;
	return r;
}

int clite_rehearsal_commit(struct clite_rehearsal *h)
{
	_cleanup_free_ struct policy **list = NULL;
	int r = h ? ctx_begin(h->ctx) : -EINVAL;

	if (r)
		return r;
	if (!base_stands(h))
		r = err_set(&h->ctx->err, EAGAIN,
			    "the policies in force have changed since the rehearsal began: "
			    "rehearse again");
	if (!r)
		r = commit_list(h, &list);
	if (!r)
		r = policies_commit(&h->ctx->st, list, h->ncandidate, &h->ctx->err);
	for (size_t i = 0; r && list && i < h->ncandidate; i++)
		if (!h->candidate[i]->id)
			policy_free(list[i]);
	r = ctx_end(h->ctx, r);
	return r ?: (int)(h->ctx->dp->control->revision & INT32_MAX);
}
