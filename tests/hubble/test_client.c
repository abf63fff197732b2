/* SPDX-License-Identifier: BSD-2-Clause */
/* The client's calls against the server of the same library, both in this process. */
#include <arpa/inet.h>
#include <check.h>
#include <cilium-lite/cilium-lite.h>
#include <cilium-lite/hubble.h>
#include <cilium-lite/hubble_client.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- both sides ------------------------------------------------------------------ */

static char directory[64], address[128];
static struct clite_hubble *server;
static struct clite_hubble_client *client;

static void setup(void)
{
	struct clite_hubble_opts opts = { .sz = sizeof(opts), .flows = 32768 };

	snprintf(directory, sizeof(directory), "/tmp/test-client-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(address, sizeof(address), "unix://%s/socket", directory);
	ck_assert_int_eq(clite_hubble_new(NULL, &opts, &server), 0);
	ck_assert_int_eq(clite_hubble_listen(server, address, NULL), 0);
	ck_assert_int_eq(clite_hubble_client_new(address, NULL, &client), 0);
}

static void teardown(void)
{
	clite_hubble_client_free(client);
	clite_hubble_free(server);
	rmdir(directory);
}

static void feed(uint64_t time, uint16_t port, uint32_t verdict)
{
	static const char *const none[] = { NULL };
	static const struct clite_flow_policy *const policies[] = { NULL };
	struct clite_event e = {
		.sz = sizeof(e),
		.time = time,
		.type = verdict == CLITE_VERDICT_DROPPED ? CLITE_EVENT_DROP : CLITE_EVENT_TRACE,
		.subtype = verdict == CLITE_VERDICT_DROPPED ? 133 : 0,
		.verdict = verdict,
		.drop_reason = verdict == CLITE_VERDICT_DROPPED ? 133 : 0,
		.direction = CLITE_INGRESS,
		.family = 4,
		.protocol = IPPROTO_TCP,
		.has_ports = 1,
		.source_port = port,
		.destination_port = 80,
		.tcp_flags = 2,
		.source_identity = 2,
		.destination_identity = 300,
		.source_file = "",
	};
	struct clite_flow_end a = { .sz = sizeof(a),
				    .ns = "",
				    .pod = "",
				    .service = "",
				    .service_ns = "",
				    .cluster = "",
				    .workload = "",
				    .workload_kind = "",
				    .labels = none,
				    .names = none };
	struct clite_flow_end b = a;
	struct clite_flow flow = { .sz = sizeof(flow),
				   .event = &e,
				   .source = &a,
				   .destination = &b,
				   .policies = policies,
				   .node = "n1",
				   .summary = "TCP Flags: SYN",
				   .kind = CLITE_FLOW_L3_L4 };

	b.ns = "default";
	b.pod = "web";
	ck_assert_int_eq(inet_pton(AF_INET, "192.0.2.1", e.source), 1);
	ck_assert_int_eq(inet_pton(AF_INET, "10.0.0.1", e.destination), 1);
	ck_assert_int_eq(clite_hubble_feed(server, &flow), 0);
}

/* ---- what was told ------------------------------------------------------------------ */

struct told {
	unsigned int flows, ends, others;
	uint16_t ports[64];
	int error;
	char message[256];
	int ret;		       /* of the callback */
	struct clite_hubble_call *end; /* this call is ended in the callback */
};

static int on_answer(const struct clite_hubble_answer *answer, void *userdata)
{
	struct told *told = userdata;

	ck_assert_uint_eq(told->ends, 0);
	if (answer->type == CLITE_HUBBLE_ANSWER_END) {
		told->ends++;
		told->error = answer->error;
		snprintf(told->message, sizeof(told->message), "%s", answer->message);
	} else if (answer->type == CLITE_HUBBLE_ANSWER_FLOW) {
		if (told->flows < 64)
			told->ports[told->flows] = answer->flow->event->source_port;
		told->flows++;
	} else {
		told->others++;
	}
	told->end = clite_hubble_call_end(told->end);
	return told->ret;
}

/* Both sides go on until this is true. What callbacks return is returned. */
static int run_until(const struct told *told, bool (*done)(const struct told *told),
		     uint32_t budget)
{
	for (int i = 0; i < 10000 && !done(told); i++) {
		struct pollfd fds[] = {
			{ .fd = clite_hubble_fd(server), .events = POLLIN },
			{ .fd = clite_hubble_client_fd(client), .events = POLLIN },
		};
		int r;

		ck_assert_int_gt(poll(fds, 2, 10000), 0);
		ck_assert_int_ge(clite_hubble_dispatch(server, 0), 0);
		r = clite_hubble_client_dispatch(client, budget);
		if (r < 0)
			return r;
		if (budget)
			ck_assert_int_le(r, (int)budget);
	}
	ck_assert(done(told));
	return 0;
}

static bool is_over(const struct told *told)
{
	return told->ends;
}

static struct clite_hubble_call *ask(uint32_t method, const struct clite_hubble_request *request,
				     struct told *told)
{
	struct clite_hubble_call *call = NULL;

	*told = (struct told){ 0 };
	ck_assert_int_eq(clite_hubble_client_call(client, method, request, on_answer, told, &call),
			 0);
	ck_assert_ptr_nonnull(call);
	return call;
}

/* ---- tests -------------------------------------------------------------------------- */

START_TEST(flows_with_a_filter)
{
	const uint32_t dropped[] = { CLITE_VERDICT_DROPPED };
	struct clite_flow_filter filter = { .sz = sizeof(filter),
					    .verdict = dropped,
					    .nverdict = 1 };
	struct clite_hubble_request request = {
		.sz = sizeof(request), .number = UINT64_MAX, .allow = &filter, .nallow = 1
	};
	struct clite_hubble_call *call;
	struct told told;

	for (uint16_t i = 0; i < 10; i++)
		feed(1000 + i, i, i % 3 ? CLITE_VERDICT_FORWARDED : CLITE_VERDICT_DROPPED);
	call = ask(CLITE_HUBBLE_CALL_FLOWS, &request, &told);
	run_until(&told, is_over, 0);
	ck_assert_int_eq(told.error, 0);
	ck_assert_str_eq(told.message, "");
	ck_assert_uint_eq(told.flows, 4);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(told.ports[i], i * 3);
	clite_hubble_call_end(call);
}
END_TEST

START_TEST(times_and_numbers)
{
	struct clite_hubble_request request = { .sz = sizeof(request), .number = 3 };
	struct clite_hubble_call *call;
	struct told told;

	for (uint16_t i = 0; i < 10; i++)
		feed(1000000000ull * i + 1000000000, i, CLITE_VERDICT_FORWARDED);
	call = ask(CLITE_HUBBLE_CALL_FLOWS, &request, &told);
	run_until(&told, is_over, 0);
	ck_assert_uint_eq(told.flows, 3);
	ck_assert_uint_eq(told.ports[0], 7);
	clite_hubble_call_end(call);

	request.first = 1;
	call = ask(CLITE_HUBBLE_CALL_FLOWS, &request, &told);
	run_until(&told, is_over, 0);
	ck_assert_uint_eq(told.flows, 3);
	ck_assert_uint_eq(told.ports[0], 0);
	clite_hubble_call_end(call);

	request = (struct clite_hubble_request){ .sz = sizeof(request),
						 .since = 4000000000,
						 .until = 6000000000 };
	call = ask(CLITE_HUBBLE_CALL_FLOWS, &request, &told);
	run_until(&told, is_over, 0);
	ck_assert_uint_eq(told.flows, 3);
	ck_assert_uint_eq(told.ports[0], 3);
	clite_hubble_call_end(call);
}
END_TEST

/* Far more than windows and sockets hold, a few at a time; nothing is missing. */
START_TEST(many_with_a_budget)
{
	struct clite_hubble_request request = { .sz = sizeof(request), .number = UINT64_MAX };
	struct clite_hubble_call *call;
	struct told told;

	for (int i = 0; i < 20000; i++)
		feed(1000 + (uint64_t)i, (uint16_t)i, CLITE_VERDICT_FORWARDED);
	call = ask(CLITE_HUBBLE_CALL_FLOWS, &request, &told);
	run_until(&told, is_over, 7);
	ck_assert_int_eq(told.error, 0);
	ck_assert_uint_eq(told.flows, 20000);
	clite_hubble_call_end(call);
}
END_TEST

static bool two_flows(const struct told *told)
{
	return told->flows >= 2;
}

START_TEST(follow_and_end_in_the_callback)
{
	struct clite_hubble_request request = { .sz = sizeof(request), .number = 1, .follow = 1 };
	struct clite_hubble_call *call, *status;
	struct told told, other;

	feed(1000, 1, CLITE_VERDICT_FORWARDED);
	call = ask(CLITE_HUBBLE_CALL_FLOWS, &request, &told);
	/* the call is there when this one is answered: calls begin in their order */
	status = ask(CLITE_HUBBLE_CALL_STATUS, NULL, &other);
	run_until(&other, is_over, 0);
	ck_assert_uint_eq(other.others, 1);
	clite_hubble_call_end(status);
	feed(1001, 2, CLITE_VERDICT_FORWARDED);
	run_until(&told, two_flows, 0);
	ck_assert_uint_eq(told.ports[0], 1);
	ck_assert_uint_eq(told.ports[1], 2);

	told.end = call;
	feed(1002, 3, CLITE_VERDICT_FORWARDED);
	feed(1003, 4, CLITE_VERDICT_FORWARDED);
	status = ask(CLITE_HUBBLE_CALL_STATUS, NULL, &other);
	run_until(&other, is_over, 0);
	ck_assert_uint_eq(told.flows, 3);
	ck_assert_uint_eq(told.ends, 0);
	clite_hubble_call_end(status);
}
END_TEST

/* What a callback says comes back, and the next dispatch goes on behind that answer. */
START_TEST(callback_says_no)
{
	struct clite_hubble_request request = { .sz = sizeof(request), .number = UINT64_MAX };
	struct clite_hubble_call *call;
	struct told told;

	for (uint16_t i = 0; i < 3; i++)
		feed(1000 + i, i, CLITE_VERDICT_FORWARDED);
	call = ask(CLITE_HUBBLE_CALL_FLOWS, &request, &told);
	told.ret = -EBUSY;
	for (unsigned int i = 1; i <= 3; i++) {
		ck_assert_int_eq(run_until(&told, is_over, 0), -EBUSY);
		ck_assert_uint_eq(told.flows, i);
	}
	told.ret = 0;
	run_until(&told, is_over, 0);
	ck_assert_uint_eq(told.flows, 3);
	clite_hubble_call_end(call);
}
END_TEST

START_TEST(all_other_calls)
{
	static const struct {
		uint32_t method;
		unsigned int answers;
	} calls[] = {
		{ CLITE_HUBBLE_CALL_HEALTH, 1 },
		{ CLITE_HUBBLE_CALL_STATUS, 1 },
		{ CLITE_HUBBLE_CALL_NODES, 1 },
		{ CLITE_HUBBLE_CALL_NAMESPACES, 1 },
	};

	feed(1000, 1, CLITE_VERDICT_FORWARDED);
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		struct told told;
		struct clite_hubble_call *call = ask(calls[i].method, NULL, &told);

		run_until(&told, is_over, 0);
		ck_assert_int_eq(told.error, 0);
		ck_assert_uint_eq(told.others, calls[i].answers);
		clite_hubble_call_end(call);
	}
}
END_TEST

START_TEST(server_says_no)
{
	const char *const protocol[] = { "carrier-pigeon", NULL };
	struct clite_flow_filter filter = { .sz = sizeof(filter), .protocol = protocol };
	struct clite_hubble_request request = { .sz = sizeof(request),
						.deny = &filter,
						.ndeny = 1 };
	struct told told;
	struct clite_hubble_call *call = ask(CLITE_HUBBLE_CALL_FLOWS, &request, &told);

	run_until(&told, is_over, 0);
	ck_assert_int_eq(told.error, -EINVAL);
	ck_assert_ptr_nonnull(strstr(told.message, "INVALID_ARGUMENT"));
	ck_assert_ptr_nonnull(strstr(told.message, "carrier-pigeon"));
	clite_hubble_call_end(call);
}
END_TEST

START_TEST(server_goes_away)
{
	struct clite_hubble_request request = { .sz = sizeof(request), .follow = 1 };
	struct told told, other;
	struct clite_hubble_call *call = ask(CLITE_HUBBLE_CALL_FLOWS, &request, &told);
	struct clite_hubble_call *status = ask(CLITE_HUBBLE_CALL_STATUS, NULL, &other);
	struct pollfd p = { .fd = clite_hubble_client_fd(client), .events = POLLIN };

	run_until(&other, is_over, 0);
	clite_hubble_call_end(status);
	server = clite_hubble_free(server);
	while (!told.ends) {
		ck_assert_int_eq(poll(&p, 1, 10000), 1);
		ck_assert_int_ge(clite_hubble_client_dispatch(client, 0), 0);
	}
	ck_assert_int_lt(told.error, 0);
	ck_assert_str_ne(told.message, "");
	clite_hubble_call_end(call);

	/* the connection is over: a new call hears of it, in its callback */
	call = ask(CLITE_HUBBLE_CALL_STATUS, NULL, &told);
	ck_assert_int_eq(poll(&p, 1, 10000), 1);
	ck_assert_int_eq(clite_hubble_client_dispatch(client, 0), 1);
	ck_assert_int_lt(told.error, 0);
	clite_hubble_call_end(call);
}
END_TEST

START_TEST(client_before_call)
{
	struct told told;
	struct clite_hubble_call *call = ask(CLITE_HUBBLE_CALL_STATUS, NULL, &told);

	client = clite_hubble_client_free(client);
	ck_assert_uint_eq(told.ends, 0);
	ck_assert_ptr_null(clite_hubble_call_end(call));
	ck_assert_ptr_null(clite_hubble_call_end(NULL));
	ck_assert_ptr_null(clite_hubble_client_free(NULL));
}
END_TEST

static int again(const struct clite_hubble_answer *answer, void *userdata)
{
	(void)answer;
	*(int *)userdata = clite_hubble_client_dispatch(client, 0);
	return -ECANCELED;
}

/* Many small records of TLS in one piece: each is read, though the socket has no more. */
START_TEST(many_answers_by_tls)
{
	struct clite_hubble_client_opts secure = { .sz = sizeof(secure),
						   .tls = CLITE_HUBBLE_TLS_INSECURE };
	char command[512], cert[96], key[96];
	struct clite_hubble_listen_opts opts = { .sz = sizeof(opts), .cert = cert, .key = key };
	struct clite_hubble_call *calls[60];
	struct told told[60];

	snprintf(cert, sizeof(cert), "%s/cert", directory);
	snprintf(key, sizeof(key), "%s/key", directory);
	snprintf(command, sizeof(command),
		 "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 "
		 "-subj /CN=x -keyout %s -out %s 2>/dev/null",
		 key, cert);
	ck_assert_int_eq(system(command), 0);
	clite_hubble_client_free(client);
	ck_assert_int_eq(clite_hubble_unlisten(server, address), 0);
	ck_assert_int_eq(clite_hubble_listen(server, address, &opts), 0);
	unlink(cert);
	unlink(key);
	ck_assert_int_eq(clite_hubble_client_new(address, &secure, &client), 0);
	for (int i = 0; i < 60; i++)
		calls[i] = ask(CLITE_HUBBLE_CALL_STATUS, NULL, &told[i]);
	for (int i = 0; i < 60; i++) {
		run_until(&told[i], is_over, 0);
		ck_assert_str_eq(told[i].message, "");
		ck_assert_uint_eq(told[i].others, 1);
		clite_hubble_call_end(calls[i]);
	}
}
END_TEST

/* A server that asks for answers and never reads them costs little memory. */
START_TEST(server_does_not_read)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	uint8_t settings[9] = { [3] = 4 }, ping[17 * 500] = { 0 };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	size_t sent = 0;

	clite_hubble_client_free(client);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/other", directory);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(clite_hubble_client_new(sa.sun_path, NULL, &client), 0);
	unlink(sa.sun_path);
	fd = accept(listener, NULL, NULL);
	close(listener);
	ck_assert_int_eq(send(fd, settings, 9, 0), 9);
	for (size_t at = 0; at < sizeof(ping); at += 17) {
		ping[at + 2] = 8;
		ping[at + 3] = 6;
	}
	for (int tries = 0; tries < 100 && sent < 64u << 20; tries++) {
		ssize_t n = send(fd, ping + sent % sizeof(ping), sizeof(ping) - sent % sizeof(ping),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			sent += (size_t)n;
			tries = 0;
		}
		ck_assert_int_ge(clite_hubble_client_dispatch(client, 0), 0);
	}
	ck_assert_uint_gt(sent, 0);
	ck_assert_uint_lt(sent, 16u << 20);
	close(fd);
}
END_TEST

START_TEST(dispatch_in_a_callback)
{
	struct clite_hubble_call *call;
	struct told none = { 0 };
	int r = 0;

	ck_assert_int_eq(
		clite_hubble_client_call(client, CLITE_HUBBLE_CALL_STATUS, NULL, again, &r, &call),
		0);
	ck_assert_int_eq(run_until(&none, is_over, 0), -ECANCELED);
	ck_assert_int_eq(r, -EDEADLK);
	clite_hubble_call_end(call);
}
END_TEST

START_TEST(wrong_arguments)
{
	struct clite_hubble_client_opts opts = { .sz = sizeof(opts), .tls = 9 };
	struct clite_hubble_request request = { .sz = 3 };
	struct clite_flow_filter filter = { .sz = 1 };
	struct clite_hubble_client *c = NULL;
	struct clite_hubble_call *call = NULL;
	char errbuf[256] = "";
	struct told told;

	ck_assert_int_eq(clite_hubble_client_new(NULL, NULL, &c), -EINVAL);
	ck_assert_int_eq(clite_hubble_client_new(address, NULL, NULL), -EINVAL);
	opts.errbuf = errbuf;
	opts.errbuf_size = sizeof(errbuf);
	ck_assert_int_eq(clite_hubble_client_new(address, &opts, &c), -EINVAL);
	ck_assert_ptr_nonnull(strstr(errbuf, "tls: 9"));
	opts.tls = 0;
	ck_assert_int_eq(clite_hubble_client_new("[::1", &opts, &c), -EINVAL);
	ck_assert_ptr_nonnull(strstr(errbuf, "'[::1'"));
	opts.key = "/nowhere";
	ck_assert_int_eq(clite_hubble_client_new(address, &opts, &c), -EINVAL);
	ck_assert_ptr_nonnull(strstr(errbuf, "the certificate is missing"));
	ck_assert_ptr_null(c);

	ck_assert_int_eq(clite_hubble_client_fd(NULL), -EINVAL);
	ck_assert_int_eq(clite_hubble_client_dispatch(NULL, 0), -EINVAL);
	ck_assert_int_eq(clite_hubble_answer_json(NULL, NULL, 0), -EINVAL);
	ck_assert_int_eq(clite_hubble_client_call(client, 99, NULL, on_answer, &told, &call),
			 -EINVAL);
	ck_assert_str_eq(clite_hubble_client_error(client), "99 is no call");
	ck_assert_int_eq(clite_hubble_client_call(client, 3, &request, on_answer, &told, &call),
			 -EINVAL);
	request = (struct clite_hubble_request){ .sz = sizeof(request),
						 .allow = &filter,
						 .nallow = 1 };
	ck_assert_int_eq(clite_hubble_client_call(client, 3, &request, on_answer, &told, &call),
			 -EINVAL);
	ck_assert_int_eq(clite_hubble_client_call(client, 3, NULL, NULL, NULL, &call), -EINVAL);
	ck_assert_ptr_null(call);
}
END_TEST

START_TEST(nobody_listens)
{
	struct clite_hubble_client *c;
	struct clite_hubble_call *call;
	struct told told = { 0 };
	char nowhere[160];

	snprintf(nowhere, sizeof(nowhere), "%s.none", address);
	ck_assert_int_eq(clite_hubble_client_new(nowhere, NULL, &c), 0);
	ck_assert_int_eq(clite_hubble_client_call(c, CLITE_HUBBLE_CALL_STATUS, NULL, on_answer,
						  &told, &call),
			 0);
	ck_assert_int_eq(clite_hubble_client_dispatch(c, 0), 1);
	ck_assert_int_eq(told.error, -ENOENT);
	clite_hubble_call_end(call);
	clite_hubble_client_free(c);
}
END_TEST

START_TEST(after_fork)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct told told;
		struct clite_hubble_call *call;

		_exit(clite_hubble_client_fd(client) == -ECHILD &&
				      clite_hubble_client_dispatch(client, 0) == -ECHILD &&
				      clite_hubble_client_call(client, 2, NULL, on_answer, &told,
							       &call) == -ECHILD ?
			      0 :
			      1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && !WEXITSTATUS(status));
}
END_TEST

/* A child frees what it inherited, with a stream open: the parent's goes on. */
START_TEST(free_after_fork)
{
	struct clite_hubble_request request = { .sz = sizeof(request), .number = 2, .follow = 1 };
	struct clite_hubble_call *call;
	struct told told;
	int status;
	pid_t pid;

	feed(1000, 1, CLITE_VERDICT_FORWARDED);
	feed(1001, 2, CLITE_VERDICT_FORWARDED);
	call = ask(CLITE_HUBBLE_CALL_FLOWS, &request, &told);
	run_until(&told, two_flows, 0);
	pid = fork();
	if (!pid) {
		client = clite_hubble_client_free(client);
		clite_hubble_call_end(call);
		server = clite_hubble_free(server);
		_exit(access(address + strlen("unix://"), F_OK) == 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && !WEXITSTATUS(status));
	told.flows = 0;
	feed(1002, 3, CLITE_VERDICT_FORWARDED);
	feed(1003, 4, CLITE_VERDICT_FORWARDED);
	run_until(&told, two_flows, 0);
	ck_assert_uint_eq(told.ports[1], 4);
	clite_hubble_call_end(call);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hubble client");
	TCase *tc = tcase_create("calls");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, flows_with_a_filter);
	tcase_add_test(tc, times_and_numbers);
	tcase_add_test(tc, many_with_a_budget);
	tcase_add_test(tc, follow_and_end_in_the_callback);
	tcase_add_test(tc, callback_says_no);
	tcase_add_test(tc, all_other_calls);
	tcase_add_test(tc, server_says_no);
	tcase_add_test(tc, server_goes_away);
	tcase_add_test(tc, client_before_call);
	tcase_add_test(tc, dispatch_in_a_callback);
	tcase_add_test(tc, many_answers_by_tls);
	tcase_add_test(tc, server_does_not_read);
	tcase_add_test(tc, wrong_arguments);
	tcase_add_test(tc, nobody_listens);
	tcase_add_test(tc, after_fork);
	tcase_add_test(tc, free_after_fork);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
