/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/flow_mask.h"

#include "model/flow.h"
#include "model/json.h"

/* ---- what a Flow has ---------------------------------------------------------------- */

/* A member; parts of an object, NULL for what is one value in JSON, or a list, into which
 * no path leads. */
struct member {
	const char *name;
	const struct member *parts;
};

#define LEAF(name) { name, NULL }

static const struct member ip[] = {
	LEAF("source"),	   LEAF("destination"),	  LEAF("ipVersion"),
	LEAF("encrypted"), LEAF("source_xlated"), {},
};
static const struct member ethernet[] = { LEAF("source"), LEAF("destination"), {} };
static const struct member tcp_flags[] = {
	LEAF("FIN"), LEAF("SYN"), LEAF("RST"), LEAF("PSH"), LEAF("ACK"),
	LEAF("URG"), LEAF("ECE"), LEAF("CWR"), LEAF("NS"),  {},
};
static const struct member tcp[] = {
	LEAF("source_port"),
	LEAF("destination_port"),
	{ "flags", tcp_flags },
	{},
};
static const struct member ports[] = { LEAF("source_port"), LEAF("destination_port"), {} };
static const struct member icmp[] = { LEAF("type"), LEAF("code"), {} };
static const struct member vrrp[] = { LEAF("type"), LEAF("vrid"), LEAF("priority"), {} };
static const struct member igmp[] = { LEAF("type"), LEAF("group_address"), {} };
static const struct member l4[] = {
	{ "TCP", tcp },	   { "UDP", ports }, { "ICMPv4", icmp }, { "ICMPv6", icmp },
	{ "SCTP", ports }, { "VRRP", vrrp }, { "IGMP", igmp },	 {},
};
static const struct member endpoint[] = {
	LEAF("ID"),	LEAF("identity"), LEAF("cluster_name"), LEAF("namespace"),
	LEAF("labels"), LEAF("pod_name"), LEAF("workloads"),	{},
};
static const struct member dns[] = {
	LEAF("query"),
	LEAF("ips"),
	LEAF("ttl"),
	LEAF("cnames"),
	LEAF("observation_source"),
	LEAF("rcode"),
	LEAF("qtypes"),
	LEAF("rrtypes"),
	{},
};
static const struct member http[] = {
	LEAF("code"), LEAF("method"), LEAF("url"), LEAF("protocol"), LEAF("headers"), {},
};
static const struct member kafka[] = {
	LEAF("error_code"),	LEAF("api_version"), LEAF("api_key"),
	LEAF("correlation_id"), LEAF("topic"),	     {},
};
static const struct member l7[] = {
	LEAF("type"), LEAF("latency_ns"), { "dns", dns }, { "http", http }, { "kafka", kafka }, {},
};
static const struct member event_type[] = { LEAF("type"), LEAF("sub_type"), {} };
static const struct member service[] = { LEAF("name"), LEAF("namespace"), {} };
static const struct member interface[] = { LEAF("index"), LEAF("name"), {} };
static const struct member parent[] = { LEAF("trace_id"), {} };
static const struct member trace_context[] = { { "parent", parent }, {} };
static const struct member file[] = { LEAF("name"), LEAF("line"), {} };
static const struct member tunnel[] = {
	LEAF("protocol"), { "IP", ip }, { "l4", l4 }, LEAF("vni"), {},
};
static const struct member ip_trace_id[] = { LEAF("trace_id"), LEAF("ip_option_type"), {} };
static const struct member emitter[] = { LEAF("name"), LEAF("version"), {} };
static const struct member aggregate[] = {
	LEAF("ingress_flow_count"),
	LEAF("egress_flow_count"),
	LEAF("unknown_direction_flow_count"),
	{},
};

static const struct member flow[] = {
	LEAF("time"),
	LEAF("uuid"),
	{ "emitter", emitter },
	LEAF("verdict"),
	LEAF("drop_reason"),
	LEAF("auth_type"),
	{ "ethernet", ethernet },
	{ "IP", ip },
	{ "l4", l4 },
	{ "tunnel", tunnel },
	{ "source", endpoint },
	{ "destination", endpoint },
	LEAF("Type"),
	LEAF("node_name"),
	LEAF("node_labels"),
	LEAF("source_names"),
	LEAF("destination_names"),
	{ "l7", l7 },
	LEAF("reply"),
	{ "event_type", event_type },
	{ "source_service", service },
	{ "destination_service", service },
	LEAF("traffic_direction"),
	LEAF("policy_match_type"),
	LEAF("trace_observation_point"),
	LEAF("trace_reason"),
	{ "file", file },
	{ "ip_trace_id", ip_trace_id },
	LEAF("drop_reason_desc"),
	LEAF("is_reply"),
	LEAF("debug_capture_point"),
	{ "interface", interface },
	LEAF("proxy_port"),
	{ "trace_context", trace_context },
	LEAF("sock_xlate_point"),
	LEAF("socket_cookie"),
	LEAF("cgroup_id"),
	LEAF("extensions"),
	LEAF("Summary"),
	LEAF("egress_allowed_by"),
	LEAF("ingress_allowed_by"),
	LEAF("egress_denied_by"),
	LEAF("ingress_denied_by"),
	LEAF("policy_log"),
	{ "aggregate", aggregate },
	{},
};

/* ---- choosing ----------------------------------------------------------------------- */

static const struct member *find_member(const struct member *parts, const char *name, size_t len)
{
	for (; parts->name; parts++)
		if (strlen(parts->name) == len && !memcmp(parts->name, name, len))
			return parts;
	return NULL;
}

static int no_member(const char *path, size_t at, const struct member *parts, struct errtext *err)
{
	_cleanup_buf_ struct buf shown = {}, known = {};

	buf_excerpt(&shown, path);
	if (!parts)
		return err_set(err, EINVAL, "'%s': '%.*s' has no parts", shown.data ?: "",
			       (int)at - 1, path);
	for (; parts->name; parts++)
		buf_printf(&known, "%s%s", known.len ? ", " : "", parts->name);
	if (!at)
		return err_set(err, EINVAL, "'%s': a flow has no such member; there are: %s",
			       shown.data ?: "", known.data ?: "");
	return err_set(err, EINVAL, "'%s': '%.*s' has no such part; there are: %s",
		       shown.data ?: "", (int)at - 1, path, known.data ?: "");
}

static struct mask_node *find_node(struct mask_node *mask, const char *name)
{
	while (mask && strcmp(mask->name, name) != 0)
		mask = mask->next;
	return mask;
}

static struct mask_node *node_of(struct mask_node **mask, const char *name)
{
	struct mask_node *node = find_node(*mask, name);

	if (node)
		return node;
	node = calloc(1, sizeof(*node));
	if (!node)
		return NULL;
	node->name = name;
	node->next = *mask;
	*mask = node;
	return node;
}

static int check_path(const char *path, struct errtext *err)
{
	const struct member *parts = flow;

	for (size_t at = 0;;) {
		size_t len = strcspn(path + at, ".");
		const struct member *m = parts ? find_member(parts, path + at, len) : NULL;

		if (!m)
			return no_member(path, at, parts, err);
		if (!path[at + len])
			return 0;
		at += len + 1;
		parts = m->parts;
	}
}

int mask_add(struct mask_node **mask, const char *path, struct errtext *err)
{
	const struct member *parts = flow;
	int r = check_path(path, err);

	while (!r) {
		size_t len = strcspn(path, ".");
		const struct member *m = find_member(parts, path, len);
		struct mask_node *node = node_of(mask, m->name);

		if (!node)
			return -ENOMEM;
		if (node->whole)
			return 0;
		if (!path[len]) {
			mask_free(node->inner);
			node->inner = NULL;
			node->whole = true;
			return 0;
		}
		path += len + 1;
		parts = m->parts;
		mask = &node->inner;
	}
	return r;
}

void mask_free(struct mask_node *mask)
{
	while (mask) {
		struct mask_node *next = mask->next;

		mask_free(mask->inner);
		free(mask);
		mask = next;
	}
}

/* ---- writing -------------------------------------------------------------------------- */

static void put_member(struct buf *out, const char *name)
{
	buf_printf(out, "%s\"%s\":", out->data[out->len - 1] == '{' ? "" : ",", name);
}

static int put_whole(struct json *j, struct buf *out)
{
	const char *begin = j->at;
	int r = json_skip(j);

	buf_put(out, begin, (size_t)(j->at - begin));
	return r;
}

static int put_object(struct json *j, struct mask_node *mask, struct buf *out)
{
	int r = json_open(j, '{');

	buf_puts(out, "{");
	while (!r) {
		struct mask_node *node;
		const char *key;

		r = json_member(j, &key);
		if (r <= 0)
			break;
		node = find_node(mask, key);
		if (node)
			put_member(out, key);
		r = !node	? json_skip(j) :
		    node->whole ? put_whole(j, out) :
				  put_object(j, node->inner, out);
	}
	buf_puts(out, "}");
	return r;
}

/* What is written whole is taken member by member: the writer knows nothing of masks. */
void flow_json_masked(const struct clite_flow *f, struct mask_node *mask, struct buf *spare,
		      struct buf *out)
{
	struct mask_node time = { .name = "time", .whole = true };
	struct mask_node node = { .name = "node_name", .whole = true };
	struct mask_node all = { .name = "flow", .inner = mask };
	struct json j;

	/* Beside the flow stands only what is in it, too. */
	if (find_node(mask, node.name))
		all.next = &node;
	if (find_node(mask, time.name)) {
		time.next = all.next;
		all.next = &time;
	}
	spare->len = 0;
	flow_json(f, spare);
	if (spare->failed) {
		out->failed = true;
		return;
	}
	json_begin(&j, spare->data, spare->len, NULL);
	if (put_object(&j, &all, out) < 0)
		out->failed = true;
}
