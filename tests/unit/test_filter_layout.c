/* SPDX-License-Identifier: BSD-2-Clause */
/* What the datapath decides of a filter, beside what the library decides: it never keeps
 * back what passes, and where numbers say all, nothing else passes either. The datapath's
 * code is compiled here for this machine. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <time.h>

#include "clite_filter.h"
#include "model/filter_layout.h"
#include "model/flow.h"

#define CASES 4000
#define EVENTS 64

static uint64_t seed;

static uint32_t draw(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed >> 16) % n);
}

#define PICK(array) (array[draw(ARRAY_SIZE(array))])

/* ---- events ------------------------------------------------------------------------ */

static const uint8_t protocols[] = { IPPROTO_TCP,  IPPROTO_TCP,	   IPPROTO_UDP, IPPROTO_SCTP,
				     IPPROTO_ICMP, IPPROTO_ICMPV6, 112,		IPPROTO_IGMP };
static const uint8_t reasons[] = { 132, 133, 181, 196 };
static const uint32_t identities[] = { 0, 1, 2, 256, 257, 16777217 };
static const uint16_t ports[] = { 0, 53, 80, 443, 40000 };
static const char *const addresses4[] = { "10.0.0.1", "10.0.0.2", "10.1.0.1", "192.0.2.9" };
static const char *const addresses6[] = { "fd00::1", "fd00::2", "fd00:0:1::1", "2001:db8::9" };

static union dp_ip draw_ip(bool v6)
{
	union dp_ip ip = {};

	if (v6)
		inet_pton(AF_INET6, PICK(addresses6), ip.b);
	else
		inet_pton(AF_INET, PICK(addresses4), ip.b);
	return ip;
}

static void draw_type(struct dp_event_rec *r)
{
	static const uint8_t types[] = { DP_EV_DROP, DP_EV_TRACE, DP_EV_VERDICT };
	static const uint8_t verdicts[] = { DP_VERDICT_ALLOW, DP_VERDICT_DENY, DP_VERDICT_DENIED,
					    DP_VERDICT_DENY | DP_VERDICT_AUDITED,
					    DP_VERDICT_DENIED | DP_VERDICT_AUDITED };

	r->type = PICK(types);
	r->dir = (uint8_t)draw(3);
	if (r->type == DP_EV_DROP) {
		r->subtype = PICK(reasons);
	} else if (r->type == DP_EV_TRACE) {
		r->subtype = (uint8_t)draw(4);
		r->reason = (uint8_t)draw(4);
	} else {
		r->reason = (uint8_t)draw(5);
		r->verdict = PICK(verdicts);
		r->dir = (uint8_t)(1 + draw(2));
	}
}

static struct dp_event_rec draw_record(void)
{
	struct dp_event_rec r = { .proto = PICK(protocols), .len = 100 };
	bool v6 = draw(2);

	draw_type(&r);
	r.flags = v6 ? DP_EVF_IPV6 : 0;
	if (draw(3))
		r.flags |= DP_EVF_REPLY_KNOWN | (draw(2) ? DP_EVF_REPLY : 0);
	r.saddr = draw_ip(v6);
	r.daddr = draw_ip(v6);
	r.src_identity = PICK(identities);
	r.dst_identity = PICK(identities);
	if (draw(8)) {
		r.flags |= DP_EVF_L4;
		r.sport = htons(PICK(ports));
		r.dport = htons(PICK(ports));
		if (r.proto == IPPROTO_TCP)
			r.tcp_flags = (uint8_t)draw(64);
		if (!draw(4)) {
			r.flags |= DP_EVF_XLATED;
			r.orig_addr = draw_ip(v6);
			r.orig_port = htons(8080);
		}
	}
	return r;
}

/* ---- filters ------------------------------------------------------------------------ */

/* A filter with the memory of its values. */
struct drawn {
	struct clite_flow_filter f;
	const char *texts[8][4];
	uint32_t numbers[8][3];
	struct clite_filter_event_type types[2];
	size_t alternatives; /* that the values make together */
	bool exact;	     /* numbers say all */
};

static size_t draw_count(struct drawn *d)
{
	size_t n = 1 + draw(3);

	d->alternatives *= n;
	return n;
}

static const char *const *draw_texts(struct drawn *d, size_t i, const char *const *from, size_t n)
{
	size_t count = draw_count(d);

	for (size_t k = 0; k < count; k++)
		d->texts[i][k] = from[draw((uint32_t)n)];
	return d->texts[i];
}

static void draw_ends(struct drawn *d)
{
	static const char *const nets[] = { "10.0.0.1",	 "10.0.0.0/8", "10.0.0.0/31",
					    "fd00::/16", "fd00::2",    "0.0.0.0/0" };
	static const char *const port_texts[] = { "0", "53", "80", "443" };

	if (!draw(3))
		d->f.source_ip = draw_texts(d, 0, nets, ARRAY_SIZE(nets));
	if (!draw(3))
		d->f.destination_ip = draw_texts(d, 1, nets, ARRAY_SIZE(nets));
	if (!draw(4))
		d->f.source_port = draw_texts(d, 2, port_texts, ARRAY_SIZE(port_texts));
	if (!draw(4))
		d->f.destination_port = draw_texts(d, 3, port_texts, ARRAY_SIZE(port_texts));
	if (!draw(4)) {
		d->f.nsource_identity = draw_count(d);
		for (size_t i = 0; i < 3; i++)
			d->numbers[0][i] = PICK(identities);
		d->f.source_identity = d->numbers[0];
	}
	if (!draw(4)) {
		d->f.ndestination_identity = draw_count(d);
		for (size_t i = 0; i < 3; i++)
			d->numbers[1][i] = PICK(identities);
		d->f.destination_identity = d->numbers[1];
	}
}

/* Of these each is one set of bits, however many values there are. */
static void draw_kinds(struct drawn *d)
{
	static const uint32_t verdicts[] = { CLITE_VERDICT_FORWARDED, CLITE_VERDICT_DROPPED,
					     CLITE_VERDICT_AUDIT };

	if (!draw(3)) {
		d->numbers[2][0] = PICK(verdicts);
		d->numbers[2][1] = PICK(verdicts);
		d->f.verdict = d->numbers[2];
		d->f.nverdict = 1 + draw(2);
	}
	if (!draw(4)) {
		d->numbers[3][0] = draw(3);
		d->f.direction = d->numbers[3];
		d->f.ndirection = 1;
	}
	if (!draw(4)) {
		d->numbers[4][0] = draw(2) ? 4 : 6;
		d->f.ip_version = d->numbers[4];
		d->f.nip_version = 1;
	}
	if (!draw(4)) {
		d->types[0].type = PICK(((int32_t[]){ 1, 4, 5 }));
		d->f.event_type = d->types;
		d->f.nevent_type = 1;
	}
	if (!draw(5)) {
		d->f.ndrop_reason = draw_count(d);
		for (size_t i = 0; i < 3; i++)
			d->numbers[5][i] = PICK(reasons);
		d->f.drop_reason = d->numbers[5];
	}
	if (!draw(5)) {
		d->f.ntcp_flags = draw_count(d);
		for (size_t i = 0; i < 3; i++)
			d->numbers[6][i] = 1u << draw(6);
		d->f.tcp_flags = d->numbers[6];
	}
}

/* Fields that only the library can decide, or not to the end. */
static void draw_more(struct drawn *d)
{
	static const char *const names[] = {
		"tcp", "udp", "icmp", "icmpv6", "sctp", "vrrp", "http"
	};
	static const char *const pods[] = { "web", "default/", "shop/web" };

	if (draw(2))
		return;
	d->exact = false;
	if (draw(2))
		d->f.protocol = draw_texts(d, 4, names, ARRAY_SIZE(names));
	if (!draw(3)) {
		d->numbers[7][0] = draw(2);
		d->f.reply = d->numbers[7];
		d->f.nreply = 1;
	}
	if (!draw(4))
		d->f.source_pod = draw_texts(d, 5, pods, ARRAY_SIZE(pods));
	if (d->f.nevent_type && !draw(2)) {
		d->types[0].match_subtype = 1;
		d->types[0].subtype = (int32_t)draw(4);
	}
}

/* One to three allowed, perhaps one denied; says whether numbers say all of it. */
static bool draw_filters(struct filters *fs)
{
	size_t allow = 1 + draw(3);
	bool exact = true;

	for (size_t i = 0; i < allow + !draw(4); i++) {
		struct drawn d = { .f.sz = sizeof(d.f), .alternatives = 1, .exact = true };
		struct errtext err = {};

		draw_ends(&d);
		draw_kinds(&d);
		draw_more(&d);
		ck_assert_msg(!filters_add(fs, i < allow ? CLITE_FILTER_ALLOW : CLITE_FILTER_DENY,
					   &d.f, &err),
			      "%s", err.text);
		exact = exact && d.exact && i < allow && d.alternatives <= DP_FILTERS / allow;
	}
	return exact;
}

/* ---- the datapath's side ----------------------------------------------------------------- */

static bool kernel_pass(const struct dp_filters *w, size_t n, uint32_t types,
			const struct dp_event_rec *r)
{
	struct dp_facts facts;

	if (!(types & 1u << r->type))
		return false;
	facts_fill(r, &facts);
	for (size_t i = 0; i < n; i++)
		if (filter_holds(&w->v[i], r, &facts))
			return true;
	return !n;
}

static const char *no_name(void *data, uint32_t id)
{
	(void)data;
	return id ? "default/web" : NULL;
}

static const char *const *no_labels(void *data, uint32_t id)
{
	(void)data;
	(void)id;
	return NULL;
}

static const char *no_service(void *data, uint32_t family, const uint8_t addr[16], uint16_t port,
			      uint32_t protocol)
{
	(void)data, (void)family, (void)addr, (void)port, (void)protocol;
	return NULL;
}

static const struct clite_rule_info *no_rule(void *data, uint32_t cookie)
{
	(void)data, (void)cookie;
	return NULL;
}

static bool user_pass(const struct filters *fs, const struct dp_event_rec *r)
{
	static const struct event_names names = { .endpoint = no_name,
						  .labels = no_labels,
						  .service = no_service,
						  .rule = no_rule,
						  .node_name = "node" };
	struct flow_record flow = {};
	struct clite_event e;
	bool pass;

	ck_assert_int_eq(event_decode(r, sizeof(*r), 0, &e), 0);
	ck_assert_int_eq(flow_resolve(&flow, &e, &names), 0);
	pass = filters_pass(fs, &flow.flow);
	flow_record_clear(&flow);
	return pass;
}

static struct {
	unsigned int passed, kept_back, let_through, exact;
} counts;

static void compare(const struct filters *fs, const struct dp_filters *w, size_t n, uint32_t types,
		    bool exact)
{
	struct dp_event_rec r = draw_record();
	bool user = user_pass(fs, &r), kernel = kernel_pass(w, n, types, &r);

	counts.passed += user;
	counts.kept_back += !kernel;
	counts.let_through += kernel && !user;
	counts.exact += exact;
	ck_assert_msg(kernel || !user, "the datapath keeps back what passes");
	ck_assert_msg(!exact || kernel == user, "the datapath lets through what does not pass");
}

START_TEST(as_the_library)
{
	uint64_t first = (uint64_t)time(NULL) * 2654435761u | 1;
	const char *given = getenv("SEED");

	seed = first = given ? strtoull(given, NULL, 0) : first;
	printf("SEED=%llu\n", (unsigned long long)first);
	fflush(stdout);
	for (int i = 0; i < CASES; i++) {
		struct filters fs = {};
		struct dp_filters w;
		bool exact = draw_filters(&fs);
		uint32_t types;
		size_t n = filters_layout(&fs, &w, &types);

		ck_assert_uint_le(n, DP_FILTERS);
		for (int k = 0; k < EVENTS; k++)
			compare(&fs, &w, n, types, exact);
		filters_clear(&fs);
	}
	printf("%u passed, %u kept back, %u let through for the library, %u exact\n", counts.passed,
	       counts.kept_back, counts.let_through, counts.exact);
	ck_assert_uint_gt(counts.passed, CASES);
	ck_assert_uint_gt(counts.kept_back, CASES);
	ck_assert_uint_gt(counts.let_through, 100);
	ck_assert_uint_gt(counts.exact, CASES);
}
END_TEST

/* ---- what costs nothing ------------------------------------------------------------------- */

static size_t layout_of(const char *json, struct dp_filters *w, uint32_t *types)
{
	struct filters fs = {};
	struct errtext err = {};
	size_t n;
	int r = json ? filters_add_json(&fs, CLITE_FILTER_ALLOW, json, &err) : 0;

	ck_assert_msg(!r, "%s", err.text);
	n = filters_layout(&fs, w, types);
	filters_clear(&fs);
	return n;
}

START_TEST(types_alone)
{
	const uint32_t drop = 1u << DP_EV_DROP, trace = 1u << DP_EV_TRACE;
	const uint32_t verdict = 1u << DP_EV_VERDICT, all = drop | trace | verdict;
	struct dp_filters w;
	uint32_t types;

	/* no filter: there is nothing to ask */
	ck_assert_uint_eq(layout_of(NULL, &w, &types), 0);
	ck_assert_uint_eq(types & all, all);
#ifdef HAVE_YAML
	ck_assert_uint_eq(layout_of("{\"event_type\":[{\"type\":1}]}", &w, &types), 0);
	ck_assert_uint_eq(types & all, drop);
	/* whoever wants drops is not told of traces */
	ck_assert_uint_eq(layout_of("{\"verdict\":[\"DROPPED\"]}", &w, &types), 1);
	ck_assert_uint_eq(types & all, drop | verdict);
	ck_assert_uint_eq(layout_of("{\"drop_reason_desc\":[\"POLICY_DENIED\"]}", &w, &types), 1);
	ck_assert_uint_eq(types & all, drop | verdict);
	ck_assert_uint_eq(layout_of("{\"verdict\":[\"FORWARDED\"]}", &w, &types), 1);
	ck_assert_uint_eq(types & all, trace | verdict);
	/* nothing of layer 7 is seen here */
	ck_assert_uint_eq(layout_of("{\"protocol\":[\"http\"]}", &w, &types), 0);
	ck_assert_uint_eq(types, 0);
#endif
}
END_TEST

int main(void)
{
	Suite *s = suite_create("filter_layout");
	TCase *t = tcase_create("filter_layout");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 100);
	tcase_add_test(t, as_the_library);
	tcase_add_test(t, types_alone);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
