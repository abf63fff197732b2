/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"

#include <cilium-lite/cilium-lite.h>
#include <getopt.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

struct options options = { .rounds = 11 };

static struct {
	size_t n;
	struct row v[ROWS];
} *rows;

/* ---- rows ------------------------------------------------------------------ */

static bool begins(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

static bool wanted(const char *name)
{
	if (!*options.wanted)
		return true;
	for (char **w = options.wanted; *w; w++)
		if (begins(name, *w))
			return true;
	return false;
}

/* Does any row of a group begin as somebody wants it? */
static bool group_wanted(const char *group)
{
	if (!*options.wanted)
		return true;
	for (char **w = options.wanted; *w; w++)
		if (begins(*w, group) || begins(group, *w))
			return true;
	return false;
}

struct row *row_add(const char *name, const char *unit, enum target kind, double target)
{
	struct row *row;

	if (!wanted(name))
		return NULL;
	NEED(rows->n < ROWS, "too many rows");
	row = &rows->v[rows->n++];
	snprintf(row->name, sizeof(row->name), "%s", name);
	snprintf(row->unit, sizeof(row->unit), "%s", unit);
	row->kind = kind;
	row->target = target;
	return row;
}

void row_sample(struct row *row, double v, double empty)
{
	if (!row || row->n == SAMPLES)
		return;
	row->v[row->n] = v;
	row->empty[row->n++] = empty;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct summary {
	double median, min, max;
};

static struct summary summarize(const double *v, size_t n)
{
	double sorted[SAMPLES] = {};

	memcpy(sorted, v, n * sizeof(*v));
	qsort(sorted, n, sizeof(*sorted), compare);
	return (struct summary){
		.median = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2,
		.min = sorted[0],
		.max = sorted[n - 1],
	};
}

/* ---- the table ------------------------------------------------------------- */

static void print_row(const struct row *row, FILE *csv)
{
	struct summary s = summarize(row->v, row->n), e = summarize(row->empty, row->n);
	double got = row->kind == ABOVE_EMPTY ? s.median - e.median : s.median;
	char range[40], empty[24] = "", above[24] = "", target[40] = "";

	if (!row->n)
		return;
	snprintf(range, sizeof(range), "[%.4g-%.4g]", s.min, s.max);
	if (!*row->unit) {
		snprintf(empty, sizeof(empty), "%.4g", e.median);
		snprintf(above, sizeof(above), "%.4g", s.median - e.median);
	}
	if (row->kind != NO_TARGET)
		snprintf(target, sizeof(target), "%s %g: %s",
			 row->kind == AT_LEAST ? ">=" : "<=", row->target,
			 (row->kind == AT_LEAST ? got >= row->target : got <= row->target) ?
				 "reached" :
				 "NOT REACHED");
	printf("%-28s %9.4g %-20s %-8s %7s %7s  %s\n", row->name, s.median, range,
	       *row->unit ? row->unit : "ns", empty, above, target);
	if (!csv)
		return;
	if (*row->unit)
		fprintf(csv, "%s,%.6g,%.6g,%.6g,%s\n", row->name, s.median, s.min, s.max, row->unit);
	else
		fprintf(csv, "%s,%.6g,%.6g,%.6g,%.6g\n", row->name, s.median, s.min, s.max,
			e.median);
}

static void print_table(FILE *csv)
{
	struct utsname u;

	uname(&u);
	printf("\nkernel %s, %ld CPUs, up to %zu rounds\n\n", u.release, sysconf(_SC_NPROCESSORS_ONLN),
	       options.rounds);
	printf("%-28s %9s %-20s %-8s %7s %7s  %s\n", "row", "median", "[min-max]", "unit", "empty",
	       "above", "target");
	for (size_t i = 0; i < rows->n; i++)
		print_row(&rows->v[i], csv);
}

/* ---- groups ---------------------------------------------------------------- */

static const struct group {
	const char *name;
	void (*run)(void);
} groups[] = {
	{ "packet/", bench_packets },
	{ "xdp/", bench_xdp },
	{ "net/", bench_network },
	{ "net-service/", bench_net_service },
	{ "event/", bench_events },
	{ "socket/", bench_sock },
	{ "control/", bench_control },
	{ "many/", bench_many },
	{ "scale/", bench_scale },
	{ "services/", bench_services },
#ifdef HAVE_HUBBLE
	{ "hubble/", bench_hubble },
#endif
};

/* The mount covers the machine's own file system only for this process. */
static void enter_namespaces(void)
{
	NEED(unshare(CLONE_NEWNET | CLONE_NEWNS) == 0, "unshare: %m: run this as root");
	NEED(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "mount: %m");
	NEED(mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700") == 0, "bpf file system: %m");
	sh("ip link set lo up");
	sh("cd /proc/sys/net && echo 1 >ipv4/ip_forward && echo 1 >ipv6/conf/all/forwarding");
}

static int run_group(const struct group *g)
{
	int status;
	pid_t pid;

	if (!group_wanted(g->name))
		return 0;
	fprintf(stderr, "%s\n", g->name);
	pid = fork_child();
	if (!pid) {
		enter_namespaces();
		g->run();
		exit(0);
	}
	waitpid(pid, &status, 0);
	if (status)
		fprintf(stderr, "bench: group %s did not get to its end\n", g->name);
	return status != 0;
}

static void usage(FILE *f)
{
	fputs("usage: bench [--quick] [--csv FILE] [ROW...]\n"
	      "  ROW: the beginning of a row's name, such as packet/ or net/udp\n",
	      f);
}

static FILE *options_parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "csv", required_argument, NULL, 'c' },
		{ "rss-of", required_argument, NULL, 'r' }, /* for control.c */
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	FILE *csv = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		switch (c) {
		case 'q':
			options.quick = true;
			options.rounds = 3;
			break;
		case 'c':
			csv = fopen(optarg, "we");
			NEED(csv, "%s: %m", optarg);
			break;
		case 'r':
			print_rss(optarg);
			exit(0);
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	options.wanted = argv + optind;
	return csv;
}

int main(int argc, char **argv)
{
	FILE *csv = options_parse(argc, argv);
	int failed = 0;

	rows = share(sizeof(*rows));
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		failed |= run_group(&groups[i]);
	print_table(csv);
	if (!rows->n)
		fprintf(stderr, "bench: no row has such a name\n");
	if (csv)
		NEED(fclose(csv) == 0, "csv: %m");
	return failed || !rows->n;
}
