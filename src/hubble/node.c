/* SPDX-License-Identifier: BSD-2-Clause */
/* What the server tells of itself. */
#include "hubble/services.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>

#include "hubble/listen.h"
#include "peer.pb-c.h"

static enum grpc_code put(struct stream *s, const ProtobufCMessage *m)
{
	return stream_put(s, m) ? stream_fail(s, GRPC_RESOURCE_EXHAUSTED, "no memory") : GRPC_OK;
}

static char *text(const char *s)
{
	return (char *)(uintptr_t)s; /* protobuf-c's are not const; nobody writes to them */
}

/* ---- ServerStatus ------------------------------------------------------------------- */

static uint64_t num_flows(const struct clite_hubble *h)
{
	return h->ring.head - ring_oldest(&h->ring);
}

/* Position of the first flow of a time or later; they are in order, or about. */
static uint64_t flow_since(const struct clite_hubble *h, uint64_t time)
{
	uint64_t low = ring_oldest(&h->ring), high = h->ring.head;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (ring_at(&h->ring, mid)->event.time < time)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* A second, in the last minute; in a shorter time if the ring or the server is not as old. */
static double flows_rate(const struct clite_hubble *h)
{
	uint64_t now = now_real(), minute = 60 * NS, first = flow_since(h, now - minute);
	uint64_t n = h->ring.head - first, span = minute, up = now_mono() - h->started;

	if (!n)
		return 0;
	if (up < span)
		span = up;
	if (first == ring_oldest(&h->ring) && first > 0) { /* older ones were overwritten */
		uint64_t oldest = ring_at(&h->ring, first)->event.time;

		span = now > oldest && now - oldest < span ? now - oldest : span;
	}
	return (double)n * (double)NS / (double)(span ?: 1);
}

enum grpc_code serve_status(struct stream *s, const ProtobufCMessage *message)
{
	const struct clite_hubble *h = s->hub;
	Observer__ServerStatusResponse m = OBSERVER__SERVER_STATUS_RESPONSE__INIT;
	Google__Protobuf__UInt32Value one = GOOGLE__PROTOBUF__UINT32_VALUE__INIT;
	Google__Protobuf__UInt32Value none = GOOGLE__PROTOBUF__UINT32_VALUE__INIT;

	(void)message;
	one.value = 1;
	m.num_flows = num_flows(h);
	m.max_flows = h->ring.max;
	m.seen_flows = h->seen;
	m.uptime_ns = now_mono() - h->started;
	m.num_connected_nodes = &one; /* itself */
	m.num_unavailable_nodes = &none;
	m.version = h->version;
	m.flows_rate = flows_rate(h);
	return put(s, &m.base);
}

/* ---- where clients reach it ------------------------------------------------------------ */

static int address_rank(const struct sockaddr *sa)
{
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

	if (sa->sa_family == AF_INET)
		return 2;
	return sa->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(v6) ? 1 : 0;
}

/* Of "[::]:4244" with the first address of this host that others can use; "" if it has none. */
static char *real_address(const char *any)
{
	const char *port = strrchr(any, ':');
	char host[INET6_ADDRSTRLEN] = "", *out = NULL;
	struct ifaddrs *list = NULL;
	int best = 0;

	if (getifaddrs(&list))
		return strdup("");
	for (struct ifaddrs *a = list; a; a = a->ifa_next) {
		int rank = a->ifa_addr && !(a->ifa_flags & IFF_LOOPBACK) && a->ifa_flags & IFF_UP ?
				   address_rank(a->ifa_addr) :
				   0;
		bool v6 = rank == 1;

		if (rank <= best)
			continue;
		best = rank;
		inet_ntop(a->ifa_addr->sa_family,
			  v6 ? (void *)&((struct sockaddr_in6 *)(void *)a->ifa_addr)->sin6_addr :
			       (void *)&((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr,
			  host, sizeof(host));
	}
	freeifaddrs(list);
	if (!best)
		return strdup("");
	return asprintf(&out, best == 1 ? "[%s]%s" : "%s%s", host, port) < 0 ? NULL : out;
}

const char *hub_announced(struct clite_hubble *h, const struct listener **ret)
{
	struct listener *l, *best = TAILQ_FIRST(&h->listeners);

	TAILQ_FOREACH(l, &h->listeners, entry) {
		if (l->path && !l->announce)
			continue;
		best = l;
		break;
	}
	*ret = best;
	if (!best)
		return "";
	if (best->wildcard && (!best->announce || !*best->announce)) { /* it may get one later */
		free(best->announce);
		best->announce = real_address(best->address);
	}
	return best->announce ?: best->address;
}

/* ---- GetNodes, Notify, GetNamespaces ----------------------------------------------------- */

enum grpc_code serve_nodes(struct stream *s, const ProtobufCMessage *message)
{
	struct clite_hubble *h = s->hub;
	Observer__GetNodesResponse m = OBSERVER__GET_NODES_RESPONSE__INIT;
	Observer__Node node = OBSERVER__NODE__INIT, *nodes[] = { &node };
	Observer__TLS tls = OBSERVER__TLS__INIT;
	const struct listener *l;

	(void)message;
	node.name = h->node;
	node.version = h->version;
	node.address = text(hub_announced(h, &l));
	node.state = RELAY__NODE_STATE__NODE_CONNECTED;
	tls.enabled = l && l->tls;
	tls.server_name = text(l && l->server_name ? l->server_name : "");
	node.tls = &tls;
	node.uptime_ns = now_mono() - h->started;
	node.num_flows = num_flows(h);
	node.max_flows = h->ring.max;
	node.seen_flows = h->seen;
	m.nodes = nodes;
	m.n_nodes = 1;
	return put(s, &m.base);
}

static enum more stay(struct stream *s, size_t room)
{
	(void)s;
	(void)room;
	return MORE_STAY;
}

enum grpc_code serve_peers(struct stream *s, const ProtobufCMessage *message)
{
	struct clite_hubble *h = s->hub;
	Peer__ChangeNotification m = PEER__CHANGE_NOTIFICATION__INIT;
	Peer__TLS tls = PEER__TLS__INIT;
	const struct listener *l;

	(void)message;
	m.name = h->node;
	m.address = text(hub_announced(h, &l));
	m.type = PEER__CHANGE_NOTIFICATION_TYPE__PEER_ADDED;
	if (l && l->tls) {
		tls.server_name = text(l->server_name ?: "");
		m.tls = &tls;
	}
	s->more = stay;
	return put(s, &m.base);
}

enum grpc_code serve_namespaces(struct stream *s, const ProtobufCMessage *message)
{
	struct namespaces *seen = &s->hub->namespaces;
	Observer__GetNamespacesResponse m = OBSERVER__GET_NAMESPACES_RESPONSE__INIT;
	Observer__Namespace *each;
	struct arena a = {};
	enum grpc_code code;

	(void)message;
	namespaces_expire(seen, now_mono());
	each = arena_get(&a, seen->n * sizeof(*each));
	m.namespaces = arena_get(&a, seen->n * sizeof(*m.namespaces));
	for (size_t i = 0; !a.failed && i < seen->n; i++) {
		observer__namespace__init(&each[i]);
		each[i].cluster = text(text_utf8(&a, seen->list[i].cluster));
		each[i].namespace_ = text(text_utf8(&a, seen->list[i].ns));
		m.namespaces[i] = &each[i];
	}
	m.n_namespaces = seen->n;
	code = a.failed ? stream_fail(s, GRPC_RESOURCE_EXHAUSTED, "no memory") : put(s, &m.base);
	arena_clear(&a);
	return code;
}
