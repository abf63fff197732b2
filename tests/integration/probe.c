/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define FIRST_PORT 10000u
#define POLICY_DENIED 133
#define POLICY_DENY 181
#define INIT 1
#define INIT_ACK 2

const char *const protocol_names[PROTOCOLS] = { "TCP", "UDP", "SCTP" };
const unsigned int port_numbers[PORTS] = { 80, 81 };

struct probe {
	uint32_t round;
	uint8_t protocol, port, from, to;
};

/* What a readiness is about. */
enum kind { CLIENT, ECHO, RAW, EVENTS };

/* A chunk alone in its packet, as it is on the wire. */
struct init_packet {
	uint16_t source, destination;
	uint32_t tag, checksum;
	uint8_t type, flags;
	uint16_t length;
	uint32_t initiate_tag, window;
	uint16_t out_streams, in_streams;
	uint32_t tsn;
};

static const struct workload *peers;
static int npeers, first_outside, host, epoll;
static int listeners[MAX_PEERS][PORTS], echoes[MAX_PEERS][PORTS], raws[MAX_PEERS];
static int clients[2][PORTS][MAX_PEERS][MAX_PEERS];
static uint32_t round_number;
static struct outcome *outcome;

bool is_probed(int from, int to)
{
	return from < first_outside || to < first_outside;
}

static void enter(int netns)
{
	NEED(setns(netns, CLONE_NEWNET) == 0, "setns: %m");
}

static struct sockaddr_in address(int peer, unsigned int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	NEED(inet_pton(AF_INET, peers[peer].ipv4, &a.sin_addr) == 1, "%s", peers[peer].ipv4);
	return a;
}

static int peer_of(const void *ipv4)
{
	for (int i = 0; i < npeers; i++) {
		struct sockaddr_in a = address(i, 0);

		if (memcmp(&a.sin_addr, ipv4, sizeof(a.sin_addr)) == 0)
			return i;
	}
	return -1;
}

static int port_of(unsigned int number)
{
	return number == port_numbers[PORT_80] ? PORT_80 :
	       number == port_numbers[PORT_81] ? PORT_81 :
						 -1;
}

/* From one peer, no two probes have the same. */
static unsigned int source_port(int to, int port)
{
	unsigned int n = FIRST_PORT + (round_number * MAX_PEERS + (unsigned int)to) * PORTS;

	NEED(n + PORTS < 32768, "no ports are left for round %u", round_number);
	return n + (unsigned int)port;
}

static void mark(const struct probe *p, unsigned int what)
{
	outcome->of[p->protocol][p->port][p->from][p->to] |= what;
}

static uint64_t token(enum kind kind, const struct probe *p)
{
	return (uint64_t)kind << 32 | (uint64_t)p->protocol << 24 | (uint64_t)p->port << 16 |
	       (uint64_t)p->from << 8 | p->to;
}

static void watch(int fd, uint32_t events, enum kind kind, const struct probe *p)
{
	struct epoll_event e = { .events = events, .data.u64 = token(kind, p) };

	NEED(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl: %m");
}

static int open_socket(int type, int protocol)
{
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	NEED(fd >= 0, "socket: %m");
	return fd;
}

/* ---- servers ------------------------------------------------------------------------- */

static int bound(int type, int peer, unsigned int port)
{
	struct sockaddr_in a = address(peer, port);
	int fd = open_socket(type, 0);

	NEED(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "bind to port %u of %s: %m", port,
	     peers[peer].name);
	return fd;
}

static void serve(int peer)
{
	struct probe p = { .from = (uint8_t)peer };

	enter(peers[peer].netns);
	for (int i = 0; i < PORTS; i++) {
		p.port = (uint8_t)i;
		listeners[peer][i] = bound(SOCK_STREAM, peer, port_numbers[i]);
		NEED(listen(listeners[peer][i], 64) == 0, "listen: %m");
		echoes[peer][i] = bound(SOCK_DGRAM, peer, port_numbers[i]);
		watch(echoes[peer][i], EPOLLIN, ECHO, &p);
	}
	raws[peer] = open_socket(SOCK_RAW, IPPROTO_SCTP);
	watch(raws[peer], EPOLLIN, RAW, &p);
	enter(host);
}

void probe_init(const struct workload *all, int n, int outside)
{
	NEED(n <= MAX_PEERS, "at most %d peers", MAX_PEERS);
	peers = all;
	npeers = n;
	first_outside = outside;
	host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	NEED(host >= 0 && epoll >= 0, "epoll or network namespace: %m");
	for (int i = 0; i < n; i++)
		serve(i);
}

static void echo(int fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	struct probe p;
	ssize_t n;

	while ((n = recvfrom(fd, &p, sizeof(p), 0, (struct sockaddr *)&from, &len)) >= 0)
		NEED(sendto(fd, &p, (size_t)n, 0, (struct sockaddr *)&from, len) == n,
		     "sendto: %m");
}

/* Connections of a round are over with it. */
static void hang_up(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct linger l = { .l_onoff = 1 };

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
		close(fd);
	}
}

/* ---- SCTP, by hand: a kernel may have none. One that has it leaves these packets alone,
 * as they have no checksum. ------------------------------------------------------------ */

static void send_chunk(int from, int to, int type, unsigned int sport, unsigned int dport,
		       uint32_t tag)
{
	struct sockaddr_in a = address(to, 0);
	struct init_packet s = {
		.source = htons((uint16_t)sport),
		.destination = htons((uint16_t)dport),
		.tag = type == INIT ? 0 : htonl(tag),
		.type = (uint8_t)type,
		.length = htons(20),
		.initiate_tag = htonl(tag),
		.window = htonl(65536),
		.out_streams = htons(1),
		.in_streams = htons(1),
		.tsn = htonl(1),
	};

	NEED(sendto(raws[from], &s, sizeof(s), 0, (struct sockaddr *)&a, sizeof(a)) == sizeof(s),
	     "sendto of SCTP: %m");
}

static uint32_t sctp_tag(const struct probe *p)
{
	return (p->round << 12 | (uint32_t)p->from << 8 | (uint32_t)p->to << 4 | p->port) + 1;
}

/* An INIT is answered; an INIT ACK has to be of this round and for this peer. */
static void take_chunk(int me, const struct iphdr *ip, const struct init_packet *s)
{
	int peer = peer_of(&ip->saddr), port = port_of(ntohs(s->source));
	struct probe p = { .round = round_number, .protocol = SCTP, .from = (uint8_t)me };

	if (peer < 0)
		return;
	if (s->type == INIT && port_of(ntohs(s->destination)) >= 0) {
		send_chunk(me, peer, INIT_ACK, ntohs(s->destination), ntohs(s->source),
			   ntohl(s->initiate_tag));
	} else if (s->type == INIT_ACK && port >= 0) {
		p.port = (uint8_t)port;
		p.to = (uint8_t)peer;
		if (ntohs(s->destination) == source_port(peer, port) &&
		    ntohl(s->tag) == sctp_tag(&p))
			mark(&p, PASSED);
	}
}

static void take_chunks(int me)
{
	union {
		struct iphdr ip;
		char bytes[256];
	} packet;
	ssize_t n;

	while ((n = recv(raws[me], &packet, sizeof(packet), 0)) >= 0) {
		struct init_packet s;
		size_t head = packet.ip.ihl * 4u;

		if ((size_t)n < head + sizeof(s))
			continue;
		memcpy(&s, packet.bytes + head, sizeof(s));
		take_chunk(me, &packet.ip, &s);
	}
}

/* ---- clients -------------------------------------------------------------------------- */

static int *client(const struct probe *p)
{
	return &clients[p->protocol][p->port][p->from][p->to];
}

static int connected(const struct probe *p, int type)
{
	struct sockaddr_in to = address(p->to, port_numbers[p->port]);
	int fd = bound(type, p->from, source_port(p->to, p->port));

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS)
		mark(p, FAILED);
	return fd;
}

static void start_tcp(const struct probe *p)
{
	struct linger l = { .l_onoff = 1 };
	int fd = *client(p) = connected(p, SOCK_STREAM);

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	watch(fd, EPOLLOUT | EPOLLONESHOT, CLIENT, p);
}

static void start_udp(const struct probe *p)
{
	int fd = *client(p) = connected(p, SOCK_DGRAM);

	if (send(fd, p, sizeof(*p), 0) != sizeof(*p))
		mark(p, FAILED);
	watch(fd, EPOLLIN, CLIENT, p);
}

static void start(const struct probe *p)
{
	if (p->protocol == TCP)
		start_tcp(p);
	else if (p->protocol == UDP)
		start_udp(p);
	else
		send_chunk(p->from, p->to, INIT, source_port(p->to, p->port),
			   port_numbers[p->port], sctp_tag(p));
}

static void take_tcp(const struct probe *p)
{
	socklen_t len = sizeof(int);
	int error;

	NEED(getsockopt(*client(p), SOL_SOCKET, SO_ERROR, &error, &len) == 0, "SO_ERROR: %m");
	mark(p, error ? FAILED : PASSED);
}

static void take_udp(const struct probe *p)
{
	struct probe got;
	ssize_t n = recv(*client(p), &got, sizeof(got), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	mark(p, n == sizeof(got) && memcmp(&got, p, sizeof(got)) == 0 ? PASSED : FAILED);
}

/* ---- drops ----------------------------------------------------------------------------- */

static bool find_probe(const void *from, const void *to, unsigned int sport, unsigned int dport,
		       struct probe *p)
{
	int source = peer_of(from), destination = peer_of(to), port = port_of(dport);

	if (source < 0 || destination < 0 || port < 0 || sport != source_port(destination, port))
		return false;
	p->port = (uint8_t)port;
	p->from = (uint8_t)source;
	p->to = (uint8_t)destination;
	return true;
}

/* Of the probe or of its answer. What is of a round before is of no interest. */
static int take_drop(const struct clite_event *e, void *userdata)
{
	struct probe p = {
		.protocol = e->protocol == IPPROTO_TCP ? TCP :
			    e->protocol == IPPROTO_UDP ? UDP :
							 SCTP,
	};
	bool policy = e->drop_reason == POLICY_DENIED || e->drop_reason == POLICY_DENY;

	(void)userdata;
	if (e->family != 4 || !e->has_ports || e->protocol == IPPROTO_ICMP)
		return 0;
	if (find_probe(e->source, e->destination, e->source_port, e->destination_port, &p))
		mark(&p, policy ? DENIED : FAILED);
	else if (find_probe(e->destination, e->source, e->destination_port, e->source_port, &p))
		mark(&p, FAILED);
	return 0;
}

/* ---- a round ---------------------------------------------------------------------------- */

static void each(void (*what)(const struct probe *))
{
	struct probe p = { .round = round_number };

	for (p.from = 0; p.from < npeers; p.from++) {
		enter(peers[p.from].netns);
		for (p.to = 0; p.to < npeers; p.to++)
			for (p.protocol = 0; p.protocol < PROTOCOLS; p.protocol++)
				for (p.port = 0; p.port < PORTS; p.port++)
					if (is_probed(p.from, p.to))
						what(&p);
	}
	enter(host);
}

static bool settled(void)
{
	for (int from = 0; from < npeers; from++)
		for (int to = 0; to < npeers; to++)
			for (int i = 0; is_probed(from, to) && i < PROTOCOLS * PORTS; i++)
				if (!outcome->of[i / PORTS][i % PORTS][from][to])
					return false;
	return true;
}

static void drain_events(struct clite_ctx *ctx)
{
	int r;

	while ((r = clite_dispatch(ctx, 0)))
		ck_assert_msg(r > 0, "dispatch: %s", clite_error(ctx));
}

static void handle(struct clite_ctx *ctx, uint64_t what)
{
	struct probe p = {
		.round = round_number,
		.protocol = what >> 24 & 0xff,
		.port = what >> 16 & 0xff,
		.from = what >> 8 & 0xff,
		.to = what & 0xff,
	};

	switch (what >> 32) {
	case ECHO:
		echo(echoes[p.from][p.port]);
		break;
	case RAW:
		take_chunks(p.from);
		break;
	case EVENTS:
		drain_events(ctx);
		break;
	default:
		if (p.protocol == TCP)
			take_tcp(&p);
		else
			take_udp(&p);
	}
}

static void end(const struct probe *p)
{
	if (p->protocol != SCTP)
		close(*client(p));
}

static void await(struct clite_ctx *ctx)
{
	uint64_t deadline = now_ms() + PATIENCE_MS;
	struct epoll_event ready[64];

	while (!settled() && now_ms() < deadline) {
		int n = epoll_wait(epoll, ready, 64, 100);

		for (int i = 0; i < n; i++)
			handle(ctx, ready[i].data.u64);
	}
	drain_events(ctx);
}

void probe_all(struct clite_ctx *ctx, struct outcome *ret)
{
	struct clite_subscribe_opts o = {
		.sz = sizeof(o),
		.types = 1u << CLITE_EVENT_DROP,
		.ring_bytes = 1 << 20,
	};
	struct clite_subscription *sub = NULL;
	uint64_t lost;

	memset(ret, 0, sizeof(*ret));
	outcome = ret;
	ck_assert_msg(!clite_subscribe(ctx, &o, take_drop, NULL, &sub), "%s", clite_error(ctx));
	watch(clite_fd(ctx), EPOLLIN, EVENTS, &(struct probe){});
	each(start);
	await(ctx);
	each(end);
	for (int i = 0; i < npeers * PORTS; i++)
		hang_up(listeners[i / PORTS][i % PORTS]);
	epoll_ctl(epoll, EPOLL_CTL_DEL, clite_fd(ctx), NULL);
	ck_assert_int_eq(clite_subscription_lost(sub, &lost), 0);
	clite_unsubscribe(sub);
	round_number++;
	ck_assert_msg(!lost, "%u events were lost", (unsigned int)lost);
}
