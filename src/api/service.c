/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/service.h>
#include <netinet/in.h>

#include "api/ctx.h"

#define SERVICE_FLAGS                                                    \
	(CLITE_SERVICE_EXTERNAL_LOCAL | CLITE_SERVICE_INTERNAL_LOCAL |   \
	 CLITE_SERVICE_SOURCES_DENY | CLITE_SERVICE_REJECT)
#define AFFINITY_MAX 86400u /* Kubernetes' */

/* ---- update, delete ------------------------------------------------------------ */

static int backend_fill(struct clite_ctx *ctx, const struct service *s,
			const struct clite_backend *from, struct backend *b)
{
	if (!from->address || addr_parse(from->address, &b->ip))
		return err_set(&ctx->err, EINVAL, "backend '%s': not an address",
			       from->address ?: "(null)");
	if (b->ip.family != s->ip.family)
		return err_set(&ctx->err, EINVAL,
			       "backend '%s' is IPv%u, its service IPv%u: they must be alike",
			       from->address, b->ip.family, s->ip.family);
	if (from->state > CLITE_BACKEND_MAINTENANCE)
		return err_set(&ctx->err, EINVAL, "backend '%s': state %u is none", from->address,
			       from->state);
	b->port = from->port ?: s->port;
	if ((s->mode >= CLITE_MODE_IPIP || s->protocol == IPPROTO_SCTP) && b->port != s->port)
		return err_set(&ctx->err, EINVAL,
			       s->mode >= CLITE_MODE_IPIP ?
				       "backend '%s' port %u: in this mode packets keep the service's, %u" :
				       "backend '%s' port %u: ports of SCTP are not translated, it must be the service's %u",
			       from->address, b->port, s->port);
	b->weight = from->weight ?: 1;
	b->state = from->state;
	return 0;
}

static int backends_fill(struct clite_ctx *ctx, struct service *s,
			 const struct clite_service_opts *o)
{
	if (o->nbackends > 65535 || (o->nbackends && !o->backends))
		return err_set(&ctx->err, EINVAL, "%zu backends: at most 65535", o->nbackends);
	s->backends = calloc(o->nbackends ?: 1, sizeof(*s->backends));
	if (!s->backends)
		return -ENOMEM;
	for (size_t i = 0; i < o->nbackends; i++) {
		struct backend *b = &s->backends[s->nbackends];
		int r = backend_fill(ctx, s, &o->backends[i], b);

		if (r)
			return r;
		for (size_t j = 0; j < s->nbackends; j++)
			if (s->backends[j].port == b->port &&
			    !prefix_cmp(&s->backends[j].ip, &b->ip))
				return err_set(&ctx->err, EINVAL, "backend '%s' port %u: named twice",
					       o->backends[i].address, b->port);
		s->nbackends++;
	}
	return 0;
}

static int service_fill(struct clite_ctx *ctx, const struct clite_service_opts *o,
			struct service *s)
{
	if (!o->address || addr_parse(o->address, &s->ip))
		return err_set(&ctx->err, EINVAL, "service '%s': not an address",
			       o->address ?: "(null)");
	if (!o->port)
		return err_set(&ctx->err, EINVAL, "service '%s': port is 0: 1 to 65535",
			       o->address);
	s->protocol = o->protocol ?: IPPROTO_TCP;
	if (o->protocol > 255 || (s->protocol != IPPROTO_TCP && s->protocol != IPPROTO_UDP &&
				  s->protocol != IPPROTO_SCTP))
		return err_set(&ctx->err, EINVAL,
			       "protocol %u: only TCP (6), UDP (17) and SCTP (132)", o->protocol);
	s->algorithm = o->algorithm ?: CLITE_LB_RANDOM;
	if (o->algorithm > CLITE_LB_MAGLEV)
		return err_set(&ctx->err, EINVAL, "algorithm %u is none", o->algorithm);
	if (o->mode > CLITE_MODE_GUE)
		return err_set(&ctx->err, EINVAL, "mode %u is none", o->mode);
	s->mode = o->mode;
	if (o->kind > CLITE_KIND_STANDALONE)
		return err_set(&ctx->err, EINVAL, "kind %u is none", o->kind);
	s->kind = o->kind ?: o->mode != CLITE_MODE_SNAT ? CLITE_KIND_STANDALONE : 0;
	if (o->reserved)
		return err_set(&ctx->err, EINVAL, "reserved is not 0");
	if (o->flags & ~SERVICE_FLAGS)
		return err_set(&ctx->err, EINVAL, "flags 0x%x: only 0x%x are known", o->flags,
			       SERVICE_FLAGS);
	if (o->affinity > AFFINITY_MAX)
		return err_set(&ctx->err, EINVAL, "affinity of %u s: at most %u", o->affinity,
			       AFFINITY_MAX);
	s->port = o->port;
	s->id = o->id;
	s->name = strdup(o->name ?: "");
	if (!s->name)
		return -ENOMEM;
	if (o->labels && o->labels[0]) {
		int r = labels_parse(o->labels, &s->labels, &ctx->err);

		if (r)
			return r;
	}
	s->flags = o->flags;
	s->affinity = o->affinity;
	if (o->flags & CLITE_SERVICE_SOURCES_DENY && (!o->sources || !o->sources[0]))
		return err_set(&ctx->err, EINVAL, "SOURCES_DENY without sources: who may not use it?");
	return prefixes_parse(o->sources, "source", &s->sources, &s->nsources, &ctx->err) ?:
		       backends_fill(ctx, s, o);
}

int clite_service_update(struct clite_ctx *ctx, const struct clite_service_opts *opts,
			 uint32_t *ret_id)
{
	struct clite_service_opts o;
	struct service *s;
	uint32_t id;
	int r;

	if (!ctx || !opts || opts_copy(&o, sizeof(o), opts))
		return -EINVAL;
	r = ctx_begin(ctx);
	if (r)
		return r;
	s = calloc(1, sizeof(*s));
	r = s ? service_fill(ctx, &o, s) : -ENOMEM;
	if (r) {
		service_free(s);
		return ctx_end(ctx, r);
	}
	r = service_set(&ctx->st, s, &ctx->err);
	if (!r) {
		id = s->id;
		if (ret_id)
			*ret_id = id;
	}
	return ctx_end(ctx, r);
}

int clite_service_delete(struct clite_ctx *ctx, uint32_t id)
{
	int r = ctx_begin(ctx);

	return r ?: ctx_end(ctx, service_remove(&ctx->st, id, &ctx->err));
}

/* ---- looking -------------------------------------------------------------------- */

/* An info with all that it points to, in one piece of memory. */
struct service_lent {
	struct clite_service_info info;
	struct clite_backend *backends;
	const char **sources;
	struct {
		char text[PREFIX_STR];
	} *texts; /* of back ends, then of sources, then of the service itself */
};

static struct service_lent *lent_new(const struct service *s)
{
	static const char *const none[] = { NULL };
	size_t n = s->nbackends, m = s->nsources;
	struct service_lent *l;
	char *at;

	_Static_assert(sizeof(*l) % _Alignof(struct clite_backend) == 0 &&
			       sizeof(*l->backends) % _Alignof(char *) == 0,
		       "what follows is aligned");
	l = calloc(1, sizeof(*l) + n * sizeof(*l->backends) + (m + 1) * sizeof(*l->sources) +
			      (n + m + 1) * sizeof(*l->texts));
	if (!l)
		return NULL;
	at = (char *)(l + 1);
	l->backends = (void *)at;
	l->sources = (void *)(at + n * sizeof(*l->backends));
	l->texts = (void *)(l->sources + m + 1);
	for (size_t i = 0; i < n; i++)
		l->backends[i] = (struct clite_backend){
			.address = addr_format(s->backends[i].ip.ip, s->backends[i].ip.family,
					       l->texts[i].text),
			.port = s->backends[i].port,
			.weight = s->backends[i].weight,
			.state = s->backends[i].state,
		};
	for (size_t i = 0; i < m; i++)
		l->sources[i] = prefix_format(&s->sources[i], l->texts[n + i].text);
	l->info = (struct clite_service_info){
		.sz = sizeof(l->info),
		.id = s->id,
		.protocol = s->protocol,
		.algorithm = s->algorithm,
		.mode = s->mode,
		.kind = s->kind,
		.port = s->port,
		.address = addr_format(s->ip.ip, s->ip.family, l->texts[n + m].text),
		.name = s->name,
		.backends = l->backends,
		.nbackends = n,
		.labels = s->labels.n ? (const char *const *)s->labels.text : none,
		.sources = l->sources,
		.flags = s->flags,
		.affinity = s->affinity,
	};
	return l;
}

int clite_service_get(struct clite_ctx *ctx, uint32_t id, const struct clite_service_info **ret)
{
	const struct service *s;
	struct service_lent *l;
	int r = ret ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	s = state_service(&ctx->st, id);
	if (!s)
		return err_set(&ctx->err, ENOENT, "there is no service %u", id);
	l = lent_new(s);
	r = ctx_lend(ctx, l);
	if (!r)
		*ret = &l->info;
	return r;
}

int clite_service_list(struct clite_ctx *ctx,
		       int (*cb)(const struct clite_service_info *info, void *userdata),
		       void *userdata)
{
	int r = cb ? ctx_read(ctx) : -EINVAL;

	if (r)
		return r;
	for (size_t i = 0; i < ctx->st.nservices; i++) {
		_cleanup_free_ struct service_lent *l = lent_new(ctx->st.services[i]);

		r = l ? CTX_CALL(ctx, cb(&l->info, userdata)) : -ENOMEM;
		if (r < 0)
			return r;
	}
	return ctx->st.nservices;
}
