/* SPDX-License-Identifier: BSD-2-Clause */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/ring.h"

struct ring {
	struct dp *dp;
	uint32_t slot;
	bool every;
	uint64_t lost_before; /* what the counter said when the slot was taken */
	int map_fd;
	struct ring_buffer *rb;
};

static bool slot_live(struct dp *dp, uint32_t i)
{
	return (int64_t)(__atomic_load_n(&dp->control->slot[i].lease, __ATOMIC_ACQUIRE) -
			 dp_jiffies(dp)) >= 0;
}

uint32_t ring_count(struct dp *dp)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < DP_SUBSCRIBERS; i++)
		if (dp->control->slot[i].lease && slot_live(dp, i))
			n++;
	return n;
}

static int slot_take(struct dp *dp, struct errtext *err)
{
	for (uint32_t i = 0; i < DP_SUBSCRIBERS; i++)
		if (!dp->control->slot[i].lease || !slot_live(dp, i))
			return i;
	return err_set(err, ENOSPC, "all %d subscriber slots of the instance are in use",
		       DP_SUBSCRIBERS);
}

static uint64_t lost_now(struct ring *r)
{
	uint64_t n = 0;

	dp_lost(r->dp, r->slot, &n);
	return n;
}

/* The ring is in its place before anything is written to it. */
static int slot_fill(struct ring *r, uint32_t types, struct errtext *err)
{
	struct dp_slot *s = &r->dp->control->slot[r->slot];
	uint32_t fd = r->map_fd;
	int ret = dp_update(r->dp, MAP_RINGS, &r->slot, &fd, err);

	if (ret)
		return ret;
	r->lost_before = lost_now(r);
	s->types = types;
	s->aggregation = r->every ? DP_AGG_NONE : DP_AGG_MEDIUM;
	s->pid = getpid();
	ring_renew(r);
	return 0;
}

int ring_open(struct dp *dp, uint32_t types, bool every, uint32_t bytes,
	      int (*cb)(void *data, void *record, size_t len), void *data, struct ring **ret,
	      struct errtext *err)
{
	struct ring *r = calloc(1, sizeof(*r));
	int slot, code;

	if (!r)
		return -ENOMEM;
	*r = (struct ring){ .dp = dp, .every = every, .map_fd = -1 };
	code = dp_lock(dp, err);
	if (code) {
		free(r);
		return code;
	}
	slot = slot_take(dp, err);
	if (slot < 0) {
		dp_unlock(dp);
		free(r);
		return slot;
	}
	r->slot = slot;
	r->map_fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "clite_ring", 0, 0, bytes, NULL);
	if (r->map_fd < 0) {
		code = err_set(err, errno, "cannot make a ring of %u bytes: %s", bytes,
			       strerror(errno));
		goto fail;
	}
	r->rb = ring_buffer__new(r->map_fd, cb, data, NULL);
	if (!r->rb) {
		code = err_set(err, errno, "cannot map a ring of %u bytes: %s", bytes,
			       strerror(errno));
		goto fail;
	}
	code = slot_fill(r, types, err);
	if (code)
		goto fail;
	dp_unlock(dp);
	*ret = r;
	return 0;
fail:
	dp_unlock(dp);
	ring_buffer__free(r->rb);
	closep(&r->map_fd);
	free(r);
	return code;
}

struct ring *ring_close(struct ring *r)
{
	struct dp_control *ctl;

	if (!r)
		return NULL;
	ctl = r->dp->control;
	__atomic_and_fetch(&ctl->every, ~(1u << r->slot), __ATOMIC_RELEASE);
	__atomic_and_fetch(&ctl->slots, ~(1u << r->slot), __ATOMIC_RELEASE);
	dp_delete(r->dp, MAP_RINGS, &r->slot);
	__atomic_store_n(&ctl->slot[r->slot].lease, 0, __ATOMIC_RELEASE);
	ring_buffer__free(r->rb);
	closep(&r->map_fd);
	free(r);
	return NULL;
}

int ring_fd(struct ring *r)
{
	return ring_buffer__epoll_fd(r->rb);
}

int ring_consume(struct ring *r)
{
	return ring_buffer__consume(r->rb);
}

void ring_renew(struct ring *r)
{
	struct dp_control *ctl = r->dp->control;

	__atomic_store_n(&ctl->slot[r->slot].lease,
			 dp_jiffies(r->dp) + (uint64_t)RING_LEASE * r->dp->hz, __ATOMIC_RELEASE);
	__atomic_or_fetch(&ctl->slots, 1u << r->slot, __ATOMIC_RELEASE);
	if (r->every)
		__atomic_or_fetch(&ctl->every, 1u << r->slot, __ATOMIC_RELEASE);
}

uint64_t ring_lost(struct ring *r)
{
	return lost_now(r) - r->lost_before;
}
