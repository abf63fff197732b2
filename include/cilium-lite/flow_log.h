/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Flow logs: rotating files of flows, lines of JSON as Hubble's exporter writes them
 * (clite_flow_reader_open() reads them).
 *
 * A file that would grow beyond its size is renamed as Hubble's are: flows.log to
 * flows-2026-01-31T12-00-00.000.log (UTC), with ".gz" behind it when it is compressed;
 * the oldest of these are removed. A file that is there already is continued.
 *
 * Lines are collected, and written when there are 64 KiB of them, or when
 * clite_flow_log_flush() is called: how long they wait is up to the caller's timer.
 * Only whole lines are written. What the file does not take (no space, an I/O error) is
 * kept, up to 1 MiB, and tried again with the next flows and each flush; what does not
 * find room there is counted, and the log says so itself with a line of "lost_events".
 * A process that is killed loses what it has not written, and may leave one line cut
 * off, if it was killed in write(2); the next log that is opened there begins a new line.
 *
 * One log writes a file. Nothing is synced to the disk.
 *
 * Thread class of this group: strict, per log. After fork(2) only clite_flow_log_close()
 * may be called in the child; it writes nothing there.
 */
#ifndef CILIUM_LITE_FLOW_LOG_H
#define CILIUM_LITE_FLOW_LOG_H

#include <cilium-lite/filter.h>
#include <cilium-lite/flow_mask.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A flow log. Needs no context. @since 0.1 */
struct clite_flow_log;

/** \name Flags of a flow log.
 * @{ */
/** Rotated files are compressed with gzip, in pieces of 128 KiB as lines are written. */
#define CLITE_FLOW_LOG_COMPRESS (1u << 0)
/** @} */

/** \name How many old files stay.
 * @{ */
#define CLITE_FLOW_LOG_KEEP_ALL 0xffffffffu
/** @} */

/** Options of a flow log. @since 0.1 */
struct clite_flow_log_opts {
	size_t sz;	    /**< sizeof(struct clite_flow_log_opts) */
	uint64_t max_bytes; /**< of a file; a longer line stands alone in one; 0: 10 MiB */
	uint32_t max_files; /**< old ones that stay beside it; 0: 5 */
	uint32_t mode;	    /**< permissions of new files, less the umask; 0: 0600 */
	uint32_t flags;	    /**< CLITE_FLOW_LOG_* */
	uint32_t reserved;  /**< must be 0 */
	struct clite_flow_mask *mask;  /**< a reference is taken; NULL: all members are written */
	struct clite_filters *filters; /**< a reference is taken; NULL: all flows are written */
	char *errbuf; /**< gets details of a failure of clite_flow_log_open(); may be NULL */
	size_t errbuf_size;
};

/** What a log has done. @since 0.1 */
struct clite_flow_log_counts {
	size_t sz;
	uint64_t written;  /**< lines that are in a file */
	uint64_t buffered; /**< lines that are not yet */
	uint64_t filtered; /**< flows that the filters did not let pass */
	uint64_t lost;	   /**< flows that found no room */
	uint64_t bytes;	   /**< that were written */
	uint64_t errors;   /**< failed tries to write, rotate, remove or compress */
	uint64_t rotated;  /**< files */
};

/** Open a log.
 *
 * \param path  the file, or "-": standard output, which is not rotated. Its directory must
 *		be there; it must not be a symbolic link, and a regular file
 * \param opts  may be NULL
 * \param ret   end it with clite_flow_log_close()
 * \retval -EINVAL a NULL argument or a bad option, or not a regular file
 * \retval -ENOENT the directory is not there
 * \retval -ELOOP a symbolic link
 * \retval -ENOMEM no memory
 * \retval others as open(2)
 * @since 0.1
 */
CLITE_API int clite_flow_log_open(const char *path, const struct clite_flow_log_opts *opts,
				  struct clite_flow_log **ret);

/** Write a flow, if the filters let it pass.
 * \retval -EINVAL a NULL argument, or a flow, event or end with another sz
 * \retval others the flow is lost, and counted: nothing more finds room, since the file
 *	   takes nothing for that reason, as write(2), open(2) and rename(2)
 * \return 1: it is written, or will be; 0: filtered out
 * @since 0.1
 */
CLITE_API int clite_flow_log_write(struct clite_flow_log *log, const struct clite_flow *flow);

/** Write a line of "lost_events" as Hubble does: flows did not reach the log.
 * \param time  ns since 1970
 * \param n     how many; 0: nothing is written
 * \retval others as clite_flow_log_write()
 * \return 1, or 0 if n is 0
 * @since 0.1
 */
CLITE_API int clite_flow_log_lost(struct clite_flow_log *log, uint64_t time, uint64_t n);

/** Write what was collected, and go on with compressing.
 * \retval -EINVAL log is NULL
 * \retval -ECHILD called in a child after fork(2)
 * \retval others as write(2), open(2) and rename(2): nothing is lost, call it again later
 * \return 0: all is written; 1: as well, and there is more to compress
 * @since 0.1
 */
CLITE_API int clite_flow_log_flush(struct clite_flow_log *log);

/** Open the file anew, as after somebody else has renamed it: what was collected is
 * written to the old one before.
 * \retval -EINVAL, -ECHILD as above
 * \retval others as clite_flow_log_open(): the old file is written on
 * @since 0.1
 */
CLITE_API int clite_flow_log_reopen(struct clite_flow_log *log);

/** What it has done up to now.
 * \param ret  its sz must be set
 * \retval -EINVAL a NULL argument or a wrong sz
 * @since 0.1
 */
CLITE_API int clite_flow_log_counts(struct clite_flow_log *log, struct clite_flow_log_counts *ret);

/** Details of the last failure: "/var/log/flows.log: No space left on device". Borrowed,
 * valid until the next call on log. Never NULL. @since 0.1 */
CLITE_API const char *clite_flow_log_error(struct clite_flow_log *log);

/** Write what was collected, finish compressing, and close. What cannot be written now is
 * lost: clite_flow_log_flush() tells. NULL is accepted.
 * \return NULL. @since 0.1 */
CLITE_API struct clite_flow_log *clite_flow_log_close(struct clite_flow_log *log);

#ifdef __cplusplus
}
#endif

#endif
