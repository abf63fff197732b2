/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the datapath and the library both see: keys and values of the maps.
 *
 * Compiled by clang for BPF and by the C compiler for the library. Padding is
 * explicit, sizes are asserted, byte order is in the type. DP_LAYOUT is the
 * version of everything in this file: change one, change the other. */
#ifndef CLITE_LAYOUT_H
#define CLITE_LAYOUT_H

#include <linux/types.h>

#define DP_LAYOUT 5

#define DP_SUBSCRIBERS 8

/* An address of either family; IPv4 stands in the first four bytes, the rest
 * is zero. */
union dp_ip {
	__u8 b[16];
	__be32 v4;
	__be32 w[4];
};

/* ---- instance ---------------------------------------------------------- */

/* Behind the record of an event, for a subscriber that wants it: the packet's first bytes. */
#define DP_CAPTURE_MAX 16384

#define DP_WAKE_NOT (~0ULL)

/* One subscriber to events. A slot is free, or its owner is dead, when the
 * lease is over. A cache line of its own: the owner writes wake often. */
struct dp_slot {
	__u64 lease;	   /* jiffies64 until which the owner wants events */
	__u64 wake;	   /* position in the ring: when more is written, wake the owner, once */
	__u32 types;	   /* bit per event type: 1 << DP_EV_* */
	__u32 aggregation; /* DP_AGG_* */
	__u32 capture;	   /* bytes of the packet that it wants */
	__u32 filters;	   /* alternatives of which one must hold, 0: it wants all */
	__u32 pid;	   /* owner, for people */
	__u32 pad[7];
};

#define DP_CONTROL_CLSACT 1 /* programs are attached by clsact, not TCX */
#define DP_CONTROL_NEIGH 2
/* What endpoints send to the world leaves with the uplink's address. */
#define DP_CONTROL_MASQ_V4 4
#define DP_CONTROL_MASQ_V6 8

struct dp_control {
	__u32 layout; /* DP_LAYOUT */
	__u32 epoch;  /* bit 0 names the live slot of every endpoint */
	__u64 revision; /* grows with every change of state by any process */
	__u32 slots;	/* bit per subscriber slot that may be in use */
	__u32 every;	/* bit per slot that wants every packet */
	__u32 dirty;	/* a writer has begun and not ended: the next one repairs */
	__u32 flags;	/* DP_CONTROL_* */
	__u64 jiffies;	/* jiffies64 when the clock program last ran */
	__u64 pad3[3];	/* the slots are cache lines */
	struct dp_slot slot[DP_SUBSCRIBERS];
	__u32 next_identity; /* never hand a number out twice in a row */
	__u32 next_cidr;
	__u32 next_rule;
	__u32 next_service;
	/* Source of outer packets (DP_MODE_IPIP); 0: what the routing table prefers, or,
	 * where the kernel does not tell (before 6.7), own: the uplink's. vary: bits of
	 * it, of IPv6 its last word, that are of the flow's hash. */
	__be32 outer4;
	__be32 outer4_vary;
	__be32 own4;
	__be32 outer6_vary;
	union dp_ip outer6;
	union dp_ip own6;
	__be16 gue_port;
	__u16 pad;
	__u32 pad2;
};

/* Aggregation levels: numbers of Cilium's --monitor-aggregation. */
#define DP_AGG_NONE 0
#define DP_AGG_MEDIUM 3

/* ---- endpoints --------------------------------------------------------- */

/* What changes with a commit: two of these per endpoint, control.epoch names
 * the live one. */
struct dp_ep_slot {
	__u32 gen;     /* flows remember it; another number: evaluate again */
	__u32 identity;
	__u32 egress;  /* policy number; 0: not enforced */
	__u32 ingress;
};

#define DP_EP_USED 1
#define DP_EP_V4 2
#define DP_EP_V6 4
#define DP_EP_PEER 8	  /* deliver with bpf_redirect_peer (veth) */
#define DP_EP_LEARN 16 /* learn the MAC from the endpoint's packets */

struct dp_ep {
	struct dp_ep_slot slot[2];
	__u32 ifindex;	  /* host-side device */
	__u8 mac[6];	  /* the endpoint's own; zero: not known */
	__u8 host_mac[6]; /* host-side device's; answers ARP and ND */
	__u16 flags;
	__u16 pad;
	union dp_ip v6;
	__be32 v4;
	__u32 born; /* its first generation: flows of older ones are a former endpoint's */
	__u32 pad2[5];
};

/* Index 0 of the endpoint map is no endpoint: it stands for everything
 * outside. Its gen grows when ipcache changes. */

/* ---- addresses --------------------------------------------------------- */

struct dp_addr_key {
	union dp_ip ip;
	__u8 family; /* 4 or 6 */
	__u8 pad[3];
};

struct dp_addr {
	__u32 identity; /* of an address that is no endpoint */
	__u32 ep;	/* endpoint, 0: none */
};

/* Longest prefix. prefixlen counts the 32 bits before the address. */
struct dp_ipcache_key {
	__u32 prefixlen;
	__u8 family;
	__u8 pad[3];
	union dp_ip ip;
};

/* ---- policy ------------------------------------------------------------ */

/* Protocols have small numbers in port intervals. */
#define DP_PP_TCP 0
#define DP_PP_UDP 1
#define DP_PP_SCTP 2
#define DP_PP_ICMP 3	  /* the type stands for the port */
#define DP_PP_ICMPV6 4 /* the type stands for the port */

struct dp_policy {
	__u32 ports; /* first of its intervals in the ports map */
	__u32 nports; /* 0: one class, 0 */
	__u8 verdict; /* where no verdict entry says otherwise */
	__u8 audit;   /* what it denies is told, and passes */
	__u8 pad[2];
	__u32 rule; /* cookie of that */
	__u32 peer_classes; /* numbers given out: the library's, never used again */
	__u32 pad2;
};

/* Sorted by start; an interval ends where the next begins. The first starts
 * at 0. */
struct dp_port_interval {
	__u32 start; /* DP_PP_* << 16 | port or ICMP type, host byte order */
	__u32 class;
};

struct dp_peer_key {
	__u32 policy;
	__u32 identity;
};
/* value: __u32 peer class; a missing entry is class 0 */

struct dp_verdict_key {
	__u32 policy;
	__u32 peer_class;
	__u32 port_class;
};

#define DP_VERDICT_DENY 0 /* nothing allows: drop reason 133 */
#define DP_VERDICT_ALLOW 1
#define DP_VERDICT_DENIED 2 /* a deny rule says so: drop reason 181 */
#define DP_VERDICT_AUDITED 4 /* in events: denied, but it passes */

/* Cilium's policy match types. */
#define DP_MATCH_NONE 0
#define DP_MATCH_L3 1
#define DP_MATCH_L3_L4 2
#define DP_MATCH_L4 3
#define DP_MATCH_ALL 4
#define DP_MATCH_L3_PROTO 5
#define DP_MATCH_PROTO 6

struct dp_verdict {
	__u8 verdict;
	__u8 match; /* DP_MATCH_* of the deciding rule */
	__u8 listener; /* allowed, and goes there: its number; 0: goes on. Without one it is dropped */
	__u8 audit;    /* not in the map: that of the policy */
	__u32 rule; /* cookie */
};

/* ---- services ---------------------------------------------------------- */

struct dp_service_key {
	union dp_ip ip;
	__be16 port;
	__u8 proto; /* IPPROTO_* */
	__u8 family;
};

#define DP_ALG_RANDOM 1 /* numbers of Cilium's lb4_service */
#define DP_ALG_MAGLEV 2

#define DP_SVC_EXT_LOCAL 1    /* from outside: only back ends on this host */
#define DP_SVC_INT_LOCAL 2    /* from endpoints and the host: only those */
#define DP_SVC_SOURCES 4      /* from outside: only from its prefixes in the sources map... */
#define DP_SVC_SOURCES_DENY 8 /* ...or only from elsewhere */
#define DP_SVC_ROUTABLE 32    /* for the world, too */
#define DP_SVC_REJECT 16      /* without a back end its packets are answered */
/* How a packet gets to its back end. Translated at tc, or whole, in an outer packet,
 * from the uplink it came in by: the back end answers the client itself. */
#define DP_MODE_SNAT 0
#define DP_MODE_DSR 1  /* translated one way: the back end's node answers as the service */
#define DP_MODE_IPIP 2 /* IPv4 in IPv4, IPv6 in IPv6 */
#define DP_MODE_GUE 3  /* the same behind a UDP header: GUE, variant 1 */

struct dp_service {
	__u32 id;     /* 1 and up; index into the generations */
	__u32 gen;
	__u32 table;  /* first slot in the slots map */
	__u32 nslots; /* 0: no back end */
	__u32 local_table; /* the same of those on this host */
	__u32 local_nslots;
	__u32 affinity; /* seconds that a client keeps its back end, 0: no affinity */
	__u8 alg;
	__u8 mode;
	__u16 flags; /* DP_SVC_* */
};

/* Who was sent where. */
struct dp_affinity_key {
	union dp_ip client; /* an address, or, at the socket, a network namespace's cookie */
	__u32 service;
	__u32 netns; /* 1 if so */
};

struct dp_affinity {
	__u64 seen; /* jiffies64 of the last flow */
	__u32 backend;
	__u32 pad;
};

/* Longest prefix. prefixlen counts the 96 bits before the address. Service 0 holds what
 * is not masqueraded. */
struct dp_source_key {
	__u32 prefixlen;
	__u32 service;
	__u32 gen; /* of the service: a change writes a list beside the one in use */
	__u8 family;
	__u8 pad[3];
	union dp_ip ip;
};
/* value: __u32 1 */

/* Balancers there say, in packets' options, what endpoints are to answer from. */
#define DP_UPLINK_DSR 1

/* A device to the world, by ifindex. */
struct dp_uplink {
	union dp_ip v6; /* what packets are sent from that get another source; 0: none */
	__be32 v4;
	__u32 flags; /* DP_UPLINK_* */
};

#define DP_BACKEND_STATE 0x7f
#define DP_BACKEND_LOCAL 0x80 /* it is on this host */

struct dp_backend {
	union dp_ip ip;
	__be16 port;
	__u8 family;
	__u8 state;    /* 0: active, as Cilium numbers them; | DP_BACKEND_LOCAL */
	__u32 service; /* id of the service it belongs to; 0: free */
};

/* ---- sockets ----------------------------------------------------------- */

/* A socket that has asked for a service, and the back end that it got. */
#define DP_SOCKET_BACK 0  /* key: the back end's address; value: the service's */
#define DP_SOCKET_FORTH 1 /* of one that is not connected: the other way round */

struct dp_socket_key {
	__u64 cookie;
	union dp_ip ip;
	__be16 port;
	__u8 proto;
	__u8 family;
	__u32 way; /* DP_SOCKET_* */
};

struct dp_socket {
	union dp_ip ip;
	__be16 port;
	__u16 pad;
	__u32 service;
	__u32 backend;
	__u32 pad2;
	__u64 netns; /* cookie of the network namespace that it lives in */
};

/* ---- flows at XDP ------------------------------------------------------- */

/* Where a flow to a service goes: a cache, of which each CPU has a part of its own.
 * Losing an entry costs a look-up; the hash of the flow finds the same back end
 * again unless the service has changed. */
struct dp_cached {
	__u8 proto; /* 0: free */
	__u8 used;  /* found again since it was written, or looked at for eviction */
	__u16 pad;
	__u32 backend;
	__u32 service;
	__u32 gen; /* of the service, when the back end was chosen */
	__u32 who; /* of the back end's address: numbers are used again */
};

struct dp_cache4 {
	__be32 saddr;
	__be32 daddr;
	__u32 ports; /* as they lie in the packet */
	struct dp_cached to;
};

struct dp_cache6 {
	union dp_ip saddr;
	union dp_ip daddr;
	__u32 ports;
	struct dp_cached to;
	__u32 pad2[2];
};

/* Entries that one hash leads to: whole cache lines. */
#define DP_WAYS4 4
#define DP_WAYS6 2

struct dp_set4 {
	struct dp_cache4 way[DP_WAYS4];
};

struct dp_set6 {
	struct dp_cache6 way[DP_WAYS6];
};

/* The way to a back end, by its number. Good for a second, and for one generation of
 * the service. */
struct dp_hop {
	__u32 service;
	__u32 gen;
	__u32 resolved; /* jiffies */
	__u32 ifindex;
	union dp_ip src; /* of the outer packet */
	union dp_ip dst;
	__u8 dmac[6];
	__u8 smac[6];
	__u16 mtu; /* 0: not known */
	__u8 mode; /* DP_MODE_* */
	__u8 pad;
};

/* What one CPU has done in the second that began then. */
struct dp_pace {
	__u32 since; /* jiffies */
	__u32 flows; /* new in the cache */
	__u32 icmp;  /* errors sent */
	__u32 pad;
};

/* ---- flows ------------------------------------------------------------- */

/* Where a packet was seen. Part of the key, so that a packet from outside
 * can never use the entry of an endpoint's. */
#define DP_SCOPE_ENDPOINT 0 /* from the endpoint behind ifindex */
#define DP_SCOPE_HOST 1     /* to an endpoint, made by this host */
#define DP_SCOPE_WORLD 2    /* to an endpoint, come from elsewhere */
#define DP_SCOPE_REPLY 4    /* ICMP echo reply: the ports of ICMP are id and this */

struct dp_flow4_key {
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u32 ifindex; /* 0 unless DP_SCOPE_ENDPOINT */
	__u8 proto;
	__u8 scope;
	__u16 pad;
};

struct dp_flow6_key {
	union dp_ip saddr;
	union dp_ip daddr;
	__be16 sport;
	__be16 dport;
	__u32 ifindex;
	__u8 proto;
	__u8 scope;
	__u16 pad;
};

#define DP_FLOW_REPLY 1    /* the answering direction */
#define DP_FLOW_NAT 2      /* rewrite addresses and ports */
#define DP_FLOW_HAIRPIN 4  /* an endpoint reaches itself by a service */
#define DP_FLOW_TCP_OPEN 8 /* something other than a SYN was seen */
#define DP_FLOW_CLOSING 16 /* FIN or RST in this direction */
#define DP_FLOW_NEIGH 32   /* out by neighbour redirect, not the stack */
#define DP_FLOW_PAIR 64    /* has an entry for the other direction */
#define DP_FLOW_SNAT 128   /* leaves with another source: the port is allocated */

/* Direct server return. OUT: to a back end whose node is told the service by an option; it
 * answers past this host, so there is no entry for the other direction. BACK: that node's.
 * The entry for answers is translated (DP_FLOW_NAT); the other one, which is not, keeps the
 * service's address and port in nat_daddr and nat_dport. */
#define DP_DSR_OUT 1
#define DP_DSR_BACK 2

/* One direction of an admitted flow: all that its packets need. What the fast path
 * reads of every packet comes first: in an element of flow4 it lies behind 48 bytes
 * of the kernel's and 24 of the key, up to the end of the second cache line, and
 * the whole element is three lines. */
struct dp_flow {
	__u64 packets;
	__u64 bytes;
	__u64 seen;	/* jiffies64 of the last packet */
	__u32 lifetime; /* in jiffies after that */
	__u32 reported; /* jiffies of the last event, 0: none; wraps around */
	__u16 src_ep;	/* 0: outside */
	__u16 dst_ep;
	__u32 src_gen;
	__u32 dst_gen;
	__u32 service; /* 0: none */
	__u32 service_gen;
	__u8 flags;	 /* DP_FLOW_* */
	__u8 tcp_seen;	 /* TCP flags seen in this direction, ORed */
	__u8 pair_scope; /* DP_SCOPE_* of the other direction's key */
	__u8 dsr;	 /* DP_DSR_* */
	union dp_ip nat_saddr;
	union dp_ip nat_daddr;
	__be16 nat_sport;
	__be16 nat_dport;
	__u32 backend; /* 0: none */
	__u32 src_identity;
	__u32 dst_identity;
	__u32 egress_rule;
	__u32 ingress_rule;
	__u32 oif; /* DP_FLOW_NEIGH */
	__u32 dsr_told; /* jiffies when a packet last had the option, 0: none */
};

struct dp_frag_key {
	union dp_ip saddr;
	union dp_ip daddr;
	__u32 id;
	__u32 ifindex;
	__u8 proto;
	__u8 scope;
	__u8 family;
	__u8 pad;
};

struct dp_frag {
	__be16 sport;
	__be16 dport;
	__u8 scope; /* DP_SCOPE_REPLY of the first fragment */
	__u8 pad[3];
};

/* ---- events ------------------------------------------------------------ */

/* Event types: Cilium's monitor numbers. */
#define DP_EV_DROP 1
#define DP_EV_TRACE 4
#define DP_EV_VERDICT 5

#define DP_EVF_IPV6 1
#define DP_EVF_REPLY 2   /* the packet answers: known for traces */
#define DP_EVF_REPLY_KNOWN 4
#define DP_EVF_XLATED 8  /* orig_* hold what was there before translation */
#define DP_EVF_L4 16	    /* ports (or ICMP type and code) are valid */
#define DP_EVF_END 32    /* the flow's last event */

struct dp_event_rec {
	__u64 time; /* CLOCK_BOOTTIME, ns */
	__u8 type;  /* DP_EV_* */
	__u8 subtype; /* drop reason or trace point, Cilium's numbers */
	__u8 reason;  /* trace: Cilium's trace reason; verdict: match type */
	__u8 dir;     /* 1 ingress, 2 egress, 0 not known */
	__u8 verdict; /* verdict event: DP_VERDICT_*, | DP_VERDICT_AUDITED */
	__u8 proto;
	__u8 tcp_flags;
	__u8 flags; /* DP_EVF_* */
	__u16 src_ep;
	__u16 dst_ep;
	__u32 src_identity;
	__u32 dst_identity;
	__u32 egress_rule; /* cookies of what decided; 0: none */
	__u32 ingress_rule;
	__u32 ifindex;
	__u32 len; /* of the packet */
	__be16 sport; /* ICMP: type << 8 | code in host order stands in dport */
	__be16 dport;
	union dp_ip saddr; /* as the packet left (after translation) */
	union dp_ip daddr;
	union dp_ip orig_addr; /* address before translation: the service's */
	__be16 orig_port;
	__u16 line; /* drop: where in the datapath */
	__u8 file;
	__u8 pad[3];
	__u64 packets; /* of the flow in this direction, this one included */
	__u64 bytes;
};

#define DP_FILTERS 8

#define DP_FILTER_PROTOCOL 1
#define DP_FILTER_DROP_REASON 2
#define DP_FILTER_SOURCE_IDENTITY 4
#define DP_FILTER_DESTINATION_IDENTITY 8
#define DP_FILTER_SOURCE_PORT 16
#define DP_FILTER_DESTINATION_PORT 32

/* One of a subscriber's alternatives: all of it holds. Sets of bits: 1 << Hubble's or
 * Cilium's number of what may be. */
struct dp_filter {
	__u8 types;
	__u8 verdicts;
	__u8 replies;	 /* 0 no, 1 yes, 2 not known */
	__u8 directions; /* 0 not known, 1 ingress, 2 egress */
	__u8 families;	 /* 4, 6 */
	__u8 tcp_flags;	 /* all of them */
	__u8 protocol;
	__u8 drop_reason;
	__u32 fields; /* DP_FILTER_*: what is asked for of the others */
	__u32 source_identity;
	__u32 destination_identity;
	__be16 source_port;
	__be16 destination_port;
	union dp_ip source;
	union dp_ip source_mask; /* 0: any */
	union dp_ip destination;
	union dp_ip destination_mask;
};

struct dp_filters {
	struct dp_filter v[DP_FILTERS];
};

/* ---- counters ---------------------------------------------------------- */

struct dp_counter {
	__u64 packets;
	__u64 bytes;
};

/* Index of the metrics map: (reason << 2 | direction); reason 0: forwarded. */
#define DP_METRICS (256 << 2)

/* ---- the library's own state ------------------------------------------- */

/* Objects as blobs in pieces: what the datapath does not need to know. */
struct dp_store_key {
	__u32 kind;
	__u32 id;
	__u32 gen; /* of the blob; 0 is the head record */
	__u32 piece;
};

#define DP_STORE_PIECE 240

struct dp_store_value {
	__u8 bytes[DP_STORE_PIECE];
};

#define DP_ASSERT_SIZE(type, size) \
	_Static_assert(sizeof(struct type) == (size), #type " has another size")
DP_ASSERT_SIZE(dp_slot, 64);
DP_ASSERT_SIZE(dp_control, 64 + 64 * DP_SUBSCRIBERS + 16 + 56);
DP_ASSERT_SIZE(dp_ep, 96);
DP_ASSERT_SIZE(dp_addr_key, 20);
DP_ASSERT_SIZE(dp_ipcache_key, 24);
DP_ASSERT_SIZE(dp_policy, 24);
DP_ASSERT_SIZE(dp_service_key, 20);
DP_ASSERT_SIZE(dp_service, 32);
DP_ASSERT_SIZE(dp_affinity_key, 24);
DP_ASSERT_SIZE(dp_affinity, 16);
DP_ASSERT_SIZE(dp_source_key, 32);
DP_ASSERT_SIZE(dp_uplink, 24);
DP_ASSERT_SIZE(dp_backend, 24);
DP_ASSERT_SIZE(dp_socket_key, 32);
DP_ASSERT_SIZE(dp_socket, 40);
DP_ASSERT_SIZE(dp_backend, 24);
DP_ASSERT_SIZE(dp_set4, 128);
DP_ASSERT_SIZE(dp_set6, 128);
DP_ASSERT_SIZE(dp_hop, 64);
DP_ASSERT_SIZE(dp_flow4_key, 20);
DP_ASSERT_SIZE(dp_flow6_key, 44);
DP_ASSERT_SIZE(dp_flow, 120);
DP_ASSERT_SIZE(dp_frag_key, 44);
DP_ASSERT_SIZE(dp_event_rec, 120);
DP_ASSERT_SIZE(dp_filter, 88);
_Static_assert(__builtin_offsetof(struct dp_flow, nat_saddr) == 128 - 48 - 24, "hot part");

#endif
