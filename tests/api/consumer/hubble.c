/* SPDX-License-Identifier: BSD-2-Clause */
/* A program outside the tree with a server of Hubble's API, in C and in C++. */
#define _POSIX_C_SOURCE 200809L
#include <cilium-lite/hubble.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int failed;

static void expect(int ok, const char *what)
{
	printf("%s %s\n", ok ? "ok" : "not ok", what);
	failed |= !ok;
}

/* In the child of fork(2) it is of no use; the parent goes on. */
static int in_child(struct clite_hubble *hubble)
{
	const struct clite_hubble_status *status;
	int code = 1;
	pid_t pid = fork();

	if (pid == 0) {
		code = clite_hubble_fd(hubble) == -ECHILD &&
		       clite_hubble_dispatch(hubble, 0) == -ECHILD &&
		       clite_hubble_status(hubble, &status) == -ECHILD &&
		       clite_hubble_listen(hubble, ":0", NULL) == -ECHILD;
		clite_hubble_free(hubble);
		_exit(!code);
	}
	return pid > 0 && waitpid(pid, &code, 0) == pid && code == 0;
}

int main(int argc, char **argv)
{
	const struct clite_hubble_status *status = NULL;
	struct clite_hubble_opts opts;
	struct clite_hubble *hubble = NULL;
	char text[256] = "";

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.errbuf = text;
	opts.errbuf_size = sizeof(text);
	opts.flows = 0xffffffff;
	expect(clite_hubble_new(NULL, &opts, &hubble) == -EINVAL && strstr(text, "4294967295"),
	       "too large a ring: the text says so");
	opts.flows = 10;
	opts.node = "node";
	expect(clite_hubble_new(NULL, &opts, &hubble) == 0, "a server without an instance");
	expect(clite_hubble_fd(hubble) >= 0 && clite_hubble_dispatch(hubble, 0) == 0,
	       "nothing to do");
	expect(clite_hubble_status(hubble, &status) == 0 && status->flows_max == 10 &&
		       !strcmp(status->node, "node") && !strcmp(status->address, ""),
	       "its status");
	expect(clite_hubble_listen(hubble, "x", NULL) == -EINVAL &&
		       strstr(clite_hubble_error(hubble), "has no port"),
	       "a bad address: the text says so");
	expect(clite_hubble_listen(hubble, "127.0.0.1:0", NULL) == 0 &&
		       clite_hubble_status(hubble, &status) == 0 &&
		       strncmp(status->address, "127.0.0.1:", 10) == 0,
	       "it listens");
	expect(in_child(hubble) && clite_hubble_dispatch(hubble, 0) == 0,
	       "a child of fork(2) is refused, and does no harm");
	expect(clite_hubble_feed(hubble, NULL) == -EINVAL, "nothing is no flow");
	expect(clite_hubble_free(hubble) == NULL, "it ends");
	expect(clite_hubble_free(NULL) == NULL, "ending nothing is nothing");
	(void)argc;
	(void)argv;
	return failed;
}
