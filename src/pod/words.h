/* words: cutting text into words as Go's strings.Fields and strings.TrimSpace do, Unicode's white space among it. Private to pod/. */
#pragma once
#include "base/str.h"

/* The next word of *rest, which moves behind it; n 0 when there is none. */
struct fl_str fl_word(struct fl_str *rest);
