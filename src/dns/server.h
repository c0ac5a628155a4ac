/* server: shards, the sockets that they keep, and the generation that stands behind them.
 *
 *   load: conf → build → start → wait until ready → bind what is new → every shard prepares → every shard swaps → the old one retires
 *
 * Anything that fails before the swap leaves what serves as it was. All of it is the main thread's, driven by its loop; done() tells how
 * it went. Sockets belong to shards, keyed by (scheme, address, port): a reload that keeps an address loses no packet and no connection. */
#pragma once
#include "dns/plugin.h"

struct fl_server;

struct fl_directive_entry { const char *name; const struct fl_plugin *plugin; };        /* plugin NULL: known, not built yet */

/* directives: the ordered table, NULL-terminated. inline_shard: one shard on the main loop itself, no threads (fl-sim). p is copied. */
struct fl_server *fl_server_create(const struct fl_process *p, struct fl_loop *loop, const struct fl_directive_entry *directives,
				   bool inline_shard);
/* Everything is let go; fl_server_stop() was over. */
void fl_server_destroy(struct fl_server *s);

/* Loads a configuration. conf (malloc'd, parsed) is taken in any case. done(arg, NULL) when it serves, done(arg, e) when it does
 * not and the old one goes on. One at a time: -EBUSY while another is on its way (conf is not taken then). */
int fl_server_load(struct fl_server *s, struct fl_conf *conf, void (*done)(void *arg, const struct fl_err *e), void *arg);
/* Builds and frees it again: 0 or -EINVAL with the words. conf is taken. */
int fl_server_check(struct fl_server *s, struct fl_conf *conf, struct fl_err *e);
bool fl_server_busy(const struct fl_server *s);         /* a load is on its way */

/* The end: plugins say leave(); after the longest of what they ask for, sockets close, queries in flight get up to 5 s; then done(arg). */
void fl_server_stop(struct fl_server *s, void (*done)(void *arg), void *arg);
/* Ends the waiting of stop at once (second SIGINT). */
uint64_t fl_server_leave(struct fl_server *s);  /* only the first part: what leave() hooks ask for, ns */

/* "cluster.local.:53 on 127.0.0.1" … one line a zone, sorted within each address, with CoreDNS's warnings; for the start-up banner. */
void fl_server_zones(struct fl_server *s, void (*line)(void *arg, const char *text), void *arg);
const struct fl_conf *fl_server_conf(const struct fl_server *s);        /* what serves; NULL before the first load */
void fl_server_park_always(struct fl_server *s, bool on);       /* tests: every lookup parks (inline shard only) */
