/* SPDX-License-Identifier: BSD-2-Clause */
/* Compiled policies as they are in the kernel, for people. */
#include <cilium-lite/policy.h>
#include <netinet/in.h>

#include "api/ctx.h"

struct peer_entry {
	struct dp_peer_key key;
	uint32_t class;
};

struct entry {
	struct dp_verdict_key key;
	struct dp_verdict verdict;
};

struct dump {
	struct clite_ctx *ctx;
	struct peer_entry *peers;
	size_t npeers, peers_cap;
	struct entry *entries;
	size_t nentries, entries_cap;
	uint32_t endpoint;
	uint32_t direction;
	int (*cb)(const struct clite_policy_entry *entry, void *userdata);
	void *userdata;
	int n;
};

static int collect_peer(const void *key, const void *value, void *data)
{
	struct dump *d = data;

	if (!array_grow(&d->peers, &d->peers_cap, d->npeers))
		return -ENOMEM;
	memcpy(&d->peers[d->npeers].key, key, sizeof(struct dp_peer_key));
	memcpy(&d->peers[d->npeers++].class, value, sizeof(uint32_t));
	return 0;
}

static int collect_entry(const void *key, const void *value, void *data)
{
	struct dump *d = data;

	if (!array_grow(&d->entries, &d->entries_cap, d->nentries))
		return -ENOMEM;
	memcpy(&d->entries[d->nentries].key, key, sizeof(struct dp_verdict_key));
	memcpy(&d->entries[d->nentries++].verdict, value, sizeof(struct dp_verdict));
	return 0;
}

/* The intervals of a class, one entry each: [start, end) with the protocol in the
 * upper half. */
static int emit_interval(struct dump *d, uint32_t number, uint32_t identity, uint32_t start,
			 uint32_t end, const struct dp_verdict *v)
{
	static const uint8_t protocols[] = {
		[DP_PP_TCP] = IPPROTO_TCP,     [DP_PP_UDP] = IPPROTO_UDP,
		[DP_PP_SCTP] = IPPROTO_SCTP,   [DP_PP_ICMP] = IPPROTO_ICMP,
		[DP_PP_ICMPV6] = IPPROTO_ICMPV6,
	};

	while (start < end && start >> 16 < ARRAY_SIZE(protocols)) {
		uint32_t last = (start | 0xffff) < end - 1 ? start | 0xffff : end - 1;
		struct clite_policy_entry e = {
			.sz = sizeof(e),
			.table = number,
			.endpoint = d->endpoint,
			.direction = d->direction,
			.identity = identity,
			.protocol = protocols[start >> 16],
			.port = start & 0xffff,
			.end_port = last & 0xffff,
			.action = v->verdict == DP_VERDICT_ALLOW ? CLITE_ALLOW : CLITE_DENY,
			.rule = v->rule,
		};
		int r = CTX_CALL(d->ctx, d->cb(&e, d->userdata));

		if (r < 0)
			return r;
		d->n++;
		start = last + 1;
	}
	return 0;
}

static int emit_class(struct dump *d, uint32_t number, uint32_t identity,
		      const struct entry *entry)
{
	const struct dp_policy *p = &d->ctx->dp->policies[number];

	for (uint32_t i = 0; i < p->nports; i++) {
		const struct dp_port_interval *iv = &d->ctx->dp->ports[p->ports + i];
		uint32_t end = i + 1 < p->nports ? iv[1].start : (DP_PP_ICMPV6 + 1) << 16;
		int r;

		if (iv->class != entry->key.port_class)
			continue;
		r = emit_interval(d, number, identity, iv->start, end, &entry->verdict);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Everything of one table: each verdict for each identity of its class. */
static int emit_table(struct dump *d, uint32_t number)
{
	struct clite_policy_entry rest = {
		.sz = sizeof(rest),
		.table = number,
		.endpoint = d->endpoint,
		.direction = d->direction,
		.end_port = 65535,
		.rule = d->ctx->dp->policies[number].rule,
		.action = d->ctx->dp->policies[number].verdict == DP_VERDICT_ALLOW ? CLITE_ALLOW :
										      CLITE_DENY,
	};
	int r;

	for (size_t i = 0; i < d->nentries; i++) {
		const struct entry *e = &d->entries[i];

		if (e->key.policy != number)
			continue;
		if (!e->key.peer_class) {
			r = emit_class(d, number, 0, e);
			if (r < 0)
				return r;
		}
		for (size_t j = 0; e->key.peer_class && j < d->npeers; j++) {
			if (d->peers[j].key.policy != number ||
			    d->peers[j].class != e->key.peer_class)
				continue;
			r = emit_class(d, number, d->peers[j].key.identity, e);
			if (r < 0)
				return r;
		}
	}
	r = CTX_CALL(d->ctx, d->cb(&rest, d->userdata));
	d->n++;
	return r;
}

static int emit_endpoint(struct dump *d, const struct endpoint *e)
{
	const struct dp *dp = d->ctx->dp;
	const struct dp_ep_slot *s = &dp->eps[e->id].slot[dp->control->epoch & 1];
	uint32_t numbers[] = { [CLITE_INGRESS] = s->ingress, [CLITE_EGRESS] = s->egress };

	d->endpoint = e->id;
	for (d->direction = CLITE_INGRESS; d->direction <= CLITE_EGRESS; d->direction++) {
		int r = numbers[d->direction] ? emit_table(d, numbers[d->direction]) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

int clite_policy_entries(struct clite_ctx *ctx, uint32_t endpoint,
			 int (*cb)(const struct clite_policy_entry *entry, void *userdata),
			 void *userdata)
{
	struct dump d = { .ctx = ctx, .cb = cb, .userdata = userdata };
	int r = cb ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	if (endpoint && !state_endpoint(&ctx->st, endpoint))
		return err_set(&ctx->err, ENOENT, "there is no endpoint %u", endpoint);
	r = dp_walk(ctx->dp, MAP_PEERS, collect_peer, &d);
	if (!r)
		r = dp_walk(ctx->dp, MAP_VERDICTS, collect_entry, &d);
	for (size_t i = 0; r >= 0 && i < ctx->st.neps; i++)
		if (!endpoint || ctx->st.eps[i]->id == endpoint)
			r = emit_endpoint(&d, ctx->st.eps[i]);
	free(d.peers);
	free(d.entries);
	return r < 0 ? r : d.n;
}
