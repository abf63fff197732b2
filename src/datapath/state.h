/* SPDX-License-Identifier: BSD-2-Clause */
/* What an instance holds, as this process knows it: loaded from the maps, which
 * are the only truth, and changed together with them. */
#pragma once

#include "datapath/dp.h"
#include "model/compile.h"
#include "model/identity.h"
#include "model/policy.h"
#include "model/service_front.h"

struct endpoint {
	uint32_t id;
	uint32_t ifindex;
	struct identity *identity;
	struct prefix v4;
	struct prefix v6;
	char *name;
	struct named_ports ports;
	bool audit; /* what its policies deny passes, and is told */
};

/* Settings of the instance: all zero at first. */
struct settings {
	uint32_t enforcement; /* CLITE_ENFORCE_* */
	uint32_t localhost;
	uint32_t audit;
	uint32_t reserved;
};

struct backend {
	uint32_t id; /* in the backends map */
	struct prefix ip;
	uint16_t port;
	uint16_t weight;
	uint32_t state; /* CLITE_BACKEND_* */
	bool local;	/* on this host; found out where the service's flags ask for it */
};

struct service {
	uint32_t id;
	struct prefix ip;
	uint16_t port;
	uint8_t protocol;
	uint8_t algorithm;
	uint8_t mode; /* DP_MODE_* */
	uint8_t kind; /* CLITE_KIND_* */
	uint32_t gen;
	struct slots {
		uint32_t first, n; /* in the slots map */
	} all, local;		   /* local: those on this host, where flags ask for it */
	uint32_t flags;		   /* CLITE_SERVICE_* */
	uint32_t affinity;	   /* seconds */
	char *name;		   /* never NULL */
	struct labels labels; /* none: those of selectors of services are not there */
	struct backend *backends;
	size_t nbackends;
	struct prefix *sources;
	size_t nsources;
};

/* What was imported from one source: what is no longer in it goes with the next import. */
struct import {
	uint32_t id;
	char *source;
	struct service_key *keys; /* each of one address */
	size_t nkeys;
};

/* An entry of the ipcache that the user has set. */
struct ipcache_user {
	uint32_t id;
	struct prefix prefix;
	uint32_t identity;
};

/* What leaves with the address of the uplink. */
struct masquerade {
	bool v4, v6;
	struct prefix *exclude; /* sorted, each once */
	size_t n;
};

struct device {
	uint32_t ifindex;
};

/* One whose sockets find services. */
struct cgroup {
	uint32_t number; /* in the store */
	uint64_t id;	 /* the kernel's: inode number of its directory */
	char *path;
};

/* A compiled policy in the kernel, shared by all endpoints with its rule set. */
struct table {
	uint32_t number;
	uint32_t direction;
	struct ruleset rules;
	struct compiled *compiled;
	uint32_t refs; /* endpoints */
};

struct state {
	struct dp *dp;
	uint64_t revision; /* of what is loaded; 0: nothing yet */
	struct settings settings;
	struct masquerade masquerade;
	struct identities ids;
	struct endpoint **eps; /* by id */
	size_t neps, eps_cap;
	struct policy **policies; /* by name */
	size_t npolicies;
	struct service **services; /* by id */
	size_t nservices, services_cap;
	uint32_t service_free; /* no number below this is; 0: not known */
	uint32_t backend_last; /* given out last */
	bool *slots_used;		     /* NULL: not known */
	uint32_t slots_next;		     /* where to look for free ones first */
	struct import *imports;
	size_t nimports, imports_cap;
	struct ipcache_user *user;
	size_t nuser, user_cap;
	struct device *devices;
	size_t ndevices, devices_cap;
	struct cgroup *cgroups;
	size_t ncgroups, cgroups_cap;

	struct table **tables;
	size_t ntables, tables_cap;
	bool tables_loaded;
	uint32_t ports_next; /* where to look for free intervals first */
	uint32_t parts;	     /* 1 << NEED_*: what is there to enforce more than L3 and L4 */
	struct lookup *lookup; /* NULL: not made since the last change */
};

/* state.c */
void state_clear(struct state *st);
/* Load what another process has changed, if it has. */
int state_refresh(struct state *st, struct errtext *err);
/* Begin a change: lock, refresh, repair what a killed writer left. */
int state_begin(struct state *st, struct errtext *err);
/* End it: unlock. changed: others must load it again. */
void state_end(struct state *st, bool changed);

struct endpoint *state_endpoint(const struct state *st, uint32_t id);
struct service *state_service(const struct state *st, uint32_t id);
struct policy *state_policy(const struct state *st, const char *name);
void service_free(struct service *s);
void endpoint_free(struct endpoint *e);
/* The tables of a direction in force at an endpoint: NULL is not enforced. */
struct table *state_table(const struct state *st, uint32_t number);

/* lookup.c: NULL: there is none, or no memory to look for it */
const struct service *lookup_service(struct state *st, uint32_t family, const uint8_t ip[16],
				     uint16_t port, uint32_t protocol);
const struct rule *lookup_rule(struct state *st, uint32_t cookie, const struct policy **ret_policy);
void lookup_drop(struct state *st);

/* tables.c */
/* Compile anew what is in the kernel, in order to add to it. */
int tables_load(struct state *st, struct errtext *err);
void tables_clear(struct state *st);
/* The table for a subject and direction, made when there is none. *ret is NULL
 * when nothing is enforced. It is not referenced yet: tables_sweep() takes it
 * back unless somebody does. */
int table_get(struct state *st, struct policy *const *policies, size_t n,
	      const struct endpoint *subject, uint32_t direction, const struct world *world,
	      struct table **ret, struct errtext *err);
/* What the names in policies mean now; world_clear() it. -ENOMEM. */
int world_make(const struct state *st, struct world *ret);
/* Remove tables that no endpoint uses; no packet may look at them any more. */
void tables_sweep(struct state *st);
/* Tell all tables of a new identity, of one that goes. */
int tables_add_identity(struct state *st, const struct identity *id, struct errtext *err);
void tables_remove_identity(struct state *st, uint32_t id);

/* identities.c: label sets and prefixes with their traces in the maps */
int identity_get(struct state *st, struct labels *labels, struct identity **ret,
		 struct errtext *err);
bool identity_is_last(const struct state *st, const struct identity *id);
void identity_put(struct state *st, struct identity *id);
int cidr_add(struct state *st, const struct prefix *p, struct errtext *err);
void cidrs_remove(struct state *st, const uint32_t *ids, size_t n);
int ipcache_write(struct state *st, const struct prefix *p, uint32_t identity, struct errtext *err);
void ipcache_erase(struct state *st, const struct prefix *p);
int ipcache_set(struct state *st, const struct prefix *p, uint32_t identity, struct errtext *err);
int ipcache_unset(struct state *st, const struct prefix *p, struct errtext *err);
/* Flows to and from outside are judged again. */
void outside_changed(struct state *st);

/* endpoints.c */
struct endpoint_spec {
	uint32_t id; /* 0: any */
	uint32_t ifindex;
	struct prefix v4, v6;
	struct labels labels; /* taken over */
	struct named_ports ports; /* taken over */
	const char *name;
	const uint8_t *mac; /* NULL: find or learn */
};
int endpoint_add(struct state *st, struct endpoint_spec *spec, uint32_t *ret_id,
		 struct errtext *err);
int endpoint_store(struct state *st, const struct endpoint *e, struct errtext *err);
int endpoint_audit(struct state *st, uint32_t id, bool audit, struct errtext *err);
int endpoint_remove(struct state *st, uint32_t id, struct errtext *err);
/* Those that are only in the maps go: half added, or half removed. */
void endpoints_prune(struct state *st);
/* What leads to one whose addition or removal did not get to its end. */
int endpoint_restore(struct state *st, const struct endpoint *e, struct errtext *err);
int device_add(struct state *st, uint32_t ifindex, const struct dp_xdp *p, bool xdp,
	       struct errtext *err);
void uplink_detach(struct dp *dp, uint32_t ifindex);
int device_remove(struct state *st, uint32_t ifindex, struct errtext *err);

/* cgroups.c */
int cgroup_add(struct state *st, const char *path, struct errtext *err);
int cgroup_remove(struct state *st, const char *path, struct errtext *err);
int cgroup_load(struct state *st, uint32_t number, const char *data, size_t len);
int cgroups_restore(struct state *st, struct errtext *err);

/* sockets.c: end connected UDP sockets whose back end is not there any more */
void sockets_end(struct state *st);

/* commit.c */
/* Put a whole new list of policies (sorted by name) into force, or nothing. New
 * policies have id 0 and are numbered here; on success the list and those that
 * are new belong to the state, and old ones that are not in it are freed. */
int policies_commit(struct state *st, struct policy **policies, size_t n, struct errtext *err);
/* Can they be enforced? -CLITE_EUNSUPPORTED, with what is needed. */
int policies_check(const struct state *st, struct policy *const *policies, size_t n,
		   struct errtext *err);
/* Endpoints or services are others: what policies say by their names is resolved
 * anew. */
int policies_follow(struct state *st, struct errtext *err);
/* Other settings come into force, for all endpoints at once. */
int settings_commit(struct state *st, const struct settings *s, struct errtext *err);
/* Is there anything to be resolved? */
bool policies_symbolic(const struct state *st);

/* services.c */
int service_set(struct state *st, struct service *svc, struct errtext *err); /* takes svc over */
int service_remove(struct state *st, uint32_t id, struct errtext *err);
/* A deep copy; NULL: no memory. */
struct service *service_copy(const struct service *s);
/* Set one anew that is there, as it is. */
int service_restore(struct state *st, struct service *s, struct errtext *err);
/* An endpoint with these addresses has come or goes: what is local is another. */
int services_follow(struct state *st, const struct endpoint *e, struct errtext *err);
/* The back end that the hash of a new flow chooses; NULL: no hash chooses, or none is
 * there. */
const struct backend *service_choice(const struct state *st, const struct service *s,
				     const struct prefix *from, uint16_t sport);

/* masquerade.c */
int masquerade_set(struct state *st, struct masquerade *m, struct errtext *err); /* takes exclude over */
/* Make the maps say it, beside what they say already. */
int masquerade_apply(struct state *st, const struct masquerade *m, struct errtext *err);
int masquerade_load(struct state *st, const char *data, size_t len);
bool masquerade_excludes(const struct masquerade *m, const struct prefix *p);

/* imports.c */
/* NULL: nothing is there of this source. */
struct import *import_find(const struct state *st, const char *source);
/* Remember the keys of a source, instead of those before; without keys, nothing. */
int import_set(struct state *st, const char *source, const struct service_key *keys, size_t n,
	       struct errtext *err);
void import_clear(struct import *i);

/* repair.c: write everything that the store says into the maps, and nothing else */
int state_repair(struct state *st, struct errtext *err);
