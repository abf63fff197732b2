/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <cilium-lite/event.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <netinet/in.h>

#include "datapath/live.h"
#include "datapath/ring.h"
#include "model/event.h"

#define FRAME_MAX 256
#define RING_BYTES (1u << 20)

struct frame {
	uint8_t data[FRAME_MAX];
	size_t len, l4;
};

/* ---- building ------------------------------------------------------------------- */

static uint32_t sum_add(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static uint16_t sum_end(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void put16(uint8_t *at, uint16_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* Layer 4: as short as it may be. Returns its length; *sum_at: of its checksum. */
static size_t put_l4(uint8_t *at, const struct traced *t, size_t *sum_at)
{
	memset(at, 0, 20);
	if (t->protocol == IPPROTO_ICMP || t->protocol == IPPROTO_ICMPV6) {
		at[0] = (uint8_t)t->dport;
		put16(at + 4, t->sport); /* the identifier of an echo */
		*sum_at = 2;
		return 8;
	}
	put16(at, t->sport);
	put16(at + 2, t->dport);
	switch (t->protocol) {
	case IPPROTO_TCP:
		at[12] = 5 << 4;
		at[13] = 2; /* SYN */
		*sum_at = 16;
		return 20;
	case IPPROTO_UDP:
		put16(at + 4, 8);
		*sum_at = 6;
		return 8;
	default: /* SCTP: a common header, INIT; its CRC is nobody's business here */
		at[12] = 1;
		put16(at + 14, 4);
		*sum_at = 0;
		return 16;
	}
}

static void put_sum(struct frame *f, const struct traced *t, size_t n, size_t sum_at)
{
	size_t addr = t->from.family == 4 ? 4 : 16;
	uint32_t sum = 0;
	uint16_t v;

	if (!sum_at)
		return;
	if (t->protocol != IPPROTO_ICMP) {
		sum = sum_add(sum, t->from.ip, addr);
		sum = sum_add(sum, t->to.ip, addr);
		sum += t->protocol + (uint32_t)n;
	}
	sum = sum_add(sum, f->data + f->l4, n);
	v = sum_end(sum);
	memcpy(f->data + f->l4 + sum_at, &v, sizeof(v));
}

static void frame_build(const struct traced *t, const struct dp_ep *near, bool from_near,
			struct frame *f)
{
	size_t ip = t->from.family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr), n, sum_at;

	memset(f, 0, sizeof(*f));
	memcpy(f->data, from_near ? near->host_mac : near->mac, ETH_ALEN);
	memcpy(f->data + ETH_ALEN, from_near ? near->mac : near->host_mac, ETH_ALEN);
	put16(f->data + 12, t->from.family == 4 ? ETH_P_IP : ETH_P_IPV6);
	f->l4 = ETH_HLEN + ip;
	n = put_l4(f->data + f->l4, t, &sum_at);
	f->len = f->l4 + n;
	if (t->from.family == 4) {
		struct iphdr h = {
			.version = 4,
			.ihl = 5,
			.tot_len = htons((uint16_t)(ip + n)),
			.ttl = 64,
			.protocol = t->protocol,
		};

		memcpy(&h.saddr, t->from.ip, 4);
		memcpy(&h.daddr, t->to.ip, 4);
		h.check = sum_end(sum_add(0, &h, sizeof(h)));
		memcpy(f->data + ETH_HLEN, &h, sizeof(h));
	} else {
		struct ipv6hdr h = {
			.version = 6,
			.payload_len = htons((uint16_t)n),
			.nexthdr = t->protocol,
			.hop_limit = 64,
		};

		memcpy(&h.saddr, t->from.ip, 16);
		memcpy(&h.daddr, t->to.ip, 16);
		memcpy(f->data + ETH_HLEN, &h, sizeof(h));
	}
	put_sum(f, t, n, sum_at);
}

/* ---- why it was dropped: the event says so -------------------------------------- */

struct listening {
	const struct traced *t;
	uint32_t ifindex;
	struct live_result *ret;
};

static bool is_icmp(const struct traced *t)
{
	return t->protocol == IPPROTO_ICMP || t->protocol == IPPROTO_ICMPV6;
}

/* Is the event about the packet? A service's address stands in it as the original one. */
static bool is_about(const struct clite_event *e, const struct listening *l)
{
	const struct traced *t = l->t;
	size_t n = t->from.family == 4 ? 4 : 16;

	if (e->type != CLITE_EVENT_DROP || e->ifindex != l->ifindex ||
	    e->protocol != t->protocol || e->family != t->from.family ||
	    memcmp(e->service_port ? e->original : e->destination, t->to.ip, n))
		return false;
	/* A frame of anybody's: where it stops making sense its ports are not told. */
	if (t->frame && !e->source_port && !e->destination_port)
		return true;
	if (is_icmp(t))
		return e->icmp_type == t->dport;
	return e->source_port == t->sport &&
	       (e->service_port ? e->service_port : e->destination_port) == t->dport;
}

static int on_record(void *data, const void *record, size_t len)
{
	struct listening *l = data;
	struct clite_event e;

	if (event_decode(record, len, 0, &e) || !is_about(&e, l))
		return 0;
	l->ret->reason = e.drop_reason;
	memcpy(l->ret->to.ip, e.destination, sizeof(l->ret->to.ip));
	if (!is_icmp(l->t))
		l->ret->dport = e.destination_port;
	return 0;
}

/* ---- its entries in the flow table ----------------------------------------------- */

/* A key of either family, as IPv6's; what the kernel is asked with. */
static const void *key_of(struct dp_flow6_key *k, uint8_t family, struct dp_flow4_key *k4)
{
	if (family == 6)
		return k;
	*k4 = (struct dp_flow4_key){
		.saddr = k->saddr.v4,
		.daddr = k->daddr.v4,
		.sport = k->sport,
		.dport = k->dport,
		.ifindex = k->ifindex,
		.proto = k->proto,
		.scope = k->scope,
	};
	return k4;
}

static bool flow_find(struct dp *dp, struct dp_flow6_key *k, uint8_t family, struct dp_flow *ret)
{
	struct dp_flow4_key k4;

	return dp_lookup(dp, family == 4 ? MAP_FLOW4 : MAP_FLOW6, key_of(k, family, &k4), ret) == 0;
}

static void flow_forget(struct dp *dp, struct dp_flow6_key *k, uint8_t family)
{
	struct dp_flow4_key k4;

	dp_delete(dp, family == 4 ? MAP_FLOW4 : MAP_FLOW6, key_of(k, family, &k4));
}

static bool is_echo(const struct traced *t, bool reply)
{
	if (t->protocol == IPPROTO_ICMP)
		return t->dport == (reply ? 0 : 8);
	return t->protocol == IPPROTO_ICMPV6 && t->dport == (reply ? 129 : 128);
}

/* As bpf/lib/parse.h makes it of the packet. */
static struct dp_flow6_key key_there(const struct traced *t, const struct endpoint *near,
				     enum live_from from)
{
	static const uint8_t scopes[] = { DP_SCOPE_ENDPOINT, DP_SCOPE_HOST, DP_SCOPE_WORLD };
	struct dp_flow6_key k;

	memset(&k, 0, sizeof(k));
	memcpy(k.saddr.b, t->from.ip, t->from.family == 4 ? 4 : 16);
	memcpy(k.daddr.b, t->to.ip, t->to.family == 4 ? 4 : 16);
	k.proto = t->protocol;
	k.scope = scopes[from];
	k.ifindex = from == LIVE_FROM_ENDPOINT ? near->ifindex : 0;
	if (is_echo(t, false)) {
		k.sport = htons(t->sport);
	} else if (is_echo(t, true)) {
		k.dport = htons(t->sport);
		k.scope |= DP_SCOPE_REPLY;
	} else if (is_icmp(t)) {
		k.dport = htons((uint16_t)(t->dport << 8));
	} else {
		k.sport = htons(t->sport);
		k.dport = htons(t->dport);
	}
	return k;
}

/* The key of the other direction. f: NULL: without translation. */
static struct dp_flow6_key key_back(const struct dp_flow6_key *there, const struct dp_flow *f,
				    bool icmp, uint32_t ifindex, uint8_t scope)
{
	struct dp_flow6_key k = *there;
	bool nat = f && f->flags & DP_FLOW_NAT;

	k.saddr = nat ? f->nat_daddr : there->daddr;
	k.daddr = nat ? f->nat_saddr : there->saddr;
	k.sport = nat ? f->nat_dport : there->dport;
	k.dport = nat ? f->nat_sport : there->sport;
	k.ifindex = ifindex;
	k.scope = scope;
	if (icmp && !(there->scope & DP_SCOPE_REPLY))
		k.scope |= DP_SCOPE_REPLY;
	return k;
}

static bool end_gone(const struct dp *dp, uint32_t id, uint32_t gen)
{
	if (id >= dp->map_max[MAP_ENDPOINTS])
		return true;
	return id && (!(dp->eps[id].flags & DP_EP_USED) ||
		      (gen && (int32_t)(gen - dp->eps[id].born) < 0));
}

static bool is_running(struct dp *dp, struct dp_flow6_key *k, uint8_t family)
{
	struct dp_flow f;

	return flow_find(dp, k, family, &f) &&
	       (int64_t)(dp_jiffies(dp) - f.seen) <= (int64_t)f.lifetime &&
	       !end_gone(dp, f.src_ep, f.src_gen) && !end_gone(dp, f.dst_ep, f.dst_gen);
}

/* Would the packet belong to a flow that is there? Then that would answer instead of
 * the policies, and taking it away would break it. */
static bool is_taken(struct dp *dp, const struct traced *t, const struct endpoint *near,
		     const struct endpoint *far, enum live_from from)
{
	static const uint8_t outside[] = { DP_SCOPE_HOST, DP_SCOPE_WORLD };
	struct dp_flow6_key there = key_there(t, near, from), back;
	uint8_t family = t->from.family;

	if (is_running(dp, &there, family))
		return true;
	if (from != LIVE_FROM_ENDPOINT || far) {
		uint32_t ifindex = from == LIVE_FROM_ENDPOINT ? far->ifindex : near->ifindex;

		back = key_back(&there, NULL, is_icmp(t), ifindex, DP_SCOPE_ENDPOINT);
		return is_running(dp, &back, family);
	}
	for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
		back = key_back(&there, NULL, is_icmp(t), 0, outside[i]);
		if (is_running(dp, &back, family))
			return true;
	}
	return false;
}

/* Above what the kernel gives out by itself (ip_local_port_range). */
#define PORT_LAST 65533
#define PORT_TRIES 256

static int port_choose(struct dp *dp, struct traced *t, const struct endpoint *near,
		       const struct endpoint *far, enum live_from from, struct errtext *err)
{
	bool any = !t->sport && !t->frame;

	for (uint16_t i = 0; i < (any ? PORT_TRIES : 1); i++) {
		if (any)
			t->sport = PORT_LAST - i;
		if (!is_taken(dp, t, near, far, from))
			return 0;
	}
	return err_set(err, EEXIST,
		       "there is a flow between these ends with source port %u, which a live trace "
		       "would disturb: without a source port it takes one that is free",
		       t->sport);
}

static void clean_up(struct dp *dp, const struct traced *t, const struct endpoint *near,
		     enum live_from from)
{
	struct dp_flow6_key there = key_there(t, near, from), back;
	uint32_t ifindex = 0;
	struct dp_flow f;

	if (!flow_find(dp, &there, t->from.family, &f))
		return;
	if (f.pair_scope == DP_SCOPE_ENDPOINT && f.dst_ep < dp->map_max[MAP_ENDPOINTS])
		ifindex = dp->eps[f.dst_ep].ifindex;
	back = key_back(&there, &f, is_icmp(t), ifindex, f.pair_scope);
	flow_forget(dp, &there, t->from.family);
	if (f.flags & DP_FLOW_PAIR)
		flow_forget(dp, &back, t->from.family);
}

/* ---- the run ----------------------------------------------------------------------- */

static void read_out(const struct traced *t, const uint8_t *out, size_t len,
		     struct live_result *ret)
{
	size_t at = t->from.family == 4 ? 30 : 38, n = t->from.family == 4 ? 4 : 16;
	size_t l4 = t->from.family == 4 ? 34 : 54;

	if (len < l4 + 4)
		return;
	memcpy(ret->to.ip, out + at, n);
	if (!is_icmp(t))
		ret->dport = (uint16_t)(out[l4 + 2] << 8 | out[l4 + 3]);
}

static int run(struct dp *dp, const struct traced *t, const struct endpoint *near,
	       enum live_from from, struct ring *ring, struct live_result *ret,
	       struct errtext *err)
{
	enum dp_prog prog = from == LIVE_FROM_ENDPOINT ? PROG_FROM_ENDPOINT : PROG_TO_ENDPOINT;
	struct __sk_buff skb = {
		.ifindex = near->ifindex,
		/* any that is no endpoint's */
		.ingress_ifindex = from == LIVE_FROM_WORLD ? 1 : 0,
	};
	size_t size = t->frame ? t->frame_len : FRAME_MAX;
	_cleanup_free_ uint8_t *out = malloc(size);
	struct frame f;
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = t->frame, .data_size_in = (uint32_t)size,
		    .data_out = out, .data_size_out = (uint32_t)size, .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb), .repeat = 1);
	int r;

	if (!out)
		return -ENOMEM;
	if (!t->frame) {
		frame_build(t, &dp->eps[near->id], from == LIVE_FROM_ENDPOINT, &f);
		o.data_in = f.data;
		o.data_size_in = (uint32_t)f.len;
	}
	/* Room for its event: there may be many other drops. */
	ring_consume(ring);
	r = bpf_prog_test_run_opts(dp->prog_fd[prog], &o) < 0 ? errno : 0;
	clean_up(dp, t, near, from);
	if (r)
		return err_set(err, r, "cannot run a packet through the programs: %s", strerror(r));
	ret->passed = o.retval != TC_ACT_SHOT;
	ret->redirected = o.retval == TC_ACT_REDIRECT;
	if (ret->passed) {
		read_out(t, out, o.data_size_out, ret);
		return 0;
	}
	r = ring_consume(ring);
	if (r < 0)
		return r;
	return ret->reason ? 0 :
			     err_set(err, EAGAIN,
				     "the packet was dropped, but the event that says why was lost "
				     "among others: try again");
}

int live_run(struct dp *dp, struct traced *t, const struct endpoint *near,
	     const struct endpoint *far, enum live_from from, struct live_result *ret,
	     struct errtext *err)
{
	struct live_result result = { .to = t->to, .dport = t->dport };
	struct listening l = { .t = t, .ifindex = near->ifindex, .ret = &result };
	const struct ring_opts opts = { .types = 1u << CLITE_EVENT_DROP, .bytes = RING_BYTES };
	struct ring *ring = NULL;
	char name[IF_NAMESIZE];
	int r;

	if (!if_indextoname(near->ifindex, name))
		return err_set(err, ENODEV,
			       "the device of endpoint %u is not in this network namespace",
			       near->id);
	r = port_choose(dp, t, near, far, from, err);
	if (!r)
		r = ring_open(dp, &opts, on_record, &l, &ring, err);
	if (r)
		return r;
	r = run(dp, t, near, from, ring, &result, err);
	ring_close(ring);
	if (!r)
		*ret = result;
	return r;
}
