/* SPDX-License-Identifier: BSD-2-Clause */
/* Hubble's metrics of the instance's flows. */
#include <cilium-lite/hubble_metrics.h>

#include "clited.h"

int flow_metrics_new(struct clite_ctx *ctx, const struct strings *names, char *errbuf, size_t size,
		     struct clite_hubble_metrics **ret)
{
	struct clite_hubble_metrics_opts opts = {
		.sz = sizeof(opts),
		.metrics = (const char *const *)names->items,
		.errbuf = errbuf,
		.errbuf_size = size,
	};

	return clite_hubble_metrics_new(ctx, &opts, ret);
}

void flow_metrics_free(struct clite_hubble_metrics *metrics)
{
	clite_hubble_metrics_free(metrics);
}

int flow_metrics_list(struct clite_hubble_metrics *metrics, struct clite_metric_page *page)
{
	return metrics ? clite_hubble_metrics_list(metrics, clite_metric_page_add, page) : 0;
}
