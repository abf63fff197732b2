/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "output.h"
#include "policy.h"

static inline void txn_freep(struct clite_txn **txn)
{
	clite_txn_free(*txn);
}
#define _cleanup_txn_ _cleanup_(txn_freep)

char *rule_text(struct cli *cli, uint32_t cookie, bool details)
{
	const struct clite_rule_info *rule;

	if (!cookie)
		return xstrdup("-");
	if (clite_rule_get(cli->ctx, cookie, &rule) < 0)
		return xprintf("rule %u, deleted", cookie);
	if (!details)
		return xprintf("%s[%u]", rule->policy, rule->index);
	if (!*rule->filename)
		return xprintf("%s %s[%u]", rule->action == CLITE_DENY ? "deny" : "allow",
			       rule->policy, rule->index);
	return xprintf("%s %s[%u] %s:%u", rule->action == CLITE_DENY ? "deny" : "allow",
		       rule->policy, rule->index, rule->filename, rule->line);
}

/* ---- import --------------------------------------------------------------- */

static int import_file(struct cli *cli, struct clite_txn *txn, const char *path, int *policies)
{
	_cleanup_document_ struct document doc = { 0 };
	struct clite_import_opts opts = { .sz = sizeof(opts) };
	int r = document_load(path, &doc);

	if (r < 0) {
		_cleanup_free_ char *text = xprintf("%s: %s", doc.name, strerror(-r));

		return fail_text(cli, r, text);
	}
	opts.filename = doc.name;
	r = clite_txn_policy_import(txn, doc.text, doc.len, &opts);
	if (r < 0)
		return fail(cli, r);
	*policies += r;
	return CLI_OK;
}

static const char *warning_name(uint32_t code)
{
	static const char *const names[] = {
		[CLITE_WARNING_SELECTS_NOBODY] = "selects-nobody",
		[CLITE_WARNING_PORT_NAME] = "port-name",
		[CLITE_WARNING_CIDR_SHADOWED] = "cidr-shadowed",
		[CLITE_WARNING_CIDR_ENDPOINTS] = "cidr-endpoints",
		[CLITE_WARNING_NO_SERVICE] = "no-service",
		[CLITE_WARNING_NEEDS] = "needs",
	};

	return code < ARRAY_SIZE(names) && names[code] ? names[code] : "unknown";
}

static int collect_warning(const struct clite_warning *w, void *userdata)
{
	json_t *object = json_new_object();

	json_put_text(object, "code", warning_name(w->code));
	json_put_text(object, "policy", w->policy);
	json_put_text(object, "file", w->filename);
	json_put_number(object, "line", w->line);
	json_put_text(object, "text", w->text);
	json_add(userdata, object);
	return 0;
}

/* Commit and say what was done, in words like "imported". */
static int commit(struct cli *cli, struct clite_txn *txn, int policies, const char *done)
{
	json_t *warnings = json_new_array();
	int revision = cli->json ? clite_txn_warnings(txn, collect_warning, warnings) : 0;

	if (revision >= 0)
		revision = clite_txn_commit(txn);
	if (revision < 0) {
		json_decref(warnings);
		return fail(cli, revision);
	}
	if (cli->json) {
		json_t *object = json_new_object();

		json_put(object, "warnings", json_incref(warnings));
		json_put_number(object, "policies", (uint64_t)policies);
		json_put_number(object, "revision", (uint64_t)revision);
		json_print(object);
	} else {
		printf("%d %s %s\nRevision: %d\n", policies, policies == 1 ? "policy" : "policies",
		       done, revision);
	}
	json_decref(warnings);
	return CLI_OK;
}

/* Standard input can be read once. */
static void check_stdin_once(const struct cli *cli)
{
	int n = 0;

	for (int i = 0; i < cli->nargs; i++)
		n += !strcmp(cli->args[i], "-");
	if (n > 1)
		usage_error(cli, "'-' can be given only once");
}

/* Its place and its text, on standard error: "web.yaml:7: warning: ...". */
static int say_warning(const struct clite_warning *w, void *userdata)
{
	(void)userdata;
	if (w->line)
		fprintf(stderr, "%s:%u: warning: policy '%s': %s\n", w->filename, w->line, w->policy,
			w->text);
	else
		fprintf(stderr, "%s: warning: policy '%s': %s\n", w->filename, w->policy, w->text);
	return 0;
}

int policy_files(struct cli *cli, struct clite_txn *txn, int *policies)
{
	int r;

	check_stdin_once(cli);
	for (int i = 0; i < cli->nargs; i++) {
		r = import_file(cli, txn, cli->args[i], policies);
		if (r)
			return r;
	}
	if (cli->json)
		return CLI_OK; /* they are in what is printed */
	r = clite_txn_warnings(txn, say_warning, NULL);
	return r < 0 ? fail(cli, r) : CLI_OK;
}

int cmd_policy_import(struct cli *cli)
{
	_cleanup_txn_ struct clite_txn *txn = NULL;
	int policies = 0, r;

	cli_arguments(cli);
	check_stdin_once(cli);
	r = cli_open(cli);
	if (r)
		return r;
	r = clite_txn_new(cli->ctx, &txn);
	if (r < 0)
		return fail(cli, r);
	r = policy_files(cli, txn, &policies);
	return r ? r : commit(cli, txn, policies, "imported");
}

/* ---- validate ------------------------------------------------------------- */

/* Read one document and say what is in it. Goes on after a bad one, so that one
 * run shows what is wrong in all files. */
static int validate_file(struct cli *cli, const char *path, json_t *results)
{
	_cleanup_document_ struct document doc = { 0 };
	struct clite_import_opts opts = { .sz = sizeof(opts) };
	char errbuf[ERRBUF_SIZE] = "";
	json_t *result;
	int r = document_load(path, &doc);

	opts.filename = doc.name;
	if (r < 0)
		snprintf(errbuf, sizeof(errbuf), "%s: %s", doc.name, strerror(-r));
	else
		r = clite_policy_validate(doc.text, doc.len, &opts, errbuf, sizeof(errbuf));
	if (cli->json) {
		result = json_new_object();
		json_put_text(result, "file", doc.name);
		json_put_bool(result, "valid", r >= 0);
		if (r < 0)
			json_put_text(result, "error", *errbuf ? errbuf : clite_strerror(r));
		else
			json_put_number(result, "policies", (uint64_t)r);
		json_add(results, result);
	} else if (r >= 0) {
		printf("%s: valid, %d %s\n", doc.name, r, r == 1 ? "policy" : "policies");
	}
	return r < 0 ? fail_text(cli, r, errbuf) : CLI_OK;
}

int cmd_policy_validate(struct cli *cli)
{
	json_t *results;
	int code = CLI_OK;

	cli_arguments(cli);
	check_stdin_once(cli);
	results = json_new_array();
	for (int i = 0; i < cli->nargs; i++) {
		int r = validate_file(cli, cli->args[i], results);

		code = code ? code : r;
	}
	if (cli->json)
		json_print(results);
	else
		json_decref(results);
	return code;
}

/* ---- delete --------------------------------------------------------------- */

static int collect_name(const struct clite_policy_info *policy, void *userdata)
{
	strings_add(userdata, policy->name);
	return 0;
}

int cmd_policy_delete(struct cli *cli)
{
	_cleanup_strings_ struct strings names = { 0 };
	_cleanup_txn_ struct clite_txn *txn = NULL;
	bool all = false;
	int r;

	while (cli_option(cli)) /* --all is the only one */
		all = true;
	if (all == (cli->nargs > 0))
		usage_error(cli, "give names of policies, or --all");
	r = cli_open(cli);
	if (r)
		return r;
	for (int i = 0; i < cli->nargs; i++)
		strings_add(&names, cli->args[i]);
	if (all)
		r = clite_policy_list(cli->ctx, collect_name, &names);
	if (r >= 0)
		r = clite_txn_new(cli->ctx, &txn);
	for (size_t i = 0; r >= 0 && i < names.n; i++)
		r = clite_txn_policy_delete(txn, names.items[i]);
	if (r < 0)
		return fail(cli, r);
	return commit(cli, txn, (int)names.n, "deleted");
}

/* ---- get ------------------------------------------------------------------ */

static json_t *policy_json(const struct clite_policy_info *policy, bool text)
{
	json_t *object = json_new_object();

	json_put_text(object, "name", policy->name);
	json_put_number(object, "rules", policy->rules);
	json_put_number(object, "endpoints", policy->endpoints);
	json_put_number(object, "revision", policy->revision);
	json_put_text(object, "filename", policy->filename);
	if (text)
		json_put_text(object, "policy", policy->text);
	return object;
}

static int get_one(struct cli *cli, const char *name)
{
	const struct clite_policy_info *policy;
	int r = clite_policy_get(cli->ctx, name, &policy);
	size_t n;

	if (r < 0)
		return fail(cli, r);
	if (cli->json) {
		json_print(policy_json(policy, true));
		return CLI_OK;
	}
	n = strlen(policy->text);
	fputs(policy->text, stdout);
	if (n && policy->text[n - 1] != '\n')
		putchar('\n');
	return CLI_OK;
}

static const char *const headings[] = { "NAME", "RULES", "ENDPOINTS", "REVISION", "FILE" };

static void policy_row(struct table *t, const struct clite_policy_info *policy)
{
	table_cell(t, "%s", policy->name);
	table_cell(t, "%u", policy->rules);
	table_cell(t, "%u", policy->endpoints);
	table_cell(t, "%llu", (unsigned long long)policy->revision);
	table_cell(t, "%s", policy->filename);
}

static int collect(const struct clite_policy_info *policy, void *userdata)
{
	struct listing *l = userdata;

	if (l->json)
		json_add(l->json, policy_json(policy, false));
	else
		policy_row(&l->table, policy);
	return 0;
}

/* ---- hits ------------------------------------------------------------------- */

static const char *const hits_headings[] = { "POLICY", "RULE", "ACTION", "PACKETS", "BYTES", "FILE" };

struct hits {
	struct listing l;
	uint64_t rules, unused;
};

static void hits_row(struct table *t, const struct clite_rule_hits *h)
{
	const struct clite_rule_info *r = h->rule;

	table_cell(t, "%s", r->policy);
	table_cell(t, "%s[%u]", r->direction == CLITE_INGRESS ? "ingress" : "egress", r->index);
	table_cell(t, "%s", r->action == CLITE_DENY ? "deny" : "allow");
	table_cell(t, "%llu", (unsigned long long)h->packets);
	table_cell(t, "%llu", (unsigned long long)h->bytes);
	if (*r->filename)
		table_cell(t, "%s:%u", r->filename, r->line);
	else
		table_cell(t, "%s", "");
}

static int collect_hits(const struct clite_rule_hits *h, void *userdata)
{
	const struct clite_rule_info *r = h->rule;
	struct hits *all = userdata;
	json_t *object;

	all->rules++;
	all->unused += !h->packets;
	if (!all->l.json) {
		hits_row(&all->l.table, h);
		return 0;
	}
	object = json_new_object();
	json_put_text(object, "policy", r->policy);
	json_put_text(object, "direction", r->direction == CLITE_INGRESS ? "ingress" : "egress");
	json_put_text(object, "action", r->action == CLITE_DENY ? "deny" : "allow");
	json_put_number(object, "index", r->index);
	json_put_text(object, "file", r->filename);
	json_put_number(object, "line", r->line);
	json_put_number(object, "packets", h->packets);
	json_put_number(object, "bytes", h->bytes);
	json_put_bool(object, "unused", !h->packets);
	json_add(all->l.json, object);
	return 0;
}

static int get_hits(struct cli *cli, const char *name)
{
	struct hits all = { 0 };
	int r;

	listing_begin(&all.l, cli, hits_headings, ARRAY_SIZE(hits_headings));
	r = listing_end(&all.l, clite_policy_hits(cli->ctx, name, collect_hits, &all));
	if (!r && !cli->json && all.unused)
		printf("%llu of %llu rules unused\n", (unsigned long long)all.unused,
		       (unsigned long long)all.rules);
	listing_clear(&all.l);
	return r;
}

int cmd_policy_get(struct cli *cli)
{
	_cleanup_listing_ struct listing l = { 0 };
	bool with_hits = false;
	int r;

	while (cli_option(cli)) /* --hits is the only one */
		with_hits = true;
	r = cli_open(cli);
	if (r)
		return r;
	if (with_hits)
		return get_hits(cli, cli->nargs ? cli->args[0] : NULL);
	if (cli->nargs)
		return get_one(cli, cli->args[0]);
	listing_begin(&l, cli, headings, ARRAY_SIZE(headings));
	return listing_end(&l, clite_policy_list(cli->ctx, collect, &l));
}
