/* SPDX-License-Identifier: BSD-2-Clause */
/* Kubernetes Services, EndpointSlices and Endpoints: which front ends they make, and what
 * is refused. Front ends are compared as lines of text. */
#include "model/service_document.h"

#include <check.h>
#include <cilium-lite/service.h>
#include <cilium-lite/version.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static struct service_document *read_it(const char *text)
{
	_cleanup_(err_clear) struct errtext err = {};
	struct service_document *d = NULL;
	int r = service_document_read(text, strlen(text), NULL, "t.yaml", &d, &err);

	ck_assert_msg(r == 0, "%s\n%s", err.text ? err.text : "", text);
	ck_assert_ptr_null(err.text);
	return d;
}

/* ---- as text --------------------------------------------------------------------- */

static void put_address(struct buf *b, const struct prefix *a, uint8_t family, uint16_t port)
{
	char text[PREFIX_STR];

	addr_format(a->ip, a->family, text);
	if (!a->family)
		buf_printf(b, "node%u:%u", family, port);
	else
		buf_printf(b, a->family == 6 ? "[%s]:%u" : "%s:%u", text, port);
}

static void put_names(struct buf *b, const char *what, const char *const *v)
{
	for (; v && *v; v++)
		buf_printf(b, "%s%s", what, *v);
}

static void put_backend(struct buf *b, const struct service_backend *e)
{
	static const char *const states[] = { "", "/terminating", "/quarantined", "/maintenance" };

	buf_puts(b, " ");
	put_address(b, &e->address, e->address.family, e->port);
	buf_puts(b, states[e->state]);
	if (e->weight != 1)
		buf_printf(b, "*%u", e->weight);
	if (e->node)
		buf_printf(b, "@%s", e->node);
	if (e->zone)
		buf_printf(b, "#%s", e->zone);
	put_names(b, "+", e->zones);
	put_names(b, "&", e->nodes);
}

static void put_options(struct buf *b, const struct service_front *f)
{
	char text[PREFIX_STR];

	if (f->affinity)
		buf_printf(b, " affinity=%u", f->affinity);
	if (f->algorithm)
		buf_puts(b, f->algorithm == CLITE_LB_MAGLEV ? " maglev" : " random");
	if (f->forwarding)
		buf_puts(b, f->forwarding == FORWARDING_DSR ? " dsr" : " snat");
	if (f->health_check_port)
		buf_printf(b, " health=%u", f->health_check_port);
	buf_puts(b, f->ext_local ? " ext-local" : "");
	buf_puts(b, f->int_local ? " int-local" : "");
	buf_puts(b, f->prefer_zone ? " zone" : "");
	buf_puts(b, f->hints_only ? " by-hints" : "");
	buf_puts(b, f->prefer_node ? " node" : "");
	for (size_t i = 0; i < f->nranges; i++)
		buf_printf(b, " %s=%s", f->ranges_deny ? "deny" : "allow",
			   prefix_format(&f->ranges[i], text));
}

static void put_front(struct buf *b, const struct service_front *f)
{
	buf_printf(b, "%s %s ", f->name, front_kind_name(f->kind));
	put_address(b, &f->address, f->family, f->port);
	buf_puts(b, f->protocol == IPPROTO_TCP ? "" : f->protocol == IPPROTO_UDP ? "/UDP" : "/SCTP");
	if (*f->port_name)
		buf_printf(b, " %s", f->port_name);
	put_options(b, f);
	buf_puts(b, " ->");
	for (size_t i = 0; i < f->nbackends; i++)
		put_backend(b, &f->backends[i]);
	buf_puts(b, "\n");
}

static char *text_of(const struct service_document *d)
{
	struct buf b = {};

	buf_puts(&b, "");
	for (size_t i = 0; i < d->nfronts; i++)
		put_front(&b, &d->fronts[i]);
	ck_assert(!b.failed);
	return b.data;
}

static char *warnings_of(const struct service_document *d)
{
	struct buf b = {};

	buf_puts(&b, "");
	for (size_t i = 0; i < d->nwarnings; i++)
		buf_printf(&b, "%s\n", d->warnings[i]);
	return b.data;
}

static void expect(const char *document, const char *fronts, const char *warnings)
{
	_cleanup_(service_document_freep) struct service_document *d = read_it(document);
	_cleanup_free_ char *text = text_of(d), *warned = warnings_of(d);

	ck_assert_msg(strcmp(text, fronts) == 0, "%s\nread as:\n%swanted:\n%s", document, text,
		      fronts);
	ck_assert_msg(strcmp(warned, warnings) == 0, "%s\nwarned:\n%swanted:\n%s", document, warned,
		      warnings);
}

/* ---- documents ------------------------------------------------------------------- */

#define META(name, more) "metadata: {name: " name ", namespace: x" more "}\n"
#define SVC_META(meta, spec, status)                                                  \
	"---\napiVersion: v1\nkind: Service\n" meta "spec: {" spec "}\nstatus: {" status "}\n"
#define SVC(spec) SVC_META(META("web", ""), spec, "")
#define WITH(annotation, spec) SVC_META(META("web", ", annotations: {" annotation "}"), spec, "")
#define LB(spec, ingress) \
	SVC_META(META("web", ""), "type: LoadBalancer, " spec, "loadBalancer: {ingress: " ingress "}")
#define HTTP "ports: [{name: http, port: 80, targetPort: 8080}]"
#define C4 "clusterIP: 10.0.0.1"
#define SLICE_META(meta, type, endpoints, ports)                                       \
	"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n" meta "addressType: " \
	type "\nendpoints: [" endpoints "]\nports: [" ports "]\n"
#define OF_WEB(name) META(name, ", labels: {kubernetes.io/service-name: web}")
#define SLICE(name, endpoints) \
	SLICE_META(OF_WEB(name), "IPv4", endpoints, "{name: http, port: 8080}")
#define ONE SLICE("s1", "{addresses: [10.1.0.1]}")
#define TO_ONE " -> 10.1.0.1:8080\n"
#define OLD(subsets)                                                           \
	"---\napiVersion: v1\nkind: Endpoints\n" META("web", "") "subsets: [" subsets "]\n"
#define COND(c) "{addresses: [10.1.0.1], conditions: {" c "}}"

static const struct {
	const char *document, *fronts;
} meant[] = {
	/* kinds of front ends */
	{ SVC(C4 ", " HTTP) ONE, "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ ONE SVC(C4 ", " HTTP), "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ SVC(C4 ", " HTTP), "x/web ClusterIP 10.0.0.1:80 http ->\n" },
	{ SVC("clusterIP: '', " HTTP) ONE, "" },
	{ SVC("clusterIP: null, clusterIPs: null, externalIPs: null, " HTTP) ONE, "" },
	{ SVC(HTTP) ONE, "" },
	{ SVC("clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, 'fd00::1'], " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE "x/web ClusterIP [fd00::1]:80 http ->\n" },
	{ SVC("type: NodePort, " C4 ", ports: [{name: http, port: 80, nodePort: 30080}]") ONE,
	  "x/web NodePort node4:30080 http" TO_ONE "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ SVC("type: ClusterIP, " C4 ", ports: [{name: http, port: 80, nodePort: 30080}]") ONE,
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ SVC("type: NodePort, " C4 ", ports: [{name: http, port: 80, nodePort: 0}]") ONE,
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ SVC("type: NodePort, ports: [{name: http, port: 80, nodePort: 30080}]") ONE,
	  "x/web NodePort node4:30080 http" TO_ONE },
	{ SVC("type: NodePort, clusterIP: 'fd00::1', ports: [{name: http, port: 80, nodePort: "
	      "30080}]") ONE,
	  "x/web NodePort node6:30080 http ->\nx/web ClusterIP [fd00::1]:80 http ->\n" },
	{ SVC("type: NodePort, ipFamilies: [IPv6, IPv4], ports: [{name: http, port: 80, nodePort: "
	      "30080}]") ONE,
	  "x/web NodePort node4:30080 http" TO_ONE "x/web NodePort node6:30080 http ->\n" },
	{ SVC("externalIPs: [192.0.2.1, '2001:db8::1', 192.0.2.1], " HTTP) ONE,
	  "x/web ExternalIP 192.0.2.1:80 http" TO_ONE
	  "x/web ExternalIP [2001:db8::1]:80 http ->\n" },
	{ LB(C4 ", " HTTP, "[{ip: 192.0.2.1}, {hostname: a.b}]") ONE,
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE "x/web LoadBalancer 192.0.2.1:80 http" TO_ONE },
	{ LB(HTTP, "[{ip: 192.0.2.1, ipMode: Proxy}, {ip: 192.0.2.2, ipMode: VIP, ports: []}]") ONE,
	  "x/web LoadBalancer 192.0.2.2:80 http" TO_ONE },
	/* what was asked for counts until something is given */
	{ LB("loadBalancerIP: 192.0.2.9, " HTTP, "[]") ONE,
	  "x/web LoadBalancer 192.0.2.9:80 http" TO_ONE },
	{ LB("loadBalancerIP: 192.0.2.9, " HTTP, "[{ip: 192.0.2.1}]") ONE,
	  "x/web LoadBalancer 192.0.2.1:80 http" TO_ONE },
	{ LB("loadBalancerIP: 192.0.2.9, " HTTP, "[{ip: 192.0.2.9, ipMode: Proxy}]") ONE, "" },
	{ SVC("loadBalancerIP: 192.0.2.9, " HTTP) ONE, "" },
	/* one address in two ways: once, with the balancer's ranges */
	{ LB("externalIPs: [192.0.2.1], loadBalancerSourceRanges: [10.0.0.0/8], " HTTP,
	     "[{ip: 192.0.2.1}]") ONE,
	  "x/web LoadBalancer 192.0.2.1:80 http allow=10.0.0.0/8" TO_ONE },
	/* fewer kinds, by annotation; external IPs stay */
	{ SVC_META(META("web", ", annotations: {service.cilium.io/type: LoadBalancer}"),
		   "type: LoadBalancer, " C4 ", externalIPs: [192.0.2.2], ports: [{name: http, port: "
		   "80, nodePort: 30080}]",
		   "loadBalancer: {ingress: [{ip: 192.0.2.1}]}") ONE,
	  "x/web LoadBalancer 192.0.2.1:80 http" TO_ONE
	  "x/web ExternalIP 192.0.2.2:80 http" TO_ONE },
	{ SVC_META(META("web", ", annotations: {service.cilium.io/type: 'ClusterIP,NodePort'}"),
		   "type: LoadBalancer, " C4 ", ports: [{name: http, port: 80, nodePort: 30080}]",
		   "loadBalancer: {ingress: [{ip: 192.0.2.1}]}") ONE,
	  "x/web NodePort node4:30080 http" TO_ONE "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },

	/* ports: by name and protocol */
	{ SVC(C4 ", ports: [{port: 80}]") SLICE_META(OF_WEB("s1"), "IPv4",
						     "{addresses: [10.1.0.1]}", "{port: 8080}"),
	  "x/web ClusterIP 10.0.0.1:80 -> 10.1.0.1:8080\n" },
	{ SVC(C4 ", ports: [{port: 80}]") SLICE_META(OF_WEB("s1"), "IPv4",
						     "{addresses: [10.1.0.1]}",
						     "{name: '', port: 8080, protocol: TCP}"),
	  "x/web ClusterIP 10.0.0.1:80 -> 10.1.0.1:8080\n" },
	{ SVC(C4 ", ports: [{port: 80}]") ONE, "x/web ClusterIP 10.0.0.1:80 ->\n" },
	{ SVC(C4 ", ports: [{name: other, port: 80, targetPort: http}]") ONE,
	  "x/web ClusterIP 10.0.0.1:80 other ->\n" },
	{ SVC(C4 ", ports: [{name: http, port: 80, protocol: UDP}]") ONE,
	  "x/web ClusterIP 10.0.0.1:80/UDP http ->\n" },
	{ SVC(C4 ", ports: [{name: dns, port: 53, protocol: UDP, targetPort: dns-port}, {name: "
	      "dns-tcp, port: 53, protocol: TCP}, {name: m, port: 9, protocol: SCTP, appProtocol: "
	      "a/b}]") SLICE_META(OF_WEB("s1"), "IPv4", "{addresses: [10.1.0.1]}",
				  "{name: dns-tcp, port: 5354, protocol: TCP}, {name: dns, port: "
				  "5353, protocol: UDP}, {name: m, port: 10, protocol: SCTP}"),
	  "x/web ClusterIP 10.0.0.1:9/SCTP m -> 10.1.0.1:10\n"
	  "x/web ClusterIP 10.0.0.1:53 dns-tcp -> 10.1.0.1:5354\n"
	  "x/web ClusterIP 10.0.0.1:53/UDP dns -> 10.1.0.1:5353\n" },
	/* slices of one service may have different numbers for a name */
	{ SVC(C4 ", " HTTP) ONE SLICE_META(OF_WEB("s2"), "IPv4", "{addresses: [10.1.0.2]}",
					   "{name: http, port: 8081}"),
	  "x/web ClusterIP 10.0.0.1:80 http -> 10.1.0.1:8080 10.1.0.2:8081\n" },

	/* slices: merged, sorted, each back end once, the one of more use */
	{ SVC(C4 ", " HTTP) SLICE("s2", "{addresses: [10.1.0.3, 10.1.0.2]}")
		  SLICE("s1", "{addresses: [10.1.0.1]}, {addresses: [10.1.0.2]}"),
	  "x/web ClusterIP 10.0.0.1:80 http -> 10.1.0.1:8080 10.1.0.2:8080 10.1.0.3:8080\n" },
	{ SVC(C4 ", " HTTP)
		  SLICE("s1", COND("ready: false, serving: true, terminating: true")) SLICE(
			  "s2", "{addresses: [10.1.0.1], conditions: {ready: true}, nodeName: n9}"),
	  "x/web ClusterIP 10.0.0.1:80 http -> 10.1.0.1:8080@n9\n" },
	{ SVC("clusterIPs: [10.0.0.1, 'fd00::1'], " HTTP)
		  ONE SLICE_META(OF_WEB("s6"), "IPv6", "{addresses: ['fd01::1']}",
				 "{name: http, port: 8080}"),
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE
	  "x/web ClusterIP [fd00::1]:80 http -> [fd01::1]:8080\n" },
	/* of the same namespace and name only */
	{ SVC(C4 ", " HTTP) SLICE_META("metadata: {name: s, namespace: z, labels: "
				       "{kubernetes.io/service-name: web}}\n",
				       "IPv4", "{addresses: [10.1.0.1]}", "{name: http, port: 8080}")
		  SLICE_META(META("s", ", labels: {kubernetes.io/service-name: web2}"), "IPv4",
			     "{addresses: [10.1.0.1]}", "{name: http, port: 8080}"),
	  "x/web ClusterIP 10.0.0.1:80 http ->\n" },
	{ "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {" C4 ", " HTTP "}\n"
	  SLICE_META("metadata: {name: s, namespace: default, labels: "
		     "{kubernetes.io/service-name: web}}\n",
		     "IPv4", "{addresses: [10.1.0.1]}", "{name: http, port: 8080}"),
	  "default/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ SVC(C4 ", " HTTP) "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n" OF_WEB("s")
		  "addressType: IPv4\nendpoints: null\nports: null\n",
	  "x/web ClusterIP 10.0.0.1:80 http ->\n" },

	/* conditions */
	{ SVC(C4 ", " HTTP) SLICE("s", COND("")), "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ SVC(C4 ", " HTTP) SLICE("s", COND("ready: null")),
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ SVC(C4 ", " HTTP) SLICE("s", COND("ready: true, serving: true, terminating: true")),
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ SVC(C4 ", " HTTP) SLICE("s", COND("ready: false, serving: true, terminating: true")),
	  "x/web ClusterIP 10.0.0.1:80 http -> 10.1.0.1:8080/terminating\n" },
	{ SVC(C4 ", " HTTP) SLICE("s", COND("ready: false, terminating: true")),
	  "x/web ClusterIP 10.0.0.1:80 http ->\n" },
	{ SVC(C4 ", " HTTP) SLICE("s", COND("ready: false, serving: false, terminating: true")),
	  "x/web ClusterIP 10.0.0.1:80 http ->\n" },
	{ SVC(C4 ", " HTTP) SLICE("s", COND("ready: false, serving: true")),
	  "x/web ClusterIP 10.0.0.1:80 http ->\n" },
	{ SVC("publishNotReadyAddresses: true, " C4 ", " HTTP) SLICE("s", COND("ready: false")),
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ SVC("publishNotReadyAddresses: true, " C4 ", " HTTP)
		  SLICE("s", COND("ready: false, serving: true, terminating: true")),
	  "x/web ClusterIP 10.0.0.1:80 http -> 10.1.0.1:8080/terminating\n" },
	/* places, hints, weights */
	{ SVC(C4 ", " HTTP) SLICE("s", "{addresses: [10.1.0.1], hostname: h, targetRef: {kind: Pod}, "
				       "nodeName: n1, zone: a, hints: {forZones: [{name: a}, {name: "
				       "b}], forNodes: [{name: n2}]}}, {addresses: [10.1.0.2], "
				       "deprecatedTopology: {kubernetes.io/hostname: n3, "
				       "topology.kubernetes.io/zone: c}, hints: {forZones: []}}"),
	  "x/web ClusterIP 10.0.0.1:80 http -> 10.1.0.1:8080@n1#a+a+b&n2 10.1.0.2:8080@n3#c\n" },
	{ SVC(C4 ", " HTTP)
		  SLICE_META(META("s", ", labels: {kubernetes.io/service-name: web}, annotations: "
				       "{service.cilium.io/weight: '70'}"),
			     "IPv4", "{addresses: [10.1.0.1]}", "{name: http, port: 8080}")
			  SLICE_META(META("t", ", labels: {kubernetes.io/service-name: web}, "
					       "annotations: {service.cilium.io/weight: '0'}"),
				     "IPv4", "{addresses: [10.1.0.2]}", "{name: http, port: 8080}"),
	  "x/web ClusterIP 10.0.0.1:80 http -> 10.1.0.1:8080*70 10.1.0.2:8080/maintenance\n" },

	/* Endpoints: only where there are no slices */
	{ SVC(C4 ", " HTTP) OLD("{addresses: [{ip: 10.2.0.2, nodeName: n9, hostname: h, targetRef: "
				"{kind: Pod}}, {ip: 10.2.0.1}], notReadyAddresses: [{ip: 10.2.0.3}], "
				"ports: [{name: http, port: 80, protocol: TCP}]}, {addresses: [{ip: "
				"10.2.0.4}], ports: [{name: http, port: 81}]}"),
	  "x/web ClusterIP 10.0.0.1:80 http -> 10.2.0.1:80 10.2.0.2:80@n9 10.2.0.4:81\n" },
	{ SVC("publishNotReadyAddresses: true, " C4 ", " HTTP)
		  OLD("{notReadyAddresses: [{ip: 10.2.0.3}], ports: [{name: http, port: 80}]}"),
	  "x/web ClusterIP 10.0.0.1:80 http -> 10.2.0.3:80\n" },
	{ SVC("clusterIPs: [10.0.0.1, 'fd00::1'], " HTTP)
		  OLD("{addresses: [{ip: 10.2.0.1}, {ip: 'fd02::1'}], ports: [{name: http, port: "
		      "80}]}"),
	  "x/web ClusterIP 10.0.0.1:80 http -> 10.2.0.1:80\n"
	  "x/web ClusterIP [fd00::1]:80 http -> [fd02::1]:80\n" },
	{ SVC(C4 ", " HTTP) OLD("{addresses: [{ip: 10.2.0.1}], ports: [{name: http, port: 80}]}") ONE,
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ SVC(C4 ", " HTTP) OLD("{addresses: [{ip: 10.2.0.1}], ports: [{name: http, port: 80}]}")
		  SLICE_META(OF_WEB("s"), "IPv4", "", ""),
	  "x/web ClusterIP 10.0.0.1:80 http ->\n" },
	{ SVC(C4 ", " HTTP) "---\napiVersion: v1\nkind: Endpoints\n" META("web", "") "subsets: null\n",
	  "x/web ClusterIP 10.0.0.1:80 http ->\n" },

	/* affinity */
	{ SVC("sessionAffinity: ClientIP, " C4 ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http affinity=10800" TO_ONE },
	{ SVC("sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: "
	      "86400}}, " C4 ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http affinity=86400" TO_ONE },
	{ SVC("sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: null}, " C4
	      ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http affinity=10800" TO_ONE },
	{ SVC("sessionAffinity: None, sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}, " C4
	      ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },

	/* local, near */
	{ LB("externalTrafficPolicy: Local, healthCheckNodePort: 31000, externalIPs: [192.0.2.2], " C4
	     ", ports: [{name: http, port: 80, nodePort: 30080}]",
	     "[{ip: 192.0.2.1}]") ONE,
	  "x/web NodePort node4:30080 http health=31000 ext-local" TO_ONE
	  "x/web ClusterIP 10.0.0.1:80 http health=31000" TO_ONE
	  "x/web LoadBalancer 192.0.2.1:80 http health=31000 ext-local" TO_ONE
	  "x/web ExternalIP 192.0.2.2:80 http health=31000 ext-local" TO_ONE },
	{ SVC("externalTrafficPolicy: Cluster, internalTrafficPolicy: Local, trafficDistribution: "
	      "PreferClose, externalIPs: [192.0.2.2], " C4 ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http int-local" TO_ONE
	  "x/web ExternalIP 192.0.2.2:80 http zone" TO_ONE },
	{ SVC("trafficDistribution: PreferSameZone, " C4 ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http zone" TO_ONE },
	{ SVC("trafficDistribution: PreferSameNode, " C4 ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http node" TO_ONE },
	{ WITH("service.kubernetes.io/topology-mode: Auto", C4 ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http zone by-hints" TO_ONE },
	{ WITH("service.kubernetes.io/topology-mode: Disabled", C4 ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ WITH("service.kubernetes.io/topology-mode: Auto, "
	       "service.kubernetes.io/topology-aware-hints: disabled",
	       C4 ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ WITH("service.kubernetes.io/topology-mode: Auto",
	       "trafficDistribution: PreferClose, " C4 ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http zone" TO_ONE },

	/* ranges: of the balancer only; bits beyond the length say nothing */
	{ LB("loadBalancerSourceRanges: [' 10.1.2.3/8 ', 'fd00::1/8', 192.0.2.7/32, 192.0.2.9], " C4
	     ", " HTTP,
	     "[{ip: 192.0.2.1}]") ONE,
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE
	  "x/web LoadBalancer 192.0.2.1:80 http allow=10.0.0.0/8 allow=fd00::/8 allow=192.0.2.7/32 "
	  "allow=192.0.2.9/32" TO_ONE },
	{ SVC_META(META("web", ", annotations: {service.cilium.io/src-ranges-policy: Deny}"),
		   "type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0/8], " HTTP,
		   "loadBalancer: {ingress: [{ip: 192.0.2.1}]}") ONE,
	  "x/web LoadBalancer 192.0.2.1:80 http deny=10.0.0.0/8" TO_ONE },
	{ SVC_META(META("web", ", annotations: {service.cilium.io/src-ranges-policy: allow}"),
		   "type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0/8], " HTTP,
		   "loadBalancer: {ingress: [{ip: 192.0.2.1}]}") ONE,
	  "x/web LoadBalancer 192.0.2.1:80 http allow=10.0.0.0/8" TO_ONE },

	/* annotations */
	{ WITH("service.cilium.io/lb-algorithm: maglev, service.cilium.io/forwarding-mode: DSR",
	       C4 ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http maglev dsr" TO_ONE },
	{ WITH("service.cilium.io/lb-algorithm: Random, service.cilium.io/forwarding-mode: snat, "
	       "other: 'yes'",
	       C4 ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http random snat" TO_ONE },

	/* what means nothing here */
	{ SVC("selector: {a: b}, ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, loadBalancerClass: "
	      "c/d, allocateLoadBalancerNodePorts: false, externalName: '', " C4 ", " HTTP) ONE,
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ SVC_META(META("web", ", uid: u, resourceVersion: '1', annotations: null, labels: null, "
			       "creationTimestamp: null, managedFields: [{manager: m}]"),
		   C4 ", " HTTP, "loadBalancer: {}, conditions: [{type: x}], news: 1") ONE,
	  "x/web ClusterIP 10.0.0.1:80 http" TO_ONE },

	/* streams, lists */
	{ "", "" },
	{ "---\n---\n# nothing\n", "" },
	{ "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\nitems:\n"
	  "- {apiVersion: v1, kind: Service, metadata: {name: a}, spec: {" C4 ", " HTTP "}}\n"
	  "- {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s, labels: "
	  "{kubernetes.io/service-name: a}}, addressType: IPv4, endpoints: [{addresses: "
	  "[10.1.0.1]}], ports: [{name: http, port: 8080}]}\n",
	  "default/a ClusterIP 10.0.0.1:80 http" TO_ONE },
	{ "apiVersion: v1\nkind: ServiceList\nitems:\n- {apiVersion: v1, kind: Service, metadata: "
	  "{name: a}, spec: {" C4 ", " HTTP "}}\n---\napiVersion: discovery.k8s.io/v1\nkind: "
	  "EndpointSliceList\nitems: []\n---\n{apiVersion: v1, kind: EndpointsList, items: []}\n",
	  "default/a ClusterIP 10.0.0.1:80 http ->\n" },
	{ "[{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"a\"}, "
	  "\"spec\": {\"clusterIP\": \"10.0.0.1\", \"ports\": [{\"port\": 80}]}}]",
	  "default/a ClusterIP 10.0.0.1:80 ->\n" },

	/* Cilium's file */
	{ "services:\n- metadata: {name: web, namespace: x}\n  spec: {ports: [{name: http, port: "
	  "80}], type: LoadBalancer}\n  status: {loadBalancer: {ingress: [{ip: 172.16.1.1}]}}\n"
	  "endpoints:\n- metadata: {namespace: x, labels: {kubernetes.io/service-name: web}}\n"
	  "  addressType: IPv4\n  endpoints: [{addresses: [10.1.0.1]}]\n  ports: [{name: http, "
	  "port: 8080}]\n- metadata: {namespace: x, labels: {kubernetes.io/service-name: web}}\n"
	  "  addressType: IPv4\n  endpoints: [{addresses: [10.1.0.2]}]\n  ports: [{name: http, "
	  "port: 8080}]\n",
	  "x/web LoadBalancer 172.16.1.1:80 http -> 10.1.0.1:8080 10.1.0.2:8080\n" },
	{ "services: []\n", "" },
	{ "services: null\nendpoints: null\n", "" },
	{ "services:\n- {apiVersion: v1, kind: Service, metadata: {name: a}, spec: {" C4 ", " HTTP
	  "}}\n",
	  "default/a ClusterIP 10.0.0.1:80 http ->\n" },
};

START_TEST(means)
{
	expect(meant[_i].document, meant[_i].fronts, "");
}
END_TEST

/* ---- ignored, and said ----------------------------------------------------------- */

static const struct {
	const char *document, *fronts, *warnings;
} warned[] = {
	{ SVC("clusterIP: None, " HTTP) ONE, "",
	  "t.yaml:4: the service 'x/web' is headless: it has no front ends\n" },
	{ SVC("clusterIPs: [none], externalIPs: [192.0.2.1]") ONE, "",
	  "t.yaml:4: the service 'x/web' is headless: it has no front ends\n" },
	{ SVC("type: ExternalName, externalName: a.b") ONE, "",
	  "t.yaml:4: the service 'x/web' is of type ExternalName: it has no front ends\n" },
	{ SVC_META(META("web", ", labels: {service.kubernetes.io/headless: ''}"), C4 ", " HTTP, ""),
	  "", "t.yaml:4: the service 'x/web' is headless, by its label: it has no front ends\n" },
	{ SVC_META(META("web", ", labels: {service.kubernetes.io/service-proxy-name: p}"),
		   C4 ", " HTTP, ""),
	  "",
	  "t.yaml:4: the service 'x/web' is for another proxy, by its label "
	  "service.kubernetes.io/service-proxy-name\n" },
	{ "services:\n- metadata: {name: a}\n  spec: {clusterIP: None}\n", "",
	  "t.yaml:2: services[0]: the service 'default/a' is headless: it has no front ends\n" },
	{ SVC("trafficDistribution: Sideways, " C4 ", " HTTP), "x/web ClusterIP 10.0.0.1:80 http ->\n",
	  "t.yaml:5: spec.trafficDistribution: is not known (PreferClose, PreferSameZone, "
	  "PreferSameNode are): all back ends are used alike\n" },
	{ SVC(C4 ", " HTTP) SLICE_META(OF_WEB("s"), "FQDN", "{addresses: [a.b]}", "{port: 1}"),
	  "x/web ClusterIP 10.0.0.1:80 http ->\n",
	  "t.yaml:11: addressType: is FQDN: the slice is not used\n" },
	{ SVC(C4 ", " HTTP) SLICE_META(META("s", ""), "IPv4", "", ""),
	  "x/web ClusterIP 10.0.0.1:80 http ->\n",
	  "t.yaml:10: has no label kubernetes.io/service-name: the slice is not used\n" },
	{ SVC(C4 ", " HTTP) SLICE_META(OF_WEB("s"), "IPv4", "{addresses: [10.1.0.1]}",
				       "{name: http}"),
	  "x/web ClusterIP 10.0.0.1:80 http ->\n",
	  "t.yaml:13: ports[0]: is a port without a number: it is not used\n" },
};

START_TEST(ignored)
{
	expect(warned[_i].document, warned[_i].fronts, warned[_i].warnings);
}
END_TEST

/* ---- refused --------------------------------------------------------------------- */

#define AT(path, text) "t.yaml:" path ": " text
#define NEEDS_IPV4 "is no IPv4 or IPv6 address"
#define SPEC_FIELDS                                                                            \
	"type, ports, clusterIP, clusterIPs, externalIPs, loadBalancerIP, "                    \
	"loadBalancerSourceRanges, sessionAffinity, sessionAffinityConfig, "                   \
	"externalTrafficPolicy, internalTrafficPolicy, trafficDistribution, "                  \
	"healthCheckNodePort, publishNotReadyAddresses, ipFamilies, selector, externalName, "  \
	"ipFamilyPolicy, loadBalancerClass, allocateLoadBalancerNodePorts"

static const struct {
	const char *document, *error;
} bad[] = {
	/* kinds and forms */
	{ "a", AT("1", "expected a Service, an EndpointSlice or a list of them, found a string") },
	{ "[1]", AT("1", "expected a Service, an EndpointSlice or a list of them, found a list") },
	{ "a: b", AT("1", "needs 'kind: Service' or 'kind: EndpointSlice'") },
	{ "kind: Service", AT("1", "needs 'apiVersion: v1'") },
	{ "kind: Service\napiVersion: v2", AT("2", "apiVersion: 'v2' is not the version: write v1") },
	{ "kind: EndpointSlice\napiVersion: v1",
	  AT("2", "apiVersion: 'v1' is not the version: write discovery.k8s.io/v1") },
	{ "kind: List\napiVersion: v1\nitems: [{kind: List, apiVersion: v1, items: []}]",
	  AT("3", "items[0]: is a list in a list") },
	{ "kind: List\napiVersion: v1\nitems: [1]",
	  AT("3", "items[0]: expected a Service or an EndpointSlice, found a number") },
	{ "services: []\nnot-endpoints: []\n",
	  AT("2", "not-endpoints: unknown field; here may stand: services, endpoints") },
	{ "services: {}\n", AT("1", "services: expected a list, found a map") },
	{ "services:\n- {kind: EndpointSlice}\n",
	  AT("2", "services[0].kind: 'EndpointSlice' is not what stands here: Service") },
	{ "endpoints:\n- metadata: {name: a}\n",
	  AT("2", "endpoints[0]: needs 'addressType: IPv4' or 'addressType: IPv6'") },
	/* names */
	{ "kind: Service\napiVersion: v1\nspec: {}", AT("1", "needs metadata with a name") },
	{ "kind: Service\napiVersion: v1\nmetadata: {}\nspec: {}", AT("3", "metadata: needs a name") },
	{ "kind: Service\napiVersion: v1\nmetadata: {name: ''}\nspec: {}",
	  AT("3", "metadata.name: the name '' is empty") },
	{ "kind: Service\napiVersion: v1\nmetadata: {name: a/b}\nspec: {}",
	  AT("3", "metadata.name: the name 'default/a/b' holds a slash: a namespace has its own "
		  "field") },
	{ "kind: Service\napiVersion: v1\nmetadata: {name: \"a\\n\"}\nspec: {}",
	  AT("3", "metadata.name: the name 'default/a?' holds a control character") },
	{ "kind: Service\napiVersion: v1\nmetadata: {name: a, namespace: ''}\nspec: {}",
	  AT("3", "metadata.namespace: '' is no name of a namespace") },
	{ "kind: Service\napiVersion: v1\nmetadata: {name: a, colour: red}\nspec: {}",
	  AT("3", "metadata.colour: unknown field; here may stand: name, namespace, labels, "
		  "annotations, creationTimestamp, deletionGracePeriodSeconds, deletionTimestamp, "
		  "finalizers, generateName, generation, managedFields, ownerReferences, "
		  "resourceVersion, selfLink, uid") },
	{ "kind: Service\napiVersion: v1\nmetadata: {name: a, labels: [b]}\nspec: {}",
	  AT("3", "metadata.labels: expected a map, found a list") },
	{ "kind: Service\napiVersion: v1\nmetadata: {name: a, labels: {b: 1}}\nspec: {}",
	  AT("3", "metadata.labels.b: expected a string (put it in quotes), found a number") },
	{ "kind: Service\napiVersion: v1\nmetadata: {name: a}\n", AT("1", "needs a spec") },
	{ SVC(C4 ", " HTTP) SVC(C4 ", " HTTP),
	  AT("10", "the service 'x/web' is there already, in line 4: one name, one service") },
	{ ONE ONE, AT("11", "the EndpointSlice 'x/s1' is there already, in line 4: one name, one "
			    "EndpointSlice") },
	{ OLD("{}, {}") OLD("{}"),
	  AT("9", "the Endpoints 'x/web' is there already, in line 4: one name, one Endpoints") },
	/* fields */
	{ SVC("colour: red"),
	  AT("5", "spec.colour: unknown field; here may stand: " SPEC_FIELDS) },
	{ SVC("clusterip: 10.0.0.1"),
	  AT("5", "spec.clusterip: unknown field: it is spelled 'clusterIP'") },
	{ SVC("type: Magic, " HTTP), AT("5", "spec.type: 'Magic' is no type: ClusterIP, NodePort, "
					     "LoadBalancer and ExternalName are") },
	{ SVC(C4), AT("5", "spec: needs ports") },
	{ SVC("ports: {}"), AT("5", "spec.ports: expected a list, found a map") },
	{ SVC("ports: [{}]"), AT("5", "spec.ports[0]: needs a port") },
	{ SVC("ports: [{port: 0}]"), AT("5", "spec.ports[0].port: 0 is no port: 1 to 65535 are") },
	{ SVC("ports: [{port: 65536}]"),
	  AT("5", "spec.ports[0].port: '65536' is not a decimal number from 0 to 65535") },
	{ SVC("ports: [{port: 1, protocol: tcp}]"),
	  AT("5", "spec.ports[0].protocol: 'tcp' is no protocol: TCP, UDP and SCTP are") },
	{ SVC("ports: [{port: 1, targetPort: 0}]"),
	  AT("5", "spec.ports[0].targetPort: 0 is no port: 1 to 65535 are") },
	{ SVC("ports: [{port: 1, targetPort: 'a b'}]"),
	  AT("5", "spec.ports[0].targetPort: 'a b' is not a decimal number from 0 to 65535") },
	{ SVC("ports: [{port: 1, nodePort: 70000}]"),
	  AT("5", "spec.ports[0].nodePort: '70000' is not a decimal number from 0 to 65535") },
	{ SVC("ports: [{port: 1, name: A}]"),
	  AT("5", "spec.ports[0].name: 'A' is no name of a port: at most 63 of a-z, 0-9 and '-'") },
	{ SVC("ports: [{port: 1, colour: red}]"),
	  AT("5", "spec.ports[0].colour: unknown field; here may stand: name, protocol, "
		  "appProtocol, port, targetPort, nodePort") },
	{ SVC("ports: [{port: 1}, {port: 2}]"),
	  AT("5", "spec.ports[1]: needs a name, as that in line 5: there are several ports") },
	{ SVC("ports: [{port: 1, name: a}, {port: 2, name: b}, {port: 3, name: a}]"),
	  AT("5", "spec.ports[2]: the name 'a' is that of the port in line 5") },
	{ SVC("clusterIP: 10.0.0, " HTTP), AT("5", "spec.clusterIP: '10.0.0' " NEEDS_IPV4) },
	{ SVC("clusterIP: 0.0.0.0, " HTTP),
	  AT("5", "spec.clusterIP: '0.0.0.0' is the address of nothing: no service and no back end "
		  "has it") },
	{ SVC("clusterIPs: [10.0.0.1, None], " HTTP), AT("5", "spec.clusterIPs[1]: 'None' " NEEDS_IPV4) },
	{ SVC("clusterIPs: {}, " HTTP), AT("5", "spec.clusterIPs: expected a list, found a map") },
	{ SVC("externalIPs: [a], " HTTP), AT("5", "spec.externalIPs[0]: 'a' " NEEDS_IPV4) },
	{ SVC("type: LoadBalancer, loadBalancerIP: a, " HTTP),
	  AT("5", "spec.loadBalancerIP: 'a' " NEEDS_IPV4) },
	{ LB(HTTP, "[{ip: a}]"), AT("6", "status.loadBalancer.ingress[0].ip: 'a' " NEEDS_IPV4) },
	{ LB(HTTP, "{}"), AT("6", "status.loadBalancer.ingress: expected a list, found a map") },
	{ SVC("loadBalancerSourceRanges: [10.0.0.0/33], " HTTP),
	  AT("5", "spec.loadBalancerSourceRanges[0]: '10.0.0.0/33' is no prefix, as 10.0.0.0/8 or "
		  "fd00::/8 are") },
	{ SVC("loadBalancerSourceRanges: [all], " HTTP),
	  AT("5", "spec.loadBalancerSourceRanges[0]: 'all' is no prefix, as 10.0.0.0/8 or fd00::/8 "
		  "are") },
	{ SVC("sessionAffinity: Cookie, " HTTP),
	  AT("5", "spec.sessionAffinity: 'Cookie' is no affinity: None and ClientIP are") },
	{ SVC("sessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}, " HTTP),
	  AT("5", "spec.sessionAffinityConfig.clientIP.timeoutSeconds: '0' is no time: 1 to 86400 "
		  "seconds are") },
	{ SVC("sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}, " HTTP),
	  AT("5", "spec.sessionAffinityConfig.clientIP.timeoutSeconds: '86401' is not a decimal "
		  "number from 0 to 86400") },
	{ SVC("sessionAffinityConfig: {cookie: {}}, " HTTP),
	  AT("5", "spec.sessionAffinityConfig.cookie: unknown field; here may stand: clientIP") },
	{ SVC("externalTrafficPolicy: Here, " HTTP),
	  AT("5", "spec.externalTrafficPolicy: 'Here' is no policy: Cluster and Local are") },
	{ SVC("internalTrafficPolicy: Here, " HTTP),
	  AT("5", "spec.internalTrafficPolicy: 'Here' is no policy: Cluster and Local are") },
	{ SVC("publishNotReadyAddresses: 1, " HTTP),
	  AT("5", "spec.publishNotReadyAddresses: expected true or false, found a number") },
	{ SVC("ipFamilies: [IPv5], " HTTP),
	  AT("5", "spec.ipFamilies[0]: 'IPv5' is no family: IPv4 and IPv6 are") },
	/* annotations */
	{ WITH("service.cilium.io/lb-algorithm: fair", HTTP),
	  AT("4", "metadata.annotations.service.cilium.io/lb-algorithm: 'fair' is neither 'random' "
		  "nor 'maglev'") },
	{ WITH("service.cilium.io/forwarding-mode: x", HTTP),
	  AT("4", "metadata.annotations.service.cilium.io/forwarding-mode: 'x' is neither 'snat' "
		  "nor 'dsr'") },
	{ WITH("service.cilium.io/src-ranges-policy: x", HTTP),
	  AT("4", "metadata.annotations.service.cilium.io/src-ranges-policy: 'x' is neither 'allow' "
		  "nor 'deny'") },
	{ WITH("service.cilium.io/type: 'ClusterIP,'", HTTP),
	  AT("4", "metadata.annotations.service.cilium.io/type: 'ClusterIP,' names no kinds of front "
		  "ends: ClusterIP, NodePort and LoadBalancer are, with commas between") },
	{ WITH("service.kubernetes.io/topology-mode: true", HTTP),
	  AT("4", "metadata.annotations.service.kubernetes.io/topology-mode: expected a string (put "
		  "it in quotes), found a boolean") },
	/* slices */
	{ SLICE_META(OF_WEB("s"), "IPv5", "", ""),
	  AT("5", "addressType: 'IPv5' is no type of addresses: IPv4 and IPv6 are") },
	{ "kind: EndpointSlice\napiVersion: discovery.k8s.io/v1\n",
	  AT("1", "needs metadata with the label kubernetes.io/service-name") },
	{ SLICE("s", "{}"), AT("6", "endpoints[0]: needs addresses") },
	{ SLICE("s", "{addresses: [a]}"), AT("6", "endpoints[0].addresses[0]: 'a' " NEEDS_IPV4) },
	{ SLICE("s", "{addresses: [10.0.0.1, 'fd00::1']}"),
	  AT("6", "endpoints[0].addresses[1]: 'fd00::1' is no IPv4 address, as addressType says") },
	{ SLICE_META(OF_WEB("s"), "IPv6", "{addresses: [10.0.0.1]}", ""),
	  AT("6", "endpoints[0].addresses[0]: '10.0.0.1' is no IPv6 address, as addressType says") },
	{ SLICE("s", "{addresses: [10.0.0.1], weight: 1}"),
	  AT("6", "endpoints[0].weight: unknown field; here may stand: addresses, conditions, "
		  "hostname, targetRef, deprecatedTopology, nodeName, zone, hints") },
	{ SLICE("s", COND("ready: 'true'")),
	  AT("6", "endpoints[0].conditions.ready: expected true or false, found a string") },
	{ SLICE("s", COND("alive: true")),
	  AT("6", "endpoints[0].conditions.alive: unknown field; here may stand: ready, serving, "
		  "terminating") },
	{ SLICE("s", "{addresses: [10.0.0.1], hints: {forZones: [{}]}}"),
	  AT("6", "endpoints[0].hints.forZones[0]: needs a name") },
	{ SLICE_META(OF_WEB("s"), "IPv4", "", "{port: 0}"),
	  AT("7", "ports[0].port: 0 is no port: 1 to 65535 are") },
	{ SLICE_META(META("s", ", labels: {kubernetes.io/service-name: web}, annotations: "
			       "{service.cilium.io/weight: '-1'}"),
		     "IPv4", "", ""),
	  AT("4", "metadata.annotations.service.cilium.io/weight: '-1' is not a decimal number from "
		  "0 to 65535") },
	{ OLD("{addresses: [{}]}"), AT("5", "subsets[0].addresses[0]: needs an ip") },
	{ OLD("{addresses: [{ip: a}]}"), AT("5", "subsets[0].addresses[0].ip: 'a' " NEEDS_IPV4) },
	{ OLD("{colour: red}"), AT("5", "subsets[0].colour: unknown field; here may stand: "
					"addresses, notReadyAddresses, ports") },
	/* one address, one service */
	{ SVC(C4 ", " HTTP) SVC_META(META("api", ""), "externalIPs: [10.0.0.1], " HTTP, ""),
	  AT("10", "the service 'x/api' has the address 10.0.0.1:80/TCP, as 'x/web' in line 4 has: "
		   "one of them has to give it up") },
	{ SVC("clusterIP: 'fd00::1', ports: [{port: 53, protocol: UDP, name: a}, {port: 53, "
	      "protocol: UDP, name: b}]"),
	  AT("4", "the service 'x/web' has the address [fd00::1]:53/UDP, as 'x/web' in line 4 has: "
		  "one of them has to give it up") },
	{ SVC("type: NodePort, ports: [{port: 1, nodePort: 30080}]")
		  SVC_META(META("api", ""), "type: NodePort, ports: [{port: 1, nodePort: 30080}]", ""),
	  AT("10", "the service 'x/api' has the port of nodes 30080/TCP, as 'x/web' in line 4 has: "
		   "one of them has to give it up") },
};

static void expect_error(const char *text, const struct document_limits *limits, int code,
			 const char *wanted)
{
	_cleanup_(err_clear) struct errtext err = {};
	struct service_document *d = NULL;
	int r = service_document_read(text, strlen(text), limits, "t.yaml", &d, &err);

	ck_assert_msg(r == -code, "%d, %s\n%s", r, err.text ? err.text : "", text);
	ck_assert_ptr_null(d);
	ck_assert_ptr_nonnull(err.text);
	ck_assert_str_eq(err.text, wanted);
}

START_TEST(refused)
{
	expect_error(bad[_i].document, NULL, CLITE_EDOCUMENT, bad[_i].error);
}
END_TEST

START_TEST(other_kinds)
{
	expect_error("kind: Pod", NULL, CLITE_EUNSUPPORTED,
		     "t.yaml:1: kind: 'Pod' is not supported: Service, EndpointSlice, Endpoints and "
		     "lists of them are");
}
END_TEST

/* ---- limits ---------------------------------------------------------------------- */

START_TEST(limits)
{
	expect_error(SVC(C4 ", " HTTP), &(struct document_limits){ .bytes = 10 }, E2BIG,
		     "t.yaml: 159 bytes: at most 10 are read");
	expect_error("a: b", &(struct document_limits){ .depth = 5000 }, EINVAL,
		     "max_depth 5000: at most 1024");
}
END_TEST

/* A few lists, each with each: more front ends than may be. */
START_TEST(multiplied)
{
	_cleanup_buf_ struct buf b = {};

	buf_puts(&b, "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n externalIPs: [");
	for (unsigned int i = 0; i < 200; i++)
		buf_printf(&b, "%s10.0.0.%u", i ? ", " : "", i + 1);
	buf_puts(&b, "]\n ports: [");
	for (unsigned int i = 0; i < 200; i++)
		buf_printf(&b, "%s{name: p%u, port: %u}", i ? ", " : "", i, i + 1);
	buf_puts(&b, "]\n");
	expect_error(b.data, &(struct document_limits){ .nodes = 5000 }, E2BIG,
		     "t.yaml: the service 'default/a' and those before it make more front ends and "
		     "back ends than a limit of 5000 values allows");
	service_document_free(read_it(b.data));
}
END_TEST

/* The same, of endpoints that are looked at in vain. */
START_TEST(multiplied_in_vain)
{
	_cleanup_buf_ struct buf b = {};

	buf_puts(&b, "apiVersion: v1\nkind: Service\n" META("web", ""));
	buf_puts(&b, "spec: {clusterIP: 10.0.0.1, ports: [");
	for (unsigned int i = 0; i < 1000; i++)
		buf_printf(&b, "%s{name: p%u, port: %u}", i ? ", " : "", i, i + 1);
	buf_puts(&b, "]}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n" OF_WEB("s"));
	buf_puts(&b, "addressType: IPv4\nports: [");
	for (unsigned int i = 0; i < 1000; i++)
		buf_printf(&b, "%s{name: p%u, port: %u}", i ? ", " : "", i, i + 1);
	buf_puts(&b, "]\nendpoints: [");
	for (unsigned int i = 0; i < 1000; i++)
		buf_printf(&b, "%s{addresses: []}", i ? ", " : "");
	buf_puts(&b, "]\n");
	expect_error(b.data, &(struct document_limits){ .nodes = 14000 }, E2BIG,
		     "t.yaml: the service 'x/web' and those before it make more front ends and "
		     "back ends than a limit of 14000 values allows");
	service_document_free(read_it(b.data));
}
END_TEST

START_TEST(too_many_backends)
{
	_cleanup_buf_ struct buf b = {};

	buf_puts(&b, SVC(C4 ", " HTTP));
	buf_puts(&b, "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n" OF_WEB("s"));
	buf_puts(&b, "addressType: IPv4\nports: [{name: http, port: 1}]\nendpoints:\n- addresses: [");
	for (unsigned int i = 0; i < 65536; i++)
		buf_printf(&b, "%s10.1.%u.%u", i ? ", " : "", i >> 8, i & 255);
	buf_puts(&b, "]\n");
	expect_error(b.data, NULL, E2BIG,
		     "t.yaml:5: the service 'x/web' has 65536 back ends at port 80: at most 65535");
}
END_TEST

/* ---- what is not in the lines above ------------------------------------------------ */

START_TEST(labels_and_counts)
{
	_cleanup_(service_document_freep) struct service_document *d =
		read_it(SVC_META(META("web", ", labels: {b: c, app.kubernetes.io/name: web, e: ''}"),
				 "clusterIPs: [10.0.0.1, 'fd00::1'], " HTTP, "")
				SVC_META(META("none", ""), "clusterIP: None", ""));
	const struct labels *l;

	ck_assert_uint_eq(d->nservices, 2);
	ck_assert_uint_eq(d->nfronts, 2);
	l = d->fronts[0].labels;
	ck_assert_ptr_eq(l, d->fronts[1].labels);
	ck_assert_uint_eq(l->n, 3);
	ck_assert_str_eq(l->text[0], "k8s:app.kubernetes.io/name=web");
	ck_assert_str_eq(l->text[1], "k8s:b=c");
	ck_assert_str_eq(l->text[2], "k8s:e");
	ck_assert_uint_eq(d->fronts[0].line, 4);
}
END_TEST

START_TEST(no_labels)
{
	_cleanup_(service_document_freep) struct service_document *d = read_it(SVC(C4 ", " HTTP));

	ck_assert_uint_eq(d->fronts[0].labels->n, 0);
	ck_assert_ptr_null(service_document_free(NULL));
}
END_TEST

/* Many front ends of one port do not each have their own list. */
START_TEST(backends_are_shared)
{
	_cleanup_(service_document_freep) struct service_document *d =
		read_it(SVC("externalIPs: [192.0.2.1, 192.0.2.2], " C4 ", " HTTP) ONE);

	ck_assert_uint_eq(d->nfronts, 3);
	ck_assert_ptr_eq(d->fronts[0].backends, d->fronts[2].backends);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("service_document");
	TCase *t = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, means, 0, ARRAY_SIZE(meant));
	tcase_add_loop_test(t, ignored, 0, ARRAY_SIZE(warned));
	tcase_add_loop_test(t, refused, 0, ARRAY_SIZE(bad));
	tcase_add_test(t, other_kinds);
	tcase_add_test(t, limits);
	tcase_add_test(t, multiplied);
	tcase_add_test(t, multiplied_in_vain);
	tcase_add_test(t, too_many_backends);
	tcase_add_test(t, labels_and_counts);
	tcase_add_test(t, no_labels);
	tcase_add_test(t, backends_are_shared);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
