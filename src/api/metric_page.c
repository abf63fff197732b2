/* SPDX-License-Identifier: BSD-2-Clause */
/* Prometheus' text format. */
#include <cilium-lite/metric.h>
#include <math.h>
#include <stdio.h>

#include "util/util.h"

struct sample {
	char *name;
	char *help;
	char *labels; /* as in the text: {a="b",c="d"}, or "" */
	double value;
	uint32_t type;
};

struct clite_metric_page {
	struct sample *samples;
	size_t n, cap;
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

/* quotes: also escape '"', as in the value of a label. */
static void put_text(struct buf *b, const char *s, bool quotes)
{
	while (*s) {
		uint32_t c;
		size_t n = utf8_decode(s, &c);

		if (!n)
			buf_puts(b, "\xef\xbf\xbd");
		else if (*s == '\n')
			buf_puts(b, "\\n");
		else if (*s == '\\' || (quotes && *s == '"'))
			buf_printf(b, "\\%c", *s);
		else
			buf_put(b, s, n);
		s += n ?: 1;
	}
}

/* The shortest text that is read as the same number, whatever the locale's decimal point. */
static void put_value(struct buf *b, double value)
{
	char text[64] = "";

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
	qsort(sorted, m->nlabels, sizeof(const struct clite_metric_label *), by_label);
	buf_puts(&b, m->nlabels ? "{" : "");
	for (uint32_t i = 0; i < m->nlabels; i++) {
		buf_printf(&b, "%s%s=\"", i ? "," : "", sorted[i]->name);
		put_text(&b, sorted[i]->value, true);
		buf_puts(&b, "\"");
	}
	buf_puts(&b, m->nlabels ? "}" : "");
	return b.failed ? NULL : TAKE_PTR(b.data);
}

/* ---- the page ------------------------------------------------------------------ */

static void sample_clear(struct sample *s)
{
	free(s->name);
	free(s->help);
	free(s->labels);
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
		sample_clear(&page->samples[i]);
	free(page->samples);
	buf_clear(&page->text);
	free(page);
	return NULL;
}

int clite_metric_page_add(const struct clite_metric *metric, void *page)
{
	struct clite_metric_page *p = page;
	_cleanup_(sample_clear) struct sample s = {};

	if (!p || !metric || metric->sz != sizeof(*metric) || !name_ok(metric->name, true) ||
	    !metric->help || !labels_ok(metric) || metric->type < CLITE_METRIC_COUNTER ||
	    metric->type > CLITE_METRIC_GAUGE)
		return -EINVAL;
	s = (struct sample){
		.name = strdup(metric->name),
		.help = strdup(metric->help),
		.labels = labels_text(metric),
		.value = metric->value,
		.type = metric->type,
	};
	if (!s.name || !s.help || !s.labels || !array_grow(&p->samples, &p->cap, p->n))
		return -ENOMEM;
	p->samples[p->n++] = s;
	s = (struct sample){};
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	return strcmp(x->name, y->name) ?: strcmp(x->labels, y->labels);
}

/* Lines before the first of a name. */
static void put_head(struct buf *b, const struct sample *s)
{
	buf_printf(b, "# HELP %s ", s->name);
	put_text(b, s->help, false);
	buf_printf(b, "\n# TYPE %s %s\n", s->name,
		   s->type == CLITE_METRIC_COUNTER ? "counter" : "gauge");
}

int clite_metric_page_text(struct clite_metric_page *page, const char **ret, size_t *ret_len)
{
	struct buf *b;

	if (!page || !ret)
		return -EINVAL;
	b = &page->text;
	buf_clear(b);
	if (page->n)
		qsort(page->samples, page->n, sizeof(*page->samples), by_name);
	for (size_t i = 0; i < page->n; i++) {
		const struct sample *s = &page->samples[i], *last = i ? s - 1 : NULL;

		if (!last || strcmp(last->name, s->name))
			put_head(b, s);
		else if (last->type != s->type || strcmp(last->help, s->help))
			return -EINVAL;
		else if (!strcmp(last->labels, s->labels))
			return -EEXIST;
		buf_printf(b, "%s%s ", s->name, s->labels);
		put_value(b, s->value);
		buf_puts(b, "\n");
	}
	buf_puts(b, "");
	if (b->failed)
		return -ENOMEM;
	*ret = b->data;
	if (ret_len)
		*ret_len = b->len;
	return 0;
}
