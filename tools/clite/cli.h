/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the command line tool share: the command table, options,
 * messages and numbers. */
#pragma once

#include <cilium-lite/cilium-lite.h>

#include "common/common.h"

/* Room for what the library says about a failure without a context. */
#define ERRBUF_SIZE 4096

/* ---- exit codes ----------------------------------------------------------- */

enum {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_FOUND = 3,
};

/* ---- the command table (commands.c) --------------------------------------- */

struct cli;

/* An option: key is its letter, or a number above 255 if it has none. */
struct opt {
	int key;
	const char *name;
	const char *arg; /* what help calls its value; NULL: it takes none; "[=...]": it may */
	const char *help;
};

static inline bool value_optional(const struct opt *opt)
{
	return opt->arg && opt->arg[0] == '[' && opt->arg[1] == '=';
}

struct command {
	const char *path;    /* "bpf ct list" */
	const char *alias;   /* another last word, or NULL */
	const char *args;    /* "DEVICE [OPTION]..." */
	const char *purpose; /* one line */
	const char *details; /* paragraphs for --help, or NULL */
	const char *example;
	const struct opt *opts; /* ends with key 0; NULL: none */
	int min_args;
	int max_args; /* -1: any number */
	int (*run)(struct cli *cli);
};

/* A word that groups commands: "bpf", "bpf ct". */
struct group {
	const char *path;
	const char *purpose;
};

extern const struct command commands[];
extern const size_t ncommands;
extern const struct group groups[];
extern const size_t ngroups;

extern const struct opt observe_opts[]; /* observe_options.c */

/* Keys of options without a letter. */
enum {
	OPT_BPFFS = 256,
	OPT_VERSION,
	OPT_NO_HEADERS,
	OPT_VERBOSE,
	OPT_FEATURES,
	OPT_FLOWS4,
	OPT_FLOWS6,
	OPT_ENDPOINTS,
	OPT_SERVICES,
	OPT_MAX_BACKENDS,
	OPT_POLICIES,
	OPT_CLSACT,
	OPT_NEIGH,
	OPT_IF_ABSENT,
	OPT_CONFIG,
	OPT_IPV4,
	OPT_IPV6,
	OPT_NAME,
	OPT_MAC,
	OPT_PORT,
	OPT_ID,
	OPT_ALL,
	OPT_FRONTEND,
	OPT_BACKENDS,
	OPT_WEIGHTS,
	OPT_STATES,
	OPT_ALGORITHM,
	OPT_AFFINITY,
	OPT_SOURCES,
	OPT_SOURCES_DENY,
	OPT_EXTERNAL_LOCAL,
	OPT_INTERNAL_LOCAL,
	OPT_EXCLUDE,
	OPT_REJECT,
	OPT_KIND,
	OPT_SOURCE,
	OPT_NODE,
	OPT_ZONE,
	OPT_NODE_ADDRESS,
	OPT_SNAT_PORTS,
	OPT_FROM,
	OPT_TO,
	OPT_RELATED,
	OPT_NO_AGGREGATION,
	OPT_FLOWS,
	OPT_FOR,
	OPT_DELETE,
	OPT_COMMIT,
	OPT_HITS,
	OPT_SRC,
	OPT_DST,
	OPT_DPORT,
	OPT_SPORT,
	OPT_BACKEND,
	OPT_PACKET,
	OPT_LIVE,
	OPT_MODE,
	OPT_XDP,
	OPT_XDP_GENERIC,
	OPT_DSR,
	OPT_NEW_FLOWS,
	OPT_GUE_PORT,
	OPT_SOURCE4,
	OPT_SOURCE6,
	OPT_DROPS,
	OPT_PROTOCOL,
	OPT_ALLOWLIST,
	OPT_DENYLIST,
	OPT_SNAPLEN,
	OPT_MAX_BYTES,
	OPT_MAX_FILES,
	OPT_PROMETHEUS,
};

int cmd_status(struct cli *cli);
int cmd_instance_create(struct cli *cli);
int cmd_instance_delete(struct cli *cli);
int cmd_instance_list(struct cli *cli);
int cmd_masquerade(struct cli *cli);
int cmd_device_attach(struct cli *cli);
int cmd_device_detach(struct cli *cli);
int cmd_cgroup_attach(struct cli *cli);
int cmd_cgroup_detach(struct cli *cli);
int cmd_cgroup_list(struct cli *cli);
int cmd_endpoint_list(struct cli *cli);
int cmd_endpoint_get(struct cli *cli);
int cmd_endpoint_add(struct cli *cli);
int cmd_endpoint_delete(struct cli *cli);
int cmd_identity_list(struct cli *cli);
int cmd_identity_get(struct cli *cli);
int cmd_policy_import(struct cli *cli);
int cmd_policy_delete(struct cli *cli);
int cmd_policy_get(struct cli *cli);
int cmd_policy_validate(struct cli *cli);
int cmd_policy_rehearse(struct cli *cli);
int cmd_policy_trace(struct cli *cli);
int cmd_config(struct cli *cli);
int cmd_endpoint_config(struct cli *cli);
int cmd_service_list(struct cli *cli);
int cmd_service_get(struct cli *cli);
int cmd_service_update(struct cli *cli);
int cmd_service_import(struct cli *cli);
int cmd_service_delete(struct cli *cli);
int cmd_bpf_lb_list(struct cli *cli);
int cmd_bpf_ct_list(struct cli *cli);
int cmd_bpf_ct_flush(struct cli *cli);
int cmd_bpf_policy_get(struct cli *cli);
int cmd_bpf_ipcache_list(struct cli *cli);
int cmd_bpf_ipcache_get(struct cli *cli);
int cmd_bpf_ipcache_set(struct cli *cli);
int cmd_bpf_ipcache_delete(struct cli *cli);
int cmd_bpf_metrics_list(struct cli *cli);
int cmd_metrics_list(struct cli *cli);
int cmd_monitor(struct cli *cli);
int cmd_capture(struct cli *cli);
int cmd_observe(struct cli *cli);
int cmd_hubble_status(struct cli *cli);
int cmd_hubble_list_nodes(struct cli *cli);
int cmd_hubble_list_namespaces(struct cli *cli);
int cmd_hubble_watch_peers(struct cli *cli);
int cmd_version(struct cli *cli);
int cmd_help(struct cli *cli);

/* ---- one run -------------------------------------------------------------- */

struct option;

struct cli {
	const char *instance; /* -i, CLITE_INSTANCE or "default" */
	const char *bpffs;    /* --bpffs or NULL */
	bool json;	      /* -o json */
	bool no_headers;
	const struct command *command; /* NULL until its words are read */
	const char *where;	       /* the words as far as they are read: "endpoint", "" */

	const char *value; /* of the option that cli_option() returned */
	char **args;	   /* what is not an option; ends with NULL */
	int nargs;

	struct clite_ctx *ctx;

	/* main.c */
	int argc;
	char **argv;
	struct option *longs;
	char *shorts;
};

/* Next option of the command: its key, or 0 when args and nargs are set and
 * their number is right. What is wrong with an option ends the process. */
int cli_option(struct cli *cli);
/* For a command without options of its own. */
void cli_arguments(struct cli *cli);

/* Open the instance, which must be there, into cli->ctx. Returns an exit code. */
int cli_open(struct cli *cli);

/* ---- messages ------------------------------------------------------------- */

/* "clite: endpoint add: ..." on standard error. */
void complain(const struct cli *cli, const char *fmt, ...) _printf_(2, 3);
/* Say what the library says about a failure; returns the exit code for it. */
int fail(const struct cli *cli, int err);
/* The same with the details that a function wrote to a buffer ("": none). */
int fail_text(const struct cli *cli, int err, const char *text);
/* Complain, point to --help, exit with CLI_USAGE. */
_Noreturn void usage_error(const struct cli *cli, const char *fmt, ...) _printf_(2, 3);
/* Standard output is a pipe that nobody reads any more. */
bool stdout_gone(void);

/* ---- help (help.c) -------------------------------------------------------- */

extern const struct opt global_opts[];

void help_command(const struct command *command);
void help_group(const char *path);
void help_all(void);
/* The group or command of these words, or NULL. An exact path only. */
const struct command *command_find(const char *path);
const struct group *group_find(const char *path);
/* Word number n of a path (from 0), as an allocated string; NULL: it has fewer. */
char *path_word(const char *path, size_t n);
/* Path begins with the words of prefix ("" begins every path). */
bool path_below(const char *path, const char *prefix);
/* The word after prefix that is nearest to what was typed, or NULL (free it). */
char *suggest_word(const char *prefix, const char *typed);
const char *suggest_option(const struct opt *opts, const char *typed);

/* ---- values --------------------------------------------------------------- */

/* A number that the user typed: ends the process if it is wrong. */
uint32_t number_arg(const struct cli *cli, const char *what, const char *text, uint32_t min,
		    uint32_t max);

/* "TCP"; a number for what has no name; "ANY" for 0. The result is free()d. */
char *protocol_text(uint32_t protocol);
bool parse_protocol(const char *text, uint32_t *ret);
/* "10.0.0.1:80/TCP", "[fd00::1]:80/TCP"; without "/..." if protocol is NULL. */
char *address_text(const char *address, uint32_t port, const char *protocol);

/* A file that was read, or standard input: its name for messages, and its bytes. */
struct document {
	const char *name;
	char *text;
	size_t len;
};
void document_clear(struct document *doc);
#define _cleanup_document_ _cleanup_(document_clear)
/* path: "-" is standard input. 0 or a negative errno. */
int document_load(const char *path, struct document *doc);

/* ---- waiting for events (follow.c) ------------------------------------------ */

/* Take SIGINT, SIGTERM and SIGHUP as wishes to end; an exit code. */
int follow_begin(struct cli *cli);
/* Was it ended by somebody who wants the process gone (SIGTERM, SIGHUP), not by Ctrl-C? */
bool follow_was_killed(void);
void follow_end(void);
/* Dispatch events until one of these comes, for so many seconds (0: any time), or until
 * a callback says no. 0, or a negative errno; -ECANCELED: nobody reads any more. */
int follow(struct cli *cli, uint32_t seconds);
/* The same of something else that tells events: a descriptor, and what to do with them. */
struct source {
	int fd; /* or a negative errno */
	int (*dispatch)(void *userdata, uint32_t budget);
	void *userdata;
};
int follow_source(const struct source *source, uint32_t seconds);
/* Was it a signal? */
bool follow_stopped(void);

/* ---- shared between commands ---------------------------------------------- */

/* A setting of an instance, "KEY=VALUE"; what is wrong is a usage error. */
void config_arg(const struct cli *cli, const char *text, struct clite_config *config);

/* Number of the endpoint that an argument means: a number, name, address or
 * device. Returns an exit code. (endpoint.c) */
int endpoint_number(struct cli *cli, const char *what, uint32_t *ret);
/* "default/web[0]"; a text also if it is not there any more. (policy.c) */
char *rule_text(struct cli *cli, uint32_t cookie, bool details);
const char *direction_text(uint32_t direction);
const char *backend_state_text(uint32_t state);
/* "Policy denied", "Success" for 0; the number in words if it has no text. */
char *reason_text(uint32_t reason);
