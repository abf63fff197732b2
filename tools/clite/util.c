/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers, strings and the texts that several commands print. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

uint32_t number_arg(const struct cli *cli, const char *what, const char *text, uint32_t min,
		    uint32_t max)
{
	uint64_t n;

	if (!parse_number(text, max, &n) || n < min)
		usage_error(cli, "%s: '%s' is not a number from %u to %u", what, text, min, max);
	return (uint32_t)n;
}

static const struct {
	const char *name;
	uint32_t number;
} protocols[] = {
	{ "ANY", 0 },
	{ "TCP", IPPROTO_TCP },
	{ "UDP", IPPROTO_UDP },
	{ "SCTP", IPPROTO_SCTP },
	{ "ICMP", IPPROTO_ICMP },
	{ "ICMPv6", IPPROTO_ICMPV6 },
};

char *protocol_text(uint32_t protocol)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (protocols[i].number == protocol)
			return xstrdup(protocols[i].name);
	}
	return xprintf("%u", protocol);
}

bool parse_protocol(const char *text, uint32_t *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (!strcasecmp(protocols[i].name, text)) {
			*ret = protocols[i].number;
			return true;
		}
	}
	return false;
}

char *address_text(const char *address, uint32_t port, const char *protocol)
{
	bool brackets = strchr(address, ':');

	return xprintf("%s%s%s:%u%s%s", brackets ? "[" : "", address, brackets ? "]" : "", port,
		       protocol ? "/" : "", protocol ? protocol : "");
}

const char *direction_text(uint32_t direction)
{
	switch (direction) {
	case CLITE_INGRESS:
		return "Ingress";
	case CLITE_EGRESS:
		return "Egress";
	default:
		return "Unknown";
	}
}

const char *backend_state_text(uint32_t state)
{
	switch (state) {
	case CLITE_BACKEND_ACTIVE:
		return "active";
	case CLITE_BACKEND_TERMINATING:
		return "terminating";
	case CLITE_BACKEND_QUARANTINED:
		return "quarantined";
	case CLITE_BACKEND_MAINTENANCE:
		return "maintenance";
	default:
		return "unknown";
	}
}

char *reason_text(uint32_t reason)
{
	const char *text = reason ? clite_drop_reason_text(reason) : "Success";

	return text ? xstrdup(text) : xprintf("Reason %u", reason);
}

/* ---- documents ------------------------------------------------------------ */

/* The library takes no larger document; it says so itself if it gets one byte
 * more. */
#define DOCUMENT_MAX (16u << 20)

static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define _cleanup_fclose_ _cleanup_(fclosep)

void document_clear(struct document *doc)
{
	free(doc->text);
}

int document_load(const char *path, struct document *doc)
{
	_cleanup_fclose_ FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	size_t cap = 0, n;

	doc->name = f == stdin ? "<stdin>" : path;
	if (!f)
		return -errno;
	do {
		if (doc->len == cap) {
			cap = cap ? cap * 2 : 65536;
			doc->text = xrealloc(doc->text, cap, 1);
		}
		n = fread(doc->text + doc->len, 1, cap - doc->len, f);
		doc->len += n;
	} while (n && doc->len <= DOCUMENT_MAX);
	return ferror(f) ? -errno : 0;
}
