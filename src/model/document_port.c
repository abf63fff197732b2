/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/document_rule.h"

#include <cilium-lite/policy.h>

#include <netinet/in.h>
/* ---- ports -------------------------------------------------------------- */

static int add_port(struct rule *rule, size_t *cap, struct port_range range)
{
	if (!array_grow(&rule->ports, cap, rule->nports))
		return -ENOMEM;
	rule->ports[rule->nports++] = range;
	return 0;
}

static int read_protocol(const struct reader *r, const struct ynode *n, const struct path *p,
			 uint8_t *ret)
{
	static const struct {
		const char *name;
		uint8_t protocol;
	} known[] = {
		{ "ANY", 0 },
		{ "TCP", IPPROTO_TCP },
		{ "UDP", IPPROTO_UDP },
		{ "SCTP", IPPROTO_SCTP },
	};
	const char *s;
	int res = doc_string(r, n, p, &s);

	if (res < 0)
		return res;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcasecmp(s, known[i].name) == 0) {
			*ret = known[i].protocol;
			return 0;
		}
	}
	if (strcasecmp(s, "ICMP") == 0 || strcasecmp(s, "ICMPv6") == 0)
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT,
				      "has no ports: write an icmps list instead of toPorts");
	return doc_fail_value(r, n, p, CLITE_EDOCUMENT,
			      "is no protocol: TCP, UDP, SCTP and ANY are");
}

/* A name, or a number gone wrong? */
bool document_is_port_name(const char *s)
{
	bool letter = false;

	if (strlen(s) > 15 || (s[0] == '0' && s[1] && strchr("xXoObB", s[1])))
		return false;
	for (; *s; s++) {
		bool alpha = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');

		if (!alpha && *s != '-' && (*s < '0' || *s > '9'))
			return false;
		letter = letter || alpha;
	}
	return letter;
}

int document_port_name(struct port_range *range, const char *name)
{
	range->name = strdup(name);
	if (!range->name)
		return -ENOMEM;
	for (char *c = range->name; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c += 'a' - 'A';
	return 0;
}

static int read_end_port(const struct reader *r, const struct ynode *n, const struct path *p,
			 struct port_range *range)
{
	unsigned int last;
	int res;

	if (range->name)
		return doc_fail(r, n->key_line, p, CLITE_EDOCUMENT,
				"'%s' is a name, with which no range begins: leave endPort away",
				range->name);
	res = doc_number(r, n, p, UINT16_MAX, &last);
	if (res < 0)
		return res;
	if (last == 0)
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"0 ends no range: leave endPort away");
	if (last < range->first)
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"%u is below the port %u: leave endPort away for one port", last,
				range->first);
	range->last = (uint16_t)last;
	return 0;
}

static int read_port(const struct reader *r, const struct ynode *n, const struct path *p,
		     struct port_range *ret)
{
	enum { PORT, END, PROTOCOL, COUNT };
	static const struct field fields[COUNT] = {
		[PORT] = { .name = "port" },
		[END] = { .name = "endPort" },
		[PROTOCOL] = { .name = "protocol" },
	};
	struct path port = { .up = p, .key = "port" };
	struct path end = { .up = p, .key = "endPort" };
	struct path protocol = { .up = p, .key = "protocol" };
	const struct ynode *got[COUNT];
	unsigned int first;
	int res;

	res = doc_fields(r, n, p, fields, COUNT, got);
	if (res < 0)
		return res;
	if (!got[PORT])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"needs a port; port 0 stands for all");
	if (got[PORT]->kind == YNODE_SCALAR && got[PORT]->type == YTYPE_STRING &&
	    document_is_port_name(got[PORT]->text)) {
		res = document_port_name(ret, got[PORT]->text);
	} else {
		res = doc_number(r, got[PORT], &port, UINT16_MAX, &first);
		if (res >= 0) {
			ret->first = (uint16_t)first;
			ret->last = first ? (uint16_t)first : UINT16_MAX;
		}
	}
	if (res >= 0 && got[END])
		res = read_end_port(r, got[END], &end, ret);
	if (res >= 0 && got[PROTOCOL])
		res = read_protocol(r, got[PROTOCOL], &protocol, &ret->protocol);
	return res;
}

/* A list of ports, or of types of ICMP; read: one of them. */
static int read_list(const struct reader *r, const struct ynode *list, const struct path *p,
		     const char *what,
		     int (*read)(const struct reader *r, const struct ynode *n,
				 const struct path *p, struct port_range *ret),
		     struct rule *rule, size_t *cap, uint32_t redirect)
{
	size_t i = 0;
	int res = doc_list(r, list, p);

	if (res < 0)
		return res;
	if (list->n > DOCUMENT_MAX_PORTS)
		return doc_fail(
			r, list->line, p, CLITE_EDOCUMENT,
			"%zu %s, at most %u may stand in one list: write several elements", list->n,
			what, DOCUMENT_MAX_PORTS);
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = p, .index = i++ };
		struct port_range range = { .redirect = redirect };

		res = read(r, n, &here, &range);
		if (res >= 0 && redirect)
			res = document_check_l7_port(r, n->line, &here,
						     &rule->redirects[redirect - 1], &range);
		if (res >= 0)
			res = add_port(rule, cap, range);
		if (res < 0) {
			port_clear(&range);
			return res;
		}
	}
	return 0;
}

static int read_ports_element(const struct reader *r, const struct ynode *n, const struct path *p,
			      struct rule *rule, size_t *cap)
{
	enum { PORTS, REDIRECT, COUNT = REDIRECT + DOCUMENT_REDIRECT_FIELDS };
	static const struct field fields[COUNT] = {
		[PORTS] = { .name = "ports" },
		/* what follows is Cilium's only where rules allow */
		[REDIRECT] = { .name = "rules" },
		{ .name = "terminatingTLS" },
		{ .name = "originatingTLS" },
		{ .name = "serverNames" },
		{ .name = "listener" },
	};
	struct path ports = { .up = p, .key = "ports" };
	const struct ynode *got[COUNT] = {};
	uint32_t redirect = 0;
	int res;

	res = doc_fields(r, n, p, fields, rule->action == CLITE_DENY ? REDIRECT : COUNT, got);
	if (res >= 0 && got[PORTS])
		res = doc_list(r, got[PORTS], &ports);
	if (res >= 0)
		res = document_redirect(r, p, got + REDIRECT, rule, &redirect);
	if (res >= 0 && redirect && (!got[PORTS] || got[PORTS]->n == 0))
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"needs ports: what stands beside them is done for their packets");
	if (res < 0)
		return res;
	return got[PORTS] ?
		       read_list(r, got[PORTS], &ports, "ports", read_port, rule, cap, redirect) :
		       0;
}

/* ---- ICMP --------------------------------------------------------------- */

struct icmp_name {
	const char *name;
	uint8_t type;
};

static const struct icmp_name icmp4_names[] = {
	{ "EchoReply", 0 },
	{ "DestinationUnreachable", 3 },
	{ "Redirect", 5 },
	{ "Echo", 8 },
	{ "EchoRequest", 8 },
	{ "RouterAdvertisement", 9 },
	{ "RouterSelection", 10 },
	{ "TimeExceeded", 11 },
	{ "ParameterProblem", 12 },
	{ "Timestamp", 13 },
	{ "TimestampReply", 14 },
	{ "Photuris", 40 },
	{ "ExtendedEchoRequest", 42 },
	{ "ExtendedEchoReply", 43 },
};

static const struct icmp_name icmp6_names[] = {
	{ "DestinationUnreachable", 1 },
	{ "PacketTooBig", 2 },
	{ "TimeExceeded", 3 },
	{ "ParameterProblem", 4 },
	{ "EchoRequest", 128 },
	{ "EchoReply", 129 },
	{ "MulticastListenerQuery", 130 },
	{ "MulticastListenerReport", 131 },
	{ "MulticastListenerDone", 132 },
	{ "RouterSolicitation", 133 },
	{ "RouterAdvertisement", 134 },
	{ "NeighborSolicitation", 135 },
	{ "NeighborAdvertisement", 136 },
	{ "RedirectMessage", 137 },
	{ "RouterRenumbering", 138 },
	{ "ICMPNodeInformationQuery", 139 },
	{ "ICMPNodeInformationResponse", 140 },
	{ "InverseNeighborDiscoverySolicitation", 141 },
	{ "InverseNeighborDiscoveryAdvertisement", 142 },
	{ "HomeAgentAddressDiscoveryRequest", 144 },
	{ "HomeAgentAddressDiscoveryReply", 145 },
	{ "MobilePrefixSolicitation", 146 },
	{ "MobilePrefixAdvertisement", 147 },
	{ "DuplicateAddressRequestCodeSuffix", 157 },
	{ "DuplicateAddressConfirmationCodeSuffix", 158 },
	{ "ExtendedEchoRequest", 160 },
	{ "ExtendedEchoReply", 161 },
};

static int icmp_type(const char *s, bool v6, unsigned int *ret)
{
	const struct icmp_name *names = v6 ? icmp6_names : icmp4_names;
	size_t n = v6 ? ARRAY_SIZE(icmp6_names) : ARRAY_SIZE(icmp4_names);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(s, names[i].name) == 0) {
			*ret = names[i].type;
			return 0;
		}
	}
	return -EINVAL;
}

static int read_icmp_type(const struct reader *r, const struct ynode *n, const struct path *p,
			  bool v6, unsigned int *ret)
{
	unsigned int other;

	if (n->kind != YNODE_SCALAR || n->type != YTYPE_STRING || is_decimal(n->text))
		return doc_number(r, n, p, UINT8_MAX, ret);
	if (icmp_type(n->text, v6, ret) == 0)
		return 0;
	if (icmp_type(n->text, !v6, &other) == 0)
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT,
				      v6 ? "is a type of family IPv4 only" :
					   "is a type of family IPv6 only: write 'family: IPv6'");
	return doc_fail_value(
		r, n, p, CLITE_EDOCUMENT,
		"is no type of ICMP: expected 0 to 255, or a name such as EchoRequest");
}

static int read_icmp_family(const struct reader *r, const struct ynode *n, const struct path *p,
			    bool *ret_v6)
{
	const char *s;
	int res = doc_string(r, n, p, &s);

	if (res < 0)
		return res;
	*ret_v6 = strcmp(s, "IPv6") == 0;
	if (!*ret_v6 && strcmp(s, "IPv4") != 0)
		return doc_fail_value(r, n, p, CLITE_EDOCUMENT, "is no family: IPv4 and IPv6 are");
	return 0;
}

static int read_icmp_field(const struct reader *r, const struct ynode *n, const struct path *p,
			   struct port_range *ret)
{
	enum { FAMILY, TYPE, COUNT };
	static const struct field fields[COUNT] = {
		[FAMILY] = { .name = "family" },
		[TYPE] = { .name = "type" },
	};
	struct path family_path = { .up = p, .key = "family" };
	struct path type_path = { .up = p, .key = "type" };
	const struct ynode *got[COUNT];
	unsigned int type;
	bool v6 = false;
	int res;

	res = doc_fields(r, n, p, fields, COUNT, got);
	if (res < 0)
		return res;
	if (got[FAMILY]) {
		res = read_icmp_family(r, got[FAMILY], &family_path, &v6);
		if (res < 0)
			return res;
	}
	if (!got[TYPE])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"needs a type: a number, or a name such as EchoRequest");
	res = read_icmp_type(r, got[TYPE], &type_path, v6, &type);
	if (res < 0)
		return res;

	*ret = (struct port_range){
		.protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
		.first = (uint16_t)type,
		.last = (uint16_t)type,
	};
	return 0;
}

static int read_icmp_element(const struct reader *r, const struct ynode *n, const struct path *p,
			     struct rule *rule, size_t *cap)
{
	static const struct field fields[] = { { .name = "fields" } };
	struct path list = { .up = p, .key = "fields" };
	const struct ynode *got[1];
	int res = doc_fields(r, n, p, fields, 1, got);

	if (res < 0)
		return res;
	return got[0] ? read_list(r, got[0], &list, "types", read_icmp_field, rule, cap, 0) : 0;
}

typedef int (*ports_fn)(const struct reader *r, const struct ynode *n, const struct path *p,
			struct rule *rule, size_t *cap);

/* An empty list is as none. */
int document_ports(const struct reader *r, const struct ynode *list, const struct path *p,
		   enum element kind, struct rule *rule)
{
	ports_fn read = kind == E_PORTS ? read_ports_element : read_icmp_element;
	size_t cap = 0, i = 0;
	int res = doc_list(r, list, p);

	if (res < 0)
		return res;
	for (const struct ynode *n = list->first; n; n = n->next) {
		struct path here = { .up = p, .index = i++ };

		res = read(r, n, &here, rule, &cap);
		if (res < 0)
			return res;
		rule->any_port = false;
	}
	return 0;
}
