/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the daemon share: the event loop, its configuration, and the
 * parts that live on it. A part (health checks, service files, ...) has a start, a
 * reload, a stop, and an entry in struct clited; all of them run in one thread, and
 * none of them waits. */
#pragma once

#include <syslog.h>

#include <cilium-lite/cilium-lite.h>

#include "common/common.h"

#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))

/* ---- exit codes ----------------------------------------------------------- */

enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,	   /* of the command line, or of the configuration */
	EXIT_INSTANCE = 3, /* it is not there, or was destroyed */
};

/* ---- log.c ---------------------------------------------------------------- */

/* Level: LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO or LOG_DEBUG. */
void log_at(int level, const char *fmt, ...) _printf_(2, 3);
#define log_error(...) log_at(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_at(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

void log_begin(void);
bool log_set_level(const char *name);

/* ---- util.c --------------------------------------------------------------- */

uint64_t now_ms(void); /* CLOCK_MONOTONIC */

/* An address and port; no padding and unused bytes 0, so memcmp() compares them. */
struct place {
	uint8_t ip[16];
	uint16_t family; /* AF_INET, AF_INET6; 0: none */
	uint16_t port;	 /* host byte order */
};

#define PLACE_TEXT 64
bool parse_address(const char *text, struct place *ret);
/* "10.0.0.1:80", "[fd00::1]:80"; without a port if that is 0. Returns buf. */
const char *place_text(const struct place *p, char buf[PLACE_TEXT]);
int place_cmp(const struct place *a, const struct place *b);

/* ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT, with "/tcp", "/udp" or "/sctp" or without;
 * what is missing is 0. */
bool parse_frontend(const char *text, struct place *ret, uint32_t *ret_protocol);

/* The whole of a file that is not longer than max, ended with NUL. 0 or a negative errno. */
int read_file(const char *path, size_t max, char **ret, size_t *ret_len);

/* ---- loop.c --------------------------------------------------------------- */

/* A file descriptor that is waited for. */
struct watch {
	int fd; /* -1: none */
	void (*ready)(struct watch *w, uint32_t events);
};

struct timer {
	uint64_t due;
	size_t place; /* in the heap, from 1; 0: it is not set */
	void (*fire)(struct timer *t);
};

struct loop {
	int epoll;
	struct timer **heap; /* from 1 */
	size_t ntimers, cap;
	bool stop;
	int code;
};

int loop_init(struct loop *l);
void loop_clear(struct loop *l);
/* Until loop_stop(). Returns the exit code. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int code);

int loop_watch(struct loop *l, struct watch *w, uint32_t events);
int loop_change(struct loop *l, struct watch *w, uint32_t events);
void loop_forget(struct loop *l, struct watch *w);
/* Also closes the descriptor. */
void loop_unwatch(struct loop *l, struct watch *w);

void loop_timer(struct loop *l, struct timer *t, uint64_t due);
void loop_untimer(struct loop *l, struct timer *t);

/* ---- config.c ------------------------------------------------------------- */

enum check_kind { CHECK_TCP, CHECK_HTTP };

/* Which services: a front end, or a pattern of names. */
struct selector {
	struct place at; /* family 0: by name */
	uint32_t protocol;
	char *pattern;
};

struct check {
	struct selector *selectors;
	size_t nselectors;
	enum check_kind kind;
	uint32_t interval, timeout; /* ms */
	uint32_t rise, fall;
	uint16_t port; /* 0: the back end's */
	uint16_t status_first, status_last;
	char *path, *host;	   /* host NULL: the back end's address */
	struct place source4, source6; /* family 0: the kernel chooses */
	bool fail_open;
};

enum { LEVEL_MEDIUM, LEVEL_NONE, LEVELS }; /* of aggregation */

/* As struct clite_subscribe_opts has it. */
static inline uint32_t level_aggregation(uint32_t level)
{
	return (level == LEVEL_NONE ? CLITE_AGGREGATE_NONE : CLITE_AGGREGATE_MEDIUM) + 1;
}

/* Where Hubble's API is served, as struct clite_hubble_listen_opts has it. */
struct hubble_listener {
	char *address, *cert, *key, *client_ca, *server_name, *announce;
	uint32_t mode;
};

struct hubble_config {
	struct hubble_listener *listeners;
	size_t nlisteners;
	uint32_t flows, level;
};

/* A flow log. */
struct log_config {
	char *path; /* "-": standard output */
	uint64_t max_bytes; /* 0: the library's default, as the next three */
	uint32_t max_files, mode;
	bool compress;
	uint32_t level;
	struct clite_flow_mask *mask;  /* NULL: none */
	struct clite_filters *filters; /* NULL: none */
	char *text; /* as it is in the configuration: two that are the same read the same */
};

struct config {
	struct hubble_config hubble;
	struct check *checks;
	size_t nchecks;
	struct strings files;
	struct log_config *logs;
	size_t nlogs;
	char *node, *zone;
	struct strings node_addresses;
	char *metrics; /* where they are served; NULL: nowhere */
	struct strings hubble_metrics;
};

/* What is wrong with it is logged: NULL. */
struct config *config_load(const char *path);
void config_free(struct config *c);
/* The check of a service, NULL if it has none. */
const struct check *config_check(const struct config *c, const struct clite_service_info *svc);
/* Do two checks ask the same? Whatever services they are for. */
bool check_alike(const struct check *a, const struct check *b);

/* ---- the daemon ----------------------------------------------------------- */

struct health;
struct files;
struct metrics;
struct hubble;
struct flowlogs;

struct clited {
	struct loop loop;
	struct clite_ctx *ctx;
	struct config *config;
	struct health *health;
	struct files *files;
	struct metrics *metrics;
	struct hubble *hubble;
	struct flowlogs *flowlogs;
};

/* What a call on the instance returned, if it is not good: log it, and end if the
 * instance is gone. Returns whether it was good. */
bool clited_ok(struct clited *d, int r, const char *fmt, ...) _printf_(3, 4);
/* The revision of the instance's state, 0 if it cannot be told. */
uint64_t clited_revision(struct clited *d);

/* ---- health.c ------------------------------------------------------------- */

void health_start(struct clited *d);
/* The configuration will be another: checks that are the same there go on. */
void health_reload(struct clited *d, const struct config *next);
/* Look at the services anew, now. */
void health_sync(struct clited *d);
void health_stop(struct clited *d);

/* ---- probe.c -------------------------------------------------------------- */

/* One check of one back end. */
struct probe {
	struct watch watch;
	struct timer timer; /* ends it */
	struct loop *loop;
	const struct check *check;
	struct place at;
	bool asked;
	char answer[32]; /* the beginning of what it says */
	size_t len;
	void (*done)(struct probe *p, bool good, const char *text);
};

/* done() is called later, never from here. A negative errno if it could not be made
 * for a reason that lies here, not at the back end. */
int probe_start(struct probe *p);
void probe_cancel(struct probe *p);

/* ---- files.c -------------------------------------------------------------- */

void files_start(struct clited *d);
/* What files brought that are not in the next configuration goes; the others are read again. */
void files_reload(struct clited *d, const struct config *next);
void files_stop(struct clited *d);

/* ---- listen.c ------------------------------------------------------------- */

#define LISTEN_FORMS "ADDRESS:PORT, [ADDRESS]:PORT, :PORT or unix:/PATH"
/* Is it one of these? */
bool listen_valid(const char *text);
/* A socket that listens there, or a negative errno. share: beside another one that the
 * caller has at the same port, and has given SO_REUSEPORT. */
int listen_open(const char *text, bool share);
/* Remove the socket file, if it was one. */
void listen_forget(const char *text);

/* ---- metrics.c ------------------------------------------------------------ */

/* Serve metrics at an address, NULL: where the configuration says, if it does. False: it was
 * logged why that does not go. */
bool metrics_start(struct clited *d, const char *address);
/* At the address of the next configuration; false: it was logged why that does not go, and
 * all is as before. */
bool metrics_reload(struct clited *d, const struct config *next);
void metrics_stop(struct clited *d);

/* ---- hubble.c ------------------------------------------------------------- */

#define NO_HUBBLE "this clited was built without libcilium-lite-hubble"

/* Serve Hubble's API where the configuration says, and at an address, if that is not NULL.
 * False: it was logged why that does not go. */
bool hubble_start(struct clited *d, const char *address);
/* As the next configuration says; false: it was logged why that does not go, and all is as
 * before. */
bool hubble_reload(struct clited *d, const struct config *next);
void hubble_stop(struct clited *d);

/* ---- flow_metrics.c ------------------------------------------------------- */

struct clite_hubble_metrics;

/* Count these of the instance's flows; ctx NULL: only see whether they are right. A negative
 * errno, with what is wrong in errbuf. */
int flow_metrics_new(struct clite_ctx *ctx, const struct strings *names, char *errbuf, size_t size,
		     struct clite_hubble_metrics **ret);
void flow_metrics_free(struct clite_hubble_metrics *metrics); /* NULL is accepted */
/* Put them on a page; NULL: there are none. */
int flow_metrics_list(struct clite_hubble_metrics *metrics, struct clite_metric_page *page);

/* ---- flowlog.c ------------------------------------------------------------ */

/* Flow logs: the events of the instance go into files. */
void flowlogs_start(struct clited *d);
/* Those that are the same in the next configuration are opened anew, and lose nothing. */
void flowlogs_reload(struct clited *d, const struct config *next);
void flowlogs_stop(struct clited *d);

/* ---- system.c ------------------------------------------------------------- */

/* Tell systemd, if it started us: "READY=1". */
void notify(const char *fmt, ...) _printf_(1, 2);
/* How often it wants to hear from us, ms; 0: never. */
uint64_t notify_watchdog(void);
/* As many descriptors as we may have. */
size_t raise_file_limit(void);
/* Become a user, and keep the capabilities that an open instance needs. */
bool become_user(const char *user);
