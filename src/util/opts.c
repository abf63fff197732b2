/* SPDX-License-Identifier: BSD-2-Clause */
#include "util/util.h"

/* No options struct will ever be larger. A caller that did not set sz is told so
 * instead of having its stack read. */
#define OPTS_MAX 4096

static bool all_zero(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

int opts_copy(void *ours, size_t ours_size, const void *theirs)
{
	size_t sz = ours_size;

	if (theirs) {
		memcpy(&sz, theirs, sizeof(sz));
		if (sz < sizeof(sz) || sz > OPTS_MAX)
			return -EINVAL;
		if (sz > ours_size &&
		    !all_zero((const unsigned char *)theirs + ours_size, sz - ours_size))
			return -EINVAL;
	}

	memset(ours, 0, ours_size);
	if (theirs)
		memcpy(ours, theirs, sz < ours_size ? sz : ours_size);
	memcpy(ours, &ours_size, sizeof(ours_size));
	return 0;
}
