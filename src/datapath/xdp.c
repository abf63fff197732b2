/* SPDX-License-Identifier: BSD-2-Clause */
/* The balancer at XDP: its object, loaded when an uplink is first attached with it. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/random.h>

#include "datapath/dp.h"
#include "xdp.skel.h"

#define GUE_PORT 6080
#define FLOWS4 262144
#define FLOWS6 32768

static void xdp_bpf_freep(struct xdp_bpf **skel)
{
	xdp_bpf__destroy(*skel);
}

/* Sets for one CPU: the least power of two that makes all together hold so many flows; of
 * what nobody has asked for, not more than preset. */
static uint32_t sets_per_cpu(uint32_t flows, uint32_t preset, uint32_t ways, uint32_t ncpus)
{
	uint64_t sets = 1;

	while (sets * ways * ncpus < (flows ?: preset))
		sets *= 2;
	if (!flows && sets > 1 && sets * ways * ncpus > preset)
		sets /= 2;
	return (uint32_t)sets;
}

static int sizes_set(struct dp *dp, struct xdp_bpf *skel, const struct dp_xdp *p)
{
	uint32_t sets4 = sets_per_cpu(p->flows4, FLOWS4, DP_WAYS4, dp->ncpus);
	uint32_t sets6 = sets_per_cpu(p->flows6, FLOWS6, DP_WAYS6, dp->ncpus);
	int r;

	skel->rodata->cfg_hz = dp->hz;
	skel->rodata->cfg_sets4_mask = sets4 - 1;
	skel->rodata->cfg_sets6_mask = sets6 - 1;
	skel->rodata->cfg_cache_cpus = dp->ncpus;
	if (p->new_flows)
		skel->rodata->cfg_new_flows = p->new_flows;
	if (getrandom((void *)skel->rodata->cfg_keys, sizeof(skel->rodata->cfg_keys), 0) < 0)
		return -errno;
	r = bpf_map__set_max_entries(skel->maps.cache4, sets4 * dp->ncpus);
	if (!r)
		r = bpf_map__set_max_entries(skel->maps.cache6, sets6 * dp->ncpus);
	if (!r)
		r = bpf_map__set_max_entries(skel->maps.hops, dp->map_max[MAP_BACKENDS]);
	return r;
}

/* Where the kernel does not tell which source address a route prefers: one of the device. */
static void own_addresses(struct dp *dp, uint32_t ifindex)
{
	struct ifaddrs *list;

	if (getifaddrs(&list) < 0)
		return;
	for (struct ifaddrs *a = list; a; a = a->ifa_next) {
		if (!a->ifa_addr || if_nametoindex(a->ifa_name) != ifindex)
			continue;
		if (a->ifa_addr->sa_family == AF_INET && !dp->control->own4) {
			dp->control->own4 = ((struct sockaddr_in *)a->ifa_addr)->sin_addr.s_addr;
		} else if (a->ifa_addr->sa_family == AF_INET6 && !dp->control->own6.w[0]) {
			const struct in6_addr *ip =
				&((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr;

			if (!IN6_IS_ADDR_LINKLOCAL(ip))
				memcpy(&dp->control->own6, ip, sizeof(dp->control->own6));
		}
	}
	freeifaddrs(list);
}

void dp_outer_set(struct dp *dp, const struct dp_xdp *p, uint32_t ifindex)
{
	struct dp_control *c = dp->control;
	int bits;

	own_addresses(dp, ifindex);
	if (p->gue_port || !c->gue_port)
		c->gue_port = htons(p->gue_port ?: GUE_PORT);
	if (p->source4.family) {
		memcpy(&c->outer4, p->source4.ip, 4);
		c->outer4_vary = htonl((uint32_t)((1ULL << (32 - p->source4.len)) - 1));
	}
	if (p->source6.family) {
		memcpy(&c->outer6, p->source6.ip, 16);
		bits = p->source6.len > 96 ? 128 - p->source6.len : 32;
		c->outer6_vary = htonl((uint32_t)((1ULL << bits) - 1));
	}
}

int dp_xdp_load(struct dp *dp, const struct dp_xdp *p, struct errtext *err)
{
	_cleanup_(xdp_bpf_freep) struct xdp_bpf *skel = NULL;
	int r;

	if (dp_object_find(dp, PROG_FROM_XDP, PROG_FROM_XDP))
		return 0;
	/* Maps without it are of a process that was killed: their sizes are not these. */
	for (int i = MAP_CACHE4; i <= MAP_PACES; i++)
		dp_map_forget(dp, i);
	skel = xdp_bpf__open();
	if (!skel)
		return err_set(err, errno, "cannot open the built-in XDP program: %s",
			       strerror(errno));
	r = sizes_set(dp, skel, p);
	if (!r)
		r = dp_object_share(dp, skel->obj);
	if (!r)
		r = xdp_bpf__load(skel);
	if (r)
		return err_set(err, -r, "the kernel does not take the XDP program: %s",
			       strerror(-r));
	return dp_object_take(dp, skel->obj, PROG_FROM_XDP, PROG_FROM_XDP, err);
}

bool dp_xdp_generic(uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, o);

	return !bpf_xdp_query((int)ifindex, 0, &o) && o.attach_mode == XDP_ATTACHED_SKB;
}
