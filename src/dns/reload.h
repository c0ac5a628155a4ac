/* reload: from the command line's Corefile to a running configuration, at start and again whenever it changed. One a process, main thread.
 *
 * What is tried is remembered by its SHA-512 (conf/conf.h): a file that failed is not tried again until it changes; SIGUSR1 tries
 * in any case. Whatever fails leaves what serves untouched, is logged once and counted. */
#pragma once
#include "dns/server.h"

struct fl_reload;

struct fl_reload *fl_reload_create(struct fl_server *s, struct fl_loop *l, const struct fl_process *p, const char *const *known);
void fl_reload_destroy(struct fl_reload *r);

/* Reads and parses the process's Corefile (or the built-in one). NULL with the words in e; else malloc'd, fl_conf_finish() and free() it. */
struct fl_conf *fl_reload_read(struct fl_reload *r, struct fl_err *e);
/* The first configuration: done(arg, NULL) when it serves. */
int fl_reload_first(struct fl_reload *r, struct fl_conf *conf, void (*done)(void *arg, const struct fl_err *e), void *arg);
/* Now, even when nothing changed (SIGUSR1). */
void fl_reload_force(struct fl_reload *r);
/* When it changed (plugin reload: by inotify and by its interval). While a load is on its way, it is looked at again after that. */
void fl_reload_poll(struct fl_reload *r);
/* The configuration being built names plugin reload: log its hash when it serves. */
void fl_reload_used(struct fl_reload *r);
