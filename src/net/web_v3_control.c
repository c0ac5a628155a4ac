#include "net/web_v3_control.h"

enum { KIND, TYPE, LENGTH, BODY, ALL };
enum { GOAWAY = 7, LAST_OF_HTTP2 = 9, PRIORITY_UPDATE_PUSH = 0xf0701 };

/* SETTINGS, and what may not be there, which ends the connection. Whatever comes first, too: it must be SETTINGS. */
static bool passes(const struct fl_web_control *f, uint64_t type)
{
	return !f->begun || (type <= LAST_OF_HTTP2 && type != GOAWAY) || type == PRIORITY_UPDATE_PUSH;
}

static uint64_t varint(const uint8_t *p, size_t n)
{
	uint64_t v = p[0] & 0x3f;
	for (size_t i = 1; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static struct fl_str taken(struct fl_web_control *f)
{
	struct fl_str all = { (const char *)f->head, f->nhead };
	f->nhead = f->at = 0;
	return all;
}

size_t fl_web_control_feed(struct fl_web_control *f, const uint8_t *p, size_t n, struct fl_str *pass)
{
	*pass = (struct fl_str){ 0 };
	if (f->state == ALL) {
		*pass = (struct fl_str){ (const char *)p, n };
		return n;
	}
	if (f->state == BODY) {
		size_t k = f->left < n ? (size_t)f->left : n;
		if (!f->dropped)
			*pass = (struct fl_str){ (const char *)p, k };
		f->left -= k;
		f->state = f->left ? BODY : TYPE;
		return k;
	}
	f->head[f->nhead++] = *p;
	size_t have = (size_t)(f->nhead - f->at);
	if (have < (size_t)1 << (f->head[f->at] >> 6))
		return 1;
	uint64_t v = varint(f->head + f->at, have);
	if (f->state == KIND) {
		f->state = v ? ALL : TYPE;
		*pass = taken(f);
	} else if (f->state == TYPE) {
		f->dropped = !passes(f, v);
		f->begun = true;
		f->at = f->nhead;
		f->state = LENGTH;
	} else {
		f->left = v;
		f->state = v ? BODY : TYPE;
		struct fl_str head = taken(f);
		*pass = f->dropped ? *pass : head;
	}
	return 1;
}
