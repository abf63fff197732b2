/* SPDX-License-Identifier: BSD-2-Clause */
#include <bpf/bpf.h>
#include <stdio.h>
#include <time.h>

#include "datapath/dp.h"

static const char *const map_names[MAP_COUNT_] = {
	[MAP_CONTROL] = "control",	[MAP_ENDPOINTS] = "endpoints",
	[MAP_DEVICES] = "devices",	[MAP_ADDRESSES] = "addresses",
	[MAP_IPCACHE] = "ipcache",	[MAP_POLICIES] = "policies",
	[MAP_PORTS] = "ports",		[MAP_PEERS] = "peers",
	[MAP_VERDICTS] = "verdicts",	[MAP_HITS] = "hits",
		[MAP_SERVICES] = "services",
	[MAP_SERVICE_GENS] = "service_gens", [MAP_BACKENDS] = "backends",
	[MAP_SLOTS] = "slots",		[MAP_AFFINITY] = "affinity",
	[MAP_SOURCES] = "sources",	[MAP_UPLINKS] = "uplinks",
	[MAP_FLOW4] = "flow4",
	[MAP_FLOW6] = "flow6",		[MAP_FRAGS] = "frags",
	[MAP_RINGS] = "rings",		[MAP_FILTERS] = "filters",
	[MAP_LOST] = "lost",
	[MAP_METRICS] = "metrics",	[MAP_PROGRAMS] = "programs",
	[MAP_STORE] = "store",		[MAP_SOCKETS] = "sockets",
	[MAP_CACHE4] = "cache4",	[MAP_CACHE6] = "cache6",
	[MAP_HOPS] = "hops",		[MAP_PACES] = "paces",
};

static const char *const prog_names[PROG_COUNT_] = {
	[PROG_FROM_ENDPOINT] = "from_endpoint",
	[PROG_TO_ENDPOINT] = "to_endpoint",
	[PROG_FROM_NETDEV] = "from_netdev",
	[PROG_TO_NETDEV] = "to_netdev",
	[PROG_SLOW] = "slow",
	[PROG_CLOCK] = "clock",
	[PROG_SOCK_GETPEERNAME4] = "sock_getpeername4",
	[PROG_SOCK_GETPEERNAME6] = "sock_getpeername6",
	[PROG_SOCK_RECVMSG4] = "sock_recvmsg4",
	[PROG_SOCK_RECVMSG6] = "sock_recvmsg6",
	[PROG_SOCK_RELEASE] = "sock_release",
	[PROG_SOCK_POST_BIND4] = "sock_post_bind4",
	[PROG_SOCK_POST_BIND6] = "sock_post_bind6",
	[PROG_SOCK_SENDMSG4] = "sock_sendmsg4",
	[PROG_SOCK_SENDMSG6] = "sock_sendmsg6",
	[PROG_SOCK_CONNECT4] = "sock_connect4",
	[PROG_SOCK_CONNECT6] = "sock_connect6",
	[PROG_FROM_XDP] = "from_xdp",
};

const char *dp_map_name(enum dp_map map)
{
	return map_names[map];
}

const char *dp_prog_name(enum dp_prog prog)
{
	return prog_names[prog];
}

bool dp_map_find(struct dp *dp, enum dp_map map)
{
	_cleanup_free_ char *pin = NULL;
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	if (dp->map_fd[map] >= 0)
		return true;
	if (!dp->path || asprintf(&pin, "%s/maps/%s", dp->path, map_names[map]) < 0)
		return false;
	dp->map_fd[map] = bpf_obj_get(pin);
	if (dp->map_fd[map] < 0)
		return false;
	if (!bpf_obj_get_info_by_fd(dp->map_fd[map], &info, &len))
		dp->map_max[map] = info.max_entries;
	return true;
}

static int map_error(struct dp *dp, enum dp_map map, int code, struct errtext *err)
{
	/* A full hash map says E2BIG, a full trie ENOSPC. */
	if (code == E2BIG || code == ENOSPC)
		return err_set(err, ENOSPC, "map '%s' is full: it holds %u entries", map_names[map],
			       dp->map_max[map]);
	return err_set(err, code, "cannot write to map '%s': %s", map_names[map], strerror(code));
}

int dp_update(struct dp *dp, enum dp_map map, const void *key, const void *value,
	      struct errtext *err)
{
	if (bpf_map_update_elem(dp->map_fd[map], key, value, BPF_ANY) < 0)
		return map_error(dp, map, errno, err);
	return 0;
}

int dp_delete(struct dp *dp, enum dp_map map, const void *key)
{
	if (bpf_map_delete_elem(dp->map_fd[map], key) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int dp_lookup(struct dp *dp, enum dp_map map, const void *key, void *value)
{
	return bpf_map_lookup_elem(dp->map_fd[map], key, value) < 0 ? -errno : 0;
}

int dp_update_batch(struct dp *dp, enum dp_map map, const void *keys, const void *values, size_t n,
		    struct errtext *err)
{
	__u32 done = n;
	int code;

	if (!n)
		return 0;
	if (bpf_map_update_batch(dp->map_fd[map], keys, values, &done, NULL) == 0)
		return 0;
	code = errno;
	if (code != EFAULT)
		dp_delete_batch(dp, map, keys, done < n ? done : 0);
	return map_error(dp, map, code, err);
}

void dp_delete_batch(struct dp *dp, enum dp_map map, const void *keys, size_t n)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), done = n;

	if (!n || bpf_map_delete_batch(dp->map_fd[map], keys, &done, NULL) == 0)
		return;
	/* A missing key ends a batch: go on one by one. */
	if (bpf_obj_get_info_by_fd(dp->map_fd[map], &info, &len) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		bpf_map_delete_elem(dp->map_fd[map], (const char *)keys + i * info.key_size);
}

#define WALK_BATCH 256u

/* How much of a hash lies before the bucket where the next batch begins. The kernel says
 * "opaque", but has always given the bucket's number; 1: it is not, so go on to the end. */
static double share_seen(const struct bpf_map_info *info, const __u32 *token)
{
	uint64_t buckets = 1;

	while (buckets < info->max_entries)
		buckets *= 2;
	return *token && *token <= buckets ? (double)*token / buckets : 1;
}

/* ret_share, limit: see dp_sample(). */
static int walk(struct dp *dp, enum dp_map map,
		int (*cb)(const void *key, const void *value, void *data), void *data,
		uint64_t limit, double *ret_share)
{
	_cleanup_free_ char *keys = NULL, *values = NULL;
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), want = WALK_BATCH, value_size;
	__u32 token[2][8] = {}; /* where the next batch begins: opaque */
	uint64_t seen = 0;
	bool first = true;
	int turn = 0;

	if (bpf_obj_get_info_by_fd(dp->map_fd[map], &info, &len) < 0)
		return -errno;
	value_size = info.value_size;
	if (info.type == BPF_MAP_TYPE_PERCPU_ARRAY)
		value_size *= dp->ncpus;
	for (;;) {
		__u32 n = want;
		int ret, code;

		free(keys);
		free(values);
		keys = malloc((size_t)want * info.key_size);
		values = malloc((size_t)want * value_size);
		if (!keys || !values)
			return -ENOMEM;
		ret = bpf_map_lookup_batch(dp->map_fd[map], first ? NULL : token[turn],
					   token[!turn], keys, values, &n, NULL);
		code = ret < 0 ? errno : 0;
		if (code == ENOSPC) {
			/* A bucket with more elements than we have room for. */
			want *= 2;
			continue;
		}
		if (code && code != ENOENT)
			return -code;
		for (__u32 i = 0; i < n; i++) {
			ret = cb(keys + (size_t)i * info.key_size,
				 values + (size_t)i * value_size, data);
			if (ret < 0)
				return ret;
		}
		*ret_share = code == ENOENT ? 1 : share_seen(&info, token[!turn]);
		seen += n;
		if (code == ENOENT || (seen >= limit && *ret_share < 1))
			return 0;
		first = false;
		turn = !turn;
	}
}

int dp_walk(struct dp *dp, enum dp_map map,
	    int (*cb)(const void *key, const void *value, void *data), void *data)
{
	double all;

	return walk(dp, map, cb, data, UINT64_MAX, &all);
}

int dp_sample(struct dp *dp, enum dp_map map, uint64_t n,
	      int (*cb)(const void *key, const void *value, void *data), void *data,
	      double *ret_share)
{
	return walk(dp, map, cb, data, n, ret_share);
}

/* What the kernel accounts for a map or program, from the fdinfo of its descriptor. */
static uint64_t fd_bytes(int fd)
{
	char path[64], line[256];
	uint64_t bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "memlock:", 8)) {
			bytes = strtoull(line + 8, NULL, 10);
			break;
		}
	fclose(f);
	return bytes;
}

uint64_t dp_map_bytes(struct dp *dp)
{
	uint64_t sum = 0;

	for (int i = 0; i < MAP_COUNT_; i++)
		if (i < MAP_ALWAYS_ || dp_map_find(dp, i))
			sum += fd_bytes(dp->map_fd[i]);
	return sum;
}

uint64_t dp_prog_bytes(struct dp *dp)
{
	uint64_t sum = 0;

	/* Others may have loaded what was not there when this process opened the instance. */
	dp_object_find(dp, PROG_SOCK_FIRST, PROG_SOCK_LAST);
	dp_object_find(dp, PROG_FROM_XDP, PROG_FROM_XDP);
	for (int i = 0; i < PROG_COUNT_; i++)
		if (dp->prog_fd[i] >= 0)
			sum += fd_bytes(dp->prog_fd[i]);
	return sum;
}

struct metrics {
	uint32_t ncpus;
	struct dp_counter *sum;
};

static int add_metric(const void *key, const void *value, void *data)
{
	const struct dp_counter *c = value;
	const uint32_t *index = key;
	struct metrics *m = data;

	m->sum[*index] = (struct dp_counter){};
	for (uint32_t cpu = 0; cpu < m->ncpus; cpu++) {
		m->sum[*index].packets += c[cpu].packets;
		m->sum[*index].bytes += c[cpu].bytes;
	}
	return 0;
}

int dp_metrics(struct dp *dp, struct dp_counter ret[DP_METRICS])
{
	struct metrics m = { .ncpus = dp->ncpus, .sum = ret };

	return dp_walk(dp, MAP_METRICS, add_metric, &m);
}

int dp_lost(struct dp *dp, uint32_t slot, uint64_t *ret)
{
	_cleanup_free_ uint64_t *all = calloc(dp->ncpus, sizeof(*all));

	if (!all)
		return -ENOMEM;
	if (bpf_map_lookup_elem(dp->map_fd[MAP_LOST], &slot, all) < 0)
		return -errno;
	*ret = 0;
	for (uint32_t cpu = 0; cpu < dp->ncpus; cpu++)
		*ret += all[cpu];
	return 0;
}

static int64_t monotonic_ticks(uint32_t hz)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * hz + (int64_t)ts.tv_nsec * hz / 1000000000;
}

/* jiffies64 and CLOCK_MONOTONIC advance together: asking once is enough. */
int dp_clock(struct dp *dp)
{
	char packet[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet),
		    .repeat = 1);

	if (bpf_prog_test_run_opts(dp->prog_fd[PROG_CLOCK], &opts) < 0)
		return -errno;
	dp->jiffies_offset = (int64_t)dp->control->jiffies - monotonic_ticks(dp->hz);
	return 0;
}

uint64_t dp_jiffies(struct dp *dp)
{
	return (uint64_t)(monotonic_ticks(dp->hz) + dp->jiffies_offset);
}
