/* SPDX-License-Identifier: BSD-2-Clause */
/* Small things that every part of this library uses. */
#pragma once

#include <errno.h>
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
#define TAKE_PTR(p)                     \
	({                              \
		__typeof__(p) p_ = (p); \
		(p) = NULL;             \
		p_;                     \
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

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

#define NS 1000000000ull /* in a second */

/* Copy a caller's options struct of any age into ours. NULL is defaults. -EINVAL for an
 * unknown non-zero tail or a senseless sz. */
int opts_copy(void *ours, size_t ours_size, const void *theirs);

/* ---- growing byte buffer ----------------------------------------------------- */

/* Zero-initialised is empty. What was taken from its beginning is off. */
struct bytes {
	uint8_t *data;
	size_t len, off, cap;
};

/* Room for n more bytes at data + len; false: no memory, and nothing has changed. */
bool bytes_room(struct bytes *b, size_t n);
bool bytes_put(struct bytes *b, const void *data, size_t n);
/* n bytes of it are done with. */
void bytes_take(struct bytes *b, size_t n);
void bytes_clear(struct bytes *b);
static inline size_t bytes_left(const struct bytes *b)
{
	return b->len - b->off;
}

/* ---- memory that is given back at once ----------------------------------------- */

struct arena_chunk;

/* Zero-initialised is empty. A failed allocation is remembered: check once at the end. */
struct arena {
	struct arena_chunk *chunks;
	bool failed;
};

/* Zeroed, aligned for anything; NULL: no memory. */
void *arena_get(struct arena *a, size_t size);
char *arena_text(struct arena *a, const char *s, size_t len);
/* Forget all of it and keep some for the next time. */
void arena_reset(struct arena *a);
void arena_clear(struct arena *a);

/* ---- texts --------------------------------------------------------------------- */

/* protobuf's strings are UTF-8, or clients refuse the whole message: s, or a copy with
 * U+FFFD for what is none. Never NULL: "" when there is no memory. */
const char *text_utf8(struct arena *a, const char *s);
