/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/metrics.h"

#define FIRST 64
/* Labels may be long: how much room those of a series have on average. */
#define KEY_ROOM 256u

void series_init(struct series *s, size_t max, uint64_t seed)
{
	*s = (struct series){ .max = max, .seed = seed };
}

void series_clear(struct series *s)
{
	free(s->slots);
	bytes_clear(&s->keys);
	*s = (struct series){ 0 };
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Under a key of this object, so that nobody can send flows that all meet in one place. */
static uint64_t hash_of(const struct series *s, const uint8_t *p, size_t n)
{
	uint64_t h = s->seed ^ n, w;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&w, p, 8);
		h = mix(h ^ w, 0x9e3779b97f4a7c15u ^ s->seed << 1);
	}
	w = 0;
	memcpy(&w, p, n);
	h = mix(h ^ w, 0xd6e8feb86659fd93u);
	return h ? h : 1;
}

/* Its slot, or the free one where it would be. */
static struct series_slot *find(const struct series *s, const uint8_t *key, size_t len,
				uint64_t hash)
{
	for (size_t i = hash;; i++) {
		struct series_slot *slot = &s->slots[i & (s->cap - 1)];

		if (!slot->hash || (slot->hash == hash && slot->len == len &&
				    !memcmp(s->keys.data + slot->at, key, len)))
			return slot;
	}
}

/* A quarter of the slots is always free. */
static int grow(struct series *s)
{
	struct series old = *s;

	if (s->cap && s->n + 1 <= s->cap / 4 * 3)
		return 0;
	s->cap = s->cap ? s->cap * 2 : FIRST;
	s->slots = calloc(s->cap, sizeof(*s->slots));
	if (!s->slots) {
		*s = old;
		return -ENOMEM;
	}
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].hash)
			*find(s, s->keys.data + old.slots[i].at, old.slots[i].len,
			      old.slots[i].hash) = old.slots[i];
	free(old.slots);
	return 0;
}

static bool is_full(const struct series *s, size_t len)
{
	return s->n >= s->max || s->keys.len + len > s->max * KEY_ROOM;
}

static int add(struct series *s, struct series_slot *slot, const struct bytes *key, uint64_t hash)
{
	if (!bytes_put(&s->keys, key->data, key->len))
		return -ENOMEM;
	*slot = (struct series_slot){
		.hash = hash,
		.count = 1,
		.at = (uint32_t)(s->keys.len - key->len),
		.len = (uint32_t)key->len,
	};
	s->n++;
	return 0;
}

int series_count(struct series *s, const struct bytes *key, const struct bytes *other)
{
	uint64_t hash = hash_of(s, key->data, key->len);
	struct series_slot *slot;
	int r = grow(s);

	if (r)
		return r;
	slot = find(s, key->data, key->len, hash);
	if (!slot->hash && is_full(s, key->len)) {
		s->folded++;
		key = other;
		hash = hash_of(s, key->data, key->len);
		slot = find(s, key->data, key->len, hash);
	}
	if (!slot->hash)
		return add(s, slot, key, hash);
	slot->count++;
	return 0;
}
