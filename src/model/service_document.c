/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/service_document.h"

#include <cilium-lite/service.h>
#include <netinet/in.h>
#include <stdio.h>

#include "model/document_k8s.h"
#include "model/document_object.h"
#include "model/service_object.h"

#define SERVICE_NAME_LABEL "kubernetes.io/service-name"
#define PROXY_NAME_LABEL "service.kubernetes.io/service-proxy-name"
#define HEADLESS_LABEL "service.kubernetes.io/headless"
#define AFFINITY_DEFAULT 10800
#define AFFINITY_MAX 86400
#define LABEL_MAX 63

/* ---- memory ---------------------------------------------------------------------- */

struct arena_block {
	struct arena_block *next;
	_Alignas(max_align_t) char data[];
};

void *arena_alloc(struct arena *a, size_t n, size_t size)
{
	struct arena_block *b;
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) ||
	    __builtin_add_overflow(bytes, sizeof(*b), &bytes))
		return NULL;
	b = calloc(1, bytes);
	if (!b)
		return NULL;
	b->next = a->blocks;
	a->blocks = b;
	return b->data;
}

char *arena_strdup(struct arena *a, const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy = arena_alloc(a, n, 1);

	return copy ? memcpy(copy, s, n) : NULL;
}

static void arena_clear(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *next = a->blocks->next;

		free(a->blocks);
		a->blocks = next;
	}
}

struct service_document *service_document_free(struct service_document *d)
{
	if (!d)
		return NULL;
	if (d->objects) {
		for (size_t i = 0; i < d->objects->nservices; i++)
			labels_clear(&d->objects->services[i].labels);
		arena_clear(&d->objects->arena);
		free(d->objects->services);
		free(d->objects->slices);
		free(d->objects);
	}
	for (size_t i = 0; i < d->nwarnings; i++)
		free(d->warnings[i]);
	free(d->warnings);
	free(d->fronts);
	free(d);
	return NULL;
}

void service_document_freep(struct service_document **d)
{
	service_document_free(*d);
}

/* ---- fields ---------------------------------------------------------------------- */

/* As doc_fields(), and what is nothing ("endpoints: null", as kubectl writes it) is
 * not there. */
static int get_fields(const struct reader *r, const struct ynode *map, const struct path *p,
		      const struct field *fields, size_t nfields, const struct ynode **got)
{
	int res = doc_fields(r, map, p, fields, nfields, got);

	for (size_t i = 0; res >= 0 && i < nfields; i++)
		if (got[i] && got[i]->kind == YNODE_SCALAR && got[i]->type == YTYPE_NULL)
			got[i] = NULL;
	return res;
}

/* A field of a map that Kubernetes fills in, and where others may stand. */
static const struct ynode *peek(const struct ynode *map, const char *key)
{
	const struct ynode *n = map && map->kind == YNODE_MAP ? object_find(map, key) : NULL;

	return n && n->kind == YNODE_SCALAR && n->type == YTYPE_NULL ? NULL : n;
}

static int warn(const struct reader *r, struct service_document *d, uint32_t line,
		const struct path *p, const char *text)
{
	struct errtext said = {};
	struct reader to_us = { .filename = r->filename, .err = &said };

	if (!array_grow(&d->warnings, &d->objects->warnings_cap, d->nwarnings))
		return -ENOMEM;
	if (doc_fail(&to_us, line, p, 0, "%s", text) < 0 || !said.text) {
		err_clear(&said);
		return -ENOMEM;
	}
	d->warnings[d->nwarnings++] = said.text;
	return 0;
}

static int keep_string(const struct reader *r, struct service_document *d, const struct ynode *n,
		       const struct path *p, const char **ret)
{
	const char *s;
	int res = doc_string(r, n, p, &s);

	if (res < 0)
		return res;
	*ret = arena_strdup(&d->objects->arena, s);
	return *ret ? 0 : -ENOMEM;
}

/* One of some words, by its index. Without a field, or with "": *ret stays. */
static int read_word(const struct reader *r, const struct ynode *n, const struct path *p,
		     const char *const *words, size_t nwords, const char *others, unsigned int *ret)
{
	const char *s;
	int res = n ? doc_string(r, n, p, &s) : 0;

	if (!n || res < 0 || !*s)
		return res;
	for (unsigned int i = 0; i < nwords; i++)
		if (strcmp(s, words[i]) == 0) {
			*ret = i;
			return 0;
		}
	return doc_fail_value(r, n, p, CLITE_EDOCUMENT, others);
}

/* The name of a port: *ret is "" without one. */
static int read_port_name(const struct reader *r, struct service_document *d, const struct ynode *n,
			  const struct path *p, const char **ret)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t len;
	int res = 0;

	*ret = "";
	if (n)
		res = keep_string(r, d, n, p, ret);
	if (res < 0)
		return res;
	len = strlen(*ret);
	if (len > LABEL_MAX || (*ret)[strspn(*ret, letters)])
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT,
				      "is no name of a port: at most 63 of a-z, 0-9 and '-'");
	return 0;
}

static int read_protocol(const struct reader *r, const struct ynode *n, const struct path *up,
			 uint8_t *ret)
{
	struct path p = { .up = up, .key = "protocol" };

	*ret = IPPROTO_TCP;
	return n ? document_protocol(r, n, &p, ret) : 0;
}

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

/* ---- addresses ------------------------------------------------------------------- */

static int read_address(const struct reader *r, const struct ynode *n, const struct path *p,
			struct prefix *ret)
{
	static const uint8_t nothing[sizeof(ret->ip)];
	const char *s;
	int res = doc_string(r, n, p, &s);

	if (res < 0)
		return res;
	if (addr_parse(s, ret) < 0)
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT, "is no IPv4 or IPv6 address");
	if (memcmp(ret->ip, nothing, sizeof(nothing)) == 0)
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT,
				      "is the address of nothing: no service and no back end "
				      "has it");
	return 0;
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

typedef int (*address_fn)(const struct reader *r, const struct ynode *n, const struct path *p,
			  struct prefix *ret);

/* Append a list of addresses or prefixes. */
static int read_addresses(const struct reader *r, struct service_document *d,
			  const struct ynode *list, const struct path *p, address_fn read,
			  struct address_list *ret)
{
	size_t i = 0;
	int res = doc_list(r, list, p);

	if (res < 0)
		return res;
	ret->v = arena_alloc(&d->objects->arena, list->n, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next) {
		struct path here = { .up = p, .index = i++ };

		res = read(r, n, &here, &ret->v[ret->n]);
		if (res >= 0)
			ret->n++;
	}
	return res;
}

static bool is_none(const struct ynode *n)
{
	return n && n->kind == YNODE_SCALAR && n->type == YTYPE_STRING &&
	       strcasecmp(n->text, "None") == 0;
}

static bool is_empty(const struct ynode *n)
{
	return !n || (n->kind == YNODE_SCALAR && n->type == YTYPE_STRING && !*n->text);
}

/* One address, as a list of one. */
static int read_single(const struct reader *r, struct service_document *d, const struct ynode *n,
		       const struct path *p, struct address_list *ret)
{
	int res;

	if (is_empty(n))
		return 0;
	ret->v = arena_alloc(&d->objects->arena, 1, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	res = read_address(r, n, p, ret->v);
	if (res >= 0)
		ret->n = 1;
	return res;
}

/* ---- metadata -------------------------------------------------------------------- */

struct meta {
	const char *namespace, *name, *full; /* of the arena; name: NULL if there is none */
	uint32_t line;
	const struct ynode *labels, *annotations; /* maps, or NULL */
	struct path path, labels_path, annotations_path;
};

static int read_full_name(const struct reader *r, struct service_document *d, const struct ynode *n,
			  const struct path *p, struct meta *m)
{
	_cleanup_buf_ struct buf full = {}, shown = {};
	const char *bad;
	int res = keep_string(r, d, n, p, &m->name);

	if (res < 0)
		return res;
	buf_printf(&full, "%s/%s", m->namespace, m->name);
	if (full.failed)
		return -ENOMEM;
	bad = *m->name ? object_bad_name(full.data) : "is empty";
	if (!bad && strchr(m->name, '/'))
		bad = "holds a slash: a namespace has its own field";
	if (bad) {
		buf_excerpt(&shown, *m->name ? full.data : "");
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "the name '%s' %s",
				shown.data ? shown.data : "", bad);
	}
	m->line = n->line;
	m->full = arena_strdup(&d->objects->arena, full.data);
	return m->full ? 0 : -ENOMEM;
}

static int check_map(const struct reader *r, const struct ynode **n, const struct path *p)
{
	if (*n && (*n)->kind == YNODE_SCALAR && (*n)->type == YTYPE_NULL)
		*n = NULL;
	return *n && (*n)->kind != YNODE_MAP ? doc_fail_type(r, *n, p, "a map") : 0;
}

/* m is used where it is: its paths point to each other. */
static int read_meta(const struct reader *r, struct service_document *d, const struct ynode *n,
		     const struct path *up, struct meta *m)
{
	struct path name = { .up = &m->path, .key = "name" };
	struct path namespace = { .up = &m->path, .key = "namespace" };
	const struct ynode *got[META_COUNT];
	const char *said = "default"; /* as in Kubernetes */
	int res;

	m->path = (struct path){ .up = up, .key = "metadata" };
	m->labels_path = (struct path){ .up = &m->path, .key = "labels" };
	m->annotations_path = (struct path){ .up = &m->path, .key = "annotations" };
	res = object_metadata(r, n, &m->path, got);
	if (res >= 0 && got[META_NAMESPACE])
		res = object_namespace(r, got[META_NAMESPACE], &namespace, &said);
	if (res < 0)
		return res;
	m->line = n->line;
	m->labels = got[META_LABELS];
	m->annotations = got[META_ANNOTATIONS];
	m->namespace = arena_strdup(&d->objects->arena, said);
	if (!m->namespace)
		return -ENOMEM;
	if (got[META_NAME])
		res = read_full_name(r, d, got[META_NAME], &name, m);
	if (res >= 0)
		res = check_map(r, &m->labels, &m->labels_path);
	if (res >= 0)
		res = check_map(r, &m->annotations, &m->annotations_path);
	return res;
}

/* A label or an annotation; *ret is NULL if it is not there. */
static int meta_value(const struct reader *r, const struct ynode *map, const struct path *up,
		      const char *key, const char **ret)
{
	const struct ynode *n = peek(map, key);
	struct path p = { .up = up, .key = key };

	*ret = NULL;
	return n ? doc_string(r, n, &p, ret) : 0;
}

static void free_texts(char ***texts)
{
	for (char **t = *texts; t && *t; t++)
		free(*t);
	free(*texts);
}

static int read_labels(const struct reader *r, const struct meta *m, struct labels *ret)
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
static int read_choice(const struct reader *r, const struct meta *m, const char *key,
		       const char *first, const char *second, unsigned int *ret)
{
	struct path p = { .up = &m->annotations_path, .key = key };
	_cleanup_buf_ struct buf text = {};
	const char *s;
	int res = meta_value(r, m->annotations, &m->annotations_path, key, &s);

	*ret = 0;
	if (res < 0 || !s)
		return res;
	*ret = strcasecmp(s, first) == 0 ? 1 : strcasecmp(s, second) == 0 ? 2 : 0;
	if (*ret)
		return 0;
	buf_printf(&text, "is neither '%s' nor '%s'", first, second);
	return text.failed ?
		       -ENOMEM :
		       doc_fail_value(r, peek(m->annotations, key), &p, CLITE_EDOCUMENT, text.data);
}

/* ---- Service: annotations -------------------------------------------------------- */

/* "NodePort,LoadBalancer": front ends of which kinds there are; of external IPs
 * always. */
static int read_exposure(const struct reader *r, const struct meta *m, struct service_object *s)
{
	static const char key[] = "service.cilium.io/type";
	static const enum front_kind kinds[] = { FRONT_CLUSTER_IP, FRONT_NODE_PORT,
						 FRONT_LOAD_BALANCER };
	struct path p = { .up = &m->annotations_path, .key = key };
	const char *said;
	int res = meta_value(r, m->annotations, &m->annotations_path, key, &said);

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
			return doc_fail_value(r, peek(m->annotations, key), &p, CLITE_EDOCUMENT,
					      "names no kinds of front ends: ClusterIP, NodePort "
					      "and LoadBalancer are, with commas between");
		s->shows[kinds[i]] = true;
		if (!said[n])
			return 0;
		said += n + 1;
	}
}

/* The older annotation goes before the newer one. */
static int read_topology(const struct reader *r, const struct meta *m, struct service_object *s)
{
	const char *mode;
	int res = meta_value(r, m->annotations, &m->annotations_path,
			     "service.kubernetes.io/topology-aware-hints", &mode);

	if (res >= 0 && !mode)
		res = meta_value(r, m->annotations, &m->annotations_path,
				 "service.kubernetes.io/topology-mode", &mode);
	if (res >= 0 && mode && *mode && strcasecmp(mode, "disabled") != 0)
		s->prefer_zone = s->hints_only = true;
	return res;
}

static int read_annotations(const struct reader *r, const struct meta *m, struct service_object *s)
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
	int res = get_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[PORT])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs a port");
	ret->line = n->line;
	res = read_port_name(r, d, got[NAME], &name, &ret->name);
	if (res >= 0)
		res = read_protocol(r, got[PROTOCOL], p, &ret->protocol);
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
	int res = read_word(r, n, &p, words, 2, "is no policy: Cluster and Local are", &v);

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
	int res = got ? get_fields(r, got, &p, outer, 1, &got) : 0;

	if (res >= 0 && got)
		res = get_fields(r, got, &client, inner, 1, &got);
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
	int res = read_word(r, got[S_AFFINITY], &p, words, 2,
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
		return warn(r, d, n->line, &p,
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

		res = read_word(r, n, &here, words, 3, "is no family: IPv4 and IPv6 are", &v);
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
	if (list && (list->kind != YNODE_LIST || (list->n && !is_empty(list->first))))
		return read_addresses(r, d, list, &list_path, read_address, &s->cluster);
	return read_single(r, d, one, &one_path, &s->cluster);
}

static int read_spec_addresses(const struct reader *r, struct service_document *d,
			       const struct ynode *const *got, const struct path *up,
			       struct service_object *s)
{
	struct path external = { .up = up, .key = "externalIPs" };
	struct path ranges = { .up = up, .key = "loadBalancerSourceRanges" };
	int res = 0;

	if (got[S_EXTERNAL_IPS])
		res = read_addresses(r, d, got[S_EXTERNAL_IPS], &external, read_address,
				     &s->external);
	if (res >= 0 && got[S_RANGES])
		res = read_addresses(r, d, got[S_RANGES], &ranges, read_range, &s->ranges);
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
	int res = read_word(r, n, &p, words, ARRAY_SIZE(words),
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
	int res = get_fields(r, n, p, spec_fields, S_COUNT, got);

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
		res = read_single(r, d, got[S_BALANCER_IP], &balancer, &s->balancer);
	if (res >= 0 && !s->nports && !*ret_without)
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs ports");
	return res;
}

/* ---- Service: status -------------------------------------------------------------- */

/* An address that the load balancer hands on to others as a proxy is no front end. */
static bool is_for_us(const struct ynode *ingress)
{
	const struct ynode *ip = peek(ingress, "ip"), *mode = peek(ingress, "ipMode");

	return !is_empty(ip) && (!mode || mode->kind != YNODE_SCALAR || !*mode->text ||
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
	const struct ynode *list = peek(peek(status, "loadBalancer"), "ingress");
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
		res = read_address(r, peek(n, "ip"), &ip, &s->balancer.v[s->balancer.n]);
		if (res < 0)
			return res;
		s->balancer.n++;
	}
	return 0;
}

/* ---- Service ---------------------------------------------------------------------- */

/* Labels that keep it away from us whatever its spec says. */
static const char *labelled_away(const struct meta *m)
{
	if (peek(m->labels, PROXY_NAME_LABEL))
		return "is for another proxy, by its label " PROXY_NAME_LABEL;
	if (peek(m->labels, HEADLESS_LABEL))
		return "is headless, by its label: it has no front ends";
	return NULL;
}

static int read_service_parts(const struct reader *r, struct service_document *d,
			      const struct ynode *spec, const struct ynode *status,
			      const struct path *p, const struct meta *m, struct service_object *s)
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
	return text.failed ? -ENOMEM : warn(r, d, m->line, p, text.data);
}

static int read_service(const struct reader *r, struct service_document *d,
			const struct ynode *root, const struct path *p)
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
	struct meta m = {};
	int res = get_fields(r, root, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[METADATA])
		return doc_fail(r, root->line, p, CLITE_EDOCUMENT, "needs metadata with a name");
	res = read_meta(r, d, got[METADATA], p, &m);
	if (res < 0)
		return res;
	if (!m.name)
		return doc_fail(r, m.line, &m.path, CLITE_EDOCUMENT, "needs a name");
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

/* ---- EndpointSlice ---------------------------------------------------------------- */

/* [{name: a}, {name: b}] as {"a", "b", NULL}; NULL if it is empty. */
static int read_hints(const struct reader *r, struct service_document *d, const struct ynode *list,
		      const struct path *p, const char *const **ret)
{
	static const struct field fields[] = { { .name = "name" } };
	const char **v;
	size_t i = 0;
	int res = doc_list(r, list, p);

	if (res < 0 || !list->n)
		return res;
	v = arena_alloc(&d->objects->arena, list->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	*ret = v;
	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next, i++) {
		struct path here = { .up = p, .index = i };
		struct path name = { .up = &here, .key = "name" };
		const struct ynode *got;

		res = get_fields(r, n, &here, fields, 1, &got);
		if (res >= 0 && !got)
			return doc_fail(r, n->line, &here, CLITE_EDOCUMENT, "needs a name");
		if (res >= 0)
			res = keep_string(r, d, got, &name, &v[i]);
	}
	return res;
}

static int read_all_hints(const struct reader *r, struct service_document *d, const struct ynode *n,
			  const struct path *up, struct slice_endpoint *e)
{
	static const struct field fields[] = { { .name = "forZones" }, { .name = "forNodes" } };
	struct path p = { .up = up, .key = "hints" };
	struct path zones = { .up = &p, .key = "forZones" };
	struct path nodes = { .up = &p, .key = "forNodes" };
	const struct ynode *got[2] = {};
	int res = n ? get_fields(r, n, &p, fields, 2, got) : 0;

	if (res >= 0 && got[0])
		res = read_hints(r, d, got[0], &zones, &e->zones);
	if (res >= 0 && got[1])
		res = read_hints(r, d, got[1], &nodes, &e->nodes);
	return res;
}

/* What is not said: it is ready, serves if it is ready, and does not end. */
static int read_conditions(const struct reader *r, const struct ynode *n, const struct path *up,
			   enum readiness *ret)
{
	enum { READY, SERVING, TERMINATING, COUNT };
	static const struct field fields[COUNT] = {
		[READY] = { .name = "ready" },
		[SERVING] = { .name = "serving" },
		[TERMINATING] = { .name = "terminating" },
	};
	struct path p = { .up = up, .key = "conditions" };
	const struct ynode *got[COUNT] = {};
	bool is[COUNT] = { [READY] = true };
	int res = n ? get_fields(r, n, &p, fields, COUNT, got) : 0;

	for (size_t i = 0; res >= 0 && i < COUNT; i++) {
		struct path here = { .up = &p, .key = fields[i].name };

		if (i == SERVING)
			is[SERVING] = is[READY];
		if (got[i])
			res = doc_bool(r, got[i], &here, &is[i]);
	}
	if (is[READY])
		*ret = ENDPOINT_READY;
	else
		*ret = is[SERVING] && is[TERMINATING] ? ENDPOINT_DRAINING : ENDPOINT_NOT_READY;
	return res;
}

/* Where it is: its own field, else that of the older topology. */
static int read_place(const struct reader *r, struct service_document *d, const struct ynode *n,
		      const struct ynode *topology, const struct path *up, const char *key,
		      const char *topology_key, const char **ret)
{
	struct path p = { .up = up, .key = n ? key : "deprecatedTopology" };

	if (!n)
		n = peek(topology, topology_key);
	return n ? keep_string(r, d, n, &p, ret) : 0;
}

static int check_family(const struct reader *r, const struct ynode *list, const struct path *p,
			const struct address_list *got, uint8_t family)
{
	const struct ynode *n = list->first;

	for (size_t i = 0; i < got->n; i++, n = n->next) {
		struct path here = { .up = p, .index = i };

		if (got->v[i].family != family)
			return doc_fail_value(r, n, &here, CLITE_EDOCUMENT,
					      family == 4 ?
						      "is no IPv4 address, as addressType says" :
						      "is no IPv6 address, as addressType says");
	}
	return 0;
}

static int read_endpoint(const struct reader *r, struct service_document *d, const struct ynode *n,
			 const struct path *p, uint8_t family, struct slice_endpoint *e)
{
	enum { ADDRESSES, CONDITIONS, HOSTNAME, TARGET, TOPOLOGY, NODE, ZONE, HINTS, COUNT };
	static const struct field fields[COUNT] = {
		[ADDRESSES] = { .name = "addresses" },
		[CONDITIONS] = { .name = "conditions" },
		[HOSTNAME] = { .name = "hostname" },
		[TARGET] = { .name = "targetRef" },
		[TOPOLOGY] = { .name = "deprecatedTopology" },
		[NODE] = { .name = "nodeName" },
		[ZONE] = { .name = "zone" },
		[HINTS] = { .name = "hints" },
	};
	struct path addresses = { .up = p, .key = "addresses" };
	const struct ynode *got[COUNT];
	int res = get_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[ADDRESSES])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs addresses");
	res = read_addresses(r, d, got[ADDRESSES], &addresses, read_address, &e->addresses);
	if (res >= 0)
		res = check_family(r, got[ADDRESSES], &addresses, &e->addresses, family);
	if (res >= 0)
		res = read_conditions(r, got[CONDITIONS], p, &e->readiness);
	if (res >= 0)
		res = read_place(r, d, got[NODE], got[TOPOLOGY], p, "nodeName",
				 "kubernetes.io/hostname", &e->node);
	if (res >= 0)
		res = read_place(r, d, got[ZONE], got[TOPOLOGY], p, "zone",
				 "topology.kubernetes.io/zone", &e->zone);
	return res >= 0 ? read_all_hints(r, d, got[HINTS], p, e) : res;
}

static int read_endpoints(const struct reader *r, struct service_document *d,
			  const struct ynode *list, const struct path *up, uint8_t family,
			  struct slice_object *s)
{
	struct path p = { .up = up, .key = "endpoints" };
	int res = doc_list(r, list, &p);

	if (res < 0)
		return res;
	s->endpoints = arena_alloc(&d->objects->arena, list->n, sizeof(*s->endpoints));
	if (!s->endpoints)
		return -ENOMEM;
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = &p, .index = s->nendpoints };

		res = read_endpoint(r, d, n, &here, family, &s->endpoints[s->nendpoints]);
		if (res < 0)
			return res;
		s->nendpoints++;
	}
	return 0;
}

/* A port without a number is every port, to some; there is nothing to send to. */
static int read_slice_port(const struct reader *r, struct service_document *d,
			   const struct ynode *n, const struct path *p, struct slice_object *s)
{
	enum { NAME, PROTOCOL, PORT, APP_PROTOCOL, COUNT };
	static const struct field fields[COUNT] = {
		[NAME] = { .name = "name" },
		[PROTOCOL] = { .name = "protocol" },
		[PORT] = { .name = "port" },
		[APP_PROTOCOL] = { .name = "appProtocol" },
	};
	struct path name = { .up = p, .key = "name" }, port = { .up = p, .key = "port" };
	struct slice_port *to = &s->ports[s->nports];
	const struct ynode *got[COUNT];
	int res = get_fields(r, n, p, fields, COUNT, got);

	if (res >= 0)
		res = read_port_name(r, d, got[NAME], &name, &to->name);
	if (res >= 0)
		res = read_protocol(r, got[PROTOCOL], p, &to->protocol);
	if (res < 0)
		return res;
	if (!got[PORT])
		return warn(r, d, n->line, p, "is a port without a number: it is not used");
	res = document_port(r, got[PORT], &port, &to->port);
	if (res >= 0)
		s->nports++;
	return res;
}

static int read_slice_ports(const struct reader *r, struct service_document *d,
			    const struct ynode *list, const struct path *up, struct slice_object *s)
{
	struct path p = { .up = up, .key = "ports" };
	size_t i = 0;
	int res = doc_list(r, list, &p);

	if (res < 0)
		return res;
	s->ports = arena_alloc(&d->objects->arena, list->n, sizeof(*s->ports));
	if (!s->ports)
		return -ENOMEM;
	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next) {
		struct path here = { .up = &p, .index = i++ };

		res = read_slice_port(r, d, n, &here, s);
	}
	return res;
}

/* Cilium's weight of all back ends of a slice; 0 takes them out of service. */
static int read_weight(const struct reader *r, const struct meta *m, struct slice_object *s)
{
	static const char key[] = "service.cilium.io/weight";
	struct path p = { .up = &m->annotations_path, .key = key };
	const struct ynode *n = peek(m->annotations, key);
	unsigned int v = 1;
	int res = n ? doc_number(r, n, &p, UINT16_MAX, &v) : 0;

	s->maintenance = v == 0;
	s->weight = v ? (uint16_t)v : 1;
	return res;
}

enum slice_field { L_API_VERSION, L_KIND, L_METADATA, L_TYPE, L_ENDPOINTS, L_PORTS, L_COUNT };

static int read_slice_parts(const struct reader *r, struct service_document *d,
			    const struct ynode *const *got, const struct path *p,
			    const struct meta *m, uint8_t family, struct slice_object *s)
{
	int res = read_weight(r, m, s);

	s->family = family;
	if (res >= 0 && got[L_PORTS])
		res = read_slice_ports(r, d, got[L_PORTS], p, s);
	if (res >= 0 && got[L_ENDPOINTS])
		res = read_endpoints(r, d, got[L_ENDPOINTS], p, family, s);
	return res;
}

/* Append one; -ENOMEM. */
static struct slice_object *add_slice(struct service_document *d, const struct meta *m,
				      const char *service)
{
	struct service_objects *o = d->objects;

	if (!array_grow(&o->slices, &o->slices_cap, o->nslices))
		return NULL;
	o->slices[o->nslices] = (struct slice_object){ .namespace = m->namespace,
						       .service = service,
						       .name = m->full,
						       .line = m->line,
						       .weight = 1 };
	return &o->slices[o->nslices++];
}

/* *ret is 4 or 6; 0 of a slice that is not for us. */
static int read_address_type(const struct reader *r, struct service_document *d,
			     const struct ynode *root, const struct ynode *n, const struct path *up,
			     uint8_t *ret)
{
	static const char *const words[] = { "", "FQDN", "IPv4", "IPv6" };
	static const uint8_t families[] = { 0, 0, 4, 6 };
	struct path p = { .up = up, .key = "addressType" };
	unsigned int v = 0;
	int res = read_word(r, n, &p, words, ARRAY_SIZE(words),
			    "is no type of addresses: IPv4 and IPv6 are", &v);

	if (res < 0)
		return res;
	if (!v)
		return doc_fail(r, root->line, up, CLITE_EDOCUMENT,
				"needs 'addressType: IPv4' or 'addressType: IPv6'");
	*ret = families[v];
	return *ret ? 0 : warn(r, d, n->line, &p, "is FQDN: the slice is not used");
}

static int read_slice(const struct reader *r, struct service_document *d, const struct ynode *root,
		      const struct path *p)
{
	static const struct field fields[L_COUNT] = {
		[L_API_VERSION] = { .name = "apiVersion" }, [L_KIND] = { .name = "kind" },
		[L_METADATA] = { .name = "metadata" },	    [L_TYPE] = { .name = "addressType" },
		[L_ENDPOINTS] = { .name = "endpoints" },    [L_PORTS] = { .name = "ports" },
	};
	const struct ynode *got[L_COUNT];
	struct slice_object *s;
	const char *service;
	uint8_t family = 0;
	struct meta m = {};
	int res = get_fields(r, root, p, fields, L_COUNT, got);

	if (res < 0)
		return res;
	if (!got[L_METADATA])
		return doc_fail(r, root->line, p, CLITE_EDOCUMENT,
				"needs metadata with the label " SERVICE_NAME_LABEL);
	res = read_meta(r, d, got[L_METADATA], p, &m);
	if (res >= 0)
		res = meta_value(r, m.labels, &m.labels_path, SERVICE_NAME_LABEL, &service);
	if (res >= 0)
		res = read_address_type(r, d, root, got[L_TYPE], p, &family);
	if (res < 0 || !family)
		return res;
	if (!service || !*service)
		return warn(r, d, m.line, p,
			    "has no label " SERVICE_NAME_LABEL ": the slice is not used");
	service = arena_strdup(&d->objects->arena, service);
	s = service ? add_slice(d, &m, service) : NULL;
	return s ? read_slice_parts(r, d, got, p, &m, family, s) : -ENOMEM;
}

/* ---- Endpoints -------------------------------------------------------------------- */

static int read_old_address(const struct reader *r, struct service_document *d,
			    const struct ynode *n, const struct path *p, struct slice_endpoint *e)
{
	enum { IP, HOSTNAME, NODE, TARGET, COUNT };
	static const struct field fields[COUNT] = {
		[IP] = { .name = "ip" },
		[HOSTNAME] = { .name = "hostname" },
		[NODE] = { .name = "nodeName" },
		[TARGET] = { .name = "targetRef" },
	};
	struct path ip = { .up = p, .key = "ip" }, node = { .up = p, .key = "nodeName" };
	const struct ynode *got[COUNT];
	int res = get_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (is_empty(got[IP]))
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs an ip");
	res = read_single(r, d, got[IP], &ip, &e->addresses);
	return res >= 0 && got[NODE] ? keep_string(r, d, got[NODE], &node, &e->node) : res;
}

static int read_old_addresses(const struct reader *r, struct service_document *d,
			      const struct ynode *list, const struct path *p,
			      enum readiness readiness, struct slice_object *s)
{
	size_t i = 0;
	int res = 0;

	for (const struct ynode *n = list ? list->first : NULL; res >= 0 && n; n = n->next) {
		struct path here = { .up = p, .index = i++ };
		struct slice_endpoint *e = &s->endpoints[s->nendpoints++];

		e->readiness = readiness;
		res = read_old_address(r, d, n, &here, e);
	}
	return res;
}

static int read_subset(const struct reader *r, struct service_document *d, const struct ynode *n,
		       const struct path *p, struct slice_object *s)
{
	enum { ADDRESSES, NOT_READY, PORTS, COUNT };
	static const struct field fields[COUNT] = {
		[ADDRESSES] = { .name = "addresses" },
		[NOT_READY] = { .name = "notReadyAddresses" },
		[PORTS] = { .name = "ports" },
	};
	struct path ready = { .up = p, .key = "addresses" };
	struct path not_ready = { .up = p, .key = "notReadyAddresses" };
	const struct ynode *got[COUNT];
	int res = get_fields(r, n, p, fields, COUNT, got);

	if (res >= 0 && got[ADDRESSES])
		res = doc_list(r, got[ADDRESSES], &ready);
	if (res >= 0 && got[NOT_READY])
		res = doc_list(r, got[NOT_READY], &not_ready);
	if (res >= 0 && got[PORTS])
		res = read_slice_ports(r, d, got[PORTS], p, s);
	if (res < 0)
		return res;
	s->endpoints = arena_alloc(&d->objects->arena,
				   (got[ADDRESSES] ? got[ADDRESSES]->n : 0) +
					   (got[NOT_READY] ? got[NOT_READY]->n : 0),
				   sizeof(*s->endpoints));
	if (!s->endpoints)
		return -ENOMEM;
	res = read_old_addresses(r, d, got[ADDRESSES], &ready, ENDPOINT_READY, s);
	if (res >= 0)
		res = read_old_addresses(r, d, got[NOT_READY], &not_ready, ENDPOINT_NOT_READY, s);
	return res;
}

static int read_subsets(const struct reader *r, struct service_document *d,
			const struct ynode *list, const struct path *up, const struct meta *m)
{
	struct path p = { .up = up, .key = "subsets" };
	size_t i = 0;
	int res = doc_list(r, list, &p);

	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next) {
		struct path here = { .up = &p, .index = i };
		struct slice_object *s = add_slice(d, m, m->name);

		if (!s)
			return -ENOMEM;
		s->legacy = true;
		s->subset = i++ > 0;
		res = read_subset(r, d, n, &here, s);
	}
	return res;
}

static int read_old_endpoints(const struct reader *r, struct service_document *d,
			      const struct ynode *root, const struct path *p)
{
	enum { API_VERSION, KIND, METADATA, SUBSETS, COUNT };
	static const struct field fields[COUNT] = {
		[API_VERSION] = { .name = "apiVersion" },
		[KIND] = { .name = "kind" },
		[METADATA] = { .name = "metadata" },
		[SUBSETS] = { .name = "subsets" },
	};
	const struct ynode *got[COUNT];
	struct meta m = {};
	int res = get_fields(r, root, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[METADATA])
		return doc_fail(r, root->line, p, CLITE_EDOCUMENT, "needs metadata with a name");
	res = read_meta(r, d, got[METADATA], p, &m);
	if (res < 0)
		return res;
	if (!m.name)
		return doc_fail(r, m.line, &m.path, CLITE_EDOCUMENT, "needs a name");
	return got[SUBSETS] ? read_subsets(r, d, got[SUBSETS], p, &m) : 0;
}

/* ---- streams ---------------------------------------------------------------------- */

enum kind { KIND_SERVICE, KIND_SLICE, KIND_ENDPOINTS };

static const struct kind_name kinds[] = {
	[KIND_SERVICE] = { "Service", "v1", KIND_SERVICE },
	[KIND_SLICE] = { "EndpointSlice", "discovery.k8s.io/v1", KIND_SLICE },
	[KIND_ENDPOINTS] = { "Endpoints", "v1", KIND_ENDPOINTS },
	{ "List", "v1", KIND_LIST },
	{ "ServiceList", "v1", KIND_LIST },
	{ "EndpointSliceList", "discovery.k8s.io/v1", KIND_LIST },
	{ "EndpointsList", "v1", KIND_LIST },
};

static int read_object(const struct reader *r, const struct ydoc *doc, const struct ynode *root,
		       const struct path *p, int kind, void *data)
{
	(void)doc;
	if (kind == KIND_SERVICE)
		return read_service(r, data, root, p);
	return kind == KIND_SLICE ? read_slice(r, data, root, p) :
				    read_old_endpoints(r, data, root, p);
}

static int read_state_list(const struct reader *r, struct service_document *d,
			   const struct ynode *list, const char *key, enum kind kind)
{
	struct path p = { .key = key };
	size_t i = 0;
	int res = list ? doc_list(r, list, &p) : 0;

	for (const struct ynode *n = list ? list->first : NULL; res >= 0 && n; n = n->next) {
		struct path here = { .up = &p, .index = i++ };

		res = object_check_kind(r, n, &here, &kinds[kind]);
		if (res >= 0)
			res = read_object(r, NULL, n, &here, kind, d);
	}
	return res;
}

/* The file of Cilium's standalone load balancer: two lists of objects that need not
 * say what they are. */
static int read_state_file(const struct reader *r, const struct ydoc *doc, void *data)
{
	static const struct field fields[] = { { .name = "services" }, { .name = "endpoints" } };
	const struct ynode *root = doc->root, *got[2];
	int res;

	if (root->kind != YNODE_MAP || object_find(root, "kind") ||
	    !(object_find(root, "services") || object_find(root, "endpoints")))
		return 0;
	res = get_fields(r, root, NULL, fields, 2, got);
	if (res >= 0)
		res = read_state_list(r, data, got[0], "services", KIND_SERVICE);
	if (res >= 0)
		res = read_state_list(r, data, got[1], "endpoints", KIND_SLICE);
	return res < 0 ? res : 1;
}

int service_document_read(const char *text, size_t len, const struct document_limits *limits,
			  const char *filename, struct service_document **ret, struct errtext *err)
{
	static const struct document_limits usual;
	_cleanup_(service_document_freep) struct service_document *d = calloc(1, sizeof(*d));
	const struct reader r = { .filename = filename ? filename : "<memory>", .err = err };
	const struct object_reader objects = {
		.kinds = kinds,
		.nkinds = ARRAY_SIZE(kinds),
		.lacks = "needs 'kind: Service' or 'kind: EndpointSlice'",
		.others = "is not supported: Service, EndpointSlice, Endpoints and lists of them "
			  "are",
		.item = "a Service or an EndpointSlice",
		.document = "a Service, an EndpointSlice or a list of them",
		.read = read_object,
		.other = read_state_file,
		.data = d,
	};
	int res;

	if (!d)
		return -ENOMEM;
	d->objects = calloc(1, sizeof(*d->objects));
	if (!d->objects)
		return -ENOMEM;
	res = objects_read(text, len, limits ? limits : &usual, r.filename, &objects, err);
	if (res >= 0)
		res = service_resolve(&r, d, object_limits(limits ? limits : &usual).nodes);
	if (res < 0)
		return res;
	*ret = TAKE_PTR(d);
	return 0;
}
