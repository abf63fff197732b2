/* SPDX-License-Identifier: BSD-2-Clause */
/* Patterns of DNS names and of nodes, as Hubble has them (pkg/hubble/filters/patterns.go). */
#include "model/filter_parts.h"

static bool is_star_char(char c)
{
	return ascii_alnum(c) || c == '-' || c == '.';
}

static int refuse(const char *text, size_t len, const char *what, struct errtext *err)
{
	_cleanup_free_ char *copy = strndup(text, len);
	_cleanup_buf_ struct buf shown = {};

	buf_excerpt(&shown, copy ?: "");
	return err_set(err, EINVAL, "'%s': %s", shown.data ?: "", what);
}

int pattern_read(const char *text, size_t len, char **ret, struct errtext *err)
{
	const char *at = text, *end = text + len;

	while (at < end && ascii_space(*at))
		at++;
	while (end > at && ascii_space(end[-1]))
		end--;
	/* the dot that ends a whole name */
	if (end > at && end[-1] == '.')
		end--;
	if (at == end || end[-1] == '.')
		return refuse(text, len, "a name, without dots at its end", err);
	for (const char *c = at; c < end; c++)
		if (!is_star_char(*c) && *c != '_' && *c != '*')
			return refuse(text, len,
				      "a name has letters, digits, '-', '_', '.', "
				      "and '*' for any",
				      err);
	*ret = strndup(at, (size_t)(end - at));
	return *ret ? 0 : -ENOMEM;
}

/* When something does not fit, the last star takes one character more: what stars before
 * it took need not change. */
bool pattern_matches(const char *pattern, const char *name)
{
	const char *star = NULL, *taken = NULL;

	while (*name) {
		if (*pattern == '*') {
			star = pattern++;
			taken = name;
		} else if (ascii_lower(*pattern) == ascii_lower(*name)) {
			pattern++;
			name++;
		} else if (star && is_star_char(*taken)) {
			pattern = star + 1;
			name = ++taken;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}
