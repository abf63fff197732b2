/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets that clients connect to. */
#pragma once

#include <sys/stat.h>

#include "hubble/hub.h"
#include "hubble/tls.h"

struct listener {
	enum watch watch;
	int fd;
	char *name;	   /* as it was asked for */
	char *address;	   /* as clients write it, with the real port */
	char *announce;	   /* what relays are told; NULL: address */
	char *server_name; /* TLS; NULL: none */
	SSL_CTX *tls;	   /* NULL: without */
	char *path;	   /* of a Unix socket; NULL: TCP */
	dev_t dev;	   /* of the path when we made it: only that is removed */
	ino_t ino;
	bool wildcard;
	TAILQ_ENTRY(listener) entry;
};

/* For the context of TLS, and nothing that is read then, see clite_hubble_listen(). */
int listener_open(struct clite_hubble *h, const char *name,
		  const struct clite_hubble_listen_opts *o);
/* Of what has this name. -ENOENT. */
int listener_close(struct clite_hubble *h, const char *name);
/* remove: the path, too. */
void listener_free(struct clite_hubble *h, struct listener *l, bool remove);
/* A client: its socket, or -EAGAIN, or another failure. */
int listener_accept(struct listener *l);
/* Have the epoll set tell of clients, or not. */
void listener_watch(struct clite_hubble *h, struct listener *l, bool on);
