/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Below the API: file descriptors of programs and maps, for test benches and for
 * tools of this version. No promise across versions: names, layout and number of
 * maps change; not part of the umbrella header.
 *
 * Thread class of this group: strict.
 */
#ifndef CILIUM_LITE_SYS_BPF_H
#define CILIUM_LITE_SYS_BPF_H

#include <cilium-lite/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** File descriptor of a program: "from_endpoint", "to_endpoint", "from_netdev", and
 * "from_xdp" when an uplink has been attached with XDP.
 * Borrowed: valid as long as the context.
 * \retval -EINVAL a NULL argument
 * \retval -ENOENT no program of that name
 * \retval -ECHILD, -ESTALE as for clite_status()
 * @since 0.1
 */
CLITE_API int clite_sys_prog_fd(struct clite_ctx *ctx, const char *name);

/** File descriptor of a map, such as "flow4". Borrowed: valid as long as the
 * context. Errors as clite_sys_prog_fd(). @since 0.1 */
CLITE_API int clite_sys_map_fd(struct clite_ctx *ctx, const char *name);

#ifdef __cplusplus
}
#endif

#endif
