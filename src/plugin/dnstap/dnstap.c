/* dnstap SOCKET … | listen SOCKET …: copies of what comes and goes, for those who study it. */
#include "plugin/dnstap/dnstap.h"
#include "dns/plugin.h"
#include "dns/tap.h"
#include <ctype.h>
#include <errno.h>
#include <unistd.h>

enum { WHO_MAX = 4096, EXTRA_MAX = 4096, BUFFER_MAX = 1024, QUEUE_MAX = 4096 };

/* One line of the directive. */
struct tap {
	struct dnstap_where where;
	struct dnstap_who who;
	bool full, has_extra;
	struct fl_format extra;
	struct dnstap_pipe *pipe;
	struct tap *next;
};

struct dnstap { struct tap *tap, **last; };

/* ---- set-up ---- */

/* The host part of a URL, as far as an endpoint needs it (net/url.Parse). False: Go would not parse it. */
static bool url_host(struct fl_str rest, struct fl_str *host)
{
	size_t n = 0, at = 0;
	while (n < rest.n && !strchr("/?#", rest.p[n]))
		n++;
	for (size_t i = 0; i < n; i++)
		at = rest.p[i] == '@' ? i + 1 : at;
	*host = (struct fl_str){ rest.p + at, n - at };
	const char *close = host->n && host->p[0] == '[' ? memchr(host->p, ']', host->n) : host->p;
	if (!close)
		return false;
	struct fl_str tail = { close, (size_t)(host->p + host->n - close) };
	const char *colon = memchr(tail.p, ':', tail.n);
	for (const char *p = colon ? colon + 1 : tail.p + tail.n; p < tail.p + tail.n; p++)
		if (!isdigit((unsigned char)*p))
			return false;
	for (size_t i = 0; i < host->n; i++)
		if ((unsigned char)host->p[i] <= ' ' || strchr("<>\"\\^`{|}%", host->p[i]))
			return false;
	return true;
}

static int endpoint(struct fl_setup *s, struct dnstap_where *w, struct fl_str arg)
{
	bool tls = fl_str_starts(arg, FL_STR("tls://")), tcp = fl_str_starts(arg, FL_STR("tcp://"));
	w->proto = tls ? DNSTAP_TLS : tcp ? DNSTAP_TCP : DNSTAP_UNIX;
	if (tls || tcp)
		return url_host((struct fl_str){ arg.p + 6, arg.n - 6 }, &w->endpoint) ? 0 : fl_setup_arg_error(s);
	size_t skip = fl_str_starts(arg, FL_STR("unix://")) ? 7 : 0;
	w->endpoint = (struct fl_str){ arg.p + skip, arg.n - skip };
	return 0;
}

static int multiple(struct fl_setup *s, struct fl_str arg, bool queue, unsigned *to)
{
	struct fl_err e;
	int64_t v;
	const char *name = queue ? "MultipleQueue" : "MultipleTcpWriteBuf";
	int max = queue ? QUEUE_MAX : BUFFER_MAX;
	if (fl_atoi(arg, &v, &e))
		return fl_setup_parse_error(s, "dnstap: invalid %s \"%.*s\": %s", name, FL_FMT(arg), e.msg);
	if (v < 1 || v > max)
		return fl_setup_parse_error(s, "dnstap: %s must be between 1 and %d (%s): %lld", name, max, queue ? "x10k messages" : "MiB units",
					    (long long)v);
	*to = (unsigned)v;
	return 0;
}

static int arguments(struct fl_setup *s, struct tap *t)
{
	struct fl_str *arg;
	unsigned n = fl_disp_args(fl_setup_disp(s), &arg);
	if (!n)
		return fl_setup_arg_error(s);
	t->where.listen = fl_str_is(arg[0], "listen");
	if (t->where.listen && n < 2)
		return fl_setup_parse_error(s, "dnstap listen requires an endpoint argument");
	arg += t->where.listen;
	n -= t->where.listen;
	int ret = n > 2 ? multiple(s, arg[2], false, &t->where.buffer_mib) : 0;
	ret = ret || n < 4 ? ret : multiple(s, arg[3], true, &t->where.queue);
	t->full = n > 1 && fl_str_is(arg[1], "full");
	return ret ? ret : endpoint(s, &t->where, arg[0]);
}

static int text(struct fl_setup *s, struct fl_str *to)
{
	if (!fl_disp_next_arg(fl_setup_disp(s)))
		return fl_setup_arg_error(s);
	*to = fl_disp_val(fl_setup_disp(s));
	return to->n > WHO_MAX ? fl_setup_parse_error(s, "longer than %d octets", WHO_MAX) : 0;
}

static int option(struct fl_setup *s, struct tap *t)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str name = fl_disp_val(d), *arg, format;
	if (fl_str_is(name, "skipverify")) {
		t->where.skipverify = true;
		return 0;
	}
	if (fl_str_is(name, "identity"))
		return text(s, &t->who.identity);
	if (fl_str_is(name, "version"))
		return text(s, &t->who.version);
	if (fl_str_is(name, "extra")) {
		int ret = text(s, &format);
		t->has_extra = !ret && format.n;
		return ret || !fl_format_parse(fl_setup_arena(s), format, &t->extra) ? ret : fl_setup_error(s, "out of memory");
	}
	if (!fl_str_is(name, "tls"))
		return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(name));
	if (!t->where.listen)
		return fl_setup_parse_error(s, "tls directive only valid for listeners");
	unsigned n = fl_disp_args(d, &arg);
	if (n < 2)
		return fl_setup_parse_error(s, "tls requires cert and key file paths");
	t->where.cert = arg[0];
	t->where.key = arg[1];
	if (n > 2)
		t->where.ca = arg[2];
	return 0;
}

static int line(struct fl_setup *s, struct dnstap *d)
{
	struct fl_arena *a = fl_setup_arena(s);
	struct tap *t = fl_zalloc(a, sizeof *t);
	char host[256] = "";
	if (!t)
		return fl_setup_error(s, "out of memory");
	*d->last = t;
	d->last = &t->next;
	gethostname(host, sizeof host - 1);
	t->where.buffer_mib = t->where.queue = 1;
	t->who = (struct dnstap_who){ fl_arena_str(a, fl_str(host)), FL_STR("fairlead-" FL_VERSION) };
	int ret = arguments(s, t);
	while (!ret && fl_disp_next_block(fl_setup_disp(s)))
		ret = option(s, t);
	return ret;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct dnstap *d = fl_zalloc(fl_setup_arena(s), sizeof *d);
	int ret = 0;
	if (!d)
		return fl_setup_error(s, "out of memory");
	d->last = &d->tap;
	while (!ret && fl_disp_next(fl_setup_disp(s)))
		ret = line(s, d);
	*inst = d;
	return ret;
}

static int join(struct fl_setup *s, void *inst)
{
	struct dnstap *d = inst;
	struct fl_err e;
	for (struct tap *t = d->tap; t && !fl_setup_process(s)->dry; t = t->next)
		if (!(t->pipe = fl_dnstap_pipe(s, &t->where, &e)))
			return fl_setup_error(s, "%s", e.msg);
	return 0;
}

static int start(void *inst, struct fl_err *e)
{
	struct dnstap *d = inst;
	(void)e;
	for (struct tap *t = d->tap; t; t = t->next)
		fl_dnstap_pipe_start(t->pipe);
	return 0;
}

/* ---- events ---- */

static void emit(const struct dnstap *d, struct fl_query *q, struct dnstap_event *ev, const uint8_t *msg, size_t n)
{
	char room[EXTRA_MAX];
	for (const struct tap *t = d->tap; t; t = t->next) {
		struct fl_line extra = { room, 0, sizeof room };
		ev->msg = t->full ? msg : NULL;
		ev->nmsg = n;
		ev->extra = FL_STR("");
		ev->extra.p = NULL;
		if (t->has_extra) {
			fl_format_put(&extra, &t->extra, q, NULL);
			ev->extra = (struct fl_str){ room, extra.n };
		}
		size_t len = fl_dnstap_frame(NULL, &t->who, ev);
		uint8_t *to = fl_dnstap_room(t->pipe, q->shard->id, len);
		if (!to)
			continue;
		fl_dnstap_frame(to, &t->who, ev);
		fl_dnstap_send(t->pipe, q->shard->id, len);
	}
}

/* The time of the question stays in the slot: where there is none, the question never came by here. */
static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const struct fl_client *c = q->client;
	uint64_t *came = q->parent ? NULL : fl_alloc(q->arena, sizeof *came);
	if (!came)              /* a lookup of our own is no client's question */
		return FL_NEXT;
	*came = fl_clock_wall_ns();
	*fl_slot(q) = came;
	struct dnstap_event ev = { .type = DNSTAP_CLIENT_QUERY, .tcp = c->tcp, .from = c->peer, .from_port = c->peer_port, .query_ns = *came };
	emit(inst, q, &ev, c->packet, c->packet_len);
	return FL_NEXT;
}

static void sent(void *inst, struct fl_query *q, const struct fl_sent *s)
{
	const struct fl_client *c = q->client;
	const uint64_t *came = *fl_slot(q);
	if (!came || !s->bytes)
		return;
	struct dnstap_event ev = { .type = DNSTAP_CLIENT_RESPONSE, .tcp = c->tcp, .from = c->peer, .from_port = c->peer_port, .query_ns = *came,
				   .response_ns = fl_clock_wall_ns() };
	emit(inst, q, &ev, s->bytes, s->len);
}

static void forwarded(void *inst, struct fl_query *q, const struct fl_tap_exchange *x)
{
	uint64_t now = fl_clock_wall_ns();
	struct dnstap_event ev = { .type = DNSTAP_FORWARDER_QUERY, .tcp = x->tcp, .from = x->from, .from_port = x->from_port, .to = x->to,
				   .to_port = x->to_port, .query_ns = now - x->ago_ns };
	emit(inst, q, &ev, x->query, x->nquery);
	if (!x->reply)
		return;
	ev.type = DNSTAP_FORWARDER_RESPONSE;
	ev.response_ns = now;
	emit(inst, q, &ev, x->reply, x->nreply);
}

static const void *iface(void *inst, const char *what)
{
	static const struct fl_tap_ops ops = { forwarded };
	(void)inst;
	return strcmp(what, "tap") ? NULL : &ops;
}

static const struct fl_opt opts[] = {
	{ "", "[listen] SOCKET [full] [WRITEBUFFER] [QUEUE]", "a path, unix://PATH, tcp://HOST:PORT, tls://HOST:PORT; full: messages too" },
	{ "identity", "IDENTITY", "who says so; default the host's name" },
	{ "version", "VERSION", "of what; default fairlead's" },
	{ "extra", "EXTRA", "text with placeholders, as in log" },
	{ "tls", "CERT KEY [CA]", "for listen tls://; CA: who readers must be signed by" },
	{ "skipverify", "", "the certificate of a tls:// endpoint proves nothing" },
	{ 0 }
};

FL_PLUGIN(dnstap, .opts = opts, .setup = setup, .link = join, .start = start, .query = query, .sent = sent, .iface = iface);
