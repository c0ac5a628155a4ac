/* errors: says why a query failed, one line each; `consolidate` counts those that a pattern matches and says so once a period. Shards
 * count, a timer of the main thread prints, period by period. What has been counted outlives a reload that keeps the pattern.
 * Lines of queries wait for the end of the batch, so that each stands behind the one that `log` has of it, as in CoreDNS. */
#include "base/log.h"
#include "dns/plugin.h"
#include "lang/regex.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Kept over reloads. */
struct pattern {
	struct fl_timer timer;          /* main thread */
	struct fl_loop *loop;
	struct fl_regex *re;
	enum fl_level level;
	bool show_first;
	int64_t period_ns;
	char period[32];
	unsigned count;                 /* atomic */
};

struct use { struct pattern *p; struct use *next; };
struct errors { struct use *use, **last; unsigned groups; };

enum { WAITING = 16 * 1024, LINE = 2048 };
/* A shard's: lines that wait, each a level and a text that ends with NUL. */
struct local { struct fl_regex_scratch *scratch; size_t n; char wait[WAITING]; };

/* ---- counting, on the main thread ---- */

static void print(struct pattern *p)
{
	unsigned n = __atomic_exchange_n(&p->count, 0, __ATOMIC_RELAXED);
	if (n > 1 || (n && !p->show_first))
		fl_log(p->level, "plugin/errors", "%u errors like '%s' occurred in last %s", n, fl_regex_text(p->re), p->period);
}

static void due(struct fl_timer *t)
{
	struct pattern *p = (struct pattern *)((char *)t - offsetof(struct pattern, timer));
	print(p);
	fl_timer_set(p->loop, t, fl_loop_now(p->loop) + (uint64_t)p->period_ns);
}

static void *pattern_create(void *arg)
{
	struct pattern *p = fl_xalloc(sizeof *p);
	*p = *(struct pattern *)arg;
	p->timer.fn = due;
	fl_timer_set(p->loop, &p->timer, fl_loop_now(p->loop) + (uint64_t)p->period_ns);
	return p;
}

static void pattern_destroy(void *obj)
{
	struct pattern *p = obj;
	fl_timer_clear(p->loop, &p->timer);
	print(p);
	fl_regex_free(p->re);
	free(p);
}

/* ---- set-up ---- */

static int options(struct fl_setup *s, struct pattern *p, const struct fl_str *arg, unsigned n)
{
	static const char *const levels[] = { [FL_DEBUG] = "debug", [FL_INFO] = "info", [FL_WARN] = "warning", [FL_ERROR] = "error" };
	bool given = false;
	p->level = FL_ERROR;
	for (unsigned i = 0; i < n; i++) {
		unsigned level = 0;
		while (level < FL_COUNT(levels) && !fl_str_is(arg[i], levels[level]))
			level++;
		if (level < FL_COUNT(levels) && given)
			return fl_setup_parse_error(s, "multiple log levels specified in consolidate");
		if (level < FL_COUNT(levels) && p->show_first)
			return fl_setup_parse_error(s, "log level must come before show_first in consolidate");
		if (level < FL_COUNT(levels))
			p->level = (enum fl_level)level, given = true;
		else if (fl_str_is(arg[i], "show_first"))
			p->show_first = true;
		else
			return fl_setup_parse_error(s, "unknown option in consolidate: %.*s", FL_FMT(arg[i]));
	}
	return 0;
}

/* The pattern of this block with these words: the one that serves already, or a new one. */
static int use(struct fl_setup *s, struct errors *in, struct pattern *want, const struct fl_str *arg, unsigned n)
{
	struct fl_arena *a = fl_setup_arena(s);
	const struct fl_zones *z = fl_setup_block_zones(s);
	struct fl_str key = FL_STR("errors");
	struct use *u = fl_zalloc(a, sizeof *u);
	for (unsigned i = 0; i < z->n; i++)
		key = fl_arena_printf(a, "%.*s %.*s", FL_FMT(key), FL_FMT(z->text[i]));
	for (unsigned i = 0; i < n; i++)
		key = fl_arena_printf(a, "%.*s\n%.*s", FL_FMT(key), FL_FMT(arg[i]));
	if (!u || !key.p || !(u->p = fl_setup_keep(s, key, pattern_create, pattern_destroy, want))) {
		fl_regex_free(want->re);
		return fl_setup_error(s, "out of memory");
	}
	if (u->p->re != want->re)
		fl_regex_free(want->re);
	if (fl_regex_groups(u->p->re) > in->groups)
		in->groups = fl_regex_groups(u->p->re);
	*in->last = u;
	in->last = &u->next;
	return 0;
}

static int consolidate(struct fl_setup *s, struct errors *in)
{
	struct pattern p = { .loop = fl_setup_loop(s) };
	struct fl_str *arg;
	struct fl_err e;
	unsigned n = fl_disp_args(fl_setup_disp(s), &arg);
	if (n < 2 || n > 4)
		return fl_setup_arg_error(s);
	if (fl_duration_parse(arg[0], &p.period_ns, &e))
		return fl_setup_parse_error(s, "%s", e.msg);
	if (p.period_ns < (int64_t)FL_MS)
		return fl_setup_parse_error(s, "consolidate needs a period of at least 1ms: %.*s", FL_FMT(arg[0]));
	if (arg[1].n > FL_REGEX_MAX)
		return fl_setup_parse_error(s, "regex pattern too long: %zu > %d", arg[1].n, FL_REGEX_MAX);
	int ret = options(s, &p, arg + 2, n - 2);
	if (ret)
		return ret;
	p.re = fl_regex_compile(arg[1], &e);
	if (!p.re)
		return fl_setup_parse_error(s, "%s", e.msg);
	fl_duration_text(p.period, p.period_ns);
	return use(s, in, &p, arg, n);
}

static int option(struct fl_setup *s, struct errors *in)
{
	struct fl_str name = fl_disp_val(fl_setup_disp(s));
	char text[160];
	if (fl_str_is(name, "stacktrace"))      /* CoreDNS: the stack of a recovered panic; nothing here is recovered from */
		return 0;
	if (fl_str_is(name, "consolidate"))
		return consolidate(s, in);
	snprintf(text, sizeof text, "Unknown field %.*s", FL_FMT(name));
	return fl_setup_syntax_error(s, text);
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg;
	struct errors *in = fl_zalloc(fl_setup_arena(s), sizeof *in);
	int ret = fl_setup_once(s);
	in->last = &in->use;
	*inst = in;
	fl_disp_next(d);
	unsigned n = ret ? 0 : fl_disp_args(d, &arg);
	if (n > 1)
		ret = fl_setup_arg_error(s);
	else if (n == 1 && !fl_str_is(arg[0], "stdout"))
		ret = fl_setup_parse_error(s, "invalid log file: %.*s", FL_FMT(arg[0]));
	while (!ret && fl_disp_next_block(d))
		ret = option(s, in);
	return ret;
}

/* ---- the shards' part ---- */

/* True: the error has been counted and is not printed. */
static bool counted(struct pattern *p)
{
	if (__atomic_add_fetch(&p->count, 1, __ATOMIC_RELAXED) > 1)
		return true;
	return !p->show_first;
}

static void flush(void *inst, struct fl_shard *sh, void *local)
{
	struct local *l = local;
	(void)inst;
	(void)sh;
	for (size_t at = 0; at < l->n; at += strlen(l->wait + at) + 1) {
		enum fl_level level = (enum fl_level)l->wait[at++];
		fl_log(level, "plugin/errors", "%s", l->wait + at);
	}
	l->n = 0;
}

static void sent(void *inst, struct fl_query *q, const struct fl_sent *s)
{
	struct errors *in = inst;
	struct local *l = fl_local(q);
	enum fl_level level = FL_ERROR;
	char name[FL_NAME_TEXT_MAX], type[16], why[256];
	uint8_t lower[FL_NAME_MAX];
	(void)s;
	if (!q->res.why)
		return;
	if (strcmp(q->res.why, "no next plugin found"))
		snprintf(why, sizeof why, "%s", q->res.why);
	else                            /* nobody answered: the last one is named */
		snprintf(why, sizeof why, "plugin/%s: %s", q->res.by ? q->res.by->name : "errors", q->res.why);
	for (struct use *u = in->use; u; u = u->next) {
		struct pattern *p = u->p;
		if (fl_regex_match(p->re, l->scratch, fl_str(why), NULL) != 1)
			continue;
		if (counted(p))
			return;
		level = p->level;
		break;
	}
	fl_name_text(name, fl_name_lower(lower, q->parent ? q->qname : q->client->qname));
	fl_type_text(type, q->qtype);
	if (l->n > WAITING - LINE)
		flush(NULL, NULL, l);
	l->wait[l->n++] = (char)level;
	int n = snprintf(l->wait + l->n, LINE - 1, "%u %s %s: %s", q->res.rcode, name, type, why);
	l->n += (n < LINE - 1 ? (size_t)n : LINE - 2) + 1;
}

static int shard_start(void *inst, struct fl_shard *sh, void **local)
{
	struct errors *in = inst;
	struct local *l = fl_xalloc(sizeof *l);
	(void)sh;
	*local = l;
	l->scratch = in->use ? fl_regex_scratch_create(in->groups) : NULL;
	if (!in->use || l->scratch)
		return 0;
	free(l);
	*local = NULL;
	return -ENOMEM;
}

static void shard_stop(void *inst, struct fl_shard *sh, void *local)
{
	struct local *l = local;
	flush(inst, sh, l);
	fl_regex_scratch_free(l->scratch);
	free(l);
}

static const struct fl_opt opts[] = {
	{ "", "[stdout]", "where to; there is only one place" },
	{ "stacktrace", "", "accepted" },
	{ "consolidate", "DURATION REGEXP [LEVEL] [show_first]", "count errors that match, one line each DURATION" },
	{ 0 },
};

FL_PLUGIN(errors, .opts = opts, .setup = setup, .shard_start = shard_start, .shard_stop = shard_stop, .sent = sent,
	  .flush = flush);
