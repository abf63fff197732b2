/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

#include "model/filter.h"

struct clite_filters {
	uint32_t refs;
	bool used; /* by a subscription: it stays as it is */
	struct filters filters;
	struct errtext err;
};
