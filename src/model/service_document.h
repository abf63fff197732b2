/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading Kubernetes Services and what stands behind them. Built only with
 * -Dyaml=enabled.
 *
 * Read are Service and Endpoints (v1), EndpointSlice (discovery.k8s.io/v1), lists of
 * them, and the file of Cilium's standalone load balancer (--lb-state-file): a map of
 * "services" and "endpoints". What is ignored by kube-proxy is ignored, and said in a
 * warning; what nobody knows is an error. */
#pragma once

#include "model/document.h"
#include "model/service_front.h"

struct service_objects;

struct service_document {
	struct service_front *fronts; /* by key, each key once */
	size_t nfronts;
	size_t nservices; /* that were read, with those that have no front ends */
	char **warnings;  /* "file:line: path: text" */
	size_t nwarnings;
	struct service_objects *objects; /* owns what front ends point to */
};

/* Read a stream; an empty one has no front ends, and is no error. limits as
 * document_read_limited(); that of values also bounds what is made of them: at most
 * four front ends and back ends (those that front ends share counted once) for each.
 *
 * On failure nothing is returned, err says file, line and field: -CLITE_EDOCUMENT,
 * -CLITE_EUNSUPPORTED, -E2BIG, -EINVAL (limits), -ENOMEM. */
int service_document_read(const char *text, size_t len, const struct document_limits *limits,
			  const char *filename, struct service_document **ret, struct errtext *err);
/* NULL is accepted. Returns NULL. */
struct service_document *service_document_free(struct service_document *d);
void service_document_freep(struct service_document **d);
