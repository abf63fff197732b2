/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What an instance loads when an uplink is attached with XDP.
 *
 * from_xdp: an uplink's frames before they are an skb: the balancer.
 */
#define CLITE_XDP
#include "common.h"

#include "xdp.h"

SEC("xdp")
int clite_from_xdp(struct xdp_md *ctx)
{
	return xdp_packet(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
