/* SPDX-License-Identifier: BSD-2-Clause */
/* What documents brought: nothing of it is in the kernel but the services
 * themselves. */
#include "datapath/blob.h"
#include "datapath/state.h"

void import_clear(struct import *i)
{
	free(i->source);
	free(i->keys);
	*i = (struct import){};
}

struct import *import_find(const struct state *st, const char *source)
{
	for (size_t i = 0; i < st->nimports; i++)
		if (strcmp(st->imports[i].source, source) == 0)
			return &st->imports[i];
	return NULL;
}

static uint32_t free_id(const struct state *st)
{
	uint32_t id = 1;

	for (size_t i = 0; i < st->nimports; i++)
		if (st->imports[i].id == id) {
			id++;
			i = (size_t)-1;
		}
	return id;
}

static void forget(struct state *st, struct import *i)
{
	store_delete(st->dp, STORE_IMPORT, i->id);
	import_clear(i);
	*i = st->imports[--st->nimports];
}

static int import_new(const struct state *st, const char *source, const struct service_key *keys,
		      size_t n, struct import *ret)
{
	const struct import *old = import_find(st, source);

	ret->id = old ? old->id : free_id(st);
	ret->source = strdup(source);
	ret->keys = calloc(n, sizeof(*keys));
	if (!ret->source || !ret->keys)
		return -ENOMEM;
	memcpy(ret->keys, keys, n * sizeof(*keys));
	ret->nkeys = n;
	return 0;
}

int import_set(struct state *st, const char *source, const struct service_key *keys, size_t n,
	       struct errtext *err)
{
	struct import *old = import_find(st, source);
	_cleanup_(import_clear) struct import new = {};
	_cleanup_buf_ struct buf b = {};
	int r;

	if (!n) {
		if (old)
			forget(st, old);
		return 0;
	}
	if (!old && !array_grow(&st->imports, &st->imports_cap, st->nimports))
		return -ENOMEM;
	r = import_new(st, source, keys, n, &new);
	if (!r)
		r = blob_import_write(&new, &b);
	if (!r)
		r = store_put(st->dp, STORE_IMPORT, new.id, b.data, b.len, err);
	if (r)
		return r;
	old = import_find(st, source);
	if (old)
		import_clear(old);
	else
		old = &st->imports[st->nimports++];
	*old = new;
	new = (struct import){};
	return 0;
}
