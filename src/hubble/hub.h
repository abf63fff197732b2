/* SPDX-License-Identifier: BSD-2-Clause */
/* The server, for its parts. */
#pragma once

#include <cilium-lite/context.h>
#include <cilium-lite/hubble.h>
#include <sys/queue.h>

#include "hubble/agent.h"
#include "hubble/base.h"
#include "hubble/encode.h"
#include "hubble/namespaces.h"
#include "hubble/ring.h"

#define NEVER UINT64_MAX

struct conn;
struct listener;

/* What an entry of the epoll set is; the first member of all that is in it. */
enum watch {
	WATCH_WAKE,
	WATCH_TIMER,
	WATCH_LISTENER,
	WATCH_CONN,
};

struct clite_hubble {
	struct clite_ctx *ctx; /* may be NULL */
	struct clite_subscription *sub;
	pid_t pid;
	char *node, *version, *error;
	uint64_t started; /* of the clock that never jumps, ns */

	int epoll;
	int wake;  /* eventfd: there is work that no socket tells of */
	int timer; /* timerfd, for deadlines and patience */
	enum watch watch_wake, watch_timer;
	bool woken, dispatching;
	bool deaf;	   /* some listener is not watched for a while */
	uint64_t timer_at; /* when it will go off; NEVER */
	uint64_t late;	   /* of now_mono(): then this dispatch leaves the rest to the next one */

	struct ring ring;
	struct encoder encoder;
	struct namespaces namespaces;
	struct agent agent;

	TAILQ_HEAD(, conn) conns;
	TAILQ_HEAD(, listener) listeners;
	uint32_t nconns, nconns_max, nclosed, nstreams, nfollowers;
	size_t request_bytes; /* that clients make us keep, all together */

	uint64_t seen, sent, overwritten, requests, refused;
	uint64_t lost;	       /* told by the datapath, put into the ring or not yet */
	uint64_t lost_told;    /* put into the ring */
	uint64_t lost_checked; /* time of an event, ns */
	struct clite_hubble_status status;
};

uint64_t now_mono(void); /* ns */
uint64_t now_real(void);

/* Have clite_hubble_fd() readable: there is something to do. */
void hub_wake(struct clite_hubble *h);
/* Has this dispatch taken long? */
bool hub_is_late(const struct clite_hubble *h);
/* Have it readable at a time of now_mono(), at the latest. */
void hub_timer(struct clite_hubble *h, uint64_t at);
/* Sets the text and returns -code. */
int hub_error(struct clite_hubble *h, int code, const char *fmt, ...) _printf_(3, 4);
/* New entries in the ring or among agent events: who follows gets them. */
void hub_news(struct clite_hubble *h);
/* Address that relays are told; "" when nobody can come. Borrowed. */
const char *hub_announced(struct clite_hubble *h, const struct listener **ret);
