/* SPDX-License-Identifier: BSD-2-Clause */
/* A daemon that was built without libcilium-lite-hubble. The configuration says nothing of
 * it then: see config_hubble.c. */
#include <stdio.h>

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

int flow_metrics_new(struct clite_ctx *ctx, const struct strings *names, char *errbuf, size_t size,
		     struct clite_hubble_metrics **ret)
{
	(void)ctx, (void)names, (void)ret;
	snprintf(errbuf, size, NO_HUBBLE);
	return -CLITE_EUNSUPPORTED;
}

void flow_metrics_free(struct clite_hubble_metrics *metrics)
{
	(void)metrics;
}

int flow_metrics_list(struct clite_hubble_metrics *metrics, struct clite_metric_page *page)
{
	(void)metrics, (void)page;
	return 0;
}
