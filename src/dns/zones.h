/* zones: the zone lists of directives, and fallthrough. Generation memory, read-only after set-up. */
#pragma once
#include "wire/name.h"

struct fl_zones { struct fl_name *name; struct fl_str *text; unsigned n; };     /* lower case, final dot */

/* The longest zone that q is in: its index, or -1. */
int fl_zones_match(const struct fl_zones *z, struct fl_name q);

/* `fallthrough [ZONES...]`: without the directive never, without zones always. */
struct fl_fall { bool on; bool all; struct fl_zones zones; };
static inline bool fl_fall_through(const struct fl_fall *f, struct fl_name q)
{
	return f->on && (f->all || fl_zones_match(&f->zones, q) >= 0);
}
