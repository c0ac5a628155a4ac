#include "dns/zones.h"

int fl_zones_match(const struct fl_zones *z, struct fl_name q)
{
	int best = -1;
	for (unsigned i = 0; i < z->n; i++)
		if ((best < 0 || z->name[i].len > z->name[best].len) && fl_name_under(q, z->name[i]))
			best = (int)i;
	return best;
}
