/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/base.h"

/* ---- options ----------------------------------------------------------------- */

#define OPTS_MAX 4096 /* no struct will ever be larger: sz was not set */

int opts_copy(void *ours, size_t ours_size, const void *theirs)
{
	size_t sz = ours_size;

	if (theirs)
		memcpy(&sz, theirs, sizeof(sz));
	if (sz < sizeof(sz) || sz > OPTS_MAX)
		return -EINVAL;
	for (size_t i = ours_size; i < sz; i++)
		if (((const uint8_t *)theirs)[i])
			return -EINVAL;
	memset(ours, 0, ours_size);
	if (theirs)
		memcpy(ours, theirs, sz < ours_size ? sz : ours_size);
	memcpy(ours, &ours_size, sizeof(ours_size));
	return 0;
}

/* ---- bytes ------------------------------------------------------------------- */

bool bytes_room(struct bytes *b, size_t n)
{
	size_t cap = b->cap ?: 256;
	uint8_t *data;

	if (n <= b->cap - b->len)
		return true;
	if (b->off) { /* what is done with makes room first */
		memmove(b->data, b->data + b->off, bytes_left(b));
		b->len -= b->off;
		b->off = 0;
		if (n <= b->cap - b->len)
			return true;
	}
	while (cap - b->len < n) {
		if (cap > SIZE_MAX / 2)
			return false;
		cap *= 2;
	}
	data = realloc(b->data, cap);
	if (!data)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

bool bytes_put(struct bytes *b, const void *data, size_t n)
{
	if (!bytes_room(b, n))
		return false;
	if (n)
		memcpy(b->data + b->len, data, n);
	b->len += n;
	return true;
}

void bytes_take(struct bytes *b, size_t n)
{
	b->off += n;
	if (b->off == b->len)
		b->off = b->len = 0;
}

void bytes_clear(struct bytes *b)
{
	free(b->data);
	*b = (struct bytes){};
}

/* ---- arena ------------------------------------------------------------------- */

#define CHUNK 4096

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	max_align_t data[];
};

static struct arena_chunk *chunk_new(struct arena *a, size_t size)
{
	struct arena_chunk *c;

	if (size < CHUNK)
		size = CHUNK;
	if (size > SIZE_MAX - sizeof(*c))
		return NULL;
	c = malloc(sizeof(*c) + size);
	if (!c)
		return NULL;
	*c = (struct arena_chunk){ .next = a->chunks, .size = size };
	a->chunks = c;
	return c;
}

void *arena_get(struct arena *a, size_t size)
{
	const size_t align = sizeof(max_align_t);
	struct arena_chunk *c = a->chunks;
	void *p;

	if (size > SIZE_MAX - align) {
		a->failed = true;
		return NULL;
	}
	size = (size + align - 1) / align * align;
	if (!c || c->size - c->used < size)
		c = chunk_new(a, size);
	if (!c) {
		a->failed = true;
		return NULL;
	}
	p = (uint8_t *)c->data + c->used;
	c->used += size;
	return memset(p, 0, size);
}

char *arena_text(struct arena *a, const char *s, size_t len)
{
	char *copy = arena_get(a, len + 1);

	return copy && len ? memcpy(copy, s, len) : copy;
}

/* Keeps the first that was made. */
void arena_reset(struct arena *a)
{
	while (a->chunks && a->chunks->next) {
		struct arena_chunk *c = a->chunks;

		a->chunks = c->next;
		free(c);
	}
	if (a->chunks)
		a->chunks->used = 0;
	a->failed = false;
}

void arena_clear(struct arena *a)
{
	arena_reset(a);
	free(a->chunks);
	*a = (struct arena){};
}

/* ---- texts ------------------------------------------------------------------- */

/* Bytes of the character that s begins with; 0: it is none. */
static size_t utf8_char(const uint8_t *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;
	uint32_t c;

	if (n == 1)
		return 1;
	if (n == 4 && (s[0] & 0xf8) != 0xf0)
		return 0;
	c = s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) { /* ends at the NUL, too */
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

static bool utf8_valid(const char *s)
{
	for (const uint8_t *p = (const uint8_t *)s; *p;) {
		size_t n = *p < 0x80 ? 1 : utf8_char(p); /* most are */

		if (!n)
			return false;
		p += n;
	}
	return true;
}

const char *text_utf8(struct arena *a, const char *s)
{
	static const char bad[] = "\xef\xbf\xbd";
	char *copy, *out;

	if (utf8_valid(s))
		return s;
	copy = out = arena_get(a, strlen(s) * (sizeof(bad) - 1) + 1);
	if (!copy)
		return "";
	for (const uint8_t *p = (const uint8_t *)s; *p;) {
		size_t n = utf8_char(p);

		out = mempcpy(out, n ? (const char *)p : bad, n ?: sizeof(bad) - 1);
		p += n ?: 1;
	}
	return copy;
}
