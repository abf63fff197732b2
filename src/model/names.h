/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of numbers, as Cilium and Hubble have them. Every function returns static
 * text, or NULL for a number that has no name.
 *
 * Here are also clite_drop_reason_text(), clite_drop_reason_name() and
 * clite_trace_point_text() of the public API; the text of a "drop reason" below
 * DROP_REASON_MIN is that of a counter which is no drop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <cilium-lite/event.h>

#define DROP_REASON_MIN 130
#define DROP_REASON_MAX 205
#define DROP_REASON_POLICY 133	    /* nothing allows */
#define DROP_REASON_POLICY_DENY 181 /* a rule denies */
#define TRACE_POINT_MAX 13
#define TRACE_REASON_MAX 8
#define TRACE_REASON_NEW 0
#define TRACE_REASON_REPLY 2
#define MATCH_TYPE_MAX 6
#define DATAPATH_FILE_MAX 17

/* Hubble's TraceObservationPoint for Cilium's number: "TO_ENDPOINT" for 0. */
const char *trace_point_name(uint32_t point);
/* Hubble's TraceReason for Cilium's number: "NEW" for 0. */
const char *trace_reason_name(uint32_t reason);
/* What a policy verdict matched, as Cilium prints it: "L3-L4". */
const char *match_type_text(uint32_t match);
/* "host" for 1, without "reserved:". */
const char *reserved_identity_name(uint32_t identity);
/* File of the datapath that dropped a packet; "" for 0. */
const char *datapath_file_name(uint32_t file);
/* As Hubble prints them: "EchoRequest"; "Port" of "DestinationUnreachable". */
const char *icmp_type_name(bool v6, uint8_t type);
const char *icmp_code_name(bool v6, uint8_t type, uint8_t code);
/* Does a code mean something for this type? */
bool icmp_type_has_codes(bool v6, uint8_t type);
