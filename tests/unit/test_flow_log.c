/* SPDX-License-Identifier: BSD-2-Clause */
/* Field masks, and flow logs in a directory of the test's. */
#include <check.h>
#include <cilium-lite/flow_file.h>
#include <cilium-lite/flow_log.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "util/util.h"

#define LINE                                                                                        \
	"{\"flow\":{\"time\":\"2026-11-23T15:50:41Z\",\"verdict\":\"FORWARDED\",\"IP\":{"           \
	"\"source\":\"10.0.0.1\",\"destination\":\"10.0.0.2\",\"ipVersion\":\"IPv4\"},\"l4\":{"     \
	"\"TCP\":{\"source_port\":44010,\"destination_port\":80,\"flags\":{\"SYN\":true}}},"        \
	"\"source\":{\"ID\":12,\"identity\":256,\"namespace\":\"default\",\"labels\":"              \
	"[\"k8s:app=\\\"client\\\"\"],\"pod_name\":\"client\",\"workloads\":[{\"name\":\"w\"}]},"   \
	"\"destination\":{\"identity\":2},\"Type\":\"L3_L4\",\"node_name\":\"n1\",\"event_type\":{" \
	"\"type\":4},\"traffic_direction\":\"EGRESS\",\"trace_observation_point\":\"TO_ENDPOINT\"," \
	"\"is_reply\":false,\"Summary\":\"TCP Flags: SYN\",\"egress_allowed_by\":[{\"name\":\"p\"}" \
	"]},\"node_name\":\"n1\",\"time\":\"2026-11-23T15:50:41Z\"}"

static struct clite_flow_reader *reader;
static const struct clite_flow *flow;
static char dir[64], *path;

static void set_up(void)
{
	strcpy(dir, "/tmp/clite-log-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_gt(asprintf(&path, "%s/flows.log", dir), 0);
	ck_assert_int_eq(clite_flow_reader_new(&reader), 0);
	ck_assert_int_eq(clite_flow_reader_line(reader, LINE, strlen(LINE), &flow), 1);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in the directory, sorted; returns how many. */
static size_t names(char *ret[64])
{
	DIR *d = opendir(dir);
	struct dirent *e;
	size_t n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) && n < 64)
		if (*e->d_name != '.')
			ck_assert_int_gt(asprintf(&ret[n++], "%s/%s", dir, e->d_name), 0);
	closedir(d);
	qsort(ret, n, sizeof(*ret), by_name);
	return n;
}

static void tear_down(void)
{
	char *all[64];
	size_t n = names(all);

	for (size_t i = 0; i < n; i++) {
		unlink(all[i]);
		free(all[i]);
	}
	ck_assert_int_eq(rmdir(dir), 0);
	clite_flow_reader_free(reader);
	free(path);
}

/* ---- masks ------------------------------------------------------------------------- */

static const struct {
	const char *paths[6];
	const char *json; /* or what the error says */
	bool wrong;
} masks[] = {
	{ { "source.namespace" }, "{\"flow\":{\"source\":{\"namespace\":\"default\"}}}", false },
	{ { "time", "verdict" },
	  "{\"flow\":{\"time\":\"2026-11-23T15:50:41Z\",\"verdict\":\"FORWARDED\"},"
	  "\"time\":\"2026-11-23T15:50:41Z\"}",
	  false },
	{ { "node_name" }, "{\"flow\":{\"node_name\":\"n1\"},\"node_name\":\"n1\"}", false },
	{ { "source.pod_name", "source.labels", "destination", "source.pod_name" },
	  "{\"flow\":{\"source\":{\"labels\":[\"k8s:app=\\\"client\\\"\"],\"pod_name\":\"client\"},"
	  "\"destination\":{\"identity\":2}}}",
	  false },
	{ { "source.pod_name", "source", "source.ID" },
	  "{\"flow\":{\"source\":{\"ID\":12,\"identity\":256,\"namespace\":\"default\",\"labels\":"
	  "[\"k8s:app=\\\"client\\\"\"],\"pod_name\":\"client\",\"workloads\":[{\"name\":\"w\"}]}}}",
	  false },
	{ { "l4.TCP.destination_port", "l4.UDP", "IP.source" },
	  "{\"flow\":{\"IP\":{\"source\":\"10.0.0.1\"},\"l4\":{\"TCP\":{\"destination_port\":80}}}}",
	  false },
	{ { "l4.TCP.flags.SYN", "is_reply", "Summary" },
	  "{\"flow\":{\"l4\":{\"TCP\":{\"flags\":{\"SYN\":true}}},\"is_reply\":false,"
	  "\"Summary\":\"TCP Flags: SYN\"}}",
	  false },
	{ { "uuid", "l7.http.code", "ethernet" }, "{\"flow\":{}}", false },
	{ { "event_type.sub_type", "egress_allowed_by" },
	  "{\"flow\":{\"event_type\":{},\"egress_allowed_by\":[{\"name\":\"p\"}]}}",
	  false },

	{ { NULL }, "no path: at least one is wanted", true },
	{ { "sauce" }, "'sauce': a flow has no such member; there are: time, uuid,", true },
	{ { "" }, "'': a flow has no such member", true },
	{ { "time", "source.podName" },
	  "'source.podName': 'source' has no such part; there are: ID, identity, cluster_name, "
	  "namespace, labels, pod_name, workloads",
	  true },
	{ { "source." }, "'source.': 'source' has no such part", true },
	{ { ".source" }, "'.source': a flow has no such member", true },
	{ { "source.workloads.name" },
	  "'source.workloads.name': 'source.workloads' has no parts",
	  true },
	{ { "verdict.x" }, "'verdict.x': 'verdict' has no parts", true },
	{ { "flow.source" }, "'flow.source': a flow has no such member", true },
	{ { "a\nb" }, "'a?b': a flow has no such member", true },
};

START_TEST(masked)
{
	struct clite_flow_mask *mask = NULL;
	char buf[2048], error[1024] = "x";
	int r = clite_flow_mask_new(masks[_i].paths, error, sizeof(error), &mask);

	if (masks[_i].wrong) {
		ck_assert_int_eq(r, -EINVAL);
		ck_assert_ptr_null(mask);
		ck_assert_msg(!strncmp(error, masks[_i].json, strlen(masks[_i].json)), "%s", error);
		return;
	}
	ck_assert_msg(r == 0, "%s", error);
	ck_assert_str_eq(error, "");
	ck_assert_ptr_eq(clite_flow_mask_ref(mask), mask);
	ck_assert_ptr_null(clite_flow_mask_unref(mask));
	r = clite_flow_mask_json(mask, flow, buf, sizeof(buf));
	ck_assert_str_eq(buf, masks[_i].json);
	ck_assert_int_eq(r, (int)strlen(buf));
	ck_assert_int_eq(clite_flow_mask_json(mask, flow, NULL, 0), r);
	ck_assert_int_eq(clite_flow_mask_json(mask, NULL, buf, sizeof(buf)), -EINVAL);
	clite_flow_mask_unref(mask);
}
END_TEST

START_TEST(no_mask)
{
	struct clite_flow_mask *mask;
	char buf[2048];

	ck_assert_int_eq(clite_flow_mask_json(NULL, flow, buf, sizeof(buf)), (int)strlen(LINE));
	ck_assert_str_eq(buf, LINE);
	ck_assert_int_eq(clite_flow_mask_new(NULL, NULL, 0, &mask), -EINVAL);
	ck_assert_int_eq(clite_flow_mask_new((const char *[]){ "x", NULL }, NULL, 0, &mask),
			 -EINVAL);
	ck_assert_ptr_null(clite_flow_mask_unref(NULL));
	ck_assert_ptr_null(clite_flow_mask_ref(NULL));
}
END_TEST

/* ---- writing ------------------------------------------------------------------------- */

static struct clite_flow_log *open_log(struct clite_flow_log_opts *o)
{
	struct clite_flow_log *log = NULL;
	char error[512] = "";
	int r;

	o->sz = sizeof(*o);
	o->errbuf = error;
	o->errbuf_size = sizeof(error);
	r = clite_flow_log_open(path, o, &log);
	ck_assert_msg(r == 0, "%d: %s", r, error);
	return log;
}

/* Flows that tell their number by their time. */
static int write_flow(struct clite_flow_log *log, uint64_t n)
{
	struct clite_event e = *flow->event;
	struct clite_flow f = *flow;

	e.time = n * 1000000000;
	f.event = &e;
	return clite_flow_log_write(log, &f);
}

static void write_flows(struct clite_flow_log *log, uint64_t first, uint64_t n)
{
	for (uint64_t i = first; i < first + n; i++)
		ck_assert_int_eq(write_flow(log, i), 1);
}

static struct clite_flow_log_counts counts(struct clite_flow_log *log)
{
	struct clite_flow_log_counts c = { .sz = sizeof(c) };

	ck_assert_int_eq(clite_flow_log_counts(log, &c), 0);
	return c;
}

/* The numbers of the flows of a file follow on *next; returns how many. */
static uint64_t read_flows(const char *name, uint64_t *next)
{
	struct clite_flow_reader_counts c = { .sz = sizeof(c) };
	struct clite_flow_reader *r;
	const struct clite_flow *f;
	int n;

	ck_assert_int_eq(clite_flow_reader_new(&r), 0);
	ck_assert_int_eq(clite_flow_reader_open(r, name), 0);
	while ((n = clite_flow_reader_next(r, &f)) == 1)
		ck_assert_uint_eq(f->event->time, (*next)++ * 1000000000);
	ck_assert_msg(n == 0, "%s", clite_flow_reader_error(r));
	ck_assert_int_eq(clite_flow_reader_counts(r, &c), 0);
	clite_flow_reader_free(r);
	return c.flows;
}

static off_t size_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(name, &st), 0);
	return st.st_size;
}

START_TEST(lines_as_they_are)
{
	struct clite_flow_log *log = open_log(&(struct clite_flow_log_opts){});
	uint64_t next = 1;
	struct stat st;
	char buf[4096] = "";
	int fd;

	ck_assert_int_eq(clite_flow_log_write(log, flow), 1);
	ck_assert_int_eq(clite_flow_log_write(log, flow), 1);
	ck_assert_uint_eq(counts(log).buffered, 2);
	ck_assert_int_eq(size_of(path), 0);
	ck_assert_int_eq(clite_flow_log_flush(log), 0);
	ck_assert_uint_eq(counts(log).buffered, 0);
	ck_assert_uint_eq(counts(log).written, 2);
	ck_assert_uint_eq(counts(log).bytes, 2 * strlen(LINE "\n"));
	ck_assert_ptr_null(clite_flow_log_close(log));

	fd = open(path, O_RDONLY);
	ck_assert_int_eq(read(fd, buf, sizeof(buf) - 1), (ssize_t)strlen(LINE "\n" LINE "\n"));
	ck_assert_str_eq(buf, LINE "\n" LINE "\n");
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	close(fd);
	unlink(path);

	/* closing writes, too; and what is there is continued */
	for (int i = 0; i < 2; i++) {
		log = open_log(&(struct clite_flow_log_opts){ .mode = 0640 });
		write_flows(log, 1 + 3 * (uint64_t)i, 3);
		clite_flow_log_close(log);
	}
	ck_assert_uint_eq(read_flows(path, &next), 6);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0640);
}
END_TEST

START_TEST(lines_are_written_when_they_are_many)
{
	struct clite_flow_log *log = open_log(&(struct clite_flow_log_opts){});
	uint64_t n = 0, next = 0;

	while (!size_of(path))
		write_flows(log, n++, 1);
	ck_assert_uint_ge(n * strlen(LINE), 60000);
	ck_assert_uint_le(n * strlen(LINE), 70000);
	clite_flow_log_close(log);
	ck_assert_uint_eq(read_flows(path, &next), n);
}
END_TEST

START_TEST(mask_and_filters)
{
	const char *const paths[] = { "verdict", NULL }, *const other[] = { "10.0.0.9", NULL };
	struct clite_flow_filter filter = { .sz = sizeof(filter), .source_ip = other };
	struct clite_flow_log_opts o = {};
	struct clite_flow_log *log;
	char buf[256] = "";
	FILE *f;

	ck_assert_int_eq(clite_flow_mask_new(paths, NULL, 0, &o.mask), 0);
	ck_assert_int_eq(clite_filters_new(&o.filters), 0);
	ck_assert_int_eq(clite_filters_add(o.filters, CLITE_FILTER_DENY, &filter), 0);
	log = open_log(&o);
	clite_flow_mask_unref(o.mask);
	ck_assert_int_eq(clite_flow_log_write(log, flow), 1);
	/* the set may grow while it is in use by one thread */
	ck_assert_int_eq(clite_filters_add(o.filters, CLITE_FILTER_ALLOW, &filter), 0);
	ck_assert_int_eq(clite_flow_log_write(log, flow), 0);
	clite_filters_unref(o.filters);
	ck_assert_int_eq(clite_flow_log_write(log, flow), 0);
	ck_assert_uint_eq(counts(log).filtered, 2);
	ck_assert_uint_eq(counts(log).lost, 0);
	clite_flow_log_close(log);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(fgets(buf, sizeof(buf), f));
	ck_assert_str_eq(buf, "{\"flow\":{\"verdict\":\"FORWARDED\"}}\n");
	ck_assert_ptr_null(fgets(buf, sizeof(buf), f));
	fclose(f);
}
END_TEST

START_TEST(lost_events)
{
	struct clite_flow_log *log = open_log(&(struct clite_flow_log_opts){});
	char buf[256] = "";
	FILE *f;

	ck_assert_int_eq(clite_flow_log_lost(log, 1795449041000000000ull, 0), 0);
	ck_assert_int_eq(clite_flow_log_lost(log, 1795449041000000000ull, 7), 1);
	clite_flow_log_close(log);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(fgets(buf, sizeof(buf), f));
	fclose(f);
	ck_assert_ptr_nonnull(strstr(buf, "{\"lost_events\":{\"source\":\"PERF_EVENT_RING_BUFFER\","
					  "\"num_events_lost\":\"7\"},\"node_name\":\""));
	ck_assert_ptr_nonnull(strstr(buf, ",\"time\":\"2026-11-23T15:50:41Z\"}\n"));
}
END_TEST

START_TEST(standard_output)
{
	struct clite_flow_log_opts o = { .sz = sizeof(o), .max_bytes = 100 };
	int fds[2], saved = dup(STDOUT_FILENO);
	struct clite_flow_log *log;
	char buf[4096] = "";

	ck_assert_int_eq(pipe(fds), 0);
	dup2(fds[1], STDOUT_FILENO);
	ck_assert_int_eq(clite_flow_log_open("-", &o, &log), 0);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(fds[1]);
	ck_assert_int_eq(clite_flow_log_write(log, flow), 1);
	ck_assert_int_eq(clite_flow_log_reopen(log), 0);
	ck_assert_int_eq(clite_flow_log_write(log, flow), 1);
	clite_flow_log_close(log);
	ck_assert_int_eq(read(fds[0], buf, sizeof(buf) - 1), (ssize_t)strlen(LINE "\n" LINE "\n"));
	ck_assert_str_eq(buf, LINE "\n" LINE "\n");
	close(fds[0]);
}
END_TEST

/* ---- rotating ------------------------------------------------------------------------- */

/* Is it one of ours: DIR/flows-2026-01-31T12-00-00.000.log? */
static bool is_old(const char *name, const char *end)
{
	const char *p = name + strlen(dir) + strlen("/flows-");
	int n = 0;

	return !strncmp(name + strlen(dir), "/flows-", 7) &&
	       sscanf(p, "%*4d-%*2d-%*2dT%*2d-%*2d-%*2d.%*3d%n", &n) == 0 && n == 23 &&
	       !strcmp(p + n, end);
}

#define FLOWS 2000

/* Small files that follow each other, some of them within a millisecond; none is lost. */
START_TEST(rotating)
{
	struct clite_flow_log_opts o = {
		.max_bytes = 40000,
		.max_files = CLITE_FLOW_LOG_KEEP_ALL,
		.flags = _i ? CLITE_FLOW_LOG_COMPRESS : 0,
	};
	struct clite_flow_log *log = open_log(&o);
	uint64_t next = 0, found = 0;
	char *all[64];
	size_t n;

	write_flows(log, 0, FLOWS);
	ck_assert_int_ge(clite_flow_log_flush(log), 0);
	ck_assert_uint_gt(counts(log).rotated, 30);
	ck_assert_uint_eq(counts(log).errors, 0);
	ck_assert_uint_eq(counts(log).written, FLOWS);
	n = counts(log).rotated + 1;
	clite_flow_log_close(log);
	ck_assert_uint_eq(names(all), n);
	for (size_t i = 0; i < n; i++) {
		if (i < n - 1)
			ck_assert_msg(is_old(all[i], _i ? ".log.gz" : ".log"), "%s", all[i]);
		else
			ck_assert_str_eq(all[i], path);
		ck_assert_int_le(size_of(all[i]), 40000);
		found += read_flows(all[i], &next);
		free(all[i]);
	}
	ck_assert_uint_eq(found, FLOWS);
}
END_TEST

START_TEST(old_ones_go)
{
	static const char *const others[] = {
		"flows-2020-01-01T00-00-00.log",     "flows-2020-01-01T00-00-00.000.log.bak",
		"flows-2020-01-01T00-00-00.00x.log", "flow-2020-01-01T00-00-00.000.log",
		"flows-2020-01-01T00-00-00.000.txt",
	};
	struct clite_flow_log_opts o = { .max_bytes = 40000, .max_files = 3 };
	_cleanup_free_ char *old = NULL, *same = NULL;
	struct clite_flow_log *log;
	char *all[64];
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		_cleanup_free_ char *name = NULL;

		ck_assert_int_gt(asprintf(&name, "%s/%s", dir, others[i]), 0);
		close(open(name, O_WRONLY | O_CREAT, 0600));
	}
	ck_assert_int_gt(asprintf(&old, "%s/flows-2020-01-01T00-00-00.000.log", dir), 0);
	ck_assert_int_gt(asprintf(&same, "%s.gz", old), 0);
	close(open(old, O_WRONLY | O_CREAT, 0600));
	close(open(same, O_WRONLY | O_CREAT, 0600));

	log = open_log(&o);
	ck_assert_int_eq(access(old, F_OK), 0);
	write_flows(log, 0, 1000);
	ck_assert_uint_eq(counts(log).errors, 0);
	clite_flow_log_close(log);
	ck_assert_int_eq(access(old, F_OK), -1);
	ck_assert_int_eq(access(same, F_OK), -1);
	n = names(all);
	ck_assert_uint_eq(n, 3 + 1 + ARRAY_SIZE(others));
	for (size_t i = 0; i < n; i++)
		free(all[i]);
}
END_TEST

/* What a process that was killed has left. */
START_TEST(leftovers)
{
	struct clite_flow_log_opts o = { .flags = CLITE_FLOW_LOG_COMPRESS };
	_cleanup_free_ char *old = NULL, *part = NULL, *packed = NULL;
	struct clite_flow_log *log;
	uint64_t next = 1;
	char buf[8192] = "";
	FILE *f;

	ck_assert_int_gt(asprintf(&old, "%s/flows-2020-01-01T00-00-00.000.log", dir), 0);
	ck_assert_int_gt(asprintf(&part, "%s.gz.part", old), 0);
	ck_assert_int_gt(asprintf(&packed, "%s.gz", old), 0);
	f = fopen(old, "w");
	fputs("{\"flow\":{\"time\":\"1970-01-01T00:00:01Z\"}}\n", f);
	fclose(f);
	chmod(old, 0640);
	f = fopen(part, "w");
	fputs("half of it", f);
	fclose(f);
	f = fopen(path, "w");
	fputs(LINE "\n{\"flow\":{\"ver", f);
	fclose(f);

	log = open_log(&o);
	ck_assert_int_eq(clite_flow_log_write(log, flow), 1);
	while (clite_flow_log_flush(log) == 1)
		;
	ck_assert_int_eq(access(old, F_OK), -1);
	ck_assert_int_eq(access(part, F_OK), -1);
	ck_assert_uint_eq(read_flows(packed, &next), 1);
	clite_flow_log_close(log);
	f = fopen(path, "r");
	ck_assert_uint_gt(fread(buf, 1, sizeof(buf) - 1, f), 0);
	fclose(f);
	ck_assert_str_eq(buf, LINE "\n{\"flow\":{\"ver\n" LINE "\n");
}
END_TEST

START_TEST(a_line_longer_than_a_file)
{
	struct clite_flow_log *log = open_log(&(struct clite_flow_log_opts){ .max_bytes = 10 });
	uint64_t next = 0, found = 0;
	char *all[64];
	size_t n;

	write_flows(log, 0, 4);
	clite_flow_log_close(log);
	n = names(all);
	ck_assert_uint_eq(n, 4);
	for (size_t i = 0; i < n; i++) {
		found += read_flows(all[i], &next);
		free(all[i]);
	}
	ck_assert_uint_eq(found, 4);
}
END_TEST

/* As logrotate does: rename, then tell. */
START_TEST(opened_anew)
{
	struct clite_flow_log *log = open_log(&(struct clite_flow_log_opts){ .max_bytes = 3000 });
	_cleanup_free_ char *moved = NULL;
	uint64_t next = 0;

	ck_assert_int_gt(asprintf(&moved, "%s/flows.log.1", dir), 0);
	write_flows(log, 0, 2);
	ck_assert_int_eq(clite_flow_log_flush(log), 0);
	ck_assert_int_eq(rename(path, moved), 0);
	write_flows(log, 2, 1); /* before it is told, it goes into the one it has */
	ck_assert_int_eq(clite_flow_log_reopen(log), 0);
	write_flows(log, 3, 1);
	ck_assert_int_eq(clite_flow_log_flush(log), 0);
	ck_assert_uint_eq(read_flows(moved, &next), 3);
	ck_assert_uint_eq(read_flows(path, &next), 1);

	/* without being told: when it is full, nobody else's file is renamed */
	ck_assert_int_eq(rename(path, moved), 0);
	write_flows(log, 4, 5);
	ck_assert_int_eq(clite_flow_log_flush(log), 0);
	ck_assert_uint_eq(counts(log).rotated, 0);
	clite_flow_log_close(log);
	next = 3;
	ck_assert_uint_eq(read_flows(moved, &next) + read_flows(path, &next), 6);
}
END_TEST

/* The directory is gone when the file is full; then there is another one. */
START_TEST(another_directory)
{
	struct clite_flow_log *log = open_log(&(struct clite_flow_log_opts){ .max_bytes = 1000 });
	uint64_t next = 1;

	write_flows(log, 0, 1);
	ck_assert_int_eq(clite_flow_log_flush(log), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(dir), 0);
	write_flows(log, 1, 1);
	ck_assert_int_eq(clite_flow_log_flush(log), -ENOENT);
	ck_assert_ptr_nonnull(strstr(clite_flow_log_error(log), path));
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(clite_flow_log_flush(log), 0);
	clite_flow_log_close(log);
	ck_assert_uint_eq(read_flows(path, &next), 1);
}
END_TEST

/* ---- what goes wrong -------------------------------------------------------------------- */

static void limit_files(rlim_t bytes)
{
	struct rlimit l;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = bytes;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &l), 0);
}

/* A file that takes no more, as on a disk that is full: in the middle of a line. */
START_TEST(no_space)
{
	struct clite_flow_log *log = open_log(&(struct clite_flow_log_opts){});
	struct clite_flow_reader_counts c = { .sz = sizeof(c) };
	const struct clite_flow *f;
	uint64_t n = 0, kept, next = 0;
	int r;

	limit_files(100000);
	while (write_flow(log, n) == 1)
		ck_assert_uint_lt(++n, 10000);
	kept = n;
	ck_assert_int_eq(write_flow(log, n), -EFBIG);
	ck_assert_ptr_nonnull(strstr(clite_flow_log_error(log), "flows.log: File too large"));
	ck_assert_int_eq(clite_flow_log_flush(log), -EFBIG);
	ck_assert_uint_eq(counts(log).lost, 2);
	ck_assert_uint_gt(counts(log).errors, 0);
	ck_assert_uint_eq(counts(log).written + counts(log).buffered, kept);
	ck_assert_uint_gt(counts(log).buffered, 1000);
	/* only whole lines are there meanwhile */
	ck_assert_uint_eq(read_flows(path, &next), counts(log).written);
	ck_assert_int_ge(size_of(path), 99000);

	limit_files(RLIM_INFINITY);
	ck_assert_int_eq(clite_flow_log_flush(log), 0);
	ck_assert_uint_eq(counts(log).buffered, 0);
	ck_assert_uint_eq(counts(log).written, kept + 1); /* and the line that says it */
	ck_assert_int_eq(write_flow(log, kept), 1);
	clite_flow_log_close(log);

	ck_assert_int_eq(clite_flow_reader_open(reader, path), 0);
	for (n = 0; (r = clite_flow_reader_next(reader, &f)) == 1; n++)
		ck_assert_uint_eq(f->event->time, n * 1000000000);
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(n, kept + 1);
	ck_assert_int_eq(clite_flow_reader_counts(reader, &c), 0);
	ck_assert_uint_eq(c.others, 1);
}
END_TEST

static void open_fails(const char *name, int code, const char *text)
{
	char error[512] = "";
	struct clite_flow_log_opts o = { .sz = sizeof(o), .errbuf = error, .errbuf_size = 512 };
	struct clite_flow_log *log = NULL;
	_cleanup_free_ char *whole = NULL;

	ck_assert_int_gt(asprintf(&whole, "%s/%s", dir, name), 0);
	ck_assert_int_eq(clite_flow_log_open(whole, &o, &log), -code);
	ck_assert_ptr_null(log);
	ck_assert_msg(strstr(error, whole) && strstr(error, text), "%s", error);
}

START_TEST(what_is_no_log)
{
	_cleanup_free_ char *link = NULL, *fifo = NULL, *victim = NULL, *sub = NULL;

	ck_assert_int_gt(asprintf(&link, "%s/link", dir), 0);
	ck_assert_int_gt(asprintf(&victim, "%s/victim", dir), 0);
	ck_assert_int_gt(asprintf(&fifo, "%s/fifo", dir), 0);
	ck_assert_int_gt(asprintf(&sub, "%s/sub", dir), 0);
	ck_assert_int_eq(symlink(victim, link), 0);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ck_assert_int_eq(mkdir(sub, 0700), 0);
	open_fails("link", ELOOP, "is a symbolic link: the path of the file itself is wanted");
	ck_assert_int_eq(access(victim, F_OK), -1);
	open_fails("fifo", EINVAL, "is not a regular file");
	open_fails("sub", EISDIR, "Is a directory");
	open_fails("sub/", EISDIR, "a file is wanted, not a directory");
	open_fails("none/flows.log", ENOENT, "/none/': No such file or directory");
	open_fails("fifo/flows.log", ENOTDIR, "its directory");
	rmdir(sub);
}
END_TEST

START_TEST(bad_arguments)
{
	struct clite_flow_log_opts o = { .sz = sizeof(o) };
	struct clite_flow_log *log = NULL;
	struct clite_flow_log_counts c = { .sz = 1 };

	ck_assert_int_eq(clite_flow_log_open(NULL, NULL, &log), -EINVAL);
	ck_assert_int_eq(clite_flow_log_open("", NULL, &log), -EINVAL);
	ck_assert_int_eq(clite_flow_log_open(path, NULL, NULL), -EINVAL);
	o.flags = 2;
	ck_assert_int_eq(clite_flow_log_open(path, &o, &log), -EINVAL);
	o = (struct clite_flow_log_opts){ .sz = sizeof(o), .mode = 010000 };
	ck_assert_int_eq(clite_flow_log_open(path, &o, &log), -EINVAL);
	o = (struct clite_flow_log_opts){ .sz = sizeof(o), .reserved = 1 };
	ck_assert_int_eq(clite_flow_log_open(path, &o, &log), -EINVAL);
	o = (struct clite_flow_log_opts){ .sz = 3 };
	ck_assert_int_eq(clite_flow_log_open(path, &o, &log), -EINVAL);
	ck_assert_int_eq(access(path, F_OK), -1);

	ck_assert_int_eq(clite_flow_log_open(path, NULL, &log), 0);
	ck_assert_int_eq(clite_flow_log_write(log, NULL), -EINVAL);
	ck_assert_int_eq(clite_flow_log_write(NULL, flow), -EINVAL);
	ck_assert_int_eq(clite_flow_log_lost(NULL, 0, 1), -EINVAL);
	ck_assert_int_eq(clite_flow_log_flush(NULL), -EINVAL);
	ck_assert_int_eq(clite_flow_log_reopen(NULL), -EINVAL);
	ck_assert_int_eq(clite_flow_log_counts(log, &c), -EINVAL);
	ck_assert_str_eq(clite_flow_log_error(NULL), "");
	ck_assert_ptr_null(clite_flow_log_close(NULL));
	clite_flow_log_close(log);
}
END_TEST

START_TEST(a_child_writes_nothing)
{
	struct clite_flow_log *log = open_log(&(struct clite_flow_log_opts){});
	uint64_t next = 0;
	int status;
	pid_t pid;

	write_flows(log, 0, 1);
	pid = fork();
	if (!pid) {
		bool good = clite_flow_log_flush(log) == -ECHILD &&
			    clite_flow_log_reopen(log) == -ECHILD && !clite_flow_log_close(log);

		_exit(good ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	clite_flow_log_close(log);
	ck_assert_uint_eq(read_flows(path, &next), 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("flow_log");
	TCase *t = tcase_create("masks");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, masked, 0, ARRAY_SIZE(masks));
	tcase_add_test(t, no_mask);
	suite_add_tcase(s, t);

	t = tcase_create("logs");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, lines_as_they_are);
	tcase_add_test(t, lines_are_written_when_they_are_many);
	tcase_add_test(t, mask_and_filters);
	tcase_add_test(t, lost_events);
	tcase_add_test(t, standard_output);
	tcase_add_loop_test(t, rotating, 0, 2);
	tcase_add_test(t, old_ones_go);
	tcase_add_test(t, leftovers);
	tcase_add_test(t, a_line_longer_than_a_file);
	tcase_add_test(t, opened_anew);
	tcase_add_test(t, another_directory);
	tcase_add_test(t, no_space);
	tcase_add_test(t, what_is_no_log);
	tcase_add_test(t, bad_arguments);
	tcase_add_test(t, a_child_writes_nothing);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	int failed;

	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
