/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/filter.h"

#include "model/event.h"
#include "model/filter_parts.h"

/* ---- memory ---------------------------------------------------------------------- */

static void test_clear(struct filter_test *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->v[i].name);
		free(t->v[i].space);
		selector_clear(&t->v[i].selector);
	}
	free(t->v);
}

static void filter_free(struct filter *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++)
		test_clear(&f->tests[i]);
	free(f->tests);
	free(f);
}

static void filter_freep(struct filter **f)
{
	filter_free(*f);
}

void filters_clear(struct filters *fs)
{
	for (size_t list = 0; list < ARRAY_SIZE(fs->list); list++)
		for (size_t i = 0; i < fs->n[list]; i++)
			filter_free(fs->list[list][i]);
	*fs = (struct filters){};
}

/* ---- making one -------------------------------------------------------------------- */

/* What a filter takes of the set's room. */
struct room {
	size_t values;
	size_t text;
	bool names;
};

size_t filter_form_size(enum filter_form form)
{
	static const size_t sizes[] = {
		[FORM_TEXT] = sizeof(const char *),
		[FORM_NUMBER] = sizeof(uint32_t),
		[FORM_LONG] = sizeof(uint64_t),
		[FORM_EVENT_TYPE] = sizeof(struct clite_filter_event_type),
		[FORM_WORKLOAD] = sizeof(struct clite_filter_workload),
	};

	return sizes[form];
}

static size_t count_texts(const char *const *texts)
{
	size_t n = 0;

	/* one more than there may be is enough to refuse them */
	while (texts && texts[n] && n <= FILTER_VALUES_MAX)
		n++;
	return n;
}

static int room_take(struct room *room, const struct filter_field *field, const void *from,
		     struct errtext *err)
{
	const struct clite_filter_workload *w = from;
	size_t len = 0;

	if (field->form == FORM_TEXT)
		len = strnlen(*(const char *const *)from, FILTER_TEXT_MAX + 1);
	else if (field->form == FORM_WORKLOAD)
		len = (w->name ? strnlen(w->name, FILTER_TEXT_MAX + 1) : 0) +
		      (w->kind ? strnlen(w->kind, FILTER_TEXT_MAX + 1) : 0);
	if (len > FILTER_TEXT_MAX)
		return err_set(err, EINVAL, "a value is longer than %d bytes", FILTER_TEXT_MAX);
	room->text += len;
	room->values++;
	if (room->text > FILTER_TEXTS_MAX)
		return err_set(err, EINVAL, "the values of all filters are longer than %d bytes",
			       FILTER_TEXTS_MAX);
	if (room->values > FILTER_VALUES_MAX)
		return err_set(err, EINVAL, "all filters have more than %d values",
			       FILTER_VALUES_MAX);
	return 0;
}

static int test_read(struct filter_test *t, const struct filter_field *field, const void *values,
		     size_t n, struct room *room, struct errtext *err)
{
	size_t size = filter_form_size(field->form);
	int r = 0;

	if (n > FILTER_VALUES_MAX)
		return err_set(err, EINVAL, "all filters have more than %d values",
			       FILTER_VALUES_MAX);
	t->field = field;
	t->v = calloc(n, sizeof(*t->v));
	if (!t->v)
		return -ENOMEM;
	for (size_t i = 0; i < n && !r; i++) {
		const void *from = (const char *)values + i * size;

		t->n++;
		r = room_take(room, field, from, err);
		if (!r)
			r = field->read(&t->v[i], from, err);
	}
	return r;
}

static int field_read(struct filter *f, const struct filter_field *field,
		      const struct clite_flow_filter *from, struct room *room, struct errtext *err)
{
	const void *values = *(const void *const *)((const char *)from + field->list);
	size_t n;

	if (field->form == FORM_TEXT)
		n = count_texts(values);
	else
		n = *(const size_t *)((const char *)from + field->count);
	if (!n)
		return 0;
	if (!values)
		return err_set(err, EINVAL, "NULL, but there should be %zu values", n);
	room->names |= field->names;
	return test_read(&f->tests[f->n++], field, values, n, room, err);
}

/* Hubble's rule: what only layer 7 has cannot be asked of other types of events alone. */
static int check_types(const struct clite_flow_filter *from, struct errtext *err)
{
	const char *field = from->http_status_code && *from->http_status_code ? "http_status_code" :
			    from->http_method && *from->http_method	      ? "http_method" :
			    from->http_path && *from->http_path		      ? "http_path" :
			    from->http_url && *from->http_url		      ? "http_url" :
			    from->http_header && *from->http_header	      ? "http_header" :
										NULL;

	if (!field || !from->nevent_type)
		return 0;
	for (size_t i = 0; i < from->nevent_type; i++)
		if (from->event_type[i].type == EVENT_TYPE_L7)
			return 0;
	return err_set(err, EINVAL,
		       "%s: only events of type %d (l7) have it, and event_type has none", field,
		       EVENT_TYPE_L7);
}

static int filter_read(const struct clite_flow_filter *from, struct room *room, struct filter **ret,
		       struct errtext *err)
{
	_cleanup_(filter_freep) struct filter *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->tests = calloc(nfilter_fields, sizeof(*f->tests));
	if (!f->tests)
		return -ENOMEM;
	for (size_t i = 0; i < nfilter_fields; i++) {
		r = field_read(f, &filter_fields[i], from, room, err);
		if (r)
			return err_prefix(err, r, "%s", filter_fields[i].name);
	}
	r = check_types(from, err);
	if (!r)
		*ret = TAKE_PTR(f);
	return r;
}

int filters_add(struct filters *fs, uint32_t list, const struct clite_flow_filter *from,
		struct errtext *err)
{
	struct room room = { .values = fs->values, .text = fs->text, .names = fs->names };
	struct clite_flow_filter copy;
	int r;

	if (list >= ARRAY_SIZE(fs->list))
		return err_set(err, EINVAL, "list %u: there are CLITE_FILTER_ALLOW and _DENY",
			       list);
	if (opts_copy(&copy, sizeof(copy), from))
		return err_set(err, EINVAL, "not a struct clite_flow_filter of this library");
	if (fs->n[list] == FILTERS_MAX)
		return err_set(err, EINVAL, "more than %d filters in a list", FILTERS_MAX);
	r = filter_read(&copy, &room, &fs->list[list][fs->n[list]], err);
	if (r)
		return r;
	fs->n[list]++;
	fs->values = room.values;
	fs->text = room.text;
	fs->names = room.names;
	return 0;
}

#ifndef HAVE_YAML
int filters_add_json(struct filters *fs, uint32_t list, const char *json, struct errtext *err)
{
	(void)fs;
	(void)list;
	(void)json;
	return err_set(err, CLITE_EUNSUPPORTED,
		       "the library was built without libyaml, which "
		       "reads JSON: use clite_filters_add()");
}
#endif

/* ---- asking ------------------------------------------------------------------------ */

static bool test_holds(const struct filter_test *t, const struct clite_flow *f)
{
	if (!t->field->holds)
		return false;
	for (size_t i = 0; i < t->n; i++)
		if (t->field->holds(&t->v[i], f, t->field->source))
			return true;
	return false;
}

static bool filter_holds(const struct filter *filter, const struct clite_flow *f)
{
	for (size_t i = 0; i < filter->n; i++)
		if (!test_holds(&filter->tests[i], f))
			return false;
	return true;
}

static bool any_holds(const struct filters *fs, uint32_t list, const struct clite_flow *f)
{
	for (size_t i = 0; i < fs->n[list]; i++)
		if (filter_holds(fs->list[list][i], f))
			return true;
	return false;
}

bool filters_pass(const struct filters *fs, const struct clite_flow *f)
{
	return (!fs->n[CLITE_FILTER_ALLOW] || any_holds(fs, CLITE_FILTER_ALLOW, f)) &&
	       !any_holds(fs, CLITE_FILTER_DENY, f);
}
