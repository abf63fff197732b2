/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of filters have in common. */
#pragma once

#include "model/filter.h"
#include "model/policy.h"

/* ---- selectors of labels -------------------------------------------------------- */

/* As Kubernetes' and Cilium's: all requirements hold. "app=web, k8s:tier in (a, b), !old":
 * 0, -EINVAL, -ENOMEM. */
int label_selector_parse(const char *text, struct selector *ret, struct errtext *err);
/* labels: "source:key=value", ends with NULL. */
bool label_selector_holds(const struct selector *s, const char *const *labels);

/* ---- patterns of names ----------------------------------------------------------- */

/* Bring a pattern of a DNS name ('*': any letters, digits, '-', '.') into the form that
 * pattern_matches() takes. -EINVAL, -ENOMEM. */
int pattern_read(const char *text, size_t len, char **ret, struct errtext *err);
/* Small and capital letters are the same. */
bool pattern_matches(const char *pattern, const char *name);

/* ---- regular expressions --------------------------------------------------------- */

/* Is it one in the syntax of RE2? -EINVAL says what is wrong. */
int regex_check(const char *text, struct errtext *err);

/* ---- fields ------------------------------------------------------------------------ */

enum filter_form { FORM_TEXT, FORM_NUMBER, FORM_LONG, FORM_EVENT_TYPE, FORM_WORKLOAD };
/* Bytes of a value of a form in struct clite_flow_filter. */
size_t filter_form_size(enum filter_form form);

/* A value, as it is compared; a field uses some of these. */
struct filter_value {
	uint64_t number;
	struct prefix prefix;
	struct clite_filter_event_type type;
	char *name;
	char *space; /* namespace, cluster or kind that it is in */
	struct selector selector;
};

#define EVENT_TYPE_L7 129 /* Cilium's MessageTypeAccessLog */
#define FILTER_IPPROTO_VRRP 112

enum filter_protocol {
	FILTER_ICMP,
	FILTER_ICMP4,
	FILTER_ICMP6,
	FILTER_TCP,
	FILTER_UDP,
	FILTER_SCTP,
	FILTER_VRRP,
	FILTER_IGMP,
	FILTER_DNS,
	FILTER_HTTP,
	FILTER_KAFKA,
};

struct filter_field {
	const char *name; /* in flow.proto */
	size_t list;	  /* where its values stand in struct clite_flow_filter */
	size_t count;	  /* and how many they are; not of FORM_TEXT, which end with NULL */
	enum filter_form form;
	bool source; /* of the two that there are of its kind, that of the source */
	bool names;  /* it is about names of a flow, not only about its event */
	/* from points to a value of the form; what it says must be whole: -EINVAL, -ENOMEM */
	int (*read)(struct filter_value *v, const void *from, struct errtext *err);
	/* NULL: no flow has it */
	bool (*holds)(const struct filter_value *v, const struct clite_flow *f, bool source);
};

/* Cheap ones first. */
extern const struct filter_field filter_fields[];
extern const size_t nfilter_fields;

/* A field with its values, of which one has to hold. */
struct filter_test {
	const struct filter_field *field;
	struct filter_value *v;
	size_t n;
};

struct filter {
	struct filter_test *tests; /* all of them hold */
	size_t n;
};
