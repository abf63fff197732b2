/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The programs of a cgroup: they see the calls of the sockets in it.
 *
 * connect, sendmsg:     the service's address becomes a back end's.
 * getpeername, recvmsg: the back end's becomes the service's again.
 * post_bind:            nobody takes a service's place.
 * release:              a socket is closed.
 */
#include "common.h"

#include "socket.h"

SEC("cgroup/connect4")
int clite_sock_connect4(struct bpf_sock_addr *ctx)
{
	return sock4(ctx, 0);
}

SEC("cgroup/connect6")
int clite_sock_connect6(struct bpf_sock_addr *ctx)
{
	return sock6(ctx, 0);
}

SEC("cgroup/sendmsg4")
int clite_sock_sendmsg4(struct bpf_sock_addr *ctx)
{
	return sock4(ctx, 1);
}

SEC("cgroup/sendmsg6")
int clite_sock_sendmsg6(struct bpf_sock_addr *ctx)
{
	return sock6(ctx, 1);
}

SEC("cgroup/recvmsg4")
int clite_sock_recvmsg4(struct bpf_sock_addr *ctx)
{
	return sock4_back(ctx);
}

SEC("cgroup/recvmsg6")
int clite_sock_recvmsg6(struct bpf_sock_addr *ctx)
{
	return sock6_back(ctx);
}

SEC("cgroup/getpeername4")
int clite_sock_getpeername4(struct bpf_sock_addr *ctx)
{
	return sock4_back(ctx);
}

SEC("cgroup/getpeername6")
int clite_sock_getpeername6(struct bpf_sock_addr *ctx)
{
	return sock6_back(ctx);
}

SEC("cgroup/post_bind4")
int clite_sock_post_bind4(struct bpf_sock *ctx)
{
	union dp_ip ip = {}; /* all of it: an initializer of v4 leaves the rest open */

	ip.v4 = ctx->src_ip4;
	return sock_bound(ctx, &ip, 4);
}

SEC("cgroup/post_bind6")
int clite_sock_post_bind6(struct bpf_sock *ctx)
{
	union dp_ip ip = {};

	ip.w[0] = ctx->src_ip6[0];
	ip.w[1] = ctx->src_ip6[1];
	ip.w[2] = ctx->src_ip6[2];
	ip.w[3] = ctx->src_ip6[3];
	return sock_bound(ctx, &ip, 6);
}

SEC("cgroup/sock_release")
int clite_sock_release(struct bpf_sock *ctx)
{
	sock_released(ctx);
	return 1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
