#include "conf/conf_int.h"
#include <errno.h>
#include <stdlib.h>

/* Go's os.Getenv: no name holds '=' or NUL there, and an unset one is "". */
static struct fl_str value_of(struct fl_str name)
{
	char z[256], *heap = NULL;
	if (!name.n || memchr(name.p, '=', name.n) || memchr(name.p, 0, name.n))
		return FL_STR("");
	char *n = name.n < sizeof z ? z : (heap = fl_xalloc(name.n + 1));
	memcpy(n, name.p, name.n);
	n[name.n] = 0;
	const char *v = getenv(n);
	free(heap);
	return v ? fl_str(v) : FL_STR("");
}

/* Not memmem(): asked once for each reference, it must not look beyond the next one (ASan checks all that it is given). */
static const char *find(const char *p, const char *end, struct fl_str what)
{
	while (p < end && (p = memchr(p, what.p[0], (size_t)(end - p)))) {
		if ((size_t)(end - p) < what.n)
			return NULL;
		if (!memcmp(p, what.p, what.n))
			return p;
		p++;
	}
	return NULL;
}

/* buf: every ref in s as value; -E2BIG when the work of this parse gets too much. */
static int replace_all(struct fl_parser *p, struct fl_str s, struct fl_str ref, struct fl_str value, struct fl_conf_buf *out)
{
	const char *end = s.p + s.n;
	size_t uses = 0;
	for (const char *at = s.p; (at = find(at, end, ref)); at += ref.n)
		uses++;
	p->env_work += 256 + 2 * s.n;           /* 256: a reference that gives itself must end too */
	if (p->env_work > FL_CONF_ENV_WORK_MAX || uses * value.n > FL_CONF_ENV_WORK_MAX - p->env_work)
		return -E2BIG;
	p->env_work += uses * value.n;
	out->n = 0;
	const char *from = s.p;
	for (const char *at; (at = find(from, end, ref)); from = at + ref.n) {
		fl_conf_buf_add(out, from, (size_t)(at - from));
		fl_conf_buf_add(out, value.p, value.n);
	}
	fl_conf_buf_add(out, from, (size_t)(end - from));
	return 0;
}

/* One syntax. A value is scanned again with what surrounds it; an empty reference ends it all. *s may come to lie in p->env. */
static int replace(struct fl_parser *p, struct fl_str *s, struct fl_str open, struct fl_str close)
{
	for (;;) {
		const char *end = s->p + s->n, *at = find(s->p, end, open);
		const char *stop = at ? find(at, end, close) : NULL;
		if (!stop || stop <= at + open.n)
			return 0;
		struct fl_str ref = { at, (size_t)(stop - at) + close.n };
		struct fl_str name = { at + open.n, ref.n - open.n - close.n };
		struct fl_conf_buf out = { 0 };
		int ret = replace_all(p, *s, ref, value_of(name), &out);
		if (ret)
			return ret;
		fl_conf_buf_finish(&p->env);
		p->env = out;
		*s = (struct fl_str){ out.p ? out.p : "", out.n };
	}
}

int fl_parser_env(struct fl_parser *p, struct fl_str s, struct fl_str *out)
{
	*out = s;
	const char *end = s.p + s.n;
	if (!find(s.p, end, FL_STR("{%")) && !find(s.p, end, FL_STR("{$")))
		return 0;
	struct fl_str r = s;
	if (replace(p, &r, FL_STR("{%"), FL_STR("%}")) || replace(p, &r, FL_STR("{$"), FL_STR("}")))
		return fl_parser_err(p, "environment references expand too far: %.*s", (int)(s.n < 200 ? s.n : 200), s.p);
	if (r.p == s.p)
		return 0;
	*out = fl_arena_str(&p->c->arena, r);
	return out->p ? 0 : fl_parser_too_large(p);
}
