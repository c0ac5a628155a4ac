/* Targets of admin requests: any bytes. All that is lent lies inside, and where a redirect leads can be said in a header. (The heads around
 * them are the web harness's.) */
#include <stdlib.h>
#include "base/mem.h"
#include "ctl/http_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct fl_str s, const char *p, size_t n) { fl_assert(!s.n || (s.p >= p && s.p + s.n <= p + n)); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fl_http_request rq = { 0 };
	struct fl_http_param param;
	char location[256], *p = fl_xstrndup((const char *)data, size);
	if (!fl_http_target(p, size, &rq)) {
		inside(rq.path, p, size);
		inside(rq.query, p, size);
		for (struct fl_str rest = rq.query; fl_http_param(&rest, &param);)
			fl_assert(param.name.n + param.value.n <= sizeof param.bytes);
		if (fl_http_redirect(location, sizeof location, &rq))
			for (const char *c = location; *c; c++)
				fl_assert(*c > ' ' && *c != 0x7f && (location[0] == '/' && location[1] != '/'));
	}
	free(p);
	return 0;
}
