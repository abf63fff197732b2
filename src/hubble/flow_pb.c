/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/flow_pb.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* Cilium's numbers that Hubble's enums begin elsewhere. */
#define POINT_TO_ENDPOINT 0
#define REASON_REPLY 2
#define REASON_REOPENED 4
#define REASON_UNKNOWN 5

/* ---- times ------------------------------------------------------------------- */

void time_to_pb(uint64_t ns, Google__Protobuf__Timestamp *ret)
{
	google__protobuf__timestamp__init(ret);
	ret->seconds = (int64_t)(ns / NS);
	ret->nanos = (int32_t)(ns % NS);
}

uint64_t time_from_pb(const Google__Protobuf__Timestamp *t)
{
	uint64_t nanos = t->nanos > 0 && t->nanos < (int32_t)NS ? (uint64_t)t->nanos : 0;

	if (t->seconds < 0)
		return 0;
	if ((uint64_t)t->seconds > UINT64_MAX / NS - 1)
		return UINT64_MAX;
	return (uint64_t)t->seconds * NS + nanos;
}

/* ---- numbers that differ ------------------------------------------------------- */

static uint32_t point_to_pb(uint32_t point)
{
	return point == POINT_TO_ENDPOINT ? FLOW__TRACE_OBSERVATION_POINT__TO_ENDPOINT : point;
}

static uint32_t reason_to_pb(uint32_t reason)
{
	if (reason <= REASON_REOPENED)
		return reason + 1;
	return reason == REASON_UNKNOWN ? FLOW__TRACE_REASON__TRACE_REASON_UNKNOWN : reason;
}

static uint32_t reason_from_pb(uint32_t reason)
{
	if (reason == FLOW__TRACE_REASON__TRACE_REASON_UNKNOWN)
		return REASON_UNKNOWN;
	return reason <= REASON_REOPENED + 1 ? reason - 1 : reason;
}

/* Hubble's direction is that of the connection: a reply that comes in belongs to one that
 * went out. */
static uint32_t turn(const struct clite_event *e, uint32_t direction)
{
	if (e->type != CLITE_EVENT_TRACE || e->trace_reason != REASON_REPLY)
		return direction;
	return direction == CLITE_INGRESS ? CLITE_EGRESS :
	       direction == CLITE_EGRESS  ? CLITE_INGRESS :
					    direction;
}

/* ---- to a message ------------------------------------------------------------ */

/* protobuf-c's messages point to texts that can be written; nobody does. */
static char *text(struct flow_pb *pb, const char *s)
{
	return (char *)(uintptr_t)text_utf8(&pb->arena, s);
}

/* "source:key=value"; without a value Hubble has no '='. */
static char *label(struct flow_pb *pb, const char *s)
{
	const char *equals = strchr(s, '=');

	if (equals && !equals[1])
		s = arena_text(&pb->arena, s, (size_t)(equals - s)) ?: "";
	return text(pb, s);
}

static size_t texts(struct flow_pb *pb, const char *const *from,
		    char *(*one)(struct flow_pb *pb, const char *s), char ***ret)
{
	size_t n = 0;

	while (from[n])
		n++;
	*ret = n ? arena_get(&pb->arena, n * sizeof(**ret)) : NULL;
	if (!*ret)
		return 0;
	for (size_t i = 0; i < n; i++)
		(*ret)[i] = one(pb, from[i]);
	return n;
}

static void set_ip(struct flow_pb *pb, const struct clite_event *e)
{
	int af = e->family == 6 ? AF_INET6 : AF_INET;

	if (!e->family) /* of another program, and not said */
		return;
	flow__ip__init(&pb->ip);
	inet_ntop(af, e->source, pb->source, sizeof(pb->source));
	inet_ntop(af, e->destination, pb->destination, sizeof(pb->destination));
	pb->ip.source = pb->source;
	pb->ip.destination = pb->destination;
	pb->ip.ipversion = af == AF_INET6 ? FLOW__IPVERSION__IPv6 : FLOW__IPVERSION__IPv4;
	pb->flow.ip = &pb->ip;
}

static void set_tcp(struct flow_pb *pb, const struct clite_event *e)
{
	Flow__TCPFlags *flags = &pb->tcp_flags;
	protobuf_c_boolean *const bits[] = { &flags->fin, &flags->syn, &flags->rst,
					     &flags->psh, &flags->ack, &flags->urg,
					     &flags->ece, &flags->cwr, &flags->ns };

	flow__tcp__init(&pb->tcp);
	flow__tcpflags__init(flags);
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
		*bits[i] = (e->tcp_flags >> i) & 1;
	pb->tcp.source_port = e->source_port;
	pb->tcp.destination_port = e->destination_port;
	pb->tcp.flags = flags;
	pb->l4.tcp = &pb->tcp;
	pb->l4.protocol_case = FLOW__LAYER4__PROTOCOL_TCP;
}

static void set_udp(struct flow_pb *pb, const struct clite_event *e)
{
	flow__udp__init(&pb->udp);
	pb->udp.source_port = e->source_port;
	pb->udp.destination_port = e->destination_port;
	pb->l4.udp = &pb->udp;
	pb->l4.protocol_case = FLOW__LAYER4__PROTOCOL_UDP;
}

static void set_sctp(struct flow_pb *pb, const struct clite_event *e)
{
	flow__sctp__init(&pb->sctp);
	pb->sctp.source_port = e->source_port;
	pb->sctp.destination_port = e->destination_port;
	pb->l4.sctp = &pb->sctp;
	pb->l4.protocol_case = FLOW__LAYER4__PROTOCOL_SCTP;
}

static void set_icmp4(struct flow_pb *pb, const struct clite_event *e)
{
	flow__icmpv4__init(&pb->icmp4);
	pb->icmp4.type = e->icmp_type;
	pb->icmp4.code = e->icmp_code;
	pb->l4.icmpv4 = &pb->icmp4;
	pb->l4.protocol_case = FLOW__LAYER4__PROTOCOL_ICMPV4;
}

static void set_icmp6(struct flow_pb *pb, const struct clite_event *e)
{
	flow__icmpv6__init(&pb->icmp6);
	pb->icmp6.type = e->icmp_type;
	pb->icmp6.code = e->icmp_code;
	pb->l4.icmpv6 = &pb->icmp6;
	pb->l4.protocol_case = FLOW__LAYER4__PROTOCOL_ICMPV6;
}

static void set_l4(struct flow_pb *pb, const struct clite_event *e)
{
	flow__layer4__init(&pb->l4);
	if (!e->has_ports)
		return;
	if (e->protocol == IPPROTO_TCP)
		set_tcp(pb, e);
	else if (e->protocol == IPPROTO_UDP)
		set_udp(pb, e);
	else if (e->protocol == IPPROTO_SCTP)
		set_sctp(pb, e);
	else if (e->protocol == IPPROTO_ICMP && e->family != 6)
		set_icmp4(pb, e);
	else if (e->protocol == IPPROTO_ICMPV6 && e->family != 4)
		set_icmp6(pb, e);
	else
		return;
	pb->flow.l4 = &pb->l4;
}

static Flow__Endpoint *set_end(struct flow_pb *pb, const struct clite_flow *f, bool source)
{
	const struct clite_flow_end *x = source ? f->source : f->destination;
	const struct clite_event *e = f->event;
	Flow__Workload *w = &pb->workloads[!source];
	Flow__Endpoint *m = &pb->ends[!source];

	flow__endpoint__init(m);
	m->id = source ? e->source_endpoint : e->destination_endpoint;
	m->identity = source ? e->source_identity : e->destination_identity;
	m->namespace_ = text(pb, x->ns);
	m->pod_name = text(pb, x->pod);
	m->cluster_name = text(pb, x->cluster);
	m->n_labels = texts(pb, x->labels, label, &m->labels);
	if (!*x->workload)
		return m;
	flow__workload__init(w);
	w->name = text(pb, x->workload);
	w->kind = text(pb, x->workload_kind);
	pb->workload_list[!source] = w;
	m->workloads = &pb->workload_list[!source];
	m->n_workloads = 1;
	return m;
}

static Flow__Service *set_service(struct flow_pb *pb, const struct clite_flow *f, bool source)
{
	const struct clite_flow_end *x = source ? f->source : f->destination;
	Flow__Service *m = &pb->services[!source];

	if (!*x->service)
		return NULL;
	flow__service__init(m);
	m->name = text(pb, x->service);
	m->namespace_ = text(pb, x->service_ns);
	return m;
}

static Flow__Policy *policy(struct flow_pb *pb, const struct clite_flow_policy *p)
{
	Flow__Policy *m = arena_get(&pb->arena, sizeof(*m));

	if (!m)
		return NULL;
	flow__policy__init(m);
	m->name = text(pb, p->name);
	m->namespace_ = text(pb, p->ns);
	m->kind = text(pb, p->kind);
	m->revision = p->revision;
	return m;
}

static size_t set_policies(struct flow_pb *pb, const struct clite_flow *f, uint32_t direction,
			   uint32_t action, Flow__Policy ***ret)
{
	size_t n = 0, i = 0;

	for (const struct clite_flow_policy *const *p = f->policies; *p; p++)
		n += (*p)->direction == direction && (*p)->action == action;
	*ret = n ? arena_get(&pb->arena, n * sizeof(**ret)) : NULL;
	if (!*ret)
		return 0;
	for (const struct clite_flow_policy *const *p = f->policies; *p; p++)
		if ((*p)->direction == direction && (*p)->action == action)
			(*ret)[i++] = policy(pb, *p);
	return n;
}

static void set_event(struct flow_pb *pb, const struct clite_event *e)
{
	uint32_t direction = turn(e, e->direction);
	bool verdict = e->type == CLITE_EVENT_POLICY_VERDICT;
	Flow__Flow *m = &pb->flow;

	flow__cilium_event_type__init(&pb->event_type);
	pb->event_type.type = (int32_t)e->type;
	pb->event_type.sub_type = verdict ? 0 : (int32_t)e->subtype;
	m->event_type = &pb->event_type;
	m->policy_match_type = verdict ? e->subtype : 0;
	if (direction == CLITE_INGRESS)
		m->traffic_direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	else if (direction == CLITE_EGRESS)
		m->traffic_direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	if (e->type == CLITE_EVENT_TRACE) {
		m->trace_observation_point = (Flow__TraceObservationPoint)point_to_pb(e->subtype);
		m->trace_reason = (Flow__TraceReason)reason_to_pb(e->trace_reason);
	}
	m->verdict = (Flow__Verdict)e->verdict;
	m->drop_reason = e->drop_reason;
	m->drop_reason_desc = (Flow__DropReason)e->drop_reason;
	if (e->is_reply <= 1) {
		google__protobuf__bool_value__init(&pb->is_reply);
		pb->is_reply.value = e->is_reply == 1;
		m->is_reply = &pb->is_reply;
		m->reply = e->is_reply == 1; /* deprecated, but Hubble sets it */
	}
}

static void set_place(struct flow_pb *pb, const struct clite_flow *f)
{
	const struct clite_event *e = f->event;

	if (e->source_file && *e->source_file) {
		flow__file_info__init(&pb->file);
		pb->file.name = text(pb, e->source_file);
		pb->file.line = e->source_line;
		pb->flow.file = &pb->file;
	}
	if (e->ifindex) {
		flow__network_interface__init(&pb->interface);
		pb->interface.index = e->ifindex;
		pb->interface.name = text(pb, f->interface ?: "");
		pb->flow.interface = &pb->interface;
	}
}

int flow_to_pb(const struct clite_flow *f, struct flow_pb *pb)
{
	const struct clite_event *e = f->event;
	Flow__Flow *m = &pb->flow;

	arena_reset(&pb->arena);
	flow__flow__init(m);
	time_to_pb(e->time, &pb->time);
	m->time = &pb->time;
	set_event(pb, e);
	set_ip(pb, e);
	set_l4(pb, e);
	set_place(pb, f);
	m->source = set_end(pb, f, true);
	m->destination = set_end(pb, f, false);
	m->source_service = set_service(pb, f, true);
	m->destination_service = set_service(pb, f, false);
	m->n_source_names = texts(pb, f->source->names, text, &m->source_names);
	m->n_destination_names = texts(pb, f->destination->names, text, &m->destination_names);
	m->type = (Flow__FlowType)f->kind;
	m->node_name = text(pb, f->node);
	m->summary = text(pb, f->summary);
	m->n_egress_allowed_by =
		set_policies(pb, f, CLITE_EGRESS, CLITE_ALLOW, &m->egress_allowed_by);
	m->n_egress_denied_by = set_policies(pb, f, CLITE_EGRESS, CLITE_DENY, &m->egress_denied_by);
	m->n_ingress_allowed_by =
		set_policies(pb, f, CLITE_INGRESS, CLITE_ALLOW, &m->ingress_allowed_by);
	m->n_ingress_denied_by =
		set_policies(pb, f, CLITE_INGRESS, CLITE_DENY, &m->ingress_denied_by);
	return pb->arena.failed ? -ENOMEM : 0;
}

void flow_pb_clear(struct flow_pb *pb)
{
	arena_clear(&pb->arena);
}

/* ---- from a message ------------------------------------------------------------ */

static const char *keep(struct flow_record *r, const char *s)
{
	return *s ? arena_text(&r->arena, s, strlen(s)) ?: "" : "";
}

/* The core's labels have their '=' always. */
static const char *keep_label(struct flow_record *r, const char *s)
{
	size_t len = strlen(s);
	char *copy;

	if (strchr(s, '='))
		return keep(r, s);
	copy = arena_get(&r->arena, len + 2);
	if (!copy)
		return "";
	memcpy(copy, s, len);
	copy[len] = '=';
	return copy;
}

static const char *const *keep_all(struct flow_record *r, size_t n, char *const *from,
				   const char *(*one)(struct flow_record *r, const char *s))
{
	static const char *const none[] = { NULL };
	const char **list = n ? arena_get(&r->arena, (n + 1) * sizeof(*list)) : NULL;

	if (!list)
		return none;
	for (size_t i = 0; i < n; i++)
		list[i] = one(r, from[i]);
	return list;
}

static void get_address(const char *s, uint32_t family, uint8_t ret[16])
{
	uint8_t ip[16] = {};

	if (inet_pton(family == 6 ? AF_INET6 : AF_INET, s, ip) == 1)
		memcpy(ret, ip, sizeof(ip));
}

static void get_ip(const Flow__IP *m, struct clite_event *e)
{
	if (!m)
		return;
	if (m->ipversion == FLOW__IPVERSION__IPv6 || m->ipversion == FLOW__IPVERSION__IPv4)
		e->family = m->ipversion == FLOW__IPVERSION__IPv6 ? 6 : 4;
	else if (*m->source)
		e->family = strchr(m->source, ':') ? 6 : 4;
	get_address(m->source, e->family, e->source);
	get_address(m->destination, e->family, e->destination);
}

static void get_ports(struct clite_event *e, uint32_t protocol, uint32_t source,
		      uint32_t destination)
{
	e->protocol = protocol;
	e->has_ports = 1;
	e->source_port = (uint16_t)source;
	e->destination_port = (uint16_t)destination;
}

static void get_icmp(struct clite_event *e, uint32_t protocol, uint32_t type, uint32_t code)
{
	e->protocol = protocol;
	e->has_ports = 1;
	e->icmp_type = (uint8_t)type;
	e->icmp_code = (uint8_t)code;
}

uint32_t tcp_flags_from_pb(const Flow__TCPFlags *m)
{
	const protobuf_c_boolean bits[] = { m->fin, m->syn, m->rst, m->psh, m->ack,
					    m->urg, m->ece, m->cwr, m->ns };
	uint32_t flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
		flags |= (uint32_t)(bits[i] != 0) << i;
	return flags;
}

static void get_l4(const Flow__Layer4 *m, struct clite_event *e)
{
	switch (m ? m->protocol_case : FLOW__LAYER4__PROTOCOL__NOT_SET) {
	case FLOW__LAYER4__PROTOCOL_TCP:
		get_ports(e, IPPROTO_TCP, m->tcp->source_port, m->tcp->destination_port);
		e->tcp_flags = m->tcp->flags ? tcp_flags_from_pb(m->tcp->flags) : 0;
		return;
	case FLOW__LAYER4__PROTOCOL_UDP:
		get_ports(e, IPPROTO_UDP, m->udp->source_port, m->udp->destination_port);
		return;
	case FLOW__LAYER4__PROTOCOL_SCTP:
		get_ports(e, IPPROTO_SCTP, m->sctp->source_port, m->sctp->destination_port);
		return;
	case FLOW__LAYER4__PROTOCOL_ICMPV4:
		get_icmp(e, IPPROTO_ICMP, m->icmpv4->type, m->icmpv4->code);
		return;
	case FLOW__LAYER4__PROTOCOL_ICMPV6:
		get_icmp(e, IPPROTO_ICMPV6, m->icmpv6->type, m->icmpv6->code);
		return;
	case FLOW__LAYER4__PROTOCOL_VRRP:
		e->protocol = 112;
		return;
	case FLOW__LAYER4__PROTOCOL_IGMP:
		e->protocol = IPPROTO_IGMP;
		return;
	default:
		return;
	}
}

static void get_event(struct flow_record *r, const Flow__Flow *m)
{
	struct clite_event *e = &r->event;

	if (m->event_type) {
		e->type = (uint32_t)m->event_type->type;
		e->subtype = (uint32_t)m->event_type->sub_type;
	}
	if (e->type == CLITE_EVENT_POLICY_VERDICT)
		e->subtype = m->policy_match_type;
	e->time = m->time ? time_from_pb(m->time) : 0;
	e->verdict = (uint32_t)m->verdict;
	e->drop_reason = (uint32_t)m->drop_reason_desc ?: m->drop_reason;
	e->trace_reason = reason_from_pb((uint32_t)m->trace_reason);
	e->is_reply = m->is_reply ? m->is_reply->value != 0 : m->reply ? 1 : 2;
	if (m->traffic_direction == FLOW__TRAFFIC_DIRECTION__INGRESS)
		e->direction = turn(e, CLITE_INGRESS);
	else if (m->traffic_direction == FLOW__TRAFFIC_DIRECTION__EGRESS)
		e->direction = turn(e, CLITE_EGRESS);
	e->source_file = m->file ? keep(r, m->file->name) : "";
	e->source_line = m->file ? m->file->line : 0;
	e->ifindex = m->interface ? m->interface->index : 0;
	get_ip(m->ip, e);
	get_l4(m->l4, e);
}

static void get_end(struct flow_record *r, const Flow__Flow *m, bool source)
{
	static const Flow__Endpoint nobody = FLOW__ENDPOINT__INIT;
	const Flow__Endpoint *x = (source ? m->source : m->destination) ?: &nobody;
	const Flow__Service *s = source ? m->source_service : m->destination_service;
	const Flow__Workload *w = x->n_workloads ? x->workloads[0] : NULL;

	r->ends[!source] = (struct clite_flow_end){
		.sz = sizeof(struct clite_flow_end),
		.ns = keep(r, x->namespace_),
		.pod = keep(r, x->pod_name),
		.service = keep(r, s ? s->name : ""),
		.service_ns = keep(r, s ? s->namespace_ : ""),
		.cluster = keep(r, x->cluster_name),
		.workload = keep(r, w ? w->name : ""),
		.workload_kind = keep(r, w ? w->kind : ""),
		.labels = keep_all(r, x->n_labels, x->labels, keep_label),
		.names = source ? keep_all(r, m->n_source_names, m->source_names, keep) :
				  keep_all(r, m->n_destination_names, m->destination_names, keep),
	};
	if (source) {
		r->event.source_endpoint = x->id;
		r->event.source_identity = x->identity;
	} else {
		r->event.destination_endpoint = x->id;
		r->event.destination_identity = x->identity;
	}
}

static const struct clite_flow_policy **get_policies(struct flow_record *r, size_t n,
						     Flow__Policy *const *from, uint32_t direction,
						     uint32_t action,
						     const struct clite_flow_policy **to)
{
	for (size_t i = 0; i < n; i++) {
		struct clite_flow_policy *p = arena_get(&r->arena, sizeof(*p));

		if (!p)
			return to;
		*p = (struct clite_flow_policy){
			.sz = sizeof(*p),
			.name = keep(r, from[i]->name),
			.ns = keep(r, from[i]->namespace_),
			.kind = keep(r, from[i]->kind),
			.direction = direction,
			.action = action,
			.revision = from[i]->revision,
		};
		*to++ = p;
	}
	return to;
}

static const struct clite_flow_policy *const *keep_policies(struct flow_record *r,
							    const Flow__Flow *m)
{
	size_t n = m->n_egress_allowed_by + m->n_egress_denied_by + m->n_ingress_allowed_by +
		   m->n_ingress_denied_by;
	static const struct clite_flow_policy *const none[] = { NULL };
	const struct clite_flow_policy **list, **to;

	list = to = n ? arena_get(&r->arena, (n + 1) * sizeof(*list)) : NULL;
	if (!list)
		return none;
	to = get_policies(r, m->n_egress_allowed_by, m->egress_allowed_by, CLITE_EGRESS,
			  CLITE_ALLOW, to);
	to = get_policies(r, m->n_egress_denied_by, m->egress_denied_by, CLITE_EGRESS, CLITE_DENY,
			  to);
	to = get_policies(r, m->n_ingress_allowed_by, m->ingress_allowed_by, CLITE_INGRESS,
			  CLITE_ALLOW, to);
	get_policies(r, m->n_ingress_denied_by, m->ingress_denied_by, CLITE_INGRESS, CLITE_DENY,
		     to);
	return list;
}

int flow_from_pb(const Flow__Flow *m, struct flow_record *r)
{
	arena_reset(&r->arena);
	r->event = (struct clite_event){ .sz = sizeof(r->event) };
	get_event(r, m);
	get_end(r, m, true);
	get_end(r, m, false);
	r->flow = (struct clite_flow){
		.sz = sizeof(r->flow),
		.event = &r->event,
		.source = &r->ends[0],
		.destination = &r->ends[1],
		.policies = keep_policies(r, m),
		.node = keep(r, m->node_name),
		.summary = keep(r, m->summary),
		.interface = m->interface ? keep(r, m->interface->name) : "",
		.kind = (uint32_t)m->type,
	};
	return r->arena.failed ? -ENOMEM : 0;
}

void flow_record_clear(struct flow_record *r)
{
	arena_clear(&r->arena);
}
