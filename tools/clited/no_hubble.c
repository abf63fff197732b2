/* SPDX-License-Identifier: BSD-2-Clause */
/* A daemon that was built without libcilium-lite-hubble. The configuration says nothing of
 * it then: see config_hubble.c. */
#include "clited.h"

bool hubble_start(struct clited *d, const char *address)
{
	(void)d;
	if (address)
		log_error("--hubble: " NO_HUBBLE);
	return !address;
}

bool hubble_reload(struct clited *d, const struct config *next)
{
	(void)d;
	(void)next;
	return true;
}

void hubble_stop(struct clited *d)
{
	(void)d;
}
