/* nslookup: the classic program without its prompt: output, words and status as BIND 9.18's. */
#include "cmd/fairctl/commands.h"
#include "cmd/fairctl/resolve.h"
#include "base/clock.h"
#include "wire/text.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

struct look {
	struct ctl *c;
	struct fl_arena *a;
	struct resolve r;
	const char *host, *server;
	char type[32];
	bool search, tcp, headed, reverse, answered;
	char final[FL_NAME_TEXT_MAX];           /* where aliases led to; "": none */
	int64_t port, timeout, retry;
};

/* ---- words ---- */

static void head(struct look *l, const struct ask_server *s)
{
	char address[GO_ADDR_TEXT];
	go_addr_text(address, &s->addr);
	char *colon = strrchr(address, ':');
	int n = (int)(colon - address) - (*address == '[' ? 2 : 0);
	if (!l->headed && !l->reverse)
		printf("Server:\t\t%s\nAddress:\t%.*s#%u\n\n", s->host, n, address + (*address == '['), s->port);
	l->headed = true;
}

static const char *word_of(uint16_t type, char other[24])
{
	static const struct { uint16_t type; const char *word; } known[] = {
		{ FL_T_NS, "nameserver = " }, { FL_T_CNAME, "canonical name = " }, { FL_T_PTR, "name = " }, { FL_T_HINFO, "hinfo = " },
		{ FL_T_MX, "mail exchanger = " }, { FL_T_TXT, "text = " }, { FL_T_SRV, "service = " }, { FL_T_NAPTR, "naptr = " },
		{ FL_T_DNAME, "dname = " },
	};
	for (unsigned i = 0; i < FL_COUNT(known); i++)
		if (known[i].type == type)
			return known[i].word;
	snprintf(other, 24, "rdata_%u = ", type);
	return other;
}

/* Without the final dot. */
static void name_text(char to[FL_NAME_TEXT_MAX], struct fl_name n)
{
	size_t len = fl_name_text(to, n);
	to[len > 1 ? len - 1 : len] = 0;
}

static void soa(const char *owner, char *data)
{
	static const char *const words[] = { "origin", "mail addr", "serial", "refresh", "retry", "expire", "minimum" };
	struct fl_str rest = fl_str(data), w;
	printf("%s\n", owner);
	for (unsigned i = 0; i < FL_COUNT(words) && rest.n; i++) {
		rest = fl_str_cut(rest, ' ', &w);
		w.n -= i < 2 && w.n > 1 && w.p[w.n - 1] == '.';
		printf("\t%s = %.*s\n", words[i], FL_FMT(w));
	}
}

static void records(struct look *l, const struct fl_message *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		char owner[FL_NAME_TEXT_MAX], data[8192], other[24];
		if (m->item[i].section != FL_ANSWER)
			continue;
		name_text(owner, m->item[i].owner);
		for (struct fl_rr r = { 0 }; fl_rr_next(m->item[i].set, &r);) {
			fl_rdata_text(data, sizeof data, r.type, r.rdata, r.rdlen);
			if (r.type == FL_T_CNAME)
				snprintf(l->final, sizeof l->final, "%.*s", (int)sizeof l->final - 1, data);
			if (r.type == FL_T_A || r.type == FL_T_AAAA)
				printf("Name:\t%s\nAddress: %s\n", owner, data);
			else if (r.type == FL_T_SOA)
				soa(owner, data);
			else
				printf("%s\t%s%s\n", owner, word_of(r.type, other), data);
		}
	}
}

static void on_step(void *arg, const struct resolve_step *s)
{
	struct look *l = arg;
	const struct ask_reply *r = s->reply;
	char address[GO_ADDR_TEXT], name[FL_NAME_TEXT_MAX];
	go_addr_text(address, &s->server->addr);
	char *colon = strrchr(address, ':');
	int n = (int)(colon - address) - (*address == '[' ? 2 : 0);
	const char *ip = address + (*address == '[');
	name_text(name, s->name);
	if (!r && l->tcp)
		printf(";; Connection to %.*s#%u(%.*s) for %s failed: %s.\n;; no servers could be reached\n", n, ip, s->server->port, n, ip, name,
		       strstr(s->error, "no answer") ? "timed out" : strstr(s->error, "refused") ? "connection refused" : s->error);
	else if (!r)
		printf(";; communications error to %.*s#%u: %s\n", n, ip, s->server->port,
		       strstr(s->error, "no answer") ? "timed out" : strstr(s->error, "refused") ? "connection refused" : s->error);
	else if (r->m.rcode == FL_SERVFAIL)
		printf(";; Got SERVFAIL reply from %.*s\n", n, ip);
	bool found = r && r->m.rcode == FL_NOERROR;
	for (unsigned i = 0; found && i < r->m.n; i++)
		if (r->m.item[i].section == FL_ANSWER) {
			bool first = !l->answered;
			l->answered = true;
			head(l, s->server);
			if (first && !(r->m.flags & FL_AA))
				puts("Non-authoritative answer:");
			records(l, &r->m);
			break;
		}
}

/* ---- options ---- */

static bool number(struct look *l, const char *text, int64_t *to)
{
	bool ok = !fl_parse_int(fl_str(text), 0, 65535, to);
	if (!ok)
		ctl_fail(l->c, "invalid number '%s'", text);
	return ok;
}

static bool option(struct look *l, const char *o)
{
	const char *value = strchr(o, '=');
	size_t n = value ? (size_t)(value - o) : strlen(o);
	value = value ? value + 1 : "";
	struct fl_str name = { o, n };
	uint16_t type;
	if (fl_str_is(name, "type") || fl_str_is(name, "ty") || fl_str_is(name, "q") || fl_str_is(name, "query") || fl_str_is(name, "querytype")) {
		char upper[32] = "";
		for (size_t i = 0; value[i] && i < sizeof upper - 1; i++)
			upper[i] = (char)toupper((unsigned char)value[i]);
		if (fl_type_parse(fl_str(upper), &type))
			memcpy(l->type, upper, sizeof upper);
		else
			printf("unknown query type: %s\n", value);
	} else if (fl_str_is(name, "port") || fl_str_is(name, "po")) {
		return number(l, value, &l->port);
	} else if (fl_str_is(name, "timeout") || fl_str_is(name, "t")) {
		return number(l, value, &l->timeout);
	} else if (fl_str_is(name, "retry") || fl_str_is(name, "ret")) {
		return number(l, value, &l->retry);
	} else if (fl_str_is(name, "vc") || fl_str_is(name, "novc")) {
		l->tcp = *o == 'v';
	} else if (fl_str_is(name, "search") || fl_str_is(name, "sea") || fl_str_is(name, "nosearch") || fl_str_is(name, "nosea")) {
		l->search = *o == 's';
	} else if (fl_str_is(name, "recurse") || fl_str_is(name, "rec") || fl_str_is(name, "norecurse") || fl_str_is(name, "norec")) {
		l->r.flags = *o == 'r' ? FL_RD : 0;
	} else {
		printf("*** Invalid option: %s\n", o);
	}
	return true;
}

static bool arguments(struct look *l)
{
	for (unsigned i = 0; i < l->c->narg; i++) {
		const char *w = l->c->arg[i];
		if (*w == '-' && w[1]) {
			if (!option(l, w + 1))
				return false;
		} else if (!l->host) {
			l->host = w;
		} else if (!l->server) {
			l->server = w;
		}
	}
	return true;
}

/* ---- looking up ---- */

static int servers(struct look *l)
{
	struct fl_str text = { 0 };
	struct fl_err e;
	enum ask_how how = l->tcp ? ASK_TCP : ASK_UDP;
	if (ctl_read(l->c, "/etc/resolv.conf", &text))
		return 1;
	text = ctl_keep(l->a, text);
	if (resolve_conf(&l->r, text, how, (unsigned)l->port, &e) && !l->server)
		return ctl_fail(l->c, "%s", e.msg);
	if (l->server) {
		l->r.nserver = 1;
		if (ask_server_parse(&l->r.server[0], l->server, how, (unsigned)l->port, &e)) {
			printf("nslookup: couldn't get address for '%s': not found\n", l->server);
			return 1;
		}
	}
	l->r.client.attempts = l->retry ? (unsigned)l->retry : 1;
	l->r.client.timeout_s = l->timeout ? (unsigned)l->timeout : 1;
	if (!l->search)
		l->r.client.searches.n = 0;
	return 0;
}

static int say_failed(struct look *l, enum fl_answer end)
{
	char name[FL_NAME_TEXT_MAX], number[16];
	if (end == FL_ANSWER_SILENT || end == FL_ANSWER_UNREACHABLE) {
		puts(l->tcp ? "" : ";; no servers could be reached\n");
		return 1;
	}
	head(l, &l->r.server[0]);
	name_text(name, l->r.last);
	if (end == FL_ANSWER_NODATA) {
		printf("*** Can't find %s: No answer\n\n", l->host);
		return 0;
	}
	const char *rcode = fl_rcode_name(l->r.rcode);
	snprintf(number, sizeof number, "RESERVED%u", l->r.rcode);
	printf("** server can't find %s: %s\n\n", name, rcode ? rcode : number);
	return 1;
}

/* A, then AAAA of the name that A was found at or exists with. */
static int look(struct look *l)
{
	struct fl_str name = fl_str(l->host), reverse = resolve_reverse(l->a, name);
	bool both = !*l->type && !reverse.p;
	uint8_t wire[FL_NAME_MAX];
	if (reverse.p && !*l->type) {
		name = reverse;
		l->reverse = true;
	}
	int len = fl_name_parse(wire, name);
	if (len < 0) {
		fprintf(stderr, "nslookup: '%s' is not a legal name (%s)\n", l->host, strstr(l->host, "..") ? "empty label" : "label too long");
		return 10;
	}
	l->r.ntype = 1;
	l->r.type[0] = l->reverse ? FL_T_PTR : FL_T_A;
	if (*l->type)
		fl_type_parse(fl_str(l->type), &l->r.type[0]);
	enum fl_answer end = resolve(&l->r, name);
	if (both && (end == FL_ANSWER_FOUND || end == FL_ANSWER_NODATA)) {
		char found[FL_NAME_TEXT_MAX];
		fl_name_text(found, l->r.last);
		l->r.type[0] = FL_T_AAAA;
		enum fl_answer six = resolve(&l->r, fl_arena_str(l->a, fl_str(*l->final ? l->final : found)));
		end = six == FL_ANSWER_FOUND ? six : end;
	}
	if (end != FL_ANSWER_FOUND)
		return say_failed(l, end);
	putchar('\n');
	return 0;
}

static int run(struct ctl *c)
{
	if (c->narg == 1 && !strcmp(c->arg[0], "--help")) {
		ctl_usage(c, 1);
		return 0;
	}
	struct fl_arena a = { .limit = 64 << 20 };
	struct look *l = fl_xalloc(sizeof *l);
	*l = (struct look){ .c = c, .a = &a, .search = true, .port = 53, .timeout = 5, .retry = 3 };
	l->r = (struct resolve){ .a = &a, .libc = FL_NSLOOKUP, .flags = FL_RD, .step = on_step, .arg = l };
	int ret = arguments(l) ? 0 : 1;
	if (!ret && !l->host)
		ret = ctl_misuse(c, "no host to look up: there is no prompt here");
	if (!ret)
		ret = servers(l);
	if (!ret)
		ret = look(l);
	free(l);
	fl_arena_finish(&a);
	return ret;
}

const struct ctl_command ctl_nslookup = {
	.name = "nslookup", .about = "Looks a name up, with the classic output",
	.args = "[-type=T] [-port=N] [-timeout=N] [-retry=N] [-vc] [-nosearch] [-norecurse] HOST [SERVER]", .raw = true, .limit_s = 300, .main = run,
};
