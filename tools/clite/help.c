/* SPDX-License-Identifier: BSD-2-Clause */
/* --help in all its forms, and guesses at what was meant. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

const struct opt global_opts[] = {
	{ 'i', "instance", "NAME",
	  "the instance to work on (default: $CLITE_INSTANCE, else \"default\")" },
	{ OPT_BPFFS, "bpffs", "DIR", "mount point of the bpf file system (default: /sys/fs/bpf)" },
	{ 'o', "output", "FORMAT", "print \"json\" or \"text\" (default)" },
	{ OPT_NO_HEADERS, "no-headers", NULL, "print tables without their headings" },
	{ 'h', "help", NULL, "show this help" },
	{ OPT_VERSION, "version", NULL, "show versions" },
	{ 0 },
};

/* ---- paths ---------------------------------------------------------------- */

bool path_below(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	return !n || (!strncmp(path, prefix, n) && (path[n] == ' ' || path[n] == '\0'));
}

static size_t path_words(const char *path)
{
	size_t n = *path != '\0';

	for (; *path; path++)
		n += *path == ' ';
	return n;
}

char *path_word(const char *path, size_t n)
{
	while (n--) {
		path = strchr(path, ' ');
		if (!path)
			return NULL;
		path++;
	}
	char *word = strndup(path, strcspn(path, " "));

	if (!word)
		out_of_memory();
	return word;
}

/* The path with its alias for the last word equals what was typed. */
static bool alias_matches(const struct command *command, const char *path)
{
	const char *last = strrchr(command->path, ' ');
	size_t before = last ? (size_t)(last + 1 - command->path) : 0;

	return command->alias && !strncmp(path, command->path, before) &&
	       !strcmp(path + before, command->alias);
}

const struct command *command_find(const char *path)
{
	for (size_t i = 0; i < ncommands; i++) {
		if (!strcmp(commands[i].path, path) || alias_matches(&commands[i], path))
			return &commands[i];
	}
	return NULL;
}

const struct group *group_find(const char *path)
{
	for (size_t i = 0; i < ngroups; i++) {
		if (!strcmp(groups[i].path, path))
			return &groups[i];
	}
	return NULL;
}

/* ---- printing ------------------------------------------------------------- */

static void print_option(const struct opt *opt, int column)
{
	_cleanup_free_ char *left = xprintf(
		"  %s%s--%s%s%s", opt->key < 256 ? (char[]){ '-', (char)opt->key, 0 } : "  ",
		opt->key < 256 ? ", " : "  ", opt->name, opt->arg && !value_optional(opt) ? " " : "",
		opt->arg ? opt->arg : "");

	printf("%-*s ", column, left);
	for (const char *c = opt->help; *c; c++) {
		putchar(*c);
		if (*c == '\n')
			printf("%*s", column + 1, "");
	}
	putchar('\n');
}

static int option_column(const struct opt *opts, int column)
{
	for (; opts && opts->key; opts++) {
		int n = (int)(strlen(opts->name) + (opts->arg ? strlen(opts->arg) + 1 : 0)) + 10;

		if (n > column)
			column = n;
	}
	return column;
}

static void print_options(const char *title, const struct opt *opts, int column)
{
	printf("\n%s:\n", title);
	for (; opts->key; opts++)
		print_option(opts, column);
}

/* Lines of text, each two spaces in. */
static void print_indented(const char *text)
{
	while (*text) {
		int n = (int)strcspn(text, "\n");

		printf("%s%.*s\n", n ? "  " : "", n, text);
		text += n + (text[n] == '\n');
	}
}

void help_command(const struct command *command)
{
	int column = option_column(global_opts, option_column(command->opts, 0));

	printf("clite %s: %s\n\nUsage:\n  clite %s%s%s\n", command->path, command->purpose,
	       command->path, *command->args ? " " : "", command->args);
	if (command->details)
		printf("\n%s\n", command->details);
	if (command->opts)
		print_options("Options", command->opts, column);
	print_options("Options of every command", global_opts, column);
	if (command->alias) {
		size_t last = path_words(command->path) - 1;
		_cleanup_free_ char *word = path_word(command->path, last);

		printf("\n\"%s\" may be written \"%s\".\n", word, command->alias);
	}
	printf("\nExample:\n");
	print_indented(command->example);
}

/* What a word below a prefix is for: its group's purpose or its command's. */
static const char *word_purpose(const char *prefix, const char *word, const char *otherwise)
{
	_cleanup_free_ char *path = xprintf("%s%s%s", prefix, *prefix ? " " : "", word);
	const struct group *group = group_find(path);

	return group ? group->purpose : otherwise;
}

/* Every word that may follow prefix, once, in the order of the table. */
static void each_word(const char *prefix,
		      void (*cb)(const struct command *command, const char *word, void *userdata),
		      void *userdata)
{
	size_t n = path_words(prefix);
	_cleanup_free_ char *before = NULL;

	for (size_t i = 0; i < ncommands; i++) {
		if (!path_below(commands[i].path, prefix))
			continue;
		char *word = path_word(commands[i].path, n);

		if (word && (!before || strcmp(word, before)))
			cb(&commands[i], word, userdata);
		free(before);
		before = word;
	}
}

static void print_word(const struct command *command, const char *word, void *userdata)
{
	const char *prefix = userdata;

	printf("  %-12s %s\n", word, word_purpose(prefix, word, command->purpose));
}

void help_group(const char *path)
{
	const struct group *group = group_find(path);

	printf("clite %s: %s\n\nUsage:\n  clite %s COMMAND [ARGUMENT]...\n\nCommands:\n", path,
	       group->purpose, path);
	each_word(path, print_word, (void *)path);
	print_options("Options of every command", global_opts, option_column(global_opts, 0));
	printf("\n'clite %s COMMAND --help' tells more about a command.\n", path);
}

void help_all(void)
{
	printf("clite: network policy, load balancing and flow events in the kernel,\n"
	       "by libcilium-lite, without a daemon\n"
	       "\n"
	       "Usage:\n"
	       "  clite [OPTION]... COMMAND [ARGUMENT]...\n"
	       "\n"
	       "Commands:\n");
	each_word("", print_word, "");
	print_options("Options of every command, before or after its words", global_opts,
		      option_column(global_opts, 0));
	printf("\n"
	       "First steps, as root:\n"
	       "  clite status --features                          can this kernel do it?\n"
	       "  clite instance create default                    make the datapath\n"
	       "  clite endpoint add veth-web --ipv4 10.0.1.2 -l app=web\n"
	       "  clite policy import web.yaml                     who may talk to it\n"
	       "  clite monitor                                    watch what happens\n"
	       "\n"
	       "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found.\n"
	       "'clite help COMMAND' tells more about a command; so does clite(1).\n");
}

/* ---- guesses -------------------------------------------------------------- */

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t n = a < b ? a : b;

	return n < c ? n : c;
}

/* Letters to change, add, leave out, or swap with their neighbour. */
static size_t distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b), cols = nb + 1;
	_cleanup_free_ size_t *d = xrealloc(NULL, (na + 1) * cols, sizeof(*d));

	for (size_t j = 0; j <= nb; j++)
		d[j] = j;
	for (size_t i = 1; i <= na; i++) {
		d[i * cols] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t *at = &d[i * cols + j];

			*at = min3(at[-1] + 1, at[-(long)cols] + 1,
				   at[-(long)cols - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[(i - 2) * cols + j - 2] + 1 < *at)
				*at = d[(i - 2) * cols + j - 2] + 1;
		}
	}
	return d[na * cols + nb];
}

struct guess {
	const char *typed;
	size_t best; /* distance of word; only a smaller one counts */
	char *word;
};

static void guess_try(struct guess *g, const char *word)
{
	size_t n = strlen(g->typed);
	/* The beginning of a word is as good as one wrong letter. */
	size_t d = n > 1 && !strncmp(word, g->typed, n) ? 1 : distance(g->typed, word);

	if (d >= g->best || d >= n)
		return;
	g->best = d;
	free(g->word);
	g->word = xstrdup(word);
}

static void guess_word(const struct command *command, const char *word, void *userdata)
{
	(void)command;
	guess_try(userdata, word);
}

char *suggest_word(const char *prefix, const char *typed)
{
	/* A typed text of any length would cost its square. */
	struct guess g = { .typed = typed, .best = 3 };

	if (strlen(typed) > 32)
		return NULL;
	each_word(prefix, guess_word, &g);
	return g.word;
}

const char *suggest_option(const struct opt *opts, const char *typed)
{
	const char *best = NULL;
	size_t nearest = 3;

	if (strlen(typed) > 32)
		return NULL;
	for (; opts && opts->key; opts++) {
		size_t d = distance(typed, opts->name);

		if (d < nearest) {
			nearest = d;
			best = opts->name;
		}
	}
	return best;
}
