/* SPDX-License-Identifier: BSD-2-Clause */
/* What is asked for, as Hubble's messages. */
#include <arpa/inet.h>

#include "hubble/client.h"

#include "health.pb-c.h"
#include "observer.pb-c.h"
#include "peer.pb-c.h"

#define OBSERVER "/observer.Observer/"

static const struct method methods[] = {
	[CLITE_HUBBLE_CALL_HEALTH] = { "/grpc.health.v1.Health/Check",
				       &grpc__health__v1__health_check_response__descriptor,
				       false },
	[CLITE_HUBBLE_CALL_STATUS] = { OBSERVER "ServerStatus",
				       &observer__server_status_response__descriptor, false },
	[CLITE_HUBBLE_CALL_FLOWS] = { OBSERVER "GetFlows",
				      &observer__get_flows_response__descriptor, true },
	[CLITE_HUBBLE_CALL_AGENT_EVENTS] = { OBSERVER "GetAgentEvents",
					     &observer__get_agent_events_response__descriptor,
					     true },
	[CLITE_HUBBLE_CALL_DEBUG_EVENTS] = { OBSERVER "GetDebugEvents",
					     &observer__get_debug_events_response__descriptor,
					     true },
	[CLITE_HUBBLE_CALL_NODES] = { OBSERVER "GetNodes",
				      &observer__get_nodes_response__descriptor, false },
	[CLITE_HUBBLE_CALL_NAMESPACES] = { OBSERVER "GetNamespaces",
					   &observer__get_namespaces_response__descriptor, false },
	[CLITE_HUBBLE_CALL_PEERS] = { "/peer.Peer/Notify", &peer__change_notification__descriptor,
				      true },
};

const struct method *client_method(uint32_t method)
{
	return method < ARRAY_SIZE(methods) && methods[method].path ? &methods[method] : NULL;
}

/* ---- filters ---------------------------------------------------------------------------- */

static size_t count(const char *const *texts)
{
	size_t n = 0;

	while (texts && texts[n])
		n++;
	return n;
}

/* Lists of pointers to messages, one after another in memory. */
#define MESSAGES(type, init, array, n)                                 \
	({                                                             \
		type *all_ = arena_get(a, (n) * sizeof(*all_));        \
		type **list_ = arena_get(a, (n) * sizeof(*list_));     \
		for (size_t i_ = 0; all_ && list_ && i_ < (n); i_++) { \
			init(&all_[i_]);                               \
			list_[i_] = &all_[i_];                         \
		}                                                      \
		(array) = list_;                                       \
		all_ &&list_ ? all_ : NULL;                            \
	})

static void put_workloads(struct arena *a, const struct clite_filter_workload *from, size_t n,
			  Flow__Workload ***ret, size_t *ret_n)
{
	Flow__Workload *w = MESSAGES(Flow__Workload, flow__workload__init, *ret, n);

	for (size_t i = 0; w && i < n; i++) {
		w[i].name = (char *)(from[i].name ?: "");
		w[i].kind = (char *)(from[i].kind ?: "");
	}
	*ret_n = w ? n : 0;
}

static void put_types(struct arena *a, const struct clite_flow_filter *f, Flow__FlowFilter *m)
{
	size_t n = f->nevent_type;
	Flow__EventTypeFilter *t =
		MESSAGES(Flow__EventTypeFilter, flow__event_type_filter__init, m->event_type, n);

	for (size_t i = 0; t && i < n; i++) {
		t[i].type = f->event_type[i].type;
		t[i].match_sub_type = f->event_type[i].match_subtype != 0;
		t[i].sub_type = f->event_type[i].subtype;
	}
	m->n_event_type = t ? n : 0;
}

static void put_flags(struct arena *a, const struct clite_flow_filter *f, Flow__FlowFilter *m)
{
	size_t n = f->ntcp_flags;
	Flow__TCPFlags *t = MESSAGES(Flow__TCPFlags, flow__tcpflags__init, m->tcp_flags, n);

	for (size_t i = 0; t && i < n; i++) {
		uint32_t bits = f->tcp_flags[i];

		t[i].fin = bits & 1;
		t[i].syn = bits >> 1 & 1;
		t[i].rst = bits >> 2 & 1;
		t[i].psh = bits >> 3 & 1;
		t[i].ack = bits >> 4 & 1;
		t[i].urg = bits >> 5 & 1;
		t[i].ece = bits >> 6 & 1;
		t[i].cwr = bits >> 7 & 1;
		t[i].ns = bits >> 8 & 1;
	}
	m->n_tcp_flags = t ? n : 0;
}

/* "key:value" */
static void put_headers(struct arena *a, const struct clite_flow_filter *f, Flow__FlowFilter *m)
{
	size_t n = count(f->http_header);
	Flow__HTTPHeader *h = MESSAGES(Flow__HTTPHeader, flow__httpheader__init, m->http_header, n);

	for (size_t i = 0; h && i < n; i++) {
		const char *text = f->http_header[i];
		size_t key = strcspn(text, ":");

		h[i].key = arena_text(a, text, key) ?: (char *)"";
		h[i].value = (char *)text + key + (text[key] == ':');
	}
	m->n_http_header = h ? n : 0;
}

/* A name, or a number. */
static void put_interfaces(struct arena *a, const struct clite_flow_filter *f, Flow__FlowFilter *m)
{
	size_t n = count(f->interface);
	Flow__NetworkInterface *t =
		MESSAGES(Flow__NetworkInterface, flow__network_interface__init, m->interface, n);

	for (size_t i = 0; t && i < n; i++) {
		const char *text = f->interface[i];

		if (*text && !text[strspn(text, "0123456789")])
			t[i].index = (uint32_t)strtoul(text, NULL, 10);
		else
			t[i].name = (char *)text;
	}
	m->n_interface = t ? n : 0;
}

#define TEXTS(to, from)                     \
	do {                                \
		m->n_##to = count(f->from); \
		m->to = (char **)f->from;   \
	} while (0)

static void put_texts(const struct clite_flow_filter *f, Flow__FlowFilter *m)
{
	TEXTS(source_ip, source_ip);
	TEXTS(source_pod, source_pod);
	TEXTS(destination_ip, destination_ip);
	TEXTS(destination_pod, destination_pod);
	TEXTS(source_fqdn, source_fqdn);
	TEXTS(destination_fqdn, destination_fqdn);
	TEXTS(http_status_code, http_status_code);
	TEXTS(source_label, source_label);
	TEXTS(destination_label, destination_label);
	TEXTS(protocol, protocol);
	TEXTS(source_port, source_port);
	TEXTS(destination_port, destination_port);
	TEXTS(source_service, source_service);
	TEXTS(destination_service, destination_service);
	TEXTS(dns_query, dns_query);
	TEXTS(http_method, http_method);
	TEXTS(http_path, http_path);
	TEXTS(node_name, node_name);
	TEXTS(trace_id, trace_id);
	TEXTS(uuid, uuid);
	TEXTS(http_url, http_url);
	TEXTS(source_ip_xlated, source_ip_xlated);
	TEXTS(node_labels, node_labels);
	TEXTS(source_cluster_name, source_cluster);
	TEXTS(destination_cluster_name, destination_cluster);
}

/* Numbers that are the same in both; sizes of enums and of uint32_t are. */
#define NUMBERS(to, from)                \
	do {                             \
		m->n_##to = f->n##from;  \
		m->to = (void *)f->from; \
	} while (0)

static void put_numbers(struct arena *a, const struct clite_flow_filter *f, Flow__FlowFilter *m)
{
	m->reply = arena_get(a, f->nreply * sizeof(*m->reply));
	m->encrypted = arena_get(a, f->nencrypted * sizeof(*m->encrypted));
	m->ip_version = arena_get(a, f->nip_version * sizeof(*m->ip_version));
	m->traffic_direction = arena_get(a, f->ndirection * sizeof(*m->traffic_direction));
	if (a->failed)
		return;
	NUMBERS(verdict, verdict);
	NUMBERS(drop_reason_desc, drop_reason);
	NUMBERS(source_identity, source_identity);
	NUMBERS(destination_identity, destination_identity);
	for (size_t i = 0; i < f->nreply; i++)
		m->reply[m->n_reply++] = f->reply[i] != 0;
	for (size_t i = 0; i < f->nencrypted; i++)
		m->encrypted[m->n_encrypted++] = f->encrypted[i] != 0;
	for (size_t i = 0; i < f->nip_version; i++)
		m->ip_version[m->n_ip_version++] =
			f->ip_version[i] == 6 ? FLOW__IPVERSION__IPv6 :
			f->ip_version[i] == 4 ? FLOW__IPVERSION__IPv4 :
						FLOW__IPVERSION__IP_NOT_USED;
	for (size_t i = 0; i < f->ndirection; i++)
		m->traffic_direction[m->n_traffic_direction++] =
			f->direction[i] == CLITE_INGRESS ?
				FLOW__TRAFFIC_DIRECTION__INGRESS :
			f->direction[i] == CLITE_EGRESS ?
				FLOW__TRAFFIC_DIRECTION__EGRESS :
				FLOW__TRAFFIC_DIRECTION__TRAFFIC_DIRECTION_UNKNOWN;
}

static void put_filter(struct arena *a, const struct clite_flow_filter *f, Flow__FlowFilter *m)
{
	put_texts(f, m);
	put_numbers(a, f, m);
	put_types(a, f, m);
	put_flags(a, f, m);
	put_headers(a, f, m);
	put_interfaces(a, f, m);
	put_workloads(a, f->source_workload, f->nsource_workload, &m->source_workload,
		      &m->n_source_workload);
	put_workloads(a, f->destination_workload, f->ndestination_workload,
		      &m->destination_workload, &m->n_destination_workload);
}

static int put_filters(struct arena *a, const struct clite_flow_filter *filters, size_t n,
		       Flow__FlowFilter ***ret, size_t *ret_n, struct failure *f)
{
	Flow__FlowFilter *m;

	if (n && !filters)
		return failure_set(f, EINVAL, "the request says filters, but has none");
	m = MESSAGES(Flow__FlowFilter, flow__flow_filter__init, *ret, n);
	for (size_t i = 0; m && i < n; i++) {
		if (filters[i].sz != sizeof(*filters))
			return failure_set(f, EINVAL, "sz of a filter is not that of this version");
		put_filter(a, &filters[i], &m[i]);
	}
	*ret_n = m ? n : 0;
	return 0;
}

/* ---- messages ------------------------------------------------------------------------------ */

static int pack(const ProtobufCMessage *message, struct bytes *out)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t prefix[5] = { 0 };
	uint32_t n = htonl((uint32_t)len);

	if (len > UINT32_MAX)
		return -E2BIG;
	memcpy(prefix + 1, &n, sizeof(n));
	if (!bytes_put(out, prefix, sizeof(prefix)) || !bytes_room(out, len))
		return -ENOMEM;
	out->len += protobuf_c_message_pack(message, out->data + out->len);
	return 0;
}

static Google__Protobuf__Timestamp *put_time(uint64_t ns, Google__Protobuf__Timestamp *t)
{
	if (!ns)
		return NULL;
	time_to_pb(ns, t);
	return t;
}

static int pack_flows(struct arena *a, const struct clite_hubble_request *q, struct bytes *out,
		      struct failure *f)
{
	Observer__GetFlowsRequest m = OBSERVER__GET_FLOWS_REQUEST__INIT;
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	Google__Protobuf__Timestamp since, until;
	int r = put_filters(a, q->allow, q->nallow, &m.whitelist, &m.n_whitelist, f);

	if (!r)
		r = put_filters(a, q->deny, q->ndeny, &m.blacklist, &m.n_blacklist, f);
	if (r < 0)
		return r;
	m.number = q->number;
	m.follow = q->follow != 0;
	m.first = q->first != 0;
	m.since = put_time(q->since, &since);
	m.until = put_time(q->until, &until);
	if (q->field_mask) {
		mask.n_paths = count(q->field_mask);
		mask.paths = (char **)q->field_mask;
		m.field_mask = &mask;
	}
	return a->failed ? -ENOMEM : pack(&m.base, out);
}

static int pack_agent_events(const struct clite_hubble_request *q, struct bytes *out)
{
	Observer__GetAgentEventsRequest m = OBSERVER__GET_AGENT_EVENTS_REQUEST__INIT;
	Google__Protobuf__Timestamp since, until;

	m.number = q->number;
	m.follow = q->follow != 0;
	m.first = q->first != 0;
	m.since = put_time(q->since, &since);
	m.until = put_time(q->until, &until);
	return pack(&m.base, out);
}

static int pack_debug_events(const struct clite_hubble_request *q, struct bytes *out)
{
	Observer__GetDebugEventsRequest m = OBSERVER__GET_DEBUG_EVENTS_REQUEST__INIT;
	Google__Protobuf__Timestamp since, until;

	m.number = q->number;
	m.follow = q->follow != 0;
	m.first = q->first != 0;
	m.since = put_time(q->since, &since);
	m.until = put_time(q->until, &until);
	return pack(&m.base, out);
}

static int pack_health(struct bytes *out)
{
	Grpc__Health__V1__HealthCheckRequest m = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
	char service[] = "hubble.server.Observer";

	m.service = service;
	return pack(&m.base, out);
}

int request_pack(uint32_t method, const struct clite_hubble_request *request, struct bytes *out,
		 struct failure *f)
{
	Observer__ServerStatusRequest empty = OBSERVER__SERVER_STATUS_REQUEST__INIT;
	struct arena a = {};
	int r;

	switch (method) {
	case CLITE_HUBBLE_CALL_FLOWS:
		r = pack_flows(&a, request, out, f);
		arena_clear(&a);
		return r;
	case CLITE_HUBBLE_CALL_AGENT_EVENTS:
		return pack_agent_events(request, out);
	case CLITE_HUBBLE_CALL_DEBUG_EVENTS:
		return pack_debug_events(request, out);
	case CLITE_HUBBLE_CALL_HEALTH:
		return pack_health(out);
	default: /* the others have nothing in them */
		return pack(&empty.base, out);
	}
}
