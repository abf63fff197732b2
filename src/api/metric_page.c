/* SPDX-License-Identifier: BSD-2-Clause */
/* Prometheus' text format. */
#include <cilium-lite/metric.h>
#include <math.h>
#include <stdio.h>

#include "util/util.h"

struct sample {
	char *labels; /* as in the text: {a="b",c="d"}, or "" */
	double value;
};

/* All of a name. */
struct family {
	char *name;
	char *help;
	uint32_t type;
	struct sample *samples;
	size_t n, cap;
};

struct clite_metric_page {
	struct family *families;
	size_t n, cap;
	struct family *last; /* that something was put into: mostly the next is of it, too */
	struct buf text;
};

/* ---- names ------------------------------------------------------------------- */

/* Not of <ctype.h>, which asks the locale. */
static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool name_ok(const char *s, bool colons)
{
	if (!s || !(is_letter(*s) || (colons && *s == ':')))
		return false;
	for (; *s; s++)
		if (!is_letter(*s) && !(*s >= '0' && *s <= '9') && !(colons && *s == ':'))
			return false;
	return true;
}

static bool labels_ok(const struct clite_metric *m)
{
	if (m->nlabels && !m->labels)
		return false;
	for (uint32_t i = 0; i < m->nlabels; i++) {
		const struct clite_metric_label *l = &m->labels[i];

		if (!name_ok(l->name, false) || !strncmp(l->name, "__", 2) || !l->value)
			return false;
		for (uint32_t j = 0; j < i; j++)
			if (!strcmp(m->labels[j].name, l->name))
				return false;
	}
	return true;
}

/* ---- writing ----------------------------------------------------------------- */

/* How many bytes of s are written as they are. */
static size_t plain(const char *s, bool quotes)
{
	const char *end = s;

	while (*end && (unsigned char)*end < 0x80 && *end != '\n' && *end != '\\' &&
	       !(quotes && *end == '"'))
		end++;
	return (size_t)(end - s);
}

/* quotes: also escape '"', as in the value of a label. */
static void put_text(struct buf *b, const char *s, bool quotes)
{
	uint32_t c;

	for (size_t n; *s; s += n) {
		n = plain(s, quotes);
		if (n) {
			buf_put(b, s, n);
			continue;
		}
		n = utf8_decode(s, &c);
		if (n > 1)
			buf_put(b, s, n);
		else if (!n)
			buf_puts(b, "\xef\xbf\xbd");
		else
			buf_put(b, (const char[]){ '\\', *s == '\n' ? 'n' : *s }, 2);
		n = n ?: 1;
	}
}

/* The shortest text that is read as the same number, whatever the locale's decimal point. */
static void put_value(struct buf *b, double value)
{
	char text[64] = "";

	if (value >= 0 && value < 1e15 && value == (double)(uint64_t)value) {
		buf_printf(b, "%llu", (unsigned long long)value);
		return;
	}
	if (isnan(value)) {
		buf_puts(b, "NaN");
		return;
	}
	if (isinf(value)) {
		buf_puts(b, value < 0 ? "-Inf" : "+Inf");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	for (const char *s = text; *s; s++) {
		if ((*s >= '0' && *s <= '9') || *s == '-' || *s == '+' || *s == 'e') {
			buf_put(b, s, 1);
			continue;
		}
		buf_puts(b, ".");
		while (s[1] && !(s[1] >= '0' && s[1] <= '9'))
			s++;
	}
}

static int by_label(const void *a, const void *b)
{
	const struct clite_metric_label *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static bool in_order(const struct clite_metric *m)
{
	for (uint32_t i = 1; i < m->nlabels; i++)
		if (strcmp(m->labels[i - 1].name, m->labels[i].name) > 0)
			return false;
	return true;
}

static void put_labels(struct buf *b, const struct clite_metric_label *const *labels, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		buf_puts(b, i ? "," : "{");
		buf_puts(b, labels[i]->name);
		buf_puts(b, "=\"");
		put_text(b, labels[i]->value, true);
		buf_puts(b, "\"");
	}
	buf_puts(b, n ? "}" : "");
}

/* In the order of their names, so that the same labels are the same text. NULL: no memory. */
static char *labels_text(const struct clite_metric *m)
{
	_cleanup_free_ const struct clite_metric_label **sorted = NULL;
	_cleanup_buf_ struct buf b = {};

	sorted = calloc(m->nlabels ?: 1, sizeof(const struct clite_metric_label *));
	if (!sorted)
		return NULL;
	for (uint32_t i = 0; i < m->nlabels; i++)
		sorted[i] = &m->labels[i];
	if (!in_order(m))
		qsort(sorted, m->nlabels, sizeof(const struct clite_metric_label *), by_label);
	put_labels(&b, sorted, m->nlabels);
	return b.failed ? NULL : TAKE_PTR(b.data);
}

/* ---- the page ------------------------------------------------------------------ */

static void family_clear(struct family *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->samples[i].labels);
	free(f->samples);
	free(f->name);
	free(f->help);
}

int clite_metric_page_new(struct clite_metric_page **ret)
{
	struct clite_metric_page *page;

	if (!ret)
		return -EINVAL;
	page = calloc(1, sizeof(*page));
	if (!page)
		return -ENOMEM;
	*ret = page;
	return 0;
}

struct clite_metric_page *clite_metric_page_free(struct clite_metric_page *page)
{
	if (!page)
		return NULL;
	for (size_t i = 0; i < page->n; i++)
		family_clear(&page->families[i]);
	free(page->families);
	buf_clear(&page->text);
	free(page);
	return NULL;
}

static struct family *family_find(struct clite_metric_page *p, const char *name)
{
	if (p->last && !strcmp(p->last->name, name))
		return p->last;
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->families[i].name, name))
			return &p->families[i];
	return NULL;
}

/* The family of a metric, made if it is the first. */
static int family_get(struct clite_metric_page *p, const struct clite_metric *m,
		      struct family **ret)
{
	struct family new = { .type = m->type }, *f = family_find(p, m->name);

	if (!f) {
		new.name = strdup(m->name);
		new.help = strdup(m->help);
		if (!new.name || !new.help || !array_grow(&p->families, &p->cap, p->n)) {
			family_clear(&new);
			return -ENOMEM;
		}
		f = &p->families[p->n++];
		*f = new;
	}
	if (f->type != m->type || strcmp(f->help, m->help) != 0)
		return -EINVAL;
	*ret = p->last = f;
	return 0;
}

int clite_metric_page_add(const struct clite_metric *metric, void *page)
{
	struct clite_metric_page *p = page;
	struct family *f;
	char *labels;
	int r;

	if (!p || !metric || metric->sz != sizeof(*metric) || !name_ok(metric->name, true) ||
	    !metric->help || !labels_ok(metric) || metric->type < CLITE_METRIC_COUNTER ||
	    metric->type > CLITE_METRIC_GAUGE)
		return -EINVAL;
	r = family_get(p, metric, &f);
	if (r)
		return r;
	labels = labels_text(metric);
	if (!labels || !array_grow(&f->samples, &f->cap, f->n)) {
		free(labels);
		return -ENOMEM;
	}
	f->samples[f->n++] = (struct sample){ .labels = labels, .value = metric->value };
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct family *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int by_labels(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	return strcmp(x->labels, y->labels);
}

static void put_head(struct buf *b, const struct family *f)
{
	buf_printf(b, "# HELP %s ", f->name);
	put_text(b, f->help, false);
	buf_printf(b, "\n# TYPE %s %s\n", f->name,
		   f->type == CLITE_METRIC_COUNTER ? "counter" : "gauge");
}

static int put_family(struct buf *b, const struct family *f)
{
	/* Without memory for its first sample it has none. */
	if (!f->n)
		return 0;
	qsort(f->samples, f->n, sizeof(*f->samples), by_labels);
	put_head(b, f);
	for (size_t i = 0; i < f->n; i++) {
		const struct sample *s = &f->samples[i];

		if (i && !strcmp(s[-1].labels, s->labels))
			return -EEXIST;
		buf_puts(b, f->name);
		buf_puts(b, s->labels);
		buf_puts(b, " ");
		put_value(b, s->value);
		buf_puts(b, "\n");
	}
	return 0;
}

int clite_metric_page_text(struct clite_metric_page *page, const char **ret, size_t *ret_len)
{
	struct buf *b;

	if (!page || !ret)
		return -EINVAL;
	b = &page->text;
	buf_clear(b);
	page->last = NULL;
	if (page->n)
		qsort(page->families, page->n, sizeof(*page->families), by_name);
	for (size_t i = 0; i < page->n; i++) {
		int r = put_family(b, &page->families[i]);

		if (r)
			return r;
	}
	buf_puts(b, "");
	if (b->failed)
		return -ENOMEM;
	*ret = b->data;
	if (ret_len)
		*ret_len = b->len;
	return 0;
}
