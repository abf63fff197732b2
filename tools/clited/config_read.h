/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a YAML document (so JSON, too) by tables of keys. The first thing that is wrong
 * is logged with file, line, and what would be right. */
#pragma once

#include <yaml.h>

#include "clited.h"

struct reader {
	const char *file;
	yaml_document_t *doc;
};

/* A key of a map, and who reads its value into what. Ends with a name that is NULL. */
struct key {
	const char *name;
	bool (*read)(struct reader *r, const struct key *key, yaml_node_t *node, void *into);
	size_t offset;
	uint32_t min, max;
};

/* Always false. */
bool wrong(const struct reader *r, const yaml_node_t *node, const char *fmt, ...) _printf_(3, 4);

/* Where the key's value goes. */
void *at(void *base, const struct key *key);
/* A text without NUL and control characters, or NULL, which was logged. */
const char *text_of(struct reader *r, const char *what, yaml_node_t *node);

/* Readers of keys: into a char *, uint32_t (from min to max), uint16_t, bool, uint32_t of
 * milliseconds, struct place (of family min). */
bool read_text(struct reader *r, const struct key *key, yaml_node_t *node, void *into);
bool read_number(struct reader *r, const struct key *key, yaml_node_t *node, void *into);
bool read_port(struct reader *r, const struct key *key, yaml_node_t *node, void *into);
bool read_bool(struct reader *r, const struct key *key, yaml_node_t *node, void *into);
bool read_duration(struct reader *r, const struct key *key, yaml_node_t *node, void *into);
bool read_address(struct reader *r, const struct key *key, yaml_node_t *node, void *into);

/* Into an uint32_t: as chmod(1) takes it, such as "0640"; LEVEL_*. */
bool read_mode(struct reader *r, const struct key *key, yaml_node_t *node, void *into);
bool read_level(struct reader *r, const struct key *key, yaml_node_t *node, void *into);

/* Call one() for each item of a list. */
bool each(struct reader *r, const char *what, yaml_node_t *node,
	  bool (*one)(struct reader *r, const char *what, yaml_node_t *item, void *into),
	  void *into);
/* Read a map by a table of at most 32 keys. */
bool read_map(struct reader *r, const char *what, yaml_node_t *node, const struct key *keys,
	      void *into);

/* config_check.c */
bool read_checks(struct reader *r, const struct key *key, yaml_node_t *node, void *into);
void check_clear(struct check *c);

/* config_hubble.c */
bool read_hubble(struct reader *r, const struct key *key, yaml_node_t *node, void *into);
void hubble_config_clear(struct hubble_config *c);

/* config_log.c */
bool read_logs(struct reader *r, const struct key *key, yaml_node_t *node, void *into);
void log_config_clear(struct log_config *c);
