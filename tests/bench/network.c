/* SPDX-License-Identifier: BSD-2-Clause */
/* Real traffic between two namespaces through a third: one pair is joined by plain
 * routing, another by an instance. Both work by short turns, so
 * that whatever else the machine does is the same for both. */
#include "bench.h"

#include <arpa/inet.h>
#include <cilium-lite/cilium-lite.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 5001
#define CPU_CLIENT 0
#define CPU_SERVER 1

enum { PLAIN, INSTANCE, PAIRS };

static const struct pair {
	const char *a, *gw_a, *b, *gw_b;
} pairs[PAIRS] = {
	[PLAIN] = { "10.8.1.2", "10.8.1.1", "10.8.2.2", "10.8.2.1" },
	[INSTANCE] = { "10.8.3.2", "10.8.3.1", "10.8.4.2", "10.8.4.1" },
};

static pid_t ns_a[PAIRS], ns_b[PAIRS];
static volatile uint64_t *counters; /* what a side has done, read while it works */
static volatile uint64_t *counter;  /* a child's own */
static const char *server_address;

static const char policy[] =
	"[{\"endpointSelector\": {\"matchLabels\": {\"app\": \"b\"}},"
	"  \"ingress\": [{\"fromEndpoints\": [{\"matchLabels\": {\"app\": \"a\"}}],"
	"    \"toPorts\": [{\"ports\": [{\"port\": \"5001\", \"protocol\": \"ANY\"}]}]}],"
	"  \"labels\": [{\"key\": \"name\", \"value\": \"b\"}]},"
	" {\"endpointSelector\": {\"matchLabels\": {\"app\": \"a\"}},"
	"  \"egress\": [{\"toEndpoints\": [{\"matchLabels\": {\"app\": \"b\"}}]}],"
	"  \"labels\": [{\"key\": \"name\", \"value\": \"a\"}]}]";

static pid_t side_make(const char *device, const char *ip, const char *gw)
{
	pid_t ns = netns_hold();

	sh("ip link add %s type veth peer name eth0 netns %d", device, ns);
	sh("ip addr add %s/24 dev %s && ip link set %s up", gw, device, device);
	sh("nsenter -t %d -n sh -c 'ip addr add %s/24 dev eth0 && ip link set eth0 up && "
	   "ip route add default via %s'", ns, ip, gw);
	return ns;
}

static void devices_make(void)
{
	for (int i = 0; i < PAIRS; i++) {
		char device[16];

		snprintf(device, sizeof(device), "va%d", i);
		ns_a[i] = side_make(device, pairs[i].a, pairs[i].gw_a);
		snprintf(device, sizeof(device), "vb%d", i);
		ns_b[i] = side_make(device, pairs[i].b, pairs[i].gw_b);
	}
}

static struct clite_ctx *instance_make(void)
{
	struct clite_backend b = { .address = pairs[INSTANCE].b, .port = PORT };
	struct clite_service_opts o = {
		.sz = sizeof(o), .address = "10.9.0.1", .port = 80, .backends = &b, .nbackends = 1,
	};
	const char *la[] = { "k8s:app=a", NULL }, *lb[] = { "k8s:app=b", NULL };
	struct clite_ctx *ctx = instance_open(NULL, 0);

	import(ctx, policy);
	NEED(clite_service_update(ctx, &o, NULL) == 0, "service: %s", clite_error(ctx));
	endpoint(ctx, "va1", pairs[INSTANCE].a, NULL, la);
	endpoint(ctx, "vb1", pairs[INSTANCE].b, NULL, lb);
	return ctx;
}

/* ---- traffic --------------------------------------------------------------- */

static int socket_new(int type)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

	NEED(fd >= 0, "socket: %m");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static struct sockaddr_in address(const char *ip)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	inet_pton(AF_INET, ip, &a.sin_addr);
	return a;
}

static int server_socket(int type)
{
	struct sockaddr_in a = address("0.0.0.0");
	int fd = socket_new(type), size = 4 << 20;

	NEED(bind(fd, (void *)&a, sizeof(a)) == 0, "bind: %m");
	if (type == SOCK_STREAM)
		NEED(listen(fd, 128) == 0, "listen: %m");
	else
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return fd;
}

static int client_socket(int type)
{
	struct sockaddr_in a = address(server_address);
	int fd = socket_new(type);

	NEED(connect(fd, (void *)&a, sizeof(a)) == 0, "connect: %m");
	return fd;
}

static int accept_one(int fd)
{
	int one = 1, c = accept(fd, NULL, NULL);

	NEED(c >= 0, "accept: %m");
	setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return c;
}

static char buffer[256 << 10];

static void stream_server(int fd)
{
	int c = accept_one(fd);
	ssize_t n;

	while ((n = read(c, buffer, sizeof(buffer))) > 0)
		*counter += (uint64_t)n;
}

static void stream_client(void)
{
	int fd = client_socket(SOCK_STREAM);

	while (write(fd, buffer, 128 << 10) > 0)
		;
}

#define BATCH 64

static void udp_server(int fd)
{
	static struct mmsghdr m[BATCH];
	static struct iovec iov[BATCH];
	int n;

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ buffer + i * 2048, 2048 };
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	while ((n = recvmmsg(fd, m, BATCH, MSG_WAITFORONE, NULL)) > 0)
		*counter += (uint64_t)n;
}

static void udp_client(void)
{
	int fd = client_socket(SOCK_DGRAM);

	while (write(fd, buffer, 64) > 0 || errno == ENOBUFS || errno == ECONNREFUSED)
		;
}

static void rr_server(int fd)
{
	int c = accept_one(fd);

	while (read(c, buffer, 1) == 1 && write(c, buffer, 1) == 1)
		;
}

static void rr_client(void)
{
	int fd = client_socket(SOCK_STREAM);

	while (write(fd, buffer, 1) == 1 && read(fd, buffer, 1) == 1)
		++*counter;
}

static void connect_server(int fd)
{
	for (;;)
		close(accept_one(fd));
}

/* The server closes; then a reset, so that no port waits for the connection's end. */
static void connect_client(void)
{
	struct linger now = { .l_onoff = 1 };

	for (;;) {
		int fd = client_socket(SOCK_STREAM);

		NEED(read(fd, buffer, 1) == 0, "connection not closed");
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd);
		++*counter;
	}
}

/* ---- measuring ------------------------------------------------------------- */

static struct kind {
	const char *name, *unit;
	double scale;	     /* of the counter */
	enum target kind;    /* of the ratio */
	double target;
	int type;
	void (*server)(int fd);
	void (*client)(void);
	struct row *row[PAIRS], *ratio;
} kinds[] = {
	{ "net/tcp", "Gbit/s", 8e-9, AT_LEAST, 1, SOCK_STREAM, stream_server, stream_client, {}, NULL },
	{ "net/udp64", "packets/s", 1, AT_LEAST, 1.1, SOCK_DGRAM, udp_server, udp_client, {}, NULL },
	{ "net/rr", "1/s", 1, AT_LEAST, 1, SOCK_STREAM, rr_server, rr_client, {}, NULL },
	{ "net/connect", "1/s", 1, NO_TARGET, 0, SOCK_STREAM, connect_server, connect_client, {}, NULL },
};

#define KINDS (sizeof(kinds) / sizeof(*kinds))

static pid_t server_start(const struct kind *k, int pair)
{
	int ready[2];
	pid_t pid;
	char c;

	NEED(pipe(ready) == 0, "pipe: %m");
	pid = fork_child();
	if (!pid) {
		int fd;

		counter = &counters[pair];
		netns_enter(ns_b[pair]);
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

static pid_t client_start(const struct kind *k, int pair)
{
	pid_t pid = fork_child();

	if (!pid) {
		counter = &counters[pair];
		server_address = pairs[pair].b;
		netns_enter(ns_a[pair]);
		pin_cpu(CPU_CLIENT);
		k->client();
		exit(0);
	}
	return pid;
}

struct count {
	uint64_t n;
	double t;
};

/* Let one client work for a while. What is under way at the beginning and the end
 * is not counted. */
static void turn(pid_t client, int pair, struct count *c)
{
	uint64_t n;
	double t;

	kill(client, SIGCONT);
	sleep_s(0.015);
	n = counters[pair];
	t = now_s();
	sleep_s(0.06);
	c->n += counters[pair] - n;
	c->t += now_s() - t;
	kill(client, SIGSTOP);
	sleep_s(0.005);
}

static void round_of(struct kind *k)
{
	size_t turns = options.quick ? 4 : 16;
	struct count count[PAIRS] = {}, warm = {};
	pid_t server[PAIRS], client[PAIRS];
	double v[PAIRS];

	for (int i = 0; i < PAIRS; i++) {
		server[i] = server_start(k, i);
		client[i] = client_start(k, i);
		turn(client[i], i, &warm);
	}
	for (size_t t = 0; t < turns; t++)
		for (int i = 0; i < PAIRS; i++)
			turn(client[i], i, &count[i]);
	for (int i = 0; i < PAIRS; i++) {
		kill_child(client[i]);
		kill_child(server[i]);
		NEED(count[i].n, "%s: nothing got through", k->name);
		v[i] = (double)count[i].n / count[i].t * k->scale;
		row_sample(k->row[i], v[i], 0);
	}
	row_sample(k->ratio, v[INSTANCE] / v[PLAIN], 0);
}

static void rows_add(struct kind *k)
{
	char name[48];

	snprintf(name, sizeof(name), "%s/plain", k->name);
	k->row[PLAIN] = row_add(name, k->unit, NO_TARGET, 0);
	snprintf(name, sizeof(name), "%s/instance", k->name);
	k->row[INSTANCE] = row_add(name, k->unit, NO_TARGET, 0);
	snprintf(name, sizeof(name), "%s/ratio", k->name);
	k->ratio = row_add(name, "x", k->kind, k->target);
}

void bench_network(void)
{
	struct clite_ctx *ctx;

	counters = share(PAIRS * sizeof(*counters));
	devices_make();
	ctx = instance_make();
	for (size_t i = 0; i < KINDS; i++)
		rows_add(&kinds[i]);
	for (size_t r = 0; r < options.rounds; r++)
		for (size_t i = 0; i < KINDS; i++)
			if (kinds[i].row[PLAIN] || kinds[i].row[INSTANCE] || kinds[i].ratio)
				round_of(&kinds[i]);
	clite_close(ctx);
}
