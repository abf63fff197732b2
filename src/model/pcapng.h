/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks of a pcapng file (draft-ietf-opsawg-pcapng), in this machine's byte order. */
#pragma once

#include "util/util.h"

#define PCAPNG_INBOUND 1
#define PCAPNG_OUTBOUND 2

struct pcapng_packet {
	uint32_t interface; /* the n-th of the section */
	uint64_t time;	    /* ns since 1970 */
	const uint8_t *data;
	uint32_t captured;  /* bytes of data */
	uint32_t length;    /* that the packet had */
	uint32_t direction; /* 0: not known */
	const char *comment;
};

/* A file begins with one. */
void pcapng_section(struct buf *out, const char *application);
/* An interface whose packets begin with Ethernet headers; before its packets. */
void pcapng_interface(struct buf *out, const char *name, uint32_t snaplen);
void pcapng_packet(struct buf *out, const struct pcapng_packet *p);
/* At the end. lost: packets that are not in the file; comment may be NULL. */
void pcapng_statistics(struct buf *out, uint32_t interface, uint64_t time, uint64_t delivered,
		       uint64_t lost, const char *comment);
