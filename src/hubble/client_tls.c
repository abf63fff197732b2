/* SPDX-License-Identifier: BSD-2-Clause */
/* TLS of the client. OpenSSL works on memory only: its own writes to a socket would
 * raise SIGPIPE in a process that is not ours. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "hubble/client.h"
#include "hubble/tls.h"

/* ---- what went wrong ------------------------------------------------------------------ */

/* The first error is the cause. */
static const char *reason(void)
{
	unsigned long e = ERR_peek_error();
	const char *text = ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) :
						 ERR_reason_error_string(e);

	ERR_clear_error();
	return text ?: "no reason given";
}

static int file_failed(struct failure *f, const char *what, const char *path)
{
	return failure_set(f, EINVAL, "%s '%s': %s", what, path, reason());
}

/* ---- settings --------------------------------------------------------------------------- */

static int load_ca(struct wire *w, const char *const *ca, struct failure *f)
{
	if (!ca || !*ca) {
		SSL_CTX_set_default_verify_paths(w->tls);
		return 0;
	}
	for (; *ca; ca++) {
		if (!SSL_CTX_load_verify_file(w->tls, *ca))
			return file_failed(f, "certificates of an authority", *ca);
	}
	return 0;
}

static int load_own(struct wire *w, const char *cert, const char *key, struct failure *f)
{
	if (!cert != !key)
		return failure_set(f, EINVAL,
				   "a client's certificate and its key belong together: "
				   "the %s is missing",
				   cert ? "key" : "certificate");
	if (!cert)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(w->tls, cert) != 1)
		return file_failed(f, "certificate", cert);
	if (SSL_CTX_use_PrivateKey_file(w->tls, key, SSL_FILETYPE_PEM) != 1)
		return file_failed(f, "key", key);
	return 0;
}

static bool is_address(const char *host)
{
	uint8_t addr[16];

	return inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
}

/* Whose certificate the server must have. */
static bool expect_name(struct wire *w, const char *name)
{
	if (is_address(name))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(w->ssl), name);
	return SSL_set1_host(w->ssl, name) && SSL_set_tlsext_host_name(w->ssl, name);
}

int client_tls_init(struct wire *w, const struct clite_hubble_client_opts *opts, bool insecure,
		    struct failure *f)
{
	static const uint8_t h2[] = { 2, 'h', '2' };
	int r;

	ERR_clear_error();
	w->tls = SSL_CTX_new(TLS_client_method());
	if (!w->tls)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(w->tls, TLS1_2_VERSION);
	SSL_CTX_set_verify(w->tls, insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_options(w->tls, SSL_OP_NO_RENEGOTIATION);
	r = load_ca(w, opts->ca, f);
	if (!r)
		r = load_own(w, opts->cert, opts->key, f);
	if (r < 0)
		return r;
	w->ssl = SSL_new(w->tls);
	if (!w->ssl || SSL_set_alpn_protos(w->ssl, h2, sizeof(h2)) ||
	    !expect_name(w, opts->server_name ?: w->host))
		return -ENOMEM;
	SSL_set_connect_state(w->ssl);
	return 0;
}

int client_tls_start(struct wire *w, struct failure *f)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

	(void)f;
	if (!in || !out) {
		BIO_free(in);
		BIO_free(out);
		return -ENOMEM;
	}
	SSL_set_bio(w->ssl, in, out);
	return 0;
}

/* ---- bytes ---------------------------------------------------------------------------- */

static int tls_failed(struct wire *w, struct failure *f)
{
	long verify = SSL_get_verify_result(w->ssl);

	tls_output(w->ssl, &w->out); /* the alert */
	if (verify != X509_V_OK)
		return failure_set(f, EACCES, "server '%s': its certificate: %s", w->target,
				   X509_verify_cert_error_string(verify));
	return failure_set(f, EPROTO, "server '%s': TLS: %s", w->target, reason());
}

/* 0: OpenSSL waits for more. */
static int outcome(struct wire *w, int r, struct failure *f)
{
	int error = SSL_get_error(w->ssl, r);

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return tls_output(w->ssl, &w->out);
	if (error == SSL_ERROR_ZERO_RETURN)
		return failure_set(f, ECONNRESET, "server '%s' closed the connection", w->target);
	return tls_failed(w, f);
}

int client_tls_handshake(struct wire *w, struct failure *f)
{
	const uint8_t *protocol;
	unsigned int len;
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(w->ssl);
	if (r != 1)
		return outcome(w, r, f);
	SSL_get0_alpn_selected(w->ssl, &protocol, &len);
	if (len != 2 || memcmp(protocol, "h2", 2))
		return failure_set(f, EPROTO, "server '%s': it has TLS, but does not speak HTTP/2",
				   w->target);
	r = tls_output(w->ssl, &w->out);
	return r < 0 ? r : 1;
}

ssize_t client_tls_read(struct wire *w, void *buf, size_t size, struct failure *f)
{
	int n;

	if (!size)
		return 0;
	ERR_clear_error();
	n = SSL_read(w->ssl, buf, (int)size);
	return n > 0 ? n : outcome(w, n, f);
}

int client_tls_write(struct wire *w, const void *data, size_t len, struct failure *f)
{
	int n;

	ERR_clear_error();
	n = SSL_write(w->ssl, data, (int)len); /* memory takes all of it */
	return n == (int)len ? tls_output(w->ssl, &w->out) : outcome(w, n, f);
}
