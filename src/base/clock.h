/* clock: nanoseconds. fl-sim freezes it and moves it by hand; everything that measures or waits goes through here. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define FL_MS 1000000ull
#define FL_SEC 1000000000ull

uint64_t fl_clock_ns(void);             /* monotonic; never 0 */
uint64_t fl_clock_wall_s(void);         /* Unix time, seconds (SOA serials, timestamps) */
uint64_t fl_clock_wall_ns(void);        /* the same, finer */
/* From now on the clock stands at ns and moves only through this call (0: the real clock again). The wall clock moves with it. */
void fl_clock_virtual(uint64_t ns);
bool fl_clock_is_virtual(void);
