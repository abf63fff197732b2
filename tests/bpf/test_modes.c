/* SPDX-License-Identifier: BSD-2-Clause */
/* Settings of an instance and of endpoints: audit mode, what the host sends,
 * enforcement for all or for nobody. */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define SYN 2
#define ACK 16
#define POLICY(name, subject, rest)                                              \
	"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: " name \
	"}, spec: {endpointSelector: {matchLabels: {app: " subject "}}, " rest "}}"

static uint16_t sport = 5000;

static uint32_t reason_of(int ret)
{
	return ret == ACT_DROP ? dropped() : 0;
}

/* The drop reason of a packet from A to a port of B; 0: it passes. */
static uint32_t a_to_b(uint16_t from, uint16_t port, uint8_t flags)
{
	struct packet p = packet_make(host_a, A4, B4, IPPROTO_TCP, from, port, flags);

	return reason_of(from_a(&p));
}

static uint32_t fresh(uint16_t port)
{
	return a_to_b(sport++, port, SYN);
}

static uint32_t host_goes_on(const char *from, const char *to, uint16_t port, uint16_t number)
{
	struct packet p = packet_make(host_b, from, to, IPPROTO_UDP, number, port, 0);

	return reason_of(host_to_b(&p));
}

static uint32_t host_sends(uint16_t port)
{
	return host_goes_on(HOST4, B4, port, sport++);
}

/* The same by IPv6 and UDP; back: what B answers from that port. */
static uint32_t udp6(uint16_t from, uint16_t port, bool back)
{
	struct packet p = back ? packet_make(host_b, B6, A6, IPPROTO_UDP, port, from, 0) :
				 packet_make(host_a, A6, B6, IPPROTO_UDP, from, port, 0);

	return reason_of(back ? from_b(&p) : from_a(&p));
}

static void config(uint32_t enforcement, uint32_t localhost, uint32_t audit)
{
	struct clite_config c = {
		.sz = sizeof(c),
		.enforcement = enforcement,
		.allow_localhost = localhost,
		.audit = audit,
	};
	struct clite_config now = { .sz = sizeof(now) };

	ck_assert_msg(clite_config_set(ctx, &c) == 0, "%s", clite_error(ctx));
	ck_assert_int_eq(clite_config_get(ctx, &now), 0);
	ck_assert_mem_eq(&c, &now, sizeof(c));
}

/* ---- audit --------------------------------------------------------------------------- */

static struct {
	int verdicts, drops;
	uint32_t verdict, match, direction, reason, rule;
	uint32_t drop_direction, drop_rule; /* of the last drop */
} seen;

static int note(const struct clite_event *e, void *userdata)
{
	(void)userdata;
	if (e->type == CLITE_EVENT_DROP) {
		seen.drops++;
		seen.drop_direction = e->direction;
		seen.drop_rule = e->direction == CLITE_INGRESS ? e->ingress_rule : e->egress_rule;
	}
	if (e->type != CLITE_EVENT_POLICY_VERDICT)
		return 0;
	seen.verdicts++;
	seen.verdict = e->verdict;
	seen.match = e->subtype;
	seen.direction = e->direction;
	seen.reason = e->drop_reason;
	seen.rule = e->direction == CLITE_INGRESS ? e->ingress_rule : e->egress_rule;
	return 0;
}

static void look(void)
{
	memset(&seen, 0, sizeof(seen));
	ck_assert_int_ge(clite_dispatch(ctx, 0), 0);
}

START_TEST(audit_of_an_endpoint)
{
	const struct clite_endpoint_info *info;
	const struct clite_rule_info *rule;
	struct clite_subscription *sub;

	ck_assert_int_eq(clite_subscribe(ctx, NULL, note, NULL, &sub), 0);
	import(POLICY("px", "b", "ingress: [{toPorts: [{ports: [{port: '80'}]}]}], ingressDeny: "
				 "[{toPorts: [{ports: [{port: '81'}]}]}]"));
	ck_assert_uint_eq(fresh(82), 133);
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_b, 1), 0);
	ck_assert_int_eq(clite_endpoint_get(ctx, ep_b, &info), 0);
	ck_assert_uint_eq(info->audit, 1);
	look();

	/* nothing allows it: it passes, and is told */
	ck_assert_uint_eq(a_to_b(9000, 82, SYN), 0);
	look();
	ck_assert_int_eq(seen.verdicts, 1);
	ck_assert_int_eq(seen.drops, 0);
	ck_assert_uint_eq(seen.verdict, CLITE_VERDICT_AUDIT);
	ck_assert_uint_eq(seen.direction, CLITE_INGRESS);
	ck_assert_uint_eq(seen.match, 0);
	ck_assert_uint_eq(seen.reason, 0);
	ck_assert_uint_eq(seen.rule, 0);
	/* a rule denies it */
	ck_assert_uint_eq(fresh(81), 0);
	look();
	ck_assert_uint_eq(seen.verdict, CLITE_VERDICT_AUDIT);
	ck_assert_uint_eq(seen.match, 3); /* L4 only: the true one */
	ck_assert_int_eq(seen.drops, 0);
	ck_assert_int_eq(clite_rule_get(ctx, seen.rule, &rule), 0);
	ck_assert_uint_eq(rule->action, CLITE_DENY);
	/* a rule allows it */
	ck_assert_uint_eq(fresh(80), 0);
	look();
	ck_assert_uint_eq(seen.verdict, CLITE_VERDICT_FORWARDED);
	/* its flow goes on, until audit mode ends */
	ck_assert_uint_eq(a_to_b(9000, 82, ACK), 0);
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_b, 0), 0);
	ck_assert_uint_eq(a_to_b(9000, 82, ACK), 133);
	ck_assert_uint_eq(fresh(81), 181);
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_b, 2), -EINVAL);
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, 4000, 1), -ENOENT);
	clite_unsubscribe(sub);
}
END_TEST

/* Both ways of a flow, also of one that was there before. */
START_TEST(audit_of_replies)
{
	ck_assert_uint_eq(udp6(7000, 53, false), 0);
	import(POLICY("px", "b", "ingress: [{}]"));
	ck_assert_uint_eq(udp6(7000, 53, false), 133);
	ck_assert_uint_eq(udp6(7000, 53, true), 133);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_b, 1), 0);
		ck_assert_uint_eq(udp6(7000, 53, true), 0);
		ck_assert_uint_eq(udp6(7000, 53, false), 0);
		ck_assert_uint_eq(udp6(7001, 53, false), 0);
		ck_assert_uint_eq(udp6(7001, 53, true), 0);
		ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_b, 0), 0);
		ck_assert_uint_eq(udp6(7001, 53, true), 133);
		ck_assert_uint_eq(udp6(7001, 53, false), 133);
		ck_assert_uint_eq(udp6(7000, 53, false), 133);
	}
	/* A commit of something else leaves it as it is. */
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_b, 1), 0);
	import(POLICY("py", "b", "ingressDeny: [{fromEntities: [all]}]"));
	ck_assert_uint_eq(udp6(7001, 53, false), 0);
	ck_assert_uint_eq(udp6(7001, 53, true), 0);
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_b, 0), 0);
	ck_assert_uint_eq(udp6(7001, 53, false), 181);
}
END_TEST

static int packets_of(const struct clite_ct_info *info, void *userdata)
{
	if (info->source_port == 7100 && !(info->flags & CLITE_CT_REPLY))
		*(uint64_t *)userdata = info->packets;
	return 0;
}

/* Its counters begin anew when it passes by another rule: not while none lets it. */
START_TEST(audit_and_counters)
{
	uint64_t packets = 0;

	import(POLICY("px", "b", "ingressDeny: [{fromEntities: [all]}]"));
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_b, 1), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(udp6(7100, 53, false), 0);
	import(POLICY("py", "b", "ingress: [{}]"));
	ck_assert_uint_eq(udp6(7100, 53, false), 0);
	ck_assert_int_gt(clite_conntrack_list(ctx, packets_of, &packets), 0);
	ck_assert_uint_eq(packets, 4);
}
END_TEST

/* What audit lets pass at one end and the other denies is told as the other's. */
START_TEST(audit_and_who_drops)
{
	const struct clite_rule_info *rule;
	struct clite_subscription *sub;

	ck_assert_int_eq(clite_subscribe(ctx, NULL, note, NULL, &sub), 0);
	import(POLICY("px", "b", "ingressDeny: [{fromEntities: [all]}]"));
	import(POLICY("py", "a", "egressDeny: [{toEntities: [all]}]"));
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_a, 1), 0);
	look();
	ck_assert_uint_eq(fresh(80), 181);
	look();
	ck_assert_int_eq(seen.verdicts, 2);
	ck_assert_uint_eq(seen.verdict, CLITE_VERDICT_DROPPED);
	ck_assert_int_eq(seen.drops, 1);
	ck_assert_uint_eq(seen.drop_direction, CLITE_INGRESS);
	ck_assert_int_eq(clite_rule_get(ctx, seen.drop_rule, &rule), 0);
	ck_assert_str_eq(rule->policy, "px");
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_a, 0), 0);
	ck_assert_uint_eq(fresh(80), 181);
	look();
	ck_assert_uint_eq(seen.drop_direction, CLITE_EGRESS);
	ck_assert_int_eq(clite_rule_get(ctx, seen.drop_rule, &rule), 0);
	ck_assert_str_eq(rule->policy, "py");
	/* allowed by a rule at one end, denied by one at the other */
	import(POLICY("py", "a", "egress: [{toEntities: [all]}]"));
	ck_assert_uint_eq(fresh(80), 181);
	look();
	ck_assert_uint_eq(seen.drop_direction, CLITE_INGRESS);
	ck_assert_int_eq(clite_rule_get(ctx, seen.drop_rule, &rule), 0);
	ck_assert_str_eq(rule->policy, "px");
	clite_unsubscribe(sub);
}
END_TEST

/* The other end's policy holds. */
START_TEST(audit_of_one_end)
{
	import(POLICY("px", "b", "ingress: [{}]"));
	import(POLICY("py", "a", "egress: [{}]"));
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_b, 1), 0);
	ck_assert_uint_eq(fresh(80), 133);
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_a, 1), 0);
	ck_assert_uint_eq(fresh(80), 0);
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_b, 0), 0);
	ck_assert_uint_eq(fresh(80), 133);
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_a, 0), 0);
}
END_TEST

START_TEST(audit_of_all)
{
	import(POLICY("px", "b", "ingress: [{}]"));
	import(POLICY("py", "a", "egress: [{}]"));
	ck_assert_uint_eq(fresh(80), 133);
	config(CLITE_ENFORCE_DEFAULT, 0, 1);
	ck_assert_uint_eq(fresh(80), 0);
	/* also for policies that come later */
	import(POLICY("px", "b", "ingressDeny: [{fromEntities: [all]}]"));
	ck_assert_uint_eq(fresh(80), 0);
	config(CLITE_ENFORCE_DEFAULT, 0, 0);
	ck_assert_uint_eq(fresh(80), 133);
	ck_assert_int_eq(clite_policy_delete(ctx, "py"), 0);
	ck_assert_uint_eq(fresh(80), 181);
}
END_TEST

/* ---- the host ------------------------------------------------------------------------- */

START_TEST(localhost)
{
	struct packet p;

	import(POLICY("px", "b", "ingress: [{fromEndpoints: [{matchLabels: {app: c}}]}]"));
	ck_assert_uint_eq(host_sends(80), 133);
	config(CLITE_ENFORCE_DEFAULT, 1, 0);
	ck_assert_uint_eq(host_sends(80), 0);
	ck_assert_uint_eq(fresh(80), 133); /* nobody else */
	import(POLICY("py", "b", "ingressDeny: [{fromEntities: [host], toPorts: [{ports: [{port: "
				 "'81'}]}]}]"));
	ck_assert_uint_eq(host_sends(81), 181);
	ck_assert_uint_eq(host_sends(80), 0);
	ck_assert_uint_eq(host_goes_on(HOST4, B4, 80, 6000), 0);
	config(CLITE_ENFORCE_DEFAULT, 0, 0);
	ck_assert_uint_eq(host_sends(80), 133);
	/* its flows too */
	ck_assert_uint_eq(host_goes_on(HOST4, B4, 80, 6000), 133);
	/* not the world by way of the host's stack, and not without a policy */
	config(CLITE_ENFORCE_ALWAYS, 1, 0);
	ck_assert_uint_eq(host_goes_on(HOST4, B4, 80, 6001), 0);
	ck_assert_uint_eq(fresh(80), 133);
	p = packet_make(host_b, W4, B4, IPPROTO_UDP, 6002, 80, 0);
	ck_assert_uint_eq(reason_of(world_to_b(&p)), 133);
}
END_TEST

/* Together: the host's denial is audited as any other. */
START_TEST(localhost_and_audit)
{
	struct clite_subscription *sub;

	ck_assert_int_eq(clite_subscribe(ctx, NULL, note, NULL, &sub), 0);
	import(POLICY("px", "b", "ingress: [{}], ingressDeny: [{fromEntities: [host], toPorts: "
				 "[{ports: [{port: '81'}]}]}]"));
	config(CLITE_ENFORCE_DEFAULT, 1, 1);
	look();
	ck_assert_uint_eq(host_sends(80), 0);
	look();
	ck_assert_uint_eq(seen.verdict, CLITE_VERDICT_FORWARDED);
	ck_assert_uint_eq(seen.match, 1); /* L3 only */
	ck_assert_uint_eq(seen.rule, 0);
	ck_assert_uint_eq(host_sends(81), 0);
	look();
	ck_assert_uint_eq(seen.verdict, CLITE_VERDICT_AUDIT);
	ck_assert_uint_ne(seen.rule, 0);
	config(CLITE_ENFORCE_DEFAULT, 0, 1);
	ck_assert_uint_eq(host_sends(80), 0);
	look();
	ck_assert_uint_eq(seen.verdict, CLITE_VERDICT_AUDIT);
	ck_assert_int_eq(seen.drops, 0);
	clite_unsubscribe(sub);
}
END_TEST

/* ---- enforcement ------------------------------------------------------------------------ */

START_TEST(enforcement)
{
	const struct clite_endpoint_info *info;

	ck_assert_uint_eq(fresh(80), 0);
	config(CLITE_ENFORCE_ALWAYS, 0, 0);
	ck_assert_uint_eq(fresh(80), 133);
	ck_assert_int_eq(clite_endpoint_get(ctx, ep_a, &info), 0);
	ck_assert_uint_eq(info->egress_enforced, 1);
	import(POLICY("px", "b", "ingress: [{fromEndpoints: [{}]}]"));
	ck_assert_uint_eq(fresh(80), 133);
	import(POLICY("py", "a", "egress: [{toEndpoints: [{}]}]"));
	ck_assert_uint_eq(fresh(80), 0);
	import(POLICY("px", "b", "ingressDeny: [{fromEndpoints: [{}]}]"));
	ck_assert_uint_eq(a_to_b(9100, 80, SYN), 181);
	config(CLITE_ENFORCE_NEVER, 0, 0);
	ck_assert_uint_eq(a_to_b(9100, 80, SYN), 0);
	ck_assert_int_eq(clite_endpoint_get(ctx, ep_a, &info), 0);
	ck_assert_uint_eq(info->egress_enforced, 0);
	config(CLITE_ENFORCE_DEFAULT, 0, 0);
	ck_assert_uint_eq(a_to_b(9100, 80, ACK), 181);
}
END_TEST

START_TEST(refused)
{
	struct clite_config c = { .sz = sizeof(c), .enforcement = 3 };

	ck_assert_int_eq(clite_config_set(ctx, &c), -EINVAL);
	c = (struct clite_config){ .sz = sizeof(c), .audit = 2 };
	ck_assert_int_eq(clite_config_set(ctx, &c), -EINVAL);
	ck_assert_str_eq(clite_error(ctx), "audit 2 is neither 0 nor 1");
	c = (struct clite_config){ .sz = sizeof(c), .allow_localhost = 7 };
	ck_assert_int_eq(clite_config_set(ctx, &c), -EINVAL);
	c = (struct clite_config){ .sz = sizeof(c), .reserved = 7 };
	ck_assert_int_eq(clite_config_set(ctx, &c), -EINVAL);
	ck_assert_int_eq(clite_config_set(ctx, NULL), -EINVAL);
	c.sz = 3;
	ck_assert_int_eq(clite_config_get(ctx, &c), -EINVAL);
}
END_TEST

static void reset(void)
{
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_a, 0), 0);
	ck_assert_int_eq(clite_endpoint_set_audit(ctx, ep_b, 0), 0);
	world_reset();
	config(CLITE_ENFORCE_DEFAULT, 0, 0);
}

int main(void)
{
	Suite *s = suite_create("modes");
	TCase *t = tcase_create("modes");
	SRunner *r = srunner_create(s);
	int failed;

	if (geteuid()) {
		puts("needs root: skipped");
		return 77;
	}
	tcase_add_checked_fixture(t, reset, NULL);
	tcase_add_test(t, audit_of_an_endpoint);
	tcase_add_test(t, audit_of_replies);
	tcase_add_test(t, audit_and_counters);
	tcase_add_test(t, audit_and_who_drops);
	tcase_add_test(t, audit_of_one_end);
	tcase_add_test(t, audit_of_all);
	tcase_add_test(t, localhost);
	tcase_add_test(t, localhost_and_audit);
	tcase_add_test(t, enforcement);
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
