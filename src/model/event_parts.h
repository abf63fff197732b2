/* SPDX-License-Identifier: BSD-2-Clause */
/* What the text and the JSON of an event have in common. */
#pragma once

#include "model/event.h"

enum event_l4 {
	L4_NONE, /* not known, or it has no ports: IP alone */
	L4_TCP,
	L4_UDP,
	L4_SCTP,
	L4_ICMP4,
	L4_ICMP6,
};

enum event_l4 event_l4(const struct clite_event *e);
/* Do the ports mean something? */
bool event_has_ports(const struct clite_event *e);
/* Hubble's direction is that of the connection: a reply that comes in belongs to one
 * that went out. CLITE_INGRESS, CLITE_EGRESS, 0: not known. */
uint32_t event_direction(const struct clite_event *e);
/* Hubble's subtype: a policy verdict has none. */
uint32_t event_subtype(const struct clite_event *e);
/* Bits of the TCP header from FIN up; names[bit]. */
#define TCP_FLAGS 9
extern const char *const tcp_flag_names[TCP_FLAGS];

/* Hubble's summary: "TCP Flags: SYN, ACK", "UDP", "ICMPv4 EchoRequest", "IPv4". */
void event_summary(const struct clite_event *e, struct buf *out);

/* Cookies of the rules that decided what the event says; 0: none did. */
struct event_rules {
	uint32_t egress;
	uint32_t ingress;
	bool denied;
};
struct event_rules event_rules(const struct clite_event *e);

/* Name of the service that the source (else the destination) is, or was before
 * translation; NULL: it is none, or has no name. */
const char *event_service(const struct clite_event *e, const struct event_names *names,
			  bool source);
/* Name of the endpoint that the source (else the destination) is; NULL as above. */
const char *event_endpoint(const struct clite_event *e, const struct event_names *names,
			   bool source);
