/* SPDX-License-Identifier: BSD-2-Clause */
/* What a rule set says of one packet, rule by rule: for those who ask why, and for
 * policies that are not in force. The compiler does the same for all packets at
 * once; both share what a rule is, and which of several is credited. */
#pragma once

#include "model/compile.h"

/* Ports that leave nothing out are none. */
bool rule_any_port(const struct rule *r);
/* DP_MATCH_* of its verdicts. */
uint8_t rule_match(const struct rule *r);
/* Which of two is credited: that with the higher rank. */
int match_rank(uint8_t match);
/* Is it about a port? pp: DP_PP_*; of ICMP the port is the type. */
bool rule_has_port(const struct rule *r, uint32_t pp, uint16_t port);

/* The verdict on a packet from or to a peer, and, if note is not NULL, each rule that
 * is about it, in order of the set. Without enforcement all is allowed, by none. */
struct dp_verdict judge(const struct ruleset *rs, const struct identity *peer, uint32_t pp,
			uint16_t port, void (*note)(const struct rule *r, void *data), void *data);
