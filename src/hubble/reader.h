/* SPDX-License-Identifier: BSD-2-Clause */
/* A client that reads events from some position on, and perhaps follows. */
#pragma once

#include "hubble/grpc.h"
#include "hubble/request.h"

struct reader;

/* Where events are, each with a position that is never used again. */
struct event_log {
	uint64_t (*head)(const struct clite_hubble *h); /* position of the next one */
	uint64_t (*oldest)(const struct clite_hubble *h);
	uint64_t (*time)(const struct clite_hubble *h, uint64_t pos);
	/* It is only word of lost ones: goes to everybody, counts for nothing. */
	bool (*is_lost)(const struct clite_hubble *h, uint64_t pos);
	bool (*passes)(const struct clite_hubble *h, const struct request *r, uint64_t pos);
	/* -ENOMEM */
	int (*put)(struct stream *s, const struct request *r, uint64_t pos);
	int (*put_overtaken)(struct stream *s, uint64_t n);
};

/* Answer a stream from a log. Takes the request, also on failure. */
enum grpc_code reader_start(struct stream *s, const struct event_log *log, struct request *request);
