/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/services.h"

#include "health.pb-c.h"
#include "observer.pb-c.h"
#include "peer.pb-c.h"

/* ---- grpc.health.v1.Health ---------------------------------------------------------- */

static enum grpc_code put_health(struct stream *s,
				 Grpc__Health__V1__HealthCheckResponse__ServingStatus status)
{
	Grpc__Health__V1__HealthCheckResponse m = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

	m.status = status;
	return stream_put(s, &m.base) ? stream_fail(s, GRPC_RESOURCE_EXHAUSTED, "no memory") :
					GRPC_OK;
}

/* That of Hubble's server, and of the server as a whole. */
static bool health_known(const ProtobufCMessage *message)
{
	const char *service = ((const Grpc__Health__V1__HealthCheckRequest *)message)->service;

	return !*service || !strcmp(service, "hubble.server.Observer");
}

static enum grpc_code serve_check(struct stream *s, const ProtobufCMessage *message)
{
	if (!health_known(message))
		return stream_fail(s, GRPC_NOT_FOUND, "unknown service");
	return put_health(s, GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
}

static enum more stay(struct stream *s, size_t room)
{
	(void)s;
	(void)room;
	return MORE_STAY;
}

static enum grpc_code serve_watch(struct stream *s, const ProtobufCMessage *message)
{
	s->more = stay;
	return put_health(
		s,
		health_known(message) ?
			GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING :
			GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN);
}

/* ---- debug events --------------------------------------------------------------------- */

/* The datapath has none: who follows waits, who does not has got all. */
static enum grpc_code serve_debug_events(struct stream *s, const ProtobufCMessage *message)
{
	const Observer__GetDebugEventsRequest *m = (const Observer__GetDebugEventsRequest *)message;

	if (m->first && m->follow)
		return stream_fail(s, GRPC_INVALID_ARGUMENT,
				   "first cannot be specified with follow");
	s->more = m->follow ? stay : NULL;
	return GRPC_OK;
}

/* ---- all of them ------------------------------------------------------------------------ */

static const struct method methods[] = {
	{
		.path = "/observer.Observer/GetFlows",
		.request = &observer__get_flows_request__descriptor,
		.start = serve_flows,
	},
	{
		.path = "/observer.Observer/ServerStatus",
		.request = &observer__server_status_request__descriptor,
		.start = serve_status,
	},
	{
		.path = "/observer.Observer/GetNodes",
		.request = &observer__get_nodes_request__descriptor,
		.start = serve_nodes,
	},
	{
		.path = "/observer.Observer/GetNamespaces",
		.request = &observer__get_namespaces_request__descriptor,
		.start = serve_namespaces,
	},
	{
		.path = "/observer.Observer/GetAgentEvents",
		.request = &observer__get_agent_events_request__descriptor,
		.start = serve_agent_events,
	},
	{
		.path = "/observer.Observer/GetDebugEvents",
		.request = &observer__get_debug_events_request__descriptor,
		.start = serve_debug_events,
	},
	{
		.path = "/peer.Peer/Notify",
		.request = &peer__notify_request__descriptor,
		.start = serve_peers,
	},
	{
		.path = "/grpc.health.v1.Health/Check",
		.request = &grpc__health__v1__health_check_request__descriptor,
		.start = serve_check,
	},
	{
		.path = "/grpc.health.v1.Health/Watch",
		.request = &grpc__health__v1__health_check_request__descriptor,
		.start = serve_watch,
	},
};

const struct method *method_find(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (!strcmp(path, methods[i].path))
			return &methods[i];
	return NULL;
}
