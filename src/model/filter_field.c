/* SPDX-License-Identifier: BSD-2-Clause */
/* The fields of a filter, with the meaning of Hubble's (pkg/hubble/filters, 1.19). */
#include <netinet/in.h>

#include "model/event_parts.h"
#include "model/filter_parts.h"
#include "model/flow.h"

static int refuse(struct errtext *err, const char *value, const char *what)
{
	_cleanup_buf_ struct buf shown = {};

	buf_excerpt(&shown, value);
	return err_set(err, EINVAL, "'%s': %s", shown.data ?: "", what);
}

static const char *text_of(const void *from)
{
	return *(const char *const *)from;
}

static int keep(char **ret, const char *text, size_t len)
{
	*ret = strndup(text, len);
	return *ret ? 0 : -ENOMEM;
}

static const struct clite_flow_end *end_of(const struct clite_flow *f, bool source)
{
	return source ? f->source : f->destination;
}

/* ---- numbers ------------------------------------------------------------------------- */

static int read_number(struct filter_value *v, const void *from, struct errtext *err)
{
	(void)err;
	v->number = *(const uint32_t *)from;
	return 0;
}

static int read_upto(struct filter_value *v, const void *from, uint32_t max, struct errtext *err)
{
	v->number = *(const uint32_t *)from;
	if (v->number > max)
		return err_set(err, EINVAL, "%u: 0 to %u", (uint32_t)v->number, max);
	return 0;
}

static int read_bool(struct filter_value *v, const void *from, struct errtext *err)
{
	return read_upto(v, from, 1, err);
}

static int read_direction(struct filter_value *v, const void *from, struct errtext *err)
{
	return read_upto(v, from, CLITE_EGRESS, err);
}

static int read_flags(struct filter_value *v, const void *from, struct errtext *err)
{
	return read_upto(v, from, (1u << TCP_FLAGS) - 1, err);
}

static int read_version(struct filter_value *v, const void *from, struct errtext *err)
{
	v->number = *(const uint32_t *)from;
	if (v->number && v->number != 4 && v->number != 6)
		return err_set(err, EINVAL, "%u: 4 or 6", (uint32_t)v->number);
	return 0;
}

static bool verdict_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	(void)source;
	return f->event->verdict == v->number;
}

static bool drop_reason_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	(void)source;
	return f->event->verdict == CLITE_VERDICT_DROPPED && f->event->drop_reason == v->number;
}

static bool identity_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	const struct clite_event *e = f->event;

	return (source ? e->source_identity : e->destination_identity) == v->number;
}

static bool version_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	(void)source;
	return f->event->family == v->number;
}

static bool direction_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	(void)source;
	return event_direction(f->event) == v->number;
}

/* Of a dropped packet nobody knows; Hubble says that it is no reply. */
static bool reply_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	const struct clite_event *e = f->event;

	(void)source;
	if (e->is_reply > 1)
		return e->verdict == CLITE_VERDICT_DROPPED && !v->number;
	return e->is_reply == v->number;
}

/* Nothing that is seen here is encrypted by the datapath. */
static bool encrypted_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	(void)f;
	(void)source;
	return !v->number;
}

static bool flags_hold(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	(void)source;
	return event_l4(f->event) == L4_TCP && (f->event->tcp_flags & v->number) == v->number;
}

static int read_type(struct filter_value *v, const void *from, struct errtext *err)
{
	v->type = *(const struct clite_filter_event_type *)from;
	if (v->type.match_subtype > 1)
		return err_set(err, EINVAL, "match_subtype %u: 0 or 1", v->type.match_subtype);
	return 0;
}

static bool type_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	(void)source;
	if (v->type.type && (uint32_t)v->type.type != f->event->type)
		return false;
	return !v->type.match_subtype || (uint32_t)v->type.subtype == event_subtype(f->event);
}

/* ---- protocols, ports, addresses ------------------------------------------------------- */

static int read_protocol(struct filter_value *v, const void *from, struct errtext *err)
{
	static const char *const names[] = {
		[FILTER_ICMP] = "icmp", [FILTER_ICMP4] = "icmpv4", [FILTER_ICMP6] = "icmpv6",
		[FILTER_TCP] = "tcp",	[FILTER_UDP] = "udp",	   [FILTER_SCTP] = "sctp",
		[FILTER_VRRP] = "vrrp", [FILTER_IGMP] = "igmp",	   [FILTER_DNS] = "dns",
		[FILTER_HTTP] = "http", [FILTER_KAFKA] = "kafka",
	};

	for (v->number = 0; v->number < ARRAY_SIZE(names); v->number++)
		if (!strcasecmp(names[v->number], text_of(from)))
			return 0;
	return refuse(err, text_of(from),
		      "icmp, icmpv4, icmpv6, tcp, udp, sctp, vrrp, igmp, dns, http or kafka");
}

static bool protocol_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	enum event_l4 l4 = event_l4(f->event);

	(void)source;
	switch ((enum filter_protocol)v->number) {
	case FILTER_ICMP:
		return l4 == L4_ICMP4 || l4 == L4_ICMP6;
	case FILTER_ICMP4:
		return l4 == L4_ICMP4;
	case FILTER_ICMP6:
		return l4 == L4_ICMP6;
	case FILTER_TCP:
		return l4 == L4_TCP;
	case FILTER_UDP:
		return l4 == L4_UDP;
	case FILTER_SCTP:
		return l4 == L4_SCTP;
	case FILTER_VRRP:
		return f->event->protocol == FILTER_IPPROTO_VRRP;
	case FILTER_IGMP:
		return f->event->protocol == IPPROTO_IGMP;
	case FILTER_DNS:
	case FILTER_HTTP:
	case FILTER_KAFKA:
		break; /* no flow tells of layer 7 yet */
	}
	return false;
}

static int read_port(struct filter_value *v, const void *from, struct errtext *err)
{
	const char *text = text_of(from), *c = text;

	for (; *c >= '0' && *c <= '9' && v->number <= UINT16_MAX; c++)
		v->number = v->number * 10 + (uint64_t)(*c - '0');
	if (c == text || *c || v->number > UINT16_MAX)
		return refuse(err, text, "a port is a number from 0 to 65535");
	return 0;
}

static bool port_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	const struct clite_event *e = f->event;

	return event_has_ports(e) && (source ? e->source_port : e->destination_port) == v->number;
}

static int read_ip(struct filter_value *v, const void *from, struct errtext *err)
{
	if (network_parse(text_of(from), &v->prefix))
		return refuse(err, text_of(from),
			      "an address such as 10.0.0.1 or a prefix such as 10.0.0.0/8");
	prefix_mask(&v->prefix);
	return 0;
}

static bool ip_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	const struct clite_event *e = f->event;
	struct prefix p = { .family = (uint8_t)e->family };

	if (v->prefix.family != e->family)
		return false;
	p.len = e->family == 4 ? 32 : 128;
	memcpy(p.ip, source ? e->source : e->destination, sizeof(p.ip));
	return prefix_contains(&v->prefix, &p);
}

/* ---- names ----------------------------------------------------------------------------- */

/* "namespace/prefix", "namespace/", "prefix". */
static int read_pod(struct filter_value *v, const void *from, struct errtext *err)
{
	const char *text = text_of(from), *slash = strchr(text, '/'), *name;
	int r;

	name = slash ? slash + 1 : text;
	if (strchr(name, '/') || (!*name && (!slash || slash == text)))
		return refuse(err, text, "\"namespace/name\", \"namespace/\" or \"name\"");
	if (slash) {
		r = keep(&v->space, text, (size_t)(slash - text));
		if (r)
			return r;
	}
	v->number = strlen(name);
	return keep(&v->name, name, v->number);
}

/* A name alone is of the namespace "default"; and where there are none, of none. */
static bool in_space(const struct filter_value *v, const char *ns)
{
	if (v->space)
		return !strcmp(v->space, ns);
	return !*ns || !strcmp(ns, "default");
}

static bool name_holds(const struct filter_value *v, const char *ns, const char *name)
{
	return (*ns || *name) && !strncmp(name, v->name, v->number) && in_space(v, ns);
}

static bool pod_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	return name_holds(v, end_of(f, source)->ns, end_of(f, source)->pod);
}

static bool service_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	const struct clite_flow_end *x = end_of(f, source);

	return *x->service && name_holds(v, x->service_ns, x->service);
}

static int read_workload(struct filter_value *v, const void *from, struct errtext *err)
{
	const struct clite_filter_workload *w = from;
	int r = keep(&v->name, w->name ?: "", FILTER_TEXT_MAX);

	(void)err;
	return r ?: keep(&v->space, w->kind ?: "", FILTER_TEXT_MAX);
}

static bool workload_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	const struct clite_flow_end *x = end_of(f, source);

	return *x->workload && (!*v->name || !strcmp(v->name, x->workload)) &&
	       (!*v->space || !strcmp(v->space, x->workload_kind));
}

static int read_fqdn(struct filter_value *v, const void *from, struct errtext *err)
{
	return pattern_read(text_of(from), strlen(text_of(from)), &v->name, err);
}

static bool fqdn_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	for (const char *const *n = end_of(f, source)->names; *n; n++)
		if (pattern_matches(v->name, *n))
			return true;
	return false;
}

static int read_selector(struct filter_value *v, const void *from, struct errtext *err)
{
	return label_selector_parse(text_of(from), &v->selector, err);
}

static bool label_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	return label_selector_holds(&v->selector, end_of(f, source)->labels);
}

/* Flows tell no labels of their node. */
static bool node_label_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	static const char *const none[] = { NULL };

	(void)f;
	(void)source;
	return label_selector_holds(&v->selector, none);
}

static int read_text(struct filter_value *v, const void *from, struct errtext *err)
{
	(void)err;
	return keep(&v->name, text_of(from), FILTER_TEXT_MAX);
}

static int read_cluster(struct filter_value *v, const void *from, struct errtext *err)
{
	if (!*text_of(from))
		return refuse(err, "", "a cluster has a name");
	return read_text(v, from, err);
}

static bool cluster_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	return !strcmp(end_of(f, source)->cluster, v->name);
}

/* "node", "cluster/node"; either may be empty for any. */
static int read_node(struct filter_value *v, const void *from, struct errtext *err)
{
	const char *text = text_of(from), *slash = strchr(text, '/');
	const char *node = slash ? slash + 1 : text;
	int r = 0;

	if (!*text || strchr(node, '/'))
		return refuse(err, text,
			      "\"node\" or \"cluster/node\", with '*' for any characters");
	if (slash > text)
		r = pattern_read(text, (size_t)(slash - text), &v->space, err);
	if (!r && *node)
		r = pattern_read(node, strlen(node), &v->name, err);
	return r;
}

static bool node_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	const char *slash = strchr(f->node, '/');
	_cleanup_free_ char *cluster = NULL;

	(void)source;
	if (!*f->node || (v->name && !pattern_matches(v->name, slash ? slash + 1 : f->node)))
		return false;
	if (!v->space)
		return true;
	/* Cilium's name for a cluster that has none. */
	if (!slash)
		return pattern_matches(v->space, "default");
	cluster = strndup(f->node, (size_t)(slash - f->node));
	return cluster && pattern_matches(v->space, cluster);
}

/* "3", "eth0", "3/eth0": both. */
static int read_interface(struct filter_value *v, const void *from, struct errtext *err)
{
	const char *text = text_of(from), *c = text;

	for (; *c >= '0' && *c <= '9' && v->number <= UINT32_MAX; c++)
		v->number = v->number * 10 + (uint64_t)(*c - '0');
	if (v->number > UINT32_MAX)
		return refuse(err, text, "the number of an interface is below 4294967296");
	if (*c == '/' && c > text)
		c++;
	else if (*c) {
		v->number = 0;
		c = text;
	}
	return keep(&v->name, c, FILTER_TEXT_MAX);
}

static bool interface_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	(void)source;
	if (!f->event->ifindex || (v->number && v->number != f->event->ifindex))
		return false;
	return !*v->name || !strcmp(v->name, f->interface ?: "");
}

/* What no flow has: its text is empty, as Hubble sees it. */
static bool nothing_holds(const struct filter_value *v, const struct clite_flow *f, bool source)
{
	(void)f;
	(void)source;
	return !*v->name;
}

/* ---- layer 7: values are checked, no flow tells of it yet ---------------------------------- */

static int read_regex(struct filter_value *v, const void *from, struct errtext *err)
{
	(void)v;
	return regex_check(text_of(from), err);
}

static int read_status(struct filter_value *v, const void *from, struct errtext *err)
{
	const char *s = text_of(from);
	size_t n = strspn(s, "0123456789");

	(void)v;
	if (*s >= '1' && *s <= '5' && ((n == 3 && !s[3]) || (n < 3 && s[n] == '+' && !s[n + 1])))
		return 0;
	return refuse(err, s, "a status such as 200, or the beginning of one such as 5+");
}

static int read_header(struct filter_value *v, const void *from, struct errtext *err)
{
	(void)v;
	if (!strchr(text_of(from), ':'))
		return refuse(err, text_of(from), "\"key:value\"");
	return 0;
}

static int read_long(struct filter_value *v, const void *from, struct errtext *err)
{
	(void)err;
	v->number = *(const uint64_t *)from;
	return 0;
}

static int read_any(struct filter_value *v, const void *from, struct errtext *err)
{
	(void)v;
	(void)from;
	(void)err;
	return 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct clite_flow_filter, member)
#define VALUES(proto, member, kind, reads, test, ...)                                        \
	{                                                                                    \
		.name = (proto), .list = AT(member), .count = AT(n##member), .form = (kind), \
		.read = (reads), .holds = (test), __VA_ARGS__                                \
	}
#define TEXTS(proto, member, reads, test, ...)                                           \
	{                                                                                \
		.name = (proto), .list = AT(member), .form = FORM_TEXT, .read = (reads), \
		.holds = (test), __VA_ARGS__                                             \
	}

/* clang-format off */
const struct filter_field filter_fields[] = {
	VALUES("event_type", event_type, FORM_EVENT_TYPE, read_type, type_holds),
	VALUES("verdict", verdict, FORM_NUMBER, read_number, verdict_holds),
	VALUES("drop_reason_desc", drop_reason, FORM_NUMBER, read_number, drop_reason_holds),
	VALUES("reply", reply, FORM_NUMBER, read_bool, reply_holds),
	VALUES("traffic_direction", direction, FORM_NUMBER, read_direction, direction_holds),
	VALUES("ip_version", ip_version, FORM_NUMBER, read_version, version_holds),
	VALUES("encrypted", encrypted, FORM_NUMBER, read_bool, encrypted_holds),
	VALUES("source_identity", source_identity, FORM_NUMBER, read_number, identity_holds, .source = true),
	VALUES("destination_identity", destination_identity, FORM_NUMBER, read_number, identity_holds),
	VALUES("tcp_flags", tcp_flags, FORM_NUMBER, read_flags, flags_hold),
	TEXTS("protocol", protocol, read_protocol, protocol_holds),
	TEXTS("source_port", source_port, read_port, port_holds, .source = true),
	TEXTS("destination_port", destination_port, read_port, port_holds),
	TEXTS("source_ip", source_ip, read_ip, ip_holds, .source = true),
	TEXTS("destination_ip", destination_ip, read_ip, ip_holds),
	TEXTS("interface", interface, read_interface, interface_holds, .names = true),
	TEXTS("uuid", uuid, read_text, nothing_holds),
	TEXTS("trace_id", trace_id, read_text, nothing_holds),
	VALUES("ip_trace_id", ip_trace_id, FORM_LONG, read_long, NULL),
	TEXTS("source_ip_xlated", source_ip_xlated, read_ip, NULL),
	TEXTS("dns_query", dns_query, read_regex, NULL),
	TEXTS("http_status_code", http_status_code, read_status, NULL),
	TEXTS("http_method", http_method, read_any, NULL),
	TEXTS("http_path", http_path, read_regex, NULL),
	TEXTS("http_url", http_url, read_regex, NULL),
	TEXTS("http_header", http_header, read_header, NULL),
	TEXTS("source_pod", source_pod, read_pod, pod_holds, .source = true, .names = true),
	TEXTS("destination_pod", destination_pod, read_pod, pod_holds, .names = true),
	TEXTS("source_service", source_service, read_pod, service_holds, .source = true, .names = true),
	TEXTS("destination_service", destination_service, read_pod, service_holds, .names = true),
	VALUES("source_workload", source_workload, FORM_WORKLOAD, read_workload, workload_holds,
	       .source = true, .names = true),
	VALUES("destination_workload", destination_workload, FORM_WORKLOAD, read_workload,
	       workload_holds, .names = true),
	TEXTS("source_cluster_name", source_cluster, read_cluster, cluster_holds, .source = true, .names = true),
	TEXTS("destination_cluster_name", destination_cluster, read_cluster, cluster_holds, .names = true),
	TEXTS("node_name", node_name, read_node, node_holds, .names = true),
	TEXTS("source_fqdn", source_fqdn, read_fqdn, fqdn_holds, .source = true, .names = true),
	TEXTS("destination_fqdn", destination_fqdn, read_fqdn, fqdn_holds, .names = true),
	TEXTS("source_label", source_label, read_selector, label_holds, .source = true, .names = true),
	TEXTS("destination_label", destination_label, read_selector, label_holds, .names = true),
	TEXTS("node_labels", node_labels, read_selector, node_label_holds),
};
/* clang-format on */
const size_t nfilter_fields = ARRAY_SIZE(filter_fields);
