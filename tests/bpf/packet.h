/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets for tests: built field by field, checked as a receiver would. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX 2048

struct packet {
	uint8_t data[PACKET_MAX];
	size_t len;
	size_t l3; /* offsets; 0: not there */
	size_t l4;
	uint8_t family;
	uint8_t proto;
};

/* Ethernet header; the destination is mac, or zeros for NULL. */
void packet_eth(struct packet *p, const uint8_t *mac, uint16_t ethertype);
/* IPv4 or IPv6 header by the form of the addresses. Lengths and sums are filled
 * in by packet_finish(). options: nopt bytes of IPv4 options (padded to 4). */
void packet_ip(struct packet *p, const char *src, const char *dst, uint8_t proto);
void packet_ip_options(struct packet *p, const char *src, const char *dst, uint8_t proto,
		       const uint8_t *options, size_t nopt);
/* IPv6 extension header of 8 bytes; next is the type of what follows. */
void packet_ext(struct packet *p, uint8_t type, const uint8_t body[6], uint8_t next);
void packet_tcp(struct packet *p, uint16_t sport, uint16_t dport, uint8_t flags);
void packet_udp(struct packet *p, uint16_t sport, uint16_t dport);
void packet_icmp(struct packet *p, uint8_t type, uint8_t code, uint16_t id);
void packet_data(struct packet *p, const void *data, size_t len);
/* Fill in lengths and sums of all that was built. */
void packet_finish(struct packet *p);
/* The usual one: Ethernet, IP, TCP or UDP, some data. */
struct packet packet_make(const uint8_t *mac, const char *src, const char *dst, uint8_t proto,
			  uint16_t sport, uint16_t dport, uint8_t tcp_flags);
struct packet packet_ping(const uint8_t *mac, const char *src, const char *dst, bool reply,
			  uint16_t id);

/* Are the sums of the IP header and of layer 4 right? */
bool packet_sums_ok(const uint8_t *data, size_t len);
/* One's complement sum over bytes, not folded. */
uint32_t sum_bytes(uint32_t sum, const void *data, size_t len);
uint16_t sum_fold(uint32_t sum);
