/* challenge: the TXT records that a CA asks for while it decides (RFC 8555 §8.4), answered by every server block. Shown and hidden by the
 * main thread, read by all shards through RCU. */
#pragma once
#include "dns/plugin.h"

/* name: "a.example" or "*.a.example": the record stands at _acme-challenge.a.example. The same twice must be hidden twice. */
void fl_acme_show(const char *name, const char *txt);
void fl_acme_hide(const char *name, const char *txt);

/* What stands in every chain (fl_setup_everywhere). */
extern const struct fl_plugin fl_acme_answers;
