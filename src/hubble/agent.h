/* SPDX-License-Identifier: BSD-2-Clause */
/* Agent events: what changed in the instance. It is found by comparing the instance with
 * what it was, when its revision has grown. */
#pragma once

#include "hubble/base.h"

#define AGENT_EVENTS 1024 /* that are kept */

struct clite_hubble;
struct thing;

struct agent_event {
	uint64_t time;
	struct bytes message; /* with its frame, as it is sent */
};

struct agent {
	struct agent_event *events;
	uint64_t head; /* position of the next one */
	uint64_t revision;
	/* endpoints, policies and services as they were last */
	struct thing *things;
	size_t nthings, things_cap;
	bool known;    /* they are */
	uint32_t turn; /* of looking */
};

int agent_init(struct clite_hubble *h); /* -ENOMEM */
/* Look what has changed since the last time. */
void agent_look(struct clite_hubble *h);
void agent_clear(struct agent *a);
