/* The server of explain: the real chains on this thread, each plugin's word noted. */
#include "cmd/fairctl/explain.h"
#include "base/log.h"
#include "plugin/table.h"
#include "wire/message.h"
#include "wire/pack.h"
#include "wire/text.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { START_S = 15, QUESTION_S = 12, MESSAGE_MAX = 512 };

struct ex_world {
	struct fl_loop *loop;
	struct fl_server *server;
	struct fl_trace trace;
	struct fl_arena *a;
	struct ex_step *step;           /* being asked */
	bool done, loaded;
	struct fl_err error;
};

/* ---- the loop until something is so ---- */

struct until { struct fl_loop *loop; bool (*over)(void *arg); void *arg; struct fl_timer timer, look; uint64_t end; };

static void look(struct fl_timer *t)
{
	struct until *u = (struct until *)(void *)((char *)t - offsetof(struct until, look));
	if (u->over(u->arg) || fl_loop_tick(u->loop) >= u->end)
		fl_loop_stop(u->loop);
	else
		fl_timer_set(u->loop, t, fl_loop_now(u->loop) + 2 * FL_MS);
}

void ex_run(struct fl_loop *l, bool (*over)(void *arg), void *arg, uint64_t ns)
{
	struct until u = { .loop = l, .over = over, .arg = arg, .look.fn = look, .end = fl_loop_tick(l) + ns };
	fl_timer_set(l, &u.look, fl_loop_now(l));
	fl_loop_run(l);
	fl_timer_clear(l, &u.look);
}

/* ---- words of an answer ---- */

void ex_reply(struct fl_arena *a, struct ex_reply *r, const uint8_t *msg, size_t n, uint16_t type)
{
	struct fl_message m;
	*r = (struct ex_reply){ 0 };
	if (fl_message_parse(&m, a, msg, n))
		return;
	r->got = true;
	r->rcode = m.rcode;
	for (unsigned i = 0; i < m.n; i++) {    /* resolvers want the first record to be of the name */
		if (m.item[i].section != FL_ANSWER)
			continue;
		if (!m.qname.len || !fl_name_eq(m.item[i].owner, m.qname))
			r->other = fl_name_text_in(a, m.item[i].owner);
		break;
	}
	for (unsigned i = 0; i < m.n; i++) {
		if (m.item[i].section != FL_ANSWER)
			continue;
		for (struct fl_rr rr = { 0 }; fl_rr_next(m.item[i].set, &rr);) {
			char kind[16], data[1024];
			fl_type_text(kind, rr.type);
			fl_rdata_text(data, sizeof data, rr.type, rr.rdata, rr.rdlen);
			r->found += !r->other.n && (rr.type == type || type == FL_T_ANY);
			fl_words_add(a, &r->records, fl_arena_printf(a, "%s %s", kind, data));
			if (rr.type == FL_T_CNAME)
				fl_words_add(a, &r->aliases, fl_arena_str(a, fl_str(data)));
		}
	}
}

/* ---- the trace ---- */

static struct fl_str lower_text(struct fl_arena *a, struct fl_name n)
{
	uint8_t low[FL_NAME_MAX];
	return fl_name_text_in(a, fl_name_lower(low, n));
}

static void on_step(void *arg, const struct fl_step *t)
{
	struct ex_world *w = arg;
	struct ex_step *s = w->step;
	if (!s || s->nhop == EX_HOPS)
		return;
	struct ex_hop *h = &s->hop[s->nhop++];
	*h = (struct ex_hop){ .plugin = t->plugin->name, .verdict = t->verdict, .up = t->up, .depth = t->depth, .before = lower_text(w->a, t->qname),
			      .after = lower_text(w->a, t->q->qname), .type = t->qtype, .rcode = t->q->res.rcode, .why = "" };
	for (unsigned i = 0; i < t->q->res.n; i++)
		h->records += t->q->res.item[i].section == FL_ANSWER ? t->q->res.item[i].set->count : 0;
	if (t->q->res.why)
		h->why = fl_arena_str(w->a, fl_str(t->q->res.why)).p;
	if (!t->depth) {
		s->server = fl_arena_str(w->a, t->q->chain->server);
		s->zone = fl_arena_str(w->a, t->q->chain->zone);
	}
}

static void answered(void *arg, const uint8_t *msg, size_t n, const struct fl_query *q)
{
	struct ex_world *w = arg;
	if (msg)
		ex_reply(w->a, &w->step->reply, msg, n, w->step->type);
	w->step->by = q && q->res.by ? q->res.by->name : "";
	w->done = true;
}

static bool is_done(void *arg) { return ((struct ex_world *)arg)->done; }

static void from(const struct facts *f, struct fl_udp_way *way)
{
	struct fl_addr addr = { { 127, 0, 0, 1 }, 4 };
	if (f->has_pod && f->pod.hosts.ips.n)
		fl_addr_parse(f->pod.hosts.ips.at[0], &addr);
	if (addr.len == 4) {
		way->peer.v4.sin_family = AF_INET;
		memcpy(&way->peer.v4.sin_addr, addr.b, 4);
	} else {
		way->peer.v6.sin6_family = AF_INET6;
		memcpy(&way->peer.v6.sin6_addr, addr.b, 16);
	}
}

void ex_world_ask(struct ex_world *w, const struct facts *f, struct ex_step *s)
{
	struct fl_udp_way way = { .info = 0 };
	uint8_t msg[MESSAGE_MAX], wire[FL_NAME_MAX];
	int len = fl_name_parse(wire, s->name);
	w->step = s;
	w->done = false;
	s->by = "";
	s->hop = fl_zalloc(w->a, EX_HOPS * sizeof *s->hop);
	if (len < 0)
		return;
	from(f, &way);
	size_t n = fl_pack_query(msg, sizeof msg, 1, FL_RD, (struct fl_name){ wire, (uint8_t)len }, s->type, FL_C_IN, false, 0, 0, NULL);
	struct fl_put *p = fl_put(w->server, &way, f->conf.port, msg, n, answered, w);
	if (p)
		ex_run(w->loop, is_done, w, QUESTION_S * FL_SEC);
	fl_put_end(p);
	s->unasked = f->offline && (!strcmp(s->by, "forward") || !strcmp(s->by, "grpc"));
	s->reply.got &= !s->unasked;
	w->step = NULL;
}

/* ---- loading ---- */

static void loaded(void *arg, const struct fl_err *e)
{
	struct ex_world *w = arg;
	w->loaded = true;
	if (e)
		w->error = *e;
}

static bool is_loaded(void *arg) { return ((struct ex_world *)arg)->loaded; }

struct ex_world *ex_world(const struct ctl *c, struct facts *f, struct fl_conf *conf, struct fl_loop *loop)
{
	struct ex_world *w = fl_xalloc(sizeof *w);
	*w = (struct ex_world){ .loop = loop, .a = f->a };
	w->trace = (struct fl_trace){ on_step, w };
	struct fl_process p = { .conf = f->conf.path, .conf_given = true, .port = "53", .shards = 1, .trace = &w->trace };
	w->server = fl_server_create(&p, loop, ex_directives(f->offline), true);
	if (fl_server_load(w->server, conf, loaded, w))
		w->loaded = true, fl_err_set(&w->error, "the server is busy");
	ex_run(loop, is_loaded, w, START_S * FL_SEC);
	if (w->loaded && !w->error.msg[0])
		return w;
	ctl_fail(c, "%s", w->loaded ? w->error.msg : "the Corefile's plugins did not start in time");
	if (strstr(w->error.msg, "in-cluster"))
		fprintf(stderr, "Where are the cluster's objects? Give --manifests DIR or --kubeconfig FILE.\n");
	return NULL;
}

/* ---- forward, without asking ---- */

struct offline { struct fl_zones from, except; };

static int offline_setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct offline *o = *inst = fl_zalloc(fl_setup_arena(s), sizeof *o);
	struct fl_str *arg;
	fl_disp_next(d);
	unsigned n = fl_disp_args(d, &arg);
	int ret = n < 2 ? fl_setup_arg_error(s) : fl_setup_zones(s, arg, 1, &o->from);
	while (!ret && fl_disp_next_block(d)) {
		bool except = fl_str_is(fl_disp_val(d), "except");
		n = fl_disp_args(d, &arg);
		if (except)
			ret = fl_setup_zones(s, arg, n, &o->except);
	}
	while (!ret && fl_disp_next(d))
		;                       /* another forward of the block: its own zone is not looked at */
	return ret;
}

static enum fl_verdict offline_query(void *inst, struct fl_query *q)
{
	const struct offline *o = inst;
	if (fl_zones_match(&o->from, q->qname) < 0 || (o->except.n && fl_zones_match(&o->except, q->qname) >= 0))
		return FL_NEXT;
	return fl_fail(q, FL_SERVFAIL, "offline: not asked");
}

static const struct fl_plugin offline_forward = { .name = "forward", .setup = offline_setup, .query = offline_query };
static const struct fl_plugin offline_grpc = { .name = "grpc", .setup = offline_setup, .query = offline_query };

const struct fl_directive_entry *ex_directives(bool off)
{
	static struct fl_directive_entry table[160];
	unsigned n = 0;
	while (fl_plugins[n].name)
		n++;
	if (!off || n >= FL_COUNT(table))
		return fl_plugins;
	memcpy(table, fl_plugins, n * sizeof *table);
	for (unsigned i = 0; i < n; i++) {
		const struct fl_plugin *instead = !strcmp(table[i].name, "forward") ? &offline_forward : !strcmp(table[i].name, "grpc") ? &offline_grpc : NULL;
		table[i].plugin = instead ? instead : table[i].plugin;
	}
	return table;
}
