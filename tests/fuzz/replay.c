/* SPDX-License-Identifier: BSD-2-Clause */
/* A main() for fuzz targets: each file, and each file of each directory, is one input. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path, size_t *count);

static int replay_dir(const char *path, size_t *count)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (!dir) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -errno;
	}
	while (r == 0 && (entry = readdir(dir))) {
		_cleanup_free_ char *inner = NULL;

		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&inner, "%s/%s", path, entry->d_name) < 0) {
			inner = NULL;
			r = -ENOMEM;
		} else {
			r = replay(inner, count);
		}
	}
	closedir(dir);
	return r;
}

static int replay_file(const char *path, size_t *count)
{
	_cleanup_buf_ struct buf b = {};
	FILE *f = fopen(path, "re");
	char chunk[4096];
	size_t n;

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -errno;
	}
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_put(&b, chunk, n);
	fclose(f);
	if (b.failed)
		return -ENOMEM;
	LLVMFuzzerTestOneInput((const uint8_t *)(b.data ?: ""), b.len);
	(*count)++;
	return 0;
}

static int replay(const char *path, size_t *count)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return replay_dir(path, count);
	return replay_file(path, count);
}

int main(int argc, char **argv)
{
	size_t count = 0;

	for (int i = 1; i < argc; i++)
		if (replay(argv[i], &count) < 0)
			return EXIT_FAILURE;
	if (count == 0) {
		fprintf(stderr, "usage: %s FILE|DIRECTORY...\n", argv[0]);
		return EXIT_FAILURE;
	}
	printf("%zu inputs\n", count);
	return EXIT_SUCCESS;
}

