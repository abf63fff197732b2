/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/judge.h"

#include <cilium-lite/policy.h>

#include <netinet/in.h>

bool rule_any_port(const struct rule *r)
{
	if (r->any_port)
		return true;
	for (size_t i = 0; i < r->nports; i++)
		if (!r->ports[i].name && !r->ports[i].protocol && !r->ports[i].first &&
		    r->ports[i].last == 65535)
			return true;
	return false;
}

static bool whole_protocols(const struct rule *r)
{
	for (size_t i = 0; i < r->nports; i++)
		if (r->ports[i].first || r->ports[i].last != 65535)
			return false;
	return true;
}

uint8_t rule_match(const struct rule *r)
{
	bool l3 = !r->any_peer;

	if (rule_any_port(r))
		return l3 ? DP_MATCH_L3 : DP_MATCH_ALL;
	if (whole_protocols(r))
		return l3 ? DP_MATCH_L3_PROTO : DP_MATCH_PROTO;
	return l3 ? DP_MATCH_L3_L4 : DP_MATCH_L4;
}

int match_rank(uint8_t match)
{
	static const uint8_t rank[] = {
		[DP_MATCH_L3_L4] = 6, [DP_MATCH_L3_PROTO] = 5, [DP_MATCH_L3] = 4,
		[DP_MATCH_L4] = 3,    [DP_MATCH_PROTO] = 2,    [DP_MATCH_ALL] = 1,
	};

	return rank[match];
}

static bool is_of(uint8_t protocol, uint32_t pp)
{
	static const uint8_t protocols[] = {
		[DP_PP_TCP] = IPPROTO_TCP,   [DP_PP_UDP] = IPPROTO_UDP,
		[DP_PP_SCTP] = IPPROTO_SCTP, [DP_PP_ICMP] = IPPROTO_ICMP,
		[DP_PP_ICMPV6] = IPPROTO_ICMPV6,
	};

	return protocol ? protocol == protocols[pp] : pp <= DP_PP_SCTP;
}

bool rule_has_port(const struct rule *r, uint32_t pp, uint16_t port)
{
	if (rule_any_port(r))
		return true;
	for (size_t i = 0; i < r->nports; i++) {
		const struct port_range *p = &r->ports[i];

		if (!p->name && is_of(p->protocol, pp) && p->first <= port && port <= p->last)
			return true;
	}
	return false;
}

struct dp_verdict judge(const struct ruleset *rs, const struct identity *peer, uint32_t pp,
			uint16_t port, void (*note)(const struct rule *r, void *data), void *data)
{
	const struct rule *best[2] = {};
	struct dp_verdict v = { .verdict = DP_VERDICT_ALLOW, .match = DP_MATCH_ALL };

	for (size_t i = 0; i < rs->n; i++) {
		const struct rule *r = rs->rules[i], *b = best[r->action];

		if (!rule_has_port(r, pp, port) || !rule_selects(r, peer))
			continue;
		if (note)
			note(r, data);
		if (!b || match_rank(rule_match(r)) > match_rank(rule_match(b)))
			best[r->action] = r;
	}
	if (best[CLITE_DENY] || best[CLITE_ALLOW]) {
		const struct rule *r = best[CLITE_DENY] ? best[CLITE_DENY] : best[CLITE_ALLOW];

		v.verdict = best[CLITE_DENY] ? DP_VERDICT_DENIED : DP_VERDICT_ALLOW;
		v.match = rule_match(r);
		v.rule = r->cookie;
	} else if (rs->default_deny) {
		v.verdict = DP_VERDICT_DENY;
		v.match = DP_MATCH_NONE;
	}
	return v;
}
