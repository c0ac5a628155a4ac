/* guard: what a web configuration file (ctl/webconf.h) asks of who comes to a listener: TLS, then for each request the rate, headers
 * of the answer, and a user. The file, and what it names, is looked at again when somebody comes, as the toolkit does; but what turns out to
 * be no good is logged, and what was read before stays; and TLS neither comes nor goes by that, so that a file which is just being
 * written opens nothing. Main thread. */
#pragma once
#include "ctl/basic.h"

struct fl_guard;
/* Reads and checks all. NULL with the toolkit's words. */
struct fl_guard *fl_guard_create(struct fl_loop *l, const char *path, struct fl_err *e);
void fl_guard_destroy(struct fl_guard *g);              /* NULL is fine */
/* The same for one that is there, of which a new generation makes use: only now may TLS come or go. 0; or -EINVAL with words, and all stays. */
int fl_guard_renew(struct fl_guard *g, struct fl_err *e);
/* Is there something new? Of the TLS, too, when `tls`. */
void fl_guard_look(struct fl_guard *g, bool tls);
struct fl_tls_host *fl_guard_tls(const struct fl_guard *g);     /* until the next look; NULL: plain */
bool fl_guard_http2(const struct fl_guard *g);
bool fl_guard_allows(struct fl_guard *g);               /* takes one from the rate limit */
const struct fl_webconf *fl_guard_conf(const struct fl_guard *g);       /* until the next look */
