/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/grpc.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "hubble/conn.h"

#define PREFIX 5	     /* bytes before a message: compressed or not, and its length */
#define DATA_MAX (64u << 10) /* of a frame, if the client takes that */

/* ---- answers --------------------------------------------------------------------- */

int message_frame(struct bytes *out, const ProtobufCMessage *message)
{
	size_t n = protobuf_c_message_get_packed_size(message);
	uint8_t *p;

	if (n > UINT32_MAX || !bytes_room(out, PREFIX + n))
		return -ENOMEM;
	p = out->data + out->len;
	p[0] = 0;
	for (int i = 0; i < 4; i++)
		p[1 + i] = (uint8_t)(n >> (24 - 8 * i));
	protobuf_c_message_pack(message, p + PREFIX);
	out->len += PREFIX + n;
	return 0;
}

int stream_put(struct stream *s, const ProtobufCMessage *message)
{
	return message_frame(&s->out, message);
}

enum grpc_code stream_fail(struct stream *s, enum grpc_code code, const char *fmt, ...)
{
	va_list ap;

	free(s->message);
	va_start(ap, fmt);
	if (vasprintf(&s->message, fmt, ap) < 0)
		s->message = NULL;
	va_end(ap);
	s->code = code;
	return code;
}

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name,
		.namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value,
		.valuelen = strlen(value),
	};
}

/* Percent-encoded, as gRPC wants it in a header. */
static char *message_header(const char *message)
{
	char *out = malloc(3 * strlen(message) + 1), *to = out;

	if (!out)
		return NULL;
	for (; *message; message++) {
		if (*message >= ' ' && *message <= '~' && *message != '%')
			*to++ = *message;
		else
			to += sprintf(to, "%%%02X", (unsigned char)*message);
	}
	*to = '\0';
	return out;
}

/* The status, in headers that are also the end (nothing was sent yet), or after all. */
static int send_status(struct stream *s)
{
	_cleanup_free_ char *message = s->message ? message_header(s->message) : NULL;
	char code[12] = "";
	nghttp2_nv nv[] = {
		header(":status", "200"),
		header("content-type", "application/grpc"),
		header("grpc-accept-encoding", "identity"),
		header("grpc-status", code),
		header("grpc-message", message ?: ""),
	};
	size_t n = message ? 5 : 4;

	nv[3].valuelen = (size_t)snprintf(code, sizeof(code), "%d", (int)s->code);
	if (s->replying)
		return nghttp2_submit_trailer(s->conn->session, s->id, nv + 3, n - 3);
	s->replying = s->ended = true;
	return nghttp2_submit_response(s->conn->session, s->id, nv, n, NULL);
}

/* Not even gRPC. */
static int send_http(struct stream *s, const char *status)
{
	nghttp2_nv nv[] = { header(":status", status) };

	s->replying = s->ended = s->started = true;
	return nghttp2_submit_response(s->conn->session, s->id, nv, 1, NULL);
}

static void stream_defer(struct stream *s, enum more more)
{
	s->deferred = true;
	s->follows = more == MORE_WAIT;
	s->hub->nfollowers += s->follows;
	if (more == MORE_AGAIN) {
		s->conn->turn = true;
		hub_wake(s->hub);
	}
}

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
			   uint32_t *flags, nghttp2_data_source *source, void *data)
{
	struct stream *s = source->ptr;
	enum more more = MORE_FULL;
	size_t n;

	(void)session;
	(void)id;
	(void)data;
	if (s->tired) { /* it had its turn, though it found something */
		s->tired = false;
		stream_defer(s, MORE_AGAIN);
		return NGHTTP2_ERR_DEFERRED;
	}
	while (!s->ended && bytes_left(&s->out) < length && more == MORE_FULL) {
		more = s->more ? s->more(s, length - bytes_left(&s->out)) : MORE_END;
		s->ended = more == MORE_END;
	}
	n = bytes_left(&s->out) < length ? bytes_left(&s->out) : length;
	if (n)
		memcpy(buf, s->out.data + s->out.off, n);
	bytes_take(&s->out, n);
	if (s->ended && !bytes_left(&s->out)) {
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		return send_status(s) ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : (ssize_t)n;
	}
	if (n) {
		s->tired = more == MORE_AGAIN && !bytes_left(&s->out);
		return (ssize_t)n;
	}
	stream_defer(s, more);
	return NGHTTP2_ERR_DEFERRED;
}

static void undefer(struct stream *s)
{
	s->hub->nfollowers -= s->deferred && s->follows;
	s->deferred = s->follows = false;
}

void stream_resume(struct stream *s)
{
	if (!s->deferred)
		return;
	undefer(s);
	nghttp2_session_resume_data(s->conn->session, s->id);
}

static int reply(struct stream *s)
{
	nghttp2_nv nv[] = {
		header(":status", "200"),
		header("content-type", "application/grpc"),
		header("grpc-accept-encoding", "identity"),
	};
	nghttp2_data_provider provider = {
		.source.ptr = s,
		.read_callback = read_answer,
	};

	s->started = true;
	if (s->code)
		return send_status(s);
	s->replying = true;
	return nghttp2_submit_response(s->conn->session, s->id, nv, ARRAY_SIZE(nv), &provider);
}

/* ---- requests -------------------------------------------------------------------- */

static int refuse(struct stream *s, enum grpc_code code, const char *text)
{
	bytes_clear(&s->request);
	stream_fail(s, code, "%s", text);
	return reply(s);
}

/* A request's message may ask for much memory with few bytes. */
struct limit {
	size_t left;
	bool reached;
};

static void *limited_alloc(void *data, size_t size)
{
	struct limit *limit = data;

	if (size > limit->left) {
		limit->reached = true;
		return NULL;
	}
	limit->left -= size;
	return malloc(size);
}

static void limited_free(void *data, void *p)
{
	(void)data;
	free(p);
}

static int unpack_and_start(struct stream *s)
{
	struct limit limit = { .left = REQUEST_MEMORY };
	ProtobufCAllocator allocator = {
		.alloc = limited_alloc,
		.free = limited_free,
		.allocator_data = &limit,
	};
	ProtobufCMessage *m = protobuf_c_message_unpack(
		s->method->request, &allocator, s->request.len - PREFIX, s->request.data + PREFIX);

	if (!m)
		return refuse(s, limit.reached ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL,
			      limit.reached ? "the request needs too much memory" :
					      "the request's message cannot be read");
	bytes_clear(&s->request);
	s->code = s->method->start(s, m);
	protobuf_c_message_free_unpacked(m, &allocator);
	return reply(s);
}

static size_t message_length(const struct bytes *b)
{
	return (size_t)b->data[1] << 24 | (size_t)b->data[2] << 16 | (size_t)b->data[3] << 8 |
	       b->data[4];
}

/* The request is whole. */
static int request_end(struct stream *s)
{
	const struct bytes *b = &s->request;

	if (s->started)
		return 0;
	s->hub->requests++;
	s->deadline = s->timeout;
	if (b->len < PREFIX || b->len - PREFIX < message_length(b))
		return refuse(s, GRPC_INTERNAL, "the request ends before its message does");
	if (b->len - PREFIX > message_length(b))
		return refuse(s, GRPC_INTERNAL, "the request has more than one message");
	return unpack_and_start(s);
}

static int request_data(struct stream *s, const uint8_t *data, size_t len)
{
	struct bytes *b = &s->request;

	if (s->started)
		return 0;
	if (s->hub->request_bytes > REQUESTS_MEMORY)
		return refuse(s, GRPC_RESOURCE_EXHAUSTED,
			      "requests of all clients need too much memory");
	if (b->len + len > PREFIX + REQUEST_MAX)
		return refuse(s, GRPC_RESOURCE_EXHAUSTED,
			      "the request is longer than 262144 bytes");
	if (!bytes_put(b, data, len))
		return refuse(s, GRPC_RESOURCE_EXHAUSTED, "no memory");
	s->counted += len;
	s->hub->request_bytes += len;
	if (b->len < PREFIX)
		return 0;
	if (b->data[0])
		return refuse(s, GRPC_UNIMPLEMENTED,
			      "compressed messages are not supported; identity is");
	if (message_length(b) > REQUEST_MAX)
		return refuse(s, GRPC_RESOURCE_EXHAUSTED,
			      "the request is longer than 262144 bytes");
	return 0;
}

/* "100m": at most eight digits and a unit. */
static bool parse_timeout(const char *s, uint64_t *ret)
{
	static const char units[] = "HMSmun";
	static const uint64_t ns[] = { 3600 * NS, 60 * NS, NS, 1000000, 1000, 1 };
	size_t digits = strspn(s, "0123456789");
	const char *unit = s[digits] ? strchr(units, s[digits]) : NULL;

	if (!digits || digits > 8 || !unit || s[digits + 1])
		return false;
	*ret = strtoul(s, NULL, 10) * ns[unit - units];
	return true;
}

static int request_header(struct stream *s, const char *name, const char *value)
{
	uint64_t timeout;

	if (!strcmp(name, ":path")) {
		free(s->path);
		s->path = strdup(value);
		return s->path ? 0 : -ENOMEM;
	}
	if (!strcmp(name, ":method")) {
		s->is_post = !strcmp(value, "POST");
	} else if (!strcmp(name, "content-type")) {
		s->is_grpc = !strcmp(value, "application/grpc") ||
			     !strncmp(value, "application/grpc+proto", 22) ||
			     !strncmp(value, "application/grpc;", 17);
	} else if (!strcmp(name, "grpc-encoding")) {
		s->encoded = strcmp(value, "identity") != 0;
	} else if (!strcmp(name, "grpc-timeout")) {
		if (!parse_timeout(value, &timeout))
			s->bad_timeout = true;
		else
			s->timeout = now_mono() + timeout;
	}
	return 0;
}

/* What nobody serves is refused now: who asks may never end his request (reflection). */
static int headers_end(struct stream *s)
{
	uint64_t patience = now_mono() + REQUEST_PATIENCE;

	if (!s->is_post)
		return send_http(s, "405");
	if (!s->is_grpc)
		return send_http(s, "415");
	if (s->bad_timeout)
		return refuse(s, GRPC_INTERNAL, "the header grpc-timeout cannot be read");
	s->method = s->path ? method_find(s->path) : NULL;
	if (!s->method) {
		stream_fail(s, GRPC_UNIMPLEMENTED, "unknown method %s", s->path ?: "");
		return reply(s);
	}
	if (s->encoded)
		return refuse(s, GRPC_UNIMPLEMENTED,
			      "compressed messages are not supported; identity is");
	s->deadline = s->timeout < patience ? s->timeout : patience;
	hub_timer(s->hub, s->deadline);
	return 0;
}

/* ---- time ------------------------------------------------------------------------ */

static void deadline(struct stream *s)
{
	if (!s->replying) {
		refuse(s, GRPC_DEADLINE_EXCEEDED,
		       s->deadline == s->timeout ? "the deadline is over" :
						   "the request did not come to its end");
	} else if (bytes_left(&s->out)) { /* perhaps in the middle of a message */
		nghttp2_submit_rst_stream(s->conn->session, NGHTTP2_FLAG_NONE, s->id,
					  NGHTTP2_CANCEL);
	} else {
		stream_fail(s, GRPC_DEADLINE_EXCEEDED, "the deadline is over");
		s->ended = true;
		stream_resume(s);
	}
	s->deadline = NEVER;
}

uint64_t stream_timers(struct stream *s, uint64_t now)
{
	if (s->end_at <= now) {
		s->end_at = NEVER;
		s->ended = true;
		stream_resume(s);
	}
	if (s->deadline <= now)
		deadline(s);
	return s->deadline < s->end_at ? s->deadline : s->end_at;
}

/* ---- nghttp2 --------------------------------------------------------------------- */

static int fatal(int r)
{
	return r ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void stream_free(struct stream *s)
{
	undefer(s);
	s->hub->nstreams--;
	s->hub->request_bytes -= s->counted;
	LIST_REMOVE(s, entry);
	if (s->release)
		s->release(s->state);
	bytes_clear(&s->request);
	bytes_clear(&s->out);
	free(s->path);
	free(s->message);
	free(s);
}

void grpc_streams_free(struct conn *c)
{
	while (!LIST_EMPTY(&c->streams))
		stream_free(LIST_FIRST(&c->streams));
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
	struct conn *c = data;
	struct stream *s;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	s->conn = c;
	s->hub = c->hub;
	s->id = frame->hd.stream_id;
	s->deadline = s->timeout = s->end_at = NEVER;
	LIST_INSERT_HEAD(&c->streams, s, entry);
	c->hub->nstreams++;
	nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t namelen, const uint8_t *value, size_t valuelen, uint8_t flags,
		     void *data)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)flags;
	(void)data;
	if (!s || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s->headers_size += namelen + valuelen + 32; /* as HTTP/2 counts */
	if (s->headers_size > HEADERS_MAX)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	/* nghttp2 ends both with NUL, and lets none through inside */
	return request_header(s, (const char *)name, (const char *)value) ?
		       NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE :
		       0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	struct conn *c = data;
	int r = 0;

	if (frame->hd.type == NGHTTP2_SETTINGS && !c->greeted) {
		c->greeted = true;
		c->patience = now_mono() + IDLE_PATIENCE;
	}
	if (!s || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		r = headers_end(s);
	if (!r && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		r = request_end(s);
	return fatal(r);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		   size_t len, void *user)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)flags;
	(void)user;
	return s ? fatal(request_data(s, data, len)) : 0;
}

/* An answer that ended before the request did: the client need not go on. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
	int32_t id = frame->hd.stream_id;

	(void)data;
	if (frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
	    nghttp2_session_get_stream_remote_close(session, id) != 0)
		return 0;
	return fatal(nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR));
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *data)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, id);
	struct conn *c = data;

	(void)error;
	if (s)
		stream_free(s);
	c->patience = now_mono() + IDLE_PATIENCE;
	return 0;
}

static ssize_t frame_length(nghttp2_session *session, uint8_t type, int32_t id,
			    int32_t session_window, int32_t stream_window, uint32_t frame_max,
			    void *data)
{
	ssize_t n = DATA_MAX;

	(void)session;
	(void)type;
	(void)id;
	(void)data;
	n = session_window < n ? session_window : n;
	n = stream_window < n ? stream_window : n;
	return (ssize_t)frame_max < n ? (ssize_t)frame_max : n;
}

static int session_new(struct conn *c, nghttp2_session_callbacks *callbacks, nghttp2_option *option,
		       nghttp2_session **ret)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, frame_length);
	nghttp2_option_set_no_closed_streams(option, 1);
	return nghttp2_session_server_new2(ret, callbacks, c, option) ? -ENOMEM : 0;
}

int grpc_session(struct conn *c, nghttp2_session **ret)
{
	const nghttp2_settings_entry settings[] = {
		{ .settings_id = NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, .value = STREAMS_MAX },
		{ .settings_id = NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, .value = HEADERS_MAX },
	};
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int r = -ENOMEM;

	if (!nghttp2_session_callbacks_new(&callbacks) && !nghttp2_option_new(&option))
		r = session_new(c, callbacks, option, ret);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	if (!r && nghttp2_submit_settings(*ret, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings)))
		r = -ENOMEM;
	return r;
}
