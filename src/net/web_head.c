/* Headers of HTTP/2 and 3: what of a request's is kept, what an answer's are. */
#include "net/web_int.h"
#include "base/err.h"
#include <stdio.h>
#include <time.h>

/* What does not fit is none of ours. */
static void keep(struct fl_str *to, char *room, size_t cap, struct fl_str v)
{
	if (v.n <= cap)
		*to = (struct fl_str){ memcpy(room, v.p, v.n), v.n };
}

bool fl_web_head_count(struct fl_web_head *h, size_t name, size_t value)
{
	h->size += (unsigned)(name + value + 32);       /* RFC 9113 §6.5.2, RFC 9114 §4.2.2 */
	if (h->size > FL_WEB_HEAD || ++h->nfields > FL_WEB_FIELDS)
		h->refused = true;
	return !h->refused;
}

bool fl_web_head_put(struct fl_web_head *h, struct fl_web_req *r, struct fl_str name, struct fl_str value)
{
	if (!fl_web_head_count(h, name.n, value.n))
		return false;
	if (fl_str_is(name, ":method"))
		keep(&r->method, h->method, sizeof h->method, value);
	else if (fl_str_is(name, ":path") && !r->target.n && value.n > sizeof h->text)
		return true;
	else if (fl_str_is(name, ":path") && !r->target.n && value.n)
		keep(&r->target, h->text, sizeof h->text, value);
	else if (fl_str_is(name, "content-type"))
		keep(&r->type, h->type, sizeof h->type, value);
	else if (fl_str_is(name, "te"))
		keep(&r->te, h->te, sizeof h->te, value);
	else if (fl_str_is(name, "grpc-encoding"))
		keep(&r->encoding, h->encoding, sizeof h->encoding, value);
	return false;
}

size_t fl_web_date(struct fl_loop *l, char to[32])
{
	static _Thread_local struct { uint64_t until_ns; char text[32]; size_t n; } now;
	if (!now.n || fl_loop_now(l) >= now.until_ns || fl_loop_now(l) + FL_SEC < now.until_ns) {
		time_t t = (time_t)fl_clock_wall_s();
		struct tm tm;
		now.n = strftime(now.text, sizeof now.text, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &tm));
		now.until_ns = fl_loop_now(l) + FL_SEC / 4;
	}
	memcpy(to, now.text, now.n + 1);
	return now.n;
}

unsigned fl_web_answer_head(struct fl_web_field to[FL_WEB_ANSWER], struct fl_web_text *text, struct fl_loop *l, int status,
			    const struct fl_web_field *f, unsigned nf, size_t length)
{
	unsigned k = 0;
	to[k++] = (struct fl_web_field){ FL_STR(":status"), { text->code, (size_t)snprintf(text->code, sizeof text->code, "%d", status) } };
	for (unsigned i = 0; i < nf && k < FL_WEB_ANSWER - 2; i++)
		to[k++] = f[i];
	if (length != SIZE_MAX)
		to[k++] = (struct fl_web_field){ FL_STR("content-length"),
						 { text->length, (size_t)snprintf(text->length, sizeof text->length, "%zu", length) } };
	to[k++] = (struct fl_web_field){ FL_STR("date"), { text->date, fl_web_date(l, text->date) } };
	return k;
}
