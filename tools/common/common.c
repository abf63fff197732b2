/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"

#include <stdio.h>
#include <string.h>

/* ---- memory --------------------------------------------------------------- */

void *xrealloc(void *p, size_t n, size_t size)
{
	p = reallocarray(p, n ? n : 1, size);
	if (!p)
		out_of_memory();
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		out_of_memory();
	return p;
}

char *xstrdup(const char *s)
{
	char *copy = strdup(s);

	if (!copy)
		out_of_memory();
	return copy;
}

char *xprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	return text;
}

/* ---- lists of strings ------------------------------------------------------- */

char *plain_text(char *text)
{
	for (unsigned char *s = (unsigned char *)text; *s; s++) {
		if (*s < 0x20 || *s == 0x7f)
			*s = '?';
		else if (*s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0)
			s[0] = s[1] = '?';
	}
	return text;
}

void strings_add(struct strings *list, const char *s)
{
	list->items = xrealloc(list->items, list->n + 2, sizeof(*list->items));
	list->items[list->n++] = xstrdup(s);
	list->items[list->n] = NULL;
}

void strings_split(struct strings *list, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, ",");
		_cleanup_free_ char *item = xprintf("%.*s", (int)n, text);

		strings_add(list, item);
		text += n + (text[n] == ',');
	}
}

void strings_clear(struct strings *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct strings){ 0 };
}

/* ---- numbers ------------------------------------------------------------------ */

bool parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		unsigned int digit = (unsigned char)*text - '0';

		if (digit > 9 || digit > max || n > (max - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*ret = n;
	return true;
}
