/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel can do, found out by doing it. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/syscall.h>

#include <cilium-lite/version.h>

#include "datapath/dp.h"

/* Instructions, so that probing needs no object file. */
#define MOV_IMM(r, v) { .code = 0xb7, .dst_reg = (r), .imm = (v) }

#define CALL(id) { .code = 0x85, .imm = (id) }
#define EXIT { .code = 0x95 }

static int try_prog(const struct bpf_insn *insns, size_t n)
{
	_cleanup_close_ int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "clite_probe", "GPL", insns,
					       n, NULL);

	return fd < 0 ? -errno : 0;
}

static int probe_clock(void)
{
	struct bpf_insn p[] = { CALL(BPF_FUNC_jiffies64), MOV_IMM(0, 0), EXIT };

	return try_prog(p, ARRAY_SIZE(p));
}

static int probe_redirect_peer(void)
{
	struct bpf_insn p[] = { MOV_IMM(1, 1), MOV_IMM(2, 0), CALL(BPF_FUNC_redirect_peer), EXIT };

	return try_prog(p, ARRAY_SIZE(p));
}

static int probe_redirect_neigh(void)
{
	struct bpf_insn p[] = { MOV_IMM(1, 1), MOV_IMM(2, 0), MOV_IMM(3, 0), MOV_IMM(4, 0),
				CALL(BPF_FUNC_redirect_neigh), EXIT };

	return try_prog(p, ARRAY_SIZE(p));
}

static int probe_map(enum bpf_map_type type, uint32_t key, uint32_t value, uint32_t n,
		     uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	_cleanup_close_ int fd = bpf_map_create(type, "clite_probe", key, value, n, &opts);

	return fd < 0 ? -errno : 0;
}

static int probe_ringbuf(void)
{
	return probe_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);
}

static int probe_mmapable(void)
{
	return probe_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE);
}

static int probe_lpm(void)
{
	return probe_map(BPF_MAP_TYPE_LPM_TRIE, 8, 4, 1, BPF_F_NO_PREALLOC);
}

/* bpf_loop() needs a callback, which only an object file can express: its
 * helper number stands for it. Linux 5.17. */
static int probe_loop(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_loop, NULL) == 1 ?
		       0 :
		       -EOPNOTSUPP;
}

bool dp_have_retval(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_set_retval, NULL) ==
	       1;
}

static int probe_retval(void)
{
	return dp_have_retval() ? 0 : -EOPNOTSUPP;
}

static int probe_destroy(void)
{
	return dp_have_destroy() ? 0 : -EOPNOTSUPP;
}

static int probe_tcx(void)
{
	return dp_have_tcx() ? 0 : -EOPNOTSUPP;
}

static const struct {
	const char *name;
	bool required;
	int (*probe)(void);
	const char *what;	 /* what it is for */
	const char *without;	 /* what happens without it, or which kernel has it */
} probes[] = {
	{ "ringbuf", true, probe_ringbuf, "rings of events", "Linux 5.8 has it" },
	{ "mmapable-array", true, probe_mmapable, "maps that are memory", "Linux 5.5 has it" },
	{ "lpm-trie", true, probe_lpm, "longest prefixes of the ipcache", "Linux 4.11 has it" },
	{ "jiffies64", true, probe_clock, "the clock of the flow table", "Linux 5.6 has it" },
	{ "bpf-loop", true, probe_loop, "walking IPv4 options", "Linux 5.17 has it" },
	{ "redirect-peer", true, probe_redirect_peer, "delivery into a namespace", "Linux 5.10 has it" },
	{ "redirect-neigh", true, probe_redirect_neigh, "delivery by neighbour", "Linux 5.10 has it" },
	{ "tcx", false, probe_tcx, "attachment by links", "clsact filters are used instead; Linux 6.6 has it" },
	{ "set-retval", false, probe_retval, "errors of calls that ask for a service nobody serves", "they say \"Operation not permitted\" instead; Linux 6.1 has it" },
	{ "udp-destroy", false, probe_destroy, "ending UDP sockets to removed back ends", "they stay; CONFIG_INET_UDP_DIAG and CONFIG_INET_DIAG_DESTROY bring it" },
};

size_t probe_all(struct probe_result ret[PROBE_MAX])
{
	_Static_assert(ARRAY_SIZE(probes) <= PROBE_MAX, "more probes than room");

	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		int r = probes[i].probe();

		ret[i].name = probes[i].name;
		ret[i].required = probes[i].required;
		ret[i].present = !r;
		if ((r ? asprintf(&ret[i].reason, "%s: %s; %s", probes[i].what, strerror(-r),
				  probes[i].without) :
			 asprintf(&ret[i].reason, "%s", probes[i].what)) < 0)
			ret[i].reason = NULL;
	}
	return ARRAY_SIZE(probes);
}

int probe_missing(struct errtext *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
		if (probes[i].required && probes[i].probe())
			return err_set(err, CLITE_EUNSUPPORTED, "this kernel lacks %s (%s): %s",
				       probes[i].name, probes[i].what, probes[i].without);
	return 0;
}

/* ---- capabilities -------------------------------------------------------- */

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

int probe_capabilities(struct errtext *err)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = {};
	static const struct {
		int cap;
		const char *name;
	} need[] = {
		{ CAP_NET_ADMIN, "CAP_NET_ADMIN" },
		{ CAP_BPF, "CAP_BPF" },
		{ CAP_PERFMON, "CAP_PERFMON" },
	};
	_cleanup_buf_ struct buf missing = {};
	uint64_t have;

	if (syscall(SYS_capget, &h, d) < 0)
		return 0; /* the kernel will say */
	have = (uint64_t)d[1].effective << 32 | d[0].effective;
	if (have & 1ull << CAP_SYS_ADMIN)
		have |= 1ull << CAP_BPF | 1ull << CAP_PERFMON;
	for (size_t i = 0; i < ARRAY_SIZE(need); i++)
		if (!(have & 1ull << need[i].cap))
			buf_printf(&missing, "%s%s", missing.len ? ", " : "", need[i].name);
	if (missing.len)
		return err_set(err, EPERM, "missing %s: run as root, or give the program %s",
			       missing.data, missing.len ? missing.data : "");
	return 0;
}
