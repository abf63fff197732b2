/* SPDX-License-Identifier: BSD-2-Clause */
/* Hubble's FlowFilter as a filter of the core, which checks it and knows what it means. */
#include "hubble/request.h"

#include "hubble/flow_pb.h"

/* ---- lists ----------------------------------------------------------------------- */

static const char *const *texts(struct arena *a, size_t n, char *const *from)
{
	const char **list = n ? arena_get(a, (n + 1) * sizeof(*list)) : NULL;

	for (size_t i = 0; list && i < n; i++)
		list[i] = from[i];
	return list;
}

static const struct clite_filter_workload *workloads(struct arena *a, size_t n,
						     Flow__Workload *const *from)
{
	struct clite_filter_workload *list = n ? arena_get(a, n * sizeof(*list)) : NULL;

	for (size_t i = 0; list && i < n; i++)
		list[i] = (struct clite_filter_workload){ .name = from[i]->name,
							  .kind = from[i]->kind };
	return list;
}

static const struct clite_filter_event_type *event_types(struct arena *a, size_t n,
							 Flow__EventTypeFilter *const *from)
{
	struct clite_filter_event_type *list = n ? arena_get(a, n * sizeof(*list)) : NULL;

	for (size_t i = 0; list && i < n; i++)
		list[i] = (struct clite_filter_event_type){
			.type = from[i]->type,
			.match_subtype = from[i]->match_sub_type != 0,
			.subtype = from[i]->sub_type,
		};
	return list;
}

/* Enums and bools of protobuf-c are ints, as one() reads the i-th. */
static const uint32_t *numbers(struct arena *a, size_t n, const void *from,
			       uint32_t (*one)(const void *from, size_t i))
{
	uint32_t *list = n ? arena_get(a, n * sizeof(*list)) : NULL;

	for (size_t i = 0; list && i < n; i++)
		list[i] = one(from, i);
	return list;
}

static uint32_t number(const void *from, size_t i)
{
	return ((const uint32_t *)from)[i];
}

static uint32_t boolean(const void *from, size_t i)
{
	return ((const protobuf_c_boolean *)from)[i] != 0;
}

static uint32_t version(const void *from, size_t i)
{
	switch (number(from, i)) {
	case FLOW__IPVERSION__IPv4:
		return 4;
	case FLOW__IPVERSION__IPv6:
		return 6;
	default:
		return number(from, i) == FLOW__IPVERSION__IP_NOT_USED ? 0 : UINT32_MAX;
	}
}

static uint32_t direction(const void *from, size_t i)
{
	switch (number(from, i)) {
	case FLOW__TRAFFIC_DIRECTION__INGRESS:
		return CLITE_INGRESS;
	case FLOW__TRAFFIC_DIRECTION__EGRESS:
		return CLITE_EGRESS;
	default:
		return number(from, i) == FLOW__TRAFFIC_DIRECTION__TRAFFIC_DIRECTION_UNKNOWN ?
			       0 :
			       UINT32_MAX;
	}
}

static uint32_t tcp_flags(const void *from, size_t i)
{
	return tcp_flags_from_pb(((Flow__TCPFlags *const *)from)[i]);
}

/* ---- texts of messages ------------------------------------------------------------- */

static const char *joined(struct arena *a, const char *one, const char *between, const char *two)
{
	size_t len = strlen(one) + strlen(between) + strlen(two);
	char *s = arena_get(a, len + 1);

	if (s)
		stpcpy(stpcpy(stpcpy(s, one), between), two);
	return s;
}

/* "number", "name" or "number/name" */
static const char *interface(struct arena *a, const Flow__NetworkInterface *m)
{
	char digits[12] = "", *at = digits + sizeof(digits) - 1;

	for (uint32_t n = m->index; n; n /= 10)
		*--at = (char)('0' + n % 10);
	return joined(a, at, *at && *m->name ? "/" : "", m->name);
}

static const char *const *interfaces(struct arena *a, size_t n, Flow__NetworkInterface *const *from)
{
	const char **list = n ? arena_get(a, (n + 1) * sizeof(*list)) : NULL;

	for (size_t i = 0; list && i < n; i++)
		list[i] = interface(a, from[i]);
	return list;
}

static const char *const *http_headers(struct arena *a, size_t n, Flow__HTTPHeader *const *from)
{
	const char **list = n ? arena_get(a, (n + 1) * sizeof(*list)) : NULL;

	for (size_t i = 0; list && i < n; i++)
		list[i] = joined(a, from[i]->key, ":", from[i]->value);
	return list;
}

/* ---- the filter -------------------------------------------------------------------- */

static void set_texts(struct arena *a, const Flow__FlowFilter *m, struct clite_flow_filter *f)
{
	f->source_ip = texts(a, m->n_source_ip, m->source_ip);
	f->destination_ip = texts(a, m->n_destination_ip, m->destination_ip);
	f->source_ip_xlated = texts(a, m->n_source_ip_xlated, m->source_ip_xlated);
	f->source_pod = texts(a, m->n_source_pod, m->source_pod);
	f->destination_pod = texts(a, m->n_destination_pod, m->destination_pod);
	f->source_fqdn = texts(a, m->n_source_fqdn, m->source_fqdn);
	f->destination_fqdn = texts(a, m->n_destination_fqdn, m->destination_fqdn);
	f->source_label = texts(a, m->n_source_label, m->source_label);
	f->destination_label = texts(a, m->n_destination_label, m->destination_label);
	f->source_service = texts(a, m->n_source_service, m->source_service);
	f->destination_service = texts(a, m->n_destination_service, m->destination_service);
	f->source_port = texts(a, m->n_source_port, m->source_port);
	f->destination_port = texts(a, m->n_destination_port, m->destination_port);
	f->protocol = texts(a, m->n_protocol, m->protocol);
	f->node_name = texts(a, m->n_node_name, m->node_name);
	f->node_labels = texts(a, m->n_node_labels, m->node_labels);
	f->source_cluster = texts(a, m->n_source_cluster_name, m->source_cluster_name);
	f->destination_cluster =
		texts(a, m->n_destination_cluster_name, m->destination_cluster_name);
	f->dns_query = texts(a, m->n_dns_query, m->dns_query);
	f->http_status_code = texts(a, m->n_http_status_code, m->http_status_code);
	f->http_method = texts(a, m->n_http_method, m->http_method);
	f->http_path = texts(a, m->n_http_path, m->http_path);
	f->http_url = texts(a, m->n_http_url, m->http_url);
	f->http_header = http_headers(a, m->n_http_header, m->http_header);
	f->trace_id = texts(a, m->n_trace_id, m->trace_id);
	f->uuid = texts(a, m->n_uuid, m->uuid);
	f->interface = interfaces(a, m->n_interface, m->interface);
}

static void set_numbers(struct arena *a, const Flow__FlowFilter *m, struct clite_flow_filter *f)
{
	f->nsource_workload = m->n_source_workload;
	f->source_workload = workloads(a, m->n_source_workload, m->source_workload);
	f->ndestination_workload = m->n_destination_workload;
	f->destination_workload = workloads(a, m->n_destination_workload, m->destination_workload);
	f->nevent_type = m->n_event_type;
	f->event_type = event_types(a, m->n_event_type, m->event_type);
	f->nverdict = m->n_verdict;
	f->verdict = numbers(a, m->n_verdict, m->verdict, number);
	f->ndrop_reason = m->n_drop_reason_desc;
	f->drop_reason = numbers(a, m->n_drop_reason_desc, m->drop_reason_desc, number);
	f->nsource_identity = m->n_source_identity;
	f->source_identity = m->source_identity;
	f->ndestination_identity = m->n_destination_identity;
	f->destination_identity = m->destination_identity;
	f->ntcp_flags = m->n_tcp_flags;
	f->tcp_flags = numbers(a, m->n_tcp_flags, m->tcp_flags, tcp_flags);
	f->nip_version = m->n_ip_version;
	f->ip_version = numbers(a, m->n_ip_version, m->ip_version, version);
	f->ndirection = m->n_traffic_direction;
	f->direction = numbers(a, m->n_traffic_direction, m->traffic_direction, direction);
	f->nreply = m->n_reply;
	f->reply = numbers(a, m->n_reply, m->reply, boolean);
	f->nencrypted = m->n_encrypted;
	f->encrypted = numbers(a, m->n_encrypted, m->encrypted, boolean);
	f->nip_trace_id = m->n_ip_trace_id;
	f->ip_trace_id = m->ip_trace_id;
}

int filter_add(struct clite_filters *filters, uint32_t list, const Flow__FlowFilter *m,
	       char **ret_error)
{
	struct clite_flow_filter f = { .sz = sizeof(f) };
	struct arena a = {};
	int r;

	if (m->experimental && m->experimental->n_cel_expression)
		return request_error(ret_error,
				     "filter: CEL expressions (cel_expression) are not supported");
	if (m->base.n_unknown_fields) /* without it more would pass than was asked for */
		return request_error(ret_error, "filter: field %u is not known to this server",
				     m->base.unknown_fields[0].tag);
	set_texts(&a, m, &f);
	set_numbers(&a, m, &f);
	r = a.failed ? -ENOMEM : clite_filters_add(filters, list, &f);
	arena_clear(&a);
	return r == -EINVAL ? request_error(ret_error, "%s", clite_filters_error(filters)) : r;
}
