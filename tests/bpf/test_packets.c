/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets in, packets out: what the programs make of every kind of packet that an
 * endpoint, the host or the world may send, malformed ones above all. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define SYN 0x02
#define ACK 0x10

static uint16_t get16(size_t at)
{
	return (uint16_t)(out[at] << 8 | out[at + 1]);
}

static void expect_drop(int ret, uint32_t reason)
{
	ck_assert_int_eq(ret, ACT_DROP);
	ck_assert_uint_eq(dropped(), reason);
}

static void expect_to_b(int ret)
{
	ck_assert_int_eq(ret, ACT_REDIRECT);
	ck_assert_mem_eq(out, mac_b, 6);
	ck_assert_mem_eq(out + 6, host_b, 6);
	ck_assert(packet_sums_ok(out, out_len));
}

/* ---- delivery --------------------------------------------------------------- */

START_TEST(delivers)
{
	struct packet p = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, SYN);

	expect_to_b(from_a(&p));
	ck_assert_uint_eq(out[14 + 8], 63);
	/* established: the short way */
	p = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, ACK);
	expect_to_b(from_a(&p));
	expect_to_b(from_a(&p));
	ck_assert_uint_eq(out[14 + 8], 63);
	p = packet_make(host_a, A6, B6, IPPROTO_TCP, 1000, 80, SYN);
	expect_to_b(from_a(&p));
	ck_assert_uint_eq(out[14 + 7], 63);
	p = packet_make(host_a, A6, B6, IPPROTO_TCP, 1000, 80, ACK);
	expect_to_b(from_a(&p));
	p = packet_make(host_a, A6, B6, IPPROTO_UDP, 1000, 53, 0);
	expect_to_b(from_a(&p));
	p = packet_ping(host_a, A4, B4, false, 7);
	expect_to_b(from_a(&p));
	p = packet_ping(host_a, A6, B6, false, 7);
	expect_to_b(from_a(&p));
}
END_TEST

START_TEST(world_and_host)
{
	struct packet p = packet_make(host_a, A4, W4, IPPROTO_TCP, 1000, 80, SYN);

	ck_assert_int_eq(from_a(&p), ACT_PASS);
	ck_assert_uint_eq(out[14 + 8], 64); /* the stack counts the hop */
	p = packet_make(host_a, A4, HOST4, IPPROTO_TCP, 1000, 80, SYN);
	ck_assert_int_eq(from_a(&p), ACT_PASS);
	p = packet_make(NULL, HOST4, B4, IPPROTO_TCP, 1000, 80, SYN);
	ck_assert_int_eq(host_to_b(&p), ACT_PASS);
	p = packet_make(NULL, W4, B4, IPPROTO_TCP, 1000, 80, SYN);
	ck_assert_int_eq(world_to_b(&p), ACT_PASS);
	/* on an uplink: past the stack */
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_REDIRECT);
	/* what is no endpoint's is left alone there */
	p = packet_make(NULL, W4, HOST4, IPPROTO_TCP, 1000, 80, SYN);
	ck_assert_int_eq(run("from_netdev", if_up, 0, &p), ACT_PASS);
}
END_TEST

START_TEST(hop_limit)
{
	struct packet p = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, SYN);

	p.data[14 + 8] = 1;
	packet_finish(&p);
	expect_drop(from_a(&p), 196);
	p = packet_make(host_a, A6, B6, IPPROTO_TCP, 1000, 80, SYN);
	p.data[14 + 7] = 1;
	expect_drop(from_a(&p), 196);
}
END_TEST

/* ---- liars ------------------------------------------------------------------ */

START_TEST(spoofed)
{
	static const char *const from[] = { B4, W4, HOST4, "10.0.0.77", "127.0.0.1", "0.0.0.0" };
	static const char *const from6[] = { B6, W6, "fe80::1", "::1", "::" };
	struct packet p;

	for (size_t i = 0; i < sizeof(from) / sizeof(*from); i++) {
		p = packet_make(host_a, from[i], B4, IPPROTO_TCP, 1000, 80, SYN);
		expect_drop(from_a(&p), 132);
	}
	for (size_t i = 0; i < sizeof(from6) / sizeof(*from6); i++) {
		p = packet_make(host_a, from6[i], B6, IPPROTO_UDP, 1000, 80, 0);
		expect_drop(from_a(&p), 132);
	}
	/* an established flow of B's does not help A */
	p = packet_make(host_b, B4, W4, IPPROTO_TCP, 1000, 80, SYN);
	ck_assert_int_eq(from_b(&p), ACT_PASS);
	expect_drop(from_a(&p), 132);
	/* nor does one of A's to B help the world */
	p = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, SYN);
	expect_to_b(from_a(&p));
	expect_drop(world_to_b(&p), 132);
	expect_drop(run("from_netdev", if_up, 0, &p), 132);
	/* a device that is no endpoint's */
	expect_drop(run("from_endpoint", if_up, 0, &p), 203);
}
END_TEST

/* ---- malformed --------------------------------------------------------------- */

/* Cut at every byte: what is not whole is not delivered. */
static void truncate_all(struct packet p, size_t whole)
{
	size_t len = p.len;

	/* A test run takes no frame without a whole IP header; test_frames sends those. */
	for (size_t n = p.l4; n < len; n++) {
		int r;

		p.len = n;
		r = from_a(&p);
		/* The length fields say more than there is. */
		ck_assert_msg(r == ACT_DROP, "%zu of %zu bytes: %d", n, len, r);
		ck_assert_uint_ne(dropped(), 0);
	}
	/* with honest lengths it is whole as soon as the headers are */
	for (size_t n = 54; n <= len; n++) {
		int r;

		p.len = n;
		if (n < p.l4)
			continue;
		packet_finish(&p);
		r = from_a(&p);
		ck_assert_msg(n < whole ? r == ACT_DROP : r == ACT_REDIRECT, "%zu: %d", n, r);
	}
}

START_TEST(truncated)
{
	truncate_all(packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, SYN), 54);
	truncate_all(packet_make(host_a, A6, B6, IPPROTO_TCP, 1000, 80, SYN), 74);
	truncate_all(packet_make(host_a, A6, B6, IPPROTO_UDP, 1000, 80, 0), 62);
	truncate_all(packet_ping(host_a, A6, B6, false, 1), 62);
}
END_TEST

START_TEST(bad_lengths)
{
	struct packet good = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, SYN), p;

	for (int established = 0; established < 2; established++) {
		for (int ihl = 0; ihl < 5; ihl++) {
			p = good;
			p.data[14] = 0x40 | ihl;
			expect_drop(from_a(&p), 134);
		}
		p = good;
		p.data[14] = 0x65;
		expect_drop(from_a(&p), 134);
		for (int tot = 0; tot < 20; tot++) {
			p = good;
			p.data[16] = 0;
			p.data[17] = tot;
			expect_drop(from_a(&p), 134);
		}
		for (int tot = 20; tot < 40; tot++) {
			p = good;
			p.data[17] = tot;
			expect_drop(from_a(&p), 135);
		}
		p = good;
		p.data[17] = p.len - 14 + 1;
		expect_drop(from_a(&p), 134);
		for (int doff = 0; doff < 5; doff++) {
			p = good;
			p.data[14 + 20 + 12] = doff << 4;
			expect_drop(from_a(&p), 135);
		}
		p = good;
		p.data[14 + 20 + 12] = 15 << 4; /* more header than packet */
		expect_drop(from_a(&p), 135);
		/* and all of it again for an established flow */
		expect_to_b(from_a(&good));
		good.data[14 + 20 + 13] = ACK;
		packet_finish(&good);
		expect_to_b(from_a(&good));
	}
}
END_TEST

START_TEST(ipv4_options)
{
	static const uint8_t nops[] = { 1, 1, 1, 0 }, record[] = { 7, 7, 4, 0, 0, 0, 0 },
			     lsrr[] = { 131, 7, 4, 10, 0, 0, 99 },
			     ssrr[] = { 1, 137, 7, 4, 10, 0, 0, 99 }, zero[] = { 7, 0, 0, 0 },
			     one[] = { 7, 1, 0, 0 }, past[] = { 7, 40, 4, 0 },
			     late[] = { 1, 1, 1, 131 };
	static const struct {
		const uint8_t *o;
		size_t n;
		bool ok;
	} cases[] = {
		{ nops, sizeof(nops), true },	{ record, sizeof(record), true },
		{ lsrr, sizeof(lsrr), false },	{ ssrr, sizeof(ssrr), false },
		{ zero, sizeof(zero), false },	{ one, sizeof(one), false },
		{ past, sizeof(past), false },	{ late, sizeof(late), false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct packet p;

		packet_eth(&p, host_a, 0x0800);
		packet_ip_options(&p, A4, B4, IPPROTO_UDP, cases[i].o, cases[i].n);
		packet_udp(&p, 1000, 80);
		packet_finish(&p);
		if (cases[i].ok)
			expect_to_b(from_a(&p));
		else
			expect_drop(from_a(&p), 134);
	}
}
END_TEST

static const uint8_t pad6[6] = { 1, 4 }; /* PadN that fills an extension header */

static struct packet chain(int n, uint8_t type, const uint8_t *body)
{
	struct packet p;

	packet_eth(&p, host_a, 0x86dd);
	packet_ip(&p, A6, B6, IPPROTO_UDP);
	for (int i = 0; i < n; i++)
		packet_ext(&p, type, body, IPPROTO_UDP);
	packet_udp(&p, 1000, 80);
	packet_data(&p, "hello", 5);
	packet_finish(&p);
	return p;
}

START_TEST(ipv6_extensions)
{
	static const uint8_t left[6] = { 0, 1 }, none[6] = { 0, 0 };
	struct packet p;

	for (int n = 1; n < 8; n++) {
		p = chain(n, IPPROTO_DSTOPTS, pad6);
		ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	}
	p = chain(9, IPPROTO_DSTOPTS, pad6);
	expect_drop(from_a(&p), 156);
	p = chain(1, IPPROTO_HOPOPTS, pad6);
	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	/* a route with stops on the way: the destination is not the end */
	p = chain(1, IPPROTO_ROUTING, left);
	expect_drop(from_a(&p), 156);
	p = chain(1, IPPROTO_ROUTING, none);
	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	p = chain(2, IPPROTO_FRAGMENT, none);
	expect_drop(from_a(&p), 156);
	/* a header that is longer than the packet */
	p = chain(1, IPPROTO_DSTOPTS, pad6);
	p.data[14 + 40 + 1] = 200;
	expect_drop(from_a(&p), 156);
	/* the chain ends in nothing that has ports */
	p = chain(1, IPPROTO_DSTOPTS, pad6);
	p.data[14 + 40] = 59;
	expect_drop(from_a(&p), 137);
	/* cut inside an extension header */
	p = chain(3, IPPROTO_DSTOPTS, pad6);
	for (size_t n = 14 + 40; n < 14 + 40 + 24 + 8; n++) {
		p.len = n;
		p.data[14 + 4] = 0;
		p.data[14 + 5] = n - 54;
		ck_assert_int_eq(from_a(&p), ACT_DROP);
	}
}
END_TEST

START_TEST(other_protocols)
{
	static const uint8_t protos[] = { 0, 2, 4, 41, 47, 50, 89, 103, 112, 136, 255 };
	struct packet p = packet_make(host_a, A4, B4, IPPROTO_UDP, 1000, 80, 0);

	for (size_t i = 0; i < sizeof(protos); i++) {
		p.data[14 + 9] = protos[i];
		expect_drop(from_a(&p), 137);
	}
	packet_eth(&p, host_a, 0x88cc); /* LLDP */
	packet_data(&p, NULL, 50);
	expect_drop(from_a(&p), 139);
	/* ICMPv6 in IPv4 and the other way round */
	p = packet_ping(host_a, A4, B4, false, 1);
	p.data[14 + 9] = IPPROTO_ICMPV6;
	expect_drop(from_a(&p), 137);
	p = packet_ping(host_a, A6, B6, false, 1);
	p.data[14 + 6] = IPPROTO_ICMP;
	expect_drop(from_a(&p), 137);
}
END_TEST

/* ---- fragments ---------------------------------------------------------------- */

static struct packet fragment4(uint16_t id, uint16_t offset, bool more, uint8_t proto,
			       uint16_t dport, size_t n)
{
	struct packet p;

	packet_eth(&p, host_a, 0x0800);
	packet_ip(&p, A4, B4, proto);
	if (!offset)
		packet_udp(&p, 1000, dport);
	packet_data(&p, NULL, n);
	packet_finish(&p);
	p.data[18] = id >> 8;
	p.data[19] = id;
	p.data[20] = (more ? 0x20 : 0) | offset >> 8;
	p.data[21] = offset;
	p.data[24] = p.data[25] = 0;
	uint16_t sum = sum_fold(sum_bytes(0, p.data + 14, 20));
	p.data[24] = sum >> 8;
	p.data[25] = sum;
	return p;
}

START_TEST(fragments)
{
	struct packet p = fragment4(1, 64, false, IPPROTO_UDP, 80, 100);

	expect_drop(from_a(&p), 175); /* the first is not known */
	p = fragment4(1, 0, true, IPPROTO_UDP, 80, 504);
	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	p = fragment4(1, 64, false, IPPROTO_UDP, 80, 100);
	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	/* the same datagram from another endpoint is not the same */
	expect_drop(from_b(&p), 175);
	/* a first fragment without its ports */
	p = fragment4(2, 0, true, IPPROTO_UDP, 80, 0);
	p.data[17] = 24;
	p.len = 14 + 24;
	expect_drop(from_a(&p), 135);
	/* the flags of a TCP header in a fragment of their own */
	p = fragment4(3, 1, false, IPPROTO_TCP, 80, 64);
	expect_drop(from_a(&p), 134);
}
END_TEST

START_TEST(fragments_overlap)
{
	struct packet p;

	import("{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: f},"
	       " spec: {endpointSelector: {matchLabels: {app: b}}, ingress: [{toPorts: [{ports:"
	       " [{port: '80', protocol: UDP}]}]}]}}");
	p = fragment4(1, 0, true, IPPROTO_UDP, 80, 504);
	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	/* another first fragment of the datagram, with another port: judged itself */
	p = fragment4(1, 0, true, IPPROTO_UDP, 81, 504);
	expect_drop(from_a(&p), 133);
	/* what follows belongs to the denied ports now */
	p = fragment4(1, 64, false, IPPROTO_UDP, 0, 100);
	expect_drop(from_a(&p), 133);
}
END_TEST

static struct packet fragment6(uint32_t id, uint16_t offset, bool more, size_t n)
{
	uint8_t body[6] = { offset >> 5, (uint8_t)(offset << 3) | more, 0, 0, 0, (uint8_t)id };
	struct packet p;

	packet_eth(&p, host_a, 0x86dd);
	packet_ip(&p, A6, B6, IPPROTO_UDP);
	packet_ext(&p, IPPROTO_FRAGMENT, body, IPPROTO_UDP);
	if (!offset)
		packet_udp(&p, 1000, 80);
	packet_data(&p, NULL, n);
	p.data[18] = (p.len - 54) >> 8;
	p.data[19] = p.len - 54;
	return p;
}

START_TEST(fragments6)
{
	struct packet p = fragment6(9, 64, false, 100);

	expect_drop(from_a(&p), 175);
	p = fragment6(9, 0, true, 504);
	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	p = fragment6(9, 64, false, 100);
	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	p = fragment6(10, 64, false, 100);
	expect_drop(from_a(&p), 175);
}
END_TEST

/* ---- neighbours ---------------------------------------------------------------- */

static struct packet arp(uint16_t op, const char *spa, const char *tpa)
{
	struct packet p;
	uint8_t *a;

	packet_eth(&p, (const uint8_t *)"\xff\xff\xff\xff\xff\xff", 0x0806);
	memcpy(p.data + 6, mac_a, 6);
	a = p.data + p.len;
	memcpy(a, "\0\1\x08\0\6\4", 6);
	a[7] = op;
	memcpy(a + 8, mac_a, 6);
	inet_pton(AF_INET, spa, a + 14);
	inet_pton(AF_INET, tpa, a + 24);
	p.len += 28;
	return p;
}

START_TEST(answers_arp)
{
	struct packet p = arp(1, A4, "169.254.1.1");
	uint8_t gateway[4];

	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	ck_assert_mem_eq(out, mac_a, 6);
	ck_assert_mem_eq(out + 6, host_a, 6);
	ck_assert_uint_eq(get16(14 + 6), 2);
	ck_assert_mem_eq(out + 14 + 8, host_a, 6);
	inet_pton(AF_INET, "169.254.1.1", gateway);
	ck_assert_mem_eq(out + 14 + 14, gateway, 4);
	ck_assert_mem_eq(out + 14 + 18, mac_a, 6);
	/* its own address: a probe for duplicates is not answered */
	p = arp(1, "0.0.0.0", A4);
	ck_assert_int_eq(from_a(&p), ACT_DROP);
	ck_assert_uint_eq(dropped(), 0);
	/* somebody else's name */
	p = arp(1, B4, "169.254.1.1");
	expect_drop(from_a(&p), 132);
	p = arp(2, B4, HOST4);
	expect_drop(from_a(&p), 132);
	/* an answer for the stack */
	p = arp(2, A4, HOST4);
	ck_assert_int_eq(from_a(&p), ACT_PASS);
	p.len -= 4;
	expect_drop(from_a(&p), 134);
}
END_TEST

static struct packet solicitation(const char *src, const char *target, bool option)
{
	struct packet p;
	uint8_t *b;

	packet_eth(&p, (const uint8_t *)"\x33\x33\xff\0\0\1", 0x86dd);
	memcpy(p.data + 6, mac_a, 6);
	packet_ip(&p, src, "ff02::1:ff00:1", IPPROTO_ICMPV6);
	p.data[14 + 7] = 255;
	packet_icmp(&p, 135, 0, 0);
	b = p.data + p.len;
	inet_pton(AF_INET6, target, b);
	p.len += 16;
	if (option) {
		b[16] = 1;
		b[17] = 1;
		memcpy(b + 18, mac_a, 6);
		p.len += 8;
	}
	packet_finish(&p);
	return p;
}

START_TEST(answers_neighbour_discovery)
{
	struct packet p = solicitation(A6, "fe80::1", true);

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
		ck_assert_mem_eq(out, mac_a, 6);
		ck_assert_mem_eq(out + 6, host_a, 6);
		ck_assert_uint_eq(out[54], 136);
		ck_assert_uint_eq(out[14 + 7], 255);
		ck_assert_mem_eq(out + 14 + 24, p.data + 14 + 8, 16); /* to who asked */
		ck_assert_mem_eq(out + 14 + 8, p.data + 54 + 8, 16);  /* from the target */
		ck_assert_uint_eq(out[54 + 24], 2);
		ck_assert_mem_eq(out + 54 + 26, host_a, 6);
		ck_assert(packet_sums_ok(out, out_len));
		/* and without the option */
		p = solicitation(A6, "fe80::1", false);
	}
	p = solicitation("::", A6, false);
	ck_assert_int_eq(from_a(&p), ACT_DROP);
	ck_assert_uint_eq(dropped(), 0);
	p = solicitation(B6, "fe80::1", true);
	expect_drop(from_a(&p), 132);
	/* from afar */
	p = solicitation(A6, "fe80::1", true);
	p.data[14 + 7] = 254;
	expect_drop(from_a(&p), 134);
	/* an advertisement of another's address, for the stack to believe */
	p = solicitation(A6, B6, true);
	p.data[54] = 136;
	packet_finish(&p);
	expect_drop(from_a(&p), 132);
}
END_TEST

/* ---- policy -------------------------------------------------------------------- */

#define POLICY(name, subject, rest)                                              \
	"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: " name \
	"}, spec: {endpointSelector: {matchLabels: {app: " subject "}}, " rest "}}"

START_TEST(policy_reasons)
{
	struct packet p = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, SYN);

	import(POLICY("px", "b", "ingress: [{fromEndpoints: [{matchLabels: {app: c}}]}]"));
	expect_drop(from_a(&p), 133);
	import(POLICY("px", "b", "ingress: [{fromEndpoints: [{matchLabels: {app: a}}]}]"));
	expect_to_b(from_a(&p));
	import(POLICY("py", "b", "ingressDeny: [{fromEndpoints: [{matchLabels: {app: a}}]}]"));
	expect_drop(from_a(&p), 181);
	ck_assert_int_eq(clite_policy_delete(ctx, "py"), 0);
	expect_to_b(from_a(&p));
	import(POLICY("pz", "a", "egress: [{toEntities: [world]}]"));
	expect_drop(from_a(&p), 133);
	p = packet_make(host_a, A4, W4, IPPROTO_TCP, 1000, 80, SYN);
	ck_assert_int_eq(from_a(&p), ACT_PASS);
	p = packet_make(host_a, A4, HOST4, IPPROTO_TCP, 1000, 80, SYN);
	expect_drop(from_a(&p), 133);
}
END_TEST

/* An established connection is cut at its next packet, in both directions, and
 * goes on when it is allowed again. */
START_TEST(established_is_cut)
{
	struct packet syn = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, SYN);
	struct packet ack = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, ACK);
	struct packet answer = packet_make(host_b, B4, A4, IPPROTO_TCP, 80, 1000, SYN | ACK);
	struct packet data = packet_make(host_b, B4, A4, IPPROTO_TCP, 80, 1000, ACK);

	import(POLICY("px", "b", "ingress: [{fromEndpoints: [{matchLabels: {app: a}}]}]"));
	import(POLICY("py", "a", "ingress: [{}], egress: [{toEndpoints: [{}]}]"));
	expect_to_b(from_a(&syn));
	ck_assert_int_eq(from_b(&answer), ACT_REDIRECT);
	expect_to_b(from_a(&ack));
	ck_assert_int_eq(from_b(&data), ACT_REDIRECT);

	import(POLICY("px", "b", "ingress: [{fromEndpoints: [{matchLabels: {app: c}}]}]"));
	for (int i = 0; i < 3; i++) {
		expect_drop(from_a(&ack), 133);
		expect_drop(from_b(&data), 133);
	}
	import(POLICY("px", "b", "ingress: [{fromEndpoints: [{matchLabels: {app: a}}]}]"));
	expect_to_b(from_a(&ack));
	ck_assert_int_eq(from_b(&data), ACT_REDIRECT);
}
END_TEST

/* Answers are allowed, questions are not, even when they look alike. */
START_TEST(only_answers)
{
	struct packet p;

	import(POLICY("px", "a", "ingress: [{}]"));
	p = packet_make(host_b, B4, A4, IPPROTO_TCP, 80, 1000, ACK);
	expect_drop(from_b(&p), 133);
	p = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, SYN);
	expect_to_b(from_a(&p));
	p = packet_make(host_b, B4, A4, IPPROTO_TCP, 80, 1000, SYN | ACK);
	ck_assert_int_eq(from_b(&p), ACT_REDIRECT);
	p = packet_make(host_b, B4, A4, IPPROTO_TCP, 81, 1000, SYN);
	expect_drop(from_b(&p), 133);

	for (int id = 0; id < 3; id++) {
		uint16_t ids[] = { 0, 0x0800, 77 };

		p = packet_ping(host_b, B4, A4, true, ids[id]);
		expect_drop(from_b(&p), 133);
		p = packet_ping(host_a, A4, B4, false, ids[id]);
		expect_to_b(from_a(&p));
		p = packet_ping(host_b, B4, A4, false, ids[id]);
		expect_drop(from_b(&p), 133);
		p = packet_ping(host_b, B4, A4, true, ids[id]);
		ck_assert_int_eq(from_b(&p), ACT_REDIRECT);
		p = packet_ping(host_a, A6, B6, false, ids[id]);
		expect_to_b(from_a(&p));
		p = packet_ping(host_b, B6, A6, false, ids[id]);
		expect_drop(from_b(&p), 133);
		p = packet_ping(host_b, B6, A6, true, ids[id]);
		ck_assert_int_eq(from_b(&p), ACT_REDIRECT);
	}
}
END_TEST

/* An error about a packet: outer from src to dst, quoting that packet. */
static struct packet unreachable(const uint8_t *mac, const char *src, const char *dst,
				 const struct packet *about)
{
	bool v6 = strchr(src, ':');
	struct packet p;

	packet_eth(&p, mac, v6 ? 0x86dd : 0x0800);
	packet_ip(&p, src, dst, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	packet_icmp(&p, v6 ? 1 : 3, v6 ? 4 : 3, 0);
	packet_data(&p, about->data + 14, about->len - 14);
	packet_finish(&p);
	return p;
}

START_TEST(icmp_errors)
{
	struct packet q, e;

	import(POLICY("px", "a", "ingress: [{}]"));
	q = packet_make(NULL, A4, B4, IPPROTO_UDP, 1000, 53, 0);
	e = unreachable(host_b, B4, A4, &q);
	expect_drop(from_b(&e), 133); /* A has sent no such thing */
	q = packet_make(host_a, A4, B4, IPPROTO_UDP, 1000, 53, 0);
	expect_to_b(from_a(&q));
	ck_assert_int_eq(from_b(&e), ACT_REDIRECT);
	/* what it quotes went to another */
	q = packet_make(NULL, A4, B4, IPPROTO_UDP, 1001, 53, 0);
	e = unreachable(host_b, B4, A4, &q);
	expect_drop(from_b(&e), 133);
	/* a quotation that is cut short */
	q = packet_make(NULL, A4, B4, IPPROTO_UDP, 1000, 53, 0);
	q.len = 14 + 20 + 4;
	e = unreachable(host_b, B4, A4, &q);
	expect_drop(from_b(&e), 133);
	/* a router out there tells about a packet to the world */
	q = packet_make(host_a, A4, W4, IPPROTO_UDP, 1000, 53, 0);
	ck_assert_int_eq(from_a(&q), ACT_PASS);
	e = unreachable(NULL, "198.51.100.1", A4, &q);
	ck_assert_int_eq(run("to_endpoint", if_a, if_up, &e), ACT_PASS);
	q = packet_make(host_a, A6, B6, IPPROTO_UDP, 1000, 53, 0);
	expect_to_b(from_a(&q));
	e = unreachable(host_b, B6, A6, &q);
	ck_assert_int_eq(from_b(&e), ACT_REDIRECT);
	e = unreachable(host_b, A6, A6, &q);
	expect_drop(from_b(&e), 132);
}
END_TEST

/* ---- services ------------------------------------------------------------------ */

static uint32_t service(const char *address, uint16_t port, uint32_t protocol, uint32_t algorithm,
			const char *const *backends, size_t n, uint16_t to)
{
	struct clite_backend b[8] = {};
	struct clite_service_opts o = {
		.sz = sizeof(o),
		.address = address,
		.port = port,
		.protocol = protocol,
		.algorithm = algorithm,
		.backends = b,
		.nbackends = n,
	};
	uint32_t id;

	for (size_t i = 0; i < n; i++) {
		b[i].address = backends[i];
		b[i].port = to;
	}
	ck_assert_msg(clite_service_update(ctx, &o, &id) == 0, "%s", clite_error(ctx));
	return id;
}

#define V4 "10.96.0.1"
#define V6 "fd96::1"

static void addr_eq(size_t at, const char *text)
{
	uint8_t ip[16];

	if (strchr(text, ':')) {
		inet_pton(AF_INET6, text, ip);
		ck_assert_mem_eq(out + at, ip, 16);
	} else {
		inet_pton(AF_INET, text, ip);
		ck_assert_mem_eq(out + at, ip, 4);
	}
}

/* Source and destination of the packet that came out. */
static void expect_flow(const char *src, uint16_t sport, const char *dst, uint16_t dport)
{
	bool v6 = strchr(src, ':');
	size_t l4 = v6 ? 54 : 34;

	addr_eq(v6 ? 22 : 26, src);
	addr_eq(v6 ? 38 : 30, dst);
	ck_assert_uint_eq(get16(l4), sport);
	ck_assert_uint_eq(get16(l4 + 2), dport);
	ck_assert(packet_sums_ok(out, out_len));
}

static void translate_both(const char *vip, const char *a, const char *b, uint8_t proto)
{
	struct packet p = packet_make(host_a, a, vip, proto, 1000, 80, SYN);

	service(vip, 80, proto, CLITE_LB_RANDOM, &b, 1, 8080);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
		ck_assert_mem_eq(out, mac_b, 6);
		expect_flow(a, 1000, b, 8080);
		p = packet_make(host_a, a, vip, proto, 1000, 80, ACK);
	}
	p = packet_make(host_b, b, a, proto, 8080, 1000, SYN | ACK);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(from_b(&p), ACT_REDIRECT);
		ck_assert_mem_eq(out, mac_a, 6);
		expect_flow(vip, 80, a, 1000);
		p = packet_make(host_b, b, a, proto, 8080, 1000, ACK);
	}
}

START_TEST(services)
{
	struct packet p;

	translate_both(V4, A4, B4, IPPROTO_TCP);
	translate_both(V4, A4, B4, IPPROTO_UDP);
	translate_both(V6, A6, B6, IPPROTO_TCP);
	translate_both(V6, A6, B6, IPPROTO_UDP);
	/* a sum of 0 in UDP over IPv4 means none: it stays */
	p = packet_make(host_a, A4, V4, IPPROTO_UDP, 1002, 80, 0);
	p.data[34 + 6] = p.data[34 + 7] = 0;
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
		expect_flow(A4, 1002, B4, 8080);
		ck_assert_uint_eq(get16(34 + 6), 0);
	}
}
END_TEST

START_TEST(service_without_backend)
{
	struct packet p = packet_make(host_a, A4, V4, IPPROTO_TCP, 1000, 80, SYN);
	const char *b = B4;
	uint32_t id = service(V4, 80, IPPROTO_TCP, CLITE_LB_RANDOM, &b, 1, 8080);

	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	service(V4, 80, IPPROTO_TCP, CLITE_LB_RANDOM, NULL, 0, 0);
	expect_drop(from_a(&p), 158);
	service(V4, 80, IPPROTO_TCP, CLITE_LB_RANDOM, &b, 1, 8081);
	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	expect_flow(A4, 1000, B4, 8081);
	/* gone: it is an address like any other */
	ck_assert_int_eq(clite_service_delete(ctx, id), 0);
	ck_assert_int_eq(from_a(&p), ACT_PASS);
	expect_flow(A4, 1000, V4, 80);
}
END_TEST

START_TEST(service_hairpin)
{
	static const char *const vips[] = { V4, V6 }, *const own[] = { A4, A6 },
				 *const loop[] = { "169.254.42.1", "fe80::1" };

	/* whatever the policy: it talks to itself */
	import(POLICY("px", "a", "ingress: [{}], egress: [{}]"));
	for (int i = 0; i < 2; i++) {
		struct packet p = packet_make(host_a, own[i], vips[i], IPPROTO_TCP, 1000, 80, SYN);

		service(vips[i], 80, IPPROTO_TCP, CLITE_LB_RANDOM, &own[i], 1, 8080);
		ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
		ck_assert_mem_eq(out, mac_a, 6);
		expect_flow(loop[i], 1000, own[i], 8080);
		p = packet_make(host_a, own[i], loop[i], IPPROTO_TCP, 8080, 1000, SYN | ACK);
		ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
		expect_flow(vips[i], 80, own[i], 1000);
	}
}
END_TEST

/* Policy is about the back end and its port, not about the service. */
START_TEST(service_and_policy)
{
	struct packet p = packet_make(host_a, A4, V4, IPPROTO_TCP, 1000, 80, SYN);
	const char *b = B4;

	service(V4, 80, IPPROTO_TCP, CLITE_LB_RANDOM, &b, 1, 8080);
	import(POLICY("px", "b", "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]"));
	expect_drop(from_a(&p), 133);
	import(POLICY("px", "b", "ingress: [{toPorts: [{ports: [{port: '8080', protocol: TCP}]}]}]"));
	ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
}
END_TEST

static void spread(uint32_t algorithm)
{
	const char *b[] = { B4, "10.0.0.3", "10.0.0.4" };
	int hits[3] = {};

	service(V4, 80, IPPROTO_TCP, algorithm, b, 3, 8080);
	for (int i = 0; i < 300; i++) {
		struct packet p = packet_make(host_a, A4, V4, IPPROTO_TCP, 2000 + i, 80, SYN);
		uint8_t chosen;

		ck_assert_int_ne(from_a(&p), ACT_DROP);
		chosen = out[33];
		hits[chosen - 2]++;
		/* the flow stays where it is */
		p = packet_make(host_a, A4, V4, IPPROTO_TCP, 2000 + i, 80, ACK);
		ck_assert_int_ne(from_a(&p), ACT_DROP);
		ck_assert_uint_eq(out[33], chosen);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_msg(hits[i] > 60, "back end %d: %d of 300", i, hits[i]);
}

START_TEST(service_spreads)
{
	spread(CLITE_LB_RANDOM);
	world_reset();
	spread(CLITE_LB_MAGLEV);
}
END_TEST

START_TEST(service_change_keeps_flows)
{
	const char *b[] = { B4, "10.0.0.3" };
	struct packet p;

	service(V4, 80, IPPROTO_TCP, CLITE_LB_MAGLEV, b, 1, 8080);
	for (int i = 0; i < 20; i++) {
		p = packet_make(host_a, A4, V4, IPPROTO_TCP, 3000 + i, 80, SYN);
		ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
	}
	service(V4, 80, IPPROTO_TCP, CLITE_LB_MAGLEV, b, 2, 8080);
	for (int i = 0; i < 20; i++) {
		p = packet_make(host_a, A4, V4, IPPROTO_TCP, 3000 + i, 80, ACK);
		ck_assert_int_eq(from_a(&p), ACT_REDIRECT);
		expect_flow(A4, 3000 + i, B4, 8080);
	}
	/* the one that they had is gone */
	service(V4, 80, IPPROTO_TCP, CLITE_LB_MAGLEV, b + 1, 1, 8080);
	p = packet_make(host_a, A4, V4, IPPROTO_TCP, 3000, 80, ACK);
	ck_assert_int_eq(from_a(&p), ACT_PASS);
	expect_flow(A4, 3000, "10.0.0.3", 8080);
}
END_TEST

START_TEST(service_icmp_error)
{
	const char *b4 = B4, *b6 = B6;
	struct packet q, e;

	service(V4, 53, IPPROTO_UDP, CLITE_LB_RANDOM, &b4, 1, 5353);
	q = packet_make(host_a, A4, V4, IPPROTO_UDP, 1000, 53, 0);
	ck_assert_int_eq(from_a(&q), ACT_REDIRECT);
	q = packet_make(NULL, A4, B4, IPPROTO_UDP, 1000, 5353, 0); /* as B saw it */
	e = unreachable(host_b, B4, A4, &q);
	ck_assert_int_eq(from_b(&e), ACT_REDIRECT);
	addr_eq(26, V4); /* from the service */
	addr_eq(30, A4);
	addr_eq(34 + 8 + 12, A4); /* about a packet to the service */
	addr_eq(34 + 8 + 16, V4);
	ck_assert_uint_eq(get16(34 + 8 + 20 + 2), 53);
	ck_assert(packet_sums_ok(out, out_len));
	ck_assert_uint_eq(sum_fold(sum_bytes(0, out + 42, 20)), 0);

	service(V6, 53, IPPROTO_UDP, CLITE_LB_RANDOM, &b6, 1, 5353);
	q = packet_make(host_a, A6, V6, IPPROTO_UDP, 1000, 53, 0);
	ck_assert_int_eq(from_a(&q), ACT_REDIRECT);
	q = packet_make(NULL, A6, B6, IPPROTO_UDP, 1000, 5353, 0);
	e = unreachable(host_b, B6, A6, &q);
	ck_assert_int_eq(from_b(&e), ACT_REDIRECT);
	addr_eq(22, V6);
	addr_eq(54 + 8 + 24, V6);
	ck_assert_uint_eq(get16(54 + 8 + 40 + 2), 53);
	ck_assert(packet_sums_ok(out, out_len));
}
END_TEST

/* ---- conntrack ------------------------------------------------------------------ */

struct seen {
	uint16_t port;
	bool found;
	uint32_t expires;
	uint64_t packets;
};

static int look(const struct clite_ct_info *info, void *userdata)
{
	struct seen *s = userdata;

	if (info->source_port == s->port) {
		s->found = true;
		s->expires = info->expires;
		s->packets = info->packets;
	}
	return 0;
}

static struct seen find_flow(uint16_t port)
{
	struct seen s = { .port = port };

	ck_assert_int_ge(clite_conntrack_list(ctx, look, &s), 0);
	return s;
}

static void expect_expires(uint16_t port, uint32_t seconds)
{
	struct seen s = find_flow(port);

	ck_assert(s.found);
	ck_assert_msg(s.expires <= seconds && s.expires + 20 > seconds, "expires in %u, not %u",
		      s.expires, seconds);
}

START_TEST(tcp_states)
{
	struct packet p = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, SYN);

	from_a(&p);
	expect_expires(1000, 60);
	p = packet_make(host_b, B4, A4, IPPROTO_TCP, 80, 1000, SYN | ACK);
	from_b(&p);
	p = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, ACK);
	from_a(&p);
	from_a(&p);
	expect_expires(1000, 8000);
	ck_assert_uint_eq(find_flow(1000).packets, 3);
	p = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, ACK | 1);
	from_a(&p);
	expect_expires(1000, 8000); /* half closed */
	p = packet_make(host_b, B4, A4, IPPROTO_TCP, 80, 1000, ACK | 1);
	from_b(&p);
	expect_expires(1000, 10);
	expect_expires(80, 10);
	/* the same ports again: a new connection */
	p = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, SYN);
	from_a(&p);
	expect_expires(1000, 60);
	ck_assert_uint_eq(find_flow(1000).packets, 1);
	/* reset before it was open */
	p = packet_make(host_b, B4, A4, IPPROTO_TCP, 80, 1000, ACK | 4);
	from_b(&p);
	expect_expires(1000, 10);
	p = packet_make(host_a, A4, B4, IPPROTO_UDP, 1001, 80, 0);
	from_a(&p);
	expect_expires(1001, 60);
}
END_TEST

START_TEST(flush)
{
	struct packet p = packet_make(host_a, A4, B4, IPPROTO_TCP, 1000, 80, SYN);
	const char *err;

	from_a(&p);
	p = packet_make(host_a, A6, B6, IPPROTO_TCP, 1000, 80, SYN);
	from_a(&p);
	ck_assert_int_eq(clite_conntrack_flush(ctx, ep_b), 4);
	ck_assert(!find_flow(1000).found);
	ck_assert_int_eq(clite_conntrack_flush(ctx, 77), -ENOENT);
	err = clite_error(ctx);
	ck_assert_msg(strstr(err, "77"), "%s", err);
}
END_TEST

/* ---- fuzz: no crash, no packet of another's, and never past a policy ------------- */

static uint64_t seed;

static uint32_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed >> 16;
}

START_TEST(mutated)
{
	uint32_t cases = 20000;
	char msg[64];

	seed = getenv("CLITE_SEED") ? strtoull(getenv("CLITE_SEED"), NULL, 0) : 0x5eed0001;
	snprintf(msg, sizeof(msg), "seed 0x%llx", (unsigned long long)seed);
	/* B takes nothing at all; what gets through would be a way past. */
	import(POLICY("px", "b", "ingress: [{}]"));
	for (uint32_t i = 0; i < cases; i++) {
		bool v6 = rnd() & 1;
		struct packet p;

		switch (rnd() % 4) {
		case 0:
			p = packet_make(host_a, v6 ? A6 : A4, v6 ? B6 : B4, IPPROTO_TCP, rnd(), rnd(),
					rnd());
			break;
		case 1:
			p = packet_make(host_a, v6 ? A6 : A4, v6 ? B6 : B4, IPPROTO_UDP, rnd(), rnd(),
					0);
			break;
		case 2:
			p = packet_ping(host_a, v6 ? A6 : A4, v6 ? B6 : B4, rnd() & 1, rnd());
			break;
		default:
			p = chain(rnd() % 9, IPPROTO_DSTOPTS, pad6);
		}
		for (uint32_t k = rnd() % 4; k; k--)
			p.data[12 + rnd() % (p.len - 12)] = rnd();
		if (!(rnd() % 4))
			p.len = 54 + rnd() % (p.len > 54 ? p.len - 54 : 1);
		int r = from_a(&p);
		/* Out to B it never goes; to A itself (an answer to ARP or ND) it may. */
		if (r == ACT_REDIRECT)
			ck_assert_msg(memcmp(out, mac_b, 6) != 0, "%s, case %u", msg, i);
		else
			ck_assert_msg(r == ACT_DROP || r == ACT_PASS, "%s, case %u: %d", msg, i, r);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("packets");
	TCase *t = tcase_create("programs");
	SRunner *sr = srunner_create(s);
	int failed;

	if (geteuid()) {
		puts("needs root: skipped");
		return 77;
	}
	/* One world for all: the tests share a process. */
	srunner_set_fork_status(sr, CK_NOFORK);
	tcase_add_checked_fixture(t, world_reset, NULL);
	tcase_add_test(t, delivers);
	tcase_add_test(t, world_and_host);
	tcase_add_test(t, hop_limit);
	tcase_add_test(t, spoofed);
	tcase_add_test(t, truncated);
	tcase_add_test(t, bad_lengths);
	tcase_add_test(t, ipv4_options);
	tcase_add_test(t, ipv6_extensions);
	tcase_add_test(t, other_protocols);
	tcase_add_test(t, fragments);
	tcase_add_test(t, fragments_overlap);
	tcase_add_test(t, fragments6);
	tcase_add_test(t, answers_arp);
	tcase_add_test(t, answers_neighbour_discovery);
	tcase_add_test(t, policy_reasons);
	tcase_add_test(t, established_is_cut);
	tcase_add_test(t, only_answers);
	tcase_add_test(t, icmp_errors);
	tcase_add_test(t, services);
	tcase_add_test(t, service_without_backend);
	tcase_add_test(t, service_hairpin);
	tcase_add_test(t, service_and_policy);
	tcase_add_test(t, service_spreads);
	tcase_add_test(t, service_change_keeps_flows);
	tcase_add_test(t, service_icmp_error);
	tcase_add_test(t, tcp_states);
	tcase_add_test(t, flush);
	tcase_add_test(t, mutated);
	suite_add_tcase(s, t);
	world_make(0);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	world_remove();
	return failed ? 1 : 0;
}
