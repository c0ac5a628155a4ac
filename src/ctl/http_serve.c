/* One request: what guards the listener looks at it first (the rate, a user), then the face that it is for answers. */
#include "ctl/guard.h"
#include "ctl/http_int.h"
#include "net/web.h"
#include <errno.h>
#include <stdlib.h>

enum { FIELDS = 16, TEXT = 6 * 1024 };

struct visit { struct fl_basic_job *job; };     /* in fl_web_req.mine; NULL: no password is being looked at */

struct answer { struct fl_web_field field[FIELDS]; unsigned n; char text[TEXT]; size_t used; };

/* A later one of the same name counts. Names become lower case, as fl_web wants them; values are borrowed. */
static void put(struct answer *a, struct fl_str name, struct fl_str value)
{
	char *low = a->text + a->used;
	unsigned i = 0;
	if (a->used + name.n > sizeof a->text)
		return;
	for (size_t k = 0; k < name.n; k++)
		low[k] = (char)fl_lower((uint8_t)name.p[k]);
	while (i < a->n && !fl_str_eq(a->field[i].name, (struct fl_str){ low, name.n }))
		i++;
	if (i == FIELDS)
		return;
	if (i == a->n) {
		a->n++;
		a->used += name.n;
		a->field[i].name = (struct fl_str){ low, name.n };
	}
	a->field[i].value = value;
}

static void send_answer(struct fl_web_req *r, struct fl_http_response *rs)
{
	struct fl_guard *g = fl_http_guard(r->conn, false);
	const struct fl_webconf *conf = g && rs->status != 429 ? fl_guard_conf(g) : NULL;
	struct answer a;
	a.n = 0;
	a.used = 0;
	put(&a, FL_STR("content-type"), fl_str(rs->type));
	for (unsigned i = 0; conf && i < conf->headers.n; i++)
		put(&a, fl_str(conf->headers.at[i].key), fl_str(conf->headers.at[i].value));
	if (rs->location[0])
		put(&a, FL_STR("location"), fl_str(rs->location));
	if (rs->authenticate)
		put(&a, FL_STR("www-authenticate"), fl_str(rs->authenticate));
	if (rs->nosniff)
		put(&a, FL_STR("x-content-type-options"), FL_STR("nosniff"));
	for (struct fl_str rest = fl_str(rs->headers), line, name; rest.n;) {
		rest = fl_str_cut(rest, '\n', &line);
		struct fl_str value = fl_str_cut(line, ':', &name);
		if (name.n < line.n)
			put(&a, name, fl_str_trim(value));
	}
	fl_web_answer(r, rs->status, a.field, a.n, rs->n ? rs->body : "", rs->n, NULL, 0);
	free(rs->body);
}

/* As http.Error() of Go. */
static void refuse(struct fl_web_req *r, int status, const char *text, const char *authenticate)
{
	struct fl_http_response rs = { .type = "text/plain; charset=utf-8", .nosniff = true, .authenticate = authenticate };
	fl_http_reply(&rs, status, text);
	send_answer(r, &rs);
}

static void serve(struct fl_web_req *r)
{
	struct fl_http_request rq = { .method = r->method, .head = r->fields };
	struct fl_http_response rs = { .status = 200, .type = "text/plain; charset=utf-8" };
	char *target = fl_xstrndup(r->target.p, r->target.n);
	if (fl_http_target(target, r->target.n, &rq))
		fl_http_reply(&rs, 400, "400 Bad Request");
	else
		fl_http_route(r->conn, &rq, &rs);
	send_answer(r, &rs);
	free(target);
}

static void who(struct fl_web_req *r, int known)
{
	if (known == 1)
		serve(r);
	else if (known == 0)
		refuse(r, 401, "Unauthorized\n", "Basic");
	else
		refuse(r, 503, "Service Unavailable\n", NULL);
}

static void on_known(void *arg, bool ok)
{
	struct fl_web_req *r = arg;
	((struct visit *)r->mine)->job = NULL;
	who(r, ok);
}

static void on_request(struct fl_web_req *r)
{
	struct visit *v = (struct visit *)r->mine;
	struct fl_guard *g = fl_http_guard(r->conn, true);
	if (g && !fl_guard_allows(g)) {
		refuse(r, 429, "Too Many Requests\n", NULL);
		return;
	}
	if (!g || !fl_guard_conf(g)->users.n) {
		serve(r);
		return;
	}
	int known = fl_basic_ask(fl_http_loop(r->conn), &fl_guard_conf(g)->users, fl_web_find(r->fields, "authorization"), on_known, r, &v->job);
	if (known != -EINPROGRESS)
		who(r, known);
}

static void on_gone(struct fl_web_req *r)
{
	struct visit *v = (struct visit *)r->mine;
	if (v->job)
		fl_basic_forget(v->job);
}

const struct fl_web_ops fl_http_ops = { on_request, on_gone };
