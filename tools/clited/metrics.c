/* SPDX-License-Identifier: BSD-2-Clause */
/* Metrics for Prometheus by HTTP: GET /metrics. libmicrohttpd runs on the daemon's loop;
 * who reads slowly waits in its buffers. */
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "clited.h"

#define CONNECTIONS 64
#define CONNECTIONS_EACH 16 /* of one address */
#define TIMEOUT 10	    /* seconds without a byte */
/* Asking in a loop must not keep health checks waiting: metrics stay as they are so long,
 * and so many times as long as it took to work them out. */
#define AGE 250u /* ms */
#define AGE_FACTOR 10

#define TYPE "text/plain; version=0.0.4; charset=utf-8"

/* One address. */
struct server {
	struct metrics *m;
	char *address;
	int fd; /* libmicrohttpd's */
	struct MHD_Daemon *daemon;
	struct watch watch; /* a copy of its epoll descriptor */
	struct timer timer;
};

struct metrics {
	struct clited *d;
	struct server *server;		    /* NULL: none is wanted */
	struct clite_hubble_metrics *flows; /* NULL: none are wanted */
	const char *given;	     /* on the command line: the configuration does not count */
	struct MHD_Response *answer; /* NULL: none yet */
	unsigned int status;
	uint64_t fresh; /* until then */
};

/* ---- answers --------------------------------------------------------------------- */

static struct MHD_Response *response(const char *text, size_t len, const char *type)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(len, (char *)text, MHD_RESPMEM_MUST_COPY);

	if (!r || MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type) != MHD_YES)
		out_of_memory();
	return r;
}

static void freep_page(struct clite_metric_page **page)
{
	clite_metric_page_free(*page);
}

/* What is there now. NULL: it was logged why. */
static struct MHD_Response *work_out(struct metrics *m)
{
	_cleanup_(freep_page) struct clite_metric_page *page = NULL;
	const char *text;
	size_t len;
	int r;

	if (clite_metric_page_new(&page))
		out_of_memory();
	r = clite_metric_list(m->d->ctx, clite_metric_page_add, page);
	if (!clited_ok(m->d, r, "cannot read the metrics"))
		return NULL;
	r = flow_metrics_list(m->flows, page);
	if (r >= 0)
		r = clite_metric_page_text(page, &text, &len);
	if (r < 0) {
		log_error("cannot write the metrics: %s", clite_strerror(r));
		return NULL;
	}
	return response(text, len, TYPE);
}

static void refresh(struct metrics *m)
{
	static const char failed[] = "The metrics cannot be read: the daemon's log says why.\n";
	uint64_t began = now_ms(), took;

	if (m->answer && began < m->fresh)
		return;
	if (m->answer)
		MHD_destroy_response(m->answer);
	m->answer = work_out(m);
	m->status = m->answer ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
	if (!m->answer)
		m->answer = response(failed, strlen(failed), "text/plain");
	took = now_ms() - began;
	m->fresh = now_ms() + (took * AGE_FACTOR > AGE ? took * AGE_FACTOR : AGE);
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned int status, const char *text)
{
	struct MHD_Response *r = response(text, strlen(text), "text/plain");
	enum MHD_Result ret;

	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	ret = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ret;
}

/* Called when the head of a request is there: an answer now ends it, whatever follows. */
static enum MHD_Result on_request(void *data, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	struct server *s = data;

	(void)version, (void)upload, (void)upload_size, (void)state;
	if (strcmp(url, "/metrics") != 0)
		return refuse(c, MHD_HTTP_NOT_FOUND, "There is nothing here but /metrics.\n");
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED,
			      "/metrics can be read (GET, HEAD) and nothing else.\n");
	refresh(s->m);
	return MHD_queue_response(c, s->m->status, s->m->answer);
}

/* ---- on the loop -------------------------------------------------------------------- */

/* One round, and when the next one is due at the latest. */
static void turn(struct server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(s->daemon);
	if (MHD_get_timeout(s->daemon, &ms) == MHD_YES)
		loop_timer(&s->m->d->loop, &s->timer, now_ms() + ms);
	else
		loop_untimer(&s->m->d->loop, &s->timer);
}

static void on_ready(struct watch *w, uint32_t events)
{
	(void)events;
	turn(container_of(w, struct server, watch));
}

static void on_timer(struct timer *t)
{
	turn(container_of(t, struct server, timer));
}

static void on_log(void *data, const char *fmt, va_list ap)
{
	_cleanup_free_ char *text = NULL;

	(void)data;
	if (vasprintf(&text, fmt, ap) < 0)
		out_of_memory();
	log_debug("metrics: %.*s", (int)strcspn(text, "\n"), text);
}

static struct server *server_free(struct server *s)
{
	if (!s)
		return NULL;
	loop_untimer(&s->m->d->loop, &s->timer);
	loop_unwatch(&s->m->d->loop, &s->watch);
	if (s->daemon)
		MHD_stop_daemon(s->daemon); /* closes fd as well */
	else
		closep(&s->fd);
	free(s->address);
	free(s);
	return NULL;
}

static bool server_run(struct server *s)
{
	const union MHD_DaemonInfo *info;

	s->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request,
				     s, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
				     MHD_OPTION_LISTEN_SOCKET, s->fd, MHD_OPTION_CONNECTION_LIMIT,
				     (unsigned int)CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
				     (unsigned int)CONNECTIONS_EACH, MHD_OPTION_CONNECTION_TIMEOUT,
				     (unsigned int)TIMEOUT, MHD_OPTION_END);
	if (!s->daemon)
		return false;
	info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	s->watch =
		(struct watch){ info ? fcntl(info->epoll_fd, F_DUPFD_CLOEXEC, 3) : -1, on_ready };
	s->timer.fire = on_timer;
	return s->watch.fd >= 0 && !loop_watch(&s->m->d->loop, &s->watch, EPOLLIN);
}

/* Two addresses of one port may overlap while one follows the other. */
static void share_port(const struct server *old, int on)
{
	if (old)
		setsockopt(old->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

static struct server *server_new(struct metrics *m, const char *address)
{
	struct server *s = xcalloc(1, sizeof(*s));

	*s = (struct server){ .m = m, .address = xstrdup(address), .fd = -1, .watch.fd = -1 };
	share_port(m->server, 1);
	s->fd = listen_open(address, m->server != NULL);
	share_port(m->server, 0);
	share_port(s, 0);
	if (s->fd < 0) {
		log_error("metrics: cannot listen at %s: %s", address, strerror(-s->fd));
		return server_free(s);
	}
	if (!server_run(s)) {
		log_error("metrics: cannot serve at %s: %s", address, strerror(errno));
		return server_free(s);
	}
	return s;
}

/* ---- the part ------------------------------------------------------------------------ */

/* What the metrics are, or will be. */
struct wanted {
	const char *address; /* NULL: nowhere */
	const struct strings *flows;
};

static struct wanted wanted_of(const struct metrics *m, const struct config *config)
{
	return (struct wanted){
		.address = m->given ? m->given : config->metrics,
		.flows = &config->hubble_metrics,
	};
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* Whoever begins to be served begins to count flows. */
static bool same_flows(const struct wanted *a, const struct wanted *b)
{
	if (!a->address != !b->address || a->flows->n != b->flows->n)
		return false;
	for (size_t i = 0; i < a->flows->n; i++)
		if (strcmp(a->flows->items[i], b->flows->items[i]) != 0)
			return false;
	return true;
}

/* NULL into ret if none are wanted. False: it was logged why that does not go. */
static bool count_flows(struct metrics *m, const struct wanted *w,
			struct clite_hubble_metrics **ret)
{
	char errbuf[512] = "";
	int r;

	*ret = NULL;
	if (!w->flows->n)
		return true;
	if (!w->address) {
		log_warning("hubble-metrics without metrics: nobody could read them");
		return true;
	}
	r = flow_metrics_new(m->d->ctx, w->flows, errbuf, sizeof(errbuf), ret);
	if (r < 0)
		log_error("hubble-metrics: %s", *errbuf ? errbuf : clite_strerror(r));
	return r >= 0;
}

static bool serve(struct metrics *m, const struct wanted *w, struct server **ret)
{
	*ret = w->address ? server_new(m, w->address) : NULL;
	return *ret || !w->address;
}

/* From what was to what shall be, or not at all. */
static bool change(struct metrics *m, const struct wanted *old, const struct wanted *next)
{
	bool flows_stay = old && same_flows(old, next);
	bool server_stays = old && same_text(old->address, next->address);
	struct clite_hubble_metrics *flows = NULL;
	struct server *server = NULL;

	if (!flows_stay && !count_flows(m, next, &flows))
		return false;
	if (!server_stays && !serve(m, next, &server)) {
		flow_metrics_free(flows);
		return false;
	}
	if (!flows_stay) {
		flow_metrics_free(m->flows);
		m->flows = flows;
	}
	if (server_stays)
		return true;
	if (m->server)
		listen_forget(m->server->address);
	if (m->server || server)
		log_info("metrics %s%s", server ? "at " : "are not served any more",
			 server ? server->address : "");
	server_free(m->server);
	m->server = server;
	return true;
}

bool metrics_start(struct clited *d, const char *address)
{
	struct metrics *m = xcalloc(1, sizeof(*m));
	struct wanted next;

	m->d = d;
	m->given = address;
	d->metrics = m;
	next = wanted_of(m, d->config);
	return change(m, NULL, &next);
}

bool metrics_reload(struct clited *d, const struct config *next)
{
	struct wanted old = wanted_of(d->metrics, d->config), new = wanted_of(d->metrics, next);

	return change(d->metrics, &old, &new);
}

void metrics_stop(struct clited *d)
{
	struct metrics *m = d->metrics;

	if (!m)
		return;
	if (m->server)
		listen_forget(m->server->address);
	server_free(m->server);
	flow_metrics_free(m->flows);
	if (m->answer)
		MHD_destroy_response(m->answer);
	free(m);
	d->metrics = NULL;
}
