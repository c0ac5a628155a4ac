#include "dns/format.h"
#include "dns/typify.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const labels[] = {
	[FL_F_TYPE] = "{type}", [FL_F_NAME] = "{name}", [FL_F_CLASS] = "{class}", [FL_F_PROTO] = "{proto}", [FL_F_SIZE] = "{size}",
	[FL_F_REMOTE] = "{remote}", [FL_F_PORT] = "{port}", [FL_F_LOCAL] = "{local}", [FL_F_ID] = "{>id}", [FL_F_OPCODE] = "{>opcode}",
	[FL_F_DO] = "{>do}", [FL_F_BUFSIZE] = "{>bufsize}", [FL_F_RCODE] = "{rcode}", [FL_F_RSIZE] = "{rsize}",
	[FL_F_DURATION] = "{duration}", [FL_F_RFLAGS] = "{>rflags}",
};

/* ---- reading ---- */

static void node_add(struct fl_format *r, enum fl_format_what what, const char *p, size_t n)
{
	if (!n)
		return;
	if (what == FL_F_LITERAL && r->n && r->node[r->n - 1].what == FL_F_LITERAL) {   /* the pieces of a format lie side by side */
		r->node[r->n - 1].text.n += n;
		return;
	}
	r->node[r->n++] = (struct fl_format_node){ what, { p, n } };
}

static enum fl_format_what label_of(struct fl_str s)
{
	for (unsigned i = FL_F_TYPE; i < FL_COUNT(labels); i++)
		if (fl_str_is(s, labels[i]))
			return (enum fl_format_what)i;
	return fl_str_starts(s, FL_STR("{/")) ? FL_F_META : FL_F_LITERAL;
}

/* A label ends at the first } and begins at the last { before it: "{ {name} }" holds one. */
int fl_format_parse(struct fl_arena *a, struct fl_str f, struct fl_format *r)
{
	size_t most = 1;
	for (size_t i = 0; i < f.n; i++)
		most += 2 * (f.p[i] == '}');
	r->n = 0;
	r->node = fl_zalloc(a, most * sizeof *r->node);
	if (!r->node)
		return -ENOMEM;
	size_t from = 0, open = SIZE_MAX;
	for (size_t i = 0; i < f.n; i++) {
		if (f.p[i] == '{')
			open = i;
		if (f.p[i] != '}' || open == SIZE_MAX)
			continue;
		struct fl_str label = { f.p + open, i + 1 - open };
		enum fl_format_what what = label_of(label);
		if (what != FL_F_LITERAL) {
			node_add(r, FL_F_LITERAL, f.p + from, open - from);
			node_add(r, what, label.p + (what == FL_F_META ? 2 : 0), label.n - (what == FL_F_META ? 3 : 0));
			from = i + 1;
		}
		open = SIZE_MAX;
	}
	node_add(r, FL_F_LITERAL, f.p + from, f.n - from);
	return 0;
}

/* ---- writing ---- */

void fl_line_put(struct fl_line *o, const char *p, size_t n)
{
	if (n > o->cap - o->n)
		n = o->cap - o->n;
	fl_put_bytes(o->p + o->n, p, n);
	o->n += n;
}

static void putz(struct fl_line *o, const char *z) { fl_line_put(o, z, strlen(z)); }

static void putf(struct fl_line *o, const char *fmt, ...)
{
	char text[64];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fl_line_put(o, text, (size_t)n);
}

static void put_addr(struct fl_line *o, const struct fl_addr *a)
{
	char text[48];
	size_t n = fl_addr_text(text, a);
	bool six = memchr(text, ':', n) != NULL;
	putf(o, six ? "[%s]" : "%s", text);
}

/* Seconds as Go prints a float: no exponent, no zeros behind. */
static void put_seconds(struct fl_line *o, uint64_t ns)
{
	char text[48];
	int n = snprintf(text, sizeof text, "%llu.%09llu", (unsigned long long)(ns / FL_SEC), (unsigned long long)(ns % FL_SEC));
	while (text[n - 1] == '0')
		n--;
	fl_line_put(o, text, (size_t)(text[n - 1] == '.' ? n - 1 : n));
}

static uint16_t flags_of(const struct fl_query *q, const struct fl_sent *s)
{
	if (!q->parent)
		return s->flags;
	return (uint16_t)(FL_QR | (((q->client->flags & (FL_RD | FL_CD)) | q->res.set) & ~q->res.clear));
}

static void put_flags(struct fl_line *o, const struct fl_query *q, const struct fl_sent *s)
{
	static const struct { uint16_t bit; const char *name; } all[] = {
		{ FL_QR, "qr," }, { FL_AA, "aa," }, { FL_TC, "tc," }, { FL_RD, "rd," }, { FL_RA, "ra," }, { FL_Z, "z," },
		{ FL_AD, "ad," }, { FL_CD, "cd," },
	};
	size_t n = o->n;
	uint16_t flags = flags_of(q, s);
	for (unsigned i = 0; i < FL_COUNT(all); i++)
		if (flags & all[i].bit)
			putz(o, all[i].name);
	o->n -= o->n > n;
}

static void put_name(struct fl_line *o, const struct fl_query *q)
{
	uint8_t lower[FL_NAME_MAX];
	char text[FL_NAME_TEXT_MAX];
	fl_line_put(o, text, fl_name_text(text, fl_name_lower(lower, q->parent ? q->qname : q->client->qname)));
}

static void put_rcode(struct fl_line *o, const struct fl_query *q)
{
	const char *name = fl_rcode_name(q->res.rcode);
	if (name)
		putz(o, name);
	else
		putf(o, "%u", q->res.rcode);
}

static void put_meta(struct fl_line *o, struct fl_query *q, struct fl_str label)
{
	struct fl_str v;
	if (fl_meta(q, label, &v))
		v = FL_STR("-");
	size_t from = o->n;
	fl_line_put(o, v.p, v.n);
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

/* What only an answer tells. */
static void put_answer(struct fl_line *o, enum fl_format_what what, const struct fl_query *q, const struct fl_sent *s)
{
	if (!s || (q->dropped && (what == FL_F_RCODE || what == FL_F_RFLAGS))) {
		putz(o, "-");
		return;
	}
	if (what == FL_F_RCODE) {
		put_rcode(o, q);
	} else if (what == FL_F_RSIZE) {
		putf(o, "%zu", q->dropped ? 0 : q->parent ? fl_reply_full_len(q) : s->full_len);
	} else if (what == FL_F_DURATION) {
		put_seconds(o, s->took_ns);
		putz(o, "s");
	} else {
		put_flags(o, q, s);
	}
}

void fl_format_one(struct fl_line *o, enum fl_format_what what, struct fl_query *q, const struct fl_sent *s)
{
	const struct fl_client *c = q->client;
	char text[16];
	switch (what) {
	case FL_F_LITERAL: case FL_F_META: break;
	case FL_F_TYPE: fl_line_put(o, text, fl_type_text(text, q->qtype)); break;
	case FL_F_NAME: put_name(o, q); break;
	case FL_F_CLASS: fl_line_put(o, text, fl_class_text(text, q->qclass)); break;
	case FL_F_PROTO: putz(o, c->tcp ? "tcp" : "udp"); break;
	case FL_F_SIZE: putf(o, "%zu", fl_request_len(q)); break;
	case FL_F_REMOTE: put_addr(o, &c->peer); break;
	case FL_F_PORT: putf(o, "%u", c->peer_port); break;
	case FL_F_LOCAL: put_addr(o, &c->local); break;
	case FL_F_ID: putf(o, "%u", c->id); break;
	case FL_F_OPCODE: putf(o, "%u", c->opcode); break;
	case FL_F_DO: putz(o, c->dnssec_ok ? "true" : "false"); break;
	case FL_F_BUFSIZE: putf(o, "%u", bufsize(q)); break;
	case FL_F_RCODE: case FL_F_RSIZE: case FL_F_DURATION: case FL_F_RFLAGS: put_answer(o, what, q, s); break;
	}
}

void fl_format_put(struct fl_line *o, const struct fl_format *f, struct fl_query *q, const struct fl_sent *s)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->node[i].what == FL_F_LITERAL)
			fl_line_put(o, f->node[i].text.p, f->node[i].text.n);
		else if (f->node[i].what == FL_F_META)
			put_meta(o, q, f->node[i].text);
		else
			fl_format_one(o, f->node[i].what, q, s);
}
