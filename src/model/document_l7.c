/* SPDX-License-Identifier: BSD-2-Clause */
/* What an element of toPorts asks for beyond ports: rules of layer 7, TLS, names of
 * servers, a listener. It is checked here as Cilium checks it, and kept as JSON for
 * the part that does it. */
#include "model/document_rule.h"

#include <cilium-lite/policy.h>

#include <netinet/in.h>

/* ---- lists of maps of strings --------------------------------------------- */

/* Checks what is in a map of nothing but strings; got gets its fields. */
static int strings(const struct reader *r, const struct ynode *n, const struct path *p,
		   const struct field *fields, size_t nfields, const struct ynode **got)
{
	int res = doc_fields(r, n, p, fields, nfields, got);

	for (size_t i = 0; res >= 0 && i < nfields; i++) {
		struct path here = { .up = p, .key = fields[i].name };
		const char *s;

		if (got[i])
			res = doc_string(r, got[i], &here, &s);
	}
	return res;
}

static int one_of(const struct reader *r, const struct ynode *n, const struct path *p,
		  const char *const *words, const char *what)
{
	const char *s;
	int res = doc_string(r, n, p, &s);

	if (res < 0)
		return res;
	for (; *words; words++)
		if (strcmp(s, *words) == 0)
			return 0;
	return doc_fail_value(r, n, p, CLITE_EDOCUMENT, what);
}

typedef int (*element_fn)(const struct reader *r, const struct ynode *n, const struct path *p);

static int each(const struct reader *r, const struct ynode *list, const struct path *p,
		element_fn fn)
{
	size_t i = 0;
	int res = doc_list(r, list, p);

	for (const struct ynode *n = list->first; res >= 0 && n; n = n->next) {
		struct path here = { .up = p, .index = i++ };

		res = fn(r, n, &here);
	}
	return res;
}

static int check_string(const struct reader *r, const struct ynode *n, const struct path *p)
{
	const char *s;
	int res = doc_string(r, n, p, &s);

	if (res >= 0 && !*s)
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "is empty");
	return res;
}

/* ---- HTTP ------------------------------------------------------------------- */

static int check_secret(const struct reader *r, const struct ynode *n, const struct path *p)
{
	enum { NAME, NAMESPACE, COUNT };
	static const struct field fields[COUNT] = {
		[NAME] = { .name = "name" },
		[NAMESPACE] = { .name = "namespace" },
	};
	const struct ynode *got[COUNT];
	int res = strings(r, n, p, fields, COUNT, got);

	if (res >= 0 && !got[NAME])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs a name");
	return res;
}

static int check_header_match(const struct reader *r, const struct ynode *n, const struct path *p)
{
	enum { NAME, VALUE, SECRET, MISMATCH, COUNT };
	static const struct field fields[COUNT] = {
		[NAME] = { .name = "name" },
		[VALUE] = { .name = "value" },
		[SECRET] = { .name = "secret" },
		[MISMATCH] = { .name = "mismatch" },
	};
	static const char *const mismatches[] = { "LOG", "ADD", "DELETE", "REPLACE", "", NULL };
	struct path name = { .up = p, .key = "name" }, value = { .up = p, .key = "value" };
	struct path secret = { .up = p, .key = "secret" };
	struct path mismatch = { .up = p, .key = "mismatch" };
	const struct ynode *got[COUNT];
	int res = doc_fields(r, n, p, fields, COUNT, got);
	const char *s;

	if (res < 0)
		return res;
	if (!got[NAME])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs the name of a header");
	res = check_string(r, got[NAME], &name);
	if (res >= 0 && got[VALUE])
		res = doc_string(r, got[VALUE], &value, &s);
	if (res >= 0 && got[SECRET])
		res = check_secret(r, got[SECRET], &secret);
	if (res >= 0 && got[MISMATCH])
		res = one_of(r, got[MISMATCH], &mismatch, mismatches,
			     "is no action: LOG, ADD, DELETE and REPLACE are");
	return res;
}

static int check_http(const struct reader *r, const struct ynode *n, const struct path *p)
{
	enum { PATH, METHOD, HOST, HEADERS, MATCHES, COUNT };
	static const struct field fields[COUNT] = {
		[PATH] = { .name = "path" },	   [METHOD] = { .name = "method" },
		[HOST] = { .name = "host" },	   [HEADERS] = { .name = "headers" },
		[MATCHES] = { .name = "headerMatches" },
	};
	struct path headers = { .up = p, .key = "headers" };
	struct path matches = { .up = p, .key = "headerMatches" };
	const struct ynode *got[COUNT];
	int res = doc_fields(r, n, p, fields, COUNT, got);

	for (size_t i = PATH; res >= 0 && i <= HOST; i++) {
		struct path here = { .up = p, .key = fields[i].name };
		const char *s;

		if (got[i])
			res = doc_string(r, got[i], &here, &s);
	}
	if (res >= 0 && got[HEADERS])
		res = each(r, got[HEADERS], &headers, check_string);
	if (res >= 0 && got[MATCHES])
		res = each(r, got[MATCHES], &matches, check_header_match);
	return res;
}

/* ---- Kafka, DNS, other parsers ------------------------------------------------ */

static int check_kafka(const struct reader *r, const struct ynode *n, const struct path *p)
{
	enum { ROLE, API_KEY, API_VERSION, CLIENT, TOPIC, COUNT };
	static const struct field fields[COUNT] = {
		[ROLE] = { .name = "role" },
		[API_KEY] = { .name = "apiKey" },
		[API_VERSION] = { .name = "apiVersion" },
		[CLIENT] = { .name = "clientID" },
		[TOPIC] = { .name = "topic" },
	};
	static const char *const roles[] = { "produce", "consume", NULL };
	struct path role = { .up = p, .key = "role" };
	const struct ynode *got[COUNT];
	int res = strings(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (got[ROLE] && got[API_KEY])
		return doc_fail(r, got[API_KEY]->key_line, p, CLITE_EDOCUMENT,
				"combining role and apiKey is not allowed: a role stands for several keys");
	return got[ROLE] ? one_of(r, got[ROLE], &role, roles, "is no role: produce and consume are") :
			   0;
}

/* Letters of names and of patterns of names. */
static bool is_dns(const char *s, bool pattern)
{
	if (!*s || strlen(s) > 255)
		return false;
	for (; *s; s++) {
		bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			      (*s >= '0' && *s <= '9') || *s == '-' || *s == '_' || *s == '.';

		if (!letter && !(pattern && *s == '*'))
			return false;
	}
	return true;
}

int document_name_match(const struct reader *r, const struct ynode *n, const struct path *p)
{
	enum { NAME, PATTERN, COUNT };
	static const struct field fields[COUNT] = {
		[NAME] = { .name = "matchName" },
		[PATTERN] = { .name = "matchPattern" },
	};
	const struct ynode *got[COUNT];
	int res = strings(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[NAME] == !got[PATTERN])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT,
				"needs one of matchName and matchPattern");
	for (size_t i = 0; i < COUNT; i++) {
		struct path here = { .up = p, .key = fields[i].name };

		if (got[i] && !is_dns(got[i]->text, i == PATTERN))
			return doc_fail_value(r, got[i], &here, CLITE_EDOCUMENT,
					      i == PATTERN ?
						      "is no pattern of DNS names: letters, digits, "
						      "'-', '_', '.' and '*'" :
						      "is no DNS name: letters, digits, '-', '_', '.'");
	}
	return 0;
}

static int check_l7(const struct reader *r, const struct ynode *n, const struct path *p)
{
	if (n->kind != YNODE_MAP)
		return doc_fail_type(r, n, p, "a map");
	for (const struct ynode *e = n->first; e; e = e->next) {
		struct path here = { .up = p, .key = e->key };
		const char *s;
		int res = doc_string(r, e, &here, &s);

		if (res < 0)
			return res;
	}
	return 0;
}

/* ---- rules --------------------------------------------------------------------- */

enum l7 { L7_HTTP, L7_KAFKA, L7_DNS, L7_PROTO, L7_RULES, L7_COUNT };

static const struct field l7_fields[L7_COUNT] = {
	[L7_HTTP] = { .name = "http" },	    [L7_KAFKA] = { .name = "kafka" },
	[L7_DNS] = { .name = "dns" },	    [L7_PROTO] = { .name = "l7proto" },
	[L7_RULES] = { .name = "l7" },
};

static int check_rules(const struct reader *r, const struct path *p, const struct ynode *const *got,
		       const struct rule *rule)
{
	static const element_fn check[L7_COUNT] = {
		[L7_HTTP] = check_http,
		[L7_KAFKA] = check_kafka,
		[L7_DNS] = document_name_match,
		[L7_RULES] = check_l7,
	};
	const struct ynode *seen = NULL;

	for (size_t i = 0; i < L7_COUNT; i++) {
		struct path here = { .up = p, .key = l7_fields[i].name };
		int res;

		if (!got[i])
			continue;
		if (seen && !(i == L7_RULES && got[L7_PROTO] == seen))
			return doc_fail(r, got[i]->key_line, p, CLITE_EDOCUMENT,
					"combining %s and %s is not allowed: rules are of one protocol",
					seen->key, got[i]->key);
		seen = got[i];
		res = check[i] ? each(r, got[i], &here, check[i]) :
				 check_string(r, got[i], &here);
		if (res < 0)
			return res;
	}
	if (got[L7_RULES] && !got[L7_PROTO])
		return doc_fail(r, got[L7_RULES]->key_line, p, CLITE_EDOCUMENT,
				"l7 needs l7proto, the name of its parser");
	if (got[L7_DNS] && rule->direction == CLITE_INGRESS)
		return doc_fail(r, got[L7_DNS]->key_line, p, CLITE_EDOCUMENT,
				"dns is not allowed on ingress: write it on egress");
	return 0;
}

static const struct {
	enum need need;
	uint32_t priority;
} l7_needs[] = {
	[L7_HTTP] = { NEED_HTTP, REDIRECT_PRIORITY_HTTP },
	[L7_KAFKA] = { NEED_KAFKA, REDIRECT_PRIORITY_KAFKA },
	[L7_DNS] = { NEED_DNS, REDIRECT_PRIORITY_DNS },
	[L7_PROTO] = { NEED_L7, REDIRECT_PRIORITY_L7 },
};

static int read_rules(const struct reader *r, const struct ynode *n, const struct path *p,
		      const struct rule *rule, struct redirect *to)
{
	const struct ynode *got[L7_COUNT];
	int res = doc_fields(r, n, p, l7_fields, L7_COUNT, got);

	if (res >= 0)
		res = check_rules(r, p, got, rule);
	for (size_t i = 0; res >= 0 && i < ARRAY_SIZE(l7_needs); i++)
		if (got[i]) {
			to->needs |= 1u << l7_needs[i].need;
			to->priority = l7_needs[i].priority;
		}
	return res;
}

/* ---- TLS, listeners --------------------------------------------------------------- */

static int check_tls(const struct reader *r, const struct ynode *n, const struct path *p)
{
	enum { SECRET, CA, CERTIFICATE, KEY, COUNT };
	static const struct field fields[COUNT] = {
		[SECRET] = { .name = "secret" },
		[CA] = { .name = "trustedCA" },
		[CERTIFICATE] = { .name = "certificate" },
		[KEY] = { .name = "privateKey" },
	};
	struct path secret = { .up = p, .key = "secret" };
	const struct ynode *got[COUNT];
	int res = doc_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[SECRET])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs a secret");
	res = check_secret(r, got[SECRET], &secret);
	for (size_t i = CA; res >= 0 && i < COUNT; i++) {
		struct path here = { .up = p, .key = fields[i].name };
		const char *s;

		if (got[i])
			res = doc_string(r, got[i], &here, &s);
	}
	return res;
}

static int check_envoy_config(const struct reader *r, const struct ynode *n, const struct path *p)
{
	enum { KIND, NAME, COUNT };
	static const struct field fields[COUNT] = {
		[KIND] = { .name = "kind" },
		[NAME] = { .name = "name" },
	};
	static const char *const kinds[] = { "CiliumEnvoyConfig", "CiliumClusterwideEnvoyConfig",
					     NULL };
	struct path kind = { .up = p, .key = "kind" };
	const struct ynode *got[COUNT];
	int res = strings(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[NAME] || !*got[NAME]->text)
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs a name");
	return got[KIND] ? one_of(r, got[KIND], &kind, kinds,
				  "is no kind: CiliumEnvoyConfig and CiliumClusterwideEnvoyConfig are") :
			   0;
}

static int read_listener(const struct reader *r, const struct ynode *n, const struct path *p,
			 struct redirect *to)
{
	enum { CONFIG, NAME, PRIORITY, COUNT };
	static const struct field fields[COUNT] = {
		[CONFIG] = { .name = "envoyConfig" },
		[NAME] = { .name = "name" },
		[PRIORITY] = { .name = "priority" },
	};
	struct path config = { .up = p, .key = "envoyConfig" };
	struct path name = { .up = p, .key = "name" };
	struct path priority = { .up = p, .key = "priority" };
	const struct ynode *got[COUNT];
	unsigned int v = 0;
	int res = doc_fields(r, n, p, fields, COUNT, got);

	if (res < 0)
		return res;
	if (!got[CONFIG] || !got[NAME])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs an envoyConfig and a name");
	res = check_envoy_config(r, got[CONFIG], &config);
	if (res >= 0)
		res = check_string(r, got[NAME], &name);
	if (res >= 0 && got[PRIORITY])
		res = doc_number(r, got[PRIORITY], &priority, 100, &v);
	if (res >= 0 && got[PRIORITY] && v == 0)
		return doc_fail_value(r, got[PRIORITY], &priority, CLITE_EDOCUMENT,
				      "is no priority: 1, the first, to 100");
	if (res < 0)
		return res;
	to->needs |= 1u << NEED_LISTENER;
	to->priority = v ? 128 - v : REDIRECT_PRIORITY_CRD;
	return doc_strdup(r, got[NAME], &name, &to->listener);
}

/* ---- the element --------------------------------------------------------------------- */

enum { R_RULES, R_TERMINATING, R_ORIGINATING, R_SERVER_NAMES, R_LISTENER };

_Static_assert(R_LISTENER + 1 == DOCUMENT_REDIRECT_FIELDS, "fields of redirects");

static int read_tls(const struct reader *r, const struct path *p, const struct ynode *const *got,
		    struct redirect *to)
{
	int res = 0;

	for (size_t i = R_TERMINATING; res >= 0 && i <= R_SERVER_NAMES; i++) {
		struct path here = { .up = p, .key = got[i] ? got[i]->key : NULL };

		if (!got[i])
			continue;
		res = i == R_SERVER_NAMES ? each(r, got[i], &here, check_string) :
					    check_tls(r, got[i], &here);
		to->needs |= 1u << NEED_TLS;
		if (!to->priority)
			to->priority = REDIRECT_PRIORITY_TLS;
	}
	return res;
}

/* The element as JSON, without its ports. */
static int keep(const struct ynode *const *got, struct redirect *to)
{
	_cleanup_buf_ struct buf b = {};

	for (size_t i = 0; i < DOCUMENT_REDIRECT_FIELDS; i++) {
		if (!got[i])
			continue;
		buf_puts(&b, b.len ? ", " : "{");
		buf_json(&b, got[i]->key);
		buf_puts(&b, ": ");
		doc_json(got[i], &b);
	}
	buf_puts(&b, "}");
	if (b.failed)
		return -ENOMEM;
	to->json = TAKE_PTR(b.data);
	return 0;
}

static int add_redirect(struct rule *rule, struct redirect to)
{
	struct redirect *v = reallocarray(rule->redirects, rule->nredirects + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v[rule->nredirects++] = to;
	rule->redirects = v;
	return 0;
}

int document_redirect(const struct reader *r, const struct path *p, const struct ynode *const *got,
		      struct rule *rule, uint32_t *ret)
{
	struct path rules = { .up = p, .key = "rules" }, listener = { .up = p, .key = "listener" };
	struct redirect to = {};
	int res = 0;

	*ret = 0;
	if (got[R_RULES])
		res = read_rules(r, got[R_RULES], &rules, rule, &to);
	if (res >= 0)
		res = read_tls(r, p, got, &to);
	if (res >= 0 && got[R_LISTENER])
		res = read_listener(r, got[R_LISTENER], &listener, &to);
	if (res >= 0 && to.needs) {
		res = keep(got, &to);
		if (res >= 0)
			res = add_redirect(rule, to);
		if (res >= 0) {
			*ret = (uint32_t)rule->nredirects;
			return 0;
		}
	}
	free(to.listener);
	free(to.json);
	return res;
}

int document_check_l7_port(const struct reader *r, uint32_t line, const struct path *p,
			   const struct redirect *to, const struct port_range *port)
{
	uint32_t tcp = 1u << NEED_HTTP | 1u << NEED_KAFKA | 1u << NEED_TLS | 1u << NEED_L7;

	if (!port->name && port->first == 0)
		return doc_fail(r, line, p, CLITE_EDOCUMENT,
				"port 0, all of them, is not allowed beside rules of layer 7");
	if (!(to->needs & tcp) || port->protocol == IPPROTO_TCP || port->protocol == 0)
		return 0;
	return doc_fail(r, line, p, CLITE_EDOCUMENT,
			"what stands beside these ports is for TCP only: write 'protocol: TCP'");
}

/* ---- authentication --------------------------------------------------------------------- */

int document_auth(const struct reader *r, const struct ynode *n, const struct path *p,
		  struct rule *rule)
{
	static const struct field fields[] = { { .name = "mode" } };
	static const char *const modes[] = {
		[AUTH_DISABLED] = "disabled",
		[AUTH_REQUIRED] = "required",
		[AUTH_FAIL] = "test-always-fail",
	};
	struct path mode = { .up = p, .key = "mode" };
	const struct ynode *got[1];
	const char *s;
	int res = doc_fields(r, n, p, fields, 1, got);

	if (res < 0)
		return res;
	if (!got[0])
		return doc_fail(r, n->line, p, CLITE_EDOCUMENT, "needs a mode");
	res = doc_string(r, got[0], &mode, &s);
	if (res < 0)
		return res;
	for (uint32_t i = AUTH_DISABLED; i < ARRAY_SIZE(modes); i++)
		if (strcmp(s, modes[i]) == 0) {
			rule->auth = i;
			return 0;
		}
	return doc_fail_value(r, got[0], &mode, CLITE_EDOCUMENT,
			      "is no mode: disabled, required and test-always-fail are");
}
