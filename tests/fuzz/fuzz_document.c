/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a document: read or refused with a text. What is read survives the
 * blob of the maps and being written as JSON. Link it with
 * -fsanitize=fuzzer, or with replay.c. */
#include "model/document.h"

#include <stdio.h>

#include "../policy_same.h"

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_document: %s\n", what);
	abort();
}

static void check_blob(const struct policy *p)
{
	_cleanup_(policy_freep) struct policy *copy = NULL;
	_cleanup_buf_ struct buf a = {}, b = {};

	check(policy_encode(p, &a) == 0, "no blob of a policy");
	check(policy_decode(a.data, a.len, &copy) == 0, "the blob is not read");
	check(policy_encode(copy, &b) == 0, "no blob of the copy");
	check(a.len == b.len && memcmp(a.data, b.data, a.len) == 0, "another blob of the copy");
}

static void check_written(const struct policy *p)
{
	_cleanup_buf_ struct buf json = {};
	struct errtext err = {};
	struct policy **again = NULL;
	size_t n = 0;
	int r;

	check(policy_write(p, &json) == 0, "a policy that cannot be written");
	r = document_read(json.data, json.len, "again", NULL, &again, &n, &err);
	if (r == -E2BIG) { /* JSON is larger than YAML */
		err_clear(&err);
		return;
	}
	if (r < 0)
		fprintf(stderr, "%s\n", err.text ? err.text : "");
	check(r == 0 && n == 1, "what was written cannot be read");
	check(strcmp(again[0]->name, p->name) == 0, "another name after writing");
	check(policy_same(p, again[0]), "another meaning after writing");
	policy_free(again[0]);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct errtext err = {};
	struct policy **policies = NULL, *decoded = NULL;
	size_t n = 0;
	int r;

	r = document_read((const char *)data, size, "fuzz", "default", &policies, &n, &err);
	if (r < 0) {
		check(policies == NULL && n == 0, "something returned on failure");
		check(err.text && strncmp(err.text, "fuzz:", 5) == 0, "an error without a place");
	} else {
		check(n > 0 && !err.text, "nothing returned on success");
	}
	err_clear(&err);

	for (size_t i = 0; i < n; i++) {
		check_blob(policies[i]);
		check_written(policies[i]);
		policy_free(policies[i]);
	}
	free(policies);

	/* and as a blob */
	if (policy_decode(data, size, &decoded) == 0) {
		_cleanup_buf_ struct buf b = {};

		check(policy_encode(decoded, &b) == 0, "no blob of a blob");
		check(b.len == size && memcmp(b.data, data, size) == 0, "two blobs of one policy");
		policy_free(decoded);
	}
	return 0;
}
