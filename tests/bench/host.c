/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"

#include <cilium-lite/cilium-lite.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void sleep_s(double s)
{
	struct timespec ts = { .tv_sec = (time_t)s, .tv_nsec = (long)((s - (time_t)s) * 1e9) };

	nanosleep(&ts, NULL);
}

void pin_cpu(int n)
{
	static cpu_set_t all;
	cpu_set_t one;

	if (!CPU_COUNT(&all))
		NEED(sched_getaffinity(0, sizeof(all), &all) == 0, "sched_getaffinity: %m");
	n %= CPU_COUNT(&all);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || n--)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		NEED(sched_setaffinity(0, sizeof(one), &one) == 0, "sched_setaffinity: %m");
		return;
	}
}

void sh(const char *fmt, ...)
{
	char *command;
	va_list ap;

	va_start(ap, fmt);
	NEED(vasprintf(&command, fmt, ap) >= 0, "no memory");
	va_end(ap);
	NEED(system(command) == 0, "'%s' failed", command);
	free(command);
}

pid_t fork_child(void)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	NEED(pid >= 0, "fork: %m");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

void kill_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

pid_t netns_hold(void)
{
	int ready[2];
	char c;
	pid_t pid;

	NEED(pipe2(ready, O_CLOEXEC) == 0, "pipe: %m");
	pid = fork_child();
	if (!pid) {
		NEED(unshare(CLONE_NEWNET) == 0, "unshare: %m");
		NEED(write(ready[1], "x", 1) == 1, "write: %m");
		for (;;)
			pause();
	}
	close(ready[1]);
	NEED(read(ready[0], &c, 1) == 1, "no network namespace");
	close(ready[0]);
	return pid;
}

void netns_enter(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	NEED(fd >= 0 && setns(fd, CLONE_NEWNET) == 0, "%s: %m", path);
	close(fd);
}

void *share(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	NEED(p != MAP_FAILED, "mmap: %m");
	return p;
}

struct clite_ctx *instance_open(const char *name, uint32_t flags)
{
	char err[4096] = "";
	struct clite_open_opts o = {
		.sz = sizeof(o),
		.flags = flags | (name ? CLITE_OPEN_CREATE : CLITE_OPEN_EPHEMERAL),
		.errbuf = err,
		.errbuf_size = sizeof(err),
	};
	struct clite_ctx *ctx;

	NEED(clite_open(name, &o, &ctx) == 0, "clite_open: %s", err);
	return ctx;
}

uint32_t endpoint(struct clite_ctx *ctx, const char *device, const char *v4, const char *v6,
		  const char *const *labels)
{
	struct clite_endpoint_opts o = {
		.sz = sizeof(o), .ipv4 = v4, .ipv6 = v6, .labels = labels,
	};
	uint32_t id;

	NEED(clite_endpoint_add(ctx, device, &o, &id) == 0, "endpoint %s: %s", device,
	     clite_error(ctx));
	return id;
}

void import(struct clite_ctx *ctx, const char *document)
{
	int r = clite_policy_import(ctx, document, strlen(document), NULL);

	NEED(r > 0, "policy: %s", clite_error(ctx));
}
