/* Records that need no text: "{{ .Name }} TTL IN TYPE DATA", where all but the owner and the data stands there literally and the data is
 * one word. Nine of ten templates are that. Whatever is odd about the data goes the long way, which knows what to say of it. */
#include "plugin/template/template.h"
#include "wire/text.h"
#include <errno.h>

enum { WORD_MAX = 256 };

/* The next word of s, which begins with a space; what follows it stays in s. */
static struct fl_str word(struct fl_str *s)
{
	size_t at = 0, n = 0;
	while (at < s->n && s->p[at] == ' ')
		at++;
	while (at + n < s->n && s->p[at + n] != ' ')
		n++;
	struct fl_str w = { s->p + at, at ? n : 0 };
	*s = (struct fl_str){ s->p + at + n, s->n - at - n };
	return w;
}

static bool plain(struct fl_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = fl_lower((uint8_t)s.p[i]);
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' || c == ':'))
			return false;
	}
	return true;
}

static void number(struct fl_tmpl_part *p)
{
	static const struct { const char *name; int tag; } simple[] = { { "Name", TAG_NAME }, { "Zone", TAG_ZONE }, { "Class", TAG_CLASS },
		{ "Type", TAG_TYPE }, { "Remote", TAG_REMOTE } };
	if (!p->field.n) {
		p->tag = TAG_TEXT;
		return;
	}
	for (unsigned i = 0; i < FL_COUNT(simple); i++)
		if (!p->key.n && p->index < 0 && fl_str_is(p->field, simple[i].name))
			p->tag = simple[i].tag;
	if (fl_str_is(p->field, "Match") && p->index >= 0)
		p->tag = TAG_MATCH;
	if (fl_str_is(p->field, "Group") && p->key.n)
		p->tag = TAG_GROUP;
}

void fl_template_plan(struct template_rr *r)
{
	static const uint16_t types[] = { FL_T_A, FL_T_AAAA, FL_T_CNAME, FL_T_NS, FL_T_PTR };
	struct fl_tmpl *t = &r->text;
	int64_t ttl = 3600;
	for (unsigned i = 0; i < t->nparts; i++)
		number(&t->part[i]);
	if (t->nparts < 2 || t->part[0].tag != TAG_NAME || t->part[1].tag != TAG_TEXT)
		return;
	struct fl_str rest = t->part[1].text, w = word(&rest);
	if (w.n && !fl_parse_int(w, 0, INT32_MAX, &ttl))
		w = word(&rest);
	if (fl_str_is(w, "IN"))
		w = word(&rest);
	bool known = false;
	fl_type_parse(w, &r->type);
	for (unsigned i = 0; i < FL_COUNT(types); i++)
		known |= r->type == types[i];
	if (!known || !rest.n || rest.p[0] != ' ')
		return;
	while (rest.n && rest.p[0] == ' ')
		rest = (struct fl_str){ rest.p + 1, rest.n - 1 };
	if (!plain(rest))
		return;
	for (unsigned i = 2; i < t->nparts; i++)
		if (t->part[i].tag == TAG_NONE || (t->part[i].tag == TAG_TEXT && !plain(t->part[i].text)))
			return;
	r->ttl = (uint32_t)ttl;
	r->rest = rest;
	r->planned = true;
}

static int data(struct view *v, const struct template_rr *r, struct fl_str s, const struct fl_rrset **set)
{
	uint8_t name[FL_NAME_MAX];
	struct fl_addr addr;
	const void *p = addr.b;
	int n;
	if (r->type == FL_T_A || r->type == FL_T_AAAA) {
		n = r->type == FL_T_A ? 4 : 16;
		if (!fl_addr_parse(s, &addr) || addr.len != n || (memchr(s.p, ':', s.n) != NULL) != (n == 16))
			return 1;
	} else {
		n = s.n && s.p[0] != '.' ? fl_name_parse(name, s) : -EINVAL;
		p = name;
		if (n < 0)
			return 1;
	}
	*set = fl_rrset_one(v->q->arena, r->type, r->ttl, p, (size_t)n);
	return *set ? 0 : -ENOMEM;
}

int fl_template_planned(struct view *v, const struct template_rr *r, struct fl_name *owner, const struct fl_rrset **set)
{
	char text[WORD_MAX];
	struct fl_str s = r->rest;
	size_t n = (size_t)(fl_put_bytes(text, s.p, s.n < WORD_MAX ? s.n : 0) - text);
	for (unsigned i = 2; i < r->text.nparts; i++) {
		int ret = fl_template_part(v, &r->text.part[i], &s);
		if (ret || s.n > WORD_MAX - n || (r->text.part[i].tag != TAG_TEXT && !plain(s)))
			return ret ? ret : 1;
		n = (size_t)(fl_put_bytes(text + n, s.p, s.n) - text);
	}
	*owner = v->wire;
	return data(v, r, (struct fl_str){ text, n }, set);
}
