/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/identity.h"

#include <cilium-lite/identity.h>
#include <stdio.h>

/* ---- labels ----------------------------------------------------------------- */

static void label_clear(struct label *l)
{
	free(l->source);
	free(l->key);
	free(l->value);
}

void labels_clear(struct labels *l)
{
	for (size_t i = 0; i < l->n; i++) {
		label_clear(&l->l[i]);
		if (l->text)
			free(l->text[i]);
	}
	free(l->l);
	free(l->text);
	memset(l, 0, sizeof(*l));
}

/* The source is what precedes the first colon, if that is before any '='. */
static int label_parse(const char *s, struct label *ret, struct errtext *err)
{
	const char *eq = strchr(s, '='), *colon = strchr(s, ':');
	const char *key = s;

	if (colon && (!eq || colon < eq))
		key = colon + 1;
	else
		colon = NULL;
	if (colon == s || !*key || key == eq)
		return err_set(err, EINVAL, "label '%s': write it as 'key=value' or 'source:key=value'",
			       s);
	ret->source = colon ? strndup(s, colon - s) : strdup("unspec");
	ret->key = eq ? strndup(key, eq - key) : strdup(key);
	ret->value = strdup(eq ? eq + 1 : "");
	if (ret->source && ret->key && ret->value)
		return 0;
	label_clear(ret);
	memset(ret, 0, sizeof(*ret));
	return -ENOMEM;
}

static int label_cmp(const void *a, const void *b)
{
	const struct label *x = a, *y = b;
	int r = strcmp(x->key, y->key);

	return r ?: strcmp(x->source, y->source);
}

static int labels_finish(struct labels *l, struct errtext *err)
{
	qsort(l->l, l->n, sizeof(*l->l), label_cmp);
	l->text = calloc(l->n + 1, sizeof(*l->text));
	if (!l->text)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++) {
		if (i && !label_cmp(&l->l[i - 1], &l->l[i]))
			return err_set(err, EINVAL, "label '%s:%s' is given twice", l->l[i].source,
				       l->l[i].key);
		if (asprintf(&l->text[i], "%s:%s%s%s", l->l[i].source, l->l[i].key,
			     *l->l[i].value ? "=" : "", l->l[i].value) < 0) {
			l->text[i] = NULL;
			return -ENOMEM;
		}
	}
	return 0;
}

int labels_parse(const char *const *texts, struct labels *ret, struct errtext *err)
{
	static const char *const init[] = { "reserved:init", NULL };
	struct labels l = {};
	size_t n = 0;
	int r = 0;

	if (!texts || !texts[0])
		texts = init;
	while (texts[n])
		n++;
	l.l = calloc(n, sizeof(*l.l));
	if (!l.l)
		return -ENOMEM;
	for (size_t i = 0; !r && i < n; i++) {
		r = label_parse(texts[i], &l.l[i], err);
		if (!r)
			l.n++;
	}
	if (!r)
		r = labels_finish(&l, err);
	if (r) {
		labels_clear(&l);
		return r;
	}
	*ret = l;
	return 0;
}

int labels_cmp(const struct labels *a, const struct labels *b)
{
	for (size_t i = 0; i < a->n && i < b->n; i++) {
		int r = strcmp(a->text[i], b->text[i]);

		if (r)
			return r;
	}
	return a->n < b->n ? -1 : a->n > b->n;
}

int cidr_labels(const struct prefix *p, struct labels *ret)
{
	char text[PREFIX_STR], cidr[PREFIX_STR + 8];
	const char *texts[] = { cidr, p->family == 4 ? "reserved:world-ipv4" : "reserved:world-ipv6",
				"reserved:world", NULL };

	snprintf(cidr, sizeof(cidr), "cidr:%s", prefix_format(p, text));
	/* The colons of an IPv6 prefix are behind the first one, the source's. */
	return labels_parse(texts, ret, NULL);
}

/* ---- the table ---------------------------------------------------------------- */

static size_t lower_bound(const struct identities *t, uint32_t id)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (t->v[mid]->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void renumber(struct identities *t, size_t from)
{
	for (size_t i = from; i < t->n; i++)
		t->v[i]->index = i;
}

struct identity *identities_get(const struct identities *t, uint32_t id)
{
	size_t i = lower_bound(t, id);

	return i < t->n && t->v[i]->id == id ? t->v[i] : NULL;
}

/* A label set, or (cidr not NULL) a prefix, beside an identity. */
static int what_cmp(const struct identity *id, const struct labels *l, const struct prefix *cidr)
{
	if (!id->cidr.family != !cidr)
		return cidr ? -1 : 1;
	return cidr ? prefix_cmp(&id->cidr, cidr) : labels_cmp(&id->labels, l);
}

static size_t what_bound(const struct identities *t, size_t n, const struct labels *l,
			 const struct prefix *cidr)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (what_cmp(t->by_what[mid], l, cidr) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct identity *what_find(const struct identities *t, const struct labels *l,
				  const struct prefix *cidr)
{
	size_t i = what_bound(t, t->n, l, cidr);

	return i < t->n && !what_cmp(t->by_what[i], l, cidr) ? t->by_what[i] : NULL;
}

/* n: how many are in it. */
static void what_insert(struct identities *t, size_t n, struct identity *id)
{
	size_t at = what_bound(t, n, &id->labels, id->cidr.family ? &id->cidr : NULL);

	memmove(&t->by_what[at + 1], &t->by_what[at], (n - at) * sizeof(*t->by_what));
	t->by_what[at] = id;
}

static void what_remove(struct identities *t, const struct identity *id)
{
	size_t at = what_bound(t, t->n, &id->labels, id->cidr.family ? &id->cidr : NULL);

	while (t->by_what[at] != id) /* of several alike */
		at++;
	memmove(&t->by_what[at], &t->by_what[at + 1], (t->n - 1 - at) * sizeof(*t->by_what));
}

struct identity *identities_find_labels(const struct identities *t, const struct labels *l)
{
	return what_find(t, l, NULL);
}

struct identity *identities_find_cidr(const struct identities *t, const struct prefix *p)
{
	return what_find(t, NULL, p);
}

int identities_add(struct identities *t, uint32_t id, struct labels *labels,
		   const struct prefix *cidr, struct identity **ret)
{
	size_t at = lower_bound(t, id);
	struct identity *i;

	if (at < t->n && t->v[at]->id == id)
		return -EEXIST;
	if (!array_grow(&t->v, &t->cap, t->n) || !array_grow(&t->by_what, &t->what_cap, t->n))
		return -ENOMEM;
	i = calloc(1, sizeof(*i));
	if (!i)
		return -ENOMEM;
	i->id = id;
	i->labels = *labels;
	memset(labels, 0, sizeof(*labels));
	if (cidr)
		i->cidr = *cidr;
	what_insert(t, t->n, i);
	memmove(&t->v[at + 1], &t->v[at], (t->n - at) * sizeof(*t->v));
	t->v[at] = i;
	t->n++;
	renumber(t, at);
	if (ret)
		*ret = i;
	return 0;
}

void identities_remove(struct identities *t, uint32_t id)
{
	size_t at = lower_bound(t, id);

	if (at == t->n || t->v[at]->id != id)
		return;
	what_remove(t, t->v[at]);
	labels_clear(&t->v[at]->labels);
	free(t->v[at]);
	memmove(&t->v[at], &t->v[at + 1], (--t->n - at) * sizeof(*t->v));
	renumber(t, at);
}

void identities_clear(struct identities *t)
{
	for (size_t i = 0; i < t->n; i++) {
		labels_clear(&t->v[i]->labels);
		free(t->v[i]);
	}
	free(t->v);
	free(t->by_what);
	memset(t, 0, sizeof(*t));
}

int identities_init(struct identities *t)
{
	/* Cilium's, with what it gives some of them beside their names: a node with the API
	 * server is a node, and the world of one family is the world. */
	static const char *const reserved[][2] = {
		{ NULL },
		{ "reserved:host" },
		{ "reserved:world" },
		{ "reserved:unmanaged" },
		{ "reserved:health" },
		{ "reserved:init" },
		{ "reserved:remote-node" },
		{ "reserved:kube-apiserver", "reserved:remote-node" },
		{ "reserved:ingress" },
		{ "reserved:world-ipv4", "reserved:world" },
		{ "reserved:world-ipv6", "reserved:world" },
		{ "reserved:encrypted-overlay" },
	};

	memset(t, 0, sizeof(*t));
	for (uint32_t id = 1; id < ARRAY_SIZE(reserved); id++) {
		const char *texts[] = { reserved[id][0], reserved[id][1], NULL };
		struct labels l;
		int r = labels_parse(texts, &l, NULL);

		if (!r)
			r = identities_add(t, id, &l, NULL, NULL);
		if (r) {
			identities_clear(t);
			return r;
		}
	}
	return 0;
}

uint32_t identities_next(const struct identities *t, bool cidr, uint32_t *next)
{
	uint32_t first = cidr ? CLITE_ID_FIRST_CIDR : CLITE_ID_FIRST;
	uint32_t last = cidr ? CLITE_ID_FIRST_CIDR + 65535 : 65535;

	for (uint32_t tries = last - first + 1; tries; tries--) {
		uint32_t id = *next < first || *next > last ? first : *next;

		*next = id + 1;
		if (!identities_get(t, id))
			return id;
	}
	return 0;
}
