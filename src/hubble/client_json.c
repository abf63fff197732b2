/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages as JSON, as protobuf defines it for its third version: names as in the
 * definitions, 64-bit numbers as texts, what is zero or empty left away. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "hubble/client.h"

/* ---- writing ------------------------------------------------------------------------ */

static bool put(struct bytes *out, const char *fmt, ...) _printf_(2, 3);

static bool put(struct bytes *out, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return false;
	}
	return bytes_put(out, text, (size_t)n);
}

static bool put_char(unsigned char c, struct bytes *out)
{
	if (c == '"' || c == '\\')
		return put(out, "\\%c", c);
	if (c < 0x20 || c == 0x7f)
		return put(out, "\\u%04x", c);
	return bytes_put(out, &c, 1);
}

static bool put_string(const char *s, struct bytes *out)
{
	struct arena a = {};
	const char *valid = text_utf8(&a, s);
	bool ok = put(out, "\"");

	for (; ok && *valid; valid++)
		ok = put_char((unsigned char)*valid, out);
	arena_clear(&a);
	return ok && put(out, "\"");
}

/* ---- values ------------------------------------------------------------------------- */

static bool put_enum(const ProtobufCEnumDescriptor *names, int value, struct bytes *out)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(names, value);

	return v ? put(out, "\"%s\"", v->name) : put(out, "%d", value);
}

static bool put_double(double value, struct bytes *out)
{
	if (isnan(value))
		return put(out, "\"NaN\"");
	if (isinf(value))
		return put(out, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
	return put(out, "%.17g", value);
}

/* UTC, with no, three, six or nine digits of a second. */
static bool put_time(const Google__Protobuf__Timestamp *t, struct bytes *out)
{
	uint32_t nanos = t->nanos > 0 && t->nanos < (int32_t)NS ? (uint32_t)t->nanos : 0;
	time_t seconds = (time_t)t->seconds;
	struct tm tm;

	/* years 1 to 9999, as protobuf has them */
	if (seconds < -62135596800 || seconds > 253402300799 || !gmtime_r(&seconds, &tm))
		return put(out, "null");
	if (!put(out, "\"%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1,
		 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec))
		return false;
	if (nanos % 1000)
		return put(out, ".%09uZ\"", nanos);
	if (nanos % 1000000)
		return put(out, ".%06uZ\"", nanos / 1000);
	return nanos ? put(out, ".%03uZ\"", nanos / 1000000) : put(out, "Z\"");
}

static bool put_value(const ProtobufCFieldDescriptor *f, const void *at, struct bytes *out);

/* A number or bool in a message of its own, so that it may be missing. */
static bool is_wrapper(const ProtobufCMessageDescriptor *d)
{
	static const char package[] = "google.protobuf.";

	return !strncmp(d->name, package, sizeof(package) - 1) && d->n_fields == 1 &&
	       !strcmp(d->fields[0].name, "value");
}

static bool put_message(const ProtobufCMessage *m, struct bytes *out)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;

	if (d == &google__protobuf__timestamp__descriptor)
		return put_time((const Google__Protobuf__Timestamp *)m, out);
	if (is_wrapper(d))
		return put_value(&d->fields[0], (const uint8_t *)m + d->fields[0].offset, out);
	return message_json(m, out);
}

static size_t value_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

static bool put_value(const ProtobufCFieldDescriptor *f, const void *at, struct bytes *out)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return put(out, "\"%lld\"", *(const long long *)at);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return put(out, "\"%llu\"", *(const unsigned long long *)at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return put(out, "%u", *(const uint32_t *)at);
	case PROTOBUF_C_TYPE_BOOL:
		return put(out, *(const protobuf_c_boolean *)at ? "true" : "false");
	case PROTOBUF_C_TYPE_ENUM:
		return put_enum(f->descriptor, *(const int *)at, out);
	case PROTOBUF_C_TYPE_DOUBLE:
		return put_double(*(const double *)at, out);
	case PROTOBUF_C_TYPE_FLOAT:
		return put_double((double)*(const float *)at, out);
	case PROTOBUF_C_TYPE_STRING:
		return put_string(*(const char *const *)at ?: "", out);
	case PROTOBUF_C_TYPE_MESSAGE:
		return put_message(*(const ProtobufCMessage *const *)at, out);
	case PROTOBUF_C_TYPE_BYTES: /* none of Hubble's messages has any */
		return put(out, "null");
	default:
		return put(out, "%d", *(const int32_t *)at);
	}
}

/* ---- fields ------------------------------------------------------------------------- */

static bool is_zero(const ProtobufCFieldDescriptor *f, const void *at)
{
	static const uint8_t zeros[16];

	if (f->type == PROTOBUF_C_TYPE_STRING)
		return !*(const char *const *)at || !**(const char *const *)at;
	return !memcmp(at, zeros, value_size(f->type));
}

static bool is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const uint8_t *base = (const uint8_t *)m;

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)(base + f->quantifier_offset);
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)(base + f->quantifier_offset) == f->id &&
		       (f->type != PROTOBUF_C_TYPE_MESSAGE || !is_zero(f, base + f->offset));
	return !is_zero(f, base + f->offset);
}

static bool put_list(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
		     struct bytes *out)
{
	const uint8_t *base = (const uint8_t *)m;
	size_t n = *(const size_t *)(base + f->quantifier_offset), size = value_size(f->type);
	const uint8_t *values = *(const uint8_t *const *)(base + f->offset);
	bool ok = put(out, "[");

	for (size_t i = 0; ok && i < n; i++)
		ok = (!i || put(out, ",")) && put_value(f, values + i * size, out);
	return ok && put(out, "]");
}

bool message_json(const ProtobufCMessage *message, struct bytes *out)
{
	const ProtobufCMessageDescriptor *d = message->descriptor;
	bool ok = put(out, "{"), first = true;

	for (unsigned int i = 0; ok && i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];

		if (!is_set(message, f))
			continue;
		ok = put(out, "%s\"%s\":", first ? "" : ",", f->name) &&
		     (f->label == PROTOBUF_C_LABEL_REPEATED ?
			      put_list(message, f, out) :
			      put_value(f, (const uint8_t *)message + f->offset, out));
		first = false;
	}
	return ok && put(out, "}");
}

int clite_hubble_answer_json(const struct clite_hubble_answer *answer, char *buf, size_t size)
{
	struct bytes out = {};
	size_t n;

	if (!answer || answer->sz != sizeof(*answer) || (!buf && size))
		return -EINVAL;
	if (answer->raw && !message_json(answer->raw, &out)) {
		bytes_clear(&out);
		return -ENOMEM;
	}
	n = out.len;
	if (size) {
		size_t copy = n < size ? n : size - 1;

		if (copy)
			memcpy(buf, out.data, copy);
		buf[copy] = '\0';
	}
	bytes_clear(&out);
	return (int)n;
}
