/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames in, frames out at XDP: outer packets byte by byte, which back end a flow gets
 * and keeps, and that everything else passes as it came. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <check.h>
#include <cilium-lite/sys/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clite_layout.h"
#include "world.h"

#define SYN 0x02
#define ACK 0x10
#define VIP4 "203.0.113.80"
#define VIP6 "2001:db8:80::80"
#define CLIENT4 "198.51.100.7"
#define CLIENT6 "2001:db8:7::7"
#define OUT4 "192.0.2.1" /* the uplink's own */
#define OUT6 "2001:db8::1"
#define PORT 80
#define GUE 6080
#define LIMIT 20000 /* of new flows in a second */
#define NO_BACKEND 158
#define NO_ROUTE 169
#define TOO_BIG 136

/* Back ends 11 to 14 are neighbours on the uplink, 21 on another device; nobody knows where 31
 * is, and 41 has no route. Their hardware addresses end with their number. */
static uint32_t if_other;
static uint8_t mac_up[6] = { 2, 0, 0, 0, 1, 1 }, mac_other[6] = { 2, 0, 0, 0, 1, 2 };

static void sh(const char *command)
{
	if (system(command)) {
		printf("%s failed\n", command);
		exit(1);
	}
}

static void uplinks_make(void)
{
	static const struct clite_device_opts xdp = {
		.sz = sizeof(xdp),
		.flags = CLITE_DEVICE_XDP | CLITE_DEVICE_XDP_GENERIC,
		.new_flows = LIMIT,
	};

	sh("ip link set uplink address 02:00:00:00:01:01");
	sh("ip link add other address 02:00:00:00:01:02 type veth peer name far");
	sh("ip link set other up && ip link set far up");
	sh("ip addr add 192.0.3.1/24 dev other && ip -6 addr add 2001:db8:3::1/64 dev other nodad");
	sh("for n in 11 12 13 14; do ip neigh add 192.0.2.$n lladdr 02:00:00:00:02:$n dev uplink;"
	   " ip -6 neigh add 2001:db8::$n lladdr 02:00:00:00:02:$n dev uplink; done");
	sh("ip neigh add 192.0.3.21 lladdr 02:00:00:00:02:21 dev other");
	sh("ip -6 neigh add 2001:db8:3::21 lladdr 02:00:00:00:02:21 dev other");
	sh("ip route add 192.0.2.13 dev uplink mtu lock 600");
	sh("ip -6 route add 2001:db8::13 dev uplink mtu lock 1300");
	if_other = if_nametoindex("other");
	if (clite_device_attach_opts(ctx, "uplink", &xdp)) {
		printf("uplink: %s\n", clite_error(ctx));
		exit(1);
	}
}

/* Every generation of a service makes the next packet ask for the way again. */
static uint32_t service_to(const char *address, uint32_t protocol, uint32_t mode,
			   const char *const *backends, size_t n)
{
	struct clite_backend b[8] = {};
	struct clite_service_opts o = {
		.sz = sizeof(o),
		.address = address,
		.port = PORT,
		.protocol = protocol,
		.algorithm = CLITE_LB_MAGLEV,
		.backends = b,
		.nbackends = n,
		.mode = mode,
	};
	uint32_t id;

	for (size_t i = 0; i < n; i++)
		b[i].address = backends[i];
	ck_assert_msg(clite_service_update(ctx, &o, &id) == 0, "%s", clite_error(ctx));
	return id;
}

#define SERVICE(address, protocol, mode, ...)                                     \
	service_to(address, protocol, mode, (const char *const[]){ __VA_ARGS__ }, \
		   sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static struct packet frame(bool v6, uint8_t proto, uint16_t sport, uint8_t flags)
{
	return packet_make(mac_up, v6 ? CLIENT6 : CLIENT4, v6 ? VIP6 : VIP4, proto, sport, PORT,
			   flags);
}

static uint16_t get16(size_t at)
{
	return (uint16_t)(out[at] << 8 | out[at + 1]);
}

static void address_is(size_t at, const char *text)
{
	uint8_t ip[16];
	bool v6 = strchr(text, ':');

	inet_pton(v6 ? AF_INET6 : AF_INET, text, ip);
	ck_assert_mem_eq(out + at, ip, v6 ? 16 : 4);
}

/* What came out is p, whole, in an outer packet to this back end. */
static void expect_outer(const struct packet *p, uint32_t mode, const char *dst)
{
	bool v6 = p->family == 6, gue = mode == CLITE_MODE_GUE;
	size_t ip = v6 ? 40 : 20, room = ip + (gue ? 8 : 0), inner = p->len - 14;
	uint8_t number = (uint8_t)strtoul(strrchr(dst, v6 ? ':' : '.') + 1, NULL, 16);
	uint8_t mac[6] = { 2, 0, 0, 0, 2, number };
	bool other = number == 0x21;

	ck_assert_uint_eq(out_len, p->len + room);
	ck_assert_mem_eq(out, mac, 6);
	ck_assert_mem_eq(out + 6, other ? mac_other : mac_up, 6);
	ck_assert_uint_eq(get16(12), v6 ? 0x86dd : 0x0800);
	ck_assert_mem_eq(out + 14 + room, p->data + 14, inner);
	if (v6) {
		ck_assert_uint_eq(out[14] >> 4, 6);
		ck_assert_uint_eq(get16(18), inner + room - 40);
		ck_assert_uint_eq(out[20], gue ? IPPROTO_UDP : IPPROTO_IPV6);
		ck_assert_uint_eq(out[21], 64);
		address_is(22, other ? "2001:db8:3::1" : OUT6);
		address_is(38, dst);
	} else {
		ck_assert_uint_eq(out[14], 0x45);
		ck_assert_uint_eq(get16(16), inner + room);
		ck_assert_uint_eq(get16(20), 0x4000);
		ck_assert_uint_eq(out[22], 64);
		ck_assert_uint_eq(out[23], gue ? IPPROTO_UDP : IPPROTO_IPIP);
		ck_assert_uint_eq(sum_fold(sum_bytes(0, out + 14, 20)), 0);
		address_is(26, other ? "192.0.3.1" : OUT4);
		address_is(30, dst);
	}
	if (gue) {
		ck_assert_uint_ge(get16(14 + ip), 0xc000);
		ck_assert_uint_eq(get16(16 + ip), GUE);
		ck_assert_uint_eq(get16(18 + ip), inner + 8);
		ck_assert_uint_eq(get16(20 + ip) != 0, v6);
		ck_assert(packet_sums_ok(out, out_len));
	}
}

/* Of the back end that it was sent to: the last number of its address. */
static unsigned int sent_to(const struct packet *p)
{
	int r = run_xdp(if_up, p);

	ck_assert_msg(r == XDP_TX || r == XDP_REDIRECT, "%d", r);
	return p->family == 6 ? out[53] : out[33];
}

static void expect_pass(const struct packet *p)
{
	int r = run_xdp(if_up, p);

	ck_assert_msg(r == XDP_PASS, "%d", r);
	ck_assert_uint_eq(out_len, p->len);
	ck_assert_mem_eq(out, p->data, p->len);
	ck_assert_uint_eq(dropped(), 0);
}

static void expect_drop(const struct packet *p, uint32_t reason)
{
	ck_assert_int_eq(run_xdp(if_up, p), XDP_DROP);
	ck_assert_uint_eq(dropped(), reason);
}

/* ---- what is sent ----------------------------------------------------------------- */

static const struct sent {
	bool v6;
	uint8_t proto;
	uint32_t mode;
} sent[] = {
	{ false, IPPROTO_TCP, CLITE_MODE_IPIP }, { false, IPPROTO_UDP, CLITE_MODE_IPIP },
	{ false, IPPROTO_TCP, CLITE_MODE_GUE },	 { false, IPPROTO_UDP, CLITE_MODE_GUE },
	{ true, IPPROTO_TCP, CLITE_MODE_IPIP },	 { true, IPPROTO_UDP, CLITE_MODE_IPIP },
	{ true, IPPROTO_TCP, CLITE_MODE_GUE },	 { true, IPPROTO_UDP, CLITE_MODE_GUE },
};

START_TEST(encapsulates)
{
	const struct sent *s = &sent[_i];
	const char *near = s->v6 ? "2001:db8::11" : "192.0.2.11";
	const char *far = s->v6 ? "2001:db8:3::21" : "192.0.3.21";
	struct packet p = frame(s->v6, s->proto, 1000, SYN);

	SERVICE(s->v6 ? VIP6 : VIP4, s->proto, s->mode, near);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
		expect_outer(&p, s->mode, near);
		/* then data, which the cache knows */
		p = frame(s->v6, s->proto, 1000, ACK);
	}
	/* longer, shorter, of a flow that nobody knows */
	p = frame(s->v6, s->proto, 1001, ACK);
	packet_data(&p, NULL, 1000);
	packet_finish(&p);
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	expect_outer(&p, s->mode, near);
	/* out of another device */
	SERVICE(s->v6 ? VIP6 : VIP4, s->proto, s->mode, far);
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_REDIRECT);
	expect_outer(&p, s->mode, far);
}
END_TEST

/* The outer packet ends where the packet inside ends, whatever the frame is padded with. */
START_TEST(padded)
{
	struct packet p = frame(false, IPPROTO_UDP, 1000, 0);
	size_t len = p.len;

	SERVICE(VIP4, IPPROTO_UDP, CLITE_MODE_GUE, "192.0.2.11");
	packet_data(&p, NULL, 60 - len);
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	ck_assert_uint_eq(out_len, 60 + 28);
	ck_assert_uint_eq(get16(16), len - 14 + 28);
	ck_assert_uint_eq(get16(14 + 24), len - 14 + 8);
	ck_assert_mem_eq(out + 42, p.data + 14, 46);
}
END_TEST

START_TEST(traffic_class)
{
	struct packet p = frame(false, IPPROTO_TCP, 1000, ACK);

	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11");
	SERVICE(VIP6, IPPROTO_TCP, CLITE_MODE_GUE, "2001:db8::11");
	p.data[15] = 0xb9; /* expedited, and that there was congestion */
	packet_finish(&p);
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	ck_assert_uint_eq(out[15], 0xb9);
	ck_assert(packet_sums_ok(out, out_len));
	p = frame(true, IPPROTO_TCP, 1000, ACK);
	p.data[14] = 0x6b;
	p.data[15] = 0x9f;
	p.data[16] = 0xed;
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	ck_assert_uint_eq(out[14], 0x6b);
	ck_assert_uint_eq(out[15] >> 4, 0x9);
	ck_assert(packet_sums_ok(out, out_len));
}
END_TEST

/* ---- what passes -------------------------------------------------------------------- */

START_TEST(not_ours)
{
	static const uint8_t options[] = { 1, 1, 1, 1 }, ext[6] = { 0 };
	struct packet p;

	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11");
	SERVICE(VIP6, IPPROTO_TCP, CLITE_MODE_IPIP, "2001:db8::11");
	SERVICE(VIP4, IPPROTO_UDP, CLITE_MODE_SNAT, "192.0.2.11");
	/* another address, port, protocol; one that is translated */
	p = packet_make(mac_up, CLIENT4, "203.0.113.81", IPPROTO_TCP, 1000, PORT, SYN);
	expect_pass(&p);
	p = packet_make(mac_up, CLIENT4, VIP4, IPPROTO_TCP, 1000, PORT + 1, SYN);
	expect_pass(&p);
	p = packet_make(mac_up, CLIENT6, VIP6, IPPROTO_UDP, 1000, PORT, 0);
	expect_pass(&p);
	p = frame(false, IPPROTO_UDP, 1000, 0);
	expect_pass(&p);
	/* pings */
	p = packet_ping(mac_up, CLIENT4, VIP4, false, 1);
	expect_pass(&p);
	p = packet_ping(mac_up, CLIENT6, VIP6, false, 1);
	expect_pass(&p);
	/* options, extension headers, fragments, other protocols */
	packet_eth(&p, mac_up, 0x0800);
	packet_ip_options(&p, CLIENT4, VIP4, IPPROTO_TCP, options, sizeof(options));
	packet_tcp(&p, 1000, PORT, SYN);
	packet_finish(&p);
	expect_pass(&p);
	for (uint8_t type = 0; type < 64; type += 20) {
		packet_eth(&p, mac_up, 0x86dd);
		packet_ip(&p, CLIENT6, VIP6, IPPROTO_TCP);
		packet_ext(&p, type == 20 ? 43 : type == 40 ? 44 : type, ext, IPPROTO_TCP);
		packet_tcp(&p, 1000, PORT, SYN);
		packet_finish(&p);
		expect_pass(&p);
	}
	for (int off = 0; off < 3; off++) {
		p = frame(false, IPPROTO_TCP, 1000, ACK);
		p.data[20] = off == 0 ? 0x20 : off == 1 ? 0x3f : 0;
		p.data[21] = off;
		packet_finish(&p);
		expect_pass(&p);
	}
	for (unsigned int proto = 0; proto < 256; proto++) {
		if (proto == IPPROTO_TCP)
			continue;
		p = frame(false, IPPROTO_TCP, 1000, ACK);
		p.data[23] = proto;
		expect_pass(&p);
		p = frame(true, IPPROTO_TCP, 1000, ACK);
		p.data[20] = proto;
		expect_pass(&p);
	}
	/* other frames */
	for (unsigned int type = 0; type < 0x10000; type += 0x88) {
		p = frame(false, IPPROTO_TCP, 1000, ACK);
		p.data[12] = type >> 8;
		p.data[13] = type;
		if (type != 0x0800)
			expect_pass(&p);
	}
}
END_TEST

/* Cut at every byte, with the lengths as they were and with honest ones. */
static void truncate_all(struct packet p, size_t l4)
{
	size_t len = p.len;

	for (size_t n = 14; n < len; n++) {
		p.len = n;
		expect_pass(&p);
	}
	for (size_t n = p.l4; n <= len; n++) {
		p.len = n;
		packet_finish(&p);
		if (n < p.l4 + l4)
			expect_pass(&p);
		else
			ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	}
}

START_TEST(truncated)
{
	for (int v6 = 0; v6 < 2; v6++) {
		SERVICE(v6 ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_GUE,
			v6 ? "2001:db8::11" : "192.0.2.11");
		SERVICE(v6 ? VIP6 : VIP4, IPPROTO_UDP, CLITE_MODE_GUE,
			v6 ? "2001:db8::11" : "192.0.2.11");
		truncate_all(frame(v6, IPPROTO_TCP, 1000, ACK), 20);
		truncate_all(frame(v6, IPPROTO_UDP, 1000, 0), 8);
	}
}
END_TEST

START_TEST(bad_headers)
{
	struct packet good = frame(false, IPPROTO_TCP, 1000, ACK), p;

	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11");
	SERVICE(VIP6, IPPROTO_TCP, CLITE_MODE_IPIP, "2001:db8::11");
	for (unsigned int first = 0; first < 256; first++) {
		p = good;
		p.data[14] = first;
		if (first != 0x45)
			expect_pass(&p);
	}
	for (unsigned int tot = 0; tot < 40; tot++) {
		p = good;
		p.data[16] = 0;
		p.data[17] = tot;
		expect_pass(&p);
	}
	p = good;
	p.data[16] = 0xff;
	expect_pass(&p);
	for (unsigned int doff = 0; doff < 16; doff++) {
		p = good;
		p.data[46] = doff << 4;
		/* 25 bytes of TCP are there */
		if (doff != 5 && doff != 6)
			expect_pass(&p);
	}
	p = frame(true, IPPROTO_TCP, 1000, ACK);
	p.data[14] = 0x45;
	expect_pass(&p);
	p = frame(true, IPPROTO_TCP, 1000, ACK);
	p.data[18] = 0xff;
	expect_pass(&p);
	p.data[18] = p.data[19] = 0;
	expect_pass(&p);
}
END_TEST

/* ---- back ends ------------------------------------------------------------------------ */

#define FLOWS 200

static void choices(uint8_t ret[FLOWS], bool v6, uint8_t proto, uint8_t flags)
{
	for (unsigned int i = 0; i < FLOWS; i++) {
		struct packet p = frame(v6, proto, (uint16_t)(2000 + i), flags);

		ret[i] = (uint8_t)sent_to(&p);
	}
}

static unsigned int differ(const uint8_t *a, const uint8_t *b)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < FLOWS; i++)
		n += a[i] != b[i];
	return n;
}

#define ALL4 "192.0.2.11", "192.0.2.12", "192.0.2.14"
#define ALL6 "2001:db8::11", "2001:db8::12", "2001:db8::14"

START_TEST(no_backend)
{
	struct packet p = frame(_i, IPPROTO_TCP, 1000, SYN);

	service_to(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, NULL, 0);
	expect_drop(&p, NO_BACKEND);
	/* also one that had one */
	SERVICE(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, _i ? "2001:db8::11" : "192.0.2.11");
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	service_to(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, NULL, 0);
	p = frame(_i, IPPROTO_TCP, 1000, ACK);
	expect_drop(&p, NO_BACKEND);
	world_reset();
	expect_pass(&p);
}
END_TEST

START_TEST(spreads)
{
	uint8_t to[FLOWS], again[FLOWS];
	unsigned int n[256] = {};

	SERVICE(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, _i ? "2001:db8::11" : "192.0.2.11",
		_i ? "2001:db8::12" : "192.0.2.12");
	choices(to, _i, IPPROTO_TCP, SYN);
	for (unsigned int i = 0; i < FLOWS; i++)
		n[to[i]]++;
	ck_assert_uint_gt(n[_i ? 0x11 : 11], FLOWS / 4);
	ck_assert_uint_gt(n[_i ? 0x12 : 12], FLOWS / 4);
	/* each time the same: from the cache, by the hash, as any other balancer does */
	choices(again, _i, IPPROTO_TCP, ACK);
	ck_assert_uint_eq(differ(to, again), 0);
	choices(again, _i, IPPROTO_TCP, SYN);
	ck_assert_uint_eq(differ(to, again), 0);
	world_reset();
	SERVICE(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_GUE, _i ? "2001:db8::11" : "192.0.2.11",
		_i ? "2001:db8::12" : "192.0.2.12");
	choices(again, _i, IPPROTO_TCP, ACK);
	ck_assert_uint_eq(differ(to, again), 0);
}
END_TEST

START_TEST(change_keeps_flows)
{
	uint8_t before[FLOWS], after[FLOWS], syn[FLOWS], udp[FLOWS];
	uint8_t gone = _i ? 0x12 : 12;

	if (_i) {
		SERVICE(VIP6, IPPROTO_TCP, CLITE_MODE_IPIP, "2001:db8::11", "2001:db8::12");
		SERVICE(VIP6, IPPROTO_UDP, CLITE_MODE_GUE, "2001:db8::11", "2001:db8::12");
	} else {
		SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11", "192.0.2.12");
		SERVICE(VIP4, IPPROTO_UDP, CLITE_MODE_GUE, "192.0.2.11", "192.0.2.12");
	}
	choices(before, _i, IPPROTO_TCP, SYN);
	choices(udp, _i, IPPROTO_UDP, 0);
	/* one more: nobody moves; twice, so that the second is about a flow that was kept */
	for (int i = 0; i < 2; i++) {
		if (_i) {
			SERVICE(VIP6, IPPROTO_TCP, CLITE_MODE_GUE, ALL6);
			SERVICE(VIP6, IPPROTO_UDP, CLITE_MODE_GUE, ALL6);
		} else {
			SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_GUE, ALL4);
			SERVICE(VIP4, IPPROTO_UDP, CLITE_MODE_GUE, ALL4);
		}
		choices(after, _i, IPPROTO_TCP, ACK);
		ck_assert_uint_eq(differ(before, after), 0);
		choices(after, _i, IPPROTO_UDP, 0);
		ck_assert_uint_eq(differ(udp, after), 0);
	}
	/* but a new connection with the same ports is a new flow */
	choices(syn, _i, IPPROTO_TCP, SYN);
	ck_assert_uint_gt(differ(before, syn), FLOWS / 8);
	choices(after, _i, IPPROTO_TCP, ACK);
	ck_assert_uint_eq(differ(after, syn), 0);
	/* one goes: its flows move, the others stay */
	if (_i)
		SERVICE(VIP6, IPPROTO_TCP, CLITE_MODE_GUE, "2001:db8::11", "2001:db8::14");
	else
		SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_GUE, "192.0.2.11", "192.0.2.14");
	choices(after, _i, IPPROTO_TCP, ACK);
	for (unsigned int i = 0; i < FLOWS; i++) {
		ck_assert_uint_ne(after[i], gone);
		if (syn[i] != gone)
			ck_assert_uint_eq(after[i], syn[i]);
	}
}
END_TEST

/* Another back end gets the number of one that is gone: that is no reason to keep its flows. */
START_TEST(numbers_come_again)
{
	uint8_t before[FLOWS], after[FLOWS], fresh[FLOWS];

	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11", "192.0.2.12");
	choices(before, false, IPPROTO_TCP, SYN);
	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11");
	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, ALL4);
	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11", "192.0.2.14");
	choices(after, false, IPPROTO_TCP, ACK);
	world_reset();
	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11", "192.0.2.14");
	choices(fresh, false, IPPROTO_TCP, SYN);
	for (unsigned int i = 0; i < FLOWS; i++)
		ck_assert_uint_eq(after[i], before[i] == 11 ? 11 : fresh[i]);
}
END_TEST

START_TEST(terminating)
{
	struct clite_backend b[] = {
		{ .address = "192.0.2.11", .state = CLITE_BACKEND_TERMINATING },
		{ .address = "192.0.2.12" },
	};
	struct clite_service_opts o = {
		.sz = sizeof(o),
		.address = VIP4,
		.port = PORT,
		.algorithm = CLITE_LB_MAGLEV,
		.backends = b,
		.nbackends = 2,
		.mode = CLITE_MODE_IPIP,
	};
	uint8_t before[FLOWS], after[FLOWS];

	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11", "192.0.2.12");
	choices(before, false, IPPROTO_TCP, SYN);
	ck_assert_int_eq(clite_service_update(ctx, &o, NULL), 0);
	choices(after, false, IPPROTO_TCP, ACK);
	ck_assert_uint_eq(differ(before, after), 0);
	choices(after, false, IPPROTO_TCP, SYN);
	for (unsigned int i = 0; i < FLOWS; i++)
		ck_assert_uint_eq(after[i], 12);
}
END_TEST

/* ---- the cache ------------------------------------------------------------------------- */

static void wait_ms(long ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* Nothing but packets: a second is soon over. */
static void many_flows(unsigned int n)
{
	struct packet p = frame(false, IPPROTO_TCP, 0, SYN);
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p.data, .data_size_in = p.len);
	int fd = clite_sys_prog_fd(ctx, "from_xdp");

	for (unsigned int i = 0; i < n; i++) {
		p.data[29] = 100 + i / 10000;
		p.data[34] = i % 10000 >> 8;
		p.data[35] = i % 10000;
		ck_assert_int_eq(bpf_prog_test_run_opts(fd, &o), 0);
		ck_assert_int_ne(o.retval, XDP_DROP);
		o.data_size_out = 0;
	}
}

/* Beyond the limit flows are sent on and not remembered. */
START_TEST(flood)
{
	uint8_t early[FLOWS], late[FLOWS], after[FLOWS];
	struct packet p;

	/* the second of the flows before this test is over */
	wait_ms(1100);
	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11", "192.0.2.12");
	choices(early, false, IPPROTO_TCP, SYN);
	/* what was seen once only may have to go for others */
	choices(after, false, IPPROTO_TCP, ACK);
	many_flows(LIMIT);
	for (unsigned int i = 0; i < FLOWS; i++) {
		p = packet_make(mac_up, CLIENT4, VIP4, IPPROTO_TCP, (uint16_t)(30000 + i), PORT,
				SYN);
		late[i] = (uint8_t)sent_to(&p);
	}
	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, ALL4);
	choices(after, false, IPPROTO_TCP, ACK);
	ck_assert_uint_eq(differ(early, after), 0);
	for (unsigned int i = 0; i < FLOWS; i++) {
		p = packet_make(mac_up, CLIENT4, VIP4, IPPROTO_TCP, (uint16_t)(30000 + i), PORT,
				ACK);
		after[i] = (uint8_t)sent_to(&p);
	}
	/* a third of them have moved to the new one */
	ck_assert_uint_gt(differ(late, after), FLOWS / 8);
}
END_TEST

/* Connections stay in a cache that a flood of SYNs goes through. */
START_TEST(flood_and_connections)
{
	struct clite_open_opts open = { .sz = sizeof(open), .flags = CLITE_OPEN_EPHEMERAL };
	struct clite_device_opts xdp = {
		.sz = sizeof(xdp),
		.flags = CLITE_DEVICE_XDP_GENERIC,
		.flows4 = 256,
		.new_flows = UINT32_MAX,
	};
	struct clite_ctx *world = ctx;
	unsigned int before[3];
	struct packet p;

	ck_assert_int_eq(clite_open(NULL, &open, &ctx), 0);
	ck_assert_msg(clite_device_attach_opts(ctx, "other", &xdp) == 0, "%s", clite_error(ctx));
	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11");
	for (uint16_t i = 0; i < 3; i++) {
		p = frame(false, IPPROTO_TCP, (uint16_t)(50000 + i), SYN);
		sent_to(&p);
		p = frame(false, IPPROTO_TCP, (uint16_t)(50000 + i), ACK);
		before[i] = sent_to(&p);
	}
	many_flows(20000);
	/* by the hash they would go to one of these others as often as not */
	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, ALL4);
	for (int round = 0; round < 8; round++) {
		for (uint16_t i = 0; i < 3; i++) {
			p = frame(false, IPPROTO_TCP, (uint16_t)(50000 + i), ACK);
			ck_assert_uint_eq(sent_to(&p), before[i]);
		}
		many_flows(1000);
	}
	clite_close(ctx);
	ctx = world;
}
END_TEST

/* A route or neighbour that changes is followed within a second. */
START_TEST(follows_routes)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 2, 0x99 };
	struct packet p = frame(false, IPPROTO_TCP, 1000, ACK);
	int i = 0;

	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.14");
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	expect_outer(&p, CLITE_MODE_IPIP, "192.0.2.14");
	sh("ip neigh replace 192.0.2.14 lladdr 02:00:00:00:02:99 dev uplink");
	do {
		ck_assert_int_lt(i++, 60);
		wait_ms(50);
		ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	} while (memcmp(out, mac, 6));
	sh("ip neigh replace 192.0.2.14 lladdr 02:00:00:00:02:14 dev uplink");
}
END_TEST

/* ---- the way out ------------------------------------------------------------------------- */

START_TEST(no_route)
{
	struct packet p = frame(false, IPPROTO_TCP, 1000, SYN);

	sh("ip route replace blackhole 192.0.2.41");
	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.41");
	expect_drop(&p, NO_ROUTE);
	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "10.99.0.1");
	expect_drop(&p, NO_ROUTE);
}
END_TEST

/* The stack has to ask who it is: the frame passes as it came, and tc sends it. */
START_TEST(neighbour_unknown)
{
	struct packet p = frame(_i, IPPROTO_TCP, 1000, SYN);

	SERVICE(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, _i ? "2001:db8::31" : "192.0.2.31");
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_PASS);
	/* before it stands what tc is told */
	ck_assert_uint_eq(out_len, p.len + sizeof(struct dp_cached));
	ck_assert_mem_eq(out + sizeof(struct dp_cached), p.data, p.len);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
}
END_TEST

/* An endpoint of this host gets nothing past its policies: what is for it is translated. */
START_TEST(endpoints)
{
	struct packet p = frame(_i, IPPROTO_TCP, 1000, SYN);

	SERVICE(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, _i ? A6 : A4);
	expect_pass(&p);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	ck_assert_uint_eq(out_len, p.len);
	/* nor what is routed to its device */
	sh("ip route replace 192.0.9.0/24 dev va && ip -6 route replace 2001:db8:9::/64 dev va");
	SERVICE(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, _i ? "2001:db8:9::1" : "192.0.9.1");
	expect_pass(&p);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_DROP);
}
END_TEST

/* Too long for the way to its back end with an outer packet: who sent it is told. */
static void expect_too_big(const struct packet *p, bool v6, size_t mtu)
{
	size_t ip = v6 ? 40 : 20, quoted = out_len - 14 - ip - 8;

	ck_assert_uint_eq(dropped(), TOO_BIG);
	ck_assert_mem_eq(out, p->data + 6, 6);
	ck_assert_mem_eq(out + 6, p->data, 6);
	ck_assert(packet_sums_ok(out, out_len));
	address_is(v6 ? 22 : 26, v6 ? VIP6 : VIP4);
	address_is(v6 ? 38 : 30, v6 ? CLIENT6 : CLIENT4);
	if (v6) {
		ck_assert_uint_eq(out[54], 2);
		ck_assert_uint_eq(get16(60), 1280); /* less than this is no IPv6 */
	} else {
		ck_assert_uint_eq(out[34], 3);
		ck_assert_uint_eq(out[35], 4);
		ck_assert_uint_eq(get16(40), mtu - ip);
	}
	ck_assert_uint_ge(quoted, ip + 8);
	ck_assert_mem_eq(out + 14 + ip + 8, p->data + 14, quoted);
}

START_TEST(too_large)
{
	struct packet p = frame(_i, IPPROTO_TCP, 1000, ACK);
	size_t ip = _i ? 40 : 20, mtu = _i ? 1300 : 600;

	SERVICE(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, _i ? "2001:db8::13" : "192.0.2.13");
	packet_data(&p, NULL, mtu - ip + 14 - p.len);
	packet_finish(&p);
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	expect_outer(&p, CLITE_MODE_IPIP, _i ? "2001:db8::13" : "192.0.2.13");
	/* one byte more */
	packet_data(&p, NULL, 1);
	packet_finish(&p);
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	expect_too_big(&p, _i, mtu);
}
END_TEST

/* An address for each flow: the same for its packets, and others for others. */
START_TEST(sources)
{
	static const struct clite_device_opts opts = {
		.sz = sizeof(opts),
		.source4 = "172.16.0.0/16",
		.source6 = "2001:db8:5::/64",
		.gue_port = 9886,
	};
	static const struct clite_device_opts back = {
		.sz = sizeof(back),
		.source4 = "192.0.2.1",
		.source6 = OUT6,
		.gue_port = GUE,
	};
	struct packet p = frame(false, IPPROTO_TCP, 1000, ACK),
		      q = frame(true, IPPROTO_TCP, 1000, ACK);
	uint8_t first4[4], first6[16];

	ck_assert_int_eq(clite_device_attach_opts(ctx, "other", &opts), 0);
	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11");
	SERVICE(VIP6, IPPROTO_TCP, CLITE_MODE_GUE, "2001:db8::11");
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	ck_assert_uint_eq(get16(26), 172 << 8 | 16);
	ck_assert(packet_sums_ok(out, out_len));
	memcpy(first4, out + 26, 4);
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	ck_assert_mem_eq(out + 26, first4, 4);
	p = frame(false, IPPROTO_TCP, 1001, ACK);
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	ck_assert_uint_eq(get16(26), 172 << 8 | 16);
	ck_assert_mem_ne(out + 26, first4, 4);
	ck_assert_int_eq(run_xdp(if_up, &q), XDP_TX);
	ck_assert_uint_eq(get16(14 + 40 + 2), 9886);
	ck_assert(packet_sums_ok(out, out_len));
	memcpy(first6, out + 22, 16);
	inet_pton(AF_INET6, "2001:db8:5::", first6);
	ck_assert_mem_eq(out + 22, first6, 12);
	ck_assert_mem_ne(out + 34, first6 + 12, 4);
	ck_assert_int_eq(clite_device_detach(ctx, "other"), 0);
	ck_assert_int_eq(clite_device_attach_opts(ctx, "other", &back), 0);
	ck_assert_int_eq(clite_device_detach(ctx, "other"), 0);
}
END_TEST

/* ---- what is told -------------------------------------------------------------------------- */

static struct {
	unsigned int n;
	uint32_t type, subtype;
	uint16_t service_port;
	char destination[64], original[64];
} told;

static int note(const struct clite_event *e, void *userdata)
{
	(void)userdata;
	told.n++;
	told.type = e->type;
	told.subtype = e->subtype;
	told.service_port = e->service_port;
	inet_ntop(e->family == 6 ? AF_INET6 : AF_INET, e->destination, told.destination,
		  sizeof(told.destination));
	inet_ntop(e->family == 6 ? AF_INET6 : AF_INET, e->original, told.original,
		  sizeof(told.original));
	return 0;
}

START_TEST(events)
{
	struct packet p = frame(_i, IPPROTO_TCP, 1000, SYN);
	struct clite_subscription *sub;

	SERVICE(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, _i ? "2001:db8::11" : "192.0.2.11");
	ck_assert_int_eq(clite_subscribe(ctx, NULL, note, NULL, &sub), 0);
	memset(&told, 0, sizeof(told));
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	ck_assert_int_eq(clite_dispatch(ctx, 0), 1);
	ck_assert_uint_eq(told.type, CLITE_EVENT_TRACE);
	ck_assert_uint_eq(told.subtype, 4);
	ck_assert_str_eq(told.destination, _i ? "2001:db8::11" : "192.0.2.11");
	ck_assert_str_eq(told.original, _i ? VIP6 : VIP4);
	/* the rest of the flow is not */
	p = frame(_i, IPPROTO_TCP, 1000, ACK);
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	ck_assert_int_eq(clite_dispatch(ctx, 0), 0);
	SERVICE(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, _i ? "2001:db8::13" : "192.0.2.13");
	packet_data(&p, NULL, 1300);
	packet_finish(&p);
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	ck_assert_int_ge(clite_dispatch(ctx, 0), 1);
	ck_assert_uint_eq(told.type, CLITE_EVENT_DROP);
	ck_assert_uint_eq(told.subtype, TOO_BIG);
	ck_assert_str_eq(told.destination, _i ? VIP6 : VIP4);
	service_to(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, NULL, 0);
	p = frame(_i, IPPROTO_TCP, 1000, ACK);
	expect_drop(&p, NO_BACKEND);
	ck_assert_int_eq(clite_dispatch(ctx, 0), 1);
	ck_assert_uint_eq(told.type, CLITE_EVENT_DROP);
	ck_assert_uint_eq(told.subtype, NO_BACKEND);
	clite_unsubscribe(sub);
}
END_TEST

static struct packet captured;

static int note_bytes(const struct clite_event *e, void *userdata)
{
	(void)userdata;
	ck_assert_uint_le(e->packet_bytes, sizeof(captured.data));
	captured.len = e->packet_bytes;
	memcpy(captured.data, e->packet, captured.len);
	return 0;
}

/* The frame as it came, without its outer packet, also when it is dropped; cut off. */
START_TEST(bytes)
{
	struct packet p = frame(_i, IPPROTO_TCP, 1000, SYN);
	struct clite_subscribe_opts o = { .sz = sizeof(o), .capture_bytes = 1500,
					  .types = 1u << CLITE_EVENT_DROP | 1u << CLITE_EVENT_TRACE };
	struct clite_subscription *sub;

	SERVICE(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, _i ? "2001:db8::11" : "192.0.2.11");
	ck_assert_int_eq(clite_subscribe(ctx, &o, note_bytes, NULL, &sub), 0);
	packet_data(&p, NULL, 700);
	packet_finish(&p);
	ck_assert_int_eq(run_xdp(if_up, &p), XDP_TX);
	ck_assert_int_eq(clite_dispatch(ctx, 0), 1);
	ck_assert_uint_eq(captured.len, p.len);
	ck_assert_mem_eq(captured.data, p.data, p.len);
	service_to(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, NULL, 0);
	p = frame(_i, IPPROTO_TCP, 1001, SYN);
	expect_drop(&p, NO_BACKEND);
	ck_assert_int_eq(clite_dispatch(ctx, 0), 1);
	ck_assert_uint_eq(captured.len, p.len);
	ck_assert_mem_eq(captured.data, p.data, p.len);
	clite_unsubscribe(sub);
	o.capture_bytes = 30;
	ck_assert_int_eq(clite_subscribe(ctx, &o, note_bytes, NULL, &sub), 0);
	expect_drop(&p, NO_BACKEND);
	ck_assert_int_eq(clite_dispatch(ctx, 0), 1);
	ck_assert_uint_eq(captured.len, 30);
	ck_assert_mem_eq(captured.data, p.data, 30);
	clite_unsubscribe(sub);
}
END_TEST

/* ---- at tc ------------------------------------------------------------------------------------ */

/* The same outer packet without XDP; redirect_neigh writes the Ethernet header later. */
START_TEST(at_tc)
{
	const struct sent *s = &sent[_i];
	const char *near = s->v6 ? "2001:db8::11" : "192.0.2.11";
	struct packet p = frame(s->v6, s->proto, 1000, SYN);

	SERVICE(s->v6 ? VIP6 : VIP4, s->proto, s->mode, near);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	memcpy(out, (uint8_t[]){ 2, 0, 0, 0, 2, 0x11 }, 6);
	memcpy(out + 6, mac_up, 6);
	expect_outer(&p, s->mode, near);
	/* where no back end is */
	service_to(s->v6 ? VIP6 : VIP4, s->proto, s->mode, NULL, 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_DROP);
	ck_assert_uint_eq(dropped(), NO_BACKEND);
}
END_TEST

START_TEST(tc_too_large)
{
	struct packet p = frame(_i, IPPROTO_TCP, 1000, ACK);
	size_t ip = _i ? 40 : 20, mtu = _i ? 1300 : 600;

	SERVICE(_i ? VIP6 : VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, _i ? "2001:db8::13" : "192.0.2.13");
	packet_data(&p, NULL, mtu - ip + 14 - p.len);
	packet_finish(&p);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	packet_data(&p, NULL, 1);
	packet_finish(&p);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	expect_too_big(&p, _i, mtu);
}
END_TEST

/* Both choose alike. */
START_TEST(tc_agrees)
{
	if (_i)
		SERVICE(VIP6, IPPROTO_TCP, CLITE_MODE_IPIP, ALL6);
	else
		SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, ALL4);
	for (unsigned int i = 0; i < FLOWS; i++) {
		struct packet p = frame(_i, IPPROTO_TCP, (uint16_t)(2000 + i), SYN);
		unsigned int to = sent_to(&p);

		ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
		ck_assert_uint_eq(_i ? out[53] : out[33], to);
	}
}
END_TEST

/* Options and fragments, and what a router says about the answers. */
START_TEST(tc_rest)
{
	static const uint8_t options[] = { 1, 1, 1, 1 };
	struct packet p, q;

	SERVICE(VIP4, IPPROTO_UDP, CLITE_MODE_IPIP, ALL4);
	packet_eth(&p, mac_up, 0x0800);
	packet_ip_options(&p, CLIENT4, VIP4, IPPROTO_UDP, options, sizeof(options));
	packet_udp(&p, 1000, PORT);
	packet_finish(&p);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	ck_assert_uint_eq(out_len, p.len + 20);
	ck_assert_mem_eq(out + 34, p.data + 14, p.len - 14);

	/* all of a datagram's go to the same */
	for (uint16_t port = 1000; port < 1020; port++) {
		uint8_t first;

		p = frame(false, IPPROTO_UDP, port, 0);
		p.data[18] = port >> 8;
		p.data[19] = port;
		p.data[20] = 0x20;
		packet_finish(&p);
		ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
		first = out[33];
		q = p;
		q.data[20] = 0;
		q.data[21] = 100;
		memset(q.data + 34, 0xaa, q.len - 34);
		q.data[24] = q.data[25] = 0;
		ck_assert_int_eq(run("from_netdev", if_up, 0, &q), ACT_REDIRECT);
		ck_assert_uint_eq(out[33], first);

		/* an error about an answer, too */
		q = packet_make(mac_up, VIP4, CLIENT4, IPPROTO_UDP, PORT, port, 0);
		packet_eth(&p, mac_up, 0x0800);
		packet_ip(&p, "198.51.100.1", VIP4, IPPROTO_ICMP);
		packet_icmp(&p, 3, 4, 0);
		packet_data(&p, q.data + 14, 28);
		packet_finish(&p);
		ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
		ck_assert_uint_eq(out[33], first);
		ck_assert_uint_eq(out[23], IPPROTO_IPIP);
		ck_assert_mem_eq(out + 34, p.data + 14, p.len - 14);
	}
	p = packet_ping(mac_up, CLIENT4, VIP4, false, 1);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_PASS);
}
END_TEST

/* An error about a service's answer names the service, not its own type as a port. */
START_TEST(tc_error_told)
{
	struct clite_subscribe_opts o = { .sz = sizeof(o),
					  .aggregation = CLITE_AGGREGATE_NONE + 1 };
	struct packet p, q = packet_make(mac_up, VIP4, CLIENT4, IPPROTO_UDP, PORT, 1000, 0);
	struct clite_subscription *sub;

	SERVICE(VIP4, IPPROTO_UDP, CLITE_MODE_IPIP, "192.0.2.11");
	packet_eth(&p, mac_up, 0x0800);
	packet_ip(&p, "198.51.100.1", VIP4, IPPROTO_ICMP);
	packet_icmp(&p, 3, 4, 0);
	packet_data(&p, q.data + 14, 28);
	packet_finish(&p);
	ck_assert_int_eq(clite_subscribe(ctx, &o, note, NULL, &sub), 0);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	ck_assert_int_eq(clite_dispatch(ctx, 0), 1);
	ck_assert_uint_eq(told.type, CLITE_EVENT_TRACE);
	ck_assert_uint_eq(told.service_port, PORT);
	ck_assert_str_eq(told.original, VIP4);
	ck_assert_str_eq(told.destination, "192.0.2.11");
	clite_unsubscribe(sub);
}
END_TEST

/* ---- nonsense ------------------------------------------------------------------------------------ */

/* Bytes changed at random: it is sent whole to the back end, dropped or passed as it came. */
START_TEST(mutated)
{
	SERVICE(VIP4, IPPROTO_TCP, CLITE_MODE_IPIP, "192.0.2.11");
	SERVICE(VIP4, IPPROTO_UDP, CLITE_MODE_GUE, "192.0.2.11");
	SERVICE(VIP6, IPPROTO_TCP, CLITE_MODE_GUE, "2001:db8::11");
	SERVICE(VIP6, IPPROTO_UDP, CLITE_MODE_IPIP, "2001:db8::11");
	srandom(4);
	for (unsigned int i = 0; i < 20000; i++) {
		struct packet p = frame(random() & 1, random() & 1 ? IPPROTO_TCP : IPPROTO_UDP,
					1000, (uint8_t)random());
		int r;

		for (long n = random() % 4; n >= 0; n--)
			p.data[random() % (long)p.len] = (uint8_t)random();
		if (!(random() & 3))
			p.len = 14 + (size_t)random() % (p.len - 13);
		r = run_xdp(if_up, &p);
		if (r == XDP_PASS) {
			ck_assert_uint_eq(out_len, p.len);
			ck_assert_mem_eq(out, p.data, p.len);
		} else {
			ck_assert_int_eq(r, XDP_TX);
			ck_assert_uint_gt(out_len, p.len);
			ck_assert_mem_eq(out + 14 + (out_len - p.len), p.data + 14, p.len - 14);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("xdp");
	TCase *t = tcase_create("frames");
	SRunner *sr = srunner_create(s);
	cpu_set_t one;
	int failed;

	if (geteuid()) {
		puts("needs root: skipped");
		return 77;
	}
	/* A flow's packets stay on a CPU: so does the cache's knowledge of it. */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	srunner_set_fork_status(sr, CK_NOFORK);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, world_reset, NULL);
	tcase_add_loop_test(t, encapsulates, 0, sizeof(sent) / sizeof(*sent));
	tcase_add_test(t, padded);
	tcase_add_test(t, traffic_class);
	tcase_add_test(t, not_ours);
	tcase_add_test(t, truncated);
	tcase_add_test(t, bad_headers);
	tcase_add_loop_test(t, no_backend, 0, 2);
	tcase_add_loop_test(t, spreads, 0, 2);
	tcase_add_loop_test(t, change_keeps_flows, 0, 2);
	tcase_add_test(t, numbers_come_again);
	tcase_add_test(t, terminating);
	tcase_add_test(t, flood);
	tcase_add_test(t, flood_and_connections);
	tcase_add_test(t, follows_routes);
	tcase_add_test(t, no_route);
	tcase_add_loop_test(t, neighbour_unknown, 0, 2);
	tcase_add_loop_test(t, endpoints, 0, 2);
	tcase_add_loop_test(t, too_large, 0, 2);
	tcase_add_test(t, sources);
	tcase_add_loop_test(t, events, 0, 2);
	tcase_add_loop_test(t, bytes, 0, 2);
	tcase_add_loop_test(t, at_tc, 0, sizeof(sent) / sizeof(*sent));
	tcase_add_loop_test(t, tc_too_large, 0, 2);
	tcase_add_loop_test(t, tc_agrees, 0, 2);
	tcase_add_test(t, tc_rest);
	tcase_add_test(t, tc_error_told);
	tcase_add_test(t, mutated);
	suite_add_tcase(s, t);
	world_make(0);
	uplinks_make();
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	world_remove();
	return failed ? 1 : 0;
}
