/* SPDX-License-Identifier: BSD-2-Clause */
/* Small things that every layer uses. Depends on libc only. */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))

/* Move a pointer (or fd) out of a variable that has a cleanup. */
#define TAKE_PTR(p)                 \
	({                          \
		__typeof__(p) p_ = (p); \
		(p) = NULL;         \
		p_;                 \
	})
#define TAKE_FD(fd)             \
	({                      \
		int fd_ = (fd); \
		(fd) = -1;      \
		fd_;            \
	})

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* NULL: no memory. Of nothing it is something to free. */
static inline void *memdup(const void *data, size_t len)
{
	void *copy = malloc(len ?: 1);

	return copy && len ? memcpy(copy, data, len) : copy;
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

/* As <ctype.h>, whatever the locale is. */
static inline bool ascii_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static inline bool ascii_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/* ---- error text -------------------------------------------------------- */

/* Details of the last failure. Zero-initialised is empty. */
struct errtext {
	char *text;
};

/* Set the text and return -code, so that a failure is one statement:
 *	return err_set(err, EINVAL, "port '%s' is not a number", s);
 * err may be NULL. */
int err_set(struct errtext *err, int code, const char *fmt, ...) _printf_(3, 4);
/* Put "fmt: " before what is there; returns code as it is. */
int err_prefix(struct errtext *err, int ret, const char *fmt, ...) _printf_(3, 4);
void err_clear(struct errtext *err);

/* ---- growing byte buffer ------------------------------------------------ */

/* Zero-initialised is empty. A failed allocation is remembered: check once at
 * the end. data is always ended with NUL when anything was written. */
struct buf {
	char *data;
	size_t len, cap;
	bool failed;
};

void buf_put(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buf_json(struct buf *b, const char *s);
/* Append text to a message: no longer than a line, without control characters. */
void buf_excerpt(struct buf *b, const char *text);
/* The character that s begins with: its length, or 0 for bytes that are not UTF-8
 * (overlong forms, surrogates and numbers above U+10FFFF are not). */
size_t utf8_decode(const char *s, uint32_t *ret);
void buf_clear(struct buf *b);
static inline void buf_clearp(struct buf *b)
{
	buf_clear(b);
}
#define _cleanup_buf_ _cleanup_(buf_clearp)

/* ---- growing array ------------------------------------------------------ */

/* Make room for one more element in an array: array_grow(&a, &cap, n).
 * Returns false when there is no memory; the array is as before then. */
bool array_grow_(void **array, size_t *cap, size_t n, size_t size);
#define array_grow(array, cap, n) array_grow_((void **)(array), (cap), (n), sizeof(**(array)))

/* ---- sized structs of the API ------------------------------------------- */

/* Copy a caller's options struct of any age into ours (zeroed first). NULL is
 * defaults. Returns -EINVAL for an unknown non-zero tail or a senseless sz. */
int opts_copy(void *ours, size_t ours_size, const void *theirs);

/* ---- addresses ---------------------------------------------------------- */

/* An address or prefix; IPv4 stands in the first four bytes, the rest is zero. */
struct prefix {
	uint8_t ip[16];
	uint8_t family; /* 4 or 6; 0: none */
	uint8_t len;	/* 32 or 128 for an address */
};

#define PREFIX_STR 64
/* "10.0.0.1": 0 or -EINVAL. */
int addr_parse(const char *s, struct prefix *ret);
/* "10.0.0.0/8" or an address: 0, or -EINVAL (also for bits beyond the length). */
int prefix_parse(const char *s, struct prefix *ret);
/* The same with any bits: an address in a network, as "10.1.2.3/8". */
int network_parse(const char *s, struct prefix *ret);
/* The network that it is in. */
void prefix_mask(struct prefix *p);
/* Both return buf. */
const char *addr_format(const uint8_t *ip, uint8_t family, char buf[PREFIX_STR]);
const char *prefix_format(const struct prefix *p, char buf[PREFIX_STR]); /* always with length */
bool prefix_contains(const struct prefix *outer, const struct prefix *inner);
int prefix_cmp(const struct prefix *a, const struct prefix *b);

/* "02:00:00:00:00:01": 0 or -EINVAL. */
int mac_parse(const char *s, uint8_t ret[6]);
