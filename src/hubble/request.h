/* SPDX-License-Identifier: BSD-2-Clause */
/* What a client asks for, checked. */
#pragma once

#include <cilium-lite/filter.h>

#include "hubble/base.h"
#include "hubble/mask.h"
#include "observer.pb-c.h"

/* Of flows, or of other events. */
struct request {
	uint64_t number;
	bool follow, first;
	bool has_since, has_until;
	uint64_t since, until;	       /* ns since 1970 */
	struct clite_filters *filters; /* NULL: all pass */
	struct mask *mask;	       /* NULL: all of a flow */
};

/* 0; -EINVAL: *ret_error is what is wrong with it, to be freed; -ENOMEM. */
int request_read(const Observer__GetFlowsRequest *m, struct request *ret, char **ret_error);
void request_clear(struct request *request);

/* filter.c: add a filter's message to a set. As above. */
int filter_add(struct clite_filters *filters, uint32_t list, const Flow__FlowFilter *m,
	       char **ret_error);

/* Set the text; returns -EINVAL. */
int request_error(char **error, const char *fmt, ...) _printf_(2, 3);
