#include "base/clock.h"
#include <time.h>

static uint64_t virtual_ns;

uint64_t fl_clock_ns(void)
{
	if (virtual_ns)
		return virtual_ns;
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * FL_SEC + (uint64_t)t.tv_nsec;
}

uint64_t fl_clock_wall_s(void)
{
	if (virtual_ns)
		return 1700000000 + virtual_ns / FL_SEC;
	return (uint64_t)time(NULL);
}

uint64_t fl_clock_wall_ns(void)
{
	if (virtual_ns)
		return 1700000000 * FL_SEC + virtual_ns;
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * FL_SEC + (uint64_t)t.tv_nsec;
}

void fl_clock_virtual(uint64_t ns) { virtual_ns = ns; }
bool fl_clock_is_virtual(void) { return virtual_ns != 0; }
