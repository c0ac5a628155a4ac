/* A question, and what is expected of the answer. */
#include "cmd/fl-sim/sim.h"
#include "wire/pack.h"
#include "wire/text.h"
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

struct ask {
	struct fl_name name;
	uint8_t wire[FL_NAME_MAX];
	uint16_t type, class, flags, size, port;
	bool edns, dnssec_ok, tcp;
	struct fl_edns opt;             /* code 0: none */
	char from[32];
};

static const char *const section_names[] = { "answer", "authority", "additional" };

/* ---- the question ---- */

static int option(struct sim *s, struct ask *a, struct fl_str word, struct fl_str *rest)
{
	int64_t v;
	if (fl_str_is(word, "do"))
		a->edns = a->dnssec_ok = true;
	else if (fl_str_is(word, "edns"))
		a->edns = true;
	else if (fl_str_is(word, "tcp"))
		a->tcp = true;
	else if (fl_str_is(word, "nord"))
		a->flags &= (uint16_t)~FL_RD;
	else if (fl_str_is(word, "cd"))
		a->flags |= FL_CD;
	else if (fl_str_is(word, "ad"))
		a->flags |= FL_AD;
	else if (fl_str_is(word, "bufsize") && !fl_parse_int(sim_word(rest), 0, 65535, &v))
		a->edns = true, a->size = (uint16_t)v;
	else if (fl_str_is(word, "opt") && !fl_parse_int(sim_word(rest), 1, 65535, &v))
		a->edns = true, a->opt.code = (uint16_t)v;
	else if (fl_str_is(word, "class") && fl_class_parse(sim_word(rest), &a->class))
		;
	else if (fl_str_is(word, "port") && !fl_parse_int(sim_word(rest), 53, 56, &v))
		a->port = s->port[v - 53];
	else if (fl_str_is(word, "from")) {
		struct fl_str from = sim_word(rest);
		snprintf(a->from, sizeof a->from, "%.*s", FL_FMT(from));
	} else
		return sim_fail(s, "unknown option of ask: %.*s", FL_FMT(word));
	return 0;
}

static int question(struct sim *s, struct ask *a, struct fl_str text)
{
	*a = (struct ask){ .class = FL_C_IN, .flags = FL_RD, .size = 4096, .port = s->port[0], .from = "127.0.0.1" };
	struct fl_str name = sim_word(&text), type = sim_word(&text);
	int n = fl_name_parse(a->wire, name);
	if (n < 0 || !fl_type_parse(type, &a->type))
		return sim_fail(s, "ask NAME TYPE [options] -> expectations");
	a->name = (struct fl_name){ a->wire, (uint8_t)n };
	for (struct fl_str w; (w = sim_word(&text)).n;) {
		int ret = option(s, a, w, &text);
		if (ret)
			return ret;
	}
	return 0;
}

/* ---- the expectations ---- */

static struct fl_str show(struct sim *s, const struct fl_message *m, int section)
{
	char *out = fl_alloc(&s->arena, 65536), name[FL_NAME_TEXT_MAX], rdata[2048], type[16];
	size_t n = 0;
	for (unsigned i = 0; i < m->n; i++) {
		if (m->item[i].section != section)
			continue;
		for (struct fl_rr rr = { 0 }; fl_rr_next(m->item[i].set, &rr) && n < 60000;) {
			fl_name_text(name, m->item[i].owner);
			fl_type_text(type, rr.type);
			fl_rdata_text(rdata, sizeof rdata, rr.type, rr.rdata, rr.rdlen);
			n += (size_t)snprintf(out + n, 65536 - n, "%s%s %u %s %s", n ? ", " : "", name, rr.ttl, type, rdata);
		}
	}
	return (struct fl_str){ out, n };
}

/* The rdata is '*': any will do. */
static bool kind_is(struct fl_name want, bool any_ttl, struct fl_str ttl, struct fl_str type, struct fl_name owner, const struct fl_rr *rr)
{
	uint16_t t;
	int64_t seconds = 0;
	return want.len == owner.len && !memcmp(want.wire, owner.wire, want.len) && fl_type_parse(type, &t) && t == rr->type &&
	       (any_ttl || (!fl_parse_int(ttl, 0, UINT32_MAX, &seconds) && seconds == rr->ttl));
}

/* "name ttl TYPE rdata" against a record; ttl and rdata may be '*'. The letter case of the owner counts. */
static bool record_is(struct sim *s, struct fl_str want, struct fl_name owner, const struct fl_rr *rr)
{
	struct fl_str rest = want, name = sim_word(&rest), ttl = sim_word(&rest);
	struct fl_name n;
	const struct fl_rrset *set;
	struct fl_err e;
	bool any = fl_str_is(ttl, "*");
	struct fl_str after = rest, type = sim_word(&after);
	if (fl_str_is(fl_str_trim(after), "*"))
		return kind_is(fl_name_parse_in(&s->arena, name), any, ttl, type, owner, rr);
	struct fl_str text = fl_arena_printf(&s->arena, "%.*s %.*s IN %.*s", FL_FMT(name), any ? 1 : (int)ttl.n, any ? "0" : ttl.p,
					     FL_FMT(rest));
	if (fl_rr_parse(&s->arena, text, &n, &set, &e))
		return sim_fail(s, "expected record \"%.*s\": %s", FL_FMT(want), e.msg), false;
	struct fl_rr w = { 0 };
	fl_rr_next(set, &w);
	return n.len == owner.len && !memcmp(n.wire, owner.wire, n.len) && w.type == rr->type && (any || w.ttl == rr->ttl) &&
	       w.rdlen == rr->rdlen && !memcmp(w.rdata, rr->rdata, w.rdlen);
}

static unsigned count(const struct fl_message *m, int section)
{
	unsigned n = 0;
	for (unsigned i = 0; i < m->n; i++)
		n += m->item[i].section == section ? m->item[i].set->count : 0;
	return n;
}

static bool has_record(struct sim *s, struct fl_str want, const struct fl_message *m, int section)
{
	for (unsigned i = 0; i < m->n; i++) {
		if (m->item[i].section != section)
			continue;
		for (struct fl_rr rr = { 0 }; fl_rr_next(m->item[i].set, &rr);)
			if (record_is(s, want, m->item[i].owner, &rr))
				return true;
	}
	return false;
}

/* Records in any order; "N records" counts; nothing: the section is empty. */
static int section(struct sim *s, int sec, struct fl_str list, const struct fl_message *m)
{
	unsigned want = 0;
	struct fl_str got = show(s, m, sec), rest = fl_str_trim(list), first;
	int64_t n;
	if (!fl_parse_int(sim_word(&(struct fl_str){ rest.p, rest.n }), 0, 100000, &n) && fl_str_ends(rest, FL_STR("records")))
		return count(m, sec) == n ? 0 : sim_fail(s, "%s holds %u records: %.300s", section_names[sec], count(m, sec), got.p);
	while (rest.n) {
		rest = fl_str_cut(rest, ',', &first);
		want++;
		if (!has_record(s, fl_str_trim(first), m, sec))
			return s->err.msg[0] ? -1 : sim_fail(s, "%s lacks \"%.*s\"; it is: %.*s", section_names[sec],
							     FL_FMT(fl_str_trim(first)), FL_FMT(got));
		rest = fl_str_trim(rest);
	}
	return count(m, sec) == want ? 0 : sim_fail(s, "%s has more than expected: %.*s", section_names[sec], FL_FMT(got));
}

/* CODE:TEXT, where '_' is a space; CODE:* is any text. */
static bool has_option(const struct fl_edns *o, struct fl_str want)
{
	struct fl_str code;
	int64_t v = -1;
	want = fl_str_cut(want, ':', &code);
	fl_parse_int(code, 0, 65535, &v);
	for (; o; o = o->next) {
		bool same = o->len == want.n;
		for (size_t i = 0; same && i < want.n; i++)
			same = o->data[i] == (want.p[i] == '_' ? ' ' : want.p[i]);
		if (o->code == v && (same || fl_str_is(want, "*")))
			return true;
	}
	return false;
}

static int flags(struct sim *s, struct fl_str words, const struct fl_message *m)
{
	static const struct { const char *name; uint16_t bit; } bits[] = {
		{ "aa", FL_AA }, { "tc", FL_TC }, { "ra", FL_RA }, { "ad", FL_AD }, { "cd", FL_CD }, { "rd", FL_RD } };
	struct fl_str rcode = sim_word(&words);
	char upper[24];
	uint16_t want;
	snprintf(upper, sizeof upper, "%.*s", FL_FMT(rcode));
	for (char *p = upper; *p; p++)
		*p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
	if (!fl_rcode_parse(fl_str(upper), &want))
		return sim_fail(s, "no such rcode: %s", upper);
	if (want != m->rcode)
		return sim_fail(s, "rcode is %s, not %s", fl_rcode_name(m->rcode), upper);
	for (struct fl_str w; (w = sim_word(&words)).n;) {
		bool not = w.p[0] == '!', known = false;
		struct fl_str name = { w.p + not, w.n - not };
		for (unsigned i = 0; i < FL_COUNT(bits); i++)
			if (fl_str_is(name, bits[i].name)) {
				known = true;
				if (!(m->flags & bits[i].bit) != not)
					return sim_fail(s, "flag %s is %s", bits[i].name, not ? "set" : "not set");
			}
		if (fl_str_is(name, "edns")) {
			known = true;
			if (m->edns == not)
				return sim_fail(s, "EDNS is %s", not ? "there" : "not there");
		}
		if (fl_str_starts(name, FL_STR("ede="))) {
			int64_t code = -1;
			known = true;
			fl_parse_int((struct fl_str){ name.p + 4, name.n - 4 }, 0, 65535, &code);
			bool there = false;
			for (const struct fl_edns *o = m->opt; o; o = o->next)
				there |= o->code == 15 && o->len >= 2 && fl_get16(o->data) == code;
			if (there == not)
				return sim_fail(s, "Extended DNS Error %ld is %s", (long)code, not ? "there" : "not there");
		}
		if (fl_str_starts(name, FL_STR("opt="))) {
			known = true;
			if (has_option(m->opt, (struct fl_str){ name.p + 4, name.n - 4 }) == not)
				return sim_fail(s, "EDNS option %.*s is %s", (int)name.n - 4, name.p + 4, not ? "there" : "not there");
		}
		if (!known)
			return sim_fail(s, "unknown flag %.*s", FL_FMT(w));
	}
	return 0;
}

static int upstream_saw(struct sim *s, struct fl_str text)
{
	struct sim_upstream *u = sim_upstream_get(s, sim_word(&text));
	int64_t n;
	if (fl_parse_int(sim_word(&text), 0, 1000000, &n))
		return sim_fail(s, "saw UPSTREAM N");
	unsigned seen = u->seen;
	u->seen = 0;
	return seen == n ? 0 : sim_fail(s, "upstream %.*s saw %u queries, not %ld", FL_FMT(u->name), seen, (long)n);
}

static int expectation(struct sim *s, struct fl_str text, const struct fl_message *m, bool first)
{
	text = fl_str_trim(text);
	s->checks++;
	for (int i = 0; i < 3; i++) {
		size_t n = strlen(section_names[i]);
		if (fl_str_starts(text, fl_str(section_names[i])) && text.n > n && text.p[n] == ':')
			return section(s, i, (struct fl_str){ text.p + n + 1, text.n - n - 1 }, m);
	}
	struct fl_str rest = text, verb = sim_word(&rest);
	if (fl_str_is(verb, "metric"))
		return sim_metric(s, rest);
	if (fl_str_is(verb, "log") || fl_str_is(verb, "no-log"))
		return sim_expect_log(s, rest, fl_str_is(verb, "log"));
	if (fl_str_is(verb, "saw"))
		return upstream_saw(s, rest);
	return first ? flags(s, text, m) : sim_fail(s, "unknown expectation: %.*s", FL_FMT(text));
}

int sim_ask(struct sim *s, struct fl_str line)
{
	struct ask a;
	static uint16_t id;
	uint8_t query[1024], reply[65535];
	const char *arrow = memmem(line.p, line.n, "->", 2);
	if (!arrow)
		return sim_fail(s, "ask NAME TYPE [options] -> expectations");
	int ret = question(s, &a, (struct fl_str){ line.p, (size_t)(arrow - line.p) });
	if (ret)
		return ret;
	size_t n = fl_pack_query(query, sizeof query, ++id, a.flags, a.name, a.type, a.class, a.edns, a.size, a.dnssec_ok ? 0x8000 : 0,
				 a.opt.code ? &a.opt : NULL);
	size_t got = sim_exchange(s, query, n, a.tcp, a.from, a.port, reply, sizeof reply);
	struct fl_str want = { arrow + 2, (size_t)(line.p + line.n - arrow) - 2 }, one;
	struct fl_message m = { 0 };
	if (got && fl_message_parse(&m, &s->arena, reply, got))
		return sim_fail(s, "the reply does not unpack");
	if (got && m.id != id)
		return sim_fail(s, "the reply has another id");
	bool first = true;
	while ((want = fl_str_trim(want)).n) {
		want = fl_str_cut(want, ';', &one);
		one = fl_str_trim(one);
		if (first && (fl_str_is(one, "dropped") || !got)) {
			s->checks++;
			if (got || !fl_str_is(one, "dropped"))
				return sim_fail(s, got ? "a reply came" : "no reply came");
		} else if ((ret = expectation(s, one, &m, first))) {
			return ret;
		}
		first = false;
	}
	return s->err.msg[0] ? -1 : 0;
}

/* ---- metrics and logs ---- */

struct text { char *p; size_t n, cap; };
static void gather(void *arg, const char *p, size_t n)
{
	struct text *t = arg;
	if (t->n + n + 1 > t->cap) {
		t->cap = 2 * (t->n + n + 1);
		t->p = fl_xrealloc(t->p, t->cap);
	}
	memcpy(t->p + t->n, p, n);
	t->n += n;
	t->p[t->n] = 0;
}

/* NAME{label="value",...} VALUE: the sum of the series that have these labels, whatever others they have. :53 .. :56 are filled in. */
int sim_metric(struct sim *s, struct fl_str text)
{
	struct text t = { 0 };
	text = fl_str_trim(text);
	size_t end = text.n;
	while (end && text.p[end - 1] != ' ')
		end--;
	struct fl_str number = { text.p + end, text.n - end }, series = fl_str_trim((struct fl_str){ text.p, end }), name;
	struct fl_str labels = fl_str_cut(series, '{', &name);
	double sum = 0, want = strtod(number.p, NULL);
	bool found = false;
	if (labels.n)
		labels.n--;
	fl_metric_expose(gather, &t);
	for (struct fl_str rest = { t.p, t.n }, line; rest.n;) {
		rest = fl_str_cut(rest, '\n', &line);
		if (!fl_str_starts(line, name) || line.n == name.n || (line.p[name.n] != '{' && line.p[name.n] != ' '))
			continue;
		bool fits = true;
		for (struct fl_str l = labels, one; l.n && fits;) {
			l = fl_str_cut(l, ',', &one);
			fits = memmem(line.p, line.n, one.p, one.n) != NULL;
		}
		if (!fits)
			continue;
		found = true;
		const char *space = memrchr(line.p, ' ', line.n);
		sum += strtod(space, NULL);
	}
	free(t.p);
	s->checks++;
	if (sum == want && (found || want == 0))
		return 0;
	return sim_fail(s, "metric %.*s is %s%g", FL_FMT(series), found ? "" : "not there, ", sum);
}

/* What was logged since the case last looked. */
int sim_expect_log(struct sim *s, struct fl_str regex, bool there)
{
	regex_t re;
	struct fl_str want = fl_arena_str(&s->arena, fl_str_trim(regex));
	if (regcomp(&re, want.p, REG_EXTENDED | REG_NOSUB))
		return sim_fail(s, "not a regular expression: %s", want.p);
	bool found = false;
	for (struct fl_str rest = { s->log ? s->log + s->log_seen : "", s->nlog - s->log_seen }, line; rest.n && !found;) {
		rest = fl_str_cut(rest, '\n', &line);
		found = !regexec(&re, fl_arena_str(&s->arena, line).p, 0, NULL, 0);
	}
	regfree(&re);
	s->checks++;
	const char *log = s->log ? s->log + s->log_seen : "";
	int ret = found == there ? 0 : sim_fail(s, "the log has %s /%.*s/; it is: %.350s", there ? "no" : "a", FL_FMT(regex), log);
	s->log_seen = s->nlog;
	return ret;
}
