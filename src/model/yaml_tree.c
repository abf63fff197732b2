/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/yaml_tree.h"

#include <cilium-lite/version.h>

#include "model/document.h"

/* ---- nodes -------------------------------------------------------------- */

/* Recursive: a tree is at most as deep as its limits say. */
static void ynode_free(struct ynode *n)
{
	while (n) {
		struct ynode *next = n->next;

		ynode_free(n->first);
		free(n->key);
		free(n->text);
		free(n);
		n = next;
	}
}

static void ynode_freep(struct ynode **n)
{
	ynode_free(*n);
}

void ydoc_clear(struct ydoc *d)
{
	ynode_free(d->root);
	*d = (struct ydoc){};
}

static bool one_of(const char *s, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(s, list[i]) == 0)
			return true;
	return false;
}

/* Letters of an integer in base 2, 8, 10 or 16, with YAML's underscores? */
static bool is_integer(const char *s)
{
	const char *digits = "0123456789_";

	if (s[0] == '0' && s[1] == 'x') {
		digits = "0123456789abcdefABCDEF_";
		s += 2;
	} else if (s[0] == '0' && s[1] == 'o') {
		digits = "01234567_";
		s += 2;
	} else if (s[0] == '0' && s[1] == 'b') {
		digits = "01_";
		s += 2;
	} else if (s[0] < '0' || s[0] > '9') {
		return false;
	}
	return *s && s[strspn(s, digits)] == '\0';
}

static bool is_float(const char *s)
{
	static const char digits[] = "0123456789_";
	size_t whole = strspn(s, digits), fraction = 0;

	s += whole;
	if (*s == '.') {
		fraction = strspn(++s, digits);
		s += fraction;
	}
	if (whole + fraction == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		if (*s == '+' || *s == '-')
			s++;
		if (!*s)
			return false;
		s += strspn(s, digits);
	}
	return *s == '\0';
}

static bool is_number(const char *s)
{
	static const char *const special[] = {
		".inf",	 ".Inf",  ".INF",  "+.inf", "+.Inf", "+.INF",
		"-.inf", "-.Inf", "-.INF", ".nan",  ".NaN",  ".NAN",
	};

	if (one_of(s, special, ARRAY_SIZE(special)))
		return true;
	if (*s == '+' || *s == '-')
		s++;
	if (*s == '_')
		return false;
	return is_integer(s) || is_float(s);
}

static enum ynode_type plain_type(const char *s)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
	static const char *const bools[] = { "true", "True", "TRUE", "false", "False", "FALSE" };
	static const char *const ambiguous[] = {
		"y",  "Y",  "yes", "Yes", "YES", "n",	"N",   "no",
		"No", "NO", "on",  "On",  "ON",	 "off", "Off", "OFF",
	};

	if (one_of(s, nulls, ARRAY_SIZE(nulls)))
		return YTYPE_NULL;
	if (one_of(s, bools, ARRAY_SIZE(bools)))
		return YTYPE_BOOL;
	if (one_of(s, ambiguous, ARRAY_SIZE(ambiguous)))
		return YTYPE_AMBIGUOUS;
	return is_number(s) ? YTYPE_NUMBER : YTYPE_STRING;
}

/* ---- places in the text ------------------------------------------------- */

/* The length of the line break that stands at a byte, 0 for none: libyaml's five. */
static size_t break_at(const struct ystream *s, size_t i)
{
	const char *t = s->text + i;
	size_t n = s->len - i;

	if (n == 0)
		return 0;
	if (t[0] == '\r')
		return n > 1 && t[1] == '\n' ? 2 : 1;
	if (t[0] == '\n')
		return 1;
	if (n > 1 && memcmp(t, "\xc2\x85", 2) == 0)
		return 2;
	if (n > 2 && (memcmp(t, "\xe2\x80\xa8", 3) == 0 || memcmp(t, "\xe2\x80\xa9", 3) == 0))
		return 3;
	return 0;
}

/* Where a mark stands. By line and column: a mark's index is wrong behind a text of
 * several lines that end in CR LF. Marks come in order, so counting goes on from the
 * last one. */
static size_t byte_of(struct ystream *s, const yaml_mark_t *m)
{
	size_t i;

	if (m->line < s->at_line) {
		s->at_line = 0;
		s->at_byte = s->skipped;
	}
	while (s->at_line < m->line && s->at_byte < s->len) {
		size_t n = break_at(s, s->at_byte);

		s->at_line += n > 0;
		s->at_byte += n > 0 ? n : 1;
	}

	i = s->at_byte;
	for (size_t column = 0; column < m->column && i < s->len; column++) {
		i++;
		while (i < s->len && (s->text[i] & 0xc0) == 0x80)
			i++;
	}
	return i;
}

static uint32_t line_of_byte(const struct ystream *s, size_t byte)
{
	uint32_t line = 1;
	size_t i = s->skipped;

	while (i < byte && i < s->len) {
		size_t n = break_at(s, i);

		line += n > 0;
		i += n > 0 ? n : 1;
	}
	return line;
}

static uint32_t line_of(const yaml_mark_t *m)
{
	return (uint32_t)m->line + 1;
}

/* ---- errors ------------------------------------------------------------- */

static int fail_parser(struct ystream *s)
{
	const yaml_parser_t *p = &s->parser;
	const char *hint = "";
	size_t byte;

	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;

	if (p->error == YAML_READER_ERROR) {
		byte = p->problem_offset + s->skipped;
		if (p->problem_value == 0)
			return err_set(s->err, CLITE_EDOCUMENT, "%s:%u: a NUL byte is no text",
				       s->filename, line_of_byte(s, byte));
		return err_set(s->err, CLITE_EDOCUMENT, "%s:%u: not UTF-8 text: %s (byte %zu)",
			       s->filename, line_of_byte(s, byte), p->problem, byte);
	}

	byte = byte_of(s, &p->problem_mark);
	if (byte < s->len && s->text[byte] == '\t')
		hint = ": a tab cannot indent, use spaces";
	else if (strstr(p->problem, "invalid Unicode character escape"))
		hint = ": write the character itself";

	if (p->context && p->context_mark.line != p->problem_mark.line)
		return err_set(s->err, CLITE_EDOCUMENT,
			       "%s:%u: not YAML: %s (column %zu; %s that began in line %u)%s",
			       s->filename, line_of(&p->problem_mark), p->problem,
			       p->problem_mark.column + 1, p->context, line_of(&p->context_mark),
			       hint);
	return err_set(s->err, CLITE_EDOCUMENT, "%s:%u: not YAML: %s (column %zu)%s", s->filename,
		       line_of(&p->problem_mark), p->problem, p->problem_mark.column + 1, hint);
}

/* ---- building ----------------------------------------------------------- */

struct builder {
	struct ystream *s;
	struct ynode *root;
	struct ynode **stack; /* the open lists and maps */
	size_t depth, stack_cap;
	char *key; /* of the value that comes next, if the innermost is a map */
	uint32_t key_line;
};

static void builder_clear(struct builder *b)
{
	ynode_free(b->root);
	free(b->stack);
	free(b->key);
}

static bool wants_key(const struct builder *b)
{
	return b->depth > 0 && b->stack[b->depth - 1]->kind == YNODE_MAP && !b->key;
}

static int fail_at(struct builder *b, int code, uint32_t line, const char *what)
{
	return err_set(b->s->err, code, "%s:%u: %s", b->s->filename, line, what);
}

/* Anchors without aliases, which are refused, mean nothing. Tags could mean
 * anything. */
static int check_event(struct builder *b, const yaml_event_t *e, const yaml_char_t *tag)
{
	if (++b->s->nodes > b->s->limits.nodes)
		return err_set(b->s->err, E2BIG, "%s:%u: more than %zu values: split the document",
			       b->s->filename, line_of(&e->start_mark), b->s->limits.nodes);
	if (tag)
		return fail_at(b, CLITE_EDOCUMENT, line_of(&e->start_mark),
			       "tags ('!...') are not supported: leave the tag away");
	return 0;
}

static int take_key(struct builder *b, const char *text, bool plain, uint32_t line)
{
	_cleanup_buf_ struct buf shown = {};

	if (plain && plain_type(text) != YTYPE_STRING) {
		buf_excerpt(&shown, text);
		return err_set(b->s->err, CLITE_EDOCUMENT,
			       "%s:%u: the key '%s' is no string: put it in quotes", b->s->filename,
			       line, shown.data ? shown.data : "");
	}
	b->key = strdup(text);
	b->key_line = line;
	return b->key ? 0 : -ENOMEM;
}

/* Hang a node into the innermost list or map. It is taken over. */
static void attach(struct builder *b, struct ynode *n)
{
	struct ynode *in;

	if (b->depth == 0) {
		b->root = n;
		return;
	}
	in = b->stack[b->depth - 1];
	if (in->kind == YNODE_MAP) {
		n->key = TAKE_PTR(b->key);
		n->key_line = b->key_line;
	}
	if (in->last)
		in->last->next = n;
	else
		in->first = n;
	in->last = n;
	in->n++;
}

static int take_scalar(struct builder *b, const yaml_event_t *e)
{
	_cleanup_(ynode_freep) struct ynode *n = NULL;
	const char *text = (const char *)e->data.scalar.value;
	bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	uint32_t line = line_of(&e->start_mark);
	int r;

	r = check_event(b, e, e->data.scalar.tag);
	if (r < 0)
		return r;
	if (strlen(text) != e->data.scalar.length)
		return fail_at(b, CLITE_EDOCUMENT, line, "a text may not hold a NUL character");
	if (wants_key(b))
		return take_key(b, text, plain, line);

	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->line = line;
	n->type = plain ? plain_type(text) : YTYPE_STRING;
	n->text = strdup(text);
	if (!n->text)
		return -ENOMEM;
	attach(b, TAKE_PTR(n));
	return 0;
}

static int open_collection(struct builder *b, const yaml_event_t *e, enum ynode_kind kind,
			   const yaml_char_t *tag)
{
	uint32_t line = line_of(&e->start_mark);
	struct ynode *n;
	int r;

	r = check_event(b, e, tag);
	if (r < 0)
		return r;
	if (wants_key(b))
		return fail_at(b, CLITE_EDOCUMENT, line,
			       "a key must be a string, not a list or map");
	if (b->depth == b->s->limits.depth)
		return err_set(b->s->err, E2BIG, "%s:%u: nested deeper than %zu levels",
			       b->s->filename, line, b->s->limits.depth);
	if (!array_grow(&b->stack, &b->stack_cap, b->depth))
		return -ENOMEM;

	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->kind = kind;
	n->line = line;
	attach(b, n);
	b->stack[b->depth++] = n;
	return 0;
}

static int cmp_keys(const void *a, const void *b)
{
	const struct ynode *x = *(struct ynode *const *)a, *y = *(struct ynode *const *)b;
	int r = strcmp(x->key, y->key);

	return r ? r : (x->key_line > y->key_line) - (x->key_line < y->key_line);
}

static int check_duplicates(struct builder *b, const struct ynode *map)
{
	_cleanup_free_ struct ynode **sorted = NULL;
	size_t n = 0;

	if (map->n < 2)
		return 0;
	sorted = malloc(map->n * sizeof(struct ynode *));
	if (!sorted)
		return -ENOMEM;
	for (struct ynode *c = map->first; c; c = c->next)
		sorted[n++] = c;
	qsort(sorted, n, sizeof(struct ynode *), cmp_keys);

	for (size_t i = 1; i < n; i++) {
		_cleanup_buf_ struct buf shown = {};

		if (strcmp(sorted[i - 1]->key, sorted[i]->key) != 0)
			continue;
		buf_excerpt(&shown, sorted[i]->key);
		return err_set(b->s->err, CLITE_EDOCUMENT,
			       "%s:%u: the key '%s' is there already, in line %u", b->s->filename,
			       sorted[i]->key_line, shown.data ? shown.data : "",
			       sorted[i - 1]->key_line);
	}
	return 0;
}

static int take_event(struct builder *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return take_scalar(b, e);
	case YAML_SEQUENCE_START_EVENT:
		return open_collection(b, e, YNODE_LIST, e->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return open_collection(b, e, YNODE_MAP, e->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
		b->depth--;
		return 0;
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return check_duplicates(b, b->stack[b->depth]);
	case YAML_ALIAS_EVENT:
		return fail_at(b, CLITE_EDOCUMENT, line_of(&e->start_mark),
			       "aliases ('*...') are not supported: write the value out");
	default:
		return 0;
	}
}

/* ---- streams ------------------------------------------------------------ */

static void event_clear(yaml_event_t *e)
{
	yaml_event_delete(e);
}

/* libyaml looks through all earlier %TAG lines for each new one, which a hostile
 * text can make last for hours. Tags are refused anyhow. */
static int refuse_tag_directives(struct ystream *s)
{
	bool line_begins = true;

	for (size_t i = s->skipped; i < s->len;) {
		size_t n = break_at(s, i);

		if (line_begins && s->len - i >= 4 && memcmp(s->text + i, "%TAG", 4) == 0)
			return err_set(s->err, CLITE_EDOCUMENT,
				       "%s:%u: %%TAG is not supported: leave it away", s->filename,
				       line_of_byte(s, i));
		line_begins = n > 0;
		i += n > 0 ? n : 1;
	}
	return 0;
}

int ystream_open(struct ystream *s, const char *text, size_t len, const struct ylimits *limits,
		 const char *filename, struct errtext *err)
{
	int r;

	*s = (struct ystream){
		.limits = *limits, .text = text, .len = len, .filename = filename, .err = err,
	};
	if (len > limits->bytes)
		return err_set(err, E2BIG, "%s: %zu bytes: at most %zu are read", filename, len,
			       limits->bytes);
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		s->skipped = 3;
	s->at_byte = s->previous_end = s->skipped;

	r = refuse_tag_directives(s);
	if (r < 0)
		return r;
	if (!yaml_parser_initialize(&s->parser))
		return -ENOMEM;
	s->open = true;
	yaml_parser_set_encoding(&s->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&s->parser, (const unsigned char *)text + s->skipped,
				     len - s->skipped);
	return 0;
}

void ystream_close(struct ystream *s)
{
	if (s->open)
		yaml_parser_delete(&s->parser);
	s->open = false;
}

/* Where a document's own text begins: behind its "---" and the end of that line. */
static size_t text_begin(struct ystream *s, const yaml_event_t *e)
{
	size_t at, i;

	if (e->data.document_start.implicit)
		return s->previous_end;
	at = byte_of(s, &e->end_mark);
	for (i = at; i < s->len && (s->text[i] == ' ' || s->text[i] == '\t');)
		i++;
	return i < s->len && break_at(s, i) ? i + break_at(s, i) : at;
}

/* One event: 1 when the document is complete, 2 at the end of the stream. */
static int step(struct builder *b, struct ydoc *doc)
{
	_cleanup_(event_clear) yaml_event_t e = {};
	struct ystream *s = b->s;

	if (!yaml_parser_parse(&s->parser, &e))
		return fail_parser(s);

	switch (e.type) {
	case YAML_DOCUMENT_START_EVENT:
		doc->begin = text_begin(s, &e);
		return 0;
	case YAML_DOCUMENT_END_EVENT:
		doc->end = byte_of(s, &e.start_mark);
		s->previous_end = byte_of(s, &e.end_mark);
		return 1;
	case YAML_STREAM_END_EVENT:
		return 2;
	default:
		return take_event(b, &e);
	}
}

int ystream_next(struct ystream *s, struct ydoc *ret)
{
	_cleanup_(builder_clear) struct builder b = { .s = s };
	struct ydoc doc = {};
	int r;

	do
		r = step(&b, &doc);
	while (r == 0);

	if (r == 2)
		return 0;
	if (r < 0)
		return r;
	doc.root = TAKE_PTR(b.root);
	*ret = doc;
	return 1;
}
