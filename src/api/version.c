/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/version.h>

#include "util/util.h"

#define STR_(x) #x
#define STR(x) STR_(x)

uint32_t clite_version(void)
{
	return CLITE_VERSION_MAJOR << 16 | CLITE_VERSION_MINOR << 8 | CLITE_VERSION_PATCH;
}

const char *clite_version_string(void)
{
	return STR(CLITE_VERSION_MAJOR) "." STR(CLITE_VERSION_MINOR) "." STR(CLITE_VERSION_PATCH);
}

const char *clite_strerror(int err)
{
	/* -INT_MIN is no int */
	unsigned int code = err < 0 ? -(unsigned int)err : (unsigned int)err;
	const char *text;

	switch (code) {
	case 0:
		return "Success";
	case CLITE_EDOCUMENT:
		return "Document cannot be read";
	case CLITE_EUNSUPPORTED:
		return "Not supported";
	case CLITE_ELAYOUT:
		return "Instance has an unknown map layout";
	case CLITE_ENOBPFFS:
		return "No bpf file system";
	}
	text = code < 4096 ? strerrordesc_np(code) : NULL;
	return text ?: "Unknown error";
}
