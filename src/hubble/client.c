/* SPDX-License-Identifier: BSD-2-Clause */
/* The client: its calls, its event loop, and who is called back. */
#include "hubble/client.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#define CONNECT_TIMEOUT (5 * NS)
#define REQUEST_TIMEOUT (12 * NS)
#define MAX_MESSAGE (4u << 20)
#define LEAST_MESSAGE 1024u
/* A message of many empty parts is that much larger in memory. */
#define MEMORY_FACTOR 16
#define PREFIX 5 /* of a message: compressed or not, and its length */
/* Reads from the socket in one dispatch; the rest is there the next time. */
#define READS 16

/* ---- what went wrong ------------------------------------------------------------------ */

int failure_set(struct failure *f, int err, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	/* control characters, also those of UTF-8: it may come from the server */
	for (unsigned char *c = (unsigned char *)text; c && *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[0] = c[1] = '?';
	}
	free(f->text);
	f->text = text;
	return -err;
}

void failure_clear(struct failure *f)
{
	free(f->text);
	f->text = NULL;
}

uint64_t client_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

/* ---- calls ----------------------------------------------------------------------------- */

static void call_free(struct clite_hubble_call *call)
{
	bytes_clear(&call->out);
	bytes_clear(&call->in);
	arena_clear(&call->arena);
	flow_record_clear(&call->flow);
	failure_clear(&call->failure);
	free(call->grpc_message);
	free(call);
}

static void call_unlink(struct clite_hubble_call *call)
{
	struct clite_hubble_call **at = &call->client->calls;

	while (*at && *at != call)
		at = &(*at)->next;
	if (*at)
		*at = call->next;
}

struct clite_hubble_call *clite_hubble_call_end(struct clite_hubble_call *call)
{
	if (!call)
		return NULL;
	if (call->busy) {
		call->dropped = true;
		return NULL;
	}
	if (call->client) {
		if (!call->over)
			http_reset(call, NGHTTP2_CANCEL);
		else
			http_consume(call);
		call_unlink(call);
	}
	call_free(call);
	return NULL;
}

void client_break(struct clite_hubble_client *c, int err)
{
	const char *text = c->failure.text ?: strerror(-err);

	c->error = err;
	for (struct clite_hubble_call *call = c->calls; call; call = call->next) {
		if (call->over)
			continue;
		call->over = true;
		call->error = failure_set(&call->failure, -err, "%s", text);
	}
}

/* ---- answers --------------------------------------------------------------------------- */

struct allocator {
	struct arena *arena;
	size_t left;
};

static void *allocate(void *data, size_t size)
{
	struct allocator *a = data;

	if (size > a->left)
		return NULL;
	a->left -= size;
	return arena_get(a->arena, size);
}

static void give_back(void *data, void *p)
{
	(void)data;
	(void)p; /* with the arena */
}

static int bad_message(struct clite_hubble_call *call, int err, const char *why)
{
	call->error = failure_set(&call->failure, err, "%s: %s",
				  client_method(call->method)->path + 1, why);
	if (!call->over)
		http_reset(call, NGHTTP2_CANCEL);
	bytes_clear(&call->in);
	return 0;
}

static int unpack(struct clite_hubble_call *call, const uint8_t *data, size_t len)
{
	struct allocator a = { &call->arena, (size_t)call->client->max_message * MEMORY_FACTOR };
	ProtobufCAllocator allocator = {
		.alloc = allocate,
		.free = give_back,
		.allocator_data = &a,
	};

	arena_reset(&call->arena);
	call->message = protobuf_c_message_unpack(client_method(call->method)->answer, &allocator,
						  len, data);
	if (!call->message)
		return bad_message(call, EBADMSG,
				   "a message of the server cannot be read, or is too large");
	call->nanswers = answers_of(call->method, call->message);
	call->index = 0;
	return 1;
}

/* The next message that is there as a whole. 1: call->message is it; 0: there is none. */
static int next_message(struct clite_hubble_call *call)
{
	const uint8_t *data = call->in.data + call->in.off;
	size_t left = bytes_left(&call->in);
	uint32_t len;
	int r;

	call->message = NULL;
	if (left < PREFIX)
		return 0;
	memcpy(&len, data + 1, sizeof(len));
	len = ntohl(len);
	if (data[0])
		return bad_message(call, EPROTO, "a message of the server is compressed");
	if (len > call->client->max_message)
		return bad_message(call, EMSGSIZE, "a message of the server is too large");
	if (left - PREFIX < len)
		return 0;
	r = unpack(call, data + PREFIX, len);
	if (r > 0)
		bytes_take(&call->in, PREFIX + len);
	return r;
}

static int status_errno(int status)
{
	static const int errors[] = { 0,	  ECANCELED, EIO,	EINVAL,	 ETIMEDOUT, ENOENT,
				      EEXIST,	  EACCES,    EBUSY,	EPERM,	 EAGAIN,    ERANGE,
				      EOPNOTSUPP, EIO,	     EHOSTDOWN, EBADMSG, EACCES };

	return status >= 0 && (size_t)status < ARRAY_SIZE(errors) ? errors[status] : EIO;
}

static const char *status_name(int status)
{
	static const char *const names[] = {
		"OK",
		"CANCELLED",
		"UNKNOWN",
		"INVALID_ARGUMENT",
		"DEADLINE_EXCEEDED",
		"NOT_FOUND",
		"ALREADY_EXISTS",
		"PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED",
		"FAILED_PRECONDITION",
		"ABORTED",
		"OUT_OF_RANGE",
		"UNIMPLEMENTED",
		"INTERNAL",
		"UNAVAILABLE",
		"DATA_LOSS",
		"UNAUTHENTICATED",
	};

	return status >= 0 && (size_t)status < ARRAY_SIZE(names) ? names[status] : "status unknown";
}

/* What the server said in the end, as an error of the call. */
static void judge(struct clite_hubble_call *call)
{
	const char *path = client_method(call->method)->path + 1;

	if (call->error)
		return;
	if (call->grpc_status > 0)
		call->error = failure_set(&call->failure, status_errno(call->grpc_status),
					  "%s: %s: %s", path, status_name(call->grpc_status),
					  call->grpc_message ?: "");
	else if (call->grpc_status < 0 && call->http_status && call->http_status != 200)
		call->error =
			failure_set(&call->failure, EPROTO,
				    "%s: the server answers with HTTP status %d: is it one of "
				    "Hubble's API?",
				    path, call->http_status);
	else if (call->grpc_status < 0)
		call->error = failure_set(&call->failure, EPROTO,
					  "%s: the server ended the call without a status", path);
	else if (bytes_left(&call->in))
		call->error = failure_set(&call->failure, EBADMSG,
					  "%s: the server's last message is cut off", path);
}

static int tell(struct clite_hubble_call *call, const struct clite_hubble_answer *answer)
{
	int r;

	call->busy = true;
	r = call->cb(answer, call->userdata);
	call->busy = false;
	if (call->dropped)
		clite_hubble_call_end(call);
	return r;
}

static int tell_end(struct clite_hubble_call *call)
{
	struct clite_hubble_answer answer = {
		.sz = sizeof(answer),
		.type = CLITE_HUBBLE_ANSWER_END,
		.node = "",
	};

	judge(call);
	call->told = true;
	answer.error = call->error;
	answer.grpc_status = call->grpc_status > 0 ? (uint32_t)call->grpc_status : 0;
	answer.message = call->failure.text ?: "";
	return tell(call, &answer);
}

/* One answer, if there is one. 1: told, 0: none is there, or what the callback said.
 * The call may be gone then. */
static int tell_next(struct clite_hubble_call *call)
{
	struct clite_hubble_answer answer;
	int r;

	while (!call->message || call->index == call->nanswers) {
		r = next_message(call);
		if (r > 0)
			continue;
		if (!call->over || call->told)
			return 0;
		r = tell_end(call);
		return r < 0 ? r : 1;
	}
	r = answer_get(call, &answer);
	call->index++;
	if (r < 0) {
		call->message = NULL;
		return bad_message(call, -r, "no memory for what the server sent");
	}
	r = tell(call, &answer);
	return r < 0 ? r : 1;
}

/* A call that has something to tell, or NULL. */
static bool has_news(const struct clite_hubble_call *call)
{
	uint32_t len;

	if (call->told || call->busy)
		return false;
	if (call->over || (call->message && call->index < call->nanswers))
		return true;
	if (bytes_left(&call->in) < PREFIX)
		return false;
	memcpy(&len, call->in.data + call->in.off + 1, sizeof(len));
	len = ntohl(len);
	return len > call->client->max_message || bytes_left(&call->in) - PREFIX >= len;
}

static struct clite_hubble_call *call_with_news(struct clite_hubble_client *c)
{
	struct clite_hubble_call *call = c->calls;

	while (call && !has_news(call))
		call = call->next;
	return call;
}

/* Callbacks may make and end calls: the list is looked through anew each time. */
static int tell_all(struct clite_hubble_client *c, uint32_t budget)
{
	uint32_t n = 0;

	while (!budget || n < budget) {
		struct clite_hubble_call *call = call_with_news(c);
		int r;

		if (!call)
			break;
		r = tell_next(call);
		if (r < 0)
			return r;
		n += (uint32_t)r;
	}
	return (int)n;
}

/* What was told makes room for more; a call with answers that wait takes none. */
static void consume(struct clite_hubble_client *c)
{
	for (struct clite_hubble_call *call = c->calls; call; call = call->next) {
		if (!has_news(call))
			http_consume(call);
	}
}

/* ---- the event loop ------------------------------------------------------------------------ */

/* What a server may have missed that closes before it said anything in HTTP/2. */
static int closed(struct clite_hubble_client *c, int err)
{
	bool has_cert = c->wire.tls && SSL_CTX_get0_certificate(c->wire.tls);

	if (err != -ECONNRESET || c->spoken || has_cert)
		return err;
	return failure_set(&c->failure, ECONNRESET,
			   "server '%s' closed the connection: does it want %s?", c->wire.target,
			   c->wire.tls ? "a client's certificate" : "TLS");
}

static int read_some(struct clite_hubble_client *c)
{
	uint8_t chunk[16384];

	c->more = false;
	for (int i = 0; i < READS && !wire_is_full(&c->wire); i++) {
		ssize_t n = wire_read(&c->wire, chunk, sizeof(chunk), &c->failure);
		int r;

		if (n <= 0)
			return n < 0 ? closed(c, (int)n) : 0;
		r = http_receive(c, chunk, (size_t)n);
		if (r < 0)
			return r;
	}
	c->more = true;
	return 0;
}

static int check_time(struct clite_hubble_client *c)
{
	uint64_t now = client_now();

	if (!c->spoken && now >= c->connect_deadline)
		return failure_set(&c->failure, ETIMEDOUT, "server '%s' does not answer",
				   c->wire.target);
	for (struct clite_hubble_call *call = c->calls; call; call = call->next) {
		if (call->over || !call->deadline || now < call->deadline)
			continue;
		call->error = failure_set(&call->failure, ETIMEDOUT, "%s: no answer in time",
					  client_method(call->method)->path + 1);
		http_reset(call, NGHTTP2_CANCEL);
	}
	return 0;
}

/* What is there to write, and the socket takes. */
static int write_some(struct clite_hubble_client *c)
{
	int more, r;

	do {
		more = r = c->wire.up ? http_send(c) : 0;
		if (r >= 0)
			r = c->wire.connected ? wire_flush(&c->wire, &c->failure) : 0;
	} while (!r && more > 0 && !bytes_left(&c->wire.out));
	return r;
}

static int advance(struct clite_hubble_client *c)
{
	int r = c->wire.up ? 1 : wire_advance(&c->wire, &c->failure);

	if (r > 0)
		r = read_some(c);
	if (!r)
		r = check_time(c);
	if (!r)
		r = write_some(c);
	return r;
}

static void watch_socket(struct clite_hubble_client *c)
{
	uint32_t events = (wire_is_full(&c->wire) ? 0 : EPOLLIN) |
			  (wire_wants_write(&c->wire) ? EPOLLOUT : 0);
	struct epoll_event e = { .events = events, .data = { .fd = c->wire.fd } };

	if (c->error || c->wire.fd < 0) {
		if (c->wire.fd >= 0)
			epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, c->wire.fd, NULL);
		c->events = 0;
		return;
	}
	/* connecting may have taken another socket, which is not in the set */
	if (epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, c->wire.fd, &e) < 0)
		epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->wire.fd, &e);
	c->events = events;
}

/* The next time that something is due without the socket; at once if answers wait. */
static void watch_time(struct clite_hubble_client *c)
{
	uint64_t due = c->spoken || c->error ? UINT64_MAX : c->connect_deadline;
	struct itimerspec at = {};

	for (struct clite_hubble_call *call = c->calls; call; call = call->next) {
		if (!call->over && call->deadline && call->deadline < due)
			due = call->deadline;
	}
	if (call_with_news(c) || (c->more && !c->error))
		due = 1;
	if (due != UINT64_MAX) {
		at.it_value.tv_sec = (time_t)(due / NS);
		at.it_value.tv_nsec = (long)(due % NS);
	}
	timerfd_settime(c->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void watch(struct clite_hubble_client *c)
{
	watch_socket(c);
	watch_time(c);
}

static int client_enter(struct clite_hubble_client *c)
{
	if (!c)
		return -EINVAL;
	return c->pid == getpid() ? 0 : -ECHILD;
}

int clite_hubble_client_dispatch(struct clite_hubble_client *client, uint32_t budget)
{
	int r = client_enter(client), told;

	if (r < 0)
		return r;
	if (client->dispatching)
		return -EDEADLK;
	client->dispatching = true;
	if (!client->error) {
		r = advance(client);
		if (r < 0)
			client_break(client, r);
	}
	told = tell_all(client, budget);
	consume(client);
	/* calls that callbacks made, and room for the server to send more */
	if (!client->error) {
		r = write_some(client);
		if (r < 0)
			client_break(client, r);
	}
	client->dispatching = false;
	watch(client);
	return told;
}

/* ---- making and ending ------------------------------------------------------------------------ */

static int check_opts(const struct clite_hubble_client_opts *given,
		      struct clite_hubble_client_opts *opts, struct failure *f)
{
	const uint8_t *bytes = (const uint8_t *)given;

	*opts = (struct clite_hubble_client_opts){ .sz = sizeof(*opts) };
	if (!given)
		return 0;
	for (size_t i = sizeof(*opts); i < given->sz; i++) {
		if (bytes[i])
			return failure_set(f, EINVAL, "options of a later version");
	}
	if (given->sz < sizeof(size_t))
		return failure_set(f, EINVAL, "sz is not set");
	memcpy(opts, given, given->sz < sizeof(*opts) ? given->sz : sizeof(*opts));
	if (opts->tls > CLITE_HUBBLE_TLS_INSECURE)
		return failure_set(f, EINVAL, "tls: %u is none of CLITE_HUBBLE_TLS_*", opts->tls);
	if (opts->max_message && opts->max_message < LEAST_MESSAGE)
		return failure_set(f, EINVAL, "max_message: %u is less than %u", opts->max_message,
				   LEAST_MESSAGE);
	return 0;
}

static void client_destroy(struct clite_hubble_client *c)
{
	while (c->calls) {
		struct clite_hubble_call *call = c->calls;

		c->calls = call->next;
		call->client = NULL;
		call->over = call->told = true;
	}
	nghttp2_session_del(c->http);
	wire_close(&c->wire);
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	if (c->timer_fd >= 0)
		close(c->timer_fd);
	failure_clear(&c->failure);
	free(c);
}

static int watch_begin(struct clite_hubble_client *c)
{
	struct epoll_event e = { .events = EPOLLIN };

	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->epoll_fd < 0 || c->timer_fd < 0 ||
	    epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->timer_fd, &e) < 0)
		return failure_set(&c->failure, errno, "epoll or timerfd: %s", strerror(errno));
	return 0;
}

static int client_init(struct clite_hubble_client *c, const char *address,
		       const struct clite_hubble_client_opts *opts)
{
	int r;

	c->connect_timeout = opts->connect_timeout ?: CONNECT_TIMEOUT;
	c->request_timeout = opts->request_timeout ?: REQUEST_TIMEOUT;
	c->max_message = opts->max_message ?: MAX_MESSAGE;
	r = watch_begin(c);
	if (!r)
		r = wire_open(&c->wire, address, opts, &c->failure);
	if (!r)
		r = http_init(c);
	if (r < 0)
		return r;
	c->connect_deadline = client_now() + c->connect_timeout;
	r = wire_advance(&c->wire, &c->failure);
	if (r < 0)
		client_break(c, r); /* the first call tells it */
	watch(c);
	return 0;
}

static void explain(const struct clite_hubble_client_opts *opts, const struct failure *f, int err)
{
	if (opts && opts->errbuf && opts->errbuf_size)
		snprintf(opts->errbuf, opts->errbuf_size, "%s", f->text ?: strerror(-err));
}

int clite_hubble_client_new(const char *address, const struct clite_hubble_client_opts *opts,
			    struct clite_hubble_client **ret)
{
	struct clite_hubble_client_opts checked;
	struct clite_hubble_client *c;
	int r;

	if (!address || !ret)
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->pid = getpid();
	c->epoll_fd = c->timer_fd = c->wire.fd = -1;
	r = check_opts(opts, &checked, &c->failure);
	if (!r)
		r = client_init(c, address, &checked);
	if (r < 0) {
		explain(opts, &c->failure, r);
		client_destroy(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct clite_hubble_client *clite_hubble_client_free(struct clite_hubble_client *client)
{
	if (client)
		client_destroy(client);
	return NULL;
}

int clite_hubble_client_fd(struct clite_hubble_client *client)
{
	int r = client_enter(client);

	return r < 0 ? r : client->epoll_fd;
}

const char *clite_hubble_client_error(struct clite_hubble_client *client)
{
	return client && client->failure.text ? client->failure.text : "";
}

/* ---- calling ---------------------------------------------------------------------------------- */

static int check_request(const struct clite_hubble_request *given,
			 struct clite_hubble_request *request, struct failure *f)
{
	const uint8_t *bytes = (const uint8_t *)given;

	*request = (struct clite_hubble_request){ .sz = sizeof(*request) };
	if (!given)
		return 0;
	for (size_t i = sizeof(*request); i < given->sz; i++) {
		if (bytes[i])
			return failure_set(f, EINVAL, "a request of a later version");
	}
	if (given->sz < sizeof(size_t))
		return failure_set(f, EINVAL, "sz of the request is not set");
	memcpy(request, given, given->sz < sizeof(*request) ? given->sz : sizeof(*request));
	return 0;
}

static int call_begin(struct clite_hubble_call *call, const struct clite_hubble_request *request)
{
	struct clite_hubble_client *c = call->client;
	int r = request_pack(call->method, request, &call->out, &c->failure);

	if (r < 0)
		return r;
	if (!client_method(call->method)->stream)
		call->deadline =
			client_now() + c->request_timeout + (c->wire.up ? 0 : c->connect_timeout);
	if (c->error) {
		call->over = true;
		call->error = failure_set(&call->failure, -c->error, "%s",
					  c->failure.text ?: strerror(-c->error));
		return 0;
	}
	return http_call(call);
}

int clite_hubble_client_call(struct clite_hubble_client *client, uint32_t method,
			     const struct clite_hubble_request *request, answer_fn *cb,
			     void *userdata, struct clite_hubble_call **ret)
{
	struct clite_hubble_request checked;
	struct clite_hubble_call *call;
	int r = client_enter(client);

	if (r < 0)
		return r;
	if (!cb || !ret)
		return -EINVAL;
	if (!client_method(method))
		return failure_set(&client->failure, EINVAL, "%u is no call", method);
	r = check_request(request, &checked, &client->failure);
	if (r < 0)
		return r;
	call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	*call = (struct clite_hubble_call){
		.client = client,
		.next = client->calls,
		.method = method,
		.cb = cb,
		.userdata = userdata,
		.grpc_status = -1,
	};
	r = call_begin(call, &checked);
	if (r < 0) {
		call_free(call);
		return r;
	}
	client->calls = call;
	if (!client->dispatching) {
		if (!client->error && (r = write_some(client)) < 0)
			client_break(client, r);
		watch(client);
	}
	*ret = call;
	return 0;
}
