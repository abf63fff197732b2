/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A test run with repeats hands the same packet in again and again. These
 * programs put back what the datapath has rewritten, or make it a packet of
 * another flow, and call the datapath's program; each has a twin that does the
 * same and calls nothing: the reference. Packets are TCP without IP options.
 *
 * Fields are stored in the width in which they are read later: a load across two
 * young stores would stall, which does not happen to packets from a wire. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "clite_layout.h"

#ifndef NULL
#define NULL ((void *)0)
#endif

enum mode {
	KEEP,	/* one flow: TTL */
	NAT,	/* one translated flow: addresses, ports and sums too */
	RANDOM, /* flows at random: another source port each time */
	NEXT,	/* the next flow */
	NEXT_NAT, /* the next one that is translated */
};

/* Of the packet as it was handed in. */
__be32 saddr[4], daddr[4];
__be32 ports;
__u16 ip_check, tcp_check;
__u8 ttl;

__u32 state = 1; /* of the generator */
__u32 next;
__u32 flows = 1; /* at random: how many */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} target SEC(".maps");

static __always_inline __be32 ports_now(enum mode mode)
{
	__u32 port = 0;

	if (mode == RANDOM) {
		__u32 x = state;

		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		state = x;
		port = (__u64)x * flows >> 32;
	} else if (mode == NEXT || mode == NEXT_NAT) {
		port = next++ & 0xffff;
	}
	return bpf_htonl(port << 16 | (bpf_ntohl(ports) & 0xffff));
}

static __always_inline void ports_restore(struct tcphdr *tcp, enum mode mode)
{
	if (mode == NAT) {
		*(__be32 *)tcp = ports;
		tcp->check = tcp_check;
	} else if (mode != KEEP) {
		*(__be32 *)tcp = ports_now(mode);
	}
}

static __always_inline int restore4(struct __sk_buff *skb, enum mode mode)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end)
		return -1;
	ip->ttl = ttl;
	ip->check = ip_check;
	if (mode == NAT || mode == NEXT_NAT) {
		ip->saddr = saddr[0];
		ip->daddr = daddr[0];
	}
	ports_restore(tcp, mode);
	return 0;
}

static __always_inline int restore6(struct __sk_buff *skb, enum mode mode)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + ETH_HLEN;
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end)
		return -1;
	ip->hop_limit = ttl;
	if (mode == NAT) {
#pragma unroll
		for (int i = 0; i < 4; i++) {
			((__be32 *)&ip->saddr)[i] = saddr[i];
			((__be32 *)&ip->daddr)[i] = daddr[i];
		}
	}
	ports_restore(tcp, mode);
	return 0;
}

#define BENCH(name, family, mode)                           \
	SEC("tc") int name(struct __sk_buff *skb)           \
	{                                                   \
		if (!restore##family(skb, mode))            \
			bpf_tail_call(skb, &target, 0);     \
		return TC_ACT_SHOT;                         \
	}                                                   \
	SEC("tc") int name##_empty(struct __sk_buff *skb)   \
	{                                                   \
		return restore##family(skb, mode) ?         \
			       TC_ACT_SHOT : TC_ACT_UNSPEC; \
	}

BENCH(keep4, 4, KEEP)
BENCH(nat4, 4, NAT)
BENCH(random4, 4, RANDOM)
BENCH(next4, 4, NEXT)
BENCH(next_nat4, 4, NEXT_NAT)
BENCH(keep6, 6, KEEP)
BENCH(nat6, 6, NAT)
BENCH(random6, 6, RANDOM)

/* The flow table alone: what a look-up of flows at random costs on this machine. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct dp_flow4_key);
	__type(value, struct dp_flow);
} flow4 SEC(".maps");

__u32 ifindex;

static __always_inline struct dp_flow *flow_find(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct tcphdr *tcp = (void *)(ip + 1);
	struct dp_flow4_key key = {};

	if (restore4(skb, RANDOM) || (void *)(tcp + 1) > end)
		return NULL;
	key.saddr = ip->saddr;
	key.daddr = ip->daddr;
	key.sport = tcp->source;
	key.dport = tcp->dest;
	key.ifindex = ifindex;
	key.proto = ip->protocol;
	return bpf_map_lookup_elem(&flow4, &key);
}

SEC("tc") int look_up(struct __sk_buff *skb)
{
	return flow_find(skb) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

/* What attaching costs without anything to attach. */
SEC("tc") int nothing(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
