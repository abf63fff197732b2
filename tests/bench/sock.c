/* SPDX-License-Identifier: BSD-2-Clause */
/* What services at the socket cost: calls in a cgroup with the programs, to the service,
 * less the same in one without, straight to the back end ("bare"). */
#include "bench.h"

#include <arpa/inet.h>
#include <cilium-lite/cilium-lite.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SERVICE "10.96.0.1"
#define BACKEND "127.0.0.1"
#define PORT 5300

static char mountpoint[] = "/tmp/clite-bench-XXXXXX";
static char top[64], with[80], without[80];

/* ---- cgroups ----------------------------------------------------------------- */

/* Sockets belong to the cgroup that this process is in when it makes them. */
static void enter(const char *cgroup)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	NEED(fd >= 0 && write(fd, "0", 1) == 1, "%s: %m", path);
	close(fd);
}

static void cgroups_remove(void)
{
	enter(mountpoint);
	rmdir(with);
	rmdir(without);
	rmdir(top);
	umount2(mountpoint, MNT_DETACH);
	rmdir(mountpoint);
}

static void cgroups_make(void)
{
	NEED(mkdtemp(mountpoint), "mkdtemp: %m");
	NEED(mount("none", mountpoint, "cgroup2", 0, NULL) == 0, "cgroup2: %m");
	snprintf(top, sizeof(top), "%s/clite-bench.%d", mountpoint, getpid());
	snprintf(with, sizeof(with), "%s/with", top);
	snprintf(without, sizeof(without), "%s/without", top);
	atexit(cgroups_remove);
	NEED(mkdir(top, 0755) == 0 && mkdir(with, 0755) == 0 && mkdir(without, 0755) == 0, "%s: %m",
	     top);
}

/* ---- calls ------------------------------------------------------------------- */

static struct sockaddr_in address(const char *ip)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	NEED(inet_pton(AF_INET, ip, &a.sin_addr) == 1, "%s", ip);
	return a;
}

static int server(int type)
{
	struct sockaddr_in a = address(BACKEND);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	NEED(fd >= 0 && bind(fd, (void *)&a, sizeof(a)) == 0, "bind: %m");
	NEED(type != SOCK_STREAM || listen(fd, 4096) == 0, "listen: %m");
	return fd;
}

/* Time that this thread worked, in the kernel too: others on the machine take none of it. */
static double worked_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Nanoseconds of socket(), connect() and close(). */
static double connects(const struct sockaddr_in *to, int n)
{
	double t = worked_s();

	for (int i = 0; i < n; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		NEED(fd >= 0 && connect(fd, (void *)to, sizeof(*to)) == 0, "connect: %m");
		close(fd);
	}
	return (worked_s() - t) * 1e9 / n;
}

/* The same of TCP, with the whole handshake, and accept(); a reset at the end. */
static double connects_tcp(const struct sockaddr_in *to, int n)
{
	const struct linger linger = { .l_onoff = 1 };
	int listener = server(SOCK_STREAM);
	double t = worked_s();

	for (int i = 0; i < n; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), other;

		NEED(fd >= 0 && connect(fd, (void *)to, sizeof(*to)) == 0, "connect: %m");
		other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(fd);
		close(other);
	}
	t = (worked_s() - t) * 1e9 / n;
	close(listener);
	return t;
}

/* A datagram by an unconnected socket, and its answer. */
static double asks(const struct sockaddr_in *to, int n)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), peer = server(SOCK_DGRAM);
	struct sockaddr_in from;
	char buf[64];
	double t = worked_s();

	for (int i = 0; i < n; i++) {
		socklen_t len = sizeof(from);

		NEED(sendto(fd, buf, sizeof(buf), 0, (void *)to, sizeof(*to)) == sizeof(buf),
		     "sendto: %m");
		NEED(recvfrom(peer, buf, sizeof(buf), 0, (void *)&from, &len) == sizeof(buf) &&
			     sendto(peer, buf, sizeof(buf), 0, (void *)&from, len) == sizeof(buf) &&
			     recvfrom(fd, buf, sizeof(buf), 0, (void *)&from, &len) == sizeof(buf),
		     "answer: %m");
		NEED(from.sin_addr.s_addr == to->sin_addr.s_addr, "another one answers");
	}
	t = (worked_s() - t) * 1e9 / n;
	close(fd);
	close(peer);
	return t;
}

/* ---- rows -------------------------------------------------------------------- */

/* In turns that are short: whatever else the machine does meets both. */
#define TURNS 20

static void measure(struct row *row, struct row *bare,
		    double (*calls)(const struct sockaddr_in *, int), int n, const char *ip)
{
	struct sockaddr_in there = address(ip), back = address(BACKEND);

	n /= options.quick ? 10 * TURNS : TURNS;
	for (size_t r = 0; (row || bare) && r < options.rounds; r++) {
		double v = 0, empty = 0;

		for (int turn = 0; turn < TURNS; turn++) {
			enter(without);
			empty += calls(&back, n);
			enter(with);
			v += calls(&there, n);
		}
		row_sample(row, (v - empty) / TURNS / 1e3, 0);
		row_sample(bare, empty / TURNS / 1e3, 0);
	}
}

static void service(struct clite_ctx *ctx, uint32_t protocol)
{
	struct clite_backend backends[] = { { .address = BACKEND } };
	struct clite_service_opts o = {
		.sz = sizeof(o),
		.address = SERVICE,
		.port = PORT,
		.protocol = protocol,
		.backends = backends,
		.nbackends = 1,
	};

	NEED(clite_service_update(ctx, &o, NULL) == 0, "%s", clite_error(ctx));
}

void bench_sock(void)
{
	struct row *connect = row_add("socket/connect", "us", AT_MOST, 1.5);
	struct row *connect_bare = row_add("socket/connect-bare", "us", NO_TARGET, 0);
	struct row *tcp = row_add("socket/tcp", "us", AT_MOST, 1.5);
	struct row *tcp_bare = row_add("socket/tcp-bare", "us", NO_TARGET, 0);
	struct row *other = row_add("socket/connect-no-service", "us", NO_TARGET, 0);
	struct row *ask = row_add("socket/ask", "us", NO_TARGET, 0);
	struct row *ask_bare = row_add("socket/ask-bare", "us", NO_TARGET, 0);
	struct clite_ctx *ctx;

	pin_cpu(1);
	cgroups_make();
	ctx = instance_open("bench-sock", 0);
	service(ctx, IPPROTO_UDP);
	service(ctx, IPPROTO_TCP);
	NEED(clite_cgroup_attach(ctx, with) == 0, "%s", clite_error(ctx));
	measure(connect, connect_bare, connects, 50000, SERVICE);
	measure(tcp, tcp_bare, connects_tcp, 5000, SERVICE);
	measure(other, NULL, connects, 50000, BACKEND);
	measure(ask, ask_bare, asks, 20000, SERVICE);
	clite_destroy(ctx);
	clite_close(ctx);
}
