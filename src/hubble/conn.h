/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections: bytes between the socket, TLS and HTTP/2. */
#pragma once

#include "hubble/grpc.h"
#include "hubble/listen.h"

struct conn {
	enum watch watch;
	int fd;
	struct clite_hubble *hub;
	SSL *ssl;   /* NULL: without TLS */
	bool ready; /* TLS is done */
	bool closed;
	bool turn;	 /* it has something to do beside what its socket tells */
	uint32_t events; /* in the epoll set */
	nghttp2_session *session;
	struct bytes out; /* for the socket */
	LIST_HEAD(, stream) streams;
	uint64_t patience; /* of now_mono(): it is closed then unless it asks for something */
	bool greeted;	   /* it has spoken HTTP/2 */
	TAILQ_ENTRY(conn) entry;
};

/* Takes fd, also on failure. */
void conn_open(struct clite_hubble *h, struct listener *l, int fd);
/* Its socket has something (EPOLL*). */
void conn_ready(struct conn *c, uint32_t events);
/* What it can send now; resumes streams first. */
void conn_serve(struct conn *c);
/* Deadlines of its streams, its own patience. Returns when to look again. */
uint64_t conn_timers(struct conn *c, uint64_t now);
/* It is freed when the dispatch is over. */
void conn_close(struct conn *c);
/* alive: not in a child after fork(2), where the epoll set is the parent's, too. */
void conn_free(struct conn *c, bool alive);
