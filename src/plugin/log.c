/* log: a line for each query, in CoreDNS's formats. Lines gather in a buffer of the shard and leave with one write() at the end of a
 * batch. Formats: dns/format.h. */
#include "base/log.h"
#include "dns/format.h"
#include "dns/typify.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define COMMON "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} {>bufsize}\" {rcode} {>rflags} {rsize} {duration}"
#define COMBINED COMMON " \"{>opcode}\""

enum { BUFFER = 64 * 1024, LINE = 8 * 1024 };

struct rule {
	struct fl_name scope;           /* len 0: no name, matches nothing */
	struct fl_format format;
	unsigned classes;               /* bits of enum fl_kind_class */
	struct rule *next;
};
struct log { struct rule *rule, **last; };

struct buffer { size_t n; struct fl_line line; char text[LINE], p[BUFFER]; };

/* ---- set-up ---- */

static struct fl_str replace(struct fl_arena *a, struct fl_str f, const char *what, const char *with)
{
	for (const char *at; (at = strstr(f.p, what)) && f.n < LINE;)
		f = fl_arena_printf(a, "%.*s%s%s", (int)(at - f.p), f.p, with, at + strlen(what));
	return f;
}

static int rule_add(struct fl_setup *s, struct log *l, struct fl_str scope, struct fl_str format)
{
	struct rule *r = fl_zalloc(fl_setup_arena(s), sizeof *r);
	if (!r)
		return fl_setup_error(s, "out of memory");
	r->scope = fl_name_parse_in(fl_setup_arena(s), scope);
	*l->last = r;
	l->last = &r->next;
	return fl_format_parse(fl_setup_arena(s), format, &r->format) ? fl_setup_error(s, "out of memory") : 0;
}

static int classes(struct fl_setup *s, unsigned *mask)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg;
	if (!fl_str_is(fl_disp_val(d), "class"))
		return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(fl_disp_val(d)));
	unsigned n = fl_disp_args(d, &arg);
	if (!n)
		return fl_setup_arg_error(s);
	for (unsigned i = 0; i < n; i++) {
		enum fl_kind_class c;
		if (!fl_kind_class_parse(arg[i], &c))
			return fl_setup_error(s, "invalid Class: %.*s", FL_FMT(arg[i]));
		*mask |= 1u << c;
	}
	return 0;
}

/* log [NAME… [FORMAT]] { class … }: one argument is a name, never a format. */
static int directive(struct fl_setup *s, struct log *l)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_arena *a = fl_setup_arena(s);
	struct fl_str *arg, format = FL_STR(COMMON), everything = FL_STR(".");
	struct rule **first = l->last;
	unsigned n = fl_disp_args(d, &arg), mask = 0;
	int ret = 0;
	if (n > 1 && memchr(arg[n - 1].p, '{', arg[n - 1].n)) {
		format = replace(a, fl_arena_str(a, arg[--n]), "{common}", COMMON);
		format = replace(a, format, "{combined}", COMBINED);
	}
	if (!n)
		ret = rule_add(s, l, everything, format);
	for (unsigned i = 0; i < n && !ret; i++)
		ret = rule_add(s, l, arg[i], format);
	while (!ret && fl_disp_next_block(d))
		ret = classes(s, &mask);
	for (struct rule *r = *first; r; r = r->next)
		r->classes = mask ? mask : 1u << FL_CLASS_ALL;
	return ret;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct log *l = fl_zalloc(fl_setup_arena(s), sizeof *l);
	int ret = 0;
	if (!l)
		return fl_setup_error(s, "out of memory");
	l->last = &l->rule;
	while (!ret && fl_disp_next(fl_setup_disp(s)))
		ret = directive(s, l);
	*inst = l;
	return ret;
}

/* ---- the buffer ---- */

static void flush(void *inst, struct fl_shard *sh, void *local)
{
	struct buffer *b = local;
	(void)inst;
	(void)sh;
	if (b->n)
		fl_log_raw(b->p, b->n);
	b->n = 0;
}

static char *room(struct buffer *b, size_t n)
{
	if (n > BUFFER - b->n)
		flush(NULL, NULL, b);
	return b->p + b->n;
}

static void add_text(struct buffer *b)
{
	static const char level[] = "[INFO] ";
	char *p = room(b, sizeof level + b->line.n);
	memcpy(p, level, sizeof level - 1);
	memcpy(p + sizeof level - 1, b->line.p, b->line.n);
	p[sizeof level - 1 + b->line.n] = '\n';
	b->n += sizeof level + b->line.n;
}

static size_t stamp(char *to, size_t cap)
{
	struct timespec t;
	struct tm tm;
	char date[32], zone[8];
	clock_gettime(CLOCK_REALTIME, &t);
	localtime_r(&t.tv_sec, &tm);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof zone, "%z", &tm);
	return (size_t)snprintf(to, cap, "%s.%09ld%.3s:%.2s", date, t.tv_nsec, zone, zone + 3);
}

/* A part of the line by itself. */
static struct fl_str part(struct fl_line *o, enum fl_format_what what, struct fl_query *q, const struct fl_sent *s)
{
	o->n = 0;
	fl_format_one(o, what, q, s);
	return (struct fl_str){ o->p, o->n };
}

static char *field(char *at, const char *name, struct fl_str v, const char *quote)
{
	return at + sprintf(at, ",\"%s\":%s%.*s%s", name, quote, FL_FMT(v), quote);
}

/* The text line as msg, and its parts as fields of their own. */
static void add_json(struct buffer *b, struct fl_query *q, const struct fl_sent *s)
{
	enum { FIELDS = 1024 + FL_NAME_TEXT_MAX * 2 };
	const struct fl_client *c = q->client;
	struct fl_line *o = &b->line;
	char *p = room(b, o->n * 6 + FIELDS), *at = p, text[64];
	stamp(text, sizeof text);
	at += sprintf(at, "{\"time\":\"%s\",\"level\":\"INFO\",\"msg\":\"", text);
	at += fl_json_escape(at, o->n * 6 + 8, (struct fl_str){ o->p, o->n });
	fl_addr_text(text, &c->peer);
	at += sprintf(at, "\",\"plugin\":\"log\",\"client_ip\":\"%s\",\"client_port\":%u,\"qname\":\"", text, c->peer_port);
	at += fl_json_escape(at, FL_NAME_TEXT_MAX * 2 + 8, part(o, FL_F_NAME, q, s));
	at = field(at + sprintf(at, "\""), "qtype", part(o, FL_F_TYPE, q, s), "\"");
	at = field(at, "qclass", part(o, FL_F_CLASS, q, s), "\"");
	at = field(at, "protocol", part(o, FL_F_PROTO, q, s), "\"");
	at = field(at, "id", part(o, FL_F_ID, q, s), "");
	at = field(at, "opcode", part(o, FL_F_OPCODE, q, s), "");
	at = field(at, "request_size", part(o, FL_F_SIZE, q, s), "");
	at = field(at, "dnssec_ok", part(o, FL_F_DO, q, s), "");
	at = field(at, "bufsize", part(o, FL_F_BUFSIZE, q, s), "");
	at = q->dropped ? field(at, "rcode", FL_STR("null"), "") : field(at, "rcode", part(o, FL_F_RCODE, q, s), "\"");
	at = field(at, "response_size", part(o, FL_F_RSIZE, q, s), "");
	struct fl_str took = part(o, FL_F_DURATION, q, s);
	at = field(at, "duration_seconds", (struct fl_str){ took.p, took.n - 1 }, "");
	at += sprintf(at, "}\n");
	b->n += (size_t)(at - p);
}

static void sent(void *inst, struct fl_query *q, const struct fl_sent *s)
{
	struct log *l = inst;
	struct buffer *b = fl_local(q);
	struct fl_name name = q->parent ? q->qname : q->client->qname;
	struct rule *r = l->rule;
	while (r && !(r->scope.len && fl_name_under(name, r->scope)))
		r = r->next;
	if (!r)
		return;
	if (!(r->classes & 1u << FL_CLASS_ALL) && !(r->classes & 1u << fl_classify(fl_typify(q, fl_clock_wall_s()))))
		return;
	b->line.n = 0;
	fl_format_put(&b->line, &r->format, q, s);
	if (fl_log_is_json())
		add_json(b, q, s);
	else
		add_text(b);
}

static int meta(void *inst, struct fl_query *q, struct fl_str label, struct fl_str *value)
{
	(void)inst;
	if (!q->done)
		return -ENOENT;
	enum fl_kind k = fl_typify(q, 0);
	if (fl_str_is(label, "log/class"))
		*value = fl_str(fl_kind_class_name(fl_classify(k)));
	else if (fl_str_is(label, "log/type"))
		*value = fl_str(fl_kind_name(k));
	else
		return -ENOENT;
	return FL_LEARNT;
}

static int shard_start(void *inst, struct fl_shard *sh, void **local)
{
	struct buffer *b = fl_xalloc(sizeof *b);
	(void)inst;
	(void)sh;
	b->line = (struct fl_line){ b->text, 0, LINE - 1 };
	*local = b;
	return 0;
}

static void shard_stop(void *inst, struct fl_shard *sh, void *local)
{
	flush(inst, sh, local);
	free(local);
}

static const struct fl_opt opts[] = {
	{ "", "[NAME...] [FORMAT]", "only queries below these names; with two arguments or more, a last one that holds a { is the format" },
	{ "class", "CLASS...", "only answers of these classes: success, denial, error, all" },
	{ 0 },
};

FL_PLUGIN(log, .opts = opts, .setup = setup, .shard_start = shard_start, .shard_stop = shard_stop, .meta = meta, .sent = sent,
	  .flush = flush);
