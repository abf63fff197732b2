/* SPDX-License-Identifier: BSD-2-Clause */
/* The flow table. */
#include <stdio.h>
#include <string.h>

#include "output.h"

static const struct {
	uint32_t bit;
	const char *name;
} ct_flags[] = {
	{ CLITE_CT_REPLY, "Reply" },
	{ CLITE_CT_NAT, "NAT" },
	{ CLITE_CT_SEEN_NON_SYN, "SeenNonSyn" },
	{ CLITE_CT_CLOSING, "Closing" },
	{ CLITE_CT_STALE, "Stale" },
	{ CLITE_CT_DSR, "DSR" },
};

struct ct_listing {
	uint32_t endpoint; /* 0: all */
	json_t *json;
};

/* An entry is one direction: what an endpoint sends is OUT. */
static const char *ct_direction(const struct clite_ct_info *ct)
{
	return ct->source_endpoint ? "OUT" : "IN";
}

static void ct_print(const struct clite_ct_info *ct)
{
	_cleanup_free_ char *protocol = protocol_text(ct->protocol);
	_cleanup_free_ char *from = address_text(ct->source, ct->source_port, NULL);
	_cleanup_free_ char *to = address_text(ct->destination, ct->destination_port, NULL);

	printf("%s %s %s -> %s expires=%u Packets=%llu Bytes=%llu FlagsSeen=0x%02x Flags=0x%04x [ ",
	       protocol, ct_direction(ct), from, to, ct->expires, (unsigned long long)ct->packets,
	       (unsigned long long)ct->bytes, ct->tcp_flags, ct->flags);
	for (size_t i = 0; i < ARRAY_SIZE(ct_flags); i++) {
		if (ct->flags & ct_flags[i].bit)
			printf("%s ", ct_flags[i].name);
	}
	printf("] RevNAT=%u SourceSecurityID=%u DestinationSecurityID=%u", ct->service,
	       ct->source_identity, ct->destination_identity);
	if (ct->flags & CLITE_CT_NAT) {
		_cleanup_free_ char *nat_from =
			address_text(ct->nat_source, ct->nat_source_port, NULL);
		_cleanup_free_ char *nat_to =
			address_text(ct->nat_destination, ct->nat_destination_port, NULL);

		printf(" NAT=%s -> %s", nat_from, nat_to);
	}
	putchar('\n');
}

static json_t *ct_side_json(const char *ip, uint32_t port, uint32_t endpoint, uint32_t identity)
{
	json_t *side = json_new_object();

	json_put_text(side, "ip", ip);
	json_put_number(side, "port", port);
	json_put_number(side, "endpoint", endpoint);
	json_put_number(side, "identity", identity);
	return side;
}

static void ct_put_nat(json_t *object, const char *key, const char *ip, uint32_t port)
{
	json_t *side = json_new_object();

	json_put_text(side, "ip", ip);
	json_put_number(side, "port", port);
	json_put(object, key, side);
}

static json_t *ct_json(const struct clite_ct_info *ct)
{
	_cleanup_free_ char *protocol = protocol_text(ct->protocol);
	json_t *object = json_new_object(), *flags = json_new_array();

	json_put_text(object, "protocol", protocol);
	json_put_text(object, "direction", ct_direction(ct));
	json_put(object, "source",
		 ct_side_json(ct->source, ct->source_port, ct->source_endpoint,
			      ct->source_identity));
	json_put(object, "destination",
		 ct_side_json(ct->destination, ct->destination_port, ct->destination_endpoint,
			      ct->destination_identity));
	if (ct->flags & CLITE_CT_NAT) {
		ct_put_nat(object, "nat-source", ct->nat_source, ct->nat_source_port);
		ct_put_nat(object, "nat-destination", ct->nat_destination,
			   ct->nat_destination_port);
	}
	json_put_number(object, "expires", ct->expires);
	json_put_number(object, "packets", ct->packets);
	json_put_number(object, "bytes", ct->bytes);
	json_put_number(object, "flags-seen", ct->tcp_flags);
	for (size_t i = 0; i < ARRAY_SIZE(ct_flags); i++) {
		if (ct->flags & ct_flags[i].bit)
			json_add(flags, json_text(ct_flags[i].name));
	}
	json_put(object, "flags", flags);
	json_put_number(object, "service", ct->service);
	json_put_number(object, "egress-rule", ct->egress_rule);
	json_put_number(object, "ingress-rule", ct->ingress_rule);
	return object;
}

static int ct_collect(const struct clite_ct_info *ct, void *userdata)
{
	struct ct_listing *l = userdata;

	if (l->endpoint && ct->source_endpoint != l->endpoint &&
	    ct->destination_endpoint != l->endpoint)
		return 0;
	if (l->json)
		json_add(l->json, ct_json(ct));
	else
		ct_print(ct);
	return 0;
}

/* [ENDPOINT]; Cilium's tools want the word "global" for all. */
static int ct_endpoint(struct cli *cli, uint32_t *ret)
{
	const struct clite_endpoint_info *ep;
	int r;

	*ret = 0;
	if (!cli->nargs || !strcmp(cli->args[0], "global"))
		return CLI_OK;
	r = endpoint_number(cli, cli->args[0], ret);
	if (r)
		return r;
	r = clite_endpoint_get(cli->ctx, *ret, &ep);
	return r < 0 ? fail(cli, r) : CLI_OK;
}

int cmd_bpf_ct_list(struct cli *cli)
{
	_cleanup_json_ json_t *array = json_new_array();
	struct ct_listing l = { 0 };
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (!r)
		r = ct_endpoint(cli, &l.endpoint);
	if (r)
		return r;
	l.json = cli->json ? array : NULL;
	r = clite_conntrack_list(cli->ctx, ct_collect, &l);
	if (r < 0)
		return fail(cli, r);
	if (cli->json)
		json_print(json_incref(array));
	return CLI_OK;
}

int cmd_bpf_ct_flush(struct cli *cli)
{
	json_t *object;
	uint32_t endpoint;
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (!r)
		r = ct_endpoint(cli, &endpoint);
	if (r)
		return r;
	r = clite_conntrack_flush(cli->ctx, endpoint);
	if (r < 0)
		return fail(cli, r);
	if (cli->json) {
		object = json_new_object();
		json_put_number(object, "removed", (uint64_t)r);
		json_print(object);
	} else {
		printf("%d %s removed\n", r, r == 1 ? "entry" : "entries");
	}
	return CLI_OK;
}
