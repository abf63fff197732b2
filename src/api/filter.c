/* SPDX-License-Identifier: BSD-2-Clause */
#include "api/filter.h"

#include "model/flow.h"

int clite_filters_new(struct clite_filters **ret)
{
	struct clite_filters *fs;

	if (!ret)
		return -EINVAL;
	fs = calloc(1, sizeof(*fs));
	if (!fs)
		return -ENOMEM;
	fs->refs = 1;
	*ret = fs;
	return 0;
}

struct clite_filters *clite_filters_ref(struct clite_filters *fs)
{
	if (fs)
		__atomic_add_fetch(&fs->refs, 1, __ATOMIC_RELAXED);
	return fs;
}

struct clite_filters *clite_filters_unref(struct clite_filters *fs)
{
	if (!fs || __atomic_sub_fetch(&fs->refs, 1, __ATOMIC_ACQ_REL))
		return NULL;
	filters_clear(&fs->filters);
	err_clear(&fs->err);
	free(fs);
	return NULL;
}

/* What every change does first. */
static int change(struct clite_filters *fs, const void *argument, const char *name)
{
	if (!fs)
		return -EINVAL;
	err_clear(&fs->err);
	if (!argument)
		return err_set(&fs->err, EINVAL, "%s is NULL", name);
	if (fs->used)
		return err_set(&fs->err, EBUSY, "a subscription has these filters: make others");
	return 0;
}

int clite_filters_add(struct clite_filters *fs, uint32_t list,
		      const struct clite_flow_filter *filter)
{
	int r = change(fs, filter, "filter");

	return r ?: filters_add(&fs->filters, list, filter, &fs->err);
}

int clite_filters_add_json(struct clite_filters *fs, uint32_t list, const char *json)
{
	int r = change(fs, json, "json");

	return r ?: filters_add_json(&fs->filters, list, json, &fs->err);
}

const char *clite_filters_error(struct clite_filters *fs)
{
	return fs && fs->err.text ? fs->err.text : "";
}

int clite_filters_match(const struct clite_filters *fs, const struct clite_flow *flow)
{
	if (!fs || !flow_valid(flow))
		return -EINVAL;
	return filters_pass(&fs->filters, flow);
}
