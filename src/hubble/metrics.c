/* SPDX-License-Identifier: BSD-2-Clause */
/* Hubble's metrics: which flows each counts, and the object. */
#include "hubble/metrics.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/random.h>

#define SERIES_DEFAULT 10000u
#define SERIES_MAX 1000000u
#define LABELS_MAX (5 + CONTEXTS_LABELS)

#define EVENT_L7 129u /* Cilium's */
#define VERDICT_REDIRECTED 5u

struct metric;

/* What Hubble has a name for. */
struct kind {
	const char *option; /* its name in a configuration */
	const char *name, *help;
	const char *labels[5]; /* ends with NULL */
	uint32_t types;	       /* bits of events that it may count; 0: all */
	bool names;	       /* it asks who the ends are, whatever the options */
	int (*count)(struct metric *m, const struct clite_flow *f);
};

struct metric {
	const struct kind *kind;
	struct contexts contexts;
	bool any_drop, port, syn_only; /* flows-to-world */
	const char *labels[LABELS_MAX];
	size_t nlabels;
	struct series series;
	struct bytes key, other;
};

struct clite_hubble_metrics {
	struct metric *metrics;
	size_t n;
	struct clite_ctx *ctx; /* NULL: fed only */
	struct clite_subscription *sub;
	bool names; /* somebody asks who the ends are */
};

/* ---- counting ---------------------------------------------------------------------- */

/* One more of these values and what the contexts say. values: as many as the kind has labels. */
static int count(struct metric *m, const struct clite_flow *f, const char *const *values, size_t n)
{
	m->key.len = 0;
	for (size_t i = 0; i < n; i++)
		if (!key_put(&m->key, values[i]))
			return -ENOMEM;
	if (!contexts_put(&m->contexts, f, &m->key))
		return -ENOMEM;
	return series_count(&m->series, &m->key, &m->other);
}

#define COUNT(m, f, ...)                                  \
	count(m, f, (const char *const[]){ __VA_ARGS__ }, \
	      ARRAY_SIZE(((const char *const[]){ __VA_ARGS__ })))

static bool passed(const struct clite_event *e)
{
	return e->verdict == CLITE_VERDICT_FORWARDED || e->verdict == VERDICT_REDIRECTED;
}

static const char *family_text(const struct clite_event *e)
{
	return e->family == 6 ? "IPv6" : "IPv4";
}

/* Its layer 4, NULL if that is not known. */
static const char *l4_text(const struct clite_event *e)
{
	if (!e->has_ports)
		return NULL;
	switch (e->protocol) {
	case IPPROTO_TCP:
		return "TCP";
	case IPPROTO_UDP:
		return "UDP";
	case IPPROTO_SCTP:
		return "SCTP";
	case IPPROTO_ICMP:
		return "ICMPv4";
	case IPPROTO_ICMPV6:
		return "ICMPv6";
	default:
		return NULL;
	}
}

static bool is_icmp(const struct clite_event *e)
{
	return e->has_ports && (e->protocol == IPPROTO_ICMP || e->protocol == IPPROTO_ICMPV6);
}

static const char *protocol_text(const struct clite_event *e)
{
	const char *l4 = l4_text(e);

	switch (e->type) {
	case EVENT_L7:
		return "Unknown L7";
	case CLITE_EVENT_DROP:
	case CLITE_EVENT_TRACE:
	case CLITE_EVENT_POLICY_VERDICT:
		return l4 ? l4 : "Unknown L4";
	default:
		return "Unknown flow";
	}
}

/* In small letters, as Hubble has it as an action. */
static const char *verdict_text(uint32_t verdict, bool small)
{
	static const char *const texts[][2] = {
		{ "VERDICT_UNKNOWN", "verdict_unknown" },
		{ "FORWARDED", "forwarded" },
		{ "DROPPED", "dropped" },
		{ "ERROR", "error" },
		{ "AUDIT", "audit" },
		{ "REDIRECTED", "redirected" },
		{ "TRACED", "traced" },
		{ "TRANSLATED", "translated" },
	};

	return texts[verdict < ARRAY_SIZE(texts) ? verdict : 0][small];
}

/* A port, or another number. */
struct number {
	char text[16];
};

static const char *number_text(struct number *n, uint32_t value)
{
	snprintf(n->text, sizeof(n->text), "%u", value);
	return n->text;
}

/* ---- the kinds ---------------------------------------------------------------------- */

static int count_drop(struct metric *m, const struct clite_flow *f)
{
	const struct clite_event *e = f->event;
	const char *reason;

	if (e->verdict != CLITE_VERDICT_DROPPED)
		return 0;
	reason = clite_drop_reason_name(e->drop_reason);
	return COUNT(m, f, reason ? reason : "DROP_REASON_UNKNOWN", protocol_text(e));
}

static int count_flow(struct metric *m, const struct clite_flow *f)
{
	const struct clite_event *e = f->event;
	const char *type = "Unknown", *subtype = "";
	struct number number;

	switch (e->type) {
	case CLITE_EVENT_DROP:
		type = "Drop";
		break;
	case CLITE_EVENT_TRACE:
		type = "Trace";
		subtype = clite_trace_point_text(e->subtype);
		break;
	case CLITE_EVENT_POLICY_VERDICT:
		type = "PolicyVerdict";
		break;
	case EVENT_L7:
		type = "L7";
		break;
	default:
		subtype = number_text(&number, e->type);
	}
	return COUNT(m, f, protocol_text(e), type, subtype ? subtype : "",
		     verdict_text(e->verdict, false));
}

static int count_to_world(struct metric *m, const struct clite_flow *f)
{
	const struct clite_event *e = f->event;
	bool dropped = e->verdict == CLITE_VERDICT_DROPPED;
	const char *reason = clite_drop_reason_name(e->drop_reason);
	struct number port = { "" };

	if (!l4_text(e) || !flow_to_world(f))
		return 0;
	if (dropped && !m->any_drop && (!reason || strcmp(reason, "POLICY_DENIED") != 0))
		return 0;
	/* Ports of replies are their clients'. */
	if (!dropped && e->is_reply == 1)
		return 0;
	if (m->syn_only && (e->protocol != IPPROTO_TCP || !(e->tcp_flags & 2) || e->is_reply == 1))
		return 0;
	if (!m->port)
		return COUNT(m, f, protocol_text(e), verdict_text(e->verdict, false));
	if (!is_icmp(e))
		number_text(&port, e->destination_port);
	return COUNT(m, f, protocol_text(e), verdict_text(e->verdict, false), port.text);
}

/* The summary of ICMP is "ICMPv4 EchoRequest". */
static int count_icmp(struct metric *m, const struct clite_flow *f)
{
	const struct clite_event *e = f->event;
	const char *type = f->summary;
	char number[16];

	if (!is_icmp(e))
		return 0;
	if (!strncmp(type, "ICMPv4 ", 7) || !strncmp(type, "ICMPv6 ", 7)) {
		type += 7;
	} else {
		snprintf(number, sizeof(number), "%u(%u)", e->icmp_type, e->icmp_code);
		type = number;
	}
	return COUNT(m, f, family_text(e), type);
}

static int count_policy(struct metric *m, const struct clite_flow *f)
{
	static const char *const matches[] = { "none", "l3-only",  "l3-l4",	"l4-only",
					       "all",  "l3-proto", "proto-only" };
	const struct clite_event *e = f->event;
	const char *direction = e->direction == CLITE_INGRESS ? "ingress" :
				e->direction == CLITE_EGRESS  ? "egress" :
								"traffic_direction_unknown";

	/* The host may talk to its endpoints. */
	if (e->type != CLITE_EVENT_POLICY_VERDICT || e->source_identity == 1)
		return 0;
	return COUNT(m, f, direction,
		     e->subtype < ARRAY_SIZE(matches) ? matches[e->subtype] : "unknown",
		     verdict_text(e->verdict, true));
}

static int count_ports(struct metric *m, const struct clite_flow *f)
{
	const struct clite_event *e = f->event;
	const char *l4 = l4_text(e);
	struct number port;

	if (!l4 || !passed(e) || e->is_reply != 0)
		return 0;
	return COUNT(m, f, l4, is_icmp(e) ? "0" : number_text(&port, e->destination_port));
}

static int count_tcp(struct metric *m, const struct clite_flow *f)
{
	const struct clite_event *e = f->event;
	const struct {
		bool set;
		const char *text;
	} flags[] = {
		{ e->tcp_flags & 1, "FIN" },
		{ e->tcp_flags & 2, e->tcp_flags & 0x10 ? "SYN-ACK" : "SYN" },
		{ e->tcp_flags & 4, "RST" },
	};
	int r = 0;

	if (!passed(e) || !e->has_ports || e->protocol != IPPROTO_TCP)
		return 0;
	for (size_t i = 0; !r && i < ARRAY_SIZE(flags); i++)
		if (flags[i].set)
			r = COUNT(m, f, flags[i].text, family_text(e));
	return r;
}

#define DROPS (1u << CLITE_EVENT_DROP | 1u << CLITE_EVENT_POLICY_VERDICT)

/* By the name of the metric. */
static const struct kind kinds[] = {
	{
		.option = "drop",
		.name = "hubble_drop_total",
		.help = "Number of drops",
		.labels = { "reason", "protocol" },
		.types = DROPS,
		.count = count_drop,
	},
	{
		.option = "flow",
		.name = "hubble_flows_processed_total",
		.help = "Total number of flows processed",
		.labels = { "protocol", "type", "subtype", "verdict" },
		.count = count_flow,
	},
	{
		.option = "flows-to-world",
		.name = "hubble_flows_to_world_total",
		.help = "Total number of flows to reserved:world",
		.labels = { "protocol", "verdict" },
		.names = true,
		.count = count_to_world,
	},
	{
		.option = "icmp",
		.name = "hubble_icmp_total",
		.help = "Number of ICMP messages",
		.labels = { "family", "type" },
		.names = true,
		.count = count_icmp,
	},
	{
		.option = "policy",
		.name = "hubble_policy_verdicts_total",
		.help = "Total number of network policy verdicts",
		.labels = { "direction", "match", "action" },
		.types = 1u << CLITE_EVENT_POLICY_VERDICT,
		.count = count_policy,
	},
	{
		.option = "port-distribution",
		.name = "hubble_port_distribution_total",
		.help = "Numbers of packets distributed by destination port",
		.labels = { "protocol", "port" },
		.count = count_ports,
	},
	{
		.option = "tcp",
		.name = "hubble_tcp_flags_total",
		.help = "TCP flag occurrences",
		.labels = { "flag", "family" },
		.count = count_tcp,
	},
};

/* Hubble's others. */
static const char *const l7_kinds[] = { "dns", "http", "httpV2", "kafka", "sctp" };

/* ---- options ------------------------------------------------------------------------- */

/* *why: allocated, NULL without memory. All -EINVAL. */
static int refuse(char **why, const char *fmt, ...) _printf_(2, 3);

static int refuse(char **why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(why, fmt, ap) < 0)
		*why = NULL;
	va_end(ap);
	return -EINVAL;
}

static int kind_find(const char *option, size_t len, const struct kind **ret, char **why)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strncmp(kinds[i].option, option, len) != 0 || kinds[i].option[len])
			continue;
		*ret = &kinds[i];
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(l7_kinds); i++)
		if (!strncmp(l7_kinds[i], option, len) && !l7_kinds[i][len])
			return refuse(
				why,
				"metric '%s' needs what flows here do not tell: layer 7, or chunks of SCTP",
				l7_kinds[i]);
	return refuse(
		why,
		"metric '%.*s' is none of drop, flow, flows-to-world, icmp, policy, port-distribution, tcp",
		(int)len, option);
}

static int option_read(struct metric *m, const char *option, char **why)
{
	const struct {
		const char *name;
		bool *on;
	} switches[] = { { "any-drop", &m->any_drop },
			 { "port", &m->port },
			 { "syn-only", &m->syn_only } };
	_cleanup_free_ char *detail = NULL;
	size_t len = strcspn(option, "=");
	int r = contexts_read(&m->contexts, option, &detail);

	if (r < 0)
		return refuse(why, "metric '%s': %.*s: %s", m->kind->option, (int)len, option,
			      detail ? detail : "a bad value");
	if (!r)
		return 0;
	for (size_t i = 0; m->kind->count == count_to_world && i < ARRAY_SIZE(switches); i++) {
		if (strncasecmp(switches[i].name, option, len) != 0 || switches[i].name[len])
			continue;
		*switches[i].on = true;
		return 0;
	}
	return refuse(
		why,
		"metric '%s': unknown option '%.*s'; there are: sourceContext, destinationContext, both also with Egress and Ingress before Context, labelsContext%s",
		m->kind->option, (int)len, option,
		m->kind->count == count_to_world ? ", any-drop, port, syn-only" : "");
}

static int options_read(struct metric *m, const char *options, char **why)
{
	_cleanup_free_ char *copy = strdup(options);
	char *at = copy, *option;
	int r = 0;

	if (!copy)
		return -ENOMEM;
	while (!r && (option = strsep(&at, ";")))
		if (*option)
			r = option_read(m, option, why);
	return r;
}

static int metric_init(struct metric *m, size_t series)
{
	const char *const *own = m->kind->labels;
	uint64_t seed;

	while (own[m->nlabels]) {
		m->labels[m->nlabels] = own[m->nlabels];
		m->nlabels++;
	}
	if (m->port)
		m->labels[m->nlabels++] = "port";
	m->nlabels += contexts_names(&m->contexts, m->labels + m->nlabels);
	for (size_t i = 0; i < m->nlabels; i++)
		if (!key_put(&m->other, "other"))
			return -ENOMEM;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	series_init(&m->series, series, seed);
	return 0;
}

/* "drop:sourceContext=pod" */
static int metric_add(struct clite_hubble_metrics *all, const char *text, size_t series, char **why)
{
	struct metric *m = &all->metrics[all->n];
	size_t len = strcspn(text, ":");
	int r = kind_find(text, len, &m->kind, why);

	if (r)
		return r;
	for (size_t i = 0; i < all->n; i++)
		if (all->metrics[i].kind == m->kind)
			return refuse(why, "metric '%s' is there twice", m->kind->option);
	all->n++;
	r = text[len] ? options_read(m, text + len + 1, why) : 0;
	return r ? r : metric_init(m, series);
}

/* ---- the object ------------------------------------------------------------------------ */

static int feed(struct clite_hubble_metrics *all, const struct clite_flow *f)
{
	int ret = 0;

	for (size_t i = 0; i < all->n; i++) {
		int r = all->metrics[i].kind->count(&all->metrics[i], f);

		ret = r ? r : ret;
	}
	return ret;
}

/* Of an event without names, which nobody asks for. */
static void bare_flow(const struct clite_event *e, struct clite_flow *f, struct clite_flow_end *end)
{
	static const struct clite_flow_policy *const no_policies[] = { NULL };
	static const char *const none[] = { NULL };

	*end = (struct clite_flow_end){
		.sz = sizeof(*end),
		.ns = "",
		.pod = "",
		.service = "",
		.service_ns = "",
		.cluster = "",
		.workload = "",
		.workload_kind = "",
		.labels = none,
		.names = none,
	};
	*f = (struct clite_flow){
		.sz = sizeof(*f),
		.event = e,
		.source = end,
		.destination = end,
		.policies = no_policies,
		.node = "",
		.summary = "",
		.kind = CLITE_FLOW_L3_L4,
	};
}

static int on_event(const struct clite_event *event, void *userdata)
{
	struct clite_hubble_metrics *all = userdata;
	const struct clite_flow *f;
	struct clite_flow_end end;
	struct clite_flow bare;

	if (!all->names || clite_flow_resolve(all->ctx, event, &f)) {
		bare_flow(event, &bare, &end);
		f = &bare;
	}
	/* Without memory it is not counted; events must go on. */
	feed(all, f);
	return 0;
}

/* Only events that somebody counts. */
static int subscribe(struct clite_hubble_metrics *all, struct clite_ctx *ctx,
		     const struct clite_hubble_metrics_opts *o)
{
	struct clite_subscribe_opts opts = {
		.sz = sizeof(opts),
		.aggregation = o->aggregation,
		.ring_bytes = o->ring_bytes,
	};
	bool every = false;
	int r;

	for (size_t i = 0; i < all->n; i++) {
		every |= !all->metrics[i].kind->types;
		opts.types |= all->metrics[i].kind->types;
	}
	if (every)
		opts.types = 0;
	r = clite_subscribe(ctx, &opts, on_event, all, &all->sub);
	if (!r)
		all->ctx = clite_ref(ctx);
	return r;
}

static int metrics_fill(struct clite_hubble_metrics *all, const struct clite_hubble_metrics_opts *o,
			char **why)
{
	static const char *const presets[] = {
		"drop", "flow", "icmp", "policy", "port-distribution", "tcp", NULL
	};
	const char *const *names = o->metrics ? o->metrics : presets;
	size_t n = 0;
	int r = 0;

	if (o->series > SERIES_MAX)
		return refuse(why, "series: %u is too many, at most %u", o->series, SERIES_MAX);
	if (o->reserved)
		return refuse(why, "reserved is not 0");
	while (names[n])
		n++;
	all->metrics = calloc(n ? n : 1, sizeof(*all->metrics));
	if (!all->metrics)
		return -ENOMEM;
	for (size_t i = 0; !r && i < n; i++)
		r = metric_add(all, names[i], o->series ? o->series : SERIES_DEFAULT, why);
	for (size_t i = 0; !r && i < all->n; i++) {
		const struct metric *m = &all->metrics[i];
		const char *labels[CONTEXTS_LABELS];

		all->names |= m->kind->names || contexts_names(&m->contexts, labels);
	}
	return r;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* A caller's options of any age. */
static int opts_read(struct clite_hubble_metrics_opts *ours,
		     const struct clite_hubble_metrics_opts *theirs)
{
	size_t sz = theirs ? theirs->sz : sizeof(*ours);

	if (sz < sizeof(sz) || sz > 4096)
		return -EINVAL;
	if (sz > sizeof(*ours) &&
	    !is_zero((const uint8_t *)theirs + sizeof(*ours), sz - sizeof(*ours)))
		return -EINVAL;
	*ours = (struct clite_hubble_metrics_opts){ 0 };
	if (theirs)
		memcpy(ours, theirs, sz < sizeof(*ours) ? sz : sizeof(*ours));
	return 0;
}

int clite_hubble_metrics_new(struct clite_ctx *ctx, const struct clite_hubble_metrics_opts *opts,
			     struct clite_hubble_metrics **ret)
{
	_cleanup_free_ char *why = NULL;
	struct clite_hubble_metrics_opts o;
	struct clite_hubble_metrics *all;
	int r;

	if (!ret || opts_read(&o, opts))
		return -EINVAL;
	all = calloc(1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	r = metrics_fill(all, &o, &why);
	if (!r && ctx) {
		r = subscribe(all, ctx, &o);
		if (r && *clite_error(ctx))
			why = strdup(clite_error(ctx));
	}
	if (!r) {
		*ret = all;
		return 0;
	}
	if (o.errbuf && o.errbuf_size)
		snprintf(o.errbuf, o.errbuf_size, "%s", why ? why : clite_strerror(r));
	clite_hubble_metrics_free(all);
	return r;
}

struct clite_hubble_metrics *clite_hubble_metrics_free(struct clite_hubble_metrics *metrics)
{
	if (!metrics)
		return NULL;
	clite_unsubscribe(metrics->sub);
	for (size_t i = 0; i < metrics->n; i++) {
		series_clear(&metrics->metrics[i].series);
		bytes_clear(&metrics->metrics[i].key);
		bytes_clear(&metrics->metrics[i].other);
	}
	free(metrics->metrics);
	clite_close(metrics->ctx);
	free(metrics);
	return NULL;
}

static bool end_valid(const struct clite_flow_end *x)
{
	return x && x->sz == sizeof(*x) && x->ns && x->pod && x->workload && x->labels && x->names;
}

int clite_hubble_metrics_feed(struct clite_hubble_metrics *metrics, const struct clite_flow *flow)
{
	if (!metrics || !flow || flow->sz != sizeof(*flow) || !flow->event ||
	    flow->event->sz != sizeof(*flow->event) || !end_valid(flow->source) ||
	    !end_valid(flow->destination) || !flow->summary)
		return -EINVAL;
	return feed(metrics, flow);
}

/* ---- listing ----------------------------------------------------------------------------- */

struct report {
	int (*cb)(const struct clite_metric *metric, void *userdata);
	void *userdata;
	int n;
};

static int tell(struct report *r, const char *name, const char *help, double value,
		const struct clite_metric_label *labels, size_t nlabels)
{
	struct clite_metric m = {
		.sz = sizeof(m),
		.name = name,
		.help = help,
		.labels = labels,
		.nlabels = (uint32_t)nlabels,
		.type = CLITE_METRIC_COUNTER,
		.value = value,
	};
	int ret = r->cb(&m, r->userdata);

	if (ret < 0)
		return ret;
	r->n++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct clite_metric_label *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int tell_series(struct report *r, const struct metric *m, const struct series_slot *slot)
{
	const char *value = (const char *)m->series.keys.data + slot->at;
	struct clite_metric_label labels[LABELS_MAX];

	for (size_t i = 0; i < m->nlabels; i++) {
		labels[i] = (struct clite_metric_label){ .name = m->labels[i], .value = value };
		value += strlen(value) + 1;
	}
	qsort(labels, m->nlabels, sizeof(*labels), by_name);
	return tell(r, m->kind->name, m->kind->help, (double)slot->count, labels, m->nlabels);
}

static int tell_metric(struct report *r, const struct metric *m)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < m->series.cap; i++)
		if (m->series.slots[i].hash)
			ret = tell_series(r, m, &m->series.slots[i]);
	return ret;
}

static int tell_folded(struct report *r, const struct metric *m)
{
	const struct clite_metric_label label = { .name = "metric", .value = m->kind->name };

	return tell(r, "cilium_lite_hubble_metrics_folded_total",
		    "Flows that a metric had no series for any more", (double)m->series.folded,
		    &label, 1);
}

static int tell_lost(struct report *r, struct clite_subscription *sub)
{
	const struct clite_metric_label label = { .name = "source",
						  .value = "perf_event_ring_buffer" };
	uint64_t lost;
	int ret = clite_subscription_lost(sub, &lost);

	return ret ? ret :
		     tell(r, "hubble_lost_events_total", "Number of lost events", (double)lost,
			  &label, 1);
}

int clite_hubble_metrics_list(struct clite_hubble_metrics *metrics,
			      int (*cb)(const struct clite_metric *metric, void *userdata),
			      void *userdata)
{
	struct report r = { .cb = cb, .userdata = userdata };
	int ret = 0;

	if (!metrics || !cb)
		return -EINVAL;
	for (size_t i = 0; !ret && i < metrics->n; i++)
		ret = tell_folded(&r, &metrics->metrics[i]);
	for (size_t i = 0; !ret && i < metrics->n; i++)
		ret = tell_metric(&r, &metrics->metrics[i]);
	if (!ret && metrics->sub)
		ret = tell_lost(&r, metrics->sub);
	return ret ? ret : r.n;
}
