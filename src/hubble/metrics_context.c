/* SPDX-License-Identifier: BSD-2-Clause */
/* Who the ends of a flow are, in the words of Hubble's options. */
#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

#include "hubble/metrics.h"

/* More of a text is cut off. */
#define VALUE_MAX 1024u

static const char *const context_names[CONTEXT_COUNT_] = {
	[CONTEXT_IDENTITY] = "identity",
	[CONTEXT_NAMESPACE] = "namespace",
	[CONTEXT_POD] = "pod",
	[CONTEXT_POD_SHORT] = "pod-short",
	[CONTEXT_POD_NAME] = "pod-name",
	[CONTEXT_DNS] = "dns",
	[CONTEXT_IP] = "ip",
	[CONTEXT_RESERVED_IDENTITY] = "reserved-identity",
	[CONTEXT_WORKLOAD] = "workload",
	[CONTEXT_WORKLOAD_NAME] = "workload-name",
	[CONTEXT_APP] = "app",
};

#define LABEL_DIRECTION 10u
static const struct {
	const char *name;
	enum context context;
} label_names[] = {
	{ "source_ip", CONTEXT_IP },
	{ "source_pod", CONTEXT_POD_NAME },
	{ "source_namespace", CONTEXT_NAMESPACE },
	{ "source_workload", CONTEXT_WORKLOAD_NAME },
	{ "source_app", CONTEXT_APP },
	{ "destination_ip", CONTEXT_IP },
	{ "destination_pod", CONTEXT_POD_NAME },
	{ "destination_namespace", CONTEXT_NAMESPACE },
	{ "destination_workload", CONTEXT_WORKLOAD_NAME },
	{ "destination_app", CONTEXT_APP },
	[LABEL_DIRECTION] = { "traffic_direction", CONTEXT_COUNT_ },
};
#define LABEL_DESTINATION 5u /* the first of them */

/* ---- reading options ------------------------------------------------------------- */

/* "'x' is none of a, b": -EINVAL. */
static int none_of(char **why, const char *what, size_t len, const char *const *names, size_t n)
{
	struct bytes list = { 0 };

	for (size_t i = 0; i < n; i++) {
		bytes_put(&list, ", ", i ? 2 : 0);
		bytes_put(&list, names[i], strlen(names[i]));
	}
	bytes_put(&list, "", 1);
	if (asprintf(why, "'%.*s' is none of %s", (int)len, what, (const char *)list.data) < 0)
		*why = NULL;
	bytes_clear(&list);
	return -EINVAL;
}

static int read_list(struct context_list *list, const char *text, char **why)
{
	list->n = 0;
	for (;;) {
		size_t len = strcspn(text, "|"), i = 0;

		while (i < CONTEXT_COUNT_ &&
		       (strncasecmp(context_names[i], text, len) != 0 || context_names[i][len]))
			i++;
		if (i == CONTEXT_COUNT_)
			return none_of(why, text, len, context_names, CONTEXT_COUNT_);
		/* Once more would never be asked. */
		if (!memchr(list->v, (int)i, list->n))
			list->v[list->n++] = (uint8_t)i;
		if (!text[len])
			return 0;
		text += len + 1;
	}
}

static int read_labels(uint32_t *labels, const char *text, char **why)
{
	const char *names[ARRAY_SIZE(label_names)];

	for (size_t i = 0; i < ARRAY_SIZE(label_names); i++)
		names[i] = label_names[i].name;
	for (;;) {
		size_t len = strcspn(text, ","), i = 0;

		while (i < ARRAY_SIZE(names) &&
		       (strncmp(names[i], text, len) != 0 || names[i][len]))
			i++;
		if (i == ARRAY_SIZE(names))
			return none_of(why, text, len, names, i);
		*labels |= 1u << i;
		if (!text[len])
			return 0;
		text += len + 1;
	}
}

int contexts_read(struct contexts *c, const char *option, char **why)
{
	const struct {
		const char *name;
		struct context_list *list;
	} lists[] = {
		{ "sourceContext", &c->source[CONTEXT_ANY] },
		{ "sourceIngressContext", &c->source[CONTEXT_INGRESS] },
		{ "sourceEgressContext", &c->source[CONTEXT_EGRESS] },
		{ "destinationContext", &c->destination[CONTEXT_ANY] },
		{ "destinationIngressContext", &c->destination[CONTEXT_INGRESS] },
		{ "destinationEgressContext", &c->destination[CONTEXT_EGRESS] },
		{ "labelsContext", NULL },
	};
	size_t len = strcspn(option, "=");

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const char *value = option[len] ? option + len + 1 : "";

		if (strncasecmp(lists[i].name, option, len) != 0 || lists[i].name[len])
			continue;
		return lists[i].list ? read_list(lists[i].list, value, why) :
				       read_labels(&c->labels, value, why);
	}
	return 1;
}

/* ---- names of labels ----------------------------------------------------------------- */

static bool is_asked(const struct context_list lists[CONTEXT_DIRECTIONS])
{
	return lists[CONTEXT_ANY].n || lists[CONTEXT_INGRESS].n || lists[CONTEXT_EGRESS].n;
}

size_t contexts_names(const struct contexts *c, const char **names)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(label_names); i++)
		if (c->labels & 1u << i)
			names[n++] = label_names[i].name;
	if (is_asked(c->source))
		names[n++] = "source";
	if (is_asked(c->destination))
		names[n++] = "destination";
	return n;
}

/* ---- their values ---------------------------------------------------------------------- */

/* Who is writing a value: what is written so far begins at from. */
struct value {
	struct bytes *key;
	size_t from;
	bool good; /* there was memory */
};

static void put(struct value *v, const char *s, size_t len)
{
	size_t room = VALUE_MAX - (v->key->len - v->from);

	if (v->good)
		v->good = bytes_put(v->key, s, len < room ? len : room);
}

static void puts_(struct value *v, const char *s)
{
	put(v, s, strlen(s));
}

/* A label without a value has no '=' in Hubble. */
static void put_label(struct value *v, const char *label)
{
	size_t len = strlen(label);
	const char *equals = strchr(label, '=');

	put(v, label, equals && !equals[1] ? len - 1 : len);
}

static void put_labels(struct value *v, const char *const *labels)
{
	for (size_t i = 0; labels[i]; i++) {
		puts_(v, i ? "," : "");
		put_label(v, labels[i]);
	}
}

static void put_names(struct value *v, const char *const *names)
{
	for (size_t i = 0; names[i]; i++) {
		puts_(v, i ? "," : "");
		puts_(v, names[i]);
	}
}

/* With the '=' of one without a value, or without it. */
static bool label_is(const char *label, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(label, name, len) && (!label[len] || !strcmp(label + len, "="));
}

static const char *reserved_label(const char *const *labels)
{
	const char *first = NULL;

	for (; *labels; labels++) {
		if (label_is(*labels, "reserved:kube-apiserver"))
			return *labels;
		if (!first && !strncmp(*labels, "reserved:", 9))
			first = *labels;
	}
	return first ? first : "";
}

/* The name of the application that a label tells, as Kubernetes recommends or does. */
static const char *app_of(const char *const *labels)
{
	static const char *const keys[] = { "k8s:app.kubernetes.io/name=", "k8s:k8s-app=",
					    "k8s:app=" };

	for (; *labels; labels++) {
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
			size_t len = strlen(keys[i]);

			if (!strncmp(*labels, keys[i], len) && (*labels)[len])
				return *labels + len;
		}
	}
	return "";
}

/* Where a last part "-[a-z0-9]+" of a name begins; len if there is none, or nothing before. */
static size_t part_begin(const char *name, size_t len)
{
	size_t i = len;

	while (i && ((name[i - 1] >= 'a' && name[i - 1] <= 'z') ||
		     (name[i - 1] >= '0' && name[i - 1] <= '9')))
		i--;
	return i > 1 && i < len && name[i - 1] == '-' ? i - 1 : len;
}

/* Without what Kubernetes puts behind the name of a Deployment: at most two parts. */
static void put_short(struct value *v, const char *pod)
{
	put(v, pod, part_begin(pod, part_begin(pod, strlen(pod))));
}

static void put_namespaced(struct value *v, const char *ns, const char *name)
{
	if (*ns) {
		puts_(v, ns);
		puts_(v, "/");
	}
	puts_(v, name);
}

static void put_address(struct value *v, const struct clite_flow *f, bool source)
{
	const struct clite_event *e = f->event;
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(e->family == 6 ? AF_INET6 : AF_INET, source ? e->source : e->destination, text,
		  sizeof(text));
	puts_(v, text);
}

static void put_context(struct value *v, enum context context, const struct clite_flow *f,
			bool source)
{
	const struct clite_flow_end *x = source ? f->source : f->destination;

	switch (context) {
	case CONTEXT_IDENTITY:
		put_labels(v, x->labels);
		break;
	case CONTEXT_NAMESPACE:
		puts_(v, x->ns);
		break;
	case CONTEXT_POD:
		put_namespaced(v, x->ns, x->pod);
		break;
	case CONTEXT_POD_SHORT:
		put_namespaced(v, x->ns, "");
		put_short(v, x->pod);
		break;
	case CONTEXT_POD_NAME:
		puts_(v, x->pod);
		break;
	case CONTEXT_DNS:
		put_names(v, x->names);
		break;
	case CONTEXT_IP:
		put_address(v, f, source);
		break;
	case CONTEXT_RESERVED_IDENTITY:
		put_label(v, reserved_label(x->labels));
		break;
	case CONTEXT_WORKLOAD:
		if (*x->workload)
			put_namespaced(v, x->ns, x->workload);
		break;
	case CONTEXT_WORKLOAD_NAME:
		puts_(v, x->workload);
		break;
	case CONTEXT_APP:
		puts_(v, app_of(x->labels));
		break;
	case CONTEXT_COUNT_:
		puts_(v, f->event->direction == CLITE_INGRESS ? "ingress" :
			 f->event->direction == CLITE_EGRESS  ? "egress" :
								"unknown");
		break;
	}
}

static bool put_first(const struct context_list lists[CONTEXT_DIRECTIONS],
		      const struct clite_flow *f, bool source, struct bytes *key)
{
	struct value v = { key, key->len, true };
	uint32_t direction = f->event->direction;
	const struct context_list *list =
		direction < CONTEXT_DIRECTIONS && lists[direction].n ? &lists[direction] : lists;

	for (size_t i = 0; i < list->n && key->len == v.from; i++)
		put_context(&v, list->v[i], f, source);
	return v.good && bytes_put(key, "", 1);
}

bool contexts_put(const struct contexts *c, const struct clite_flow *f, struct bytes *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(label_names); i++) {
		struct value v = { key, key->len, true };

		if (!(c->labels & 1u << i))
			continue;
		put_context(&v, label_names[i].context, f, i < LABEL_DESTINATION);
		if (!v.good || !bytes_put(key, "", 1))
			return false;
	}
	return (!is_asked(c->source) || put_first(c->source, f, true, key)) &&
	       (!is_asked(c->destination) || put_first(c->destination, f, false, key));
}

bool key_put(struct bytes *key, const char *value)
{
	struct value v = { key, key->len, true };

	puts_(&v, value);
	return v.good && bytes_put(key, "", 1);
}

/* Also by the label of a family, which instances of both have. */
bool flow_to_world(const struct clite_flow *f)
{
	const char *const *labels = f->destination->labels;

	for (; *labels; labels++)
		if (label_is(*labels, "reserved:world") ||
		    label_is(*labels, "reserved:world-ipv4") ||
		    label_is(*labels, "reserved:world-ipv6"))
			return true;
	return false;
}
