/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Captures: files of packets in the pcapng format, which Wireshark, tshark and tcpdump
 * read. Each packet has what the datapath did to it as its comment: verdict, drop reason
 * and the rule that decided.
 *
 * Subscribe with capture_bytes, find the names of each event (clite_flow_resolve()), and
 * write it.
 *
 * Thread class of this group: strict per capture. It needs no context.
 */
#ifndef CILIUM_LITE_CAPTURE_H
#define CILIUM_LITE_CAPTURE_H

#include <cilium-lite/flow.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A file of packets. @since 0.1 */
struct clite_capture;

/** How to write it. @since 0.1 */
struct clite_capture_opts {
	size_t sz;	    /**< sizeof(struct clite_capture_opts) */
	uint64_t max_bytes; /**< of a file, from 4096; 0: no limit */
	uint32_t max_files; /**< that are kept, up to 1000: FILE, which is written, FILE.1, the one before it, FILE.2...; 0 and 1: FILE alone, which ends when it is full */
	uint32_t snaplen;   /**< what capture_bytes is, for the file's readers; 0: 16384 */
	const char *application; /**< who writes it; NULL: the library */
};

/** Make a file, which only its owner may read, or empty the one that is there.
 *
 * \param path not a symbolic link
 * \param ret  drop it with clite_capture_free()
 * \retval -EINVAL a bad argument or option
 * \retval -ENOMEM no memory
 * \retval -ELOOP path is a symbolic link
 * \return 0, or what open(2) or write(2) say
 * @since 0.1
 */
CLITE_API int clite_capture_open(const char *path, const struct clite_capture_opts *opts,
				 struct clite_capture **ret);

/** The same on an open file, pipe or socket, of which a duplicate is used. max_files must
 * be 0 or 1. Writing waits for whoever reads a pipe. @since 0.1 */
CLITE_API int clite_capture_open_fd(int fd, const struct clite_capture_opts *opts,
				    struct clite_capture **ret);

/** Write a packet. What is not there of it (packet_bytes 0) is written as not captured.
 * After a failure the file ends with the packet before, if it is a regular one.
 *
 * \retval -EINVAL a NULL argument, a flow, event or end with another sz, or the capture is
 *	   finished
 * \retval -EFBIG the file is full (max_bytes), and there is to be only one
 * \retval -EINTR a signal came while nobody read the pipe
 * \retval -ENOMEM no memory
 * \return 0, or what write(2) says
 * @since 0.1
 */
CLITE_API int clite_capture_write(struct clite_capture *capture, const struct clite_flow *flow);

/** Say how many packets could not be captured up to now, as clite_subscription_lost()
 * tells: it will stand at the file's end.
 * \retval -EINVAL capture is NULL
 * @since 0.1
 */
CLITE_API int clite_capture_lost(struct clite_capture *capture, uint64_t lost);

/** Write the file's end: for each interface how many packets there are, and how many were
 * lost. Nothing can be written afterwards.
 * \retval -EINVAL capture is NULL
 * \return 0, also if it is finished, or what write(2) says
 * @since 0.1
 */
CLITE_API int clite_capture_finish(struct clite_capture *capture);

/** Finish and close it. NULL is accepted. \return NULL. @since 0.1 */
CLITE_API struct clite_capture *clite_capture_free(struct clite_capture *capture);

#ifdef __cplusplus
}
#endif

#endif
