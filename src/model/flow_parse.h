/* SPDX-License-Identifier: BSD-2-Clause */
/* Flows from Hubble's JSON: what flow_json() writes, and Hubble. */
#pragma once

#include <cilium-lite/flow.h>

#include "util/util.h"

struct texts {
	const char **items; /* ends with NULL */
	size_t n, cap;
};

struct parsed_end {
	struct clite_flow_end end;
	struct texts labels, names;
	uint32_t id, identity;
};

/* A flow with the lists that it points to; its texts are in the line. Zero-initialised
 * is empty; may be used again and again. */
struct flow_parsed {
	struct clite_flow flow;
	struct clite_event event;
	struct parsed_end ends[2];
	struct clite_flow_policy *policies;
	const struct clite_flow_policy **list; /* of them; ends with NULL */
	size_t npolicies, policies_cap, list_cap;
	/* what is not in the flow as it is here */
	uint64_t outer_time;
	const char *outer_node;
	uint32_t ip_version;
	uint32_t match_type, trace_point, drop_reason_desc;
	bool reply; /* Hubble's field of old */
};

/* Read a line: len bytes that are written to, with a NUL behind them; they must outlive
 * what is read. 1: a flow; 0: JSON that is none (lost events, a node's state, ...);
 * -CLITE_EDOCUMENT, the text names the field; -ENOMEM. */
int flow_parse(struct flow_parsed *p, char *line, size_t len, struct errtext *err);
void flow_parsed_clear(struct flow_parsed *p);
