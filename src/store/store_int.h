/* store_int: what the files of the store share. */
#pragma once
#include "store/store.h"

/* A string that many objects name (a namespace, a service): one copy, counted. */
struct fl_intern { struct fl_intern *next; uint32_t refs, n; uint64_t hash; char text[]; };
struct fl_interns { struct fl_intern **bucket; uint32_t n, cap; size_t bytes; };

struct fl_intern *fl_intern_get(struct fl_interns *t, struct fl_str s);
void fl_intern_put(struct fl_interns *t, struct fl_intern *i, struct fl_rcu_bin *bin);        /* readers may still see its text */
void fl_interns_finish(struct fl_interns *t);

/* A list of ports that many objects have: one copy, counted. */
struct fl_ports { struct fl_ports *next; uint64_t digest; uint32_t refs, n, bytes; struct fl_port port[]; };
struct fl_port_lists { struct fl_ports **bucket; uint32_t n, cap; size_t bytes; };

struct fl_ports *fl_ports_get(struct fl_port_lists *t, const struct fl_port_in *in, unsigned n);
void fl_ports_put(struct fl_port_lists *t, struct fl_ports *l, struct fl_rcu_bin *bin);
void fl_port_lists_finish(struct fl_port_lists *t);

/* What stands before each object in its block, and what it shares with others. digest: of all that an input says but the
 * resourceVersion; equal digest, no change. */
struct fl_shared { struct fl_intern *ns, *service; struct fl_ports *ports; };
struct fl_box { uint64_t digest; uint32_t bytes; struct fl_shared shared; };
static inline struct fl_box *fl_box_of(const struct fl_object *o) { return (struct fl_box *)(uintptr_t)o - 1; }

uint64_t fl_digest_service(const struct fl_service_in *in);
uint64_t fl_digest_slice(const struct fl_slice_in *in, const struct fl_store_wants *w);
uint64_t fl_digest_pod(const struct fl_pod_in *in, const struct fl_store_wants *w);

uint64_t fl_digest_ports(const struct fl_port_in *p, unsigned n);

/* Packs an input into a fresh block, which takes over the references of sh. *what: words on a part that was left out. */
struct fl_object *fl_box_namespace(const struct fl_meta_in *in, const struct fl_shared *sh);
struct fl_object *fl_box_service(enum fl_kind kind, const struct fl_service_in *in, const struct fl_shared *sh, const char **what);
struct fl_object *fl_box_slice(enum fl_kind kind, const struct fl_slice_in *in, const struct fl_store_wants *w,
			       const struct fl_shared *sh, const char **what);
struct fl_object *fl_box_pod(const struct fl_pod_in *in, const struct fl_store_wants *w, const struct fl_shared *sh,
			     const char **what);
