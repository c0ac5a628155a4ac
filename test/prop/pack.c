/* Packing against a naive model: which records stay, how long the message is, and that both ways say the same. Names and addresses
 * against their text. FL_SEED=n replays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "seed.h"
#include "wire/pack.h"

static struct fl_rng rng;
static uint64_t seed;
static struct fl_arena arena;
static unsigned long round_no;

static void check(bool ok, const char *what, int line)
{
	if (!ok)
		fail_msg("FL_SEED=%llu round %lu: line %d: %s", (unsigned long long)seed, round_no, line, what);
}
#define CHECK(c) check(c, #c, __LINE__)

static unsigned below(uint32_t n) { return fl_rng_below(&rng, n); }
static bool one_in(uint32_t n) { return !below(n); }

static int setup(void **state)
{
	(void)state;
	seed = seed_of(&rng);
	return 0;
}

/* ---- what is packed ---- */

enum { NAMES = 12, ITEMS = 12, RECORDS = 6000, SUFFIXES = 20000 };

static struct fl_name pool[NAMES];

/* Few labels, so that suffixes meet; letter case and odd octets too. */
static struct fl_name random_name(void)
{
	static const char *const label[] = { "a", "b", "A", "www", "svc", "cluster", "Cluster", "local", "_tcp", "x\\.y",
		"\\000\\255" };
	char text[512] = "";
	for (unsigned n = below(7); n; n--)
		strcat(strcat(text, label[below(FL_COUNT(label))]), ".");
	if (one_in(20))
		for (int i = 0; i < 3; i++)
			strcat(text, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.");
	struct fl_name n = fl_name_parse_in(&arena, fl_str(*text ? text : "."));
	CHECK(n.len);
	return n;
}

static struct fl_name some_name(void) { return pool[below(NAMES)]; }

static size_t put_name(uint8_t *to)
{
	struct fl_name n = some_name();
	memcpy(to, n.wire, n.len);
	return n.len;
}

static size_t random_bytes(uint8_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)fl_rng_next(&rng);
	return n;
}

static size_t random_rdata(uint8_t *to, uint16_t type)
{
	size_t n = 0;
	switch (type) {
	case FL_T_A: return random_bytes(to, 4);
	case FL_T_AAAA: return random_bytes(to, 16);
	case FL_T_CNAME: case FL_T_NS: case FL_T_PTR: case FL_T_DNAME: return put_name(to);
	case FL_T_MX: n = random_bytes(to, 2); return n + put_name(to + n);
	case FL_T_SRV: n = random_bytes(to, 6); return n + put_name(to + n);
	case FL_T_SOA: n = put_name(to); n += put_name(to + n); return n + random_bytes(to + n, 20);
	case FL_T_TXT: to[0] = (uint8_t)below(60); return 1 + random_bytes(to + 1, to[0]);
	case FL_T_NAPTR: memcpy(to, "\0\1\0\2\1s\0\0", 8); return 8 + put_name(to + 8);
	default: return random_bytes(to, below(30));
	}
}

static uint16_t random_type(void)
{
	static const uint16_t type[] = { FL_T_A, FL_T_A, FL_T_AAAA, FL_T_CNAME, FL_T_NS, FL_T_PTR, FL_T_MX, FL_T_SRV, FL_T_SOA,
		FL_T_TXT,
					 FL_T_DNAME, FL_T_NAPTR, 65280 };
	return type[below(FL_COUNT(type))];
}

static struct fl_item random_item(struct fl_name qname, unsigned most)
{
	struct fl_rrset_maker m;
	struct fl_item it = { .owner = one_in(2) ? qname : some_name(), .ttl_max = UINT32_MAX, .section = (uint8_t)below(3) };
	uint16_t type = random_type();
	fl_rrset_begin(&m, &arena, type, one_in(10) ? FL_C_CH : FL_C_IN, 0);
	for (unsigned n = 1 + below(most); n; n--) {
		uint8_t rdata[600];
		fl_rrset_put(&m, below(1000), rdata, random_rdata(rdata, type));
	}
	it.set = fl_rrset_end(&m);
	CHECK(it.set);
	it.shuffle = one_in(3) ? (uint32_t)fl_rng_next(&rng) : 0;
	it.first = (uint16_t)(one_in(5) ? below(it.set->count + 2u) : 0);
	it.ttl_min = one_in(4) ? below(1000) : 0;
	it.ttl_max = one_in(4) ? below(1000) : UINT32_MAX;
	return it;
}

/* ---- the model: every suffix in a list, every record measured ---- */

struct record { const struct fl_item *it; struct fl_name owner; struct fl_rr rr; };

static struct { struct fl_name n; } seen[SUFFIXES];
static unsigned nseen;

static bool known(struct fl_name n)
{
	for (unsigned i = 0; i < nseen; i++)
		if (seen[i].n.len == n.len && !memcmp(seen[i].n.wire, n.wire, n.len))
			return true;
	return false;
}

/* Octets of n at offset at, as miekg/dns counts them. */
static size_t name_size(struct fl_name n, size_t at, bool compress)
{
	struct fl_name whole = n;
	for (; n.len > 1; n = fl_name_parent(n)) {
		size_t before = (size_t)(n.wire - whole.wire);
		if (known(n)) {
			if (compress)
				return before + 2;
		} else if (at + before < 16384 && nseen < SUFFIXES) {
			seen[nseen++].n = n;
		}
	}
	return whole.len;
}

struct measure { const uint8_t *rdata; size_t at, size, done; };

static void measure_name(void *arg, size_t offset, bool compress)
{
	struct measure *m = arg;
	struct fl_name n = { m->rdata + offset, 0 };
	size_t len = 0;
	while (n.wire[len])
		len += n.wire[len] + 1u;
	n.len = (uint8_t)(len + 1);
	m->size += offset - m->done;
	m->size += name_size(n, m->at + m->size, compress);
	m->done = offset + n.len;
}

static size_t record_size(const struct record *r, size_t at)
{
	struct measure m = { .rdata = r->rr.rdata };
	size_t head = name_size(r->owner, at, true) + 10;
	m.at = at + head;
	CHECK(!fl_rdata_names(r->rr.type, r->rr.rdata, r->rr.rdlen, measure_name, &m));
	return head + m.size + r->rr.rdlen - m.done;
}

/* How many of the records stay within limit octets; *size: of the message without OPT. */
static unsigned model(const struct record *r, unsigned n, struct fl_name qname, size_t limit, size_t *size)
{
	nseen = 0;
	*size = 12 + name_size(qname, 12, true) + 4;
	for (unsigned i = 0; i < n; i++) {
		size_t s = record_size(&r[i], *size);
		if (*size + s > limit)
			return i;
		*size += s;
	}
	return n;
}

/* ---- comparing ---- */

static struct record sent[RECORDS], fast[RECORDS], slow[RECORDS];

static unsigned flatten(struct record *to, const struct fl_item *item, unsigned n)
{
	unsigned count = 0;
	for (uint8_t s = FL_ANSWER; s <= FL_ADDITIONAL; s++)
		for (unsigned i = 0; i < n; i++) {
			if (item[i].section != s)
				continue;
			for (struct fl_rr r = { 0 }; fl_rr_next(item[i].set, &r) && count < RECORDS;)
				to[count++] = (struct record){ &item[i], item[i].owner, r };
		}
	return count;
}

static bool same(const struct record *a, const struct record *b)
{
	return a->it->section == b->it->section && fl_name_eq(a->owner, b->owner) && a->rr.type == b->rr.type &&
		a->rr.class == b->rr.class &&
	       a->rr.ttl == b->rr.ttl && a->rr.rdlen == b->rr.rdlen && !memcmp(a->rr.rdata, b->rr.rdata, a->rr.rdlen);
}

/* The owners as they stand in the message: the parser gives a set the letters of its first record's. */
static void own_letters(struct record *r, unsigned n, const uint8_t *msg, size_t len, size_t at, struct fl_arena *a)
{
	for (unsigned i = 0; i < n; i++) {
		uint8_t *to = fl_alloc(a, FL_NAME_MAX);
		int size = fl_name_expand(to, msg, len, &at);
		CHECK(size == r[i].owner.len);
		r[i].owner.wire = to;
		at += 10u + fl_get16(msg + at + 8);
	}
}

/* What should have been packed of r. */
static struct record bounded(struct record r)
{
	r.rr.ttl = r.rr.ttl < r.it->ttl_min ? r.it->ttl_min : r.rr.ttl;
	r.rr.ttl = r.rr.ttl > r.it->ttl_max ? r.it->ttl_max : r.rr.ttl;
	return r;
}

/* All of got is in sent, each record of an item that keeps its order at its place. */
static void check_content(const struct record *got, unsigned n, unsigned all)
{
	static bool used[RECORDS];
	memset(used, 0, all * sizeof *used);
	for (unsigned i = 0; i < n; i++) {
		const struct fl_item *it = sent[i].it;
		bool keeps = !it->shuffle && !it->first;
		unsigned k = i;
		struct record want = bounded(sent[k]);
		if (!keeps) {
			for (k = 0; k < all; k++) {
				want = bounded(sent[k]);
				if (sent[k].it == it && !used[k] && same(&got[i], &want))
					break;
			}
			CHECK(k < all);
		}
		used[k] = true;
		CHECK(same(&got[i], &want));
	}
}

static void check_one(struct fl_pack *p, size_t limit)
{
	static uint8_t a[65536], b[65536];
	struct fl_message ma, mb;
	memset(a, 0xa5, sizeof a);
	memset(b, 0xa5, sizeof b);
	size_t na = fl_pack(p, a, limit), full = p->full_len;
	uint16_t flags = p->flags_out;
	size_t nb = fl_pack_slow(p, b, limit);
	CHECK(na <= limit && nb <= limit && nb <= na);
	CHECK(limit == 65535 || (a[limit] == 0xa5 && b[limit] == 0xa5));
	CHECK(flags == p->flags_out && full == p->full_len);
	struct fl_arena parsed;
	fl_arena_init(&parsed, NULL, 0, NULL, 64 << 20);
	CHECK(!fl_message_parse(&ma, &parsed, a, na) && ma.end == na);  /* it refuses pointers that lead forward */
	CHECK(!fl_message_parse(&mb, &parsed, b, nb) && mb.end == nb);
	unsigned all = flatten(sent, p->item, p->n), n = flatten(fast, ma.item, ma.n), m = flatten(slow, mb.item, mb.n);
	CHECK(n == m && ma.edns == p->edns && mb.edns == p->edns);
	CHECK(ma.qname.len == p->qname.len && !memcmp(ma.qname.wire, p->qname.wire, p->qname.len) && ma.qtype == p->qtype);
	for (unsigned i = 0; i < n; i++)
		CHECK(same(&fast[i], &slow[i]));
	check_content(fast, n, all);
	CHECK(n + (p->cut ? 1u : 0) <= all && (n == all) == !p->cut);
	CHECK(((flags & FL_TC) != 0) == (p->cut || p->flags & FL_TC));
	/* In the order in which they were packed, as far as they were; what came next did not fit. */
	size_t size, opt = p->edns ? 11 : 0;
	own_letters(slow, m, b, nb, 12u + p->qname.len + 4u, &parsed);
	CHECK(model(slow, n, p->qname, limit - opt, &size) == n);
	CHECK(size + opt == nb);
	size_t sum = 12u + p->qname.len + 4;
	for (unsigned i = 0; i < all; i++)
		sum += sent[i].owner.len + 10u + sent[i].rr.rdlen;
	CHECK(sum == full);
	CHECK(sum + opt > limit || !p->cut);
	bool ordered = true;
	for (unsigned i = 0; i < p->n; i++)
		ordered = ordered && !p->item[i].shuffle && !p->item[i].first;
	if (ordered)
		CHECK(model(sent, all, p->qname, limit - opt, &size) == n);
	fl_arena_finish(&parsed);
}

static void test_pack(void **state)
{
	(void)state;
	static const uint16_t limits[] = { 512, 512, 1232, 4096, 65535 };
	for (round_no = 0; round_no < 3000; round_no++) {
		fl_arena_init(&arena, NULL, 0, NULL, 64 << 20);
		for (unsigned i = 0; i < NAMES; i++)
			pool[i] = random_name();
		struct fl_item item[ITEMS];
		struct fl_pack p = { .id = (uint16_t)round_no, .flags = FL_QR | (one_in(10) ? FL_TC : 0), .qname = some_name(),
			.qtype = 1,
				     .qclass = 1, .item = item, .n = below(ITEMS), .ede = -1 };
		unsigned most = round_no % 500 == 499 ? 400 : one_in(4) ? 60 : 6;
		for (unsigned i = 0; i < p.n; i++)
			item[i] = random_item(p.qname, most);
		for (unsigned i = 0; i < FL_COUNT(limits); i++) {
			p.edns = i > 0;
			p.udp_size = limits[i];
			check_one(&p, limits[i]);
		}
		/* Around what just fits. */
		size_t exact = fl_pack_slow(&p, (uint8_t[65536]){ 0 }, 65535);
		for (size_t limit = exact > 514 ? exact - 2 : 512; !p.cut && limit <= exact + 2 && limit >= 512 &&
			limit < 65535; limit++)
			check_one(&p, limit);
		fl_arena_finish(&arena);
	}
}

/* ---- names and addresses ---- */

static void test_names(void **state)
{
	(void)state;
	for (round_no = 0; round_no < 20000; round_no++) {
		uint8_t wire[FL_NAME_MAX], back[FL_NAME_MAX], folded[FL_NAME_MAX];
		char text[FL_NAME_TEXT_MAX];
		size_t n = 0;
		while (n < 250 && !one_in(6)) {
			unsigned len = one_in(10) ? 1 + below(63) : 1 + below(8);
			if (n + len + 1 > 254)
				break;
			wire[n++] = (uint8_t)len;
			for (; len; len--)
				wire[n++] = (uint8_t)(one_in(4) ? below(256) : 'A' + below(58));
		}
		wire[n++] = 0;
		struct fl_name name = { wire, (uint8_t)n };
		size_t len = fl_name_text(text, name);
		CHECK(len < sizeof text && strlen(text) == len);
		CHECK(fl_name_parse(back, (struct fl_str){ text, len }) == (int)n && !memcmp(back, wire, n));
		struct fl_name low = fl_name_lower(folded, name);
		for (size_t i = 0; i < n; i++)
			CHECK(low.wire[i] == fl_lower(wire[i]));
		CHECK(fl_name_eq(name, low) && fl_name_hash(name) == fl_name_hash(low) && !fl_name_cmp(name, low));
		unsigned labels = fl_name_labels(name), cut = below(labels + 1);
		CHECK(fl_name_under(name, fl_name_skip(low, cut)));
		CHECK(fl_name_labels(fl_name_skip(name, cut)) == labels - cut);
		size_t at = n > 1 ? below((uint32_t)n - 1) : 0;
		if (n > 1) {    /* one letter differs */
			folded[at] ^= 0x41;
			CHECK(!fl_name_eq(name, low));
		}
	}
}

static void test_addresses(void **state)
{
	(void)state;
	for (round_no = 0; round_no < 20000; round_no++) {
		struct fl_addr a = { .len = one_in(2) ? 4 : 16 }, back;
		uint8_t wire[FL_NAME_MAX];
		char text[46];
		for (unsigned i = 0; i < a.len; i++)
			a.b[i] = (uint8_t)(one_in(2) ? 0 : fl_rng_next(&rng));
		CHECK(fl_name_unreverse(fl_name_reverse(wire, &a), &back) && fl_addr_eq(&a, &back));
		size_t n = fl_addr_text(text, &a);
		CHECK(n < sizeof text && fl_addr_parse((struct fl_str){ text, n }, &back) && fl_addr_eq(&a, &back));
		char cidr[64];
		struct fl_net net;
		unsigned bits = below(a.len * 8u + 1);
		snprintf(cidr, sizeof cidr, "%s/%u", text, bits);
		CHECK(fl_net_parse(fl_str(cidr), &net) && fl_net_has(&net, &a));
		if (bits) {
			back = a;
			back.b[(bits - 1) / 8] ^= (uint8_t)(0x80 >> (bits - 1) % 8);
			CHECK(!fl_net_has(&net, &back));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_pack, setup), cmocka_unit_test_setup(test_names, setup),
		cmocka_unit_test_setup(test_addresses, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
