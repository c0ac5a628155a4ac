/* Streams: bytes in any portions → one object at a time. What is held is the part of one object that came so far. */
#include "kube/decode.h"
#include "base/mem.h"
#include "kube/json.h"
#include "kube/proto.h"
#include <errno.h>
#include <stdlib.h>

enum state { ST_MAGIC, ST_ENVELOPE, ST_LIST, ST_FRAME, ST_JSON_EVENT, ST_JSON_LIST, ST_DONE };
enum { KEEP = 64 * 1024 };

struct fl_decoder {
	enum fl_kind kind;
	enum state state;
	bool list, proto;
	size_t max;
	struct fl_stream_ops ops;
	void *arg;
	struct fl_arena arena;
	uint8_t *buf;                   /* what is not used up yet */
	size_t n, cap;
	uint64_t left;                  /* bytes of the envelope's raw that are still to come */
	struct fl_json_cutter cut;
	char rv[64], *cont;
	size_t cont_len;
};

struct fl_decoder *fl_decoder_create(enum fl_kind kind, bool list, bool proto, size_t max_object, const struct fl_stream_ops *ops,
				     void *arg)
{
	struct fl_decoder *d = fl_xalloc(sizeof *d);
	*d = (struct fl_decoder){ .kind = kind, .list = list, .proto = proto, .max = max_object, .ops = *ops, .arg = arg };
	d->state = proto ? (list ? ST_MAGIC : ST_FRAME) : (list ? ST_JSON_LIST : ST_JSON_EVENT);
	fl_arena_init(&d->arena, NULL, 0, NULL, 8 * max_object + (1 << 20));
	return d;
}

void fl_decoder_destroy(struct fl_decoder *d)
{
	if (!d)
		return;
	fl_arena_finish(&d->arena);
	fl_json_cut_finish(&d->cut);
	free(d->buf);
	free(d->cont);
	free(d);
}

static void keep_continue(struct fl_decoder *d, struct fl_str s)
{
	free(d->cont);
	d->cont = s.n ? fl_xstrndup(s.p, s.n) : NULL;
	d->cont_len = s.n;
}

static void keep_rv(struct fl_decoder *d, struct fl_str s)
{
	if (s.n < sizeof d->rv) {
		fl_put_bytes(d->rv, s.p, s.n);
		d->rv[s.n] = 0;
	}
}

struct fl_str fl_decoder_rv(const struct fl_decoder *d) { return fl_str(d->rv); }
struct fl_str fl_decoder_continue(const struct fl_decoder *d) { return (struct fl_str){ d->cont, d->cont_len }; }

static int object(struct fl_decoder *d, enum fl_watch_type type, const uint8_t *p, size_t n, bool proto)
{
	struct fl_decoded o;
	struct fl_arena_mark mark = fl_arena_mark(&d->arena);
	int ret =
	    proto ? fl_decode_proto(&o, &d->arena, d->kind, p, n) : fl_decode_json(&o, &d->arena, d->kind, (const char *)p, n);
	if (!ret) {
		o.bookmark = type == FL_EV_BOOKMARK;
		ret = d->ops.object(d->arg, type, &o);
	}
	fl_arena_rewind(&d->arena, mark);
	return ret;
}

static int failed(struct fl_decoder *d, const uint8_t *p, size_t n, bool json)
{
	struct fl_status st;
	int ret = fl_decode_status(&st, p, n, json);
	return ret ? ret : d->ops.error(d->arg, &st);
}

static int type_of(struct fl_str s)
{
	static const char *const names[] = { "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR" };
	for (unsigned i = 0; i < FL_COUNT(names); i++)
		if (fl_str_is(s, names[i]))
			return (int)i;
	return -1;
}

/* ---- protobuf watch: 4 bytes of length, WatchEvent { 1 type, 2 object { 1 raw } } ---- */

static int event(struct fl_decoder *d, const uint8_t *p, size_t n)
{
	struct fl_pb b = fl_pb(p, n), raw = { 0 }, msg;
	struct fl_pb_field f, g;
	int type = -1;
	while (fl_pb_next(&b, &f))
		if (f.number == 1)
			type = type_of(fl_pb_str(&f));
		else if (f.number == 2)
			for (struct fl_pb o = f.bytes; fl_pb_next(&o, &g);)
				if (g.number == 1)
					raw = g.bytes;
	if (b.bad || type < 0 || !raw.p)
		return -EBADMSG;
	if (type == FL_EV_ERROR)
		return failed(d, raw.p, (size_t)(raw.end - raw.p), false);
	int ret = fl_pb_unwrap(raw.p, (size_t)(raw.end - raw.p), &msg, NULL);
	return ret ? ret : object(d, (enum fl_watch_type)type, msg.p, (size_t)(msg.end - msg.p), true);
}

/* Bytes used; 0: more are needed; -errno. */
static ssize_t frame(struct fl_decoder *d, const uint8_t *p, size_t n)
{
	if (n < 4)
		return 0;
	size_t len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	if (len > d->max)
		return -EMSGSIZE;
	if (n - 4 < len)
		return 0;
	int ret = event(d, p + 4, len);
	return ret ? (ret > 0 ? -ECANCELED : ret) : (ssize_t)len + 4;
}

/* ---- protobuf list: magic, Unknown { 1 typeMeta, 2 raw = List { 1 metadata, 2 items* } } ---- */

/* Tag and length of a length-delimited field at p: header bytes, 0: more are needed, -EBADMSG. */
static int field_head(const uint8_t *p, size_t n, uint32_t *number, uint64_t *len)
{
	uint64_t tag;
	int a = fl_pb_varint(p, p + n, &tag);
	if (a <= 0)
		return a ? -EBADMSG : 0;
	int b = fl_pb_varint(p + a, p + n, len);
	if (b <= 0)
		return b ? -EBADMSG : 0;
	*number = (uint32_t)(tag >> 3);
	if ((tag & 7) == 0)             /* a number: no bytes follow */
		*len = 0;
	else if ((tag & 7) != 2)
		return -EBADMSG;
	return a + b;
}

static ssize_t envelope(struct fl_decoder *d, const uint8_t *p, size_t n)
{
	uint32_t number;
	uint64_t len;
	int head = field_head(p, n, &number, &len);
	if (head <= 0)
		return head;
	if (number == 2) {              /* the list itself: walked field by field as it comes */
		d->left = len;
		d->state = len ? ST_LIST : ST_ENVELOPE;
		return head;
	}
	if (len > d->max)
		return -EMSGSIZE;
	return n - (size_t)head < len ? 0 : head + (ssize_t)len;
}

static void list_meta(struct fl_decoder *d, struct fl_pb b)
{
	struct fl_pb_field f;
	while (fl_pb_next(&b, &f))
		if (f.number == 2)
			keep_rv(d, fl_pb_str(&f));
		else if (f.number == 3)
			keep_continue(d, fl_pb_str(&f));
}

static ssize_t list_field(struct fl_decoder *d, const uint8_t *p, size_t n)
{
	uint32_t number;
	uint64_t len;
	int head = field_head(p, n, &number, &len), ret = 0;
	if (head <= 0)
		return head;
	if (len > d->max)
		return -EMSGSIZE;
	if ((uint64_t)head + len > d->left)
		return -EBADMSG;
	if (n - (size_t)head < len)
		return 0;
	if (number == 1)
		list_meta(d, fl_pb(p + head, (size_t)len));
	else if (number == 2)
		ret = object(d, FL_EV_ADDED, p + head, (size_t)len, true);
	d->left -= (uint64_t)head + len;
	if (!d->left)
		d->state = ST_ENVELOPE;
	return ret ? (ret > 0 ? -ECANCELED : ret) : head + (ssize_t)len;
}

/* ---- JSON ---- */

static int json_event(struct fl_decoder *d, const char *p, size_t n)
{
	struct fl_str type, obj;
	if (fl_json_event(p, n, &type, &obj))
		return -EBADMSG;
	int t = type_of(type);
	if (t < 0)
		return -EBADMSG;
	if (t == FL_EV_ERROR)
		return failed(d, (const uint8_t *)obj.p, obj.n, true);
	return object(d, (enum fl_watch_type)t, (const uint8_t *)obj.p, obj.n, false);
}

static int json_piece(void *arg, enum fl_json_piece what, const char *p, size_t n)
{
	struct fl_decoder *d = arg;
	if (what == FL_JSON_EVENT)
		return json_event(d, p, n);
	if (what == FL_JSON_ITEM)
		return object(d, FL_EV_ADDED, (const uint8_t *)p, n, false);
	char cont[4096];
	int ret = fl_json_list_meta(p, n, d->rv, sizeof d->rv, cont, sizeof cont);
	if (!ret)
		keep_continue(d, fl_str(cont));
	return ret;
}

/* ---- feeding ---- */

static void append(struct fl_decoder *d, const uint8_t *p, size_t n)
{
	if (!n)
		return;
	if (d->n + n > d->cap) {
		d->cap = 2 * (d->n + n);
		d->buf = fl_xrealloc(d->buf, d->cap);
	}
	fl_put_bytes(d->buf + d->n, p, n);
	d->n += n;
}

static ssize_t step(struct fl_decoder *d, const uint8_t *p, size_t n)
{
	switch (d->state) {
	case ST_MAGIC:
		if (n < 4)
			return 0;
		d->state = ST_ENVELOPE;
		return memcmp(p, "k8s\0", 4) ? -EBADMSG : 4;
	case ST_ENVELOPE:
		return envelope(d, p, n);
	case ST_LIST:
		return list_field(d, p, n);
	case ST_FRAME:
		return frame(d, p, n);
	default:
		return -EBADMSG;
	}
}

/* All whole units of p; *used says how far. */
static int steps(struct fl_decoder *d, const uint8_t *p, size_t n, size_t *used)
{
	*used = 0;
	while (*used < n) {
		ssize_t k = step(d, p + *used, n - *used);
		if (k <= 0)
			return (int)k;
		*used += (size_t)k;
	}
	return 0;
}

int fl_decoder_feed(struct fl_decoder *d, const uint8_t *p, size_t n)
{
	size_t used;
	if (!d->proto)
		return fl_json_cut(&d->cut, d->list, (const char *)p, n, d->max, json_piece, d);
	if (!d->n) {                    /* nothing waits: straight from the caller's bytes */
		int ret = steps(d, p, n, &used);
		if (ret)
			return ret;
		append(d, p + used, n - used);
		return 0;
	}
	append(d, p, n);
	int ret = steps(d, d->buf, d->n, &used);
	if (ret)
		return ret;
	memmove(d->buf, d->buf + used, d->n - used);
	d->n -= used;
	if (d->n < KEEP / 4 && d->cap > KEEP) {         /* a big object is through: give its room back */
		d->buf = fl_xrealloc(d->buf, KEEP);
		d->cap = KEEP;
	}
	return 0;
}

int fl_decoder_end(struct fl_decoder *d)
{
	if (!d->proto)
		return fl_json_cut_end(&d->cut, d->list);
	if (d->n || d->state == ST_LIST || (d->list && d->state == ST_MAGIC))
		return -EBADMSG;
	return 0;
}
