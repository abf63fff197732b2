/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/names.h"

#include <stddef.h>

#include "util/util.h"

#define PICK(table, i) ((i) < ARRAY_SIZE(table) ? (table)[i] : NULL)

/* ---- drop reasons -------------------------------------------------------- */

/* Texts: Cilium's pkg/monitor/api/drop.go. Names: Hubble's enum DropReason. */
static const struct {
	const char *text;
	const char *name;
} drop_reasons[] = {
	[0] = { "Success", "DROP_REASON_UNKNOWN" },
	[2] = { "Invalid packet", NULL },
	[3] = { "Interface", NULL },
	[4] = { "Interface Decrypted", NULL },
	[5] = { "LB, sock cgroup: No backend slot entry found", NULL },
	[6] = { "LB, sock cgroup: No backend entry found", NULL },
	[7] = { "LB, sock cgroup: Reverse entry update failed", NULL },
	[8] = { "LB, sock cgroup: Reverse entry stale", NULL },
	[9] = { "Fragmented packet", NULL },
	[10] = { "Fragmented packet entry update failed", NULL },
	[11] = { "Missed tail call to custom program", NULL },
	[12] = { "Interface Decrypting", NULL },
	[13] = { "Interface Encrypting", NULL },
	[14] = { "LB: sock cgroup: Reverse entry delete succeeded", NULL },
	[15] = { "MTU error message", NULL },
	[130] = { "Invalid source mac", "INVALID_SOURCE_MAC" },
	[131] = { "Invalid destination mac", "INVALID_DESTINATION_MAC" },
	[132] = { "Invalid source ip", "INVALID_SOURCE_IP" },
	[133] = { "Policy denied", "POLICY_DENIED" },
	[134] = { "Invalid packet", "INVALID_PACKET_DROPPED" },
	[135] = { "CT: Truncated or invalid header", "CT_TRUNCATED_OR_INVALID_HEADER" },
	[136] = { "Fragmentation needed", "CT_MISSING_TCP_ACK_FLAG" },
	[137] = { "CT: Unknown L4 protocol", "CT_UNKNOWN_L4_PROTOCOL" },
	[138] = { "CT: Can't create entry from packet", "CT_CANNOT_CREATE_ENTRY_FROM_PACKET" },
	[139] = { "Unsupported L3 protocol", "UNSUPPORTED_L3_PROTOCOL" },
	[140] = { "Missed tail call", "MISSED_TAIL_CALL" },
	[141] = { "Error writing to packet", "ERROR_WRITING_TO_PACKET" },
	[142] = { "Unknown L4 protocol", "UNKNOWN_L4_PROTOCOL" },
	[143] = { "Unknown ICMPv4 code", "UNKNOWN_ICMPV4_CODE" },
	[144] = { "Unknown ICMPv4 type", "UNKNOWN_ICMPV4_TYPE" },
	[145] = { "Unknown ICMPv6 code", "UNKNOWN_ICMPV6_CODE" },
	[146] = { "Unknown ICMPv6 type", "UNKNOWN_ICMPV6_TYPE" },
	[147] = { "Error retrieving tunnel key", "ERROR_RETRIEVING_TUNNEL_KEY" },
	[148] = { "Error retrieving tunnel options", "ERROR_RETRIEVING_TUNNEL_OPTIONS" },
	[149] = { "Invalid Geneve option", "INVALID_GENEVE_OPTION" },
	[150] = { "Unknown L3 target address", "UNKNOWN_L3_TARGET_ADDRESS" },
	[151] = { "Stale or unroutable IP", "STALE_OR_UNROUTABLE_IP" },
	[152] = { "No matching local container found", "NO_MATCHING_LOCAL_CONTAINER_FOUND" },
	[153] = { "Error while correcting L3 checksum", "ERROR_WHILE_CORRECTING_L3_CHECKSUM" },
	[154] = { "Error while correcting L4 checksum", "ERROR_WHILE_CORRECTING_L4_CHECKSUM" },
	[155] = { "CT: Map insertion failed", "CT_MAP_INSERTION_FAILED" },
	[156] = { "Invalid IPv6 extension header", "INVALID_IPV6_EXTENSION_HEADER" },
	[157] = { "IP fragmentation not supported", "IP_FRAGMENTATION_NOT_SUPPORTED" },
	[158] = { "Service backend not found", "SERVICE_BACKEND_NOT_FOUND" },
	[160] = { "No tunnel/encapsulation endpoint (datapath BUG!)",
		  "NO_TUNNEL_OR_ENCAPSULATION_ENDPOINT" },
	[161] = { "NAT 46/64 not enabled", "FAILED_TO_INSERT_INTO_PROXYMAP" },
	[162] = { "Reached EDT rate-limiting drop horizon",
		  "REACHED_EDT_RATE_LIMITING_DROP_HORIZON" },
	[163] = { "Unknown connection tracking state", "UNKNOWN_CONNECTION_TRACKING_STATE" },
	[164] = { "Local host is unreachable", "LOCAL_HOST_IS_UNREACHABLE" },
	[165] = { "No configuration available to perform policy decision",
		  "NO_CONFIGURATION_AVAILABLE_TO_PERFORM_POLICY_DECISION" },
	[166] = { "Unsupported L2 protocol", "UNSUPPORTED_L2_PROTOCOL" },
	[167] = { "No mapping for NAT masquerade", "NO_MAPPING_FOR_NAT_MASQUERADE" },
	[168] = { "Unsupported protocol for NAT masquerade",
		  "UNSUPPORTED_PROTOCOL_FOR_NAT_MASQUERADE" },
	[169] = { "FIB lookup failed", "FIB_LOOKUP_FAILED" },
	[170] = { "Encapsulation traffic is prohibited", "ENCAPSULATION_TRAFFIC_IS_PROHIBITED" },
	[171] = { "Invalid identity", "INVALID_IDENTITY" },
	[172] = { "Unknown sender", "UNKNOWN_SENDER" },
	[173] = { "NAT not needed", "NAT_NOT_NEEDED" },
	[174] = { "Is a ClusterIP", "IS_A_CLUSTERIP" },
	[175] = { "First logical datagram fragment not found",
		  "FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND" },
	[176] = { "Forbidden ICMPv6 message", "FORBIDDEN_ICMPV6_MESSAGE" },
	[177] = { "Denied by LB src range check", "DENIED_BY_LB_SRC_RANGE_CHECK" },
	[178] = { "Socket lookup failed", "SOCKET_LOOKUP_FAILED" },
	[179] = { "Socket assign failed", "SOCKET_ASSIGN_FAILED" },
	[180] = { "Proxy redirection not supported for protocol",
		  "PROXY_REDIRECTION_NOT_SUPPORTED_FOR_PROTOCOL" },
	[181] = { "Policy denied by denylist", "POLICY_DENY" },
	[182] = { "VLAN traffic disallowed by VLAN filter", "VLAN_FILTERED" },
	[183] = { "Incorrect VNI from VTEP", "INVALID_VNI" },
	[184] = { "Failed to update or lookup TC buffer", "INVALID_TC_BUFFER" },
	[185] = { "No SID was found for the IP address", "NO_SID" },
	[186] = { "SRv6 state was removed during tail call", "MISSING_SRV6_STATE" },
	[187] = { "L3 translation from IPv4 to IPv6 failed (NAT46)", "NAT46" },
	[188] = { "L3 translation from IPv6 to IPv4 failed (NAT64)", "NAT64" },
	[189] = { "Authentication required", "AUTH_REQUIRED" },
	[190] = { "No conntrack map found", "CT_NO_MAP_FOUND" },
	[191] = { "No nat map found", "SNAT_NO_MAP_FOUND" },
	[192] = { "Invalid ClusterID", "INVALID_CLUSTER_ID" },
	[193] = { "Unsupported packet protocol for DSR encapsulation",
		  "UNSUPPORTED_PROTOCOL_FOR_DSR_ENCAP" },
	[194] = { "No egress gateway found", "NO_EGRESS_GATEWAY" },
	[195] = { "Traffic is unencrypted", "UNENCRYPTED_TRAFFIC" },
	[196] = { "TTL exceeded", "TTL_EXCEEDED" },
	[197] = { "No node ID found", "NO_NODE_ID" },
	[198] = { "Rate limited", "DROP_RATE_LIMITED" },
	[199] = { "IGMP handled", "IGMP_HANDLED" },
	[200] = { "IGMP subscribed", "IGMP_SUBSCRIBED" },
	[201] = { "Multicast handled", "MULTICAST_HANDLED" },
	[202] = { "Host datapath not ready", "DROP_HOST_NOT_READY" },
	[203] = { "Endpoint policy program not available", "DROP_EP_NOT_READY" },
	[204] = { "No Egress IP configured", "DROP_NO_EGRESS_IP" },
	[205] = { "Punt to proxy", "DROP_PUNT_PROXY" },
};

const char *clite_drop_reason_text(uint32_t reason)
{
	return reason < ARRAY_SIZE(drop_reasons) ? drop_reasons[reason].text : NULL;
}

const char *clite_drop_reason_name(uint32_t reason)
{
	return reason < ARRAY_SIZE(drop_reasons) ? drop_reasons[reason].name : NULL;
}

/* ---- traces and verdicts ------------------------------------------------- */

static const struct {
	const char *text;
	const char *name;
} trace_points[] = {
	[0] = { "to-endpoint", "TO_ENDPOINT" },
	[1] = { "to-proxy", "TO_PROXY" },
	[2] = { "to-host", "TO_HOST" },
	[3] = { "to-stack", "TO_STACK" },
	[4] = { "to-overlay", "TO_OVERLAY" },
	[5] = { "from-endpoint", "FROM_ENDPOINT" },
	[6] = { "from-proxy", "FROM_PROXY" },
	[7] = { "from-host", "FROM_HOST" },
	[8] = { "from-stack", "FROM_STACK" },
	[9] = { "from-overlay", "FROM_OVERLAY" },
	[10] = { "from-network", "FROM_NETWORK" },
	[11] = { "to-network", "TO_NETWORK" },
	[12] = { "from-crypto", "FROM_CRYPTO" },
	[13] = { "to-crypto", "TO_CRYPTO" },
};
_Static_assert(ARRAY_SIZE(trace_points) == TRACE_POINT_MAX + 1, "trace points");

const char *clite_trace_point_text(uint32_t point)
{
	return point < ARRAY_SIZE(trace_points) ? trace_points[point].text : NULL;
}

const char *trace_point_name(uint32_t point)
{
	return point < ARRAY_SIZE(trace_points) ? trace_points[point].name : NULL;
}

const char *trace_reason_name(uint32_t reason)
{
	/* 5 is "unknown" in the datapath: Hubble leaves the field away. */
	static const char *const names[] = {
		[0] = "NEW",	  [1] = "ESTABLISHED", [2] = "REPLY",	   [3] = "RELATED",
		[4] = "REOPENED", [6] = "SRV6_ENCAP",  [7] = "SRV6_DECAP", [8] = "ENCRYPT_OVERLAY",
	};
	_Static_assert(ARRAY_SIZE(names) == TRACE_REASON_MAX + 1, "trace reasons");

	return PICK(names, reason);
}

const char *match_type_text(uint32_t match)
{
	static const char *const texts[] = {
		[0] = "none", [1] = "L3-Only",	[2] = "L3-L4",	    [3] = "L4-Only",
		[4] = "all",  [5] = "L3-Proto", [6] = "Proto-Only",
	};
	_Static_assert(ARRAY_SIZE(texts) == MATCH_TYPE_MAX + 1, "match types");

	return PICK(texts, match);
}

/* ---- identities, files --------------------------------------------------- */

const char *reserved_identity_name(uint32_t identity)
{
	static const char *const names[] = {
		[0] = "unknown",     [1] = "host",	     [2] = "world",
		[3] = "unmanaged",   [4] = "health",	     [5] = "init",
		[6] = "remote-node", [7] = "kube-apiserver", [8] = "ingress",
		[9] = "world-ipv4",  [10] = "world-ipv6",    [11] = "encrypted-overlay",
	};

	return PICK(names, identity);
}

const char *datapath_file_name(uint32_t file)
{
	/* numbers of enum file_id in bpf/lib/common.h */
	static const char *const names[] = {
		[0] = "",	   [1] = "parse.h",  [2] = "flow.h",
		[3] = "admit.h",   [4] = "policy.h", [5] = "service.h",
		[6] = "deliver.h", [7] = "nd.h",     [8] = "endpoint.bpf.c",
		[9] = "frag.h",	   [10] = "icmp.h",  [11] = "nat.h",
		[12] = "snat.h",   [13] = "outer.h", [14] = "xdp.h",
		[15] = "hop.h",	   [16] = "toobig.h",  [17] = "dsr.h",
	};
	_Static_assert(ARRAY_SIZE(names) == DATAPATH_FILE_MAX + 1, "files");

	return PICK(names, file);
}

/* ---- ICMP ---------------------------------------------------------------- */

#define ICMP_CODES 16

struct icmp_names {
	const char *type;
	const char *codes[ICMP_CODES]; /* none at all: the code means nothing */
};

static const struct icmp_names icmp4_names[] = {
	[0] = { .type = "EchoReply" },
	[3] = { .type = "DestinationUnreachable",
		.codes = { "Net", "Host", "Protocol", "Port", "FragmentationNeeded",
			   "SourceRoutingFailed", "NetUnknown", "HostUnknown", "SourceIsolated",
			   "NetAdminProhibited", "HostAdminProhibited", "NetTOS", "HostTOS",
			   "CommAdminProhibited", "HostPrecedence", "PrecedenceCutoff" } },
	[4] = { .type = "SourceQuench" },
	[5] = { .type = "Redirect", .codes = { "Net", "Host", "TOS+Net", "TOS+Host" } },
	[8] = { .type = "EchoRequest" },
	[9] = { .type = "RouterAdvertisement" },
	[10] = { .type = "RouterSolicitation" },
	[11] = { .type = "TimeExceeded",
		 .codes = { "TTLExceeded", "FragmentReassemblyTimeExceeded" } },
	[12] = { .type = "ParameterProblem",
		 .codes = { "PointerIndicatesError", "MissingOption", "BadLength" } },
	[13] = { .type = "TimestampRequest" },
	[14] = { .type = "TimestampReply" },
	[15] = { .type = "InfoRequest" },
	[16] = { .type = "InfoReply" },
	[17] = { .type = "AddressMaskRequest" },
	[18] = { .type = "AddressMaskReply" },
};

static const struct icmp_names icmp6_names[] = {
	[1] = { .type = "DestinationUnreachable",
		.codes = { "NoRouteToDst", "AdminProhibited", "BeyondScopeOfSrc",
			   "AddressUnreachable", "PortUnreachable", "SrcAddressFailedPolicy",
			   "RejectRouteToDst" } },
	[2] = { .type = "PacketTooBig" },
	[3] = { .type = "TimeExceeded",
		.codes = { "HopLimitExceeded", "FragmentReassemblyTimeExceeded" } },
	[4] = { .type = "ParameterProblem",
		.codes = { "ErroneousHeaderField", "UnrecognizedNextHeader",
			   "UnrecognizedIPv6Option" } },
	[128] = { .type = "EchoRequest" },
	[129] = { .type = "EchoReply" },
	[133] = { .type = "RouterSolicitation" },
	[134] = { .type = "RouterAdvertisement" },
	[135] = { .type = "NeighborSolicitation" },
	[136] = { .type = "NeighborAdvertisement" },
	[137] = { .type = "Redirect" },
};

static const struct icmp_names *icmp_find(bool v6, uint8_t type)
{
	static const struct icmp_names none = {};

	if (v6)
		return type < ARRAY_SIZE(icmp6_names) ? &icmp6_names[type] : &none;
	return type < ARRAY_SIZE(icmp4_names) ? &icmp4_names[type] : &none;
}

const char *icmp_type_name(bool v6, uint8_t type)
{
	return icmp_find(v6, type)->type;
}

const char *icmp_code_name(bool v6, uint8_t type, uint8_t code)
{
	return PICK(icmp_find(v6, type)->codes, code);
}

bool icmp_type_has_codes(bool v6, uint8_t type)
{
	return icmp_find(v6, type)->codes[0] != NULL;
}
