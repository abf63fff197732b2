/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as the JSON of a filter, and as each kind of text that a filter may have:
 * refused with a text that says why, or asked about flows. What the kernel is told lets
 * everything through that the filter does. Link it with -fsanitize=fuzzer, or with
 * replay.c. */
#include <stdio.h>

#include <cilium-lite/policy.h>

#include "../filter_has.h"
#include "model/filter_parts.h"
#include "model/flow.h"

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_filter: %s\n", what);
	abort();
}

static void check_error(int r, struct errtext *err)
{
	if (!r)
		return;
	check(r == -EINVAL, "a code that is not documented");
	check(err->text && *err->text, "no text");
	for (const char *c = err->text; *c; c++)
		check((unsigned char)*c >= ' ' && *c != 0x7f, "a control character in the text");
}

/* ---- flows ------------------------------------------------------------------------- */

/* Of a number, an event that tries everything that filters look at. */
static struct clite_event event_of(uint32_t n)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_IGMP };
	struct clite_event e = {
		.sz = sizeof(e),
		.type = n & 1 ? CLITE_EVENT_TRACE : CLITE_EVENT_DROP,
		.subtype = n & 1 ? n >> 1 & 3 : 133,
		.verdict = n & 1 ? CLITE_VERDICT_FORWARDED : CLITE_VERDICT_DROPPED,
		.drop_reason = n & 1 ? 0 : 133,
		.trace_reason = n >> 2 & 3,
		.direction = n % 3,
		.is_reply = n / 3 % 3,
		.family = n & 8 ? 6 : 4,
		.protocol = protocols[n >> 4 & 3],
		.has_ports = (n >> 4 & 3) != 3,
		.source_port = (uint16_t)(n * 7),
		.destination_port = n & 2 ? 80 : 443,
		.tcp_flags = n & 0x1ff,
		.source_identity = n & 4 ? 1000 : 2,
		.destination_identity = n,
		.ifindex = n & 7,
	};

	e.source[0] = e.destination[3] = (uint8_t)(n & 16 ? 10 : n);
	e.source[3] = 1;
	return e;
}

static struct clite_flow_end end_of(const char *text, const char *const *labels)
{
	return (struct clite_flow_end){
		.sz = sizeof(struct clite_flow_end),
		.ns = "default",
		.pod = text,
		.service = text,
		.service_ns = "",
		.cluster = text,
		.workload = text,
		.workload_kind = "Deployment",
		.labels = labels,
		.names = labels,
	};
}

static bool kernel_has(const struct filters *fs, const struct clite_event *e, size_t max)
{
	struct filter_kernel k[16];
	size_t n = filters_kernel(fs, k, max);

	check(n <= max, "too many alternatives");
	for (size_t i = 0; i < n; i++)
		if (filter_has(&k[i], e))
			return true;
	return false;
}

static void ask(const struct filters *fs, const char *text)
{
	const char *const labels[] = { text, "k8s:app=web", "k8s:tier=7", "api.example.com", NULL };
	static const struct clite_flow_policy *const none[] = { NULL };
	struct clite_flow_end ends[2] = { end_of(text, labels), end_of("web-1", labels + 1) };

	for (uint32_t i = 0; i < 32; i++) {
		struct clite_event e = event_of(i * 37);
		struct clite_flow f = {
			.sz = sizeof(f),
			.event = &e,
			.source = &ends[i & 1],
			.destination = &ends[!(i & 1)],
			.policies = none,
			.node = i & 2 ? text : "node-1",
			.summary = "",
			.kind = CLITE_FLOW_L3_L4,
		};

		check(flow_valid(&f), "the flow is none");
		if (filters_pass(fs, &f))
			check(kernel_has(fs, &e, 1) && kernel_has(fs, &e, 16),
			      "the kernel would drop what passes");
	}
}

/* ---- texts -------------------------------------------------------------------------- */

static void as_selector(const char *text)
{
	const char *const labels[] = { "k8s:app=web", text, NULL };
	struct errtext err = {};
	struct selector s = {};
	int r = label_selector_parse(text, &s, &err);

	check_error(r, &err);
	if (!r)
		label_selector_holds(&s, labels);
	selector_clear(&s);
	err_clear(&err);
}

static void as_pattern(const char *text)
{
	_cleanup_free_ char *pattern = NULL;
	struct errtext err = {};
	int r = pattern_read(text, strlen(text), &pattern, &err);

	check_error(r, &err);
	if (!r && !strchr(pattern, '*'))
		check(pattern_matches(pattern, pattern), "a name does not match itself");
	if (!r)
		pattern_matches(pattern, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab");
	err_clear(&err);
}

static void as_regex(const char *text)
{
	struct errtext err = {};

	check_error(regex_check(text, &err), &err);
	err_clear(&err);
}

/* As each value that is a text, in a filter by structs. */
static void as_values(const char *text)
{
	for (size_t i = 0; i < nfilter_fields; i++) {
		struct clite_flow_filter f = { .sz = sizeof(f) };
		const char *const values[] = { text, NULL };
		struct errtext err = {};
		struct filters fs = {};
		int r;

		if (filter_fields[i].form != FORM_TEXT)
			continue;
		*(const char *const **)((char *)&f + filter_fields[i].list) = values;
		r = filters_add(&fs, CLITE_FILTER_ALLOW, &f, &err);
		check_error(r, &err);
		check(fs.n[CLITE_FILTER_ALLOW] == !r, "added or not?");
		if (!r)
			ask(&fs, text);
		filters_clear(&fs);
		err_clear(&err);
	}
}

static void as_json(const char *text)
{
	struct errtext err = {};
	struct filters fs = {};
	int r = filters_add_json(&fs, CLITE_FILTER_ALLOW, text, &err);

	check_error(r, &err);
	if (r)
		check(!fs.n[CLITE_FILTER_ALLOW] && !fs.values && !fs.text, "half a filter");
	else
		ask(&fs, text);
	filters_clear(&fs);
	err_clear(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = strndup((const char *)data, size);

	check(text, "no memory");
	as_json(text);
	as_selector(text);
	as_pattern(text);
	as_regex(text);
	as_values(text);
	return 0;
}
