/* SPDX-License-Identifier: BSD-2-Clause */
/* Hubble's API: the instance's flows for its clients. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include <cilium-lite/hubble.h>

#include "clited.h"

/* Connections that are served in a turn. */
#define BUDGET 64

struct hubble {
	struct clited *d;
	struct clite_hubble *server;
	struct watch watch;
	const char *address; /* of the command line, or NULL */
};

static void on_ready(struct watch *w, uint32_t events)
{
	struct hubble *h = container_of(w, struct hubble, watch);
	int r = clite_hubble_dispatch(h->server, BUDGET);

	(void)events;
	if (r < 0)
		log_error("hubble: %s", clite_strerror(r));
}

/* ---- listening ------------------------------------------------------------------ */

static int listen_at(struct hubble *h, const struct hubble_listener *l)
{
	struct clite_hubble_listen_opts opts = {
		.sz = sizeof(opts),
		.cert = l->cert,
		.key = l->key,
		.client_ca = l->client_ca,
		.server_name = l->server_name,
		.announce = l->announce,
		.mode = l->mode,
	};
	int r = clite_hubble_listen(h->server, l->address, &opts);

	if (r < 0) {
		const char *why = clite_hubble_error(h->server);

		log_error("hubble: cannot listen at '%s': %s", l->address,
			  *why ? why : clite_strerror(r));
	}
	return r;
}

static bool has_address(const struct hubble_config *c, const char *address)
{
	for (size_t i = 0; i < c->nlisteners; i++) {
		if (!strcmp(c->listeners[i].address, address))
			return true;
	}
	return false;
}

/* All of them, or none that old does not have. */
static bool listen_all(struct hubble *h, const struct hubble_config *c,
		       const struct hubble_config *old)
{
	for (size_t i = 0; i < c->nlisteners; i++) {
		if (listen_at(h, &c->listeners[i]) >= 0)
			continue;
		while (i-- > 0) {
			if (!old || !has_address(old, c->listeners[i].address))
				clite_hubble_unlisten(h->server, c->listeners[i].address);
		}
		return false;
	}
	return true;
}

/* ---- the server ----------------------------------------------------------------- */

static bool server_new(struct hubble *h, const struct config *c)
{
	char errbuf[1024] = "";
	struct clite_hubble_opts opts = {
		.sz = sizeof(opts),
		.node = c->node,
		.errbuf = errbuf,
		.errbuf_size = sizeof(errbuf),
		.flows = c->hubble.flows,
		.aggregation = level_aggregation(c->hubble.level),
	};
	int r = clite_hubble_new(h->d->ctx, &opts, &h->server);

	if (r < 0) {
		log_error("hubble: %s", *errbuf ? errbuf : clite_strerror(r));
		return false;
	}
	h->watch = (struct watch){ .fd = clite_hubble_fd(h->server), .ready = on_ready };
	r = loop_watch(&h->d->loop, &h->watch, EPOLLIN);
	if (r < 0)
		log_error("hubble: %s", strerror(-r));
	return r >= 0;
}

static void server_free(struct hubble *h)
{
	if (!h->server)
		return;
	loop_forget(&h->d->loop, &h->watch);
	h->server = clite_hubble_free(h->server);
}

static void tell(struct hubble *h)
{
	const struct clite_hubble_status *s;

	if (clite_hubble_status(h->server, &s) >= 0)
		log_info("hubble: node '%s', the last %llu flows in %llu KiB", s->node,
			 (unsigned long long)s->flows_max, (unsigned long long)s->ring_bytes / 1024);
}

static bool begin(struct hubble *h, const struct config *c)
{
	const struct hubble_listener given = { .address = (char *)h->address };

	if (!h->address && !c->hubble.nlisteners)
		return true;
	if (server_new(h, c) && (!h->address || listen_at(h, &given) >= 0) &&
	    listen_all(h, &c->hubble, NULL)) {
		tell(h);
		return true;
	}
	server_free(h);
	return false;
}

bool hubble_start(struct clited *d, const char *address)
{
	d->hubble = xcalloc(1, sizeof(*d->hubble));
	*d->hubble = (struct hubble){ .d = d, .address = address };
	return begin(d->hubble, d->config);
}

static bool same_text(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

/* Certificates are read anew also where nothing else has changed. */
bool hubble_reload(struct clited *d, const struct config *next)
{
	const struct hubble_config *old = &d->config->hubble, *c = &next->hubble;
	struct hubble *h = d->hubble;

	if (!h->server)
		return begin(h, next);
	if (!listen_all(h, c, old))
		return false;
	for (size_t i = 0; i < old->nlisteners; i++) {
		const char *address = old->listeners[i].address;

		if (!has_address(c, address) && !same_text(address, h->address))
			clite_hubble_unlisten(h->server, address);
	}
	if (!h->address && !c->nlisteners)
		server_free(h);
	else if (c->flows != old->flows || c->level != old->level ||
		 !same_text(next->node, d->config->node))
		log_warning("hubble: flows, aggregation and node change with a restart");
	return true;
}

void hubble_stop(struct clited *d)
{
	if (!d->hubble)
		return;
	server_free(d->hubble);
	free(d->hubble);
	d->hubble = NULL;
}
