/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the library sets before it loads the programs. */
#pragma once

/* Ticks of bpf_jiffies64() in a second: the cheapest clock, under 1 ns where
 * bpf_ktime_get_ns() costs 30. */
const volatile __u32 cfg_hz = 250;

/* Mark of packets that have been judged and go out by a plain redirect, which
 * passes the egress hook of the device. A random number of this instance:
 * nobody but the host's root can set marks on the host's side. */
const volatile __u32 cfg_mark = 0;

/* 1: send to the world by neighbour redirect instead of through the stack. */
const volatile __u32 cfg_neigh = 0;

/* Ports of translated sources, inclusive (Cilium's: above the NodePorts). */
const volatile __u32 cfg_snat_first = 32768;
const volatile __u32 cfg_snat_last = 65535;

/* At the socket. 1: a program can say which error a call ends with. */
const volatile __u32 cfg_retval = 0;

/* The network namespace (its cookie) whose addresses are this host's. */
const volatile __u64 cfg_netns = 0;
/* Sets of the flow cache at XDP for each CPU less one, a power of two less one, and for
 * how many CPUs; the keys of its hash. */
const volatile __u32 cfg_sets4_mask = 0;
const volatile __u32 cfg_sets6_mask = 0;
const volatile __u32 cfg_cache_cpus = 0;
const volatile __u64 cfg_keys[12] = {};

/* New flows that a CPU puts into that cache in a second, as Katran: those beyond are
 * sent on all the same. ICMP errors that it sends in a second. */
const volatile __u32 cfg_new_flows = 125000;
#define ICMP_PACE 1000

/* Timeouts in seconds: Cilium's defaults (bpf-ct-timeout-*). */
#define CT_TCP_ESTABLISHED 8000
#define CT_TCP_SYN 60
#define CT_TCP_CLOSE 10
#define CT_ANY 60
/* Seconds between two trace events of a flow in one direction
 * (monitor-aggregation-interval). */
#define REPORT_INTERVAL 5

/* Direct server return: the first packets of a flow that is not TCP name the service, and
 * one in as many seconds, for a node that has forgotten it. */
#define DSR_FIRST 8
#define DSR_AGAIN 5

/* Source of a packet that an endpoint sends to itself through a service, as
 * the back end sees it. IPv4: Cilium's; IPv6: the link-local address that
 * every endpoint reaches without a route. */
#define HAIRPIN_IPV4 bpf_htonl(0xa9fe2a01) /* 169.254.42.1 */
#define HAIRPIN_IPV6_0 bpf_htonl(0xfe800000)
#define HAIRPIN_IPV6_3 bpf_htonl(1) /* fe80::1 */
