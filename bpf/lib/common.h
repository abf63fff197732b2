/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What every part uses: kernel headers, small helpers, the parsed packet. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "clite_layout.h"
#include "config.h"

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif
#ifndef NULL
#define NULL ((void *)0)
#endif

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* linux/icmp.h and linux/if_arp.h want the C library's headers: of them, this. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129
#define ARPHRD_ETHER 1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2

/* Not in the UAPI headers. */
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

/* How a function of the slow path ends: negative is a drop reason (Cilium's
 * number), else one of these. */
#define ACT_PASS 0 /* on to the next program, then the stack */
#define ACT_REDIRECT 1
#define ACT_CONSUMED 2 /* answered or swallowed: not a drop */

/* A packet, as far as it is known. Addresses and ports as it came. */
struct pkt {
	union dp_ip saddr;
	union dp_ip daddr;
	__be16 sport; /* ICMP echo: identifier and 0, see icmp_ports() */
	__be16 dport;
	u32 ifindex; /* of the key: 0 unless from an endpoint */
	u8 family;
	u8 proto;
	u8 scope; /* DP_SCOPE_* */
	u8 tcp_flags;
	u16 l4; /* offset of the layer 4 header */
	u8 frag;
	u8 file; /* where it was dropped */
	u16 line;
	u16 icmp; /* type << 8 | code */
	u32 hook_ifindex;
	u16 addr; /* offset of the IP header inside an ICMP error, 0: none */
	u16 dsr;  /* of the option that names a service, or the header of it, 0: none */
};

/* The options of direct server return: types and lengths, see dsr.h. */
#define DSR_IPV4_OPTION 0x9a /* copied into fragments, control, number 26 */
#define DSR_IPV4_LEN 8
#define DSR_IPV6_OPTION 0x1b /* skipped by who does not know it, does not change */
#define DSR_IPV6_LEN 20

#define FRAG_NONE 0
#define FRAG_FIRST 1
#define FRAG_LATER 2

/* Every file of the datapath has a number; see src/model/names.c. */
enum file_id {
	FILE_PARSE = 1,
	FILE_FLOW,
	FILE_ADMIT,
	FILE_POLICY,
	FILE_SERVICE,
	FILE_DELIVER,
	FILE_ND,
	FILE_ENDPOINT,
	FILE_FRAG,
	FILE_ICMP,
	FILE_NAT,
	FILE_SNAT,
	FILE_OUTER,
	FILE_XDP,
	FILE_HOP,
	FILE_TOOBIG,
	FILE_DSR,
};

/* The value of a function that drops: remembers where. */
#define DROP(p, file_, reason)          \
	({                              \
		(p)->file = (file_);    \
		(p)->line = __LINE__;   \
		-(int)(reason);         \
	})

#define DROP_INVALID_SIP 132
#define DROP_POLICY 133
#define DROP_INVALID 134
#define DROP_CT_INVALID_HDR 135
#define DROP_FRAG_NEEDED 136
#define DROP_CT_UNKNOWN_PROTO 137
#define DROP_UNKNOWN_L3 139
#define DROP_WRITE_ERROR 141
#define DROP_UNKNOWN_TARGET 150
#define DROP_CT_CREATE_FAILED 155
#define DROP_INVALID_EXTHDR 156
#define DROP_NO_SERVICE 158
#define DROP_NAT_NO_MAPPING 167
#define DROP_NAT_UNSUPP_PROTO 168
#define DROP_NO_FIB 169
#define DROP_IS_CLUSTER_IP 174
#define DROP_FRAG_NOT_FOUND 175
#define DROP_NOT_IN_SRC_RANGE 177
#define DROP_NO_PROXY 180
#define DROP_POLICY_DENY 181
#define DROP_VLAN_FILTERED 182
#define DROP_TTL_EXCEEDED 196
#define DROP_EP_NOT_READY 203
#define DROP_NO_EGRESS_IP 204

static __always_inline int ip_equal(const union dp_ip *a, const union dp_ip *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] &&
	       a->w[3] == b->w[3];
}

static __always_inline int is_tcp_or_udp(u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

/* Protocols whose packets begin with two ports. */
static __always_inline int has_ports(u8 proto)
{
	return is_tcp_or_udp(proto) || proto == IPPROTO_SCTP;
}

static __always_inline int is_icmp(const struct pkt *p)
{
	return (p->family == 4 && p->proto == IPPROTO_ICMP) ||
	       (p->family == 6 && p->proto == IPPROTO_ICMPV6);
}

static __always_inline int is_multicast(const union dp_ip *ip, u8 family)
{
	return family == 4 ? ip->b[0] >= 224 : ip->b[0] == 0xff;
}

/* A sum of 16-bit words as it stands in a header. */
static __always_inline u16 sum_fold(u32 s)
{
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return ~s;
}
