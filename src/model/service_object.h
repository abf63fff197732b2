/* SPDX-License-Identifier: BSD-2-Clause */
/* Services and slices as they were read, before they are brought together. */
#pragma once

#include "model/document_field.h"
#include "model/service_document.h"

struct arena_block;

/* Memory that goes at once. */
struct arena {
	struct arena_block *blocks;
};

void *arena_alloc(struct arena *a, size_t n, size_t size); /* zeroed; NULL: no memory */
char *arena_strdup(struct arena *a, const char *s);

struct address_list {
	struct prefix *v;
	size_t n;
};

struct service_port {
	const char *name; /* "": none */
	uint16_t port, node_port;
	uint8_t protocol;
	uint32_t line;
};

struct service_object {
	const char *namespace, *name;
	const char *full; /* "namespace/name" */
	uint32_t line;
	struct labels labels;
	bool node_ports;		 /* of a type that has them */
	bool balanced;			 /* of type LoadBalancer */
	bool shows[FRONT_NODE_PORT + 1]; /* front ends of which kinds it may have */
	bool publish_not_ready;
	bool local_ext, local_int;
	bool prefer_zone, prefer_node, hints_only;
	bool ranges_deny;
	bool ipv4, ipv6; /* what ipFamilies says; both false: nothing */
	uint32_t affinity, algorithm;
	enum front_forwarding forwarding;
	uint16_t health_check_port;
	struct address_list cluster, balancer, external, ranges;
	struct service_port *ports;
	size_t nports;
};

enum readiness { ENDPOINT_READY, ENDPOINT_DRAINING, ENDPOINT_NOT_READY };

struct slice_endpoint {
	struct address_list addresses;
	enum readiness readiness;
	const char *node, *zone;
	const char *const *zones, *const *nodes;
};

struct slice_port {
	const char *name; /* "": none */
	uint16_t port;
	uint8_t protocol;
};

/* An EndpointSlice, or a subset of an Endpoints. */
struct slice_object {
	const char *namespace, *service;
	const char *name; /* "namespace/name"; NULL: none */
	uint32_t line;
	bool legacy;	/* an Endpoints: only where there are no slices */
	bool subset;	/* not the first of its object */
	uint8_t family; /* of all its endpoints; 0: of either */
	uint16_t weight;
	bool maintenance;
	struct slice_endpoint *endpoints;
	size_t nendpoints;
	struct slice_port *ports;
	size_t nports;
};

struct service_objects {
	struct arena arena;
	struct service_object *services;
	size_t nservices, services_cap;
	struct slice_object *slices;
	size_t nslices, slices_cap;
	size_t warnings_cap;
};

/* Bring them together: fills in d's front ends. values: how many might be read, which
 * bounds what is made of them. */
int service_resolve(const struct reader *r, struct service_document *d, size_t values);
