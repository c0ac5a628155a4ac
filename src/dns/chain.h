/* chain: the driver, as the server and the loop call it (plugins: dns/plugin.h). All of it runs on the query's shard. */
#pragma once
#include "dns/plugin.h"

int fl_chain_add(struct fl_chain *c, const struct fl_plugin *p, void *inst);    /* 0, -E2BIG past FL_LINKS_MAX; at and beside have room */
bool fl_chain_run(struct fl_query *q);          /* a root: question, ask, client, arena, shard, root, chain, slot are set, the rest
						 * is 0. true: parked, arm its deadline; false: answered, q is gone */
void fl_chain_turn(struct fl_shard *sh);        /* runs what was woken before it began; the loop calls it again before it waits */
void fl_chain_expire(struct fl_query *q);       /* deadline, shutdown, client gone: it ends now; replies above run, may not wait */
void fl_chain_timeout(struct fl_query *q);      /* q->wake_at has come */
void fl_chain_job_done(struct fl_ticket t, int ret);
void fl_chain_hold(struct fl_query *root);      /* the answer is still streaming: keep block and generation */
void fl_chain_release(struct fl_query *root);
int fl_chain_seal(struct fl_query *q, uint8_t *msg, size_t *len, size_t cap);
void fl_chain_sent(struct fl_query *q, const struct fl_sent *s);
