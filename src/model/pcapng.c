/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/pcapng.h"

#define SECTION 0x0a0d0d0au
#define INTERFACE 1u
#define STATISTICS 5u
#define PACKET 6u

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINKTYPE_ETHERNET 1u

/* Options: codes of all blocks, then of each. */
#define OPT_END 0
#define OPT_COMMENT 1
#define SHB_APPLICATION 4
#define IDB_NAME 2
#define IDB_TSRESOL 9
#define EPB_FLAGS 2
#define ISB_OSDROP 7
#define ISB_USRDELIV 8

#define OPTION_MAX 65535

static void put16(struct buf *out, uint16_t v)
{
	buf_put(out, &v, sizeof(v));
}

static void put32(struct buf *out, uint32_t v)
{
	buf_put(out, &v, sizeof(v));
}

/* A time is its upper half, then its lower one, in any byte order. */
static void put_time(struct buf *out, uint64_t t)
{
	put32(out, (uint32_t)(t >> 32));
	put32(out, (uint32_t)t);
}

/* Everything is a multiple of four bytes long. */
static void put_padded(struct buf *out, const void *data, size_t len)
{
	static const char zeros[4];

	buf_put(out, data, len);
	buf_put(out, zeros, -len & 3);
}

static void put_option(struct buf *out, uint16_t code, const void *data, size_t len)
{
	if (len > OPTION_MAX)
		len = OPTION_MAX;
	put16(out, code);
	put16(out, (uint16_t)len);
	put_padded(out, data, len);
}

static void put_text(struct buf *out, uint16_t code, const char *text)
{
	if (text && *text)
		put_option(out, code, text, strlen(text));
}

/* Where the block begins; its length is written at the end, twice. */
static size_t block_begin(struct buf *out, uint32_t type)
{
	size_t at = out->len;

	put32(out, type);
	put32(out, 0);
	return at;
}

static void block_end(struct buf *out, size_t at)
{
	uint32_t len;

	put_option(out, OPT_END, NULL, 0);
	len = (uint32_t)(out->len - at + sizeof(len));
	put32(out, len);
	if (!out->failed)
		memcpy(out->data + at + 4, &len, sizeof(len));
}

void pcapng_section(struct buf *out, const char *application)
{
	size_t at = block_begin(out, SECTION);
	uint64_t not_known = UINT64_MAX;

	put32(out, BYTE_ORDER_MAGIC);
	put16(out, 1); /* version 1.0 */
	put16(out, 0);
	buf_put(out, &not_known, sizeof(not_known)); /* length of the section */
	put_text(out, SHB_APPLICATION, application);
	block_end(out, at);
}

void pcapng_interface(struct buf *out, const char *name, uint32_t snaplen)
{
	size_t at = block_begin(out, INTERFACE);
	uint8_t nanoseconds = 9; /* 10^-9 */

	put16(out, LINKTYPE_ETHERNET);
	put16(out, 0);
	put32(out, snaplen);
	put_text(out, IDB_NAME, name);
	put_option(out, IDB_TSRESOL, &nanoseconds, 1);
	block_end(out, at);
}

void pcapng_packet(struct buf *out, const struct pcapng_packet *p)
{
	size_t at = block_begin(out, PACKET);

	put32(out, p->interface);
	put_time(out, p->time);
	put32(out, p->captured);
	put32(out, p->length);
	put_padded(out, p->data, p->captured);
	put_text(out, OPT_COMMENT, p->comment);
	put_option(out, EPB_FLAGS, &p->direction, sizeof(p->direction));
	block_end(out, at);
}

void pcapng_statistics(struct buf *out, uint32_t interface, uint64_t time, uint64_t delivered,
		       uint64_t lost, const char *comment)
{
	size_t at = block_begin(out, STATISTICS);

	put32(out, interface);
	put_time(out, time);
	put_text(out, OPT_COMMENT, comment);
	put_option(out, ISB_OSDROP, &lost, sizeof(lost));
	put_option(out, ISB_USRDELIV, &delivered, sizeof(delivered));
	block_end(out, at);
}
