/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a line of a saved flow, and as a file of lines: refused, skipped, or a
 * flow that can be written, with a mask or not, and read again. Link it with
 * -fsanitize=fuzzer, or with replay.c. */
#include <cilium-lite/flow_file.h>
#include <cilium-lite/version.h>
#include <stdio.h>
#include <sys/mman.h>

#include "model/flow.h"
#include "model/flow_mask.h"
#include "model/flow_parse.h"

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_flow_file: %s\n", what);
	abort();
}

/* What was written is read as a flow that is written the same. */
static void check_again(const struct buf *json)
{
	_cleanup_buf_ struct buf line = {}, again = {};
	struct flow_parsed p = {};
	struct errtext err = {};

	buf_put(&line, json->data, json->len);
	check(flow_parse(&p, line.data, line.len, &err) == 1, "what was written is not read");
	flow_json(&p.flow, &again);
	check(again.len == json->len && !memcmp(again.data, json->data, json->len),
	      "what was read is not what was written");
	flow_parsed_clear(&p);
	err_clear(&err);
}

/* What a mask leaves is a flow, too. */
static void check_masked(const struct clite_flow *f)
{
	static const char *const paths[] = { "source.labels", "l4.TCP.flags.SYN",  "Summary",
					     "destination",   "egress_allowed_by", "time" };
	_cleanup_buf_ struct buf json = {}, spare = {};
	struct mask_node *mask = NULL;
	struct flow_parsed p = {};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		check(!mask_add(&mask, paths[i], NULL), "a path");
	flow_json_masked(f, mask, &spare, &json);
	check(!json.failed, "it cannot be masked");
	check(flow_parse(&p, json.data, json.len, NULL) == 1, "what is masked is not read");
	check(!strcmp(p.flow.summary, f->summary) && p.event.time == f->event->time,
	      "a member is another one");
	check(!*p.flow.node && !p.event.family, "a member that is masked is there");
	flow_parsed_clear(&p);
	mask_free(mask);
}

static void check_flow(const struct clite_flow *f)
{
	_cleanup_buf_ struct buf json = {}, text = {};

	check(flow_valid(f), "a flow that is none");
	check(f->event->source_file != NULL, "source_file");
	flow_text(f, &text);
	flow_json(f, &json);
	check(!text.failed && !json.failed, "no memory");
	check_again(&json);
	check_masked(f);
}

static void check_line(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf line = {};
	struct flow_parsed p = {};
	struct errtext err = {};
	int r;

	buf_put(&line, data, size);
	r = flow_parse(&p, line.data, line.len, &err);
	check(r == 1 || r == 0 || r == -CLITE_EDOCUMENT, "an unknown return");
	check((r < 0) == (err.text != NULL), "an error and its text");
	if (r == 1)
		check_flow(&p.flow);
	flow_parsed_clear(&p);
	err_clear(&err);
}

static void check_file(const uint8_t *data, size_t size)
{
	struct clite_flow_reader_counts c = { .sz = sizeof(c) };
	_cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct clite_flow_reader *reader = NULL;
	const struct clite_flow *f;
	int r;

	check(fd >= 0 && write(fd, data, size) == (ssize_t)size && !lseek(fd, 0, SEEK_SET),
	      "no memory");
	check(clite_flow_reader_new(&reader) == 0, "no reader");
	check(clite_flow_reader_fd(reader, fd, "fuzz") == 0, "no file");
	while ((r = clite_flow_reader_next(reader, &f)) && r != -EBADMSG) {
		check(r == 1 || *clite_flow_reader_error(reader), "an error without a text");
		if (r == 1)
			check_flow(f);
	}
	check(clite_flow_reader_counts(reader, &c) == 0, "counts");
	check(c.lines == c.flows + c.others + c.wrong, "lines that are not counted");
	clite_flow_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_line(data, size);
	check_file(data, size);
	return 0;
}
