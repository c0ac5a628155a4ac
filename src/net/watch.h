/* watch: "this file changed", by inotify on the folders on the way to it: written in place, replaced by rename, or reached through a link
 * that was swapped (a ConfigMap's `..data`). One inotify descriptor a loop; main thread. */
#pragma once
#include "net/loop.h"

struct fl_watch;
/* Calls fn(arg) on the loop, once for a burst of changes (settle_ns after the last one, at most 10 x). path need not exist yet. A folder
 * as path: any change in it. Where the kernel has no room for a watch, or no folder on the way is there, it looks every two seconds
 * itself, and says so; of a folder it then tells each time. */
struct fl_watch *fl_watch_add(struct fl_loop *l, const char *path, uint64_t settle_ns, void (*fn)(void *arg), void *arg);
void fl_watch_del(struct fl_watch *w);  /* NULL is fine */
