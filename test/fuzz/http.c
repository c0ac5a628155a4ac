/* The reader of admin requests: any bytes. What it says must not depend on how they were cut, and all it lends lies inside. */
#include <stdlib.h>
#include "base/mem.h"
#include "ctl/http_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct fl_str s, const char *p, size_t n) { fl_assert(!s.n || (s.p >= p && s.p + s.n <= p + n)); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = size < FL_HTTP_HEAD ? size : FL_HTTP_HEAD;
	for (size_t at = 0; at < n;) {
		struct fl_http_head_in h, part;
		const char *why;
		size_t left = n - at;
		char *p = fl_xstrndup((const char *)data + at, left);
		int ret = fl_http_read(p, left, &h, &why);
		if (ret <= 0) {
			fl_assert(ret == 0 || fl_http_reason(-ret)[0] != 'U');
			free(p);
			break;
		}
		fl_assert((size_t)ret <= left);
		inside(h.rq.method, p, left);
		inside(h.rq.path, p, left);
		inside(h.rq.query, p, left);
		inside(h.rq.head, p, (size_t)ret);
		fl_assert(fl_http_header(&h.rq, "host").p || h.http10);
		struct fl_http_param param;
		for (struct fl_str rest = h.rq.query; fl_http_param(&rest, &param);)
			fl_assert(param.name.n + param.value.n <= sizeof param.bytes);
		char location[256];
		if (fl_http_redirect(location, sizeof location, &h.rq))
			for (const char *c = location; *c; c++)
				fl_assert(*c > ' ' && *c != 0x7f && (location[0] == '/' && location[1] != '/'));
		/* Less than the head is nothing yet; more than it changes nothing. */
		char *again = fl_xstrndup((const char *)data + at, (size_t)ret);
		fl_assert(fl_http_read(again, (size_t)ret - 1, &part, &why) == 0);
		fl_assert(fl_http_read(again, (size_t)ret, &part, &why) == ret && part.body == h.body && part.keep == h.keep);
		free(again);
		free(p);
		at += (size_t)ret;
		at += h.body < n - at ? (size_t)h.body : n - at;
	}
	return 0;
}
