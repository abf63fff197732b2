/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/identity.h>

#include "datapath/blob.h"
#include "datapath/state.h"

static int store(struct state *st, const struct identity *id, struct errtext *err)
{
	_cleanup_buf_ struct buf b = {};
	int r = blob_identity_write(id, &b);

	return r ?: store_put(st->dp, STORE_IDENTITY, id->id, b.data, b.len, err);
}

/* A number, an entry in every policy that names it, a blob. Nobody has it yet. */
static int identity_new(struct state *st, bool cidr, struct labels *labels,
			const struct prefix *prefix, struct identity **ret, struct errtext *err)
{
	uint32_t *next = cidr ? &st->dp->control->next_cidr : &st->dp->control->next_identity;
	uint32_t id = identities_next(&st->ids, cidr, next);
	int r;

	if (!id)
		return err_set(err, ENOSPC, "all numbers for %s are in use",
			       cidr ? "CIDR identities" : "identities");
	/* The policies first: adding changes the table that they are compiled from. */
	r = tables_load(st, err);
	if (!r)
		r = identities_add(&st->ids, id, labels, prefix, ret);
	if (r)
		return r;
	r = tables_add_identity(st, *ret, err);
	if (!r) {
		r = store(st, *ret, err);
		if (r)
			tables_remove_identity(st, id);
	}
	if (r)
		identities_remove(&st->ids, id);
	return r;
}

static void identity_drop(struct state *st, struct identity *id)
{
	tables_remove_identity(st, id->id);
	store_delete(st->dp, STORE_IDENTITY, id->id);
	identities_remove(&st->ids, id->id);
}

/* The identity of a label set, with a reference. Labels are taken over on success. */
int identity_get(struct state *st, struct labels *labels, struct identity **ret,
		 struct errtext *err)
{
	struct identity *id = identities_find_labels(&st->ids, labels);
	int r = 0;

	if (id)
		labels_clear(labels);
	else
		r = identity_new(st, false, labels, NULL, &id, err);
	if (r)
		return r;
	id->refs++;
	*ret = id;
	return 0;
}

/* Nothing leads to it any more after this reference: packets that have found it must
 * be gone before its classes go. */
bool identity_is_last(const struct state *st, const struct identity *id)
{
	return id->refs == 1 && id->id >= CLITE_ID_FIRST && (st->ntables || !st->tables_loaded);
}

void identity_put(struct state *st, struct identity *id)
{
	if (--id->refs || id->id < CLITE_ID_FIRST)
		return;
	/* Without its tables the kernel's entries would be found by the next identity
	 * of this number. */
	if (!tables_load(st, NULL))
		identity_drop(st, id);
}

/* ---- prefixes -------------------------------------------------------------- */

static struct dp_ipcache_key ipcache_key(const struct prefix *p)
{
	struct dp_ipcache_key k;

	memset(&k, 0, sizeof(k));
	k.prefixlen = 32 + p->len;
	k.family = p->family;
	memcpy(k.ip.b, p->ip, sizeof(k.ip.b));
	return k;
}

int ipcache_write(struct state *st, const struct prefix *p, uint32_t identity, struct errtext *err)
{
	struct dp_ipcache_key key = ipcache_key(p);

	return dp_update(st->dp, MAP_IPCACHE, &key, &identity, err);
}

void ipcache_erase(struct state *st, const struct prefix *p)
{
	struct dp_ipcache_key key = ipcache_key(p);

	dp_delete(st->dp, MAP_IPCACHE, &key);
}

static struct ipcache_user *user_find(struct state *st, const struct prefix *p)
{
	for (size_t i = 0; i < st->nuser; i++)
		if (!prefix_cmp(&st->user[i].prefix, p))
			return &st->user[i];
	return NULL;
}

int cidr_add(struct state *st, const struct prefix *p, struct errtext *err)
{
	struct identity *id = identities_find_cidr(&st->ids, p);
	struct labels labels = {};
	int r;

	if (!id) {
		r = cidr_labels(p, &labels);
		if (r)
			return r;
		r = identity_new(st, true, &labels, p, &id, err);
		if (r) {
			labels_clear(&labels);
			return r;
		}
	}
	/* What the user says of exactly this prefix stands. */
	if (user_find(st, p))
		return 0;
	r = ipcache_write(st, p, id->id, err);
	if (r)
		identity_drop(st, id);
	return r;
}

void cidrs_remove(struct state *st, const uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct identity *id = identities_get(&st->ids, ids[i]);

		if (id && !user_find(st, &id->cidr))
			ipcache_erase(st, &id->cidr);
	}
	/* A packet that has found one must find its class as well: without it, it is
	 * anybody, whom a policy may treat otherwise. */
	if (n)
		dp_synchronize(st->dp);
	for (size_t i = 0; i < n; i++) {
		struct identity *id = identities_get(&st->ids, ids[i]);

		if (id)
			identity_drop(st, id);
	}
}

void outside_changed(struct state *st)
{
	struct dp_ep *outside = &st->dp->eps[0];

	for (int s = 0; s < 2; s++)
		__atomic_store_n(&outside->slot[s].gen, outside->slot[s].gen + 1 ?: 1,
				 __ATOMIC_RELEASE);
}

/* ---- entries of the user ----------------------------------------------------- */

int ipcache_set(struct state *st, const struct prefix *p, uint32_t identity, struct errtext *err)
{
	struct ipcache_user *u = user_find(st, p), new = { .prefix = *p, .identity = identity };
	_cleanup_buf_ struct buf b = {};
	int r;

	if (!u && !array_grow(&st->user, &st->user_cap, st->nuser))
		return -ENOMEM;
	if (u)
		new.id = u->id;
	else
		for (size_t i = 0; i < st->nuser; i++)
			if (st->user[i].id >= new.id)
				new.id = st->user[i].id + 1;
	r = blob_ipcache_write(&new, &b);
	if (!r)
		r = store_put(st->dp, STORE_IPCACHE, new.id, b.data, b.len, err);
	if (r)
		return r;
	r = ipcache_write(st, p, identity, err);
	if (r) {
		if (!u)
			store_delete(st->dp, STORE_IPCACHE, new.id);
		return r;
	}
	/* An identity lives as long as an entry names it. */
	identities_get(&st->ids, identity)->refs++;
	if (u) {
		struct identity *old = identities_get(&st->ids, u->identity);

		*u = new;
		if (identity_is_last(st, old))
			dp_synchronize(st->dp);
		identity_put(st, old);
	} else {
		st->user[st->nuser++] = new;
	}
	outside_changed(st);
	return 0;
}

int ipcache_unset(struct state *st, const struct prefix *p, struct errtext *err)
{
	struct ipcache_user *u = user_find(st, p);
	struct identity *cidr = identities_find_cidr(&st->ids, p), *id;
	char text[PREFIX_STR];
	int r;

	if (!u)
		return err_set(err, ENOENT, "nobody has set %s in the ipcache",
			       prefix_format(p, text));
	r = store_delete(st->dp, STORE_IPCACHE, u->id);
	if (r)
		return r;
	id = identities_get(&st->ids, u->identity);
	*u = st->user[--st->nuser];
	if (cidr)
		r = ipcache_write(st, p, cidr->id, err);
	else
		ipcache_erase(st, p);
	outside_changed(st);
	if (identity_is_last(st, id))
		dp_synchronize(st->dp);
	identity_put(st, id);
	return r;
}
