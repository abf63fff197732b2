/* SPDX-License-Identifier: BSD-2-Clause */
/* Direct server return, packets in and out, byte by byte: options that a balancer adds, that
 * a back end's node believes, and that nobody believes. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <check.h>
#include <cilium-lite/sys/bpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clite_layout.h"
#include "world.h"

#define FIN 0x01
#define SYN 0x02
#define ACK 0x10
#define VIP4 "203.0.113.80"
#define VIP6 "2001:db8:80::80"
#define CLIENT4 "198.51.100.7" /* by the uplink, too */
#define CLIENT6 "2001:db8:7::7"
#define PORT 80
#define INNER 8080 /* the back end's port */
#define CPORT 1234

#define MALFORMED4 134
#define MALFORMED6 156
#define INVALID 134
#define SPOOFED 132
#define DENIED 133
#define TOO_BIG 136
#define CT_CREATE_FAILED 155

static uint32_t if_plain; /* an uplink that is not to believe anything */

static void sh(const char *command)
{
	if (system(command)) {
		printf("%s failed\n", command);
		exit(1);
	}
}

static void uplinks_make(void)
{
	static const struct clite_device_opts dsr = { .sz = sizeof(dsr),
						      .flags = CLITE_DEVICE_DSR };

	sh("ip link add plain type veth peer name plainwire && ip link set plain up && "
	   "ip link set plainwire up");
	sh("ip route add 198.51.100.0/24 via 192.0.2.254 dev uplink");
	sh("ip -6 route add 2001:db8:7::/64 via 2001:db8::fe dev uplink");
	if_plain = if_nametoindex("plain");
	if (clite_device_attach_opts(ctx, "uplink", &dsr) || clite_device_attach(ctx, "plain")) {
		printf("uplinks: %s\n", clite_error(ctx));
		exit(1);
	}
}

/* What both families have in common. */
struct names {
	const char *vip, *client, *far, *b;
	size_t room;
};

static const struct names names[] = {
	{ VIP4, CLIENT4, W4, B4, 8 },
	{ VIP6, CLIENT6, W6, B6, 24 },
};

/* Put the option that names a service behind the IP header. */
static void name_service(struct packet *p, const char *vip, uint16_t port, uint8_t len)
{
	size_t at = p->l3 + (p->family == 4 ? 20 : 40), room = p->family == 4 ? 8 : 24;
	uint8_t *o = p->data + at, ip[16];

	memmove(o + room, o, p->len - at);
	memset(o, 0, room);
	inet_pton(p->family == 4 ? AF_INET : AF_INET6, vip, ip);
	if (p->family == 4) {
		p->data[p->l3] += 2;
		o[0] = 0x9a;
		o[1] = len ?: 8;
		o[2] = port & 255;
		o[3] = port >> 8;
		for (int i = 0; i < 4; i++)
			o[4 + i] = ip[3 - i];
	} else {
		o[0] = p->data[p->l3 + 6];
		p->data[p->l3 + 6] = IPPROTO_DSTOPTS;
		o[1] = 2;
		o[2] = 0x1b;
		o[3] = len ?: 20;
		memcpy(o + 4, ip, 16);
		o[20] = port >> 8;
		o[21] = port & 255;
	}
	p->len += room;
	p->l4 += room;
	packet_finish(p);
}

static void hop(struct packet *p)
{
	p->data[p->l3 + (p->family == 4 ? 8 : 7)]--;
	packet_finish(p);
}

/* What came out is this packet, but for layer 2. */
static void expect(const struct packet *p)
{
	ck_assert_uint_eq(out_len, p->len);
	ck_assert_mem_eq(out + 14, p->data + 14, p->len - 14);
}

static void service(const struct names *n, uint32_t protocol, const char *backend)
{
	struct clite_backend b = { .address = backend, .port = INNER };
	struct clite_service_opts o = {
		.sz = sizeof(o),
		.address = n->vip,
		.port = PORT,
		.protocol = protocol,
		.backends = &b,
		.nbackends = 1,
		.mode = CLITE_MODE_DSR,
	};

	ck_assert_msg(clite_service_update(ctx, &o, NULL) == 0, "%s", clite_error(ctx));
}

/* A client's packet to the service comes to the balancer, and leaves with the option or
 * without. */
static void balanced(const struct names *n, uint8_t proto, uint8_t flags, bool told)
{
	struct packet p = packet_make(NULL, n->client, n->vip, proto, CPORT, PORT, flags);

	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	p = packet_make(NULL, n->client, n->far, proto, CPORT, INNER, flags);
	hop(&p);
	if (told)
		name_service(&p, n->vip, PORT, 0);
	expect(&p);
}

/* It comes to the node, with or without the option, and to the endpoint without. */
static void delivered(const struct names *n, uint8_t proto, uint8_t flags, const char *vip)
{
	struct packet p = packet_make(NULL, n->client, n->b, proto, CPORT, INNER, flags);

	if (vip)
		name_service(&p, vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	p = packet_make(NULL, n->client, n->b, proto, CPORT, INNER, flags);
	hop(&p);
	expect(&p);
	ck_assert_mem_eq(out, mac_b, 6);
}

/* The endpoint's answer leaves as vip's, past the stack; NULL: as its own, by the stack. */
static void answered(const struct names *n, uint8_t proto, uint8_t flags, const char *vip)
{
	struct packet p = packet_make(host_b, n->b, n->client, proto, INNER, CPORT, flags);

	ck_assert_int_eq(from_b(&p), vip ? ACT_REDIRECT : ACT_PASS);
	if (vip) {
		p = packet_make(NULL, vip, n->client, proto, PORT, CPORT, flags);
		hop(&p);
	}
	expect(&p);
}

/* ---- entries -------------------------------------------------------------------- */

struct entries {
	uint32_t n, nat, expires, closing;
};

static int count_entry(const struct clite_ct_info *info, void *userdata)
{
	struct entries *e = userdata;

	e->n++;
	e->nat += !!(info->flags & CLITE_CT_NAT);
	e->closing += !!(info->flags & CLITE_CT_CLOSING);
	if (info->expires > e->expires)
		e->expires = info->expires;
	ck_assert(info->flags & CLITE_CT_DSR);
	return 0;
}

static struct entries entries(void)
{
	struct entries e = {};

	ck_assert_int_ge(clite_conntrack_list(ctx, count_entry, &e), 0);
	return e;
}

/* Take away the entries that are (not) answers', or make them forget what they have told. */
static void each_flow(bool v6, bool reply, bool forget)
{
	int fd = clite_sys_map_fd(ctx, v6 ? "flow6" : "flow4");
	struct dp_flow6_key key, next;
	void *at = NULL;
	struct dp_flow f;

	while (!bpf_map_get_next_key(fd, at, &next)) {
		ck_assert_int_eq(bpf_map_lookup_elem(fd, &next, &f), 0);
		if (forget) {
			f.dsr_told -= 100000;
			ck_assert_int_eq(bpf_map_update_elem(fd, &next, &f, BPF_ANY), 0);
			return;
		}
		if (!(f.flags & DP_FLOW_REPLY) == !reply) {
			ck_assert_int_eq(bpf_map_delete_elem(fd, &next), 0);
			return;
		}
		key = next;
		at = &key;
	}
	ck_abort_msg("no such entry");
}

/* ---- the balancer --------------------------------------------------------------- */

START_TEST(balancer_tcp)
{
	const struct names *n = &names[_i];

	service(n, IPPROTO_TCP, n->far);
	balanced(n, IPPROTO_TCP, SYN, true);
	balanced(n, IPPROTO_TCP, SYN, true);
	ck_assert_uint_eq(entries().n, 1);
	ck_assert_uint_le(entries().expires, 60);
	for (int i = 0; i < 4; i++)
		balanced(n, IPPROTO_TCP, ACK, false);
	ck_assert_uint_gt(entries().expires, 7000);
	/* some time later, once */
	each_flow(_i, false, true);
	balanced(n, IPPROTO_TCP, ACK, true);
	balanced(n, IPPROTO_TCP, ACK, false);
	/* nobody sees the other side's FIN */
	balanced(n, IPPROTO_TCP, FIN | ACK, false);
	balanced(n, IPPROTO_TCP, ACK, false);
	ck_assert_uint_eq(entries().closing, 1);
	ck_assert_uint_le(entries().expires, 60);
	balanced(n, IPPROTO_TCP, SYN, true);
	ck_assert_uint_eq(entries().closing, 0);
}
END_TEST

START_TEST(balancer_udp)
{
	const struct names *n = &names[_i];
	int i;

	service(n, IPPROTO_UDP, n->far);
	for (i = 0; i < 7; i++)
		balanced(n, IPPROTO_UDP, 0, true);
	for (; i < 20; i++)
		balanced(n, IPPROTO_UDP, 0, false);
	ck_assert_uint_eq(entries().n, 1);
}
END_TEST

/* Its sum covers no addresses, and its ports stay. */
START_TEST(sctp)
{
	const struct names *n = &names[_i];
	struct clite_backend b = { .address = n->far };
	struct clite_service_opts o = {
		.sz = sizeof(o),
		.address = n->vip,
		.port = PORT,
		.protocol = IPPROTO_SCTP,
		.backends = &b,
		.nbackends = 1,
		.mode = CLITE_MODE_DSR,
	};
	struct packet p = packet_make(NULL, n->client, n->vip, IPPROTO_SCTP, CPORT, PORT, 0);

	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	p = packet_make(NULL, n->client, n->far, IPPROTO_SCTP, CPORT, PORT, 0);
	hop(&p);
	name_service(&p, n->vip, PORT, 0);
	expect(&p);

	p = packet_make(NULL, n->client, n->b, IPPROTO_SCTP, CPORT, PORT, 0);
	name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	p = packet_make(host_b, n->b, n->client, IPPROTO_SCTP, PORT, CPORT, 0);
	ck_assert_int_eq(from_b(&p), ACT_REDIRECT);
	p = packet_make(NULL, n->vip, n->client, IPPROTO_SCTP, PORT, CPORT, 0);
	hop(&p);
	expect(&p);
}
END_TEST

/* A connection in the middle of which the balancer begins. */
START_TEST(balancer_takes_over)
{
	const struct names *n = &names[_i];

	service(n, IPPROTO_TCP, n->far);
	balanced(n, IPPROTO_TCP, ACK, true);
	balanced(n, IPPROTO_TCP, ACK, false);
}
END_TEST

START_TEST(balancer_here)
{
	const struct names *n = &names[_i];
	struct packet p = packet_make(NULL, n->client, n->vip, IPPROTO_TCP, CPORT, PORT, SYN);

	service(n, IPPROTO_TCP, n->b);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	p = packet_make(NULL, n->client, n->b, IPPROTO_TCP, CPORT, INNER, SYN);
	hop(&p);
	expect(&p);
	answered(n, IPPROTO_TCP, SYN | ACK, n->vip);
}
END_TEST

/* The back end is not to get new flows: a connection begins anew, at another; one whose first
 * packet comes twice does not. */
START_TEST(balancer_reopens)
{
	const struct names *n = &names[_i];
	struct clite_backend b[] = {
		{ .address = n->far, .port = INNER },
		{ .address = _i ? "2001:db8::a" : "192.0.2.10", .port = INNER },
	};
	struct clite_service_opts o = {
		.sz = sizeof(o),
		.address = n->vip,
		.port = PORT,
		.protocol = IPPROTO_TCP,
		.backends = b,
		.nbackends = 2,
		.mode = CLITE_MODE_DSR,
	};
	struct packet p;

	service(n, IPPROTO_TCP, n->far);
	balanced(n, IPPROTO_TCP, SYN, true);
	balanced(n, IPPROTO_TCP, ACK, false);
	b[0].state = CLITE_BACKEND_TERMINATING;
	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	balanced(n, IPPROTO_TCP, ACK, false);
	p = packet_make(NULL, n->client, n->vip, IPPROTO_TCP, CPORT, PORT, SYN);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	p = packet_make(NULL, n->client, b[1].address, IPPROTO_TCP, CPORT, INNER, SYN);
	hop(&p);
	name_service(&p, n->vip, PORT, 0);
	expect(&p);
	ck_assert_uint_eq(entries().n, 1);
}
END_TEST

/* Other options and extension headers stay where they are, behind. */
static void with_others(struct packet *p, const struct names *n, const char *dst, uint16_t port,
			uint8_t ext)
{
	static const uint8_t record[] = { 7, 7, 4, 0, 0, 0, 0, 0 }, pad[6] = { 1, 4 };

	packet_eth(p, NULL, strchr(dst, ':') ? 0x86dd : 0x0800);
	packet_ip_options(p, n->client, dst, IPPROTO_UDP, record, sizeof(record));
	if (p->family == 6)
		packet_ext(p, ext, pad, IPPROTO_UDP);
	packet_udp(p, CPORT, port);
	packet_data(p, "hello", 5);
	packet_finish(p);
}

START_TEST(other_options)
{
	const struct names *n = &names[_i];
	struct packet p;

	service(n, IPPROTO_UDP, n->far);
	with_others(&p, n, n->vip, PORT, IPPROTO_DSTOPTS);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	with_others(&p, n, n->far, INNER, IPPROTO_DSTOPTS);
	hop(&p);
	name_service(&p, n->vip, PORT, 0);
	expect(&p);

	with_others(&p, n, n->b, INNER, IPPROTO_DSTOPTS);
	name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	with_others(&p, n, n->b, INNER, IPPROTO_DSTOPTS);
	hop(&p);
	expect(&p);
	answered(n, IPPROTO_UDP, 0, n->vip);

	if (_i) {
		/* hop-by-hop options stand first */
		with_others(&p, n, n->vip, PORT, IPPROTO_HOPOPTS);
		ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_DROP);
	}
}
END_TEST

/* The option in its second place, by somebody else's hand: it says nothing. */
START_TEST(second_place)
{
	static const uint8_t options[] = { 1, 1, 1, 1, 0x9a, 8, 80, 0, 80, 113, 0, 203 };
	const struct names *n = &names[0];
	struct packet p;

	packet_eth(&p, NULL, 0x0800);
	packet_ip_options(&p, n->client, n->b, IPPROTO_UDP, options, sizeof(options));
	packet_udp(&p, CPORT, INNER);
	packet_data(&p, "hello", 5);
	packet_finish(&p);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	hop(&p);
	expect(&p);
	answered(n, IPPROTO_UDP, 0, NULL);
}
END_TEST

/* A fragment of a datagram of 16 bytes and more. */
static struct packet fragment(const char *src, const char *dst, uint16_t dport, bool first)
{
	uint8_t ext[6] = { 0, first ? 1 : 8, 0, 0, 0, 7 };
	bool v6 = strchr(dst, ':');
	struct packet p;

	packet_eth(&p, NULL, v6 ? 0x86dd : 0x0800);
	packet_ip(&p, src, dst, IPPROTO_UDP);
	if (v6)
		packet_ext(&p, IPPROTO_FRAGMENT, ext, IPPROTO_UDP);
	else
		memcpy(p.data + p.l3 + 6, first ? "\x20\x00" : "\x00\x01", 2);
	if (first)
		packet_udp(&p, CPORT, dport);
	else
		packet_data(&p, "later...", 8);
	return p;
}

/* Of a sum of what is in another fragment only the IP header's is looked at. */
static void expect_fragment(struct packet *p, const struct names *n, bool told, bool first)
{
	uint8_t sum[2];

	p->proto = 253; /* no sum of layer 4 */
	hop(p);
	if (told)
		name_service(p, n->vip, PORT, 0);
	if (first) {
		memcpy(sum, out + p->l4 + 6, 2);
		memcpy(p->data + p->l4 + 6, sum, 2);
	}
	expect(p);
}

START_TEST(fragments)
{
	const struct names *n = &names[_i];
	struct packet p;

	service(n, IPPROTO_UDP, n->far);
	for (int i = 1; i >= 0; i--) {
		p = fragment(n->client, n->vip, PORT, i);
		p.proto = 253;
		packet_finish(&p);
		ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
		p = fragment(n->client, n->far, INNER, i);
		expect_fragment(&p, n, i, i);
	}
	for (int i = 1; i >= 0; i--) {
		p = fragment(n->client, n->b, INNER, i);
		p.proto = 253;
		if (i || !_i)
			name_service(&p, n->vip, PORT, 0); /* routers copy IPv4's */
		else
			packet_finish(&p);
		ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
		p = fragment(n->client, n->b, INNER, i);
		expect_fragment(&p, n, false, i);
	}
	answered(n, IPPROTO_UDP, 0, n->vip);
}
END_TEST

/* With the option it would be too long: said before anything changes. */
START_TEST(balancer_mtu)
{
	const struct names *n = &names[_i];
	size_t mtu_at = 14 + (_i ? 44 : 26);
	struct packet p;

	service(n, IPPROTO_UDP, n->far);
	packet_eth(&p, NULL, _i ? 0x86dd : 0x0800);
	packet_ip(&p, n->client, n->vip, IPPROTO_UDP);
	packet_udp(&p, CPORT, PORT);
	packet_data(&p, NULL, 1514 - n->room + 1 - p.len);
	packet_finish(&p);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	ck_assert_uint_eq(dropped(), TOO_BIG);
	ck_assert(packet_sums_ok(out, out_len));
	ck_assert_uint_eq(out[14 + (_i ? 40 : 20)], _i ? 2 : 3);
	ck_assert_uint_eq((unsigned)(out[mtu_at] << 8 | out[mtu_at + 1]) |
				  (_i ? (unsigned)(out[mtu_at + 2] << 8 | out[mtu_at + 3]) : 0),
			  1500 - n->room);
	/* One byte less. */
	p.len--;
	packet_finish(&p);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	ck_assert_uint_eq(out_len, 1514);
	/* It has been told: the long one goes as it is. */
	p.len++;
	packet_finish(&p);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	ck_assert_uint_eq(dropped(), 0);
	ck_assert_uint_eq(out_len, p.len);
}
END_TEST

/* ---- the node of the back end --------------------------------------------------- */

START_TEST(node)
{
	const struct names *n = &names[_i];

	for (int i = 0; i < 2; i++) {
		uint8_t proto = i ? IPPROTO_UDP : IPPROTO_TCP;

		delivered(n, proto, SYN, n->vip);
		delivered(n, proto, SYN, n->vip);
		answered(n, proto, SYN | ACK, n->vip);
		delivered(n, proto, ACK, NULL);
		answered(n, proto, ACK, n->vip);
		answered(n, proto, ACK, n->vip);
		delivered(n, proto, ACK, n->vip);
		ck_assert_uint_eq(entries().n, 2);
		ck_assert_uint_eq(entries().nat, 1);
		delivered(n, proto, FIN | ACK, NULL);
		answered(n, proto, FIN | ACK, n->vip);
		if (!i) {
			ck_assert_uint_eq(entries().closing, 2);
			ck_assert_uint_le(entries().expires, 10);
		}
		ck_assert_int_eq(clite_conntrack_flush(ctx, 0), 2);
	}
}
END_TEST

/* One of the two entries is evicted, or both. */
START_TEST(node_forgets)
{
	const struct names *n = &names[_i];

	delivered(n, IPPROTO_TCP, SYN, n->vip);
	answered(n, IPPROTO_TCP, SYN | ACK, n->vip);
	delivered(n, IPPROTO_TCP, ACK, NULL);
	each_flow(_i, true, false);
	answered(n, IPPROTO_TCP, ACK, n->vip);
	each_flow(_i, false, false);
	delivered(n, IPPROTO_TCP, ACK, NULL);
	answered(n, IPPROTO_TCP, ACK, n->vip);
	ck_assert_uint_eq(entries().n, 2);
	ck_assert_int_eq(clite_conntrack_flush(ctx, 0), 2);
	delivered(n, IPPROTO_TCP, ACK, n->vip);
	answered(n, IPPROTO_TCP, ACK, n->vip);
	/* The option comes too late: better than not at all. */
	ck_assert_int_eq(clite_conntrack_flush(ctx, 0), 2);
	delivered(n, IPPROTO_TCP, ACK, NULL);
	answered(n, IPPROTO_TCP, ACK, NULL);
	delivered(n, IPPROTO_TCP, ACK, n->vip);
	answered(n, IPPROTO_TCP, ACK, n->vip);
}
END_TEST

/* A commit in the middle. */
START_TEST(node_judges_again)
{
	const struct names *n = &names[_i];

	delivered(n, IPPROTO_TCP, SYN, n->vip);
	answered(n, IPPROTO_TCP, SYN | ACK, n->vip);
	delivered(n, IPPROTO_TCP, ACK, NULL);
	import("[{\"endpointSelector\": {\"matchLabels\": {\"app\": \"b\"}}, "
	       "\"ingress\": [{\"fromEntities\": [\"world\"]}]}]");
	answered(n, IPPROTO_TCP, ACK, n->vip);
	delivered(n, IPPROTO_TCP, ACK, NULL);
	answered(n, IPPROTO_TCP, ACK, n->vip);
}
END_TEST

START_TEST(node_denies)
{
	const struct names *n = &names[_i];
	struct packet p = packet_make(NULL, n->client, n->b, IPPROTO_TCP, CPORT, INNER, SYN);

	import("[{\"endpointSelector\": {\"matchLabels\": {\"app\": \"b\"}}, "
	       "\"ingress\": [{\"fromEndpoints\": [{\"matchLabels\": {\"app\": \"a\"}}]}]}]");
	name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_DROP);
	ck_assert_uint_eq(dropped(), DENIED);
	answered(n, IPPROTO_TCP, SYN, NULL);
}
END_TEST

/* ---- who is not believed ---------------------------------------------------------- */

START_TEST(other_uplink)
{
	const struct names *n = &names[_i];
	struct packet p = packet_make(NULL, n->client, n->b, IPPROTO_UDP, CPORT, INNER, 0);

	name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_plain, 0, &p), ACT_REDIRECT);
	hop(&p);
	expect(&p);
	answered(n, IPPROTO_UDP, 0, NULL);
}
END_TEST

START_TEST(malformed)
{
	const struct names *n = &names[_i];
	static const uint8_t lengths[] = { 1, 2, 4, 7, 9, 12, 21, 255 };

	for (size_t i = 0; i < sizeof(lengths); i++) {
		struct packet p = packet_make(NULL, n->client, n->b, IPPROTO_UDP, CPORT, INNER, 0);

		name_service(&p, n->vip, PORT, lengths[i]);
		/* to the stack, and no further than to the endpoint's device */
		ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_PASS);
		expect(&p);
		ck_assert_int_eq(world_to_b(&p), ACT_DROP);
		ck_assert_uint_eq(dropped(), _i ? MALFORMED6 : MALFORMED4);
	}
}
END_TEST

static void refused(const struct names *n, const char *vip, uint16_t port, uint32_t reason)
{
	struct packet p = packet_make(NULL, n->client, n->b, IPPROTO_UDP, CPORT, INNER, 0);

	name_service(&p, vip, port, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_DROP);
	ck_assert_uint_eq(dropped(), reason);
}

/* No service has such an address. */
START_TEST(no_service)
{
	const struct names *n = &names[_i];

	refused(n, n->vip, 0, INVALID);
	refused(n, _i ? "ff02::1" : "224.0.0.1", PORT, INVALID);
	refused(n, _i ? "::" : "0.0.0.0", PORT, INVALID);
	refused(n, _i ? A6 : A4, PORT, SPOOFED);
	refused(n, n->b, PORT, SPOOFED);
}
END_TEST

START_TEST(endpoints_may_not)
{
	const struct names *n = &names[_i];
	struct packet p = packet_make(host_b, n->b, n->far, IPPROTO_UDP, CPORT, INNER, 0);

	name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(from_b(&p), ACT_DROP);
	ck_assert_uint_eq(dropped(), INVALID);
}
END_TEST

/* What answers an endpoint's own flow begins none. */
START_TEST(own_flow)
{
	const struct names *n = &names[_i];

	answered(n, IPPROTO_UDP, 0, NULL);
	delivered(n, IPPROTO_UDP, 0, n->vip);
	answered(n, IPPROTO_UDP, 0, NULL);
	each_flow(_i, true, false);
	delivered(n, IPPROTO_UDP, 0, n->vip);
	answered(n, IPPROTO_UDP, 0, NULL);
	each_flow(_i, false, false);
	delivered(n, IPPROTO_UDP, 0, n->vip);
	answered(n, IPPROTO_UDP, 0, NULL);
}
END_TEST

/* What is not for an endpoint here passes as it came: another node's. */
START_TEST(not_ours)
{
	const struct names *n = &names[_i];
	struct packet p = packet_make(NULL, n->client, n->far, IPPROTO_UDP, CPORT, INNER, 0);

	name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_PASS);
	expect(&p);
}
END_TEST

/* ---- hostile ---------------------------------------------------------------------- */

#define FORGED4 "192.0.2.66"
#define FORGED6 "2001:db8:66::66"

/* What is translated goes to nodes that believe this one: it must not say what the world
 * says. */
static void through(const struct names *n, uint8_t proto, uint8_t flags, uint32_t mode, uint32_t in)
{
	struct clite_backend b = { .address = n->far, .port = INNER };
	struct clite_service_opts o = {
		.sz = sizeof(o), .address = n->vip, .port = PORT, .protocol = proto,
		.backends = &b, .nbackends = 1, .mode = mode, .kind = CLITE_KIND_EXTERNAL_IP,
	};
	struct packet p;

	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	/* until packets go without the balancer's own option */
	for (int i = 0; mode == CLITE_MODE_DSR && i < (proto == IPPROTO_TCP ? 1 : 7); i++)
		balanced(n, proto, proto == IPPROTO_TCP ? SYN : 0, true);
	p = packet_make(NULL, n->client, n->vip, proto, CPORT, PORT, flags);
	name_service(&p, n->room == 24 ? FORGED6 : FORGED4, 666, 0);
	ck_assert_int_eq(run("from_netdev", in, 0, &p), ACT_DROP);
	ck_assert_uint_eq(dropped(), INVALID);
}

START_TEST(forged_through)
{
	const struct names *n = &names[_i];

	through(n, IPPROTO_UDP, 0, CLITE_MODE_DSR, if_plain);
	through(n, IPPROTO_TCP, ACK, CLITE_MODE_DSR, if_plain);
	through(n, IPPROTO_TCP, SYN, CLITE_MODE_SNAT, if_up);
}
END_TEST

/* To a back end here, too. */
START_TEST(forged_here)
{
	const struct names *n = &names[_i];
	struct packet p = packet_make(NULL, n->client, n->vip, IPPROTO_UDP, CPORT, PORT, 0);

	service(n, IPPROTO_UDP, n->b);
	name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_DROP);
	ck_assert_uint_eq(dropped(), INVALID);
}
END_TEST

/* The first fragment is too long with the option: the sender is told, else it tries for ever. */
START_TEST(fragment_too_long)
{
	const struct names *n = &names[_i];
	struct packet p;

	service(n, IPPROTO_UDP, n->far);
	p = fragment(n->client, n->vip, PORT, true);
	packet_data(&p, NULL, 1510 - p.len);
	p.proto = 253; /* its sum is that of the whole datagram */
	packet_finish(&p);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	ck_assert_uint_eq(dropped(), TOO_BIG);
	ck_assert(packet_sums_ok(out, out_len));
}
END_TEST

/* Where the option has no place, nothing goes without it. */
START_TEST(no_place)
{
	static const uint8_t opts[36] = { 7, 35, 4 }, pad[6] = { 1, 4 };
	const struct names *n = &names[_i];
	struct packet p;

	service(n, IPPROTO_UDP, n->far);
	packet_eth(&p, NULL, _i ? 0x86dd : 0x0800);
	packet_ip_options(&p, n->client, n->vip, IPPROTO_UDP, opts, sizeof(opts));
	if (_i)
		packet_ext(&p, IPPROTO_HOPOPTS, pad, IPPROTO_UDP);
	packet_udp(&p, CPORT, PORT);
	packet_data(&p, "hello", 5);
	packet_finish(&p);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_DROP);
}
END_TEST

/* Nobody takes an endpoint's own flow away by a packet past its other address. */
START_TEST(own_masqueraded)
{
	static const uint8_t uplink[] = { 192, 0, 2, 1 };
	struct clite_masquerade o = { .sz = sizeof(o), .flags = CLITE_MASQUERADE_IPV4 };
	const struct names *n = &names[0];
	struct packet p;

	ck_assert_msg(clite_masquerade_set(ctx, &o) == 0, "%s", clite_error(ctx));
	p = packet_make(host_b, n->b, n->client, IPPROTO_TCP, INNER, CPORT, SYN);
	ck_assert_int_eq(from_b(&p), ACT_REDIRECT);
	ck_assert_mem_eq(out + 26, uplink, 4);
	p = packet_make(NULL, n->client, n->b, IPPROTO_TCP, CPORT, INNER, ACK);
	if (_i)
		name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_DROP);
	ck_assert_uint_eq(dropped(), CT_CREATE_FAILED);
	p = packet_make(host_b, n->b, n->client, IPPROTO_TCP, INNER, CPORT, ACK);
	ck_assert_int_eq(from_b(&p), ACT_REDIRECT);
	ck_assert_mem_eq(out + 26, uplink, 4);
	o.flags = 0;
	ck_assert_int_eq(clite_masquerade_set(ctx, &o), 0);
}
END_TEST

/* SCTP: another port would need another sum. */
START_TEST(sctp_port)
{
	const struct names *n = &names[_i];
	struct packet p = packet_make(NULL, n->client, n->b, IPPROTO_SCTP, CPORT, INNER, 0);

	name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_DROP);
	ck_assert_uint_eq(dropped(), INVALID);
}
END_TEST

/* Addresses that no service has. */
START_TEST(no_addresses)
{
	static const char *const a[] = { "127.0.0.1", "0.1.2.3", "224.0.0.1", "255.255.255.255",
					 "::", "::1", "fe80::1", "febf::1", "ff02::1",
					 "::ffff:10.0.0.1", "::10.0.0.1" };

	for (size_t i = 0; i < sizeof(a) / sizeof(*a); i++) {
		const struct names *n = &names[strchr(a[i], ':') != NULL];
		struct packet p = packet_make(NULL, n->client, n->b, IPPROTO_UDP,
					      (uint16_t)(CPORT + i), INNER, 0);

		name_service(&p, a[i], PORT, 0);
		ck_assert_msg(run("from_netdev", if_up, 0, &p) == ACT_DROP, "%s", a[i]);
		ck_assert_uint_eq(dropped(), INVALID);
	}
}
END_TEST

/* Segments of 1500 bytes that are cut later: their number is known, or not (virtio, tun). */
START_TEST(offloaded)
{
	bool v6 = _i & 1;
	struct __sk_buff skb = {
		.ifindex = if_up,
		.gso_segs = _i & 2 ? 0 : 2,
		.gso_size = 1500 - (v6 ? 60 : 40),
	};
	const struct names *n = &names[v6];
	struct packet p;
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p.data, .data_out = out,
		    .data_size_out = sizeof(out), .ctx_in = &skb, .ctx_size_in = sizeof(skb),
		    .repeat = 1);

	service(n, IPPROTO_TCP, n->far);
	balanced(n, IPPROTO_TCP, SYN, true);
	balanced(n, IPPROTO_TCP, ACK, false);
	each_flow(v6, false, true);
	packet_eth(&p, NULL, v6 ? 0x86dd : 0x0800);
	packet_ip(&p, n->client, n->vip, IPPROTO_TCP);
	packet_tcp(&p, CPORT, PORT, ACK);
	packet_data(&p, NULL, 2000 - p.len);
	packet_finish(&p);
	o.data_size_in = p.len;
	ck_assert_int_eq(bpf_prog_test_run_opts(clite_sys_prog_fd(ctx, "from_netdev"), &o), 0);
	ck_assert_int_eq((int)o.retval, ACT_REDIRECT);
	ck_assert_uint_eq(o.data_size_out, p.len); /* without the option */
}
END_TEST

/* A policy that comes stops what has begun, whatever is said. */
START_TEST(denied)
{
	const struct names *n = &names[_i];
	struct packet p;

	delivered(n, IPPROTO_TCP, SYN, n->vip);
	answered(n, IPPROTO_TCP, SYN | ACK, n->vip);
	delivered(n, IPPROTO_TCP, ACK, NULL);
	import("[{\"endpointSelector\": {\"matchLabels\": {\"app\": \"b\"}}, "
	       "\"ingress\": [{\"fromEndpoints\": [{\"matchLabels\": {\"app\": \"a\"}}]}]}]");
	p = packet_make(NULL, n->client, n->b, IPPROTO_TCP, CPORT, INNER, ACK);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_DROP);
	name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_DROP);
	p = packet_make(NULL, n->client, n->b, IPPROTO_TCP, CPORT, INNER, ACK);
	name_service(&p, _i ? FORGED6 : FORGED4, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_DROP);
	p = packet_make(host_b, n->b, n->client, IPPROTO_TCP, INNER, CPORT, ACK);
	ck_assert_int_eq(from_b(&p), ACT_DROP);
	each_flow(_i, true, false);
	ck_assert_int_eq(from_b(&p), ACT_DROP);
}
END_TEST

/* 32 bytes of options: the header is full with ours. */
START_TEST(full_header)
{
	static const uint8_t opts[32] = { 7, 31, 4 };
	const struct names *n = &names[0];
	struct packet p;

	service(n, IPPROTO_UDP, n->far);
	for (int i = 0; i < 2; i++) {
		packet_eth(&p, NULL, 0x0800);
		packet_ip_options(&p, n->client, i ? n->far : n->vip, IPPROTO_UDP, opts, sizeof(opts));
		packet_udp(&p, CPORT, i ? INNER : PORT);
		packet_data(&p, "hello", 5);
		packet_finish(&p);
		if (!i) {
			ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
		} else {
			hop(&p);
			name_service(&p, n->vip, PORT, 0);
			expect(&p);
			ck_assert_uint_eq(out[14], 0x4f);
		}
	}
	for (int i = 0; i < 2; i++) {
		packet_eth(&p, NULL, 0x0800);
		packet_ip_options(&p, n->client, n->b, IPPROTO_UDP, opts, sizeof(opts));
		packet_udp(&p, CPORT, INNER);
		packet_data(&p, "hello", 5);
		packet_finish(&p);
		if (!i) {
			name_service(&p, n->vip, PORT, 0);
			ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
		} else {
			hop(&p);
			expect(&p);
		}
	}
	answered(n, IPPROTO_UDP, 0, n->vip);
}
END_TEST

/* The endpoint's own ICMP error about a client's packet: from the service. */
START_TEST(own_error)
{
	const struct names *n = &names[_i];
	struct packet p, q = packet_make(NULL, n->client, n->b, IPPROTO_UDP, CPORT, INNER, 0);

	delivered(n, IPPROTO_UDP, 0, n->vip);
	packet_eth(&p, host_b, _i ? 0x86dd : 0x0800);
	packet_ip(&p, n->b, n->client, _i ? 58 : 1);
	packet_icmp(&p, _i ? 1 : 3, _i ? 4 : 3, 0);
	packet_data(&p, q.data + 14, q.len - 14);
	packet_finish(&p);
	ck_assert_int_eq(from_b(&p), ACT_REDIRECT);
	ck_assert(packet_sums_ok(out, out_len));
}
END_TEST

/* What one packet says is of no other flow. */
START_TEST(others_not)
{
	const struct names *n = &names[_i];
	struct packet p;

	delivered(n, IPPROTO_UDP, 0, n->vip);
	p = packet_make(NULL, n->client, n->b, IPPROTO_UDP, CPORT + 1, INNER, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	p = packet_make(host_b, n->b, n->client, IPPROTO_UDP, INNER, CPORT + 1, 0);
	ck_assert_int_eq(from_b(&p), ACT_PASS);
	/* and one with an option that says nothing there */
	delivered(n, IPPROTO_UDP, 0, n->vip);
	p = packet_make(NULL, n->client, n->b, IPPROTO_UDP, CPORT + 2, INNER, 0);
	name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_plain, 0, &p), ACT_REDIRECT);
	p = packet_make(host_b, n->b, n->client, IPPROTO_UDP, INNER, CPORT + 2, 0);
	ck_assert_int_eq(from_b(&p), ACT_PASS);
}
END_TEST

/* Two options: the first counts, the other goes on. */
START_TEST(two_options)
{
	const struct names *n = &names[_i];
	struct packet p = packet_make(NULL, n->client, n->b, IPPROTO_UDP, CPORT, INNER, 0);

	name_service(&p, _i ? FORGED6 : FORGED4, 666, 0);
	name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	ck_assert_uint_eq(out_len, p.len - n->room);
	ck_assert(packet_sums_ok(out, out_len));
	answered(n, IPPROTO_UDP, 0, n->vip);
}
END_TEST

/* Of a ping it says nothing. */
START_TEST(ping)
{
	const struct names *n = &names[_i];
	struct packet p = packet_ping(NULL, n->client, n->b, false, 7);

	name_service(&p, n->vip, PORT, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	ck_assert_uint_eq(out_len, p.len);
	p = packet_ping(host_b, n->b, n->client, true, 7);
	ck_assert_int_eq(from_b(&p), ACT_PASS);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dsr");
	TCase *t = tcase_create("dsr");
	SRunner *sr = srunner_create(s);
	int failed;

	if (geteuid()) {
		puts("needs root: skipped");
		return 77;
	}
	srunner_set_fork_status(sr, CK_NOFORK);
	tcase_add_checked_fixture(t, world_reset, NULL);
	tcase_add_loop_test(t, balancer_tcp, 0, 2);
	tcase_add_loop_test(t, balancer_udp, 0, 2);
	tcase_add_loop_test(t, sctp, 0, 2);
	tcase_add_loop_test(t, balancer_takes_over, 0, 2);
	tcase_add_loop_test(t, balancer_here, 0, 2);
	tcase_add_loop_test(t, balancer_reopens, 0, 2);
	tcase_add_loop_test(t, balancer_mtu, 0, 2);
	tcase_add_loop_test(t, other_options, 0, 2);
	tcase_add_test(t, second_place);
	tcase_add_loop_test(t, fragments, 0, 2);
	tcase_add_loop_test(t, node, 0, 2);
	tcase_add_loop_test(t, node_forgets, 0, 2);
	tcase_add_loop_test(t, node_judges_again, 0, 2);
	tcase_add_loop_test(t, node_denies, 0, 2);
	tcase_add_loop_test(t, other_uplink, 0, 2);
	tcase_add_loop_test(t, malformed, 0, 2);
	tcase_add_loop_test(t, no_service, 0, 2);
	tcase_add_loop_test(t, endpoints_may_not, 0, 2);
	tcase_add_loop_test(t, own_flow, 0, 2);
	tcase_add_loop_test(t, not_ours, 0, 2);
	tcase_add_loop_test(t, forged_through, 0, 2);
	tcase_add_loop_test(t, forged_here, 0, 2);
	tcase_add_loop_test(t, fragment_too_long, 0, 2);
	tcase_add_loop_test(t, no_place, 0, 2);
	tcase_add_loop_test(t, own_masqueraded, 0, 2);
	tcase_add_loop_test(t, sctp_port, 0, 2);
	tcase_add_test(t, no_addresses);
	tcase_add_loop_test(t, offloaded, 0, 4);
	tcase_add_loop_test(t, denied, 0, 2);
	tcase_add_test(t, full_header);
	tcase_add_loop_test(t, own_error, 0, 2);
	tcase_add_loop_test(t, others_not, 0, 2);
	tcase_add_loop_test(t, two_options, 0, 2);
	tcase_add_loop_test(t, ping, 0, 2);
	suite_add_tcase(s, t);
	world_make(0);
	uplinks_make();
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	world_remove();
	return failed ? 1 : 0;
}
