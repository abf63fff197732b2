/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

#include <cilium-lite/flow_mask.h>

#include "model/flow_mask.h"

struct clite_flow_mask {
	uint32_t refs;
	struct mask_node *nodes;
};
