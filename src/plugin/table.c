#include "plugin/table.h"
#include "dns/stats.h"

#define FL_BUILT(id) extern const struct fl_plugin fl_plugin_##id;
#define FL_LATER(id)
#include "plugins.gen.h"
#undef FL_BUILT
#undef FL_LATER

const struct fl_directive_entry fl_plugins[] = {
#define FL_BUILT(id) { #id, &fl_plugin_##id },
#define FL_LATER(id) { #id, NULL },
#include "plugins.gen.h"
	{ 0 },
};
#undef FL_BUILT
#undef FL_LATER

static const char *const built[] = {
#define FL_BUILT(id) #id,
#define FL_LATER(id)
#include "plugins.gen.h"
	NULL,
};
#undef FL_BUILT
#undef FL_LATER

static const char *const known[] = {
#define FL_BUILT(id) #id,
#define FL_LATER(id) #id,
#include "plugins.gen.h"
	NULL,
};

const char *const *fl_plugins_known(void)
{
	fl_plugin_names = built;
	fl_plugin_count = FL_COUNT(built) - 1;
	return known;
}
