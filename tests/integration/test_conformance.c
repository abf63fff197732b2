/* SPDX-License-Identifier: BSD-2-Clause */
/* Policies in the manner of Kubernetes' conformance tests: namespaces x, y, z with pods
 * a, b, c each, ports 80 and 81, TCP, UDP and SCTP; every probe for every policy. Two
 * peers more, o1 and o2, are no pods but addresses outside.
 *
 * What each policy should let pass is written beside it, never asked of the library:
 * everything, less and plus the lines of its truth, of which the last that fits holds:
 *
 *	- ** > xa		from everybody to pod a in namespace x: not
 *	+ y* > xa 80 TCP	but from namespace y, by TCP to port 80
 *
 * A star stands for any letter; without port or protocol, all are meant. A pod may
 * always talk to itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"

#define PODS 9
#define PEERS 11
#define OUTSIDE PODS
#define GATEWAY "169.254.1.1"

static struct workload peers[PEERS] = {
	{ .name = "xa" }, { .name = "xb" }, { .name = "xc" }, { .name = "ya" },
	{ .name = "yb" }, { .name = "yc" }, { .name = "za" }, { .name = "zb" },
	{ .name = "zc" }, { .name = "o1" }, { .name = "o2" },
};
static struct clite_ctx *ctx;

/* ---- truth ------------------------------------------------------------------------------ */

struct truth {
	bool of[PROTOCOLS][PORTS][PEERS][PEERS];
};

struct line {
	char sign, from[3], to[3];
	int port, protocol; /* -1: all */
};

static bool fits(const char *pattern, const char *name)
{
	return (pattern[0] == '*' || pattern[0] == name[0]) &&
	       (pattern[1] == '*' || pattern[1] == name[1]);
}

/* "80", "81", "TCP", "UDP", "SCTP" */
static void read_word(const char *word, struct line *l)
{
	for (int i = 0; i < PORTS; i++)
		if (strtoul(word, NULL, 10) == port_numbers[i]) {
			l->port = i;
			return;
		}
	for (int i = 0; i < PROTOCOLS; i++)
		if (strcmp(word, protocol_names[i]) == 0) {
			l->protocol = i;
			return;
		}
	NEED(false, "'%s' is neither port nor protocol", word);
}

static void read_line(const char *text, struct line *l)
{
	char words[2][8];
	int n;

	*l = (struct line){ .port = -1, .protocol = -1 };
	n = sscanf(text, " %c %2s > %2s %7s %7s", &l->sign, l->from, l->to, words[0], words[1]);
	NEED(n >= 3 && strchr("+-", l->sign), "'%s' says nothing", text);
	for (int i = 0; i < n - 3; i++)
		read_word(words[i], l);
}

static void apply(const struct line *l, struct truth *t)
{
	int used = 0;

	for (int from = 0; from < PEERS; from++)
		for (int to = 0; to < PEERS; to++) {
			if (!fits(l->from, peers[from].name) || !fits(l->to, peers[to].name))
				continue;
			used++;
			for (int i = 0; i < PROTOCOLS; i++)
				for (int k = 0; k < PORTS; k++)
					if ((l->protocol < 0 || l->protocol == i) &&
					    (l->port < 0 || l->port == k))
						t->of[i][k][from][to] = l->sign == '+';
		}
	NEED(used, "nobody is %s > %s", l->from, l->to);
}

static void make_truth(const char *lines, struct truth *t)
{
	char *copy = strdup(lines), *rest = NULL;

	NEED(copy, "no memory");
	memset(t, true, sizeof(*t));
	for (char *s = strtok_r(copy, "\n", &rest); s; s = strtok_r(NULL, "\n", &rest)) {
		struct line l;

		read_line(s, &l);
		apply(&l, t);
	}
	for (int i = 0; i < PROTOCOLS * PORTS; i++)
		for (int pod = 0; pod < PEERS; pod++)
			t->of[i / PORTS][i % PORTS][pod][pod] = true;
	free(copy);
}

/* ---- comparison -------------------------------------------------------------------------- */

static bool right(const struct truth *t, const struct outcome *o, int protocol, int port, int from,
		  int to)
{
	return !is_probed(from, to) ||
	       o->of[protocol][port][from][to] ==
		       (t->of[protocol][port][from][to] ? PASSED : DENIED);
}

static char symbol(unsigned int of)
{
	return of == PASSED ? '.' : of == DENIED ? 'X' : of ? 'E' : '?';
}

static void print_table(const struct truth *t, const struct outcome *o, int protocol, int port)
{
	printf("%s %u: rows from, columns to; . allowed, X denied, E error, ? nothing, ! wrong\n  ",
	       protocol_names[protocol], port_numbers[port]);
	for (int to = 0; to < PEERS; to++)
		printf("  %s", peers[to].name);
	for (int from = 0; from < PEERS; from++) {
		printf("\n%s", peers[from].name);
		for (int to = 0; to < PEERS; to++)
			printf("  %c%c",
			       is_probed(from, to) ? symbol(o->of[protocol][port][from][to]) : ' ',
			       right(t, o, protocol, port, from, to) ? ' ' : '!');
	}
	puts("");
}

static int count_wrong(const struct truth *t, const struct outcome *o, int protocol, int port)
{
	int n = 0;

	for (int from = 0; from < PEERS; from++)
		for (int to = 0; to < PEERS; to++)
			n += !right(t, o, protocol, port, from, to);
	return n;
}

/* Probe everything and compare. */
static void holds(const char *what, const char *form, const char *lines)
{
	struct truth t;
	struct outcome o;
	int wrong = 0;

	make_truth(lines, &t);
	probe_all(ctx, &o);
	for (int i = 0; i < PROTOCOLS * PORTS; i++) {
		int n = count_wrong(&t, &o, i / PORTS, i % PORTS);

		if (n) {
			printf("%s%s, ", what, form);
			print_table(&t, &o, i / PORTS, i % PORTS);
		}
		wrong += n;
	}
	ck_assert_msg(!wrong, "%s%s: %d probes of it are wrong", what, form, wrong);
}

/* ---- policies ----------------------------------------------------------------------------- */

#define K8S_IN(namespace, name, spec)                                                          \
	"---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"                         \
	"metadata: {name: " name ", namespace: '" namespace "'}\nspec: {" spec "}\n"
#define CNP_IN(namespace, name, spec)                                                          \
	"---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"                           \
	"metadata: {name: " name ", namespace: '" namespace "'}\nspec: {" spec "}\n"
#define K8S(spec) K8S_IN("x", "p", spec)
#define CNP(spec) CNP_IN("x", "p", spec)

/* Subjects: pod a of the namespace, all of them. */
#define K_A "podSelector: {matchLabels: {pod: a}}, "
#define K_ALL "podSelector: {}, "
#define C_A "endpointSelector: {matchLabels: {pod: a}}, "
#define C_ALL "endpointSelector: {}, "
/* Peers. */
#define K_PODS(p) "podSelector: {matchLabels: {pod: " p "}}"
#define K_SPACE(n) "namespaceSelector: {matchLabels: {ns: '" n "'}}"
#define C_SPACE(n) "'k8s:io.kubernetes.pod.namespace': '" n "'"
#define C_LABEL(n) "'k8s:io.cilium.k8s.namespace.labels.ns': '" n "'"
#define C_PORT(p, protocol) "toPorts: [{ports: [{port: '" p "', protocol: " protocol "}]}]"
#define EVERYWHERE "matchExpressions: [{key: 'k8s:io.kubernetes.pod.namespace', operator: Exists}]"

struct policy {
	const char *name;
	const char *k8s, *cnp; /* two ways to say it; NULL: one of them cannot */
	const char *truth;
};

static const struct policy policies[] = {
	{ "deny all ingress", K8S(K_ALL "policyTypes: [Ingress]"), CNP(C_ALL "ingress: [{}]"),
	  "- ** > x*" },
	{ "deny all egress", K8S(K_ALL "policyTypes: [Egress]"), CNP(C_ALL "egress: [{}]"),
	  "- x* > **" },
	{ "deny all both ways", K8S(K_ALL "policyTypes: [Ingress, Egress]"),
	  CNP(C_ALL "ingress: [{}], egress: [{}]"), "- ** > x*\n- x* > **" },
	{ "deny all, types left out", K8S("podSelector: {}"), NULL, "- ** > x*" },
	{ "allow all ingress", K8S(K_ALL "ingress: [{}]"),
	  CNP(C_ALL "ingress: [{fromEntities: [all]}]"), "" },
	{ "allow all egress", K8S(K_ALL "policyTypes: [Egress], egress: [{}]"),
	  CNP(C_ALL "egress: [{toEntities: [all]}]"), "" },
	{ "empty lists of peers and ports", K8S(K_ALL "ingress: [{from: [], ports: []}]"), NULL, "" },
	{ "deny all and allow all",
	  K8S(K_ALL "policyTypes: [Ingress]") K8S_IN("x", "q", K_ALL "ingress: [{}]"),
	  CNP(C_ALL "ingress: [{}]") CNP_IN("x", "q", C_ALL "ingress: [{fromEntities: [all]}]"), "" },
	{ "a subject that is nobody", K8S("podSelector: {matchLabels: {pod: d}}"),
	  CNP("endpointSelector: {matchLabels: {pod: d}}, ingress: [{}]"), "" },
	{ "subjects by expression",
	  K8S("podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [a]}]}"),
	  CNP("endpointSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [a]}]}, "
	      "ingress: [{}]"),
	  "- ** > xb\n- ** > xc" },

	{ "a pod", K8S(K_A "ingress: [{from: [{" K_PODS("b") "}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchLabels: {pod: b}}]}]"), "- ** > xa\n+ xb > xa" },
	{ "pods by expression",
	  K8S(K_A "ingress: [{from: [{podSelector: {matchExpressions: "
		  "[{key: pod, operator: In, values: [b, c]}]}}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchExpressions: "
		  "[{key: pod, operator: In, values: [b, c]}]}]}]"),
	  "- ** > xa\n+ xb > xa\n+ xc > xa" },
	{ "pods without a label",
	  K8S(K_A "ingress: [{from: [{podSelector: {matchExpressions: "
		  "[{key: gone, operator: DoesNotExist}]}}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchExpressions: "
		  "[{key: gone, operator: DoesNotExist}]}]}]"),
	  "- ** > xa\n+ x* > xa" },
	{ "all pods of the namespace", K8S(K_A "ingress: [{from: [{podSelector: {}}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{}]}]"), "- ** > xa\n+ x* > xa" },
	{ "a namespace", K8S(K_A "ingress: [{from: [{" K_SPACE("y") "}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchLabels: {" C_LABEL("y") "}}]}]"),
	  "- ** > xa\n+ y* > xa" },
	{ "a namespace by its name",
	  K8S(K_A "ingress: [{from: [{namespaceSelector: {matchLabels: "
		  "{kubernetes.io/metadata.name: z}}}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchLabels: {" C_SPACE("z") "}}]}]"),
	  "- ** > xa\n+ z* > xa" },
	{ "namespaces by expression",
	  K8S(K_A "ingress: [{from: [{namespaceSelector: {matchExpressions: "
		  "[{key: ns, operator: NotIn, values: [x]}]}}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchExpressions: "
		  "[{key: 'k8s:io.kubernetes.pod.namespace', operator: In, values: ['y', z]}]}]}]"),
	  "- ** > xa\n+ y* > xa\n+ z* > xa" },
	{ "every namespace", K8S(K_A "ingress: [{from: [{namespaceSelector: {}}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{" EVERYWHERE "}]}]"), "- o* > xa" },
	{ "a pod in a namespace: and",
	  K8S(K_A "ingress: [{from: [{" K_SPACE("y") ", " K_PODS("a") "}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchLabels: {" C_SPACE("y") ", pod: a}}]}]"),
	  "- ** > xa\n+ ya > xa" },
	{ "a pod or a namespace: or",
	  K8S(K_A "ingress: [{from: [{" K_SPACE("y") "}, {" K_PODS("b") "}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchLabels: {" C_SPACE("y") "}}, "
		  "{matchLabels: {pod: b}}]}]"),
	  "- ** > xa\n+ y* > xa\n+ xb > xa" },
	{ "pods by name in every namespace",
	  K8S(K_A "ingress: [{from: [{namespaceSelector: {}, " K_PODS("c") "}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchLabels: {pod: c}, " EVERYWHERE "}]}]"),
	  "- ** > xa\n+ *c > xa" },
	{ "peers who are nobody", K8S(K_A "ingress: [{from: [{" K_PODS("d") "}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchLabels: {pod: d}}]}]"), "- ** > xa" },

	{ "a port, TCP is meant", K8S(K_A "ingress: [{ports: [{port: 80}]}]"),
	  CNP(C_A "ingress: [{" C_PORT("80", "TCP") "}]"), "- ** > xa\n+ ** > xa 80 TCP" },
	{ "a port of UDP", K8S(K_A "ingress: [{ports: [{port: 81, protocol: UDP}]}]"),
	  CNP(C_A "ingress: [{" C_PORT("81", "UDP") "}]"), "- ** > xa\n+ ** > xa 81 UDP" },
	{ "a port of SCTP", K8S(K_A "ingress: [{ports: [{port: 80, protocol: SCTP}]}]"),
	  CNP(C_A "ingress: [{" C_PORT("80", "SCTP") "}]"), "- ** > xa\n+ ** > xa 80 SCTP" },
	{ "a protocol", K8S(K_A "ingress: [{ports: [{protocol: UDP}]}]"),
	  CNP(C_A "ingress: [{" C_PORT("0", "UDP") "}]"), "- ** > xa\n+ ** > xa UDP" },
	{ "a range of ports",
	  K8S(K_A "ingress: [{ports: [{port: 80, endPort: 81, protocol: SCTP}]}]"),
	  CNP(C_A "ingress: [{toPorts: [{ports: [{port: '80', endPort: 81, protocol: SCTP}]}]}]"),
	  "- ** > xa\n+ ** > xa SCTP" },
	{ "a range that begins above",
	  K8S(K_A "ingress: [{ports: [{port: 81, endPort: 90}]}]"),
	  CNP(C_A "ingress: [{toPorts: [{ports: [{port: '81', endPort: 90, protocol: TCP}]}]}]"),
	  "- ** > xa\n+ ** > xa 81 TCP" },
	{ "a range that ends below",
	  K8S(K_A "ingress: [{ports: [{port: 1, endPort: 80, protocol: UDP}]}]"),
	  CNP(C_A "ingress: [{toPorts: [{ports: [{port: '1', endPort: 80, protocol: UDP}]}]}]"),
	  "- ** > xa\n+ ** > xa 80 UDP" },
	{ "several ports",
	  K8S(K_A "ingress: [{ports: [{port: 80}, {port: 81, protocol: UDP}, "
		  "{port: 80, protocol: SCTP}]}]"),
	  CNP(C_A "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}, "
		  "{port: '81', protocol: UDP}, {port: '80', protocol: SCTP}]}]}]"),
	  "- ** > xa\n+ ** > xa 80 TCP\n+ ** > xa 81 UDP\n+ ** > xa 80 SCTP" },
	{ "a named port", K8S(K_A "ingress: [{ports: [{port: serve-81-tcp}]}]"),
	  CNP(C_A "ingress: [{" C_PORT("serve-81-tcp", "TCP") "}]"),
	  "- ** > xa\n+ ** > xa 81 TCP" },
	{ "a named port of SCTP",
	  K8S(K_A "ingress: [{ports: [{port: serve-80-sctp, protocol: SCTP}]}]"),
	  CNP(C_A "ingress: [{" C_PORT("serve-80-sctp", "SCTP") "}]"),
	  "- ** > xa\n+ ** > xa 80 SCTP" },
	{ "a named port of another protocol",
	  K8S(K_A "ingress: [{ports: [{port: serve-81-udp, protocol: TCP}]}]"),
	  CNP(C_A "ingress: [{" C_PORT("serve-81-udp", "TCP") "}]"), "- ** > xa" },
	{ "a named port on egress is the peer's",
	  K8S(K_A "policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], "
		  "ports: [{port: web}]}]"),
	  CNP(C_A "egress: [{toEndpoints: [{" EVERYWHERE "}], " C_PORT("web", "TCP") "}]"),
	  "- xa > **\n+ xa > x* 80 TCP\n+ xa > y* 80 TCP\n+ xa > z* 81 TCP" },

	{ "peers and ports: and",
	  K8S(K_A "ingress: [{from: [{" K_SPACE("z") "}], ports: [{port: 80}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchLabels: {" C_SPACE("z") "}}], "
	      C_PORT("80", "TCP") "}]"),
	  "- ** > xa\n+ z* > xa 80 TCP" },
	{ "two rules: or",
	  K8S(K_A "ingress: [{from: [{" K_SPACE("z") "}]}, {ports: [{port: 80}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchLabels: {" C_SPACE("z") "}}]}, {"
	      C_PORT("80", "TCP") "}]"),
	  "- ** > xa\n+ z* > xa\n+ ** > xa 80 TCP" },
	{ "two policies on a pod: their union",
	  K8S(K_A "ingress: [{from: [{" K_SPACE("y") "}], ports: [{port: 80}]}]")
	  K8S_IN("x", "q", K_ALL "ingress: [{from: [{" K_PODS("b") "}], "
			   "ports: [{port: 81, protocol: UDP}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchLabels: {" C_SPACE("y") "}}], "
	      C_PORT("80", "TCP") "}]")
	  CNP_IN("x", "q", C_ALL "ingress: [{fromEndpoints: [{matchLabels: {pod: b}}], "
		 C_PORT("81", "UDP") "}]"),
	  "- ** > x*\n+ y* > xa 80 TCP\n+ xb > x* 81 UDP" },

	{ "egress to a pod", K8S(K_A "policyTypes: [Egress], egress: [{to: [{" K_PODS("b") "}]}]"),
	  CNP(C_A "egress: [{toEndpoints: [{matchLabels: {pod: b}}]}]"), "- xa > **\n+ xa > xb" },
	{ "egress to a port",
	  K8S(K_A "policyTypes: [Egress], egress: [{ports: [{port: 81, protocol: UDP}]}]"),
	  CNP(C_A "egress: [{" C_PORT("81", "UDP") "}]"), "- xa > **\n+ xa > ** 81 UDP" },
	{ "egress to a namespace and a port of all",
	  K8S(K_A "policyTypes: [Egress], egress: [{to: [{" K_SPACE("y") "}]}, "
		  "{to: [{namespaceSelector: {}}], ports: [{port: 81, protocol: UDP}]}]"),
	  CNP(C_A "egress: [{toEndpoints: [{matchLabels: {" C_SPACE("y") "}}]}, "
		  "{toEndpoints: [{" EVERYWHERE "}], " C_PORT("81", "UDP") "}]"),
	  "- xa > **\n+ xa > y*\n+ xa > ** 81 UDP\n- xa > o*" },
	{ "egress and ingress",
	  K8S(K_A "policyTypes: [Ingress, Egress], ingress: [{from: [{" K_SPACE("y") "}]}], "
		  "egress: [{to: [{" K_SPACE("z") "}]}]"),
	  CNP(C_A "ingress: [{fromEndpoints: [{matchLabels: {" C_SPACE("y") "}}]}], "
		  "egress: [{toEndpoints: [{matchLabels: {" C_SPACE("z") "}}]}]"),
	  "- ** > xa\n- xa > **\n+ y* > xa\n+ xa > z*" },
	{ "egress rules, types left out: ingress is meant, too",
	  K8S(K_A "egress: [{to: [{" K_SPACE("z") "}]}]"), NULL,
	  "- ** > xa\n- xa > **\n+ xa > z*" },
	{ "ingress rules that the types leave out",
	  K8S(K_A "policyTypes: [Egress], ingress: [{from: [{" K_PODS("b") "}]}], egress: [{}]"),
	  NULL, "" },
	{ "both ends have to agree",
	  K8S(K_A "policyTypes: [Egress], egress: [{to: [{" K_SPACE("y") "}]}]")
	  K8S_IN("y", "q", K_A "ingress: [{from: [{" K_SPACE("z") "}]}]"),
	  CNP(C_A "egress: [{toEndpoints: [{matchLabels: {" C_SPACE("y") "}}]}]")
	  CNP_IN("y", "q", C_A "ingress: [{fromEndpoints: [{matchLabels: {" C_SPACE("z") "}}]}]"),
	  "- xa > **\n+ xa > y*\n- ** > ya\n+ z* > ya" },
	{ "a policy of the same name in each namespace",
	  K8S_IN("x", "p", K_ALL "ingress: [{from: [{podSelector: {}}]}]")
	  K8S_IN("y", "p", K_ALL "ingress: [{from: [{podSelector: {}}]}]")
	  K8S_IN("z", "p", K_ALL "ingress: [{from: [{podSelector: {}}]}]"),
	  CNP_IN("x", "p", C_ALL "ingress: [{fromEndpoints: [{}]}]")
	  CNP_IN("y", "p", C_ALL "ingress: [{fromEndpoints: [{}]}]")
	  CNP_IN("z", "p", C_ALL "ingress: [{fromEndpoints: [{}]}]"),
	  "- ** > x*\n- ** > y*\n- ** > z*\n+ x* > x*\n+ y* > y*\n+ z* > z*" },

	/* Prefixes are about what is outside; as in Cilium, pods are never selected by them. */
	{ "a block of addresses", K8S(K_A "ingress: [{from: [{ipBlock: {cidr: 10.77.0.0/24}}]}]"),
	  CNP(C_A "ingress: [{fromCIDR: [10.77.0.0/24]}]"), "- ** > xa\n+ o* > xa" },
	{ "a block with an exception",
	  K8S(K_A "ingress: [{from: [{ipBlock: {cidr: 10.77.0.0/24, except: [10.77.0.11/32]}}]}]"),
	  CNP(C_A "ingress: [{fromCIDRSet: [{cidr: 10.77.0.0/24, except: [10.77.0.11/32]}]}]"),
	  "- ** > xa\n+ o1 > xa" },
	{ "an address",  K8S(K_A "ingress: [{from: [{ipBlock: {cidr: 10.77.0.11/32}}]}]"),
	  CNP(C_A "ingress: [{fromCIDR: [10.77.0.11/32]}]"), "- ** > xa\n+ o2 > xa" },
	{ "an address that one policy excepts and another allows",
	  K8S(K_A "ingress: [{from: [{ipBlock: {cidr: 10.77.0.0/24, except: [10.77.0.11/32]}}]}]")
	  K8S_IN("x", "q", K_A "ingress: [{from: [{ipBlock: {cidr: 10.77.0.11/32}}], "
			   "ports: [{port: 80}]}]"),
	  CNP(C_A "ingress: [{fromCIDRSet: [{cidr: 10.77.0.0/24, except: [10.77.0.11/32]}]}]")
	  CNP_IN("x", "q", C_A "ingress: [{fromCIDR: [10.77.0.11/32], " C_PORT("80", "TCP") "}]"),
	  "- ** > xa\n+ o1 > xa\n+ o2 > xa 80 TCP" },
	{ "a block on egress, with an exception and ports",
	  K8S(K_A "policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, "
		  "except: [10.77.0.10/32]}}, {" K_PODS("b") "}], ports: [{port: 81}]}]"),
	  CNP(C_A "egress: [{toCIDRSet: [{cidr: 0.0.0.0/0, except: [10.77.0.10/32]}], "
	      C_PORT("81", "TCP") "}, {toEndpoints: [{matchLabels: {pod: b}}], "
	      C_PORT("81", "TCP") "}]"),
	  "- xa > **\n+ xa > o2 81 TCP\n+ xa > xb 81 TCP" },

	/* What only Cilium's documents say. */
	{ "deny over allow", NULL,
	  CNP(C_A "ingress: [{fromEntities: [all]}], ingressDeny: [{fromEndpoints: "
		  "[{matchLabels: {" C_SPACE("y") "}}], " C_PORT("80", "ANY") "}]"),
	  "- y* > xa 80" },
	{ "deny without default deny", NULL,
	  CNP(C_ALL "enableDefaultDeny: {egress: false}, egressDeny: [{toEndpoints: "
		    "[{matchLabels: {" C_SPACE("z") ", pod: c}}]}]"),
	  "- x* > zc" },
	{ "the world", NULL, CNP(C_A "ingress: [{fromEntities: [world]}]"),
	  "- ** > xa\n+ o* > xa" },
	{ "the cluster", NULL, CNP(C_A "egress: [{toEntities: [cluster]}]"), "- xa > o*" },
	{ "ports of any protocol", NULL, CNP(C_A "ingress: [{" C_PORT("81", "ANY") "}]"),
	  "- ** > xa\n+ ** > xa 81" },
	{ "a denied prefix", NULL,
	  CNP(C_A "egress: [{toEntities: [all]}], egressDeny: [{toCIDR: [10.77.0.10/31], "
	      C_PORT("80", "TCP") "}]"),
	  "- xa > o* 80 TCP" },
};

#define NPOLICIES (int)(sizeof(policies) / sizeof(*policies))

/* ---- stage ---------------------------------------------------------------------------------- */

/* "web" is another port in namespace z. */
static void add_pod(int pod, const char *label, const char *space_label)
{
	const struct workload *w = &peers[pod];
	const char *const ports[] = { "serve-80-tcp=80/tcp",  "serve-81-tcp=81/tcp",
				      "serve-80-udp=80/udp",  "serve-81-udp=81/udp",
				      "serve-80-sctp=80/sctp", "serve-81-sctp=81/sctp",
				      w->name[0] == 'z' ? "web=81" : "web=80", NULL };
	char text[4][96];
	const char *const labels[] = { text[0], text[1], text[2], text[3], NULL };
	struct clite_endpoint_opts o = {
		.sz = sizeof(o),
		.ipv4 = w->ipv4,
		.ipv6 = w->ipv6,
		.labels = labels,
		.ports = ports,
		.id = w->number,
	};

	snprintf(text[0], sizeof(text[0]), "k8s:pod=%s", label);
	snprintf(text[1], sizeof(text[1]), "k8s:io.kubernetes.pod.namespace=%c", w->name[0]);
	snprintf(text[2], sizeof(text[2]), "k8s:io.cilium.k8s.namespace.labels.ns=%s", space_label);
	snprintf(text[3], sizeof(text[3]),
		 "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=%c", w->name[0]);
	NEED(clite_endpoint_add(ctx, w->name, &o, NULL) == 0, "%s: %s", w->name, clite_error(ctx));
}

static void relabel(int pod, const char *label, const char *space_label)
{
	ck_assert_msg(!clite_endpoint_remove(ctx, peers[pod].number), "%s", clite_error(ctx));
	add_pod(pod, label, space_label);
}

/* As a pod is when nobody has changed it. */
static void restore(int pod)
{
	char label[] = { peers[pod].name[1], 0 }, space_label[] = { peers[pod].name[0], 0 };

	relabel(pod, label, space_label);
}

static void make_peers(void)
{
	for (int i = 0; i < PEERS; i++) {
		peers[i].number = (unsigned int)i + 1;
		workload_make(&peers[i]);
		sh("ip route add %s dev %s", peers[i].ipv4, peers[i].name);
		/* Nobody but the host answers there. */
		if (i >= OUTSIDE)
			sh("ip addr add " GATEWAY "/32 dev %s", peers[i].name);
	}
	sh("echo 1 >/proc/sys/net/ipv4/ip_forward");
}

static void import(const char *text)
{
	ck_assert_msg(clite_policy_import(ctx, text, strlen(text), NULL) > 0, "%s\n%s",
		      clite_error(ctx), text);
}

static void delete(const char *name)
{
	ck_assert_msg(!clite_policy_delete(ctx, name), "%s: %s", name, clite_error(ctx));
}

static int keep_name(const struct clite_policy_info *info, void *userdata)
{
	char **name = userdata;

	*name = strdup(info->name);
	return -ECANCELED;
}

static void delete_all(void)
{
	char *name = NULL;

	while (clite_policy_list(ctx, keep_name, &name) == -ECANCELED) {
		NEED(name && !clite_policy_delete(ctx, name), "delete: %s", clite_error(ctx));
		free(name);
	}
}

/* ---- tests ------------------------------------------------------------------------------------ */

START_TEST(no_policy)
{
	holds("no policy", "", "");
}
END_TEST

static void check_policy(const struct policy *p, const char *text, const char *form)
{
	import(text);
	holds(p->name, form, p->truth);
	delete_all();
	holds(p->name, ", deleted", "");
}

START_TEST(kubernetes)
{
	check_policy(&policies[_i], policies[_i].k8s, ", NetworkPolicy");
}
END_TEST

START_TEST(cilium)
{
	check_policy(&policies[_i], policies[_i].cnp, ", CiliumNetworkPolicy");
}
END_TEST

START_TEST(update)
{
	import(K8S(K_A "policyTypes: [Ingress]"));
	holds("update", ", before", "- ** > xa");
	import(K8S(K_A "ingress: [{from: [{" K_SPACE("y") "}], ports: [{port: 80}]}]"));
	holds("update", ", more is allowed", "- ** > xa\n+ y* > xa 80 TCP");
	import(K8S(K_A "ingress: [{from: [{" K_PODS("c") "}], ports: [{protocol: SCTP}]}]"));
	holds("update", ", something else is", "- ** > xa\n+ xc > xa SCTP");
	import(K8S("podSelector: {matchLabels: {pod: b}}, policyTypes: [Egress]"));
	holds("update", ", of somebody else", "- xb > **");
	delete("x/p");
	holds("update", ", deleted", "");
}
END_TEST

START_TEST(one_of_two_goes)
{
	import(K8S(K_A "ingress: [{from: [{" K_PODS("b") "}]}]")
	       K8S_IN("x", "q", K_A "ingress: [{from: [{" K_SPACE("z") "}]}]"));
	holds("two policies", "", "- ** > xa\n+ xb > xa\n+ z* > xa");
	delete("x/p");
	holds("two policies", ", the second one alone", "- ** > xa\n+ z* > xa");
	delete("x/q");
	holds("two policies", ", none", "");
}
END_TEST

START_TEST(a_pod_has_other_labels)
{
	import(K8S(K_A "ingress: [{from: [{" K_PODS("b2") "}]}]"));
	holds("labels of a pod", ", before", "- ** > xa");
	relabel(1, "b2", "x");
	holds("labels of a pod", ", the peer fits", "- ** > xa\n+ xb > xa");
	relabel(0, "a2", "x");
	holds("labels of a pod", ", the subject does not", "");
	restore(0);
	restore(1);
	holds("labels of a pod", ", as before", "- ** > xa");
}
END_TEST

START_TEST(a_namespace_has_other_labels)
{
	import(K8S(K_A "ingress: [{from: [{" K_SPACE("y2") "}]}]"));
	holds("labels of a namespace", ", before", "- ** > xa");
	for (int i = 3; i < 6; i++)
		relabel(i, (const char[]){ peers[i].name[1], 0 }, "y2");
	holds("labels of a namespace", ", it fits", "- ** > xa\n+ y* > xa");
	for (int i = 3; i < 6; i++)
		restore(i);
	holds("labels of a namespace", ", as before", "- ** > xa");
}
END_TEST

static void add_cases(TCase *t)
{
	tcase_add_test(t, no_policy);
	for (int i = 0; i < NPOLICIES; i++) {
		if (policies[i].k8s)
			tcase_add_loop_test(t, kubernetes, i, i + 1);
		if (policies[i].cnp)
			tcase_add_loop_test(t, cilium, i, i + 1);
	}
	tcase_add_test(t, update);
	tcase_add_test(t, one_of_two_goes);
	tcase_add_test(t, a_pod_has_other_labels);
	tcase_add_test(t, a_namespace_has_other_labels);
}

int main(void)
{
	Suite *s = suite_create("conformance");
	TCase *t = tcase_create("conformance");
	SRunner *sr;
	int failed;

	stage_make();
	make_peers();
	ctx = instance_open(NULL, CLITE_OPEN_EPHEMERAL);
	for (int i = 0; i < OUTSIDE; i++)
		add_pod(i, (const char[]){ peers[i].name[1], 0 },
			(const char[]){ peers[i].name[0], 0 });
	probe_init(peers, PEERS, OUTSIDE);
	tcase_add_checked_fixture(t, NULL, delete_all);
	add_cases(t);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_set_fork_status(sr, CK_NOFORK);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	clite_close(ctx);
	return failed ? 1 : 0;
}
