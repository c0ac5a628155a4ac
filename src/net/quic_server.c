#include "net/quic_server_int.h"
#include "base/err.h"
#include "base/rng.h"
#include <errno.h>
#include <stdlib.h>

enum { HANDSHAKE_S = 5, BUDGET = 64 * 1024 * 1024, CLIENT_BUDGET = BUDGET / 4, RESET_CREDIT = 256 };

static struct fl_quic_peer *peer_of(struct fl_quic_conn *c) { return (struct fl_quic_peer *)c; }

/* ---- writing, when the batch's turn comes ---- */

static void dirty(struct fl_quic_peer *p)
{
	struct fl_quic *q = p->quic;
	if (p->dirty)
		return;
	p->dirty = true;
	p->dnext = NULL;
	*(q->dirty_last ? &q->dirty_last->dnext : &q->dirty) = p;
	q->dirty_last = p;
}

static void undirty(struct fl_quic_peer *p)
{
	struct fl_quic *q = p->quic;
	struct fl_quic_peer *before = NULL;
	if (!p->dirty)
		return;
	for (struct fl_quic_peer *o = q->dirty; o != p; o = o->dnext)
		before = o;
	*(before ? &before->dnext : &q->dirty) = p->dnext;
	if (q->dirty_last == p)
		q->dirty_last = before;
	p->dirty = false;
}

static uint8_t *room(struct fl_quic_conn *c) { return fl_udp_room(peer_of(c)->quic->udp, FL_QUIC_DATAGRAM); }

static void send_it(struct fl_quic_conn *c, const ngtcp2_path *path, size_t n)
{
	struct fl_quic_peer *p = peer_of(c);
	struct fl_udp_way way;
	fl_quic_way_back(&way, path, p->way.ifindex);
	fl_udp_queue(p->quic->udp, p->li->fd, &way, n);
}

/* ---- the life of a connection ---- */

/* The last connection of a closed listener went. */
static void gone_listener(struct fl_quic_listener *li)
{
	if (li->conns || !li->closed)
		return;
	struct fl_quic_listener **at = &li->quic->listeners;
	while (*at && *at != li)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = li->next;
	fl_timer_clear(li->quic->loop, &li->drain);
	if (li->on_gone)
		li->on_gone(li);
}

static void tell_error(struct fl_quic_peer *p, unsigned code)
{
	if (!p->li->web)
		p->quic->ops.error(p->li, code);
}

static void account_end(struct fl_quic_peer *p)
{
	struct fl_quic_stats *st = &p->quic->stats;
	struct fl_quic_conn *c = &p->c;
	if (p->half)
		fl_quic_count(&st->failed, 1);
	else if (c->app && c->close && (c->code == FL_DOQ_PROTOCOL_ERROR || c->code > FL_DOQ_UNSPECIFIED_ERROR))
		fl_quic_count(&st->protocol, 1);
	else if (c->app && c->close && c->code == FL_DOQ_EXCESSIVE_LOAD && !p->refused)
		fl_quic_count(&st->excessive, 1);
	else if (!c->close && !strncmp(c->why, "timeout", 7))
		fl_quic_count(&st->timed_out, 1);
	if (c->app && c->close && c->code)
		tell_error(p, (unsigned)c->code);
}

static void end(struct fl_quic_peer *p)
{
	struct fl_quic *q = p->quic;
	struct fl_quic_listener *li = p->li;
	account_end(p);
	fl_quic_conn_free(&p->c);
	fl_timer_clear(q->loop, &p->patience);
	undirty(p);
	fl_quic_cids_drop(q, p);
	if (p->half)
		q->half--;
	if (p->counted)
		__atomic_fetch_sub(li->total, 1, __ATOMIC_RELAXED);
	q->clients[p->client].conns--;
	q->conns--;
	fl_quic_count(&q->stats.open, -1ull);
	*(p->prev ? &p->prev->next : &li->first) = p->next;
	if (p->next)
		p->next->prev = p->prev;
	if (p->held)
		li->forget(p->held);
	fl_assert(!p->c.mem.used);
	free(p);
	li->conns--;
	gone_listener(li);
}

/* After ngtcp2 was told something: what it has to say goes out with the others' of this turn. */
static void after(struct fl_quic_peer *p)
{
	if (p->c.state == FL_QUIC_OVER)
		end(p);
	else
		dirty(p);
}

static void expired(struct fl_quic_conn *c) { after(peer_of(c)); }

/* ---- queries ---- */

static void hand_on(struct fl_quic_stream *s, const uint8_t *bytes, size_t n)
{
	struct fl_quic_listener *li = peer_of(s->conn)->li;
	s->asked = true;
	li->working++;
	li->quic->ops.query(s, bytes, n);
}

static void take_waiting(struct fl_quic *q)
{
	q->idle_workers = false;
	for (struct fl_quic_listener *li = q->listeners; li; li = li->next)
		while (li->waiting.first && (!li->conf.workers || li->working < li->conf.workers)) {
			struct fl_quic_stream *s = li->waiting.first;
			fl_quic_list_del(&li->waiting, s);
			s->waits = false;
			hand_on(s, s->in.buf, s->in.have);
		}
}

/* All workers are at work: the query is kept, and takes its turn. */
static void wait_for_worker(struct fl_quic_stream *s, struct fl_str msg)
{
	struct fl_quic_listener *li = peer_of(s->conn)->li;
	if (!s->in.buf) {
		s->in.buf = fl_quic_resize(&s->conn->mem, NULL, msg.n);
		if (!s->in.buf) {
			fl_quic_conn_close(s->conn, true, FL_DOQ_EXCESSIVE_LOAD, "");
			return;
		}
		memcpy(s->in.buf, msg.p, msg.n);
		s->in.have = s->in.cap = msg.n;
	}
	s->waits = true;
	fl_quic_list_add(&li->waiting, s);
}

static bool works(const struct fl_quic_peer *p)
{
	for (const struct fl_quic_stream *s = p->c.all.first; s; s = s->next)
		if (s->waits || s->out || (s->asked && !s->answered))
			return true;
	return false;
}

bool fl_quic_flush(struct fl_quic *q)
{
	if (q->idle_workers)
		take_waiting(q);
	struct fl_quic_peer *last = q->dirty_last;
	for (bool on = q->dirty != NULL; on;) {
		struct fl_quic_peer *p = q->dirty;
		on = p != last;
		undirty(p);
		if (p->li->closed && !p->half && !works(p))
			fl_quic_conn_close(&p->c, true, FL_DOQ_NO_ERROR, "");
		bool more = fl_quic_conn_write(&p->c);
		if (p->c.state == FL_QUIC_OVER)
			end(p);
		else if (more)
			dirty(p);
	}
	return q->dirty || q->idle_workers;
}

static void message(struct fl_quic_stream *s, struct fl_str msg)
{
	struct fl_quic_peer *p = peer_of(s->conn);
	struct fl_quic_listener *li = p->li;
	s->due_ns = UINT64_MAX;
	if (msg.n >= 2 && (msg.p[0] || msg.p[1])) {     /* RFC 9250 §4.2.1 */
		fl_quic_conn_close(s->conn, true, FL_DOQ_PROTOCOL_ERROR, "");
		return;
	}
	if (li->closed) {
		s->asked = s->answered = s->deaf = true;
		fl_quic_shutdown_write(s->conn->ng, s->id, FL_DOQ_INTERNAL_ERROR);
		return;
	}
	if (li->conf.workers && li->working >= li->conf.workers)
		wait_for_worker(s, msg);
	else
		hand_on(s, (const uint8_t *)msg.p, msg.n);
}

/* A query left its worker. */
static void done(struct fl_quic_stream *s)
{
	struct fl_quic_peer *p = peer_of(s->conn);
	s->answered = true;
	p->li->working--;
	p->quic->idle_workers = true;
	s->due_ns = fl_loop_now(p->quic->loop) + (p->li->web ? p->li->conf.write_ns : p->li->conf.idle_ns);      /* its end is due */
	fl_quic_patience(p, s->due_ns);
}

/* Who cancels faster than it lets us answer makes work for nothing (as HTTP/2's rapid reset). */
static void spend(struct fl_quic_peer *p)
{
	if (p->credit--)
		return;
	if (p->li->web)
		fl_web_v3_calm(&p->c);
	else
		fl_quic_conn_close(&p->c, true, FL_DOQ_EXCESSIVE_LOAD, "");
}

/* Its query will not come: our half of the stream ends too, or it would stay. */
static void reset(struct fl_quic_stream *s, uint64_t code)
{
	struct fl_quic_peer *p = peer_of(s->conn);
	(void)code;
	if (s->asked || s->waits || !ngtcp2_is_bidi_stream(s->id))
		return;
	fl_quic_shutdown_write(s->conn->ng, s->id, fl_quic_code(s->conn, p->li->web ? FL_DOQ_REQUEST_CANCELLED : FL_DOQ_INTERNAL_ERROR));
	tell_error(p, FL_DOQ_INTERNAL_ERROR);
	s->asked = s->answered = true;
	if (p->li->web)                         /* reading headers is work */
		spend(p);
}

static void gone(struct fl_quic_stream *s)
{
	struct fl_quic_peer *p = peer_of(s->conn);
	if (s->waits)
		fl_quic_list_del(&p->li->waiting, s);
	s->waits = false;
	p->dangling -= s->dangling;
	if (!s->asked || s->answered)
		return;
	done(s);
	if (p->li->web)
		fl_web_v3_gone(s);
	else
		p->quic->ops.gone(s);
	spend(p);
}

static void earn(struct fl_quic_peer *p) { p->credit += p->credit < RESET_CREDIT; }

void fl_quic_answer(struct fl_quic_stream *s, const uint8_t *bytes, size_t n)
{
	struct fl_quic_peer *p = peer_of(s->conn);
	uint8_t *frame = fl_quic_resize(&s->conn->mem, NULL, n + 2);
	if (frame) {
		frame[0] = (uint8_t)(n >> 8);
		frame[1] = (uint8_t)n;
		memcpy(frame + 2, bytes, n);
		fl_quic_stream_put(s, frame, n + 2);
		earn(p);
	} else {                                /* it does not read what it asked for */
		fl_quic_conn_close(s->conn, true, FL_DOQ_EXCESSIVE_LOAD, "");
	}
	done(s);
	dirty(p);
}

void fl_quic_refuse(struct fl_quic_stream *s)
{
	struct fl_quic_peer *p = peer_of(s->conn);
	fl_quic_shutdown_write(s->conn->ng, s->id, FL_DOQ_INTERNAL_ERROR);
	p->quic->ops.error(p->li, FL_DOQ_INTERNAL_ERROR);
	s->deaf = true;
	done(s);
	dirty(p);
}

void fl_quic_protocol_error(struct fl_quic_stream *s)
{
	fl_quic_conn_close(s->conn, true, FL_DOQ_PROTOCOL_ERROR, "");
	done(s);
	dirty(peer_of(s->conn));
}

void fl_quic_asked(struct fl_quic_stream *s)
{
	s->asked = true;
	s->due_ns = UINT64_MAX;
	peer_of(s->conn)->li->working++;
}

void fl_quic_answered(struct fl_quic_stream *s)
{
	earn(peer_of(s->conn));
	done(s);
	dirty(peer_of(s->conn));
}

void fl_quic_drop(struct fl_quic_stream *s, uint64_t code)
{
	struct fl_quic_peer *p = peer_of(s->conn);
	fl_quic_shutdown(s->conn->ng, s->id, code);
	if (s->asked)
		return;
	s->deaf = s->asked = s->answered = s->late = true;
	s->due_ns = fl_loop_now(p->quic->loop) + p->li->conf.idle_ns;
	fl_quic_patience(p, s->due_ns);
	if (!p->li->closed)
		spend(p);
}

struct fl_quic_listener *fl_quic_stream_listener(const struct fl_quic_stream *s) { return peer_of(s->conn)->li; }
const struct fl_udp_way *fl_quic_stream_way(const struct fl_quic_stream *s) { return &peer_of(s->conn)->way; }
void *fl_quic_stream_room(struct fl_quic_stream *s) { return s->room; }

/* ---- patience: a query that does not come, a stream that does not end ---- */

void fl_quic_patience(struct fl_quic_peer *p, uint64_t at)
{
	if (!p->patience.on || at < p->patience.at_ns)
		fl_timer_set(p->quic->loop, &p->patience, at);
}

static bool opened(struct fl_quic_stream *s)
{
	struct fl_quic_peer *p = peer_of(s->conn);
	if (!ngtcp2_is_bidi_stream(s->id))
		return true;
	s->due_ns = fl_loop_now(p->quic->loop) + p->li->conf.read_ns;
	fl_quic_patience(p, s->due_ns);
	return true;
}

/* The query did not come in time: this stream alone is given up. Only clients of DoQ may ask a peer to stop sending (§4.3.1), so it stays
 * half open until its client ends it, and counts as one of its streams. */
static void give_up(struct fl_quic_peer *p, struct fl_quic_stream *s)
{
	fl_quic_count(&p->quic->stats.stalled, !s->answered);
	if (p->li->web) {
		fl_web_v3_late(s);
	} else {
		tell_error(p, FL_DOQ_INTERNAL_ERROR);
		fl_quic_shutdown_write(p->c.ng, s->id, FL_DOQ_INTERNAL_ERROR);
	}
	s->deaf = s->asked = s->answered = s->late = true;
	s->due_ns = fl_loop_now(p->quic->loop) + p->li->conf.idle_ns;
}

static void impatient(struct fl_timer *t)
{
	struct fl_quic_peer *p = (struct fl_quic_peer *)((char *)t - offsetof(struct fl_quic_peer, patience));
	uint64_t now = fl_loop_now(p->quic->loop), next = UINT64_MAX;
	for (struct fl_quic_stream *s = p->c.all.first; s; s = s->next) {
		if (s->due_ns <= now && (!s->answered || (p->li->web && !s->late))) {
			give_up(p, s);
		} else if (s->due_ns <= now) {
			s->dangling = true;
			s->due_ns = UINT64_MAX;
			p->dangling++;
		}
		next = s->due_ns < next ? s->due_ns : next;
	}
	if (p->dangling >= p->max_streams)      /* RFC 9250 §4.2: such streams may be limited; it could ask nothing more anyway */
		fl_quic_conn_close(&p->c, true, FL_DOQ_EXCESSIVE_LOAD, "");
	if (next != UINT64_MAX)
		fl_timer_set(p->quic->loop, t, next);
	dirty(p);
}

/* ---- handshakes ---- */

static void handshaked(struct fl_quic_conn *c)
{
	struct fl_quic_peer *p = peer_of(c);
	struct fl_quic_listener *li = p->li;
	p->half = false;
	p->quic->half--;
	fl_quic_count(&p->quic->stats.accepted, 1);
	p->counted = true;
	uint32_t now = __atomic_add_fetch(li->total, 1, __ATOMIC_RELAXED);
	if (li->conf.max_conns && now > li->conf.max_conns) {
		fl_quic_count(&p->quic->stats.refused, 1);
		p->refused = true;
		fl_quic_conn_close(c, true, li->web ? FL_DOQ_EXCESSIVE_LOAD : FL_DOQ_NO_ERROR, "too many connections");         /* as CoreDNS */
	} else if (li->closed) {
		fl_quic_conn_close(c, true, FL_DOQ_NO_ERROR, "");
	}
}

static int new_cid(struct fl_quic_conn *c, ngtcp2_cid *cid, uint8_t *token)
{
	struct fl_quic_peer *p = peer_of(c);
	if (fl_quic_cid_add(p->quic, p, cid))
		return -ENOSPC;
	return fl_quic_reset_token(token, cid);
}

static void old_cid(struct fl_quic_conn *c, const ngtcp2_cid *cid) { fl_quic_cid_del(peer_of(c)->quic, peer_of(c), cid); }

static const struct fl_quic_side server_side = {
	.message = message, .reset = reset, .gone = gone, .opened = opened, .handshaked = handshaked, .new_cid = new_cid, .old_cid = old_cid,
	.room = room, .send = send_it, .expired = expired,
};

static int prepare(void *arg, gnutls_session_t s)
{
	struct fl_quic_peer *p = arg;
	return p->li->tls(p->li, s, &p->held);
}

static int open_conn(struct fl_quic_peer *p, const ngtcp2_pkt_hd *hd, const ngtcp2_cid *odcid, const ngtcp2_path *path)
{
	const struct fl_quic_conf *conf = &p->li->conf;
	ngtcp2_settings settings;
	ngtcp2_transport_params params;
	ngtcp2_cid scid = { .datalen = FL_QUIC_CID };
	fl_quic_defaults(&p->c, &settings, &params);
	settings.handshake_timeout = HANDSHAKE_S * FL_SEC;
	params.initial_max_streams_bidi = p->max_streams = conf->max_streams;
	params.max_idle_timeout = conf->idle_ns;
	params.disable_active_migration = 1;
	fl_quic_set_odcid(&params, odcid ? odcid : &hd->dcid);
	if (odcid) {
		params.retry_scid = hd->dcid;
		params.retry_scid_present = 1;
		fl_quic_set_token(&settings, hd);
	}
	gnutls_rnd(GNUTLS_RND_NONCE, scid.data, scid.datalen);
	if (fl_quic_reset_token(params.stateless_reset_token, &scid))
		return -ENOMEM;
	params.stateless_reset_token_present = 1;
	if (fl_quic_cid_add(p->quic, p, &scid) || fl_quic_cid_add(p->quic, p, &hd->dcid) ||
	    ngtcp2_conn_server_new(&p->c.ng, &hd->scid, &scid, path, hd->version, &fl_quic_callbacks, &settings, &params, &p->c.mem.ng, &p->c))
		return -ENOMEM;
	return fl_quic_tls_open(&p->c, true, prepare, p) < 0 ? -ENOMEM : 0;
}

struct fl_quic_peer *fl_quic_accept(struct fl_quic_listener *li, const struct fl_udp_way *way, const ngtcp2_pkt_hd *hd,
				    const ngtcp2_cid *odcid, const ngtcp2_path *path)
{
	struct fl_quic *q = li->quic;
	struct fl_quic_peer *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->quic = q;
	p->li = li;
	p->way = *way;
	p->credit = RESET_CREDIT;
	p->patience.fn = impatient;
	p->client = fl_quic_client_of(way);
	p->half = true;
	q->half++;
	q->conns++;
	q->clients[p->client].conns++;
	fl_quic_count(&q->stats.open, 1);
	li->conns++;
	p->next = li->first;
	if (p->next)
		p->next->prev = p;
	li->first = p;
	fl_quic_conn_init(&p->c, q->loop, li->web ? &fl_web_v3 : &fl_quic_doq, &server_side, &q->clients[p->client].mem);
	if (open_conn(p, hd, odcid, path)) {
		end(p);
		return NULL;
	}
	return p;
}

void fl_quic_feed(struct fl_quic_peer *p, const ngtcp2_path *path, const uint8_t *bytes, size_t n)
{
	int ret = fl_quic_conn_read(&p->c, path, bytes, n);
	if (ret)
		fl_quic_conn_failed(&p->c, ret);
	after(p);
}

/* ---- create, destroy, listen ---- */

struct fl_quic *fl_quic_create(struct fl_loop *l, struct fl_udp *u, const struct fl_quic_ops *ops)
{
	struct fl_quic *q = calloc(1, sizeof *q);
	if (!q)
		return NULL;
	q->loop = l;
	q->udp = u;
	q->ops = *ops;
	q->budget.limit = BUDGET;
	for (unsigned i = 0; i < FL_QUIC_CLIENTS; i++)
		q->clients[i].mem = (struct fl_quic_budget){ .limit = CLIENT_BUDGET, .up = &q->budget };
	return q;
}

/* The listener may go with the last of them. */
static void close_all(struct fl_quic_listener *li)
{
	for (struct fl_quic_peer *p = li->first, *next; p; p = next) {
		next = p->next;
		fl_quic_conn_close(&p->c, true, FL_DOQ_NO_ERROR, "");
		fl_quic_conn_write(&p->c);
		end(p);
	}
}

void fl_quic_destroy(struct fl_quic *q)
{
	if (!q)
		return;
	for (struct fl_quic_listener *li = q->listeners, *next; li; li = next) {
		next = li->next;
		li->closed = true;
		li->on_gone = NULL;
		fl_timer_clear(q->loop, &li->drain);
		close_all(li);
	}
	fl_udp_flush(q->udp);
	free(q);
}

struct fl_quic_stats fl_quic_stats(const struct fl_quic *q)
{
	struct fl_quic_stats st;
	const uint64_t *from = (const uint64_t *)&q->stats;
	for (size_t i = 0; i < sizeof st / sizeof *from; i++)
		((uint64_t *)&st)[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	return st;
}

void fl_quic_listen(struct fl_quic *q, struct fl_quic_listener *li)
{
	li->quic = q;
	li->first = NULL;
	li->waiting = (struct fl_quic_streams){ 0 };
	li->conns = li->working = 0;
	li->closed = false;
	li->next = q->listeners;
	q->listeners = li;
}

static void drained(struct fl_timer *t)
{
	struct fl_quic_listener *li = (struct fl_quic_listener *)((char *)t - offsetof(struct fl_quic_listener, drain));
	close_all(li);
}

void fl_quic_unlisten(struct fl_quic_listener *li)
{
	li->closed = true;
	li->drain.fn = drained;
	fl_timer_set(li->quic->loop, &li->drain, fl_loop_now(li->quic->loop) + FL_QUIC_DRAIN_S * FL_SEC);
	for (struct fl_quic_peer *p = li->first; p; p = p->next) {
		if (li->web)
			fl_web_v3_leave(&p->c);
		dirty(p);
	}
	gone_listener(li);
}
