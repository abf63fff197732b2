/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that talk to a server of Hubble's API: options of the connection. */
#pragma once

#include "observe.h"

#define SERVER_OPTS                                                                               \
	{ OBS_SERVER, "server", "ADDRESS",                                                        \
	  "unix:///PATH, HOST:PORT or tls://HOST:PORT (default: $CLITE_HUBBLE_SERVER,\n"          \
	  "else $HUBBLE_SERVER)" },                                                               \
		{ OBS_TIMEOUT, "timeout", "TIME", "for connecting, such as 5s (default)" },       \
		{ OBS_REQUEST_TIMEOUT, "request-timeout", "TIME",                                 \
		  "for answers that are not streams (12s)" },                                     \
		{ OBS_TLS, "tls", NULL, "connect with TLS" },                                     \
		{ OBS_TLS_ALLOW_INSECURE, "tls-allow-insecure", NULL,                             \
		  "do not check who the server is" },                                             \
		{ OBS_TLS_CA, "tls-ca-cert-files", "FILE[,FILE]...",                              \
		  "certificates of who may vouch for the server (PEM)" },                         \
		{ OBS_TLS_CERT, "tls-client-cert-file", "FILE", "our certificate (PEM)" },        \
		{ OBS_TLS_KEY, "tls-client-key-file", "FILE", "its key (PEM)" },                  \
	{                                                                                         \
		OBS_TLS_NAME, "tls-server-name", "NAME", "whose certificate the server must have" \
	}

/* How to reach a server. Zero-initialised: as the environment says. */
struct server {
	const char *address;
	uint64_t timeout;	  /* ns; 0: default */
	uint64_t request_timeout; /* ns; 0: default */
	bool tls;
	bool insecure;
	struct strings ca;
	const char *cert, *key, *name;
};

/* Take an option if it is one of these. */
bool server_option(const struct cli *cli, struct server *server, int key, const char *value);
/* The address that was given, or that the environment says; NULL: none. */
const char *server_address(const struct server *server);
void server_clear(struct server *server);
