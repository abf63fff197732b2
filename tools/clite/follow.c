/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for events until somebody has had enough. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* Records between two looks at signals and at who reads us. */
#define BUDGET 256

/* ---- asked to end --------------------------------------------------------- */

/* A handler, not a signalfd: it must also break a write() that a reader does
 * not drain. The eventfd wakes poll(). */
static volatile sig_atomic_t stop_asked;
static int stop_fd = -1;

static void on_signal(int signal)
{
	uint64_t one = 1;
	int saved = errno;

	stop_asked = signal;
	if (write(stop_fd, &one, sizeof(one)) < 0) {
		/* Full means that poll() wakes already. */
	}
	errno = saved;
}

int follow_begin(struct cli *cli)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal };

	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stop_fd < 0) {
		complain(cli, "eventfd: %s", strerror(errno));
		return CLI_FAILED;
	}
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		struct sigaction before;

		/* nohup and background jobs without job control: as they were. */
		sigaction(signals[i], NULL, &before);
		if (before.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
	return CLI_OK;
}

bool follow_was_killed(void)
{
	return stop_asked && stop_asked != SIGINT;
}

void follow_end(void)
{
	close(stop_fd);
	stop_fd = -1;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Dispatch what is there; then wait for more, a signal, the reader's end, or the
 * end of the time. */
int follow_source(const struct source *source, uint32_t seconds)
{
	struct pollfd fds[] = {
		{ .fd = source->fd, .events = POLLIN },
		{ .fd = stop_fd, .events = POLLIN },
		{ .fd = STDOUT_FILENO },
	};
	int64_t end = now_ms() + (int64_t)seconds * 1000, left = -1;
	int r = 0;

	if (fds[0].fd < 0)
		return fds[0].fd;
	while (r >= 0 && !stop_asked) {
		if (seconds) {
			left = end - now_ms();
			if (left <= 0)
				break;
		}
		if (poll(fds, ARRAY_SIZE(fds), left > INT32_MAX ? INT32_MAX : (int)left) < 0 &&
		    errno != EINTR)
			return -errno;
		if (fds[2].revents & (POLLERR | POLLHUP))
			return -ECANCELED;
		r = source->dispatch(source->userdata, BUDGET);
	}
	/* What happened before the end is told as well. */
	if (r >= 0)
		r = source->dispatch(source->userdata, 0);
	return r;
}

static int dispatch(void *userdata, uint32_t budget)
{
	return clite_dispatch(userdata, budget);
}

int follow(struct cli *cli, uint32_t seconds)
{
	struct source source = {
		.fd = clite_fd(cli->ctx),
		.dispatch = dispatch,
		.userdata = cli->ctx,
	};

	return follow_source(&source, seconds);
}

bool follow_stopped(void)
{
	return stop_asked;
}
