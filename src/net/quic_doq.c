/* DoQ on streams of QUIC, both ends: messages in (net/doq) and out, each with the stream's end behind it. */
#include "net/quic_int.h"

static struct fl_doq_mem mem_of(struct fl_quic_conn *c) { return (struct fl_doq_mem){ fl_quic_resize, &c->mem }; }

static void data(struct fl_quic_stream *s, const uint8_t *p, size_t n, bool fin)
{
	struct fl_quic_conn *c = s->conn;
	struct fl_doq_mem m = mem_of(c);
	struct fl_str msg;
	switch (fl_doq_feed(&s->in, p, n, fin, &m, &msg)) {
	case FL_DOQ_WHOLE:
		c->side->message(s, msg);
		break;
	case FL_DOQ_BAD:
		fl_quic_conn_close(c, true, FL_DOQ_PROTOCOL_ERROR, "");
		break;
	case FL_DOQ_FULL:
		fl_quic_conn_close(c, true, FL_DOQ_EXCESSIVE_LOAD, "");
		break;
	case FL_DOQ_MORE:
		break;
	}
}

static void ready(struct fl_quic_stream *s)
{
	s->ready = true;
	fl_quic_list_add(&s->conn->ready, s);
}

void fl_quic_stream_put(struct fl_quic_stream *s, uint8_t *frame, size_t n)
{
	s->out = frame;
	s->out_n = n;
	s->out_at = 0;
	ready(s);
}

static bool next(struct fl_quic_conn *c, struct fl_quic_piece *p)
{
	struct fl_quic_stream *s = c->ready.first;
	if (!s)
		return false;
	*p = (struct fl_quic_piece){ .stream = s, .fin = true, .n = 1, .v = { { s->out + s->out_at, s->out_n - s->out_at } } };
	return true;
}

static void took(struct fl_quic_conn *c, const struct fl_quic_piece *p, size_t n)
{
	(void)c;
	p->stream->out_at += n;
	if (p->stream->out_at == p->stream->out_n)
		fl_quic_stream_rest(p->stream);
}

static void release(struct fl_quic_stream *s)
{
	struct fl_doq_mem m = mem_of(s->conn);
	fl_doq_finish(&s->in, &m);
}

const struct fl_quic_proto fl_quic_doq = {
	.alpn = "doq", .stream_window = 65537,  /* a length and all it can say */
	.data = data, .next = next, .took = took, .again = ready, .shut = fl_quic_stream_rest, .release = release,
};
