/* log: a line for each query, in CoreDNS's formats. Lines gather in a buffer of the shard and leave with one write() at the end of a
 * batch. Placeholders are found at set-up: a format is a list of literals and labels. */
#include "base/log.h"
#include "dns/plugin.h"
#include "dns/typify.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define COMMON "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} {>bufsize}\" {rcode} {>rflags} {rsize} {duration}"
#define COMBINED COMMON " \"{>opcode}\""

enum { BUFFER = 64 * 1024, LINE = 8 * 1024 };

enum what { LITERAL, META, TYPE, NAME, CLASS, PROTO, SIZE, REMOTE, PORT, LOCAL, ID, OPCODE, DO, BUFSIZE, RCODE, RSIZE, DURATION, RFLAGS };
static const char *const labels[] = {
	[TYPE] = "{type}", [NAME] = "{name}", [CLASS] = "{class}", [PROTO] = "{proto}", [SIZE] = "{size}", [REMOTE] = "{remote}",
	[PORT] = "{port}", [LOCAL] = "{local}", [ID] = "{>id}", [OPCODE] = "{>opcode}", [DO] = "{>do}", [BUFSIZE] = "{>bufsize}",
	[RCODE] = "{rcode}", [RSIZE] = "{rsize}", [DURATION] = "{duration}", [RFLAGS] = "{>rflags}",
};

struct node { enum what what; struct fl_str text; };
struct rule {
	struct fl_name scope;           /* len 0: no name, matches nothing */
	struct node *node; unsigned n;
	unsigned classes;               /* bits of enum fl_kind_class */
	struct rule *next;
};
struct log { struct rule *rule, **last; };

struct line { size_t n; char p[LINE]; };
struct buffer { size_t n; struct line line; char p[BUFFER]; };

/* ---- set-up ---- */

static void node_add(struct rule *r, enum what what, const char *p, size_t n)
{
	if (!n)
		return;
	if (what == LITERAL && r->n && r->node[r->n - 1].what == LITERAL) {     /* the pieces of a format lie side by side */
		r->node[r->n - 1].text.n += n;
		return;
	}
	r->node[r->n++] = (struct node){ what, { p, n } };
}

static enum what label_of(struct fl_str s)
{
	for (unsigned i = TYPE; i < FL_COUNT(labels); i++)
		if (fl_str_is(s, labels[i]))
			return (enum what)i;
	return fl_str_starts(s, FL_STR("{/")) ? META : LITERAL;
}

/* A label ends at the first } and begins at the last { before it: "{ {name} }" holds one. */
static int format_parse(struct fl_setup *s, struct rule *r, struct fl_str f)
{
	size_t most = 1;
	for (size_t i = 0; i < f.n; i++)
		most += 2 * (f.p[i] == '}');
	r->node = fl_zalloc(fl_setup_arena(s), most * sizeof *r->node);
	if (!r->node)
		return fl_setup_error(s, "out of memory");
	size_t from = 0, open = SIZE_MAX;
	for (size_t i = 0; i < f.n; i++) {
		if (f.p[i] == '{')
			open = i;
		if (f.p[i] != '}' || open == SIZE_MAX)
			continue;
		struct fl_str label = { f.p + open, i + 1 - open };
		enum what what = label_of(label);
		if (what != LITERAL) {
			node_add(r, LITERAL, f.p + from, open - from);
			node_add(r, what, label.p + (what == META ? 2 : 0), label.n - (what == META ? 3 : 0));
			from = i + 1;
		}
		open = SIZE_MAX;
	}
	node_add(r, LITERAL, f.p + from, f.n - from);
	return 0;
}

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
	return format_parse(s, r, format);
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

/* ---- a line ---- */

static void put(struct line *o, const char *p, size_t n)
{
	if (n > LINE - 1 - o->n)
		n = LINE - 1 - o->n;
	fl_put_bytes(o->p + o->n, p, n);
	o->n += n;
}

static void putz(struct line *o, const char *z) { put(o, z, strlen(z)); }

static void putf(struct line *o, const char *fmt, ...)
{
	char text[64];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	put(o, text, (size_t)n);
}

static void put_addr(struct line *o, const struct fl_addr *a)
{
	char text[48];
	size_t n = fl_addr_text(text, a);
	bool six = memchr(text, ':', n) != NULL;
	putf(o, six ? "[%s]" : "%s", text);
}

/* Seconds as Go prints a float: no exponent, no zeros behind. */
static void put_seconds(struct line *o, uint64_t ns)
{
	char text[48];
	int n = snprintf(text, sizeof text, "%llu.%09llu", (unsigned long long)(ns / FL_SEC), (unsigned long long)(ns % FL_SEC));
	while (text[n - 1] == '0')
		n--;
	put(o, text, (size_t)(text[n - 1] == '.' ? n - 1 : n));
}

static uint16_t flags_of(const struct fl_query *q, const struct fl_sent *s)
{
	if (!q->parent)
		return s->flags;
	return (uint16_t)(FL_QR | (((q->client->flags & (FL_RD | FL_CD)) | q->res.set) & ~q->res.clear));
}

static void put_flags(struct line *o, uint16_t flags)
{
	static const struct { uint16_t bit; const char *name; } all[] = {
		{ FL_QR, "qr," }, { FL_AA, "aa," }, { FL_TC, "tc," }, { FL_RD, "rd," }, { FL_RA, "ra," }, { FL_Z, "z," },
		{ FL_AD, "ad," }, { FL_CD, "cd," },
	};
	size_t n = o->n;
	for (unsigned i = 0; i < FL_COUNT(all); i++)
		if (flags & all[i].bit)
			putz(o, all[i].name);
	o->n -= o->n > n;
}

static void put_name(struct line *o, const struct fl_query *q)
{
	uint8_t lower[FL_NAME_MAX];
	char text[FL_NAME_TEXT_MAX];
	put(o, text, fl_name_text(text, fl_name_lower(lower, q->parent ? q->qname : q->client->qname)));
}

static void put_rcode(struct line *o, const struct fl_query *q)
{
	const char *name = fl_rcode_name(q->res.rcode);
	if (q->dropped)
		putz(o, "-");
	else if (name)
		putz(o, name);
	else
		putf(o, "%u", q->res.rcode);
}

static void put_meta(struct line *o, struct fl_query *q, struct fl_str label)
{
	struct fl_str v;
	if (fl_meta(q, label, &v))
		v = FL_STR("-");
	size_t from = o->n;
	put(o, v.p, v.n);
	for (; from < o->n; from++)
		if ((unsigned char)o->p[from] < 0x20)   /* a value that breaks lines would forge them */
			o->p[from] = '?';
}

static unsigned bufsize(const struct fl_query *q)
{
	if (q->client->tcp)
		return 65535;
	return q->ask.edns && q->ask.udp_size > 512 ? q->ask.udp_size : 512;
}

static size_t rsize(const struct fl_query *q, const struct fl_sent *s)
{
	return q->dropped ? 0 : q->parent ? fl_reply_full_len(q) : s->full_len;
}

static void put_node(struct line *o, const struct node *n, struct fl_query *q, const struct fl_sent *s)
{
	const struct fl_client *c = q->client;
	char text[16];
	switch (n->what) {
	case LITERAL: put(o, n->text.p, n->text.n); break;
	case META: put_meta(o, q, n->text); break;
	case TYPE: put(o, text, fl_type_text(text, q->qtype)); break;
	case NAME: put_name(o, q); break;
	case CLASS: put(o, text, fl_class_text(text, q->qclass)); break;
	case PROTO: putz(o, c->tcp ? "tcp" : "udp"); break;
	case SIZE: putf(o, "%zu", fl_request_len(q)); break;
	case REMOTE: put_addr(o, &c->peer); break;
	case PORT: putf(o, "%u", c->peer_port); break;
	case LOCAL: put_addr(o, &c->local); break;
	case ID: putf(o, "%u", c->id); break;
	case OPCODE: putf(o, "%u", c->opcode); break;
	case DO: putz(o, c->dnssec_ok ? "true" : "false"); break;
	case BUFSIZE: putf(o, "%u", bufsize(q)); break;
	case RCODE: put_rcode(o, q); break;
	case RSIZE: putf(o, "%zu", rsize(q, s)); break;
	case DURATION: put_seconds(o, s->took_ns), putz(o, "s"); break;
	case RFLAGS:
		if (q->dropped)
			putz(o, "-");
		else
			put_flags(o, flags_of(q, s));
		break;
	}
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

/* The text line as msg, and its parts as fields of their own. */
static void add_json(struct buffer *b, struct fl_query *q, const struct fl_sent *s)
{
	enum { FIELDS = 1024 + FL_NAME_TEXT_MAX * 2 };
	const struct fl_client *c = q->client;
	struct line *o = &b->line;
	char *p = room(b, o->n * 6 + FIELDS), *at = p, text[64];
	stamp(text, sizeof text);
	at += sprintf(at, "{\"time\":\"%s\",\"level\":\"INFO\",\"msg\":\"", text);
	at += fl_json_escape(at, o->n * 6 + 8, (struct fl_str){ o->p, o->n });
	fl_addr_text(text, &c->peer);
	at += sprintf(at, "\",\"plugin\":\"log\",\"client_ip\":\"%s\",\"client_port\":%u,\"qname\":\"", text, c->peer_port);
	o->n = 0;
	put_name(o, q);
	at += fl_json_escape(at, FL_NAME_TEXT_MAX * 2 + 8, (struct fl_str){ o->p, o->n });
	fl_type_text(text, q->qtype);
	fl_class_text(text + 32, q->qclass);
	at += sprintf(at, "\",\"qtype\":\"%s\",\"qclass\":\"%s\",\"protocol\":\"%s\",\"id\":%u,\"opcode\":%u,\"request_size\":%zu", text,
		      text + 32, c->tcp ? "tcp" : "udp", c->id, c->opcode, fl_request_len(q));
	at += sprintf(at, ",\"dnssec_ok\":%s,\"bufsize\":%u,\"rcode\":", c->dnssec_ok ? "true" : "false", bufsize(q));
	o->n = 0;
	put_rcode(o, q);
	at += q->dropped ? sprintf(at, "null") : sprintf(at, "\"%.*s\"", (int)o->n, o->p);
	o->n = 0;
	put_seconds(o, s->took_ns);
	at += sprintf(at, ",\"response_size\":%zu,\"duration_seconds\":%.*s}\n", rsize(q, s), (int)o->n, o->p);
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
	for (unsigned i = 0; i < r->n; i++)
		put_node(&b->line, &r->node[i], q, s);
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
	(void)inst;
	(void)sh;
	*local = fl_xalloc(sizeof(struct buffer));
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
