/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Cgroups whose processes find services at the socket: a connect() to a service's address
 * goes straight to a back end, no packet is translated, and getpeername() still tells the
 * service. Datagrams that are sent without connect() go to a back end and their answers
 * come from the service; a socket stays with the back end that it got.
 *
 * It is about every socket that was made by a process in the cgroup or in one below it,
 * in whatever network namespace the process is; a socket stays with the cgroup that its
 * process was in when it was made. Sockets that were connected before are left alone.
 *
 * - A service without an active back end: connect() and sendto() fail with ECONNREFUSED,
 *   or, where the kernel cannot say so (before Linux 6.1), EPERM; counted as drop reason
 *   158.
 * - When a back end is removed, connected UDP sockets to it are ended, with ECONNABORTED
 *   (where the kernel has CONFIG_INET_DIAG_DESTROY; in other network namespaces than the
 *   caller's with CAP_SYS_ADMIN); unconnected ones get another one with their next
 *   datagram. TCP connections stay.
 * - In the network namespace of the process that attached the first cgroup nobody in these
 *   cgroups can bind to a service's address and port (EADDRINUSE, or EPERM); to the
 *   wildcard address they can.
 *
 * Thread class of this group: strict.
 */
#ifndef CILIUM_LITE_CGROUP_H
#define CILIUM_LITE_CGROUP_H

#include <cilium-lite/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Attach the programs of sockets to a cgroup. They stay until it is detached or removed,
 * or until the instance goes.
 *
 * \param path  directory of a cgroup (version 2)
 * \retval -EINVAL a NULL argument, or a directory that is no cgroup of version 2
 * \retval -ENOENT, -ENOTDIR, -EACCES there is no such directory, or it may not be opened
 * \retval -EEXIST it is attached
 * \retval -EPERM a program that allows no other is attached there or above
 * \retval -ENOSPC a map is full: the text names it and its size
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * \retval -EBUSY another process is changing the instance and did not end within 5 s
 * @since 0.1
 */
CLITE_API int clite_cgroup_attach(struct clite_ctx *ctx, const char *path);

/** Undo clite_cgroup_attach(). Connections stay; getpeername() tells their back ends then.
 *
 * \param path  as it was given, or another path to the same directory; of a cgroup that was
 *		removed, as clite_cgroup_list() tells it
 * \retval -ENOENT it is not attached
 * \retval -EINVAL a NULL argument
 * \retval -ECHILD, -ESTALE, -EBUSY as above
 * @since 0.1
 */
CLITE_API int clite_cgroup_detach(struct clite_ctx *ctx, const char *path);

/** A cgroup that is attached. @since 0.1 */
struct clite_cgroup_info {
	size_t sz;
	const char *path; /**< absolute, without symbolic links, as it was when it was attached */
	uint64_t id;	  /**< the kernel's number of it, never given to another */
};

/** Call cb for each cgroup that is attached, also if it was removed since.
 * \param cb  gets a borrowed struct, valid during the call; must not use ctx; a
 *	      negative return ends the walk and is returned
 * \retval -EINVAL ctx or cb is NULL
 * \retval -ECHILD, -ESTALE as above
 * \return number of cgroups
 * @since 0.1
 */
CLITE_API int clite_cgroup_list(struct clite_ctx *ctx,
				int (*cb)(const struct clite_cgroup_info *info, void *userdata),
				void *userdata);

#ifdef __cplusplus
}
#endif

#endif
