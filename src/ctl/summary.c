#include "ctl/summary.h"
#include "base/clock.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LABELS_MAX = 12 };

struct line {
	struct fl_str name;
	unsigned nlabel;
	struct { struct fl_str name, value; } label[LABELS_MAX];        /* values as written, with their escapes */
	double v;
};

/* ---- lines ---- */

static bool name_char(char c) { return c == '_' || c == ':' || (c >= '0' && c <= '9') || (fl_lower((uint8_t)c) >= 'a' && fl_lower((uint8_t)c) <= 'z'); }

static const char *word(const char *p, const char *end, struct fl_str *w)
{
	w->p = p;
	while (p < end && name_char(*p))
		p++;
	w->n = (size_t)(p - w->p);
	return p;
}

static const char *blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

/* Behind '{'; NULL: not well formed. */
static const char *labels(struct line *l, const char *p, const char *end)
{
	for (;;) {
		struct fl_str name, value;
		p = blanks(p, end);
		if (p < end && *p == '}')
			return p + 1;
		p = blanks(word(p, end, &name), end);
		if (!name.n || end - p < 3 || *p++ != '=')
			return NULL;
		p = blanks(p, end);
		if (p == end || *p++ != '"')
			return NULL;
		for (value.p = p; p < end && *p != '"'; p++)
			p += *p == '\\' && p + 1 < end;
		if (p >= end)
			return NULL;
		value.n = (size_t)(p++ - value.p);
		if (l->nlabel < LABELS_MAX) {
			l->label[l->nlabel].name = name;
			l->label[l->nlabel++].value = value;
		}
		p = blanks(p, end);
		if (p < end && *p == ',')
			p++;
	}
}

/* false: no sample. */
static bool parse(struct line *l, const char *p, const char *end)
{
	char number[64];
	struct fl_str v;
	l->nlabel = 0;
	p = blanks(p, end);
	p = blanks(word(p, end, &l->name), end);
	if (!l->name.n)
		return false;
	if (p < end && *p == '{' && !(p = labels(l, p + 1, end)))
		return false;
	v.p = p = blanks(p, end);
	while (p < end && *p != ' ' && *p != '\t' && *p != '\r')
		p++;
	v.n = (size_t)(p - v.p);
	if (!v.n || v.n >= sizeof number)
		return false;
	memcpy(number, v.p, v.n);
	number[v.n] = 0;
	char *stop;
	l->v = strtod(number, &stop);
	return !*stop && !isnan(l->v);
}

static struct fl_str raw_label(const struct line *l, const char *name)
{
	for (unsigned i = 0; i < l->nlabel; i++)
		if (fl_str_is(l->label[i].name, name))
			return l->label[i].value;
	return (struct fl_str){ "", 0 };
}

/* The value without its escapes, cut to fit. */
static void label(const struct line *l, const char *name, char *to, size_t cap)
{
	struct fl_str v = raw_label(l, name);
	size_t n = 0;
	for (size_t i = 0; i < v.n && n + 1 < cap; i++) {
		bool escaped = v.p[i] == '\\' && i + 1 < v.n;
		i += escaped;
		to[n++] = v.p[i];
		if (escaped && v.p[i] == 'n')
			to[n - 1] = '\n';
	}
	to[n] = 0;
}

/* ---- gathering ---- */

static void add_row(struct fl_sum_row *row, unsigned *n, unsigned cap, const struct line *l, const char *by)
{
	char name[FL_SUM_TEXT];
	label(l, by, name, sizeof name);
	for (unsigned i = 0; i < *n; i++)
		if (!strcmp(row[i].name, name)) {
			row[i].n += l->v;
			return;
		}
	if (*n == cap)
		return;
	memcpy(row[*n].name, name, sizeof name);
	row[(*n)++].n = l->v;
}

static void queries(struct fl_summary *s, const struct line *l) { s->queries += l->v; }

static void responses(struct fl_summary *s, const struct line *l)
{
	add_row(s->rcode, &s->nrcode, FL_SUM_RCODES, l, "rcode");
	if (raw_label(l, "plugin").n)
		add_row(s->plugin, &s->nplugin, FL_SUM_PLUGINS, l, "plugin");
}

static void took_bucket(struct fl_summary *s, const struct line *l)
{
	char text[32];
	struct fl_sum_hist *h = &s->took;
	label(l, "le", text, sizeof text);
	double le = strtod(text, NULL);
	if (!*text || isnan(le))
		return;
	unsigned at = 0;
	while (at < h->n && h->b[at].le < le)
		at++;
	if (at == h->n || h->b[at].le > le) {
		if (h->n == FL_SUM_BUCKETS)
			return;
		memmove(&h->b[at + 1], &h->b[at], (h->n - at) * sizeof *h->b);
		h->n++;
		h->b[at].le = le;
		h->b[at].count = 0;
	}
	h->b[at].count += l->v;
}

static void took_sum(struct fl_summary *s, const struct line *l) { s->took.sum += l->v; }
static void took_count(struct fl_summary *s, const struct line *l) { s->took.count += l->v; }

static void cache_entries(struct fl_summary *s, const struct line *l) { s->has_cache = true; s->entries += l->v; }
static void cache_hits(struct fl_summary *s, const struct line *l) { s->has_cache = true; s->hits += l->v; }
static void cache_misses(struct fl_summary *s, const struct line *l) { s->has_cache = true; s->misses += l->v; }

static struct fl_sum_upstream *upstream(struct fl_summary *s, const struct line *l)
{
	char to[FL_SUM_TEXT];
	label(l, "to", to, sizeof to);
	for (unsigned i = 0; i < s->nupstream; i++)
		if (!strcmp(s->upstream[i].to, to))
			return &s->upstream[i];
	if (s->nupstream == FL_SUM_UPSTREAMS)
		return NULL;
	struct fl_sum_upstream *u = &s->upstream[s->nupstream++];
	*u = (struct fl_sum_upstream){ .count = 0 };
	memcpy(u->to, to, sizeof to);
	return u;
}

#define UPSTREAM(field) static void upstream_##field(struct fl_summary *s, const struct line *l) \
{ \
	struct fl_sum_upstream *u = upstream(s, l); \
	if (u) \
		u->field += l->v; \
}
UPSTREAM(count)
UPSTREAM(seconds)
UPSTREAM(failures)

static struct fl_sum_source *source(struct fl_summary *s, const struct line *l)
{
	char name[FL_SUM_TEXT];
	label(l, "source", name, sizeof name);
	for (unsigned i = 0; i < s->nsource; i++)
		if (!strcmp(s->source[i].name, name))
			return &s->source[i];
	if (s->nsource == FL_SUM_SOURCES)
		return NULL;
	struct fl_sum_source *u = &s->source[s->nsource++];
	*u = (struct fl_sum_source){ .age = -1 };
	memcpy(u->name, name, sizeof name);
	return u;
}

#define SOURCE(field, value) static void source_##field(struct fl_summary *s, const struct line *l) \
{ \
	struct fl_sum_source *u = source(s, l); \
	if (u) \
		u->field = value; \
}
SOURCE(synced, l->v > 0)
SOURCE(connected, l->v > 0)
SOURCE(age, l->v)

static void kind(struct fl_summary *s, const struct line *l, bool version)
{
	struct fl_sum_source *u = source(s, l);
	char name[32];
	unsigned i = 0;
	label(l, "kind", name, sizeof name);
	while (u && i < u->nkind && strcmp(u->kind[i].name, name))
		i++;
	if (!u || i == FL_SUM_KINDS)
		return;
	if (i == u->nkind) {
		u->kind[i].objects = u->kind[i].version = -1;
		memcpy(u->kind[i].name, name, sizeof name);
		u->nkind++;
	}
	*(version ? &u->kind[i].version : &u->kind[i].objects) = l->v;
}

static void source_objects(struct fl_summary *s, const struct line *l) { kind(s, l, false); }
static void source_version(struct fl_summary *s, const struct line *l) { kind(s, l, true); }

static void panics(struct fl_summary *s, const struct line *l) { s->panics += l->v; }
static void loaded_at(struct fl_summary *s, const struct line *l) { s->loaded_at = l->v; }
static void reload_ok(struct fl_summary *s, const struct line *l) { s->reload_ok = l->v; }
static void reload_failed(struct fl_summary *s, const struct line *l) { s->reload_failed = l->v; }
static void saturation(struct fl_summary *s, const struct line *l) { s->saturation = l->v; }
static void rss(struct fl_summary *s, const struct line *l) { s->rss = l->v; }
static void started_at(struct fl_summary *s, const struct line *l) { s->started_at = l->v; }
static void build(struct fl_summary *s, const struct line *l) { label(l, "version", s->version, sizeof s->version); }

#define FAMILIES(X) \
	X("coredns_dns_requests_total", "", queries) \
	X("coredns_dns_responses_total", "", responses) \
	X("coredns_dns_request_duration_seconds", "_bucket", took_bucket) \
	X("coredns_dns_request_duration_seconds", "_sum", took_sum) \
	X("coredns_dns_request_duration_seconds", "_count", took_count) \
	X("coredns_cache_entries", "", cache_entries) \
	X("coredns_cache_hits_total", "", cache_hits) \
	X("coredns_cache_misses_total", "", cache_misses) \
	X("coredns_proxy_request_duration_seconds", "_count", upstream_count) \
	X("coredns_proxy_request_duration_seconds", "_sum", upstream_seconds) \
	X("coredns_proxy_healthcheck_failures_total", "", upstream_failures) \
	X("fairlead_kubernetes_synced", "", source_synced) \
	X("fairlead_kubernetes_connected", "", source_connected) \
	X("fairlead_kubernetes_last_event_age_seconds", "", source_age) \
	X("fairlead_kubernetes_objects", "", source_objects) \
	X("fairlead_kubernetes_resource_version", "", source_version) \
	X("coredns_panics_total", "", panics) \
	X("coredns_reload_failed_total", "", reload_failed) \
	X("fairlead_reload_last_success", "", reload_ok) \
	X("fairlead_reload_last_success_timestamp_seconds", "", loaded_at) \
	X("fairlead_saturation", "", saturation) \
	X("process_resident_memory_bytes", "", rss) \
	X("process_start_time_seconds", "", started_at) \
	X("coredns_build_info", "", build)

#define ROW(family, suffix, fn) { family suffix, fn },
static const struct { const char *name; void (*add)(struct fl_summary *s, const struct line *l); } reads[] = { FAMILIES(ROW) };
#define NAME(family, suffix, fn) { family, sizeof family - 1 },
const struct fl_str fl_summary_families[] = { FAMILIES(NAME) };
const unsigned fl_summary_nfamilies = FL_COUNT(fl_summary_families);

void fl_summary_read(struct fl_summary *s, const char *text, size_t n)
{
	const char *end = text + n;
	memset(s, 0, sizeof *s);
	s->loaded_at = s->reload_ok = s->reload_failed = s->saturation = s->rss = s->started_at = -1;
	for (const char *p = text, *next; p < end; p = next) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		struct line l;
		next = nl ? nl + 1 : end;
		if (*p == '#' || !parse(&l, p, nl ? nl : end))
			continue;
		for (unsigned i = 0; i < FL_COUNT(reads); i++)
			if (fl_str_is(l.name, reads[i].name))
				reads[i].add(s, &l);
	}
}

/* ---- numbers ---- */

static double grown(double was, double now) { return now > was ? now - was : 0; }

/* What a bucket counted since then; one that was not there had counted nothing. */
static double bucket(const struct fl_sum_hist *was, const struct fl_sum_hist *now, unsigned i)
{
	for (unsigned k = 0; was && k < was->n; k++)
		if (was->b[k].le == now->b[i].le)
			return grown(was->b[k].count, now->b[i].count);
	return now->b[i].count;
}

double fl_sum_quantile(const struct fl_sum_hist *was, const struct fl_sum_hist *now, double q)
{
	double all = now->n ? bucket(was, now, now->n - 1) : 0, want = q * all, below = 0, from = 0;
	if (!(all > 0) || !isfinite(all))
		return -1;
	for (unsigned i = 0; i < now->n; i++) {
		double n = bucket(was, now, i), le = now->b[i].le;
		if (n < want) {
			below = n;
			from = le;
			continue;
		}
		if (!isfinite(le))
			return from;
		return n > below ? from + (le - from) * (want - below) / (n - below) : le;
	}
	return from;
}

/* ---- JSON ---- */

struct out { void (*write)(void *arg, const char *p, size_t n); void *arg; };

static void put(const struct out *o, const char *z) { o->write(o->arg, z, strlen(z)); }

static void text(const struct out *o, const char *z) { fl_json_text(o->write, o->arg, fl_str(z)); }

static void number(const struct out *o, const char *key, double v)
{
	char t[48];
	snprintf(t, sizeof t, isfinite(v) ? "%s%.15g" : "%snull", key, v);
	put(o, t);
}

static void maybe(const struct out *o, const char *key, double v)       /* -1: not known */
{
	number(o, key, v == -1 ? NAN : v);
}

static double row_of(const struct fl_sum_row *row, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(row[i].name, name))
			return row[i].n;
	return 0;
}

static void rows(const struct out *o, const char *key, const struct fl_sum_row *was, unsigned nwas, const struct fl_sum_row *now, unsigned n, double seconds)
{
	put(o, key);
	for (unsigned i = 0; i < n; i++) {
		put(o, i ? ",{\"name\":" : "{\"name\":");
		text(o, now[i].name);
		number(o, ",\"total\":", now[i].n);
		number(o, ",\"rate\":", seconds > 0 ? grown(row_of(was, nwas, now[i].name), now[i].n) / seconds : NAN);
		put(o, "}");
	}
	put(o, "]");
}

static void latency(const struct out *o, const struct fl_sum_hist *was, const struct fl_sum_hist *now)
{
	static const struct { const char *key; double q; } q[] = { { "\"p50\":", .5 }, { ",\"p90\":", .9 }, { ",\"p99\":", .99 } };
	double n = was ? grown(was->count, now->count) : now->count;
	put(o, ",\"latency\":{");
	for (unsigned i = 0; i < FL_COUNT(q); i++)
		maybe(o, q[i].key, fl_sum_quantile(was, now, q[i].q));
	number(o, ",\"mean\":", n > 0 ? (was ? grown(was->sum, now->sum) : now->sum) / n : NAN);
	put(o, "}");
}

static void cache(const struct out *o, const struct fl_summary *was, const struct fl_summary *now)
{
	double hits = was ? grown(was->hits, now->hits) : now->hits, misses = was ? grown(was->misses, now->misses) : now->misses;
	if (!now->has_cache) {
		put(o, ",\"cache\":null");
		return;
	}
	number(o, ",\"cache\":{\"entries\":", now->entries);
	number(o, ",\"hits\":", now->hits);
	number(o, ",\"misses\":", now->misses);
	number(o, ",\"hit_ratio\":", hits + misses > 0 ? hits / (hits + misses) : NAN);
	put(o, "}");
}

static void upstreams(const struct out *o, const struct fl_summary *was, const struct fl_summary *now, double seconds)
{
	static const struct fl_sum_upstream none;
	put(o, ",\"upstreams\":[");
	for (unsigned i = 0; i < now->nupstream; i++) {
		const struct fl_sum_upstream *u = &now->upstream[i], *before = &none;
		for (unsigned k = 0; was && k < was->nupstream; k++)
			if (!strcmp(was->upstream[k].to, u->to))
				before = &was->upstream[k];
		double n = grown(before->count, u->count);
		put(o, i ? ",{\"to\":" : "{\"to\":");
		text(o, u->to);
		number(o, ",\"total\":", u->count);
		number(o, ",\"rate\":", seconds > 0 ? n / seconds : NAN);
		number(o, ",\"mean\":", n > 0 ? grown(before->seconds, u->seconds) / n : NAN);
		number(o, ",\"failures\":", u->failures);
		put(o, was && u->failures > before->failures ? ",\"failing\":true}" : ",\"failing\":false}");
	}
	put(o, "]");
}

static void sources(const struct out *o, const struct fl_summary *s)
{
	put(o, ",\"kubernetes\":[");
	for (unsigned i = 0; i < s->nsource; i++) {
		const struct fl_sum_source *u = &s->source[i];
		put(o, i ? ",{\"source\":" : "{\"source\":");
		text(o, u->name);
		put(o, u->synced ? ",\"synced\":true" : ",\"synced\":false");
		put(o, u->connected ? ",\"connected\":true" : ",\"connected\":false");
		maybe(o, ",\"age\":", u->age);
		put(o, ",\"kinds\":[");
		for (unsigned k = 0; k < u->nkind; k++) {
			put(o, k ? ",{\"kind\":" : "{\"kind\":");
			text(o, u->kind[k].name);
			maybe(o, ",\"objects\":", u->kind[k].objects);
			maybe(o, ",\"resource_version\":", u->kind[k].version);
			put(o, "}");
		}
		put(o, "]}");
	}
	put(o, "]");
}

void fl_summary_json(void (*write)(void *arg, const char *p, size_t n), void *arg, const struct fl_summary *was, const struct fl_summary *now,
		     double seconds)
{
	const struct out o = { write, arg };
	double up = now->started_at >= 0 ? (double)fl_clock_wall_s() - now->started_at : -1;
	if (!was && up > 0)
		seconds = up;
	number(&o, "{\"seconds\":", seconds);
	put(&o, was ? ",\"since_start\":false,\"version\":" : ",\"since_start\":true,\"version\":");
	text(&o, now->version);
	maybe(&o, ",\"uptime\":", up);
	number(&o, ",\"queries\":{\"total\":", now->queries);
	number(&o, ",\"rate\":", seconds > 0 ? grown(was ? was->queries : 0, now->queries) / seconds : NAN);
	rows(&o, "},\"rcodes\":[", was ? was->rcode : NULL, was ? was->nrcode : 0, now->rcode, now->nrcode, seconds);
	rows(&o, ",\"plugins\":[", was ? was->plugin : NULL, was ? was->nplugin : 0, now->plugin, now->nplugin, seconds);
	latency(&o, was ? &was->took : NULL, &now->took);
	cache(&o, was, now);
	upstreams(&o, was, now, seconds);
	sources(&o, now);
	put(&o, ",\"reload\":{\"ok\":");
	put(&o, now->reload_ok < 0 ? "null" : now->reload_ok > 0 ? "true" : "false");
	maybe(&o, ",\"loaded_at\":", now->loaded_at);
	maybe(&o, ",\"failed\":", now->reload_failed);
	maybe(&o, "},\"saturation\":", now->saturation);
	maybe(&o, ",\"memory\":", now->rss);
	number(&o, ",\"panics\":", now->panics);
	put(&o, "}");
}

/* Octets of the UTF-8 character at p; 0: none. */
static size_t utf8(const uint8_t *p, size_t n)
{
	size_t len = p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
	if (!len || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool wrong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
	return wrong ? 0 : len;
}

void fl_json_text(void (*write)(void *arg, const char *p, size_t n), void *arg, struct fl_str s)
{
	char buf[256];
	size_t n = 0;
	buf[n++] = '"';
	for (size_t i = 0; i < s.n;) {
		const uint8_t *p = (const uint8_t *)s.p + i;
		size_t len = *p < 0x80 ? 1 : utf8(p, s.n - i);
		if (n > sizeof buf - 16) {
			write(arg, buf, n);
			n = 0;
		}
		if (!len)
			n = (size_t)(fl_put_bytes(buf + n, "\\ufffd", 6) - buf);
		else if (*p < 0x20 || *p == 0x7f || strchr("\"\\<>&", *p))
			n += (size_t)snprintf(buf + n, 8, "\\u%04x", *p);
		else
			n = (size_t)(fl_put_bytes(buf + n, p, len) - buf);
		i += len ? len : 1;
	}
	buf[n++] = '"';
	write(arg, buf, n);
}
