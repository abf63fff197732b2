/* SPDX-License-Identifier: BSD-2-Clause */
/* What changes cost, and how much memory an instance takes. */
#include "bench.h"

#include <bpf/bpf.h>
#include <cilium-lite/cilium-lite.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.skel.h"

#define MANY 1000
#define RULES 100
#define TCX_INGRESS 46
#define TCX_EGRESS 47

static pid_t inside;

static void veth(const char *name)
{
	sh("ip link add %s type veth peer name i%s netns %d && ip link set %s up", name, name,
	   inside, name);
}

/* ---- open ------------------------------------------------------------------ */

static void bench_open(void)
{
	struct row *row = row_add("control/open-to-attached", "ms", AT_MOST, 150);
	struct row *again = row_add("control/open-again", "ms", NO_TARGET, 0);
	const char *labels[] = { "k8s:app=a", NULL };

	for (size_t r = 0; (row || again) && r < options.rounds; r++) {
		struct clite_ctx *ctx, *other;
		double t = now_s();

		ctx = instance_open("bench", CLITE_OPEN_EXCLUSIVE);
		endpoint(ctx, "first", "10.0.0.1", "fd00::1", labels);
		row_sample(row, (now_s() - t) * 1e3, 0);
		t = now_s();
		other = instance_open("bench", 0);
		row_sample(again, (now_s() - t) * 1e3, 0);
		clite_close(other);
		NEED(clite_destroy(ctx) == 0, "%s", clite_error(ctx));
		clite_close(ctx);
	}
}

/* ---- endpoints ------------------------------------------------------------- */

/* Two links of a program that does nothing, as an endpoint has two. */
static double bare_links(const struct bench_bpf *bpf, uint32_t ifindex)
{
	int prog = bpf_program__fd(bpf->progs.nothing), in, eg;
	double t = now_s();

	in = bpf_link_create(prog, (int)ifindex, TCX_INGRESS, NULL);
	eg = bpf_link_create(prog, (int)ifindex, TCX_EGRESS, NULL);
	t = now_s() - t;
	NEED(in >= 0 && eg >= 0, "bpf_link_create: %m");
	close(in);
	close(eg);
	return t;
}

static double add_remove(struct clite_ctx *ctx, size_t r)
{
	const char *labels[] = { "k8s:app=a", "k8s:tier=web", NULL };
	char v4[32], v6[32];
	uint32_t id;
	double t;

	snprintf(v4, sizeof(v4), "10.0.0.%zu", r + 1);
	snprintf(v6, sizeof(v6), "fd00::%zx", r + 1);
	t = now_s();
	id = endpoint(ctx, "first", v4, v6, labels);
	t = now_s() - t;
	NEED(clite_endpoint_remove(ctx, id) == 0, "%s", clite_error(ctx));
	return t;
}

static void bench_add(void)
{
	struct row *tcx = row_add("control/endpoint-add-tcx", "ms", AT_MOST, 3);
	struct row *bare = row_add("control/bare-links-tcx", "ms", NO_TARGET, 0);
	struct row *clsact = row_add("control/endpoint-add-clsact", "ms", AT_MOST, 3);
	struct clite_ctx *t, *c;
	struct bench_bpf *bpf;

	if (!tcx && !bare && !clsact)
		return;
	bpf = bench_bpf__open_and_load();
	NEED(bpf, "cannot load the programs of the benchmark: %m");
	t = instance_open("bench-tcx", 0);
	c = instance_open("bench-clsact", CLITE_OPEN_CLSACT);
	for (size_t r = 0; r < options.rounds; r++) {
		row_sample(tcx, add_remove(t, r) * 1e3, 0);
		row_sample(bare, bare_links(bpf, if_nametoindex("first")) * 1e3, 0);
	}
	/* What the kernel does behind the end of a link holds up the next change. */
	sleep_s(0.5);
	for (size_t r = 0; r < options.rounds; r++)
		row_sample(clsact, add_remove(c, r) * 1e3, 0);
	clite_destroy(t);
	clite_close(t);
	clite_destroy(c);
	clite_close(c);
	bench_bpf__destroy(bpf);
}

/* ---- a large instance ------------------------------------------------------ */

static double rss_mb(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long kb = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %lu", &kb) == 1)
			break;
	NEED(f && kb, "no /proc/self/status");
	fclose(f);
	return (double)kb * 1024 / 1e6;
}

static void devices_make(void)
{
	FILE *ip = popen("ip -batch -", "w");

	NEED(ip, "ip: %m");
	/* Both ends of a pair serve: nothing is sent. */
	for (int i = 0; i < MANY; i += 2)
		fprintf(ip, "link add m%d type veth peer name m%d\n", i, i + 1);
	NEED(pclose(ip) == 0, "ip: cannot make %d devices", MANY);
}

/* Each with labels of its own: as many identities as endpoints. */
static void endpoints_add(struct clite_ctx *ctx)
{
	for (int i = 0; i < MANY; i++) {
		char device[16], v4[32], v6[32], app[32], pod[32];
		const char *labels[] = { app, pod, "k8s:io.kubernetes.pod.namespace=default", NULL };

		snprintf(device, sizeof(device), "m%d", i);
		snprintf(v4, sizeof(v4), "10.1.%d.%d", i / 250, i % 250 + 1);
		snprintf(v6, sizeof(v6), "fd01::%x", i + 1);
		snprintf(app, sizeof(app), "k8s:app=app-%d", i % 50);
		snprintf(pod, sizeof(pod), "k8s:pod=pod-%d", i);
		endpoint(ctx, device, v4, v6, labels);
	}
}

/* Rules for everybody: endpoints of one application and of many prefixes, by port. */
static void commit(struct clite_ctx *ctx, size_t shift)
{
	static struct clite_requirement req[RULES];
	static struct clite_selector sel[RULES];
	static struct clite_rule rules[RULES];
	static struct clite_peer peers[RULES];
	static struct clite_port ports[RULES];
	static const char *values[RULES];
	static char names[RULES][32];
	const struct clite_rule *list[RULES];
	struct clite_policy_part part = { .sz = sizeof(part), .rules = list, .nrules = RULES };
	const struct clite_policy_part *parts[] = { &part };

	for (size_t i = 0; i < RULES; i++) {
		if (i % 4 == 3) {
			snprintf(names[i], sizeof(names[i]), "172.16.%zu.0/24", i + shift % 2);
			peers[i] = (struct clite_peer){ .kind = CLITE_PEER_CIDR, .cidr = names[i] };
		} else {
			snprintf(names[i], sizeof(names[i]), "app-%zu", i % 50);
			values[i] = names[i];
			req[i] = (struct clite_requirement){ "k8s:app", &values[i], 1, CLITE_OP_IN };
			sel[i] = (struct clite_selector){ &req[i], 1 };
			peers[i] = (struct clite_peer){ .kind = CLITE_PEER_ENDPOINTS,
							.selector = &sel[i] };
		}
		ports[i] = (struct clite_port){ .protocol = IPPROTO_TCP,
						.port = (uint16_t)(1000 + i + shift) };
		rules[i] = (struct clite_rule){
			.sz = sizeof(rules[i]), .direction = i % 2 ? CLITE_EGRESS : CLITE_INGRESS,
			.peers = &peers[i], .npeers = 1, .ports = &ports[i], .nports = 1,
		};
		list[i] = &rules[i];
	}
	NEED(clite_policy_put(ctx, "everybody", parts, 1) == 0, "commit: %s", clite_error(ctx));
}

/* What another process takes that opens the instance and looks at all of it. */
static double rss_of_opener(void)
{
	char command[64];
	double ret = 0;
	FILE *f;

	snprintf(command, sizeof(command), "/proc/%d/exe --rss-of bench-many", getpid());
	f = popen(command, "r");
	NEED(f && fscanf(f, "%lf", &ret) == 1 && pclose(f) == 0, "'%s' failed", command);
	return ret;
}

static int touch(const struct clite_endpoint_info *info, void *userdata)
{
	(void)info;
	++*(size_t *)userdata;
	return 0;
}

void print_rss(const char *instance)
{
	struct clite_ctx *ctx = instance_open(instance, 0);
	const struct clite_status *st;
	size_t n = 0;

	NEED(clite_endpoint_list(ctx, touch, &n) >= 0 && clite_status(ctx, &st) == 0, "%s",
	     clite_error(ctx));
	NEED(n == MANY, "%zu endpoints", n);
	printf("%f\n", rss_mb());
	clite_close(ctx);
}

static void bench_large(void)
{
	struct row *adds = row_add("many/add-1000-clsact", "ms each", NO_TARGET, 0);
	struct row *row = row_add("many/commit-1000x100", "ms", AT_MOST, 100);
	struct row *rss = row_add("many/rss-1000-maker", "MB", AT_MOST, 12);
	struct row *opener = row_add("many/rss-1000-opener", "MB", AT_MOST, 12);
	struct clite_ctx *ctx;
	double t;

	if (!adds && !row && !rss && !opener)
		return;
	devices_make();
	ctx = instance_open("bench-many", CLITE_OPEN_CLSACT);
	t = now_s();
	endpoints_add(ctx);
	row_sample(adds, (now_s() - t) * 1e3 / MANY, 0);
	for (size_t r = 0; r < options.rounds; r++) {
		t = now_s();
		commit(ctx, r);
		row_sample(row, (now_s() - t) * 1e3, 0);
		row_sample(rss, rss_mb(), 0);
	}
	for (size_t r = 0; opener && r < 3; r++)
		row_sample(opener, rss_of_opener(), 0);
	NEED(clite_destroy(ctx) == 0, "%s", clite_error(ctx));
	clite_close(ctx);
}

static void bench_maps(void)
{
	struct row *row = row_add("many/maps-default", "MB", AT_MOST, 64);
	const struct clite_status *st;
	struct clite_ctx *ctx;

	if (!row)
		return;
	ctx = instance_open("bench-maps", 0);
	NEED(clite_status(ctx, &st) == 0, "%s", clite_error(ctx));
	row_sample(row, (double)st->map_bytes / 1e6, 0);
	clite_destroy(ctx);
	clite_close(ctx);
}

void bench_control(void)
{
	pin_cpu(1);
	inside = netns_hold();
	veth("first");
	bench_open();
	bench_add();
}

void bench_many(void)
{
	pin_cpu(1);
	bench_maps();
	bench_large();
}
