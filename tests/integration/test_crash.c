/* SPDX-License-Identifier: BSD-2-Clause */
/* A process that changes an instance is killed at random moments, again and again.
 * Afterwards the instance opens, says what it said before or after the change that
 * was under way, does what it says, and nothing is left over. */
#include <bpf/bpf.h>
#include <cilium-lite/sys/bpf.h>
#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stage.h"

#define KILLS 120

static struct workload red = { .name = "red", .number = 1 };
static struct workload blue = { .name = "blue", .number = 2 };
static struct workload extra = { .name = "extra", .number = 3 };
static int blue_fd;
static const char *instance; /* the name of the one at hand */
static char cgroups[] = "/run/cgroup-XXXXXX", cgroup[64];

/* The story: what the process does, one change at a time, over and over. */

#define DOCUMENT(labels, more)                                                             \
	"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: web}\n"       \
	"spec:\n  endpointSelector: {matchLabels: {app: blue}}\n  ingress:\n"                \
	"  - fromEndpoints: [{matchLabels: {app: " labels "}}]\n" more

static const char *const allow = DOCUMENT("red", "  - fromCIDR: [198.51.100.0/24, 203.0.113.0/25]\n");
static const char *const deny = DOCUMENT("nobody", "  - fromCIDR: [198.51.100.0/24, 2001:db8::/40]\n");

struct state {
	const char *policy;	/* NULL: none */
	size_t backends;	/* 0: no service */
	bool extra;		/* the third endpoint is there */
	bool audit;		/* what is denied passes */
	bool cgroup;		/* its sockets find the service */
};

static const struct state story[] = {
	{ NULL, 0, false, false, false }, { allow, 0, false, false, false },
	{ allow, 2, false, false, false }, { deny, 2, false, false, false },
	{ deny, 2, false, true, false },   { deny, 2, true, true, false },
	{ deny, 2, true, true, true },	   { deny, 2, true, false, true },
	{ deny, 1, true, false, true },	   { allow, 1, true, false, true },
	{ NULL, 1, true, false, true },	   { NULL, 1, true, false, false },
	{ NULL, 1, false, false, false },
};
#define STATES (sizeof(story) / sizeof(story[0]))

static int policy_set(struct clite_ctx *ctx, const char *document)
{
	int r;

	if (!document)
		return clite_policy_delete(ctx, "web");
	r = clite_policy_import(ctx, document, strlen(document), NULL);
	return r < 0 ? r : 0;
}

static int service_set(struct clite_ctx *ctx, size_t n)
{
	struct clite_backend backends[] = { { .address = blue.ipv4 }, { .address = red.ipv4 } };
	struct clite_service_opts o = {
		.sz = sizeof(o),
		.address = "10.96.0.1",
		.port = 53,
		.protocol = IPPROTO_UDP,
		.algorithm = CLITE_LB_MAGLEV,
		.backends = backends,
		.nbackends = n,
		.id = 1,
	};

	return n ? clite_service_update(ctx, &o, NULL) : clite_service_delete(ctx, 1);
}

static int audit_set(struct clite_ctx *ctx, bool on)
{
	struct clite_config c = { .sz = sizeof(c), .audit = on };

	return clite_config_set(ctx, &c);
}

static int cgroup_set(struct clite_ctx *ctx, bool on)
{
	return on ? clite_cgroup_attach(ctx, cgroup) : clite_cgroup_detach(ctx, cgroup);
}

/* One change: from one state of the story to the next. */
static int step(struct clite_ctx *ctx, const struct state *from, const struct state *to)
{
	if (from->policy != to->policy)
		return policy_set(ctx, to->policy);
	if (from->backends != to->backends)
		return service_set(ctx, to->backends);
	if (from->audit != to->audit)
		return audit_set(ctx, to->audit);
	if (from->cgroup != to->cgroup)
		return cgroup_set(ctx, to->cgroup);
	return to->extra ? workload_add(ctx, &extra) : clite_endpoint_remove(ctx, extra.number);
}

/* ---- what an instance says ------------------------------------------------------- */

struct seen {
	struct state state;
	int failures;
};

static int see_policy(const struct clite_policy_info *info, void *userdata)
{
	struct seen *s = userdata;

	s->failures += s->state.policy || strcmp(info->name, "web");
	s->state.policy = !strcmp(info->text, allow) ? allow : !strcmp(info->text, deny) ? deny : "?";
	return 0;
}

static int see_service(const struct clite_service_info *info, void *userdata)
{
	struct seen *s = userdata;

	s->failures += s->state.backends || info->id != 1 || info->port != 53;
	s->state.backends = info->nbackends;
	for (size_t i = 0; i < info->nbackends; i++)
		s->failures += strcmp(info->backends[i].address, i ? red.ipv4 : blue.ipv4);
	return 0;
}

static int see_endpoint(const struct clite_endpoint_info *info, void *userdata)
{
	struct seen *s = userdata;

	s->failures += info->id > 3 || strncmp(info->labels[0], "k8s:app=", 8);
	s->failures += strcmp(info->labels[0] + 8, info->device);
	s->state.extra |= info->id == extra.number;
	return 0;
}

static int see_cgroup(const struct clite_cgroup_info *info, void *userdata)
{
	struct seen *s = userdata;

	s->failures += s->state.cgroup || strcmp(info->path, cgroup);
	s->state.cgroup = true;
	return 0;
}

static struct seen look(struct clite_ctx *ctx)
{
	struct clite_config config = { .sz = sizeof(config) };
	struct seen s = {};

	ck_assert_int_eq(clite_config_get(ctx, &config), 0);
	s.state.audit = config.audit;
	s.failures += config.enforcement || config.allow_localhost;
	ck_assert_int_ge(clite_policy_list(ctx, see_policy, &s), 0);
	ck_assert_int_ge(clite_service_list(ctx, see_service, &s), 0);
	ck_assert_int_ge(clite_endpoint_list(ctx, see_endpoint, &s), 2);
	ck_assert_int_ge(clite_cgroup_list(ctx, see_cgroup, &s), 0);
	return s;
}

static bool same(const struct state *a, const struct state *b)
{
	return a->policy == b->policy && a->backends == b->backends && a->extra == b->extra &&
	       a->audit == b->audit && a->cgroup == b->cgroup;
}

static bool allows(const struct state *s)
{
	return s->policy != deny || s->audit;
}

/* Whether a new flow from red to blue passes: what arrives, or what is dropped. */
static bool passes(struct clite_ctx *ctx)
{
	int fd = udp_socket(&red, 0, &blue, 53);
	uint64_t before = drops(ctx, 133), end = now_ms() + 5000;
	char buf[16];
	bool arrived = false;

	ck_assert_int_eq(send(fd, "?", 1, 0), 1);
	while (!(arrived = recv(blue_fd, buf, sizeof(buf), 0) == 1) && drops(ctx, 133) == before)
		ck_assert_msg(now_ms() < end, "a datagram is nowhere");
	close(fd);
	return arrived;
}

/* ---- what is left over ------------------------------------------------------------- */

static const char *const maps[] = { "devices", "addresses", "ipcache", "peers",
				    "verdicts", "services", "store" };
#define MAPS (sizeof(maps) / sizeof(maps[0]))

struct census {
	uint32_t entries[MAPS];
	uint32_t tables, identities, links;
};

static uint32_t entries(int map)
{
	char key[64], *previous = NULL;
	uint32_t n = 0;

	while (!bpf_map_get_next_key(map, previous, key)) {
		previous = key;
		n++;
	}
	return n;
}

static uint32_t links(void)
{
	char path[128];
	uint32_t n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/run/bpf/cilium-lite/%s/links", instance);
	d = opendir(path);
	ck_assert_ptr_nonnull(d);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static struct census count(struct clite_ctx *ctx)
{
	const struct clite_status *status;
	struct census c = {};

	for (size_t i = 0; i < MAPS; i++)
		c.entries[i] = entries(clite_sys_map_fd(ctx, maps[i]));
	ck_assert_int_eq(clite_status(ctx, &status), 0);
	c.tables = status->policy_tables;
	c.identities = status->identities;
	c.links = links();
	return c;
}

static void compare(const struct census *is, const struct census *was, int round)
{
	for (size_t i = 0; i < MAPS; i++)
		ck_assert_msg(is->entries[i] == was->entries[i], "round %d: map %s has %u entries, had %u",
			      round, maps[i], is->entries[i], was->entries[i]);
	ck_assert_msg(is->tables == was->tables, "round %d: %u tables, had %u", round, is->tables,
		      was->tables);
	ck_assert_msg(is->identities == was->identities, "round %d: %u identities, had %u", round,
		      is->identities, was->identities);
	ck_assert_msg(is->links == was->links, "round %d: %u pinned links, had %u", round, is->links,
		      was->links);
}

/* ---- the test ------------------------------------------------------------------------ */

/* Changes that are done, of the process that does them. */
static volatile uint32_t *done;

static void act_for_ever(void)
{
	struct clite_ctx *ctx = instance_open(instance, 0);

	for (uint32_t i = 0;; i++) {
		int r = step(ctx, &story[i % STATES], &story[(i + 1) % STATES]);

		if (r < 0) {
			printf("step %u: %s\n", i % (uint32_t)STATES, clite_error(ctx));
			fflush(stdout);
			_exit(1);
		}
		*done = i + 1;
	}
}

static void act_and_die(void)
{
	uint32_t delay;
	int status;
	pid_t pid;

	*done = 0;
	ck_assert(getrandom(&delay, sizeof(delay), 0) == sizeof(delay));
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid)
		act_for_ever();
	/* Some die while they open the instance. */
	usleep(1000 + delay % 60000);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status), "the process that makes changes has failed");
}

/* Back to the state in which the story begins; the first change repairs. */
static void rewind_story(struct clite_ctx *ctx, const struct state *from)
{
	if (from->policy)
		ck_assert_msg(!policy_set(ctx, NULL), "%s", clite_error(ctx));
	if (from->backends)
		ck_assert_msg(!service_set(ctx, 0), "%s", clite_error(ctx));
	if (from->extra)
		ck_assert_msg(!clite_endpoint_remove(ctx, extra.number), "%s", clite_error(ctx));
	if (from->cgroup)
		ck_assert_msg(!cgroup_set(ctx, false), "%s", clite_error(ctx));
	if (from->audit)
		ck_assert_msg(!audit_set(ctx, false), "%s", clite_error(ctx));
	/* Also when there was nothing to take back. */
	ck_assert_msg(!clite_ipcache_set(ctx, "192.0.2.0/24", CLITE_ID_WORLD) &&
			      !clite_ipcache_unset(ctx, "192.0.2.0/24"),
		      "%s", clite_error(ctx));
}

static void check_after(const struct census *was, int round)
{
	struct clite_ctx *ctx = instance_open(instance, 0);
	uint32_t at = *done;
	struct seen s = look(ctx);
	struct census is;

	ck_assert_msg(!s.failures, "round %d, step %u: something is half", round, at);
	ck_assert_msg(same(&s.state, &story[at % STATES]) || same(&s.state, &story[(at + 1) % STATES]),
		      "round %d, step %u: policy %s, %zu back ends, %s, %s, %s", round, at,
		      s.state.policy ?: "none", s.state.backends, s.state.extra ? "extra" : "-",
		      s.state.audit ? "audit" : "-", s.state.cgroup ? "cgroup" : "-");
	ck_assert_msg(passes(ctx) == allows(&s.state), "round %d, step %u: %s, but it %s", round, at,
		      allows(&s.state) ? "allowed" : "denied",
		      allows(&s.state) ? "does not pass" : "passes");
	rewind_story(ctx, &s.state);
	ck_assert(passes(ctx));
	is = count(ctx);
	compare(&is, was, round);
	clite_close(ctx);
}

static void killed_at_random(const char *name, uint32_t flags)
{
	struct clite_ctx *ctx;
	struct census was;

	instance = name;
	ctx = instance_open(instance, CLITE_OPEN_CREATE | CLITE_OPEN_EXCLUSIVE | flags);
	ck_assert_msg(!workload_add(ctx, &red) && !workload_add(ctx, &blue), "%s", clite_error(ctx));
	/* What stays for good is there once the story was told. */
	for (size_t i = 0; i < STATES; i++)
		ck_assert_msg(!step(ctx, &story[i], &story[(i + 1) % STATES]), "%s", clite_error(ctx));
	rewind_story(ctx, &story[0]);
	was = count(ctx);
	ctx = clite_close(ctx);
	for (int round = 0; round < KILLS / 2; round++) {
		act_and_die();
		check_after(&was, round);
	}
	ctx = instance_open(instance, 0);
	ck_assert_int_eq(clite_destroy(ctx), 0);
	clite_close(ctx);
}

START_TEST(crash_tcx)
{
	killed_at_random("tcx", 0);
}
END_TEST

START_TEST(crash_clsact)
{
	killed_at_random("clsact", CLITE_OPEN_CLSACT);
}
END_TEST

static void cgroup_remove(void)
{
	rmdir(cgroup);
}

static void cgroup_make(void)
{
	NEED(mkdtemp(cgroups) && !mount("none", cgroups, "cgroup2", 0, NULL), "cgroup2: %m");
	snprintf(cgroup, sizeof(cgroup), "%s/clite-test.%d", cgroups, getpid());
	NEED(!mkdir(cgroup, 0755), "%s: %m", cgroup);
	atexit(cgroup_remove);
}

int main(void)
{
	Suite *s = suite_create("crash");
	TCase *t = tcase_create("crash");
	SRunner *sr;
	int failed;

	stage_make();
	cgroup_make();
	workload_make(&red);
	workload_make(&blue);
	workload_make(&extra);
	blue_fd = udp_socket(&blue, 53, NULL, 0);
	done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(done != MAP_FAILED, "mmap: %m");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, crash_tcx);
	tcase_add_test(t, crash_clsact);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_set_fork_status(sr, CK_NOFORK);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
