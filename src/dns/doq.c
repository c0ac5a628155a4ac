/* DNS over QUIC between net/quic and the queries: listeners, what comes in on a stream and goes back, numbers for /metrics. HTTP/3 has the
 * listeners and the numbers; what its requests say is doh.c's. On the shard, but what says otherwise. */
#include "dns/server_int.h"
#include "base/log.h"
#include "net/tls_server.h"
#include "wire/message.h"
#include <errno.h>
#include <sys/epoll.h>

enum { KEEPALIVE = 11 };        /* edns-tcp-keepalive: RFC 9250 §5.5.2 forbids it here */

struct doq_ask { struct fl_asker asker; struct fl_quic_stream *stream; };
_Static_assert(sizeof(struct doq_ask) <= FL_QUIC_ROOM, "fits in its stream");

static struct fl_listener *listener_of(struct fl_quic_listener *q) { return (struct fl_listener *)((char *)q - offsetof(struct fl_listener, quic)); }

static void count(struct fl_listener *l, unsigned status)
{
	static const uint8_t cell[] = { [FL_DOQ_OK] = 0, [FL_DOQ_INTERNAL] = 1, [FL_DOQ_PROTOCOL] = 2, [FL_DOQ_EXCESS] = 3 };
	fl_grid_add(l->doq, l->shard->sh.id, status < FL_COUNT(cell) ? cell[status] : 1, 1);
}

/* ---- queries ---- */

static void answer(struct fl_asker *a, const uint8_t *msg, size_t n, const struct fl_query *q)
{
	struct doq_ask *d = (struct doq_ask *)a;
	(void)q;
	if (!msg) {                             /* nothing may be said; the stream ends all the same */
		fl_quic_refuse(d->stream);
		return;
	}
	count(listener_of(fl_quic_stream_listener(d->stream)), FL_DOQ_OK);
	fl_quic_answer(d->stream, msg, n);
}

static bool has_keepalive(const uint8_t *bytes, size_t n)
{
	struct fl_request r;
	if (fl_request_parse(&r, bytes, n, 0xffff) != FL_PARSED_OK || !r.opt_len)
		return false;
	const uint8_t *p = r.opt_data, *end = p + r.opt_len;
	for (size_t len; end - p >= 4; p += 4 + len) {
		len = fl_get16(p + 2);
		if (fl_get16(p) == KEEPALIVE)
			return true;
		if (len > (size_t)(end - p) - 4)
			break;
	}
	return false;
}

static void query(struct fl_quic_stream *s, const uint8_t *bytes, size_t n)
{
	struct fl_listener *l = listener_of(fl_quic_stream_listener(s));
	struct doq_ask *d = fl_quic_stream_room(s);
	*d = (struct doq_ask){ .asker = { .way = fl_quic_stream_way(s), .udp = true, .answer = answer }, .stream = s };
	if (has_keepalive(bytes, n) || !fl_query_stream(l, &d->asker, bytes, n))
		fl_quic_protocol_error(s);
}

static void gone(struct fl_quic_stream *s) { fl_query_gone(&((struct doq_ask *)fl_quic_stream_room(s))->asker); }
static void error(struct fl_quic_listener *q, unsigned code) { count(listener_of(q), code); }

/* ---- listeners ---- */

static int tls(struct fl_quic_listener *q, struct gnutls_session_int *s, void **held)
{
	struct fl_tls_server *now = fl_tls_host_now(listener_of(q)->group->tls);
	*held = now;
	return fl_tls_server_prepare(now, s);
}

static void forget(void *held) { fl_tls_server_put(held); }

static void on_gone(struct fl_quic_listener *q)
{
	struct fl_listener *l = listener_of(q);
	fl_udp_flush(l->shard->udp);            /* goodbyes that wait for the socket */
	fl_loop_del(l->shard->sh.loop, &l->udp);
	fl_listener_put(l);
}

void fl_doq_ready(struct fl_io *io, uint32_t events)
{
	struct fl_listener *l = (struct fl_listener *)io;
	struct fl_shard_x *x = l->shard;
	struct fl_udp_in *in;
	(void)events;
	x->sh.now_ns = fl_loop_now(x->sh.loop);
	int n = fl_udp_recv(x->udp, io->fd, l->wildcard, &in);
	for (int i = 0; i < n; i++)
		fl_quic_datagram(&l->quic, &in[i]);
	x->sent_something = true;
}

void fl_doq_settings(struct fl_listener *l, const struct fl_group *g)
{
	unsigned shards = l->shard->server->process.shards;
	l->doq = g->doq;
	l->quic.web = l->web;
	l->quic.conf = (struct fl_quic_conf){ .read_ns = l->tcp.read_ns, .idle_ns = l->tcp.idle_ns, .max_streams = g->max_streams,
					      .max_conns = g->max_conns, .workers = g->workers / shards + (g->workers % shards != 0),
					      .write_ns = l->tcp.write_ns };
}

int fl_doq_listen(struct fl_listener *l, struct fl_tcp_share *share)
{
	static const struct fl_quic_ops ops = { query, gone, error };
	struct fl_shard_x *x = l->shard;
	if (!x->quic)
		__atomic_store_n(&x->quic, fl_quic_create(x->sh.loop, x->udp, &ops), __ATOMIC_RELEASE);
	if (!x->quic)
		return -ENOMEM;
	l->quic.fd = l->udp.fd;
	l->quic.wildcard = l->wildcard;
	l->quic.total = &share->n;
	l->quic.tls = tls;
	l->quic.forget = forget;
	l->quic.on_gone = on_gone;
	fl_quic_listen(x->quic, &l->quic);
	return fl_loop_add(x->sh.loop, &l->udp, EPOLLIN);
}

void fl_doq_unlisten(struct fl_listener *l)
{
	l->users++;                             /* until on_gone() */
	fl_doq_ready(&l->udp, 0);
	fl_quic_unlisten(&l->quic);
}

/* ---- /metrics (main thread) ---- */

struct fl_grid *fl_doq_grid(struct fl_str server)
{
	static const char *const codes[] = { "0x0", "0x1", "0x2", "0x4" };
	static const struct fl_dim status = { FL_COUNT(codes), codes };
	static const struct fl_metric_def def = { .name = "coredns_dns_quic_responses_total", .kind = FL_COUNTER,
		.help = "Counter of DoQ responses per server and QUIC application code.", .labels = { "server", "status" } };
	return fl_metric_grid(fl_metric(&def), &server, &status, 1);
}

static const struct fl_metric_def open_def = { .name = "fairlead_quic_connections", .kind = FL_GAUGE,
	.help = "Connections of QUIC (DoQ, HTTP/3) that are open, or in their handshake." };
static const struct fl_metric_def happened_def = { .name = "fairlead_quic_events_total", .kind = FL_COUNTER,
	.help = "What happened on listeners of QUIC (DoQ, HTTP/3): accepted, refused (max_connections), crowded (of one client), flooded (too many handshakes), "
		"retry (an address had to be proved), negotiated (a version), reset (an unknown connection), bad_token, garbage (datagrams), failed "
		"(handshakes), timeout (idle connections), stalled (queries that did not come), protocol_error, excessive_load (connections).",
	.labels = { "event" } };

static const struct { const char *event; size_t at; } events[] = {
#define E(name, field) { name, offsetof(struct fl_quic_stats, field) }
	E("accepted", accepted), E("refused", refused), E("crowded", crowded), E("flooded", flooded), E("retry", retries),
	E("negotiated", negotiated), E("reset", resets), E("bad_token", bad_token), E("garbage", garbage), E("failed", failed),
	E("timeout", timed_out), E("stalled", stalled), E("protocol_error", protocol), E("excessive_load", excessive),
#undef E
};

static uint64_t *field(struct fl_quic_stats *st, size_t at) { return (uint64_t *)((char *)st + at); }

static void look(void *arg)
{
	struct fl_server *s = arg;
	struct fl_quic_stats all = { 0 };
	bool any = false;
	for (unsigned i = 1; i <= s->process.shards; i++) {
		struct fl_quic *q = __atomic_load_n(&s->shard[i]->quic, __ATOMIC_ACQUIRE);
		if (!q)
			continue;
		struct fl_quic_stats one = fl_quic_stats(q);
		any = true;
		all.open += one.open;
		for (unsigned k = 0; k < FL_COUNT(events); k++)
			*field(&all, events[k].at) += *field(&one, events[k].at);
	}
	if (!any)
		return;
	fl_grid_set(fl_metric_plain(&open_def), (double)all.open);
	for (unsigned k = 0; k < FL_COUNT(events); k++) {
		uint64_t now = *field(&all, events[k].at), *told = field(&s->told_quic, events[k].at);
		fl_grid_add(fl_metric_plain(&happened_def, events[k].event), 0, 0, now - *told);
		*told = now;
	}
}

void fl_doq_watch(struct fl_server *s) { fl_metric_before(look, s); }

void fl_doq_forget(struct fl_server *s) { fl_metric_before_drop(look, s); }
