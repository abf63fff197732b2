/* SPDX-License-Identifier: BSD-2-Clause */
/* The context, as the files of the API share it. */
#pragma once

#include <cilium-lite/context.h>
#include <cilium-lite/event.h>
#include <cilium-lite/policy.h>

#include <net/if.h>

#include "datapath/ring.h"
#include "datapath/state.h"
#include "model/flow.h"

struct clite_ctx {
	uint32_t refs;
	pid_t pid;
	bool gone;     /* destroyed */
	int walking;   /* inside a callback of a list */
	bool dispatching;
	struct dp *dp;
	struct state st;
	struct errtext err;

	int epoll_fd;
	int timer_fd; /* renews the leases */
	int soon_fd;  /* a timer, once: rings that are busy are looked at again */
	bool soon;    /* it is set */
	struct clite_subscription *subs;

	/* What was lent out by the last call. */
	void *lent;
	void (*lent_free)(void *memory);
	struct clite_status status;
	struct clite_rule_info rule;
	struct flow_record flow;
	char node[256]; /* name of the host; "": not asked yet */
	struct device_name {
		uint32_t ifindex;
		time_t asked; /* in this second of the monotonic clock */
		char name[IF_NAMESIZE]; /* "": there is none */
	} device_names[256];
};

/* What every strict function does first: is the context usable? Clears the error
 * text. fresh: also load what others have changed. */
/* A list of texts that ends with NULL, as sorted prefixes, each once. what: such as
 * "source", for messages. -EINVAL, -ENOMEM. */
int prefixes_parse(const char *const *texts, const char *what, struct prefix **ret, size_t *ret_n,
		   struct errtext *err);
int ctx_enter(struct clite_ctx *ctx);
int ctx_read(struct clite_ctx *ctx);
/* Begin and end a change of state. */
int ctx_begin(struct clite_ctx *ctx);
int ctx_end(struct clite_ctx *ctx, int ret);

/* Keep memory until the next call on the context; takes it over. NULL: -ENOMEM. */
int ctx_lend(struct clite_ctx *ctx, void *memory);
/* The same for memory that owns more. */
int ctx_lend_whole(struct clite_ctx *ctx, void *memory, void (*destroy)(void *memory));

/* Call an expression for a list's callback with the context locked against use. */
#define CTX_CALL(ctx, call)       \
	({                        \
		int r_;           \
		(ctx)->walking++; \
		r_ = (call);      \
		(ctx)->walking--; \
		r_;               \
	})

/* An event's names. Borrowed until the next time; does not refresh the state. -ENOMEM. */
int ctx_flow(struct clite_ctx *ctx, const struct clite_event *event, const struct clite_flow **ret);
const struct clite_rule_info *ctx_rule(struct clite_ctx *ctx, uint32_t cookie);

/* conntrack.c: how many entries of MAP_FLOW4 or MAP_FLOW6 are alive, by a sample of all */
int ctx_flows_estimate(struct clite_ctx *ctx, enum dp_map map, uint64_t sample, double *ret);

/* event.c */
void subscriptions_orphan(struct clite_ctx *ctx);
