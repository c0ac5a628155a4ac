/* stats: the coredns_dns_* families, counted by plugin prometheus for its blocks and by the server for what no chain took (zone
 * "dropped"). One set of grids a (server, zone, view); found again after a reload. */
#pragma once
#include "dns/plugin.h"

struct fl_stats;
/* Main thread; lives as long as the process. */
struct fl_stats *fl_stats_get(struct fl_str server, struct fl_str zone, struct fl_str view);
/* One answered (or dropped) query, on its shard. plugin: index in fl_plugin_names of who answered, -1: label "". */
void fl_stats_count(struct fl_stats *st, const struct fl_query *q, const struct fl_sent *s, int plugin);

/* Names of order.def in its order; the program fills them in before the first generation is built. */
extern const char *const *fl_plugin_names;
extern unsigned fl_plugin_count;
int fl_plugin_index(const struct fl_plugin *p);         /* -1: none of them */
