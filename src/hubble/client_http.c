/* SPDX-License-Identifier: BSD-2-Clause */
/* HTTP/2 of the client, and gRPC's framing in it. Nothing here calls the user back:
 * messages wait in their calls. */
#include <stdio.h>
#include <strings.h>

#include "hubble/client.h"

/* Bytes that a server may send before we have told some: of one call, and of all. */
#define WINDOW (1 << 20)
/* Headers and trailers of one call, without HTTP/2's own overhead. */
#define HEADERS_MAX 16384
#define GRPC_MESSAGE_MAX 1024
/* Bytes that wait to be sent. A server that asks for answers (PING, SETTINGS) and reads none
 * fills nghttp2's queue then, which has an end. */
#define OUT_MAX 65536

/* ---- what the server sends -------------------------------------------------------------- */

static struct clite_hubble_call *call_of(nghttp2_session *http, int32_t stream)
{
	struct clite_hubble_call *call = nghttp2_session_get_stream_user_data(http, stream);

	return call && !call->over ? call : NULL;
}

static bool is(const uint8_t *text, size_t len, const char *what)
{
	return len == strlen(what) && !memcmp(text, what, len);
}

static int number(const uint8_t *text, size_t len)
{
	int n = 0;

	if (!len || len > 6)
		return -1;
	for (; len; len--, text++) {
		if (*text < '0' || *text > '9')
			return -1;
		n = n * 10 + (*text - '0');
	}
	return n;
}

static int hex(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	       c >= 'A' && c <= 'F' ? c - 'A' + 10 :
	       c >= 'a' && c <= 'f' ? c - 'a' + 10 :
				      -1;
}

/* What is not plain ASCII comes as %XX. */
static char *percent_decode(const uint8_t *text, size_t len)
{
	char *decoded, *at;

	if (len > GRPC_MESSAGE_MAX)
		len = GRPC_MESSAGE_MAX;
	decoded = at = malloc(len + 1);
	for (size_t i = 0; decoded && i < len; i++) {
		if (text[i] == '%' && i + 2 < len && hex(text[i + 1]) >= 0 &&
		    hex(text[i + 2]) >= 0) {
			*at++ = (char)(hex(text[i + 1]) << 4 | hex(text[i + 2]));
			i += 2;
		} else {
			*at++ = (char)text[i];
		}
	}
	if (decoded)
		*at = '\0';
	return decoded;
}

/* The call cannot go on: the server is told, the user hears of it. */
static int refuse(struct clite_hubble_call *call, int err, const char *why)
{
	call->error = failure_set(&call->failure, err, "%s", why);
	http_reset(call, NGHTTP2_CANCEL);
	return 0;
}

static int on_header(nghttp2_session *http, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t len, uint8_t flags, void *data)
{
	struct clite_hubble_call *call = call_of(http, frame->hd.stream_id);

	(void)flags;
	(void)data;
	if (!call)
		return 0;
	call->header_bytes += name_len + len;
	if (call->header_bytes > HEADERS_MAX)
		return refuse(call, E2BIG, "the server's headers are too long");
	if (is(name, name_len, ":status")) {
		call->http_status = number(value, len);
	} else if (is(name, name_len, "grpc-status")) {
		call->grpc_status = number(value, len);
	} else if (is(name, name_len, "grpc-message")) {
		free(call->grpc_message);
		call->grpc_message = percent_decode(value, len);
	} else if (is(name, name_len, "content-type")) {
		if (len < 16 || strncasecmp((const char *)value, "application/grpc", 16))
			return refuse(call, EPROTO, "the server answers, but not with gRPC");
	}
	return 0;
}

static int on_data(nghttp2_session *http, uint8_t flags, int32_t stream, const uint8_t *data,
		   size_t len, void *userdata)
{
	struct clite_hubble_call *call = call_of(http, stream);

	(void)flags;
	(void)userdata;
	if (!call) {
		nghttp2_session_consume(http, stream, len);
		return 0;
	}
	if (!bytes_put(&call->in, data, len)) {
		nghttp2_session_consume(http, stream, len);
		return refuse(call, ENOMEM, "no memory");
	}
	call->held += len;
	return 0;
}

static int on_close(nghttp2_session *http, int32_t stream, uint32_t code, void *data)
{
	struct clite_hubble_call *call = call_of(http, stream);

	(void)data;
	if (!call)
		return 0;
	call->over = true;
	if (code && !call->error && call->grpc_status < 0)
		call->error = failure_set(
			&call->failure, code == NGHTTP2_REFUSED_STREAM ? EAGAIN : ECONNRESET,
			"the server broke the call off (HTTP/2: %s)", nghttp2_http2_strerror(code));
	return 0;
}

static int on_frame(nghttp2_session *http, const nghttp2_frame *frame, void *data)
{
	struct clite_hubble_client *c = data;

	(void)http;
	if (frame->hd.type == NGHTTP2_SETTINGS)
		c->spoken = true;
	return 0;
}

/* ---- the session -------------------------------------------------------------------------- */

static int make_session(struct clite_hubble_client *c, nghttp2_session_callbacks *callbacks,
			nghttp2_option *option)
{
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	/* a server that is not heard fills its window, not our memory */
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_max_send_header_block_length(option, 65536);
	return nghttp2_session_client_new2(&c->http, callbacks, c, option) ? -ENOMEM : 0;
}

static int settings(struct clite_hubble_client *c)
{
	static const nghttp2_settings_entry entries[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_MAX },
	};

	if (nghttp2_submit_settings(c->http, NGHTTP2_FLAG_NONE, entries, ARRAY_SIZE(entries)) ||
	    nghttp2_session_set_local_window_size(c->http, NGHTTP2_FLAG_NONE, 0, WINDOW))
		return -ENOMEM;
	return 0;
}

int http_init(struct clite_hubble_client *c)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int r = -ENOMEM;

	if (!nghttp2_session_callbacks_new(&callbacks) && !nghttp2_option_new(&option))
		r = make_session(c, callbacks, option);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	return r ?: settings(c);
}

/* Both sides have nothing more to say, or the server said what HTTP/2 does not know. */
static int broken(struct clite_hubble_client *c)
{
	if (c->spoken)
		return failure_set(&c->failure, ECONNRESET, "server '%s' ended the connection",
				   c->wire.target);
	return failure_set(&c->failure, EPROTO, "server '%s' does not speak HTTP/2%s",
			   c->wire.target, c->wire.tls ? "" : ": does it want TLS?");
}

int http_receive(struct clite_hubble_client *c, const void *data, size_t len)
{
	ssize_t n = nghttp2_session_mem_recv(c->http, data, len);

	if (n >= 0)
		return 0;
	if (n == NGHTTP2_ERR_NOMEM)
		return -ENOMEM;
	if (!c->spoken)
		return broken(c);
	return failure_set(&c->failure, EPROTO, "server '%s' breaks HTTP/2: %s", c->wire.target,
			   nghttp2_strerror((int)n));
}

int http_send(struct clite_hubble_client *c)
{
	while (bytes_left(&c->wire.out) < OUT_MAX) {
		const uint8_t *data;
		ssize_t n = nghttp2_session_mem_send(c->http, &data);
		int r;

		if (n < 0)
			return n == NGHTTP2_ERR_NOMEM ?
				       -ENOMEM :
				       failure_set(&c->failure, EPROTO, "HTTP/2: %s",
						   nghttp2_strerror((int)n));
		if (!n)
			break;
		r = wire_write(&c->wire, data, (size_t)n, &c->failure);
		if (r < 0)
			return r;
	}
	if (!nghttp2_session_want_read(c->http) && !nghttp2_session_want_write(c->http))
		return broken(c);
	return 0;
}

/* ---- calls -------------------------------------------------------------------------------- */

static ssize_t read_request(nghttp2_session *http, int32_t stream, uint8_t *buf, size_t size,
			    uint32_t *flags, nghttp2_data_source *source, void *data)
{
	struct clite_hubble_call *call = call_of(http, stream);
	size_t n;

	(void)source;
	(void)data;
	if (!call)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	n = bytes_left(&call->out);
	if (n > size)
		n = size;
	if (n)
		memcpy(buf, call->out.data + call->out.off, n);
	bytes_take(&call->out, n);
	if (!bytes_left(&call->out))
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)name,
		.value = (uint8_t *)value,
		.namelen = strlen(name),
		.valuelen = strlen(value),
	};
}

int http_call(struct clite_hubble_call *call)
{
	struct clite_hubble_client *c = call->client;
	const nghttp2_nv headers[] = {
		header(":method", "POST"),
		header(":scheme", c->wire.tls ? "https" : "http"),
		header(":path", client_method(call->method)->path),
		header(":authority", c->wire.host),
		header("content-type", "application/grpc"),
		header("te", "trailers"),
		header("user-agent", "libcilium-lite-hubble"),
	};
	nghttp2_data_provider request = {
		.read_callback = read_request,
	};
	int32_t stream =
		nghttp2_submit_request(c->http, NULL, headers, ARRAY_SIZE(headers), &request, call);

	if (stream < 0)
		return stream == NGHTTP2_ERR_NOMEM ?
			       -ENOMEM :
			       failure_set(&c->failure, ENOTCONN,
					   "server '%s' takes no more calls on this connection",
					   c->wire.target);
	call->stream = stream;
	return 0;
}

void http_reset(struct clite_hubble_call *call, uint32_t code)
{
	struct clite_hubble_client *c = call->client;

	call->over = true;
	if (!c || !c->http || c->error)
		return;
	nghttp2_session_set_stream_user_data(c->http, call->stream, NULL);
	if (call->held)
		nghttp2_session_consume_connection(c->http, call->held);
	call->held = 0;
	nghttp2_submit_rst_stream(c->http, NGHTTP2_FLAG_NONE, call->stream, code);
}

void http_consume(struct clite_hubble_call *call)
{
	struct clite_hubble_client *c = call->client;

	if (!call->held || !c || c->error)
		return;
	/* of a stream that is closed only the connection's window is left */
	if (call->over)
		nghttp2_session_consume_connection(c->http, call->held);
	else
		nghttp2_session_consume(c->http, call->stream, call->held);
	call->held = 0;
}
