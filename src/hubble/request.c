/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/request.h"

#include <stdarg.h>
#include <stdio.h>

#include "hubble/flow_pb.h"

int request_error(char **error, const char *fmt, ...)
{
	va_list ap;

	free(*error);
	va_start(ap, fmt);
	if (vasprintf(error, fmt, ap) < 0)
		*error = NULL;
	va_end(ap);
	return -EINVAL;
}

static int read_filters(const Observer__GetFlowsRequest *m, struct request *ret, char **error)
{
	int r;

	if (!m->n_whitelist && !m->n_blacklist)
		return 0;
	r = clite_filters_new(&ret->filters);
	for (size_t i = 0; !r && i < m->n_whitelist; i++)
		r = filter_add(ret->filters, CLITE_FILTER_ALLOW, m->whitelist[i], error);
	for (size_t i = 0; !r && i < m->n_blacklist; i++)
		r = filter_add(ret->filters, CLITE_FILTER_DENY, m->blacklist[i], error);
	return r;
}

static int read_mask(const Google__Protobuf__FieldMask *m, struct request *ret, char **error)
{
	const char *bad = "";
	int r;

	if (!m || !m->n_paths)
		return 0;
	r = mask_new(&flow__flow__descriptor, m->n_paths, m->paths, &ret->mask, &bad);
	return r == -EINVAL ? request_error(error, "field_mask: a flow has no field '%s'", bad) : r;
}

static int read_time(const char *field, const Google__Protobuf__Timestamp *t, bool *ret_has,
		     uint64_t *ret, char **error)
{
	if (!t)
		return 0;
	if (t->nanos < 0 || t->nanos >= (int32_t)NS)
		return request_error(error, "%s: %d is not a number of nanoseconds below a second",
				     field, t->nanos);
	*ret_has = true;
	*ret = time_from_pb(t);
	return 0;
}

int request_read(const Observer__GetFlowsRequest *m, struct request *ret, char **ret_error)
{
	struct request req = { .number = m->number, .follow = m->follow, .first = m->first };
	int r;

	if (m->first && m->follow)
		return request_error(ret_error, "first cannot be specified with follow");
	r = read_time("since", m->since, &req.has_since, &req.since, ret_error)		?:
		    read_time("until", m->until, &req.has_until, &req.until, ret_error) ?:
		    read_filters(m, &req, ret_error)					?:
		    read_mask(m->field_mask, &req, ret_error);
	if (r) {
		request_clear(&req);
		return r;
	}
	*ret = req;
	return 0;
}

void request_clear(struct request *request)
{
	clite_filters_unref(request->filters);
	mask_free(request->mask);
	*request = (struct request){};
}
