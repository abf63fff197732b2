/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages on standard error: for people, or for the journal. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "clited.h"

static int log_level = LOG_INFO;
static bool to_journal;

static const struct {
	const char *name;
	int level;
} levels[] = {
	{ "error", LOG_ERR },	{ "warning", LOG_WARNING }, { "notice", LOG_NOTICE },
	{ "info", LOG_INFO },	{ "debug", LOG_DEBUG },
};

/* JOURNAL_STREAM is inherited by whoever a service starts; it speaks of us only if it
 * names our own standard error. */
void log_begin(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	to_journal = stream && sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &dev, &ino) == 2 &&
		     !fstat(STDERR_FILENO, &st) && st.st_dev == dev && st.st_ino == ino;
}

bool log_set_level(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(levels[i].name, name) != 0)
			continue;
		log_level = levels[i].level;
		return true;
	}
	return false;
}

static const char *level_text(int level)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (levels[i].level == level)
			return levels[i].name;
	}
	return "";
}

/* A text of several lines (the verifier's) gets its prefix on each, or the journal
 * would take the others for something else. */
static void put_lines(int level, char *text)
{
	for (char *line; (line = strsep(&text, "\n"));) {
		if (!*line)
			continue;
		if (to_journal)
			fprintf(stderr, "<%d>%s\n", level, line);
		else if (level <= LOG_WARNING)
			fprintf(stderr, "clited: %s: %s\n", level_text(level), line);
		else
			fprintf(stderr, "clited: %s\n", line);
	}
}

void log_at(int level, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	if (level > log_level)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	put_lines(level, text);
}
