/* SPDX-License-Identifier: BSD-2-Clause */
#include "packet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static void put16(uint8_t *at, uint16_t v)
{
	at[0] = v >> 8;
	at[1] = v;
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

void packet_data(struct packet *p, const void *data, size_t len)
{
	if (data)
		memcpy(p->data + p->len, data, len);
	else
		memset(p->data + p->len, 'x', len);
	p->len += len;
}

void packet_eth(struct packet *p, const uint8_t *mac, uint16_t ethertype)
{
	static const uint8_t from[6] = { 2, 0, 0, 0, 0, 0x77 };

	memset(p, 0, sizeof(*p));
	if (mac)
		memcpy(p->data, mac, 6);
	memcpy(p->data + 6, from, 6);
	put16(p->data + 12, ethertype);
	p->len = 14;
}

void packet_ip_options(struct packet *p, const char *src, const char *dst, uint8_t proto,
		       const uint8_t *options, size_t nopt)
{
	uint8_t *h = p->data + p->len;
	size_t hlen = 20 + (nopt + 3) / 4 * 4;

	p->l3 = p->len;
	p->proto = proto;
	if (strchr(src, ':')) {
		p->family = 6;
		h[0] = 0x60;
		h[6] = proto;
		h[7] = 64;
		inet_pton(AF_INET6, src, h + 8);
		inet_pton(AF_INET6, dst, h + 24);
		p->len += 40;
	} else {
		p->family = 4;
		h[0] = 0x40 | hlen / 4;
		put16(h + 4, 0x1234);
		h[8] = 64;
		h[9] = proto;
		inet_pton(AF_INET, src, h + 12);
		inet_pton(AF_INET, dst, h + 16);
		if (nopt)
			memcpy(h + 20, options, nopt);
		p->len += hlen;
	}
	p->l4 = p->len;
}

void packet_ip(struct packet *p, const char *src, const char *dst, uint8_t proto)
{
	packet_ip_options(p, src, dst, proto, NULL, 0);
}

void packet_ext(struct packet *p, uint8_t type, const uint8_t body[6], uint8_t next)
{
	uint8_t *h = p->data + p->len;

	/* The header before names this one: the IP header, or the last extension. */
	if (p->l4 == p->l3 + 40)
		p->data[p->l3 + 6] = type;
	else
		p->data[p->l4 - 8] = type;
	h[0] = next;
	memcpy(h + 2, body, 6);
	if (type != IPPROTO_FRAGMENT)
		h[1] = 0;
	p->len += 8;
	p->l4 = p->len;
}

void packet_tcp(struct packet *p, uint16_t sport, uint16_t dport, uint8_t flags)
{
	uint8_t *h = p->data + p->len;

	put16(h, sport);
	put16(h + 2, dport);
	h[12] = 5 << 4;
	h[13] = flags;
	put16(h + 14, 1000);
	p->len += 20;
}

void packet_udp(struct packet *p, uint16_t sport, uint16_t dport)
{
	uint8_t *h = p->data + p->len;

	put16(h, sport);
	put16(h + 2, dport);
	p->len += 8;
}

void packet_icmp(struct packet *p, uint8_t type, uint8_t code, uint16_t id)
{
	uint8_t *h = p->data + p->len;

	h[0] = type;
	h[1] = code;
	put16(h + 4, id);
	p->len += 8;
}

/* ---- sums ----------------------------------------------------------------- */

uint32_t sum_bytes(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *b = data;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? b[i] : (uint32_t)b[i] << 8;
	return sum;
}

uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static size_t csum_at(uint8_t family, uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	case IPPROTO_ICMP:
		return 2;
	case IPPROTO_ICMPV6:
		return family == 6 ? 2 : 0;
	}
	return 0;
}

static uint16_t l4_sum(const uint8_t *data, size_t len, size_t l3, size_t l4, uint8_t family,
		       uint8_t proto)
{
	uint32_t sum = 0;

	if (family == 4 && proto != IPPROTO_ICMP)
		sum = sum_bytes(proto + (uint32_t)(len - l4), data + l3 + 12, 8);
	else if (family == 6)
		sum = sum_bytes(proto + (uint32_t)(len - l4), data + l3 + 8, 32);
	return sum_fold(sum_bytes(sum, data + l4, len - l4));
}

void packet_finish(struct packet *p)
{
	uint8_t *ip = p->data + p->l3;
	size_t at = csum_at(p->family, p->proto);
	uint16_t sum;

	if (p->family == 4) {
		put16(ip + 2, p->len - p->l3);
		put16(ip + 10, 0);
		put16(ip + 10, sum_fold(sum_bytes(0, ip, p->l4 - p->l3)));
	} else {
		put16(ip + 4, p->len - p->l3 - 40);
	}
	if (p->proto == IPPROTO_UDP)
		put16(p->data + p->l4 + 4, p->len - p->l4);
	if (!at)
		return;
	put16(p->data + p->l4 + at, 0);
	sum = l4_sum(p->data, p->len, p->l3, p->l4, p->family, p->proto);
	put16(p->data + p->l4 + at, sum ?: 0xffff);
}

struct packet packet_make(const uint8_t *mac, const char *src, const char *dst, uint8_t proto,
			  uint16_t sport, uint16_t dport, uint8_t tcp_flags)
{
	struct packet p;

	packet_eth(&p, mac, strchr(src, ':') ? 0x86dd : 0x0800);
	packet_ip(&p, src, dst, proto);
	if (proto == IPPROTO_TCP)
		packet_tcp(&p, sport, dport, tcp_flags);
	else
		packet_udp(&p, sport, dport);
	packet_data(&p, "hello", 5);
	packet_finish(&p);
	return p;
}

struct packet packet_ping(const uint8_t *mac, const char *src, const char *dst, bool reply,
			  uint16_t id)
{
	bool v6 = strchr(src, ':');
	struct packet p;

	packet_eth(&p, mac, v6 ? 0x86dd : 0x0800);
	packet_ip(&p, src, dst, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	packet_icmp(&p, v6 ? (reply ? 129 : 128) : reply ? 0 : 8, 0, id);
	packet_data(&p, "ping", 4);
	packet_finish(&p);
	return p;
}

bool packet_sums_ok(const uint8_t *d, size_t len)
{
	uint8_t family = d[14] >> 4, proto;
	size_t l4, at;

	if (family == 4) {
		l4 = 14 + (d[14] & 15) * 4;
		proto = d[14 + 9];
		if (sum_fold(sum_bytes(0, d + 14, l4 - 14)))
			return false;
	} else {
		l4 = 14 + 40;
		proto = d[14 + 6];
	}
	at = csum_at(family, proto);
	if (!at || (proto == IPPROTO_UDP && !get16(d + l4 + at)))
		return true;
	return l4_sum(d, len, 14, l4, family, proto) == 0;
}
