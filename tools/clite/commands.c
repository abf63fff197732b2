/* SPDX-License-Identifier: BSD-2-Clause */
/* Every command with its help. The order is that of the help. */
#include "hubble.h"

const struct group groups[] = {
	{ "instance", "Make, delete and list datapaths" },
	{ "endpoint", "Workloads: network devices whose packets are policed" },
	{ "identity", "Numbers for sets of labels" },
	{ "policy", "Who may talk to whom" },
	{ "service", "Addresses in front of several back ends" },
	{ "device", "Uplinks: devices to the world" },
	{ "cgroup", "Processes that find services at the socket" },
	{ "hubble", "Ask a server of Hubble's API" },
	{ "hubble list", "What the server knows" },
	{ "hubble watch", "What changes at the server" },
	{ "metrics", "Figures for dashboards" },
	{ "bpf", "Look into the kernel's maps" },
	{ "bpf lb", "Load balancing" },
	{ "bpf ct", "Connection tracking: the flow table" },
	{ "bpf policy", "Compiled verdicts" },
	{ "bpf ipcache", "From address to identity" },
	{ "bpf metrics", "Packet counters" },
};
const size_t ngroups = ARRAY_SIZE(groups);

static const struct opt status_opts[] = {
	{ 'v', "verbose", NULL, "also sizes, revision, and counters by direction" },
	{ OPT_FEATURES, "features", NULL,
	  "say what this kernel can do instead, and why; needs no instance" },
	{ 0 },
};

static const struct opt instance_create_opts[] = {
	{ OPT_FLOWS4, "flows4", "N", "IPv4 flow table entries, two for a flow (131072)" },
	{ OPT_FLOWS6, "flows6", "N", "IPv6 flow table entries, two for a flow (65536)" },
	{ OPT_ENDPOINTS, "endpoints", "N", "endpoints at most (4095)" },
	{ OPT_SERVICES, "services", "N", "services at most (16384)" },
	{ OPT_MAX_BACKENDS, "backends", "N", "back ends of all services at most (65535)" },
	{ OPT_SNAT_PORTS, "snat-ports", "FIRST-LAST", "ports for translated sources (32768-65535)" },
	{ OPT_POLICIES, "policies", "N", "distinct compiled policies at most (8192)" },
	{ OPT_CLSACT, "clsact", NULL, "attach by clsact even where the kernel has TCX" },
	{ OPT_NEIGH, "neigh", NULL,
	  "send to the world by neighbour redirect, past the host's netfilter" },
	{ OPT_CONFIG, "config", "KEY=VALUE", "a setting, as of \"clite config\"; once for each" },
	{ OPT_IF_ABSENT, "if-absent", NULL, "no error if it is there; it stays as it is" },
	{ 0 },
};

static const struct opt endpoint_add_opts[] = {
	{ OPT_IPV4, "ipv4", "ADDRESS", "IPv4 address of the workload" },
	{ OPT_IPV6, "ipv6", "ADDRESS", "IPv6 address of the workload" },
	{ OPT_NAME, "name", "NAME", "name for people and events (default: the device's)" },
	{ 'l', "labels", "LABEL", "a label, [SOURCE:]KEY[=VALUE]; once for each" },
	{ OPT_PORT, "port", "NAME=PORT[/PROTOCOL]",
	  "name of a port for policies; tcp (default), udp or sctp; once for each" },
	{ OPT_MAC, "mac", "MAC", "hardware address inside the workload (default: found)" },
	{ OPT_ID, "id", "N", "number of the endpoint (default: the next free one)" },
	{ 0 },
};

static const struct opt all_policies_opts[] = {
	{ OPT_ALL, "all", NULL, "every policy" },
	{ 0 },
};

static const struct opt policy_get_opts[] = {
	{ OPT_HITS, "hits", NULL, "the rules with their packets and bytes, and how many are unused" },
	{ 0 },
};

static const struct opt trace_opts[] = {
	{ OPT_SRC, "src", "END", "who sends: [ip:]ADDRESS, [endpoint:]ENDPOINT or identity:N" },
	{ OPT_DST, "dst", "END", "to whom: the same; also the address of a service" },
	{ OPT_DPORT, "dport", "PORT[/PROTOCOL]", "tcp (default), udp, sctp; 8/icmp: the type" },
	{ OPT_SPORT, "sport", "PORT", "source port (default: any)" },
	{ OPT_BACKEND, "backend", "N", "trace the N-th active back end of a service, from 0" },
	{ OPT_PACKET, "packet", "HEX|FILE", "an Ethernet frame instead of the above; --src: who sends it" },
	{ OPT_LIVE, "live", NULL, "run it through the loaded programs, too" },
	{ 0 },
};

static const struct opt rehearse_opts[] = {
	{ OPT_FLOWS, "flows", "FILE", "saved flows instead of those that come; '-': standard input" },
	{ OPT_FOR, "for", "SECONDS", "end after that time (default: Ctrl-C ends it)" },
	{ OPT_DELETE, "delete", "NAME", "the candidate is without this policy; once for each" },
	{ OPT_COMMIT, "commit", NULL, "bring exactly the candidate into force at the end" },
	{ 0 },
};

static const struct opt all_services_opts[] = {
	{ OPT_ALL, "all", NULL, "every service" },
	{ 0 },
};

static const struct opt service_update_opts[] = {
	{ OPT_FRONTEND, "frontend", "ADDRESS:PORT[/PROTOCOL]",
	  "address of the service; tcp (default), udp or sctp" },
	{ OPT_BACKENDS, "backends", "ADDRESS[:PORT],...",
	  "its back ends; port: the service's; '' for none" },
	{ OPT_WEIGHTS, "backend-weights", "N,...", "share of new flows of each back end (1)" },
	{ OPT_STATES, "states", "STATE,...",
	  "of each back end: active, terminating, quarantined, maintenance" },
	{ OPT_NAME, "name", "NAME", "name for people, events and policies, NAMESPACE/NAME" },
	{ 'l', "labels", "LABEL", "a label for policies, [SOURCE:]KEY[=VALUE]; once for each" },
	{ OPT_ALGORITHM, "algorithm", "ALGORITHM", "random (default) or maglev" },
	{ OPT_KIND, "kind", "KIND", "ClusterIP (default) is for endpoints; NodePort, ExternalIP, LoadBalancer, HostPort and Standalone are for the world, too" },
	{ OPT_AFFINITY, "affinity", "SECONDS", "a client keeps its back end so long after its last flow" },
	{ OPT_SOURCES, "sources", "PREFIX,...", "clients in the world that may use it (all)" },
	{ OPT_SOURCES_DENY, "sources-deny", NULL, "--sources are those that may not" },
	{ OPT_EXTERNAL_LOCAL, "external-local", NULL, "for the world only back ends on this host" },
	{ OPT_REJECT, "reject", NULL, "without a back end answer with ICMP, not only drop" },
	{ OPT_INTERNAL_LOCAL, "internal-local", NULL, "for endpoints only back ends on this host" },
	{ OPT_MODE, "mode", "MODE",
	  "snat (default): translated; dsr: the back end's node answers; ipip, gue: in outer packets" },
	{ OPT_ID, "id", "N", "number of a new service (default: the next free one)" },
	{ 0 },
};

static const struct opt service_import_opts[] = {
	{ OPT_SOURCE, "source", "NAME", "remember what came under this name (default: the file's)" },
	{ OPT_NODE, "node", "NAME", "name of this node: what is Local is by it" },
	{ OPT_ZONE, "zone", "ZONE", "zone of this node, for services that prefer what is near" },
	{ OPT_NODE_ADDRESS, "node-address", "ADDRESS,...", "where ports of nodes (NodePort) are" },
	{ 0 },
};

static const struct opt masquerade_opts[] = {
	{ OPT_IPV4, "ipv4", "on|off", "IPv4 packets of endpoints to the world" },
	{ OPT_IPV6, "ipv6", "on|off", "IPv6 packets" },
	{ OPT_EXCLUDE, "exclude", "PREFIX,...", "not those to these; '' for none" },
	{ 0 },
};

static const struct opt device_attach_opts[] = {
	{ OPT_XDP, "xdp", NULL, "balance at XDP: by the driver if it can, else by the stack" },
	{ OPT_XDP_GENERIC, "xdp-generic", NULL, "balance at XDP, by the stack" },
	{ OPT_DSR, "dsr", NULL, "believe balancers there (mode dsr) which service a packet is for" },
	{ OPT_FLOWS4, "flows4", "N", "IPv4 flows that XDP remembers, on all CPUs (262144)" },
	{ OPT_FLOWS6, "flows6", "N", "IPv6 flows (32768)" },
	{ OPT_NEW_FLOWS, "new-flows", "N", "of them new in a second, on each CPU, at most (125000)" },
	{ OPT_GUE_PORT, "gue-port", "PORT", "UDP port of back ends of services in mode gue (6080)" },
	{ OPT_SOURCE4, "source4", "ADDRESS|PREFIX", "source of outer packets; an address of a prefix for each flow" },
	{ OPT_SOURCE6, "source6", "ADDRESS|PREFIX", "the same for IPv6 (default: as the routing table says)" },
	{ 0 },
};

static const struct opt bpf_policy_opts[] = {
	{ 'n', "numeric", NULL, "identities as numbers, not as labels" },
	{ OPT_ALL, "all", NULL, "every endpoint, as without ENDPOINT" },
	{ 0 },
};

static const struct opt metrics_opts[] = {
	{ 'p', "match-pattern", "REGEXP", "only metrics whose name has this in it" },
	{ OPT_PROMETHEUS, "prometheus", NULL, "in the text format of Prometheus" },
	{ 0 },
};

static const struct opt monitor_opts[] = {
	{ 't', "type", "TYPE", "only drop, trace or policy-verdict; may be repeated" },
	{ OPT_FROM, "from", "ENDPOINT", "only what this endpoint sends; may be repeated" },
	{ OPT_TO, "to", "ENDPOINT", "only what comes to this endpoint; may be repeated" },
	{ OPT_RELATED, "related-to", "ENDPOINT", "only what it sends or gets; may be repeated" },
	{ OPT_NO_AGGREGATION, "no-aggregation", NULL, "an event for every packet" },
	{ 'n', "count", "N", "end after N events" },
	{ 'j', "json", NULL, "the same as -o json" },
	{ 'v', "verbose", NULL, "also drop place, rules with file and line, flow counters" },
	{ 0 },
};

static const struct opt capture_opts[] = {
	{ 'w', "write", "FILE", "where to; '-': standard output" },
	{ OPT_DROPS, "drops", NULL, "packets that are dropped (default)" },
	{ OPT_ALL, "all", NULL, "also those that go their way, each of them" },
	{ OPT_FROM, "from", "END", "only from there: an address, prefix or endpoint; may be repeated" },
	{ OPT_TO, "to", "END", "only to there; may be repeated" },
	{ OPT_PROTOCOL, "protocol", "PROTOCOL",
	  "only icmp, icmpv4, icmpv6, tcp, udp or sctp; may be repeated" },
	{ OPT_PORT, "port", "PORT", "only from or to this port; may be repeated" },
	{ OPT_ALLOWLIST, "allowlist", "JSON", "only flows that pass this filter of Hubble's; may be repeated" },
	{ OPT_DENYLIST, "denylist", "JSON", "and that do not pass this one; may be repeated" },
	{ OPT_SNAPLEN, "snaplen", "BYTES", "of a packet that are kept at most (16384)" },
	{ 'n', "count", "N", "end after N packets" },
	{ OPT_FOR, "for", "SECONDS", "end after that time (default: Ctrl-C ends it)" },
	{ OPT_MAX_BYTES, "max-bytes", "N", "end when the file would be larger, or begin another one" },
	{ OPT_MAX_FILES, "max-files", "N", "keep so many: FILE, then FILE.1, which is older..." },
	{ 0 },
};

static const struct opt hubble_status_opts[] = {
	{ 'o', "output", "FORMAT", "compact (default), dict, json, table" },
	SERVER_OPTS,
	{ 0 },
};

static const struct opt hubble_list_opts[] = {
	{ 'o', "output", "FORMAT", "table (default), wide, json" },
	SERVER_OPTS,
	{ 0 },
};

static const struct opt hubble_watch_opts[] = {
	SERVER_OPTS,
	{ 0 },
};

#define ENDPOINT_NOTE "ENDPOINT is a number, or the name, address or device of an endpoint."

const struct command commands[] = {
	{
		.path = "status",
		.args = "[-v | --features]",
		.purpose = "Show how an instance is, and what it dropped",
		.details = "With --features the exit code is 1 if the kernel lacks something that\n"
			   "is required.",
		.example = "clite status",
		.opts = status_opts,
		.run = cmd_status,
	},
	{
		.path = "instance create",
		.args = "[NAME] [OPTION]...",
		.purpose = "Make an instance: a datapath with its state",
		.details =
			"The instance is pinned in the bpf file system, which is mounted if need\n"
			"be: it works on without any process until it is deleted, or until the\n"
			"machine restarts. NAME is the instance of -i if it is left out.\n"
			"Sizes cannot be changed later.",
		.example = "clite instance create default --flows4 262144",
		.opts = instance_create_opts,
		.max_args = 1,
		.run = cmd_instance_create,
	},
	{
		.path = "instance delete",
		.alias = "rm",
		.args = "NAME",
		.purpose = "Detach all programs of an instance and forget its state",
		.details = "Its devices stay; their packets are not policed any more.",
		.example = "clite instance delete default",
		.min_args = 1,
		.max_args = 1,
		.run = cmd_instance_delete,
	},
	{
		.path = "instance list",
		.alias = "ls",
		.args = "",
		.purpose = "List the instances of this machine",
		.example = "clite instance list",
		.run = cmd_instance_list,
	},
	{
		.path = "config",
		.args = "[KEY=VALUE...]",
		.purpose = "Show or change the settings of the instance",
		.details =
			"  PolicyEnforcement=default|always|never  whom policies hold: those whom they\n"
			"                                          select, everybody, nobody\n"
			"  PolicyAuditMode=Enabled|Disabled        what policies deny passes, and is told\n"
			"                                          as AUDITED by \"clite monitor\"\n"
			"  AllowLocalhost=policy|always            may the host itself always talk to\n"
			"                                          endpoints? (a rule may deny it)",
		.example = "clite config PolicyAuditMode=Enabled",
		.max_args = -1,
		.run = cmd_config,
	},
	{
		.path = "endpoint add",
		.args = "DEVICE {--ipv4 ADDRESS | --ipv6 ADDRESS}... [OPTION]...",
		.purpose = "Police the packets of the workload behind a device",
		.details =
			"DEVICE is the host's side of a veth pair, or a tap. Links, addresses and\n"
			"routes inside the workload are yours to make; any gateway address works,\n"
			"the datapath answers for it. Prints the number of the endpoint.",
		.example = "clite endpoint add veth-web --ipv4 10.0.1.2 --ipv6 fd00::2 \\\n"
			   "    --name default/web-1 -l k8s:app=web -l k8s:env=prod",
		.opts = endpoint_add_opts,
		.min_args = 1,
		.max_args = 1,
		.run = cmd_endpoint_add,
	},
	{
		.path = "endpoint config",
		.args = "ENDPOINT [KEY=VALUE]",
		.purpose = "Show or change the settings of an endpoint",
		.details =
			"  PolicyAuditMode=Enabled|Disabled  what policies deny passes, and is told as\n"
			"                                    AUDITED by \"clite monitor\"",
		.example = "clite endpoint config web PolicyAuditMode=Enabled",
		.min_args = 1,
		.max_args = 2,
		.run = cmd_endpoint_config,
	},
	{
		.path = "endpoint delete",
		.alias = "rm",
		.args = "ENDPOINT...",
		.purpose = "Remove endpoints",
		.details = ENDPOINT_NOTE
		"\nIts device stays; its packets are not policed any more.",
		.example = "clite endpoint delete 3 default/web-1",
		.min_args = 1,
		.max_args = -1,
		.run = cmd_endpoint_delete,
	},
	{
		.path = "endpoint get",
		.args = "ENDPOINT",
		.purpose = "Show one endpoint",
		.details = ENDPOINT_NOTE,
		.example = "clite endpoint get 10.0.1.2",
		.min_args = 1,
		.max_args = 1,
		.run = cmd_endpoint_get,
	},
	{
		.path = "endpoint list",
		.alias = "ls",
		.args = "",
		.purpose = "List all endpoints",
		.details =
			"POLICY says whether some policy is in force for what comes to an endpoint\n"
			"(ingress) and for what it sends (egress): if it is Disabled, everything\n"
			"is allowed.",
		.example = "clite endpoint list",
		.run = cmd_endpoint_list,
	},
	{
		.path = "identity get",
		.args = "NUMBER",
		.purpose = "Show the labels of one identity",
		.example = "clite identity get 256",
		.min_args = 1,
		.max_args = 1,
		.run = cmd_identity_get,
	},
	{
		.path = "identity list",
		.alias = "ls",
		.args = "[LABEL]...",
		.purpose = "List identities: all, or those with all the given labels",
		.details = "LABEL is [SOURCE:]KEY[=VALUE]; without a source any source matches.",
		.example = "clite identity list app=web",
		.max_args = -1,
		.run = cmd_identity_list,
	},
	{
		.path = "policy import",
		.args = "FILE...",
		.purpose = "Put the policies of documents into force",
		.details =
			"A document is a CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy or\n"
			"NetworkPolicy in YAML or JSON, or several of them, or a list.\n"
			"FILE may be '-': standard input. A policy replaces the one of its name.\n"
			"All files come into force at once, or none of them.",
		.example = "clite policy import web.yaml db.yaml",
		.min_args = 1,
		.max_args = -1,
		.run = cmd_policy_import,
	},
	{
		.path = "policy delete",
		.alias = "rm",
		.args = "{NAME... | --all}",
		.purpose = "Take policies out of force",
		.details = "All of them at once, or none if one is not there.",
		.example = "clite policy delete default/web",
		.opts = all_policies_opts,
		.max_args = -1,
		.run = cmd_policy_delete,
	},
	{
		.path = "policy get",
		.alias = "list",
		.args = "[NAME] [--hits]",
		.purpose = "List policies, print the text of one, or what rules have decided",
		.details =
			"The text is what was imported. With --hits the rules are listed, with what each\n"
			"has decided since it is in force; replies are not counted.",
		.example = "clite policy get --hits",
		.opts = policy_get_opts,
		.max_args = 1,
		.run = cmd_policy_get,
	},
	{
		.path = "policy validate",
		.args = "FILE...",
		.purpose = "Check documents without doing anything",
		.details =
			"Needs no instance and no privileges. FILE may be '-': standard input.\n"
			"What is wrong is told with file, line and field; the exit code is 1 then.",
		.example = "clite policy validate *.yaml",
		.min_args = 1,
		.max_args = -1,
		.run = cmd_policy_validate,
	},
	{
		.path = "policy trace",
		.args = "--src END --dst END --dport PORT[/PROTOCOL] [OPTION]...",
		.purpose = "Show what would become of a packet, and why",
		.details =
			"Every rule that matches is printed, with its document and line. Nothing is sent.\n"
			"With --live a packet runs through the loaded programs, whose verdict is compared;\n"
			"the exit code is 1 if they differ.",
		.example = "clite policy trace --src web --dst 10.96.0.1 --dport 80/tcp --live",
		.opts = trace_opts,
		.run = cmd_policy_trace,
	},
	{
		.path = "policy rehearse",
		.args = "[FILE...] [OPTION]...",
		.purpose = "Show what policies would change before they are in force",
		.details =
			"Each flow that is seen is judged by what is in force and by the candidate: what\n"
			"is in force with the policies of FILEs in it. Those that would change are\n"
			"printed. Traffic is not touched. Saved flows are those of\n"
			"\"clite -o json monitor\".",
		.example = "clite policy rehearse new.yaml --for 600 --commit",
		.opts = rehearse_opts,
		.max_args = -1,
		.run = cmd_policy_rehearse,
	},
	{
		.path = "service update",
		.args = "--frontend ADDRESS:PORT[/PROTOCOL] --backends ADDRESS[:PORT],... [OPTION]...",
		.purpose = "Make a service, or change the one of this address and port",
		.details =
			"Packets to the front end go to one of the back ends: those of endpoints, and\n"
			"of the world at an uplink (\"clite device attach\") if the kind is not ClusterIP.\n"
			"Flows of back ends that are not named any more are given up; the others stay.\n"
			"A service without back ends drops its packets; with --reject it says so.",
		.example =
			"clite service update --frontend 10.96.0.1:80 --name default/web \\\n"
			"    --backends 10.0.1.2:8080,10.0.1.3:8080\n"
			"clite service update --frontend '[fd00:96::1]:53/udp' --backends fd00::2",
		.opts = service_update_opts,
		.run = cmd_service_update,
	},
	{
		.path = "service import",
		.args = "FILE... [OPTION]...",
		.purpose = "Make services of Kubernetes' Services and EndpointSlices",
		.details =
			"What an earlier import of a file brought and is gone from it is removed; what has\n"
			"not changed is not touched. '-' is standard input. Cilium's file for its\n"
			"standalone load balancer is read too.",
		.example = "kubectl get -Ao json service,endpointslice | clite service import - --node $HOSTNAME",
		.opts = service_import_opts,
		.min_args = 1,
		.max_args = -1,
		.run = cmd_service_import,
	},
	{
		.path = "service delete",
		.alias = "rm",
		.args = "{SERVICE... | --all}",
		.purpose = "Remove services",
		.details = "SERVICE is a number, or ADDRESS:PORT[/PROTOCOL].",
		.example = "clite service delete 10.96.0.1:80",
		.opts = all_services_opts,
		.max_args = -1,
		.run = cmd_service_delete,
	},
	{
		.path = "service get",
		.args = "SERVICE",
		.purpose = "Show one service",
		.details = "SERVICE is a number, or ADDRESS:PORT[/PROTOCOL].",
		.example = "clite service get 1",
		.min_args = 1,
		.max_args = 1,
		.run = cmd_service_get,
	},
	{
		.path = "service list",
		.alias = "ls",
		.args = "",
		.purpose = "List all services with their back ends",
		.example = "clite service list",
		.run = cmd_service_list,
	},
	{
		.path = "masquerade",
		.args = "[OPTION]...",
		.purpose = "Show or say what endpoints send with the address of the uplink",
		.details =
			"New flows of endpoints to the world leave an attached uplink (\"clite device\n"
			"attach\") with its address, and answers find their way back. What is not said\n"
			"stays as it is.",
		.example = "clite masquerade --ipv4 on --exclude 10.0.0.0/8",
		.opts = masquerade_opts,
		.run = cmd_masquerade,
	},
	{
		.path = "metrics list",
		.alias = "ls",
		.args = "[OPTION]...",
		.purpose = "List figures of the instance under the names that Cilium's have",
		.details =
			"What clited serves to Prometheus of the instance. Counters begin when it is made.",
		.example = "clite metrics list -p 'drop|forward'",
		.opts = metrics_opts,
		.run = cmd_metrics_list,
	},
	{
		.path = "monitor",
		.args = "[OPTION]...",
		.purpose = "Print what happens to packets, one line each, until Ctrl-C",
		.details =
			"Shows the first packet of each flow and direction, new TCP flags, and a\n"
			"sign of life every 5 s; drops always. Filters of different kinds must all\n"
			"hold, of one kind any of them. " ENDPOINT_NOTE "\n"
			"Events that were lost are counted on standard error in the end.",
		.example = "clite monitor --type drop --related-to default/web-1 -v",
		.opts = monitor_opts,
		.run = cmd_monitor,
	},
	{
		.path = "capture",
		.args = "-w FILE [OPTION]...",
		.purpose = "Write packets to a pcapng file, with the reason why they were dropped",
		.details =
			"For Wireshark, tshark and tcpdump. The comment of each packet says what\n"
			"happened to it: verdict, drop reason, rule, who sent it to whom. Packets are as\n"
			"they came, before translation. Filters of different kinds must all hold, of one\n"
			"kind any of them. Only the owner may read the file. What was lost stands at its\n"
			"end, also after Ctrl-C.",
		.example = "clite capture -w drops.pcapng --to default/web-1 --port 80",
		.opts = capture_opts,
		.run = cmd_capture,
	},
	{
		.path = "observe",
		.args = "[flows | agent-events | debug-events] [OPTION]...",
		.purpose = "Print flows as \"hubble observe\", from an instance, a server or a file",
		.details =
			"With --server, or its variable in the environment, flows come from a server of\n"
			"Hubble's API, such as clited; with --input-file from a file; else from the\n"
			"instance itself, which needs no server. An instance keeps no flows: it tells\n"
			"new ones, until Ctrl-C, --first or --until; a server ends with the last one it\n"
			"has, unless --follow is given. Filters of different kinds must all hold, of one\n"
			"kind any of them; agent-events and debug-events come from servers only and have\n"
			"no filters.",
		.example = "clite observe --verdict DROPPED --to-pod default/web -o json\n"
			   "clite observe --server unix:///run/cilium/hubble.sock --last 100",
		.opts = observe_opts,
		.max_args = 1,
		.run = cmd_observe,
	},
	{
		.path = "hubble status",
		.args = "[OPTION]...",
		.purpose = "Show how a server of Hubble's API is, and how many flows it has",
		.example = "clite hubble status --server unix:///run/cilium/hubble.sock",
		.opts = hubble_status_opts,
		.run = cmd_hubble_status,
	},
	{
		.path = "hubble list nodes",
		.alias = "node",
		.args = "[OPTION]...",
		.purpose = "List the nodes that a server knows",
		.example = "clite hubble list nodes --server localhost:4245 -o wide",
		.opts = hubble_list_opts,
		.run = cmd_hubble_list_nodes,
	},
	{
		.path = "hubble list namespaces",
		.alias = "namespace",
		.args = "[OPTION]...",
		.purpose = "List the namespaces of flows that a server saw lately",
		.example = "clite hubble list namespaces --server localhost:4245",
		.opts = hubble_list_opts,
		.run = cmd_hubble_list_namespaces,
	},
	{
		.path = "hubble watch peers",
		.alias = "peer",
		.args = "[OPTION]...",
		.purpose = "Print the peers of a server, and each change, until Ctrl-C",
		.example = "clite hubble watch peers --server unix:///run/cilium/hubble.sock",
		.opts = hubble_watch_opts,
		.run = cmd_hubble_watch_peers,
	},
	{
		.path = "device attach",
		.args = "DEVICE [OPTION]...",
		.purpose = "Attach the datapath to an uplink",
		.details =
			"Packets from the world to endpoints are policed there and delivered past\n"
			"the host's stack. Without it they come through the stack. Packets to services\n"
			"go to their back ends there; one elsewhere sees the address that the device\n"
			"to it has when it is attached; or, in modes ipip and gue, gets them whole, in\n"
			"outer packets. Options but --xdp and --xdp-generic are the instance's; sizes\n"
			"are read once.",
		.example = "clite device attach eth0 --xdp",
		.opts = device_attach_opts,
		.min_args = 1,
		.max_args = 1,
		.run = cmd_device_attach,
	},
	{
		.path = "device detach",
		.args = "DEVICE",
		.purpose = "Undo 'device attach'",
		.example = "clite device detach eth0",
		.min_args = 1,
		.max_args = 1,
		.run = cmd_device_detach,
	},
	{
		.path = "cgroup attach",
		.args = "PATH",
		.purpose = "Translate services at the sockets of a cgroup's processes",
		.details =
			"PATH is a directory of cgroup2. It holds for all processes in it and in\n"
			"those below, in any network namespace, and for sockets made from now on:\n"
			"connect() and sendto() go straight to a back end, getpeername() and\n"
			"recvfrom() tell the service.",
		.example = "clite cgroup attach /sys/fs/cgroup/system.slice",
		.min_args = 1,
		.max_args = 1,
		.run = cmd_cgroup_attach,
	},
	{
		.path = "cgroup detach",
		.args = "PATH",
		.purpose = "Undo 'cgroup attach'",
		.example = "clite cgroup detach /sys/fs/cgroup/system.slice",
		.min_args = 1,
		.max_args = 1,
		.run = cmd_cgroup_detach,
	},
	{
		.path = "cgroup list",
		.alias = "ls",
		.args = "",
		.purpose = "List the cgroups that are attached",
		.example = "clite cgroup list",
		.run = cmd_cgroup_list,
	},
	{
		.path = "bpf lb list",
		.alias = "ls",
		.args = "",
		.purpose = "List services and back ends, a line for each slot",
		.example = "clite bpf lb list",
		.run = cmd_bpf_lb_list,
	},
	{
		.path = "bpf ct list",
		.alias = "ls",
		.args = "[ENDPOINT]",
		.purpose = "List flows, a line for each direction",
		.details = ENDPOINT_NOTE
		"\nOUT is what an endpoint sends, IN what comes from outside.",
		.example = "clite bpf ct list default/web-1",
		.max_args = 1,
		.run = cmd_bpf_ct_list,
	},
	{
		.path = "bpf ct flush",
		.args = "[ENDPOINT]",
		.purpose = "Forget flows: their next packet is judged as a new flow's",
		.details = ENDPOINT_NOTE " Without it: all flows.",
		.example = "clite bpf ct flush 3",
		.max_args = 1,
		.run = cmd_bpf_ct_flush,
	},
	{
		.path = "bpf policy get",
		.alias = "list",
		.args = "[ENDPOINT | --all] [-n]",
		.purpose = "List the verdicts in force at endpoints, and the rules behind them",
		.details = ENDPOINT_NOTE
		"\nRULE is the policy with the number of its rule; \"-\" if no rule\n"
		"allows it.",
		.example = "clite bpf policy get 3",
		.opts = bpf_policy_opts,
		.max_args = 1,
		.run = cmd_bpf_policy_get,
	},
	{
		.path = "bpf ipcache list",
		.alias = "ls",
		.args = "",
		.purpose = "List addresses and prefixes with their identities",
		.example = "clite bpf ipcache list",
		.run = cmd_bpf_ipcache_list,
	},
	{
		.path = "bpf ipcache get",
		.args = "ADDRESS",
		.purpose = "Show the identity of an address, as the datapath finds it",
		.example = "clite bpf ipcache get 192.0.2.1",
		.min_args = 1,
		.max_args = 1,
		.run = cmd_bpf_ipcache_get,
	},
	{
		.path = "bpf ipcache set",
		.alias = "update",
		.args = "PREFIX IDENTITY",
		.purpose = "Give an address or prefix an identity",
		.details =
			"IDENTITY is a reserved number or one that exists ('clite identity list').",
		.example = "clite bpf ipcache set 192.0.2.0/24 6",
		.min_args = 2,
		.max_args = 2,
		.run = cmd_bpf_ipcache_set,
	},
	{
		.path = "bpf ipcache delete",
		.alias = "rm",
		.args = "PREFIX",
		.purpose = "Undo 'bpf ipcache set'",
		.example = "clite bpf ipcache delete 192.0.2.0/24",
		.min_args = 1,
		.max_args = 1,
		.run = cmd_bpf_ipcache_delete,
	},
	{
		.path = "bpf metrics list",
		.alias = "ls",
		.args = "",
		.purpose = "List packets and bytes by reason and direction",
		.example = "clite bpf metrics list",
		.run = cmd_bpf_metrics_list,
	},
	{
		.path = "version",
		.args = "",
		.purpose = "Show the versions of clite and of the library",
		.example = "clite version",
		.run = cmd_version,
	},
	{
		.path = "help",
		.args = "[COMMAND]...",
		.purpose = "Explain a command",
		.example = "clite help policy import",
		.max_args = -1,
		.run = cmd_help,
	},
};
const size_t ncommands = ARRAY_SIZE(commands);
