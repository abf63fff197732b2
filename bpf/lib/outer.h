/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Outer packets at tc, on an uplink: of what XDP has left to it, or of everything where
 * there is no XDP. Without memory: the hash of the flow says which back end. */
#pragma once

#include "icmp.h"
#include "report.h"
#include "tunnel.h"

/* XDP has chosen: only it remembers flows whose service has changed since. */
static __always_inline u32 backend_told(struct __sk_buff *skb, const struct dp_service *svc)
{
	struct dp_cached *meta = (void *)(long)skb->data_meta;
	struct dp_backend *b;

	if ((void *)(meta + 1) > (void *)(long)skb->data || meta->service != svc->id)
		return 0;
	b = backend_get(meta->backend);
	return b && b->service == svc->id ? meta->backend : 0;
}

/* Fill s->hop but for what redirect_neigh finds itself. */
static __always_inline int outer_hop(struct __sk_buff *skb, struct scratch *s,
				     const struct dp_service *svc, u32 id)
{
	struct dp_control *ctl = control_get();
	struct dp_backend *b = backend_get(id);
	struct bpf_fib_lookup fib;
	long ret;

	if (!id || !b || b->service != svc->id || !ctl)
		return DROP(&s->p, FILE_OUTER, DROP_NO_SERVICE);
	ret = outer_route(skb, &fib, skb->ifindex, b->family, &b->ip);
	if (is_endpoint(fib.ifindex, b->family, &b->ip))
		return NEXT_ADMIT;
	if ((ret != BPF_FIB_LKUP_RET_SUCCESS && ret != BPF_FIB_LKUP_RET_NO_NEIGH) ||
	    outer_source(ctl, &fib, b->family, &s->hop.src))
		return DROP(&s->p, FILE_OUTER, DROP_NO_FIB);
	s->hop.dst = b->ip;
	s->hop.ifindex = fib.ifindex;
	/* mtu_result, which is not told without a neighbour */
	s->hop.mtu = ret == BPF_FIB_LKUP_RET_SUCCESS ? fib.tot_len : 0;
	s->hop.mode = svc->mode;
	return 0;
}

static __always_inline u64 room_flags(u8 family, u8 mode)
{
	u64 flags = family == 4 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;

	return mode == DP_MODE_GUE ? flags | BPF_F_ADJ_ROOM_ENCAP_L4_UDP : flags;
}

static __always_inline int outer_put4(struct __sk_buff *skb, struct scratch *s,
				      const struct dp_control *ctl, u32 room, u32 hash)
{
	struct outer4 o = {};
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) ||
	    bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, room_flags(4, s->hop.mode)))
		return -1;
	outer4_write(&o, ctl, &s->hop, ip.tos, bpf_ntohs(ip.tot_len), hash);
	if (s->hop.mode == DP_MODE_GUE)
		return bpf_skb_store_bytes(skb, L3, &o, sizeof(o), 0);
	return bpf_skb_store_bytes(skb, L3, &o, sizeof(o.ip), 0);
}

static __always_inline int outer_put6(struct __sk_buff *skb, struct scratch *s,
				      const struct dp_control *ctl, u32 room, u32 hash)
{
	/* The sum of UDP takes what is inside for one whole segment. */
	int plain = s->p.l4 == L3 + sizeof(struct ipv6hdr) && !skb->gso_size && !is_icmp(&s->p);
	struct outer6 o = {};
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) ||
	    bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, room_flags(6, s->hop.mode)))
		return -1;
	outer6_write(&o, ctl, &s->hop, *(u32 *)&ip, ip.nexthdr, ip.hop_limit,
		     sizeof(ip) + bpf_ntohs(ip.payload_len), hash);
	if (!plain)
		o.udp.check = 0;
	if (s->hop.mode == DP_MODE_GUE)
		return bpf_skb_store_bytes(skb, L3, &o, sizeof(o), 0);
	return bpf_skb_store_bytes(skb, L3, &o, sizeof(o.ip), 0);
}

/* flow: what is to the service, of an error what it quotes. */
static __always_inline void outer_trace(struct __sk_buff *skb, struct scratch *s,
					const struct pkt *flow)
{
	struct dp_control *ctl = control_get();
	int syn = s->p.tcp_flags & TCP_SYN;

	count(0, 2, skb->len);
	if (!ctl || !ctl->slots || !(syn || ctl->every))
		return;
	event_fill(&s->rec, skb->len, &s->p);
	s->rec.type = DP_EV_TRACE;
	s->rec.subtype = TRACE_TO_OVERLAY;
	s->rec.dir = 2;
	s->rec.flags |= DP_EVF_REPLY_KNOWN | DP_EVF_XLATED;
	s->rec.src_identity = s->rec.dst_identity = s->p.family == 4 ? 9 : 10;
	s->rec.orig_addr = flow->daddr;
	s->rec.orig_port = flow->dport;
	s->rec.daddr = s->hop.dst;
	event_send(skb, &s->rec, syn != 0);
}

/* The flow of a packet from the world: of an ICMP error that of what it quotes, whose
 * path is the back end's business. */
static __always_inline struct pkt *outer_flow(struct __sk_buff *skb, struct scratch *s)
{
	if (!is_icmp(&s->p))
		return &s->p;
	if (s->p.frag == FRAG_LATER || !is_icmp_error(&s->p) || icmp_quoted(skb, &s->p, &s->q))
		return NULL;
	return &s->q;
}

/* How long it will be. The segments of one that is cut later get shorter by what comes
 * before them, so these are as long as they came. */
static __always_inline u32 outer_len(struct __sk_buff *skb, const struct pkt *p, u32 room)
{
	u8 doff = 0;

	if (!skb->gso_size)
		return skb->len - L3 + room;
	if (p->proto == IPPROTO_TCP)
		bpf_skb_load_bytes(skb, p->l4 + 12, &doff, 1);
	return p->l4 - L3 + (doff >> 4) * 4 + skb->gso_size;
}

/* A packet to a service whose back ends get it whole: NEXT_ADMIT when it is none. */
__noinline int outer(struct __sk_buff *skb, struct scratch *s)
{
	struct dp_control *ctl = control_get();
	struct dp_service *svc;
	u32 id, room;
	struct pkt *flow;
	int ret;

	if (!s || !ctl)
		return -DROP_EP_NOT_READY;
	flow = outer_flow(skb, s);
	if (!flow)
		return NEXT_ADMIT;
	svc = service_find(flow);
	if (!svc || svc->mode < DP_MODE_IPIP)
		return NEXT_ADMIT;
	/* An error about an answer comes from any router on its way. */
	if (flow == &s->p && !service_source_ok(flow, svc))
		return DROP(&s->p, FILE_OUTER, DROP_NOT_IN_SRC_RANGE);
	id = backend_told(skb, svc) ?: service_hash(flow, svc);
	if (!id && svc->flags & DP_SVC_REJECT)
		s->answer = ANSWER_REJECT;
	ret = outer_hop(skb, s, svc, id);
	if (ret)
		return ret;
	room = outer_size(s->p.family, s->hop.mode);
	if (s->hop.mtu && outer_len(skb, &s->p, room) > s->hop.mtu) {
		s->mtu = s->hop.mtu - room;
		s->answer = ANSWER_TOO_BIG;
		return DROP(&s->p, FILE_OUTER, DROP_FRAG_NEEDED);
	}
	outer_trace(skb, s, flow);
	if (s->p.family == 4)
		ret = outer_put4(skb, s, ctl, room, flow_hash(flow, 0));
	else
		ret = outer_put6(skb, s, ctl, room, flow_hash(flow, 0));
	if (ret)
		return DROP(&s->p, FILE_OUTER, DROP_WRITE_ERROR);
	bpf_redirect_neigh(s->hop.ifindex, NULL, 0, 0);
	return ACT_REDIRECT;
}
