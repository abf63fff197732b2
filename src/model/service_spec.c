/* SPDX-License-Identifier: BSD-2-Clause */
/* Service: its metadata, spec and status. */
#include <cilium-lite/service.h>
#include <cilium-lite/version.h>
#include <stdio.h>

#include "model/document_k8s.h"
#include "model/service_field.h"

#define PROXY_NAME_LABEL "service.kubernetes.io/service-proxy-name"
#define HEADLESS_LABEL "service.kubernetes.io/headless"
#define AFFINITY_DEFAULT 10800
#define AFFINITY_MAX 86400

/* ---- Service: small things -------------------------------------------------------- */

/* A port; 0 is none. */
static int read_port_or_none(const struct reader *r, const struct ynode *n, const struct path *up,
			     const char *key, uint16_t *ret)
{
	struct path p = { .up = up, .key = key };
	unsigned int v = 0;
	int res = n ? doc_number(r, n, &p, UINT16_MAX, &v) : 0;

	*ret = (uint16_t)v;
	return res;
}

/* As Kubernetes takes them: bits beyond the length, and blanks around, say nothing. */
static int range_parse(const char *s, struct prefix *ret)
{
	const char *begin = s + strspn(s, " \t");
	_cleanup_free_ char *text = strdup(begin);
	unsigned int bits;
	char *slash;

	if (!text)
		return -ENOMEM;
	for (size_t n = strlen(text); n && (text[n - 1] == ' ' || text[n - 1] == '\t'); n--)
		text[n - 1] = '\0';
	if (prefix_parse(text, ret) == 0)
		return 0;
	slash = strchr(text, '/');
	if (!slash)
		return -EINVAL;
	*slash = '\0';
	if (addr_parse(text, ret) < 0 || !is_decimal(slash + 1) || strlen(slash + 1) > 3)
		return -EINVAL;
	bits = (unsigned int)strtoul(slash + 1, NULL, 10);
	if (bits > ret->len)
		return -EINVAL;
	for (unsigned int i = bits; i < ret->len; i++)
		ret->ip[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
	ret->len = (uint8_t)bits;
	return 0;
}

static int read_range(const struct reader *r, const struct ynode *n, const struct path *p,
		      struct prefix *ret)
{
	const char *s;
	int res = doc_string(r, n, p, &s);

	if (res < 0)
		return res;
	res = range_parse(s, ret);
	if (res == -EINVAL)
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT,
				      "is no prefix, as 10.0.0.0/8 or fd00::/8 are");
	return res;
}

static bool is_none(const struct ynode *n)
{
	return n && n->kind == YNODE_SCALAR && n->type == YTYPE_STRING &&
	       strcasecmp(n->text, "None") == 0;
}

static void free_texts(char ***texts)
{
	for (char **t = *texts; t && *t; t++)
		free(*t);
	free(*texts);
}

static int read_labels(const struct reader *r, const struct service_meta *m, struct labels *ret)
{
	_cleanup_(err_clear) struct errtext why = {};
	_cleanup_(free_texts) char **texts = NULL;
	size_t i = 0;
	int res = 0;

	if (!m->labels || !m->labels->n)
		return 0;
	texts = calloc(m->labels->n + 1, sizeof(*texts));
	if (!texts)
		return -ENOMEM;
	for (const struct ynode *n = m->labels->first; n; n = n->next) {
		struct path p = { .up = &m->labels_path, .key = n->key };
		const char *value;

		res = doc_string(r, n, &p, &value);
		if (res < 0)
			return res;
		if (asprintf(&texts[i], "k8s:%s=%s", n->key, value) < 0) {
			texts[i] = NULL;
			return -ENOMEM;
		}
		i++;
	}
	res = labels_parse((const char *const *)texts, ret, &why);
	if (res == -EINVAL) {
		_cleanup_buf_ struct buf shown = {};

		buf_excerpt(&shown, why.text ? why.text : "a label is none");
		return doc_fail(r, m->labels->line, &m->labels_path, CLITE_EDOCUMENT, "%s",
				shown.data ? shown.data : "");
	}
	return res;
}

/* An annotation that is one of two words, in any case: *ret is 1 or 2, else 0. */
static int read_choice(const struct reader *r, const struct service_meta *m, const char *key,
		       const char *first, const char *second, unsigned int *ret)
{
	struct path p = { .up = &m->annotations_path, .key = key };
	_cleanup_buf_ struct buf text = {};
	const char *s;
	int res = service_meta_value(r, m->annotations, &m->annotations_path, key, &s);

	*ret = 0;
	if (res < 0 || !s)
		return res;
	*ret = strcasecmp(s, first) == 0 ? 1 : strcasecmp(s, second) == 0 ? 2 : 0;
	if (*ret)
		return 0;
	buf_printf(&text, "is neither '%s' nor '%s'", first, second);
	return text.failed ? -ENOMEM :
			     doc_fail_value(r, service_peek(m->annotations, key), &p,
					    CLITE_EDOCUMENT, text.data);
}

/* ---- Service: annotations -------------------------------------------------------- */

/* "NodePort,LoadBalancer": front ends of which kinds there are; of external IPs
 * always. */
static int read_exposure(const struct reader *r, const struct service_meta *m,
			 struct service_object *s)
{
	static const char key[] = "service.cilium.io/type";
	static const enum front_kind kinds[] = { FRONT_CLUSTER_IP, FRONT_NODE_PORT,
						 FRONT_LOAD_BALANCER };
	struct path p = { .up = &m->annotations_path, .key = key };
	const char *said;
	int res = service_meta_value(r, m->annotations, &m->annotations_path, key, &said);

	memset(s->shows, !said, sizeof(s->shows));
	s->shows[FRONT_EXTERNAL_IP] = true;
	if (res < 0 || !said)
		return res;
	for (;;) {
		size_t n = strcspn(said, ","), i = 0;

		while (i < ARRAY_SIZE(kinds) && (strlen(front_kind_name(kinds[i])) != n ||
						 strncmp(front_kind_name(kinds[i]), said, n) != 0))
			i++;
		if (i == ARRAY_SIZE(kinds))
			return doc_fail_value(r, service_peek(m->annotations, key), &p,
					      CLITE_EDOCUMENT,
					      "names no kinds of front ends: ClusterIP, NodePort "
					      "and LoadBalancer are, with commas between");
		s->shows[kinds[i]] = true;
		if (!said[n])
			return 0;
		said += n + 1;
	}
}

/* The older annotation goes before the newer one. */
static int read_topology(const struct reader *r, const struct service_meta *m,
			 struct service_object *s)
{
	const char *mode;
	int res = service_meta_value(r, m->annotations, &m->annotations_path,
				     "service.kubernetes.io/topology-aware-hints", &mode);

	if (res >= 0 && !mode)
		res = service_meta_value(r, m->annotations, &m->annotations_path,
					 "service.kubernetes.io/topology-mode", &mode);
	if (res >= 0 && mode && *mode && strcasecmp(mode, "disabled") != 0)
		s->prefer_zone = s->hints_only = true;
	return res;
}

static int read_annotations(const struct reader *r, const struct service_meta *m,
			    struct service_object *s)
{
	unsigned int choice = 0;
	int res = read_exposure(r, m, s);

	if (res >= 0)
		res = read_topology(r, m, s);
	if (res >= 0)
		res = read_choice(r, m, "service.cilium.io/lb-algorithm", "random", "maglev",
				  &choice);
	s->algorithm = choice; /* CLITE_LB_RANDOM, CLITE_LB_MAGLEV */
	if (res >= 0)
		res = read_choice(r, m, "service.cilium.io/forwarding-mode", "snat", "dsr",
				  &choice);
	s->forwarding = (enum front_forwarding)choice;
	if (res >= 0)
		res = read_choice(r, m, "service.cilium.io/src-ranges-policy", "allow", "deny",
				  &choice);
	s->ranges_deny = choice == 2;
	return res;
}

/* ---- Service: ports --------------------------------------------------------------- */

/* What the back ends' port is, their slices say; a name of a port is theirs, too. */
static int check_target(const struct reader *r, const struct ynode *n, const struct path *up)
{
	struct path p = { .up = up, .key = "targetPort" };
	uint16_t port;

	if (!n ||
	    (n->kind == YNODE_SCALAR && n->type == YTYPE_STRING && document_is_port_name(n->text)))
		return 0;
	return document_port(r, n, &p, &port);
}

static int read_service_port(const struct reader *r, struct service_document *d,
			     const struct ynode *n, const struct path *p, struct service_port *ret)
{
	enum { NAME, PROTOCOL, APP_PROTOCOL, PORT, TARGET, NODE, COUNT };
	static const struct field fields[COUNT] = {
		[NAME] = { .name = "name" },
		[PROTOCOL] = { .name = "protocol" },
		[APP_PROTOCOL] = { .name = "appProtocol" }, /* for those who look inside */
		[PORT] = { .name = "port" },
		[TARGET] = { .name = "targetPort" },
		[NODE] = { .name = "nodePort" },
	};
	struct path name = { .up = p, .key = "name" }, port = { .up = p, .key = "port" };
	const struct ynode *got[COUNT];
	int res = service_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[PORT])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs a port");
	ret->line = n->line;
	res = service_port_name(r, d, got[NAME], &name, &ret->name);
	if (res >= 0)
		res = service_protocol(r, got[PROTOCOL], p, &ret->protocol);
	if (res >= 0)
		res = document_port(r, got[PORT], &port, &ret->port);
	if (res >= 0)
		res = check_target(r, got[TARGET], p);
	if (res >= 0)
		res = read_port_or_none(r, got[NODE], p, "nodePort", &ret->node_port);
	return res;
}

static int cmp_ports(const void *a, const void *b)
{
	const struct service_port *x = *(struct service_port *const *)a;
	const struct service_port *y = *(struct service_port *const *)b;
	int r = strcmp(x->name, y->name);

	return r ? r : (x > y) - (x < y);
}

/* Slices are matched by the names of ports: there may be no two of one name. */
static int check_port_names(const struct reader *r, const struct path *p, struct service_object *s)
{
	_cleanup_free_ struct service_port **sorted = calloc(s->nports + 1, sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < s->nports; i++)
		sorted[i] = &s->ports[i];
	qsort(sorted, s->nports, sizeof(*sorted), cmp_ports);
	for (size_t i = 1; i < s->nports; i++) {
		const struct service_port *a = sorted[i - 1], *b = sorted[i];
		struct path here = { .up = p, .index = (size_t)(b - s->ports) };

		if (strcmp(a->name, b->name) != 0)
			continue;
		if (!*b->name)
			return doc_fail(r, b->line, &here, CLITE_EDOCUMENT,
					"needs a name, as that in line %u: there are several ports",
					a->line);
		return doc_fail(r, b->line, &here, CLITE_EDOCUMENT,
				"the name '%s' is that of the port in line %u", b->name, a->line);
	}
	return 0;
}

static int read_service_ports(const struct reader *r, struct service_document *d,
			      const struct ynode *list, const struct path *p,
			      struct service_object *s)
{
	int res = doc_list(r, list, p);

	if (res < 0)
		return res;
	s->ports = arena_alloc(&d->objects->arena, list->n, sizeof(*s->ports));
	if (!s->ports)
		return -ENOMEM;
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = p, .index = s->nports };

		res = read_service_port(r, d, n, &here, &s->ports[s->nports]);
		if (res < 0)
			return res;
		s->nports++;
	}
	return check_port_names(r, p, s);
}

/* ---- Service: spec ---------------------------------------------------------------- */

enum spec_field {
	S_TYPE,
	S_PORTS,
	S_CLUSTER_IP,
	S_CLUSTER_IPS,
	S_EXTERNAL_IPS,
	S_BALANCER_IP,
	S_RANGES,
	S_AFFINITY,
	S_AFFINITY_CONFIG,
	S_EXTERNAL_POLICY,
	S_INTERNAL_POLICY,
	S_DISTRIBUTION,
	S_HEALTH_PORT,
	S_NOT_READY,
	S_FAMILIES,
	S_SELECTOR,
	S_EXTERNAL_NAME,
	S_FAMILY_POLICY,
	S_BALANCER_CLASS,
	S_ALLOCATE,
	S_COUNT,
};

static const struct field spec_fields[S_COUNT] = {
	[S_TYPE] = { .name = "type" },
	[S_PORTS] = { .name = "ports" },
	[S_CLUSTER_IP] = { .name = "clusterIP" },
	[S_CLUSTER_IPS] = { .name = "clusterIPs" },
	[S_EXTERNAL_IPS] = { .name = "externalIPs" },
	[S_BALANCER_IP] = { .name = "loadBalancerIP" },
	[S_RANGES] = { .name = "loadBalancerSourceRanges" },
	[S_AFFINITY] = { .name = "sessionAffinity" },
	[S_AFFINITY_CONFIG] = { .name = "sessionAffinityConfig" },
	[S_EXTERNAL_POLICY] = { .name = "externalTrafficPolicy" },
	[S_INTERNAL_POLICY] = { .name = "internalTrafficPolicy" },
	[S_DISTRIBUTION] = { .name = "trafficDistribution" },
	[S_HEALTH_PORT] = { .name = "healthCheckNodePort" },
	[S_NOT_READY] = { .name = "publishNotReadyAddresses" },
	[S_FAMILIES] = { .name = "ipFamilies" },
	/* These tell others what to do: who makes slices, addresses, ports. */
	[S_SELECTOR] = { .name = "selector" },
	[S_EXTERNAL_NAME] = { .name = "externalName" },
	[S_FAMILY_POLICY] = { .name = "ipFamilyPolicy" },
	[S_BALANCER_CLASS] = { .name = "loadBalancerClass" },
	[S_ALLOCATE] = { .name = "allocateLoadBalancerNodePorts" },
};

enum service_type { TYPE_CLUSTER_IP, TYPE_NODE_PORT, TYPE_LOAD_BALANCER, TYPE_EXTERNAL_NAME };

static int read_policy(const struct reader *r, const struct ynode *n, const struct path *up,
		       const char *key, bool *ret_local)
{
	static const char *const words[] = { "Cluster", "Local" };
	struct path p = { .up = up, .key = key };
	unsigned int v = 0;
	int res = service_word(r, n, &p, words, 2, "is no policy: Cluster and Local are", &v);

	*ret_local = v == 1;
	return res;
}

static int read_timeout(const struct reader *r, const struct ynode *config, const struct path *up,
			unsigned int *ret)
{
	static const struct field outer[] = { { .name = "clientIP" } };
	static const struct field inner[] = { { .name = "timeoutSeconds" } };
	struct path p = { .up = up, .key = "sessionAffinityConfig" };
	struct path client = { .up = &p, .key = "clientIP" };
	struct path timeout = { .up = &client, .key = "timeoutSeconds" };
	const struct ynode *got = config;
	int res = got ? service_fields(r, got, &p, outer, 1, &got) : 0;

	if (res >= 0 && got)
		res = service_fields(r, got, &client, inner, 1, &got);
	if (res < 0 || !got)
		return res;
	res = doc_number(r, got, &timeout, AFFINITY_MAX, ret);
	if (res >= 0 && !*ret)
		return doc_fail_value(r, got, &timeout, CLITE_EDOCUMENT,
				      "is no time: 1 to 86400 seconds are");
	return res;
}

static int read_affinity(const struct reader *r, const struct ynode *const *got,
			 const struct path *up, struct service_object *s)
{
	static const char *const words[] = { "None", "ClientIP" };
	struct path p = { .up = up, .key = "sessionAffinity" };
	unsigned int v = 0, seconds = AFFINITY_DEFAULT;
	int res = service_word(r, got[S_AFFINITY], &p, words, 2,
			       "is no affinity: None and ClientIP are", &v);

	if (res >= 0)
		res = read_timeout(r, got[S_AFFINITY_CONFIG], up, &seconds);
	s->affinity = v == 1 ? seconds : 0;
	return res;
}

static int read_distribution(const struct reader *r, struct service_document *d,
			     const struct ynode *n, const struct path *up, struct service_object *s)
{
	struct path p = { .up = up, .key = "trafficDistribution" };
	const char *v = "";
	int res = n ? doc_string(r, n, &p, &v) : 0;

	if (res < 0 || !*v)
		return res;
	if (strcmp(v, "PreferClose") == 0 || strcmp(v, "PreferSameZone") == 0) {
		s->prefer_zone = true;
		s->hints_only = false;
	} else if (strcmp(v, "PreferSameNode") == 0) {
		s->prefer_node = true;
	} else {
		/* Kubernetes leaves room for others, and takes them for none */
		return service_warn(
			r, d, n->line, &p,
			"is not known (PreferClose, PreferSameZone, PreferSameNode are): "
			"all back ends are used alike");
	}
	return 0;
}

static int read_families(const struct reader *r, const struct ynode *list, const struct path *up,
			 struct service_object *s)
{
	static const char *const words[] = { "", "IPv4", "IPv6" };
	struct path p = { .up = up, .key = "ipFamilies" };
	size_t i = 0;
	int res = list ? doc_list(r, list, &p) : 0;

	for (const struct ynode *n = list ? list->first : NULL; res >= 0 && n; n = n->next) {
		struct path here = { .up = &p, .index = i++ };
		unsigned int v = 0;

		res = service_word(r, n, &here, words, 3, "is no family: IPv4 and IPv6 are", &v);
		s->ipv4 |= v == 1;
		s->ipv6 |= v == 2;
	}
	return res;
}

/* Where it has no front ends: *ret says why. */
static int read_cluster_ips(const struct reader *r, struct service_document *d,
			    const struct ynode *const *got, const struct path *up,
			    struct service_object *s, const char **ret_without)
{
	const struct ynode *one = got[S_CLUSTER_IP], *list = got[S_CLUSTER_IPS];
	struct path one_path = { .up = up, .key = "clusterIP" };
	struct path list_path = { .up = up, .key = "clusterIPs" };

	if (is_none(one) || (list && list->kind == YNODE_LIST && is_none(list->first))) {
		*ret_without = "is headless: it has no front ends";
		return 0;
	}
	if (list && (list->kind != YNODE_LIST || (list->n && !service_is_empty(list->first))))
		return service_addresses(r, d, list, &list_path, service_address, &s->cluster);
	return service_one_address(r, d, one, &one_path, &s->cluster);
}

static int read_spec_addresses(const struct reader *r, struct service_document *d,
			       const struct ynode *const *got, const struct path *up,
			       struct service_object *s)
{
	struct path external = { .up = up, .key = "externalIPs" };
	struct path ranges = { .up = up, .key = "loadBalancerSourceRanges" };
	int res = 0;

	if (got[S_EXTERNAL_IPS])
		res = service_addresses(r, d, got[S_EXTERNAL_IPS], &external, service_address,
					&s->external);
	if (res >= 0 && got[S_RANGES])
		res = service_addresses(r, d, got[S_RANGES], &ranges, read_range, &s->ranges);
	return res;
}

/* What of the spec is about how, not where. */
static int read_behaviour(const struct reader *r, struct service_document *d,
			  const struct ynode *const *got, const struct path *p,
			  struct service_object *s)
{
	struct path not_ready = { .up = p, .key = "publishNotReadyAddresses" };
	int res = read_affinity(r, got, p, s);

	if (res >= 0)
		res = read_policy(r, got[S_EXTERNAL_POLICY], p, "externalTrafficPolicy",
				  &s->local_ext);
	if (res >= 0)
		res = read_policy(r, got[S_INTERNAL_POLICY], p, "internalTrafficPolicy",
				  &s->local_int);
	if (res >= 0)
		res = read_distribution(r, d, got[S_DISTRIBUTION], p, s);
	if (res >= 0)
		res = read_port_or_none(r, got[S_HEALTH_PORT], p, "healthCheckNodePort",
					&s->health_check_port);
	if (res >= 0 && got[S_NOT_READY])
		res = doc_bool(r, got[S_NOT_READY], &not_ready, &s->publish_not_ready);
	return res >= 0 ? read_families(r, got[S_FAMILIES], p, s) : res;
}

static int read_type(const struct reader *r, const struct ynode *n, const struct path *up,
		     struct service_object *s, enum service_type *ret)
{
	static const char *const words[] = { "ClusterIP", "NodePort", "LoadBalancer",
					     "ExternalName" };
	struct path p = { .up = up, .key = "type" };
	unsigned int v = TYPE_CLUSTER_IP;
	int res = service_word(r, n, &p, words, ARRAY_SIZE(words),
			       "is no type: ClusterIP, NodePort, LoadBalancer and ExternalName are",
			       &v);

	*ret = (enum service_type)v;
	s->balanced = v == TYPE_LOAD_BALANCER;
	s->node_ports = v == TYPE_NODE_PORT || v == TYPE_LOAD_BALANCER;
	return res;
}

static int read_service_spec(const struct reader *r, struct service_document *d,
			     const struct ynode *n, const struct path *p, struct service_object *s,
			     const char **ret_without)
{
	struct path ports = { .up = p, .key = "ports" };
	struct path balancer = { .up = p, .key = "loadBalancerIP" };
	const struct ynode *got[S_COUNT];
	enum service_type type = TYPE_CLUSTER_IP;
	int res = service_fields(r, n, p, spec_fields, S_COUNT, got);

	if (res >= 0)
		res = read_type(r, got[S_TYPE], p, s, &type);
	if (res >= 0 && got[S_PORTS])
		res = read_service_ports(r, d, got[S_PORTS], &ports, s);
	if (res >= 0)
		res = read_behaviour(r, d, got, p, s);
	if (res >= 0)
		res = read_spec_addresses(r, d, got, p, s);
	if (res < 0)
		return res;
	if (type == TYPE_EXTERNAL_NAME) {
		*ret_without = "is of type ExternalName: it has no front ends";
		return 0;
	}
	res = read_cluster_ips(r, d, got, p, s, ret_without);
	if (res >= 0 && type == TYPE_LOAD_BALANCER && !s->balancer.n)
		res = service_one_address(r, d, got[S_BALANCER_IP], &balancer, &s->balancer);
	if (res >= 0 && !s->nports && !*ret_without)
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs ports");
	return res;
}

/* ---- Service: status -------------------------------------------------------------- */

/* An address that the load balancer hands on to others as a proxy is no front end. */
static bool is_for_us(const struct ynode *ingress)
{
	const struct ynode *ip = service_peek(ingress, "ip"),
			   *mode = service_peek(ingress, "ipMode");

	return !service_is_empty(ip) && (!mode || mode->kind != YNODE_SCALAR || !*mode->text ||
					 strcmp(mode->text, "VIP") == 0);
}

/* Addresses that a load balancer gave; *ret_given if it gave any, also ones that are
 * not for us. */
static int read_status(const struct reader *r, struct service_document *d,
		       const struct ynode *status, const struct path *up, struct service_object *s,
		       bool *ret_given)
{
	struct path p = { .up = up, .key = "status" };
	struct path balancer = { .up = &p, .key = "loadBalancer" };
	struct path list_path = { .up = &balancer, .key = "ingress" };
	const struct ynode *list = service_peek(service_peek(status, "loadBalancer"), "ingress");
	size_t i = 0;
	int res = list ? doc_list(r, list, &list_path) : 0;

	if (res < 0 || !list)
		return res;
	*ret_given = list->n > 0;
	s->balancer.v = arena_alloc(&d->objects->arena, list->n, sizeof(*s->balancer.v));
	if (!s->balancer.v)
		return -ENOMEM;
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = &list_path, .index = i++ };
		struct path ip = { .up = &here, .key = "ip" };

		if (!is_for_us(n))
			continue;
		res = service_address(r, service_peek(n, "ip"), &ip, &s->balancer.v[s->balancer.n]);
		if (res < 0)
			return res;
		s->balancer.n++;
	}
	return 0;
}

/* ---- Service ---------------------------------------------------------------------- */

/* Labels that keep it away from us whatever its spec says. */
static const char *labelled_away(const struct service_meta *m)
{
	if (service_peek(m->labels, PROXY_NAME_LABEL))
		return "is for another proxy, by its label " PROXY_NAME_LABEL;
	if (service_peek(m->labels, HEADLESS_LABEL))
		return "is headless, by its label: it has no front ends";
	return NULL;
}

static int read_service_parts(const struct reader *r, struct service_document *d,
			      const struct ynode *spec, const struct ynode *status,
			      const struct path *p, const struct service_meta *m,
			      struct service_object *s)
{
	struct path spec_path = { .up = p, .key = "spec" };
	const char *without = NULL, *away = labelled_away(m);
	_cleanup_buf_ struct buf text = {};
	bool given = false;
	int res = read_labels(r, m, &s->labels);

	if (res >= 0)
		res = read_annotations(r, m, s);
	if (res >= 0)
		res = read_service_spec(r, d, spec, &spec_path, s, &without);
	if (res >= 0 && s->balanced) {
		struct address_list asked = s->balancer;

		s->balancer = (struct address_list){};
		res = read_status(r, d, status, p, s, &given);
		if (!given) /* nobody has answered: what was asked for */
			s->balancer = asked;
	}
	if (res < 0 || !(without || away))
		return res;
	s->nports = 0; /* without ports there are no front ends */
	buf_printf(&text, "the service '%s' %s", m->full, away ? away : without);
	return text.failed ? -ENOMEM : service_warn(r, d, m->line, p, text.data);
}

int service_read(const struct reader *r, struct service_document *d, const struct ynode *root,
		 const struct path *p)
{
	enum { API_VERSION, KIND, METADATA, SPEC, STATUS, COUNT };
	static const struct field fields[COUNT] = {
		[API_VERSION] = { .name = "apiVersion" }, [KIND] = { .name = "kind" },
		[METADATA] = { .name = "metadata" },	  [SPEC] = { .name = "spec" },
		[STATUS] = { .name = "status" },
	};
	struct service_objects *o = d->objects;
	const struct ynode *got[COUNT];
	struct service_object *s;
	struct service_meta m = {};
	int res = service_fields(r, root, p, fields, COUNT, got);

	if (res < 0)
		return res;
	res = service_named_meta(r, d, root, got[METADATA], p, &m);
	if (res < 0)
		return res;
	if (!got[SPEC])
		return doc_fail(r, root->line, p, CLITE_EDOCUMENT, "needs a spec");
	if (!array_grow(&o->services, &o->services_cap, o->nservices))
		return -ENOMEM;
	s = &o->services[o->nservices++];
	*s = (struct service_object){
		.namespace = m.namespace, .name = m.name, .full = m.full, .line = m.line
	};
	return read_service_parts(r, d, got[SPEC], got[STATUS], p, &m, s);
}
