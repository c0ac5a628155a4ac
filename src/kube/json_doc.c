/* JSON texts of a folder → trees. A list's elements are cut out and parsed one by one; what remains around them is parsed too, so
 * that nothing is taken from a text that is no JSON. */
#include "kube/json.h"
#include "kube/yaml.h"
#include <errno.h>
#include <stdlib.h>

struct doc { struct fl_str text; fl_tree_fn *fn; void *arg; struct fl_err *e; const char *counted; int line; };

static const char *blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

/* The line of p, which does not go back. */
static int line_of(struct doc *d, const char *p)
{
	for (; d->counted < p; d->counted++)
		d->line += *d->counted == '\n';
	return d->line;
}

static int fail(struct doc *d, const char *at, const char *why)
{
	int line = 1;
	for (const char *p = d->text.p; p < at; p++)
		line += *p == '\n';
	return fl_err_set(d->e, "json: line %d: %s", line, why);
}

/* One past the object or array that begins at p; NULL: it does not end. */
static const char *end_of(const char *p, const char *end)
{
	bool string = false;
	int depth = 0;
	for (; p < end; p++) {
		if (string && *p == '\\')
			p++;
		else if (*p == '"')
			string = !string;
		else if (!string && (*p == '{' || *p == '['))
			depth++;
		else if (!string && (*p == '}' || *p == ']') && --depth == 0)
			return p + 1;
	}
	return NULL;
}

static int give(struct doc *d, const char *p, size_t n, int line, bool item)
{
	const char *stop = NULL;
	cJSON *tree = memchr(p, 0, n) ? NULL : cJSON_ParseWithLengthOpts(p, n, &stop, false);
	int ret = 0;
	if (!tree || blanks(stop, p + n) != p + n)
		ret = fail(d, stop ? stop : p, "cannot be read");
	else
		ret = d->fn(d->arg, tree, line, item);
	cJSON_Delete(tree);
	return ret;
}

static int items(struct doc *d, struct fl_str list)
{
	const char *end = list.p + list.n - 1, *p = blanks(list.p + 1, end);
	while (p < end) {
		const char *after = *p == '{' ? end_of(p, end) : NULL;
		if (!after)
			return fail(d, p, "an element of items that is no object");
		int ret = give(d, p, (size_t)(after - p), line_of(d, p), true);
		if (ret)
			return ret;
		p = blanks(after, end);
		if (p < end && *p != ',')
			return fail(d, p, "no comma between two elements");
		if (p < end && (p = blanks(p + 1, end)) == end)
			return fail(d, p, "a comma after the last element");
	}
	return 0;
}

static int object(struct doc *d, struct fl_str o)
{
	struct fl_str list;
	int line = line_of(d, o.p);
	if (!fl_json_top(o.p, o.n, "items", &list) || !list.n || *list.p != '[')
		return give(d, o.p, o.n, line, false);
	size_t head = (size_t)(list.p - o.p) + 1, tail = o.n - head - (list.n - 2);
	char *rest = fl_xalloc(head + tail);            /* the same with an empty list */
	memcpy(rest, o.p, head);
	memcpy(rest + head, list.p + list.n - 1, tail);
	cJSON *around = memchr(rest, 0, head + tail) ? NULL : cJSON_ParseWithLength(rest, head + tail);
	int ret = around ? items(d, list) : fail(d, o.p, "cannot be read");
	if (!ret)
		ret = d->fn(d->arg, around, line, false);
	cJSON_Delete(around);
	free(rest);
	return ret;
}

int fl_json_read(struct fl_str text, fl_tree_fn *fn, void *arg, struct fl_err *e)
{
	struct doc d = { text, fn, arg, e, text.p, 1 };
	const char *end = text.p + text.n, *p = blanks(text.p, end);
	int ret = 0;
	while (!ret && p < end) {
		const char *after = *p == '{' ? end_of(p, end) : NULL;
		ret = after ? object(&d, (struct fl_str){ p, (size_t)(after - p) })
			    : fail(&d, p, "no object, or one that does not end");
		p = after ? blanks(after, end) : end;
	}
	return ret;
}
