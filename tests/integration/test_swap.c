/* SPDX-License-Identifier: BSD-2-Clause */
/* Policies of all endpoints are swapped thousands of times while datagrams flow: each
 * is judged by one version, at both of its ends.
 *
 * Four versions of made-up rules take turns, by transactions and by imports. A sender
 * stays on one CPU, so that its packets are judged in the order in which it sends
 * them; behind each burst goes one that every version allows. When that has arrived,
 * what of the burst has not was dropped. There must be an order of versions that
 * explains the outcomes: it begins with the last version that was complete, or that
 * any sender had met, when the packet left, never goes back, and ends with the last
 * that was begun. What all versions of that time allow must arrive, what all deny must
 * not, and once one endpoint is judged by the new version no other is by the old. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stage.h"

#define POLICY_DENIED 133
#define POLICY_DENY 181

#define VERSIONS 4
#define ENDPOINTS 8
#define OUTSIDE 4 /* addresses that are no endpoint's */
#define SOURCES (ENDPOINTS + OUTSIDE)
#define PREFIXES 5
#define PORTS 8
#define FENCE PORTS /* the port that every version allows */
#define SENDERS 4   /* at most */
#define BURST 32
#define RULES 10

static struct workload pods[ENDPOINTS + 1]; /* the last is outside */
static const struct workload *const out = &pods[ENDPOINTS];
static struct clite_ctx *ctx;
static int host;

/* Each lies in the ones before; outside address i in all up to number i. The last one
 * covers them all and comes and goes with them. */
static const char *const prefixes[PREFIXES][2] = {
	{ "198.18.0.0/16", "2001:db8::/32" },
	{ "198.18.1.0/24", "2001:db8:1::/48" },
	{ "198.18.1.128/25", "2001:db8:1:80::/57" },
	{ "198.18.1.192/26", "2001:db8:1:c0::/58" },
	{ "198.18.0.0/15", "2001:db0::/28" },
};
static const char *const outside[OUTSIDE][2] = {
	{ "198.18.2.1", "2001:db8:2::1" },
	{ "198.18.1.1", "2001:db8:1::1" },
	{ "198.18.1.129", "2001:db8:1:80::1" },
	{ "198.18.1.193", "2001:db8:1:c0::1" },
};

static uint16_t port_of(int port)
{
	return port == FENCE ? 7 : (uint16_t)(1000 + 100 * port);
}

/* ---- the versions --------------------------------------------------------------- */

enum peers { EVERYBODY, PODS, PREFIX };

struct rule {
	enum peers peers;
	uint32_t pods; /* PODS: a bit for each */
	int prefix;    /* PREFIX */
	uint16_t first, last;
	bool deny;
};

struct side {
	struct rule rules[RULES];
	int n; /* 0: not enforced */
};

/* [version][endpoint][ingress, egress] */
static struct side sides[VERSIONS][ENDPOINTS][2];
static bool allowed[VERSIONS][SOURCES][ENDPOINTS][PORTS + 1];

static int draw(unsigned int *seed, int n)
{
	return (int)((unsigned int)rand_r(seed) / 7 % (unsigned int)n);
}

/* without: prefixes that are not to be named, a bit for each */
static struct rule rule_draw(unsigned int *seed, unsigned int without, bool ingress, bool deny)
{
	int port = draw(seed, PORTS), kind = draw(seed, ingress ? 10 : 5);
	struct rule r = { .deny = deny };

	r.first = (uint16_t)(port_of(port) - draw(seed, 3) * 20);
	r.last = (uint16_t)(port_of(port + draw(seed, PORTS - port)) + draw(seed, 3) * 20);
	r.pods = 1 + (uint32_t)draw(seed, (1 << ENDPOINTS) - 1);
	r.prefix = draw(seed, PREFIXES);
	if (without & 1u << r.prefix)
		r.prefix = PREFIXES - 1;
	r.peers = kind >= 5 ? PREFIX : kind ? PODS : EVERYBODY;
	if (deny && r.peers == EVERYBODY)
		r.last = r.first;
	return r;
}

static void versions_draw(unsigned int seed)
{
	for (int v = 0; v < VERSIONS; v++)
		for (int e = 0; e < ENDPOINTS; e++)
			for (int k = 0; k < 2; k++) {
				struct side *s = &sides[v][e][k];
				int allow = 2 + draw(&seed, RULES - 5), deny = draw(&seed, 4);

				/* Every other swap brings a prefix and takes one away. */
				unsigned int without = v < 2 ? 2 : 4;

				/* An endpoint of which every other swap changes nothing. */
				if (e == ENDPOINTS - 1)
					without = (1u << (PREFIXES - 1)) - 1;
				if (e == ENDPOINTS - 1 && v & 1) {
					*s = sides[v - 1][e][k];
					continue;
				}
				if (!draw(&seed, 8))
					continue;
				s->rules[s->n++] = (struct rule){ .first = 7, .last = 7 };
				for (int i = 0; i < allow; i++)
					s->rules[s->n++] = rule_draw(&seed, without, !k, false);
				for (int i = 0; i < deny; i++)
					s->rules[s->n++] = rule_draw(&seed, without, !k, true);
			}
}

static bool in_prefix(int address, int prefix)
{
	return prefix == PREFIXES - 1 || prefix <= address;
}

static bool rule_matches(const struct rule *r, int peer, uint16_t port)
{
	if (port < r->first || port > r->last)
		return false;
	if (r->peers == PODS)
		return peer < ENDPOINTS && r->pods & 1u << peer;
	if (r->peers == PREFIX)
		return peer >= ENDPOINTS && in_prefix(peer - ENDPOINTS, r->prefix);
	return true;
}

static bool side_allows(const struct side *s, int peer, uint16_t port)
{
	bool allow = !s->n;

	for (int i = 0; i < s->n; i++) {
		if (!rule_matches(&s->rules[i], peer, port))
			continue;
		if (s->rules[i].deny)
			return false;
		allow = true;
	}
	return allow;
}

/* The egress of one version with the ingress of another. */
static bool ends_allow(int from, int to, int src, int dst, int port)
{
	return (src >= ENDPOINTS || side_allows(&sides[from][src][1], dst, port_of(port))) &&
	       side_allows(&sides[to][dst][0], src, port_of(port));
}

/* What the versions say; and would a mix of two be noticed? */
static void versions_judge(void)
{
	int mixed = 0, differ = 0, always = 0, never = 0;

	for (int src = 0; src < SOURCES; src++)
		for (int dst = 0; dst < ENDPOINTS; dst++)
			for (int port = 0; port <= PORTS; port++) {
				int n = 0;

				for (int v = 0; v < VERSIONS; v++) {
					int next = (v + 1) % VERSIONS;
					bool is = ends_allow(v, v, src, dst, port);
					bool will = ends_allow(next, next, src, dst, port);

					allowed[v][src][dst][port] = is;
					n += is;
					differ += is != will;
					if (!is && !will)
						mixed += ends_allow(v, next, src, dst, port) ||
							 ends_allow(next, v, src, dst, port);
				}
				always += n == VERSIONS;
				never += !n;
			}
	printf("%d flows differ in a swap, %d show a mix of ends, %d always and %d never pass\n",
	       differ, mixed, always, never);
	NEED(differ > 400 && mixed > 100 && always > 100 && never > 20, "these versions show nothing");
}

/* ---- as documents ----------------------------------------------------------------- */

static void write_rule(FILE *f, const struct rule *r, const char *from)
{
	const char *comma = "";

	fprintf(f, "  - toPorts: [{ports: [{port: '%u', endPort: %u, protocol: UDP}]}]\n", r->first,
		r->last);
	if (r->peers == PREFIX)
		fprintf(f, "    %sCIDR: ['%s', '%s']\n", from, prefixes[r->prefix][0],
			prefixes[r->prefix][1]);
	if (r->peers != PODS)
		return;
	fprintf(f, "    %sEndpoints: [{matchExpressions: [{key: app, operator: In, values: [", from);
	for (int i = 0; i < ENDPOINTS; i++)
		if (r->pods & 1u << i) {
			fprintf(f, "%s%s", comma, pods[i].name);
			comma = ", ";
		}
	fputs("]}]}]\n", f);
}

static void write_side(FILE *f, const struct side *s, const char *name, const char *from)
{
	for (int deny = 0; deny < 2; deny++) {
		bool title = false;

		for (int i = 0; i < s->n; i++) {
			if (s->rules[i].deny != deny)
				continue;
			if (!title)
				fprintf(f, "  %s%s:\n", name, deny ? "Deny" : "");
			title = true;
			write_rule(f, &s->rules[i], from);
		}
	}
}

/* A policy that says nothing still takes the place of the one before. */
static void write_policy(FILE *f, int v, int e)
{
	fprintf(f,
		"---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: of-%s}\n"
		"spec:\n  endpointSelector: {matchLabels: {app: %s}}\n",
		pods[e].name, pods[e].name);
	write_side(f, &sides[v][e][0], "ingress", "from");
	write_side(f, &sides[v][e][1], "egress", "to");
	if (!sides[v][e][0].n && !sides[v][e][1].n)
		fputs("  enableDefaultDeny: {ingress: false, egress: false}\n"
		      "  ingress: [{fromEntities: [all]}]\n", f);
}

/* The policies of some endpoints, as one stream. */
static char *document(int v, int first, int n)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	for (int e = first; e < first + n; e++)
		write_policy(f, v, e);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

/* ---- as structs ------------------------------------------------------------------- */

struct built {
	const char *names[ENDPOINTS];
	struct clite_requirement requirement;
	struct clite_selector selector;
	struct clite_peer peers[2];
	struct clite_port port;
	struct clite_rule rule;
};

static void build_rule(struct built *b, const struct rule *r, uint32_t direction)
{
	uint32_t n = 0;

	b->port = (struct clite_port){ IPPROTO_UDP, r->first, r->last };
	b->rule = (struct clite_rule){
		.sz = sizeof(b->rule),
		.direction = direction,
		.action = r->deny ? CLITE_DENY : CLITE_ALLOW,
		.peers = r->peers == EVERYBODY ? NULL : b->peers,
		.npeers = r->peers == PODS ? 1 : 2,
		.ports = &b->port,
		.nports = 1,
	};
	for (int i = 0; i < ENDPOINTS; i++)
		if (r->pods & 1u << i)
			b->names[n++] = pods[i].name;
	b->requirement = (struct clite_requirement){ "app", b->names, n, CLITE_OP_IN };
	b->selector = (struct clite_selector){ &b->requirement, 1 };
	for (int i = 0; i < 2; i++) {
		b->peers[i] = (struct clite_peer){ .kind = CLITE_PEER_CIDR,
						   .cidr = prefixes[r->prefix][i] };
		if (r->peers == PODS)
			b->peers[i] = (struct clite_peer){ .kind = CLITE_PEER_ENDPOINTS,
							   .selector = &b->selector };
	}
	if (r->peers == EVERYBODY)
		b->rule.npeers = 0;
}

static void put_policy(struct clite_txn *txn, int v, int e)
{
	struct built built[2 * RULES];
	const struct clite_rule *rules[2 * RULES];
	const char *values[] = { pods[e].name };
	struct clite_requirement requirement = { "app", values, 1, CLITE_OP_IN };
	struct clite_selector subject = { &requirement, 1 };
	struct clite_policy_part part = { .sz = sizeof(part), .subject = &subject, .rules = rules };
	const struct clite_policy_part *parts[] = { &part };
	char name[32];

	for (int k = 0; k < 2; k++)
		for (int i = 0; i < sides[v][e][k].n; i++) {
			struct built *b = &built[part.nrules];

			build_rule(b, &sides[v][e][k].rules[i], k ? CLITE_EGRESS : CLITE_INGRESS);
			rules[part.nrules++] = &b->rule;
		}
	snprintf(name, sizeof(name), "of-%s", pods[e].name);
	ck_assert_msg(!clite_txn_policy_put(txn, name, parts, 1), "%s", clite_error(ctx));
}

/* ---- swaps ------------------------------------------------------------------------- */

/* Versions are counted, and counter % VERSIONS is what they say. Begun: it may be in
 * force. Complete: it is, for every packet that is sent from now on. Met: so it is, for
 * a packet was judged by it. */
static atomic_ulong begun, complete, met;
static atomic_bool stop;

static void import(int v, struct clite_txn *txn, int first, int n)
{
	char *text = document(v, first, n);
	int r = txn ? clite_txn_policy_import(txn, text, strlen(text), NULL) :
		      clite_policy_import(ctx, text, strlen(text), NULL);

	ck_assert_msg(r == n, "%s\n%s", clite_error(ctx), text);
	free(text);
}

/* Versions 0 and 2 by transactions of many policies, 1 and 3 by a single import. */
static void bring(unsigned long version)
{
	int v = (int)(version % VERSIONS);
	struct clite_txn *txn = NULL;

	if (v & 1) {
		import(v, NULL, 0, ENDPOINTS);
		return;
	}
	ck_assert_int_eq(clite_txn_new(ctx, &txn), 0);
	for (int e = 0; e < ENDPOINTS; e++) {
		if (v)
			import(v, txn, e, 1);
		else
			put_policy(txn, v, e);
	}
	ck_assert_msg(clite_txn_commit(txn) > 0, "%s", clite_error(ctx));
	clite_txn_free(txn);
}

static void swap_to(unsigned long version)
{
	atomic_store(&begun, version);
	bring(version);
	atomic_store(&complete, version);
}

/* ---- senders ------------------------------------------------------------------------ */

struct probe {
	uint8_t src, dst, port, family;
	unsigned long from; /* the first version that may judge it */
	bool arrived;
};

/* What a datagram carries. The first byte chooses the socket, see filter. */
struct mark {
	uint8_t sender;
	uint8_t pad;
	uint16_t index;
	uint32_t burst;
};

struct sender {
	int number, cpu;
	unsigned int seed;
	int raw[ENDPOINTS + 1][2];
	int poll;
	uint32_t burst;
	struct probe probes[BURST + 1]; /* the last one is the fence */
	unsigned long version;		/* that judged its last packet, or a later one did */
	uint64_t sent, missing, sure_pass, sure_drop, either_pass, either_drop, versions;
	char *failure;
	pthread_t thread;
};

static struct sender senders[SENDERS];
static int nsenders;

static void wrong(struct sender *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void wrong(struct sender *s, const char *fmt, ...)
{
	va_list ap;

	atomic_store(&stop, true);
	if (s->failure)
		return;
	va_start(ap, fmt);
	NEED(vasprintf(&s->failure, fmt, ap) >= 0, "no memory");
	va_end(ap);
}

static unsigned long max(unsigned long a, unsigned long b)
{
	return a > b ? a : b;
}

static uint16_t udp6_checksum(const struct ip6_hdr *ip, const void *data, size_t len)
{
	const struct {
		struct in6_addr src, dst;
		uint32_t len, proto;
	} pseudo = { ip->ip6_src, ip->ip6_dst, htonl((uint32_t)len), htonl(IPPROTO_UDP) };
	uint16_t words[sizeof(pseudo) / 2 + 32];
	uint32_t sum = 0;
	size_t n = sizeof(pseudo) / 2 + len / 2;

	memcpy(words, &pseudo, sizeof(pseudo));
	memcpy(words + sizeof(pseudo) / 2, data, len);
	for (size_t i = 0; i < n; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum ?: 0xffff;
}

static const char *source_address(const struct probe *p)
{
	if (p->src >= ENDPOINTS)
		return outside[p->src - ENDPOINTS][p->family == 6];
	return p->family == 6 ? pods[p->src].ipv6 : pods[p->src].ipv4;
}

struct datagram {
	struct udphdr udp;
	struct mark mark;
};

static ssize_t send4(int fd, const struct probe *p, const struct datagram *d)
{
	struct {
		struct iphdr ip;
		struct datagram d;
	} packet = {
		.ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP },
		.d = *d,
	};
	struct sockaddr_in to = { .sin_family = AF_INET };

	inet_pton(AF_INET, source_address(p), &packet.ip.saddr);
	inet_pton(AF_INET, pods[p->dst].ipv4, &to.sin_addr);
	packet.ip.daddr = to.sin_addr.s_addr;
	return sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to));
}

static ssize_t send6(int fd, const struct probe *p, const struct datagram *d)
{
	struct {
		struct ip6_hdr ip;
		struct datagram d;
	} packet = { .d = *d };
	struct sockaddr_in6 to = { .sin6_family = AF_INET6 };

	packet.ip.ip6_vfc = 6 << 4;
	packet.ip.ip6_plen = htons(sizeof(*d));
	packet.ip.ip6_nxt = IPPROTO_UDP;
	packet.ip.ip6_hlim = 64;
	inet_pton(AF_INET6, source_address(p), &packet.ip.ip6_src);
	inet_pton(AF_INET6, pods[p->dst].ipv6, &to.sin6_addr);
	packet.ip.ip6_dst = to.sin6_addr;
	packet.d.udp.check = udp6_checksum(&packet.ip, &packet.d, sizeof(packet.d));
	return sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to));
}

/* Half of them belong to flows that are known, which all senders share. */
static void probe_send(struct sender *s, int index)
{
	struct probe *p = &s->probes[index];
	int port = draw(&s->seed, 2) ? 20000 + draw(&s->seed, 4) : 24000 + draw(&s->seed, 40000);
	int fd = s->raw[p->src < ENDPOINTS ? p->src : ENDPOINTS][p->family == 6];
	struct datagram d = {
		.udp = { .source = htons((uint16_t)port), .dest = htons(port_of(p->port)),
			 .len = htons(sizeof(d)) },
		.mark = { .sender = (uint8_t)s->number, .index = (uint16_t)index, .burst = s->burst },
	};

	p->arrived = false;
	p->from = max(atomic_load(&complete), atomic_load(&met));
	if ((p->family == 4 ? send4(fd, p, &d) : send6(fd, p, &d)) < 0)
		wrong(s, "send: %m");
	s->sent++;
}

static void drain(struct sender *s, int fd)
{
	struct mark m;

	while (recv(fd, &m, sizeof(m), MSG_DONTWAIT) == sizeof(m)) {
		if (m.sender != s->number || m.index > BURST)
			wrong(s, "a datagram that nobody has sent");
		else if (m.burst != s->burst)
			wrong(s, "a datagram of burst %u comes in burst %u", m.burst, s->burst);
		else if (s->probes[m.index].arrived)
			wrong(s, "a datagram comes twice");
		else
			s->probes[m.index].arrived = true;
	}
}

static int receive(struct sender *s, int timeout)
{
	struct epoll_event events[64];
	int n = epoll_wait(s->poll, events, 64, timeout);

	for (int i = 0; i < n; i++)
		drain(s, events[i].data.fd);
	return n;
}

/* Until the fence is there, and with it all that came before. */
static bool await_fence(struct sender *s)
{
	uint64_t end = now_ms() + 5000;

	while (!s->probes[BURST].arrived && !s->failure) {
		receive(s, 100);
		if (now_ms() > end)
			return false;
	}
	while (receive(s, 0) > 0)
		;
	return true;
}

static bool says(unsigned long version, const struct probe *p)
{
	return allowed[version % VERSIONS][p->src][p->dst][p->port];
}

static void explain(struct sender *s, const struct probe *p, unsigned long last)
{
	bool mixed = false;
	char verdicts[VERSIONS + 1] = "";

	for (int v = 0; v < VERSIONS; v++) {
		int next = (v + 1) % VERSIONS;

		verdicts[v] = allowed[v][p->src][p->dst][p->port] ? '+' : '-';
		mixed |= p->arrived && (ends_allow(v, next, p->src, p->dst, p->port) ||
					ends_allow(next, v, p->src, p->dst, p->port));
	}
	wrong(s,
	      "sender %d, burst %u: %s to %s port %u %s. Versions 0 to 3 say %s of it; %lu was in force "
	      "when it left, %lu begun when it was there, and %lu had judged what left before%s",
	      s->number, s->burst, source_address(p), pods[p->dst].name, port_of(p->port),
	      p->arrived ? "passed" : "was dropped", verdicts, p->from, last, s->version,
	      mixed ? "; its two ends by two of them would let it pass" : "");
}

/* The earliest versions that explain a burst: if these do not, none do. */
static void burst_check(struct sender *s)
{
	unsigned long last = atomic_load(&begun), before = s->version, seen;

	for (int i = 0; i <= BURST && !s->failure; i++) {
		const struct probe *p = &s->probes[i];
		bool pass = false, drop = false;
		unsigned long v;

		s->version = max(s->version, p->from);
		for (v = s->version; v <= last; v++)
			*(says(v, p) ? &pass : &drop) = true;
		s->sure_pass += !drop;
		s->sure_drop += !pass;
		s->either_pass += pass && drop && p->arrived;
		s->either_drop += pass && drop && !p->arrived;
		s->missing += !p->arrived;
		for (v = s->version; v <= last && says(v, p) != p->arrived; v++)
			;
		if (v > last)
			explain(s, p, last);
		else
			s->version = v;
	}
	s->versions += s->version != before;
	seen = atomic_load(&met);
	while (seen < s->version && !atomic_compare_exchange_weak(&met, &seen, s->version))
		;
}

/* The fence goes the longest way, so that it overtakes nobody. */
static bool burst(struct sender *s)
{
	s->burst++;
	for (int i = 0; i < BURST; i++) {
		struct probe *p = &s->probes[i];

		p->src = (uint8_t)draw(&s->seed, SOURCES);
		do
			p->dst = (uint8_t)draw(&s->seed, ENDPOINTS);
		while (p->dst == p->src);
		p->port = (uint8_t)draw(&s->seed, PORTS);
		p->family = draw(&s->seed, 2) ? 4 : 6;
		probe_send(s, i);
	}
	s->probes[BURST] = (struct probe){ .src = ENDPOINTS, .port = FENCE, .family = 4 };
	probe_send(s, BURST);
	return await_fence(s);
}

static void stay(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	NEED(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity: %m");
}

static void *send_bursts(void *arg)
{
	struct sender *s = arg;

	stay(s->cpu);
	while (!atomic_load(&stop)) {
		if (!burst(s)) {
			wrong(s, "sender %d, burst %u: what every version allows does not arrive",
			     s->number, s->burst);
			break;
		}
		burst_check(s);
		/* Leave some of the processor to the one who swaps. */
		usleep(100);
	}
	return NULL;
}

/* ---- the places of the play --------------------------------------------------------- */

static void go(int netns)
{
	NEED(setns(netns, CLONE_NEWNET) == 0, "setns: %m");
}

static int raw_socket(int netns, int family)
{
	int fd;

	go(netns);
	fd = socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	NEED(fd >= 0, "socket: %m");
	go(host);
	return fd;
}

/* A socket for each sender at one port: the datagram says whose it is. */
static void listen_at(const struct workload *w, uint16_t port)
{
	struct sockaddr_in6 own = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog filter = { 2, code };
	struct epoll_event ev = { .events = EPOLLIN };
	int one = 1;

	go(w->netns);
	for (int i = 0; i < nsenders; i++) {
		int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		ev.data.fd = fd;
		NEED(fd >= 0, "socket: %m");
		NEED(!setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), "SO_REUSEPORT: %m");
		NEED(!bind(fd, (struct sockaddr *)&own, sizeof(own)), "bind: %m");
		NEED(i || !setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter,
				      sizeof(filter)),
		     "SO_ATTACH_REUSEPORT_CBPF: %m");
		NEED(!epoll_ctl(senders[i].poll, EPOLL_CTL_ADD, fd, &ev), "epoll_ctl: %m");
	}
	go(host);
}

static void senders_make(unsigned int seed)
{
	cpu_set_t cpus;

	NEED(!sched_getaffinity(0, sizeof(cpus), &cpus), "sched_getaffinity: %m");
	for (int cpu = 0; cpu < CPU_SETSIZE && nsenders < SENDERS; cpu++) {
		struct sender *s = &senders[nsenders];

		if (!CPU_ISSET(cpu, &cpus))
			continue;
		*s = (struct sender){ .number = nsenders, .cpu = cpu };
		s->seed = seed + (unsigned int)nsenders++;
		s->poll = epoll_create1(EPOLL_CLOEXEC);
		NEED(s->poll >= 0, "epoll: %m");
		for (int e = 0; e <= ENDPOINTS; e++) {
			s->raw[e][0] = raw_socket(pods[e].netns, AF_INET);
			s->raw[e][1] = raw_socket(pods[e].netns, AF_INET6);
		}
	}
	for (int e = 0; e < ENDPOINTS; e++)
		for (int port = 0; port <= PORTS; port++)
			listen_at(&pods[e], port_of(port));
}

/* The host forwards for the one outside; who is where nobody has to ask. */
static void outside_make(void)
{
	sh("cd /proc/sys/net && echo 1 >ipv4/ip_forward && echo 1 >ipv6/conf/all/forwarding && "
	   "echo 0 >ipv4/conf/all/rp_filter && echo 0 >ipv4/conf/%s/rp_filter", out->name);
	sh("ip addr add 169.254.1.1/32 dev %s && ip addr add fe80::1/64 dev %s nodad && "
	   "ip route add 198.18.0.0/15 dev %s && ip -6 route add 2001:db8::/32 dev %s",
	   out->name, out->name, out->name, out->name);
	sh("ip link set dev %s address 02:77:77:77:77:77", out->name);
	for (int i = 0; i < 2; i++)
		sh("ip -n %s neigh replace %s lladdr 02:77:77:77:77:77 dev eth0 nud permanent",
		   out->name, i ? "fe80::1" : "169.254.1.1");
}

static void pod_make(struct workload *w, unsigned int number)
{
	*w = (struct workload){ .number = number };
	NEED(asprintf((char **)&w->name, number > ENDPOINTS ? "out" : "w%u", number) > 0, "no memory");
	workload_make(w);
	if (number > ENDPOINTS)
		return;
	sh("ip -n %s link set dev eth0 address 02:77:00:00:00:0%u", w->name, number);
	sh("ip route add %s dev %s && ip -6 route add %s dev %s", w->ipv4, w->name, w->ipv6, w->name);
	sh("ip neigh replace %s lladdr 02:77:00:00:00:0%u dev %s nud permanent", w->ipv4, number,
	   w->name);
	sh("ip neigh replace %s lladdr 02:77:00:00:00:0%u dev %s nud permanent", w->ipv6, number,
	   w->name);
}

/* Without a policy everything passes; after this all neighbours are known. */
static void meet(struct sender *s)
{
	uint64_t end = now_ms() + 10000;

	for (int src = 0; src < SOURCES; src++)
		for (int family = 4; family <= 6; family += 2) {
			struct probe p = { .src = (uint8_t)src, .port = FENCE, .dst = src == 0,
					   .family = (uint8_t)family };

			s->burst++;
			s->probes[BURST] = p;
			probe_send(s, BURST);
			NEED(await_fence(s), "nothing comes from %s", source_address(&p));
			NEED(now_ms() < end, "neighbours are slow");
		}
	s->sent = 0;
}

/* ---- what the datapath says of it ---------------------------------------------------- */

struct told {
	struct clite_subscription *sub;
	uint64_t events, wrong;
};

static int index_of(const uint8_t *address, uint32_t family, bool source)
{
	uint8_t is[16];
	int af = family == 4 ? AF_INET : AF_INET6;

	for (int i = 0; i < (source ? SOURCES : ENDPOINTS); i++) {
		struct probe p = { .src = (uint8_t)i, .family = (uint8_t)family };

		inet_pton(af, source_address(&p), is);
		if (!memcmp(is, address, family == 4 ? 4 : 16))
			return i;
	}
	return -1;
}

/* A drop names a packet that some version denies, and its reason is policy. */
static int told_of_drop(const struct clite_event *ev, void *userdata)
{
	int src = index_of(ev->source, ev->family, true);
	int dst = index_of(ev->destination, ev->family, false);
	int port = ev->destination_port / 100 - 10;
	struct told *t = userdata;
	bool denied = false;

	t->events++;
	for (int v = 0; v < VERSIONS && src >= 0 && dst >= 0 && port >= 0 && port < PORTS; v++)
		denied |= !allowed[v][src][dst][port];
	if (!denied || (ev->drop_reason != POLICY_DENIED && ev->drop_reason != POLICY_DENY)) {
		char text[512];

		clite_event_text(ctx, ev, text, sizeof(text));
		printf("a drop that no version wants: %s\n", text);
		t->wrong++;
	}
	return 0;
}

static void listen_to_drops(struct told *t)
{
	struct clite_subscribe_opts o = {
		.sz = sizeof(o),
		.types = 1u << CLITE_EVENT_DROP,
		.ring_bytes = 4 << 20,
	};

	*t = (struct told){};
	ck_assert_msg(!clite_subscribe(ctx, &o, told_of_drop, t, &t->sub), "%s", clite_error(ctx));
}

static int drops_of(const struct clite_counter_info *info, void *userdata)
{
	uint64_t *n = userdata;

	if (info->reason)
		*n += info->packets;
	return 0;
}

/* Every datagram that is missing was dropped, counted and told. */
static void check_books(struct told *t, uint64_t missing)
{
	uint64_t dropped = 0, lost;
	int r;

	while ((r = clite_dispatch(ctx, 0)))
		ck_assert_int_gt(r, 0);
	ck_assert_int_eq(clite_subscription_lost(t->sub, &lost), 0);
	ck_assert_int_ge(clite_counter_list(ctx, drops_of, &dropped), 0);
	printf("%lu missing, %lu drops, %lu events and %lu lost\n", missing, dropped, t->events, lost);
	ck_assert_uint_eq(dropped, drops(ctx, POLICY_DENIED) + drops(ctx, POLICY_DENY));
	ck_assert_uint_eq(dropped, missing);
	ck_assert_uint_eq(t->events + lost, missing);
	ck_assert_uint_eq(t->wrong, 0);
	clite_unsubscribe(t->sub);
}

/* ---- the test -------------------------------------------------------------------------- */

static uint64_t check_sender(const struct sender *s, unsigned long swaps)
{
	printf("sender %d: %lu packets; sure to pass %lu, to be dropped %lu; either: passed %lu, "
	       "dropped %lu; %lu versions met\n",
	       s->number, s->sent, s->sure_pass, s->sure_drop, s->either_pass, s->either_drop,
	       s->versions);
	ck_assert_uint_gt(s->sure_pass, swaps);
	ck_assert_uint_gt(s->sure_drop, swaps);
	ck_assert_uint_gt(s->either_pass, 100);
	ck_assert_uint_gt(s->either_drop, 100);
	ck_assert_uint_gt(s->versions, swaps / 4);
	return s->missing;
}

START_TEST(each_packet_sees_one_version)
{
	unsigned long swaps = getenv("CLITE_TEST_LONG") ? 50000 : 2000;
	uint64_t missing = 0, begin = now_ms();
	struct told told;

	swap_to(0);
	listen_to_drops(&told);
	for (int i = 0; i < nsenders; i++)
		ck_assert_int_eq(pthread_create(&senders[i].thread, NULL, send_bursts, &senders[i]), 0);
	for (unsigned long v = 1; v <= swaps && !atomic_load(&stop); v++) {
		swap_to(v);
		ck_assert_int_ge(clite_dispatch(ctx, 10000), 0);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < nsenders; i++)
		ck_assert_int_eq(pthread_join(senders[i].thread, NULL), 0);
	for (int i = 0; i < nsenders; i++)
		ck_assert_msg(!senders[i].failure, "%s", senders[i].failure);
	printf("%lu swaps in %lu ms\n", atomic_load(&complete), now_ms() - begin);
	for (int i = 0; i < nsenders; i++)
		missing += check_sender(&senders[i], swaps);
	check_books(&told, missing);
}
END_TEST

static void setup(void)
{
	ctx = instance_open(NULL, CLITE_OPEN_EPHEMERAL);
	for (int e = 0; e < ENDPOINTS; e++)
		ck_assert_msg(!workload_add(ctx, &pods[e]), "%s", clite_error(ctx));
	for (int i = 0; i < nsenders; i++)
		meet(&senders[i]);
}

static void teardown(void)
{
	ctx = clite_close(ctx);
}

int main(void)
{
	const char *text = getenv("CLITE_TEST_SEED");
	unsigned int seed = text ? (unsigned int)atoi(text) : 4711;
	Suite *s = suite_create("swap");
	TCase *t = tcase_create("swap");
	SRunner *sr;
	int failed;

	versions_draw(seed);
	versions_judge();
	stage_make();
	host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	NEED(host >= 0, "/proc/self/ns/net: %m");
	for (unsigned int i = 0; i <= ENDPOINTS; i++)
		pod_make(&pods[i], i + 1);
	outside_make();
	senders_make(seed);
	tcase_set_timeout(t, 0);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, each_packet_sees_one_version);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_set_fork_status(sr, CK_NOFORK);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
