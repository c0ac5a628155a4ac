/* Packets in, queries through their chain, answers out. All on the shard that received them. */
#include "dns/server_int.h"
#include "base/log.h"
#include "wire/pack.h"
#include <errno.h>
#include <stdlib.h>

enum { DEADLINE_S = 20, QUERY_LIMIT = 512 * 1024, STREAM_AHEAD = 256 * 1024, COPIED = FL_RD | FL_TC | FL_RA | FL_AD | FL_CD };
enum { PADDING = 12, PAD_TO = 468 };    /* RFC 8467 §4.1 */

static struct fl_shard_x *shard_of(struct fl_shard *sh) { return (struct fl_shard_x *)sh; }
static struct fl_block_q *block_of(struct fl_query *q) { return (struct fl_block_q *)q; }

/* ---- blocks ---- */

static struct fl_query *block_get(struct fl_shard *sh)
{
	struct fl_shard_x *x = shard_of(sh);
	struct fl_block_q *b = x->free;
	uint32_t serial = 0;
	if (b) {
		x->free = b->next;
		serial = b->q.serial;
	} else if (!(b = fl_pool_get(&x->pool, FL_BLOCK))) {
		fl_grid_add(x->server->saturated, sh->id, 0, 1);
		return NULL;
	}
	memset(b, 0, offsetof(struct fl_block_q, arena));
	fl_arena_init(&b->arena, b->mem, FL_BLOCK - sizeof *b, &x->pool, QUERY_LIMIT);
	b->q.serial = serial;
	b->q.arena = &b->arena;
	b->q.shard = sh;
	return &b->q;
}

static void parked_remove(struct fl_block_q *b)
{
	struct fl_shard_x *x = shard_of(b->q.shard);
	if (!b->listed)
		return;
	*(b->prev ? &b->prev->next : &x->parked) = b->next;
	if (b->next)
		b->next->prev = b->prev;
	b->listed = false;
}

static void conn_leave(struct fl_block_q *b)
{
	struct fl_conn *c = b->conn;
	if (!c)
		return;
	if (!b->orphan) {
		*(b->conn_prev ? (void **)&b->conn_prev->conn_next : fl_conn_user(c)) = b->conn_next;
		if (b->conn_next)
			b->conn_next->conn_prev = b->conn_prev;
	}
	b->conn = NULL;
	fl_conn_put(c);
}

static void tell_asker(struct fl_block_q *b, const uint8_t *msg, size_t n, const struct fl_query *q)
{
	struct fl_asker *a = b->asker;
	b->asker = NULL;
	if (!a)
		return;
	a->block = NULL;
	a->answer(a, msg, n, q);
}

static void block_put(struct fl_query *q)
{
	struct fl_block_q *b = block_of(q);
	struct fl_shard_x *x = shard_of(q->shard);
	parked_remove(b);
	if (b->deadline.on)
		fl_timer_clear(q->shard->loop, &b->deadline);
	fl_arena_finish(&b->arena);
	struct fl_listener *via = b->via;
	tell_asker(b, NULL, 0, NULL);           /* it ended without an answer */
	b->next = x->free;
	x->free = b;
	conn_leave(b);
	if (via)
		fl_listener_put(via);
}

/* ---- timers ---- */

static void deadline_due(struct fl_timer *t)
{
	fl_chain_expire(&((struct fl_block_q *)((char *)t - offsetof(struct fl_block_q, deadline)))->q);
}

static void wake_due(struct fl_timer *t)
{
	fl_chain_timeout((struct fl_query *)((char *)t - offsetof(struct fl_query, timer)));
}

static void timer_changed(struct fl_query *q)
{
	q->timer.fn = wake_due;
	if (q->wake_at)
		fl_timer_set(q->shard->loop, &q->timer, q->wake_at);
	else
		fl_timer_clear(q->shard->loop, &q->timer);
}

static const struct fl_chain *route(struct fl_query *q)
{
	return fl_group_route(q->root->chain->group, q);
}

/* ---- answers ---- */

/* On encrypted ways, what asks with padding is answered with padding. */
static uint16_t pad_to(const struct fl_query *q)
{
	const struct fl_block_q *b = (const struct fl_block_q *)q;
	if (!b->via->secret)
		return 0;
	for (const struct fl_edns *e = q->ask.opt; e; e = e->next)
		if (e->code == PADDING)
			return PAD_TO;
	return 0;
}

static void pack_fill(struct fl_pack *p, struct fl_query *q)
{
	const struct fl_client *c = q->client;
	const struct fl_reply *r = &q->res;
	uint16_t kept = c->flags & (FL_RD | FL_CD);
	*p = (struct fl_pack){ .id = c->id, .opcode = c->opcode, .rcode = r->rcode, .qname = c->qname, .qtype = c->qtype,
			       .qclass = c->qclass, .item = r->item, .n = r->n, .edns = c->edns, .udp_size = q->ask.udp_size,
			       .edns_flags = c->edns_flags & 0xff00, .opt = r->opt, .ede = r->has_ede ? r->ede : -1,
			       .ede_text = r->ede_text, .room = q->chain->seal_room,
			       .tight_above = c->tcp ? 0 : c->peer.len == 4 ? 1480 : 1220, .pad_to = pad_to(q) };
	p->flags = (uint16_t)(FL_QR | c->opcode << 11 | ((kept | r->set) & ~r->clear));
}

/* The time, read for the first and then for every eighth answer of a batch: what lies between took a few microseconds. An answer that
 * waited for something comes in a batch of its own. */
static uint64_t time_of_answer(struct fl_shard_x *x)
{
	if (x->told_for != x->sh.now_ns || !(x->told++ % 8)) {
		x->told_for = x->sh.now_ns;
		x->told_ns = fl_clock_ns();
	}
	return x->told_ns;
}

static void account(struct fl_query *q, struct fl_sent *s)
{
	s->took_ns = time_of_answer(shard_of(q->shard)) - q->born_ns;
	if (!q->chain->n && !q->chain->nbeside)
		fl_stats_count(q->chain->group->dropped, q, s, -1);
	fl_chain_sent(q, s);
}

/* One message of an answer; the length, 0 when it may not be sent. */
static size_t pack_one(struct fl_query *q, struct fl_pack *p, uint8_t *to, size_t limit)
{
	pack_fill(p, q);
	size_t n = fl_pack(p, to, limit);
	if (q->chain->seal_room && fl_chain_seal(q, to, &n, limit))
		return 0;
	return n;
}

static size_t udp_limit(const struct fl_query *q)
{
	return !q->client->edns || q->ask.udp_size < 512 ? 512 : q->ask.udp_size;
}

/* Messages two and on, while the connection takes them. true: there are more, and they wait for room. */
static bool stream(struct fl_block_q *b)
{
	struct fl_query *q = &b->q;
	struct fl_arena_mark mark = fl_arena_mark(q->arena);
	while (!b->orphan && fl_conn_unsent(b->conn) < STREAM_AHEAD) {
		struct fl_pack p;
		q->res.item = NULL;
		q->res.n = q->res.cap = 0;
		int ret = q->res.stream->fill(q->res.stream, q);
		uint8_t *to = fl_udp_room(shard_of(q->shard)->udp, 65535);
		size_t n = ret == 1 ? pack_one(q, &p, to, 65535) : 0;
		if (n)
			fl_conn_send(b->conn, to, n);
		else if (ret)
			fl_conn_reset(b->conn);
		fl_arena_rewind(q->arena, mark);
		if (!n)
			return false;
	}
	return !b->orphan;
}

static void answer_tcp(struct fl_query *q, struct fl_block_q *b)
{
	struct fl_pack p;
	uint8_t *to = fl_udp_room(shard_of(q->shard)->udp, 65535);     /* scratch: nothing of it is queued */
	size_t n = pack_one(q, &p, to, 65535);
	if (n)
		fl_conn_send(b->conn, to, n);
	account(q, &(struct fl_sent){ to, n, p.full_len, p.flags_out, 0 });
	if (q->res.stream && !b->orphan && stream(b)) {
		fl_chain_hold(q);
		b->streaming = true;
	}
}

/* One message is all that such a stream carries: no transfers. */
static void answer_stream(struct fl_query *q, struct fl_block_q *b)
{
	struct fl_pack p;
	uint8_t *to = fl_udp_room(shard_of(q->shard)->udp, 65535);     /* scratch, as above */
	if (q->res.stream)
		q->res = (struct fl_reply){ .rcode = FL_REFUSED, .bare = true, .by = q->res.by };
	size_t n = pack_one(q, &p, to, 65535);
	account(q, &(struct fl_sent){ to, n, p.full_len, p.flags_out, 0 });     /* before: the stream's next question may come at once */
	tell_asker(b, n ? to : NULL, n, q);
}

void fl_query_conn_room(struct fl_conn *c)
{
	bool open = true;
	for (struct fl_block_q *b = *fl_conn_user(c), *next; b && open; b = next) {
		next = b->conn_next;
		if (!b->streaming)
			continue;
		b->streaming = false;
		b->streaming = stream(b);
		open = !b->orphan;
		if (!b->streaming)
			fl_chain_release(&b->q);
	}
}

static void answer(struct fl_query *q)
{
	struct fl_block_q *b = block_of(q);
	struct fl_shard_x *x = shard_of(q->shard);
	struct fl_pack p;
	if (q->dropped) {
		account(q, &(struct fl_sent){ 0 });
		tell_asker(b, NULL, 0, q);
		return;
	}
	if (b->asked) {
		answer_stream(q, b);
		return;
	}
	if (b->conn) {
		answer_tcp(q, b);
		return;
	}
	size_t limit = udp_limit(q);
	uint8_t *to = fl_udp_room(x->udp, limit);
	size_t n = pack_one(q, &p, to, limit);
	if (n)
		fl_udp_queue(x->udp, b->via->udp.fd, &b->way, n);
	x->sent_something = true;
	account(q, &(struct fl_sent){ to, n, p.full_len, p.flags_out, 0 });
}

/* ---- refusals that no chain sees ---- */

static void send_raw(struct fl_listener *l, struct fl_conn *c, const struct fl_udp_way *way, const uint8_t *bytes, size_t n)
{
	if (c) {
		fl_conn_send(c, bytes, n);
		return;
	}
	memcpy(fl_udp_room(l->shard->udp, n), bytes, n);
	fl_udp_queue(l->shard->udp, l->udp.fd, way, n);
	l->shard->sent_something = true;
}

/* The header, with the question when there is one: CoreDNS's answers to what it does not accept (miekg/dns server.go). */
static size_t refuse(uint8_t *to, const struct fl_request *r, enum fl_parsed verdict, const uint8_t *msg)
{
	uint16_t flags = FL_QR | (r->flags & COPIED);
	size_t n = FL_HEADER;
	memset(to, 0, FL_HEADER);
	if (verdict == FL_PARSED_NOTIMP)
		flags |= (uint16_t)(r->opcode << 11 | FL_NOTIMP);
	else if (verdict == FL_PARSED_SERVFAIL)
		flags = FL_QR | (r->flags & (FL_RD | FL_CD)) | FL_SERVFAIL;
	else
		flags |= FL_FORMERR;
	if (verdict == FL_PARSED_FORMERR && r->question_end > FL_HEADER) {
		n = r->question_end;
		memcpy(to + FL_HEADER, msg + FL_HEADER, n - FL_HEADER);
		to[5] = 1;
	}
	fl_put16(to, r->id);
	fl_put16(to + 2, flags);
	return n;
}

static size_t bad_version(uint8_t *to, const struct fl_request *r)
{
	struct fl_pack p = { .id = r->id, .opcode = r->opcode, .rcode = FL_BADVERS, .qname = r->qname, .qtype = r->qtype,
			     .qclass = r->qclass, .edns = true, .ede = -1 };
	p.flags = (uint16_t)(FL_QR | r->opcode << 11 | (r->flags & (FL_RD | FL_CD)));
	return fl_pack(&p, to, 512);
}

static void reject(struct fl_listener *l, struct fl_conn *c, const struct fl_udp_way *way, const struct fl_request *r,
		   enum fl_parsed verdict, const uint8_t *msg)
{
	uint8_t out[FL_HEADER + FL_NAME_MAX + 64 + 512];
	fl_grid_add(l->shard->server->malformed, l->shard->sh.id, (unsigned)verdict, 1);
	if (verdict == FL_PARSED_DROP)
		return;
	size_t n = verdict == FL_PARSED_BADVERS ? bad_version(out, r) : refuse(out, r, verdict, msg);
	send_raw(l, c, way, out, n);
}

/* ---- in ---- */

/* c is zeroed. Written where it shall stand: a copy of bytes that were stored one by one would wait for them. */
static void peer_of(struct fl_client *c, const struct sockaddr_in6 *v6)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)v6;
	c->peer_port = ntohs(v6->sin6_port);            /* at the same place in both */
	c->peer.len = 4;
	if (v6->sin6_family == AF_INET) {
		memcpy(c->peer.b, &v4->sin_addr, 4);
	} else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		memcpy(c->peer.b, v6->sin6_addr.s6_addr + 12, 4);
	} else {
		memcpy(c->peer.b, &v6->sin6_addr, 16);
		c->peer.len = 16;
		c->scope = v6->sin6_scope_id;
	}
}

static void local_of(struct fl_client *c, const struct fl_listener *l, const struct fl_udp_way *way)
{
	if (way->info == 4) {
		memcpy(c->local.b, &way->local.v4, 4);
		c->local.len = 4;
	} else if (way->info == 6 && IN6_IS_ADDR_V4MAPPED(&way->local.v6)) {
		memcpy(c->local.b, way->local.v6.s6_addr + 12, 4);
		c->local.len = 4;
	} else if (way->info == 6) {
		memcpy(c->local.b, &way->local.v6, 16);
		c->local.len = 16;
	} else {
		c->local = l->local;
	}
}

static void client_fill(struct fl_block_q *b, const struct fl_request *r, const uint8_t *msg, size_t n)
{
	struct fl_client *c = &b->client;
	const struct fl_udp_way *way = b->asker ? b->asker->way : b->conn ? fl_conn_way(b->conn) : &b->way;
	*c = (struct fl_client){ .qname = r->qname, .qtype = r->qtype, .qclass = r->qclass, .id = r->id, .flags = r->flags,
				 .opcode = r->opcode, .tcp = b->asker ? !b->asker->udp : b->conn != NULL, .whole = b->asker || b->conn, .edns = r->edns, .dnssec_ok = r->dnssec_ok,
				 .udp_size = r->udp_size, .edns_flags = r->edns_flags, .packet = msg, .packet_len = n };
	peer_of(c, &way->peer.v6);
	local_of(c, b->via, way);
	c->local_port = b->via->port;
}

static void run(struct fl_block_q *b, const struct fl_request *r, const uint8_t *msg, size_t n)
{
	struct fl_query *q = &b->q;
	struct fl_group *g = b->via->group;
	client_fill(b, r, msg, n);
	q->client = &b->client;
	q->qname = r->qname;
	q->qtype = r->qtype;
	q->qclass = r->qclass;
	q->ask = (struct fl_ask){ .flags = r->flags, .udp_size = r->udp_size, .edns = r->edns, .dnssec_ok = r->dnssec_ok };
	if (r->opt_len)
		q->ask.opt = fl_edns_parse(q->arena, r->opt_data, r->opt_len);
	q->root = q;
	q->born_ns = q->shard->now_ns;
	if (r->qclass != FL_C_IN && !g->other_classes)
		fl_query_slots(q, &g->none);
	else
		q->chain = fl_group_route(g, q);
	if (!q->slot) {                         /* a name so long, a chain so deep: the block is too small and the pool is dry */
		block_put(q);
		return;
	}
	if (!fl_chain_run(q))
		return;
	struct fl_shard_x *x = shard_of(q->shard);
	b->prev = NULL;
	b->next = x->parked;
	if (x->parked)
		x->parked->prev = b;
	x->parked = b;
	b->listed = true;
	b->deadline.fn = deadline_due;
	uint64_t at = q->deadline_ns ? q->deadline_ns : q->born_ns + DEADLINE_S * FL_SEC;
	fl_timer_set(q->shard->loop, &b->deadline, at);
}

/* SERVFAIL without a query. */
static size_t unable(uint8_t *out, const struct fl_request *r, const uint8_t *bytes)
{
	size_t n = refuse(out, r, FL_PARSED_FORMERR, bytes);
	fl_put16(out + 2, (uint16_t)(FL_QR | r->opcode << 11 | (r->flags & (FL_RD | FL_CD)) | FL_SERVFAIL));
	return n;
}

/* No block is left: the client hears SERVFAIL without one. */
static void overloaded(struct fl_listener *l, struct fl_conn *c, const struct fl_udp_way *way, const struct fl_request *r,
		       const uint8_t *msg)
{
	uint8_t out[FL_HEADER + FL_NAME_MAX + 8];
	send_raw(l, c, way, out, unable(out, r, msg));
}

/* A block with the message in it, which r then points into; NULL: no memory. */
static struct fl_block_q *block_of_message(struct fl_listener *l, struct fl_request *r, const uint8_t *bytes, size_t n, uint8_t **msg)
{
	struct fl_query *q = block_get(&l->shard->sh);
	*msg = q ? fl_copy(q->arena, bytes, n) : NULL;
	if (!*msg) {
		if (q)
			block_put(q);
		return NULL;
	}
	r->qname.wire = *msg + (r->qname.wire - bytes);
	if (r->opt_len)
		r->opt_data = *msg + (r->opt_data - bytes);
	block_of(q)->via = l;
	l->users++;
	return block_of(q);
}

static void take(struct fl_listener *l, struct fl_conn *c, const struct fl_udp_way *way, const uint8_t *bytes, size_t n)
{
	struct fl_request r;
	enum fl_parsed verdict = fl_request_parse(&r, bytes, n, (uint16_t)(1 << FL_OP_QUERY | 1 << FL_OP_NOTIFY | l->group->opcodes));
	bool foreign = r.qclass != FL_C_IN && !l->group->other_classes;
	if (verdict == FL_PARSED_BADVERS && foreign)    /* CoreDNS looks at the class first */
		verdict = FL_PARSED_OK;
	if (verdict != FL_PARSED_OK) {
		reject(l, c, way, &r, verdict, bytes);
		return;
	}
	uint8_t *msg;
	struct fl_block_q *b = block_of_message(l, &r, bytes, n, &msg);
	if (!b) {
		overloaded(l, c, way, &r, bytes);
		return;
	}
	if (c) {
		b->conn = c;
		fl_conn_hold(c);
		b->conn_next = *fl_conn_user(c);
		if (b->conn_next)
			b->conn_next->conn_prev = b;
		*fl_conn_user(c) = b;
	} else {
		b->way = *way;
	}
	run(b, &r, msg, n);
}

void fl_query_udp(struct fl_listener *l, const struct fl_udp_in *in)
{
	if (in->cut) {                          /* longer than any query: CoreDNS calls it a format error */
		struct fl_request r;
		enum fl_parsed v = fl_request_parse(&r, in->bytes, in->n, 0xffff);
		bool kept = v == FL_PARSED_DROP || v == FL_PARSED_NOTIMP || v == FL_PARSED_FORMERR_BARE;
		reject(l, NULL, &in->way, &r, kept ? v : FL_PARSED_FORMERR, in->bytes);
		return;
	}
	take(l, NULL, &in->way, in->bytes, in->n);
}

void fl_query_tcp(struct fl_conn *c, const uint8_t *bytes, size_t n)
{
	struct fl_listener *l = (struct fl_listener *)((char *)fl_conn_listener(c) - offsetof(struct fl_listener, tcp));
	l->shard->sh.now_ns = fl_loop_now(l->shard->sh.loop);
	take(l, c, NULL, bytes, n);
}

/* ---- streams ---- */

bool fl_query_stream(struct fl_listener *l, struct fl_asker *a, const uint8_t *bytes, size_t n)
{
	struct fl_request r;
	uint8_t out[FL_HEADER + FL_NAME_MAX + 64 + 512], *msg;
	size_t len = 0;
	a->block = NULL;
	l->shard->sh.now_ns = fl_loop_now(l->shard->sh.loop);
	enum fl_parsed verdict = fl_request_parse(&r, bytes, n, (uint16_t)(1 << FL_OP_QUERY | 1 << FL_OP_NOTIFY));
	if (verdict == FL_PARSED_BADVERS && r.qclass != FL_C_IN && !l->group->other_classes)
		verdict = FL_PARSED_OK;
	if (verdict != FL_PARSED_OK)
		fl_grid_add(l->shard->server->malformed, l->shard->sh.id, (unsigned)verdict, 1);
	if (verdict == FL_PARSED_BADVERS)
		len = bad_version(out, &r);
	else if (verdict == FL_PARSED_SERVFAIL)
		len = refuse(out, &r, verdict, bytes);
	else if (verdict != FL_PARSED_OK)
		return false;
	struct fl_block_q *b = len ? NULL : block_of_message(l, &r, bytes, n, &msg);
	if (!b) {
		len = len ? len : unable(out, &r, bytes);
		a->answer(a, out, len, NULL);
		return true;
	}
	b->asked = true;
	b->asker = a;
	a->block = b;
	run(b, &r, msg, n);
	return true;
}

void fl_query_gone(struct fl_asker *a)
{
	struct fl_block_q *b = a->block;
	a->block = NULL;
	if (!b)
		return;
	b->asker = NULL;
	if (b->q.parked)                        /* one that has a job out ends when that is back */
		fl_chain_expire(&b->q);
}

void fl_query_conn_closed(struct fl_conn *c)
{
	struct fl_block_q *b = *fl_conn_user(c), *next;
	*fl_conn_user(c) = NULL;
	for (struct fl_block_q *o = b; o; o = o->conn_next)
		o->orphan = true;
	for (; b; b = next) {
		next = b->conn_next;
		if (b->q.parked)                /* one that has a job out ends when that is back */
			fl_chain_expire(&b->q);
		else if (b->streaming) {
			b->streaming = false;
			fl_chain_release(&b->q);
		}
	}
}

void fl_query_hooks(struct fl_shard_x *x)
{
	x->sh.route = route;
	x->sh.block_get = block_get;
	x->sh.block_put = block_put;
	x->sh.answer = answer;
	x->sh.job = fl_job_start;
	x->sh.timer = timer_changed;
}
