/* SPDX-License-Identifier: BSD-2-Clause */
/* The service manager, limits and privileges. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "clited.h"

/* ---- sd_notify(3), without libsystemd --------------------------------------- */

static void notify_text(const char *path, const char *text)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	size_t len = strlen(path);

	if ((*path != '/' && *path != '@') || len >= sizeof(to.sun_path)) {
		log_warning("NOTIFY_SOCKET '%s' is neither a path nor an abstract name", path);
		return;
	}
	memcpy(to.sun_path, path, len);
	if (*path == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_warning("cannot notify '%s': %s", path, strerror(errno));
}

void notify(const char *fmt, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	_cleanup_free_ char *text = NULL;
	va_list ap;

	if (!path || !*path)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	notify_text(path, text);
}

uint64_t notify_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t n;

	if (!usec || !parse_number(usec, UINT64_MAX, &n) || !n)
		return 0;
	if (pid && (!parse_number(pid, INT32_MAX, &(uint64_t){ 0 }) ||
		    strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	return n / 2000 ? n / 2000 : 1;
}

/* ---- limits ------------------------------------------------------------------ */

size_t raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 256;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

/* ---- privileges -------------------------------------------------------------- */

/* Every bpf() call needs CAP_BPF where unprivileged use is off, services ask for what
 * CAP_PERFMON and CAP_NET_ADMIN are for when they change. Nothing is opened by a path of
 * the bpf file system once the instance is, so that may stay root's. */
static bool keep_capabilities(void)
{
	static const uint32_t kept[] = { CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		data[CAP_TO_INDEX(kept[i])].effective |= CAP_TO_MASK(kept[i]);
		data[CAP_TO_INDEX(kept[i])].permitted |= CAP_TO_MASK(kept[i]);
	}
	return !syscall(SYS_capset, &header, data);
}

bool become_user(const char *user)
{
	const struct passwd *pw;

	errno = 0;
	pw = getpwnam(user);
	if (!pw) {
		log_error("--user: %s '%s'%s%s", errno ? "cannot look up" : "there is no user",
			  user, errno ? ": " : "", errno ? strerror(errno) : "");
		return false;
	}
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || initgroups(user, pw->pw_gid) ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) || !keep_capabilities() ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
		log_error("cannot become user '%s': %s", user, strerror(errno));
		return false;
	}
	return true;
}
