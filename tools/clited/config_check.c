/* SPDX-License-Identifier: BSD-2-Clause */
/* Health checks in the configuration. */
#include <fnmatch.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "config_read.h"

#define INTERVAL_DEFAULT 5000u
#define TIMEOUT_DEFAULT 2000u

void check_clear(struct check *c)
{
	for (size_t i = 0; i < c->nselectors; i++)
		free(c->selectors[i].pattern);
	free(c->selectors);
	free(c->path);
	free(c->host);
}

static bool add_selector(struct reader *r, const char *what, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, what, node);
	struct selector selector = { 0 };
	struct check *c = into;

	if (!s)
		return false;
	if (!parse_frontend(s, &selector.at, &selector.protocol)) {
		if (strpbrk(s, ":[") && !strpbrk(s, "*?"))
			return wrong(r, node,
				     "%s: '%s' is neither a name, a pattern, nor ADDRESS[:PORT[/PROTOCOL]]",
				     what, s);
		selector.pattern = xstrdup(s);
	}
	c->selectors = xrealloc(c->selectors, c->nselectors + 1, sizeof(*c->selectors));
	c->selectors[c->nselectors++] = selector;
	return true;
}

static bool read_selectors(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	return each(r, key->name, node, add_selector, into);
}

static bool read_kind(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);

	if (!s)
		return false;
	if (strcmp(s, "tcp") != 0 && strcmp(s, "http") != 0)
		return wrong(r, node, "%s: '%s' is neither tcp nor http", key->name, s);
	*(enum check_kind *)at(into, key) = *s == 't' ? CHECK_TCP : CHECK_HTTP;
	return true;
}

/* "200", "200-399" */
static bool read_status(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	const char *s = text_of(r, key->name, node);
	struct check *c = into;
	unsigned int first, last;
	int n = 0;

	if (!s)
		return false;
	if (sscanf(s, "%3u-%3u%n", &first, &last, &n) != 2 || s[n]) {
		n = 0;
		if (sscanf(s, "%3u%n", &first, &n) != 1 || s[n])
			first = last = 0;
		last = first;
	}
	if (first < 100 || last > 599 || first > last)
		return wrong(r, node,
			     "%s: '%s' is not a status or a range of them from 100 to 599, such as 200-299",
			     key->name, s);
	c->status_first = (uint16_t)first;
	c->status_last = (uint16_t)last;
	return true;
}

/* What goes into the request must not end its line. */
static bool read_word(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	if (!read_text(r, key, node, into))
		return false;
	if (strchr(*(char **)at(into, key), ' '))
		return wrong(r, node, "%s: it has a blank in it", key->name);
	return true;
}

static bool read_path(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	if (!read_word(r, key, node, into))
		return false;
	if (**(char **)at(into, key) != '/')
		return wrong(r, node, "%s: '%s' does not begin with /", key->name,
			     *(char **)at(into, key));
	return true;
}

static const struct key check_keys[] = {
	{ "services", read_selectors, 0, 0, 0 },
	{ "kind", read_kind, offsetof(struct check, kind), 0, 0 },
	{ "interval", read_duration, offsetof(struct check, interval), 0, 0 },
	{ "timeout", read_duration, offsetof(struct check, timeout), 0, 0 },
	{ "rise", read_number, offsetof(struct check, rise), 1, 1000 },
	{ "fall", read_number, offsetof(struct check, fall), 1, 1000 },
	{ "port", read_port, offsetof(struct check, port), 0, 0 },
	{ "path", read_path, offsetof(struct check, path), 0, 0 },
	{ "host", read_word, offsetof(struct check, host), 0, 0 },
	{ "status", read_status, 0, 0, 0 },
	{ "source4", read_address, offsetof(struct check, source4), AF_INET, 0 },
	{ "source6", read_address, offsetof(struct check, source6), AF_INET6, 0 },
	{ "fail-open", read_bool, offsetof(struct check, fail_open), 0, 0 },
	{ 0 },
};

/* What depends on several keys; defaults. */
static bool check_finish(struct reader *r, yaml_node_t *node, struct check *c)
{
	if (!c->nselectors)
		return wrong(r, node, "a health check without services: which? [\"*\"] is all");
	if (c->kind == CHECK_TCP && (c->path || c->host || c->status_first))
		return wrong(r, node, "path, host and status are for 'kind: http'");
	c->interval = c->interval ? c->interval : INTERVAL_DEFAULT;
	if (!c->timeout)
		c->timeout = c->interval < TIMEOUT_DEFAULT ? c->interval : TIMEOUT_DEFAULT;
	if (c->timeout > c->interval)
		return wrong(r, node, "the timeout, %u ms, is longer than the interval, %u ms",
			     c->timeout, c->interval);
	c->rise = c->rise ? c->rise : 2;
	c->fall = c->fall ? c->fall : 3;
	if (!c->status_first) {
		c->status_first = 200;
		c->status_last = 399;
	}
	if (!c->path)
		c->path = xstrdup("/");
	return true;
}

static bool add_check(struct reader *r, const char *what, yaml_node_t *node, void *into)
{
	struct config *config = into;
	struct check *c;

	config->checks = xrealloc(config->checks, config->nchecks + 1, sizeof(*c));
	c = &config->checks[config->nchecks++];
	*c = (struct check){ 0 };
	return read_map(r, what, node, check_keys, c) && check_finish(r, node, c);
}

bool read_checks(struct reader *r, const struct key *key, yaml_node_t *node, void *into)
{
	return each(r, key->name, node, add_check, into);
}

/* ---- which check ----------------------------------------------------------------- */

/* A name without a namespace is one in "default". */
static bool name_matches(const char *pattern, const char *name)
{
	_cleanup_free_ char *whole = NULL;

	if (!strcmp(pattern, "*"))
		return true;
	if (!*name)
		return false;
	if (!fnmatch(pattern, name, 0))
		return true;
	whole = strchr(name, '/') ? xstrdup(strncmp(name, "default/", 8) ? name : name + 8) :
				    xprintf("default/%s", name);
	return !fnmatch(pattern, whole, 0);
}

static bool selects(const struct selector *s, const struct clite_service_info *svc)
{
	struct place p;

	if (s->pattern)
		return name_matches(s->pattern, svc->name);
	return (!s->protocol || s->protocol == svc->protocol) &&
	       (!s->at.port || s->at.port == svc->port) && parse_address(svc->address, &p) &&
	       p.family == s->at.family && !memcmp(p.ip, s->at.ip, sizeof(p.ip));
}

const struct check *config_check(const struct config *c, const struct clite_service_info *svc)
{
	for (size_t i = 0; i < c->nchecks; i++) {
		const struct check *check = &c->checks[i];

		/* Who answers UDP or SCTP need not listen at TCP, unless it is said where. */
		if (svc->protocol != IPPROTO_TCP && !check->port)
			continue;
		for (size_t j = 0; j < check->nselectors; j++) {
			if (selects(&check->selectors[j], svc))
				return check;
		}
	}
	return NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

bool check_alike(const struct check *a, const struct check *b)
{
	return a->kind == b->kind && a->interval == b->interval && a->timeout == b->timeout &&
	       a->rise == b->rise && a->fall == b->fall && a->port == b->port &&
	       a->status_first == b->status_first && a->status_last == b->status_last &&
	       same_text(a->path, b->path) && same_text(a->host, b->host) &&
	       !place_cmp(&a->source4, &b->source4) && !place_cmp(&a->source6, &b->source6);
}
