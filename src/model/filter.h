/* SPDX-License-Identifier: BSD-2-Clause */
/* Filters of flows: values are parsed when a filter is made, not when it is asked. */
#pragma once

#include <cilium-lite/filter.h>

#include "util/util.h"

/* What comes from clients is limited; together these limit the time for a flow, too. */
#define FILTERS_MAX 128	       /* in a list */
#define FILTER_VALUES_MAX 4096 /* in a set */
#define FILTER_TEXT_MAX 1024   /* bytes of a value */
#define FILTER_TEXTS_MAX 65536 /* bytes of all values of a set */

struct filter;

/* Two lists, by CLITE_FILTER_*. Zero-initialised passes everything. */
struct filters {
	struct filter *list[2][FILTERS_MAX];
	size_t n[2];
	size_t values;
	size_t text;
	bool names; /* some field is about names: a flow must have them */
};

/* -EINVAL with field and value, -ENOMEM; the set is as before then. */
int filters_add(struct filters *fs, uint32_t list, const struct clite_flow_filter *from,
		struct errtext *err);
/* The same of JSON, also -CLITE_EUNSUPPORTED. */
int filters_add_json(struct filters *fs, uint32_t list, const char *json, struct errtext *err);
/* f must be valid; unless fs->names only its event counts. */
bool filters_pass(const struct filters *fs, const struct clite_flow *f);
void filters_clear(struct filters *fs);

/* ---- what can be decided from a packet's numbers ------------------------------ */

/* Everything that is said holds; what is 0 (family 0 of a prefix) says nothing. */
struct filter_kernel {
	uint32_t types;	     /* bits 1 << CLITE_EVENT_* */
	uint32_t verdicts;   /* bits 1 << CLITE_VERDICT_* */
	uint32_t replies;    /* bits 1 << is_reply of an event: 0 no, 1 yes, 2 not known */
	uint32_t directions; /* bits 1 << Hubble's direction: event_direction() */
	uint32_t families;   /* bits 1 << 4, 1 << 6 */
	uint32_t drop_reason;
	uint32_t tcp_flags;	  /* all of them are set */
	uint32_t source_identity; /* if has_source_identity */
	uint32_t destination_identity;
	uint16_t source_port; /* host byte order; if has_source_port: of TCP, UDP, SCTP */
	uint16_t destination_port;
	uint8_t protocol; /* IPPROTO_* */
	bool has_source_identity;
	bool has_destination_identity;
	bool has_source_port;
	bool has_destination_port;
	struct prefix source; /* family 0: any */
	struct prefix destination;
};

/* What the allow list lets through, as at most max (>= 1) alternatives: a flow that passes
 * fs has one of them. They may say less than the filters, never more. Returns how many; 0:
 * no event passes. */
size_t filters_kernel(const struct filters *fs, struct filter_kernel *ret, size_t max);
