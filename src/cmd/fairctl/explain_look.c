/* What rules look for in the facts. */
#include "cmd/fairctl/explain.h"

/* ---- words ---- */

unsigned ex_distance(struct fl_str a, struct fl_str b)
{
	enum { WORD = 63 };
	uint8_t row[3][WORD + 1];
	if (a.n > WORD || b.n > WORD)
		return 255;
	uint8_t *before = row[0], *last = row[1], *now = row[2];
	for (size_t k = 0; k <= b.n; k++)
		last[k] = (uint8_t)k;
	for (size_t i = 1; i <= a.n; i++) {
		now[0] = (uint8_t)i;
		for (size_t k = 1; k <= b.n; k++) {
			uint8_t x = fl_lower((uint8_t)a.p[i - 1]), y = fl_lower((uint8_t)b.p[k - 1]);
			unsigned d = last[k - 1] + (x != y);
			d = last[k] + 1u < d ? last[k] + 1u : d;
			d = now[k - 1] + 1u < d ? now[k - 1] + 1u : d;
			bool crossed = i > 1 && k > 1 && x == fl_lower((uint8_t)b.p[k - 2]) && y == fl_lower((uint8_t)a.p[i - 2]);
			now[k] = (uint8_t)(crossed && before[k - 2] + 1u < d ? before[k - 2] + 1u : d);
		}
		uint8_t *spare = before;
		before = last, last = now, now = spare;
	}
	return last[b.n];
}

bool ex_near(struct fl_str a, struct fl_str b, unsigned *distance)
{
	size_t n = a.n > b.n ? a.n : b.n;
	*distance = ex_distance(a, b);
	return *distance <= (n <= 3 ? 1 : n <= 6 ? 2 : 3) && *distance < n;
}

bool ex_under(struct fl_str name, struct fl_str zone)
{
	if (fl_str_is(zone, "."))
		return true;
	if (name.n < zone.n || !fl_str_ieq((struct fl_str){ name.p + name.n - zone.n, zone.n }, zone))
		return false;
	return name.n == zone.n || name.p[name.n - zone.n - 1] == '.';
}

/* ---- the cluster ---- */

const struct fl_service *ex_service(const struct facts *f, struct fl_str ns, struct fl_str name)
{
	return f->store ? (const struct fl_service *)(const void *)fl_store_find(f->store, FL_KIND_SERVICE, ns, name) : NULL;
}

struct any { struct fl_str word; bool found; };

static void note_name(void *arg, const struct fl_object *o)
{
	struct any *any = arg;
	any->found |= fl_str_eq(o->name, any->word);
}

static void note_ns(void *arg, const struct fl_object *o)
{
	struct any *any = arg;
	any->found |= fl_str_eq(o->ns, any->word);
}

bool ex_has_ns(const struct facts *f, struct fl_str ns)
{
	struct any any = { .word = ns };
	if (!f->store || !ns.n)
		return false;
	if (fl_store_find(f->store, FL_KIND_NAMESPACE, FL_STR(""), ns))
		return true;
	fl_store_each(f->store, FL_KIND_SERVICE, note_ns, &any);
	return any.found;
}

struct ready { const struct fl_service *s; unsigned ready, all; };

static void count(void *arg, const struct fl_object *o)
{
	const struct fl_slice *sl = (const void *)o;
	struct ready *r = arg;
	if (!fl_str_eq(o->ns, r->s->o.ns) || !fl_str_eq(sl->service, r->s->o.name))
		return;
	for (uint32_t i = 0; i < sl->nep; i++) {
		r->all++;
		r->ready += (sl->ep[i].flags & FL_EP_READY) != 0;
	}
}

unsigned ex_ready(const struct facts *f, const struct fl_service *s, unsigned *all)
{
	struct ready r = { .s = s };
	fl_store_each(f->store, FL_KIND_SLICE, count, &r);
	*all = r.all;
	return r.ready;
}

/* ---- what was meant ---- */

static struct fl_str last_label(struct fl_str *rest)
{
	size_t at = rest->n;
	while (at && rest->p[at - 1] != '.')
		at--;
	struct fl_str label = { rest->p + at, rest->n - at };
	rest->n = at ? at - 1 : 0;
	return label;
}

static const struct ex_kube *kube_of(const struct facts *f, struct fl_str name, struct fl_str *zone)
{
	const struct ex_kube *best = NULL;
	zone->n = 0;
	for (unsigned i = 0; i < f->conf.nkube; i++)
		for (unsigned k = 0; k < f->conf.kube[i].zones.n; k++) {
			struct fl_str z = f->conf.kube[i].zones.at[k];
			bool reverse = fl_str_ends(z, FL_STR(".arpa."));
			if (!reverse && ex_under(name, z) && z.n > zone->n) {
				best = &f->conf.kube[i];
				*zone = z;
			}
		}
	return best;
}

/* The labels of a name below its zone: HOST.SERVICE.NS.svc, SERVICE.NS.svc, _PORT._PROTO.SERVICE.NS.svc, IP.NS.pod. */
static bool take_apart(const struct facts *f, const struct ex_step *s, struct ex_meant *m)
{
	*m = (struct ex_meant){ .step = s };
	m->kube = kube_of(f, s->name, &m->zone);
	if (!m->kube || s->name.n <= m->zone.n)
		return false;
	struct fl_str rest = { s->name.p, s->name.n - m->zone.n - 1 }, kind = last_label(&rest);
	m->pod = fl_str_is(kind, "pod");
	if (!m->pod && !fl_str_is(kind, "svc"))
		return false;
	m->ns = last_label(&rest);
	m->service = last_label(&rest);
	m->host = rest;
	return m->service.n && (!m->host.n || *m->host.p == '_' || !memchr(m->host.p, '.', m->host.n));
}

/* How much of it is really there: the best of the search list is what was meant. */
static unsigned worth(const struct facts *f, const struct ex_meant *m)
{
	bool host = m->host.n && *m->host.p != '_', ns = ex_has_ns(f, m->ns);
	struct any any = { .word = m->service };
	if (ex_service(f, m->ns, m->service))
		return host ? 5 : 6;
	if (host)
		return ns ? 2 : 0;
	if (f->store && !ns)
		fl_store_each(f->store, FL_KIND_SERVICE, note_name, &any);
	return ns ? 4 : any.found ? 3 : 1;
}

struct ex_meant ex_meant(const struct facts *f)
{
	struct ex_meant best = { 0 }, m;
	unsigned most = 0;
	for (unsigned i = 0; i < f->nstep; i++)
		if (take_apart(f, &f->step[i], &m) && worth(f, &m) > most) {
			most = worth(f, &m);
			best = m;
		}
	return best;
}

bool ex_certain(const struct facts *f, const struct ex_meant *m)
{
	struct fl_str name = { f->name.p, f->name.n - (f->name.n && f->name.p[f->name.n - 1] == '.') };
	struct fl_str dotted = fl_arena_printf(f->a, "%.*s.", FL_FMT(name));
	bool host = m->host.n && *m->host.p != '_';
	return !memchr(name.p, '.', name.n) || ex_under(dotted, m->zone) || memmem(dotted.p, dotted.n, ".svc.", 5) || (!host && ex_has_ns(f, m->ns));
}

bool ex_failed(const struct facts *f) { return f->elsewhere || f->end != FL_ANSWER_FOUND; }
