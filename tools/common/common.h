/* SPDX-License-Identifier: BSD-2-Clause */
/* Small things that clite and clited share: memory that never runs out, texts, numbers. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))

static inline void freep(void *p)
{
	free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(freep)

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define _cleanup_close_ _cleanup_(closep)

/* Say so, and end the process. Each program has its own. */
_Noreturn void out_of_memory(void);

void *xrealloc(void *p, size_t n, size_t size);
void *xcalloc(size_t n, size_t size);
char *xstrdup(const char *s);
char *xprintf(const char *fmt, ...) _printf_(1, 2);

/* Texts from outside must not move the cursor or change colours: control characters of
 * ASCII and of UTF-8 (U+0080 to U+009F) become '?'. Returns text. */
char *plain_text(char *text);

/* A growing list of strings. */
struct strings {
	char **items; /* ends with NULL, also when empty and items is not NULL */
	size_t n;
};

void strings_add(struct strings *list, const char *s);
void strings_split(struct strings *list, const char *text); /* at commas */
void strings_clear(struct strings *list);
#define _cleanup_strings_ _cleanup_(strings_clear)

/* Decimal digits only, not above max. */
bool parse_number(const char *text, uint64_t max, uint64_t *ret);
