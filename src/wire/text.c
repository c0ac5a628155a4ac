#include "wire/text.h"
#include "wire/lex.h"
#include "wire/rdata.h"
#include <errno.h>
#include <stdio.h>

enum { DEFAULT_TTL = 3600 };

/* What miekg/dns calls the fields of a type in its errors; types that are not here say their fields by number. */
static const struct { uint16_t type; const char *words; } names[] = {
	{ FL_T_A, "A" }, { FL_T_NS, "Ns" }, { FL_T_CNAME, "Target" }, { FL_T_PTR, "Ptr" }, { FL_T_MX, "Pref Mx" },
	{ FL_T_TXT, "Txt" },
	{ FL_T_SOA, "Ns Mbox" }, { FL_T_AAAA, "AAAA" }, { FL_T_SRV, "Priority Weight Port Target" }, { FL_T_DNAME, "Target" },
	{ FL_T_HINFO, "Fields Fields" }, { FL_T_NAPTR, "Order Preference Flags Service Regexp Replacement" },
	{ FL_T_DS, "KeyTag Algorithm DigestType Digest" }, { FL_T_DNSKEY, "Flags Protocol Algorithm PublicKey" },
	{ FL_T_CAA, "Flag Tag Value" }, { 44, "Algorithm Type Fingerprint" }, { 52, "Usage Selector MatchingType Certificate" },
	{ FL_T_SVCB, "priority Target" }, { FL_T_HTTPS, "priority Target" }, { 99, "Txt" }, { 17, "Mbox Txt" },
	{ 18, "Subtype Hostname" }, { 36, "Pref Exchanger" }, { 256, "Priority Weight Target" },
};

struct reader {
	struct fl_arena *a;
	struct fl_err *e;
	struct fl_lex lex;
	struct fl_lex_token t;  /* the current token */
	uint16_t type;
	int field;              /* which of the rdata */
	uint8_t *to;            /* rdata */
	size_t n, cap;
};

static void next(struct reader *r) { r->t = fl_lex_next(&r->lex); }
static bool at_end(const struct reader *r) { return r->t.kind == FL_LEX_NEWLINE || r->t.kind == FL_LEX_END; }

/* `bad MX Pref: "x" at line: ...` */
static int bad(struct reader *r)
{
	char type[16], field[16] = "Rdata";
	fl_type_text(type, r->type);
	for (size_t i = 0; i < FL_COUNT(names); i++) {
		if (names[i].type != r->type)
			continue;
		struct fl_str left = fl_str(names[i].words), word = left;
		for (int f = 0; f <= r->field && left.n; f++)
			left = fl_str_cut(left, ' ', &word);
		bool more = r->type == FL_T_SOA && r->field > 1;
		snprintf(field, sizeof field, "%.*s", more ? 14 : (int)word.n, more ? "zone parameter" : word.p);
	}
	return r->t.kind == FL_LEX_BAD ? fl_lex_error(r->e, &r->t, "%.*s", FL_FMT(r->t.text)) :
					 fl_lex_error(r->e, &r->t, "bad %s %s", type, field);
}

static bool number(struct fl_str s, uint32_t max, uint32_t *v)
{
	int64_t i;
	if (!s.n || s.p[0] == '+' || s.p[0] == '-' || fl_parse_int(s, 0, max, &i))
		return false;
	*v = (uint32_t)i;
	return true;
}

/* 3600, 1h, 1h30m. */
static bool seconds(struct fl_str s, uint32_t *v)
{
	uint64_t sum = 0, i = 0;
	for (size_t k = 0; k < s.n; k++) {
		char c = s.p[k] | 0x20;
		unsigned unit = c == 's' ? 1 : c == 'm' ? 60 : c == 'h' ? 3600 : c == 'd' ? 86400 : c == 'w' ? 604800 : 0;
		if (!unit && (s.p[k] < '0' || s.p[k] > '9'))
			return false;
		if (unit) {
			sum += i * unit;
			i = 0;
		} else {
			i = i * 10 + (unsigned)(s.p[k] - '0');
		}
		if (sum > UINT32_MAX || i > UINT32_MAX)
			return false;
	}
	*v = (uint32_t)(sum + i);
	return sum + i <= UINT32_MAX;
}

/* "@" is the root, to which names are relative. */
static int name(uint8_t *to, const struct fl_lex_token *t)
{
	if (t->kind == FL_LEX_BAD || t->kind == FL_LEX_NEWLINE || t->kind == FL_LEX_END || t->kind == FL_LEX_QUOTE)
		return -EINVAL;
	return fl_name_parse(to, fl_str_is(t->text, "@") ? FL_STR(".") : t->text);
}

/* ---- rdata ---- */

static bool room(struct reader *r, size_t n) { return r->cap - r->n >= n; }

static int put_int(struct reader *r, unsigned size)
{
	uint32_t v, max = size == 1 ? 255 : size == 2 ? UINT16_MAX : UINT32_MAX;
	if (!number(r->t.text, max, &v) || !room(r, 4))
		return bad(r);
	uint8_t be[4];
	fl_put32(be, v);
	memcpy(r->to + r->n, be + 4 - size, size);
	r->n += size;
	return 0;
}

static int put_seconds(struct reader *r)
{
	uint32_t v;
	if (!r->t.text.n || !seconds(r->t.text, &v) || !room(r, 4))
		return bad(r);
	fl_put32(r->to + r->n, v);
	r->n += 4;
	return 0;
}

static int put_address(struct reader *r, uint8_t len)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct fl_addr a;
	bool six = r->t.text.n && memchr(r->t.text.p, ':', r->t.text.n);
	if (six != (len == 16) || !fl_addr_parse(r->t.text, &a) || !room(r, 16))
		return bad(r);
	if (a.len < len) {
		memcpy(r->to + r->n, mapped, sizeof mapped);
		r->n += sizeof mapped;
	}
	memcpy(r->to + r->n, a.b, a.len);
	r->n += a.len;
	return 0;
}

static int put_name(struct reader *r)
{
	uint8_t wire[FL_NAME_MAX];
	int n = name(wire, &r->t);
	if (n < 0 || !room(r, (size_t)n))
		return bad(r);
	memcpy(r->to + r->n, wire, (size_t)n);
	r->n += (size_t)n;
	return 0;
}

/* One token as <character-string>s, cut every 255 octets; empty: "" counts. `counted` false: as bare bytes. */
static int put_string(struct reader *r, struct fl_str s, bool counted)
{
	uint8_t *raw = fl_alloc(r->a, s.n + 1);
	if (!raw)
		return -ENOMEM;
	size_t n = fl_text_unescape(raw, s), done = 0;
	do {
		size_t part = counted && n - done > 255 ? 255 : n - done;
		if (!room(r, part + counted))
			return bad(r);
		if (counted)
			r->to[r->n++] = (uint8_t)part;
		memcpy(r->to + r->n, raw + done, part);
		r->n += part;
		done += part;
	} while (done < n);
	return 0;
}

/* The strings up to the end of the line, quoted or not. *count: how many. */
static int put_strings(struct reader *r, bool counted, unsigned *count)
{
	bool quote = false, empty = false;
	for (*count = 0; !at_end(r); next(r)) {
		int ret = 0;
		if (r->t.kind == FL_LEX_STRING) {
			empty = false;
			ret = put_string(r, r->t.text, counted);
			++*count;
		} else if (r->t.kind == FL_LEX_QUOTE) {
			if (quote && empty) {
				ret = put_string(r, FL_STR(""), counted);
				++*count;
			}
			quote = !quote;
			empty = true;
		} else if (r->t.kind != FL_LEX_BLANK || quote) {
			return bad(r);
		}
		if (ret)
			return ret;
	}
	return quote ? bad(r) : 0;
}

/* HINFO: two strings; one is split at its blanks, more are joined by one. */
static int put_hinfo(struct reader *r)
{
	unsigned count;
	size_t from = r->n;
	int ret = put_strings(r, true, &count);
	if (ret || !count)
		return ret ? ret : bad(r);
	uint8_t *p = r->to + from;
	uint8_t *blank = count == 1 ? memchr(p + 1, ' ', *p) : NULL;
	if (blank && blank > p + 1 && blank < p + *p) {
		uint8_t all = *p;
		*p = (uint8_t)(blank - p - 1);
		*blank = (uint8_t)(all - *p - 1);
	} else if (count == 1) {
		if (!room(r, 1))
			return bad(r);
		r->to[r->n++] = 0;
	}
	uint8_t *os = p + *p + 1;
	for (uint8_t *more = os + *os + 1; more < r->to + r->n; more = os + *os + 1) {
		unsigned sum = *os + *more + 1u;
		if (sum > 255)
			return bad(r);
		*more = ' ';
		*os = (uint8_t)sum;
	}
	return 0;
}

/* A string in quotes (NAPTR). */
static int put_quoted(struct reader *r)
{
	if (r->t.kind != FL_LEX_QUOTE)
		return bad(r);
	next(r);
	int ret = 0;
	size_t at = r->n;
	if (r->t.kind == FL_LEX_STRING) {
		ret = put_string(r, r->t.text, true);
		next(r);
	} else {
		ret = put_string(r, FL_STR(""), true);
	}
	return ret ? ret : r->t.kind != FL_LEX_QUOTE || r->to[at] + 1u != r->n - at ? bad(r) : 0;
}

/* The rest of the line without its blanks, as hex or base64; moves to the end. */
static int put_ending(struct reader *r, bool base64)
{
	char *text = fl_alloc(r->a, (size_t)(r->lex.end - r->lex.p) + r->t.text.n + 1);
	size_t n = 0;
	if (!text)
		return -ENOMEM;
	for (; !at_end(r); next(r)) {
		if (r->t.kind != FL_LEX_STRING && r->t.kind != FL_LEX_BLANK)
			return bad(r);
		if (r->t.kind == FL_LEX_STRING) {
			fl_put_bytes(text + n, r->t.text.p, r->t.text.n);
			n += r->t.text.n;
		}
	}
	if (base64) {
		int len = fl_base64_parse(r->to + r->n, r->cap - r->n, (struct fl_str){ text, n });
		r->n += len > 0 ? (size_t)len : 0;
		return len < 0 ? bad(r) : 0;
	}
	if (n % 2 || !room(r, n / 2))
		return bad(r);
	for (size_t i = 0; i < n; i++) {
		static const char set[] = "0123456789abcdef";
		const char *d = memchr(set, fl_lower((uint8_t)text[i]), 16);
		if (!d)
			return bad(r);
		uint8_t *b = r->to + r->n + i / 2;
		*b = (uint8_t)(i % 2 ? *b << 4 | (d - set) : d - set);
	}
	r->n += n / 2;
	return 0;
}

static int put_rest_string(struct reader *r)
{
	unsigned count;
	int ret = put_strings(r, false, &count);
	return ret ? ret : count == 1 ? 0 : bad(r);
}

static int put_texts(struct reader *r)
{
	unsigned count;
	int ret = put_strings(r, true, &count);
	return ret ? ret : count ? 0 : bad(r);
}

static int put_params(struct reader *r)
{
	int n = fl_svcb_parse(r->to + r->n, r->cap - r->n, &r->lex, r->e);
	r->n += n > 0 ? (size_t)n : 0;
	r->t.kind = FL_LEX_END;
	return n < 0 ? n : 0;
}

/* Kinds that take the rest of the line. */
static bool takes_rest(char kind) { return strchr("thboS", kind); }

static int put_field(struct reader *r, char kind)
{
	switch (kind) {
	case 'c': case 'n': return put_name(r);
	case '1': return put_int(r, 1);
	case '2': return put_int(r, 2);
	case '4': return put_int(r, 4);
	case 'U': return put_seconds(r);
	case 'A': return put_address(r, 4);
	case 'Q': return put_address(r, 16);
	case 's': return put_quoted(r);
	case 'g': return r->t.kind == FL_LEX_STRING && r->t.text.n < 256 ? put_string(r, r->t.text, true) : bad(r);
	case 't': return put_texts(r);
	case 'h': return put_ending(r, false);
	case 'b': return put_ending(r, true);
	case 'o': return put_rest_string(r);
	case 'S': return put_params(r);
	default: return fl_lex_error(r->e, &r->t, "no text form for this type, use \\#");
	}
}

static int garbage(struct reader *r)
{
	next(r);
	if (r->t.kind == FL_LEX_BLANK)
		next(r);
	return at_end(r) ? 0 : fl_lex_error(r->e, &r->t, "garbage after rdata");
}

static void no_name(void *arg, size_t offset, bool compressible) { (void)arg, (void)offset, (void)compressible; }

/* \# LENGTH HEX (RFC 3597 §5). */
static int rdata_generic(struct reader *r)
{
	uint32_t len;
	r->type = 0;
	struct fl_lex_token head = r->t;
	next(r);
	if (r->t.kind == FL_LEX_BLANK)
		next(r);
	if (!number(r->t.text, UINT16_MAX, &len))
		return fl_lex_error(r->e, &r->t, "bad RFC3597 Rdata");
	next(r);
	int ret = put_ending(r, false);
	if (ret == -ENOMEM)
		return ret;
	return ret || r->n != len ? fl_lex_error(r->e, &head, "bad RFC3597 Rdata") : 0;
}

static int rdata(struct reader *r)
{
	uint16_t type = r->type;
	struct fl_lex_token first = r->t;
	if (fl_str_is(r->t.text, "\\#")) {
		int ret = rdata_generic(r);
		if (!ret && fl_rdata_names(type, r->to, r->n, no_name, NULL))
			ret = fl_lex_error(r->e, &first, "bad RFC3597 Rdata");
		return ret;
	}
	if (!fl_rdata_has_text(type))
		return fl_lex_error(r->e, &r->t, "bad RFC3597 Rdata");
	if (type == FL_T_HINFO)
		return put_hinfo(r);
	const char *f = fl_rdata_fields(type);
	for (r->field = 0; *f; f++, r->field++) {
		if (r->field && *f != 'S') {
			next(r);
			if (r->t.kind == FL_LEX_BLANK)
				next(r);
		}
		int ret = put_field(r, *f);
		if (ret || takes_rest(*f))
			return ret;
	}
	return garbage(r);
}

/* ---- what stands before rdata ---- */

struct head { uint32_t ttl; uint16_t class; };

/* "[ttl] [class] type" in either order; at the type afterwards. */
static int head(struct reader *r, struct head *h)
{
	bool ttl = false, class = false;
	for (;; next(r)) {
		if (r->t.kind == FL_LEX_BLANK)
			continue;
		if (r->t.kind == FL_LEX_BAD)
			return fl_lex_error(r->e, &r->t, "%.*s", FL_FMT(r->t.text));
		if (r->t.kind == FL_LEX_TYPE) {
			r->type = r->t.code;
			return 0;
		}
		if (r->t.kind == FL_LEX_CLASS && !class) {
			h->class = r->t.code;
			class = true;
		} else if (r->t.kind == FL_LEX_STRING && !ttl) {
			if (!seconds(r->t.text, &h->ttl))
				return fl_lex_error(r->e, &r->t, "not a TTL");
			ttl = true;
		} else {
			return fl_lex_error(r->e, &r->t, ttl && class ? "unknown RR type" :
						ttl ? "expecting RR type or class, not this..." :
						class ? "expecting RR type or TTL, not this..." :
						"expecting RR type, TTL or class, not this...");
		}
	}
}

int fl_rr_parse(struct fl_arena *a, struct fl_str text, struct fl_name *owner, const struct fl_rrset **set, struct fl_err *e)
{
	uint8_t wire[FL_NAME_MAX];
	struct reader r = { .a = a, .e = e };
	if (!fl_lex_init(&r.lex, a, text))
		return -ENOMEM;
	do
		next(&r);
	while (r.t.kind == FL_LEX_NEWLINE);
	if (r.t.kind == FL_LEX_END)
		return fl_err_set(e, "dns: no record");
	if (r.t.kind == FL_LEX_OWNER && r.t.text.p[0] == '$')
		return fl_lex_error(e, &r.t, "directives are not allowed here");
	uint32_t ttl;
	if (r.t.kind == FL_LEX_STRING && !seconds(r.t.text, &ttl))       /* a line's only word is no owner there */
		return fl_lex_error(e, &r.t, "not a TTL");
	int len = name(wire, &r.t);
	if (r.t.kind != FL_LEX_OWNER || len < 0)
		return fl_lex_error(e, &r.t, "%s", r.t.kind == FL_LEX_OWNER || r.t.kind == FL_LEX_BLANK ? "bad owner name" :
									       "syntax error at beginning");
	*owner = (struct fl_name){ fl_copy(a, wire, (size_t)len), (uint8_t)len };
	struct head h = { .ttl = DEFAULT_TTL, .class = FL_C_IN };
	next(&r);
	int ret = head(&r, &h);
	if (ret)
		return ret;
	uint16_t type = r.type;
	next(&r);
	if (r.t.kind == FL_LEX_BLANK)
		next(&r);
	if (at_end(&r))
		return fl_lex_error(e, &r.t, "unexpected newline");
	r.cap = text.n + FL_NAME_MAX + 64 < UINT16_MAX ? text.n + FL_NAME_MAX + 64 : UINT16_MAX;
	r.to = fl_alloc(a, r.cap);
	if (!r.to || !owner->wire)
		return -ENOMEM;
	ret = rdata(&r);
	if (ret)
		return ret;
	struct fl_rrset_maker m;
	fl_rrset_begin(&m, a, type, h.class, r.n + 10);
	fl_rrset_put(&m, h.ttl, r.to, r.n);
	*set = fl_rrset_end(&m);
	return *set ? 0 : -ENOMEM;
}
