#define PCRE2_CODE_UNIT_WIDTH 8
#include "lang/regex.h"
#include "base/mem.h"
#include <errno.h>
#include <pcre2.h>
#include <stdlib.h>

/* PCRE2 keeps its backtracking frames on a heap that it grows by doubling: all that a scratch may ever take lies in one slab. Its pages
 * are touched only when an expression needs them. */
enum { HEAP_KIB = 256, SLAB = 768 * 1024 };

struct fl_regex {
	pcre2_code *code;
	unsigned groups;
	char *text;
	const char *name[FL_REGEX_GROUPS + 1];  /* in the code's own table */
};

struct fl_regex_scratch {
	pcre2_general_context *general;
	pcre2_match_context *match;
	pcre2_match_data *data;
	unsigned groups;
	size_t used;
	_Alignas(16) char slab[SLAB];
};

/* ---- memory of a scratch ---- */

static void *slab_get(PCRE2_SIZE n, void *arg)
{
	struct fl_regex_scratch *s = arg;
	n = (n + 15) & ~(size_t)15;
	if (n > SLAB - s->used)
		return NULL;
	void *p = s->slab + s->used;
	s->used += n;
	return p;
}

/* Frames that were outgrown stay where they are: the doubled ones are no more than that again. */
static void slab_put(void *p, void *arg)
{
	(void)p;
	(void)arg;
}

struct fl_regex_scratch *fl_regex_scratch_create(unsigned groups)
{
	struct fl_regex_scratch *s = malloc(sizeof *s);
	if (!s)
		return NULL;
	s->groups = groups;
	s->used = 0;
	s->general = pcre2_general_context_create(slab_get, slab_put, s);
	s->match = s->general ? pcre2_match_context_create(s->general) : NULL;
	s->data = s->general ? pcre2_match_data_create(groups + 1, s->general) : NULL;
	if (!s->match || !s->data) {
		free(s);
		return NULL;
	}
	pcre2_set_match_limit(s->match, FL_REGEX_STEPS);
	pcre2_set_heap_limit(s->match, HEAP_KIB);
	return s;
}

void fl_regex_scratch_free(struct fl_regex_scratch *s) { free(s); }

/* ---- compiling ---- */

static void names(struct fl_regex *r)
{
	uint32_t n = 0, size = 0;
	PCRE2_SPTR table = NULL;
	pcre2_pattern_info(r->code, PCRE2_INFO_NAMECOUNT, &n);
	pcre2_pattern_info(r->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
	pcre2_pattern_info(r->code, PCRE2_INFO_NAMETABLE, &table);
	for (uint32_t i = 0; i < n; i++, table += size) {
		unsigned group = (unsigned)table[0] << 8 | table[1];
		const char *name = (const char *)table + 2;
		r->name[group] = name[0] == '_' && name[1] >= '0' && name[1] <= '9' ? name + 1 : name;
	}
}

struct fl_regex *fl_regex_compile(struct fl_str pattern, struct fl_err *e)
{
	size_t n;
	char *text = fl_regex_translate(pattern, &n, e);
	if (!text)
		return NULL;
	int code;
	PCRE2_SIZE at;
	uint32_t groups = 0;
	pcre2_compile_context *cc = pcre2_compile_context_create(NULL);
	if (cc)
		pcre2_set_newline(cc, PCRE2_NEWLINE_LF);
	pcre2_code *re = pcre2_compile((PCRE2_SPTR)text, n, PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY |
				       PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UCP, &code, &at, cc);
	pcre2_compile_context_free(cc);
	free(text);
	if (!re) {
		char words[128];
		pcre2_get_error_message(code, (PCRE2_UCHAR *)words, sizeof words);
		fl_err_set(e, "error parsing regexp: %s: `%.*s`", words, FL_FMT(pattern));
		return NULL;
	}
	pcre2_pattern_info(re, PCRE2_INFO_CAPTURECOUNT, &groups);
	if (groups > FL_REGEX_GROUPS) {
		pcre2_code_free(re);
		fl_err_set(e, "error parsing regexp: more than %d groups: `%.*s`", FL_REGEX_GROUPS, FL_FMT(pattern));
		return NULL;
	}
	struct fl_regex *r = fl_xalloc(sizeof *r);
	r->code = re;
	r->groups = groups;
	r->text = fl_xstrndup(pattern.p, pattern.n);
	names(r);
	return r;
}

void fl_regex_free(struct fl_regex *r)
{
	if (!r)
		return;
	pcre2_code_free(r->code);
	free(r->text);
	free(r);
}

unsigned fl_regex_groups(const struct fl_regex *r) { return r->groups; }
const char *fl_regex_text(const struct fl_regex *r) { return r->text; }
const char *fl_regex_group_name(const struct fl_regex *r, unsigned group) { return group <= r->groups ? r->name[group] : NULL; }

int fl_regex_group(const struct fl_regex *r, struct fl_str name)
{
	for (unsigned i = 1; i <= r->groups; i++)
		if (r->name[i] && fl_str_is(name, r->name[i]))
			return (int)i;
	return -1;
}

/* ---- matching ---- */

int fl_regex_match(const struct fl_regex *r, struct fl_regex_scratch *s, struct fl_str subject, struct fl_regex_match *m)
{
	fl_assert(r->groups <= s->groups);
	int ret = pcre2_match(r->code, (PCRE2_SPTR)(subject.n ? subject.p : ""), subject.n, 0, 0, s->data, s->match);
	if (ret == PCRE2_ERROR_NOMATCH)
		return 0;
	if (ret < 0)
		return -E2BIG;
	if (!m)
		return 1;
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->data);
	m->n = r->groups + 1;
	for (unsigned i = 0; i < m->n; i++, at += 2) {
		bool there = i < (unsigned)ret && at[0] != PCRE2_UNSET;
		m->group[i] = there ? (struct fl_str){ subject.p + at[0], at[1] - at[0] } : (struct fl_str){ NULL, 0 };
	}
	return 1;
}
