/* SPDX-License-Identifier: BSD-2-Clause */
/* Flows: events with names, from the event to text and JSON. */
#pragma once

#include <cilium-lite/flow.h>

#include "model/event.h"
#include "util/util.h"

/* A flow with the memory of what it points to, but for labels and the texts of rules,
 * which stay their owners'. Zero-initialised is empty; may be used again and again. */
struct flow_record {
	struct clite_flow flow;
	struct clite_flow_end ends[2];
	struct clite_flow_policy policies[2];
	struct clite_rule_info rules[2];
	const struct clite_flow_policy *list[3];
	struct buf text;
	const char **fields[24]; /* that point into the text */
	size_t nfields;
};

/* e stays the caller's, as long as the record is used. -ENOMEM. */
int flow_resolve(struct flow_record *r, const struct clite_event *e,
		 const struct event_names *names);
void flow_record_clear(struct flow_record *r);

/* Is it one, of this version, with all that it must point to? */
bool flow_valid(const struct clite_flow *f);

/* One line, as hubble observe -o compact; then, where a rule decided,
 * " rule=POLICY DIRECTION[INDEX] FILE:LINE". */
void flow_text(const struct clite_flow *f, struct buf *out);
/* The same of a packet in a capture, which tells its time and flags itself: "Policy denied
 * DROPPED reason=133 at policy.h:88: default/red:4000 (ID:256) -> blue:80 (ID:257)". */
void flow_comment(const struct clite_flow *f, struct buf *out);
/* {"flow":{...},"node_name":"...","time":"..."}, as hubble observe -o json. */
void flow_json(const struct clite_flow *f, struct buf *out);
/* The same for events that were lost; source is a name of Hubble's LostEventSource. */
void flow_lost_json(const char *source, uint64_t n, const char *node, uint64_t time,
		    struct buf *out);

/* Hubble's names: "FORWARDED", "L3_L4"; NULL for numbers that have none. */
const char *flow_verdict_name(uint32_t verdict);
const char *flow_kind_name(uint32_t kind);
