/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of "clite observe" to filters, as "hubble observe" does it. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "observe.h"

/* ---- values: from what was typed to JSON ------------------------------------------ */

typedef json_t *value_fn(const struct cli *cli, const char *name, const char *text);

static json_t *text_json(const struct cli *cli, const char *name, const char *text)
{
	(void)cli;
	(void)name;
	return json_text(text);
}

static json_t *verdict_json(const struct cli *cli, const char *name, const char *text)
{
	uint32_t n;

	if (!verdict_number(text, &n))
		usage_error(cli,
			    "--%s: '%s' is none of FORWARDED, DROPPED, AUDIT, REDIRECTED, ERROR, "
			    "TRACED, TRANSLATED",
			    name, text);
	return json_text(verdict_name(n));
}

static json_t *reason_json(const struct cli *cli, const char *name, const char *text)
{
	uint32_t n;

	if (!drop_reason_number(text, &n))
		usage_error(cli, "--%s: '%s' is no drop reason, such as POLICY_DENIED", name, text);
	return json_text(clite_drop_reason_name(n));
}

static json_t *header_json(const struct cli *cli, const char *name, const char *text)
{
	const char *colon = strchr(text, ':');
	json_t *header = json_new_object();
	_cleanup_free_ char *key = NULL;

	if (!colon)
		usage_error(cli, "--%s: '%s' is not KEY:VALUE", name, text);
	key = xprintf("%.*s", (int)(colon - text), text);
	json_put_text(header, "key", key);
	json_put_text(header, "value", colon + 1);
	return header;
}

/* "Deployment/web", "Deployment/", "web". */
static json_t *workload_json(const struct cli *cli, const char *name, const char *text)
{
	const char *slash = strchr(text, '/');
	json_t *workload = json_new_object();

	(void)cli;
	(void)name;
	if (!slash || slash[1])
		json_put_text(workload, "name", slash ? slash + 1 : text);
	if (slash) {
		_cleanup_free_ char *kind = xprintf("%.*s", (int)(slash - text), text);

		json_put_text(workload, "kind", kind);
	}
	return workload;
}

static json_t *identity_json(const struct cli *cli, const char *name, const char *text)
{
	uint64_t n = 0;

	/* "unknown" is no name that Hubble takes */
	for (uint32_t i = 1; reserved_identity_name(i); i++) {
		if (!strcmp(reserved_identity_name(i), text))
			n = i;
	}
	if (!n && !parse_number(text, UINT32_MAX, &n))
		usage_error(cli,
			    "--%s: '%s' is neither the number of an identity nor a reserved one, "
			    "such as host or world",
			    name, text);
	return json_integer((json_int_t)n);
}

static json_t *flags_json(const struct cli *cli, const char *name, const char *text)
{
	_cleanup_strings_ struct strings flags = { 0 };
	json_t *object = json_new_object();

	strings_split(&flags, text);
	for (size_t i = 0; i < flags.n; i++) {
		_cleanup_free_ char *flag = xstrdup(flags.items[i]);

		if (!tcp_flag_bit(flag))
			usage_error(cli,
				    "--%s: '%s' is none of SYN, FIN, RST, PSH, ACK, URG, ECE, "
				    "CWR, NS",
				    name, flag);
		for (char *c = flag; *c; c++)
			*c &= (char)~0x20;
		json_put_bool(object, flag, true);
	}
	if (!flags.n)
		usage_error(cli, "--%s: no flag", name);
	return object;
}

static json_t *direction_json(const struct cli *cli, const char *name, const char *text)
{
	if (!strcasecmp(text, "ingress"))
		return json_text("INGRESS");
	if (!strcasecmp(text, "egress"))
		return json_text("EGRESS");
	usage_error(cli, "--%s: '%s' is neither ingress nor egress", name, text);
}

static json_t *ipv4_json(const struct cli *cli, const char *name, const char *text)
{
	return text_json(cli, name, text ? text : "IPv4");
}

static json_t *ipv6_json(const struct cli *cli, const char *name, const char *text)
{
	return text_json(cli, name, text ? text : "IPv6");
}

static json_t *version_json(const struct cli *cli, const char *name, const char *text)
{
	static const struct {
		const char *typed, *name;
	} names[] = {
		{ "4", "IPv4" },    { "v4", "IPv4" },	{ "ip4", "IPv4" },
		{ "ipv4", "IPv4" }, { "6", "IPv6" },	{ "v6", "IPv6" },
		{ "ip6", "IPv6" },  { "ipv6", "IPv6" }, { "none", "IP_NOT_USED" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcasecmp(text, names[i].typed))
			return json_text(names[i].name);
	}
	usage_error(cli, "--%s: '%s' is none of v4, v6, none", name, text);
}

static json_t *interface_json(const struct cli *cli, const char *name, const char *text)
{
	json_t *interface = json_new_object();

	(void)cli;
	(void)name;
	json_put_text(interface, "name", text);
	return interface;
}

static json_t *true_json(const struct cli *cli, const char *name, const char *text)
{
	(void)cli;
	(void)name;
	(void)text;
	return json_true();
}

static json_t *false_json(const struct cli *cli, const char *name, const char *text)
{
	(void)cli;
	(void)name;
	(void)text;
	return json_false();
}

/* Types of events, numbers of Cilium's monitor. */
static const struct {
	const char *name;
	uint32_t number;
} types[] = {
	{ "drop", 1 },	     { "debug", 2 },	      { "capture", 3 },
	{ "trace", 4 },	     { "policy-verdict", 5 }, { "recorder", 6 },
	{ "trace-sock", 7 }, { "l7", 129 },	      { "agent", 130 },
};

static const char *const agent_events[] = {
	"unspecified",
	"message",
	"agent-started",
	"policy-updated",
	"policy-deleted",
	"endpoint-regenerate-success",
	"endpoint-regenerate-failure",
	"endpoint-created",
	"endpoint-deleted",
	"ipcache-upserted",
	"ipcache-deleted",
};

static bool type_number(const char *text, size_t len, uint64_t *ret)
{
	_cleanup_free_ char *name = xprintf("%.*s", (int)len, text);

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!strcmp(types[i].name, name)) {
			*ret = types[i].number;
			return true;
		}
	}
	return parse_number(name, INT32_MAX, ret);
}

static bool subtype_number(uint64_t type, const char *text, uint64_t *ret)
{
	if (type == CLITE_EVENT_TRACE) {
		for (uint32_t point = 0; clite_trace_point_text(point); point++) {
			if (!strcmp(clite_trace_point_text(point), text)) {
				*ret = point;
				return true;
			}
		}
	}
	for (size_t i = 0; type == 130 && i < ARRAY_SIZE(agent_events); i++) {
		if (!strcmp(agent_events[i], text)) {
			*ret = i;
			return true;
		}
	}
	return parse_number(text, INT32_MAX, ret);
}

static json_t *type_json(const struct cli *cli, const char *name, const char *text)
{
	size_t len = strcspn(text, ":");
	json_t *object = json_new_object();
	uint64_t type, subtype;

	if (!type_number(text, len, &type))
		usage_error(cli,
			    "--%s: '%.*s' is none of capture, drop, l7, policy-verdict, trace, "
			    "trace-sock, and no number",
			    name, (int)len, text);
	json_put_number(object, "type", type);
	if (!text[len])
		return object;
	if (!subtype_number(type, text + len + 1, &subtype))
		usage_error(cli, "--%s: '%s' is no subtype of %.*s (such as trace:to-endpoint)",
			    name, text + len + 1, (int)len, text);
	json_put_bool(object, "match_sub_type", true);
	if (subtype)
		json_put_number(object, "sub_type", subtype);
	return object;
}

/* ---- options to fields ------------------------------------------------------------ */

/* Options about both ends have the source's field left, the destination's right. */
static const struct filter {
	int key;
	const char *left, *right;
	value_fn *value;
} filters[] = {
	{ OBS_UUID, "uuid", "uuid", text_json },
	{ OBS_NODE_NAME, "node_name", "node_name", text_json },
	{ OBS_NODE_LABEL, "node_labels", "node_labels", text_json },
	{ OBS_CLUSTER, "source_cluster_name", "destination_cluster_name", text_json },
	{ OBS_FROM_CLUSTER, "source_cluster_name", "source_cluster_name", text_json },
	{ OBS_TO_CLUSTER, "destination_cluster_name", "destination_cluster_name", text_json },
	{ OBS_PROTOCOL, "protocol", "protocol", text_json },
	{ OBS_TCP_FLAGS, "tcp_flags", "tcp_flags", flags_json },
	{ 't', "event_type", "event_type", type_json },
	{ OBS_VERDICT, "verdict", "verdict", verdict_json },
	{ OBS_DROP_REASON, "drop_reason_desc", "drop_reason_desc", reason_json },
	{ OBS_HTTP_STATUS, "http_status_code", "http_status_code", text_json },
	{ OBS_HTTP_METHOD, "http_method", "http_method", text_json },
	{ OBS_HTTP_PATH, "http_path", "http_path", text_json },
	{ OBS_HTTP_URL, "http_url", "http_url", text_json },
	{ OBS_HTTP_HEADER, "http_header", "http_header", header_json },
	{ OBS_DNS_QUERY, "dns_query", "dns_query", text_json },
	{ OBS_TRACE_ID, "trace_id", "trace_id", text_json },
	{ OBS_FQDN, "source_fqdn", "destination_fqdn", text_json },
	{ OBS_FROM_FQDN, "source_fqdn", "source_fqdn", text_json },
	{ OBS_TO_FQDN, "destination_fqdn", "destination_fqdn", text_json },
	{ OBS_IP, "source_ip", "destination_ip", text_json },
	{ OBS_FROM_IP, "source_ip", "source_ip", text_json },
	{ OBS_TO_IP, "destination_ip", "destination_ip", text_json },
	{ OBS_SNAT_IP, "source_ip_xlated", "source_ip_xlated", text_json },
	{ '4', "ip_version", "ip_version", ipv4_json },
	{ '6', "ip_version", "ip_version", ipv6_json },
	{ OBS_IP_VERSION, "ip_version", "ip_version", version_json },
	{ OBS_POD, "source_pod", "destination_pod", text_json },
	{ OBS_FROM_POD, "source_pod", "source_pod", text_json },
	{ OBS_TO_POD, "destination_pod", "destination_pod", text_json },
	{ 'l', "source_label", "destination_label", text_json },
	{ OBS_FROM_LABEL, "source_label", "source_label", text_json },
	{ OBS_TO_LABEL, "destination_label", "destination_label", text_json },
	{ OBS_SERVICE, "source_service", "destination_service", text_json },
	{ OBS_FROM_SERVICE, "source_service", "source_service", text_json },
	{ OBS_TO_SERVICE, "destination_service", "destination_service", text_json },
	{ OBS_PORT, "source_port", "destination_port", text_json },
	{ OBS_FROM_PORT, "source_port", "source_port", text_json },
	{ OBS_TO_PORT, "destination_port", "destination_port", text_json },
	{ OBS_WORKLOAD, "source_workload", "destination_workload", workload_json },
	{ OBS_FROM_WORKLOAD, "source_workload", "source_workload", workload_json },
	{ OBS_TO_WORKLOAD, "destination_workload", "destination_workload", workload_json },
	{ OBS_IDENTITY, "source_identity", "destination_identity", identity_json },
	{ OBS_FROM_IDENTITY, "source_identity", "source_identity", identity_json },
	{ OBS_TO_IDENTITY, "destination_identity", "destination_identity", identity_json },
	{ OBS_DIRECTION, "traffic_direction", "traffic_direction", direction_json },
	{ OBS_INTERFACE, "interface", "interface", interface_json },
	{ OBS_ENCRYPTED, "encrypted", "encrypted", true_json },
	{ OBS_UNENCRYPTED, "encrypted", "encrypted", false_json },
};

static const struct filter *find_filter(int key)
{
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		if (filters[i].key == key)
			return &filters[i];
	}
	return NULL;
}

static const char *option_name(const struct cli *cli, int key)
{
	for (const struct opt *o = cli->command->opts; o->key; o++) {
		if (o->key == key)
			return o->name;
	}
	return "";
}

/* ---- what contradicts another ------------------------------------------------------ */

#define GROUP_MAX 8

/* Of each group only one option may be given. */
static const int conflicts[][GROUP_MAX] = {
	{ OBS_FROM_FQDN, OBS_FROM_IP, OBS_IP, OBS_FQDN, OBS_FROM_NS, 'n', OBS_FROM_ALL_NS, 'A' },
	{ OBS_FROM_FQDN, OBS_FROM_IP, OBS_IP, OBS_FQDN, OBS_FROM_POD, OBS_POD },
	{ OBS_TO_FQDN, OBS_TO_IP, OBS_IP, OBS_FQDN, OBS_TO_NS, 'n', OBS_TO_ALL_NS, 'A' },
	{ OBS_TO_FQDN, OBS_TO_IP, OBS_IP, OBS_FQDN, OBS_TO_POD, OBS_POD },
	{ OBS_TO_POD, 'n', 'A' },
	{ OBS_FROM_POD, 'n', 'A' },
	{ OBS_TO_SERVICE, 'n', 'A' },
	{ OBS_FROM_SERVICE, 'n', 'A' },
	{ 'l', OBS_FROM_LABEL },
	{ 'l', OBS_TO_LABEL },
	{ OBS_SERVICE, OBS_FROM_SERVICE },
	{ OBS_SERVICE, OBS_TO_SERVICE },
	{ OBS_PORT, OBS_TO_PORT },
	{ OBS_PORT, OBS_FROM_PORT },
	{ OBS_IDENTITY, OBS_TO_IDENTITY },
	{ OBS_IDENTITY, OBS_FROM_IDENTITY },
	{ OBS_WORKLOAD, OBS_TO_WORKLOAD },
	{ OBS_WORKLOAD, OBS_FROM_WORKLOAD },
	{ OBS_CLUSTER, OBS_TO_CLUSTER },
	{ OBS_CLUSTER, OBS_FROM_CLUSTER },
	{ OBS_ENCRYPTED, OBS_UNENCRYPTED },
};

static bool was_used(const struct filter_list *list, int key)
{
	for (size_t i = 0; i < list->nused; i++) {
		if (list->used[i] == key)
			return true;
	}
	return false;
}

static void check_group(const struct cli *cli, const struct filter_list *list, const int *group)
{
	int first = 0;

	for (size_t i = 0; i < GROUP_MAX && group[i]; i++) {
		if (!was_used(list, group[i]))
			continue;
		if (first)
			usage_error(cli, "filters --%s and --%s cannot be combined",
				    option_name(cli, first), option_name(cli, group[i]));
		first = group[i];
	}
}

/* The part before the slash, or NULL. */
static char *namespace_of(const char *name)
{
	const char *slash = strchr(name, '/');

	return slash && slash != name ? xprintf("%.*s", (int)(slash - name), name) : NULL;
}

static void check_names(const struct cli *cli, const struct strings *ns, const json_t *names)
{
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		_cleanup_free_ char *its = namespace_of(name);

		for (size_t k = 0; its && k < ns->n; k++) {
			if (strcmp(ns->items[k], its))
				usage_error(cli, "'%s' is not in namespace '%s'", name,
					    ns->items[k]);
		}
	}
}

/* A pod in one namespace and a service in another: nothing is both. */
static void check_same(const struct cli *cli, const json_t *pods, const json_t *services)
{
	for (size_t i = 0; i < json_array_size(pods); i++) {
		const char *pod = json_string_value(json_array_get(pods, i));
		_cleanup_free_ char *ns = namespace_of(pod);
		struct strings one = { .items = &ns, .n = 1 };

		if (ns)
			check_names(cli, &one, services);
	}
}

static void check_end(const struct cli *cli, const struct filter_list *list, const json_t *filter,
		      bool source)
{
	const json_t *pods = json_object_get(filter, source ? "source_pod" : "destination_pod");
	const json_t *services =
		json_object_get(filter, source ? "source_service" : "destination_service");
	const struct strings *own = source ? &list->source_ns : &list->destination_ns;

	check_names(cli, &list->ns, pods);
	check_names(cli, &list->ns, services);
	check_names(cli, own, pods);
	check_names(cli, own, services);
	check_same(cli, pods, services);
}

static void check_list(const struct cli *cli, const struct filter_list *list)
{
	for (size_t i = 0; i < ARRAY_SIZE(conflicts); i++)
		check_group(cli, list, conflicts[i]);
	check_end(cli, list, list->left, true);
	check_end(cli, list, list->left, false);
	check_end(cli, list, list->right, true);
	check_end(cli, list, list->right, false);
}

/* ---- taking options ---------------------------------------------------------------- */

static void append(json_t **filter, const char *field, json_t *value)
{
	json_t *values;

	if (!*filter)
		*filter = json_new_object();
	values = json_object_get(*filter, field);
	if (!values) {
		values = json_new_array();
		json_put(*filter, field, values);
	}
	json_add(values, value);
}

static void use(struct filter_list *list, int key)
{
	list->used = xrealloc(list->used, list->nused + 1, sizeof(*list->used));
	list->used[list->nused++] = key;
}

static bool namespace_option(struct filter_list *list, int key, const char *value)
{
	switch (key) {
	case 'n':
	case 'A':
		strings_add(&list->ns, key == 'n' ? value : "");
		return true;
	case OBS_FROM_NS:
	case OBS_FROM_ALL_NS:
		strings_add(&list->source_ns, key == OBS_FROM_NS ? value : "");
		return true;
	case OBS_TO_NS:
	case OBS_TO_ALL_NS:
		strings_add(&list->destination_ns, key == OBS_TO_NS ? value : "");
		return true;
	default:
		return false;
	}
}

/* One or more objects behind one another, as Hubble's command line takes them. */
static void raw_option(const struct cli *cli, struct filter_list *list, const char *name,
		       const char *text)
{
	if (!list->raw)
		list->raw = json_new_array();
	for (;;) {
		json_error_t error;
		json_t *filter;

		text += strspn(text, " \t\r\n");
		if (!*text)
			return;
		filter = json_loads(text, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &error);
		if (!filter)
			usage_error(cli, "--%s: not JSON: %s (line %d, column %d)", name,
				    error.text, error.line, error.column);
		json_add(list->raw, filter);
		text += error.position;
	}
}

bool filter_option(struct filter_options *o, int key, const char *value)
{
	struct filter_list *list = o->inverted ? &o->deny : &o->allow;
	const struct filter *f = find_filter(key);
	const char *name = option_name(o->cli, key);

	switch (key) {
	case OBS_NOT:
		if (o->inverted)
			usage_error(o->cli, "--not twice; it is about the option behind it");
		o->inverted = true;
		return true;
	case OBS_ALLOWLIST:
	case OBS_DENYLIST:
		raw_option(o->cli, key == OBS_ALLOWLIST ? &o->allow : &o->deny, name, value);
		return true;
	case OBS_CEL:
		usage_error(o->cli, "--%s: CEL is not understood; other filters are", name);
	}
	if (!f && !namespace_option(list, key, value))
		return false;
	if (f) {
		append(&list->left, f->left, f->value(o->cli, name, value));
		append(&list->right, f->right, f->value(o->cli, name, value));
	}
	use(list, key);
	o->inverted = false;
	return true;
}

/* ---- the whole ------------------------------------------------------------------- */

/* Names without a namespace get each of these. */
static json_t *with_namespaces(const json_t *names, const struct strings *ns)
{
	json_t *all = json_new_array();

	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));

		if (strchr(name, '/')) {
			json_add(all, json_text(name));
			continue;
		}
		for (size_t k = 0; k < ns->n; k++) {
			_cleanup_free_ char *full = xprintf("%s/%s", ns->items[k], name);

			json_add(all, json_text(full));
		}
	}
	return all;
}

static void apply_namespaces(json_t **filter, const struct strings *ns, bool source)
{
	const char *pod = source ? "source_pod" : "destination_pod";
	const char *service = source ? "source_service" : "destination_service";
	json_t *pods, *services;

	if (!ns->n)
		return;
	if (!json_object_get(*filter, pod) && !json_object_get(*filter, service))
		append(filter, pod, json_text(""));
	pods = json_object_get(*filter, pod);
	if (pods)
		json_put(*filter, pod, with_namespaces(pods, ns));
	services = json_object_get(*filter, service);
	if (services)
		json_put(*filter, service, with_namespaces(services, ns));
}

static json_t *list_json(struct filter_list *list)
{
	json_t *all = json_new_array();

	apply_namespaces(&list->left, &list->destination_ns, false);
	apply_namespaces(&list->right, &list->destination_ns, false);
	apply_namespaces(&list->left, &list->source_ns, true);
	apply_namespaces(&list->right, &list->source_ns, true);
	apply_namespaces(&list->left, &list->ns, true);
	apply_namespaces(&list->right, &list->ns, false);
	if (list->left)
		json_add(all, filter_in_order(list->left));
	if (list->right && !json_equal(list->left, list->right))
		json_add(all, filter_in_order(list->right));
	if (list->raw)
		json_array_extend(all, list->raw);
	return all;
}

void filter_options_end(struct filter_options *o, json_t **ret_allow, json_t **ret_deny)
{
	if (o->inverted)
		usage_error(o->cli, "--not is the last option; it is about the one behind it");
	check_list(o->cli, &o->allow);
	check_list(o->cli, &o->deny);
	*ret_allow = list_json(&o->allow);
	*ret_deny = list_json(&o->deny);
}

static void list_clear(struct filter_list *list)
{
	json_decref(list->left);
	json_decref(list->right);
	json_decref(list->raw);
	strings_clear(&list->ns);
	strings_clear(&list->source_ns);
	strings_clear(&list->destination_ns);
	free(list->used);
}

void filter_options_clear(struct filter_options *o)
{
	list_clear(&o->allow);
	list_clear(&o->deny);
}
