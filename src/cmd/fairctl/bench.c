/* bench: asks one server, or two side by side, at an even rate over UDP, and compares. One thread, one socket a server; each query has its
 * place in a ring by its id, so at most 65,536 are out. Bounded in number, in rate and in time. */
#include "cmd/fairctl/ask.h"
#include "cmd/fairctl/commands.h"
#include "base/clock.h"
#include "wire/pack.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { N_MAX = 1000000, RATE_MAX = 100000, NAMES_MAX = 100000, RCODES = 16, OUT_MAX = 65536, SERVERS = 2 };

static const struct ctl_flag flags[] = {
	{ "n", "N", "how many queries each server gets", NULL, "2000" },
	{ "q", "RATE", "queries a second to each", NULL, "1000" },
	{ "names", "FILE", "lines NAME [TYPE] (default: kubernetes.default.svc.cluster.local A)", "@file", NULL },
	{ "timeout", "TIME", "how long an answer may take", "@time", "2s" },
	{ NULL },
};

struct target {
	struct ask_server server;
	int fd;
	uint64_t sent_ns[OUT_MAX];      /* by id; 0: not out */
	uint32_t *took_us;
	unsigned sent, got, odd, rcode[RCODES];
	uint64_t first_ns, last_ns;
	int error;
};

struct question { struct fl_name name; uint16_t type; };
struct bench { struct fl_arena a; struct question *q; unsigned nq; int64_t n, rate, timeout; struct target *t[SERVERS]; unsigned nt; };

/* ---- names ---- */

static int add_name(const struct ctl *c, struct bench *b, const char *path, int line, struct fl_str text)
{
	struct fl_str name, type = fl_str_trim(fl_str_cut(text, ' ', &name));
	struct question *q = &b->q[b->nq];
	char upper[16] = "A";
	for (size_t i = 0; i < type.n && i < sizeof upper - 1; i++) {
		upper[i] = (char)(type.p[i] >= 'a' && type.p[i] <= 'z' ? type.p[i] - 32 : type.p[i]);
		upper[i + 1] = 0;
	}
	q->name = fl_name_parse_in(&b->a, name);
	if (!q->name.len)
		return ctl_fail(c, "%s:%d: \"%.*s\" is no name", path, line, FL_FMT(name));
	if (type.n >= sizeof upper || !fl_type_parse(fl_str(upper), &q->type))
		return ctl_fail(c, "%s:%d: \"%.*s\" is no type", path, line, FL_FMT(type));
	b->nq++;
	return 0;
}

static int names(const struct ctl *c, struct bench *b)
{
	const char *path = ctl_text(c, "names");
	struct fl_str text, one;
	b->q = fl_alloc(&b->a, NAMES_MAX * sizeof *b->q);
	if (!path)
		return add_name(c, b, "", 0, FL_STR("kubernetes.default.svc.cluster.local A"));
	if (ctl_read(c, path, &text))
		return 1;
	struct fl_str rest = text = ctl_keep(&b->a, text);
	for (int line = 1, ret; rest.n; line++) {
		rest = fl_str_cut(rest, '\n', &one);
		char *tab = memchr(one.p, '\t', one.n);
		if (tab)
			*tab = ' ';
		one = fl_str_trim(one);
		if (!one.n || *one.p == '#')
			continue;
		if (b->nq == NAMES_MAX)
			return ctl_fail(c, "%s:%d: more than %d names", path, line, NAMES_MAX);
		if ((ret = add_name(c, b, path, line, one)))
			return ret;
	}
	return b->nq ? 0 : ctl_fail(c, "%s:1: no name in it", path);
}

/* ---- sending and receiving ---- */

static void ask_one(struct bench *b, struct target *t)
{
	uint8_t msg[512];
	uint16_t id = (uint16_t)t->sent;
	const struct question *q = &b->q[t->sent % b->nq];
	size_t n = fl_pack_query(msg, sizeof msg, id, FL_RD, q->name, q->type, FL_C_IN, false, 0, 0, NULL);
	uint64_t now = fl_clock_ns();
	t->first_ns = t->first_ns ? t->first_ns : now;
	t->sent_ns[id] = now;
	t->sent++;
	if (send(t->fd, msg, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		t->error = errno;
}

static void take(struct target *t)
{
	uint8_t msg[65536];
	ssize_t n;
	while ((n = recv(t->fd, msg, sizeof msg, MSG_DONTWAIT)) >= 0 || errno == ECONNREFUSED) {
		if (n < 0) {
			t->error = errno;
			continue;
		}
		uint16_t id = n >= FL_HEADER ? fl_get16(msg) : 0;
		if (n < FL_HEADER || !(msg[2] & 0x80) || !t->sent_ns[id]) {
			t->odd++;
			continue;
		}
		t->last_ns = fl_clock_ns();
		t->took_us[t->got++] = (uint32_t)((t->last_ns - t->sent_ns[id]) / 1000);
		t->sent_ns[id] = 0;
		t->rcode[msg[3] & 15]++;
	}
}

static bool all_in(const struct bench *b)
{
	for (unsigned i = 0; i < b->nt; i++)
		if (b->t[i]->got < b->t[i]->sent)
			return false;
	return true;
}

static void pause_until(const struct bench *b, uint64_t when)
{
	struct pollfd p[SERVERS];
	uint64_t now = fl_clock_ns(), ns = when > now ? when - now : 0;
	for (unsigned i = 0; i < b->nt; i++)
		p[i] = (struct pollfd){ .fd = b->t[i]->fd, .events = POLLIN };
	ppoll(p, b->nt, &(struct timespec){ (time_t)(ns / FL_SEC), (long)(ns % FL_SEC) }, NULL);
	for (unsigned i = 0; i < b->nt; i++)
		take(b->t[i]);
}

/* A server of which nothing was heard for the whole timeout is not asked any further. */
static bool dead(const struct bench *b, uint64_t start)
{
	for (unsigned i = 0; i < b->nt; i++)
		if (b->t[i]->got)
			return false;
	return fl_clock_ns() - start > (uint64_t)b->timeout;
}

static void run_all(struct bench *b)
{
	uint64_t start = fl_clock_ns(), gap = FL_SEC / (uint64_t)b->rate;
	for (int64_t i = 0; i < b->n && !dead(b, start); i++) {
		uint64_t due = start + (uint64_t)i * gap;
		do
			pause_until(b, due);
		while (fl_clock_ns() < due);
		for (unsigned k = 0; k < b->nt; k++)
			ask_one(b, b->t[(k + (unsigned)i) % b->nt]);    /* who is first changes */
	}
	uint64_t end = fl_clock_ns() + (uint64_t)b->timeout;
	while (!all_in(b) && fl_clock_ns() < end)
		pause_until(b, end);
}

/* ---- what came of it ---- */

static int by_value(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	return a < b ? -1 : a > b;
}

static double quantile(const struct target *t, double q)
{
	return t->got ? t->took_us[(size_t)(q * (t->got - 1) + 0.5)] / 1000.0 : 0;
}

static double rate(const struct target *t)
{
	return t->got > 1 && t->last_ns > t->first_ns ? t->got * 1e9 / (double)(t->last_ns - t->first_ns) : 0;
}

static const struct { const char *name; double q; } quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "max", 1 } };

static void text(const struct bench *b)
{
	for (unsigned i = 0; i < b->nt; i++) {
		const struct target *t = b->t[i];
		printf("%s: %u sent, %u answered, %u lost, %.0f answers/s\n  latency ms:", t->server.text, t->sent, t->got, t->sent - t->got, rate(t));
		for (unsigned k = 0; k < FL_COUNT(quantiles); k++)
			printf(" %s %.3f", quantiles[k].name, quantile(t, quantiles[k].q));
		printf("\n  rcodes:");
		for (unsigned k = 0; k < RCODES; k++)
			if (t->rcode[k])
				printf(" %s %u", fl_rcode_name((uint16_t)k) ? fl_rcode_name((uint16_t)k) : "other", t->rcode[k]);
		printf("%s\n", t->got ? "" : " none");
	}
	if (b->nt < 2 || !b->t[0]->got || !b->t[1]->got)
		return;
	printf("%s to %s: ", b->t[1]->server.text, b->t[0]->server.text);
	for (unsigned k = 0; k < FL_COUNT(quantiles); k++)
		if (quantile(b->t[0], quantiles[k].q) > 0)
			printf("%s%s x%.2f", k ? ", " : "latency ", quantiles[k].name, quantile(b->t[1], quantiles[k].q) / quantile(b->t[0], quantiles[k].q));
	printf("\n");
}

static int json(struct ctl *c, const struct bench *b)
{
	cJSON *o = cJSON_CreateObject(), *list = cJSON_CreateArray(), *ratio = cJSON_CreateObject();
	for (unsigned i = 0; i < b->nt; i++) {
		const struct target *t = b->t[i];
		cJSON *x = cJSON_CreateObject(), *ms = cJSON_CreateObject(), *rc = cJSON_CreateObject();
		cJSON_AddStringToObject(x, "server", t->server.text);
		cJSON_AddNumberToObject(x, "sent", t->sent);
		cJSON_AddNumberToObject(x, "answered", t->got);
		cJSON_AddNumberToObject(x, "lost", t->sent - t->got);
		cJSON_AddNumberToObject(x, "rate", rate(t));
		for (unsigned k = 0; k < FL_COUNT(quantiles); k++)
			cJSON_AddNumberToObject(ms, quantiles[k].name, quantile(t, quantiles[k].q));
		for (unsigned k = 0; k < RCODES; k++)
			if (t->rcode[k])
				cJSON_AddNumberToObject(rc, fl_rcode_name((uint16_t)k) ? fl_rcode_name((uint16_t)k) : "other", t->rcode[k]);
		cJSON_AddItemToObject(x, "latency_ms", ms);
		cJSON_AddItemToObject(x, "rcodes", rc);
		cJSON_AddItemToArray(list, x);
	}
	for (unsigned k = 0; b->nt == 2 && k < FL_COUNT(quantiles); k++)
		if (quantile(b->t[0], quantiles[k].q) > 0)
			cJSON_AddNumberToObject(ratio, quantiles[k].name, quantile(b->t[1], quantiles[k].q) / quantile(b->t[0], quantiles[k].q));
	cJSON_AddItemToObject(o, "servers", list);
	cJSON_AddItemToObject(o, "ratio", ratio);
	return ctl_print(c, o);
}

static int open_all(const struct ctl *c, struct bench *b)
{
	struct fl_err e;
	for (unsigned i = 0; i < c->narg; i++) {
		struct target *t = b->t[b->nt++] = fl_xalloc(sizeof *t);
		if (ask_server_parse(&t->server, c->arg[i], ASK_UDP, 0, &e))
			return ctl_fail(c, "server %s: %s", c->arg[i], e.msg);
		if (t->server.how != ASK_UDP)
			return ctl_misuse(c, "%s: bench asks over UDP only", c->arg[i]);
		t->took_us = fl_xalloc((size_t)b->n * sizeof *t->took_us);
		t->fd = go_dial(&t->server.addr, SOCK_DGRAM, 0, 0);
		if (t->fd < 0)
			return ctl_fail(c, "%s: %s", t->server.text, go_errno(-t->fd));
	}
	return 0;
}

static int run(struct ctl *c)
{
	static struct bench b = { .a.limit = 512 << 20 };
	int ret = ctl_int(c, "n", 1, N_MAX, &b.n);
	ret = ret ? ret : ctl_int(c, "q", 1, RATE_MAX, &b.rate);
	ret = ret ? ret : ctl_time(c, "timeout", &b.timeout);
	ret = ret ? ret : names(c, &b);
	ret = ret ? ret : open_all(c, &b);
	if (ret)
		return ret;
	ctl_limit((unsigned)(b.n / b.rate + b.timeout / (int64_t)FL_SEC) + 60);
	run_all(&b);
	for (unsigned i = 0; i < b.nt; i++)
		qsort(b.t[i]->took_us, b.t[i]->got, sizeof *b.t[i]->took_us, by_value);
	if (c->json)
		ret = json(c, &b);
	else
		text(&b);
	for (unsigned i = 0; i < b.nt; i++)
		if (!b.t[i]->got)
			ret = ctl_fail(c, "%s: %s", b.t[i]->server.text, b.t[i]->error ? go_errno(b.t[i]->error) : "no answer");
	return ret;
}

const struct ctl_command ctl_bench = {
	.name = "bench", .about = "Asks a server, or two side by side, and compares", .args = "ADDR [ADDR2]", .min = 1, .max = 2, .flag = flags,
	.json = true, .main = run,
};
