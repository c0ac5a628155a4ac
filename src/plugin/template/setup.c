#include "plugin/template/template.h"
#include "wire/text.h"
#include <errno.h>

static const char *const fields[] = { "Zone", "Name", "Match", "Group", "Class", "Type", "Remote", NULL };

static int matches(struct fl_setup *s, struct template *t, const struct fl_str *arg, unsigned n)
{
	struct fl_err e;
	for (unsigned i = 0; i < n; i++) {
		if (arg[i].n > FL_REGEX_MAX)
			return fl_setup_parse_error(s, "regex pattern too long: %zu > %d", arg[i].n, FL_REGEX_MAX);
		if (t->nregex == TEMPLATE_REGEXES)
			return fl_setup_parse_error(s, "more than %d patterns", TEMPLATE_REGEXES);
		if (!(t->regex[t->nregex] = fl_regex_compile(arg[i], &e)))
			return fl_setup_parse_error(s, "could not parse regex: %.*s, %s", FL_FMT(arg[i]), e.msg);
		t->nregex++;
	}
	return 0;
}

/* A record without fields is parsed now. One that is none fails each query, as CoreDNS does; the reason is logged then. */
static int records(struct fl_setup *s, struct template *t, uint8_t section, const struct fl_str *arg, unsigned n)
{
	struct fl_arena *a = fl_setup_arena(s);
	struct template_rr **last = &t->rr;
	struct fl_err e;
	while (*last)
		last = &(*last)->next;
	for (unsigned i = 0; i < n; i++) {
		struct template_rr *r = fl_zalloc(a, sizeof *r);
		if (!r)
			return -ENOMEM;
		r->section = section;
		r->source = arg[i];
		int ret = fl_tmpl_compile(&r->text, a, arg[i], fields, &e);
		if (ret)
			return fl_setup_parse_error(s, "could not compile template: %.*s, %s", FL_FMT(arg[i]), e.msg);
		if (r->text.literal && fl_rr_parse(a, arg[i], &r->owner, &r->set, &e))
			r->set = NULL;
		*last = r;
		last = &r->next;
	}
	return 0;
}

static int extended_error(struct fl_setup *s, struct template *t, const struct fl_str *arg, unsigned n)
{
	int64_t code;
	if (n != 1 && n != 2)
		return fl_setup_arg_error(s);
	if (fl_parse_int(arg[0], 0, 65535, &code))
		return fl_setup_parse_error(s, "error parsing extended DNS error code %.*s, strconv.ParseUint: parsing \"%.*s\": invalid syntax",
					    FL_FMT(arg[0]), FL_FMT(arg[0]));
	t->has_ede = true;
	t->ede = (uint16_t)code;
	t->ede_text = n == 2 ? arg[1] : FL_STR("");
	return 0;
}

static int property(struct fl_setup *s, struct template *t)
{
	static const char *const sections[] = { "answer", "authority", "additional" };
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str name = fl_disp_val(d), *arg;
	if (fl_str_is(name, "rcode")) {
		if (!fl_disp_next_arg(d))
			return fl_setup_arg_error(s);
		struct fl_str v = fl_disp_val(d);
		return fl_rcode_parse(v, &t->rcode) ? 0 : fl_setup_parse_error(s, "unknown rcode %.*s", FL_FMT(v));
	}
	unsigned n = fl_disp_args(d, &arg);
	for (uint8_t i = 0; i < FL_COUNT(sections); i++)
		if (fl_str_is(name, sections[i]))
			return n ? records(s, t, i, arg, n) : fl_setup_arg_error(s);
	if (fl_str_is(name, "match"))
		return n ? matches(s, t, arg, n) : fl_setup_arg_error(s);
	if (fl_str_is(name, "ederror"))
		return extended_error(s, t, arg, n);
	if (fl_str_is(name, "fallthrough"))
		return fl_setup_fall(s, arg, n, &t->fall);
	if (fl_str_is(name, "upstream"))
		return 0;               /* accepted and without effect, as in CoreDNS */
	if (fl_str_is(name, "var") || fl_str_is(name, "expr"))
		return fl_setup_later(s, name.p);
	return fl_setup_arg_error(s);
}

static int one(struct fl_setup *s, struct template *t)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg;
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	if (!fl_class_parse(fl_disp_val(d), &t->class))
		return fl_setup_parse_error(s, "invalid query class %.*s", FL_FMT(fl_disp_val(d)));
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	if (!fl_type_parse(fl_disp_val(d), &t->type))
		return fl_setup_parse_error(s, "invalid RR class %.*s", FL_FMT(fl_disp_val(d)));
	unsigned n = fl_disp_args(d, &arg);
	int ret = fl_setup_zones(s, arg, n, &t->zones);
	while (!ret && fl_disp_next_block(d))
		ret = property(s, t);
	return ret;
}

int fl_template_setup(struct fl_setup *s, void **inst)
{
	struct templates *all = fl_zalloc(fl_setup_arena(s), sizeof *all);
	struct template **last = &all->first;
	int ret = 0;
	while (!ret && fl_disp_next(fl_setup_disp(s))) {
		struct template *t = *last = fl_zalloc(fl_setup_arena(s), sizeof *t);
		last = &t->next;
		ret = one(s, t);
		t->first_grid = all->ngrid;
		all->ngrid += t->zones.n;
	}
	if (ret)
		fl_template_destroy(all);
	*inst = all;
	return ret;
}

void fl_template_destroy(void *inst)
{
	struct templates *all = inst;
	for (struct template *t = all->first; t; t = t->next)
		for (unsigned i = 0; i < t->nregex; i++)
			fl_regex_free(t->regex[i]);
}

static const struct fl_opt opts[] = {
	{ "", "CLASS TYPE [ZONE...]", "questions of this class and type (ANY: all) in these zones, by default those of the block" },
	{ "match", "REGEX...", "only names that one of these Go regular expressions matches; the default is all" },
	{ "answer", "RR...", "records of the answer section" },
	{ "additional", "RR...", "records of the additional section" },
	{ "authority", "RR...", "records of the authority section" },
	{ "rcode", "CODE", "the response code; the default is NOERROR" },
	{ "ederror", "CODE [TEXT]", "an Extended DNS Error (RFC 8914) for clients that sent EDNS" },
	{ "fallthrough", "[ZONE...]", "go on when nothing matches" },
	{ "upstream", "", "accepted, without effect" },
	{ 0 },
};

FL_PLUGIN(template, .opts = opts, .setup = fl_template_setup, .destroy = fl_template_destroy, .chain = fl_template_chain,
	  .shard_start = fl_template_shard_start, .shard_stop = fl_template_shard_stop, .query = fl_template_query);
