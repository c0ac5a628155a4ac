/* tight: packing with compression and a cut. What may be compressed, against what, and where the cut falls is as in miekg/dns
 * (msg.go packDomainName, msg_truncate.go), because TC and the records that are left are seen by clients: names are compared
 * letter by letter, only RFC 1035 types have names compressed in their rdata, all names may be pointed to.
 *
 * The table holds where each suffix that was written stands, with 16 bits of its hash. It is of fixed size: a suffix that finds
 * no place near its own is only not pointed to. */
#include "base/rng.h"
#include "wire/pack_int.h"
#include "wire/rdata.h"

enum { SLOTS = 4096, PROBES = 16, POINTER_MAX = 0x3fff, LABELS_MAX = 128 };

struct slot { uint16_t at, tag; };      /* at 0: free */

struct tight {
	uint8_t *to;
	size_t at, end;
	const uint8_t *owner;   /* the name that stands at owner_at: records of a set share theirs */
	uint16_t owner_at;
	uint32_t mask;
	struct slot slot[SLOTS];
};

/* Is the name at msg + at this one? Pointers in what we wrote lead back only. */
static bool stands_at(const uint8_t *msg, size_t at, const uint8_t *name)
{
	for (;; at += *name + 1u, name += *name + 1u) {
		while (msg[at] >= 0xc0)
			at = fl_get16(msg + at) & POINTER_MAX;
		if (memcmp(msg + at, name, *name + 1u))
			return false;
		if (!*name)
			return true;
	}
}

static size_t find(const struct tight *t, uint64_t hash, const uint8_t *name)
{
	for (uint32_t i = 0; i < PROBES; i++) {
		const struct slot *s = &t->slot[((uint32_t)hash + i) & t->mask];
		if (!s->at)
			return 0;
		if (s->tag == hash >> 48 && stands_at(t->to, s->at, name))
			return s->at;
	}
	return 0;
}

static void remember(struct tight *t, uint64_t hash, size_t at)
{
	for (uint32_t i = 0; i < PROBES && at <= POINTER_MAX; i++) {
		struct slot *s = &t->slot[((uint32_t)hash + i) & t->mask];
		if (!s->at) {
			*s = (struct slot){ (uint16_t)at, (uint16_t)(hash >> 48) };
			return;
		}
	}
}

/* False when there is no room. */
static bool put_name(struct tight *t, const uint8_t *name, size_t n, bool compress)
{
	uint8_t at[LABELS_MAX];
	uint64_t hash[LABELS_MAX], h = 0;
	unsigned labels = 0, known;
	for (size_t o = 0; o + 1 < n; o += name[o] + 1u)
		at[labels++] = (uint8_t)o;
	for (unsigned i = labels; i--;)
		hash[i] = h = (h ^ fl_hash(name + at[i], name[at[i]] + 1u)) * 0x9e3779b97f4a7c15ull;
	size_t pointer = 0;
	for (known = 0; known < labels; known++)
		if ((pointer = find(t, hash[known], name + at[known])))
			break;
	size_t plain = pointer && compress ? at[known] : n, size = plain + (plain < n ? 2 : 0);
	if (size > t->end - t->at)
		return false;
	memcpy(t->to + t->at, name, plain);
	if (plain < n)
		fl_put16(t->to + t->at + plain, (uint16_t)(0xc000 | pointer));
	for (unsigned i = 0; i < known; i++)
		remember(t, hash[i], t->at + at[i]);
	t->at += size;
	return true;
}

static bool put_bytes(struct tight *t, const uint8_t *p, size_t n)
{
	if (n > t->end - t->at)
		return false;
	if (n)
		memcpy(t->to + t->at, p, n);
	t->at += n;
	return true;
}

/* As put_name(), without looking for a name that was looked for last. */
static bool put_owner(struct tight *t, struct fl_name n)
{
	uint8_t pointer[2];
	size_t start = t->at;
	if (n.wire == t->owner) {
		fl_put16(pointer, 0xc000 | t->owner_at);
		return put_bytes(t, pointer, 2);
	}
	if (!put_name(t, n.wire, n.len, true))
		return false;
	if (n.len > 1 && start <= POINTER_MAX) {
		bool whole = t->to[start] >= 0xc0;
		t->owner = n.wire;
		t->owner_at = whole ? fl_get16(t->to + start) & POINTER_MAX : (uint16_t)start;
	}
	return true;
}

/* Names in one record's rdata: at most two in the types that we know. */
struct names { size_t at[4]; bool compress[4]; unsigned n; };

static void note_name(void *arg, size_t offset, bool compress)
{
	struct names *k = arg;
	if (k->n < FL_COUNT(k->at)) {
		k->at[k->n] = offset;
		k->compress[k->n++] = compress;
	}
}

static bool put_rdata(struct tight *t, uint16_t type, const uint8_t *p, size_t n)
{
	struct names k = { .n = 0 };
	if (type == FL_T_A || type == FL_T_AAAA)
		return put_bytes(t, p, n);
	if (fl_rdata_names(type, p, n, note_name, &k))
		k.n = 0;                /* not what its type says: as it is */
	size_t done = 0;
	for (unsigned i = 0; i < k.n; i++) {
		size_t len = fl_name_check(p + k.at[i], n - k.at[i]);
		if (!put_bytes(t, p + done, k.at[i] - done) || !put_name(t, p + k.at[i], len, k.compress[i]))
			return false;
		done = k.at[i] + len;
	}
	return put_bytes(t, p + done, n - done);
}

static bool put_record(struct tight *t, const struct fl_item *it, const uint8_t *rr)
{
	size_t start = t->at;
	if (put_owner(t, it->owner) && put_bytes(t, rr, RR_HEAD)) {
		uint8_t *head = t->to + t->at - RR_HEAD;
		pack_ttl(head, rr, it);
		if (put_rdata(t, fl_get16(rr), rr + RR_HEAD, fl_get16(rr + 8))) {
			fl_put16(head + 8, (uint16_t)(t->to + t->at - head - RR_HEAD));
			return true;
		}
	}
	t->at = start;
	return false;
}

/* False at the first record that does not fit: it is the end of the message. */
static bool put_item(struct tight *t, const struct fl_item *it, unsigned *count)
{
	struct pack_walk w;
	fl_pack_walk(&w, it);
	for (const uint8_t *rr; (rr = pack_next(&w)); ++*count)
		if (!put_record(t, it, rr))
			return false;
	return true;
}

static bool put_items(struct tight *t, const struct fl_pack *p, unsigned count[3])
{
	for (unsigned s = FL_ANSWER; s <= FL_ADDITIONAL; s++)
		for (unsigned i = 0; i < p->n; i++)
			if (p->item[i].section == s && !put_item(t, &p->item[i], &count[s]))
				return false;
	return true;
}

size_t fl_pack_tight(struct fl_pack *p, uint8_t *to, size_t limit)
{
	struct tight t;
	size_t head = FL_HEADER + pack_question_len(p);
	p->full_len = head;
	for (unsigned i = 0; i < p->n; i++)
		p->full_len += (size_t)p->item[i].set->count * p->item[i].owner.len + p->item[i].set->len;
	/* An EDE comes last: no record makes room for it. */
	int ede = p->ede;
	p->ede = -1;
	struct pack_opt plan = fl_pack_opt_plan(p, limit > head ? limit - head : 0);
	p->ede = ede;
	t.to = to;
	t.owner = p->qname.len > 1 ? p->qname.wire : NULL;
	t.owner_at = FL_HEADER;
	t.at = FL_HEADER;
	t.end = limit > head + plan.len ? limit - plan.len : head;
	t.mask = 255;
	while (t.mask + 1 < SLOTS && t.mask < t.end / 4)
		t.mask = 2 * t.mask + 1;
	memset(t.slot, 0, (t.mask + 1) * sizeof *t.slot);
	fl_pack_begin(to, p);
	if (p->qname.len)
		put_name(&t, p->qname.wire, p->qname.len, false);
	t.at = head;
	unsigned count[3] = { 0 };
	bool cut = !put_items(&t, p, count);
	plan = fl_pack_opt_plan(p, limit > t.at ? limit - t.at : 0);
	fl_pack_end(to, p, count, cut);
	p->opt_len = (uint16_t)plan.len;
	return (size_t)(fl_pack_opt_put(to + t.at, p, &plan) - to);
}
