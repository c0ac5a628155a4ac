/* query: asks for a name as a program in a pod would, and shows each step. */
#include "cmd/fairctl/commands.h"
#include "cmd/fairctl/resolve.h"
#include "base/clock.h"
#include "wire/text.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static const struct ctl_flag flags[] = {
	{ "server", "ADDR", "ask this server, the name as it is; may be repeated; tcp://, tls://, https://HOST/PATH", NULL, NULL },
	{ "resolv-conf", "FILE", "a pod's file: its servers, search list and options", "@file", "/etc/resolv.conf" },
	{ "libc", "LIBC", "whose way through the search list", "glibc|musl", "glibc" },
	{ "transport", "HOW", "how servers without a scheme are asked", "udp|tcp|tls|https", "udp" },
	{ "port", "PORT", "of servers that name none (default 53, 853, 443)", NULL, "0" },
	{ "timeout", "TIME", "for all of it (default 5s with --server, else what the file says)", "@time", NULL },
	{ "ca", "FILE", "certificates that a TLS server must be proven by, PEM (default: the system's)", "@file", NULL },
	{ "tls-name", "NAME", "what the TLS server's certificate must be for (default: its name or address)", NULL, NULL },
	{ "insecure", NULL, "a TLS server proves nothing", NULL, NULL },
	{ NULL },
};

struct show { struct ctl *c; cJSON *steps, *answer; struct fl_words lines; struct fl_arena *a; };

/* The answer's records: text lines and JSON. */
static void records(struct show *sh, const struct fl_message *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct fl_item *it = &m->item[i];
		char owner[FL_NAME_TEXT_MAX], type[16], class[16], data[8192];
		if (it->section != FL_ANSWER)
			continue;
		fl_name_text(owner, it->owner);
		for (struct fl_rr r = { 0 }; fl_rr_next(it->set, &r);) {
			fl_type_text(type, r.type);
			fl_class_text(class, r.class);
			fl_rdata_text(data, sizeof data, r.type, r.rdata, r.rdlen);
			fl_words_add(sh->a, &sh->lines, fl_arena_printf(sh->a, "%s\t%u\t%s\t%s\t%s\n", owner, r.ttl, class, type, data));
			cJSON *o = cJSON_CreateObject();
			cJSON_AddItemToObject(o, "name", ctl_json_str(fl_str(owner)));
			cJSON_AddNumberToObject(o, "ttl", r.ttl);
			cJSON_AddStringToObject(o, "class", class);
			cJSON_AddStringToObject(o, "type", type);
			cJSON_AddItemToObject(o, "data", ctl_json_str(fl_str(data)));
			cJSON_AddItemToArray(sh->answer, o);
		}
	}
}

static const char *rcode_of(const struct fl_message *m, char to[16])
{
	const char *name = fl_rcode_name(m->rcode);
	snprintf(to, 16, "%u", m->rcode);
	return name ? name : to;
}

static void on_step(void *arg, const struct resolve_step *s)
{
	struct show *sh = arg;
	char name[FL_NAME_TEXT_MAX], type[16], number[16];
	double ms = (double)s->took_ns / FL_MS;
	unsigned n = 0;
	fl_name_text(name, s->name);
	fl_type_text(type, s->type);
	for (unsigned i = 0; s->reply && i < s->reply->m.n; i++)
		n += s->reply->m.item[i].section == FL_ANSWER ? s->reply->m.item[i].set->count : 0;
	const char *how = s->reply && s->reply->by_tcp ? "udp, then tcp" : ask_how_text(s->server->how);
	const char *rcode = s->reply ? rcode_of(&s->reply->m, number) : NULL;
	if (!sh->c->json) {
		printf(";; %u: %s %s from %s (%s): ", s->number, name, type, s->server->text, how);
		if (s->reply)
			printf("%s, %u record%s, %.1f ms\n", rcode, n, n == 1 ? "" : "s", ms);
		else
			printf("%s\n", s->error);
		fflush(stdout);
	}
	cJSON *o = cJSON_CreateObject();
	cJSON_AddItemToObject(o, "name", ctl_json_str(fl_str(name)));
	cJSON_AddStringToObject(o, "type", type);
	cJSON_AddItemToObject(o, "server", ctl_json_str(fl_str(s->server->text)));
	cJSON_AddStringToObject(o, "transport", s->reply && s->reply->by_tcp ? "tcp" : ask_how_text(s->server->how));
	if (rcode)
		cJSON_AddStringToObject(o, "rcode", rcode);
	else
		cJSON_AddItemToObject(o, "error", ctl_json_str(fl_str(s->error)));
	cJSON_AddNumberToObject(o, "records", n);
	cJSON_AddNumberToObject(o, "ms", (double)(uint64_t)(ms * 1000) / 1000);
	cJSON_AddItemToArray(sh->steps, o);
	if (s->reply && n)
		records(sh, &s->reply->m);
}

/* ---- what to ask ---- */

static enum ask_how how_of(const char *text)
{
	static const char *const names[] = { "udp", "tcp", "tls", "https" };
	enum ask_how how = ASK_UDP;
	while (strcmp(names[how], text))
		how++;
	return how;
}

static int credentials(const struct ctl *c, struct resolve *r, struct fl_tls_creds **creds)
{
	struct fl_tls_trust trust = { .insecure = ctl_on(c, "insecure") };
	struct fl_err e;
	bool wanted = false;
	for (unsigned i = 0; i < r->nserver; i++)
		wanted |= r->server[i].how == ASK_TLS || r->server[i].how == ASK_HTTPS;
	if (!wanted)
		return 0;
	if (ctl_text(c, "ca") && ctl_read(c, ctl_text(c, "ca"), &trust.ca))
		return 1;
	*creds = fl_tls_creds_create(&trust, &e);
	free((char *)(uintptr_t)trust.ca.p);
	if (!*creds)
		return ctl_fail(c, "%s%s%s", trust.ca.p ? ctl_text(c, "ca") : "", trust.ca.p ? ": " : "", e.msg);
	const char *name = ctl_text(c, "tls-name");
	for (unsigned i = 0; i < r->nserver; i++) {
		r->server[i].creds = *creds;
		if (name)
			snprintf(r->server[i].host, sizeof r->server[i].host, "%s", name);
	}
	return 0;
}

static int servers(const struct ctl *c, struct resolve *r)
{
	struct fl_err e;
	struct fl_str text;
	enum ask_how how = how_of(ctl_text(c, "transport"));
	int64_t port;
	int ret = ctl_int(c, "port", 0, 65535, &port);
	if (ret)
		return ret;
	r->client = (struct fl_resolver){ .ndots = 1, .timeout_s = 5, .attempts = 2 };
	if (!ctl_given(c, "server") || ctl_given(c, "resolv-conf")) {
		if (ctl_read(c, ctl_text(c, "resolv-conf"), &text))
			return 1;
		text = ctl_keep(r->a, text);
		if (resolve_conf(r, text, how, (unsigned)port, &e))
			return ctl_fail(c, "%s: %s", ctl_text(c, "resolv-conf"), e.msg);
	}
	if (ctl_given(c, "server"))
		r->nserver = 0;
	for (const char *s; (s = ctl_nth(c, "server", r->nserver)) && r->nserver < RESOLVE_SERVERS; r->nserver++)
		if (ask_server_parse(&r->server[r->nserver], s, how, (unsigned)port, &e))
			return ctl_fail(c, "server %s: %s", s, e.msg);
	return 0;
}

static int types(const struct ctl *c, struct resolve *r, struct fl_str *name)
{
	struct fl_str reverse = resolve_reverse(r->a, *name);
	char type[32] = "";
	for (size_t i = 0; c->narg > 1 && c->arg[1][i] && i < sizeof type - 1; i++)
		type[i] = (char)toupper((unsigned char)c->arg[1][i]);
	if (c->narg > 1) {
		r->ntype = 1;
		if (!fl_type_parse(fl_str(type), &r->type[0]))
			return ctl_misuse(c, "\"%s\" is no type", c->arg[1]);
	} else if (reverse.p) {
		r->type[r->ntype++] = FL_T_PTR;
		*name = reverse;
	} else {
		r->type[r->ntype++] = FL_T_A;
		r->type[r->ntype++] = FL_T_AAAA;
	}
	return 0;
}

static int print(struct ctl *c, const struct resolve *r, struct show *sh, enum fl_answer end)
{
	for (unsigned i = 0; !c->json && i < sh->lines.n; i++)
		fwrite(sh->lines.at[i].p, 1, sh->lines.at[i].n, stdout);
	int ret = 0;
	if (c->json) {
		cJSON *json = cJSON_CreateObject();
		cJSON_AddItemToObject(json, "name", ctl_json_str(fl_str(c->arg[0])));
		cJSON_AddStringToObject(json, "result", fl_answer_text(end));
		cJSON_AddNumberToObject(json, "queries", r->queries);
		cJSON_AddItemToObject(json, "steps", sh->steps);
		cJSON_AddItemToObject(json, "answer", sh->answer);
		ret = ctl_print(c, json);
	} else {
		cJSON_Delete(sh->steps);
		cJSON_Delete(sh->answer);
	}
	if (end == FL_ANSWER_FOUND)
		return ret;
	return ctl_fail(c, "%s: %s (%u quer%s)", c->arg[0], fl_answer_text(end), r->queries, r->queries == 1 ? "y" : "ies");
}

static int run(struct ctl *c)
{
	struct fl_arena a = { .limit = 512 << 20 };
	struct resolve r = { .a = &a, .libc = strcmp(ctl_text(c, "libc"), "musl") ? FL_GLIBC : FL_MUSL, .flags = FL_RD, .step = on_step };
	struct show sh = { .c = c, .a = &a };
	struct fl_tls_creds *creds = NULL;
	struct fl_str name = fl_str(c->arg[0]);
	int64_t limit = 0;
	int ret = types(c, &r, &name);
	if (!ret)
		ret = servers(c, &r);
	if (!ret)
		ret = credentials(c, &r, &creds);
	if (ret)
		goto out;
	if (ctl_given(c, "timeout"))
		ctl_time(c, "timeout", &limit);
	else if (ctl_given(c, "server"))
		limit = 5 * (int64_t)FL_SEC;
	r.until_ns = limit ? fl_clock_ns() + (uint64_t)limit : 0;
	ctl_limit(limit ? (unsigned)(limit / (int64_t)FL_SEC) + 30 : 600);
	sh.steps = cJSON_CreateArray();
	sh.answer = cJSON_CreateArray();
	r.arg = &sh;
	ret = print(c, &r, &sh, resolve(&r, name));
out:
	fl_tls_creds_put(creds);
	fl_arena_finish(&a);
	return ret;
}

const struct ctl_command ctl_query = {
	.name = "query", .about = "Asks for a name, step by step as a program in a pod does", .args = "NAME [TYPE]", .min = 1, .max = 2, .flag = flags,
	.json = true, .main = run,
};
