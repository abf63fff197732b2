/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * A server of Hubble's API: clients such as "hubble observe", Hubble's relay and UI get
 * flows from it. It lies in a library of its own, libcilium-lite-hubble.so (pkg-config
 * cilium-lite-hubble); the core does not need it.
 *
 * The server keeps the last flows in a ring of fixed size and serves observer.Observer,
 * peer.Peer and grpc.health.v1.Health by gRPC on Unix sockets and TCP, with TLS or without.
 * It has no thread: everything happens in clite_hubble_dispatch().
 *
 * Thread class of this group: strict, per server; a server with a context and that
 * context belong to the same thread.
 */
#ifndef CILIUM_LITE_HUBBLE_H
#define CILIUM_LITE_HUBBLE_H

#include <cilium-lite/flow.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A server. @since 0.1 */
struct clite_hubble;

/** Options of clite_hubble_new(). @since 0.1 */
struct clite_hubble_opts {
	size_t sz;	       /**< sizeof(struct clite_hubble_opts) */
	const char *node;      /**< name of this node for clients; NULL: this host's */
	const char *version;   /**< what the server says that it is; NULL: "cilium-lite" and the library's version */
	char *errbuf;	       /**< gets the details when clite_hubble_new() fails; may be NULL */
	size_t errbuf_size;    /**< bytes in errbuf */
	uint32_t flows;	       /**< flows that the ring keeps; 0: 4095; at most 2^28 */
	uint32_t aggregation;  /**< as in struct clite_subscribe_opts */
	uint32_t ring_bytes;   /**< as in struct clite_subscribe_opts */
	uint32_t connections;  /**< clients at a time; 0: 256 */
};

/** Make a server. It serves nobody until clite_hubble_listen().
 *
 * \param ctx   it subscribes to this instance's events: flows come while the caller runs
 *		clite_dispatch(). The server holds a reference. NULL: flows come by
 *		clite_hubble_feed() only
 * \param opts  options, or NULL for all defaults
 * \param ret   end it with clite_hubble_free()
 * \retval -EINVAL a bad option, or ret is NULL
 * \retval -ENOMEM no memory
 * \retval -ENOSPC, -ECHILD, -ESTALE as for clite_subscribe()
 * @since 0.1
 */
CLITE_API int clite_hubble_new(struct clite_ctx *ctx, const struct clite_hubble_opts *opts,
			       struct clite_hubble **ret);

/** End a server: connections are closed, Unix sockets that it made are removed. After
 * fork(2) in the child: frees memory and closes its file descriptors, nothing else. NULL is
 * accepted. \return NULL. @since 0.1 */
CLITE_API struct clite_hubble *clite_hubble_free(struct clite_hubble *hubble);

/** How to listen. @since 0.1 */
struct clite_hubble_listen_opts {
	size_t sz;		/**< sizeof(struct clite_hubble_listen_opts) */
	const char *cert;	/**< TLS: PEM file of the certificate and its chain; NULL: no TLS */
	const char *key;	/**< TLS: PEM file of the private key */
	const char *client_ca;	/**< TLS: PEM file of who signs clients' certificates, which they must have then; NULL: anybody is served */
	const char *server_name; /**< TLS: name in the certificate, told to relays; NULL: none */
	const char *announce;	/**< address that relays are told ("10.0.0.1:4244"); NULL: that of the first TCP listener, else of the first one */
	uint32_t mode;		/**< permissions of a Unix socket; 0: 0660 */
	uint32_t set_owner;	/**< 1: a Unix socket gets the owner uid and group gid */
	uint32_t uid;
	uint32_t gid;
};

/** Listen at an address; may be called several times. With the address of a listener that
 * is there it replaces the TLS files: connections that are open keep what they have.
 *
 * A Unix socket that nobody listens on any more is replaced.
 *
 * \param address "unix:///run/hubble.sock", "/run/hubble.sock", "host:port", ":4244" (all
 *		  addresses), "[::1]:4244"; port 0: any free one, see
 *		  clite_hubble_status()
 * \param opts	  options, or NULL for all defaults
 * \retval -EINVAL a NULL argument, a bad address or option, or TLS files that do not fit
 * \retval -EADDRINUSE somebody listens there
 * \retval -EEXIST the path is something else than a socket
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ENOMEM no memory
 * \retval -errno  of the system call that failed
 * clite_hubble_error() tells more.
 * @since 0.1
 */
CLITE_API int clite_hubble_listen(struct clite_hubble *hubble, const char *address,
				  const struct clite_hubble_listen_opts *opts);

/** Listen no more at an address: connections that are open stay. A Unix socket that the
 * server made is removed.
 * \param address as clite_hubble_listen() got it
 * \retval -ENOENT the server does not listen there
 * \retval -EINVAL a NULL argument
 * \retval -ECHILD called in a child after fork(2)
 * @since 0.1
 */
CLITE_API int clite_hubble_unlisten(struct clite_hubble *hubble, const char *address);

/** Give the server a flow that is not of its context: of a file, of another program. It is
 * copied.
 * \retval -EINVAL a NULL argument, or a flow, event or end with another sz
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ENOMEM no memory: the flow is lost
 * @since 0.1
 */
CLITE_API int clite_hubble_feed(struct clite_hubble *hubble, const struct clite_flow *flow);

/** One file descriptor for an event loop: readable (poll, epoll) when
 * clite_hubble_dispatch() has something to do. Borrowed: do not close it.
 * \retval -EINVAL hubble is NULL
 * \retval -ECHILD called in a child after fork(2)
 * @since 0.1
 */
CLITE_API int clite_hubble_fd(struct clite_hubble *hubble);

/** Serve clients. Never blocks.
 * \param budget  connections to serve at most; 0: those that are ready now. What is
 *		  left is served by the next call
 * \return number of connections served
 * \retval -EINVAL hubble is NULL
 * \retval -EDEADLK called from a callback of the server
 * \retval -ECHILD called in a child after fork(2)
 * @since 0.1
 */
CLITE_API int clite_hubble_dispatch(struct clite_hubble *hubble, uint32_t budget);

/** What a server holds and has done. @since 0.1 */
struct clite_hubble_status {
	size_t sz;
	const char *node;	 /**< borrowed */
	const char *address;	 /**< of the first listener, with its real port; "" without one; borrowed */
	uint64_t flows;		 /**< in the ring */
	uint64_t flows_max;	 /**< that it keeps */
	uint64_t seen;		 /**< flows since the server began */
	uint64_t lost;		 /**< events that the datapath could not write for this server */
	uint64_t overwritten;	 /**< flows that clients wanted and did not get because they were too slow, all clients together */
	uint64_t sent;		 /**< flows sent, all clients together */
	uint64_t uptime;	 /**< ns */
	uint64_t ring_bytes;	 /**< memory of the ring */
	uint64_t name_bytes;	 /**< memory of the names that its flows have, each once */
	uint32_t connections;	 /**< open */
	uint32_t streams;	 /**< requests being answered */
	uint64_t requests;	 /**< since the server began */
	uint64_t refused;	 /**< connections that were one too many, or failed in TLS or HTTP/2 */
};

/** Ask a server how it is.
 * \param ret  borrowed, valid until the next call on hubble
 * \retval -EINVAL a NULL argument
 * \retval -ECHILD called in a child after fork(2)
 * @since 0.1
 */
CLITE_API int clite_hubble_status(struct clite_hubble *hubble,
				  const struct clite_hubble_status **ret);

/** Details of the last failure on this server: borrowed, valid until the next call on it.
 * Never NULL; "" when nothing failed. @since 0.1 */
CLITE_API const char *clite_hubble_error(struct clite_hubble *hubble);

#ifdef __cplusplus
}
#endif

#endif
