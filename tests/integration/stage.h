/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the C tests play: network, mount namespace and bpf file system of this
 * process, which the kernel takes away with it. The host is the namespace of the
 * process; workloads have one each. */
#pragma once

#include <check.h>
#include <cilium-lite/cilium-lite.h>
#include <errno.h>
#include <stdbool.h>

/* For what runs outside of a test, where Check has no place to report to. */
#define NEED(cond, ...)                  \
	do {                             \
		if (!(cond)) {           \
			printf(__VA_ARGS__); \
			puts("");        \
			exit(1);         \
		}                        \
	} while (0)

/* A namespace behind the device of this name, with the addresses 10.77.0.N and
 * fd77::N. */
struct workload {
	const char *name;
	unsigned int number;
	char ipv4[16];
	char ipv6[24];
	int netns;
};

/* Enter namespaces of this process's own. Exits with 77 without root. */
void stage_make(void);
void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void workload_make(struct workload *w);
/* Add it to an instance, with a label app=NAME. */
int workload_add(struct clite_ctx *ctx, const struct workload *w);
/* An instance, on the bpf file system of the stage. */
struct clite_ctx *instance_open(const char *name, uint32_t flags);

/* A datagram socket in a workload's namespace: bound to a port (0: any) of its
 * IPv4 address, and connected to another's unless to is NULL. Closed by the caller. */
int udp_socket(const struct workload *w, uint16_t port, const struct workload *to,
	       uint16_t to_port);
/* Packets dropped for a reason up to now. */
uint64_t drops(struct clite_ctx *ctx, uint32_t reason);
/* Milliseconds of the monotonic clock. */
uint64_t now_ms(void);
