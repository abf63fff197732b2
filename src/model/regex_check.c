/* SPDX-License-Identifier: BSD-2-Clause */
/* The syntax of RE2's regular expressions, with the limits of Go's implementation of it.
 * They are checked and not compiled: only layer 7 would be compared with them, and no flow
 * tells of it yet. One pass without recursion, so no expression takes long. */
#include "model/filter_parts.h"

#define REPEAT_MAX 1000 /* also of the product of counts inside of each other */

/* A group that is open, or the whole. */
struct group {
	uint32_t repeats; /* highest product of counts inside */
	uint32_t last;	  /* that of the last part, which a count would repeat; 0: none */
};

struct reader {
	const char *text;
	const char *at;
	struct errtext *err;
	struct group *open; /* [depth] is the innermost */
	size_t depth;
	bool repeated;	    /* the last part has a count already */
	const char **names; /* of groups, where they stand */
	size_t nnames;
};

static int refuse(struct reader *r, const char *where, const char *what)
{
	_cleanup_buf_ struct buf shown = {};

	buf_excerpt(&shown, r->text);
	return err_set(r->err, EINVAL, "'%s': no regular expression of RE2: byte %zu: %s",
		       shown.data ?: "", (size_t)(where - r->text) + 1, what);
}

/* ---- characters -------------------------------------------------------------------- */

/* A character of UTF-8; at its end, and for what is none, -1. */
static int32_t take_char(struct reader *r)
{
	static const int32_t first[] = { 0, 0x80, 0x800, 0x10000 };
	uint8_t c = (uint8_t)*r->at;
	size_t more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
	int32_t value = c < 0x80 ? c : c & (0x3f >> more);

	if (!c || (c >= 0x80 && c < 0xc0) || c >= 0xf8)
		return -1;
	for (size_t i = 1; i <= more; i++) {
		if (((uint8_t)r->at[i] & 0xc0) != 0x80)
			return -1;
		value = value << 6 | ((uint8_t)r->at[i] & 0x3f);
	}
	if (value < first[more] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return -1;
	r->at += more + 1;
	return value;
}

static int check_utf8(struct reader *r)
{
	while (*r->at)
		if (take_char(r) < 0)
			return refuse(r, r->at, "not UTF-8");
	r->at = r->text;
	return 0;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Behind "\x": two digits, or any number of them in braces. */
static int32_t take_hex(struct reader *r)
{
	bool braces = *r->at == '{';
	int32_t value = 0;
	size_t n = 0;

	r->at += braces;
	for (; digit_of(*r->at) < 16 && (braces || n < 2) && value <= 0x10ffff; n++)
		value = value * 16 + digit_of(*r->at++);
	if (braces ? !n || *r->at != '}' : n < 2)
		return -1;
	r->at += braces;
	return value <= 0x10ffff ? value : -1;
}

/* A '\' and what stands for one character; -1: something else. */
static int32_t take_escape(struct reader *r)
{
	static const char letters[] = "afnrtv", meaning[] = "\a\f\n\r\t\v";
	char c = r->at[1];
	const char *letter;
	int32_t value = 0;

	if (!c)
		return -1;
	r->at += 2;
	/* one digit but 0 would be a back reference */
	if (is_octal(c) && (c == '0' || is_octal(*r->at))) {
		value = c - '0';
		for (int i = 0; i < 2 && is_octal(*r->at); i++)
			value = value * 8 + (*r->at++ - '0');
		return value;
	}
	if (c == 'x')
		return take_hex(r);
	letter = strchr(letters, c);
	if (letter)
		return meaning[letter - letters];
	return (uint8_t)c < 0x80 && !ascii_alnum(c) ? c : -1;
}

/* ---- classes ----------------------------------------------------------------------- */

static bool is_category(const char *name, size_t n)
{
	static const char *const names[] = {
		"C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "LC", "Ll", "Lm", "Lo", "Lt", "Lu",
		"M",  "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf",
		"Pi", "Po", "Ps", "S",	"Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == n && !strncmp(names[i], name, n))
			return true;
	return false;
}

/* Scripts are told by their form: Unicode gets new ones. */
static bool is_script(const char *name, size_t n)
{
	if (n < 2 || *name < 'A' || *name > 'Z')
		return false;
	for (size_t i = 1; i < n; i++)
		if ((!ascii_alnum(name[i]) && name[i] != '_') || digit_of(name[i]) < 10)
			return false;
	return n > 2 || !strncmp(name, "Yi", 2);
}

/* "\pL", "\p{Greek}", "\P{^Lu}": 1; 0: something else. */
static int take_property(struct reader *r)
{
	const char *begin = r->at, *name, *end;

	if (r->at[0] != '\\' || (r->at[1] != 'p' && r->at[1] != 'P'))
		return 0;
	name = r->at + 2;
	end = *name == '{' ? strchr(name, '}') : *name ? name + 1 : NULL;
	if (!end)
		return refuse(r, begin,
			      "the name of a class must follow, as in \\pL or \\p{Greek}");
	r->at = end + (*name == '{');
	name += *name == '{';
	name += *name == '^' && name < end;
	if (!is_category(name, (size_t)(end - name)) && !is_script(name, (size_t)(end - name)))
		return refuse(r, begin, "no class of Unicode");
	return 1;
}

static bool take_perl_class(struct reader *r)
{
	if (r->at[0] != '\\' || !r->at[1] || !strchr("dDsSwW", r->at[1]))
		return false;
	r->at += 2;
	return true;
}

/* "[:alpha:]" inside of a class: 1; 0: something else. */
static int take_posix_class(struct reader *r)
{
	static const char *const names[] = {
		"alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph",
		"lower", "print", "punct", "space", "upper", "word",  "xdigit",
	};
	const char *begin = r->at, *name, *end;

	if (r->at[0] != '[' || r->at[1] != ':')
		return 0;
	name = r->at + 2;
	end = strstr(name, ":]");
	if (!end)
		return 0;
	name += *name == '^';
	r->at = end + 2;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == (size_t)(end - name) &&
		    !strncmp(names[i], name, (size_t)(end - name)))
			return 1;
	return refuse(r, begin, "no class such as [:alpha:]");
}

static int take_class_char(struct reader *r, int32_t *ret)
{
	const char *begin = r->at;

	*ret = *r->at == '\\' ? take_escape(r) : take_char(r);
	if (*ret >= 0)
		return 0;
	return refuse(r, begin, *begin ? "no such escape in a class" : "']' is missing");
}

static int take_range(struct reader *r)
{
	const char *begin = r->at;
	int32_t low, high;
	int ret = take_class_char(r, &low);

	if (ret || r->at[0] != '-' || !r->at[1] || r->at[1] == ']')
		return ret;
	r->at++;
	ret = take_class_char(r, &high);
	if (!ret && high < low)
		return refuse(r, begin, "the range ends before it begins");
	return ret;
}

static int take_class(struct reader *r)
{
	int ret;

	r->at++;
	if (*r->at == '^')
		r->at++;
	for (bool first = true; first || *r->at != ']'; first = false) {
		ret = take_posix_class(r);
		if (!ret)
			ret = take_property(r);
		if (!ret && !take_perl_class(r))
			ret = take_range(r);
		if (ret < 0)
			return ret;
	}
	r->at++;
	return 0;
}

/* ---- groups ------------------------------------------------------------------------- */

static struct group *inner(struct reader *r)
{
	return &r->open[r->depth];
}

/* A part that stands once, with counts inside. */
static void add_part(struct reader *r, uint32_t repeats)
{
	struct group *g = inner(r);

	g->last = repeats;
	if (repeats > g->repeats)
		g->repeats = repeats;
	r->repeated = false;
}

static void open_group(struct reader *r)
{
	r->depth++;
	*inner(r) = (struct group){ .repeats = 1 };
	r->repeated = false;
}

static int close_group(struct reader *r)
{
	uint32_t repeats = inner(r)->repeats;

	if (!r->depth)
		return refuse(r, r->at, "')' without '('");
	r->depth--;
	r->at++;
	add_part(r, repeats);
	return 0;
}

static size_t word_len(const char *s)
{
	size_t n = 0;

	while (ascii_alnum(s[n]) || s[n] == '_')
		n++;
	return n;
}

static int take_group_name(struct reader *r, const char *begin)
{
	const char *name = r->at;
	size_t n = word_len(name);

	if (!n || name[n] != '>')
		return refuse(r, begin,
			      "the name of a group is letters, digits and '_' before '>'");
	for (size_t i = 0; i < r->nnames; i++)
		if (word_len(r->names[i]) == n && !strncmp(r->names[i], name, n))
			return refuse(r, begin, "the name of a group is there already");
	r->names[r->nnames++] = name;
	r->at += n + 1;
	open_group(r);
	return 0;
}

/* "(?i-s)" or "(?i-s:" */
static int take_flags(struct reader *r, const char *begin)
{
	bool minus = false, any = false;

	for (;; r->at++) {
		if (*r->at && strchr("imsU", *r->at))
			any = true;
		else if (*r->at == '-' && !minus)
			minus = true, any = false;
		else
			break;
	}
	if ((*r->at != ':' && *r->at != ')') || (minus && !any))
		return refuse(r, begin,
			      "no such group: (?i), (?ims-U:...), (?:...), (?P<name>...)");
	if (*r->at++ == ':')
		open_group(r);
	r->repeated = false;
	return 0;
}

static int take_group(struct reader *r)
{
	const char *begin = r->at++;

	if (*r->at != '?') {
		open_group(r);
		return 0;
	}
	r->at++;
	if (!strncmp(r->at, "P<", 2))
		r->at++;
	if (*r->at != '<')
		return take_flags(r, begin);
	r->at++;
	return take_group_name(r, begin);
}

/* ---- counts --------------------------------------------------------------------------- */

/* A number without leading zeros; -1: none; above REPEAT_MAX for all that are. */
static int32_t take_number(const char **at)
{
	int32_t n = 0;

	if (digit_of(**at) > 9 || (**at == '0' && digit_of((*at)[1]) < 10))
		return -1;
	for (; digit_of(**at) < 10; ++*at)
		n = n > REPEAT_MAX ? n : n * 10 + digit_of(**at);
	return n;
}

/* "{2}", "{2,}", "{2,5}": where it ends; NULL: it is text. max -1: any number. */
static const char *count_read(const char *at, int32_t *min, int32_t *max)
{
	at++;
	*min = *max = take_number(&at);
	if (*min >= 0 && *at == ',') {
		at++;
		*max = *at == '}' ? -1 : take_number(&at);
		if (*max < 0 && *at != '}')
			return NULL;
	}
	return *min >= 0 && *at == '}' ? at + 1 : NULL;
}

static int repeat(struct reader *r, const char *end, int32_t min, int32_t max)
{
	uint32_t times = (uint32_t)(max < 0 ? min ?: 1 : max), all = inner(r)->last;

	if (!all)
		return refuse(r, r->at, "nothing to repeat");
	if (r->repeated)
		return refuse(r, r->at, "repeated twice: put it in '(' and ')'");
	if (min > REPEAT_MAX || max > REPEAT_MAX || (max >= 0 && min > max))
		return refuse(r, r->at, "a count is 0 to 1000, and begins before it ends");
	/* what stands no times counts no more; '*' and its like not at all */
	all = !times ? 1 : all * times;
	if (all > REPEAT_MAX)
		return refuse(r, r->at, "counts inside of each other are more than 1000 together");
	add_part(r, all);
	r->at = end + (*end == '?');
	r->repeated = true;
	return 0;
}

/* ---- the whole ------------------------------------------------------------------------ */

static void take_quote(struct reader *r)
{
	const char *begin = r->at + 2, *end = strstr(begin, "\\E");

	if (*begin && begin != end)
		add_part(r, 1);
	r->repeated = false;
	r->at = end ? end + 2 : begin + strlen(begin);
}

static int take_backslash(struct reader *r)
{
	const char *begin = r->at;
	int ret;

	if (r->at[1] == 'Q') {
		take_quote(r);
		return 0;
	}
	ret = take_property(r);
	if (ret < 0)
		return ret;
	if (!ret && !take_perl_class(r)) {
		if (r->at[1] && strchr("AbBz", r->at[1]))
			r->at += 2;
		else if (take_escape(r) < 0)
			return refuse(r, begin, "no such escape");
	}
	add_part(r, 1);
	return 0;
}

static int take_part(struct reader *r)
{
	int32_t min, max;
	const char *end;
	int ret = 0;

	switch (*r->at) {
	case '(':
		return take_group(r);
	case ')':
		return close_group(r);
	case '|':
		r->at++;
		inner(r)->last = 0;
		r->repeated = false;
		return 0;
	case '*':
		return repeat(r, r->at + 1, 1, -1);
	case '+':
		return repeat(r, r->at + 1, 1, -1);
	case '?':
		return repeat(r, r->at + 1, 0, 1);
	case '{':
		end = count_read(r->at, &min, &max);
		if (end)
			return repeat(r, end, min, max);
		break;
	case '[':
		ret = take_class(r);
		add_part(r, 1);
		return ret;
	case '\\':
		return take_backslash(r);
	}
	take_char(r);
	add_part(r, 1);
	return 0;
}

int regex_check(const char *text, struct errtext *err)
{
	struct reader r = { .text = text, .at = text, .err = err };
	_cleanup_free_ const char **names = NULL;
	_cleanup_free_ struct group *open = NULL;
	size_t n = strlen(text) + 1;
	int ret;

	r.open = open = calloc(n, sizeof(*open));
	r.names = names = calloc(n, sizeof(*names));
	if (!open || !names)
		return -ENOMEM;
	open[0].repeats = 1;
	ret = check_utf8(&r);
	while (!ret && *r.at)
		ret = take_part(&r);
	if (!ret && r.depth)
		return refuse(&r, r.at, "')' is missing");
	return ret;
}
