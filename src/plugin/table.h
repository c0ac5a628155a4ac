/* table: what order.def became. */
#pragma once
#include "dns/server.h"

/* In chain order, ends with a NULL name; plugin NULL: a known directive that is not built yet. */
extern const struct fl_directive_entry fl_plugins[];
/* Every directive name (for the parser), NULL-terminated; made on the first call, with fl_plugin_names of dns/stats.h. */
const char *const *fl_plugins_known(void);
