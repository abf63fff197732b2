/* SPDX-License-Identifier: BSD-2-Clause */
/* Policies are swapped thousands of times while packets run through the programs: no
 * packet sees a mix. Port 80 is allowed by both policies, by other rules and classes;
 * port 81 is denied by both, once at the source and once at the destination, so that
 * a mix of the two would let it pass; 82 and 83 show that swaps take effect. */
#include <bpf/bpf.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cilium-lite/sys/bpf.h>

#include "world.h"

#define SYN 2

static const char *const policies[] = {
	/* A: the source may send 81, the destination does not take it */
	"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: out}\n"
	"spec:\n  endpointSelector: {matchLabels: {app: a}}\n  egress:\n"
	"  - toEndpoints: [{matchLabels: {app: b}}]\n"
	"    toPorts: [{ports: [{port: '80'}, {port: '81'}, {port: '82'}]}]\n"
	"---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: in}\n"
	"spec:\n  endpointSelector: {matchLabels: {app: b}}\n  ingress:\n"
	"  - toPorts: [{ports: [{port: '80'}]}]\n"
	"  - fromEndpoints: [{matchLabels: {app: a}}]\n    toPorts: [{ports: [{port: '82'}]}]\n",
	/* B: the other way round, with other ranges and more classes */
	"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: out}\n"
	"spec:\n  endpointSelector: {matchLabels: {app: a}}\n  egress:\n"
	"  - toEntities: [all]\n  egressDeny:\n"
	"  - toPorts: [{ports: [{port: '81', endPort: 82}]}]\n"
	"  - toCIDR: [198.51.100.0/24]\n    toPorts: [{ports: [{port: '1', endPort: 79}]}]\n"
	"---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: in}\n"
	"spec:\n  endpointSelector: {matchLabels: {app: b}}\n  ingress:\n"
	"  - fromEntities: [host]\n    toPorts: [{ports: [{port: '70', endPort: 79}]}]\n"
	"  - fromEndpoints: [{}]\n    toPorts: [{ports: [{port: '80', endPort: 90}]}]\n",
};

/* What a process that sends has seen, and when to end. */
struct seen {
	volatile bool stop;
	uint64_t packets;
	uint64_t passed[4], dropped[4]; /* by port, from 80 */
};

static void commit(int which)
{
	struct clite_txn *txn;

	ck_assert_int_eq(clite_txn_new(ctx, &txn), 0);
	ck_assert_int_eq(clite_txn_policy_import(txn, policies[which], strlen(policies[which]), NULL),
			 2);
	ck_assert_msg(clite_txn_commit(txn) > 0, "%s", clite_error(ctx));
	clite_txn_free(txn);
}

/* New flows and old ones, by test run: no call of the library. */
static void send_packets(struct seen *s, int prog, unsigned int seed)
{
	uint8_t answer[PACKET_MAX];

	while (!s->stop) {
		uint16_t port = 80 + (uint16_t)(rand_r(&seed) % 4);
		uint16_t from = 1024 + (uint16_t)(rand_r(&seed) % (rand_r(&seed) % 2 ? 60000 : 8));
		struct packet p = packet_make(host_a, A4, B4, IPPROTO_TCP, from, port, SYN);
		struct __sk_buff skb = { .ifindex = if_a };
		LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p.data, .data_size_in = (uint32_t)p.len,
			    .data_out = answer, .data_size_out = sizeof(answer), .ctx_in = &skb,
			    .ctx_size_in = sizeof(skb), .repeat = 1);

		if (bpf_prog_test_run_opts(prog, &o) < 0)
			_exit(2);
		s->packets++;
		if (o.retval == ACT_DROP)
			s->dropped[port - 80]++;
		else
			s->passed[port - 80]++;
	}
	_exit(0);
}

static int print_counter(const struct clite_counter_info *c, void *userdata)
{
	(void)userdata;
	printf("reason %u, direction %u: %llu packets\n", c->reason, c->direction,
	       (unsigned long long)c->packets);
	return 0;
}

static void check_seen(const struct seen *s)
{
	if (s->dropped[0] || s->passed[1])
		clite_counter_list(ctx, print_counter, NULL);
	printf("%llu packets: 80 %llu/%llu, 81 %llu/%llu, 82 %llu/%llu, 83 %llu/%llu passed/dropped\n",
	       (unsigned long long)s->packets, (unsigned long long)s->passed[0],
	       (unsigned long long)s->dropped[0], (unsigned long long)s->passed[1],
	       (unsigned long long)s->dropped[1], (unsigned long long)s->passed[2],
	       (unsigned long long)s->dropped[2], (unsigned long long)s->passed[3],
	       (unsigned long long)s->dropped[3]);
	ck_assert_msg(s->dropped[0] == 0, "what both allow was dropped %llu times",
		      (unsigned long long)s->dropped[0]);
	ck_assert_msg(s->passed[1] == 0, "what both deny passed %llu times",
		      (unsigned long long)s->passed[1]);
	for (int i = 2; i < 4; i++) {
		ck_assert_uint_gt(s->passed[i], 0);
		ck_assert_uint_gt(s->dropped[i], 0);
	}
}

START_TEST(never_a_mix)
{
	struct seen *s = mmap(NULL, sizeof(*s) * 2, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int swaps = getenv("CLITE_TEST_LONG") ? 50000 : 2000, status;
	int prog = clite_sys_prog_fd(ctx, "from_endpoint");
	pid_t pids[2];

	ck_assert_ptr_ne(s, MAP_FAILED);
	commit(0);
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		ck_assert_int_ge(pids[i], 0);
		if (!pids[i])
			send_packets(&s[i], prog, 4711 + (unsigned int)i);
	}
	for (int i = 1; i <= swaps; i++)
		commit(i & 1);
	for (int i = 0; i < 2; i++)
		s[i].stop = true;
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_int_eq(status, 0);
		check_seen(&s[i]);
	}
	munmap(s, sizeof(*s) * 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("swap");
	TCase *t = tcase_create("swap");
	SRunner *r = srunner_create(s);
	int failed;

	if (geteuid()) {
		puts("needs root: skipped");
		return 77;
	}
	tcase_add_test(t, never_a_mix);
	suite_add_tcase(s, t);
	srunner_set_fork_status(r, CK_NOFORK);
	world_make(0);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	world_remove();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
