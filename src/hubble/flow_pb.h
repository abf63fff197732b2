/* SPDX-License-Identifier: BSD-2-Clause */
/* Flows as Hubble's messages, both ways. The values are those of clite_flow_json(). */
#pragma once

#include <cilium-lite/flow.h>

#include "hubble/base.h"
#include "flow.pb-c.h"

#define ADDRESS_STR 46 /* INET6_ADDRSTRLEN */

/* ---- to a message ------------------------------------------------------------ */

/* A message with the memory of what it points to, but for texts, which stay the flow's.
 * Zero-initialised is empty; may be used again and again. */
struct flow_pb {
	Flow__Flow flow;
	Google__Protobuf__Timestamp time;
	Google__Protobuf__BoolValue is_reply;
	Flow__IP ip;
	Flow__Layer4 l4;
	union {
		Flow__TCP tcp;
		Flow__UDP udp;
		Flow__SCTP sctp;
		Flow__ICMPv4 icmp4;
		Flow__ICMPv6 icmp6;
	};
	Flow__TCPFlags tcp_flags;
	Flow__Endpoint ends[2];
	Flow__Workload workloads[2];
	Flow__Workload *workload_list[2];
	Flow__Service services[2];
	Flow__CiliumEventType event_type;
	Flow__FileInfo file;
	Flow__NetworkInterface interface;
	char source[ADDRESS_STR], destination[ADDRESS_STR];
	struct arena arena;
};

/* f must be whole, as clite_flow_json() wants it, and stay as long as the message is
 * used. -ENOMEM. */
int flow_to_pb(const struct clite_flow *f, struct flow_pb *pb);
void flow_pb_clear(struct flow_pb *pb);
void time_to_pb(uint64_t ns, Google__Protobuf__Timestamp *ret);
/* What is before 1970 is 0, what is too late is UINT64_MAX. */
uint64_t time_from_pb(const Google__Protobuf__Timestamp *t);

/* Bits as in the TCP header. */
uint32_t tcp_flags_from_pb(const Flow__TCPFlags *m);

/* ---- from a message ------------------------------------------------------------ */

/* A flow that owns all that it points to. Zero-initialised is empty; may be used again
 * and again. */
struct flow_record {
	struct clite_flow flow;
	struct clite_event event;
	struct clite_flow_end ends[2];
	struct arena arena;
};

/* The message may go then. -ENOMEM. */
int flow_from_pb(const Flow__Flow *m, struct flow_record *r);
void flow_record_clear(struct flow_record *r);
