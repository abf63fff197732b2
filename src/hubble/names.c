/* SPDX-License-Identifier: BSD-2-Clause */
/* A name is found by its key: the bytes of all its texts and numbers in a row. It is
 * made from its key, too, and points into it. */
#include "hubble/names.h"

#include <sys/random.h>

#define BUCKETS 256

/* ---- keys -------------------------------------------------------------------- */

static bool key_text(struct bytes *key, const char *s)
{
	return bytes_put(key, s, strlen(s) + 1);
}

/* How many, then each. */
static bool key_texts(struct bytes *key, const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	if (!bytes_put(key, &n, sizeof(n)))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!key_text(key, list[i]))
			return false;
	return true;
}

static bool key_end(struct bytes *key, const struct clite_flow_end *x)
{
	return key_text(key, x->ns) && key_text(key, x->pod) && key_text(key, x->service) &&
	       key_text(key, x->service_ns) && key_text(key, x->cluster) &&
	       key_text(key, x->workload) && key_text(key, x->workload_kind) &&
	       key_texts(key, x->labels) && key_texts(key, x->names);
}

static bool key_policy(struct bytes *key, const struct clite_flow_policy *p)
{
	return key_text(key, p->name) && key_text(key, p->ns) && key_text(key, p->kind) &&
	       bytes_put(key, &p->direction, sizeof(p->direction)) &&
	       bytes_put(key, &p->action, sizeof(p->action)) &&
	       bytes_put(key, &p->revision, sizeof(p->revision));
}

static const char *take_text(const uint8_t **at)
{
	const char *s = (const char *)*at;

	*at += strlen(s) + 1;
	return s;
}

static void take(const uint8_t **at, void *ret, size_t n)
{
	memcpy(ret, *at, n);
	*at += n;
}

/* ---- what a key stands for ------------------------------------------------------ */

/* Bytes of lists and structs beside the key. */
static size_t parts_size(const struct name *name, size_t n)
{
	switch (name->kind) {
	case NAME_END: /* n: labels and names */
		return (n + 2) * sizeof(char *);
	case NAME_POLICIES:
		return (n + 1) * sizeof(char *) + n * sizeof(struct clite_flow_policy);
	default:
		return 0;
	}
}

static const char *const *take_texts(const uint8_t **at, const char ***list)
{
	const char **first = *list;
	size_t n;

	take(at, &n, sizeof(n));
	while (n--)
		*(*list)++ = take_text(at);
	*(*list)++ = NULL;
	return first;
}

static void make_end(struct name *name, const char **list)
{
	const uint8_t *at = name->key;

	name->end = (struct clite_flow_end){ .sz = sizeof(name->end) };
	name->end.ns = take_text(&at);
	name->end.pod = take_text(&at);
	name->end.service = take_text(&at);
	name->end.service_ns = take_text(&at);
	name->end.cluster = take_text(&at);
	name->end.workload = take_text(&at);
	name->end.workload_kind = take_text(&at);
	name->end.labels = take_texts(&at, &list);
	name->end.names = take_texts(&at, &list);
}

static void make_policies(struct name *name, const struct clite_flow_policy **list, size_t n)
{
	struct clite_flow_policy *p = (struct clite_flow_policy *)(list + n + 1);
	const uint8_t *at = name->key;

	for (size_t i = 0; i < n; i++, p++) {
		*p = (struct clite_flow_policy){ .sz = sizeof(*p) };
		p->name = take_text(&at);
		p->ns = take_text(&at);
		p->kind = take_text(&at);
		take(&at, &p->direction, sizeof(p->direction));
		take(&at, &p->action, sizeof(p->action));
		take(&at, &p->revision, sizeof(p->revision));
		list[i] = p;
	}
	list[n] = NULL;
	name->policies = list;
}

/* In one piece: the struct, lists, the key. n as in parts_size(). */
static struct name *name_new(const struct names *names, enum name_kind kind, uint64_t hash,
			     size_t n)
{
	struct name like = { .kind = kind };
	size_t parts = parts_size(&like, n), len = names->key.len;
	struct name *name = malloc(sizeof(*name) + parts + len);

	if (!name)
		return NULL;
	*name = (struct name){
		.hash = hash,
		.refs = 1,
		.kind = kind,
		.size = sizeof(*name) + parts + len,
		.key = (uint8_t *)(name + 1) + parts,
		.key_len = len,
	};
	memcpy((uint8_t *)(name + 1) + parts, names->key.data, len);
	if (kind == NAME_END)
		make_end(name, (const char **)(name + 1));
	else if (kind == NAME_POLICIES)
		make_policies(name, (const struct clite_flow_policy **)(name + 1), n);
	else
		name->text = (const char *)name->key;
	return name;
}

/* ---- the table ----------------------------------------------------------------- */

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32) + v[3];
	v[2] += v[1];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

/* SipHash-1-3: others choose the bytes, and shall not know which meet. */
static uint64_t hash_bytes(const uint64_t seed[2], const uint8_t *p, size_t n)
{
	uint64_t v[4] = { seed[0] ^ 0x736f6d6570736575, seed[1] ^ 0x646f72616e646f6d,
			  seed[0] ^ 0x6c7967656e657261, seed[1] ^ 0x7465646279746573 };
	uint64_t word, last = (uint64_t)n << 56;

	for (; n >= sizeof(word); p += sizeof(word), n -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)p[i] << 8 * i;
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static bool grow(struct names *names)
{
	size_t nbuckets = names->nbuckets ? names->nbuckets * 2 : BUCKETS;
	struct name **buckets = calloc(nbuckets, sizeof(*buckets)), *name, *next;

	if (!buckets)
		return names->nbuckets; /* a full one will do */
	if (!names->nbuckets && getrandom(names->seed, sizeof(names->seed), GRND_NONBLOCK) < 0)
		names->seed[0] = (uintptr_t)buckets;
	for (size_t i = 0; i < names->nbuckets; i++) {
		for (name = names->buckets[i]; name; name = next) {
			struct name **to = &buckets[name->hash & (nbuckets - 1)];

			next = name->next;
			name->next = *to;
			*to = name;
		}
	}
	names->bytes += (nbuckets - names->nbuckets) * sizeof(*buckets);
	free(names->buckets);
	names->buckets = buckets;
	names->nbuckets = nbuckets;
	return true;
}

/* The name of names->key. */
static struct name *get(struct names *names, enum name_kind kind, size_t n)
{
	const struct bytes *key = &names->key;
	struct name *name, **bucket;
	uint64_t hash;

	if (names->n >= names->nbuckets && !grow(names))
		return NULL;
	hash = hash_bytes(names->seed, key->data, key->len);
	bucket = &names->buckets[hash & (names->nbuckets - 1)];
	for (name = *bucket; name; name = name->next) {
		if (name->hash != hash || name->kind != kind || name->key_len != key->len ||
		    memcmp(name->key, key->data, key->len) != 0)
			continue;
		name->refs++;
		return name;
	}
	name = name_new(names, kind, hash, n);
	if (!name)
		return NULL;
	name->next = *bucket;
	*bucket = name;
	names->n++;
	names->bytes += name->size;
	return name;
}

struct name *names_text(struct names *names, const char *text)
{
	names->key.len = 0;
	return key_text(&names->key, text) ? get(names, NAME_TEXT, 0) : NULL;
}

struct name *names_end(struct names *names, const struct clite_flow_end *end)
{
	size_t labels = 0, dns = 0;

	while (end->labels[labels])
		labels++;
	while (end->names[dns])
		dns++;
	names->key.len = 0;
	return key_end(&names->key, end) ? get(names, NAME_END, labels + dns) : NULL;
}

struct name *names_policies(struct names *names, const struct clite_flow_policy *const *policies)
{
	size_t n = 0;

	names->key.len = 0;
	for (; policies[n]; n++)
		if (!key_policy(&names->key, policies[n]))
			return NULL;
	if (!bytes_room(&names->key, 1)) /* there is a key, also of none */
		return NULL;
	return get(names, NAME_POLICIES, n);
}

void names_unref(struct names *names, struct name *name)
{
	struct name **at;

	if (!name || --name->refs)
		return;
	at = &names->buckets[name->hash & (names->nbuckets - 1)];
	while (*at != name)
		at = &(*at)->next;
	*at = name->next;
	names->n--;
	names->bytes -= name->size;
	free(name);
}

void names_clear(struct names *names)
{
	struct name *name, *next;

	for (size_t i = 0; i < names->nbuckets; i++) {
		for (name = names->buckets[i]; name; name = next) {
			next = name->next;
			free(name);
		}
	}
	free(names->buckets);
	bytes_clear(&names->key);
	*names = (struct names){};
}
