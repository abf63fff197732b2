/* SPDX-License-Identifier: BSD-2-Clause */
/* Selectors of labels in the syntax of Kubernetes, with Cilium's sources of labels:
 * "source:key" is a label of that source, "key" and "any:key" one of any. */
#include <cilium-lite/policy.h>

#include "model/filter_parts.h"

/* After CLITE_OP_*: the label is a number above, below the value. */
#define OP_ABOVE 16u
#define OP_BELOW 17u

struct reader {
	const char *text;
	const char *at;
	struct errtext *err;
};

static int refuse(struct reader *r, const char *what)
{
	_cleanup_buf_ struct buf shown = {};

	buf_excerpt(&shown, r->text);
	return err_set(r->err, EINVAL, "'%s': byte %zu: %s", shown.data ?: "",
		       (size_t)(r->at - r->text) + 1, what);
}

static void skip_blanks(struct reader *r)
{
	while (ascii_space(*r->at))
		r->at++;
}

static bool take(struct reader *r, const char *token)
{
	size_t n = strlen(token);

	skip_blanks(r);
	if (strncmp(r->at, token, n))
		return false;
	r->at += n;
	return true;
}

static bool is_word(char c)
{
	return ascii_alnum(c) || c == '-' || c == '_' || c == '.';
}

/* Behind blanks; may be empty. key: it may have a source and a prefix. */
static size_t word(struct reader *r, bool key)
{
	size_t n = 0;

	skip_blanks(r);
	while (is_word(r->at[n]) || (key && r->at[n] && strchr(":/", r->at[n])))
		n++;
	return n;
}

/* ---- parts of a requirement ---------------------------------------------------------- */

static int read_key(struct reader *r, struct requirement *q)
{
	_cleanup_free_ char *key = NULL;
	size_t n = word(r, true);
	int ret;

	if (!n)
		return refuse(r, "a key must be here");
	key = strndup(r->at, n);
	if (!key)
		return -ENOMEM;
	if ((strchr(key, ':') && strchr(strchr(key, ':') + 1, ':')) ||
	    (strchr(key, '/') && strchr(strchr(key, '/') + 1, '/')))
		return refuse(r, "a key is [source:][prefix/]name");
	ret = requirement_set_key(q, key);
	if (ret == -EINVAL)
		return refuse(r, "a key is [source:][prefix/]name");
	r->at += n;
	return ret;
}

static int read_value(struct reader *r, struct requirement *q, size_t *cap)
{
	size_t n = word(r, false);
	char *value;

	if (!array_grow(&q->values, cap, q->nvalues))
		return -ENOMEM;
	value = strndup(r->at, n);
	if (!value)
		return -ENOMEM;
	q->values[q->nvalues++] = value;
	r->at += n;
	return 0;
}

static bool ends(struct reader *r)
{
	skip_blanks(r);
	return !*r->at || *r->at == ',';
}

static int read_one(struct reader *r, struct requirement *q)
{
	size_t cap = 0;
	int ret = read_value(r, q, &cap);

	if (!ret && !ends(r))
		return refuse(r, "a value has letters, digits, '-', '_' and '.'");
	return ret;
}

static int read_set(struct reader *r, struct requirement *q)
{
	size_t cap = 0;
	int ret;

	if (!take(r, "("))
		return refuse(r, "values in '(' and ')' must be here");
	do {
		ret = read_value(r, q, &cap);
		if (ret)
			return ret;
	} while (take(r, ","));
	if (!take(r, ")"))
		return refuse(r, "',' or ')' must be here");
	return ends(r) ? 0 : refuse(r, "',' must be here");
}

static bool number_read(const char *s, int64_t *ret)
{
	char *end;

	if (!*s || ascii_space(*s))
		return false;
	errno = 0;
	*ret = strtoll(s, &end, 10);
	return !*end && !errno;
}

static int read_bound(struct reader *r, struct requirement *q)
{
	int64_t n;
	int ret = read_one(r, q);

	if (!ret && !number_read(q->values[0], &n))
		return refuse(r, "a number must be here");
	return ret;
}

/* "in", "notin": words, so that a blank or '(' must follow. */
static bool take_word(struct reader *r, const char *token)
{
	size_t n = word(r, false);

	if (n != strlen(token) || strncmp(r->at, token, n))
		return false;
	r->at += n;
	return true;
}

static int read_operator(struct reader *r, struct requirement *q)
{
	q->op = CLITE_OP_EXISTS;
	if (ends(r))
		return 0;
	q->op = CLITE_OP_IN;
	if (take(r, "==") || take(r, "="))
		return read_one(r, q);
	if (take_word(r, "in"))
		return read_set(r, q);
	q->op = CLITE_OP_NOT_IN;
	if (take(r, "!="))
		return read_one(r, q);
	if (take_word(r, "notin"))
		return read_set(r, q);
	q->op = OP_ABOVE;
	if (take(r, ">"))
		return read_bound(r, q);
	q->op = OP_BELOW;
	if (take(r, "<"))
		return read_bound(r, q);
	return refuse(r, "=, ==, !=, in, notin, <, > or ',' must be here");
}

static int read_requirement(struct reader *r, struct requirement *q)
{
	bool not = take(r, "!");
	int ret = read_key(r, q);

	if (ret)
		return ret;
	if (!not )
		return read_operator(r, q);
	q->op = CLITE_OP_DOES_NOT_EXIST;
	return ends(r) ? 0 : refuse(r, "',' must be here");
}

int label_selector_parse(const char *text, struct selector *ret, struct errtext *err)
{
	struct reader r = { .text = text, .at = text, .err = err };
	size_t cap = 0;
	int code;

	skip_blanks(&r);
	if (!*r.at)
		return 0;
	do {
		if (!array_grow(&ret->reqs, &cap, ret->nreqs))
			return -ENOMEM;
		ret->reqs[ret->nreqs] = (struct requirement){};
		code = read_requirement(&r, &ret->reqs[ret->nreqs++]);
		if (code)
			return code;
	} while (take(&r, ","));
	return 0;
}

/* ---- labels -------------------------------------------------------------------------- */

/* As Cilium writes it in keys: 2001-db8--0/32, for a key has no ':' of its own. */
static bool cidr_read(const char *key, size_t n, struct prefix *ret)
{
	char text[PREFIX_STR];

	if (n >= sizeof(text))
		return false;
	for (size_t i = 0; i < n; i++)
		text[i] = key[i] == '-' ? ':' : key[i];
	text[n] = '\0';
	return !network_parse(text, ret);
}

/* A network is asked for, and the label is one that lies in it. */
static bool cidr_is(const struct requirement *q, const char *key, size_t n)
{
	struct prefix wanted, p;

	if (!cidr_read(q->key, strlen(q->key), &wanted) || !cidr_read(key, n, &p))
		return false;
	prefix_mask(&wanted);
	return prefix_contains(&wanted, &p);
}

static bool is_source(const char *source, const char *label, size_t n)
{
	return !strncmp(label, source, n) && !source[n];
}

/* Is it the label of the key? Then *value is its value, and so is what has none. */
static bool label_is(const char *label, const struct requirement *q, const char **value)
{
	const char *end = strchrnul(label, '='), *colon = memchr(label, ':', (size_t)(end - label));
	const char *key = colon ? colon + 1 : label;
	size_t n = (size_t)(end - key);

	if (q->source && !is_source(q->source, label, colon ? (size_t)(colon - label) : 0))
		return false;
	*value = *end ? end + 1 : end;
	if (q->source && !strcmp(q->source, "cidr") && cidr_is(q, key, n))
		return true;
	return !strncmp(key, q->key, n) && !q->key[n];
}

/* The first one, as Cilium does, should several sources have the key. */
static const char *find_label(const struct requirement *q, const char *const *labels)
{
	const char *value;

	for (; *labels; labels++)
		if (label_is(*labels, q, &value))
			return value;
	return NULL;
}

static bool has_value(const struct requirement *q, const char *value)
{
	for (size_t i = 0; i < q->nvalues; i++)
		if (!strcmp(q->values[i], value))
			return true;
	return false;
}

static bool bound_holds(const struct requirement *q, const char *value)
{
	int64_t n, bound;

	if (!number_read(value, &n) || !number_read(q->values[0], &bound))
		return false;
	return q->op == OP_ABOVE ? n > bound : n < bound;
}

static bool requirement_holds(const struct requirement *q, const char *const *labels)
{
	const char *value = find_label(q, labels);

	switch (q->op) {
	case CLITE_OP_IN:
		return value && has_value(q, value);
	case CLITE_OP_NOT_IN:
		return !value || !has_value(q, value);
	case CLITE_OP_EXISTS:
		return value;
	case CLITE_OP_DOES_NOT_EXIST:
		return !value;
	default:
		return value && bound_holds(q, value);
	}
}

bool label_selector_holds(const struct selector *s, const char *const *labels)
{
	for (size_t i = 0; i < s->nreqs; i++)
		if (!requirement_holds(&s->reqs[i], labels))
			return false;
	return true;
}
