/* SPDX-License-Identifier: BSD-2-Clause */
#include "util/util.h"

#include <stdio.h>

/* Takes the old text away only when the new one is complete: arguments may point
 * into it. Without memory there is no text; the code still says what happened. */
static void err_replace(struct errtext *err, char *text)
{
	free(err->text);
	err->text = text;
}

int err_set(struct errtext *err, int code, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	if (!err)
		return -code;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);

	err_replace(err, text);
	return -code;
}

int err_prefix(struct errtext *err, int ret, const char *fmt, ...)
{
	_cleanup_free_ char *prefix = NULL;
	char *text = NULL;
	va_list ap;
	int n;

	if (!err)
		return ret;

	va_start(ap, fmt);
	n = vasprintf(&prefix, fmt, ap);
	va_end(ap);
	if (n < 0) {
		prefix = NULL; /* it is undefined then, and has a cleanup */
		return ret;
	}

	if (!err->text) {
		err->text = TAKE_PTR(prefix);
		return ret;
	}

	if (asprintf(&text, "%s: %s", prefix, err->text) >= 0)
		err_replace(err, text);
	return ret;
}

void err_clear(struct errtext *err)
{
	if (err)
		err_replace(err, NULL);
}
