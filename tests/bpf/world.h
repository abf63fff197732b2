/* SPDX-License-Identifier: BSD-2-Clause */
/* A small world for tests of the programs: a network namespace of its own, an
 * ephemeral instance, two endpoints on veth pairs, packets by test run. */
#pragma once

#include <cilium-lite/cilium-lite.h>

#include "packet.h"

#define A4 "10.0.0.1"
#define A6 "fd00::1"
#define B4 "10.0.0.2"
#define B6 "fd00::2"
#define W4 "192.0.2.9" /* somewhere in the world: routed */
#define W6 "2001:db8::9"
#define HOST4 "10.0.9.9" /* the host's own */

/* What a program returned. */
#define ACT_PASS (-1)
#define ACT_DROP 2
#define ACT_REDIRECT 7

extern struct clite_ctx *ctx;
extern uint32_t ep_a, ep_b;	   /* endpoints */
extern uint32_t if_a, if_b, if_up; /* host-side devices; the uplink */
extern uint8_t mac_a[6], mac_b[6]; /* inside A and B */
extern uint8_t host_a[6], host_b[6];

/* Make and remove it; flags of clite_open(). */
void world_make(uint32_t flags);
void world_remove(void);
/* Forget all flows and policies. */
void world_reset(void);

/* The result of the last run. */
extern uint8_t out[PACKET_MAX];
extern size_t out_len;

/* Run a packet through a program; returns what it says. in_ifindex: where the
 * stack got it from, 0: made by the host. */
int run(const char *prog, uint32_t ifindex, uint32_t in_ifindex, const struct packet *p);
/* A frame through from_xdp; XDP_*. */
int run_xdp(uint32_t ifindex, const struct packet *p);
int from_a(const struct packet *p);
int from_b(const struct packet *p);
int host_to_b(const struct packet *p);
int world_to_b(const struct packet *p);

/* The drop reason of the last run that dropped; 0 if the last did not. */
uint32_t dropped(void);
void import(const char *document);
