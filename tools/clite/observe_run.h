/* SPDX-License-Identifier: BSD-2-Clause */
/* A run of "clite observe": what was asked for, and where flows come from. */
#pragma once

#include "hubble.h"

enum observe_what {
	OBSERVE_FLOWS,
	OBSERVE_AGENT_EVENTS,
	OBSERVE_DEBUG_EVENTS,
};

struct observe {
	struct cli *cli;
	enum observe_what what;
	struct filter_options options;
	json_t *allow_json, *deny_json;
	struct flow_filters allow, deny;
	struct clite_filters *filters;
	const char *input;   /* a file, or NULL */
	struct strings mask; /* fields of JSON that are wanted; none: all */
	struct server server;
	uint64_t first, last; /* 0: not given */
	uint64_t since, until;
	bool all, follow, print_filters, silent, debug;
	uint32_t aggregation; /* as in clite_subscribe_opts */
	struct printer printer;
	int write_error;
};

/* Print a flow that was filtered. -ECANCELED: that is enough. */
int observe_printed(struct observe *o, int r); /* r: what printing said */
int observe_flow(struct observe *o, const struct clite_flow *flow);

int observe_file(struct observe *o);   /* observe_file.c */
int observe_server(struct observe *o); /* hubble.c */
