/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/json.h"

#include <cilium-lite/version.h>
#include <stdio.h>

/* ---- errors ------------------------------------------------------------------- */

int json_wrong(struct json *j, const char *fmt, ...)
{
	_cleanup_buf_ struct buf path = {};
	_cleanup_free_ char *what = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&what, fmt, ap) < 0)
		what = NULL;
	va_end(ap);
	for (unsigned int i = 0; i < j->depth; i++)
		if (j->keys[i])
			buf_printf(&path, "%s%.64s", path.len ? "." : "", j->keys[i]);
	return err_set(j->err, CLITE_EDOCUMENT, "%s%s%s", path.data ?: "", path.len ? ": " : "",
		       what ?: "");
}

static int expected(struct json *j, const char *what)
{
	size_t byte = (size_t)(j->at - j->begin) + 1;

	if (j->at == j->end)
		return json_wrong(j, "the line ends where %s should be", what);
	if (*j->at < ' ' || *j->at > '~')
		return json_wrong(j, "byte %zu: 0x%02x where %s should be", byte,
				  (unsigned char)*j->at, what);
	return json_wrong(j, "byte %zu: '%c' where %s should be", byte, *j->at, what);
}

/* ---- what stands between values -------------------------------------------------- */

static void go_to(struct json *j, char *s)
{
	while (*s == ' ' || *s == '\t' || *s == '\r' || *s == '\n')
		s++;
	j->at = s;
}

static void value_over(struct json *j, char *s)
{
	j->first = false;
	go_to(j, s);
}

void json_begin(struct json *j, char *text, size_t len, struct errtext *err)
{
	*j = (struct json){ .begin = text, .end = text + len, .err = err };
	go_to(j, text);
}

int json_finish(struct json *j)
{
	return j->at == j->end ? 0 : expected(j, "the end of the line");
}

char json_kind(const struct json *j)
{
	switch (*j->at) {
	case '{':
	case '[':
	case '"':
	case 'n':
		return *j->at;
	case 't':
	case 'f':
		return 't';
	case '-':
	case '0' ... '9':
		return '0';
	default:
		return 0;
	}
}

int json_open(struct json *j, char bracket)
{
	if (*j->at != bracket)
		return expected(j, bracket == '{' ? "an object" : "a list");
	if (j->depth == JSON_DEPTH)
		return json_wrong(j, "more than %d objects and lists inside of each other",
				  JSON_DEPTH);
	j->keys[j->depth++] = NULL;
	j->first = true;
	go_to(j, j->at + 1);
	return 0;
}

/* 1: another one comes; 0: it is over. */
static int next(struct json *j, char bracket)
{
	if (*j->at == bracket) {
		j->depth--;
		value_over(j, j->at + 1);
		return 0;
	}
	if (!j->first) {
		if (*j->at != ',')
			return expected(j, bracket == '}' ? "',' or '}'" : "',' or ']'");
		go_to(j, j->at + 1);
	}
	return 1;
}

/* ---- texts ------------------------------------------------------------------------- */

/* Bytes that stand for themselves: ASCII without controls, '"' and '\'. */
static const bool plain[256] = {
	[' ' ... '!'] = true,
	['#' ... '['] = true,
	[']' ... 0x7f] = true,
};

static size_t utf8_encode(uint32_t c, char *out)
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (size_t i = n; i-- > 1; c >>= 6)
		out[i] = (char)(0x80 | (c & 0x3f));
	out[0] = (char)(n == 1 ? c : (0xf00u >> n) | c);
	return n;
}

static int hex4(const char *s, uint32_t *ret)
{
	uint32_t c = 0;

	for (int i = 0; i < 4; i++, s++) {
		if (*s >= '0' && *s <= '9')
			c = c << 4 | (uint32_t)(*s - '0');
		else if ((*s | 0x20) >= 'a' && (*s | 0x20) <= 'f')
			c = c << 4 | (uint32_t)((*s | 0x20) - 'a' + 10);
		else
			return -EINVAL;
	}
	*ret = c;
	return 0;
}

/* s is behind "\u"; returns the length of what is read there, 0 for what is none. */
static size_t unicode(const char *s, uint32_t *ret)
{
	uint32_t high, low;

	if (hex4(s, &high) < 0 || (high >= 0xdc00 && high <= 0xdfff))
		return 0;
	*ret = high;
	if (high < 0xd800 || high > 0xdfff)
		return 4;
	if (s[4] != '\\' || s[5] != 'u' || hex4(s + 6, &low) < 0 || low < 0xdc00 || low > 0xdfff)
		return 0;
	*ret = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
	return 10;
}

/* s is at a '\'; decodes into out, and returns how much was read, 0 for what is none. */
static size_t escape(const char *s, char out[4], size_t *ret_len)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *found = s[1] ? strchr(from, s[1]) : NULL;
	uint32_t c;
	size_t n;

	if (found) {
		out[0] = to[found - from];
		*ret_len = 1;
		return 2;
	}
	n = s[1] == 'u' ? unicode(s + 2, &c) : 0;
	if (!n || !c)
		return 0;
	*ret_len = utf8_encode(c, out);
	return n + 2;
}

/* What is not plain: returns how much was read. */
static int odd(struct json *j, char *s, char out[4], size_t *ret_len)
{
	uint32_t c;
	size_t n;

	j->at = s;
	if (*s == '\\') {
		n = escape(s, out, ret_len);
		return n ? (int)n : expected(j, "an escape of JSON (none of NUL)");
	}
	if ((unsigned char)*s < ' ')
		return expected(j, s == j->end ? "the end of a text" : "text without controls");
	n = utf8_decode(s, &c);
	if (!n)
		return expected(j, "UTF-8");
	memcpy(out, s, n);
	*ret_len = n;
	return (int)n;
}

/* With ret decoded where it is, else only looked at. */
static int read_text(struct json *j, const char **ret)
{
	char *s = j->at + 1, *to = s, *begin = s;

	for (;;) {
		char *from = s, out[4];
		size_t len = 0;
		int n;

		while (plain[(unsigned char)*s])
			s++;
		if (ret && to != from)
			memmove(to, from, (size_t)(s - from));
		to += s - from;
		if (*s == '"')
			break;
		n = odd(j, s, out, &len);
		if (n < 0)
			return n;
		if (ret)
			memcpy(to, out, len);
		to += len;
		s += n;
	}
	if (ret) {
		*to = '\0';
		*ret = begin;
	}
	value_over(j, s + 1);
	return 0;
}

int json_text(struct json *j, const char **ret)
{
	return *j->at == '"' ? read_text(j, ret) : expected(j, "a text");
}

/* ---- members and items -------------------------------------------------------------- */

int json_member(struct json *j, const char **ret_key)
{
	int r;

	j->keys[j->depth - 1] = NULL;
	r = next(j, '}');
	if (r <= 0)
		return r;
	r = *j->at == '"' ? read_text(j, ret_key) : expected(j, "the name of a member");
	if (r < 0)
		return r;
	if (*j->at != ':')
		return expected(j, "':'");
	go_to(j, j->at + 1);
	if (ret_key)
		j->keys[j->depth - 1] = *ret_key;
	return 1;
}

int json_item(struct json *j)
{
	return next(j, ']');
}

/* ---- other values --------------------------------------------------------------------- */

static bool is_word(struct json *j, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(j->at, word, len) != 0)
		return false;
	value_over(j, j->at + len);
	return true;
}

int json_bool(struct json *j, bool *ret)
{
	bool yes = is_word(j, "true");

	if (!yes && !is_word(j, "false"))
		return expected(j, "true or false");
	*ret = yes;
	return 0;
}

static char *digits(char *s)
{
	while (*s >= '0' && *s <= '9')
		s++;
	return s;
}

/* Behind a number; NULL: it is none. */
static char *number_end(char *s)
{
	char *end;

	s += *s == '-';
	end = *s == '0' ? s + 1 : digits(s);
	if (end == s)
		return NULL;
	if (*end == '.') {
		s = end + 1;
		end = digits(s);
		if (end == s)
			return NULL;
	}
	if ((*end | 0x20) == 'e') {
		s = end + 1;
		s += *s == '+' || *s == '-';
		end = digits(s);
		if (end == s)
			return NULL;
	}
	return end;
}

int json_number(struct json *j, const char **ret, size_t *ret_len)
{
	char *end = number_end(j->at);

	if (!end)
		return expected(j, "a number");
	*ret = j->at;
	*ret_len = (size_t)(end - j->at);
	value_over(j, end);
	return 0;
}

static int skip_all(struct json *j, char bracket)
{
	int r = json_open(j, bracket);

	while (!r) {
		r = bracket == '{' ? json_member(j, NULL) : json_item(j);
		if (r <= 0)
			return r;
		r = json_skip(j);
	}
	return r;
}

int json_skip(struct json *j)
{
	const char *number;
	size_t len;
	bool b;

	switch (json_kind(j)) {
	case '{':
	case '[':
		return skip_all(j, *j->at);
	case '"':
		return read_text(j, NULL);
	case '0':
		return json_number(j, &number, &len);
	case 't':
		return json_bool(j, &b);
	case 'n':
		return is_word(j, "null") ? 0 : expected(j, "a value");
	default:
		return expected(j, "a value");
	}
}
