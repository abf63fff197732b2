/* SPDX-License-Identifier: BSD-2-Clause */
/* A server of Hubble's API on the public headers, that a test drives by lines on its
 * standard input:
 *
 *	server NAME=VALUE...    flows=N node=NAME version=TEXT connections=N
 *				instance=NAME aggregation=N ring=BYTES
 *
 *	listen ADDRESS NAME=VALUE...	cert= key= ca= name= announce= mode=
 *	unlisten ADDRESS
 *	flow NAME=VALUE...		one flow; see set_flow()
 *	flows N TIME			N flows of a nanosecond each, TCP port of the source: N % 65536
 *	status				name=value...
 *
 * Each is answered by a line "ok ..." or "error CODE TEXT". */
#include <arpa/inet.h>
#include <cilium-lite/cilium-lite.h>
#include <cilium-lite/hubble.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS 40

static struct clite_ctx *ctx;
static struct clite_hubble *hubble;

/* ---- words ------------------------------------------------------------------- */

/* Value of NAME=VALUE, or NULL. */
static const char *option(char **words, const char *name)
{
	size_t len = strlen(name);

	for (; *words; words++)
		if (!strncmp(*words, name, len) && (*words)[len] == '=')
			return *words + len + 1;
	return NULL;
}

static const char *text(char **words, const char *name)
{
	const char *s = option(words, name);

	return s ? s : "";
}

static uint64_t number(char **words, const char *name, uint64_t otherwise)
{
	const char *s = option(words, name);

	return s ? strtoull(s, NULL, 0) : otherwise;
}

static void answer(int r)
{
	if (r < 0)
		printf("error %d %s\n", -r, clite_hubble_error(hubble));
	else
		printf("ok\n");
}

/* ---- flows ------------------------------------------------------------------- */

/* "a,b": ends with NULL. */
static void split(char *s, const char **list, size_t max)
{
	size_t n = 0;

	for (char *part = strtok(s, ","); part && n < max; part = strtok(NULL, ","))
		list[n++] = part;
	list[n] = NULL;
}

static uint32_t family(const char *address)
{
	return strchr(address, ':') ? 6 : 4;
}

static void set_address(uint8_t to[16], const char *s)
{
	inet_pton(family(s) == 6 ? AF_INET6 : AF_INET, s, to);
}

static void set_event(char **w, struct clite_event *e)
{
	*e = (struct clite_event){
		.sz = sizeof(*e),
		.time = number(w, "time", 1),
		.type = (uint32_t)number(w, "type", CLITE_EVENT_TRACE),
		.subtype = (uint32_t)number(w, "subtype", 0),
		.verdict = (uint32_t)number(w, "verdict", CLITE_VERDICT_FORWARDED),
		.drop_reason = (uint32_t)number(w, "drop", 0),
		.trace_reason = (uint32_t)number(w, "trace", 0),
		.direction = (uint32_t)number(w, "direction", 0),
		.is_reply = (uint32_t)number(w, "reply", 0),
		.protocol = (uint32_t)number(w, "protocol", IPPROTO_TCP),
		.has_ports = (uint32_t)number(w, "ports", 1),
		.source_port = (uint16_t)number(w, "sport", 0),
		.destination_port = (uint16_t)number(w, "dport", 0),
		.icmp_type = (uint8_t)number(w, "icmp", 0),
		.tcp_flags = (uint32_t)number(w, "flags", 0),
		.source_endpoint = (uint32_t)number(w, "sep", 0),
		.destination_endpoint = (uint32_t)number(w, "dep", 0),
		.source_identity = (uint32_t)number(w, "sid", 0),
		.destination_identity = (uint32_t)number(w, "did", 0),
		.ifindex = (uint32_t)number(w, "ifindex", 0),
		.source_line = (uint32_t)number(w, "line", 0),
		.source_file = text(w, "file"),
	};
	if (option(w, "src")) {
		e->family = family(text(w, "src"));
		set_address(e->source, text(w, "src"));
		set_address(e->destination, text(w, "dst"));
	}
}

static void set_end(char **w, const char *side, const char **labels, const char **names,
		    struct clite_flow_end *x)
{
	char name[16];
#define TEXT(member, key)                                        \
	do {                                                     \
		snprintf(name, sizeof(name), "%s%s", side, key); \
		x->member = text(w, name);                       \
	} while (0)

	*x = (struct clite_flow_end){ .sz = sizeof(*x), .labels = labels, .names = names };
	TEXT(ns, "ns");
	TEXT(pod, "pod");
	TEXT(service, "svc");
	TEXT(service_ns, "svcns");
	TEXT(cluster, "cluster");
	TEXT(workload, "work");
	TEXT(workload_kind, "kind");
	snprintf(name, sizeof(name), "%slabels", side);
	split((char *)(uintptr_t)text(w, name), labels, 8);
	snprintf(name, sizeof(name), "%snames", side);
	split((char *)(uintptr_t)text(w, name), names, 8);
}

static int feed(char **w)
{
	const char *labels[2][9] = {}, *names[2][9] = {};
	struct clite_flow_policy policy = {
		.sz = sizeof(policy),
		.name = text(w, "policy"),
		.ns = text(w, "policyns"),
		.kind = "CiliumNetworkPolicy",
		.direction = (uint32_t)number(w, "pdirection", CLITE_INGRESS),
		.action = (uint32_t)number(w, "paction", CLITE_ALLOW),
		.revision = number(w, "revision", 0),
	};
	const struct clite_flow_policy *policies[] = { *policy.name ? &policy : NULL, NULL };
	struct clite_flow_end ends[2];
	struct clite_event event;
	struct clite_flow flow = {
		.sz = sizeof(flow),
		.event = &event,
		.source = &ends[0],
		.destination = &ends[1],
		.policies = policies,
		.node = text(w, "node"),
		.summary = text(w, "summary"),
		.interface = text(w, "interface"),
		.kind = CLITE_FLOW_L3_L4,
	};
	char json[4096];
	int r;

	set_event(w, &event);
	set_end(w, "s", labels[0], names[0], &ends[0]);
	set_end(w, "d", labels[1], names[1], &ends[1]);
	r = clite_hubble_feed(hubble, &flow);
	if (r < 0 || !option(w, "json"))
		return r;
	/* the core's own writing of it, to compare with */
	clite_flow_json(&flow, json, sizeof(json));
	printf("ok %s\n", json);
	return 1;
}

static int feed_many(uint64_t n, uint64_t time)
{
	static const char *const labels[] = { "k8s:app=client", "k8s:io.kubernetes.pod.namespace=a",
					      NULL };
	static const char *const no_names[] = { NULL };
	static const struct clite_flow_policy *const no_policies[] = { NULL };
	struct clite_event event = {
		.sz = sizeof(event),
		.type = CLITE_EVENT_TRACE,
		.verdict = CLITE_VERDICT_FORWARDED,
		.family = 4,
		.protocol = IPPROTO_TCP,
		.has_ports = 1,
		.source = { 10, 0, 0, 1 },
		.destination = { 10, 0, 0, 2 },
		.destination_port = 80,
		.source_file = "",
	};
	struct clite_flow_end source = {
		.sz = sizeof(source),
		.ns = "a",
		.pod = "client",
		.service = "",
		.service_ns = "",
		.cluster = "",
		.workload = "",
		.workload_kind = "",
		.labels = labels,
		.names = no_names,
	};
	struct clite_flow_end destination = source;
	struct clite_flow flow = {
		.sz = sizeof(flow),
		.event = &event,
		.source = &source,
		.destination = &destination,
		.policies = no_policies,
		.node = "",
		.summary = "TCP Flags: SYN",
		.kind = CLITE_FLOW_L3_L4,
	};
	int r = 0;

	destination.pod = "server";
	for (uint64_t i = 0; i < n && r >= 0; i++) {
		event.time = time + i;
		event.source_port = (uint16_t)i;
		r = clite_hubble_feed(hubble, &flow);
	}
	return r;
}

/* ---- commands ------------------------------------------------------------------ */

static int do_listen(char **w)
{
	struct clite_hubble_listen_opts o = {
		.sz = sizeof(o),
		.cert = option(w, "cert"),
		.key = option(w, "key"),
		.client_ca = option(w, "ca"),
		.server_name = option(w, "name"),
		.announce = option(w, "announce"),
		.mode = (uint32_t)number(w, "mode", 0),
		.set_owner = option(w, "uid") != NULL,
		.uid = (uint32_t)number(w, "uid", 0),
		.gid = (uint32_t)number(w, "gid", 0),
	};

	return clite_hubble_listen(hubble, w[1] ? w[1] : "", &o);
}

static void do_status(void)
{
	const struct clite_hubble_status *s;

	if (clite_hubble_status(hubble, &s) < 0)
		exit(1);
	printf("ok node=%s address=%s flows=%ju flows_max=%ju seen=%ju lost=%ju overwritten=%ju "
	       "sent=%ju ring_bytes=%ju name_bytes=%ju connections=%u streams=%u requests=%ju "
	       "refused=%ju\n",
	       s->node, s->address, (uintmax_t)s->flows, (uintmax_t)s->flows_max,
	       (uintmax_t)s->seen, (uintmax_t)s->lost, (uintmax_t)s->overwritten,
	       (uintmax_t)s->sent, (uintmax_t)s->ring_bytes, (uintmax_t)s->name_bytes,
	       s->connections, s->streams, (uintmax_t)s->requests, (uintmax_t)s->refused);
}

static void command(char *line)
{
	char *words[WORDS + 1] = {}, *at = line, *word;
	size_t n = 0;

	line[strcspn(line, "\n")] = '\0';
	while ((word = strsep(&at, "\t")) && n < WORDS)
		words[n++] = word;
	if (!strcmp(words[0], "listen")) {
		answer(do_listen(words));
	} else if (!strcmp(words[0], "unlisten")) {
		answer(clite_hubble_unlisten(hubble, words[1] ? words[1] : ""));
	} else if (!strcmp(words[0], "flow")) {
		int r = feed(words);

		if (r <= 0)
			answer(r);
	} else if (!strcmp(words[0], "flows") && n == 3) {
		answer(feed_many(strtoull(words[1], NULL, 0), strtoull(words[2], NULL, 0)));
	} else if (!strcmp(words[0], "status")) {
		do_status();
	} else {
		printf("error 0 no such command\n");
	}
	fflush(stdout);
}

/* Lines of standard input, as they come; 0 at its end. */
static int read_commands(void)
{
	static char buf[1 << 16];
	static size_t len;
	ssize_t n = read(0, buf + len, sizeof(buf) - 1 - len);
	char *end, *line = buf;

	if (n <= 0)
		return 0;
	len += (size_t)n;
	buf[len] = '\0';
	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		command(line);
		line = end + 1;
	}
	len -= (size_t)(line - buf);
	memmove(buf, line, len);
	return 1;
}

static void loop(void)
{
	struct pollfd fds[] = {
		{ .fd = 0, .events = POLLIN },
		{ .fd = clite_hubble_fd(hubble), .events = POLLIN },
		{ .fd = ctx ? clite_fd(ctx) : -1, .events = POLLIN },
	};

	for (;;) {
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			exit(1);
		if (fds[2].revents && clite_dispatch(ctx, 4096) < 0)
			exit(1);
		if (fds[1].revents && clite_hubble_dispatch(hubble, 0) < 0)
			exit(1);
		if (fds[0].revents && !read_commands())
			return;
	}
}

static int open_instance(const char *name)
{
	char err[1024] = "";
	struct clite_open_opts o = { .sz = sizeof(o), .errbuf = err, .errbuf_size = sizeof(err) };
	int r = clite_open(name, &o, &ctx);

	if (r < 0)
		fprintf(stderr, "hubble_server: %s\n", err);
	return r;
}

int main(int argc, char **argv)
{
	char err[1024] = "";
	struct clite_hubble_opts o = {
		.sz = sizeof(o),
		.node = option(argv, "node"),
		.version = option(argv, "version"),
		.errbuf = err,
		.errbuf_size = sizeof(err),
		.flows = (uint32_t)number(argv, "flows", 0),
		.aggregation = (uint32_t)number(argv, "aggregation", 0),
		.ring_bytes = (uint32_t)number(argv, "ring", 0),
		.connections = (uint32_t)number(argv, "connections", 0),
	};

	(void)argc;
	if (option(argv, "instance") && open_instance(option(argv, "instance")) < 0)
		return 1;
	if (clite_hubble_new(ctx, &o, &hubble) < 0) {
		fprintf(stderr, "hubble_server: %s\n", err);
		return 1;
	}
	printf("ok\n");
	fflush(stdout);
	loop();
	clite_hubble_free(hubble);
	clite_close(ctx);
	return 0;
}
