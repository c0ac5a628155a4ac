#include "ctl/guard.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>

struct fl_guard {
	struct fl_loop *loop;
	char *path, *text; size_t n;            /* as read last */
	struct fl_webconf conf;
	struct fl_tls_host *tls;                /* NULL: plain */
	uint8_t sum[32];                        /* of what tls was made of */
	double tokens; uint64_t filled_ns;      /* of the rate limit */
	char *bad; size_t bad_n;                /* the text that was refused last: to be complained of once */
};

static void text_free(char **text, size_t n)
{
	if (*text)
		explicit_bzero(*text, n);       /* there may be a key in it */
	free(*text);
	*text = NULL;
}

/* Takes text and conf over. */
static void adopt(struct fl_guard *g, struct fl_webconf *conf, char *text, size_t n)
{
	if (conf->burst != g->conf.burst || conf->interval_ns != g->conf.interval_ns) {
		g->tokens = (double)conf->burst;
		g->filled_ns = fl_loop_now(g->loop);
	}
	fl_webconf_finish(&g->conf);
	text_free(&g->text, g->n);
	text_free(&g->bad, g->bad_n);
	g->conf = *conf;
	g->text = text;
	g->n = n;
}

static int read_conf(const char *path, struct fl_str text, struct fl_webconf *conf, struct fl_err *e)
{
	int ret = fl_webconf_parse(conf, text, path, e);
	return ret ? ret : fl_webconf_check_users(conf, e);
}

static int load_tls(struct fl_guard *g, const struct fl_webconf *conf, struct fl_err *e)
{
	uint8_t sum[sizeof g->sum];
	fl_webconf_sum(conf, sum);
	struct fl_tls_server *s = fl_webconf_sealed(conf) ? fl_webconf_tls(conf, e) : (fl_err_set(e, "TLS config is not present"), NULL);
	memcpy(g->sum, sum, sizeof sum);        /* what is no good is not tried again until it changes */
	if (!s)
		return -EINVAL;
	fl_tls_host_destroy(g->tls);
	g->tls = fl_tls_host_of(s);
	return 0;
}

int fl_guard_renew(struct fl_guard *g, struct fl_err *e)
{
	struct fl_webconf conf;
	size_t n = 0;
	char *text = fl_webconf_read(g->path, &n, e);
	if (!text)
		return -EINVAL;
	int ret = read_conf(g->path, (struct fl_str){ text, n }, &conf, e);
	bool sealed = fl_webconf_sealed(&conf);
	if (!ret && sealed)
		ret = load_tls(g, &conf, e);
	if (ret) {
		fl_webconf_finish(&conf);
		text_free(&text, n);
		return ret;
	}
	if (!sealed) {
		fl_tls_host_destroy(g->tls);
		g->tls = NULL;
	}
	adopt(g, &conf, text, n);
	return 0;
}

struct fl_guard *fl_guard_create(struct fl_loop *l, const char *path, struct fl_err *e)
{
	struct fl_guard *g = fl_xalloc(sizeof *g);
	*g = (struct fl_guard){ .loop = l, .path = fl_xstrndup(path, strlen(path)) };
	if (!fl_guard_renew(g, e))
		return g;
	fl_guard_destroy(g);
	return NULL;
}

void fl_guard_destroy(struct fl_guard *g)
{
	if (!g)
		return;
	fl_tls_host_destroy(g->tls);
	fl_webconf_finish(&g->conf);
	text_free(&g->text, g->n);
	text_free(&g->bad, g->bad_n);
	free(g->path);
	free(g);
}

static void complain(const struct fl_guard *g, const struct fl_err *e)
{
	fl_log(FL_ERROR, NULL, "%s: %s; what it said before stays", g->path, e->msg);
}

static bool same(const char *a, size_t an, const char *b, size_t bn) { return a && an == bn && !memcmp(a, b, an); }

/* True: the text is new and good. */
static bool look_at_file(struct fl_guard *g)
{
	struct fl_webconf conf;
	struct fl_err e;
	size_t n = 0;
	static uint64_t logged;
	char *text = fl_webconf_read(g->path, &n, &e);
	if (!text) {
		if (fl_log_every(10 * FL_SEC, &logged))
			complain(g, &e);
		return false;
	}
	if (same(g->text, g->n, text, n) || same(g->bad, g->bad_n, text, n)) {
		text_free(&text, n);
		return false;
	}
	int ret = read_conf(g->path, (struct fl_str){ text, n }, &conf, &e), tls = !ret && g->tls ? load_tls(g, &conf, &e) : 0;
	if (!ret && !tls) {
		adopt(g, &conf, text, n);
		return true;
	}
	fl_webconf_finish(&conf);
	if (ret || fl_log_every(10 * FL_SEC, &logged))  /* what it names may become good while it stays as it is */
		complain(g, &e);
	text_free(ret ? &g->bad : &text, ret ? g->bad_n : n);
	if (ret) {
		g->bad = text;
		g->bad_n = n;
	}
	return false;
}

void fl_guard_look(struct fl_guard *g, bool tls)
{
	uint8_t sum[sizeof g->sum];
	struct fl_err e;
	if (look_at_file(g) || !tls || !g->tls)
		return;
	fl_webconf_sum(&g->conf, sum);
	if (memcmp(sum, g->sum, sizeof sum) && load_tls(g, &g->conf, &e))
		complain(g, &e);
}

struct fl_tls_host *fl_guard_tls(const struct fl_guard *g) { return g->tls; }
bool fl_guard_http2(const struct fl_guard *g) { return g->conf.http2; }
const struct fl_webconf *fl_guard_conf(const struct fl_guard *g) { return &g->conf; }

bool fl_guard_allows(struct fl_guard *g)
{
	uint64_t now = fl_loop_now(g->loop);
	double burst = (double)g->conf.burst;
	if (g->conf.interval_ns <= 0)           /* no limit, as x/time/rate has it for a negative one */
		return true;
	g->tokens += (double)(now - g->filled_ns) / (double)g->conf.interval_ns;
	g->tokens = g->tokens < burst ? g->tokens : burst;
	g->filled_ns = now;
	if (g->tokens < 1)
		return false;
	g->tokens--;
	return true;
}
