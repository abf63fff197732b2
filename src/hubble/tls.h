/* SPDX-License-Identifier: BSD-2-Clause */
/* TLS of a connection, between buffers: sockets are its owner's. */
#pragma once

#include <cilium-lite/hubble.h>
#include <openssl/ssl.h>

#include "hubble/base.h"

struct clite_hubble;

/* -EINVAL with the error's text set. */
int tls_context(struct clite_hubble *h, const struct clite_hubble_listen_opts *o, SSL_CTX **ret);

/* NULL: no memory. End it with SSL_free(). */
SSL *tls_accept(SSL_CTX *ctx);

/* Bytes of the socket go in; what to write to it comes out. -ENOMEM. */
int tls_input(SSL *ssl, const uint8_t *data, size_t n);
int tls_output(SSL *ssl, struct bytes *out);

/* 1: done; 0: it goes on; -EPROTO: it failed, or the client does not speak HTTP/2. */
int tls_handshake(SSL *ssl);
/* Bytes read, 0: none for now, -EPROTO, -EPIPE: the other side has closed. */
int tls_read(SSL *ssl, uint8_t *buf, size_t size);
/* All of it or -EPROTO. */
int tls_write(SSL *ssl, const uint8_t *data, size_t n);
