/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * A client of Hubble's API: flows, status, nodes and peers from a server such as clited,
 * Cilium's agent or Hubble's relay. It lies in libcilium-lite-hubble.so, as the server in
 * <cilium-lite/hubble.h>.
 *
 * Calls never wait: answers come to a callback in clite_hubble_client_dispatch(), which is
 * due when the client's file descriptor is readable. Servers are not trusted: messages,
 * their memory and headers have limits, and an answer that breaks the protocol ends its
 * call, or the connection, with an error.
 *
 * Thread class of this group: strict, per client.
 */
#ifndef CILIUM_LITE_HUBBLE_CLIENT_H
#define CILIUM_LITE_HUBBLE_CLIENT_H

#include <cilium-lite/filter.h>
#include <cilium-lite/flow.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A connection to a server. @since 0.1 */
struct clite_hubble_client;

/** A call that is under way, or over. A child of its client. @since 0.1 */
struct clite_hubble_call;

/** \name TLS of a client.
 * @{ */
#define CLITE_HUBBLE_TLS_AUTO 0u /**< if the address begins with "tls://", or a member about TLS is set */
#define CLITE_HUBBLE_TLS_OFF 1u
#define CLITE_HUBBLE_TLS_ON 2u
#define CLITE_HUBBLE_TLS_INSECURE 3u /**< on, but anybody may be the server: never across a network */
/** @} */

/** Options of clite_hubble_client_new(). @since 0.1 */
struct clite_hubble_client_opts {
	size_t sz;		      /**< sizeof(struct clite_hubble_client_opts) */
	const char *const *ca;	      /**< PEM files of who signs the server's certificate, ends with NULL; NULL: who the system trusts */
	const char *cert;	      /**< PEM file of the client's certificate and its chain; NULL: none */
	const char *key;	      /**< PEM file of its private key */
	const char *server_name;      /**< name that the server's certificate must have; NULL: the host of the address */
	char *errbuf;		      /**< gets the details when clite_hubble_client_new() fails; may be NULL */
	size_t errbuf_size;	      /**< bytes in errbuf */
	uint64_t connect_timeout;     /**< ns; 0: 5 s */
	uint64_t request_timeout;     /**< ns for calls that are not streams; 0: 12 s */
	uint32_t tls;		      /**< CLITE_HUBBLE_TLS_* */
	uint32_t max_message;	      /**< bytes of one message from the server at most; 0: 4 MiB */
};

/** Begin to connect to a server. Only finding the address of a host's name waits.
 *
 * \param address "unix:///run/cilium/hubble.sock", "/run/cilium/hubble.sock",
 *		  "host:port", "[::1]:4245", "tls://host:port"; "host" alone: port 4245
 * \param opts	  options, or NULL for all defaults
 * \param ret	  end it with clite_hubble_client_free()
 * \retval -EINVAL a NULL argument, a bad address or option, or TLS files that do not fit
 * \retval -EHOSTUNREACH the host's name is not known
 * \retval -ENOMEM no memory
 * \retval -errno  of the system call that failed. That nobody listens is told by the end
 *		   of the first call
 * @since 0.1
 */
CLITE_API int clite_hubble_client_new(const char *address,
				      const struct clite_hubble_client_opts *opts,
				      struct clite_hubble_client **ret);

/** Close the connection. Calls are over: no callback comes any more, and clite_hubble_call_end()
 * frees them. Not from a callback of this client. NULL is accepted. \return NULL. @since 0.1 */
CLITE_API struct clite_hubble_client *clite_hubble_client_free(struct clite_hubble_client *client);

/** One file descriptor for an event loop: readable (poll, epoll) when
 * clite_hubble_client_dispatch() has something to do. Borrowed: do not close it.
 * \retval -EINVAL client is NULL
 * \retval -ECHILD called in a child after fork(2)
 * @since 0.1
 */
CLITE_API int clite_hubble_client_fd(struct clite_hubble_client *client);

/** Send, receive and call back. Never blocks.
 * \param budget  answers at most; 0: those that are there
 * \return number of answers, or what a callback returned if that was negative (nothing is lost then)
 * \retval -EINVAL client is NULL
 * \retval -EDEADLK called from a callback of this client
 * \retval -ECHILD called in a child after fork(2)
 * @since 0.1
 */
CLITE_API int clite_hubble_client_dispatch(struct clite_hubble_client *client, uint32_t budget);

/** Details of the last failure on this client: borrowed, valid until the next call on it.
 * Never NULL. @since 0.1 */
CLITE_API const char *clite_hubble_client_error(struct clite_hubble_client *client);

/** \name Calls.
 * @{ */
#define CLITE_HUBBLE_CALL_HEALTH 1u	  /**< grpc.health.v1.Health/Check of the observer: HEALTH */
#define CLITE_HUBBLE_CALL_STATUS 2u	  /**< ServerStatus: STATUS */
#define CLITE_HUBBLE_CALL_FLOWS 3u	  /**< GetFlows: FLOW, LOST and NODE_STATE, many */
#define CLITE_HUBBLE_CALL_AGENT_EVENTS 4u /**< GetAgentEvents: AGENT_EVENT, many */
#define CLITE_HUBBLE_CALL_DEBUG_EVENTS 5u /**< GetDebugEvents: DEBUG_EVENT, many */
#define CLITE_HUBBLE_CALL_NODES 6u	  /**< GetNodes: NODE, one for each */
#define CLITE_HUBBLE_CALL_NAMESPACES 7u	  /**< GetNamespaces: NAMESPACE, one for each */
#define CLITE_HUBBLE_CALL_PEERS 8u	  /**< Notify: PEER, until the call is ended */
/** @} */

/** What flows or events to get. @since 0.1 */
struct clite_hubble_request {
	size_t sz;	  /**< sizeof(struct clite_hubble_request) */
	uint64_t number;  /**< the last (or first) so many; 0: none before now if follow is 1, else as the server likes; UINT64_MAX: all */
	uint64_t since;	  /**< ns since 1970; 0: any time. Then number is not heeded */
	uint64_t until;	  /**< ns since 1970; 0: any time */
	uint32_t follow;  /**< 1: go on with new ones */
	uint32_t first;	  /**< 1: number counts from the oldest */
	const struct clite_flow_filter *allow; /**< flows: pass if one of these matches, or there is none */
	const struct clite_flow_filter *deny;  /**< flows: pass if none of these matches */
	size_t nallow;
	size_t ndeny;
	const char *const *field_mask; /**< flows: fields of flow.proto to fill in, such as "source.pod_name"; ends with NULL; NULL: all */
};

/** \name Types of answers.
 * @{ */
#define CLITE_HUBBLE_ANSWER_END 0u /**< the call is over, and this its last answer: error and message */
#define CLITE_HUBBLE_ANSWER_FLOW 1u
#define CLITE_HUBBLE_ANSWER_LOST 2u
#define CLITE_HUBBLE_ANSWER_NODE_STATE 3u
#define CLITE_HUBBLE_ANSWER_HEALTH 4u /**< health */
#define CLITE_HUBBLE_ANSWER_STATUS 5u
#define CLITE_HUBBLE_ANSWER_NODE 6u
#define CLITE_HUBBLE_ANSWER_NAMESPACE 7u
#define CLITE_HUBBLE_ANSWER_PEER 8u
#define CLITE_HUBBLE_ANSWER_AGENT_EVENT 9u
#define CLITE_HUBBLE_ANSWER_DEBUG_EVENT 10u
/** @} */

/** Flows that the server could not give. @since 0.1 */
struct clite_hubble_lost {
	size_t sz;
	const char *source; /**< Hubble's name of the place, such as "HUBBLE_RING_BUFFER" */
	uint64_t count;
	uint32_t cpu;
	uint32_t reserved;
};

/** \name States of a node, numbers of Hubble's NodeState (api/v1/relay/relay.proto).
 * @{ */
#define CLITE_HUBBLE_NODE_CONNECTED 1u
#define CLITE_HUBBLE_NODE_UNAVAILABLE 2u
#define CLITE_HUBBLE_NODE_GONE 3u
#define CLITE_HUBBLE_NODE_ERROR 4u
/** @} */

/** Nodes of a relay that changed. @since 0.1 */
struct clite_hubble_node_state {
	size_t sz;
	const char *const *nodes; /**< names, ends with NULL */
	const char *message;
	uint32_t state; /**< CLITE_HUBBLE_NODE_*, 0: not known */
	uint32_t reserved;
};

/** How a server is. @since 0.1 */
struct clite_hubble_server_status {
	size_t sz;
	const char *version;
	const char *const *unavailable; /**< names of nodes, ends with NULL; may be fewer than there are */
	uint64_t flows;	    /**< that it keeps now */
	uint64_t flows_max; /**< that it can keep */
	uint64_t seen;	    /**< since it began */
	uint64_t uptime;    /**< ns */
	double rate;	    /**< flows in a second; 0: not known */
	uint32_t has_nodes; /**< 1: nodes_connected is known */
	uint32_t has_unavailable; /**< 1: nodes_unavailable is known */
	uint32_t nodes_connected;
	uint32_t nodes_unavailable;
};

/** A node. @since 0.1 */
struct clite_hubble_node {
	size_t sz;
	const char *name;
	const char *version;
	const char *address;
	const char *tls_name; /**< "" without */
	uint64_t uptime;      /**< ns; 0: not known */
	uint64_t flows;
	uint64_t flows_max;
	uint64_t seen;
	uint32_t state; /**< CLITE_HUBBLE_NODE_*, 0: not known */
	uint32_t tls;	/**< 0 off, 1 on, 2 not known */
};

/** A namespace. @since 0.1 */
struct clite_hubble_namespace {
	size_t sz;
	const char *cluster; /**< or "" */
	const char *name;
};

/** A change of a server's peers. @since 0.1 */
struct clite_hubble_peer {
	size_t sz;
	const char *change; /**< Hubble's name: "PEER_ADDED", "PEER_DELETED", "PEER_UPDATED" */
	const char *name;
	const char *address;
	const char *tls_name; /**< or "" */
	uint32_t tls;	      /**< 1: the peer wants TLS */
	uint32_t reserved;
};

/** An event of an agent, or a debug event of a datapath. @since 0.1 */
struct clite_hubble_event {
	size_t sz;
	const char *type;    /**< Hubble's name, such as "ENDPOINT_CREATED", "DBG_CT_LOOKUP" */
	const char *details; /**< as "hubble observe agent-events" prints them; of a debug event its message */
	const char *source;  /**< debug: "default/web (ID: 3)", "N/A" */
	uint32_t hash;	     /**< debug: mark */
	uint32_t has_hash;
	uint32_t cpu;
	uint32_t has_cpu;
};

/** An answer: type says which pointer is set. Borrowed, valid during the callback. No text
 * is NULL. @since 0.1 */
struct clite_hubble_answer {
	size_t sz;
	uint32_t type;		/**< CLITE_HUBBLE_ANSWER_* */
	int32_t error;		/**< END: 0, or a negative errno */
	uint32_t grpc_status;	/**< END: gRPC's number; 0: ok, or none came */
	uint32_t health;	/**< HEALTH: 1 serving, 2 not, 3 no such service, 0 not known */
	const char *message;	/**< END: what went wrong; "" if nothing */
	const char *node;	/**< node that it comes from, or "" */
	uint64_t time;		/**< ns since 1970; 0: not said */
	const struct clite_flow *flow;
	const struct clite_hubble_lost *lost;
	const struct clite_hubble_node_state *node_state;
	const struct clite_hubble_server_status *status;
	const struct clite_hubble_node *node_info;
	const struct clite_hubble_namespace *ns;
	const struct clite_hubble_peer *peer;
	const struct clite_hubble_event *event;
	const void *raw; /**< for clite_hubble_answer_json() */
};

/** Call the server. May be done before the connection stands.
 *
 * \param method  CLITE_HUBBLE_CALL_*
 * \param request what to get; NULL, or for calls that have nothing to choose: everything
 *		  zero. Not needed any more when this returns
 * \param cb	  gets the answers, ANSWER_END last. May make and end calls, and write the
 *		  answer as JSON; a negative return ends the dispatch and is returned by it
 * \param ret	  drop it with clite_hubble_call_end(), also when it is over
 * \retval -EINVAL a NULL argument, no such method, or a bad request
 * \retval -ENOTCONN the connection is over: make a new client
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ENOMEM no memory
 * @since 0.1
 */
CLITE_API int clite_hubble_client_call(struct clite_hubble_client *client, uint32_t method,
				       const struct clite_hubble_request *request,
				       int (*cb)(const struct clite_hubble_answer *answer,
						 void *userdata),
				       void *userdata, struct clite_hubble_call **ret);

/** End a call, also from its callback: the server is told to stop, and no callback comes
 * any more. NULL is accepted. \return NULL. @since 0.1 */
CLITE_API struct clite_hubble_call *clite_hubble_call_end(struct clite_hubble_call *call);

/** Write an answer as JSON, as protobuf writes Hubble's messages and "hubble -o json" prints
 * them, with all that the server sent and this version knows; of END nothing.
 *
 * \param buf   gets the text, ended with NUL, cut off if it is longer; may be NULL with size 0
 * \retval -EINVAL a NULL argument, or an answer with another sz
 * \retval -ENOMEM no memory
 * \return length of the whole text, as snprintf(3)
 * @since 0.1
 */
CLITE_API int clite_hubble_answer_json(const struct clite_hubble_answer *answer, char *buf,
				       size_t size);

#ifdef __cplusplus
}
#endif

#endif
