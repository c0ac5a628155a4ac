/* What explain says: the steps, what each plugin did, and the findings in words. */
#include "cmd/fairctl/explain.h"
#include "wire/rrset.h"
#include <errno.h>
#include <stdio.h>

#define SAY(...) fl_arena_printf(f->a, __VA_ARGS__)

static const char *const severities[] = { "note", "warning", "error" };

static const char *rcode(const struct facts *f, unsigned n)
{
	const char *name = fl_rcode_name((uint16_t)n);
	return name ? name : SAY("rcode %u", n).p;
}

static struct fl_str reply(const struct facts *f, const struct ex_reply *r)
{
	if (!r->got)
		return SAY("no answer");
	if (r->other.n)
		return SAY("records of another name, %.*s: %.*s", FL_FMT(r->other), FL_FMT(fl_words_join(f->a, &r->records, ", ")));
	if (!r->records.n)
		return SAY("%s%s", rcode(f, r->rcode), r->rcode ? "" : ", no record");
	return SAY("%s%s%.*s", r->rcode ? rcode(f, r->rcode) : "", r->rcode ? ", " : "", FL_FMT(fl_words_join(f->a, &r->records, ", ")));
}

static bool is_forward(const struct ex_hop *h) { return !strcmp(h->plugin, "forward") || !strcmp(h->plugin, "grpc"); }

static struct fl_str would_ask(const struct facts *f, const struct ex_step *s)
{
	for (unsigned i = 0; i < f->conf.nforward; i++) {
		const struct ex_forward *w = &f->conf.forward[i];
		bool ours = false;
		for (unsigned k = 0; k < f->conf.block[w->block].zones.n; k++)
			ours |= fl_str_eq(f->conf.block[w->block].zones.at[k], s->zone);
		if (ours && ex_under(s->name, w->from))
			return fl_words_join(f->a, &w->to, ", ");
	}
	return FL_STR("its upstreams");
}

/* What a plugin did; n 0: nothing worth a line. */
static struct fl_str did(const struct facts *f, const struct ex_step *s, const struct ex_hop *h, const struct ex_hop *before)
{
	bool changed = !fl_str_eq(h->before, h->after);
	struct fl_str end = SAY("%s%s%s", h->records || h->rcode ? rcode(f, h->rcode) : "no record",
				h->records ? SAY(", %u record%s", h->records, h->records == 1 ? "" : "s").p : "", *h->why ? SAY(" (%s)", h->why).p : "");
	if (h->verdict == FL_WAIT)
		return FL_STR("");
	if (h->verdict == FL_DROP)
		return SAY("drops the question");
	if (h->up && before && before->rcode == h->rcode && before->records == h->records && !changed)
		return FL_STR("");
	if (h->up)
		return SAY("makes of the answer: %.*s", FL_FMT(end));
	if (h->verdict != FL_DONE)
		return changed ? SAY("asks for %.*s instead", FL_FMT(h->after)) : FL_STR("");
	if (is_forward(h) && f->offline)
		return SAY("would ask %.*s (offline)", FL_FMT(would_ask(f, s)));
	return SAY("answers: %.*s", FL_FMT(end));
}

static struct fl_str error(const struct facts *f, int ret)
{
	return ret == -ETIMEDOUT ? FL_STR("silent") : ret == -ECONNREFUSED ? FL_STR("connection refused") : SAY("%s", ret > 0 ? "not asked" : strerror(-ret));
}

static struct fl_str probe(const struct facts *f, const struct ex_probe *p)
{
	struct fl_str u = p->udp ? error(f, p->udp) : reply(f, &p->by_udp);
	bool alike = !p->tcp && !p->udp && p->by_tcp.rcode == p->by_udp.rcode && p->by_tcp.found == p->by_udp.found;
	if (alike)
		return SAY("%.*s says over UDP and TCP: %.*s", FL_FMT(p->server), FL_FMT(u));
	struct fl_str t = p->tcp ? error(f, p->tcp) : SAY("%s, %u of the type", rcode(f, p->by_tcp.rcode), p->by_tcp.found);
	return SAY("%.*s says over UDP: %.*s; over TCP: %.*s", FL_FMT(p->server), FL_FMT(u), FL_FMT(t));
}

static int line_of(const struct facts *f, struct fl_str zone)
{
	for (unsigned i = 0; i < f->conf.nblock; i++)
		for (unsigned k = 0; k < f->conf.block[i].zones.n; k++)
			if (fl_str_eq(f->conf.block[i].zones.at[k], zone))
				return f->conf.block[i].line;
	return 0;
}

/* ---- text ---- */

static void text_step(const struct facts *f, const struct ex_step *s, unsigned number)
{
	char type[16];
	fl_type_text(type, s->type);
	if (f->elsewhere) {
		printf("  %u. %.*s %s\n", number, FL_FMT(s->name), type);
		return;
	}
	struct fl_str said = s->unasked ? SAY("not asked") : reply(f, &s->reply);
	printf("  %u. %.*s %s: %.*s\n", number, FL_FMT(s->name), type, FL_FMT(said));
	if (s->zone.n)
		printf("       block %.*s (%s:%d)\n", FL_FMT(s->zone), f->conf.path, line_of(f, s->zone));
	else if (s->reply.got && !s->live)
		printf("       no server block takes it\n");
	for (unsigned i = 0; i < s->nhop; i++) {
		struct fl_str d = did(f, s, &s->hop[i], i ? &s->hop[i - 1] : NULL);
		if (d.n)
			printf("       %*s%s %.*s\n", (int)(2 * s->hop[i].depth), "", s->hop[i].plugin, FL_FMT(d));
	}
	for (unsigned i = 0; i < s->nupstream; i++)
		printf("       upstream %.*s\n", FL_FMT(probe(f, &s->upstream[i])));
	if (s->live)
		printf("       live server %.*s\n", FL_FMT(probe(f, s->live)));
}

static void text_head(const struct facts *f)
{
	if (f->has_pod)
		printf("Pod %.*s/%.*s (dnsPolicy %.*s%s)", FL_FMT(f->pod.dns.ns), FL_FMT(f->pod.dns.name), FL_FMT(f->pod.dns.policy),
		       f->pod.dns.host_network ? ", hostNetwork" : "");
	else
		printf("This resolv.conf");
	struct fl_str list = f->client.searches.n ? fl_words_join(f->a, &f->client.searches, " ") : FL_STR("(none)");
	printf(" asks %.*s; ndots:%u, search %.*s\n", FL_FMT(fl_words_join(f->a, &f->client.servers, ", ")), f->client.ndots, FL_FMT(list));
}

static bool unasked(const struct facts *f)
{
	bool any = false;
	for (unsigned i = 0; i < f->nglibc; i++)
		any |= f->step[i].unasked;
	return any && f->end != FL_ANSWER_FOUND;
}

static bool musl_differs(const struct facts *f)
{
	return f->musl_end != f->end || f->musl_names.n != f->glibc_names.n;
}

static void text(const struct facts *f, const struct ex_findings *found)
{
	text_head(f);
	for (unsigned i = 0, n = 0; i < f->nglibc; i++) {
		bool second = i && fl_str_eq(f->step[i].name, f->step[i - 1].name);
		bool alike = second && f->step[i].reply.rcode == f->step[i - 1].reply.rcode && !f->step[i].reply.records.n && !f->step[i - 1].reply.records.n;
		n += !second;
		if (!alike || f->step[i].nupstream)
			text_step(f, &f->step[i], n);
	}
	if (f->elsewhere)
		printf("Result: asked of %.*s, which is not the cluster's DNS\n", FL_FMT(fl_words_join(f->a, &f->client.servers, ", ")));
	else
		printf("Result: %s%s\n", f->end == FL_ANSWER_FOUND ? "it resolves" : fl_answer_text(f->end), unasked(f) ? ", unless an upstream knows it" : "");
	if (musl_differs(f))
		printf("musl (Alpine): asks %.*s: %s\n", FL_FMT(fl_words_join(f->a, &f->musl_names, ", ")),
		       f->musl_end == FL_ANSWER_FOUND ? "it resolves" : fl_answer_text(f->musl_end));
	for (unsigned i = 0; i < found->n; i++)
		printf("\n%s (%s): %.*s.\n  fix: %.*s\n", severities[found->at[i].severity], found->at[i].cause, FL_FMT(found->at[i].words),
		       FL_FMT(found->at[i].fix));
	if (!found->n)
		printf("\n%s\n", !ex_failed(f) ? "Nothing is wrong with it." : unasked(f) ? "No cause was found here: ask again without --offline."
			: "No cause was found here: the answer is that of the servers asked.");
}

/* ---- JSON ---- */

static void put(cJSON *o, const char *key, struct fl_str s) { cJSON_AddItemToObject(o, key, ctl_json_str(s)); }

static cJSON *array(const struct fl_words *w)
{
	cJSON *list = cJSON_CreateArray();
	for (unsigned i = 0; i < w->n; i++)
		cJSON_AddItemToArray(list, ctl_json_str(w->at[i]));
	return list;
}

static void json_probe(const struct facts *f, cJSON *o, const struct ex_probe *p)
{
	put(o, "server", p->server);
	put(o, "udp", p->udp ? error(f, p->udp) : fl_str(rcode(f, p->by_udp.rcode)));
	put(o, "tcp", p->tcp ? error(f, p->tcp) : fl_str(rcode(f, p->by_tcp.rcode)));
	cJSON_AddItemToObject(o, "records", array(&p->by_udp.records));
}

static cJSON *json_step(const struct facts *f, const struct ex_step *s)
{
	static const char *const verdicts[] = { "next", "wrap", "done", "again", "wait", "drop" };
	char type[16];
	cJSON *o = cJSON_CreateObject(), *chain = cJSON_CreateArray(), *up = cJSON_CreateArray();
	fl_type_text(type, s->type);
	put(o, "name", s->name);
	cJSON_AddStringToObject(o, "type", type);
	put(o, "block", s->zone);
	cJSON_AddStringToObject(o, "by", s->by);
	cJSON_AddStringToObject(o, "rcode", s->reply.got ? rcode(f, s->reply.rcode) : "");
	cJSON_AddItemToObject(o, "records", array(&s->reply.records));
	cJSON_AddBoolToObject(o, "offline", s->unasked);
	for (unsigned i = 0; i < s->nhop; i++) {
		const struct ex_hop *h = &s->hop[i];
		cJSON *x = cJSON_CreateObject();
		cJSON_AddStringToObject(x, "plugin", h->plugin);
		cJSON_AddStringToObject(x, "verdict", verdicts[h->verdict]);
		cJSON_AddStringToObject(x, "way", h->up ? "reply" : "query");
		cJSON_AddNumberToObject(x, "depth", h->depth);
		put(x, "asked", h->before);
		put(x, "asks", h->after);
		put(x, "did", did(f, s, h, i ? h - 1 : NULL));
		cJSON_AddItemToArray(chain, x);
	}
	cJSON_AddItemToObject(o, "chain", chain);
	for (unsigned i = 0; i < s->nupstream; i++) {
		cJSON *x = cJSON_CreateObject();
		json_probe(f, x, &s->upstream[i]);
		cJSON_AddItemToArray(up, x);
	}
	cJSON_AddItemToObject(o, "upstreams", up);
	if (s->live) {
		cJSON *x = cJSON_CreateObject();
		json_probe(f, x, s->live);
		cJSON_AddItemToObject(o, "live", x);
	}
	return o;
}

static int json(struct ctl *c, const struct facts *f, const struct ex_findings *found)
{
	cJSON *o = cJSON_CreateObject(), *steps = cJSON_CreateArray(), *list = cJSON_CreateArray();
	put(o, "name", f->name);
	cJSON_AddStringToObject(o, "result", f->end == FL_ANSWER_FOUND ? "found" : fl_answer_text(f->end));
	cJSON_AddStringToObject(o, "musl", f->musl_end == FL_ANSWER_FOUND ? "found" : fl_answer_text(f->musl_end));
	cJSON_AddBoolToObject(o, "cluster_dns", !f->elsewhere);
	put(o, "resolv_conf", f->resolv);
	cJSON_AddItemToObject(o, "names", array(&f->glibc_names));
	cJSON_AddItemToObject(o, "musl_names", array(&f->musl_names));
	for (unsigned i = 0; i < f->nstep; i++)
		cJSON_AddItemToArray(steps, json_step(f, &f->step[i]));
	cJSON_AddItemToObject(o, "steps", steps);
	for (unsigned i = 0; i < found->n; i++) {
		cJSON *x = cJSON_CreateObject();
		cJSON_AddStringToObject(x, "severity", severities[found->at[i].severity]);
		cJSON_AddStringToObject(x, "cause", found->at[i].cause);
		put(x, "words", found->at[i].words);
		put(x, "fix", found->at[i].fix);
		cJSON_AddItemToArray(list, x);
	}
	cJSON_AddItemToObject(o, "findings", list);
	return ctl_print(c, o);
}

int ex_print(struct ctl *c, const struct facts *f, const struct ex_findings *found)
{
	if (c->json)
		return json(c, f, found);
	text(f, found);
	return 0;
}
