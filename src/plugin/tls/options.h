/* options: the block of `tls { acme … }`. Main thread, start-up only. */
#pragma once
#include "plugin/tls/agent.h"

/* Reads the block at the dispenser, with CoreDNS's checks and words. Strings are the generation's. 0 or an error. */
int fl_acme_options(struct fl_setup *s, struct fl_acme_options *o);
/* As it is in the file system, for messages and for good: without links resolved, as filepath.Abs(). */
const char *fl_tls_absolute(struct fl_setup *s, const char *path);
