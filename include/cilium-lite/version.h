/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Version of the library, error codes, and what every header needs.
 */
#ifndef CILIUM_LITE_VERSION_H
#define CILIUM_LITE_VERSION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Marks what the shared library exports. */
#if defined(__GNUC__)
#define CLITE_API __attribute__((visibility("default")))
#else
#define CLITE_API
#endif

/** \name Version of the headers; of the library: clite_version().
 * @{ */
#define CLITE_VERSION_MAJOR 0
#define CLITE_VERSION_MINOR 1
#define CLITE_VERSION_PATCH 0
/** @} */

/** \name Library codes: what errno has no word for. Returned negated.
 * @{ */
#define CLITE_EDOCUMENT 4501	/**< a document cannot be read; the text names file, line and field */
#define CLITE_EUNSUPPORTED 4502 /**< a field or kernel feature that this build cannot serve */
#define CLITE_ELAYOUT 4503	/**< the instance was made by a library with another map layout */
#define CLITE_ENOBPFFS 4504	/**< no bpf file system where the instance should be pinned */
/** @} */

/** Version of the library that is loaded.
 *
 * Thread class: safe. Never fails.
 *
 * \return major << 16 | minor << 8 | patch.
 * @since 0.1
 */
CLITE_API uint32_t clite_version(void);

/** Version of the library as text, such as "0.1.0".
 *
 * Thread class: safe. Never fails. The string is static.
 *
 * @since 0.1
 */
CLITE_API const char *clite_version_string(void);

/** Text for a code that a function of this library returned.
 *
 * Thread class: safe. Never fails.
 *
 * \param err  a return value (negative) or a code (positive)
 * \return a static string: "Success" for 0, "Unknown error" for a code that is
 *	   neither the library's nor the C library's
 * @since 0.1
 */
CLITE_API const char *clite_strerror(int err);

#ifdef __cplusplus
}
#endif

#endif
