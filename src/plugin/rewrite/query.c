#include "plugin/rewrite/rewrite.h"
#include <errno.h>

int fl_rewrite_groups(struct fl_query *q, const struct fl_regex *re, struct fl_str text, struct fl_str to, struct fl_str *out)
{
	struct fl_regex_match m;
	*out = text;
	int ret = fl_regex_match(re, fl_local(q), text, &m);
	if (ret <= 0)
		return ret;
	size_t room = to.n + 1;
	for (unsigned i = 0; i < m.n; i++)
		room += m.group[i].n * (to.n / 3);
	char *p = room > 16384 ? NULL : fl_alloc(q->arena, room);
	if (!p)
		return -ENOMEM;
	out->p = p;
	for (size_t i = 0; i < to.n;) {
		size_t close = i + 1;
		int64_t group;
		while (to.p[i] == '{' && close < to.n && close < i + 5 && to.p[close] != '}')
			close++;
		if (to.p[i] == '{' && close < to.n && to.p[close] == '}' &&
		    !fl_parse_int((struct fl_str){ to.p + i + 1, close - i - 1 }, 0, m.n - 1, &group)) {
			fl_put_bytes(p, m.group[group].p, m.group[group].n);
			p += m.group[group].n;
			i = close + 1;
		} else {
			*p++ = to.p[i++];
		}
	}
	out->n = (size_t)(p - out->p);
	return 1;
}

static bool contains(struct fl_str s, struct fl_str part) { return part.n && memmem(s.p, s.n, part.p, part.n); }

/* text with every `from` replaced. */
static struct fl_str replace_all(struct fl_arena *a, struct fl_str text, struct fl_str from, struct fl_str to)
{
	struct fl_str none = { NULL, 0 };
	char *out = fl_alloc(a, (text.n / from.n + 1) * (to.n + from.n) + text.n), *p = out;
	if (!out)
		return none;
	for (const char *hit; (hit = memmem(text.p, text.n, from.p, from.n));) {
		memcpy(p, text.p, (size_t)(hit - text.p));
		p += hit - text.p;
		fl_put_bytes(p, to.p, to.n);
		p += to.n;
		text.n -= (size_t)(hit - text.p) + from.n;
		text.p = hit + from.n;
	}
	fl_put_bytes(p, text.p, text.n);
	return (struct fl_str){ out, (size_t)(p - out) + text.n };
}

static struct fl_str concat(struct fl_arena *a, struct fl_str x, struct fl_str y)
{
	char *p = fl_alloc(a, x.n + y.n + 1);
	if (!p)
		return (struct fl_str){ NULL, 0 };
	fl_put_bytes(p, x.p, x.n);
	fl_put_bytes(p + x.n, y.p, y.n);
	return (struct fl_str){ p, x.n + y.n };
}

int fl_rewrite_fits(struct fl_query *q, const struct rule *r, struct fl_str name, struct fl_str *to)
{
	struct fl_str head = { name.p, name.n - (name.n > r->from.n ? r->from.n : name.n) };
	bool named = r->kind == REWRITE_NAME || r->kind == REWRITE_CNAME;
	switch (r->match) {
	case MATCH_EXACT:
		*to = r->to;
		return fl_str_eq(name, r->from);
	case MATCH_PREFIX:
		if (!fl_str_starts(name, r->from))
			return 0;
		*to = named ? concat(q->arena, r->to, (struct fl_str){ name.p + r->from.n, name.n - r->from.n }) : name;
		break;
	case MATCH_SUFFIX:
		if (!fl_str_ends(name, r->from))
			return 0;
		*to = named ? concat(q->arena, head, r->to) : name;
		break;
	case MATCH_SUBSTRING:
		if (!contains(name, r->from))
			return 0;
		*to = named ? replace_all(q->arena, name, r->from, r->to) : name;
		break;
	case MATCH_REGEX:
		if (r->parts)
			return fl_rewrite_meta(q, r, name, to);
		return named ? fl_rewrite_groups(q, r->regex, name, r->to, to) : fl_regex_match(r->regex, fl_local(q), name, NULL);
	}
	return to->p ? 1 : -ENOMEM;
}

static int owe_edit(struct fl_query *q, struct rewritten *w, const struct edit *from)
{
	struct edit *e = fl_copy(q->arena, from, sizeof *e);
	if (!e)
		return -ENOMEM;
	e->next = w->edits;
	w->edits = e;
	return 0;
}

static int owe_edits(struct fl_query *q, struct rewritten *w, const struct rule *r, struct fl_str was)
{
	int ret = 0;
	if (r->kind == REWRITE_NAME && r->auto_answer) {
		struct fl_str now = fl_name_text_in(q->arena, q->qname);
		struct edit back = { .kind = EDIT_REMAP, .names = true, .values = true, .from = now, .to = was };
		ret = now.p ? owe_edit(q, w, &back) : -ENOMEM;
	}
	for (const struct edit *e = r->edits; e && !ret; e = e->next)
		ret = owe_edit(q, w, e);
	return ret;
}

/* 1: done to the query, 0: not this rule's, -EINVAL: no name, others: -errno. */
static int apply(struct fl_query *q, const struct rule *r, struct rewritten *w)
{
	uint8_t lower[FL_NAME_MAX];
	if (r->kind == REWRITE_TYPE || r->kind == REWRITE_CLASS) {
		uint16_t *v = r->kind == REWRITE_TYPE ? &q->qtype : &q->qclass;
		if (*v != r->num_from || !r->num_from || !r->num_to)
			return 0;
		*v = r->num_to;
		return 1;
	}
	if (r->kind == REWRITE_EDNS0)
		return fl_rewrite_edns0(q, r->edns0);
	if (r->kind == REWRITE_CNAME)           /* whatever the question is */
		return owe_edits(q, w, r, FL_STR("")) ? -ENOMEM : 1;
	struct fl_str name = fl_name_text_in(q->arena, fl_name_lower(lower, q->qname)), to = { NULL, 0 };
	int ret = name.p ? fl_rewrite_fits(q, r, name, &to) : -ENOMEM;
	if (ret <= 0)
		return ret;
	if (r->kind == REWRITE_NAME) {
		struct fl_name now = fl_name_parse_in(q->arena, to);
		if (!now.len)
			return -EINVAL;
		q->qname = now;
	}
	ret = owe_edits(q, w, r, name);
	return ret ? ret : 1;
}

enum fl_verdict fl_rewrite_query(void *inst, struct fl_query *q)
{
	const struct rewrite *rw = inst;
	struct rewritten *w = NULL, w0 = { .qname = q->qname, .qtype = q->qtype, .qclass = q->qclass,
					      .ask = q->ask };
	bool done = false;
	for (const struct rule *r = rw->first; r; r = r->next) {
		int ret = apply(q, r, &w0);
		if (ret < 0) {
			q->qname = w0.qname;
			q->qtype = w0.qtype;
			q->qclass = w0.qclass;
			q->ask = w0.ask;
			return ret == -ENOMEM ? fl_yield(q, ret) : fl_fail(q, FL_SERVFAIL, ret == -EINVAL ? "invalid name after rewrite"
				: "a rewrite pattern took too many steps");
		}
		done |= ret > 0;
		if (ret > 0 && !r->go_on)
			break;
	}
	if (!done)
		return FL_NEXT;
	if (!(w = *fl_slot(q) = fl_copy(q->arena, &w0, sizeof w0)))
		return fl_yield(q, -ENOMEM);
	return FL_WRAP;
}
