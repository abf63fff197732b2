/* SPDX-License-Identifier: BSD-2-Clause */
#include "util/util.h"

#include <arpa/inet.h>
#include <stdio.h>

static unsigned int family_bits(uint8_t family)
{
	return family == 4 ? 32 : family == 6 ? 128 : 0;
}

/* Are the bits from position from on all zero? */
static bool bits_zero(const uint8_t *ip, unsigned int from, unsigned int end)
{
	for (unsigned int i = from; i < end; i++)
		if (ip[i / 8] & (0x80 >> (i % 8)))
			return false;
	return true;
}

int addr_parse(const char *s, struct prefix *ret)
{
	struct prefix p = {};

	if (inet_pton(AF_INET, s, p.ip) == 1)
		p.family = 4;
	else if (memset(p.ip, 0, sizeof(p.ip)), inet_pton(AF_INET6, s, p.ip) == 1)
		p.family = 6;
	else
		return -EINVAL;

	p.len = (uint8_t)family_bits(p.family);
	*ret = p;
	return 0;
}

/* Decimal, without sign or leading zero: 0 to max. */
static int parse_len(const char *s, unsigned int max, uint8_t *ret)
{
	unsigned int n = 0;
	size_t i;

	if (s[0] == '0' && s[1])
		return -EINVAL;
	for (i = 0; s[i] >= '0' && s[i] <= '9' && i < 4; i++)
		n = n * 10 + (unsigned int)(s[i] - '0');
	if (i == 0 || s[i] || n > max)
		return -EINVAL;
	*ret = (uint8_t)n;
	return 0;
}

int network_parse(const char *s, struct prefix *ret)
{
	const char *slash = strchr(s, '/');
	char addr[INET6_ADDRSTRLEN];
	struct prefix p;
	size_t n;

	if (!slash)
		return addr_parse(s, ret);

	n = (size_t)(slash - s);
	if (n >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, s, n);
	addr[n] = '\0';

	if (addr_parse(addr, &p) < 0)
		return -EINVAL;
	if (parse_len(slash + 1, family_bits(p.family), &p.len) < 0)
		return -EINVAL;
	*ret = p;
	return 0;
}

int prefix_parse(const char *s, struct prefix *ret)
{
	struct prefix p;

	if (network_parse(s, &p) < 0 || !bits_zero(p.ip, p.len, family_bits(p.family)))
		return -EINVAL;
	*ret = p;
	return 0;
}

void prefix_mask(struct prefix *p)
{
	unsigned int bytes = p->len / 8, bits = p->len % 8;

	if (bits)
		p->ip[bytes++] &= (uint8_t)(0xff00 >> bits);
	if (bytes < sizeof(p->ip))
		memset(p->ip + bytes, 0, sizeof(p->ip) - bytes);
}

const char *addr_format(const uint8_t *ip, uint8_t family, char buf[PREFIX_STR])
{
	_Static_assert(PREFIX_STR >= INET6_ADDRSTRLEN + sizeof("/128") - 1, "too small");

	buf[0] = '\0';
	if (family == 4)
		inet_ntop(AF_INET, ip, buf, PREFIX_STR);
	else if (family == 6)
		inet_ntop(AF_INET6, ip, buf, PREFIX_STR);
	return buf;
}

const char *prefix_format(const struct prefix *p, char buf[PREFIX_STR])
{
	size_t n;

	addr_format(p->ip, p->family, buf);
	n = strlen(buf);
	if (n > 0)
		snprintf(buf + n, PREFIX_STR - n, "/%u", p->len);
	return buf;
}

bool prefix_contains(const struct prefix *outer, const struct prefix *inner)
{
	unsigned int bytes = outer->len / 8, bits = outer->len % 8;
	uint8_t mask = (uint8_t)(0xff00 >> bits);

	if (outer->family != inner->family || outer->len > inner->len)
		return false;
	if (memcmp(outer->ip, inner->ip, bytes) != 0)
		return false;
	return bits == 0 || ((outer->ip[bytes] ^ inner->ip[bytes]) & mask) == 0;
}

int prefix_cmp(const struct prefix *a, const struct prefix *b)
{
	int r;

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	r = memcmp(a->ip, b->ip, sizeof(a->ip));
	if (r)
		return r < 0 ? -1 : 1;
	return (a->len > b->len) - (a->len < b->len);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int mac_parse(const char *s, uint8_t ret[6])
{
	uint8_t mac[6];

	for (size_t i = 0; i < sizeof(mac); i++, s += 3) {
		int high = hex_digit(s[0]);
		int low = high < 0 ? -1 : hex_digit(s[1]);

		if (low < 0 || s[2] != (i + 1 < sizeof(mac) ? ':' : '\0'))
			return -EINVAL;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(ret, mac, sizeof(mac));
	return 0;
}
