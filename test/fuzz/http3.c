/* What a client of HTTP/3 says on its streams: any bytes, in portions and on streams that the input chooses, with ends, resets, a peer that takes
 * little or acknowledges late, into web_v3 and nghttp3. QUIC itself is left out: the few calls into ngtcp2 that web_v3 makes are answered here
 * (the linker prefers them). Whatever comes, every request that was handed out ends once, and all memory comes back. */
#include <stdlib.h>
#include "net/quic_server_int.h"
#include "web_owner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAMS = 8, PIECE = 1200 };

static struct fl_loop *loop;
static struct fl_quic *quic;
static struct fl_quic_listener li;
static uint32_t total;
static struct fl_web_stats stats;
static size_t ours;                     /* streams of the server's own */
static uint64_t room;                   /* that the client lets the connection have */

/* ---- ngtcp2 ---- */

int ngtcp2_conn_open_uni_stream(ngtcp2_conn *ng, int64_t *id, void *user)
{
	(void)ng, (void)user;
	*id = 3 + 4 * (int64_t)ours++;
	return 0;
}

int ngtcp2_conn_set_stream_user_data(ngtcp2_conn *ng, int64_t id, void *user)
{
	(void)ng, (void)id, (void)user;
	return 0;
}

int ngtcp2_conn_extend_max_stream_offset(ngtcp2_conn *ng, int64_t id, uint64_t n)
{
	(void)ng, (void)id;
	fl_assert(n < 1 << 20);
	return 0;
}

uint64_t ngtcp2_conn_get_max_data_left(ngtcp2_conn *ng)
{
	(void)ng;
	return room;
}

#if NGTCP2_VERSION_NUM >= 0x010000
#define SHUTDOWN(name) int name(ngtcp2_conn *ng, uint32_t f, int64_t id, uint64_t code) { (void)ng, (void)f, (void)id, (void)code; return 0; }
#else
#define SHUTDOWN(name) int name(ngtcp2_conn *ng, int64_t id, uint64_t code) { (void)ng, (void)id, (void)code; return 0; }
#endif
SHUTDOWN(ngtcp2_conn_shutdown_stream)
SHUTDOWN(ngtcp2_conn_shutdown_stream_read)
SHUTDOWN(ngtcp2_conn_shutdown_stream_write)

/* ---- the connection ---- */

static void due(struct fl_timer *t) { (void)t; }

static void stream_gone(struct fl_quic_stream *s)
{
	if (!s->asked || s->answered)
		return;
	s->answered = true;
	fl_web_v3_gone(s);
}

static void init(void)
{
	static const struct fl_quic_ops none;
	static const struct fl_web_ops owner = { request, gone };
	fl_clock_virtual(1000 * FL_SEC);
	loop = fl_loop_create();
	quic = fl_quic_create(loop, fl_udp_create(), &none);
	li = (struct fl_quic_listener){ .fd = -1, .total = &total, .conf = { FL_SEC, FL_SEC, STREAMS, 8, 0, FL_SEC } };
	li.web = fl_web_create(loop, &owner, &stats);
	fl_quic_listen(quic, &li);
}

/* The server's pieces go out, as much of each as the input says. */
static void write_out(struct fl_quic_conn *c, unsigned how)
{
	struct fl_quic_piece p = { 0 };
	for (unsigned i = 0; i < 40 && c->proto->next(c, &p); i++, p = (struct fl_quic_piece){ 0 }) {
		size_t n = 0;
		for (unsigned k = 0; k < p.n; k++)
			for (size_t j = 0; j < p.v[k].len; j++, n++)
				__asm__ volatile("" : : "r"(p.v[k].base[j]));   /* is there */
		if (how % 7 == 6) {
			c->proto->stuck(p.stream);
		} else if (how % 11 == 10) {
			c->proto->shut(p.stream);
		} else {
			n = how % 3 && n > 1 ? n / 2 : n;
			c->proto->took(c, &p, n);
			if (how % 5)
				c->proto->acked(p.stream, n);
		}
	}
	if (how % 7 == 5)
		for (struct fl_quic_stream *s = c->all.first; s; s = s->next)
			c->proto->again(s);
}

static struct fl_quic_stream *by_id(struct fl_quic_conn *c, int64_t id)
{
	struct fl_quic_stream *s = c->all.first;
	while (s && s->id != id)
		s = s->next;
	return s;
}

/* One step: where and how, two octets of length, the bytes. */
static void step(struct fl_quic_conn *c, bool *ended, const uint8_t *p, size_t n, unsigned how)
{
	unsigned at = how % STREAMS;
	int64_t id = at < 5 ? 4 * (int64_t)at : 2 + 4 * (int64_t)(at - 5);      /* requests, and three in one direction */
	struct fl_quic_stream *s = by_id(c, id);
	bool fin = how & 8;
	uint8_t *exact = malloc(n + 1);
	if (!s && !ended[at])
		s = fl_quic_stream_new(c, id);
	memcpy(exact, p, n);
	if (s && !ended[at] && !s->deaf && !c->close && (n || fin))
		c->proto->data(s, n ? exact : NULL, n, fin);
	free(exact);
	ended[at] |= fin;
	if (how & 16)
		write_out(c, how / 32);
	if (s && how >= 224) {                  /* the stream is over */
		c->proto->closed(s, how & 7);
		fl_quic_stream_free(s);
		ended[at] = true;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fl_quic_side side = { .gone = stream_gone };
	bool ended[STREAMS] = { 0 };
	if (!loop)
		init();
	struct fl_quic_peer *p = calloc(1, sizeof *p);
	struct fl_quic_conn *c = &p->c;
	*p = (struct fl_quic_peer){ .quic = quic, .li = &li, .max_streams = STREAMS, .credit = 256, .patience = { .fn = due } };
	fl_quic_conn_init(c, loop, &fl_web_v3, &side, &quic->budget);
	c->mem.limit = 256 * 1024;
	c->state = FL_QUIC_OPEN;
	ours = 0;
	room = 1 << 20;
	fl_web_v3.open(c);
	while (size >= 3 && !c->close) {
		size_t n = (size_t)data[1] << 8 | data[2];
		n = n > size - 3 ? size - 3 : n;
		unsigned how = data[0];
		for (size_t at = 0, k; at < n || !n; at += k) {         /* as datagrams bring it */
			k = n - at < PIECE ? n - at : PIECE;
			bool end = at + k == n;
			step(c, ended, data + 3 + at, k, end ? how : how & 7);
			if (end)
				break;
		}
		data += n + 3;
		size -= n + 3;
	}
	if (!c->close && size)
		fl_web_v3_leave(c);
	write_out(c, 0);
	if (late && size != 1) {
		struct fl_web_req *r = late;
		late = NULL;
		answer(r);
		write_out(c, 0);
	}
	fl_quic_conn_free(c);
	fl_timer_clear(loop, &p->patience);
	quic->dirty = quic->dirty_last = NULL;
	quic->idle_workers = false;
	fl_assert(!live && !late && !c->mem.used && !quic->budget.used);
	li.working = 0;
	free(p);
	return 0;
}
