/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/event.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "model/event_parts.h"
#include "model/names.h"

#define FLAGS_ALL \
	(DP_EVF_IPV6 | DP_EVF_REPLY | DP_EVF_REPLY_KNOWN | DP_EVF_XLATED | DP_EVF_L4 | DP_EVF_END)

/* ---- is it a record? ------------------------------------------------------ */

static bool is_zero(const union dp_ip *ip)
{
	return !(ip->w[0] | ip->w[1] | ip->w[2] | ip->w[3]);
}

/* Behind an IPv4 address there is nothing. */
static bool addrs_valid(const struct dp_event_rec *r)
{
	const union dp_ip *s = &r->saddr, *d = &r->daddr, *o = &r->orig_addr;

	return r->flags & DP_EVF_IPV6 || !(s->w[1] | s->w[2] | s->w[3] | d->w[1] | d->w[2] |
					   d->w[3] | o->w[1] | o->w[2] | o->w[3]);
}

static bool flags_valid(const struct dp_event_rec *r)
{
	if (r->flags & ~FLAGS_ALL)
		return false;
	if (r->flags & DP_EVF_REPLY && !(r->flags & DP_EVF_REPLY_KNOWN))
		return false;
	if (!(r->flags & DP_EVF_L4) && (r->sport || r->dport))
		return false;
	/* Only what has ports is translated, and never from nothing. */
	if (r->flags & DP_EVF_XLATED)
		return r->flags & DP_EVF_L4 && r->orig_port;
	return !r->orig_port && is_zero(&r->orig_addr);
}

static bool verdict_valid(uint8_t v)
{
	return v <= DP_VERDICT_DENIED || v == (DP_VERDICT_DENY | DP_VERDICT_AUDITED) ||
	       v == (DP_VERDICT_DENIED | DP_VERDICT_AUDITED);
}

static bool type_valid(const struct dp_event_rec *r)
{
	bool undropped = !r->file && !r->line;

	switch (r->type) {
	case DP_EV_DROP:
		return r->subtype >= DROP_REASON_MIN && r->subtype <= DROP_REASON_MAX &&
		       !r->reason && !r->verdict && datapath_file_name(r->file);
	case DP_EV_TRACE:
		return r->subtype <= TRACE_POINT_MAX && r->reason <= TRACE_REASON_MAX &&
		       !r->verdict && undropped;
	case DP_EV_VERDICT:
		return !r->subtype && r->reason <= MATCH_TYPE_MAX &&
		       verdict_valid(r->verdict) && r->dir && undropped;
	default:
		return false;
	}
}

static bool record_valid(const struct dp_event_rec *r)
{
	return type_valid(r) && flags_valid(r) && r->dir <= CLITE_EGRESS &&
	       !(r->pad[0] | r->pad[1] | r->pad[2]) && addrs_valid(r);
}

/* ---- decoding -------------------------------------------------------------- */

static void decode_type(const struct dp_event_rec *r, struct clite_event *e)
{
	switch (r->type) {
	case DP_EV_DROP:
		e->subtype = r->subtype;
		e->drop_reason = r->subtype;
		e->source_file = datapath_file_name(r->file);
		e->source_line = r->line;
		break;
	case DP_EV_TRACE:
		e->subtype = r->subtype;
		e->trace_reason = r->reason;
		break;
	case DP_EV_VERDICT:
		e->subtype = r->reason;
		if (r->verdict == DP_VERDICT_DENY)
			e->drop_reason = DROP_REASON_POLICY;
		else if (r->verdict == DP_VERDICT_DENIED)
			e->drop_reason = DROP_REASON_POLICY_DENY;
		break;
	}
	e->verdict = e->drop_reason ? CLITE_VERDICT_DROPPED : CLITE_VERDICT_FORWARDED;
	if (r->type == DP_EV_VERDICT && r->verdict & DP_VERDICT_AUDITED) {
		e->verdict = CLITE_VERDICT_AUDIT;
		e->drop_reason = 0;
	}
}

static bool is_echo(const struct clite_event *e)
{
	if (e->family == 4)
		return e->icmp_type == 8 || e->icmp_type == 0;
	return e->icmp_type == 128 || e->icmp_type == 129;
}

static void decode_l4(const struct dp_event_rec *r, struct clite_event *e)
{
	uint16_t sport = ntohs(r->sport), dport = ntohs(r->dport);

	e->has_ports = !!(r->flags & DP_EVF_L4);
	switch (event_l4(e)) {
	case L4_NONE:
		e->has_ports = 0;
		return;
	case L4_ICMP4:
	case L4_ICMP6:
		e->icmp_type = dport >> 8;
		e->icmp_code = dport & 0xff;
		/* only an echo has an identifier */
		e->source_port = is_echo(e) ? sport : 0;
		return;
	case L4_TCP:
		e->tcp_flags = r->tcp_flags;
		/* fall through */
	case L4_UDP:
	case L4_SCTP:
		e->source_port = sport;
		e->destination_port = dport;
		return;
	}
}

int event_decode(const void *record, size_t len, uint64_t boot_to_real, struct clite_event *ret)
{
	const struct dp_event_rec *r = record;

	_Static_assert(CLITE_EVENT_DROP == DP_EV_DROP && CLITE_EVENT_TRACE == DP_EV_TRACE &&
			       CLITE_EVENT_POLICY_VERDICT == DP_EV_VERDICT,
		       "both are Cilium's numbers");

	if (len < sizeof(*r) || len - sizeof(*r) > DP_CAPTURE_MAX || !record_valid(r))
		return -EBADMSG;
	/* what is behind the record are bytes of the packet: no more than it has */
	if (len - sizeof(*r) > r->len)
		return -EBADMSG;

	*ret = (struct clite_event){
		.sz = sizeof(*ret),
		.time = r->time + boot_to_real,
		.type = r->type,
		.direction = r->dir,
		.is_reply = r->flags & DP_EVF_REPLY_KNOWN ? !!(r->flags & DP_EVF_REPLY) : 2,
		.family = r->flags & DP_EVF_IPV6 ? 6 : 4,
		.protocol = r->proto,
		.service_port = ntohs(r->orig_port),
		.source_endpoint = r->src_ep,
		.destination_endpoint = r->dst_ep,
		.source_identity = r->src_identity,
		.destination_identity = r->dst_identity,
		.egress_rule = r->egress_rule,
		.ingress_rule = r->ingress_rule,
		.ifindex = r->ifindex,
		.length = r->len,
		.source_file = "",
		.packets = r->packets,
		.bytes = r->bytes,
		.packet_bytes = (uint32_t)(len - sizeof(*r)),
	};
	if (ret->packet_bytes)
		ret->packet = (const uint8_t *)(r + 1);
	memcpy(ret->source, r->saddr.b, sizeof(ret->source));
	memcpy(ret->destination, r->daddr.b, sizeof(ret->destination));
	memcpy(ret->original, r->orig_addr.b, sizeof(ret->original));
	decode_type(r, ret);
	decode_l4(r, ret);
	return 0;
}

/* ---- parts of text and JSON ------------------------------------------------ */

const char *const tcp_flag_names[TCP_FLAGS] = {
	"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS",
};

enum event_l4 event_l4(const struct clite_event *e)
{
	if (!e->has_ports)
		return L4_NONE;
	switch (e->protocol) {
	case IPPROTO_TCP:
		return L4_TCP;
	case IPPROTO_UDP:
		return L4_UDP;
	case IPPROTO_SCTP:
		return L4_SCTP;
	case IPPROTO_ICMP:
		return e->family == 6 ? L4_NONE : L4_ICMP4;
	case IPPROTO_ICMPV6:
		/* a saved flow may not say its family */
		return e->family == 6 || !e->family ? L4_ICMP6 : L4_NONE;
	default:
		return L4_NONE;
	}
}

bool event_has_ports(const struct clite_event *e)
{
	enum event_l4 l4 = event_l4(e);

	return l4 == L4_TCP || l4 == L4_UDP || l4 == L4_SCTP;
}

uint32_t event_direction(const struct clite_event *e)
{
	bool turned = e->type == CLITE_EVENT_TRACE && e->trace_reason == TRACE_REASON_REPLY;

	if (e->direction != CLITE_INGRESS && e->direction != CLITE_EGRESS)
		return 0;
	if (!turned)
		return e->direction;
	return e->direction == CLITE_INGRESS ? CLITE_EGRESS : CLITE_INGRESS;
}

uint32_t event_subtype(const struct clite_event *e)
{
	return e->type == CLITE_EVENT_POLICY_VERDICT ? 0 : e->subtype;
}

static void summary_tcp(const struct clite_event *e, struct buf *out)
{
	/* Hubble's order: SYN, ACK, RST, FIN, then as in the header */
	static const uint8_t order[TCP_FLAGS] = { 1, 4, 2, 0, 3, 5, 6, 7, 8 };
	const char *comma = "";

	buf_puts(out, "TCP Flags: ");
	for (size_t i = 0; i < TCP_FLAGS; i++) {
		if (!(e->tcp_flags & 1u << order[i]))
			continue;
		buf_puts(out, comma);
		buf_puts(out, tcp_flag_names[order[i]]);
		comma = ", ";
	}
}

static void summary_icmp(const struct clite_event *e, bool v6, struct buf *out)
{
	const char *type = icmp_type_name(v6, e->icmp_type);
	const char *code = icmp_code_name(v6, e->icmp_type, e->icmp_code);

	buf_puts(out, v6 ? "ICMPv6 " : "ICMPv4 ");
	if (!type)
		buf_printf(out, "%u(%u)", e->icmp_type, e->icmp_code);
	else if (code)
		buf_printf(out, "%s(%s)", type, code);
	else if (e->icmp_code || icmp_type_has_codes(v6, e->icmp_type))
		buf_printf(out, "%s(Code: %u)", type, e->icmp_code);
	else
		buf_puts(out, type);
}

void event_summary(const struct clite_event *e, struct buf *out)
{
	switch (event_l4(e)) {
	case L4_TCP:
		summary_tcp(e, out);
		break;
	case L4_UDP:
		buf_puts(out, "UDP");
		break;
	case L4_SCTP:
		buf_puts(out, "SCTP");
		break;
	case L4_ICMP4:
	case L4_ICMP6:
		summary_icmp(e, event_l4(e) == L4_ICMP6, out);
		break;
	case L4_NONE:
		buf_puts(out, e->family == 6 ? "IPv6" : "IPv4");
		break;
	}
}

struct event_rules event_rules(const struct clite_event *e)
{
	struct event_rules r = { .egress = e->egress_rule, .ingress = e->ingress_rule };
	bool new = e->type == CLITE_EVENT_TRACE && e->trace_reason == TRACE_REASON_NEW;

	/* Replies pass because their flow was allowed, not by a rule. */
	if (e->type == CLITE_EVENT_TRACE && e->is_reply == 1)
		return (struct event_rules){};
	if (e->verdict == CLITE_VERDICT_AUDIT)
		r.denied = true;
	if (e->verdict == CLITE_VERDICT_DROPPED) {
		/* whatever else drops a packet, it is no rule */
		if (e->drop_reason != DROP_REASON_POLICY_DENY)
			return (struct event_rules){};
		r.denied = true;
	}
	if (!new && e->direction != CLITE_EGRESS)
		r.egress = 0;
	if (!new && e->direction != CLITE_INGRESS)
		r.ingress = 0;
	return r;
}

const char *event_service(const struct clite_event *e, const struct event_names *names, bool source)
{
	bool was_source = e->is_reply == 1;
	const char *name = NULL;

	if (!event_has_ports(e))
		return NULL;
	if (e->service_port) {
		if (source == was_source)
			name = names->service(names->data, e->family, e->original, e->service_port,
					      e->protocol);
	} else if (!source) {
		name = names->service(names->data, e->family, e->destination, e->destination_port,
				      e->protocol);
	}
	return name && *name ? name : NULL;
}

const char *event_endpoint(const struct clite_event *e, const struct event_names *names,
			   bool source)
{
	uint32_t id = source ? e->source_endpoint : e->destination_endpoint;
	const char *name = id ? names->endpoint(names->data, id) : NULL;

	return name && *name ? name : NULL;
}
