#include "conf/conf_int.h"
#include <errno.h>
#include <stdio.h>

/* ---- integers ---- */

int fl_atoi(struct fl_str s, int64_t *out, struct fl_err *e)
{
	int ret = fl_parse_int(s, INT64_MIN, INT64_MAX, out);
	char quoted[300];
	if (ret)
		fl_err_set(e, "strconv.Atoi: parsing %s: %s", fl_conf_quote(quoted, sizeof quoted, s),
			   ret == -ERANGE ? "value out of range" : "invalid syntax");
	return ret ? -EINVAL : 0;
}
