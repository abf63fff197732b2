/* SPDX-License-Identifier: BSD-2-Clause */
/* What endpoints send to the world with the uplink's address, and what they do not. */
#include "datapath/state.h"

static struct dp_source_key excluded_key(const struct prefix *p)
{
	struct dp_source_key k;

	memset(&k, 0, sizeof(k));
	k.prefixlen = 96 + p->len;
	k.family = p->family;
	memcpy(k.ip.b, p->ip, sizeof(k.ip.b));
	return k;
}

bool masquerade_excludes(const struct masquerade *m, const struct prefix *p)
{
	for (size_t i = 0; i < m->n; i++)
		if (!prefix_cmp(&m->exclude[i], p))
			return true;
	return false;
}

/* Those of one that the other does not have. */
static void exclusions_erase(struct state *st, const struct masquerade *from,
			     const struct masquerade *but)
{
	for (size_t i = 0; i < from->n; i++) {
		struct dp_source_key key = excluded_key(&from->exclude[i]);

		if (!masquerade_excludes(but, &from->exclude[i]))
			dp_delete(st->dp, MAP_SOURCES, &key);
	}
}

int masquerade_apply(struct state *st, const struct masquerade *m, struct errtext *err)
{
	struct dp_control *ctl = st->dp->control;
	uint32_t one = 1, flags = ctl->flags & ~(DP_CONTROL_MASQ_V4 | DP_CONTROL_MASQ_V6);

	for (size_t i = 0; i < m->n; i++) {
		struct dp_source_key key = excluded_key(&m->exclude[i]);
		int r = dp_update(st->dp, MAP_SOURCES, &key, &one, err);

		if (r) {
			exclusions_erase(st, m, &st->masquerade);
			return r;
		}
	}
	if (m->v4)
		flags |= DP_CONTROL_MASQ_V4;
	if (m->v6)
		flags |= DP_CONTROL_MASQ_V6;
	__atomic_store_n(&ctl->flags, flags, __ATOMIC_RELEASE);
	return 0;
}

static int masquerade_store(struct state *st, const struct masquerade *m, struct errtext *err)
{
	_cleanup_buf_ struct buf b = {};
	uint8_t head[2] = { m->v4, m->v6 };

	buf_put(&b, head, sizeof(head));
	buf_put(&b, m->exclude, m->n * sizeof(*m->exclude));
	return b.failed ? -ENOMEM : store_put(st->dp, STORE_MASQUERADE, 0, b.data, b.len, err);
}

int masquerade_load(struct state *st, const char *data, size_t len)
{
	struct masquerade *m = &st->masquerade;

	if (len < 2 || (len - 2) % sizeof(*m->exclude))
		return -EBADMSG;
	m->v4 = data[0];
	m->v6 = data[1];
	m->n = (len - 2) / sizeof(*m->exclude);
	m->exclude = memdup(data + 2, len - 2);
	return m->exclude ? 0 : -ENOMEM;
}

int masquerade_set(struct state *st, struct masquerade *m, struct errtext *err)
{
	int r = masquerade_store(st, m, err);

	if (!r) {
		r = masquerade_apply(st, m, err);
		if (r)
			masquerade_store(st, &st->masquerade, NULL);
	}
	if (r)
		return r;
	exclusions_erase(st, &st->masquerade, m);
	free(st->masquerade.exclude);
	st->masquerade = *m;
	m->exclude = NULL;
	return 0;
}
