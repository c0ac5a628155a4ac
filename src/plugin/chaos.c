/* chaos: version, authors and host name in class CH (RFC 4892 §2 for id.server.), so that one may ask a server who it is. */
#include "dns/plugin.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { STRING_MAX = 255 };

struct chaos { struct fl_str version, host, *author; unsigned nauthor; };

static const struct { struct fl_name name; enum { AUTHORS, VERSION, HOST } what; } names[] = {
	{ { (const uint8_t *)"\7authors\4bind", 14 }, AUTHORS }, { { (const uint8_t *)"\7version\4bind", 14 }, VERSION },
	{ { (const uint8_t *)"\7version\6server", 16 }, VERSION }, { { (const uint8_t *)"\10hostname\4bind", 15 }, HOST },
	{ { (const uint8_t *)"\2id\6server", 11 }, HOST },
};

/* ---- set-up ---- */

static int by_bytes(const void *a, const void *b)
{
	const struct fl_str *x = a, *y = b;
	size_t n = x->n < y->n ? x->n : y->n;
	int c = n ? memcmp(x->p, y->p, n) : 0;
	return c ? c : (x->n > y->n) - (x->n < y->n);
}

static struct fl_str trim(struct fl_str s)
{
	return (struct fl_str){ s.p, s.n < STRING_MAX ? s.n : STRING_MAX };
}

static int authors(struct fl_setup *s, struct chaos *c, const struct fl_str *arg, unsigned n)
{
	c->author = fl_zalloc(fl_setup_arena(s), n * sizeof *c->author);
	if (!c->author)
		return fl_setup_error(s, "out of memory");
	for (unsigned i = 0; i < n; i++)
		c->author[i] = trim(arg[i]);
	qsort(c->author, n, sizeof *c->author, by_bytes);
	for (unsigned i = 0; i < n; i++)
		if (!i || !fl_str_eq(c->author[i], c->author[c->nauthor - 1]))
			c->author[c->nauthor++] = c->author[i];
	return 0;
}

static int setup(struct fl_setup *s, void **inst)
{
	static const struct fl_str ours = { "The fairlead authors", sizeof "The fairlead authors" - 1 };
	struct fl_disp *d = fl_setup_disp(s);
	struct chaos *c = fl_zalloc(fl_setup_arena(s), sizeof *c);
	struct fl_str *arg;
	char host[STRING_MAX + 1] = "";
	if (!c)
		return fl_setup_error(s, "out of memory");
	fl_disp_next(d);
	unsigned n = fl_disp_args(d, &arg);
	c->version = n ? trim(arg[0]) : FL_STR("fairlead-" FL_VERSION);
	int ret = n > 1 ? authors(s, c, arg + 1, n - 1) : authors(s, c, &ours, 1);
	if (ret)
		return ret;
	if (fl_disp_next_block(d))
		return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(fl_disp_val(d)));
	c->host = fl_arena_str(fl_setup_arena(s), fl_str(gethostname(host, STRING_MAX) ? "localhost" : host));
	fl_setup_block(s)->other_classes = true;
	*inst = c;
	return 0;
}

/* ---- questions ---- */

static const struct fl_rrset *texts(struct fl_query *q, const struct fl_str *text, unsigned n)
{
	struct fl_rrset_maker m;
	fl_rrset_begin(&m, q->arena, FL_T_TXT, FL_C_CH, n * 64);
	for (unsigned i = 0; i < n; i++)
		fl_rrset_put2(&m, 0, (uint8_t[]){ (uint8_t)text[i].n }, 1, text[i].p, text[i].n);
	return fl_rrset_end(&m);
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const struct chaos *c = inst;
	unsigned i = 0;
	if (q->qclass != FL_C_CH || q->qtype != FL_T_TXT)
		return FL_NEXT;
	while (i < FL_COUNT(names) && !fl_name_eq(q->qname, names[i].name))
		i++;
	if (i == FL_COUNT(names))
		return FL_NEXT;
	bool all = names[i].what == AUTHORS;
	const struct fl_rrset *set = texts(q, all ? c->author : names[i].what == VERSION ? &c->version : &c->host, all ? c->nauthor : 1);
	struct fl_item *it = set ? fl_reply_add(q, FL_ANSWER, q->qname, set, false) : NULL;
	if (!it)
		return fl_yield(q, -ENOMEM);
	if (all)
		it->shuffle = 1 + fl_rng_below(q->shard->rng, UINT32_MAX - 1);  /* nobody is always the first */
	return FL_DONE;
}

static const struct fl_opt opts[] = {
	{ "", "[VERSION [AUTHOR...]]", "what version.bind. and authors.bind. tell" },
	{ 0 }
};

FL_PLUGIN(chaos, .opts = opts, .setup = setup, .query = query);
