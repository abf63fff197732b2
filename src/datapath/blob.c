/* SPDX-License-Identifier: BSD-2-Clause */
#include "datapath/blob.h"

static int done(struct buf *out)
{
	return out->failed ? -ENOMEM : 0;
}

/* ---- identities: the prefix of a CIDR identity, or the labels ------------ */

int blob_identity_write(const struct identity *id, struct buf *out)
{
	buf_put(out, &id->cidr, sizeof(id->cidr));
	for (size_t i = 0; !id->cidr.family && i < id->labels.n; i++)
		buf_put(out, id->labels.text[i], strlen(id->labels.text[i]) + 1);
	return done(out);
}

static int read_labels(const char *data, size_t len, struct labels *ret)
{
	_cleanup_free_ const char **texts = NULL;
	size_t n = 0, cap = 0;

	if (len && data[len - 1])
		return -EBADMSG;
	for (size_t at = 0; at < len; at += strlen(data + at) + 1) {
		if (!array_grow(&texts, &cap, n + 1))
			return -ENOMEM;
		texts[n++] = data + at;
	}
	if (!texts)
		return -EBADMSG;
	texts[n] = NULL;
	return labels_parse(texts, ret, NULL);
}

int blob_identity_read(struct state *st, uint32_t id, const char *data, size_t len)
{
	struct labels labels = {};
	struct identity *added;
	struct prefix cidr;
	int r;

	if (len < sizeof(cidr))
		return -EBADMSG;
	memcpy(&cidr, data, sizeof(cidr));
	r = cidr.family ? cidr_labels(&cidr, &labels) :
			  read_labels(data + sizeof(cidr), len - sizeof(cidr), &labels);
	if (!r)
		r = identities_add(&st->ids, id, &labels, cidr.family ? &cidr : NULL, &added);
	if (r)
		labels_clear(&labels);
	return r;
}

/* ---- endpoints ----------------------------------------------------------- */

struct endpoint_blob {
	uint32_t ifindex;
	uint32_t identity;
	uint32_t audit;
	struct prefix v4, v6;
};

int blob_endpoint_write(const struct endpoint *e, struct buf *out)
{
	struct endpoint_blob b;

	memset(&b, 0, sizeof(b));
	b.ifindex = e->ifindex;
	b.identity = e->identity->id;
	b.audit = e->audit;
	b.v4 = e->v4;
	b.v6 = e->v6;
	buf_put(out, &b, sizeof(b));
	buf_put(out, e->name, strlen(e->name) + 1);
	for (size_t i = 0; i < e->ports.n; i++)
		buf_put(out, e->ports.text[i], strlen(e->ports.text[i]) + 1);
	return done(out);
}

static int read_ports(const char *data, size_t len, struct named_ports *ret)
{
	int r = 0;

	for (size_t at = 0; !r && at < len; at += strlen(data + at) + 1)
		r = named_ports_add(ret, data + at, NULL);
	return r == -EINVAL ? -EBADMSG : r;
}

int blob_endpoint_read(struct state *st, uint32_t id, const char *data, size_t len)
{
	struct endpoint_blob b;
	struct endpoint *e;
	size_t at;
	int r;

	if (len <= sizeof(b) || data[len - 1])
		return -EBADMSG;
	memcpy(&b, data, sizeof(b));
	if (!array_grow(&st->eps, &st->eps_cap, st->neps))
		return -ENOMEM;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	*e = (struct endpoint){
		.id = id,
		.ifindex = b.ifindex,
		.identity = identities_get(&st->ids, b.identity),
		.audit = b.audit,
		.v4 = b.v4,
		.v6 = b.v6,
		.name = strdup(data + sizeof(b)),
	};
	at = sizeof(b) + strlen(data + sizeof(b)) + 1;
	r = !e->name ? -ENOMEM : !e->identity ? -EBADMSG : 0;
	if (!r)
		r = read_ports(data + at, len - at, &e->ports);
	if (r) {
		endpoint_free(e);
		return r;
	}
	e->identity->refs++;
	st->eps[st->neps++] = e; /* the store comes in order of ids */
	return 0;
}

/* ---- services ------------------------------------------------------------ */

struct service_blob {
	struct prefix ip;
	uint16_t port;
	uint8_t protocol, algorithm, mode, kind, pad[2];
	uint32_t gen, flags, affinity, nbackends, nsources;
	struct slots all, local;
};

int blob_service_write(const struct service *s, struct buf *out)
{
	struct service_blob b;

	memset(&b, 0, sizeof(b));
	b.ip = s->ip;
	b.port = s->port;
	b.protocol = s->protocol;
	b.algorithm = s->algorithm;
	b.mode = s->mode;
	b.kind = s->kind;
	b.gen = s->gen;
	b.flags = s->flags;
	b.affinity = s->affinity;
	b.all = s->all;
	b.local = s->local;
	b.nbackends = s->nbackends;
	b.nsources = s->nsources;
	buf_put(out, &b, sizeof(b));
	buf_put(out, s->backends, s->nbackends * sizeof(*s->backends));
	buf_put(out, s->sources, s->nsources * sizeof(*s->sources));
	buf_put(out, s->name, strlen(s->name) + 1);
	for (size_t i = 0; i < s->labels.n; i++)
		buf_put(out, s->labels.text[i], strlen(s->labels.text[i]) + 1);
	return done(out);
}

int blob_service_read(struct state *st, uint32_t id, const char *data, size_t len)
{
	struct service_blob b;
	struct service *s;
	size_t size, sources, at;
	int r;

	if (len <= sizeof(b) || data[len - 1])
		return -EBADMSG;
	memcpy(&b, data, sizeof(b));
	size = (size_t)b.nbackends * sizeof(struct backend);
	sources = (size_t)b.nsources * sizeof(struct prefix);
	if (len - sizeof(b) <= size + sources)
		return -EBADMSG;
	if (!array_grow(&st->services, &st->services_cap, st->nservices))
		return -ENOMEM;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct service){
		.id = id,
		.ip = b.ip,
		.port = b.port,
		.protocol = b.protocol,
		.algorithm = b.algorithm,
		.mode = b.mode,
		.kind = b.kind,
		.gen = b.gen,
		.flags = b.flags,
		.affinity = b.affinity,
		.all = b.all,
		.local = b.local,
		.nbackends = b.nbackends,
		.nsources = b.nsources,
		.backends = memdup(data + sizeof(b), size),
		.sources = memdup(data + sizeof(b) + size, sources),
		.name = strdup(data + sizeof(b) + size + sources),
	};
	at = sizeof(b) + size + sources;
	at += strlen(data + at) + 1;
	r = !s->name || !s->backends || !s->sources ? -ENOMEM : 0;
	if (!r && at < len)
		r = read_labels(data + at, len - at, &s->labels);
	if (r) {
		service_free(s);
		return r;
	}
	st->services[st->nservices++] = s;
	return 0;
}

/* ---- imports: the source, the keys ---------------------------------------- */

int blob_import_write(const struct import *i, struct buf *out)
{
	buf_put(out, i->source, strlen(i->source) + 1);
	buf_put(out, i->keys, i->nkeys * sizeof(*i->keys));
	return done(out);
}

int blob_import_read(struct state *st, uint32_t id, const char *data, size_t len)
{
	size_t text = len ? strnlen(data, len) + 1 : 1;
	struct import i = { .id = id };

	if (text > len || (len - text) % sizeof(*i.keys))
		return -EBADMSG;
	if (!array_grow(&st->imports, &st->imports_cap, st->nimports))
		return -ENOMEM;
	i.nkeys = (len - text) / sizeof(*i.keys);
	i.source = strdup(data);
	i.keys = calloc(i.nkeys ?: 1, sizeof(*i.keys));
	if (!i.source || !i.keys) {
		import_clear(&i);
		return -ENOMEM;
	}
	memcpy(i.keys, data + text, len - text);
	st->imports[st->nimports++] = i;
	return 0;
}

/* ---- ipcache ------------------------------------------------------------- */

int blob_ipcache_write(const struct ipcache_user *u, struct buf *out)
{
	buf_put(out, &u->prefix, sizeof(u->prefix));
	buf_put(out, &u->identity, sizeof(u->identity));
	return done(out);
}

int blob_ipcache_read(struct state *st, uint32_t id, const char *data, size_t len)
{
	struct ipcache_user u = { .id = id };
	struct identity *identity;

	if (len != sizeof(u.prefix) + sizeof(u.identity))
		return -EBADMSG;
	memcpy(&u.prefix, data, sizeof(u.prefix));
	memcpy(&u.identity, data + sizeof(u.prefix), sizeof(u.identity));
	if (!array_grow(&st->user, &st->user_cap, st->nuser))
		return -ENOMEM;
	identity = identities_get(&st->ids, u.identity);
	if (!identity)
		return -EBADMSG;
	identity->refs++;
	st->user[st->nuser++] = u;
	return 0;
}

/* ---- policies: length of the model, the model, the text ------------------ */

int blob_policy_write(const struct policy *p, struct buf *out)
{
	_cleanup_buf_ struct buf model = {};
	int r = policy_encode(p, &model);
	uint32_t len;

	if (r)
		return r;
	len = model.len;
	buf_put(out, &len, sizeof(len));
	buf_put(out, model.data, model.len);
	buf_put(out, p->text, strlen(p->text) + 1);
	return done(out);
}

int blob_policy_read(const char *data, size_t len, struct policy **ret)
{
	struct policy *p = NULL;
	uint32_t model;
	int r;

	if (len < sizeof(model))
		return -EBADMSG;
	memcpy(&model, data, sizeof(model));
	data += sizeof(model);
	len -= sizeof(model);
	if (model >= len || data[len - 1])
		return -EBADMSG;
	r = policy_decode(data, model, &p);
	if (r)
		return r;
	free(p->text);
	p->text = strdup(data + model);
	if (!p->text) {
		policy_free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}
