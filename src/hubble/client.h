/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside the client: the connection, its HTTP/2, calls, and their messages. */
#pragma once

#include <netdb.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <protobuf-c/protobuf-c.h>
#include <sys/types.h>

#include <cilium-lite/hubble_client.h>

#include "hubble/flow_pb.h"

/* ---- what went wrong -------------------------------------------------------------- */

/* A text, or NULL. */
struct failure {
	char *text;
};

/* Control characters, as a server might send, become '?'. Returns -err. */
int failure_set(struct failure *f, int err, const char *fmt, ...) _printf_(3, 4);
void failure_clear(struct failure *f);

/* ---- bytes to and from the server (client_wire.c) ---------------------------------- */

struct wire {
	int fd;
	bool up; /* connected, and TLS agreed upon */
	bool connected;
	char *target; /* as the user wrote it */
	char *host;   /* for :authority and certificates */
	char *path;   /* of a Unix socket, or NULL */
	struct addrinfo *addresses, *next;
	SSL_CTX *tls; /* NULL: none */
	SSL *ssl;
	struct bytes out; /* as it goes out */
};

/* Zero-initialised but for fd, -1. 0 or a negative errno with the failure set. */
int wire_open(struct wire *w, const char *address, const struct clite_hubble_client_opts *opts,
	      struct failure *f);
/* Go on connecting. 1: up, 0: not yet, or a negative errno. */
int wire_advance(struct wire *w, struct failure *f);
/* Bytes, 0: none for now, or a negative errno; the end of the connection is -ECONNRESET. */
ssize_t wire_read(struct wire *w, void *buf, size_t size, struct failure *f);
int wire_write(struct wire *w, const void *data, size_t len, struct failure *f);
/* Send what the socket takes. */
int wire_flush(struct wire *w, struct failure *f);
bool wire_wants_write(const struct wire *w);
void wire_close(struct wire *w);

/* ---- TLS (client_tls.c) -------------------------------------------------------------- */

int client_tls_init(struct wire *w, const struct clite_hubble_client_opts *opts, bool insecure,
		    struct failure *f);
int client_tls_start(struct wire *w, struct failure *f);
int client_tls_handshake(struct wire *w, struct failure *f); /* 1: done, 0: not yet */
ssize_t client_tls_read(struct wire *w, void *buf, size_t size, struct failure *f);
int client_tls_write(struct wire *w, const void *data, size_t len, struct failure *f);

/* ---- calls ---------------------------------------------------------------------------- */

typedef int answer_fn(const struct clite_hubble_answer *answer, void *userdata);

struct clite_hubble_call {
	struct clite_hubble_call *next;	    /* of the client */
	struct clite_hubble_client *client; /* NULL: it is gone */
	answer_fn *cb;
	void *userdata;
	uint32_t method;
	int32_t stream;
	uint64_t deadline; /* CLOCK_MONOTONIC ns; 0: none */

	struct bytes out; /* the request, as it goes out */
	struct bytes in;  /* messages, with their prefixes */
	size_t held;	  /* of it: bytes that flow control does not know to be done with */
	size_t header_bytes;

	/* what was unpacked from the last message: so many answers, told up to index */
	ProtobufCMessage *message;
	size_t nanswers, index;
	struct arena arena;
	struct flow_record flow;

	bool over;    /* the stream is closed, or never was */
	bool told;    /* its end was */
	bool dropped; /* by the user, in its callback */
	bool busy;    /* its callback runs */
	int error;    /* of this side; the server's is in grpc_status */
	struct failure failure;
	int http_status; /* 0: none came */
	int grpc_status; /* -1: none came */
	char *grpc_message;
};

struct clite_hubble_client {
	pid_t pid;
	int epoll_fd, timer_fd;
	uint32_t events; /* that the socket is waited for with */
	struct wire wire;
	nghttp2_session *http;
	bool spoken; /* the server speaks HTTP/2 */
	bool more;   /* not all that came was read; it may be OpenSSL that has it */
	struct clite_hubble_call *calls;
	bool dispatching;
	int error; /* the connection is over */
	struct failure failure;
	uint64_t connect_deadline;
	uint64_t connect_timeout, request_timeout;
	uint32_t max_message;
};

uint64_t client_now(void);
/* The connection is over, and all calls with it. */
void client_break(struct clite_hubble_client *c, int err);

/* ---- HTTP/2 and gRPC's framing (client_http.c) ---------------------------------------- */

int http_init(struct clite_hubble_client *c);
/* 0 or a negative errno with the client's failure set. */
int http_receive(struct clite_hubble_client *c, const void *data, size_t len);
/* Give the wire what there is to send. */
int http_send(struct clite_hubble_client *c);
int http_call(struct clite_hubble_call *call);
void http_reset(struct clite_hubble_call *call, uint32_t code);
/* Bytes of a message were told. */
void http_consume(struct clite_hubble_call *call);

/* ---- messages --------------------------------------------------------------------------- */

struct method {
	const char *path; /* "/observer.Observer/GetFlows" */
	const ProtobufCMessageDescriptor *answer;
	bool stream;
};

/* NULL: there is none. (client_request.c) */
const struct method *client_method(uint32_t method);
/* The request as it goes out, with its prefix. */
int request_pack(uint32_t method, const struct clite_hubble_request *request, struct bytes *out,
		 struct failure *f);

/* What a message of this method holds. (client_answer.c) */
size_t answers_of(uint32_t method, const ProtobufCMessage *message);
/* Answer number index of call->message. -ENOMEM. */
int answer_get(struct clite_hubble_call *call, struct clite_hubble_answer *answer);

/* "id: 3, namespace: default, ..." in the arena. (client_event.c) */
const char *agent_event_text(struct arena *a, const Flow__AgentEvent *e);
const char *arena_printf(struct arena *a, const char *fmt, ...) _printf_(2, 3);

/* JSON as protobuf writes it, of any of the messages here; false: no memory. (client_json.c) */
bool message_json(const ProtobufCMessage *message, struct bytes *out);
