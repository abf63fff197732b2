/* SPDX-License-Identifier: BSD-2-Clause */
#include "stage.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BPFFS "/run/bpf"

static int host;

void sh(const char *fmt, ...)
{
	char *command;
	va_list ap;

	va_start(ap, fmt);
	NEED(vasprintf(&command, fmt, ap) >= 0, "no memory");
	va_end(ap);
	NEED(system(command) == 0, "%s failed", command);
	free(command);
}

static void netns_quiet(void)
{
	sh("cd /proc/sys/net/ipv6/conf/default && echo 1 >addr_gen_mode && "
	   "echo 0 >accept_dad && ip link set lo up");
}

void stage_make(void)
{
	if (geteuid() != 0) {
		puts("needs root: makes network namespaces and loads BPF programs");
		exit(77);
	}
	NEED(unshare(CLONE_NEWNET | CLONE_NEWNS) == 0, "unshare: %m");
	NEED(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "mount: %m");
	NEED(mount("tmpfs", "/run", "tmpfs", 0, NULL) == 0, "mount: %m");
	sh("mkdir " BPFFS " /run/netns && mount -t bpf bpf " BPFFS);
	netns_quiet();
	host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	NEED(host >= 0, "/proc/self/ns/net: %m");
}

static void enter(int netns)
{
	NEED(setns(netns, CLONE_NEWNET) == 0, "setns: %m");
}

void workload_make(struct workload *w)
{
	char path[64];

	snprintf(w->ipv4, sizeof(w->ipv4), "10.77.0.%u", w->number);
	snprintf(w->ipv6, sizeof(w->ipv6), "fd77::%u", w->number);
	snprintf(path, sizeof(path), "/run/netns/%s", w->name);
	sh("ip netns add %s", w->name);
	w->netns = open(path, O_RDONLY | O_CLOEXEC);
	NEED(w->netns >= 0, "%s: %m", path);
	enter(w->netns);
	netns_quiet();
	enter(host);
	sh("ip link add dev %s type veth peer name eth0 netns %s", w->name, w->name);
	sh("ip link set dev %s up", w->name);
	enter(w->netns);
	sh("ip link set eth0 up && ip addr add %s/32 dev eth0 && ip addr add %s/128 dev eth0 nodad",
	   w->ipv4, w->ipv6);
	sh("ip route add default via 169.254.1.1 dev eth0 onlink && "
	   "ip -6 route add default via fe80::1 dev eth0");
	enter(host);
}

int workload_add(struct clite_ctx *ctx, const struct workload *w)
{
	char label[64];
	const char *labels[] = { label, NULL };
	struct clite_endpoint_opts o = {
		.sz = sizeof(o),
		.ipv4 = w->ipv4,
		.ipv6 = w->ipv6,
		.labels = labels,
		.id = w->number,
	};

	snprintf(label, sizeof(label), "k8s:app=%s", w->name);
	return clite_endpoint_add(ctx, w->name, &o, NULL);
}

struct clite_ctx *instance_open(const char *name, uint32_t flags)
{
	char err[16384] = "";
	struct clite_open_opts o = {
		.sz = sizeof(o),
		.flags = flags,
		.bpffs = BPFFS,
		.errbuf = err,
		.errbuf_size = sizeof(err),
	};
	struct clite_ctx *ctx = NULL;

	NEED(clite_open(name, &o, &ctx) == 0, "open: %s", err);
	return ctx;
}

static struct sockaddr_in address(const struct workload *w, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, w->ipv4, &a.sin_addr);
	return a;
}

int udp_socket(const struct workload *w, uint16_t port, const struct workload *to, uint16_t to_port)
{
	struct sockaddr_in own = address(w, port);
	int fd;

	enter(w->netns);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	NEED(fd >= 0 && bind(fd, (struct sockaddr *)&own, sizeof(own)) == 0, "bind: %m");
	if (to) {
		struct sockaddr_in peer = address(to, to_port);

		NEED(connect(fd, (struct sockaddr *)&peer, sizeof(peer)) == 0, "connect: %m");
	}
	enter(host);
	return fd;
}

struct sum {
	uint64_t packets;
	uint32_t reason;
};

static int add_counter(const struct clite_counter_info *info, void *userdata)
{
	struct sum *s = userdata;

	if (info->reason == s->reason)
		s->packets += info->packets;
	return 0;
}

uint64_t drops(struct clite_ctx *ctx, uint32_t reason)
{
	struct sum s = { .reason = reason };

	ck_assert_int_ge(clite_counter_list(ctx, add_counter, &s), 0);
	return s.packets;
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
