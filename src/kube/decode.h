/* decode: Kubernetes objects → the store's input structs. Zero-copy for protobuf (spans into the frame), through cJSON for JSON,
 * through libyaml → the same tree for manifests. Everything here reads foreign bytes: bounded depth and counts, no length is trusted. */
#pragma once
#include "base/err.h"
#include "store/store.h"

/* One decoded object; which member is valid depends on kind. Arrays and strings lie in the arena or in the given bytes. */
struct fl_decoded {
	enum fl_kind kind;
	bool bookmark, initial_end;             /* BOOKMARK; with k8s.io/initial-events-end */
	struct fl_meta_in meta;
	struct fl_label_in *label; unsigned nlabel;
	bool deleting;                          /* metadata.deletionTimestamp is set */
	union {
		struct fl_service_in service;
		struct fl_slice_in slice;
		struct fl_pod_in pod;
	};
};

/* One object message of a kind in protobuf (without envelope). 0, -EBADMSG, -ENOMEM (arena). */
int fl_decode_proto(struct fl_decoded *d, struct fl_arena *a, enum fl_kind kind, const uint8_t *p, size_t n);
/* One object in JSON. */
int fl_decode_json(struct fl_decoded *d, struct fl_arena *a, enum fl_kind kind, const char *p, size_t n);

/* metav1.Status of an ERROR event or a failed request, protobuf (with envelope) or JSON. */
struct fl_status { int code; int retry_after_s; char reason[64], message[256]; bool too_large_rv; };
int fl_decode_status(struct fl_status *s, const uint8_t *p, size_t n, bool json);

/* ---- streams: bytes in any portions → objects, one at a time; what is held never exceeds one object (max_object bytes) ---- */

enum fl_watch_type { FL_EV_ADDED, FL_EV_MODIFIED, FL_EV_DELETED, FL_EV_BOOKMARK, FL_EV_ERROR };
struct fl_stream_ops {
	/* list items and watch events; the decoded object is valid for the call. Non-zero stops the stream with that code. */
	int (*object)(void *arg, enum fl_watch_type type, const struct fl_decoded *d);
	int (*error)(void *arg, const struct fl_status *st);
};
struct fl_decoder;
/* list: body of a List (metadata.resourceVersion and continue are kept); else a watch stream. proto: framed protobuf, else JSON. */
struct fl_decoder *fl_decoder_create(enum fl_kind kind, bool list, bool proto, size_t max_object, const struct fl_stream_ops *ops,
				     void *arg);
void fl_decoder_destroy(struct fl_decoder *d);
int fl_decoder_feed(struct fl_decoder *d, const uint8_t *p, size_t n); /* 0, what a callback returned, -EBADMSG, -EMSGSIZE */
int fl_decoder_end(struct fl_decoder *d);       /* the body is over: 0, or -EBADMSG when something is half there */
struct fl_str fl_decoder_rv(const struct fl_decoder *d);        /* of the list, when it came */
struct fl_str fl_decoder_continue(const struct fl_decoder *d);

/* ---- manifests ---- */
/* Every object of a YAML (multi-document) or JSON text, `List` kinds unrolled, as a JSON text that holds what this program reads of
 * it, with the namespace filled in; others than the known kinds are counted in *skipped. fn non-zero stops. Errors name the line;
 * what was given before is the receiver's to forget. */
struct fl_manifest_object {
	struct fl_str kind;
	enum fl_kind store_kind;                /* FL_KINDS: a Node */
	struct fl_str ns, name, service;        /* service: that a slice belongs to, by its label */
	bool selects;                           /* a Service with a selector */
	const char *json;
	size_t n;
	int line;
};
int fl_manifest_read(struct fl_str text, int (*fn)(void *arg, const struct fl_manifest_object *o), void *arg, unsigned *skipped,
		     struct fl_err *e);
