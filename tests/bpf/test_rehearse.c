/* SPDX-License-Identifier: BSD-2-Clause */
/* Rehearsals: packets through the programs, what the candidate would do to their
 * flows, and then it does. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define SYN 2
#define POLICY(name, subject, rest)                                              \
	"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: " name \
	"}, spec: {endpointSelector: {matchLabels: {app: " subject "}}, " rest "}}"

static uint16_t sport = 3000;

/* The drop reason of a packet from A; 0: it passes. */
static uint32_t verdict(const char *to, uint8_t protocol, uint16_t from_port, uint16_t port)
{
	struct packet p = packet_make(host_a, strchr(to, ':') ? A6 : A4, to, protocol, from_port,
				      port, SYN);

	return from_a(&p) == ACT_DROP ? dropped() : 0;
}

/* ---- what was told -------------------------------------------------------------- */

static struct {
	int n;
	uint32_t live, candidate;     /* reasons */
	uint32_t live_direction, candidate_direction;
	uint32_t live_verdict, candidate_verdict;
	uint16_t port;
	char live_rule[64], candidate_rule[64];
} told;

static void rule_text(const struct clite_rule_info *r, char text[64])
{
	snprintf(text, 64, "%s", "");
	if (r)
		snprintf(text, 64, "%s:%u %s %u", r->policy, r->line,
			 r->direction == CLITE_INGRESS ? "ingress" : "egress", r->index);
}

static int note(const struct clite_rehearsal_flow *f, void *userdata)
{
	(void)userdata;
	ck_assert_uint_eq(f->sz, sizeof(*f));
	ck_assert_int_eq(f->live_verdict == CLITE_VERDICT_FORWARDED, !f->live_reason);
	ck_assert_int_eq(f->candidate_verdict == CLITE_VERDICT_FORWARDED, !f->candidate_reason);
	ck_assert_uint_ne(f->live_verdict, f->candidate_verdict);
	told.n++;
	told.live = f->live_reason;
	told.candidate = f->candidate_reason;
	told.live_direction = f->live_direction;
	told.candidate_direction = f->candidate_direction;
	told.live_verdict = f->live_verdict;
	told.candidate_verdict = f->candidate_verdict;
	told.port = f->event->destination_port;
	rule_text(f->live_rule, told.live_rule);
	rule_text(f->candidate_rule, told.candidate_rule);
	return 0;
}

static struct clite_rehearsal *rehearse(const char *document, uint32_t flags)
{
	struct clite_rehearse_opts o = { .sz = sizeof(o), .flags = flags };
	struct clite_rehearsal *h;
	struct clite_txn *txn;

	memset(&told, 0, sizeof(told));
	ck_assert_int_eq(clite_txn_new(ctx, &txn), 0);
	ck_assert_msg(clite_txn_policy_import(txn, document, strlen(document), NULL) > 0, "%s",
		      clite_error(ctx));
	ck_assert_msg(clite_policy_rehearse(txn, &o, note, NULL, &h) == 0, "%s", clite_error(ctx));
	clite_txn_free(txn);
	return h;
}

static struct clite_rehearsal_counts counts(struct clite_rehearsal *h)
{
	struct clite_rehearsal_counts c = { .sz = sizeof(c) };

	ck_assert_int_ge(clite_dispatch(ctx, 0), 0);
	ck_assert_int_eq(clite_rehearsal_counts(h, &c), 0);
	ck_assert_uint_eq(c.lost, 0);
	return c;
}

/* ---- live ------------------------------------------------------------------------- */

START_TEST(would_be_denied)
{
	struct clite_rehearsal *h =
		rehearse(POLICY("px", "b", "ingress: [{toPorts: [{ports: [{port: '80'}]}]}]"), 0);
	struct clite_rehearsal_counts c;

	/* traffic is not touched */
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport, 80), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport, 81), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport, 81), 0);
	ck_assert_uint_eq(verdict(W4, IPPROTO_UDP, sport, 53), 0);
	c = counts(h);
	ck_assert_uint_eq(c.flows, 3);
	ck_assert_uint_eq(c.denied, 1);
	ck_assert_uint_eq(c.allowed, 0);
	ck_assert_int_eq(told.n, 1);
	ck_assert_uint_eq(told.port, 81);
	ck_assert_uint_eq(told.live, 0);
	ck_assert_uint_eq(told.candidate, 133);
	ck_assert_uint_eq(told.candidate_verdict, CLITE_VERDICT_DROPPED);
	ck_assert_uint_eq(told.live_direction, 0);
	ck_assert_uint_eq(told.candidate_direction, CLITE_INGRESS);
	ck_assert_str_eq(told.live_rule, "");
	ck_assert_str_eq(told.candidate_rule, "");

	/* and then it comes into force */
	ck_assert_int_gt(clite_rehearsal_commit(h), 0);
	clite_rehearsal_free(h);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport, 80), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport, 81), 133);
}
END_TEST

START_TEST(would_be_allowed)
{
	struct clite_rehearsal *h;
	struct clite_rehearsal_counts c;

	import(POLICY("px", "a", "egress: [{toCIDR: [198.51.100.0/24]}],\n egressDeny: [\n"
				 "{toEntities: [world], toPorts: [{ports: [{port: '25'}]}]}]"));
	h = rehearse(POLICY("px", "a", "egress: [{toCIDR: [198.51.100.0/24]},\n"
				       "{toCIDRSet: [{cidr: 192.0.2.0/24, except: [192.0.2.128/25]}]}]"),
		     0);
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, sport, 80), 133);
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, sport, 25), 181);
	ck_assert_uint_eq(verdict("192.0.2.200", IPPROTO_TCP, sport, 80), 133);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport, 80), 133);
	c = counts(h);
	ck_assert_uint_eq(c.flows, 4);
	ck_assert_uint_eq(c.allowed, 2);
	ck_assert_uint_eq(c.denied, 0);
	ck_assert_uint_eq(told.port, 25);
	ck_assert_uint_eq(told.live, 181);
	ck_assert_uint_eq(told.live_direction, CLITE_EGRESS);
	ck_assert_str_eq(told.live_rule, "px:3 egress 0");
	ck_assert_str_eq(told.candidate_rule, "px:2 egress 1");
	clite_rehearsal_free(h);
	/* nothing has come into force */
	ck_assert_uint_eq(verdict(W4, IPPROTO_TCP, sport, 25), 181);
}
END_TEST

/* What others change meanwhile counts for what comes then; but the candidate is
 * another one for policies that are others. */
START_TEST(others_change)
{
	struct clite_rehearsal *h =
		rehearse(POLICY("px", "b", "ingress: [{fromEndpoints: [{matchLabels: {app: c}}]}]"),
			 0);

	import(POLICY("py", "b", "ingress: [{fromEndpoints: [{matchLabels: {app: d}}]}]"));
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport, 80), 133);
	ck_assert_uint_eq(counts(h).flows, 1);
	ck_assert_int_eq(told.n, 0);
	ck_assert_int_eq(clite_rehearsal_commit(h), -EAGAIN);
	ck_assert_ptr_nonnull(strstr(clite_error(ctx), "rehearse again"));
	/* as before */
	ck_assert_int_eq(clite_policy_delete(ctx, "py"), 0);
	ck_assert_int_gt(clite_rehearsal_commit(h), 0);
	clite_rehearsal_free(h);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport, 80), 133);
}
END_TEST

/* What is audited passes: one end that is does not speak for the other. */
START_TEST(audited)
{
	struct clite_rehearsal *h;

	import(POLICY("py", "a", "egress: [{}]"));
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_a, 1), 0);
	h = rehearse(POLICY("px", "b", "ingress: [{}]"), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport, 80), 0);
	ck_assert_uint_eq(counts(h).denied, 1);
	ck_assert_uint_eq(told.live_verdict, CLITE_VERDICT_AUDIT);
	ck_assert_uint_eq(told.live, 133);
	ck_assert_uint_eq(told.live_direction, CLITE_EGRESS);
	ck_assert_uint_eq(told.candidate_verdict, CLITE_VERDICT_DROPPED);
	ck_assert_uint_eq(told.candidate_direction, CLITE_INGRESS);
	ck_assert_int_gt(clite_rehearsal_commit(h), 0);
	clite_rehearsal_free(h);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport, 80), 133);

	/* What would be denied is told also where it would be audited. */
	ck_assert_int_eq(clite_policy_delete(ctx, "px"), 0);
	h = rehearse(POLICY("py", "a", "egress: [{toPorts: [{ports: [{port: '81'}]}]}]"), 0);
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport + 1, 80), 0);
	ck_assert_uint_eq(counts(h).flows, 1);
	ck_assert_int_eq(told.n, 0); /* audited before and after */
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport + 1, 81), 0);
	ck_assert_uint_eq(counts(h).allowed, 1);
	ck_assert_uint_eq(told.live_verdict, CLITE_VERDICT_AUDIT);
	ck_assert_uint_eq(told.candidate_verdict, CLITE_VERDICT_FORWARDED);
	clite_rehearsal_free(h);
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_a, 0), 0);
}
END_TEST

START_TEST(deletion)
{
	struct clite_rehearsal *h;
	struct clite_txn *txn;

	memset(&told, 0, sizeof(told));
	import(POLICY("px", "b", "ingress: [{fromEndpoints: [{matchLabels: {app: c}}]}]"));
	ck_assert_int_eq(clite_txn_new(ctx, &txn), 0);
	ck_assert_int_eq(clite_txn_policy_delete(txn, "px"), 0);
	ck_assert_int_eq(clite_policy_rehearse(txn, NULL, note, NULL, &h), 0);
	ck_assert_uint_eq(verdict(B6, IPPROTO_UDP, sport, 80), 133);
	ck_assert_uint_eq(counts(h).allowed, 1);
	ck_assert_uint_eq(told.candidate_direction, 0);
	ck_assert_int_gt(clite_rehearsal_commit(h), 0);
	ck_assert_uint_eq(verdict(B6, IPPROTO_UDP, sport, 80), 0);
	clite_rehearsal_free(h);
	clite_txn_free(txn);
}
END_TEST

START_TEST(refused)
{
	struct clite_rehearse_opts o = { .sz = sizeof(o), .flags = 8 };
	const char *text = POLICY("px", "b", "egress: [{toFQDNs: [{matchName: x.org}]}]");
	struct clite_rehearsal *h = NULL;
	struct clite_txn *txn;

	ck_assert_int_eq(clite_txn_new(ctx, &txn), 0);
	ck_assert_int_eq(clite_policy_rehearse(NULL, NULL, note, NULL, &h), -EINVAL);
	ck_assert_int_eq(clite_policy_rehearse(txn, NULL, NULL, NULL, &h), -EINVAL);
	ck_assert_int_eq(clite_policy_rehearse(txn, NULL, note, NULL, NULL), -EINVAL);
	ck_assert_int_eq(clite_policy_rehearse(txn, &o, note, NULL, &h), -EINVAL);
	ck_assert_int_eq(clite_txn_policy_import(txn, text, strlen(text), NULL), 1);
	ck_assert_int_eq(clite_policy_rehearse(txn, NULL, note, NULL, &h), -CLITE_EUNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(clite_error(ctx), "which is not present"));
	ck_assert_ptr_null(h);
	ck_assert_int_eq(clite_rehearsal_commit(NULL), -EINVAL);
	ck_assert_ptr_null(clite_rehearsal_free(NULL));
	clite_txn_free(txn);
}
END_TEST

/* ---- saved ------------------------------------------------------------------------- */

static struct clite_event flow(const char *from, const char *to, uint32_t protocol, uint16_t port)
{
	struct clite_event e = {
		.sz = sizeof(e),
		.type = CLITE_EVENT_POLICY_VERDICT,
		.family = 4,
		.protocol = protocol,
		.has_ports = 1,
		.source_port = sport,
		.destination_port = port,
	};

	ck_assert_int_eq(inet_pton(AF_INET, from, e.source), 1);
	ck_assert_int_eq(inet_pton(AF_INET, to, e.destination), 1);
	return e;
}

START_TEST(saved)
{
	struct clite_rehearsal *h =
		rehearse(POLICY("px", "b", "ingress: [{fromEntities: [host]}, {icmps: [{fields: "
					   "[{type: 8}]}]}]"),
			 CLITE_REHEARSE_FED);
	struct clite_event e = flow(A4, B4, IPPROTO_TCP, 80);

	ck_assert_int_eq(clite_rehearsal_feed(h, &e), 1);
	ck_assert_int_eq(clite_rehearsal_feed(h, &e), 0); /* known */
	e = flow(A4, W4, IPPROTO_TCP, 80);
	ck_assert_int_eq(clite_rehearsal_feed(h, &e), 0);
	e = flow(W4, B4, IPPROTO_TCP, 80);
	e.source_identity = 999999; /* of another machine */
	ck_assert_int_eq(clite_rehearsal_feed(h, &e), 1);
	e = flow(HOST4, B4, IPPROTO_TCP, 80);
	e.source_identity = 1;
	ck_assert_int_eq(clite_rehearsal_feed(h, &e), 0);
	e = flow(A4, B4, IPPROTO_ICMP, 0);
	e.icmp_type = 8;
	ck_assert_int_eq(clite_rehearsal_feed(h, &e), 0);
	e.icmp_type = 13;
	ck_assert_int_eq(clite_rehearsal_feed(h, &e), 1);
	/* not judged */
	e = flow(A4, B4, IPPROTO_TCP, 81);
	e.is_reply = 1;
	ck_assert_int_eq(clite_rehearsal_feed(h, &e), 0);
	e = flow(A4, B4, IPPROTO_TCP, 82);
	e.drop_reason = 132;
	ck_assert_int_eq(clite_rehearsal_feed(h, &e), 0);
	e.sz = 8;
	ck_assert_int_eq(clite_rehearsal_feed(h, &e), -EINVAL);
	ck_assert_uint_eq(counts(h).denied, 3);
	/* it saw no traffic of its own */
	ck_assert_uint_eq(verdict(B4, IPPROTO_TCP, sport, 90), 0);
	ck_assert_uint_eq(counts(h).denied, 3);
	clite_rehearsal_free(h);
}
END_TEST

static void reset(void)
{
	world_reset();
	sport++;
}

int main(void)
{
	Suite *s = suite_create("rehearse");
	TCase *t = tcase_create("rehearse");
	SRunner *r = srunner_create(s);
	int failed;

	if (geteuid()) {
		puts("needs root: skipped");
		return 77;
	}
	tcase_add_checked_fixture(t, reset, NULL);
	tcase_add_test(t, would_be_denied);
	tcase_add_test(t, would_be_allowed);
	tcase_add_test(t, others_change);
	tcase_add_test(t, audited);
	tcase_add_test(t, deletion);
	tcase_add_test(t, refused);
	tcase_add_test(t, saved);
	suite_add_tcase(s, t);
	srunner_set_fork_status(r, CK_NOFORK);
	world_make(0);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	world_remove();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
