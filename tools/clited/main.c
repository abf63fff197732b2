/* SPDX-License-Identifier: BSD-2-Clause */
/* Options, start, signals, end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "clited.h"

#define CONFIG_DEFAULT "/etc/cilium-lite/clited.yaml"
/* Records of events in a turn; there are none without a flow log. */
#define BUDGET 256

struct options {
	const char *instance, *config, *bpffs, *user, *metrics, *hubble;
	bool create, check_config;
};

/* All that lives on the loop besides the parts of the daemon. */
struct program {
	struct clited d;
	struct options o;
	struct watch signals, instance;
	struct timer watchdog;
};

/* ---- options ------------------------------------------------------------------- */

static const char help_text[] =
	"Usage: clited [OPTION]...\n"
	"\n"
	"Check the back ends of an instance's services, quarantine those that do not answer,\n"
	"keep services as files say, serve flows to Hubble's clients and metrics to Prometheus,\n"
	"and log flows. Runs until SIGTERM; SIGHUP reads the configuration again.\n"
	"\n"
	"  -i, --instance NAME    the instance (default: CLITE_INSTANCE, else \"default\")\n"
	"  -c, --config FILE      its configuration (default: " CONFIG_DEFAULT ")\n"
	"      --check-config     say whether the configuration is right, and exit\n"
	"      --hubble ADDRESS   serve Hubble's API there, too: unix:///PATH, HOST:PORT, :PORT\n"
	"      --metrics ADDRESS  serve metrics there, whatever the configuration says:\n"
	"                         " LISTEN_FORMS "\n"
	"      --bpffs DIR        mount point of the bpf file system (default: /sys/fs/bpf)\n"
	"      --create           make the instance if it is not there\n"
	"      --user USER        become this user when the instance is open\n"
	"      --foreground       stay in the foreground: it always does\n"
	"      --log-level LEVEL  error, warning, notice, info (the default) or debug\n"
	"  -h, --help             print this\n"
	"      --version          print the version\n"
	"\n"
	"Example:\n"
	"  clited --instance default --config " CONFIG_DEFAULT "\n";

enum { OPT_BPFFS = 256, OPT_CREATE, OPT_USER, OPT_CHECK, OPT_FOREGROUND, OPT_LEVEL, OPT_HUBBLE,
       OPT_METRICS, OPT_VERSION };

static const struct option longs[] = {
	{ "instance", required_argument, NULL, 'i' },
	{ "config", required_argument, NULL, 'c' },
	{ "check-config", no_argument, NULL, OPT_CHECK },
	{ "bpffs", required_argument, NULL, OPT_BPFFS },
	{ "create", no_argument, NULL, OPT_CREATE },
	{ "user", required_argument, NULL, OPT_USER },
	{ "foreground", no_argument, NULL, OPT_FOREGROUND },
	{ "log-level", required_argument, NULL, OPT_LEVEL },
	{ "hubble", required_argument, NULL, OPT_HUBBLE },
	{ "metrics", required_argument, NULL, OPT_METRICS },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static _Noreturn void usage_error(const char *what, const char *value)
{
	fprintf(stderr, "clited: %s%s\ntry 'clited --help'\n", what, value);
	exit(EXIT_USAGE);
}

static _Noreturn void print_and_exit(const char *text)
{
	fputs(text, stdout);
	exit(fflush(stdout) ? EXIT_FAILED : EXIT_OK);
}

static _Noreturn void print_version(void)
{
	_cleanup_free_ char *text =
		xprintf("clited %d.%d.%d, libcilium-lite %s\n", CLITE_VERSION_MAJOR,
			CLITE_VERSION_MINOR, CLITE_VERSION_PATCH, clite_version_string());

	print_and_exit(text);
}

static void read_option(struct options *o, int key)
{
	switch (key) {
	case 'i':
		o->instance = optarg;
		break;
	case 'c':
		o->config = optarg;
		break;
	case OPT_CHECK:
		o->check_config = true;
		break;
	case OPT_BPFFS:
		o->bpffs = optarg;
		break;
	case OPT_CREATE:
		o->create = true;
		break;
	case OPT_USER:
		o->user = optarg;
		break;
	case OPT_FOREGROUND:
		break;
	case OPT_LEVEL:
		if (!log_set_level(optarg))
			usage_error("--log-level: error, warning, notice, info or debug, not ",
				    optarg);
		break;
	case OPT_HUBBLE:
		o->hubble = optarg;
		break;
	case OPT_METRICS:
		if (!listen_valid(optarg))
			usage_error("--metrics: " LISTEN_FORMS ", not ", optarg);
		o->metrics = optarg;
		break;
	case 'h':
		print_and_exit(help_text);
	case OPT_VERSION:
		print_version();
	}
}

static void read_options(struct options *o, int argc, char **argv)
{
	int key;

	opterr = 0;
	while ((key = getopt_long(argc, argv, ":i:c:h", longs, NULL)) != -1) {
		if (key == ':')
			usage_error("a value is missing after ", argv[optind - 1]);
		if (key == '?')
			usage_error("unknown option, or one with a value too many: ",
				    argv[optind - 1]);
		read_option(o, key);
	}
	if (optind < argc)
		usage_error("it takes no arguments: ", argv[optind]);
}

/* ---- the instance --------------------------------------------------------------- */

bool clited_ok(struct clited *d, int r, const char *fmt, ...)
{
	_cleanup_free_ char *what = NULL;
	const char *why;
	va_list ap;

	if (r >= 0)
		return true;
	why = clite_error(d->ctx);
	va_start(ap, fmt);
	if (vasprintf(&what, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	if (r != -ESTALE) {
		log_error("%s: %s", what, *why ? why : clite_strerror(r));
		return false;
	}
	if (!d->loop.stop)
		log_error("the instance '%s' was destroyed: nothing is left to do",
			  clite_name(d->ctx));
	loop_stop(&d->loop, EXIT_INSTANCE);
	return false;
}

uint64_t clited_revision(struct clited *d)
{
	const struct clite_status *status;

	if (!clited_ok(d, clite_status(d->ctx, &status), "cannot read the instance's status"))
		return 0;
	return status->revision;
}

static int open_instance(struct program *p)
{
	char errbuf[4096] = "";
	struct clite_open_opts opts = {
		.sz = sizeof(opts),
		.flags = p->o.create ? CLITE_OPEN_CREATE : 0,
		.bpffs = p->o.bpffs,
		.errbuf = errbuf,
		.errbuf_size = sizeof(errbuf),
	};
	int r = clite_open(p->o.instance, &opts, &p->d.ctx);

	if (r == -ENOENT) {
		log_error("no instance '%s': make it with 'clite instance create %s', or use --create",
			  p->o.instance, p->o.instance);
		return EXIT_INSTANCE;
	}
	if (r < 0) {
		log_error("cannot open the instance '%s': %s", p->o.instance,
			  *errbuf ? errbuf : clite_strerror(r));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static void on_instance(struct watch *w, uint32_t events)
{
	struct program *p = container_of(w, struct program, instance);

	(void)events;
	clited_ok(&p->d, clite_dispatch(p->d.ctx, BUDGET), "events");
}

/* ---- signals --------------------------------------------------------------------- */

static void tell_ready(struct program *p)
{
	notify("READY=1\nSTATUS=%zu health checks, %zu service files, %zu flow logs",
	       p->d.config->nchecks, p->d.config->files.n, p->d.config->nlogs);
}

/* Nobody needs to write a configuration for metrics and flows alone. */
static struct config *load(const struct options *o)
{
	if ((o->metrics || o->hubble) && !strcmp(o->config, CONFIG_DEFAULT) &&
	    access(o->config, F_OK) && errno == ENOENT)
		return xcalloc(1, sizeof(struct config));
	return config_load(o->config);
}

static bool reload_servers(struct clited *d, struct config *next)
{
	struct config *now = d->config;

	if (!hubble_reload(d, next))
		return false;
	if (metrics_reload(d, next))
		return true;
	d->config = next;
	hubble_reload(d, now);
	d->config = now;
	return false;
}

/* Whole, or not at all. */
static void reload(struct program *p)
{
	struct config *next, *old = p->d.config;

	log_info("reading %s again", p->o.config);
	notify("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)now_ms() * 1000);
	next = load(&p->o);
	if (next && !reload_servers(&p->d, next)) {
		config_free(next);
		next = NULL;
	}
	if (!next) {
		log_error("the configuration stays as it was");
		tell_ready(p);
		return;
	}
	health_reload(&p->d, next);
	p->d.config = next;
	health_sync(&p->d);
	files_reload(&p->d, next);
	flowlogs_reload(&p->d, next);
	config_free(old);
	tell_ready(p);
}

static void on_signal(struct watch *w, uint32_t events)
{
	struct program *p = container_of(w, struct program, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(w->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		reload(p);
		return;
	}
	log_info("%s: the end; back ends stay as they are", strsignal((int)info.ssi_signo));
	loop_stop(&p->d.loop, EXIT_OK);
}

static int take_signals(struct program *p)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	p->signals = (struct watch){ signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), on_signal };
	if (p->signals.fd < 0)
		return -errno;
	return loop_watch(&p->d.loop, &p->signals, EPOLLIN);
}

/* ---- the run ---------------------------------------------------------------------- */

static void on_watchdog(struct timer *t)
{
	struct program *p = container_of(t, struct program, watchdog);

	notify("WATCHDOG=1");
	loop_timer(&p->d.loop, t, now_ms() + notify_watchdog());
}

static int set_up(struct program *p)
{
	int r = loop_init(&p->d.loop);

	/* The library's own descriptor stays its own: it is never closed here. */
	if (!r)
		r = take_signals(p);
	p->instance = (struct watch){ clite_fd(p->d.ctx), on_instance };
	if (!r)
		r = p->instance.fd < 0 ? p->instance.fd :
					 loop_watch(&p->d.loop, &p->instance, EPOLLIN);
	if (r < 0)
		log_error("cannot set up the event loop: %s", strerror(-r));
	p->watchdog.fire = on_watchdog;
	if (!r && notify_watchdog())
		loop_timer(&p->d.loop, &p->watchdog, now_ms());
	return r;
}

static int run(struct program *p)
{
	int code;

	/* What comes of the rest is in the logs; then who is quarantined, then what files
	 * say. */
	flowlogs_start(&p->d);
	health_start(&p->d);
	files_start(&p->d);
	log_info("instance '%s', %s", p->o.instance, p->o.config);
	tell_ready(p);
	code = loop_run(&p->d.loop);
	notify("STOPPING=1");
	files_stop(&p->d);
	health_stop(&p->d);
	flowlogs_stop(&p->d);
	return code;
}

/* What may need root comes before the other user. */
static int start(struct program *p)
{
	int code = open_instance(p);

	if (code)
		return code;
	code = EXIT_FAILED;
	if (!set_up(p) && hubble_start(&p->d, p->o.hubble) &&
	    metrics_start(&p->d, p->o.metrics) &&
	    (!p->o.user || become_user(p->o.user)))
		code = run(p);
	metrics_stop(&p->d);
	hubble_stop(&p->d);
	loop_unwatch(&p->d.loop, &p->signals);
	loop_clear(&p->d.loop);
	return code;
}

/* If one of the three is closed, the next file that is opened would take its place, and
 * messages would be written into it. */
static void occupy_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		if (open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd)
			exit(EXIT_FAILED);
	}
}

int main(int argc, char **argv)
{
	const char *instance = getenv("CLITE_INSTANCE");
	struct program p = {
		.o = { .instance = instance && *instance ? instance : "default",
		       .config = CONFIG_DEFAULT },
		.d.loop.epoll = -1,
		.signals.fd = -1,
	};
	int code = EXIT_OK;

	occupy_standard_fds();
	log_begin();
	read_options(&p.o, argc, argv);
	p.d.config = load(&p.o);
	if (!p.d.config)
		code = EXIT_USAGE;
	else if (!p.o.check_config)
		code = start(&p);
	else
		printf("%s: right: %zu health checks, %zu service files, %zu flow logs\n",
		       p.o.config, p.d.config->nchecks, p.d.config->files.n, p.d.config->nlogs);
	config_free(p.d.config);
	clite_close(p.d.ctx);
	return code;
}
