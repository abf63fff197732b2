/* SPDX-License-Identifier: BSD-2-Clause */
/* A subscriber's ring of events, in one of the instance's slots. */
#pragma once

#include "datapath/dp.h"

struct ring;

/* cb: as libbpf's: a negative return stops, and the record counts as taken. */
int ring_open(struct dp *dp, uint32_t types, bool every, uint32_t bytes,
	      int (*cb)(void *data, void *record, size_t len), void *data, struct ring **ret,
	      struct errtext *err);
struct ring *ring_close(struct ring *r); /* returns NULL */
int ring_fd(struct ring *r);		 /* for epoll */
/* Call cb for what is there: a count, or cb's negative return. */
int ring_consume(struct ring *r);
/* Go on being a subscriber; to be called every few seconds. */
void ring_renew(struct ring *r);
uint64_t ring_lost(struct ring *r);
/* Live slots of an instance. */
uint32_t ring_count(struct dp *dp);

#define RING_LEASE 10 /* seconds */
#define RING_RENEW 3
