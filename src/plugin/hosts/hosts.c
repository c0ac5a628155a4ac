/* hosts: answers from a hosts file and from lines in the Corefile. Two tables, the file's and the inline one: sets of the first
 * come before those of the second. The file is read by the main thread and published; shards borrow from it. */
#include "base/log.h"
#include "base/metric.h"
#include "base/rcu.h"
#include "dns/plugin.h"
#include "plugin/hosts/table.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

struct hosts {
	struct fl_zones zones;
	struct fl_fall fall;
	struct fl_hosts_how how;
	bool fall_unsupported;
	const char *path;
	int64_t reload_ns;
	struct timespec mtime;
	off_t size;
	struct fl_hosts *inline_, *file;        /* file: RCU, NULL before it was read */
	struct fl_rcu_bin old;
	struct fl_grid *entries;
};

static const struct fl_metric_def entries_def = { "coredns_hosts_entries", "The combined number of entries in hosts and Corefile.", FL_GAUGE,
						  .labels = { "hostsfile" } };
static const struct fl_metric_def reload_def = { "coredns_hosts_reload_timestamp_seconds", "The timestamp of the last reload of hosts file.",
						 FL_GAUGE, .always = true };

/* ---- the file ---- */

/* Nothing in it is a line of a hosts file: what was read before is worth more. */
static bool is_garbage(const struct hosts *h, const struct fl_hosts *now)
{
	struct fl_hosts_lines l = fl_hosts_lines(now);
	if (l.odd && l.good)
		fl_log(FL_WARN, "plugin/hosts", "Hosts file \"%s\": %u lines do not begin with an address (line %u first), left out", h->path, l.odd, l.first);
	else if (l.odd)
		fl_log(FL_ERROR, "plugin/hosts", "Hosts file \"%s\" is none: none of its %u lines begins with an address", h->path, l.odd);
	return l.odd && !l.good;
}

/* Looks at the file, and reads it when time or size changed. One that is missing or cannot be read leaves things as they are. */
static void look(void *inst)
{
	struct hosts *h = inst;
	struct stat st;
	struct fl_arena a;
	struct fl_str text;
	if (stat(h->path, &st) || S_ISDIR(st.st_mode))
		return;
	if (h->file && st.st_size == h->size && st.st_mtim.tv_sec == h->mtime.tv_sec && st.st_mtim.tv_nsec == h->mtime.tv_nsec)
		return;
	fl_arena_init(&a, NULL, 0, NULL, (size_t)1 << 30);
	if (fl_conf_read(&a, h->path, &text)) {
		fl_arena_finish(&a);
		return;
	}
	struct fl_hosts *was = h->file, *now = fl_hosts_parse(text, &h->how);
	fl_arena_finish(&a);
	h->size = st.st_size;
	h->mtime = st.st_mtim;
	if (is_garbage(h, now) && was) {
		free(now);
		return;
	}
	fl_log(FL_DEBUG, "plugin/hosts", "Parsed hosts file into %zu entries", fl_hosts_entries(now));
	fl_rcu_set(&h->file, now);
	if (was) {
		fl_rcu_free_later(&h->old, was, fl_hosts_bytes(was));
		fl_rcu_reclaim(&h->old);
	}
	fl_grid_set(h->entries, (double)(fl_hosts_entries(now) + fl_hosts_entries(h->inline_)));
	fl_grid_set(fl_metric_plain(&reload_def), (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec / 1e9);
}

static int start(void *inst, struct fl_err *e)
{
	struct hosts *h = inst;
	(void)e;
	h->entries = fl_metric_plain(&entries_def, h->path);
	fl_metric_plain(&reload_def);
	look(h);
	return 0;
}

static void destroy(void *inst)
{
	struct hosts *h = inst;
	free(h->inline_);
	free(h->file);
	fl_rcu_bin_finish(&h->old);
}

/* ---- set-up ---- */

static int file(struct fl_setup *s, struct hosts *h, struct fl_str path)
{
	struct stat st;
	h->path = fl_setup_path(s, path);
	if (stat(h->path, &st)) {
		if (errno != ENOENT)
			return fl_setup_parse_error(s, "unable to access hosts file '%s': %s", h->path, strerror(errno));
		fl_log(FL_WARN, "plugin/hosts", "File does not exist: %s", h->path);
	} else if (S_ISDIR(st.st_mode)) {
		fl_log(FL_WARN, "plugin/hosts", "Hosts file \"%s\" is a directory", h->path);
	}
	return 0;
}

static int ttl(struct fl_setup *s, struct hosts *h)
{
	struct fl_str *arg;
	struct fl_err e;
	int64_t v;
	if (!fl_disp_args(fl_setup_disp(s), &arg))
		return fl_setup_parse_error(s, "ttl needs a time in second");
	if (fl_atoi(arg[0], &v, &e))
		return fl_setup_parse_error(s, "ttl needs a number of second");
	if (v <= 0 || v > 65535)
		return fl_setup_parse_error(s, "ttl provided is invalid");
	h->how.ttl = (uint32_t)v;
	return 0;
}

static int reload(struct fl_setup *s, struct hosts *h)
{
	struct fl_str *arg;
	struct fl_err e;
	if (fl_disp_args(fl_setup_disp(s), &arg) != 1)
		return fl_setup_parse_error(s, "reload needs a duration (zero seconds to disable)");
	if (fl_duration_parse(arg[0], &h->reload_ns, &e))
		return fl_setup_parse_error(s, "invalid duration for reload '%.*s'", FL_FMT(arg[0]));
	if (h->reload_ns < 0)
		return fl_setup_parse_error(s, "invalid negative duration for reload '%.*s'", FL_FMT(arg[0]));
	return 0;
}

/* A line of the block that is no property is a line of the file; those must come before `fallthrough`. */
static int entry(struct fl_setup *s, struct hosts *h, struct fl_str *text)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg, name = fl_disp_val(d);
	if (h->fall.on)
		return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(name));
	struct fl_str line = fl_arena_printf(fl_setup_arena(s), "%.*s%.*s", FL_FMT(*text), FL_FMT(name));
	unsigned n = fl_disp_args(d, &arg);
	for (unsigned i = 0; i < n; i++)
		line = fl_arena_printf(fl_setup_arena(s), "%.*s %.*s", FL_FMT(line), FL_FMT(arg[i]));
	*text = fl_arena_printf(fl_setup_arena(s), "%.*s\n", FL_FMT(line));
	return text->p ? 0 : fl_setup_error(s, "out of memory");
}

static int option(struct fl_setup *s, struct hosts *h, struct fl_str *text)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg, name = fl_disp_val(d);
	if (fl_str_is(name, "ttl"))
		return ttl(s, h);
	if (fl_str_is(name, "reload"))
		return reload(s, h);
	if (fl_str_is(name, "no_reverse"))
		h->how.no_reverse = true;
	else if (fl_str_is(name, "fallthrough")) {
		unsigned n = fl_disp_args(d, &arg);
		return fl_setup_fall(s, arg, n, &h->fall);
	} else if (fl_str_is(name, "fallthrough_unsupported")) {
		h->fall_unsupported = true;
		return fl_disp_args(d, &arg) ? fl_setup_arg_error(s) : 0;
	} else {
		return entry(s, h, text);
	}
	return 0;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct hosts *h = fl_zalloc(fl_setup_arena(s), sizeof *h);
	struct fl_str *arg, text = { "", 0 };
	int ret = fl_setup_once(s);
	if (ret || !h)
		return ret ? ret : fl_setup_error(s, "out of memory");
	*inst = h;
	h->path = "/etc/hosts";
	h->reload_ns = 5 * (int64_t)FL_SEC;
	h->how.ttl = 3600;
	h->how.zones = &h->zones;
	fl_disp_next(d);
	unsigned n = fl_disp_args(d, &arg);
	if (n)
		ret = file(s, h, arg[0]);
	if (!ret)
		ret = fl_setup_zones(s, n ? arg + 1 : NULL, n ? n - 1 : 0, &h->zones);
	while (!ret && fl_disp_next_block(d))
		ret = option(s, h, &text);
	if (!ret && h->fall_unsupported && !h->fall.on)
		ret = fl_setup_parse_error(s, "fallthrough_unsupported requires fallthrough");
	if (!ret && h->reload_ns)
		ret = fl_setup_every(s, (uint64_t)h->reload_ns, look);
	if (!ret && h->reload_ns)
		ret = fl_setup_watch(s, h->path, look);
	if (ret)
		return ret;
	h->how.source = "Inline hosts entries";
	h->inline_ = fl_hosts_parse(text, &h->how);
	h->how.source = fl_arena_printf(fl_setup_arena(s), "Hosts file \"%s\"", h->path).p;
	return 0;
}

/* ---- questions ---- */

static bool add(struct fl_query *q, const struct fl_rrset *set, bool shared)
{
	return !set || fl_reply_add(q, FL_ANSWER, q->qname, set, shared);
}

static enum fl_verdict pointer(struct hosts *h, struct fl_query *q, const struct fl_hosts *f)
{
	struct fl_addr a;
	if (!fl_name_unreverse(q->qname, &a))
		return FL_NEXT;
	const struct fl_rrset *one = f ? fl_hosts_addr(f, &a) : NULL, *two = fl_hosts_addr(h->inline_, &a);
	if (!one && !two)
		return FL_NEXT;                 /* whatever fallthrough says */
	if (!add(q, one, true) || !add(q, two, false))
		return fl_yield(q, -ENOMEM);
	q->res.set |= FL_AA;
	return FL_DONE;
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	struct hosts *h = inst;
	const struct fl_hosts *f = fl_rcu_get(&h->file);
	const struct fl_rrset *a1 = NULL, *six1 = NULL, *a2, *six2;
	if (q->qtype == FL_T_PTR)
		return pointer(h, q, f);
	if (fl_zones_match(&h->zones, q->qname) < 0)
		return FL_NEXT;
	if (f)
		fl_hosts_name(f, q->qname, &a1, &six1);
	fl_hosts_name(h->inline_, q->qname, &a2, &six2);
	if (!a1 && !six1 && !a2 && !six2)
		return fl_fall_through(&h->fall, q->qname) ? FL_NEXT : fl_fail(q, FL_SERVFAIL, NULL);
	bool four = q->qtype == FL_T_A, six = q->qtype == FL_T_AAAA;
	if (!four && !six && h->fall_unsupported && fl_fall_through(&h->fall, q->qname))
		return FL_NEXT;
	if ((four && !(add(q, a1, true) && add(q, a2, false))) || (six && !(add(q, six1, true) && add(q, six2, false))))
		return fl_yield(q, -ENOMEM);
	q->res.set |= FL_AA;
	return FL_DONE;
}

static const struct fl_opt opts[] = {
	{ "", "[FILE [ZONE...]]", "the file (/etc/hosts), and the zones that are answered (those of the block)" },
	{ "ttl", "SECONDS", "of all records, 1 to 65535 (3600)" },
	{ "no_reverse", "", "no PTR answers" },
	{ "reload", "DURATION", "how often the file is looked at (5s, 0: never)" },
	{ "fallthrough", "[ZONE...]", "names that are not here go to the next plugin" },
	{ "fallthrough_unsupported", "", "names that are here go there too when A, AAAA and PTR are not asked" },
	{ 0 },
};

FL_PLUGIN(hosts, .opts = opts, .setup = setup, .start = start, .destroy = destroy, .query = query);
