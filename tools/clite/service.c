/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "output.h"

static const char *const kinds[] = {
	[CLITE_KIND_CLUSTER_IP] = "ClusterIP",	   [CLITE_KIND_NODE_PORT] = "NodePort",
	[CLITE_KIND_EXTERNAL_IP] = "ExternalIP",  [CLITE_KIND_LOAD_BALANCER] = "LoadBalancer",
	[CLITE_KIND_HOST_PORT] = "HostPort",	   [CLITE_KIND_STANDALONE] = "Standalone",
};

static const char *kind_text(uint32_t kind)
{
	return kind < ARRAY_SIZE(kinds) ? kinds[kind] : "unknown";
}

static uint32_t kind_arg(const struct cli *cli, const char *text)
{
	for (uint32_t k = 0; k < ARRAY_SIZE(kinds); k++)
		if (!strcasecmp(kinds[k], text))
			return k;
	usage_error(cli,
		    "--kind: '%s' is none of ClusterIP, NodePort, ExternalIP, LoadBalancer, HostPort, Standalone",
		    text);
}

static const char *algorithm_text(uint32_t algorithm)
{
	return algorithm == CLITE_LB_MAGLEV ? "maglev" : "random";
}

static const char *mode_text(uint32_t mode)
{
	static const char *const names[] = {
		[CLITE_MODE_SNAT] = "snat",
		[CLITE_MODE_DSR] = "dsr",
		[CLITE_MODE_IPIP] = "ipip",
		[CLITE_MODE_GUE] = "gue",
	};

	return mode < ARRAY_SIZE(names) ? names[mode] : "?";
}

/* ---- addresses ------------------------------------------------------------ */

/* "10.0.0.1:80/TCP", "[fd00::1]:80"; port and protocol 0 if they are missing. */
struct frontend {
	char *address;
	uint16_t port;
	uint32_t protocol;
};

static void frontend_clear(struct frontend *f)
{
	free(f->address);
}
#define _cleanup_frontend_ _cleanup_(frontend_clear)

static bool is_address(const char *s)
{
	struct in6_addr a;

	return inet_pton(AF_INET, s, &a) == 1 || inet_pton(AF_INET6, s, &a) == 1;
}

/* Cut what follows the last sep off, NULL if it is not there. */
static char *cut(char *s, char sep)
{
	char *p = strrchr(s, sep);

	if (p)
		*p++ = '\0';
	return p;
}

/* The address of text, and what follows it as "port" (NULL: nothing). An IPv6
 * address without brackets has no port. */
static char *cut_port(char *text, char **port)
{
	*port = NULL;
	if (*text == '[') {
		char *end = strchr(text, ']');

		if (!end || (end[1] && end[1] != ':'))
			return NULL;
		*end = '\0';
		*port = end[1] ? end + 2 : NULL;
		return strchr(text + 1, ':') ? text + 1 : NULL;
	}
	if (!is_address(text))
		*port = cut(text, ':');
	return text;
}

static bool frontend_parse(const char *text, struct frontend *ret)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *protocol = cut(copy, '/'), *port, *address = cut_port(copy, &port);
	uint32_t number = 0;
	uint64_t n = 0;

	if (!address || !is_address(address) || (port && (!parse_number(port, 65535, &n) || !n)) ||
	    (protocol && (!parse_protocol(protocol, &number) || !number)))
		return false;
	ret->address = xstrdup(address);
	ret->port = (uint16_t)n;
	ret->protocol = number;
	return true;
}

/* ---- JSON, keys of Cilium's service model --------------------------------- */

static json_t *address_json(const char *ip, uint32_t port, uint32_t protocol)
{
	_cleanup_free_ char *name = protocol_text(protocol);
	json_t *object = json_new_object();

	json_put_text(object, "ip", ip);
	json_put_number(object, "port", port);
	json_put_text(object, "protocol", name);
	return object;
}

static uint32_t backend_port(const struct clite_service_info *svc, const struct clite_backend *be)
{
	return be->port ? be->port : svc->port;
}

static json_t *backend_json(const struct clite_service_info *svc, const struct clite_backend *be)
{
	json_t *object = address_json(be->address, backend_port(svc, be), svc->protocol);

	json_put_text(object, "state", backend_state_text(be->state));
	json_put_number(object, "weight", be->weight ? be->weight : 1);
	return object;
}

static const char *policy_text(const struct clite_service_info *svc, uint32_t flag)
{
	return svc->flags & flag ? "Local" : "Cluster";
}

/* "default/web" is name web in namespace default. */
static json_t *flags_json(const struct clite_service_info *svc)
{
	json_t *flags = json_new_object();
	const char *slash = strchr(svc->name, '/');

	if (slash) {
		_cleanup_free_ char *space = strndup(svc->name, (size_t)(slash - svc->name));

		json_put_text(flags, "namespace", space ? space : "");
	}
	json_put_text(flags, "name", slash ? slash + 1 : svc->name);
	json_put_text(flags, "type", kind_text(svc->kind));
	json_put(flags, "labels", json_strings(svc->labels));
	json_put_text(flags, "extTrafficPolicy", policy_text(svc, CLITE_SERVICE_EXTERNAL_LOCAL));
	json_put_text(flags, "intTrafficPolicy", policy_text(svc, CLITE_SERVICE_INTERNAL_LOCAL));
	json_put_number(flags, "sessionAffinityTimeoutSec", svc->affinity);
	json_put_text(flags, "noBackendResponse", svc->flags & CLITE_SERVICE_REJECT ? "reject" : "drop");
	json_put(flags, svc->flags & CLITE_SERVICE_SOURCES_DENY ? "deniedSourceRanges" : "sourceRanges",
		 json_strings(svc->sources));
	return flags;
}

static json_t *service_json(const struct clite_service_info *svc)
{
	json_t *object = json_new_object(), *spec = json_new_object();
	json_t *backends = json_new_array(), *status = json_new_object();

	json_put_number(spec, "id", svc->id);
	json_put(spec, "frontend-address", address_json(svc->address, svc->port, svc->protocol));
	for (size_t i = 0; i < svc->nbackends; i++)
		json_add(backends, backend_json(svc, &svc->backends[i]));
	json_put(spec, "backend-addresses", backends);
	json_put(spec, "flags", flags_json(svc));
	json_put_text(spec, "algorithm", algorithm_text(svc->algorithm));
	if (svc->mode != CLITE_MODE_SNAT)
		json_put_text(spec, "mode", mode_text(svc->mode));
	json_put(status, "realized", json_incref(spec));
	json_put(object, "spec", spec);
	json_put(object, "status", status);
	return object;
}

/* ---- list, get ------------------------------------------------------------ */

static const char *const headings[] = { "ID", "Frontend", "Service Type", "Backend" };

static void backend_cell(struct table *t, const struct clite_service_info *svc, size_t i)
{
	const struct clite_backend *be = &svc->backends[i];
	_cleanup_free_ char *protocol = protocol_text(svc->protocol);
	_cleanup_free_ char *address = address_text(be->address, backend_port(svc, be), protocol);

	if (be->weight > 1)
		table_cell(t, "%zu => %s (%s) (weight %u)", i + 1, address,
			   backend_state_text(be->state), be->weight);
	else
		table_cell(t, "%zu => %s (%s)", i + 1, address, backend_state_text(be->state));
}

static void service_rows(struct table *t, const struct clite_service_info *svc)
{
	_cleanup_free_ char *protocol = protocol_text(svc->protocol);
	_cleanup_free_ char *frontend = address_text(svc->address, svc->port, protocol);

	table_cell(t, "%u", svc->id);
	table_cell(t, "%s", frontend);
	table_cell(t, "%s", kind_text(svc->kind));
	for (size_t i = 0; i < svc->nbackends; i++) {
		if (i)
			table_skip(t, 3);
		backend_cell(t, svc, i);
	}
	table_row_end(t);
}

static int collect(const struct clite_service_info *svc, void *userdata)
{
	struct listing *l = userdata;

	if (l->json)
		json_add(l->json, service_json(svc));
	else
		service_rows(&l->table, svc);
	return 0;
}

static void print_service(const struct clite_service_info *svc)
{
	_cleanup_free_ char *protocol = protocol_text(svc->protocol);
	_cleanup_free_ char *frontend = address_text(svc->address, svc->port, protocol);
	_cleanup_table_ struct table t;

	table_init(&t, 2);
	table_cell(&t, "ID:");
	table_cell(&t, "%u", svc->id);
	table_cell(&t, "Name:");
	table_cell(&t, "%s", *svc->name ? svc->name : "none");
	table_cell(&t, "Frontend:");
	table_cell(&t, "%s", frontend);
	table_cell(&t, "Service Type:");
	table_cell(&t, "%s", kind_text(svc->kind));
	table_cell(&t, "Algorithm:");
	table_cell(&t, "%s", algorithm_text(svc->algorithm));
	table_cell(&t, "Traffic policy:");
	table_cell(&t, "external %s, internal %s",
		   policy_text(svc, CLITE_SERVICE_EXTERNAL_LOCAL),
		   policy_text(svc, CLITE_SERVICE_INTERNAL_LOCAL));
	if (svc->affinity) {
		table_cell(&t, "Affinity:");
		table_cell(&t, "%u s", svc->affinity);
	}
	for (size_t i = 0; svc->sources[i]; i++) {
		if (i)
			table_skip(&t, 1);
		else
			table_cell(&t, svc->flags & CLITE_SERVICE_SOURCES_DENY ? "Denied sources:" :
									       "Sources:");
		table_cell(&t, "%s", svc->sources[i]);
	}
	if (svc->mode != CLITE_MODE_SNAT) {
		table_cell(&t, "Mode:");
		table_cell(&t, "%s", mode_text(svc->mode));
	}
	table_cell(&t, "Backends:");
	for (size_t i = 0; i < svc->nbackends; i++) {
		if (i)
			table_skip(&t, 1);
		backend_cell(&t, svc, i);
	}
	if (!svc->nbackends)
		table_cell(&t, svc->flags & CLITE_SERVICE_REJECT ? "none: its packets are rejected" :
								   "none: its packets are dropped");
	table_print(&t);
}

int cmd_service_list(struct cli *cli)
{
	_cleanup_listing_ struct listing l = { 0 };
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (r)
		return r;
	listing_begin(&l, cli, headings, ARRAY_SIZE(headings));
	return listing_end(&l, clite_service_list(cli->ctx, collect, &l));
}

/* ---- which service -------------------------------------------------------- */

struct search {
	const struct frontend *wanted;
	uint32_t id;
};

static bool same_address(const char *a, const char *b)
{
	uint8_t x[16], y[16];

	if (inet_pton(AF_INET, a, x) == 1)
		return inet_pton(AF_INET, b, y) == 1 && !memcmp(x, y, 4);
	return inet_pton(AF_INET6, a, x) == 1 && inet_pton(AF_INET6, b, y) == 1 &&
	       !memcmp(x, y, 16);
}

static int match(const struct clite_service_info *svc, void *userdata)
{
	struct search *s = userdata;

	if (svc->port == s->wanted->port && svc->protocol == s->wanted->protocol &&
	    same_address(svc->address, s->wanted->address))
		s->id = svc->id;
	return 0;
}

/* Number of the service that an argument means: a number, or its front end. */
static int service_number(struct cli *cli, const char *what, uint32_t *ret)
{
	_cleanup_frontend_ struct frontend wanted = { 0 };
	struct search s = { .wanted = &wanted };
	uint64_t n;
	int r;

	if (parse_number(what, UINT32_MAX, &n) && n) {
		*ret = (uint32_t)n;
		return CLI_OK;
	}
	if (!frontend_parse(what, &wanted) || !wanted.port)
		usage_error(cli, "'%s' is neither a service's number nor ADDRESS:PORT[/PROTOCOL]",
			    what);
	wanted.protocol = wanted.protocol ? wanted.protocol : IPPROTO_TCP;
	r = clite_service_list(cli->ctx, match, &s);
	if (r < 0)
		return fail(cli, r);
	if (!s.id) {
		complain(cli, "no service '%s'", what);
		return CLI_NOT_FOUND;
	}
	*ret = s.id;
	return CLI_OK;
}

static int show(struct cli *cli, uint32_t id)
{
	const struct clite_service_info *svc;
	int r = clite_service_get(cli->ctx, id, &svc);

	if (r < 0)
		return fail(cli, r);
	if (cli->json)
		json_print(service_json(svc));
	else
		print_service(svc);
	return CLI_OK;
}

int cmd_service_get(struct cli *cli)
{
	uint32_t id;
	int r;

	cli_arguments(cli);
	r = cli_open(cli);
	if (!r)
		r = service_number(cli, cli->args[0], &id);
	return r ? r : show(cli, id);
}

/* ---- update --------------------------------------------------------------- */

/* What was typed, before it is put together. */
struct update {
	struct strings backends, weights, states, labels, sources;
	struct frontend *addresses;
	struct clite_backend *parsed;
	bool backends_given;
};

static void update_clear(struct update *u)
{
	for (size_t i = 0; u->addresses && i < u->backends.n; i++)
		frontend_clear(&u->addresses[i]);
	free(u->addresses);
	free(u->parsed);
	strings_clear(&u->backends);
	strings_clear(&u->weights);
	strings_clear(&u->states);
	strings_clear(&u->labels);
	strings_clear(&u->sources);
}
#define _cleanup_update_ _cleanup_(update_clear)

static uint32_t state_arg(const struct cli *cli, const char *text)
{
	for (uint32_t s = CLITE_BACKEND_ACTIVE; s <= CLITE_BACKEND_MAINTENANCE; s++) {
		if (!strcmp(text, backend_state_text(s)))
			return s;
	}
	usage_error(cli, "--states: '%s' is none of active, terminating, quarantined, maintenance",
		    text);
}

static uint32_t algorithm_arg(const struct cli *cli, const char *text)
{
	if (!strcmp(text, "random"))
		return CLITE_LB_RANDOM;
	if (!strcmp(text, "maglev"))
		return CLITE_LB_MAGLEV;
	usage_error(cli, "--algorithm: '%s' is neither random nor maglev", text);
}

static uint32_t mode_arg(const struct cli *cli, const char *text)
{
	for (uint32_t mode = CLITE_MODE_SNAT; mode <= CLITE_MODE_GUE; mode++) {
		if (!strcmp(text, mode_text(mode)))
			return mode;
	}
	usage_error(cli, "--mode: '%s' is none of snat, dsr, ipip, gue", text);
}

static void check_count(const struct cli *cli, const struct update *u, const char *name, size_t n)
{
	if (n && n != u->backends.n)
		usage_error(cli, "%s has %zu values for %zu backends", name, n, u->backends.n);
}

static void update_parse(const struct cli *cli, struct update *u)
{
	check_count(cli, u, "--states", u->states.n);
	check_count(cli, u, "--backend-weights", u->weights.n);
	u->addresses = xrealloc(NULL, u->backends.n, sizeof(*u->addresses));
	u->parsed = xrealloc(NULL, u->backends.n, sizeof(*u->parsed));
	for (size_t i = 0; i < u->backends.n; i++) {
		struct frontend *f = &u->addresses[i];

		*f = (struct frontend){ 0 };
		if (!frontend_parse(u->backends.items[i], f) || f->protocol)
			usage_error(cli,
				    "--backends: '%s' is not ADDRESS[:PORT] "
				    "(an IPv6 address with a port: [ADDRESS]:PORT)",
				    u->backends.items[i]);
		u->parsed[i] = (struct clite_backend){ .address = f->address, .port = f->port };
		if (u->weights.n)
			u->parsed[i].weight = (uint16_t)number_arg(cli, "--backend-weights",
								   u->weights.items[i], 1, 65535);
		if (u->states.n)
			u->parsed[i].state = state_arg(cli, u->states.items[i]);
	}
}

static void update_options(struct cli *cli, struct clite_service_opts *opts, struct frontend *f,
			   struct update *u)
{
	int key;

	while ((key = cli_option(cli))) {
		switch (key) {
		case OPT_FRONTEND:
			frontend_clear(f);
			*f = (struct frontend){ 0 };
			if (!frontend_parse(cli->value, f) || !f->port)
				usage_error(cli,
					    "--frontend: '%s' is not ADDRESS:PORT[/PROTOCOL] "
					    "(IPv6: [ADDRESS]:PORT)",
					    cli->value);
			break;
		case OPT_BACKENDS:
			u->backends_given = true;
			strings_split(&u->backends, cli->value);
			break;
		case OPT_WEIGHTS:
			strings_split(&u->weights, cli->value);
			break;
		case OPT_STATES:
			strings_split(&u->states, cli->value);
			break;
		case OPT_NAME:
			opts->name = cli->value;
			break;
		case 'l':
			strings_add(&u->labels, cli->value);
			break;
		case OPT_ALGORITHM:
			opts->algorithm = algorithm_arg(cli, cli->value);
			break;
		case OPT_AFFINITY:
			opts->affinity = number_arg(cli, "--affinity", cli->value, 0, UINT32_MAX);
			break;
		case OPT_SOURCES:
			strings_split(&u->sources, cli->value);
			break;
		case OPT_SOURCES_DENY:
			opts->flags |= CLITE_SERVICE_SOURCES_DENY;
			break;
		case OPT_KIND:
			opts->kind = kind_arg(cli, cli->value);
			break;
		case OPT_REJECT:
			opts->flags |= CLITE_SERVICE_REJECT;
			break;
		case OPT_EXTERNAL_LOCAL:
			opts->flags |= CLITE_SERVICE_EXTERNAL_LOCAL;
			break;
		case OPT_INTERNAL_LOCAL:
			opts->flags |= CLITE_SERVICE_INTERNAL_LOCAL;
			break;
		case OPT_MODE:
			opts->mode = mode_arg(cli, cli->value);
			break;
		case OPT_ID:
			opts->id = number_arg(cli, "--id", cli->value, 1, UINT32_MAX);
			break;
		}
	}
	if (!f->address)
		usage_error(cli, "--frontend is missing");
	if (!u->backends_given)
		usage_error(cli, "--backends is missing (--backends '' for none)");
}

int cmd_service_update(struct cli *cli)
{
	_cleanup_update_ struct update u = { 0 };
	_cleanup_frontend_ struct frontend frontend = { 0 };
	struct clite_service_opts opts = { .sz = sizeof(opts) };
	uint32_t id;
	int r;

	update_options(cli, &opts, &frontend, &u);
	update_parse(cli, &u);
	opts.address = frontend.address;
	opts.port = frontend.port;
	opts.protocol = frontend.protocol;
	opts.backends = u.parsed;
	opts.nbackends = u.backends.n;
	opts.labels = (const char *const *)u.labels.items;
	opts.sources = (const char *const *)u.sources.items;
	r = cli_open(cli);
	if (r)
		return r;
	r = clite_service_update(cli->ctx, &opts, &id);
	if (r < 0)
		return fail(cli, r);
	if (cli->json)
		return show(cli, id);
	printf("service %u updated, %zu backend%s\n", id, opts.nbackends,
	       opts.nbackends == 1 ? "" : "s");
	return CLI_OK;
}

/* ---- delete --------------------------------------------------------------- */

static int collect_number(const struct clite_service_info *svc, void *userdata)
{
	_cleanup_free_ char *number = xprintf("%u", svc->id);

	strings_add(userdata, number);
	return 0;
}

static int delete_one(struct cli *cli, const char *what, json_t *done)
{
	uint32_t id;
	int r = service_number(cli, what, &id);

	if (r)
		return r;
	r = clite_service_delete(cli->ctx, id);
	if (r < 0)
		return fail(cli, r);
	return say_deleted(cli, "service", id, done);
}

int cmd_service_delete(struct cli *cli)
{
	_cleanup_strings_ struct strings what = { 0 };
	_cleanup_json_ json_t *done = json_new_array();
	bool all = false;
	int r;

	while (cli_option(cli)) /* --all is the only one */
		all = true;
	if (all == (cli->nargs > 0))
		usage_error(cli, "give numbers of services, or --all");
	r = cli_open(cli);
	if (r)
		return r;
	for (int i = 0; i < cli->nargs; i++)
		strings_add(&what, cli->args[i]);
	if (all)
		r = clite_service_list(cli->ctx, collect_number, &what);
	if (r < 0)
		return fail(cli, r);
	r = CLI_OK;
	for (size_t i = 0; !r && i < what.n; i++)
		r = delete_one(cli, what.items[i], done);
	if (cli->json)
		json_print(json_incref(done));
	return r;
}
