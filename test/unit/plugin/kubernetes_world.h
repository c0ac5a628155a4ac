/* A cluster in a store, the plugin's index on it, and a shard that asks: for the kubernetes tests and bench. Answers become text,
 * one record a line: "NOERROR aa live" then "an OWNER TTL TYPE RDATA". */
#pragma once
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/err.h"
#include "dns/chain.h"
#include "plugin/kubernetes/kubernetes.h"
#include "wire/text.h"

extern const struct fl_plugin fl_plugin_kubernetes;

struct world {
	struct fl_store *store;
	struct fl_k8s k;
	struct fl_k8s_how how;
	struct fl_k8s_zone zone[8];
	uint8_t wire[8][FL_NAME_MAX], fall[FL_NAME_MAX];
	struct fl_name fall_name;
	/* the shard */
	struct fl_shard shard;
	struct fl_chain chain, outside;
	struct fl_link at[2], beside[2], at2[1];
	unsigned parked[2];
	struct fl_pool pool;
	struct { struct fl_query q; struct fl_arena a; struct fl_client client; char mem[2048]; } block;
	uint8_t qname[FL_NAME_MAX];
	char text[1 << 18];
	unsigned asked_outside;
	bool keep;                      /* answers are not turned into text */
	bool touch;                     /* the cluster changes while a lookup is out */
	void (*touched)(struct world *w);
};

static struct world *world_now;

/* ---- the shard ---- */

static struct fl_query *world_get(struct fl_shard *sh) { (void)sh; return NULL; }
static inline void world_put(struct fl_query *q) { fl_arena_finish(q->arena); }
static inline void world_timer(struct fl_query *q) { (void)q; }

static inline void world_line(char *to, size_t cap, const char *sec, const struct fl_item *it, const struct fl_rr *r)
{
	char owner[FL_NAME_TEXT_MAX], rdata[4096], type[16];
	fl_name_text(owner, it->owner);
	fl_rdata_text(rdata, sizeof rdata, r->type, r->rdata, r->rdlen);
	fl_type_text(type, r->type);
	snprintf(to, cap, "\n%s %s %u %s %s", sec, owner, r->ttl, type, rdata);
}

static inline void world_answer(struct fl_query *q)
{
	struct world *w = world_now;
	static const char *const sections[] = { "an", "ns", "ar" };
	if (w->keep)
		return;
	size_t n = (size_t)snprintf(w->text, sizeof w->text, "%s%s%s%s%s", fl_rcode_name(q->res.rcode), q->res.bare ? " bare" : "",
				    q->res.set & FL_AA ? " aa" : "", q->res.set & FL_TC ? " tc" : "", q->res.live ? " live" : "");
	for (unsigned i = 0; i < q->res.n; i++)
		for (struct fl_rr r = { 0 }; fl_rr_next(q->res.item[i].set, &r);) {
			world_line(w->text + n, sizeof w->text - n, sections[q->res.item[i].section], &q->res.item[i], &r);
			n += strlen(w->text + n);
		}
}

/* Names outside: one that begins with "nx" is not there, "only6" has an AAAA, all others an A. */
static enum fl_verdict outside_query(void *inst, struct fl_query *q)
{
	struct world *w = inst;
	static const uint8_t a[] = { 192, 0, 2, 99 }, six[16] = { 0x20, 1, [15] = 9 };
	w->asked_outside++;
	if (w->touch && w->touched)
		w->touched(w);
	struct fl_str first = fl_name_label(q->qname, 0);
	q->res.rcode = fl_str_starts(first, FL_STR("nx")) ? FL_NXDOMAIN : FL_NOERROR;
	bool has6 = fl_str_starts(first, FL_STR("only6"));
	const struct fl_rrset *set = NULL;
	if (q->res.rcode == FL_NOERROR && q->qtype == FL_T_A && !has6)
		set = fl_rrset_one(q->arena, FL_T_A, 77, a, 4);
	else if (q->res.rcode == FL_NOERROR && q->qtype == FL_T_AAAA && has6)
		set = fl_rrset_one(q->arena, FL_T_AAAA, 77, six, 16);
	if (set)
		fl_reply_add(q, FL_ANSWER, q->qname, set, false);
	return FL_DONE;
}
static const struct fl_plugin outside_plugin = { .name = "outside", .query = outside_query };

static const struct fl_chain *world_route(struct fl_query *q)
{
	(void)q;
	return &world_now->outside;
}

static inline void world_ask(struct world *w, struct fl_name name, uint16_t type)
{
	struct fl_query *q = &w->block.q;
	world_now = w;
	memset(q, 0, sizeof *q);
	fl_arena_init(&w->block.a, w->block.mem, sizeof w->block.mem, &w->pool, 512 * 1024);
	w->block.client = (struct fl_client){ .qname = name, .qtype = type, .qclass = FL_C_IN, .peer = { { 10, 0, 0, 9 }, 4 } };
	*q = (struct fl_query){ .qname = name, .qtype = type, .qclass = FL_C_IN, .client = &w->block.client, .arena = &w->block.a,
				.shard = &w->shard, .chain = &w->chain, .serial = q->serial };
	q->root = q;
	q->slot = fl_zalloc(&w->block.a, 4 * sizeof *q->slot);
	strcpy(w->text, "NEXT");
	for (bool parked = fl_chain_run(q); parked && !q->done;)
		fl_chain_turn(&w->shard);
}

static inline const char *world_ask_text(struct world *w, const char *name, const char *type)
{
	uint16_t t = 0;
	int n = fl_name_parse(w->qname, fl_str(name));
	fl_assert(n > 0 && fl_type_parse(fl_str(type), &t));
	world_ask(w, (struct fl_name){ w->qname, (uint8_t)n }, t);
	return w->text;
}

/* ---- the plugin ---- */

static inline void world_zone(struct world *w, const char *text)
{
	unsigned i = w->k.nzone++;
	int n = fl_name_parse(w->wire[i], fl_str(text));
	fl_assert(n > 0 && i < FL_COUNT(w->zone));
	struct fl_name name = { w->wire[i], (uint8_t)n };
	w->zone[i] = (struct fl_k8s_zone){ name, (uint8_t)fl_name_labels(name), fl_k8s_is_reverse(name), false };
	if (!w->zone[i].reverse && !w->k.primary.len)
		w->k.primary = name;
	w->k.zone = w->zone;
}

static inline void world_begin(struct world *w, const struct fl_store_wants *wants)
{
	memset(w, 0, sizeof *w);
	w->store = fl_store_create(wants);
	w->k.ttl = 5;
	fl_pool_init(&w->pool, 64 << 20);
	w->shard = (struct fl_shard){ .id = 1, .pool = &w->pool, .now_ns = 1, .route = world_route, .block_get = world_get,
				      .block_put = world_put, .answer = world_answer, .timer = world_timer };
	w->chain = (struct fl_chain){ .at = w->at, .beside = w->beside, .parked = w->parked };
	w->outside = (struct fl_chain){ .at = w->at2, .parked = w->parked };
	fl_chain_add(&w->chain, &fl_plugin_kubernetes, &w->k);
	fl_chain_add(&w->chain, &outside_plugin, w);
	fl_chain_add(&w->outside, &outside_plugin, w);
}

/* The index as settings and zones say. */
static inline void world_index(struct world *w)
{
	w->how.ttl = w->k.ttl;
	w->how.pods = w->k.pods == FL_K8S_PODS_VERIFIED;
	w->how.pod_names = w->k.pod_names;
	w->how.reverse = true;
	w->k.index = fl_k8s_index_create(w->store, &w->how);
}

static inline void world_synced(struct world *w)
{
	for (int k = 0; k < FL_KINDS; k++)
		if (fl_store_wants(w->store)->kind[k]) {
			fl_store_list_begin(w->store, (enum fl_kind)k);
			fl_store_list_end(w->store, (enum fl_kind)k);
		}
}

static inline void world_end(struct world *w)
{
	fl_k8s_index_destroy(w->k.index);
	fl_store_destroy(w->store);
	fl_pool_finish(&w->pool);
}
