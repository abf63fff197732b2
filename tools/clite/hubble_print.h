/* SPDX-License-Identifier: BSD-2-Clause */
/* What a server of Hubble's API says, as "hubble" prints it. */
#pragma once

#include <cilium-lite/hubble_client.h>

#include "observe_run.h"

/* ---- while observing ---------------------------------------------------------------- */

/* Flows that the server says are missing here; not as JSON. */
void print_lost(struct printer *p, const struct clite_hubble_lost *lost);
/* 0 or a negative errno. */
int print_answer_json(struct printer *p, const struct clite_hubble_answer *answer);
/* An event of an agent or a debug event. */
int print_event(struct printer *p, const struct clite_hubble_answer *answer);
/* To standard error: nodes of a relay that are not well; the others too if debug. */
void print_node_state(const struct observe *o, const struct clite_hubble_answer *answer);

/* ---- status and lists ----------------------------------------------------------------- */

struct shown {
	const struct cli *cli;
	uint32_t health;
	struct table table;
	const char *const *headings;
	json_t *json; /* NULL: no JSON is wanted */
};

/* An exit code. */
int show_health(const struct shown *s, const char *output, const char *address);
void show_status(struct shown *s, const char *output, const struct clite_hubble_answer *answer);
void show_begin(struct shown *s, const char *output, const char *const *headings, size_t ncols);
void show_node(struct shown *s, const struct clite_hubble_answer *answer);
void show_namespace(struct shown *s, const struct clite_hubble_answer *answer);
void show_end(struct shown *s);
void show_peer(struct shown *s, const char *output, const struct clite_hubble_answer *answer);
void shown_clear(struct shown *s);
