/* The fields of a template's data (CoreDNS plugin/template/template.go, templateData) and of what hangs from it. */
#include "plugin/template/template.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROOT, MESSAGE, QUESTION };

static struct fl_str name_or_empty(const char *name) { return name ? fl_str(name) : FL_STR(""); }

static int text(struct fl_tmpl_value *out, struct fl_str s)
{
	*out = (struct fl_tmpl_value){ .kind = FL_TMPL_STR, .s = s };
	return s.p ? 0 : -ENOMEM;
}

static struct fl_str remote(struct fl_arena *a, const struct fl_query *q)
{
	char *to = fl_alloc(a, 46);
	return to ? (struct fl_str){ to, fl_addr_text(to, &q->client->peer) } : (struct fl_str){ NULL, 0 };
}

/* ---- groups ---- */

static struct fl_str group_text(const struct view *v, unsigned i) { return v->match.group[i].p ? v->match.group[i] : FL_STR(""); }

/* Its number, or -1: "2", or a name. */
static int group_of(const struct view *v, struct fl_str key)
{
	int64_t n;
	bool number = key.n && key.p[0] >= '0' && key.p[0] <= '9' && (key.n == 1 || key.p[0] != '0');
	if (number && !fl_parse_int(key, 0, FL_REGEX_GROUPS, &n))
		return n < v->match.n ? (int)n : -1;
	return v->regex ? fl_regex_group(v->regex, key) : -1;
}

static int match_list(const struct view *v, struct fl_arena *a, struct fl_tmpl_value *out)
{
	struct fl_tmpl_value *at = fl_alloc(a, v->match.n * sizeof *at);
	for (unsigned i = 0; at && i < v->match.n; i++)
		text(&at[i], group_text(v, i));
	*out = (struct fl_tmpl_value){ .kind = FL_TMPL_LIST, .type = "[]string", .n = v->match.n, .at = at };
	return at ? 0 : -ENOMEM;
}

struct pair { struct fl_tmpl_value key, value; };

static int by_key(const void *a, const void *b)
{
	struct fl_str x = ((const struct pair *)a)->key.s, y = ((const struct pair *)b)->key.s;
	int d = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
	return d ? d : (x.n > y.n) - (x.n < y.n);
}

static int map_of(struct fl_tmpl_value *out, struct pair *at, unsigned n, const char *type)
{
	qsort(at, n, sizeof *at, by_key);
	*out = (struct fl_tmpl_value){ .kind = FL_TMPL_MAP, .type = type, .n = n, .at = &at->key };
	return 0;
}

static int group_map(const struct view *v, struct fl_arena *a, struct fl_tmpl_value *out)
{
	struct pair *at = fl_alloc(a, 2 * v->match.n * sizeof *at);
	unsigned n = 0;
	for (unsigned i = 0; at && i < v->match.n; i++) {
		const char *name = v->regex ? fl_regex_group_name(v->regex, i) : NULL;
		if (text(&at[n].key, fl_arena_printf(a, "%u", i)))
			return -ENOMEM;
		text(&at[n++].value, group_text(v, i));
		if (!name)
			continue;
		text(&at[n].key, fl_str(name));
		text(&at[n++].value, group_text(v, i));
	}
	return at ? map_of(out, at, n, "map[string]string") : -ENOMEM;
}

/* ---- what expressions made ---- */

static int converted(struct fl_arena *a, const struct fl_expr_value *v, struct fl_tmpl_value *out, unsigned nest);

static int list_of(struct fl_arena *a, const struct fl_expr_value *v, struct fl_tmpl_value *out, unsigned nest)
{
	bool range = v->type == FL_EXPR_RANGE_OF;
	int64_t n = !range ? v->n : v->range.hi < v->range.lo ? 0 : v->range.hi - v->range.lo + 1;
	struct fl_tmpl_value *at = n > FL_TMPL_STEPS ? NULL : fl_alloc(a, ((size_t)n + 1) * sizeof *at);
	for (int64_t i = 0; at && i < n; i++) {
		int ret = 0;
		if (range)
			at[i] = (struct fl_tmpl_value){ .kind = FL_TMPL_INT, .i = v->range.lo + i };
		else
			ret = converted(a, &v->at[i], &at[i], nest + 1);
		if (ret)
			return ret;
	}
	*out = (struct fl_tmpl_value){ .kind = FL_TMPL_LIST, .n = (unsigned)n, .at = at, .type = range ? "[]int" : NULL };
	return at ? 0 : -ENOMEM;
}

static int map_from(struct fl_arena *a, const struct fl_expr_value *v, struct fl_tmpl_value *out, unsigned nest)
{
	struct pair *at = fl_alloc(a, (v->n + 1) * sizeof *at);
	for (unsigned i = 0; at && i < v->n; i++)
		if (converted(a, &v->at[2 * i], &at[i].key, nest + 1) || converted(a, &v->at[2 * i + 1], &at[i].value, nest + 1))
			return -ENOMEM;
	return at ? map_of(out, at, v->n, NULL) : -ENOMEM;
}

static int converted(struct fl_arena *a, const struct fl_expr_value *v, struct fl_tmpl_value *out, unsigned nest)
{
	*out = (struct fl_tmpl_value){ FL_TMPL_NONE };
	if (nest > FL_TMPL_NEST)
		return -ENOMEM;
	switch (v->type) {
	case FL_EXPR_NIL: return 0;
	case FL_EXPR_BOOL: *out = (struct fl_tmpl_value){ .kind = FL_TMPL_BOOL, .b = v->b }; return 0;
	case FL_EXPR_INT: *out = (struct fl_tmpl_value){ .kind = FL_TMPL_INT, .i = v->i }; return 0;
	case FL_EXPR_FLOAT: *out = (struct fl_tmpl_value){ .kind = FL_TMPL_FLOAT, .f = v->f }; return 0;
	case FL_EXPR_STR: return text(out, v->s.p ? v->s : FL_STR(""));
	case FL_EXPR_MAP: return map_from(a, v, out, nest);
	default: return list_of(a, v, out, nest);
	}
}

static int var_map(const struct view *v, struct fl_arena *a, struct fl_tmpl_value *out)
{
	struct pair *at = fl_alloc(a, (v->t->nvar + 1) * sizeof *at);
	for (unsigned i = 0; at && i < v->t->nvar; i++) {
		text(&at[i].key, v->t->var[i].name);
		if (converted(a, &v->var[i], &at[i].value, 0))
			return -ENOMEM;
	}
	return at ? map_of(out, at, v->t->nvar, NULL) : -ENOMEM;
}

/* group(2), group("name"): "" where there is none. */
static int group(void *arg, struct fl_arena *a, const struct fl_expr_value *in, struct fl_expr_value *out)
{
	const struct view *v = arg;
	int i = in[0].type == FL_EXPR_STR ? group_of(v, in[0].s) : in[0].type == FL_EXPR_INT && in[0].i >= 0 && in[0].i < v->match.n ? (int)in[0].i : -1;
	(void)a;
	*out = (struct fl_expr_value){ FL_EXPR_STR, .s = i < 0 ? FL_STR("") : group_text(v, (unsigned)i) };
	return 0;
}

const struct fl_expr_fn fl_template_group = { "group", "sa", false, group };

/* ---- fields ---- */

static int root(struct view *v, struct fl_arena *a, struct fl_str name, struct fl_tmpl_value *out)
{
	if (fl_str_is(name, "Name"))
		return text(out, v->name);
	if (fl_str_is(name, "Zone"))
		return text(out, v->t->zones.text[v->zone]);
	if (fl_str_is(name, "Regex"))
		return text(out, v->regex ? fl_str(fl_regex_text(v->regex)) : FL_STR(".*"));
	if (fl_str_is(name, "Class"))
		return text(out, name_or_empty(fl_class_name(v->class)));
	if (fl_str_is(name, "Type"))
		return text(out, name_or_empty(fl_type_name(v->type)));
	if (fl_str_is(name, "Remote"))
		return text(out, remote(a, v->q));
	if (fl_str_is(name, "Match"))
		return match_list(v, a, out);
	if (fl_str_is(name, "Group"))
		return group_map(v, a, out);
	if (fl_str_is(name, "Var"))
		return var_map(v, a, out);
	bool message = fl_str_is(name, "Message");
	if (!message && !fl_str_is(name, "Question"))
		return -ENOENT;
	*out = (struct fl_tmpl_value){ .kind = FL_TMPL_OBJECT, .type = message ? "*dns.Msg" : "*dns.Question", .object = message ? MESSAGE : QUESTION };
	return 0;
}

static int number(struct fl_tmpl_value *out, uint64_t u, const char *type)
{
	*out = (struct fl_tmpl_value){ .kind = type ? FL_TMPL_UINT : FL_TMPL_INT, .u = u, .type = type };
	return 0;
}

static int question(const struct fl_query *q, struct fl_arena *a, struct fl_str name, struct fl_tmpl_value *out)
{
	if (fl_str_is(name, "Name"))
		return text(out, fl_name_text_in(a, q->qname));
	if (fl_str_is(name, "Qtype"))
		return number(out, q->qtype, "uint16");
	if (fl_str_is(name, "Qclass"))
		return number(out, q->qclass, "uint16");
	return fl_str_is(name, "String") ? -ENOTSUP : -ENOENT;
}

/* What miekg/dns's Msg has besides. */
static const char *const beyond[] = { "Answer", "Ns", "Extra", "MsgHdr", "Copy", "CopyTo", "Insert", "IsEdns0", "IsTsig", "Len", "NameNotUsed",
	"NameUsed", "Pack", "PackBuffer", "RRsetNotUsed", "RRsetUsed", "Remove", "RemoveName", "RemoveRRset", "SetAxfr", "SetEdns0", "SetIxfr",
	"SetNotify", "SetQuestion", "SetRcode", "SetRcodeFormatError", "SetReply", "SetTsig", "SetUpdate", "String", "Unpack", "Used" };

static int message(const struct fl_query *q, struct fl_arena *a, struct fl_str name, struct fl_tmpl_value *out)
{
	static const struct { const char *name; uint16_t bit; } flags[] = { { "Response", FL_QR }, { "Authoritative", FL_AA }, { "Truncated", FL_TC },
		{ "RecursionDesired", FL_RD }, { "RecursionAvailable", FL_RA }, { "Zero", FL_Z }, { "AuthenticatedData", FL_AD },
		{ "CheckingDisabled", FL_CD }, { "Compress", 0 } };
	for (unsigned i = 0; i < FL_COUNT(flags); i++)
		if (fl_str_is(name, flags[i].name)) {
			*out = (struct fl_tmpl_value){ .kind = FL_TMPL_BOOL, .b = (q->ask.flags & flags[i].bit) != 0 };
			return 0;
		}
	if (fl_str_is(name, "Id"))
		return number(out, q->client->id, "uint16");
	if (fl_str_is(name, "Opcode"))
		return number(out, q->client->opcode, NULL);
	if (fl_str_is(name, "Rcode"))
		return number(out, q->client->flags & 15, NULL);
	if (fl_str_is(name, "Question")) {
		struct fl_tmpl_value *at = fl_zalloc(a, sizeof *at);
		if (!at)
			return -ENOMEM;
		*at = (struct fl_tmpl_value){ .kind = FL_TMPL_OBJECT, .type = "dns.Question", .object = QUESTION };
		*out = (struct fl_tmpl_value){ .kind = FL_TMPL_LIST, .type = "[]dns.Question", .n = 1, .at = at };
		return 0;
	}
	for (unsigned i = 0; i < FL_COUNT(beyond); i++)
		if (fl_str_is(name, beyond[i]))
			return -ENOTSUP;
	return -ENOENT;
}

static int field(void *arg, struct fl_arena *a, int object, struct fl_str name, struct fl_tmpl_value *out)
{
	struct view *v = arg;
	return object == ROOT ? root(v, a, name, out) : object == MESSAGE ? message(v->q, a, name, out) : question(v->q, a, name, out);
}

static struct fl_str meta(void *arg, struct fl_arena *a, struct fl_str label)
{
	struct view *v = arg;
	struct fl_str got;
	(void)a;
	return fl_meta(v->q, label, &got) || !got.n ? FL_STR("") : got;
}

static const char *later(const struct fl_str *ident, unsigned n, bool alone)
{
	bool msg = fl_str_is(ident[0], "Message"), q = fl_str_is(ident[0], "Question");
	if (n == 1 && alone && (msg || q))
		return msg ? "printing .Message" : "printing .Question";
	if (q && n > 1 && fl_str_is(ident[1], "String"))
		return ".Question.String";
	for (unsigned i = 0; msg && n > 1 && i < FL_COUNT(beyond); i++)
		if (fl_str_is(ident[1], beyond[i]))
			return beyond[i];
	return msg && n == 2 && alone && fl_str_is(ident[1], "Question") ? "printing .Message.Question" : NULL;
}

const struct fl_tmpl_world fl_template_world = { .root_type = "*template.templateData", .field = field, .method = "Meta", .call = meta, .later = later };

/* ---- flat templates ---- */

int fl_template_part(struct view *v, const struct fl_tmpl_part *p, struct fl_str *out)
{
	int i = p->index;
	switch (p->tag) {
	case TAG_TEXT: *out = p->text; return 0;
	case TAG_NAME: *out = v->name; return 0;
	case TAG_ZONE: *out = v->t->zones.text[v->zone]; return 0;
	case TAG_CLASS: *out = name_or_empty(fl_class_name(v->class)); return 0;
	case TAG_TYPE: *out = name_or_empty(fl_type_name(v->type)); return 0;
	case TAG_REMOTE: *out = remote(v->q->arena, v->q); return out->p ? 0 : -ENOMEM;
	case TAG_GROUP: i = group_of(v, p->key); break;
	case TAG_MATCH: break;
	default: return 1;
	}
	if (i < 0 || i >= (int)v->match.n)
		return 1;
	*out = group_text(v, (unsigned)i);
	return 0;
}
