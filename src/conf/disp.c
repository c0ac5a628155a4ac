#include "conf/conf_int.h"
#include <stdarg.h>
#include <stdio.h>

void fl_disp_init(struct fl_disp *d, const struct fl_conf *c, const struct fl_directive *dir, struct fl_err *e)
{
	*d = (struct fl_disp){ .conf = c, .tok = dir->tok, .n = (int)dir->ntok, .at = -1, .err = e };
}

/* ---- moving ---- */

bool fl_disp_next(struct fl_disp *d)
{
	if (d->at >= d->n - 1)
		return false;
	d->at++;
	return true;
}

/* The line on which a token ends. CoreDNS counts in the text that it keeps, a directive's name as it was written. */
static int last_line(const struct fl_token *t)
{
	struct fl_str s = t->is_name ? t->raw : t->text;
	int n = t->line;
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	return n;
}

bool fl_disp_next_arg(struct fl_disp *d)
{
	if (d->at < 0)
		return fl_disp_next(d);
	if (d->at >= d->n - 1)
		return false;
	const struct fl_token *t = &d->tok[d->at];
	if (!fl_str_eq(t->file, t[1].file) || last_line(t) != t[1].line)
		return false;
	d->at++;
	return true;
}

bool fl_disp_next_line(struct fl_disp *d)
{
	if (d->at < 0)
		return fl_disp_next(d);
	if (d->at >= d->n - 1)
		return false;
	const struct fl_token *t = &d->tok[d->at];
	if (fl_str_eq(t->file, t[1].file) && last_line(t) >= t[1].line)
		return false;
	d->at++;
	return true;
}

static bool is(const struct fl_disp *d, const char *what) { return fl_str_is(fl_disp_val(d), what); }

bool fl_disp_next_block(struct fl_disp *d)
{
	if (d->nesting > 0) {
		if (!fl_disp_next(d))
			return false;
		if (is(d, "}")) {
			d->nesting--;
			return false;
		}
		if (!is(d, "{"))
			return true;
		d->at--;        /* a block in the block: it opens below */
	}
	if (!fl_disp_next_arg(d))
		return false;
	if (!is(d, "{")) {
		d->at--;
		return false;
	}
	if (!fl_disp_next(d) || is(d, "}"))
		return false;
	d->nesting++;
	return true;
}

/* ---- looking ---- */

struct fl_str fl_disp_val(const struct fl_disp *d)
{
	return d->at < 0 || d->at >= d->n ? FL_STR("") : d->tok[d->at].text;
}

const char *fl_disp_file(const struct fl_disp *d)
{
	bool main_file = d->at < 0 || d->at >= d->n || !d->tok[d->at].file.n;
	return main_file ? d->conf->file : d->tok[d->at].file.p;
}

int fl_disp_line(const struct fl_disp *d)
{
	return d->at < 0 || d->at >= d->n ? 0 : d->tok[d->at].line;
}

unsigned fl_disp_args(struct fl_disp *d, struct fl_str **out)
{
	int first = d->at + 1;
	while (fl_disp_next_arg(d))
		if (is(d, "{")) {
			d->at--;
			break;
		}
	unsigned n = (unsigned)(d->at + 1 - first);
	/* The conf is its reader's to grow: const here says that the tokens stay. */
	*out = fl_alloc((struct fl_arena *)&d->conf->arena, n * sizeof **out);
	fl_assert(*out);
	for (unsigned i = 0; i < n; i++)
		(*out)[i] = d->tok[first + (int)i].text;
	return n;
}

/* ---- errors ---- */

int fl_disp_err(struct fl_disp *d, const char *fmt, ...)
{
	struct fl_err words;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(words.msg, sizeof words.msg, fmt, ap);
	va_end(ap);
	return fl_err_set(d->err, "%s:%d - Error during parsing: %s", fl_disp_file(d), fl_disp_line(d), words.msg);
}

int fl_disp_arg_err(struct fl_disp *d)
{
	struct fl_str v = fl_disp_val(d);
	if (fl_str_is(v, "{"))
		return fl_disp_err(d, "Unexpected token '{', expecting argument");
	return fl_disp_err(d, "Wrong argument count or unexpected line ending after '%.*s'", FL_FMT(v));
}

int fl_disp_syntax_err(struct fl_disp *d, const char *expected)
{
	struct fl_str v = fl_disp_val(d);
	return fl_err_set(d->err, "%s:%d - Syntax error: Unexpected token '%.*s', expecting '%s'", fl_disp_file(d), fl_disp_line(d),
			  FL_FMT(v), expected);
}
