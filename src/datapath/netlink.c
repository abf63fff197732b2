/* SPDX-License-Identifier: BSD-2-Clause */
/* The little of rtnetlink that is needed. libbpf has calls for tc, but it prints
 * what the kernel says to stderr, which is the host program's. */
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/netconf.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "datapath/dp.h"

/* Own place among the filters of a device. */
#define TC_PRIO 0x11e
#define TC_HANDLE 0xc11e

struct request {
	struct nlmsghdr h;
	union {
		struct ifinfomsg ifi;
		struct tcmsg tc;
		struct rtmsg rt;
		struct netconfmsg conf;
	};
	char attrs[512];
};

static void *attr_put(struct request *r, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = (void *)((char *)r + NLMSG_ALIGN(r->h.nlmsg_len));

	a->rta_type = type;
	a->rta_len = RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	r->h.nlmsg_len = NLMSG_ALIGN(r->h.nlmsg_len) + RTA_ALIGN(a->rta_len);
	return a;
}

static const struct rtattr *attr_find(const struct rtattr *a, int len, uint16_t type)
{
	for (; RTA_OK(a, len); a = RTA_NEXT(a, len))
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return a;
	return NULL;
}

/* Send a request and read its answer, or its error. The answer to a request
 * without one is 0. Returns the length of what is in buf, or -errno. */
static int talk(struct request *r, void *buf, size_t size)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct nlmsghdr *h = buf;
	ssize_t n;

	if (fd < 0)
		return -errno;
	r->h.nlmsg_seq = 1;
	if (sendto(fd, r, r->h.nlmsg_len, 0, (void *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	do
		n = recv(fd, buf, size, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(*h) || !NLMSG_OK(h, (unsigned int)n))
		return -EBADMSG;
	if (h->nlmsg_type == NLMSG_ERROR)
		return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
	return n;
}

static struct request request(uint16_t type, uint16_t flags, size_t body)
{
	struct request r = {};

	r.h.nlmsg_len = NLMSG_LENGTH(body);
	r.h.nlmsg_type = type;
	r.h.nlmsg_flags = NLM_F_REQUEST | flags;
	return r;
}

/* ---- links -------------------------------------------------------------- */

static int link_get(uint32_t ifindex, const int32_t *nsid, char *buf, size_t size)
{
	struct request r = request(RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	uint32_t mask = RTEXT_FILTER_SKIP_STATS;

	r.ifi.ifi_index = ifindex;
	attr_put(&r, IFLA_EXT_MASK, &mask, sizeof(mask));
	if (nsid)
		attr_put(&r, IFLA_TARGET_NETNSID, nsid, sizeof(*nsid));
	return talk(&r, buf, size);
}

static const struct rtattr *link_attr(const char *buf, int n, uint16_t type)
{
	const struct ifinfomsg *ifi = NLMSG_DATA((struct nlmsghdr *)buf);
	int len = n - (int)NLMSG_LENGTH(sizeof(*ifi));

	return attr_find(IFLA_RTA(ifi), len, type);
}

static bool link_is(const char *buf, int n, const char *kind)
{
	const struct rtattr *info = link_attr(buf, n, IFLA_LINKINFO), *k;

	if (!info)
		return false;
	k = attr_find(RTA_DATA(info), RTA_PAYLOAD(info), IFLA_INFO_KIND);
	return k && !strncmp(RTA_DATA(k), kind, RTA_PAYLOAD(k));
}

static bool link_mac(const char *buf, int n, uint8_t mac[6])
{
	const struct rtattr *a = link_attr(buf, n, IFLA_ADDRESS);

	if (!a || RTA_PAYLOAD(a) != 6)
		return false;
	memcpy(mac, RTA_DATA(a), 6);
	return true;
}

#define LINK_BUF 32768

int nl_link_get(uint32_t ifindex, struct nl_link *ret)
{
	_cleanup_free_ char *buf = malloc(LINK_BUF);
	const struct rtattr *a, *ns;
	struct nl_link l = {};
	uint32_t peer = 0;
	int n;

	if (!buf)
		return -ENOMEM;
	n = link_get(ifindex, NULL, buf, LINK_BUF);
	if (n < 0)
		return n;
	a = link_attr(buf, n, IFLA_IFNAME);
	if (!a)
		return -EBADMSG;
	l.name = strndup(RTA_DATA(a), RTA_PAYLOAD(a));
	if (!l.name)
		return -ENOMEM;
	l.has_mac = link_mac(buf, n, l.mac);
	a = link_attr(buf, n, IFLA_LINK);
	ns = link_attr(buf, n, IFLA_LINK_NETNSID);
	/* bpf_redirect_peer() wants the peer in another namespace. */
	l.veth = link_is(buf, n, "veth") && ns;
	if (link_is(buf, n, "veth") && a) {
		int32_t nsid = -1;

		memcpy(&peer, RTA_DATA(a), sizeof(peer));
		if (ns)
			memcpy(&nsid, RTA_DATA(ns), sizeof(nsid));
		/* Not to be found is no failure: then the address is learned. */
		n = link_get(peer, ns ? &nsid : NULL, buf, LINK_BUF);
		if (n > 0)
			l.has_peer_mac = link_mac(buf, n, l.peer_mac);
	}
	*ret = l;
	return 0;
}

void nl_link_clear(struct nl_link *l)
{
	free(l->name);
	memset(l, 0, sizeof(*l));
}

/* ---- clsact ------------------------------------------------------------- */

static uint32_t tc_parent(bool ingress)
{
	return TC_H_MAKE(TC_H_CLSACT, ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

int nl_clsact_add(uint32_t ifindex)
{
	struct request r = request(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
				   sizeof(struct tcmsg));
	char buf[1024];
	int ret;

	r.tc.tcm_ifindex = ifindex;
	r.tc.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	r.tc.tcm_parent = TC_H_CLSACT;
	attr_put(&r, TCA_KIND, "clsact", sizeof("clsact"));
	ret = talk(&r, buf, sizeof(buf));
	return ret == -EEXIST || ret > 0 ? 0 : ret;
}

static struct request filter(uint16_t type, uint16_t flags, uint32_t ifindex, bool ingress)
{
	struct request r = request(type, flags, sizeof(struct tcmsg));

	r.tc.tcm_ifindex = ifindex;
	r.tc.tcm_handle = TC_HANDLE;
	r.tc.tcm_parent = tc_parent(ingress);
	r.tc.tcm_info = TC_H_MAKE(TC_PRIO << 16, __builtin_bswap16(0x0003)); /* ETH_P_ALL */
	attr_put(&r, TCA_KIND, "bpf", sizeof("bpf"));
	return r;
}

int nl_filter_add(uint32_t ifindex, bool ingress, int prog_fd, const char *name)
{
	struct request r = filter(RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, ifindex,
				  ingress);
	uint32_t flags = TCA_BPF_FLAG_ACT_DIRECT, fd = prog_fd;
	struct rtattr *options = attr_put(&r, TCA_OPTIONS, NULL, 0);
	char buf[1024];
	int ret;

	attr_put(&r, TCA_BPF_FD, &fd, sizeof(fd));
	attr_put(&r, TCA_BPF_NAME, name, strlen(name) + 1);
	attr_put(&r, TCA_BPF_FLAGS, &flags, sizeof(flags));
	options->rta_len = (char *)&r + r.h.nlmsg_len - (char *)options;
	ret = talk(&r, buf, sizeof(buf));
	return ret > 0 ? 0 : ret;
}

int nl_filter_delete(uint32_t ifindex, bool ingress)
{
	struct request r = filter(RTM_DELTFILTER, NLM_F_ACK, ifindex, ingress);
	char buf[1024];
	int ret = talk(&r, buf, sizeof(buf));

	/* No clsact there, or no such device any more. */
	if (ret == -EINVAL || ret == -ENODEV)
		return -ENOENT;
	return ret > 0 ? 0 : ret;
}

bool nl_filter_exists(uint32_t ifindex, bool ingress)
{
	struct request r = filter(RTM_GETTFILTER, 0, ifindex, ingress);
	char buf[4096];

	return talk(&r, buf, sizeof(buf)) > 0;
}

/* ---- routes ------------------------------------------------------------- */

#define ROUTE_BUF 4096

/* RTN_*, or -errno. */
static int route_type(const struct prefix *address)
{
	struct request r = request(RTM_GETROUTE, 0, sizeof(struct rtmsg));
	size_t len = address->family == 4 ? 4 : 16;
	_cleanup_free_ char *buf = malloc(ROUTE_BUF);
	int n;

	if (!buf)
		return -ENOMEM;
	r.rt.rtm_family = address->family == 4 ? AF_INET : AF_INET6;
	r.rt.rtm_dst_len = len * 8;
	attr_put(&r, RTA_DST, address->ip, len);
	n = talk(&r, buf, ROUTE_BUF);
	if (n < 0)
		return n;
	if (n < (int)NLMSG_LENGTH(sizeof(struct rtmsg)))
		return -EBADMSG;
	return ((struct rtmsg *)NLMSG_DATA((struct nlmsghdr *)buf))->rtm_type;
}

/* 0 or 1, or -errno. */
static int forwarding(uint32_t ifindex, uint8_t family)
{
	struct request r = request(RTM_GETNETCONF, 0, sizeof(struct netconfmsg));
	_cleanup_free_ char *buf = malloc(ROUTE_BUF);
	int32_t index = (int32_t)ifindex, on;
	const struct rtattr *a;
	struct nlmsghdr *h;
	int n;

	if (!buf)
		return -ENOMEM;
	r.conf.ncm_family = family == 4 ? AF_INET : AF_INET6;
	attr_put(&r, NETCONFA_IFINDEX, &index, sizeof(index));
	n = talk(&r, buf, ROUTE_BUF);
	if (n < 0)
		return n;
	h = (void *)buf;
	a = attr_find((void *)((char *)NLMSG_DATA(h) + NLMSG_ALIGN(sizeof(struct netconfmsg))),
		      n - (int)NLMSG_SPACE(sizeof(struct netconfmsg)), NETCONFA_FORWARDING);
	if (!a || RTA_PAYLOAD(a) < sizeof(on))
		return -EBADMSG;
	memcpy(&on, RTA_DATA(a), sizeof(on));
	return on != 0;
}

bool nl_address_get(uint32_t ifindex, uint8_t family, struct prefix *ret)
{
	struct ifaddrs *all, *a;
	bool found = false;

	if (getifaddrs(&all) < 0)
		return false;
	for (a = all; a && !found; a = a->ifa_next) {
		const struct sockaddr_in6 *v6 = (void *)a->ifa_addr;
		const struct sockaddr_in *v4 = (void *)a->ifa_addr;

		if (!v4 || v4->sin_family != (family == 4 ? AF_INET : AF_INET6) ||
		    if_nametoindex(a->ifa_name) != ifindex)
			continue;
		if (family == 6 && IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
			continue;
		*ret = (struct prefix){ .family = family, .len = family == 4 ? 32 : 128 };
		if (family == 4)
			memcpy(ret->ip, &v4->sin_addr, 4);
		else
			memcpy(ret->ip, &v6->sin6_addr, 16);
		found = true;
	}
	freeifaddrs(all);
	return found;
}

bool nl_is_local(const struct prefix *address)
{
	return route_type(address) == RTN_LOCAL;
}

/* As is_host() of the datapath reads what bpf_fib_lookup() says. */
bool nl_is_host(uint32_t ifindex, const struct prefix *address)
{
	int type;

	if (!forwarding(ifindex, address->family))
		return true;
	type = route_type(address);
	switch (type) {
	case RTN_UNICAST:
	case RTN_BLACKHOLE:
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
		return false;
	default:
		return type >= 0 || type == -ENETUNREACH || type == -ESRCH;
	}
}
