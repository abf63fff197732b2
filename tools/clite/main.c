/* SPDX-License-Identifier: BSD-2-Clause */
/* Words to a command, options to keys, failures to messages and exit codes. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* ---- messages ------------------------------------------------------------- */

static void complain_ap(const struct cli *cli, const char *fmt, va_list ap)
{
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		out_of_memory();
	fflush(stdout);
	fprintf(stderr, "clite: %s%s%s\n", cli->where, *cli->where ? ": " : "", text);
}

void complain(const struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain_ap(cli, fmt, ap);
	va_end(ap);
}

void usage_error(const struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain_ap(cli, fmt, ap);
	va_end(ap);
	fprintf(stderr, "try 'clite %s%s--help'\n", cli->where, *cli->where ? " " : "");
	exit(CLI_USAGE);
}

void out_of_memory(void)
{
	fputs("clite: out of memory\n", stderr);
	exit(CLI_FAILED);
}

int fail_text(const struct cli *cli, int err, const char *text)
{
	complain(cli, "%s", *text ? text : clite_strerror(err));
	return err == -ENOENT ? CLI_NOT_FOUND : CLI_FAILED;
}

int fail(const struct cli *cli, int err)
{
	return fail_text(cli, err, cli->ctx ? clite_error(cli->ctx) : "");
}

/* ---- standard streams ----------------------------------------------------- */

/* If one of the three is closed, the next file that is opened would take its
 * place, and messages would be written into it. */
static void occupy_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		/* The wrong direction: using it fails, as with a closed one. */
		if (open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			exit(CLI_FAILED);
	}
}

bool stdout_gone(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLERR);
}

/* Everything must have been written, or the exit code says so. A reader that
 * went away has seen enough: that is no failure. */
static int finish(const struct cli *cli, int code)
{
	int err = fflush(stdout) ? errno : 0;

	if ((!err && !ferror(stdout)) || err == EPIPE || stdout_gone())
		return code;
	complain(cli, "cannot write to standard output%s%s", err ? ": " : "",
		 err ? strerror(err) : "");
	return code ? code : CLI_FAILED;
}

/* ---- options -------------------------------------------------------------- */

static void add_options(struct cli *cli, const struct opt *opts, size_t *n, size_t *len)
{
	for (; opts && opts->key; opts++) {
		cli->longs[(*n)++] = (struct option){
			.name = opts->name,
			.has_arg = !opts->arg		? no_argument :
				   value_optional(opts) ? optional_argument :
							  required_argument,
			.val = opts->key,
		};
		if (opts->key > 255)
			continue;
		cli->shorts[(*len)++] = (char)opts->key;
		if (opts->arg)
			cli->shorts[(*len)++] = ':';
	}
}

static size_t count_options(const struct opt *opts)
{
	size_t n = 0;

	while (opts && opts[n].key)
		n++;
	return n;
}

/* Tables for getopt_long(): what every command has, and what this one has. With
 * no command yet, stop at each word. */
static void prepare_options(struct cli *cli)
{
	const struct opt *own = cli->command ? cli->command->opts : NULL;
	size_t max = count_options(global_opts) + count_options(own), n = 0, len = 0;

	cli->longs = xrealloc(cli->longs, max + 1, sizeof(*cli->longs));
	cli->shorts = xrealloc(cli->shorts, max * 2 + 3, 1);
	if (!cli->command)
		cli->shorts[len++] = '+';
	cli->shorts[len++] = ':';
	add_options(cli, global_opts, &n, &len);
	add_options(cli, own, &n, &len);
	cli->longs[n] = (struct option){ 0 };
	cli->shorts[len] = '\0';
}

static void print_version(const struct cli *cli)
{
	if (cli->json)
		printf("{\n  \"clite\": \"%d.%d.%d\",\n  \"library\": \"%s\"\n}\n",
		       CLITE_VERSION_MAJOR, CLITE_VERSION_MINOR, CLITE_VERSION_PATCH,
		       clite_version_string());
	else
		printf("clite %d.%d.%d, libcilium-lite %s\n", CLITE_VERSION_MAJOR,
		       CLITE_VERSION_MINOR, CLITE_VERSION_PATCH, clite_version_string());
}

static void print_help(const struct cli *cli)
{
	if (cli->command)
		help_command(cli->command);
	else if (*cli->where)
		help_group(cli->where);
	else
		help_all();
}

static void set_output(struct cli *cli, const char *format)
{
	if (!strcmp(format, "json"))
		cli->json = true;
	else if (!strcmp(format, "text"))
		cli->json = false;
	else
		usage_error(cli, "--output: '%s' is not a format: json or text", format);
}

/* An option that every command has. Returns whether key was one. */
static bool global_option(struct cli *cli, int key)
{
	switch (key) {
	case 'i':
		cli->instance = optarg;
		return true;
	case OPT_BPFFS:
		cli->bpffs = optarg;
		return true;
	case 'o':
		set_output(cli, optarg);
		return true;
	case OPT_NO_HEADERS:
		cli->no_headers = true;
		return true;
	case 'h':
		print_help(cli);
		exit(finish(cli, CLI_OK));
	case OPT_VERSION:
		print_version(cli);
		exit(finish(cli, CLI_OK));
	default:
		return false;
	}
}

static const struct option *option_of_key(const struct cli *cli, int key)
{
	for (const struct option *o = cli->longs; o->name; o++) {
		if (o->val == key)
			return o;
	}
	return NULL;
}

static _Noreturn void unknown_long_option(const struct cli *cli, const char *typed)
{
	_cleanup_free_ char *name = strndup(typed + 2, strcspn(typed + 2, "="));
	const char *near = NULL;

	if (!name)
		out_of_memory();
	if (cli->command)
		near = suggest_option(cli->command->opts, name);
	if (!near)
		near = suggest_option(global_opts, name);
	if (near)
		usage_error(cli, "unknown option --%s; did you mean --%s?", name, near);
	usage_error(cli, "unknown option --%s%s", name,
		    cli->command ? "" : " (options of a command come after its words)");
}

/* What getopt_long() means by '?' and ':' is in optopt: 0 for an unknown long
 * option, the key of a known one that has or lacks a value, else a letter. */
static _Noreturn void bad_option(const struct cli *cli, int what)
{
	const char *typed = cli->argv[optind - 1];
	const struct option *known = option_of_key(cli, optopt);

	if (what == ':' && !strncmp(typed, "--", 2))
		usage_error(cli, "option %s needs a value", typed);
	if (what == ':')
		usage_error(cli, "option -%c needs a value", optopt);
	if (!optopt)
		unknown_long_option(cli, typed);
	if (known)
		usage_error(cli, "option --%s takes no value", known->name);
	usage_error(cli, "unknown option -%c%s", optopt,
		    cli->command ? "" : " (options of a command come after its words)");
}

static void check_arguments(struct cli *cli)
{
	const struct command *c = cli->command;

	cli->args = cli->argv + optind;
	cli->nargs = cli->argc - optind;
	if (cli->nargs < c->min_args)
		usage_error(cli, "an argument is missing: clite %s %s", c->path, c->args);
	if (c->max_args >= 0 && cli->nargs > c->max_args)
		usage_error(cli, "'%s' is one argument too many", cli->args[c->max_args]);
}

/* A command may have an option of every command in its own way. */
static bool own_option(const struct cli *cli, int key)
{
	const struct opt *o = cli->command->opts;

	while (o && o->key && o->key != key)
		o++;
	return o && o->key;
}

int cli_option(struct cli *cli)
{
	for (;;) {
		int key = getopt_long(cli->argc, cli->argv, cli->shorts, cli->longs, NULL);

		if (key == -1) {
			check_arguments(cli);
			return 0;
		}
		if (key == '?' || key == ':')
			bad_option(cli, key);
		cli->value = optarg;
		if (own_option(cli, key) || !global_option(cli, key))
			return key;
	}
}

void cli_arguments(struct cli *cli)
{
	while (cli_option(cli))
		;
}

/* ---- words ---------------------------------------------------------------- */

static _Noreturn void bad_word(const struct cli *cli, const char *word)
{
	_cleanup_free_ char *near = suggest_word(cli->where, word);

	if (near)
		usage_error(cli, "unknown command '%s'; did you mean '%s'?", word, near);
	usage_error(cli, "unknown command '%s'", word);
}

/* One more word: to a group, or to the command. */
static void read_word(struct cli *cli, char **where, const char *word)
{
	char *path = xprintf("%s%s%s", *where, **where ? " " : "", word);
	const struct command *command = command_find(path);

	if (!command && !group_find(path)) {
		free(path);
		bad_word(cli, word);
	}
	free(*where);
	*where = path;
	cli->command = command;
	cli->where = command ? command->path : path;
}

static _Noreturn void no_command(struct cli *cli)
{
	if (*cli->where)
		usage_error(cli, "a command is missing after '%s'", cli->where);
	usage_error(cli, "a command is missing");
}

/* Read options of every command and words until the command is known. */
static void read_command(struct cli *cli, char **where)
{
	prepare_options(cli);
	while (!cli->command) {
		int key = getopt_long(cli->argc, cli->argv, cli->shorts, cli->longs, NULL);

		if (key == '?' || key == ':')
			bad_option(cli, key);
		if (key != -1) {
			global_option(cli, key);
			continue;
		}
		if (optind >= cli->argc)
			no_command(cli);
		read_word(cli, where, cli->argv[optind++]);
	}
	/* The rest is the command's, and getopt begins anew with it. */
	cli->argc -= optind - 1;
	cli->argv += optind - 1;
	optind = 0;
	prepare_options(cli);
}

/* ---- the instance --------------------------------------------------------- */

int cli_open(struct cli *cli)
{
	char errbuf[ERRBUF_SIZE] = "";
	struct clite_open_opts opts = {
		.sz = sizeof(opts),
		.bpffs = cli->bpffs,
		.errbuf = errbuf,
		.errbuf_size = sizeof(errbuf),
	};
	int r = clite_open(cli->instance, &opts, &cli->ctx);

	if (r == -ENOENT) {
		complain(cli, "no instance '%s': make it with 'clite instance create %s'",
			 cli->instance, cli->instance);
		return CLI_NOT_FOUND;
	}
	return r < 0 ? fail_text(cli, r, errbuf) : CLI_OK;
}

int cmd_version(struct cli *cli)
{
	cli_arguments(cli);
	print_version(cli);
	return CLI_OK;
}

int cmd_help(struct cli *cli)
{
	struct cli asked = *cli;
	_cleanup_free_ char *where = xstrdup("");

	cli_arguments(cli);
	asked.command = NULL;
	asked.where = where;
	for (int i = 0; i < cli->nargs && !asked.command; i++)
		read_word(&asked, &where, cli->args[i]);
	print_help(&asked);
	return CLI_OK;
}

int main(int argc, char **argv)
{
	const char *instance = getenv("CLITE_INSTANCE");
	_cleanup_free_ char *where = xstrdup("");
	struct cli cli = {
		.instance = instance && *instance ? instance : "default",
		.where = where,
		.argc = argc,
		.argv = argv,
	};
	int code;

	occupy_standard_fds();
	/* A reader that goes away is an error of write(), not a sudden death. */
	signal(SIGPIPE, SIG_IGN);
	opterr = 0;
	read_command(&cli, &where);
	code = cli.command->run(&cli);
	clite_close(cli.ctx);
	free(cli.longs);
	free(cli.shorts);
	return finish(&cli, code);
}
