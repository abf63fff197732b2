/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The programs of an instance: one set for all its devices.
 *
 * from_endpoint: ingress of an endpoint's host-side device: what it sends.
 * to_endpoint:   egress of that device: what the host's stack sends to it.
 * from_netdev:   ingress of an uplink: what the world sends to endpoints and services.
 * to_netdev:     egress of an uplink: what the host answers for services.
 * slow:          what these do not do themselves: they call it.
 * clock:         run by the library to learn what jiffies64 is.
 */
#include "common.h"

#include "answer.h"
#include "deliver.h"
#include "event.h"
#include "slow.h"

static __always_inline struct scratch *scratch_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

#define FAST 1
#define FAST_TOLD 2 /* somebody wants to hear of every packet */

/* May an established flow's packet take the short way? 0: no. */
static __always_inline int fast_check(const struct dp_flow *f, u8 proto, u8 tcp_flags, u64 now)
{
	struct dp_control *ctl = control_get();

	if (!ctl || !flow_current(f, READ_ONCE(ctl->epoch)) || !flow_alive(f, now) ||
	    !flow_service_current(f))
		return 0;
	if (proto == IPPROTO_TCP &&
	    (tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST) || !(f->flags & DP_FLOW_TCP_OPEN)))
		return 0;
	if (!ctl->slots)
		return FAST;
	if (report_due(f, now))
		return 0;
	return ctl->every ? FAST_TOLD : FAST;
}

/* The event of a packet that takes it: IP without options or fragments, TCP or UDP, of which
 * the ports are there. */
__noinline int fast_tell(struct __sk_buff *skb, struct dp_flow *f)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip6 = data + L3;
	struct iphdr *ip = data + L3;
	struct scratch *s = scratch_get();
	u8 *l4;

	if (!s || !f || (void *)(ip + 1) + sizeof(struct udphdr) > end)
		return 0;
	__builtin_memset(&s->p, 0, sizeof(s->p));
	s->p.hook_ifindex = skb->ifindex;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		s->p.family = 4;
		s->p.proto = ip->protocol;
		s->p.saddr.v4 = ip->saddr;
		s->p.daddr.v4 = ip->daddr;
		l4 = (void *)(ip + 1);
	} else {
		if ((void *)(ip6 + 1) + sizeof(struct udphdr) > end)
			return 0;
		s->p.family = 6;
		s->p.proto = ip6->nexthdr;
		__builtin_memcpy(&s->p.saddr, &ip6->saddr, 16);
		__builtin_memcpy(&s->p.daddr, &ip6->daddr, 16);
		l4 = (void *)(ip6 + 1);
	}
	s->p.sport = *(__be16 *)l4;
	s->p.dport = *(__be16 *)(l4 + 2);
	if (s->p.proto == IPPROTO_TCP && (void *)(l4 + sizeof(struct tcphdr)) <= end)
		s->p.tcp_flags = l4[13];
	return event_trace(skb, s, f, f->flags & DP_FLOW_REPLY ? 2 : 1, 0);
}

static __always_inline int verdict(int ret)
{
	return ret == ACT_REDIRECT ? TC_ACT_REDIRECT : ret == ACT_PASS ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

/* A plain packet of an established flow; -1: the slow path knows. */
static __always_inline int fast4(struct __sk_buff *skb, u32 hook, u8 scope)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + L3;
	struct flow4_words key;
	u32 l4_len = sizeof(struct udphdr);
	struct dp_flow *f;
	union dp_ip daddr;
	u8 proto, flags = 0;
	u32 *ports;
	int how, ret;
	u64 now;

	if ((void *)(ip + 1) + sizeof(struct udphdr) > end)
		return -1;
	proto = ip->protocol;
	ports = (void *)(ip + 1);
	if (*(u8 *)ip != 0x45 || ip->frag_off & bpf_htons(IP_MF | IP_OFFSET))
		return -1;
	if (proto == IPPROTO_TCP) {
		struct tcphdr *tcp = (void *)(ip + 1);

		if ((void *)(tcp + 1) > end || tcp->doff < 5)
			return -1;
		flags = ((u8 *)tcp)[13];
		l4_len = tcp->doff * 4;
	} else if (proto != IPPROTO_UDP) {
		return -1;
	}
	if (bpf_ntohs(ip->tot_len) < sizeof(*ip) + l4_len ||
	    bpf_ntohs(ip->tot_len) + L3 > skb->len)
		return -1;

	daddr.v4 = ip->daddr;
	flow4_key(&key, ip->saddr, daddr.v4, *ports, hook == HOOK_FROM_ENDPOINT ? skb->ifindex : 0,
		  proto, scope);
	f = bpf_map_lookup_elem(&flow4, &key);
	if (hook == HOOK_TO_NETDEV && !f)
		return ACT_PASS;
	now = bpf_jiffies64();
	how = f ? fast_check(f, proto, flags, now) : 0;
	if (!how || odd_way(skb, f, is_egress(hook), now))
		return -1;

	flow_count(f, skb->len, now);
	count(0, hook_dir(hook), skb->len);
	if (unlikely(how == FAST_TOLD))
		fast_tell(skb, f);
	if (f->flags & DP_FLOW_NAT) {
		if (nat_ipv4(skb, proto, L3 + sizeof(*ip), FRAG_NONE, f->nat_saddr.v4,
			     f->nat_daddr.v4, f->nat_sport, f->nat_dport))
			return -2 - DROP_WRITE_ERROR;
		daddr.v4 = f->nat_daddr.v4;
	}
	ret = deliver(skb, f, 4, &daddr, is_egress(hook));
	return ret < 0 ? ret - 2 : ret;
}

static __always_inline int fast6(struct __sk_buff *skb, u32 hook, u8 scope)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + L3;
	const union dp_ip *daddr;
	struct flow6_words key;
	u32 l4_len = sizeof(struct udphdr);
	struct dp_flow *f;
	u8 proto, flags = 0;
	u32 *ports;
	int how, ret;
	u64 now;

	if ((void *)(ip + 1) + sizeof(struct udphdr) > end)
		return -1;
	proto = ip->nexthdr;
	ports = (void *)(ip + 1);
	if (*(u8 *)ip >> 4 != 6)
		return -1;
	if (proto == IPPROTO_TCP) {
		struct tcphdr *tcp = (void *)(ip + 1);

		if ((void *)(tcp + 1) > end || tcp->doff < 5)
			return -1;
		flags = ((u8 *)tcp)[13];
		l4_len = tcp->doff * 4;
	} else if (proto != IPPROTO_UDP) {
		return -1;
	}
	if (bpf_ntohs(ip->payload_len) < l4_len ||
	    bpf_ntohs(ip->payload_len) + L3 + sizeof(*ip) > skb->len)
		return -1;

	daddr = (const union dp_ip *)key.daddr;
	flow6_key(&key, ip->saddr.in6_u.u6_addr32, ip->daddr.in6_u.u6_addr32, *ports,
		  hook == HOOK_FROM_ENDPOINT ? skb->ifindex : 0, proto, scope);
	f = bpf_map_lookup_elem(&flow6, &key);
	if (hook == HOOK_TO_NETDEV && !f)
		return ACT_PASS;
	now = bpf_jiffies64();
	how = f ? fast_check(f, proto, flags, now) : 0;
	if (!how || odd_way(skb, f, is_egress(hook), now))
		return -1;

	flow_count(f, skb->len, now);
	count(0, hook_dir(hook), skb->len);
	if (unlikely(how == FAST_TOLD))
		fast_tell(skb, f);
	if (f->flags & DP_FLOW_NAT) {
		if (nat_ipv6(skb, proto, L3 + sizeof(*ip), FRAG_NONE, &f->nat_saddr,
			     &f->nat_daddr, f->nat_sport, f->nat_dport))
			return -2 - DROP_WRITE_ERROR;
		daddr = &f->nat_daddr;
	}
	ret = deliver(skb, f, 6, daddr, is_egress(hook));
	return ret < 0 ? ret - 2 : ret;
}

/* Everything else is one program, which the three share: loaded once. The scratch
 * memory tells it where it is. */
int clite_slow(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} programs SEC(".maps") = {
	.values = { [0] = (void *)&clite_slow },
};

/* reason: why the packet is to be dropped; 0: that is to be found out. */
static __always_inline int slow(struct __sk_buff *skb, u32 hook, u8 scope, u32 reason)
{
	struct scratch *s = scratch_get();

	if (s) {
		__builtin_memset(&s->p, 0, sizeof(s->p));
		s->p.scope = scope;
		s->p.ifindex = hook == HOOK_FROM_ENDPOINT ? skb->ifindex : 0;
		s->p.hook_ifindex = skb->ifindex;
		s->hook = hook;
		s->drop = reason;
		if (reason)
			DROP(&s->p, FILE_ENDPOINT, 0);
		bpf_tail_call(skb, &programs, 0);
	}
	return TC_ACT_SHOT;
}

static __always_inline int ip_packet(struct __sk_buff *skb, u32 hook, u8 scope)
{
	int ret;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		ret = fast4(skb, hook, scope);
	else
		ret = fast6(skb, hook, scope);
	if (likely(ret >= 0))
		return verdict(ret);
	/* below -1: dropped on the way out, only the reason is known */
	return slow(skb, hook, scope, ret < -1 ? -2 - ret : 0);
}

static __always_inline int is_ip(struct __sk_buff *skb)
{
	return skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6);
}

SEC("tc")
int clite_from_endpoint(struct __sk_buff *skb)
{
	if (unlikely(skb->vlan_present))
		return slow(skb, HOOK_FROM_ENDPOINT, 0, DROP_VLAN_FILTERED);
	if (likely(is_ip(skb)))
		return ip_packet(skb, HOOK_FROM_ENDPOINT, DP_SCOPE_ENDPOINT);
	return slow(skb, HOOK_FROM_ENDPOINT, 0,
		    skb->protocol == bpf_htons(ETH_P_ARP) ? 0 : DROP_UNKNOWN_L3);
}

SEC("tc")
int clite_to_endpoint(struct __sk_buff *skb)
{
	/* Judged where it came in, and sent here by a redirect. */
	if (unlikely(skb->mark == cfg_mark)) {
		skb->mark = 0;
		return TC_ACT_UNSPEC;
	}
	if (unlikely(skb->vlan_present))
		return slow(skb, HOOK_TO_ENDPOINT, 0, DROP_VLAN_FILTERED);
	if (likely(is_ip(skb)))
		return ip_packet(skb, HOOK_TO_ENDPOINT,
				 skb->ingress_ifindex ? DP_SCOPE_WORLD : DP_SCOPE_HOST);
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return TC_ACT_UNSPEC;
	return slow(skb, HOOK_TO_ENDPOINT, 0, DROP_UNKNOWN_L3);
}

SEC("tc")
int clite_from_netdev(struct __sk_buff *skb)
{
	if (skb->vlan_present || !is_ip(skb))
		return TC_ACT_UNSPEC;
	return ip_packet(skb, HOOK_FROM_NETDEV, DP_SCOPE_WORLD);
}

SEC("tc")
int clite_to_netdev(struct __sk_buff *skb)
{
	/* What is forwarded was judged where it came in. */
	if (skb->ingress_ifindex || skb->vlan_present || !is_ip(skb))
		return TC_ACT_UNSPEC;
	return ip_packet(skb, HOOK_TO_NETDEV, DP_SCOPE_HOST);
}

SEC("tc")
int clite_slow(struct __sk_buff *skb)
{
	struct scratch *s = scratch_get();
	u32 hook;
	int ret;

	if (!s)
		return TC_ACT_SHOT;
	__builtin_memset(&s->src, 0, sizeof(s->src));
	__builtin_memset(&s->dst, 0, sizeof(s->dst));
	__builtin_memset(&s->r, 0, sizeof(s->r));
	s->reply = 0;
	s->xlated = 0;
	s->dsr = 0;
	s->answer = 0;
	hook = s->hook;
	ret = s->drop ? -(int)s->drop : slow_path(skb, s, hook);
	if (ret >= 0)
		return verdict(ret);
	ret = drop(skb, s, -ret, hook_dir(hook));
	return s->answer ? answer(skb, s) : ret;
}

SEC("tc")
int clite_clock(struct __sk_buff *skb)
{
	struct dp_control *ctl = control_get();

	(void)skb;
	if (ctl)
		ctl->jiffies = bpf_jiffies64();
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
