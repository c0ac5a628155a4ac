#include "plugin/rewrite/rewrite.h"
#include <errno.h>
#include <stdio.h>

static const char *const match_names[] = { "exact", "prefix", "suffix", "substring", "regex" };

struct fl_str fl_rewrite_lower(struct fl_setup *s, struct fl_str text)
{
	struct fl_str to = fl_arena_str(fl_setup_arena(s), text);
	for (size_t i = 0; i < to.n; i++)
		((char *)to.p)[i] = (char)fl_lower((uint8_t)to.p[i]);
	return to;
}

/* plugin.Name.Normalize: lower case, with the final dot. */
struct fl_str fl_rewrite_normalize(struct fl_setup *s, struct fl_str text)
{
	struct fl_str to = fl_rewrite_lower(s, text);
	if (to.n && to.p[to.n - 1] == '.')
		return to;
	return fl_arena_printf(fl_setup_arena(s), "%.*s.", FL_FMT(to));
}

int fl_rewrite_match_of(struct fl_str word)
{
	for (unsigned i = 0; i < FL_COUNT(match_names); i++)
		if (fl_str_ieq(word, fl_str(match_names[i])))
			return (int)i;
	return -1;
}

static unsigned groups_used(struct fl_str to)
{
	unsigned used = 0;
	for (int i = 0; i <= 100; i++) {
		char group[8];
		int n = snprintf(group, sizeof group, "{%d}", i);
		used += memmem(to.p, to.n, group, (size_t)n) != NULL;
	}
	return used;
}

/* A pattern and what replaces it; the words of a failure go to e without the plugin's name. */
static struct fl_regex *pattern(struct fl_str from, struct fl_str to, struct fl_err *e)
{
	struct fl_err why;
	if (from.n > FL_REGEX_MAX) {
		fl_err_set(e, "regex pattern too long: %zu > %d", from.n, FL_REGEX_MAX);
		return NULL;
	}
	struct fl_regex *r = fl_regex_compile(from, &why);
	if (!r) {
		fl_err_set(e, "invalid regex matching pattern: %.*s", FL_FMT(from));
		return NULL;
	}
	if (groups_used(to) <= fl_regex_groups(r))
		return r;
	fl_regex_free(r);
	fl_err_set(e, "the rewrite regex pattern (%.*s) uses more subexpressions than its corresponding matching regex pattern (%.*s)",
		   FL_FMT(to), FL_FMT(from));
	return NULL;
}

struct edit *fl_rewrite_edit_add(struct fl_setup *s, struct rule *r, enum rewrite_edit kind)
{
	struct edit **last = &r->edits;
	while (*last)
		last = &(*last)->next;
	*last = fl_zalloc(fl_setup_arena(s), sizeof **last);
	(*last)->kind = kind;
	return *last;
}

/* answer auto | answer name RE TO | answer value RE TO, any number of them; "answer" may be left out from the second on. */
static int answers(struct fl_setup *s, struct rule *r, const char *kind, const struct fl_str *arg, unsigned n)
{
	unsigned names = 0;
	struct fl_err e;
	if (n < 2)
		return fl_setup_error(s, "invalid arguments for %s rule", kind);
	if (!fl_str_is(arg[0], "answer"))
		return fl_setup_error(s, "exceeded the number of arguments for a non-answer rule argument for %s rule", kind);
	for (unsigned i = 0; i < n;) {
		i += fl_str_is(arg[i], "answer");
		if (i == n)
			return fl_setup_error(s, "type missing for answer rule for %s rule", kind);
		struct fl_str type = arg[i++];
		if (fl_str_is(type, "auto")) {
			r->auto_answer = true;
			continue;
		}
		bool name = fl_str_is(type, "name");
		if (!name && !fl_str_is(type, "value"))
			return fl_setup_error(s, "invalid type \"%.*s\" for answer rule for %s rule", FL_FMT(type), kind);
		if (n - i < 2)
			return fl_setup_error(s, "%.*s answer rule for %s rule: 2 arguments required", FL_FMT(type), kind);
		struct edit *ed = fl_rewrite_edit_add(s, r, name ? EDIT_REGEX_NAME : EDIT_REGEX_VALUE);
		ed->to = fl_rewrite_normalize(s, arg[i + 1]);
		if (!(ed->regex = pattern(arg[i], arg[i + 1], &e)))
			return fl_setup_error(s, "%.*s answer rule for %s rule: %s", FL_FMT(type), kind, e.msg);
		names += name;
		i += 2;
	}
	if (r->auto_answer && names)
		return fl_setup_error(s, "auto name answer rule cannot be combined with explicit name anwer rules");
	return 0;
}

static int name_rule(struct fl_setup *s, struct rule *r, const struct fl_str *arg, unsigned n)
{
	struct fl_err e;
	if (n < 2)
		return fl_setup_error(s, "too few arguments for a name rule");
	int m = n == 2 ? MATCH_EXACT : fl_rewrite_match_of(arg[0]);
	unsigned at = n == 2 ? 0 : 1;
	bool meta = n > 3 && fl_str_is(arg[3], "metadata");
	if (meta && m != MATCH_REGEX)
		return fl_setup_error(s, "metadata is only supported for regex name rules");
	unsigned rest = 3 + meta;
	int ret = n > rest ? answers(s, r, m < 0 ? "name" : match_names[m], arg + rest, n - rest) : 0;
	if (ret)
		return ret;
	if (m < 0)
		return fl_setup_error(s, "name rule supports only exact, prefix, suffix, substring, and regex name matching, received: %.*s",
				      FL_FMT(fl_rewrite_lower(s, arg[0])));
	r->match = (enum rewrite_match)m;
	r->from = m == MATCH_REGEX ? arg[at] : fl_rewrite_normalize(s, arg[at]);
	r->to = fl_rewrite_normalize(s, arg[at + 1]);
	if (m == MATCH_REGEX && !(r->regex = pattern(arg[at], meta ? FL_STR("") : arg[at + 1], &e)))
		return fl_setup_error(s, "%s", e.msg);
	if (meta && (ret = fl_rewrite_meta_setup(s, r, arg[at + 1])))
		return ret;
	r->auto_answer |= m == MATCH_EXACT;
	if (m == MATCH_SUFFIX && r->auto_answer) {      /* the suffixes in the opposite order do for all names */
		struct edit *ed = fl_zalloc(fl_setup_arena(s), sizeof *ed);
		*ed = (struct edit){ .kind = EDIT_SUFFIX, .names = true, .values = true, .from = r->to, .to = r->from, .next = r->edits };
		r->edits = ed;
		r->auto_answer = false;
	}
	return 0;
}

/* [KIND] NAME: the match of a ttl or rcode rule. */
static int match_rule(struct fl_setup *s, struct rule *r, const char *what, bool has_kind, const struct fl_str *arg)
{
	int m = has_kind ? fl_rewrite_match_of(arg[0]) : MATCH_EXACT;
	struct fl_str name = arg[has_kind];
	struct fl_err e;
	if (m < 0)
		return fl_setup_error(s, "%s rule supports only exact, prefix, suffix, substring, and regex name matching", what);
	r->match = (enum rewrite_match)m;
	r->from = m == MATCH_REGEX ? name : fl_rewrite_normalize(s, name);
	if (m == MATCH_REGEX && !(r->regex = fl_regex_compile(name, &e)))
		return fl_setup_error(s, "invalid regex pattern in a %s rule: %.*s", what, FL_FMT(name));
	return 0;
}

/* "30", "30-", "-30", "30-60" */
static bool ttl_range(struct fl_str text, struct edit *ed)
{
	struct fl_str low, high = fl_str_cut(text, '-', &low);
	bool dash = memchr(text.p, '-', text.n) != NULL;
	int64_t min = 0, max = INT32_MAX;
	if (low.n && fl_parse_int(low, 0, UINT32_MAX, &min))
		return false;
	if (!dash)
		max = min;
	else if (high.n ? fl_parse_int(high, 0, UINT32_MAX, &max) : !low.n)
		return false;
	ed->ttl_min = (uint32_t)min;
	ed->ttl_max = (uint32_t)max;
	return (dash || low.n) && min <= max;
}

static int ttl_rule(struct fl_setup *s, struct rule *r, const struct fl_str *arg, unsigned n)
{
	if (n < 2)
		return fl_setup_error(s, "too few (%u) arguments for a ttl rule", n);
	if (n > 3)
		return fl_setup_error(s, "many few arguments for a ttl rule");
	struct edit *ed = fl_rewrite_edit_add(s, r, EDIT_TTL);
	if (!ttl_range(arg[n - 1], ed))
		return fl_setup_error(s, "invalid TTL '%.*s' for a ttl rule", FL_FMT(arg[n - 1]));
	return match_rule(s, r, "ttl", n == 3, arg);
}

static bool rcode_of(struct fl_setup *s, struct fl_str text, uint16_t *rcode)
{
	int64_t v;
	struct fl_str upper = fl_arena_str(fl_setup_arena(s), text);
	for (size_t i = 0; i < upper.n; i++)
		if (upper.p[i] >= 'a' && upper.p[i] <= 'z')
			((char *)upper.p)[i] -= 32;
	if (!fl_parse_int(text, 0, 23, &v)) {
		*rcode = (uint16_t)v;
		return true;
	}
	return fl_rcode_parse(upper, rcode);
}

static int rcode_rule(struct fl_setup *s, struct rule *r, const struct fl_str *arg, unsigned n)
{
	if (n < 3)
		return fl_setup_error(s, "too few (%u) arguments for a rcode rule", n);
	if (n > 4)                              /* CoreDNS looks at nothing then, and says that it is no code */
		return fl_setup_error(s, "invalid matching RCODE '' for a rcode rule");
	struct edit *ed = fl_rewrite_edit_add(s, r, EDIT_RCODE);
	if (!rcode_of(s, arg[n - 2], &ed->rcode_from))
		return fl_setup_error(s, "invalid matching RCODE '%.*s' for a rcode rule", FL_FMT(arg[n - 2]));
	if (!rcode_of(s, arg[n - 1], &ed->rcode_to))
		return fl_setup_error(s, "invalid replacement RCODE '%.*s' for a rcode rule", FL_FMT(arg[n - 1]));
	return match_rule(s, r, "rcode", n == 4, arg);
}

static int number_rule(struct fl_setup *s, struct rule *r, const char *what, const struct fl_str *arg, unsigned n)
{
	bool type = r->kind == REWRITE_TYPE;
	if (n != 2)
		return fl_setup_error(s, "%s rules must have exactly two arguments", what);
	for (int i = 0; i < 2; i++) {
		struct fl_str upper = fl_arena_str(fl_setup_arena(s), arg[i]);
		for (size_t k = 0; k < upper.n; k++)
			if (upper.p[k] >= 'a' && upper.p[k] <= 'z')
				((char *)upper.p)[k] -= 32;
		uint16_t *to = i ? &r->num_to : &r->num_from;
		if (!(type ? fl_type_parse(upper, to) : fl_class_parse(upper, to)))
			return fl_setup_error(s, "invalid %s \"%.*s\"", what, FL_FMT(upper));
	}
	return 0;
}

static int rule(struct fl_setup *s, struct rule *r, const struct fl_str *arg, unsigned n)
{
	static const char *const kinds[] = { "name", "type", "class", "ttl", "rcode", "edns0", "cname" };
	if (!n)
		return fl_setup_error(s, "no rule type specified for rewrite");
	struct fl_str first = fl_rewrite_lower(s, arg[0]), kind = first;
	unsigned at = 1;
	if (fl_str_is(first, "continue") || fl_str_is(first, "stop")) {
		if (n < 2)
			return fl_setup_error(s, "%s rule must begin with a rule type", first.p);
		r->go_on = fl_str_is(first, "continue");
		kind = fl_rewrite_lower(s, arg[1]);
		at = 2;
	}
	if (fl_str_is(kind, "answer"))
		return fl_setup_error(s, "response rewrites must begin with a name rule");
	for (unsigned i = 0; i < FL_COUNT(kinds); i++) {
		if (!fl_str_is(kind, kinds[i]))
			continue;
		r->kind = (enum rewrite_kind)i;
		switch (r->kind) {
		case REWRITE_NAME: return name_rule(s, r, arg + at, n - at);
		case REWRITE_TTL: return ttl_rule(s, r, arg + at, n - at);
		case REWRITE_RCODE: return rcode_rule(s, r, arg + at, n - at);
		case REWRITE_EDNS0: return fl_rewrite_edns0_setup(s, &r->edns0, arg + at, n - at);
		case REWRITE_CNAME: return fl_rewrite_cname_setup(s, r, arg + at, n - at);
		default: return number_rule(s, r, kinds[i], arg + at, n - at);
		}
	}
	return fl_setup_error(s, "invalid rule type \"%.*s\"", FL_FMT(arg[0]));
}

int fl_rewrite_setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct rewrite *rw = fl_zalloc(fl_setup_arena(s), sizeof *rw);
	struct rule **last = &rw->first;
	int ret = 0;
	while (!ret && fl_disp_next(d)) {
		struct fl_str *arg, all[64];
		unsigned n = fl_disp_args(d, &arg);
		if (n < 2) {                    /* the block form: its tokens go on where the line ended */
			if (n)
				all[0] = arg[0];
			while (fl_disp_next_block(d) && n < FL_COUNT(all))
				all[n++] = fl_disp_val(d);
			arg = all;
		}
		struct rule *r = *last = fl_zalloc(fl_setup_arena(s), sizeof *r);
		last = &r->next;
		ret = rule(s, r, arg, n);
	}
	if (ret)
		fl_rewrite_destroy(rw);
	*inst = rw;
	return ret;
}

void fl_rewrite_destroy(void *inst)
{
	struct rewrite *rw = inst;
	for (struct rule *r = rw->first; r; r = r->next) {
		fl_regex_free(r->regex);
		for (struct edit *ed = r->edits; ed; ed = ed->next)
			fl_regex_free(ed->regex);
	}
}

static int shard_start(void *inst, struct fl_shard *sh, void **local)
{
	(void)inst, (void)sh;
	*local = fl_regex_scratch_create(FL_REGEX_GROUPS);
	return *local ? 0 : -ENOMEM;
}

static void shard_stop(void *inst, struct fl_shard *sh, void *local)
{
	(void)inst, (void)sh;
	fl_regex_scratch_free(local);
}

static const struct fl_opt opts[] = {
	{ "name", "[KIND] FROM TO [answer ...]", "asks for another name; KIND: exact, prefix, suffix, substring, regex" },
	{ "answer", "auto|name RE TO|value RE TO", "how the names of the answer are turned back" },
	{ "type", "FROM TO", "asks for another type" },
	{ "class", "FROM TO", "asks in another class" },
	{ "ttl", "[KIND] NAME SECONDS|MIN-MAX", "sets or bounds the TTL of the answer" },
	{ "rcode", "[KIND] NAME FROM TO", "answers with another response code" },
	{ "edns0", "local|nsid|subnet set|append|replace|unset [ARGUMENT...] [revert]", "changes options of the request" },
	{ "cname", "[KIND] FROM TO", "turns an alias of the answer and looks the new target up" },
	{ 0 },
};

FL_PLUGIN(rewrite, .opts = opts, .setup = fl_rewrite_setup, .destroy = fl_rewrite_destroy, .shard_start = shard_start, .shard_stop = shard_stop,
	  .query = fl_rewrite_query, .reply = fl_rewrite_reply);
