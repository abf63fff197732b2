/* SPDX-License-Identifier: BSD-2-Clause */
/* Traces: what is worked out, what the programs say of the same packet, and that the
 * two agree. */
#include <check.h>
#include <cilium-lite/sys/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clite_layout.h"
#include "world.h"

#define SYN 2
#define VIP "10.96.0.1"
#define POLICY(name, subject, rest)                                              \
	"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: " name \
	"}, spec: {endpointSelector: {matchLabels: {app: " subject "}}, " rest "}}"

static const struct clite_trace *trace(struct clite_trace_opts o)
{
	const struct clite_trace *t = NULL;

	o.sz = sizeof(o);
	ck_assert_msg(clite_trace(ctx, &o, &t) == 0, "%s", clite_error(ctx));
	ck_assert_uint_eq(t->sz, sizeof(*t));
	ck_assert_msg(t->agree, "worked out %u, live %u", t->reason, t->live_reason);
	return t;
}

#define LIVE(...) trace((struct clite_trace_opts){ .flags = CLITE_TRACE_LIVE, __VA_ARGS__ })
#define TRACE(...) trace((struct clite_trace_opts){ __VA_ARGS__ })

/* ---- rules ------------------------------------------------------------------------ */

START_TEST(every_rule)
{
	const struct clite_trace *t;

	import(POLICY("px", "b", "ingress: [\n{fromEndpoints: [{matchLabels: {app: a}}]},\n{toPorts: "
				 "[{ports: [{port: '80', protocol: TCP}]}]},\n{fromEndpoints: "
				 "[{matchLabels: {app: c}}]}],\ningressDeny: [\n{fromEntities: [host]}]"));
	t = LIVE(.source = A4, .destination = B4, .destination_port = 80);
	ck_assert_uint_eq(t->verdict, CLITE_VERDICT_FORWARDED);
	ck_assert_uint_eq(t->live, 1);
	ck_assert_uint_eq(t->source_endpoint, ep_a);
	ck_assert_uint_eq(t->destination_endpoint, ep_b);
	ck_assert_uint_eq(t->way, CLITE_WAY_ENDPOINT);
	ck_assert_uint_eq(t->ifindex, if_b);
	ck_assert_uint_eq(t->egress->enforced, 0);
	ck_assert_uint_eq(t->ingress->enforced, 1);
	ck_assert_uint_eq(t->ingress->nrules, 2);
	ck_assert_uint_eq(t->ingress->rules[0]->line, 2);
	ck_assert_uint_eq(t->ingress->rules[1]->line, 3);
	ck_assert_str_eq(t->ingress->rules[1]->policy, "px");
	/* the more specific one decides */
	ck_assert_uint_eq(t->ingress->rule->line, 2);
	ck_assert_uint_eq(t->ingress->match, 1);

	t = LIVE(.source = HOST4, .source_identity = 1, .destination = B4, .destination_port = 80);
	ck_assert_uint_eq(t->reason, 181);
	ck_assert_uint_eq(t->way, CLITE_WAY_NONE);
	ck_assert_ptr_null(t->egress);
	ck_assert_uint_eq(t->ingress->nrules, 2);
	ck_assert_uint_eq(t->ingress->rule->line, 6);
	ck_assert_uint_eq(t->ingress->rule->action, CLITE_DENY);

	t = TRACE(.source = W4, .destination_endpoint = ep_b, .destination_port = 81);
	ck_assert_uint_eq(t->reason, 133);
	ck_assert_uint_eq(t->ingress->nrules, 0);
	ck_assert_ptr_null(t->ingress->rule);
	ck_assert_uint_eq(t->live, 0);

	t = TRACE(.source_identity = 1, .destination_endpoint = ep_b, .destination_port = 81);
	ck_assert_uint_eq(t->reason, 181);
	ck_assert_str_eq(t->source, "");
}
END_TEST

START_TEST(both_ends)
{
	const struct clite_trace *t;

	import(POLICY("px", "a", "egress: [{toEndpoints: [{matchLabels: {app: b}}]}, {toCIDR: "
				 "[192.0.2.0/28]}]"));
	import(POLICY("py", "b", "ingress: [{}]"));
	t = LIVE(.source_endpoint = ep_a, .destination_endpoint = ep_b, .destination_port = 1);
	ck_assert_uint_eq(t->egress->reason, 0);
	ck_assert_uint_eq(t->ingress->reason, 133);
	ck_assert_uint_eq(t->reason, 133);
	t = LIVE(.source = A6, .destination = B6, .protocol = IPPROTO_UDP, .destination_port = 1);
	ck_assert_uint_eq(t->reason, 133);
	ck_assert_str_eq(t->destination, B6);
	t = LIVE(.source = A4, .destination = W4, .protocol = IPPROTO_ICMP, .destination_port = 8);
	ck_assert_uint_eq(t->reason, 0);
	ck_assert_uint_eq(t->way, CLITE_WAY_STACK);
	t = LIVE(.source = A4, .destination = "192.0.2.99", .protocol = IPPROTO_SCTP,
		 .destination_port = 8);
	ck_assert_uint_eq(t->reason, 133);
	ck_assert_ptr_null(t->ingress);
	/* audit mode lets it pass and says why it would not */
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_a, 1), 0);
	t = LIVE(.source = A4, .destination = "192.0.2.99", .destination_port = 8);
	ck_assert_uint_eq(t->verdict, CLITE_VERDICT_FORWARDED);
	ck_assert_uint_eq(t->egress->reason, 133);
	ck_assert_uint_eq(t->egress->audited, 1);
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_a, 0), 0);
}
END_TEST

/* A live trace leaves no flow, and one that is there does not answer for the policies. */
START_TEST(leaves_nothing)
{
	struct packet p = packet_make(host_a, A4, B4, IPPROTO_TCP, 65533, 80, SYN);
	const struct clite_trace *t;

	t = LIVE(.source = A4, .destination = B4, .destination_port = 80);
	ck_assert_uint_eq(t->reason, 0);
	ck_assert_int_eq(clite_conntrack_flush(ctx, 0), 0);
	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	import(POLICY("px", "b", "ingress: [{}]"));
	t = LIVE(.source = A4, .destination = B4, .destination_port = 80);
	ck_assert_uint_eq(t->reason, 133);
	ck_assert_int_eq(clite_conntrack_flush(ctx, 0), 2);
}
END_TEST

/* ---- services --------------------------------------------------------------------- */

START_TEST(service)
{
	struct clite_backend b[] = { { .address = B4, .port = 8080 },
				     { .address = W4, .port = 8081 },
				     { .address = "192.0.2.7", .state = CLITE_BACKEND_TERMINATING } };
	struct clite_service_opts o = {
		.sz = sizeof(o), .address = VIP, .port = 80, .name = "shop/web", .backends = b,
		.nbackends = 1,
	};
	const struct clite_trace *t = NULL;
	struct clite_trace_opts wrong = { .sz = sizeof(wrong), .source = A4, .destination = VIP,
					  .destination_port = 80, .backend = 2 };
	int seen[2] = {};

	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	import(POLICY("px", "b", "ingress: [{toPorts: [{ports: [{port: '8080'}]}]}]"));
	t = LIVE(.source = A4, .destination = VIP, .destination_port = 80);
	ck_assert_uint_eq(t->reason, 0);
	ck_assert_str_eq(t->service_name, "shop/web");
	ck_assert_uint_eq(t->backends, 1);
	ck_assert_str_eq(t->destination, B4);
	ck_assert_uint_eq(t->destination_port, 8080);
	ck_assert_uint_eq(t->destination_endpoint, ep_b);
	t = LIVE(.source = A4, .destination = VIP, .destination_port = 81);
	ck_assert_uint_eq(t->service, 0);

	/* any of two: live it is the one that was chosen */
	o.nbackends = 3;
	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	import(POLICY("py", "a", "egress: [{toEntities: [world]}]"));
	t = TRACE(.source = A4, .destination = VIP, .destination_port = 80);
	ck_assert_uint_eq(t->backends, 2);
	ck_assert_uint_eq(t->reason, 133);
	t = TRACE(.source = A4, .destination = VIP, .destination_port = 80, .backend = 1);
	ck_assert_uint_eq(t->reason, 0);
	ck_assert_str_eq(t->destination, W4);
	ck_assert_int_eq(clite_trace(ctx, &wrong, &t), -EINVAL);
	ck_assert_int_eq(clite_policy_delete(ctx, "py"), 0);
	for (uint16_t i = 0; i < 64; i++) {
		t = LIVE(.source = A4, .destination = VIP, .destination_port = 80, .source_port = 7000 + i);
		ck_assert_uint_eq(t->reason, 0);
		seen[strcmp(t->destination, B4) == 0]++;
	}
	ck_assert_int_gt(seen[0], 0);
	ck_assert_int_gt(seen[1], 0);
	o.nbackends = 0;
	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	t = LIVE(.source = A4, .destination = VIP, .destination_port = 80);
	ck_assert_uint_eq(t->reason, 158);
}
END_TEST

/* ---- packets ------------------------------------------------------------------------- */

START_TEST(packet)
{
	struct packet p = packet_make(host_a, A6, B6, IPPROTO_UDP, 1234, 53, 0);
	const struct clite_trace *t;

	import(POLICY("px", "b", "ingress: [{toPorts: [{ports: [{port: '53', protocol: UDP}]}]}]"));
	t = LIVE(.packet = p.data, .packet_len = p.len);
	ck_assert_uint_eq(t->reason, 0);
	ck_assert_uint_eq(t->protocol, IPPROTO_UDP);
	ck_assert_uint_eq(t->source_port, 1234);
	ck_assert_uint_eq(t->destination_port, 53);
	ck_assert_str_eq(t->source, A6);
	p = packet_make(host_a, A4, B4, IPPROTO_TCP, 1234, 53, SYN);
	t = LIVE(.packet = p.data, .packet_len = p.len);
	ck_assert_uint_eq(t->reason, 133);
	/* every shorter one is none */
	for (size_t n = 0; n < 38; n++) {
		struct clite_trace_opts o = { .sz = sizeof(o), .packet = p.data, .packet_len = n };

		ck_assert_int_eq(clite_trace(ctx, &o, &t), -EINVAL);
	}
	p = packet_ping(host_a, A4, B4, false, 9);
	t = LIVE(.packet = p.data, .packet_len = p.len);
	ck_assert_uint_eq(t->reason, 133);
}
END_TEST

/* ---- where the two could part ------------------------------------------------------ */

static int count_flow(const struct clite_ct_info *info, void *userdata)
{
	(void)info;
	++*(int *)userdata;
	return 0;
}

static int flows(void)
{
	int n = 0;

	ck_assert_int_ge(clite_conntrack_list(ctx, count_flow, &n), 0);
	return n;
}

static int code_of(struct clite_trace_opts o)
{
	const struct clite_trace *t;

	o.sz = sizeof(o);
	return clite_trace(ctx, &o, &t);
}

/* The programs choose, also when they drop what they have chosen. */
START_TEST(chosen_and_dropped)
{
	struct clite_backend b[] = { { .address = B4, .port = 8080 },
				     { .address = W4, .port = 8081 } };
	struct clite_service_opts o = {
		.sz = sizeof(o), .address = VIP, .port = 80, .backends = b, .nbackends = 2,
	};
	const struct clite_trace *t;
	int seen[2] = {};

	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	import(POLICY("px", "a", "egress: [{toEntities: [world]}]"));
	for (uint16_t i = 0; i < 64; i++) {
		t = LIVE(.source = A4, .destination = VIP, .destination_port = 80);
		ck_assert_uint_eq(t->chosen, 1);
		ck_assert_uint_eq(t->reason, strcmp(t->destination, B4) ? 0 : 133);
		seen[!t->reason]++;
	}
	ck_assert_int_gt(seen[0], 0);
	ck_assert_int_gt(seen[1], 0);
	t = TRACE(.source = A4, .destination = VIP, .destination_port = 80, .source_port = 7);
	ck_assert_uint_eq(t->chosen, 0);
	ck_assert_uint_eq(t->backends, 2);
	ck_assert_str_eq(t->choices[1].address, W4);
	ck_assert_uint_eq(t->choices[1].port, 8081);
	ck_assert_int_eq(flows(), 0);
}
END_TEST

/* A hash says which one it is, before anything is sent. */
START_TEST(maglev)
{
	struct clite_backend b[] = { { .address = B4 }, { .address = W4 }, { .address = "192.0.2.8" } };
	struct clite_backend b6[] = { { .address = B6 }, { .address = W6, .weight = 3 } };
	struct clite_service_opts o = {
		.sz = sizeof(o), .address = VIP, .port = 80, .backends = b, .nbackends = 3,
		.algorithm = CLITE_LB_MAGLEV,
	};
	char before[64];
	int seen = 0;

	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	o.address = "fd00:96::1";
	o.backends = b6;
	o.nbackends = 2;
	o.protocol = IPPROTO_UDP;
	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	for (uint16_t i = 0; i < 100; i++) {
		bool v6 = i & 1;
		const char *vip = v6 ? "fd00:96::1" : VIP, *from = v6 ? A6 : A4;
		uint32_t protocol = v6 ? IPPROTO_UDP : IPPROTO_TCP;
		const struct clite_trace *t =
			TRACE(.source = from, .destination = vip, .destination_port = 80,
			      .source_port = 2000 + i, .protocol = protocol);

		ck_assert_uint_eq(t->chosen, 1);
		snprintf(before, sizeof(before), "%s", t->destination);
		t = LIVE(.source = from, .destination = vip, .destination_port = 80,
			 .source_port = 2000 + i, .protocol = protocol);
		ck_assert_str_eq(t->destination, before);
		seen |= 1 << (!strcmp(before, B4) + 2 * !strcmp(before, B6));
	}
	ck_assert_int_eq(seen, 7);
	ck_assert_int_eq(flows(), 0);
}
END_TEST

/* By a service to itself nobody is asked; without one both policies are. */
START_TEST(itself)
{
	struct clite_backend b = { .address = A4, .port = 8080 };
	struct clite_service_opts o = {
		.sz = sizeof(o), .address = VIP, .port = 80, .backends = &b, .nbackends = 1,
	};
	const struct clite_trace *t;

	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	import(POLICY("px", "a", "ingress: [{}]"));
	t = LIVE(.source = A4, .destination = VIP, .destination_port = 80);
	ck_assert_uint_eq(t->reason, 0);
	ck_assert_ptr_null(t->ingress);
	ck_assert_int_eq(flows(), 0);
	t = LIVE(.source = A4, .destination = A4, .destination_port = 80);
	ck_assert_uint_eq(t->reason, 133);
	ck_assert_uint_eq(t->ingress->endpoint, ep_a);
}
END_TEST

/* An endpoint that says it is somebody else. */
START_TEST(spoofed)
{
	static const char *const others[] = { "10.0.0.77", B4, W4, HOST4, B6 };
	const struct clite_trace *t;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		t = LIVE(.source = others[i], .source_endpoint = ep_a,
			 .destination = strchr(others[i], ':') ? W6 : W4, .destination_port = 80);
		ck_assert_uint_eq(t->reason, 132);
		ck_assert_uint_eq(t->source_endpoint, ep_a);
		ck_assert_ptr_null(t->egress);
	}
	t = LIVE(.source = A4, .source_endpoint = ep_a, .destination = W4, .destination_port = 80);
	ck_assert_uint_eq(t->reason, 0);
	ck_assert_int_eq(code_of((struct clite_trace_opts){ .source = A4, .destination = W4,
							    .destination_endpoint = ep_b,
							    .destination_port = 80 }),
			 -EINVAL);
	ck_assert_str_eq(clite_error(ctx), "destination: '192.0.2.9' is no address of endpoint 2");
}
END_TEST

/* Running flows are nobody's to take away. */
START_TEST(running_flows_stay)
{
	struct packet p = packet_make(host_a, A4, B4, IPPROTO_UDP, 65533, 80, 0);
	struct clite_trace_opts o = { .source = A4, .destination = B4, .destination_port = 80,
				      .source_port = 65533, .protocol = IPPROTO_UDP,
				      .flags = CLITE_TRACE_LIVE };
	struct clite_trace_opts back = { .source = B4, .destination = A4, .destination_port = 65533,
					 .source_port = 80, .protocol = IPPROTO_UDP,
					 .flags = CLITE_TRACE_LIVE };
	const struct clite_trace *t;

	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	ck_assert_int_eq(flows(), 2);
	import(POLICY("px", "b", "ingress: [{}]"));
	/* it would answer instead of the policies */
	ck_assert_int_eq(code_of(o), -EEXIST);
	ck_assert_ptr_nonnull(strstr(clite_error(ctx), "source port 65533"));
	ck_assert_int_eq(code_of(back), -EEXIST);
	o.source_port = 0;
	t = trace(o);
	ck_assert_uint_eq(t->reason, 133);
	ck_assert_uint_eq(t->source_port, 65532);
	ck_assert_int_eq(flows(), 2);
}
END_TEST

/* The world's packets come by way of the stack. */
START_TEST(from_the_world)
{
	const struct clite_trace *t;

	import(POLICY("px", "b", "ingress: [{fromCIDRSet: [{cidr: 192.0.2.0/24, except: "
				 "[192.0.2.16/28]}], toPorts: [{ports: [{port: '80'}]}]}, "
				 "{fromCIDR: ['2001:db8::/64']}]"));
	t = LIVE(.source = W4, .destination = B4, .destination_port = 80);
	ck_assert_uint_eq(t->reason, 0);
	ck_assert_uint_ge(t->source_identity, 1 << 24);
	ck_assert_uint_eq(t->ingress->rules[0]->index, 0);
	t = LIVE(.source = W4, .destination = B4, .destination_port = 81);
	ck_assert_uint_eq(t->reason, 133);
	t = LIVE(.source = "192.0.2.17", .destination = B4, .destination_port = 80);
	ck_assert_uint_eq(t->reason, 133);
	t = LIVE(.source = W6, .destination = B6, .destination_port = 4242);
	ck_assert_uint_eq(t->reason, 0);
	t = LIVE(.source = "2001:db8:1::9", .destination = B6, .destination_port = 4242);
	ck_assert_uint_eq(t->reason, 133);
	ck_assert_int_eq(flows(), 0);
}
END_TEST

static void sh(const char *command)
{
	ck_assert_msg(system(command) == 0, "%s", command);
}

/* What is the host's, the routing table says. */
START_TEST(what_is_the_hosts)
{
	static const struct {
		const char *from, *to;
		uint32_t way;
	} cases[] = {
		{ A4, HOST4, CLITE_WAY_HOST },	     { A4, "192.0.2.1", CLITE_WAY_HOST },
		{ A4, "127.0.0.2", CLITE_WAY_HOST }, { A4, "198.18.0.9", CLITE_WAY_HOST },
		{ A4, "203.0.113.1", CLITE_WAY_HOST } /* no route: nobody else's */,
		{ A4, "198.19.0.1", CLITE_WAY_NONE } /* unreachable: the world's */,
		{ A4, W4, CLITE_WAY_NONE },	     { A6, "2001:db8::1", CLITE_WAY_HOST },
		{ A6, W6, CLITE_WAY_NONE },	     { A6, "2001:db8:f::1", CLITE_WAY_HOST },
	};

	sh("ip route add local 198.18.0.0/24 dev lo && ip route add unreachable 198.19.0.0/24");
	import(POLICY("px", "a", "egress: [{toEntities: [host]}]"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct clite_trace *t = LIVE(.source = cases[i].from, .destination = cases[i].to,
						   .destination_port = 80);

		ck_assert_msg(t->way == cases[i].way, "%s: way %u", cases[i].to, t->way);
	}
	ck_assert_int_eq(clite_ipcache_set(ctx, "10.0.9.0/24", 7), 0);
	ck_assert_uint_eq(LIVE(.source = A4, .destination = HOST4, .destination_port = 80)->reason, 0);
	ck_assert_int_eq(clite_ipcache_unset(ctx, "10.0.9.0/24"), 0);
	/* where nothing is forwarded, all packets are for the host */
	sh("echo 0 >/proc/sys/net/ipv4/conf/va/forwarding");
	ck_assert_uint_eq(LIVE(.source = A4, .destination = W4, .destination_port = 80)->way,
			  CLITE_WAY_HOST);
	sh("echo 1 >/proc/sys/net/ipv4/conf/va/forwarding");
	sh("ip route del local 198.18.0.0/24 dev lo && ip route del unreachable 198.19.0.0/24");
}
END_TEST

/* Takes every subscriber's bit away, until it is killed: events get lost. */
static _Noreturn void events_lose(struct dp_control *ctl)
{
	for (;;)
		__atomic_store_n(&ctl->slots, 0, __ATOMIC_RELAXED);
}

/* Without its event it is not known why a packet was dropped: that is said, and never
 * "forwarded". */
START_TEST(event_lost)
{
	struct clite_trace_opts o = { .sz = sizeof(o), .source = A4, .destination = B4,
				      .destination_port = 80, .flags = CLITE_TRACE_LIVE };
	struct dp_control *ctl = mmap(NULL, sizeof(*ctl), PROT_READ | PROT_WRITE, MAP_SHARED,
				      clite_sys_map_fd(ctx, "control"), 0);
	const struct clite_trace *t;
	int lost = 0;
	pid_t pid;

	ck_assert_ptr_ne(ctl, MAP_FAILED);
	import(POLICY("px", "b", "ingress: [{}]"));
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid)
		events_lose(ctl);
	/* as long as it takes until the child has had a turn */
	for (time_t end = time(NULL) + 20; !lost && time(NULL) < end;) {
		int r = clite_trace(ctx, &o, &t);

		lost = r == -EAGAIN;
		if (!r && t->live_verdict == CLITE_VERDICT_DROPPED && t->live_reason == 133)
			continue;
		if (!lost)
			lost = -1;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	munmap(ctl, sizeof(*ctl));
	ck_assert_int_eq(lost, 1);
	ck_assert_ptr_nonnull(strstr(clite_error(ctx), "the event that says why was lost"));
	ck_assert_uint_eq(LIVE(.source = A4, .destination = B4, .destination_port = 80)->reason, 133);
}
END_TEST

/* ---- worked out, live, and a packet of the endpoint ---------------------------------- */

START_TEST(three_ways)
{
	static const struct {
		const char *to;
		uint8_t protocol;
		uint16_t port; /* of ICMP 0: an echo */
		uint32_t reason;
	} cases[] = {
		{ B4, IPPROTO_TCP, 80, 0 },	   { B6, IPPROTO_TCP, 80, 0 },
		{ B4, IPPROTO_TCP, 81, 181 },	   { B6, IPPROTO_TCP, 81, 181 },
		{ B4, IPPROTO_TCP, 82, 133 },	   { B4, IPPROTO_UDP, 80, 133 },
		{ B4, IPPROTO_UDP, 5000, 0 },	   { B4, IPPROTO_SCTP, 80, 133 },
		{ B4, IPPROTO_ICMP, 0, 0 },	   { B6, IPPROTO_ICMPV6, 0, 133 },
		{ W4, IPPROTO_TCP, 443, 0 },	   { W4, IPPROTO_TCP, 444, 133 },
		{ "192.0.2.17", IPPROTO_TCP, 443, 133 }, { W6, IPPROTO_UDP, 53, 0 },
		{ "2001:db8::bad", IPPROTO_UDP, 53, 181 }, { W6, IPPROTO_UDP, 54, 133 },
		{ HOST4, IPPROTO_TCP, 22, 0 },	   { HOST4, IPPROTO_TCP, 23, 133 },
		{ VIP, IPPROTO_TCP, 80, 0 },	   { "10.96.0.2", IPPROTO_TCP, 80, 181 },
		{ "10.96.0.3", IPPROTO_TCP, 80, 158 }, { VIP, IPPROTO_TCP, 81, 133 },
	};
	struct clite_backend b = { .address = B4, .port = 80 };
	struct clite_service_opts o = {
		.sz = sizeof(o), .address = VIP, .port = 80, .backends = &b, .nbackends = 1,
	};

	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	b.port = 81;
	o.address = "10.96.0.2";
	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	o.nbackends = 0;
	o.address = "10.96.0.3";
	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	import(POLICY("px", "a",
		      "egress: [{toEndpoints: [{}]}, {toCIDRSet: [{cidr: 192.0.2.0/24, except: "
		      "[192.0.2.16/28]}], toPorts: [{ports: [{port: '443', protocol: TCP}]}]}, "
		      "{toCIDR: ['2001:db8::/32'], toPorts: [{ports: [{port: '53'}]}]}, "
		      "{toEntities: [host], toPorts: [{ports: [{port: '22'}]}]}], "
		      "egressDeny: [{toCIDR: ['2001:db8::bad/128']}]"));
	import(POLICY("py", "b",
		      "ingress: [{fromEndpoints: [{matchLabels: {app: a}}], toPorts: [{ports: [{port: "
		      "'80', endPort: 81, protocol: TCP}, {port: '5000', protocol: UDP}]}]}, {icmps: "
		      "[{fields: [{type: 8, family: IPv4}]}]}], "
		      "ingressDeny: [{fromEntities: [all], toPorts: [{ports: [{port: '81'}]}]}]"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *from = strchr(cases[i].to, ':') ? A6 : A4;
		uint8_t protocol = cases[i].protocol;
		bool v6 = from[0] == 'f', echo = !cases[i].port;
		uint16_t port = echo ? (v6 ? 128 : 8) : cases[i].port;
		const struct clite_trace *t = LIVE(.source = from, .destination = cases[i].to,
						   .protocol = protocol, .destination_port = port);
		struct packet p = echo ? packet_ping(host_a, from, cases[i].to, false, 77) :
					 packet_make(host_a, from, cases[i].to, protocol, 4000, port,
						     SYN);
		int act;

		ck_assert_msg(t->reason == cases[i].reason, "%s, protocol %u, port %u: %u",
			      cases[i].to, protocol, port, t->reason);
		ck_assert_uint_eq(t->live_reason, cases[i].reason);
		ck_assert_int_eq(flows(), 0);
		act = from_a(&p);
		ck_assert_int_eq(act == ACT_DROP, cases[i].reason != 0);
		ck_assert_uint_eq(dropped(), cases[i].reason);
		ck_assert_int_ge(clite_conntrack_flush(ctx, 0), 0);
	}
}
END_TEST

/* ---- many: worked out and live ------------------------------------------------------ */

START_TEST(always_agree)
{
	static const char *const rules[] = {
		"{fromEndpoints: [{matchLabels: {app: a}}]}",
		"{fromEntities: [host]}",
		"{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}",
		"{toPorts: [{ports: [{port: '50', endPort: 90}]}]}",
		"{icmps: [{fields: [{type: 8}]}]}",
		"{fromEndpoints: [{}], toPorts: [{ports: [{port: '0', protocol: UDP}]}]}",
	};
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP };
	unsigned int seed = 4711;

	for (int i = 0; i < 60; i++) {
		char text[1024];

		snprintf(text, sizeof(text), POLICY("px", "b", "ingress: [%s, %s], ingressDeny: [%s]"),
			 rules[rand_r(&seed) % 6], rules[rand_r(&seed) % 6], rules[rand_r(&seed) % 6]);
		import(text);
		for (size_t k = 0; k < 4; k++) {
			uint16_t port = protocols[k] == IPPROTO_ICMP ? 8 : 80;

			LIVE(.source = A4, .destination = B4, .protocol = protocols[k],
			     .destination_port = port);
			LIVE(.source = HOST4, .source_identity = 1, .destination = B4,
			     .protocol = protocols[k], .destination_port = port);
		}
	}
}
END_TEST

START_TEST(refused)
{
	static const struct {
		struct clite_trace_opts o;
		int code;
		const char *error;
	} wrong[] = {
		{ { .source = "x", .destination = B4, .destination_port = 1 }, -EINVAL,
		  "'x' is no address" },
		{ { .source = A4, .destination = B6, .destination_port = 1 }, -EINVAL,
		  "source is IPv4, destination IPv6" },
		{ { .source = A4, .destination = B4 }, -EINVAL, "destination_port is missing" },
		{ { .source = A4, .destination_port = 1 }, -EINVAL,
		  "destination is missing: an address, an endpoint or an identity" },
		{ { .source_endpoint = 4000, .destination = B4, .destination_port = 1 }, -ENOENT,
		  "there is no endpoint 4000" },
		{ { .source_identity = 4000, .destination = B4, .destination_port = 1 }, -ENOENT,
		  "there is no identity 4000" },
		{ { .source = A4, .destination = B4, .destination_port = 1, .protocol = 47 }, -EINVAL,
		  "protocol 47: only TCP, UDP, SCTP, ICMP and ICMPv6" },
		{ { .source = A4, .destination = B4, .destination_port = 1, .flags = 2 }, -EINVAL,
		  "flags 0x2: no such flags" },
		{ { .source = A4, .destination = B4, .destination_port = 256,
		    .protocol = IPPROTO_ICMP },
		  -EINVAL, "ICMP type 256: 0 to 255" },
		{ { .source_identity = 1, .destination = B4, .destination_port = 1,
		    .flags = CLITE_TRACE_LIVE },
		  -EINVAL,
		  "a live trace needs addresses of both ends, one of which is an endpoint's" },
		{ { .source = W4, .destination = HOST4, .destination_port = 1,
		    .flags = CLITE_TRACE_LIVE },
		  -EINVAL,
		  "a live trace needs addresses of both ends, one of which is an endpoint's" },
		{ { .source = W4, .destination = B4, .destination_port = 1, .source_identity = 2,
		    .flags = CLITE_TRACE_LIVE },
		  -EINVAL,
		  "in a live trace the programs find identities and the back end: only "
		  "source_identity 1, the host, can be said" },
		{ { .source = A6, .destination = B6, .destination_port = 135,
		    .protocol = IPPROTO_ICMPV6 },
		  -EINVAL, "ICMPv6 type 135: neighbour discovery is not subject to policy" },
	};
	const struct clite_trace *t;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct clite_trace_opts o = wrong[i].o;

		o.sz = sizeof(o);
		ck_assert_int_eq(clite_trace(ctx, &o, &t), wrong[i].code);
		ck_assert_str_eq(clite_error(ctx), wrong[i].error);
	}
	ck_assert_int_eq(clite_trace(ctx, NULL, &t), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("trace");
	TCase *t = tcase_create("trace");
	SRunner *r = srunner_create(s);
	int failed;

	if (geteuid()) {
		puts("needs root: skipped");
		return 77;
	}
	tcase_add_checked_fixture(t, world_reset, NULL);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, every_rule);
	tcase_add_test(t, both_ends);
	tcase_add_test(t, leaves_nothing);
	tcase_add_test(t, service);
	tcase_add_test(t, packet);
	tcase_add_test(t, chosen_and_dropped);
	tcase_add_test(t, maglev);
	tcase_add_test(t, itself);
	tcase_add_test(t, spoofed);
	tcase_add_test(t, running_flows_stay);
	tcase_add_test(t, from_the_world);
	tcase_add_test(t, what_is_the_hosts);
	tcase_add_test(t, event_lost);
	tcase_add_test(t, three_ways);
	tcase_add_test(t, always_agree);
	tcase_add_test(t, refused);
	suite_add_tcase(s, t);
	srunner_set_fork_status(r, CK_NOFORK);
	world_make(0);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	world_remove();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
