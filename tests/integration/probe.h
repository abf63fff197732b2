/* SPDX-License-Identifier: BSD-2-Clause */
/* Probes of everybody to everybody, by real sockets: TCP connects, UDP asks and is
 * answered, SCTP sends an INIT and gets an INIT ACK. All of a round are under way
 * together, each from a port that no round before it used. */
#pragma once

#include "stage.h"

#define MAX_PEERS 11

enum { TCP, UDP, SCTP, PROTOCOLS };
enum { PORT_80, PORT_81, PORTS };

extern const char *const protocol_names[PROTOCOLS];
extern const unsigned int port_numbers[PORTS];

/* What became of a probe. None of them: nothing came within the time. */
#define PASSED 1u  /* there and back */
#define DENIED 2u  /* the datapath tells that it dropped it because of a policy */
#define FAILED 4u  /* the socket reports an error, or it was dropped for another reason */

struct outcome {
	uint8_t of[PROTOCOLS][PORTS][MAX_PEERS][MAX_PEERS];
};

/* Open the servers of all peers; those from first_outside on are no endpoints: the
 * datapath does not see what they say to each other, so it is not probed. */
void probe_init(const struct workload *peers, int npeers, int first_outside);
bool is_probed(int from, int to);
/* One round. It ends when something became of every probe. */
void probe_all(struct clite_ctx *ctx, struct outcome *ret);
