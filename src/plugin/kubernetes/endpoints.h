/* endpoints: address → the ready endpoints that have it, eight bytes an endpoint: number of the slice, slot in it, and a tag of the hash. A
 * reader checks what it finds against the slice itself, so that an entry that is being moved is merely not found. */
#pragma once
#include "base/rcu.h"
#include "store/store.h"

struct k8s_ep_slots { uint32_t mask; uint64_t slot[]; };
struct k8s_ep_slices { uint32_t n; const struct fl_slice *slice[]; };
struct k8s_endpoints {
	struct k8s_ep_slots *slots;
	struct k8s_ep_slices *slices;
	uint32_t live, used;
	uint32_t *spare, nspare, cap_spare;     /* numbers of slices that went */
	struct k8s_ep_number *number;           /* slice → its number, the writer's */
	uint32_t nnumber, cap_number;
};

void fl_k8s_endpoints_change(struct k8s_endpoints *t, const struct fl_slice *old, const struct fl_slice *now, struct fl_rcu_bin *bin);
void fl_k8s_endpoints_find(const struct k8s_endpoints *t, const uint8_t *b, uint8_t len,
			   bool (*fn)(void *arg, const struct fl_slice *s, uint32_t slot), void *arg);
size_t fl_k8s_endpoints_bytes(const struct k8s_endpoints *t);
void fl_k8s_endpoints_finish(struct k8s_endpoints *t);
