/* SPDX-License-Identifier: BSD-2-Clause */
/* Events: from the ring's record to the public struct. */
#pragma once

#include <cilium-lite/event.h>
#include <cilium-lite/policy.h>

#include "clite_layout.h"
#include "util/util.h"

/* How names are found. Any function may return NULL: then the number or the
 * address is printed. Results are borrowed and used at once. */
struct event_names {
	void *data;
	/* name of an endpoint */
	const char *(*endpoint)(void *data, uint32_t endpoint);
	/* labels of an identity, "source:key=value", ends with NULL */
	const char *const *(*labels)(void *data, uint32_t identity);
	/* name of the service at an address and port */
	const char *(*service)(void *data, uint32_t family, const uint8_t addr[16], uint16_t port,
			       uint32_t protocol);
	const struct clite_rule_info *(*rule)(void *data, uint32_t cookie);
	/* name of a device; may be NULL, as may be what it returns */
	const char *(*interface)(void *data, uint32_t ifindex);
	const char *node_name;
};

/* record: aligned to 8 bytes; behind it the packet's first bytes, if they were captured, which
 * the event points to. boot_to_real: ns to add to CLOCK_BOOTTIME for CLOCK_REALTIME. -EBADMSG
 * for a record that is none (wrong length, unknown type): rings are not trusted. */
int event_decode(const void *record, size_t len, uint64_t boot_to_real, struct clite_event *ret);
