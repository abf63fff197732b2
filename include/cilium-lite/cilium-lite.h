/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * libcilium-lite: Cilium's eBPF datapath and Hubble's flows for any program.
 *
 * The umbrella header. Conventions that hold for every call:
 *
 * - A function returns 0 or a count, or a negative errno (or CLITE_E* code);
 *   clite_strerror() names all of them, clite_error() tells the details of the
 *   last failure on a context: what was wrong, where, and what would be right.
 * - Results come through \c ret_ or \c ret parameters, last, untouched on
 *   failure. A pointer to const that comes back is borrowed: it is valid until
 *   the next call on the same context. An owned object comes through
 *   \c struct \c clite_x \c **ret.
 * - A struct that the caller fills begins with \c sz: set it to its sizeof and
 *   the rest to zero. A shorter struct of an older header is accepted; bytes
 *   that this library does not know must be zero, else -EINVAL. A NULL options
 *   pointer means all defaults.
 * - A struct that the library hands out begins with \c sz too: it may grow at
 *   its end.
 * - Strings are UTF-8 and end with NUL. Addresses are text as inet_pton(3)
 *   reads it, with \c /prefix where that is said. Ports are in host byte order.
 *
 * Thread classes, named in each group of functions:
 * - \e strict: one thread at a time for each context (and all that belongs to
 *   it); different contexts are independent.
 * - \e safe: any thread at any time.
 *
 * After fork(2) only the process that opened a context may use it; in the child
 * every strict function returns -ECHILD, and clite_close() frees the memory and
 * nothing else.
 */
#ifndef CILIUM_LITE_H
#define CILIUM_LITE_H

#include <cilium-lite/capture.h>
#include <cilium-lite/cgroup.h>
#include <cilium-lite/conntrack.h>
#include <cilium-lite/context.h>
#include <cilium-lite/endpoint.h>
#include <cilium-lite/event.h>
#include <cilium-lite/filter.h>
#include <cilium-lite/flow.h>
#include <cilium-lite/flow_file.h>
#include <cilium-lite/flow_log.h>
#include <cilium-lite/flow_mask.h>
#include <cilium-lite/identity.h>
#include <cilium-lite/masquerade.h>
#include <cilium-lite/metric.h>
#include <cilium-lite/policy.h>
#include <cilium-lite/rehearse.h>
#include <cilium-lite/service.h>
#include <cilium-lite/trace.h>
#include <cilium-lite/version.h>

#endif
