/* Questions without a socket, and the verdicts on their way. */
#include "../served.h"
#include "dns/explain.h"
#include "dns/stats.h"
#include "wire/message.h"
#include "wire/pack.h"
#include <errno.h>
#include <stdlib.h>

/* ---- three plugins: one that looks, one that renames, one that answers what it is asked for "here", and after 1 s for "late" ---- */

static int any_setup(struct fl_setup *s, void **inst) { (void)s; *inst = &any_setup; return 0; }

static enum fl_verdict watch_query(void *inst, struct fl_query *q) { (void)inst, (void)q; return FL_WRAP; }
static enum fl_verdict watch_reply(void *inst, struct fl_query *q) { (void)inst, (void)q; return FL_DONE; }

static enum fl_verdict rename_query(void *inst, struct fl_query *q)
{
	(void)inst;
	if (!fl_str_is(fl_name_label(q->qname, 0), "old"))
		return FL_NEXT;
	static const uint8_t here[] = "\4here\4test";
	q->qname = (struct fl_name){ here, sizeof here };
	return FL_NEXT;
}

static enum fl_verdict answer_query(void *inst, struct fl_query *q)
{
	static const uint8_t ip[4] = { 192, 0, 2, 1 };
	const struct fl_reply *r;
	(void)inst;
	struct fl_str label = fl_name_label(q->qname, 0);
	if (fl_str_is(label, "late") && q->why != -ETIMEDOUT) {
		fl_wake_at(q, fl_now(q->shard) + FL_SEC);
		return FL_WAIT;
	}
	if (fl_str_is(label, "through")) {
		static const uint8_t here[] = "\4here\4test";
		int ret = fl_lookup(q, (struct fl_name){ here, sizeof here }, FL_T_A, &r);
		if (ret)
			return fl_yield(q, ret);
	} else if (fl_str_is(label, "nowhere")) {
		return FL_NEXT;
	}
	const struct fl_rrset *set = fl_rrset_one(q->arena, FL_T_A, 5, ip, 4);
	return set && fl_reply_add(q, FL_ANSWER, q->qname, set, false) ? FL_DONE : fl_yield(q, -ENOMEM);
}

FL_PLUGIN(watch, .setup = any_setup, .query = watch_query, .reply = watch_reply);
FL_PLUGIN(rename, .setup = any_setup, .query = rename_query);
FL_PLUGIN(answer, .setup = any_setup, .query = answer_query);
static const struct fl_directive_entry table[] = { { "watch", &fl_plugin_watch }, { "rename", &fl_plugin_rename }, { "answer", &fl_plugin_answer }, { 0 } };
static const char *const known[] = { "watch", "rename", "answer", NULL };

/* ---- a server that binds nothing ---- */

struct world { char steps[1024]; int answers, rcode; unsigned n; const char *by; };

static void step(void *arg, const struct fl_step *s)
{
	static const char *const words[] = { "NEXT", "WRAP", "DONE", "AGAIN", "WAIT", "DROP" };
	struct world *w = arg;
	size_t at = strlen(w->steps);
	snprintf(w->steps + at, sizeof w->steps - at, "%s%u%s%s:%.*s=%s", at ? " " : "", s->depth, s->up ? "^" : "", s->plugin->name,
		 FL_FMT(fl_name_label(s->qname, 0)), words[s->verdict]);
}

static void open_world(struct world *w, struct fl_trace *trace, const char *corefile)
{
	static const char *const names[] = { "watch", "rename", "answer", NULL };
	*trace = (struct fl_trace){ step, w };
	*w = (struct world){ .rcode = -1 };
	fl_plugin_names = names;
	fl_plugin_count = 3;
	serve(table, known, trace, corefile);
}

static void answered(void *arg, const uint8_t *msg, size_t n, const struct fl_query *q)
{
	struct world *w = arg;
	w->answers++;
	w->rcode = msg && n >= FL_HEADER ? msg[3] & 15 : -1;
	w->n = msg && n >= FL_HEADER ? fl_get16(msg + 6) : 0;
	w->by = q && q->res.by ? q->res.by->name : "";
}

static struct fl_put *ask(struct world *w, const char *name, const char *port)
{
	uint8_t wire[FL_NAME_MAX], msg[512];
	int len = fl_name_parse(wire, fl_str(name));
	struct fl_udp_way way = { .info = 0 };
	way.peer.v4.sin_family = AF_INET;
	size_t n = (size_t)fl_pack_query(msg, sizeof msg, 7, FL_RD, (struct fl_name){ wire, (uint8_t)len }, FL_T_A, FL_C_IN, false, 0, 0, NULL);
	w->steps[0] = 0;
	w->answers = 0;
	return fl_put(server, &way, port, msg, n, answered, w);
}

static void expect(struct world *w, const char *name, const char *steps, int rcode)
{
	struct fl_put *p = ask(w, name, "53");
	assert_non_null(p);
	for (int i = 0; i < 30 && !w->answers; i++) {
		fl_loop_run_until_idle(loop);
		fl_loop_advance(loop, 100 * FL_MS);
	}
	fl_put_end(p);
	assert_string_equal(w->steps, steps);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->rcode, rcode);
}

static void test_steps(void **state)
{
	(void)state;
	struct world w;
	struct fl_trace trace;
	open_world(&w, &trace, "test {\n watch\n rename\n answer\n}\nport.test:5353 {\n answer\n}\n");
	expect(&w, "here.test.", "0watch:here=WRAP 0rename:here=NEXT 0answer:here=DONE 0^watch:here=DONE", 0);
	assert_string_equal(w.by, "answer");
	assert_int_equal(w.n, 1);
	expect(&w, "old.test.", "0watch:old=WRAP 0rename:old=NEXT 0answer:here=DONE 0^watch:here=DONE", 0);
	expect(&w, "nowhere.test.", "0watch:nowhere=WRAP 0rename:nowhere=NEXT 0answer:nowhere=NEXT 0^watch:nowhere=DONE", 2);
	expect(&w, "late.test.", "0watch:late=WRAP 0rename:late=NEXT 0answer:late=WAIT 0answer:late=DONE 0^watch:late=DONE", 0);
	expect(&w, "else.where.", "", 5);
	close_server();
}

/* What a lookup meets lies one deeper. */
static void test_lookups(void **state)
{
	(void)state;
	struct world w;
	struct fl_trace trace;
	open_world(&w, &trace, "test {\n answer\n}\n");
	expect(&w, "through.test.", "1answer:here=DONE 0answer:through=DONE", 0);
	close_server();
}

/* A listener bound to an address, a port where nobody is, and a question whose asker leaves. */
static void test_where(void **state)
{
	(void)state;
	struct world w;
	struct fl_trace trace;
	open_world(&w, &trace, "test:5353 {\n answer\n}\n");
	assert_null(ask(&w, "here.test.", "53"));
	struct fl_put *p = ask(&w, "late.test.", "5353");
	assert_non_null(p);
	fl_put_end(p);
	close_server();
	assert_int_equal(w.answers, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_steps), cmocka_unit_test(test_lookups), cmocka_unit_test(test_where) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
