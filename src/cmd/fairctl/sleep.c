/* sleep: what coreutils' does, so that an image needs no other program to stay up. */
#include "cmd/fairctl/commands.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* "5", "0.5", "1m", "infinity" in seconds; NAN: none of these. */
static double seconds(const char *text)
{
	char *end;
	double v = strtod(text, &end);
	static const struct { char unit; double is; } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 0, 1 } };
	if (end == text || v < 0)
		return NAN;
	for (unsigned i = 0; i < FL_COUNT(units); i++)
		if (*end == units[i].unit && (!*end || !end[1]))
			return v * units[i].is;
	return NAN;
}

static int run(struct ctl *c)
{
	double sum = 0;
	for (unsigned i = 0; i < c->narg; i++) {
		double s = seconds(c->arg[i]);
		if (isnan(s))
			return ctl_fail(c, "invalid time interval '%s'", c->arg[i]);
		sum += s;
	}
	while (sum > 0) {
		double some = sum < 1e6 ? sum : 1e6;
		struct timespec left = { (time_t)some, (long)((some - floor(some)) * 1e9) };
		while (nanosleep(&left, &left) && errno == EINTR)
			;
		sum -= some;
	}
	return 0;
}

const struct ctl_command ctl_sleep = {
	.name = "sleep", .about = "Waits for so long: 5, 0.5, 1m, 2h, 1d, infinity; several add up", .args = "TIME...", .min = 1, .max = 1000,
	.serves = true, .main = run,
};
