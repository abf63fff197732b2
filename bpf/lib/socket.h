/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Services at the socket: a process asks for a service and is connected straight to a
 * back end; where it asks who the other end is, the service stands again. */
#pragma once

#include "event.h"
#include "service.h"

MAP_HASH(sockets, BPF_MAP_TYPE_LRU_HASH, 0, struct dp_socket_key, struct dp_socket, 65536);

#define AF_INET 2
#define AF_INET6 10
#define EADDRINUSE 98
#define ECONNREFUSED 111

/* What a program answers. */
#define SOCK_NO 0
#define SOCK_YES 1

/* The other end, as the process names it. IPv4 in IPv6 (::ffff:10.0.0.1) is IPv4. */
struct sock_peer {
	union dp_ip ip;
	__be16 port;
	u8 family;
};

static __always_inline int ip_is_mapped(const union dp_ip *ip)
{
	return !ip->w[0] && !ip->w[1] && ip->w[2] == bpf_htonl(0xffff);
}

static __always_inline void ip_unmap(union dp_ip *ip)
{
	ip->v4 = ip->w[3];
	ip->w[1] = 0;
	ip->w[2] = 0;
	ip->w[3] = 0;
}

static __always_inline void peer4_read(const struct bpf_sock_addr *ctx, struct sock_peer *p)
{
	__builtin_memset(p, 0, sizeof(*p));
	p->ip.v4 = ctx->user_ip4;
	p->port = ctx->user_port;
	p->family = 4;
}

static __always_inline void peer6_read(const struct bpf_sock_addr *ctx, struct sock_peer *p)
{
	__builtin_memset(p, 0, sizeof(*p));
	p->ip.w[0] = ctx->user_ip6[0];
	p->ip.w[1] = ctx->user_ip6[1];
	p->ip.w[2] = ctx->user_ip6[2];
	p->ip.w[3] = ctx->user_ip6[3];
	p->port = ctx->user_port;
	p->family = 6;
	if (ip_is_mapped(&p->ip)) {
		ip_unmap(&p->ip);
		p->family = 4;
	}
}

static __always_inline void peer4_write(struct bpf_sock_addr *ctx, const union dp_ip *ip,
					__be16 port)
{
	ctx->user_ip4 = ip->v4;
	ctx->user_port = port;
}

static __always_inline void peer6_write(struct bpf_sock_addr *ctx, const union dp_ip *ip,
					__be16 port, u8 family)
{
	if (family == 4) {
		ctx->user_ip6[0] = 0;
		ctx->user_ip6[1] = 0;
		ctx->user_ip6[2] = bpf_htonl(0xffff);
		ctx->user_ip6[3] = ip->v4;
	} else {
		ctx->user_ip6[0] = ip->w[0];
		ctx->user_ip6[1] = ip->w[1];
		ctx->user_ip6[2] = ip->w[2];
		ctx->user_ip6[3] = ip->w[3];
	}
	ctx->user_port = port;
}

/* The end of a call that is not allowed, with an errno where the kernel can do that;
 * else it is EPERM. */
static __always_inline int sock_refuse(int error)
{
	if (cfg_retval)
		bpf_set_retval(-error);
	return SOCK_NO;
}

/* ---- what is remembered of a socket ------------------------------------------------ */

static __always_inline struct dp_socket_key
socket_key(u64 cookie, u8 proto, u32 way, const union dp_ip *ip, __be16 port, u8 family)
{
	return (struct dp_socket_key){
		.cookie = cookie,
		.ip = *ip,
		.port = port,
		.proto = proto,
		.family = family,
		.way = way,
	};
}

/* The back end that stands behind this end of the socket goes by the service's name. A
 * full map gives up what nobody has used for longest: that shows the back end then. */
static __always_inline void socket_remember(struct bpf_sock_addr *ctx, u64 cookie,
					    const struct sock_peer *p, const struct dp_service *svc,
					    u32 id, const struct dp_backend *b, int forth)
{
	struct dp_socket_key key;
	struct dp_socket val = {
		.ip = p->ip,
		.port = p->port,
		.service = svc->id,
		.backend = id,
		.netns = bpf_get_netns_cookie(ctx),
	};

	key = socket_key(cookie, ctx->protocol, DP_SOCKET_BACK, &b->ip, b->port, p->family);
	bpf_map_update_elem(&sockets, &key, &val, BPF_ANY);
	if (!forth)
		return;
	key = socket_key(cookie, ctx->protocol, DP_SOCKET_FORTH, &p->ip, p->port, p->family);
	val.ip = b->ip;
	val.port = b->port;
	bpf_map_update_elem(&sockets, &key, &val, BPF_ANY);
}

/* The back end that this socket's datagrams to the service went to until now; 0: none,
 * or it takes no more. One that is terminating still has what it began. */
static __always_inline u32 socket_backend(struct bpf_sock_addr *ctx, u64 cookie,
					  const struct sock_peer *p, const struct dp_service *svc)
{
	struct dp_socket_key key =
		socket_key(cookie, ctx->protocol, DP_SOCKET_FORTH, &p->ip, p->port, p->family);
	struct dp_socket *s = bpf_map_lookup_elem(&sockets, &key);
	struct dp_backend *b = s ? backend_get(s->backend) : NULL;

	if (!b || s->service != svc->id || b->service != svc->id || (b->state & DP_BACKEND_STATE) > 1 ||
	    b->port != s->port || !ip_equal(&b->ip, &s->ip))
		return 0;
	/* Both go together: its answers could not be told from others' otherwise. */
	key = socket_key(cookie, ctx->protocol, DP_SOCKET_BACK, &b->ip, b->port, p->family);
	return bpf_map_lookup_elem(&sockets, &key) ? s->backend : 0;
}

/* ---- forth ---------------------------------------------------------------------------- */

static __always_inline struct dp_service *socket_service(const struct bpf_sock_addr *ctx,
							 const struct sock_peer *p)
{
	struct dp_service_key key = {
		.ip = p->ip,
		.port = p->port,
		.proto = ctx->protocol,
		.family = p->family,
	};
	struct dp_service *svc = bpf_map_lookup_elem(&services, &key);

	/* Being changed, it may be missed once: see flow_lookup_again(). */
	return svc ? svc : bpf_map_lookup_elem(&services, &key);
}

static __always_inline u32 socket_hash(const struct dp_service *svc, u64 cookie)
{
	if (svc->alg != DP_ALG_MAGLEV)
		return bpf_get_prandom_u32();
	return mix(mix(svc->id, cookie), cookie >> 32);
}

/* A back end for a socket. The source port is not known yet: what Maglev hashes is the
 * socket. To affinity a client is a network namespace, as it is to Cilium: addresses are
 * not known yet either. */
static __always_inline u32 socket_choose(struct bpf_sock_addr *ctx, const struct dp_service *svc,
					 u64 cookie)
{
	struct dp_affinity_key key;
	u64 now, netns;
	u32 id;

	if (!svc->affinity)
		return service_pick(svc, 0, socket_hash(svc, cookie));
	now = bpf_jiffies64();
	netns = bpf_get_netns_cookie(ctx);
	__builtin_memset(&key, 0, sizeof(key));
	key.client.w[0] = netns;
	key.client.w[1] = netns >> 32;
	key.service = svc->id;
	key.netns = 1;
	id = affinity_find(&key, svc, 0, now);
	if (id)
		return id;
	id = service_pick(svc, 0, socket_hash(svc, netns));
	affinity_set(&key, id, now);
	return id;
}

/* The back end that *p is to be instead; SOCK_NO: there is a service and nobody behind it.
 * NULL in *ret: nothing is to be done. */
static __always_inline int socket_forth(struct bpf_sock_addr *ctx, const struct sock_peer *p,
					int datagram, struct dp_backend **ret)
{
	struct dp_service *svc = socket_service(ctx, p);
	struct dp_backend *b;
	u64 cookie;
	u32 id = 0;

	if (!svc)
		return SOCK_YES;
	cookie = bpf_get_socket_cookie(ctx);
	if (datagram)
		id = socket_backend(ctx, cookie, p, svc);
	if (id) {
		*ret = backend_get(id);
		return SOCK_YES;
	}
	id = socket_choose(ctx, svc, cookie);
	b = id ? backend_get(id) : NULL;
	if (!b) {
		count(DROP_NO_SERVICE, 2, 0);
		return sock_refuse(ECONNREFUSED);
	}
	socket_remember(ctx, cookie, p, svc, id, b, datagram);
	*ret = b;
	return SOCK_YES;
}

/* A UDP socket may be connected again: to a back end by its own name, this time. */
static __always_inline void socket_forget(struct bpf_sock_addr *ctx, const struct sock_peer *p)
{
	struct dp_socket_key key = socket_key(bpf_get_socket_cookie(ctx), ctx->protocol,
					      DP_SOCKET_BACK, &p->ip, p->port, p->family);

	bpf_map_delete_elem(&sockets, &key);
}

static __always_inline int sock4(struct bpf_sock_addr *ctx, int datagram)
{
	struct dp_backend *b = NULL;
	struct sock_peer p;
	int ret;

	peer4_read(ctx, &p);
	ret = socket_forth(ctx, &p, datagram, &b);
	if (b)
		peer4_write(ctx, &b->ip, b->port);
	else if (!datagram && ret == SOCK_YES && ctx->protocol == IPPROTO_UDP)
		socket_forget(ctx, &p);
	return ret;
}

static __always_inline int sock6(struct bpf_sock_addr *ctx, int datagram)
{
	struct dp_backend *b = NULL;
	struct sock_peer p;
	int ret;

	peer6_read(ctx, &p);
	ret = socket_forth(ctx, &p, datagram, &b);
	if (b)
		peer6_write(ctx, &b->ip, b->port, p.family);
	else if (!datagram && ret == SOCK_YES && ctx->protocol == IPPROTO_UDP)
		socket_forget(ctx, &p);
	return ret;
}

/* ---- back ------------------------------------------------------------------------------ */

static __always_inline struct dp_socket *socket_back(struct bpf_sock_addr *ctx,
						     const struct sock_peer *p)
{
	struct dp_socket_key key = socket_key(bpf_get_socket_cookie(ctx), ctx->protocol,
					      DP_SOCKET_BACK, &p->ip, p->port, p->family);

	return bpf_map_lookup_elem(&sockets, &key);
}

static __always_inline int sock4_back(struct bpf_sock_addr *ctx)
{
	struct dp_socket *s;
	struct sock_peer p;

	peer4_read(ctx, &p);
	s = socket_back(ctx, &p);
	if (s)
		peer4_write(ctx, &s->ip, s->port);
	return SOCK_YES;
}

static __always_inline int sock6_back(struct bpf_sock_addr *ctx)
{
	struct dp_socket *s;
	struct sock_peer p;

	peer6_read(ctx, &p);
	s = socket_back(ctx, &p);
	if (s)
		peer6_write(ctx, &s->ip, s->port, p.family);
	return SOCK_YES;
}

/* ---- bind, close ------------------------------------------------------------------------- */

/* Who binds to the address and port of a service on this host would wait for ever: what
 * comes there is the service's. Elsewhere it may be a back end that has the address. */
static __always_inline int sock_bound(struct bpf_sock *ctx, union dp_ip *ip, u8 family)
{
	struct dp_service_key key = {
		.port = bpf_htons(ctx->src_port),
		.proto = ctx->protocol,
		.family = family,
	};

	if (family == 6 && ip_is_mapped(ip)) {
		ip_unmap(ip);
		key.family = 4;
	}
	key.ip = *ip;
	if (!bpf_map_lookup_elem(&services, &key) || bpf_get_netns_cookie(ctx) != cfg_netns)
		return SOCK_YES;
	return sock_refuse(EADDRINUSE);
}

/* Keeps the map for sockets that are there. Of those that were not connected nobody
 * knows here whom they sent to: these are given up when the map is full. */
static __always_inline void sock_released(struct bpf_sock *ctx)
{
	struct dp_socket_key key = {
		.port = ctx->dst_port,
		.proto = ctx->protocol,
		.way = DP_SOCKET_BACK,
	};

	if (!key.port)
		return;
	if (ctx->family == AF_INET) {
		key.ip.v4 = ctx->dst_ip4;
		key.family = 4;
	} else {
		key.ip.w[0] = ctx->dst_ip6[0];
		key.ip.w[1] = ctx->dst_ip6[1];
		key.ip.w[2] = ctx->dst_ip6[2];
		key.ip.w[3] = ctx->dst_ip6[3];
		key.family = 6;
		if (ip_is_mapped(&key.ip)) {
			ip_unmap(&key.ip);
			key.family = 4;
		}
	}
	key.cookie = bpf_get_socket_cookie(ctx);
	bpf_map_delete_elem(&sockets, &key);
}
