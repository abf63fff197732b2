/* SPDX-License-Identifier: BSD-2-Clause */
#include <cilium-lite/policy.h>
#include <net/if.h>

#include "datapath/blob.h"
#include "datapath/state.h"

static struct dp_addr_key addr_key(const struct prefix *p)
{
	struct dp_addr_key k;

	memset(&k, 0, sizeof(k));
	memcpy(k.ip.b, p->ip, sizeof(k.ip.b));
	k.family = p->family;
	return k;
}

/* ---- what must not be there twice ------------------------------------------- */

static bool same_addr(const struct prefix *a, const struct prefix *b)
{
	return a->family && b->family && !prefix_cmp(a, b);
}

static int check_unique(struct state *st, const struct endpoint_spec *spec, struct errtext *err)
{
	char text[PREFIX_STR], device[IF_NAMESIZE] = "?";

	if_indextoname(spec->ifindex, device);
	for (size_t i = 0; i < st->neps; i++) {
		const struct endpoint *e = st->eps[i];
		const struct prefix *twice = same_addr(&e->v4, &spec->v4) ? &e->v4 :
					     same_addr(&e->v6, &spec->v6) ? &e->v6 :
									     NULL;

		if (twice)
			return err_set(err, EEXIST, "address %s is endpoint %u's",
				       addr_format(twice->ip, twice->family, text), e->id);
		if (e->ifindex == spec->ifindex)
			return err_set(err, EEXIST, "device '%s' is endpoint %u's", device, e->id);
		if (e->id == spec->id)
			return err_set(err, EEXIST, "there is an endpoint %u already", e->id);
	}
	for (size_t i = 0; i < st->ndevices; i++)
		if (st->devices[i].ifindex == spec->ifindex)
			return err_set(err, EEXIST, "device '%s' is attached as an uplink", device);
	return 0;
}

static int choose_id(struct state *st, uint32_t *id, struct errtext *err)
{
	uint32_t max = st->dp->map_max[MAP_ENDPOINTS];

	if (*id >= max)
		return err_set(err, EINVAL,
			       "endpoint number %u is too large: this instance has room for 1 to %u",
			       *id, max - 1);
	if (*id)
		return 0;
	for (uint32_t i = 1, k = 0; i < max; i++) {
		while (k < st->neps && st->eps[k]->id < i)
			k++;
		if (k == st->neps || st->eps[k]->id != i) {
			*id = i;
			return 0;
		}
	}
	return err_set(err, ENOSPC, "map 'endpoints' is full: it holds %u entries", max - 1);
}

/* ---- the kernel's entry ------------------------------------------------------- */

static uint32_t next_gen(const struct dp_ep *ep)
{
	uint32_t a = ep->slot[0].gen, b = ep->slot[1].gen;

	return (a > b ? a : b) + 1 ?: 1;
}

/* The number of an endpoint is reused, its generations are not: flows of a former
 * one are never taken for its. */
static void entry_write(struct dp *dp, const struct endpoint *e, const struct dp_ep *like,
			const struct table *egress, const struct table *ingress)
{
	struct dp_ep *ep = &dp->eps[e->id];
	uint32_t gen = next_gen(ep);

	for (int s = 0; s < 2; s++)
		ep->slot[s] = (struct dp_ep_slot){
			.gen = gen,
			.identity = e->identity->id,
			.egress = egress ? egress->number : 0,
			.ingress = ingress ? ingress->number : 0,
		};
	ep->born = gen;
	ep->ifindex = e->ifindex;
	memcpy(ep->mac, like->mac, sizeof(ep->mac));
	memcpy(ep->host_mac, like->host_mac, sizeof(ep->host_mac));
	ep->v4 = 0;
	memcpy(&ep->v4, e->v4.ip, sizeof(ep->v4));
	memcpy(ep->v6.b, e->v6.ip, sizeof(ep->v6.b));
	__atomic_store_n(&ep->flags,
			 DP_EP_USED | like->flags | (e->v4.family ? DP_EP_V4 : 0) |
				 (e->v6.family ? DP_EP_V6 : 0),
			 __ATOMIC_RELEASE);
}

static void entry_clear(struct dp *dp, uint32_t id)
{
	struct dp_ep *ep = &dp->eps[id];
	uint32_t gen = next_gen(ep);

	__atomic_store_n(&ep->flags, 0, __ATOMIC_RELEASE);
	for (int s = 0; s < 2; s++)
		__atomic_store_n(&ep->slot[s].gen, gen, __ATOMIC_RELEASE);
	ep->born = gen;
	ep->ifindex = 0;
}

/* What is read from the device: addresses of layer 2, the way to deliver. */
static int device_look(uint32_t ifindex, const uint8_t *mac, struct dp_ep *ret, struct errtext *err)
{
	struct nl_link link;
	int r = nl_link_get(ifindex, &link);

	if (r)
		return err_set(err, -r, "cannot look at device %u: %s", ifindex, strerror(-r));
	if (!link.has_mac) {
		r = err_set(err, EINVAL,
			    "device '%s' has no Ethernet address: an endpoint needs a veth or tap",
			    link.name);
		goto out;
	}
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->host_mac, link.mac, sizeof(ret->host_mac));
	if (link.veth)
		ret->flags |= DP_EP_PEER;
	if (mac)
		memcpy(ret->mac, mac, sizeof(ret->mac));
	else if (link.has_peer_mac)
		memcpy(ret->mac, link.peer_mac, sizeof(ret->mac));
	else
		ret->flags |= DP_EP_LEARN;
out:
	nl_link_clear(&link);
	return r;
}

/* ---- maps that lead to the entry ---------------------------------------------- */

static int paths_add(struct dp *dp, const struct endpoint *e, struct errtext *err)
{
	const struct prefix *addrs[] = { &e->v4, &e->v6 };
	int r = dp_update(dp, MAP_DEVICES, &e->ifindex, &e->id, err);

	for (size_t i = 0; !r && i < ARRAY_SIZE(addrs); i++) {
		struct dp_addr_key key = addr_key(addrs[i]);
		struct dp_addr val = { .ep = e->id };

		if (addrs[i]->family)
			r = dp_update(dp, MAP_ADDRESSES, &key, &val, err);
	}
	return r;
}

static void paths_remove(struct dp *dp, const struct endpoint *e)
{
	const struct prefix *addrs[] = { &e->v4, &e->v6 };

	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		struct dp_addr_key key = addr_key(addrs[i]);

		if (addrs[i]->family)
			dp_delete(dp, MAP_ADDRESSES, &key);
	}
	dp_delete(dp, MAP_DEVICES, &e->ifindex);
}

static int programs_attach(struct dp *dp, uint32_t ifindex, struct errtext *err)
{
	int r = dp_attach(dp, PROG_FROM_ENDPOINT, ifindex, err);

	if (r)
		return r;
	r = dp_attach(dp, PROG_TO_ENDPOINT, ifindex, err);
	if (r)
		dp_detach(dp, PROG_FROM_ENDPOINT, ifindex);
	return r;
}

/* ---- add ------------------------------------------------------------------------ */

static int insert(struct state *st, struct endpoint *e)
{
	size_t at = st->neps;

	if (!array_grow(&st->eps, &st->eps_cap, st->neps))
		return -ENOMEM;
	while (at && st->eps[at - 1]->id > e->id) {
		st->eps[at] = st->eps[at - 1];
		at--;
	}
	st->eps[at] = e;
	st->neps++;
	return 0;
}

int endpoint_store(struct state *st, const struct endpoint *e, struct errtext *err)
{
	_cleanup_buf_ struct buf b = {};
	int r = blob_endpoint_write(e, &b);

	return r ?: store_put(st->dp, STORE_ENDPOINT, e->id, b.data, b.len, err);
}

static int endpoint_install(struct state *st, struct endpoint *e, const struct dp_ep *like,
			    struct errtext *err)
{
	_cleanup_(world_clear) struct world world = {};
	struct table *egress, *ingress;
	int r = tables_load(st, err);

	if (!r)
		r = world_make(st, &world);
	if (!r)
		r = table_get(st, st->policies, st->npolicies, e, CLITE_EGRESS, &world, &egress,
			      err);
	if (!r)
		r = table_get(st, st->policies, st->npolicies, e, CLITE_INGRESS, &world, &ingress,
			      err);
	if (r)
		return r;
	entry_write(st->dp, e, like, egress, ingress);
	r = paths_add(st->dp, e, err);
	if (!r) {
		/* A pin of a former device of this number. */
		dp_detach(st->dp, PROG_FROM_ENDPOINT, e->ifindex);
		dp_detach(st->dp, PROG_TO_ENDPOINT, e->ifindex);
		r = programs_attach(st->dp, e->ifindex, err);
		if (!r) {
			r = endpoint_store(st, e, err);
			if (!r)
				r = insert(st, e);
			if (r) {
				store_delete(st->dp, STORE_ENDPOINT, e->id);
				dp_detach(st->dp, PROG_FROM_ENDPOINT, e->ifindex);
				dp_detach(st->dp, PROG_TO_ENDPOINT, e->ifindex);
			}
		}
	}
	if (r) {
		paths_remove(st->dp, e);
		entry_clear(st->dp, e->id);
		return r;
	}
	if (egress)
		egress->refs++;
	if (ingress)
		ingress->refs++;
	/* Packets to its address were for the outside until now. */
	outside_changed(st);
	return 0;
}

int endpoint_add(struct state *st, struct endpoint_spec *spec, uint32_t *ret_id,
		 struct errtext *err)
{
	struct endpoint *e;
	struct dp_ep like;
	int r = choose_id(st, &spec->id, err);

	if (!r)
		r = check_unique(st, spec, err);
	if (!r)
		r = device_look(spec->ifindex, spec->mac, &like, err);
	if (r)
		return r;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->id = spec->id;
	e->ifindex = spec->ifindex;
	e->v4 = spec->v4;
	e->v6 = spec->v6;
	e->ports = spec->ports;
	spec->ports = (struct named_ports){};
	e->name = strdup(spec->name);
	r = e->name ? identity_get(st, &spec->labels, &e->identity, err) : -ENOMEM;
	if (!r) {
		r = endpoint_install(st, e, &like, err);
		if (r) {
			identity_put(st, e->identity);
			tables_sweep(st);
		}
	}
	if (r) {
		endpoint_free(e);
		return r;
	}
	if (ret_id)
		*ret_id = e->id;
	/* Others name its ports, or a service's back end that it is now. */
	r = policies_follow(st, err);
	if (!r)
		r = services_follow(st, e, err);
	if (r)
		endpoint_remove(st, e->id, NULL);
	return r;
}

/* ---- remove ---------------------------------------------------------------------- */

static void table_unref(struct state *st, uint32_t number, bool *ret_unused)
{
	struct table *t = number ? state_table(st, number) : NULL;

	if (t && !--t->refs)
		*ret_unused = true;
}

int endpoint_remove(struct state *st, uint32_t id, struct errtext *err)
{
	struct endpoint *e = state_endpoint(st, id);
	struct dp_ep_slot live;
	bool unused = false;
	int r;

	if (!e)
		return err_set(err, ENOENT, "there is no endpoint %u", id);
	r = tables_load(st, err);
	if (!r)
		r = store_delete(st->dp, STORE_ENDPOINT, id);
	if (r)
		return r;
	live = st->dp->eps[id].slot[st->dp->control->epoch & 1];
	dp_detach(st->dp, PROG_FROM_ENDPOINT, e->ifindex);
	dp_detach(st->dp, PROG_TO_ENDPOINT, e->ifindex);
	paths_remove(st->dp, e);
	entry_clear(st->dp, id);
	for (size_t i = 0; i < st->neps; i++)
		if (st->eps[i] == e) {
			memmove(&st->eps[i], &st->eps[i + 1],
				(--st->neps - i) * sizeof(*st->eps));
			break;
		}
	table_unref(st, live.egress, &unused);
	table_unref(st, live.ingress, &unused);
	if (unused || identity_is_last(st, e->identity))
		dp_synchronize(st->dp);
	if (unused)
		tables_sweep(st);
	r = policies_follow(st, err);
	if (!r)
		r = services_follow(st, e, err);
	identity_put(st, e->identity);
	endpoint_free(e);
	return r;
}

/* ---- repair ---------------------------------------------------------------------- */

void endpoints_prune(struct state *st)
{
	for (uint32_t i = 1; i < st->dp->map_max[MAP_ENDPOINTS]; i++) {
		struct dp_ep *ep = &st->dp->eps[i];

		if (!(ep->flags & DP_EP_USED) || state_endpoint(st, i))
			continue;
		dp_detach(st->dp, PROG_FROM_ENDPOINT, ep->ifindex);
		dp_detach(st->dp, PROG_TO_ENDPOINT, ep->ifindex);
		entry_clear(st->dp, i);
	}
}

int endpoint_restore(struct state *st, const struct endpoint *e, struct errtext *err)
{
	static const enum dp_prog progs[] = { PROG_FROM_ENDPOINT, PROG_TO_ENDPOINT };
	char name[IF_NAMESIZE];
	int r = paths_add(st->dp, e, err);

	for (size_t i = 0; !r && i < ARRAY_SIZE(progs); i++)
		if (if_indextoname(e->ifindex, name) && !dp_attached(st->dp, progs[i], e->ifindex))
			r = dp_attach(st->dp, progs[i], e->ifindex, err);
	return r;
}

/* ---- uplinks --------------------------------------------------------------------- */

/* The device's own addresses are those that packets leave with when they get another
 * source: the first that the world may know. */
static int uplink_write(struct dp *dp, uint32_t ifindex, bool dsr, struct errtext *err)
{
	struct dp_uplink up = { .flags = dsr ? DP_UPLINK_DSR : 0 };
	struct prefix p;

	if (nl_address_get(ifindex, 4, &p))
		memcpy(&up.v4, p.ip, sizeof(up.v4));
	if (nl_address_get(ifindex, 6, &p))
		memcpy(up.v6.b, p.ip, sizeof(up.v6.b));
	return dp_update(dp, MAP_UPLINKS, &ifindex, &up, err);
}

void uplink_detach(struct dp *dp, uint32_t ifindex)
{
	dp_detach(dp, PROG_FROM_XDP, ifindex);
	dp_detach(dp, PROG_FROM_NETDEV, ifindex);
	dp_detach(dp, PROG_TO_NETDEV, ifindex);
	dp_delete(dp, MAP_UPLINKS, &ifindex);
}

static int uplink_attach(struct dp *dp, uint32_t ifindex, const struct dp_xdp *p, bool xdp,
			 struct errtext *err)
{
	int r;

	/* What a process has left that was killed while it did this. */
	dp_detach(dp, PROG_FROM_XDP, ifindex);
	r = xdp ? dp_xdp_load(dp, p, err) : 0;
	if (!r)
		r = uplink_write(dp, ifindex, p->dsr, err);
	if (!r)
		r = dp_attach(dp, PROG_TO_NETDEV, ifindex, err);
	if (!r)
		r = dp_attach(dp, PROG_FROM_NETDEV, ifindex, err);
	if (!r) {
		dp_outer_set(dp, p, ifindex);
		if (xdp)
			r = dp_attach_xdp(dp, ifindex, p->generic, err);
	}
	if (r)
		uplink_detach(dp, ifindex);
	return r;
}

int device_add(struct state *st, uint32_t ifindex, const struct dp_xdp *p, bool xdp,
	       struct errtext *err)
{
	char name[IF_NAMESIZE] = "?";
	int r;

	if_indextoname(ifindex, name);
	for (size_t i = 0; i < st->ndevices; i++)
		if (st->devices[i].ifindex == ifindex && dp_attached(st->dp, PROG_FROM_NETDEV, ifindex))
			return err_set(err, EEXIST, "device '%s' is attached already", name);
	for (size_t i = 0; i < st->neps; i++)
		if (st->eps[i]->ifindex == ifindex)
			return err_set(err, EEXIST, "device '%s' is endpoint %u's", name,
				       st->eps[i]->id);
	device_remove(st, ifindex, NULL); /* of a former device of this number */
	if (!array_grow(&st->devices, &st->devices_cap, st->ndevices))
		return -ENOMEM;
	r = uplink_attach(st->dp, ifindex, p, xdp, err);
	if (r)
		return r;
	r = store_put(st->dp, STORE_DEVICE, ifindex, "", 0, err);
	if (r) {
		uplink_detach(st->dp, ifindex);
		return r;
	}
	st->devices[st->ndevices++].ifindex = ifindex;
	return 0;
}

int device_remove(struct state *st, uint32_t ifindex, struct errtext *err)
{
	char name[IF_NAMESIZE];

	for (size_t i = 0; i < st->ndevices; i++) {
		if (st->devices[i].ifindex != ifindex)
			continue;
		store_delete(st->dp, STORE_DEVICE, ifindex);
		uplink_detach(st->dp, ifindex);
		st->devices[i] = st->devices[--st->ndevices];
		return 0;
	}
	return err_set(err, ENOENT, "device '%s' is not attached",
		       if_indextoname(ifindex, name) ?: "?");
}
