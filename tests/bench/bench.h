/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows of the table, and what the groups of rows share. Each group runs in a
 * process with a network and a mount namespace of its own: nothing outlives it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#define SAMPLES 64
#define ROWS 160

enum target {
	NO_TARGET,
	ABOVE_EMPTY, /* at most this much above the empty program */
	AT_MOST,
	AT_LEAST,
};

struct row {
	char name[48];
	char unit[16]; /* "" is ns a packet, beside an empty program */
	enum target kind;
	double target;
	size_t n;
	double v[SAMPLES];
	double empty[SAMPLES];
};

struct options {
	bool quick;
	size_t rounds;
	char **wanted; /* beginnings of names; ends with NULL; none: all */
};

extern struct options options;

/* NULL when nobody wants it: row_sample() does nothing then. */
struct row *row_add(const char *name, const char *unit, enum target kind, double target);
void row_sample(struct row *row, double v, double empty);

#define DIE(...)                                    \
	do {                                        \
		fprintf(stderr, "bench: ");         \
		fprintf(stderr, __VA_ARGS__);       \
		fputc('\n', stderr);                \
		exit(1);                            \
	} while (0)

#define NEED(cond, ...)                    \
	do {                               \
		if (!(cond))               \
			DIE(__VA_ARGS__);  \
	} while (0)

/* host.c */
double now_s(void);
void sleep_s(double s);
void pin_cpu(int n); /* the n-th that this process may use, modulo how many there are */
__attribute__((format(printf, 1, 2))) void sh(const char *fmt, ...);
/* A child that dies with its parent: 0 in the child. */
pid_t fork_child(void);
void kill_child(pid_t pid);
/* A process that keeps a network namespace. */
pid_t netns_hold(void);
void netns_enter(pid_t pid);
/* Shared with children. */
void *share(size_t size);

struct clite_ctx;
struct clite_ctx *instance_open(const char *name, uint32_t flags);
uint32_t endpoint(struct clite_ctx *ctx, const char *device, const char *v4, const char *v6,
		  const char *const *labels);
void import(struct clite_ctx *ctx, const char *document);

/* packets.c: first packets of flows from one endpoint (app=a) to another, which a policy
 * of some number of rules allows */
struct clite_ctx *first_begin(void);
void first_rules(size_t n);
double first_packet(uint32_t repeat, double *ret_empty); /* ns */
void first_end(void);

/* packets.c: a service among others, in an instance with room for so many */
struct service_world;
struct service_world *service_world_make(uint32_t services, uint32_t backends,
					 struct clite_ctx **ret);
double service_packet(const struct service_world *w, double *ret_empty); /* established; ns */
double service_first(const struct service_world *w, uint32_t repeat, double *ret_empty);
void service_world_free(struct service_world *w);

/* groups */
void bench_packets(void);
void bench_xdp(void);
void bench_network(void);
void bench_control(void);
void bench_many(void);
void bench_scale(void);
void bench_services(void);
void print_rss(const char *instance); /* of this process, which opens it */
void bench_events(void);
void bench_sock(void);
void bench_net_service(void);
void bench_hubble(void);
