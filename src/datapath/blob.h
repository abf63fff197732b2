/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects of the state as bytes in the store. The reading ones add to the state;
 * -EBADMSG for bytes that are none of the writing ones'. */
#pragma once

#include "datapath/state.h"

int blob_identity_write(const struct identity *id, struct buf *out);
int blob_identity_read(struct state *st, uint32_t id, const char *data, size_t len);
int blob_endpoint_write(const struct endpoint *e, struct buf *out);
int blob_endpoint_read(struct state *st, uint32_t id, const char *data, size_t len);
int blob_service_write(const struct service *s, struct buf *out);
int blob_service_read(struct state *st, uint32_t id, const char *data, size_t len);
int blob_import_write(const struct import *i, struct buf *out);
int blob_import_read(struct state *st, uint32_t id, const char *data, size_t len);
int blob_ipcache_write(const struct ipcache_user *u, struct buf *out);
int blob_ipcache_read(struct state *st, uint32_t id, const char *data, size_t len);
int blob_policy_write(const struct policy *p, struct buf *out);
int blob_policy_read(const char *data, size_t len, struct policy **ret);
