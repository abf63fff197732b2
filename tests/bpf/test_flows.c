/* SPDX-License-Identifier: BSD-2-Clause */
/* What flows say: the same on every path of the datapath, and to whoever filters them. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

#define FIN 1
#define SYN 2
#define PSH 8
#define ACK 16
#define V4 "10.96.0.1"
#define V6 "fd96::1"
#define UP4 "192.0.2.1"
#define UP6 "2001:db8::1"
#define DENY                                                                                 \
	"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: p}, "        \
	"spec: {endpointSelector: {matchLabels: {app: b}}, ingress: [{fromEndpoints: [{}], " \
	"toPorts: [{ports: [{port: '80'}, {port: '8080'}]}]}, "                              \
	"{icmps: [{fields: [{type: 8, family: IPv4}, {type: 128, family: IPv6}]}]}]}}"
#define EGRESS                                                                        \
	"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: q}, " \
	"spec: {endpointSelector: {matchLabels: {app: a}}, egress: [{toEntities: [world]}]}}"

/* What both families have in common. */
static const struct names {
	const char *a, *b, *vip, *world, *uplink, *spoofed;
	uint8_t ping, pong, error;
} names[] = {
	{ A4, B4, V4, W4, UP4, "10.0.0.77", 8, 0, 3 },
	{ A6, B6, V6, W6, UP6, "fd00::77", 128, 129, 1 },
};

/* ---- subscribers ----------------------------------------------------------------------- */

#define EVENTS_MAX 512

struct heard {
	struct clite_subscription *sub;
	struct clite_filters *filters;
	struct clite_event events[EVENTS_MAX];
	size_t n;
};

/* As it can be compared. */
static struct clite_event plain(const struct clite_event *e)
{
	struct clite_event copy = *e;

	copy.time = 0;
	copy.packet = NULL;
	copy.packet_bytes = 0;
	return copy;
}

static void keep(struct heard *h, const struct clite_event *e)
{
	ck_assert_uint_lt(h->n, EVENTS_MAX);
	h->events[h->n++] = plain(e);
}

static int on_event(const struct clite_event *e, void *userdata)
{
	keep(userdata, e);
	return 0;
}

static void subscribe(struct heard *h, struct clite_filters *filters,
		      int (*cb)(const struct clite_event *e, void *userdata))
{
	struct clite_subscribe_opts o = {
		.sz = sizeof(o),
		.aggregation = CLITE_AGGREGATE_NONE + 1,
		.filters = filters,
	};

	h->n = 0;
	h->filters = filters;
	ck_assert_msg(!clite_subscribe(ctx, &o, cb, h, &h->sub), "%s", clite_error(ctx));
}

static void listen_to(struct heard *h)
{
	ck_assert_int_ge(clite_dispatch(ctx, 0), 0);
	h->sub = clite_unsubscribe(h->sub);
}

/* ---- packets ---------------------------------------------------------------------------- */

static struct packet tcp(const char *from, const char *to, uint16_t sport, uint16_t dport,
			 uint8_t flags)
{
	return packet_make(host_a, from, to, IPPROTO_TCP, sport, dport, flags);
}

static struct packet udp(const char *from, const char *to, uint16_t sport, uint16_t dport)
{
	return packet_make(host_a, from, to, IPPROTO_UDP, sport, dport, 0);
}

/* The same packet with what only the slow path reads: options, an extension header. */
static struct packet odd(const char *from, const char *to, uint8_t proto, uint16_t sport,
			 uint16_t dport, uint8_t flags)
{
	static const uint8_t options[] = { 1, 1, 1, 0 }, pad[6] = { 1, 4 };
	bool v6 = strchr(from, ':');
	struct packet p;

	packet_eth(&p, host_a, v6 ? 0x86dd : 0x0800);
	if (v6) {
		packet_ip(&p, from, to, IPPROTO_HOPOPTS);
		packet_ext(&p, IPPROTO_HOPOPTS, pad, proto);
	} else {
		packet_ip_options(&p, from, to, proto, options, sizeof(options));
	}
	if (proto == IPPROTO_TCP)
		packet_tcp(&p, sport, dport, flags);
	else
		packet_udp(&p, sport, dport);
	packet_data(&p, "hello", 5);
	packet_finish(&p);
	return p;
}

static void service_of(const struct names *n, uint32_t proto, const char *backend, uint16_t port)
{
	struct clite_backend b = { .address = backend, .port = port };
	struct clite_service_opts o = {
		.sz = sizeof(o),
		.address = n->vip,
		.port = 80,
		.protocol = proto,
		.backends = &b,
		.nbackends = 1,
	};
	uint32_t id;

	ck_assert_msg(!clite_service_update(ctx, &o, &id), "%s", clite_error(ctx));
}

static void service(const struct names *n, uint32_t proto)
{
	service_of(n, proto, n->b, 8080);
}

static void masquerade(uint32_t flags)
{
	struct clite_masquerade o = { .sz = sizeof(o), .flags = flags };

	ck_assert_msg(!clite_masquerade_set(ctx, &o), "%s", clite_error(ctx));
}

/* ---- paths ------------------------------------------------------------------------------ */

/* By the path, a packet's length and the counters differ. */
static void expect_same(struct clite_event fast, struct clite_event slow, const char *what)
{
	ck_assert_uint_eq(fast.packets + 1, slow.packets);
	ck_assert_uint_eq(slow.bytes - fast.bytes, slow.length);
	slow.packets = fast.packets;
	slow.bytes = fast.bytes;
	slow.length = fast.length;
	ck_assert_msg(!memcmp(&fast, &slow, sizeof(fast)), "%s", what);
}

struct way {
	const char *name, *from, *to;
	uint16_t sport, dport;
	int (*send)(const struct packet *p);
};

static int from_world(const struct packet *p)
{
	return run("from_netdev", if_up, 0, p);
}

static void compare(const struct way *w, uint8_t proto, uint8_t flags)
{
	struct packet fast = packet_make(host_a, w->from, w->to, proto, w->sport, w->dport, flags);
	struct packet slow = odd(w->from, w->to, proto, w->sport, w->dport, flags);
	static struct heard h;

	/* what is due every few seconds goes before */
	for (int i = 0; i < 2; i++) {
		subscribe(&h, NULL, on_event);
		ck_assert_int_eq(w->send(&fast), ACT_REDIRECT);
		listen_to(&h);
	}
	ck_assert_msg(h.n == 1, "%s: %zu events", w->name, h.n);
	subscribe(&h, NULL, on_event);
	ck_assert_int_eq(w->send(&fast), ACT_REDIRECT);
	ck_assert_int_eq(w->send(&slow), ACT_REDIRECT);
	listen_to(&h);
	ck_assert_msg(h.n == 2, "%s: %zu events", w->name, h.n);
	expect_same(h.events[0], h.events[1], w->name);
}

/* A packet tells the same of itself whether it takes the fast path or the slow one. */
static void paths(const struct names *n, uint8_t proto)
{
	const struct way ways[] = {
		{ "request", n->a, n->b, 1000, 80, from_a },
		{ "reply", n->b, n->a, 80, 1000, from_b },
		{ "request to a service", n->a, n->vip, 1001, 80, from_a },
		{ "reply of a service", n->b, n->a, 8080, 1001, from_b },
		{ "request to the world", n->a, n->world, 40000, 443, from_a },
		{ "reply of the world", n->world, n->uplink, 443, 40000, from_world },
	};

	service(n, proto);
	masquerade(CLITE_MASQUERADE_IPV4 | CLITE_MASQUERADE_IPV6);
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		const struct way *w = &ways[i];
		struct packet first = packet_make(host_a, w->from, w->to, proto, w->sport, w->dport,
						  i % 2 ? SYN | ACK : SYN);

		ck_assert_msg(w->send(&first) == ACT_REDIRECT, "%s: %u", w->name, dropped());
		compare(w, proto, ACK);
		compare(w, proto, ACK | PSH);
	}
	masquerade(0);
}

START_TEST(paths_agree)
{
	paths(&names[_i], IPPROTO_TCP);
	world_reset();
	paths(&names[_i], IPPROTO_UDP);
}
END_TEST

/* ---- masquerading ------------------------------------------------------------------------- */

static struct clite_event only_trace(struct heard *h)
{
	struct clite_event e = {};
	size_t n = 0;

	listen_to(h);
	for (size_t i = 0; i < h->n; i++)
		if (h->events[i].type == CLITE_EVENT_TRACE) {
			e = h->events[i];
			n++;
		}
	ck_assert_uint_eq(n, 1);
	return e;
}

/* An echo that leaves with another address is still one, in both directions. */
START_TEST(masqueraded_ping)
{
	const struct names *n = &names[_i];
	struct packet ping = packet_ping(host_a, n->a, n->world, false, 4711);
	struct packet pong;
	static struct heard h;
	struct clite_event e;
	uint16_t id;

	masquerade(CLITE_MASQUERADE_IPV4 | CLITE_MASQUERADE_IPV6);
	for (int i = 0; i < 2; i++) {
		subscribe(&h, NULL, on_event);
		ck_assert_int_eq(from_a(&ping), ACT_REDIRECT);
		memcpy(&id, out + ping.l4 + 4, 2);
		e = only_trace(&h);
		ck_assert_uint_eq(e.icmp_type, n->ping);
		ck_assert_uint_eq(e.is_reply, 0);

		pong = packet_ping(NULL, n->world, n->uplink, true, ntohs(id));
		subscribe(&h, NULL, on_event);
		ck_assert_int_eq(from_world(&pong), ACT_REDIRECT);
		e = only_trace(&h);
		ck_assert_uint_eq(e.icmp_type, n->pong);
		ck_assert_uint_eq(e.is_reply, 1);
	}
	masquerade(0);
}
END_TEST

static struct packet icmp(const char *from, const char *to, uint8_t type,
			  const struct packet *about)
{
	bool v6 = strchr(from, ':');
	struct packet p;

	packet_eth(&p, host_a, v6 ? 0x86dd : 0x0800);
	packet_ip(&p, from, to, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	packet_icmp(&p, type, v6 ? 4 : 3, 0);
	packet_data(&p, about->data + about->l3, about->len - about->l3);
	packet_finish(&p);
	return p;
}

static void masked(const struct names *n, struct heard *h, const char *to, uint16_t port)
{
	struct packet p = tcp(n->a, to, 40000, port, SYN);
	uint8_t a[16] = {}, world[16] = {}, vip[16] = {};
	int family = strchr(n->a, ':') ? AF_INET6 : AF_INET;
	const struct clite_event *e;

	inet_pton(family, n->a, a);
	inet_pton(family, n->world, world);
	inet_pton(family, n->vip, vip);
	subscribe(h, NULL, on_event);
	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	p = tcp(n->world, n->uplink, 443, 40000, SYN | ACK);
	ck_assert_int_eq(from_world(&p), ACT_REDIRECT);
	/* and an error about the request, from where it went */
	p = tcp(n->uplink, n->world, 40000, 443, SYN);
	p = icmp(n->world, n->uplink, n->error, &p);
	ck_assert_int_eq(from_world(&p), ACT_REDIRECT);
	listen_to(h);
	ck_assert_uint_ge(h->n, 3);
	e = &h->events[--h->n];
	ck_assert_uint_eq(e->trace_reason, 3);
	ck_assert_uint_eq(e->icmp_type, n->error);
	ck_assert_mem_eq(e->destination, a, 16);
	ck_assert_uint_eq(e->destination_endpoint, ep_a);
	for (size_t i = 0; i < h->n; i++) {
		e = &h->events[i];
		ck_assert_uint_eq(e->verdict, CLITE_VERDICT_FORWARDED);
		ck_assert_mem_eq(e->is_reply ? e->destination : e->source, a, 16);
		ck_assert_uint_eq(e->is_reply ? e->destination_port : e->source_port, 40000);
		ck_assert_mem_eq(e->is_reply ? e->source : e->destination, world, 16);
		ck_assert_uint_eq(e->is_reply ? e->source_port : e->destination_port, 443);
		ck_assert_uint_eq(e->service_port, to == n->vip ? 80 : 0);
		if (to == n->vip)
			ck_assert_mem_eq(e->original, vip, 16);
	}
}

/* Who the endpoint is and whom it talks to, not what its address becomes. */
START_TEST(masqueraded)
{
	const struct names *n = &names[_i];
	static struct heard h;

	import(EGRESS);
	masquerade(CLITE_MASQUERADE_IPV4 | CLITE_MASQUERADE_IPV6);
	masked(n, &h, n->world, 443);
	ck_assert_int_ge(clite_conntrack_flush(ctx, 0), 0);
	service_of(n, IPPROTO_TCP, n->world, 443);
	masked(n, &h, n->vip, 80);
	masquerade(0);
}
END_TEST

/* ---- filters ------------------------------------------------------------------------------ */

static void pass(int (*how)(const struct packet *p), struct packet p)
{
	how(&p);
}

static struct packet raw(const char *from, const char *to, uint8_t proto)
{
	struct packet p;

	packet_eth(&p, host_a, strchr(from, ':') ? 0x86dd : 0x0800);
	packet_ip(&p, from, to, proto);
	packet_data(&p, "\x11\0\0\0\0\0\0\0", 8);
	packet_finish(&p);
	return p;
}

static void traffic_inside(const struct names *n)
{
	struct packet to_vip = udp(n->a, n->vip, 2000, 80), to_b = udp(n->a, n->b, 2000, 8080);

	pass(from_a, tcp(n->a, n->b, 1000, 80, SYN));
	pass(from_b, tcp(n->b, n->a, 80, 1000, SYN | ACK));
	pass(from_a, tcp(n->a, n->b, 1000, 80, ACK));
	pass(from_a, tcp(n->a, n->b, 1000, 80, ACK | PSH));
	pass(from_b, tcp(n->b, n->a, 80, 1000, ACK));
	pass(from_a, tcp(n->a, n->b, 1000, 80, FIN | ACK));
	pass(from_a, tcp(n->a, n->vip, 1001, 80, SYN));
	pass(from_b, tcp(n->b, n->a, 8080, 1001, SYN | ACK));
	pass(from_a, tcp(n->a, n->vip, 1001, 80, ACK));
	pass(from_a, to_vip);
	pass(from_b, udp(n->b, n->a, 8080, 2000));
	pass(from_b, icmp(n->b, n->a, n->error, &to_b));
	pass(from_a, packet_ping(host_a, n->a, n->b, false, 7));
	pass(from_b, packet_ping(host_b, n->b, n->a, true, 7));
	pass(from_a, packet_ping(host_a, n->a, n->b, true, 8));
	pass(host_to_b, udp(HOST4, n->b, 3000, 80));
	pass(world_to_b, udp(n->world, n->b, 3000, 80));
}

static void traffic_outside(const struct names *n)
{
	pass(from_a, tcp(n->a, n->world, 40000, 443, SYN));
	pass(from_world, tcp(n->world, n->uplink, 443, 40000, SYN | ACK));
	pass(from_a, tcp(n->a, n->world, 40000, 443, ACK));
	pass(from_a, packet_ping(host_a, n->a, n->world, false, 4711));
	pass(from_world, packet_ping(NULL, n->world, n->uplink, true, 4711));
	pass(from_a, raw(n->a, n->world, IPPROTO_IGMP));
}

static void traffic_dropped(const struct names *n)
{
	static const uint8_t arp[64] = {};
	struct packet p = tcp(n->a, n->b, 1002, 81, SYN);

	pass(from_a, p);
	pass(from_a, udp(n->a, n->b, 2002, 81));
	pass(from_a, udp(n->spoofed, n->b, 2003, 80));
	pass(from_a, raw(n->a, n->b, IPPROTO_IGMP));
	pass(from_a, raw(n->a, n->b, 112));
	pass(from_a, raw(n->a, n->b, IPPROTO_SCTP));
	p.len = p.l4 + 4;
	pass(from_a, p);
	p.len = p.l4;
	pass(from_a, p);
	packet_eth(&p, host_a, 0x1234);
	packet_data(&p, arp, sizeof(arp));
	pass(from_a, p);
}

static void traffic(const struct names *n)
{
	import(DENY);
	service(n, IPPROTO_TCP);
	service(n, IPPROTO_UDP);
	traffic_inside(n);
	traffic_dropped(n);
	masquerade(CLITE_MASQUERADE_IPV4 | CLITE_MASQUERADE_IPV6);
	traffic_outside(n);
	masquerade(0);
}

/* clang-format off */
static const char *const questions[] = {
	"{}", "{'reply':[true]}", "{'reply':[false]}", "{'reply':[true,false]}",
	"{'event_type':[{'type':1}]}", "{'event_type':[{'type':4}]}", "{'event_type':[{'type':5}]}",
	"{'event_type':[{'type':1,'match_sub_type':true,'sub_type':133}]}",
	"{'event_type':[{'type':4,'match_sub_type':true,'sub_type':0},{'type':5}]}",
	"{'event_type':[{'match_sub_type':true,'sub_type':0}]}", "{'event_type':[{'type':129},{'type':1}]}",
	"{'verdict':['FORWARDED']}", "{'verdict':['DROPPED','AUDIT']}", "{'verdict':['ERROR']}",
	"{'drop_reason_desc':['POLICY_DENIED']}", "{'drop_reason_desc':['INVALID_SOURCE_IP','POLICY_DENY']}",
	"{'drop_reason_desc':['DROP_REASON_UNKNOWN']}",
	"{'traffic_direction':['INGRESS']}", "{'traffic_direction':['EGRESS']}",
	"{'traffic_direction':['TRAFFIC_DIRECTION_UNKNOWN']}",
	"{'ip_version':['IPv4']}", "{'ip_version':['IPv6']}", "{'ip_version':['IP_NOT_USED']}",
	"{'protocol':['icmp']}", "{'protocol':['icmpv4']}", "{'protocol':['icmpv6']}", "{'protocol':['tcp']}",
	"{'protocol':['udp','sctp']}", "{'protocol':['igmp','vrrp']}", "{'protocol':['http','TCP']}",
	"{'source_port':['80']}", "{'destination_port':['80']}", "{'source_port':['8080']}",
	"{'destination_port':['8080','443']}", "{'source_port':['0']}", "{'destination_port':['0']}",
	"{'destination_port':['81'],'protocol':['tcp']}", "{'source_port':['40000']}",
	"{'destination_port':['40000']}", "{'destination_port':['4711']}", "{'source_port':['4711']}",
	"{'source_ip':['10.0.0.0/24']}", "{'destination_ip':['10.0.0.2','fd00::2']}",
	"{'source_ip':['0.0.0.0/0']}", "{'source_ip':['::/0']}", "{'destination_ip':['10.96.0.1','fd96::1']}",
	"{'source_ip':['10.96.0.1','fd96::1']}", "{'destination_ip':['192.0.2.0/24','2001:db8::/32']}",
	"{'source_ip':['192.0.2.1','2001:db8::1']}", "{'source_ip':['10.0.0.1'],'destination_ip':['fd00::2']}",
	"{'tcp_flags':[{'SYN':true}]}", "{'tcp_flags':[{'SYN':true,'ACK':true}]}", "{'tcp_flags':[{}]}",
	"{'tcp_flags':[{'FIN':true},{'PSH':true}]}", "{'tcp_flags':[{'NS':true}]}",
	"{'source_identity':[0]}", "{'source_identity':[9,10]}", "{'destination_identity':[0]}",
	"{'destination_identity':[1,2,9,10]}", "{'encrypted':[false]}", "{'encrypted':[true]}",
	"{'source_label':['app=a']}", "{'destination_label':['reserved:world']}",
	"{'source_label':['app=b'],'reply':[true],'protocol':['tcp','udp']}",
	("{'source_ip':['10.0.0.1','10.0.0.2','fd00::1','fd00::2'],'source_port':['80','8080','1000','1001','2000'],"
	 "'protocol':['tcp','udp'],'verdict':['FORWARDED']}"),
};
/* clang-format on */
#define QUESTIONS (sizeof(questions) / sizeof(*questions))
#define AT_ONCE 5 /* subscribers beside the one who hears all */

static struct heard asked[AT_ONCE], expected[AT_ONCE];

static int on_all(const struct clite_event *e, void *userdata)
{
	const struct clite_flow *f;

	keep(userdata, e);
	ck_assert_int_eq(clite_flow_resolve(ctx, e, &f), 0);
	for (size_t i = 0; i < AT_ONCE; i++)
		if (clite_filters_match(asked[i].filters, f) == 1)
			keep(&expected[i], e);
	return 0;
}

static struct clite_filters *question(const char *text)
{
	struct clite_filters *fs;
	char json[512];

	snprintf(json, sizeof(json), "%s", text);
	for (char *c = json; *c; c++)
		if (*c == '\'')
			*c = '"';
	ck_assert_int_eq(clite_filters_new(&fs), 0);
	ck_assert_msg(!clite_filters_add_json(fs, CLITE_FILTER_ALLOW, json), "%s: %s", json,
		      clite_filters_error(fs));
	return fs;
}

/* Who filters gets all that passes the filter, and nothing else. */
START_TEST(filters_agree)
{
	size_t first = (size_t)_i / 2 * AT_ONCE;
	static struct heard all;

	for (size_t i = 0; i < AT_ONCE; i++) {
		expected[i].n = 0;
		subscribe(&asked[i], question(questions[(first + i) % QUESTIONS]), on_event);
	}
	subscribe(&all, NULL, on_all);
	traffic(&names[_i % 2]);
	listen_to(&all);
	ck_assert_uint_ge(all.n, 35);
	for (size_t i = 0; i < AT_ONCE; i++) {
		const char *text = questions[(first + i) % QUESTIONS];

		asked[i].sub = clite_unsubscribe(asked[i].sub);
		ck_assert_msg(asked[i].n == expected[i].n, "%s: %zu events instead of %zu", text,
			      asked[i].n, expected[i].n);
		ck_assert_msg(!memcmp(asked[i].events, expected[i].events,
				      asked[i].n * sizeof(asked[i].events[0])),
			      "%s: others", text);
		clite_filters_unref(asked[i].filters);
	}
}
END_TEST

/* ---- main --------------------------------------------------------------------------------- */

int main(void)
{
	Suite *s = suite_create("flows");
	TCase *t = tcase_create("flows");
	SRunner *r = srunner_create(s);
	int failed;

	if (geteuid()) {
		puts("needs root: skipped");
		return 77;
	}
	tcase_add_checked_fixture(t, world_reset, NULL);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, paths_agree, 0, 2);
	tcase_add_loop_test(t, masqueraded_ping, 0, 2);
	tcase_add_loop_test(t, masqueraded, 0, 2);
	tcase_add_loop_test(t, filters_agree, 0, 2 * (int)((QUESTIONS + AT_ONCE - 1) / AT_ONCE));
	suite_add_tcase(s, t);
	srunner_set_fork_status(r, CK_NOFORK);
	world_make(0);
	if (system("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:c1 dev uplink && "
		   "ip -6 neigh add 2001:db8::9 lladdr 02:00:00:00:00:c1 dev uplink") ||
	    clite_device_attach(ctx, "uplink")) {
		printf("uplink: %s\n", clite_error(ctx));
		return 1;
	}
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	world_remove();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
