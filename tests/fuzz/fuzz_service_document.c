/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as Services and what stands behind them: refused with a text, or front ends
 * that a datapath can be told. Link it with -fsanitize=fuzzer, or with replay.c. */
#include "model/service_document.h"

#include <cilium-lite/service.h>
#include <netinet/in.h>
#include <stdio.h>

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_service_document: %s\n", what);
	abort();
}

static void check_backends(const struct service_front *f)
{
	check(f->nbackends <= SERVICE_MAX_BACKENDS, "too many back ends");
	for (size_t i = 0; i < f->nbackends; i++) {
		const struct service_backend *b = &f->backends[i];

		check(b->address.family == f->family, "a back end of another family");
		check(b->port && b->weight, "a back end without a port or a weight");
		check(b->state <= CLITE_BACKEND_MAINTENANCE, "a state that is none");
		if (!i)
			continue;
		check(prefix_cmp(&b[-1].address, &b->address) < 0 ||
			      (!prefix_cmp(&b[-1].address, &b->address) && b[-1].port < b->port),
		      "back ends are not sorted, or there twice");
	}
}

static void check_selection(const struct service_front *f)
{
	_cleanup_free_ const struct service_backend **v = calloc(f->nbackends + 1, sizeof(*v));
	const char *zone = f->nbackends ? f->backends[0].zone : NULL;

	check(v, "no memory");
	check(service_front_select(f, NULL, NULL, v) == f->nbackends, "nobody's are not all");
	check(service_front_select(f, "n", zone, v) <= f->nbackends, "more than there are");
}

static void check_front(const struct service_front *f)
{
	check(f->name && strchr(f->name, '/'), "no name");
	check(f->family == 4 || f->family == 6, "family");
	check(f->address.family == (f->kind == FRONT_NODE_PORT ? 0 : f->family), "address");
	check(f->port, "port");
	check(f->protocol == IPPROTO_TCP || f->protocol == IPPROTO_UDP ||
		      f->protocol == IPPROTO_SCTP,
	      "protocol");
	check(f->affinity <= 86400, "affinity");
	check(f->algorithm <= CLITE_LB_MAGLEV, "algorithm");
	check(!f->nranges || f->kind == FRONT_LOAD_BALANCER, "ranges");
	check(!f->int_local || f->kind == FRONT_CLUSTER_IP, "int_local");
	check(!f->ext_local || f->kind != FRONT_CLUSTER_IP, "ext_local");
	check_backends(f);
	check_selection(f);
}

/* An import of the same again adds and removes nothing. */
static void check_changes(const struct service_document *d)
{
	_cleanup_free_ struct service_key *keys = calloc(d->nfronts + 1, sizeof(*keys));
	_cleanup_free_ struct service_change *v = NULL;
	size_t n;

	check(keys, "no memory");
	for (size_t i = 0; i < d->nfronts; i++) {
		keys[i] = service_front_key(&d->fronts[i]);
		check(!i || service_key_cmp(&keys[i - 1], &keys[i]) < 0, "not sorted, or twice");
	}
	check(service_changes(keys, d->nfronts, keys, d->nfronts, &v, &n) == 0, "no changes");
	check(n == d->nfronts, "as many changes as front ends");
	for (size_t i = 0; i < n; i++)
		check(v[i].kind == SERVICE_KEEP && v[i].index == i, "not the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(service_document_freep) struct service_document *d = NULL;
	_cleanup_(err_clear) struct errtext err = {};
	int r = service_document_read((const char *)data, size, NULL, "fuzz", &d, &err);

	if (r < 0) {
		check(!d, "something returned on failure");
		check(err.text && strncmp(err.text, "fuzz:", 5) == 0, "an error without a place");
		return 0;
	}
	check(d && !err.text, "nothing returned on success");
	for (size_t i = 0; i < d->nfronts; i++)
		check_front(&d->fronts[i]);
	for (size_t i = 0; i < d->nwarnings; i++)
		check(strncmp(d->warnings[i], "fuzz:", 5) == 0, "a warning without a place");
	check_changes(d);
	return 0;
}
