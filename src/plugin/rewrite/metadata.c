/* name regex FROM TO metadata: TO holds labels of metadata beside groups (CoreDNS plugin/rewrite/name_metadata.go). What is put in is
 * never looked through again. */
#include "plugin/rewrite/rewrite.h"
#include <errno.h>

enum { NAME_MOST = 4 * FL_NAME_TEXT_MAX };      /* no name is so long */

static int failed(struct fl_setup *s, const char *what) { return fl_setup_error(s, "%s", what); }

static bool is_label(struct fl_str s)
{
	const char *slash = s.n ? memchr(s.p, '/', s.n) : NULL;
	return slash && slash > s.p && slash < s.p + s.n - 1 && !memchr(s.p, '{', s.n);
}

static int placeholder(struct fl_setup *s, struct fl_str word, unsigned groups, struct meta_part *p)
{
	int64_t group;
	if (!fl_parse_int(word, INT64_MIN, INT64_MAX, &group)) {
		if (group < 0 || group > groups)
			return fl_setup_error(s, "capture group %.*s does not exist in name matching pattern", FL_FMT(word));
		p->group = (int)group;
		return 0;
	}
	if (!is_label(word))
		return fl_setup_error(s, "invalid metadata label \"%.*s\" in name replacement", FL_FMT(word));
	p->text = word;
	p->label = true;
	return 0;
}

static struct meta_part *add(struct fl_setup *s, struct meta_part ***last)
{
	struct meta_part *p = **last = fl_zalloc(fl_setup_arena(s), sizeof *p);
	if (p) {
		p->group = -1;
		*last = &p->next;
	}
	return p;
}

int fl_rewrite_meta_setup(struct fl_setup *s, struct rule *r, struct fl_str to)
{
	struct meta_part **last = &r->parts, *p;
	struct fl_str rest = fl_str_ends(to, FL_STR(".")) ? to : fl_arena_printf(fl_setup_arena(s), "%.*s.", FL_FMT(to));
	while (rest.n) {
		const char *open = memchr(rest.p, '{', rest.n);
		struct fl_str before = { rest.p, open ? (size_t)(open - rest.p) : rest.n };
		if (before.n && memchr(before.p, '}', before.n))
			return failed(s, "unmatched closing brace in metadata name replacement");
		if (before.n && !(p = add(s, &last)))
			return failed(s, "out of memory");
		if (before.n)
			p->text = fl_rewrite_lower(s, before);
		if (!open)
			break;
		rest = (struct fl_str){ open + 1, rest.n - before.n - 1 };
		const char *close = rest.n ? memchr(rest.p, '}', rest.n) : NULL;
		if (!close)
			return failed(s, "unclosed placeholder in metadata name replacement");
		struct fl_str word = { rest.p, (size_t)(close - rest.p) };
		if (!(p = add(s, &last)))
			return failed(s, "out of memory");
		int ret = placeholder(s, word, fl_regex_groups(r->regex), p);
		if (ret)
			return ret;
		rest = (struct fl_str){ close + 1, rest.n - word.n - 1 };
	}
	return 0;
}

int fl_rewrite_meta(struct fl_query *q, const struct rule *r, struct fl_str name, struct fl_str *to)
{
	struct fl_regex_match m;
	char *out = fl_alloc(q->arena, NAME_MOST);
	size_t n = 0;
	int ret = fl_regex_match(r->regex, fl_local(q), name, &m);
	if (ret <= 0)
		return ret;
	if (!out)
		return -ENOMEM;
	for (const struct meta_part *p = r->parts; p; p = p->next) {
		struct fl_str v = p->group >= 0 ? m.group[p->group] : p->text;
		if (p->label && (fl_meta(q, p->text, &v) || !v.n))
			return 0;               /* nothing is known: not this rule's */
		if (v.n > NAME_MOST - n)
			return -EINVAL;
		for (size_t i = 0; i < v.n; i++)
			out[n++] = p->label ? (char)fl_lower((uint8_t)v.p[i]) : v.p[i];
	}
	*to = (struct fl_str){ out, n };
	return 1;
}
