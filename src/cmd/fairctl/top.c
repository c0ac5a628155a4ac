/* top: what a server does, in a terminal: from /metrics (this server's or CoreDNS's), or from the status page's JSON, which knows names and
 * clients besides. Both become one tree of JSON (ctl/summary.h, plugin/dashboard), and that is what is drawn and what --output json prints. */
#include "cmd/fairctl/commands.h"
#include "cmd/fairctl/gonet.h"
#include "base/clock.h"
#include "ctl/summary.h"
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { BODY_MAX = 32 * 1024 * 1024, PATIENCE_S = 5, WIDTH = 80, HEIGHT = 24 };

static const struct ctl_flag flags[] = {
	{ "server", "ADDR", "where /metrics is (default localhost:9153); CoreDNS's too", NULL, NULL },
	{ "dashboard", "ADDR", "where the status page is: shows names and clients besides", NULL, NULL },
	{ "interval", "DURATION", "between two looks", "@time", "2s" },
	{ "once", NULL, "print once and end; so too when standard output is no terminal", NULL, NULL },
	{ NULL },
};

struct top {
	struct ctl *c;
	const char *addr;
	bool page;                      /* the status page's JSON */
	uint64_t interval_ns;
	struct fl_summary sum[2];
	unsigned now;
	bool have;                      /* sum[!now] was read before */
	uint64_t at_ns[2];
};

static volatile sig_atomic_t over;

/* ---- asking ---- */

static int wrong(struct fl_err *e, const char *what, int ret)
{
	return fl_err_set(e, "%s: %s", what, ret == -ETIMEDOUT || ret == -EAGAIN ? "i/o timeout" : go_errno(-ret));
}

static int dial(const struct top *t, uint64_t deadline, struct fl_err *e)
{
	struct fl_str host, port;
	struct go_addr to[GO_ADDRS];
	int ret = go_split(fl_str(t->addr), &host, &port, e);
	int n = ret ? ret : go_resolve("tcp", host, port, to, e), fd = -EINVAL;
	char where[GO_ADDR_TEXT + 32], text[GO_ADDR_TEXT];
	if (n < 0)
		return n;
	for (int i = 0; i < n && fd < 0; i++) {
		uint64_t now = fl_clock_ns();
		fd = go_dial(&to[i], SOCK_STREAM, 0, now + (deadline > now ? (deadline - now) / (uint64_t)(n - i) : 1));
		go_addr_text(text, &to[i]);
	}
	if (fd >= 0 || n < 1)
		return fd;
	snprintf(where, sizeof where, "dial tcp %s: connect", text);
	return wrong(e, where, fd);
}

/* All that comes until the other side closes; NUL-terminated. Length, or -errno. */
static ssize_t read_all(int fd, uint64_t deadline, char **to)
{
	size_t n = 0, cap = 0;
	*to = NULL;
	for (;;) {
		if (cap - n < 16384)
			*to = fl_xrealloc(*to, cap = 2 * cap + 65536);
		if (fl_clock_ns() > deadline)
			return -ETIMEDOUT;
		go_deadline(fd, deadline);
		ssize_t got = recv(fd, *to + n, cap - n - 1, 0);
		if (got < 0 && errno == EINTR && !over)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		n += (size_t)got;
		if (n > BODY_MAX)
			return -EMSGSIZE;
	}
	(*to)[n] = 0;
	return (ssize_t)n;
}

/* GET by HTTP/1.0: the answer ends with the connection. free() *text; the body is a part of it. */
static int get(const struct top *t, const char *path, char **text, struct fl_str *body, struct fl_err *e)
{
	char request[512], what[160];
	uint64_t deadline = fl_clock_ns() + PATIENCE_S * FL_SEC;
	int fd = dial(t, deadline, e);
	*text = NULL;
	if (fd < 0)
		return fd;
	/* The page answers to addresses and its own name; a name that leads to it from here may be another. */
	int n = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: %.200s\r\nUser-Agent: fairctl\r\n\r\n", path, t->page ? "localhost" : t->addr);
	go_deadline(fd, deadline);
	ssize_t got = send(fd, request, (size_t)n, MSG_NOSIGNAL) == n ? read_all(fd, deadline, text) : -EPIPE;
	close(fd);
	snprintf(what, sizeof what, "Get \"http://%.100s%.30s\"", t->addr, path);
	if (got < 0)
		return wrong(e, what, (int)got);
	char *end = strstr(*text, "\r\n\r\n");
	if (got < 12 || strncmp(*text, "HTTP/1.", 7) || !end)
		return fl_err_set(e, "%s: malformed HTTP response", what);
	if (strncmp(*text + 9, "200", 3))
		return fl_err_set(e, "%s: the server answered %.3s", what, *text + 9);
	*body = (struct fl_str){ end + 4, (size_t)(*text + got - end - 4) };
	return 0;
}

struct grown { char *p; size_t n, cap; };

static void gather(void *arg, const char *p, size_t n)
{
	struct grown *g = arg;
	if (g->cap - g->n < n + 1)
		g->p = fl_xrealloc(g->p, g->cap = 2 * g->cap + n + 1);
	memcpy(g->p + g->n, p, n);
	g->n += n;
	g->p[g->n] = 0;
}

/* { "view": …, "top": null } of metrics. */
static cJSON *of_metrics(struct top *t, struct fl_str body)
{
	struct grown g = { 0 };
	t->now = !t->now;
	t->at_ns[t->now] = fl_clock_ns();
	fl_summary_read(&t->sum[t->now], body.p, body.n);
	const struct fl_summary *was = t->have ? &t->sum[!t->now] : NULL;
	fl_summary_json(gather, &g, was, &t->sum[t->now], was ? (double)(t->at_ns[t->now] - t->at_ns[!t->now]) / 1e9 : 0);
	t->have = true;
	cJSON *root = cJSON_CreateObject();
	cJSON_AddItemToObject(root, "view", cJSON_Parse(g.p));
	cJSON_AddNullToObject(root, "top");
	free(g.p);
	return root;
}

static cJSON *look(struct top *t, struct fl_err *e)
{
	struct fl_str body;
	char *text;
	cJSON *root = NULL;
	if (!get(t, t->page ? "/api/status" : "/metrics", &text, &body, e)) {
		root = t->page ? cJSON_ParseWithLength(body.p, body.n) : of_metrics(t, body);
		if (!cJSON_IsObject(cJSON_GetObjectItem(root, "view"))) {
			fl_err_set(e, "http://%s/api/status is not what a status page says", t->addr);
			cJSON_Delete(root);
			root = NULL;
		}
	}
	free(text);
	return root;
}

/* ---- words ---- */

static double num(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static const char *str(const cJSON *o, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
	return s ? s : "";
}

static const cJSON *in(const cJSON *o, const char *key) { return cJSON_GetObjectItemCaseSensitive(o, key); }

/* Each has a place of its own for eight uses in a line. */
static char *place(void)
{
	static char text[16][32];
	static unsigned at;
	return text[at++ % FL_COUNT(text)];
}

static const char *count(double v)
{
	char *to = place();
	if (isnan(v))
		return "-";
	if (v >= 1e4)
		snprintf(to, 32, v >= 1e9 ? "%.1fG" : v >= 1e6 ? "%.1fM" : "%.1fk", v >= 1e9 ? v / 1e9 : v >= 1e6 ? v / 1e6 : v / 1e3);
	else
		snprintf(to, 32, v >= 100 || v == floor(v) ? "%.0f" : v >= 10 ? "%.1f" : "%.2f", v);
	return to;
}

static const char *seconds(double v)
{
	char *to = place();
	if (isnan(v))
		return "-";
	snprintf(to, 32, v < 1e-3 ? "%.0f us" : v < 1 ? "%.1f ms" : "%.1f s", v < 1e-3 ? v * 1e6 : v < 1 ? v * 1e3 : v);
	return to;
}

static const char *percent(double v)
{
	char *to = place();
	if (isnan(v))
		return "-";
	snprintf(to, 32, "%.1f %%", 100 * v);
	return to;
}

static const char *since(double s)
{
	char *to = place();
	if (isnan(s))
		return "-";
	unsigned long long v = s > 0 ? (unsigned long long)s : 0, d = v / 86400, h = v / 3600, m = v / 60;
	if (d)
		snprintf(to, 32, "%llu d %llu h", d, h % 24);
	else if (h)
		snprintf(to, 32, "%llu h %llu min", h, m % 60);
	else
		snprintf(to, 32, m ? "%llu min" : "%llu s", m ? m : v);
	return to;
}

/* ---- the screen: lines that are cut where it ends ---- */

struct screen { FILE *to; int width, height, used; bool live; };

static void line(struct screen *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void line(struct screen *s, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	if (s->used >= s->height)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	int column = 0;
	for (const char *p = text; *p; p++) {
		column += ((uint8_t)*p & 0xc0) != 0x80;
		if (column > s->width)
			break;
		/* Names are other people's: no control characters, nor those above ASCII (U+0080 to U+009F). */
		bool control = (uint8_t)*p < 0x20 || *p == 0x7f, c1 = (uint8_t)*p == 0xc2 && ((uint8_t)p[1] & 0xe0) == 0x80;
		putc(control || c1 ? '?' : *p, s->to);
		p += c1;
	}
	fputs(s->live ? "\033[K" : "", s->to);
	s->used++;
	if (s->used < s->height || !s->live)
		putc('\n', s->to);
}

static int by_rate(const void *a, const void *b)
{
	double x = num(*(cJSON *const *)a, "rate"), y = num(*(cJSON *const *)b, "rate");
	return x < y ? 1 : x > y ? -1 : 0;
}

enum { ROWS = 8 };

/* The first of a list, by what they are sized by; how many. */
static unsigned first_rows(const cJSON *list, const cJSON *to[ROWS], bool sort)
{
	const cJSON *all[256], *row;
	unsigned n = 0;
	cJSON_ArrayForEach(row, list)
		if (n < FL_COUNT(all))
			all[n++] = row;
	if (sort)
		qsort(all, n, sizeof *all, by_rate);
	n = n < ROWS ? n : ROWS;
	memcpy(to, all, n * sizeof *to);
	return n;
}

static void cell(char *to, size_t cap, const cJSON *row, int width, bool share)
{
	char name[1100];
	if (!row) {
		snprintf(to, cap, "%*s", width + 9, "");
		return;
	}
	int n = snprintf(name, sizeof name, "%s", str(row, "name"));
	const char *value = share ? percent(num(row, "share")) : count(num(row, "rate"));
	snprintf(to, cap, "%-*.*s%s %8s", width, n > width ? width - 1 : width, name, n > width ? "~" : "", value);
}

/* Two lists side by side. */
static void pair(struct screen *s, const char *left, const cJSON *a, const char *right, const cJSON *b, bool share, unsigned most)
{
	const cJSON *ra[ROWS], *rb[ROWS];
	unsigned na = first_rows(a, ra, !share), nb = first_rows(b, rb, !share);
	char x[160], y[160];
	const char *unit = share ? "share" : "/s";
	int space = (s->width < 100 ? s->width : 100) - 4, wide = (share ? space * 2 / 3 : space / 2) - 10, narrow = space - wide - 20;
	wide = wide < 10 ? 10 : wide;
	narrow = narrow < 6 ? 6 : narrow;
	line(s, "%s", "");
	line(s, *right ? "%-*s %8s    %-*s %8s" : "%-*s %8s", wide, left, unit, narrow, right, unit);
	for (unsigned i = 0; i < most && (i < na || i < nb); i++) {
		cell(x, sizeof x, i < na ? ra[i] : NULL, wide, share);
		cell(y, sizeof y, i < nb ? rb[i] : NULL, narrow, share);
		line(s, i < nb ? "%s    %s" : "%s", x, y);
	}
}

static double failing(const cJSON *rcodes)
{
	const cJSON *r;
	double bad = 0, all = 0;
	cJSON_ArrayForEach(r, rcodes) {
		const char *name = str(r, "name");
		double rate = num(r, "rate");
		rate = isnan(rate) ? 0 : rate;
		all += rate;
		bad += strcmp(name, "NOERROR") && strcmp(name, "NXDOMAIN") ? rate : 0;
	}
	return all > 0 ? bad / all : NAN;
}

static void sources(struct screen *s, const cJSON *view)
{
	const cJSON *k, *kind;
	cJSON_ArrayForEach(k, in(view, "kubernetes")) {
		char kinds[256] = "";
		size_t n = 0;
		cJSON_ArrayForEach(kind, in(k, "kinds"))
			if (n + 64 < sizeof kinds)
				n += (size_t)snprintf(kinds + n, sizeof kinds - n, ", %s %.32s", count(num(kind, "objects")), str(kind, "kind"));
		line(s, "Cluster   %s%s, last event %s ago%s", cJSON_IsTrue(in(k, "synced")) ? "synced" : "NOT SYNCED",
		     cJSON_IsTrue(in(k, "connected")) ? "" : ", NOT CONNECTED", since(num(k, "age")), kinds);
	}
	const cJSON *reload = in(view, "reload");
	if (cJSON_IsFalse(in(reload, "ok")))
		line(s, "Corefile  THE LAST CHANGE WAS REFUSED; %s failed", count(num(reload, "failed")));
}

static void draw(struct screen *s, const struct top *t, const cJSON *root)
{
	const cJSON *view = in(root, "view"), *queries = in(view, "queries"), *latency = in(view, "latency"), *cache = in(view, "cache");
	const cJSON *top = in(root, "top"), *up;
	line(s, "%s at %s, up %s%s", *str(view, "version") ? str(view, "version") : "-", t->addr, since(num(view, "uptime")),
	     cJSON_IsTrue(in(view, "since_start")) ? "; means since the start" : "");
	line(s, "%s", "");
	line(s, "Queries   %s/s, %s in all; failures %s; busiest shard %s", count(num(queries, "rate")), count(num(queries, "total")),
	     percent(failing(in(view, "rcodes"))), percent(num(view, "saturation")));
	line(s, "Latency   50 %% in %s, 90 %% in %s, 99 %% in %s; mean %s", seconds(num(latency, "p50")), seconds(num(latency, "p90")),
	     seconds(num(latency, "p99")), seconds(num(latency, "mean")));
	if (cJSON_IsObject(cache))
		line(s, "Cache     %s hits, %s entries; %s hits and %s misses in all", percent(num(cache, "hit_ratio")), count(num(cache, "entries")),
		     count(num(cache, "hits")), count(num(cache, "misses")));
	sources(s, view);
	pair(s, "CODE", in(view, "rcodes"), "PLUGIN", in(view, "plugins"), false, 4);
	if (cJSON_IsObject(top))
		pair(s, "NAME", in(top, "names"), cJSON_IsArray(in(top, "clients")) ? "CLIENT" : "", in(top, "clients"), true, 6);
	if (!cJSON_GetArraySize(in(view, "upstreams")))
		return;
	line(s, "%s", "");
	line(s, "%-40s %9s %10s %8s", "UPSTREAM", "/s", "mean", "failed");
	cJSON_ArrayForEach(up, in(view, "upstreams"))
		line(s, "%-40.40s %9s %10s %8s %s", str(up, "to"), count(num(up, "rate")), seconds(num(up, "mean")), count(num(up, "failures")),
		     cJSON_IsTrue(in(up, "failing")) ? "FAILING" : "");
}

/* ---- once ---- */

static int once(struct top *t)
{
	struct fl_err e;
	ctl_limit((unsigned)(t->interval_ns / FL_SEC) + 3 * PATIENCE_S);
	cJSON *root = look(t, &e);
	if (root && !t->page) {                 /* rates need two looks */
		cJSON_Delete(root);
		struct timespec ts = { (time_t)(t->interval_ns / FL_SEC), (long)(t->interval_ns % FL_SEC) };
		nanosleep(&ts, NULL);
		root = look(t, &e);
	}
	if (!root)
		return ctl_fail(t->c, "%s", e.msg);
	if (t->c->json) {
		cJSON_AddStringToObject(root, "address", t->addr);
		return ctl_print(t->c, root);
	}
	draw(&(struct screen){ .to = stdout, .width = 1000, .height = 1000 }, t, root);
	cJSON_Delete(root);
	return 0;
}

/* ---- live ---- */

static void on_signal(int sig)
{
	if (sig != SIGWINCH)
		over = 1;
}

static void show(struct top *t, const cJSON *root, const struct fl_err *e)
{
	struct winsize w;
	struct screen s = { .width = WIDTH, .height = HEIGHT, .live = true };
	char *text = NULL;
	size_t n = 0;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col && w.ws_row) {
		s.width = w.ws_col;
		s.height = w.ws_row;
	}
	if (!(s.to = open_memstream(&text, &n)))
		return;
	fputs("\033[H", s.to);
	if (root)
		draw(&s, t, root);
	else
		line(&s, "%s", e->msg);
	fputs("\033[J", s.to);
	fclose(s.to);
	fwrite(text, 1, n, stdout);
	fflush(stdout);
	free(text);
}

/* Until the next look: a key q ends it, a new size of the window draws again. */
static void pause_for(struct top *t, uint64_t until, const cJSON *root, const struct fl_err *e)
{
	bool keys = isatty(STDIN_FILENO);
	for (uint64_t now; !over && (now = fl_clock_ns()) < until;) {
		struct pollfd p = { .fd = keys ? STDIN_FILENO : -1, .events = POLLIN };
		char c;
		int ret = poll(&p, 1, (int)((until - now) / FL_MS) + 1);
		if (ret < 0 && errno == EINTR && !over)
			show(t, root, e);
		if (ret > 0 && read(STDIN_FILENO, &c, 1) == 1)
			over = over || c == 'q' || c == 'Q' || c == 3;
		else if (ret > 0)
			keys = false;
	}
}

static int live(struct top *t)
{
	struct sigaction sa = { .sa_handler = on_signal };
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH };
	struct termios was, mine;
	bool keys = !tcgetattr(STDIN_FILENO, &was);
	struct fl_err e = { "" };
	for (unsigned i = 0; i < FL_COUNT(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
	if (keys) {
		mine = was;
		mine.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &mine);
	}
	fputs("\033[?1049h\033[?25l", stdout);  /* a screen of its own, no cursor */
	for (bool begun = false; !over; begun = true) {
		uint64_t next = fl_clock_ns() + (begun || t->page ? t->interval_ns : t->interval_ns < FL_SEC ? t->interval_ns : FL_SEC);
		cJSON *root = look(t, &e);
		if (!over) {
			show(t, root, &e);
			pause_for(t, next, root, &e);
		}
		cJSON_Delete(root);
	}
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &was);
	return 0;
}

static int run(struct ctl *c)
{
	static struct top t;
	int64_t ns;
	int ret = ctl_time(c, "interval", &ns);
	if (ret)
		return ret;
	if (ns < (int64_t)(100 * FL_MS) || ns > (int64_t)(3600 * FL_SEC))
		return ctl_misuse(c, "--interval is 100ms to 1h");
	if (ctl_given(c, "server") && ctl_given(c, "dashboard"))
		return ctl_misuse(c, "--server or --dashboard, not both");
	t.c = c;
	t.page = ctl_given(c, "dashboard");
	t.addr = t.page ? ctl_text(c, "dashboard") : ctl_given(c, "server") ? ctl_text(c, "server") : "localhost:9153";
	t.interval_ns = (uint64_t)ns;
	return ctl_on(c, "once") || c->json || !isatty(STDOUT_FILENO) ? once(&t) : live(&t);
}

const struct ctl_command ctl_top = {
	.name = "top", .about = "Shows what a server does: rates, latency, names, upstreams, cache", .flag = flags, .json = true, .serves = true, .main = run,
};
