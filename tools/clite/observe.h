/* SPDX-License-Identifier: BSD-2-Clause */
/* "clite observe": options to filters, times, and how flows are printed. */
#pragma once

#include <cilium-lite/filter.h>

#include "output.h"

/* Keys of options; those of filters that have a letter are that letter. */
enum {
	OBS_ALL = 1000,
	OBS_FIRST,
	OBS_LAST,
	OBS_SINCE,
	OBS_UNTIL,
	OBS_INPUT_FILE,
	OBS_NO_AGGREGATION,
	OBS_PRINT_NODE_NAME,
	OBS_PRINT_POLICY_NAMES,
	OBS_TIME_FORMAT,
	OBS_COLOR,
	OBS_IP_TRANSLATION,
	OBS_NUMERIC,
	OBS_PRINT_RAW_FILTERS,
	OBS_FIELD_MASK,

	OBS_SERVER, /* and those of a connection: hubble.h */
	OBS_TIMEOUT,
	OBS_REQUEST_TIMEOUT,
	OBS_TLS,
	OBS_TLS_ALLOW_INSECURE,
	OBS_TLS_CA,
	OBS_TLS_CERT,
	OBS_TLS_KEY,
	OBS_TLS_NAME,

	OBS_ALLOWLIST,
	OBS_DENYLIST,
	OBS_NOT,
	OBS_FROM_ALL_NS,
	OBS_TO_ALL_NS,
	OBS_CLUSTER,
	OBS_FROM_CLUSTER,
	OBS_TO_CLUSTER,
	OBS_CEL,
	OBS_DNS_QUERY,
	OBS_DROP_REASON,
	OBS_ENCRYPTED,
	OBS_UNENCRYPTED,
	OBS_FQDN,
	OBS_FROM_FQDN,
	OBS_TO_FQDN,
	OBS_FROM_IDENTITY,
	OBS_IDENTITY,
	OBS_TO_IDENTITY,
	OBS_FROM_IP,
	OBS_IP,
	OBS_TO_IP,
	OBS_SNAT_IP,
	OBS_FROM_LABEL,
	OBS_TO_LABEL,
	OBS_FROM_NS,
	OBS_TO_NS,
	OBS_FROM_POD,
	OBS_POD,
	OBS_TO_POD,
	OBS_FROM_PORT,
	OBS_PORT,
	OBS_TO_PORT,
	OBS_FROM_SERVICE,
	OBS_SERVICE,
	OBS_TO_SERVICE,
	OBS_FROM_WORKLOAD,
	OBS_WORKLOAD,
	OBS_TO_WORKLOAD,
	OBS_HTTP_HEADER,
	OBS_HTTP_METHOD,
	OBS_HTTP_PATH,
	OBS_HTTP_STATUS,
	OBS_HTTP_URL,
	OBS_INTERFACE,
	OBS_IP_VERSION,
	OBS_NODE_LABEL,
	OBS_NODE_NAME,
	OBS_PROTOCOL,
	OBS_TCP_FLAGS,
	OBS_TRACE_ID,
	OBS_DIRECTION,
	OBS_UUID,
	OBS_VERDICT,
};

/* ---- filters (observe_filter.c) --------------------------------------------- */

/* What the options say of one list: as JSON of Hubble's FlowFilter, with the names of
 * flow.proto. An option about both ends is one for each: left is about the source. */
struct filter_list {
	json_t *left, *right; /* NULL: no option was about it */
	json_t *raw;	      /* array: of --allowlist or --denylist */
	struct strings ns, source_ns, destination_ns;
	int *used; /* keys of the options that were given */
	size_t nused;
};

struct filter_options {
	const struct cli *cli;
	bool inverted; /* the next one is denied: --not */
	struct filter_list allow, deny;
};

/* Take an option if it is one of a filter; what is wrong with it ends the process. */
bool filter_option(struct filter_options *o, int key, const char *value);
/* No more options come: what contradicts another ends the process. Returns the filters
 * of a list as an array. */
void filter_options_end(struct filter_options *o, json_t **ret_allow, json_t **ret_deny);
void filter_options_clear(struct filter_options *o);

/* ---- filters as the library takes them (observe_fields.c) -------------------- */

/* An array of struct clite_flow_filter and what it points to. */
struct flow_filters {
	struct clite_flow_filter *items;
	size_t n;
	struct strings texts;
};

/* Of an array of FlowFilters in JSON. On failure the text of an error (free it), else
 * NULL. */
char *flow_filters_read(struct flow_filters *filters, const json_t *array);
void flow_filters_clear(struct flow_filters *filters);
/* The same with the fields in the order of flow.proto, as Hubble prints it. */
json_t *filter_in_order(const json_t *filter);
/* snake_case of camelCase, as protobuf takes both. */
char *snake_case(const char *name);

/* Number of one of Hubble's names, whatever its case; false: there is none. */
bool verdict_number(const char *name, uint32_t *ret);
bool drop_reason_number(const char *name, uint32_t *ret);
const char *verdict_name(uint32_t verdict);	       /* "VERDICT_UNKNOWN" for one that is none */
const char *reserved_identity_name(uint32_t identity); /* or NULL */
/* 0: none of the flags of TCP. */
uint32_t tcp_flag_bit(const char *name);

/* ---- times (observe_time.c) --------------------------------------------------- */

/* Nanoseconds since 1970 of "3s", "1h30m" (ago), "2024-05-04", "2024-05-04T10:00:00Z"
 * and other forms that Hubble takes. */
bool time_parse(const char *text, uint64_t *ret);
bool duration_parse(const char *text, uint64_t *ret); /* "1m30s", in nanoseconds */
/* Number of a format: "StampMilli", "RFC3339", ... */
bool time_format_find(const char *name, unsigned int *ret);
char *time_text(unsigned int format, uint64_t ns);

/* ---- printing (observe_print.c) ------------------------------------------------ */

enum output {
	OUTPUT_COMPACT,
	OUTPUT_DICT,
	OUTPUT_JSON,
	OUTPUT_TABLE,
};

struct printer {
	const struct cli *cli;
	enum output output;
	bool node_names;
	bool policy_names;
	bool numeric; /* no names of pods, services and DNS */
	bool color;
	unsigned int time_format;

	uint64_t count; /* of records so far */
	struct table table;
	bool headed; /* its headings are printed */
	char *json;
	size_t size;
};

/* "compact", "dict", "json", "jsonpb", "tab", "table". */
bool output_find(const char *name, enum output *ret);
/* "auto", "always", "never". */
bool color_find(const char *when, bool *ret);
/* 0 or a negative errno. */
int print_flow(struct printer *p, const struct clite_flow *flow);
void print_table_begin(struct printer *p);
/* A table that has so many rows that they are better printed. */
void print_full_table(struct printer *p);
/* What is still kept back for its width. */
void print_end(struct printer *p);
void printer_clear(struct printer *p);
