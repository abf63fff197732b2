/* SPDX-License-Identifier: BSD-2-Clause */
/* Times as Hubble's command line reads and prints them: UTC, Go's layouts. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "observe.h"

#define SECOND 1000000000ll

/* ---- reading ------------------------------------------------------------------ */

static bool unit_ns(const char **text, double *ret)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {
		{ "ns", 1 },  { "us", 1e3 }, { "\u00b5s", 1e3 }, { "ms", 1e6 },
		{ "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		size_t n = strlen(units[i].name);

		if (!strncmp(*text, units[i].name, n)) {
			*text += n;
			*ret = units[i].ns;
			return true;
		}
	}
	return false;
}

/* "1h30m", "1.5s", "-10m"; nanoseconds. */
static bool parse_duration(const char *text, double *ret)
{
	bool negative = *text == '-';
	double sum = 0, ns;

	text += negative || *text == '+';
	if (!*text)
		return false;
	while (*text) {
		size_t digits = strspn(text, "0123456789.");
		double n;

		if (!digits || digits > 20)
			return false;
		n = strtod(text, NULL);
		text += digits;
		if (!unit_ns(&text, &ns))
			return false;
		sum += n * ns;
	}
	*ret = negative ? -sum : sum;
	return true;
}

/* Exactly so many digits. */
static bool digits(const char **text, size_t n, int *ret)
{
	int value = 0;

	for (; n; n--, ++*text) {
		if (**text < '0' || **text > '9')
			return false;
		value = value * 10 + (**text - '0');
	}
	*ret = value;
	return true;
}

static bool literal(const char **text, char c)
{
	if (**text != c)
		return false;
	++*text;
	return true;
}

/* Digits behind the point; nanoseconds. */
static bool fraction(const char **text, int64_t *ret)
{
	int64_t unit = SECOND / 10;

	if (!literal(text, '.'))
		return true;
	if (**text < '0' || **text > '9')
		return false;
	for (; **text >= '0' && **text <= '9'; ++*text, unit /= 10)
		*ret += (**text - '0') * unit;
	return true;
}

/* "Z", "+02:00"; seconds east of Greenwich. */
static bool zone(const char **text, int *ret)
{
	bool west = **text == '-';
	int h, m;

	if (literal(text, 'Z')) {
		*ret = 0;
		return true;
	}
	if (!literal(text, west ? '-' : '+') || !digits(text, 2, &h) || !literal(text, ':') ||
	    !digits(text, 2, &m))
		return false;
	*ret = (h * 60 + m) * (west ? -60 : 60);
	return true;
}

/* timegm() takes any numbers; this only those of a calendar. */
static bool seconds_of(struct tm *tm, int east, int64_t *ret)
{
	struct tm normal = *tm;
	time_t t = timegm(&normal);

	if (normal.tm_mday != tm->tm_mday || normal.tm_mon != tm->tm_mon ||
	    normal.tm_hour != tm->tm_hour || normal.tm_min != tm->tm_min ||
	    normal.tm_sec != tm->tm_sec)
		return false;
	*ret = (int64_t)t - east;
	return true;
}

/* "2024-05-04", then perhaps "T15", ":04", ":05", ".123", and with "T" a zone. */
static bool parse_rfc3339(const char *s, int64_t *seconds, int64_t *ns)
{
	struct tm tm = { 0 };
	int east = 0;

	if (!digits(&s, 4, &tm.tm_year) || !literal(&s, '-') || !digits(&s, 2, &tm.tm_mon) ||
	    !literal(&s, '-') || !digits(&s, 2, &tm.tm_mday))
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	if (literal(&s, 'T')) {
		if (!digits(&s, 2, &tm.tm_hour))
			return false;
		if (literal(&s, ':') && !digits(&s, 2, &tm.tm_min))
			return false;
		if (literal(&s, ':') && (!digits(&s, 2, &tm.tm_sec) || !fraction(&s, ns)))
			return false;
		if (!zone(&s, &east))
			return false;
	}
	return !*s && seconds_of(&tm, east, seconds);
}

static bool parse_rfc1123z(const char *text, int64_t *seconds)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S %z", &tm);
	int east = (int)tm.tm_gmtoff;

	return end && !*end && seconds_of(&tm, east, seconds);
}

bool duration_parse(const char *text, uint64_t *ret)
{
	double ns;

	if (!parse_duration(text, &ns) || ns < 0 || ns > 9e18)
		return false;
	*ret = (uint64_t)ns;
	return true;
}

bool time_parse(const char *text, uint64_t *ret)
{
	int64_t seconds = 0, ns = 0;
	struct timespec now;
	double ago, t;

	if (parse_duration(text, &ago)) {
		clock_gettime(CLOCK_REALTIME, &now);
		t = (double)now.tv_sec * 1e9 + (double)now.tv_nsec - ago;
		if (t < 0 || t > 9e18)
			return false;
		*ret = (uint64_t)t;
		return true;
	}
	if (!parse_rfc3339(text, &seconds, &ns) && !parse_rfc1123z(text, &seconds))
		return false;
	if (seconds < 0 || seconds > INT64_MAX / SECOND - 1)
		return false;
	*ret = (uint64_t)(seconds * SECOND + ns);
	return true;
}

/* ---- printing ----------------------------------------------------------------- */

/* digits: of the fraction of a second. Trimmed, its zeros at the end are left away,
 * and the point with them. */
static const struct {
	const char *name;
	const char *layout; /* of strftime() up to the fraction */
	const char *end;    /* and behind it */
	int digits;
	bool trim;
} formats[] = {
	{ "StampMilli", "%b %e %H:%M:%S", "", 3, false },
	{ "YearMonthDay", "%Y-%m-%d", "", 0, false },
	{ "YearMonthDayHour", "%Y-%m-%dT%H", "Z", 0, false },
	{ "YearMonthDayHourMinute", "%Y-%m-%dT%H:%M", "Z", 0, false },
	{ "RFC3339", "%Y-%m-%dT%H:%M:%S", "Z", 0, false },
	{ "RFC3339Milli", "%Y-%m-%dT%H:%M:%S", "Z", 3, true },
	{ "RFC3339Micro", "%Y-%m-%dT%H:%M:%S", "Z", 6, true },
	{ "RFC3339Nano", "%Y-%m-%dT%H:%M:%S", "Z", 9, true },
	{ "RFC1123Z", "%a, %d %b %Y %H:%M:%S +0000", "", 0, false },
};

bool time_format_find(const char *name, unsigned int *ret)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(formats); i++) {
		if (!strcasecmp(formats[i].name, name)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

char *time_text(unsigned int format, uint64_t ns)
{
	time_t t = (time_t)(ns / SECOND);
	int n = formats[format].digits;
	char whole[64], part[16];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(whole, sizeof(whole), formats[format].layout, &tm);
	snprintf(part, sizeof(part), ".%09u", (unsigned int)(ns % SECOND));
	part[n ? n + 1 : 0] = '\0';
	while (formats[format].trim && n && part[n] == '0')
		part[n--] = '\0';
	if (!n)
		part[0] = '\0';
	return xprintf("%s%s%s", whole, part, formats[format].end);
}
