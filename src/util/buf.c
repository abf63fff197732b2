/* SPDX-License-Identifier: BSD-2-Clause */
#include "util/util.h"

#include <stdio.h>

#define ARRAY_FIRST 8
#define BUF_FIRST 64

/* Room for len more bytes and the NUL behind them. */
static bool buf_reserve(struct buf *b, size_t len)
{
	size_t want, cap;
	char *data;

	if (b->failed)
		return false;
	if (len > SIZE_MAX / 2 - 1 || b->len > SIZE_MAX / 2 - 1 - len) {
		b->failed = true;
		return false;
	}

	want = b->len + len + 1;
	if (want <= b->cap)
		return true;

	cap = b->cap ? b->cap : BUF_FIRST;
	while (cap < want)
		cap *= 2;

	data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
	if (!buf_reserve(b, len))
		return;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	size_t room = b->failed || !b->data ? 0 : b->cap - b->len;
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	/* mostly there is room */
	n = vsnprintf(room ? b->data + b->len : NULL, room, fmt, ap);
	va_end(ap);

	if (n < 0)
		b->failed = true;
	else if ((size_t)n < room)
		b->len += (size_t)n;
	else if (buf_reserve(b, (size_t)n)) {
		vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	} else if (room) {
		b->data[b->len] = '\0';
	}
	va_end(again);
}

size_t utf8_decode(const char *text, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)text;
	uint32_t c = s[0];
	size_t n;

	if (c < 0x80)
		n = 1;
	else if ((c & 0xe0) == 0xc0)
		n = 2;
	else if ((c & 0xf0) == 0xe0)
		n = 3;
	else if ((c & 0xf8) == 0xf0)
		n = 4;
	else
		return 0;
	if (n > 1)
		c &= 0x7fu >> n;

	/* the NUL at the end is no continuation byte, so this stays inside */
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}

	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return n;
}

/* Characters that JSON or a YAML reader of JSON does not take as they are: controls,
 * the line separators that YAML folds, and what it calls unprintable. */
static bool json_escaped(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
	       c == 0xfffe || c == 0xffff;
}

static void json_char(struct buf *b, const char *s, size_t n, uint32_t c)
{
	static const char shorts[0x20] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
	};

	if (c == '"' || c == '\\')
		buf_printf(b, "\\%c", (char)c);
	else if (c < 0x20 && shorts[c])
		buf_printf(b, "\\%c", shorts[c]);
	else if (json_escaped(c))
		buf_printf(b, "\\u%04x", c);
	else
		buf_put(b, s, n);
}

/* ASCII that stands for itself. */
static size_t plain_length(const char *s)
{
	size_t n = 0;

	while (s[n] >= ' ' && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

void buf_json(struct buf *b, const char *s)
{
	buf_put(b, "\"", 1);
	for (;;) {
		size_t n = plain_length(s);
		uint32_t c = 0;

		buf_put(b, s, n);
		s += n;
		if (!*s)
			break;
		n = utf8_decode(s, &c);
		if (n > 0) {
			json_char(b, s, n, c);
		} else {
			buf_puts(b, "\xef\xbf\xbd");
			n = 1;
		}
		s += n;
	}
	buf_put(b, "\"", 1);
}

void buf_clear(struct buf *b)
{
	free(b->data);
	*b = (struct buf){};
}

bool array_grow_(void **array, size_t *cap, size_t n, size_t size)
{
	size_t want;
	void *p;

	if (n < *cap)
		return true;
	if (n > SIZE_MAX / 4)
		return false;

	/* memcpy: the array is a pointer to some other type than void */
	memcpy(&p, array, sizeof(p));
	want = n < ARRAY_FIRST ? ARRAY_FIRST : n + n / 2;
	p = reallocarray(p, want, size);
	if (!p)
		return false;
	memcpy(array, &p, sizeof(p));
	*cap = want;
	return true;
}

#define EXCERPT_MAX 60

void buf_excerpt(struct buf *b, const char *text)
{
	size_t i;

	for (i = 0; text[i] && i < EXCERPT_MAX; i++) {
		unsigned char c = (unsigned char)text[i];
		char safe = c < ' ' || c == 0x7f ? '?' : (char)c;

		buf_put(b, &safe, 1);
	}
	/* do not cut a character in two */
	while (text[i] && i > 0 && ((unsigned char)text[i] & 0xc0) == 0x80 && b->len > 0) {
		b->data[--b->len] = '\0';
		i--;
	}
	if (text[i])
		buf_puts(b, "...");
}
