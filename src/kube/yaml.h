/* yaml: YAML or JSON text → cJSON trees, one a document. Foreign bytes: bounded depth, nodes and aliases. */
#pragma once
#include "base/err.h"
#include <cjson/cJSON.h>

/* Calls fn for each document that is not empty (tree borrowed for the call; line of its first node); non-zero stops with that code. 0, -ENOMEM,
 * or -EINVAL with "yaml: line N: …" in e. */
int fl_yaml_read(struct fl_str text, int (*fn)(void *arg, cJSON *tree, int line), void *arg, struct fl_err *e);
