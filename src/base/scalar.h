/* scalar: what a plain word of YAML means, as go-yaml v2 has it (YAML 1.1: yes is true, 010 is 8, ~ is nothing). Pure; any thread. */
#pragma once
#include "base/str.h"

enum fl_scalar { FL_SCALAR_TEXT, FL_SCALAR_NULL, FL_SCALAR_TRUE, FL_SCALAR_FALSE, FL_SCALAR_INT, FL_SCALAR_FLOAT, FL_SCALAR_ENDLESS };

/* s: NUL-terminated. *v: the number; of the others 0, of true 1. ENDLESS: an infinity or no number. */
enum fl_scalar fl_scalar_of(const char *s, double *v);
