/* SPDX-License-Identifier: BSD-2-Clause */
/* Field masks over the JSON of flows. */
#pragma once

#include <cilium-lite/flow.h>

#include "util/util.h"

/* A path that was chosen, as a tree: of the members of one object those in the list. */
struct mask_node {
	const char *name; /* static */
	bool whole;
	struct mask_node *inner; /* if it is not whole */
	struct mask_node *next;
};

/* Add a path such as "source.pod_name". -EINVAL, the text names what would be right;
 * -ENOMEM. */
int mask_add(struct mask_node **mask, const char *path, struct errtext *err);
void mask_free(struct mask_node *mask);

/* flow_json() with what the mask has. spare is memory that may be used again. */
void flow_json_masked(const struct clite_flow *f, struct mask_node *mask, struct buf *spare,
		      struct buf *out);
