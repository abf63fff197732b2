/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as what a server of Hubble's API sends to a client: the call ends, with an error
 * or without, and what came is written as text and JSON. The first byte is the method, the
 * second the budget of a dispatch. Link it with -fsanitize=fuzzer, or with replay.c. */
#include <cilium-lite/hubble_client.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_hubble_client: %s\n", what);
	abort();
}

/* ---- the server ----------------------------------------------------------------- */

static char directory[] = "/tmp/fuzz-hubble-XXXXXX";
static struct sockaddr_un address = { .sun_family = AF_UNIX };

static void clean(void)
{
	unlink(address.sun_path);
	rmdir(directory);
}

/* A socket that clients can connect to, made once. */
static int listener(void)
{
	static int fd = -1;

	if (fd >= 0)
		return fd;
	check(mkdtemp(directory), "no directory");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", directory);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 8),
	      "no socket");
	atexit(clean);
	return fd;
}

/* ---- the client ------------------------------------------------------------------ */

struct seen {
	bool over;
};

static int on_answer(const struct clite_hubble_answer *answer, void *userdata)
{
	struct seen *seen = userdata;
	char text[64];
	int n = clite_hubble_answer_json(answer, text, sizeof(text));

	check(!seen->over, "an answer after the end");
	check(n >= 0 && strlen(text) == ((size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1),
	      "JSON of another length");
	check(answer->message && answer->node, "a text is NULL");
	if (answer->flow) {
		check(clite_flow_text(answer->flow, text, sizeof(text)) >= 0, "no text");
		check(clite_flow_json(answer->flow, text, sizeof(text)) >= 0, "no JSON");
	}
	if (answer->event)
		check(answer->event->details && answer->event->source, "an event without text");
	seen->over = answer->type == CLITE_HUBBLE_ANSWER_END;
	check(seen->over || !answer->error, "an error that is not the end");
	return 0;
}

/* The server has sent all and closed, so the call is over at some time. */
static void run(struct clite_hubble_client *client, struct seen *seen, uint32_t budget)
{
	struct pollfd p = { .fd = clite_hubble_client_fd(client), .events = POLLIN };

	while (!seen->over) {
		check(poll(&p, 1, 10000) == 1, "nothing happens");
		check(clite_hubble_client_dispatch(client, budget) >= 0, "dispatch");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int server = listener(), peer;
	struct clite_hubble_client *client;
	struct clite_hubble_call *call;
	struct seen seen = { 0 };

	if (size < 2)
		return 0;
	check(!clite_hubble_client_new(address.sun_path, NULL, &client), "no client");
	peer = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	check(peer >= 0, "no connection");
	check(!clite_hubble_client_call(client, data[0] % 8 + 1, NULL, on_answer, &seen, &call),
	      "no call");
	check(clite_hubble_client_dispatch(client, 1) >= 0, "dispatch");
	if (size > 2)
		(void)!send(peer, data + 2, size - 2, MSG_NOSIGNAL);
	shutdown(peer, SHUT_WR);
	run(client, &seen, data[1]);
	clite_hubble_call_end(call);
	clite_hubble_client_free(client);
	close(peer);
	return 0;
}
