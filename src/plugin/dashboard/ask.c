/* Explain a name: the question goes to shard 1 as if it had come by UDP from this machine, through the chain that serves; what came of it,
 * and who said so, comes back.
 *
 *   GET → job → [post] shard: fl_put_on() … answer() copies → [post] shard: fl_put_end() → [post] main: words → job done
 *
 * The ask belongs to one thread at a time, and is made and freed on the main one. */
#include "plugin/dashboard/dashboard.h"
#include "dns/explain.h"
#include "wire/message.h"
#include "wire/text.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_MAX = 65535, RECORDS_MAX = 100, FINISH_MS = 20 };

struct dash_ask {
	struct dash_job *job;
	struct fl_loop *main;
	struct fl_shard *sh;
	struct fl_put *put;
	struct fl_timer again;
	struct fl_udp_way way;
	char port[8];
	uint8_t msg[FL_NAME_MAX + 32];
	size_t n;
	/* what came of it */
	uint64_t began_ns, took_ns;
	bool refused, silent;           /* no listener, or no question; the server would say nothing */
	const char *by;                 /* plugin; NULL: nobody answered */
	char server[128], zone[FL_NAME_TEXT_MAX], view[64], chain[1024], why[128];
	uint8_t answer[ANSWER_MAX];
	size_t answer_n;
};

/* ---- on the main thread: in words ---- */

static void records(struct fl_http_response *rs, const struct fl_message *m)
{
	static const char *const sections[] = { "answer", "authority", "additional" };
	char owner[FL_NAME_TEXT_MAX], type[16], data[4096];
	unsigned n = 0;
	fl_http_printf(rs, ",\"records\":[");
	for (unsigned i = 0; i < m->n; i++)
		for (struct fl_rr r = { 0 }; fl_rr_next(m->item[i].set, &r);) {
			if (n++ >= RECORDS_MAX)
				continue;
			size_t len = fl_name_text(owner, m->item[i].owner);
			fl_dash_text(rs, n > 1 ? ",\n{\"name\":" : "{\"name\":", (struct fl_str){ owner, len });
			fl_http_printf(rs, ",\"section\":\"%s\",\"ttl\":%u", sections[m->item[i].section], r.ttl);
			fl_type_text(type, r.type);
			fl_dash_text(rs, ",\"type\":", fl_str(type));
			len = fl_rdata_text(data, sizeof data, r.type, r.rdata, r.rdlen);
			fl_dash_text(rs, ",\"data\":", (struct fl_str){ data, len });
			fl_http_printf(rs, "}");
		}
	fl_http_printf(rs, "],\"count\":%u", n);
}

static void tell(const struct dash_ask *k, struct fl_http_response *rs)
{
	struct fl_arena a;
	struct fl_message m;
	char number[16];
	fl_dash_text(rs, ",\"by\":", fl_str(k->by));
	fl_dash_text(rs, ",\"server\":", fl_str(k->server));
	fl_dash_text(rs, ",\"zone\":", fl_str(k->zone));
	fl_dash_text(rs, ",\"view\":", fl_str(k->view));
	fl_dash_text(rs, ",\"chain\":", fl_str(k->chain));
	fl_dash_text(rs, ",\"reason\":", fl_str(k->why));
	fl_dash_number(rs, ",\"seconds\":", (double)k->took_ns / 1e9);
	fl_http_printf(rs, ",\"silent\":%s", k->silent ? "true" : "false");
	fl_arena_init(&a, NULL, 0, NULL, 8 * 1024 * 1024);
	if (k->answer_n && !fl_message_parse(&m, &a, k->answer, k->answer_n)) {
		snprintf(number, sizeof number, "RCODE%u", m.rcode);
		const char *name = fl_rcode_name(m.rcode);
		fl_dash_text(rs, ",\"rcode\":", fl_str(name ? name : number));
		fl_http_printf(rs, ",\"authoritative\":%s,\"octets\":%zu", m.flags & FL_AA ? "true" : "false", k->answer_n);
		records(rs, &m);
	} else {
		fl_http_printf(rs, ",\"rcode\":null,\"records\":[],\"count\":0");
	}
	fl_arena_finish(&a);
}

static void back(void *arg)
{
	struct dash_ask *k = arg;
	if (k->refused)
		fl_dash_text(&k->job->out, ",\"error\":", FL_STR("no server block listens for plain DNS here"));
	else
		tell(k, &k->job->out);
	k->job->done = true;
	k->job->ask = NULL;
	free(k);
}

/* ---- on the shard ---- */

static void finish(void *arg)
{
	struct dash_ask *k = arg;
	if (k->put && fl_put_busy(k->put)) {
		fl_timer_set(k->sh->loop, &k->again, fl_loop_now(k->sh->loop) + FINISH_MS * FL_MS);
		return;
	}
	fl_put_end(k->put);
	fl_loop_post(k->main, back, k);
}

static void finish_again(struct fl_timer *t) { finish((char *)t - offsetof(struct dash_ask, again)); }

static void words(char *to, size_t cap, struct fl_str s) { snprintf(to, cap, "%.*s", FL_FMT(s)); }

static void chain_words(struct dash_ask *k, const struct fl_chain *c)
{
	size_t at = 0;
	for (unsigned i = 0; i < c->n && at + 64 < sizeof k->chain; i++)
		at += (size_t)snprintf(k->chain + at, sizeof k->chain - at, i ? " %.60s" : "%.60s", c->at[i].p->name);
}

static void answered(void *arg, const uint8_t *msg, size_t n, const struct fl_query *q)
{
	struct dash_ask *k = arg;
	k->took_ns = fl_clock_ns() - k->began_ns;
	k->silent = !msg;
	if (msg && n <= sizeof k->answer) {
		memcpy(k->answer, msg, n);
		k->answer_n = n;
	}
	if (q && q->chain) {
		k->by = q->res.by ? q->res.by->name : NULL;
		words(k->server, sizeof k->server, q->chain->server);
		words(k->zone, sizeof k->zone, q->chain->zone);
		words(k->view, sizeof k->view, q->chain->view);
		words(k->why, sizeof k->why, fl_str(q->res.why));
		chain_words(k, q->chain);
	}
	fl_loop_post(k->sh->loop, finish, k);   /* not now: the query is still on its way out */
}

static void begin(void *arg)
{
	struct dash_ask *k = arg;
	k->began_ns = fl_clock_ns();
	k->put = fl_put_on(k->sh, &k->way, k->port, k->msg, k->n, answered, k);
	if (!k->put) {
		k->refused = true;
		fl_loop_post(k->main, back, k);
	}
}

/* ---- on the main thread ---- */

static size_t question(uint8_t *to, const uint8_t *name, size_t n, uint16_t type)
{
	uint8_t *p = to;
	uint8_t id[2];
	fl_random_bytes(id, sizeof id);
	memset(p, 0, 12);
	memcpy(p, id, 2);
	fl_put16(p + 2, FL_RD);
	p[5] = p[11] = 1;                       /* a question, and an OPT that allows long answers */
	memcpy(p + 12, name, n);
	p += 12 + n;
	fl_put16(p, type);
	fl_put16(p + 2, FL_C_IN);
	static const uint8_t opt[11] = { 0, 0, FL_T_OPT, 0x10, 0 };
	memcpy(p + 4, opt, sizeof opt);
	return (size_t)(p + 4 + sizeof opt - to);
}

/* Where to ask: the first plain listener of a block that has the dashboard. */
static bool place(const struct dash *d, struct dash_ask *k)
{
	for (const struct dash_zone *z = d->zone; z; z = z->next) {
		struct fl_str host, port, at = z->server;
		struct sockaddr_in6 sa;
		if (!fl_str_starts(at, FL_STR("dns://")))
			continue;
		at = (struct fl_str){ at.p + 6, at.n - 6 };
		if (fl_http_split(at, &host, &port, NULL) || port.n >= sizeof k->port)
			continue;
		words(k->port, sizeof k->port, port);
		k->way = (struct fl_udp_way){ .info = 4 };
		k->way.peer.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		k->way.local.v4.s_addr = htonl(INADDR_LOOPBACK);
		if (!host.n || !fl_sockaddr(&sa, host, 0))
			return true;
		if (sa.sin6_family == AF_INET) {
			k->way.local.v4 = ((struct sockaddr_in *)&sa)->sin_addr;
		} else {
			k->way.info = 6;
			k->way.local.v6 = sa.sin6_addr;
			k->way.peer.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
		}
		return true;
	}
	return false;
}

/* A number, or a name in any letter case. */
static bool type_of(char *text, uint16_t *type)
{
	for (char *p = text; *p; p++)
		*p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
	return fl_type_parse(fl_str(text), type);
}

void fl_dash_ask(struct dash *d, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	char name[FL_NAME_TEXT_MAX], text[16] = "A";
	uint8_t wire[FL_NAME_MAX];
	uint16_t type;
	if (fl_dash_job_asked(rq, rs))
		return;
	int n = fl_dash_param(rq, "name", name, sizeof name) ? fl_name_parse(wire, fl_str(name)) : -1;
	fl_dash_param(rq, "type", text, sizeof text);
	if (n <= 0 || !type_of(text, &type)) {
		fl_dash_error(rs, 400, n <= 0 ? "that is no domain name" : "that is no type of record");
		return;
	}
	struct dash_ask *k = fl_xalloc(sizeof *k);
	k->main = d->loop;
	k->sh = fl_dash_all->shard[1];          /* the oldest generation serves; a new one's shards may not have begun */
	k->again.fn = finish_again;
	k->n = question(k->msg, wire, (size_t)n, type);
	if (!place(d, k)) {
		fl_dash_error(rs, 404, "no server block listens for plain DNS here");
		free(k);
		return;
	}
	struct dash_job *j = k->sh ? fl_dash_job(d) : NULL;
	if (!j) {
		fl_dash_error(rs, 503, k->sh ? "too many are at work: ask again soon" : "the server does not serve yet");
		free(k);
		return;
	}
	k->job = j;
	j->ask = k;
	fl_loop_post(k->sh->loop, begin, k);
	fl_dash_job_told(j, rs);
}
