/* SPDX-License-Identifier: BSD-2-Clause */
/** \file
 * Saved flows: lines of JSON as Hubble's exporter, "hubble observe -o json",
 * clite_flow_json() and the flow log write them, {"flow":{...},"node_name":"...",
 * "time":"..."}, or the flow alone.
 *
 * Member names are those of flow.proto, or in camel case; enums are names or numbers,
 * numbers may be texts. Members that struct clite_flow has no place for, or that are
 * not known, are skipped; an enum's unknown name is 0. What a line does not say is 0
 * or "", is_reply 2, trace_reason 5. The rule cookies, packets and bytes of an event,
 * and the address of a service, are in no line. Labels are as they stand there: one
 * without a value may have no '='.
 *
 * Lines are not trusted: they must be JSON (RFC 8259) in UTF-8, no longer than 1 MiB,
 * without NUL, with at most 32 objects and lists inside of each other.
 *
 * Thread class of this group: strict, per reader.
 */
#ifndef CILIUM_LITE_FLOW_FILE_H
#define CILIUM_LITE_FLOW_FILE_H

#include <cilium-lite/flow.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A reader of saved flows. Needs no context. @since 0.1 */
struct clite_flow_reader;

/** What a reader has seen. @since 0.1 */
struct clite_flow_reader_counts {
	size_t sz;
	uint64_t lines; /**< without empty ones */
	uint64_t flows; /**< of them */
	uint64_t others; /**< of them: JSON, but no flow (lost events, node states, agent events) */
	uint64_t wrong; /**< of them: those that were an error */
};

/** Make a reader.
 * \param ret free it with clite_flow_reader_free()
 * \retval -EINVAL ret is NULL
 * \retval -ENOMEM no memory
 * @since 0.1
 */
CLITE_API int clite_flow_reader_new(struct clite_flow_reader **ret);

/** Read one line.
 *
 * \param text  len bytes, without its newline, or with it
 * \param ret   borrowed, valid until the next call on reader
 * \retval -EINVAL a NULL argument
 * \retval -CLITE_EDOCUMENT not JSON, or a member with a wrong value:
 *	   clite_flow_reader_error() names the line and the member
 * \retval -E2BIG the line is too long
 * \retval -ENOMEM no memory
 * \return 1: a flow; 0: an empty line, or JSON that is no flow (it is counted)
 * @since 0.1
 */
CLITE_API int clite_flow_reader_line(struct clite_flow_reader *reader, const char *text, size_t len,
				     const struct clite_flow **ret);

/** Open a file for clite_flow_reader_next(), instead of what was read before; counts
 * begin anew. It may be compressed with gzip.
 * \retval -EINVAL a NULL argument
 * \retval -ENOMEM no memory
 * \retval others as open(2): clite_flow_reader_error() names the file
 * @since 0.1
 */
CLITE_API int clite_flow_reader_open(struct clite_flow_reader *reader, const char *path);

/** The same for a file, pipe or socket that is open.
 * \param fd    stays the caller's, and must stay open
 * \param name  for error texts; NULL: "line N" alone
 * @since 0.1
 */
CLITE_API int clite_flow_reader_fd(struct clite_flow_reader *reader, int fd, const char *name);

/** Read on up to the next flow. After an error of a line the next call goes on behind
 * that line.
 *
 * \param ret  borrowed, valid until the next call on reader
 * \retval -EINVAL a NULL argument, or nothing was opened
 * \retval -CLITE_EDOCUMENT, -E2BIG, -ENOMEM as clite_flow_reader_line()
 * \retval -EBADMSG a compressed file is damaged, or cut off
 * \retval -EAGAIN a descriptor that does not block has no more for now
 * \retval others as read(2)
 * \return 1: a flow; 0: the end
 * @since 0.1
 */
CLITE_API int clite_flow_reader_next(struct clite_flow_reader *reader,
				     const struct clite_flow **ret);

/** What was read up to now.
 * \param ret  its sz must be set
 * \retval -EINVAL a NULL argument or a wrong sz
 * @since 0.1
 */
CLITE_API int clite_flow_reader_counts(struct clite_flow_reader *reader,
				       struct clite_flow_reader_counts *ret);

/** Details of the last failure: "flows.json:3: flow.source.identity: ...". Borrowed, valid
 * until the next call on reader. Never NULL. @since 0.1 */
CLITE_API const char *clite_flow_reader_error(struct clite_flow_reader *reader);

/** Free a reader, and close what it opened. NULL is accepted.
 * \return NULL. @since 0.1 */
CLITE_API struct clite_flow_reader *clite_flow_reader_free(struct clite_flow_reader *reader);

#ifdef __cplusplus
}
#endif

#endif
