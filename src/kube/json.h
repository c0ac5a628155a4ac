/* json: JSON from the API server: a scanner that cuts a stream into objects without holding more than one, and small readers
 * through cJSON. */
#pragma once
#include "kube/decode.h"

enum fl_json_piece { FL_JSON_EVENT, FL_JSON_ITEM, FL_JSON_META };

/* Zeroed at first. */
struct fl_json_cutter {
	char *buf;
	size_t n, cap;
	int depth, base;
	bool string, escaped, capturing, in_items, want_key, in_key, done;
	enum fl_json_piece what;
	char key[12];
	unsigned nkey;
};

/* Watch (list false): each top-level object is an event. List: each element of "items" is an item, "metadata" comes once. fn
 * non-zero stops with that code. 0, -EBADMSG, -EMSGSIZE (an object above max). */
int fl_json_cut(struct fl_json_cutter *c, bool list, const char *p, size_t n, size_t max,
		int (*fn)(void *arg, enum fl_json_piece what, const char *p, size_t n), void *arg);
int fl_json_cut_end(struct fl_json_cutter *c, bool list);       /* 0, -EBADMSG when something is half there */
void fl_json_cut_finish(struct fl_json_cutter *c);

/* The value of a key at the top of an object, as a span: strings without quotes (no escapes inside), objects and arrays whole. */
bool fl_json_top(const char *p, size_t n, const char *key, struct fl_str *out);
/* {"type":T,"object":O}: spans into p. */
int fl_json_event(const char *p, size_t n, struct fl_str *type, struct fl_str *object);
/* ListMeta's resourceVersion and continue; cut at the caps. */
int fl_json_list_meta(const char *p, size_t n, char *rv, size_t cap_rv, char *cont, size_t cap_cont);
