/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Metrics: figures of an instance under the names that Cilium's have, so that dashboards made
 * for Cilium show them, and the text in which Prometheus reads them.
 *
 * What Cilium has no figure for is called "cilium_lite_...". Counters begin when the instance
 * is made and never go back.
 *
 * Thread class of this group: clite_metric_list() is strict; pages belong to no context, and
 * are strict for each page.
 */
#ifndef CILIUM_LITE_METRIC_H
#define CILIUM_LITE_METRIC_H

#include <cilium-lite/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** \name Types of metrics.
 * @{ */
#define CLITE_METRIC_COUNTER 1u /**< only grows */
#define CLITE_METRIC_GAUGE 2u
/** @} */

/** What tells metrics of one name apart. @since 0.1 */
struct clite_metric_label {
	const char *name;  /**< [a-zA-Z_][a-zA-Z0-9_]*, not beginning with "__" */
	const char *value; /**< any text */
};

/** One figure. @since 0.1 */
struct clite_metric {
	size_t sz;			   /**< sizeof(struct clite_metric) */
	const char *name;		   /**< such as "cilium_drop_count_total": [a-zA-Z_:][a-zA-Z0-9_:]* */
	const char *help;		   /**< what it is, in a line; the same for all of a name */
	const struct clite_metric_label *labels; /**< by name; NULL if there are none */
	uint32_t nlabels;
	uint32_t type;			   /**< CLITE_METRIC_*; the same for all of a name */
	double value;			   /**< packets, bytes, or a plain number, as the name says */
};

/** Call cb for each metric of an instance: those of a name come one after the other.
 *
 * How full large maps are (cilium_bpf_map_pressure) is estimated by a sample, within 3 %. All
 * together takes 3 ms, with full flow tables 12 ms; 20 ms if they could hold millions of entries.
 *
 * \param cb  gets a borrowed struct, valid during the call; must not use ctx;
 *	      a negative return ends the walk and is returned
 * \retval -EINVAL ctx or cb is NULL
 * \retval -ECHILD called in a child after fork(2)
 * \retval -ESTALE the instance was destroyed
 * \retval -ENOMEM no memory
 * \return number of metrics
 * @since 0.1
 */
CLITE_API int clite_metric_list(struct clite_ctx *ctx,
				int (*cb)(const struct clite_metric *metric, void *userdata),
				void *userdata);

/** Metrics of one or of several sources on their way to being a text. @since 0.1 */
struct clite_metric_page;

/** Make an empty page.
 * \param ret free it with clite_metric_page_free()
 * \retval -EINVAL ret is NULL
 * \retval -ENOMEM no memory
 * @since 0.1
 */
CLITE_API int clite_metric_page_new(struct clite_metric_page **ret);

/** Free a page with its text. NULL is accepted. \return NULL. @since 0.1 */
CLITE_API struct clite_metric_page *clite_metric_page_free(struct clite_metric_page *page);

/** Put a metric on a page. What it points to is copied. Can be the callback of
 * clite_metric_list(), with the page as its userdata.
 *
 * \param page  a struct clite_metric_page *
 * \retval -EINVAL a NULL argument, another sz, a name that is none, a type that is none, a
 *	   label twice, or type or help are not those that others of its name have
 * \retval -ENOMEM no memory
 * @since 0.1
 */
CLITE_API int clite_metric_page_add(const struct clite_metric *metric, void *page);

/** The page in the text format of Prometheus, version 0.0.4 (UTF-8; bytes that are not become
 * U+FFFD): by name, then by labels.
 *
 * \param ret      borrowed, valid until the next call on page; ends with NUL
 * \param ret_len  its length, bytes; may be NULL
 * \retval -EINVAL a NULL argument
 * \retval -EEXIST two metrics have the same name and labels
 * \retval -ENOMEM no memory
 * @since 0.1
 */
CLITE_API int clite_metric_page_text(struct clite_metric_page *page, const char **ret,
				     size_t *ret_len);

#ifdef __cplusplus
}
#endif

#endif
