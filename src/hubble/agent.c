/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/agent.h"

#include <stdio.h>
#include <cilium-lite/endpoint.h>
#include <cilium-lite/policy.h>
#include <cilium-lite/service.h>

#include "hubble/reader.h"
#include "hubble/services.h"

/* Comparing more services each time that one changes costs more than it tells. */
#define SERVICES_MAX 4096

/* ---- events ------------------------------------------------------------------------ */

/* Without memory the event is lost; those before are not. */
static void emit(struct clite_hubble *h, Flow__AgentEvent *event)
{
	Observer__GetAgentEventsResponse m = OBSERVER__GET_AGENT_EVENTS_RESPONSE__INIT;
	struct agent_event *e = &h->agent.events[h->agent.head % AGENT_EVENTS];
	Google__Protobuf__Timestamp time;

	e->time = now_real();
	time_to_pb(e->time, &time);
	m.agent_event = event;
	m.node_name = h->node;
	m.time = &time;
	e->message.len = 0;
	if (message_frame(&e->message, &m.base))
		return;
	h->agent.head++;
	hub_news(h);
}

/* protobuf-c's texts are not const; nobody writes to them. */
static char *text(struct arena *a, const char *s)
{
	return (char *)(uintptr_t)text_utf8(a, s);
}

static void emit_started(struct clite_hubble *h)
{
	Flow__AgentEvent event = FLOW__AGENT_EVENT__INIT;
	Flow__TimeNotification start = FLOW__TIME_NOTIFICATION__INIT;
	Google__Protobuf__Timestamp time;

	time_to_pb(now_real(), &time);
	start.time = &time;
	event.type = FLOW__AGENT_EVENT_TYPE__AGENT_STARTED;
	event.notification_case = FLOW__AGENT_EVENT__NOTIFICATION_AGENT_START;
	event.agent_start = &start;
	emit(h, &event);
}

/* Of "namespace/name", or of a name alone. */
static void split_name(struct arena *a, const char *whole, char **ns, char **name)
{
	const char *slash = strchr(whole, '/');

	if (slash)
		*ns = text(a, arena_text(a, whole, (size_t)(slash - whole)) ?: "");
	*name = text(a, slash ? slash + 1 : whole);
}

static void emit_endpoint(struct clite_hubble *h, bool created, uint32_t id, const char *name,
			  const char *const *labels)
{
	Flow__AgentEvent event = FLOW__AGENT_EVENT__INIT;
	Flow__EndpointUpdateNotification m = FLOW__ENDPOINT_UPDATE_NOTIFICATION__INIT;
	struct arena a = {};
	size_t n = 0;

	m.id = id;
	while (labels && labels[n])
		n++;
	m.labels = n ? arena_get(&a, n * sizeof(*m.labels)) : NULL;
	for (; m.labels && m.n_labels < n; m.n_labels++)
		m.labels[m.n_labels] = text(&a, labels[m.n_labels]);
	split_name(&a, name, &m.namespace_, &m.pod_name);
	event.type = created ? FLOW__AGENT_EVENT_TYPE__ENDPOINT_CREATED :
			       FLOW__AGENT_EVENT_TYPE__ENDPOINT_DELETED;
	event.notification_case = FLOW__AGENT_EVENT__NOTIFICATION_ENDPOINT_UPDATE;
	event.endpoint_update = &m;
	emit(h, &event);
	arena_clear(&a);
}

static void emit_policy(struct clite_hubble *h, bool updated, const char *name, uint64_t revision,
			uint32_t rules)
{
	Flow__AgentEvent event = FLOW__AGENT_EVENT__INIT;
	Flow__PolicyUpdateNotification m = FLOW__POLICY_UPDATE_NOTIFICATION__INIT;
	struct arena a = {};
	char *labels[] = { text(&a, name) };

	m.labels = labels;
	m.n_labels = 1;
	m.revision = revision;
	m.rule_count = rules;
	event.type = updated ? FLOW__AGENT_EVENT_TYPE__POLICY_UPDATED :
			       FLOW__AGENT_EVENT_TYPE__POLICY_DELETED;
	event.notification_case = FLOW__AGENT_EVENT__NOTIFICATION_POLICY_UPDATE;
	event.policy_update = &m;
	emit(h, &event);
	arena_clear(&a);
}

static Flow__ServiceUpsertNotificationAddr *address(struct arena *a, const char *ip, uint16_t port)
{
	Flow__ServiceUpsertNotificationAddr *m = arena_get(a, sizeof(*m));

	if (!m)
		return NULL;
	flow__service_upsert_notification_addr__init(m);
	m->ip = text(a, ip);
	m->port = port;
	return m;
}

static void emit_service(struct clite_hubble *h, const struct clite_service_info *s)
{
	static const char *const kinds[] = { "ClusterIP", "NodePort", "ExternalIPs", "LoadBalancer",
					     "HostPort" };
	Flow__AgentEvent event = FLOW__AGENT_EVENT__INIT;
	Flow__ServiceUpsertNotification m = FLOW__SERVICE_UPSERT_NOTIFICATION__INIT;
	struct arena a = {};

	m.id = s->id;
	m.frontend_address = address(&a, s->address, s->port);
	m.backend_addresses = arena_get(&a, s->nbackends * sizeof(*m.backend_addresses));
	for (size_t i = 0; m.backend_addresses && i < s->nbackends; i++)
		m.backend_addresses[i] = address(&a, s->backends[i].address, s->backends[i].port);
	m.n_backend_addresses = s->nbackends;
	m.type = text(&a, s->kind < ARRAY_SIZE(kinds) ? kinds[s->kind] : "");
	split_name(&a, s->name, &m.namespace_, &m.name);
	event.type = FLOW__AGENT_EVENT_TYPE__SERVICE_UPSERTED;
	event.notification_case = FLOW__AGENT_EVENT__NOTIFICATION_SERVICE_UPSERT;
	event.service_upsert = &m;
	if (!a.failed)
		emit(h, &event);
	arena_clear(&a);
}

static void emit_service_deleted(struct clite_hubble *h, uint32_t id)
{
	Flow__AgentEvent event = FLOW__AGENT_EVENT__INIT;
	Flow__ServiceDeleteNotification m = FLOW__SERVICE_DELETE_NOTIFICATION__INIT;

	m.id = id;
	event.type = FLOW__AGENT_EVENT_TYPE__SERVICE_DELETED;
	event.notification_case = FLOW__AGENT_EVENT__NOTIFICATION_SERVICE_DELETE;
	event.service_delete = &m;
	emit(h, &event);
}

/* ---- what there was ------------------------------------------------------------------ */

enum thing_kind {
	THING_ENDPOINT,
	THING_POLICY,
	THING_SERVICE,
};

struct thing {
	enum thing_kind kind;
	uint32_t id; /* of a policy: 0 */
	char *name;
	uint64_t state; /* another one: it has changed */
	uint32_t turn;	/* when it was seen last */
};

static int thing_compare(const struct thing *t, enum thing_kind kind, uint32_t id, const char *name)
{
	if (t->kind != kind)
		return t->kind < kind ? -1 : 1;
	if (t->id != id)
		return t->id < id ? -1 : 1;
	/* the number of an endpoint may be given again, under another name */
	return strcmp(t->name, name);
}

static size_t thing_find(const struct agent *a, enum thing_kind kind, uint32_t id, const char *name)
{
	size_t low = 0, high = a->nthings;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (thing_compare(&a->things[mid], kind, id, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void thing_insert(struct agent *a, size_t i, const struct thing *t)
{
	size_t cap = a->things_cap ? a->things_cap * 2 : 64;
	struct thing *things;

	if (a->nthings == a->things_cap) {
		things = reallocarray(a->things, cap, sizeof(*things));
		if (!things) {
			free(t->name);
			return;
		}
		a->things = things;
		a->things_cap = cap;
	}
	memmove(a->things + i + 1, a->things + i, (a->nthings - i) * sizeof(*a->things));
	a->things[i] = *t;
	a->nthings++;
}

/* Is it new, or not what it was? */
static bool thing_seen(struct agent *a, enum thing_kind kind, uint32_t id, const char *name,
		       uint64_t state)
{
	struct thing new = { .kind = kind, .id = id, .state = state, .turn = a->turn }, *t;
	size_t i = thing_find(a, kind, id, name);

	if (i < a->nthings && thing_compare(&a->things[i], kind, id, name) == 0) {
		t = &a->things[i];
		t->turn = a->turn;
		if (t->state == state)
			return false;
		t->state = state;
		return true;
	}
	new.name = strdup(name);
	if (new.name)
		thing_insert(a, i, &new);
	return true;
}

static void thing_gone(struct clite_hubble *h, const struct thing *t)
{
	switch (t->kind) {
	case THING_ENDPOINT:
		return emit_endpoint(h, false, t->id, t->name, NULL);
	case THING_POLICY:
		return emit_policy(h, false, t->name, h->agent.revision, 0);
	case THING_SERVICE:
		return emit_service_deleted(h, t->id);
	}
}

static void remove_unseen(struct clite_hubble *h)
{
	struct agent *a = &h->agent;
	size_t kept = 0;

	for (size_t i = 0; i < a->nthings; i++) {
		if (a->things[i].turn == a->turn) {
			a->things[kept++] = a->things[i];
			continue;
		}
		thing_gone(h, &a->things[i]);
		free(a->things[i].name);
	}
	a->nthings = kept;
}

/* ---- looking ------------------------------------------------------------------------- */

static int see_endpoint(const struct clite_endpoint_info *e, void *userdata)
{
	struct clite_hubble *h = userdata;

	if (thing_seen(&h->agent, THING_ENDPOINT, e->id, e->name, 0) && h->agent.known)
		emit_endpoint(h, true, e->id, e->name, e->labels);
	return 0;
}

static int see_policy(const struct clite_policy_info *p, void *userdata)
{
	struct clite_hubble *h = userdata;

	if (thing_seen(&h->agent, THING_POLICY, 0, p->name, p->revision) && h->agent.known)
		emit_policy(h, true, p->name, p->revision, p->rules);
	return 0;
}

static uint64_t mix(uint64_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3;
	return h * 0x100000001b3;
}

static int see_service(const struct clite_service_info *s, void *userdata)
{
	struct clite_hubble *h = userdata;
	uint64_t state = mix(s->port + ((uint64_t)s->kind << 32), s->address);

	for (size_t i = 0; i < s->nbackends; i++)
		state = mix(state + s->backends[i].port + ((uint64_t)s->backends[i].state << 32),
			    s->backends[i].address);
	if (thing_seen(&h->agent, THING_SERVICE, s->id, s->name, state) && h->agent.known)
		emit_service(h, s);
	return 0;
}

/* Those that are too many to look at are as they were. */
static void keep_services(struct agent *a)
{
	for (size_t i = 0; i < a->nthings; i++)
		if (a->things[i].kind == THING_SERVICE)
			a->things[i].turn = a->turn;
}

void agent_look(struct clite_hubble *h)
{
	struct agent *a = &h->agent;
	const struct clite_status *status;
	bool few;

	if (!h->ctx || clite_status(h->ctx, &status) < 0)
		return;
	if (a->known && status->revision == a->revision)
		return;
	a->revision = status->revision;
	a->turn++;
	few = status->services <= SERVICES_MAX;
	if (clite_endpoint_list(h->ctx, see_endpoint, h) < 0 ||
	    clite_policy_list(h->ctx, see_policy, h) < 0 ||
	    (few && clite_service_list(h->ctx, see_service, h) < 0))
		return;
	if (!few)
		keep_services(a);
	remove_unseen(h);
	a->known = true;
}

int agent_init(struct clite_hubble *h)
{
	h->agent.events = calloc(AGENT_EVENTS, sizeof(*h->agent.events));
	if (!h->agent.events)
		return -ENOMEM;
	agent_look(h);
	emit_started(h);
	return 0;
}

void agent_clear(struct agent *a)
{
	for (size_t i = 0; a->events && i < AGENT_EVENTS; i++)
		bytes_clear(&a->events[i].message);
	for (size_t i = 0; i < a->nthings; i++)
		free(a->things[i].name);
	free(a->events);
	free(a->things);
	*a = (struct agent){};
}

/* ---- GetAgentEvents ------------------------------------------------------------------- */

static uint64_t agent_head(const struct clite_hubble *h)
{
	return h->agent.head;
}

static uint64_t agent_oldest(const struct clite_hubble *h)
{
	return h->agent.head > AGENT_EVENTS ? h->agent.head - AGENT_EVENTS : 0;
}

static uint64_t agent_time(const struct clite_hubble *h, uint64_t pos)
{
	return h->agent.events[pos % AGENT_EVENTS].time;
}

static bool agent_is_lost(const struct clite_hubble *h, uint64_t pos)
{
	(void)h;
	(void)pos;
	return false;
}

static bool agent_passes(const struct clite_hubble *h, const struct request *r, uint64_t pos)
{
	(void)h;
	(void)r;
	(void)pos;
	return true;
}

static int agent_put(struct stream *s, const struct request *r, uint64_t pos)
{
	const struct bytes *message = &s->hub->agent.events[pos % AGENT_EVENTS].message;

	(void)r;
	return bytes_put(&s->out, message->data, message->len) ? 0 : -ENOMEM;
}

/* Agent events have no message for that. */
static int agent_put_overtaken(struct stream *s, uint64_t n)
{
	(void)s;
	(void)n;
	return 0;
}

static const struct event_log agent_log = {
	.head = agent_head,
	.oldest = agent_oldest,
	.time = agent_time,
	.is_lost = agent_is_lost,
	.passes = agent_passes,
	.put = agent_put,
	.put_overtaken = agent_put_overtaken,
};

enum grpc_code serve_agent_events(struct stream *s, const ProtobufCMessage *message)
{
	const Observer__GetAgentEventsRequest *m = (const Observer__GetAgentEventsRequest *)message;
	struct request request = {
		.number = m->number,
		.follow = m->follow,
		.first = m->first,
		.has_since = m->since,
		.has_until = m->until,
		.since = m->since ? time_from_pb(m->since) : 0,
		.until = m->until ? time_from_pb(m->until) : 0,
	};

	if (m->first && m->follow)
		return stream_fail(s, GRPC_INVALID_ARGUMENT,
				   "first cannot be specified with follow");
	agent_look(s->hub);
	return reader_start(s, &agent_log, &request);
}
