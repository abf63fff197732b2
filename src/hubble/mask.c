/* SPDX-License-Identifier: BSD-2-Clause */
#include "hubble/mask.h"

#include <stdio.h>

struct mask {
	const ProtobufCMessageDescriptor *message;
	struct {
		bool keep;
		struct mask *part; /* keep, but only this of it; NULL: all */
	} fields[];
};

static struct mask *node_new(const ProtobufCMessageDescriptor *message)
{
	struct mask *m = calloc(1, sizeof(*m) + message->n_fields * sizeof(m->fields[0]));

	if (m)
		m->message = message;
	return m;
}

void mask_free(struct mask *mask)
{
	if (!mask)
		return;
	for (unsigned i = 0; i < mask->message->n_fields; i++)
		mask_free(mask->fields[i].part);
	free(mask);
}

/* Is there more of a path than its last field? Then that must be one message. */
static bool has_parts(const ProtobufCFieldDescriptor *f)
{
	return f->type == PROTOBUF_C_TYPE_MESSAGE && f->label != PROTOBUF_C_LABEL_REPEATED;
}

static int add(struct mask *m, const char *path)
{
	for (;;) {
		size_t len = strcspn(path, "."), i;
		char name[64];
		const ProtobufCFieldDescriptor *f;

		if (snprintf(name, sizeof(name), "%.*s", (int)len, path) >= (int)sizeof(name))
			return -EINVAL;
		f = protobuf_c_message_descriptor_get_field_by_name(m->message, name);
		if (!f || (path[len] && !has_parts(f)))
			return -EINVAL;
		i = (size_t)(f - m->message->fields);
		if (m->fields[i].keep && !m->fields[i].part)
			return 0; /* all of it stays already */
		m->fields[i].keep = true;
		if (!path[len]) {
			mask_free(m->fields[i].part);
			m->fields[i].part = NULL;
			return 0;
		}
		if (!m->fields[i].part)
			m->fields[i].part = node_new(f->descriptor);
		if (!m->fields[i].part) {
			m->fields[i].keep = false;
			return -ENOMEM;
		}
		m = m->fields[i].part;
		path += len + 1;
	}
}

int mask_new(const ProtobufCMessageDescriptor *message, size_t n, char *const *paths,
	     struct mask **ret, const char **ret_bad)
{
	struct mask *m = node_new(message);
	int r = m ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < n; i++) {
		r = add(m, paths[i]);
		*ret_bad = paths[i];
	}
	if (r) {
		mask_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

/* Bytes of a single value in its message. */
static size_t value_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

/* Empty: of a repeated field, or of one of a oneof, what counts it. */
static void clear(ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
	uint8_t *m = (uint8_t *)message;
	uint32_t *which = (uint32_t *)(void *)(m + f->quantifier_offset);

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		memset(m + f->quantifier_offset, 0, sizeof(size_t));
	else if (!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
		memset(m + f->offset, 0, value_size(f));
	else if (*which == f->id)
		*which = 0;
}

static ProtobufCMessage *submessage(ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
	uint8_t *m = (uint8_t *)message;

	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
	    *(uint32_t *)(void *)(m + f->quantifier_offset) != f->id)
		return NULL;
	return *(ProtobufCMessage **)(void *)(m + f->offset);
}

void mask_apply(const struct mask *mask, ProtobufCMessage *message)
{
	for (unsigned i = 0; i < mask->message->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &mask->message->fields[i];
		ProtobufCMessage *part;

		if (!mask->fields[i].keep) {
			clear(message, f);
			continue;
		}
		part = mask->fields[i].part ? submessage(message, f) : NULL;
		if (part)
			mask_apply(mask->fields[i].part, part);
	}
}
