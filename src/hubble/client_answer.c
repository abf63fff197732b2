/* SPDX-License-Identifier: BSD-2-Clause */
/* What the server sent, as the user gets it. */
#include "hubble/client.h"

#include "health.pb-c.h"
#include "observer.pb-c.h"
#include "peer.pb-c.h"

static const char *const none[] = { NULL };

/* In the call's arena, gone with its next message. NULL: no memory. */
#define NEW(type)                                                       \
	({                                                              \
		struct type *p_ = arena_get(&call->arena, sizeof(*p_)); \
		if (p_)                                                 \
			p_->sz = sizeof(*p_);                           \
		p_;                                                     \
	})

static const char *enum_name(const ProtobufCEnumDescriptor *names, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(names, value);

	return v ? v->name : "UNKNOWN";
}

/* Texts that end with NULL. */
static const char *const *list(struct arena *a, char *const *texts, size_t n)
{
	const char **all = arena_get(a, (n + 1) * sizeof(*all));

	if (!all)
		return none;
	for (size_t i = 0; i < n; i++)
		all[i] = texts[i];
	return all;
}

/* ---- of GetFlows ---------------------------------------------------------------------- */

static int get_flow(struct clite_hubble_call *call, const Flow__Flow *m,
		    struct clite_hubble_answer *answer)
{
	answer->type = CLITE_HUBBLE_ANSWER_FLOW;
	answer->flow = &call->flow.flow;
	return flow_from_pb(m, &call->flow);
}

static void get_lost(struct clite_hubble_call *call, const Flow__LostEvent *m,
		     struct clite_hubble_answer *answer)
{
	struct clite_hubble_lost *lost = NEW(clite_hubble_lost);

	answer->type = CLITE_HUBBLE_ANSWER_LOST;
	answer->lost = lost;
	if (!lost)
		return;
	lost->source = enum_name(&flow__lost_event_source__descriptor, (int)m->source);
	lost->count = m->num_events_lost;
	lost->cpu = m->cpu ? (uint32_t)m->cpu->value : 0;
}

static void get_node_state(struct clite_hubble_call *call, const Relay__NodeStatusEvent *m,
			   struct clite_hubble_answer *answer)
{
	struct clite_hubble_node_state *state = NEW(clite_hubble_node_state);

	answer->type = CLITE_HUBBLE_ANSWER_NODE_STATE;
	answer->node_state = state;
	if (!state)
		return;
	state->nodes = list(&call->arena, m->node_names, m->n_node_names);
	state->message = m->message;
	state->state = (uint32_t)m->state_change;
}

static int get_flows(struct clite_hubble_call *call, struct clite_hubble_answer *answer)
{
	const Observer__GetFlowsResponse *m = (void *)call->message;

	answer->node = m->node_name;
	answer->time = m->time ? time_from_pb(m->time) : 0;
	answer->raw = m;
	switch (m->response_types_case) {
	case OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_FLOW:
		return get_flow(call, m->flow, answer);
	case OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_LOST_EVENTS:
		get_lost(call, m->lost_events, answer);
		return 0;
	case OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_NODE_STATUS:
		get_node_state(call, m->node_status, answer);
		return 0;
	default:
		return 0; /* answers_of() counts none */
	}
}

/* ---- of the others ----------------------------------------------------------------------- */

static void get_status(struct clite_hubble_call *call, struct clite_hubble_answer *answer)
{
	const Observer__ServerStatusResponse *m = (void *)call->message;
	struct clite_hubble_server_status *s = NEW(clite_hubble_server_status);

	answer->type = CLITE_HUBBLE_ANSWER_STATUS;
	answer->status = s;
	answer->raw = m;
	if (!s)
		return;
	s->version = m->version;
	s->unavailable = list(&call->arena, m->unavailable_nodes, m->n_unavailable_nodes);
	s->flows = m->num_flows;
	s->flows_max = m->max_flows;
	s->seen = m->seen_flows;
	s->uptime = m->uptime_ns;
	s->rate = m->flows_rate;
	s->has_nodes = m->num_connected_nodes != NULL;
	s->nodes_connected = m->num_connected_nodes ? m->num_connected_nodes->value : 0;
	s->has_unavailable = m->num_unavailable_nodes != NULL;
	s->nodes_unavailable = m->num_unavailable_nodes ? m->num_unavailable_nodes->value : 0;
}

static void get_node(struct clite_hubble_call *call, struct clite_hubble_answer *answer)
{
	const Observer__GetNodesResponse *all = (void *)call->message;
	const Observer__Node *m = all->nodes[call->index];
	struct clite_hubble_node *node = NEW(clite_hubble_node);

	answer->type = CLITE_HUBBLE_ANSWER_NODE;
	answer->node = m->name;
	answer->node_info = node;
	answer->raw = m;
	if (!node)
		return;
	node->name = m->name;
	node->version = m->version;
	node->address = m->address;
	node->tls = !m->tls ? 2 : m->tls->enabled ? 1 : 0;
	node->tls_name = m->tls ? m->tls->server_name : "";
	node->uptime = m->uptime_ns;
	node->flows = m->num_flows;
	node->flows_max = m->max_flows;
	node->seen = m->seen_flows;
	node->state = (uint32_t)m->state;
}

static void get_namespace(struct clite_hubble_call *call, struct clite_hubble_answer *answer)
{
	const Observer__GetNamespacesResponse *all = (void *)call->message;
	const Observer__Namespace *m = all->namespaces[call->index];
	struct clite_hubble_namespace *ns = NEW(clite_hubble_namespace);

	answer->type = CLITE_HUBBLE_ANSWER_NAMESPACE;
	answer->ns = ns;
	answer->raw = m;
	if (!ns)
		return;
	ns->cluster = m->cluster;
	ns->name = m->namespace_;
}

static void get_peer(struct clite_hubble_call *call, struct clite_hubble_answer *answer)
{
	const Peer__ChangeNotification *m = (void *)call->message;
	struct clite_hubble_peer *peer = NEW(clite_hubble_peer);

	answer->type = CLITE_HUBBLE_ANSWER_PEER;
	answer->node = m->name;
	answer->peer = peer;
	answer->raw = m;
	if (!peer)
		return;
	peer->change = enum_name(&peer__change_notification_type__descriptor, (int)m->type);
	peer->name = m->name;
	peer->address = m->address;
	peer->tls = m->tls != NULL;
	peer->tls_name = m->tls ? m->tls->server_name : "";
}

static void get_agent_event(struct clite_hubble_call *call, struct clite_hubble_answer *answer)
{
	const Observer__GetAgentEventsResponse *m = (void *)call->message;
	struct clite_hubble_event *event = NEW(clite_hubble_event);

	answer->type = CLITE_HUBBLE_ANSWER_AGENT_EVENT;
	answer->node = m->node_name;
	answer->time = m->time ? time_from_pb(m->time) : 0;
	answer->event = event;
	answer->raw = m;
	if (!event)
		return;
	event->type = enum_name(&flow__agent_event_type__descriptor, (int)m->agent_event->type);
	event->details = agent_event_text(&call->arena, m->agent_event);
	event->source = "";
}

/* "default/web (ID: 3)", "reserved:host (ID: 1)", "ID: 7". */
static const char *source_text(struct arena *a, const Flow__Endpoint *e)
{
	if (!e)
		return "N/A";
	if (*e->namespace_ && *e->pod_name)
		return arena_printf(a, "%s/%s (ID: %u)", e->namespace_, e->pod_name, e->id);
	if (e->n_labels == 1 && !strncmp(e->labels[0], "reserved:", 9))
		return arena_printf(a, "%s (ID: %u)", e->labels[0], e->id);
	return arena_printf(a, "ID: %u", e->id);
}

static void get_debug_event(struct clite_hubble_call *call, struct clite_hubble_answer *answer)
{
	const Observer__GetDebugEventsResponse *m = (void *)call->message;
	const Flow__DebugEvent *e = m->debug_event;
	struct clite_hubble_event *event = NEW(clite_hubble_event);

	answer->type = CLITE_HUBBLE_ANSWER_DEBUG_EVENT;
	answer->node = m->node_name;
	answer->time = m->time ? time_from_pb(m->time) : 0;
	answer->event = event;
	answer->raw = m;
	if (!event)
		return;
	event->type = enum_name(&flow__debug_event_type__descriptor, (int)e->type);
	event->details = e->message;
	event->source = source_text(&call->arena, e->source);
	event->has_hash = e->hash != NULL;
	event->hash = e->hash ? e->hash->value : 0;
	event->has_cpu = e->cpu != NULL;
	event->cpu = e->cpu ? (uint32_t)e->cpu->value : 0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

size_t answers_of(uint32_t method, const ProtobufCMessage *message)
{
	switch (method) {
	case CLITE_HUBBLE_CALL_FLOWS: /* one of a later version is skipped */
		return ((const Observer__GetFlowsResponse *)message)->response_types_case != 0;
	case CLITE_HUBBLE_CALL_AGENT_EVENTS:
		return ((const Observer__GetAgentEventsResponse *)message)->agent_event != NULL;
	case CLITE_HUBBLE_CALL_DEBUG_EVENTS:
		return ((const Observer__GetDebugEventsResponse *)message)->debug_event != NULL;
	case CLITE_HUBBLE_CALL_NODES:
		return ((const Observer__GetNodesResponse *)message)->n_nodes;
	case CLITE_HUBBLE_CALL_NAMESPACES:
		return ((const Observer__GetNamespacesResponse *)message)->n_namespaces;
	default:
		return 1;
	}
}

int answer_get(struct clite_hubble_call *call, struct clite_hubble_answer *answer)
{
	const Grpc__Health__V1__HealthCheckResponse *health = (void *)call->message;
	int r = 0;

	*answer = (struct clite_hubble_answer){
		.sz = sizeof(*answer),
		.message = "",
		.node = "",
	};
	switch (call->method) {
	case CLITE_HUBBLE_CALL_HEALTH:
		answer->type = CLITE_HUBBLE_ANSWER_HEALTH;
		answer->health = (uint32_t)health->status;
		answer->raw = health;
		break;
	case CLITE_HUBBLE_CALL_STATUS:
		get_status(call, answer);
		break;
	case CLITE_HUBBLE_CALL_FLOWS:
		r = get_flows(call, answer);
		break;
	case CLITE_HUBBLE_CALL_AGENT_EVENTS:
		get_agent_event(call, answer);
		break;
	case CLITE_HUBBLE_CALL_DEBUG_EVENTS:
		get_debug_event(call, answer);
		break;
	case CLITE_HUBBLE_CALL_NODES:
		get_node(call, answer);
		break;
	case CLITE_HUBBLE_CALL_NAMESPACES:
		get_namespace(call, answer);
		break;
	case CLITE_HUBBLE_CALL_PEERS:
		get_peer(call, answer);
		break;
	}
	return r < 0 || call->arena.failed ? -ENOMEM : 0;
}
