#include "kube/json.h"
#include <errno.h>
#include <stdlib.h>

enum { DEPTH_MAX = 64 };

static int add(struct fl_json_cutter *c, const char *p, size_t n, size_t max)
{
	if (c->n + n > max)
		return -EMSGSIZE;
	if (c->n + n > c->cap) {
		c->cap = 2 * (c->n + n) + 256;
		c->buf = fl_xrealloc(c->buf, c->cap);
	}
	if (n)
		memcpy(c->buf + c->n, p, n);
	c->n += n;
	return 0;
}

static void in_string(struct fl_json_cutter *c, char ch)
{
	if (c->escaped) {
		c->escaped = false;
	} else if (ch == '\\') {
		c->escaped = true;
	} else if (ch == '"') {
		c->string = c->in_key = false;
		return;
	}
	if (c->in_key && c->nkey < sizeof c->key - 1)
		c->key[c->nkey++] = ch;
}

/* Does an object or array that opens here begin a piece? */
static bool opens_piece(struct fl_json_cutter *c, bool list, char ch)
{
	bool key_items = c->nkey == 5 && !memcmp(c->key, "items", 5), key_meta = c->nkey == 8 && !memcmp(c->key, "metadata", 8);
	if (!list) {
		c->what = FL_JSON_EVENT;
		return c->depth == 0 && ch == '{';
	}
	if (c->depth == 1 && key_items && ch == '[')
		c->in_items = true;
	if (c->depth == 1 && key_meta && ch == '{') {
		c->what = FL_JSON_META;
		return true;
	}
	c->what = FL_JSON_ITEM;
	return c->in_items && c->depth == 2 && ch == '{';
}

static bool blank(char ch) { return ch == ' ' || ch == '\n' || ch == '\r' || ch == '\t'; }

/* One character outside strings. 1: a piece ends with it; 2: one begins with it; 0; -EBADMSG. */
static int structural(struct fl_json_cutter *c, bool list, char ch)
{
	int ret = 0;
	switch (ch) {
	case '"':
		c->string = true;
		c->in_key = list && !c->capturing && c->depth == 1 && c->want_key;
		if (c->in_key)
			c->nkey = 0;
		return c->depth ? 0 : -EBADMSG;
	case '{':
	case '[':
		if (c->depth == 0 && (ch == '[' || c->done))
			return -EBADMSG;
		if (!c->capturing && opens_piece(c, list, ch)) {
			c->capturing = true;
			c->base = c->depth;
			ret = 2;
		}
		c->want_key = c->depth == 0;
		return ++c->depth > DEPTH_MAX ? -EBADMSG : ret;
	case '}':
	case ']':
		if (--c->depth < 0)
			return -EBADMSG;
		if (c->in_items && c->depth == 1)
			c->in_items = false;
		if (list && !c->depth)
			c->done = true;
		return c->capturing && c->depth == c->base;
	case ':':
	case ',':
		if (c->depth == 1)
			c->want_key = ch == ',';
		return c->depth ? 0 : -EBADMSG;
	default:
		return c->depth || blank(ch) ? 0 : -EBADMSG;
	}
}

int fl_json_cut(struct fl_json_cutter *c, bool list, const char *p, size_t n, size_t max,
		int (*fn)(void *arg, enum fl_json_piece what, const char *p, size_t n), void *arg)
{
	size_t from = 0;                /* where the piece goes on in these bytes */
	for (size_t i = 0; i < n; i++) {
		if (c->string) {
			in_string(c, p[i]);
			continue;
		}
		int ret = structural(c, list, p[i]);
		if (ret < 0)
			return ret;
		if (ret == 2)
			from = i;
		if (ret != 1)
			continue;
		bool whole = !c->n;             /* all of it lies in these bytes */
		if (!whole && (ret = add(c, p + from, i + 1 - from, max)))
			return ret;
		if (whole && i + 1 - from > max)
			return -EMSGSIZE;
		ret = fn(arg, c->what, whole ? p + from : c->buf, whole ? i + 1 - from : c->n);
		c->n = 0;
		c->capturing = false;
		from = i + 1;
		if (ret)
			return ret;
	}
	return c->capturing ? add(c, p + from, n - from, max) : 0;
}

int fl_json_cut_end(struct fl_json_cutter *c, bool list)
{
	return c->depth || c->string || (list && !c->done) ? -EBADMSG : 0;
}

void fl_json_cut_finish(struct fl_json_cutter *c)
{
	free(c->buf);
	c->buf = NULL;
}
