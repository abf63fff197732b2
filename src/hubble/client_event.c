/* SPDX-License-Identifier: BSD-2-Clause */
/* What an agent's event says, as "hubble observe agent-events" prints it. */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "hubble/client.h"

const char *arena_printf(struct arena *a, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		a->failed = true;
	}
	return (n < 0 ? NULL : arena_text(a, text, (size_t)n)) ?: "";
}

static const char *join(struct arena *a, char *const *texts, size_t n)
{
	size_t len = 1;
	char *all, *at;

	for (size_t i = 0; i < n; i++)
		len += strlen(texts[i]) + 1;
	all = at = arena_get(a, len);
	for (size_t i = 0; all && i < n; i++) {
		if (i)
			*at++ = ',';
		at = stpcpy(at, texts[i]);
	}
	return all ?: "";
}

/* ", name: value", or nothing. */
static const char *part(struct arena *a, const char *name, const char *value)
{
	return *value ? arena_printf(a, ", %s: %s", name, value) : "";
}

static const char *address(struct arena *a, const Flow__ServiceUpsertNotificationAddr *addr)
{
	return arena_printf(a, strchr(addr->ip, ':') ? "[%s]:%u" : "%s:%u", addr->ip, addr->port);
}

static const char *start_text(struct arena *a, const Flow__TimeNotification *n)
{
	char text[64];
	struct tm tm;
	time_t t = n->time ? (time_t)n->time->seconds : 0;

	if (!n->time || !gmtime_r(&t, &tm))
		return "start time: N/A";
	strftime(text, sizeof(text), "%b %e %H:%M:%S", &tm);
	return arena_printf(a, "start time: %s.%03u", text,
			    (unsigned int)(time_from_pb(n->time) % NS / 1000000));
}

static const char *ipcache_text(struct arena *a, const Flow__IPCacheNotification *n)
{
	const char *old = n->old_identity ?
				  arena_printf(a, ", old identity: %u", n->old_identity->value) :
				  "";

	return arena_printf(a, "cidr: %s, identity: %u%s%s%s, encrypt key: %u", n->cidr,
			    n->identity, old, part(a, "host ip", n->host_ip),
			    part(a, "old host ip", n->old_host_ip), n->encrypt_key);
}

static const char *service_text(struct arena *a, const Flow__ServiceUpsertNotification *n)
{
	size_t nbackends = n->n_backend_addresses;
	char **backends = arena_get(a, nbackends * sizeof(*backends));
	const char *front = "", *back = "";

	if (!backends)
		return "";
	for (size_t i = 0; i < nbackends; i++)
		backends[i] = (char *)address(a, n->backend_addresses[i]);
	if (n->frontend_address)
		front = arena_printf(a, ", frontend: %s", address(a, n->frontend_address));
	if (nbackends)
		back = arena_printf(a, ", backends: [%s]", join(a, backends, nbackends));
	return arena_printf(a, "id: %u%s%s%s%s%s%s", n->id, front, back, part(a, "type", n->type),
			    part(a, "traffic policy", n->traffic_policy),
			    part(a, "namespace", n->namespace_), part(a, "name", n->name));
}

const char *agent_event_text(struct arena *a, const Flow__AgentEvent *e)
{
	switch (e->notification_case) {
	case FLOW__AGENT_EVENT__NOTIFICATION_UNKNOWN:
		return arena_printf(a, "type: %s, notification: %s", e->unknown->type,
				    e->unknown->notification);
	case FLOW__AGENT_EVENT__NOTIFICATION_AGENT_START:
		return start_text(a, e->agent_start);
	case FLOW__AGENT_EVENT__NOTIFICATION_POLICY_UPDATE:
		return arena_printf(a, "labels: [%s], revision: %llu, count: %lld",
				    join(a, e->policy_update->labels, e->policy_update->n_labels),
				    (unsigned long long)e->policy_update->revision,
				    (long long)e->policy_update->rule_count);
	case FLOW__AGENT_EVENT__NOTIFICATION_ENDPOINT_REGENERATE:
		return arena_printf(
			a, "id: %llu, labels: [%s]%s",
			(unsigned long long)e->endpoint_regenerate->id,
			join(a, e->endpoint_regenerate->labels, e->endpoint_regenerate->n_labels),
			part(a, "error", e->endpoint_regenerate->error));
	case FLOW__AGENT_EVENT__NOTIFICATION_ENDPOINT_UPDATE:
		return arena_printf(a, "id: %llu%s%s", (unsigned long long)e->endpoint_update->id,
				    part(a, "namespace", e->endpoint_update->namespace_),
				    part(a, "pod name", e->endpoint_update->pod_name));
	case FLOW__AGENT_EVENT__NOTIFICATION_IPCACHE_UPDATE:
		return ipcache_text(a, e->ipcache_update);
	case FLOW__AGENT_EVENT__NOTIFICATION_SERVICE_UPSERT:
		return service_text(a, e->service_upsert);
	case FLOW__AGENT_EVENT__NOTIFICATION_SERVICE_DELETE:
		return arena_printf(a, "id: %u", e->service_delete->id);
	default:
		return "UNKNOWN";
	}
}
