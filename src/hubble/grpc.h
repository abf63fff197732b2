/* SPDX-License-Identifier: BSD-2-Clause */
/* gRPC on HTTP/2: requests come in, messages and a status go out. */
#pragma once

#include <nghttp2/nghttp2.h>
#include <protobuf-c/protobuf-c.h>

#include "hubble/hub.h"

#define REQUEST_MAX (256u << 10)    /* bytes of a request's message */
#define REQUEST_MEMORY (8u << 20)   /* of what it becomes */
#define REQUESTS_MEMORY (64u << 20) /* of all requests of all clients */
#define REQUEST_PATIENCE (30 * NS)  /* from its headers to its end */
#define IDLE_PATIENCE (1800 * NS)   /* without a request */
#define STREAMS_MAX 100		    /* of a connection */
#define HEADERS_MAX (16u << 10)	    /* bytes of a request's headers */

enum grpc_code {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
};

/* What a stream is to do when it may send again. */
enum more {
	MORE_WAIT,  /* nothing before hub_news() */
	MORE_STAY,  /* nothing, but it stays open */
	MORE_AGAIN, /* looked for a while; goes on when others had their turn */
	MORE_END,   /* that was all, or a failure: stream_fail() */
	MORE_FULL,  /* enough for now */
};

struct stream;

struct method {
	const char *path;
	const ProtobufCMessageDescriptor *request;
	/* Answers with stream_put() and sets more for what comes later. Not 0: the status,
	 * as stream_fail() returns it. */
	enum grpc_code (*start)(struct stream *s, const ProtobufCMessage *request);
};

/* services.c. NULL: there is none. */
const struct method *method_find(const char *path);

struct stream {
	LIST_ENTRY(stream) entry;
	struct conn *conn;
	struct clite_hubble *hub;
	int32_t id;
	const struct method *method;

	/* request */
	struct bytes request;
	size_t headers_size;
	size_t counted;	   /* of request_bytes of the hub */
	uint64_t deadline; /* of now_mono(): until then it is whole, then answered; NEVER */
	uint64_t timeout;  /* what of that the client asked for */
	char *path;
	bool is_post, is_grpc, encoded, bad_timeout;
	bool started; /* the request was whole, or refused */

	/* answer */
	struct bytes out; /* with their lengths before them */
	bool replying;	  /* headers are sent */
	bool deferred;	  /* nghttp2 waits for us */
	bool ended;
	bool follows; /* deferred until there is news */
	bool tired;   /* to be deferred next: it looked long for what it sends */
	enum grpc_code code;
	char *message; /* of the failure */
	/* Appends about room bytes to out. NULL: out is all. */
	enum more (*more)(struct stream *s, size_t room);
	void (*release)(void *state);
	void *state;
	uint64_t end_at; /* of now_mono(), then it has got all; NEVER */
};

/* Append a message to the answer. -ENOMEM. */
int stream_put(struct stream *s, const ProtobufCMessage *message);
int message_frame(struct bytes *out, const ProtobufCMessage *message); /* the same elsewhere */
/* Have it end with a status other than GRPC_OK. Returns code. */
enum grpc_code stream_fail(struct stream *s, enum grpc_code code, const char *fmt, ...)
	_printf_(3, 4);
/* More may be there to send. */
void stream_resume(struct stream *s);
/* Deadlines: what is over ends. Returns when to look again. */
uint64_t stream_timers(struct stream *s, uint64_t now);

/* The HTTP/2 side of a connection. -ENOMEM. */
int grpc_session(struct conn *c, nghttp2_session **ret);
/* The connection is gone. */
void grpc_streams_free(struct conn *c);
