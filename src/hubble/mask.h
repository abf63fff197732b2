/* SPDX-License-Identifier: BSD-2-Clause */
/* Field masks: what of a message a client wants. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "hubble/base.h"

/* Fields of a message that stay; of those that are messages perhaps only a part. */
struct mask;

/* Of paths such as "source.pod_name". 0, -EINVAL: *ret_bad is a path that is none,
 * -ENOMEM. */
int mask_new(const ProtobufCMessageDescriptor *message, size_t n, char *const *paths,
	     struct mask **ret, const char **ret_bad);
/* The message loses what the mask does not name. It must not own memory. */
void mask_apply(const struct mask *mask, ProtobufCMessage *message);
void mask_free(struct mask *mask);
