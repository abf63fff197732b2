/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets that are connected to a back end which is gone. A process that waits for a
 * datagram from there would wait for ever, so UDP sockets are ended (SOCK_DESTROY: their
 * process gets ECONNABORTED). Only those that the map of sockets says went through a
 * service, and that are still connected to that back end. The caller has waited for the
 * programs that may have chosen it; a connect() that was interrupted right behind its
 * program, and for all of that time, is missed.
 *
 * Netlink sees one network namespace. A socket's own is found by its cookie, among those
 * of all processes, and entered by a thread that ends with that: no thread of the
 * program's is ever anywhere else. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "datapath/state.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct orphan {
	uint64_t netns;
	struct dp_socket_key key;
};

struct orphans {
	struct state *st;
	struct orphan *v; /* by netns and cookie */
	size_t n, cap;
	size_t left; /* whose namespace was not found yet */
	bool *seen;  /* per orphan: its namespace was */
};

static int by_netns(const void *a, const void *b)
{
	const struct orphan *x = a, *y = b;

	if (x->netns != y->netns)
		return x->netns < y->netns ? -1 : 1;
	return x->key.cookie < y->key.cookie ? -1 : x->key.cookie > y->key.cookie;
}

static bool backend_there(const struct dp *dp, const struct dp_socket_key *k,
			  const struct dp_socket *s)
{
	const struct dp_backend *b;

	if (s->backend >= dp->map_max[MAP_BACKENDS])
		return false;
	b = &dp->backends[s->backend];
	return b->service == s->service && b->port == k->port && b->family == k->family &&
	       !memcmp(b->ip.b, k->ip.b, sizeof(b->ip.b));
}

static int collect(const void *key, const void *value, void *data)
{
	const struct dp_socket_key *k = key;
	const struct dp_socket *s = value;
	struct orphans *o = data;

	if (k->proto != IPPROTO_UDP || k->way != DP_SOCKET_BACK || backend_there(o->st->dp, k, s))
		return 0;
	if (!array_grow(&o->v, &o->cap, o->n))
		return -ENOMEM;
	o->v[o->n++] = (struct orphan){ s->netns, *k };
	return 0;
}

/* ---- sock_diag ------------------------------------------------------------------------ */

struct diag_request {
	struct nlmsghdr h;
	struct inet_diag_req_v2 r;
};

static int diag_send(int fd, uint16_t type, uint16_t flags, const struct inet_diag_req_v2 *r)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct diag_request q = { .r = *r };

	q.h.nlmsg_len = sizeof(q);
	q.h.nlmsg_type = type;
	q.h.nlmsg_flags = NLM_F_REQUEST | flags;
	return sendto(fd, &q, sizeof(q), 0, (void *)&kernel, sizeof(kernel)) < 0 ? -errno : 0;
}

static ssize_t diag_receive(int fd, void *buf, size_t size)
{
	ssize_t n;

	do
		n = recv(fd, buf, size, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int diag_destroy(int fd, const struct inet_diag_msg *m)
{
	struct inet_diag_req_v2 r = {
		.sdiag_family = m->idiag_family,
		.sdiag_protocol = IPPROTO_UDP,
		.id = m->id,
	};
	char buf[1024];
	ssize_t n;
	int ret = diag_send(fd, SOCK_DESTROY, NLM_F_ACK, &r);

	if (ret)
		return ret;
	n = diag_receive(fd, buf, sizeof(buf));
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)))
		return n < 0 ? (int)n : -EBADMSG;
	return ((struct nlmsgerr *)NLMSG_DATA((struct nlmsghdr *)buf))->error;
}

/* Is it still connected to that back end? */
static bool connected_to(const struct inet_diag_msg *m, const struct dp_socket_key *k)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *dst = (const uint8_t *)m->id.idiag_dst;

	if (m->id.idiag_dport != k->port)
		return false;
	if (k->family == 6)
		return m->idiag_family == AF_INET6 && !memcmp(dst, k->ip.b, 16);
	if (m->idiag_family == AF_INET6)
		return !memcmp(dst, mapped, 12) && !memcmp(dst + 12, k->ip.b, 4);
	return !memcmp(dst, k->ip.b, 4);
}

/* One message of a dump: end what is an orphan of this namespace. */
static void diag_look(const struct orphans *o, uint64_t netns, int destroy_fd,
		      const struct inet_diag_msg *m)
{
	struct orphan like = { .netns = netns };
	const struct orphan *at;

	memcpy(&like.key.cookie, m->id.idiag_cookie, sizeof(like.key.cookie));
	at = bsearch(&like, o->v, o->n, sizeof(*o->v), by_netns);
	if (!at)
		return;
	/* A socket may have been connected to several, one after the other. */
	while (at > o->v && !by_netns(at - 1, &like))
		at--;
	for (; at < o->v + o->n && !by_netns(at, &like); at++)
		if (connected_to(m, &at->key)) {
			diag_destroy(destroy_fd, m);
			return;
		}
}

#define DIAG_BUF 32768

/* All connected UDP sockets of a family: *fds is for the dump and for what is ended. */
static int diag_walk(const struct orphans *o, uint64_t netns, const int fds[2], uint8_t family)
{
	struct inet_diag_req_v2 r = {
		.sdiag_family = family,
		.sdiag_protocol = IPPROTO_UDP,
		.idiag_states = 1 << TCP_ESTABLISHED,
	};
	_cleanup_free_ char *buf = malloc(DIAG_BUF);
	int ret = buf ? diag_send(fds[0], SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &r) : -ENOMEM;

	while (!ret) {
		ssize_t n = diag_receive(fds[0], buf, DIAG_BUF);
		struct nlmsghdr *h = (void *)buf;

		if (n <= 0)
			return n ? (int)n : -EBADMSG;
		for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
			if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
				diag_look(o, netns, fds[1], NLMSG_DATA(h));
		}
	}
	return ret;
}

/* ---- network namespaces ----------------------------------------------------------------- */

/* End the orphans of the namespace that this thread is in. */
static void end_here(struct orphans *o)
{
	_cleanup_close_ int dump = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	_cleanup_close_ int destroy =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	const int fds[2] = { dump, destroy };
	socklen_t len = sizeof(uint64_t);
	uint64_t netns;
	bool any = false;

	if (dump < 0 || destroy < 0 ||
	    getsockopt(dump, SOL_SOCKET, SO_NETNS_COOKIE, &netns, &len) < 0)
		return;
	for (size_t i = 0; i < o->n; i++)
		if (o->v[i].netns == netns && !o->seen[i]) {
			o->seen[i] = any = true;
			o->left--;
		}
	if (!any)
		return;
	diag_walk(o, netns, fds, AF_INET);
	diag_walk(o, netns, fds, AF_INET6);
}

struct inodes {
	ino_t *v;
	size_t n, cap;
};

static bool inode_new(struct inodes *known, ino_t ino)
{
	for (size_t i = 0; i < known->n; i++)
		if (known->v[i] == ino)
			return false;
	if (!array_grow(&known->v, &known->cap, known->n))
		return false;
	known->v[known->n++] = ino;
	return true;
}

static void visit(struct orphans *o, struct inodes *known, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && inode_new(known, st.st_ino) && !setns(fd, CLONE_NEWNET))
		end_here(o);
}

/* Each entry of a directory, as "DIR/NAME/REST", until all are found. */
static void visit_all(struct orphans *o, struct inodes *known, const char *dir, const char *rest)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && o->left && (e = readdir(d))) {
		_cleanup_free_ char *path = NULL;

		/* Of /proc the processes; names of namespaces may be anything but hidden. */
		if (e->d_name[0] == '.' || (*rest && (e->d_name[0] < '0' || e->d_name[0] > '9')))
			continue;
		if (asprintf(&path, "%s/%s%s", dir, e->d_name, rest) >= 0)
			visit(o, known, path);
		else
			path = NULL;
	}
	if (d)
		closedir(d);
}

static void *elsewhere(void *data)
{
	struct orphans *o = data;
	struct inodes known = {};

	visit_all(o, &known, "/proc", "/ns/net");
	/* Those that no process is in. */
	visit_all(o, &known, "/run/netns", "");
	free(known.v);
	return NULL;
}

static void end_all(struct orphans *o)
{
	sigset_t all, old;
	pthread_t thread;

	end_here(o);
	if (!o->left)
		return;
	/* No signal is handled by a thread that the program does not know of. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (!pthread_create(&thread, NULL, elsewhere, o))
		pthread_join(thread, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void sockets_end(struct state *st)
{
	struct orphans o = { .st = st };

	if (!dp_map_find(st->dp, MAP_SOCKETS) || dp_walk(st->dp, MAP_SOCKETS, collect, &o) < 0 ||
	    !o.n) {
		free(o.v);
		return;
	}
	qsort(o.v, o.n, sizeof(*o.v), by_netns);
	o.seen = calloc(o.n, sizeof(*o.seen));
	o.left = o.n;
	if (o.seen)
		end_all(&o);
	/* Answers that still come are no service's any more. */
	for (size_t i = 0; i < o.n; i++)
		dp_delete(st->dp, MAP_SOCKETS, &o.v[i].key);
	free(o.seen);
	free(o.v);
}

/* ---- can the kernel? ---------------------------------------------------------------------- */

/* A socket that is not there cannot be ended, but what cannot be done at all is told
 * first. */
bool dp_have_destroy(void)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct inet_diag_msg nobody = {
		.idiag_family = AF_INET,
		.id.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE },
	};
	struct orphans none = {};
	const int fds[2] = { fd, -1 };

	/* Without udp_diag a walk fails, with ENOENT too. */
	return fd >= 0 && !diag_walk(&none, 0, fds, AF_INET) &&
	       diag_destroy(fd, &nobody) == -ENOENT;
}
