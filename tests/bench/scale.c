/* SPDX-License-Identifier: BSD-2-Clause */
/* Many rules, identities, prefixes, endpoints: what a first packet, a new identity, a
 * change cost then, and how much memory policies take. */
#include "bench.h"

#include <cilium-lite/cilium-lite.h>
#include <netinet/in.h>
#include <string.h>

#define ENDPOINTS 1000

/* Cilium 1.18 has a policy map for each endpoint: 16,384 entries at most, of a key of 12
 * bytes and a value of 8 (bpf/lib/policy.h), without the nodes of the trie. */
#define CILIUM_ENTRIES 16384
#define CILIUM_ENTRY (12 + 8)

static struct clite_ctx *ctx;

/* ---- what there is ----------------------------------------------------------------- */

/* As many prefixes, each with an identity, that nobody's packets come from. */
static void prefixes_put(size_t n)
{
	const struct clite_requirement is_nobody = { "k8s:app", (const char *[]){ "nobody" }, 1,
						     CLITE_OP_IN };
	const struct clite_selector nobody = { &is_nobody, 1 };
	struct clite_peer *peers = calloc(n, sizeof(*peers));
	char (*cidrs)[32] = calloc(n, sizeof(*cidrs));
	struct clite_rule rule = {
		.sz = sizeof(rule), .direction = CLITE_INGRESS, .peers = peers, .npeers = n,
	};
	const struct clite_rule *rules[] = { &rule };
	struct clite_policy_part part = {
		.sz = sizeof(part), .subject = &nobody, .rules = rules, .nrules = 1,
	};
	const struct clite_policy_part *parts[] = { &part };

	NEED(peers && cidrs, "no memory");
	for (size_t i = 0; i < n; i++) {
		snprintf(cidrs[i], sizeof(cidrs[i]), "%zu.%zu.%zu.0/24", 20 + i / 65536,
			 i / 256 % 256, i % 256);
		peers[i] = (struct clite_peer){ .kind = CLITE_PEER_CIDR, .cidr = cidrs[i] };
	}
	NEED(clite_policy_put(ctx, "prefixes", parts, 1) == 0, "%zu prefixes: %s", n,
	     clite_error(ctx));
	free(peers);
	free(cidrs);
}

static double map_kb(void)
{
	const struct clite_status *st;

	NEED(clite_status(ctx, &st) == 0, "%s", clite_error(ctx));
	return (double)st->map_bytes / 1e3;
}

/* ---- first packets ------------------------------------------------------------------ */

static const struct world {
	const char *name;
	size_t rules, prefixes;
} worlds[] = {
	{ "10-rules-100-identities", 10, 100 },
	{ "1000-rules-100-identities", 1000, 100 },
	{ "20000-rules-100-identities", 20000, 100 },
	{ "1000-rules-10000-prefixes", 1000, 10000 },
	{ "20000-rules-60000-prefixes", 20000, 50000 }, /* half of the rules bring one more */
};
#define WORLDS (sizeof(worlds) / sizeof(worlds[0]))

struct first_rows {
	struct row *first[WORLDS], *ratio[WORLDS], *bytes[WORLDS];
};

static void first_rows_add(struct first_rows *rows)
{
	char name[64];

	for (size_t i = 0; i < WORLDS; i++) {
		snprintf(name, sizeof(name), "scale/first-%s", worlds[i].name);
		rows->first[i] = row_add(name, "", NO_TARGET, 0);
		snprintf(name, sizeof(name), "scale/ratio-%s", worlds[i].name);
		rows->ratio[i] = i ? row_add(name, "x", AT_MOST, 1.2) : NULL;
		snprintf(name, sizeof(name), "scale/kB-%s", worlds[i].name);
		rows->bytes[i] = row_add(name, "kB", NO_TARGET, 0);
	}
}

static double first(struct row *row)
{
	double e, v = first_packet(20000, &e);

	row_sample(row, v, e);
	return v - e;
}

static void bench_worlds(void)
{
	struct first_rows rows;
	double empty_kb = map_kb();

	first_rows_add(&rows);
	for (size_t r = 0; r < options.rounds; r++) {
		double base = 0;

		for (size_t i = 0; i < WORLDS; i++) {
			double above;

			first_rules(worlds[i].rules);
			prefixes_put(worlds[i].prefixes);
			above = first(rows.first[i]);
			if (!i)
				base = above;
			row_sample(rows.ratio[i], above / base, 0);
			row_sample(rows.bytes[i], map_kb() - empty_kb, 0);
		}
	}
}

/* ---- changes -------------------------------------------------------------------------- */

/* A policy of n rules for the other endpoint; shift: others than before. */
static void change(size_t n, size_t shift)
{
	const struct clite_requirement is_b = { "k8s:app", (const char *[]){ "b" }, 1, CLITE_OP_IN };
	const struct clite_selector b = { &is_b, 1 };
	struct clite_rule *rules = calloc(n, sizeof(*rules));
	const struct clite_rule **list = calloc(n, sizeof(*list));
	struct clite_port *ports = calloc(n, sizeof(*ports));
	struct clite_policy_part part = {
		.sz = sizeof(part), .subject = &b, .rules = list, .nrules = n,
	};
	const struct clite_policy_part *parts[] = { &part };

	NEED(rules && list && ports, "no memory");
	for (size_t i = 0; i < n; i++) {
		ports[i] = (struct clite_port){ .protocol = IPPROTO_UDP,
						.port = (uint16_t)(1 + i + shift) };
		rules[i] = (struct clite_rule){
			.sz = sizeof(rules[i]), .direction = CLITE_INGRESS, .ports = &ports[i], .nports = 1,
		};
		list[i] = &rules[i];
	}
	NEED(clite_policy_put(ctx, "changes", parts, 1) == 0, "%s", clite_error(ctx));
	free(rules);
	free(list);
	free(ports);
}

static void bench_changes(void)
{
	static const size_t sizes[] = { 1, 1000, 10000 };
	struct row *rows[3];
	char name[64];

	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "scale/commit-%zu-beside-20000", sizes[i]);
		rows[i] = row_add(name, "ms", NO_TARGET, 0);
	}
	first_rules(20000);
	for (size_t r = 0; r < options.rounds; r++)
		for (size_t i = 0; i < 3; i++) {
			double t;

			change(1, 2); /* what was there before goes: not of this row */
			t = now_s();
			change(sizes[i], r % 2);
			row_sample(rows[i], (now_s() - t) * 1e3, 0);
		}
	NEED(clite_policy_delete(ctx, "changes") == 0, "%s", clite_error(ctx));
}

/* ---- identities, endpoints ------------------------------------------------------------- */

static void devices_make(void)
{
	FILE *ip = popen("ip -batch -", "w");

	NEED(ip, "ip: %m");
	for (int i = 0; i < ENDPOINTS; i += 2)
		fprintf(ip, "link add s%d type veth peer name s%d\n", i, i + 1);
	NEED(pclose(ip) == 0, "ip: cannot make %d devices", ENDPOINTS);
}

static double add(int i, const char *label)
{
	const char *labels[] = { label, NULL };
	char device[16], v4[32];
	double t;

	snprintf(device, sizeof(device), "s%d", i);
	snprintf(v4, sizeof(v4), "10.9.%d.%d", i / 250, i % 250 + 1);
	t = now_s();
	endpoint(ctx, device, v4, NULL, labels);
	return (now_s() - t) * 1e3;
}

/* What an endpoint with labels that nobody has had costs more than one with labels that
 * are known, at 10,000 rules; and a first packet with all of them there. */
static void bench_endpoints(void)
{
	struct row *identity = row_add("scale/new-identity-10000-rules", "ms", AT_MOST, 1);
	struct row *many = row_add("scale/first-1000-endpoints", "", NO_TARGET, 0);
	struct row *ratio = row_add("scale/ratio-1000-endpoints", "x", AT_MOST, 1.2);
	struct row *cilium = row_add("scale/kB-cilium-1000-endpoints-full", "kB", NO_TARGET, 0);
	struct row *ours = row_add("scale/kB-1000-endpoints-20000-rules", "kB", NO_TARGET, 0);
	double base = 0, before, kb;

	devices_make();
	first_rules(10000);
	for (size_t r = 0; r < options.rounds; r++)
		base += first(NULL) / (double)options.rounds;
	for (int i = 0; i < ENDPOINTS; i += 2) {
		char label[32];
		double fresh;

		snprintf(label, sizeof(label), "k8s:app=app-%d", i);
		fresh = add(i, label);
		if (i < 2 * SAMPLES)
			row_sample(identity, fresh - add(i + 1, label), 0);
		else
			add(i + 1, label);
	}
	for (size_t r = 0; r < options.rounds; r++)
		row_sample(ratio, first(many) / base, 0);
	first_rules(1);
	before = map_kb();
	first_rules(20000);
	kb = map_kb() - before;
	row_sample(ours, kb, 0);
	row_sample(cilium, (double)ENDPOINTS * CILIUM_ENTRIES * CILIUM_ENTRY / 1e3, 0);
}

void bench_scale(void)
{
	ctx = first_begin();
	bench_worlds();
	bench_changes();
	bench_endpoints();
	first_end();
}
