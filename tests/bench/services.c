/* SPDX-License-Identifier: BSD-2-Clause */
/* Many services: how long it takes to load them, what memory they take, and that a packet
 * costs the same whatever their number. */
#include "bench.h"

#include <cilium-lite/cilium-lite.h>
#include <netinet/in.h>
#include <string.h>

#define MOST 100000u
#define BACKENDS 10

static const uint32_t numbers[] = { 10, 1000, MOST };
#define NUMBERS (sizeof(numbers) / sizeof(*numbers))

static struct clite_ctx *ctx;

/* Service i, of ten back ends that are its own. */
static void load_one(uint32_t i)
{
	struct clite_backend b[BACKENDS];
	char text[BACKENDS][32], address[32];
	struct clite_service_opts o = {
		.sz = sizeof(o), .address = address, .port = 80, .backends = b, .nbackends = BACKENDS,
	};

	snprintf(address, sizeof(address), "10.96.%u.%u", i >> 8 & 255, i & 255);
	o.port = (uint16_t)(80 + (i >> 16));
	for (uint32_t k = 0; k < BACKENDS; k++) {
		uint32_t n = i * BACKENDS + k;

		snprintf(text[k], sizeof(text[k]), "172.%u.%u.%u", 16 + (n >> 16 & 15), n >> 8 & 255,
			 n & 255);
		b[k] = (struct clite_backend){ .address = text[k],
					       .port = (uint16_t)(8080 + (n >> 20)) };
	}
	NEED(clite_service_update(ctx, &o, NULL) == 0, "service %u: %s", i, clite_error(ctx));
}

/* Seconds. */
static double load(uint32_t from, uint32_t to)
{
	double t = now_s();

	while (from < to)
		load_one(from++);
	return now_s() - t;
}

static double map_mb(void)
{
	const struct clite_status *st;

	NEED(clite_status(ctx, &st) == 0, "%s", clite_error(ctx));
	return (double)st->map_bytes / 1e6;
}

struct number_rows {
	struct row *packet[NUMBERS], *first[NUMBERS], *packet_ratio[NUMBERS], *first_ratio[NUMBERS];
};

static void rows_add(struct number_rows *rows)
{
	char name[48];

	for (size_t i = 0; i < NUMBERS; i++) {
		snprintf(name, sizeof(name), "services/packet-%u", numbers[i]);
		rows->packet[i] = row_add(name, "", NO_TARGET, 0);
		snprintf(name, sizeof(name), "services/first-%u", numbers[i]);
		rows->first[i] = row_add(name, "", NO_TARGET, 0);
		snprintf(name, sizeof(name), "services/packet-ratio-%u", numbers[i]);
		rows->packet_ratio[i] = i ? row_add(name, "x", AT_MOST, 1.1) : NULL;
		snprintf(name, sizeof(name), "services/first-ratio-%u", numbers[i]);
		rows->first_ratio[i] = i ? row_add(name, "x", AT_MOST, 1.1) : NULL;
	}
}

/* One instance for each number, so that rounds go by turns. */
void bench_services(void)
{
	struct row *seconds = row_add("services/load-100000", "s", AT_MOST, 5);
	struct row *memory = row_add("services/MB-100000x10", "MB", NO_TARGET, 0);
	struct row *change = row_add("services/update-beside-100000", "ms", NO_TARGET, 0);
	struct service_world *worlds[NUMBERS];
	struct number_rows rows;

	rows_add(&rows);
	for (size_t i = 0; i < NUMBERS; i++) {
		double before, s;

		worlds[i] = service_world_make(numbers[i] + 16, (numbers[i] + 16) * BACKENDS, &ctx);
		before = map_mb();
		s = load(0, numbers[i]);
		if (numbers[i] != MOST)
			continue;
		row_sample(seconds, s, 0);
		row_sample(memory, map_mb(), 0);
		fprintf(stderr, "services: maps of %.1f MB before, %.1f MB after %u services\n", before,
			map_mb(), MOST);
		for (size_t r = 0; r < options.rounds; r++)
			row_sample(change, load(MOST / 2, MOST / 2 + 1) * 1e3, 0);
	}
	for (size_t r = 0; r < options.rounds; r++) {
		double packet[NUMBERS], first[NUMBERS];

		for (size_t i = 0; i < NUMBERS; i++) {
			double e, v = service_packet(worlds[i], &e);

			packet[i] = v - e;
			row_sample(rows.packet[i], v, e);
			row_sample(rows.packet_ratio[i], packet[i] / packet[0], 0);
			v = service_first(worlds[i], 20000, &e);
			first[i] = v - e;
			row_sample(rows.first[i], v, e);
			row_sample(rows.first_ratio[i], first[i] / first[0], 0);
		}
	}
	for (size_t i = 0; i < NUMBERS; i++)
		service_world_free(worlds[i]);
}
