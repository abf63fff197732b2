/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* As bench.bpf.c, for frames at XDP: take the outer packet off again that the run before
 * has put on, make it a packet of another flow, and call the datapath's program; a twin
 * does the same and calls nothing. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Of the frame as it was handed in. */
__u32 len;
__u32 eth[3];
__u16 proto;
__u32 saddr; /* host byte order: of IPv6 the last word */
__u16 dport; /* as it lies in the frame */

__u32 state = 1; /* of the generator */
__u32 flows = 1; /* at random: how many */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} target SEC(".maps");

/* Returns where the IP header is. */
static __always_inline void *restore(struct xdp_md *ctx, __u32 need)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u64 now = end - data;
	__u32 i;

	/* The verifier takes no difference of pointers in 32 bits. */
	asm volatile("" : "+r"(now));
	if (bpf_xdp_adjust_head(ctx, (int)((__u32)now - len)))
		return 0;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + ETH_HLEN + need > end)
		return 0;
#pragma unroll
	for (i = 0; i < 3; i++)
		((__u32 *)data)[i] = eth[i];
	((__u16 *)data)[6] = proto;
	return data + ETH_HLEN;
}

static __always_inline __u32 flow_next(int random)
{
	__u32 x = state;

	if (!random)
		return 0;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	state = x;
	return (__u64)x * flows >> 32;
}

static __always_inline int restore4(struct xdp_md *ctx, int random)
{
	struct iphdr *ip = restore(ctx, sizeof(struct iphdr) + sizeof(struct tcphdr));
	__u32 flow = flow_next(random);

	if (!ip)
		return -1;
	ip->saddr = bpf_htonl(saddr + (flow >> 16));
	*(__u32 *)(ip + 1) = (__u32)dport << 16 | (flow & 0xffff);
	return 0;
}

static __always_inline int restore6(struct xdp_md *ctx, int random)
{
	struct ipv6hdr *ip = restore(ctx, sizeof(struct ipv6hdr) + sizeof(struct tcphdr));
	__u32 flow = flow_next(random);

	if (!ip)
		return -1;
	ip->saddr.in6_u.u6_addr32[3] = bpf_htonl(saddr + (flow >> 16));
	*(__u32 *)(ip + 1) = (__u32)dport << 16 | (flow & 0xffff);
	return 0;
}

#define BENCH(name, family, random)                          \
	SEC("xdp") int name(struct xdp_md *ctx)              \
	{                                                    \
		if (!restore##family(ctx, random))           \
			bpf_tail_call(ctx, &target, 0);      \
		return XDP_ABORTED;                          \
	}                                                    \
	SEC("xdp") int name##_empty(struct xdp_md *ctx)      \
	{                                                    \
		return restore##family(ctx, random) ?        \
			       XDP_ABORTED : XDP_PASS;       \
	}

BENCH(keep4, 4, 0)
BENCH(random4, 4, 1)
BENCH(keep6, 6, 0)
BENCH(random6, 6, 1)

/* The reference of the reference. */
SEC("xdp") int empty(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
