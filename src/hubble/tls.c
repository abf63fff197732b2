/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/tls.h"

#include <limits.h>
#include <openssl/err.h>

#include "hubble/hub.h"

static void ssl_ctx_freep(SSL_CTX **ctx)
{
	SSL_CTX_free(*ctx);
}

/* What OpenSSL said last, and its list of errors emptied. */
static const char *reason(char buf[256])
{
	unsigned long e = ERR_peek_last_error();

	ERR_error_string_n(e, buf, 256);
	ERR_clear_error();
	return e ? buf : "it cannot be used";
}

/* Clients since grpc-go 1.67 insist on it; without it they may speak anything. */
static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *outlen,
		     const unsigned char *in, unsigned int inlen, void *data)
{
	(void)ssl;
	(void)data;
	for (unsigned int i = 0; i < inlen; i += 1u + in[i]) {
		if (in[i] != 2 || i + 2 >= inlen || memcmp(in + i + 1, "h2", 2) != 0)
			continue;
		*out = in + i + 1;
		*outlen = 2;
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* OpenSSL would ask on the terminal. */
static int no_passphrase(char *buf, int size, int for_writing, void *data)
{
	(void)buf;
	(void)size;
	(void)for_writing;
	(void)data;
	return -1;
}

static int load_pair(struct clite_hubble *h, const struct clite_hubble_listen_opts *o, SSL_CTX *ctx)
{
	char buf[256];

	if (SSL_CTX_use_certificate_chain_file(ctx, o->cert) != 1)
		return hub_error(h, EINVAL, "TLS: certificate '%s': %s", o->cert, reason(buf));
	if (SSL_CTX_use_PrivateKey_file(ctx, o->key, SSL_FILETYPE_PEM) != 1)
		return hub_error(h, EINVAL, "TLS: key '%s': %s", o->key, reason(buf));
	if (SSL_CTX_check_private_key(ctx) != 1)
		return hub_error(h, EINVAL, "TLS: key '%s' is not that of certificate '%s'", o->key,
				 o->cert);
	return 0;
}

static int load_client_ca(struct clite_hubble *h, const char *file, SSL_CTX *ctx)
{
	STACK_OF(X509_NAME) * names;
	char buf[256];

	if (SSL_CTX_load_verify_file(ctx, file) != 1)
		return hub_error(h, EINVAL, "TLS: CA of clients '%s': %s", file, reason(buf));
	names = SSL_load_client_CA_file(file);
	if (!names)
		return hub_error(h, EINVAL, "TLS: CA of clients '%s': %s", file, reason(buf));
	SSL_CTX_set_client_CA_list(ctx, names); /* takes it */
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return 0;
}

int tls_context(struct clite_hubble *h, const struct clite_hubble_listen_opts *o, SSL_CTX **ret)
{
	_cleanup_(ssl_ctx_freep) SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int r;

	if (!ctx)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* Sessions that are taken up again need it where clients show certificates. */
	SSL_CTX_set_session_id_context(ctx, (const uint8_t *)"hubble", 6);
	SSL_CTX_set_alpn_select_cb(ctx, choose_h2, NULL);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	r = load_pair(h, o, ctx);
	if (!r && o->client_ca)
		r = load_client_ca(h, o->client_ca, ctx);
	if (r)
		return r;
	*ret = TAKE_PTR(ctx);
	return 0;
}

SSL *tls_accept(SSL_CTX *ctx)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl = SSL_new(ctx);

	if (!in || !out || !ssl) {
		BIO_free(in);
		BIO_free(out);
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_bio(ssl, in, out); /* takes both */
	SSL_set_accept_state(ssl);
	return ssl;
}

int tls_input(SSL *ssl, const uint8_t *data, size_t n)
{
	return BIO_write(SSL_get_rbio(ssl), data, (int)n) == (int)n ? 0 : -ENOMEM;
}

int tls_output(SSL *ssl, struct bytes *out)
{
	BIO *bio = SSL_get_wbio(ssl);
	size_t n = BIO_ctrl_pending(bio);

	if (!n)
		return 0;
	if (n > INT_MAX || !bytes_room(out, n) ||
	    BIO_read(bio, out->data + out->len, (int)n) != (int)n)
		return -ENOMEM;
	out->len += n;
	return 0;
}

/* 0: OpenSSL waits for more; else -EPROTO or -EPIPE. */
static int failure(SSL *ssl, int r)
{
	int e = SSL_get_error(ssl, r);

	ERR_clear_error();
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return 0;
	return e == SSL_ERROR_ZERO_RETURN ? -EPIPE : -EPROTO;
}

int tls_handshake(SSL *ssl)
{
	const unsigned char *protocol;
	unsigned int len;
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(ssl);
	if (r != 1)
		return failure(ssl, r);
	SSL_get0_alpn_selected(ssl, &protocol, &len);
	return len ? 1 : -EPROTO;
}

int tls_read(SSL *ssl, uint8_t *buf, size_t size)
{
	int n;

	ERR_clear_error();
	n = SSL_read(ssl, buf, size > INT_MAX ? INT_MAX : (int)size);
	return n > 0 ? n : failure(ssl, n);
}

int tls_write(SSL *ssl, const uint8_t *data, size_t n)
{
	ERR_clear_error();
	return SSL_write(ssl, data, (int)n) == (int)n ? 0 : -EPROTO; /* to memory: all of it */
}
