/* yaml: YAML text → cJSON trees, one a document, typed as sigs.k8s.io/yaml does for kubectl. Foreign bytes: depth is bounded, and
 * what aliases repeat is bounded by the size of the text. */
#pragma once
#include "base/err.h"
#include <cjson/cJSON.h>

/* Gets each document that is not empty; the tree is the receiver's for the call. The elements of a sequence that stands under
 * "items" at the top of a document come one by one before their document (item true), which then has an empty one: so no list is
 * ever held whole. line: of its first byte. Non-zero stops with that code. */
typedef int fl_tree_fn(void *arg, cJSON *tree, int line, bool item);

/* 0, what fn returned, or -EINVAL with "yaml: line N: …" in e. */
int fl_yaml_read(struct fl_str text, fl_tree_fn *fn, void *arg, struct fl_err *e);
/* The same for JSON text, one object or many after each other; "json: line N: …". */
int fl_json_read(struct fl_str text, fl_tree_fn *fn, void *arg, struct fl_err *e);
