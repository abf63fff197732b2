/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <cilium-lite/event.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include "datapath/live.h"
#include "datapath/ring.h"
#include "model/event.h"

#define FRAME_MAX 256

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
	uint32_t reason;
};

static int on_record(void *data, void *record, size_t len)
{
	struct listening *l = data;
	struct clite_event e;

	if (event_decode(record, len, 0, &e) || e.type != CLITE_EVENT_DROP)
		return 0;
	if (e.protocol == l->t->protocol && e.family == l->t->from.family &&
	    !memcmp(e.source, l->t->from.ip, e.family == 4 ? 4 : 16) &&
	    (e.source_port == l->t->sport || e.protocol == IPPROTO_ICMP ||
	     e.protocol == IPPROTO_ICMPV6))
		l->reason = e.drop_reason;
	return 0;
}

/* ---- what it leaves: entries of its flow ------------------------------------------ */

struct leavings {
	const struct traced *t;
	size_t key_size;
	char keys[8][sizeof(struct dp_flow6_key)];
	size_t n;
};

static bool is_ours(const struct leavings *l, const void *key)
{
	const struct traced *t = l->t;
	bool icmp = t->protocol == IPPROTO_ICMP || t->protocol == IPPROTO_ICMPV6;
	uint16_t port = htons(t->sport);

	if (t->from.family == 4) {
		const struct dp_flow4_key *k = key;
		bool there = !memcmp(&k->saddr, t->from.ip, 4) && (icmp || k->sport == port);
		bool back = !memcmp(&k->daddr, t->from.ip, 4) && (icmp || k->dport == port);

		return k->proto == t->protocol && (there || back) &&
		       (!icmp || k->sport == port || k->dport == port);
	} else {
		const struct dp_flow6_key *k = key;
		bool there = !memcmp(&k->saddr, t->from.ip, 16) && (icmp || k->sport == port);
		bool back = !memcmp(&k->daddr, t->from.ip, 16) && (icmp || k->dport == port);

		return k->proto == t->protocol && (there || back) &&
		       (!icmp || k->sport == port || k->dport == port);
	}
}

static int note_flow(const void *key, const void *value, void *data)
{
	struct leavings *l = data;

	(void)value;
	if (is_ours(l, key) && l->n < ARRAY_SIZE(l->keys))
		memcpy(l->keys[l->n++], key, l->key_size);
	return 0;
}

static void clean_up(struct dp *dp, const struct traced *t)
{
	enum dp_map map = t->from.family == 4 ? MAP_FLOW4 : MAP_FLOW6;
	struct leavings l = {
		.t = t,
		.key_size = map == MAP_FLOW4 ? sizeof(struct dp_flow4_key) :
					       sizeof(struct dp_flow6_key),
	};

	dp_walk(dp, map, note_flow, &l);
	for (size_t i = 0; i < l.n; i++)
		dp_delete(dp, map, l.keys[i]);
}

/* ---- the run ----------------------------------------------------------------------- */

static void read_out(const struct traced *t, const uint8_t *out, size_t len,
		     struct live_result *ret)
{
	size_t at = t->from.family == 4 ? 30 : 38, n = t->from.family == 4 ? 4 : 16;
	size_t l4 = t->from.family == 4 ? 34 : 54;

	if (len < l4 + 4)
		return;
	ret->translated = true;
	ret->to = t->to;
	memcpy(ret->to.ip, out + at, n);
	ret->dport = (uint16_t)(out[l4 + 2] << 8 | out[l4 + 3]);
}

static int run(struct dp *dp, const struct traced *t, const struct endpoint *near, bool from_near,
	       struct ring *ring, struct listening *l, struct live_result *ret,
	       struct errtext *err)
{
	enum dp_prog prog = from_near ? PROG_FROM_ENDPOINT : PROG_TO_ENDPOINT;
	struct __sk_buff skb = { .ifindex = near->ifindex };
	uint8_t out[FRAME_MAX];
	struct frame f;
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = f.data, .data_out = out,
		    .data_size_out = sizeof(out), .ctx_in = &skb, .ctx_size_in = sizeof(skb),
		    .repeat = 1);
	char name[IF_NAMESIZE];
	int r;

	if (!if_indextoname(near->ifindex, name))
		return err_set(err, ENODEV,
			       "the device of endpoint %u is not in this network namespace",
			       near->id);
	frame_build(t, &dp->eps[near->id], from_near, &f);
	o.data_size_in = (uint32_t)f.len;
	if (bpf_prog_test_run_opts(dp->prog_fd[prog], &o) < 0)
		return err_set(err, errno, "cannot run a packet through the programs: %s",
			       strerror(errno));
	r = ring_consume(ring);
	clean_up(dp, t);
	if (r < 0)
		return r;
	*ret = (struct live_result){};
	if (o.retval == 2) /* TC_ACT_SHOT */
		ret->reason = l->reason;
	else
		read_out(t, out, o.data_size_out, ret);
	return 0;
}

int live_run(struct dp *dp, const struct traced *t, const struct endpoint *src,
	     const struct endpoint *dst, struct live_result *ret, struct errtext *err)
{
	struct listening l = { .t = t };
	struct ring *ring = NULL;
	int r = ring_open(dp, 1u << CLITE_EVENT_DROP, false, (uint32_t)getpagesize() * 16,
			  on_record, &l, &ring, err);

	if (r)
		return r;
	/* The flow that there may be already would answer instead of the policies. */
	clean_up(dp, t);
	r = run(dp, t, src ? src : dst, src != NULL, ring, &l, ret, err);
	ring_close(ring);
	return r;
}
