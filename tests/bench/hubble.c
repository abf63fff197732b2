/* SPDX-License-Identifier: BSD-2-Clause */
/* Flows of the server of Hubble's API to clients that follow: it feeds itself as fast as
 * the slowest of them takes them, and clients in another process read bytes of HTTP/2. */
#include "bench.h"

#include <cilium-lite/cilium-lite.h>
#include <cilium-lite/hubble.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS 3
#define BATCH 200 /* flows at a time */
#define RING 65536
#define PATH "/tmp/hubble.sock" /* of this process's own mount */

/* ---- a client ---------------------------------------------------------------------- */

/* SETTINGS with a large window, one for the connection, then GetFlows with follow. */
static const unsigned char request[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
				       "\x00\x00\x0c\x04\x00\x00\x00\x00\x00"
				       "\x00\x04\x3f\xff\xff\xff"
				       "\x00\x05\x00\x01\x00\x00"
				       "\x00\x00\x04\x08\x00\x00\x00\x00\x00"
				       "\x3f\xff\x00\x00"
				       "\x00\x00\x34\x01\x04\x00\x00\x00\x01"
				       "\x83\x86"
				       "\x44\x1b"
				       "/observer.Observer/GetFlows"
				       "\x41\x01x"
				       "\x5f\x10"
				       "application/grpc"
				       "\x00\x00\x07\x00\x01\x00\x00\x00\x01"
				       "\x00\x00\x00\x00\x02"
				       "\x18\x01";

/* Takes bytes, opens its windows again, answers nothing else. */
static void client(void)
{
	static unsigned char buf[1 << 18];
	static const unsigned char window[] =
		"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x10\x00\x00\x00"
		"\x00\x00\x04\x08\x00\x00\x00\x00\x01\x10\x00\x00\x00";
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = PATH };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t taken = 0;
	ssize_t n;

	NEED(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0, "connect: %m");
	NEED(write(fd, request, sizeof(request) - 1) == sizeof(request) - 1, "write: %m");
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		taken += (uint64_t)n;
		if (taken < 1 << 28)
			continue;
		taken -= 1 << 28;
		NEED(write(fd, window, sizeof(window) - 1) > 0, "write: %m");
	}
	_exit(0);
}

/* ---- the server ---------------------------------------------------------------------- */

static const char *const labels[] = { "k8s:app=web", "k8s:io.cilium.k8s.policy.cluster=default",
				      "k8s:io.kubernetes.pod.namespace=default", NULL };

static const struct clite_flow_end ends[] = {
	{ .sz = sizeof(ends[0]),
	  .ns = "default",
	  .pod = "web-7c5ddbdf54-x2x9k",
	  .service = "",
	  .service_ns = "",
	  .cluster = "",
	  .workload = "",
	  .workload_kind = "",
	  .labels = labels,
	  .names = labels + 3 },
	{ .sz = sizeof(ends[0]),
	  .ns = "default",
	  .pod = "db-0",
	  .service = "db",
	  .service_ns = "default",
	  .cluster = "",
	  .workload = "",
	  .workload_kind = "",
	  .labels = labels,
	  .names = labels + 3 },
};

static void feed(struct clite_hubble *hubble, uint64_t *n)
{
	static const struct clite_flow_policy *const none[] = { NULL };
	struct clite_event event = {
		.sz = sizeof(event),
		.time = 1700000000000000000 + *n,
		.type = CLITE_EVENT_TRACE,
		.verdict = CLITE_VERDICT_FORWARDED,
		.family = 4,
		.protocol = IPPROTO_TCP,
		.has_ports = 1,
		.source = { 10, 0, 0, 1 },
		.destination = { 10, 0, 0, 2 },
		.source_port = (uint16_t)*n,
		.destination_port = 5432,
		.tcp_flags = 0x12,
		.source_endpoint = 1,
		.destination_endpoint = 2,
		.source_identity = 1234,
		.destination_identity = 5678,
		.ifindex = 9,
		.direction = CLITE_INGRESS,
		.source_file = "",
	};
	struct clite_flow flow = {
		.sz = sizeof(flow),
		.event = &event,
		.source = &ends[0],
		.destination = &ends[1],
		.policies = none,
		.node = "",
		.summary = "TCP Flags: SYN, ACK",
		.kind = CLITE_FLOW_L3_L4,
	};

	(*n)++;
	NEED(clite_hubble_feed(hubble, &flow) == 0, "no memory");
}

static const struct clite_hubble_status *status(struct clite_hubble *hubble)
{
	const struct clite_hubble_status *s;

	NEED(clite_hubble_status(hubble, &s) == 0, "no status");
	return s;
}

static void serve(struct clite_hubble *hubble, int timeout)
{
	struct pollfd ready = { .fd = clite_hubble_fd(hubble), .events = POLLIN };

	poll(&ready, 1, timeout);
	NEED(clite_hubble_dispatch(hubble, 0) >= 0, "%s", clite_hubble_error(hubble));
}

static void sample(struct clite_hubble *hubble, uint64_t *n, struct row *rate)
{
	double seconds = options.quick ? 0.3 : 1, t = now_s();
	uint64_t before = status(hubble)->sent, sent = before;

	while (now_s() - t < seconds) {
		/* never so many that a client is overtaken: they are all counted */
		if (*n * CLIENTS - sent < (uint64_t)RING / 2)
			for (int i = 0; i < BATCH; i++)
				feed(hubble, n);
		serve(hubble, 1);
		sent = status(hubble)->sent;
	}
	row_sample(rate, (double)(sent - before) / (now_s() - t) / 1e3, 0);
	NEED(!status(hubble)->overwritten, "a client was overtaken");
}

void bench_hubble(void)
{
	struct row *rate = row_add("hubble/follow-3", "k/s", AT_LEAST, 200);
	struct row *bytes = row_add("hubble/ring-bytes", "bytes", NO_TARGET, 0);
	struct clite_hubble_opts o = { .sz = sizeof(o), .flows = RING };
	struct clite_hubble *hubble;
	pid_t clients[CLIENTS];
	uint64_t n = 0;

	sh("mount -t tmpfs tmpfs /tmp");
	NEED(clite_hubble_new(NULL, &o, &hubble) == 0, "no server");
	NEED(clite_hubble_listen(hubble, PATH, NULL) == 0, "%s", clite_hubble_error(hubble));
	pin_cpu(0);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = fork_child();
		if (!clients[i]) {
			pin_cpu(1);
			client();
		}
	}
	for (double t = now_s(); status(hubble)->streams < CLIENTS; serve(hubble, 10))
		NEED(now_s() - t < 10, "clients do not come");
	for (size_t r = 0; r < options.rounds; r++)
		sample(hubble, &n, rate);
	row_sample(bytes, (double)status(hubble)->ring_bytes / RING, 0);
	for (int i = 0; i < CLIENTS; i++)
		kill_child(clients[i]);
	clite_hubble_free(hubble);
}
