/* SPDX-License-Identifier: BSD-2-Clause */
#include "api/flow_mask.h"

#include <stdio.h>

#include "model/flow.h"

static int add_paths(struct clite_flow_mask *mask, const char *const *paths, struct errtext *err)
{
	if (!*paths)
		return err_set(err, EINVAL, "no path: at least one is wanted");
	for (; *paths; paths++) {
		int r = mask_add(&mask->nodes, *paths, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int clite_flow_mask_new(const char *const *paths, char *errbuf, size_t errbuf_size,
			struct clite_flow_mask **ret)
{
	struct clite_flow_mask *mask;
	struct errtext err = {};
	int r;

	if (!paths || !ret || (!errbuf && errbuf_size))
		return -EINVAL;
	mask = calloc(1, sizeof(*mask));
	if (!mask)
		return -ENOMEM;
	mask->refs = 1;
	r = add_paths(mask, paths, &err);
	if (errbuf_size)
		snprintf(errbuf, errbuf_size, "%s", err.text ?: "");
	err_clear(&err);
	if (r < 0) {
		clite_flow_mask_unref(mask);
		return r;
	}
	*ret = mask;
	return 0;
}

struct clite_flow_mask *clite_flow_mask_ref(struct clite_flow_mask *mask)
{
	if (mask)
		__atomic_add_fetch(&mask->refs, 1, __ATOMIC_RELAXED);
	return mask;
}

struct clite_flow_mask *clite_flow_mask_unref(struct clite_flow_mask *mask)
{
	if (!mask || __atomic_sub_fetch(&mask->refs, 1, __ATOMIC_ACQ_REL))
		return NULL;
	mask_free(mask->nodes);
	free(mask);
	return NULL;
}

int clite_flow_mask_json(const struct clite_flow_mask *mask, const struct clite_flow *flow,
			 char *buf, size_t size)
{
	_cleanup_buf_ struct buf out = {}, spare = {};

	if (!mask)
		return clite_flow_json(flow, buf, size);
	if (!flow_valid(flow) || (!buf && size))
		return -EINVAL;
	flow_json_masked(flow, mask->nodes, &spare, &out);
	if (out.failed)
		return -ENOMEM;
	if (size)
		snprintf(buf, size, "%s", out.data ?: "");
	return (int)out.len;
}
