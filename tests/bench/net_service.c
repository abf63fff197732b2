/* SPDX-License-Identifier: BSD-2-Clause */
/* Real requests through ports of a node: a client, a balancer and a server in namespaces of
 * their own, side by side with nftables that does the same as kube-proxy's nftables mode,
 * with nftables by one rule for each service, and with plain routing to the server. All work
 * by short turns. */
#include "bench.h"

#include <arpa/inet.h>
#include <cilium-lite/cilium-lite.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PORT 5001
#define FIRST_PORT 30000
#define BACKENDS 4
#define NODE "10.8.1.1"
#define CPU_CLIENT 0
#define CPU_SERVER 1

static const uint32_t numbers[] = { 10, 1000, 10000 };
#define NUMBERS (sizeof(numbers) / sizeof(*numbers))
#define RIGS (1 + 3 * NUMBERS)
#define TURNS 12

enum way { PLAIN, INSTANCE, NFT, LINEAR, WAYS };

static const char *const way_names[] = { "plain", "instance", "nft", "linear" };

/* A client, a balancer and a server. */
static struct rig {
	enum way way;
	uint32_t services;
	pid_t client, balancer, server;
} rigs[RIGS];
static size_t nrigs;

static volatile uint64_t *counters; /* of rigs: requests answered */
static volatile uint64_t *counter;  /* a client's own */
static volatile uint64_t *lost;	    /* datagrams without an answer, of all rigs */

static const char *backend(uint32_t i)
{
	static char text[BACKENDS][16];

	snprintf(text[i], sizeof(text[i]), "10.8.2.%u", 2 + i);
	return text[i];
}

/* What is measured lies in the middle: the mean of a list of rules. */
static uint16_t port_of(const struct rig *rig)
{
	return (uint16_t)(FIRST_PORT + rig->services / 2);
}

/* ---- an instance ----------------------------------------------------------- */

static void instance_service(struct clite_ctx *ctx, uint16_t port, uint32_t protocol)
{
	struct clite_backend b[BACKENDS];
	struct clite_service_opts o = {
		.sz = sizeof(o), .address = NODE, .port = port, .protocol = protocol,
		.kind = CLITE_KIND_NODE_PORT, .backends = b, .nbackends = BACKENDS,
	};

	for (uint32_t i = 0; i < BACKENDS; i++)
		b[i] = (struct clite_backend){ .address = backend(i), .port = PORT };
	NEED(clite_service_update(ctx, &o, NULL) == 0, "service: %s", clite_error(ctx));
}

static void instance_begin(const struct rig *rig)
{
	char err[4096] = "";
	struct clite_open_opts o = {
		.sz = sizeof(o), .flags = CLITE_OPEN_EPHEMERAL, .services = rig->services + 16,
		.backends = (rig->services + 16) * BACKENDS, .errbuf = err, .errbuf_size = sizeof(err),
	};
	struct clite_ctx *ctx;

	NEED(clite_open(NULL, &o, &ctx) == 0, "clite_open: %s", err);
	for (uint32_t i = 0; i < rig->services; i++)
		instance_service(ctx, (uint16_t)(FIRST_PORT + i), IPPROTO_TCP);
	instance_service(ctx, port_of(rig), IPPROTO_UDP);
	NEED(clite_device_attach(ctx, "uplink") == 0 &&
		     clite_device_attach(ctx, "inner") == 0,
	     "device: %s", clite_error(ctx));
}

/* ---- nftables -------------------------------------------------------------- */

static bool nft_there(void)
{
	return system("command -v nft >/dev/null 2>&1") == 0;
}

/* A chain for each service and one for each back end of it, as kube-proxy has them. */
static void nft_chains(FILE *f, const struct rig *rig)
{
	fprintf(f, "table ip services {\n");
	for (uint32_t i = 0; i < BACKENDS; i++)
		fprintf(f, "chain backend-%u { meta l4proto { tcp, udp } dnat to %s:%u\n}\n", i,
			backend(i), PORT);
	for (uint32_t i = 0; i < rig->services; i++) {
		fprintf(f, "chain service-%u { meta mark set mark or 0x4000\n"
			   "numgen random mod %u vmap { ", i, BACKENDS);
		for (uint32_t k = 0; k < BACKENDS; k++)
			fprintf(f, "%s%u : goto backend-%u", k ? ", " : "", k, k);
		fprintf(f, " }\n}\n");
	}
}

static void nft_map(FILE *f, const struct rig *rig)
{
	fprintf(f, "map ports { type inet_proto . inet_service : verdict\nelements = {\n"
		   "udp . %u : goto service-%u", port_of(rig), rig->services / 2);
	for (uint32_t i = 0; i < rig->services; i++)
		fprintf(f, ",\ntcp . %u : goto service-%u", FIRST_PORT + i, i);
	fprintf(f, "}\n}\nchain find { ip daddr %s meta l4proto . th dport vmap @ports\n}\n", NODE);
}

static void nft_rules(FILE *f, const struct rig *rig)
{
	fprintf(f, "chain find {\n");
	for (uint32_t i = 0; i < rig->services; i++) {
		fprintf(f, "ip daddr %s tcp dport %u goto service-%u\n", NODE, FIRST_PORT + i, i);
		if (FIRST_PORT + i == port_of(rig))
			fprintf(f, "ip daddr %s udp dport %u goto service-%u\n", NODE, port_of(rig), i);
	}
	fprintf(f, "}\n");
}

static void nft_begin(const struct rig *rig)
{
	FILE *f = popen("nft -f -", "we");

	NEED(f, "nft: %m");
	nft_chains(f, rig);
	if (rig->way == NFT)
		nft_map(f, rig);
	else
		nft_rules(f, rig);
	fprintf(f, "chain prerouting { type nat hook prerouting priority dstnat;\n"
		   "fib daddr type local jump find\n}\n"
		   "chain postrouting { type nat hook postrouting priority srcnat;\n"
		   "meta mark & 0x4000 != 0 masquerade fully-random\n}\n}\n");
	NEED(pclose(f) == 0, "nft failed");
}

/* ---- rigs ------------------------------------------------------------------ */

/* The balancer's: an instance lives as long as its process. */
static pid_t balancer_make(const struct rig *rig)
{
	pid_t pid = netns_hold(), child;
	int ready[2];
	char c;

	sh("nsenter -t %d -n sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward && ip link set lo up'", pid);
	sh("nsenter -t %d -n ip link add uplink type veth peer name eth0 netns %d", pid, rig->client);
	sh("nsenter -t %d -n ip link add inner type veth peer name eth0 netns %d", pid, rig->server);
	sh("nsenter -t %d -n sh -c 'ip addr add " NODE "/24 dev uplink && ip link set uplink up && "
	   "ip addr add 10.8.2.1/24 dev inner && ip link set inner up'", pid);
	NEED(pipe(ready) == 0, "pipe: %m");
	child = fork_child();
	if (!child) {
		netns_enter(pid);
		if (rig->way == INSTANCE)
			instance_begin(rig);
		else if (rig->way != PLAIN)
			nft_begin(rig);
		NEED(write(ready[1], "x", 1) == 1, "write: %m");
		for (;;)
			pause();
	}
	close(ready[1]);
	NEED(read(ready[0], &c, 1) == 1, "no balancer");
	close(ready[0]);
	return pid;
}

static void rig_make(enum way way, uint32_t services)
{
	struct rig *rig = &rigs[nrigs++];

	*rig = (struct rig){ .way = way, .services = services, .client = netns_hold(),
			     .server = netns_hold() };
	rig->balancer = balancer_make(rig);
	sh("nsenter -t %d -n sh -c 'ip addr add 10.8.1.2/24 dev eth0 && ip link set eth0 up && "
	   "ip route add default via " NODE "'", rig->client);
	sh("nsenter -t %d -n sh -c 'ip link set eth0 up && ip addr add %s/24 dev eth0 && "
	   "ip route add default via 10.8.2.1'", rig->server, backend(0));
	for (uint32_t i = 1; i < BACKENDS; i++)
		sh("nsenter -t %d -n ip addr add %s/24 dev eth0", rig->server, backend(i));
}

/* ---- traffic --------------------------------------------------------------- */

static struct sockaddr_in there; /* what a client asks */

static int socket_new(int type)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

	NEED(fd >= 0, "socket: %m");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	return fd;
}

static int server_socket(int type)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket_new(type);

	NEED(bind(fd, (void *)&a, sizeof(a)) == 0, "bind: %m");
	NEED(type != SOCK_STREAM || listen(fd, 128) == 0, "listen: %m");
	return fd;
}

static int client_socket(int type)
{
	int fd = socket_new(type);

	NEED(connect(fd, (void *)&there, sizeof(there)) == 0, "connect: %m");
	return fd;
}

static char byte[1];

static int echo(int fd)
{
	return read(fd, byte, 1) == 1 && write(fd, byte, 1) == 1;
}

static int ask(int fd)
{
	return write(fd, byte, 1) == 1 && read(fd, byte, 1) == 1;
}

static int accept_one(int fd)
{
	int one = 1, c = accept(fd, NULL, NULL);

	NEED(c >= 0, "accept: %m");
	setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return c;
}

static void crr_server(int fd)
{
	for (;;) {
		int c = accept_one(fd);

		echo(c);
		close(c);
	}
}

/* The server closes; then a reset, so that no port waits for the connection's end. */
static void crr_client(void)
{
	struct linger now = { .l_onoff = 1 };

	for (;;) {
		int fd = client_socket(SOCK_STREAM);

		NEED(ask(fd) && read(fd, byte, 1) == 0, "no answer");
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd);
		++*counter;
	}
}

static void rr_server(int fd)
{
	int c = accept_one(fd);

	while (echo(c))
		;
}

static void rr_client(void)
{
	int fd = client_socket(SOCK_STREAM);

	while (ask(fd))
		++*counter;
}

/* Answers come from the address that was asked. */
static void udp_server(int fd)
{
	char control[CMSG_SPACE(sizeof(struct in_pktinfo))];
	struct sockaddr_in from;
	struct iovec iov = { byte, 1 };

	for (;;) {
		struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov,
				    .msg_iovlen = 1, .msg_control = control,
				    .msg_controllen = sizeof(control) };

		NEED(recvmsg(fd, &m, 0) == 1, "recvmsg: %m");
		((struct in_pktinfo *)CMSG_DATA(CMSG_FIRSTHDR(&m)))->ipi_ifindex = 0;
		NEED(sendmsg(fd, &m, 0) == 1, "sendmsg: %m");
	}
}

/* Nothing should be lost with one datagram under way; if it is, the figure shows it. A call
 * with a time limit ends when its process is stopped. */
static void udp_ask(int fd)
{
	struct timeval limit = { .tv_usec = 200000 };
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	NEED(write(fd, byte, 1) == 1, "write: %m");
	do
		n = read(fd, byte, 1);
	while (n < 0 && errno == EINTR);
	NEED(n == 1 || errno == EAGAIN, "read: %m");
	if (n == 1)
		++*counter;
	else
		++*lost;
}

static void udp_client(void)
{
	int fd = client_socket(SOCK_DGRAM);

	for (;;)
		udp_ask(fd);
}

/* A flow for each, as resolvers ask. */
static void udp_new_client(void)
{
	for (;;) {
		int fd = client_socket(SOCK_DGRAM);

		udp_ask(fd);
		close(fd);
	}
}

/* ---- measuring ------------------------------------------------------------- */

static struct kind {
	const char *name;
	int type;
	void (*server)(int fd);
	void (*client)(void);
	struct row *row[RIGS], *ratio[RIGS]; /* of rigs */
	bool wanted;
} kinds[] = {
	{ .name = "crr", SOCK_STREAM, crr_server, crr_client },
	{ .name = "rr", SOCK_STREAM, rr_server, rr_client },
	{ .name = "udp", SOCK_DGRAM, udp_server, udp_client },
	{ .name = "udpnew", SOCK_DGRAM, udp_server, udp_new_client },
};

#define KINDS (sizeof(kinds) / sizeof(*kinds))

static pid_t server_start(const struct kind *k, const struct rig *rig)
{
	int ready[2];
	pid_t pid;
	char c;

	NEED(pipe(ready) == 0, "pipe: %m");
	pid = fork_child();
	if (!pid) {
		int fd;

		netns_enter(rig->server);
		pin_cpu(CPU_SERVER);
		fd = server_socket(k->type);
		NEED(write(ready[1], "x", 1) == 1, "write: %m");
		k->server(fd);
		exit(0);
	}
	close(ready[1]);
	NEED(read(ready[0], &c, 1) == 1, "no server");
	close(ready[0]);
	return pid;
}

static pid_t client_start(const struct kind *k, size_t i)
{
	bool plain = rigs[i].way == PLAIN;
	pid_t pid = fork_child();

	if (!pid) {
		counter = &counters[i];
		there = (struct sockaddr_in){ .sin_family = AF_INET,
					      .sin_port = htons(plain ? PORT : port_of(&rigs[i])) };
		inet_pton(AF_INET, plain ? backend(0) : NODE, &there.sin_addr);
		netns_enter(rigs[i].client);
		pin_cpu(CPU_CLIENT);
		k->client();
		exit(0);
	}
	return pid;
}

/* Let one client work for a while. What is under way at the beginning and the end
 * is not counted. */
static double turn(pid_t client, size_t i)
{
	uint64_t n;
	double t;

	kill(client, SIGCONT);
	sleep_s(0.01);
	n = counters[i];
	t = now_s();
	sleep_s(0.03);
	n = counters[i] - n;
	t = now_s() - t;
	kill(client, SIGSTOP);
	sleep_s(0.002);
	return (double)n / t;
}

static size_t rig_of(enum way way, uint32_t services)
{
	for (size_t i = 0; i < nrigs; i++)
		if (rigs[i].way == way && rigs[i].services == services)
			return i;
	return nrigs;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Of the turns of one round: other work on the machine falls on some of them, so that
 * medians are taken, and a ratio is that of turns side by side. */
static void round_samples(struct kind *k, double (*v)[TURNS], size_t turns)
{
	double ratio[TURNS];

	for (size_t i = 0; i < nrigs; i++) {
		size_t nft = rig_of(NFT, rigs[i].services), n = 0;

		if (!k->ratio[i])
			continue;
		for (size_t t = 0; t < turns; t++)
			if (v[i][t] > 0 && v[nft][t] > 0) /* else there was no CPU for it */
				ratio[n++] = v[i][t] / v[nft][t];
		if (n)
			row_sample(k->ratio[i], median(ratio, n), 0);
	}
	for (size_t i = 0; i < nrigs; i++)
		row_sample(k->row[i], median(v[i], turns), 0);
}

/* Back and forth, so that nobody is always before the other. */
static void round_of(struct kind *k)
{
	size_t turns = options.quick ? 4 : TURNS;
	pid_t server[RIGS], client[RIGS];
	static double v[RIGS][TURNS];

	for (size_t i = 0; i < nrigs; i++) {
		server[i] = server_start(k, &rigs[i]);
		client[i] = client_start(k, i);
		turn(client[i], i);
	}
	for (size_t t = 0; t < turns; t++)
		for (size_t n = 0; n < nrigs; n++) {
			size_t i = t % 2 ? nrigs - 1 - n : n;

			v[i][t] = turn(client[i], i);
		}
	for (size_t i = 0; i < nrigs; i++) {
		kill_child(client[i]);
		kill_child(server[i]);
	}
	round_samples(k, v, turns);
}

/* The ratio is an instance's to nftables by maps. */
static void rows_add(struct kind *k)
{
	char name[64];

	for (size_t i = 0; i < nrigs; i++) {
		const struct rig *rig = &rigs[i];

		snprintf(name, sizeof(name), "net-service/%s-%u/%s", k->name, rig->services,
			 way_names[rig->way]);
		if (rig->way == PLAIN)
			snprintf(name, sizeof(name), "net-service/%s/plain", k->name);
		k->row[i] = row_add(name, "1/s", NO_TARGET, 0);
		k->wanted |= k->row[i] != NULL;
		if (rig->way != INSTANCE || rig_of(NFT, rig->services) == nrigs)
			continue;
		snprintf(name, sizeof(name), "net-service/%s-%u/ratio", k->name, rig->services);
		k->ratio[i] = row_add(name, "x", AT_LEAST, 1);
		k->wanted |= k->ratio[i] != NULL;
	}
}

void bench_net_service(void)
{
	bool nft = nft_there();

	if (!nft)
		fprintf(stderr, "net-service: no nft: rows to compare with are left out\n");
	counters = share(RIGS * sizeof(*counters));
	lost = share(sizeof(*lost));
	rig_make(PLAIN, 0);
	for (size_t n = 0; n < NUMBERS; n++)
		for (enum way way = INSTANCE; way < (nft ? WAYS : NFT); way++)
			rig_make(way, numbers[n]);
	for (size_t i = 0; i < KINDS; i++)
		rows_add(&kinds[i]);
	for (size_t r = 0; r < options.rounds; r++)
		for (size_t i = 0; i < KINDS; i++)
			if (kinds[i].wanted)
				round_of(&kinds[i]);
	if (*lost)
		fprintf(stderr, "net-service: %llu datagrams got no answer\n",
			(unsigned long long)*lost);
}
