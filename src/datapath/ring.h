/* SPDX-License-Identifier: BSD-2-Clause */
/* A subscriber's ring of events, in one of the instance's slots. */
#pragma once

#include "datapath/dp.h"

struct ring;

struct ring_opts {
	uint32_t types;	  /* bits 1 << DP_EV_* */
	uint32_t bytes;	  /* a power of two and a multiple of the page size */
	uint32_t capture; /* bytes of the packet behind each record */
	bool every;	  /* every packet, not only what is due */
	const struct dp_filters *filters; /* alternatives of which one must hold */
	uint32_t nfilters;		  /* 0: all that is of the types */
};

/* A record, aligned to 8 bytes, which does not change during the call. A negative return
 * stops, and the record counts as taken. */
typedef int (*ring_cb)(void *data, const void *record, size_t len);

int ring_open(struct dp *dp, const struct ring_opts *opts, ring_cb cb, void *data,
	      struct ring **ret, struct errtext *err);
struct ring *ring_close(struct ring *r); /* returns NULL */
int ring_fd(struct ring *r); /* for epoll, edge triggered: it does not know who was woken */
/* Call cb for what is there, at most a ring full: 0, or cb's negative return. */
int ring_consume(struct ring *r);
/* Be woken when there are more than so many bytes to read. false: there are already, and no
 * wake comes. */
bool ring_wait(struct ring *r, uint32_t bytes);
void ring_wait_not(struct ring *r);
/* Go on being a subscriber; to be called every few seconds. Who comes too late goes on in
 * another slot, should his have been taken. */
void ring_renew(struct ring *r);
uint64_t ring_lost(struct ring *r);
/* Live slots of an instance. */
uint32_t ring_count(struct dp *dp);

#define RING_LEASE 10 /* seconds */
#define RING_RENEW 3
