#include "plugin/tls/challenge.h"
#include "base/rcu.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { TXT = 43 };      /* octets: a SHA-256 as base64url */

struct record { uint8_t name[FL_NAME_MAX], len; char txt[TXT + 1]; unsigned times; };
/* Never changed once it is published; NULL: nothing is shown, which is nearly always so. */
struct shown { unsigned n; struct record at[]; };
static struct shown *shown;

/* ---- main thread ---- */

static void publish(struct shown *s)
{
	struct shown *old = shown;
	if (s && !s->n) {
		free(s);
		s = NULL;
	}
	fl_rcu_set(&shown, s);
	if (!old)
		return;
	fl_rcu_synchronize();
	free(old);
}

static bool record_of(struct record *r, const char *name, const char *txt)
{
	char text[FL_NAME_TEXT_MAX];
	name += !strncmp(name, "*.", 2) ? 2 : 0;
	snprintf(text, sizeof text, "_acme-challenge.%s", name);
	int len = fl_name_parse(r->name, fl_str(text));
	if (len < 0 || strlen(txt) != TXT)
		return false;
	r->len = (uint8_t)len;
	memcpy(r->txt, txt, TXT + 1);
	r->times = 1;
	return true;
}

static bool same(const struct record *a, const struct record *b)
{
	struct fl_name na = { a->name, a->len }, nb = { b->name, b->len };
	return fl_name_eq(na, nb) && !strcmp(a->txt, b->txt);
}

/* By value, as CoreDNS answers them. */
static int by_txt(const void *a, const void *b) { return strcmp(((const struct record *)a)->txt, ((const struct record *)b)->txt); }

static struct shown *copy_with_room(unsigned n)
{
	struct shown *s = fl_xalloc(sizeof *s + (n + 1) * sizeof s->at[0]);
	s->n = n;
	if (n)
		memcpy(s->at, shown->at, n * sizeof s->at[0]);
	return s;
}

void fl_acme_show(const char *name, const char *txt)
{
	struct record r;
	if (!record_of(&r, name, txt))
		return;
	struct shown *s = copy_with_room(shown ? shown->n : 0);
	unsigned i = 0;
	while (i < s->n && !same(&s->at[i], &r))
		i++;
	if (i < s->n)
		s->at[i].times++;
	else
		s->at[s->n++] = r;
	qsort(s->at, s->n, sizeof s->at[0], by_txt);
	publish(s);
}

void fl_acme_hide(const char *name, const char *txt)
{
	struct record r;
	if (!shown || !record_of(&r, name, txt))
		return;
	struct shown *s = copy_with_room(shown->n);
	unsigned i = 0;
	while (i < s->n && !same(&s->at[i], &r))
		i++;
	if (i < s->n && !--s->at[i].times) {
		s->n--;
		memmove(&s->at[i], &s->at[i + 1], (s->n - i) * sizeof s->at[0]);
	}
	publish(s);
}

/* ---- on a query's way ---- */

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	(void)inst;
	const struct shown *s = fl_rcu_get(&shown);
	if (!s || q->qtype != FL_T_TXT || q->qclass != FL_C_IN)
		return FL_NEXT;
	struct fl_rrset_maker m;
	fl_rrset_begin(&m, q->arena, FL_T_TXT, FL_C_IN, 64);
	for (unsigned i = 0; i < s->n; i++) {
		uint8_t rdata[TXT + 1] = { TXT };
		if (!fl_name_eq(q->qname, (struct fl_name){ s->at[i].name, s->at[i].len }))
			continue;
		memcpy(rdata + 1, s->at[i].txt, TXT);
		fl_rrset_put(&m, 0, rdata, sizeof rdata);
	}
	if (!m.count && !m.failed)
		return FL_NEXT;
	const struct fl_rrset *set = fl_rrset_end(&m);
	if (!set || !fl_reply_add(q, FL_ANSWER, q->qname, set, false))
		return fl_yield(q, -ENOMEM);
	q->res.set |= FL_AA;
	q->res.live = true;
	return FL_DONE;
}

const struct fl_plugin fl_acme_answers = { .name = "tls", .query = query };
