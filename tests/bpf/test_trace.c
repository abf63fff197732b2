/* SPDX-License-Identifier: BSD-2-Clause */
/* Traces: what is worked out, what the programs say of the same packet, and that the
 * two agree. */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	ck_assert_int_eq(clite_conntrack_flush(ctx, 0), 0);
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
		{ { .source = W4, .destination = B4, .destination_port = 1,
		    .flags = CLITE_TRACE_LIVE },
		  -EINVAL,
		  "a live trace begins at an endpoint or at the host: '192.0.2.9' is neither" },
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
