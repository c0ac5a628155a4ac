/* autopath.c: search lists out of resolv.conf(5) (miekg/dns clientconfig.go). */
#include "dns/autopath.h"
#include "conf/conf.h"
#include <errno.h>

static bool blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static struct fl_str word(struct fl_str *line)
{
	struct fl_str w = { line->p, 0 };
	while (line->n && blank(*line->p))
		line->p++, line->n--;
	for (w.p = line->p; w.n < line->n && !blank(w.p[w.n]);)
		w.n++;
	line->p += w.n;
	line->n -= w.n;
	return w;
}

static int names(struct fl_arena *a, struct fl_str line, unsigned max, struct fl_search *to)
{
	to->n = 0;
	for (struct fl_str w; (w = word(&line)).n;) {
		struct fl_name n = fl_name_parse_in(a, w);
		if (!n.len)
			continue;
		if (to->n == max)
			return -E2BIG;
		to->name[to->n++] = fl_name_lower((uint8_t *)n.wire, n);
	}
	return 0;
}

int fl_search_read(struct fl_arena *a, const char *path, unsigned max, struct fl_search *to)
{
	struct fl_str text, line;
	*to = (struct fl_search){ fl_zalloc(a, max * sizeof *to->name), 0 };
	int ret = to->name ? fl_conf_read(a, path, &text) : -ENOMEM;
	if (ret)
		return ret;
	while (text.n) {
		text = fl_str_cut(text, '\n', &line);
		struct fl_str key = word(&line);
		if (fl_str_is(key, "domain"))
			line = word(&line);
		else if (!fl_str_is(key, "search"))
			continue;
		ret = names(a, line, max, to);
	}
	return ret;
}
