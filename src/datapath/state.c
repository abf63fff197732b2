/* SPDX-License-Identifier: BSD-2-Clause */
#include "datapath/state.h"
#include "datapath/blob.h"

void endpoint_free(struct endpoint *e)
{
	if (!e)
		return;
	free(e->name);
	named_ports_clear(&e->ports);
	free(e);
}

void service_free(struct service *s)
{
	if (!s)
		return;
	free(s->name);
	labels_clear(&s->labels);
	free(s->backends);
	free(s->sources);
	free(s);
}

void state_clear(struct state *st)
{
	tables_clear(st);
	lookup_drop(st);
	for (size_t i = 0; i < st->neps; i++)
		endpoint_free(st->eps[i]);
	for (size_t i = 0; i < st->npolicies; i++)
		policy_free(st->policies[i]);
	for (size_t i = 0; i < st->nservices; i++)
		service_free(st->services[i]);
	free(st->eps);
	free(st->policies);
	for (size_t i = 0; i < st->nimports; i++)
		import_clear(&st->imports[i]);
	free(st->services);
	free(st->imports);
	free(st->user);
	free(st->devices);
	free(st->slots_used);
	free(st->masquerade.exclude);
	for (size_t i = 0; i < st->ncgroups; i++)
		free(st->cgroups[i].path);
	free(st->cgroups);
	identities_clear(&st->ids);
	*st = (struct state){ .dp = st->dp };
}

/* ---- finding ------------------------------------------------------------- */

struct endpoint *state_endpoint(const struct state *st, uint32_t id)
{
	size_t lo = 0, hi = st->neps;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (st->eps[mid]->id == id)
			return st->eps[mid];
		if (st->eps[mid]->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

struct service *state_service(const struct state *st, uint32_t id)
{
	size_t lo = 0, hi = st->nservices;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (st->services[mid]->id == id)
			return st->services[mid];
		if (st->services[mid]->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

struct policy *state_policy(const struct state *st, const char *name)
{
	for (size_t i = 0; i < st->npolicies; i++)
		if (!strcmp(st->policies[i]->name, name))
			return st->policies[i];
	return NULL;
}

struct table *state_table(const struct state *st, uint32_t number)
{
	for (size_t i = 0; i < st->ntables; i++)
		if (st->tables[i]->number == number)
			return st->tables[i];
	return NULL;
}

/* ---- loading ------------------------------------------------------------- */

struct loading {
	struct state *st;
	struct policy **policies; /* all blobs, by id */
	size_t npolicies, cap;
	uint32_t *list; /* those in force */
	size_t nlist;
};

static int load_policy(struct loading *l, uint32_t id, const char *data, size_t len)
{
	struct policy *p = NULL;
	int r;

	if (!array_grow(&l->policies, &l->cap, l->npolicies))
		return -ENOMEM;
	r = blob_policy_read(data, len, &p);
	if (r)
		return r;
	p->id = id;
	l->policies[l->npolicies++] = p;
	return 0;
}

static int load_one(enum store_kind kind, uint32_t id, const char *data, size_t len, void *arg)
{
	struct loading *l = arg;

	switch (kind) {
	case STORE_IDENTITY:
		return blob_identity_read(l->st, id, data, len);
	case STORE_ENDPOINT:
		return blob_endpoint_read(l->st, id, data, len);
	case STORE_SERVICE:
		return blob_service_read(l->st, id, data, len);
	case STORE_IMPORT:
		return blob_import_read(l->st, id, data, len);
	case STORE_IPCACHE:
		return blob_ipcache_read(l->st, id, data, len);
	case STORE_DEVICE:
		if (!array_grow(&l->st->devices, &l->st->devices_cap, l->st->ndevices))
			return -ENOMEM;
		l->st->devices[l->st->ndevices++].ifindex = id;
		return 0;
	case STORE_CGROUP:
		return cgroup_load(l->st, id, data, len);
	case STORE_SETTINGS:
		if (len != sizeof(l->st->settings))
			return -EBADMSG;
		memcpy(&l->st->settings, data, len);
		return 0;
	case STORE_MASQUERADE:
		return masquerade_load(l->st, data, len);
	case STORE_POLICY:
		return load_policy(l, id, data, len);
	case STORE_POLICIES:
		free(l->list);
		l->list = malloc(len ?: 1);
		if (!l->list)
			return -ENOMEM;
		memcpy(l->list, data, len);
		l->nlist = len / sizeof(uint32_t);
		return 0;
	}
	return 0;
}

static int policy_by_name(const void *a, const void *b)
{
	return strcmp((*(struct policy *const *)a)->name, (*(struct policy *const *)b)->name);
}

/* Of all policy blobs keep those that the list names: the others were being
 * written, or being removed, when their writer died. */
static int select_policies(struct loading *l, bool repair)
{
	struct state *st = l->st;

	st->policies = calloc(l->nlist ?: 1, sizeof(struct policy *));
	if (!st->policies)
		return -ENOMEM;
	for (size_t i = 0; i < l->npolicies; i++) {
		bool listed = false;

		for (size_t j = 0; j < l->nlist && !listed; j++)
			listed = l->list[j] == l->policies[i]->id;
		if (listed)
			st->policies[st->npolicies++] = TAKE_PTR(l->policies[i]);
		else if (repair)
			store_delete(st->dp, STORE_POLICY, l->policies[i]->id);
	}
	if (st->npolicies != l->nlist)
		return -EBADMSG;
	qsort(st->policies, st->npolicies, sizeof(*st->policies), policy_by_name);
	return 0;
}

static int load(struct state *st, bool repair)
{
	struct loading l = { .st = st };
	int r;

	state_clear(st);
	r = identities_init(&st->ids);
	if (!r)
		r = store_load(st->dp, repair, load_one, &l);
	if (!r)
		r = select_policies(&l, repair);
	for (size_t i = 0; i < l.npolicies; i++)
		policy_free(l.policies[i]);
	free(l.policies);
	free(l.list);
	return r;
}

static uint64_t revision_now(const struct state *st)
{
	return __atomic_load_n(&st->dp->control->revision, __ATOMIC_ACQUIRE);
}

int state_refresh(struct state *st, struct errtext *err)
{
	int r = 0;

	/* A writer may be at work: what was read counts only if nothing has changed
	 * meanwhile. */
	for (int tries = 0; tries < 100; tries++) {
		uint64_t revision = revision_now(st);

		if (st->revision == revision + 1)
			return 0;
		r = load(st, false);
		if (r && r != -EBADMSG)
			break;
		if (!r && revision_now(st) == revision) {
			st->revision = revision + 1; /* 0 is: nothing loaded */
			return 0;
		}
		usleep(1000);
	}
	state_clear(st);
	return err_set(err, r ? -r : EBUSY, "cannot read the state of instance '%s': %s",
		       st->dp->name, r ? strerror(-r) : "it keeps changing");
}

int state_begin(struct state *st, struct errtext *err)
{
	int r = dp_lock(st->dp, err);

	if (r)
		return r;
	if (__atomic_load_n(&st->dp->control->dirty, __ATOMIC_ACQUIRE)) {
		r = load(st, true);
		if (!r)
			r = state_repair(st, err);
		else
			err_set(err, -r, "cannot read the state of instance '%s': %s",
				st->dp->name, strerror(-r));
		if (r) {
			state_clear(st);
			dp_unlock(st->dp);
			return r;
		}
		__atomic_add_fetch(&st->dp->control->revision, 1, __ATOMIC_RELEASE);
		st->revision = revision_now(st) + 1;
	}
	r = state_refresh(st, err);
	if (r) {
		dp_unlock(st->dp);
		return r;
	}
	__atomic_store_n(&st->dp->control->dirty, 1, __ATOMIC_RELEASE);
	lookup_drop(st);
	return 0;
}

void state_end(struct state *st, bool changed)
{
	if (changed) {
		__atomic_add_fetch(&st->dp->control->revision, 1, __ATOMIC_RELEASE);
		st->revision = revision_now(st) + 1;
	}
	/* also after a change that failed and was taken back */
	lookup_drop(st);
	__atomic_store_n(&st->dp->control->dirty, 0, __ATOMIC_RELEASE);
	dp_unlock(st->dp);
}
