/* SPDX-License-Identifier: BSD-2-Clause */
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "datapath/ring.h"

/* The kernel's ring as it is mapped: a page with the position up to which the owner has
 * read, a page with the one up to which the kernel has written, and then the bytes, twice,
 * so that no record is in two pieces. */
struct ring {
	struct dp *dp;
	struct dp_slot *place;
	uint32_t slot;
	struct ring_opts opts; /* with filters, if there are some, as they are below */
	struct dp_filters filters;
	uint64_t lease;	      /* as this ring has written it: another in the slot is not ours */
	uint64_t lost_before; /* what the counter said when the slot was taken */
	uint64_t lost_here;   /* since then, as far as is known */
	uint64_t lost;	      /* in slots before this one */
	int map_fd;
	uint32_t bytes;
	uint64_t *consumed;
	const uint8_t *produced;
	uint64_t position; /* read up to there; consumed may be behind */
	ring_cb cb;
	void *data;
};

/* ---- slots ---------------------------------------------------------------------- */

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

static uint64_t lease_end(struct ring *r)
{
	return dp_jiffies(r->dp) + (uint64_t)RING_LEASE * r->dp->hz;
}

/* Is the slot ours still? Each lease ends later than the one before, so whoever took the
 * slot when ours was over has written another. */
static bool lease_keep(struct ring *r)
{
	uint64_t lease = lease_end(r);
	__u64 held = r->lease; /* of the type that is compared: another long to clang */

	if (!__atomic_compare_exchange_n(&r->place->lease, &held, lease, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return false;
	r->lease = lease;
	return true;
}

static bool slot_ours(struct ring *r)
{
	return __atomic_load_n(&r->place->lease, __ATOMIC_ACQUIRE) == r->lease;
}

static void slot_show(struct ring *r)
{
	struct dp_control *ctl = r->dp->control;

	__atomic_or_fetch(&ctl->slots, 1u << r->slot, __ATOMIC_RELEASE);
	if (r->opts.every)
		__atomic_or_fetch(&ctl->every, 1u << r->slot, __ATOMIC_RELEASE);
}

/* The ring is in its place before anything is written to it. */
static int slot_fill(struct ring *r, struct errtext *err)
{
	const struct ring_opts *o = &r->opts;
	uint32_t fd = r->map_fd;
	int ret = dp_update(r->dp, MAP_RINGS, &r->slot, &fd, err);

	if (!ret && o->nfilters)
		ret = dp_update(r->dp, MAP_FILTERS, &r->slot, &r->filters, err);
	if (ret)
		return ret;
	r->lost_before = lost_now(r);
	r->lost_here = 0;
	r->place->types = o->types;
	r->place->aggregation = o->every ? DP_AGG_NONE : DP_AGG_MEDIUM;
	r->place->capture = o->capture;
	r->place->filters = o->nfilters;
	r->place->pid = getpid();
	r->lease = lease_end(r);
	__atomic_store_n(&r->place->lease, r->lease, __ATOMIC_RELEASE);
	slot_show(r);
	return 0;
}

static int slot_get(struct ring *r, struct errtext *err)
{
	int ret = dp_lock(r->dp, err), slot;

	if (ret)
		return ret;
	ret = slot = slot_take(r->dp, err);
	if (slot >= 0) {
		r->slot = (uint32_t)slot;
		r->place = &r->dp->control->slot[slot];
		__atomic_store_n(&r->place->wake, DP_WAKE_NOT, __ATOMIC_RELAXED);
		ret = slot_fill(r, err);
	}
	dp_unlock(r->dp);
	return ret;
}

/* ---- open, close ---------------------------------------------------------------- */

static size_t written_size(const struct ring *r)
{
	return (size_t)getpagesize() + 2 * (size_t)r->bytes;
}

static int ring_map(struct ring *r, struct errtext *err)
{
	size_t page = (size_t)getpagesize();

	r->map_fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "clite_ring", 0, 0, r->bytes, NULL);
	if (r->map_fd < 0)
		return err_set(err, errno, "cannot make a ring of %u bytes: %s", r->bytes,
			       strerror(errno));
	r->consumed = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, r->map_fd, 0);
	if (r->consumed != MAP_FAILED)
		r->produced =
			mmap(NULL, written_size(r), PROT_READ, MAP_SHARED, r->map_fd, (off_t)page);
	if (r->consumed == MAP_FAILED || r->produced == MAP_FAILED)
		return err_set(err, errno, "cannot map a ring of %u bytes: %s", r->bytes,
			       strerror(errno));
	return 0;
}

static void ring_free(struct ring *r)
{
	if (r->consumed && r->consumed != MAP_FAILED)
		munmap(r->consumed, (size_t)getpagesize());
	if (r->produced && r->produced != MAP_FAILED)
		munmap((void *)r->produced, written_size(r));
	closep(&r->map_fd);
	free(r);
}

int ring_open(struct dp *dp, const struct ring_opts *o, ring_cb cb, void *data, struct ring **ret,
	      struct errtext *err)
{
	struct ring *r = calloc(1, sizeof(*r));
	int code;

	if (!r)
		return -ENOMEM;
	*r = (struct ring){
		.dp = dp, .opts = *o, .bytes = o->bytes, .map_fd = -1, .cb = cb, .data = data
	};
	/* Only traces are of every packet: nobody pays for who does not want them. */
	r->opts.every = o->every && o->types & 1u << DP_EV_TRACE;
	if (o->nfilters)
		r->filters = *o->filters;
	r->opts.filters = NULL;
	code = ring_map(r, err);
	if (!code)
		code = slot_get(r, err);
	if (code)
		ring_free(r);
	else
		*ret = r;
	return code;
}

struct ring *ring_close(struct ring *r)
{
	struct dp_control *ctl;

	if (!r)
		return NULL;
	if (!lease_keep(r)) {
		ring_free(r);
		return NULL;
	}
	ctl = r->dp->control;
	__atomic_and_fetch(&ctl->every, ~(1u << r->slot), __ATOMIC_RELEASE);
	__atomic_and_fetch(&ctl->slots, ~(1u << r->slot), __ATOMIC_RELEASE);
	dp_delete(r->dp, MAP_RINGS, &r->slot);
	__atomic_store_n(&r->place->lease, 0, __ATOMIC_RELEASE);
	ring_free(r);
	return NULL;
}

void ring_renew(struct ring *r)
{
	if (lease_keep(r)) {
		slot_show(r);
		return;
	}
	/* Somebody took the slot when our lease was over: go on in another one. If there is none
	 * now, or who changes the instance would have to be waited for: when this is called
	 * again. */
	if (r->dp->lock_fd >= 0 && flock(r->dp->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return;
	r->lost = ring_lost(r);
	r->lost_here = 0;
	slot_get(r, NULL);
}

uint64_t ring_lost(struct ring *r)
{
	if (slot_ours(r))
		r->lost_here = lost_now(r) - r->lost_before;
	return r->lost + r->lost_here;
}

/* ---- reading -------------------------------------------------------------------- */

int ring_fd(struct ring *r)
{
	return r->map_fd;
}

static uint64_t produced(const struct ring *r)
{
	return __atomic_load_n((const uint64_t *)r->produced, __ATOMIC_ACQUIRE);
}

/* What was read is room again. */
static void give_back(struct ring *r)
{
	__atomic_store_n(r->consumed, r->position, __ATOMIC_RELEASE);
}

/* Take one record: 0, cb's negative return, or 1: it is still being written. */
static int take(struct ring *r, uint64_t end)
{
	const uint8_t *at = r->produced + getpagesize() + (r->position & (r->bytes - 1));
	uint32_t head = __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE);
	uint32_t len = head & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
	uint64_t next = r->position + ((len + BPF_RINGBUF_HDR_SZ + 7) & ~7u);

	if (head & BPF_RINGBUF_BUSY_BIT)
		return 1;
	/* The kernel writes no such thing: there is no telling where the next one begins. */
	if (len > r->bytes || next > end) {
		r->position = end;
		return 0;
	}
	r->position = next;
	if (head & BPF_RINGBUF_DISCARD_BIT)
		return 0;
	return r->cb(r->data, at + BPF_RINGBUF_HDR_SZ, len);
}

int ring_consume(struct ring *r)
{
	/* The line that consumed lies in is the producers', too: it is not written for
	 * each record. */
	uint64_t step = r->bytes / 8, given = r->position, first = r->position, end;
	int ret = 0;

	/* Who writes as fast as this reads cannot keep it here. */
	while (!ret && r->position - first < r->bytes && r->position != (end = produced(r))) {
		while (!ret && r->position != end) {
			ret = take(r, end);
			if (r->position - given >= step) {
				give_back(r);
				given = r->position;
			}
		}
	}
	give_back(r);
	return ret < 0 ? ret : 0;
}

bool ring_wait(struct ring *r, uint32_t bytes)
{
	if (slot_ours(r))
		__atomic_store_n(&r->place->wake, r->position + bytes, __ATOMIC_RELAXED);
	/* Ask, then look: the datapath writes, then sees whether it was asked. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return produced(r) - r->position <= bytes;
}

void ring_wait_not(struct ring *r)
{
	if (slot_ours(r))
		__atomic_store_n(&r->place->wake, DP_WAKE_NOT, __ATOMIC_RELAXED);
}
